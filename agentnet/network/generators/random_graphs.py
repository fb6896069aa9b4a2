"""Networks of independent edges, of growth, and of all edges.

None loops over edges in Python except `barabasi_albert`, whose agents come one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import DesignError
from agentnet.network.checks import agent_count, edge_count, generator, share, whole
from agentnet.network.csr import Integers, rows, sorted_arcs
from agentnet.network.generator import network_generator
from agentnet.network.generators.regular import complement
from agentnet.network.graph import Network, trusted

Ends = tuple[NDArray[np.int64], NDArray[np.int64]]


@network_generator
def complete(n_agents: int) -> Network:
    """Join every agent with every other.

    Args:
        n_agents: Number of agents N, in [1, 2^31). Takes N^2 bytes on the way.

    Raises:
        DesignError: More edges than memory would hold.

    Examples:
        >>> complete(4).n_edges
        6
    """
    n_agents = agent_count(n_agents)
    edge_count(n_agents * (n_agents - 1) / 2)
    table = complement(np.zeros((n_agents, 0), dtype=np.int32))
    return trusted(np.arange(n_agents + 1) * (n_agents - 1), table.reshape(-1), "complete")


@network_generator
def erdos_renyi(n_agents: int, probability: float, *, seed: int) -> Network:
    """Join each pair of agents independently with the same probability (Gilbert 1959, Ann. Math. Stat. 30).

    Time grows with the number of edges, not of pairs: the gaps between joined pairs are geometric (Batagelj
    and Brandes 2005, Physical Review E 71, 036113).

    Args:
        n_agents: Number of agents N, in [1, 2^31).
        probability: Chance of each pair, in [0, 1]; the mean degree is ``probability * (N - 1)``.
        seed: Fixes the network.

    Raises:
        DesignError: A parameter is out of range.
    """
    n_agents = agent_count(n_agents)
    chance = share("probability", probability)
    edge_count(chance * n_agents * (n_agents - 1) / 2)
    ends = _joined_within(n_agents, chance, generator(seed, "erdos_renyi"))
    return _simple(*ends, n_agents, "erdos_renyi")


@network_generator
def stochastic_block(
    sizes: Sequence[int], probabilities: Sequence[Sequence[float]] | NDArray[np.float64], *, seed: int
) -> Network:
    """Join each pair of agents independently with a probability that depends on their blocks.

    After Holland, Laskey and Leinhardt 1983, Social Networks 5, 109-137. Agents are numbered block by block;
    the node attribute ``block`` holds the block of each, from 0.

    Args:
        sizes: Number of agents in each block, each at least 1, shape ``(n_blocks,)``.
        probabilities: Chance of a pair in blocks i and j, in [0, 1]; symmetric, ``(n_blocks, n_blocks)``.
        seed: Fixes the network.

    Raises:
        DesignError: A parameter is out of range, or the two do not fit each other.
    """
    counts = _sizes(sizes)
    chances = _chances(probabilities, len(counts))
    n_agents = agent_count(sum(counts))
    pairs = np.outer(counts, counts) - np.diag(counts)
    edge_count(float((pairs * chances).sum() / 2))
    rng = generator(seed, "stochastic_block")
    parts = list(_joined_blocks(counts, chances, rng))
    u, v = (np.concatenate(ends) for ends in zip(*parts, strict=True))
    blocks = np.repeat(np.arange(len(counts)), counts).tolist()
    return _simple(u, v, n_agents, "stochastic_block", {"block": blocks})


@network_generator
def barabasi_albert(n_agents: int, links: int, *, seed: int) -> Network:
    """Grow a network by preferential attachment (Barabási and Albert 1999, Science 286, 509-512).

    Begins with agent `links` joined to all of 0..links-1. Each later agent is joined to `links` different
    earlier ones, each drawn with probability proportional to its degree and drawn again if it came before. A
    network has ``links * (n_agents - links)`` edges. Takes about 1 us per edge.

    Args:
        n_agents: Number of agents N, in [2, 2^31).
        links: Edges that each new agent brings, in [1, N-1].
        seed: Fixes the network.

    Raises:
        DesignError: A parameter is out of range.
    """
    n_agents = agent_count(n_agents)
    links = whole("links", links, least=1)
    if links >= n_agents:
        raise DesignError(f"`links` must be below `n_agents`, {n_agents}, not {links}")
    edge_count(links * (n_agents - links))
    ends = np.array(_attach(n_agents, links, generator(seed, "barabasi_albert")), dtype=np.int64)
    return _simple(ends[0::2], ends[1::2], n_agents, "barabasi_albert")


def _simple(
    u: Integers,
    v: Integers,
    n_agents: int,
    name: str,
    node_attributes: Mapping[str, Sequence[Any]] = MappingProxyType({}),
) -> Network:
    """Make a network of edges that have neither loops nor doubles by construction."""
    return trusted(*rows(sorted_arcs(u, v, n_agents), n_agents), name, None, node_attributes)


def _successes(n_pairs: int, chance: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw which of `n_pairs` independent trials succeed; returns their numbers, ascending."""
    if chance in (0.0, 1.0) or n_pairs == 0:
        return np.arange(n_pairs if chance else 0)
    parts: list[NDArray[np.int64]] = []
    last = -1
    while last < n_pairs:
        left = (n_pairs - 1 - last) * chance
        gaps = rng.geometric(chance, size=int(left + np.sqrt(left)) + 1)
        # A gap that leads out of range is cut, else the sum of some such gaps overflows at tiny chances.
        parts.append(last + np.cumsum(np.minimum(gaps, n_pairs + 1)))
        last = int(parts[-1][-1])
    numbers = np.concatenate(parts)
    return numbers[: np.searchsorted(numbers, n_pairs)]


def _joined_within(n_agents: int, chance: float, rng: np.random.Generator) -> Ends:
    """Join pairs (u, v), u < v, of 0..n_agents-1; pairs are numbered (0, 1), (0, 2), .., (1, 2), .."""
    numbers = _successes(n_agents * (n_agents - 1) // 2, chance, rng)
    agents = np.arange(n_agents + 1)
    first_pair = agents * (2 * n_agents - agents - 1) // 2
    u = np.repeat(agents[:-1], np.diff(np.searchsorted(numbers, first_pair)))
    return u, numbers - first_pair[u] + u + 1


def _joined_between(n_u: int, n_v: int, chance: float, rng: np.random.Generator) -> Ends:
    u, v = np.divmod(_successes(n_u * n_v, chance, rng), n_v)
    return u, v


def _joined_blocks(
    sizes: list[int], chances: NDArray[np.float64], rng: np.random.Generator
) -> Iterator[Ends]:
    first = np.concatenate(([0], np.cumsum(sizes)))
    for i, size in enumerate(sizes):
        u, v = _joined_within(size, float(chances[i, i]), rng)
        yield u + first[i], v + first[i]
        for j in range(i + 1, len(sizes)):
            u, v = _joined_between(size, sizes[j], float(chances[i, j]), rng)
            yield u + first[i], v + first[j]


def _sizes(sizes: object) -> list[int]:
    if isinstance(sizes, str) or not isinstance(sizes, (Sequence, np.ndarray)) or len(sizes) == 0:
        raise DesignError(f"`sizes` must be a list of the blocks' numbers of agents, not {sizes!r}")
    return [whole(f"sizes[{block}]", size, least=1) for block, size in enumerate(sizes)]


def _chances(probabilities: ArrayLike, n_blocks: int) -> NDArray[np.float64]:
    try:
        chances = np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DesignError(f"`probabilities` must be {n_blocks} lists of {n_blocks} numbers each") from error
    if chances.shape != (n_blocks, n_blocks):
        raise DesignError(
            f"`probabilities` must have shape ({n_blocks}, {n_blocks}), like `sizes`, not {chances.shape}"
        )
    for (i, j), chance in np.ndenumerate(chances):
        share(f"probabilities[{i}][{j}]", float(chance))
    if not np.array_equal(chances, chances.T):
        i, j = np.argwhere(chances != chances.T)[0]
        raise DesignError(
            f"`probabilities` must be symmetric: [{i}][{j}] is {chances[i, j]}, [{j}][{i}] is {chances[j, i]}"
        )
    return chances


def _attach(n_agents: int, links: int, rng: np.random.Generator) -> list[int]:
    """Grow the list of edges' ends, in which each agent stands as often as its degree."""
    ends = [end for agent in range(links) for end in (links, agent)]
    uniform = _uniform(rng)
    for agent in range(links + 1, n_agents):
        chosen: list[int] = []
        while len(chosen) < links:
            other = ends[int(next(uniform) * len(ends))]
            if other not in chosen:
                chosen.append(other)
        for other in chosen:
            ends += (agent, other)
    return ends


def _uniform(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(4096).tolist()
