"""Try again what can succeed on another try, bounded in number and time.

tenacity is entered only after a first failure: wrapped around every call it costs 14-29 us a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_exponential,
)

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendError, BackendUnusable, RunStopped, ServerUnreachable, TransientError
from agentnet.stack.wrapper import Wrapper
from agentnet.streams import mix, unit

_FIRST_WAIT_S: Final = 1.0


class Retry(Wrapper):
    """Answers by `inner`, again after a `TransientError`.

    The n-th wait is the longer of the server's own hint and a random one between a half and the whole of
    2^(n-1) seconds, the whole being `max_wait_s` at most. All else is raised as it is, and so is the last
    error. Replies and errors tell the number of attempts and the kinds of trouble before the last.

    A server that cannot be reached at all is no trouble of one request: once it has answered, its return is
    waited for as long as allowed, however many attempts it takes. If it stays away, the backend is unusable.

    Args:
        inner: The backend tried.
        max_attempts: Calls made for one request at most, >= 1; attempts that do not reach a server which has
            answered before do not count.
        max_wait_s: Longest wait between two attempts, in seconds, unless the server asks for longer.
        give_up_after_s: No attempt begins later than this after the first failure, in seconds. Waits for
            permits do not count: they say nothing of the server's trouble.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        max_attempts: int = 6,
        max_wait_s: float = 60.0,
        give_up_after_s: float = 900.0,
    ) -> None:
        super().__init__(inner)
        self._exponential = wait_exponential(multiplier=_FIRST_WAIT_S, max=max_wait_s)
        self._max_attempts, self._give_up_after_s = max_attempts, give_up_after_s
        self._waits = count()
        self._has_answered = False
        self._retrying = AsyncRetrying(retry=retry_if_exception_type(TransientError), reraise=True)

    async def complete(self, request: Request) -> Reply:
        """Answer `request`.

        Raises:
            TransientError: The last attempt's, after as many attempts or as long as allowed.
            BackendUnusable: No server could be reached, up to the last attempt.
            BackendError: What trying again cannot help.
            RunStopped: The next attempt met a bound of the run.
        """
        try:
            reply = await self._inner.complete(request)
        except TransientError as error:
            reply = await self._again(request, error)
        self._has_answered = True
        return reply

    async def _again(self, request: Request, first: TransientError) -> Reply:
        tries = _Tries(
            request,
            self._inner.complete,
            [first],
            self._jittered_s,
            self._max_attempts,
            self._give_up_after_s,
            lambda: self._has_answered,
        )
        # A copy for each request: a shared AsyncRetrying mixes up concurrent calls. Its hooks are
        # synchronous: with awaiting ones it returned None for nearly every call.
        retrying = self._retrying.copy(wait=tries.wait_s, stop=tries.are_over)
        try:
            reply: Reply = await retrying(tries.attempt)
        except (BackendError, RunStopped) as error:
            tries.account(error)
            if isinstance(error, ServerUnreachable):
                raise tries.nobody_there(error) from None
            raise
        return reply._replace(
            attempts=reply.attempts + len(tries.failures), troubles=(*tries.kinds, *reply.troubles)
        )

    def _jittered_s(self, state: RetryCallState, seed: int) -> float:
        # The request's seed keeps processes apart that share a server, the number the waits of one process.
        chance = unit(mix(seed, next(self._waits)))
        return self._exponential(state) * (0.5 + 0.5 * chance)


@dataclass(slots=True)
class _Tries:
    """What became of one request so far; its methods are the hooks of tenacity.

    Attributes:
        request: The request.
        complete: Makes one attempt.
        failures: The errors of the attempts so far; the first of them is raised once more to begin with.
        jittered_s: Draws a wait.
        max_attempts: See `Retry`.
        give_up_after_s: See `Retry`.
        has_answered: Tells whether the server ever answered.
        busy_s: How long the attempts after the first took, in seconds.
        is_begun: Whether the first error was raised again.
    """

    request: Request
    complete: Callable[[Request], Awaitable[Reply]]
    failures: list[TransientError]
    jittered_s: Callable[[RetryCallState, int], float]
    max_attempts: int
    give_up_after_s: float
    has_answered: Callable[[], bool]
    busy_s: float = 0.0
    is_begun: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(failure.kind for failure in self.failures)

    async def attempt(self) -> Reply:
        if not self.is_begun:
            self.is_begun = True
            raise self.failures[0]
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await self.complete(self.request)
        except TransientError as error:
            self.failures.append(error)
            self.busy_s += clock() - began if error.took_s is None else error.took_s
            raise

    def wait_s(self, state: RetryCallState) -> float:
        hint_s = self.failures[-1].retry_after_s
        jittered_s = self.jittered_s(state, self.request.seed)
        # Written so that NaN is no hint.
        return hint_s if hint_s is not None and hint_s > jittered_s else jittered_s

    def are_over(self, state: RetryCallState) -> bool:
        until_next_s = self.busy_s + state.idle_for + state.upcoming_sleep
        if until_next_s > self.give_up_after_s:
            return True
        counted = self.failures
        if self.has_answered():
            counted = [failure for failure in counted if not isinstance(failure, ServerUnreachable)]
            if isinstance(self.failures[-1], ServerUnreachable):
                return False
        return len(counted) >= self.max_attempts

    def nobody_there(self, error: ServerUnreachable) -> BackendUnusable:
        """Make the error that stops the run for want of a server, with what `error` was told of attempts."""
        words = f"{error}; tried {error.attempts} times: resume the run when the server is back"
        unusable = BackendUnusable(words, kind=error.kind)
        unusable.attempts, unusable.troubles = error.attempts, error.troubles
        return unusable

    def account(self, error: BackendError | RunStopped) -> None:
        """Tell the error that ends the attempts how many there were, and how those before it failed."""
        error.attempts, error.troubles = len(self.failures), self.kinds
        if isinstance(error, TransientError):
            error.troubles = self.kinds[:-1]
        elif isinstance(error, BackendError):
            error.attempts += 1
