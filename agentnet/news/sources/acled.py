"""ACLED's export: its codes, and how its rows become news items."""

from __future__ import annotations

from collections.abc import Collection

from agentnet.news.acled_server import ACLED_COLUMNS, ACLED_LICENCE, ACLED_URL, Login
from agentnet.news.fetch import fetch_acled
from agentnet.news.item import SYNTHETIC, TABLE, NewsItem
from agentnet.news.severity import disorder_type_of, is_known
from agentnet.news.source import LABELS, item_of, join_place, news_source, read_date
from agentnet.news.table import BadCell, Cells

SYNTHETIC_SOURCE = "SYNTHETIC (agentnet)"
"""What stands in the column ``source`` of every row that `agentnet.news.sources.synthetic` makes."""

ACTOR_TYPES = (
    "State forces",
    "Rebel group",
    "Political militia",
    "Identity militia",
    "Rioters",
    "Protesters",
    "Civilians",
    "External/Other forces",
)
"""The kinds of actor behind ``inter1`` and ``inter2``; their codes in older exports are 1 to 8."""


def interaction_of(inter1: str, inter2: str = "") -> str:
    """Give the text of the column ``interaction`` for two kinds of actor (the second may be "").

    Examples:
        >>> interaction_of("Civilians", "Rebel group")
        'Rebel group-Civilians'
        >>> interaction_of("Protesters")
        'Protesters only'
    """
    if not inter2:
        return f"{inter1} only"
    return "-".join(sorted((inter1, inter2), key=ACTOR_TYPES.index))


def _interaction_codes() -> frozenset[str]:
    n_types = len(ACTOR_TYPES)
    texts = {interaction_of(a, b).casefold() for a in ACTOR_TYPES for b in ("", *ACTOR_TYPES)}
    alone = {str(10 * first) for first in range(1, n_types + 1)}
    pairs = {str(10 * a + b) for a in range(1, n_types + 1) for b in range(a, n_types + 1)}
    return frozenset({"", *texts, *alone, *pairs})


_ACTOR_CODES = frozenset(
    {"", *(kind.casefold() for kind in ACTOR_TYPES), *(str(code) for code in range(len(ACTOR_TYPES) + 1))}
)
_CODES = {
    "inter1": _ACTOR_CODES,
    "inter2": _ACTOR_CODES,
    "interaction": _interaction_codes(),
    "civilian_targeting": frozenset({"", "civilian targeting"}),
}
_PLACE = ("location", "admin2", "admin1", "country")


def unknown_labels(cells: Cells) -> list[tuple[str, str]]:
    """List the labels of one row that are not in ACLED's taxonomy, as (column, value)."""
    return [
        (cells.columns[name], label)
        for name in LABELS
        if (label := cells.field(name)) and not is_known(name, label)
    ]


def _unknown(cells: Cells) -> list[tuple[str, str]]:
    codes = [
        (column, value)
        for column, known in _CODES.items()
        if (value := cells.column(column)).casefold() not in known
    ]
    return unknown_labels(cells) + codes


def _remarks(columns: Collection[str]) -> list[str]:
    absent = [column for column in ACLED_COLUMNS if column not in columns]
    if not absent:
        return []
    follows = [
        ("disorder_type", "the disorder type is derived from event type and sub-event type"),
        ("sub_event_type", "the severity follows from the event type alone, where that decides it"),
        ("source", "synthetic rows cannot be told from ACLED's"),
    ]
    consequences = [what for column, what in follows if column in absent]
    if any(part in absent for part in _PLACE):
        consequences.append("places are less exact")
    end = "; ".join(consequences) or "nothing is lost, as agentnet does not use them"
    return [f"the file has not the columns of ACLED's current export: no {', '.join(absent)}; {end}"]


@news_source(
    "acled",
    columns={"id": "event_id_cnty", "text": "notes", "date": "event_date"} | {name: name for name in LABELS},
    required=("id", "text", "date", "event_type"),
    optional=("severity", "place"),
    recognised_by=("event_id_cnty",),
    whence="from ACLED",
    citation="C. Raleigh, R. Kishi and A. Linke (2023), Political instability patterns are obscured by "
    "conflict dataset scope conditions, sources, and coding choices, Humanities and Social Sciences "
    "Communications 10, 74.",
    licence=ACLED_LICENCE,
    restricted=True,
    also=(SYNTHETIC,),
    unknown=_unknown,
    remarks=_remarks,
    fetch=lambda query, path, environ, *, base_url, **how: fetch_acled(
        query, path, Login.from_environment(environ), base_url=base_url or ACLED_URL, **how
    ),
)
def acled(cells: Cells) -> NewsItem:
    """Make the item of a row of ACLED's export, or of the synthetic sample, which is written like it."""
    if read_date(cells) is None:
        raise BadCell(cells.columns["date"], "is empty; every row of an ACLED export has its date")
    return item_of(
        cells,
        place=join_place(*(cells.column(part) for part in _PLACE)),
        disorder_type=disorder_type_of(cells.field("event_type"), cells.field("sub_event_type")),
        source=SYNTHETIC if cells.column("source") == SYNTHETIC_SOURCE else TABLE,
    )
