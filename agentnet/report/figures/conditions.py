"""Conditions in one figure: their curves drawn into one another, and what they came to against a knob."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.report.figures.of_conditions import MOST_CONDITIONS, look_of
from agentnet.report.figures.sketch import Drawn, figure
from agentnet.report.figures.style import (
    BLACK,
    BLUE,
    SMALL,
    VERMILION,
    grid_of_axes,
    legend_above,
    new_figure,
    steps_along,
)
from agentnet.report.figures.words import capitalized, cleaned, counted, drawable, listed, sentences, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agentnet.analysis.comparison import ConditionComparison
    from agentnet.report.conditions import Conditions
    from agentnet.report.part import Course

_COLUMNS = 3


@figure("overlaid", of="conditions", title="The conditions, drawn into one another", rank=0)
def overlaid(of: Conditions) -> Drawn | None:
    """Draw the mean curve of each condition, with its interval."""
    shown = of.courses[:MOST_CONDITIONS]
    if not shown:
        return None
    drawn = new_figure(6.4 if not shown[0][1].places else 9.0, 4.4)
    (axes,) = grid_of_axes(drawn, 1, 1)
    for number, (name, each) in enumerate(shown):
        _draw_course(axes, each, drawable(name, 40), number, len(shown))
    first = shown[0][1]
    if first.places:
        axes.set_xticks(range(len(first.places)), first.places, rotation=90, fontsize=SMALL)
    else:
        steps_along(axes, max(len(each.value) for _, each in shown) - 1)
    axes.set_xlabel(first.along)
    axes.set_ylabel(first.what)
    legend_above(drawn, [axes], n_columns=3)
    return _labelled(of, drawn, _of_overlaid(of), _overlaid_in_words(of))


def _labelled(of: Conditions, drawn: Figure, caption: Iterable[str], words: Iterable[str]) -> Drawn:
    """Begin caption and words, and mark the image, with what its results have to be called."""
    if of.label:
        drawn.supxlabel(drawable(of.label, 160), fontsize=SMALL, color=VERMILION)
    called = cleaned(of.called)
    return Drawn(drawn, sentences([called, *caption]), sentences([called, *words]))


def _draw_course(axes: Axes, of: Course, label: str, number: int, n_shown: int) -> None:
    look, at = look_of(number), np.arange(len(of.value), dtype=float)
    if of.places:
        at += 0.5 * (number - (n_shown - 1) / 2) / n_shown
        axes.errorbar(
            at, of.value, _reach(of.value, of.low, of.high), None, look.marker, color=look.colour, label=label
        )
        return
    axes.fill_between(at, of.low, of.high, color=look.colour, alpha=0.2, linewidth=0)
    every = max(at.size // 12, 1)
    axes.plot(at, of.value, look.line, color=look.colour, marker=look.marker, markevery=every, label=label)


def _reach(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """Give the lengths of error bars, shape ``(2, n)``; none where an end is unknown."""
    below, above = np.subtract(value, low), np.subtract(high, value)
    found: NDArray[np.float64] = np.nan_to_num(np.array([below, above], dtype=np.float64)).clip(0)
    return found


def _of_overlaid(of: Conditions) -> Iterator[str]:
    first, runs = of.courses[0][1], listed(map(cleaned, dict.fromkeys(of.runs)))
    yield f"Mean {first.what} by {first.along} under each condition of {runs}"
    yield (
        f"{'Bars' if first.places else 'Bands'} are {first.interval}, of each mean alone: whether two "
        "conditions differ is for their contrast to say, where what they share drops out"
    )
    hidden = len(of.courses) - MOST_CONDITIONS
    if hidden > 0:
        yield f"The first {MOST_CONDITIONS} conditions are drawn; {hidden} more stand in the tables"


def _overlaid_in_words(of: Conditions) -> Iterator[str]:
    for name, each in of.courses[:MOST_CONDITIONS]:
        if each.places:
            said = f"{spelled(float(np.nanmean(each.value)))} on average"
        else:
            said = f"{spelled(float(each.value[-1]))} after {each.along} {len(each.value) - 1}"
        yield f"{cleaned(name)}: {said}"


@figure("swept", of="conditions", title="What conditions came to, by the knob that is varied", rank=1)
def by_knob(of: Conditions) -> Drawn | str:
    """Draw each measure against the one knob in which conditions differ."""
    if not of.swept:
        return "It takes conditions that differ in one knob, and a knob that takes numbers."
    drawn = new_figure(
        3.1 * min(_COLUMNS, len(of.comparisons)), 2.7 * -(-len(of.comparisons) // _COLUMNS) + 0.3
    )
    every = grid_of_axes(drawn, len(of.comparisons), min(_COLUMNS, len(of.comparisons)))
    for axes, each in zip(every, of.comparisons, strict=True):
        _draw_measure(axes, each, of.swept)
    caption = (
        f"Estimates under each value of {of.swept.replace('_', ' ')}, with "
        f"{of.comparisons[0].level:.0%} intervals of each alone"
    )
    return _labelled(of, drawn, [caption, *_trends(of)], _knob_in_words(of))


def _draw_measure(axes: Axes, of: ConditionComparison, knob: str) -> None:
    rows = sorted(of.estimates, key=lambda each: each.knobs[knob])
    at = [each.knobs[knob] for each in rows]
    found = [each.estimate for each in rows]
    value = [each.value for each in found]
    reach = _reach(value, [each.low for each in found], [each.high for each in found])
    axes.errorbar(at, value, reach, None, "o-", color=BLUE, ecolor=BLACK, capsize=3)
    axes.set_xlabel(knob.replace("_", " "))
    axes.set_title(fill(drawable(of.title, 100), 40), fontsize=SMALL)


def _trends(of: Conditions) -> Iterator[str]:
    for each in of.comparisons:
        for found in (one.contrast for one in each.contrasts if one.kind == "trend"):
            ends = f"[{spelled(found.low)}, {spelled(found.high)}]"
            yield (
                f"{capitalized(each.title)}: Kendall's tau-b with the knob is {spelled(found.value)} {ends}, "
                f"over {counted(found.n_repeats, 'pair')}"
            )


def _knob_in_words(of: Conditions) -> Iterator[str]:
    for each in of.comparisons:
        ends = (f"{spelled(one.estimate.value)} at {one.knobs[of.swept]}" for one in each.estimates)
        yield f"{capitalized(each.title)}: {', '.join(ends)}"
