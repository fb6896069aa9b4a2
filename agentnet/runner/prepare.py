"""Make a run folder, or open one again: everything that is fixed before the first question."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import agentnet
from agentnet.config import Settings, Shard
from agentnet.errors import ConfigurationError, DesignError, PluginError, RunFolderError
from agentnet.events import Run, create_log
from agentnet.events.conditions import condition_names, without_place
from agentnet.experiment import Experiment, Source, ask, check_attributes, require
from agentnet.families import Cell, Family, Planned, Stage, family_of_experiment
from agentnet.families.contract import CHANCE
from agentnet.runner.probe import check_repeatable, own_hooks
from agentnet.voices import laid_over

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


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run, ready to be played.

    Attributes:
        folder: The run folder.
        settings: What is in force.
        family: Its family.
        stage: What its realizations have in common.
        plan: The realizations to be played.
        shard: Which shard of a run it is; None for a run that is played as one.
    """

    folder: Path
    settings: Settings
    family: Family
    stage: Stage
    plan: tuple[Planned, ...]
    shard: Shard | None = None

    @property
    def experiments(self) -> Sequence[Experiment]:
        """The experiment under each condition."""
        return self.stage.experiments

    @property
    def condition_names(self) -> tuple[str, ...]:
        """What sets each condition apart, for people."""
        overrides = [plain(experiment.overrides) for experiment in self.experiments]
        return condition_names(overrides, [plain(design) for design in self.designs()])

    def designs(self) -> list[dict[str, object]]:
        """List the design of each condition as it is in force."""
        return [self.stage.design(number) for number in range(len(self.experiments))]


def make_plan(cells: Iterable[Cell], *, is_shared: bool = True) -> tuple[Planned, ...]:
    """Number the realizations of a run, and say what the chance of each is keyed by.

    Args:
        cells: What each plays.
        is_shared: Whether conditions share the chance of one news item and repeat. Runs of before they did
            key it by the realization, where there is a news item.

    Examples:
        >>> [planned.chance for planned in make_plan([Cell(0, 0, 0), Cell(0, 1, 0), Cell(1, 0, 0)])]
        [0, 1, 0]
    """
    listed = tuple(cells)
    n_repeats = 1 + max((cell.repeat for cell in listed), default=0)
    keys = [max(cell.news, 0) * n_repeats + cell.repeat for cell in listed]
    if not is_shared:
        keys = [number if cell.news >= 0 else cell.repeat for number, cell in enumerate(listed)]
    return tuple(Planned(number, *cell, keys[number]) for number, cell in enumerate(listed))


def design(source: Source, settings: Settings, *, is_new: bool = False) -> tuple[Experiment, ...]:
    """Make the experiment of `source` under each of its conditions.

    Args:
        source: The experiment file.
        settings: What is in force.
        is_new: Whether to refuse a knob of the settings that no condition heeds, too.

    Raises:
        UserError: The file cannot be loaded.
        DesignError: The design cannot be played.
    """
    held = {} if source.held is None else source.held.overrides
    overrides = {**held, **settings.experiment.overrides}
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
    family_of_experiment(loaded)
    if isinstance(overrides.get("voices"), Mapping):
        overrides["voices"] = laid_over(getattr(loaded, "voices", {}), overrides["voices"])
    experiment = loaded(**overrides)
    conditions = ask(experiment, "make_conditions")
    if is_new and loaded.make_conditions is Experiment.make_conditions:
        # Else they may be made of the knob that each of them sets.
        for knob, value in settings.experiment.overrides.items():
            require(
                not all(knob in each for each in conditions),
                f"{knob} is set to {value!r} for the whole run, and every condition sets its own: leave it "
                "out, or change `conditions`",
            )
    experiments = tuple(_under(experiment, number, each) for number, each in enumerate(conditions))
    for each in experiments:
        check_attributes(each)
    return experiments


def _under(experiment: Experiment, number: int, condition: Mapping[str, object]) -> Experiment:
    if "conditions" in condition:
        raise DesignError(
            f"condition {number}: it has conditions of its own; list them as conditions of the run"
        )
    try:
        return experiment.under(condition)
    except DesignError as error:
        raise DesignError(f"condition {number}: {error}") from error


def prepare(
    source: Source,
    settings: Settings,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    meant: Source | None = None,
) -> Prepared:
    """Fix everything of a new run, without a folder yet.

    Args:
        source: The experiment file.
        settings: What is in force.
        folder: The run folder to be made.
        environ: Where plug-ins look up their keys.
        meant: The experiment that `source` was made of, whose hooks are to give the same.

    Raises:
        AgentnetError: The experiment, or something that it reads or makes, cannot be used.
    """
    prepared = assemble(design(source, settings, is_new=True), settings, folder, environ)
    check_repeatable(prepared.family, prepared.stage, partial(design, meant or source, settings))
    return prepared


def assemble(
    experiments: Sequence[Experiment],
    settings: Settings,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    recorded: Run | None = None,
) -> Prepared:
    """Fix everything of a run of these experiments, each a condition; see `prepare`.

    Args:
        experiments: The experiment under each condition.
        settings: What is in force.
        folder: The run folder.
        environ: Where plug-ins look up their keys.
        recorded: The run that is resumed.
    """
    family = family_of_experiment(type(experiments[0]))
    family.check(experiments, settings)
    stage = family.stage(experiments, settings, environ or {}, recorded)
    if not isinstance(stage, Stage):
        raise PluginError(f"stage of family {family.name!r} gives {stage!r:.60}; it gives a Stage")
    is_shared = recorded is None or CHANCE in recorded.meta
    return Prepared(folder, settings, family, stage, make_plan(stage.cells(), is_shared=is_shared))


def create(
    prepared: Prepared,
    source: Source,
    *,
    backend: str,
    model_name: str,
    voices: Mapping[str, object] | None = None,
) -> None:
    """Make the run folder and record in it all that a run can be replayed from.

    Args:
        prepared: The run.
        source: The experiment file.
        backend: What answers.
        model_name: The language model.
        voices: What answers by voice, where there are several; see `agentnet.voices.described`.

    Raises:
        RunFolderError: The folder holds a run already.
        StorageError: It cannot be written.
    """
    first, designs = prepared.experiments[0], [plain(design) for design in prepared.designs()]
    conditions = [plain(experiment.overrides) for experiment in prepared.experiments]
    create_log(
        prepared.folder,
        {
            "run": prepared.folder.name,
            "created_at": time.time(),
            "status": "running",
            "seed": prepared.settings.seed,
            "backend": backend,
            "model_name": model_name,
            **({"voices": voices} if voices else {}),
            "settings": json.loads(prepared.settings.to_json()),
            "experiment": {
                "path": str(source.path),
                "class_name": type(first).__name__,
                "family": first.family,
                "text": source.text,
                "siblings": {
                    file: {"text": text, "hash": hashlib.sha256(text.encode()).hexdigest()}
                    for file, text in source.siblings.items()
                },
                "files": plugin_files(designs),
                "overridden": sorted(own_hooks(type(first))),
                "design": designs,
                "conditions": conditions,
                "condition_names": prepared.condition_names,
            },
            CHANCE: "by news item and repeat",
            "n_realizations": len(prepared.plan),
            "versions": versions(),
            **{key: [] for key in ("prompts", "prompts_hash", "licences")},
            "sources": {},
            **prepared.stage.meta(),
            **({"shard": list(prepared.shard)} if prepared.shard else {}),
        },
        **prepared.stage.rows(),
    )


def reopen(
    folder: Path,
    settings: Settings,
    environ: Mapping[str, str] | None = None,
    *,
    source: Source | None = None,
) -> Prepared:
    """Open a run again from what its log recorded.

    Files outside the run folder are not read for it, but those of plug-ins that its design names by address.

    Args:
        folder: The run folder.
        settings: What is in force now; see `agentnet.config.configuration_for_resume`.
        environ: Where plug-ins look up their keys.
        source: The experiment, where the log cannot make it again.

    Raises:
        RunFolderError: It is no run, or cannot be gone on with.
    """
    run = Run(folder)
    meta = run.meta
    check_files(folder, meta)
    experiments = design(source or Source.recorded(meta), settings)
    prepared = assemble(experiments, settings, folder, environ, recorded=run)
    prepared.stage.check_recorded(folder, meta)
    if len(prepared.plan) != meta["n_realizations"]:
        raise RunFolderError(
            f"{folder} was begun with {meta['n_realizations']} realizations, its experiment now makes "
            f"{len(prepared.plan)}: it depends on something that changed"
        )
    return of_shard(prepared, Shard(*meta["shard"])) if "shard" in meta else prepared


def of_shard(prepared: Prepared, shard: Shard) -> Prepared:
    """Leave one shard's share of a run: its realizations, and what it may take at once.

    Raises:
        ConfigurationError: There are fewer realizations, or less of a limit, than shards.
    """
    n, settings = len(prepared.plan), shard.of_settings(prepared.settings)
    if shard.of > n:
        raise ConfigurationError(
            f"{n} realizations cannot be shared by {shard.of} shards: play {n} shards at most"
        )
    mine = shard.of_realizations(n, pools=settings.sampler.pools)
    if settings.stack.cache_folder is None:
        # Several machines cannot use one cache: its file needs memory that those who open it share.
        stack = settings.stack.model_copy(update={"cache_folder": prepared.folder / ".cache"})
        settings = settings.model_copy(update={"stack": stack})
    return replace(prepared, settings=settings, plan=prepared.plan[mine], shard=shard)


def plugin_files(told: object) -> dict[str, str]:
    """Hash the files of the plug-ins that a design, spelled as JSON, names by address (``FILE.py:Name``)."""
    if isinstance(told, str):
        file, _, name = told.rpartition(":")
        is_one = file.endswith(".py") and all(map(str.isidentifier, name.split(".")))
        return {file: hash_} if is_one and (hash_ := _hash_of(file)) else {}
    inner = told.values() if isinstance(told, dict) else told if isinstance(told, list) else ()
    return {file: hash_ for each in inner for file, hash_ in plugin_files(each).items()}


def _hash_of(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except (OSError, ValueError):
        # Any text may end so, also one that no file is called by.
        return ""


def check_files(folder: Path, meta: Mapping[str, Any]) -> None:
    """Make sure that the plug-ins that a run's design names by address are what they were.

    Raises:
        RunFolderError: Names the file that is not.
    """
    for file, hash_ in meta["experiment"].get("files", {}).items():
        if (now := _hash_of(file)) != hash_:
            what = "has changed" if now else "is not there"
            raise RunFolderError(
                f"{folder} was begun with a plug-in of {file}, which {what}: "
                "put it back as it was (the working folder, too), or begin a new run"
            )


def new_folder(settings: Settings, source: Source, class_name: str = "") -> Path:
    """Choose a run folder that does not exist yet: experiment and time."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", source.path.stem).strip("-") or "run"
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
        found[name] = _version(name)
    return found


@cache
def _version(name: str) -> str:
    return importlib.metadata.version(name)


def plain(design: Mapping[str, object]) -> dict[str, object]:
    """Spell a design as JSON; what JSON has no form for (a graph, say) as text."""
    return json.loads(json.dumps({k: _spelled(v) for k, v in design.items()}, default=_as_text))  # type: ignore[no-any-return]


def _as_text(value: object) -> str:
    # Where an object lies in memory differs from process to process: a resumed run would not know it again.
    return value.__name__ if isinstance(value, type) else without_place(str(value))


def _spelled(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value
