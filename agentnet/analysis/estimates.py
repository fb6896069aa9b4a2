"""Likeliest parameters of laws of decisions with what is known of them: errors, intervals, criteria."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DesignError, InputError, near_miss

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Interval = tuple[float, float]

LEAST_CLUSTERS = 3
"""Clusters that must tell of a parameter, for an interval by them."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """A law of decisions fitted by likelihood.

    Attributes:
        names: Names of the parameters.
        values: Likeliest parameters, shape ``(n_parameters,)``: +-inf where separated, NaN where the data say
            nothing.
        covariance: Of the parameters, shape ``(n_parameters, n_parameters)``; NaN for those without error.
        freedom: Degrees of freedom of each parameter's interval, shape ``(n_parameters,)``: infinite with
            plain errors, NaN where a parameter has none.
        no_interval: Why finite parameters have no interval, by name.
        errors: What the errors take into account: ``plain``, or the clusters.
        log_likelihood: Highest log-likelihood in nats (its limit, if separated), of single decisions; with
            Firth's method the one at the penalized estimates, without penalty.
        n_parameters: Parameters that the data determine, infinite ones included.
        n_exposures: Number of decisions.
        warnings: What to know before using the estimates.
    """

    names: tuple[str, ...]
    values: Array
    covariance: Array = field(repr=False)
    freedom: Array = field(repr=False)
    no_interval: Mapping[str, str]
    errors: str
    log_likelihood: float
    n_parameters: int
    n_exposures: int
    warnings: tuple[str, ...]

    @property
    def standard_errors(self) -> Array:
        """Of the parameters, shape ``(n_parameters,)``; NaN where there is none."""
        with np.errstate(invalid="ignore"):
            found: Array = np.sqrt(np.diag(self.covariance))
        return found

    @property
    def z(self) -> Array:
        """Parameter over standard error; NaN where the parameter is not finite."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio: Array = self.values / self.standard_errors
        return ratio

    @property
    def p_values(self) -> Array:
        """Two-sided p of each parameter being 0, by the normal approximation."""
        return np.array([math.erfc(abs(z) / math.sqrt(2)) for z in self.z])

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return 2 * self.n_parameters - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Bayesian information criterion, with single decisions as observations."""
        return self.n_parameters * math.log(self.n_exposures) - 2 * self.log_likelihood

    def index(self, name: str) -> int:
        """Look a parameter's place up by name.

        Raises:
            DesignError: There is no such parameter.
        """
        if name not in self.names:
            raise DesignError(f"there is no weight {name!r}{near_miss(name, self.names)}")
        return self.names.index(name)

    def interval(self, index: int, level: float) -> Interval | None:
        """Make Wald's interval of a parameter; None where it has no error or no degrees of freedom."""
        error, freedom = float(self.standard_errors[index]), float(self.freedom[index])
        if not (math.isfinite(error) and error > 0) or math.isnan(freedom):
            return None
        value, width = float(self.values[index]), error * student_quantile(freedom, level)
        return value - width, value + width

    def why_no_interval(self, index: int) -> str:
        """Say why a parameter has no interval; empty if nothing stands in the way."""
        if said := self.no_interval.get(self.names[index], ""):
            return said
        if math.isinf(self.values[index]):
            return "separated: no finite estimate is the likeliest"
        return "the decisions do not tell it" if math.isnan(self.values[index]) else ""


def check_answers(n_yes: Ints, n_asked: Ints, in_vain: str) -> None:
    """Refuse decisions from which nothing can be learnt.

    Args:
        n_yes: Yes, in any cells.
        n_asked: Decisions, same shape.
        in_vain: What cannot be had if all are alike.

    Raises:
        InputError: There are none, or all say the same.
    """
    if not (total := int(n_asked.sum())):
        raise InputError("there are no exposures with a valid decision to fit", field="n_yes")
    if n_yes.sum() in (0, total):
        raise InputError(
            f"all {total:,} decisions are {'yes' if n_yes.any() else 'no'}: {in_vain}; check the prompts and "
            "how replies are read",
            field="n_yes",
        )


def sandwich(scores: Array, inverse: Array, n_rows: int) -> Array:
    """Compute the cluster-robust covariance (CR1; Liang & Zeger 1986).

    Args:
        scores: Derivatives of the log-likelihood, added up by cluster, shape ``(n_clusters, n_fitted)``.
        inverse: Inverse information, shape ``(n_fitted, n_fitted)``.
        n_rows: Decisions.

    Returns:
        Same shape as `inverse`, with the factor G / (G - 1) * (n - 1) / (n - p); NaN where that is undefined.
    """
    n_clusters, n_fitted = scores.shape
    if n_clusters < 2 or n_rows <= n_fitted:
        return np.full_like(inverse, np.nan)
    factor = n_clusters / (n_clusters - 1) * (n_rows - 1) / (n_rows - n_fitted)
    robust: Array = factor * inverse @ (scores.T @ scores) @ inverse
    return robust


def few_clusters(n_clusters: int, n_fitted: int, by: str) -> Iterator[str]:
    """Warn of few clusters: errors by them need 30 or more, and more than there are weights."""
    if n_clusters >= 2 and (n_clusters <= n_fitted or n_clusters < 30):
        yield (
            f"{n_clusters:,} clusters are few for {n_fitted} weights: the errors clustered by {by} are too "
            "small"
        )


def too_few(n: int, thing: str, least: int) -> str:
    """Say that there are too few things for an interval by them; empty if there are enough.

    Examples:
        >>> too_few(1, "news item", 3), too_few(2, "news item", 3), too_few(3, "news item", 3)
        ('there is a single news item', 'there are only 2 news items; 3 are the least', '')
    """
    if n == 1:
        return f"there is a single {thing}"
    return f"there are only {n} {thing}s; {least} are the least" if n < least else ""


def student_quantile(freedom: float, level: float) -> float:
    """Find how many standard errors an interval reaches to either side.

    Args:
        freedom: Degrees of freedom of the error; infinite for the normal distribution.
        level: Confidence level, in (0, 1).

    Examples:
        >>> round(student_quantile(math.inf, 0.95), 2), round(student_quantile(3, 0.95), 2)
        (1.96, 3.18)
    """
    from scipy.special import ndtri, stdtrit

    tail = (1 + level) / 2
    return float(ndtri(tail) if math.isinf(freedom) else stdtrit(freedom, tail))
