"""Inferred cascades follow the law, the network and the asking rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from agentnet.analysis.simulation import simulate
from agentnet.analysis.spread import RowLinks, Spread, TableLinks, never
from agentnet.asking_rules import ASKING_RULES, AskingRule, Exposures
from agentnet.errors import DesignError, InternalError
from agentnet.network import Network, random_regular

RULES = ("always", "unengaged_neighbour", "unexposed_neighbour", "once_per_edge")

BITS = (np.arange(32)[:, None] >> np.arange(4, -1, -1)) & 1
LOGIT = -3.072 + BITS @ np.array([7.625, -0.188, 2.497, 1.626, -0.970])
TABLE_1 = 1 / (1 + np.exp(-(LOGIT[:, None] + np.array([0.0, -1.224]))))
"""The paper's Table 1 as transmission probabilities, shape ``(32, 2)``."""


class Rows(NamedTuple):
    """A network as the analysis takes it."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]


def rows_of(graph: nx.Graph[int]) -> Rows:
    neighbours = [sorted(graph[agent]) for agent in range(len(graph))]
    indptr = np.concatenate([[0], np.cumsum([len(n) for n in neighbours])]).astype(np.int64)
    return Rows(indptr, np.array([j for n in neighbours for j in n], dtype=np.int64))


graphs = st.builds(
    lambda n, p, seed: nx.gnp_random_graph(n, p, seed=seed),
    st.integers(2, 14),
    st.floats(0.1, 0.9),
    st.integers(0, 10**6),
)


class Played(NamedTuple):
    engaged_step: list[int | None]
    questions: list[int]


def play_by_hand(
    graph: nx.Graph[int], needed: Sequence[int], initial: Sequence[int], rule: str, n_steps: int
) -> Played:
    """Play one cascade literally, agent by agent and question by question."""
    step_of: dict[int, int] = dict.fromkeys(initial, 0)
    questions = dict.fromkeys(graph, 0)
    for step in range(1, n_steps + 1):
        engaged = set(step_of)
        exposed = {a for a in graph if a not in engaged and engaged & set(graph[a])}
        for agent in exposed:
            sources = [b for b in graph[agent] if b in engaged]
            may_ask = {
                "always": True,
                "unengaged_neighbour": any(b not in engaged for b in graph[agent]),
                "unexposed_neighbour": any(b not in engaged | exposed for b in graph[agent]),
                "once_per_edge": True,
            }[rule]
            if rule == "once_per_edge":
                sources = [b for b in sources if step_of[b] == step - 1]
            questions[agent] += len(sources) * may_ask
            if questions[agent] >= needed[agent]:
                step_of[agent] = step
    return Played([step_of.get(a) for a in graph], [questions[a] for a in graph])


def play(links: RowLinks | TableLinks, needed: Any, initial: Any, rule: str, n_steps: int) -> Played:
    most = never(links, n_steps)
    spread = Spread(
        links, np.minimum(needed, most).astype(np.int16), ASKING_RULES.load(rule), n_steps, count=True
    )
    engaged_step: list[int | None] = [None] * links.n_agents
    for step in range(n_steps + 1):
        new = np.asarray(initial, np.int64) if step == 0 else spread.step()
        for agent in new:
            assert engaged_step[agent] is None, "an agent engaged twice"
            engaged_step[agent] = step
        spread.engage(new)
    return Played(engaged_step, spread.questions().tolist())


@given(graph=graphs, rule=st.sampled_from(RULES), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_cascade_with_known_answers_is_the_one_played_by_hand(
    graph: nx.Graph[int], rule: str, data: st.DataObject
) -> None:
    n_agents = len(graph)
    needed = data.draw(st.lists(st.integers(1, 9), min_size=n_agents, max_size=n_agents))
    initial = sorted(data.draw(st.sets(st.integers(0, n_agents - 1), min_size=1, max_size=3)))
    n_steps = data.draw(st.integers(0, 8))
    rows = rows_of(graph)
    fast = play(RowLinks(rows.indptr, rows.indices), needed, initial, rule, n_steps)
    assert fast == play_by_hand(graph, needed, initial, rule, n_steps)


@pytest.mark.parametrize("rule", RULES)
def test_a_table_a_row_network_and_its_copies_spread_alike(rule: str) -> None:
    graph: nx.Graph[int] = nx.random_regular_graph(4, 30, seed=1)
    rows = rows_of(graph)
    table = TableLinks(rows.indices.reshape(30, 4).T.astype(np.int32))
    needed = np.random.default_rng(0).integers(1, 8, size=30)
    single = play(RowLinks(rows.indptr, rows.indices), needed, [3], rule, 9)
    assert play(table, needed, [3], rule, 9) == single
    copies = RowLinks(rows.indptr, rows.indices, n_copies=3)
    many = play(copies, np.tile(needed, 3), [3, 33, 63], rule, 9)
    assert many == Played(single.engaged_step * 3, single.questions * 3)
    told = replace(copies, table=rows.indices.reshape(30, 4))
    assert play(told, np.tile(needed, 3), [3, 33, 63], rule, 9) == many
    assert (told.top_degree, told.degree) == (copies.top_degree, 4)
    assert copies.degree.tolist() == [4] * 90


@pytest.mark.parametrize("rule", RULES)
def test_a_network_that_says_that_hearing_is_mutual_is_played_like_one_that_does_not(rule: str) -> None:
    for graph in (nx.random_regular_graph(3, 40, seed=1), nx.gnp_random_graph(50, 0.1, seed=2)):
        silent, network = rows_of(graph), Network.from_networkx(graph)
        for n_runs in (1, 30):
            one, other = (
                simulate([0.3, 0.9], seed=4, n_runs=n_runs, network=each, rule=rule, decisions=True)
                for each in (silent, network)
            )
            assert (one.engaged == other.engaged).all()
            assert one.n_no is not None
            assert (one.n_no == other.n_no).all()


def test_of_many_agents_those_engage_whom_willing_ones_link_to_the_first() -> None:
    n_agents = 80_000
    network, willing = random_regular(n_agents, 3, seed=1), np.arange(n_agents) % 3 > 0
    runs = simulate(
        [0.0, 1.0], seed=2, n_runs=1, network=network, classes=willing * 1, rule="always", n_steps=400
    )
    arcs = (np.ones(3 * n_agents, np.int8), network.indices, network.indptr)
    links = csr_array(arcs, shape=(n_agents, n_agents))[willing][:, willing]
    sizes = np.bincount(connected_components(links, directed=False)[1])
    assert runs.engaged[0, 0, -1] == sizes.max() > n_agents / 3


def test_the_first_of_many_agents_is_any_of_those_who_say_yes() -> None:
    law, n_alike = np.array([0.0, 0.3, 0.9]), [68_000, 8_000, 4_000]
    pairs, classes = random_regular(80_000, 1, seed=1), np.repeat([0, 1, 2], n_alike)
    first = sum(
        simulate(
            law, seed=seed, n_runs=1, network=pairs, classes=classes, groups=[0, 1, 2], n_steps=0
        ).engaged
        for seed in range(150)
    )[0, :, 0]
    share = law * n_alike / (law @ n_alike)
    assert first == pytest.approx(150 * share, abs=4 * (150 * 0.25) ** 0.5)
    assert first[0] == 0


@given(graph=graphs, seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_when_everyone_shares_the_cascade_is_a_breadth_first_search(graph: nx.Graph[int], seed: int) -> None:
    runs = simulate([1.0], seed=seed, n_runs=3, network=rows_of(graph), n_steps=6, rule="always", groups=[0])
    reachable = {
        tuple(
            sum(1 for d in nx.single_source_shortest_path_length(graph, start).values() if d <= step)
            for step in range(7)
        )
        for start in graph
    }
    assert {tuple(run) for run in runs.engaged[:, 0].tolist()} <= reachable


def test_when_nobody_shares_nobody_starts() -> None:
    runs = simulate([0.0], seed=1, n_runs=5)
    assert not runs.started.any()
    assert not runs.engaged.any()


def test_when_nobody_shares_given_initial_agents_stay_alone() -> None:
    runs = simulate([0.0], seed=1, n_runs=5, seeding="uniform", n_initial=3)
    assert runs.started.all()
    assert (runs.engaged == 3).all()


def test_a_run_that_too_few_start_says_so() -> None:
    runs = simulate([0.0, 1.0], seed=1, n_runs=8, n_agents=6, degree=2, n_initial=4)
    assert not runs.started.any()
    assert (runs.engaged[:, 0, 0] == 3).all()


def test_the_seed_fixes_every_run() -> None:
    one, same, other = (simulate(TABLE_1[:, 0], seed=seed, n_runs=20).engaged for seed in (7, 7, 8))
    assert (one == same).all()
    assert (one != other).any()


def test_a_longer_series_begins_with_the_same_whole_blocks() -> None:
    short, long = (simulate([0.3, 0.6], seed=3, n_runs=n, n_agents=64, degree=3) for n in (256, 300))
    assert long.engaged.shape == (300, 1, 16)
    assert (long.engaged[:256] == short.engaged).all()


@pytest.mark.parametrize("rule", RULES)
def test_curves_never_fall_and_groups_add_up(rule: str) -> None:
    groups = BITS[:, 0]
    runs = simulate(TABLE_1, seed=2, n_runs=30, severity=np.arange(30) % 2, rule=rule, groups=groups)
    assert runs.engaged.shape == (30, 2, 16)
    assert (np.diff(runs.engaged, axis=2) >= 0).all()
    assert (runs.engaged[:, :, 0].sum(axis=1) == 1).all()
    assert (runs.engaged[:, :, -1] <= 64).all()
    assert runs.engaged_fraction == pytest.approx(runs.group_engaged_fraction.sum(axis=1))


def test_profiles_stand_in_equal_number_and_the_rest_at_random() -> None:
    # Everyone engages within the steps, so the last count of a group is its size.
    runs = simulate(
        np.ones(5), seed=4, n_runs=200, n_agents=22, degree=4, n_steps=22, groups=range(5), rule="always"
    )
    size = runs.engaged[:, :, -1]
    assert set(np.unique(size)) == {4, 5}
    assert (size.sum(axis=1) == 22).all()
    assert (size == 5).mean(axis=0) == pytest.approx(np.full(5, 0.4), abs=0.15)


def test_a_given_network_has_its_classes_shuffled_anew() -> None:
    ring = rows_of(nx.path_graph(12))
    law = [1.0, 0.0]
    reached = simulate(law, seed=1, n_runs=60, network=ring, n_steps=12, rule="always").engaged[:, 0, -1]
    assert reached.min() < reached.max()


def test_given_classes_stay_where_they_are() -> None:
    path = rows_of(nx.path_graph(6))
    runs = simulate(
        [1.0, 0.0], seed=1, n_runs=40, network=path, classes=[0, 0, 0, 1, 0, 0], groups=[0, 1], rule="always"
    )  # fmt: skip
    assert set(runs.engaged[:, 0, -1].tolist()) == {2, 3}
    assert not runs.engaged[:, 1].any()


def test_each_run_follows_the_column_of_its_severity() -> None:
    severity = np.array([0, 1, 1, 0, 1])
    runs = simulate(
        np.array([[1.0, 0.0]]), seed=1, severity=severity, n_runs=5, seeding="uniform", rule="always"
    )
    assert (runs.engaged[severity == 1, 0, -1] == 1).all()
    assert (runs.engaged[severity == 0, 0, -1] == 128).all()
    assert runs.severity.tolist() == severity.tolist()


def test_the_initial_agent_is_biased_towards_those_who_say_yes() -> None:
    n_runs = 4000
    runs = simulate([0.2, 0.8], seed=1, n_runs=n_runs, groups=[0, 1], n_steps=0)
    share = runs.engaged[:, 1, 0].mean()
    assert share == pytest.approx(0.8, abs=4 * (0.8 * 0.2 / n_runs) ** 0.5)
    anybody = simulate([0.2, 0.8], seed=1, n_runs=n_runs, groups=[0, 1], n_steps=0, seeding="uniform")
    assert anybody.engaged[:, 1, 0].mean() == pytest.approx(0.5, abs=4 * 0.5 / n_runs**0.5)


@pytest.mark.parametrize("rule", RULES)
def test_answers_have_the_law_s_frequencies_under_every_rule(rule: str) -> None:
    law = np.array([0.1, 0.35, 0.8])
    runs = simulate(law, seed=5, n_runs=300, n_agents=120, rule=rule, decisions=True)
    assert runs.n_yes is not None
    assert runs.n_no is not None
    yes, asked = runs.n_yes.sum(axis=0), (runs.n_yes + runs.n_no).sum(axis=0)
    assert yes / asked == pytest.approx(law, abs=4 * float(np.sqrt(law * (1 - law) / asked).max()))
    # Whoever engaged after step 0 said yes to at least one exposure.
    assert (runs.n_yes.sum(axis=1) >= runs.engaged[:, 0, -1] - 1).all()


def test_decisions_are_counted_only_on_demand() -> None:
    runs = simulate([0.5], seed=1, n_runs=2)
    assert runs.n_yes is None
    assert runs.n_no is None
    links = TableLinks(np.array([[1, 0]], dtype=np.int32))
    with pytest.raises(InternalError, match="count=True"):
        Spread(links, np.ones(2, np.int16), ASKING_RULES.load("always"), 1, count=False).questions()


def mean_by_hand(law: NDArray[np.float64], rule: str, n_runs: int, seed: int) -> NDArray[np.float64]:
    """Average cascades that ask every question by itself, on networkx's networks."""
    rng = np.random.default_rng(seed)
    total = np.zeros((n_runs, 9))
    for run in range(n_runs):
        graph: nx.Graph[int] = nx.random_regular_graph(4, 24, seed=int(rng.integers(2**31)))
        chance = rng.permutation(np.repeat(law, 24 // law.size))
        order = rng.permutation(24)
        initial = next(int(a) for a in order if rng.random() < chance[a])
        needed = [next(n for n in range(1, 1000) if rng.random() < chance[a] or n == 999) for a in range(24)]
        steps = play_by_hand(graph, needed, [initial], rule, 8).engaged_step
        total[run] = [sum(s is not None and s <= t for s in steps) for t in range(9)]
    return total / 24


@pytest.mark.parametrize("rule", RULES)
def test_the_mean_curve_is_that_of_cascades_played_by_hand(rule: str) -> None:
    law = np.array([0.15, 0.7])
    by_hand = mean_by_hand(law, rule, 250, seed=1)
    fast = simulate(law, seed=2, n_runs=4000, n_agents=24, degree=4, n_steps=8, rule=rule).engaged_fraction
    error = np.sqrt(by_hand.var(axis=0) / len(by_hand) + fast.var(axis=0) / len(fast))
    assert (np.abs(by_hand.mean(axis=0) - fast.mean(axis=0)) <= 4 * error + 1e-12).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"transmission_probability": [1.2]}, "lie in"),
        ({"transmission_probability": [float("nan")]}, "lie in"),
        ({"transmission_probability": []}, "shape"),
        ({"transmission_probability": [[[0.5]]]}, "shape"),
        ({"rule": "allways"}, "did you mean 'always'"),
        ({"seeding": "random"}, "no seeding"),
        ({"n_runs": 0}, "n_runs"),
        ({"n_steps": -1}, "n_steps"),
        ({"n_initial": 0}, "n_initial"),
        ({"n_initial": 129}, "n_initial"),
        ({"degree": 128}, "degree"),
        ({"n_agents": 7, "degree": 3}, "even"),
        ({"groups": [0, 1]}, "groups must be 1 integers"),
        ({"groups": [-1]}, "groups must lie in"),
        ({"groups": [1]}, "groups must lie in 0 to 0"),
        ({"severity": 1}, "severity must lie in 0 to 0"),
        ({"severity": [0, 0]}, "severity must be 100 integers"),
        ({"classes": [0, 0]}, "classes must be 128 integers"),
        ({"network": Rows(np.array([0, 1]), np.array([1]))}, "indices must be agents"),
        ({"network": Rows(np.array([0, 2]), np.array([0]))}, "indptr"),
        ({"network": Rows(np.array([0]), np.array([], np.int64))}, "indptr"),
    ],
)
def test_impossible_arguments_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DesignError, match=message):
        simulate(**{"transmission_probability": [0.5], "seed": 1, **wrong})


@pytest.mark.parametrize("n_steps", [1, 2, 400, 500])
def test_questions_are_counted_at_any_width_of_integers(n_steps: int) -> None:
    complete = rows_of(nx.complete_graph(64))
    options: dict[str, Any] = {
        "network": complete,
        "n_steps": n_steps,
        "seeding": "uniform",
        "rule": "always",
    }
    nobody = simulate([1e-12], seed=1, n_runs=1, n_initial=63, decisions=True, **options)
    assert nobody.n_no is not None
    assert nobody.n_no.sum() == 63 * n_steps
    everybody = simulate([1.0], seed=1, n_runs=1, decisions=True, **options)
    assert everybody.engaged[0, 0].tolist() == [1] + [64] * n_steps


def at_least(exposures: Exposures, least: int = 2) -> Exposures:
    return exposures.where(exposures.n_engaged >= least).once_per_agent()


def of_the_last_step(exposures: Exposures) -> Exposures:
    return exposures.where((exposures.source_step == exposures.step - 1) & (exposures.n_unengaged > 0))


@given(graph=graphs, choose=st.sampled_from([at_least, of_the_last_step]), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_rule_from_outside_asks_alike_by_agent_and_by_pair(
    graph: nx.Graph[int], choose: Callable[..., Exposures], data: st.DataObject
) -> None:
    rule = AskingRule("mine", "", choose)
    rows = rows_of(graph)
    links = RowLinks(rows.indptr, rows.indices)
    needed = np.array(data.draw(st.lists(st.integers(1, 3), min_size=len(graph), max_size=len(graph))))
    by_agent, by_pair = (Spread(links, needed, rule, 6, count=True) for _ in range(2))
    by_pair._pairs = links.pairs()
    for spread in (by_agent, by_pair):
        spread.engage(np.array(sorted({0, len(graph) - 1})))
    for _ in range(6):
        new, same = by_agent.step(), by_pair.step()
        assert new.tolist() == same.tolist()
        by_agent.engage(new)
        by_pair.engage(same)
    assert by_agent.questions().tolist() == by_pair.questions().tolist()
    if choose is at_least:
        assert by_agent.questions().max() <= 1


@pytest.mark.parametrize(
    ("choose", "same"),
    [
        (lambda e: e.where(e.n_fresh >= 2), lambda e: e.where(e.n_fresh * 50 >= 100)),
        (
            lambda e: e.where((e.n_asked <= 2) & (e.source_step >= 0)),
            lambda e: e.where((e.n_asked * 50 <= 100) & (e.source_step >= 0)),
        ),
    ],
    ids=["by agent", "by pair"],
)
def test_a_rule_may_multiply_what_it_counts(
    choose: Callable[..., Exposures], same: Callable[..., Exposures]
) -> None:
    plain, multiplied = (
        simulate([0.2], seed=2, n_runs=20, rule=AskingRule("mine", "", each)).engaged
        for each in (choose, same)
    )
    assert (plain == multiplied).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_on_a_directed_network_news_goes_from_who_is_heard_to_who_hears(seed: int) -> None:
    graph = nx.gnp_random_graph(8, 0.2, seed=seed, directed=True)
    network = Network.from_networkx(graph, heard="source")
    played = simulate([1.0], seed=seed, n_runs=20, network=network, n_steps=4, rule="always", groups=[0])
    lengths = [nx.single_source_shortest_path_length(graph, start).values() for start in graph]
    by_hand = {tuple(sum(d <= step for d in of_start) for step in range(5)) for of_start in lengths}
    assert {tuple(curve) for curve in played.engaged[:, 0].tolist()} <= by_hand
    silent = Rows(network.indptr, network.indices)
    same = simulate([1.0], seed=seed, n_runs=20, network=silent, n_steps=4, rule="always", groups=[0])
    assert (same.engaged == played.engaged).all()
