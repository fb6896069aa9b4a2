"""News items in clusters of severity: the result of `agentnet.analysis.severity`, as a value and as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import InputError

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

_FORMAT: Final = "agentnet severity clusters 1"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two ways to tell severity agree, over the items to which both give one.

    Attributes:
        confusion: Items by severity of the taxonomy (outer) and of the clusters (inner); 0 is peaceful.
    """

    confusion: tuple[tuple[int, int], tuple[int, int]]

    @property
    def n_items(self) -> int:
        """Items compared."""
        return sum(map(sum, self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of items with the same severity; NaN without items."""
        same = self.confusion[0][0] + self.confusion[1][1]
        return same / self.n_items if self.n_items else math.nan

    @property
    def kappa(self) -> float:
        """Cohen's kappa (1960, Educ. Psychol. Meas. 20, 37-46); NaN if all items have one severity."""
        n = self.n_items
        columns = [sum(row[severity] for row in self.confusion) for severity in (0, 1)]
        by_chance = sum(sum(self.confusion[severity]) * columns[severity] for severity in (0, 1))
        if by_chance == n * n:
            return math.nan
        return (self.accuracy - by_chance / n**2) / (1.0 - by_chance / n**2)


@dataclass(frozen=True, slots=True, eq=False)
class SeverityClusters:
    """News items in clusters.

    Attributes:
        ids: The items, shape ``(n_items,)``.
        cluster: Cluster of each item, numbered from 0 by ascending mean of the first component; shape
            ``(n_items,)``.
        first_component: Scores of the first principal component, same shape. Its sign is chosen so that
            severe items lie to the right; without names, so that its largest weight is positive.
        explained: Share of the variance that each component tried explains, shape ``(n_tried,)``.
        scores: Silhouette scores: row i for i + 1 components, column j for j + 2 clusters; NaN where there
            are not that many different points.
        noise_score: Highest silhouette score of normal samples without clusters, for comparison.
        n_components: Number of components chosen.
        commonest: For each cluster its commonest label at each level; several equally common ones are joined
            by " | ".
        names: For each cluster 0 peaceful, 1 severe, or None.
        taxonomy: Severity of each item by the taxonomy, or None; shape ``(n_items,)``.
        notes: What the reader should know, one sentence each.
    """

    ids: tuple[str, ...]
    cluster: Numbers
    first_component: Array
    explained: Array
    scores: Array
    noise_score: float
    n_components: int
    commonest: tuple[tuple[str, str, str], ...]
    names: tuple[int | None, ...]
    taxonomy: tuple[int | None, ...]
    notes: tuple[str, ...]

    @property
    def n_clusters(self) -> int:
        """Number of clusters chosen."""
        return len(self.names)

    @property
    def score(self) -> float:
        """Silhouette score of the chosen clusters."""
        return float(self.scores[self.n_components - 1, self.n_clusters - 2])

    @property
    def severity(self) -> dict[str, int | None]:
        """Severity of each item by its cluster's name, by id: what `agentnet.news.with_severity` takes."""
        return {name: self.names[cluster] for name, cluster in zip(self.ids, self.cluster, strict=True)}

    @property
    def agreement(self) -> Agreement:
        """How far the taxonomy agrees."""
        counts = Counter(zip(self.taxonomy, self.severity.values(), strict=True))
        return Agreement(((counts[0, 0], counts[0, 1]), (counts[1, 0], counts[1, 1])))

    def to_json(self) -> str:
        """Write everything as JSON, from which `from_json` makes the same again."""
        values = {
            "format": _FORMAT,
            "ids": self.ids,
            "cluster": self.cluster.tolist(),
            "first_component": self.first_component.tolist(),
            "explained": self.explained.tolist(),
            "scores": [
                [None if math.isnan(score) else score for score in row] for row in self.scores.tolist()
            ],
            "noise_score": self.noise_score,
            "n_components": self.n_components,
            "commonest": self.commonest,
            "names": self.names,
            "taxonomy": self.taxonomy,
            "notes": self.notes,
        }
        return json.dumps(values, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, path: Path | str | None = None) -> SeverityClusters:
        """Make the clusters that `to_json` wrote.

        Args:
            text: The JSON.
            path: Where it stood, for messages.

        Raises:
            InputError: It is something else.
        """
        try:
            values = json.loads(text)
            if values.pop("format") != _FORMAT:
                raise ValueError("it is of another format")
            made = cls(
                ids=tuple(map(str, values.pop("ids"))),
                cluster=frozen(values.pop("cluster"), np.int64),
                first_component=frozen(values.pop("first_component"), np.float64),
                explained=frozen(values.pop("explained"), np.float64),
                scores=frozen(values.pop("scores"), np.float64),
                noise_score=float(values.pop("noise_score")),
                n_components=int(values.pop("n_components")),
                commonest=tuple((str(a), str(b), str(c)) for a, b, c in values.pop("commonest")),
                names=tuple(values.pop("names")),
                taxonomy=tuple(values.pop("taxonomy")),
                notes=tuple(map(str, values.pop("notes"))),
            )
            made.check()
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
            raise InputError(
                f"these are no severity clusters ({type(error).__name__}: {error}); make them anew", path=path
            ) from error
        return made

    def check(self) -> None:
        """See that the parts fit together.

        Raises:
            ValueError: They don't.
        """
        n_items = len(self.ids)
        if not self.cluster.shape == self.first_component.shape == (n_items,) == (len(self.taxonomy),):
            raise ValueError("its columns have different lengths")
        if len(set(self.ids)) < n_items or len(self.commonest) != self.n_clusters:
            raise ValueError("an id stands twice, or a cluster is missing")
        if not set(self.cluster.tolist()) == set(range(self.n_clusters)):
            raise ValueError("its clusters are not numbered from 0")
        if not {*self.names, *self.taxonomy} <= {0, 1, None}:
            raise ValueError("a severity is none of 0, 1 and null")
        if not 1 <= self.n_components <= len(self.scores) or math.isnan(self.score):
            raise ValueError("what was chosen has no score")


def frozen(values: ArrayLike, dtype: type[np.generic]) -> NDArray[Any]:
    """Copy `values` to an array that cannot be changed."""
    array = np.array(values, dtype=dtype)
    array.setflags(write=False)
    return array
