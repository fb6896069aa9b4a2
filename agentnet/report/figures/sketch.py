"""What a figure is before it is rendered, and the list of all figures: each is listed by its definition.

    @figure("engaged_by_degree", of="cascades", title="Who engages, by the number of neighbours")
    def engaged_by_degree(values: Material) -> Drawn | str:
        if values.tables is None:
            return "There are no cascades."
        drawn = new_figure(6.0, 4.0)
        ...
        return Drawn(drawn, caption="Agents engaged after the last step.", words="With 5 neighbours 0.61")

The bundled ones are the modules of this package; others come by entry points of the group
``agentnet.figures``, or are defined before the report is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Final, NamedTuple

from agentnet.errors import PluginError
from agentnet.plugins import PluginKind
from agentnet.report.figures.absent import WITHOUT
from agentnet.report.figures.words import sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Described:
    """A figure in words: all plain text.

    Attributes:
        name: File name stem, such as ``figure08_population_full_logistic``.
        number: Number of the figure in the paper, such as ``8``; empty for one that the paper does not have.
        title: What it is called, for a heading.
        caption: What is shown: from how many realizations, by which law, what bands and marks mean, how many
            answers are missing.
        alternative: The figure in words with its key numbers, made from the data, for who cannot see it.
    """

    name: str
    number: str
    title: str
    caption: str
    alternative: str


@dataclass(frozen=True, slots=True, eq=False)
class Sketch(Described):
    """A figure that is not rendered yet.

    Attributes:
        figure: The figure; None where it cannot be drawn.
        unavailable: Why it cannot be drawn, and the way out; None where it can.
    """

    figure: Figure | None = None
    unavailable: str | None = None

    def __post_init__(self) -> None:
        assert (self.figure is None) == (self.unavailable is not None), "a figure, or why there is none"


class Drawn(NamedTuple):
    """A figure that is drawn, of one that was listed with its title.

    Attributes:
        figure: The figure.
        caption: What is shown, as a text or sentence by sentence.
        words: The figure in words, with its key numbers, likewise.
    """

    figure: Figure
    caption: str | Iterable[str]
    words: str | Iterable[str]


_STEM: Final = re.compile(r"\w[\w.-]*")
_LARGEST_INCHES: Final = 50.0

Draws = Callable[..., "Sketch | Drawn | str | None"]
"""From the values of a part (`drawings.Material` of cascades and ratios, else the part), or what it takes of
them, to a sketch, what is drawn, or why nothing can be; None where nobody would look for it."""


@dataclass(frozen=True, slots=True)
class ListedFigure:
    """A figure as it is listed.

    Attributes:
        name: File name stem.
        of: Name of the parts that it belongs to: ``cascades``.
        title: What it is called; a sketch has its own.
        number: Its number in the paper; empty for one that the paper does not have.
        rank: Where it stands among those of its part, the lowest first.
        draws: Draws it.
        takes: What of the values it is drawn from, with blanks between them; all in one if empty. Without the
            first of them it cannot be drawn.
    """

    name: str
    of: str
    title: str
    number: str
    rank: float
    draws: Draws
    takes: str = ""

    def sketch(self, *values: object) -> Sketch:
        """Draw it, where it is looked for."""
        made = self.made(*values)
        assert made is not None, f"{self.name} is not drawn of this"
        return made

    def made(self, *values: object) -> Sketch | None:
        """Draw it; None where nobody would look for it."""
        lacks = WITHOUT.get(self.takes.split()[0]) if values[0] is None else None
        found = lacks or self.draws(*values)
        if found is None or isinstance(found, Sketch):
            return found
        title = told_text(f"title of figure {self.name!r}", self.title)
        if isinstance(found, str):
            why = told_text(f"reason of figure {self.name!r}", found)
            return Sketch(self.name, self.number, title, caption="", alternative="", unavailable=why)
        if not (isinstance(found, Drawn) and _can_be_drawn(found.figure)):
            raise PluginError(
                f"figure {self.name!r} gives {found!r:.80}; it gives Drawn(figure, caption, words) with a "
                f"figure of matplotlib of at most {_LARGEST_INCHES:g} inches, a text that says why there is "
                "none, or None"
            )
        caption, words = (
            told_text(f"{what} of figure {self.name!r}", each)
            for what, each in zip(("caption", "words"), found[1:], strict=True)
        )
        return Sketch(self.name, self.number, title, caption, words, found.figure)


def _can_be_drawn(figure: object) -> bool:
    size = tuple(getattr(figure, "get_size_inches", tuple)())
    return len(size) == 2 and all(0.0 < each <= _LARGEST_INCHES for each in size)


def told_text(what: str, given: object, *, may_be_blank: bool = False) -> str:
    """Take what a plug-in says: a text, or sentences that are put together.

    Args:
        what: What it is, for messages.
        given: What it gave.
        may_be_blank: Whether it need not say anything.

    Raises:
        PluginError: It is neither, blank, or no Unicode text.
    """
    with suppress(TypeError, AttributeError, ValueError):
        text = given if isinstance(given, str) else sentences(given)  # type: ignore[arg-type] # seen here
        if text.encode().strip() or may_be_blank:
            return text
    raise PluginError(
        f"the {what} is {given!a:.60}; give it a text{'' if may_be_blank else ' that is not blank'}"
    )


def check_stem(what: str, name: object) -> None:
    """Refuse a name that can be no file's and no id's.

    Raises:
        PluginError: It is none; names `what` is called so.
    """
    if not (isinstance(name, str) and _STEM.fullmatch(name)):
        raise PluginError(
            f"a {what} is called {name!r:.60}, and so would be its file: name it by letters, digits, '_', "
            "'-' and '.' alone"
        )


FIGURES: Final[PluginKind[ListedFigure]] = PluginKind(
    "figure",
    "agentnet.figures",
    "agentnet.report.figures.sketch.figure",
    parts=("of", "rank", "made"),
    bundled="agentnet.report.figures",
)


def figure(
    name: str, *, of: str, title: str = "", number: str = "", rank: float = 200.0, takes: str = ""
) -> Callable[[Draws], Callable[..., Sketch]]:
    """List the decorated function as a figure (`ListedFigure`); called by its name, it gives the sketch."""
    check_stem("figure", name)

    def listed(draws: Draws) -> Callable[..., Sketch]:
        each = ListedFigure(name, of, title, number, rank, draws, takes)
        FIGURES.register(name, each, module=draws.__module__)

        @wraps(draws)
        def sketch(*values: object) -> Sketch:
            return each.sketch(*values)

        return sketch

    return listed


def sketches_of(part: str, values: object) -> Iterator[Sketch]:
    """Draw the figures of the parts of this name, in their order; to be used under `style.house_style`."""
    for each in sorted((FIGURES[name] for name in FIGURES), key=lambda each: each.rank):
        if each.of == part:
            made = each.made(*([getattr(values, name) for name in each.takes.split()] or [values]))
            if made is not None:
                yield made
