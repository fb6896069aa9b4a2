"""Try a server before it gets all that a run asks: the run's own first request goes alone.

What a server refuses is found out by one request so, not by as many as are in flight, and no call is made
that the run does not need. Where the backend can (`agentnet.backend.Adapts`), it looks for the part that is
refused. Refusals that come later are looked into as well: of a temperature that other draws do not have, say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Final

from agentnet.backend import Adapts, Backend, Reply, Request
from agentnet.errors import BackendError, BackendUnusable, RequestRejected, TransientError
from agentnet.stack.wrapper import Wrapper

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
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._is_open = False
        self._unusable: BackendUnusable | None = None
        self._trial: asyncio.Future[None] | None = None

    async def complete(self, request: Request) -> Reply:
        """Answer `request`, once another one was answered.

        Raises:
            BackendUnusable: The first request found out that the backend is.
            BackendError: As `inner`.
        """
        while not self._is_open:
            trial, loop = self._trial, asyncio.get_running_loop()
            # A trial whose event loop is gone will never end.
            if trial is None or trial.get_loop() is not loop:
                return await self._try(request, loop.create_future())
            await asyncio.wait([trial])
            if self._unusable is not None:
                raise copy(self._unusable)
        return await self._inner.complete(request)

    async def _try(self, request: Request, trial: asyncio.Future[None]) -> Reply:
        self._trial = trial
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
            self._trial = None
            trial.set_result(None)


class Adapting(Wrapper):
    """Has the backend find out what of a request its server refuses, and sends it again if that helps.

    A failure that another try may cure is looked into if nothing was answered yet and it came twice: servers
    fail over fields that they do not know, too.

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
            return reply
        async with self._lock():
            return await self._again(request, failure, n_changes)

    def _is_worth_a_look(self, error: BackendError) -> bool:
        if self._n_in_vain >= _MOST_IN_VAIN:
            return False
        if not isinstance(error, TransientError):
            return True
        self._n_failures += 1
        return not self._has_answered and self._n_failures >= _MOST_FAILURES

    async def _again(self, request: Request, error: BackendError, n_changes: int) -> Reply:
        """Send `request` again, if something was found out meanwhile or is now."""
        if self._unusable is not None:
            raise copy(self._unusable)
        experiment, n_before = _Experiment(self._inner), error.attempts
        try:
            if n_changes == self._n_changes:
                await self._adapt(request, error, experiment)
            reply = await experiment.repeat(request)
        except BackendError as failure:
            if isinstance(failure, BackendUnusable):
                self._unusable = failure
            failure.attempts = n_before + experiment.n_calls + experiment.n_repeats
            failure.troubles = (*failure.troubles, *experiment.troubles)
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
        if not (
            isinstance(error, TransientError) and experiment.n_calls and self._n_failures > _MOST_FAILURES
        ):
            return error
        return BackendUnusable(
            f"{error}; the server has answered nothing yet, and fails too on a request with nothing in it "
            "that could be left out: look at what it says of itself, then resume",
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
    """Counts the calls of an experiment, and the tokens of their replies."""

    inner: Backend
    n_calls: int = 0
    n_repeats: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    async def ask(self, request: Request) -> Reply:
        """Send a variation of the request."""
        self.n_calls += 1
        reply = await self.inner.complete(request)
        self.prompt_tokens += reply.prompt_tokens or 0
        self.completion_tokens += reply.completion_tokens or 0
        return reply

    async def repeat(self, request: Request) -> Reply:
        """Send the request itself again."""
        self.n_repeats += 1
        return await self.inner.complete(request)

    def charge(self, reply: Reply, error: BackendError) -> Reply:
        """Put on `reply` what it took to get it, after `error`."""
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        return reply._replace(
            prompt_tokens=None if prompt is None else prompt + self.prompt_tokens,
            completion_tokens=None if completion is None else completion + self.completion_tokens,
            attempts=reply.attempts + error.attempts + self.n_calls,
            troubles=(error.kind, *self.troubles, *reply.troubles),
        )

    @property
    def troubles(self) -> tuple[str, ...]:
        return (_TROUBLE,) * self.n_calls
