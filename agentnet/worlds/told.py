"""The world of cascades whose agents are told more than a news item: each exposure has a prompt of its own.

The steps are those of `agentnet.worlds.cascade`; what differs is what an agent is shown (a message with its
author, counts, its memory), what it may answer, what it passes on, and that a network and who is heard in it
may change. It goes exposure by exposure, where the other goes by arrays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from agentnet.asking_rules import NEVER, Exposures, Ints, Moment, listeners
from agentnet.errors import DesignError
from agentnet.exposure import Context, Exposure, Message, Reaction, spelled_context
from agentnet.interventions import (
    ENGAGED,
    FOLLOWS,
    REMARKED,
    REMOVED,
    REPLACED,
    SILENCED,
    STOPPED,
    UNFOLLOWS,
    Intervention,
    chosen,
)
from agentnet.network import Network
from agentnet.news import NewsItem
from agentnet.profiles import Profile
from agentnet.streams import Chance, uniform
from agentnet.vocabulary import EXPOSURE
from agentnet.worlds.cascade import Cascade, CascadeRules
from agentnet.worlds.wants import Ask, Decisions, Voice, Write

if TYPE_CHECKING:
    from agentnet.events import Answered, Said
    from agentnet.sampler import Question

_NOBODY: Final = -1


@dataclass(frozen=True, slots=True)
class Telling:
    """What a told cascade takes from its experiment.

    Attributes:
        compose: Exposure -> what is asked, and which facts it used.
        read: What was said -> the answer as it was declared, or `Missing`.
        react: (exposure, answer) -> what it changes.
        network_at: Step -> the network from then on; None: as it is.
    """

    compose: Callable[[Exposure], tuple[Question, Context]]
    read: Callable[[Said], Any]
    react: Callable[[Exposure, Any], Reaction]
    network_at: Callable[[int], Network | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class ToldRules(CascadeRules):
    """How a told cascade is played.

    Attributes:
        initial_agents: Who is engaged at the start without being asked; none: `n_initial` are asked.
        interventions: What is done at steps.
        recovery_rate: Probability by which an engaged agent stops at each step after it engaged: it is not
            heard any more (SIR), or may engage again (SIS).
        susceptible_again: Whether who stopped may engage again.
        has_changes: Whether `Telling.network_at` may give a network.
    """

    initial_agents: tuple[int, ...] = ()
    interventions: tuple[Intervention, ...] = ()
    recovery_rate: float = 0.0
    susceptible_again: bool = False
    has_changes: bool = False


@dataclass(slots=True)
class _Memory:
    """What one agent was asked about at earlier steps, and what it said; oldest first."""

    heard: tuple[Message, ...] = ()
    said: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class People:
    """Who the agents of a realization are.

    Attributes:
        personas: A profile or a text each.
        attributes: What is known of each.
        voices: Who answers for each; empty: the run's backend.
    """

    personas: Sequence[Profile | str]
    attributes: Callable[[int], Mapping[str, Any]] = lambda _: {}
    voices: Sequence[str] = ()


class ToldCascade(Cascade):
    """One realization; see `Cascade`.

    Args:
        network: Who hears whom at the start.
        people: Who the agents are.
        item: The news item.
        rules: How it is played.
        telling: What is said, and what answers do.
        voice: How replies are understood.
        chance: The realization's random numbers.
        realization: Its number in the log.
        condition: Number of its condition.
    """

    def __init__(
        self,
        network: Network,
        people: People,
        item: NewsItem,
        rules: ToldRules,
        telling: Telling,
        voice: Voice,
        chance: Chance,
        realization: int,
        condition: int,
    ) -> None:
        super().__init__(network, np.zeros(0, dtype=np.int8), rules, voice, chance, realization)
        self._told_rules, self._telling, self._people = rules, telling, people
        self._item, self._condition = item, condition
        news = Message(0, -1, None, 0, item.text)
        self._messages = [news]
        self._holds = np.zeros(network.n_agents, dtype=np.int64)
        self._silent = np.zeros(network.n_agents, dtype=bool)
        self._removed = np.zeros(network.n_agents, dtype=bool)
        self._memories: dict[int, _Memory] = {}
        self._remarks: tuple[str, ...] = ()
        self._n_changes = 0
        self._n_messages_written = 0
        self._ever: set[int] = set()
        self._put: dict[tuple[int, ...], Question] = {}
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self.step = 0

    # What interventions may look at and do: `agentnet.interventions.Situation`.

    @property
    def network(self) -> Network:
        """Who hears whom now."""
        return self._network

    @property
    def engaged(self) -> Sequence[int]:
        """Who is engaged now, ascending."""
        return np.flatnonzero(self.engaged_step != NEVER).tolist()

    def remark(self, text: str) -> None:
        """Have prompts say `text` from now on."""
        if not isinstance(text, str) or not text.strip():
            raise DesignError(
                f"an intervention at step {self.step} remarks {text!r:.60}; it is a text, and not blank"
            )
        self._remarks = (*self._remarks, text)
        self._change(REMARKED, -1, detail={"text": text})

    def remove(self, agents: Iterable[int]) -> None:
        """Take agents out."""
        for agent in chosen(self._network, agents, None):
            self._removed[agent] = self._silent[agent] = True
            self._change(REMOVED, agent)

    def silence(self, agents: Iterable[int]) -> None:
        """Let agents not be heard from now on."""
        for agent in chosen(self._network, agents, None):
            self._silent[agent] = True
            self._change(SILENCED, agent)

    def engage(self, agents: Iterable[int]) -> None:
        """Let agents be engaged from now on without asking them."""
        found = dict.fromkeys(chosen(self._network, agents, None))
        new = [agent for agent in found if self.engaged_step[agent] == NEVER and not self._removed[agent]]
        for agent in new:
            self._change(ENGAGED, agent)
        self._rows.setdefault("engagements", []).extend(self._engage(new, self.step))

    def rewire(self, add: Iterable[tuple[int, int]] = (), drop: Iterable[tuple[int, int]] = ()) -> None:
        """Make and cut ties, pairs of (who is heard, who hears)."""
        new, old = self._ties(add), self._ties(drop)
        self._rewired(self._network.changed(add=new, drop=old))
        for what, pairs in ((FOLLOWS, new), (UNFOLLOWS, old)):
            for heard, hears in pairs:
                self._change(what, hears, heard)

    def _ties(self, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
        return [chosen(self._network, pair, None) for pair in pairs]

    def _change(self, what: str, agent: int, other: int | None = None, detail: Any = None) -> None:  # noqa: ANN401
        said = None if detail is None else json.dumps(detail, ensure_ascii=False)
        row = (self._realization, self._n_changes, self.step, what, agent, other, said)
        self._rows.setdefault("changes", []).append(row)
        self._n_changes += 1

    def _rewired(self, network: Network) -> None:
        if network.n_agents != self._network.n_agents:
            raise DesignError(
                f"the network of step {self.step} has {network.n_agents} agents, the one before it "
                f"{self._network.n_agents}: agents stay the same (remove takes some out)"
            )
        network.stranded(self._network, besides=np.flatnonzero(self._removed), refuse=True)
        self._network = network
        self._listener = listeners(network)

    # The steps.

    def _start(self) -> Generator[Any, Any, bool]:
        yield self._written()
        planted = self._told_rules.initial_agents
        if not planted:
            is_started = yield from super()._start()
            yield self._written()
            return is_started
        self.initial_agent = planted[0]
        yield self._closed(0, 0, 0, np.zeros(0, dtype=np.int8), list(planted))
        return True

    def _play_step(self, step: int, found: Exposures) -> Generator[Any, Any, None]:
        self.step = step
        if self._told_rules.interventions or self._told_rules.has_changes:
            self._intervene(step)
            found = self._asked(step)
        yield from super()._play_step(step, found)
        if self._told_rules.recovery_rate:
            self._recover(step)
        yield self._written()

    def _is_over(self, step: int, found: Exposures) -> bool:
        rules = self._told_rules
        pending = rules.has_changes or any(each.step >= step for each in rules.interventions)
        again = rules.susceptible_again and rules.recovery_rate > 0.0 and bool(self.engaged)
        return not pending and not again and super()._is_over(step, found)

    def _intervene(self, step: int) -> None:
        network = self._telling.network_at(step) if self._told_rules.has_changes else None
        if network is not None and network != self._network:
            self._rows.setdefault("networks", []).append(network_row(network))
            self._change(REPLACED, -1, detail={"network": network.digest})
            self._rewired(network)
        for each in self._told_rules.interventions:
            if each.step == step:
                each.effect(self)

    def _moment(self, step: int) -> Moment:
        return Moment(
            self._network.indices,
            self._listener,
            self.engaged_step,
            step,
            self._n_asked,
            silent=self._silent if self._silent.any() else None,
            deaf=self._removed if self._removed.any() else None,
            edges=self._network.edge_attributes,
        )

    def _recover(self, step: int) -> None:
        """Let engaged agents stop, each by its own chance, but not at the step at which it engaged."""
        words = self._chance.streams.words_at(
            "recovery", self._chance.number, step, at=np.arange(self._network.n_agents)
        )
        active = (self.engaged_step != NEVER) & (self.engaged_step < step) & ~self._silent
        stopping = np.flatnonzero(active & (uniform(words) < self._told_rules.recovery_rate))
        self._stop(stopping.tolist())

    def _stop(self, agents: Sequence[int]) -> None:
        for agent in agents:
            self._change(STOPPED, agent)
        if self._told_rules.susceptible_again:
            self.engaged_step[list(agents)] = NEVER
        else:
            self._silent[list(agents)] = True

    def _engage(self, agents: Sequence[int], step: int) -> list[tuple[int, int, int]]:
        """Engage agents; an agent that engages again has engaged at the first time, and a change says so."""
        for agent in agents:
            if agent in self._ever:
                self._change(ENGAGED, agent)
        new = [agent for agent in agents if agent not in self._ever]
        self._ever.update(new)
        self.engaged_step[list(agents)] = step
        return [(step, self._realization, agent) for agent in new]

    # The exposures.

    def _answers(
        self, kind: str, step: int, agents: Ints, sources: Ints, positions: Ints
    ) -> Generator[Any, Any, Decisions]:
        exposures = list(self._exposures(kind, step, agents, sources, positions))
        composed = [self._telling.compose(exposure) for exposure in exposures]
        rows = [
            (
                self._realization,
                kind,
                step,
                each.agent,
                each.source,
                repeat,
                each.message.number,
                spelled_context(context),
            )
            for each, repeat, (_, context) in zip(
                exposures, self._repeats(agents, sources), composed, strict=True
            )
        ]
        self._rows.setdefault("exposures", []).extend(rows)
        yield self._written()
        if self._rules.ask_reasons:
            # A rule has no reason but itself.
            keys = ((step, *row[3:6]) for row in rows)
            asked = zip(keys, composed, strict=True)
            self._put |= {key: question for key, (question, _) in asked if "says" not in question.metadata}
        said = yield Ask(
            kind,
            step,
            agents.tolist(),
            sources.tolist(),
            self._repeats(agents, sources),
            [question for question, _ in composed],
            *self._chance.draws(kind, step, positions),
            self._voice.judge,
            texts=True,
        )
        return self._taken(step, exposures, said)

    def _why(self, answered: Answered) -> Question | None:
        question = self._put.get((answered.step, answered.agent, answered.source, answered.repeat))
        return None if question is None else self._voice.reason(question, answered.text)

    def _exposures(
        self, kind: str, step: int, agents: Ints, sources: Ints, slots: Ints
    ) -> Generator[Exposure, None, None]:
        heard = self._moment(step)
        n_engaged, n_neighbours = heard.n_engaged, heard.n_neighbours
        edges = self._edges(kind, slots)
        people = self._people
        for place, (agent, source) in enumerate(zip(agents.tolist(), sources.tolist(), strict=True)):
            memory = self._memories.get(agent)
            yield Exposure(
                kind,
                step,
                agent,
                source,
                self._messages[self._holds[source] if source != _NOBODY else 0],
                self._item,
                people.personas[agent],
                people.attributes(agent),
                people.voices[agent] if people.voices else "",
                int(n_engaged[agent]),
                int(n_neighbours[agent]),
                int(self._n_asked[agent]),
                edges(place),
                memory.heard if memory else (),
                memory.said if memory else (),
                self._remarks,
                self._condition,
            )

    def _edges(self, kind: str, slots: Ints) -> Callable[[int], Mapping[str, Any]]:
        """Say what is known of the edge of each exposure."""
        columns = self._network.edge_attributes
        if not columns or kind != EXPOSURE:
            return lambda _: {}
        return lambda place: {name: _plain(values[slots[place]]) for name, values in columns.items()}

    def _taken(self, step: int, exposures: Sequence[Exposure], said: Sequence[Said]) -> Decisions:
        """Take the answers in: what each decides, passes on and changes."""
        decisions = np.full(len(exposures), -1, dtype=np.int8)
        passed_on: set[int] = set()
        stopped: list[int] = []
        for place, (exposure, each) in enumerate(zip(exposures, said, strict=True)):
            answer = self._telling.read(each)
            self._remember(exposure, answer)
            reaction = self._telling.react(exposure, answer)
            if reaction.engages is not None:
                decisions[place] = reaction.engages
            stopped += chosen(self._network, reaction.stops, None)
            # The first yes of a step wins an agent over, so that one's message is what it passes on.
            if reaction.engages and exposure.agent not in passed_on:
                passed_on.add(exposure.agent)
                self._holds[exposure.agent] = self._passed_on(step, exposure, reaction.text)
        if stopped:
            self._stop(sorted({agent for agent in stopped if self.engaged_step[agent] != NEVER}))
        return decisions

    def _passed_on(self, step: int, exposure: Exposure, text: str | None) -> int:
        """Give the number of the message that an agent passes on: as it heard it, or a new one."""
        if text is None or text == exposure.message.text:
            return exposure.message.number
        message = Message(len(self._messages), exposure.agent, exposure.message.number, step, text)
        self._messages.append(message)
        return message.number

    def _remember(self, exposure: Exposure, answer: Any) -> None:  # noqa: ANN401 - as declared
        memory = self._memories.setdefault(exposure.agent, _Memory())
        memory.heard = (*memory.heard, exposure.message)
        memory.said = (*memory.said, answer)

    def _written(self) -> Write:
        """Hand over what happened since the last time."""
        new = self._messages[self._n_messages_written :]
        self._n_messages_written = len(self._messages)
        rows, self._rows = self._rows, {}
        if new:
            rows["messages"] = [(self._realization, *message) for message in new]
        return Write(rows)


def network_row(network: Network) -> tuple[Any, ...]:
    """Spell a network as a row of table ``networks``."""
    labels = None if network.labels is None else json.dumps(network.labels, ensure_ascii=False)
    return (network.digest, network.name, network.n_agents, network.n_edges, network.to_bytes(), labels)


def _plain(value: Any) -> Any:  # noqa: ANN401 - an attribute of an edge
    return value.item() if isinstance(value, np.generic) else value
