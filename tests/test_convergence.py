"""Times of convergence against SciPy, statsmodels and plain means; tipping shares against statsmodels."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight

from agentnet.analysis.convergence import Agreed, agreed, convergence_time, tipping_share
from agentnet.errors import DesignError, InputError

NAN = math.nan
runs = st.lists(st.builds(Agreed, st.integers(0, 12), st.booleans()), min_size=2, max_size=40)


def test_agents_agree_from_the_first_step_on_from_which_they_stay() -> None:
    paths = [[0, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert agreed(paths) == Agreed(3, censored=False)
    assert agreed(paths, share=0.75) == Agreed(0, censored=False)
    assert agreed(paths[:3]) == Agreed(2, censored=True)
    assert agreed(paths[3:]) == Agreed(0, censored=False)
    assert agreed([[1, 1], [0, 0]]) == Agreed(1, censored=False), "they agreed before, but on something else"


def test_missing_stances_neither_agree_nor_disagree() -> None:
    assert agreed([[1, 1, NAN], [1, NAN, 1]]) == Agreed(0, censored=False)
    assert agreed([[1, 1, 1], [NAN, NAN, NAN], [1, 1, 1]]) == Agreed(2, censored=False)
    with pytest.raises(InputError, match="no stance is known"):
        agreed([[1, 1], [NAN, NAN]])
    with pytest.raises(DesignError, match=r"\(1/2, 1\]"):
        agreed([[1, 1]], share=0.5)


def test_degroot_agrees_to_a_tolerance_when_its_eigenvalue_says() -> None:
    n, tolerance = 12, 0.01
    weights = (nx.to_numpy_array(nx.cycle_graph(n)) + np.eye(n)) / 3
    wave = np.cos(2 * np.pi * np.arange(n) / n)
    path = np.array([np.linalg.matrix_power(weights, step) @ wave for step in range(200)])
    factor = (1 + 2 * np.cos(2 * np.pi / n)) / 3
    # The wave's ends are 2 factor^t apart, and the one that most end near is at its very middle by then.
    expected = math.ceil(math.log(tolerance) / math.log(factor))
    assert agreed(path, tolerance=tolerance).step == pytest.approx(expected, abs=1)


@given(runs=runs)
@settings(max_examples=40, deadline=None)
def test_the_chance_not_to_have_converged_is_that_of_scipy_and_statsmodels(runs: list[Agreed]) -> None:
    time = np.array([each.step for each in runs], float)
    censored = np.array([each.censored for each in runs])
    found = convergence_time(runs)
    if censored.all():
        assert (found.step.size, found.median, found.mean) == (0, math.inf, found.horizon)
        return
    theirs = stats.ecdf(stats.CensoredData.right_censored(time, censored)).sf
    assert found.apart == pytest.approx(theirs.evaluate(found.step))
    peer = SurvfuncRight(time, ~censored)
    assert found.step.tolist() == peer.surv_times.tolist()
    defined = ~np.isnan(found.apart_low)
    with np.errstate(all="ignore"):
        width = stats.norm.ppf(0.975) * peer.surv_prob_se / (peer.surv_prob * np.log(peer.surv_prob))
        low, high = peer.surv_prob ** np.exp(-width), peer.surv_prob ** np.exp(width)
    assert found.apart_low[defined] == pytest.approx(low[defined])
    assert found.apart_high[defined] == pytest.approx(high[defined])
    by_half = peer.surv_times[peer.surv_prob <= 0.5 + 1e-12]
    assert found.median == (by_half[0] if by_half.size else math.inf)


@settings(max_examples=40, deadline=None)
@given(times=st.lists(st.integers(0, 12), min_size=2, max_size=40), end=st.integers(3, 12))
def test_the_mean_is_the_plain_one_where_all_runs_are_as_long(times: list[int], end: int) -> None:
    runs = [Agreed(min(time, end), time > end) for time in times]
    found = convergence_time(runs, level=0.9)
    reached = np.array([each.step for each in runs], float)
    assert found.mean == pytest.approx(reached.mean())
    half = stats.t.ppf(0.95, reached.size - 1) * reached.std(ddof=1) / math.sqrt(reached.size)
    expected = (max(reached.mean() - half, 0), min(reached.mean() + half, reached.max()))
    assert found.mean_interval == pytest.approx(expected, abs=1e-9)
    assert found.n_censored == sum(time > end for time in times)


def test_intervals_of_censored_times_hold_the_truth_as_often_as_they_say() -> None:
    rng, horizon, held, n_tries = np.random.default_rng(5), 25, 0, 200
    truth = sum(0.9**step for step in range(horizon))
    for _ in range(n_tries):
        time = rng.geometric(0.1, 60)
        last = np.where(rng.random(60) < 0.3, rng.integers(5, horizon, 60), horizon)
        drawn = [Agreed(int(min(a, b)), bool(a > b)) for a, b in zip(time, last, strict=True)]
        low, high = convergence_time(drawn).mean_interval
        held += low <= truth <= high
    assert 0.9 <= held / n_tries <= 0.985


def test_a_median_that_few_runs_tell_has_an_open_interval() -> None:
    found = convergence_time([Agreed(3, censored=False), *[Agreed(9, censored=True)] * 3])
    assert found.median == math.inf
    assert found.median_interval[1] == math.inf
    alone = convergence_time([Agreed(3, censored=False)])
    assert (alone.median, alone.mean) == (3.0, 3.0)
    assert np.isnan(alone.mean_interval).all()
    with pytest.raises(InputError, match="no run"):
        convergence_time([])


def drawn(seed: int, n_each: int = 12) -> tuple[np.ndarray, np.ndarray]:
    share = np.repeat([0.05, 0.1, 0.15, 0.2, 0.3], n_each)
    chance = 1 / (1 + np.exp(-25 * (share - 0.16)))
    return share, (np.random.default_rng(seed).random(share.size) < chance).astype(float)


def test_the_tipping_share_is_where_the_logistic_regression_of_statsmodels_crosses_a_half() -> None:
    share, adopted = drawn(3)
    found = tipping_share(share, np.append(adopted[:-1], NAN))
    fit = sm.Logit(adopted[:-1], sm.add_constant(share[:-1])).fit(disp=0, tol=1e-12)
    intercept, slope = fit.params
    assert found.value == pytest.approx(-intercept / slope, rel=1e-6)
    assert (found.n_runs, found.n_missing) == (59, 1)
    covariance, wide = fit.cov_params(), stats.norm.ppf(0.975) ** 2
    for end in (found.low, found.high):  # where a logit of 0 is just not rejected
        variance = covariance[0, 0] + 2 * end * covariance[0, 1] + end**2 * covariance[1, 1]
        assert (intercept + slope * end) ** 2 == pytest.approx(wide * variance, rel=1e-4)
    assert found.low < found.value < found.high


def test_intervals_of_the_tipping_share_hold_the_truth_as_often_as_they_say() -> None:
    held = [(f.low <= 0.16 <= f.high) for f in (tipping_share(*drawn(seed)) for seed in range(150))]
    assert 0.92 <= np.mean(held) <= 0.99


def test_a_share_that_separates_runs_has_a_bracket() -> None:
    found = tipping_share([0.1, 0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1, 1])
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.2, 0.3))
    assert "no run adopts" in found.method
    mixed = tipping_share([0.1, 0.2, 0.2, 0.4], [0, 0, 1, 1])
    assert (mixed.value, mixed.low, mixed.high) == pytest.approx((0.2, 0.1, 0.4))
    open_below = tipping_share([0.2, 0.2, 0.4], [0, 1, 1])
    assert open_below.value == 0.2
    assert np.isnan(open_below.low)


def test_runs_that_tell_no_tipping_share_are_refused_in_words() -> None:
    for share, adopted, words in (
        ([0.1, 0.2], [1, 1], "2 of 2 runs adopt"),
        ([0.1, 0.1], [0, 1], "1 of 2 runs adopt"),
        ([0.1, 0.1, 0.2, 0.2], [1, 1, 0, 0], "no more often"),
        ([0.1, 0.1, 0.1, 0.2, 0.2, 0.2], [1, 1, 0, 0, 0, 1], "no more often"),
    ):
        with pytest.raises(InputError, match=words):
            tipping_share(share, adopted)
    few = tipping_share([0.1, 0.1, 0.2, 0.2, 0.2], [0, 1, 1, 0, 1])
    assert np.isnan(few.low)
    assert "do not tell that the slope" in few.method
