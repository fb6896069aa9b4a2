"""Differences between arms of an experiment, with intervals over repeats.

Realizations of equal repeat share chance across arms: they start alike and draw the same questions for as
long as they share their history. So arms are compared within repeats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DesignError, InputError
from agentnet.streams import Streams

Array = NDArray[np.float64]
ByRepeat = Mapping[int, float]
"""Repeat -> what its realization in one arm came to."""

_N_SIGNS = 9_999


@dataclass(frozen=True, slots=True)
class Contrast:
    """One number, the mean over repeats, and how sure it is.

    Attributes:
        value: Mean over repeats.
        low: Lower end of the interval; nan with a single repeat.
        high: Upper end; nan with a single repeat.
        p_value: Of the hypothesis that the repeats' values are symmetric about 0; nan with a single repeat.
        n_repeats: Repeats that it is the mean of.
        level: Of the interval.
    """

    value: float
    low: float
    high: float
    p_value: float
    n_repeats: int
    level: float


def contrast(values: ByRepeat, *, level: float = 0.95, seed: int = 0) -> Contrast:
    """Average values over repeats, with Student's t interval and a test against 0.

    The interval is the usual one of a mean (Student 1908, "The probable error of a mean", Biometrika 6):
    unlike percentiles of a bootstrap, it is not too narrow where repeats are few. The test turns the signs of
    repeats (Fisher's randomization test for pairs): all of their combinations up to 13 repeats, else 9,999 of
    them, so that p is at least 1/5,000 there.

    Args:
        values: The value of each repeat.
        level: Of the interval, in (0, 1).
        seed: Fixes the signs that are drawn.

    Raises:
        InputError: There is no repeat, or a value is not finite.
        DesignError: The level is out of range.
    """
    from scipy.stats import t

    if not 0 < level < 1:
        raise DesignError(f"level must lie between 0 and 1; got {level}")
    given = np.array([values[repeat] for repeat in sorted(values)], dtype=np.float64)
    if not given.size or not np.isfinite(given).all():
        raise InputError(
            f"the repeats' values must be finite, and one at least; got {dict(values)}", field="values"
        )
    mean = float(given.mean())
    if given.size == 1:
        return Contrast(mean, math.nan, math.nan, math.nan, 1, level)
    error = float(given.std(ddof=1)) / math.sqrt(given.size)
    half = float(t.ppf((1 + level) / 2, given.size - 1)) * error
    return Contrast(mean, mean - half, mean + half, _p_value(given, seed), given.size, level)


def difference(arm: ByRepeat, other: ByRepeat) -> dict[int, float]:
    """Subtract `other` from `arm` within the repeats that both have.

    Raises:
        InputError: They have none in common.
    """
    common = sorted(arm.keys() & other.keys())
    if not common:
        raise InputError(
            f"the arms have no repeat in common ({sorted(arm)} and {sorted(other)}); play the run on "
            "(agentnet run --resume)",
            field="values",
        )
    return {repeat: arm[repeat] - other[repeat] for repeat in common}


def trend(knob: Sequence[float], arms: Sequence[ByRepeat]) -> dict[int, float]:
    """Correlate a knob with what the arms came to, within the repeats that all of them have.

    Kendall's tau-b (Kendall 1945, "The treatment of ties in ranking problems", Biometrika 33): 1 where more
    of the knob always gives more, -1 where it always gives less; 0 where all arms came to the same.

    Args:
        knob: The knob's value in each arm; two different ones at least.
        arms: One for each value.

    Raises:
        InputError: The arms have no repeat in common, or the knob has one value only.
    """
    from scipy.stats import kendalltau

    if len(set(knob)) < 2 or len(knob) != len(arms):
        raise InputError(
            f"must have a value for each of {len(arms)} arms, two of them different", field="knob"
        )
    common = sorted(set.intersection(*(set(arm) for arm in arms)))
    if not common:
        raise InputError(
            "the arms have no repeat in common; play the run on (agentnet run --resume)", field="arms"
        )
    found = {}
    for repeat in common:
        values = [arm[repeat] for arm in arms]
        found[repeat] = float(kendalltau(knob, values).statistic) if len(set(values)) > 1 else 0.0
    return found


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
