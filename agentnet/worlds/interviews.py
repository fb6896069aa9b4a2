"""The world of interacting models (Helm et al. 2024, sections 2 and 4).

At each step every model with candidates picks one of them, asks it some questions and is updated by the
answers. A step has two phases: all answers come from the states at its start, then all models are updated. So
neither order nor concurrency can matter. At step 0, and after each step, every model answers the evaluation
set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.vocabulary import EVALUATION, INTERVIEW
from agentnet.worlds.wants import Ask, Chance, End, Note, World, Write

if TYPE_CHECKING:
    from agentnet.events import Said
    from agentnet.sampler import Question as Prompted

Numbers = tuple[int, ...]
"""Numbers of questions."""

Answers = Sequence[Sequence[str | None]]
"""For each model its answers to the evaluation set, in order; None where one is missing."""


class Heard(NamedTuple):
    """An answer that a model heard.

    Attributes:
        question: Number of the question.
        answer: What was answered; None for the bank's own answer.
        source: The model that answered; -1 for the question bank.
    """

    question: int
    answer: str | None
    source: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """Wants the candidates of each model at a step, a tuple of models each; `answers` are the latest."""

    step: int
    answers: Answers


@dataclass(frozen=True, slots=True)
class Update:
    """Wants models to be updated by what they heard; sent back is model -> measures.

    Attributes:
        step: The step; 0 for what they are taught at the start.
        heard: For each model what it heard, in the order asked; it is updated only if that is anything.
        seeds: For each model what chance in the update is fixed by.
    """

    step: int
    heard: Sequence[Sequence[Heard]]
    seeds: Sequence[int]


@dataclass(frozen=True, slots=True)
class Updated:
    """Says that the updates of a step are written down, so that the models may be saved."""

    step: int


@dataclass(frozen=True, slots=True)
class Remember:
    """Says what may be answered again without asking: (model, question) -> what the model last said to it."""

    said: Mapping[tuple[int, int], Said]


@dataclass(frozen=True, slots=True)
class InterviewRules:
    """How a system is played.

    Attributes:
        n_models: How many models there are.
        taught: For each model the questions that it is taught at the start, with the bank's answers.
        starts: For each model the repeat by which chance in its first teaching is keyed.
        evaluation: The evaluation set.
        bank: What questions of interviews are drawn from.
        n_questions: Questions of an interview, at most as many as the bank has; none twice.
        steps: Steps after the start, >= 0.
        reuse: Whether an interview takes the answers that the model gave to the same questions in the last
            evaluation; only for greedy answers, which would be the same.
        restored: The step after whose updates the models stand as they were saved; -1 if they were not.
    """

    n_models: int
    taught: tuple[Numbers, ...]
    starts: tuple[int, ...]
    evaluation: Numbers
    bank: Numbers
    n_questions: int
    steps: int
    reuse: bool = True
    restored: int = -1


class Interviews:
    """One realization: its steps.

    Args:
        rules: How it is played.
        n_questions: How many questions the run has.
        prompted: (kind, model, question) -> how a question to a model may be answered.
        chance: The realization's random numbers.
        realization: Its number in the log.
    """

    def __init__(
        self,
        rules: InterviewRules,
        n_questions: int,
        prompted: Callable[[str, int, int], Prompted],
        chance: Chance,
        realization: int,
    ) -> None:
        self._rules = rules
        self._n_all = n_questions
        self._prompted = prompted
        self._chance = chance
        self._realization = realization
        self._n_models = rules.n_models
        self._answers: list[list[str | None]] = []
        self._asked: set[int] = set()

    def play(self) -> World:
        """Play it to its end."""
        yield Write(counts={"models": self._n_models})
        if self._rules.restored < 0:
            taught = [[Heard(n, None, -1) for n in numbers] for numbers in self._rules.taught]
            yield from self._update(0, taught)
        yield from self._evaluate(0)
        for step in range(1, self._rules.steps + 1):
            candidates = yield Candidates(step, self._answers)
            heard = yield from self._interview(step, candidates)
            if step > self._rules.restored:
                yield from self._update(step, heard)
            yield from self._evaluate(step)
            yield Write(counts={"steps": 1})
        yield from self._say_who_is_alone()
        return End("finished", self._rules.steps)

    def _evaluate(self, step: int) -> Generator[Any, Any, None]:
        """Ask every model the evaluation set."""
        evaluation = self._rules.evaluation
        n_each = len(evaluation)
        agents = np.repeat(np.arange(self._n_models), n_each)
        repeats = np.tile(np.array(evaluation, dtype=np.int64), self._n_models)
        sources = np.full(len(agents), -1)
        said = yield self._ask(EVALUATION, step, agents, sources, repeats)
        by_model = [said[i : i + n_each] for i in range(0, len(said), n_each)]
        self._answers = [[each.text for each in of_model] for of_model in by_model]
        if self._rules.reuse:
            keys = zip(agents.tolist(), repeats.tolist(), strict=True)
            yield Remember(dict(zip(keys, said, strict=True)))

    def _interview(
        self, step: int, candidates: Sequence[Sequence[int]]
    ) -> Generator[Any, Any, list[list[Heard]]]:
        """Let every model with candidates interview one of them; return what each heard."""
        partners = [self._partner(step, model, among) for model, among in enumerate(candidates)]
        yield self._partners(step, partners, candidates)
        askers = [model for model, partner in enumerate(partners) if partner is not None]
        chosen = [self._choose_questions(step, model) for model in askers]
        n_each = self._rules.n_questions
        sources = np.repeat(np.array(askers, dtype=np.int64), n_each)
        agents = np.array([partners[model] for model in sources.tolist()], dtype=np.int64)
        repeats = np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)
        said = yield self._ask(INTERVIEW, step, agents, sources, repeats)
        heard: list[list[Heard]] = [[] for _ in range(self._n_models)]
        for source, agent, number, each in zip(
            sources.tolist(), agents.tolist(), repeats.tolist(), said, strict=True
        ):
            if each.text is not None:
                heard[source].append(Heard(number, each.text, agent))
        return heard

    def _partner(self, step: int, model: int, among: Sequence[int]) -> int | None:
        if not among:
            return None
        return among[self._chance.integer("partner", step, model) % len(among)]

    def _choose_questions(self, step: int, model: int) -> NDArray[np.int64]:
        """Draw the questions of an interview without replacement, in the order in which they are asked."""
        bank = np.array(self._rules.bank, dtype=np.int64)
        key = ("questions", self._chance.number, step, model)
        words = self._chance.streams.words_at(*key, at=np.arange(len(bank)))
        return bank[np.argsort(words, kind="stable")[: self._rules.n_questions]]

    def _partners(self, step: int, partners: list[int | None], candidates: Sequence[Sequence[int]]) -> Write:
        """Say what is written of who interviews whom."""
        self._asked |= {partner for partner in partners if partner is not None}
        return Write(
            {
                "interviews": [
                    (self._realization, step, model, partner, len(candidates[model]))
                    for model, partner in enumerate(partners)
                ]
            }
        )

    def _ask(
        self,
        kind: str,
        step: int,
        agents: NDArray[np.int64],
        sources: NDArray[np.int64],
        repeats: NDArray[np.int64],
    ) -> Ask:
        """Make the draws of questions number `repeats`."""
        # A draw's place in the step's stream: by model and question, whatever else is asked.
        place = (sources + 1) * self._n_models + agents
        draw = self._chance.draws(kind, step, place * self._n_all + repeats)
        asked, by, numbers = agents.tolist(), sources.tolist(), repeats.tolist()
        prompted = [self._prompted(kind, *key) for key in zip(asked, numbers, strict=True)]
        return Ask(kind, step, asked, by, numbers, prompted, *draw, texts=True)

    def _update(self, step: int, heard: Sequence[Sequence[Heard]]) -> Generator[Any, Any, None]:
        """Have every model updated that heard something; it may be saved once that is written down."""
        of = self._rules.starts if step == 0 else (self._chance.number,) * self._n_models
        seeds = [
            self._chance.streams.integer("update", number, step, model) for model, number in enumerate(of)
        ]
        measures: Mapping[int, Any] = yield Update(step, heard, seeds)
        rows = [
            (self._realization, step, model, len(of_model), json.dumps(measures.get(model, {})))
            for model, of_model in enumerate(heard)
        ]
        yield Write({"updates": rows})
        yield Updated(step)

    def _say_who_is_alone(self) -> Generator[Any, Any, None]:
        """Note the models that nobody interviewed: allowed, but perhaps not meant (unless nobody was to)."""
        alone = [model for model in range(self._n_models) if model not in self._asked]
        if alone and self._rules.steps:
            yield Note("alone", {"realization": self._realization, "never_interviewed": alone})
