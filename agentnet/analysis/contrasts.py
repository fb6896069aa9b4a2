"""What sets conditions of runs apart, in numbers with intervals: paired where they share chance.

Realizations of the same news item and repeat share chance across the conditions of a run: they start alike
and draw the same for as long as they share their history. So conditions are compared within such pairs, and
what the pairs have in common drops out. Interviews have no news items: there repeats are the pairs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.estimates import Interval
from agentnet.errors import DesignError, InputError
from agentnet.events.conditions import (
    Condition,
    briefly,
    differing_knobs,
    in_words,
    knob_in_words,
    spelling,
)
from agentnet.streams import Streams

Array = NDArray[np.float64]
OF_SHARES: Final = (0.0, 1.0)
"""Between what shares lie."""
BOUNDS: Final[Mapping[str, Interval]] = {"trend": (-1.0, 1.0)}
"""Kind of a contrast -> between what it lies, where it has bounds."""

Pair = tuple[str, int] | int
"""What realizations of several conditions have in common: news item and repeat, or the repeat alone."""

ByPair = Mapping[Any, float]
"""Pair -> what its realization under one condition came to."""

Kind = Literal["difference", "trend", "growth"]
"""How a contrast came about."""

_N_SIGNS = 9_999
_DUST = 1e-12

FEWEST_FOR_TREND: Final = 3
"""Values of a knob from which on a trend is told; two are told by their difference."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """One number and how sure it is.

    Attributes:
        value: Mean over repeats (pairs of news item and repeat, where there are news items), or a difference
            of estimates.
        low: Lower end of the interval; nan with a single repeat.
        high: Upper end; nan with a single repeat.
        p_value: Of the hypothesis that the repeats' values are symmetric about 0; nan with a single repeat,
            and for differences of estimates.
        n_repeats: Repeats (or pairs) behind it.
        level: Of the interval.
    """

    value: float
    low: float
    high: float
    p_value: float
    n_repeats: int
    level: float


@dataclass(frozen=True, slots=True)
class ConditionContrast:
    """A difference between conditions, or from the start.

    Attributes:
        outcome: What is compared in: a key of `study.OUTCOMES` or `comparison.MEASURES`, or a parameter.
        kind: ``difference`` of one condition to another, ``trend`` over the values of a knob, or ``growth``
            in one condition.
        compared: Which conditions, in words.
        contrast: The number.
        by_news: The same with whole news items as what is independent; None where it is not told.
    """

    outcome: str
    kind: Kind
    compared: str
    contrast: Contrast
    by_news: Contrast | None = None


def contrast(
    values: ByPair, *, level: float = 0.95, seed: int = 0, within: Interval | None = None
) -> Contrast:
    """Average values over repeats, with Student's t interval and a test against 0.

    The interval is the usual one of a mean (Student 1908, "The probable error of a mean", Biometrika 6):
    unlike percentiles of a bootstrap, it is not too narrow where repeats are few. The test turns the signs of
    repeats (Fisher's randomization test for pairs): all of their combinations up to 13 repeats, else 9,999 of
    them, so that p is at least 1/5,000 there.

    Args:
        values: The value of each repeat.
        level: Of the interval, in (0, 1).
        seed: Fixes the signs that are drawn.
        within: Between what all values lie; see `ends_of`.

    Raises:
        InputError: There is no repeat, or a value is not finite.
        DesignError: The level is out of range.
    """
    if not 0 < level < 1:
        raise DesignError(f"level must lie between 0 and 1; got {level}")
    given = np.array([values[repeat] for repeat in sorted(values)], dtype=np.float64)
    if not given.size or not np.isfinite(given).all():
        raise InputError(
            f"the repeats' values must be finite, and one at least; got {dict(values)}", field="values"
        )
    mean, low, high = (float(each[0]) for each in mean_interval(given[:, None], level, within))
    return Contrast(mean, low, high, _p_value(given, seed) if given.size > 1 else math.nan, given.size, level)


def mean_interval(rows: Array, level: float, within: Interval | None = None) -> tuple[Array, Array, Array]:
    """Average over rows, with Student's t interval at each column.

    Args:
        rows: Shape ``(n, n_columns)``; nan where a row has no value.
        level: Of the intervals, in (0, 1).
        within: Between what all values lie; see `ends_of`.

    Returns:
        Mean and both ends, shape ``(n_columns,)`` each; ends are nan with a single value, all with none.
    """
    from scipy.special import stdtrit

    known = np.isfinite(rows)
    n = known.sum(axis=0)
    mean = np.divide(np.where(known, rows, 0).sum(axis=0), n, out=np.full(n.shape, np.nan), where=n > 0)
    squares = np.where(known, (rows - mean) ** 2, 0).sum(axis=0)
    variance = np.divide(squares, n * (n - 1), out=np.full(n.shape, np.nan), where=n > 1)
    half = np.sqrt(variance) * stdtrit(np.maximum(n - 1, 1), (1 + level) / 2)
    scale = np.abs(np.where(known, rows, 0)).max(axis=0, initial=0)
    mean, half = settled(mean, scale), settled(half, scale)
    low, high = ends_of(mean, half, within)
    return mean, settled(low, scale), settled(high, scale)


def settled(values: Array, scale: Array | float) -> Array:
    """Take as 0 what is nothing beside the numbers that it was computed of: their rounding.

    Args:
        values: Any shape.
        scale: How large those numbers are, of a shape that fits.

    Examples:
        >>> settled(np.array([0.1 + 0.2 - 0.3, 1e-20]), np.array([0.3, 1e-20]))
        array([0.e+00, 1.e-20])
    """
    found: Array = np.where(np.abs(values) <= _DUST * scale, 0.0, values)
    return found


def ends_of(mean: Array, half: Array, within: Interval | None) -> tuple[Array, Array]:
    """Give the ends of an interval that reaches `half` to either side.

    What lies between bounds has an interval between them: that of the logit of its place there, whose error
    is the mean's over the logit's slope (the delta method). Between -1 and 1, as for Kendall's tau, that is
    an interval of Fisher's z (Fisher 1921, "On the 'probable error' of a coefficient of correlation", Metron
    1), and between 0 and 1 the logit interval of a share.

    Args:
        mean: What it is of, shape ``(n,)``.
        half: Student's half width, same shape.
        within: The bounds; None for none, and the plain interval. Where one is infinite, the plain interval
            as far as the other.
    """
    from scipy.special import expit, logit

    if within is None or not np.isfinite(within).all():
        least, most = within or (-np.inf, np.inf)
        return np.clip(mean - half, least, most), np.clip(mean + half, least, most)
    low, width = within[0], within[1] - within[0]
    place = (mean - low) / width
    with np.errstate(divide="ignore", invalid="ignore"):
        odds, reach = logit(place), half / (width * place * (1 - place))
        below, above = (low + width * expit(odds + sign * reach) for sign in (-1, 1))
    is_point = (half == 0) | (half > 0) & np.isinf(odds)
    return np.where(is_point, mean, below), np.where(is_point, mean, above)


def difference(condition: ByPair, other: ByPair) -> dict[Any, float]:
    """Subtract `other` from `condition` within the repeats that both have.

    Raises:
        InputError: They have none in common.
    """
    common = sorted(condition.keys() & other.keys())
    if not common:
        raise InputError(
            f"the conditions have no repeat in common ({sorted(condition)} and {sorted(other)}); play the "
            "run on (agentnet run --resume)",
            field="values",
        )
    pairs = np.array([(condition[repeat], other[repeat]) for repeat in common], dtype=np.float64)
    apart = settled(pairs[:, 0] - pairs[:, 1], np.abs(pairs).max(axis=1))
    return dict(zip(common, apart.tolist(), strict=True))


def trend(knob: Sequence[float], conditions: Sequence[ByPair]) -> dict[Any, float]:
    """Correlate a knob with what conditions came to, within the repeats that all of them have.

    Kendall's tau-b (Kendall 1945, "The treatment of ties in ranking problems", Biometrika 33): 1 where more
    of the knob always gives more, -1 where it always gives less; 0 where all conditions came to the same.

    Args:
        knob: The knob's value in each condition; two different ones at least.
        conditions: One for each value.

    Raises:
        InputError: The conditions have no repeat in common, or the knob has one value only.
    """
    from scipy.stats import kendalltau

    if len(set(knob)) < 2 or len(knob) != len(conditions):
        raise InputError(
            f"must have a value for each of {len(conditions)} conditions, two of them different", field="knob"
        )
    common = sorted(set.intersection(*(set(each) for each in conditions)))
    if not common:
        raise InputError(
            "the conditions have no repeat in common; play the run on (agentnet run --resume)",
            field="conditions",
        )
    found = {}
    for repeat in common:
        values = [each[repeat] for each in conditions]
        found[repeat] = float(kendalltau(knob, values).statistic) if len(set(values)) > 1 else 0.0
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values that are looked at together (Holm 1979); what is nan was no test, and stays so.

    Examples:
        >>> holm([0.01, 0.5, math.nan, 0.03])
        [0.03, 0.5, nan, 0.06]
    """
    tests = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    adjusted, least = [math.nan] * len(p_values), 0.0
    for place, index in enumerate(sorted(tests, key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(tests) - place) * p_values[index]))
        adjusted[index] = least
    return adjusted


def rows_by_knob(
    conditions: Sequence[Condition],
) -> Iterator[tuple[str, str, list[tuple[Any, Condition]]]]:
    """Find conditions that differ in one knob only: the knob, the others in words, and (value, condition)s.

    Rows of numbers come by their order, others as the design has them. The knob takes two values at least:
    conditions of the same design differ in no knob.
    """
    knobs = differing_knobs([each.overrides for each in conditions], [each.design for each in conditions])
    for knob in knobs:
        rows: dict[str, list[tuple[Any, Condition]]] = {}
        for each in conditions:
            others = {key: each.design[key] for key in knobs if key != knob}
            rows.setdefault(spelling(others), []).append((each.design[knob], each))
        for fixed, row in rows.items():
            if len({spelling(value) for value, _ in row}) > 1:
                at = ", ".join(knob_in_words(key, value) for key, value in json.loads(fixed).items())
                yield knob, at, sorted(row, key=lambda each: each[0]) if are_numbers(row) else row


def compared_in_row(
    knob: str, at: str, row: Sequence[tuple[Any, ByPair]]
) -> Iterator[tuple[Kind, str, dict[Any, float]]]:
    """Compare what conditions came to that differ in one knob only.

    Args:
        knob: The knob.
        at: What holds for all of them, in words.
        row: The knob's value and what came of it; empty where nothing did yet.

    Returns:
        A trend over three or more numbers, else the difference of each to the first: its kind, what is
        compared in words, and the values by pair. Conditions without a common pair can tell nothing yet.
    """
    came = [(value, own) for value, own in row if own]
    if len(came) >= FEWEST_FOR_TREND and are_numbers(row):
        values = [value for value, _ in came]
        with suppress(InputError):
            yield "trend", trend_in_words(knob, values, at), trend(values, [own for _, own in came])
        return
    for value, own in came[1:]:
        first, of_first = came[0]
        with suppress(InputError):
            yield "difference", difference_in_words(knob, value, first, at), difference(own, of_first)


def trend_in_words(knob: str, values: Sequence[float], at: str) -> str:
    """Say which trend is told."""
    return f"trend with {knob.replace('_', ' ')}: {', '.join(map(in_words, values))}{at}"


def difference_in_words(knob: str, value: object, other: object, at: str) -> str:
    """Say which difference is told."""
    return f"{knob_in_words(knob, value)} less {briefly(other)}{at}"


def are_numbers(row: Sequence[tuple[Any, Any]]) -> bool:
    """Say whether a knob takes numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in row)


def _p_value(given: Array, seed: int) -> float:
    from scipy.stats import permutation_test

    if not given.any():
        return 1.0
    found = permutation_test(
        (given,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_N_SIGNS,
        rng=Streams(seed).generator("contrasts", "signs"),
    )
    return float(found.pvalue)
