"""The system as a whole: iso-mirror (figure 3, right), clusters (figure 4), control chart of moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.study import ConditionStudy
from agentnet.report.figures.of_conditions import (
    look_of,
    made,
    mark,
    mark_turns,
    panels,
    short,
    shown_conditions,
    shown_repeats,
    turns_caption,
)
from agentnet.report.figures.places import no_movement
from agentnet.report.figures.sketch import Sketch, figure
from agentnet.report.figures.style import (
    BLACK,
    GREY,
    SMALL,
    VERMILION,
    draw_line,
    grid_of_axes,
    legend_above,
    new_figure,
    steps_along,
)
from agentnet.report.figures.words import cleaned, counted, percent, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agentnet.report.interviews_part import InterviewPart

Array = NDArray[np.float64]


@figure("iso_mirror", of="interviews", rank=3)
def mirror_sketch(part: InterviewPart) -> Sketch:
    """Draw the iso-mirror of each condition."""
    conditions = [condition for condition in shown_conditions(part) if condition.shown.mirror is not None]
    why_not = next((condition.shown.why_no_mirror for condition in shown_conditions(part)), "")
    return made(
        part,
        "iso_mirror",
        "3",
        "Iso-mirror: how the system as a whole moves",
        caption=_mirror_caption(part),
        words=_mirror_words(conditions),
        draw=lambda: _mirrors(part, conditions),
        why_not="" if conditions else why_not,
    )


@figure("clusters", of="interviews", rank=4)
def cluster_sketch(part: InterviewPart) -> Sketch:
    """Draw the number of clusters and how stable they are."""
    conditions = [condition for condition in shown_conditions(part) if condition.shown.clusters is not None]
    why_not = next((condition.shown.why_no_clusters for condition in shown_conditions(part)), "")
    return made(
        part,
        "clusters",
        "4",
        "Number of clusters, and how labels last from step to step",
        caption=chain(_cluster_caption(conditions), turns_caption(part)),
        words=_cluster_words(conditions),
        draw=lambda: _clusters(part, conditions),
        why_not="" if conditions else why_not,
    )


@figure("control_chart", of="interviews", rank=7)
def chart_sketch(part: InterviewPart) -> Sketch:
    """Draw how far models move in each step, and when the chart says that this changed."""
    return made(
        part,
        "control_chart",
        "",
        "Control chart: when the system's behaviour changed",
        caption=_chart_caption(part),
        words=_chart_words(part),
        draw=lambda: _charts(part),
        why_not=no_movement(part) or part.study.why_no_chart,
    )


def n_clusters(condition: ConditionStudy) -> Array:
    """Average the number of clusters over repeats, shape ``(n_steps,)``; the shortest repeat counts."""
    return _mean(
        [each.clusters.n_clusters.astype(float) for each in condition.whole if each.clusters is not None]
    )


def agreement(condition: ConditionStudy) -> Array:
    """Average the agreement of labels with those of the step before over repeats, ``(n_steps - 1,)``."""
    return _mean([each.clusters.agreement for each in condition.whole if each.clusters is not None])


def _mean(curves: list[Array]) -> Array:
    shortest = min(len(curve) for curve in curves)
    mean: Array = np.mean([curve[:shortest] for curve in curves], axis=0)
    return mean


def _mirrors(part: InterviewPart, conditions: list[ConditionStudy]) -> Figure:
    figure = new_figure(7.2, 4.2)
    axes = figure.add_subplot()
    for place, condition in enumerate(conditions):
        mirror = condition.shown.mirror
        assert mirror is not None, "only conditions with a mirror are drawn"
        draw_line(axes, look_of(place), mirror.curve, label=short(condition))
    steps_along(axes, max(condition.shown.n_steps for condition in conditions) - 1)
    mark_turns(axes, part, *conditions)
    axes.set_xlabel("step")
    axes.set_ylabel("iso-mirror")
    mark(figure, part)
    legend_above(figure, [axes], n_columns=2)
    return figure


def _mirror_caption(part: InterviewPart) -> Iterator[str]:
    yield (
        "Figure 3 (right) of Helm et al. (2024) for this run: one curve for the moves of all models, in "
        f"{shown_repeats(shown_conditions(part))} (Athreya et al. 2022), from their 2-d perspectives: "
        "distances of steps by the spectral norm, classical scaling to two dimensions, ISOMAP to a line"
    )
    yield "Every condition has its own axis; the first value is at most 0"
    yield "Where a curve stays level, the system rests"
    yield from lasting_caption(shown_conditions(part))
    yield from turns_caption(part)
    if len(shown_conditions(part)) == 1:
        yield "The run has one condition: there is no other to compare it with"


def lasting_caption(conditions: Sequence[ConditionStudy]) -> Iterator[str]:
    """Say that models are left out which are not there at all steps, where there are some."""
    if any(np.isnan(condition.shown.coordinates).any() for condition in conditions):
        yield "Models that are not there at all steps are left out"


def _mirror_words(conditions: list[ConditionStudy]) -> Iterator[str]:
    for condition in conditions:
        mirror = condition.shown.mirror
        assert mirror is not None, "only conditions with a mirror are described"
        curve = mirror.curve
        half = curve[len(curve) // 2 :]
        yield (
            f"{cleaned(condition.name)}: from {spelled(float(curve[0]))} at step 0 to "
            f"{spelled(float(curve[-1]))} at "
            f"step {len(curve) - 1}; in the second half of the steps it stays between "
            f"{spelled(float(half.min()))} "
            f"and {spelled(float(half.max()))}"
        )


def _clusters(part: InterviewPart, conditions: list[ConditionStudy]) -> Figure:
    figure = new_figure(7.2, 5.4)
    upper, lower = grid_of_axes(figure, 2, 1, sharex=True)
    for place, condition in enumerate(conditions):
        draw_line(upper, look_of(place), n_clusters(condition), label=short(condition))
        draw_line(lower, look_of(place), agreement(condition), first=1, label=short(condition))
    upper.set_ylabel("number of clusters")
    lower.set_ylabel("ARI(t, t - 1)")
    lower.set_xlabel("step")
    steps_along(lower, max(condition.shown.n_steps for condition in conditions) - 1)
    for axes in (upper, lower):
        mark_turns(axes, part, *conditions)
    mark(figure, part)
    legend_above(figure, [upper], n_columns=2)
    return figure


def _cluster_caption(conditions: list[ConditionStudy]) -> Iterator[str]:
    most = max((len(condition.whole) for condition in conditions), default=1)
    over = f", mean over {most} repeats" if most > 1 else ""
    yield (
        "Figure 4 of Helm et al. (2024) for this run: clusters of 1-d perspectives at each step by Gaussian "
        "mixtures and the Bayesian information criterion (above), and the adjusted Rand index of labels "
        "with "
        f"those of the step before (below){over}"
    )
    yield from lasting_caption(conditions)
    models = max((len(condition.classes) for condition in conditions), default=0)
    yield (
        "With few models the criterion finds clusters that are not there: mixtures share one covariance "
        "with a "
        f"least variance, and there are at most {max(2, models // 5)} clusters of "
        f"{counted(models, 'model')}; of "
        "points from one Gaussian, 18% of sets of 10 and 9% of sets of 25 are still divided"
    )


def _cluster_words(conditions: list[ConditionStudy]) -> Iterator[str]:
    for condition in conditions:
        number, alike = n_clusters(condition), agreement(condition)
        half = len(number) // 2
        stable = (
            f"; mean ARI in the second half {spelled(float(alike[half:].mean()))}"
            if alike[half:].size
            else ""
        )
        later = f", {spelled(float(number[-1]), 1)} at step {len(number) - 1}" if len(number) > 1 else ""
        yield f"{cleaned(condition.name)}: {spelled(float(number[0]), 1)} clusters at step 0{later}{stable}"


def _charts(part: InterviewPart) -> Figure:
    conditions = shown_conditions(part)
    figure, every = panels(part, conditions, sharey=False)
    for axes, condition in zip(every, conditions, strict=True):
        _draw_chart(axes, condition, part)
        mark_turns(axes, part, condition)
    every[0].set_ylabel("mean squared move")
    legend_above(figure, every)
    return figure


def _draw_chart(axes: Axes, condition: ConditionStudy, part: InterviewPart) -> None:
    first = condition.shown
    curve = first.mean_move
    draw_line(axes, look_of(0), curve, first=1, label="move of the mean model")
    assert part.study.chart is not None, "drawn only with a chart"
    axes.axvspan(0, part.study.chart.warm_up, color=GREY, alpha=0.15, linewidth=0, label="left to settle")
    reading = first.reading
    if reading is not None and reading.alarm is not None and reading.changed is not None:
        axes.axvline(reading.alarm + 1, color=VERMILION, label="alarm")
        axes.axvline(reading.changed + 1, color=BLACK, linestyle=":", label="estimated change")
        axes.text(
            0.98,
            0.95,
            reading.direction or "",
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize=SMALL,
        )
    steps_along(axes, len(curve))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step")


def _chart_caption(part: InterviewPart) -> Iterator[str]:
    yield (
        "Mean squared distance by prompt from each model's answers to those of the step before, in "
        f"{shown_repeats(shown_conditions(part))}; not in the paper"
    )
    yield from turns_caption(part)
    chart = part.study.chart
    if chart is not None:
        yield (
            "A cumulative sum of sequential ranks raises an alarm with a chance of at most "
            f"{percent(chart.false_alarm)} in {chart.horizon} moves, if moves after the first "
            f"{chart.warm_up} "
            "come independently from one distribution"
        )
    yield "Models that settle slowly, or a memory of the last step, are a change to it as well"


def _chart_words(part: InterviewPart) -> Iterator[str]:
    for condition in shown_conditions(part):
        reading = condition.shown.reading
        if reading is None or reading.alarm is None or reading.changed is None:
            yield f"{cleaned(condition.name)}: no alarm"
            continue
        yield (
            f"{cleaned(condition.name)}: an alarm at step {reading.alarm + 1}, moves went "
            f"{reading.direction}, from about step {reading.changed + 1} on"
        )
