"""Runs of interacting models: what is fixed before the first question, and one realization of them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agentnet.config import Settings
from agentnet.embedder import CachedEmbedder, Embedder, make_embedder
from agentnet.errors import DesignError, RunFolderError
from agentnet.events import EventLog, Run
from agentnet.experiment import InterviewExperiment, ask
from agentnet.interviews import (
    Question,
    System,
    UpdateRule,
    check_questions,
    make_update_rule,
    parse_topology,
    try_topology,
)
from agentnet.interviews.asking import ModelSampler
from agentnet.interviews.checkpoints import Checkpoints
from agentnet.interviews.engine import InterviewRules, Interviews, Numbers
from agentnet.interviews.perspective import Places
from agentnet.journal import Journal, Tally, Temperature
from agentnet.sampler import Pool, Sampler
from agentnet.streak import Streak
from agentnet.streams import Streams

_MOCK = "mock"
_MOCK_LABEL = "mock: the answers repeat what models were told, and come from no language model"
_WITH_MOCK, _OTHERWISE = "stand_in", "memory"
_MODELS = "models"


@dataclass(frozen=True, slots=True)
class Cast:
    """What the realizations of one condition share.

    Attributes:
        rule: The update rule; conditions with the same options share one.
        evaluation: Numbers of the questions of the evaluation set.
        bank: Numbers of the questions that interviews draw from.
        system_messages: What each model is told ahead of everything; empty if none is told anything.
        n_turns: How many interviews a realization has; None where answers decide.
    """

    rule: UpdateRule
    evaluation: Numbers
    bank: Numbers
    system_messages: tuple[str, ...] = ()
    n_turns: int | None = None


@dataclass(frozen=True, slots=True)
class Company:
    """What a run of interacting models has in common.

    Attributes:
        questions: All questions, by number.
        casts: One for each condition.
        embedder: Embeds answers where a topology or an update rule wants it.
        backend: Name of the run's backend.
    """

    questions: tuple[Question, ...]
    casts: tuple[Cast, ...]
    embedder: Embedder
    backend: str

    @property
    def label(self) -> str:
        """What results have to be called; ``""`` if a real language model answers throughout."""
        labels = [cast.rule.label for cast in self.casts]
        if self.asks_backend and self.backend == _MOCK:
            labels.append(_MOCK_LABEL)
        return "; ".join(dict.fromkeys(filter(None, labels)))

    @property
    def asks_backend(self) -> bool:
        """Whether a rule asks the run's backend."""
        return any(cast.rule.asks_backend for cast in self.casts)

    def meta(self) -> dict[str, Any]:
        """Spell what the event log keeps of it in table ``meta``."""
        return {
            "label": self.label,
            "interviews": {
                "rules": [
                    {name: getattr(cast.rule, name) for name in ("name", "label", "model_name")}
                    for cast in self.casts
                ],
                "evaluation": [list(cast.evaluation) for cast in self.casts],
                "bank": [list(cast.bank) for cast in self.casts],
                "system_messages": [list(cast.system_messages) for cast in self.casts],
                "embedder": {"name": self.embedder.name, "dim": self.embedder.dim},
            },
        }

    async def aclose(self) -> None:
        """Give back the rules' models and the embedder."""
        for rule in {id(cast.rule): cast.rule for cast in self.casts}.values():
            await rule.aclose()
        await self.embedder.aclose()


def rule_name(experiment: InterviewExperiment, settings: Settings) -> str:
    """Name the update rule of `experiment`: what it says, or what suits the backend."""
    return experiment.update or (_WITH_MOCK if settings.backend.name == _MOCK else _OTHERWISE)


def gather_company(
    experiments: Sequence[InterviewExperiment],
    settings: Settings,
    environ: Mapping[str, str],
    questions: tuple[Question, ...] | None = None,
) -> Company:
    """Read the questions, choose the sets that are drawn from them, and make the update rules.

    Args:
        experiments: The experiment under each condition.
        settings: What is in force.
        environ: Where plug-ins look up their keys.
        questions: The questions, if they were read before.

    Raises:
        DesignError: The bank has too few questions, or the design cannot be played.
        InputError: The bank cannot be used.
        PluginError: A rule or the embedder cannot be loaded.
        ConfigurationError: One of their options is wrong.
    """
    if settings.sampler.mode != "call":
        raise DesignError(
            f"sampler mode {settings.sampler.mode!r} draws decisions; models that interview each other "
            "answer in words: add -S sampler.mode=call"
        )
    if questions is None:
        questions = check_questions(ask(experiments[0], "load_questions"), answered=False)
    seed = Streams(settings.seed).integer("evaluation")
    made: dict[str, UpdateRule] = {}
    casts = []
    for experiment in experiments:
        name = rule_name(experiment, settings)
        options = experiment.update_options.get(name, {})
        key = json.dumps([name, options], sort_keys=True, default=repr)
        if key not in made:
            made[key] = make_update_rule(name, options, environ)
        cast = _cast(experiment, made[key], questions, seed)
        _taught(experiment, questions, cast.evaluation, Streams(settings.seed), 0)
        topology = parse_topology(experiment.make_topology())
        n_turns = try_topology(topology, experiment.classes, experiment.steps)
        casts.append(replace(cast, n_turns=n_turns))
    embedder = make_embedder(settings.embedder.name, settings.embedder.options, environ)
    return Company(questions, tuple(casts), CachedEmbedder(embedder), settings.backend.name)


def _cast(
    experiment: InterviewExperiment, rule: UpdateRule, questions: Sequence[Question], seed: int
) -> Cast:
    """Choose the sets of one condition; an experiment may choose them in a way of its own."""
    evaluation = _numbers(experiment, "choose_evaluation", questions, questions, seed)
    bank = _numbers(experiment, "choose_bank", questions, questions, evaluation)
    if experiment.steps and experiment.n_questions > len(bank):
        raise DesignError(
            f"n_questions is {experiment.n_questions}, but choose_bank gives {len(bank)} questions; lower it"
        )
    return Cast(rule, evaluation, bank, _system_messages(experiment, rule))


def _numbers(
    experiment: InterviewExperiment,
    hook: str,
    questions: Sequence[Question],
    *arguments: object,
    least: int = 1,
) -> Numbers:
    """Make sure that a method of the experiment gives numbers of questions, each once."""
    numbers, known = ask(experiment, hook, *arguments), range(len(questions))
    wrong = [number for number in numbers if not isinstance(number, int | np.integer) or number not in known]
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if wrong or twice or len(numbers) < least:
        what = f"{wrong[0]!r}" if wrong else f"{twice[0]} twice" if twice else "no question at all"
        raise DesignError(
            f"{hook} gives {what}; it gives numbers of questions, 0 to {len(questions) - 1}, each once"
        )
    return tuple(int(number) for number in numbers)


def check_company(folder: Path, company: Company, recorded: Mapping[str, Any]) -> None:
    """Make sure that a run that is resumed has the company that it was begun with.

    Raises:
        RunFolderError: It has not.
    """
    now = company.meta()["interviews"]
    # A run of before there were system messages recorded none.
    then = {"system_messages": [[] for _ in company.casts], **recorded["interviews"]}
    for key, what in (
        ("evaluation", "evaluation set"),
        ("bank", "bank of interviews"),
        ("rules", "update rules"),
        ("embedder", "embedder"),
        ("system_messages", "set of system messages"),
    ):
        if now[key] != then[key]:
            raise RunFolderError(
                f"{folder} was begun with another {what} than the experiment and its plug-ins make now "
                f"({_short(then[key])} then, {_short(now[key])} now): go on with what it began with"
            )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _system_messages(experiment: InterviewExperiment, rule: UpdateRule) -> tuple[str, ...]:
    """Ask an experiment what its models are told, and make sure that they can be."""
    told: tuple[str, ...] = ask(experiment, "system_messages")
    name = type(experiment).__name__
    if len(told) != len(experiment.classes) or not all(isinstance(text, str) for text in told):
        raise DesignError(
            f"{name}.system_messages gives {len(told)} values for {len(experiment.classes)} models; it gives "
            "a text for each"
        )
    if not any(told):
        return ()
    if not rule.asks_backend:
        raise DesignError(
            f"{name} tells its models who they are, but update rule {rule.name!r} asks no chat model that "
            "could be told; choose --update none or memory"
        )
    return told


def _taught(
    experiment: InterviewExperiment,
    questions: Sequence[Question],
    evaluation: Numbers,
    streams: Streams,
    repeat: int,
) -> tuple[Numbers, ...]:
    seeds = [streams.integer("taught", repeat, model) for model in range(len(experiment.classes))]
    return tuple(
        _numbers(experiment, "choose_taught", questions, questions, evaluation, model, seed, least=0)
        for model, seed in enumerate(seeds)
    )


@dataclass(slots=True)
class Stage:
    """Plays the realizations of a run of interacting models.

    Attributes:
        folder: The run folder.
        experiments: The experiment under each condition.
        company: What the run has in common.
        settings: What is in force.
        streams: The run's random streams.
        pool: Where questions wait for a worker.
        caller: Asks the backend.
        tally: The run's counts.
        streak: The run's missing answers in a row.
    """

    folder: Path
    experiments: Sequence[InterviewExperiment]
    company: Company
    settings: Settings
    streams: Streams
    pool: Pool
    caller: Sampler
    tally: Tally
    streak: Streak
    _gates: dict[int, AbstractAsyncContextManager[Any]] = field(init=False, default_factory=dict)
    _places: Places = field(init=False)

    def __post_init__(self) -> None:
        self._places = Places(self.company.embedder)

    async def play(
        self, number: int, condition: int, repeat: int, log: EventLog, *, begun: bool
    ) -> tuple[str, int]:
        """Play realization `number`, or go on with it.

        Returns:
            Its status and the last step played.
        """
        experiment, cast = self.experiments[condition], self.company.casts[condition]
        rules = self._rules(experiment, cast, repeat)
        if begun:
            self._check_models(number, rules)
        else:
            log.add("models", _model_rows(number, rules))
        async with self._gate(cast.rule):
            # Whoever waited for others' models to go may find that the run was stopped meanwhile.
            await self.pool.run(_nothing, 0)
            return await self._play(number, rules, cast, log, begun=begun)

    async def _play(
        self, number: int, rules: InterviewRules, cast: Cast, log: EventLog, *, begun: bool
    ) -> tuple[str, int]:
        rule = cast.rule
        questions, embedder = self.company.questions, self.company.embedder
        seed = self.streams.integer("rule", rules.repeat)
        models = await rule.begin(System(rules.classes, questions, rules.max_tokens, embedder, seed))
        try:
            sampler = ModelSampler(
                *(models, questions, self.caller, self.pool, rule.model_name or rule.name),
                system_messages=cast.system_messages,
            )
            journal = Journal(
                number,
                log,
                sampler,
                self.tally,
                recorded={},
                heard=await log.heard(number) if begun else None,
                stop_on_missing=self.settings.engine.on_missing == "stop",
                streak=self.streak,
            )
            checkpoints = Checkpoints(checkpoint_folder(self.folder, number), rule.checkpoint_every)
            engine = Interviews(
                rules, questions, models, sampler, self._places, checkpoints, self.streams, journal
            )
            ended = await engine.play()
            self.tally.n_settled += journal.n_decisions
            return ended
        finally:
            await models.aclose()

    def _rules(self, experiment: InterviewExperiment, cast: Cast, repeat: int) -> InterviewRules:
        temperature = Temperature(*experiment.temperature_range)
        return InterviewRules(
            classes=experiment.classes,
            taught=_taught(experiment, self.company.questions, cast.evaluation, self.streams, repeat),
            evaluation=cast.evaluation,
            bank=cast.bank,
            n_questions=experiment.n_questions,
            steps=experiment.steps,
            topology=parse_topology(experiment.make_topology()),
            temperature=temperature,
            reuse=experiment.reuse and temperature.high == 0.0,
            max_tokens=experiment.max_tokens,
            repeat=repeat,
        )

    def _gate(self, rule: UpdateRule) -> AbstractAsyncContextManager[Any]:
        """Give what keeps too many realizations of one rule from having models at a time."""
        if rule.systems_at_once is None:
            return nullcontext()
        return self._gates.setdefault(id(rule), asyncio.Semaphore(rule.systems_at_once))

    def _check_models(self, number: int, rules: InterviewRules) -> None:
        query = "SELECT * FROM models WHERE realization = ? ORDER BY model"
        if Run(self.folder).rows(query, (number,))[1] != _model_rows(number, rules):
            raise RunFolderError(
                f"{self.folder}: realization {number} was begun with models that were taught otherwise than "
                "the experiment says now; something that it reads changed: go on with what it began with"
            )


def checkpoint_folder(folder: Path, number: int) -> Path:
    """Name the folder in which the models of a realization are saved while it is played."""
    return folder / _MODELS / f"realization-{number:05d}"


def _model_rows(number: int, rules: InterviewRules) -> list[tuple[int, int, str, str]]:
    return [
        (number, model, name, json.dumps(taught))
        for model, (name, taught) in enumerate(zip(rules.classes, rules.taught, strict=True))
    ]


async def _nothing(_: int) -> None:
    """Do nothing: a pool that was stopped says so all the same."""
