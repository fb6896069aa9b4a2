"""`Network`: who hears whom, as compressed sparse rows.

A long file for one class: the doors into it, what it says of its agents, and how it changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import DesignError, InputError, near_miss
from agentnet.network.checks import agent_count, whole
from agentnet.network.csr import Agents, Indptr, Keys, arcs_with, is_repeated, pack, rows
from agentnet.network.edge_values import LAYER, Columns, broadcast, edge_columns, packed, tail, unpacked
from agentnet.network.labels import Attributes, checked_attributes, checked_labels, node_columns, number_names
from agentnet.network.refusals import (
    ENDS,
    agents_of,
    check_arcs,
    check_graph,
    check_rows,
    data_of_edges,
    ends,
    integers,
    numbers,
    refuse_doubles,
    refuse_loops,
    refuse_other_columns,
    refuse_unlike,
)

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Network:
    """A network without loops or double edges, directed or not. Frozen, its arrays read-only.

    The row of an agent lists whom it hears. Two edges may join the same agents in the same direction if their
    attribute ``layer`` differs. Two networks are equal, and hash alike, if they join the same agents by the
    same edges, attributes of edges included: labels, agents' attributes and name do not count. `from_edges`,
    `from_networkx` and `agentnet.network.read_network` are the usual ways to make one.

    Args:
        indptr: Where the row of each agent begins in `indices`, shape ``(n_agents + 1,)``; kept as int64.
        indices: Whom agent 0 hears, whom agent 1, and so on; kept as int32. Each row ascends. Shape
            ``(n_slots,)``: ``2 * n_edges``, or ``n_edges`` if directed.
        name: The generator's or the file's name.
        labels: The user's name of each agent; None if agents are named 0..n_agents-1.
        node_attributes: From an attribute's name to its value for each agent (None where it has none).
        notes: What was done to make it of a file, one sentence each; empty for others.
        is_directed: Whether hearing is one-way; else whoever hears an agent is heard by it.
        edge_attributes: From an attribute's name to its value for each slot of `indices`.

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
    is_directed: bool = False
    edge_attributes: Columns = field(default_factory=dict)

    def __post_init__(self) -> None:
        indptr = integers("indptr", self.indptr)
        indices = integers("indices", self.indices)
        check_rows(indptr, indices)
        columns = edge_columns(self.edge_attributes, len(indices))
        check_arcs(indptr, indices, columns, is_directed=self.is_directed)
        _set_fields(
            self,
            indptr,
            indices.astype(np.int32),
            self.name,
            self.labels,
            self.node_attributes,
            self.notes,
            self.is_directed,
            columns,
        )

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return len(self.indptr) - 1

    @property
    def n_edges(self) -> int:
        """Number of edges, each counted once."""
        return len(self.indices) // (1 if self.is_directed else 2)

    @property
    def degree(self) -> NDArray[np.int64]:
        """Number of agents that each hears, shape ``(n_agents,)``; with layers, in each of them."""
        return np.diff(self.indptr)

    @property
    def n_hearers(self) -> NDArray[np.int64]:
        """Number of agents that hear each, shape ``(n_agents,)``; with layers, in each of them."""
        return np.bincount(self.indices, minlength=self.n_agents).astype(np.int64)

    @property
    def listener(self) -> Agents:
        """Who hears in each slot of `indices`, ascending, shape ``(n_slots,)``; made anew at each call."""
        return np.repeat(np.arange(self.n_agents, dtype=np.int32), self.degree)

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
        """SHA-256, in hexadecimal, of `indptr` as little-endian int64 followed by `indices` as int32.

        Of a network that is directed or has attributes of edges, what `to_bytes` writes of that follows.
        """
        content = hashlib.sha256(np.ascontiguousarray(self.indptr, dtype="<i8").data)
        content.update(np.ascontiguousarray(self.indices, dtype="<i4").data)
        content.update(tail(self.is_directed, self.edge_values))
        return content.hexdigest()

    def neighbours(self, agent: int) -> Agents:
        """List whom `agent` hears, ascending, shape ``(degree of the agent,)``; a view of `indices`.

        Raises:
            DesignError: There is no such agent.
        """
        (agent,) = agents_of([agent], self.n_agents)
        return self.indices[self.indptr[agent] : self.indptr[agent + 1]]

    def hearers(self, agent: int) -> Agents:
        """List who hears `agent`, ascending; takes time in the order of `indices` if directed.

        Raises:
            DesignError: There is no such agent.
        """
        if not self.is_directed:
            return self.neighbours(agent)
        (agent,) = agents_of([agent], self.n_agents)
        hearers: Agents = self.listener[self.indices == agent]
        return hearers

    def top(self, by: str, k: int) -> NDArray[np.int64]:
        """Name the agents that are highest in something, the highest first; of equals the first ones.

        Args:
            by: An attribute of agents, ``n_hearers`` (who hear each) or ``n_heard`` (whom each hears).
            k: How many.

        Raises:
            DesignError: There is no such attribute, a value is no number, or fewer than `k` agents have one.
        """
        values = self._values(by)
        n_there = int((~np.isnan(values)).sum())
        whole("k", k, least=0)
        if k > n_there:
            raise DesignError(f"the top {k} agents by {by!r} are asked for, but {n_there} agents have it")
        return np.argsort(-values, kind="stable")[:k]

    def _values(self, by: str) -> NDArray[np.float64]:
        counts = {"n_hearers": self.n_hearers, "n_heard": self.degree}
        if by in counts:
            return counts[by].astype(np.float64)
        if by not in self.node_attributes:
            known = near_miss(by, (*counts, *self.node_attributes))
            raise DesignError(f"agents of network {self.name!r} have no {by!r}{known}")
        return numbers(by, self.node_attributes[by], self.labels)

    def without_agents(self, agents: ArrayLike) -> Network:
        """Take all edges of some agents away; they keep their numbers.

        Raises:
            DesignError: There is no such agent; names it.
        """
        gone = np.zeros(self.n_agents, dtype=bool)
        gone[agents_of(agents, self.n_agents)] = True
        return self._kept(~(gone[self.indices] | gone[self.listener]))

    def without_edges(self, edges: ArrayLike) -> Network:
        """Take edges away, in all their layers.

        Args:
            edges: Pairs (heard, hears), shape ``(n, 2)``; the order counts only if the network is directed.

        Raises:
            DesignError: There is no such agent or edge; names it.
        """
        _, gone, is_there = self._arcs(edges)
        refuse_unlike(
            edges, is_there, True, "agent {v} does not hear agent {u}: there is no edge to take away"
        )
        return self._kept(~np.isin(self._keys(), gone))

    def with_edges(self, edges: ArrayLike, **attributes: Any) -> Network:  # noqa: ANN401 - numbers or texts
        """Add edges.

        Args:
            edges: Pairs (heard, hears), shape ``(n, 2)``; the order counts only if the network is directed.
            **attributes: Those that the network's edges have: one value for all new ones, or one each.

        Raises:
            DesignError: There is no such agent, the edge is there already, or an attribute is missing.
        """
        pairs, _, is_there = self._arcs(edges)
        new = edge_columns(
            {name: broadcast(value, len(pairs)) for name, value in attributes.items()}, len(pairs)
        )
        refuse_other_columns(self.name, self.edge_attributes, new)
        if LAYER not in new:
            refuse_unlike(
                edges, is_there, False, "agent {v} hears agent {u} already: there is nothing to add"
            )
        every = {
            name: np.concatenate((old, new[name])) if len(old) else new[name]
            for name, old in self.edge_values.items()
        }
        made = Network.from_edges(
            np.concatenate((self.edges(), pairs)),
            self.n_agents,
            is_directed=self.is_directed,
            edge_attributes=every,
        )
        return self._with(made.indptr, made.indices, made.edge_attributes)

    def changed(self, *, add: ArrayLike = (), drop: ArrayLike = (), **attributes: Any) -> Network:  # noqa: ANN401
        """Drop edges, then add others: the same changes of the same network always give the same one.

        Raises:
            DesignError: As `without_edges` and `with_edges` do.
        """
        network = self.without_edges(drop) if np.size(drop) else self
        return network.with_edges(add, **attributes) if np.size(add) else network

    def as_directed(self) -> Network:
        """Take each edge of an undirected network as two, one each way, which may then go one by one.

        A directed network stays as it is.
        """
        if self.is_directed:
            return self
        dress = (self.name, self.labels, self.node_attributes, self.notes)
        return trusted(self.indptr, self.indices, *dress, True, self.edge_attributes)

    def stranded(self, before: Network, *, besides: ArrayLike = (), refuse: bool = False) -> Agents:
        """Find agents that hear nobody, and heard somebody in the network `before` it changed.

        Args:
            before: The network before it changed.
            besides: Agents that are left out, such as those that `without_agents` took out on purpose.
            refuse: Whether to raise if there are any.

        Raises:
            DesignError: There are some, and `refuse` is set.
        """
        lost = (before.degree > 0) & (self.degree == 0)
        lost[agents_of(besides, self.n_agents)] = False
        found = np.flatnonzero(lost).astype(np.int32)
        if refuse and found.size:
            more = f" and {found.size - 1} more" if found.size > 1 else ""
            raise DesignError(
                f"the change leaves agent {found[0]}{more} without anybody to hear: let it keep a source, or "
                f"give it another one in the same change"
            )
        return found

    def _keys(self) -> Keys:
        return pack(self.listener, self.indices, self.n_agents)

    def _arcs(self, edges: ArrayLike) -> tuple[NDArray[np.int64], Keys, NDArray[np.bool_]]:
        """Give edges as pairs, the keys of their slots, and whether the network has each, in any layer."""
        u, v = ends(edges, self.n_agents)
        heard = pack(v, u, self.n_agents)
        keys = heard if self.is_directed else np.concatenate((heard, pack(u, v, self.n_agents)))
        return np.column_stack((u, v)), keys, np.isin(heard, self._keys())

    def _kept(self, slots: NDArray[np.bool_]) -> Network:
        """Keep the edges of these slots."""
        indptr = np.concatenate(([0], np.cumsum(slots)))[self.indptr]
        columns = {name: values[slots] for name, values in self.edge_attributes.items()}
        return self._with(indptr, self.indices[slots], columns)

    def _with(self, indptr: Indptr, indices: Agents, columns: Columns) -> Network:
        # What is no longer what its generator drew must not be called so: laws draw fresh ones of that name.
        name = f"{self.name.removesuffix(_CHANGED)}{_CHANGED}"
        dress = (self.labels, self.node_attributes, self.notes)
        return trusted(indptr, indices, name, *dress, self.is_directed, columns)

    def edges(self) -> Agents:
        """List each edge once.

        Returns:
            Pairs, shape ``(n_edges, 2)``: (heard, hears) in the order of `indices` if directed, else (u, v)
            with u < v, sorted.
        """
        listener = self.listener
        if self.is_directed:
            return np.column_stack((self.indices, listener))
        once = listener < self.indices
        return np.column_stack((listener[once], self.indices[once]))

    @property
    def edge_values(self) -> Columns:
        """The attributes of edges, an entry for each of `edges`."""
        once = slice(None) if self.is_directed or not self.edge_attributes else self.listener < self.indices
        return {name: values[once] for name, values in self.edge_attributes.items()}

    def to_bytes(self) -> bytes:
        """Give `edges` as little-endian int32, row after row: 8 bytes per edge.

        R reads them by ``matrix(readBin(blob, "integer", 2 * n_edges, 4, endian = "little"), ncol = 2,
        byrow = TRUE)``. Direction and attributes of edges, if there are any, stand behind them.
        """
        return packed(self.edges(), self.is_directed, self.edge_values)

    @classmethod
    def from_bytes(
        cls, blob: bytes, n_agents: int, *, name: str = "network", labels: Iterable[str] | None = None
    ) -> Network:
        """Make the network that `to_bytes` wrote; equal to it, without its agents' attributes.

        Raises:
            InputError: `blob` is no such list of edges.
        """
        edges, is_directed, columns = unpacked(blob)
        try:
            return cls.from_edges(
                edges,
                n_agents,
                name=name,
                labels=labels,
                is_directed=is_directed,
                edge_attributes=columns,
            )
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
        is_directed: bool = False,
        edge_attributes: Mapping[str, Iterable[Any]] = MappingProxyType({}),
    ) -> Network:
        """Make a network from its edges, in any order. Sorts 2 * n_edges integers, n_edges if directed.

        Args:
            edges: Pairs of agents, shape ``(n_edges, 2)``, integers of [0, n_agents): (heard, hears) if
                directed, else in either order.
            n_agents: Number of agents, in [1, 2^31); agents without an edge are allowed.
            name: What to call the network.
            labels: The user's name of each agent, if not 0..n_agents-1.
            node_attributes: From an attribute's name to its value for each agent.
            is_directed: Whether hearing is one-way.
            edge_attributes: From an attribute's name to its value for each edge: numbers or texts. ``weight``
                is a number; edges between the same agents must differ in ``layer``.

        Raises:
            DesignError: A loop, a double edge, or an agent that is not there; names the edge.
        """
        n_agents = agent_count(n_agents)
        u, v = ends(edges, n_agents)
        columns = edge_columns(edge_attributes, len(u))
        arcs, of_slots = arcs_with(u, v, n_agents, is_directed=is_directed, columns=columns)
        refuse_loops(u, v)
        refuse_doubles(u, v, n_agents, arcs[is_repeated(arcs, of_slots)], is_directed=is_directed)
        return trusted(*rows(arcs, n_agents), name, labels, node_attributes, (), is_directed, of_slots)

    @classmethod
    def from_networkx(
        cls,
        graph: nx.Graph[Any],
        *,
        name: str | None = None,
        heard: str | None = None,
        edge_attributes: Iterable[str] = (),
    ) -> Network:
        """Make a network from a networkx graph.

        Agents stand in the order of ``graph.nodes``. Only if the nodes are named exactly 0..n-1 (as numbers
        or as text) is each the agent of its number, and `labels` None. Node attributes are kept, with None
        for a node that lacks one; edge attributes are if you name them.

        Args:
            graph: A graph. Build it from lists: the order of nodes that came out of a set of
                strings changes from one Python process to the next.
            name: What to call the network; by default the graph's own name, else ``"networkx"``.
            heard: Of a directed graph, which end of an edge the other hears: ``source`` or ``target``.
            edge_attributes: Attributes of edges to keep, such as ``weight``; with ``layer`` among them, a
                multigraph's parallel edges are edges of different layers.

        Raises:
            DesignError: No networkx graph, directed without `heard`, no nodes, a loop, parallel edges, two
                nodes whose names are the same text, or an edge without an attribute that is to be kept.
        """
        wanted = tuple(edge_attributes)
        check_graph(graph, heard, has_layers=LAYER in wanted)
        nodes = list(graph.nodes)
        order, labels = number_names([str(node) for node in nodes])
        agent_of = {nodes[position]: agent for agent, position in enumerate(order)}
        edges = np.array([(agent_of[u], agent_of[v]) for u, v in graph.edges()], dtype=np.int64).reshape(
            -1, 2
        )
        data = [graph.nodes[nodes[position]] for position in order]
        return cls.from_edges(
            edges[:, ::-1] if heard == ENDS[1] else edges,
            len(nodes),
            name=name or graph.name or "networkx",
            labels=labels,
            node_attributes=node_columns(data),
            is_directed=graph.is_directed(),
            edge_attributes=data_of_edges(graph, wanted),
        )

    def to_networkx(self) -> nx.Graph[Any]:
        """Make a networkx graph; its nodes, in agents' order, are the labels, or 0..n_agents-1 without them.

        Edges of a directed network go from who is heard to who hears; with layers it is a multigraph. Values
        None of attributes are left out, since files such as GraphML cannot hold them.
        """
        import networkx as nx

        kinds = ((nx.Graph, nx.MultiGraph), (nx.DiGraph, nx.MultiDiGraph))
        graph: nx.Graph[Any] = kinds[self.is_directed][LAYER in self.edge_attributes](name=self.name)
        names = self.labels or range(self.n_agents)
        graph.add_nodes_from(names)
        columns = {name: values.tolist() for name, values in self.edge_values.items()}
        for place, (u, v) in enumerate(self.edges().tolist()):
            graph.add_edge(names[u], names[v], **{name: values[place] for name, values in columns.items()})
        for attribute, values in self.node_attributes.items():
            for node, value in zip(names, values, strict=True):
                if value is not None:
                    graph.nodes[node][attribute] = value
        return graph

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        same_rows = self.is_directed == other.is_directed and np.array_equal(self.indptr, other.indptr)
        same_slots = same_rows and np.array_equal(self.indices, other.indices)
        mine, others = self.edge_attributes, other.edge_attributes
        return same_slots and list(mine) == list(others) and all(map(_same, mine.values(), others.values()))

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Network({self.name!r}, n_agents={self.n_agents}, n_edges={self.n_edges})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickling by fields would give back writable arrays, and fail at the read-only mapping.
        attributes, of_edges = dict(self.node_attributes), dict(self.edge_attributes)
        fields = (self.indptr, self.indices, self.name, self.labels, attributes, self.notes)
        return trusted, (*fields, self.is_directed, of_edges)


def trusted(
    indptr: Indptr,
    indices: Agents,
    name: str,
    labels: Iterable[str] | None = None,
    node_attributes: Mapping[str, Iterable[Any]] = MappingProxyType({}),
    notes: Iterable[str] = (),
    is_directed: bool = False,
    edge_attributes: Columns = MappingProxyType({}),
) -> Network:
    """Make a network of arrays that are right by construction, which it takes over and makes read-only.

    For the generators and readers of this room: checking the arrays would take as long as making them.

    Raises:
        DesignError: Labels or attributes do not fit the network.
    """
    network = object.__new__(Network)
    _set_fields(network, indptr, indices, name, labels, node_attributes, notes, is_directed, edge_attributes)
    return network


def _set_fields(
    network: Network,
    indptr: Indptr,
    indices: Agents,
    name: str,
    labels: Iterable[str] | None,
    node_attributes: Mapping[str, Iterable[Any]],
    notes: Iterable[str],
    is_directed: bool,
    edge_attributes: Columns,
) -> None:
    arrays: tuple[NDArray[Any], ...] = (indptr, indices, *edge_attributes.values())
    for array in arrays:
        array.setflags(write=False)
    values = {
        "indptr": indptr,
        "indices": indices,
        "name": name,
        "labels": None if labels is None else checked_labels(tuple(labels), len(indptr) - 1),
        "node_attributes": checked_attributes(node_attributes, len(indptr) - 1),
        "notes": tuple(notes),
        "is_directed": bool(is_directed),
        "edge_attributes": MappingProxyType(dict(edge_attributes)),
    }
    for key, value in values.items():
        object.__setattr__(network, key, value)


def _same(mine: NDArray[Any], other: NDArray[Any]) -> bool:
    return mine.dtype.kind == other.dtype.kind and np.array_equal(mine, other)


_CHANGED = ", changed"
