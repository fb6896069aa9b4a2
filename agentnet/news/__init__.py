"""News items: the texts that spread, where they come from, and how severe they are.

A user's own files are loaded by `load_news` (ACLED's export, UCDP's GED, any CSV or JSON Lines table);
`sample_news` needs no file. What each module is for stands in its own docstring.
"""

from __future__ import annotations

from agentnet.news.choose import choose
from agentnet.news.facts import NewsFacts, facts_of_news
from agentnet.news.item import NewsFile, NewsItem, check_items
from agentnet.news.labels import load_severity, with_severity, write_severity
from agentnet.news.load import load_acled, load_news, load_table, load_ucdp
from agentnet.news.severity import TAXONOMY, severity_of
from agentnet.news.sources.synthetic import sample_news, synthesize
from agentnet.news.validate import NewsReport, validate_news
from agentnet.vocabulary import PEACEFUL, SEVERE

__all__ = [
    "PEACEFUL",
    "SEVERE",
    "TAXONOMY",
    "NewsFacts",
    "NewsFile",
    "NewsItem",
    "NewsReport",
    "check_items",
    "choose",
    "facts_of_news",
    "load_acled",
    "load_news",
    "load_severity",
    "load_table",
    "load_ucdp",
    "sample_news",
    "severity_of",
    "synthesize",
    "validate_news",
    "with_severity",
    "write_severity",
]
