"""Make a run folder, or open one again: everything that is fixed before the first question."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import agentnet
from agentnet.backend import Backend
from agentnet.config import Settings
from agentnet.errors import DesignError, RunFolderError
from agentnet.events import Run, create_log
from agentnet.experiment import (
    CascadeExperiment,
    Experiment,
    InterviewExperiment,
    NewsExperiment,
    Source,
    ask,
    ask_profiles,
    check_attributes,
    check_family,
    own_methods,
)
from agentnet.interviews import Question
from agentnet.network import NetworkFacts, facts_of
from agentnet.news import NewsItem, check_items
from agentnet.prompts import PromptSet
from agentnet.runner.interviews import Company, check_company, gather_company
from agentnet.runner.probe import check_repeatable
from agentnet.streams import Streams

_RECORDED_VERSIONS = (
    "numpy",
    "networkx",
    "pydantic",
    "aiohttp",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
)


_QUESTIONS = "SELECT id, topic, text, answer FROM questions ORDER BY question"


class Planned(NamedTuple):
    """One realization to be played; indices count conditions and news items (-1: without one)."""

    realization: int
    condition: int
    news: int
    repeat: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run, ready to be played.

    Attributes:
        folder: The run folder.
        settings: What is in force.
        experiments: The experiment under each condition.
        prompts: The templates of each condition; none where models interview each other.
        items: The news items, in the order of the design; likewise.
        plan: The realizations to be played.
        company: What a run of interacting models has in common; None for other runs.
        networks: What a network of each condition is; None for one without network, empty on resuming.
    """

    folder: Path
    settings: Settings
    experiments: tuple[Experiment, ...]
    prompts: tuple[PromptSet, ...]
    items: tuple[NewsItem, ...]
    plan: tuple[Planned, ...]
    company: Company | None = None
    networks: tuple[NetworkFacts | None, ...] = ()

    def designs(self) -> list[dict[str, object]]:
        """List the design of each condition as it is in force: a network that is read decides its size."""
        networks = self.networks or (None,) * len(self.experiments)
        return [_in_force(e, facts) for e, facts in zip(self.experiments, networks, strict=True)]


def _in_force(experiment: Experiment, facts: NetworkFacts | None) -> dict[str, object]:
    design = experiment.design()
    if facts is None or not isinstance(experiment, CascadeExperiment):
        return design
    design["n_agents"] = facts.n_agents
    if not experiment.takes_degree:
        least, _, most = facts.degree
        design["degree"] = least if least == most else f"{least} to {most}"
    return design


def make_plan(experiments: Sequence[Experiment], n_items: int) -> tuple[Planned, ...]:
    """List the realizations of a run: by condition, then news item (if there are any), then repeat."""
    cells = [
        (condition, news, repeat)
        for condition, experiment in enumerate(experiments)
        for news in (range(n_items) if isinstance(experiment, NewsExperiment) else [-1])
        for repeat in range(n_repeats(experiment))
    ]
    return tuple(Planned(number, *cell) for number, cell in enumerate(cells))


def n_repeats(experiment: Experiment) -> int:
    """Count the realizations of one news item, or of one condition without news."""
    return experiment.repeats if isinstance(experiment, CascadeExperiment | InterviewExperiment) else 1


def design(source: Source, settings: Settings) -> tuple[Experiment, ...]:
    """Make the experiment of `source` under each of its conditions.

    Raises:
        UserError: The file cannot be loaded.
        DesignError: The design cannot be played.
    """
    overrides = dict(settings.experiment.overrides)
    if settings.news.path is not None:
        overrides |= {
            "news": settings.news.path,
            "news_columns": settings.news.columns,
            "news_kind": settings.news.kind,
            "news_severity": settings.news.severity,
            "news_date_format": settings.news.date_format,
            "news_encoding": settings.news.encoding,
        }
    elif settings.news.severity is not None:
        overrides["news_severity"] = settings.news.severity
    loaded = source.load()
    check_family(loaded)
    experiment = loaded(**overrides)
    experiments = tuple(experiment.under(condition) for condition in ask(experiment, "arms"))
    for each in experiments:
        check_attributes(each)
    if settings.sampler.mode == "logprobs" and any(
        isinstance(e, NewsExperiment) and e.rationale != "none" for e in experiments
    ):
        raise DesignError(
            "sampler mode 'logprobs' draws decisions from probabilities, which have no rationale; add "
            "-S rationale=none, or choose sampler.mode choices"
        )
    return experiments


def prepare(
    source: Source, settings: Settings, folder: Path, environ: Mapping[str, str] | None = None
) -> Prepared:
    """Fix everything of a new run, without a folder yet.

    Args:
        source: The experiment file.
        settings: What is in force.
        folder: The run folder to be made.
        environ: Where plug-ins look up their keys.

    Raises:
        AgentnetError: The experiment, or something that it reads or makes, cannot be used.
    """
    prepared = assemble(design(source, settings), settings, folder, environ)
    check_repeatable(
        prepared.experiments, partial(design, source, settings), prepared.prompts, prepared.items
    )
    return prepared


def assemble(
    experiments: Sequence[Experiment],
    settings: Settings,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    items: tuple[NewsItem, ...] | None = None,
    prompts: tuple[PromptSet, ...] | None = None,
    questions: tuple[Question, ...] | None = None,
) -> Prepared:
    """Fix everything of a run of these experiments, each a condition; see `prepare`.

    Args:
        experiments: The experiment under each condition.
        settings: What is in force.
        folder: The run folder.
        environ: Where plug-ins look up their keys.
        items: News items, if they were chosen before.
        prompts: Templates, if they were read before.
        questions: The question bank, if it was read before.
    """
    interviews = [e for e in experiments if isinstance(e, InterviewExperiment)]
    if interviews:
        company = gather_company(interviews, settings, environ or {}, questions)
        return Prepared(folder, settings, tuple(experiments), (), (), make_plan(experiments, 0), company)
    with_news = tuple(e for e in experiments if isinstance(e, NewsExperiment))
    streams, networks = Streams(settings.seed), tuple[NetworkFacts | None, ...]()
    if items is None:
        items = tuple(check_items(ask(with_news[0], "choose_news", streams.integer("news"))))
        networks = _try_networks(with_news, streams)
    if prompts is None:
        prompts = tuple(ask(experiment, "load_prompts") for experiment in with_news)
    plan = make_plan(with_news, len(items))
    return Prepared(folder, settings, with_news, prompts, items, plan, networks=networks)


def _try_networks(experiments: Sequence[Experiment], streams: Streams) -> tuple[NetworkFacts | None, ...]:
    """Make one network of each condition, to see that it can be made, and what it is."""
    return tuple(
        _try_network(experiment, streams) if isinstance(experiment, CascadeExperiment) else None
        for experiment in experiments
    )


def _try_network(experiment: CascadeExperiment, streams: Streams) -> NetworkFacts:
    network = ask(experiment, "make_network", streams.integer("trial network"))
    ask_profiles(experiment, network, streams.integer("trial profiles"))
    return facts_of(network)


def who_answers(prepared: Prepared, backend: Backend) -> tuple[str, str]:
    """Name what answers in a run, and the language model: the backend, or the models' own update rules."""
    company = prepared.company
    if company is None or company.asks_backend:
        return backend.name, backend.model_name
    names = dict.fromkeys(cast.rule.name for cast in company.casts)
    model_names = dict.fromkeys(cast.rule.model_name for cast in company.casts)
    return " + ".join(names), " + ".join(model_names)


def create(prepared: Prepared, source: Source, *, backend: str, model_name: str) -> None:
    """Make the run folder and record in it all that a run can be replayed from.

    Raises:
        RunFolderError: The folder holds a run already.
        StorageError: It cannot be written.
    """
    first, company = prepared.experiments[0], prepared.company
    questions = () if company is None else company.questions
    create_log(
        prepared.folder,
        {
            "run": prepared.folder.name,
            "created_at": time.time(),
            "status": "running",
            "seed": prepared.settings.seed,
            "backend": backend,
            "model_name": model_name,
            "settings": json.loads(prepared.settings.to_json()),
            "experiment": {
                "path": str(source.path),
                "class_name": type(first).__name__,
                "family": first.family,
                "overridden": own_methods(type(first)),
                "text": source.text,
                "siblings": {
                    file: {"text": text, "hash": hashlib.sha256(text.encode()).hexdigest()}
                    for file, text in source.siblings.items()
                },
                "design": [plain(design) for design in prepared.designs()],
                "conditions": [plain(experiment.overrides) for experiment in prepared.experiments],
            },
            "prompts": [prompts.texts for prompts in prepared.prompts],
            "prompts_hash": [prompts.hash for prompts in prepared.prompts],
            "n_realizations": len(prepared.plan),
            "licences": sorted({item.licence for item in prepared.items if item.licence}),
            "versions": versions(),
            **({} if company is None else company.meta()),
        },
        news=[
            (number, item.id, item.severity, item.hash, item.text, item.to_json())
            for number, item in enumerate(prepared.items)
        ],
        questions=[(number, *question) for number, question in enumerate(questions)],
    )


def reopen(folder: Path, settings: Settings, environ: Mapping[str, str] | None = None) -> Prepared:
    """Open a run again from what its log recorded; files outside the run folder are not read for it.

    Args:
        folder: The run folder.
        settings: What is in force now; see `agentnet.config.configuration_for_resume`.
        environ: Where plug-ins look up their keys.

    Raises:
        RunFolderError: It is no run, or cannot be gone on with.
    """
    run = Run(folder)
    meta = run.meta
    experiments = design(recorded_source(meta), settings)
    prepared = assemble(
        experiments,
        settings,
        folder,
        environ,
        items=tuple(
            NewsItem.from_json(text) for (text,) in run.rows("SELECT item FROM news ORDER BY news")[1]
        ),
        prompts=tuple(PromptSet.from_texts(texts) for texts in meta["prompts"]),
        questions=tuple(Question(*row) for row in run.rows(_QUESTIONS)[1]),
    )
    if prepared.company is not None:
        check_company(folder, prepared.company, meta)
    if len(prepared.plan) != meta["n_realizations"]:
        raise RunFolderError(
            f"{folder} was begun with {meta['n_realizations']} realizations, its experiment now makes "
            f"{len(prepared.plan)}: it depends on something that changed"
        )
    return prepared


def recorded_source(meta: Mapping[str, Any]) -> Source:
    """Give the experiment file as it was when the run began, with what it imported from beside it."""
    recorded = meta["experiment"]
    # Runs of before there were siblings recorded none.
    siblings = {file: each["text"] for file, each in recorded.get("siblings", {}).items()}
    return Source(Path(recorded["path"]), recorded["text"], recorded["class_name"], siblings)


def new_folder(settings: Settings, source: Source, class_name: str = "") -> Path:
    """Choose a run folder that does not exist yet: experiment and time."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", source.path.stem) or "run"
    name = f"{stem}{'-' + class_name if class_name else ''}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates: Sequence[str] = [name, *(f"{name}-{n}" for n in range(2, 1000))]
    return next(settings.runs / c for c in candidates if not (settings.runs / c).exists())


def versions() -> dict[str, str]:
    """List the versions that a result may depend on."""
    found = {
        "agentnet": agentnet.__version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
    }
    for name in _RECORDED_VERSIONS:
        found[name] = importlib.metadata.version(name)
    return found


def plain(design: Mapping[str, object]) -> dict[str, object]:
    """Spell a design as JSON; what JSON has no form for (a graph, say) as text."""
    return json.loads(json.dumps({k: _spelled(v) for k, v in design.items()}, default=str))  # type: ignore[no-any-return]


def _spelled(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value
