"""Begin a run, or go on with one: what `agentnet run` and `agentnet.play` do before a question."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from agentnet.backend import Backend
from agentnet.config import Configuration, Settings, Shard, refuse_changes, secrets_held
from agentnet.errors import RunFolderError, UserError
from agentnet.events import LOG_NAME, Run, check_unplayed
from agentnet.events.forget import check_can_go_on
from agentnet.events.read import SHARDS_NAME, EmptyLog
from agentnet.experiment import Source
from agentnet.runner.again import ask_again
from agentnet.runner.estimate import rehearse
from agentnet.runner.play import is_frozen
from agentnet.runner.prepare import Prepared, create, new_folder, of_shard, prepare, reopen
from agentnet.runner.shards import check_alike, check_unmerged, check_unsharded, shard_folder
from agentnet.voices import described, make_voices, voices_of, with_share

_SHARDS_EACH = 4

Ready = tuple[Prepared, Backend]
"""A run that can be played, and who answers."""


def begin(
    source: Source,
    settings: Settings,
    environ: Mapping[str, str],
    out: Path | None = None,
    *,
    meant: Source | None = None,
    shard: Shard | None = None,
    say: Callable[[str], None],
) -> Ready:
    """Make the folder of a new run, once what its own methods ask was the same twice on the mock.

    Args:
        source: The experiment.
        settings: What is in force.
        environ: Where plug-ins look up their keys.
        out: The folder; None for a new one in the folder of runs.
        meant: See `prepare`.
        shard: Which shard of the run in `out` is begun; None for a run that is played as one.
        say: Tells people a line.

    Raises:
        AgentnetError: The run cannot be played as it is meant.
    """
    folder = out or new_folder(settings, source)
    if shard is None:
        check_unsharded(folder)
    whole = _rehearsed(
        source, settings, environ, shard_folder(folder, shard) if shard else folder, meant, say
    )
    prepared = of_shard(whole, shard) if shard else whole
    answering = backend_of(prepared, environ)
    answering_it = with_share(answering, shard)
    if out is None:
        prepared = replace(prepared, folder=_claimed(folder, settings, source))
    _create(replace(whole, folder=prepared.folder, shard=shard), source, answering)
    return prepared, answering_it


def begin_shards(
    source: Source,
    settings: Settings,
    environ: Mapping[str, str],
    out: Path | None,
    n_at_once: int,
    *,
    meant: Source | None = None,
    say: Callable[[str], None],
) -> Prepared:
    """Begin a run whose shards are played by processes of one machine: all of them, or none.

    There are more shards than processes, which take one after the other: so none waits long for the last
    one, and rates are used to the end. Where draws are bought for many realizations at once there are not.

    Args:
        source: The experiment.
        settings: What is in force.
        environ: Where plug-ins look up their keys.
        out: The folder; None for a new one in the folder of runs.
        n_at_once: How many processes there are.
        meant: See `prepare`.
        say: Tells people a line.

    Returns:
        The run as a whole.

    Raises:
        AgentnetError: It cannot be played as it is meant.
    """
    folder = out or new_folder(settings, source)
    check_unsharded(folder)
    check_unmerged(folder)
    whole = _rehearsed(source, settings, environ, folder, meant, say)
    answering = backend_of(whole, environ)
    n_at_once = min(n_at_once, len(whole.plan))
    n = n_at_once if settings.sampler.pools else min(_SHARDS_EACH * n_at_once, len(whole.plan))
    if out is None:
        folder = _claimed(folder, settings, source)
        whole = replace(whole, folder=folder)
    making = folder / f".{SHARDS_NAME}"
    shutil.rmtree(making, ignore_errors=True)
    for shard in (Shard(number, n, n_at_once) for number in range(1, n + 1)):
        with_share(answering, of_shard(whole, shard).shard)
        _create(replace(whole, folder=making / shard.name, shard=shard), source, answering)
    making.rename(folder / SHARDS_NAME)
    return whole


def _claimed(folder: Path, settings: Settings, source: Source) -> Path:
    """Make the folder of a run for which none was named; another where that is there by now."""
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            # Who began in the same second has taken the name that was free.
            folder = new_folder(settings, source)
        except OSError:
            # Who writes into it says why that cannot be.
            return folder
        else:
            return folder


def _rehearsed(
    source: Source,
    settings: Settings,
    environ: Mapping[str, str],
    folder: Path,
    meant: Source | None,
    say: Callable[[str], None],
) -> Prepared:
    """Prepare a run, and see that what its own methods ask is the same twice."""
    prepared = prepare(source, settings, folder, environ, meant=meant)
    # In a thread of its own: a notebook's loop runs already.
    with ThreadPoolExecutor(1) as thread:
        is_rehearsed = thread.submit(lambda: asyncio.run(rehearse(prepared))).result()
    if not is_rehearsed:
        say("note: playing it twice on the mock first takes long; agentnet check does that to the end")
    _refuse_keys(source, settings, environ)
    return prepared


def _create(prepared: Prepared, source: Source, answering: Backend) -> None:
    name, model_name = prepared.stage.who_answers(answering)
    create(prepared, source, backend=name, model_name=model_name, voices=described(answering))


def go_on(
    folder: Path,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    source: Source | None = None,
    ask_missing: bool = False,
) -> Ready:
    """Open a run again.

    Args:
        folder: Its folder.
        settings: What is in force now.
        environ: Where plug-ins look up their keys.
        source: The experiment, where the log cannot make it again.
        ask_missing: Whether what is missing is asked again: in a copy, if other answers follow from it.

    Raises:
        AgentnetError: The run is played at this moment, or cannot be gone on with as it is meant.
    """
    check_unplayed(folder)
    check_can_go_on(Run(folder))
    prepared = reopen(folder, settings, environ, source=source)
    if ask_missing and prepared.shard:
        raise UserError(
            f"{folder} is shard {prepared.shard} of a run: make one log of all (agentnet merge), and "
            "have that ask what is missing"
        )
    answering = backend_of(prepared, environ)
    if ask_missing:
        # Last, as a copy that cannot be played would lie about.
        prepared = reopen(ask_again(folder), settings, environ, source=source)
    return prepared, with_share(answering, prepared.shard)


def begin_or_go_on(
    source: Source,
    configuration: Configuration,
    environ: Mapping[str, str],
    out: Path,
    shard: Shard,
    say: Callable[[str], None],
) -> Ready | None:
    """Begin a shard of a run, or open it again: one command, whatever stopped it before.

    Args:
        source: The experiment.
        configuration: What is in force, for the run as a whole.
        environ: Where plug-ins look up their keys.
        out: The folder of the run.
        shard: Which shard.
        say: Tells people a line.

    Returns:
        None if it is finished.

    Raises:
        AgentnetError: It is another run's shard, or cannot be played as it is meant.
    """
    check_unmerged(out)
    folder = shard_folder(out, shard)
    try:
        run = Run(folder) if (folder / LOG_NAME).exists() else None
    except EmptyLog:
        run = None
    if run is None:
        ready = begin(source, configuration.settings, environ, out, shard=shard, say=say)
        try:
            check_alike(folder)
        except RunFolderError:
            shutil.rmtree(folder)
            raise
        return ready
    check_same(run, source, "name another folder by --out")
    refuse_changes(recorded_settings(run), configuration)
    check_alike(folder)
    if is_complete(run):
        return None
    say(f"resuming {folder}")
    return go_on(folder, configuration.settings, environ)


def recorded_settings(run: Run) -> Settings:
    """Give the settings that a run was started with."""
    return Settings.from_json(json.dumps(run.meta["settings"]))


def backend_of(prepared: Prepared, environ: Mapping[str, str]) -> Backend:
    """Make what answers in a run: its voices, and the backend of its settings."""
    voices, asks_own = voices_of(prepared.experiments), prepared.stage.asks_own()
    return make_voices(prepared.settings, voices, environ, asks_own=asks_own)


def is_complete(run: Run) -> bool:
    """Say whether nothing of a run is left to be done, but what is missing could be asked again."""
    parquet = recorded_settings(run).log.parquet and "shard" not in run.meta
    return run.meta["status"] == "finished" and is_frozen(run.folder, parquet=parquet)


def check_same(run: Run, source: Source, way_out: str) -> None:
    """Make sure that a run was begun with this experiment.

    Args:
        run: The run.
        source: The experiment.
        way_out: How to go on with the run.

    Raises:
        UserError: It was not.
    """
    recorded = Source.recorded(run.meta)
    # A file need not name its only class.
    name = source.class_name or recorded.class_name
    if (source.hash, name) != (recorded.hash, recorded.class_name):
        raise UserError(
            f"{run.folder} is a run of {recorded.class_name} in {recorded.path} as it was then, and "
            f"{source.path} is something else; {way_out}"
        )


def _refuse_keys(source: Source, settings: Settings, environ: Mapping[str, str]) -> None:
    """Refuse to record a key: a run keeps its experiment file and its settings as they are."""
    texts = (source.text, *source.siblings.values(), settings.to_json())
    held = secrets_held("\n".join(texts), environ)
    if held:
        raise UserError(
            f"the experiment file or a setting holds the value of {held[0]}, and a run records both: take it "
            "out there; keys come from the environment or from .env"
        )
