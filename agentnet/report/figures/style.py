"""How figures look: colours that colour-blind readers tell apart, and signs that differ without any colour.

Colours are those of Okabe & Ito (2008, Color Universal Design). Whatever colour tells, a marker, a line style
or a hatching tells as well, so that a figure survives a printer without colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK: Final = "#000000"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#767676"
PALE: Final = "#E4E4E4"

PALETTE: Final = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK, YELLOW)
MARKERS: Final = ("o", "^", "s", "D", "v", "P", "X", "*")
SMALL: Final = 8.0
"""Smallest size of text, in points."""


@dataclass(frozen=True, slots=True)
class Look:
    """How one kind of thing looks everywhere."""

    colour: str
    marker: str
    line: str = "-"
    hatch: str = ""


OBSERVED: Final = Look(BLUE, "o", "-")
INFERRED: Final = Look(VERMILION, "s", "--")
ALONE: Final = Look(BLACK, "^", ":")
"""A law that was fitted to one severity alone."""

_SEVERITY: Final = {0: Look(BLUE, "o", "-", ""), 1: Look(ORANGE, "^", "--", "////")}
_UNKNOWN: Final = Look(GREY, "D", ":", "....")


def of_severity(severity: int) -> Look:
    """Give the look of a severity: 0, 1, or -1 unknown."""
    return _SEVERITY.get(severity, _UNKNOWN)


_SETTINGS: Final[dict[str, Any]] = {
    "text.parse_math": False,  # an id with two dollar signs is no formula
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
    # Glyphs as outlines: text would be set in whatever font the reader has, with widths that nothing was
    # laid out for. The words are in the image's description, where screen readers and searches find them.
    "svg.fonttype": "path",
    "svg.image_inline": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # left out, it is sought at each draw: nothing stands above an axis
    "axes.labelsize": 10.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "hatch.linewidth": 0.6,
    "hatch.color": "edge",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Build and render figures within: by these settings alone, whatever the user's own are.

    Matplotlib keeps settings for the whole process: they are put back at the end, but don't draw figures of
    another style in a second thread meanwhile.
    """
    import matplotlib.style

    with matplotlib.style.context(["default", _SETTINGS], after_reset=True):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def grid_of_axes(figure: Figure, n_axes: int, n_columns: int, **shared: Any) -> list[Axes]:  # noqa: ANN401 - matplotlib's own options
    """Lay `n_axes` axes out in rows."""
    n_rows = -(-n_axes // n_columns)
    laid = figure.subplots(n_rows, n_columns, squeeze=False, **shared)
    every = list(laid.ravel())
    for spare in every[n_axes:]:
        spare.remove()
    return every[:n_axes]


def legend_above(figure: Figure, every: Iterable[Axes], n_columns: int = 4) -> None:
    """Put one legend of all axes above everything, where no data can be, in as many columns as fit."""
    named: dict[str, Artist] = {}
    for axes in every:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    for n_wanted in range(min(n_columns, len(named)), 0, -1):
        legend = figure.legend(
            list(named.values()), list(named), loc="outside upper center", ncols=n_wanted, handlelength=3.0
        )
        if n_wanted == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def draw_line(
    axes: Axes,
    look: Look,
    values: NDArray[np.float64],
    *,
    first: int = 0,
    marks: int = 8,
    **more: Any,  # noqa: ANN401 - matplotlib's own options
) -> None:
    """Draw a curve after steps `first`, `first` + 1, ... in its look, with about so many `marks` along it."""
    steps = np.arange(first, first + len(values))
    of_look = {"color": look.colour, "linestyle": look.line, "marker": look.marker}
    axes.plot(steps, values, **of_look | {"markevery": max(len(values) // marks, 1)} | more)


def write_beside(axes: Axes, text: str, at: Sequence[float], by: tuple[float, float], **more: Any) -> None:  # noqa: ANN401 - matplotlib's own options
    """Write a small text beside a point of the axes, `by` so many points to the right and up."""
    axes.annotate(text, (at[0], at[1]), xytext=by, textcoords="offset points", fontsize=SMALL, **more)


def steps_along(axes: Axes, n_steps: int) -> None:
    """Let the x axis show steps 0 to `n_steps`: room for the marks at both ends, ticks at whole steps."""
    last = max(n_steps, 1)
    axes.set_xlim(-0.025 * last, 1.025 * last)
    axes.set_xticks(_ticks(last, nbins=8, integer=True, min_n_ticks=1))


def fractions_up(axes: Axes, ceiling: float) -> None:
    """Let the y axis show fractions from 0 to `ceiling`, with room for the marks at the bottom."""
    axes.set_ylim(-0.015 * ceiling, ceiling)
    axes.set_yticks(_ticks(ceiling, nbins=9, steps=[1, 2, 2.5, 5, 10]))


def _ticks(last: float, **wanted: Any) -> list[float]:  # noqa: ANN401 - matplotlib's own options
    """Choose ticks from 0 to `last`; left to itself, matplotlib makes some out of sight at each draw."""
    from matplotlib.ticker import MaxNLocator

    # Three times 0.1 is more than 0.3.
    return [each for each in MaxNLocator(**wanted).tick_values(0.0, last) if 0.0 <= each <= last * (1 + 1e-9)]
