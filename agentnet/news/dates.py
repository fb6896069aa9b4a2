"""Dates as news files and news texts write them, whatever the locale."""

from __future__ import annotations

import datetime as dt
import re

from agentnet.errors import ConfigurationError

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


def check_format(date_format: str) -> None:
    """Refuse a format that does not tell day, month and year.

    Raises:
        ConfigurationError: It loses one of them, or is no format at all.
    """
    days = (dt.date(1999, 12, 31), dt.date(2021, 2, 3), dt.date(2020, 2, 3), dt.date(2020, 4, 29))
    try:
        written = {day.strftime(date_format): day for day in days}
        # Days of two years that look alike are not read back: newer Pythons warn of a day without year.
        is_whole = len(written) == len(days) and all(
            parse_date(text, date_format) == day for text, day in written.items()
        )
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ConfigurationError(
            f"the date format {date_format!r} does not tell day, month and year; write it as in "
            f"%d/%m/%Y (day first), %m/%d/%Y (month first) or %d.%m.%y"
        )


def parse_date(text: str, date_format: str | None = None) -> dt.date:
    """Read ``2021-02-24`` (a time of day after it is ignored), ``24 February 2021`` or ``24 Feb 2021``.

    Args:
        text: The date.
        date_format: How else dates are written, and then all of them, in the signs of `strptime`, such as
            ``%d/%m/%Y``. Day and month are never guessed.

    Raises:
        ValueError: It is not written so, or no day of the calendar.
    """
    if date_format is not None:
        return dt.datetime.strptime(text, date_format).date()  # noqa: DTZ007  a day has no time zone
    if found := _ISO.fullmatch(text):
        return dt.date(int(found[1]), int(found[2]), int(found[3]))
    if found := _WORDS.fullmatch(text):
        return dt.date(int(found[3]), _MONTH_NUMBERS.get(found[2].lower(), 0), int(found[1]))
    raise ValueError(text)


def date_in_words(date: dt.date) -> str:
    """Write a date as news texts do.

    Examples:
        >>> date_in_words(dt.date(2021, 2, 4))
        '4 February 2021'
    """
    return f"{date.day} {MONTHS[date.month - 1]} {date.year}"
