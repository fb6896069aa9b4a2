"""One pool of workers asks the draws of all realizations: all of them, once, oldest batch first."""

import asyncio
import gc
import heapq
import weakref
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentnet.errors import (
    AgentnetError,
    BackendUnusable,
    InternalError,
    Interrupted,
    PluginError,
    RunStopped,
)
from agentnet.sampler import Pool
from agentnet.testing import run_in_virtual_time


class Plan(NamedTuple):
    """A batch: when it is handed in, how long each draw takes, and which of them fail."""

    at: int
    latencies: list[int]
    failing: frozenset[int] = frozenset()


class Failed(Exception):
    """What a failing draw raises; says which."""


class Diary:
    """When each draw was begun and ended, as (batch, draw) -> time."""

    def __init__(self, workers):
        self.workers = workers
        self.arrived = []
        self.begun = {}
        self.ended = {}
        self.peak = 0

    def asker(self, batch, plan):
        async def ask(i):
            assert (batch, i) not in self.begun, "asked twice"
            now = asyncio.get_running_loop().time
            self.begun[batch, i] = now()
            self.peak = max(self.peak, len(self.begun) - len(self.ended))
            assert self.peak <= self.workers
            try:
                await asyncio.sleep(plan.latencies[i])
                if i in plan.failing:
                    raise Failed(batch, i)
            finally:
                self.ended[batch, i] = now()

        return ask

    async def hand_in(self, pool, batch, plan):
        """Run one batch in time; return when its owner heard of it, and what of."""
        now = asyncio.get_running_loop().time
        await asyncio.sleep(plan.at)
        self.arrived.append(batch)
        try:
            await pool.run(self.asker(batch, plan), len(plan.latencies))
        except (Failed, AgentnetError) as error:
            return now(), error
        return now(), None


def play(plans, workers):
    """Hand in all plans to one pool; return the diary and what each owner heard, and when."""

    async def main():
        diary = Diary(workers)
        async with Pool(workers) as pool:
            owners = [diary.hand_in(pool, batch, plan) for batch, plan in enumerate(plans)]
            heard = await asyncio.gather(*owners)
        assert diary.ended.keys() == diary.begun.keys(), "left in flight"
        return diary, heard

    return run_in_virtual_time(main())


def served_in_order(plans, arrived, workers):
    """When each draw begins if `workers` servers take them in the order of the batches' arrival."""
    free = [0] * workers
    begun = {}
    for batch in arrived:
        for i, latency in enumerate(plans[batch].latencies):
            begun[batch, i] = max(heapq.heappop(free), plans[batch].at)
            heapq.heappush(free, begun[batch, i] + latency)
    return begun


latencies = st.lists(st.integers(1, 9), max_size=12)
nothing_fails = st.just(frozenset())
plans = st.lists(st.builds(Plan, st.integers(0, 12), latencies, nothing_fails), max_size=8)
workers = st.integers(1, 7)


@st.composite
def failing_plans(draw):
    found = []
    for plan in draw(plans):
        n_draws = len(plan.latencies)
        failing = draw(st.frozensets(st.integers(0, n_draws - 1), max_size=4)) if n_draws else frozenset()
        found.append(plan._replace(failing=failing))
    return found


# The usual way


@settings(max_examples=50)
@given(plans=plans, workers=workers)
@example(plans=[Plan(0, [1] * 5), Plan(0, [1])] * 4, workers=3)
def test_draws_begin_as_soon_as_a_worker_is_free_in_the_order_in_which_batches_came(plans, workers):
    diary, heard = play(plans, workers)
    assert diary.begun == served_in_order(plans, diary.arrived, workers)
    for batch, (when, error) in enumerate(heard):
        ends = [diary.ended[batch, i] for i in range(len(plans[batch].latencies))]
        assert error is None
        assert when == max(ends, default=plans[batch].at)


def test_all_workers_are_busy_when_there_is_enough_to_do():
    diary, _ = play([Plan(0, [5] * 1000)], 300)
    assert diary.peak == 300
    assert sorted(diary.begun.values()) == [0] * 300 + [5] * 300 + [10] * 300 + [15] * 100


def test_all_workers_are_awake_after_a_few_turns_of_the_event_loop():
    async def main():
        diary = Diary(1000)
        async with Pool(1000) as pool:
            owner = asyncio.create_task(diary.hand_in(pool, 0, Plan(0, [1] * 1000)))
            for _ in range(20):
                await asyncio.sleep(0)
            n_begun = len(diary.begun)
            await owner
        return n_begun

    assert run_in_virtual_time(main()) == 1000


def test_the_slow_last_reply_of_a_batch_does_not_idle_the_other_workers():
    slow, quick = Plan(0, [1, 1, 1000]), Plan(0, [1] * 300)
    diary, heard = play([slow, quick], 4)
    assert heard[0][0] == 1001 - 1
    assert heard[1][0] == 1 + 100
    assert diary.peak == 4


def test_workers_that_were_idle_are_woken_again():
    bursts = [Plan(at, [1] * 8) for at in (0, 10, 20)]
    _, heard = play(bursts, 8)
    assert [when for when, _ in heard] == [1, 11, 21]


def test_a_batch_of_nothing_is_done_at_once():
    diary, heard = play([Plan(3, [])], 2)
    assert heard == [(3.0, None)]
    assert diary.begun == {}


def test_a_pool_can_be_used_by_an_owner_batch_after_batch():
    async def main():
        asked = []

        async def ask(i):
            asked.append(i)

        async with Pool(2) as pool:
            for _ in range(3):
                await pool.run(ask, 4)
        return asked

    assert run_in_virtual_time(main()) == [0, 1, 2, 3] * 3


@pytest.mark.parametrize("failing", [False, True])
def test_a_pool_forgets_earlier_batches(failing):
    async def main():
        async def ask(i):
            await asyncio.sleep(1)
            if failing:
                raise Failed(i)

        asks = [partial(ask) for _ in range(3)]
        forgotten = [weakref.ref(each) for each in asks]
        async with Pool(2) as pool:
            while asks:
                with suppress(Failed):
                    await pool.run(asks.pop(0), 4)
            gc.collect()
            return [each() is None for each in forgotten[:2]]

    assert run_in_virtual_time(main()) == [True, True]


# Draws that fail


@settings(max_examples=50)
@given(plans=failing_plans(), workers=workers)
def test_an_error_reaches_the_batchs_owner_alone_once_nothing_of_his_is_in_flight(plans, workers):
    diary, heard = play(plans, workers)
    for batch, (plan, (when, error)) in enumerate(zip(plans, heard, strict=True)):
        mine = {i: t for (owner, i), t in diary.begun.items() if owner == batch}
        failures = [(diary.ended[batch, i], i) for i in plan.failing if i in mine]
        if not failures:
            assert error is None
            assert sorted(mine) == list(range(len(plan.latencies)))
            continue
        first = min(failures)[0]
        assert error.args[0] == batch
        assert diary.ended[error.args] == first
        assert all(t <= first for t in mine.values()), "begun after the failure"
        assert sorted(mine) == list(range(len(mine)))
        assert when == max(diary.ended[batch, i] for i in mine)


def test_a_failing_batch_hands_its_workers_to_the_next():
    broken = Plan(0, [1] * 100, frozenset({0}))
    diary, heard = play([broken, Plan(0, [1] * 4)], 2)
    assert isinstance(heard[0][1], Failed)
    assert heard[1] == (3.0, None)
    assert len([key for key in diary.begun if key[0] == 0]) == 2


def test_an_error_raised_before_the_draw_could_wait_is_the_owners_too():
    async def main():
        asked = []

        async def ask(i):
            asked.append(i)
            raise Failed(i)

        async with Pool(3) as pool:
            with pytest.raises(Failed):
                await pool.run(ask, 50)
        return asked

    assert run_in_virtual_time(main()) == [0]


def test_a_draw_that_is_cancelled_from_within_fails_instead_of_being_waited_for_for_ever():
    async def main():
        async def ask(i):
            inner = asyncio.ensure_future(asyncio.sleep(10))
            asyncio.get_running_loop().call_later(1, inner.cancel)
            await inner

        done = []

        async def fine(i):
            await asyncio.sleep(1)
            done.append(i)

        async with Pool(2) as pool:
            with pytest.raises(PluginError, match="cancelled"):
                await pool.run(ask, 5)
            await pool.run(fine, 6)
        return done, asyncio.get_running_loop().time()

    done, seconds = run_in_virtual_time(main())
    assert sorted(done) == list(range(6))
    assert seconds == 1 + 3, "both workers are still there"


# Stopping


class Story(NamedTuple):
    """What happened when a pool was stopped."""

    diary: Diary
    heard: list


def stopped(plans, workers, *, at, reason):
    async def main():
        diary = Diary(workers)
        async with Pool(workers) as pool:
            asyncio.get_running_loop().call_later(at, pool.stop, reason)
            owners = [diary.hand_in(pool, batch, plan) for batch, plan in enumerate(plans)]
            heard = await asyncio.gather(*owners)
        return Story(diary, heard)

    return run_in_virtual_time(main())


@settings(max_examples=50)
@given(plans=failing_plans(), workers=workers, at=st.integers(0, 20).map(lambda t: t + 0.5))
def test_after_a_stop_no_draw_begins_and_what_is_in_flight_is_finished(plans, workers, at):
    reason = Interrupted("enough")
    diary, heard = stopped(plans, workers, at=at, reason=reason)
    assert all(t < at for t in diary.begun.values())
    assert diary.ended.keys() == diary.begun.keys()
    for batch, (plan, (when, error)) in enumerate(zip(plans, heard, strict=True)):
        mine = [i for owner, i in diary.begun if owner == batch]
        failed_first = any(diary.ended[batch, i] < at for i in plan.failing & set(mine))
        if failed_first:
            assert isinstance(error, Failed)
        elif len(mine) < len(plan.latencies) or plan.at > at:
            assert error is reason
            assert when == max([*(diary.ended[batch, i] for i in mine), at, plan.at])
        else:
            assert error is None or plan.failing


def test_the_first_reason_to_stop_is_the_one_that_is_heard():
    async def main():
        first, second = RunStopped("first"), BackendUnusable("second")
        async with Pool(2) as pool:
            pool.stop(first)
            pool.stop(second)
            with pytest.raises(RunStopped) as heard:
                await pool.run(asyncio.sleep, 3)
            with pytest.raises(RunStopped):
                await pool.run(asyncio.sleep, 0)
        assert heard.value is first

    run_in_virtual_time(main())


def test_a_draw_may_stop_the_pool_that_asks_it():
    async def main():
        asked = []
        async with Pool(1) as pool:

            async def ask(i):
                asked.append(i)
                if i == 2:
                    pool.stop(Interrupted("from within"))

            with pytest.raises(Interrupted):
                await pool.run(ask, 10)
        return asked

    assert run_in_virtual_time(main()) == [0, 1, 2]


def test_a_batch_that_was_answered_in_full_when_the_stop_came_succeeds():
    diary, heard = stopped([Plan(0, [3, 3])], 2, at=1.5, reason=Interrupted("late"))
    assert heard == [(3.0, None)]
    assert len(diary.ended) == 2


# Owners and pools that go away


@settings(max_examples=50)
@given(
    plan=st.builds(Plan, st.just(0), latencies.filter(bool), nothing_fails),
    workers=workers,
    at=st.integers(0, 9),
)
def test_a_cancelled_owners_draws_are_not_begun_any_more(plan, workers, at):
    async def main():
        diary = Diary(workers)
        other = Plan(0, [1] * 10)
        async with Pool(workers) as pool:
            mine = asyncio.create_task(diary.hand_in(pool, 0, plan))
            others = asyncio.create_task(diary.hand_in(pool, 1, other))
            asyncio.get_running_loop().call_later(at + 0.5, mine.cancel)
            await asyncio.wait([mine])
            assert (await others)[1] is None
            await asyncio.sleep(100)
        return diary

    diary = run_in_virtual_time(main())
    assert all(t < at + 0.5 for (batch, _), t in diary.begun.items() if batch == 0)
    assert diary.ended.keys() == diary.begun.keys()
    assert sorted(i for batch, i in diary.ended if batch == 1) == list(range(10))


def test_leaving_the_pool_cancels_what_is_in_flight_and_tells_who_waits():
    async def main():
        diary = Diary(2)
        async with Pool(2) as pool:
            owner = asyncio.create_task(diary.hand_in(pool, 0, Plan(0, [50] * 5)))
            await asyncio.sleep(1)
        when, error = await owner
        return diary, when, error

    diary, when, error = run_in_virtual_time(main())
    assert (when, diary.ended) == (1, {(0, 0): 1, (0, 1): 1})
    assert isinstance(error, InternalError)
    assert "closed" in str(error)


def test_a_pool_that_was_left_takes_nothing_more():
    async def main():
        async with Pool(2) as pool:
            await pool.run(asyncio.sleep, 1)
        with pytest.raises(InternalError, match="closed"):
            await pool.run(asyncio.sleep, 1)

    run_in_virtual_time(main())


def test_leaving_the_pool_does_not_wait_for_a_draw_that_will_not_be_cancelled_to_ask_another():
    async def main():
        asked = []

        async def ask(i):
            asked.append(i)
            try:
                await asyncio.sleep(50)
            except asyncio.CancelledError:
                await asyncio.sleep(1)

        async with Pool(1) as pool:
            owner = asyncio.create_task(pool.run(ask, 5))
            await asyncio.sleep(1)
        with pytest.raises(InternalError, match="closed"):
            await owner
        return asked, asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == ([0], 2)


def test_a_batch_handed_in_while_the_pool_is_being_left_is_refused():
    async def main():
        async def ask(i):
            try:
                await asyncio.sleep(50)
            except asyncio.CancelledError:
                await asyncio.sleep(2)
                raise

        async with Pool(3) as pool:
            first = asyncio.create_task(pool.run(ask, 1))
            await asyncio.sleep(1)
            asyncio.get_running_loop().call_later(
                1, lambda: late.append(asyncio.create_task(pool.run(ask, 4)))
            )
            late = []
        assert asyncio.get_running_loop().time() == 3
        for owner in (first, *late):
            with pytest.raises(InternalError, match="closed"):
                await owner
        return len(late)

    assert run_in_virtual_time(main()) == 1


# Other tasks


@pytest.mark.parametrize("workers", [1, 64, 2000])
def test_a_backend_that_never_suspends_does_not_starve_other_tasks(workers):
    async def main():
        n_asked, seen = 0, []

        async def ask(_):
            nonlocal n_asked
            n_asked += 1

        async def watch():
            while True:
                seen.append(n_asked)
                await asyncio.sleep(0)

        watcher = asyncio.create_task(watch())
        async with Pool(workers) as pool:
            await pool.run(ask, 30_000)
        watcher.cancel()
        seen.append(n_asked)
        return max(after - before for before, after in pairwise(seen))

    assert run_in_virtual_time(main()) <= 4096
