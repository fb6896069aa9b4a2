"""What wakes everybody who waits, once a run is to stop."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


class Halt:
    """Ends the waits of a run: for permits, for the end of a pause, for the next attempt, for evidence.

    Requests that are on their way are none of its business: they are paid, so they are waited for.

    Attributes:
        reason: Why the run stops; None as long as it goes on.
    """

    def __init__(self) -> None:
        self.reason: Exception | None = None
        self._waits: set[asyncio.Future[object]] = set()

    def stop(self, reason: Exception) -> None:
        """End every wait, and those that are begun from now on, with `reason`; the first one counts."""
        if self.reason is None:
            self.reason = reason
        for wait in self._waits:
            if not wait.done():
                wait.set_exception(self.reason)

    async def wait(self, future: asyncio.Future[T]) -> T:
        """Await `future`.

        Raises:
            Exception: The reason to stop, which is also put into `future`.
        """
        if self.reason is not None:
            future.cancel()
            raise self.reason
        self._waits.add(future)  # type: ignore[arg-type] # sets are invariant
        try:
            return await future
        finally:
            self._waits.discard(future)

    async def sleep(self, seconds: float) -> None:
        """Sleep, unless the run stops.

        Raises:
            Exception: The reason to stop.
        """
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _end, over)
        try:
            await self.wait(over)
        finally:
            timer.cancel()


def _end(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
