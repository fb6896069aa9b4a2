"""Tables of a report: the same rows on the page, rounded for people, and as CSV, in full."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from agentnet.analysis.fits_html import number, span
from agentnet.formulas import guarded
from agentnet.report.html import Html, Node, tag

Interval = tuple[float, float]
Cell = str | int | float | Interval | None

_SMALLEST_P: Final = 1e-16
_LONG: Final = 28
"""Characters from which on a text may be broken into lines."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: File name stem; unique within a report.
        title: What it is, for its caption.
        columns: Name in the CSV -> heading on the page. Names that end with ``interval`` hold pairs: in the
            CSV they are two columns, ``..._low`` and ``..._high``.
        rows: Values in the order of the columns. None is nothing to be said, NaN unknown.
        notes: What to know before using it, one sentence each.
    """

    name: str
    title: str
    columns: Mapping[str, str]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), f"a row of {self.name} has a gap"

    def without_empty_columns(self) -> Table:
        """Leave out columns in which nothing stands, other than the first."""
        kept = [
            i
            for i in range(len(self.columns))
            if i == 0 or any(row[i] not in (None, "") for row in self.rows)
        ]
        names = list(self.columns)
        return Table(
            self.name,
            self.title,
            {names[i]: self.columns[names[i]] for i in kept},
            tuple(tuple(row[i] for i in kept) for row in self.rows),
            self.notes,
        )

    def to_csv(self) -> str:
        """Write it as CSV, UTF-8 and line feeds; texts are quoted, numbers in full.

        Texts that a spreadsheet would execute have an apostrophe in front: see `agentnet.formulas`.

        Nothing is empty, unknown is ``nan``, infinite is ``inf`` or ``-inf``.
        """
        out = io.StringIO()
        writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow([name for key in self.columns for name in _csv_names(key)])
        for row in self.rows:
            cells = zip(self.columns, row, strict=True)
            writer.writerow([value for key, cell in cells for value in _csv_values(key, cell)])
        return out.getvalue()

    def to_html(self, anchor: str) -> Html:
        """Write it as HTML.

        Args:
            anchor: Its id, unique on the page.
        """
        head = tag("tr", [self._heading(i, label) for i, label in enumerate(self.columns.values())])
        body = [
            tag("tr", [_cell(key, cell, first=i == 0) for i, (key, cell) in enumerate(self._pairs(row))])
            for row in self.rows
        ]
        caption = tag(
            "caption", tag("b", self.title), " ", tag("span", f"tables/{self.name}.csv", class_="file")
        )
        table = tag("table", caption, tag("thead", head), tag("tbody", body), id=anchor)
        scrolled = tag("div", table, class_="scroll", role="region", aria_label=self.title, tabindex="0")
        return tag("div", scrolled, [tag("p", note, class_="note") for note in self.notes], class_="table")

    def _heading(self, column: int, label: str) -> Html:
        is_text = column == 0 or any(isinstance(row[column], str) for row in self.rows)
        return tag("th", label, scope="col", class_=None if is_text else "number")

    def _pairs(self, row: tuple[Cell, ...]) -> Iterator[tuple[str, Cell]]:
        return zip(self.columns, row, strict=True)


def _is_pair(key: str) -> bool:
    return key.endswith("interval")


def _csv_names(key: str) -> tuple[str, ...]:
    return (f"{key}_low", f"{key}_high") if _is_pair(key) else (key,)


def _csv_values(key: str, cell: Cell) -> tuple[str | int | float | None, ...]:
    if _is_pair(key):
        return cell if isinstance(cell, tuple) else (None, None)
    assert not isinstance(cell, tuple), f"{key} holds a pair, and its name does not say so"
    return (guarded(cell) if isinstance(cell, str) else cell,)


def _cell(key: str, cell: Cell, *, first: bool) -> Html:
    if first:
        return tag("th", spelled_cell(key, cell), scope="row")
    kind = "number" if not isinstance(cell, str) else "long" if len(cell) > _LONG else None
    return tag("td", spelled_cell(key, cell), class_=kind)


def spelled_cell(key: str, cell: Cell) -> Node:
    """Spell a value for people.

    Examples:
        >>> spelled_cell("rmse", 0.012345), spelled_cell("p_value", 1e-30), spelled_cell("n", 12345)
        ('0.01235', '< 1e-16', '12,345')
    """
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, tuple):
        return span(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    if "p_value" in key and 0 <= cell < _SMALLEST_P:
        return "< 1e-16"
    return number(cell) if math.isfinite(cell) else tag("abbr", number(cell), title=_why(cell))


def _why(value: float) -> str:
    if math.isnan(value):
        return "the data say nothing about it"
    return "separated: the data have no finite estimate"
