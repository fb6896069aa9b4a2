"""An event loop whose clock jumps: for tests of code that waits.

Instead of waiting for the next timer the loop moves its clock there, so that an hour of sleeping costs
nothing and every run takes the same turns. When every task waits and no timer is set, nothing can ever happen
again: that is reported as the deadlock that it is, with the tasks and where they wait.

Threads and sockets live in wall time and would race with the jumps: code under virtual time uses neither.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# asyncio runs the timers due before now + this. After half a year (2^24 s) the sum is lost in rounding, and a
# timer due exactly now would never run: from there on the clock goes one float beyond it.
_RESOLUTION_S = time.get_clock_info("monotonic").resolution

_NAMED = 8


class Deadlock(AssertionError):
    """Every task waits and no timer is set."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time` starts at 0 and jumps to the next timer.

    For whoever needs the loop itself: ``asyncio.Runner(loop_factory=VirtualTimeLoop)``; else see
    `run_in_virtual_time`.
    """

    def __init__(self) -> None:
        self._jumps = _JumpingSelector(self._waiting)
        super().__init__(self._jumps)

    def time(self) -> float:
        """Give the virtual time, in seconds since the loop was made."""
        return self._jumps.now

    def _waiting(self) -> list[str]:
        return sorted(_where(task) for task in asyncio.all_tasks(self))


class _JumpingSelector(selectors.DefaultSelector):
    """Moves the loop's clock instead of waiting."""

    def __init__(self, waiting: Callable[[], list[str]]) -> None:
        super().__init__()
        self.now = 0.0
        self._waiting = waiting

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, move the clock by `timeout`."""
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Deadlock(_stuck(self.now, self._waiting()))
        self.now += max(timeout, 0.0)
        if self.now + _RESOLUTION_S == self.now:
            self.now = math.nextafter(self.now, math.inf)
        return ready


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end, as `asyncio.run` does, but never wait.

    Inside, ``asyncio.get_running_loop().time()`` is the virtual time.

    Args:
        main: What to run. Tasks that it leaves behind are cancelled.

    Returns:
        What `main` returns.

    Raises:
        Deadlock: Every task waits and no timer is set.

    Examples:
        >>> run_in_virtual_time(asyncio.sleep(86_400.0, "a day later"))
        'a day later'
    """
    return timed_in_virtual_time(main)[0]


def timed_in_virtual_time(main: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """Run `main` as `run_in_virtual_time` does, and measure it.

    Returns:
        What `main` returns, and the virtual seconds that it took.

    Raises:
        Deadlock: Every task waits and no timer is set.

    Examples:
        >>> timed_in_virtual_time(asyncio.sleep(2.5))
        (None, 2.5)
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        result = runner.run(main)
        return result, runner.get_loop().time()


def _stuck(now: float, waiting: list[str]) -> str:
    named = "; ".join(waiting[:_NAMED])
    more = f"; and {len(waiting) - _NAMED} more" if len(waiting) > _NAMED else ""
    return f"deadlock at {now:g} s: every task is waiting and no timer is set: {named}{more}"


def _where(task: asyncio.Task[Any]) -> str:
    stack = task.get_stack()
    if not stack:
        return task.get_name()
    code, line = stack[-1].f_code, stack[-1].f_lineno
    return f"{task.get_name()} in {code.co_qualname} ({Path(code.co_filename).name}:{line})"
