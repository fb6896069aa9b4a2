"""Loads in virtual time, against closed forms and queues worked out by hand."""

import asyncio
import heapq
import math
from collections import Counter
from itertools import count, islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agentnet.backend import Reply, Request
from agentnet.bench import Bound, closed_loop, measure, open_rate
from agentnet.bench.load import UNANSWERED, arrivals
from agentnet.errors import BackendUnusable, RequestRejected, TransientError
from agentnet.testing import ScriptedBackend, run_in_virtual_time, timed_in_virtual_time

few = settings(max_examples=40)


def requests():
    """Questions without end, told apart by their seeds."""
    return (Request((("user", "Do you share it?"),), seed=number) for number in count())


def after(latency_s, text="yes"):
    """A backend that answers each request after a time; any number at once."""

    async def answer(_):
        await asyncio.sleep(latency_s)
        return Reply((text,), 100, 3, "model-1")

    return ScriptedBackend(answer)


def servers(n_servers, service_s):
    """A backend of `n_servers`, each of which answers one request after the other."""
    free = asyncio.Semaphore(n_servers)

    async def answer(_):
        async with free:
            await asyncio.sleep(service_s)
        return "yes"

    return ScriptedBackend(answer)


def closed(backend, in_flight, **how):
    bound = Bound(how.pop("calls", None), how.pop("seconds", None), how.pop("warm_up", None))

    async def main():
        made = backend() if callable(backend) else backend
        return await closed_loop(made, requests(), in_flight=in_flight, bound=bound, **how)

    return run_in_virtual_time(main())


def opened(backend, rate, **how):
    bound = Bound(how.pop("calls", None), how.pop("seconds", None), how.pop("warm_up", None))

    async def main():
        made = backend() if callable(backend) else backend
        return await open_rate(made, requests(), rate=rate, bound=bound, **how)

    return timed_in_virtual_time(main())


def stop_at(seconds):
    """Make an event that is set after a time; call it inside a running loop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    return stop


# Closed loops


@few
@given(in_flight=st.integers(1, 12), latency_s=st.integers(1, 9), calls=st.integers(1, 60))
def test_a_closed_loop_gets_places_over_latency(in_flight, latency_s, calls):
    found = measure(closed(after(latency_s), in_flight, calls=calls))
    places = min(in_flight, calls)
    assert found.requests_per_s == pytest.approx(places / latency_s)
    assert found.decisions_per_s == found.requests_per_s
    assert found.prompt_tokens_per_s == pytest.approx(100 * places / latency_s)
    assert found.completion_tokens_per_s == pytest.approx(3 * places / latency_s)
    assert set(vars_of(found.latency)) == {latency_s}
    assert found.share_of_ideal == pytest.approx(places / in_flight)
    assert len(found.calls) == len(found.replies) == calls


def vars_of(latency):
    return (latency.mean, latency.p50, latency.p95, latency.p99, latency.max)


@few
@given(n_servers=st.integers(1, 4), factor=st.integers(1, 5), service_s=st.integers(1, 5))
def test_beyond_its_servers_a_backend_only_gets_slower(n_servers, factor, service_s):
    in_flight = n_servers * factor
    found = measure(closed(lambda: servers(n_servers, service_s), in_flight, calls=10 * in_flight))
    assert found.requests_per_s == pytest.approx(n_servers / service_s)
    assert found.latency.mean == pytest.approx(factor * service_s)
    assert found.share_of_ideal == pytest.approx(1.0)


@few
@given(in_flight=st.integers(1, 6), latencies=st.lists(st.integers(1, 9), min_size=30, max_size=30))
def test_all_places_are_busy_until_the_window_ends(in_flight, latencies):
    left = iter(latencies)

    async def answer(_):
        await asyncio.sleep(next(left))
        return "yes"

    load = closed(ScriptedBackend(answer), in_flight, calls=30 - in_flight)
    found = measure(load)
    assert found.in_system == (pytest.approx(in_flight), in_flight)
    assert [call.number for call in load.calls] == list(range(30))
    begun = sorted(call.started_s for call in load.calls)[in_flight:]
    assert begun[0] == load.from_s
    # The ends that were followed by no call.
    assert load.to_s == min(Counter(call.ended_s for call in load.calls) - Counter(begun))


def test_a_time_bounds_when_calls_are_begun_and_all_of_them_are_answered():
    load = closed(after(2), 3, seconds=9)
    assert load.from_s == 2
    assert max(call.started_s for call in load.calls) == 10
    assert {call.trouble for call in load.calls} == {""}
    assert measure(load).requests_per_s == pytest.approx(1.5)


def test_the_first_bound_counts():
    assert len(measure(closed(after(1), 2, calls=6, seconds=100)).calls) == 6
    assert len(measure(closed(after(1), 2, calls=600, seconds=5)).calls) == 10


def test_calls_of_the_warm_up_do_not_count():
    async def answer(request):
        await asyncio.sleep(50 if request.seed < 4 else 1)
        return "yes"

    load = closed(ScriptedBackend(answer), 4, calls=40)
    found = measure(load)
    assert load.n_warm_up == 4
    assert found.latency.max == 1
    assert found.requests_per_s == pytest.approx(4.0)
    cold = measure(closed(ScriptedBackend(answer), 4, calls=40, warm_up=0))
    assert cold.latency.max == 50
    assert len(cold.calls) == 40


def test_errors_are_counted_by_kind_and_are_no_replies():
    async def answer(request):
        await asyncio.sleep(1)
        match request.seed % 5:
            case 0:
                return TransientError("slow down", kind="rate_limit")
            case 1:
                return RequestRejected("too long", kind="context_overflow")
        return "yes"

    found = measure(closed(ScriptedBackend(answer), 5, calls=50))
    assert found.errors == {"rate_limit": 10, "context_overflow": 10}
    assert len(found.calls) == 50
    assert len(found.replies) == 30
    assert found.requests_per_s == pytest.approx(3.0)
    assert found.share_of_ideal == pytest.approx(3 / 5)
    assert found.n_unanswered == 0


def test_samples_without_a_decision_are_not_usable():
    texts = ("yes", "hm", '{"share": false, "reason": "It is far away."}', "")

    async def answer(_):
        await asyncio.sleep(1)
        return Reply(texts, 10, 40)

    found = measure(closed(ScriptedBackend(answer), 2, calls=10))
    assert found.usable_share == 0.5
    assert found.decisions_per_s == pytest.approx(4.0)
    assert found.requests_per_s == pytest.approx(2.0)
    strict = measure(closed(ScriptedBackend(answer), 2, calls=10, judge=lambda text: text == "hm"))
    assert strict.usable_share == 0.25


def test_an_unusable_backend_ends_the_load_and_what_was_measured_stays():
    error = BackendUnusable("quota exhausted", kind="quota")

    async def answer(request):
        await asyncio.sleep(1)
        return error if request.seed >= 10 else "yes"

    load = closed(ScriptedBackend(answer), 2, calls=100)
    found = measure(load)
    assert load.error is error
    assert not load.is_stopped
    assert len(found.replies) == 8
    assert found.errors["quota"] >= 1
    assert len(load.calls) <= 13
    assert found.requests_per_s == pytest.approx(2.0 * 4 / 5)


def test_a_plugins_bug_is_raised():
    async def answer(request):
        await asyncio.sleep(1)
        raise ZeroDivisionError

    for load in (lambda backend: closed(backend, 2, calls=5), lambda backend: opened(backend, 2, calls=5)):
        with pytest.raises(ZeroDivisionError):
            load(ScriptedBackend(answer))


def test_a_stopped_load_ends_at_once_and_says_what_was_in_flight():
    async def main():
        return await closed_loop(
            after(2), requests(), in_flight=3, bound=Bound(calls=1000), stop=stop_at(9)
        ), asyncio.get_running_loop().time()

    load, ended = run_in_virtual_time(main())
    found = measure(load)
    assert ended == 9
    assert load.is_stopped
    assert (len(found.replies), found.n_unanswered) == (9, 3)
    assert load.to_s == 9
    assert {call.ended_s for call in load.calls if call.trouble == UNANSWERED} == {9}
    assert found.requests_per_s == pytest.approx(9 / 7)


def test_a_load_stopped_in_its_warm_up_measured_nothing():
    async def main():
        return await closed_loop(after(5), requests(), in_flight=3, bound=Bound(calls=9), stop=stop_at(1))

    found = measure(run_in_virtual_time(main()))
    assert found.calls == ()
    assert (found.requests_per_s, found.share_of_ideal, found.usable_share) == (0.0, None, None)
    assert math.isnan(found.latency.mean)
    assert found.in_system == (0.0, 0)


def test_a_backend_that_never_waits_starves_neither_its_places_nor_the_stop():
    turns = count()

    async def main():
        stop = asyncio.Event()

        async def watch():
            for _ in range(20):
                next(turns)
                await asyncio.sleep(0)
            stop.set()

        watching = asyncio.create_task(watch())
        load = await closed_loop(
            ScriptedBackend(lambda _: "yes"), requests(), in_flight=4, bound=Bound(calls=10**6), stop=stop
        )
        await watching
        return load

    load = run_in_virtual_time(main())
    assert load.is_stopped
    assert next(turns) == 20
    assert len(load.calls) < 20_000


def test_a_cancelled_load_leaves_nothing_running():
    async def main():
        backend = after(100)
        task = asyncio.create_task(closed_loop(backend, requests(), in_flight=3, bound=Bound(calls=9)))
        other = asyncio.create_task(open_rate(backend, requests(), rate=5, bound=Bound(calls=9)))
        await asyncio.sleep(1)
        for one in (task, other):
            one.cancel()
        await asyncio.wait([task, other])
        assert task.cancelled()
        assert other.cancelled()
        return len(asyncio.all_tasks())

    assert run_in_virtual_time(main()) == 1


# Open rates


def test_requests_are_due_at_the_times_of_a_poisson_process():
    times = list(islice(arrivals(4.0, seed=3), 5000))
    gaps = np.diff([0.0, *times])
    assert (gaps > 0).all()
    assert stats.kstest(gaps, "expon", args=(0, 0.25)).pvalue > 0.01
    assert abs(stats.pearsonr(gaps[:-1], gaps[1:]).statistic) < 0.05
    # In seconds of their own, counts are Poisson: as much variance as mean.
    counts = np.bincount(np.array(times, dtype=int))[: int(times[-1])]
    assert 0.85 < counts.var() / counts.mean() < 1.15


def test_a_seed_fixes_the_times_and_the_rate_only_stretches_them():
    slow, quick = (list(islice(arrivals(rate, seed=3), 2000)) for rate in (1.0, 10.0))
    assert slow == pytest.approx([10 * time for time in quick])
    assert slow == list(islice(arrivals(1.0, seed=3), 2000))
    assert slow != list(islice(arrivals(1.0, seed=4), 2000))


def queued(times, n_servers, service_s):
    """When each of the requests due at `times` begins if `n_servers` take them in order."""
    free = [0.0] * n_servers
    begins = []
    for time in times:
        begins.append(max(heapq.heappop(free), time))
        heapq.heappush(free, begins[-1] + service_s)
    return begins


@pytest.mark.parametrize("service_s", [0.1, 1.0, 7.0])
def test_with_servers_for_everybody_nobody_waits(service_s):
    load, _ = opened(after(service_s), 3.0, calls=600, seed=1)
    found = measure(load)
    assert [call.intended_s for call in load.calls] == pytest.approx(list(islice(arrivals(3.0, 1), 603)))
    assert found.latency.max == pytest.approx(service_s)
    assert found.wait_s == (pytest.approx(0.0), pytest.approx(0.0))
    assert found.requests_per_s == pytest.approx(3.0, rel=0.15)
    # M/D/inf: as many in the system as come while one is served.
    assert found.in_system[0] == pytest.approx(found.requests_per_s * service_s, rel=0.1)


@few
@given(
    n_servers=st.integers(1, 4),
    load=st.floats(0.2, 0.9),
    seed=st.integers(0, 9),
    is_ours=st.booleans(),
)
def test_a_queue_is_that_of_the_arrivals_whether_it_is_in_front_of_the_backend_or_in_it(
    n_servers, load, seed, is_ours
):
    rate = load * n_servers
    backend = after(1.0) if is_ours else lambda: servers(n_servers, 1.0)
    made, _ = opened(backend, rate, calls=150, warm_up=0, seed=seed, in_flight=n_servers if is_ours else None)
    times = list(islice(arrivals(rate, seed), 150))
    begins = queued(times, n_servers, 1.0)
    assert [call.intended_s for call in made.calls] == pytest.approx(times)
    assert [call.ended_s for call in made.calls] == pytest.approx([begin + 1.0 for begin in begins])
    waits = [call.wait_s for call in made.calls]
    expected = [begin - time for begin, time in zip(begins, times, strict=True)]
    assert waits == pytest.approx(expected if is_ours else [0.0] * 150, abs=1e-9)


def test_one_server_makes_people_wait_as_pollaczek_and_khinchine_say():
    # M/D/1: the mean wait is rho / (2 (1 - rho)) service times.
    rho = 0.6
    load, _ = opened(after(1.0), rho, calls=12_000, warm_up=200, seed=5, in_flight=1)
    found = measure(load)
    assert found.wait_s[0] == pytest.approx(rho / (2 * (1 - rho)), rel=0.1)
    assert found.latency.mean == pytest.approx(1 + rho / (2 * (1 - rho)), rel=0.05)
    # Little's law.
    assert found.in_system[0] == pytest.approx(found.requests_per_s * found.latency.mean, rel=0.02)
    assert found.share_of_ideal == pytest.approx(1.0, abs=0.01)


def test_a_stall_is_felt_by_all_who_come_meanwhile_and_not_by_one_alone():
    def stalls():
        at = {"stall": 100.0}

        async def answer(_):
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(0.01 if now < at["stall"] else max(0.01, 150.0 - now))
            return "yes"

        return ScriptedBackend(answer)

    omitting = measure(closed(stalls, 1, seconds=200))
    told, _ = opened(stalls, 10.0, seconds=200, seed=2)
    assert omitting.latency.p99 < 0.02
    assert measure(told).latency.p95 > 30
    share_of_time_stalled = sum(call.latency_s > 1 for call in told.calls) / len(told.calls)
    assert share_of_time_stalled == pytest.approx(50 / 200, abs=0.05)


def test_what_an_overloaded_backend_does_not_answer_in_time_is_unanswered_and_counts():
    load, ended = opened(lambda: servers(1, 1.0), 5.0, seconds=20, seed=1, warm_up=0)
    found = measure(load)
    # 20 s of sending, then as long again and 10 s.
    assert ended == pytest.approx(20 + 20 + 10, abs=2)
    assert len(found.replies) == pytest.approx(50, abs=2)
    assert found.n_unanswered == len(found.calls) - len(found.replies) > 30
    assert found.requests_per_s == pytest.approx(1.0, abs=0.1)
    assert found.share_of_ideal == pytest.approx(1 / 5, abs=0.05)
    assert found.latency.p99 == math.inf
    assert found.latency.p50 > 20
    assert found.latency.max == pytest.approx(ended - load.calls[len(found.replies)].intended_s)


def test_the_window_of_a_time_bound_is_that_time():
    load, ended = opened(after(0.5), 0.05, seconds=100, warm_up=0, seed=4)
    assert load.to_s - load.from_s == 100
    assert all(call.intended_s < load.to_s for call in load.calls)
    assert ended == pytest.approx(load.calls[-1].ended_s), "nobody waits for an arrival that does not count"


def test_a_call_bound_bounds_the_calls():
    load, _ = opened(after(0.5), 10.0, calls=30)
    assert len(measure(load).calls) == 30
    assert load.n_warm_up == 10
    assert load.calls[10].intended_s == load.from_s
    assert load.calls[-1].intended_s < load.to_s


def test_an_open_load_can_be_stopped():
    async def main():
        load = await open_rate(
            after(3), requests(), rate=2.0, bound=Bound(calls=1000, warm_up=0), seed=1, stop=stop_at(20.25)
        )
        return load, asyncio.get_running_loop().time()

    load, ended = run_in_virtual_time(main())
    assert ended == 20.25
    assert load.is_stopped
    times = [time for time in islice(arrivals(2.0, 1), 1000) if time <= 20.25]
    assert [call.intended_s for call in load.calls] == pytest.approx(times)
    in_flight = [time for time in times if time + 3 > 20.25]
    assert measure(load).n_unanswered == len(in_flight) > 0


def test_an_open_load_ends_when_the_backend_cannot_be_asked_any_more():
    error = BackendUnusable("wrong key", kind="unauthorized")
    load, _ = opened(ScriptedBackend(lambda _: error), 5.0, calls=100, warm_up=0)
    assert load.error is error
    assert len(load.calls) == 1
    assert measure(load).errors == {"unauthorized": 1}


def test_calls_are_begun_in_the_order_of_their_times_where_places_are_few():
    load, _ = opened(after(1.0), 4.0, calls=40, warm_up=0, in_flight=2)
    assert all(first.started_s <= second.started_s for first, second in pairwise(load.calls))
    assert [call.number for call in sorted(load.calls, key=lambda call: call.ended_s)] == list(range(40))
