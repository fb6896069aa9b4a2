"""Many random regular networks at once, for inferred cascades: stubs are paired, then mended.

Every agent has `degree` stubs; a random permutation pairs them (the configuration model, Bollobás 1980), and
pairs that are loops or double edges are exchanged against random other pairs until none is left (the
switchings of McKay & Wormald 1990). The result is uniform in the limit of many agents, as with the usual
generators; with a handful of agents some networks are slightly more frequent than others.

The networks stand block-diagonally in one table of shape ``(degree, n_networks * n_agents)``: agent i of
network r is column ``r * n_agents + i``, and the entries are such columns too. One row per slot keeps every
pass over the table contiguous.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DesignError

Table = NDArray[np.int32]
Stubs = NDArray[np.int64]

_WORD = (1 << 64) - 1


def check_regular(n_agents: int, degree: int) -> None:
    """Refuse a degree that no simple regular network of this size can have.

    Raises:
        DesignError: The degree is below 1, not below `n_agents`, or n_agents * degree is odd.
    """
    if not 1 <= degree < n_agents:
        raise DesignError(
            f"a regular network of {n_agents} agents cannot have degree {degree}; choose 1 to {n_agents - 1}"
        )
    if n_agents * degree % 2:
        raise DesignError(
            f"n_agents * degree must be even, as every link joins two agents; got {n_agents} * {degree}"
        )


def regular_tables(
    rng: np.random.Generator, n_networks: int, n_agents: int, degree: int, *, n_rounds: int = 60
) -> Table:
    """Draw `n_networks` random simple networks in which each agent has `degree` neighbours.

    Args:
        rng: Where the chance comes from.
        n_networks: Number of independent networks, >= 1.
        n_agents: Agents of each network.
        degree: Neighbours of each agent.
        n_rounds: How often pairs are mended before a network is drawn anew.

    Returns:
        Neighbours, shape ``(degree, n_networks * n_agents)``, block-diagonal.

    Raises:
        DesignError: No such network exists.
    """
    check_regular(n_agents, degree)
    if degree > (n_agents - 1) // 2:
        return _complements(rng, n_networks, n_agents, degree)
    table, stuck = _mended(rng, n_networks, n_agents, degree, n_rounds)
    while stuck.size:
        fresh, still = _mended(rng, stuck.size, n_agents, degree, n_rounds)
        offset = np.repeat((stuck - np.arange(stuck.size)) * n_agents, n_agents).astype(np.int32)
        table.reshape(degree, n_networks, n_agents)[:, stuck] = (fresh + offset).reshape(
            degree, stuck.size, n_agents
        )
        stuck = stuck[still]
    return table


def _complements(rng: np.random.Generator, n_networks: int, n_agents: int, degree: int) -> Table:
    """Draw dense networks as the complements of sparse ones, which are easy to mend."""
    linked = np.broadcast_to(np.eye(n_agents, dtype=bool), (n_networks, n_agents, n_agents)).copy()
    if degree < n_agents - 1:
        sparse = regular_tables(rng, n_networks, n_agents, n_agents - 1 - degree)
        own = np.arange(n_networks * n_agents)
        linked.reshape(-1, n_agents)[own, sparse % n_agents] = True
    network, _, neighbour = np.nonzero(~linked)
    flat = (network * n_agents + neighbour).astype(np.int32)
    return np.ascontiguousarray(flat.reshape(-1, degree).T)


def _mended(
    rng: np.random.Generator, n_networks: int, n_agents: int, degree: int, n_rounds: int
) -> tuple[Table, Stubs]:
    """Pair stubs and mend the pairs; say which networks are still not simple after many rounds."""
    pairs = _Pairs(_mates(rng, n_networks, n_agents * degree), n_agents, degree)
    bad = pairs.repeats()
    for _ in range(n_rounds):
        if not bad.size:
            break
        bad = pairs.exchange(rng, bad)
    return pairs.columns(), np.unique(bad // pairs.n_stubs)


def _mates(rng: np.random.Generator, n_networks: int, n_stubs: int) -> Stubs:
    """Pair the stubs of each network at random.

    Returns:
        The mate of each stub, numbered inside its network, shape ``(n_networks, n_stubs)``.
    """
    shuffled = _shuffled(rng, n_networks, n_stubs)
    first = np.arange(0, shuffled.size, n_stubs)[:, None]
    left, right = shuffled[:, : n_stubs // 2], shuffled[:, n_stubs // 2 :]
    mate = np.empty(shuffled.size, dtype=np.int64)
    mate[left + first] = right
    mate[right + first] = left
    return mate.reshape(shuffled.shape)


def _shuffled(rng: np.random.Generator, n_networks: int, n_stubs: int) -> Stubs:
    """Shuffle each network's stubs: sorting random words that carry the stub's number is fastest."""
    carried = (1 << int(n_stubs - 1).bit_length()) - 1
    words = rng.integers(0, _WORD, size=(n_networks, n_stubs), dtype=np.uint64, endpoint=True)
    words &= np.uint64(_WORD - carried)
    words |= np.arange(n_stubs, dtype=np.uint64)
    words.sort(axis=1)
    words &= np.uint64(carried)
    return words.view(np.int64)


class _Pairs:
    """Paired stubs: stub ``network * n_stubs + slot * n_agents + agent``, its mate, and the mate's agent.

    Args:
        mate: The stub of the same network that each stub is paired with, shape ``(n_networks, n_stubs)``.
        n_agents: Agents of each network.
        degree: Stubs of each agent.
    """

    __slots__ = ("_claim", "_mate", "_neighbour", "n_agents", "n_stubs", "table")

    def __init__(self, mate: Stubs, n_agents: int, degree: int) -> None:
        n_networks, self.n_stubs = mate.shape
        self.n_agents = n_agents
        self._mate = mate.reshape(-1)
        # The remainder, in a third of the time that NumPy takes over it.
        self.table: Table = mate.astype(np.int32)
        self.table -= self.table // n_agents * n_agents
        self._neighbour = self.table.reshape(-1)
        self.table = self.table.reshape(n_networks, degree, n_agents)
        self._claim = np.empty(mate.size, dtype=np.int32)

    def columns(self) -> Table:
        """Lay the neighbours out block-diagonally, shape ``(degree, n_networks * n_agents)``."""
        n_networks, degree, n_agents = self.table.shape
        laid = np.empty((degree, n_networks, n_agents), dtype=np.int32)
        first = np.arange(0, n_networks * n_agents, n_agents, dtype=np.int32)[:, None]
        np.add(self.table.transpose(1, 0, 2), first, out=laid)
        return laid.reshape(degree, -1)

    def repeats(self) -> Stubs:
        """Find one stub of each pair that repeats the link of an earlier slot.

        Loops show up as well: a loop takes two slots of its agent, with the same neighbour in both.
        """
        own = np.arange(self.n_agents, dtype=np.int32)
        found = [np.empty(0, dtype=np.int64)]
        for slot in range(1, self.table.shape[1]):
            row = self.table[:, slot]
            repeated = row == self.table[:, 0]
            for earlier in range(1, slot):
                repeated |= row == self.table[:, earlier]
            repeated &= own <= row
            network, agent = np.divmod(np.flatnonzero(repeated), self.n_agents)
            found.append(network * self.n_stubs + (slot * self.n_agents + agent))
        return self._once(np.concatenate(found))

    def exchange(self, rng: np.random.Generator, bad: Stubs) -> Stubs:
        """Exchange each bad pair's ends with a random pair of its network, where both new links are new.

        Returns:
            The pairs that are bad now, by one stub each.
        """
        x, y = bad, self._mates(bad)
        z = rng.integers(0, self.n_stubs, size=bad.size)
        z += bad - bad % self.n_stubs
        w = self._mates(z)
        good = self._are_free(bad, np.minimum(z, w)) & self._are_new(x, z) & self._are_new(y, w)
        self._join(x[good], z[good])
        self._join(y[good], w[good])
        again = self._once(np.concatenate([x, y]))
        return again[self._is_bad(again)]

    def _mates(self, stubs: Stubs) -> Stubs:
        mates: Stubs = self._mate[stubs] + (stubs - stubs % self.n_stubs)
        return mates

    def _once(self, stubs: Stubs) -> Stubs:
        """Name each pair by its lower stub, once."""
        lower = np.minimum(stubs, self._mates(stubs))
        return lower[self._wins(lower)]

    def _wins(self, contested: Stubs) -> NDArray[np.bool_]:
        """Let each of `contested` claim its place; the last one to claim a place has it."""
        rank = np.arange(contested.size, dtype=np.int32)
        self._claim[contested] = rank
        won: NDArray[np.bool_] = self._claim[contested] == rank
        return won

    def _are_free(self, bad: Stubs, partner: Stubs) -> NDArray[np.bool_]:
        """Whether each partner pair is no bad pair and no other bad pair's partner."""
        won = self._wins(partner)
        self._claim[bad] = -1
        return won & (self._claim[partner] >= 0)

    def _neighbours(self, stubs: Stubs) -> tuple[Stubs, Table]:
        """Look up the agent of each stub and all its neighbours, shapes ``(n,)`` and ``(n, degree)``."""
        agent = stubs % self.n_agents
        return agent, self.table[stubs // self.n_stubs, :, agent]

    def _are_new(self, one: Stubs, two: Stubs) -> NDArray[np.bool_]:
        agent, neighbours = self._neighbours(one)
        other = two % self.n_agents
        unlinked: NDArray[np.bool_] = (neighbours != other[:, None]).all(axis=1)
        distinct: NDArray[np.bool_] = agent != other
        return unlinked & distinct

    def _is_bad(self, stubs: Stubs) -> NDArray[np.bool_]:
        same = self._neighbours(stubs)[1] == self._neighbour[stubs][:, None]
        repeated: NDArray[np.bool_] = same.sum(axis=1) > 1
        return repeated

    def _join(self, one: Stubs, two: Stubs) -> None:
        self._mate[one], self._mate[two] = two % self.n_stubs, one % self.n_stubs
        self._neighbour[one], self._neighbour[two] = two % self.n_agents, one % self.n_agents
