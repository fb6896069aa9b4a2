"""What the laws of curves share: checks of curves, bounded least squares, bootstrap, profiles, distances.

A curve is the engaged fraction after steps 0..T. Laws have a handful of parameters and are cheap, and the
same law is fitted hundreds of times (grids of starts, bootstrap, profiles); so the least-squares solver here
advances many fits side by side, which a general solver in a loop takes 30 times as long for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import DesignError, InputError
from agentnet.streams import Streams

Array = NDArray[np.float64]


class CurveFamily(Protocol):
    """Curves of many parameter sets, each of shape ``(n_fits, n_parameters)``."""

    def curves(self, parameters: Array) -> Array:
        """Evaluate the curves, shape ``(n_fits, n_steps + 1)``."""
        ...

    def with_slopes(self, parameters: Array) -> tuple[Array, Array]:
        """Evaluate the curves and their derivatives, shape ``(n_fits, n_steps + 1, n_parameters)``."""
        ...


_TOLERANCE = 1e-9
_N_ITERATIONS = 60


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
    curves = np.atleast_2d(np.asarray(engaged_fraction, dtype=np.float64))
    if curves.ndim != 2 or not curves.size:
        raise _bad(f"curves must have shape (n_realizations, n_steps + 1); got {np.shape(engaged_fraction)}")
    _check_values(curves)
    n_steps = curves.shape[1] - 1
    if n_steps <= n_parameters:
        raise _bad(
            f"{n_steps} steps are too few to fit {n_parameters} parameters; "
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
    shares = np.atleast_1d(np.asarray(share, dtype=np.float64))
    if shares.ndim != 1 or (n_groups is not None and shares.size != n_groups):
        raise DesignError(f"{name} must be one fraction for each group; got shape {np.shape(share)}")
    if not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise DesignError(f"{name} must be fractions that add up to 1; got {shares.tolist()}")
    return shares


@dataclass(frozen=True, slots=True)
class CurveLaw:
    """A family of curves to fit.

    Attributes:
        names: Names of the parameters.
        family: Makes the curves for given engaged fractions at step 0, shape ``(n_fits,)`` or ``(1,)``.
        lower: Lower bound of every parameter.
        upper: Upper bound of every parameter.
        levels: Values that the grid of starts combines, rising.
    """

    names: tuple[str, ...]
    family: Callable[[Array], CurveFamily]
    lower: float
    upper: float
    levels: Array


@dataclass(frozen=True, slots=True)
class Solutions:
    """Least-squares fits side by side.

    Attributes:
        parameters: Shape ``(n_fits, n_parameters)``.
        sse: Sum of squared residuals, shape ``(n_fits,)``.
        converged: Whether the fit ended at an optimum, shape ``(n_fits,)``.
    """

    parameters: Array
    sse: Array
    converged: NDArray[np.bool_]


def least_squares(law: CurveLaw, observed: Array, starts: Array, fixed: int | None = None) -> Solutions:
    """Minimize the squared distance to observed curves within the law's bounds, for many fits at once.

    Levenberg-Marquardt with projection onto the bounds: a parameter at a bound that the gradient pushes
    against stays out of the step (Kanzow, Yamashita & Fukushima 2004). A fit has converged when its residuals
    are orthogonal to the derivatives, to 1e-7 in the cosine.

    Args:
        law: The law.
        observed: Curves, shape ``(n_fits, n_steps + 1)``.
        starts: Where to begin, shape ``(n_fits, n_parameters)``.
        fixed: A parameter that stays at its start.
    """
    state = _Descent(law, observed, starts, fixed)
    for _ in range(_N_ITERATIONS):
        active = np.flatnonzero(~state.converged)
        if not active.size:
            break
        state.advance(active)
    return Solutions(state.parameters, state.sse, state.converged)


class _Descent:
    """The state of all fits."""

    def __init__(self, law: CurveLaw, observed: Array, starts: Array, fixed: int | None) -> None:
        self._law, self._observed, self._fixed = law, observed, fixed
        self.parameters = np.clip(starts, law.lower, law.upper)
        self._damping = np.full(len(starts), 1e-3)
        everything = np.arange(len(starts))
        self._residual, self._slope, self.sse = self._evaluate(self.parameters, everything)
        self.converged = self._at_optimum(everything)

    def _evaluate(self, parameters: Array, which: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        observed = self._observed[which]
        curve, slope = self._law.family(observed[:, 0]).with_slopes(parameters)
        residual = curve - observed
        return residual, slope, (residual**2).sum(axis=1)

    def advance(self, active: NDArray[np.int64]) -> None:
        """Try one step of the fits named; keep it where it helps."""
        trial = np.clip(self.parameters[active] + self._step(active), self._law.lower, self._law.upper)
        residual, slope, sse = self._evaluate(trial, active)
        better = sse < self.sse[active]
        self._damping[active] = np.where(better, self._damping[active] / 8, self._damping[active] * 6)
        kept = active[better]
        self.parameters[kept], self.sse[kept] = trial[better], sse[better]
        self._residual[kept], self._slope[kept] = residual[better], slope[better]
        self.converged[active] = self._at_optimum(active)

    def _free_slope(self, which: NDArray[np.int64]) -> tuple[Array, Array]:
        """Take gradient and derivatives, with zeros for parameters that cannot or must not move."""
        slope, value = self._slope[which], self.parameters[which]
        gradient = np.einsum("nt,ntp->np", self._residual[which], slope)
        held = ((value <= self._law.lower) & (gradient > 0)) | ((value >= self._law.upper) & (gradient < 0))
        if self._fixed is not None:
            held[:, self._fixed] = True
        return np.where(held, 0.0, gradient), np.where(held[:, None, :], 0.0, slope)

    def _at_optimum(self, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        gradient, slope = self._free_slope(which)
        length = np.sqrt((slope**2).sum(axis=1) * self.sse[which][:, None])
        exact: NDArray[np.bool_] = self.sse[which] < 1e-22 * self._observed.shape[1]
        orthogonal: NDArray[np.bool_] = (np.abs(gradient) <= 1e-7 * length).all(axis=1)
        return exact | orthogonal

    def _step(self, which: NDArray[np.int64]) -> Array:
        gradient, slope = self._free_slope(which)
        normal = np.einsum("ntp,ntq->npq", slope, slope)
        diagonal = np.einsum("npp->np", normal)
        # A parameter without influence (held, or its group is exhausted) gets a unit pivot and a zero step.
        damped = np.where(diagonal > 0, diagonal * (1 + self._damping[which][:, None]), 1.0)
        np.einsum("npp->np", normal)[...] = damped
        step: Array = np.linalg.solve(normal, -gradient[:, :, None])[:, :, 0]
        return step


def grid_starts(law: CurveLaw, observed: Array, n_each: int = 8) -> Array:
    """Choose starts from the law's grid: its best points, and those that fit better than their neighbours.

    Valleys can be narrower than the grid is fine, and then only the one or only the other finds them.

    Args:
        law: The law.
        observed: One curve, shape ``(n_steps + 1,)``.
        n_each: How many of either kind there are at most.

    Returns:
        Parameters, shape ``(n_starts, n_parameters)``.
    """
    n_parameters = len(law.names)
    n_levels = max(2, min(law.levels.size, int(450 ** (1 / n_parameters))))
    chosen = law.levels[np.linspace(0, law.levels.size - 1, n_levels).round().astype(int)]
    grid = np.array(list(product(chosen, repeat=n_parameters)))
    curves = law.family(observed[:1]).curves(grid)
    distance = ((curves - observed) ** 2).sum(axis=1).reshape((n_levels,) * n_parameters)
    order = np.argsort(distance, axis=None, kind="stable")
    dips = order[_is_dip(distance).ravel()[order]]
    starts: Array = grid[np.union1d(order[:n_each], dips[:n_each])]
    return starts


def _is_dip(height: Array) -> NDArray[np.bool_]:
    """Whether no neighbour along any axis is lower."""
    dip = np.ones(height.shape, dtype=bool)
    for axis in range(height.ndim):
        rises = np.diff(height, axis=axis) >= 0
        edge = np.ones_like(rises.take([0], axis=axis))
        dip &= np.concatenate([rises, edge], axis=axis)
        dip &= np.concatenate([edge, ~rises], axis=axis)
    return dip


def checked_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1).

    Raises:
        DesignError: It is outside.
    """
    if not 0 < level < 1:
        raise DesignError(f"a confidence level lies between 0 and 1; got {level}")


def resampled_means(curves: Array, cluster: ArrayLike | None, n_bootstrap: int, seed: int) -> Array:
    """Draw realizations with replacement and average them.

    Args:
        curves: Shape ``(n_realizations, n_steps + 1)``.
        cluster: If given, whole clusters of realizations (the news items, say) are drawn, shape
            ``(n_realizations,)``.
        n_bootstrap: Number of resamples.
        seed: Fixes the result.

    Returns:
        Mean curves, shape ``(n_bootstrap, n_steps + 1)``.

    Raises:
        DesignError: `cluster` does not name a cluster for each realization.
    """
    labels = np.arange(len(curves)) if cluster is None else np.asarray(cluster)
    if labels.shape != (len(curves),):
        raise DesignError(f"cluster must name one cluster for each of {len(curves)} realizations")
    names, member = np.unique(labels, return_inverse=True)
    total = np.zeros((names.size, curves.shape[1]))
    np.add.at(total, member, curves)
    size = np.bincount(member)
    drawn = Streams(seed).generator("bootstrap").multinomial(
        names.size, np.full(names.size, 1 / names.size), size=n_bootstrap
    )  # fmt: skip
    means: Array = (drawn @ total) / (drawn @ size)[:, None]
    return means


def intervals(draws: Array, level: float) -> tuple[tuple[float, float], ...] | None:
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


@dataclass(frozen=True, slots=True)
class FittedParameters:
    """What fitting a `CurveLaw` finds.

    Attributes:
        values: Least-squares estimates, shape ``(n_parameters,)``.
        draws: Estimates from resampled realizations, shape ``(n_bootstrap, n_parameters)``; rows are empty
            for a single curve, and NaN where a fit did not converge.
        inferred: The fitted curve, shape ``(n_steps + 1,)``.
        warnings: What to know before using the estimates.
    """

    values: Array
    draws: Array
    inferred: Array
    warnings: tuple[str, ...]


def fit_curves(
    law: CurveLaw, curves: Array, cluster: ArrayLike | None, n_bootstrap: int, seed: int
) -> FittedParameters:
    """Fit a law to the mean of realizations, and to means of resampled realizations.

    Args:
        law: The law.
        curves: Checked curves, shape ``(n_realizations, n_steps + 1)``.
        cluster: Clusters that are resampled whole, shape ``(n_realizations,)``.
        n_bootstrap: Number of resamples.
        seed: Fixes the resamples.

    Raises:
        InputError: No start converged.
        DesignError: `cluster` does not fit the curves.
    """
    mean = curves.mean(axis=0)
    optima = _optima(law, mean)
    values = optima.parameters[0]
    n_bootstrap = n_bootstrap if len(curves) > 1 else 0
    draws = _refit(law, optima.parameters, resampled_means(curves, cluster, n_bootstrap, seed))
    inferred, slope = (found[0] for found in law.family(mean[:1]).with_slopes(values[None]))
    warnings = (
        *_bound_warnings(law, values),
        *_idle_warnings(law, values, slope),
        *_rival_warnings(law, optima, mean.size),
        *_bootstrap_warnings(len(curves), draws),
    )
    return FittedParameters(values, draws, inferred, warnings)


def _optima(law: CurveLaw, mean: Array) -> Solutions:
    """Solve from the grid and keep the distinct optima, best first."""
    starts = grid_starts(law, mean)
    every = least_squares(law, np.tile(mean, (len(starts), 1)), starts)
    distinct: list[int] = []
    for i in np.argsort(every.sse, kind="stable").tolist():
        if every.converged[i] and all(_differ(every.parameters[i], every.parameters[j]) for j in distinct):
            distinct.append(i)
    if not distinct:
        raise _bad(f"no fit of {', '.join(law.names)} converged from any of {len(starts)} starts")
    return Solutions(every.parameters[distinct], every.sse[distinct], every.converged[distinct])


def _differ(one: Array, other: Array) -> bool:
    return bool((np.abs(one - other) > 1e-3 * np.maximum(one, other).max()).any())


def _refit(law: CurveLaw, optima: Array, means: Array) -> Array:
    """Fit each resampled mean from every optimum of the mean, and keep the best."""
    draws = np.full((len(means), optima.shape[1]), np.nan)
    least = np.full(len(means), np.inf)
    for start in optima if len(means) else ():
        found = least_squares(law, means, np.tile(start, (len(means), 1)))
        better = found.converged & (found.sse < least * (1 - 1e-6))
        draws[better], least[better] = found.parameters[better], found.sse[better]
    return draws


def _bound_warnings(law: CurveLaw, values: Array) -> list[str]:
    found = []
    for name, value in zip(law.names, values, strict=True):
        if value <= law.lower:
            found.append(
                f"{name} is at its lower bound {law.lower:g}: its group hardly engages in these steps"
            )
        elif value >= law.upper:
            found.append(f"{name} is at its upper bound {law.upper:g}")
    return found


def _idle_warnings(law: CurveLaw, values: Array, slope: Array) -> list[str]:
    reach = np.abs(slope).max(axis=0) * np.maximum(values, 0.01 * law.upper)
    return [
        f"the curve does not depend on {name} near its estimate: its steps are too coarse to measure it"
        for name, effect in zip(law.names, reach, strict=True)
        if effect < 1e-6
    ]


def _rival_warnings(law: CurveLaw, optima: Solutions, n_points: int) -> list[str]:
    close = optima.parameters[1:][optima.sse[1:] <= 1.5 * optima.sse[0] + 1e-12 * n_points]
    rivals = [
        ", ".join(f"{name} = {value:.4g}" for name, value in zip(law.names, rival, strict=True))
        for rival in close
    ]
    if not rivals:
        return []
    return [f"other parameters fit nearly as well ({'; '.join(rivals)}): the curve does not tell them apart"]


def _bootstrap_warnings(n_realizations: int, draws: Array) -> list[str]:
    if n_realizations == 1:
        return ["a single curve has no interval: give one curve for each realization"]
    found = []
    if n_realizations < 10:
        found.append(f"{n_realizations} realizations are few: the bootstrap intervals are too narrow")
    if n_failed := int(np.isnan(draws).any(axis=1).sum()):
        found.append(f"{n_failed} of {len(draws)} bootstrap fits did not converge and are left out")
    return found


@dataclass(frozen=True, slots=True)
class Profile:
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


def profile(law: CurveLaw, mean: Array, best: Array, index: int, *, level: float, n_values: int) -> Profile:
    """Profile one parameter of a fitted law.

    Args:
        law: The law.
        mean: The mean observed curve, shape ``(n_steps + 1,)``.
        best: The least-squares estimates.
        index: Which parameter.
        level: Confidence level in (0, 1).
        n_values: Number of values to try.

    Raises:
        DesignError: `level` is not in (0, 1).
    """
    from scipy.stats import chi2

    checked_level(level)
    curve, slope = law.family(mean[:1]).with_slopes(best[None])
    least = max(rmse(curve[0], mean) ** 2 * mean.size, 1e-18)
    limit = least * math.exp(float(chi2.ppf(level, 1)) / mean.size)
    ends, beyond = np.array([best[index]] * 2), np.array([False, False])
    reach = _standard_error(slope[0], least, index) * np.array([-1.0, 1.0])
    while not beyond.all():
        reach *= 2
        ends = np.clip(best[index] + reach, law.lower, law.upper)
        beyond = (_profiled(law, mean, best, index, ends) > limit) | np.isin(ends, (law.lower, law.upper))
    values = np.union1d(np.linspace(float(ends[0]), float(ends[1]), n_values), best[index])
    sse = _profiled(law, mean, best, index, values)
    return Profile(law.names[index], values, sse, _within(values, sse, limit), level)


def _standard_error(slope: Array, sse: float, index: int) -> float:
    inverse = np.linalg.pinv(slope.T @ slope)
    freedom = max(len(slope) - slope.shape[1], 1)
    return max(math.sqrt(sse / freedom * inverse[index, index]), 1e-9)


def _profiled(law: CurveLaw, mean: Array, best: Array, index: int, values: Array) -> Array:
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
