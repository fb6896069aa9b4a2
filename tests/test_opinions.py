"""Measures of opinions against networkx, definitions, and models whose course is known: DeGroot, voters."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from agentnet.analysis.opinions import (
    agreement,
    bias,
    diversity,
    echo,
    gini,
    opinion_curves,
    opinion_measures,
    polarization,
    reach,
    top_share,
)
from agentnet.errors import DesignError, InputError

Array = NDArray[np.float64]
NOWHERE = np.nan

some = st.lists(st.floats(-2, 2).map(lambda x: round(x, 3)), min_size=2, max_size=30).map(np.array)


def degroot(network: nx.Graph[int], stances: Array, steps: int) -> Array:
    """Give W^t x for t = 0..steps: each agent averages itself and those it hears, all alike."""
    weights = nx.to_numpy_array(network, nodelist=range(len(network))) + np.eye(len(network))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.array([np.linalg.matrix_power(weights, step) @ stances for step in range(steps + 1)])


def voter(network: nx.Graph[int], stances: Array, steps: int, rng: np.random.Generator) -> Array:
    """Let each agent take the stance of one that it hears, all at once, at each step."""
    heard = [sorted(network[agent]) for agent in range(len(network))]
    path = [stances]
    for _ in range(steps):
        path.append(path[-1][[neighbours[rng.integers(len(neighbours))] for neighbours in heard]])
    return np.array(path)


def links(network: Any) -> NDArray[np.int64]:
    """List who is heard and who hears: undirected links from both ends."""
    edges = np.array(network.edges, dtype=np.int64).reshape(-1, 2)
    return edges if network.is_directed() else np.concatenate([edges, edges[:, ::-1]])


@settings(max_examples=40, deadline=None)
@given(stances=some)
def test_polarization_is_the_variance_of_all_distances(stances: Array) -> None:
    one, other = np.triu_indices(stances.size, 1)
    assert polarization(stances) == pytest.approx(np.abs(stances[one] - stances[other]).var(), abs=1e-9)


def test_halves_at_either_end_are_polarized_most_and_a_quarter_of_the_squared_width() -> None:
    halves = np.repeat([-2.0, 2.0], 500)
    assert polarization(halves) == pytest.approx(4.0, rel=1e-5)
    assert polarization(np.linspace(-2, 2, 1000)) < 1.0
    assert polarization(np.repeat([-2.0, 2.0], [900, 100])) < 2.5
    assert diversity(halves) == 2.0


@pytest.mark.parametrize("directed", [False, True])
def test_echo_is_the_numeric_assortativity_of_networkx(directed: bool) -> None:
    rng = np.random.default_rng(4)
    for seed in range(8):
        network = nx.gnp_random_graph(40, 0.15, seed=seed, directed=directed)
        stances = rng.normal(size=40).round(2)
        nx.set_node_attributes(network, dict(enumerate(stances.tolist())), "stance")
        theirs = nx.numeric_assortativity_coefficient(network, "stance")
        assert echo(stances, links(network)) == pytest.approx(theirs, abs=1e-10)
        lost = rng.random(40) < 0.3
        known = network.subgraph(np.flatnonzero(~lost).tolist())
        part = nx.numeric_assortativity_coefficient(known, "stance")
        assert echo(np.where(lost, NOWHERE, stances), links(network)) == pytest.approx(part, abs=1e-10)


def test_agreement_averages_over_agents_and_not_over_links() -> None:
    star = nx.star_graph(4)
    stances = [1.0, 1.0, 0.0, 0.0, 0.0]
    assert agreement(stances, links(star)) == pytest.approx((1 / 4 + 1) / 5)
    assert agreement(stances, links(star), tolerance=1.0) == 1.0
    assert agreement(stances, np.array([[0, 1], [2, 1], [0, 3]])) == pytest.approx((1 / 2 + 0) / 2)
    hub_missing = [NOWHERE, 1.0, 0.0, 0.0, 0.0]
    assert np.isnan(agreement(hub_missing, links(star)))
    assert np.isnan(echo(hub_missing, links(star)))
    assert agreement([1, 1, NOWHERE, 0, 0], links(star)) == pytest.approx((1 / 3 + 1) / 4)
    with pytest.raises(DesignError, match="agents 0 to 4; got 0 to 9"):
        echo(stances, np.array([[0, 9]]))


@settings(max_examples=40, deadline=None)
@given(stances=some, lost=st.integers(0, 5))
def test_missing_stances_count_for_nothing(stances: Array, lost: int) -> None:
    with_missing = np.concatenate([np.full(lost, NOWHERE), stances])
    for measure in (bias, diversity, polarization):
        assert measure(with_missing) == pytest.approx(measure(stances), nan_ok=True)
        assert np.isnan(measure(np.full(lost, NOWHERE)))


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(0.01, 100), min_size=1, max_size=20).map(np.array))
def test_the_gini_coefficient_is_half_the_relative_mean_difference(values: Array) -> None:
    pairs = np.abs(values[:, None] - values).mean()
    assert gini(values) == pytest.approx(pairs / (2 * values.mean()), abs=1e-9)
    assert gini([*values, NOWHERE]) == pytest.approx(gini(values))


def test_concentration_of_a_pareto_law_is_its_closed_form() -> None:
    amounts = stats.pareto(3).ppf((np.arange(200_000) + 0.5) / 200_000)
    assert gini(amounts) == pytest.approx(1 / 5, abs=1e-3)
    assert top_share(amounts, 0.2) == pytest.approx(0.2 ** (1 - 1 / 3), abs=1e-3)


def test_amounts_that_nobody_has_or_that_are_negative_are_no_concentration() -> None:
    assert np.isnan(gini([0, 0]))
    assert np.isnan(top_share([0.0, NOWHERE]))
    assert gini([5.0]) == 0.0
    assert top_share([4, 2, 1, 1, NOWHERE], 0.375) == pytest.approx((4 + 2 / 2) / 8)
    with pytest.raises(InputError, match="at least 0; got -1"):
        gini([3, -1])
    with pytest.raises(DesignError, match="fraction of agents"):
        top_share([1, 2], 0)


def test_reach_counts_agents_and_not_exposures() -> None:
    assert reach([3, 3, 3, 7], [0, 1, 1, 1], 4) == {3: 0.5, 7: 0.25}


def test_degroot_on_a_ring_keeps_its_bias_and_loses_diversity_by_the_eigenvalue() -> None:
    ring = nx.cycle_graph(24)
    wave = np.cos(2 * np.pi * np.arange(24) / 24)
    found = opinion_measures(degroot(ring, 0.7 + wave, 12), lambda _: links(ring))
    factor = (1 + 2 * np.cos(2 * np.pi / 24)) / 3
    assert found["bias"] == pytest.approx(np.full(13, 0.7))
    assert found["diversity"] == pytest.approx(found["diversity"][0] * factor ** np.arange(13))
    assert found["polarization"] == pytest.approx(found["polarization"][0] * factor ** (2 * np.arange(13)))
    assert found["echo"] == pytest.approx(np.full(13, np.cos(2 * np.pi / 24)))


def rows_of(paths: Any, name: str = "stance") -> dict[str, Any]:
    """Spell paths, shape (realizations, steps, agents), as a table of measures."""
    place = np.indices(np.shape(paths)).reshape(3, -1)
    columns = dict(zip(("realization", "step", "agent"), place, strict=True))
    return columns | {"value": np.ravel(paths), "name": np.full(place.shape[1], name)}


def test_the_voter_model_keeps_its_bias_on_average_and_is_seen_to() -> None:
    network = nx.random_regular_graph(4, 30, seed=3)
    start = np.repeat([1.0, 0.0], [12, 18])
    rng = np.random.default_rng(8)
    paths = [voter(network, start, 10, rng) for _ in range(60)]
    curves = opinion_curves(rows_of(paths), heard=lambda _, __: links(network), level=0.999)
    of_bias, spread = curves["stance bias"], curves["stance diversity"]
    assert of_bias.value[0] == pytest.approx(0.4)
    assert ((of_bias.low <= 0.4) & (of_bias.high >= 0.4))[1:].all()
    assert spread.by_realization == pytest.approx(
        np.sqrt(of_bias.by_realization * (1 - of_bias.by_realization)), abs=1e-9
    )
    # Both ends of a link choose whom they follow, each for itself.
    same = [start[a] == start[b] for i, j in links(network) for a in network[i] for b in network[j]]
    agrees = curves["stance agreement"]
    assert agrees.low[1] <= np.mean(same) <= agrees.high[1]


def test_intervals_over_realizations_are_students() -> None:
    paths = np.random.default_rng(2).normal(size=(7, 3, 20))
    curve = opinion_curves(rows_of(paths), level=0.9)["stance bias"]
    means = paths.mean(axis=2)
    for step in range(3):
        low, high = stats.t.interval(0.9, 6, means[:, step].mean(), stats.sem(means[:, step]))
        assert (curve.low[step], curve.high[step]) == pytest.approx((low, high))
    single = opinion_curves(rows_of(paths[:1]))["stance bias"]
    assert np.isnan(single.low).all()


def test_who_is_heard_is_asked_by_realization_and_step() -> None:
    rows = rows_of(np.array([[[0.0, 0.0, 1.0]] * 2] * 2))
    rows["realization"], rows["step"] = rows["realization"] + 7, rows["step"] * 5
    of = {(7, 0): [[0, 1]], (7, 5): [[1, 2]], (8, 0): [[0, 1], [2, 0]], (8, 5): []}
    curves = opinion_curves(rows, heard=lambda number, step: np.array(of[number, step], dtype=np.int64))
    found = curves["stance agreement"].by_realization
    assert found == pytest.approx(np.array([[1, 0], [0.5, NOWHERE]]), nan_ok=True)


def test_what_was_recorded_of_the_whole_stands_and_what_is_missing_is_counted() -> None:
    table = pd.DataFrame(
        [
            *((0, 0, "stance", agent, value) for agent, value in enumerate((1.0, np.nan, -1.0))),
            *((0, 1, "stance", agent, 2.0) for agent in (0, 2)),
            *((1, 0, "stance", agent, 0.0) for agent in (0, 1)),
            (0, 0, "heat", -1, 3.0),
            (1, 0, "heat", -1, 5.0),
            (1, 1, "heat", -1, np.nan),
        ],
        columns=["realization", "step", "name", "agent", "value"],
    )
    curves = opinion_curves(table)
    assert list(curves) == ["stance bias", "stance diversity", "stance polarization", "heat"]
    stance, heat = curves["stance bias"], curves["heat"]
    assert stance.by_realization.tolist()[0] == [0.0, 2.0]
    assert np.isnan(stance.by_realization[1, 1])
    assert stance.n_missing.tolist() == [[1, 1], [0, 0]]
    assert heat.value[0] == 4.0
    assert np.isnan(heat.value[1])
    assert heat.n_missing.tolist() == [[0, 0], [0, 1]]


def test_rows_that_are_no_measures_are_refused_in_words() -> None:
    rows = rows_of(np.zeros((1, 2, 3)))
    for wrong, words in (
        ({"agent": np.full(6, -1)}, "recorded twice"),
        ({"agent": np.array([-1, 0, 1, 0, 1, 2])}, "for agents and for the whole"),
        ({"value": np.zeros(2)}, "differ in length"),
    ):
        with pytest.raises(InputError, match=words):
            opinion_curves({**rows, **wrong})
    del rows["value"]
    with pytest.raises(InputError, match="no column 'value'"):
        opinion_curves(rows)
    with pytest.raises(DesignError, match="level"):
        opinion_curves(rows, level=1.5)
