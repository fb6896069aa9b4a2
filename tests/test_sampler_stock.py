"""Which sample a draw takes follows from its number alone; and nobody waits for somebody who is gone."""

import asyncio
from collections import Counter, defaultdict
from itertools import count, pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import BackendUnusable, InternalError, Interrupted
from agentnet.sampler import Pool
from agentnet.sampler.choices import Block, locate
from agentnet.sampler.shared import Shared
from agentnet.testing import run_in_virtual_time

n_repeats = st.integers(1, 24)
n_at_most = st.integers(1, 70)


def all_located(n_draws, n_repeats, n_at_most):
    """(draw, repeat) -> where it is, for the first `n_draws` of every repeat."""
    return {
        (draw, repeat): locate(draw, repeat, n_repeats, n_at_most)
        for draw in range(n_draws)
        for repeat in range(n_repeats)
    }


# Where samples are


@given(n_draws=st.integers(1, 60), n_repeats=n_repeats, n_at_most=n_at_most)
def test_every_draw_of_every_repeat_has_a_sample_of_its_own(n_draws, n_repeats, n_at_most):
    located = all_located(n_draws, n_repeats, n_at_most)
    assert len(set(located.values())) == len(located)
    for block, position in located.values():
        assert 0 <= position < block.n <= n_at_most


@given(n_draws=st.integers(1, 60), n_repeats=n_repeats, n_at_most=n_at_most)
def test_a_block_has_no_sample_that_is_nobodys(n_draws, n_repeats, n_at_most):
    positions = defaultdict(set)
    for block, position in all_located(n_draws, n_repeats, n_at_most).values():
        positions[block].add(position)
    for block, found in positions.items():
        if block.first + block.n_draws <= n_draws:
            assert found == set(range(block.n))


@given(n_draws=st.integers(1, 60), n_repeats=n_repeats, n_at_most=n_at_most)
def test_the_blocks_of_a_group_of_repeats_follow_each_other_and_the_groups_make_up_all_repeats(
    n_draws, n_repeats, n_at_most
):
    located = all_located(n_draws, n_repeats, n_at_most)
    blocks = defaultdict(set)
    for block, _ in located.values():
        blocks[block.chunk].add(block)
    for of_chunk in blocks.values():
        ordered = sorted(of_chunk, key=lambda block: block.first)
        assert ordered[0].first == 0
        assert all(before.first + before.n_draws == after.first for before, after in pairwise(ordered))
        assert len({block.n_repeats for block in ordered}) == 1
    assert sum(next(iter(of_chunk)).n_repeats for of_chunk in blocks.values()) == n_repeats


@given(
    draw=st.integers(0, 3000),
    repeat=st.integers(0, 23),
    more=st.integers(1, 30),
    n_at_most=st.integers(1, 5000),
)
def test_blocks_double_until_a_request_is_full(draw, repeat, more, n_at_most):
    block, _ = locate(draw, repeat, repeat + more, n_at_most)
    first, size = 0, 1
    while draw >= first + size:
        first += size
        size = min(2 * size, max(1, n_at_most // block.n_repeats))
    assert (block.first, block.n_draws) == (first, size)


@pytest.mark.parametrize(
    ("draw", "repeat", "block", "position"),
    [
        (0, 0, Block(0, 0, 1, 5), 0),
        (0, 4, Block(0, 0, 1, 5), 4),
        (1, 0, Block(0, 1, 2, 5), 0),
        (2, 3, Block(0, 1, 2, 5), 8),
        (3, 0, Block(0, 3, 4, 5), 0),
        (7, 0, Block(0, 7, 8, 5), 0),
        (15, 0, Block(0, 15, 12, 5), 0),
        (26, 4, Block(0, 15, 12, 5), 59),
        (27, 0, Block(0, 27, 12, 5), 0),
    ],
)
def test_five_repeats_share_requests_of_64(draw, repeat, block, position):
    assert locate(draw, repeat, 5, 64) == (block, position)


def test_more_repeats_than_a_request_has_samples_are_served_in_groups():
    assert locate(0, 63, 130, 64) == (Block(0, 0, 1, 64), 63)
    assert locate(0, 64, 130, 64) == (Block(1, 0, 1, 64), 0)
    assert locate(3, 129, 130, 64) == (Block(2, 3, 4, 2), 1)


def test_a_request_of_one_sample_serves_one_draw():
    assert [locate(draw, 1, 3, 1) for draw in range(3)] == [(Block(1, draw, 1, 1), 0) for draw in range(3)]


def test_a_late_draw_is_found_as_fast_as_an_early_one():
    draw = 10**15
    block, position = locate(draw, 0, 1, 1)
    assert (block, position) == (Block(0, draw, 1, 1), 0)
    block, position = locate(draw, 2, 5, 64)
    assert block.first <= draw < block.first + block.n_draws
    assert position == (draw - block.first) * 5 + 2


# Who fetches what


class Owner(NamedTuple):
    """Somebody who needs keys: when he comes, and when he is cancelled, if he is."""

    at: int
    keys: frozenset
    cancelled_at: int | None


class Fetches:
    """Fetches that take time and count; those of `failing` keys fail the first time."""

    def __init__(self, latencies, failing=frozenset()):
        self.latencies = latencies
        self.failing = set(failing)
        self.begun = Counter()
        self.ended = Counter()
        self.needs = []

    async def fetch(self, key, need):
        assert self.begun[key] == self.ended[key], "fetched twice at once"
        self.begun[key] += 1
        self.needs.append((key, need))
        try:
            await asyncio.sleep(self.latencies[key])
            if key in self.failing:
                self.failing.remove(key)
                raise BackendUnusable(f"no {key}")
            return f"value {key}"
        finally:
            self.ended[key] += 1


def outcome(task):
    return "cancelled" if task.cancelled() else task.exception()


async def come(shared, pool, owner):
    await asyncio.sleep(owner.at)
    await shared.obtain(dict.fromkeys(sorted(owner.keys), owner.at), pool)
    for key in owner.keys:
        assert shared.get(key) == f"value {key}"


def bring_together(owners, workers, latencies, failing=frozenset()):
    """Let all owners come; return the fetches, the shared values and each owner's end."""
    fetches = Fetches(latencies, failing)
    shared = Shared(fetches.fetch)

    async def main():
        loop = asyncio.get_running_loop()
        async with Pool(workers) as pool:
            tasks = [asyncio.create_task(come(shared, pool, owner)) for owner in owners]
            for task, owner in zip(tasks, owners, strict=True):
                if owner.cancelled_at is not None:
                    loop.call_later(owner.cancelled_at + 0.5, task.cancel)
            await asyncio.wait(tasks)
            # What a cancelled owner has in flight is finished without him.
            await asyncio.sleep(100)
        return [outcome(task) for task in tasks]

    return fetches, shared, run_in_virtual_time(main())


keys = st.frozensets(st.integers(0, 5), min_size=1)
owners = st.lists(
    st.builds(Owner, st.integers(0, 6), keys, st.none() | st.integers(0, 12)), min_size=1, max_size=6
)


@given(
    owners=owners, workers=st.integers(1, 4), latencies=st.lists(st.integers(1, 9), min_size=6, max_size=6)
)
def test_every_value_is_fetched_once_and_whoever_stays_gets_all_of_his_whoever_leaves(
    owners, workers, latencies
):
    fetches, shared, ends = bring_together(owners, workers, latencies)
    for owner, end in zip(owners, ends, strict=True):
        assert end is None or (end == "cancelled" and owner.cancelled_at is not None)
        if end is None:
            assert all(shared.get(key) is not None for key in owner.keys)
    assert all(n == 1 for n in fetches.begun.values())


@given(
    owners=st.lists(st.builds(Owner, st.integers(0, 6), keys, st.none()), min_size=1, max_size=6),
    failing=keys,
    workers=st.integers(1, 4),
)
def test_a_failed_fetch_is_told_to_all_who_wait_for_it_and_to_nobody_else(owners, failing, workers):
    fetches, _, ends = bring_together(owners, workers, [2] * 6, failing)
    for owner, end in zip(owners, ends, strict=True):
        if end is not None:
            assert isinstance(end, BackendUnusable)
            assert owner.keys & failing
    needed = frozenset().union(*(owner.keys for owner in owners))
    assert any(end is not None for end in ends) == bool(needed & (failing - fetches.failing))
    assert all(n <= 1 + (key in failing) for key, n in fetches.begun.items())


def test_a_failed_fetch_can_be_claimed_again():
    first, second = Owner(0, frozenset({0}), None), Owner(5, frozenset({0}), None)
    fetches, shared, ends = bring_together([first, second], 1, [2], {0})
    assert [type(end) for end in ends] == [BackendUnusable, type(None)]
    assert shared.get(0) == "value 0"
    assert fetches.needs == [(0, 0), (0, 5)]


def test_who_waits_takes_over_what_a_cancelled_owner_did_not_begin():
    # One worker: the first owner's second fetch has not begun when he leaves.
    leaver, waiter = Owner(0, frozenset({0, 1}), 1), Owner(1, frozenset({1}), None)
    fetches, _, ends = bring_together([leaver, waiter], 1, [5, 5])
    assert ends == ["cancelled", None]
    assert fetches.needs == [(0, 0), (1, 1)]


def test_what_a_cancelled_owner_has_in_flight_is_of_use_to_others():
    leaver, waiter = Owner(0, frozenset({0}), 1), Owner(1, frozenset({0}), None)
    fetches, _, ends = bring_together([leaver, waiter], 1, [5])
    assert ends == ["cancelled", None]
    assert fetches.needs == [(0, 0)]


def test_an_owner_who_leaves_late_does_not_take_the_claim_of_his_successor_with_him():
    # The first owner's key 0 fails at 1; the second claims it while the first still waits for key 1.
    async def main():
        tries = count()

        async def fetch(key, _):
            await asyncio.sleep(1 if key == 0 else 10)
            if key == 0 and next(tries) == 0:
                raise BackendUnusable("once")
            return key

        shared = Shared(fetch)
        async with Pool(2) as pool, Pool(1) as other:
            first = asyncio.create_task(shared.obtain({0: None, 1: None}, pool))
            busy = asyncio.create_task(other.run(lambda _: asyncio.sleep(20), 1))
            await asyncio.sleep(2)
            second = asyncio.create_task(shared.obtain({0: None}, other))
            with pytest.raises(BackendUnusable):
                await first
            assert asyncio.get_running_loop().time() == 10
            await second
            await busy
        return shared.get(0), shared.get(1)

    assert run_in_virtual_time(main()) == (0, 1)


def test_a_stopped_pool_is_noticed_also_where_nothing_is_to_be_fetched():
    async def main():
        shared = Shared(Fetches([1]).fetch)
        async with Pool(1) as pool:
            await shared.obtain({0: None}, pool)
            pool.stop(Interrupted("enough"))
            with pytest.raises(Interrupted):
                await shared.obtain({0: None}, pool)

    run_in_virtual_time(main())


def test_who_waits_for_a_pool_that_is_left_is_told():
    async def main():
        shared = Shared(Fetches([50]).fetch)
        async with Pool(1) as pool:
            tasks = [asyncio.create_task(shared.obtain({0: None}, pool)) for _ in range(3)]
            await asyncio.sleep(1)
        await asyncio.wait(tasks)
        return [task.exception() for task in tasks]

    assert [type(error) for error in run_in_virtual_time(main())] == [InternalError] * 3
