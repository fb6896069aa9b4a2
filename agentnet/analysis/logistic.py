"""Logistic laws of single decisions: who says yes to an exposure, by profile and severity.

Three laws (Tian et al. 2026, equation 1, table 1, appendix A), all fitted to the (profile, severity) cells:

- full: a weight for each profile, and one for severity;
- main effects: an intercept, a weight for each trait, and one for severity;
- groups: a weight for each group of profiles, and one for severity.

A profile that says only yes or only no has no finite maximum-likelihood weight. That is the normal case here,
it is found exactly, and such weights are reported as +-infinity while the others keep their estimates;
Firth's penalized fit gives finite ones. Weights about which there are no data are NaN. Decisions of one
cascade or of one news item are not independent: `agentnet.analysis.inference` has cluster-robust standard
errors, and tests.

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

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.algebra import inverse, log_determinant, null_space, singular_vectors, solve
from agentnet.analysis.estimates import Estimates, check_answers
from agentnet.analysis.tables import N_CELLS, Cells
from agentnet.errors import DesignError, InputError, InternalError, near_miss
from agentnet.vocabulary import N_PROFILES, TRAITS

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]
Method = Literal["maximum likelihood", "firth"]

_PROFILE_BITS = (np.arange(N_PROFILES)[:, None] >> np.arange(4, -1, -1)) & 1
_SEVERITY = np.tile([0.0, 1.0], N_PROFILES)

CONTRASTS = (*TRAITS, "severity")
"""Weights of differences: what they tell comes from decisions with the covariate and from those without."""

_ZERO = 1e-9
_FAR = 1e-6  # pushes are made of zeros and ones: a function outside their hull is far outside


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
    # Mostly it is one of the pushes, or falls along a direction that none falls along: no program is needed.
    if (np.abs(pushes - functional) < _ZERO).all(axis=1).any():
        return True
    together = pushes.sum(axis=0)
    if (pushes @ together >= 0.0).all() and functional @ together < -_FAR * np.linalg.norm(together):
        return False
    from scipy.optimize import nnls

    return bool(nnls(pushes.T, functional)[1] < _FAR)


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
    one_sided = np.flatnonzero(sign)
    reached = np.zeros(len(design), dtype=bool)
    pushes = sign[one_sided, None] * (design[one_sided] @ null_space(design[sign == 0]))
    free = (np.abs(pushes) > _ZERO).any(axis=1)
    # The sum of all pushes is the obvious direction: where it helps every free cell, no program is needed.
    if (pushes[free] @ pushes[free].sum(axis=0) > 1e-6).all():
        reached[one_sided[free]] = True
        return reached
    from scipy.optimize import linprog

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
        raise InternalError(
            f"Newton's method took {n_steps} steps on {self.n_asked.sum():,} decisions in vain"
        )

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


@dataclass(frozen=True, slots=True)
class FittedCells:
    """What was fitted: the observed cells and the weights that they tell apart.

    Attributes:
        cell: Numbers of the observed cells, profile * 2 + severity, shape ``(n_cells,)``.
        n_yes: Yes in each, same shape.
        n_asked: Decisions in each, same shape.
        columns: Numbers of the weights that are fitted, shape ``(n_fitted,)``.
        cone: How they are separated.
        finite: Which of them are finite, shape ``(n_fitted,)``.
        inverse: Inverse information in the coordinates ``cone.basis``.
        chance: Fitted probability of yes in the cells that the cone does not reach.
    """

    cell: NDArray[np.int64]
    n_yes: NDArray[np.int64]
    n_asked: NDArray[np.int64]
    columns: NDArray[np.int64]
    cone: Separation
    finite: NDArray[np.bool_]
    inverse: Array
    chance: Array

    def covariance(self, inner: Array, n_names: int) -> Array:
        """Carry a covariance in the coordinates ``cone.basis`` over to all weights."""
        fitted = self.cone.basis @ inner @ self.cone.basis.T
        found = np.full((n_names, n_names), np.nan)
        finite = self.columns[self.finite]
        found[np.ix_(finite, finite)] = fitted[np.ix_(self.finite, self.finite)]
        return found


@dataclass(frozen=True, slots=True)
class LogisticFit(Estimates):
    """A fitted logistic law, with a weight (log-odds) for each profile, trait or group, and for severity.

    Attributes:
        law: ``full``, ``main effects`` or ``groups``.
        method: ``maximum likelihood`` or ``firth``.
        transmission_probability: Chance of a yes in each (profile, severity) cell, shape ``(32, 2)``; NaN for
            a cell about which the data say nothing.
        separated: Names of the infinite weights.
        counts_in: In which cells each weight counts, shape ``(n_weights, 32, 2)``; an intercept in all.
        data: What was fitted, for `agentnet.analysis.inference`.
    """

    law: str
    method: Method
    transmission_probability: Array
    separated: tuple[str, ...]
    counts_in: NDArray[np.bool_] = field(repr=False)
    data: FittedCells = field(repr=False)

    @property
    def weights(self) -> Array:
        """The log-odds, shape ``(n_weights,)``; a profile's has its bit string in its name."""
        return self.values

    def weight(self, name: str) -> float:
        """Look a weight up by name.

        Raises:
            DesignError: There is no such weight.
        """
        return float(self.values[self.index(name)])


def fit_full(cells: Cells, *, method: Method = "maximum likelihood") -> LogisticFit:
    """Fit a weight for each profile and one for severity.

    Args:
        cells: Counts of decisions.
        method: ``"maximum likelihood"``, or ``"firth"`` for weights that are always finite.

    Raises:
        InputError: There are no exposures, all say the same, or all are of one profile.
        DesignError: There is no such method.
    """
    names = tuple(f"profile_{profile:05b}" for profile in range(N_PROFILES))
    return _fit("full", names, np.eye(N_PROFILES), cells, method)


def fit_main_effects(cells: Cells, *, method: Method = "maximum likelihood") -> LogisticFit:
    """Fit an intercept, a weight for each trait, and one for severity.

    Args:
        cells: Counts of decisions.
        method: ``"maximum likelihood"``, or ``"firth"`` for weights that are always finite.

    Raises:
        InputError: There are no exposures, all say the same, or the profiles cannot tell the traits apart.
        DesignError: There is no such method.
    """
    by_profile = np.column_stack([np.ones(N_PROFILES), _PROFILE_BITS])
    return _fit("main effects", ("intercept", *TRAITS), by_profile, cells, method)


def fit_groups(cells: Cells, groups: ArrayLike, *, method: Method = "maximum likelihood") -> LogisticFit:
    """Fit a weight for each group of profiles and one for severity.

    Args:
        cells: Counts of decisions.
        groups: Group of each profile, 0, 1, ..., shape ``(32,)``.
        method: ``"maximum likelihood"``, or ``"firth"`` for weights that are always finite.

    Raises:
        InputError: There are no exposures, all say the same, or all are of one profile.
        DesignError: `groups` is no grouping, or there is no such method.

    Examples:
        >>> n_yes, n_no = np.zeros((2, 32, 2), dtype=np.int64)
        >>> n_yes[3], n_no[3], n_yes[20] = (1, 1), (3, 9), (8, 5)
        >>> fit = fit_groups(Cells(n_yes, n_no), np.arange(32) // 16)
        >>> fit.names, fit.weights.round(2)
        (('group_1', 'group_2', 'severity'), array([-1.1,  inf, -1.1]))
    """
    group = np.asarray(groups)
    if group.shape != (N_PROFILES,) or group.dtype.kind not in "iu" or group.min() < 0:
        raise DesignError(
            f"groups must be {N_PROFILES} integers of at least 0; got {group.shape} of {group.dtype}"
        )
    n_groups = int(group.max()) + 1
    if missing := sorted(set(range(n_groups)) - set(group.tolist())):
        raise DesignError(
            f"groups must be numbered without gaps from 0; there is no profile in group {missing[0]}"
        )
    names = tuple(f"group_{number + 1}" for number in range(n_groups))
    return _fit("groups", names, np.eye(n_groups)[group], cells, method)


def _fit(law: str, names: tuple[str, ...], by_profile: Array, cells: Cells, method: Method) -> LogisticFit:
    if method not in (methods := get_args(Method)):
        raise DesignError(f"there is no method {method!r}{near_miss(str(method), methods)}")
    names = (*names, "severity")
    everywhere = np.column_stack([np.repeat(by_profile, 2, axis=0), _SEVERITY])
    n_yes, n_asked = cells.n_yes.ravel(), (cells.n_yes + cells.n_no).ravel()
    cell = np.flatnonzero(n_asked)
    _check(cell, n_yes, n_asked)
    columns = _told_columns(names, everywhere[cell])
    design = everywhere[np.ix_(cell, columns)]
    _check_rank(design, [names[column] for column in columns])
    n_yes, n_asked = n_yes[cell], n_asked[cell]
    firth = method == "firth"
    cone = whole_space(design) if firth else separation(design, n_yes, n_asked - n_yes)
    inner = ~cone.reached
    optimum = BinomialCells(design[inner] @ cone.basis, n_yes[inner], n_asked[inner], firth).maximize()
    fitted = _weights(cone, np.eye(columns.size), optimum.weights)
    chance = probability(design[inner] @ (cone.basis @ optimum.weights))
    data = FittedCells(cell, n_yes, n_asked, columns, cone, np.isfinite(fitted), optimum.covariance, chance)
    weights = np.full(len(names), np.nan)
    weights[columns] = fitted
    covariance = data.covariance(optimum.covariance, len(names))
    return LogisticFit(
        law=law,
        method=method,
        names=names,
        values=weights,
        covariance=covariance,
        errors="plain",
        log_likelihood=optimum.log_likelihood,
        n_parameters=columns.size,
        n_exposures=round(float(n_asked.sum())),
        transmission_probability=_everywhere(everywhere, data, optimum.weights),
        separated=tuple(names[i] for i in np.flatnonzero(np.isinf(weights))),
        warnings=_warnings(names, data, weights),
        freedom=np.where(np.isnan(np.diag(covariance)), np.nan, np.inf),
        no_interval={},
        counts_in=everywhere.T.reshape(-1, N_PROFILES, 2) > 0,
        data=data,
    )


def _check(cell: NDArray[np.int64], n_yes: NDArray[np.int64], n_asked: NDArray[np.int64]) -> None:
    check_answers(n_yes, n_asked, "no logistic law has a finite weight")
    if np.unique(cell // 2).size == 1:
        raise InputError(
            f"all exposures are of profile {cell[0] // 2:05b}: a law of profiles needs at least two",
            field="n_yes",
        )


def _told_columns(names: tuple[str, ...], observed: Array) -> NDArray[np.int64]:
    """Number the weights that the observed cells tell something about."""
    idle = ~observed.any(axis=0)
    constant = np.array([name in CONTRASTS for name in names]) & observed.all(axis=0)
    return np.flatnonzero(~idle & ~constant)


def _check_rank(design: Array, names: list[str]) -> None:
    _, singular, right = singular_vectors(design)
    rank = int((singular > 1e-9).sum())
    if rank < len(names):
        tied = [name for name, null in zip(names, right[rank:].T, strict=True) if np.abs(null).max() > 1e-9]
        raise InputError(
            f"the observed profiles and severities do not tell these weights apart: {', '.join(tied)}; "
            "ask more profiles, or fit a law with fewer weights",
            field="n_yes",
        )


def _weights(cone: Separation, functionals: Array, inner: Array) -> Array:
    """Evaluate linear functions of the fitted weights: finite, +-inf, or NaN if undetermined."""
    direction = cone.directions(functionals)
    finite = functionals @ (cone.basis @ inner)
    with np.errstate(invalid="ignore"):
        return np.where(direction == 0, finite, direction * np.inf)


def _everywhere(everywhere: Array, data: FittedCells, inner: Array) -> Array:
    """Compute the probability of yes in all cells, shape ``(32, 2)``."""
    others = np.setdiff1d(np.arange(everywhere.shape[1]), data.columns)
    told = (everywhere[:, others] == everywhere[data.cell[0], others]).all(axis=1)
    logit = np.full(N_CELLS, np.nan)
    logit[told] = _weights(data.cone, everywhere[np.ix_(told, data.columns)], inner)
    return probability(logit).reshape(N_PROFILES, 2)


def _warnings(names: tuple[str, ...], data: FittedCells, weights: Array) -> tuple[str, ...]:
    found = []
    untold = [name for i, name in enumerate(names) if i not in data.columns]
    if untold:
        found.append(f"the exposures do not vary in {', '.join(untold)}: no weight can be given")
    infinite = [names[i] for i in np.flatnonzero(np.isinf(weights))]
    if infinite:
        found.append(
            f"separated, so not finite: {', '.join(infinite)}; Firth's method gives finite estimates"
        )
    unclear = [names[i] for i in data.columns if np.isnan(weights[i])]
    if unclear:
        found.append(
            f"separated, with no sign of their own: {', '.join(unclear)}; the other weights make every "
            "decision that could tell certain, so there is neither estimate nor interval"
        )
    return tuple(found)
