"""Logistic laws of single decisions: who says yes to an exposure, by profile and severity.

Three laws (Tian et al. 2026, equation 1, table 1, appendix A), all fitted to the (profile, severity) cells:

- full: a weight for each profile, and one for severity;
- main effects: an intercept, a weight for each trait, and one for severity;
- groups: a weight for each group of profiles, and one for severity.

A profile that says only yes or only no has no finite maximum-likelihood weight. That is the normal case here,
it is found exactly (`agentnet.analysis.binomial`), and such weights are reported as +-infinity while the
others keep their estimates; Firth's penalized fit gives finite ones. Weights about which there are no data
are NaN. Decisions of one cascade or of one news item are not independent: `agentnet.analysis.inference` has
cluster-robust standard errors, and tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.algebra import singular_vectors
from agentnet.analysis.binomial import BinomialCells, Separation, probability, separation, whole_space
from agentnet.analysis.cells import N_CELLS, Cells
from agentnet.analysis.estimates import Estimates, check_answers
from agentnet.errors import DesignError, InputError, near_miss
from agentnet.vocabulary import N_PROFILES, TRAITS

Array = NDArray[np.float64]
Method = Literal["maximum likelihood", "firth"]

_PROFILE_BITS = (np.arange(N_PROFILES)[:, None] >> np.arange(4, -1, -1)) & 1
_SEVERITY = np.tile([0.0, 1.0], N_PROFILES)

CONTRASTS = (*TRAITS, "severity")
"""Weights of differences: what they tell comes from decisions with the covariate and from those without."""


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
