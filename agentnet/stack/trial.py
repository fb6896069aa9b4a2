"""Try a server before it gets all that a run asks: the run's own first request goes alone.

What a server refuses is found out by one request so, not by as many as are in flight, and no call is made
that the run does not need. Where the backend can (`agentnet.backend.Adapts`), it looks for the part that is
refused. Refusals that come later are looked into as well: of a temperature that other draws do not have, say;
and replies that are cut off, or do not tell the odds that they were asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final

from agentnet.backend import Adapts, Backend, Reply, Request, Wrapper, is_wanting
from agentnet.cost import Cost
from agentnet.errors import (
    BackendError,
    BackendUnusable,
    RequestRejected,
    ServerUnreachable,
    TransientError,
)
from agentnet.stack.halt import Halt
from agentnet.stack.overload import MOMENTS, OVERLOAD

_TROUBLE: Final = "trial"
"""The kind of trouble that each call of an experiment counts as."""

_MOST_IN_VAIN: Final = 20
"""Experiments of a sitting that may find nothing: a filter refuses texts, and each of them is a call."""

_MOST_FAILURES: Final = 2


class FirstAlone(Wrapper):
    """Lets one request at a time into `inner` until one is answered; then all.

    A request that is rejected says nothing of the others: the next one goes alone as well. If the backend is
    unusable, nobody asks it any more. Any other failure lets the others in.

    Args:
        inner: The backend that is tried.
        halt: Ends the wait in the line; one of its own if not given.
    """

    def __init__(self, inner: Backend, *, halt: Halt | None = None) -> None:
        super().__init__(inner)
        self._halt = Halt() if halt is None else halt
        self._is_open = False
        self._unusable: BackendUnusable | None = None
        self._tries_in: asyncio.AbstractEventLoop | None = None
        self._line: deque[asyncio.Future[None]] = deque()

    def complete(self, request: Request) -> Coroutine[Any, Any, Reply]:
        """Answer `request`, once another one was answered.

        Raises:
            BackendUnusable: The first request found out that the backend is.
            BackendError: As `inner`.
        """
        return self._inner.complete(request) if self._is_open else self._in_turn(request)

    async def _in_turn(self, request: Request) -> Reply:
        while not self._is_open:
            loop = asyncio.get_running_loop()
            # A trial whose event loop is gone will never end.
            if self._tries_in is not loop:
                return await self._try(request, loop)
            place: asyncio.Future[None] = loop.create_future()
            self._line.append(place)
            await self._halt.wait(place)
            if self._unusable is not None:
                raise copy(self._unusable)
        return await self._inner.complete(request)

    async def _try(self, request: Request, loop: asyncio.AbstractEventLoop) -> Reply:
        self._tries_in = loop
        try:
            reply = await self._inner.complete(request)
        except BackendUnusable as error:
            self._unusable = error
            raise
        except BackendError as error:
            self._is_open = not isinstance(error, RequestRejected)
            raise
        else:
            self._is_open = True
            return reply
        finally:
            self._tries_in = None
            self._call_up()

    def _call_up(self) -> None:
        """Wake everybody; whoever comes first goes alone, if that is still to be."""
        line, self._line = self._line, deque()
        for place in line:
            if not place.done() and place.get_loop() is asyncio.get_running_loop():
                place.set_result(None)


class Adapting(Wrapper):
    """Has the backend find out what of a request its server refuses, and sends it again if that helps.

    A failure that another try may cure, and that belongs to no moment (`agentnet.stack.overload.MOMENTS`), is
    looked into if nothing was answered yet and it came twice: servers fail over fields that they do not know,
    too. The third ends the run: who answers in the form of another protocol, say, never will be understood.

    Args:
        inner: What bounds and counts the backend's calls.
        backend: The backend.
        tell: Called with what is done otherwise from now on, in sentences.
    """

    def __init__(self, inner: Backend, backend: Adapts, tell: Callable[[tuple[str, ...]], None]) -> None:
        super().__init__(inner)
        self._backend = backend
        self._tell = tell
        self._has_answered = False
        self._n_failures = 0
        self._n_in_vain = 0
        self._n_changes = 0
        self._unusable: BackendUnusable | None = None
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    async def complete(self, request: Request) -> Reply:
        """Answer `request`.

        Raises:
            BackendUnusable: Its server refuses a part that only people can decide to do without, or answers
                nothing at all.
            BackendError: As `inner`.
        """
        n_changes = self._n_changes
        try:
            reply = await self._inner.complete(request)
        except BackendError as error:
            if not self._is_worth_a_look(error):
                raise
            failure = error
        else:
            self._has_answered = True
            if self._n_in_vain >= _MOST_IN_VAIN or not is_wanting(request, reply):
                return reply
            return await self._in_full(request, reply, n_changes)
        async with self._lock():
            return await self._again(request, failure, n_changes)

    async def _in_full(self, request: Request, reply: Reply, n_changes: int) -> Reply:
        """Send `request` again if it is put otherwise from now on, so that the reply wants nothing."""
        experiment = _Experiment(self._inner)
        try:
            async with self._lock():
                if n_changes == self._n_changes and not await self._is_changed(request, reply, experiment):
                    return experiment.charge(reply)
            again = await experiment.repeat(request)
        except TransientError as error:
            # The reply is there, whatever it lacks.
            return experiment.charge(reply, error)
        return experiment.charge(again, reply)

    async def _is_changed(self, request: Request, reply: Reply, experiment: _Experiment) -> bool:
        changes = await self._backend.adapt(request, reply, experiment.ask)
        if changes:
            self._n_changes += 1
            self._tell(changes)
        else:
            self._n_in_vain += experiment.n_calls > 0
        return bool(changes)

    def _is_worth_a_look(self, error: BackendError) -> bool:
        if self._n_in_vain >= _MOST_IN_VAIN:
            return False
        if not isinstance(error, TransientError):
            return True
        if error.kind in MOMENTS | OVERLOAD or isinstance(error, ServerUnreachable):
            return False
        self._n_failures += 1
        return not self._has_answered and self._n_failures >= _MOST_FAILURES

    async def _again(self, request: Request, error: BackendError, n_changes: int) -> Reply:
        """Send `request` again, if something was found out meanwhile or is now."""
        if self._unusable is not None:
            raise copy(self._unusable)
        experiment, before = _Experiment(self._inner), Cost.of(error)
        try:
            if n_changes == self._n_changes:
                await self._adapt(request, error, experiment)
            reply = await experiment.repeat(request)
        except BackendError as failure:
            if isinstance(failure, BackendUnusable):
                self._unusable = failure
            # Unless the request itself was sent again, the failure is the first one, or no call's.
            last = Cost.of(failure) if experiment.is_repeated else Cost()
            before.plus(experiment.cost).plus(last).put_on(failure)
            first = (error.kind,) if experiment.is_repeated else ()
            failure.troubles = (*failure.troubles, *first, *experiment.troubles)
            raise
        self._has_answered = True
        return experiment.charge(reply, error)

    async def _adapt(self, request: Request, error: BackendError, experiment: _Experiment) -> None:
        """Find out what is refused.

        Raises:
            BackendError: Nothing was found, or what was found cannot be done without.
        """
        changes = await self._backend.adapt(request, error, experiment.ask)
        if changes is None:
            raise self._in_vain(error, experiment)
        if changes:
            self._n_changes += 1
            self._tell(changes)

    def _in_vain(self, error: BackendError, experiment: _Experiment) -> BackendError:
        """Give the error that stands where nothing can be left out; it ends a run that was never answered."""
        self._n_in_vain += experiment.n_calls > 0
        if not isinstance(error, TransientError) or self._n_failures <= _MOST_FAILURES:
            return error
        bare = ", and fails too on a request with nothing in it that could be left out"
        what = bare if experiment.n_calls else ""
        return BackendUnusable(
            f"{error}; the server has answered nothing yet{what}: look at what it says of itself, and "
            "whether its address is the right one, then resume",
            kind=error.kind,
        )

    def _lock(self) -> asyncio.Lock:
        """Give the running event loop's lock: experiments go one at a time."""
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn[0] is not loop:
            self._turn = loop, asyncio.Lock()
        return self._turn[1]


@dataclass(slots=True)
class _Experiment:
    """Counts the calls of an experiment, and what they took."""

    inner: Backend
    n_calls: int = 0
    cost: Cost = field(default_factory=Cost)
    is_repeated: bool = False

    async def ask(self, request: Request) -> Reply:
        """Send a variation of the request."""
        self.n_calls += 1
        try:
            reply = await self.inner.complete(request)
        except BackendError as error:
            self.cost = self.cost.and_of(error)
            raise
        self.cost = self.cost.and_of(reply)
        return reply

    async def repeat(self, request: Request) -> Reply:
        """Send the request itself again."""
        self.is_repeated = True
        return await self.inner.complete(request)

    def charge(self, reply: Reply, *others: BackendError | Reply) -> Reply:
        """Put on `reply` what it took to get it, beside `others` that came for the same request."""
        cost = Cost.of_all((*others, reply)).plus(self.cost)
        kinds = (other.kind if isinstance(other, BackendError) else _TROUBLE for other in others)
        return reply._replace(**cost._asdict(), troubles=(*kinds, *self.troubles, *reply.troubles))

    @property
    def troubles(self) -> tuple[str, ...]:
        return (_TROUBLE,) * self.n_calls
