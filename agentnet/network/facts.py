"""What a network is, in numbers that show at a glance whether the right one was read."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

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
        degree: Least, median and largest number of neighbours.
        first_names: The names of the first agents, at most five.
        notes: What was done to make the network of a file, one sentence each.
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
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    degree = network.degree
    arcs = (np.ones(len(network.indices), dtype=np.int8), network.indices, network.indptr)
    matrix = csr_array(arcs, shape=(network.n_agents, network.n_agents))
    names = network.labels or tuple(map(str, range(min(network.n_agents, _N_NAMES))))
    return NetworkFacts(
        network.name,
        network.n_agents,
        network.n_edges,
        int(connected_components(matrix, directed=False)[0]),
        int((degree == 0).sum()),
        (int(degree.min()), float(np.median(degree)), int(degree.max())),
        names[:_N_NAMES],
        network.notes,
    )
