"""Tukey's test of all pairs of means (honestly significant differences), for any number of groups.

scipy and statsmodels have it too, and are the oracles of its tests; scipy's takes about half a minute for the
496 pairs of 32 profiles, because it integrates each pair's p-value anew. Here they share one quadrature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.given import numbers
from agentnet.errors import InputError

Array = NDArray[np.float64]

_NODES_OF_SCALE: Final = 96
_NODES_OF_GREATEST: Final = 128
_FURTHEST_NORMAL: Final = 8.5
_TAIL: Final = 1e-18
_ROUNDING: Final = 1e-12


class StudentizedRange:
    """The distribution of the range of normal numbers over an independent estimate of their deviation.

    The range of k standard normal numbers exceeds w with probability

        k integral phi(z) (Phi(z)^(k-1) - (Phi(z) - Phi(z - w))^(k-1)) dz,

    which is averaged over w = q s, where s^2 is a chi-square number over its degrees of freedom (Copenhaver &
    Holland 1988, J. Stat. Comput. Simul. 30, 1-15). The difference of powers is taken without cancellation.
    Both integrals are Gauss-Legendre sums: up to 200 numbers their error is below 2e-8 with five or more
    degrees of freedom, and below 3e-5 with fewer.

    Args:
        n_groups: How many numbers, k >= 2.
        dof: Degrees of freedom of the estimate, >= 1.
    """

    def __init__(self, n_groups: int, dof: float) -> None:
        from scipy.special import log_ndtr, ndtr

        self._power = n_groups - 1
        self._scale, self._scale_weight = _scales(dof)
        self._node, step = _legendre(-_FURTHEST_NORMAL, _FURTHEST_NORMAL, _NODES_OF_GREATEST)
        self._below: Array = ndtr(self._node)
        log_density = -0.5 * self._node**2 + self._power * log_ndtr(self._node)
        self._greatest: Array = n_groups * np.exp(log_density) * step / math.sqrt(2.0 * math.pi)

    def sf(self, q: ArrayLike) -> Array:
        """Compute the probability that the studentized range exceeds `q`.

        Args:
            q: Values >= 0, any shape; infinity gives 0.

        Returns:
            Probabilities, same shape.
        """
        values = np.asarray(q, dtype=np.float64)
        found = np.array([self._exceeding(value) for value in values.ravel()]).reshape(values.shape)
        clipped: Array = np.clip(found, 0.0, 1.0)
        return clipped

    def critical(self, alpha: float) -> float:
        """Find the value that is exceeded with probability `alpha`, in (0, 1)."""
        low, high = 0.0, 8.0
        while self._exceeding(high) > alpha:
            low, high = high, 2.0 * high
        # By halves, to neighbouring numbers: importing SciPy's solvers takes ten times as long.
        while low < (middle := (low + high) / 2.0) < high:
            low, high = (middle, high) if self._exceeding(middle) > alpha else (low, middle)
        return high

    def _exceeding(self, q: float) -> float:
        from scipy.special import ndtr

        if math.isinf(q):
            return 0.0
        left = np.minimum(ndtr(self._node - q * self._scale[:, None]) / self._below, 1.0)
        with np.errstate(divide="ignore"):
            exceeds = -np.expm1(self._power * np.log1p(-left))
        return float(((exceeds * self._greatest).sum(axis=1) * self._scale_weight).sum())


def _scales(dof: float) -> tuple[Array, Array]:
    """Give the nodes of s = sqrt(chi-square / dof) and the probability that stands for each."""
    from scipy.special import gammainccinv, gammaincinv, gammaln

    half = dof / 2.0
    low, high = (math.sqrt(float(tail(half, _TAIL)) / half) for tail in (gammaincinv, gammainccinv))
    # With few degrees of freedom far values come from small s: the cube root spreads those out.
    root, step = _legendre(low ** (1.0 / 3.0), high ** (1.0 / 3.0), _NODES_OF_SCALE)
    node = root**3
    log_density = (
        math.log(2.0) + half * math.log(half) - gammaln(half) + (dof - 1.0) * np.log(node) - half * node**2
    )
    weight = np.exp(log_density) * step * 3.0 * root**2
    return node, weight / weight.sum()


def _legendre(low: float, high: float, n_nodes: int) -> tuple[Array, Array]:
    node, weight = np.polynomial.legendre.leggauss(n_nodes)
    half = (high - low) / 2.0
    return low + half * (node + 1.0), half * weight


@dataclass(frozen=True, slots=True, eq=False)
class TukeyTest:
    """All pairs of means compared.

    Attributes:
        means: Shape ``(n_groups,)``.
        n_observations: Observations of each group, same shape.
        mean_square: Variance within groups, pooled.
        dof: Its degrees of freedom.
        q: Studentized differences |mean_i - mean_j| / sqrt(mean_square / 2 (1/n_i + 1/n_j)), shape
            ``(n_groups, n_groups)``.
        p: Their p-values, adjusted for all pairs together.
        alpha: Probability of calling any pair different where none is.
        critical: The studentized difference that is just significant.
    """

    means: Array
    n_observations: NDArray[np.int64]
    mean_square: float
    dof: int
    q: Array
    p: Array
    alpha: float
    critical: float

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Which pairs differ at level `alpha`, shape ``(n_groups, n_groups)``."""
        return self.q > self.critical


def tukey_test(observations: ArrayLike, *, alpha: float = 0.05) -> TukeyTest:
    """Compare the means of all columns (Tukey 1949, Biometrics 5, 99-114; Kramer 1956 for unequal numbers).

    The test takes the observations to be independent, normal and of one variance. Ratios of decisions are
    none of that exactly: they are bounded, and those of one item go together.

    Args:
        observations: Shape ``(n_rows, n_groups)``; NaN where there is none.
        alpha: Level of significance for all pairs together, in (0, 1).

    Raises:
        InputError: There are fewer than 2 groups, one without observation, an infinite observation, or no
            group with two; `alpha` is out of range.
    """
    table = numbers(observations, "observations")
    means, n, mean_square, dof = pooled_variance(table)
    if not 0.0 < alpha < 1.0:
        raise InputError(f"the level of significance must lie between 0 and 1, not at {alpha}", field="alpha")
    q = studentized_differences(means, n, mean_square)
    law = StudentizedRange(len(means), dof)
    upper = np.triu_indices(len(means), 1)
    p = np.ones_like(q)
    p[upper] = law.sf(q[upper])
    return TukeyTest(
        means=means,
        n_observations=n,
        mean_square=mean_square,
        dof=dof,
        q=q,
        p=np.minimum(p, p.T),
        alpha=alpha,
        critical=law.critical(alpha),
    )


def studentized_differences(means: Array, n: NDArray[np.int64], mean_square: float) -> Array:
    """Scale the differences of all pairs of means by their standard error over the square root of 2.

    Returns:
        Shape ``(n_groups, n_groups)``. Without variance equal means have 0 and others infinity.
    """
    difference = np.abs(means[:, None] - means)
    difference[difference <= _ROUNDING * np.abs(means).max()] = 0.0
    if mean_square == 0.0:
        return np.where(difference > 0.0, np.inf, 0.0)
    scaled: Array = difference / np.sqrt(mean_square / 2.0 * (1.0 / n[:, None] + 1.0 / n))
    return scaled


def pooled_variance(table: Array) -> tuple[Array, NDArray[np.int64], float, int]:
    """Compute the means of all columns, their numbers of observations, and the variance within columns.

    Returns:
        Means and numbers, each of shape ``(n_groups,)``; the pooled variance and its degrees of freedom.

    Raises:
        InputError: There are fewer than 2 columns, one without observation or with an infinite one, or
            none with two.
    """
    if table.ndim != 2 or table.shape[1] < 2:
        raise InputError(f"observations need two or more columns to compare; got shape {table.shape}")
    n = (~np.isnan(table)).sum(axis=0)
    is_unusable = (n < 1) | np.isinf(table).any(axis=0)
    if is_unusable.any():
        raise InputError(
            f"column {int(is_unusable.argmax())} (counted from 0) has no observation, or one that is infinite"
        )
    dof = int(n.sum()) - len(n)
    if dof < 1:
        raise InputError("no column has two observations: there is no variance to compare with")
    means = np.nansum(table, axis=0) / n
    residuals = table - means
    mean_square = float(np.nansum(residuals**2)) / dof
    if mean_square <= (_ROUNDING * float(np.nanmax(np.abs(table)))) ** 2:
        mean_square = 0.0
    return means, n.astype(np.int64), mean_square, dof
