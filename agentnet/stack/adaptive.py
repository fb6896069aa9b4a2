"""Adapt the number of calls in flight to what the server bears: additive increase, multiplicative decrease.

The rule of congestion control (Chiu & Jain 1989, "Analysis of the increase and decrease algorithms for
congestion avoidance in computer networks", Computer Networks and ISDN Systems 17): a whole limit's worth of
replies raises the limit by about one; a rejection for load or a time-out halves it, once for all the calls
that were in flight together. Where a server says how long it wants to be left alone, nobody is let in
meanwhile: this is the last wrapper before the plug-in, so it holds those too who have their permits already.

A server that bounds how many requests it has at once may ask for a minute where a place is free in half a
second (LiteLLM's proxy does). By that it is told apart: who is sent after such a rejection, when fewer are
inside, is answered long before the minute is over. The next rejection then lowers the limit to what was borne
and pauses nobody, and the limit grows beyond that ever more slowly.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from agentnet.backend import AtOnce, Backend, Reply, Request, Wave, Wrapper, answer_now
from agentnet.errors import PluginError, RequestRejected, TransientError
from agentnet.plugins import refuse_overstepped
from agentnet.stack.halt import Halt
from agentnet.stack.overload import OVERLOAD, Pause

_TOLD_AT_GROWTH: Final = 1.5
_MOST_CAUTION: Final = 64.0


class LimitChange(NamedTuple):
    """A change of the limit that is worth recording.

    Attributes:
        limit: Requests let in at once from now on; 0 during a pause.
        reason: ``grown``, ``paused``, ``resumed``, the kind of trouble that lowered the limit, or what
            became of one of several servers.
        voice: Whose limit it is; "" for the run's own backend.
    """

    limit: int
    reason: str
    voice: str = ""


class AdaptiveLimit(Wrapper):
    """Lets as many requests into `inner` at once as it bears, in order of arrival.

    Args:
        inner: The backend whose load is limited.
        start: Requests in flight at first.
        lowest: Never fewer, >= 1.
        highest: Never more, >= `lowest`.
        pause: When the server wants no requests; one of its own if not given.
        tell: Called with each change worth recording.
        halt: Ends the wait for room; one of its own if not given.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        start: int,
        lowest: int = 1,
        highest: int,
        pause: Pause | None = None,
        tell: Callable[[LimitChange], None] | None = None,
        halt: Halt | None = None,
    ) -> None:
        super().__init__(inner)
        self._limit = float(min(max(start, lowest), highest))
        self._lowest, self._highest = lowest, highest
        self._pause = Pause() if pause is None else pause
        self._tell = tell
        self._halt = Halt() if halt is None else halt
        self._told = self._limit
        # How many may be in flight as of now: the limit, or 0 during a pause. Whenever somebody waits, at
        # least so many are in flight: `_admit` is called after every change of either.
        self._room = self.limit
        self._paused_in: asyncio.AbstractEventLoop | None = None
        self._waker: asyncio.TimerHandle | None = None
        self._probed_at = self._rejected_at = self._told_until = -math.inf
        self._is_hint_false = False
        self._crowd = self._borne = 0
        self._caution = 1.0
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._era = 0

    @property
    def limit(self) -> int:
        """Requests let in at once, pauses aside."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Requests inside as of now."""
        return self._in_flight

    def _begun(self, request: Request) -> Awaitable[Reply]:
        pending = self._inner.complete(request)
        if hasattr(pending, "__await__"):
            return pending
        raise PluginError(
            f"complete of backend {self.name!r} is not async; define it by 'async def', without yield"
        )

    async def complete(self, request: Request) -> Reply:
        """Answer `request` once there is room for it."""
        is_probe = False
        if self._in_flight < self._room:
            self._in_flight += 1
        else:
            is_probe = await self._wait_for_room()
        clock = asyncio.get_running_loop().time
        era, began = self._era, clock()
        try:
            reply = await self._begun(request)
            if self._told_until > began or not self._room:
                self._take_note(began, clock())
            if self._limit < self._highest:
                self._grow(era)
        except BaseException as error:
            if is_probe:
                self._end_probe(error)
            if isinstance(error, TransientError):
                error.took_s = clock() - began
                self._yield_to(error, era, began, is_probe=is_probe)
            refuse_overstepped(f"complete of backend {self.name!r}", error)
            raise
        else:
            if is_probe:
                self._end_probe(None)
        finally:
            self._in_flight -= 1
            if self._waiting:
                self._admit()
        return reply

    def answer_now(self, wave: Wave) -> AtOnce | None:
        """Answer at once what `inner` does: nothing of that is ever in flight."""
        return answer_now(self._inner, wave) if self._room else None

    async def _wait_for_room(self) -> bool:
        """Wait in line; return whether this is a pause's probe."""
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(place)
        if not self._room and self._paused_in is not loop:
            # The event loop that was to end the pause is gone.
            self._resume()
        elif not self._room and self._pause.probe_in_s() <= 0.0:
            self._send_probe()
        try:
            # Whoever lets us in counts us as in flight at once, so that nobody overtakes.
            return await self._halt.wait(place)
        except asyncio.CancelledError as error:
            if not place.cancelled():
                self._in_flight -= 1
                if place.result():
                    self._end_probe(error)
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._in_flight < self._room:
            place = self._waiting.popleft()
            if not place.done():
                self._in_flight += 1
                place.set_result(False)

    def _take_note(self, began: float, now: float) -> None:
        """Take note of an answer: of how many are borne, and of whether a hint was too long."""
        if self._rejected_at <= began and now < self._told_until:
            self._is_hint_false = True
        if not self._room:
            # Nobody is let in: those inside are those that the server took.
            self._borne = max(self._borne, self._in_flight)
            if self._pause.nudge():
                self._resume_later()

    def _grow(self, era: int) -> None:
        # A reply from before the last decrease, or while there was room to spare, does not say that more is
        # borne.
        if era == self._era and self._in_flight >= self._room:
            self._limit = min(float(self._highest), self._limit + 1.0 / (self._limit * self._slowness()))
            if self._room:
                self._room = self.limit
            if self._limit >= self._told * _TOLD_AT_GROWTH or self._limit == self._highest:
                self._report("grown")

    def _slowness(self) -> float:
        return self._caution if self._limit >= self._borne else 1.0

    def _yield_to(self, error: TransientError, era: int, began: float, *, is_probe: bool) -> None:
        are_too_many = self._pause.covers(error) and self._are_too_many(error, began)
        # That a probe fails says that it came too early, not that there were too many.
        if error.kind in OVERLOAD and era == self._era and not is_probe:
            self._shrink(error.kind, self._borne if are_too_many else 0)
        # Who was sent before a probe was answered knows less than that.
        if not are_too_many and began >= self._probed_at and self._pause.heed(error) and self._room:
            self._room = 0
            self._paused_in = asyncio.get_running_loop()
            self._say(0, "paused")
            self._resume_later()
        if self._pause.covers(error):
            # Whoever tries again waits here, as long as it takes and no longer.
            error.retry_after_s = None

    def _are_too_many(self, error: TransientError, began: float) -> bool:
        """Say whether a rejection means that too many are inside, whatever it says of the time."""
        if began < self._rejected_at:
            # Of the same burst as one before: it adds nothing, but to a pause.
            return bool(self._room) and self._caution > 1.0
        was_false, self._is_hint_false = self._is_hint_false, False
        now = asyncio.get_running_loop().time()
        self._rejected_at, self._told_until = now, now + (error.retry_after_s or 0.0)
        self._crowd = self._in_flight
        if was_false and self._room:
            self._borne = max(1, min(self._borne, self._in_flight - 1))
            self._caution = min(self._caution * 2.0, _MOST_CAUTION)
        else:
            self._caution = 1.0
        return self._caution > 1.0

    def _shrink(self, reason: str, borne: int) -> None:
        # Calls of the same era saw the same overload: it counts once.
        self._era += 1
        if self._limit > self._lowest:
            self._limit = max(float(self._lowest), self._limit / 2.0, min(self._limit - 1.0, borne))
            self._room = min(self._room, self.limit)
            self._report(reason)

    def _resume_later(self) -> None:
        """Resume when the pause is over, and send probes meanwhile; it may become longer."""
        left_s = self._pause.left_s()
        if left_s <= 0.0:
            self._resume()
            return
        if self._pause.probe_in_s() <= 0.0:
            self._send_probe()
        probe_s = self._pause.probe_in_s()
        self._wake_in(min(left_s, probe_s) if probe_s > 0.0 else left_s)

    def _wake_in(self, wait_s: float) -> None:
        if self._waker is not None:
            self._waker.cancel()
        self._waker = asyncio.get_running_loop().call_later(wait_s, self._resume_later)

    def _send_probe(self) -> None:
        """Let in the first who waits; if nobody does, whoever comes next is let in."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                self._in_flight += 1
                self._pause.begin_probe()
                place.set_result(True)
                return

    def _end_probe(self, error: BaseException | None) -> None:
        """Resume if the server answered, be it by a refusal of that one request."""
        is_answered = error is None or isinstance(error, RequestRejected)
        self._pause.end_probe(is_answered=is_answered)
        if is_answered:
            self._probed_at = asyncio.get_running_loop().time()
            if 0 < self._borne < self._crowd:
                self._limit = max(float(self._lowest), min(self._limit, float(self._borne)))
        if not self._room:
            self._resume_later()

    def _resume(self) -> None:
        if self._waker is not None:
            self._waker.cancel()
        self._room = self.limit
        self._admit()
        self._say(self._room, "resumed")

    def _report(self, reason: str) -> None:
        self._told = self._limit
        self._say(self.limit, reason)

    def _say(self, limit: int, reason: str) -> None:
        if self._tell is not None:
            self._tell(LimitChange(limit, reason))
