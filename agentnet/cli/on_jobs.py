"""Jobs of a cluster play the shards of one run: ``agentnet.play(..., on=submitit.AutoExecutor(...))``.

A job plays several shards, one after the other, in the run folder, which it has to see.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from agentnet.cli.processes import Crew, Ended, counted, play_one
from agentnet.cli.processes import ended as end_of
from agentnet.cli.progress import Say
from agentnet.config import Settings, secrets_environ
from agentnet.errors import RunFolderError, RunStopped
from agentnet.events import Run
from agentnet.events.spent import Use, spent_so_far

_LOOK_EVERY_S: Final = 3.0

Told = list[tuple[Path, Ended, object]]
"""Of each shard: how it ended, and what it counted last (None: nothing)."""


class OnJobs(Crew):
    """Jobs of an executor as submitit has them: each plays its part of the shards that are left.

    How far they are is read from the logs that they write, as nothing else comes from a job before its end.
    """

    def __init__(self, folder: Path, settings: Settings, say: Say, executor: Any) -> None:  # noqa: ANN401
        super().__init__(folder, settings, say)
        self._leave_to_machines()
        self._executor = executor
        self._jobs: list[Any] = []
        self._playing = {shard.resolve(): _recorded(Run(shard)) for shard in self._left}

    async def play(self, n_processes: int, *, every_s: float | None) -> None:
        """Submit what is left, and wait for it."""
        left = list(self._playing)
        parts = [part for first in range(n_processes) if (part := left[first::n_processes])]
        job = partial(play, settings=self.settings.to_json(), cwd=Path.cwd())
        self._jobs = await asyncio.to_thread(self._executor.map_array, job, parts)
        self._waiting = iter(self._jobs)
        looking = None if every_s is None else asyncio.create_task(self._look_on(min(every_s, _LOOK_EVERY_S)))
        try:
            await super().play(n_processes, every_s=every_s)
        finally:
            if looking is not None:
                looking.cancel()

    async def _look_on(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            for shard in list(self._playing):
                # A log that is locked, or does not stand on this machine's disk yet, is looked at later.
                with suppress(RunFolderError):
                    told = await asyncio.to_thread(self._look, shard)
                    if shard in self._playing:
                        self._hear(shard, "tally", told)

    def _look(self, shard: Path) -> dict[str, Any]:
        run = Run(shard)
        calls, tokens_in, tokens_out = _recorded(run).minus(self._playing[shard])
        used = {"n_calls": calls, "prompt_tokens": tokens_in, "completion_tokens": tokens_out}
        return {**counted(run, self.prepared), **used}

    async def _work(self) -> None:
        job = next(self._waiting)
        try:
            told: Told = await job.awaitable().result()
        # Whatever an executor raises: that job came to no end.
        except Exception as error:  # noqa: BLE001
            self._stop(RunStopped(f"job {job.job_id} was lost ({type(error).__name__}: {error})"))
            return
        for shard, how, tally in told:
            self._playing.pop(shard, None)
            if tally is not None:
                self._hear(shard, "tally", tally)
            self._end(shard, how)

    def _halt(self) -> None:
        for job in self._jobs:
            job.cancel(check=False)

    def _kill(self) -> None:
        self._halt()


def _recorded(run: Run) -> Use:
    with run.snapshot() as connection:
        return spent_so_far(connection).recorded


def play(shards: Sequence[Path], *, settings: str, cwd: Path) -> Told:
    """Be a job: play what is left of some shards.

    Args:
        shards: Their folders.
        settings: What is in force for the whole run, as JSON.
        cwd: The working folder of who submitted it, which paths in settings are relative to.
    """
    os.chdir(cwd)
    return asyncio.run(_play(shards, Settings.from_json(settings)))


async def _play(shards: Sequence[Path], settings: Settings) -> Told:
    stopped, told = asyncio.Event(), Told()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    for shard in shards:
        if stopped.is_set():
            break
        counted: dict[str, object] = {}
        environ = secrets_environ()
        how = await end_of(play_one(shard, settings, environ, stopped.wait(), counted.__setitem__))
        told.append((shard, how, counted.get("tally")))
    return told
