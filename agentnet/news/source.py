"""News sources: what columns their files have, how a row becomes a news item, what to cite.

A source is a function from the cells of a row to a news item, taken in by `news_source` with all that is to
be said of it. What it leaves open is filled in by `item_of`; a source in an experiment file::

    @news_source(
        "wire",
        columns={"id": "guid", "text": "headline", "date": "published"},
        recognised_by=("guid", "headline"),
        citation="N. Agency (2024), The wire of headlines.",
        licence="N. Agency, for research only; the texts may not be passed on",
        restricted=True,
    )
    def wire(cells: Cells) -> NewsItem:
        return item_of(cells, place="Nowhere")
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from agentnet.errors import ConfigurationError, PluginError
from agentnet.news.dates import parse_date
from agentnet.news.item import NEWS_SOURCES, TABLE, NewsItem
from agentnet.news.severity import severity_of
from agentnet.news.table import BadCell, Cells
from agentnet.plugins import check_made
from agentnet.vocabulary import PEACEFUL, SEVERE, SEVERITIES

LABELS = ("disorder_type", "event_type", "sub_event_type")

_SEVERITIES = {
    written: number
    for number, words in ((PEACEFUL, ("0", "0.0", "false")), (SEVERE, ("1", "1.0", "true")))
    for written in (*words, SEVERITIES[number])
}

Make = Callable[[Cells], NewsItem]


@dataclass(frozen=True, slots=True)
class Query:
    """The events wanted of a source that can be fetched.

    Args:
        country: The source's name of one country.
        first: The first day.
        last: The last day, included.

    Raises:
        ConfigurationError: The country is blank, or the days are in the wrong order.
    """

    country: str
    first: dt.date
    last: dt.date

    def __post_init__(self) -> None:
        if not self.country.strip():
            raise ConfigurationError("the country is blank; give ACLED's English name, such as Philippines")
        if self.first > self.last:
            raise ConfigurationError(f"--from {self.first} is after --to {self.last}; exchange them")

    def __str__(self) -> str:
        return f"{self.country}, {self.first} to {self.last}"


class Fetched(NamedTuple):
    """What came.

    Attributes:
        n_events: Events written, each once.
        warnings: What the user should know about them, one sentence each.
    """

    n_events: int
    warnings: tuple[str, ...]


class Fetch(Protocol):
    """Fetches the events of a query into a file that the source reads."""

    def __call__(
        self,
        query: Query,
        path: Path,
        environ: Mapping[str, str],
        *,
        base_url: str | None,
        force: bool,
        progress: Callable[[str], None],
    ) -> Fetched:
        """Fetch them.

        Args:
            query: The events wanted.
            path: The file to write, which appears only when all have come.
            environ: Where accounts and keys are looked up.
            base_url: Where the source's server is, if not where it always is.
            force: Whether an existing file may be replaced.
            progress: Is told, in words, how far it is.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsSource:
    """A news source.

    Attributes:
        name: Its name: what items say they come from, ``news.kind``, ``--kind``.
        make: Makes the item of one row; raises `BadCell`.
        columns: The column that each field of a news item is read from, unless the caller says otherwise.
        required: Fields that must have a column.
        optional: Fields that the caller may give a column, beyond those of `columns`.
        needs: Columns that must be there and stand for no field.
        recognised_by: Columns that only files of this source have, all of them; none: it has to be named.
        whence: Where its texts come from, as a methods paragraph says it in brackets; by default its name.
        citation: What to cite, as reports say it behind "News: "; "" if nothing.
        licence: The line that a run using it has to show; "" if none.
        restricted: Whether its terms forbid passing its texts on: then reports leave them out.
        also: Other sources whose items may stand among its own.
        unknown: Lists the (column, value) pairs of one row that the source's codebook does not know.
        remarks: Says, from the columns of a file, what its reader should know.
        fetch: Fetches it from its server.
    """

    name: str
    make: Make
    columns: Mapping[str, str]
    required: tuple[str, ...] = ("id", "text")
    optional: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    recognised_by: tuple[str, ...] = ()
    whence: str = ""
    citation: str = ""
    licence: str = ""
    restricted: bool = False
    also: tuple[str, ...] = ()
    unknown: Callable[[Cells], list[tuple[str, str]]] = lambda _: []
    remarks: Callable[[Collection[str]], Sequence[str]] = lambda _: ()
    fetch: Fetch | None = None

    def __post_init__(self) -> None:
        check_made(f"news source {self.name!r}", self, NewsSource)
        unread = [name for name in self.required if name not in (*self.columns, *self.optional)]
        if unread:
            raise PluginError(
                f"news source {self.name!r} requires {unread[0]!r}, which it reads from no column; it reads "
                f"{', '.join((*self.columns, *self.optional))}"
            )

    def item(self, cells: Cells) -> NewsItem:
        """Make the item of one row.

        Raises:
            BadCell: A cell cannot be used.
            PluginError: It makes something else, or an item of another source.
        """
        made = self.make(cells)
        if not isinstance(made, NewsItem) or made.source not in (TABLE, self.name, *self.also):
            raise PluginError(
                f"news source {self.name!r} gives {made!r:.120} of row {cells.row.number}; it gives a "
                "NewsItem of its own, such as item_of(cells), or of a source that it names in `also`"
            )
        if made.source != TABLE or self.name == TABLE:
            return made
        return replace(made, source=self.name, licence=made.licence or self.licence)


def news_source(name: str, **facts: Any) -> Callable[[Make], Make]:  # noqa: ANN401 - those of `NewsSource`
    """Take a function that makes the item of a row in as a news source; `facts` are those of `NewsSource`."""
    return NEWS_SOURCES.named(name, lambda make: NewsSource(name=name, make=make, **facts))


def sources_of(items: Iterable[NewsItem]) -> dict[str, dict[str, Any]]:
    """Tell of each source of `items` what a report has to."""
    return {name: _told(NEWS_SOURCES[name]) for name in sorted({item.source for item in items})}


def told_of(name: str, recorded: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Give what a run recorded of a source by `sources_of`; of older runs, what is known of it here.

    Of a source that nobody knows, the texts are not passed on.
    """
    source = NEWS_SOURCES.get(name)
    known = {"whence": name, "citation": "", "restricted": True} if source is None else _told(source)
    return recorded.get(name, known)


def _told(source: NewsSource) -> dict[str, Any]:
    return {
        "whence": source.whence or source.name,
        "citation": source.citation,
        "restricted": source.restricted,
    }


def item_of(cells: Cells, **otherwise: str | int | None) -> NewsItem:
    """Make the item that the cells of its fields say.

    Args:
        cells: The cells of its row.
        **otherwise: What stands where the file has no column of a field, or an empty cell. A severity follows
            from the labels unless it is among these; an id is the row's number.

    Raises:
        BadCell: A cell cannot be used.
    """
    labels = [cells.field(name) or str(otherwise.get(name, "")) for name in LABELS]
    values: dict[str, Any] = {
        "severity": severity_of(*labels),
        "id": str(cells.row.number),
        **otherwise,
        **dict(zip(LABELS, labels, strict=True)),
        "date": read_date(cells),
    }
    for name in ("id", "text"):
        if name in cells.columns or name not in values:
            values[name] = cells.filled(name)
    for name in ("place", "licence"):
        values[name] = cells.field(name) or values.get(name, "")
    if "severity" in cells.columns:
        values["severity"] = read_severity(cells)
    return NewsItem(**values)


def read_date(cells: Cells, name: str = "date") -> dt.date | None:
    """Read a date as `cells` say, by default ``2021-02-24`` or ``24 February 2021``; None if empty.

    Raises:
        BadCell: It is not written so, or no day of the calendar.
    """
    text = cells.field(name)
    if not text:
        return None
    try:
        return parse_date(text, cells.date_format)
    except ValueError as error:
        if cells.date_format is not None:
            raise BadCell(
                cells.columns[name], f"{text[:40]!r} is no date as the date format {cells.date_format} has it"
            ) from error
        raise BadCell(
            cells.columns[name],
            f"{text[:40]!r} is no date; write 2021-02-24 or 24 February 2021, or say how dates are written: "
            f"%d/%m/%Y if the day comes first, %m/%d/%Y if the month does (--date-format of news validate, "
            f"news.date_format)",
        ) from error


def read_severity(cells: Cells) -> int | None:
    """Read 0, false or peaceful; 1, true or severe; None if empty.

    Programs that know no missing whole numbers write 0.0 and 1.0.

    Raises:
        BadCell: It is anything else.
    """
    text = cells.field("severity")
    if not text:
        return None
    if text.casefold() not in _SEVERITIES:
        raise BadCell(
            cells.columns["severity"],
            f"{text[:40]!r} is no severity; write 0 or peaceful, 1 or severe, or leave it empty",
        )
    return _SEVERITIES[text.casefold()]


def join_place(*parts: str) -> str:
    """Join the parts of a place, narrowest first, leaving out blanks and repetitions."""
    return ", ".join(dict.fromkeys(part for part in parts if part))
