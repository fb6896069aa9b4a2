"""Contrasts between conditions: means, intervals, tests are those of brute force; pairs those of repeats."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agentnet.analysis.contrasts import contrast, difference, holm, mean_interval, rows_by_knob, trend
from agentnet.errors import DesignError, InputError
from agentnet.events.conditions import Condition

VALUES = st.floats(-100, 100).map(lambda value: round(value, 3))


def by_repeat(values: Any) -> dict[int, float]:
    """Number values as repeats."""
    return dict(enumerate(map(float, values)))


def all_signs(values: Any) -> float:
    """Find the p-value of all combinations of signs."""
    given_values = np.asarray(values, dtype=float)
    means = np.array(list(product((-1, 1), repeat=len(given_values)))) @ given_values
    return float((np.abs(means) >= abs(given_values.sum()) - 1e-9).mean())


# One number


@given(values=st.lists(VALUES, min_size=2, max_size=7))
@settings(max_examples=40)
def test_p_is_the_share_of_all_signs_whose_mean_is_as_far_from_0(values: list[float]) -> None:
    found = contrast(by_repeat(values))
    assert found.p_value == pytest.approx(all_signs(values))
    assert found.value == pytest.approx(np.mean(values))
    assert found.n_repeats == len(values)


def test_with_thirteen_repeats_all_signs_are_tried_and_with_more_a_sample_of_them() -> None:
    rng = np.random.default_rng(3)
    thirteen = rng.normal(0.4, 1, 13)
    assert contrast(by_repeat(thirteen)).p_value == pytest.approx(all_signs(thirteen))
    sixteen = rng.normal(0.4, 1, 16)
    assert contrast(by_repeat(sixteen)).p_value == pytest.approx(all_signs(sixteen), abs=0.02)
    assert contrast(by_repeat([1.0] * 20)).p_value == pytest.approx(1 / 5_000)


@given(
    values=st.lists(VALUES, min_size=2, max_size=30, unique=True), level=st.sampled_from([0.5, 0.95, 0.99])
)
@settings(max_examples=40)
def test_the_interval_is_students_t(values: list[float], level: float) -> None:
    found = contrast(by_repeat(values), level=level)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert [found.low, found.high] == pytest.approx([low, high])
    assert found.level == level


@given(values=st.lists(st.floats(-1, 1), min_size=2, max_size=9), level=st.sampled_from([0.5, 0.99]))
def test_between_bounds_the_interval_is_fishers_and_never_leaves_them(
    values: list[float], level: float
) -> None:
    found = contrast(by_repeat(values), level=level, within=(-1.0, 1.0))
    plain = contrast(by_repeat(values), level=level)
    assert -1 <= found.low <= found.value + 1e-15
    assert found.value - 1e-15 <= found.high <= 1
    assert (found.value, found.p_value) == (plain.value, plain.p_value)
    if abs(found.value) < 0.999 and plain.high - plain.low > 1e-6:
        z = math.atanh(found.value) + np.array([-1, 1]) * (plain.high - plain.value) / (1 - found.value**2)
        assert [found.low, found.high] == pytest.approx(list(np.tanh(z)), abs=1e-9)
    halves = {key: (1 + value) / 2 for key, value in by_repeat(values).items()}
    shares = contrast(halves, level=level, within=(0.0, 1.0))
    assert [2 * shares.low - 1, 2 * shares.high - 1] == pytest.approx([found.low, found.high], abs=1e-6)


@pytest.mark.parametrize("n_repeats", [5, 20])
def test_intervals_of_shares_hold_the_truth_as_often_as_said(n_repeats: int) -> None:
    sets = np.random.default_rng(2).beta(3, 1.5, (1_000, n_repeats))
    _, low, high = mean_interval(sets.T, 0.95, (0.0, 1.0))
    assert 0.92 < np.mean((low < 2 / 3) & (high > 2 / 3)) < 0.98


def test_many_repeats_give_the_p_value_of_students_t() -> None:
    values = np.random.default_rng(1).normal(0.2, 1, 120)
    assert contrast(by_repeat(values)).p_value == pytest.approx(
        stats.ttest_1samp(values, 0).pvalue, abs=0.015
    )


@pytest.mark.parametrize("n_repeats", [3, 10])
def test_95_percent_intervals_hold_the_truth_so_often(n_repeats: int) -> None:
    sets = np.random.default_rng(2).normal(1.5, 2, (400, n_repeats))
    found = [contrast(by_repeat(values)) for values in sets]
    assert 0.92 < np.mean([each.low < 1.5 < each.high for each in found]) < 0.98


def test_values_that_are_all_equal_have_an_interval_without_length() -> None:
    same = contrast({0: 0.3, 1: 0.3, 2: 0.3})
    assert (same.value, same.low, same.high, same.p_value) == pytest.approx((0.3, 0.3, 0.3, 0.25))
    nothing = contrast({0: 0.0, 1: 0.0})
    assert (nothing.value, nothing.low, nothing.high, nothing.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_a_single_repeat_says_nothing_of_how_sure_it_is() -> None:
    found = contrast({7: -2.0})
    assert (found.value, found.n_repeats) == (-2.0, 1)
    assert all(map(math.isnan, (found.low, found.high, found.p_value)))


def test_the_order_of_repeats_changes_nothing_and_the_seed_fixes_the_draws() -> None:
    values = {repeat * 7 % 17: math.sin(repeat) + 0.3 for repeat in range(17)}
    one = contrast(values, seed=4)
    assert contrast(dict(sorted(values.items())), seed=4) == one
    assert contrast(values, seed=5).p_value != one.p_value


def test_turning_all_signs_mirrors_the_interval_and_keeps_p() -> None:
    values = np.array([0.3, 1.2, -0.4, 2.0, 0.9])
    one, other = contrast(by_repeat(values)), contrast(by_repeat(-values))
    assert other.value == pytest.approx(-one.value)
    assert other.p_value == pytest.approx(one.p_value)
    assert [other.low, other.high] == pytest.approx([-one.high, -one.low], abs=0.1)


@pytest.mark.parametrize("values", [{}, {0: math.nan, 1: 1.0}, {0: math.inf}])
def test_what_is_no_number_is_refused(values: dict[int, float]) -> None:
    with pytest.raises(InputError, match="field 'values': the repeats' values must be finite, and one"):
        contrast(values)


@pytest.mark.parametrize("options", [{"level": 0.0}, {"level": 1.0}, {"level": math.nan}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DesignError, match="level must lie between 0 and 1; got"):
        contrast({0: 1.0, 1: 2.0}, **options)


# Two conditions, and several


def test_differences_are_those_within_the_repeats_that_both_conditions_have() -> None:
    assert difference({2: 5.0, 0: 1.0, 1: 9.0}, {0: 4.0, 2: 1.0, 3: 0.0}) == {0: -3.0, 2: 4.0}
    with pytest.raises(InputError, match=r"no repeat in common \(\[0\] and \[1, 2\]\); play the run on"):
        difference({0: 1.0}, {2: 1.0, 1: 1.0})


KNOB_AND_ARMS = st.integers(2, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n).filter(lambda knob: len(set(knob)) > 1),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
    )
)


@given(both=KNOB_AND_ARMS)
@settings(max_examples=60)
def test_a_trend_is_tau_b_counted_pair_by_pair(both: tuple[list[int], list[int]]) -> None:
    knob, values = both
    pairs = [(i, j) for i in range(len(knob)) for j in range(i)]
    signs = [(np.sign(knob[i] - knob[j]), np.sign(values[i] - values[j])) for i, j in pairs]
    concordance = sum(a * b for a, b in signs)
    size = math.sqrt(sum(a * a for a, _ in signs) * sum(b * b for _, b in signs))
    (found,) = trend(knob, [{0: float(value)} for value in values]).values()
    assert found == pytest.approx(concordance / size if size else 0.0)


def test_trends_are_those_of_each_repeat_that_all_conditions_have() -> None:
    conditions = [{0: 1.0, 1: 3.0, 2: 7.0}, {1: 2.0, 0: 2.0, 2: 7.0}, {0: 5.0, 1: 1.0, 2: 7.0, 9: 0.0}]
    assert trend([0.1, 0.5, 2], conditions) == pytest.approx({0: 1.0, 1: -1.0, 2: 0.0})
    tied = [1, 1, 4]
    expected = stats.kendalltau(tied, [1.0, 2.0, 5.0]).statistic
    assert trend(tied, conditions)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("knob", "conditions", "words"),
    [
        (
            [1.0, 1.0],
            [{0: 1.0}, {0: 2.0}],
            "must have a value for each of 2 conditions, two of them different",
        ),
        ([1.0, 2.0], [{0: 1.0}], "must have a value for each of 1 conditions"),
        ([1.0, 2.0], [{0: 1.0}, {1: 2.0}], "the conditions have no repeat in common"),
    ],
)
def test_a_trend_takes_two_values_and_a_common_repeat(
    knob: list[float], conditions: list[dict[int, float]], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        trend(knob, conditions)


def test_conditions_of_the_same_design_differ_in_no_knob() -> None:
    designs = [{"a": 1, "b": 1}, {"a": 1, "b": 1}, {"a": 2, "b": 2}]
    known = Condition.all_of({"experiment": {"conditions": designs, "design": designs}})
    assert [each.name for each in known] == ["a 1, b 1 (1)", "a 1, b 1 (2)", "a 2, b 2"]
    assert list(rows_by_knob(known)) == []
    third = Condition(3, "a 2, b 1", {"a": 2, "b": 1}, {"a": 2, "b": 1})
    rows = [(knob, at, [value for value, _ in row]) for knob, at, row in rows_by_knob((*known, third))]
    assert rows == [("a", "b 1", [1, 1, 2]), ("b", "a 2", [1, 2])]


def test_what_was_no_test_is_not_counted_among_those_that_are_adjusted() -> None:
    assert holm([0.04, float("nan"), 0.01]) == pytest.approx([0.04, float("nan"), 0.02], nan_ok=True)


# What has bounds, and what is nothing


def test_rounding_is_no_mean_no_difference_and_no_interval() -> None:
    assert difference({0: 0.1 + 0.2, 1: 2.0}, {0: 0.3, 1: 1.0}) == {0: 0.0, 1: 1.0}
    assert difference({0: 3e-17}, {0: 1e-17}) == {0: pytest.approx(2e-17)}
    none = contrast({0: 0.1 + 0.2, 1: -0.3, 2: 0.0})
    assert none.value == 0.0
    alike = contrast({0: 0.1 + 0.2, 1: 0.3})
    assert alike.low == alike.value == alike.high
    mean, low, high = mean_interval(np.array([[1 / 3], [-1 / 3], [1 / 3], [-1 / 3]]), 0.5, (-1.0, 1.0))
    assert mean[0] == 0.0
    assert low[0] == pytest.approx(-high[0])


@pytest.mark.parametrize("within", [(0.0, math.inf), (-math.inf, 1.0), (0.0, 1.0)])
def test_an_interval_ends_where_what_it_is_of_does(within: tuple[float, float]) -> None:
    _, low, high = mean_interval(np.array([[0.01], [0.4], [0.99]]), 0.99, within)
    assert within[0] <= low[0] < high[0] <= within[1]
    plain = mean_interval(np.array([[0.01], [0.4], [0.99]]), 0.99)
    assert plain[1][0] < 0 < 1 < plain[2][0]
