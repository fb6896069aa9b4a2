"""Networks that are directed, weighted, layered and changing, against networkx and by hand."""

import copy
import pickle
from functools import reduce

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.errors import DesignError, InputError
from agentnet.network import Network, facts_of, random_regular

relaxed = settings(deadline=None, max_examples=40)
LAYERS = ("follows", "mentions", "näher")


@st.composite
def dressed_networks(draw, max_agents=7):
    """Any network: directed or not, with weights and layers or without."""
    n_agents, is_directed = draw(st.integers(2, max_agents)), draw(st.booleans())
    columns = draw(st.sampled_from([(), ("weight",), ("weight", "layer")]))
    pairs = [(u, v) for u in range(n_agents) for v in range(n_agents if is_directed else u) if u != v]
    keys = [(*pair, layer) for pair in pairs for layer in (LAYERS if "layer" in columns else LAYERS[:1])]
    chosen = draw(st.lists(st.sampled_from(keys), unique=True, max_size=20))
    weights = draw(st.lists(st.floats(-9, 9), min_size=len(chosen), max_size=len(chosen)))
    values = {"weight": np.array(weights, dtype=float), "layer": [layer for *_, layer in chosen]}
    return Network.from_edges(
        np.array([key[:2] for key in chosen], dtype=int).reshape(-1, 2),
        n_agents,
        is_directed=is_directed,
        edge_attributes={name: values[name] for name in columns},
    )


def rows(network):
    """Edges with their attributes, in an order of their own."""
    ends = [tuple(edge) if network.is_directed else tuple(sorted(edge)) for edge in network.edges().tolist()]
    columns = {name: values.tolist() for name, values in sorted(network.edge_values.items())}
    return sorted(zip(ends, *columns.values(), strict=True))


@relaxed
@given(network=dressed_networks())
def test_who_hears_whom_is_who_networkx_says(network):
    graph = network.to_networkx()
    assert graph.is_directed() == network.is_directed
    assert graph.number_of_edges() == network.n_edges
    heard = graph.predecessors if network.is_directed else graph.neighbors
    hearers = graph.successors if network.is_directed else graph.neighbors
    for agent in range(network.n_agents):
        assert set(network.neighbours(agent).tolist()) == set(heard(agent))
        assert set(network.hearers(agent).tolist()) == set(hearers(agent))
    out = graph.out_degree if network.is_directed else graph.degree
    assert network.n_hearers.tolist() == [out(agent) for agent in range(network.n_agents)]
    assert (np.diff(network.listener) >= 0).all()


@relaxed
@given(network=dressed_networks())
def test_bytes_copies_networkx_and_the_constructor_give_back_the_same_network(network):
    blob = network.to_bytes()
    wanted = list(network.edge_attributes)
    heard = "source" if network.is_directed else None
    fields = (network.name, None, {}, (), network.is_directed, network.edge_attributes)
    for again in (
        Network.from_bytes(blob, network.n_agents),
        pickle.loads(pickle.dumps(network)),
        copy.deepcopy(network),
        Network(network.indptr, network.indices, *fields),
        *(
            [Network.from_networkx(network.to_networkx(), heard=heard, edge_attributes=wanted)]
            if network.n_edges
            else []
        ),
    ):
        assert again == network
        assert again.digest == network.digest
        assert again.to_bytes() == blob
        assert rows(again) == rows(network)
        assert not any(values.flags.writeable for values in again.edge_attributes.values())


@relaxed
@given(network=dressed_networks())
def test_what_is_undirected_and_bare_is_its_pairs_and_whatever_else_there_is_stands_behind_them(network):
    pairs = network.edges().astype("<i4").tobytes()
    plain = not network.is_directed and not network.edge_attributes
    assert network.to_bytes()[: len(pairs)] == pairs
    assert (network.to_bytes() == pairs) == plain
    if not network.is_directed and "layer" not in network.edge_attributes:
        bare = Network.from_bytes(pairs, network.n_agents)
        assert (network == bare) == (network.digest == bare.digest) == plain


@relaxed
@given(first=dressed_networks(3), second=dressed_networks(3))
def test_networks_are_equal_exactly_if_their_digests_are(first, second):
    assert (first == second) == (first.digest == second.digest)


def test_the_digest_of_a_network_without_edge_attributes_is_what_it_was():
    assert random_regular(10, 3, seed=1).digest.startswith("14e6fe9ad665368b")


def test_damaged_bytes_behind_the_pairs_are_refused():
    network = Network.from_edges([(0, 1)], 2, is_directed=True, edge_attributes={"weight": [0.5]})
    blob = network.to_bytes()
    for damaged in (blob[:-8], blob[:16] + b"\0" * 8 + blob[24:], blob[:8] + blob[8:16]):
        with pytest.raises(InputError, match="behind the 1 edges is damaged"):
            Network.from_bytes(damaged, 2)


def test_slots_hold_the_attributes_of_their_edges():
    edges = [(0, 1), (2, 1), (0, 1)]
    values = {"layer": ["b", "a", "a"], "weight": [1, 2, 3]}
    network = Network.from_edges(edges, 3, is_directed=True, edge_attributes=values)
    assert network.indices.tolist() == [0, 0, 2]
    assert network.edge_attributes["layer"].tolist() == ["a", "b", "a"]
    assert network.edge_attributes["weight"].tolist() == [3, 1, 2]
    both = Network.from_edges([(2, 0), (0, 1)], 3, edge_attributes={"weight": [0.5, 2]})
    assert both.indices.tolist() == [1, 2, 0, 0]
    assert both.edge_attributes["weight"].tolist() == [2, 0.5, 2, 0.5]
    assert both.edge_values["weight"].tolist() == [2, 0.5]


@pytest.mark.parametrize(
    ("edges", "how", "complaint"),
    [
        ([(0, 1), (0, 1)], {"is_directed": True}, r"edges 0 and 1 both join agents \(0, 1\): keep one"),
        ([(0, 1), (1, 0)], {"edge_attributes": {"layer": ["a", "a"]}}, "direction does not count"),
        ([(0, 1)], {"edge_attributes": {"weight": ["heavy"]}}, "weight of edge 0 is 'heavy', which is no"),
        ([(0, 1)], {"edge_attributes": {"weight": [float("nan")]}}, "weight of edge 0 is nan"),
        ([(0, 1)], {"edge_attributes": {"weight": [1, 2]}}, "'weight' has 2 values for 1 edges"),
        ([(0, 1), (1, 2)], {"edge_attributes": {"since": [1, None]}}, "'since' must be .*; edge 1 has none"),
        ([(0, 1), (1, 2)], {"edge_attributes": {"since": [1, "x"]}}, "one kind for all edges"),
        ([(0, 1)], {"edge_attributes": {7: [1]}}, "named by text, not 7"),
    ],
)
def test_edges_that_fit_no_network_are_refused(edges, how, complaint):
    with pytest.raises(DesignError, match=complaint):
        Network.from_edges(edges, 3, **how)


def test_the_constructor_refuses_slots_that_do_not_agree():
    with pytest.raises(DesignError, match="has each edge in both rows"):
        Network(np.array([0, 1, 1]), np.array([1]))
    assert Network(np.array([0, 1, 1]), np.array([1]), is_directed=True).hearers(1).tolist() == [0]
    with pytest.raises(DesignError, match="has the attributes of an edge in both rows"):
        Network(np.array([0, 1, 2]), np.array([1, 0]), edge_attributes={"weight": [1, 2]})
    with pytest.raises(DesignError, match="must ascend"):
        Network(np.array([0, 2, 4]), np.array([1, 1, 0, 0]), edge_attributes={"layer": ["b", "a", "b", "a"]})


@pytest.mark.parametrize(
    ("graph", "how", "complaint"),
    [
        (nx.DiGraph([(0, 1)]), {}, 'say which end is heard by the other: heard="source"'),
        (nx.DiGraph([(0, 1)]), {"heard": "followee"}, "heard is 'followee'; .*'source' or 'target'"),
        (nx.Graph([(0, 1)]), {"heard": "source"}, "but the graph is undirected"),
        (nx.Graph([(0, 1)]), {"edge_attributes": ["weight"]}, "no edge of the graph has 'weight'"),
        (
            nx.Graph([("a", "b", {"weight": 1}), ("b", "c", {})]),
            {"edge_attributes": ["weight"]},
            "the edge 'b', 'c' has no 'weight'",
        ),
    ],
)
def test_graphs_whose_edges_lack_something_are_refused(graph, how, complaint):
    with pytest.raises(DesignError, match=complaint):
        Network.from_networkx(graph, **how)


def test_the_user_says_which_end_is_heard():
    graph = nx.DiGraph([("ana", "ben")])
    assert Network.from_networkx(graph, heard="source").edges().tolist() == [[0, 1]]
    assert Network.from_networkx(graph, heard="target").edges().tolist() == [[1, 0]]


# Changes


@relaxed
@given(network=dressed_networks(), data=st.data())
def test_changes_are_those_of_sets_of_edges(network, data):
    there = sorted({tuple(edge) for edge in network.edges().tolist()})
    drop = data.draw(st.lists(st.sampled_from(there), unique=True)) if there else []
    every = [(u, v) for u in range(network.n_agents) for v in range(network.n_agents)]
    taken = {*there, *(() if network.is_directed else [edge[::-1] for edge in there])}
    free = [(u, v) for u, v in every if (u != v if network.is_directed else u < v) and (u, v) not in taken]
    add = data.draw(st.lists(st.sampled_from(free), unique=True)) if free else []
    new = {name: {"weight": 1.5, "layer": "new"}[name] for name in network.edge_attributes}
    changed = network.changed(add=add, drop=drop, **new)
    kept = [row for row in rows(network) if row[0] not in {tuple(sorted(d)) for d in drop} | set(drop)]
    if network.is_directed:
        kept = [row for row in rows(network) if row[0] not in drop]
    added = [(tuple(edge), *(new[name] for name in sorted(new))) for edge in add]
    assert rows(changed) == sorted(kept + added)
    assert (
        Network(
            changed.indptr,
            changed.indices,
            is_directed=changed.is_directed,
            edge_attributes=changed.edge_attributes,
        )
        == changed
    )


@relaxed
@given(network=dressed_networks(), data=st.data())
def test_agents_that_are_taken_out_keep_their_numbers_and_lose_their_edges(network, data):
    gone = data.draw(st.lists(st.integers(0, network.n_agents - 1), unique=True))
    graph = network.to_networkx()
    graph.remove_nodes_from(gone)
    left = network.without_agents(gone)
    assert left.n_agents == network.n_agents
    assert sorted(map(tuple, left.to_networkx().edges())) == sorted(map(tuple, graph.edges()))


def test_changes_played_again_in_their_order_give_the_same_network():
    start = Network.from_edges([(0, 1), (1, 2), (2, 0)], 4, is_directed=True, labels=list("abcd"))
    log = [{"drop": [(0, 1)], "add": [(3, 1)]}, {"add": [(0, 1)]}, {"drop": [(2, 0), (3, 1)]}, {}]
    end = reduce(lambda network, change: network.changed(**change), log, start)
    assert end.edges().tolist() == [[0, 1], [1, 2]]
    assert (end.labels, end.name) == (start.labels, "edges, changed")
    assert reduce(lambda network, change: network.changed(**change), log, start).digest == end.digest
    assert start.n_edges == 3


@relaxed
@given(network=dressed_networks())
def test_an_undirected_network_can_be_taken_as_one_of_edges_each_way(network):
    both = network.as_directed()
    assert both.is_directed
    assert set(both.to_networkx().edges()) == set(network.to_networkx().to_directed().edges())
    assert Network.from_bytes(both.to_bytes(), both.n_agents) == both
    for u, v in [] if network.is_directed else network.edges().tolist()[:1]:
        assert v in both.without_edges([(v, u)]).hearers(u)
        assert u not in both.without_edges([(v, u)]).hearers(v)
        assert v not in network.without_edges([(v, u)]).hearers(u)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda n: n.changed(add=[(0, 9)]), r"\(0, 9\), but agents are 0 to 2"),
        (lambda n: n.changed(drop=[(0, 1), (2, 1)]), "agent 1 does not hear agent 2: .*nothing|no edge"),
        (lambda n: n.changed(add=[(1, 2), (0, 1)]), "agent 1 hears agent 0 already"),
        (lambda n: n.changed(add=[(2, 2)]), "agent 2 is its own neighbour"),
        (lambda n: n.changed(add=[(2, 0)], weight=1), "have no attribute; .* here is 'weight' .numbers"),
        (lambda n: n.without_agents([1, 3]), "there is no agent 3: agents are 0 to 2"),
        (lambda n: n.without_agents([-1]), "there is no agent -1"),
        (lambda n: n.without_agents([0.5]), "agents are whole numbers"),
        (lambda n: n.hearers(3), "no agent 3: agents are 0 to 2"),
        (lambda n: n.top("fame", 1), "have no 'fame'; known: n_heard, n_hearers, town"),
        (lambda n: n.top("n_hearer", 1), "did you mean 'n_hearers'"),
        (lambda n: n.top("town", 1), "the 'town' of agent 0 is 'Davao', which is no number"),
        (lambda n: n.top("n_heard", 4), "top 4 agents by 'n_heard' are asked for, but 3"),
        (lambda n: n.top("n_heard", -1), "`k` must be at least 0"),
    ],
)
def test_changes_that_cannot_be_made_are_refused(change, complaint):
    network = Network.from_edges(
        [(0, 1), (1, 0)], 3, is_directed=True, node_attributes={"town": ["Davao", "", None]}
    )
    with pytest.raises(DesignError, match=complaint):
        change(network)


def test_an_attribute_that_is_no_number_names_the_node_as_its_file_does():
    network = Network.from_edges([(0, 1)], 2, labels=["ana", "ben"], node_attributes={"age": ["31", "old"]})
    with pytest.raises(DesignError, match="the 'age' of node 'ben' is 'old', which is no number"):
        network.top("age", 1)


def test_new_edges_have_the_attributes_that_the_network_has():
    network = Network.from_edges(
        [(0, 1)], 3, is_directed=True, edge_attributes={"layer": ["a"], "weight": [1]}
    )
    grown = network.with_edges([(0, 1), (1, 2)], layer=["b", "a"], weight=0.5)
    assert rows(grown) == [((0, 1), "a", 1), ((0, 1), "b", 0.5), ((1, 2), "a", 0.5)]
    with pytest.raises(DesignError, match=r"edges 0 and 1 both join agents \(0, 1\)"):
        network.with_edges([(0, 1)], layer="a", weight=2)
    with pytest.raises(DesignError, match=r"have 'layer' \(texts\), 'weight' \(numbers\); .* no attribute"):
        network.with_edges([(1, 2)])
    with pytest.raises(DesignError, match="2 edges take one value for all, or 2; here are 3"):
        network.with_edges([(1, 2), (2, 1)], layer="a", weight=[1, 2, 3])
    assert network.without_edges([(0, 1)]).n_edges == 0


def test_hubs_are_those_that_most_agents_hear_and_ties_go_to_the_lowest_number():
    star = Network.from_edges([(3, 0), (3, 1), (3, 2), (1, 2), (0, 1)], 5, is_directed=True)
    assert star.top("n_hearers", 3).tolist() == [3, 0, 1]
    assert star.top("n_heard", 2).tolist() == [1, 2]
    assert star.top("n_heard", 0).tolist() == []
    dressed = Network.from_edges([], 4, node_attributes={"fame": ["2", "", "10", None]})
    assert dressed.top("fame", 2).tolist() == [2, 0]
    with pytest.raises(DesignError, match="top 3 agents by 'fame' are asked for, but 2 agents have it"):
        dressed.top("fame", 3)


def test_a_change_that_leaves_a_hearer_without_a_source_is_found_and_refused_if_wanted():
    before = Network.from_edges([(0, 1), (0, 2), (1, 2)], 4, is_directed=True)
    after = before.changed(drop=[(0, 1)])
    assert after.stranded(before).tolist() == [1]
    with pytest.raises(DesignError, match="leaves agent 1 without anybody to hear"):
        after.stranded(before, refuse=True)
    hubless = before.without_agents([0, 1])
    assert hubless.stranded(before).tolist() == [1, 2]
    assert hubless.stranded(before, besides=[0, 1]).tolist() == [2]
    with pytest.raises(DesignError, match="leaves agent 1 and 1 more"):
        hubless.stranded(before, refuse=True)
    assert before.changed(drop=[(0, 1)], add=[(3, 1)]).stranded(before, refuse=True).size == 0


def test_facts_say_what_a_network_is_beyond_its_size():
    network = Network.from_edges(
        [(0, 1), (0, 2)],
        3,
        is_directed=True,
        edge_attributes={"weight": [0.5, 2], "layer": ["follows", "mentions"]},
    )
    assert facts_of(network).notes == (
        "directed: agents hear 0 to 1 others, and are heard by 0 to 2",
        "edges have weight (0.5 to 2), layer (follows, mentions)",
    )
    assert facts_of(random_regular(4, 3, seed=1)).notes == ()
