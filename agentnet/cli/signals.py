"""The signals that end a command in order: what a person, a scheduler or a terminal that hangs up sends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def heeding(receive: Callable[[], object]) -> Iterator[None]:
    """Call `receive` for each of these signals while the body runs, in the running event loop.

    A program that was started to outlive its terminal (``nohup``) ignores that this hangs up, and goes on to.
    """
    loop = asyncio.get_running_loop()
    heeded = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heeded.append(signal.SIGHUP)
    for number in heeded:
        loop.add_signal_handler(number, receive)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
