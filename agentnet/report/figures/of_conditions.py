"""What figures of interacting models share: panels of conditions, looks of conditions and classes, labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

from agentnet.analysis.study import ConditionStudy
from agentnet.report.figures.sketch import Sketch
from agentnet.report.figures.style import (
    BLACK,
    MARKERS,
    PALETTE,
    SMALL,
    VERMILION,
    Look,
    grid_of_axes,
    new_figure,
)
from agentnet.report.figures.words import cleaned, counted, drawable, listed, sentences
from agentnet.report.log_facts import Turn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agentnet.report.interviews_part import InterviewPart

MOST_CONDITIONS: Final = 16
"""Conditions that a figure shows; more would be unreadable."""

NO_CONDITIONS: Final = (
    "no realization of the run has a complete evaluation of its models yet: play it on "
    "(agentnet run --resume)"
)

_LINES: Final = ("-", "--", ":", "-.")
_COLUMNS: Final = 4


def look_of(place: int) -> Look:
    """Give the look of the `place`-th condition or class: colour, marker and line style."""
    line = _LINES[(place + place // len(PALETTE)) % len(_LINES)]
    return Look(PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)], line)


def is_crowded(condition: ConditionStudy) -> bool:
    """Say whether a condition has more classes than there are looks to tell them apart."""
    return len(condition.class_names) > len(PALETTE)


def shown_conditions(part: InterviewPart) -> tuple[ConditionStudy, ...]:
    """Choose the conditions that are drawn: those of which something was computed, the first of many."""
    return tuple(condition for condition in part.study.conditions if condition.played)[:MOST_CONDITIONS]


def short(condition: ConditionStudy) -> str:
    """Name a condition in a label."""
    return drawable(condition.name, 34)


def shown_repeats(conditions: Sequence[ConditionStudy]) -> str:
    """Say which repeat of each condition stands for it where one alone is shown.

    Returns:
        ``repeat 0 of each condition``, say, or ``repeat 0 of a, and repeat 1 of b (not finished)``.
    """
    found: dict[str, list[str]] = {}
    for condition in conditions:
        found.setdefault(
            f"{condition.shown.repeat}{'' if condition.shown.finished else ' (not finished)'}", []
        ).append(cleaned(condition.name))
    if len(found) == 1:
        return f"repeat {next(iter(found))} of each condition"
    return ", and ".join(f"repeat {which} of {listed(names)}" for which, names in found.items())


def number_of(part: InterviewPart, alone: str) -> str:
    """Number a figure as Helm et al. (2024) do: 5 with an adversary, 6 with two classes, else `alone`."""
    sizes = {
        len(condition.members(name)) for condition in part.study.conditions for name in condition.class_names
    }
    if all(len(condition.class_names) == 1 for condition in part.study.conditions) or any(
        map(is_crowded, part.study.conditions)
    ):
        return alone
    return "5" if 1 in sizes else "6"


def panels(
    part: InterviewPart, conditions: Sequence[ConditionStudy], *, sharey: bool, height: float = 2.6
) -> tuple[Figure, list[Axes]]:
    """Make a figure with a panel for each condition, titled, and labelled as what it is."""
    n_columns = min(_COLUMNS, len(conditions))
    n_rows = -(-len(conditions) // n_columns)
    figure = new_figure(max(5.6, 2.9 * n_columns), height * n_rows + 0.9)
    every = grid_of_axes(figure, len(conditions), n_columns, sharey=sharey)
    for axes, condition in zip(every, conditions, strict=True):
        axes.set_title(short(condition), fontsize=9.0)
    mark(figure, part)
    return figure, every


def turns_of(part: InterviewPart, condition: ConditionStudy) -> tuple[Turn, ...]:
    """List the steps at which models of the repeat that is shown came to have other numbers of candidates."""
    return part.facts.turns.get(condition.shown.realization, ()) if condition.played else ()


def mark_turns(axes: Axes, part: InterviewPart, *conditions: ConditionStudy) -> None:
    """Draw a dotted line at each of these steps of the conditions that `axes` show."""
    for step in sorted({turn.step for condition in conditions for turn in turns_of(part, condition)}):
        axes.axvline(step, color=BLACK, linestyle=(0, (1, 2)), linewidth=1.2)


def turns_caption(part: InterviewPart) -> Iterator[str]:
    """Say what the dotted lines are, where there are some."""
    said = [
        f"{cleaned(condition.name)}: step {turn.step}"
        for condition in shown_conditions(part)
        for turn in turns_of(part, condition)
    ]
    if said:
        yield f"Dotted lines: from that step on models had other numbers of candidates; {'; '.join(said)}"


def mark(figure: Figure, part: InterviewPart) -> None:
    """Write into the image what its results have to be called: an image is passed on without its caption."""
    if part.label:
        figure.supxlabel(drawable(part.label, 160), fontsize=SMALL, color=VERMILION)


def made(
    part: InterviewPart,
    name: str,
    number: str,
    title: str,
    *,
    caption: Iterable[str],
    words: Iterable[str],
    draw: Callable[[], Figure],
    why_not: str = "",
) -> Sketch:
    """Make a sketch whose title, caption and words begin with what its results have to be called.

    Args:
        part: The run.
        name: File name stem.
        number: Number in the paper.
        title: What it is called.
        caption: Sentences under it; used only if it can be drawn.
        words: The figure in sentences; likewise.
        draw: Makes the figure; likewise.
        why_not: Why it cannot be drawn; empty if it can.
    """
    full = f"{title} (stand-in)" if part.label.startswith("stand-in") else title
    if part.label and full == title:
        full = f"{title} ({cleaned(part.label)})"
    reason = why_not or ("" if shown_conditions(part) else NO_CONDITIONS)
    if reason:
        return Sketch(name, number, full, caption="", alternative="", unavailable=sentences([reason]))
    label = cleaned(part.label)
    return Sketch(
        name,
        number,
        full,
        caption=sentences(chain([label], caption, _from(part))),
        alternative=sentences(chain([label], words)),
        figure=draw(),
    )


def _from(part: InterviewPart) -> Iterator[str]:
    rules = ", ".join(dict.fromkeys(part.rule_of(condition) for condition in part.study.conditions))
    yield (
        f"Answers to the evaluation set in {cleaned(part.facts.run)}, embedded by "
        f"{cleaned(part.study.embedder)}; update rule {rules}, model "
        f"{cleaned(str(part.facts.meta['model_name']))}"
    )
    left_out = max(len(each.left_out) for condition in part.study.conditions for each in condition.played)
    if left_out:
        yield (
            f"Up to {counted(left_out, 'question')} of a realization are left out, as an answer to each is "
            "missing"
        )
    hidden = sum(bool(condition.played) for condition in part.study.conditions) - MOST_CONDITIONS
    if hidden > 0:
        yield f"The first {MOST_CONDITIONS} conditions are drawn; {hidden} more stand in the tables"
