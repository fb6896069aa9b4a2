"""The front door for news files: one reading that finds the format, the items and everything wrong.

`scan` reads a whole file and lists its problems; `load_news` and its like return the items of a file that
has none, and raise the first problem otherwise.

An item's severity is that of the file's column ``severity``, if it is read from one; else it follows from
ACLED's labels (`agentnet.news.severity`), and is severe throughout UCDP's events. Labels from elsewhere, such
as clusters of the texts, take the place of them all: a file (`agentnet.news.labels`), or severities by id.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

from agentnet.errors import ConfigurationError, InputError, PluginError
from agentnet.news.dates import check_format
from agentnet.news.item import NEWS_SOURCES, TABLE, NewsFile, NewsItem
from agentnet.news.labels import Labels, with_severity
from agentnet.news.source import NewsSource
from agentnet.news.table import BadCell, Cells, FileTable, open_table
from agentnet.plugins import is_of, spelled_hint


@dataclass(slots=True)
class Scan:
    """Everything that one reading of a file found.

    Attributes:
        path: The file.
        source: The news source that it is of.
        form: How the file is written, in words.
        items: The usable rows, as items with unique ids.
        problems: What is wrong with the others, in the order of the file.
        duplicate_ids: Ids that stand more than once.
        unknown: Rows per (column, value) that the format's codebook does not know.
        remarks: What follows from the columns of the file, and from labels in the place of its severities.
        is_labelled: Whether the severities are those of labels.
    """

    path: Path
    source: NewsSource
    form: str = ""
    items: list[NewsItem] = field(default_factory=list)
    problems: list[InputError] = field(default_factory=list)
    duplicate_ids: list[str] = field(default_factory=list)
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    is_labelled: bool = False

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the reader of the items should know, one sentence each."""
        return (*self.remarks, *self._unknown_warnings(), *self._severity_warnings(), *self._text_warnings())

    def _unknown_warnings(self) -> Iterator[str]:
        for (column, value), count in sorted(self.unknown.items()):
            is_open = column.endswith("_type") and not self.is_labelled
            effect = "; such labels leave the severity unknown" if is_open else ""
            yield f"{column} {value!r} is not in the codebook ({_rows(count)}){effect}"

    def _severity_warnings(self) -> Iterator[str]:
        count = sum(item.severity is None for item in self.items)
        if count:
            is_known = count < len(self.items)
            effect = "pass over them" if is_known else "draw from all of them, for none has any"
            yield f"{_rows(count)} of {len(self.items)} without severity: designs by severity {effect}"

    def _text_warnings(self) -> Iterator[str]:
        count = len(self.items) - len({item.text for item in self.items})
        if count:
            yield f"{_rows(count)} of {len(self.items)} repeat the text of an earlier row"
        long = [item.id for item in self.items if "\n" in item.text]
        if long:
            # A stray quotation mark makes such a text, too, where nothing else in the file gives it away.
            yield f"{_rows(len(long))} of {len(self.items)} with a text of several lines, first {long[0]!r}"
        for what, odd in _ODD_TEXTS.items():
            ids = [item.id for item in self.items if odd(item.text)]
            if ids:
                yield f"{_rows(len(ids))} of {len(self.items)} with a text {what}, first {ids[0]!r}"


_ODD_TEXTS: Mapping[str, Callable[[str], object]] = {
    "without a letter, which may be a total or another column": lambda text: not any(map(str.isalpha, text)),
    "that holds marks of web pages (&amp;, <br>), which the model reads as they stand": re.compile(
        r"&(?:#\d+|#x[\da-f]+|[a-z]{2,8});|</?(?:[abipu]|br|div|em|span|strong)\b[^<>]*>", re.IGNORECASE
    ).search,
    "that was decoded wrongly (as in CafÃ©); say how the file is written (encoding)": re.compile(
        "\ufffd|[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac"
    ).search,
}
"""What is odd about a text, and who finds it."""


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


class HowRead(TypedDict, total=False):
    """How a news file is read.

    Attributes:
        columns: The column of a field of `NewsItem`, where it is not the source's own.
        kind: The name of its news source (`agentnet.news.source`); by default the header says.
        severity: Labels that take the place of the file's severities: a file of them, or severity by id. They
            are laid on a file without problems only, for they must fit all of its items.
        date_format: How all dates are written, in the signs of `strptime` (``%d/%m/%Y``), if neither as
            2021-02-24 nor as 24 February 2021.
        encoding: How the text is written, such as ``cp1252``; by default UTF-8, or what its mark says. Labels
            that are no UTF-8 are read so, too.
    """

    columns: Mapping[str, str] | None
    kind: str | None
    severity: Labels | None
    date_format: str | None
    encoding: str | None


def scan(path: Path | str, **how: Unpack[HowRead]) -> Scan:
    """Read a news file to its end and list all its problems.

    Args:
        path: The file: delimited text, JSON Lines, a JSON answer of ACLED's or UCDP's interface, or a
            spreadsheet (which needs the extra ``xlsx``).
        **how: See `HowRead`.

    Raises:
        InputError: The file cannot be read at all, or a column is missing.
        ConfigurationError: `kind`, `encoding` or a key of `columns` is unknown; `date_format` tells no date,
            or there is no column of dates.
    """
    kind, severity, encoding = how.get("kind"), how.get("severity"), how.get("encoding")
    date_format = how.get("date_format")
    path = Path(path)
    with open_table(path, encoding=encoding) as table:
        source = NEWS_SOURCES.load(_recognised(table) if kind is None else kind)
        chosen = _columns(table, source, how.get("columns") or {})
        _check_date_format(date_format, chosen)
        remarks = source.remarks(table.columns)
        _held(source, "remarks", remarks, Sequence[str])
        found = Scan(path, source, form=table.form, remarks=list(remarks))
        _read_rows(found, table, chosen, date_format)
        found.remarks += table.notes
    if not found.items and not found.problems:
        raise InputError("has a header and no rows; nothing to read", path=path)
    if severity is not None and not found.problems:
        _label(found, severity, encoding)
    return found


def _check_date_format(date_format: str | None, columns: Mapping[str, str]) -> None:
    if date_format is None:
        return
    check_format(date_format)
    if "date" not in columns:
        raise ConfigurationError(
            "a date format is given, but no column of dates; name it, too (--column date=COLUMN, "
            "news.columns.date)"
        )


def _label(found: Scan, labels: Labels, encoding: str | None) -> None:
    """Put `labels` in the place of the severities that were read."""
    try:
        items = with_severity(found.items, labels, encoding=encoding)
    except InputError as error:
        found.problems.append(error)
        return
    n_other = sum(new.severity != old.severity for new, old in zip(items, found.items, strict=True))
    whence = "labels" if isinstance(labels, Mapping) else str(labels)
    found.remarks.append(
        f"severities are those of {whence}; in {_rows(n_other)} of {len(items)} they are not the file's own"
    )
    found.items, found.is_labelled = list(items), True


def _recognised(table: FileTable) -> str:
    """Name the source that recognises the columns of a file; the one that wants most of them knows best."""
    wanted = {name: set(_as_read(source.recognised_by)) for name, source in NEWS_SOURCES.loaded().items()}
    known = {name: columns for name, columns in wanted.items() if columns and columns <= set(table.columns)}
    most = max(map(len, known.values()), default=0)
    best = [name for name, columns in known.items() if len(columns) == most]
    if len(best) > 1:
        raise InputError(
            f"these are columns of {' and of '.join(best)}; say of which (--kind, news.kind)",
            path=table.path,
        )
    return best[0] if best else TABLE


def _columns(table: FileTable, source: NewsSource, given: Mapping[str, str]) -> dict[str, str]:
    """Settle which column each field is read from."""
    others = ", ".join(name for name, other in NEWS_SOURCES.loaded().items() if other.recognised_by)
    own = (
        f"; these are no columns of {others}, so name the column of the text (-S news.columns.text=COLUMN; "
        "agentnet news: --column text=COLUMN)"
    )
    chosen = table.settle(
        source.columns,
        given,
        required=source.required,
        optional=source.optional,
        what=f"a news file of kind {source.name!r}",
        hints={"text": own} if source.name == TABLE else {},
    )
    table.check(_as_read(source.needs))
    return chosen


def _read_rows(found: Scan, table: FileTable, columns: Mapping[str, str], date_format: str | None) -> None:
    first_row: dict[str, int] = {}

    def item_of(cells: Cells) -> NewsItem:
        item, unknown = found.source.item(cells), found.source.unknown(cells)
        if not first_row:
            _check_first(found.source, cells, item)
        if unknown != []:
            _held(found.source, "unknown", unknown, Sequence[Sequence[str]])
            found.unknown.update(unknown)
        first = first_row.setdefault(item.id, cells.row.number)
        if first != cells.row.number:
            found.duplicate_ids.append(item.id)
            raise BadCell(
                columns["id"], f"id {item.id!r} stands in row {first} already; give each row its own id"
            )
        return item

    found.items += table.each(columns, item_of, problems=found.problems, date_format=date_format)


def _as_read(columns: Iterable[str]) -> list[str]:
    """Spell names of columns as those of a table are."""
    return [name.strip().lower() for name in columns]


def _check_first(source: NewsSource, cells: Cells, item: NewsItem) -> None:
    """Refuse a source whose items depend on more than their rows, by the first."""
    again = source.item(cells)
    if again != item:
        raise PluginError(
            f"news source {source.name!r} makes another item of row {cells.row.number} each time: "
            f"{item!r:.120}, then {again!r:.120}; it depends on its row alone, on no chance, clock or counter"
        )


def _held(source: NewsSource, what: str, given: object, hint: object) -> None:
    if not is_of(hint, given):
        raise PluginError(
            f"{what} of news source {source.name!r} gives {given!r:.60}; it gives {spelled_hint(hint)}"
        )


def load_news(path: Path | str, **how: Unpack[HowRead]) -> NewsFile:
    """Load the news items of a file in any format.

    With `severity`, the items have the severities of clusters of their texts, or of people who read them:
    ``load_news("export.csv", severity=clusters.severity)``, `clusters` being what
    `agentnet.analysis.severity.cluster_severity` found, or ``severity="labels.csv"``, a file that
    `agentnet.news.write_severity` or anything else wrote. Every item of the file needs a label, if an empty
    one, and every label an item.

    Args:
        path: The file, as for `scan`.
        **how: See `HowRead`.

    Returns:
        The items, in the order of the file; its warnings tell how many severities the labels changed.

    Raises:
        InputError: Anything is wrong with the file: names row and field. `agentnet news validate` lists all
            problems instead of the first. Or with the labels: an item has none, one has no item.
        ConfigurationError: See `scan`.
    """
    found = scan(path, **how)
    if found.problems:
        raise found.problems[0]
    return NewsFile(found.path, found.source.name, tuple(found.items), found.warnings)


load_acled = partial(load_news, kind="acled")
"""Loads ACLED's export, current or older; the text is its ``notes``. See `load_news`."""

load_ucdp = partial(load_news, kind="ucdp")
"""Loads UCDP's GED or a subset of its columns. See `load_news`."""

load_table = partial(load_news, kind=TABLE)
"""Loads any table; ids default to line numbers. See `load_news`."""
