"""Whether a law of a dose is one of who is left: agents asked at a high dose have refused before.

In a cascade nobody is asked again after a yes. Where the dose grows with time, as the number of engaged
neighbours does, those who are asked at a high dose had refused at lower ones: the willing are gone, and the
chance of a yes falls with the dose though each agent's own does not. At its first question an agent has not
been selected by its answers: the dose that it met then depends on the network alone. So the slope of the
logit by first questions is that of the dose, from fewer decisions; where agents are all alike both slopes
estimate the same, and Hausman's test (1978, Econometrica 46, 1251-1271) compares them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.logistic import BinomialCells
from agentnet.analysis.tables import N_ASKED, RunTables
from agentnet.errors import InputError, InternalError

Array = NDArray[np.float64]

_GROWS = 0.1
"""Correlation of a dose with the number of earlier questions from which on it is said to grow with them."""


def survivors(tables: RunTables, dose: str) -> str:
    """Compare the slope of a dose by all questions with that by the first question to each agent.

    Args:
        tables: A run, read with the column.
        dose: Name of the column.

    Returns:
        What is known, in words; empty where the dose does not grow with how often agents were asked.
    """
    counts = tables.exposures
    if not tables.asking_rule or dose == N_ASKED or N_ASKED not in counts.columns:
        return ""
    column, before = tables.column(dose).astype(np.float64), counts.columns[N_ASKED]
    known = np.isfinite(column) & np.isfinite(before) & (counts.n_yes + counts.n_no > 0)
    column, before = column[known], before[known]
    n_yes, n_no = counts.n_yes[known], counts.n_no[known]
    if not _correlation(column, before, n_yes + n_no) > _GROWS:
        return ""
    who = (
        f"{dose} grows with how often an agent was asked, and who is asked again has refused before: at high "
        f"{dose} the willing are gone, so that its effect may be theirs"
    )
    first = before == 0
    found = [_slope(column[which], n_yes[which], n_no[which]) for which in (np.ones_like(first), first)]
    if found[0] is None or found[1] is None:
        return f"{who}; first questions, in which nobody is selected so, do not tell a slope of it"
    (slope, error), (early, early_error) = found[0], found[1]
    told = (
        f"{who}; the logit's slope is {slope:.3g} (error {error:.2g}) by all questions and {early:.3g} "
        f"(error {early_error:.2g}) by the first to each agent, in which nobody is selected so"
    )
    more = early_error**2 - error**2
    if more <= 0:
        return told
    p_value = math.erfc(abs(early - slope) / math.sqrt(2 * more))
    verdict = "they differ: trust the first" if p_value < 0.05 else "they are not told apart"
    return f"{told}: {verdict} (Hausman's test, p = {p_value:.2g})"


def _correlation(one: Array, other: Array, weight: NDArray[np.int64]) -> float:
    if not weight.sum() or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    moments = np.cov(one, other, fweights=weight, ddof=0)
    return float(moments[0, 1] / math.sqrt(moments[0, 0] * moments[1, 1]))


def _slope(dose: Array, n_yes: NDArray[np.int64], n_no: NDArray[np.int64]) -> tuple[float, float] | None:
    """Fit a logistic law of the dose alone: its slope and plain error; None where nothing tells it."""
    doses, place = np.unique(dose, return_inverse=True)
    yes, no = (np.bincount(place.ravel(), each).astype(np.int64) for each in (n_yes, n_no))
    if doses.size < 2 or not yes.any() or not no.any():
        return None
    try:
        found = BinomialCells(np.column_stack([np.ones(doses.size), doses]), yes, yes + no).maximize()
    except (InputError, InternalError):
        return None
    return float(found.weights[1]), math.sqrt(found.covariance[1, 1])
