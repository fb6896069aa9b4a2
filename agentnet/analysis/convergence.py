"""When agents agree, where some runs never do; and how many committed agents it takes to tip the others.

A run that has not converged when it ends is censored: it would have taken longer, nobody knows how long. So
times are told by Kaplan & Meier's estimate (1958, JASA 53) with Greenwood's variance, the chance of not yet
having converged by its log-log interval, and the mean as the restricted one: over the steps that were played.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.estimates import Interval, student_quantile
from agentnet.analysis.fitting import checked_level
from agentnet.analysis.given import numbers
from agentnet.analysis.logistic import BinomialCells
from agentnet.errors import DesignError, InputError

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


class Agreed(NamedTuple):
    """When the agents of a run agreed.

    Attributes:
        step: First step from which they agree until the end; the last step where they do not agree then.
        censored: Whether they do not.
    """

    step: int
    censored: bool


def agreed(stances: ArrayLike, *, share: float = 1.0, tolerance: float = 0.0) -> Agreed:
    """Find the first step from which a share of agents stays where most of them end.

    Args:
        stances: Shape ``(n_steps, n_agents)``; NaN where missing. Shares are of the known stances of a step.
        share: How many agree, in (1/2, 1].
        tolerance: How far a stance may be from the common one.

    Raises:
        DesignError: The share is out of range.
        InputError: At the last step no stance is known.
    """
    if not 0.5 < share <= 1:
        raise DesignError(f"share is a fraction of agents in (1/2, 1]; got {share}")
    if not tolerance >= 0:
        raise DesignError(f"tolerance is a distance of at least 0; got {tolerance}")
    rows = np.atleast_2d(numbers(stances, "stances"))
    if rows.ndim != 2:
        raise InputError(f"must have shape (n_steps, n_agents); got {rows.shape}", field="stances")
    last = np.sort(rows[-1:][~np.isnan(rows[-1:])])
    if not last.size:
        raise InputError("at the last step no stance is known", field="stances")
    near = np.searchsorted(last, last + tolerance, "right") - np.searchsorted(last, last - tolerance, "left")
    common = last[near.argmax()]
    n_there, n_known = (np.abs(rows - common) <= tolerance).sum(axis=1), (~np.isnan(rows)).sum(axis=1)
    apart = np.flatnonzero((n_there < share * n_known - 1e-9) | (n_known == 0))
    step = int(apart[-1]) + 1 if apart.size else 0
    return Agreed(min(step, len(rows) - 1), step == len(rows))


@dataclass(frozen=True, slots=True, eq=False)
class ConvergenceTime:
    """How long runs take to converge.

    Attributes:
        median: Step by which half of the runs have; infinite where fewer have.
        median_interval: Its interval, by that of `apart`; infinite where it is open.
        mean: Mean over the steps up to `horizon`, those that never converge counting with all of them.
        mean_interval: Its interval, by Student's t; NaN ends for a single run.
        horizon: The last step of the longest run.
        n_runs: Number of runs.
        n_censored: Those that did not converge.
        step: Steps at which runs converged, rising, shape ``(n_times,)``.
        apart: Chance of not having converged by then, same shape.
        apart_low: Lower end of its interval; NaN where that is not defined (all or none have converged).
        apart_high: Upper end.
        level: Of the intervals.
    """

    median: float
    median_interval: Interval
    mean: float
    mean_interval: Interval
    horizon: int
    n_runs: int
    n_censored: int
    step: Ints = field(repr=False)
    apart: Array = field(repr=False)
    apart_low: Array = field(repr=False)
    apart_high: Array = field(repr=False)
    level: float


def convergence_time(runs: Sequence[Agreed], *, level: float = 0.95) -> ConvergenceTime:
    """Estimate how long runs take to converge, some of which did not.

    Args:
        runs: What `agreed` says of each.
        level: Of the intervals, in (0, 1).

    Raises:
        InputError: There is no run.
        DesignError: The level is out of range.
    """
    checked_level(level)
    if not runs:
        raise InputError("there is no run to tell a time by", field="runs")
    time, censored = np.array([each.step for each in runs]), np.array([each.censored for each in runs])
    step, n_converged = np.unique(time[~censored], return_counts=True)
    at_risk = (time >= step[:, None]).sum(axis=1)
    apart = np.cumprod(1 - n_converged / at_risk)
    left = at_risk - n_converged
    spread = np.divide(n_converged, at_risk * left, out=np.full(step.size, np.nan), where=left > 0)
    low, high = _log_log(apart, np.cumsum(spread), level)
    mean, interval = _restricted_mean(step, apart, np.nan_to_num(spread), int(time.max()), len(runs), level)
    return ConvergenceTime(
        median=_first(step, apart),
        median_interval=(_first(step, low), _first(step, high)),
        mean=mean,
        mean_interval=interval,
        horizon=int(time.max()),
        n_runs=len(runs),
        n_censored=int(censored.sum()),
        step=step,
        apart=apart,
        apart_low=low,
        apart_high=high,
        level=level,
    )


def _first(step: Ints, apart: Array) -> float:
    """Find the first step by which half have converged; what is not defined has not."""
    reached = np.flatnonzero(apart <= 0.5 + 1e-12)
    return float(step[reached[0]]) if reached.size else math.inf


def _log_log(apart: Array, spread: Array, level: float) -> tuple[Array, Array]:
    """Make the log-log interval of a survival function (Kalbfleisch & Prentice 1980); NaN at 0 and 1."""
    inside = (apart > 0) & (apart < 1)
    log = np.log(apart, out=np.full(apart.shape, np.nan), where=inside)
    width = student_quantile(math.inf, level) * np.sqrt(spread) / np.abs(log)
    return np.exp(log * np.exp(width)), np.exp(log * np.exp(-width))


def _restricted_mean(
    step: Ints, apart: Array, spread: Array, horizon: int, n_runs: int, level: float
) -> tuple[float, Interval]:
    """Take the area under the survival function; where nothing is censored before, that is a plain mean."""
    areas = np.append(1.0, apart) * np.diff([0, *step, horizon])
    mean = float(areas.sum())
    if n_runs < 2:
        return mean, (math.nan, math.nan)
    after = areas[1:][::-1].cumsum()[::-1]
    variance = float((after**2 * spread).sum()) * n_runs / (n_runs - 1)
    width = student_quantile(n_runs - 1, level) * math.sqrt(variance)
    return mean, (max(mean - width, 0.0), min(mean + width, float(horizon)))


_NO_MORE: Final = "runs adopt no more often where more agents are committed"


@dataclass(frozen=True, slots=True)
class TippingShare:
    """Share of committed agents at which half of the runs adopt.

    Attributes:
        value: The share.
        low: Lower end of its interval; NaN where there is none.
        high: Upper end.
        method: How they were found, and why there is no interval.
        n_runs: Runs whose outcome is known.
        n_missing: The others.
        level: Of the interval.
    """

    value: float
    low: float
    high: float
    method: str
    n_runs: int
    n_missing: int
    level: float


def tipping_share(share: ArrayLike, adopted: ArrayLike, *, level: float = 0.95) -> TippingShare:
    """Estimate the share of committed agents at which half of the runs adopt what those want.

    A logistic regression of the outcome on the share, with Fieller's interval (1954, JRSS B 16) of the share
    at which it crosses one half. Where a share separates runs that adopt from those that do not, as sharp
    tipping does, there is no such regression: then the interval reaches from the largest share at which no
    run adopts to the least at which all do. An interval ends at 0 and 1, as shares do.

    Args:
        share: Share of committed agents in each run, shape ``(n_runs,)``.
        adopted: Whether it adopted: 1 or 0, NaN where that is not known; same shape.
        level: Of the interval, in (0, 1).

    Raises:
        InputError: Nothing tells where it tips: all runs end alike, or adopt no more often at larger shares,
            or so seldom that half of them would at no share.
        DesignError: The level is out of range.
    """
    checked_level(level)
    every, outcome = numbers(share, "share"), numbers(adopted, "adopted")
    if every.shape != outcome.shape or every.ndim != 1:
        raise InputError(f"must have the shape of share, {every.shape}; got {outcome.shape}", field="adopted")
    known = ~np.isnan(outcome)
    if not np.isin(outcome[known], (0, 1)).all():
        raise InputError("must be 1 or 0, or NaN where it is not known", field="adopted")
    if not np.isfinite(every[known]).all():
        raise InputError("a share is not finite", field="share")
    if ((every[known] < 0) | (every[known] > 1)).any():
        raise InputError("a share lies from 0 to 1", field="share")
    tried, place = np.unique(every[known], return_inverse=True)
    n_yes, n_asked = (np.bincount(place, each).astype(np.int64) for each in (outcome[known], None))
    if n_yes.sum() in (0, n_asked.sum()) or tried.size < 2:
        raise InputError(
            f"{n_yes.sum()} of {n_asked.sum()} runs adopt, at shares {tried.tolist()}: try shares at which "
            "some do and some do not",
            field="adopted",
        )
    yes, no = tried[n_yes > 0], tried[n_yes < n_asked]
    if no.max() <= yes.min():
        found = _between(tried, n_yes, n_asked)
    else:
        found = _crossing(tried, n_yes, n_asked, level)
    return TippingShare(*found, int(known.sum()), int((~known).sum()), level)


def _between(tried: Array, n_yes: Ints, n_asked: Ints) -> tuple[float, float, float, str]:
    never, always = tried[n_yes == 0], tried[n_yes == n_asked]
    mixed = tried[(n_yes > 0) & (n_yes < n_asked)]
    low = float(never[-1]) if never.size else math.nan
    high = float(always[0]) if always.size else math.nan
    value = float(mixed[0]) if mixed.size else (low + high) / 2
    return value, low, high, "from the largest share at which no run adopts to the least at which all do"


def _crossing(tried: Array, n_yes: Ints, n_asked: Ints, level: float) -> tuple[float, float, float, str]:
    if tried[n_yes > 0].max() <= tried[n_yes < n_asked].min():
        raise InputError(_NO_MORE, field="adopted")
    found = BinomialCells(np.column_stack([np.ones(tried.size), tried]), n_yes, n_asked).maximize()
    (intercept, slope), covariance = found.weights, found.covariance
    if slope <= 0:
        raise InputError(_NO_MORE, field="adopted")
    wide = student_quantile(math.inf, level) ** 2
    # Shares at which a logit of 0 is not rejected: a x^2 + 2 b x + c <= 0.
    a = slope**2 - wide * covariance[1, 1]
    b = slope * intercept - wide * covariance[0, 1]
    c = intercept**2 - wide * covariance[0, 0]
    value, method = float(-intercept / slope), "logistic regression, Fieller's interval"
    if not 0 <= value <= 1:
        raise InputError(
            f"half of the runs would adopt at {value:.3g}, which is no share: try shares at which more do",
            field="adopted",
        )
    if a <= 0:
        return value, math.nan, math.nan, f"{method}: the runs do not tell that the slope is not 0"
    reach = math.sqrt(max(b**2 - a * c, 0.0))
    low, high = np.clip([(-b - reach) / a, (-b + reach) / a], 0.0, 1.0).tolist()
    return value, low, high, method
