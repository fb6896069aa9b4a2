"""The throttle: never more than the bound in a window, in order, refunded, and never hanging anybody."""

import asyncio
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import Reply, Request
from agentnet.errors import InternalError, RunStopped, TransientError
from agentnet.stack import Pause, Throttle
from agentnet.stack.throttle import LoopThrottler
from agentnet.testing import ScriptedBackend, run_in_virtual_time

ASK = Request((("user", "Do you share it?"),), max_tokens=10)
ROUNDING_S = 1e-9


def numbered(number):
    return ASK._replace(seed=number)


def now():
    return asyncio.get_running_loop().time()


class Server:
    """Answers at once, or as told; knows when each request came."""

    def __init__(self, answer=lambda request: "Yes"):
        self.came = []
        self.answer = answer
        self.backend = ScriptedBackend(self.note)

    def note(self, request):
        self.came.append((now(), request.seed))
        return self.answer(request)

    @property
    def times(self):
        return [at for at, _ in self.came]

    @property
    def order(self):
        return [number for _, number in self.came]


async def ask_all(throttle, numbers):
    return await asyncio.gather(
        *(throttle.complete(numbered(number)) for number in numbers), return_exceptions=True
    )


def play(throttle, numbers):
    return run_in_virtual_time(ask_all(throttle, numbers))


@given(
    requests_per_minute=st.floats(0.5, 1e5),
    arrivals=st.lists(st.floats(0, 10), max_size=80),
    cancelled=st.sets(st.integers(0, 79)),
    patience_s=st.floats(0, 5),
)
def test_no_window_ever_has_more_requests_than_its_bound(
    requests_per_minute, arrivals, cancelled, patience_s
):
    server, arrived = Server(), []

    async def ask(throttle, number, at):
        await asyncio.sleep(at)
        arrived.append(number)
        async with asyncio.timeout(patience_s if number in cancelled else None):
            await throttle.complete(numbered(number))

    async def main():
        throttle = Throttle(server.backend, requests_per_minute=requests_per_minute)
        asked = (ask(throttle, number, at) for number, at in enumerate(sorted(arrivals)))
        await asyncio.gather(*asked, return_exceptions=True)
        await throttle.aclose()

    run_in_virtual_time(main())
    in_window = max(1, math.floor(requests_per_minute / 600 + ROUNDING_S))
    window_s = in_window * 60 / requests_per_minute
    for first, next_window in zip(server.times, server.times[in_window:], strict=False):
        assert next_window - first >= window_s - ROUNDING_S
    assert set(server.order) >= set(range(len(arrivals))) - cancelled
    assert server.order == [number for number in arrived if number in set(server.order)]


@pytest.mark.parametrize("requests_per_minute", [3, 60, 500, 6000, 60_000])
def test_the_rate_is_used_up_to_a_thousandth(requests_per_minute):
    in_window = max(1, requests_per_minute // 600)
    n = 20 * in_window
    server = Server()
    play(Throttle(server.backend, requests_per_minute=requests_per_minute), range(n))
    # The first window is for nothing, each further one costs its length.
    assert server.times[-1] == pytest.approx(
        (math.ceil(n / in_window) - 1) * in_window * 60 / requests_per_minute, rel=1e-3
    )
    assert server.order == list(range(n))


def test_below_the_rate_nobody_waits():
    server = Server()

    async def main():
        throttle = Throttle(server.backend, requests_per_minute=600, tokens_per_minute=1e6)
        for number in range(20):
            await throttle.complete(numbered(number))
            await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == 1, "no task is needed while nobody waits"

    run_in_virtual_time(main())
    assert server.times == pytest.approx([0.1 * i for i in range(20)], abs=1e-4)


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=20),
    used=st.lists(st.floats(0, 1) | st.none(), min_size=1),
    tokens_per_minute=st.integers(2000, 6000),
)
def test_no_span_ever_has_more_tokens_reserved_than_flow_in(sizes, used, tokens_per_minute):
    """Before each request the bucket holds what it needs, or is full; what was not used flows back."""
    refunds = []

    def answer(request):
        share = used[request.seed % len(used)]
        n_tokens = None if share is None else int(share * request.max_tokens)
        refunds.append(0 if n_tokens is None else request.max_tokens - n_tokens)
        return Reply(("Yes",), None if n_tokens is None else 0, n_tokens)

    server = Server(answer)

    async def main():
        throttle = Throttle(server.backend, tokens_per_minute=tokens_per_minute)
        empty = Request((), max_tokens=1)
        await asyncio.gather(
            *(throttle.complete(empty._replace(seed=i, max_tokens=size)) for i, size in enumerate(sizes))
        )

    run_in_virtual_time(main())
    assert server.order == list(range(len(sizes)))
    per_second, most = tokens_per_minute / 60, tokens_per_minute / 10
    level, at = most, 0.0
    for (came, number), refund in zip(server.came, refunds, strict=True):
        level, at = min(most, level + (came - at) * per_second), came
        assert level >= min(sizes[number], most) - 1e-6
        level = min(most, level - sizes[number] + refund)


def test_unused_tokens_are_given_back():
    """Each request reserves 1000 tokens and uses 100: at 6000 a minute one passes a second."""
    server = Server(lambda request: Reply(("Yes",), 0, 100))

    async def main():
        throttle = Throttle(server.backend, tokens_per_minute=6000)
        big = Request((), max_tokens=1000)
        await asyncio.gather(*(throttle.complete(big._replace(seed=i)) for i in range(30)))

    run_in_virtual_time(main())
    assert all(0.9 < b - a < 1.2 for a, b in pairwise(server.times[2:]))


def test_a_refund_shortens_the_wait_of_whoever_is_waiting():
    async def slowly(request):
        await asyncio.sleep(1.0)
        return Reply(("Yes",), 0, 0)

    server = Server(slowly)

    async def main():
        throttle = Throttle(server.backend, tokens_per_minute=60)
        huge = Request((), max_tokens=60)
        await asyncio.gather(throttle.complete(huge), throttle.complete(huge))

    run_in_virtual_time(main())
    assert server.times[1] == pytest.approx(1.0, abs=0.2)


def test_what_a_prompt_takes_is_learnt_from_the_server():
    server = Server(lambda request: Reply(("Yes",), 5, None))
    text = Request((("user", "x" * 3000),), max_tokens=5)

    async def main():
        throttle = Throttle(server.backend, tokens_per_minute=600)
        for _ in range(7):
            await throttle.complete(text)

    run_in_virtual_time(main())
    # Guessed at 1000 tokens the first one empties the bucket of 60; known to take 10, the others pass.
    assert server.times[-1] <= 2.0


def test_a_request_for_more_tokens_than_a_minute_has_passes_when_its_turn_comes():
    server = Server(lambda request: TransientError("oh", kind="broken"))

    async def main():
        throttle = Throttle(server.backend, tokens_per_minute=6000)
        huge = Request((), max_tokens=6000)
        await asyncio.gather(*(throttle.complete(huge) for _ in range(3)), return_exceptions=True)

    run_in_virtual_time(main())
    assert server.times == pytest.approx([0.0, 60.0, 120.0], abs=0.2)


@pytest.mark.parametrize(("n", "max_tokens"), [(1, 6001), (3, 2001)])
def test_a_request_that_no_minute_can_admit_stops_the_run_before_it_is_sent(n, max_tokens):
    server = Server()

    async def main():
        throttle = Throttle(server.backend, tokens_per_minute=6000)
        with pytest.raises(RunStopped, match=r"may take 6,00[13] tokens .* stack\.tokens_per_minute = 6,000"):
            await throttle.complete(Request((), n=n, max_tokens=max_tokens))

    run_in_virtual_time(main())
    assert server.came == []


def test_a_prompt_that_is_only_guessed_stops_no_run_and_one_that_is_known_does():
    server = Server(lambda request: Reply(("Yes",), 5990, 10))
    text = Request((("user", "x" * 30_000),), max_tokens=10)

    async def main():
        throttle = Throttle(server.backend, tokens_per_minute=6000)
        await throttle.complete(text)
        with pytest.raises(RunStopped, match="6,001 tokens"):
            await throttle.complete(text._replace(max_tokens=11))

    run_in_virtual_time(main())
    assert len(server.came) == 1


def test_tries_of_the_same_request_take_a_permit_each():
    server = Server(lambda request: TransientError("oh", kind="broken"))

    async def main():
        throttle = Throttle(server.backend, requests_per_minute=60)
        for _ in range(4):
            await asyncio.gather(throttle.complete(ASK), return_exceptions=True)

    run_in_virtual_time(main())
    assert server.times == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=1e-3)


def test_those_who_give_up_leave_their_permits_to_the_others():
    """One permit a second: 50 in line, all but three give up after half a second."""
    server = Server()

    async def main():
        throttle = Throttle(server.backend, requests_per_minute=60)
        tasks = [asyncio.create_task(throttle.complete(numbered(i))) for i in range(51)]
        await asyncio.sleep(0.5)
        for i in range(1, 51):
            if i not in {10, 20, 30}:
                tasks[i].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_in_virtual_time(main())
    assert server.order == [0, 10, 20, 30]
    assert server.times == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=1e-3)


@pytest.mark.parametrize("tokens_per_minute", [6000, None])
def test_a_permit_handed_to_somebody_who_gives_up_at_that_moment_is_not_lost(tokens_per_minute):
    """Two permits a tenth of a second: 2 and 3 get theirs together, and then 2 cancels 3."""
    tasks = []

    def answer(request):
        if request.seed == 2:
            tasks[3].cancel()
        return Reply(("Yes",), 0, 0)

    server = Server(answer)

    async def main():
        throttle = Throttle(server.backend, requests_per_minute=1200, tokens_per_minute=tokens_per_minute)
        tasks.extend(asyncio.create_task(throttle.complete(numbered(i))) for i in range(4))
        await asyncio.wait(tasks)
        assert tasks[3].cancelled()
        await throttle.complete(numbered(4))

    run_in_virtual_time(main())
    assert server.order == [0, 1, 2, 4]
    assert server.times == pytest.approx([0.0, 0.0, 0.1, 0.1], abs=1e-4)


def test_tokens_handed_to_somebody_who_gives_up_at_that_moment_are_not_lost():
    """A hundred flow in while a pause lasts: enough for 0 and 1, who get them together; then 0 cancels 1."""
    pause, tasks, wanted = Pause(), [], Request((), max_tokens=50)

    def answer(request):
        if request.seed == 0:
            tasks[1].cancel()
        return Reply(("Yes",), 0, 50)

    server = Server(answer)

    async def main():
        throttle = Throttle(server.backend, tokens_per_minute=1000, pause=pause)
        pause.heed(TransientError("rest", kind="rate_limit", retry_after_s=10.0))
        tasks.extend(asyncio.create_task(throttle.complete(wanted._replace(seed=i))) for i in range(2))
        await asyncio.wait(tasks)
        began = now()
        await throttle.complete(wanted._replace(seed=2))
        assert now() == began

    run_in_virtual_time(main())
    assert tasks[1].cancelled()
    assert server.order == [0, 2]


def test_closing_a_throttle_that_was_never_used_closes_the_inner_backend():
    backend = ScriptedBackend([])
    run_in_virtual_time(Throttle(backend, requests_per_minute=60).aclose())
    assert backend.closed


@pytest.mark.parametrize("bounds", [{"requests_per_minute": 6000}, {"tokens_per_minute": 60_000}])
def test_a_server_that_asks_for_rest_gets_it_from_everybody(bounds):
    def answer(request):
        rest = TransientError("rest", kind="rate_limit", retry_after_s=20.0)
        return rest if request.seed == 0 else "Yes"

    server = Server(answer)
    throttle = Throttle(server.backend, **bounds)
    play(throttle, range(100))
    later = [at for at, number in server.came if at > 0.0]
    assert later
    assert min(later) >= 20.0
    assert max(later) <= 1.25 * 20.0 + 5.0
    assert server.order == list(range(100))


def test_a_pause_may_be_shared():
    pause, server = Pause(), Server()

    async def main():
        throttle = Throttle(server.backend, requests_per_minute=6000, pause=pause)
        assert pause.heed(TransientError("rest", kind="overloaded", retry_after_s=10.0))
        await ask_all(throttle, range(3))

    run_in_virtual_time(main())
    assert min(server.times) >= 10.0


def test_a_pause_that_begins_while_somebody_waits_for_a_permit_holds_him_too():
    pause, server = Pause(), Server()

    async def main():
        throttle = Throttle(server.backend, requests_per_minute=60, pause=pause)
        asked = asyncio.create_task(ask_all(throttle, range(3)))
        await asyncio.sleep(0.5)
        pause.heed(TransientError("rest", kind="rate_limit", retry_after_s=10.0))
        await asked

    run_in_virtual_time(main())
    assert server.times[0] == 0.0
    assert 10.5 <= server.times[1] <= server.times[2] - 1.0


def test_a_pause_ends_with_its_event_loop():
    server = Server(lambda request: TransientError("rest", kind="rate_limit", retry_after_s=500.0))
    throttle = Throttle(server.backend, requests_per_minute=6000)
    play(throttle, range(1))
    play(throttle, range(1))
    assert server.times == [0.0, 0.0]


def test_cancelling_the_feeder_hangs_nobody():
    server = Server()

    async def main():
        throttle = Throttle(server.backend, requests_per_minute=60)
        asked = asyncio.create_task(ask_all(throttle, range(5)))
        for _ in range(3):
            await asyncio.sleep(0.7)
            for task in asyncio.all_tasks():
                if task.get_name() == "agentnet-throttle":
                    task.cancel()
        await asked

    run_in_virtual_time(main())
    assert server.order == list(range(5))
    assert all(b - a >= 1.0 for a, b in pairwise(server.times))


def test_a_failure_of_the_feeder_reaches_everybody_who_waits(monkeypatch):
    async def fail(self):
        raise OSError("no clock")

    monkeypatch.setattr(LoopThrottler, "acquire", fail)
    outcomes = play(Throttle(Server().backend, requests_per_minute=60), range(3))
    assert [type(outcome) for outcome in outcomes] == [Reply, InternalError, InternalError]
    assert "OSError: no clock" in str(outcomes[1])


def test_closing_cancels_whoever_waits_and_closes_the_inner_backend():
    server = Server()

    async def main():
        throttle = Throttle(server.backend, requests_per_minute=1)
        asked = asyncio.create_task(ask_all(throttle, range(3)))
        await asyncio.sleep(1.0)
        await throttle.aclose()
        outcomes = await asked
        assert [type(outcome) for outcome in outcomes] == [
            Reply,
            asyncio.CancelledError,
            asyncio.CancelledError,
        ]
        assert len(asyncio.all_tasks()) == 1

    run_in_virtual_time(main())
    assert server.backend.closed


def test_it_serves_one_event_loop_after_the_other():
    server = Server()
    throttle = Throttle(server.backend, requests_per_minute=60, tokens_per_minute=6000)

    async def give_up():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3.5):
                await ask_all(throttle, range(100))

    run_in_virtual_time(give_up())
    assert server.times == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=1e-3)
    server.came.clear()
    play(throttle, range(3))
    assert server.times == pytest.approx([0.0, 1.0, 2.0], abs=1e-3)
    run_in_virtual_time(throttle.aclose())


def test_thousands_in_line_are_let_through_in_turns_of_the_loop():
    """However many permits there are at once, others get their turn in between."""
    pause, turns = Pause(), []

    async def tick():
        while len(turns) < 3000:
            turns.append(len(server.came))
            await asyncio.sleep(0)

    def answer(request):
        if request.seed == 0:
            ticking.append(asyncio.create_task(tick()))
        return "Yes"

    ticking, server = [], Server(answer)

    async def main():
        throttle = Throttle(server.backend, requests_per_minute=6e6, tokens_per_minute=1e9, pause=pause)
        pause.heed(TransientError("rest", kind="rate_limit", retry_after_s=1.0))
        await ask_all(throttle, range(3000))
        ticking[0].cancel()

    run_in_virtual_time(main())
    assert server.order == list(range(3000))
    assert max(b - a for a, b in pairwise(turns)) <= 300
