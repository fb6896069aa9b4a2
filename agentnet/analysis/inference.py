"""Inference on logistic laws: cluster-robust standard errors, likelihood-ratio and Wald tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentnet.analysis.cells import N_CELLS, Cells
from agentnet.analysis.logistic import FittedCells, LogisticFit
from agentnet.errors import DesignError


@dataclass(frozen=True, slots=True)
class ChiSquared:
    """A chi-squared test.

    Attributes:
        statistic: Its value, >= 0.
        freedom: Degrees of freedom.
        p_value: Chance of a statistic as large if the hypothesis holds and there are many data.
    """

    statistic: float
    freedom: int
    p_value: float


def clustered(fit: LogisticFit, cells: Cells, by: str = "realization") -> LogisticFit:
    """Replace plain standard errors by cluster-robust ones (CR1).

    The sandwich of clustered scores (Liang & Zeger 1986), times G / (G - 1) * (n - 1) / (n - p) for G
    clusters, n decisions and p weights (of the cells that are not separated). It needs many clusters, 30 or
    more, and many more than weights: with 10 news items take it as a lower bound.

    Args:
        fit: A fit to the same cells.
        cells: Counts with clusters.
        by: What the clusters are, for the record: ``"realization"``, ``"news item"``.

    Raises:
        DesignError: The cells have no clusters, fewer than two, or are not those of the fit.
    """
    yes, no = cells.cluster_yes, cells.cluster_no
    if yes is None or no is None:
        raise DesignError("these cells have no counts by cluster; count them with `cluster`")
    data = fit.data
    _check_same(data, cells)
    inner = data.cell[~data.cone.reached]
    n_yes, n_no = (counts.reshape(-1, N_CELLS)[:, inner] for counts in (yes, no))
    present = (n_yes + n_no).any(axis=1)
    n_clusters, n_rows, rank = int(present.sum()), int(n_yes.sum() + n_no.sum()), data.inverse.shape[0]
    if n_clusters < 2:
        raise DesignError(f"cluster-robust errors need at least 2 clusters with exposures; got {n_clusters}")
    excess = n_yes - (n_yes + n_no) * data.chance
    scores = excess @ (data.cone.design[~data.cone.reached] @ data.cone.basis)
    factor = n_clusters / (n_clusters - 1) * (n_rows - 1) / (n_rows - rank)
    robust = factor * data.inverse @ (scores.T @ scores) @ data.inverse
    covariance = data.covariance(robust, len(fit.names))
    return replace(
        fit,
        standard_errors=np.sqrt(np.diag(covariance)),
        covariance=covariance,
        errors=f"clustered by {by} (CR1, {n_clusters} clusters)",
        warnings=(*fit.warnings, *_cluster_warnings(n_clusters, rank, by)),
    )


def _check_same(data: FittedCells, cells: Cells) -> None:
    n_yes, n_asked = cells.n_yes.ravel(), (cells.n_yes + cells.n_no).ravel()
    same = np.array_equal(np.flatnonzero(n_asked), data.cell)
    if not same or (n_yes[data.cell] != data.n_yes).any() or (n_asked[data.cell] != data.n_asked).any():
        raise DesignError("these cells are not the ones that were fitted")


def _cluster_warnings(n_clusters: int, rank: int, by: str) -> list[str]:
    if n_clusters > rank and n_clusters >= 30:
        return []
    return [f"{n_clusters} clusters are few for {rank} weights: the errors clustered by {by} are too small"]


def likelihood_ratio(larger: LogisticFit, smaller: LogisticFit) -> ChiSquared:
    """Test a law against one that it contains, both fitted by maximum likelihood to the same cells.

    The statistic is exact under separation too; its chi-squared distribution is then a rough guide.

    Raises:
        DesignError: The fits are not of that kind.
    """
    big, small = larger.data, smaller.data
    if {larger.method, smaller.method} != {"maximum likelihood"}:
        raise DesignError("a likelihood-ratio test needs two maximum-likelihood fits")
    if not (
        np.array_equal(big.cell, small.cell)
        and np.array_equal(big.n_yes, small.n_yes)
        and np.array_equal(big.n_asked, small.n_asked)
    ):
        raise DesignError("a likelihood-ratio test needs two fits to the same cells")
    joint = np.linalg.matrix_rank(np.hstack([big.cone.design, small.cone.design]))
    freedom = larger.n_parameters - smaller.n_parameters
    if joint != larger.n_parameters or freedom < 1:
        raise DesignError(f"the law {larger.law!r} does not contain {smaller.law!r} with fewer weights")
    return _chi_squared(max(2 * (larger.log_likelihood - smaller.log_likelihood), 0.0), freedom)


def wald(fit: LogisticFit, names: Sequence[str]) -> ChiSquared:
    """Test that the weights named are all 0, by the fit's covariance (plain or clustered).

    Raises:
        DesignError: A name is unknown, its weight not finite, or the covariance is singular, as it is with no
            more clusters than weights.
    """
    index = [fit.index(name) for name in dict.fromkeys(names)]
    weights, covariance = fit.weights[index], fit.covariance[np.ix_(index, index)]
    if not index or not np.isfinite(covariance).all():
        raise DesignError(f"a Wald test needs finite weights; got {dict(zip(names, weights, strict=False))}")
    if np.linalg.matrix_rank(covariance, hermitian=True) < len(index):
        raise DesignError(
            "the covariance of these weights is singular: there are fewer clusters than weights"
        )
    return _chi_squared(float(weights @ np.linalg.solve(covariance, weights)), len(index))


def _chi_squared(statistic: float, freedom: int) -> ChiSquared:
    from scipy.special import chdtrc

    return ChiSquared(statistic, freedom, float(chdtrc(freedom, statistic)))
