"""Small-world networks: a ring, some of whose edges are moved at random.

The model moves edges one after the other, and each must avoid all edges as they lie at its turn. Nearly all
moves are at once seen to meet nothing; only the few others, some degree^2 at any number of agents, are
played one by one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DesignError
from agentnet.network.checks import agent_count, edge_count, generator, share, whole
from agentnet.network.csr import Keys, key_bits, pack_edges, rows, sorted_arcs
from agentnet.network.generator import network_generator
from agentnet.network.graph import Network, trusted

Numbers = NDArray[np.int64]

PATIENCE = 64
"""Draws before the free targets of an edge are listed instead."""


@network_generator
def watts_strogatz(n_agents: int, degree: int, rewiring: float, *, seed: int) -> Network:
    """Rewire a ring at random (Watts and Strogatz 1998, Nature 393, 440-442).

    Each agent begins with ``degree / 2`` neighbours on either side. Edges are visited by their length, then
    by the number of their near end. Each is chosen with probability `rewiring`; its far end then goes to an
    agent drawn uniformly among those that are not neighbours of the near end at that moment. The edge stays
    if there is no such agent. Made for sparse networks: slow from a degree of some hundreds.

    Args:
        n_agents: Number of agents N, in [1, 2^31).
        degree: Mean degree, even, in [0, N-1].
        rewiring: Chance of each edge to be rewired, in [0, 1].
        seed: Fixes the network.

    Raises:
        DesignError: A parameter is out of range.
    """
    n_agents = agent_count(n_agents)
    degree = whole("degree", degree, least=0, most=n_agents - 1)
    if degree % 2:
        raise DesignError(
            f"`degree` must be even, not {degree}: a ring has as many neighbours on either side; "
            f"take {degree - 1} or {degree + 1}"
        )
    chance = share("rewiring", rewiring)
    edge_count(n_agents * degree / 2)
    rng = generator(seed, "watts_strogatz")
    u = np.tile(np.arange(n_agents), degree // 2)
    v = (u + np.repeat(np.arange(1, degree // 2 + 1), n_agents)) % n_agents
    if degree < n_agents - 1:
        chosen = rng.random(len(u)) < chance
        v[chosen] = _moved(u, chosen, n_agents, rng)
    return trusted(*rows(sorted_arcs(u, v, n_agents), n_agents), "watts_strogatz")


def _moved(u: Numbers, chosen: NDArray[np.bool_], n_agents: int, rng: np.random.Generator) -> Numbers:
    """Draw the new far end of each chosen edge, in order."""
    edge = np.flatnonzero(chosen)
    near = u[edge]
    target = rng.integers(n_agents, size=len(edge))
    keys = pack_edges(near, target, n_agents)
    order = np.argsort(keys, kind="stable")
    same = keys[order[1:]] == keys[order[:-1]]
    half = len(u) // n_agents
    along = (target - near) % n_agents
    doubtful = np.minimum(along, n_agents - along) <= half
    # The sort is stable: of the moves that want one pair, the first in `order` is the earliest.
    doubtful[order[1:][same]] = True
    sure = order[~doubtful[order]]
    turns = _Turns(n_agents, half, chosen, edge, target, keys[sure], sure, key_bits(n_agents), rng)
    turns.play(np.flatnonzero(doubtful).tolist())
    return target


@dataclass(slots=True)
class _Turns:
    """Plays the doubtful moves, in order, among the sure ones.

    A move is a place in `edge`. A sure move goes to a pair of agents that no earlier move wants and that is
    no edge of the ring; it becomes doubtful if an earlier one is sent to its pair after all.

    Args:
        n_agents: Number of agents.
        half: Neighbours on either side of the ring; edge i of length l is number ``(l - 1) * n_agents + i``.
        chosen: Whether each edge of the ring is to move.
        edge: The edges to move, ascending.
        target: The new far end of each, changed in place.
        sure_keys: The pairs of agents of the sure moves, ascending.
        sure: Their moves.
        bits: Bits that hold an agent in a key.
        rng: Draws targets anew.
    """

    n_agents: int
    half: int
    chosen: NDArray[np.bool_]
    edge: Numbers
    target: Numbers
    sure_keys: Keys
    sure: Numbers
    bits: int
    rng: np.random.Generator
    _taken: set[int] = field(default_factory=set)

    def play(self, doubtful: list[int]) -> None:
        """Settle all moves in `doubtful`, ascending, and those that become so."""
        agents = self._random_agents()
        while doubtful:
            move = heapq.heappop(doubtful)
            near = int(self.edge[move]) % self.n_agents
            far = self._settled(move, near, agents)
            key = self._key(near, far)
            later = self._sure_move(key)
            if later is not None:
                heapq.heappush(doubtful, later)
            self.target[move] = far
            self._taken.add(key)

    def _settled(self, move: int, near: int, agents: Iterator[int]) -> int:
        far = int(self.target[move])
        for _ in range(PATIENCE):
            if self._free(move, near, far):
                return far
            far = next(agents)
        free = [far for far in range(self.n_agents) if self._free(move, near, far)]
        stay = (near + int(self.edge[move]) // self.n_agents + 1) % self.n_agents
        return free[int(self.rng.integers(len(free)))] if free else stay

    def _free(self, move: int, near: int, far: int) -> bool:
        """Say whether `near` and `far` are different and no neighbours at the turn of `move`."""
        if near == far or self._on_ring(move, near, far):
            return False
        key = self._key(near, far)
        if key in self._taken:
            return False
        holder = self._sure_move(key)
        return holder is None or holder > move

    def _on_ring(self, move: int, near: int, far: int) -> bool:
        along = (far - near) % self.n_agents
        if along <= self.half:
            edge = (along - 1) * self.n_agents + near
        elif self.n_agents - along <= self.half:
            edge = (self.n_agents - along - 1) * self.n_agents + far
        else:
            return False
        return edge >= int(self.edge[move]) or not self.chosen[edge]

    def _sure_move(self, key: int) -> int | None:
        place = int(self.sure_keys.searchsorted(np.uint64(key)))
        if place == len(self.sure) or int(self.sure_keys[place]) != key or key in self._taken:
            return None
        return int(self.sure[place])

    def _key(self, near: int, far: int) -> int:
        # As pack_edges, of which this is one element.
        return near << self.bits | far if near < far else far << self.bits | near

    def _random_agents(self) -> Iterator[int]:
        while True:
            yield from self.rng.integers(self.n_agents, size=32).tolist()
