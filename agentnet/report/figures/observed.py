"""The cascades themselves, one line each, by severity: what there is to see before any law is fitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.goodness import Curve
from agentnet.analysis.tables import SEVERITY_NAMES, RunTables
from agentnet.report.figures.curves import draw_curve, missing_words
from agentnet.report.figures.sketch import Drawn, figure
from agentnet.report.figures.style import (
    BLACK,
    GREY,
    Look,
    fractions_up,
    grid_of_axes,
    legend_above,
    new_figure,
    of_severity,
    steps_along,
)
from agentnet.report.figures.words import cleaned, counted, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

MOST_LINES: Final = 100
"""Lines of single cascades for each severity; more would be a blot, and a large one."""


@figure(
    "observed_cascades",
    of="cascades",
    title="All cascades of the run, by severity",
    rank=101,
    takes="played",
)
def observed_sketch(tables: RunTables) -> Drawn:
    """Draw the engaged fraction of each cascade and their mean."""
    return Drawn(_drawn(tables), _caption(tables), _in_words(tables))


@figure(
    "engaged_now",
    of="cascades",
    title="Who is engaged at each step, and has not stopped",
    rank=100,
    takes="engaged_now",
)
def engaged_now_sketch(curves: Array | None) -> Drawn | None:
    """Draw the share of agents that are engaged after each step, where agents stop."""
    if curves is None:
        return None
    drawn = new_figure(6.0, 4.0)
    (axes,) = grid_of_axes(drawn, 1, 1)
    _draw_lines(axes, curves)
    draw_curve(axes, Curve.of(curves), Look(BLACK, "o", "-"), "mean")
    axes.set_ylabel("engaged, not stopped")
    legend_above(drawn, [axes])
    caption = (
        f"Engaged after each step, who stopped left out, in {counted(len(curves), 'realization')}",
        "The band is one standard deviation of single cascades either side of their mean",
        "The other curves of this report count who was ever engaged",
    )
    mean = curves.mean(axis=0)
    words = (
        f"On average {spelled(float(mean[-1]))} at step {curves.shape[1] - 1}, at most "
        f"{spelled(float(mean.max()))}, at step {int(mean.argmax())}"
    )
    return Drawn(drawn, caption, words)


def chosen(curves: Array) -> Array:
    """Choose the cascades that are drawn as lines: all, or `MOST_LINES` at equal distances in their order."""
    if len(curves) <= MOST_LINES:
        return curves
    kept: Array = curves[np.linspace(0, len(curves) - 1, MOST_LINES).round().astype(np.int64)]
    return kept


def _drawn(tables: RunTables) -> Figure:
    severities = tables.severities
    figure = new_figure(6.0 if len(severities) == 1 else 8.4, 4.0)
    every = grid_of_axes(figure, len(severities), len(severities), sharey=True)
    for axes, severity in zip(every, severities, strict=True):
        _draw_severity(axes, tables.engaged_fraction[tables.severity == severity], severity)
    every[0].set_ylabel("engaged fraction")
    legend_above(figure, every)
    return figure


def _draw_severity(axes: Axes, curves: Array, severity: int) -> None:
    _draw_lines(axes, curves)
    look = of_severity(severity)
    mean = Curve.of(curves)
    draw_curve(axes, mean, Look(look.colour, look.marker, "-"), f"mean, {SEVERITY_NAMES[severity]}")
    axes.get_lines()[-1].set(markeredgecolor=BLACK, markeredgewidth=0.5)
    name = SEVERITY_NAMES[severity].capitalize()
    axes.set_title(f"{name}: {counted(len(curves), 'realization')}", fontsize=9.0)


def _draw_lines(axes: Axes, curves: Array) -> None:
    for place, line in enumerate(chosen(curves)):
        label = "one cascade" if place == 0 else None
        axes.plot(np.arange(line.size), line, color=GREY, linewidth=0.5, alpha=0.6, label=label)
    steps_along(axes, curves.shape[1] - 1)
    fractions_up(axes, 1.02)
    axes.set_xlabel("step")


def _caption(tables: RunTables) -> Iterator[str]:
    yield (
        f"Engaged fraction after each step of {counted(tables.n_realizations, 'realization')} of "
        f"{cleaned(tables.run)}; the language model is {cleaned(tables.model_name)}, the asking rule "
        f"{tables.asking_rule}"
    )
    n_by_severity = [int((tables.severity == severity).sum()) for severity in tables.severities]
    if max(n_by_severity) > MOST_LINES:
        yield f"Thin lines are {MOST_LINES} of the cascades of a severity, at equal distances in their order"
    else:
        yield "Thin lines are single cascades"
    if max(n_by_severity) > 1:
        yield "Bands are one standard deviation of single cascades either side of their mean"
    if tables.n_unstarted:
        yield f"Left out: {counted(tables.n_unstarted, 'realization')} that nobody started"
    if tables.n_unfinished:
        yield f"Left out: {counted(tables.n_unfinished, 'realization')} that did not finish"
    yield missing_words(tables)


def _in_words(tables: RunTables) -> Iterator[str]:
    for severity in tables.severities:
        end = tables.engaged_fraction[tables.severity == severity, -1]
        half = tables.engaged_fraction[tables.severity == severity].mean(axis=0) >= 0.5
        when = f"step {int(half.argmax())}" if half.any() else "no step"
        yield (
            f"{SEVERITY_NAMES[severity].capitalize()}, {counted(end.size, 'cascade')}: the engaged "
            f"fraction after step {tables.n_steps} is {spelled(float(end.mean()))} on average, from "
            f"{spelled(float(end.min()))} to {spelled(float(end.max()))}; the mean first reaches one half at "
            f"{when}"
        )
