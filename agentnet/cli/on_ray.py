"""Workers of Ray play the shards of one run, on this machine or on those of a cluster: ``--on ray``.

A shard is a task of its own. A worker that sees the run folder plays its shard there, so that one that is
lost leaves a log to go on with; another one is sent the shard's log, and sends it back once it stops.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stdout, suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

from agentnet.cli.on_jobs import OnJobs
from agentnet.cli.processes import Crew, Ended, Processes, Tell, ended, play_one
from agentnet.cli.progress import Say
from agentnet.config import Settings, secrets_environ
from agentnet.errors import PluginError, RunStopped, StorageError, UserError
from agentnet.events import LOG_NAME
from agentnet.events.checksums import HASH_NAME
from agentnet.events.opening import connect
from agentnet.families.contract import saved_folder
from agentnet.files import new_file, storage_errors
from agentnet.runner.prepare import versions

_STORE_BYTES: Final = 1 << 27
_MOST_LOST: Final = 3
_MARK: Final = ".seen"


class Place(NamedTuple):
    """Who plays the shards of a run, as asked for.

    Attributes:
        processes: How many at a time; None: one, or one on each CPU of a Ray.
        on: None, "ray", or an executor of submitit.
        address: Where that is; None: it is started here.
    """

    processes: int | None
    on: Any
    address: str | None

    @contextmanager
    def crew(self) -> Iterator[tuple[int, Callable[[Path, Settings, Say], Crew]]]:
        """Have them there while the body runs: how many at a time, and of what kind.

        Raises:
            UserError: There is no such place, or it cannot be used.
        """
        match self.on:
            case None:
                yield self.processes or 1, Processes
            case "ray":
                with ray_at(self.address, self.processes) as n:
                    yield n, partial(OnRay, address=self.address)
            case executor if hasattr(executor, "map_array"):
                yield self.processes or 1, partial(OnJobs, executor=executor)
            case other:
                raise UserError(f"nothing plays runs on {other!r}; known: ray, and executors of submitit")


class Task(NamedTuple):
    """What a worker is to do.

    Attributes:
        shard: The folder of the shard, as the driver names it.
        settings: What is in force for the whole run, as JSON.
        environ: Where plug-ins look up their keys.
        mark: What stands in the driver's `_MARK`: whoever reads the same sees the same disk.
        cwd: The driver's working folder, which paths in settings are relative to.
        versions: What the driver plays with.
    """

    shard: Path
    settings: str
    environ: Mapping[str, str]
    mark: str
    cwd: Path
    versions: Mapping[str, str]


class OnRay(Crew):
    """Workers of Ray: as many shards are played at a time as it has room for."""

    def __init__(self, folder: Path, settings: Settings, say: Say, address: str | None = None) -> None:
        super().__init__(folder, settings, say)
        self.way_out += " --on ray" + (f" --ray-address {address}" if address else "")
        if address:
            self._leave_to_machines()
        self._lost = Counter[Path]()
        self._playing = set[Path]()
        self._mark = folder / _MARK

    async def play(self, n_processes: int, *, every_s: float | None) -> None:
        """Play what is left."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # What all need is best where the driver is: without that, nothing is played anyway.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        desk = ray.remote(num_cpus=0, max_concurrency=2 * n_processes + 8, scheduling_strategy=here)(_Desk)
        self._desk = desk.remote()
        self._play = ray.remote(num_cpus=1, max_retries=0)(play)
        listening = asyncio.create_task(self._listen())
        try:
            with storage_errors(self._mark, "cannot be written", "free space, or choose another folder"):
                self._mark.write_text(uuid4().hex)
            await super().play(n_processes, every_s=every_s)
        finally:
            listening.cancel()
            self._mark.unlink(missing_ok=True)

    async def _listen(self) -> None:
        from ray.exceptions import RayError

        try:
            while True:
                for shard, what, value in await self._desk.heard.remote():
                    # What was told before a shard ended may be heard after.
                    if shard in self._playing:
                        self._hear(shard, what, value)
        except RayError as error:
            self._stop(RunStopped(f"what passes words between here and the workers was lost ({error})"))

    async def _work(self) -> None:
        from ray.exceptions import RayError, RayTaskError

        while self._left and self._error is None:
            shard = self._left.popleft()
            self._playing.add(shard)
            try:
                told, tally, log = await self._play.remote(self._task(shard), _packed(shard), self._desk)
                if log is not None:
                    _unpack(log, shard)
            except StorageError as error:
                # The others' logs come back yet.
                self._stop(error)
                continue
            except RayTaskError as error:
                words = f"a worker of Ray cannot play at all: {error.cause or error}"
                self._stop(UserError(f"{words}; agentnet has to be installed on all nodes as it is here"))
                continue
            except RayError as error:
                self._lose(shard, error)
                continue
            finally:
                self._playing.discard(shard)
            if tally is not None:
                self._hear(shard, "tally", tally)
            self._end(shard, told)

    def _task(self, shard: Path) -> Task:
        environ = dict(secrets_environ(Path.cwd(), os.environ))
        mark, settings = self._mark.read_text(), self.settings.to_json()
        return Task(shard.resolve(), settings, environ, mark, Path.cwd(), versions())

    def _lose(self, shard: Path, error: Exception) -> None:
        """Have a shard played again, whose worker is gone."""
        words = f"the worker that played {shard} was lost ({type(error).__name__})"
        self._lost[shard] += 1
        if self._lost[shard] > _MOST_LOST:
            self._stop(RunStopped(f"{words}, as were {_MOST_LOST} before it: {error}"))
        else:
            self.say(f"{words}; its shard is played again")
            self._left.append(shard)

    def _halt(self) -> None:
        self._desk.stop.remote()

    def _kill(self) -> None:
        """Leave it to Ray, which ends all that a driver started once it is gone."""


class _Desk:
    """What passes between the driver and those who play: words and counts, and that it is time to stop."""

    def __init__(self) -> None:
        self._told = asyncio.Queue[tuple[Path, str, object]]()
        self._stopped = asyncio.Event()

    async def tell(self, shard: Path, what: str, value: object) -> None:
        self._told.put_nowait((shard, what, value))

    async def heard(self) -> list[tuple[Path, str, object]]:
        """Wait until something was told, and give all of it."""
        first = await self._told.get()
        return [first, *(self._told.get_nowait() for _ in range(self._told.qsize()))]

    async def stop(self) -> None:
        self._stopped.set()

    async def stopped(self) -> None:
        await self._stopped.wait()


def play(
    task: Task,
    log: bytes,
    desk: Any,  # noqa: ANN401 - Ray's handle of an actor
) -> tuple[Ended, object, bytes | None]:
    """Be a worker: play what is left of a shard.

    Args:
        task: What is to be done.
        log: What the shard's folder holds, for one who does not see it.
        desk: Where the driver hears, and is heard.

    Returns:
        How it ended, what it counted last (None: nothing), and what the folder holds now; None in place of
        it if the driver's own was played in.
    """
    # What a terminal sends to all that run in it, the driver alone heeds.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    shard, counted = task.shard, dict[str, object]()

    def tell(what: str, value: object) -> None:
        counted[what] = value
        desk.tell.remote(shard, what, value)

    if _is_seen(task):
        with suppress(OSError):
            os.chdir(task.cwd)
        return asyncio.run(ended(_play(task, shard, desk, tell))), counted.get("tally"), None
    with tempfile.TemporaryDirectory(prefix="agentnet-") as made:
        folder = Path(made) / shard.name
        _unpack(log, folder)
        how = asyncio.run(ended(_play(task, folder, desk, tell)))
        return how, counted.get("tally"), _packed(folder)


async def _play(task: Task, folder: Path, desk: Any, tell: Tell) -> None:  # noqa: ANN401
    if differ := [name for name, its in versions().items() if its != task.versions[name]]:
        wanted = ", ".join(f"{name} {task.versions[name]}" for name in differ if name != "platform")
        # Machines of one cluster are not all alike.
        if wanted:
            raise UserError(f"the worker on {socket.gethostname()} lacks what is here: {wanted}; install it")
    await play_one(folder, Settings.from_json(task.settings), task.environ, _stopped(desk), tell)


async def _stopped(desk: Any) -> None:  # noqa: ANN401
    await desk.stopped.remote()


def _is_seen(task: Task) -> bool:
    """Say whether this worker sees the very disk that the driver writes to."""
    try:
        return (task.shard.parent.parent / _MARK).read_text() == task.mark
    except OSError:
        return False


def _packed(folder: Path) -> bytes:
    """Put a shard's log, and what its realizations saved, into bytes; nobody plays it meanwhile."""
    # Where one was killed, a part of the log stands in a file beside it, where it stays while it is read.
    with closing(sqlite3.connect(folder / LOG_NAME)) as connection:
        log = connection.serialize()
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(LOG_NAME, log)
        if (noted := folder / HASH_NAME).exists():
            archive.write(noted, HASH_NAME)
        for path in saved_folder(folder, 0).parent.rglob("*"):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()


def _unpack(packed: bytes, folder: Path, *, patience_s: float = 60.0) -> None:
    """Put what was packed into a folder; its log last, whole or not at all."""
    with (
        storage_errors(folder, "cannot be written", "free space, and go on with the run"),
        zipfile.ZipFile(BytesIO(packed)) as archive,
    ):
        archive.extractall(folder, [name for name in archive.namelist() if name != LOG_NAME])
        folder.mkdir(exist_ok=True)
        if (folder / f"{LOG_NAME}-wal").exists():
            _empty_beside(folder / LOG_NAME, patience_s)
        with new_file(folder / LOG_NAME) as file:
            file.write(archive.read(LOG_NAME))


def _empty_beside(log: Path, patience_s: float) -> None:
    """Empty what stands beside a log while it is read, which would be taken for a part of the next one."""
    with closing(connect(log, patience_s=patience_s)) as connection:
        is_read, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_read:
        raise StorageError(
            f"{log}: what was played of it cannot take its place while another program reads it: close the "
            "program that has it open, then resume the run"
        )


@contextmanager
def ray_at(address: str | None, n_workers: int | None) -> Iterator[int]:
    """Have Ray there while the body runs: the one at `address`, or one of this machine's own.

    Args:
        address: Of a cluster that runs, as Ray spells it; None to start one here.
        n_workers: How many shards are to be played at a time; None: one on each CPU.

    Yields:
        How many are.

    Raises:
        PluginError: Ray is not installed.
        UserError: There is none at `address` that can be used.
    """
    try:
        import ray
    except ImportError as error:
        raise PluginError(
            f"--on ray needs the extra ray ({error}): pip install 'agentnet-cascades[ray]'"
        ) from error
    # What Ray prints is for people, and the output for programs.
    with redirect_stdout(sys.stderr):
        try:
            _init(address, n_workers)
            n_cpus = int(ray.cluster_resources().get("CPU", 0))
            if not n_cpus:
                raise UserError(f"the Ray at {address} has no CPU to play a shard on: give its nodes some")
            yield n_workers or n_cpus
        finally:
            ray.shutdown()


def _init(address: str | None, n_workers: int | None) -> None:
    import ray

    # Ray would report its use to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    n = n_workers or len(os.sched_getaffinity(0))
    own = {"num_cpus": n, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
    try:
        if address is not None:
            _knock(address)
        ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **({} if address else own))
    except (OSError, RuntimeError, ValueError) as error:
        words = " ".join(str(error).split())
        raise UserError(
            f"no Ray can be used at {address or 'this machine'} ({words}): start one by ray start --head, "
            f"install here and there the same Python and Ray (here is {ray.__version__}), or set "
            "RAY_AUTH_MODE=token if it wants one"
        ) from error


def _knock(address: str) -> None:
    """Find out now whether anybody is there, for whom Ray would wait minutes.

    Raises:
        OSError: Nobody is.
        ValueError: It is no cluster's own address.
    """
    if "://" in address:
        raise ValueError("name a cluster by HOST:PORT, on a machine that is one of its nodes")
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
