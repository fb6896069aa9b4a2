"""What news items are, in numbers that show at a glance whether the right ones were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from agentnet.news.item import PEACEFUL, SEVERE, NewsItem

SEVERITY_NAMES = {PEACEFUL: "peaceful", SEVERE: "severe", None: "unknown"}


@dataclass(frozen=True, slots=True)
class NewsFacts:
    """What news items are.

    Attributes:
        n_items: Number of items.
        by_severity: Items that are ``peaceful``, ``severe``, ``unknown``.
        shortest: The id of the item whose text is shortest, the first of them, and its length in characters.
        longest: The same for the longest.
        warnings: What the reader of their file should know, one sentence each.
    """

    n_items: int
    by_severity: dict[str, int]
    shortest: tuple[str, int]
    longest: tuple[str, int]
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Spell it for JSON."""
        return asdict(self)


def facts_of_news(items: Sequence[NewsItem], warnings: tuple[str, ...] = ()) -> NewsFacts:
    """Look at news items, of which there is at least one."""
    counted = Counter(item.severity for item in items)
    short, long = min(items, key=_length), max(items, key=_length)
    return NewsFacts(
        len(items),
        {name: counted[severity] for severity, name in SEVERITY_NAMES.items()},
        (short.id, _length(short)),
        (long.id, _length(long)),
        warnings,
    )


def _length(item: NewsItem) -> int:
    return len(item.text)
