"""Try again what can succeed on another try, bounded in number and time.

tenacity is entered only after a first failure: wrapped around every call it costs 14-29 us a call.
"""

from __future__ import annotations

import asyncio
import time
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
from agentnet.stack.cost import Cost
from agentnet.stack.halt import Halt
from agentnet.stack.overload import MOMENTS, PATIENT
from agentnet.stack.wrapper import Wrapper
from agentnet.streams import mix, unit

_FIRST_WAIT_S: Final = 1.0


class Retry(Wrapper):
    """Answers by `inner`, again after a `TransientError`.

    The n-th wait is the longer of the server's own hint and a random one between a half and the whole of
    2^(n-1) seconds, the whole being `max_wait_s` at most. All else is raised as it is, and so is the last
    error. Replies and errors tell the number of attempts and the kinds of trouble before the last.

    A server that is away, busy or being started is no trouble of one request: once it has answered, or if it
    says itself that it is loading or busy, its return is waited for as long as allowed, however many attempts
    it takes. If it stays away, or asks to be left alone for longer than that, the backend is unusable: no
    answer is missing.

    Args:
        inner: The backend tried.
        max_attempts: Calls made for one request at most, >= 1; attempts that met a trouble of the moment
            (`agentnet.stack.overload.MOMENTS`) at a server which has answered before do not count.
        max_wait_s: Longest wait between two attempts, in seconds, unless the server asks for longer.
        give_up_after_s: No attempt begins later than this after the first failure, in seconds. Waits for
            permits do not count: they say nothing of the server's trouble.
        halt: Ends the waits between attempts; one of its own if not given.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        max_attempts: int = 6,
        max_wait_s: float = 60.0,
        give_up_after_s: float = 900.0,
        halt: Halt | None = None,
    ) -> None:
        super().__init__(inner)
        self._exponential = wait_exponential(multiplier=_FIRST_WAIT_S, max=max_wait_s)
        self._max_attempts, self._give_up_after_s = max_attempts, give_up_after_s
        self._waits = count()
        self._n_answered = 0
        self._retrying = AsyncRetrying(
            sleep=(Halt() if halt is None else halt).sleep,
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        )

    async def complete(self, request: Request) -> Reply:
        """Answer `request`.

        Raises:
            TransientError: The last attempt's, after as many attempts or as long as allowed.
            BackendUnusable: The server was away, up to the last attempt, or wants to be left alone too long.
            BackendError: What trying again cannot help.
            RunStopped: The next attempt met a bound of the run.
        """
        try:
            reply = await self._inner.complete(request)
        except TransientError as error:
            reply = await self._again(request, error)
        self._n_answered += 1
        return reply

    async def _again(self, request: Request, first: TransientError) -> Reply:
        tries = _Tries(
            request,
            self._inner.complete,
            [first],
            self._jittered_s,
            self._max_attempts,
            self._give_up_after_s,
            lambda: self._n_answered,
            self._n_answered,
        )
        # A copy for each request: a shared AsyncRetrying mixes up concurrent calls. Its hooks are
        # synchronous: with awaiting ones it returned None for nearly every call.
        retrying = self._retrying.copy(wait=tries.wait_s, stop=tries.are_over)
        try:
            reply: Reply = await retrying(tries.attempt)
        except (BackendError, RunStopped) as error:
            tries.account(error)
            unusable = tries.away(error) if isinstance(error, TransientError) else None
            if unusable is not None:
                raise unusable from None
            raise
        cost = tries.cost.and_of(reply)
        return reply._replace(**cost._asdict(), troubles=(*tries.kinds, *reply.troubles))

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
        n_answered: Tells how many requests the server has answered.
        n_before: How many these were when this one failed first.
        busy_s: How long the attempts after the first took, in seconds.
        is_begun: Whether the first error was raised again.
    """

    request: Request
    complete: Callable[[Request], Awaitable[Reply]]
    failures: list[TransientError]
    jittered_s: Callable[[RetryCallState, int], float]
    max_attempts: int
    give_up_after_s: float
    n_answered: Callable[[], int]
    n_before: int
    busy_s: float = 0.0
    is_begun: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for failure in self.failures for kind in (*failure.troubles, failure.kind))

    @property
    def cost(self) -> Cost:
        """What the attempts so far took; those that reached nobody are no calls."""
        return Cost.of_all(self.failures)

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
        if self._is_waited_for(self.failures[-1]):
            return False
        return sum(not self._is_waited_for(failure) for failure in self.failures) >= self.max_attempts

    def _is_waited_for(self, failure: TransientError) -> bool:
        return failure.kind in PATIENT or (_is_of_a_moment(failure) and self.n_answered() > 0)

    def away(self, error: TransientError) -> BackendUnusable | None:
        """Make the error that stops the run if it is the server that is away, with what `error` was told.

        A server that answered others meanwhile is there: then the trouble may be this request's own.
        """
        hint_s = error.retry_after_s or 0.0
        if hint_s > self.give_up_after_s:
            words = (
                f"{error}; it wants to be left alone until {_local_time(hint_s)}, which is longer than "
                f"stack.give_up_after_s = {self.give_up_after_s:g} s: resume the run then"
            )
        elif _is_of_a_moment(error) and self.n_answered() == self.n_before:
            words = f"{error}; tried {len(self.failures)} times: resume the run when the server is back"
        else:
            return None
        unusable = BackendUnusable(words, kind=error.kind)
        Cost.of(error).put_on(unusable)
        unusable.troubles = error.troubles
        return unusable

    def account(self, error: BackendError | RunStopped) -> None:
        """Tell the error that ends the attempts how many there were, and how those before it failed."""
        cost, kinds = self.cost, self.kinds
        if isinstance(error, RunStopped | BackendUnusable):
            # One such error may be raised to many requests: nothing adds up on it, and no draw bears it.
            was_sent = isinstance(error, BackendUnusable) and error.attempts > 0
            error.attempts, error.troubles = cost.attempts + was_sent, kinds
        elif isinstance(error, TransientError):
            cost.put_on(error)
            error.troubles = kinds[:-1]
        else:
            cost.and_of(error).put_on(error)
            error.troubles = (*kinds, *error.troubles)


def _is_of_a_moment(failure: TransientError) -> bool:
    return isinstance(failure, ServerUnreachable) or failure.kind in MOMENTS


def _local_time(from_now_s: float) -> str:
    """Name a time that is still to come, by this machine's clock; with the day if it is not today."""
    then = time.localtime(time.time() + from_now_s)
    is_today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S", then)
