"""Intervals of what a probe measured, and the verdicts that follow from them.

A bias counts as found only where its interval lies beyond what is tolerated, so that a probe which asks
little finds little, and says that it does not know. Intervals hold at once for all figures of a check
(Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from agentnet.probe.card import DOUBTFUL, FAILS, NOT_KNOWN, PASSES, WORST_FIRST, CardFigure, Verdict

ERROR: Final = 0.01
"""Chance that an interval of a check misses what it is of, all its figures together."""

_DIGITS: Final = 12
"""Beyond which there is rounding alone."""
_LEAST: Final = 4
"""Prompts that a mean needs, to have an interval."""


class MeanRange(NamedTuple):
    """A mean, and between what it lies; nan where too little was answered.

    Attributes:
        value: The mean.
        low: Lower end of its interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def figure(self, name: str) -> CardFigure:
        """Name it; what was listed and not sampled has no interval to tell."""
        return figure(name, self.value) if self.low == self.high else figure(name, *self)

    def size(self) -> MeanRange:
        """Give the size of it, whatever the sign."""
        ends = sorted((abs(self.low), abs(self.high)))
        return MeanRange(abs(self.value), 0.0 if self.low <= 0.0 <= self.high else ends[0], ends[1])


def figure(name: str, value: float, low: float = math.nan, high: float = math.nan) -> CardFigure:
    """Name a number; what is nan is not known."""
    known = [round(each, _DIGITS) if math.isfinite(each) else None for each in (value, low, high)]
    return CardFigure(name=name, value=known[0], low=known[1], high=known[2])


class PromptEstimate(NamedTuple):
    """What was measured of one prompt; nan where an answer is missing.

    Attributes:
        value: The estimate.
        variance: What sampling adds to it; 0 of what was listed.
    """

    value: float
    variance: float = 0.0

    def __sub__(self, other: PromptEstimate) -> PromptEstimate:
        """Give the difference of two that were sampled apart."""
        return PromptEstimate(self.value - other.value, self.variance + other.variance)

    def __add__(self, other: tuple[object, ...]) -> PromptEstimate:
        """Give the sum of two that were sampled apart."""
        assert isinstance(other, PromptEstimate)
        return PromptEstimate(self.value + other.value, self.variance + other.variance)


def mean_of(estimates: Iterable[PromptEstimate], n_figures: int = 1) -> MeanRange:
    """Average over these prompts, with the interval that sampling gives: none where nothing was sampled.

    Args:
        estimates: One for each prompt.
        n_figures: How many figures the check judges.

    Examples:
        >>> mean_of([PromptEstimate(each) for each in (0.1, 0.2, 0.1, 0.2)]).low
        0.15000000000000002
    """
    from scipy.special import ndtri

    known = [each for each in estimates if math.isfinite(each.value)]
    if len(known) < _LEAST:
        return MeanRange(math.nan, math.nan, math.nan)
    middle = math.fsum(each.value for each in known) / len(known)
    error = math.sqrt(math.fsum(each.variance for each in known)) / len(known)
    half = -float(ndtri(ERROR / n_figures / 2)) * error
    return MeanRange(middle, middle - half, middle + half)


def mean(name: str, values: Iterable[float]) -> CardFigure:
    """Average over prompts that were chosen to differ, so that there is no interval to tell."""
    return figure(name, mean_of(map(PromptEstimate, values)).value)


def exact(n_yes: int, n: int, n_figures: int = 1) -> MeanRange:
    """Give a share with its exact binomial interval (Clopper and Pearson 1934); nan of nothing."""
    from scipy.stats import binomtest

    if n == 0:
        return MeanRange(math.nan, math.nan, math.nan)
    found = binomtest(n_yes, n).proportion_ci(1.0 - ERROR / n_figures)
    return MeanRange(n_yes / n, float(found.low), float(found.high))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Give the verdict that speaks most against a backend; not known without any."""
    return min(verdicts, key=WORST_FIRST.index, default=NOT_KNOWN)


def of_sizes(sizes: Sequence[MeanRange], tolerated: float) -> Verdict:
    """Judge figures that should be 0: the worst of them decides."""
    return worst(_of_size(each.size(), tolerated) for each in sizes)


def _of_size(size: MeanRange, tolerated: float) -> Verdict:
    if math.isnan(size.value):
        return NOT_KNOWN
    if size.low > tolerated:
        return FAILS
    if size.value > tolerated:
        return DOUBTFUL if size.low > 0.0 else NOT_KNOWN
    return PASSES if size.high <= 2 * tolerated else NOT_KNOWN


def words_of_sizes(tolerated: float) -> str:
    """Say how `of_sizes` judges."""
    return (
        f"fails if an interval lies beyond {tolerated:g}, passes if all figures are up to {tolerated:g} and "
        f"their intervals end by {2 * tolerated:g}; doubtful beyond {tolerated:g} if an interval is clear "
        "of 0; else not known (more texts, --texts, may tell)"
    )


def logit(p: float, n: int = 0) -> float:
    """Give the logit of a probability; of a share of `n` texts, of half a text more of each answer.

    Examples:
        >>> logit(0.5), round(logit(1.0, 9), 3)
        (0.0, 2.944)
    """
    if n:
        p = (p * n + 0.5) / (n + 1)
    p = min(max(p, 1e-12), 1 - 1e-12)
    return math.log(p / (1 - p))


def sigma(x: float) -> float:
    """Turn a logit into a probability."""
    return 0.5 * (1.0 + math.tanh(x / 2))
