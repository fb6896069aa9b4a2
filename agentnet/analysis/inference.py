"""Inference on logistic laws: cluster-robust standard errors, likelihood-ratio and Wald tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.algebra import null_space, rank, solve
from agentnet.analysis.estimates import LEAST_CLUSTERS, few_clusters, sandwich
from agentnet.analysis.logistic import CONTRASTS, FittedCells, LogisticFit
from agentnet.analysis.tables import N_CELLS, Cells
from agentnet.errors import DesignError

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_SAME = 1e-12
_ZERO = 1e-9


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

    A weight has degrees of freedom of its own, by the clusters that inform it (see `_freedom`). It has none
    (NaN, and so no interval; the reason is among the warnings) where fewer than three do, where all that is
    known of it comes from a single one, which the fit meets exactly, and where they do not differ in it at
    all; in the latter two cases it has no error either.

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
    _check_same(fit.data, cells)
    if (n_clusters := cells.n_clusters) < 2:
        raise DesignError(f"cluster-robust errors need at least 2 clusters with exposures; got {n_clusters}")
    told = _Told.of(fit, yes, no)
    covariance = fit.data.covariance(told.sandwich(), len(fit.names))
    undefined = told.undefined(np.diag(covariance))
    lost = [fit.index(name) for name in undefined]
    covariance[lost] = covariance[:, lost] = np.nan
    reasons = {**told.uninformed(), **undefined}
    freedom = np.full(len(fit.names), np.nan)
    freedom[told.weights] = [told.freedom(place) for place in told.places]
    freedom[[fit.index(name) for name in reasons]] = np.nan
    return replace(
        fit,
        covariance=covariance,
        freedom=freedom,
        no_interval=reasons,
        errors=f"clustered by {by} (CR1, {told.n_clusters:,} clusters)",
        warnings=(
            *fit.warnings,
            *few_clusters(told.n_clusters, told.rank, by),
            *_without_intervals(reasons, len(told.places), by),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What clusters tell of a fit's finite weights, once separated cells are set aside.

    Attributes:
        fit: The fit.
        n_yes: Yes by cluster and cell, of clusters that hold any of these cells, ``(n_clusters, n_cells)``.
        n_asked: Decisions, same shape.
        design: Covariates of these cells, shape ``(n_cells, n_fitted)``.
    """

    fit: LogisticFit
    n_yes: Ints
    n_asked: Ints
    design: Array

    @classmethod
    def of(cls, fit: LogisticFit, yes: Ints, no: Ints) -> _Told:
        inner = ~fit.data.cone.reached
        n_yes, n_no = (counts.reshape(-1, N_CELLS)[:, fit.data.cell[inner]] for counts in (yes, no))
        held = (n_yes + n_no).any(axis=1)
        return cls(fit, n_yes[held], (n_yes + n_no)[held], fit.data.cone.design[inner])

    @property
    def n_clusters(self) -> int:
        return len(self.n_asked)

    @property
    def rank(self) -> int:
        return len(self.fit.data.inverse)

    @property
    def places(self) -> list[int]:
        """Numbers of the finite weights among those that are fitted."""
        found: list[int] = np.flatnonzero(self.fit.data.finite).tolist()
        return found

    @property
    def weights(self) -> Ints:
        """Numbers of the finite weights among all."""
        return self.fit.data.columns[self.places]

    def sandwich(self) -> Array:
        """Compute the covariance in the coordinates of the fit; NaN where that is undefined."""
        data = self.fit.data
        scores = (self.n_yes - self.n_asked * data.chance) @ (self.design @ data.cone.basis)
        return sandwich(scores, data.inverse, round(float(self.n_asked.sum())))

    def sides(self, place: int) -> tuple[Mask, Mask]:
        """Say which clusters hold decisions in which a weight counts, and which hold others."""
        counts = self.design[:, place] != 0
        return self.n_asked[:, counts].sum(axis=1) > 0, self.n_asked[:, ~counts].sum(axis=1) > 0

    def is_contrast(self, place: int) -> bool:
        return self.fit.names[self.fit.data.columns[place]] in CONTRASTS

    def n_informing(self, place: int) -> int:
        """Count the clusters that tell something of a weight: of a difference, those on either side."""
        return self.n_clusters if self.is_contrast(place) else int(self.sides(place)[0].sum())

    def freedom(self, place: int) -> float:
        """Compute the degrees of freedom of a weight: see `_freedom`."""
        ones, zeros = self.sides(place)
        if not self.is_contrast(place):
            return float(ones.sum() - 1)
        return _freedom(int(ones.sum()), int(zeros.sum()), int((ones & zeros).sum()))

    def uninformed(self) -> dict[str, str]:
        """Say of which finite weights too few clusters tell, by name."""
        number = {
            self.fit.names[self.fit.data.columns[place]]: self.n_informing(place) for place in self.places
        }
        return {
            name: f"{_counted(n)} of it, and {LEAST_CLUSTERS} are the least"
            for name, n in number.items()
            if n < LEAST_CLUSTERS
        }

    def undefined(self, variance: Array) -> dict[str, str]:
        """Say why finite weights have no error, by name.

        Args:
            variance: What the sandwich gives all weights, shape ``(n_weights,)``.
        """
        data, alone = self.fit.data, self._alone()
        plain = np.diag(data.covariance(data.inverse, len(self.fit.names)))
        found = {}
        for place, weight in zip(self.places, self.weights.tolist(), strict=True):
            if alone[place]:
                found[self.fit.names[weight]] = "all that is known of it comes from one cluster"
            elif not variance[weight] > _SAME * plain[weight]:
                found[self.fit.names[weight]] = "the clusters do not differ in it at all"
        return found

    def _alone(self) -> Mask:
        """Say of which fitted weights nothing would be known without some one of the clusters."""
        held, basis = self.n_asked > 0, self.fit.data.cone.basis
        found = np.zeros(len(basis), dtype=bool)
        # Whatever cells a cluster shares with others, they tell without it.
        sole = held.sum(axis=0) == 1
        owner = np.where(sole, held.argmax(axis=0), -1) if held.size else np.zeros(0, dtype=np.int64)
        for cluster in np.unique(owner[sole]).tolist():
            lost = null_space(self.design[owner != cluster] @ basis)
            found |= (np.abs(basis @ lost) > _ZERO).any(axis=1)
        return found


def _freedom(n_ones: int, n_zeros: int, n_both: int) -> float:
    """Compute Satterthwaite's degrees of freedom for a difference of two means over clusters.

    Clusters that hold both sides compare them themselves: with them alone it is their number less one. If
    each holds one side only, it is Welch's number for two samples. Clusters count alike, whatever their size:
    a guide, as such degrees of freedom are.

    Args:
        n_ones: Clusters that hold the one side, >= 2.
        n_zeros: Clusters that hold the other, >= 2.
        n_both: Clusters that hold both.

    Examples:
        >>> [round(_freedom(*sides), 2) for sides in ((12, 12, 12), (6, 6, 0), (2, 10, 0))]
        [11.0, 10.0, 1.82]
    """
    if min(n_ones, n_zeros) < 2:
        return math.nan
    one, zero = 1 / n_ones, 1 / n_zeros
    common = n_both * (1 - one - zero + n_both * one * zero)
    squares = (n_ones - 1) * one**4 + (n_zeros - 1) * zero**4
    spread = (n_ones - 1) * one**2 + (n_zeros - 1) * zero**2
    return spread**2 / (squares + 2 * common * (one * zero) ** 2)


def _counted(n: int) -> str:
    return "1 cluster tells" if n == 1 else f"{n or 'no'} clusters tell"


def _without_intervals(reasons: Mapping[str, str], n_finite: int, by: str) -> Iterator[str]:
    for reason in dict.fromkeys(reasons.values()):
        names = [name for name, its in reasons.items() if its == reason]
        of = "any weight" if len(names) == n_finite > 1 else ", ".join(names)
        yield f"no interval clustered by {by} for {of}: {reason}"


def _check_same(data: FittedCells, cells: Cells) -> None:
    n_yes, n_asked = cells.n_yes.ravel(), (cells.n_yes + cells.n_no).ravel()
    same = np.array_equal(np.flatnonzero(n_asked), data.cell)
    if not same or (n_yes[data.cell] != data.n_yes).any() or (n_asked[data.cell] != data.n_asked).any():
        raise DesignError("these cells are not the ones that were fitted")


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
    joint = rank(np.hstack([big.cone.design, small.cone.design]))
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
    if rank(covariance, symmetric=True) < len(index):
        raise DesignError(
            "the covariance of these weights is singular: there are fewer clusters than weights"
        )
    return _chi_squared(float(weights @ solve(covariance, weights)), len(index))


def _chi_squared(statistic: float, freedom: int) -> ChiSquared:
    from scipy.special import chdtrc

    return ChiSquared(statistic, freedom, float(chdtrc(freedom, statistic)))
