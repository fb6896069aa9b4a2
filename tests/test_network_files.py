"""Edge lists, GraphML and node tables: what is read, and what is refused where."""

import re

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.errors import InputError
from agentnet.network import Network, random_regular, read_network, read_node_table

relaxed = settings(deadline=None, max_examples=40)
names = st.text("abcdeXYZ-_.'0123456789", min_size=1, max_size=6).filter(
    # No whole number that a program with floats wrote.
    lambda name: not re.fullmatch(r"-?\d+(\.\d+)?(e\d+)?", name) or name.lstrip("-").isdecimal()
)


@pytest.fixture
def write(tmp_path):
    def write(text, name="net.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.fixture
def friends(write):
    return read_network(write("ana,ben\nben,cara\n", "friends.csv"))


FORMATS = [
    ("net.csv", ","),
    ("net.tsv", "\t"),
    ("net.txt", ","),
    ("net.txt", "\t"),
    ("net.edges", "  "),
    ("N.CSV", ", "),
]


@pytest.mark.parametrize(("name", "separator"), FORMATS)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_edge_list_gives_the_same_network(write, name, separator, ending):
    rows = ["# who knows whom", "", "Source{}Target", "ana{}ben", "  ", "ben{}cara{}0.7", "cara{}dan"]
    path = write(ending.join(row.replace("{}", separator) for row in rows) + ending, name)
    network = read_network(path)
    assert network.labels == ("ana", "ben", "cara", "dan")
    assert network.edges().tolist() == [[0, 1], [1, 2], [2, 3]]
    assert network.name == name


@relaxed
@given(edges=st.lists(st.tuples(names, names), min_size=1, unique_by=frozenset), data=st.data())
def test_an_edge_list_gives_the_network_that_was_written(edges, data, tmp_path_factory):
    edges = [(u, v) for u, v in edges if u != v] or [("x", "y")]
    first, separator = data.draw(st.sampled_from(FORMATS))
    path = tmp_path_factory.mktemp("edges") / first
    path.write_text(
        "source,target\n".replace(",", separator) + "".join(f"{u}{separator}{v}\n" for u, v in edges)
    )
    network = read_network(path)
    order = list(dict.fromkeys(name for edge in edges for name in edge))
    if set(order) == {str(agent) for agent in range(len(order))}:
        assert network.labels is None
        order = [str(agent) for agent in range(len(order))]
    else:
        assert network.labels == tuple(order)
    wanted = [(order.index(u), order.index(v)) for u, v in edges]
    assert network == Network.from_edges(wanted, len(order))


def test_below_a_header_every_row_is_an_edge(write):
    network = read_network(write("source,target\nX,Y\n0,00\n", "net.csv"))
    assert network.labels == ("X", "Y", "0", "00")


def test_numbered_nodes_keep_their_numbers_whatever_their_order(write):
    network = read_network(write("3 1\n0 3\n2 0\n", "net.txt"))
    assert network.labels is None
    assert network.edges().tolist() == [[0, 2], [0, 3], [1, 3]]


def test_numbers_with_a_gap_are_names(write):
    network = read_network(write("7 5\n5 0\n", "net.edges"))
    assert network.labels == ("7", "5", "0")


def test_a_large_edge_list_gives_back_the_network(write):
    network = random_regular(3000, 4, seed=1)
    path = write("".join(f"{v},{u}\n" for u, v in network.edges()[::-1].tolist()))
    assert read_network(str(path)) == network


def test_names_may_hold_blanks_quotes_and_a_byte_order_mark_may_come_first(write):
    network = read_network(write('\ufeff"Cruz, Ana",José Rizal\nJosé Rizal,"B ""Boy"" C"\n'))
    assert network.labels == ("Cruz, Ana", "José Rizal", 'B "Boy" C')


def test_a_known_header_in_any_case_is_no_edge(write):
    for header in ("SOURCE,Target,Weight", "from,to", "U,V"):
        assert read_network(write(f"{header}\na,b\n")).labels == ("a", "b")


def test_an_ordinary_first_row_is_an_edge(write):
    assert read_network(write("ana,ben\n1,2\n2,ana\n")).n_edges == 3
    assert read_network(write("ana,ben\n1,ana\n2,ben\n")).n_edges == 3
    assert read_network(write("ana,ben\n")).n_edges == 1
    assert read_network(write("ana,1\n1,2\n")).n_edges == 2
    assert read_network(write("-1,-2\n1,2\n")).n_edges == 2


@pytest.mark.parametrize(
    ("text", "row", "complaint"),
    [
        ("a,b\n# no\nc,c\n", 3, "node 'c' is its own neighbour; drop the row"),
        ("a,b\n\nb,c\nb,a\nc,b\n", 4, "the edge 'b', 'a' stands in row 1 already; direction does not count"),
        ("a,b\nb,c\nc,d\nb,c\na,b\n", 4, "the edge 'b', 'c' stands in row 2 already"),
        ("a,b\nc\n", 2, "an edge needs two node names, and here is 'c'"),
        ("a,b\n,c\n", 2, "an edge needs two node names, and here is ',c'"),
        ("a,b\nc, \n", 2, "an edge needs two node names"),
        ("a b\n", 1, r"part them by a comma \(.csv\)"),
        ('a,"b\nc,d\n', 1, "its quotes are not closed"),
        ('a,"b"c\n', 1, "its quotes are not closed or not at the ends"),
        (
            "person,friend\n1,2\n2,3\n",
            1,
            "'person', 'friend' looks like a header, all other names being numbers",
        ),
    ],
)
def test_a_bad_row_of_an_edge_list_is_refused_by_its_number(write, text, row, complaint):
    path = write(text)
    with pytest.raises(InputError, match=complaint) as caught:
        read_network(path)
    assert (caught.value.row, caught.value.path) == (row, path)
    assert str(caught.value).startswith(f"{path}, row {row}: ")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there are no edges in it"),
        ("# nothing\nsource,target\n", "there are no edges in it"),
        ("u,v\nv,w\n", "looks like a header, but 'v' is a node further down; put a row source,target above"),
        (b"Jos\xe9,Ana\n", r"row 1: byte 4 of this line \(0xe9\) is not UTF-8; save the file as CSV UTF-8"),
    ],
)
def test_a_file_that_is_no_edge_list_is_refused(write, text, complaint):
    with pytest.raises(InputError, match=complaint):
        read_network(write(text))


@pytest.mark.parametrize("name", ["gone.csv", "gone.graphml"])
def test_a_file_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}: there is no such file"):
        read_network(tmp_path / name)


def test_an_unknown_suffix_is_refused(write):
    with pytest.raises(
        InputError, match=r"the suffix '.graphm' tells no network format; did you mean '.graphml'"
    ):
        read_network(write("a,b", "net.graphm"))
    with pytest.raises(
        InputError, match=r"suffix '.zip' .*; known: .csv, .edgelist, .edges, .gexf, .gml, .graphml"
    ):
        read_network(write("a,b", "net.zip"))


GRAPHML = """<?xml version="1.0"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="d0" for="node" attr.name="age" attr.type="int"><default>30</default></key>
  <key id="d1" for="node" attr.name="town" attr.type="string"/>
  <graph edgedefault="{direction}">
    <node id="cara"><data key="d0">41</data></node><node id="ana"/>
    <node id="ben"><data key="d1">Cebu</data></node><node id="dan"/>
    {edges}
  </graph>
</graphml>
"""


def edge(source, target):
    return f'<edge source="{source}" target="{target}"/>'


def test_graphml_keeps_lonely_nodes_and_attributes_with_their_defaults(write):
    path = write(GRAPHML.format(direction="undirected", edges=edge("ana", "ben")), "net.graphml")
    network = read_network(path)
    assert network.labels == ("cara", "ana", "ben", "dan")
    assert network.edges().tolist() == [[1, 2]]
    assert dict(network.node_attributes) == {"age": (41, 30, 30, 30), "town": (None, None, "Cebu", None)}
    assert network.name == "net.graphml"


@pytest.mark.parametrize(
    ("direction", "edges", "complaint"),
    [
        ("directed", edge("ana", "ben"), "the graph is directed .* save it undirected"),
        (
            "undirected",
            edge("ana", "ben") + edge("ben", "ana"),
            "'ana' and 'ben' are joined by parallel edges",
        ),
        ("undirected", edge("ana", "ana"), "node 'ana' is its own neighbour"),
        ("undirected", edge("ana", "eva"), "an edge names node 'eva', which the file does not declare"),
        ("undirected", '<edge source="ana"/>', "an edge names node 'None', which the file does not declare"),
        ("undirected", '<node id="ana"/>', "node 'ana' is declared twice"),
        ("undirected", "<node/>", "a node has no id"),
        (
            "undirected",
            '<node id="x"><data key="d0">old</data></node>',
            "it is no GraphML that networkx reads",
        ),
    ],
)
def test_graphml_that_is_no_simple_network_is_refused(write, direction, edges, complaint):
    path = write(GRAPHML.format(direction=direction, edges=edges), "net.graphml")
    with pytest.raises(InputError, match=complaint) as caught:
        read_network(path)
    assert caught.value.path == path


def test_broken_graphml_is_refused(write):
    with pytest.raises(InputError, match="row 3: it is no XML: mismatched tag"):
        read_network(write("<graphml>\n<graph>\n</graphml>", "net.graphml"))
    with pytest.raises(InputError, match="it is no GraphML that networkx reads"):
        read_network(write("<html></html>", "net.graphml"))
    with pytest.raises(InputError, match="in an encoding that XML does not allow"):
        read_network(write('<?xml version="1.0" encoding="utf-7"?><graphml/>', "net.graphml"))


def test_graphml_written_by_networkx_is_read_back(tmp_path):
    network = Network.from_edges([(0, 1), (2, 1)], 4, labels="abcd", node_attributes={"age": [1, None, 3, 4]})
    nx.write_graphml(network.to_networkx(), tmp_path / "net.graphml")
    again = read_network(tmp_path / "net.graphml")
    assert again == network
    assert again.labels == network.labels
    assert dict(again.node_attributes) == dict(network.node_attributes)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("node,profile,age\nben,01010,30\ncara,,9\nana,11111,25\n", "table.csv"),
        ("profile\tAgent\tage\n01010\tben\t30\n\tcara\t9\n11111\tana\t25\n", "table.tsv"),
        ("who,profile,age\n# by name\nana,11111,25\nben, 01010 ,30\n\ncara,,9\n", "table.csv"),
    ],
)
def test_a_node_table_gives_its_columns_to_the_agents_as_text(friends, write, text, name):
    network = read_node_table(write(text, name), friends)
    assert dict(network.node_attributes) == {"profile": ("11111", "01010", ""), "age": ("25", "30", "9")}
    assert network == friends
    assert (network.labels, network.name) == (("ana", "ben", "cara"), "friends.csv")
    assert friends.node_attributes == {}


def test_agents_without_labels_go_by_their_numbers_and_attributes_add_up(write):
    network = Network.from_edges([(0, 1)], 2, node_attributes={"block": [0, 1]})
    more = read_node_table(write("agent,town\n1,Cebu\n0,Davao\n"), network)
    assert dict(more.node_attributes) == {"block": (0, 1), "town": ("Davao", "Cebu")}


@pytest.mark.parametrize(
    ("text", "row", "field", "complaint"),
    [
        ("", None, None, "it is empty: a node table needs a header and a row for each agent"),
        ("node,age\nana,1\nbem,2\n", 3, "node", "the network has no node 'bem'; did you mean 'ben'?"),
        ("node,age\nana,1\nben,2\nana,3\n", 4, "node", "node 'ana' stands in row 2 already"),
        ("node,age\nana,1\n", None, "node", "2 nodes of the network have no row: 'ben', 'cara'; add them"),
        ("node,age\nana\n", 2, None, "1 fields under a header of 2"),
        ("node,age\nana,1,2\n", 2, None, "3 fields under a header of 2"),
        ('node,age\nana,"1\n', 2, None, "its quotes are not closed"),
        ("node,age,age\n", 1, "age", "each column needs a name of its own"),
        ("#\nnode,\n", 2, "", "each column needs a name of its own"),
        ("node,agent\n", None, None, "columns node and agent may both name the agents; rename one"),
    ],
)
def test_a_bad_node_table_is_refused_by_row_and_field(friends, write, text, row, field, complaint):
    path = write(text)
    with pytest.raises(InputError, match=complaint) as caught:
        read_node_table(path, friends)
    assert (caught.value.path, caught.value.row, caught.value.field) == (path, row, field)


def test_a_column_that_is_an_attribute_already_is_refused(write):
    network = Network.from_edges([(0, 1)], 2, node_attributes={"age": [1, 2]})
    with pytest.raises(InputError, match="field 'age': network 'edges' has this attribute already; rename"):
        read_node_table(write("node,age\n0,1\n1,1\n"), network)


def test_complaints_about_large_networks_stay_short(write):
    network = random_regular(500, 4, seed=1)
    with pytest.raises(InputError, match=r"500 nodes .*: '0', '1', '2', '3', '4', \.\.; add them"):
        read_node_table(write("node\n"), network)
    with pytest.raises(InputError, match=r"the network has no node 'x'$"):
        read_node_table(write("node\nx\n"), network)
