"""The in-flight limit: in order, within bounds, halved once for an overload, closed while a server rests."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import Reply, Request
from agentnet.errors import PluginError, RequestRejected, TransientError
from agentnet.stack import AdaptiveLimit, LimitChange, Pause, Retry
from agentnet.testing import ScriptedBackend, run_in_virtual_time, timed_in_virtual_time

ASK = Request((("user", "Do you share it?"),))


def numbered(number):
    return ASK._replace(seed=number)


def now():
    return asyncio.get_running_loop().time()


class Server:
    """Answers request number i after `latency_s(i)`, by `fate(i)`; knows who is inside."""

    def __init__(self, latency_s=lambda i: 1.0, fate=lambda i: "Yes"):
        self.latency_s, self.fate = latency_s, fate
        self.begun = []
        self.inside = self.peak = 0
        self.backend = ScriptedBackend(self.answer)

    async def answer(self, request):
        self.begun.append((now(), request.seed))
        self.inside += 1
        self.peak = max(self.peak, self.inside)
        try:
            await asyncio.sleep(self.latency_s(request.seed))
            return self.fate(request.seed)
        finally:
            self.inside -= 1

    @property
    def order(self):
        return [number for _, number in self.begun]


async def ask_all(limit, count, first=0):
    asked = (limit.complete(numbered(first + i)) for i in range(count))
    return await asyncio.gather(*asked, return_exceptions=True)


@given(
    latencies=st.lists(st.integers(0, 5), max_size=60),
    fates=st.lists(
        st.sampled_from(["Yes", "rate_limit", "timeout", "broken", "rejected", "hint"]), min_size=1
    ),
    start=st.integers(1, 12),
    lowest=st.integers(1, 4),
    spread=st.integers(0, 8),
    cancelled=st.sets(st.integers(0, 59)),
    cancel_at=st.integers(0, 9),
    probe_after_s=st.sampled_from([None, 0.5, 1.0]),
)
def test_never_more_than_the_limit_inside_and_everybody_is_answered_in_order(
    latencies, fates, start, lowest, spread, cancelled, cancel_at, probe_after_s
):
    highest = lowest + spread

    def fate(i):
        match fates[i % len(fates)]:
            case "Yes":
                return "Yes"
            case "rejected":
                return RequestRejected("no")
            case "hint":
                return TransientError("busy", kind="rate_limit", retry_after_s=3.0)
            case kind:
                return TransientError("busy", kind=kind)

    server = Server(lambda i: float(latencies[i]), fate)
    changes = []

    async def play():
        pause = Pause(probe_after_s=probe_after_s)
        limit = AdaptiveLimit(
            server.backend, start=start, lowest=lowest, highest=highest, pause=pause, tell=changes.append
        )
        tasks = [asyncio.create_task(limit.complete(numbered(i))) for i in range(len(latencies))]
        await asyncio.sleep(cancel_at)
        for i in cancelled:
            if i < len(tasks):
                tasks[i].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(100.0)
        assert limit.in_flight == 0
        assert lowest <= limit.limit <= highest
        # Nothing has been lost: all the room is there again.
        before = len(server.begun)
        server.latency_s, server.fate = lambda i: 1.0, lambda i: "Yes"
        await asyncio.gather(*(limit.complete(numbered(1000 + i)) for i in range(limit.limit)))
        assert {at for at, _ in server.begun[before:]} == {server.begun[-1][0]}

    run_in_virtual_time(play())
    order = [number for number in server.order if number < 1000]
    assert order == sorted(order)
    assert set(order) >= set(range(len(latencies))) - cancelled
    assert server.peak <= highest
    assert all(change.reason == "paused" or lowest <= change.limit <= highest for change in changes)


def test_a_place_handed_to_somebody_who_gives_up_at_that_moment_is_not_lost():
    """0 and 1 end together and let 2 and 3 in; 2 is asked first and cancels 3, whose place then is 4's."""
    tasks, begun = [], []

    async def answer(request):
        begun.append((now(), request.seed))
        if request.seed == 2:
            tasks[3].cancel()
        await asyncio.sleep(1.0)
        return "Yes"

    async def play():
        limit = AdaptiveLimit(ScriptedBackend(answer), start=2, highest=2)
        tasks.extend(asyncio.create_task(limit.complete(numbered(i))) for i in range(5))
        await asyncio.wait(tasks)
        assert limit.in_flight == 0

    run_in_virtual_time(play())
    assert tasks[3].cancelled()
    assert begun == [(0.0, 0), (0.0, 1), (1.0, 2), (1.0, 4)]


def test_a_limit_of_one_asks_one_after_the_other():
    server = Server()
    run_in_virtual_time(ask_all(AdaptiveLimit(server.backend, start=1, highest=1), 5))
    assert server.begun == [(float(i), i) for i in range(5)]


def test_an_overload_halves_the_limit_once_for_all_that_were_inside_together():
    server = Server(fate=lambda i: TransientError("busy", kind="overloaded") if i < 8 else "Yes")
    changes = []
    limit = AdaptiveLimit(server.backend, start=8, highest=8, tell=changes.append)

    async def play():
        await ask_all(limit, 8)
        assert limit.limit == 4
        await ask_all(limit, 1, first=0)
        assert limit.limit == 2

    run_in_virtual_time(play())
    assert changes == [LimitChange(4, "overloaded"), LimitChange(2, "overloaded")]


@pytest.mark.parametrize("kind", ["broken", "garbled", "simulated"])
def test_a_failure_that_is_not_of_load_changes_nothing(kind):
    server = Server(fate=lambda i: TransientError("oh", kind=kind))
    limit = AdaptiveLimit(server.backend, start=8, highest=8)
    run_in_virtual_time(ask_all(limit, 8))
    assert limit.limit == 8


@pytest.mark.parametrize("start", [1, 10, 30])
def test_a_full_limits_worth_of_replies_raises_it_by_about_one(start):
    limit = AdaptiveLimit(Server().backend, start=start, highest=1000)
    run_in_virtual_time(ask_all(limit, 1000))
    # dL = dn / L gives L^2 = start^2 + 2 n; the last L replies leave room to spare and do not count.
    assert limit.limit == pytest.approx((start**2 + 2 * (1000 - limit.limit)) ** 0.5, abs=2.0)


def test_growth_is_told_at_steps_and_at_the_end():
    changes = []
    limit = AdaptiveLimit(Server().backend, start=4, highest=16, tell=changes.append)
    run_in_virtual_time(ask_all(limit, 300))
    assert limit.limit == 16
    assert changes == [
        LimitChange(6, "grown"),
        LimitChange(9, "grown"),
        LimitChange(13, "grown"),
        LimitChange(16, "grown"),
    ]


def test_replies_with_room_to_spare_do_not_raise_the_limit():
    limit = AdaptiveLimit(Server().backend, start=8, highest=100)

    async def play():
        for turn in range(50):
            await ask_all(limit, 4, first=100 * turn)

    run_in_virtual_time(play())
    assert limit.limit == 8


def test_replies_to_requests_from_before_a_decrease_do_not_raise_the_limit():
    server = Server(
        latency_s=lambda i: 1.0 if i == 0 else 2.0,
        fate=lambda i: TransientError("slow", kind="timeout") if i == 0 else "Yes",
    )
    limit = AdaptiveLimit(server.backend, start=64, highest=128)
    run_in_virtual_time(ask_all(limit, 64))
    assert limit.limit == 32


def test_the_start_is_brought_within_the_bounds():
    backend = ScriptedBackend([])
    assert AdaptiveLimit(backend, start=99, lowest=2, highest=5).limit == 5
    assert AdaptiveLimit(backend, start=1, lowest=2, highest=5).limit == 2


def hinting(hint_s, first=1):
    return lambda i: TransientError("rest", kind="rate_limit", retry_after_s=hint_s) if i < first else "Yes"


def test_a_server_that_asks_for_rest_gets_it_from_everybody():
    """Request 0 is told to come back in 20 s; nobody begins before that, and not all that much later."""
    server = Server(fate=hinting(20.0))
    changes = []
    limit = AdaptiveLimit(server.backend, start=4, highest=4, tell=changes.append)
    run_in_virtual_time(ask_all(limit, 12))
    first, later = server.begun[:4], server.begun[4:]
    assert {at for at, _ in first} == {0.0}
    assert 21.0 <= later[0][0] <= 1.0 + 1.25 * 20.0
    assert server.order == list(range(12))
    assert [change[:2] for change in changes[:3]] == [(2, "rate_limit"), (0, "paused"), (2, "resumed")]


def test_newcomers_wait_for_the_end_of_a_pause_too():
    server = Server(fate=hinting(20.0))
    limit = AdaptiveLimit(server.backend, start=4, highest=4)

    async def play():
        await ask_all(limit, 1)
        await asyncio.sleep(10.0)
        await ask_all(limit, 3, first=10)

    run_in_virtual_time(play())
    assert all(at >= 21.0 for at, _ in server.begun[1:])


def test_a_longer_hint_makes_a_pause_longer_and_a_shorter_one_does_not():
    hints = {0: 10.0, 1: 40.0, 2: 5.0}
    server = Server(
        latency_s=lambda i: 1.0 + i,
        fate=lambda i: (
            TransientError("rest", kind="overloaded", retry_after_s=hints[i]) if i in hints else "Yes"
        ),
    )
    limit = AdaptiveLimit(server.backend, start=3, highest=3)
    run_in_virtual_time(ask_all(limit, 6))
    assert 42.0 <= server.begun[3][0] <= 2.0 + 1.25 * 40.0


@pytest.mark.parametrize("end", ["Yes", TransientError("slow", kind="timeout")])
def test_what_ends_during_a_pause_does_not_end_the_pause(end):
    """2, of an era before, asks for rest at 3 s; 1, of the present era, ends at 5.5 s; 3 still waits."""
    latencies = {0: 1.0, 1: 4.0, 2: 3.0}
    ends = {
        0: TransientError("slow", kind="timeout"),
        1: end,
        2: TransientError("rest", kind="rate_limit", retry_after_s=50.0),
    }
    server = Server(lambda i: latencies.get(i, 1.0), lambda i: ends.get(i, "Yes"))

    async def ask(limit, number, at):
        await asyncio.sleep(at)
        await limit.complete(numbered(number))

    async def play():
        limit = AdaptiveLimit(server.backend, start=8, highest=10)
        times = {0: 0.0, 2: 0.0, 1: 1.5, 3: 4.0}
        await asyncio.gather(*(ask(limit, i, at) for i, at in times.items()), return_exceptions=True)

    run_in_virtual_time(play())
    assert server.order == [0, 2, 1, 3]
    assert server.begun[-1][0] >= 53.0


def test_the_longest_pause_is_bounded():
    server = Server(fate=hinting(1e12))
    limit = AdaptiveLimit(server.backend, start=1, highest=1, pause=Pause(longest_s=60.0))
    run_in_virtual_time(ask_all(limit, 2))
    assert 61.0 <= server.begun[1][0] <= 76.0


@pytest.mark.parametrize("hint_s", [None, 0.0, -1.0, float("nan")])
def test_without_a_hint_there_is_no_pause(hint_s):
    server = Server(fate=hinting(hint_s))
    limit = AdaptiveLimit(server.backend, start=2, highest=2)
    run_in_virtual_time(ask_all(limit, 3))
    assert [at for at, _ in server.begun] == [0.0, 0.0, 1.0]


def test_a_hint_with_another_kind_of_trouble_concerns_that_request_alone():
    server = Server(fate=lambda i: TransientError("broken", kind="broken", retry_after_s=100.0))
    limit = AdaptiveLimit(server.backend, start=1, highest=1)
    run_in_virtual_time(ask_all(limit, 3))
    assert [at for at, _ in server.begun] == [0.0, 1.0, 2.0]


def probed(server, in_flight=4, **options):
    return AdaptiveLimit(
        server.backend, start=in_flight, highest=in_flight, pause=Pause(probe_after_s=2.0), **options
    )


def test_probes_wait_twice_as_long_each_time_until_one_is_answered_and_ends_the_pause():
    """4 is sent as soon as 1 to 3 are answered, at 1 s, in vain; 7 is answered at 33 s, long before 801 s."""
    server = Server(fate=lambda i: hinting(800.0)(0) if i in {0, 4, 5, 6} else "Yes")
    changes = []
    run_in_virtual_time(ask_all(probed(server, tell=changes.append), 12))
    assert server.begun[4:8] == [(1.0, 4), (6.0, 5), (15.0, 6), (32.0, 7)]
    assert {at for at, _ in server.begun[8:]} == {33.0, 34.0}
    assert [change[:2] for change in changes] == [
        (2, "rate_limit"),
        (0, "paused"),
        (2, "resumed"),
        (3, "grown"),
    ]


def test_a_probe_that_fails_does_not_lower_the_limit_further():
    server = Server(fate=hinting(30.0, first=8))
    changes = []
    limit = probed(server, in_flight=4, tell=changes.append)
    run_in_virtual_time(ask_all(limit, 12))
    assert [change.limit for change in changes if change.reason == "rate_limit"] == [2]


@pytest.mark.parametrize(
    ("end", "is_over"),
    [
        (RequestRejected("filtered"), True),
        (TransientError("oh", kind="reset"), False),
        (TransientError("slow", kind="timeout"), False),
        (RuntimeError("a bug"), False),
    ],
)
def test_a_probe_that_the_server_answered_ends_the_pause_whatever_the_answer(end, is_over):
    server = Server(fate=lambda i: hinting(100.0)(0) if i == 0 else end if i == 1 else "Yes")
    run_in_virtual_time(ask_all(probed(server, in_flight=1), 3))
    assert server.begun[1] == (3.0, 1)
    assert server.begun[2][0] == (4.0 if is_over else 8.0)


def test_whoever_comes_when_a_probe_is_due_is_the_probe():
    server = Server(fate=hinting(100.0))

    async def play():
        limit = probed(server)
        await ask_all(limit, 1)
        await asyncio.sleep(9.0)
        await ask_all(limit, 3, first=10)

    run_in_virtual_time(play())
    assert server.begun[1:] == [(10.0, 10), (11.0, 11), (11.0, 12)]


@pytest.mark.parametrize(("given_up_at", "next_at"), [(5.0, 9.0), (3.0 + 1e-10, 7.0)])
def test_a_probe_that_is_given_up_is_followed_by_another(given_up_at, next_at):
    """The second one is given up after it was let in, and before it knows."""
    server = Server(latency_s=lambda i: 50.0 if i == 1 else 1.0, fate=hinting(100.0))

    async def play():
        limit = probed(server, in_flight=1)
        tasks = [asyncio.create_task(limit.complete(numbered(i))) for i in range(3)]
        asyncio.get_running_loop().call_at(given_up_at, tasks[1].cancel)
        await asyncio.wait(tasks)
        assert limit.in_flight == 0

    run_in_virtual_time(play())
    assert server.begun[-1] == (pytest.approx(next_at), 2)


def test_what_was_sent_before_a_probe_was_answered_begins_no_new_pause():
    """1 hears at 10 s what 0 heard at 1 s; the probe has been answered since."""
    server = Server(latency_s=lambda i: 10.0 if i == 1 else 1.0, fate=hinting(100.0, first=2))
    changes = []
    run_in_virtual_time(ask_all(probed(server, in_flight=6, tell=changes.append), 40))
    assert sum(change.reason == "paused" for change in changes) == 1


def test_hints_that_the_pause_covers_are_waited_for_by_nobody_else():
    def hint_left(hint_s, pause):
        limit = AdaptiveLimit(Server(fate=hinting(hint_s)).backend, start=1, highest=1, pause=pause)
        [error] = run_in_virtual_time(ask_all(limit, 1))
        return error.retry_after_s

    assert hint_left(20.0, Pause(probe_after_s=2.0)) is None
    assert hint_left(20.0, Pause()) == 20.0
    assert hint_left(1e4, Pause(probe_after_s=2.0)) == 1e4


def test_a_hint_beyond_the_longest_pause_is_not_probed():
    server = Server(fate=hinting(1e4))
    run_in_virtual_time(ask_all(probed(server), 6))
    assert server.begun[4][0] >= 901.0


def test_where_a_probe_has_shown_that_a_hint_was_too_long_the_next_one_pauses_nobody():
    server = Server(latency_s=lambda i: 0.0, fate=lambda i: hinting(60.0)(0) if i % 2 == 0 else "Yes")
    run_in_virtual_time(ask_all(probed(server, in_flight=1), 12))
    times = [at for at, _ in server.begun if _ % 2 == 1]
    assert times == [2.0] * 6


def test_where_nobody_is_answered_since_the_last_hint_the_next_one_pauses_again():
    server = Server(fate=lambda i: "Yes" if i in {1, 4} else hinting(60.0)(0))
    run_in_virtual_time(ask_all(probed(server, in_flight=1), 6))
    assert [at for at, _ in server.begun] == [0.0, 3.0, 4.0, 5.0, 8.0, 9.0]


class Slots:
    """Has so many requests at once, and sends all others away for a minute."""

    def __init__(self, most):
        self.most, self.inside, self.n_rejected = most, 0, 0
        self.backend = ScriptedBackend(self.answer)

    async def answer(self, request):
        await asyncio.sleep(0.01)
        if self.inside >= self.most:
            self.n_rejected += 1
            raise TransientError("busy", kind="rate_limit", retry_after_s=60.0)
        self.inside += 1
        await asyncio.sleep(0.5)
        self.inside -= 1
        return "Yes"


@pytest.mark.parametrize("most", [1, 4, 16])
def test_a_bound_on_what_is_inside_costs_no_minute_whatever_the_server_asks_for(most):
    """At least 95% of the rate that so many in flight have; with pauses it was 52 to 64%."""
    server, n_calls, changes = Slots(most), 100 * most, []
    numbers = iter(range(n_calls))

    async def play():
        limit = AdaptiveLimit(
            server.backend, start=64, highest=64, pause=Pause(probe_after_s=2.0), tell=changes.append
        )
        retry = Retry(limit)

        async def work():
            for i in numbers:
                await retry.complete(numbered(i))

        await asyncio.gather(*(work() for _ in range(64)))
        return limit.limit

    limit, took_s = timed_in_virtual_time(play())
    assert limit in {most, most + 1}
    assert n_calls * 0.51 / most / took_s > 0.95
    assert server.n_rejected < 0.2 * n_calls + 64
    assert sum(change.reason == "paused" for change in changes) <= 2


def test_a_server_that_wants_its_minute_gets_it_again_and_again():
    """Ten requests in each minute of the clock: whoever asks before the next one is sent away until then."""
    windows, early = {}, []

    async def answer(request):
        await asyncio.sleep(0.01)
        minute = now() // 60.0
        if windows.setdefault(minute, 0) < 10:
            windows[minute] += 1
            await asyncio.sleep(0.5)
            return "Yes"
        early.append(now())
        raise TransientError("busy", kind="rate_limit", retry_after_s=60.0 * (minute + 1.0) - now())

    async def play():
        limit = AdaptiveLimit(ScriptedBackend(answer), start=8, highest=8, pause=Pause(probe_after_s=2.0))
        retry = Retry(limit)
        await asyncio.gather(*(retry.complete(numbered(i)) for i in range(60)))

    _, took_s = timed_in_virtual_time(play())
    assert took_s < 6 * 60.0
    assert len(early) < 60


def test_pauses_differ_in_length():
    def resumed_at(seed):
        server = Server(fate=hinting(100.0))
        limit = AdaptiveLimit(server.backend, start=1, highest=1, pause=Pause(seed=seed))
        run_in_virtual_time(ask_all(limit, 2))
        return server.begun[1][0]

    assert len({resumed_at(seed) for seed in range(5)}) == 5


def test_a_failed_attempt_is_timed_without_the_wait_for_its_turn():
    server = Server(latency_s=lambda i: 3.0, fate=lambda i: TransientError("oh", kind="broken"))
    limit = AdaptiveLimit(server.backend, start=1, highest=1)
    errors = run_in_virtual_time(ask_all(limit, 4))
    assert [error.took_s for error in errors] == [3.0] * 4


def test_it_serves_one_event_loop_after_the_other_even_out_of_a_pause():
    server = Server(fate=hinting(1e4))
    limit = AdaptiveLimit(server.backend, start=2, highest=2, pause=Pause(longest_s=1e4))

    async def give_up():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100.0):
                await ask_all(limit, 5)

    run_in_virtual_time(give_up())
    assert limit.in_flight == 0
    replies = run_in_virtual_time(ask_all(limit, 5, first=10))
    assert [reply.texts for reply in replies] == [("Yes",)] * 5
    assert server.begun[-1][0] < 10.0


def test_thousands_may_wait():
    server = Server(latency_s=lambda i: 0.01)
    limit = AdaptiveLimit(server.backend, start=100, highest=100)
    replies = run_in_virtual_time(ask_all(limit, 3000))
    assert len(replies) == 3000
    assert server.order == list(range(3000))
    assert server.peak == 100


async def cancelled():
    raise asyncio.CancelledError


async def by_and_by(request):
    yield Reply(("Yes",))


@pytest.mark.parametrize("complete", [by_and_by, lambda request: Reply(("Yes",))])
def test_a_backend_that_is_not_async_is_told_so(complete):
    backend = SimpleNamespace(name="odd", model_name="odd", complete=complete)
    with pytest.raises(PluginError, match="complete of backend 'odd' is not async"):
        asyncio.run(AdaptiveLimit(backend, start=1, highest=1).complete(ASK))


@pytest.mark.parametrize("aclose", [lambda: None, cancelled])
def test_a_backend_that_cannot_be_closed_is_told_so(aclose):
    backend = SimpleNamespace(name="odd", model_name="odd", aclose=aclose)
    with pytest.raises(PluginError, match=r"aclose of backend 'odd' (is not async|broke off by asyncio)"):
        asyncio.run(AdaptiveLimit(backend, start=1, highest=1).aclose())
