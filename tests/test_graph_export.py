"""Networks of a run as graphs with times: directed, layered, changing; read back with networkx."""

import csv
import sqlite3
from contextlib import closing

import networkx as nx
import pytest

from agentnet import CascadeExperiment
from agentnet.backend import make_backend
from agentnet.errors import RunFolderError
from agentnet.events.export import export_csv, export_graph, read_edges, recorded_network
from agentnet.interventions import at_step
from agentnet.network import Network
from agentnet.network import read_network as read_file

READ = {"gexf": lambda path: nx.read_gexf(path, node_type=int), "graphml": nx.read_graphml}
ONE = {"items_per_severity": 1, "repeats": 1, "rationale": "none", "asking_rule": "always", "steps": 4}
LAYERED = Network.from_edges(
    [(0, 1), (0, 1), (1, 2), (2, 3), (4, 0)],
    5,
    is_directed=True,
    labels=["Ana", "Ben", "Cara", "Dan", "Eva"],
    edge_attributes={
        "layer": ["follows", "mentions", "follows", "follows", "follows"],
        "weight": [0.5, 2, 1, 1, 1],
        "label": ["a", "b", "c", "d", "\x07"],
    },
)
PATH = Network.from_edges([(i, i + 1) for i in range(5)], 6, is_directed=True)


@pytest.fixture
def played(play):
    """Play a cascade of agents that always say yes and start with agent 0."""

    def played(network, **design):
        backend = make_backend("mock", {"law": "constant", "probability": 1.0})
        return play(
            CascadeExperiment(network=network, **{**ONE, "initial_agents": (0,), **design}), backend=backend
        )

    return played


@pytest.fixture
def drawn(tmp_path):
    """Export realization 0, and read it with networkx."""

    def drawn(run, graph_format="gexf"):
        path = tmp_path / f"net.{graph_format}"
        export_graph(run, 0, path, graph_format)
        return nx.relabel_nodes(READ[graph_format](path), int)

    return drawn


@pytest.mark.parametrize("graph_format", READ)
def test_edges_keep_their_direction_layers_and_weights(played, drawn, graph_format):
    graph = drawn(played(LAYERED), graph_format)
    assert graph.is_directed()
    assert graph.is_multigraph()
    edges = sorted(
        (u, v, data["layer"], data["weight"], data["won_over"]) for u, v, data in graph.edges(data=True)
    )
    assert edges == [
        (0, 1, "follows", 0.5, True),
        (0, 1, "mentions", 2.0, True),
        (1, 2, "follows", 1.0, True),
        (2, 3, "follows", 1.0, True),
        (4, 0, "follows", 1.0, False),
    ]
    assert graph.nodes[4]["label"] == "Eva"
    assert sorted(data["attribute_label"] for *_, data in graph.edges(data=True)) == [*"abcd", "\ufffd"]


def test_what_is_exported_can_be_read_as_a_network_again(played, tmp_path):
    run = played(LAYERED)
    for graph_format in READ:
        path = tmp_path / f"net.{graph_format}"
        export_graph(run, 0, path, graph_format)
        again = read_file(path, heard="source", edge_attributes=["layer", "weight"])
        assert again.edges().tolist() == LAYERED.edges().tolist()
        for name in ("layer", "weight"):
            assert again.edge_values[name].tolist() == LAYERED.edge_values[name].tolist()
        assert "engaged" not in again.node_attributes
        assert not {"start", "end", "spells"} & set(again.node_attributes)


def test_gexf_says_from_when_to_when_an_agent_is_engaged(played, drawn):
    run = played(PATH)
    graph = drawn(run)
    assert graph.graph["mode"] == "dynamic"
    for agent, step in run.rows("SELECT agent, engaged_step FROM agents WHERE realization = 0")[1]:
        times = [(value, start, end) for value, start, end in graph.nodes[agent]["engaged"]]
        assert times[-1] == ((step is not None), float(step or 0), 5.0)
        assert times[:-1] == ([(False, 0.0, float(step))] if step else [])
        assert graph.nodes[agent].get("engaged_step") == step
    assert "engaged" not in drawn(run, "graphml").nodes[0]


def test_who_stops_is_engaged_no_longer(played, drawn):
    run = played(PATH, recovery_rate=1.0)
    stopped = dict(run.rows("SELECT agent, step FROM changes WHERE realization = 0 AND what = 'stopped'")[1])
    assert stopped[0] == 1
    times = drawn(run).nodes[0]["engaged"]
    assert [tuple(each) for each in times] == [(True, 0.0, 1.0), (False, 1.0, times[-1][2])]


def test_ties_that_come_and_go_and_agents_that_are_removed_have_their_times(played, drawn):
    def unfollow(situation):
        situation.rewire(add=[(0, 5), (0, 3)], drop=[(2, 3)])

    def remove(situation):
        situation.remove([4])

    def again(situation):
        situation.rewire(add=[(2, 3)], drop=[(0, 5), (0, 3)])

    run = played(PATH, interventions=(at_step(1, unfollow), at_step(2, remove), at_step(3, again)))
    graph = drawn(run)
    (end,) = {end for _, _, end in graph.nodes[1]["engaged"][-1:]}
    assert [tuple(map(float, span)) for span in graph.edges[0, 5]["spells"]] == [(1.0, 3.0)]
    assert [tuple(map(float, span)) for span in graph.edges[2, 3]["spells"]] == [(0.0, 1.0), (3.0, end)]
    assert "spells" not in graph.edges[0, 1]
    assert [tuple(map(float, span)) for span in graph.nodes[4]["spells"]] == [(0.0, 2.0)]
    assert graph.edges[0, 5]["won_over"]
    static = drawn(run, "graphml")
    assert (static.edges[0, 5]["since_step"], static.edges[0, 5]["until_step"]) == (1, 3)
    assert not {"since_step", "until_step"} & (static.edges[2, 3].keys() | static.edges[0, 1].keys())


class Rewired(CascadeExperiment):
    """Another network from step 2 on."""

    def network_at(self, step, seed):
        return (
            Network.from_edges([(0, 1), *((1, k) for k in (2, 3, 4, 5))], 6, is_directed=True)
            if step == 2
            else None
        )


def test_a_network_that_replaces_another_ends_its_edges_and_begins_its_own(play, drawn):
    backend = make_backend("mock", {"law": "constant", "probability": 1.0})
    graph = drawn(play(Rewired(network=PATH, initial_agents=(0,), **ONE), backend=backend), "graphml")
    spans = {(u, v): (d.get("since_step"), d.get("until_step")) for u, v, d in graph.edges(data=True)}
    assert spans == {
        (0, 1): (None, None),
        (1, 2): (None, None),
        (2, 3): (None, 2),
        (3, 4): (None, 2),
        (4, 5): (None, 2),
        (1, 3): (2, None),
        (1, 4): (2, None),
        (1, 5): (2, None),
    }


def test_personas_and_voices_stand_where_profiles_do(played, drawn):
    graph = drawn(played(PATH, personas=[f"You are number {i}\x0b." for i in range(6)]), "graphml")
    assert graph.nodes[3]["persona"] == "You are number 3\ufffd."
    assert not {"profile", "openness"} & graph.nodes[3].keys()


def test_csv_lists_direction_and_attributes_of_edges(played, tmp_path):
    run = played(LAYERED)
    export_csv(run, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "edges.csv").read_text().splitlines()))
    assert list(rows[0])[5:] == ["directed", "layer", "weight", "label"]
    first = {
        name: rows[1][name] for name in ("source", "target", "source_label", "directed", "layer", "weight")
    }
    assert first == {
        "source": "0",
        "target": "1",
        "source_label": "Ana",
        "directed": "true",
        "layer": "follows",
        "weight": "0.5",
    }
    again = read_file(tmp_path / "out" / "edges.csv", heard="source", edge_attributes=["layer", "weight"])
    assert again.n_edges == LAYERED.n_edges


def test_the_log_gives_back_the_network_with_its_labels(played):
    run = played(LAYERED)
    ((key,),) = run.rows("SELECT DISTINCT network FROM realizations")[1]
    network = recorded_network(run, key)
    assert (network, network.labels) == (LAYERED, LAYERED.labels)
    assert read_edges(run, key).tolist() == LAYERED.edges().tolist()
    with closing(sqlite3.connect(run.path)) as damaged, damaged:
        damaged.execute("UPDATE networks SET edges = substr(edges, 1, length(edges) - 8)")
    with pytest.raises(RunFolderError, match="is damaged; go on with a copy"):
        recorded_network(run, key)
