"""Try again what can succeed on another try, bounded in number and time.

tenacity is entered only after a first failure: wrapped around every call it costs 14-29 us a call.
"""

from __future__ import annotations

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import TransientError


class Retry:
    """Answers by `inner`, again after a `TransientError`.

    The wait is the longer of the server's own hint and a random exponential one.

    Args:
        inner: The backend tried.
        max_attempts: Calls made for one request at most, >= 1.
        max_wait_s: Longest wait between two tries, unless the server asks for longer.
        give_up_after_s: No further try after this many seconds.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        max_attempts: int = 6,
        max_wait_s: float = 60.0,
        give_up_after_s: float = 900.0,
    ) -> None:
        self._inner = inner
        self._jitter = wait_random_exponential(multiplier=0.5, max=max_wait_s)
        self._retrying = AsyncRetrying(
            stop=stop_after_attempt(max_attempts) | stop_after_delay(give_up_after_s),
            wait=self._wait,
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        )

    @property
    def name(self) -> str:
        """The plug-in's name."""
        return self._inner.name

    @property
    def model_name(self) -> str:
        """The language model asked."""
        return self._inner.model_name

    async def complete(self, request: Request) -> Reply:
        """Answer `request`; the reply or the error says how many attempts it took, and why."""
        try:
            return await self._inner.complete(request)
        except TransientError as error:
            return await self._again(request, error)

    async def aclose(self) -> None:
        """Close the inner backend."""
        await self._inner.aclose()

    async def _again(self, request: Request, first: TransientError) -> Reply:
        failures: list[TransientError] = []
        pending: list[TransientError] = [first]

        async def attempt() -> Reply:
            try:
                if pending:
                    raise pending.pop()
                return await self._inner.complete(request)
            except TransientError as error:
                failures.append(error)
                raise

        try:
            # Each request has a copy of its own: a shared AsyncRetrying mixes up concurrent calls.
            reply = await self._retrying.copy()(attempt)
        except TransientError as error:
            error.attempts = len(failures)
            error.troubles = tuple(failure.kind for failure in failures[:-1])
            raise
        except BaseException as error:
            _note(error, failures)
            raise
        return reply._replace(
            attempts=reply.attempts + len(failures), troubles=tuple(failure.kind for failure in failures)
        )

    def _wait(self, state: RetryCallState) -> float:
        """Wait as long as the server asks, or longer by chance. Synchronous: tenacity wants it so."""
        hint = None
        if state.outcome is not None and isinstance(error := state.outcome.exception(), TransientError):
            hint = error.retry_after_s
            if hint == 0:
                return 0.0
        return max(hint or 0.0, float(self._jitter(state)))


def _note(error: BaseException, failures: list[TransientError]) -> None:
    """Tell an error that ends the tries for good how many went before it."""
    if hasattr(error, "attempts"):
        error.attempts += len(failures)
        error.troubles = tuple(failure.kind for failure in failures)
