"""How a real design fills the places that requests have: busy, ramp, waiting at the ends of steps, tail."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from agentnet.backend import Backend, Reply, Request, Wrapper

Span = tuple[float, float]
"""(sent, answered or failed), in seconds."""


class Timed(Wrapper):
    """A backend that notes when each call begins and ends, and what its replies hold.

    Args:
        inner: The backend.
        clock: Tells seconds.

    Attributes:
        spans: Of all calls that ended, failed ones included.
        prompt_tokens: Tokens in, of replies; None once a reply does not say.
    """

    def __init__(self, inner: Backend, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(inner)
        self._clock = clock
        self.spans: list[Span] = []
        self.prompt_tokens: int | None = 0

    async def complete(self, request: Request) -> Reply:
        """Answer as the inner one does."""
        sent = self._clock()
        try:
            reply = await self._inner.complete(request)
        finally:
            self.spans.append((sent, self._clock()))
        known = self.prompt_tokens is not None and reply.prompt_tokens is not None
        self.prompt_tokens = (self.prompt_tokens or 0) + (reply.prompt_tokens or 0) if known else None
        return reply


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Where the time of all places went, from the first call's beginning to the last one's end.

    `busy`, `ramp`, `waits` and `tail` are shares of places times seconds, and make 1 together.

    Attributes:
        places: Requests that may be in flight at once.
        most: Requests that were.
        calls: Calls.
        seconds: From the first call's beginning to the last one's end.
        latency_s: Mean seconds of a call.
        busy: Share in which a place had a call: throughput over the ideal one, places / latency. At most 1.
        ramp: Share that was idle until as many calls were in flight as ever were.
        waits: Share that was idle between: at the ends of steps, where the slowest answer is waited for.
        tail: Share that was idle after the last call had begun.
    """

    places: int
    most: int
    calls: int
    seconds: float
    latency_s: float
    busy: float
    ramp: float
    waits: float
    tail: float

    def as_dict(self) -> dict[str, object]:
        """Spell it for JSON."""
        return asdict(self)


def occupancy(spans: Sequence[Span], places: int) -> Occupancy | None:
    """Tell where the time of all places went; None without a call that took time.

    Args:
        spans: Of all calls.
        places: Requests that may be in flight at once, >= 1; where more were, so many.
    """
    begins = np.sort(np.array([begin for begin, _ in spans], dtype=float))
    ends = np.sort(np.array([end for _, end in spans], dtype=float))
    if not len(begins) or ends[-1] <= begins[0]:
        return None
    # At equal times the ends come first.
    times = np.concatenate((ends, begins))
    changes = np.repeat([-1, 1], len(begins))
    order = np.argsort(times, kind="stable")
    times, level = times[order], np.cumsum(changes[order])
    most = int(level.max())
    places = max(places, most)
    idle = (places - level[:-1]) * np.diff(times)
    filled, last_begun = times[np.argmax(level == most)], begins[-1]
    whole = places * (times[-1] - times[0])
    ramp, tail = idle[times[:-1] < filled].sum(), idle[times[:-1] >= last_begun].sum()
    busy = float((ends.sum() - begins.sum()) / whole)
    shares = (float(ramp / whole), float((idle.sum() - ramp - tail) / whole), float(tail / whole))
    seconds = float(times[-1] - times[0])
    return Occupancy(places, most, len(begins), seconds, busy * whole / len(begins), busy, *shares)
