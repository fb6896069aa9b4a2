"""The control chart seldom cries without a reason, whatever the values are like, and soon with one."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import norm

from agentnet.analysis.perspectives import ControlChart, control_chart, moves, squared_distances
from agentnet.analysis.perspectives.chart import normal_scores
from agentnet.errors import DesignError, InputError

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def chart() -> ControlChart:
    return control_chart(50)


def test_ranks_among_the_past_are_uniform_and_independent_in_any_order_of_any_values() -> None:
    values = np.array([-3.0, 0.1, 0.2, 50.0])
    scores = Counter(tuple(normal_scores(values[list(order)]).round(9)) for order in permutations(range(4)))
    assert len(scores) == 1 * 2 * 3 * 4
    assert set(scores.values()) == {1}
    assert normal_scores(values).tolist() == pytest.approx([0, 0.67448975, 0.96742157, 1.15034938])


@pytest.mark.parametrize("false_alarm", [0.02, 0.1, 0.3])
def test_the_chance_of_a_false_alarm_over_all_orders_is_as_said(false_alarm: float) -> None:
    chart = control_chart(6, false_alarm=false_alarm, allowance=0.25)
    cries = np.mean([chart.read(order).alarm is not None for order in permutations(range(6))])
    assert cries <= false_alarm + 0.01
    lower = np.mean(
        [
            max(reading.up.max(), reading.down.max()) >= chart.limit
            for reading in map(chart.read, permutations(range(6)))
        ]
    )
    assert lower > false_alarm - 0.01  # no smaller limit would do


@pytest.mark.parametrize("law", ["normal", "exponential", "heavy", "counts"])
def test_false_alarms_come_as_seldom_as_said_whatever_the_law(law: str, chart: ControlChart) -> None:
    rng = np.random.default_rng(1)
    drawn = {
        "normal": rng.standard_normal((800, 50)),
        "exponential": rng.standard_exponential((800, 50)),
        "heavy": rng.standard_cauchy((800, 50)),
        "counts": rng.poisson(2.0, (800, 50)),
    }[law]
    share = np.mean([chart.read(series).alarm is not None for series in drawn])
    assert share < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 800)
    if law != "counts":  # equal values share ranks, which makes alarms rarer
        assert share > 0.05 - 4 * np.sqrt(0.05 * 0.95 / 800)


@given(seed=st.integers(0, 10**6), cut=st.integers(0, 50))
@settings(max_examples=30)
def test_what_is_said_of_the_beginning_never_changes_and_only_order_matters(
    seed: int, cut: int, chart: ControlChart
) -> None:
    series = np.random.default_rng(seed).standard_normal(50) + np.where(np.arange(50) < 25, 0, 3)
    whole, beginning, other = chart.read(series), chart.read(series[:cut]), chart.read(np.exp(series))
    assert (beginning.up == whole.up[:cut]).all()
    assert (beginning.down == whole.down[:cut]).all()
    if beginning.alarm is not None:
        assert (beginning.alarm, beginning.changed) == (whole.alarm, whole.changed)
    assert (other.up == whole.up).all()
    mirrored = chart.read(-series)
    np.testing.assert_allclose(mirrored.down, whole.up, atol=1e-9)


@pytest.mark.parametrize(("jump", "direction"), [(4.0, "up"), (-4.0, "down")])
def test_a_jump_is_found_within_some_steps_and_dated(
    jump: float, direction: str, chart: ControlChart
) -> None:
    rng = np.random.default_rng(2)
    readings = [
        chart.read(rng.standard_normal(50) + np.where(np.arange(50) < 21, 0.0, jump)) for _ in range(200)
    ]
    late = [reading for reading in readings if reading.alarm is not None and reading.alarm >= 21]
    assert len(late) > 180
    assert np.quantile([reading.alarm for reading in late if reading.alarm], 0.9) <= 21 + 6
    assert np.mean([reading.direction == direction for reading in late]) > 0.97
    assert np.median([reading.changed for reading in late if reading.changed]) == 21


def test_a_system_that_is_disrupted_leaves_its_past_behaviour(chart: ControlChart) -> None:
    rng = np.random.default_rng(3)
    size = np.where(np.arange(40) < 21, 0.5, 0.05)[:, None, None, None]
    blocks = (size * rng.standard_normal((40, 10, 6, 3))).cumsum(axis=0)
    reading = chart.read(moves(squared_distances(blocks), 10).mean(axis=1))
    assert reading.direction == "down"
    assert reading.changed == 20  # value 20 is the move to step 21, the first small one
    assert reading.alarm is not None
    assert 21 < reading.alarm <= 27


@pytest.mark.parametrize("memory", [0.3, -0.5])
def test_a_chart_made_for_memory_is_not_alarmed_by_it(memory: float, chart: ControlChart) -> None:
    shocks = np.random.default_rng(6).standard_normal((600, 60))
    series = lfilter([1.0], [1.0, -memory], shocks)[:, 10:]
    made_for_it = control_chart(50, memory=memory)
    share = np.mean([made_for_it.read(np.exp(one)).alarm is not None for one in series])
    assert abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 600)
    assert (made_for_it.limit > chart.limit) == (memory > 0)


def test_a_warm_up_is_left_out() -> None:
    chart = control_chart(50, warm_up=10)
    settling = np.concatenate([np.linspace(9, 5, 10), np.random.default_rng(4).uniform(0, 1, 20)])
    reading = chart.read(settling)
    assert reading.alarm is None
    assert not reading.up[:10].any()
    assert not reading.down[:10].any()
    assert chart.limit == control_chart(40).limit
    assert control_chart(50).read(settling).direction == "down"
    assert chart.read(settling[:4]).up.tolist() == [0.0] * 4


def test_a_system_at_rest_gives_no_alarm(chart: ControlChart) -> None:
    reading = chart.read(np.zeros(50))
    assert (reading.alarm, reading.changed, reading.direction) == (None, None, None)
    assert chart.read([]).up.size == 0


def test_long_series_are_ranked_in_parts_without_changing_anything() -> None:
    values = np.random.default_rng(5).integers(0, 300, 1_100).astype(float)
    now, before = values[-1], values[:-1]
    rank = (before < now).sum() + (before == now).sum() / 2 + 1
    assert normal_scores(values)[-1] == pytest.approx(norm.ppf((rank - 0.5) / 1_100))
    np.testing.assert_array_equal(normal_scores(values)[:700], normal_scores(values[:700]))


def test_rarer_false_alarms_need_more_evidence() -> None:
    limits = [control_chart(30, false_alarm=level).limit for level in (0.2, 0.05, 0.01)]
    assert limits == sorted(limits)
    assert control_chart(60).limit > control_chart(30).limit


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"horizon": 0}, "warm_up must be at least 0 and below horizon"),
        ({"horizon": 5, "warm_up": 5}, "warm_up"),
        ({"horizon": 5, "warm_up": -1}, "warm_up"),
        ({"horizon": 5, "false_alarm": 1.0}, "false_alarm lies between"),
        ({"horizon": 5, "false_alarm": 1e-4}, "false_alarm lies between"),
        ({"horizon": 5, "allowance": -0.1}, "allowance must be at least 0"),
        ({"horizon": 5, "memory": 1.0}, "memory lies between -1 and 1"),
    ],
)
def test_charts_that_cannot_be_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DesignError, match=says):
        control_chart(**options)


def test_series_that_cannot_be_read_are_refused(chart: ControlChart) -> None:
    with pytest.raises(InputError, match=r"shape \(n_values,\); got \(2, 2\)"):
        chart.read(np.zeros((2, 2)))
    with pytest.raises(InputError, match="number 1 is nan"):
        chart.read([0.0, np.nan])
    with pytest.raises(InputError, match="51 values are more than the 50"):
        chart.read(np.zeros(51))
