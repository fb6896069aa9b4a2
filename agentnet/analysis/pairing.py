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
Words = NDArray[np.unsignedinteger]

_WORD = (1 << 64) - 1
_MOST_STUBS = (1 << 31) - 1
"""Stubs of a network are numbered by int32."""
_STRETCH = 1 << 15
"""How many stubs of a network are entered at a time: what is made on the way stays in the cache."""
_FEW_STUBS = 1 << 10
"""Of so many stubs hardly any two have words whose upper halves are alike beside the bits that carry them."""


def check_regular(n_agents: int, degree: int) -> None:
    """Refuse a degree that no simple regular network of this size can have.

    Raises:
        DesignError: The degree is below 1, not below `n_agents`, or n_agents * degree is odd, or too large.
    """
    if not 1 <= degree < n_agents:
        raise DesignError(
            f"a regular network of {n_agents} agents cannot have degree {degree}; choose 1 to {n_agents - 1}"
        )
    if n_agents * degree % 2:
        raise DesignError(
            f"n_agents * degree must be even, as every link joins two agents; got {n_agents} * {degree}"
        )
    if n_agents * degree > _MOST_STUBS:
        raise DesignError(
            f"{n_agents} agents with {degree} neighbours each are more than is drawn at once; "
            f"n_agents * degree may be at most {_MOST_STUBS}"
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
    pairs = _Pairs(_mates(rng, n_networks, n_agents, degree), n_agents, degree)
    bad = pairs.repeats()
    for _ in range(n_rounds):
        if not bad.size:
            break
        bad = pairs.exchange(rng, bad)
    return pairs.columns(), np.unique(bad // pairs.n_stubs)


def _mates(rng: np.random.Generator, n_networks: int, n_agents: int, degree: int) -> Table:
    """Pair the stubs of each network at random.

    Returns:
        The mate of each stub, numbered inside its network, shape ``(n_networks, n_stubs)``.
    """
    shuffled, carried = _shuffled(rng, n_networks, n_agents, degree)
    half = shuffled.shape[1] // 2
    first = np.arange(0, shuffled.size, 2 * half)[:, None]
    mate = np.empty(shuffled.size, dtype=np.int32)
    for at in range(0, half, _STRETCH):
        end = min(at + _STRETCH, half)
        left = (shuffled[:, at:end] & carried).astype(np.int32)
        right = (shuffled[:, half + at : half + end] & carried).astype(np.int32)
        mate[left + first] = right
        mate[right + first] = left
    return mate.reshape(shuffled.shape)


def _shuffled(rng: np.random.Generator, n_networks: int, n_agents: int, degree: int) -> tuple[Words, int]:
    """Shuffle each network's stubs: sorting random words that carry the stub's number is fastest.

    Returns:
        The sorted words, shape ``(n_networks, n_stubs)``, and the mask of their bits that are the stub.
    """
    n_stubs = n_agents * degree
    carried = (1 << int(n_stubs - 1).bit_length()) - 1
    words = rng.integers(0, _WORD, size=(n_networks, n_stubs), dtype=np.uint64, endpoint=True)
    if n_stubs > _FEW_STUBS:
        _sort(words, carried)
        return words, carried
    # Their upper halves are sorted in less than half the time, and in the same order unless some are alike.
    upper = np.empty(words.shape, dtype=np.uint32)
    np.right_shift(words, np.uint64(32), out=upper, casting="unsafe")
    _sort(upper, carried)
    alike = ((upper[:, 1:] ^ upper[:, :-1]) <= carried).any(axis=1)
    if alike.any():
        whole = words[alike]
        _sort(whole, carried)
        upper[alike] = whole
    return upper, carried


def _sort(words: Words, carried: int) -> None:
    """Let words carry their places in the bits of a mask, and sort them, row by row, in place."""
    for at in range(0, words.shape[1], _STRETCH):
        part = words[:, at : at + _STRETCH]
        part &= ~words.dtype.type(carried)
        part |= np.arange(at, at + part.shape[1], dtype=words.dtype)
    words.sort(axis=1)


class _Pairs:
    """Paired stubs: stub ``network * n_stubs + slot * n_agents + agent``, its mate, and the mate's agent.

    Args:
        mate: The stub of the same network that each stub is paired with, shape ``(n_networks, n_stubs)``.
        n_agents: Agents of each network.
        degree: Stubs of each agent.
    """

    __slots__ = ("_claim", "_mate", "_neighbour", "_slots", "n_agents", "n_stubs", "table")

    def __init__(self, mate: Table, n_agents: int, degree: int) -> None:
        n_networks, self.n_stubs = mate.shape
        self.n_agents = n_agents
        self._mate = mate.reshape(-1)
        # The remainder, in half the time that NumPy takes over it.
        neighbour: Table = self._mate // n_agents
        neighbour *= -n_agents
        neighbour += self._mate
        self._neighbour = neighbour
        self.table = neighbour.reshape(n_networks, degree, n_agents)
        self._slots = np.arange(0, self.n_stubs, n_agents)[:, None]
        self._claim = np.empty(mate.size, dtype=np.int32)

    def columns(self) -> Table:
        """Lay the neighbours out block-diagonally, shape ``(degree, n_networks * n_agents)``."""
        n_networks, degree, n_agents = self.table.shape
        if n_networks == 1:
            return self.table.reshape(degree, n_agents)
        laid = np.empty((degree, n_networks, n_agents), dtype=np.int32)
        first = np.arange(0, n_networks * n_agents, n_agents, dtype=np.int32)[:, None]
        np.add(self.table.transpose(1, 0, 2), first, out=laid)
        return laid.reshape(degree, -1)

    def repeats(self) -> Stubs:
        """Find one stub of each pair that repeats the link of an earlier slot.

        Loops show up as well: a loop takes two slots of its agent, with the same neighbour in both.
        """
        n_networks, degree, n_agents = self.table.shape
        repeated = np.zeros((degree, n_networks, n_agents), dtype=bool)
        for slot in range(1, degree):
            for earlier in range(slot):
                repeated[slot] |= self.table[:, slot] == self.table[:, earlier]
        slots, places = np.divmod(np.flatnonzero(repeated), n_networks * n_agents)
        network, agent = np.divmod(places, n_agents)
        found = network * self.n_stubs + (slots * n_agents + agent)
        return self._once(found[agent <= self._neighbour[found]])

    def exchange(self, rng: np.random.Generator, bad: Stubs) -> Stubs:
        """Exchange each bad pair's ends with a random pair of its network, where both new links are new.

        Returns:
            The pairs that are bad now, by one stub each.
        """
        first = bad - bad % self.n_stubs
        x, y = bad, self._mate[bad] + first
        z = rng.integers(0, self.n_stubs, size=bad.size)
        z += first
        w = self._mate[z] + first
        # The agent of a stub is its mate's neighbour.
        of_y, of_x, of_w, of_z = (self._neighbour[stubs] for stubs in (x, y, z, w))
        good = self._are_free(bad, np.minimum(z, w))
        good &= self._are_new(first, of_x, of_z)
        good &= self._are_new(first, of_y, of_w)
        chosen = np.flatnonzero(good)
        self._join(first, chosen, (x, of_x), (z, of_z))
        self._join(first, chosen, (y, of_y), (w, of_w))
        again = self._once(np.concatenate([x, y]))
        return again[self._is_bad(again)]

    def _once(self, stubs: Stubs) -> Stubs:
        """Name each pair by its lower stub, once."""
        lower: Stubs = np.minimum(stubs, self._mate[stubs] + (stubs - stubs % self.n_stubs))
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

    def _neighbours(self, first: Stubs, agent: Table) -> Table:
        """Look up the neighbours of agents of the networks whose stubs begin at `first`: ``(degree, n)``."""
        found: Table = self._neighbour[self._slots + (first + agent)]
        return found

    def _are_new(self, first: Stubs, one: Table, two: Table) -> NDArray[np.bool_]:
        unlinked: NDArray[np.bool_] = (self._neighbours(first, one) != two).all(axis=0)
        unlinked &= one != two
        return unlinked

    def _is_bad(self, stubs: Stubs) -> NDArray[np.bool_]:
        first = stubs - stubs % self.n_stubs
        agent = self._neighbour[self._mate[stubs] + first]
        same = self._neighbours(first, agent) == self._neighbour[stubs]
        repeated: NDArray[np.bool_] = same.sum(axis=0) > 1
        return repeated

    def _join(self, first: Stubs, chosen: Stubs, one: tuple[Stubs, Table], two: tuple[Stubs, Table]) -> None:
        """Pair the chosen ones of stubs, each given with its agents."""
        first = first[chosen]
        (left, of_left), (right, of_right) = ([each[chosen] for each in end] for end in (one, two))
        self._mate[left], self._mate[right] = right - first, left - first
        self._neighbour[left], self._neighbour[right] = of_right, of_left
