"""Gaussian mixtures with one covariance, many of them side by side: every step, every start at once.

Expectation-maximization (Dempster, Laird & Rubin 1977) from seeds drawn as in k-means++ (Arthur &
Vassilvitskii 2007). No eigenvalue of the covariance may fall below a floor; cutting them there is the
maximization under that bound, so that the likelihood never falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.algebra import eigenvectors
from agentnet.analysis.perspectives.blocks import Array, slices

_CONVERGED = 1e-6
"""A fit whose mean log-likelihood gains less in a round has converged."""

_MOST_ROUNDS = 1_000
_AT_ONCE = 2_000_000
"""Fits are taken together until their responsibilities are so many numbers."""


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


def fit_mixtures(points: Array, chance: Array, floor: float) -> Mixtures:
    """Fit a mixture to each set of points, the best of several starts.

    Args:
        points: Shape ``(n_sets, n_points, n_dims)``.
        chance: Uniform draws of (0, 1) that choose the seeds, shape
            ``(n_sets, n_starts, n_components, n_points)``.
        floor: Smallest variance in any direction, > 0.
    """
    n_sets, n_starts, n_components, n_points = chance.shape
    found = []
    for part in slices(n_sets, _AT_ONCE // (n_starts * n_points * n_components)):
        every = np.repeat(points[part], n_starts, axis=0)
        every = every - every.mean(axis=1, keepdims=True)
        given = _seeded(every, chance[part].reshape(-1, n_components, n_points))
        log_likelihood, labels = _climb(every, given, floor)
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


def _climb(points: Array, given: Array, floor: float) -> tuple[Array, NDArray[np.int64]]:
    """Repeat both steps until every fit has converged."""
    log_likelihood = np.full(len(points), -np.inf)
    labels = np.zeros(points.shape[:2], dtype=np.int64)
    active = np.arange(len(points))
    # Sums over components are fast only along the first axis.
    given = np.ascontiguousarray(given.transpose(2, 0, 1))
    scatter = points.transpose(0, 2, 1) @ points / points.shape[1]
    for number in range(_MOST_ROUNDS):
        density = _log_densities(points, scatter, given, floor)
        top = density.max(axis=0)
        given = np.exp(density - top)
        sums = given.sum(axis=0)
        given /= sums
        now = (np.log(sums) + top).sum(axis=1)
        gain = now - log_likelihood[active]
        rising = (gain > _CONVERGED * points.shape[1]) & (number < _MOST_ROUNDS - 1)
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
