"""What a reader of text accepts is what pandas, networkx and SciPy read in the file; the rest it refuses.

Files are written by other programs' writers with odd parameters, then damaged. The larger numbers of examples
run by `make test-slow`.
"""

import csv
import gzip
import io
import json
import re
from itertools import takewhile

import networkx as nx
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentnet.delimited import DELIMITER_NAMES, is_missing, is_remark
from agentnet.errors import DesignError, InputError
from agentnet.interviews.bank import load_bank
from agentnet.network import Network, read_network, read_node_table
from agentnet.news import load_severity
from agentnet.news.load import scan

MATRICES = (".npz", ".mtx")
FORMATS = (".gml", ".gexf", ".graphml", ".net", ".json", *MATRICES)
DELIMITER_OF = {name: mark for mark, name in DELIMITER_NAMES.items()}

quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
long = settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))


def both(strategy):
    """Make two tests of a check: some examples in the gate, many in the slow tests."""

    def decorate(check):
        def briefly(folder, example):
            check(folder, example)

        def at_length(folder, example):
            check(folder, example)

        brief, at_all_length = (
            how(given(example=strategy)(test)) for how, test in ((quick, briefly), (long, at_length))
        )
        brief.__name__ = check.__name__
        at_all_length.__name__ = f"{check.__name__}_at_length"
        return brief, pytest.mark.slow(at_all_length)

    return decorate


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


# --- files, and damage done to them -----------------------------------------------------------------------

prose = st.one_of(
    st.text("ab ,;|\t\"'\n.#5", max_size=14),
    st.sampled_from(["NA", "NaN", "null", "None", "", "Ana's", 'He said "no"', "1,5", "# 1", "é ñ", "\xa0"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8),
)
keys = st.one_of(st.integers(0, 40).map(str), st.text("abAB#-", min_size=1, max_size=3), prose)
damages = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["insert", "delete", "replace"]),
        st.sampled_from('",;\t\n\r#% 1a\xa0{'),
    ),
    max_size=2,
)


def damaged(content, damage):
    text = content
    for where, how, sign in damage:
        place = int(where * len(text))
        rest = text[place + (how != "insert") :]
        text = text[:place] + ("" if how == "delete" else sign) + rest
    return text


@st.composite
def tables(draw, columns):
    """Draw a table as a writer of another program leaves it: its text, and how it is encoded."""
    n_rows = draw(st.integers(1, 6))
    several = {name: st.lists(cells, min_size=n_rows, max_size=n_rows) for name, cells in columns.items()}
    several["id"] = st.lists(keys, min_size=n_rows, max_size=n_rows, unique=True)
    frame = pd.DataFrame({name: draw(several[name]) for name in columns}, dtype=object)
    out = io.StringIO()
    frame.to_csv(
        out,
        sep=draw(st.sampled_from(",;\t|")),
        index=draw(st.booleans()),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
    )
    text = out.getvalue()
    if draw(st.integers(0, 3)) == 0:  # R's write.table: the header does not count the row names
        text = re.sub(r'^("",|"";|"";|""\t|""\||[,;\t|])', "", text)
    return damaged(text, draw(damages)), draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))


def refused_or(path, read):
    """Read a file; None if it is refused, by its name."""
    error = None
    try:
        return read(path)
    except InputError as refusal:
        error = refusal
    assert str(path) in str(error)
    return None


def as_pandas_reads(path, encoding, delimiter):
    frame = pd.read_csv(
        path, sep=delimiter, dtype=str, encoding=encoding, skipinitialspace=True, keep_default_na=False
    )
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(drop=True)  # row names
    frame.columns = [str(column).strip().lower() for column in frame.columns]
    # Fields that a row lacks are NaN; what stands for a missing value may have blanks around it here.
    frame = frame.fillna("").map(lambda cell: "" if is_missing(cell) else cell.strip())
    return frame[frame.astype(bool).any(axis=1)]


severities = st.sampled_from(["0", "1", "severe", "peaceful", "NA", ""])
NEWS = {"id": keys, "text": prose.filter(lambda text: text.strip()), "severity": severities}


@both(tables(NEWS))
def _news(folder, example):
    text, encoding = example
    path = folder / "news.csv"
    path.write_bytes(text.encode(encoding))
    found = refused_or(path, scan)
    if found is None:
        return
    assert all(str(path) in str(problem) for problem in found.problems)
    if found.problems:
        return
    theirs = as_pandas_reads(path, encoding, DELIMITER_OF[found.form.rpartition(" ")[2]])
    assert [item.text for item in found.items] == theirs["text"].tolist()
    if "id" in theirs:
        assert [item.id for item in found.items] == theirs["id"].tolist()


test_accepted_news_are_what_pandas_reads, test_accepted_news_are_what_pandas_reads_at_length = _news


# --- edge lists -------------------------------------------------------------------------------------------

names = st.one_of(
    st.integers(0, 9).map(str),
    st.sampled_from(["ana", "ben", "#MeToo", "José", "2.0", "1.0", "New York", "O'Neil", "NA", "a,b"]),
    st.text("abc#%.-_", min_size=1, max_size=3),
)
DATA = st.sampled_from([True, False, ["weight"]])
HEADS = ["", "", "# Nodes: 3 Edges: 2\n", "% sym unweighted\n", "# FromNodeId\tToNodeId\n"]
HEADERS = [None, ("source", "target"), ("from", "to"), ("FromNodeId", "ToNodeId"), ("person", "friend")]


@st.composite
def edge_lists(draw):
    """Draw an edge list as pandas, R, networkx or a crawler leaves it, and the suffix of its file."""
    edges = draw(st.lists(st.tuples(names, names), min_size=1, max_size=7, unique_by=frozenset))
    edges = [(u, v) for u, v in edges if u != v] or [("x", "y")]
    if draw(st.booleans()):
        graph = nx.Graph(edges)
        nx.set_edge_attributes(graph, draw(st.sampled_from([1, 0.5, "it's"])), "weight")
        out, delimiter = io.BytesIO(), draw(st.sampled_from([" ", ",", "\t"]))
        nx.write_edgelist(
            graph, out, delimiter=delimiter, data=draw(st.sampled_from([True, False, ["weight"]]))
        )
        text = out.getvalue().decode()
    else:
        frame = pd.DataFrame(edges, columns=["u", "v"], dtype=object)
        if draw(st.booleans()):
            frame["weight"] = draw(st.sampled_from([1, 0.25, "kin"]))
        header = draw(st.sampled_from(HEADERS))
        out = io.StringIO()
        frame.to_csv(
            out,
            sep=draw(st.sampled_from(",;\t|")),
            header=header and [*header, "weight"][: len(frame.columns)],
            index=draw(st.booleans()),
            quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        )
        text = out.getvalue()
    head = draw(
        st.sampled_from(["", "", "# Nodes: 3 Edges: 2\n", "% sym unweighted\n", "# FromNodeId\tToNodeId\n"])
    )
    return head + damaged(text, draw(damages)), draw(st.sampled_from([".csv", ".txt", ".edges", ".tsv"]))


def edges_as_others_read(path, network):
    """Read the two columns of names with pandas, or networkx where blanks part them."""
    form = network.notes[0]
    delimiter = DELIMITER_OF[re.match(r"rows parted by (\w+)", form)[1]]
    every = path.read_bytes().decode().split("\n")
    lines = [line for line in every if line.strip() and not is_remark(line)]
    has_header = "header:" in form
    n_remarks = sum(int(note.split()[0]) for note in network.notes if "of remarks" in note)
    others = n_remarks - sum(map(is_remark, every))
    leading = [line for line in takewhile(lambda line: line.strip()[:1] in "#%", lines) if line.strip()]
    # What the delimiter does not part is no edge, wherever it stands among them.
    for line in sorted(leading, key=lambda line: delimiter in line.strip())[:others]:
        # A sign and a letter: a remark only if it cannot be an edge like those below, or says it is a header.
        lines.remove(line)
        is_header = re.search(r"source|from|FromNodeId", line)
        counts = [(each.count(delimiter), each.strip().count(delimiter)) for each in (line, lines[0])]
        is_other = any(map(int.__ne__, *counts)) or "{" in line
        assert has_header or is_header or is_other
    lines = [re.sub(r"(?<=.)[,;|\s]\s*\{[^{]*\}\s*$", "", line) for line in lines if line.strip()]
    if delimiter == " " and '"' not in "".join(lines):
        graph = nx.parse_edgelist(lines[has_header:], comments=None, data=False, create_using=nx.MultiGraph)
        return list(graph.edges())
    between = r"\s+" if delimiter == " " else re.escape(delimiter)
    n_cells = 1 + max(len(re.findall(between, line)) for line in lines)
    frame = pd.read_csv(
        io.StringIO("\n".join(lines)),
        sep=between if delimiter == " " else delimiter,
        header=None,
        names=range(n_cells),
        dtype=str,
        keep_default_na=False,
        skipinitialspace=True,
    ).map(lambda cell: cell.strip() if isinstance(cell, str) else "")
    frame = frame[frame.astype(bool).any(axis=1)]
    first, second = 0, 1
    if has_header:
        ends = re.search(r"header: (.*)", form)[1]
        header = list(frame.iloc[0])
        first = next(i for i in range(n_cells) if ends.startswith(f"{header[i]}, ") and header[i])
        second = next(i for i in range(n_cells) if i != first and ends == f"{header[first]}, {header[i]}")
        frame = frame.iloc[1:]
    if any("row names" in note for note in network.notes):
        first, second = first + 1, second + 1
    return list(zip(frame[first], frame[second], strict=True))


def whole(pairs):
    every = {name for pair in pairs for name in pair}
    if all(re.fullmatch(r"[-+]?\d+(\.0+)?", name) for name in every):
        return [tuple(re.sub(r"\.0+$", "", name) for name in pair) for pair in pairs]
    return pairs


@both(edge_lists())
def _edges(folder, example):
    text, suffix = example
    path = folder / f"net{suffix}"
    path.write_text(text, "utf-8", newline="")
    network = refused_or(path, read_network)
    if network is None:
        return
    theirs = whole(edges_as_others_read(path, network))
    labels = network.labels or tuple(map(str, range(network.n_agents)))
    ours = {frozenset((labels[u], labels[v])) for u, v in network.edges().tolist()}
    assert ours == {frozenset(pair) for pair in theirs}
    assert len(theirs) == network.n_edges
    assert set(labels) == {name for pair in theirs for name in pair}


test_accepted_edges_are_what_pandas_and_networkx_read, test_accepted_edges_at_length = _edges


# --- networks in other formats ----------------------------------------------------------------------------

labels = st.one_of(st.integers(0, 6), st.sampled_from(["ana", "ben", "José", "a b", "#x"]))


@st.composite
def graphs(draw):
    """Draw a graph of any kind, and a format that can hold it."""
    kind = draw(st.sampled_from([nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph]))
    nodes = draw(st.lists(labels, min_size=1, max_size=6, unique_by=str))
    graph = kind()
    graph.add_nodes_from(nodes)
    ends = st.tuples(st.sampled_from(nodes), st.sampled_from(nodes))
    graph.add_edges_from(draw(st.lists(ends, max_size=8)))
    suffix = draw(st.sampled_from(FORMATS))
    return graph, suffix, draw(st.booleans()), draw(st.booleans())


def adjacency(graph):
    return nx.to_scipy_sparse_array(graph, weight=None, format="coo")


def graph_bytes(graph, suffix):
    out = io.BytesIO()
    named = nx.relabel_nodes(graph, str)
    {
        ".gml": lambda: nx.write_gml(named, out),
        ".gexf": lambda: nx.write_gexf(named, out),
        ".graphml": lambda: nx.write_graphml(named, out),
        ".net": lambda: nx.write_pajek(named, out),
        ".json": lambda: out.write(json.dumps(nx.node_link_data(named, edges="edges")).encode()),
        ".npz": lambda: scipy.sparse.save_npz(out, adjacency(graph)),
        ".mtx": lambda: scipy.io.mmwrite(out, adjacency(graph)),
    }[suffix]()
    return out.getvalue()


@both(graphs())
def _formats(folder, example):
    graph, suffix, packed, simplify = example
    content = graph_bytes(graph, suffix)
    path = folder / f"graph{suffix}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(content) if packed else content)
    simple = nx.Graph(graph)
    simple.remove_edges_from(list(nx.selfloop_edges(simple)))
    is_simple = not graph.is_directed() and simple.number_of_edges() == graph.number_of_edges()
    network = refused_or(path, lambda path: read_network(path, simplify=simplify))
    if network is None:
        assert not simplify
        assert not is_simple
        return
    # A symmetric matrix is an undirected network, whatever it was made of, and so is a Pajek file without
    # edges.
    assert simplify or is_simple or suffix in MATRICES or not graph.number_of_edges()
    if suffix in MATRICES:
        expected = Network.from_networkx(nx.convert_node_labels_to_integers(simple))
    else:
        expected = Network.from_networkx(nx.relabel_nodes(simple, str))
        assert network.labels == expected.labels
    assert network == expected


test_networks_of_every_format_are_what_was_written, test_networks_of_every_format_at_length = _formats


# --- hostile bytes ----------------------------------------------------------------------------------------

NETWORK = Network.from_edges([(0, 1)], 2, labels=("ana", "ben"))
READERS = {
    "news.csv": scan,
    "news.tsv": scan,
    "news.jsonl": scan,
    "news.json": scan,
    "news.xlsx": scan,
    "labels.csv": load_severity,
    "bank.csv": load_bank,
    "nodes.csv": lambda path: read_node_table(path, NETWORK),
    **{f"net{suffix}": read_network for suffix in (".csv", ".txt", ".edges", ".txt.gz", *FORMATS)},
}
_GRAPH = nx.relabel_nodes(nx.path_graph(4), str)
SOUND = {
    "news.csv": b'id,text,date\n1,"a, b",2021-01-02\n2,c,\n',
    "news.tsv": b'id\ttext\n1\t"a\tb"\n',
    "news.jsonl": b'{"id": 1, "text": "x"}\n{"id": 2, "text": null}\n',
    "news.json": b'{"data": [{"id": 1, "text": "x"}], "count": 1}',
    "labels.csv": b"id,severity\na,1\nb,\n",
    "bank.csv": b"topic,question,answer\na,b,c\n",
    "nodes.csv": b'node,town\nana,"Cebu"\nben,NA\n',
    "net.csv": b"source,target,weight\nana,ben,1\nben,cara,2\n",
    "net.txt": b"# Nodes: 3 Edges: 2\n1\t2\n2\t3\n",
    "net.edges": b"0 1 {'weight': 3}\n1 2 {}\n",
    "net.txt.gz": gzip.compress(b"1 2\n2 3\n"),
    **{f"net{s}": graph_bytes(_GRAPH, s) for s in FORMATS},
}
wounds = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=4)), max_size=4)


def wounded(content, wound):
    for where, n_lost, more in wound:
        place = int(where * len(content))
        content = content[:place] + more + content[place + n_lost :]
    return content


@both(st.tuples(st.sampled_from(sorted(READERS)), wounds))
def _bytes(folder, example):
    name, wound = example
    path = folder / name
    path.write_bytes(wounded(SOUND.get(name, b"PK\x03\x04"), wound))
    refused_or(path, READERS[name])


test_hostile_bytes_make_nothing_but_refusals, test_hostile_bytes_at_length = _bytes


@both(tables({"node": keys, "town": prose}))
def _nodes(folder, example):
    text, encoding = example
    path = folder / "nodes.csv"
    path.write_bytes(text.encode(encoding))
    try:
        theirs = as_pandas_reads(path, encoding, max(",;\t|", key=text.split("\n")[0].count))
        names = [name for name in theirs["node"] if name]
        network = Network.from_edges([], len(names), labels=names)
    except (KeyError, ValueError, DesignError, pd.errors.ParserError):
        names, network = [], NETWORK
    made = refused_or(path, lambda path: read_node_table(path, network))
    if made is not None and "town" in made.node_attributes:
        assert dict(zip(made.labels, made.node_attributes["town"], strict=True)) == dict(
            zip(theirs["node"], theirs["town"], strict=True)
        )


test_accepted_node_tables_are_what_pandas_reads, test_accepted_node_tables_at_length = _nodes
