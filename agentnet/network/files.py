"""Networks in files: the front door, which chooses the reader by the suffix.

Every complaint names the file and, where the format has rows, the row. What was done to make a network of a
file is in its notes.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from agentnet.delimited import open_bytes, text_lines
from agentnet.errors import InputError, near_miss
from agentnet.network import edge_lists
from agentnet.network.formats import MATRICES, TABLE, matrix_market, read_graph
from agentnet.network.graph import Network
from agentnet.network.node_tables import read_node_table
from agentnet.network.simple import Edges

SUFFIXES = (*edge_lists.SUFFIXES, *TABLE, *MATRICES)
"""Suffixes of files that hold networks; each may be followed by ``.gz``."""

_MATRIX_MARKET = "%%matrixmarket"


def read_network(path: Path | str, *, simplify: bool = False, encoding: str | None = None) -> Network:
    """Read a network from a file, by the format that its suffix tells (``.gz`` may follow it).

    An edge list (``.csv``, ``.tsv``, ``.tab``, ``.txt``, ``.edges``, ``.edgelist``) has an edge in each row:
    two node names, and maybe further columns, which are not read. A first row that says so (source and
    target, from and to, follower and followee, FromNodeId and ToNodeId, node_1 and node_2, ..) is its header,
    and names the columns of both ends wherever they stand; direction is dropped, and said. Columns are parted
    by what parts the first rows: tabs, bars, commas, semicolons, else blanks (never in ``.csv``). Rows that
    begin with ``#`` or ``%`` and a blank are remarks; ``#MeToo`` is a name. Agents stand in the order in
    which the file first names them. A node without an edge cannot be told; use another format for these.

    GraphML (``.graphml``), GEXF (``.gexf``), GML (``.gml``), Pajek (``.net``, ``.paj``) and node-link JSON
    (``.json``) are read by networkx, adjacency matrices (``.npz`` of scipy.sparse, ``.mtx``, and whatever
    begins with ``%%MatrixMarket``) by SciPy. Agents stand in the order of the file's nodes, and node
    attributes are kept (None where a node lacks one that has no default).

    Only if nodes are named exactly 0..n-1 is each the agent of its number, whatever the order.

    Args:
        path: The file.
        simplify: Whether loops, repeats and direction are dropped, and counted in the network's notes,
            instead of refused.
        encoding: How a text is written; by default UTF-8, or what its byte-order mark says.

    Raises:
        InputError: The file cannot be read, is in no such format, or holds a row that is no edge; without
            `simplify` also that it is directed, or has a loop or a repeated edge.
        ConfigurationError: `encoding` is unknown.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix in edge_lists.SUFFIXES:
        return _read_rows(path, encoding).network(simplify=simplify)
    with open_bytes(path) as file:
        content = file.read()
    if suffix in MATRICES:
        return MATRICES[suffix](path, content).network(simplify=simplify)
    return read_graph(path, content, TABLE[suffix], simplify=simplify)


def _suffix(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    suffix = name.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"the suffix {suffix!r} tells no network format{near_miss(suffix, SUFFIXES)}", path=path
        )
    return suffix


def _read_rows(path: Path, encoding: str | None) -> Edges:
    with open_bytes(path) as file:
        lines = text_lines(path, file, encoding)
        first = next(lines, "")
        if first.lower().startswith(_MATRIX_MARKET):
            return matrix_market(path, "".join(chain([first], lines)).encode())
        return edge_lists.read_edge_list(path, chain([first], lines))


__all__ = ["SUFFIXES", "read_network", "read_node_table"]
