"""Shares of answers by what agents were told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from agentnet.analysis.by_context import ContextShare, in_order
from agentnet.report.figures.of_conditions import look_of
from agentnet.report.figures.sketch import Drawn, figure
from agentnet.report.figures.style import grid_of_axes, legend_above, new_figure
from agentnet.report.figures.words import cleaned, drawable, listed, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_PANELS: Final = 9
_MOST_LINES: Final = 8
_ASIDE: Final = 0.06
"""How far lines are moved aside, that their bars stand beside each other; values are 1 apart."""


_TITLE: Final = "Answers by what agents were told"


@figure("cascade_answers_by_context", of="cascades", title=_TITLE, takes="by_context", rank=210)
def of_cascades(shares: Sequence[ContextShare]) -> Drawn | None:
    """Draw a panel for each fact; nothing where agents were told none."""
    return _drawn(shares)


@figure("world_answers_by_context", of="worlds", title=_TITLE, takes="by_context", rank=2)
def of_worlds(shares: Sequence[ContextShare]) -> Drawn | None:
    """Draw a panel for each question and fact; nothing where agents were told none."""
    return _drawn(shares)


def _drawn(shares: Sequence[ContextShare]) -> Drawn | None:
    panels: dict[tuple[str, str, int], list[ContextShare]] = {}
    for each in shares:
        # Answers of several conditions in one panel could not be told from each other.
        alone = each.condition if each.answer != "yes" else -1
        panels.setdefault((each.question, each.key, alone), []).append(each)
    return _in_panels([rows for rows in panels.values() if len({each.value for each in rows}) > 1])


def _in_panels(every: Sequence[Sequence[ContextShare]]) -> Drawn | None:
    panels = every[:_MOST_PANELS]
    if not panels:
        return None
    n_columns = min(3, len(panels))
    drawn = new_figure(max(6.0, 3.2 * n_columns), 3.0 * -(-len(panels) // n_columns) + 0.8)
    laid = grid_of_axes(drawn, len(panels), n_columns)
    for axes, rows in zip(laid, panels, strict=True):
        _draw(axes, rows)
    legend_above(drawn, laid)
    return Drawn(drawn, _caption(panels), _in_words(panels))


def _draw(axes: Axes, rows: Sequence[ContextShare]) -> None:
    values = sorted({each.value for each in rows}, key=in_order)
    lines = [[*line] for _, line in groupby(rows, key=lambda each: (each.condition, each.answer))][
        :_MOST_LINES
    ]
    for place, line in enumerate(lines):
        look, aside = look_of(place), _ASIDE * (place - (len(lines) - 1) / 2)
        at = [values.index(each.value) + aside for each in line]
        several = len({each.condition for each in rows}) > 1
        name = f"condition {line[0].condition}" if several else line[0].answer
        label = drawable(name, 34)
        means = [each.share for each in line]
        axes.plot(at, means, look.line, color=look.colour, marker=look.marker, label=label)
        low, high = ([getattr(each, end) for each in line] for end in ("low", "high"))
        axes.vlines(at, low, high, color=look.colour, linewidth=1.0)
    axes.set_xticks(range(len(values)), [drawable(each, 14) for each in values])
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(drawable(rows[0].key, 30))
    alone = f", condition {rows[0].condition}" if rows[0].answer != "yes" else ""
    axes.set_title(drawable(f"{rows[0].question}{alone}", 40), fontsize=9.0)
    axes.set_ylabel("share of answers")


def _caption(panels: Sequence[Sequence[ContextShare]]) -> Iterator[str]:
    facts = listed(dict.fromkeys(cleaned(rows[0].key) for rows in panels))
    yield f"Share of each answer by what the context said ({facts})"
    yield "Bars are 95% intervals of the logit, clustered by realization (Student's t)"
    yield "Agents who read one value need not be like those who read another"


def _in_words(panels: Sequence[Sequence[ContextShare]]) -> Iterator[str]:
    for rows in panels:
        first, last = rows[0], rows[-1]
        yield (
            f"{cleaned(first.question)} by {cleaned(first.key)}: {cleaned(first.answer)} "
            f"{spelled(first.share)} where it reads {cleaned(first.value)}; {cleaned(last.answer)} "
            f"{spelled(last.share)} where it reads {cleaned(last.value)}"
        )
