"""Networks and node tables in files.

Edge lists and GraphML give networks; a node table gives the agents of a network further attributes. Every
complaint names the file and, where the format has rows, the row.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DesignError, InputError, near_miss
from agentnet.network.csr import pack_edges, rows, sorted_arcs
from agentnet.network.graph import Network, number_names, trusted

if TYPE_CHECKING:
    import networkx as nx

EDGE_LIST_SUFFIXES = (".csv", ".tsv", ".txt", ".edges")
GRAPHML_SUFFIX = ".graphml"

HEADERS = frozenset(
    {
        ("source", "target"),
        ("from", "to"),
        ("src", "dst"),
        ("u", "v"),
        ("node1", "node2"),
        ("node_1", "node_2"),
        ("agent1", "agent2"),
        ("agent_1", "agent_2"),
    }
)
"""First rows of edge lists that are headers, in any case."""

NODE_COLUMNS = ("node", "agent")

Split = Callable[[str], list[str]]


def read_network(path: Path | str) -> Network:
    """Read a network from an edge list or a GraphML file, chosen by the suffix.

    An edge list (``.csv``, ``.tsv``, ``.txt``, ``.edges``) has an edge in each row: two node names, and maybe
    further columns, which are not read. Columns are parted by commas in ``.csv``, by tabs in ``.tsv``;
    elsewhere by commas if the first row has any, else by tabs, else by blanks. Blank rows and rows that begin
    with ``#`` are skipped, and so is a first row ``source,target`` (or another of `HEADERS`, in any case).
    Agents stand in the order in which the file first names them. A node without an edge cannot be told; use
    GraphML for these.

    GraphML (``.graphml``) is read by networkx, the first graph of a file; agents stand in the order of the
    file's nodes, and node attributes are kept (None where a node lacks one that has no default).

    Only if nodes are named exactly 0..n-1 is each the agent of its number, whatever the order.

    Args:
        path: The file, in UTF-8.

    Raises:
        InputError: The file cannot be read, is in no such format, is directed, or has a loop or a double
            edge.
    """
    path = Path(path)
    if path.suffix.lower() in EDGE_LIST_SUFFIXES:
        return _read_edge_list(path)
    if path.suffix.lower() == GRAPHML_SUFFIX:
        return _read_graphml(path)
    raise InputError(
        f"the suffix {path.suffix!r} tells no network format{near_miss(path.suffix, _suffixes())}", path=path
    )


def read_node_table(path: Path | str, network: Network) -> Network:
    """Give the agents of `network` the attributes in a table.

    The table is a CSV file (``.tsv``: parted by tabs) with a header and a row for each agent, in any order.
    The column ``node`` or ``agent``, else the first, holds the agents' labels (0..n_agents-1 if the network
    has none); every other column becomes a node attribute, its values text as written.

    Returns:
        The same network with these attributes beside those it has.

    Raises:
        InputError: The file cannot be read; a row has too many or too few fields; a node is unknown, missing
            or there twice; a column is there twice or is an attribute already.
    """
    path = Path(path)
    lines = _table_lines(path)
    header = _header(path, lines, network)
    key = _key_column(path, header)
    names = network.labels or tuple(str(agent) for agent in range(network.n_agents))
    values = _values_by_agent(path, lines, header, key, names)
    columns = {
        name: tuple(row[column] for row in values) for column, name in enumerate(header) if column != key
    }
    attributes = {**network.node_attributes, **columns}
    return trusted(network.indptr, network.indices, network.name, network.labels, attributes)


def _suffixes() -> tuple[str, ...]:
    return (*EDGE_LIST_SUFFIXES, GRAPHML_SUFFIX)


@dataclass(slots=True)
class _EdgeList:
    """The edges of a file while it is read: two agents and the row of each."""

    path: Path
    names: dict[str, int] = field(default_factory=dict)
    u: array[int] = field(default_factory=lambda: array("q"))
    v: array[int] = field(default_factory=lambda: array("q"))
    row: array[int] = field(default_factory=lambda: array("q"))

    def add(self, row: int, fields: Sequence[str]) -> None:
        if len(fields) < 2 or not fields[0] or not fields[1]:
            raise InputError(
                f"an edge needs two node names, and here is {','.join(fields)!r}; part them by a comma "
                f"(.csv), a tab (.tsv) or, in .txt and .edges, by blanks",
                path=self.path,
                row=row,
            )
        self.u.append(self.names.setdefault(fields[0], len(self.names)))
        self.v.append(self.names.setdefault(fields[1], len(self.names)))
        self.row.append(row)

    def network(self) -> Network:
        if not self.row:
            raise InputError("there are no edges in it", path=self.path)
        u, v = np.array(self.u), np.array(self.v)
        self._refuse_loops(u, v)
        self._refuse_doubles(u, v)
        order, labels = number_names(list(self.names))
        agent_of = np.argsort(np.array(order))
        arcs = sorted_arcs(agent_of[u], agent_of[v], len(order))
        return trusted(*rows(arcs, len(order)), self.path.name, labels)

    def _refuse_loops(self, u: NDArray[np.int64], v: NDArray[np.int64]) -> None:
        loops = np.flatnonzero(u == v)
        if loops.size:
            name = list(self.names)[u[loops[0]]]
            raise InputError(
                f"node {name!r} is its own neighbour; drop the row", path=self.path, row=self.row[loops[0]]
            )

    def _refuse_doubles(self, u: NDArray[np.int64], v: NDArray[np.int64]) -> None:
        edges = pack_edges(u, v, len(self.names))
        order = np.argsort(edges, kind="stable")
        again = np.flatnonzero(edges[order][1:] == edges[order][:-1])
        if again.size:
            place = int(again[np.argmin(order[again + 1])])
            first, second = order[place], order[place + 1]
            names = list(self.names)
            raise InputError(
                f"the edge {names[u[second]]!r}, {names[v[second]]!r} stands in row {self.row[first]} "
                f"already; direction does not count: keep one of them",
                path=self.path,
                row=self.row[second],
            )

    def refuse_hidden_header(self) -> None:
        """Refuse a first edge of two words before nothing but numbers.

        Read as an edge, an unknown header would add two agents whom nobody would ever miss.
        """
        u, v = np.array(self.u), np.array(self.v)
        names = list(self.names)
        first, others = names[:2], names[2:]
        alone = len(u) > 1 and not ((u[1:] < 2) | (v[1:] < 2)).any()
        if alone and not any(map(_is_number, first)) and all(map(_is_number, others)):
            raise InputError(
                f"{first[0]!r}, {first[1]!r} looks like a header, all other names being numbers; call the "
                f"columns source and target, or put # before the row",
                path=self.path,
                row=self.row[0],
            )


def _read_edge_list(path: Path) -> Network:
    edges = _EdgeList(path)
    split: Split | None = None
    header: tuple[str, str] | None = None
    for row, line in _lines(path):
        if split is None:
            split = _splitter(path, line)
            names = _fields(path, row, line, split)[:2]
            if _is_header(names):
                header = (names[0], names[1])
                continue
        edges.add(row, _fields(path, row, line, split))
    if header is None:
        edges.refuse_hidden_header()
    else:
        _refuse_ambiguous_header(edges, header)
    return edges.network()


def _is_header(names: Sequence[str]) -> bool:
    return tuple(name.lower() for name in names) in HEADERS


def _refuse_ambiguous_header(edges: _EdgeList, header: tuple[str, str]) -> None:
    clash = next((name for name in header if name in edges.names), None)
    if clash is not None:
        raise InputError(
            f"the first row looks like a header, but {clash!r} is a node further down; put a row "
            f"source,target above it if it is an edge",
            path=edges.path,
        )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give the rows that hold something, numbered from 1."""
    for row, line in enumerate(_text(path).split("\n"), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield row, line


def _text(path: Path) -> str:
    try:
        # utf-8-sig: spreadsheets put a byte-order mark before the first name.
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"it is not in UTF-8 ({error.reason}); save it as UTF-8", path=path) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"it cannot be read: {error.strerror or error}", path=path)


def _splitter(path: Path, line: str) -> Split:
    suffix = path.suffix.lower()
    if suffix == ".csv" or (suffix != ".tsv" and "," in line):
        return _parted_by(",")
    if suffix == ".tsv" or "\t" in line:
        return _parted_by("\t")
    return str.split


def _parted_by(delimiter: str) -> Split:
    def split(line: str) -> list[str]:
        quoted = '"' in line
        fields = (
            next(csv.reader([line], delimiter=delimiter, strict=True)) if quoted else line.split(delimiter)
        )
        return [field.strip() for field in fields]

    return split


def _fields(path: Path, row: int, line: str, split: Split) -> list[str]:
    try:
        return split(line)
    except csv.Error as error:
        raise InputError(
            f"its quotes are not closed or not at the ends of a field ({error})", path=path, row=row
        ) from error


def _is_number(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _read_graphml(path: Path) -> Network:
    graph = _parse_graphml(path)
    if graph.is_directed():
        raise InputError(
            'the graph is directed (edgedefault="directed"); if direction may be dropped, save it undirected',
            path=path,
        )
    # networkx reads the defaults of attributes, but does not give them to the nodes that lack a value.
    for attributes in graph.nodes.values():
        attributes.update({**graph.graph.get("node_default", {}), **attributes})
    try:
        return Network.from_networkx(graph, name=path.name)
    except DesignError as error:
        raise InputError(str(error), path=path) from error


def _parse_graphml(path: Path) -> nx.Graph[Any]:
    import networkx as nx

    declared = _declared_nodes(path)
    try:
        graph = nx.read_graphml(path)
    except (nx.NetworkXException, LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"it is no GraphML that networkx reads: {error!r}", path=path) from error
    stranger = next((node for node in graph if node not in declared), None)
    if stranger is not None:
        raise InputError(f"an edge names node {stranger!r}, which the file does not declare", path=path)
    return graph


def _declared_nodes(path: Path) -> set[str]:
    # networkx makes up nodes that only edges name, and runs nodes of one name together.
    from xml.etree import ElementTree as ET

    try:
        tree = ET.parse(path)  # noqa: S314  the user's own file, and networkx parses it so too
    except OSError as error:
        raise _unreadable(path, error) from error
    except ET.ParseError as error:
        raise InputError(f"it is no XML: {error}", path=path, row=error.position[0]) from error
    except (LookupError, ValueError) as error:
        raise InputError(f"it is in an encoding that XML does not allow: {error}", path=path) from error
    nodes = [element.get("id") for element in tree.iter() if element.tag.rpartition("}")[2] == "node"]
    declared: set[str] = set()
    for node in nodes:
        if node is None or node in declared:
            raise InputError(f"node {node!r} is declared twice" if node else "a node has no id", path=path)
        declared.add(node)
    return declared


def _table_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    split = _parted_by("\t" if path.suffix.lower() == ".tsv" else ",")
    for row, line in _lines(path):
        yield row, _fields(path, row, line, split)


def _header(path: Path, lines: Iterator[tuple[int, list[str]]], network: Network) -> list[str]:
    row, header = next(lines, (0, []))
    if not header:
        raise InputError("it is empty: a node table needs a header and a row for each agent", path=path)
    for column, name in enumerate(header):
        if not name or name in header[:column]:
            raise InputError("each column needs a name of its own", path=path, row=row, field=name)
        if name in network.node_attributes:
            raise InputError(
                f"network {network.name!r} has this attribute already; rename the column",
                path=path,
                row=row,
                field=name,
            )
    return header


def _key_column(path: Path, header: Sequence[str]) -> int:
    keys = [column for column, name in enumerate(header) if name.lower() in NODE_COLUMNS]
    if len(keys) > 1:
        raise InputError(
            f"columns {' and '.join(header[key] for key in keys)} may both name the agents; rename one",
            path=path,
        )
    return keys[0] if keys else 0


def _values_by_agent(
    path: Path,
    lines: Iterator[tuple[int, list[str]]],
    header: Sequence[str],
    key: int,
    names: Sequence[str],
) -> list[list[str]]:
    found: dict[str, tuple[int, list[str]]] = {}
    known = set(names)
    for row, fields in lines:
        if len(fields) != len(header):
            raise InputError(f"{len(fields)} fields under a header of {len(header)}", path=path, row=row)
        name = fields[key]
        if name not in known:
            raise InputError(
                f"the network has no node {name!r}{near_miss(name, names) if len(names) <= 20 else ''}",
                path=path,
                row=row,
                field=header[key],
            )
        if name in found:
            raise InputError(
                f"node {name!r} stands in row {found[name][0]} already", path=path, row=row, field=header[key]
            )
        found[name] = (row, fields)
    _refuse_missing(path, [name for name in names if name not in found], header[key])
    return [found[name][1] for name in names]


def _refuse_missing(path: Path, missing: Sequence[str], column: str) -> None:
    if missing:
        some = ", ".join(map(repr, missing[:5])) + (", .." if len(missing) > 5 else "")
        raise InputError(
            f"{len(missing)} nodes of the network have no row: {some}; add them", path=path, field=column
        )
