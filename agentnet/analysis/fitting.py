"""What the laws of curves share: checks of curves, fits with bootstrap, profiles, distances.

A curve is the engaged fraction after steps 0..T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.algebra import pseudo_inverse
from agentnet.analysis.given import numbers
from agentnet.analysis.solver import OpenLaw, Solutions, grid_starts, least_squares
from agentnet.errors import DesignError, InputError, near_miss
from agentnet.streams import Streams

Array = NDArray[np.float64]
Interval = tuple[float, float]

_TOLERANCE = 1e-9

LEAST_DRAWN = 3
"""Realizations or clusters below which nothing can be told of how they differ."""


def rmse(observed: ArrayLike, inferred: ArrayLike) -> float:
    """Compute the root mean squared distance of two curves of the same steps."""
    difference = np.asarray(observed, np.float64) - np.asarray(inferred, np.float64)
    return float(np.sqrt(np.mean(difference**2)))


def nrmse(observed: ArrayLike, inferred: ArrayLike) -> float:
    """Compute the RMSE over the mean observed value; infinite where nothing was observed."""
    level = float(np.asarray(observed, np.float64).mean())
    return rmse(observed, inferred) / level if level else math.inf


def checked_curves(engaged_fraction: ArrayLike, n_parameters: int) -> Array:
    """Check the observed curves of realizations.

    Args:
        engaged_fraction: Shape ``(n_realizations, n_steps + 1)``, or ``(n_steps + 1,)`` for one curve.
        n_parameters: Number of parameters to fit.

    Returns:
        The curves, shape ``(n_realizations, n_steps + 1)``.

    Raises:
        InputError: A value is no number of [0, 1], a curve falls, nobody is engaged at step 0, nobody engages
            afterwards, or there are too few steps.
    """
    curves = np.atleast_2d(numbers(engaged_fraction, "engaged_fraction"))
    if curves.ndim != 2 or not curves.size:
        raise _bad(f"curves must have shape (n_realizations, n_steps + 1); got {np.shape(engaged_fraction)}")
    _check_values(curves)
    n_steps = curves.shape[1] - 1
    if n_steps <= n_parameters:
        raise _bad(
            f"{n_steps} {'step is' if n_steps == 1 else 'steps are'} too few to fit {n_parameters} "
            f"{'parameter' if n_parameters == 1 else 'parameters'}; "
            f"at least {n_parameters + 1} are needed"
        )
    mean = curves.mean(axis=0)
    if not 0 < mean[0] < mean[-1]:
        raise _bad(
            f"the mean curve must start above 0 and rise; it goes from {mean[0]:g} to {mean[-1]:g}, "
            "so no law of spreading can be fitted (leave out realizations that nobody started)"
        )
    return curves


def _check_values(curves: Array) -> None:
    outside = ~((curves >= -_TOLERANCE) & (curves <= 1 + _TOLERANCE))
    if outside.any():
        row, step = np.argwhere(outside)[0]
        raise _bad(f"realization {row} has {curves[row, step]:g} at step {step}, which is outside [0, 1]")
    falls = np.diff(curves, axis=1) < -_TOLERANCE
    if falls.any():
        row, step = np.argwhere(falls)[0]
        raise _bad(
            f"realization {row} falls from {curves[row, step]:g} at step {step} to "
            f"{curves[row, step + 1]:g}; agents engage for good, so this is no curve of engaged fractions"
        )


def _bad(message: str) -> InputError:
    return InputError(message, field="engaged_fraction")


def checked_shares(name: str, share: ArrayLike, n_groups: int | None = None) -> Array:
    """Check fractions that must add up to 1.

    Raises:
        DesignError: They are not positive numbers that add up to 1, or not `n_groups`.
    """
    shares = np.atleast_1d(numbers(share, name))
    if shares.ndim != 1 or (n_groups is not None and shares.size != n_groups):
        raise DesignError(f"{name} must be one fraction for each group; got shape {np.shape(share)}")
    if not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise DesignError(f"{name} must be fractions that add up to 1; got {shares.tolist()}")
    return shares


def checked_ratios(values: ArrayLike, n_groups: int) -> Array:
    """Check shares of yes, one a group; NaN for a group that was never asked.

    Raises:
        DesignError: They are not that many, or one lies outside [0, 1].
    """
    ratios = numbers(values, "group_yes_ratio")
    if ratios.shape != (n_groups,) or ((ratios < 0) | (ratios > 1)).any():
        raise DesignError(f"group_yes_ratio must be {n_groups} numbers in [0, 1], not {ratios.tolist()}")
    return ratios


def checked_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1).

    Raises:
        DesignError: It is outside.
    """
    if not 0 < level < 1:
        raise DesignError(f"a confidence level lies between 0 and 1; got {level}")


@dataclass(frozen=True, slots=True)
class Resampling:
    """How realizations are drawn anew for a bootstrap.

    Attributes:
        n_bootstrap: Number of resamples, >= 0.
        cluster: If given, whole clusters of realizations (those of one news item, say) are drawn, shape
            ``(n_realizations,)``.
        seed: Fixes the draws.
    """

    n_bootstrap: int
    cluster: ArrayLike | None
    seed: int

    def means(self, curves: Array) -> tuple[Array, int]:
        """Draw realizations with replacement and average them.

        Args:
            curves: Shape ``(n_realizations, n_steps + 1)``.

        Returns:
            Mean curves, shape ``(n_bootstrap, n_steps + 1)``, none where there are fewer than `LEAST_DRAWN`
            things to draw, or all are alike; and how many things there are to draw.

        Raises:
            DesignError: `cluster` does not name a cluster for each realization, or `n_bootstrap` is negative.
        """
        labels = np.arange(len(curves)) if self.cluster is None else np.asarray(self.cluster)
        if labels.shape != (len(curves),):
            raise DesignError(f"cluster must name one cluster for each of {len(curves)} realizations")
        if self.n_bootstrap < 0:
            raise DesignError(f"n_bootstrap must be at least 0; got {self.n_bootstrap}")
        names, member = np.unique(labels, return_inverse=True)
        total = np.zeros((names.size, curves.shape[1]))
        np.add.at(total, member, curves)
        size = np.bincount(member)
        rng = Streams(self.seed).generator("bootstrap")
        n_drawn = self.n_bootstrap if names.size >= LEAST_DRAWN and not _alike(total / size[:, None]) else 0
        drawn = rng.multinomial(names.size, np.full(names.size, 1 / names.size), size=n_drawn)
        means: Array = (drawn @ total) / (drawn @ size)[:, None]
        return means, names.size


def _alike(curves: Array) -> bool:
    """Whether curves are the same but for rounding."""
    return bool(np.ptp(curves, axis=0).max() <= 1e-12)


def intervals(draws: Array, level: float) -> tuple[Interval, ...] | None:
    """Take the central interval of bootstrap draws, shape ``(n_bootstrap, n_parameters)``.

    Returns:
        (low, high) of each parameter; draws that are NaN are left out. None where there are no draws.
    """
    kept = draws[~np.isnan(draws).any(axis=1)]
    if not len(kept):
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(kept, [tail, 1 - tail], axis=0)
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))


class KnownLaw(Protocol):
    """A law of curves with known parameters, and what it takes to fit them."""

    @property
    def values(self) -> tuple[float, ...]:
        """The parameters."""
        ...

    @property
    def growth_rate(self) -> float | None:
        """Rate lambda at which E grows from nearly nothing, per step; None where the law has none."""
        ...

    def with_values(self, values: Array) -> Self:
        """Give it other parameters."""
        ...

    def opened(self, n_steps: int) -> OpenLaw:
        """Leave its parameters open, for steps 0..n_steps."""
        ...


Known = TypeVar("Known", bound=KnownLaw)


@dataclass(frozen=True, slots=True)
class CurveFit(Generic[Known]):
    """A law of curves fitted to those of realizations.

    Attributes:
        law: The law with the fitted parameters.
        names: Names of the parameters.
        intervals: Bootstrap interval of each parameter; None where there are no draws.
        growth_rate_interval: Bootstrap interval of the growth rate lambda, per step; None without either.
        level: Confidence level of the intervals.
        rmse: Distance of the fitted from the mean observed curve, a fraction of the population.
        nrmse: The same over the mean observed value.
        observed: Mean observed curve, shape ``(n_steps + 1,)``.
        inferred: Fitted curve, same shape.
        draws: Estimates from resampled realizations, shape ``(n_bootstrap, n_parameters)``; rows are empty
            for a single curve, and NaN where a fit did not converge.
        n_realizations: Number of realizations fitted.
        warnings: What to know before using the estimates.
    """

    law: Known
    names: tuple[str, ...]
    intervals: tuple[Interval, ...] | None
    growth_rate_interval: Interval | None
    level: float
    rmse: float
    nrmse: float
    observed: Array
    inferred: Array
    draws: Array
    n_realizations: int
    warnings: tuple[str, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """The fitted parameters."""
        return self.law.values

    @property
    def growth_rate(self) -> float | None:
        """Rate lambda at which E grows from nearly nothing, per step; None where the law has none."""
        return self.law.growth_rate

    def profile(self, parameter: str, *, level: float = 0.95, n_values: int = 61) -> ParameterProfile:
        """Profile one parameter: the distance with it held fixed and the others fitted.

        Args:
            parameter: Its name, one of `names`.
            level: Confidence level of the interval, in (0, 1).
            n_values: Number of values to try, >= 2.

        Raises:
            DesignError: There is no such parameter, the level is impossible, or `n_values` below 2.
        """
        law = self.law.opened(self.observed.size - 1)
        if parameter not in law.names:
            raise DesignError(f"there is no parameter {parameter!r}{near_miss(parameter, law.names)}")
        index = law.names.index(parameter)
        return profile(law, self.observed, np.array(self.values), index, level=level, n_values=n_values)


def fit_curves(
    start: Known,
    curves: Array,
    resampling: Resampling,
    *,
    level: float = 0.95,
    yes_ratio: ArrayLike | None = None,
    at_zero: str = "",
) -> CurveFit[Known]:
    """Fit a law to the mean of realizations, and to means of resampled realizations, by least squares.

    Intervals come from resampling realizations: residuals are correlated, and the curvature at the optimum
    would make them 1.2 to 3 times too narrow. Groups of like size can swap their parameters and give nearly
    the same curve of the population. Among optima that fit nearly as well as the best, the one that follows
    the order of `yes_ratio` is taken.

    Args:
        start: The law, with any parameters.
        curves: Checked curves, shape ``(n_realizations, n_steps + 1)``.
        resampling: How realizations are resampled.
        level: Confidence level of the intervals, in (0, 1).
        yes_ratio: Observed share of yes among each group's decisions, shape ``(n_parameters,)``, for a law
            with a parameter for each group.
        at_zero: What it means that a parameter is at its lower bound.

    Raises:
        InputError: No start converged.
        DesignError: The resampling or `yes_ratio` does not fit the curves.
    """
    law, mean = start.opened(curves.shape[1] - 1), curves.mean(axis=0)
    ratio = None if yes_ratio is None else checked_ratios(yes_ratio, len(law.names))
    means, n_units = resampling.means(curves)
    optima = _optima(law, mean)
    ordered = optima.parameters if ratio is None else _in_order(optima, ratio, mean.size)
    values = ordered[0]
    draws = _refit(law, ordered, means)
    inferred, slope = (found[0] for found in law.family(mean[:1]).with_slopes(values[None]))
    known = start.with_values(values)
    return CurveFit(
        law=known,
        names=law.names,
        intervals=intervals(draws, level),
        growth_rate_interval=_growth_interval(known, draws, level),
        level=level,
        rmse=rmse(mean, inferred),
        nrmse=nrmse(mean, inferred),
        observed=mean,
        inferred=inferred,
        draws=draws,
        n_realizations=len(curves),
        warnings=(
            *_bound_warnings(law, values, at_zero),
            *_idle_warnings(law, values, slope),
            *_rival_warnings(law, optima, values, mean.size),
            *_bootstrap_warnings(n_units, draws, resampling.n_bootstrap),
        ),
    )


def _growth_interval(law: KnownLaw, draws: Array, level: float) -> Interval | None:
    """Carry the bootstrap over to lambda, which is linear in the parameters."""
    if law.growth_rate is None:
        return None
    per_value = [law.with_values(row).growth_rate for row in np.eye(draws.shape[1])]
    found = intervals((draws @ np.array(per_value, dtype=np.float64))[:, None], level)
    return None if found is None else found[0]


def _optima(law: OpenLaw, mean: Array) -> Solutions:
    """Solve from the grid and keep the distinct optima, best first."""
    starts = grid_starts(law, mean)
    every = least_squares(law, np.tile(mean, (len(starts), 1)), starts)
    distinct: list[int] = []
    scaled = every.parameters / law.scale
    for i in np.argsort(every.sse, kind="stable").tolist():
        if every.converged[i] and all(_differ(scaled[i], scaled[j]) for j in distinct):
            distinct.append(i)
    if not distinct:
        raise _bad(f"no fit of {', '.join(law.names)} converged from any of {len(starts)} starts")
    return Solutions(every.parameters[distinct], every.sse[distinct], every.converged[distinct])


def _are_close(optima: Solutions, n_points: int) -> NDArray[np.bool_]:
    """Say which optima fit nearly as well as the best, which comes first."""
    found: NDArray[np.bool_] = optima.sse <= 1.5 * optima.sse[0] + 1e-12 * n_points
    return found


def _in_order(optima: Solutions, yes_ratio: Array, n_points: int) -> Array:
    """Put the optimum first, among the close ones, that has the fewest pairs of groups against the order.

    Others follow that have no more of such pairs: resampled means are fitted from these alone.
    """
    one, other = np.triu_indices(yes_ratio.size, 1)
    along = np.nan_to_num(yes_ratio[one] - yes_ratio[other])
    against = ((optima.parameters[:, one] - optima.parameters[:, other]) * along < 0).sum(axis=1)
    best = min(np.flatnonzero(_are_close(optima, n_points)).tolist(), key=lambda i: (against[i], i))
    others = [i for i in range(len(against)) if i != best and against[i] <= against[best]]
    found: Array = optima.parameters[[best, *others]]
    return found


def _differ(one: Array, other: Array) -> bool:
    return bool((np.abs(one - other) > 1e-3 * np.maximum(np.abs(one), np.abs(other)).max()).any())


def _refit(law: OpenLaw, optima: Array, means: Array) -> Array:
    """Fit each resampled mean from every optimum of the mean, and keep the best."""
    draws = np.full((len(means), optima.shape[1]), np.nan)
    least = np.full(len(means), np.inf)
    for start in optima if len(means) else ():
        found = least_squares(law, means, np.tile(start, (len(means), 1)))
        better = found.converged & (found.sse < least * (1 - 1e-6))
        draws[better], least[better] = found.parameters[better], found.sse[better]
    return draws


def _bound_warnings(law: OpenLaw, values: Array, remark: str) -> list[str]:
    found = []
    for name, value, lower, upper in zip(law.names, values, law.lower, law.upper, strict=True):
        if value <= lower:
            found.append(f"{name} is at its lower bound {lower:g}{remark}")
        elif value >= upper:
            found.append(f"{name} is at its upper bound {upper:g}")
    return found


def _idle_warnings(law: OpenLaw, values: Array, slope: Array) -> list[str]:
    largest = np.where(np.isfinite(law.upper), law.upper, law.scale)
    reach = np.abs(slope).max(axis=0) * np.maximum(np.abs(values), 0.01 * largest)
    return [
        f"the curve does not depend on {name} near its estimate: its steps are too coarse to measure it"
        for name, effect in zip(law.names, reach, strict=True)
        if effect < 1e-6
    ]


def _rival_warnings(law: OpenLaw, optima: Solutions, values: Array, n_points: int) -> list[str]:
    close = optima.parameters[_are_close(optima, n_points)]
    # The best comes first, and is passed over where another one follows the order of the groups.
    better = "" if np.array_equal(close[0], values) else " or better"
    rivals = [
        ", ".join(f"{name} = {value:.4g}" for name, value in zip(law.names, rival, strict=True))
        for rival in close
        if not np.array_equal(rival, values)
    ]
    if not rivals:
        return []
    fit = f"fit nearly as well{better}"
    return [f"other parameters {fit} ({'; '.join(rivals)}): the curve does not tell them apart"]


def _bootstrap_warnings(n_units: int, draws: Array, n_wanted: int = 0) -> list[str]:
    if n_units == 1:
        return ["a single curve or cluster has no interval: give several realizations"]
    if n_units < LEAST_DRAWN:
        return [f"{n_units:,} realizations or clusters give no interval: {LEAST_DRAWN} are the least"]
    if n_wanted and not len(draws):
        return [f"the curves of all {n_units:,} realizations or clusters are the same: there is no interval"]
    found = []
    if len(draws) and n_units < 10:
        found.append(f"{n_units:,} realizations or clusters are few: the bootstrap intervals are too narrow")
    if n_failed := int(np.isnan(draws).any(axis=1).sum()):
        found.append(f"{n_failed:,} of {len(draws):,} bootstrap fits did not converge and are left out")
    return found


@dataclass(frozen=True, slots=True)
class ParameterProfile:
    """The least-squares distance with one parameter held fixed and the others fitted.

    Attributes:
        name: The parameter.
        values: Its values, rising, shape ``(n_values,)``.
        sse: Least sum of squared residuals at each, shape ``(n_values,)``.
        interval: The values that a likelihood-ratio test at `level` does not reject, or the parameter's bound
            where it is reached. The test takes residuals as independent and normal; those of a mean curve are
            correlated, so the interval is too narrow: see the bootstrap.
        level: Confidence level in (0, 1).
    """

    name: str
    values: Array
    sse: Array
    interval: tuple[float, float]
    level: float


def profile(
    law: OpenLaw, mean: Array, best: Array, index: int, *, level: float, n_values: int
) -> ParameterProfile:
    """Profile one parameter of a fitted law.

    Args:
        law: The law.
        mean: The mean observed curve, shape ``(n_steps + 1,)``.
        best: The least-squares estimates.
        index: Which parameter.
        level: Confidence level in (0, 1).
        n_values: Number of values to try, >= 2.

    Raises:
        DesignError: `level` is not in (0, 1), or `n_values` below 2.
    """
    from scipy.stats import chi2

    checked_level(level)
    if n_values < 2:
        raise DesignError(f"a profile needs at least 2 values; got {n_values}")
    curve, slope = law.family(mean[:1]).with_slopes(best[None])
    least = max(rmse(curve[0], mean) ** 2 * mean.size, 1e-18)
    limit = least * math.exp(float(chi2.ppf(level, 1)) / mean.size)
    ends, beyond = np.array([best[index]] * 2), np.array([False, False])
    reach = _standard_error(slope[0], least, index) * np.array([-1.0, 1.0])
    bounds = (law.lower[index], law.upper[index])
    while not beyond.all():
        reach *= 2
        ends = np.clip(best[index] + reach, bounds[0], bounds[1])
        beyond = (_profiled(law, mean, best, index, ends) > limit) | np.isin(ends, bounds)
    values = np.union1d(np.linspace(float(ends[0]), float(ends[1]), n_values), best[index])
    sse = _profiled(law, mean, best, index, values)
    return ParameterProfile(law.names[index], values, sse, _within(values, sse, limit), level)


def _standard_error(slope: Array, sse: float, index: int) -> float:
    inverse = pseudo_inverse(slope.T @ slope)
    freedom = max(len(slope) - slope.shape[1], 1)
    return max(math.sqrt(sse / freedom * inverse[index, index]), 1e-9)


def _profiled(law: OpenLaw, mean: Array, best: Array, index: int, values: Array) -> Array:
    starts = np.tile(best, (len(values), 1))
    starts[:, index] = values
    return least_squares(law, np.tile(mean, (len(values), 1)), starts, fixed=index).sse


def _within(values: Array, sse: Array, limit: float) -> tuple[float, float]:
    """Find where a profile crosses the limit on either side of its least value."""
    centre = int(np.argmin(sse))
    below = np.flatnonzero(sse[: centre + 1] > limit)
    above = np.flatnonzero(sse[centre:] > limit) + centre
    low = _crossing(values, sse, int(below[-1]), limit) if below.size else float(values[0])
    high = _crossing(values, sse, int(above[0]) - 1, limit) if above.size else float(values[-1])
    return low, high


def _crossing(values: Array, sse: Array, left: int, limit: float) -> float:
    weight = (limit - sse[left]) / (sse[left + 1] - sse[left])
    return float(values[left] + weight * (values[left + 1] - values[left]))
