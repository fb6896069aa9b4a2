"""UCDP's Georeferenced Event Dataset (GED): no source text exists, so a short news text is composed.

Columns as in GED's own CSV (id, type_of_violence, side_a, side_b, date_start, date_end, country, adm_1,
adm_2, where_coordinates, deaths_a, deaths_b, deaths_civilians, deaths_unknown, best, high, low), of which
a subset will do. Sundberg & Melander (2013), "Introducing the UCDP Georeferenced Event Dataset", Journal of
Peace Research 50(4).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from agentnet.news.dates import date_in_words
from agentnet.news.item import NewsItem
from agentnet.news.source import item_of, join_place, news_source, read_date
from agentnet.news.table import BadCell, Cells
from agentnet.vocabulary import SEVERE

UCDP_LICENCE = (
    "UCDP Georeferenced Event Dataset, Uppsala Conflict Data Program, CC BY 4.0; cite Sundberg & Melander "
    '(2013), "Introducing the UCDP Georeferenced Event Dataset", Journal of Peace Research 50(4)'
)

VIOLENCE_TYPES = {"1": "State-based conflict", "2": "Non-state conflict", "3": "One-sided violence"}
"""UCDP's types of violence by their code."""

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_PLACE = ("where_coordinates", "adm_2", "adm_1", "country")


def _compose(cells: Cells, start: dt.date, place: str) -> str:
    where = f" in {place}" if place else ""
    return f"{_when(cells, start)}, {_what(cells)}{where}.{_toll(cells)}"


def _when(cells: Cells, start: dt.date) -> str:
    end = read_date(cells._replace(columns={"end": "date_end"}), "end") or start
    if end < start:
        raise BadCell("date_end", f"{end} is before date_start {start}; mend one of them")
    return (
        f"On {date_in_words(start)}"
        if end == start
        else f"Between {date_in_words(start)} and {date_in_words(end)}"
    )


def _what(cells: Cells) -> str:
    attacker, target = cells.column("side_a"), cells.column("side_b")
    for column, name in (("side_a", attacker), ("side_b", target)):
        if not name:
            raise BadCell(column, "is empty; every row of GED names both sides")
    if target.casefold() == "civilians":
        return f"{_side(attacker)} attacked civilians"
    return f"{_side(attacker)} and {_side(target)} fought each other"


def _side(name: str) -> str:
    return f"the {name}" if name.startswith("Government of ") else name


def _toll(cells: Cells) -> str:
    dead = [
        (_count(cells, "deaths_a"), f"on the side of {_side(cells.column('side_a'))}"),
        (_count(cells, "deaths_b"), f"on the side of {_side(cells.column('side_b'))}"),
        (_count(cells, "deaths_civilians"), "among civilians"),
        (_count(cells, "deaths_unknown"), "whose side is not known"),
    ]
    best = _count(cells, "best")
    if best is None and all(count is None for count, _ in dead):
        return _range(cells, None)
    parts = [f"{_deaths(count)} {whose}" for count, whose in dead if count] or [_deaths(best or 0)]
    total = sum(count or 0 for count, _ in dead) or best or 0
    known = f" Reported: {_enumerate(parts)}." if total else " No deaths are confirmed."
    return known + _range(cells, total)


def _range(cells: Cells, told: int | None) -> str:
    """Say what the estimates are, unless they are the number just told."""
    low, high = _count(cells, "low"), _count(cells, "high")
    if low is None or high is None or low == high == told:
        return ""
    if low > high:
        raise BadCell("low", f"{low} is above high {high}; mend one of them")
    if low == high:
        return f" The estimate is {_deaths(low)} in all."
    return f" Estimates range from {_number(low) if low else 'zero'} to {_deaths(high)} in all."


def _deaths(count: int) -> str:
    return f"{_number(count)} {'death' if count == 1 else 'deaths'}"


def _count(cells: Cells, column: str) -> int | None:
    text = cells.column(column)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadCell(column, f"{text[:40]!r} is no count; write a whole number, 0 or more")
    return int(text)


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _enumerate(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]


def _unknown(cells: Cells) -> list[tuple[str, str]]:
    code = cells.column("type_of_violence")
    return [("type_of_violence", code)] if code not in ("", *VIOLENCE_TYPES) else []


def _remarks(columns: Collection[str]) -> list[str]:
    del columns
    no_peace = (
        "UCDP records lethal violence only: unless labels say otherwise every item is severe, so a design "
        "that compares severities needs peaceful items from elsewhere"
    )
    return [no_peace, "UCDP has no source text: the news texts are composed from its fields"]


@news_source(
    "ucdp",
    columns={"id": "id", "date": "date_start"},
    required=("id", "date"),
    optional=("text", "severity", "place"),
    needs=("side_a", "side_b"),
    recognised_by=("side_a", "side_b", "date_start"),
    whence="from UCDP's Georeferenced Event Dataset",
    citation="R. Sundberg and E. Melander (2013), Introducing the UCDP Georeferenced Event Dataset, Journal "
    "of Peace Research 50(4).",
    licence=UCDP_LICENCE,
    unknown=_unknown,
    remarks=_remarks,
)
def ucdp(cells: Cells) -> NewsItem:
    """Make the item of an event of GED."""
    start = read_date(cells)
    if start is None:
        raise BadCell(cells.columns["date"], "is empty; every row of GED has its date")
    place = cells.field("place") or join_place(*(cells.column(part) for part in _PLACE))
    text = {} if "text" in cells.columns else {"text": _compose(cells, start, place)}
    kind = VIOLENCE_TYPES.get(cells.column("type_of_violence"), "")
    return item_of(cells, **text, place=place, severity=SEVERE, event_type=kind)
