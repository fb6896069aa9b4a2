"""Networks in the formats of networkx, SciPy and Gephi, and what their parsers would let pass."""

import gzip
import io
import json
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from agentnet.errors import InputError, PluginError
from agentnet.network import Network, facts_of, read_network
from agentnet.network.format import NETWORK_FORMATS, network_format

KARATE = nx.karate_club_graph()


@pytest.fixture
def write(tmp_path):
    def write(content, name):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def friends():
    graph = nx.Graph([("ana", "ben"), ("ben", "cara")])
    graph.add_node("dan ~ d", age=41)
    return graph


def matrix_of(graph):
    return nx.to_scipy_sparse_array(graph, weight=None, format="csr")


def bare(graph):
    """Leave out attributes, which Pajek's format has only as text."""
    made = graph.__class__()
    made.add_nodes_from(graph)
    made.add_edges_from(graph.edges())
    return made


WRITERS = {
    ".gml": nx.write_gml,
    ".gexf": nx.write_gexf,
    ".graphml": nx.write_graphml,
    ".net": lambda graph, out: nx.write_pajek(bare(graph), out),
    ".json": lambda graph, out: out.write(json.dumps(nx.node_link_data(graph, edges="links")).encode()),
    ".npz": lambda graph, out: scipy.sparse.save_npz(out, matrix_of(graph)),
    ".mtx": lambda graph, out: scipy.io.mmwrite(out, matrix_of(graph)),
}


def written(suffix, graph):
    out = io.BytesIO()
    WRITERS[suffix](graph, out)
    return out.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_back_the_network_with_its_lonely_nodes(write, suffix, packed):
    content = written(suffix, friends())
    path = write(gzip.compress(content) if packed else content, f"net{suffix}{'.gz' if packed else ''}")
    network = read_network(path)
    assert network.edges().tolist() == [[0, 1], [1, 2]]
    assert network.n_agents == 4
    is_matrix = suffix in {".npz", ".mtx"}
    numbers = {".npz": None, ".mtx": ("1", "2", "3", "4")}
    assert network.labels == numbers.get(suffix, ("ana", "ben", "cara", "dan ~ d"))
    if not is_matrix and suffix != ".net":
        assert network.node_attributes["age"] == (None, None, None, 41)


@pytest.mark.parametrize("suffix", WRITERS)
def test_numbered_nodes_keep_their_numbers_in_every_format(write, suffix):
    graph = nx.Graph()
    graph.add_nodes_from(range(34))
    graph.add_edges_from(KARATE.edges())
    network = read_network(write(written(suffix, graph), f"karate{suffix}"))
    # Matrix Market counts from 1, and so does whoever names agents elsewhere by its numbers.
    assert network.labels == (tuple(map(str, range(1, 35))) if suffix == ".mtx" else None)
    assert network.edges().tolist() == Network.from_networkx(KARATE).edges().tolist()


@pytest.mark.parametrize("kind", ["gexf", "graphml"])
def test_a_network_that_agentnet_exports_is_read_back(command, small, write, kind):
    write("ana,ben\nben,cara\ncara,dan\ndan,eve\neve,ana\nana,cara\n", "six.csv")
    few = ("--quiet", "-S", "repeats=1", "-S", "steps=1", "-S", "network=six.csv")
    # The file decides the number of agents, which the class has as 32.
    assert command("run", small, "--out", "r", *few).code == 0
    assert command("export", "r", "--format", kind, "--out", "out").code == 0
    again, first = read_network(f"out/realization-00000.{kind}"), read_network("six.csv")
    assert again == first
    if kind == "gexf":
        assert again.labels == first.labels


@pytest.mark.parametrize("suffix", [".gml", ".gexf", ".graphml", ".net", ".json"])
def test_direction_loops_and_parallels_are_refused_unless_simplified(write, suffix):
    graph = nx.MultiDiGraph([("a", "b"), ("b", "a"), ("b", "c"), ("c", "c"), ("a", "b")])
    path = write(written(suffix, graph), f"net{suffix}")
    with pytest.raises(InputError, match="directed") as caught:
        read_network(path)
    assert "--simplify" in str(caught.value)
    network = read_network(path, simplify=True)
    assert network.edges().tolist() == [[0, 1], [1, 2]]
    said = "; ".join(network.notes)
    assert "dropped the direction of its edges" in said
    assert "dropped 1 loop and 2 repeats" in said


def test_a_matrix_that_is_not_symmetric_is_directed(write):
    matrix = scipy.sparse.coo_array(np.array([[0, 1, 0], [0, 1, 2], [0, 2, 0]]))
    out = io.BytesIO()
    scipy.sparse.save_npz(out, matrix)
    path = write(out.getvalue(), "net.npz")
    with pytest.raises(InputError, match="the matrix is not symmetric, so its edges have a direction"):
        read_network(path)
    network = read_network(path, simplify=True)
    assert network.edges().tolist() == [[0, 1], [1, 2]]
    assert network.notes[-1] == "simplified: dropped 1 loop and 1 repeat"


MARKET = "%%MatrixMarket matrix coordinate pattern symmetric\n% made by hand\n3 3 2\n2 1\n3 2\n"


@pytest.mark.parametrize("name", ["net.mtx", "net.txt", "net.txt.gz"])
def test_matrix_market_is_known_by_its_first_line(write, name):
    content = gzip.compress(MARKET.encode()) if name.endswith("gz") else MARKET
    network = read_network(write(content, name))
    assert (network.labels, network.edges().tolist()) == (("1", "2", "3"), [[0, 1], [1, 2]])


def test_stored_zeros_of_a_matrix_are_no_edges(write):
    text = "%%MatrixMarket matrix coordinate integer symmetric\n3 3 2\n2 1 1\n3 2 0\n"
    network = read_network(write(text, "net.mtx"))
    assert (network.n_agents, network.n_edges) == (3, 1)
    assert "stored zeros, which are no edges: 2" in network.notes


PAJEK = '*Vertices 3\n1 "ana"\n2 "ben"\n3 "cara"\n'


def test_pajek_without_what_networkx_would_run_together(write):
    text = f"% a remark\n*Network friends\n{PAJEK}% another\n*Arcs\n*Edges\n1 2 1\n2 3 1\n"
    network = read_network(write(text, "net.net"))
    assert (network.labels, network.edges().tolist()) == (("ana", "ben", "cara"), [[0, 1], [1, 2]])


def test_pajek_without_edges_is_no_directed_network(write):
    network = read_network(write(PAJEK + "*Edges\n", "net.net"))
    assert (network.n_agents, network.n_edges) == (3, 0)


GEXF = (
    '<gexf xmlns="http://www.gexf.net/1.2draft" version="1.2"><graph defaultedgetype="undirected">'
    '<nodes>{nodes}</nodes><edges><edge id="0" source="0" target="1"/></edges></graph></gexf>'
)
LINKS = '{"nodes": [{"id": 1}, {"id": 2}], "links": [{"source": 1, "target": %s}], "multigraph": false}'


@pytest.mark.parametrize(
    ("content", "name", "complaint"),
    [
        (PAJEK + "*Edges\n1 2\n*Arcs\n2 3\n", "net.net", "one section of .* can be read, and here are"),
        (PAJEK + "*Arcslist\n1 2 3\n", "net.net", "one section of"),
        (PAJEK + "*Edges\n1 4\n", "net.net", "an edge names node '4', which the file does not declare"),
        ('*Vertices 3\n1 "ana"\n*Edges\n1 2\n', "net.net", "declares 3 nodes and names 1"),
        ('*Vertices 2\n1 "ana"\n1 "ben"\n*Edges\n1 2\n', "net.net", "node '1' is declared twice"),
        (
            '*Vertices 2\n1 "ana"\n2 "ana"\n*Edges\n1 2\n',
            "net.net",
            "declares 2 nodes, of which 1 have names",
        ),
        ('*Vertices 4 2\n1 "ana"\n', "net.net", "one kind of nodes begins with"),
        ("ana ben\n", "net.net", "begins with"),
        (
            GEXF.format(nodes='<node id="0" label="a"/>'),
            "net.gexf",
            "names node '1', which the file does not",
        ),
        (GEXF.format(nodes='<node id="0"/><node id="0"/>'), "net.gexf", "node '0' is declared twice"),
        ("<gexf>", "net.gexf", "it is no XML"),
        (LINKS % 3, "net.json", "an edge names node 3, which the file does not declare"),
        ('{"nodes": [{"id": 1}, {"id": 1}], "links": []}', "net.json", "node 1 is declared twice"),
        ('{"elements": {}}', "net.json", "it is no node-link JSON"),
        ('{"nodes": [{}], "links": []}', "net.json", "it is no node-link JSON that networkx reads"),
        ("[" * 100_000, "net.json", "it is no JSON"),
        ("graph [ node [ id 0 ] edge [ source 0 target 1 ] ]", "net.gml", "it is no GML that networkx reads"),
        (b"PK\x03\x04", "net.npz", "it is no sparse matrix that SciPy reads"),
        (MARKET.replace("3 3 2", "3 2 2"), "net.mtx", "."),
        ("%%MatrixMarket matrix coordinate real general\n2 3 1\n1 1 1\n", "net.mtx", "2 x 3"),
        ("%%MatrixMarket matrix coordinate real general\n2 2 1\n1 2 nan\n", "net.mtx", "no number"),
        (MARKET.replace("3 3 2", "999999999 999999999 2"), "net.mtx", "number agents without gaps"),
        (gzip.compress(MARKET.encode(), mtime=0)[:-9], "net.mtx.gz", "is no whole gzip file"),
    ],
)
def test_what_the_parsers_forgive_is_refused_by_the_file(write, content, name, complaint):
    path = write(content, name)
    with pytest.raises(InputError, match=complaint) as caught:
        read_network(path)
    assert caught.value.path == path


def test_nodes_with_labels_that_repeat_go_by_their_ids(write):
    text = 'graph [ node [ id 7 label "x" ] node [ id 9 label "x" ] edge [ source 7 target 9 ] ]'
    network = read_network(write(text, "net.gml"))
    assert network.labels == ("7", "9")
    assert "nodes are named by their ids: not each has a label of its own" in network.notes


def test_only_the_first_graph_of_a_file_is_read_and_that_is_said(write):
    one = '<graph edgedefault="undirected"><node id="{}"/></graph>'
    text = (
        f"<graphml xmlns='http://graphml.graphdrawing.org/xmlns'>{one.format('a')}{one.format('b')}</graphml>"
    )
    assert (
        "the file holds 2 graphs, of which the first is read" in read_network(write(text, "n.graphml")).notes
    )


@pytest.mark.parametrize(
    ("text", "name", "note"),
    [
        (
            "graph [ node [ id 1 ] node [ id 2 ] edge [ source 1 target 2 sign -1 weight 2 ] ]",
            "net.gml",
            "attributes of edges not read: sign, weight",
        ),
        (
            "%%MatrixMarket matrix coordinate integer symmetric\n2 2 1\n2 1 -1\n",
            "net.mtx",
            "entries other than 1 are edges, too: their weight or sign is not read",
        ),
    ],
)
def test_what_an_edge_says_and_nobody_reads_is_told(write, text, name, note):
    assert note in read_network(write(text, name)).notes
    assert not any("not read" in each for each in read_network(write(MARKET, "plain.mtx")).notes)


def test_facts_tell_what_a_network_is():
    network = Network.from_edges([(0, 1), (1, 2), (3, 4)], 7, name="toy", labels="abcdefg")
    facts = facts_of(network)
    assert (facts.n_agents, facts.n_edges, facts.n_components, facts.n_isolated) == (7, 3, 4, 2)
    assert facts.degree == (0, 1.0, 2)
    assert facts.first_names == ("a", "b", "c", "d", "e")
    assert facts_of(Network.from_networkx(KARATE)).n_components == nx.number_connected_components(KARATE)


@pytest.mark.parametrize(
    "graph",
    [
        nx.empty_graph(3),
        nx.star_graph(500),
        nx.cycle_graph(128),
        nx.cycle_graph(3000),
        nx.path_graph(3000),
        nx.disjoint_union_all([nx.complete_graph(n) for n in (1, 2, 3, 1)]),
        nx.disjoint_union_all([nx.path_graph(2)] * 500),
        nx.gnm_random_graph(2000, 2000, seed=3),
        nx.random_regular_graph(3, 500, seed=4),
        nx.gnm_random_graph(500, 400, seed=5, directed=True),
    ],
    ids=str,
)
def test_components_are_counted_however_far_one_has_to_go(graph):
    network = Network.from_networkx(graph, heard="source" if graph.is_directed() else None)
    assert facts_of(network).n_components == nx.number_connected_components(graph.to_undirected())


def test_a_network_that_is_seen_at_a_few_looks_is_told_without_scipy():
    code = (
        "import sys; from agentnet.network import facts_of, random_regular; "
        "facts = facts_of(random_regular(2000, 5, seed=1)); print(facts.n_components, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]


@pytest.mark.parametrize("suffix", ["pairs", 3, [".pairs"]])
def test_a_suffix_that_no_file_has_is_refused(suffix):
    with pytest.raises(PluginError, match=r"suffixes are texts like '.pairs'"):
        network_format(suffix)


@pytest.mark.parametrize("given", [None, "a", [(0, 1)]])
def test_a_format_that_gives_no_network_is_refused(tmp_path, given):
    def odd(file):
        return given

    (path := tmp_path / "friends.pairs").write_text("a--b")
    network_format(".PAIRS")(odd)
    try:
        with pytest.raises(PluginError, match=r"friends.pairs gives .*; it gives a Network"):
            read_network(path)
    finally:
        del NETWORK_FORMATS._defined["odd"]
