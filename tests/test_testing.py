"""What authors test with: virtual time and the scripted double."""

import asyncio
import os
from collections.abc import Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import RequestRejected, TransientError
from agentnet.testing import (
    Deadlock,
    ScriptedBackend,
    VirtualTimeLoop,
    run_in_virtual_time,
    timed_in_virtual_time,
)

ASK = Request((("user", "Do you share it?"),))


# Virtual time


async def _now() -> float:
    return asyncio.get_running_loop().time()


def test_virtual_time_starts_at_zero():
    assert run_in_virtual_time(_now()) == 0.0


def test_each_run_has_its_own_clock():
    run_in_virtual_time(asyncio.sleep(100.0))
    assert run_in_virtual_time(_now()) == 0.0


@given(delays=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=8))
def test_sleeps_one_after_another_add_up_and_sleeps_together_take_the_longest(delays):
    async def in_turn():
        for delay in delays:
            await asyncio.sleep(delay)

    async def together():
        await asyncio.gather(*map(asyncio.sleep, delays))

    assert timed_in_virtual_time(in_turn())[1] == pytest.approx(sum(delays))
    assert timed_in_virtual_time(together())[1] == pytest.approx(max(delays))


@given(delays=st.permutations([3.0, 1.0, 2.0, 5.0, 4.0]))
def test_whoever_sleeps_less_wakes_first(delays):
    woken = []

    async def sleeper(delay):
        await asyncio.sleep(delay)
        woken.append((delay, asyncio.get_running_loop().time()))

    async def main():
        await asyncio.gather(*map(sleeper, delays))

    run_in_virtual_time(main())
    assert woken == [(delay, delay) for delay in sorted(delays)]


@pytest.mark.parametrize("years", [0.4, 0.6, 100.0])
def test_sleeping_for_years_ends_on_time(years):
    # asyncio's own tolerance of a nanosecond is lost in rounding after half a year.
    delay = years * 365 * 86_400.0

    async def main():
        await asyncio.sleep(delay)
        await asyncio.sleep(0.0)
        await asyncio.wait_for(asyncio.sleep(1e-3), timeout=60.0)

    assert timed_in_virtual_time(main())[1] == pytest.approx(delay + 1e-3, rel=1e-12)


def test_time_stands_still_while_there_is_work():
    async def main():
        for _ in range(50):
            await asyncio.sleep(0.0)
        return await _now()

    assert run_in_virtual_time(main()) == 0.0


def test_a_timeout_that_is_not_reached_costs_no_time():
    async def main():
        async with asyncio.timeout(1_000.0):
            await asyncio.sleep(1.0)

    assert timed_in_virtual_time(main())[1] == 1.0


def test_a_timeout_that_is_reached_cancels_in_virtual_time():
    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), timeout=7.0)
        return await _now()

    assert run_in_virtual_time(main()) == 7.0


def test_a_deadlock_names_the_tasks_and_where_they_wait():
    async def waits_for_ever():
        await asyncio.Event().wait()

    async def main():
        await asyncio.sleep(12.0)
        async with asyncio.TaskGroup() as group:
            group.create_task(waits_for_ever(), name="philosopher")

    with pytest.raises(Deadlock) as caught:
        run_in_virtual_time(main())
    message = str(caught.value)
    assert message.startswith("deadlock at 12 s: every task is waiting and no timer is set: ")
    assert "philosopher in " in message
    assert "waits_for_ever (test_testing.py:" in message


def test_a_deadlock_of_many_tasks_names_a_few():
    async def main():
        event = asyncio.Event()
        await asyncio.gather(*(event.wait() for _ in range(20)))

    with pytest.raises(Deadlock, match=r"; and 13 more$") as caught:
        run_in_virtual_time(main())
    assert str(caught.value).count("Task-") == 8


def test_tasks_caught_in_a_deadlock_are_cancelled_and_can_clean_up():
    cleaned = []

    async def main():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("done")

    with pytest.raises(Deadlock):
        run_in_virtual_time(main())
    assert cleaned == ["done"]


class Frameless(Coroutine):
    """A coroutine with no Python frame, as compiled extensions make them."""

    def __init__(self, inner):
        self.inner = inner

    def send(self, value):
        return self.inner.send(value)

    def throw(self, *error):
        return self.inner.throw(*error)

    def close(self):
        self.inner.close()

    def __await__(self):
        return self.inner.__await__()


def test_a_task_without_a_frame_is_named_alone():
    async def main():
        await asyncio.create_task(Frameless(asyncio.Event().wait()), name="compiled")

    with pytest.raises(Deadlock, match=r"; compiled$"):
        run_in_virtual_time(main())


def test_the_loop_serves_whoever_runs_it_themselves():
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(asyncio.sleep(3.0))
        runner.run(asyncio.sleep(4.0))
        assert runner.get_loop().time() == 7.0


def test_tasks_left_behind_are_cancelled_and_not_waited_for():
    async def main():
        task = asyncio.create_task(asyncio.sleep(1_000.0))
        await asyncio.sleep(1.0)
        return task

    task, elapsed_s = timed_in_virtual_time(main())
    assert task.cancelled()
    assert elapsed_s == 1.0


def test_errors_pass_through():
    async def main():
        await asyncio.sleep(1.0)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_in_virtual_time(main())


def test_what_is_ready_on_a_file_descriptor_comes_before_any_jump():
    async def main():
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        reader, writer = os.pipe()
        loop.add_reader(reader, arrived.set)
        os.write(writer, b"!")
        try:
            await asyncio.wait_for(arrived.wait(), timeout=100.0)
            return loop.time()
        finally:
            loop.remove_reader(reader)
            os.close(reader)
            os.close(writer)

    assert run_in_virtual_time(main()) == 0.0


# The scripted double


def test_a_script_is_followed_in_the_order_of_asking():
    backend = ScriptedBackend(["Yes", Reply(("No",), prompt_tokens=7), "Maybe"])

    async def main():
        return [await backend.complete(ASK._replace(seed=i, n=i + 1)) for i in range(3)]

    first, second, third = run_in_virtual_time(main())
    assert (first.texts, first.model) == (("Yes",), "scripted-1")
    assert second == Reply(("No",), prompt_tokens=7)
    assert third.texts == ("Maybe",) * 3
    assert [request.seed for request in backend.requests] == [0, 1, 2]


def test_a_script_may_raise_and_go_on():
    backend = ScriptedBackend([TransientError("busy", kind="rate_limit"), "Yes"])

    async def main():
        with pytest.raises(TransientError, match="busy"):
            await backend.complete(ASK)
        return await backend.complete(ASK)

    assert run_in_virtual_time(main()).texts == ("Yes",)
    assert len(backend.requests) == 2


def test_a_script_that_ends_says_which_request_came_too_many():
    backend = ScriptedBackend(iter(["Yes"]))

    async def main():
        await backend.complete(ASK)
        await backend.complete(ASK._replace(seed=31337))

    with pytest.raises(AssertionError, match=r"no answer left for Request\(.*31337"):
        run_in_virtual_time(main())


def test_a_script_may_be_a_function_of_the_request():
    backend = ScriptedBackend(lambda request: "Yes" if request.seed % 2 else RequestRejected("even"))

    async def main():
        with pytest.raises(RequestRejected, match="even"):
            await backend.complete(ASK)
        return await backend.complete(ASK._replace(seed=1))

    assert run_in_virtual_time(main()).texts == ("Yes",)


def test_a_script_may_take_its_time():
    async def slowly(request):
        await asyncio.sleep(request.seed)
        return f"after {request.seed}"

    async def main():
        backend = ScriptedBackend(slowly)
        return await asyncio.gather(*(backend.complete(ASK._replace(seed=i)) for i in (3, 1, 2)))

    replies, elapsed_s = timed_in_virtual_time(main())
    assert [reply.texts for reply in replies] == [("after 3",), ("after 1",), ("after 2",)]
    assert elapsed_s == 3.0


def test_the_double_is_a_backend_and_remembers_that_it_was_closed():
    backend = ScriptedBackend([], name="other", model_name="other-2")
    assert isinstance(backend, Backend)
    assert (backend.name, backend.model_name, backend.closed) == ("other", "other-2", False)
    run_in_virtual_time(backend.aclose())
    assert backend.closed
