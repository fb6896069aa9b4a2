"""What figures of interacting models share: panels of arms, looks of arms and classes, labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

from agentnet.report.figures.sketch import Sketch
from agentnet.report.figures.style import (
    MARKERS,
    PALETTE,
    SMALL,
    VERMILION,
    Look,
    grid_of_axes,
    new_figure,
)
from agentnet.report.figures.words import cleaned, counted, drawable, sentences
from agentnet.report.interviews import Arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agentnet.report.interviews_part import InterviewPart

MOST_ARMS: Final = 16
"""Arms that a figure shows; more would be unreadable."""

NO_ARMS: Final = (
    "no realization of the run has a complete evaluation of its models yet: play it on "
    "(agentnet run --resume)"
)

_LINES: Final = ("-", "--", ":", "-.")
_COLUMNS: Final = 4


def look_of(place: int) -> Look:
    """Give the look of the `place`-th arm or class: colour, marker and line style."""
    line = _LINES[(place + place // len(PALETTE)) % len(_LINES)]
    return Look(PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)], line)


def is_crowded(arm: Arm) -> bool:
    """Say whether an arm has more classes than there are looks to tell them apart."""
    return len(arm.class_names) > len(PALETTE)


def shown_arms(part: InterviewPart) -> tuple[Arm, ...]:
    """Choose the arms that are drawn: those of which something was computed, the first of many."""
    return tuple(arm for arm in part.arms if arm.played)[:MOST_ARMS]


def short(arm: Arm) -> str:
    """Name an arm in a label."""
    return drawable(arm.name, 34)


def number_of(part: InterviewPart, alone: str) -> str:
    """Number a figure as Helm et al. (2024) do: 5 with an adversary, 6 with two classes, else `alone`."""
    sizes = {len(arm.members(name)) for arm in part.arms for name in arm.class_names}
    if all(len(arm.class_names) == 1 for arm in part.arms) or any(map(is_crowded, part.arms)):
        return alone
    return "5" if 1 in sizes else "6"


def panels(
    part: InterviewPart, arms: Sequence[Arm], *, sharey: bool, height: float = 2.6
) -> tuple[Figure, list[Axes]]:
    """Make a figure with a panel for each arm, titled, and labelled as what it is."""
    n_columns = min(_COLUMNS, len(arms))
    n_rows = -(-len(arms) // n_columns)
    figure = new_figure(max(5.6, 2.9 * n_columns), height * n_rows + 0.9)
    every = grid_of_axes(figure, len(arms), n_columns, sharey=sharey)
    for axes, arm in zip(every, arms, strict=True):
        axes.set_title(short(arm), fontsize=9.0)
    mark(figure, part)
    return figure, every


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
    reason = why_not or ("" if shown_arms(part) else NO_ARMS)
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
    yield (
        f"Answers to the evaluation set in {cleaned(part.facts.run)}, embedded by {cleaned(part.embedder)}; "
        f"update rule {', '.join(dict.fromkeys(part.rule_of(arm) for arm in part.arms))}, model "
        f"{cleaned(str(part.facts.meta['model_name']))}"
    )
    left_out = max(len(each.left_out) for arm in part.arms for each in arm.played)
    if left_out:
        yield (
            f"Up to {counted(left_out, 'question')} of a realization are left out, as an answer to each is "
            "missing"
        )
    hidden = sum(bool(arm.played) for arm in part.arms) - MOST_ARMS
    if hidden > 0:
        yield f"The first {MOST_ARMS} arms are drawn; {hidden} more stand in the tables"
