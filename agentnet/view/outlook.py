"""What is known of the rest of a run, from counts of it so far: for its progress line, and for its page."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

_RATE_OVER_S: Final = 10.0


class Counts(Protocol):
    """What is counted of a run.

    Attributes:
        n_decisions: Decisions answered or missing.
        n_settled: Those of the realizations that ended.
        n_calls: Calls made.
        realizations: Realizations that ended.
    """

    n_decisions: int
    n_settled: int
    n_calls: int
    realizations: int


Guess = tuple[float, int]
"""What a run takes, as guessed before any realization has ended: decisions of one, calls of all."""

C = TypeVar("C", bound=Counts)


@dataclass(slots=True)
class Outlook(Generic[C]):
    """What is known of the rest of a run.

    Attributes:
        tally: The run's counts.
        n_realizations: Its realizations.
        exact: Its decisions, where the design fixes them.
        share_calls: Whether many decisions come of one call, so that calls are what takes time.
        guess: What was guessed before any realization was finished; None: nobody did.
        clock: Gives the time, in seconds.
        noun: What its answers are called.
        told: Says of the worlds' counts what else is to be told: (how much it matters, words).
    """

    tally: C
    n_realizations: int
    exact: int | None = None
    share_calls: bool = False
    guess: Guess | None = None
    clock: Callable[[], float] = time.monotonic
    noun: str = "decisions"
    told: Callable[[Mapping[str, int]], Sequence[tuple[int, str]]] = lambda _: ()
    _seen: deque[tuple[float, int, int]] = field(default_factory=deque)

    def look(self) -> None:
        """Take note of how far the run is; the rate is that of the last seconds."""
        now = self.clock()
        self._seen.append((now, self.tally.n_decisions, self.tally.n_calls))
        while now - self._seen[0][0] > _RATE_OVER_S:
            self._seen.popleft()

    def expected(self) -> int | None:
        """Estimate the decisions of the whole run; None if nobody knows.

        Cascades that die early are finished first, so a guess made beforehand counts like one of them. Where
        those that still run have more already, the estimate was wrong, and foretells nothing.
        """
        if self.exact is not None:
            return self.exact
        tally, guess = self.tally, self.guess
        n_known = tally.realizations + (guess is not None)
        if not n_known:
            return None
        if tally.realizations == self.n_realizations:
            return tally.n_decisions
        each = (tally.n_settled + (guess[0] if guess else 0.0)) / n_known
        estimated = round(each * self.n_realizations)
        return estimated if estimated > tally.n_decisions else None

    def rate(self) -> float:
        """Compute decisions per second, lately."""
        return self._rates()[0]

    def _rates(self) -> tuple[float, float]:
        """Compute decisions and calls per second, lately."""
        if len(self._seen) < 2:
            return 0.0, 0.0
        (begun, decided, called), (now, n_decisions, n_calls) = self._seen[0], self._seen[-1]
        took_s = now - begun
        return ((n_decisions - decided) / took_s, (n_calls - called) / took_s) if took_s > 0.0 else (0.0, 0.0)

    def n_calls(self) -> int | None:
        """Expect the calls of the whole run, where they are what takes time; None if nobody knows."""
        if not self.share_calls or self.guess is None or self.guess[1] <= self.tally.n_calls:
            return None
        return self.guess[1]

    def left_s(self) -> float | None:
        """Estimate how long the run will take yet; None if nobody knows.

        Where decisions share calls, how fast they come says nothing as long as there are calls.
        """
        if self.tally.realizations == self.n_realizations:
            return None
        rate, calls = self._rates()
        expected, done = self.expected(), self.tally.n_decisions
        if self.share_calls and calls:
            rate, expected, done = calls, self.n_calls(), self.tally.n_calls
        return None if expected is None or not rate else (expected - done) / rate

    def why_unknown(self) -> str:
        """Say why nobody knows how long it will take; ``""`` where it is known, or nothing is left."""
        if self.left_s() is not None or self.tally.realizations == self.n_realizations:
            return ""
        rate, calls = self._rates()
        if not rate and not calls:
            return "nothing came lately"
        if self.share_calls and calls:
            return "many answers come of one call"
        if not self.tally.realizations:
            return "no realization has ended"
        return "those that are played are longer than those that ended"
