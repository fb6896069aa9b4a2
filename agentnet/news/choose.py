"""The choice of a design's news items: as many peaceful as severe ones, where that is known of any."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from agentnet.errors import DesignError
from agentnet.news.item import NewsItem, check_items
from agentnet.streams import Streams
from agentnet.vocabulary import PEACEFUL, SEVERE

_UNKNOWN = -1


def choose(items: Iterable[NewsItem], n_per_severity: int, seed: int) -> tuple[NewsItem, ...]:
    """Draw `n_per_severity` peaceful and as many severe items, without replacement.

    Where no item has a severity, as in a file of texts alone, ``2 * n_per_severity`` are drawn of all, or all
    are taken if there are fewer: cascades need none to be played.

    The draw depends on the ids and the seed, not on the order of `items`; a larger draw begins, in each
    severity, with the items of a smaller one.

    Returns:
        The peaceful items, then the severe ones, ``2 * n_per_severity`` in all (or items of no severity).

    Raises:
        DesignError: There are too few items of a severity, or `n_per_severity` is below 1.
        InputError: Two items have the same id.
    """
    if n_per_severity < 1:
        raise DesignError(f"n_per_severity is {n_per_severity}; choose at least 1 item of each severity")
    of: dict[int | None, list[NewsItem]] = {PEACEFUL: [], SEVERE: [], None: []}
    for item in check_items(items):
        of[item.severity].append(item)
    if of[None] and not of[PEACEFUL] and not of[SEVERE]:
        return tuple(_draw(of[None], 2 * n_per_severity, seed, _UNKNOWN))
    if min(len(of[PEACEFUL]), len(of[SEVERE])) < n_per_severity:
        raise DesignError(
            f"the design wants {n_per_severity} items of each severity, but there are {len(of[PEACEFUL])} "
            f"peaceful and {len(of[SEVERE])} severe items ({len(of[None])} of unknown severity); lower "
            f"items_per_severity, set it to 0 to take every item, or bring more news"
        )
    return (
        *_draw(of[PEACEFUL], n_per_severity, seed, PEACEFUL),
        *_draw(of[SEVERE], n_per_severity, seed, SEVERE),
    )


def _draw(items: list[NewsItem], count: int, seed: int, severity: int) -> list[NewsItem]:
    by_id = sorted(items, key=lambda item: item.id)
    lots = Streams(seed).words("news", "choose", severity, count=len(by_id))
    return [by_id[position] for position in np.argsort(lots, kind="stable")[:count]]
