"""The world of interacting models (Helm et al. 2024, sections 2 and 4).

At each step every model with candidates picks one of them, asks it some questions and is updated by the
answers; a database is read instead, and teaches the bank's answers to some of its questions. A step has two
phases: all answers come from the states at its start, then all models are updated. So neither order nor
concurrency can matter. At step 0, and after each step, every model that is there answers the evaluation set.
A model that joins is taught after a step's interviews, as others are at step 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.streams import Chance
from agentnet.vocabulary import AWAY, EVALUATION, INTERVIEW, JOINS, LEAVES, READS
from agentnet.worlds.wants import Ask, End, Note, World, Write

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
        source: The model that answered, or the database, numbered after the models; -1 for the question bank.
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
        present: For each step, 0 first, the models that are there at its end.
        databases: For each database the questions that it holds.
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
    present: tuple[Numbers, ...]
    databases: tuple[Numbers, ...]
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
        self._n_changes = 0

    def play(self) -> World:
        """Play it to its end."""
        yield Write(counts={"models": self._n_models})
        there = self._rules.present[0]
        yield self._changed(0, AWAY, [model for model in range(self._n_models) if model not in there])
        if self._rules.restored < 0:
            yield from self._update(0, [])
        yield from self._evaluate(0)
        for step in range(1, self._rules.steps + 1):
            yield from self._come_and_go(step)
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
        evaluation, there = self._rules.evaluation, self._rules.present[step]
        n_each = len(evaluation)
        agents = np.repeat(np.array(there, dtype=np.int64), n_each)
        repeats = np.tile(np.array(evaluation, dtype=np.int64), len(there))
        sources = np.full(len(agents), -1)
        said = yield self._ask(EVALUATION, step, agents, sources, repeats)
        self._answers = [[None] * n_each for _ in range(self._n_models)]
        for place, model in enumerate(there):
            self._answers[model] = [each.text for each in said[place * n_each :][:n_each]]
        if self._rules.reuse:
            keys = zip(agents.tolist(), repeats.tolist(), strict=True)
            yield Remember(dict(zip(keys, said, strict=True)))

    def _interview(
        self, step: int, candidates: Sequence[Sequence[int]]
    ) -> Generator[Any, Any, list[list[Heard]]]:
        """Let every model with candidates interview one of them; return what each heard."""
        partners = [self._partner(step, model, among) for model, among in enumerate(candidates)]
        yield self._partners(step, partners, candidates)
        askers = [model for model, partner in enumerate(partners) if partner in range(self._n_models)]
        chosen = [self._choose_questions(step, model, self._rules.bank) for model in askers]
        n_each = self._rules.n_questions
        sources = np.repeat(np.array(askers, dtype=np.int64), n_each)
        agents = np.array([partners[model] for model in sources.tolist()], dtype=np.int64)
        repeats = np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)
        said = yield self._ask(INTERVIEW, step, agents, sources, repeats)
        heard = yield from self._read(step, partners)
        for source, agent, number, each in zip(
            sources.tolist(), agents.tolist(), repeats.tolist(), said, strict=True
        ):
            if each.text is not None:
                heard[source].append(Heard(number, each.text, agent))
        return heard

    def _read(self, step: int, partners: Sequence[int | None]) -> Generator[Any, Any, list[list[Heard]]]:
        """Let the models whose partner is a database read it; return what each model heard by that."""
        heard: list[list[Heard]] = [[] for _ in range(self._n_models)]
        for model, partner in enumerate(partners):
            if partner is not None and partner >= self._n_models:
                held = self._rules.databases[partner - self._n_models]
                numbers = self._choose_questions(step, model, held).tolist()
                heard[model] = [Heard(number, None, partner) for number in numbers]
                yield self._changed(step, READS, [model], partner, json.dumps(numbers))
        return heard

    def _come_and_go(self, step: int) -> Generator[Any, Any, None]:
        """Say which models join and leave at a step."""
        before, after = self._rules.present[step - 1], self._rules.present[step]
        yield self._changed(step, LEAVES, [model for model in before if model not in after])
        yield self._changed(step, JOINS, [model for model in after if model not in before])

    def _changed(
        self, step: int, what: str, models: Sequence[int], other: int | None = None, detail: str | None = None
    ) -> Write:
        """Say what is written of models to which something happens beside answers."""
        first = self._n_changes
        self._n_changes += len(models)
        rows = [
            (self._realization, number, step, what, model, other, detail)
            for number, model in enumerate(models, first)
        ]
        return Write({"changes": rows} if rows else {})

    def _partner(self, step: int, model: int, among: Sequence[int]) -> int | None:
        if not among:
            return None
        return among[self._chance.integer("partner", step, model) % len(among)]

    def _choose_questions(self, step: int, model: int, numbers: Numbers) -> NDArray[np.int64]:
        """Draw the questions of an interview without replacement, in the order in which they are asked."""
        bank = np.array(numbers, dtype=np.int64)
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
                    if self._is_playing(step, model)
                ]
            }
        )

    def _is_playing(self, step: int, model: int) -> bool:
        """Say whether a model was there when a step began, and is when it ends."""
        return all(model in self._rules.present[each] for each in (step - 1, step))

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
        """Have every model updated that heard something, and those taught that come at this step.

        They may be saved once that is written down.
        """
        present = self._rules.present
        came = [model for model in present[step] if not step or model not in present[step - 1]]
        streams, models = self._chance.streams, range(self._n_models)
        first = [streams.integer("update", of, 0, model) for model, of in enumerate(self._rules.starts)]
        taught = [[Heard(n, None, -1) for n in self._rules.taught[m]] if m in came else [] for m in models]
        measures: dict[int, Any] = {}
        if came:
            measures |= yield Update(0, taught, first)
        if step:
            seeds = [self._chance.integer("update", step, model) for model in models]
            measures |= yield Update(step, heard, seeds)
        rows = [
            (
                self._realization,
                step,
                m,
                len(taught[m] if m in came else heard[m]),
                json.dumps(measures.get(m, {})),
            )
            for m in present[step]
        ]
        yield Write({"updates": rows})
        yield Updated(step)

    def _say_who_is_alone(self) -> Generator[Any, Any, None]:
        """Note the models that nobody interviewed: allowed, but perhaps not meant (unless nobody was to)."""
        alone = [model for model in range(self._n_models) if model not in self._asked]
        if alone and self._rules.steps:
            yield Note("alone", {"realization": self._realization, "never_interviewed": alone})
