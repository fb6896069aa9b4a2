"""Severity by clusters of text embeddings (Tian et al. 2026, section 2.1), beside that of ACLED's taxonomy.

The embeddings are reduced by principal component analysis; for every number of components and of clusters
k-means is tried, and the highest silhouette score decides. A cluster is then called severe or peaceful by its
commonest labels (`agentnet.analysis.severity`). The paper finds one component and two clusters.

At each of three levels (disorder type, event type, sub-event type) a cluster's commonest label votes for the
severity that the taxonomy gives to that label alone. A label of which the taxonomy leaves it open doesn't
vote, nor do labels that are equally common but of different severity. A cluster whose votes agree has that
name. If they disagree, if nobody votes, or if all clusters would have the same name, there is none.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.given import numbers
from agentnet.analysis.severity_clusters import Agreement, Array, Numbers, SeverityClusters, frozen
from agentnet.analysis.silhouettes import silhouette_scores
from agentnet.errors import InputError
from agentnet.vocabulary import SEVERITIES

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

SeverityOf = Callable[[str, str, str], int | None]
"""The taxonomy: from disorder type, event type and sub-event type, any of them "", to 0, 1 or None."""

LEVELS: Final = ("disorder_type", "event_type", "sub_event_type")

_TIED: Final = " | "


def commonest_labels(members: NDArray[np.bool_], labels: Sequence[Sequence[str]]) -> tuple[str, str, str]:
    """Find the commonest label of a cluster at each level; empty ones don't count."""
    rows = [row for row, is_member in zip(labels, members, strict=True) if is_member]
    first, second, third = (_most(Counter(row[level] for row in rows if row[level])) for level in range(3))
    return first, second, third


def _most(counts: Counter[str]) -> str:
    top = max(counts.values(), default=0)
    return _TIED.join(sorted(label for label, count in counts.items() if count == top))


def _vote(commonest: Sequence[str], severity_of: SeverityOf) -> int | None:
    votes = set()
    for level, label in enumerate(commonest):
        said = {_of_one(part, level, severity_of) for part in label.split(_TIED)}
        votes |= said if len(said) == 1 else set()
    votes.discard(None)
    return votes.pop() if len(votes) == 1 else None


def _of_one(label: str, level: int, severity_of: SeverityOf) -> int | None:
    alone = ["", "", ""]
    alone[level] = label
    return severity_of(*alone)


def name_clusters(
    commonest: Sequence[tuple[str, str, str]], severity_of: SeverityOf
) -> tuple[tuple[int | None, ...], list[str]]:
    """Name the clusters by their commonest labels.

    Returns:
        A severity or None for each cluster, and what there is to say about it.
    """
    names = tuple(_vote(labels, severity_of) for labels in commonest)
    if len({*names} - {None}) == 1 and None not in names:
        name = SEVERITIES[next(iter(names)) or 0]
        return (None,) * len(names), [
            f"no cluster is named: by their commonest labels all of them would be {name}"
        ]
    return names, [
        f"a cluster has no name: its commonest labels are {', '.join(filter(None, labels)) or 'empty'}"
        for labels, name in zip(commonest, names, strict=True)
        if name is None
    ]


__all__ = ["Agreement", "SeverityClusters", "SeverityOf", "cluster_severity"]

N_NOISE: Final = 19
"""Samples without clusters to compare with: to be above all of them would be significant at 0.05 if the
numbers of components and clusters had been fixed beforehand (Barnard 1963, J. R. Stat. Soc. B 25, 294)."""

_TIE: Final = 1e-9
_RESOLUTION: Final = 1e-6
_STARTS: Final = 10


def cluster_severity(
    vectors: ArrayLike,
    ids: Sequence[str],
    labels: Sequence[Sequence[str]],
    severity_of: SeverityOf,
    *,
    max_components: int = 10,
    max_clusters: int = 10,
    seed: int = 0,
) -> SeverityClusters:
    """Cluster the embeddings of news items, and call the clusters severe or peaceful.

    Tried are 1 to `max_components` principal components with 2 to `max_clusters` clusters each, by k-means
    with 10 starts; silhouettes are taken in the reduced space. Of equal highest scores (within 1e-9) the one
    with the fewest components counts, then the one with the fewest clusters. To have two clusters in any
    case, set `max_clusters` to 2.

    Along one component even points without clusters have high silhouettes (0.5 and more): so the chosen score
    is compared with those of 19 normal samples of the same variances, with as many components and clusters.
    That is lenient: those numbers were chosen for their high score, and the samples had no such choice.

    Args:
        vectors: Embeddings, shape ``(n_items, dim)``.
        ids: Names of the items, unique; shape ``(n_items,)``.
        labels: Disorder type, event type and sub-event type of each item, "" where unknown; shape
            ``(n_items, 3)``.
        severity_of: The taxonomy, such as `agentnet.news.severity_of`.
        max_components: Highest number of components, >= 1.
        max_clusters: Highest number of clusters, >= 2.
        seed: Fixes the starts of k-means.

    Returns:
        The clusters.

    Raises:
        InputError: The arguments don't fit together, there are fewer than 3 items, or all embeddings are
            equal.
    """
    points = _checked(vectors, ids, labels)
    if max_components < 1 or max_clusters < 2:
        raise InputError(
            f"try at least 1 component and 2 clusters, not {max_components} and {max_clusters}",
            field="max_components" if max_components < 1 else "max_clusters",
        )
    coordinates, explained = _principal_components(points, max_components)
    tried = [_tried(coordinates[:, : i + 1], max_clusters, seed) for i in range(explained.size)]
    scores = np.array([[score for score, _ in row] for row in tried])
    component, column = _first_best(scores)
    found = tried[component][column][1]
    noise = _noise_score(coordinates[:, : component + 1], column + 2, seed)
    commonest = [commonest_labels(found == number, labels) for number in range(column + 2)]
    names, unnamed = name_clusters(commonest, severity_of)
    first, order = _arranged(coordinates[:, 0], found, names)
    return SeverityClusters(
        ids=tuple(ids),
        cluster=frozen(np.argsort(order)[found], np.int64),
        first_component=frozen(first, np.float64),
        explained=frozen(explained, np.float64),
        scores=frozen(scores, np.float64),
        noise_score=noise,
        n_components=component + 1,
        commonest=tuple(commonest[number] for number in order),
        names=tuple(names[number] for number in order),
        taxonomy=tuple(severity_of(*row) for row in labels),
        notes=(*_remarks(scores, component, column, max_components, noise), *unnamed),
    )


def _checked(vectors: ArrayLike, ids: Sequence[str], labels: Sequence[Sequence[str]]) -> Array:
    points = numbers(vectors, "vectors")
    if points.ndim != 2 or not np.isfinite(points).all():
        raise InputError(
            f"embeddings must be finite numbers of shape (n_items, dim); got shape {points.shape}",
            field="vectors",
        )
    if not len(points) == len(ids) == len(labels):
        raise InputError(
            f"there are {len(points)} embeddings, {len(ids)} ids and {len(labels)} rows of labels"
        )
    if len(points) < 3:
        raise InputError(f"clusters need at least 3 items; there are {len(points)}", field="vectors")
    repeated = next((name for name, count in Counter(ids).items() if count > 1), None)
    if repeated is not None:
        raise InputError(f"id {repeated!r} stands twice; each item needs its own", field="ids")
    for name, row in zip(ids, labels, strict=True):
        if isinstance(row, str) or len(row) != len(LEVELS):
            raise InputError(f"item {name!r} needs the three labels {', '.join(LEVELS)}", field="labels")
    return points


def _principal_components(points: Array, most: int) -> tuple[Array, Array]:
    """Reduce `points` to their first principal components, as many as there are, at most `most`.

    Returns:
        Scores, shape ``(n_items, n_tried)``, and the share of the variance that each component explains.
    """
    from sklearn.decomposition import PCA

    n_items, dim = points.shape
    solver = "covariance_eigh" if n_items >= dim else "full"
    # Embeddings have the resolution of float32: what differs by less is rounding.
    if np.ptp(points, axis=0).max(initial=0.0) <= _RESOLUTION * np.abs(points).max(initial=0.0):
        raise InputError("all embeddings are equal: there is nothing to cluster", field="vectors")
    found = PCA(min(most, n_items - 1, dim), svd_solver=solver).fit(points)
    shares: Array = found.explained_variance_ratio_
    # What is left beyond the rank is rounding, in which k-means would find clusters too.
    n_tried = max(1, int((shares > max(points.shape) * np.finfo(np.float64).eps).sum()))
    largest = np.abs(found.components_[0]).argmax()
    coordinates: Array = found.transform(points)[:, :n_tried]
    coordinates[:, 0] *= np.sign(found.components_[0, largest])
    return coordinates, shares[:n_tried]


def _tried(points: Array, max_clusters: int, seed: int) -> list[tuple[float, Numbers]]:
    """Cluster `points` into 2, 3, ... clusters.

    Returns:
        For each number of clusters the silhouette score and the cluster of each point; NaN where there are
        not that many clusters.
    """
    made = [_k_means(points, number, seed) for number in range(2, max_clusters + 1)]
    is_whole = [
        2 <= number < len(points) and np.unique(labels).size == number
        for number, labels in enumerate(made, 2)
    ]
    scores = iter(
        silhouette_scores(points, [labels for labels, whole in zip(made, is_whole, strict=True) if whole])
    )
    return [
        (float(next(scores)) if whole else math.nan, labels)
        for labels, whole in zip(made, is_whole, strict=True)
    ]


def _k_means(points: Array, n_clusters: int, seed: int) -> Numbers:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if n_clusters >= len(points):
        return np.zeros(len(points), dtype=np.int64)
    # One thread: the order of sums, and with it the result, would hang on the number of processors.
    with _libraries().limit(limits=1), warnings.catch_warnings():
        # It tells of fewer different points than clusters, which the caller sees for itself.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels: Numbers = KMeans(n_clusters, n_init=_STARTS, random_state=seed % 2**32).fit_predict(points)
    return labels.astype(np.int64)


@cache
def _libraries() -> ThreadpoolController:
    """Find the libraries that compute in threads, once: all that the process has loaded is searched."""
    import sklearn.cluster  # noqa: F401 - a library that is loaded later is not among them
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _noise_score(points: Array, n_clusters: int, seed: int) -> float:
    """Find the highest silhouette score of normal samples of the same variances as `points`."""
    rng = np.random.default_rng(seed % 2**32)
    scores = []
    for _ in range(N_NOISE):
        sample = rng.normal(scale=points.std(axis=0), size=points.shape)
        scores.append(float(silhouette_scores(sample, [_k_means(sample, n_clusters, seed)])[0]))
    return max(scores)


def _first_best(scores: Array) -> tuple[int, int]:
    """Find the highest score: of equal ones the one with the fewest components, then the fewest clusters."""
    best = np.argwhere(scores >= np.nanmax(scores) - _TIE)
    return int(best[0, 0]), int(best[0, 1])


def _remarks(scores: Array, component: int, column: int, max_components: int, noise: float) -> Iterator[str]:
    n_best = int((scores >= np.nanmax(scores) - _TIE).sum())
    if n_best > 1:
        yield (
            f"{n_best} choices have the same highest silhouette score; the one with the fewest components "
            f"and clusters was taken"
        )
    if len(scores) < max_components:
        yield f"the embeddings have no more than {len(scores)} of the {max_components} components to be tried"
    if np.isnan(scores).any():
        yield "not every number of clusters was possible: there are too few different points"
    if scores[component, column] <= noise:
        yield (
            f"the highest silhouette score is {scores[component, column]:.3f}, which points without clusters "
            f"reach too: the best of {N_NOISE} normal samples has {noise:.3f}"
        )
    if column:
        yield (
            f"the highest silhouette score is that of {column + 2} clusters, not of two; max_clusters=2 "
            f"forces two"
        )


def _arranged(first: Array, cluster: Numbers, names: Sequence[int | None]) -> tuple[Array, NDArray[np.intp]]:
    """Turn the first component so that severe items lie to the right, and sort the clusters along it.

    Returns:
        The turned scores, and the clusters in their new order.
    """
    means = np.array([first[cluster == number].mean() for number in range(len(names))])
    severe, peaceful = ([mean for mean, name in zip(means, names, strict=True) if name == s] for s in (1, 0))
    if severe and peaceful and np.mean(severe) < np.mean(peaceful):
        first, means = -first, -means
    return first, np.argsort(means, kind="stable")
