"""Probabilities of a yes by a logistic law, with their intervals, for the figures that show them.

An interval is Wald's on the log-odds, by the covariance clustered by realization where there are two or more
realizations (as for the weights themselves, and with none where these have none), with Student's t. A cell
whose weight is not finite has none; what Firth's penalized fit says of it stands beside it, with its plain
errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.estimates import student_quantile
from agentnet.analysis.fits import Fits, LawFit
from agentnet.analysis.laws import LogisticLaw
from agentnet.analysis.logistic import LogisticFit

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """Probabilities of a yes by row (a profile or a group) and severity; arrays of shape ``(n_rows, 2)``.

    Attributes:
        estimate: By maximum likelihood: 0 or 1 where separated, NaN where the data say nothing.
        low: Lower end of its interval; NaN where there is none.
        high: Upper end.
        separated: Where the estimate is 0 or 1.
        firth: By Firth's method where the estimate is separated, else NaN.
        firth_low: Lower end of its interval.
        firth_high: Upper end.
        method: How the intervals of `estimate` were made.
    """

    estimate: Array
    low: Array
    high: Array
    separated: Flags
    firth: Array
    firth_low: Array
    firth_high: Array
    method: str


def chances_of(fits: Fits, law: LawFit) -> Chances:
    """Compute the probabilities of a logistic law of profiles or of groups, with intervals.

    Args:
        fits: All fits of the run.
        law: ``full_logistic`` or ``group_logistic`` among them.
    """
    fit, of = law.fit, law.of
    assert isinstance(of, LogisticLaw), "only laws of decisions have probabilities"
    rows = of.rows
    estimate = fit.transmission_probability[rows]
    separated = (estimate == 0.0) | (estimate == 1.0)
    clustered, n_clusters = of.clustered(fit, "realization"), fits.tables.cells().n_clusters
    low, high = _interval(clustered or fit, estimate, fits.level)
    firth = firth_low = firth_high = np.full(estimate.shape, np.nan)
    if separated.any():
        penalized = of.fit_cells(fits.tables.cells(), "firth")
        firth = np.where(separated, penalized.transmission_probability[rows], np.nan)
        firth_low, firth_high = _interval(penalized, firth, fits.level)
    method = f"clustered by realization, {n_clusters:,} clusters" if clustered else "plain"
    return Chances(estimate, low, high, separated, firth, firth_low, firth_high, method)


def _interval(fit: LogisticFit, estimate: Array, level: float) -> tuple[Array, Array]:
    """Compute Wald intervals of cells whose estimate lies strictly between 0 and 1; else NaN."""
    from scipy.special import expit, logit

    reach = np.array([student_quantile(freedom, level) for freedom in _freedom(fit).ravel()])
    width = reach.reshape(-1, 2) * _errors(fit)
    inside = np.where((estimate > 0.0) & (estimate < 1.0), estimate, np.nan)
    log_odds = logit(inside)
    return expit(log_odds - width), expit(log_odds + width)


def _freedom(fit: LogisticFit) -> Array:
    """Find the degrees of freedom of the log-odds, shape ``(n_rows, 2)``: of a sum, the lesser."""
    own = fit.freedom[:-1]
    severity = len(fit.names) - 1
    both = np.minimum(own, fit.freedom[-1]) if severity in fit.data.columns else own
    return np.column_stack([own, both])


def _errors(fit: LogisticFit) -> Array:
    """Compute the standard errors of the log-odds, shape ``(n_rows, 2)``; NaN where not determined."""
    last = len(fit.names) - 1
    covariance = fit.covariance
    own = np.diag(covariance)[:last]
    both = own + 2 * covariance[:last, last] + covariance[last, last]
    if last not in fit.data.columns:
        # All decisions are of one severity: its weight is part of the others.
        both = own
    errors: Array = np.sqrt(np.column_stack([own, both]))
    return errors
