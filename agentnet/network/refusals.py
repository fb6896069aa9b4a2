"""What is no simple undirected network, and the way out of it.

Everything here raises `DesignError` and says which agent, edge or node is to blame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import DesignError
from agentnet.network.checks import agent_count
from agentnet.network.csr import Indptr, Keys, pack, pack_edges

if TYPE_CHECKING:
    import networkx as nx


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


def check_arcs(indptr: Indptr, indices: NDArray[np.int64]) -> None:
    """Refuse rows that do not ascend, loops, and arcs without their reverse. Sorts 2 * n_edges integers."""
    n_agents = len(indptr) - 1
    source = np.repeat(np.arange(n_agents), np.diff(indptr))
    arcs: Keys = pack(source, indices, n_agents)
    if (arcs[1:] <= arcs[:-1]).any():
        raise DesignError("each row of `indices` must ascend, without doubles; see Network.from_edges")
    refuse_loops(source, indices)
    if not np.array_equal(np.sort(pack(indices, source, n_agents)), arcs):
        raise DesignError("an undirected network has each edge in both rows; see Network.from_edges")


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


def refuse_loops(u: NDArray[np.int64], v: NDArray[np.int64]) -> None:
    """Refuse edges that join an agent with itself."""
    loops = np.flatnonzero(u == v)
    if loops.size:
        raise DesignError(f"agent {u[loops[0]]} is its own neighbour; drop edges (u, v) with u = v")


def refuse_doubles(u: NDArray[np.int64], v: NDArray[np.int64], n_agents: int, doubles: Keys) -> None:
    """Refuse edges if the sorted keys `doubles` of surplus arcs are any; says which two are the same."""
    if doubles.size:
        copies = np.flatnonzero(pack_edges(u, v, n_agents) == doubles[0])
        raise DesignError(
            f"edges {copies[0]} and {copies[1]} both join agents {_pair((u[copies[0]], v[copies[0]]))}: "
            f"direction does not count; keep one of them"
        )


def check_graph(graph: object) -> None:
    """Refuse what is no undirected, simple networkx graph with at least one node."""
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        raise DesignError(
            f"a networkx graph is needed, not {type(graph).__name__}; for arrays, see Network.from_edges"
        )
    if graph.is_directed():
        raise DesignError("the graph is directed: call .to_undirected() first, if direction may be dropped")
    if not graph:
        raise DesignError("the graph has no nodes; a network needs at least one agent")
    loop = next(iter(nx.nodes_with_selfloops(graph)), None)
    if loop is not None:
        raise DesignError(
            f"node {loop!r} is its own neighbour: call "
            f"graph.remove_edges_from(list(nx.selfloop_edges(graph))) first"
        )
    if graph.is_multigraph():
        _refuse_parallels(cast("nx.MultiGraph[Any]", graph))


def _refuse_parallels(graph: nx.MultiGraph[Any]) -> None:
    parallel = next(((u, v) for u, v, key in graph.edges(keys=True) if graph.number_of_edges(u, v) > 1), None)
    if parallel is not None:
        raise DesignError(
            f"nodes {parallel[0]!r} and {parallel[1]!r} are joined by parallel edges: call nx.Graph(graph) "
            f"first, which keeps one of each"
        )


def _pair(ends: Iterable[Any]) -> str:
    return "({}, {})".format(*(int(end) for end in ends))
