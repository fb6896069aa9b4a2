"""What calls took, added up on whoever they were made for: so sums over all draws are those of all calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agentnet.backend import Reply
from agentnet.errors import BackendError


class Cost(NamedTuple):
    """What calls took.

    Attributes:
        attempts: Their number.
        prompt_tokens: Tokens in; None if nobody told.
        completion_tokens: Tokens out, likewise.
    """

    attempts: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @classmethod
    def of(cls, outcome: Reply | BackendError) -> Cost:
        """Read what stands on a reply or an error."""
        return cls(outcome.attempts, outcome.prompt_tokens, outcome.completion_tokens)

    @classmethod
    def of_all(cls, outcomes: Iterable[Reply | BackendError]) -> Cost:
        """Add up what stands on several."""
        total = cls()
        for outcome in outcomes:
            total = total.and_of(outcome)
        return total

    def and_of(self, outcome: Reply | BackendError) -> Cost:
        """Add what stands on a reply or an error."""
        return self.plus(Cost.of(outcome))

    def plus(self, other: Cost) -> Cost:
        """Add another cost."""
        attempts, prompt, completion = (
            a if b is None else b + (a or 0) for a, b in zip(self, other, strict=True)
        )
        return Cost(attempts or 0, prompt, completion)

    def put_on(self, error: BackendError) -> None:
        """Write it on an error, in place of what stands there."""
        error.attempts, error.prompt_tokens, error.completion_tokens = self
