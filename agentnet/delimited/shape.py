"""What tells a text of several lines from a stray quotation mark that swallows rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentnet.delimited.text import is_blank
from agentnet.errors import InputError

_N_SAMPLED = 200
_KEY = re.compile(r"(?:^|_|\b)(?:id|key|code|node|agent|no|nr)(?:_|\b|$)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?")


def swallows(n_lines: int) -> str:
    """Say what a record of `n_lines` lines would swallow."""
    return (
        f"its quotes are not closed in this row: a quotation mark opens a field here that would swallow "
        f"{n_lines - 1} further rows, each of which reads as a row of its own; take the mark out, or double "
        f'it inside a quoted field ("")'
    )


class Shape:
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
                raise InputError(swallows(len(rows)), path=path, row=number)

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
