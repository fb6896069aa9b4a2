"""The SI laws as one integral: fast, exact curves and their derivatives.

Classes j of unengaged agents, each a fraction u_j of the population at step 0, engage by

    dU_j/dt = -r_j U_j F,    F = 1 - sum_j v_j exp(-r_j s),    ds/dt = F,  s(0) = 0,

so U_j = u_j exp(-r_j s). F is the engaged fraction as seen along a random link (v_j = u_j on a regular
network) and s its integral over time. What is left is the scalar t(s) = int_0^s ds' / F(s'), to be inverted
at the steps wanted.

In y = log(1 + a s / F(0)) with a = sum_j r_j v_j the integrand is smooth whatever the scales of the rates
(y / a is the time that the linearized law takes to reach s; a is raised to F(0) max r_j if it is below).
Panels of ten Gauss-Legendre points and a width of at most 0.4 in y give t to some 1e-12; inside a panel the
integral of the interpolating polynomial is inverted by Newton's method. Differentiating t(s) at fixed t gives

    ds/dr_j = F(s) int_0^s v_j s' exp(-r_j s') / F(s')^2 ds'

from the same panels. Everything is computed for many parameter sets at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_WIDTH = 0.4
_N_POINTS = 10
_N_NEWTON = 3
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_N_POINTS)
_PLACES = (_NODES + 1) / 2
_TO_POWERS = np.linalg.inv(np.vander(_NODES, increasing=True)).T
"""Values at the nodes, times this, are the coefficients of the polynomial through them."""


@dataclass(frozen=True, slots=True)
class SIClasses:
    """Classes of unengaged agents.

    Attributes:
        share: Fraction u_j of the population, shape ``(n_classes,)`` or ``(n_sets, n_classes)``.
        seen: Weight v_j along a random link, same shape; its sum is below 1.
        load: Rate of each class per unit of each parameter, shape ``(n_classes, n_parameters)``:
            r = load @ tau.
    """

    share: Array
    seen: Array
    load: Array

    def unengaged(self, tau: Array, steps: Array) -> Array:
        """Evaluate u_j exp(-r_j s).

        Args:
            tau: Parameters, shape ``(n_sets, n_parameters)``, >= 0.
            steps: Times, shape ``(n_steps,)``, >= 0.

        Returns:
            Fractions of the population, shape ``(n_sets, n_classes, n_steps)``.
        """
        rates = tau @ self.load.T
        s = _Integral(rates, self.seen, steps).s
        unengaged: Array = self.share[..., None] * np.exp(-rates[:, :, None] * s[:, None, :])
        return unengaged


@dataclass(frozen=True, slots=True)
class SICurves:
    """The engaged fraction at fixed times, by the parameters.

    Attributes:
        classes: Classes of unengaged agents.
        steps: Times, shape ``(n_steps,)``, >= 0.
    """

    classes: SIClasses
    steps: Array

    def curves(self, tau: Array) -> Array:
        """Evaluate E, shape ``(n_sets, n_steps)``, for parameters of shape ``(n_sets, n_parameters)``."""
        engaged: Array = 1 - self.classes.unengaged(tau, self.steps).sum(axis=1)
        return engaged

    def with_slopes(self, tau: Array) -> tuple[Array, Array]:
        """Evaluate E and its derivatives, shape ``(n_sets, n_steps, n_parameters)``."""
        load, share = self.classes.load, self.classes.share
        rates = tau @ load.T
        integral = _Integral(rates, self.classes.seen, self.steps)
        left = share[..., None] * np.exp(-rates[:, :, None] * integral.s[:, None, :])
        direct = np.einsum("njt,jp->ntp", left, load) * integral.s[:, :, None]
        through = integral.slope(load) * np.einsum("nj,njt->nt", rates, left)[:, :, None]
        return 1 - left.sum(axis=1), direct + through


class _Integral:
    """t(s) on panels, and its inverse at the steps.

    Args:
        rates: Rates r_j, shape ``(n_sets, n_classes)``.
        seen: Weights v_j, shape ``(n_classes,)`` or ``(n_sets, n_classes)``.
        steps: Times wanted, shape ``(n_steps,)``.

    Attributes:
        s: The integral s at the steps, shape ``(n_sets, n_steps)``.
    """

    __slots__ = ("_dt", "_force_at_nodes", "_here", "_nodes_s", "_panel", "_rates", "_seen", "s")

    def __init__(self, rates: Array, seen: Array, steps: Array) -> None:
        self._rates, self._seen = rates, np.broadcast_to(seen, rates.shape)
        start = 1 - self._seen.sum(axis=1)[:, None]
        last = max(float(steps.max(initial=0.0)), 1e-9)
        growth = (rates * self._seen).sum(axis=1)[:, None]
        # A small but quick class bends F before the others do; and with no rate at all there is no scale.
        growth = np.maximum(growth, np.maximum(start * rates.max(axis=1)[:, None], 1e-3 / last))
        top = np.log1p(growth * last / start)
        n_panels = math.ceil(float(top.max()) / _WIDTH)
        width = top / n_panels
        mapped = np.expm1(width * (np.arange(n_panels)[:, None] + _PLACES).ravel())
        self._nodes_s = start / growth * mapped
        self._force_at_nodes = self._force(self._nodes_s)
        dt = 0.5 * width * start / growth * (mapped + 1) / self._force_at_nodes
        self._dt = dt.reshape(len(rates), n_panels, _N_POINTS)
        self._panel, self._here = self._locate(steps)
        place = self._panel + (self._here + 1) / 2
        self.s = start / growth * np.expm1(width * place)

    def _force(self, s: Array) -> Array:
        """Evaluate F(s), exactly also where F is tiny."""
        gone = np.expm1(-self._rates[:, :, None] * s[:, None, :])
        force: Array = 1 - self._seen.sum(axis=1)[:, None] - np.einsum("nj,njs->ns", self._seen, gone)
        return force

    def _locate(self, steps: Array) -> tuple[NDArray[np.int64], Array]:
        """Find the panel of each step and the place inside it, in [-1, 1]."""
        ends = np.cumsum(self._dt @ _WEIGHTS, axis=1)
        panel = np.minimum((ends[:, None, :] <= steps[:, None]).sum(axis=2), ends.shape[1] - 1)
        rest = steps - self._before(self._dt, panel)
        factors = np.take_along_axis(self._dt @ _TO_POWERS, panel[:, :, None], axis=1)
        place = 2 * rest / np.take_along_axis(self._dt @ _WEIGHTS, panel, axis=1) - 1
        for _ in range(_N_NEWTON):
            powers = _powers(place)
            missed = _primitive(factors, place, powers) - rest
            place = np.clip(place - missed / np.einsum("nsk,nsk->ns", factors, powers), -1, 1)
        return panel, place

    @staticmethod
    def _before(nodes: Array, panel: NDArray[np.int64]) -> Array:
        """Integrate over the panels before each step's own."""
        whole = nodes @ _WEIGHTS
        return np.take_along_axis(np.cumsum(whole, axis=1) - whole, panel, axis=1)

    def slope(self, load: Array) -> Array:
        """Differentiate s at the steps by the parameters, shape ``(n_sets, n_steps, n_parameters)``."""
        decay = self._seen[:, :, None] * np.exp(-self._rates[:, :, None] * self._nodes_s[:, None, :])
        powers = _powers(self._here)
        found = [
            self._up_to_step(
                np.einsum("njs,j->ns", decay, column) * self._nodes_s / self._force_at_nodes, powers
            )
            for column in load.T
        ]
        slope: Array = np.stack(found, axis=-1) * self._force(self.s)[:, :, None]
        return slope

    def _up_to_step(self, integrand: Array, powers: Array) -> Array:
        """Integrate ``integrand dt`` from 0 to each step, whose places have these powers."""
        nodes = integrand.reshape(self._dt.shape) * self._dt
        factors = np.take_along_axis(nodes @ _TO_POWERS, self._panel[:, :, None], axis=1)
        return self._before(nodes, self._panel) + _primitive(factors, self._here, powers)


def _powers(place: Array) -> Array:
    """Raise to the powers 0, 1, ..., along a new last axis."""
    powers = np.ones((*place.shape, _N_POINTS))
    for power in range(1, _N_POINTS):  # a third of the time that cumprod takes over so short an axis
        np.multiply(powers[..., power - 1], place, out=powers[..., power])
    return powers


def _primitive(factors: Array, place: Array, powers: Array) -> Array:
    """Integrate polynomials, lowest power first, from -1 to `place`."""
    raised = factors / np.arange(1, _N_POINTS + 1)
    upper: Array = place * np.einsum("nsk,nsk->ns", raised, powers)
    return upper + raised @ (-1.0) ** np.arange(_N_POINTS)
