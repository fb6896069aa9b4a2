"""Draws that a world has begun and does not wait for, and what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from agentnet.errors import PluginError
from agentnet.worlds import Ask, Decided

Tell = Callable[[int, int], None]
"""(position of a draw, its decision): called once for each draw, when it is answered or found recorded."""

_GATHER_S: Final = 0.01
"""How long answers are gathered before they are acted upon, while others are awaited. Models take longer."""
_TIMES_AS_LONG: Final = 25.0
"""The same, in units of what acting upon the last ones took, so that a large network's work stays small."""


class Ahead:
    """The draws of one realization that are under way.

    Args:
        put: Asks for all draws, and tells of each; it returns or raises once none is in flight.
        flush: Waits until everything that was told is on the disk.
    """

    def __init__(
        self, put: Callable[[Ask, Tell], Coroutine[Any, Any, None]], flush: Callable[[], Awaitable[None]]
    ) -> None:
        self._put = put
        self._flush = flush
        self._under_way: set[asyncio.Task[None]] = set()
        self._came: list[Decided] = []
        self._error: BaseException | None = None
        self._news = asyncio.Event()
        self._handed_over_at: float | None = None

    def begin(self, asking: Ask) -> None:
        """Begin to ask."""

        def tell(i: int, decision: int) -> None:
            self._came.append(Decided(asking.agents[i], asking.step, decision))
            self._news.set()

        task = asyncio.create_task(self._put(asking, tell))
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    async def arrived(self) -> list[Decided]:
        """Wait for an answer; give all that came, once they are on the disk.

        Raises:
            RunStopped: An answer is missing and that stops the run, or the run was stopped.
            BackendUnusable: No request can succeed.
            StorageError: The log cannot be written.
            PluginError: Nothing was begun.
        """
        if not self._under_way and not self._news.is_set():
            raise PluginError("a world waits for an answer, and has begun no question that is unanswered")
        loop = asyncio.get_running_loop()
        took = 0.0 if self._handed_over_at is None else loop.time() - self._handed_over_at
        await self._news.wait()
        if self._under_way:
            await asyncio.sleep(max(_GATHER_S, _TIMES_AS_LONG * took))
        if self._error is not None:
            # What is in flight is paid.
            await asyncio.gather(*self._under_way, return_exceptions=True)
            raise self._error
        came, self._came = self._came, []
        self._news.clear()
        await self._flush()
        self._handed_over_at = loop.time()
        return came

    async def aclose(self) -> None:
        """Break off whatever is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error
            self._news.set()
