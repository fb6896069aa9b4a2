"""Mean-field laws: their curves against a solver of differential equations, their fits against truths."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares
from scipy.stats import chi2

from agentnet.analysis import fitting, si_integral, solver
from agentnet.analysis.fitting import CurveFit, nrmse, rmse
from agentnet.analysis.laws.mean_field import MeanFieldLaw, fit_mean_field
from agentnet.analysis.simulation import simulate
from agentnet.errors import DesignError, InputError
from agentnet.network import Network

Array = NDArray[np.float64]

STEPS = np.arange(16.0)
TWO_GROUPS = np.where(np.arange(32) < 8, 0.0533, 0.8154)
WILLING = (0.0, 1.0)
"""The initial agent is of group 2."""


def two_rates(tau_1: float, tau_2: float, share: float = 0.25, start: float = 1 / 128) -> MeanFieldLaw:
    return MeanFieldLaw((tau_1, tau_2), (share, 1 - share), (0.0, start), (5.0,))


def solved(law: MeanFieldLaw, steps: Array) -> Array:
    """Integrate the law's differential equations, group by degree class; return E by group."""
    degrees, degree_share = np.array(law.degrees), np.array(law.degree_share)
    tau, share, initial = np.array(law.tau), np.array(law.group_share), np.array(law.initial_engaged)
    heard = degrees if law.hearers is None else np.array(law.hearers)
    size = share[:, None] * degree_share
    start = (share - initial)[:, None] * degree_share

    def change(_: float, flat: Array) -> Array:
        unengaged = flat.reshape(size.shape)
        force = (heard * (size - unengaged)).sum() / (heard @ degree_share)
        return (-degrees * tau[:, None] * unengaged * force).ravel()

    path = solve_ivp(
        change, (0, steps[-1]), start.ravel(), t_eval=steps, rtol=1e-11, atol=1e-13, method="DOP853"
    )
    return np.asarray(size.sum(axis=1)[:, None] - path.y.reshape(*size.shape, -1).sum(axis=1))


@st.composite
def laws(draw: st.DrawFn) -> MeanFieldLaw:
    n_groups, n_classes = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    start = 10 ** draw(st.floats(-5, -0.3))
    shares = np.array(draw(st.lists(st.floats(0.05, 1), min_size=n_groups, max_size=n_groups)))
    classes = np.array(draw(st.lists(st.floats(0.05, 1), min_size=n_classes, max_size=n_classes)))
    rates = st.one_of(st.just(0.0), st.floats(0.001, 2))
    return MeanFieldLaw(
        tau=tuple(draw(st.lists(rates, min_size=n_groups, max_size=n_groups))),
        group_share=tuple(shares / shares.sum()),
        initial_engaged=tuple(start * shares / shares.sum()),
        degrees=tuple(float(d) for d in draw(st.permutations(range(1, 12)))[:n_classes]),
        degree_share=tuple(classes / classes.sum()),
        hearers=draw(st.none() | st.tuples(*[st.floats(0.5, 20)] * n_classes)),
    )


@given(law=laws(), last=st.sampled_from([1.0, 7.0, 40.0]))
@settings(max_examples=30, deadline=None)
def test_curves_are_those_of_the_differential_equations(law: MeanFieldLaw, last: float) -> None:
    steps = np.linspace(0, last, 9)
    assert law.group_engaged_fraction(steps) == pytest.approx(solved(law, steps), abs=1e-7)


def test_a_small_but_quick_group_bends_the_curve_as_the_equations_say() -> None:
    share = (0.0737, 0.0133, 0.9130)
    law = MeanFieldLaw((0.0095, 1.1846, 0.0044), share, tuple(0.7 * s for s in share), (4.0,))
    steps = np.arange(6.0)
    assert law.group_engaged_fraction(steps) == pytest.approx(solved(law, steps), abs=2e-9)


@given(rate=st.floats(0.001, 5), start=st.floats(1e-6, 0.9), degree=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_one_rate_is_the_logistic_curve(rate: float, start: float, degree: int) -> None:
    law = MeanFieldLaw((rate,), (1.0,), (start,), (float(degree),))
    odds = start / (1 - start) * np.exp(np.minimum(rate * degree * STEPS, 700))
    assert law.engaged_fraction(STEPS) == pytest.approx(odds / (1 + odds), abs=1e-9)


def test_the_polynomials_of_the_integral_have_all_their_powers() -> None:
    places = np.linspace(-1, 1, 12).reshape(3, 4)
    powers = si_integral._powers(places)
    assert powers == pytest.approx(
        np.vander(places.ravel(), 10, increasing=True).reshape(3, 4, 10), rel=1e-14
    )


def test_without_rates_nothing_ever_changes() -> None:
    assert two_rates(0, 0).engaged_fraction(STEPS) == pytest.approx(np.full(16, 1 / 128))


def test_the_growth_rate_is_that_of_the_first_steps() -> None:
    law = two_rates(0.01269, 0.2852, start=1e-7)
    early = np.log(law.engaged_fraction([1.0, 2.0]))
    assert early[1] - early[0] == pytest.approx(law.growth_rate, rel=1e-4)


@given(law=laws())
@settings(max_examples=30, deadline=None)
def test_equilibria_have_the_eigenvalues_of_the_jacobian(law: MeanFieldLaw) -> None:
    degrees, tau = np.array(law.degrees), np.array(law.tau)
    size = np.array(law.group_share)[:, None] * np.array(law.degree_share)
    heard = degrees if law.hearers is None else np.array(law.hearers)
    seen = np.tile(heard / (heard @ law.degree_share), (tau.size, 1)).ravel()
    rate = (tau[:, None] * degrees).ravel()
    free, full = law.equilibria()
    # d/dU_b of -rate_a U_a F with F = sum_b seen_b (size_b - U_b).
    at_free = rate[:, None] * size.ravel()[:, None] * seen
    at_full = -np.diag(rate)
    for state, jacobian in ((free, at_free), (full, at_full)):
        expected = np.sort(np.linalg.eigvals(jacobian).real)[::-1]
        assert sorted(state.eigenvalues, reverse=True) == pytest.approx(expected.tolist(), abs=1e-7)
    assert free.engaged == 0
    assert full.engaged == 1


def test_the_spread_free_state_is_unstable_and_the_other_stable() -> None:
    free, full = two_rates(0.01, 0.3).equilibria()
    assert (free.stability, full.stability) == ("unstable", "stable")
    assert free.unengaged == (0.25, 0.75)


def test_a_group_that_never_engages_leaves_the_full_state_neutral() -> None:
    free, full = two_rates(0.0, 0.3).equilibria()
    assert (free.stability, full.stability) == ("unstable", "neutral")
    assert two_rates(0.0, 0.0).equilibria()[0].stability == "neutral"


truths = st.tuples(st.floats(0.0, 0.1), st.floats(0.15, 0.8), st.floats(0.15, 0.45))


@given(truth=truths)
@settings(max_examples=15, deadline=None)
def test_fitting_an_exact_curve_returns_its_rates(truth: tuple[float, float, float]) -> None:
    tau_1, tau_2, share = truth
    law = two_rates(tau_1, tau_2, share)
    fit = fit_mean_field(
        law.engaged_fraction(STEPS), degree=5, group_share=law.group_share, initial_share=WILLING
    )
    assert fit.values == pytest.approx((tau_1, tau_2), abs=1e-6)
    assert fit.rmse < 1e-8
    assert fit.growth_rate == pytest.approx(law.growth_rate, abs=1e-5)
    assert fit.intervals is None


def test_three_rates_are_recovered_from_a_long_exact_curve() -> None:
    law = MeanFieldLaw((0.005, 0.06, 0.5), (0.2, 0.3, 0.5), (0.002, 0.003, 0.005), (4.0,))
    fit = fit_mean_field(law.engaged_fraction(np.arange(61.0)), degree=4, group_share=law.group_share)
    assert fit.values == pytest.approx(law.tau, abs=1e-5)


def noisy_curves(law: MeanFieldLaw, n_realizations: int, seed: int) -> Array:
    """Scatter a law's curve over realizations that start earlier or later."""
    shifts = np.random.default_rng(seed).uniform(0.0, 0.8, n_realizations)
    times = STEPS + shifts[:, None]
    curves = law.engaged_fraction(times.ravel()).reshape(times.shape)
    curves[:, 0] = law.engaged_fraction([0.0])
    return curves


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_the_best_that_a_general_solver_finds(seed: int) -> None:
    law = two_rates(0.02, 0.35)
    curves = noisy_curves(law, 3, seed)
    mean = curves.mean(axis=0)

    def residual(tau: Array) -> Array:
        return two_rates(tau[0], tau[1]).engaged_fraction(STEPS) - mean

    starts = [(0.01, 0.2), (0.3, 0.1), (0.0, 1.0), (0.05, 0.05)]
    best = min((least_squares(residual, s, bounds=(0, 20), xtol=1e-12) for s in starts), key=lambda r: r.cost)
    fit = fit_mean_field(curves, degree=5, group_share=(0.25, 0.75), initial_share=WILLING, n_bootstrap=0)
    assert fit.values == pytest.approx(tuple(best.x), rel=1e-4, abs=1e-6)
    assert fit.rmse == pytest.approx(float(np.sqrt(2 * best.cost / 16)), rel=1e-6)


def test_a_group_that_stays_out_is_fitted_with_rate_zero_and_named() -> None:
    curve = two_rates(0.0, 0.4).engaged_fraction(STEPS)
    curve[-3:] -= 0.002 * np.arange(1, 4) - 0.0021 * np.arange(1, 4)
    saturated = np.minimum(curve, 0.745)
    fit = fit_mean_field(saturated, degree=5, group_share=(0.25, 0.75), initial_share=WILLING)
    assert fit.values[0] == 0.0
    assert any("tau_1 is at its lower bound" in warning for warning in fit.warnings)


def test_a_curve_that_jumps_within_a_step_does_not_measure_its_rate_and_the_fit_says_so() -> None:
    fit = fit_mean_field([0.01, 1.0, 1.0, 1.0, 1.0], degree=5)
    assert fit.values[0] > 2
    assert any("does not depend on tau_1" in warning for warning in fit.warnings)


def test_groups_of_equal_size_cannot_be_told_apart_and_the_fit_says_so() -> None:
    law = MeanFieldLaw((0.02, 0.3), (0.5, 0.5), (0.005, 0.005), (5.0,))
    fit = fit_mean_field(law.engaged_fraction(STEPS) ** 1.01, degree=5, group_share=(0.5, 0.5))
    assert any("does not tell them apart" in warning for warning in fit.warnings)


def fit_two_groups(n_runs: int, **options: Any) -> CurveFit[MeanFieldLaw]:
    curves = simulate(TWO_GROUPS, seed=5, n_runs=n_runs, rule="always").engaged_fraction
    return fit_mean_field(curves, degree=5, group_share=(0.25, 0.75), initial_share=WILLING, **options)


@pytest.mark.parametrize("quick", [0, 1])
def test_of_groups_that_the_curve_does_not_tell_apart_the_willing_one_has_the_higher_rate(quick: int) -> None:
    probability = np.where(np.arange(32) < 16, 0.9, 0.1)
    groups = (np.arange(32) >= 16) if quick == 0 else (np.arange(32) < 16)
    runs = simulate(probability, seed=3, n_runs=50, groups=groups.astype(int), seeding="uniform")
    fit = fit_mean_field(
        runs.engaged_fraction, degree=5, group_share=(0.5, 0.5), group_yes_ratio=(0.9, 0.1)[:: 1 - 2 * quick]
    )
    assert int(np.argmax(fit.law.tau)) == quick
    assert fit.intervals is not None
    low, high = fit.intervals[1 - quick], fit.intervals[quick]
    assert low[1] < high[0]
    assert any("does not tell them apart" in warning for warning in fit.warnings)


def test_parameters_that_were_passed_over_though_they_fit_better_are_said_to() -> None:
    runs = simulate(np.tile([0.1, 0.9], 16), seed=3, n_runs=50, groups=np.arange(32) % 2)
    how: dict[str, Any] = {"degree": 5, "group_share": (0.5, 0.5), "initial_share": (0.1, 0.9)}
    along, against = (
        fit_mean_field(runs.engaged_fraction, group_yes_ratio=ratio, **how) for ratio in ((0, 1), (1, 0))
    )
    assert along.rmse != against.rmse
    for fit in (along, against):
        (said,) = (each for each in fit.warnings if "does not tell them apart" in each)
        assert ("fit nearly as well or better (" in said) == (fit.rmse > min(along.rmse, against.rmse))


def test_the_order_of_yes_ratios_never_overrules_a_curve_that_decides() -> None:
    law = two_rates(0.013, 0.29)
    fit = fit_mean_field(
        law.engaged_fraction(STEPS),
        degree=5,
        group_share=(0.25, 0.75),
        initial_share=WILLING,
        group_yes_ratio=(1, 0),
    )
    assert fit.law.tau == pytest.approx((0.013, 0.29), rel=1e-4)


@pytest.mark.parametrize("ratio", [(0.5,), (0.5, 1.2), (-0.1, 0.5)])
def test_impossible_yes_ratios_are_refused(ratio: tuple[float, ...]) -> None:
    curve = two_rates(0.013, 0.29).engaged_fraction(STEPS)
    with pytest.raises(DesignError, match="group_yes_ratio"):
        fit_mean_field(curve, degree=5, group_share=(0.25, 0.75), group_yes_ratio=ratio)


def test_intervals_hold_the_estimate_and_shrink_with_more_realizations() -> None:
    few, many = fit_two_groups(30), fit_two_groups(1000)
    for fit in (few, many):
        assert fit.intervals is not None
        assert fit.growth_rate_interval is not None
        assert all(low < value < high for value, (low, high) in zip(fit.values, fit.intervals, strict=True))
        low, high = fit.growth_rate_interval
        assert low < fit.growth_rate < high
    assert few.intervals is not None
    assert many.intervals is not None
    width = [high - low for fit in (few, many) for low, high in (fit.intervals or ())]
    assert width[2] < 0.4 * width[0]
    assert width[3] < 0.4 * width[1]


@pytest.mark.slow
def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    law = two_rates(0.03, 0.3)
    truth = fit_mean_field(
        noisy_curves(law, 5000, 99), degree=5, group_share=(0.25, 0.75), n_bootstrap=0
    ).values
    hits = 0
    for seed in range(20):
        fit = fit_mean_field(
            noisy_curves(law, 40, seed), degree=5, group_share=(0.25, 0.75), n_bootstrap=60, level=0.8
        )
        assert fit.intervals is not None
        low, high = fit.intervals[1]
        hits += low <= truth[1] <= high
    assert 11 <= hits <= 20


def test_the_seed_fixes_the_bootstrap() -> None:
    one, same, other = (fit_two_groups(40, seed=seed, n_bootstrap=20).draws for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_whole_clusters_are_resampled() -> None:
    curves = np.repeat(noisy_curves(two_rates(0.03, 0.3), 6, 1), 10, axis=0)
    options: dict[str, Any] = {"degree": 5, "group_share": (0.25, 0.75), "n_bootstrap": 100}
    alone = fit_mean_field(curves, **options)
    together = fit_mean_field(curves, cluster=np.repeat(list("abcdef"), 10), **options)
    assert together.values == alone.values
    assert together.draws.std(axis=0)[1] > 2 * alone.draws.std(axis=0)[1]


def test_few_realizations_are_named() -> None:
    assert any("few" in warning for warning in fit_two_groups(5).warnings)
    assert not fit_two_groups(20).warnings


def test_a_regular_network_is_a_network_of_one_degree_class() -> None:
    curves = noisy_curves(two_rates(0.03, 0.3), 5, 1)
    options: dict[str, Any] = {"group_share": (0.25, 0.75), "n_bootstrap": 0}
    one = fit_mean_field(curves, degree=5, **options)
    assert fit_mean_field(curves, degree=np.full(128, 5), **options).values == pytest.approx(
        one.values, rel=1e-9
    )


def test_degree_classes_recover_the_rates_of_an_irregular_network() -> None:
    degrees = np.repeat([2, 5, 11], [50, 60, 18])
    law = MeanFieldLaw(
        (0.02, 0.2), (0.3, 0.7), (0.003, 0.007), (2.0, 5.0, 11.0), tuple(np.array([50, 60, 18]) / 128)
    )
    fit = fit_mean_field(law.engaged_fraction(STEPS), degree=degrees, group_share=(0.3, 0.7))
    assert fit.values == pytest.approx(law.tau, abs=1e-6)
    excess = (degrees**2).mean() / degrees.mean()
    assert fit.growth_rate == pytest.approx(excess * (0.3 * 0.02 + 0.7 * 0.2), abs=1e-5)


@pytest.mark.parametrize("heard", [(40, 10), (10, 40), (25, 25)])
def test_where_ties_go_one_way_the_law_is_that_of_who_is_heard(heard: tuple[int, int]) -> None:
    # Large random networks of agents who hear many others, so that nobody's neighbours tell of each other.
    degrees, n_agents, probability = (10, 40), 4000, 0.004
    chance = np.random.default_rng(1)
    hearer, source = (
        np.repeat(np.arange(n_agents), np.repeat(each, n_agents // 2)) for each in (degrees, heard)
    )
    ties = np.unique(np.column_stack([chance.permutation(source), hearer]), axis=0)
    network = Network.from_edges(ties[ties[:, 0] != ties[:, 1]], n_agents, is_directed=True)
    runs = simulate(
        [probability], seed=1, n_runs=8, network=network, n_steps=60, rule="always", groups=[0], n_initial=40
    )

    def fitted(hearers: Any) -> float:
        even = {"degree_share": (0.5, 0.5), "n_bootstrap": 0}
        return fit_mean_field(runs.engaged_fraction, degree=degrees, hearers=hearers, **even).values[0]

    assert fitted(heard) == pytest.approx(0.915 * probability, rel=0.02)
    if heard != degrees:
        assert fitted(None) < 0.75 * probability


@given(starts=st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), min_size=1, max_size=6))
@settings(max_examples=10, deadline=None)
def test_no_fit_ends_further_away_than_it_began(starts: list[tuple[float, float]]) -> None:
    truth = two_rates(0.03, 0.3)
    law = truth.opened(15)
    observed = np.tile(noisy_curves(truth, 5, 1).mean(axis=0), (len(starts), 1))
    began = ((law.family(observed[:, 0]).curves(np.array(starts)) - observed) ** 2).sum(axis=1)
    found = solver.least_squares(law, observed, np.array(starts))
    assert (found.sse <= began * (1 + 1e-12)).all()


def test_intervals_are_central() -> None:
    draws = np.stack([np.linspace(0, 1, 1001), np.linspace(5, 7, 1001)], axis=1)
    found = fitting.intervals(draws, 0.9)
    assert found is not None
    assert found[0] == pytest.approx((0.05, 0.95))
    assert found[1] == pytest.approx((5.1, 6.9))


class Hasty(MeanFieldLaw):
    """A law whose fits are given up after a single step."""

    def opened(self, n_steps: int) -> solver.OpenLaw:
        return replace(super().opened(n_steps), n_iterations=1)


def test_a_fit_that_never_converges_is_an_error_and_not_a_result() -> None:
    law = two_rates(0.03, 0.3)
    curves = noisy_curves(law, 5, 1)
    hasty = Hasty(*(getattr(law, each.name) for each in fields(law)))
    assert fitting.fit_curves(law, curves, fitting.Resampling(0, None, seed=0)).names == ("tau_1", "tau_2")
    with pytest.raises(InputError, match="no fit of tau_1, tau_2 converged"):
        fitting.fit_curves(hasty, curves, fitting.Resampling(0, None, seed=0))


def test_bootstrap_fits_that_do_not_converge_are_counted() -> None:
    curves = noisy_curves(two_rates(0.03, 0.3), 20, 1)
    start = np.array([[0.03, 0.3]])
    law = two_rates(0.03, 0.3).opened(15)
    means, _ = fitting.Resampling(50, None, seed=1).means(curves)
    assert not np.isnan(fitting._refit(law, start, means)).any()
    draws = fitting._refit(replace(law, n_iterations=3), start, means)
    failed = np.isnan(draws).any(axis=1).sum()
    assert failed > 0
    assert any(f"{failed} of 50 bootstrap fits" in w for w in fitting._bootstrap_warnings(20, draws))
    kept = fitting.intervals(draws, 0.95)
    assert kept is None or np.isfinite(kept).all()


def test_the_profile_is_least_at_the_estimate_and_its_interval_holds_it() -> None:
    fit = fit_two_groups(200, n_bootstrap=0)
    for index, name in enumerate(("tau_1", "tau_2")):
        profile = fit.profile(name, n_values=41)
        assert profile.sse.min() == pytest.approx(16 * fit.rmse**2, rel=1e-6)
        assert profile.values[profile.sse.argmin()] == fit.values[index]
        low, high = profile.interval
        assert low < fit.values[index] < high
        assert profile.values[0] < low
        assert high < profile.values[-1]
        for level in (0.95, 0.6):
            profile = fit.profile(name, level=level)
            limit = profile.sse.min() * np.exp(chi2.ppf(level, 1) / 16)
            at_ends = np.interp(profile.interval, profile.values, profile.sse)
            assert at_ends == pytest.approx([limit, limit], rel=1e-9)


def test_the_profile_is_the_least_distance_that_a_general_solver_finds() -> None:
    fit = fit_two_groups(50, n_bootstrap=0)
    profile = fit.profile("tau_1", n_values=5)
    for value, sse in zip(profile.values, profile.sse, strict=True):

        def residual(tau: Array, value: float = value) -> Array:
            return two_rates(value, tau[0]).engaged_fraction(STEPS) - fit.observed

        assert sse == pytest.approx(2 * least_squares(residual, [0.3], bounds=(0, 20)).cost, rel=1e-5)


def test_a_profile_that_reaches_a_bound_ends_there() -> None:
    curve = np.minimum(two_rates(0.0, 0.4).engaged_fraction(STEPS), 0.745)
    fit = fit_mean_field(curve, degree=5, group_share=(0.25, 0.75), initial_share=WILLING)
    low, high = fit.profile("tau_1").interval
    assert low == 0.0
    assert high > 0.0


def test_distances_are_those_of_their_definitions() -> None:
    assert rmse([0.1, 0.3], [0.1, 0.5]) == pytest.approx(0.2 / 2**0.5)
    assert nrmse([0.1, 0.3], [0.1, 0.5]) == pytest.approx(0.2 / 2**0.5 / 0.2)
    assert nrmse([0.0, 0.0], [0.1, 0.5]) == float("inf")


GOOD = two_rates(0.02, 0.3).engaged_fraction(STEPS)


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ([0.1, 0.2, 1.2, 1.3], r"realization 0 has 1.2 at step 2"),
        ([0.1, float("nan"), 0.3, 0.4], "outside"),
        ([[0.1, 0.2, 0.3, 0.4], [0.1, 0.3, 0.2, 0.4]], "realization 1 falls from 0.3 at step 1 to 0.2"),
        ([0.1, 0.2], "1 step is too few to fit 1 parameter;"),
        ([0.1], "too few"),
        ([0.1, 0.1, 0.1, 0.1], "must start above 0 and rise"),
        ([0.0, 0.1, 0.2, 0.3], "must start above 0"),
        ([], "shape"),
        (np.zeros((2, 2, 2)), "shape"),
    ],
)
def test_what_is_no_curve_is_refused(curves: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_mean_field(curves, degree=5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"degree": 0}, "degree"),
        ({"degree": [-1, 3]}, "degree"),
        ({"degree": []}, "degree"),
        ({"hearers": (1.0, 2.0)}, "hearers must be a number of at least 0 for each degree"),
        ({"hearers": (-1.0,)}, "hearers"),
        ({"hearers": (0.0,)}, "hearers"),
        ({"group_share": (0.5, 0.6)}, "add up to 1"),
        ({"group_share": (-0.5, 1.5)}, "add up to 1"),
        ({"group_share": [[1.0]]}, "one fraction for each group"),
        ({"group_share": (0.5, 0.5), "initial_share": (1.0,)}, "initial_share"),
        ({"group_share": (0.0, 1.0), "initial_share": (1.0, 0.0)}, "between 0 and group_share"),
        ({"level": 1.0}, "level"),
        ({"n_bootstrap": -1}, "n_bootstrap"),
    ],
)
def test_impossible_arguments_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DesignError, match=message):
        fit_mean_field(GOOD, **{"degree": 5, **wrong})


def test_clusters_must_fit_the_realizations() -> None:
    with pytest.raises(DesignError, match="one cluster for each of 2"):
        fit_mean_field([GOOD, GOOD], degree=5, cluster=[1])
    single = fit_mean_field([GOOD, GOOD], degree=5, cluster=["a", "a"])
    assert single.intervals is None
    assert any("single curve or cluster" in warning for warning in single.warnings)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tau": (-0.1, 0.2)}, "at least 0"),
        ({"initial_engaged": (0.3, 0.1)}, "initial_engaged"),
        ({"initial_engaged": (0.0, 0.0)}, "step 0"),
        ({"initial_engaged": (0.25, 0.75)}, "step 0"),
        ({"degrees": (-1.0,)}, "at least 0"),
        ({"degrees": (1.0, 2.0)}, "degree_share"),
    ],
)
def test_impossible_laws_are_refused(wrong: dict[str, Any], message: str) -> None:
    parts = {
        "tau": (0.1, 0.2),
        "group_share": (0.25, 0.75),
        "initial_engaged": (0.0, 0.01),
        "degrees": (5.0,),
    }
    with pytest.raises(DesignError, match=message):
        MeanFieldLaw(**{**parts, **wrong})


def test_times_before_the_start_and_unknown_rates_are_refused() -> None:
    with pytest.raises(DesignError, match="at least 0"):
        two_rates(0.1, 0.2).engaged_fraction([-1.0])
    fit = fit_mean_field(GOOD, degree=5)
    with pytest.raises(DesignError, match="did you mean 'tau_1'"):
        fit.profile("tau1")
    with pytest.raises(DesignError, match="level"):
        fit.profile("tau_1", level=2)
    with pytest.raises(DesignError, match="at least 2 values"):
        fit.profile("tau_1", n_values=1)


@given(law=laws())
@settings(max_examples=20, deadline=None)
def test_curves_rise(law: MeanFieldLaw) -> None:
    curve = law.engaged_fraction(STEPS).tolist()
    assert all(a <= b + 1e-12 for a, b in pairwise(curve))
