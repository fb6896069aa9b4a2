"""How far two classes of models are apart: polarization (figures 5 and 6), and the gap beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np

from agentnet.analysis.perspectives import Series
from agentnet.analysis.study import ConditionStudy, Measured
from agentnet.report.figures.of_conditions import (
    look_of,
    made,
    mark_turns,
    number_of,
    panels,
    shown_conditions,
    turns_caption,
)
from agentnet.report.figures.places import no_movement
from agentnet.report.figures.sketch import Sketch, figure
from agentnet.report.figures.style import GREY, draw_line, legend_above, steps_along
from agentnet.report.figures.words import cleaned, listed, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agentnet.report.interviews_part import InterviewPart

Which = Callable[[ConditionStudy], Measured]

# By simulation: where repeats differ more than questions, bands of 95% hold the truth 8 times in 10 with 5
# repeats, 94 times in 100 with 10.
_FEW_REPEATS: Final = 10


@figure("polarization", of="interviews", rank=5)
def ratio_of_classes_sketch(part: InterviewPart) -> Sketch:
    """Draw the polarization of each condition."""
    return _sketch(
        part,
        "polarization",
        number_of(part, "6"),
        "Polarization: difference of two classes relative to the start",
        lambda condition: condition.ratio,
        (
            "Difference of the classes' mean 1-d perspectives over that at step 0, as in Helm et al. (2024); "
            "where that is small, the ratio may be anything: look at the gap"
        ),
    )


@figure("gap", of="interviews", rank=6)
def gap_sketch(part: InterviewPart) -> Sketch:
    """Draw the squared gap of each condition."""
    return _sketch(
        part,
        "gap",
        "",
        "Squared gap between two classes, in the full space",
        lambda condition: condition.gap,
        (
            "Squared distance by prompt of the classes' means in the embedder's own space, without the "
            "bias that "
            "comes from few models (a class of one stands for itself); below 0 now and then; not in the paper"
        ),
    )


def _sketch(part: InterviewPart, name: str, number: str, title: str, which: Which, what: str) -> Sketch:
    conditions = [condition for condition in shown_conditions(part) if which(condition).series is not None]
    why_not = next((which(condition).note for condition in shown_conditions(part)), "")
    return made(
        part,
        name,
        number,
        title,
        caption=chain([what], _caption(part, conditions, which)),
        words=_words(conditions, which),
        draw=lambda: _drawn(part, conditions, which, name),
        why_not=no_movement(part) or ("" if conditions else why_not),
    )


def _drawn(part: InterviewPart, conditions: list[ConditionStudy], which: Which, name: str) -> Figure:
    figure, every = panels(part, conditions, sharey=True)
    for axes, condition in zip(every, conditions, strict=True):
        measured = which(condition)
        assert measured.series is not None, "only conditions with a series are drawn"
        _draw(axes, measured.series, has_interval=measured.has_interval)
        mark_turns(axes, part, condition)
    every[0].set_ylabel("polarization" if name == "polarization" else "squared gap")
    legend_above(figure, every)
    return figure


def _draw(axes: Axes, series: Series, *, has_interval: bool) -> None:
    look, steps = look_of(0), np.arange(len(series.value))
    if has_interval:
        label = f"{series.level:.0%} interval"
        axes.fill_between(
            steps, series.low, series.high, color=look.colour, alpha=0.2, linewidth=0, label=label
        )
    draw_line(axes, look, series.value, label="mean over repeats")
    axes.axhline(0.0, color=GREY, linewidth=0.8, linestyle=":")
    steps_along(axes, len(steps) - 1)
    axes.set_xlabel("step")


def _caption(part: InterviewPart, conditions: list[ConditionStudy], which: Which) -> Iterator[str]:
    repeats = sorted({len(condition.whole) for condition in conditions})
    yield (
        f"Mean over {listed(map(str, repeats))} repeats of each condition"
        if repeats != [1]
        else ("Every condition was played once: it cannot be said how repeats differ")
    )
    if any(which(condition).has_interval for condition in conditions):
        over = dict.fromkeys(
            _over(which(condition)) for condition in conditions if which(condition).has_interval
        )
        yield (
            f"Bands are {part.study.level:.0%} percentile intervals at each step for itself, by "
            f"{part.study.n_bootstrap:,} draws of {listed(over)}"
        )
        if 1 < repeats[0] < _FEW_REPEATS:
            yield f"Of fewer than {_FEW_REPEATS} repeats that differ much, such bands are too narrow"
    yield from turns_caption(part)
    yield from dict.fromkeys(which(condition).note for condition in conditions if which(condition).note)
    unclear = [cleaned(condition.name) for condition in conditions if _is_unclear(which(condition))]
    if unclear and which(conditions[0]) is conditions[0].ratio:
        yield f"Not clearly apart at step 0, so that the ratio may be anything: {listed(unclear)}"
    absent = [
        cleaned(condition.name) for condition in shown_conditions(part) if which(condition).series is None
    ]
    if absent:
        yield f"Cannot be given for {listed(absent)}"


def _over(measured: Measured) -> str:
    assert measured.series is not None, "only what has an interval has draws"
    return {"both": "repeats and prompts", "runs": "repeats", "prompts": "prompts"}[measured.series.over]


def _is_unclear(measured: Measured) -> bool:
    series = measured.series
    return series is not None and measured.has_interval and not series.clear_start


def _words(conditions: list[ConditionStudy], which: Which) -> Iterator[str]:
    for condition in conditions:
        series = which(condition).series
        assert series is not None, "only conditions with a series are described"
        interval = ""
        if which(condition).has_interval:
            low, high = float(series.low[-1]), float(series.high[-1])
            interval = f" ({series.level:.0%} interval {spelled(low)} to {spelled(high)})"
        yield (
            f"{cleaned(condition.name)}: {spelled(float(series.value[0]))} at step 0, "
            f"{spelled(float(series.value[-1]))}{interval} at step {len(series.value) - 1}"
        )
