"""Bounded least squares for laws of curves: many fits side by side, from a grid of starts.

Laws have a handful of parameters, are cheap, and are fitted hundreds of times (starts, bootstrap, profiles).
A general solver called in a loop spends its time on overhead; here all fits advance together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.algebra import least_norm

Array = NDArray[np.float64]


class CurveFamily(Protocol):
    """Curves of many parameter sets, each of shape ``(n_fits, n_parameters)``."""

    def curves(self, parameters: Array) -> Array:
        """Evaluate the curves, shape ``(n_fits, n_steps + 1)``."""
        ...

    def with_slopes(self, parameters: Array) -> tuple[Array, Array]:
        """Evaluate the curves and their derivatives, shape ``(n_fits, n_steps + 1, n_parameters)``."""
        ...


@dataclass(frozen=True, slots=True)
class OpenLaw:
    """A law of curves whose parameters are open: a family of curves to fit.

    Attributes:
        names: Names of the parameters.
        family: Makes the curves for given engaged fractions at step 0, shape ``(n_fits,)`` or ``(1,)``.
        lower: Lower bound of each parameter, shape ``(n_parameters,)``.
        upper: Upper bound of each, same shape.
        levels: Values of each that the grid of starts combines, rising.
        n_iterations: A fit that has not converged after so many is given up.
    """

    names: tuple[str, ...]
    family: Callable[[Array], CurveFamily]
    lower: Array
    upper: Array
    levels: tuple[Array, ...]
    n_iterations: int = 60

    @property
    def scale(self) -> Array:
        """How large each parameter may well be, shape ``(n_parameters,)``: its highest start."""
        return np.array([np.abs(level).max() for level in self.levels])


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


def least_squares(law: OpenLaw, observed: Array, starts: Array, fixed: int | None = None) -> Solutions:
    """Minimize the squared distance to observed curves within the law's bounds, for many fits at once.

    Levenberg-Marquardt with projection onto the bounds: a parameter at a bound that the gradient pushes
    against stays out of the step (Kanzow, Yamashita & Fukushima 2004). A fit has converged when its residuals
    are orthogonal to the derivatives, to 1e-7 in the cosine; where rounding lets no step help any more before
    that, 1e-5 will do.

    Args:
        law: The law.
        observed: Curves, shape ``(n_fits, n_steps + 1)``.
        starts: Where to begin, shape ``(n_fits, n_parameters)``.
        fixed: A parameter that stays at its start.
    """
    state = _Descent(law, observed, starts, fixed)
    for _ in range(law.n_iterations):
        active = np.flatnonzero(~state.converged)
        if not active.size:
            break
        state.advance(active)
    everything = np.arange(len(starts))
    return Solutions(state.parameters, state.sse, state.converged | state.at_optimum(everything, 1e-5))


class _Descent:
    """The state of all fits."""

    def __init__(self, law: OpenLaw, observed: Array, starts: Array, fixed: int | None) -> None:
        self._law, self._observed, self._fixed = law, observed, fixed
        self.parameters = np.clip(starts, law.lower, law.upper)
        self._damping = np.full(len(starts), 1e-3)
        everything = np.arange(len(starts))
        self._residual, self._slope, self.sse = self._evaluate(self.parameters, everything)
        self.converged = self.at_optimum(everything)

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
        self.converged[active] = self.at_optimum(active)

    def _free_slope(self, which: NDArray[np.int64]) -> tuple[Array, Array]:
        """Take gradient and derivatives, with zeros for parameters that cannot or must not move."""
        slope, value = self._slope[which], self.parameters[which]
        gradient = np.einsum("nt,ntp->np", self._residual[which], slope)
        held = ((value <= self._law.lower) & (gradient > 0)) | ((value >= self._law.upper) & (gradient < 0))
        if self._fixed is not None:
            held[:, self._fixed] = True
        return np.where(held, 0.0, gradient), np.where(held[:, None, :], 0.0, slope)

    def at_optimum(self, which: NDArray[np.int64], cosine: float = 1e-7) -> NDArray[np.bool_]:
        """Say of the fits named whether they are at an optimum."""
        gradient, slope = self._free_slope(which)
        length = np.sqrt((slope**2).sum(axis=1) * self.sse[which][:, None])
        exact: NDArray[np.bool_] = self.sse[which] < 1e-22 * self._observed.shape[1]
        orthogonal: NDArray[np.bool_] = (np.abs(gradient) <= cosine * length).all(axis=1)
        return exact | orthogonal

    def _step(self, which: NDArray[np.int64]) -> Array:
        gradient, slope = self._free_slope(which)
        normal = np.einsum("ntp,ntq->npq", slope, slope)
        diagonal = np.einsum("npp->np", normal)
        # A parameter without influence (held, or its group is exhausted) gets a unit pivot and a zero step.
        damped = np.where(diagonal > 0, diagonal * (1 + self._damping[which][:, None]), 1.0)
        np.einsum("npp->np", normal)[...] = damped
        return least_norm(normal, -gradient)


def grid_starts(law: OpenLaw, observed: Array, n_each: int = 8) -> Array:
    """Choose starts from the law's grid: its best points, and those that fit better than their neighbours.

    Valleys can be narrower than the grid is fine, and then only the one or only the other finds them.

    Args:
        law: The law.
        observed: One curve, shape ``(n_steps + 1,)``.
        n_each: How many of either kind there are at most.

    Returns:
        Parameters, shape ``(n_starts, n_parameters)``.
    """
    most = int(450 ** (1 / len(law.names)))
    chosen = [thinned(level, max(2, most)) for level in law.levels]
    grid = np.array(list(product(*chosen)))
    curves = law.family(observed[:1]).curves(grid)
    distance = ((curves - observed) ** 2).sum(axis=1).reshape([level.size for level in chosen])
    order = np.argsort(distance, axis=None, kind="stable")
    dips = order[_is_dip(distance).ravel()[order]]
    starts: Array = grid[np.union1d(order[:n_each], dips[:n_each])]
    return starts


def thinned(level: Array, most: int) -> Array:
    """Keep at most so many of the values, evenly, both ends among them."""
    kept: Array = level[np.linspace(0, level.size - 1, min(most, level.size)).round().astype(int)]
    return kept


def _is_dip(height: Array) -> NDArray[np.bool_]:
    """Whether no neighbour along any axis is lower."""
    dip = np.ones(height.shape, dtype=bool)
    for axis in range(height.ndim):
        rises = np.diff(height, axis=axis) >= 0
        edge = np.ones_like(rises.take([0], axis=axis))
        dip &= np.concatenate([rises, edge], axis=axis)
        dip &= np.concatenate([edge, ~rises], axis=axis)
    return dip
