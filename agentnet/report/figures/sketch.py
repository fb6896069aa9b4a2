"""What a figure is before it is rendered: a matplotlib figure and the words that go with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """A figure that is not rendered yet.

    Attributes:
        name: File name stem.
        number: Number of the figure in the paper; empty for one that the paper does not have.
        title: What it is called.
        caption: What is shown.
        alternative: The figure in words, with its key numbers.
        figure: The figure; None where it cannot be drawn.
        unavailable: Why it cannot be drawn, and the way out; None where it can.
    """

    name: str
    number: str
    title: str
    caption: str
    alternative: str
    figure: Figure | None = None
    unavailable: str | None = None

    def __post_init__(self) -> None:
        assert (self.figure is None) == (self.unavailable is not None), "a figure, or why there is none"
