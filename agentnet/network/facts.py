"""What a network is, in numbers that show at a glance whether the right one was read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.network.graph import Network

_N_NAMES = 5
_MOST_LOOKS = 200


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What a network is.

    Attributes:
        name: The generator's or the file's name.
        n_agents: Number of agents.
        n_edges: Number of edges.
        n_components: Number of connected parts, lone agents included.
        n_isolated: Agents without a neighbour.
        degree: Least, median and largest number of agents that one hears.
        first_names: The names of the first agents, at most five.
        notes: What was done to make the network of a file, its direction and its edges' attributes, one
            sentence each.
    """

    name: str
    n_agents: int
    n_edges: int
    n_components: int
    n_isolated: int
    degree: tuple[int, float, int]
    first_names: tuple[str, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Spell it for JSON."""
        return asdict(self)


def facts_of(network: Network) -> NetworkFacts:
    """Look at a network; takes time in the order of its edges."""
    degree = network.degree
    names = network.labels or tuple(map(str, range(min(network.n_agents, _N_NAMES))))
    return NetworkFacts(
        network.name,
        network.n_agents,
        network.n_edges,
        _n_components(network),
        int((degree == 0).sum()),
        (int(degree.min()), float(np.median(degree)), int(degree.max())),
        names[:_N_NAMES],
        (*network.notes, *_beyond_size(network)),
    )


def _n_components(network: Network) -> int:
    # Most are found in a few looks, a fifth of the time of importing SciPy even with a million agents.
    if not network.is_directed and (found := _n_components_near(network)) is not None:
        return found
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    arcs = (np.ones(len(network.indices), dtype=np.int8), network.indices, network.indptr)
    matrix = csr_array(arcs, shape=(network.n_agents, network.n_agents))
    return int(connected_components(matrix, directed=False)[0])


def _n_components_near(network: Network) -> int | None:
    """Count the components of an undirected network, going from agents to all whom they hear at once.

    Returns:
        Their number; None where that takes many looks: on a ring each look finds two agents.
    """
    begin, degree = network.indptr[:-1], network.degree
    is_reached = degree == 0
    n_found = int(is_reached.sum())
    n_left, latest = network.n_agents - n_found, np.empty(0, dtype=np.int64)
    for _ in range(_MOST_LOOKS):
        if not n_left:
            return n_found
        before = is_reached.copy()
        if len(latest):
            ends = degree[latest].cumsum()
            slots = np.repeat(begin[latest] + degree[latest] - ends, degree[latest]) + np.arange(ends[-1])
            is_reached[network.indices[slots]] = True
        else:
            is_reached[is_reached.argmin()] = True
            n_found += 1
        latest = np.flatnonzero(is_reached & ~before)
        n_left -= len(latest)
    return None


def _beyond_size(network: Network) -> Iterator[str]:
    if network.is_directed:
        heard, hearers = network.degree, network.n_hearers
        yield (
            f"directed: agents hear {heard.min()} to {heard.max()} others, and are heard by "
            f"{hearers.min()} to {hearers.max()}"
        )
    if network.edge_attributes and network.n_edges:
        columns = (f"{name} ({_span(values)})" for name, values in network.edge_attributes.items())
        yield f"edges have {', '.join(columns)}"


def _span(values: NDArray[Any]) -> str:
    if values.dtype.kind in "if":
        return f"{values.min():g} to {values.max():g}"
    different = np.unique(values).tolist()
    return ", ".join(map(str, different[:_N_NAMES])) + (", .." if len(different) > _N_NAMES else "")
