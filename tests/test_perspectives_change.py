"""The test for a changed perspective has exactly the level it says, and finds changes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentnet.analysis.perspectives import change_test
from agentnet.errors import DesignError, InputError

Array = NDArray[np.float64]


def swapped(before: Array, after: Array) -> Iterator[tuple[Array, Array]]:
    """Swap both steps in all ways, prompt by prompt (or draw by draw and prompt by prompt)."""
    places = before.shape[:-1]
    for bits in product([False, True], repeat=int(np.prod(places))):
        swap = np.array(bits).reshape(places)[..., None]
        yield np.where(swap, after, before), np.where(swap, before, after)


@pytest.mark.parametrize("shape", [(7, 3), (3, 3, 2), (2, 4, 3)], ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_over_all_equally_likely_swaps_the_level_is_exact(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    # No law of the replies is assumed: these have a heavy tail, a mean, and a scale for each prompt.
    before, after = rng.standard_cauchy((2, *shape)) * rng.exponential(size=(shape[-2], 1)) + 1.0
    tests = [change_test(*steps) for steps in swapped(before, after)]
    assert all(test.complete for test in tests)
    p_values = np.array([test.p_value for test in tests])
    n_ways = tests[0].n_swaps
    assert n_ways == 2 ** (shape[0] - 1 if len(shape) == 2 else shape[1] * (shape[0] - 1))
    for least in range(1, n_ways + 1):
        assert (p_values <= least / n_ways + 1e-12).mean() == pytest.approx(least / n_ways)


@pytest.mark.parametrize("n_draws", [1, 3])
def test_with_a_sample_of_swaps_the_level_is_exact_too(n_draws: int) -> None:
    rng = np.random.default_rng(2)
    drawn = rng.standard_t(2, size=(800, 2, n_draws, 12, 2))
    p_values = np.array(
        [change_test(*steps, n_swaps=20, seed=seed).p_value for seed, steps in enumerate(drawn)]
    )
    for level in (0.05, 0.25, 0.5):
        error = np.sqrt(level * (1 - level) / 800)
        assert abs((p_values <= level + 1e-9).mean() - level) < 4 * error


def test_a_shift_that_replies_share_is_found_in_one_draw_of_each() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.standard_normal((2, 100, 8))
    found = change_test(before, after + 0.2)
    assert (found.kind, found.n_swaps, found.complete) == ("shift", 1_000, False)
    assert found.p_value == 1 / 1_000
    assert change_test(before, after).p_value > 0.05


def test_changes_in_all_directions_need_several_draws_to_be_found() -> None:
    rng = np.random.default_rng(4)
    means = rng.standard_normal((60, 8))
    other = means + 0.5 * rng.standard_normal((60, 8))
    before, after = means + rng.standard_normal((4, 60, 8)), other + rng.standard_normal((4, 60, 8))
    found = change_test(before, after)
    assert (found.kind, found.p_value) == ("replies", 0.001)
    assert change_test(before[0], after[0]).p_value > 0.05
    assert change_test(before, after, kind="shift").p_value > 0.05


@pytest.mark.parametrize("kind", ["shift", "replies"])
def test_the_change_is_estimated_without_what_sampling_adds(kind: Any) -> None:
    rng = np.random.default_rng(5)
    true = np.array([0.3, -0.4])
    noise = rng.standard_normal((400, 2, 3, 10, 2))
    found = [change_test(b, a + true, kind=kind, n_swaps=2).change for b, a in noise]
    assert abs(np.mean(found) - 0.25) < 4 * np.std(found) / np.sqrt(400)
    assert min(change_test(b, a, kind=kind, n_swaps=2).change for b, a in noise[:20]) < 0


@given(seed=st.integers(0, 10**6), n_draws=st.integers(1, 3))
@settings(max_examples=30)
def test_neither_order_of_prompts_nor_axes_nor_direction_of_time_matter(seed: int, n_draws: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.standard_normal((2, n_draws, 4, 3))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    order = rng.permutation(4)
    found = change_test(before, after, n_swaps=256)
    for other in (
        change_test(before[:, order] @ turn + 1, after[:, order] @ turn + 1, n_swaps=256),
        change_test(after, before, n_swaps=256),
    ):
        assert found.complete
        assert other.p_value == pytest.approx(found.p_value)
        assert other.change == pytest.approx(found.change, abs=1e-9)


def test_a_sample_of_swaps_says_what_all_of_them_say() -> None:
    rng = np.random.default_rng(6)
    before, after = rng.standard_normal((2, 12, 3)) + np.array([[[0.0]], [[0.4]]])
    every = change_test(before, after, n_swaps=5_000)
    some = change_test(before, after, n_swaps=2_000)
    assert (every.complete, every.n_swaps, some.complete) == (True, 2**11, False)
    assert some.p_value == pytest.approx(every.p_value, abs=0.03)


def test_swaps_are_compared_in_parts_without_changing_anything() -> None:
    rng = np.random.default_rng(7)
    before, after = rng.standard_normal((2, 2, 5, 3)) + np.array([[[[0.0]]], [[[0.5]]]])
    whole = [change_test(before, after, n_swaps=n_swaps) for n_swaps in (20, 32)]
    parts = [change_test(before, after, n_swaps=n_swaps, n_at_once=30) for n_swaps in (20, 32)]
    assert [test.n_swaps for test in parts] == [20, 32]
    assert parts[1] == whole[1]
    # Drawn in parts they are other swaps; the seed fixes them all the same.
    assert parts[0] == change_test(before, after, n_swaps=20, n_at_once=30)
    assert parts[0].change == whole[0].change


def test_replies_that_did_not_change_at_all_give_no_evidence() -> None:
    replies = np.random.default_rng(8).standard_normal((2, 50, 4))
    for kind in ("shift", "replies"):
        found = change_test(replies, replies, kind=kind)  # type: ignore[arg-type]
        assert (found.p_value, found.change) == (1.0, 0.0)


def test_what_cannot_be_tested_is_refused() -> None:
    replies = np.zeros((3, 4, 2))
    with pytest.raises(InputError, match=r"same shape.*got \(3, 4, 2\) and \(4, 2\)"):
        change_test(replies, replies[0])
    with pytest.raises(InputError, match="same shape"):
        change_test(replies[0, 0], replies[0, 0])
    with pytest.raises(InputError, match="not finite"):
        change_test(replies, np.full_like(replies, np.nan))
    with pytest.raises(
        InputError, match="there is 1 draw of each reply; a test of 'replies' needs at least 2"
    ):
        change_test(replies[0], replies[0], kind="replies")
    with pytest.raises(InputError, match="there is 1 prompt"):
        change_test(replies[0, :1], replies[0, :1])
    with pytest.raises(DesignError, match="kind must be one of shift, replies"):
        change_test(replies, replies, kind="drift")  # type: ignore[arg-type]
    with pytest.raises(DesignError, match="n_swaps must be at least 2"):
        change_test(replies, replies, n_swaps=1)
