"""News items: the texts that spread, where they come from, and how severe they are.

A user's own files are loaded by `load_news` (ACLED's export, UCDP's GED, any CSV or JSON Lines table);
`sample_news` needs no file. What each module is for stands in its own docstring.
"""

from __future__ import annotations

from agentnet.given import check_public
from agentnet.news.choose import choose
from agentnet.news.facts import NewsFacts, facts_of_news
from agentnet.news.item import NEWS_SOURCES, TABLE, NewsFile, NewsItem, check_items
from agentnet.news.labels import load_severity, with_severity, write_severity
from agentnet.news.load import load_acled, load_news, load_table, load_ucdp
from agentnet.news.severity import TAXONOMY, severity_of
from agentnet.news.source import NewsSource, item_of, news_source, sources_of, told_of
from agentnet.news.sources.synthetic import sample_news, synthesize
from agentnet.news.table import BadCell, Cells
from agentnet.news.validate import NewsReport, validate_news
from agentnet.vocabulary import PEACEFUL, SEVERE

__all__ = [
    "NEWS_SOURCES",
    "PEACEFUL",
    "SEVERE",
    "TABLE",
    "TAXONOMY",
    "BadCell",
    "Cells",
    "NewsFacts",
    "NewsFile",
    "NewsItem",
    "NewsReport",
    "NewsSource",
    "check_items",
    "choose",
    "facts_of_news",
    "item_of",
    "load_acled",
    "load_news",
    "load_severity",
    "load_table",
    "load_ucdp",
    "news_source",
    "sample_news",
    "severity_of",
    "sources_of",
    "synthesize",
    "told_of",
    "validate_news",
    "with_severity",
    "write_severity",
]

check_public(__name__)
