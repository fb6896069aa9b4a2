"""Try a call again after a passing failure; tenacity is entered only then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agentnet.embedder.contract import Vectors
from agentnet.errors import BackendError, TransientError
from agentnet.streams import mix, unit

Call = Callable[[], Awaitable[Vectors]]

_FIRST_WAIT_S: Final = 1.0


class Again(Protocol):
    """What to do after a call failed for the first time."""

    async def __call__(self, call: Call, first: TransientError, seed: int) -> Vectors:
        """Try `call` again, or give up.

        Args:
            call: Makes one attempt.
            first: How the first attempt failed.
            seed: Differs from batch to batch, for the jitter of waits.

        Raises:
            BackendError: The last attempt's.
        """
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries again after ever longer waits.

    The n-th wait is the longer of the server's own hint and a random one between a half and the whole of
    2^(n-1) seconds, the whole being `max_wait_s` at most.

    Attributes:
        max_attempts: Attempts in all, the first one included, >= 1.
        max_wait_s: Longest wait, in seconds, unless the server asks for longer.
        give_up_after_s: No wait begins that would make all waits together longer than this, in seconds.
    """

    max_attempts: int = 6
    max_wait_s: float = 60.0
    give_up_after_s: float = 900.0

    async def __call__(self, call: Call, first: TransientError, seed: int) -> Vectors:
        """Try `call` again until it succeeds or patience ends.

        Raises:
            TransientError: The last attempt's.
            BackendError: What trying again cannot help.
        """
        failures: list[TransientError] = []

        async def attempt() -> Vectors:
            if not failures:
                failures.append(first)
                raise first
            try:
                return await call()
            except TransientError as error:
                failures.append(error)
                raise

        def wait_s(state: RetryCallState) -> float:
            whole_s = min(_FIRST_WAIT_S * 2.0 ** (state.attempt_number - 1), self.max_wait_s)
            jittered_s = whole_s * (0.5 + 0.5 * unit(mix(seed, state.attempt_number)))
            # A hint that is no number counts as none.
            return max(jittered_s, failures[-1].retry_after_s or 0.0)

        def is_over(state: RetryCallState) -> bool:
            waits_s = state.idle_for + state.upcoming_sleep
            return state.attempt_number >= self.max_attempts or waits_s > self.give_up_after_s

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TransientError), wait=wait_s, stop=is_over, reraise=True
        )
        try:
            # Annotated: tenacity's own type for this is lost in its decorators.
            vectors: Vectors = await retrying(attempt)
        except BackendError as error:
            earlier = [failure for failure in failures if failure is not error]
            error.attempts, error.troubles = len(earlier) + 1, tuple(each.kind for each in earlier)
            raise
        return vectors
