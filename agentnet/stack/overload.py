"""What a server says of its load, and the pause that it may ask everybody for."""

from __future__ import annotations

import asyncio
import math
import time
from itertools import count
from typing import Final

from agentnet.errors import TransientError
from agentnet.streams import mix, unit

OVERLOAD: Final = frozenset({"rate_limit", "timeout", "overloaded", "too_many_files"})
"""Kinds of trouble that mean: fewer at once."""

MOMENTS: Final = frozenset(
    {
        *("rate_limit", "overloaded", "loading", "unavailable", "bad_gateway", "gateway_timeout"),
        *("page", "reset", "disconnected"),
    }
)
"""Kinds of trouble that belong to a moment of the server and pass with it, whatever was asked."""

PATIENT: Final = frozenset({"rate_limit", "overloaded", "loading"})
"""Those of them in which a server says itself that it will answer, even if it never has."""

_JITTER = 0.25
_SAME_HINT_S = 1e-3


class Pause:
    """The time for which a server wants no request, from anybody.

    It ends up to a quarter later than asked for: whoever else was told the same would come at that very
    moment too. The wrappers that share a pause may each tell it the same error.

    A hint may be wrong: who allows so many requests at once says "in a minute" where a place is free in half
    a second. So a single request may be let through before the end, as a probe: if it is answered the pause
    is over, if not the next one waits twice as long. A hint that is cut to the longest pause gets none. The
    first goes as soon as there is room again.

    Args:
        longest_s: How much of a server's hint counts at most, in seconds.
        seed: Fixes by how much each pause is longer.
        probe_after_s: When the first probe may be sent, in seconds; None for no probes.
    """

    def __init__(
        self, *, longest_s: float = 900.0, seed: int = 0, probe_after_s: float | None = None
    ) -> None:
        self.longest_s = longest_s
        self._probe_after_s = math.inf if probe_after_s is None else probe_after_s
        self._wait_s = self._probe_at = math.inf
        self._is_probed = False
        self._seed = seed
        self._numbers = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked_until = 0.0
        self._until = 0.0
        self._ends_at = 0.0

    def heed(self, error: TransientError) -> bool:
        """Pause if `error` says that the server is overloaded and for how long.

        Returns:
            Whether the pause begins or becomes longer.
        """
        hint_s = error.retry_after_s
        # Written so that NaN is no hint either.
        if error.kind not in OVERLOAD or hint_s is None or not hint_s > 0.0:
            return False
        loop = asyncio.get_running_loop()
        length_s = min(hint_s, self.longest_s)
        asked_until = loop.time() + length_s
        if loop is self._loop and asked_until <= self._asked_until + _SAME_HINT_S:
            return False
        if self.left_s() <= 0.0:
            self._is_probed = False
            self._wait_s = self._probe_after_s if hint_s <= self.longest_s else math.inf
            self._probe_at = loop.time() + self._wait_s
        self._loop, self._asked_until = loop, asked_until
        self._until = asked_until + length_s * _JITTER * unit(mix(self._seed, next(self._numbers)))
        self._ends_at = time.time() + self._until - loop.time()
        return True

    def left_s(self) -> float:
        """Say how long it still lasts, in seconds; 0 or less if it is over.

        A pause ends with the event loop that it began in: another one has another clock.
        """
        loop = asyncio.get_running_loop()
        return self._until - loop.time() if loop is self._loop else 0.0

    def ends_at(self) -> float | None:
        """Say when it will be over, in seconds since 1970 by this machine's clock; None if it is."""
        return self._ends_at if self.left_s() > 0.0 else None

    def covers(self, error: TransientError) -> bool:
        """Say whether nobody need wait for what `error` hints at: the pause does, and may end before."""
        hint_s = error.retry_after_s
        if error.kind not in OVERLOAD or hint_s is None or self._probe_after_s == math.inf:
            return False
        return 0.0 < hint_s <= self.longest_s

    def probe_in_s(self) -> float:
        """Say when one request may be let through, in seconds: 0 or less if now, infinity for never."""
        return math.inf if self._is_probed else self._probe_at - asyncio.get_running_loop().time()

    def nudge(self) -> bool:
        """Take note that the server has room again; return whether the first probe goes now for that."""
        waits = not self._is_probed and self._wait_s <= self._probe_after_s < math.inf
        # A short hint is soon over, and mostly true.
        if not waits or self.probe_in_s() <= 0.0 or self.left_s() <= self._probe_after_s:
            return False
        self._probe_at = asyncio.get_running_loop().time()
        return True

    def begin_probe(self) -> None:
        """Take note that a request is let through."""
        self._is_probed = True

    def end_probe(self, *, is_answered: bool) -> None:
        """Take note of what became of it: the pause is over, or the next one waits longer."""
        now = asyncio.get_running_loop().time()
        self._is_probed = False
        if is_answered:
            self._until = self._asked_until = now
        else:
            self._wait_s *= 2.0
            self._probe_at = now + self._wait_s
