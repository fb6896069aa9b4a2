"""Perspectives of models: at the start and the end (figure 2), and over time (figures 3, 5, 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.played import Played
from agentnet.analysis.study import ConditionStudy
from agentnet.report.figures.of_conditions import (
    is_crowded,
    look_of,
    made,
    mark_turns,
    number_of,
    panels,
    shown_conditions,
    shown_repeats,
    turns_caption,
)
from agentnet.report.figures.sketch import Sketch, figure
from agentnet.report.figures.style import BLACK, draw_line, legend_above, steps_along, write_beside
from agentnet.report.figures.words import cleaned, counted, drawable, percent, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agentnet.report.interviews_part import InterviewPart


_TARGETS: Final = (
    "; targets, who have interviewed a model that interviews nobody, stand apart from others of their class"
)


@figure("perspective_space", of="interviews", rank=1)
def space_sketch(part: InterviewPart) -> Sketch:
    """Draw the 2-d perspectives of all models at the first and the last step."""
    return made(
        part,
        "perspective_space",
        "2",
        "Perspectives of all models in two dimensions",
        caption=_space_caption(part),
        words=_space_words(part),
        draw=lambda: _space(part),
    )


@figure("perspectives_over_time", of="interviews", rank=2)
def paths_sketch(part: InterviewPart) -> Sketch:
    """Draw the 1-d perspective of each model at each step, a condition in each panel."""
    return made(
        part,
        "perspectives_over_time",
        number_of(part, "3"),
        "1-d perspective of each model over time",
        caption=_paths_caption(part),
        words=_paths_words(part),
        draw=lambda: _paths(part),
        why_not=no_movement(part),
    )


def no_movement(part: InterviewPart) -> str:
    """Say why nothing can be drawn over time; empty if it can."""
    conditions = shown_conditions(part)
    if not conditions or any(condition.shown.n_steps > 1 for condition in conditions):
        return ""
    if not any(design["steps"] for design in part.facts.meta["experiment"]["design"]):
        return "models were asked once, and had no step in which to change (steps = 0)"
    return "only step 0 was evaluated, so nothing can have changed: play the run on"


def _space(part: InterviewPart) -> Figure:
    conditions = shown_conditions(part)
    figure, every = panels(part, conditions, sharey=False)
    for axes, condition in zip(every, conditions, strict=True):
        _draw_space(axes, condition)
    for axes in every:
        axes.set_xlabel("dimension 1")
    every[0].set_ylabel("dimension 2")
    legend_above(figure, every)
    return figure


def _draw_space(axes: Axes, condition: ConditionStudy) -> None:
    places = condition.shown.coordinates
    if is_crowded(condition):
        _draw_names(axes, condition)
        return
    for number, name in enumerate(condition.class_names):
        look, members = look_of(number), condition.members(name)
        label = drawable(name, 24)
        for step, filled in ((0, False), (-1, True)):
            if filled and len(places) == 1:
                continue
            axes.plot(
                *places[step, members].T,
                linestyle="none",
                marker=look.marker,
                color=look.colour,
                markerfacecolor=look.colour if filled else "none",
                label=f"{label}, last step" if filled else f"{label}, step 0",
            )


def _draw_names(axes: Axes, condition: ConditionStudy) -> None:
    """Draw models of many classes alike, with the name of its class beside each at the last step."""
    places, look = condition.shown.coordinates, look_of(0)
    for step in sorted({0, len(places) - 1}):
        axes.plot(
            *places[step].T,
            linestyle="none",
            marker=look.marker,
            color=look.colour,
            markerfacecolor=look.colour if step else "none",
            label="last step" if step else "step 0",
        )
    for place, name in zip(places[-1], condition.classes, strict=True):
        write_beside(axes, drawable(name, 12), place, (3, 3))


def _space_caption(part: InterviewPart) -> Iterator[str]:
    yield (
        "Figure 2 of Helm et al. (2024) for this run: the first two dimensions of the classical scaling of "
        "all "
        f"models at all steps of {shown_repeats(shown_conditions(part))}"
    )
    yield "Open marks are models at step 0, filled ones at the last step"
    yield "Every condition is scaled by itself: directions of different panels are not the same"


def _space_words(part: InterviewPart) -> Iterator[str]:
    for condition in shown_conditions(part):
        first = condition.shown
        one, two = first.explained
        spread = [float(np.sqrt(np.nanvar(first.coordinates[step], axis=0).sum())) for step in (0, -1)]
        later = f" and {spelled(spread[1])} at step {first.n_steps - 1}" if first.n_steps > 1 else ""
        yield (
            f"{cleaned(condition.name)}, {counted(len(condition.classes), 'model')}: the two dimensions "
            f"express {percent(one)} and {percent(two)} of all distances; the models' spread is "
            f"{spelled(spread[0])} at step 0{later}{_neighbours(first)}"
        )


def _neighbours(played: Played) -> str:
    """Say how many models have their nearest in their own class, where there are several."""
    if played.beside_own is None:
        return ""
    return f"; the nearest of {percent(float(played.beside_own[-1]))} of models is of their own class"


def _paths(part: InterviewPart) -> Figure:
    conditions = shown_conditions(part)
    figure, every = panels(part, conditions, sharey=False)
    for axes, condition in zip(every, conditions, strict=True):
        _draw_paths(axes, condition)
        mark_turns(axes, part, condition)
        axes.set_xlabel("step")
    every[0].set_ylabel("1-d perspective")
    legend_above(figure, every)
    return figure


def _draw_paths(axes: Axes, condition: ConditionStudy) -> None:
    line = condition.shown.coordinates[:, :, 0]
    steps = np.arange(len(line))
    for place, name, members, what in _groups(condition):
        look = look_of(place)
        for model in members:
            axes.plot(steps, line[:, model], color=look.colour, linestyle=look.line, linewidth=0.6, alpha=0.7)
        named = None if is_crowded(condition) else f"{drawable(name, 24)}: mean of {what or len(members)}"
        edge: dict[str, Any] = {"markeredgecolor": BLACK, "markeredgewidth": 0.5}
        draw_line(axes, look, _mean(line[:, members]), linewidth=2.2, label=named, **edge)
    steps_along(axes, len(line) - 1)


def _groups(condition: ConditionStudy) -> Iterator[tuple[int, str, list[int], str]]:
    """Give the models whose mean is drawn: those of a class, targets of an adversary apart from others.

    Returns:
        For each group the place of its look, the class, the models, and ``targets``, ``others`` or nothing.
    """
    targets, n_classes = condition.shown.targets, len(condition.class_names)
    for place, name in enumerate(condition.class_names):
        members = condition.members(name)
        hit = [model for model in members if model in targets]
        others = [model for model in members if model not in targets]
        if others:
            yield place, name, others, "others" if hit else ""
        if hit:
            yield n_classes + place, name, hit, "targets"


def _mean(lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average models over those that are there, shape ``(n_steps,)``; nan where none is."""
    known = np.isfinite(lines)
    n_known = known.sum(axis=1)
    total = np.where(known, lines, 0.0).sum(axis=1)
    return np.where(n_known > 0, total / np.maximum(n_known, 1), np.nan)


def _paths_caption(part: InterviewPart) -> Iterator[str]:
    yield (
        f"Figure {number_of(part, '3 (left)')} of Helm et al. (2024) for this run: first coordinate of the "
        f"classical scaling of all models at all steps, in {shown_repeats(shown_conditions(part))}"
    )
    apart = any(condition.shown.targets for condition in shown_conditions(part))
    yield f"Thin lines are models, thick ones with marks the means of classes{_TARGETS if apart else ''}"
    yield from turns_caption(part)
    yield (
        "Every condition is scaled by itself: its sign is a convention, and heights in different panels are "
        "not on the same axis"
    )


def _paths_words(part: InterviewPart) -> Iterator[str]:
    for condition in shown_conditions(part):
        first = condition.shown
        line = first.coordinates[:, :, 0]
        means = "; ".join(
            f"mean of {cleaned(name)}{what and f' ({len(members)} {what})'} "
            f"{spelled(float(_mean(line[:, members])[0]))} at step 0, "
            f"{spelled(float(_mean(line[:, members])[-1]))} at step {first.n_steps - 1}"
            for _, name, members, what in _groups(condition)
        )
        share = percent(first.explained[0])
        yield f"{cleaned(condition.name)}: {means}; the dimension expresses {share} of distances"
