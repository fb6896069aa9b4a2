"""What free worlds measured, by step and condition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from agentnet.report.figures.of_conditions import look_of
from agentnet.report.figures.sketch import Drawn, figure
from agentnet.report.figures.style import GREY, grid_of_axes, legend_above, new_figure
from agentnet.report.figures.words import cleaned, counted, drawable, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agentnet.analysis.measures import MeasuredCourse
    from agentnet.report.worlds import WorldPart

_MOST_MEASURES: Final = 9
_MOST_CONDITIONS: Final = 8
_MOST_LINES: Final = 30
_LEVEL: Final = 0.95


@figure("measures", of="worlds", title="What was measured, by step and condition", rank=1)
def measures_sketch(part: WorldPart) -> Drawn | str:
    """Draw each measure in a panel: its realizations, and their mean in each condition."""
    drawn = [each for each in part.all_measured if each.condition < _MOST_CONDITIONS]
    names = list(dict.fromkeys(each.name for each in drawn))[:_MOST_MEASURES]
    if not names:
        return "Nothing was measured: a world records what it measures by s.record(step, name=value)."
    drawn = [each for each in drawn if each.name in names]
    return Drawn(_drawn(part, names, drawn), _caption(part, drawn), _in_words(part, drawn))


def _drawn(part: WorldPart, names: list[str], courses: list[MeasuredCourse]) -> Figure:
    from matplotlib.ticker import MaxNLocator

    n_columns = min(3, len(names))
    figure = new_figure(max(6.0, 3.2 * n_columns), 3.0 * -(-len(names) // n_columns) + 0.8)
    every = grid_of_axes(figure, len(names), n_columns)
    for axes, name in zip(every, names, strict=True):
        own = [each for each in courses if each.name == name]
        for each in own:
            _draw(axes, each, drawable(part.condition(each.condition), 34))
        axes.set_title(drawable(own[0].title, 40), fontsize=9.0)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    legend_above(figure, every)
    return figure


def _draw(axes: Axes, course: MeasuredCourse, label: str) -> None:
    look = look_of(course.condition)
    for place, line in enumerate(course.value[:_MOST_LINES]):
        single = "one realization" if place == 0 else None
        axes.plot(course.steps, line, color=GREY, linewidth=0.5, alpha=0.6, label=single)
    mean, low, high = course.interval(_LEVEL)
    marks = max(len(mean) // 8, 1)
    axes.plot(
        course.steps, mean, look.line, color=look.colour, marker=look.marker, markevery=marks, label=label
    )
    axes.fill_between(course.steps, low, high, color=look.colour, alpha=0.2, linewidth=0)


def _caption(part: WorldPart, courses: list[MeasuredCourse]) -> Iterator[str]:
    most = max(len(each.repeats) for each in courses)
    yield (
        f"Means of up to {counted(most, 'realization')} of each condition of {cleaned(part.facts.run)}; the "
        f"language model is {cleaned(str(part.facts.meta['model_name']))}"
    )
    if most > 1:
        yield f"Bands are {_LEVEL:.0%} intervals of the mean (Student's t); thin lines, realizations"
    if len(part.all_measured) > len(courses):
        yield f"{len(part.all_measured) - len(courses):,} more courses stand in the table"


def _in_words(part: WorldPart, courses: list[MeasuredCourse]) -> Iterator[str]:
    for each in courses:
        mean = each.interval(_LEVEL)[0]
        known = np.flatnonzero(np.isfinite(mean))
        if known.size:
            first, last = known[0], known[-1]
            yield (
                f"{cleaned(each.title)}, {cleaned(part.condition(each.condition))}: "
                f"{spelled(float(mean[first]))} at step {each.steps[first]}, {spelled(float(mean[last]))} at "
                f"step {each.steps[last]}"
            )
