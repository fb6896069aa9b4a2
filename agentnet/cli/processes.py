"""Several processes on one machine play the shards of one run: started, shown and stopped by this one.

Each is given one shard after the other, with its share of rates and of what may be in flight, so that none
asks another for leave. A process stops, with what is in flight recorded, once nobody holds its input open any
more: also where this one was killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from agentnet.cli.loops import in_loop
from agentnet.cli.progress import Say, finishing, outlook_of, progress, summary
from agentnet.cli.sitting import resume_command
from agentnet.config import Settings, secrets_environ
from agentnet.errors import AgentnetError, InternalError, Interrupted, RunStopped, StorageError, UserError
from agentnet.events import LOG_NAME, Run, close_for_good
from agentnet.events.opening import locked
from agentnet.runner import Prepared, Runner, reopen
from agentnet.runner.begin import go_on, is_complete
from agentnet.runner.estimate import guess
from agentnet.runner.journal import Tally
from agentnet.runner.shards import begun, merge

Tell = Callable[[str, object], None]
Ended = tuple[int, str] | None
"""How a shard ended: None if it is finished, else the exit code and the words of what stopped it."""

_TOLD_EVERY_S: Final = 0.3
_LONGEST_LINE_BYTES: Final = 1 << 24
_SUMS: Final = (
    *("n_decisions", "n_missing", "n_calls", "prompt_tokens", "completion_tokens"),
    *("realizations", "n_settled"),
)
_COMMAND: Final = "from agentnet.cli.processes import work; work()"


async def play_shards(crew: Crew, n_processes: int, *, every_s: float | None) -> tuple[Prepared, Tally]:
    """Play what is left of the shards of a run, and merge them.

    Cancelled once it finishes what is in flight, cancelled twice it stops at once.

    Args:
        crew: Who plays them.
        n_processes: How many are played at a time.
        every_s: Seconds between two lines of progress where there is no terminal; None to show none at all.

    Returns:
        The run, and its counts.

    Raises:
        Interrupted: It was cancelled; what was in flight is recorded.
        CancelledError: It was cancelled twice.
        AgentnetError: What else ended a shard before its end, or the merge.
    """
    try:
        await crew.play(n_processes, every_s=every_s)
    except BaseException:
        crew.say(summary(crew.tally, crew.prepared))
        crew.say(f"resume with: {crew.way_out}")
        raise
    finally:
        await crew.prepared.stage.aclose()
    await asyncio.to_thread(merge, crew.folder)
    return replace(crew.prepared, folder=crew.folder, shard=None, settings=crew.settings), crew.tally


class Crew(ABC):
    """Those who play the shards of a run, and what they told.

    Args:
        folder: The run folder.
        settings: What is in force, for the whole.
        say: Tells people a line.
    """

    def __init__(self, folder: Path, settings: Settings, say: Say) -> None:
        self.tally = Tally()
        self.folder, self.settings, self.say = folder, settings, say
        self.way_out = resume_command(folder)
        metas = begun(folder)
        self._n_realizations = next(iter(metas.values()))["n_realizations"]
        self.prepared = reopen(next(iter(metas)), settings, secrets_environ())
        ended = [shard for shard in metas if is_complete(Run(shard))]
        self._told = {shard: counted(Run(shard), self.prepared) for shard in ended}
        self._left = deque(shard for shard in metas if shard not in ended)
        self._said: set[str] = set()
        self._error: AgentnetError | None = None
        self.tally.dollars = self._dollars
        self._add_up()

    async def play(self, n_processes: int, *, every_s: float | None) -> None:
        """Play what is left."""
        n = min(n_processes, len(self._left))
        working = asyncio.gather(*(self._work() for _ in range(n)))
        outlook = outlook_of(self.prepared, self.tally, self._n_realizations)
        try:
            async with progress(
                outlook, every_s=every_s, guess=partial(guess, self.prepared), closed=self._stop
            ):
                await finishing(working, self._stop, self.say)
        finally:
            self._kill()
        if self._error is not None:
            raise self._error

    def _leave_to_machines(self) -> None:
        """Have no log written ahead any more: others play it than those who read it here.

        Raises:
            RunFolderError: One is played at this moment.
            StorageError: Another program has one open.
        """
        for shard in self._left:
            with locked(shard):
                is_left = close_for_good(shard / LOG_NAME)
            if not is_left:
                raise StorageError(
                    f"{shard / LOG_NAME}: no other machine can play it while another program has it open: "
                    f"close that, then go on by: {self.way_out}"
                )

    @abstractmethod
    async def _work(self) -> None:
        """Have one shard after the other played, until none is left or there is an error."""

    @abstractmethod
    def _halt(self) -> None:
        """Have all finish what is in flight."""

    @abstractmethod
    def _kill(self) -> None:
        """End all that still play."""

    def _hear(self, shard: Path, what: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Take note of what is told while a shard is played."""
        match what:
            case "say":
                self._pass_on(value)
            case "tally":
                self._told[shard] = value
                self._add_up()
            case other:
                raise InternalError(f"who plays {shard} told {other!r:.80}")

    def _end(self, shard: Path, ended: Ended) -> None:
        if ended is not None:
            code, words = ended
            self._stop(_as_error(code, f"shard {shard.name}, which has its share of all bounds: {words}"))

    def _pass_on(self, words: str) -> None:
        """Say a line once: each has the same to say of its server."""
        if words not in self._said:
            self._said.add(words)
            self.say(words)

    def _stop(self, error: AgentnetError) -> None:
        """Have all finish what is in flight; the first error is what is told of."""
        self._error = self._error or error
        self._halt()

    def _add_up(self) -> None:
        told = self._told.values()
        for name in _SUMS:
            setattr(self.tally, name, sum(each[name] for each in told))
        self.tally.counts = sum((Counter(each["counts"]) for each in told), Counter())

    def _dollars(self) -> float | None:
        costs = [each["dollars"] for each in self._told.values()]
        return None if None in costs else sum(costs)


class Processes(Crew):
    """Processes of this machine."""

    def __init__(self, folder: Path, settings: Settings, say: Say) -> None:
        super().__init__(folder, settings, say)
        self._processes: list[asyncio.subprocess.Process] = []

    async def _work(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _COMMAND),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE_BYTES,
            # What a terminal sends to all that run in it, this one alone heeds.
            start_new_session=True,
        )
        assert process.stdin is not None
        self._processes.append(process)
        while self._left and self._error is None:
            shard = self._left.popleft()
            order = {"shard": str(shard), "settings": self.settings.to_json()}
            process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._listen(process, shard)
        process.stdin.close()
        await process.wait()

    async def _listen(self, process: asyncio.subprocess.Process, shard: Path) -> None:
        """Hear what a process tells until it has ended a shard."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            ((what, value),) = json.loads(line).items()
            if what == "ended":
                self._end(shard, value)
                return
            self._hear(shard, what, value)
        code = await process.wait()
        self._stop(RunStopped(f"the process that played {shard} was ended from outside (exit code {code})"))

    def _halt(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()

    def _kill(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.kill()


def counted(run: Run, prepared: Prepared) -> Mapping[str, Any]:
    """Count what stands in the log of a shard that others play, or played: no calls."""
    query = (
        "SELECT COUNT(*), COUNT(missing), COALESCE(SUM(status <> 'running'), 0) "
        "FROM events JOIN realizations USING (realization) WHERE kind <> 'reason'"
    )
    ((n_decisions, n_missing, n_settled),) = run.rows(query)[1]
    ((realizations,),) = run.rows("SELECT COUNT(*) FROM realizations WHERE status <> 'running'")[1]
    tally = Tally(n_decisions, n_missing, realizations=realizations, n_settled=n_settled)
    tally.counts.update(prepared.stage.counts_before(run))
    return _spelled(tally)


def _spelled(tally: Tally) -> dict[str, Any]:
    sums = {name: getattr(tally, name) for name in _SUMS}
    return {**sums, "counts": dict(tally.counts), "dollars": tally.dollars()}


def _as_error(code: int, words: str) -> AgentnetError:
    kinds = {kind.exit_code: kind for kind in (UserError, RunStopped, Interrupted)}
    return kinds.get(code, InternalError)(words)


def work() -> None:
    """Be one of the processes: play the shards that are named on standard input, until it is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # What an experiment or a plug-in prints is for people, not for the parent.
    told = os.dup(1)
    os.dup2(2, 1)
    # Closed, the channel tries once more to tell a parent that was killed.
    with suppress(BrokenPipeError), os.fdopen(told, "w", encoding="utf-8") as channel:
        in_loop(_work(partial(_tell, channel)))


async def _work(tell: Tell) -> None:
    orders = asyncio.StreamReader(limit=_LONGEST_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin.buffer
    )
    while line := await orders.readline():
        order = json.loads(line)
        shard, settings = Path(order["shard"]), Settings.from_json(order["settings"])
        # Closed, it ends a read; there is no other order meanwhile.
        tell("ended", await ended(play_one(shard, settings, secrets_environ(), orders.read(1), tell)))


async def ended(playing: Coroutine[Any, Any, None]) -> Ended:
    """Wait for the end of a shard, and give the parent what it can be told of it."""
    try:
        await playing
    except AgentnetError as error:
        return error.exit_code, str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        traceback.print_exc()
        return InternalError.exit_code, f"{type(error).__name__}: {error}"
    return None


async def play_one(
    shard: Path, settings: Settings, environ: Mapping[str, str], stopped: Awaitable[object], tell: Tell
) -> None:
    """Play what is left of a shard.

    Args:
        shard: Its folder.
        settings: What is in force, for the whole run.
        environ: Where plug-ins look up their keys.
        stopped: Is there once what is in flight is to be finished, and nothing else.
        tell: Tells the parent what is to be said, and counts.

    Raises:
        AgentnetError: The shard did not come to its end.
    """
    runner = Runner(*go_on(shard, settings, environ), say=partial(tell, "say"))
    beside = [asyncio.create_task(each) for each in (_tell_on(runner, tell), _watch(stopped, runner))]
    try:
        await runner.play()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        tell("tally", _spelled(runner.tally))


async def _watch(stopped: Awaitable[object], runner: Runner) -> None:
    try:
        await stopped
    finally:
        # Also where nobody is there any more who could say so.
        runner.interrupt()


async def _tell_on(runner: Runner, tell: Tell) -> None:
    while True:
        await asyncio.sleep(_TOLD_EVERY_S)
        tell("tally", _spelled(runner.tally))


def _tell(channel: TextIO, what: str, value: object) -> None:
    # A parent that was killed hears nothing; what is in flight is recorded all the same.
    with suppress(BrokenPipeError):
        channel.write(json.dumps({what: value}) + "\n")
        channel.flush()
