"""A sitting, for `run` and `agentnet.play`: a run is played as far as it comes, and people are told."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from agentnet.backend import Attended, Backend
from agentnet.cli.progress import Say, finishing, outlook_of, progress, summary
from agentnet.config import Settings
from agentnet.errors import DesignError, Interrupted, RunStopped, WorldError
from agentnet.events import Run
from agentnet.runner import Prepared, Runner
from agentnet.runner.begin import Ready
from agentnet.runner.estimate import guess
from agentnet.runner.journal import Tally
from agentnet.view.outlook import Guess
from agentnet.voices import listing_voices, parts_of

Leave = Callable[[RunStopped], None]

_ITS_RECORD = (
    "the run goes on by the experiment's code as it was recorded; once you mend it, begin a new one: with "
    "the same seed, answers that the cache holds are not paid again"
)


def announce(prepared: Prepared, say: Say) -> None:
    """Say what is going to be played; what a terminal would act upon is spelled out."""
    meta = Run(prepared.folder).meta
    say(f"run {prepared.folder}: {len(prepared.plan)} realizations on {meta['model_name']}")
    if (shard := prepared.shard) is not None:
        say(
            f"shard {shard} of {meta['n_realizations']} realizations; its share: {_limits(prepared.settings)}"
        )
    for line in readings(prepared):
        say(line)


def _limits(settings: Settings) -> str:
    """Say what may be in flight, and what else is bounded."""
    in_flight = settings.stack.max_in_flight or settings.engine.workers
    names = ("requests_per_minute", "tokens_per_minute", "max_calls", "max_tokens", "max_cost")
    bounds = ((name, getattr(settings.stack, name)) for name in names)
    found = [f"{name} {bound:,g}" for name, bound in bounds if bound is not None]
    return ", ".join([f"{min(in_flight, settings.engine.workers):,} in flight", *found])


def readings(prepared: Prepared) -> list[str]:
    """Say what was read, so that a wrong file shows; what a terminal would act upon is spelled out."""
    return [
        "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
        for line in prepared.stage.readings()
    ]


async def sit(
    ready: Ready,
    *,
    way_out: str,
    say: Say,
    every_s: float | None,
    guessed: Callable[[Guess], None] = lambda _: None,
) -> Tally:
    """Play a run; cancelled once, finish what is in flight, cancelled again, stop at once.

    Args:
        ready: The run, and who answers.
        way_out: What goes on with it.
        say: Tells people a line.
        every_s: Seconds between two lines of progress where there is no terminal; None to show none at all.
        guessed: Called with what the progress guesses that the run takes.

    Raises:
        Interrupted: It was cancelled; what was in flight is recorded.
        CancelledError: It was cancelled twice.
        AgentnetError: What else ended the run before its end.
    """
    prepared, answering = ready
    meta = Run(prepared.folder).meta
    for line in filter(None, [*meta["licences"], meta.get("label")]):
        say(line)
    runner = Runner(prepared, answering, say=say)
    try:
        async with AsyncExitStack() as stack:
            leave = await _attended(stack, answering, prepared, say)
            listing = listing_voices(answering)
            await _play(runner, prepared, listing, say, leave, every_s, guessed)
    except (WorldError, asyncio.CancelledError):
        say(summary(runner.tally, prepared))
        say(f"resume with: {way_out}")
        raise
    except Exception as error:
        say(f"resume with: {way_out}")
        if isinstance(error, DesignError):
            say(_ITS_RECORD)
        say(f"{summary(runner.tally, prepared)}; what was recorded is kept in {prepared.folder}")
        raise
    return runner.tally


async def _attended(stack: AsyncExitStack, answering: Backend, prepared: Prepared, say: Say) -> list[Leave]:
    """Let backends open up that are more than asked; give what tells them that the sitting is to end."""
    every = [part.backend for part in parts_of(answering).values()]
    attended = [backend for backend in every if isinstance(backend, Attended)]
    return [await stack.enter_async_context(each.attend(prepared.folder, say)) for each in attended]


async def _play(
    runner: Runner,
    prepared: Prepared,
    listing: Collection[str],
    say: Say,
    leave: Sequence[Leave],
    every_s: float | None,
    guessed: Callable[[Guess], None],
) -> None:
    playing = asyncio.ensure_future(runner.play())
    outlook = outlook_of(prepared, runner.tally, len(prepared.plan))

    async def guessing() -> Guess | None:
        found = await guess(prepared, listing)
        if found is not None:
            guessed(found)
        return found

    def stop(_: Interrupted) -> None:
        runner.interrupt()
        for each in leave:
            each(Interrupted("interrupted; who had not answered is asked again"))

    async with progress(outlook, every_s=every_s, guess=guessing, closed=runner.interrupt):
        await finishing(playing, stop, say)


def resume_command(folder: Path) -> str:
    """Write the command that goes on with a run."""
    return f"agentnet run --resume {shlex.quote(str(folder))}"
