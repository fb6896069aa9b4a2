"""A news cascade without steps' ends: an agent goes on as soon as those whom it hears have.

What an agent is asked at a step depends on itself and on those whom it hears, as they were after the step
before, and on nobody else. So it need not wait for the slowest answer of the whole network, only for theirs
(Xie et al. 2411.03519 do so for agents on a map). Who is asked about whom, with which draws, and what is
written down of each step, is what `agentnet.worlds.cascade.Cascade` has: only the order of asking differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from agentnet.asking_rules import NEVER, Ints, Moment, n_different
from agentnet.vocabulary import EXPOSURE
from agentnet.worlds.cascade import Cascade, places
from agentnet.worlds.wants import Arrived, Begin, Decided, Write

if TYPE_CHECKING:
    from collections.abc import Generator

_EXPOSED, _ASKED, _DRAWS, _YES, _MISSING = range(5)
_COUNTS: Final = 5


class CascadeAhead(Cascade):
    """One realization, played ahead along the network. The asking rule must look no farther than neighbours.

    Its arguments are those of `Cascade`.
    """

    def _spread(self) -> Generator[Any, Any, int]:
        network, n_agents = self._network, self._network.n_agents
        heard_by = np.argsort(network.indices, kind="stable")
        self._hearer = self._listener[heard_by]
        self._hearer_at = np.append(0, np.cumsum(np.bincount(network.indices, minlength=n_agents)))
        self._counts = np.zeros((self._rules.steps + 1, _COUNTS), dtype=np.int64)
        # The last step through which an agent is known; an engaged one is known for ever.
        self._known = np.where(self.engaged_step == NEVER, 0, self._rules.steps)
        self._n_awaited = np.zeros(n_agents, dtype=np.int64)
        self._said_yes = np.zeros(n_agents, dtype=bool)
        self._n_written = 0
        moved: Ints = np.arange(n_agents)
        while True:
            yield from self._go_ahead(moved)
            yield from self._close_steps()
            if not self._n_awaited.any():
                return int(np.flatnonzero(self._counts[:, _DRAWS]).max(initial=0))
            moved = yield from self._take((yield Arrived()))

    def _go_ahead(self, moved: Ints) -> Generator[Any, Any, None]:
        """Put every question that can be put, now that `moved` agents are known for a step more."""
        while len(moved):
            ready = self._ready(np.union1d(moved, self._hearer[places(self._hearer_at, moved)]))
            steps = self._known[ready] + 1
            unasked = []
            for step in sorted(set(steps.tolist())):
                agents = ready[steps == step]
                asked = yield from self._put(step, agents)
                unasked.append(agents[~np.isin(agents, asked)])
                self._known[unasked[-1]] = step
            moved = np.concatenate(unasked) if unasked else moved[:0]

    def _ready(self, agents: Ints) -> Ints:
        """Keep those that wait for nothing but to be asked: whom they hear are known as far as they are."""
        waiting = (self._known[agents] < self._rules.steps) & (self._n_awaited[agents] == 0)
        agents = agents[waiting]
        at = self._network.indptr
        n_heard = at[agents + 1] - at[agents]
        known = self._known[self._network.indices[places(at, agents)]]
        least = np.full(len(agents), self._rules.steps)
        hears = n_heard > 0
        if hears.any():
            begins = np.append(0, np.cumsum(n_heard[hears])[:-1])
            least[hears] = np.minimum.reduceat(known, begins)
        found: Ints = agents[least >= self._known[agents]]
        return found

    def _put(self, step: int, agents: Ints) -> Generator[Any, Any, Ints]:
        """Ask agents what they are asked at a step; give those of them that are asked anything."""
        slots = places(self._network.indptr, agents)
        found = self._rules.asking_rule.asked(self._moment_of(step, slots))
        self._counts[step, _EXPOSED] += found.moment.n_exposed
        if not len(found):
            return agents[:0]
        asked = found.agent
        self._counts[step, _ASKED] += n_different(asked)
        self._counts[step, _DRAWS] += len(asked)
        np.add.at(self._n_asked, asked, 1)
        np.add.at(self._n_awaited, asked, 1)
        yield Begin(self._ask(EXPOSURE, step, asked, found.source, slots[found.slots]))
        return asked

    def _moment_of(self, step: int, slots: Ints) -> Moment:
        """Give the cascade at the start of a step as some agents' slots show it."""
        network = self._network
        before = np.where(self.engaged_step < step, self.engaged_step, NEVER)
        edges = {name: values[slots] for name, values in network.edge_attributes.items()}
        return Moment(
            network.indices[slots],
            self._listener[slots],
            before,
            step,
            self._n_asked,
            edges=edges,
            is_part=True,
        )

    def _take(self, arrived: Sequence[Decided]) -> Generator[Any, Any, Ints]:
        """Take in answers; give the agents that have all of their step now."""
        agents, steps, decisions = np.array(arrived, dtype=np.int64).T
        np.add.at(self._counts[:, _YES], steps, decisions == 1)
        np.add.at(self._counts[:, _MISSING], steps, decisions < 0)
        np.subtract.at(self._n_awaited, agents, 1)
        self._said_yes[agents[decisions == 1]] = True
        agents, first = np.unique(agents, return_index=True)
        whole = self._n_awaited[agents] == 0
        moved: Ints = agents[whole]
        steps = steps[first][whole]
        self._known[moved] = steps
        won_over = self._said_yes[moved]
        yield from self._won_over(moved[won_over], steps[won_over])
        return moved

    def _won_over(self, agents: Ints, steps: Ints) -> Iterator[Write]:
        if not len(agents):
            return
        self._known[agents] = self._rules.steps
        rows: list[tuple[int, int, int]] = [
            row
            for step in sorted(set(steps.tolist()))
            for row in self._engage(agents[steps == step].tolist(), step)
        ]
        yield Write({"engagements": rows}, {"engaged": len(rows)})

    def _close_steps(self) -> Iterator[Write]:
        """Write down the steps through which everybody is known, up to the last one that asks anybody."""
        known, last = int(self._known.min()), int(np.flatnonzero(self._counts[:, _DRAWS]).max(initial=0))
        rows = []
        while self._n_written < min(known, last):
            self._n_written += 1
            n_engaged = int(((self.engaged_step != NEVER) & (self.engaged_step <= self._n_written)).sum())
            counts = self._counts[self._n_written].tolist()
            rows.append((self._realization, self._n_written, *counts, n_engaged))
        if rows:
            yield Write({"steps": rows})
