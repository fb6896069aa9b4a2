"""The family of free worlds: what a run of them is made of, and how one is set up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from agentnet.config import Settings
from agentnet.errors import DesignError
from agentnet.events import Run
from agentnet.experiment import Experiment, ask, blaming
from agentnet.exposure import Message, is_context
from agentnet.families.agents import dealt_personas, dealt_voices, scene_rows
from agentnet.families.answers import answer_of
from agentnet.families.book import recorded_question
from agentnet.families.contract import Family, Planned, Rows, Scene, Scenes, Sitting, Stage
from agentnet.families.free.experiment import WorldExperiment
from agentnet.families.free.setting import Setting
from agentnet.families.news import news_rows
from agentnet.news import NewsItem, sources_of
from agentnet.population import Population
from agentnet.profiles import Profile
from agentnet.prompts import Messages, PromptSet, conversation
from agentnet.prompts.declared import Declared, declared
from agentnet.streams import Streams
from agentnet.vocabulary import ANSWER_KINDS, DECISION_KINDS, REASON
from agentnet.worlds import Chance, Temperature
from agentnet.worlds.free import Ask, Asked, free_world

if TYPE_CHECKING:
    from agentnet.analysis.comparison import OneMeasure
    from agentnet.analysis.grouping import GroupsLike
    from agentnet.report.part import Part, Reading

_OF_THE_WORLD = "world"
"""Whose voice says what an experiment's own rule says."""

_TAKEN = frozenset({*DECISION_KINDS, *ANSWER_KINDS, REASON})


@dataclass(frozen=True)
class FreeStage(Stage):
    """A run of free worlds.

    Attributes:
        experiments: The experiment under each condition.
        settings: What is in force.
        items: The news items of each condition.
    """

    experiments: tuple[WorldExperiment, ...]
    settings: Settings
    items: tuple[tuple[NewsItem, ...], ...]
    may_say: ClassVar[bool] = True

    @property
    def is_told(self) -> bool:
        """The generator asks."""
        return True

    def meta(self) -> dict[str, Any]:
        """Spell licences and sources of the news."""
        every = [item for items in self.items for item in items]
        return {
            "licences": sorted({item.licence for item in every if item.licence}),
            "sources": sources_of(every),
        }

    def asks_own(self) -> bool:
        """Say whether an agent has no voice of its own: where there are voices, all are dealt one."""
        return not all(experiment.voices for experiment in self.experiments)

    def scenes(self, sitting: Sitting) -> Scenes:
        """Set up realizations."""

        @asynccontextmanager
        async def scene(planned: Planned) -> AsyncIterator[Scene]:
            yield _Playing(self, planned, sitting).scene()

        return scene

    def rows(self) -> dict[str, Rows]:
        """List the news items of all conditions, each once."""
        known = dict.fromkeys(item for items in self.items for item in items)
        return {"news": news_rows(known)}


@dataclass
class _Playing:
    """One realization being set up and played."""

    stage: FreeStage
    planned: Planned
    sitting: Sitting
    experiment: Any = field(init=False)
    setting: Setting = field(init=False)
    _forms: dict[Any, Declared] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.experiment = self.stage.experiments[self.planned.condition]

    def scene(self) -> Scene:
        """Make network, agents and the world."""
        planned, experiment, streams = self.planned, self.experiment, self.sitting.streams
        network = ask(experiment, "make_network", streams.integer("network", planned.chance))
        personas, bits, texts = dealt_personas(experiment, network, streams, planned.chance)
        population = Population(network.n_agents, texts, network.node_attributes)
        voices = dealt_voices(experiment, population, streams.integer("voices", planned.chance))
        rows = scene_rows(self.sitting, planned, network, bits, texts, voices)
        self._bits = bits
        low, high = experiment.temperature_range
        temperature = Temperature(low, high, self.stage.settings.sampler.levels)
        self.setting = Setting(
            network,
            _speaker(personas),
            self.stage.items[planned.condition],
            Chance(streams, planned.chance, temperature),
            voices,
            realization=planned.realization,
            condition=planned.condition,
            repeat=planned.repeat,
        )
        world = free_world(
            self._turns(),
            self._ready,
            self.setting.written,
            self.setting.chance,
            planned.realization,
            network.n_agents,
        )
        return Scene(world, self.sitting.sampler(planned), network.digest, rows)

    def _turns(self) -> Callable[[list[Any] | None], Sequence[Ask] | None]:
        """Let the experiment's generator go on, and hold what it yields to be questions."""
        with blaming():
            play = self.experiment.play(self.setting)
        if not hasattr(play, "send"):
            raise DesignError(
                f"{self._who}.play gives {play!r:.60}; it is a generator: it yields lists of agentnet.Ask"
            )

        def turn(answers: list[Any] | None) -> Sequence[Ask] | None:
            try:
                with blaming():
                    asks = play.send(answers)
            except StopIteration:
                return None
            return self._checked(asks)

        return turn

    @property
    def _who(self) -> str:
        return type(self.experiment).__name__

    def _checked(self, asks: Any) -> Sequence[Ask]:  # noqa: ANN401 - a user's
        if not isinstance(asks, list | tuple) or not all(isinstance(each, Ask) for each in asks):
            raise DesignError(f"{self._who}.play yields {asks!r:.80}; it yields lists of agentnet.Ask")
        for each in asks:
            if fault := self._fault(each):
                raise DesignError(f"{self._who}.play asks {fault}")
        # NumPy's numbers would stand in the log as bytes, and not be found again.
        return [
            each
            if type(each.agent) is type(each.source) is int
            else replace(each, agent=int(each.agent), source=int(each.source))
            for each in asks
        ]

    def _fault(self, asked: Ask) -> str | None:
        """Say what is wrong with a question."""
        n_agents, messages = self.setting.network.n_agents, self.setting.messages
        for what, agent in (("agent", asked.agent), ("source", asked.source)):
            is_number = isinstance(agent, int | np.integer)
            if not is_number or not (0 <= agent < n_agents or (what, agent) == ("source", -1)):
                return f"with {what} {agent!r}; agents are 0 to {n_agents - 1}"
        if not is_context(asked.context):
            return (
                f"with context {asked.context!r:.60}; it is a dict of names to plain facts (numbers, texts, "
                "true or false)"
            )
        if not isinstance(asked.kind, str) or asked.kind in _TAKEN or not asked.kind.strip():
            return f"a question of kind {asked.kind!r}, a word that other families use: call it otherwise"
        if not isinstance(asked.message, Message | None):
            return f"about {asked.message!r:.60}; a message is what s.post(author, text) gives"
        if asked.message is not None and asked.message not in messages[asked.message.number :][:1]:
            return f"about message {asked.message.number}, which was never posted: s.post(author, text) does"
        return None

    def _ready(self, asked: Ask) -> Asked:
        """Make a question ready to be put, and record it when it is new."""
        form = self._form(asked.answer)
        bits = self._bits[asked.agent]
        known = {
            "kind": asked.kind,
            "profile": bits or None,
            **self._who_says(asked, form),
            **{f"context.{name}": value for name, value in asked.context.items()},
        }
        constraint = (form.answers, form.schema) if self.experiment.constrain else ((), None)
        question = recorded_question(
            self.sitting.log,
            self.planned.condition,
            _messages(self._who, asked, form),
            {name: value for name, value in known.items() if value is not None},
            constraint,
            self.experiment.max_tokens,
        )
        return Asked(question, form.judge, lambda said: answer_of(form, said))

    def _who_says(self, asked: Ask, form: Declared) -> dict[str, str | None]:
        if asked.says is not None:
            return {"voice": _OF_THE_WORLD, "says": form.spell(asked.says)}
        return {"voice": self.setting.voices[asked.agent] if self.setting.voices else None}

    def _form(self, answer: Any) -> Declared:  # noqa: ANN401 - a user's
        try:
            found = self._forms.get(answer)
        except TypeError:
            return declared(answer)
        if found is None:
            found = self._forms[answer] = declared(answer)
        return found


def _speaker(personas: Sequence[Profile | str]) -> Callable[[int], str]:
    prompts = PromptSet.load()
    return lambda agent: prompts.system_message(personas[agent])


def _messages(who: str, asked: Ask, form: Declared) -> Messages:
    """Give the conversation, with the sentence that says how to answer at its end."""
    given = (("user", asked.prompt),) if isinstance(asked.prompt, str) else asked.prompt
    messages = conversation(given)
    if not messages:
        raise DesignError(
            f"{who}.play asks {asked.prompt!r:.80}; a prompt is a text, or (role, content) pairs"
        )
    role, content = messages[-1]
    if not content.strip():
        raise DesignError(f"{who}.play asks agent {asked.agent} nothing: its prompt is blank")
    said = "\n\n".join(filter(None, (content, form.instruction)))
    return (*messages[:-1], (role, said))


class FreeWorlds(Family):
    """The family of free worlds."""

    name = "world"
    what = "free worlds"
    experiment = WorldExperiment
    answers = "answers"
    read_as = frozenset({"free worlds"})
    shows = 'Run.frame("decisions") has their answers and contexts, a column each; see what they found'

    def stage(
        self,
        experiments: Sequence[Experiment],
        settings: Settings,
        environ: Mapping[str, str],  # noqa: ARG002 - nothing here has a key
        recorded: Run | None = None,
    ) -> FreeStage:
        """Choose the news, and make one network of each condition, to see that it can be made."""
        streams = Streams(settings.seed)
        items = tuple(ask(each, "choose_news", streams.integer("news")) for each in experiments)
        if recorded is None:
            for each in experiments:
                ask(each, "make_network", streams.integer("trial network"))
                _check_written(each)
        return FreeStage(tuple(experiments), settings, items)  # type: ignore[arg-type]

    def check(self, experiments: Sequence[Experiment], settings: Settings) -> None:  # noqa: ARG002
        """Refuse modes that know yes and no alone."""
        if settings.sampler.mode == "logprobs":
            raise DesignError(
                "sampler mode 'logprobs' draws yes and no from probabilities; a free world may ask anything: "
                "choose sampler.mode call or choices"
            )

    def measures(self, runs: Sequence[Run]) -> Sequence[str]:
        """List what their worlds measured."""
        from agentnet.analysis.measures import measures_of

        return measures_of(runs)

    def measured(self, runs: Sequence[Run], measure: str, groups: GroupsLike | None) -> OneMeasure:  # noqa: ARG002
        """Take the last value of each realization."""
        from agentnet.analysis.measures import measured_worlds

        return measured_worlds(runs, measure)

    def parts(self, reading: Reading) -> Iterable[Part]:
        """Say what was measured in each condition."""
        from agentnet.report.worlds import world_parts

        return world_parts(reading, self.name)


def _check_written(experiment: Experiment) -> None:
    if getattr(type(experiment), "play", None) is WorldExperiment.play:
        raise DesignError(
            f"{type(experiment).__name__} says nothing of what happens: write play(self, s), which yields "
            "lists of agentnet.Ask (agentnet init NAME --family world writes one to begin with)"
        )
