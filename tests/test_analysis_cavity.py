"""The cavity law: known values, exact cases on trees, and the simulator at many agents."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import least_squares

from agentnet.analysis.laws.cavity import CavityLaw, fit_cavity
from agentnet.analysis.laws.mean_field import fit_mean_field
from agentnet.analysis.simulation import simulate
from agentnet.errors import DesignError, InputError

Array = NDArray[np.float64]

BITS = (np.arange(32)[:, None] >> np.arange(4, -1, -1)) & 1
PEACEFUL = 1 / (1 + np.exp(3.072 - BITS @ np.array([7.625, -0.188, 2.497, 1.626, -0.970])))


def even_law(probability: Any, start: float, degree: int) -> CavityLaw:
    n_groups = len(probability)
    return CavityLaw(
        tuple(probability), (1 / n_groups,) * n_groups, (start / n_groups,) * n_groups, degree
    )  # fmt: skip


def test_table_1_has_its_known_values() -> None:
    curve = even_law(PEACEFUL, 0.01, 5).engaged_fraction(15)
    assert curve[5] == pytest.approx(0.717594, abs=5e-7)
    assert curve[15] == pytest.approx(0.959485, abs=5e-7)


@st.composite
def laws(draw: st.DrawFn) -> CavityLaw:
    n_groups = draw(st.integers(1, 3))
    share = np.array(draw(st.lists(st.floats(0.05, 1), min_size=n_groups, max_size=n_groups)))
    share /= share.sum()
    initial = np.array(draw(st.lists(st.floats(0.001, 0.9), min_size=n_groups, max_size=n_groups))) * share
    probability = draw(st.lists(st.floats(0, 1), min_size=n_groups, max_size=n_groups))
    return CavityLaw(tuple(probability), tuple(share), tuple(initial), draw(st.integers(1, 7)))


def by_the_book(law: CavityLaw, n_steps: int) -> Array:
    """Add up every message's history at every step, as the law is written."""
    q = 1 - np.array(law.transmission_probability)
    share, initial = np.array(law.group_share), np.array(law.initial_engaged)

    def failed(fresh: list[float], step: int) -> Array:
        asked = sum((f * q ** (step - s) for s, f in enumerate(fresh[:step])), np.zeros(q.size))
        return np.asarray(asked + 1 - sum(fresh[:step]))

    fresh = [float(initial.sum())]
    for step in range(1, n_steps + 1):
        cavity = [failed(fresh, t) ** (law.degree - 1) for t in (step - 1, step)]
        fresh.append(float(((share - initial) * (cavity[0] - cavity[1])).sum()))
    left = [((share - initial) * failed(fresh, t) ** law.degree).sum() for t in range(n_steps + 1)]
    return 1 - np.array(left)


@given(law=laws())
@settings(max_examples=60, deadline=None)
def test_the_recursion_adds_up_every_message(law: CavityLaw) -> None:
    assert law.engaged_fraction(10) == pytest.approx(by_the_book(law, 10), abs=1e-12)


ASKED_BY = {
    "always": lambda since, heard, degree: since > 0,
    "unengaged_neighbour": lambda since, heard, degree: since > 0 and heard < degree,
    "once_per_edge": lambda since, heard, degree: since == 1,
}


def by_all_histories(law: CavityLaw, messages: list[float], n_steps: int) -> Array:
    """Let an agent's neighbours engage at every combination of steps, and count the questions of each.

    Args:
        law: The law, with one group.
        messages: F(s): how likely a neighbour in the cavity engages at each step.
        n_steps: Steps.
    """
    never = n_steps + 1
    chance = [*messages[:never], 1 - sum(messages[:never])]
    left = np.zeros(n_steps + 1)
    for when in product(range(never + 1), repeat=law.degree):
        n_asked = 0
        for step in range(n_steps + 1):
            heard = sum(s < step for s in when)
            n_asked += sum(ASKED_BY[law.rule](step - s, heard, law.degree) for s in when)
            left[step] += (
                np.prod([chance[s] for s in when]) * (1 - law.transmission_probability[0]) ** n_asked
            )
    return np.asarray(1 - (1 - law.initial_engaged[0]) * left)


@given(start=st.floats(0.01, 0.5), p=st.floats(0, 1), rule=st.sampled_from(list(ASKED_BY)))
@settings(max_examples=15, deadline=None)
def test_each_rule_is_the_sum_over_all_histories_of_neighbours(start: float, p: float, rule: str) -> None:
    law, n_steps, degree = replace(even_law([p], start, 3), rule=rule), 4, 3
    messages = [start]
    for step in range(1, n_steps + 1):  # in the cavity there is a neighbour less, and always one unengaged
        cavity = replace(law, degree=degree - 1, rule="always" if rule != "once_per_edge" else rule)
        curve = by_all_histories(cavity, messages + [0.0] * n_steps, step)
        messages.append(float(curve[step] - curve[step - 1]))
    assert law.engaged_fraction(n_steps) == pytest.approx(by_all_histories(law, messages, n_steps), abs=1e-12)


@given(start=st.floats(0.001, 0.9), p=st.floats(0, 1))
@settings(max_examples=10, deadline=None)
def test_pairs_by_other_rules_are_solved_by_hand(start: float, p: float) -> None:
    pair = even_law([p], start, 1)
    never_asked = replace(pair, rule="unengaged_neighbour").engaged_fraction(5)
    assert never_asked == pytest.approx([start] * 6, abs=1e-12)
    asked_once = replace(pair, rule="once_per_edge").engaged_fraction(5)
    assert asked_once == pytest.approx([start] + [start + (1 - start) * start * p] * 5, abs=1e-12)


@given(start=st.floats(0.001, 0.9), p=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_pairs_of_agents_are_solved_by_hand(start: float, p: float) -> None:
    steps = np.arange(9)
    expected = start + (1 - start) * start * (1 - (1 - p) ** steps)
    assert even_law([p], start, 1).engaged_fraction(8) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("degree", [2, 3, 5])
def test_when_everyone_shares_only_distance_counts(degree: int) -> None:
    start = 0.01
    within = [1 + degree * sum((degree - 1) ** d for d in range(step)) for step in range(7)]
    expected = [1 - (1 - start) ** n for n in within]
    assert even_law([1.0], start, degree).engaged_fraction(6) == pytest.approx(expected, abs=1e-12)


def test_a_large_cascade_follows_the_law() -> None:
    n_agents, n_runs = 16_384, 24
    runs = simulate(
        PEACEFUL, seed=3, n_runs=n_runs, n_agents=n_agents, n_initial=n_agents // 64, seeding="uniform",
        rule="always",
    )  # fmt: skip
    curves = runs.engaged_fraction
    law = even_law(PEACEFUL, 1 / 64, 5).engaged_fraction(15)
    error = curves.std(axis=0) / n_runs**0.5
    assert (np.abs(curves.mean(axis=0) - law) <= 4 * error + 1e-4).all()


def test_large_cascades_follow_the_law_group_by_group() -> None:
    n_agents, n_runs = 16_384, 16
    law = CavityLaw((0.06, 0.7), (0.5, 0.5), (0.5 / 64, 0.5 / 64), 4)
    runs = simulate(
        [0.06, 0.7], seed=8, n_runs=n_runs, n_agents=n_agents, degree=4, n_initial=n_agents // 64,
        seeding="uniform", rule="always", groups=[0, 1], n_steps=12,
    ).group_engaged_fraction  # fmt: skip
    error = runs.std(axis=0) / n_runs**0.5
    assert (np.abs(runs.mean(axis=0) - law.group_engaged_fraction(12)) <= 4 * error + 2e-4).all()


RULES = ["unengaged_neighbour", "once_per_edge"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("degree", [3, 5])
def test_large_cascades_by_other_rules_follow_the_law_group_by_group(rule: str, degree: int) -> None:
    n_agents, n_runs = 16_384, 16
    law = CavityLaw((0.1, 0.7), (0.5, 0.5), (0.5 / 64, 0.5 / 64), degree, rule)
    runs = simulate(
        [0.1, 0.7], seed=8, n_runs=n_runs, n_agents=n_agents, degree=degree, n_initial=n_agents // 64,
        seeding="uniform", rule=rule, groups=[0, 1], n_steps=12,
    ).group_engaged_fraction  # fmt: skip
    error = runs.std(axis=0) / n_runs**0.5
    assert (np.abs(runs.mean(axis=0) - law.group_engaged_fraction(12)) <= 4 * error + 2e-4).all()


@pytest.mark.parametrize(("rule", "misfit"), [(RULES[0], 0.02), (RULES[1], 0.07)])
def test_the_law_of_a_rule_fits_where_the_mean_field_does_not(rule: str, misfit: float) -> None:
    curves = simulate(
        [0.3], seed=3, n_runs=8, n_agents=16_384, n_initial=256, seeding="uniform", rule=rule
    ).engaged_fraction  # fmt: skip
    assert fit_mean_field(curves, degree=5, n_bootstrap=0).rmse > misfit
    assert fit_cavity(curves, degree=5, n_bootstrap=0).rmse > misfit
    fit = fit_cavity(curves, degree=5, rule=rule)
    assert fit.rmse < 0.0015
    assert fit.intervals is not None
    assert fit.values[0] == pytest.approx(0.3, abs=0.003)


def test_no_resample_ends_in_another_optimum_because_rounding_stopped_it_early() -> None:
    curves = simulate([0.0533, 0.8154, 0.8154, 0.8154], seed=3, n_runs=50, rule="always").engaged_fraction
    draws = fit_cavity(curves, degree=5, group_share=(0.25, 0.75), n_bootstrap=500).draws
    assert not np.isnan(draws).any()
    assert draws[:, 0].max() < 0.1


def test_a_rule_without_a_law_is_refused() -> None:
    with pytest.raises(DesignError, match="'moonlight'; known: always, once_per_edge, unengaged_neighbour"):
        fit_cavity([0.1, 0.2, 0.3], degree=5, rule="moonlight")


@given(rule=st.sampled_from(RULES), p_1=st.floats(0.0, 1.0), p_2=st.floats(0.0, 1.0))
@settings(max_examples=15, deadline=None)
def test_derivatives_are_those_by_differences(rule: str, p_1: float, p_2: float) -> None:
    law = CavityLaw((p_1, p_2), (0.25, 0.75), (0.0, 0.01), 5, rule)
    family, place, width = law.opened(10).family(np.array([0.01])), np.array([[p_1, p_2]]), 1e-6
    curve, slope = family.with_slopes(place)
    assert curve == pytest.approx(family.curves(place), abs=1e-14)
    for group, step in enumerate(width * np.eye(2)):
        rise = (family.curves(place + step) - family.curves(place - step)) / (2 * width)
        assert slope[..., group] == pytest.approx(rise, abs=1e-8)


@given(p_1=st.floats(0.0, 0.15), p_2=st.floats(0.3, 1.0))
@settings(max_examples=12, deadline=None)
def test_fitting_an_exact_curve_returns_its_probabilities(p_1: float, p_2: float) -> None:
    law = CavityLaw((p_1, p_2), (0.25, 0.75), (0.0, 0.01), 5)
    fit = fit_cavity(law.engaged_fraction(15), degree=5, group_share=(0.25, 0.75), initial_share=(0, 1))
    assert fit.values == pytest.approx((p_1, p_2), abs=1e-5)
    assert fit.rmse < 1e-7


def test_the_fit_is_the_best_that_a_general_solver_finds() -> None:
    truth = CavityLaw((0.05, 0.6), (0.25, 0.75), (0.0025, 0.0075), 5)
    observed = truth.engaged_fraction(15) ** 1.05

    def residual(p: Array) -> Array:
        initial = (0.25 * observed[0], 0.75 * observed[0])
        return CavityLaw(tuple(p), (0.25, 0.75), initial, 5).engaged_fraction(15) - observed

    starts = [(0.1, 0.5), (0.5, 0.1), (0.01, 0.9)]
    best = min((least_squares(residual, s, bounds=(0, 1), xtol=1e-12) for s in starts), key=lambda r: r.cost)
    fit = fit_cavity(observed, degree=5, group_share=(0.25, 0.75))
    assert fit.values == pytest.approx(tuple(best.x), rel=1e-4)
    profile = fit.profile("p_2", n_values=21)
    assert profile.interval[0] < fit.values[1] < profile.interval[1]


def test_fitted_probabilities_are_those_of_the_simulated_decisions() -> None:
    law = np.array([0.0533, 0.8154, 0.8154, 0.8154])
    curves = simulate(
        law, seed=3, n_runs=40, n_agents=4096, n_initial=41, seeding="uniform", rule="always"
    ).engaged_fraction  # fmt: skip
    fit = fit_cavity(curves, degree=5, group_share=(0.25, 0.75))
    error = fit.draws.std(axis=0)
    assert np.abs(np.array(fit.values) - [0.0533, 0.8154]) / error == pytest.approx(0, abs=4)
    assert fit.intervals is not None
    assert fit.n_realizations == 40


def test_a_probability_at_its_upper_bound_is_named() -> None:
    curve = even_law([1.0], 0.01, 5).engaged_fraction(8)
    fit = fit_cavity(curve, degree=5)
    assert fit.values == pytest.approx((1.0,), abs=1e-6)
    faster = np.minimum(curve * np.linspace(1.0, 1.5, 9), 1.0)
    assert any("p_1 is at its upper bound 1" in w for w in fit_cavity(faster, degree=5).warnings)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="falls"):
        fit_cavity([0.1, 0.3, 0.2], degree=5)
    with pytest.raises(DesignError, match="whole number"):
        fit_cavity([0.1, 0.2, 0.3], degree=2.5)  # type: ignore[arg-type]
    with pytest.raises(DesignError, match="did you mean 'p_1'"):
        fit_cavity([0.1, 0.2, 0.3], degree=5).profile("p1")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"transmission_probability": (1.1,)}, "lie in"),
        ({"group_share": (0.5,)}, "add up to 1"),
        ({"initial_engaged": (1.5,)}, "initial_engaged"),
        ({"degree": 0}, "whole number"),
    ],
)
def test_impossible_laws_are_refused(wrong: dict[str, Any], message: str) -> None:
    parts = {
        "transmission_probability": (0.5,),
        "group_share": (1.0,),
        "initial_engaged": (0.1,),
        "degree": 3,
    }
    with pytest.raises(DesignError, match=message):
        CavityLaw(**{**parts, **wrong})
