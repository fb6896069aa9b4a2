"""Adapt the number of calls in flight to what the server bears: additive increase, multiplicative decrease.

The rule of congestion control (Chiu & Jain 1989, "Analysis of the increase and decrease algorithms for
congestion avoidance in computer networks", Computer Networks and ISDN Systems 17): a reply raises the limit by
about one for a whole limit's worth of replies, a rejection for load or a time-out halves it, once for all the
calls that were in flight together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import TransientError

OVERLOAD = frozenset({"rate_limit", "timeout", "overloaded"})
"""Kinds of trouble that mean: fewer at once."""

_TOLD_AT_GROWTH = 1.5


class LimitChange(NamedTuple):
    """A change of the limit that is worth recording."""

    limit: int
    reason: str


class AdaptiveLimit:
    """Lets as many requests into `inner` at once as it bears, in order of arrival.

    Args:
        inner: The backend whose load is limited.
        start: Requests in flight at first.
        lowest: Never fewer, >= 1.
        highest: Never more.
        tell: Called with each change worth recording.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        start: int,
        lowest: int,
        highest: int,
        tell: Callable[[LimitChange], None] | None = None,
    ) -> None:
        self._inner = inner
        self._limit = float(min(max(start, lowest), highest))
        self._lowest, self._highest = lowest, highest
        self._tell = tell
        self._told = self._limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._in_flight = 0
        self._era = 0

    @property
    def name(self) -> str:
        """The plug-in's name."""
        return self._inner.name

    @property
    def model_name(self) -> str:
        """The language model asked."""
        return self._inner.model_name

    @property
    def limit(self) -> int:
        """Requests let in at once, as of now."""
        return int(self._limit)

    async def complete(self, request: Request) -> Reply:
        """Answer `request` once there is room for it."""
        if self._in_flight >= self.limit or self._waiting:
            await self._queue()
        self._in_flight += 1
        era = self._era
        try:
            reply = await self._inner.complete(request)
        except TransientError as error:
            if error.kind in OVERLOAD and era == self._era:
                self._shrink(error.kind)
            raise
        else:
            self._grow()
            return reply
        finally:
            self._in_flight -= 1
            self._admit()

    async def aclose(self) -> None:
        """Close the inner backend."""
        await self._inner.aclose()

    async def _queue(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._in_flight -= 1
                self._admit()
            raise
        # The one who let us in counted us already, so that nobody overtakes.
        self._in_flight -= 1

    def _admit(self) -> None:
        while self._waiting and self._in_flight < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                self._in_flight += 1
                place.set_result(None)

    def _grow(self) -> None:
        if self._limit < self._highest:
            self._limit = min(self._highest, self._limit + 1.0 / self._limit)
            if self._limit >= self._told * _TOLD_AT_GROWTH or self._limit == self._highest:
                self._report("grown")

    def _shrink(self, reason: str) -> None:
        # Calls of the same era saw the same overload: it counts once.
        self._era += 1
        self._limit = max(float(self._lowest), self._limit / 2.0)
        self._report(reason)

    def _report(self, reason: str) -> None:
        self._told = self._limit
        if self._tell is not None:
            self._tell(LimitChange(self.limit, reason))
