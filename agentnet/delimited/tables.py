"""Records under a header: what parts the columns, row names, ragged rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentnet.delimited.records import Record, records, single_blanks
from agentnet.delimited.text import is_blank, visible
from agentnet.errors import InputError

DELIMITERS = ",;\t|"
DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}

SUFFIX_DELIMITERS = {".tsv": "\t", ".tab": "\t"}
"""Suffixes that state the delimiter; elsewhere the header decides."""

_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)
"""A line before the header, by which spreadsheets are told the delimiter."""


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
    said = _SEPARATOR.fullmatch(header.strip("\r\n"))
    if said:
        number, header = number + 1, next(lines, "")
    delimiter, names = _header(path, number, header, said[1] if said else "")
    columns = tuple(fold(visible(name)) for name in names)
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


def _header(path: Path, number: int, line: str, said: str) -> tuple[str, list[str]]:
    """Take the delimiter that is said, by the file or its suffix, or cuts the header into most columns."""
    stated = said or next(
        (SUFFIX_DELIMITERS[s] for s in map(str.lower, path.suffixes) if s in SUFFIX_DELIMITERS), ""
    )
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
        names = _cut(single_blanks(line), " ")
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
    header = tuple(map(str.casefold, table.columns))
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
        if not fault and tuple(cell.strip().casefold() for cell in cells) == header:
            fault = "repeats the header; take it out"
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
