"""Try again what can succeed on another try, bounded in number and time.

tenacity is entered only after a first failure: wrapped around every call it costs 14-29 us a call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final, Generic, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agentnet.backend import AtOnce, Backend, Reply, Request, Wave, Wrapper, answer_now
from agentnet.cost import Cost
from agentnet.errors import BackendError, BackendUnusable, RunStopped, ServerUnreachable, TransientError
from agentnet.stack.halt import Halt
from agentnet.stack.overload import MOMENTS, PATIENT
from agentnet.streams import mix, unit

_FIRST_WAIT_S: Final = 1.0

_NEVER_S: Final = 1e10
"""Three centuries: calendars end somewhere beyond."""

T = TypeVar("T")


class Retry(Wrapper):
    """Answers by `inner`, again after a `TransientError`.

    Between attempts it waits as `Tries` does. All else is raised as it is, and so is the last error. Replies
    and errors tell the number of attempts and the kinds of trouble before the last.

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
        self._bounds = max_attempts, max_wait_s, give_up_after_s
        self._waits = count()
        self._n_answered = 0
        self._sleep = (Halt() if halt is None else halt).sleep

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

    def answer_now(self, wave: Wave) -> AtOnce | None:
        """Answer at once what `inner` does."""
        found = answer_now(self._inner, wave)
        self._n_answered += len(wave.which) if found else 0
        return found

    async def _again(self, request: Request, first: TransientError) -> Reply:
        tries = _Asked(
            partial(self._inner.complete, request),
            [first],
            # The request's seed keeps processes apart that share a server, the number one process's waits.
            lambda: unit(mix(request.seed, next(self._waits))),
            *self._bounds,
            n_answered=lambda: self._n_answered,
            n_before=self._n_answered,
        )
        try:
            reply = await tries.to_the_end(self._sleep)
        except (BackendError, RunStopped) as error:
            tries.account(error)
            unusable = tries.away(error) if isinstance(error, TransientError) else None
            if unusable is not None:
                raise unusable from None
            raise
        cost = tries.cost.and_of(reply)
        return reply._replace(**cost._asdict(), troubles=(*tries.kinds, *reply.troubles))


@dataclass(slots=True)
class Tries(Generic[T]):
    """What became of one call so far; its methods are the hooks of tenacity.

    The n-th wait is the longer of the server's own hint and a random one between a half and the whole of
    2^(n-1) seconds, the whole being `max_wait_s` at most.

    Attributes:
        call: Makes one attempt.
        failures: The errors of the attempts so far; the first of them is raised once more to begin with.
        chance: Draws a number of [0, 1) for a wait.
        max_attempts: Attempts that count at most, the first included, >= 1.
        max_wait_s: Longest wait, in seconds, unless the server asks for longer.
        give_up_after_s: No attempt begins later than this after the first failure, in seconds.
        busy_s: How long the attempts after the first took, in seconds.
        is_begun: Whether the first error was raised again.
    """

    call: Callable[[], Awaitable[T]]
    failures: list[TransientError]
    chance: Callable[[], float]
    max_attempts: int
    max_wait_s: float
    give_up_after_s: float
    busy_s: float = field(default=0.0, kw_only=True)
    is_begun: bool = field(default=False, kw_only=True)

    async def to_the_end(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> T:
        """Try until an attempt succeeds, or enough have failed.

        Raises:
            TransientError: The last attempt's.
            Exception: What trying again cannot help.
        """
        # One for each call: a shared AsyncRetrying mixes up concurrent ones. Its hooks are synchronous: with
        # awaiting ones it returned None for nearly every call.
        retrying = AsyncRetrying(
            sleep=sleep,
            retry=retry_if_exception_type(TransientError),
            wait=self._wait_s,
            stop=self._are_over,
            reraise=True,
        )
        # Annotated: tenacity's own type for this is lost in its decorators.
        found: T = await retrying(self._attempt)
        return found

    def counts(self, failure: TransientError) -> bool:  # noqa: ARG002 - for those who tell them apart
        """Say whether a failed attempt is one of `max_attempts`."""
        return True

    async def _attempt(self) -> T:
        if not self.is_begun:
            self.is_begun = True
            raise self.failures[0]
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await self.call()
        except TransientError as error:
            self.failures.append(error)
            self.busy_s += clock() - began if error.took_s is None else error.took_s
            raise

    def _wait_s(self, state: RetryCallState) -> float:
        whole_s = min(_FIRST_WAIT_S * 2.0 ** min(state.attempt_number - 1, 60), self.max_wait_s)
        jittered_s = whole_s * (0.5 + 0.5 * self.chance())
        hint_s = self.failures[-1].retry_after_s
        # Written so that NaN is no hint.
        return hint_s if hint_s is not None and hint_s > jittered_s else jittered_s

    def _are_over(self, state: RetryCallState) -> bool:
        until_next_s = self.busy_s + state.idle_for + state.upcoming_sleep
        if until_next_s > self.give_up_after_s:
            return True
        return self.counts(self.failures[-1]) and sum(map(self.counts, self.failures)) >= self.max_attempts


@dataclass(slots=True, kw_only=True)
class _Asked(Tries[Reply]):
    """What became of one request.

    Attributes:
        n_answered: Tells how many requests the server has answered.
        n_before: How many these were when this one failed first.
    """

    n_answered: Callable[[], int]
    n_before: int

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for failure in self.failures for kind in (*failure.troubles, failure.kind))

    @property
    def cost(self) -> Cost:
        """What the attempts so far took; those that reached nobody are no calls."""
        return Cost.of_all(self.failures)

    def counts(self, failure: TransientError) -> bool:
        """Say whether it was the request's own trouble, and no server's that is waited for."""
        return not (failure.kind in PATIENT or (_is_of_a_moment(failure) and self.n_answered() > 0))

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
    if from_now_s > _NEVER_S:
        return "centuries from now"
    then = time.localtime(time.time() + from_now_s)
    is_today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S", then)
