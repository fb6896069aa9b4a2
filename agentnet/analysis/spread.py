"""How a cascade spreads once it is known how many questions each agent needs until its first yes.

Every agent that engages is pushed to its neighbours once, so the work of a whole cascade is one visit to each
link and a few passes over all agents per step. Nothing here is random but how long a `Doubt` lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.pairing import Table
from agentnet.asking_rules import NEVER, AskingRule, Moment
from agentnet.errors import InternalError

Agents = NDArray[Any]
Rows = tuple[NDArray[np.int64], NDArray[np.int64]]

Chance = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float64]]
"""From columns of exposures (``n_engaged``, ``step``, ..), an entry each, to the chance of a yes, below 1."""


@dataclass(frozen=True, slots=True)
class TableLinks:
    """Regular networks as one table, shape ``(degree, n_agents)``."""

    table: Table

    @property
    def degree(self) -> int:
        """Number of neighbours of every agent."""
        return len(self.table)

    @property
    def top_degree(self) -> int:
        """Number of neighbours of every agent."""
        return len(self.table)

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return int(self.table.shape[1])

    def hearers(self, agents: Agents) -> Agents:
        """List the neighbours of all of `agents`, with repetitions, shape ``(n_links,)``."""
        return self.table.take(agents, axis=1).ravel()

    def pairs(self) -> tuple[Agents, Agents]:
        """List all links: who is heard, and who hears, the latter ascending; each of shape ``(n_links,)``."""
        return self.table.T.ravel(), np.repeat(np.arange(self.n_agents), self.degree)


@dataclass(frozen=True, slots=True)
class RowLinks:
    """Copies of one network of compressed rows; agent i of copy c is ``c * n + i`` of n agents.

    Attributes:
        indptr: Where those whom an agent hears begin in `indices`, shape ``(n + 1,)``.
        indices: Whom each agent hears.
        n_copies: How many copies there are.
        hearing: The same two arrays of who hears each agent; None: whom it hears.
        table: Who hears each agent, shape ``(n, degree)``, where that is the same number for all.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    n_copies: int = 1
    hearing: Rows | None = None
    table: NDArray[Any] | None = None

    @property
    def degree(self) -> int | NDArray[np.int64]:
        """Number of agents that one hears: the same for all, or of shape ``(n_agents,)``."""
        if self.table is not None:
            return int(self.table.shape[1])
        return np.tile(np.diff(self.indptr), self.n_copies)

    @property
    def top_degree(self) -> int:
        """Highest number of agents that one hears."""
        if self.table is not None:
            return int(self.table.shape[1])
        return int(np.diff(self.indptr).max(initial=0))

    @property
    def n_agents(self) -> int:
        """Number of agents of all copies."""
        return (self.indptr.size - 1) * self.n_copies

    def hearers(self, agents: Agents) -> Agents:
        """List who hears any of `agents`, with repetitions, shape ``(n_links,)``."""
        local = agents if self.n_copies == 1 else agents % (self.indptr.size - 1)
        if self.table is None:
            found, count = _listed(*(self.hearing or (self.indptr, self.indices)), local)
        else:
            found, count = self.table.take(local, axis=0).ravel(), self.table.shape[1]
        return found if self.n_copies == 1 else found + np.repeat(agents - local, count)

    def pairs(self) -> tuple[Agents, Agents]:
        """List all links: who is heard, and who hears, the latter ascending; each of shape ``(n_links,)``."""
        every = np.arange(self.n_agents)
        local = every % (self.indptr.size - 1)
        found, count = _listed(self.indptr, self.indices, local)
        return found + np.repeat(every - local, count), np.repeat(every, count)


Links = TableLinks | RowLinks
"""Who hears whom."""


def turned(indptr: NDArray[np.int64], indices: NDArray[np.int64]) -> Rows:
    """Make the rows of who hears each agent of the rows of whom each hears."""
    n_agents = indptr.size - 1
    # Sorted as pairs in one integer each: to sort places takes many times as long.
    bits = n_agents.bit_length()
    pairs = indices.astype(np.int64)
    pairs <<= bits
    pairs |= np.repeat(np.arange(n_agents), np.diff(indptr))
    pairs.sort()
    pairs &= (1 << bits) - 1
    count = np.bincount(indices, minlength=n_agents)
    return np.concatenate([[0], np.cumsum(count)]), pairs


def _listed(
    indptr: NDArray[np.int64], indices: NDArray[Any], agents: Agents
) -> tuple[Agents, NDArray[np.int64]]:
    """List the rows of agents, one behind the other, and say how long each is."""
    first = indptr.take(agents)
    count = indptr[1:].take(agents) - first
    ends = count.cumsum()
    first -= ends
    first += count
    place = np.repeat(first, count)
    place += np.arange(place.size)
    return indices.take(place), count


class Spread:
    """Cascades side by side, advanced step by step.

    Args:
        links: Who hears whom.
        needed: Questions each agent needs until it says yes, >= 1 and at most `never`, shape ``(n_agents,)``.
        rule: When an exposed agent is asked.
        n_steps: Steps that will be taken at most.
        count: Whether `questions` will be wanted.
    """

    def __init__(
        self, links: Links, needed: NDArray[Any], rule: AskingRule, n_steps: int, *, count: bool
    ) -> None:
        self._links = links
        self._rule = rule
        self._never = never(links, n_steps)
        self._needed = needed.copy()
        self._asked_engaged = np.zeros_like(needed) if count else None
        self._touched = np.zeros(needed.shape, dtype=bool)
        self._touching = np.zeros_like(needed)
        self._pairs: tuple[Agents, Agents] | None = None
        self._n_steps = n_steps
        self.n_neighbours = links.degree
        self.n_asked = np.zeros_like(needed)
        self.n_engaged = np.zeros_like(needed)
        self.engaged_step = np.full(needed.shape, NEVER, dtype=np.int32)
        self.played = 0

    def engage(self, agents: Agents) -> None:
        """Let `agents` engage: their messages stand at their neighbours from the next step on."""
        if self._asked_engaged is not None:
            self._asked_engaged[agents] = self.n_asked[agents]
        self._needed[agents] = self._never + 1
        self.engaged_step[agents] = self.played
        if self.played == self._n_steps:
            return  # nobody will hear it
        np.add.at(self.n_engaged, self._links.hearers(agents), self.n_asked.dtype.type(1))

    def step(self) -> Agents:
        """Ask every exposed agent that the rule lets be asked.

        Returns:
            The agents that say yes for the first time, in order; hand them to `engage`.
        """
        self.n_asked += self.ask()
        return (self.n_asked >= self._needed).nonzero()[0]

    def ask(self) -> Agents:
        """Begin a step, and count the questions that the rule puts to each agent that is not engaged."""
        self.played += 1
        if self._pairs is None:
            try:
                crowd = self._rule.choose(Crowd(self, self.n_engaged), **self._rule.options)
            except _LooksAtPairs:
                self._pairs = self._links.pairs()
            else:
                questions: Agents = crowd.questions  # type: ignore[attr-defined] # what `Crowd` gives
                return questions
        indices, listener = self._pairs
        moment = Moment(indices, listener, self.engaged_step, self.played, self.n_asked.astype(np.int32))
        asked = np.bincount(self._rule.asked(moment).agent, minlength=self._links.n_agents)
        return asked.astype(self.n_asked.dtype)

    def n_fresh(self) -> Agents:
        """Count the neighbours of each agent that are neither engaged nor exposed."""
        touched = (self.n_engaged > 0) | (self.engaged_step != NEVER)
        fresh = np.flatnonzero(touched & ~self._touched)
        np.add.at(self._touching, self._links.hearers(fresh), self._touching.dtype.type(1))
        self._touched = touched
        left: Agents = self.n_neighbours - self._touching
        return left

    def questions(self) -> NDArray[Any]:
        """Count the questions asked of each agent until now, those of the step it engaged in included.

        Raises:
            InternalError: The spread was made without `count`.
        """
        if self._asked_engaged is None:
            raise InternalError("this spread does not count questions: make it with count=True")
        return np.where(self.engaged_step != NEVER, self._asked_engaged, self.n_asked)


class Doubt:
    """A spread in which the chance of a yes changes with what stands around an agent.

    An agent says yes once the rates -log(1 - p) of its questions add up to an exponential waiting time. With
    one p for ever that is a geometric number of questions.

    Args:
        links: Who hears whom.
        chance: The chance of a yes from columns of exposures.
        columns: The columns that stay as they are, an entry for each agent.
        rule: When an exposed agent is asked.
        n_steps: Steps that will be taken at most.
        rng: Draws the waiting times.
    """

    def __init__(
        self,
        links: Links,
        chance: Chance,
        columns: Mapping[str, NDArray[Any]],
        rule: AskingRule,
        n_steps: int,
        rng: np.random.Generator,
    ) -> None:
        n_agents = links.n_agents
        self._chance = chance
        self._columns = {"n_neighbours": np.broadcast_to(links.degree, (n_agents,)), **columns}
        nobody = np.zeros(n_agents, dtype=np.int64)
        self._spread = Spread(links, nobody + never(links, n_steps), rule, n_steps, count=False)
        self._patience = rng.standard_exponential(n_agents)
        self._worn = np.zeros(n_agents)

    @property
    def engaged_step(self) -> NDArray[np.int32]:
        """Step at which each agent engaged, or `NEVER`."""
        return self._spread.engaged_step

    def engage(self, agents: NDArray[Any]) -> None:
        """Let `agents` engage."""
        self._spread.engage(agents)

    def step(self) -> NDArray[np.int64]:
        """Ask every exposed agent that the rule lets be asked; give those that say yes."""
        spread = self._spread
        questions = np.where(spread.engaged_step == NEVER, spread.ask(), 0)
        asked = np.flatnonzero(questions)
        around = {"step": np.full(questions.shape, spread.played), "n_engaged": spread.n_engaged}
        columns = self._columns | around | {"n_asked": spread.n_asked}
        chance = self._chance({name: column[asked] for name, column in columns.items()})
        self._worn[asked] -= questions[asked] * np.log1p(-chance)
        spread.n_asked += questions
        return asked[self._worn[asked] >= self._patience[asked]]


class _LooksAtPairs(Exception):
    """A rule looks at single pairs of agent and neighbour."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """What `agentnet.asking_rules.Exposures` is, with an entry for each agent instead of each pair.

    Most rules look at nothing but the agent. They are spared the pairs, which are several times as many; a
    rule that does look at them is given them, from then on.

    Attributes:
        spread: The cascades at the start of the step.
        questions: How many exposures of each agent are kept, shape ``(n_agents,)``.
    """

    spread: Spread
    questions: Agents

    @property
    def step(self) -> int:
        """The step to be played."""
        return self.spread.played

    @property
    def n_engaged(self) -> Agents:
        """How many of those whom the agent hears are engaged."""
        return self.spread.n_engaged.astype(np.int32)

    @property
    def n_neighbours(self) -> Agents:
        """How many the agent hears."""
        return np.broadcast_to(self.spread.n_neighbours, self.questions.shape)

    @property
    def n_unengaged(self) -> Agents:
        """How many of those whom the agent hears are not engaged."""
        return self.spread.n_neighbours - self.n_engaged

    @property
    def n_fresh(self) -> Agents:
        """How many of those whom the agent hears are neither engaged nor exposed."""
        # A rule may multiply it, which the narrow integers of a spread would not hold.
        return self.spread.n_fresh().astype(np.int32)

    @property
    def n_asked(self) -> Agents:
        """How many questions the agent was asked at earlier steps."""
        return self.spread.n_asked.astype(np.int32)

    def where(self, chosen: NDArray[np.bool_]) -> Crowd:
        """Keep the exposures of some agents."""
        return Crowd(self.spread, self.questions * chosen)

    def once_per_agent(self) -> Crowd:
        """Keep one exposure of each agent that was never asked before."""
        return Crowd(self.spread, np.minimum(self.questions, 1) * (self.spread.n_asked == 0))

    def __getattr__(self, name: str) -> NoReturn:
        raise _LooksAtPairs(name)

    def __len__(self) -> int:
        raise _LooksAtPairs


def never(links: Links, n_steps: int) -> int:
    """Tell the least number of questions that nobody is asked within `n_steps` steps."""
    return n_steps * links.top_degree + 1
