"""Groups of models with like perspectives at each step, and whether they stay together.

With few models, mixtures chosen by the Bayesian information criterion find groups that are not there: of 10
points from one Gaussian, full covariances make about nine groups. Three safeguards: one covariance for all
groups, a least variance, and at most a group for every five models. They do not take the danger away: of
points from one Gaussian they still divide, in 1, 2 and 5 dimensions, 18%, 43% and 91% of sets of 10, and 9%,
18% and 36% of sets of 25. So a lead over one cluster can be asked for, as large as chance seldom gives.

Mixtures of all steps and starts are fitted at once, by expectation-maximization (Dempster, Laird & Rubin
1977) from seeds drawn as in k-means++ (Arthur & Vassilvitskii 2007). No eigenvalue of the covariance may fall
below a floor; cutting them there is the maximization under that bound, so that the likelihood never falls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.algebra import eigenvectors
from agentnet.analysis.given import numbers
from agentnet.analysis.perspectives.blocks import Array, bad_places, checked_places, slices
from agentnet.errors import DesignError, InputError
from agentnet.streams import Streams

_MOST = 12
_FLOOR_SHARE = 1e-3

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Clusters at each step.

    Attributes:
        labels: Cluster of each model, shape ``(n_steps, n_models)``; numbered 0, 1, ... in the order of their
            means in the first dimension, at each step anew.
        n_clusters: How many, shape ``(n_steps,)``.
        bic: Bayesian information criterion of 1, 2, ... clusters, shape ``(n_steps, most_clusters)``; the
            lowest was chosen, if its lead was large enough.
        agreement: Adjusted Rand index of each step's labels with those of the step before, shape
            ``(n_steps - 1,)``.
        variance_floor: The least variance that was allowed.
    """

    labels: Labels
    n_clusters: NDArray[np.int64]
    bic: Array
    agreement: Array
    variance_floor: float


def find_clusters(
    coordinates: ArrayLike,
    *,
    most_clusters: int | None = None,
    variance_floor: float | None = None,
    least_lead: float = 0.0,
    n_starts: int = 10,
    seed: int = 0,
) -> Clusters:
    """Find clusters at each step by Gaussian mixtures with one covariance, and their stability.

    The number of clusters is that of the lowest Bayesian information criterion (Fraley & Raftery 2002,
    "Model-based clustering, discriminant analysis, and density estimation", JASA 97). A step's clusters do
    not depend on the other steps, but for the default variance floor.

    Args:
        coordinates: Perspectives, shape ``(n_steps, n_models, n_dims)``.
        most_clusters: Largest number tried: at most ``max(2, n_models // 5)``, by default that or 12.
        variance_floor: Least variance of a cluster in any direction, in squared units of the coordinates. By
            default 0.001 of the mean variance of a dimension, over all steps; where the variance that comes
            from sampled replies is known, it is the better floor.
        least_lead: More clusters than one are believed only if their criterion is lower by more than this;
            see `lead_by_chance`. By default any lead counts, as in the literature.
        n_starts: Starts of each fit, the best of which counts.
        seed: Fixes the starts.

    Raises:
        InputError: The shape is wrong, a coordinate is not finite, or there are fewer than 2 models.
        DesignError: An option is out of range.
    """
    points = checked_places(coordinates)
    n_steps, n_models, _ = points.shape
    if n_models < 2:
        raise bad_places("there is 1 model, and clusters need at least 2")
    most = _most(n_models, most_clusters)
    if n_starts < 1:
        raise DesignError(f"n_starts must be at least 1; got {n_starts}")
    floor = _floor(points, variance_floor)
    if floor == 0.0 or not points.shape[2]:
        return _one(n_steps, n_models, most)
    fits = [_fit(points, number, n_starts, floor, seed) for number in range(1, most + 1)]
    bic = np.stack([fit.bic(number, points.shape[2]) for number, fit in enumerate(fits, 1)], axis=1)
    best = np.where(bic[:, 0] - bic.min(axis=1) > least_lead, np.argmin(bic, axis=1), 0)
    labels = np.stack([fits[choice].labels[step] for step, choice in enumerate(best)])
    labels = np.stack([_in_order(*step) for step in zip(labels, points, strict=True)])
    agreement = np.array([adjusted_rand_index(now, then) for then, now in pairwise(labels)])
    return Clusters(labels, labels.max(axis=1) + 1, bic, agreement, floor)


def lead_by_chance(
    n_models: int,
    n_dims: int,
    *,
    level: float = 0.05,
    most_clusters: int | None = None,
    n_simulated: int = 199,
    seed: int = 0,
) -> float:
    """Find the lead over one cluster that models of one Gaussian seldom give to more of them.

    The lead is the same for every Gaussian, as neither turning nor stretching all points changes it (a
    variance floor only makes it smaller). It is an order statistic of simulated sets, so that the chance to
    divide what is one cluster is at most `level` at each step, over the simulation's chance, too (a
    parametric bootstrap: McLachlan 1987, "On bootstrapping the likelihood ratio test statistic for the number
    of components in a normal mixture", Applied Statistics 36).

    Args:
        n_models: Number of models.
        n_dims: Number of dimensions.
        level: The chance.
        most_clusters: As for `find_clusters`.
        n_simulated: Number of sets; at least ``1 / level - 1``. It takes some seconds for 25 models.
        seed: Fixes the simulation.

    Raises:
        DesignError: An option is out of range.
    """
    if n_models < 2 or n_dims < 1 or n_simulated < 1:
        raise DesignError("n_models must be at least 2, n_dims and n_simulated at least 1")
    if not 0 < level < 1 or math.ceil((1 - level) * (n_simulated + 1)) > n_simulated:
        raise DesignError(
            f"level must lie between 1 / (n_simulated + 1) and 1; got {level} with n_simulated={n_simulated}"
        )
    drawn = (
        Streams(seed)
        .generator("perspectives", "one cluster")
        .standard_normal((n_simulated, n_models, n_dims))
    )
    bic = find_clusters(drawn, most_clusters=most_clusters, variance_floor=1e-9, seed=seed).bic
    lead = np.sort(bic[:, 0] - bic.min(axis=1))
    return float(lead[math.ceil((1 - level) * (n_simulated + 1)) - 1])


def _most(n_models: int, asked: int | None) -> int:
    allowed = max(2, n_models // 5)
    if asked is None:
        return min(allowed, _MOST)
    if not 1 <= asked <= allowed:
        raise DesignError(
            f"most_clusters must be 1 to {allowed} with {n_models} models, as more would be found in "
            f"any set; got {asked}"
        )
    return asked


def _floor(points: Array, asked: float | None) -> float:
    if asked is None:
        return _FLOOR_SHARE * float(points.var(axis=(0, 1)).mean()) if points.shape[2] else 0.0
    if not asked > 0:
        raise DesignError(f"variance_floor must be above 0; got {asked}")
    return float(asked)


def _one(n_steps: int, n_models: int, most: int) -> Clusters:
    """Put all models into one cluster: they do not differ at all."""
    labels = np.zeros((n_steps, n_models), dtype=np.int64)
    bic = np.tile(np.arange(most, dtype=np.float64), (n_steps, 1))
    return Clusters(labels, np.ones(n_steps, dtype=np.int64), bic, np.ones(n_steps - 1), 0.0)


def _fit(points: Array, n_components: int, n_starts: int, floor: float, seed: int) -> Mixtures:
    n_steps, n_models, _ = points.shape
    streams = Streams(seed)
    shape = (n_starts, n_components, n_models)
    draws = [streams.generator("clusters", step, n_components).random(shape) for step in range(n_steps)]
    return fit_mixtures(points, np.maximum(np.stack(draws), 1e-300), floor)


def _in_order(labels: Labels, points: Array) -> Labels:
    """Number the clusters that have points by their means in the first dimension."""
    names, member = np.unique(labels, return_inverse=True)
    mean = [points[member == number, 0].mean() for number in range(names.size)]
    rank = np.empty(names.size, dtype=np.int64)
    rank[np.argsort(mean, kind="stable")] = np.arange(names.size)
    return rank[member]


def adjusted_rand_index(first: ArrayLike, second: ArrayLike) -> float:
    """Compare two ways to divide the same things (Hubert & Arabie 1985, "Comparing partitions").

    Args:
        first: A label for each thing, shape ``(n,)``.
        second: Other labels, same shape.

    Returns:
        1 where both divide alike (also where neither divides at all, or both divide everything), about 0
        where they agree as often as by chance.

    Raises:
        InputError: The shapes differ, or there is nothing to divide.
    """
    one, two = np.asarray(first), np.asarray(second)
    if one.ndim != 1 or one.shape != two.shape or not one.size:
        raise InputError(
            f"both must have shape (n,) with the same n > 0; got {one.shape} and {two.shape}", field="labels"
        )
    rows, row = np.unique(one, return_inverse=True)
    columns, column = np.unique(two, return_inverse=True)
    table = np.zeros((rows.size, columns.size))
    np.add.at(table, (row, column), 1.0)
    together, in_first, in_second = (_pairs(n) for n in (table, table.sum(axis=1), table.sum(axis=0)))
    expected = in_first * in_second / max(_pairs(np.array([one.size])), 1.0)
    most = (in_first + in_second) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def _pairs(counts: NDArray[np.float64] | NDArray[np.int64]) -> float:
    return float((counts * (counts - 1) / 2).sum())


def beside_own_class(coordinates: ArrayLike, classes: Sequence[str]) -> Array:
    """Count the models whose nearest other model is of their own class, at each step.

    Args:
        coordinates: Perspectives, shape ``(n_steps, n_models, n_dims)``; nan for a model that is not there.
        classes: Class of each model.

    Returns:
        Their share of the models that are there, shape ``(n_steps,)``: by chance (n - 1) / (N - 1) of classes
        of n among N models. Of several equally near models each counts for its part. Nan where a model is
        alone.

    Examples:
        >>> beside_own_class([[[0.0], [1.0], [5.0], [6.5]], [[0.0], [5.0], [1.0], [9.0]]], "aabb")
        array([1., 0.])
    """
    places = numbers(coordinates, "coordinates")
    if places.ndim != 3 or places.shape[1] != len(classes) or not len(classes):
        raise InputError(
            f"must have shape (n_steps, n_models, n_dims) with a class for each model; got "
            f"{places.shape} and {len(classes)} classes",
            field="coordinates",
        )
    own = np.array([[one == other for other in classes] for one in classes])
    apart = np.linalg.norm(places[:, :, None] - places[:, None], axis=3)
    apart[:, np.eye(len(own), dtype=bool)] = np.inf
    apart = np.where(np.isnan(apart), np.inf, apart)
    least = apart.min(axis=2, keepdims=True)
    nearest = (apart <= least * (1 + 1e-9)) & np.isfinite(apart)
    n_nearest = nearest.sum(axis=2)
    found = np.where(n_nearest > 0, (nearest & own).sum(axis=2) / np.maximum(n_nearest, 1), np.nan)
    known = np.maximum((n_nearest > 0).sum(axis=1), 1)
    share: Array = np.where((n_nearest > 0).any(axis=1), np.nansum(found, axis=1) / known, np.nan)
    return share


_CONVERGED = 1e-6
"""A fit whose mean log-likelihood gains less in a round has converged."""

_MOST_ROUNDS = 1_000
_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class Mixtures:
    """The best fit to each set of points.

    Attributes:
        log_likelihood: Shape ``(n_sets,)``.
        labels: Each point's likeliest component, shape ``(n_sets, n_points)``.
    """

    log_likelihood: Array
    labels: NDArray[np.int64]

    def bic(self, n_components: int, n_dims: int) -> Array:
        """Compute the Bayesian information criterion (Schwarz 1978); lowest is best. Shape ``(n_sets,)``."""
        n_free = n_components - 1 + n_components * n_dims + n_dims * (n_dims + 1) // 2
        return -2 * self.log_likelihood + n_free * math.log(self.labels.shape[1])


def fit_mixtures(
    points: Array,
    chance: Array,
    floor: float,
    *,
    most_rounds: int = _MOST_ROUNDS,
    at_once: int = _AT_ONCE,
) -> Mixtures:
    """Fit a mixture to each set of points, the best of several starts.

    Args:
        points: Shape ``(n_sets, n_points, n_dims)``.
        chance: Uniform draws of (0, 1) that choose the seeds, shape
            ``(n_sets, n_starts, n_components, n_points)``.
        floor: Smallest variance in any direction, > 0.
        most_rounds: A fit that has not converged after so many is taken as it is.
        at_once: Fits are taken together until their responsibilities are so many numbers.
    """
    n_sets, n_starts, n_components, n_points = chance.shape
    found = []
    for part in slices(n_sets, at_once // (n_starts * n_points * n_components)):
        every = np.repeat(points[part], n_starts, axis=0)
        every = every - every.mean(axis=1, keepdims=True)
        given = _seeded(every, chance[part].reshape(-1, n_components, n_points))
        log_likelihood, labels = _climb(every, given, floor, most_rounds)
        log_likelihood = log_likelihood.reshape(-1, n_starts)
        best = np.argmax(log_likelihood, axis=1)
        chosen = np.arange(len(best))
        found.append((log_likelihood[chosen, best], labels.reshape(-1, n_starts, n_points)[chosen, best]))
    return Mixtures(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _seeded(points: Array, chance: Array) -> Array:
    """Draw seeds, each with a chance as its squared distance from those before; give points to the nearest.

    Returns:
        Responsibilities of 0 and 1, shape ``(n_fits, n_points, n_components)``.
    """
    n_fits, n_components, n_points = chance.shape
    nearest = np.ones((n_fits, n_points))
    distances = np.empty((n_fits, n_points, n_components))
    for number in range(n_components):
        # The largest of log u / w is point i with a chance of w_i over the sum of w.
        race = np.log(chance[:, number]) / np.maximum(nearest, 1e-300)
        seed = points[np.arange(n_fits), np.argmax(race, axis=1)]
        distances[:, :, number] = ((points - seed[:, None]) ** 2).sum(axis=2)
        nearest = distances[:, :, : number + 1].min(axis=2)
    given: Array = (np.argmin(distances, axis=2)[:, :, None] == np.arange(n_components)).astype(np.float64)
    return given


def _climb(points: Array, given: Array, floor: float, most_rounds: int) -> tuple[Array, NDArray[np.int64]]:
    """Repeat both steps until every fit has converged."""
    log_likelihood = np.full(len(points), -np.inf)
    labels = np.zeros(points.shape[:2], dtype=np.int64)
    active = np.arange(len(points))
    # Sums over components are fast only along the first axis.
    given = np.ascontiguousarray(given.transpose(2, 0, 1))
    scatter = points.transpose(0, 2, 1) @ points / points.shape[1]
    for number in range(most_rounds):
        density = _log_densities(points, scatter, given, floor)
        top = density.max(axis=0)
        given = np.exp(density - top)
        sums = given.sum(axis=0)
        given /= sums
        now = (np.log(sums) + top).sum(axis=1)
        gain = now - log_likelihood[active]
        rising = (gain > _CONVERGED * points.shape[1]) & (number < most_rounds - 1)
        log_likelihood[active] = now
        if not rising.all():
            labels[active[~rising]] = np.argmax(density[:, ~rising], axis=0)
            active, points, scatter = active[rising], points[rising], scatter[rising]
            given = given[:, rising]
        if not active.size:
            break
    return log_likelihood, labels


def _log_densities(points: Array, scatter: Array, given: Array, floor: float) -> Array:
    """Maximize, and compute the log of weight times density, shape ``(n_components, n_fits, n_points)``."""
    _, n_points, n_dims = points.shape
    size = given.sum(axis=2)
    weight = np.maximum(size / n_points, 1e-300)
    mean = given.transpose(1, 0, 2) @ points / np.maximum(size, 1e-300).T[:, :, None]
    # Within = all - between, as points are centred.
    covariance = scatter - (mean * weight.T[:, :, None]).transpose(0, 2, 1) @ mean
    variance, axes = eigenvectors(covariance)
    variance = np.maximum(variance, floor)
    white = axes / np.sqrt(variance)[:, None, :]
    constant = np.log(variance).sum(axis=1) + n_dims * math.log(2 * math.pi)
    density: Array = np.zeros(given.shape)
    # One dimension after the other: sums over few of them are slow otherwise.
    for of_points, of_means in zip(
        (points @ white).transpose(2, 0, 1), (mean @ white).transpose(2, 1, 0), strict=True
    ):
        density += (of_points - of_means[:, :, None]) ** 2
    density += constant[:, None]
    density *= -0.5
    density += np.log(weight)[:, :, None]
    return density
