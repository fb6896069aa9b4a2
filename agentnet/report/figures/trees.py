"""Trees of who had the news from whom: how many are at least so large, so deep, so viral."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from agentnet.analysis.trees import Trees
from agentnet.report.figures.of_conditions import MOST_CONDITIONS, look_of
from agentnet.report.figures.sketch import Drawn, figure
from agentnet.report.figures.style import grid_of_axes, legend_above, new_figure
from agentnet.report.figures.words import capitalized, cleaned, counted, drawable, listed, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from agentnet.report.conditions import Conditions
    from agentnet.report.worlds import WorldPart

_SHOWN: Final = {"size": "size", "depth": "depth", "virality": "structural virality"}
_WIDE: Final = 20.0
"""Both axes are logarithmic where the greatest value is so many times the least."""


@figure(
    "cascade_trees",
    of="cascades",
    title="Trees of who had the news from whom",
    rank=105,
    takes="trees observed",
)
def of_part(trees: Trees, observed: Trees | None) -> Drawn:
    """Draw the trees of a condition, and those observed elsewhere."""
    return _drawn([trees, *([observed] if observed is not None else [])])


@figure("trees_by_condition", of="conditions", title="Trees of who had the news from whom", rank=2)
def by_condition(of: Conditions) -> Drawn | None:
    """Draw the trees of each condition, and those observed elsewhere."""
    return _drawn(of.trees) if of.trees else None


@figure("message_trees", of="worlds", title="Trees of messages: what retells or answers what", rank=2)
def of_messages(part: WorldPart) -> Drawn | None:
    """Draw the trees of messages, where no comparison of conditions does."""
    return _drawn(part.message_trees) if part.message_trees and part.facts.n_conditions == 1 else None


def _drawn(every: Sequence[Trees]) -> Drawn:
    shown = [*every[: MOST_CONDITIONS - 1], *every[MOST_CONDITIONS - 1 :][-1:]]
    drawn = new_figure(9.0, 3.4)
    axes = grid_of_axes(drawn, len(_SHOWN), len(_SHOWN), sharey=True)
    for each, (measure, name) in zip(axes, _SHOWN.items(), strict=True):
        _draw(each, measure, shown)
        each.set_xlabel(name)
    axes[0].set_ylabel("share of trees with at least that")
    legend_above(drawn, axes, n_columns=3)
    return Drawn(drawn, _caption(shown, len(every) - len(shown)), _in_words(shown))


def _draw(axes: Axes, measure: str, every: Sequence[Trees]) -> None:
    ends = []
    for place, trees in enumerate(every):
        values, look = trees.of(measure), look_of(place)
        if not values.size:
            continue
        at, first = np.unique(values, return_index=True)
        axes.plot(
            at,
            1 - first / values.size,
            look.line,
            drawstyle="steps-pre",
            color=look.colour,
            marker=look.marker,
            markevery=max(at.size // 8, 1),
            label=drawable(trees.name, 40),
        )
        ends += [at[0], at[-1]]
    if ends and min(ends) > 0 and max(ends) > _WIDE * min(ends):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")


def _caption(shown: Sequence[Trees], n_hidden: int) -> Iterator[str]:
    trees = (f"{counted(len(each), 'tree')} of {cleaned(each.name)}" for each in shown)
    yield f"Share of trees that are at least so large, so deep and so viral: {listed(trees, MOST_CONDITIONS)}"
    yield (
        "Structural virality is the mean distance of two nodes of a tree (Goel et al. 2016); a single node "
        "has none"
    )
    if n_hidden:
        yield f"{n_hidden} more conditions are not drawn"


def _in_words(every: Sequence[Trees]) -> Iterator[str]:
    for each in every:
        summary = each.summary()
        medians = (
            f"{name} {spelled(summary[measure]['median'])}"
            for measure, name in _SHOWN.items()
            if measure in summary
        )
        yield f"{capitalized(cleaned(each.name))}: medians {listed(medians)}"
