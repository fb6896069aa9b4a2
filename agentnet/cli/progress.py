"""Progress of a run: one line that is redrawn on a terminal, plain lines now and then where there is none."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from agentnet.cli.terminal import echo, redraw
from agentnet.errors import Interrupted, OutputClosed
from agentnet.runner import Prepared
from agentnet.runner.journal import Tally
from agentnet.view.outlook import Guess, Outlook

Say = Callable[[str], None]
T = TypeVar("T")

_REDRAW_S = 0.2
_LOOK_S = 1.0
LINE_S = 30.0
_LONG_RUN_S = 3.0
_WIDE = 500
_BETWEEN = " · "
_EXTRA = 3


def outlook_of(prepared: Prepared, tally: Tally, n_realizations: int) -> Outlook[Tally]:
    """Begin to look how far a run is."""
    family = prepared.family
    return Outlook(
        tally,
        n_realizations,
        prepared.stage.n_fixed(),
        noun=family.answers,
        told=family.progress,
        share_calls=prepared.settings.sampler.mode != "call",
    )


async def finishing(playing: asyncio.Future[T], stop: Callable[[Interrupted], None], say: Say) -> T:
    """Wait for what is played; cancelled once, let what is in flight be finished.

    Args:
        playing: What is played.
        stop: Lets nothing more begin.
        say: Tells people a line.

    Raises:
        CancelledError: It was cancelled twice.
    """
    try:
        return await asyncio.shield(playing)
    except asyncio.CancelledError:
        stop(Interrupted("interrupted; what was in flight is recorded"))
        # The terminal may be gone: that is what a hang-up says.
        with suppress(OutputClosed):
            say("\nfinishing what is in flight; once more to stop at once")
        return await playing


@asynccontextmanager
async def progress(
    outlook: Outlook[Tally],
    *,
    every_s: float | None,
    guess: Callable[[], Awaitable[Guess | None]],
    closed: Callable[[OutputClosed], None],
) -> AsyncIterator[None]:
    """Show how far a run is while the body plays it, on standard error.

    Args:
        outlook: What is known of it.
        every_s: Seconds between two lines where there is no terminal, above 0; None to show nothing at all.
        guess: Guesses what a run takes; asked only of one that lasts.
        closed: Told that nobody reads it any more.
    """
    # None where the program was started without: `2>&-`.
    if every_s is None or sys.stderr is None:
        yield
        return
    task = asyncio.create_task(_show(outlook, guess, closed, every_s))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if sys.stderr.isatty():
            _draw(outlook, end="\n")


async def _show(
    outlook: Outlook[Tally],
    guess: Callable[[], Awaitable[Guess | None]],
    closed: Callable[[OutputClosed], None],
    every_s: float,
) -> None:
    show = _bar(outlook) if sys.stderr.isatty() else _lines(outlook, every_s)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_guess(outlook, guess, min(_LONG_RUN_S, every_s)))
            tasks.create_task(show)
    except* OutputClosed as errors:
        closed(OutputClosed(str(errors.exceptions[0])))
    except* OSError:
        # Where the lines have no room any more, say, what they tell of goes on without them.
        pass


async def _guess(
    outlook: Outlook[Tally], guess: Callable[[], Awaitable[Guess | None]], long_s: float
) -> None:
    await asyncio.sleep(long_s)
    if outlook.exact is None and not outlook.tally.realizations:
        # Who has no file left to open, say, has no guess: what is played goes on all the same.
        with suppress(OSError):
            outlook.guess = await guess()


async def _bar(outlook: Outlook[Tally]) -> None:
    while True:
        outlook.look()
        _draw(outlook)
        await asyncio.sleep(_REDRAW_S)


def _draw(outlook: Outlook[Tally], end: str = "") -> None:
    # Of the last column terminals think differently.
    width = max(0, _columns() - 1)
    redraw(line(outlook, width), width, end=end)


def _columns() -> int:
    """Measure the terminal that is written to, which standard output need not be."""
    try:
        found = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        found = 0
    return found or shutil.get_terminal_size().columns


async def _lines(outlook: Outlook[Tally], every_s: float) -> None:
    n_looks = math.ceil(every_s / _LOOK_S)
    while True:
        for _ in range(n_looks):
            await asyncio.sleep(every_s / n_looks)
            outlook.look()
        echo(line(outlook, _WIDE), err=True)


def line(outlook: Outlook[Tally], width: int) -> str:
    """Say how far a run is in one line of at most `width` characters; what matters least goes first."""
    tally = outlook.tally
    shown: list[tuple[int, Sequence[str]]] = [
        (9, _done(outlook)),
        (8, _rest(outlook)),
        (7, _of(tally.realizations, outlook.n_realizations, "realizations", "played")),
        (6, (f"{_figure(outlook.rate())}/s",)),
        (4, (f"{tally.n_missing:,} missing",) if tally.n_missing else ()),
        (5, (_cost(tally),)),
        *((rank, (words,)) for rank, words in outlook.told(tally.counts)),
        _calls(outlook),
    ]
    return _fitted(shown, width)


def _done(outlook: Outlook[Tally]) -> Sequence[str]:
    tally, expected = outlook.tally, outlook.expected()
    noun = outlook.noun
    about = "" if outlook.exact is not None else "~"
    long, short = f"{tally.n_decisions:,}", _short(tally.n_decisions)
    if expected is not None:
        long, short = f"{long}/{about}{expected:,}", f"{short}/{about}{_short(expected)}"
    return f"{long} {noun}", f"{short} {noun}", short


def _rest(outlook: Outlook[Tally]) -> Sequence[str]:
    """Say how long it will take yet, or that nothing goes on at the moment."""
    until = outlook.tally.paused_until()
    if until is not None:
        return (time.strftime("paused until %H:%M:%S", time.localtime(until)),)
    left_s = outlook.left_s()
    return () if left_s is None else (f"{_duration(left_s)} left",)


def _calls(outlook: Outlook[Tally]) -> tuple[int, Sequence[str]]:
    expected = outlook.n_calls()
    of_all = "" if expected is None else f"/~{expected:,}"
    return 6 if outlook.share_calls else 1, (f"calls {outlook.tally.n_calls:,}{of_all}",)


def _of(done: int, n_all: int, *nouns: str) -> Sequence[str]:
    return (*(f"{done:,}/{n_all:,} {noun}" for noun in nouns), f"{done:,}/{n_all:,}")


def _fitted(parts: Sequence[tuple[int, Sequence[str]]], width: int) -> str:
    """Join the texts of all parts, each in its longest form that leaves room for those that matter more.

    Args:
        parts: How much each matters, and its forms from the longest on.
        width: Room, in characters.
    """
    kept = {place: list(filter(None, forms)) for place, (_, forms) in enumerate(parts) if any(forms)}
    order = sorted(kept, key=lambda place: parts[place][0])
    # What few need goes first; then all the rest is shortened, and goes in turn.
    extras = [place for place in order if parts[place][0] <= _EXTRA]
    turns = extras + [place for place in order for _ in kept[place][1:]] + order
    for place in turns:
        if place not in kept:
            continue
        if len(_BETWEEN.join(forms[0] for forms in kept.values())) <= width:
            break
        kept[place].pop(0)
        if not kept[place]:
            del kept[place]
    return _BETWEEN.join(forms[0] for forms in kept.values())


def _short(count: int) -> str:
    """Write a count in at most five characters.

    Examples:
        >>> [_short(n) for n in (999, 1_234, 45_678, 999_999, 1_234_567)]
        ['999', '1.23k', '45.7k', '1M', '1.23M']
    """
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if float(f"{count:.3g}") >= size:
            return f"{count / size:.3g}{letter}"
    return str(count)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _duration(seconds: float) -> str:
    """Write a duration for people.

    Examples:
        >>> [_duration(s) for s in (5, 125, 3725, 200_000)]
        ['0:05', '2:05', '1:02:05', '2 d 7 h']
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def summary(tally: Tally, prepared: Prepared) -> str:
    """Say how far a run is, in one line."""
    parts = [words for _, words in prepared.family.progress(tally.counts)]
    parts += [f"{prepared.family.answers} {tally.n_decisions:,}"]
    parts += [f"missing {tally.n_missing:,}", f"calls {tally.n_calls:,}", _cost(tally)]
    return _BETWEEN.join(filter(None, parts))


def _cost(tally: Tally) -> str:
    """Say what was spent; an unknown price is said, not guessed. A run that cost nothing says nothing."""
    dollars = tally.dollars()
    if dollars == 0.0:
        return ""
    return "cost unknown" if dollars is None else f"${dollars:,.4f}"
