"""A table of the author's own: any delimited text, JSON Lines or spreadsheet with a column of texts."""

from __future__ import annotations

from agentnet.news.item import TABLE, NewsItem
from agentnet.news.source import LABELS, item_of, news_source
from agentnet.news.sources.acled import unknown_labels
from agentnet.news.table import Cells


@news_source(
    TABLE,
    columns={name: name for name in ("id", "text", "date", "place", "severity", *LABELS, "licence")},
    required=("text",),
    whence="of our own",
    citation="a table of the author's own; its source and licence are for the author to state.",
    unknown=unknown_labels,
)
def table(cells: Cells) -> NewsItem:
    """Make the item of a row; ids default to line numbers."""
    return item_of(cells)
