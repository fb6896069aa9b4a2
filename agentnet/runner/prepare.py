"""Make a run folder, or open one again: everything that is fixed before the first question."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import agentnet
from agentnet.config import Settings
from agentnet.errors import DesignError, RunFolderError
from agentnet.events import Run, create_log
from agentnet.experiment import CascadeExperiment, Experiment, ResponseRatioExperiment, Source
from agentnet.news import NewsItem, check_items
from agentnet.prompts import PromptSet
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


class Planned(NamedTuple):
    """One realization to be played; indices count conditions and news items."""

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
        prompts: The templates of each condition.
        items: The news items, in the order of the design.
        plan: The realizations to be played.
    """

    folder: Path
    settings: Settings
    experiments: tuple[Experiment, ...]
    prompts: tuple[PromptSet, ...]
    items: tuple[NewsItem, ...]
    plan: tuple[Planned, ...]


def make_plan(experiments: Sequence[Experiment], n_items: int) -> tuple[Planned, ...]:
    """List the realizations of a run: by condition, then news item, then repeat."""
    cells = [
        (condition, news, repeat)
        for condition, experiment in enumerate(experiments)
        for news in range(n_items)
        for repeat in range(n_repeats(experiment))
    ]
    return tuple(Planned(number, *cell) for number, cell in enumerate(cells))


def n_repeats(experiment: Experiment) -> int:
    """Count the realizations of one news item."""
    return experiment.repeats if isinstance(experiment, CascadeExperiment) else 1


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
        }
    elif settings.news.severity is not None:
        overrides["news_severity"] = settings.news.severity
    experiment = source.load()(**overrides)
    if not isinstance(experiment, CascadeExperiment | ResponseRatioExperiment):
        raise DesignError(
            f"{type(experiment).__name__} subclasses Experiment itself; subclass CascadeExperiment or "
            "ResponseRatioExperiment, which say how they are played"
        )
    experiments = tuple(experiment.under(condition) for condition in experiment.conditions)
    if settings.sampler.mode == "logprobs" and any(e.rationale != "none" for e in experiments):
        raise DesignError(
            "sampler mode 'logprobs' draws decisions from probabilities, which have no rationale; add "
            "-S rationale=none, or choose sampler.mode choices"
        )
    return experiments


def prepare(source: Source, settings: Settings, folder: Path) -> Prepared:
    """Fix everything of a new run, without a folder yet.

    Raises:
        AgentnetError: The experiment, its news, its prompts or its network cannot be used.
    """
    experiments = design(source, settings)
    streams = Streams(settings.seed)
    items = tuple(check_items(experiments[0].choose_news(streams.integer("news"))))
    for experiment in experiments:
        if isinstance(experiment, CascadeExperiment):
            network = experiment.make_network(streams.integer("trial network"))
            experiment.assign_profiles(network, streams.integer("trial profiles"))
    prompts = tuple(experiment.load_prompts() for experiment in experiments)
    return Prepared(folder, settings, experiments, prompts, items, make_plan(experiments, len(items)))


def create(prepared: Prepared, source: Source, *, backend: str, model_name: str) -> None:
    """Make the run folder and record in it all that a run can be replayed from.

    Raises:
        RunFolderError: The folder holds a run already.
        StorageError: It cannot be written.
    """
    first = prepared.experiments[0]
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
                "text": source.text,
                "design": [plain(experiment.design()) for experiment in prepared.experiments],
                "conditions": [plain(experiment.overrides) for experiment in prepared.experiments],
            },
            "prompts": [prompts.texts for prompts in prepared.prompts],
            "prompts_hash": [prompts.hash for prompts in prepared.prompts],
            "n_realizations": len(prepared.plan),
            "licences": sorted({item.licence for item in prepared.items if item.licence}),
            "versions": versions(),
        },
        news=[
            (number, item.id, item.severity, item.hash, item.text, item.to_json())
            for number, item in enumerate(prepared.items)
        ],
    )


def reopen(folder: Path, settings: Settings) -> Prepared:
    """Open a run again from what its log recorded; files outside the run folder are not read for it.

    Args:
        folder: The run folder.
        settings: What is in force now; see `agentnet.config.configuration_for_resume`.

    Raises:
        RunFolderError: It is no run, or cannot be gone on with.
    """
    run = Run(folder)
    meta = run.meta
    experiments = design(recorded_source(meta), settings)
    items = tuple(NewsItem.from_json(text) for (text,) in run.rows("SELECT item FROM news ORDER BY news")[1])
    prompts = tuple(PromptSet.from_texts(texts) for texts in meta["prompts"])
    plan = make_plan(experiments, len(items))
    prepared = Prepared(folder, settings, experiments, prompts, items, plan)
    if len(prepared.plan) != meta["n_realizations"]:
        raise RunFolderError(
            f"{folder} was begun with {meta['n_realizations']} realizations, its experiment now makes "
            f"{len(prepared.plan)}: it depends on something that changed"
        )
    return prepared


def recorded_source(meta: Mapping[str, dict[str, str]]) -> Source:
    """Give the experiment file as it was when the run began."""
    recorded = meta["experiment"]
    return Source(Path(recorded["path"]), recorded["text"], recorded["class_name"])


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
