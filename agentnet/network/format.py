"""Networks in files: formats by name and suffix, and the front door, `read_network`.

A format is a function from an opened file to a network, which its definition takes in. `Edges` does for it
what all formats share: names, loops, repeats, direction. One in an experiment file, which says what is wrong
and in which row::

    @network_format(".pairs")
    def pairs(file: Opened) -> Network:
        rows = [(row, *line.split("--")) for row, line in enumerate(file.lines(), 1)]
        return file.network(edges_of(file.path, rows))

Every complaint names the file and, where the format has rows, the row. What was done to make a network of a
file is in its notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from agentnet.delimited import open_bytes, text_lines
from agentnet.errors import ConfigurationError, DesignError, InputError, PluginError, near_miss
from agentnet.network.edge_values import LAYER
from agentnet.network.graph import Network, trusted
from agentnet.network.simple import HEARD, SIMPLIFY, Edges, counted
from agentnet.plugins import PluginKind, is_of

if TYPE_CHECKING:
    import networkx as nx


@dataclass(slots=True)
class Opened:
    """A file that is being read.

    Attributes:
        path: The file, for messages; its suffix may tell dialects apart.
        file: Its bytes, unpacked, to be read once.
        simplify: Whether direction, loops and repeats are dropped, and said, instead of refused.
        encoding: How a text is written, if somebody said so.
        heard: Which end of an edge the other hears, if the network is to be directed.
        edge_attributes: Attributes of edges that are wanted.
    """

    path: Path
    file: BinaryIO
    simplify: bool
    encoding: str | None = None
    heard: str | None = None
    edge_attributes: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Give its lines as text, with their ends.

        Raises:
            InputError: It is no text of that encoding.
        """
        return text_lines(self.path, self.file, self.encoding)

    def text(self) -> str:
        """Give all of it as text; raises as `lines` does."""
        return "".join(self.lines())

    def error(self, message: str, row: int | None = None) -> InputError:
        """Make the error that says what is wrong with it, and in which row."""
        return InputError(message, path=self.path, row=row)

    def network(self, edges: Edges) -> Network:
        """Make the network of the edges in it.

        Raises:
            InputError: There is a loop, a repeat or a direction, and none is to be dropped; or its edges lack
                an attribute that is wanted.
        """
        lacking = [name for name in self.edge_attributes if name not in edges.texts]
        if lacking:
            known = near_miss(lacking[0], edges.texts) if edges.texts else "; they have no attributes"
            raise self.error(f"its edges have no {lacking[0]!r}{known}")
        return edges.network(simplify=self.simplify, heard=self.heard)

    def network_of(self, graph: nx.Graph[Any], notes: Sequence[str] = ()) -> Network:
        """Make the network of a networkx graph.

        Args:
            graph: What a parser made of the file.
            notes: What the reader of the network should know, one sentence each.

        Raises:
            InputError: It is no simple network, or directed without `heard`; or an edge lacks an attribute.
        """
        dropped: list[str] = []
        if self.simplify:
            graph, dropped = _simplified(graph, self.heard is not None, LAYER in self.edge_attributes)
        elif graph.is_directed() and self.heard is None:
            raise self.error(
                f'the graph is directed (edgedefault="directed" and the like); if direction may be dropped, '
                f"save it undirected, {SIMPLIFY}; or keep it, and {HEARD}"
            )
        if self.heard is not None:
            dropped.append(f"directed: the {self.heard} of an edge is heard by the other end")
        try:
            made = Network.from_networkx(
                graph, name=self.path.name, heard=self.heard, edge_attributes=self.edge_attributes
            )
        except DesignError as error:
            raise self.error(f"{error}; {SIMPLIFY}") from error
        # GEXF numbers edges; only what else an edge says is left out.
        unread = {name for *_, data in graph.edges(data=True) for name in data} - {
            "id",
            *self.edge_attributes,
        }
        if unread:
            dropped.append(f"attributes of edges not read: {', '.join(sorted(map(str, unread)))}")
        dress = (made.name, made.labels, made.node_attributes, [*notes, *dropped])
        return trusted(made.indptr, made.indices, *dress, made.is_directed, made.edge_attributes)

    @contextmanager
    def parsed_as(self, what: str) -> Iterator[None]:
        """Turn whatever a library's parser raises on a hostile or broken file into an `InputError`."""
        try:
            yield
        except (InputError, MemoryError):
            raise
        except Exception as error:
            raise self.error(f"it is no {what}: {error!r}"[:600]) from error


Read = Callable[[Opened], Network]


@dataclass(frozen=True, slots=True)
class Format:
    """A format of network files.

    Attributes:
        read: Reads one; raises `InputError`.
        suffixes: Suffixes that tell it, in lower case; ``.gz`` may follow each.
    """

    read: Read
    suffixes: tuple[str, ...]


NETWORK_FORMATS: Final[PluginKind[Format]] = PluginKind(
    "network format",
    "agentnet.network_formats",
    "agentnet.network.format.Format",
    parts=("read", "suffixes"),
    takes={"read": 1},
    bundled="agentnet.network.formats",
    unknown=ConfigurationError,
)
"""Every format by its name."""


def network_format(*suffixes: str) -> Callable[[Read], Read]:
    """Take a function in as the format of its name, told by `suffixes`; without any it has to be named."""
    wrong = [each for each in suffixes if not is_of(str, each) or not each.startswith(".")]
    if wrong:
        raise PluginError(
            f"a network format is told by the suffix {wrong[0]!r}; suffixes are texts like '.pairs'"
        )

    def take_in(read: Read) -> Read:
        made = Format(read, tuple(map(str.lower, suffixes)))
        return NETWORK_FORMATS.named(read.__name__, lambda _: made)(read)

    return take_in


def read_network(
    path: Path | str,
    *,
    simplify: bool = False,
    encoding: str | None = None,
    kind: str | None = None,
    heard: str | None = None,
    edge_attributes: Sequence[str] = (),
) -> Network:
    """Read a network from a file, by the format that it is said to have or that its suffix tells.

    An edge list (``.csv``, ``.tsv``, ``.tab``, ``.txt``, ``.edges``, ``.edgelist``) has an edge in each row:
    two node names, and maybe further columns. A first row that says so (source and
    target, from and to, follower and followee, FromNodeId and ToNodeId, node_1 and node_2, ..) is its header,
    and names the columns of both ends wherever they stand; direction is dropped, and said, unless you say who
    is `heard`. Columns are parted
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
        kind: The name of its format (`NETWORK_FORMATS`), instead of what the suffix tells (``.gz`` may
            follow it).
        heard: Makes the network directed: which end of each edge the other hears, ``source`` (of a list
            without a header, the first), ``target``, or what a list's header calls it (``followee``).
        edge_attributes: Attributes of edges to keep: columns of an edge list (without a header the third, the
            fourth and so on are given these names), attributes of a graph's edges; ``weight`` is also the
            entries of a matrix. Numbers where all values are numbers, else texts. A ``weight`` that is no
            number is refused; edges between the same agents that differ in ``layer`` are no repeats.

    Raises:
        InputError: The file cannot be read, is in no such format, or holds a row that is no edge; there is no
            such attribute, or a weight is no number; without `simplify` also that it has a loop or a repeated
            edge, or, without `heard`, is directed.
        ConfigurationError: `encoding` or `kind` is unknown.
    """
    path = Path(path)
    wanted = (edge_attributes,) if isinstance(edge_attributes, str) else tuple(edge_attributes)
    read = (_of_suffix(path) if kind is None else NETWORK_FORMATS.load(kind)).read
    with open_bytes(path) as file:
        network = read(Opened(path, file, simplify, encoding, heard, wanted))
    if not isinstance(network, Network):
        raise PluginError(
            f"the format that reads {path} gives {network!r:.60}; it gives a Network, such as "
            "file.network(edges_of(file.path, rows))"
        )
    return network


def _of_suffix(path: Path) -> Format:
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    suffix = name.suffix.lower()
    formats = NETWORK_FORMATS.loaded()
    found = [name for name, each in formats.items() if suffix in each.suffixes]
    if not found:
        known = [suffix for each in formats.values() for suffix in each.suffixes]
        raise InputError(
            f"the suffix {suffix!r} tells no network format{near_miss(suffix, known)}", path=path
        )
    if len(found) > 1:
        raise InputError(
            f"the suffix {suffix!r} is that of {' and of '.join(found)}; say which it is "
            f"(network_options.kind)",
            path=path,
        )
    return formats[found[0]]


def _simplified(
    graph: nx.Graph[Any], keeps_direction: bool, keeps_layers: bool
) -> tuple[nx.Graph[Any], list[str]]:
    import networkx as nx

    n_edges, n_loops = graph.number_of_edges(), nx.number_of_selfloops(graph)
    simple: nx.Graph[Any] = nx.DiGraph() if keeps_direction and graph.is_directed() else nx.Graph()
    if keeps_layers:
        simple = nx.MultiDiGraph() if simple.is_directed() else nx.MultiGraph()
    simple.graph.update(graph.graph)
    simple.add_nodes_from(graph.nodes(data=True))
    known = set()
    for u, v, data in graph.edges(data=True):
        layer = str(data.get(LAYER)) if keeps_layers else ""
        ends = (u, v) if simple.is_directed() else frozenset((u, v))
        if u != v and (ends, layer) not in known:
            known.add((ends, layer))
            simple.add_edge(u, v, **data)
    n_repeats = n_edges - n_loops - simple.number_of_edges()
    is_dropped = graph.is_directed() and not simple.is_directed()
    notes = ["simplified: dropped the direction of its edges"] if is_dropped else []
    if n_loops or n_repeats:
        notes.append(f"simplified: dropped {counted(n_loops, 'loop')} and {counted(n_repeats, 'repeat')}")
    return simple, notes
