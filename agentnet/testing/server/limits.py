"""Rate limits of a model server, as OpenAI has them: requests and tokens a minute, told in headers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

_SECONDS_PER_MINUTE = 60.0


@dataclass(slots=True)
class Bucket:
    """Holds up to a minute's worth of something and fills up steadily.

    Args:
        per_min: What it holds, and gains in a minute.
        now: The time, in seconds.
    """

    per_min: float
    now: float
    level: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.per_min

    def wait_s(self, amount: float, now: float) -> float:
        """Say how long it takes until `amount` is in it, in seconds; inf if it never is."""
        self.level = min(self.per_min, self.level + (now - self.now) * self.per_min / _SECONDS_PER_MINUTE)
        self.now = now
        if amount > self.per_min:
            return math.inf
        return max(0.0, amount - self.level) * _SECONDS_PER_MINUTE / self.per_min

    def headers(self, name: str) -> dict[str, str]:
        """Tell of it as OpenAI does."""
        full_s = (self.per_min - self.level) * _SECONDS_PER_MINUTE / self.per_min
        return {
            f"x-ratelimit-limit-{name}": f"{self.per_min:.0f}",
            f"x-ratelimit-remaining-{name}": f"{max(0.0, math.floor(self.level)):.0f}",
            f"x-ratelimit-reset-{name}": duration_text(full_s),
        }


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The limits of a server; None for no limit.

    Attributes:
        requests_per_min: Requests a minute.
        tokens_per_min: Tokens a minute: those of the prompts, and the most that the replies may have.
        parallel: Requests at once; who comes beyond that is told to wait for a minute, as by LiteLLM's proxy.
        reserves: Whether all of ``max_tokens`` counts for the tokens a minute, however few come.
    """

    requests_per_min: float | None = None
    tokens_per_min: float | None = None
    parallel: int | None = None
    reserves: bool = False


class Gate:
    """Lets calls pass as far as the limits allow.

    Args:
        limits: The limits.
        now: The time, in seconds.
    """

    def __init__(self, limits: ServerLimits, now: float) -> None:
        rates = {"requests": limits.requests_per_min, "tokens": limits.tokens_per_min}
        self._buckets = {name: Bucket(rate, now) for name, rate in rates.items() if rate is not None}

    def ask(self, n_tokens: int, now: float) -> float:
        """Let a call pass, or not.

        Args:
            n_tokens: What it may cost.
            now: The time, in seconds.

        Returns:
            0 if it may pass; else the seconds after which it may, inf if it never may.
        """
        costs = {"requests": 1.0, "tokens": float(n_tokens)}
        wait_s = max((bucket.wait_s(costs[name], now) for name, bucket in self._buckets.items()), default=0.0)
        if wait_s == 0.0:
            for name, bucket in self._buckets.items():
                bucket.level -= costs[name]
        return wait_s

    def headers(self) -> Mapping[str, str]:
        """Tell of the limits, as they are since the last call."""
        told: dict[str, str] = {}
        for name, bucket in self._buckets.items():
            told |= bucket.headers(name)
        return told


def duration_text(seconds: float) -> str:
    """Write a duration as OpenAI does.

    Examples:
        >>> duration_text(0.25), duration_text(1.5), duration_text(360.0)
        ('250ms', '1.5s', '6m0s')
    """
    if seconds < 1.0:
        return f"{seconds * 1e3:.0f}ms"
    minutes, rest = divmod(round(seconds, 3), _SECONDS_PER_MINUTE)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
