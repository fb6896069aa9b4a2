"""Progress of a run: a live line on a terminal, plain lines now and then where there is none."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from agentnet.cli.terminal import echo
from agentnet.journal import Tally

_REDRAW_S = 0.2
_LINE_S = 30.0


@asynccontextmanager
async def progress(tally: Tally, n_realizations: int, *, quiet: bool) -> AsyncIterator[None]:
    """Show `tally` while the body runs, on standard error."""
    if quiet:
        yield
        return
    show = _bar if sys.stderr.isatty() else _lines
    task = asyncio.create_task(show(tally, n_realizations))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def summary(tally: Tally) -> str:
    """Say how far a run is, in one line."""
    if tally.n_models:
        return (
            f"steps {tally.n_steps:,} · answers {tally.n_decisions:,} · missing {tally.n_missing:,} · "
            f"calls {tally.n_calls:,}{_cost(tally)}"
        )
    share = tally.n_engaged / tally.n_agents if tally.n_agents else 0.0
    return (
        f"engaged {tally.n_engaged:,} ({share:.0%}) · decisions {tally.n_decisions:,} · "
        f"missing {tally.n_missing:,} · calls {tally.n_calls:,}{_cost(tally)}"
    )


def _cost(tally: Tally) -> str:
    """Say what was spent; an unknown price is said, not guessed. A run that cost nothing says nothing."""
    dollars = tally.dollars()
    if dollars == 0.0:
        return ""
    return " · cost unknown" if dollars is None else f" · ${dollars:,.4f}"


async def _bar(tally: Tally, n_realizations: int) -> None:
    columns = (
        TextColumn("realizations"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task("", total=n_realizations, completed=tally.realizations)
        try:
            while True:
                bar.update(task, completed=tally.realizations, description=summary(tally), refresh=True)
                await asyncio.sleep(_REDRAW_S)
        finally:
            bar.update(task, completed=tally.realizations, description=summary(tally), refresh=True)


async def _lines(tally: Tally, n_realizations: int) -> None:
    begun, first = time.monotonic(), tally.realizations
    while True:
        await asyncio.sleep(_LINE_S)
        spent, done = time.monotonic() - begun, tally.realizations - first
        left = f", about {spent / done * (n_realizations - tally.realizations):.0f} s left" if done else ""
        echo(f"realizations {tally.realizations}/{n_realizations}{left} · {summary(tally)}", err=True)
