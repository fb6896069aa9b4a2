"""What a load says of a backend, in figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from agentnet.bench.load import UNANSWERED, Call, MeasuredLoad

Price = tuple[float, float]
"""US dollars for a million tokens: (of the prompt, of the completion)."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long replies took, from the time at which they were to be asked for. In seconds.

    Calls that were given up unanswered took longer than they had waited by then: the quantiles take that
    into account (Kaplan & Meier 1958, "Nonparametric estimation from incomplete observations", J. Am. Stat.
    Assoc. 53), and are infinite where they lie beyond what was seen. Failed calls are left out.

    Attributes:
        mean: Of the replies alone; nan without any.
        p50: Half of the calls took no longer.
        p95: 95% took no longer.
        p99: 99% took no longer.
        max: Longest seen, unanswered calls included.
    """

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True)
class Figures:
    """What was measured. Calls of the warm-up are left out.

    Attributes:
        load: The load.
        price: The model's price; None if it is unknown.
    """

    load: MeasuredLoad
    price: Price | None = None

    @cached_property
    def calls(self) -> Sequence[Call]:
        """The measured calls."""
        return self.load.calls[self.load.n_warm_up :]

    @cached_property
    def replies(self) -> Sequence[Call]:
        """Those that were answered."""
        return [call for call in self.calls if not call.trouble]

    @property
    def errors(self) -> dict[str, int]:
        """Failed calls by kind, the most frequent first."""
        kinds = Counter(call.trouble for call in self.calls if call.trouble not in {"", UNANSWERED})
        return dict(kinds.most_common())

    @property
    def n_unanswered(self) -> int:
        """Calls that were given up."""
        return sum(call.trouble == UNANSWERED for call in self.calls)

    @cached_property
    def seconds(self) -> float:
        """Length of the window in which throughput is counted.

        It reaches from the end of the warm-up to the time after which no call was due, so that neither the
        ramp at the start nor the emptying at the end counts. Where that is no time at all, because there were
        fewer calls than places, it reaches to the last answer.
        """
        return self._window_end - self.load.from_s

    @property
    def requests_per_s(self) -> float:
        """Replies a second."""
        return self._per_second([1 for _ in self._in_window])

    @property
    def decisions_per_s(self) -> float:
        """Usable samples a second."""
        return self._per_second([call.n_usable for call in self._in_window])

    @property
    def prompt_tokens_per_s(self) -> float | None:
        """Tokens in a second; None if some are unknown."""
        return self._tokens_per_second([call.prompt_tokens for call in self._in_window])

    @property
    def completion_tokens_per_s(self) -> float | None:
        """Tokens out a second; None if some are unknown."""
        return self._tokens_per_second([call.completion_tokens for call in self._in_window])

    @cached_property
    def latency(self) -> Latency:
        """How long replies took."""
        took = [call.latency_s for call in self.replies]
        unanswered = [call.latency_s for call in self.calls if call.trouble == UNANSWERED]
        mean = math.fsum(took) / len(took) if took else math.nan
        p50, p95, p99 = latency_quantiles(took, unanswered, (0.5, 0.95, 0.99))
        return Latency(mean, p50, p95, p99, max([*took, *unanswered], default=math.nan))

    @property
    def share_of_ideal(self) -> float | None:
        """Throughput over the ideal one.

        In a closed loop the ideal is in-flight / mean latency: every place asks again at once, and no call
        fails; so it is the share of the places' time in the window that answered calls took, at most 1. With
        an open rate the ideal is the rate at which requests were due. None if nothing was answered.
        """
        if not self.replies:
            return None
        if self.load.rate is not None:
            n_due = sum(self.load.from_s <= call.intended_s < self._window_end for call in self.calls)
            return len(self._in_window) / n_due if n_due else None
        assert self.load.in_flight is not None
        begin, end = self.load.from_s, self._window_end
        answered = [call for call in self.load.calls if not call.trouble]
        took = math.fsum(max(0.0, min(each.ended_s, end) - max(each.started_s, begin)) for each in answered)
        return min(1.0, took / (self.load.in_flight * self.seconds)) if self.seconds > 0.0 else None

    @property
    def usable_share(self) -> float | None:
        """Samples that hold a decision over samples; None without any."""
        n_samples = sum(call.n_samples for call in self.replies)
        return sum(call.n_usable for call in self.replies) / n_samples if n_samples else None

    @cached_property
    def in_system(self) -> tuple[float, int]:
        """Mean and largest number of calls that were due and not yet ended, in the window."""
        begin, end = self.load.from_s, self._window_end
        changes: list[tuple[float, int]] = []
        area = 0.0
        for call in self.load.calls:
            since, until = max(call.intended_s, begin), min(call.ended_s, end)
            if until > since:
                area += until - since
                changes += [(since, 1), (until, -1)]
        # At equal times the ends come first.
        levels = np.cumsum([change for _, change in sorted(changes)])
        return area / (end - begin) if end > begin else 0.0, int(levels.max(initial=0))

    @property
    def wait_s(self) -> tuple[float, float]:
        """Mean and longest time from when a call was due until there was a place for it."""
        waits = [call.wait_s for call in self.calls]
        return (math.fsum(waits) / len(waits), max(waits)) if waits else (math.nan, math.nan)

    @property
    def dollars(self) -> float | None:
        """What the replies cost, those of the warm-up included; None if price or tokens are unknown."""
        replies = [call for call in self.load.calls if not call.trouble]
        tokens_in = _sum([call.prompt_tokens for call in replies])
        tokens_out = _sum([call.completion_tokens for call in replies])
        if self.price is None or tokens_in is None or tokens_out is None:
            return None
        return (tokens_in * self.price[0] + tokens_out * self.price[1]) / 1e6

    @property
    def dollars_per_1000_decisions(self) -> float | None:
        """What a thousand decisions cost; None if that is unknown."""
        dollars, n_usable = self.dollars, sum(call.n_usable for call in self.load.calls)
        return None if dollars is None or not n_usable else 1000.0 * dollars / n_usable

    @property
    def power(self) -> float:
        """Replies a second over the mean latency; 0 if nothing was answered.

        Kleinrock (1979), "Power and deterministic rules of thumb for probabilistic problems in computer
        communications", Proc. ICC: it is largest at the knee, where asking more buys mostly waiting.
        """
        mean = self.latency.mean if self.replies else 0.0
        return self.requests_per_s / mean if mean > 0.0 else 0.0

    def as_dict(self) -> dict[str, object]:
        """Spell it for JSON; what is infinite or unknown is None."""
        mean_in_system, most_in_system = self.in_system
        mean_wait, longest_wait = self.wait_s
        return {
            "load": "closed" if self.load.rate is None else "open",
            "in_flight": self.load.in_flight,
            "rate": self.load.rate,
            "is_stopped": self.load.is_stopped,
            "warm_up_calls": self.load.n_warm_up,
            "calls": len(self.calls),
            "replies": len(self.replies),
            "unanswered": self.n_unanswered,
            "errors": self.errors,
            "seconds": self.seconds,
            "decisions_per_s": self.decisions_per_s,
            "requests_per_s": self.requests_per_s,
            "prompt_tokens_per_s": self.prompt_tokens_per_s,
            "completion_tokens_per_s": self.completion_tokens_per_s,
            "latency_s": {name: _finite(value) for name, value in asdict(self.latency).items()},
            "share_of_ideal": self.share_of_ideal,
            "usable_share": self.usable_share,
            "in_system": {"mean": mean_in_system, "max": most_in_system},
            "wait_s": {"mean": _finite(mean_wait), "max": _finite(longest_wait)},
            "dollars": self.dollars,
            "dollars_per_1000_decisions": self.dollars_per_1000_decisions,
        }

    @cached_property
    def _window_end(self) -> float:
        if self.load.to_s > self.load.from_s:
            return self.load.to_s
        return max((call.ended_s for call in self.calls), default=self.load.from_s)

    @cached_property
    def _in_window(self) -> Sequence[Call]:
        """Replies that came in the window, to whichever call."""
        begin, end = self.load.from_s, self._window_end
        return [call for call in self.load.calls if not call.trouble and begin < call.ended_s <= end]

    def _per_second(self, amounts: Sequence[int]) -> float:
        return sum(amounts) / self.seconds if self.seconds > 0.0 else 0.0

    def _tokens_per_second(self, counts: Sequence[int | None]) -> float | None:
        total = _sum(counts)
        return None if total is None else self._per_second([total])


measure = Figures
"""Turns a load, and the model's price where it is known, into figures."""


def latency_quantiles(
    answered: Sequence[float], unanswered: Sequence[float], quantiles: Sequence[float]
) -> list[float]:
    """Estimate quantiles of latencies of which some are known only to be longer than a time.

    The product-limit estimator of Kaplan & Meier (1958); without unanswered calls it is the smallest latency
    that at least the given share did not exceed.

    Args:
        answered: Latencies of the answered calls, in seconds.
        unanswered: How long the others had waited when they were given up.
        quantiles: In (0, 1).

    Returns:
        A latency for each quantile, infinite where it lies beyond what was seen; nan without any call.
    """
    if not answered and not unanswered:
        return [math.nan] * len(quantiles)
    times, n_answered = np.unique(np.array(answered, dtype=float), return_counts=True)
    everybody = np.sort(np.concatenate((answered, unanswered)).astype(float))
    at_risk = len(everybody) - np.searchsorted(everybody, times, side="left")
    surviving = np.cumprod(1.0 - n_answered / at_risk)
    # Products of ratios round; a share that is 0.05 but for rounding must count as 0.05.
    found = [np.flatnonzero(surviving <= 1.0 - q + 1e-12) for q in quantiles]
    return [float(times[places[0]]) if len(places) else math.inf for places in found]


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
