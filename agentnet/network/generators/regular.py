"""Random regular networks: every agent has the same number of neighbours, chance decides which.

Each agent gets `degree` stubs, and the stubs are paired at random. Given that no pairing is preferred, a
pairing without loops and double edges is a uniformly random regular network (Bollobás 1980, European Journal
of Combinatorics 1, 311-316). Such a pairing has a probability of about exp(-(k^2 - 1) / 4) at degree k: so
either whole pairings are drawn until one is simple, or the few faults of one pairing, about (k^2 - 1) / 4 at
any number of agents, are repaired.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DesignError, near_miss
from agentnet.network.checks import agent_count, edge_count, generator, whole
from agentnet.network.csr import (
    Agents,
    Keys,
    key_bits,
    lower_half,
    pack_edges,
    repeated,
    sorted_arcs,
    upper_half,
)
from agentnet.network.generator import network_generator
from agentnet.network.graph import Network, trusted

METHODS = ("auto", "pairing", "rejection")

AUTO_STUBS = 25_000
"""`auto` rejects while the expected number of stubs drawn is below this, which takes about 1 ms."""

MAX_TRIES = 100_000
BATCH_STUBS = 2**16


@network_generator
def random_regular(n_agents: int, degree: int, *, seed: int, method: str = "auto") -> Network:
    """Draw a network in which every agent has `degree` neighbours.

    If more than half of all agents are to be neighbours, the complement is drawn and turned over, which has
    the same law. With k the lesser of `degree` and ``n_agents - 1 - degree``:

    - ``"rejection"`` draws pairings until one is simple: about exp((k^2 - 1) / 4) of them, more in small
      networks. Exactly uniform over all such networks. Out of reach above k = 6.
    - ``"pairing"`` draws one pairing, and switches each loop and each surplus copy of an edge with a random
      edge: (a, b) and (c, d) become (a, c) and (b, d), if that makes no new fault. Close to uniform: the mean
      number of triangles is 6 % low at 10 agents and degree 3, and at 128 agents and degree 5 no further off
      than 3,000 networks can tell (1 %). Time O(n k log(n k) + k^3).
    - ``"auto"`` rejects where ``n_agents * k * exp((k^2 - 1) / 4)`` is at most 25,000 (k = 3: to 1,127
      agents, k = 4: to 146, k = 5: to 12), and pairs elsewhere.

    Args:
        n_agents: Number of agents N, in [1, 2^31).
        degree: Neighbours of each, in [0, N-1]; N * degree must be even.
        seed: Fixes the network, together with `method`.
        method: ``"auto"``, ``"pairing"`` or ``"rejection"``.

    Raises:
        DesignError: No such network, or 100,000 pairings without a simple one.

    Examples:
        >>> network = random_regular(128, 5, seed=7)
        >>> network.table.shape
        (128, 5)
    """
    n_agents, degree = _possible(n_agents, degree)
    if method not in METHODS:
        raise DesignError(f"there is no method {method!r}{near_miss(str(method), METHODS)}")
    drawn = min(degree, n_agents - 1 - degree)
    table = _draw(n_agents, drawn, method, generator(seed, "random_regular"))
    table = table if drawn == degree else complement(table)
    return trusted(np.arange(n_agents + 1) * degree, table.reshape(-1), "random_regular")


def complement(table: Agents) -> Agents:
    """Make the neighbour table of the network that joins exactly the pairs that `table` does not.

    Args:
        table: Neighbours of each of n agents, shape ``(n, k)``.

    Returns:
        Neighbours of each, ascending, shape ``(n, n - 1 - k)``. Takes n^2 bytes on the way.
    """
    n_agents, degree = table.shape
    apart = np.ones((n_agents, n_agents), dtype=np.bool_)
    np.fill_diagonal(apart, val=False)
    apart[np.arange(n_agents)[:, np.newaxis], table] = False
    return np.nonzero(apart)[1].astype(np.int32).reshape(n_agents, n_agents - 1 - degree)


def expected_tries(degree: int) -> float:
    """Estimate how many pairings are drawn until one is simple, in a large network of this degree."""
    exponent = max(0.0, (degree * degree - 1) / 4)
    return math.exp(exponent) if exponent < 700 else math.inf


def _possible(n_agents: int, degree: int) -> tuple[int, int]:
    n_agents = agent_count(n_agents)
    degree = whole("degree", degree, least=0)
    if degree >= n_agents:
        raise DesignError(
            f"`degree` {degree} needs at least {degree + 1} agents, not {n_agents}: "
            f"raise `n_agents` or lower `degree`"
        )
    if n_agents * degree % 2:
        raise DesignError(
            f"{n_agents} agents cannot all have {degree} neighbours: their product must be even; "
            f"take an even `degree` or {n_agents + 1} agents"
        )
    edge_count(n_agents * degree / 2)
    return n_agents, degree


def _draw(n_agents: int, degree: int, method: str, rng: np.random.Generator) -> Agents:
    if degree == 0:
        return np.zeros((n_agents, 0), dtype=np.int32)
    tries = expected_tries(degree)
    cheap = tries * n_agents * degree <= AUTO_STUBS
    if method == "rejection" or (method == "auto" and cheap):
        return _by_rejection(n_agents, degree, rng, MAX_TRIES)
    return _by_pairing(n_agents, degree, rng)


def _by_rejection(n_agents: int, degree: int, rng: np.random.Generator, max_tries: int) -> Agents:
    tries = expected_tries(degree)
    if tries > max_tries:
        raise DesignError(
            f"method `rejection` needs more than {max_tries} pairings at degree {degree}; use `pairing`"
        )
    n_stubs = n_agents * degree
    batch = max(1, min(math.ceil(tries), BATCH_STUBS // n_stubs))
    stubs = np.tile(np.repeat(np.arange(n_agents), degree), (batch, 1))
    for _ in range(0, max_tries, batch):
        rng.permuted(stubs, axis=1, out=stubs)
        simple = np.flatnonzero(_simple(stubs[:, 0::2], stubs[:, 1::2], n_agents))
        if simple.size:
            first = stubs[simple[0]]
            return _table(sorted_arcs(first[0::2], first[1::2], n_agents), n_agents)
    raise DesignError(
        f"method `rejection` found no simple network of {n_agents} agents and degree {degree} among "
        f"{max_tries} pairings; use `pairing`"
    )


def _simple(u: NDArray[np.int64], v: NDArray[np.int64], n_agents: int) -> NDArray[np.bool_]:
    """Say which pairings have neither loop nor double edge; from shape (tries, n_edges) to (tries,)."""
    edges = pack_edges(u, v, n_agents)
    edges.sort(axis=1)
    faulty: NDArray[np.bool_] = (u == v).any(axis=1) | (edges[:, 1:] == edges[:, :-1]).any(axis=1)
    return ~faulty


def _table(arcs: Keys, n_agents: int) -> Agents:
    return lower_half(arcs, n_agents).reshape(n_agents, -1)


def _by_pairing(n_agents: int, degree: int, rng: np.random.Generator) -> Agents:
    # Ends with probability 1: should a repair get stuck, any new pairing can be simple by itself.
    while True:
        arcs = _random_arcs(n_agents, degree, rng)
        repair = _Repair(_table(arcs, n_agents), rng)
        if all(repair.mend(a, b) for a, b in _faults(arcs, n_agents)):
            return repair.finish()


def _random_arcs(n_agents: int, degree: int, rng: np.random.Generator) -> Keys:
    """Pair the stubs at random; returns sorted arcs, loops and doubles included."""
    # Sorting stubs by random upper bits shuffles them twice as fast as swapping them at random places. Equal
    # upper bits fall in agents' order: less than one pair of stubs among five million has them.
    bits = np.uint64(key_bits(n_agents))
    stubs: Keys = rng.bit_generator.random_raw(n_agents * degree)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    stubs &= ~mask
    stubs.reshape(n_agents, degree)[...] |= np.arange(n_agents, dtype=np.uint64)[:, np.newaxis]
    stubs.sort()
    stubs &= mask
    # As sorted_arcs, but in place: new arrays of this size cost as much as the arithmetic.
    first, second = stubs[0::2], stubs[1::2]
    forward = first << bits
    forward |= second
    second <<= bits
    second |= first
    first[...] = forward
    stubs.sort()
    return stubs


def _faults(arcs: Keys, n_agents: int) -> list[tuple[int, int]]:
    """List the loops (a, a), each as often as it stands, and the surplus copies of edges (a, b), a < b."""
    surplus = repeated(arcs)
    pairs = list(
        zip(upper_half(surplus, n_agents).tolist(), lower_half(surplus, n_agents).tolist(), strict=True)
    )
    # m loops of one agent are 2m equal arcs, so 2m - 1 surplus ones: m of them count.
    loops = Counter(a for a, b in pairs if a == b)
    faults = [(a, a) for a, count in loops.items() for _ in range((count + 1) // 2)]
    return faults + [(a, b) for a, b in pairs if a < b]


@dataclass(slots=True)
class _Repair:
    """Switches faulty edges of one neighbour table with random edges. Owns `table`."""

    table: Agents
    rng: np.random.Generator
    _rows: dict[int, list[int]] = field(default_factory=dict)
    _slots: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        self._slots = self._random_slots()

    def mend(self, a: int, b: int) -> bool:
        """Replace one edge (a, b), if it is still a fault; False if no switch was found."""
        if self._row(a).count(b) < 2:
            return True
        degree = self.table.shape[1]
        for _ in range(200 + 10 * degree):
            c, slot = divmod(next(self._slots), degree)
            d = self._row(c)[slot]
            if self._allowed(a, b, c, d):
                self._switch(a, b, c, d)
                return True
        return False

    def finish(self) -> Agents:
        """Write the changed rows back, ascending."""
        for agent, row in self._rows.items():
            self.table[agent] = sorted(row)
        return self.table

    def _allowed(self, a: int, b: int, c: int, d: int) -> bool:
        if a in (c, d) or b in (c, d) or (a == b and c == d):
            return False
        return c not in self._row(a) and d not in self._row(b)

    def _switch(self, a: int, b: int, c: int, d: int) -> None:
        for agent, old, new in ((a, b, c), (b, a, d), (c, d, a), (d, c, b)):
            row = self._row(agent)
            row[row.index(old)] = new

    def _row(self, agent: int) -> list[int]:
        row = self._rows.get(agent)
        if row is None:
            row = self._rows[agent] = self.table[agent].tolist()
        return row

    def _random_slots(self) -> Iterator[int]:
        while True:
            yield from self.rng.integers(self.table.size, size=32).tolist()
