"""Dates as news files and news texts write them, whatever the locale."""

from __future__ import annotations

import datetime as dt
import re

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)
_WORDS = re.compile(r"(\d{1,2}) ([A-Za-z]{3,}) (\d{4})", re.ASCII)
# `strptime` would read other month names in another locale, and takes ten times as long.
_MONTH_NUMBERS = {
    name: number for number, month in enumerate(MONTHS, 1) for name in (month.lower(), month[:3].lower())
}


def parse_date(text: str) -> dt.date:
    """Read ``2021-02-24`` (a time of day after it is ignored), ``24 February 2021`` or ``24 Feb 2021``.

    Raises:
        ValueError: It is neither, or no day of the calendar.
    """
    if found := _ISO.fullmatch(text):
        return dt.date(int(found[1]), int(found[2]), int(found[3]))
    if found := _WORDS.fullmatch(text):
        return dt.date(int(found[3]), _MONTH_NUMBERS.get(found[2].lower(), 0), int(found[1]))
    raise ValueError(text)


def in_words(date: dt.date) -> str:
    """Write a date as news texts do.

    Examples:
        >>> in_words(dt.date(2021, 2, 4))
        '4 February 2021'
    """
    return f"{date.day} {MONTHS[date.month - 1]} {date.year}"
