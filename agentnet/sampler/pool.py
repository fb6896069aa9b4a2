"""One pool of workers for all realizations of a run.

Realizations hand in batches; workers take one draw at a time from the oldest batch, so the last slow reply
of one realization never idles the workers that another could use. A fixed pool costs about a tenth of what a
task and a semaphore a draw cost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

Ask = Callable[[int], Awaitable[None]]

_DRAWS_BEFORE_YIELD = 256


@dataclass(slots=True, eq=False)
class _Batch:
    """Draws 0..count-1 of one caller; `taken` of them were begun, `left` are not yet answered."""

    ask: Ask
    count: int
    left: int
    done: asyncio.Future[None]
    taken: int = 0
    error: BaseException | None = None

    def cut(self, reason: BaseException) -> None:
        """Drop the draws not yet begun."""
        if self.taken < self.count:
            self.left -= self.count - self.taken
            self.count = self.taken
            self.error = self.error or reason
        self.close_if_answered()

    def close_if_answered(self) -> None:
        """Tell the owner, once no draw is in flight: what was asked is paid, so it is waited for."""
        if self.left or self.done.done():
            return
        if self.error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(self.error)


class Pool:
    """Runs draws with at most `workers` of them in flight.

    Args:
        workers: Number of draws in flight at once, >= 1.

    Use it as an asynchronous context manager; `run` may be called by any number of tasks meanwhile.
    """

    def __init__(self, workers: int) -> None:
        self._size = workers
        self._waiting: deque[_Batch] = deque()
        self._open: set[_Batch] = set()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._workers: list[asyncio.Task[None]] = []
        self._reason: BaseException | None = None

    async def __aenter__(self) -> Self:
        """Start without workers: they are made as they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the workers, whatever they are doing."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def run(self, ask: Ask, count: int) -> None:
        """Await ``ask(i)`` for every i of 0..count-1, in no promised order.

        Raises:
            BaseException: What the first failing `ask` raised, or the reason given to `stop`. Draws not yet
                begun are dropped then; those in flight are finished first.
        """
        if self._reason is not None:
            raise self._reason
        if count == 0:
            return
        batch = _Batch(ask, count, count, asyncio.get_running_loop().create_future())
        self._open.add(batch)
        self._waiting.append(batch)
        self._wake()
        try:
            await batch.done
        finally:
            self._open.discard(batch)

    def stop(self, reason: BaseException) -> None:
        """Begin no further draw; whoever still needs one gets `reason`, once nothing of his is in flight."""
        self._reason = self._reason or reason
        self._waiting.clear()
        for batch in self._open:
            batch.cut(reason)

    def _wake(self) -> None:
        """Wake two workers: each that finds work wakes two more, so that n are awake in log n rounds."""
        for _ in range(2):
            if self._idle:
                sleeper = self._idle.popleft()
                if not sleeper.done():
                    sleeper.set_result(None)
            elif len(self._workers) < self._size:
                self._workers.append(asyncio.create_task(self._work()))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        awake, turns = True, 0
        while True:
            if not self._waiting:
                sleeper = loop.create_future()
                self._idle.append(sleeper)
                await sleeper
                awake = True
                continue
            batch = self._waiting[0]
            index = batch.taken
            batch.taken = index + 1
            if batch.taken == batch.count:
                self._waiting.popleft()
            elif awake:
                self._wake()
            awake = False
            try:
                await batch.ask(index)
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the batch's owner
                self._fail(batch, error)
            batch.left -= 1
            if not batch.left:
                batch.close_if_answered()
            turns += 1
            # A backend that never suspends would keep signals and progress from running.
            if turns % _DRAWS_BEFORE_YIELD == 0:
                await asyncio.sleep(0)

    def _fail(self, batch: _Batch, error: Exception) -> None:
        if batch in self._waiting:
            self._waiting.remove(batch)
        batch.error = batch.error or error
        batch.cut(error)
