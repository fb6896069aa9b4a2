"""The world of one news cascade (Tian et al. 2026, section 2.3).

Agents sit on a network. One of them starts, engaged; then, step by step, every exposed agent decides once for
each of its engaged neighbours whether to share, and one yes engages it for good. All decisions of a step see
the state at its start.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import groupby, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from agentnet.asking_rules import (
    NEVER,
    AskingRule,
    Exposures,
    Ints,
    Moment,
    listeners,
    n_different,
    repeats,
)
from agentnet.network import LAYER, Network
from agentnet.streams import Chance
from agentnet.vocabulary import EXPOSURE, REASON, SEED
from agentnet.worlds.wants import Ask, Decisions, End, Recall, Voice, World, Write

if TYPE_CHECKING:
    from agentnet.events import Answered
    from agentnet.sampler import Question


_MANY: Final = 10_000
"""Agents of which to look at all takes longer than to keep who may be exposed."""


@dataclass(frozen=True, slots=True)
class CascadeRules:
    """How a cascade is played.

    Attributes:
        steps: Steps after the seeding, >= 1.
        asking_rule: Which exposures are asked; see `agentnet.asking_rules`.
        max_seed_attempts: How many agents at most are asked to start; nobody is asked twice.
        ask_reasons: Whether every decision is explained after the realization.
        n_initial: How many agents have to say yes at the start, >= 1.
    """

    steps: int
    asking_rule: AskingRule
    max_seed_attempts: int
    ask_reasons: bool = False
    n_initial: int = 1


class Cascade:
    """One realization: its state, and the steps that change it.

    Args:
        network: Who hears whom.
        profiles: Profile index of each agent, shape ``(n_agents,)``.
        rules: How it is played.
        voice: What is asked and how replies are understood.
        chance: The realization's random numbers.
        realization: Its number in the log.
    """

    def __init__(
        self,
        network: Network,
        profiles: Ints,
        rules: CascadeRules,
        voice: Voice,
        chance: Chance,
        realization: int,
    ) -> None:
        self._network = network
        self._profiles = profiles
        self._rules = rules
        self._voice = voice
        self._chance = chance
        self._realization = realization
        self._listener = listeners(network)
        # To count them takes as long as the rest of an asking rule.
        self._n_neighbours = None if LAYER in network.edge_attributes else np.diff(network.indptr)
        self.engaged_step = np.full(network.n_agents, NEVER, dtype=np.int32)
        self._n_asked = np.zeros(network.n_agents, dtype=np.int64)
        # Where agents are many, only those are looked at who hear somebody that engaged.
        can_look = not network.is_directed and network.n_agents >= _MANY
        self._reached = np.zeros(network.n_agents, dtype=bool) if can_look else None
        self.initial_agent: int | None = None
        self._questions: dict[str, dict[int, Question]] = {SEED: {}, EXPOSURE: {}}

    def play(self) -> World:
        """Play it to its end."""
        yield Write(counts={"agents": self._network.n_agents})
        if not (yield from self._start()):
            return End("unstarted", 0)
        last = yield from self._spread()
        if self._rules.ask_reasons:
            yield from self._ask_reasons()
        return End("finished", last, self.initial_agent)

    def _spread(self) -> Generator[Any, Any, int]:
        """Play step by step; give the last one that was played."""
        last = 0
        for step in range(1, self._rules.steps + 1):
            found = self._asked(step)
            if self._is_over(step, found):
                break
            yield from self._play_step(step, found)
            last = step
        return last

    def _start(self) -> Generator[Any, Any, bool]:
        """Ask agents in random order, one after the other, until enough say yes or the bound is reached."""
        decisions: list[int] = []
        started: list[int] = []
        n_at_most = self._rules.max_seed_attempts
        for attempt, agent in enumerate(starters(self._chance, self._network.n_agents, n_at_most)):
            asked = yield from self._answers(SEED, 0, np.array([agent]), np.array([-1]), np.array([attempt]))
            decisions += asked.tolist()
            started += [agent] if decisions[-1] == 1 else []
            if len(started) == self._rules.n_initial:
                break
        self.initial_agent = started[0] if started else None
        yield self._closed(0, 0, len(decisions), np.array(decisions), started)
        return bool(started)

    def _is_over(self, step: int, found: Exposures) -> bool:
        """Say whether nobody is asked at this step nor will be, as nothing changes any more."""
        later = range(step + 1, self._rules.steps + 1)
        return not len(found) and not any(len(self._asked(each)) for each in later)

    def _asked(self, step: int) -> Exposures:
        return self._rules.asking_rule.asked(self._moment(step))

    def _moment(self, step: int) -> Moment:
        network = self._network
        return Moment(
            network.indices,
            self._listener,
            self.engaged_step,
            step,
            self._n_asked,
            edges=network.edge_attributes,
            n_neighbours=self._n_neighbours,
            among=self._among(),
        )

    def _among(self) -> Ints | None:
        """List the slots of all agents that can be exposed; None: nobody knows who can be."""
        if self._reached is None:
            return None
        return places(self._network.indptr, np.flatnonzero(self._reached & (self.engaged_step == NEVER)))

    def _play_step(self, step: int, found: Exposures) -> Generator[Any, Any, None]:
        # Slots ascend by listener, so equal agents stand side by side.
        agents = found.agent
        decisions = yield from self._answers(EXPOSURE, step, agents, found.source, found.slots)
        self._n_asked += np.bincount(agents, minlength=len(self._n_asked))
        won_over = list(dict.fromkeys(agents[decisions == 1].tolist()))
        yield self._closed(step, found.moment.n_exposed, n_different(agents), decisions, won_over)

    def _closed(
        self, step: int, n_exposed: int, n_asked: int, decisions: Decisions, won_over: list[int]
    ) -> Write:
        """Engage whom the step won over; say what is written of the step."""
        engagements = self._engage(won_over, step)
        n_engaged, n_yes, n_missing = map(
            int, map(np.count_nonzero, (self.engaged_step != NEVER, decisions == 1, decisions < 0))
        )
        number = self._realization
        return Write(
            {
                "steps": [(number, step, n_exposed, n_asked, len(decisions), n_yes, n_missing, n_engaged)],
                "engagements": engagements,
            },
            {"engaged": len(engagements)},
        )

    def _engage(self, agents: list[int], step: int) -> list[tuple[int, int, int]]:
        """Engage agents; give the rows that say so."""
        self.engaged_step[agents] = step
        if self._reached is not None:
            network = self._network
            self._reached[network.indices[places(network.indptr, np.array(agents, dtype=np.int64))]] = True
        return list(zip(repeat(step), repeat(self._realization), agents))

    def _ask_reasons(self) -> Generator[Any, Any, None]:
        """Ask for the reason of every answered decision, a step at a time."""
        answered: list[Answered] = yield Recall()
        for step, group in groupby(answered, key=attrgetter("step")):
            explained = [(each, why) for each in group if (why := self._why(each)) is not None]
            of_step = [each for each, _ in explained]
            yield Ask(
                REASON,
                step,
                [a.agent for a in of_step],
                [a.source for a in of_step],
                [a.repeat for a in of_step],
                [why for _, why in explained],
                [a.temperature for a in of_step],
                [self._chance.integer(REASON, step, a.agent, a.source) for a in of_step],
                self._voice.judge_reason,
            )

    def _why(self, answered: Answered) -> Question | None:
        """Give what asks for the reason of a decision; None where nobody is asked."""
        kind = EXPOSURE if answered.step else SEED
        question = self._voice.question(kind, int(self._profiles[answered.agent]))
        return self._voice.reason(question, answered.text)

    def _answers(
        self, kind: str, step: int, agents: Ints, sources: Ints, positions: Ints
    ) -> Generator[Any, Any, Decisions]:
        """Ask agents about sources; `positions` are the draws' places in the step's random stream."""
        decisions: Decisions = yield self._ask(kind, step, agents, sources, positions)
        return decisions

    def _repeats(self, agents: Ints, sources: Ints) -> list[int]:
        """Tell apart what an agent is asked about one source: only layers of edges make it more than one."""
        if LAYER not in self._network.edge_attributes:
            return [0] * len(agents)
        return repeats(agents, sources).tolist()  # type: ignore[no-any-return]

    def _ask(self, kind: str, step: int, agents: Ints, sources: Ints, positions: Ints) -> Ask:
        """Make the draws of a step; `positions` are their places in the step's random stream."""
        profiles = self._profiles[agents].tolist()
        of_profile = self._questions[kind]
        for profile in set(profiles) - of_profile.keys():
            of_profile[profile] = self._voice.question(kind, profile)
        return Ask(
            kind,
            step,
            agents.tolist(),
            sources.tolist(),
            self._repeats(agents, sources),
            [of_profile[profile] for profile in profiles],
            *self._chance.draws(kind, step, positions),
            self._voice.judge,
        )


def starters(chance: Chance, n_agents: int, n_at_most: int) -> Iterator[int]:
    """Yield different agents in random order (Fisher and Yates): who is asked to start, one after the other.

    Not by NumPy's shuffle, whose stream may change between its versions: a resumed run would ask others.

    Args:
        chance: The realization's random numbers.
        n_agents: Agents 0 .. n_agents - 1.
        n_at_most: How many are asked at most; no more are drawn than are taken.
    """
    moved = dict[int, int]()
    for attempt in range(min(n_at_most, n_agents)):
        word = chance.integer("initial agent", attempt)
        place = attempt + word % (n_agents - attempt)
        yield moved.get(place, place)
        moved[place] = moved.get(attempt, attempt)


def places(at: Ints, agents: Ints) -> Ints:
    """List the places of some agents' rows, one after the other: ``at[a] .. at[a + 1] - 1`` of each."""
    n = at[agents + 1] - at[agents]
    found: Ints = np.repeat(at[agents] - np.append(0, np.cumsum(n)[:-1]), n) + np.arange(n.sum())
    return found
