"""What news items are, in numbers that show at a glance whether the right ones were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from agentnet.errors import InputError
from agentnet.news.item import NewsItem
from agentnet.vocabulary import SEVERITIES, UNKNOWN, severity_name


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
    """Look at news items.

    Raises:
        InputError: There is none.
    """
    if not items:
        raise InputError("there is no news item to look at", field="items")
    short, long = min(items, key=_length), max(items, key=_length)
    return NewsFacts(
        len(items),
        by_severity(items),
        (short.id, _length(short)),
        (long.id, _length(long)),
        warnings,
    )


def by_severity(items: Iterable[NewsItem]) -> dict[str, int]:
    """Count the items of each severity, and those of unknown severity, by its name."""
    counted = Counter(severity_name(item.severity) for item in items)
    return {name: counted[name] for name in (*SEVERITIES, UNKNOWN)}


def _length(item: NewsItem) -> int:
    return len(item.text)
