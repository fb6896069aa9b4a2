"""Trees of messages: who passed on what they had from whom, in a run or in a cascade observed elsewhere.

    from agentnet import analysis

    played = analysis.trees_of("runs/x").trees()
    played.frame()                                          # one row a tree
    seen = analysis.read_observed("retweets.csv").trees()
    analysis.tree_distances(played, seen)

The shape of a tree is told by its size, depth and width, and by its structural virality: the mean distance of
two of its nodes (Goel, Anderson, Hofman & Watts 2016, "The structural virality of online diffusion",
Management Science 62:180-196), small for a broadcast, large where it goes from hand to hand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.columns import NOTHING
from agentnet.analysis.reading import OpenLog, open_log
from agentnet.errors import DesignError, UserError, near_miss
from agentnet.events import Run
from agentnet.events.conditions import Condition, condition_of
from agentnet.vocabulary import EXPOSURE

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

ROOT: Final = -1
"""Parent of a node that has none."""

MEASURES: Final[Mapping[str, str]] = {
    "size": "nodes",
    "depth": "greatest distance from the root",
    "width": "most nodes at one distance from the root",
    "virality": "structural virality: mean distance of two nodes",
    "concentration": "concentration of who is answered: 1 a star, 1 / (n - 1) a chain",
    "delay": "mean time from parent to child",
}
"""What trees are told by: attribute of `Trees` -> in words."""

FEW: Final = 20
"""Below so many trees a distance of two samples says little."""

_EXACT: Final = 10_000
"""Up to so many pairs of trees p-values are exact; else those of large samples."""

QUANTILES: Final = {"q10": 0.1, "median": 0.5, "q90": 0.9}
"""What a summary tells of a measure beside mean and greatest."""


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Nodes and their parents, in any order.

    Attributes:
        name: Where it comes from.
        parent: Place of each node's parent, `ROOT` where it has none, shape ``(n_nodes,)``.
        author: Number of each node's author, -1 unknown, likewise.
        time: When each came to be, nan unknown, likewise.
        unit: Of `time`: ``step``, ``s``, or empty where nobody said.
        columns: What else is known of each node, likewise; that of its root is told of a tree.
        counts: What was met on the way, such as ``n_orphans``.
        notes: The same in sentences, and what was done about it.
    """

    name: str
    parent: Ints
    author: Ints
    time: Floats
    unit: str = ""
    columns: Columns = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def trees(self) -> Trees:
        """Measure its trees; takes time in the order of n log(depth).

        Raises:
            UserError: Nodes are among their own ancestors.
        """
        root, depth = climbed(self.parent)
        if (root == ROOT).any():
            raise UserError(
                f"{self.name}: node {int(np.argmin(root))} is on or below a circle of nodes that are each "
                "other's ancestors, so it belongs to no tree; take a link of that circle out"
            )
        roots = np.flatnonzero(self.parent == ROOT)
        tree = np.searchsorted(roots, root)
        size = np.bincount(tree, minlength=roots.size)
        inner = np.flatnonzero(self.parent != ROOT)
        gap = self.time[inner] - self.time[self.parent[inner]]
        n_earlier = int((gap < 0).sum())
        earlier = (
            f"earlier than their parents, so that no time between the two is counted: {n_earlier:,} nodes"
        )
        return Trees(
            name=self.name,
            unit=self.unit,
            root=roots,
            size=size,
            depth=_most(tree, depth, roots.size),
            width=_widths(tree, depth, roots.size),
            virality=_virality(self.parent, depth, tree, size),
            concentration=_concentration(self.parent[inner], tree, size),
            delay=_means(tree[inner], gap, roots.size),
            n_authors=_different(tree, self.author, roots.size),
            columns={name: values[roots] for name, values in self.columns.items()},
            counts={**self.counts, "n_earlier": n_earlier},
            notes=(*self.notes, *([earlier] if n_earlier else [])),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Trees, each of shape ``(n_trees,)`` in the order of their roots.

    Attributes:
        name: Where they come from.
        unit: Of `delay`.
        root: Place of the root in the forest.
        size: Number of nodes n.
        depth: Greatest distance from the root.
        width: Most nodes at one distance from the root.
        virality: Structural virality, the mean of all n (n - 1) distances; nan for a single node. A chain has
            (n + 1) / 3, a star 2 (n - 1) / n.
        concentration: Herfindahl's index of who is answered, the sum over parents of their squared shares of
            the n - 1 links; nan for a single node.
        delay: Mean time from parent to child; nan where no two times are known.
        n_authors: Different authors that are known.
        columns: What is known of each root.
        counts: What was met on the way.
        notes: The same in sentences.
    """

    name: str
    unit: str
    root: Ints
    size: Ints
    depth: Ints
    width: Ints
    virality: Floats
    concentration: Floats
    delay: Floats
    n_authors: Ints
    columns: Columns
    counts: Mapping[str, int]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return self.root.size

    def of(self, measure: str) -> Floats:
        """Give a measure of those trees that have it, ascending."""
        values: Floats = getattr(self, measure).astype(np.float64)
        return np.sort(values[~np.isnan(values)])

    def frame(self) -> pd.DataFrame:
        """Lay them out, a row each."""
        import pandas as pd

        measured = {each: getattr(self, each) for each in (*MEASURES, "n_authors")}
        return pd.DataFrame({**self.columns, **measured})

    def summary(self) -> dict[str, dict[str, float]]:
        """Summarize each measure that some tree has: how many have it, mean, quantiles, greatest."""
        found = {measure: self.of(measure) for measure in MEASURES}
        return {
            measure: {
                "n": values.size,
                "mean": float(values.mean()),
                **{name: float(np.quantile(values, share)) for name, share in QUANTILES.items()},
                "most": float(values[-1]),
            }
            for measure, values in found.items()
            if values.size
        }

    def in_words(self, measure: str) -> str:
        """Name a measure, with its unit if it has one."""
        unit = f" ({self.unit})" if measure == "delay" and self.unit else ""
        return f"{MEASURES[measure]}{unit}"

    def as_json(self) -> dict[str, Any]:
        """Spell what is known of all of them."""
        return {
            "name": self.name,
            "n_trees": len(self),
            "unit_of_delay": self.unit,
            "measures": self.summary(),
            "counts": dict(self.counts),
            "notes": list(self.notes),
        }


def climbed(parent: Ints) -> tuple[Ints, Ints]:
    """Find the root of each node, and how far above it is.

    Each round looks twice as far up, so that a chain of n nodes takes log2(n) rounds.

    Args:
        parent: Place of each node's parent, `ROOT` for none, shape ``(n_nodes,)``.

    Returns:
        Place of the root, `ROOT` where a node is on or below a circle; distance from it. Each of shape
        ``(n_nodes,)``.

    Examples:
        >>> climbed(np.array([-1, 0, 1, 4, 3]))[0]
        array([ 0,  0,  0, -1, -1])
    """
    above = np.where(parent == ROOT, np.arange(parent.size), parent)
    depth = (parent != ROOT).astype(np.int64)
    for _ in range(parent.size.bit_length()):
        if (parent[above] == ROOT).all():
            break
        depth += depth[above]
        above = above[above]
    return np.where(parent[above] == ROOT, above, ROOT), depth


def _most(tree: Ints, values: Ints, n_trees: int) -> Ints:
    most = np.zeros(n_trees, dtype=np.int64)
    np.maximum.at(most, tree, values)
    return most


def _widths(tree: Ints, depth: Ints, n_trees: int) -> Ints:
    n_levels = int(depth.max(initial=0)) + 1
    level, count = np.unique(tree * n_levels + depth, return_counts=True)
    return _most(level // n_levels, count, n_trees)


def _virality(parent: Ints, depth: Ints, tree: Ints, size: Ints) -> Floats:
    """Take the mean distance of two nodes of each tree.

    A link with s nodes below it lies between s (n - s) pairs, so the distances of all pairs add up to the sum
    of that over links (Wiener 1947, Journal of the American Chemical Society 69:17-20).
    """
    below = np.array(_n_below(parent, depth), dtype=np.float64)
    n = size.astype(np.float64)
    total = np.bincount(tree, weights=below * (n[tree] - below), minlength=size.size)
    return _ratio(total, n * (n - 1) / 2)


def _n_below(parent: Ints, depth: Ints) -> list[int]:
    """Count the nodes of each one's subtree, itself included."""
    count, above = [1] * parent.size, parent.tolist()
    deepest_first = np.argsort(-depth, kind="stable")[: int((parent != ROOT).sum())]
    # A chain has as many levels as nodes: a plain loop over nodes beats array operations level by level.
    for node in deepest_first.tolist():
        count[above[node]] += count[node]
    return count


def _concentration(parents: Ints, tree: Ints, size: Ints) -> Floats:
    children = np.bincount(parents, minlength=tree.size).astype(np.float64)
    total = np.bincount(tree, weights=children**2, minlength=size.size)
    return _ratio(total, (size - 1.0) ** 2)


def _means(tree: Ints, gap: Floats, n_trees: int) -> Floats:
    told = gap >= 0
    total = np.bincount(tree[told], weights=gap[told], minlength=n_trees)
    return _ratio(total, np.bincount(tree[told], minlength=n_trees).astype(np.float64))


def _ratio(total: NDArray[Any], n: NDArray[Any]) -> Floats:
    found: Floats = np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)
    return found


def _different(tree: Ints, author: Ints, n_trees: int) -> Ints:
    n_authors = int(author.max(initial=0)) + 1
    pairs = np.unique((tree * n_authors + author)[author >= 0])
    return np.bincount(pairs // n_authors, minlength=n_trees)


class Distance(NamedTuple):
    """How far two samples of trees are apart in one measure.

    Attributes:
        measure: Of `MEASURES`.
        n: Trees of each sample that have it.
        statistic: Greatest difference of the two distribution functions (Kolmogorov & Smirnov), 0 to 1.
        p_value: Chance of one as great between samples of one distribution; too high where values are tied.
        floor: What it exceeds by chance alone in one of twenty cases (Smirnov 1948, Annals of Mathematical
            Statistics 19:279-281; of large samples).
        remark: What to know; empty if nothing.
    """

    measure: str
    n: tuple[int, int]
    statistic: float
    p_value: float
    floor: float
    remark: str


def tree_distances(one: Trees, other: Trees) -> tuple[Distance, ...]:
    """Compare two samples of trees, in each measure that both have.

    Times between parent and child are compared only where both are in one unit.
    """
    shared = [each for each in MEASURES if each != "delay" or one.unit == other.unit]
    pairs = ((each, one.of(each), other.of(each)) for each in shared)
    return tuple(_distance(*each) for each in pairs if each[1].size and each[2].size)


def _distance(measure: str, one: Floats, other: Floats) -> Distance:
    from scipy.stats import ks_2samp

    n = one.size * other.size
    found = ks_2samp(one, other, method="exact" if n <= _EXACT else "asymp")
    few = min(one.size, other.size)
    trees = "a single tree is" if few == 1 else f"{few} trees are"
    return Distance(
        measure,
        (one.size, other.size),
        float(found.statistic),
        float(found.pvalue),
        min(1.0, 1.358 * math.sqrt((one.size + other.size) / n)),
        f"{trees} few: that no difference is seen does not show that there is none" if few < FEW else "",
    )


# Who wins an agent over is whose yes comes first in a step, and questions go by the number of their source.
_SHARES = f"""
SELECT r.realization, IFNULL(r.news, {NOTHING}), a.agent, a.agent, a.engaged_step,
    (SELECT IFNULL(MIN(source), {NOTHING}) FROM events e WHERE e.realization = a.realization
     AND e.kind = '{EXPOSURE}' AND e.step = a.engaged_step AND e.agent = a.agent AND e.decision = 1),
    (SELECT COUNT(*) FROM events e WHERE e.realization = a.realization
     AND e.kind = '{EXPOSURE}' AND e.step = a.engaged_step AND e.agent = a.agent AND e.decision = 1)
FROM realizations r JOIN agents a USING (realization)
WHERE r.realization IN (SELECT value FROM json_each(?)) AND a.engaged_step IS NOT NULL
ORDER BY r.realization, a.agent
"""  # noqa: S608 - our own

_MESSAGES = f"""
SELECT r.realization, IFNULL(r.news, {NOTHING}), m.message, m.author, m.step, IFNULL(m.parent, {NOTHING}), 0
FROM realizations r JOIN messages m USING (realization)
WHERE r.realization IN (SELECT value FROM json_each(?)) ORDER BY r.realization, m.message
"""  # noqa: S608 - our own number

SHARES, MESSAGES = "shares", "messages"
_NODES: Final = {SHARES: _SHARES, MESSAGES: _MESSAGES}


def trees_of(run: Run | str | Path, of: str = SHARES, *, condition: int | None = None) -> Forest:
    """Read who had what from whom, in the finished realizations of a run.

    Args:
        run: The run, its folder, or its event log.
        of: What a node is. ``shares``: an agent of a cascade that engaged. Its parent is the source of the
            yes that engaged it; of several yeses at one step it is the source with the lowest number, whose
            message it passes on. ``messages``: a message. Its parent is the one that it retells or answers.
        condition: Which of the run's conditions, counted from 0; None: all of them.

    Returns:
        The forest, with columns realization, condition, news (the item's id; empty without one) and node (the
        number of the agent or message); times are steps. It is empty for a condition without such nodes.

    Raises:
        RunFolderError: There is no event log, or it is damaged, or of another schema.
        UserError: The run has no such nodes, or no such condition.
        DesignError: `of` is neither.
    """
    if of not in _NODES:
        raise DesignError(f"trees are not of {of!r}{near_miss(of, _NODES)}")
    with open_log(run) as log:
        if of == SHARES:
            log.check_read_as("cascades")
        if condition is not None:
            Condition.chosen(log.meta, log.folder, condition)
        numbers = condition_of(log.connection)
        chosen = {each for each, number in numbers.items() if condition in (None, number)}
        counts, finished = _realizations(log, chosen)
        rows = log.integers(_NODES[of], 7, json.dumps(finished))
        realization, news, node, author, step, above, n_yes = rows
        if not realization.size and condition is None:
            raise UserError(f"{log.folder} has no {of} in a finished realization, so no trees of them")
        ids = dict(log.connection.execute("SELECT news, id FROM news").fetchall())
        parent = _places(log, realization, node, above)
    later = step > 0
    counts |= {
        "n_later": int(later.sum()),
        "n_several_yeses": int((n_yes > 1).sum()),
        "n_orphans": int((later & (parent == ROOT)).sum()) if of == SHARES else 0,
    }
    columns = {
        "realization": realization,
        "condition": np.array([numbers[each] for each in realization.tolist()], dtype=object),
        "news": np.array([ids.get(each, "") for each in news.tolist()], dtype=object),
        "node": node,
    }
    notes = tuple(says.format(**counts) for name, says in _SAYS.items() if counts[name])
    return Forest(log.folder.name, parent, author, step.astype(np.float64), "step", columns, counts, notes)


def _realizations(log: OpenLog, chosen: Container[int]) -> tuple[dict[str, int], list[int]]:
    """Count the realizations that have no trees; list the others."""
    rows = log.connection.execute("SELECT realization, status FROM realizations").fetchall()
    n_done = sum(status != "running" for _, status in rows)
    counts = {
        "n_unstarted": sum(status == "unstarted" and number in chosen for number, status in rows),
        "n_unfinished": int(log.needed("n_realizations")) - n_done,
    }
    return counts, sorted(number for number, status in rows if status == "finished" and number in chosen)


def _places(log: OpenLog, realization: Ints, node: Ints, above: Ints) -> Ints:
    """Find the place of each node's parent; nodes are in the order of realizations and their numbers."""
    width = int(max(node.max(initial=0), above.max(initial=0))) + 1
    key, wanted = realization * width + node, realization * width + above
    place = np.searchsorted(key, wanted)
    has = above != NOTHING
    if not np.isin(wanted[has], key).all():
        raise log.damage("somebody had a message from where there was none")
    return np.where(has, place, ROOT)


_SAYS: Final = {
    "n_several_yeses": (
        "yes to several sources at one step: {n_several_yeses:,} of {n_later:,} agents that engaged after "
        "step 0; the source with the lowest number is their parent"
    ),
    "n_orphans": "agents that engaged after step 0 without a yes, each a root of its own: {n_orphans:,}",
    "n_unstarted": "realizations that nobody started, so without a tree: {n_unstarted:,}",
    "n_unfinished": "realizations of the run that are not finished, and left out: {n_unfinished:,}",
}
