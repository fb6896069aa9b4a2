"""What the formats share: how the cells of a row become a news item."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from agentnet.news.dates import parse_date
from agentnet.news.item import PEACEFUL, SEVERE, NewsItem
from agentnet.news.table import BadCell, Cells

LABELS = ("disorder_type", "event_type", "sub_event_type")

_SEVERITIES = {
    "0": PEACEFUL,
    "false": PEACEFUL,
    "peaceful": PEACEFUL,
    "1": SEVERE,
    "true": SEVERE,
    "severe": SEVERE,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """One file format.

    Attributes:
        kind: Its name.
        columns: The column that each field of a news item is read from, unless the caller says otherwise.
        required: Fields that must have a column.
        optional: Fields that the caller may give a column, beyond those of `columns`.
        needs: Columns that must be there and stand for no field.
        make: Makes the item of one row; raises `BadCell`.
        unknown: Lists the (column, value) pairs of one row that the format's codebook does not know.
        remarks: Says, from the columns of the file, what its reader should know.
    """

    kind: str
    columns: Mapping[str, str]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    needs: tuple[str, ...]
    make: Callable[[Cells], NewsItem]
    unknown: Callable[[Cells], list[tuple[str, str]]]
    remarks: Callable[[Collection[str]], list[str]]


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
