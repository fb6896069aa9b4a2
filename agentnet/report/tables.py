"""Tables of a report: the same rows on the page, rounded for people, and as CSV, in full."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, Final, cast

import numpy as np

from agentnet.analysis.fits_html import number, span
from agentnet.errors import PluginError
from agentnet.formulas import guarded
from agentnet.plugins import is_of
from agentnet.report.figures.sketch import check_stem, told_text
from agentnet.report.html import Html, rendered

Interval = tuple[float, float]
Cell = str | int | float | Interval | None

_SMALLEST: Final = 1e-16
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
        kept = [not i or any(row[i] not in (None, "") for row in self.rows) for i in range(len(self.columns))]
        rows = tuple(tuple(compress(row, kept)) for row in self.rows)
        return replace(self, columns=dict(compress(self.columns.items(), kept)), rows=rows)

    def labelled(self, label: str) -> Table:
        """Put what results have to be called into the title, and into a column; nothing if they are none."""
        if not label:
            return self
        columns = {**self.columns, "label": "label"}
        rows = tuple((*row, label) for row in self.rows)
        return replace(self, title=f"{self.title} ({label})", columns=columns, rows=rows)

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
        return rendered("table.j2", table=self, anchor=anchor, spelled=spelled_cell, why=_why, long=_LONG)

    def headings(self) -> Iterator[tuple[str, str | None]]:
        """Give each column's heading and how its cells look."""
        for column, label in enumerate(self.columns.values()):
            is_text = column == 0 or any(isinstance(row[column], str) for row in self.rows)
            yield label, None if is_text else "number"


def checked_table(name: str, made: object) -> Table:
    """Take the table that a plug-in made, with NumPy's numbers as Python's.

    Args:
        name: What the plug-in is called.
        made: What it gave.

    Raises:
        PluginError: It is no table that can be written and read again: says why.
    """
    if not isinstance(made, Table):
        raise PluginError(f"the table {name!r} gives {made!r:.60}; it gives a Table, or None")
    check_stem("table", made.name)
    if not (isinstance(made.columns, Mapping) and isinstance(made.rows, Collection)):
        raise PluginError(
            f"the table {name!r} has {type(made.columns).__name__} for columns and "
            f"{type(made.rows).__name__} for rows; give it a dict (name in the CSV -> heading) and a "
            "tuple of rows"
        )
    who = f"table {name!r}"
    columns = {
        told_text(f"name of a column of {who}", key): told_text(
            f"heading of a column of {who}", heading, may_be_blank=True
        )
        for key, heading in made.columns.items()
    }
    notes = (made.notes,) if isinstance(made.notes, str) else made.notes
    return replace(
        made,
        title=told_text(f"title of {who}", made.title),
        columns=columns,
        rows=tuple(
            tuple(_checked_cell(name, *pair) for pair in zip(columns, row, strict=True)) for row in made.rows
        ),
        notes=tuple(told_text(f"note of {who}", note, may_be_blank=True) for note in notes),
    )


def _checked_cell(table: str, column: str, given: object) -> Cell:
    """Take a cell; see `checked_table`."""
    cell = _plain(given)
    if _is_pair(column):
        cell = tuple(map(_plain, cell)) if isinstance(cell, tuple | list) else cell
        is_one = cell is None or (
            isinstance(cell, tuple) and len(cell) == 2 and is_of(tuple[float, ...], cell)
        )
        words = "None or a pair of numbers, as its name ends with 'interval'"
    else:
        is_one = is_of(str | float | None, cell)
        # As truths are written, page and CSV would differ.
        words = "a text, a number or None"
    if not is_one:
        raise PluginError(f"a cell in column {column!r} of table {table!r} is {given!r:.60}; it is {words}")
    return cast(Cell, cell)


def _plain(value: Any) -> Any:  # noqa: ANN401 - what NumPy holds
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def as_named(columns: str) -> dict[str, str]:
    """Head columns by their own names.

    Examples:
        >>> as_named("law last_step")
        {'law': 'law', 'last_step': 'last step'}
    """
    return {name: name.replace("_", " ") for name in columns.split()}


def by_condition(
    name: str,
    title: str,
    columns: Mapping[str, str],
    rows: Iterable[tuple[Any, ...]],
    named: Callable[[int], str] | None,
    notes: tuple[str, ...],
) -> Table | None:
    """Make a table of rows that begin with the number of their condition; None without any.

    Args:
        name: See `Table`, as for `title`, `columns` (less that of the condition) and `notes`.
        title: What it is.
        columns: The others.
        rows: The rows.
        named: Names a condition; None where there is one, which goes unsaid.
        notes: What to know.
    """
    told = tuple(row[1:] if named is None else (named(row[0]), *row[1:]) for row in rows)
    own = columns if named is None else {"condition": "condition", **columns}
    return Table(name, title, own, told, notes) if told else None


WITHOUT_INTERVAL: Final = "One value, or values that are all alike, do not tell how much they could differ."
"""Why there is no interval, for the notes of a table."""


def known_interval(low: float, high: float) -> Interval | None:
    """Pair the ends of an interval; None where they are unknown, as where all that was seen is alike."""
    return (low, high) if low < high else None


def _is_pair(key: str) -> bool:
    return key.endswith("interval")


def _csv_names(key: str) -> tuple[str, ...]:
    return (f"{key}_low", f"{key}_high") if _is_pair(key) else (key,)


def _csv_values(key: str, cell: Cell) -> tuple[str | int | float | None, ...]:
    if _is_pair(key):
        return cell if isinstance(cell, tuple) else (None, None)
    assert not isinstance(cell, tuple), f"{key} holds a pair, and its name does not say so"
    return (guarded(cell) if isinstance(cell, str) else cell,)


def spelled_cell(key: str, cell: Cell) -> str:
    """Spell a value for people.

    Examples:
        >>> spelled_cell("rmse", 0.012345), spelled_cell("p_value", 1e-30), spelled_cell("n", 12345)
        ('0.01235', '< 1e-16', '12,345')
    """
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, tuple):
        return span(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    if "p_value" in key or key == "published_p":
        return "< 1e-16" if abs(cell) < _SMALLEST else f"{cell:.4g}" if math.isfinite(cell) else number(cell)
    return number(cell)


def _why(cell: Cell) -> str:
    if not isinstance(cell, float) or math.isfinite(cell):
        return ""
    return (
        "the data say nothing about it" if math.isnan(cell) else "separated: the data have no finite estimate"
    )
