"""Cascades on directed, weighted and layered networks through the whole engine, against some by hand."""

import json
from collections import Counter

import networkx as nx
import numpy as np
import pytest

from agentnet import CascadeExperiment, Run
from agentnet.analysis import fit_run, read_tables
from agentnet.asking_rules import Moment
from agentnet.backend import make_backend
from agentnet.errors import DesignError
from agentnet.events.export import recorded_network
from agentnet.network import Network
from agentnet.report.player import read_player

ONE = {"items_per_severity": 1, "repeats": 1, "rationale": "none", "asking_rule": "always"}
N = 6
CYCLE = Network.from_edges([(i, (i + 1) % N) for i in range(N)], N, is_directed=True)
HEARD_BY_ALL = Network.from_edges([(0, leaf) for leaf in range(1, N)], N, is_directed=True)
HEARING_ALL = Network.from_edges([(leaf, 0) for leaf in range(1, N)], N, is_directed=True)


@pytest.fixture
def engaged(play):
    """Play with agents that always say yes (or never, once they have started); give who engaged when."""

    def engaged(network, *, says=1.0, **design):
        run = play(
            CascadeExperiment(network=network, **{**ONE, "steps": 10, **design}),
            backend=make_backend("mock", {"law": "constant", "probability": says}),
        )
        query = "SELECT realization, agent, engaged_step FROM agents ORDER BY realization, agent"
        found = {}
        for realization, agent, step in run.rows(query)[1]:
            found.setdefault(realization, {})[agent] = step
        return run, list(found.values())

    return engaged


def by_hand(graph, start):
    """When each agent engages if everyone who hears of it shares it: its distance from the start."""
    return {agent: nx.single_source_shortest_path_length(graph, start).get(agent) for agent in graph}


@pytest.mark.parametrize("told", [False, True])
def test_round_a_directed_cycle_news_goes_one_way_a_step_at_a_time(engaged, told):
    run, cascades = engaged(CYCLE, **({"initial_agents": (2,)} if told else {}))
    for cascade in cascades:
        start = next(agent for agent, step in cascade.items() if step == 0)
        assert (
            cascade == {(start + step) % N: step for step in range(N)} == by_hand(CYCLE.to_networkx(), start)
        )
        assert start == 2 or not told
    asked = run.rows("SELECT step, agent, source FROM events WHERE kind = 'exposure'")[1]
    assert all(agent == (source + 1) % N for _, agent, source in asked)
    assert len(asked) == len(cascades) * (N - 1)


@pytest.mark.parametrize(
    ("network", "start", "expected"),
    [
        (HEARD_BY_ALL, 0, {0: 0, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}),
        (HEARD_BY_ALL, 3, {0: None, 1: None, 2: None, 3: 0, 4: None, 5: None}),
        (HEARING_ALL, 0, {0: 0, 1: None, 2: None, 3: None, 4: None, 5: None}),
        (HEARING_ALL, 3, {0: 1, 1: None, 2: None, 3: 0, 4: None, 5: None}),
    ],
)
def test_a_hub_is_heard_by_all_or_hears_all_and_not_both(engaged, network, start, expected):
    _, cascades = engaged(network, initial_agents=(start,))
    assert cascades[0] == expected == by_hand(network.to_networkx(), start)


def test_who_says_no_ends_a_chain_of_the_only_one_who_hears(engaged):
    run, cascades = engaged(CYCLE, says=0.0, initial_agents=(0,), asking_rule="once_per_edge")
    assert [step for step in cascades[0].values() if step is not None] == [0]
    asked = run.rows("SELECT agent, source FROM events WHERE kind = 'exposure' AND realization = 0")[1]
    assert asked == [(1, 0)]


def test_the_log_keeps_direction_weights_and_layers(engaged):
    layered = Network.from_edges(
        [(0, 1), (0, 1), (1, 2)],
        3,
        is_directed=True,
        labels=["ana", "ben", "cara"],
        edge_attributes={"layer": ["follows", "mentions", "follows"], "weight": [0.5, 2, 1]},
    )
    run, _ = engaged(layered)
    (digest,) = run.rows("SELECT DISTINCT network FROM realizations")[1][0]
    again = recorded_network(run, digest)
    assert again == layered
    assert digest == again.digest == layered.digest


def test_an_agent_is_asked_about_a_source_once_in_each_layer_and_hears_it_once(engaged):
    layered = Network.from_edges(
        [(0, 1), (0, 1), (2, 1)], 3, is_directed=True, edge_attributes={"layer": ["a", "b", "a"]}
    )
    moment = Moment(
        layered.indices, layered.listener, np.array([0, -1, -1]), 1, edges=layered.edge_attributes
    )
    found = moment.exposures()
    assert (found.agent.tolist(), found.source.tolist()) == ([1, 1], [0, 0])
    assert found.edge("layer").tolist() == ["a", "b"]
    assert (found.n_engaged.tolist(), found.n_neighbours.tolist()) == ([1, 1], [2, 2])
    assert (found.n_unengaged.tolist(), found.n_fresh.tolist()) == ([1, 1], [1, 1])
    for told in ({}, {"initial_agents": (0,)}):
        run, _ = engaged(layered, says=1.0 if told else 0.9, **told)
        query = "SELECT agent, source, repeat FROM events WHERE kind = 'exposure' AND step = 1 AND source = 0"
        rows = run.rows(f"{query} AND realization = 0")[1]
        assert rows in ([(1, 0, 0), (1, 0, 1)], [])
        assert rows or not told


STRONG = """
from agentnet import CascadeExperiment
from agentnet.asking_rules import asking_rule

@asking_rule("strong_ties", says="an agent was asked about sources of a weight of at least {least}")
def strong_ties(exposures, least=1.0):
    return exposures.where(exposures.edge("weight") >= least)

class Strong(CascadeExperiment):
    network = "ties.csv"
    network_options = {"heard": "source", "edge_attributes": ["weight"]}
    initial_agents = (0,)
    asking_rule = "strong_ties"
    rationale = "none"
    items_per_severity = repeats = 1
"""


def test_a_rule_may_look_at_edges(command, tmp_path):
    (tmp_path / "strong.py").write_text(STRONG)
    (tmp_path / "ties.csv").write_text("source,target,weight\na,b,0.5\na,c,2\nc,d,1\n")
    certain = ("-S", "backend.law=constant", "-S", "backend.probability=1.0")
    done = command("run", "strong.py", "--backend", "mock", *certain, "--out", "runs/x")
    assert done.code == 0, done.err
    rows = Run(tmp_path / "runs" / "x").rows("SELECT agent, engaged_step FROM agents WHERE realization = 0")[
        1
    ]
    assert rows == [(0, 0), (1, None), (2, 1), (3, 2)]


def test_a_rule_that_looks_at_what_edges_have_not_is_told_what_they_have():
    bare = Network.from_edges([(0, 1)], 2, is_directed=True)
    found = Moment(bare.indices, bare.listener, np.array([0, -1]), 1).exposures()
    with pytest.raises(DesignError, match="edges have no 'weight'; they have no attributes"):
        found.edge("weight")
    dressed = Moment(bare.indices, bare.listener, np.array([0, -1]), 1, edges={"weight": np.array([2])})
    with pytest.raises(DesignError, match="no 'weigth'; did you mean 'weight'"):
        dressed.exposures().edge("weigth")


def test_an_experiment_names_the_file_who_is_heard_and_what_to_keep(play, tmp_path):
    path = tmp_path / "followers.csv"
    path.write_text("source,target,weight\nana,ben,2\nana,cara,1\ncara,dan,1\n")
    options = {"heard": "source", "edge_attributes": ["weight"]}
    design = {**ONE, "network": path, "network_options": options, "initial_agents": {"top": ("n_hearers", 1)}}
    run = play(
        CascadeExperiment(**design, steps=5),
        backend=make_backend("mock", {"law": "constant", "probability": 1.0}),
    )
    rows = run.rows("SELECT agent, engaged_step FROM agents WHERE realization = 0 ORDER BY agent")[1]
    assert rows == [(0, 0), (1, 1), (2, 1), (3, 2)]
    (labels,) = run.rows("SELECT DISTINCT labels FROM networks")[1][0]
    assert json.loads(labels) == ["ana", "ben", "cara", "dan"]


def test_what_analysis_counts_of_exposures_is_what_agents_hear(play):
    graph = nx.gnp_random_graph(40, 0.1, seed=2, directed=True)
    network = Network.from_networkx(graph, heard="source")
    run = play(CascadeExperiment(network=network, **{**ONE, "repeats": 3, "steps": 6}), seed=5)
    by_hand = Counter()
    query = "SELECT realization, step, agent, decision FROM events WHERE kind = 'exposure'"
    engaged = {
        (number, agent): step
        for number, agent, step in run.rows("SELECT realization, agent, engaged_step FROM agents")[1]
    }
    for number, step, agent, decision in run.rows(query)[1]:
        when = [engaged[number, source] for source in graph.predecessors(agent)]
        n_engaged = sum(each is not None and each < step for each in when)
        by_hand[step, n_engaged, len(when), decision] += 1
    tables = read_tables(run, columns=["n_engaged", "n_neighbours"])
    found = Counter()
    columns = [tables.column(name).astype(int).tolist() for name in ("step", "n_engaged", "n_neighbours")]
    for step, n_engaged, n_heard, no, yes in zip(
        *columns, tables.exposures.n_no.tolist(), tables.exposures.n_yes.tolist(), strict=True
    ):
        found.update({(step, n_engaged, n_heard, 0): no, (step, n_engaged, n_heard, 1): yes})
    assert +found == by_hand
    heard = Counter(dict(graph.in_degree()).values())
    n_realizations = tables.n_realizations
    degrees = dict(zip(tables.networks.degrees.tolist(), tables.networks.n_agents.tolist(), strict=True))
    assert degrees == {degree: n * n_realizations for degree, n in heard.items()}
    hearers = {
        degree: np.mean([graph.out_degree(agent) for agent in graph if graph.in_degree(agent) == degree])
        for degree in heard
    }
    networks = tables.networks
    found = dict(zip(networks.degrees.tolist(), networks.mean_hearers.tolist(), strict=True))
    assert found == pytest.approx(hearers)
    fits = fit_run(tables, laws=["one_rate", "cavity"], n_bootstrap=0, n_runs=1)
    (law,) = fits.laws
    assert law.fit.law.hearers == pytest.approx(tuple(networks.mean_hearers))
    assert any("ties go one way" in warning for warning in law.warnings)
    assert "ties that are heard at both ends" in fits.refused[0].reason


def test_the_picture_of_a_directed_network_shows_its_edges(engaged):
    weighted = Network.from_edges(
        [(0, 1), (1, 2), (2, 0)], 3, is_directed=True, edge_attributes={"weight": [0.5, 2.0, 1.0]}
    )
    run, _ = engaged(weighted)
    scene = read_player(run).shown[0]
    assert sorted(map(tuple, scene.edges.tolist())) == [(0, 1), (1, 2), (2, 0)]
    assert scene.n_edges == 3
