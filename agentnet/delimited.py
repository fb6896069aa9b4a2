"""The one reader of delimited text: news, labels, question banks, node tables and edge lists.

Made on the csv module's parser, strict, with RFC 4180's dialect. What it adds: encodings by their mark, the
line at which a record starts, the byte that is no text, R's row names, and the quotation mark that would
swallow lines. Nothing is guessed in silence: what cannot be told is an `InputError` with file and row.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import unicodedata
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from agentnet.errors import ConfigurationError, InputError

DELIMITERS = ",;\t|"
DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}

REMARK_SIGNS = ("#", "%")
"""What begins a remark in lists of edges and nodes: SNAP's sign, and KONECT's."""

MISSING = frozenset(
    {
        *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", ""),
    }
)
"""Cells that hold nothing, as pandas reads them: R, pandas, databases and spreadsheets write them so."""

SUFFIX_DELIMITERS = {".tsv": "\t", ".tab": "\t"}
"""Suffixes that state the delimiter; elsewhere the header decides."""

_MARKS = (
    # UTF-32 first: its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_N_SAMPLED = 200
_INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
_KEY = re.compile(r"(?:^|_|\b)(?:id|key|code|node|agent|no|nr)(?:_|\b|$)", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?")


def is_blank(text: str) -> bool:
    """Say whether nothing of `text` can be seen: blanks of any kind, and characters without a shape."""
    stripped = text.strip()
    if not stripped or stripped.isascii():
        return not stripped
    return all(unicodedata.category(character) in _INVISIBLE for character in stripped)


def is_missing(cell: str, markers: Collection[str] = MISSING) -> bool:
    """Say whether a cell holds nothing: blank, or one of `markers`."""
    return cell.strip() in markers or is_blank(cell)


def is_remark(line: str) -> bool:
    """Say whether a line is a sign of remarks with nothing, a blank or a further sign after it.

    Names can begin with a sign (``#MeToo``), but not so.
    """
    text = line.strip()
    return text[:1] in REMARK_SIGNS and (len(text) < 2 or text[1].isspace() or text[1] in REMARK_SIGNS)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file, through gzip if its first bytes say so.

    Raises:
        InputError: It cannot be opened, or is no whole gzip file.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise InputError("there is no such file", path=path) from error
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", path=path) from error
    with file:
        try:
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield gzip.GzipFile(fileobj=file) if is_packed else file  # type: ignore[misc]  # both are binary
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"is no whole gzip file ({error}); get it again", path=path) from error
        except OSError as error:
            raise InputError(f"the file cannot be read ({error.strerror or error})", path=path) from error


def text_lines(path: Path, file: BinaryIO, encoding: str | None = None) -> Iterator[str]:
    r"""Decode a file line by line, each with its end; lines end at ``\n`` alone.

    Args:
        path: The file, for messages.
        file: Its bytes.
        encoding: How it is written; by default UTF-8, or what its byte-order mark says.

    Raises:
        InputError: It is no such text: names row and byte.
        ConfigurationError: `encoding` is unknown.
    """
    start = file.read(4)
    file.seek(0)
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if marked is None and encoding is None:
        return _utf8_lines(path, file)
    return _wide_lines(path, file, marked or _known(encoding or ""))


def _known(encoding: str) -> str:
    try:
        "".encode(encoding)
    except (LookupError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"there is no text encoding {encoding!r}; usual ones are utf-8, cp1252 and utf-16"
        ) from error
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _utf8_lines(path: Path, file: BinaryIO) -> Iterator[str]:
    """Decode line by line, because only then the row of a bad byte is known."""
    for number, raw in enumerate(file, 1):
        data = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if b"\0" in data:
            raise InputError(
                "is not UTF-8 text (it holds a NUL: UTF-16 without its mark, or no text at all); save it as "
                "CSV UTF-8",
                path=path,
                row=number,
            )
        try:
            yield data.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"byte {error.start + 1} of this line (0x{data[error.start]:02x}) is not UTF-8; save the "
                f"file as CSV UTF-8, or name its encoding, such as cp1252 (--encoding, news.encoding, "
                f"network_options.encoding)",
                path=path,
                row=number,
            ) from error


def _wide_lines(path: Path, file: BinaryIO, encoding: str) -> Iterator[str]:
    number = 0
    text = io.TextIOWrapper(file, encoding=encoding, newline="\n")
    try:
        for number, line in enumerate(text, 1):
            if "\0" in line:
                raise InputError(f"holds a NUL, so it is no {encoding} text", path=path, row=number)
            yield line
    except UnicodeError as error:
        raise InputError(
            f"is not written in {encoding} ({error}); save it as CSV UTF-8", path=path, row=number + 1
        ) from error
    finally:
        with suppress(ValueError):  # a reader that stopped early has closed the file already
            text.detach()


class Record(NamedTuple):
    """One record of delimited text.

    Attributes:
        number: The line at which it starts, from 1.
        cells: Its cells, quotation marks removed.
        line: Its first line as it is written.
        fault: Why it cannot be used, or "".
    """

    number: int
    cells: list[str]
    line: str
    fault: str = ""


def records(
    path: Path,
    lines: Iterable[str],
    delimiter: str,
    n_before: int = 0,
    *,
    names: Sequence[str] = (),
) -> Iterator[Record]:
    """Cut lines into records; a file that swallows rows is refused at its end, judged by all of them.

    Args:
        path: The file, for messages.
        lines: Its lines, from line ``n_before + 1`` on.
        delimiter: One character; a blank stands for any run of blanks and tabs.
        n_before: Lines of the file before these.
        names: The names of the columns, as far as they are known.

    Raises:
        InputError: Quotation marks are not closed, not at the ends of a field, or swallow lines.
    """
    taken: list[str] = []

    def tap() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield _closed_blanks(taken) if delimiter == " " else line

    reader = csv.reader(tap(), delimiter=delimiter, strict=True, skipinitialspace=True)
    seen = _Shape(delimiter, names)
    while True:
        taken.clear()
        number = n_before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            seen.refuse_swallowed(path)
            return
        except csv.Error as error:
            raise InputError(_broken(error), path=path, row=number) from error
        if len(taken) == 1:
            seen.learn(cells)
        else:
            seen.suspect(number, taken, len(cells))
        yield Record(number, cells, taken[0])


def rows_of_lines(path: Path, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Cut lines into cells, a row each, faster than `records`; see there.

    Raises:
        InputError: Quotation marks are not closed in their row, or not at the ends of a field.
    """
    if delimiter == " ":
        lines = map(_single_blanks, lines)
    reader, number = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True), 0
    try:
        for cells in reader:
            number += 1
            if reader.line_num != number:
                raise InputError(_swallows(reader.line_num - number + 1), path=path, row=number)
            yield number, cells
    except csv.Error as error:
        raise InputError(_broken(error), path=path, row=number + 1) from error


def _closed_blanks(taken: Sequence[str]) -> str:
    """Treat the last line of a record so far by `_single_blanks`, unless it is part of a text in quotes."""
    if sum(line.count('"') for line in taken) % 2 or sum(line.count('"') for line in taken[:-1]) % 2:
        return taken[-1].rstrip(" \t\r\n") + "\n"
    return _single_blanks(taken[-1])


def _single_blanks(line: str) -> str:
    """Make one blank of each run of blanks and tabs outside quotation marks."""
    text = line.strip()
    if "\r" in text:
        return line  # an old line end within a line: the parser is to see it, and refuses it
    if '"' not in text:
        return " ".join(text.split())
    return '"'.join(
        part if place % 2 else _BLANKS.sub(" ", part) for place, part in enumerate(text.split('"'))
    )


def _broken(error: csv.Error) -> str:
    return (
        f"cannot be read as delimited text ({error}): its quotes are not closed or not at the ends of a "
        f"field; look for a quotation mark that is never closed or not doubled, and for old Macintosh line "
        f"ends"
    )


def _swallows(n_lines: int) -> str:
    return (
        f"its quotes are not closed in this row: a quotation mark opens a field here that would swallow "
        f"{n_lines - 1} further rows, each of which reads as a row of its own; take the mark out, or double "
        f'it inside a quoted field ("")'
    )


class _Shape:
    """What the cells of each column look like, and the records that may have swallowed rows.

    A quoted field may go over several lines, and a stray quotation mark makes one that is as well-formed: to
    a parser they are the same. But prose that is cut at its delimiters does not look like the rows around it
    (another number of cells, words under numbers, a blank after each comma), and swallowed rows do; and
    whoever quotes fields leaves more marks than the two of a stray pair.
    """

    def __init__(self, delimiter: str, names: Sequence[str]) -> None:
        self._delimiter = delimiter
        self._columns = [_Column(is_key=_KEY.search(name) is not None) for name in names]
        self._suspects: list[tuple[int, list[list[str]]]] = []
        self._n_learned = 0

    def learn(self, cells: Sequence[str]) -> None:
        """Take in what the cells of a record of one line look like."""
        if self._n_learned < _N_SAMPLED:
            self._n_learned += 1
            for column, cell in enumerate(cells):
                self._column(column).learn(cell)

    def _column(self, number: int) -> _Column:
        while number >= len(self._columns):
            self._columns.append(_Column())
        return self._columns[number]

    def suspect(self, number: int, lines: Sequence[str], n_cells: int) -> None:
        """Note a record of several lines if each of them has the cells of a whole row."""
        rows = [line.rstrip("\r\n").split(self._delimiter) for line in lines if not is_blank(line)]
        is_pair = sum(line.count('"') for line in lines) == 2
        if n_cells > 1 and is_pair and len(rows) > 1 and all(len(row) == n_cells for row in rows):
            self._suspects.append((number, rows))

    def refuse_swallowed(self, path: Path) -> None:
        """Judge the suspects by all rows of the file.

        Raises:
            InputError: One reads as rows like the others.
        """
        for number, rows in self._suspects:
            if self._looks_swallowed(rows):
                raise InputError(_swallows(len(rows)), path=path, row=number)

    def _looks_swallowed(self, rows: Sequence[Sequence[str]]) -> bool:
        opened = next(column for column, cell in enumerate(rows[0]) if cell.lstrip().startswith('"'))
        for column, cell in enumerate(rows[0][:opened]):  # these are the record's own either way
            self._column(column).learn(cell)
        inside = [
            (column, cell)
            for number, row in enumerate(rows)
            for column, cell in enumerate(row)
            if (number or column > opened) and (number < len(rows) - 1 or column < opened)
        ]
        return all(self._column(column).may_hold(cell) for column, cell in inside) and any(
            self._column(column).is_like(cell) for column, cell in inside
        )


@dataclass(slots=True)
class _Column:
    """What the cells of one column look like: how much like prose at most, indented or not, of which form."""

    is_key: bool = False
    rank: int = 0
    is_indented: bool = False
    forms: set[str] = field(default_factory=set)
    n_learned: int = 0

    def learn(self, cell: str) -> None:
        self.rank = max(self.rank, _rank(cell))
        self.is_indented |= _starts_blank(cell)
        self.n_learned += 1
        if len(self.forms) < 2:
            self.forms.add(_form(cell))

    def may_hold(self, cell: str) -> bool:
        return _rank(cell) <= self.rank and (self.is_indented or not _starts_blank(cell))

    def is_like(self, cell: str) -> bool:
        """Say whether all of the column has one form, which `cell` has, too: numbers, dates, identifiers."""
        form = _form(cell)
        # Words of one form are anywhere in prose, so they tell something only where names are looked for.
        tells = "9" in form or (self.is_key and bool(form) and self.n_learned > 1)
        return tells and self.forms == {form}


def _rank(cell: str) -> int:
    """Say how much like prose a cell is: 0 nothing, 1 whole number, 2 number, 3 word, 4 words."""
    text = cell.strip()
    if not text:
        return 0
    if _NUMBER.fullmatch(text):
        return 1 if text.lstrip("-+").isdecimal() else 2
    return 4 if " " in text else 3


def _form(cell: str) -> str:
    """Write runs of digits as 9, of capitals as A, of other letters as a: ``PHL12`` is ``A9``."""
    text = re.sub(r"\d+", "9", cell.strip()[:40])
    return re.sub(r"[^\W\d_A-Z]+", "a", re.sub(r"[A-Z]+", "A", text))


def _starts_blank(cell: str) -> bool:
    return len(cell) > 1 and cell[0].isspace() and not cell.isspace()


@dataclass(slots=True)
class Delimited:
    """A table being read.

    Attributes:
        columns: Its columns, outer blanks removed; "" for one without a name.
        delimiter: What parts its cells.
        rows: Its records, to be read once; a fault says that a row is ragged.
        notes: What its reader should know, one sentence each; complete when all rows are read.
    """

    columns: tuple[str, ...]
    delimiter: str
    rows: Iterator[Record] = field(default_factory=lambda: iter(()))
    notes: list[str] = field(default_factory=list)


def read_delimited(
    path: Path, lines: Iterator[str], *, n_before: int = 0, fold: Callable[[str], str] = str
) -> Delimited:
    """Read a header and give the rows below it.

    Args:
        path: The file; its suffix may state the delimiter.
        lines: Its lines, the first of which is the header.
        n_before: Lines of the file before the header.
        fold: What to do to the names of columns, such as `str.lower`.

    Raises:
        InputError: The header cannot be read or names a column twice.
    """
    number, header = n_before + 1, next(lines)
    delimiter, names = _header(path, number, header)
    columns = tuple(fold("" if is_blank(name) else name.strip()) for name in names)
    for name in columns:
        if name and columns.count(name) > 1:
            raise InputError(
                "stands twice in the header; each column needs a name of its own: rename one",
                path=path,
                row=number,
                field=name,
            )
    table = Delimited(columns, delimiter)
    is_quoted = header.lstrip().startswith('"')
    table.rows = _rows(table, records(path, lines, delimiter, number, names=columns), is_quoted=is_quoted)
    return table


def _header(path: Path, number: int, line: str) -> tuple[str, list[str]]:
    """Take the delimiter that the suffix states or that cuts the header into most columns; else a comma."""
    stated = next((SUFFIX_DELIMITERS[s] for s in map(str.lower, path.suffixes) if s in SUFFIX_DELIMITERS), "")
    cut: list[tuple[str, list[str]]] = []
    broken: csv.Error | None = None
    for delimiter in stated or DELIMITERS:
        try:
            cut.append((delimiter, _cut(line, delimiter)))
        except csv.Error as error:
            broken = broken or error
    if broken is not None and not stated and all(len(names) == 1 for _, names in cut):
        cut += _cut_by_blanks(line)
    if broken is not None and all(len(names) == 1 for _, names in cut):
        raise InputError(f"the header cannot be read ({broken})", path=path, row=number) from broken
    return max(cut, key=lambda pair: len(pair[1]))


def _cut_by_blanks(line: str) -> list[tuple[str, list[str]]]:
    """Cut a header as R's write.table leaves it: names in quotation marks, parted by blanks."""
    try:
        names = _cut(_single_blanks(line), " ")
    except csv.Error:
        return []
    return [(" ", names)] if line.count('"') == 2 * len(names) else []


def _cut(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=True))


def known_columns(path: Path, lines: Iterable[str], columns: tuple[str, ...], n_before: int) -> Delimited:
    """Read rows parted by commas that have no header; see `read_delimited`."""
    table = Delimited(columns, ",")
    table.rows = _rows(table, records(path, lines, ",", n_before), is_quoted=False)
    return table


def _rows(table: Delimited, found: Iterable[Record], *, is_quoted: bool) -> Iterator[Record]:
    n_columns = len(table.columns)
    has_names: bool | None = None
    names: set[str] = set()
    for record in found:
        if all(map(is_blank, record.cells)):
            continue  # a blank line, or the row of bare delimiters that spreadsheets leave behind
        if has_names is None:
            has_names = _has_row_name(table, record, is_quoted=is_quoted)
            if has_names:
                table.notes.append(
                    "the rows begin with row names, which the header does not count (R writes them so); they "
                    "are not read"
                )
        cells, fault = record.cells, ""
        if len(cells) != n_columns + has_names:
            fault = _miscount(len(cells), n_columns + has_names, table.delimiter, named=has_names)
        elif has_names and cells[0] in names:
            fault = f"the row name {cells[0]!r} stands twice; write the table without row names"
        if has_names:
            names.update(cells[:1])
            cells = cells[1:]
        yield record._replace(cells=cells, fault=fault)


def _has_row_name(table: Delimited, first: Record, *, is_quoted: bool) -> bool:
    """Say whether a first row of one cell more than the header begins with a row name, as R writes it.

    Where a comma may be part of a text that lost its quotation marks, only R's own marks tell the two apart:
    it quotes header and row names alike.
    """
    if len(first.cells) != len(table.columns) + 1 or is_blank(first.cells[-1]):
        return False
    if is_quoted and first.line.lstrip().startswith('"'):
        return True
    return table.delimiter in "\t| " and first.cells[0] == "1"


def _miscount(n_cells: int, n_wanted: int, delimiter: str, *, named: bool) -> str:
    fields = "1 field" if n_cells == 1 else f"{n_cells} fields"
    head = f"the header has {n_wanted - named}" + (" and the rows a name each" if named else "")
    return (
        f"has {fields} where {head}; a field that holds {delimiter!r} or a line break needs quotation marks, "
        f"and R's row names are left out by row.names = FALSE"
    )
