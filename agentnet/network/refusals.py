"""What is no simple network, and the way out of it.

Everything here raises `DesignError` and says which agent, edge or node is to blame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import DesignError, near_miss
from agentnet.network.checks import agent_count
from agentnet.network.csr import Indptr, Keys, arcs_with, is_repeated, pack, pack_edges
from agentnet.network.edge_values import Columns

if TYPE_CHECKING:
    import networkx as nx

ENDS: Final = ("source", "target")
"""What the ends of an edge are called where it has a direction."""


def integers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    """Copy a one-dimensional array of integers: the caller's own stays writable, and ours does not change."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise DesignError(f"`{name}` must be a one-dimensional array of integers")
    return array.astype(np.int64)


def check_rows(indptr: Indptr, indices: NDArray[np.int64]) -> None:
    """Refuse an `indptr` that does not split `indices` into rows, and agents that are not there."""
    if len(indptr) < 2 or indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        raise DesignError(
            f"`indptr` must rise from 0 to the length of `indices`, {len(indices)}, with one more entry than "
            f"there are agents, who are at least one; see Network.from_edges"
        )
    n_agents = agent_count(len(indptr) - 1)
    if len(indices) and not (indices.min() >= 0 and indices.max() < n_agents):
        raise DesignError(f"`indices` must lie from 0 to {n_agents - 1}, the last agent")


def check_arcs(indptr: Indptr, indices: NDArray[np.int64], columns: Columns, *, is_directed: bool) -> None:
    """Refuse rows that do not ascend, loops, and arcs without their reverse. Sorts 2 * n_edges integers."""
    n_agents = len(indptr) - 1
    hears = np.repeat(np.arange(n_agents), np.diff(indptr))
    arcs: Keys = pack(hears, indices, n_agents)
    sorted_, values = arcs_with(indices, hears, n_agents, is_directed=True, columns=columns)
    same = all(np.array_equal(values[name], columns[name]) for name in columns)
    if not (np.array_equal(sorted_, arcs) and same) or is_repeated(arcs, columns).any():
        raise DesignError("each row of `indices` must ascend, without doubles; see Network.from_edges")
    refuse_loops(hears, indices)
    if is_directed:
        return
    back, values = arcs_with(hears, indices, n_agents, is_directed=True, columns=columns)
    if not np.array_equal(back, arcs):
        raise DesignError("an undirected network has each edge in both rows; see Network.from_edges")
    if not all(np.array_equal(values[name], columns[name]) for name in columns):
        raise DesignError(
            "an undirected network has the attributes of an edge in both rows; see Network.from_edges"
        )


def ends(edges: ArrayLike, n_agents: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split pairs of agents, shape ``(n_edges, 2)``, into both ends; refuse agents that are not there."""
    try:
        pairs = np.asarray(edges)
    except ValueError as error:
        raise DesignError("edges must be pairs of agents, shape (n_edges, 2)") from error
    if pairs.size == 0:
        pairs = np.zeros((0, 2), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise DesignError(
            f"edges must be whole numbers of shape (n_edges, 2), not {pairs.dtype} of shape {pairs.shape}"
        )
    outside = np.flatnonzero(((pairs < 0) | (pairs >= n_agents)).any(axis=1))
    if outside.size:
        raise DesignError(
            f"edge {outside[0]} is {_pair(pairs[outside[0]])}, but agents are 0 to {n_agents - 1}; "
            f"raise `n_agents` or renumber"
        )
    return pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)


def agents_of(agents: ArrayLike, n_agents: int) -> NDArray[np.int64]:
    """Take numbers of agents, shape ``(n,)``; refuse those that are not there."""
    found = np.asarray(agents)
    if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size):
        raise DesignError(f"agents are whole numbers, 0 to {n_agents - 1}, not {agents!r:.60}")
    outside = found[(found < 0) | (found >= n_agents)]
    if outside.size:
        raise DesignError(f"there is no agent {outside[0]}: agents are 0 to {n_agents - 1}")
    return found.astype(np.int64)


def numbers(name: str, values: Iterable[Any], labels: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Take an attribute of agents as numbers, NaN where it is missing; refuse what is no number."""
    found = []
    for agent, value in enumerate(values):
        try:
            found.append(float("nan" if value in (None, "") else value))
        except (TypeError, ValueError):
            who = f"agent {agent}" if labels is None else f"node {labels[agent]!r}"
            raise DesignError(f"the {name!r} of {who} is {value!r}, which is no number") from None
    return np.array(found, dtype=np.float64)


def data_of_edges(graph: nx.Graph[Any], wanted: Iterable[str]) -> dict[str, list[Any]]:
    """Take attributes of a graph's edges; refuse one that an edge lacks."""
    known = dict.fromkeys(key for *_, data in graph.edges(data=True) for key in data)
    found = {}
    for name in wanted:
        found[name] = [data.get(name) for *_, data in graph.edges(data=True)]
        if name not in known:
            raise DesignError(f"no edge of the graph has {name!r}{near_miss(name, map(str, known))}")
        lacking = next(((u, v) for u, v, data in graph.edges(data=True) if data.get(name) is None), None)
        if lacking is not None:
            raise DesignError(
                f"the edge {lacking[0]!r}, {lacking[1]!r} has no {name!r}; give it to all or none"
            )
    return found


def refuse_unlike(edges: ArrayLike, is_there: NDArray[np.bool_], wanted: bool, words: str) -> None:
    """Refuse a change of edges of which one is there, or is not, against what is `wanted`; names it."""
    odd = np.flatnonzero(is_there != wanted)
    if odd.size:
        u, v = np.asarray(edges)[odd[0]]
        raise DesignError(words.format(u=u, v=v))


def refuse_other_columns(name: str, columns: Columns, new: Columns) -> None:
    """Refuse new edges that have other attributes than a network's, or texts where it has numbers."""
    kinds, others = (
        {key: "texts" if values.dtype.kind == "U" else "numbers" for key, values in each.items()}
        for each in (columns, new)
    )
    is_bare = not any(map(len, columns.values()))
    if kinds.keys() != others.keys() or (kinds != others and not is_bare):
        raise DesignError(
            f"edges of network {name!r} have {_kinds(kinds)}; new ones have the same, and here is "
            f"{_kinds(others)}"
        )


def _kinds(kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{name!r} ({kind})" for name, kind in kinds.items()) or "no attribute"


def refuse_loops(u: NDArray[np.int64], v: NDArray[np.int64]) -> None:
    """Refuse edges that join an agent with itself."""
    loops = np.flatnonzero(u == v)
    if loops.size:
        raise DesignError(f"agent {u[loops[0]]} is its own neighbour; drop edges (u, v) with u = v")


def refuse_doubles(
    u: NDArray[np.int64], v: NDArray[np.int64], n_agents: int, doubles: Keys, *, is_directed: bool = False
) -> None:
    """Refuse edges if the sorted keys `doubles` of surplus arcs are any; says which two are the same."""
    if doubles.size:
        keys = pack(v, u, n_agents) if is_directed else pack_edges(u, v, n_agents)
        copies = np.flatnonzero(keys == doubles[0])
        raise DesignError(
            f"edges {copies[0]} and {copies[1]} both join agents {_pair((u[copies[0]], v[copies[0]]))}: "
            f"{'' if is_directed else 'direction does not count; '}keep one of them, or give each a layer of "
            f"its own"
        )


def check_graph(graph: object, heard: str | None, *, has_layers: bool) -> None:
    """Refuse what is no simple networkx graph with at least one node, or directed without who is heard."""
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        raise DesignError(
            f"a networkx graph is needed, not {type(graph).__name__}; for arrays, see Network.from_edges"
        )
    if graph.is_directed() and heard is None:
        raise DesignError(
            "the graph is directed: call .to_undirected() first, if direction may be dropped; else say which "
            'end is heard by the other: heard="source" or heard="target"'
        )
    if heard not in (None, *ENDS):
        raise DesignError(f"heard is {heard!r}; it is the end of each edge that the other hears: {_or(ENDS)}")
    if not graph.is_directed() and heard is not None:
        raise DesignError(f"heard is {heard!r}, but the graph is undirected: either end hears the other")
    if not graph:
        raise DesignError("the graph has no nodes; a network needs at least one agent")
    loop = next(iter(nx.nodes_with_selfloops(graph)), None)
    if loop is not None:
        raise DesignError(
            f"node {loop!r} is its own neighbour: call "
            f"graph.remove_edges_from(list(nx.selfloop_edges(graph))) first"
        )
    if graph.is_multigraph() and not has_layers:
        _refuse_parallels(cast("nx.MultiGraph[Any]", graph))


def _refuse_parallels(graph: nx.MultiGraph[Any]) -> None:
    parallel = next(((u, v) for u, v, key in graph.edges(keys=True) if graph.number_of_edges(u, v) > 1), None)
    if parallel is not None:
        raise DesignError(
            f"nodes {parallel[0]!r} and {parallel[1]!r} are joined by parallel edges: call nx.Graph(graph) "
            f"first, which keeps one of each, or keep them as layers: edge_attributes=['layer']"
        )


def _or(words: Iterable[str]) -> str:
    return " or ".join(map(repr, words))


def _pair(ends: Iterable[Any]) -> str:
    return "({}, {})".format(*(int(end) for end in ends))
