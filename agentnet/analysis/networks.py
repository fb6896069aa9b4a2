"""The networks of a run: how many neighbours agents have, and what inferred cascades are to be played on.

Where each realization drew a random regular network of its own, inferred cascades draw fresh ones too. Any
other design (one network for all, another generator) is replayed on the networks that were recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agentnet.analysis.columns import MARKED
from agentnet.analysis.covariates import agent_attribute, attributes_known
from agentnet.analysis.tables import Array, Ints, freeze
from agentnet.events.graphs import recorded_network

if TYPE_CHECKING:
    from agentnet.analysis.reading import OpenLog

RANDOM_REGULAR = "random_regular"
"""What logs call the networks of the generator that inferred cascades draw from."""

_MOST_PLAYED = 100
_MOST_EDGES = 5_000_000

_INITIAL = "SELECT agent FROM agents WHERE realization = ? AND engaged_step = 0 ORDER BY agent"


@dataclass(frozen=True, slots=True, eq=False)
class PlayedNetwork:
    """One network as it was played: who hears whom, and who has which profile.

    Attributes:
        row: The realization's place along the tables' first axis.
        indptr: Where those whom an agent hears begin in `indices`, shape ``(n_agents + 1,)``.
        indices: Whom each agent hears: of undirected networks, each link seen from both ends.
        profile: Profile number of each agent, shape ``(n_agents,)``.
        attributes: Attributes of the agents that the tables were read with, by name, same shape.
        initial: Agents engaged at step 0.
        is_directed: Whether hearing may be one-way.
    """

    row: int
    indptr: Ints
    indices: Ints
    profile: Ints
    attributes: Mapping[str, Array] = field(default_factory=dict)
    initial: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    is_directed: bool = True

    def __post_init__(self) -> None:
        freeze(self)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkDesign:
    """The networks of a run.

    Attributes:
        names: Generators or files, each once.
        n_networks: Number of different networks.
        fresh: Whether each realization drew a random regular network of its own.
        degrees: The numbers of neighbours that occur, rising, shape ``(n_degrees,)``.
        n_agents: Agents of all realizations that have so many, same shape.
        played: The networks that inferred cascades are to be played on, with their profiles, where drawing
            fresh random regular ones would be another design; empty where it would not.
        is_directed: Whether ties of any of them go one way.
        n_hearers: How often those agents are heard, in sum, shape ``(n_degrees,)``; None where each is heard
            as often as it hears.
    """

    names: tuple[str, ...]
    n_networks: int
    fresh: bool
    degrees: Ints
    n_agents: Ints
    played: tuple[PlayedNetwork, ...] = ()
    is_directed: bool = False
    n_hearers: Ints | None = None

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def is_random_regular(self) -> bool:
        """Whether all are of the generator that inferred cascades draw from."""
        return self.names == (RANDOM_REGULAR,)

    @property
    def degree(self) -> int | None:
        """Number of neighbours of every agent; None where they differ."""
        return int(self.degrees[0]) if self.degrees.size == 1 else None

    @property
    def mean_degree(self) -> float:
        """Mean number of neighbours."""
        return float(np.average(self.degrees, weights=self.n_agents))

    @property
    def degree_share(self) -> Array:
        """Fraction of agents with each number of neighbours, shape ``(n_degrees,)``."""
        share: Array = self.n_agents / self.n_agents.sum()
        return share

    @property
    def mean_hearers(self) -> Array | None:
        """How many hear an agent with each number of neighbours on average, shape ``(n_degrees,)``."""
        return None if self.n_hearers is None else self.n_hearers / self.n_agents


class _Recorded(NamedTuple):
    """A network of the log."""

    digest: str
    name: str
    n_agents: int
    n_edges: int


def read_networks(
    log: OpenLog, realization: Ints, columns: Sequence[str] = (), *, most_edges: int = _MOST_EDGES
) -> NetworkDesign:
    """Read the networks of some realizations.

    Args:
        log: The event log.
        realization: Numbers of the realizations, rising.
        columns: Columns of exposures that are wanted. With attributes of agents among them cascades are
            replayed on the recorded networks, whatever they are: chance deals no attributes.
        most_edges: What is kept to be replayed has no more edges, if it has more than one network.

    Raises:
        RunFolderError: A network is missing or damaged.
    """
    query = (
        "SELECT realization, network, name, n_agents, n_edges FROM realizations JOIN networks USING (network)"
    )
    of = {number: _Recorded(*facts) for number, *facts in log.connection.execute(query)}
    if missing := set(realization.tolist()) - set(of):
        raise log.damage(f"realization {min(missing)} has no network")
    used = [of[number] for number in realization.tolist()]
    different = Counter(used)
    ties = _ties(log, different, most_edges)
    names = tuple(dict.fromkeys(network.name for network in different))
    fresh = (
        names == (RANDOM_REGULAR,)
        and ties.degrees.size == 1
        and len(different) == len(used)
        and len({network.n_agents for network in different}) == 1
    )
    attributes = [name for name in attributes_known(log) if name in columns] if columns else []
    played = (
        () if fresh and not attributes else tuple(_played(log, realization, used, attributes, most_edges))
    )
    return NetworkDesign(
        names=names,
        n_networks=len(different),
        fresh=fresh,
        degrees=ties.degrees,
        n_agents=ties.n_agents,
        played=played,
        is_directed=ties.is_directed,
        n_hearers=ties.n_hearers if ties.is_directed else None,
    )


class _Ties(NamedTuple):
    """How often agents hear and are heard; see `NetworkDesign`."""

    degrees: Ints
    n_agents: Ints
    n_hearers: Ints
    is_directed: bool


def _ties(log: OpenLog, different: Counter[_Recorded], most_edges: int) -> _Ties:
    """Count the agents of all realizations by their number of neighbours, and how often they are heard."""
    n_agents, n_hearers = Counter[int](), Counter[int]()
    is_directed = False
    for network, n_uses in different.items():
        counts, heard, one_way = _ties_of(log, network, most_edges)
        is_directed |= one_way
        for degree in np.flatnonzero(counts).tolist():
            n_agents[degree] += int(counts[degree]) * n_uses
            n_hearers[degree] += int(heard[degree]) * n_uses
    found = [(degree, n_agents[degree], n_hearers[degree]) for degree in sorted(n_agents)]
    degrees, agents, hearers = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return _Ties(degrees, agents, hearers, is_directed)


def _ties_of(log: OpenLog, network: _Recorded, most_edges: int) -> tuple[Ints, Ints, bool]:
    """Count agents, and how often they are heard in sum, by their number of neighbours."""
    # What our own generator calls regular is regular; reading gigabytes would only say so again.
    if network.name == RANDOM_REGULAR and network.n_edges > most_edges:
        counts = np.zeros(2 * network.n_edges // network.n_agents + 1, dtype=np.int64)
        counts[-1] = network.n_agents
        return counts, counts * (counts.size - 1), False
    read = recorded_network(log.run, network.digest)
    degree = read.degree
    heard = np.bincount(degree, weights=read.n_hearers).astype(np.int64)
    return np.bincount(degree).astype(np.int64), heard, read.is_directed


def _played(
    log: OpenLog, realization: Ints, used: list[_Recorded], attributes: list[str], most_edges: int
) -> Iterator[PlayedNetwork]:
    """Choose realizations evenly, as many as there is room for, and read their networks."""
    room = max(1, most_edges // max(1, *(network.n_edges for network in used)))
    n_played = min(len(used), _MOST_PLAYED, room)
    rows: dict[str, tuple[Ints, Ints, bool]] = {}
    query = f"SELECT {MARKED.format('profile')} FROM agents WHERE realization = ? ORDER BY agent"  # noqa: S608 - our own
    for row in np.linspace(0, len(used) - 1, n_played).round().astype(int).tolist():
        network = used[row]
        if network.digest not in rows:
            heard = recorded_network(log.run, network.digest)
            rows[network.digest] = heard.indptr, heard.indices.astype(np.int64), heard.is_directed
        profile = log.profiles(log.integers(query, 1, int(realization[row]))[0])
        own = {name: agent_attribute(log, int(realization[row]), name) for name in attributes}
        initial = log.integers(_INITIAL, 1, int(realization[row]))[0]
        indptr, indices, is_directed = rows[network.digest]
        yield PlayedNetwork(row, indptr, indices, profile, own, initial, is_directed)
