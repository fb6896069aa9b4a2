"""`Network`: its arrays, its doors (edges, bytes, networkx), and what it refuses."""

import copy
import hashlib
import os
import pickle
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.errors import DesignError, InputError
from agentnet.network import Network, random_regular

relaxed = settings(deadline=None, max_examples=40)


@st.composite
def edge_sets(draw, max_agents=12):
    n_agents = draw(st.integers(1, max_agents))
    pairs = [(u, v) for u in range(n_agents) for v in range(u + 1, n_agents)]
    return n_agents, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


@st.composite
def networks(draw):
    n_agents, edges = draw(edge_sets())
    return Network.from_edges(edges, n_agents)


@relaxed
@given(made=edge_sets(), data=st.data())
def test_neighbours_are_those_of_the_edges_whatever_their_order_and_direction(made, data):
    n_agents, edges = made
    turned = [edge[::-1] if data.draw(st.booleans()) else edge for edge in data.draw(st.permutations(edges))]
    network = Network.from_edges(turned, n_agents)
    for agent in range(n_agents):
        expected = sorted({v for u, v in edges if u == agent} | {u for u, v in edges if v == agent})
        assert network.neighbours(agent).tolist() == expected
        assert network.degree[agent] == len(expected)
    assert network.edges().tolist() == [list(edge) for edge in sorted(edges)]
    assert (network.n_agents, network.n_edges) == (n_agents, len(edges))


@relaxed
@given(network=networks())
def test_arrays_have_the_promised_types_and_cannot_be_written(network):
    assert network.indptr.dtype == np.int64
    assert network.indices.dtype == network.edges().dtype == np.int32
    assert network.indptr.shape == (network.n_agents + 1,)
    for array in (network.indptr, network.indices, network.neighbours(0)):
        assert not array.flags.writeable


@relaxed
@given(network=networks())
def test_the_constructor_accepts_the_arrays_of_any_network(network):
    again = Network(indptr=network.indptr.astype(np.int32), indices=network.indices.astype(np.uint64))
    assert again == network
    assert again.indptr.dtype == np.int64
    assert again.indices.dtype == np.int32


def test_the_constructor_copies_the_arrays_it_is_given():
    indptr, indices = np.array([0, 1, 2]), np.array([1, 0], dtype=np.int32)
    network = Network(indptr, indices)
    indices[:] = 0
    assert network.neighbours(0).tolist() == [1]
    assert indptr.flags.writeable


@relaxed
@given(network=networks())
def test_bytes_give_back_the_same_network(network):
    blob = network.to_bytes()
    again = Network.from_bytes(blob, network.n_agents, name="again")
    assert again == network
    assert hash(again) == hash(network)
    assert again.name == "again"
    assert again.to_bytes() == blob


def test_bytes_are_the_edges_as_little_endian_int32():
    network = Network.from_edges([(300, 2), (0, 1)], 301)
    assert network.to_bytes() == bytes([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 44, 1, 0, 0])


@relaxed
@given(first=networks(), second=networks())
def test_networks_are_equal_exactly_if_their_digests_are(first, second):
    assert (first == second) == (first.digest == second.digest)
    assert first != first.digest


def test_digest_is_sha256_of_both_arrays():
    network = random_regular(10, 3, seed=1)
    content = network.indptr.astype("<i8").tobytes() + network.indices.astype("<i4").tobytes()
    assert network.digest == hashlib.sha256(content).hexdigest()


def test_labels_attributes_and_name_do_not_count_for_equality():
    plain = Network.from_edges([(0, 1)], 2)
    dressed = Network.from_edges([(0, 1)], 2, name="x", labels=["a", "b"], node_attributes={"age": [1, 2]})
    assert plain == dressed
    assert len({plain, dressed}) == 1
    assert plain != Network.from_edges([(0, 1)], 3)


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, copy.copy, lambda network: pickle.loads(pickle.dumps(network))]
)
def test_copies_and_pickles_are_equal_and_still_read_only(clone):
    network = Network.from_edges([(0, 1)], 2, name="x", labels=["a", "b"], node_attributes={"age": [1, 2]})
    again = clone(network)
    assert again == network
    assert (again.name, again.labels) == ("x", ("a", "b"))
    assert dict(again.node_attributes) == {"age": (1, 2)}
    assert not again.indices.flags.writeable
    with pytest.raises(TypeError):
        again.node_attributes["age"] = (3, 4)


def test_a_network_is_frozen():
    network = Network.from_edges([(0, 1)], 2)
    with pytest.raises(AttributeError):
        network.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        network.indices[0] = 0


def test_table_is_a_read_only_view_of_the_neighbours():
    network = random_regular(20, 3, seed=2)
    assert network.is_regular
    assert network.table.shape == (20, 3)
    assert np.shares_memory(network.table, network.indices)
    assert not network.table.flags.writeable
    assert [row.tolist() for row in network.table] == [
        network.neighbours(agent).tolist() for agent in range(20)
    ]


def test_a_network_without_edges_is_regular_of_degree_nought():
    network = Network.from_edges([], 3)
    assert network.is_regular
    assert network.table.shape == (3, 0)
    assert network.edges().shape == (0, 2)


def test_an_irregular_network_has_no_table_and_says_what_to_use():
    network = Network.from_edges([(0, 1), (1, 2)], 4, name="path")
    assert not network.is_regular
    with pytest.raises(
        DesignError, match=r"'path' has no neighbour table: degrees go from 0 to 2; use `neigh"
    ):
        _ = network.table


@pytest.mark.parametrize("agent", [-1, 3])
def test_neighbours_of_nobody_are_refused(agent):
    with pytest.raises(DesignError, match=f"no agent {agent}: agents are 0 to 2"):
        Network.from_edges([], 3).neighbours(agent)


def test_repr_says_name_and_size():
    assert repr(random_regular(4, 3, seed=0)) == "Network('random_regular', n_agents=4, n_edges=6)"


@pytest.mark.parametrize(
    ("edges", "n_agents", "complaint"),
    [
        ([(0, 1), (2, 2)], 3, "agent 2 is its own neighbour"),
        ([(0, 1), (1, 2), (1, 0)], 3, r"edges 0 and 2 both join agents \(0, 1\): direction does not count"),
        ([(0, 1), (1, 3)], 3, r"edge 1 is \(1, 3\), but agents are 0 to 2; raise `n_agents`"),
        ([(0, -1)], 3, r"edge 0 is \(0, -1\)"),
        ([(0.0, 1.0)], 3, "must be whole numbers"),
        ([(0, 1, 2)], 3, r"shape \(n_edges, 2\), not int64 of shape \(1, 3\)"),
        ([0, 1], 3, r"shape \(n_edges, 2\)"),
        ([(0, 1), (1,)], 3, r"pairs of agents, shape \(n_edges, 2\)"),
        ([("a", "b")], 3, "must be whole numbers"),
        ([], 0, "`n_agents` must be at least 1, not 0"),
        ([], 2.0, "`n_agents` must be a whole number, not 2.0"),
        ([], True, "`n_agents` must be a whole number, not True"),
        ([], 2**31, "`n_agents` must be at most 2147483647"),
    ],
)
def test_from_edges_refuses_what_is_no_simple_network(edges, n_agents, complaint):
    with pytest.raises(DesignError, match=complaint):
        Network.from_edges(edges, n_agents)


@pytest.mark.parametrize(
    ("indptr", "indices", "complaint"),
    [
        ([0.0, 1.0], [0], "`indptr` must be a one-dimensional array of integers"),
        ([0, 1, 2], [[1, 0]], "`indices` must be a one-dimensional array of integers"),
        ([0], [], "`indptr` must rise from 0 to the length of `indices`"),
        ([1, 2], [0, 0], "`indptr` must rise"),
        ([0, 1], [1, 0], "`indptr` must rise"),
        ([0, 2, 1, 2], [1, 0], "`indptr` must rise"),
        ([0, 1, 2], [1, 2], "`indices` must lie from 0 to 1"),
        ([0, 1, 2], [1, -1], "`indices` must lie from 0 to 1"),
        ([0, 2, 3, 4], [2, 1, 0, 0], "each row of `indices` must ascend"),
        ([0, 2, 4], [1, 1, 0, 0], "without doubles"),
        ([0, 1, 2], [0, 1], "agent 0 is its own neighbour"),
        ([0, 1, 2, 2], [1, 2], "has each edge in both rows"),
    ],
)
def test_the_constructor_refuses_arrays_that_are_no_network(indptr, indices, complaint):
    with pytest.raises(DesignError, match=complaint):
        Network(np.array(indptr), np.array(indices))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"labels": ["a"]}, "2 agents need as many different labels; here are 1, 1 different"),
        ({"labels": ["a", "a"]}, "here are 2, 1 different"),
        ({"labels": ["a", 2]}, r"labels must be text, not 2; use str\(\)"),
        ({"node_attributes": {"age": [1]}}, "node attribute 'age' has 1 values for 2 agents"),
        ({"node_attributes": {7: [1, 2]}}, "named by text, not 7"),
    ],
)
def test_labels_and_attributes_that_do_not_fit_are_refused(options, complaint):
    with pytest.raises(DesignError, match=complaint):
        Network.from_edges([(0, 1)], 2, **options)


@pytest.mark.parametrize(
    ("blob", "n_agents", "complaint"),
    [
        (b"1234567", 3, "7 bytes are no edges: an edge takes 8"),
        (bytes(8), 3, "the blob is no network of 3 agents: agent 0 is its own neighbour"),
        (bytes([0, 0, 0, 0, 9, 0, 0, 0]), 3, "agents are 0 to 2"),
    ],
)
def test_damaged_bytes_are_refused(blob, n_agents, complaint):
    with pytest.raises(InputError, match=complaint):
        Network.from_bytes(blob, n_agents)


@relaxed
@given(network=networks(), labelled=st.booleans())
def test_networkx_gives_back_the_same_network(network, labelled):
    labels = tuple(f"n{agent}" for agent in range(network.n_agents)) if labelled else None
    ages = tuple(None if agent == 1 else agent for agent in range(network.n_agents))
    dressed = Network(network.indptr, network.indices, "dressed", labels, {"age": ages})
    graph = dressed.to_networkx()
    again = Network.from_networkx(graph)
    assert again == network
    assert (again.name, again.labels) == ("dressed", labels)
    assert dict(again.node_attributes) == {"age": ages}
    assert all(value is not None for node in graph.nodes.values() for value in node.values())


@relaxed
@given(made=edge_sets(), data=st.data())
def test_nodes_that_are_numbered_keep_their_numbers_in_any_order(made, data):
    n_agents, edges = made
    kind = data.draw(st.sampled_from([int, str]))
    graph = nx.Graph()
    graph.add_nodes_from(
        (kind(node), {"twice": 2 * node}) for node in data.draw(st.permutations(range(n_agents)))
    )
    graph.add_edges_from((kind(u), kind(v)) for u, v in edges)
    network = Network.from_networkx(graph)
    assert network == Network.from_edges(edges, n_agents)
    assert network.labels is None
    assert network.node_attributes["twice"] == tuple(range(0, 2 * n_agents, 2))


def test_other_nodes_become_agents_in_the_order_of_the_graph():
    graph = nx.Graph([("cara", "abe"), ("abe", "bo")])
    graph.nodes["bo"]["town"] = "Davao"
    network = Network.from_networkx(graph, name="friends")
    assert network.labels == ("cara", "abe", "bo")
    assert network.edges().tolist() == [[0, 1], [1, 2]]
    assert network.node_attributes["town"] == (None, None, "Davao")
    assert network.name == "friends"
    assert Network.from_networkx(nx.grid_2d_graph(1, 2)).labels == ("(0, 0)", "(0, 1)")


def test_a_multigraph_without_parallel_edges_is_a_network():
    network = Network.from_networkx(nx.MultiGraph([(0, 1), (1, 2)]))
    assert network.edges().tolist() == [[0, 1], [1, 2]]
    assert network.name == "networkx"


@pytest.mark.parametrize(
    ("graph", "complaint"),
    [
        (nx.DiGraph([(0, 1)]), r"directed: call \.to_undirected\(\) first"),
        (
            nx.MultiGraph([("a", "b"), ("b", "a")]),
            r"'a' and 'b' are joined by parallel edges: call nx\.Graph",
        ),
        (nx.Graph([(0, 1), ("x", "x")]), "node 'x' is its own neighbour: call graph.remove_edges_from"),
        (nx.Graph(), "no nodes"),
        (nx.Graph([(1, "1")]), "two nodes are both named '1' as text"),
        ([(0, 1)], "a networkx graph is needed, not list; for arrays, see Network.from_edges"),
    ],
)
def test_graphs_that_are_no_network_are_refused_with_the_way_out(graph, complaint):
    with pytest.raises(DesignError, match=complaint):
        Network.from_networkx(graph)


def test_attributes_of_a_graph_must_be_named_by_text():
    graph = nx.Graph([(0, 1)])
    graph.nodes[0][5] = "five"
    with pytest.raises(DesignError, match="named by text, not 5"):
        Network.from_networkx(graph)


PROBE = """
import sys
import agentnet.network as an
print("networkx" in sys.modules, "pandas" in sys.modules, "scipy" in sys.modules)
for kind, options in (
    ("random_regular", {"degree": 3}), ("random_regular", {"degree": 9}),
    ("erdos_renyi", {"probability": 0.2}), ("barabasi_albert", {"links": 2}),
    ("watts_strogatz", {"degree": 4, "rewiring": 0.5}),
    ("stochastic_block", {"sizes": [10, 20], "probabilities": [[0.5, 0.1], [0.1, 0.5]]}),
):
    print(an.make_network(kind, n_agents=30, seed=4, **options).digest)
import networkx as nx
names = ["mira", "joel", "ana", "ben", "lito"]
graph = nx.Graph([(u, v) for u in names for v in names if u < v])
graph.nodes["ana"].update(town="Cebu", age=3)
network = an.Network.from_networkx(graph)
print(network.digest, network.labels, dict(network.node_attributes))
"""


def _probe(hash_seed):
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    result = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout


def test_nothing_depends_on_the_hash_seed_and_heavy_libraries_wait():
    first = _probe("1")
    assert first == _probe("2")
    assert first.startswith("False False False\n")
