"""Which cluster of news items is severe and which peaceful: by its commonest labels and their taxonomy.

At each of the three levels (disorder type, event type, sub-event type) a cluster's commonest label votes for
the severity that the taxonomy gives to that label alone. A label of which the taxonomy leaves it open doesn't
vote, nor do labels that are equally common but of different severity. A cluster whose votes agree has that
name. If they disagree, if nobody votes, or if all clusters would have the same name, there is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

SeverityOf = Callable[[str, str, str], int | None]
"""The taxonomy: from disorder type, event type and sub-event type, any of them "", to 0, 1 or None."""

LEVELS: Final = ("disorder_type", "event_type", "sub_event_type")
NAMES: Final = ("peaceful", "severe")

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
        name = NAMES[next(iter(names)) or 0]
        return (None,) * len(names), [
            f"no cluster is named: by their commonest labels all of them would be {name}"
        ]
    return names, [
        f"a cluster has no name: its commonest labels are {', '.join(filter(None, labels)) or 'empty'}"
        for labels, name in zip(commonest, names, strict=True)
        if name is None
    ]
