"""What a network is, in numbers that show at a glance whether the right one was read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.network.graph import Network

_N_NAMES = 5


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
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    arcs = (np.ones(len(network.indices), dtype=np.int8), network.indices, network.indptr)
    matrix = csr_array(arcs, shape=(network.n_agents, network.n_agents))
    # Most are one component, and to see that takes a third of the time of numbering them.
    if not network.is_directed:
        reached = breadth_first_order(matrix, 0, return_predecessors=False)
        if len(reached) == network.n_agents:
            return 1
    return int(connected_components(matrix, directed=False)[0])


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
