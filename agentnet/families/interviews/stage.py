"""Runs of interacting models: what is fixed before the first question, and one realization of them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.backend import Backend, Messages
from agentnet.config import Settings
from agentnet.embedder import CachedEmbedder, Embedder, make_embedder
from agentnet.embedder.cached import all_at_once
from agentnet.errors import DesignError, PluginError, RunFolderError
from agentnet.events import EventLog, Run
from agentnet.experiment import ask
from agentnet.families.contract import (
    Estimate,
    Planned,
    Rows,
    Scene,
    Scenes,
    Sitting,
    Stage,
    Try,
    saved_folder,
)
from agentnet.families.interviews.asking import ModelSampler, TakesCutOff
from agentnet.families.interviews.checkpoints import Checkpoints
from agentnet.families.interviews.estimate import estimate_interviews, fixed_answers
from agentnet.families.interviews.experiment import InterviewExperiment, require_answers
from agentnet.families.interviews.held import held_models
from agentnet.families.interviews.places import Places
from agentnet.interviews import (
    Models,
    Pair,
    Question,
    System,
    UpdateRule,
    check_questions,
    make_update_rule,
    parse_topology,
    try_topology,
)
from agentnet.interviews.topology import candidates_at
from agentnet.plugins import awaited
from agentnet.sampler import Question as Prompted
from agentnet.streams import Streams
from agentnet.vocabulary import EVALUATION
from agentnet.worlds import Chance, Temperature
from agentnet.worlds.interviews import (
    Answers,
    Candidates,
    InterviewRules,
    Interviews,
    Numbers,
    Remember,
    Update,
    Updated,
)

_MOCK = "mock"
_MOCK_LABEL = "mock: the answers repeat what models were told, and come from no language model"
_WITH_MOCK, _OTHERWISE = "stand_in", "memory"
_RECORDED = {
    EVALUATION: "evaluation set",
    "bank": "bank of interviews",
    "rules": "update rules",
    "embedder": "embedder",
    "system_messages": "set of system messages",
    "databases": "set of databases",
}


@dataclass(frozen=True, slots=True)
class Cast:
    """What the realizations of one condition share.

    Attributes:
        rule: The update rule; conditions with the same options share one.
        evaluation: Numbers of the questions of the evaluation set.
        bank: Numbers of the questions that interviews draw from.
        system_messages: What each model is told ahead of everything; empty if none is told anything.
        n_turns: How many interviews a realization has; None where answers decide.
        databases: Database -> numbers of the questions that it holds.
    """

    rule: UpdateRule
    evaluation: Numbers
    bank: Numbers
    system_messages: tuple[str, ...] = ()
    n_turns: int | None = None
    databases: Mapping[str, Numbers] = field(default_factory=dict)


@dataclass(frozen=True)
class Company(Stage):
    """What a run of interacting models has in common.

    Attributes:
        experiments: The experiment under each condition.
        settings: What is in force.
        questions: All questions, by number.
        casts: One for each condition.
        embedder: Embeds answers where a topology or an update rule wants it.
    """

    experiments: tuple[InterviewExperiment, ...]
    settings: Settings
    questions: tuple[Question, ...]
    casts: tuple[Cast, ...]
    embedder: Embedder

    @property
    def label(self) -> str:
        """What results have to be called; ``""`` if a real language model answers throughout."""
        labels = [cast.rule.label for cast in self.casts]
        if self.asks_backend and self.settings.backend.name == _MOCK:
            labels.append(_MOCK_LABEL)
        return "; ".join(dict.fromkeys(filter(None, labels)))

    @property
    def asks_backend(self) -> bool:
        """Whether a rule asks the run's backend."""
        return any(cast.rule.asks_backend for cast in self.casts)

    def scenes(self, sitting: Sitting) -> Scenes:
        """Set up realizations, as many at a time as their update rules have models for."""
        return Stages(self, sitting).scene

    def answering(self, backend: Backend) -> Backend:
        """Take what was cut off for an answer."""
        return TakesCutOff(backend)

    def who_answers(self, backend: Backend) -> tuple[str, str]:
        """Name the backend, or the models' own update rules."""
        if self.asks_backend:
            return super().who_answers(backend)
        names = dict.fromkeys(cast.rule.name for cast in self.casts)
        model_names = dict.fromkeys(cast.rule.model_name for cast in self.casts)
        return " + ".join(names), " + ".join(model_names)

    def asks(self, condition: int) -> Iterator[tuple[str, str, Messages]]:
        """List what each model is told ahead of everything; questions are no condition's own."""
        if not any(cast.system_messages for cast in self.casts):
            return
        classes = self.experiments[condition].classes
        told = self.casts[condition].system_messages or ("",) * len(classes)
        for model, (name, text) in enumerate(zip(classes, told, strict=True)):
            yield "system message", f"to model {model} of class {name}", (("system", text),)

    def rows(self) -> dict[str, Rows]:
        """List the questions."""
        return {"questions": [(number, *question) for number, question in enumerate(self.questions)]}

    def check_recorded(self, folder: Path, meta: Mapping[str, Any]) -> None:
        """Make sure that the sets, rules and the embedder are those that the run was begun with."""
        now = self.meta()["interviews"]
        # A run of before there were system messages recorded none.
        then = {"system_messages": [[] for _ in self.casts], **meta["interviews"]}
        for key, what in _RECORDED.items():
            is_now, was_then = now.get(key), then.get(key)
            if is_now != was_then:
                raise RunFolderError(
                    f"{folder} was begun with another {what} than the experiment and its plug-ins make now "
                    f"({_short(was_then)} then, {_short(is_now)} now): go on with what it began with"
                )

    def n_fixed(self) -> int | None:
        """Count the answers, reused ones too; None where a topology looks at answers to choose."""
        return fixed_answers(self)

    async def estimate(
        self,
        plan: Sequence[Planned],
        try_out: Try,
        *,
        n_sampled: int,  # noqa: ARG002 - one realization tells
        n_at_most: int,  # noqa: ARG002
    ) -> Estimate:
        """Count answers from who may interview whom, and estimate their tokens."""
        return await estimate_interviews(self, plan, try_out)

    def counted(self, tally: Any) -> dict[str, object]:  # noqa: ANN401 - the runner's
        """Name the counts of a run that has ended."""
        label = {"label": self.label} if self.label else {}
        answers = {"answers": tally.n_decisions, "missing": tally.n_missing}
        return {**label, "steps": tally.counts["steps"], **answers}

    def counts_before(self, run: Run) -> dict[str, int]:
        """Count the steps of finished realizations."""
        query = "SELECT COALESCE(SUM(last_step), 0) FROM realizations WHERE status <> 'running'"
        return {"steps": run.rows(query)[1][0][0]}

    def meta(self) -> dict[str, Any]:
        """Spell what the event log keeps of it in table ``meta``."""
        databases = [{name: list(held) for name, held in cast.databases.items()} for cast in self.casts]
        return {
            **super().meta(),
            "label": self.label,
            "interviews": {
                "rules": [
                    {name: getattr(cast.rule, name) for name in ("name", "label", "model_name")}
                    for cast in self.casts
                ],
                EVALUATION: [list(cast.evaluation) for cast in self.casts],
                "bank": [list(cast.bank) for cast in self.casts],
                "system_messages": [list(cast.system_messages) for cast in self.casts],
                "embedder": {"name": self.embedder.name, "dim": self.embedder.dim},
                **({"databases": databases} if any(databases) else {}),
            },
        }

    async def aclose(self) -> None:
        """Give back the rules' models and the embedder."""
        for rule in {id(cast.rule): cast.rule for cast in self.casts}.values():
            await awaited(f"aclose of update rule {rule.name!r}", rule.aclose)
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
    if questions is None:
        questions = check_questions(ask(experiments[0], "load_questions"), answered=False)
    seed = Streams(settings.seed).integer(EVALUATION)
    made: dict[str, UpdateRule] = {}
    casts = []
    for experiment in experiments:
        name = rule_name(experiment, settings)
        options = experiment.update_options.get(name, {})
        key = json.dumps([name, options], sort_keys=True, default=repr)
        if key not in made:
            made[key] = _made_rule(name, options, environ)
        cast = _cast(experiment, made[key], questions, seed)
        _taught(experiment, questions, cast.evaluation, Streams(settings.seed), 0)
        topology = parse_topology(experiment.make_topology())
        n_turns = try_topology(topology, experiment.classes, experiment.steps, experiment.vertices)
        casts.append(replace(cast, n_turns=n_turns))
    embedder = make_embedder(settings.embedder.name, settings.embedder.options, environ)
    return Company(tuple(experiments), settings, questions, tuple(casts), CachedEmbedder(embedder))


def _made_rule(name: str, options: Mapping[str, object], environ: Mapping[str, str]) -> UpdateRule:
    rule = make_update_rule(name, options, environ)
    bounds = {"checkpoint_every": (rule.checkpoint_every, 0), "systems_at_once": (rule.systems_at_once, 1)}
    for fact, (value, least) in bounds.items():
        if value is not None and value < least:
            raise PluginError(f"the update rule {name!r} has {fact} = {value}; it is at least {least}")
    return rule


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
    databases = {
        name: _numbers(experiment, "choose_database", questions, questions, name)
        for name in experiment.databases
    }
    for name, numbers in databases.items():
        require_answers(questions, numbers, f"take another topic for database {name!r}")
    return Cast(rule, evaluation, bank, _system_messages(experiment, rule), databases=databases)


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
    seeds = [streams.integer("taught", own, model) for model, own in enumerate(experiment.starts(repeat))]
    return tuple(
        _numbers(experiment, "choose_taught", questions, questions, evaluation, model, seed, least=0)
        for model, seed in enumerate(seeds)
    )


@dataclass(slots=True)
class Stages:
    """Sets up realizations of interacting models for one sitting.

    Attributes:
        company: What the run has in common.
        sitting: What the run is played with.
    """

    company: Company
    sitting: Sitting
    _gates: dict[int, AbstractAsyncContextManager[Any]] = field(init=False, default_factory=dict)
    _places: Places = field(init=False)

    def __post_init__(self) -> None:
        self._places = Places(self.company.embedder)

    @asynccontextmanager
    async def scene(self, planned: Planned) -> AsyncIterator[Scene]:
        """Make the models of one realization."""
        company, sitting = self.company, self.sitting
        experiment, cast = company.experiments[planned.condition], company.casts[planned.condition]
        # Chance of a realization that has no news item is keyed by its repeat, whatever the condition.
        taught = _taught(experiment, company.questions, cast.evaluation, sitting.streams, planned.repeat)
        rows = _model_rows(planned.realization, experiment.classes, taught)
        if sitting.begun(planned):
            self._check_models(planned.realization, rows)
        async with self._gate(cast.rule):
            # Whoever waited for others' models to go may find that the run was stopped meanwhile.
            await sitting.pool.run(_nothing, 0)
            seed = sitting.streams.integer("rule", planned.repeat)
            seeds = tuple(sitting.streams.integer("rule", own) for own in experiment.starts(planned.repeat))
            system = System(
                experiment.classes, company.questions, experiment.max_tokens, company.embedder, seed, seeds
            )
            models = await held_models(cast.rule, system)
            try:
                yield await self._scene(planned, models, taught, rows)
            finally:
                await models.aclose()

    async def _scene(
        self, planned: Planned, models: Models, taught: tuple[Numbers, ...], rows: Rows
    ) -> Scene:
        company, sitting = self.company, self.sitting
        experiment, cast = company.experiments[planned.condition], company.casts[planned.condition]
        folder = saved_folder(sitting.folder, planned.realization)
        checkpoints = Checkpoints(folder, cast.rule.checkpoint_every)
        restored = await checkpoints.restore(models)
        sampler = ModelSampler(
            *(
                models,
                company.questions,
                sitting.caller,
                sitting.pool,
                cast.rule.model_name or cast.rule.name,
            ),
            system_messages=cast.system_messages,
            restored=restored,
        )
        temperature = Temperature(*experiment.temperature_range)
        rules = InterviewRules(
            n_models=len(experiment.classes),
            taught=taught,
            starts=experiment.starts(planned.repeat),
            evaluation=cast.evaluation,
            present=tuple(map(experiment.vertices.present, range(experiment.steps + 1))),
            databases=tuple(cast.databases.values()),
            bank=cast.bank,
            n_questions=experiment.n_questions,
            steps=experiment.steps,
            reuse=experiment.reuse and temperature.high == 0.0,
            restored=restored,
        )
        world = Interviews(
            rules,
            len(company.questions),
            _prompter(experiment, company.questions),
            Chance(sitting.streams, planned.chance, temperature),
            planned.realization,
        )
        giver = Giver(models, company.questions, sampler, checkpoints, self._places, experiment, sitting.log)
        return Scene(world.play(), sampler, rows={"models": rows}, give=giver.give, ended=checkpoints.drop)

    def _gate(self, rule: UpdateRule) -> AbstractAsyncContextManager[Any]:
        """Give what keeps too many realizations of one rule from having models at a time."""
        if rule.systems_at_once is None:
            return nullcontext()
        return self._gates.setdefault(id(rule), asyncio.Semaphore(rule.systems_at_once))

    def _check_models(self, number: int, rows: Rows) -> None:
        query = "SELECT * FROM models WHERE realization = ? ORDER BY model"
        if Run(self.sitting.folder).rows(query, (number,))[1] != rows:
            raise RunFolderError(
                f"{self.sitting.folder}: realization {number} was begun with models that were taught "
                "otherwise than the experiment says now; something that it reads changed: go on with what it "
                "began with"
            )


@dataclass(slots=True)
class Giver:
    """Gives the world of interacting models what it wants beside answers; see `agentnet.worlds.interviews`.

    Attributes:
        models: Their states.
        questions: All questions of the run, by number.
        sampler: Gets their answers.
        checkpoints: The states on disk.
        places: Embeds answers where a topology wants distances.
        experiment: The experiment under its condition.
        log: The event log.
    """

    models: Models
    questions: Sequence[Question]
    sampler: ModelSampler
    checkpoints: Checkpoints
    places: Places
    experiment: InterviewExperiment
    log: EventLog

    async def give(self, want: object) -> Any:  # noqa: ANN401 - what it wants
        """Give the candidates of a step, or the measures of its updates."""
        match want:
            case Candidates():
                topology = parse_topology(self.experiment.make_topology())
                state = _System(self.experiment.classes, self.places, want.answers)
                return await candidates_at(topology, want.step, state, self.experiment.vertices)
            case Update():
                updated = [model for model, of_model in enumerate(want.heard) if of_model]
                measures = await all_at_once([self._update(want, model) for model in updated])
                return dict(zip(updated, measures, strict=True))
            case Updated() if self.checkpoints.is_due(want.step):
                # First the log: a resumed run does not play these updates again.
                await self.log.flush()
                await self.checkpoints.save(self.models, want.step)
            case Remember():
                self.sampler.remembered = want.said
            case _:
                pass
        return None

    async def _update(self, want: Update, model: int) -> dict[str, float | int]:
        pairs = [
            Pair(self.questions[n], self.questions[n].answer if answer is None else answer, want.step, source)
            for n, answer, source in want.heard[model]
        ]
        return dict(await self.models.update(model, want.step, pairs, want.seeds[model]))


@dataclass(frozen=True, slots=True)
class _System:
    """The system as it stands when a step begins; see `agentnet.interviews.State`."""

    classes: tuple[str, ...]
    places: Places
    answers: Answers

    async def distances(self) -> NDArray[np.float64]:
        return await self.places.distances(self.answers)


def _prompter(
    experiment: InterviewExperiment, questions: Sequence[Question]
) -> Callable[[str, int, int], Prompted]:
    """Make what says how a question to a model may be answered, each once."""
    classes = experiment.classes

    @cache
    def prompted(kind: str, model: int, number: int) -> Prompted:
        facts: dict[str, str | int] = {
            "kind": kind,
            "model": model,
            "class": classes[model],
            "question": questions[number].id,
        }
        return Prompted(-1, (), facts, max_tokens=experiment.max_tokens)

    return prompted


def _model_rows(number: int, classes: Sequence[str], taught: Sequence[Numbers]) -> Rows:
    each = enumerate(zip(classes, taught, strict=True))
    return [(number, model, name, json.dumps(numbers)) for model, (name, numbers) in each]


async def _nothing(_: int) -> None:
    """Do nothing: a pool that was stopped says so all the same."""
