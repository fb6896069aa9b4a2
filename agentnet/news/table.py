"""Delimited text and JSON Lines as rows that know their line numbers.

What the room needs and pandas would not give: the line at which a record starts (also after fields of
several lines), the byte that is no UTF-8, and every bad row instead of the first.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from agentnet.errors import ConfigurationError, InputError, near_miss
from agentnet.news.item import is_unicode

DELIMITERS = ",;\t|"

_BOM = b"\xef\xbb\xbf"


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
        number: The line at which it starts, from 1, header included.
        values: Its cells by column.
        fault: Why it cannot be used, or "".
    """

    number: int
    values: Mapping[str, object]
    fault: str = ""


class Table(NamedTuple):
    """A file being read: its columns (lower case, outer blanks removed) and its rows, to be read once."""

    columns: tuple[str, ...]
    rows: Iterable[Row]


def settle_columns(
    path: Path,
    columns: Collection[str],
    usual: Mapping[str, str],
    given: Mapping[str, str],
    *,
    required: Collection[str],
    optional: Collection[str] = (),
    what: str,
    hints: Mapping[str, str] = {},
) -> dict[str, str]:
    """Settle which column each field is read from.

    Args:
        path: The file.
        columns: Its columns.
        usual: The column of each field, unless the caller says otherwise.
        given: The caller's column of a field.
        required: Fields that must have a column.
        optional: Further fields, which have no usual column.
        what: What the file is, for messages, with its article.
        hints: What else to say if the column of this name is missing.

    Returns:
        The column of each field that has one.

    Raises:
        InputError: A column that must be there is not.
        ConfigurationError: `given` names an unknown field.
    """
    fields = (*usual, *optional)
    for name in given:
        if name not in fields:
            raise ConfigurationError(
                f"a column is named for field {name!r}, which {what} does not have{near_miss(name, fields)}"
            )
    wanted = {name: column.strip().lower() for name, column in {**usual, **given}.items()}
    check_columns(
        path, columns, [wanted[name] for name in fields if name in given or name in required], hints
    )
    return {name: column for name, column in wanted.items() if column in columns}


def check_columns(
    path: Path, columns: Collection[str], needed: Iterable[str], hints: Mapping[str, str] = {}
) -> None:
    """See that a file has the columns that are `needed`.

    Raises:
        InputError: Names the first that is missing, with what may have been meant.
    """
    for column in needed:
        if column not in columns:
            hint = hints.get(column, "")
            raise InputError(
                f"there is no such column{near_miss(column, columns)}{hint}", path=path, field=column
            )


@contextmanager
def open_table(path: Path, *, columns: tuple[str, ...] | None = None) -> Iterator[Table]:
    """Open `path` as JSON Lines (by its suffix or a first character ``{``) or else as delimited text.

    Args:
        path: The file.
        columns: The columns of a file that is known to be CSV without a header.

    Raises:
        InputError: The file cannot be opened, is empty, is no UTF-8, or has no usable header.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise InputError("there is no such file", path=path) from error
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", path=path) from error
    with file:
        start = next((line for raw in file if (line := raw.removeprefix(_BOM).strip())), b"")
        file.seek(0)
        if not start:
            raise InputError("the file is empty", path=path)
        if columns is not None:
            yield Table(columns, _csv_rows(path, _lines(path, file), 0, ",", columns))
            return
        if start.startswith(b"[") and path.suffix.lower() == ".json":
            raise InputError("holds a JSON array; write one JSON object per line (.jsonl)", path=path)
        is_json = start.startswith(b"{") or path.suffix.lower() in (".jsonl", ".ndjson")
        yield _json_table(path, file) if is_json else _csv_table(path, file)


def _lines(path: Path, file: BinaryIO) -> Iterator[str]:
    """Decode line by line, because only then the row of a bad byte is known."""
    for number, raw in enumerate(file, 1):
        data = raw.removeprefix(_BOM) if number == 1 else raw
        if b"\0" in data or (number == 1 and data[:2] in (b"\xff\xfe", b"\xfe\xff")):
            raise InputError(
                "is not UTF-8 text (UTF-16, or no text at all); save it as CSV UTF-8", path=path, row=number
            )
        try:
            yield data.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"byte {error.start + 1} of this line (0x{data[error.start]:02x}) is not UTF-8; save the "
                f"file as CSV UTF-8",
                path=path,
                row=number,
            ) from error


def _csv_table(path: Path, file: BinaryIO) -> Table:
    lines = _lines(path, file)
    number, first = next(pair for pair in enumerate(lines, 1) if pair[1].strip())
    delimiter, names = _header(path, number, first)
    columns = tuple(name.strip().lower() for name in names)
    for name in columns:
        if name and columns.count(name) > 1:
            raise InputError("stands twice in the header; rename one", path=path, row=number, field=name)
    return Table(columns, _csv_rows(path, lines, number, delimiter, columns))


def _header(path: Path, number: int, line: str) -> tuple[str, list[str]]:
    """Take the delimiter that cuts the header into most columns; a comma if there is but one column."""
    try:
        cut = [
            (delimiter, next(csv.reader([line], delimiter=delimiter, strict=True)))
            for delimiter in DELIMITERS
        ]
    except csv.Error as error:
        raise InputError(f"the header cannot be read ({error})", path=path, row=number) from error
    return max(cut, key=lambda pair: len(pair[1]))


def _csv_rows(
    path: Path, lines: Iterator[str], n_before: int, delimiter: str, columns: tuple[str, ...]
) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = n_before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"cannot be read as delimited text ({error}); look for a quotation mark that is never closed "
                f"or not doubled, and for old Macintosh line ends",
                path=path,
                row=number,
            ) from error
        if not any(cell.strip() for cell in cells):
            continue  # a blank line, or the row of bare delimiters that spreadsheets leave behind
        fault = "" if len(cells) == len(columns) else _miscount(len(cells), len(columns), delimiter)
        yield Row(number, dict(zip(columns, cells, strict=False)), fault)


def _miscount(n_cells: int, n_columns: int, delimiter: str) -> str:
    fields = "1 field" if n_cells == 1 else f"{n_cells} fields"
    return (
        f"has {fields} where the header has {n_columns}; a field that holds {delimiter!r} or a line break "
        f"needs quotation marks"
    )


def _json_table(path: Path, file: BinaryIO) -> Table:
    rows = [
        _json_row(path, number, line) for number, line in enumerate(_lines(path, file), 1) if line.strip()
    ]
    # Objects may leave keys out: the columns are all keys of all rows.
    return Table(tuple(dict.fromkeys(key for row in rows for key in row.values)), rows)


def _json_row(path: Path, number: int, line: str) -> Row:
    def unite(pairs: list[tuple[str, object]]) -> dict[str, object]:
        values = {key.strip().lower(): value for key, value in pairs}
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


class Cells(NamedTuple):
    """The cells of one row, by column or by the field of a news item that a column stands for.

    Attributes:
        row: The row.
        columns: The column of each field that has one.
    """

    row: Row
    columns: Mapping[str, str]

    def column(self, name: str) -> str:
        """Give the cell of column `name` as text without outer blanks; "" if there is none.

        Raises:
            BadCell: The cell (of JSON Lines) holds an object, an array or broken Unicode.
        """
        value = self.row.values.get(name, "")
        if isinstance(value, str):
            if not value.isascii() and not is_unicode(value):
                raise BadCell(name, "holds half a surrogate pair; mend the text")
            return value.strip()
        if isinstance(value, (dict, list)):
            raise BadCell(name, "holds an object or array where a plain value belongs")
        return "" if value is None else json.dumps(value)

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
            raise BadCell(self.columns[name], f"is empty; every row needs its {name}")
        return text
