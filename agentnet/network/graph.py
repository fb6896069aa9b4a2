"""`Network`: who hears whom, as compressed sparse rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import DesignError, InputError
from agentnet.network.checks import agent_count
from agentnet.network.csr import Agents, Indptr, repeated, rows, sorted_arcs
from agentnet.network.refusals import (
    check_arcs,
    check_graph,
    check_rows,
    ends,
    integers,
    refuse_doubles,
    refuse_loops,
)

if TYPE_CHECKING:
    import networkx as nx

Attributes = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Network:
    """An undirected network without loops or double edges. Frozen, its arrays read-only.

    Two networks are equal, and hash alike, if they join the same agents: labels, attributes and name do not
    count. `from_edges`, `from_networkx` and `agentnet.network.read_network` are the usual ways to make one.

    Args:
        indptr: Where the row of each agent begins in `indices`, shape ``(n_agents + 1,)``; kept as int64.
        indices: The neighbours of agent 0, of agent 1, and so on, shape ``(2 * n_edges,)``; kept as int32.
            Each row ascends.
        name: The generator's or the file's name.
        labels: The user's name of each agent; None if agents are named 0..n_agents-1.
        node_attributes: From an attribute's name to its value for each agent (None where it has none).
        notes: What was done to make it of a file, one sentence each; empty for others.

    Raises:
        DesignError: The arrays are no such network, or labels or attributes do not fit it.

    Examples:
        >>> path = Network.from_edges([(0, 1), (1, 2)], 3)
        >>> path
        Network('edges', n_agents=3, n_edges=2)
        >>> path.neighbours(1)
        array([0, 2], dtype=int32)
    """

    indptr: Indptr
    indices: Agents
    name: str = "network"
    labels: tuple[str, ...] | None = None
    node_attributes: Attributes = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        indptr = integers("indptr", self.indptr)
        indices = integers("indices", self.indices)
        check_rows(indptr, indices)
        check_arcs(indptr, indices)
        _set_fields(
            self, indptr, indices.astype(np.int32), self.name, self.labels, self.node_attributes, self.notes
        )

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return len(self.indptr) - 1

    @property
    def n_edges(self) -> int:
        """Number of edges, each counted once."""
        return len(self.indices) // 2

    @property
    def degree(self) -> NDArray[np.int64]:
        """Number of neighbours of each agent, shape ``(n_agents,)``."""
        return np.diff(self.indptr)

    @property
    def is_regular(self) -> bool:
        """Whether all agents have the same number of neighbours."""
        degree = self.degree
        return bool((degree == degree[0]).all())

    @property
    def table(self) -> Agents:
        """The neighbours of each agent, shape ``(n_agents, degree)``, a view of `indices`.

        Raises:
            DesignError: Not all agents have the same number of neighbours.
        """
        degree = self.degree
        if not (degree == degree[0]).all():
            raise DesignError(
                f"network {self.name!r} has no neighbour table: degrees go from {degree.min()} to "
                f"{degree.max()}; use `neighbours(agent)`, or `indptr` and `indices`"
            )
        return self.indices.reshape(self.n_agents, int(degree[0]))

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of `indptr` as little-endian int64 followed by `indices` as int32."""
        content = hashlib.sha256(np.ascontiguousarray(self.indptr, dtype="<i8").data)
        content.update(np.ascontiguousarray(self.indices, dtype="<i4").data)
        return content.hexdigest()

    def neighbours(self, agent: int) -> Agents:
        """List the neighbours of `agent`, ascending, shape ``(degree of the agent,)``; a view of `indices`.

        Raises:
            DesignError: There is no such agent.
        """
        if not 0 <= agent < self.n_agents:
            raise DesignError(f"there is no agent {agent}: agents are 0 to {self.n_agents - 1}")
        return self.indices[self.indptr[agent] : self.indptr[agent + 1]]

    def edges(self) -> Agents:
        """List each edge once.

        Returns:
            Pairs (u, v) with u < v, sorted, shape ``(n_edges, 2)``.
        """
        source = np.repeat(np.arange(self.n_agents, dtype=np.int32), self.degree)
        once = source < self.indices
        return np.column_stack((source[once], self.indices[once]))

    def to_bytes(self) -> bytes:
        """Give `edges` as little-endian int32, row after row: 8 bytes per edge.

        R reads them by ``matrix(readBin(blob, "integer", length(blob) / 4, 4, endian = "little"),
        ncol = 2, byrow = TRUE)``.
        """
        return self.edges().astype("<i4").tobytes()

    @classmethod
    def from_bytes(cls, blob: bytes, n_agents: int, *, name: str = "network") -> Network:
        """Make the network that `to_bytes` wrote; equal to it, without its labels and attributes.

        Raises:
            InputError: `blob` is no such list of edges.
        """
        if len(blob) % 8:
            raise InputError(
                f"{len(blob)} bytes are no edges: an edge takes 8; the blob is cut off or damaged"
            )
        edges = np.frombuffer(blob, dtype="<i4").reshape(-1, 2)
        try:
            return cls.from_edges(edges, n_agents, name=name)
        except DesignError as error:
            raise InputError(f"the blob is no network of {n_agents} agents: {error}") from error

    @classmethod
    def from_edges(
        cls,
        edges: ArrayLike,
        n_agents: int,
        *,
        name: str = "edges",
        labels: Iterable[str] | None = None,
        node_attributes: Mapping[str, Iterable[Any]] = MappingProxyType({}),
    ) -> Network:
        """Make a network from its edges, in any order and direction. Sorts 2 * n_edges integers.

        Args:
            edges: Pairs of agents, shape ``(n_edges, 2)``, integers of [0, n_agents).
            n_agents: Number of agents, in [1, 2^31); agents without an edge are allowed.
            name: What to call the network.
            labels: The user's name of each agent, if not 0..n_agents-1.
            node_attributes: From an attribute's name to its value for each agent.

        Raises:
            DesignError: A loop, a double edge, or an agent that is not there; names the edge.
        """
        n_agents = agent_count(n_agents)
        u, v = ends(edges, n_agents)
        arcs = sorted_arcs(u, v, n_agents)
        refuse_loops(u, v)
        refuse_doubles(u, v, n_agents, repeated(arcs))
        return trusted(*rows(arcs, n_agents), name, labels, node_attributes)

    @classmethod
    def from_networkx(cls, graph: nx.Graph[Any], *, name: str | None = None) -> Network:
        """Make a network from an undirected networkx graph.

        Agents stand in the order of ``graph.nodes``. Only if the nodes are named exactly 0..n-1 (as numbers
        or as text) is each the agent of its number, and `labels` None. Node attributes are kept, with None
        for a node that lacks one; edge attributes are not.

        Args:
            graph: An undirected graph. Build it from lists: the order of nodes that came out of a set of
                strings changes from one Python process to the next.
            name: What to call the network; by default the graph's own name, else ``"networkx"``.

        Raises:
            DesignError: No networkx graph, directed, no nodes, a loop, parallel edges, or two nodes whose
                names are the same text.
        """
        check_graph(graph)
        nodes = list(graph.nodes)
        order, labels = number_names([str(node) for node in nodes])
        agent_of = {nodes[position]: agent for agent, position in enumerate(order)}
        edges = [(agent_of[u], agent_of[v]) for u, v in graph.edges()]
        data = [graph.nodes[nodes[position]] for position in order]
        return cls.from_edges(
            np.array(edges, dtype=np.int64).reshape(-1, 2),
            len(nodes),
            name=name or graph.name or "networkx",
            labels=labels,
            node_attributes=_columns(data),
        )

    def to_networkx(self) -> nx.Graph[Any]:
        """Make a networkx graph; its nodes, in agents' order, are the labels, or 0..n_agents-1 without them.

        Values None of attributes are left out, since files such as GraphML cannot hold them.
        """
        import networkx as nx

        graph: nx.Graph[Any] = nx.Graph(name=self.name)
        names = self.labels or range(self.n_agents)
        graph.add_nodes_from(names)
        graph.add_edges_from((names[u], names[v]) for u, v in self.edges().tolist())
        for attribute, values in self.node_attributes.items():
            for node, value in zip(names, values, strict=True):
                if value is not None:
                    graph.nodes[node][attribute] = value
        return graph

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        same_rows = np.array_equal(self.indptr, other.indptr)
        return same_rows and np.array_equal(self.indices, other.indices)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Network({self.name!r}, n_agents={self.n_agents}, n_edges={self.n_edges})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickling by fields would give back writable arrays, and fail at the read-only mapping.
        attributes = dict(self.node_attributes)
        return trusted, (self.indptr, self.indices, self.name, self.labels, attributes, self.notes)


def trusted(
    indptr: Indptr,
    indices: Agents,
    name: str,
    labels: Iterable[str] | None = None,
    node_attributes: Mapping[str, Iterable[Any]] = MappingProxyType({}),
    notes: Iterable[str] = (),
) -> Network:
    """Make a network of arrays that are right by construction, which it takes over and makes read-only.

    For the generators and readers of this room: checking the arrays would take as long as making them.

    Raises:
        DesignError: Labels or attributes do not fit the network.
    """
    network = object.__new__(Network)
    _set_fields(network, indptr, indices, name, labels, node_attributes, notes)
    return network


def number_names(names: Sequence[str]) -> tuple[Sequence[int], tuple[str, ...] | None]:
    """Decide which node is which agent.

    Args:
        names: The nodes' names, in an order that does not depend on hashes.

    Returns:
        The position in `names` of each agent, and the agents' labels. Names that are exactly 0..n-1 number
        the agents themselves (labels None); else agents stand as given.

    Raises:
        DesignError: Two nodes have the same name.
    """
    position = {name: place for place, name in enumerate(names)}
    if len(position) < len(names):
        double = next(name for place, name in enumerate(names) if position[name] != place)
        raise DesignError(f"two nodes are both named {double!r} as text; rename one of them")
    numbers = [str(agent) for agent in range(len(names))]
    if all(number in position for number in numbers):
        return [position[number] for number in numbers], None
    return range(len(names)), tuple(names)


def _set_fields(
    network: Network,
    indptr: Indptr,
    indices: Agents,
    name: str,
    labels: Iterable[str] | None,
    node_attributes: Mapping[str, Iterable[Any]],
    notes: Iterable[str],
) -> None:
    indptr.setflags(write=False)
    indices.setflags(write=False)
    values = {
        "indptr": indptr,
        "indices": indices,
        "name": name,
        "labels": None if labels is None else _checked_labels(tuple(labels), len(indptr) - 1),
        "node_attributes": _checked_attributes(node_attributes, len(indptr) - 1),
        "notes": tuple(notes),
    }
    for key, value in values.items():
        object.__setattr__(network, key, value)


def _checked_labels(labels: tuple[str, ...], n_agents: int) -> tuple[str, ...]:
    odd = next((label for label in labels if not isinstance(label, str)), None)
    if odd is not None:
        raise DesignError(f"labels must be text, not {odd!r}; use str()")
    different = len(set(labels))
    if len(labels) != n_agents or different != n_agents:
        raise DesignError(
            f"{n_agents} agents need as many different labels; here are {len(labels)}, {different} different"
        )
    return labels


def _checked_attributes(attributes: Mapping[str, Iterable[Any]], n_agents: int) -> Attributes:
    columns = {key: tuple(values) for key, values in attributes.items()}
    for key, values in columns.items():
        if not isinstance(key, str):
            raise DesignError(f"node attributes must be named by text, not {key!r}; rename it")
        if len(values) != n_agents:
            raise DesignError(f"node attribute {key!r} has {len(values)} values for {n_agents} agents")
    return MappingProxyType(columns)


def _columns(data: Sequence[Mapping[Any, Any]]) -> dict[str, tuple[Any, ...]]:
    # A dict, not a set: the order of attributes is that of first appearance, whatever the hash seed.
    names = dict.fromkeys(name for node in data for name in node)
    return {name: tuple(node.get(name) for node in data) for name in names}
