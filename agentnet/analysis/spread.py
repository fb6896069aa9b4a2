"""How a cascade spreads once it is known how many questions each agent needs until its first yes.

Nothing here is random. Every agent that engages is pushed to its neighbours once, so the work of a whole
cascade is one visit to each link and a few passes over all agents per step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.pairing import Table
from agentnet.errors import InternalError

AskingRule = Literal["always", "unengaged_neighbour", "unexposed_neighbour", "once_per_edge"]
"""When an exposed agent is asked: the readings of the paper's rule, as the configuration names them.

``always``: at every step. ``unengaged_neighbour``: while it has an unengaged neighbour left.
``unexposed_neighbour``: while it has a neighbour that is neither engaged nor exposed. ``once_per_edge``: each
engaged neighbour counts once, for ever.
"""

Agents = NDArray[Any]


class Links(Protocol):
    """Who hears whom.

    Attributes:
        degree: Number of neighbours, one for all agents or shape ``(n_agents,)``.
        n_agents: Number of agents.
        top_degree: Highest number of neighbours.
    """

    @property
    def degree(self) -> NDArray[Any] | int:
        """Number of neighbours."""
        ...

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        ...

    @property
    def top_degree(self) -> int:
        """Highest number of neighbours."""
        ...

    def neighbours(self, agents: Agents) -> Agents:
        """List the neighbours of all of `agents`, with repetitions, shape ``(n_links,)``."""
        ...


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

    def neighbours(self, agents: Agents) -> Agents:
        """List the neighbours of all of `agents`."""
        return self.table.take(agents, axis=1).ravel()


@dataclass(frozen=True, slots=True)
class RowLinks:
    """Copies of one network of compressed rows; agent i of copy c is ``c * len(rows) + i``."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    n_copies: int = 1

    @property
    def degree(self) -> NDArray[np.int64]:
        """Number of neighbours, shape ``(n_agents,)``."""
        return np.tile(np.diff(self.indptr), self.n_copies)

    @property
    def top_degree(self) -> int:
        """Highest number of neighbours."""
        return int(np.diff(self.indptr).max(initial=0))

    @property
    def n_agents(self) -> int:
        """Number of agents of all copies."""
        return (self.indptr.size - 1) * self.n_copies

    def neighbours(self, agents: Agents) -> Agents:
        """List the neighbours of all of `agents`."""
        local = agents % (self.indptr.size - 1)
        first, count = self.indptr[local], self.indptr[local + 1] - self.indptr[local]
        past = np.cumsum(count) - count
        place = np.arange(count.sum()) + np.repeat(first - past, count)
        found: Agents = self.indices[place] + np.repeat(agents - local, count)
        return found


class Spread:
    """Cascades side by side, advanced step by step.

    Args:
        links: Who hears whom.
        needed: Questions each agent needs until it says yes, >= 1 and at most `never`, shape ``(n_agents,)``.
        rule: When an exposed agent is asked.
        n_steps: Steps that will be taken at most.
        count: Whether `questions` will be wanted.
    """

    __slots__ = (
        "_asked", "_asked_engaged", "_degree", "_links", "_messages",
        "_needed", "_never", "_rule", "_touched", "_touching",
    )  # fmt: skip

    def __init__(
        self, links: Links, needed: NDArray[Any], rule: AskingRule, n_steps: int, *, count: bool
    ) -> None:
        self._links = links
        self._rule = rule
        self._degree = links.degree
        self._never = never(links, n_steps)
        self._needed = needed.copy()
        self._asked = np.zeros_like(needed)
        self._asked_engaged = np.zeros_like(needed) if count else None
        self._messages = np.zeros_like(needed)
        self._touched = np.zeros(needed.shape, dtype=bool)
        self._touching = np.zeros_like(needed)

    def engage(self, agents: Agents) -> None:
        """Let `agents` engage: their messages stand at their neighbours from the next step on."""
        if self._asked_engaged is not None:
            self._asked_engaged[agents] = self._asked[agents]
        self._needed[agents] = self._never + 1
        one = self._asked.dtype.type(1)
        np.add.at(self._messages, self._links.neighbours(agents), one)
        if self._rule == "unexposed_neighbour":
            touched = (self._messages > 0) | self._engaged()
            fresh = np.flatnonzero(touched & ~self._touched)
            np.add.at(self._touching, self._links.neighbours(fresh), one)
            self._touched = touched

    def step(self) -> Agents:
        """Ask every exposed agent that the rule lets be asked.

        Returns:
            The agents that say yes for the first time, in order; hand them to `engage`.
        """
        if self._rule == "once_per_edge":
            self._asked[:] = self._messages
        elif self._rule == "always":
            self._asked += self._messages
        elif self._rule == "unengaged_neighbour":
            self._asked += self._messages * (self._messages < self._degree)
        else:
            self._asked += self._messages * (self._touching < self._degree)
        return np.flatnonzero(self._asked >= self._needed)

    def questions(self) -> NDArray[Any]:
        """Count the questions asked of each agent until now, those of the step it engaged in included.

        Raises:
            InternalError: The spread was made without `count`.
        """
        if self._asked_engaged is None:
            raise InternalError("this spread does not count questions: make it with count=True")
        return np.where(self._engaged(), self._asked_engaged, self._asked)

    def _engaged(self) -> NDArray[np.bool_]:
        engaged: NDArray[np.bool_] = self._needed > self._never
        return engaged


def never(links: Links, n_steps: int) -> int:
    """Tell the least number of questions that nobody is asked within `n_steps` steps."""
    return n_steps * links.top_degree + 1
