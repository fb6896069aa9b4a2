"""Who shares what: probabilities of a yes by profile (figure 7) and by group (figure 13), for each severity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from agentnet.analysis.fits import Fits, LawFit
from agentnet.analysis.tables import SEVERITY_NAMES, UNKNOWN, RunTables
from agentnet.report.figures.absent import NO_FITS, why_no_law
from agentnet.report.figures.chances import Chances, chances_of
from agentnet.report.figures.curves import missing_words
from agentnet.report.figures.sketch import Sketch
from agentnet.report.figures.style import (
    BLACK,
    PALE,
    SMALL,
    legend_above,
    new_figure,
    of_severity,
)
from agentnet.report.figures.words import cleaned, counted, listed, percent, sentences, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_APART: Final = 0.17
"""Half the distance between the marks of the two severities."""


def profile_sketch(fits: Fits | None) -> Sketch:
    """Draw the probability of a yes by profile and severity, by the full logistic law (figure 7).

    Args:
        fits: The fitted laws.
    """
    title = "Engagement probability by profile and severity, by the full logistic law"
    return _sketch("figure07_engagement_probability", "7", title, fits, "full_logistic")


def group_sketch(fits: Fits | None) -> Sketch:
    """Draw the probability of a yes by group and severity, by the group logistic law (figure 13).

    Args:
        fits: The fitted laws.
    """
    title = "Engagement probability by trait group and severity, by the group logistic law"
    return _sketch("figure13_group_probability", "13", title, fits, "group_logistic")


def _sketch(name: str, number: str, title: str, fits: Fits | None, law_name: str) -> Sketch:
    missing = NO_FITS if fits is None else why_no_law(fits, law_name)
    if fits is None or missing is not None:
        return Sketch(name, number, title, caption="", alternative="", unavailable=missing)
    law = fits.law(law_name)
    chances = chances_of(fits, law)
    names = _row_names(fits, law)
    return Sketch(
        name=name,
        number=number,
        title=title,
        caption=_caption(fits, law, chances, names),
        alternative=sentences(list(_in_words(fits.tables, chances, names))),
        figure=_drawn(fits.tables, chances, names),
    )


def _row_names(fits: Fits, law: LawFit) -> list[str]:
    if law.law == "full_logistic":
        return [f"{profile:05b}" for profile in range(fits.grouping.group.size)]
    return [f"group {number + 1}" for number in range(fits.grouping.n_groups)]


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
    figure = new_figure(8.4, 4.4) if len(names) > 8 else new_figure(6.0, 4.0)
    axes = figure.add_subplot()
    labels = severity_labels(tables)
    for severity, label in labels.items():
        shift = 0.0 if len(labels) == 1 else _APART * (2 * severity - 1)
        _draw_severity(axes, chances, severity, shift, label)
    _draw_unknown(axes, chances, list(labels))
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(-0.04, 1.04)
    axes.set_ylabel("probability of a yes")
    axes.grid(visible=False, axis="x")
    if len(names) > 8:
        axes.tick_params("x", rotation=90, labelsize=SMALL)
    if len(names) == 32:
        axes.axvline(15.5, color=BLACK, linewidth=0.8, linestyle=(0, (4, 4)))
        axes.set_xlabel(
            "profile: openness, conscientiousness, extraversion, agreeableness, neuroticism; 1 is high"
        )
    legend_above(figure, [axes], n_columns=3)
    return figure


def _draw_severity(axes: Axes, chances: Chances, severity: int, shift: float, label: str) -> None:
    look = of_severity(severity)
    at = np.arange(len(chances.estimate)) + shift
    estimate, separated = chances.estimate[:, severity], chances.separated[:, severity]
    for low, high, dotted in (
        (chances.low, chances.high, False),
        (chances.firth_low, chances.firth_high, True),
    ):
        axes.vlines(
            at,
            low[:, severity],
            high[:, severity],
            color=look.colour,
            linewidth=1.6,
            linestyle=":" if dotted else "-",
        )
    plain = np.where(separated, np.nan, estimate)
    style = {"linestyle": "none", "marker": look.marker, "color": look.colour, "markersize": 6.0}
    axes.plot(at, plain, **style, markeredgecolor=BLACK, markeredgewidth=0.5, label=label)
    if separated.any():
        edge = np.where(separated, estimate, np.nan)
        axes.plot(at, edge, **style, markerfacecolor="white", label=f"{label}: separated")
        axes.plot(
            at,
            chances.firth[:, severity],
            linestyle="none",
            marker="_",
            markersize=8.0,
            color=look.colour,
            label=f"{label}: Firth's estimate",
        )


def _draw_unknown(axes: Axes, chances: Chances, severities: list[int]) -> None:
    unknown = np.flatnonzero(np.isnan(chances.estimate[:, severities]).all(axis=1))
    for place, row in enumerate(unknown.tolist()):
        label = "no data" if place == 0 else None
        axes.axvspan(
            row - 0.5, row + 0.5, facecolor=PALE, edgecolor=BLACK, hatch="xx", linewidth=0, label=label
        )


def _caption(fits: Fits, law: LawFit, chances: Chances, names: list[str]) -> str:
    tables = fits.tables
    labels = severity_labels(tables)
    seen = chances.estimate[:, list(labels)]
    n_separated = int(chances.separated.sum())
    unknown = [name for name, row in zip(names, np.isnan(seen).all(axis=1), strict=True) if row]
    return sentences(
        [
            f"Probability that one exposure engages an agent, by the {law.title} fitted to the decisions of "
            f"{counted(tables.n_realizations, 'realization')} of {cleaned(tables.run)}",
            f"Lines are {percent(fits.level)} intervals ({chances.method})",
            f"Hollow marks: {counted(n_separated, 'cell')} with only yes or only no by the law, so that no finite "
            "weight exists; dotted lines are the intervals of Firth's penalized estimate for them (plain errors)"
            if n_separated
            else None,
            f"Nothing is known of: {listed(unknown)}" if unknown else None,
            f"All news items are {next(iter(labels.values()))}" if len(labels) == 1 else None,
            "News items of unknown severity are fitted as peaceful ones"
            if UNKNOWN in tables.severities
            else None,
            missing_words(tables),
        ]
    )


def _in_words(tables: RunTables, chances: Chances, names: list[str]) -> Iterator[str]:
    for severity, label in severity_labels(tables).items():
        yield f"News that is {label}: {', '.join(_cells_in_words(chances, names, severity))}"


def _cells_in_words(chances: Chances, names: list[str], severity: int) -> Iterator[str]:
    for row, name in enumerate(names):
        value = float(chances.estimate[row, severity])
        said = f"{name} {spelled(value)}"
        if chances.separated[row, severity]:
            low, high = chances.firth_low[row, severity], chances.firth_high[row, severity]
            said += (
                f" (separated; Firth's estimate {spelled(float(chances.firth[row, severity]))}, "
                f"{spelled(float(low))} to {spelled(float(high))})"
            )
        elif not np.isnan(chances.low[row, severity]):
            said += f" ({spelled(float(chances.low[row, severity]))} to {spelled(float(chances.high[row, severity]))})"
        yield said
