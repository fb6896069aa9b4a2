"""The check of a news file: what is in it, what is wrong with it, whether a design can use it."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Unpack

from agentnet.news.facts import by_severity, facts_of_news
from agentnet.news.item import NewsItem
from agentnet.news.load import HowRead, Scan, scan


@dataclass(frozen=True, slots=True)
class NewsReport:
    """What a news file holds. Counts are of usable items; mappings run from the commonest value on.

    Attributes:
        path: The file.
        kind: Its format: ``acled``, ``ucdp`` or ``table``.
        form: How it is written, such as ``columns parted by commas``.
        n_items: Usable items.
        problems: What is wrong, one sentence for each bad row, in the order of the file.
        by_severity: Items that are ``peaceful``, ``severe``, ``unknown``.
        by_disorder_type: Items per disorder type ("" if they have none), and so on.
        by_event_type: Items per event type.
        by_sub_event_type: Items per sub-event type.
        unknown: Rows per value outside the codebook, per column.
        duplicate_ids: Ids that stand more than once.
        duplicate_texts: Ids of items that share one text, a tuple for each such text.
        first_date: The earliest date; None if no item has one.
        last_date: The latest date.
        n_undated: Items without a date.
        text_length: ``min``, ``median`` and ``max`` of the texts, in characters; empty without items.
        shortest: The id of the item whose text is shortest, the first of them; None without items.
        longest: The id of the item whose text is longest.
        licences: The licence lines that a run using the file has to show.
        warnings: What its reader should know.
    """

    path: str
    kind: str
    form: str
    n_items: int
    problems: tuple[str, ...]
    by_severity: Mapping[str, int]
    by_disorder_type: Mapping[str, int]
    by_event_type: Mapping[str, int]
    by_sub_event_type: Mapping[str, int]
    unknown: Mapping[str, Mapping[str, int]]
    duplicate_ids: tuple[str, ...]
    duplicate_texts: tuple[tuple[str, ...], ...]
    first_date: dt.date | None
    last_date: dt.date | None
    n_undated: int
    text_length: Mapping[str, float]
    shortest: str | None
    longest: str | None
    licences: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether `load_news` would accept the file."""
        return not self.problems

    def to_json(self) -> str:
        """Write the report as JSON, with ``usable``; dates as YYYY-MM-DD."""
        values = {"usable": self.usable, **asdict(self)}
        return json.dumps(values, indent=2, default=lambda date: date.isoformat())


def validate_news(path: Path | str, **how: Unpack[HowRead]) -> NewsReport:
    """Check a news file to its end; the arguments are those of `load_news`.

    Raises:
        InputError: The file cannot be read at all, or a column is missing.
        ConfigurationError: See `agentnet.news.load.scan`.
    """
    found = scan(path, **how)
    items = found.items
    dates = sorted(item.date for item in items if item.date is not None)
    return NewsReport(
        path=str(found.path),
        kind=found.source.name,
        form=found.form,
        n_items=len(items),
        problems=tuple(str(problem) for problem in found.problems),
        by_severity=by_severity(items),
        by_disorder_type=_counts(item.disorder_type for item in items),
        by_event_type=_counts(item.event_type for item in items),
        by_sub_event_type=_counts(item.sub_event_type for item in items),
        unknown=_unknown(found),
        duplicate_ids=tuple(dict.fromkeys(found.duplicate_ids)),
        duplicate_texts=_shared_texts(items),
        first_date=dates[0] if dates else None,
        last_date=dates[-1] if dates else None,
        n_undated=len(items) - len(dates),
        text_length=_text_length(items),
        shortest=facts_of_news(items).shortest[0] if items else None,
        longest=facts_of_news(items).longest[0] if items else None,
        licences=tuple(dict.fromkeys(item.licence for item in items if item.licence)),
        warnings=found.warnings,
    )


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0])))


def _unknown(found: Scan) -> dict[str, dict[str, int]]:
    columns: dict[str, dict[str, int]] = {}
    for (column, value), count in sorted(found.unknown.items()):
        columns.setdefault(column, {})[value] = count
    return columns


def _shared_texts(items: Iterable[NewsItem]) -> tuple[tuple[str, ...], ...]:
    ids: dict[str, list[str]] = {}
    for item in items:
        ids.setdefault(item.text, []).append(item.id)
    return tuple(tuple(group) for group in ids.values() if len(group) > 1)


def _text_length(items: Iterable[NewsItem]) -> dict[str, float]:
    lengths = [len(item.text) for item in items]
    return {"min": min(lengths), "median": median(lengths), "max": max(lengths)} if lengths else {}
