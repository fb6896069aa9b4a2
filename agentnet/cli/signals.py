"""The signals that end a command in order: what a person, a scheduler or a terminal that hangs up sends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENOUGH = 3
"""Signals that the loop has not heard before they end the program: it is blocked, say by a plug-in."""


@contextmanager
def heeding(receive: Callable[[], object]) -> Iterator[None]:
    """Call `receive` for each of these signals while the body runs, in the running event loop.

    A loop that a plug-in blocks, and that heard none of three, is ended by `KeyboardInterrupt` where it is.
    A program that was started to outlive its terminal (``nohup``) ignores that this hangs up, and goes on to.
    """
    loop = asyncio.get_running_loop()
    heeded = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heeded.append(signal.SIGHUP)
    n_unheard = 0

    def hear() -> None:
        nonlocal n_unheard
        n_unheard = 0
        receive()

    def count(number: int, frame: FrameType | None) -> None:
        nonlocal n_unheard
        n_unheard += 1
        if n_unheard >= _ENOUGH:
            # What is about to begin would block as well.
            for task in asyncio.all_tasks(loop):
                task.cancel()
            signal.default_int_handler(number, frame)

    for number in heeded:
        loop.add_signal_handler(number, hear)
        # The loop is woken as before: this takes the place of a handler that does nothing.
        signal.signal(number, count)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
