"""What a report knows of what a family says of its runs: one class, which every family's part fills.

`gather` asks for the parts, `sections` says what stands around what a part says of itself, `page`, `results`
and `write` write it down; none of them knows a family by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from traceback import walk_tb
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.study import Study
from agentnet.analysis.trees import Trees
from agentnet.errors import PluginError, near_miss
from agentnet.events import Run
from agentnet.families.contract import FAMILIES
from agentnet.families.lookup import family_of
from agentnet.plugins import FILE_PREFIX, PluginKind, brought_by, is_of
from agentnet.report.figures.sketch import FIGURES, Sketch
from agentnet.report.html import Html
from agentnet.report.log_facts import LogFacts
from agentnet.report.options import Options, Progress
from agentnet.report.tables import Table, checked_table


class Placed(Protocol):
    """What stands in a section with an id of its own: a table, a figure, a picture that is played."""

    @property
    def name(self) -> str:
        """What tells it from others of its kind in a part."""
        ...

    def to_html(self, anchor: str) -> Html:
        """Write it as HTML; `anchor` is its id, or stands before its ids."""
        ...


Block = Html | Placed
"""What stands in a section: markup that a template of the report made, or what can make it."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a part.

    Attributes:
        anchor: Its id within the part.
        title: Its heading.
        blocks: What stands in it.
        is_open: Whether it is unfolded at first. Such sections stand before those that are not.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part stands.

    Attributes:
        name: What tells it from the other parts of the page, for ids: ``cascades2``.
        is_first: Whether it is the first part of its run, and says what holds for the whole of it.
        options: How the report is made.
    """

    name: str
    is_first: bool
    options: Options


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What a condition came to along an axis; those of several are drawn into one another.

    Attributes:
        condition: Number of the condition in its run.
        what: What is drawn: ``engaged fraction``.
        along: What the axis is: ``step``.
        places: Names of the places along it; empty where they are 0, 1, ...
        value: Means, shape ``(n_places,)``.
        low: Lower end of each one's interval, likewise; nan where there is none.
        high: Upper end.
        n: How many were averaged.
        interval: What the intervals are.
    """

    condition: int
    what: str
    along: str
    places: tuple[str, ...]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: int
    interval: str = ""

    def points(self) -> Iterator[tuple[str | int, float, float, float]]:
        """List place, value and ends of the interval."""
        places: Sequence[str | int] = self.places or range(len(self.value))
        return zip(places, self.value.tolist(), self.low.tolist(), self.high.tolist(), strict=True)


class Part(ABC):
    """What a report says of a run, or of one condition of it.

    Attributes:
        name: What parts of its family are called in ids and file names: ``cascades``.
        rank: Where they stand among the parts of other families, the lowest first.
        subject: What its family is about, in a list of several.
        headline: The same where a page is about nothing else.
        leading: Names of the figures that show most of what was found, the most telling first.
        facts: What the log says of the run.
        notes: What to know about it, a sentence each.
        label: What every result has to be called, as where no language model answered; else empty.
        trees: Trees of messages of its condition, to be drawn beside those of others; None without.
    """

    __slots__ = ()

    name: ClassVar[str]
    rank: ClassVar[int] = 9
    subject: ClassVar[str]
    headline: ClassVar[str]
    leading: ClassVar[tuple[str, ...]] = ()
    facts: LogFacts
    notes: tuple[str, ...]
    label: str
    trees: Trees | None = None

    def includes(self) -> Sequence[Part]:
        """List the parts whose figures stand among those of this one."""
        return ()

    def study_to_compare(self) -> Study | None:
        """Give what its run is compared by with others of its family; None for the run's log."""
        return None

    def forests(self) -> Iterable[Trees]:
        """Give the trees of each of its conditions that has some, to be drawn beside those of others."""
        return () if self.trees is None else (self.trees,)

    def courses(self, level: float) -> Iterable[Course]:  # noqa: ARG002 - none
        """Give what its conditions came to along an axis, to be drawn beside others; at most one each.

        Args:
            level: Confidence level of intervals.
        """
        return ()

    def naming(self) -> Callable[[int], str] | None:
        """Give what names conditions in its tables; None where it is of one, which goes unsaid."""
        return None

    @abstractmethod
    def title(self) -> str:
        """Name it for people."""

    @abstractmethod
    def summary(self, level: float) -> str:
        """Summarize it in one paragraph.

        Args:
            level: Confidence level of intervals.
        """

    def findings(self, level: float) -> Iterable[str]:
        """Say what was found, the most important first: the first few stand on the page's first screen.

        Args:
            level: Confidence level of intervals.

        Returns:
            Sentences; here the summary as one.
        """
        return (self.summary(level),)

    def remarks(self) -> Sequence[str]:
        """List what to know before using its results: `notes`, and those of what was computed for it."""
        return self.notes

    @abstractmethod
    def methods(self) -> str:
        """Write a methods paragraph for a paper, from what the run recorded."""

    @abstractmethod
    def citations(self) -> Sequence[str]:
        """List what to cite."""

    @abstractmethod
    def figures(self, options: Options) -> Iterator[Sketch]:
        """Make its figures, one after the other; to be used under `figures.style.house_style`."""

    @abstractmethod
    def sections(self, place: Place) -> Iterator[Section]:
        """Lay out what stands between its figures and its methods paragraph."""

    @abstractmethod
    def tables(self) -> Iterator[Table]:
        """Make the tables that are too long for the page and are written as CSV alone."""

    @abstractmethod
    def results(self, level: float) -> Mapping[str, Any]:
        """Spell what it found for ``results.json``; what holds for all families is added there."""

    @abstractmethod
    def checklists(self) -> Iterator[Block]:
        """Fill the reporting checklists, as far as the run knows."""


Tells = Callable[[Any], Table | None]
"""From a part to a table on it; None where there is nothing to be told."""


@dataclass(frozen=True, slots=True)
class ListedTable:
    """A table that a report has beside those of its parts.

    Attributes:
        of: Name of the parts that it is on: ``cascades``.
        section: Anchor of the section at whose end it stands; empty for CSV alone.
        tells: Makes it.
    """

    of: str
    section: str
    tells: Tells


TABLES: Final[PluginKind[ListedTable]] = PluginKind(
    "table", "agentnet.tables", "agentnet.report.part.table", parts=("of", "section", "tells")
)
"""Tables beside those of the parts; listed by `table`, or by entry points of group ``agentnet.tables``."""


def table(name: str, *, of: str, section: str = "") -> Callable[[Tells], Tells]:
    """List the decorated function as a table; see `ListedTable`.

    @table("engaged_by_degree", of="cascades", section="laws")
    def engaged_by_degree(part: CascadePart) -> Table | None: ...
    """
    return TABLES.named(name, lambda tells: ListedTable(of, section, tells))


def more_tables(part: Part) -> dict[str, list[Table]]:
    """Make the listed tables on a part: section -> those that stand at its end; ``""``: CSV alone."""
    found: dict[str, list[Table]] = {}
    for name in TABLES:
        each = TABLES[name]
        made = each.tells(part) if each.of == part.name else None
        if made is not None:
            found.setdefault(each.section, []).append(checked_table(name, made))
    return found


def check_placed(parts: Sequence[Part], also: Iterable[str]) -> None:
    """Refuse a figure or table of parts that are called a little otherwise: it would be on no report.

    Args:
        parts: The parts of a report.
        also: What else figures and tables may be of.

    Raises:
        PluginError: Names it, and what may have been meant.
    """
    played = {part.facts.family for part in parts}
    if any(each.home != "agentnet" and name not in played for name, each in FAMILIES.installed().items()):
        return  # what parts of a family are called that is not in this report, nobody knows
    every = [(each, str(each.load().of)) for kind in (FIGURES, TABLES) for each in kind.installed().values()]
    known = {*also, *(part.name for part in parts), *(of for each, of in every if each.home == "agentnet")}
    for each, of in every:
        # What is like none may be of a family that is not installed here.
        if of not in known and get_close_matches(of, known, n=1):
            raise PluginError(
                f"the {each.kind.noun} {each.name!r} is of {of!r}, as no part of a report is called"
                f"{near_miss(of, known)}"
            )


@contextmanager
def laid_out(part: Part) -> Iterator[None]:
    """Blame what cannot be laid out of a part on the family that brings it.

    Raises:
        PluginError: It gives something else than a part gives; what its own code raises stays as it is.
    """
    try:
        yield
    except (TypeError, AttributeError, ValueError, LookupError, RecursionError) as error:
        modules = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
        is_ours = type(part).__module__.startswith("agentnet.")
        if is_ours or any(brought_by(name) or name.startswith(FILE_PREFIX) for name in modules):
            raise
        raise PluginError(
            f"what {type(part).__name__} says of {part.facts.run} cannot be laid out: "
            f"{type(error).__name__}: {error} (see agentnet.report.part.Part)"
        ) from error


@dataclass(frozen=True, slots=True)
class Reading:
    """The runs of one report as they are read, and the parts that their families make of them.

    Attributes:
        runs: The runs, each with what its log says.
        options: How the report is made.
        say: Called with a few words before each piece of work.
    """

    runs: tuple[tuple[Run, LogFacts], ...]
    options: Options
    say: Progress
    _made: dict[str, tuple[Part, ...]] = field(default_factory=dict, repr=False)

    def of(self, family: str) -> list[tuple[Run, LogFacts]]:
        """List the runs of a family."""
        return [(run, facts) for run, facts in self.runs if facts.family == family]

    def parts_of(self, family: str) -> tuple[Part, ...]:
        """Give the parts of a family's runs, which another family may need as well; they are made once.

        Raises:
            DesignError: Nobody knows the family, or it has no report.
        """
        if family not in self._made:
            runs = self.of(family)
            given: Any = family_of(runs[0][1].meta).parts(self) if runs else ()
            parts = tuple(given) if isinstance(given, Iterable) else ()
            are_parts = is_of(tuple[Part, ...], parts) and len({*map(id, parts)}) == len(parts)
            if not are_parts or len(parts) < bool(runs):
                raise PluginError(
                    f"parts of family {family!r} gives {parts or given!r:.80}; it gives a list of at least "
                    "one agentnet.report.part.Part, each its own"
                )
            self._made[family] = parts
        return self._made[family]

    def parts(self) -> tuple[Part, ...]:
        """Make all parts, in the order of their ranks.

        Raises:
            DesignError: Nobody knows the family of a run, or it has no report.
        """
        families = dict.fromkeys(facts.family for _, facts in self.runs)
        every = [part for family in families for part in self.parts_of(family)]
        return tuple(sorted(every, key=lambda part: part.rank))
