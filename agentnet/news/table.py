"""Tables of any form as rows that know their numbers: delimited text, JSON, spreadsheets.

Every bad row is known, not the first alone: what cannot be used is a `Row` with a fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from agentnet.delimited import (
    DELIMITER_NAMES,
    MISSING,
    Delimited,
    Record,
    is_blank,
    is_missing,
    known_columns,
    open_bytes,
    read_delimited,
    text_lines,
    visible,
)
from agentnet.errors import ConfigurationError, InputError, near_miss
from agentnet.formulas import unguarded
from agentnet.plugins import is_unicode

Made = TypeVar("Made")


class BadCell(Exception):
    """A cell that cannot be used; the reader of the file adds file and row.

    Args:
        field: The column.
        message: What is wrong and the way out.
    """

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field


class Row(NamedTuple):
    """One record.

    Attributes:
        number: The line at which it starts, from 1, header included; in a JSON document the record's place in
            its list, in a spreadsheet the row of the sheet.
        values: Its cells by column.
        fault: Why it cannot be used, or "".
    """

    number: int
    values: Mapping[str, object]
    fault: str = ""


class FileTable(NamedTuple):
    """A file being read.

    Attributes:
        path: The file.
        columns: Its columns, lower case, outer blanks removed.
        rows: Its rows, to be read once.
        form: How it is written, in words, such as ``"columns parted by commas"``.
        notes: What its reader should know, one sentence each; complete when all rows are read.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Iterable[Row]
    form: str
    notes: list[str]

    def settle(
        self,
        usual: Mapping[str, str | Sequence[str]],
        given: Mapping[str, str],
        *,
        required: Collection[str],
        optional: Collection[str] = (),
        what: str,
        hints: Mapping[str, str] = {},
    ) -> dict[str, str]:
        """Settle which column each field is read from.

        Args:
            usual: The column of each field, unless the caller says otherwise; or what it may be called: where
                the first name stands, the others are not looked at.
            given: The caller's column of a field.
            required: Fields that must have a column.
            optional: Further fields, which have no usual column.
            what: What the file is, for messages, with its article.
            hints: What else to say if the column of this name is missing.

        Returns:
            The column of each field that has one.

        Raises:
            InputError: A column that must be there is not, or several may be meant.
            ConfigurationError: `given` names an unknown field.
        """
        fields = (*usual, *optional)
        for name in given:
            if name not in fields:
                raise ConfigurationError(
                    f"a column is named for field {name!r}, which {what} does not have"
                    f"{near_miss(name, fields)}"
                )
        named = {name: given.get(name) or self._usual(name, usual[name]) for name in usual} | dict(given)
        wanted = {name: column.strip().lower() for name, column in named.items()}
        several = [name for name in {*required} - {*given} if not isinstance(usual.get(name, ""), str)]
        way = "; or name the column of the {0} (--column {0}=NAME)"
        ways = {wanted[name]: way.format(name) for name in several}
        self.check([wanted[name] for name in fields if name in given or name in required], {**hints, **ways})
        return {name: column for name, column in wanted.items() if column in self.columns}

    def _usual(self, field: str, names: str | Sequence[str]) -> str:
        """Find the usual column of a field among those that there are."""
        if isinstance(names, str):
            return names
        found = [name for name in names if name in self.columns]
        if len(found) > 1 and found[0] != field:
            raise InputError(
                f"columns {' and '.join(found)} may all be the {field}; choose one by columns={{{field!r}: "
                f"{found[0]!r}}} (--column {field}={found[0]})",
                path=self.path,
            )
        return found[0] if found else field

    def check(self, needed: Iterable[str], hints: Mapping[str, str] = {}) -> None:
        """See that the file has the columns that are `needed`.

        Raises:
            InputError: Names the first that is missing, with what may have been meant.
        """
        for column in needed:
            if column not in self.columns:
                said = f"there is no such column{near_miss(column, self.columns)}{hints.get(column, '')}"
                raise InputError(said, path=self.path, field=column)

    def each(
        self,
        columns: Mapping[str, str],
        make: Callable[[Cells], Made],
        *,
        problems: list[InputError] | None = None,
        date_format: str | None = None,
        missing: Collection[str] = MISSING,
    ) -> Iterator[Made]:
        """Make something of each row.

        Args:
            columns: The column of each field.
            make: Makes it; raises `BadCell` where it cannot.
            problems: Where rows are noted of which nothing can be made, and where the file breaks off.
            date_format: As for `Cells`.
            missing: As for `Cells`.

        Raises:
            InputError: Such a row, if `problems` is None; names row and column.
        """
        try:
            for row in self.rows:
                try:
                    if row.fault:
                        raise BadCell(None, row.fault)
                    made = make(Cells(row, columns, date_format, missing))
                except (BadCell, InputError) as bad:
                    said = str(bad).removeprefix(f"field {bad.field!r}: ")
                    field = columns.get(str(bad.field), bad.field)
                    problem = InputError(said, path=self.path, row=row.number, field=field)
                    if problems is None:
                        raise problem from bad
                    problems.append(problem)
                else:
                    yield made
        except InputError as error:
            if problems is None:
                raise
            problems.append(error)


@contextmanager
def open_table(
    path: Path, *, columns: tuple[str, ...] | None = None, encoding: str | None = None
) -> Iterator[FileTable]:
    """Open a spreadsheet (by its suffix), JSON (by its suffix or a first character ``{``), or delimited text.

    JSON is JSON Lines, or one document as ACLED's and UCDP's interfaces answer (``{"data": [...]}``,
    ``{"Result": [...]}``). Files may be gzipped.

    Args:
        path: The file.
        columns: The columns of a file that is known to be CSV without a header.
        encoding: How a text is written; by default UTF-8, or what its byte-order mark says.

    Raises:
        InputError: The file cannot be opened, is empty, is no text, or has no usable header.
        ConfigurationError: `encoding` is unknown.
    """
    if path.suffix.lower() in SPREADSHEETS:
        from agentnet.news.spreadsheet import sheet_rows

        yield _sheet_table(path, sheet_rows(path))
        return
    with open_bytes(path) as file:
        lines = text_lines(path, file, encoding)
        number, start = next(((n, line) for n, line in enumerate(lines, 1) if not is_blank(line)), (0, ""))
        if not number:
            raise InputError("the file is empty", path=path)
        yield _table(path, number, start.lstrip(), chain([start], lines), columns)


SPREADSHEETS = (".xlsx", ".xlsm")
_JSON_LINES = (".jsonl", ".ndjson")


def _table(
    path: Path, number: int, start: str, lines: Iterator[str], columns: tuple[str, ...] | None
) -> FileTable:
    """Tell what a text is by its first line that is not blank."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if columns is not None:
        return _delimited_table(path, known_columns(path, lines, columns, number - 1))
    if start.startswith("[") and ".json" in suffixes:
        raise InputError("holds a JSON array; write one JSON object per line (.jsonl)", path=path)
    if any(suffix in suffixes for suffix in _JSON_LINES):
        return _json_table(path, number, lines)
    if start.startswith("{"):
        return _document_table(path, number, start, lines)
    return _delimited_table(path, read_delimited(path, lines, n_before=number - 1, fold=str.lower))


_EXPORTED = ("news", "id", "severity", "hash", "text", "item")
"""The columns of ``news.csv`` as `agentnet export --format csv` writes it."""


def _delimited_table(path: Path, table: Delimited) -> FileTable:
    # Only there do we know who wrote an apostrophe before a text that looks like a formula.
    ours = tuple(table.columns) == _EXPORTED

    def row(record: Record) -> Row:
        cells = map(unguarded, record.cells) if ours else record.cells
        return Row(record.number, dict(zip(table.columns, cells, strict=False)), record.fault)

    form = f"columns parted by {DELIMITER_NAMES[table.delimiter]}"
    return FileTable(path, table.columns, map(row, table.rows), form, table.notes)


def _sheet_table(path: Path, rows: Iterator[tuple[int, list[object]]]) -> FileTable:
    number, header = next(rows, (0, []))
    while header and header[-1] is None:
        header.pop()
    columns = tuple(visible(str("" if name is None else name)).lower() for name in header)
    for name in columns:
        if name and columns.count(name) > 1:
            raise InputError("stands twice in the header; rename one", path=path, row=number, field=name)
    found = (
        Row(number, dict(zip(columns, cells, strict=False)), _beyond(len(columns), cells))
        for number, cells in rows
    )
    return FileTable(path, columns, found, "a spreadsheet", [])


def _beyond(n_columns: int, cells: list[object]) -> str:
    beyond = any(cell is not None for cell in cells[n_columns:])
    return f"has cells beyond the header's {n_columns} columns; give them a name" if beyond else ""


def _document_table(path: Path, number: int, start: str, lines: Iterator[str]) -> FileTable:
    """Tell JSON Lines from one document: there the first line is a whole object without a list of records."""
    try:
        first = json.loads(start)
    except (ValueError, RecursionError):
        first = None
    if isinstance(first, dict) and _records_key(first) is None:
        _refuse_refusal(path, first)
        return _json_table(path, number, lines)
    text = "".join(lines)
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except BadCell as bad:
        raise InputError(str(bad), path=path, field=bad.field) from bad
    except (ValueError, RecursionError):
        return _json_table(path, number, iter(text.splitlines(keepends=True)))  # which says what is wrong
    return _api_table(path, document)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in pairs:
        if key in values:
            raise BadCell(key, f"stands twice in one object, {values[key]!r:.60} and {value!r:.60}; keep one")
        values[key] = value
    return values


def _refuse_refusal(path: Path, document: Mapping[str, object]) -> None:
    if document.get("error") and document.get("success", True) is False:
        said = str(document["error"])[:200]
        raise InputError(f"is a server's refusal, and no news: {said}; ask it again", path=path)


def _records_key(document: Mapping[str, object]) -> str | None:
    return next((key for key in ("data", "Result") if isinstance(document.get(key), list)), None)


def _api_table(path: Path, document: dict[str, Any]) -> FileTable:
    """Read what the interfaces of ACLED (``data``) and UCDP (``Result``) answer."""
    key = _records_key(document)
    if key is None:
        _refuse_refusal(path, document)
        raise InputError(
            f"is one JSON object without a list under 'data' or 'Result'; it has "
            f"{', '.join(list(document)[:5]) or 'nothing'}. Write one JSON object per line (.jsonl)",
            path=path,
        )
    if not document[key]:
        said = document.get("error") or document.get("messages") or ""
        raise InputError(f"the answer holds no events under {key!r} {str(said)[:200]}".rstrip(), path=path)
    rows = [_object_row(number, record) for number, record in enumerate(document[key], 1)]
    notes = list(_notes_of_pages(document, len(rows)))
    return FileTable(path, _keys(rows), rows, f"a JSON document with its records under {key!r}", notes)


def _notes_of_pages(document: Mapping[str, object], n_rows: int) -> Iterator[str]:
    """Say that an answer is one page of several: the rest of the events is not in the file."""
    totals = [str(document.get(name)) for name in ("TotalCount", "total_count", "count")]
    total = next((number for number in totals if number.isdecimal() and int(number) > n_rows), None)
    if total is not None or document.get("NextPageUrl"):
        yield (
            f"the file is one page of an answer: it holds {n_rows} of {total or 'more'} events; fetch the "
            f"other pages, too"
        )


def _object_row(number: int, record: object) -> Row:
    if not isinstance(record, dict):
        return Row(number, {}, "is not a JSON object")
    values = {visible(key).lower(): value for key, value in record.items()}
    twice = len(values) < len(record)
    return Row(number, values, "has a key twice (letter case does not count)" if twice else "")


def _keys(rows: Iterable[Row]) -> tuple[str, ...]:
    # Objects may leave keys out: the columns are all keys of all rows.
    return tuple(dict.fromkeys(key for row in rows for key in row.values))


def _json_table(path: Path, first: int, lines: Iterable[str]) -> FileTable:
    rows = [_json_row(path, number, line) for number, line in enumerate(lines, first) if line.strip()]
    if all(row.fault for row in rows):
        raise InputError(rows[0].fault, path=path, row=rows[0].number)
    return FileTable(path, _keys(rows), rows, "JSON Lines", [])


def _json_row(path: Path, number: int, line: str) -> Row:
    def unite(pairs: list[tuple[str, object]]) -> dict[str, object]:
        values = {visible(key).lower(): value for key, value in pairs}
        if len(values) < len(pairs):
            raise BadCell(None, "has a key twice (letter case and outer blanks do not count)")
        return values

    try:
        values = json.loads(line, object_pairs_hook=unite)
    except BadCell as bad:
        return Row(number, {}, str(bad))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error}); one JSON object per line", path=path, row=number) from error
    return Row(number, values) if isinstance(values, dict) else Row(number, {}, "is not a JSON object")


_SHEET_ERRORS = frozenset({"#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"})


class Cells(NamedTuple):
    """The cells of one row, by column or by the field of a news item that a column stands for.

    Attributes:
        row: The row.
        columns: The column of each field that has one.
        date_format: How dates are written, as `agentnet.news.dates.parse_date` takes it.
        missing: Texts that stand for a missing value.
    """

    row: Row
    columns: Mapping[str, str]
    date_format: str | None = None
    missing: Collection[str] = MISSING

    def column(self, name: str) -> str:
        """Give the cell of column `name` as text without outer blanks; "" if it holds nothing.

        Nothing is what cannot be seen, and what is `missing`.

        Raises:
            BadCell: The cell holds a formula's error or, in JSON, an object, an array or broken Unicode.
        """
        value = self.row.values.get(name, "")
        if isinstance(value, str):
            if value in _SHEET_ERRORS:
                raise BadCell(name, f"holds {value!r}, an error of a spreadsheet's formula; mend it there")
            if not value.isascii() and not is_unicode(value):
                raise BadCell(name, "holds half a surrogate pair; mend the text")
            return "" if is_missing(value, self.missing) else value.strip()
        if isinstance(value, (dict, list)):
            raise BadCell(name, "holds an object or array where a plain value belongs")
        text = "" if value is None else json.dumps(value)
        return "" if is_missing(text, self.missing) else text

    def field(self, name: str) -> str:
        """Give the cell of the column that stands for field `name`; "" if no column does."""
        return self.column(self.columns[name]) if name in self.columns else ""

    def filled(self, name: str) -> str:
        """Give the cell of the column that stands for field `name`, which may not be empty.

        Raises:
            BadCell: It is empty.
        """
        text = self.field(name)
        if not text:
            written = self.row.values.get(self.columns[name])
            marker = written.strip() if isinstance(written, str) and not is_blank(written) else ""
            why = f" ({marker!r} stands for a missing value)" if marker else ""
            raise BadCell(self.columns[name], f"is empty{why}; every row needs its {name}")
        return text
