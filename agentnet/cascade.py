"""The engine of one realization of a news cascade (Tian et al. 2026, section 2.3).

Agents sit on a network. One of them starts, engaged; then, step by step, every exposed agent decides once for
each of its engaged neighbours whether to share, and one yes engages it for good. All decisions of a step see
the state at its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np

from agentnet.asking_rules import NEVER, AskingRule, Exposures, Ints, Moment, listeners, n_different
from agentnet.events import Answered
from agentnet.journal import Asking, Decisions, Journal, Temperature, Voice, draw_parameters
from agentnet.network import Network
from agentnet.sampler import Question
from agentnet.streams import Streams


@dataclass(frozen=True, slots=True)
class CascadeRules:
    """How a cascade is played.

    Attributes:
        steps: Steps after the seeding, >= 1.
        asking_rule: Which exposures are asked; see `agentnet.asking_rules`.
        max_seed_attempts: How many agents at most are asked to start; nobody is asked twice.
        temperature: What the sampling temperature of each decision is drawn from.
        ask_reasons: Whether every decision is explained after the realization.
    """

    steps: int
    asking_rule: AskingRule
    max_seed_attempts: int
    temperature: Temperature
    ask_reasons: bool = False


class Cascade:
    """One realization: its state, and the steps that change it.

    Args:
        network: Who hears whom.
        profiles: Profile index of each agent, shape ``(n_agents,)``.
        rules: How it is played.
        voice: What is asked and how replies are understood.
        streams: The run's random streams.
        journal: Asks and records.
    """

    def __init__(
        self,
        network: Network,
        profiles: Ints,
        rules: CascadeRules,
        voice: Voice,
        streams: Streams,
        journal: Journal,
    ) -> None:
        self._network = network
        self._profiles = profiles
        self._rules = rules
        self._voice = voice
        self._streams = streams
        self._journal = journal
        self._realization = journal.realization
        self._listener = listeners(network)
        self.engaged_step = np.full(network.n_agents, NEVER, dtype=np.int32)
        self._n_asked = np.zeros(network.n_agents, dtype=np.int64)
        self.initial_agent: int | None = None
        self._questions: dict[str, dict[int, Question]] = {"seed": {}, "exposure": {}}

    async def play(self) -> tuple[str, int]:
        """Play it to its end.

        Returns:
            Its status, ``finished`` or ``unstarted``, and the last step played.
        """
        self._journal.tally.n_agents += self._network.n_agents
        if not await self._start():
            return "unstarted", 0
        last = 0
        for step in range(1, self._rules.steps + 1):
            moment = Moment(
                self._network.indices, self._listener, self.engaged_step, step, n_asked=self._n_asked
            )
            found = self._rules.asking_rule.asked(moment)
            if not len(found):
                break
            await self._play_step(step, found)
            last = step
        if self._rules.ask_reasons:
            await self._ask_reasons()
        return "finished", last

    async def _start(self) -> bool:
        """Ask agents in random order, one after the other, until one says yes or the bound is reached."""
        decisions: list[int] = []
        for attempt, agent in enumerate(self._starters()):
            asking = self._asking("seed", 0, np.array([agent]), np.array([-1]), np.array([attempt]))
            decisions += (await self._journal.decide(asking, self._voice.judge)).tolist()
            if decisions[-1] == 1:
                self.initial_agent = agent
                break
        started = [] if self.initial_agent is None else [self.initial_agent]
        self._close_step(0, 0, len(decisions), np.array(decisions), started)
        return bool(started)

    def _starters(self) -> Iterator[int]:
        return starters(
            self._streams, self._realization, self._network.n_agents, self._rules.max_seed_attempts
        )

    async def _play_step(self, step: int, found: Exposures) -> None:
        # Slots ascend by listener, so equal agents stand side by side.
        agents = found.agent
        asking = self._asking("exposure", step, agents, found.source, found.slots)
        decisions = await self._journal.decide(asking, self._voice.judge)
        self._n_asked += np.bincount(agents, minlength=len(self._n_asked))
        won_over = agents[decisions == 1]
        won_over = won_over[np.append(True, won_over[1:] != won_over[:-1])] if len(won_over) else won_over
        self._close_step(step, found.moment.n_exposed, n_different(agents), decisions, won_over.tolist())

    def _close_step(
        self, step: int, n_exposed: int, n_asked: int, decisions: Decisions, won_over: list[int]
    ) -> None:
        """Engage whom the step won over, and record the step."""
        self.engaged_step[won_over] = step
        n_engaged = int((self.engaged_step != NEVER).sum())
        n_yes, n_missing = int((decisions == 1).sum()), int((decisions < 0).sum())
        log, realization = self._journal.log, self._realization
        log.add(
            "steps", [(realization, step, n_exposed, n_asked, len(decisions), n_yes, n_missing, n_engaged)]
        )
        log.add("engagements", [(step, realization, agent) for agent in won_over])
        self._journal.tally.n_engaged += len(won_over)

    async def _ask_reasons(self) -> None:
        """Ask for the reason of every answered decision, a step at a time."""
        answered = await self._journal.log.answered(self._realization)
        for step, group in groupby(answered, key=attrgetter("step")):
            of_step = list(group)
            keys = [("reason", self._realization, step, a.agent, a.source) for a in of_step]
            asking = Asking(
                "reason",
                step,
                [a.agent for a in of_step],
                [a.source for a in of_step],
                [a.repeat for a in of_step],
                [self._why(a) for a in of_step],
                [a.temperature for a in of_step],
                [self._streams.integer(*key) for key in keys],
            )
            await self._journal.decide(asking, self._voice.judge_reason)

    def _why(self, answered: Answered) -> Question:
        kind = "exposure" if answered.step else "seed"
        question = self._voice.question(kind, int(self._profiles[answered.agent]))
        return self._voice.reason(question, answered.text)

    def _asking(self, kind: str, step: int, agents: Ints, sources: Ints, positions: Ints) -> Asking:
        """Make the draws of a step; `positions` are their places in the step's random stream."""
        draw = draw_parameters(
            self._streams, (kind, self._realization, step), positions, self._rules.temperature
        )
        profiles = self._profiles[agents].tolist()
        of_profile = self._questions[kind]
        for profile in set(profiles) - of_profile.keys():
            of_profile[profile] = self._voice.question(kind, profile)
        return Asking(
            kind,
            step,
            agents.tolist(),
            sources.tolist(),
            [0] * len(profiles),
            [of_profile[profile] for profile in profiles],
            *draw,
        )


def starters(streams: Streams, realization: int, n_agents: int, n_at_most: int) -> Iterator[int]:
    """Yield different agents in random order (Fisher and Yates): who is asked to start, one after the other.

    Not by NumPy's shuffle, whose stream may change between its versions: a resumed run would ask others.

    Args:
        streams: The run's random streams.
        realization: Number of the realization.
        n_agents: Agents 0 .. n_agents - 1.
        n_at_most: How many are asked at most; no more are drawn than are taken.
    """
    moved = dict[int, int]()
    for attempt in range(min(n_at_most, n_agents)):
        word = streams.integer("initial agent", realization, attempt)
        place = attempt + word % (n_agents - attempt)
        yield moved.get(place, place)
        moved[place] = moved.get(attempt, attempt)
