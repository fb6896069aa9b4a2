"""Goodness of fit: noise floors against closed forms and brute force; inferred cascades follow the design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.stats import chi

from agentnet import CascadeExperiment
from agentnet.analysis.fitting import rmse
from agentnet.analysis.goodness import (
    Curve,
    Observed,
    compare_views,
    mean_final_engagement,
    noise_floor,
    outlook_of_cascades,
    outlook_of_law,
    views,
)
from agentnet.analysis.reading import read_tables
from agentnet.analysis.simulation import infer_cascades, simulate
from agentnet.analysis.tables import RunTables
from agentnet.backend import make_backend
from agentnet.errors import DesignError, InputError
from agentnet.events import Run
from agentnet.streams import Streams

GROUPS = np.arange(32) // 16
LAW = np.tile(np.where(GROUPS, 0.7, 0.1)[:, None], 2)


@pytest.fixture(scope="module")
def tables(play: Callable[..., Run]) -> RunTables:
    design = CascadeExperiment(n_agents=64, degree=4, steps=5, repeats=3, items_per_severity=1)
    return read_tables(play(design, seed=1))


def test_floors_of_independent_steps_are_chi_distributed() -> None:
    curves = np.random.default_rng(3).normal(0.5, 0.1, size=(4000, 4))
    found = noise_floor(curves, n_observed=50, n_inferred=100)
    assert found is not None
    unit = 0.1 * np.sqrt((1 / 50 + 1 / 100) / 4)
    assert np.isclose(found.mean, unit * chi(4).mean(), rtol=0.03)
    assert np.isclose(found.quantile_95, unit * chi(4).ppf(0.95), rtol=0.04)


def test_the_floor_is_what_two_samples_of_the_law_differ_by() -> None:
    def sample(seed: int, n_runs: int) -> Any:
        severity = np.arange(n_runs) % 2
        return simulate(LAW * [1.0, 0.6], seed=seed, n_runs=n_runs, n_agents=64, n_steps=8, severity=severity)

    many = sample(0, 800)
    floor = noise_floor(many.engaged_fraction, n_observed=40, n_inferred=40, severity=many.severity)
    pairs = sample(1, 80 * 150).engaged_fraction.reshape(150, 2, 40, -1).mean(axis=2)
    distance = [rmse(one, other) for one, other in pairs]
    assert floor is not None
    assert np.isclose(np.mean(distance), floor.mean, rtol=0.12)
    assert np.isclose(np.quantile(distance, 0.95), floor.quantile_95, rtol=0.2)
    unstratified = noise_floor(many.engaged_fraction, n_observed=40, n_inferred=40)
    assert unstratified is not None
    assert unstratified.mean > 1.1 * floor.mean


def test_a_law_without_chance_has_the_lower_floor() -> None:
    curves = np.random.default_rng(4).random((30, 6)).cumsum(axis=1) / 6
    one, two = noise_floor(curves), noise_floor(curves, n_inferred=30)
    assert one is not None
    assert two is not None
    assert np.isclose(two.mean, one.mean * np.sqrt(2))
    assert np.isclose(two.quantile_95, one.quantile_95 * np.sqrt(2))
    assert noise_floor(curves, seed=1) != one == noise_floor(curves)


def test_single_curves_have_no_floor_and_equal_ones_the_floor_0() -> None:
    assert noise_floor(np.ones((1, 3))) is None
    assert noise_floor(np.ones((2, 3)), severity=[0, 1]) is None
    equal = noise_floor(np.ones((4, 3)))
    assert equal is not None
    assert equal.mean == equal.quantile_95 == 0


def test_views_are_those_that_there_are() -> None:
    assert [view.name for view in views((0, 1), 2)] == [
        "population",
        "peaceful",
        "severe",
        "group 1",
        "group 2",
    ]
    assert [view.name for view in views((1,), 1)] == ["population"]
    assert [view.name for view in views((-1, 0), 1)] == ["population", "of unknown severity", "peaceful"]


def test_comparisons_are_distances_between_mean_curves(tables: RunTables) -> None:
    observed = Observed.of(tables, GROUPS)
    law = np.stack([np.linspace(0, 0.2, 6), np.linspace(0, 0.5, 6)])
    found = {each.view: each for each in compare_views(observed, outlook_of_law(law, observed.views))}
    assert list(found) == ["population", "peaceful", "severe", "group 1", "group 2"]
    mean = tables.engaged_fraction.mean(axis=0)
    assert np.isclose(found["population"].rmse, np.sqrt(np.mean((mean - law.sum(axis=0)) ** 2)))
    assert np.isclose(found["population"].nrmse, found["population"].rmse / mean.mean())
    severe = tables.engaged_fraction[tables.severity == 1]
    assert np.allclose(found["severe"].observed.mean, severe.mean(axis=0))
    assert np.allclose(found["severe"].observed.sd, severe.std(axis=0, ddof=1))
    assert found["severe"].observed.n == 3
    assert np.array_equal(found["severe"].inferred.mean, law.sum(axis=0))
    assert found["group 2"].inferred.sd is None
    assert np.allclose(found["group 2"].inferred.mean, law[1])
    assert np.allclose(
        found["group 2"].observed.mean, tables.group_engaged_fraction(GROUPS)[:, 1].mean(axis=0)
    )


def test_inferred_views_average_the_cascades_that_they_show(tables: RunTables) -> None:
    inferred = infer_cascades(LAW, tables, groups=GROUPS, n_runs=50, seed=4)
    seen = outlook_of_cascades(inferred, views((0, 1), 2))
    severe = inferred.engaged_fraction[inferred.severity == 1]
    assert seen["severe"].n == len(severe) == 25
    assert np.allclose(seen["severe"].mean, severe.mean(axis=0))
    assert np.allclose(seen["group 1"].mean + seen["group 2"].mean, seen["population"].mean)
    observed = Observed.of(tables, GROUPS)
    floor = next(iter(compare_views(observed, seen))).floor
    single = noise_floor(tables.engaged_fraction, severity=tables.severity)
    assert floor is not None
    assert single is not None
    assert np.isclose(floor.mean, single.mean * np.sqrt(1 + 6 / 50))


def test_cascades_of_unknown_severity_are_compared_with_those_played_as_peaceful(tables: RunTables) -> None:
    inferred = infer_cascades(LAW, tables, n_runs=10, seed=4)
    seen = outlook_of_cascades(inferred, views((-1, 1), 1))
    assert seen["of unknown severity"].n == 5
    only_peaceful = outlook_of_cascades(infer_cascades(LAW, tables.select([0]), n_runs=3), views((0, 1), 1))
    assert list(only_peaceful) == ["population", "peaceful"]
    found = compare_views(Observed.of(tables, np.zeros(32, dtype=int)), only_peaceful)
    assert [each.view for each in found] == ["population", "peaceful"]
    assert Curve.of(np.ones((1, 4))).sd is None


def test_fresh_designs_are_simulated_as_such(tables: RunTables) -> None:
    found = infer_cascades(LAW, tables, groups=GROUPS, n_runs=40, seed=9)
    direct = simulate(
        LAW,
        seed=Streams(9).integer("inferred part", 0),
        n_runs=40,
        n_steps=5,
        n_agents=64,
        degree=4,
        groups=GROUPS,
        severity=found.severity,
        rule="unengaged_neighbour",
    )
    assert np.array_equal(found.group_engaged_fraction, direct.group_engaged_fraction)
    assert found.severity.sum() == 20
    assert abs(int(found.severity[:10].sum()) - 5) <= 1
    assert infer_cascades(LAW, tables, n_runs=4, n_steps=2).engaged_fraction.shape == (4, 3)


def test_other_mixes_of_profiles_are_dealt_as_they_were(play: Callable[..., Run]) -> None:
    design = CascadeExperiment(
        n_agents=32, degree=9, steps=4, repeats=2, items_per_severity=1, profiles={"10000": 0.5, "00000": 0.5}
    )
    tables = read_tables(play(design))
    # Under this law exactly the open engage: the last curve value is at most their number.
    law = np.zeros((32, 2))
    law[16] = 1.0
    found = infer_cascades(law, tables, groups=GROUPS, n_runs=8, n_steps=30, seed=1)
    assert found.group_engaged_fraction[:, 0].max() == 0
    most = np.repeat(tables.profile_agents[:, 16], 2) / 32
    assert (found.engaged_fraction[:, -1] <= most).all()
    assert (found.engaged_fraction[:, -1] > 0.8 * most).all()


def test_recorded_networks_are_replayed(play: Callable[..., Run]) -> None:
    parts = nx.disjoint_union(nx.complete_graph(20), nx.complete_graph(12))
    design = CascadeExperiment(network=parts, steps=4, repeats=3, items_per_severity=1, asking_rule="always")
    tables = read_tables(play(design))
    found = infer_cascades(np.ones((32, 2)), tables, n_runs=30, seed=2)
    assert set(found.engaged_fraction[:, -1].tolist()) == {20 / 32, 12 / 32}
    assert (found.engaged_fraction[:, 1] == found.engaged_fraction[:, -1]).all()
    assert np.array_equal(np.bincount(found.severity), [15, 15])


def test_runs_that_nobody_starts_are_left_out(tables: RunTables) -> None:
    law = np.zeros((32, 2))
    law[:, 1] = 0.5
    found = infer_cascades(law, tables, n_runs=20)
    assert (found.n_unstarted, found.severity.tolist()) == (10, [1] * 10)
    with pytest.raises(InputError, match="nobody says yes"):
        infer_cascades(np.zeros((32, 2)), tables)
    with pytest.raises(DesignError, match="shape \\(32, 2\\)"):
        infer_cascades(np.zeros(32), tables)


def test_the_law_of_the_run_infers_the_run(play: Callable[..., Run]) -> None:
    law = {"law": "two_groups", "rates": (0.1, 0.7), "group_1": [f"{profile:05b}" for profile in range(16)]}
    design = CascadeExperiment(n_agents=64, degree=4, steps=8, repeats=15, items_per_severity=1)
    tables = read_tables(play(design, backend=make_backend("mock", law), seed=5))
    observed = Observed.of(tables, GROUPS)
    inferred = infer_cascades(LAW, tables, groups=GROUPS, n_runs=300, seed=3)
    for each in compare_views(observed, outlook_of_cascades(inferred, observed.views)):
        assert each.floor is not None
        assert each.rmse < 1.5 * each.floor.quantile_95


def test_realizations_that_all_end_alike_tell_no_interval(tables: RunTables) -> None:
    alike = replace(tables, engaged=np.repeat(tables.engaged[:1], tables.n_realizations, axis=0))
    for each in mean_final_engagement(alike, 0.95):
        assert (each.sd, each.interval, each.by_news_item_interval) == (pytest.approx(0), None, None)
    assert mean_final_engagement(tables, 0.95)[0].interval is not None
