"""News items in clusters of severity: the result of `agentnet.analysis.severity`, as a value and as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import InputError
from agentnet.vocabulary import SEVERITIES

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

_FORMAT: Final = "agentnet severity clusters 1"
_SEVERITIES: Final = frozenset({(int, 0), (int, 1), (type(None), None)})


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two ways to tell severity agree, over the items to which both give one.

    Attributes:
        confusion: Items by severity of the taxonomy (outer) and of the clusters (inner); 0 is peaceful.
        n_left_out: Items that are not compared, for one of the two gives them no severity.
    """

    confusion: tuple[tuple[int, int], tuple[int, int]]
    n_left_out: int = 0

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
        """Cohen's kappa (1960, Educ. Psychol. Meas. 20, 37-46), at most 1: 0 is what chance alone makes.

        NaN unless each of the two gives both severities. Where one gives one only, the formula's value is
        0 (or 0 / 0) whatever the other says, which would look like a finding and is none.
        """
        if any(0 in numbers for numbers in self._numbers()):
            return math.nan
        (peaceful, severe), (other_peaceful, other_severe) = self._numbers()
        by_chance = (peaceful * other_peaceful + severe * other_severe) / self.n_items**2
        return (self.accuracy - by_chance) / (1.0 - by_chance)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know, one sentence each."""
        return tuple(self._remarks())

    def _numbers(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Count the peaceful and the severe items of the taxonomy, and those of the clusters."""
        (a, b), (c, d) = self.confusion
        return (a + b, c + d), (a + c, b + d)

    def _remarks(self) -> Iterator[str]:
        if self.n_left_out:
            yield f"{self.n_left_out} items are left out, for taxonomy or clusters give them no severity"
        if not self.n_items:
            yield "no item has a severity by both taxonomy and clusters: nothing can be compared"
            return
        for side, numbers in zip(("taxonomy", "clusters"), self._numbers(), strict=True):
            if 0 in numbers:
                yield (
                    f"by the {side} every item compared is {SEVERITIES[numbers.index(self.n_items)]}, so "
                    "that kappa cannot tell agreement from chance"
                )


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
        """How far taxonomy and clusters agree."""
        pairs = zip(self.taxonomy, self.severity.values(), strict=True)
        counts = Counter("left out" if None in pair else pair for pair in pairs)
        return Agreement(((counts[0, 0], counts[0, 1]), (counts[1, 0], counts[1, 1])), counts["left out"])

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
        # Types as well: true equals 1, but is no severity of a news item.
        if not {(type(each), each) for each in (*self.names, *self.taxonomy)} <= _SEVERITIES:
            raise ValueError("a severity is none of 0, 1 and null")
        if not 1 <= self.n_components <= len(self.scores) or math.isnan(self.score):
            raise ValueError("what was chosen has no score")


def frozen(values: ArrayLike, dtype: type[np.generic]) -> NDArray[Any]:
    """Copy `values` to an array that cannot be changed."""
    array = np.array(values, dtype=dtype)
    array.setflags(write=False)
    return array
