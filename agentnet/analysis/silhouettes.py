"""Silhouette scores of many clusterings of the same points, in one pass over their distances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InputError

Points = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]


def silhouette_scores(
    points: Points, labelings: Sequence[Labels], *, n_at_once: int = 1 << 22
) -> NDArray[np.float64]:
    """Compute the mean silhouette of each clustering (Rousseeuw 1987, J. Comput. Appl. Math. 20, 53-65).

    The silhouette of a point is (b - a) / max(a, b): a is its mean Euclidean distance to the others of its
    cluster, b the least mean distance to the points of another cluster. That of a cluster's only point is 0,
    and so is that of a point with a = b = 0.

    Time grows with ``n_points**2 * (dim + number of all clusters)``, memory with ``n_points``.

    Args:
        points: Shape ``(n_points, dim)``.
        labelings: Clusterings, each of shape ``(n_points,)``, with clusters numbered 0, 1, ... without gaps.
        n_at_once: Distances that are held at a time.

    Returns:
        Scores in [-1, 1], shape ``(n_labelings,)``.

    Raises:
        InputError: A clustering has fewer than 2 clusters, as many clusters as points, or an empty one.
    """
    sizes = [np.bincount(labels) for labels in labelings]
    for size in sizes:
        if not 2 <= size.size < len(points) or size.min() == 0:
            raise InputError(
                f"silhouettes need 2 to {len(points) - 1} clusters of {len(points)} points, none of them "
                f"empty; got the sizes {size.tolist()}"
            )
    if not sizes:
        return np.zeros(0)
    total = np.zeros(len(sizes))
    for rows, sums in _distance_sums(points, labelings, sizes, n_at_once):
        first = 0
        for place, (labels, size) in enumerate(zip(labelings, sizes, strict=True)):
            total[place] += _silhouettes(sums[:, first : first + size.size], labels[rows], size).sum()
            first += size.size
    return total / len(points)


def _distance_sums(
    points: Points, labelings: Sequence[Labels], sizes: Sequence[NDArray[np.intp]], n_at_once: int
) -> Iterator[tuple[slice, Points]]:
    """Add up the distances of each point to all clusters of all clusterings, block by block of points."""
    from scipy.spatial.distance import cdist

    members = np.concatenate(
        [np.eye(size.size)[labels] for labels, size in zip(labelings, sizes, strict=True)], axis=1
    )
    n_rows = max(1, n_at_once // len(points))
    for first in range(0, len(points), n_rows):
        rows = slice(first, first + n_rows)
        yield rows, cdist(points[rows], points) @ members


def _silhouettes(sums: Points, own: Labels, size: NDArray[np.intp]) -> Points:
    """Compute the silhouette of each point of a block.

    Args:
        sums: Distances of each point to each cluster, added up, shape ``(n_rows, n_clusters)``.
        own: The cluster of each point, shape ``(n_rows,)``.
        size: Points of each cluster, shape ``(n_clusters,)``.
    """
    row = np.arange(len(own))
    within = sums[row, own] / np.maximum(size[own] - 1, 1)
    means = sums / size
    means[row, own] = np.inf
    between = means.min(axis=1)
    widest = np.maximum(within, between)
    is_flat = (size[own] == 1) | (widest == 0.0)
    return np.where(is_flat, 0.0, (between - within) / np.where(is_flat, 1.0, widest))
