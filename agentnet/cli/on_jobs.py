"""Jobs of a cluster play the shards of one run: ``agentnet.play(..., on=submitit.AutoExecutor(...))``.

A job plays several shards, one after the other, in the run folder, which it has to see.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agentnet.cli.processes import Crew, Ended, play_one
from agentnet.cli.processes import ended as end_of
from agentnet.cli.sitting import Say
from agentnet.config import Settings, secrets_environ
from agentnet.errors import RunStopped

Told = list[tuple[Path, Ended, object]]
"""Of each shard: how it ended, and what it counted last (None: nothing)."""


class OnJobs(Crew):
    """Jobs of an executor as submitit has them: each plays its part of the shards that are left."""

    def __init__(self, folder: Path, settings: Settings, say: Say, executor: Any) -> None:  # noqa: ANN401
        super().__init__(folder, settings, say)
        self._executor = executor
        self._jobs: list[Any] = []

    async def play(self, n_processes: int, *, every_s: float | None) -> None:
        """Submit what is left, and wait for it."""
        left = [shard.resolve() for shard in self._left]
        parts = [part for first in range(n_processes) if (part := left[first::n_processes])]
        job = partial(play, settings=self.settings.to_json(), cwd=Path.cwd())
        self._jobs = await asyncio.to_thread(self._executor.map_array, job, parts)
        self._waiting = iter(self._jobs)
        await super().play(n_processes, every_s=every_s)

    async def _work(self) -> None:
        job = next(self._waiting)
        try:
            told: Told = await job.awaitable().result()
        # Whatever an executor raises: that job came to no end.
        except Exception as error:  # noqa: BLE001
            self._stop(RunStopped(f"job {job.job_id} was lost ({type(error).__name__}: {error})"))
            return
        for shard, how, tally in told:
            if tally is not None:
                self._hear(shard, "tally", tally)
            self._end(shard, how)

    def _halt(self) -> None:
        for job in self._jobs:
            job.cancel(check=False)

    def _kill(self) -> None:
        self._halt()


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
