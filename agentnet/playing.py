"""Playing from Python: in a script by `play`, in a notebook or an async function by ``await aplay(...)``.

    results = agentnet.play(SocialProof(repeats=3), backend="mock")
    results.compare("final_engagement")

Settings, log, cache, budget and ways to go on are those of ``agentnet run``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import wraps
from itertools import product
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from agentnet import events
from agentnet.cli.on_ray import Place
from agentnet.cli.processes import play_shards
from agentnet.cli.progress import LINE_S
from agentnet.cli.run import NAMED
from agentnet.cli.sitting import announce, sit
from agentnet.cli.terminal import echo
from agentnet.config import (
    Flag,
    Settings,
    Shard,
    configuration_for_resume,
    is_toml,
    load_configuration,
    refuse_changes,
    secrets_environ,
)
from agentnet.errors import AgentnetError, Interrupted, UserError
from agentnet.events import LOG_NAME
from agentnet.events.read import is_unmerged
from agentnet.experiment import Experiment, Source, held, source_of
from agentnet.run import Run
from agentnet.runner import Prepared
from agentnet.runner.again import check_missing
from agentnet.runner.begin import (
    Ready,
    begin,
    begin_shards,
    check_same,
    go_on,
    is_complete,
    recorded_settings,
)
from agentnet.runner.shards import begun

E = TypeVar("E", bound=Experiment)
P = ParamSpec("P")
T = TypeVar("T")
Playable = Experiment | type[Experiment] | events.Run | str | Path


async def aplay(
    experiment: Playable,
    *,
    backend: str | None = None,
    model: str | None = None,
    seed: int | None = None,
    news: str | Path | None = None,
    update: str | None = None,
    max_cost: float | None = None,
    max_calls: int | None = None,
    settings: Mapping[str, object] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    ask_missing: bool = False,
    processes: int | None = None,
    on: object = None,
    ray_address: str | None = None,
    progress: bool = True,
) -> Run:
    """Play an experiment as ``agentnet run`` does, or go on with a run.

    A script calls `play`; a notebook, whose loop runs, awaits `aplay`, which takes the same. Whoever
    interrupts it (Ctrl-C, the notebook's stop button, a cancelled task) leaves a run that can be gone on
    with; the first time what is in flight is waited for and recorded.

    Args:
        experiment: An experiment or its class; an experiment file, as ``FILE`` or ``FILE:Class``; or a run,
            which is gone on with.
        backend: Backend that answers; setting ``backend.name``.
        model: Model name; setting ``backend.model``.
        seed: The run's seed.
        news: File of news items; setting ``news.path``.
        update: Update rule of models that interview each other.
        max_cost: Stop before the run costs more US dollars.
        max_calls: Stop before the run makes more calls.
        settings: Further settings as ``-S`` takes them, such as ``{"engine.workers": 8}``. They go over those
            of ``agentnet.toml``, ``.env`` and the environment, as do the knobs that an experiment was made
            with.
        out: Run folder to make; a new one in the folder of runs if None.
        resume: Whether to go on with the run in `out`, if there is one; one that is finished is given back.
        ask_missing: When going on: ask again what is missing; in a copy, if other answers follow from it.
        processes: How many processes of this machine play it, in shards that are merged in the end; None:
            this one alone. They have to make the experiment, too: it stands in a file.
        on: "ray" has workers of Ray play the shards, `processes` at a time, or one on each CPU if None. An
            executor of submitit has `processes` jobs play them, which see the run folder.
        ray_address: The Ray to play on, as ``HOST:PORT``; None starts one on this machine.
        progress: Whether to tell on standard error what is played and how far it is.

    Returns:
        The run.

    Raises:
        UserError: Wrong input, or an error in the experiment's code.
        WorldError: A bound, or the world, ended the run; it can be gone on with.
        MissingAnswers: The run has ended, but lacks more answers than ``engine.max_missing`` allows.
    """
    named: dict[str, object] = {
        "backend": backend,
        "model": model,
        "seed": seed,
        "news": news,
        "update": update,
        "max_cost": max_cost,
        "max_calls": max_calls,
    }
    given = {name: _plain(value) for name, value in named.items() if value is not None}
    flags = [Flag(f"{name} =", NAMED[name][1], value) for name, value in given.items()]
    flags += [Flag("settings", key, _plain(value)) for key, value in (settings or {}).items()]
    folder = None if out is None else Path(out)
    say = _say if progress else _say_nothing
    if ray_address is not None and on is None:
        raise UserError('ray_address= goes with on="ray"')
    if processes is not None or on is not None:
        if isinstance(experiment, events.Run):
            raise UserError("a run is gone on with as it was begun: leave out processes= and on=")
        place = Place(processes, on, ray_address)
        return await _by_processes(experiment, flags, folder, say, place, resume=resume, progress=progress)
    ready = _ready(experiment, flags, folder, say, resume=resume, ask_missing=ask_missing)
    if isinstance(ready, Run):
        return ready
    return await _played(ready, say, progress=progress)


async def _by_processes(
    experiment: Experiment | type[Experiment] | str | Path,
    flags: list[Flag],
    out: Path | None,
    say: Callable[[str], None],
    place: Place,
    *,
    resume: bool,
    progress: bool,
) -> Run:
    """Play an experiment by several processes, or go on with what they left of it."""
    source, meant, knobs = _given(experiment)
    if source.held is not None:
        raise UserError(
            "no file makes this experiment again, as processes have to: leave out processes= and on="
        )
    configuration = load_configuration(folder=Path.cwd(), environ=os.environ, flags=[*knobs, *flags])
    settings, environ = configuration.settings, secrets_environ()
    shards = begun(out) if out is not None and resume else {}
    if out is not None and shards:
        first = events.Run(next(iter(shards)))
        most = Shard(*first.meta["shard"]).n_at_once
        place = place._replace(processes=min(place.processes or most, most))
        check_same(first, source, "give it another folder by out=")
        refuse_changes(recorded_settings(first), configuration)
        if not is_unmerged(out):
            return _checked(out, settings)
    with place.crew() as (n, crew):
        if out is None or not shards:
            out = begin_shards(source, settings, environ, out, n, meant=meant, say=say).folder
        playing = play_shards(crew(out, settings, say), n, every_s=LINE_S if progress else None)
        prepared, _ = await _stoppable(playing, f"the same call, with out={str(out)!r}, resume=True")
    return _noted(prepared, say)


def _waited_for(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    @wraps(function)
    def play(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(function(*args, **kwargs))
        raise UserError(
            "play waits until a run is played, and an event loop (of a notebook, of an async function) "
            "runs here already: write `await agentnet.aplay(...)` with the same arguments"
        )

    play.__name__ = play.__qualname__ = "play"
    return play


play = _waited_for(aplay)


def sweep(experiment: type[E] | E, **knobs: Iterable[object]) -> E:
    """Make an experiment whose conditions are all combinations of some values of its knobs.

    Args:
        experiment: An experiment, or its class. Conditions of its own are combined with these.
        knobs: Knob -> its values; the last one varies first.

    Raises:
        UserError: There is no such knob, or it cannot have such a value.

    Examples:
        >>> from agentnet import CascadeExperiment
        >>> sweep(CascadeExperiment, degree=[3, 5], steps=[10]).conditions
        ({'degree': 3, 'steps': 10}, {'degree': 5, 'steps': 10})
    """
    made = experiment() if isinstance(experiment, type) else experiment
    values = {name: _values(name, of) for name, of in knobs.items()}
    swept = [dict(zip(values, each, strict=True)) for each in product(*values.values())]
    conditions = tuple({**own, **each} for own in made.conditions for each in swept)
    for condition in conditions:
        made.under(condition)
    fixed = {name: value for name, value in made.overrides.items() if name not in knobs}
    return type(made)(**{**fixed, "conditions": conditions})


def _values(knob: str, given: Iterable[object]) -> list[object]:
    values = [] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not values:
        raise UserError(f"{knob} = {given!r} is no list of values; write {knob}=[first, second]")
    return [_plain(value) for value in values]


def _ready(
    experiment: Playable,
    flags: list[Flag],
    out: Path | None,
    say: Callable[[str], None],
    *,
    resume: bool,
    ask_missing: bool,
) -> Ready | Run:
    """Begin a run or open one again; one of which nothing is left to do is given as it is."""
    environ = secrets_environ()
    if isinstance(experiment, events.Run):
        if out is not None:
            raise UserError("out= goes with a new run; one that is gone on with stays where it is")
        settings = configuration_for_resume(recorded_settings(experiment), flags=flags).settings
        return _again(experiment, settings, environ, say, ask_missing=ask_missing)
    if resume and out is None:
        raise UserError("resume=True goes on with the run in a folder: name it by out=")
    source, meant, knobs = _given(experiment)
    configuration = load_configuration(folder=Path.cwd(), environ=os.environ, flags=[*knobs, *flags])
    if out is not None and resume and (out / LOG_NAME).exists():
        run = events.Run(out)
        check_same(run, source, "give it another folder by out=")
        refuse_changes(recorded_settings(run), configuration)
        return _again(run, configuration.settings, environ, say, source=source, ask_missing=ask_missing)
    ready = begin(source, configuration.settings, environ, out, meant=meant, say=say)
    announce(ready[0], say)
    if source.held is not None:
        say("note: no file makes this experiment again, so only Python can go on with the run")
    return ready


def _again(
    run: events.Run,
    settings: Settings,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    *,
    source: Source | None = None,
    ask_missing: bool,
) -> Ready | Run:
    if is_complete(run) and not ask_missing:
        return _checked(run.folder, settings)
    held_one = source if source is not None and source.held is not None else None
    ready = go_on(run.folder, settings, environ, source=held_one, ask_missing=ask_missing)
    say(f"resuming {ready[0].folder}")
    return ready


def _given(
    experiment: Experiment | type[Experiment] | str | Path,
) -> tuple[Source, Source | None, list[Flag]]:
    """Give what the log records of an experiment, the experiment itself, and its knobs as settings."""
    if isinstance(experiment, str | Path):
        return Source.read(str(experiment)), None, []
    if not (isinstance(experiment, Experiment) or _is_experiment(experiment)):
        raise UserError(
            "play takes an experiment (its class, one that is made, or its file) or a Run to go on with, not "
            f"{experiment!r:.60}"
        )
    made = experiment() if isinstance(experiment, type) else experiment
    meant, name = held(made), type(made).__name__
    knobs = {knob: _plain(value) for knob, value in made.overrides.items()}
    flags = [Flag(f"{name}({knob}=...)", f"experiment.{knob}", v) for knob, v in knobs.items() if is_toml(v)]
    return source_of(made) if len(flags) == len(knobs) else meant, meant, flags


def _is_experiment(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, Experiment)


def _plain(value: object) -> object:
    """Write a value as settings hold it: arrays as lists, paths as texts, numbers as Python has them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    return value.tolist() if type(value).__module__ == "numpy" and hasattr(value, "tolist") else value


async def _played(ready: Ready, say: Callable[[str], None], *, progress: bool) -> Run:
    prepared = ready[0]
    way_out = _way_out(prepared.folder)
    await _stoppable(sit(ready, way_out=way_out, say=say, every_s=LINE_S if progress else None), way_out)
    return _noted(prepared, say)


async def _stoppable(playing: Coroutine[Any, Any, T], way_out: str) -> T:
    """Wait for a run; if it is stopped, say what goes on with it, and be cancelled if that is what did."""
    try:
        return await playing
    except AgentnetError as error:
        error.add_note(f"go on with: {way_out}")
        task = asyncio.current_task()
        if isinstance(error, Interrupted) and task is not None and task.cancelling():
            raise asyncio.CancelledError(str(error)) from error
        raise


def _noted(prepared: Prepared, say: Callable[[str], None]) -> Run:
    run = _checked(prepared.folder, prepared.settings)
    for line in prepared.family.notes(run):
        say(f"note: {line}")
    return run


def _checked(folder: Path, settings: Settings) -> Run:
    """Give a run that has ended, unless it lacks too much."""
    run = Run(folder)
    check_missing(run, settings.engine.max_missing, f"{_way_out(folder)[:-1]}, ask_missing=True)")
    return run


def _way_out(folder: Path) -> str:
    """Write the call that goes on with a run."""
    recorded = Run(folder).meta["experiment"]
    if recorded["text"]:
        return f"agentnet.play(agentnet.Run({str(folder)!r}))"
    return f"agentnet.play({recorded['class_name']}(...), out={str(folder)!r}, resume=True)"


def _say(line: str) -> None:
    # None where the program was started without.
    if sys.stderr is not None:
        echo(line, err=True)


def _say_nothing(_: str) -> None:
    """Leave a line unsaid."""
