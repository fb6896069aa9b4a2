"""Newton's method for logistic laws on cells of counts: maximum likelihood, and Firth's penalized likelihood.

With at most 64 cells the cost does not depend on the number of decisions. Firth's penalty, half the log
determinant of the information (Jeffreys' prior), takes away the first-order bias and keeps every weight
finite (Firth 1993, Heinze & Schemper 2002). In a cell of n decisions with yes-probability p its score is

    y - n p + h (1/2 - p),

where h is the cell's share of the hat matrix's trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.algebra import inverse, log_determinant, solve
from agentnet.errors import InternalError

Array = NDArray[np.float64]

_STEPS = 300


class Optimum(NamedTuple):
    """Where a likelihood is highest.

    Attributes:
        weights: Shape ``(n_weights,)``.
        covariance: Inverse Fisher information there, shape ``(n_weights, n_weights)``.
        log_likelihood: Without penalty, in nats, and without the binomial coefficients: that of single rows.
    """

    weights: Array
    covariance: Array
    log_likelihood: float


def probability(logit: Array) -> Array:
    """Turn logits into probabilities; +-infinity becomes 1 or 0, NaN stays."""
    with np.errstate(invalid="ignore"):
        found: Array = np.exp(-np.logaddexp(0.0, -logit))
    return found


def _floats(values: NDArray[Any]) -> Array:
    # The stubs lose the precision of a product of integers and floats, which is always double.
    return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class BinomialCells:
    """Decisions in cells.

    Attributes:
        design: Covariates of each cell, shape ``(n_cells, n_weights)``, of full column rank.
        n_yes: Yes in each cell, shape ``(n_cells,)``.
        n_asked: Decisions in each cell, > 0, same shape.
        firth: Whether the likelihood is penalized. Without penalty the cells must not be separated.
    """

    design: Array
    n_yes: NDArray[np.int64]
    n_asked: NDArray[np.int64]
    firth: bool = False

    def maximize(self) -> Optimum:
        """Find the weights of highest likelihood.

        Raises:
            InputError: The cells do not determine the weights.
            InternalError: Newton's method did not converge.
        """
        weights = np.zeros(self.design.shape[1])
        for _ in range(_STEPS):
            step = self._newton_step(weights)
            # Closer than this, rounding decides which of two heights is the greater.
            if np.abs(step).max(initial=0.0) < 1e-7:
                return self._polished(weights + step)
            weights = self._climb(weights, step)
        raise InternalError(f"Newton's method took {_STEPS} steps on {self.n_asked.sum()} decisions in vain")

    def log_likelihood(self, weights: Array) -> float:
        """Add up the log-likelihood of single decisions, in nats."""
        logit = self.design @ weights
        return float((self.n_yes * logit - self.n_asked * np.logaddexp(0.0, logit)).sum())

    def _height(self, weights: Array) -> float:
        penalty = 0.5 * log_determinant(self._information(weights)) if self.firth else 0.0
        return self.log_likelihood(weights) + penalty

    def _variance(self, weights: Array) -> Array:
        logit = self.design @ weights
        return self.n_asked * probability(logit) * probability(-logit)

    def _information(self, weights: Array) -> Array:
        information: Array = self.design.T @ (self._variance(weights)[:, None] * self.design)
        return information

    def _newton_step(self, weights: Array) -> Array:
        chance, variance = probability(self.design @ weights), self._variance(weights)
        excess = self.n_yes - self.n_asked * chance
        if self.firth:
            spread = solve(self._information(weights), self.design.T)
            leverage = variance * np.einsum("cw,wc->c", self.design, spread)
            excess = excess + leverage * (0.5 - chance)
            # The penalty acts like `leverage` more decisions; without them steps overshoot small cells.
            variance = variance * (1 + leverage / self.n_asked)
        curvature = self.design.T @ (variance[:, None] * self.design)
        return solve(curvature, self.design.T @ excess)

    def _climb(self, weights: Array, step: Array) -> Array:
        """Take the longest of the step's halvings that climbs."""
        height = self._height(weights)
        step = step * min(1.0, 5.0 / float(np.abs(step).max()))
        while self._height(weights + step) < height - 1e-12 * abs(height):
            step = step / 2
        return weights + step

    def _polished(self, weights: Array) -> Optimum:
        """Go on without looking at the height until rounding stops the steps from shrinking."""
        step, last = self._newton_step(weights), np.inf
        while 0.0 < (size := float(np.abs(step).max(initial=0.0))) < last:
            weights, last = weights + step, size
            step = self._newton_step(weights)
        covariance = inverse(self._information(weights))
        return Optimum(weights, covariance, self.log_likelihood(weights))
