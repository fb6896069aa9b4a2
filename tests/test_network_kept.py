"""What readers keep of a file when asked: direction, weights, layers; and plain rows read many at a time."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from agentnet.errors import InputError
from agentnet.network import read_network, read_node_table

FOLLOWS = "source,target,weight,layer\nana,ben,1,follows\nana,ben,2.5,mentions\nben,ana,3,follows\n"
KEEP = ("weight", "layer")


@pytest.fixture
def write(tmp_path):
    def write(content, name="net.csv"):
        path = tmp_path / name
        path.write_text(content)
        return path

    return write


def edges_of(network):
    """Edges with their attributes, by the names of both ends."""
    names = network.labels or tuple(map(str, range(network.n_agents)))
    columns = [values.tolist() for values in network.edge_values.values()]
    ends = [(names[u], names[v]) for u, v in network.edges().tolist()]
    return sorted(zip(ends, *columns, strict=True))


def test_a_list_keeps_direction_weights_and_layers_if_asked(write):
    network = read_network(write(FOLLOWS), heard="source", edge_attributes=KEEP)
    assert edges_of(network) == [
        (("ana", "ben"), 1.0, "follows"),
        (("ana", "ben"), 2.5, "mentions"),
        (("ben", "ana"), 3.0, "follows"),
    ]
    assert "directed: source is heard, target hears" in network.notes
    assert not any("not read" in note for note in network.notes)
    turned = read_network(write(FOLLOWS), heard="target", edge_attributes=["layer"])
    assert edges_of(turned)[0] == (("ana", "ben"), "follows")
    assert len(edges_of(turned)) == 3
    assert "columns not read: weight" in turned.notes


@pytest.mark.parametrize("heard", ["followee", "target"])
def test_the_end_that_is_heard_goes_by_the_name_of_its_column(write, heard):
    network = read_network(write("follower,followee\nann,star\nbob,star\n"), heard=heard)
    assert edges_of(network) == [(("star", "ann"),), (("star", "bob"),)]
    assert network.n_hearers.tolist() == [0, 2, 0]
    assert "directed: followee is heard, follower hears" in network.notes
    assert not any("dropped" in note for note in network.notes)


def test_a_node_table_leaves_edges_as_they_are(write):
    network = read_network(write(FOLLOWS), heard="source", edge_attributes=KEEP)
    told = read_node_table(write("node,age\nben,2\nana,1\n", "people.csv"), network)
    assert told == network
    assert told.node_attributes["age"] == ("1", "2")


def test_a_list_without_a_header_gives_its_further_columns_the_names_asked_for(write):
    path = write("1 2 0.5 x\n2 3 0.7 y\n3 1 1 y\n".replace(" x", "").replace(" y", ""), "net.txt")
    network = read_network(path, heard="source", edge_attributes="weight")
    assert edges_of(network) == [(("1", "2"), 0.5), (("2", "3"), 0.7), (("3", "1"), 1.0)]


def test_numbers_stay_whole_and_what_is_no_number_is_a_text(write):
    rows = "source,target,since,kind,blank\na,b,2009,kin,\nb,c,2011,7,x\n"
    network = read_network(write(rows), edge_attributes=["since", "kind", "blank"])
    kinds = {name: values.dtype.kind for name, values in network.edge_values.items()}
    assert kinds == {"since": "i", "kind": "U", "blank": "U"}
    assert edges_of(network) == [(("a", "b"), 2009, "kin", ""), (("b", "c"), 2011, "7", "x")]


@pytest.mark.parametrize(
    ("rows", "how", "complaint"),
    [
        (FOLLOWS, {"heard": "source"}, "row 3: the edge 'ana', 'ben' stands in row 2 already; keep one"),
        (
            FOLLOWS,
            {"edge_attributes": KEEP},
            "row 4: the edge 'ben', 'ana' stands in row 2 already; direction",
        ),
        (FOLLOWS, {"heard": "sorce"}, "network_options.heard is 'sorce'; .*: source, target"),
        (
            FOLLOWS,
            {"edge_attributes": ["wieght"]},
            "row 1: there is no column 'wieght'; did you mean 'weight'",
        ),
        (FOLLOWS, {"edge_attributes": ["source"]}, "there is no column 'source'"),
        ("a,b\nb,c\n", {"edge_attributes": ["weight"]}, "no column 'weight'; it has none besides both ends"),
        (
            "source,target,weight\na,b,1\n\nb,c,heavy\n",
            {"edge_attributes": ["weight"]},
            "row 4, field 'weight': the weight 'heavy' is no number",
        ),
        ("source,target,weight\na,b,1\nb,c,\n", {"edge_attributes": ["weight"]}, "row 3, .*weight '' is no"),
        ("source,target,weight\na,b,inf\n", {"edge_attributes": ["weight"]}, "row 2, .*weight 'inf' is no"),
        ("source,target\na,b\nb,b\n", {"heard": "source"}, "row 3: node 'b' is its own neighbour"),
        (
            "source,target,type\na,b,Directed\nb,c,Undirected\n",
            {"heard": "source"},
            "row 3: is not of type Directed",
        ),
    ],
)
def test_a_list_that_does_not_hold_what_is_asked_is_refused_with_its_row(write, rows, how, complaint):
    with pytest.raises(InputError, match=complaint):
        read_network(write(rows), **how)


def test_simplify_keeps_direction_and_layers_that_were_asked_for(write):
    rows = FOLLOWS + "ana,ben,9,follows\nben,ben,1,follows\n"
    network = read_network(write(rows), heard="source", edge_attributes=KEEP, simplify=True)
    assert edges_of(network) == edges_of(read_network(write(FOLLOWS), heard="source", edge_attributes=KEEP))
    assert "simplified: dropped 1 loop and 1 repeat" in network.notes


GRAPHS = {".graphml": nx.write_graphml, ".gexf": nx.write_gexf, ".gml": nx.write_gml}


@pytest.mark.parametrize("suffix", GRAPHS)
@pytest.mark.parametrize("simplify", [False, True])
def test_graphs_keep_them_too(tmp_path, suffix, simplify):
    graph = nx.MultiDiGraph()
    for u, v, weight, layer in (("a", "b", 1.5, "x"), ("a", "b", 2.0, "y"), ("b", "a", 0.5, "x")):
        graph.add_edge(u, v, weight=weight, layer=layer)
    if simplify:
        graph.add_edge("a", "b", weight=7.0, layer="y")
        graph.add_edge("b", "b", weight=7.0, layer="y")
    path = tmp_path / f"net{suffix}"
    GRAPHS[suffix](graph, path)
    network = read_network(path, heard="source", edge_attributes=KEEP, simplify=simplify)
    expected = [(("a", "b"), 1.5, "x"), (("a", "b"), 2.0, "y"), (("b", "a"), 0.5, "x")]
    assert edges_of(network) == expected
    assert "directed: the source of an edge is heard by the other end" in network.notes
    with pytest.raises(InputError, match=r"is directed .* which end of an edge the other hears \(network_op"):
        read_network(path)
    if not simplify:
        with pytest.raises(InputError, match="keep them as layers"):
            read_network(path, heard="source")


def test_a_matrix_keeps_its_direction_and_its_entries(tmp_path):
    path = tmp_path / "net.npz"
    sparse.save_npz(path, sparse.csr_array(np.array([[0, 1, 0], [2, 0, 0], [0, 0.5, 0]])))
    network = read_network(path, heard="source", edge_attributes=["weight"])
    assert edges_of(network) == [(("0", "1"), 1.0), (("1", "0"), 2.0), (("2", "1"), 0.5)]
    with pytest.raises(InputError, match=r"so its edges have a direction.*; or keep it, and say which end"):
        read_network(path)
    with pytest.raises(InputError, match="its edges have no 'layer'; they have no attributes"):
        read_network(path, heard="source", edge_attributes=["layer"])
    sparse.save_npz(path, sparse.csr_array(np.array([[0, 1, 0], [1, 0, 0.5], [0, 0.5, 0]])))
    assert edges_of(read_network(path, edge_attributes=["weight"])) == [(("0", "1"), 1.0), (("1", "2"), 0.5)]
    sparse.save_npz(path, sparse.csr_array(np.array([[0, 1], [2, 0]])))
    assert not read_network(path).is_directed
    with pytest.raises(InputError, match="the matrix is not symmetric"):
        read_network(path, edge_attributes=["weight"])


names = st.sampled_from(["7", "007", "x", "#y", "ana b", "\xa0z", "NA", "-1", "1.0", "{", "é"]) | st.integers(
    0, 60
).map(str)


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_rows_that_are_read_many_at_a_time_are_read_as_one_by_one(tmp_path_factory, data):
    # Quotation marks make no difference, but such a file is read row by row.
    delimiter = data.draw(st.sampled_from([",", "\t", ";"]))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    head = [(f"n{i}", f"n{i + 1}", str(i / 4), "w") for i in range(220)]
    odd = st.tuples(names, names, st.sampled_from(["1", "2.5", "-3e-1"]), st.sampled_from(["v", "w x"]))
    rows = [*head, *data.draw(st.lists(odd, min_size=1, max_size=30))]
    header = delimiter.join(("source", "target", "weight", "layer"))
    text = end.join(delimiter.join(row) for row in rows)
    folder = tmp_path_factory.mktemp("lists")
    outcomes = []
    for name, first in (("many.txt", header), ("one.txt", header.replace("layer", '"layer"'))):
        path = folder / name
        path.write_text(f"{first}{end}{text}{end}", newline="")
        try:
            network = read_network(path, heard="source", edge_attributes=KEEP, simplify=True)
        except InputError as error:
            outcomes.append(str(error).replace(name, ""))
        else:
            outcomes.append((network.labels, edges_of(network), network.notes))
    assert outcomes[0] == outcomes[1]


def test_a_row_far_down_that_is_no_edge_is_named(write):
    rows = [f"{i},{i + 1},1" for i in range(60_000)]
    rows[55_000] = "5,NA,1"
    with pytest.raises(InputError, match="row 55002: an edge needs two node names"):
        read_network(write("\n".join(["source,target,weight", *rows])))
    rows[55_000] = "5,6,heavy"
    with pytest.raises(InputError, match="row 55002, field 'weight': the weight 'heavy' is no number"):
        read_network(write("\n".join(["source,target,weight", *rows])), edge_attributes="weight")
    rows[55_000] = "5"
    with pytest.raises(InputError, match="row 55002"):
        read_network(write("\n".join(["source,target,weight", *rows])))
