"""Logistic laws on cells of counts: separation, maximum likelihood, and Firth's penalized likelihood.

If some direction d of the weights never lowers the probability of what was observed (x d >= 0 in cells that
said only yes, <= 0 in cells that said only no, = 0 in cells that said both) and raises it in one cell, then
no finite maximum-likelihood estimate exists (Albert & Anderson 1984): the likelihood rises for ever along d.
These directions form a cone. A linear program finds which cells it reaches (Konis 2007), posed so that each
answer is 0 or 1, which no solver's tolerance can blur; Farkas' lemma gives the sign of each weight along it.
What is left is found by Newton's method.

With at most 64 cells the cost does not depend on the number of decisions. Firth's penalty, half the log
determinant of the information (Jeffreys' prior), takes away the first-order bias and keeps every weight
finite (Firth 1993, Heinze & Schemper 2002). In a cell of n decisions with yes-probability p its score is

    y - n p + h (1/2 - p),

where h is the cell's share of the hat matrix's trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.algebra import inverse, log_determinant, null_space, solve
from agentnet.errors import InternalError

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]

_ZERO = 1e-9


@dataclass(frozen=True, slots=True)
class Separation:
    """The cone of directions along which the likelihood rises for ever.

    Attributes:
        design: Covariates of the observed cells, shape ``(n_cells, n_weights)``, of full column rank.
        sign: +1 for cells that said only yes, -1 for only no, 0 for both, shape ``(n_cells,)``.
        reached: Cells whose fitted probability is exactly 0 or 1, shape ``(n_cells,)``.
        basis: Orthonormal basis of the weights that the other cells determine, shape ``(n_weights, rank)``.
        span: Orthonormal basis of the cone's span, shape ``(n_weights, n_weights - rank)``.
    """

    design: Array
    sign: NDArray[np.int64]
    reached: Mask
    basis: Array
    span: Array

    def directions(self, functionals: Array) -> Array:
        """Tell where linear functions of the weights go.

        Args:
            functionals: Shape ``(n_functions, n_weights)``.

        Returns:
            Shape ``(n_functions,)``: 0 for one that stays finite, +1 or -1 for one that goes to +-infinity,
            NaN for one that the cone pushes both ways.
        """
        image = functionals @ self.span
        pushes = self.sign[self.reached, None] * (self.design[self.reached] @ self.span)
        found = np.zeros(len(functionals))
        for index in np.flatnonzero((np.abs(image) > _ZERO).any(axis=1)):
            up, down = (_is_sum_of(pushes, side * image[index]) for side in (1.0, -1.0))
            found[index] = 1.0 if up else -1.0 if down else np.nan
        return found


def _is_sum_of(pushes: Array, functional: Array) -> bool:
    """Whether a function is a sum of the cells' pushes, none negative, and so never falls (Farkas' lemma)."""
    from scipy.optimize import nnls

    # Pushes are made of zeros and ones: a function outside their hull is far outside.
    return bool(nnls(pushes.T, functional)[1] < 1e-6)


def whole_space(design: Array) -> Separation:
    """Describe cells that nothing separates."""
    n_cells, n_weights = design.shape
    nothing = np.zeros(n_cells, dtype=np.int64)
    return Separation(design, nothing, nothing.astype(bool), np.eye(n_weights), np.zeros((n_weights, 0)))


def separation(design: Array, n_yes: NDArray[np.int64], n_no: NDArray[np.int64]) -> Separation:
    """Find the directions along which the likelihood of cells rises for ever.

    Args:
        design: Covariates of each cell, shape ``(n_cells, n_weights)``, of full column rank.
        n_yes: Yes in each cell, shape ``(n_cells,)``.
        n_no: No in each cell, same shape; no cell is empty.
    """
    sign = (n_no == 0).astype(np.int64) - (n_yes == 0)
    reached = _reached(design, sign)
    if not reached.any():
        return whole_space(design)
    span = null_space(design[~reached])
    return Separation(design, sign, reached, null_space(span.T), span)


def _reached(design: Array, sign: NDArray[np.int64]) -> Mask:
    """Find the cells that some direction of the cone moves.

    The program maximizes sum u over directions d with 0 <= u_i <= 1 and u_i <= sign_i x_i d. Directions can
    be added and stretched, so at the optimum u_i is 1 in every cell that can be moved, and 0 in the others.
    """
    from scipy.optimize import linprog

    one_sided = np.flatnonzero(sign)
    reached = np.zeros(len(design), dtype=bool)
    pushes = sign[one_sided, None] * (design[one_sided] @ null_space(design[sign == 0]))
    free = (np.abs(pushes) > _ZERO).any(axis=1)
    # The sum of all pushes is the obvious direction: where it helps every free cell, no program is needed.
    if (pushes[free] @ pushes[free].sum(axis=0) > 1e-6).all():
        reached[one_sided[free]] = True
        return reached
    n_weights = design.shape[1]
    mixed = design[sign == 0]
    answer = linprog(
        np.concatenate([np.zeros(n_weights), -np.ones(one_sided.size)]),
        A_ub=np.hstack([-sign[one_sided, None] * design[one_sided], np.eye(one_sided.size)]),
        b_ub=np.zeros(one_sided.size),
        A_eq=np.hstack([mixed, np.zeros((len(mixed), one_sided.size))]),
        b_eq=np.zeros(len(mixed)),
        bounds=[(None, None)] * n_weights + [(0.0, 1.0)] * one_sided.size,
        method="highs",
    )
    assert answer.x is not None, "directions of 0 solve the program, so there is a best solution"
    reached[one_sided] = answer.x[n_weights:] > 0.5
    return reached


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

    def maximize(self, n_steps: int = 300) -> Optimum:
        """Find the weights of highest likelihood.

        Args:
            n_steps: Give up after so many.

        Raises:
            InputError: The cells do not determine the weights.
            InternalError: Newton's method did not converge.
        """
        weights = np.zeros(self.design.shape[1])
        for _ in range(n_steps):
            step = self._newton_step(weights)
            # Closer than this, rounding decides which of two heights is the greater.
            if np.abs(step).max(initial=0.0) < 1e-7:
                return self._polished(weights + step)
            weights = self._climb(weights, step)
        raise InternalError(f"Newton's method took {n_steps} steps on {self.n_asked.sum()} decisions in vain")

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
