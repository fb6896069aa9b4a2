"""All laws ranked: on what they were fitted to, on realizations held out, and on later steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from agentnet.analysis.fits import Fits
from agentnet.analysis.scores import Score, Trials
from agentnet.report.figures.sketch import Drawn, figure
from agentnet.report.figures.style import BLACK, BLUE, GREEN, PALE, SMALL, VERMILION, new_figure, write_beside
from agentnet.report.figures.words import counted, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    "laws_ranked",
    of="cascades",
    title="All laws ranked by their distance from the observed curves",
    rank=102,
    takes="fits",
)
def ranking_sketch(fits: Fits) -> Drawn:
    """Draw the distances of all laws beside those that chance alone makes."""
    return Drawn(_drawn(fits), _caption(fits), _in_words(fits))


def _drawn(fits: Fits) -> Figure:
    scores = fits.scores
    figure = new_figure(8.4, 1.7 + 0.42 * len(scores))
    inside, held_out, later = figure.subplots(1, 3, sharey=True)
    names = [f"{each.title} ({each.n_parameters})" for each in scores]
    inside.set_yticks(range(len(scores)), names)
    inside.set_ylim(len(scores) - 0.5, -0.5)
    _draw_points(inside, [each.rmse for each in scores], "o", BLUE)
    for row, each in enumerate(scores):
        if each.floor is not None:
            inside.barh(row, each.floor.quantile_95, height=0.8, color=PALE, edgecolor="none")
    _draw_points(held_out, [each.held_out_rmse for each in scores], "s", VERMILION)
    _draw_mark(held_out, fits.trials.baseline_rmse)
    _draw_points(later, [each.forecast_rmse for each in scores], "^", GREEN)
    if fits.trials.forecast_floor is not None:
        later.axvspan(0.0, fits.trials.forecast_floor.quantile_95, color=PALE)
    for axes, title in zip((inside, held_out, later), _panel_titles(fits), strict=True):
        axes.set_title(title, fontsize=9.0)
        axes.set_xlabel("RMSE")
        axes.tick_params("x", labelsize=SMALL)
        axes.grid(visible=False, axis="y")
    return figure


def _panel_titles(fits: Fits) -> tuple[str, str, str]:
    first = fits.trials.first_steps
    return (
        "what it was fitted to",
        f"{fits.trials.held_out_by or 'realization'}s held out",
        "later steps" if first is None else f"steps {first + 1} to {fits.tables.n_steps}",
    )


def _draw_points(axes: Axes, values: list[float | None], marker: str, colour: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(0.0, 1.35 * max([each for each in values if each is not None], default=0.0) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    known = [math.nan if each is None else each for each in values]
    axes.plot(known, np.arange(len(known)), linestyle="none", marker=marker, color=colour, markersize=7.0)
    for row, each in enumerate(values):
        said, at = ("none", 0.0) if each is None else (spelled(each, 4), each)
        write_beside(axes, said, (at, row), (7, 0), va="center", color=BLACK)


def _draw_mark(axes: Axes, baseline: float | None) -> None:
    if baseline is not None:
        axes.axvline(baseline, color=BLACK, linestyle="--", linewidth=1.2, zorder=1.5)
        axes.set_xlim(right=max(axes.get_xlim()[1], 1.1 * baseline))


def _caption(fits: Fits) -> Iterator[str]:
    yield (
        "RMSE between mean curves of the population, with the number of parameters in brackets; the best law "
        "stands on top, by what was held out if that is known"
    )
    yield (
        "Left: on the curve that the law was fitted to; grey is where a perfect law would lie in 19 of "
        "20 cases"
    )
    yield _held_out_words(fits.trials)
    yield _forecast_words(fits)
    yield from (f"{each.title}: {remark}" for each in fits.scores for remark in each.remarks)
    yield from (f"The {each.title} could not be fitted: {each.reason}" for each in fits.refused)


def _held_out_words(judged: Trials) -> str:
    if judged.held_out_by is None:
        return "There are too few realizations to hold any out"
    said = (
        f"Middle: on realizations that were held out, by whole {judged.held_out_by}s, in "
        f"{counted(len(judged.folds), 'fold')}"
    )
    if judged.baseline_rmse is None:
        return said
    return f"{said}; the dashed line is the mean curve of the other realizations in place of a law"


def _forecast_words(fits: Fits) -> str:
    first = fits.trials.first_steps
    if first is None:
        return "There are too few steps to forecast any"
    said = f"Right: steps {first + 1} to {fits.tables.n_steps}, forecast by laws fitted to steps 0 to {first}"
    return (
        said
        if fits.trials.forecast_floor is None
        else f"{said}; grey as on the left, for laws without chance"
    )


def _in_words(fits: Fits) -> Iterator[str]:
    judged = fits.trials
    for place, each in enumerate(fits.scores, 1):
        yield f"{place}: {each.title}, {counted(each.n_parameters, 'parameter')}, {', '.join(_numbers(each))}"
    if judged.baseline_rmse is not None:
        baseline = spelled(judged.baseline_rmse, 4)
        yield f"The mean curve of the other realizations has {baseline} on those held out"
    if judged.forecast_floor is not None:
        floor = judged.forecast_floor
        yield (
            f"Over the later steps chance alone makes {spelled(floor.mean, 4)} on average, and more than "
            f"{spelled(floor.quantile_95, 4)} in one of twenty cases"
        )


def _numbers(score: Score) -> Iterator[str]:
    floor = "" if score.floor is None else f" (chance alone {spelled(score.floor.mean, 4)})"
    yield f"RMSE {spelled(score.rmse, 4)}{floor}"
    for what, value in (("held out", score.held_out_rmse), ("forecast", score.forecast_rmse)):
        yield f"{what} {'unknown' if value is None else spelled(value, 4)}"
