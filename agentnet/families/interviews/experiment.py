"""The family of experiments in which models interview each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from agentnet.errors import DesignError, near_miss
from agentnet.experiment import Experiment, Gives, require, several
from agentnet.interviews import (
    Question,
    Topology,
    Vertices,
    installed_updates,
    load_bank,
    parse_topology,
    topics_of,
)
from agentnet.streams import Streams
from agentnet.vocabulary import EVALUATION, JOINS, LEAVES, QuestionsFrom, TaughtFrom

Numbers = tuple[int, ...]
"""Numbers of questions."""


class InterviewExperiment(Experiment):
    """Models of one or several classes that interview each other (Helm et al. 2024).

    A class is a number of models that are taught questions of one topic, each its own draw of them. Then, at
    each step, every model picks one of its candidates and asks it `n_questions` questions.

    Attributes:
        models: Class -> how many models; models are numbered in this order.
        topics: Class -> topic it is taught; a class that is not named here is taught the topic of its name.
        bank: ``"bundled"`` for the question bank that comes with agentnet, or a file.
        bank_kind: Format of that file, if its head does not tell.
        bank_columns: Column map of that file, such as ``{"text": "question"}``.
        evaluation_topics: Topics of the evaluation set; none given: those of all classes.
        n_evaluation: Questions of the evaluation set from each of these topics, >= 1; 0 takes all.
        questions_from: What interviews draw from: the ``evaluation`` set (as the paper), or all questions of
            its topics (``bank``).
        n_questions: Questions of an interview, >= 1.
        n_taught: Questions that each model is taught at the start, >= 0.
        taught_from: Where these are drawn from: the ``topic`` of the class, or the ``evaluation`` set.
        taught_once: Classes whose models are the same in all repeats: taught the same, in the same order.
        steps: Steps after the start, >= 0; with 0 the models are asked the evaluation set, and nothing else.
        topology: Who may interview whom: a name of `agentnet.interviews.NAMED`, a networkx graph, or a
            function (step, state) -> candidates of each model; see `agentnet.interviews.topology`.
        update: The update rule (see ``agentnet backends``); None: ``stand_in`` while the backend is the mock,
            ``memory`` with any other.
        update_options: Rule -> its options. An override named like a rule is the same thing
            (``-S finetune.model=...``).
        reuse: Whether interviews take greedy answers from the last evaluation instead of asking again.
        temperature: Sampling temperature of all answers; 0 is greedy.
        max_tokens: Bound on the tokens of an answer.
        databases: Database -> topic of the questions that it holds, with the bank's answers; models read it
            where the topology names it (`agentnet.interviews.Reading`), and nobody changes it.
        joins: Model -> the step after whose interviews it comes: it is taught and evaluated then, and
            interviews from the next step on.
        leaves: Model -> the first step at which it is gone.
        repeats: Realizations of each condition; those of equal number share chance across conditions.
    """

    family: ClassVar[str] = "interview"
    _gives: ClassVar = {
        "load_questions": Gives(several, "a sequence of agentnet.interviews.Question"),
        "system_messages": Gives(several, "a text for each model"),
        "choose_evaluation": Gives(several, "numbers of questions"),
        "choose_bank": Gives(several, "numbers of questions"),
        "choose_database": Gives(several, "numbers of questions"),
        "choose_taught": Gives(several, "numbers of questions"),
    }

    models: Mapping[str, int] = MappingProxyType({"society": 5, "science": 5})
    topics: Mapping[str, str] = MappingProxyType({})
    bank: str | Path = "bundled"
    bank_kind: str | None = None
    bank_columns: Mapping[str, str] = MappingProxyType({})
    evaluation_topics: tuple[str, ...] = ()
    n_evaluation: int = 20
    questions_from: QuestionsFrom = EVALUATION
    n_questions: int = 10
    n_taught: int = 60
    taught_from: TaughtFrom = "topic"
    taught_once: tuple[str, ...] = ()
    steps: int = 30
    topology: Any = "full"
    update: str | None = None
    update_options: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    reuse: bool = True
    temperature: float | tuple[float, float] = 0.0
    max_tokens: int = 64
    databases: Mapping[str, str] = MappingProxyType({})
    joins: Mapping[int, int] = MappingProxyType({})
    leaves: Mapping[int, int] = MappingProxyType({})

    def __init__(self, **overrides: object) -> None:
        super().__init__(**self._with_rule_options(overrides))

    def check(self) -> None:
        """Refuse a design that cannot be played, as far as it shows without the question bank."""
        super().check()
        require(len(self.models) > 0, "models is empty; it maps each class to its number of models")
        for name, number in self.models.items():
            require(number >= 1, f"models has {number} of class {name!r}; a class has at least 1")
        for knob in ("topics", "taught_once"):
            for name in getattr(self, knob):
                require(
                    name in self.models,
                    f"{knob} names class {name!r}, which models lacks{near_miss(name, self.models)}",
                )
        for knob, least in (("n_evaluation", 0), ("n_questions", 1), ("n_taught", 0), ("steps", 0)):
            value = getattr(self, knob)
            require(value >= least, f"{knob} is {value}; it is at least {least}")
        for topic in self.evaluation_topics:
            n_times = self.evaluation_topics.count(topic)
            require(n_times == 1, f"evaluation_topics names {topic!r} {n_times} times; once is enough")
        self._check_vertices()
        parse_topology(self.make_topology())

    def _check_vertices(self) -> None:
        """Refuse databases and comings and goings that cannot be."""
        for name in self.databases:
            require(
                bool(name.strip()) and name not in self.models and not name.isdecimal(),
                f"databases names {name!r} like a class or a model; give the database a name of its own",
            )
        n_models = len(self.classes)
        for knob in (JOINS, LEAVES):
            for model, step in getattr(self, knob).items():
                require(
                    0 <= model < n_models,
                    f"{knob} names model {model}, but there are models 0 to {n_models - 1}",
                )
                require(
                    1 <= step <= self.steps,
                    f"{knob} has step {step} for model {model}; it is a step of the run, 1 to {self.steps}",
                )
        for model, step in self.leaves.items():
            joins = self.joins.get(model, 0)
            require(
                joins < step,
                f"model {model} leaves at step {step} and joins at step {joins}; it joins before it leaves",
            )
        for step in range(self.steps + 1):
            require(bool(self.vertices.present(step)), f"no model is there at step {step}; let one stay")

    @property
    def classes(self) -> tuple[str, ...]:
        """Class of each model."""
        return tuple(name for name, number in self.models.items() for _ in range(number))

    @property
    def vertices(self) -> Vertices:
        """Models and databases, and which models are there when."""
        return Vertices(len(self.classes), tuple(self.databases), self.joins, self.leaves)

    def starts(self, repeat: int) -> tuple[int, ...]:
        """Say of which repeat each model's start is: the first's, if it is the same in all."""
        return tuple(0 if name in self.taught_once else repeat for name in self.classes)

    def system_messages(self) -> Sequence[str]:
        """Say what each model is told ahead of everything else; override it to tell them who they are.

        A system message of the update rule's own follows it in the same message. Only rules that ask the
        run's backend can tell their models anything.

        Returns:
            One text for each model, in order; ``""`` tells a model nothing.
        """
        return ("",) * len(self.classes)

    def make_topology(self) -> Topology:
        """Make the topology; override it to make one of other attributes.

        Returns:
            Whatever `topology` may be.

        Raises:
            DesignError: `topology` is none.
        """
        return parse_topology(self.topology)

    def load_questions(self) -> tuple[Question, ...]:
        """Read the question bank; override it for questions of your own.

        Raises:
            InputError: The bank cannot be used.
        """
        return load_bank(self.bank, kind=self.bank_kind, columns=self.bank_columns)

    def choose_evaluation(self, questions: Sequence[Question], seed: int) -> Numbers:
        """Draw the evaluation set: numbers of questions, topic by topic, in the bank's order.

        Args:
            questions: The whole bank.
            seed: Fixes the draw; equal for all realizations of a run.

        Raises:
            DesignError: The bank has too few questions of a topic.
        """
        chosen: list[int] = []
        for topic in self.evaluation_topics or dict.fromkeys(map(self._topic, self.models)):
            pool = _of_topic(questions, topic, self._who_wants(topic))
            chosen += _drawn(pool, self.n_evaluation, seed, topic, f"n_evaluation, topic {topic!r},")
        return tuple(chosen)

    def choose_bank(self, questions: Sequence[Question], evaluation: Numbers) -> Numbers:
        """Say what interviews draw their questions from.

        Raises:
            DesignError: It has fewer questions than an interview.
        """
        bank = evaluation
        if self.questions_from == "bank":
            topics = {questions[number].topic for number in evaluation}
            bank = tuple(n for n, question in enumerate(questions) if question.topic in topics)
        require(
            not self.steps or self.n_questions <= len(bank),
            f"n_questions is {self.n_questions}, but interviews draw from {len(bank)} questions; lower it, "
            "or raise n_evaluation",
        )
        return bank

    def choose_database(self, questions: Sequence[Question], name: str) -> Numbers:
        """Say what a database holds: all questions of its topic.

        Args:
            questions: The whole bank.
            name: The database.

        Raises:
            DesignError: The bank has no such topic.
        """
        return _of_topic(questions, self.databases[name], f"databases, {name!r}")

    def choose_taught(
        self, questions: Sequence[Question], evaluation: Numbers, model: int, seed: int
    ) -> Numbers:
        """Draw what one model is taught at the start, in the order in which it is taught.

        Args:
            questions: The whole bank.
            evaluation: The evaluation set.
            model: Number of the model.
            seed: Fixes the draw; keyed by run seed, repeat and model (but see `taught_once`).

        Raises:
            DesignError: There are too few questions to draw from.
        """
        if not self.n_taught:
            return ()
        topic = self._topic(self.classes[model])
        pool = _of_topic(questions, topic, self._who_wants(topic))
        if self.taught_from == EVALUATION:
            pool = tuple(number for number in evaluation if questions[number].topic == topic)
        require_answers(questions, pool, "teach nothing (n_taught=0)")
        drawn = _drawn(pool, self.n_taught, seed, "taught", f"n_taught, of topic {topic!r},")
        order = np.argsort(Streams(seed).words_at("order", at=np.arange(len(drawn))), kind="stable")
        return tuple(drawn[place] for place in order.tolist())

    def _topic(self, name: str) -> str:
        return self.topics.get(name, name)

    def _who_wants(self, topic: str) -> str:
        """Say where the design names a topic, for messages."""
        if topic in self.evaluation_topics:
            return "evaluation_topics"
        name = next(name for name in self.models if self._topic(name) == topic)
        return f"topics, class {name!r}" if name in self.topics else f"class {name!r} (see topics)"

    def _with_rule_options(self, overrides: Mapping[str, object]) -> dict[str, object]:
        """Move overrides that are named like an update rule to the rule's options."""
        unknown = overrides.keys() - self._design_types().keys()
        rules = set(installed_updates()) if unknown else set()
        given = {name: overrides[name] for name in sorted(unknown & rules)}
        kept = {name: value for name, value in overrides.items() if name not in given}
        if not given:
            return kept
        options = dict(kept.get("update_options", self.update_options))  # type: ignore[call-overload]
        for name, value in given.items():
            if not isinstance(value, Mapping):
                raise DesignError(
                    f"{name} is {value!r}; the options of an update rule come one by one: -S {name}.KEY=VALUE"
                )
            options[name] = {**options.get(name, {}), **value}
        return {**kept, "update_options": options}


def require_answers(questions: Sequence[Question], numbers: Numbers, otherwise: str) -> None:
    """Refuse to teach what has no answer.

    Raises:
        DesignError: Names the question, and what to do otherwise.
    """
    for number in numbers:
        require(
            bool(questions[number].answer.strip()),
            f"question {questions[number].id!r} has no answer, so that nobody can be taught it; give it one, "
            f"or {otherwise}",
        )


def _of_topic(questions: Sequence[Question], topic: str, who: str) -> Numbers:
    found = tuple(number for number, question in enumerate(questions) if question.topic == topic)
    if not found:
        raise DesignError(
            f"{who}: the question bank has no topic {topic!r}{near_miss(topic, topics_of(questions))}"
        )
    return found


def _drawn(pool: Numbers, count: int, seed: int, key: str, what: str) -> Numbers:
    """Draw `count` of `pool` without replacement (0: all of it), in the order of `pool`."""
    require(count <= len(pool), f"{what} is {count}, but there are {len(pool)} questions; lower it")
    if not count:
        return pool
    words = Streams(seed).words_at("drawn", key, at=np.arange(len(pool)))
    return tuple(pool[place] for place in sorted(np.argsort(words, kind="stable")[:count].tolist()))
