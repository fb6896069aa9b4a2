"""The engine of one realization of a news cascade (Tian et al. 2026, section 2.3).

Agents sit on a network. One of them starts, engaged; then, step by step, every exposed agent decides once for
each of its engaged neighbours whether to share, and one yes engages it for good. All decisions of a step see
the state at its start.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.events import Answered
from agentnet.journal import Asking, Decisions, Journal, Voice
from agentnet.network import Network
from agentnet.sampler import Question
from agentnet.streams import Streams, request_seeds, uniform

AskingRule = Literal["always", "unengaged_neighbour", "unexposed_neighbour", "once_per_edge"]
Ints = NDArray[np.integer[Any]]

NEVER = -1


@dataclass(frozen=True, slots=True)
class CascadeRules:
    """How a cascade is played.

    Attributes:
        steps: Steps after the seeding, >= 1.
        asking_rule: Which exposures are asked: ``always`` all; ``unengaged_neighbour`` those of agents with
            an unengaged neighbour left; ``unexposed_neighbour`` those of agents with a neighbour that is
            neither engaged nor exposed; ``once_per_edge`` each engaged neighbour's once, for ever.
        max_seed_attempts: How many agents at most are asked to start; nobody is asked twice.
        temperature: Lowest and highest sampling temperature; drawn uniformly for each decision.
        ask_reasons: Whether every decision is explained after the realization.
    """

    steps: int
    asking_rule: AskingRule
    max_seed_attempts: int
    temperature: tuple[float, float]
    ask_reasons: bool = False


class Exposures(NamedTuple):
    """The exposures of one step that are asked.

    Attributes:
        slots: Positions in the network's `indices`, ascending; shape ``(n_exposures,)``.
        n_exposed: Unengaged agents with an engaged neighbour, asked or not.
    """

    slots: Ints
    n_exposed: int


def exposures(network: Network, listener: Ints, engaged_step: Ints, step: int, rule: AskingRule) -> Exposures:
    """Find who is asked about whose message at `step`.

    Args:
        network: Who hears whom.
        listener: The agent of each slot of ``network.indices``, shape ``(2 n_edges,)``.
        engaged_step: Step at which each agent engaged, `NEVER` for the unengaged, shape ``(n_agents,)``.
        step: The step to be played, >= 1.
        rule: The asking rule.

    Complexity: O(n_edges).
    """
    engaged = engaged_step != NEVER
    source_engaged = engaged[network.indices]
    exposed_slot = source_engaged & ~engaged[listener]
    exposed = np.zeros(network.n_agents, dtype=bool)
    exposed[listener[exposed_slot]] = True
    asked = exposed_slot
    if rule == "once_per_edge":
        asked = exposed_slot & (engaged_step[network.indices] == step - 1)
    elif rule != "always":
        fresh = ~engaged if rule == "unengaged_neighbour" else ~(engaged | exposed)
        has_fresh = np.zeros(network.n_agents, dtype=bool)
        has_fresh[listener[fresh[network.indices]]] = True
        asked = exposed_slot & has_fresh[listener]
    return Exposures(np.flatnonzero(asked), int(exposed.sum()))


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
        self._listener = np.repeat(np.arange(network.n_agents, dtype=np.int32), np.diff(network.indptr))
        self.engaged_step = np.full(network.n_agents, NEVER, dtype=np.int32)
        self.initial_agent: int | None = None

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
            found = exposures(self._network, self._listener, self.engaged_step, step, self._rules.asking_rule)
            if not len(found.slots):
                break
            await self._play_step(step, found)
            last = step
        if self._rules.ask_reasons:
            await self._ask_reasons()
        return "finished", last

    async def _start(self) -> bool:
        """Ask agents in random order, one after the other, until one says yes or the bound is reached."""
        n_agents = self._network.n_agents
        order = self._streams.generator("initial agent", self._realization).permutation(n_agents)
        order = order[: self._rules.max_seed_attempts]
        words = self._streams.words("seed", self._realization, 0, count=2 * len(order)).reshape(-1, 2)
        decisions: list[int] = []
        for agent, of_agent in zip(order.tolist(), words[:, None], strict=True):
            asking = self._asking("seed", 0, [agent], [-1], of_agent)
            decisions += (await self._journal.decide(asking, self._voice.judge)).tolist()
            if decisions[-1] == 1:
                self.initial_agent = agent
                break
        started = [] if self.initial_agent is None else [self.initial_agent]
        self._close_step(0, 0, len(decisions), np.array(decisions), started)
        return bool(started)

    async def _play_step(self, step: int, found: Exposures) -> None:
        n_words = 2 * len(self._network.indices)
        words = self._streams.words("exposure", self._realization, step, count=n_words).reshape(-1, 2)
        agents = self._listener[found.slots]
        sources = self._network.indices[found.slots]
        asking = self._asking("exposure", step, agents.tolist(), sources.tolist(), words[found.slots])
        decisions = await self._journal.decide(asking, self._voice.judge)
        won_over = np.unique(agents[decisions == 1]).tolist()
        self._close_step(step, found.n_exposed, len(np.unique(agents)), decisions, won_over)

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

    def _asking(
        self, kind: str, step: int, agents: list[int], sources: list[int], words: NDArray[np.uint64]
    ) -> Asking:
        low, high = self._rules.temperature
        temperatures = (low + (high - low) * uniform(words[:, 1])).tolist()
        of_profile = {p: self._voice.question(kind, p) for p in set(self._profiles[agents].tolist())}
        return Asking(
            kind,
            step,
            agents,
            sources,
            [0] * len(agents),
            [of_profile[profile] for profile in self._profiles[agents].tolist()],
            temperatures,
            request_seeds(words[:, 0]).tolist(),
        )
