"""How far two groups are apart is measured without bias; intervals hold the truth as often as said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentnet.analysis.perspectives import (
    averaged,
    axis_weights,
    bootstrap,
    classical_scaling,
    differences,
    gaps,
    polarization,
    prompt_differences,
    prompt_gaps,
    squared_distances,
    within_steps,
    without_noise,
)
from agentnet.errors import DesignError, InputError

Array = NDArray[np.float64]

PATHS = np.array([(1, 2, 5), (1, 3, 5), (4, 4, 5), (6, 7, 5)], dtype=float)


def test_polarization_by_an_adversary_who_stands_last() -> None:
    np.testing.assert_allclose(polarization(PATHS, [0, 1], [2]), [1, 6 / 7, 2 / 7, -3 / 7])
    np.testing.assert_allclose(differences(PATHS, [0, 1], [2]), [-3.5, -3, -1, 1.5])


@given(scale=st.floats(-5, 5).filter(lambda x: abs(x) > 1e-3), shift=st.floats(-5, 5))
def test_neither_unit_nor_sign_nor_origin_of_perspectives_matters(scale: float, shift: float) -> None:
    np.testing.assert_allclose(
        polarization(scale * PATHS + shift, [0, 1], [2]), polarization(PATHS, [0, 1], [2]), atol=1e-9
    )


def test_several_runs_are_measured_at_once() -> None:
    both = np.stack([PATHS, PATHS[:, ::-1]])
    found = polarization(both, [0, 1], [2])
    assert found.shape == (2, 4)
    np.testing.assert_allclose(found[1], polarization(PATHS[:, ::-1], [0, 1], [2]))


def test_the_gap_is_free_of_the_bias_that_few_models_give_it() -> None:
    points = np.array([0.0, 2.0, 1.0, 3.0])
    squared = np.subtract.outer(points, points) ** 2
    assert gaps(squared, [0, 1], [2, 3]) == pytest.approx(-1)
    # With its diagonals the same formula gives the distance of the means, which is never below 0.
    means = points[:2].mean() - points[2:].mean()
    assert means**2 == 1
    assert gaps(squared, [0], [2]) == pytest.approx(1)


def test_the_gap_of_groups_that_were_drawn_alike_is_zero_on_average() -> None:
    drawn = np.random.default_rng(0).standard_normal((4_000, 5, 3))
    squared = ((drawn[:, :, None] - drawn[:, None]) ** 2).sum(axis=3)
    found = gaps(squared, [0, 1], [2, 3, 4])
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(4_000)
    apart = drawn + np.where(np.arange(5) < 2, 1.0, 0.0)[:, None]
    moved = gaps(((apart[:, :, None] - apart[:, None]) ** 2).sum(axis=3), [0, 1], [2, 3, 4])
    assert abs(moved.mean() - 3) < 4 * moved.std() / np.sqrt(4_000)


def replies(seed: int, shape: tuple[int, ...] = (3, 5, 4, 2)) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


@given(seed=st.integers(0, 10**6), n_first=st.integers(1, 3))
@settings(max_examples=30)
def test_parts_of_prompts_add_up_to_the_gap(seed: int, n_first: int) -> None:
    blocks = replies(seed)
    first, second = np.arange(n_first), np.arange(n_first, 5)
    whole = gaps(within_steps(squared_distances(blocks), 5), first, second)
    parts = np.stack([prompt_gaps(block, first, second) for block in blocks])
    assert parts.shape == (3, 4)
    np.testing.assert_allclose(parts.sum(axis=1), whole, atol=1e-9)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30)
def test_parts_of_prompts_add_up_to_the_difference_in_perspective(seed: int) -> None:
    blocks = replies(seed)
    scaling = classical_scaling(squared_distances(blocks), 1)
    weights = axis_weights(blocks.__getitem__, 3, scaling.coordinates[:, 0])
    parts = np.stack([prompt_differences(block, weights, [0, 1], [4]) for block in blocks])
    whole = differences(scaling.by_step(5)[:, :, 0], [0, 1], [4])
    np.testing.assert_allclose(parts.sum(axis=1), whole, atol=1e-8)


def draws_around(means: Array, n_draws: int, scale: Array, seed: int) -> Array:
    noise = np.random.default_rng(seed).standard_normal((n_draws, *means.shape))
    return means + noise * scale[:, None, None]


def test_noise_of_sampling_is_taken_away_without_bias() -> None:
    means = replies(1, (4, 6, 3))
    means[3] = means[2]
    scale = np.array([0.5, 1.0, 2.0, 0.0])
    true = within_steps(squared_distances(means[None]), 4)[0]
    found = []
    for seed in range(300):
        step = averaged(draws_around(means, 3, scale, seed))
        found.append(without_noise(squared_distances(step.block[None]), step.row_noise))
    error = np.std(found, axis=0) / np.sqrt(300)
    assert (np.abs(np.mean(found, axis=0) - true) <= 4 * error + 1e-9).all()
    assert np.min([table[2, 3] for table in found]) < 0  # without bias is not without sign
    assert all((np.diagonal(table) == 0).all() for table in found)


def test_averages_and_their_noise_are_the_sample_moments() -> None:
    draws = replies(2, (5, 3, 4, 2))
    step = averaged(draws)
    np.testing.assert_allclose(step.block, draws.mean(axis=0))
    np.testing.assert_allclose(step.noise, draws.var(axis=0, ddof=1).sum(axis=2) / 5)
    np.testing.assert_allclose(step.row_noise, step.noise.sum(axis=1))
    assert averaged(draws.astype(np.float32)).block.dtype == np.float32


def test_noise_is_taken_from_the_gap_to_a_single_adversary() -> None:
    means = replies(3, (4, 6, 3))
    scale = np.array([0.0, 0.0, 0.0, 1.5])
    true = gaps(squared_distances(means[None]), [0, 1, 2], [3])
    parts = []
    for seed in range(225):
        step = averaged(draws_around(means, 2, scale, seed))
        parts.append(prompt_gaps(step.block, [0, 1, 2], [3], step.noise).sum())
    assert abs(np.mean(parts) - true) < 4 * np.std(parts) / 15
    step = averaged(draws_around(means, 2, scale, 0))
    corrected = without_noise(squared_distances(step.block[None]), step.row_noise)
    assert prompt_gaps(step.block, [0, 1, 2], [3], step.noise).sum() == pytest.approx(
        float(gaps(corrected, [0, 1, 2], [3]))
    )


def test_noise_can_be_taken_from_each_step() -> None:
    tables = np.ones((2, 3, 3)) - np.eye(3)
    left = without_noise(tables, [[0.0, 0.1, 0.2], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(left[0], [[0, 0.9, 0.8], [0.9, 0, 0.7], [0.8, 0.7, 0]])
    assert (left[1] == tables[1]).all()


def test_intervals_over_prompts_hold_the_truth_as_often_as_said() -> None:
    rng = np.random.default_rng(4)
    truth = 40 * np.array([1.0, 2.0])
    held = []
    for seed in range(200):
        drawn = np.array([1.0, 2.0])[:, None] + rng.standard_exponential((2, 40)) - 1
        series = bootstrap(drawn, n_bootstrap=200, level=0.9, seed=seed)
        held.append((series.low <= truth) & (truth <= series.high))
    assert (np.abs(np.mean(held, axis=0) - 0.9) < 0.08).all()


def test_intervals_are_those_of_the_normal_law_where_there_is_much_of_everything() -> None:
    drawn = np.random.default_rng(5).standard_normal((1, 500))
    series = bootstrap(drawn, n_bootstrap=3_000, seed=1)
    half = 1.96 * drawn.std() * np.sqrt(500)
    np.testing.assert_allclose(series.high - series.low, 2 * half, rtol=0.08)
    np.testing.assert_allclose(series.value, drawn.sum())


def test_runs_can_be_drawn_instead_of_prompts_or_with_them() -> None:
    rng = np.random.default_rng(6)
    runs, prompts = rng.standard_normal((20, 1, 1)), 0.3 * rng.standard_normal((1, 1, 30))
    parts = 5 + runs + prompts + np.zeros((20, 2, 30))
    width = {}
    for over in ("prompts", "runs", "both"):
        series = bootstrap(parts, over=over, seed=2)  # type: ignore[arg-type]
        np.testing.assert_allclose(series.value, parts.sum(axis=2).mean(axis=0))
        width[over] = float(series.high[0] - series.low[0])
    sums = parts.sum(axis=2)[:, 0]
    assert width["runs"] == pytest.approx(3.92 * sums.std() / np.sqrt(20), rel=0.15)
    assert width["prompts"] == pytest.approx(3.92 * prompts.std() * np.sqrt(30), rel=0.15)
    assert width["both"] == pytest.approx(np.hypot(width["runs"], width["prompts"]), rel=0.15)


def test_ratios_are_taken_within_each_run_and_each_draw() -> None:
    base = np.random.default_rng(7).uniform(1, 2, (3, 1, 20))
    parts = base * np.array([1.0, 4.0, 9.0])[:, None]
    series = bootstrap(parts, over="both", relative_to_start=True)
    for end in (series.value, series.low, series.high):
        np.testing.assert_allclose(end, [1, 4, 9])
    rooted = bootstrap(-parts, over="both", relative_to_start=True, root=True)
    np.testing.assert_allclose(rooted.high, [1, 2, 3])
    np.testing.assert_allclose(bootstrap(-parts[0], root=True).value, -np.sqrt(parts[0].sum(axis=1)))


def test_a_polarization_of_runs_needs_no_parts() -> None:
    each = np.array([[1.0, 2.0], [1.0, 4.0]])
    series = bootstrap(each[:, :, None], over="runs", n_bootstrap=200)
    np.testing.assert_allclose(series.value, [1, 3])
    assert (series.low[1], series.high[1]) == (2.0, 4.0)


def test_a_start_that_may_be_zero_is_told() -> None:
    clear = 1 + 0.1 * replies(8, (2, 50))
    unclear = clear - clear[0].mean() + 1e-3
    assert bootstrap(clear, relative_to_start=True).clear_start
    assert not bootstrap(unclear, relative_to_start=True).clear_start


def test_the_seed_fixes_the_interval_and_nothing_else_does() -> None:
    parts = replies(9, (2, 10))
    first, again, other = (bootstrap(parts, n_bootstrap=50, seed=seed) for seed in (1, 1, 2))
    assert (first.low == again.low).all()
    assert (first.low != other.low).any()
    assert (first.value == other.value).all()


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ([], [1], "the first group must list numbers of models"),
        ([0], [3], "the second group names model 3; there are models 0 to 2"),
        ([-1], [0], "names model -1"),
        ([0, 1], [1], "model 1 stands in the groups more than once"),
        ([0.5], [1], "must list numbers"),
    ],
)
def test_groups_that_cannot_be_are_refused(first: Any, second: Any, says: str) -> None:
    with pytest.raises(DesignError, match=says):
        polarization(PATHS, first, second)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="coincide at step 0"):
        polarization([[1, 1], [1, 2]], [0], [1])
    with pytest.raises(InputError, match=r"paths.*finite"):
        differences([[np.nan, 1.0]], [0], [1])
    with pytest.raises(InputError, match=r"shape \(n_steps, n_models, n_models\)"):
        gaps(np.zeros((2, 3)), [0], [1])
    block = replies(0)[0]
    with pytest.raises(InputError, match=r"noise.*shape \(5, 4\)"):
        prompt_gaps(block, [0], [1], np.zeros((5, 3)))
    with pytest.raises(InputError, match=r"weights.*shape \(4, 2\)"):
        prompt_differences(block, np.zeros((4, 3)), [0], [1])
    with pytest.raises(InputError, match=r"coordinates.*shape \(15,\)"):
        axis_weights(replies(0).__getitem__, 3, np.ones(14))
    with pytest.raises(InputError, match="nothing differs along this dimension"):
        axis_weights(replies(0).__getitem__, 3, np.zeros(15))
    with pytest.raises(InputError, match="at least 2 draws"):
        averaged(replies(0)[:1])
    with pytest.raises(InputError, match=r"row_noise.*does not fit"):
        without_noise(np.zeros((3, 3)), np.zeros(2))
    with pytest.raises(InputError, match=r"row_noise.*at least 0"):
        without_noise(np.zeros((2, 2)), [-1.0, 0.0])


@pytest.mark.parametrize(
    ("parts", "options", "error", "says"),
    [
        (np.zeros(3), {}, InputError, "parts.*n_steps, n_prompts"),
        (np.full((2, 3), np.nan), {}, InputError, "finite"),
        (np.ones((2, 1)), {}, InputError, "there is 1 of the prompts"),
        (np.ones((2, 3)), {"over": "runs"}, InputError, "there is 1 of the runs"),
        (np.ones((2, 3)), {"over": "steps"}, DesignError, "over must be one of"),
        (np.ones((2, 3)), {"n_bootstrap": 0}, DesignError, "n_bootstrap"),
        (np.ones((2, 3)), {"level": 1.0}, DesignError, "level"),
        (np.eye(2), {"relative_to_start": True}, InputError, "coincide at step 0"),
    ],
)
def test_intervals_that_cannot_be_are_refused(
    parts: Array, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        bootstrap(parts, **options)
