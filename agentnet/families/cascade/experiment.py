"""The base class of experiments with news cascades."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from agentnet.asking_rules import find_rule
from agentnet.errors import DesignError
from agentnet.experiment import Gives, NewsExperiment, one, require
from agentnet.experiment.body import own_classes, takes, takes_also
from agentnet.exposure import Context, Exposure, Missing, Reaction, is_context
from agentnet.families.book import OF_EXPOSURE
from agentnet.families.people import PeopledExperiment
from agentnet.interventions import Intervention
from agentnet.network import Network
from agentnet.news import NewsItem
from agentnet.profiles import Profile
from agentnet.prompts import Messages, PromptSet, Verdict
from agentnet.prompts.declared import Declared, declared
from agentnet.vocabulary import WITHOUT

_TOLD = frozenset({"context", "remark", "react", "rule", "network_at", "assign_personas", "deal_voices"})
"""Hooks whose overriding makes each exposure be asked by itself."""


class CascadeExperiment(PeopledExperiment, NewsExperiment):
    """News cascades on a network (Tian et al. 2026); its defaults are the paper's design.

    Attributes:
        repeats: Realizations of each news item.
        steps: Steps after the seeding.
        asking_rule: Which exposures are asked: a rule's name; see `agentnet.asking_rules`.
        max_seed_attempts: How many agents are asked to start at most; None: all of them.
        initial_agents: Who is engaged at the start. A number: so many, asked until they say yes. Without
            being asked: a tuple of agents; ``{"top": (measure, how many)}``, the highest in it
            (`agentnet.network.Network.top`); ``{"share": 0.05}``, drawn at random.
        answer: What agents may answer: yes or no (``bool``), a ``Literal`` of choices, or a pydantic model;
            see `agentnet.prompts.declared`.
        decides: Which answer engages: the name of a model's field, (field, value), or a choice.
        passes_on: The field whose text the agent's neighbours hear; "": the message as it was.
        interventions: What is done at steps (`agentnet.interventions.at_step`).
        recovery_rate: Probability by which an engaged agent stops at each later step: it is not heard then.
        susceptible_again: Whether who stopped may engage again (SIS instead of SIR).
    """

    family: ClassVar[str] = "cascade"
    _gives: ClassVar = {
        "context": Gives(
            lambda given: given if is_context(given) else None,
            "a dict of names to plain facts (numbers, texts, true or false)",
        ),
        "remark": Gives(one(str), "a text, '' for none"),
        "react": Gives(
            lambda given: given if _is_reaction(given) else None,
            "an agentnet.Reaction, such as Reaction(engages=True): `engages` is True, False or None, `text` "
            "is one or None, and `stops` lists agents",
        ),
        "network_at": Gives(
            lambda given: (given,) if given is None or isinstance(given, Network) else None,
            "an agentnet.Network, or None where it stays as it is",
        ),
    }

    repeats: int = 5
    steps: int = 15
    asking_rule: str = "unengaged_neighbour"
    max_seed_attempts: int | None = None
    initial_agents: int | tuple[int, ...] | dict[str, Any] = 1
    answer: Any = bool
    decides: Any = None
    passes_on: str = ""
    interventions: tuple[Any, ...] = ()
    recovery_rate: float = 0.0
    susceptible_again: bool = False
    _declared: Declared | None = None

    def check(self) -> None:
        """Refuse a design that cannot be played; makes one network to see that it can be made."""
        super().check()
        require(self.steps >= 1, f"steps is {self.steps}; it is at least 1")
        require(
            self.max_seed_attempts is None or self.max_seed_attempts >= 1,
            f"max_seed_attempts is {self.max_seed_attempts}; it is at least 1, or None for all agents",
        )
        find_rule(self)
        self._check_told()

    def _check_told(self) -> None:
        """Refuse what the agents cannot be told or answer."""
        require(0.0 <= self.recovery_rate <= 1.0, f"recovery_rate is {self.recovery_rate}; it is from 0 to 1")
        require(
            not self.susceptible_again or self.recovery_rate > 0.0 or self._reacts,
            "susceptible_again is set, but nobody stops: set recovery_rate, or stop agents in react",
        )
        require(
            not isinstance(self.initial_agents, int) or self.initial_agents >= 1,
            f"initial_agents is {self.initial_agents}; somebody starts, so it is at least 1",
        )
        for each in self.interventions:
            require(
                isinstance(each, Intervention),
                f"interventions holds {each!r:.60}; each is made by at_step(step, effect)",
            )
        require(
            type(self).remark is CascadeExperiment.remark or not takes(type(self).messages, *OF_EXPOSURE),
            "remark is not called where messages(prompts, exposure) says everything itself: say it there",
        )
        self._declared = declared(self.answer, decides=self.decides)
        if self.answers_more:
            # The declaration says what is asked for, so that no reason is asked for beside it.
            self.rationale = WITHOUT
            require(
                self.decides is not None or self._reacts,
                f"answer is {self.answer}, but nothing says which answers engage; set decides to a field or "
                "a choice, or write react(self, exposure, answer)",
            )
        require(
            not self.passes_on or self.passes_on in self._declared.fields,
            f"passes_on is {self.passes_on!r}, which is no field of the answer; it has "
            f"{', '.join(self._declared.fields) or 'none'}",
        )
        require(
            not self.passes_on or _type_of(self._declared, self.passes_on) == "string",
            f"passes_on is {self.passes_on!r}, which is no text that could be passed on",
        )
        late = [each for each in self.interventions if each.step > self.steps]
        require(
            not late, f"an intervention, {', '.join(map(str, late))}, is after the last of {self.steps} steps"
        )

    @property
    def _reacts(self) -> bool:
        """Whether the experiment says itself what answers do."""
        return type(self).react is not CascadeExperiment.react

    @property
    def answers_more(self) -> bool:
        """Whether agents may answer more than yes or no."""
        return self.answer is not bool

    @property
    def declared(self) -> Declared:
        """What agents may answer."""
        assert self._declared is not None
        return self._declared

    def judge(self, text: str) -> Verdict:
        """Understand a reply: as `answer` declares it, or as yes or no."""
        return self.declared.judge(text) if self.answers_more else super().judge(text)

    def constraint(self) -> tuple[tuple[str, ...], str | None]:
        """Say what a reply may be; see `NewsExperiment.constraint`."""
        if not (self.answers_more and self.constrain):
            return super().constraint()
        return self.declared.answers, self.declared.schema

    @takes_also(*OF_EXPOSURE)
    def messages(self, prompts: PromptSet, kind: str, profile: Profile | str, item: NewsItem) -> Messages:
        """Compose what an agent is asked; override it to ask otherwise.

        It may also be written as ``messages(self, prompts, exposure)``: then it may use all that is known of
        the `agentnet.Exposure`, and is called for each one.

        Args:
            prompts: The run's templates.
            kind: ``seed`` or ``exposure``.
            profile: The agent's profile, or the text of its persona.
            item: The news item; where messages are retold, or there are remarks, its text is theirs.
        """
        answer = self.declared.instruction if self.answers_more else None
        return prompts.messages(kind, profile, item, rationale=self.rationale, answer=answer)

    def context(self, exposure: Exposure) -> Context:  # noqa: ARG002 - those who write it need it
        """Say which facts of an exposure its prompt uses; they are recorded, and laws can use them."""
        return {}

    def remark(self, context: Context) -> str:  # noqa: ARG002 - likewise
        """Say what stands between the news and the question, from the facts of `context`."""
        return ""

    def react(self, exposure: Exposure, answer: Any) -> Reaction:  # noqa: ANN401, ARG002 - as declared
        """Say what an answer does; by default what `decides` and `passes_on` say.

        Args:
            exposure: What the agent was asked about.
            answer: As `answer` declares it, or `agentnet.Missing`.
        """
        if isinstance(answer, Missing):
            return Reaction(None)
        text = getattr(answer, self.passes_on) if self.passes_on else None
        return Reaction(_engages(answer, self.decides), text)

    def rule(self, exposure: Exposure) -> Any:  # noqa: ANN401, ARG002 - as declared
        """Answer for an agent whose voice is ``"rule"``."""
        raise DesignError(
            f"{type(self).__name__} has agents that follow a rule: write its method rule(self, exposure)"
        )

    def network_at(self, step: int, seed: int) -> Network | None:  # noqa: ARG002 - those who write it need it
        """Give the network from a step on; None where it stays as it is."""
        return None

    @property
    def is_told(self) -> bool:
        """Whether agents are told more than a news item, so that each exposure is asked by itself."""
        own = {name for base in own_classes(type(self)) for name in vars(base)}
        chosen = not isinstance(self.initial_agents, int)
        knobs = self.answers_more or self.interventions or self.recovery_rate or self.voices
        takes_exposure = "messages" in own and takes(type(self).messages, *OF_EXPOSURE)
        return bool(own & _TOLD or chosen or knobs or takes_exposure or self.personas is not None)


def _type_of(declared: Declared, name: str) -> object:
    return json.loads(declared.schema or "")["properties"][name].get("type", "string")


def _is_reaction(given: object) -> bool:
    return (
        isinstance(given, Reaction)
        and isinstance(given.engages, bool | np.bool_ | None)
        and isinstance(given.text, str | None)
        and isinstance(given.stops, Sequence | np.ndarray)
    )


def _engages(answer: Any, decides: Any) -> bool:  # noqa: ANN401 - as declared
    if decides is None:
        return bool(answer)
    if not isinstance(answer, BaseModel):
        return bool(answer == decides)
    name, wanted = decides if isinstance(decides, tuple) else (decides, True)
    return bool(getattr(answer, name) == wanted)
