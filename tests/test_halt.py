"""Once a run is to stop, whoever waits is woken at once; what is on its way to the server is waited for."""

import asyncio

import pytest

from agentnet.backend import Reply, Request
from agentnet.errors import Interrupted, TransientError
from agentnet.stack import AdaptiveLimit, Brake, Budget, Halt, Pause, Retry, Throttle
from agentnet.testing import ScriptedBackend, run_in_virtual_time

ASK = Request((("user", "Do you share it?"),), max_tokens=10)
STOP = Interrupted("interrupted")


def now():
    return asyncio.get_running_loop().time()


async def stopped_after(seconds, halt, *calls):
    """Stop in the midst of `calls`; tell how each ended, and when the last one did."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    asyncio.get_running_loop().call_later(seconds, halt.stop, STOP)
    return await asyncio.gather(*tasks, return_exceptions=True), now()


def unavailable(_):
    return TransientError("no upstream", kind="loading")


def told_to_wait(_):
    return TransientError("slow down", kind="rate_limit", retry_after_s=600.0)


async def slow(_):
    await asyncio.sleep(50.0)
    return "Yes"


def test_a_wait_between_attempts_ends_with_the_run():
    async def main():
        halt = Halt()
        retry = Retry(ScriptedBackend(unavailable), halt=halt)
        return await stopped_after(100.0, halt, *(retry.complete(ASK) for _ in range(5)))

    assert run_in_virtual_time(main()) == ([STOP] * 5, 100.0)


def test_a_pause_that_the_server_asked_for_ends_with_the_run():
    async def main():
        halt = Halt()
        limit = AdaptiveLimit(ScriptedBackend(told_to_wait), start=2, highest=2, halt=halt)
        retry = Retry(limit, halt=halt)
        return await stopped_after(30.0, halt, *(retry.complete(ASK) for _ in range(5)))

    assert run_in_virtual_time(main()) == ([STOP] * 5, 30.0)


@pytest.mark.parametrize("wrap", ["throttle", "limit", "budget"])
def test_a_line_ends_with_the_run_and_what_is_on_its_way_is_answered(wrap):
    async def main():
        halt, backend = Halt(), ScriptedBackend(slow)
        wrapped = {
            "throttle": lambda: Throttle(backend, requests_per_minute=1.0, halt=halt),
            "limit": lambda: AdaptiveLimit(backend, start=1, highest=1, halt=halt),
            "budget": lambda: Budget(backend, price=None, max_tokens=200, halt=halt),
        }[wrap]()
        outcomes, ended = await stopped_after(10.0, halt, *(wrapped.complete(ASK) for _ in range(4)))
        return outcomes, ended, len(backend.requests)

    outcomes, ended, n_sent = run_in_virtual_time(main())
    assert n_sent == sum(isinstance(outcome, Reply) for outcome in outcomes)
    assert outcomes.count(STOP) == 4 - n_sent > 0
    assert ended == 50.0


def test_nobody_begins_to_wait_once_the_run_is_to_stop():
    async def failing(_):
        await asyncio.sleep(20.0)
        return TransientError("no upstream", kind="loading")

    async def main():
        halt = Halt()
        return await stopped_after(10.0, halt, Retry(ScriptedBackend(failing), halt=halt).complete(ASK))

    assert run_in_virtual_time(main()) == ([STOP], 20.0)


def test_whoever_is_held_by_the_brake_or_in_line_behind_it_is_woken():
    def broken(_):
        return TransientError("broken", kind="broken")

    async def main():
        halt = Halt()
        brake = Brake(ScriptedBackend(["Yes", *[broken(0) for _ in range(100)]]), after=3, halt=halt)
        await brake.complete(ASK)
        calls = [brake.complete(ASK._replace(seed=n)) for n in range(4)]

        async def later():
            await asyncio.sleep(0.5)
            return await brake.complete(ASK)

        outcome = await stopped_after(0.9, halt, *calls, later())
        await brake.aclose()
        return outcome

    assert run_in_virtual_time(main()) == ([STOP] * 5, 0.9)


def test_what_never_left_is_not_counted_as_a_call():
    async def main():
        halt = Halt()
        throttled = Throttle(ScriptedBackend(slow), requests_per_minute=1.0, halt=halt)
        budget = Budget(throttled, price=None, halt=halt)
        await stopped_after(5.0, halt, *(budget.complete(ASK) for _ in range(4)))
        return budget.spent.calls

    assert run_in_virtual_time(main()) == 1


def test_a_pause_tells_when_it_will_be_over_and_then_nothing():
    async def main():
        pause = Pause()
        assert pause.ends_at() is None
        pause.heed(told_to_wait(0))
        left = pause.left_s()
        during = pause.ends_at()
        await asyncio.sleep(left)
        return left, during, pause.ends_at()

    left, during, after = run_in_virtual_time(main())
    assert 600.0 <= left <= 750.0
    assert during is not None
    assert after is None
