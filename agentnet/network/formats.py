"""Networks in the formats of other programs, read by networkx and SciPy.

Their parsers forgive what they should not (nodes that only edges name, nodes that stand twice, sections that
are not read), so what they give is compared with what the file declares.
"""

from __future__ import annotations

import io
import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.delimited import text_lines
from agentnet.errors import DesignError, InputError
from agentnet.network.checks import MAX_AGENTS
from agentnet.network.csr import pack
from agentnet.network.graph import Network, trusted
from agentnet.network.simple import SIMPLIFY, Edges, counted

if TYPE_CHECKING:
    import networkx as nx

Read = Callable[[Path, bytes], "tuple[nx.Graph[Any], list[str]]"]


@contextmanager
def _in_words(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a library's parser raises on a hostile or broken file into an `InputError`."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"it is no {what}: {error!r}"[:600], path=path) from error


def read_graph(path: Path, content: bytes, read: Read, *, simplify: bool) -> Network:
    """Read a network that networkx reads.

    Args:
        path: The file, for messages.
        content: Its bytes.
        read: The format.
        simplify: Whether direction, loops and repeats are dropped, and said, instead of refused.

    Raises:
        InputError: It is no such file, or no simple undirected network.
    """
    graph, notes = read(path, content)
    if simplify:
        graph, dropped = _simplified(graph)
        notes += dropped
    elif graph.is_directed():
        raise InputError(
            f'the graph is directed (edgedefault="directed" and the like); if direction may be dropped, save '
            f"it undirected, {SIMPLIFY}",
            path=path,
        )
    try:
        network = Network.from_networkx(graph, name=path.name)
    except DesignError as error:
        raise InputError(f"{error}; {SIMPLIFY}", path=path) from error
    return trusted(
        network.indptr, network.indices, network.name, network.labels, network.node_attributes, notes
    )


def _simplified(graph: nx.Graph[Any]) -> tuple[nx.Graph[Any], list[str]]:
    import networkx as nx

    n_edges, n_loops = graph.number_of_edges(), nx.number_of_selfloops(graph)
    simple: nx.Graph[Any] = nx.Graph()
    simple.graph.update(graph.graph)
    simple.add_nodes_from(graph.nodes(data=True))
    simple.add_edges_from((u, v) for u, v in graph.edges() if u != v)
    n_repeats = n_edges - n_loops - simple.number_of_edges()
    notes = ["simplified: dropped the direction of its edges"] if graph.is_directed() else []
    if n_loops or n_repeats:
        notes.append(f"simplified: dropped {counted(n_loops, 'loop')} and {counted(n_repeats, 'repeat')}")
    return simple, notes


def graphml(path: Path, content: bytes) -> tuple[nx.Graph[Any], list[str]]:
    """Read GraphML: the first graph of the file, nodes by their ids."""
    import networkx as nx

    declared, notes = _declared_nodes(path, content)
    with _in_words(path, "GraphML that networkx reads"):
        graph = nx.read_graphml(io.BytesIO(content))
    _refuse_strangers(path, graph, declared)
    # networkx reads the defaults of attributes, but does not give them to the nodes that lack a value.
    for attributes in graph.nodes.values():
        attributes.update({**graph.graph.get("node_default", {}), **attributes})
    return graph, notes


def gexf(path: Path, content: bytes) -> tuple[nx.Graph[Any], list[str]]:
    """Read GEXF, as Gephi and `agentnet export` write it: nodes by their labels, if these differ."""
    import networkx as nx

    declared, notes = _declared_nodes(path, content)
    with _in_words(path, "GEXF that networkx reads"):
        graph = nx.read_gexf(io.BytesIO(content))
    _refuse_strangers(path, graph, declared)
    return _by_label(graph, notes)


def gml(path: Path, content: bytes) -> tuple[nx.Graph[Any], list[str]]:
    """Read GML: nodes by their labels, if these differ."""
    import networkx as nx

    with _in_words(path, "GML that networkx reads"):
        graph = nx.read_gml(io.BytesIO(content), label="id")
    return _by_label(graph, [])


def _by_label(graph: nx.Graph[Any], notes: list[str]) -> tuple[nx.Graph[Any], list[str]]:
    import networkx as nx

    labels = {node: data.get("label") for node, data in graph.nodes(data=True)}
    texts = [str(label) for label in labels.values() if label not in (None, "")]
    if len(texts) == len(labels) == len(set(texts)) and texts:
        for data in graph.nodes.values():
            del data["label"]
        return nx.relabel_nodes(graph, {node: str(label) for node, label in labels.items()}), notes
    if texts:
        notes.append("nodes are named by their ids: not each has a label of its own")
    return graph, notes


def pajek(path: Path, content: bytes) -> tuple[nx.Graph[Any], list[str]]:
    """Read Pajek: nodes by their labels."""
    import networkx as nx

    lines = _pajek_lines(path, content)
    with _in_words(path, "Pajek network that networkx reads"):
        graph = nx.parse_pajek(iter(lines))
        if not graph.number_of_edges():
            graph = nx.Graph(graph)  # it is networkx that calls a network without edges directed
    n_declared = int(lines[0].split()[1])
    strangers = [node for node, data in graph.nodes(data=True) if "id" not in data]
    if strangers:
        raise InputError(f"an edge names node {strangers[0]!r}, which the file does not declare", path=path)
    if len(graph) != n_declared:
        raise InputError(
            f"declares {n_declared} nodes, of which {len(graph)} have names of their own; rename the others",
            path=path,
        )
    return graph, []


_PAJEK_EDGES = ("*edges", "*arcs", "*matrix")


def _pajek_lines(path: Path, content: bytes) -> list[str]:
    """Check the sections of a Pajek file, which networkx runs together, and keep those that hold anything."""
    sections: list[list[str]] = []
    for row, line in enumerate(_decoded(path, content).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("%"):
            continue
        if text.startswith("*"):
            sections.append([text])
        elif sections:
            sections[-1].append(text)
        else:
            raise InputError("a Pajek network begins with *Vertices", path=path, row=row)
    sections = [s for s in sections if not s[0].lower().startswith("*network")]
    if not sections or not re.fullmatch(r"\*vertices\s+\d+", sections[0][0].lower()):
        raise InputError(
            "a Pajek network of one kind of nodes begins with *Vertices and their number", path=path
        )
    vertices, *others = sections
    kept = [section for section in others if len(section) > 1]
    known = [s for s in kept if s[0].lower().split()[0] in _PAJEK_EDGES and ":" not in s[0]]
    if len(known) != len(kept) or len(kept) > 1:
        held = ", ".join(section[0] for section in kept)
        raise InputError(
            f"one section of *Edges, *Arcs or *Matrix can be read, and here are: {held}", path=path
        )
    _check_vertices(path, vertices)
    return [line for section in (vertices, *kept) for line in section]


def _check_vertices(path: Path, section: list[str]) -> None:
    n_declared = int(section[0].split()[1])
    if len(section) - 1 != n_declared:
        raise InputError(
            f"declares {n_declared} nodes and names {len(section) - 1}; give each a line: number and label",
            path=path,
        )
    with _in_words(path, "Pajek network: a node has no number and label"):
        numbers = Counter(shlex.split(line)[:2][0] for line in section[1:])
    double = next((number for number, times in numbers.items() if times > 1), None)
    if double is not None:
        raise InputError(f"node {double!r} is declared twice", path=path)


def node_link(path: Path, content: bytes) -> tuple[nx.Graph[Any], list[str]]:
    """Read node-link JSON, as networkx and d3 write it."""
    import networkx as nx

    with _in_words(path, "JSON"):
        data = json.loads(_decoded(path, content))
    key = _link_key(path, data)
    with _in_words(path, "node-link JSON that networkx reads"):
        ids = [node["id"] for node in data["nodes"]]
        graph = nx.node_link_graph(data, edges=key)
    double = next((node for node, times in Counter(map(_hashable, ids)).items() if times > 1), None)
    if double is not None:
        raise InputError(f"node {double!r} is declared twice", path=path)
    _refuse_strangers(path, graph, set(map(_hashable, ids)))
    return graph, []


def _link_key(path: Path, data: object) -> str:
    keys = [key for key in ("links", "edges") if isinstance(data, dict) and isinstance(data.get(key), list)]
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list) or len(keys) != 1:
        raise InputError(
            'it is no node-link JSON: {"nodes": [{"id": ..}, ..], "links": [{"source": .., "target": ..}]}',
            path=path,
        )
    return keys[0]


def _hashable(value: Any) -> Hashable:  # noqa: ANN401  whatever JSON holds
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _decoded(path: Path, content: bytes) -> str:
    return "".join(text_lines(path, io.BytesIO(content)))


def _refuse_strangers(path: Path, graph: nx.Graph[Any], declared: Iterable[Hashable]) -> None:
    known = set(declared)
    stranger = next((node for node in graph if node not in known), None)
    if stranger is not None:
        raise InputError(f"an edge names node {stranger!r}, which the file does not declare", path=path)


def _declared_nodes(path: Path, content: bytes) -> tuple[set[str], list[str]]:
    # networkx makes up nodes that only edges name, and runs nodes of one name together.
    from xml.etree import ElementTree as ET

    try:
        tree = ET.parse(io.BytesIO(content))  # noqa: S314  the user's own file, and networkx parses it so too
    except ET.ParseError as error:
        raise InputError(f"it is no XML: {error}", path=path, row=error.position[0]) from error
    except (LookupError, ValueError) as error:
        raise InputError(f"it is in an encoding that XML does not allow: {error}", path=path) from error
    tags = [(element.tag.rpartition("}")[2], element) for element in tree.iter()]
    declared: set[str] = set()
    for node in (element.get("id") for tag, element in tags if tag == "node"):
        if node is None or node in declared:
            raise InputError(f"node {node!r} is declared twice" if node else "a node has no id", path=path)
        declared.add(node)
    n_graphs = sum(tag == "graph" for tag, _ in tags)
    return declared, [f"the file holds {n_graphs} graphs, of which the first is read"] if n_graphs > 1 else []


def sparse_npz(path: Path, content: bytes) -> Edges:
    """Read an adjacency matrix that `scipy.sparse.save_npz` wrote."""
    from scipy.sparse import load_npz

    with _in_words(path, "sparse matrix that SciPy reads (scipy.sparse.save_npz)"):
        return _of_matrix(path, load_npz(io.BytesIO(content)))


def matrix_market(path: Path, content: bytes) -> Edges:
    """Read an adjacency matrix in Matrix Market's format."""
    from scipy.io import mmread

    with _in_words(path, "Matrix Market file that SciPy reads"):
        return _of_matrix(path, mmread(io.BytesIO(content)))


def _of_matrix(path: Path, found: Any) -> Edges:  # noqa: ANN401  sparse in some form, or dense
    from scipy.sparse import coo_array

    matrix = coo_array(found)
    n_rows, n_columns = matrix.shape
    if n_rows != n_columns or not 1 <= n_rows <= MAX_AGENTS:
        raise InputError(
            f"an adjacency matrix is square, a row for each agent, and this one is {n_rows} x {n_columns}",
            path=path,
        )
    if n_rows > _ROOMY and n_rows > _ROOMY_RATIO * (len(matrix.data) + 1):
        raise InputError(
            f"has {n_rows} agents and {len(matrix.data)} entries: more memory than network; number agents "
            f"without gaps",
            path=path,
        )
    if matrix.data.dtype.kind == "f" and np.isnan(matrix.data).any():
        raise InputError("holds entries that are no number (NaN)", path=path)
    is_edge = matrix.data != 0
    u, v = matrix.coords[0][is_edge].astype(np.int64), matrix.coords[1][is_edge].astype(np.int64)
    notes = []
    if n_zeros := int((~is_edge).sum()):
        notes.append(f"stored zeros, which are no edges: {n_zeros}")
    names = [str(agent) for agent in range(n_rows)]
    return _undirected(Edges(path, names, u, v, notes=notes))


_ROOMY, _ROOMY_RATIO = 10_000_000, 1000


def _undirected(edges: Edges) -> Edges:
    """Take each pair of a symmetric matrix once; leave another as it is, for direction to be refused."""
    n_agents = len(edges.names)
    forth, back = pack(edges.u, edges.v, n_agents), pack(edges.v, edges.u, n_agents)
    if np.array_equal(np.sort(forth), np.sort(back)):
        once = edges.u <= edges.v
        edges.u, edges.v = edges.u[once], edges.v[once]
        return edges
    edges.is_directed = True
    return edges


TABLE: Mapping[str, Read] = {
    ".graphml": graphml,
    ".gexf": gexf,
    ".gml": gml,
    ".net": pajek,
    ".paj": pajek,
    ".pajek": pajek,
    ".json": node_link,
}
"""The reader of each suffix by networkx."""

MATRICES: Mapping[str, Callable[[Path, bytes], Edges]] = {".npz": sparse_npz, ".mtx": matrix_market}
"""The reader of each suffix by SciPy."""
