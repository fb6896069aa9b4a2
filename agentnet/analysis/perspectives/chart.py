"""A control chart: says during a run that the system has left its past behaviour, and since when.

Each new value is ranked among all before it. As long as values come from one distribution, whichever it is,
the rank of the t-th is uniform on 1..t and independent of the ranks before; so a cumulative sum of the ranks'
normal scores (Page 1954, "Continuous inspection schemes", Biometrika 41; McDonald 1990, "A cusum procedure
based on sequential ranks", Naval Research Logistics 37) has the same chance of a false alarm for every
distribution, and needs no period in which it is known that all is well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from agentnet.analysis.given import numbers
from agentnet.analysis.perspectives.blocks import Array, slices
from agentnet.errors import DesignError, InputError
from agentnet.streams import Streams

_SIMULATED = 19_999
"""Runs without a change from which the limit is taken."""


_bad = partial(InputError, field="values")


@dataclass(frozen=True, slots=True)
class ChartReading:
    """What a chart says of a series so far.

    Attributes:
        up: Evidence that values rose, shape ``(n_values,)``; 0 during the warm-up.
        down: Evidence that values fell, same shape.
        alarm: Index of the first value at which one of them passed the limit; None as yet.
        changed: Index of the first value of the new behaviour, as far as the chart can tell: the last time
            that there was no evidence, plus one. None without an alarm.
        direction: Where values went; None without an alarm.
    """

    up: Array
    down: Array
    alarm: int | None
    changed: int | None
    direction: Literal["up", "down"] | None


@dataclass(frozen=True, slots=True)
class ControlChart:
    """A chart for series of at most `horizon` values.

    Attributes:
        horizon: Length of the series for which the chance of a false alarm holds.
        false_alarm: The largest chance of any alarm within `horizon` values that come independently, but for
            `memory`, from one distribution.
        warm_up: How many values are left out first, in which the system is known to settle.
        allowance: How far normal scores may drift without evidence, in standard deviations.
        memory: How much values may depend on the one before without a change.
        limit: Evidence above which there is an alarm.
    """

    horizon: int
    false_alarm: float
    warm_up: int
    allowance: float
    memory: float
    limit: float

    def read(self, values: ArrayLike) -> ChartReading:
        """Read a series as it stands; what was said of its beginning never changes later.

        Values that are equal share their mean rank. A trend, or more memory of the last step than the chart
        was made for, is a change of behaviour to it, and raises alarms.

        Args:
            values: Shape ``(n_values,)``, at most `horizon`: how far the system moved in each step, say, as
                in ``moves(...).mean(axis=1)``, where value s is the move to step s + 1.

        Raises:
            InputError: The shape is wrong, a value is not finite, or there are more than `horizon`.
        """
        series = self._checked(values)
        kept = series[self.warm_up :]
        up, down = np.zeros(series.size), np.zeros(series.size)
        scores = normal_scores(kept)
        up[self.warm_up :] = _evidence(scores[:, None], self.allowance)[:, 0]
        down[self.warm_up :] = _evidence(-scores[:, None], self.allowance)[:, 0]
        beyond = np.flatnonzero(np.maximum(up, down) > self.limit)
        if not beyond.size:
            return ChartReading(up, down, None, None, None)
        alarm = int(beyond[0])
        rose = bool(up[alarm] > down[alarm])
        quiet = np.flatnonzero((up if rose else down)[:alarm] == 0)
        return ChartReading(up, down, alarm, int(quiet[-1]) + 1, "up" if rose else "down")

    def _checked(self, values: ArrayLike) -> Array:
        series = numbers(values, "values")
        if series.ndim != 1:
            raise _bad(f"must have shape (n_values,); got {series.shape}")
        if not np.isfinite(series).all():
            index = int(np.flatnonzero(~np.isfinite(series))[0])
            raise _bad(f"number {index} is {series[index]}")
        if series.size > self.horizon:
            raise _bad(f"{series.size} values are more than the {self.horizon} for which the chart was made")
        return series


def control_chart(
    horizon: int,
    *,
    false_alarm: float = 0.05,
    warm_up: int = 0,
    allowance: float = 0.5,
    memory: float = 0.0,
    seed: int = 0,
) -> ControlChart:
    """Make a chart with a given chance of a false alarm.

    The limit is an order statistic of 19,999 simulated runs without a change. A run without a change is one
    more of them, so its chance to pass the limit is at most `false_alarm`, over the simulation's chance, too.

    Args:
        horizon: Longest series to be read.
        false_alarm: The chance of any alarm within it if nothing changes.
        warm_up: How many values to leave out first.
        allowance: Half the shift to be found soonest, in standard deviations.
        memory: How much values depend on the one before while nothing changes: the autoregressive coefficient
            of a normal series of which they are any rising function. 0 needs no such assumption. A chart for
            independent values cries in a quarter of runs with a memory of 0.3; take it from a control run.
        seed: Fixes the simulation.

    Raises:
        DesignError: An option is out of range.
    """
    _check_options(horizon, false_alarm, warm_up, allowance, memory)
    highest = np.zeros(_SIMULATED)
    up = down = highest
    rng = Streams(seed).generator("perspectives", "chart")
    for length, rank in enumerate(_ranks(rng, horizon - warm_up, memory), 1):
        scores = _scores(rank, np.array(length, np.float64))
        up, down = (np.maximum(side + sign * scores - allowance, 0.0) for side, sign in ((up, 1), (down, -1)))
        highest = np.maximum(highest, np.maximum(up, down))
    place = math.ceil((1 - false_alarm) * (_SIMULATED + 1))
    return ControlChart(horizon, false_alarm, warm_up, allowance, memory, float(np.sort(highest)[place - 1]))


def _ranks(rng: np.random.Generator, n_values: int, memory: float) -> Iterator[Array]:
    """Draw the rank of each value among it and those before, for all simulated runs at once."""
    if not memory:
        for length in range(1, n_values + 1):
            yield rng.integers(1, length + 1, _SIMULATED).astype(np.float64)
        return
    values = rng.standard_normal((n_values, _SIMULATED))
    for index in range(n_values):
        if index:
            values[index] = memory * values[index - 1] + math.sqrt(1 - memory**2) * values[index]
        yield (values[: index + 1] <= values[index]).sum(axis=0).astype(np.float64)


def _check_options(horizon: int, false_alarm: float, warm_up: int, allowance: float, memory: float) -> None:
    if not 0 <= warm_up < horizon:
        raise DesignError(f"warm_up must be at least 0 and below horizon; got {warm_up} and {horizon}")
    if not 1e-3 <= false_alarm < 1:
        raise DesignError(f"false_alarm lies between 0.001 and 1; got {false_alarm}")
    if not 0 <= allowance < math.inf:
        raise DesignError(f"allowance must be at least 0; got {allowance}")
    if not -1 < memory < 1:
        raise DesignError(f"memory lies between -1 and 1; got {memory}")


def normal_scores(values: Array) -> Array:
    """Turn the rank of each value among it and those before into a quantile of the normal distribution.

    Args:
        values: Shape ``(n_values,)``.

    Returns:
        Same shape: 0 first, then about normal with mean 0 and variance 1 while nothing changes.
    """
    ranks = np.empty(values.size)
    for part in slices(values.size, 500):
        now, index = values[part, None], np.arange(part.start, part.stop)[:, None]
        before = np.arange(part.stop) <= index
        below, equal = values[: part.stop] < now, values[: part.stop] == now
        ranks[part] = (below & before).sum(axis=1) + ((equal & before).sum(axis=1) + 1) / 2
    return _scores(ranks, np.arange(1.0, values.size + 1))


def _scores(rank: Array, length: Array) -> Array:
    from scipy.special import ndtri

    scores: Array = ndtri((rank - 0.5) / length)
    return scores


def _evidence(scores: Array, allowance: float) -> Array:
    """Sum scores above the allowance, never below 0, shape ``(n_values, n_series)``."""
    evidence = np.zeros_like(scores)
    last = np.zeros(scores.shape[1])
    for index, score in enumerate(scores):
        last = np.maximum(last + score - allowance, 0.0)
        evidence[index] = last
    return evidence
