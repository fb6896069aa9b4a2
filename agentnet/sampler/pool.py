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

from agentnet.errors import InternalError
from agentnet.plugins import is_own, overstepped

Ask = Callable[[int], Awaitable[None]]

_DRAWS_BEFORE_YIELD = 2048
"""Draws of all workers together after which other tasks get their turn: about 40 ms if none suspends."""


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
            self.error = reason
        self.close_if_answered()

    def abandon(self, reason: BaseException) -> None:
        """Tell the owner at once: what is in flight will not be answered."""
        if not self.done.done():
            self.done.set_exception(self.error or reason)

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
        self._stride = max(1, _DRAWS_BEFORE_YIELD // workers)
        self._waiting: deque[_Batch] = deque()
        self._open: set[_Batch] = set()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._workers: list[asyncio.Task[None]] = []
        self._reason: BaseException | None = None
        self._is_left = False

    async def __aenter__(self) -> Self:
        """Start without workers: they are made as they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the workers, whatever they are doing, and tell whoever still waits for a draw."""
        self._is_left = True
        for worker in self._workers:
            worker.cancel()
        try:
            await asyncio.gather(*self._workers, return_exceptions=True)
        finally:
            reason = self._reason or InternalError("the pool of workers is closed: nobody will answer")
            self.stop(reason)
            for batch in self._open:
                batch.abandon(reason)

    async def run(self, ask: Ask, count: int) -> None:
        """Await ``ask(i)`` for every i of 0..count-1, in no promised order.

        Raises:
            PluginError: An `ask` was cancelled from within.
            InternalError: The pool was left.
            BaseException: What the first failing `ask` raised, or the reason given to `stop`. Draws not yet
                begun are dropped then; those in flight are finished first.

        Whoever is cancelled here drops the draws not yet begun, and does not wait for those in flight.
        """
        self.check()
        if count == 0:
            return
        batch = _Batch(ask, count, count, asyncio.get_running_loop().create_future())
        self._open.add(batch)
        self._waiting.append(batch)
        self._wake()
        try:
            await batch.done
        except asyncio.CancelledError:
            self._withdraw(batch)
            raise
        finally:
            self._open.discard(batch)

    def check(self) -> None:
        """Make sure that draws may still be begun.

        Raises:
            BaseException: The reason given to `stop`.
        """
        if self._reason is not None:
            raise self._reason

    def lend(self, n: int) -> None:
        """Let `n` more workers in, or as many fewer as were let in before: some are held up.

        Those held up may be all there are, and wait for what only a further draw can show.
        """
        self._size += n
        if n > 0 and self._waiting:
            self._wake()

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
        # A backend that swallows its cancellation must not be asked for more.
        while not self._is_left and len(self._workers) <= self._size:
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
            except BaseException as error:
                # Whatever it is, it belongs to the batch's owner.
                if not is_own(error):
                    raise
                self._fail(batch, overstepped("what was asked for a draw", error) or error)
            batch.left -= 1
            if not batch.left:
                batch.close_if_answered()
            turns += 1
            # A backend that never suspends would keep signals and progress from running.
            if turns % self._stride == 0:
                await asyncio.sleep(0)
        self._retire()

    def _retire(self) -> None:
        """Leave: there is one worker too many, since whoever was held up goes on."""
        worker = asyncio.current_task()
        assert worker is not None
        self._workers.remove(worker)
        if self._waiting and not self._is_left:
            self._wake()

    def _fail(self, batch: _Batch, error: BaseException) -> None:
        self._withdraw(batch)
        batch.error = batch.error or error
        batch.cut(error)

    def _withdraw(self, batch: _Batch) -> None:
        if batch in self._waiting:
            self._waiting.remove(batch)
