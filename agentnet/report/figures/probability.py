"""Who shares what: probabilities of a yes by profile (figure 7) and by group (figure 13)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.fits import Fits, LawFit
from agentnet.analysis.laws import CHANCES, Law
from agentnet.analysis.tables import SEVERITY_NAMES, UNKNOWN, RunTables
from agentnet.report.figures.absent import why_no_law
from agentnet.report.figures.chances import Chances, chances_of
from agentnet.report.figures.curves import missing_words, paper_figures
from agentnet.report.figures.sketch import FIGURES, Drawn, ListedFigure, Sketch
from agentnet.report.figures.style import (
    BLACK,
    GREY,
    PALE,
    SMALL,
    legend_above,
    new_figure,
    of_severity,
    write_beside,
)
from agentnet.report.figures.words import cleaned, counted, listed, percent, spelled
from agentnet.vocabulary import TRAITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Array = NDArray[np.float64]

_FEW: Final = 8
"""Rows up to which values are written out."""
_APART: Final = 0.17
"""Half the distance between the marks of the two severities."""


def chance_sketch(fits: Fits | None, name: str, number: str, of: type[Law]) -> Sketch:
    """Draw the probability of a yes by profile or group, and severity (figures 7 and 13).

    Args:
        fits: The fitted laws.
        name: The figure's name.
        number: Its number in the paper.
        of: The law, of cells of profile and severity.
    """
    return _listed(name, number, of).sketch(fits)


def _listed(name: str, number: str, of: type[Law]) -> ListedFigure:
    rows = "trait group" if of.needs_groups else "profile"
    title = CHANCES.title.format(rows=rows, law=of.called)
    return ListedFigure(
        name, "cascades", title, number, float(number), lambda fits: _of_law(fits, of.name), "fits"
    )


def _of_law(fits: Fits, name: str) -> Drawn | str:
    missing = why_no_law(fits, name)
    if missing is not None:
        return missing
    law = fits.law(name)
    chances, names = chances_of(fits, law), _row_names(fits, law)
    drawn = _drawn(fits.tables, chances, names)
    return Drawn(drawn, _caption(fits, law, chances, names), _in_words(fits.tables, chances, names))


def _row_names(fits: Fits, law: LawFit) -> list[str]:
    if law.of.needs_groups:
        return [f"group {number + 1}" for number in range(fits.grouping.n_groups)]
    return [f"{profile:05b}" for profile in range(fits.grouping.group.size)]


def severity_labels(tables: RunTables) -> dict[int, str]:
    """Name the severities 0 and 1 as a law of decisions knows them, those that the run has.

    Items of unknown severity are fitted as peaceful ones: the name says so.
    """
    found = {}
    for severity in (0, 1):
        known = [each for each in tables.severities if max(each, 0) == severity]
        if known:
            found[severity] = " and ".join(SEVERITY_NAMES[each] for each in sorted(known, reverse=True))
    return found


def _drawn(tables: RunTables, chances: Chances, names: list[str]) -> Figure:
    figure = new_figure(8.4, 4.4) if len(names) > _FEW else new_figure(6.0, 4.0)
    axes = figure.add_subplot()
    labels = severity_labels(tables)
    for severity, label in labels.items():
        shift = 0.0 if len(labels) == 1 else _APART * (2 * severity - 1)
        _draw_severity(axes, chances, severity, shift, label)
    _draw_unknown(axes, unknown_rows(chances, labels))
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(-0.04, 1.04)
    axes.set_ylabel("probability of a yes")
    axes.grid(visible=False, axis="x")
    if len(names) > _FEW:
        axes.tick_params("x", rotation=90, labelsize=SMALL)
    if len(names) == 32:
        axes.axvline(15.5, color=BLACK, linewidth=0.8, linestyle=(0, (4, 4)))
        axes.set_xlabel(f"profile: {', '.join(TRAITS)}; 1 is high")
    legend_above(figure, [axes], n_columns=3)
    return figure


def _draw_severity(axes: Axes, chances: Chances, severity: int, shift: float, label: str) -> None:
    look = of_severity(severity)
    at = np.arange(len(chances.estimate), dtype=np.float64) + shift
    estimate, separated = chances.estimate[:, severity], chances.separated[:, severity]
    axes.vlines(at, chances.low[:, severity], chances.high[:, severity], color=look.colour, linewidth=1.6)
    marks = partial(axes.plot, at, linestyle="none", color=look.colour)
    shaped = partial(marks, marker=look.marker, markersize=6.0)
    shaped(np.where(separated, np.nan, estimate), markeredgecolor=BLACK, markeredgewidth=0.5, label=label)
    if separated.any():
        low, high = chances.firth_low[:, severity], chances.firth_high[:, severity]
        axes.vlines(at, low, high, color=look.colour, linewidth=1.6, linestyle=":")
        edge = np.where(separated, estimate, np.nan)
        shaped(edge, markerfacecolor="white", label=f"{label}: separated")
        firth = chances.firth[:, severity]
        marks(firth, marker="_", markersize=9.0, label=f"{label}: Firth's estimate")
    if at.size <= _FEW:
        _write_values(axes, at, estimate, left=shift < 0)


def _write_values(axes: Axes, at: Array, values: Array, *, left: bool) -> None:
    for x, value in zip(at.tolist(), values.tolist(), strict=True):
        if not np.isnan(value):
            ha = "right" if left else "left"
            write_beside(axes, spelled(value), (x, value), (-6 if left else 6, 0), va="center", ha=ha)


def unknown_rows(chances: Chances, severities: Iterable[int]) -> list[int]:
    """List the rows about which the data say nothing."""
    unknown = np.isnan(chances.estimate[:, list(severities)]).all(axis=1)
    return [int(row) for row in np.flatnonzero(unknown)]


def _draw_unknown(axes: Axes, rows: list[int]) -> None:
    for row in rows:
        label = "no data" if row == rows[0] else None
        axes.axvspan(
            row - 0.5, row + 0.5, facecolor=PALE, edgecolor=GREY, hatch="xx", linewidth=0, label=label
        )


def _caption(fits: Fits, law: LawFit, chances: Chances, names: list[str]) -> Iterator[str]:
    tables = fits.tables
    labels = severity_labels(tables)
    yield (
        f"Probability that one exposure engages an agent, by the {law.title} law fitted to the decisions "
        f"of {counted(tables.n_realizations, 'realization')} of {cleaned(tables.run)}"
    )
    yield f"Lines are {percent(fits.level)} intervals ({chances.method})"
    known = ~np.isnan(chances.estimate[:, list(labels)]) & ~chances.separated[:, list(labels)]
    if n_without := int((known & np.isnan(chances.low[:, list(labels)])).sum()):
        yield (
            f"{counted(n_without, 'cell')} without a line: too few realizations that differ tell of "
            f"{'it' if n_without == 1 else 'them'}"
        )
    if chances.separated.any():
        n_separated = counted(int(chances.separated.sum()), "cell")
        yield (
            f"Hollow marks: {n_separated} in which the law knows only yes or only no, so that the weight is "
            "infinite; beside them Firth's penalized estimate with its interval, dotted (plain errors)"
        )
    if unknown := [names[row] for row in unknown_rows(chances, labels)]:
        yield f"The decisions say nothing about: {listed(unknown)}"
    if len(labels) == 1:
        of = "Of the cascades that were started, all" if tables.n_unstarted else "All"
        yield f"{of} news items are {next(iter(labels.values()))}"
    elif UNKNOWN in tables.severities:
        yield "News items of unknown severity are fitted as peaceful ones"
    yield missing_words(tables)


def _in_words(tables: RunTables, chances: Chances, names: list[str]) -> Iterator[str]:
    for severity, label in severity_labels(tables).items():
        cells = (_cell_in_words(chances, row, severity) for row in range(len(names)))
        said = ", ".join(f"{name} {cell}" for name, cell in zip(names, cells, strict=True))
        yield f"News items that are {label}: {said}"


def _cell_in_words(chances: Chances, row: int, severity: int) -> str:
    said = spelled(float(chances.estimate[row, severity]))
    low, high = float(chances.low[row, severity]), float(chances.high[row, severity])
    if chances.separated[row, severity]:
        firth = float(chances.firth[row, severity])
        low, high = float(chances.firth_low[row, severity]), float(chances.firth_high[row, severity])
        return f"{said} (separated; Firth's estimate {spelled(firth)}, {spelled(low)} to {spelled(high)})"
    return said if np.isnan(low) else f"{said} ({spelled(low)} to {spelled(high)})"


for _name, _number, _law, _ in paper_figures(CHANCES):
    FIGURES.register(_name, _listed(_name, _number, _law), module=__name__)
