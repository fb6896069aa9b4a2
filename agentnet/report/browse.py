"""Decisions to browse, each with its prompt: filtered by a style sheet, searched by the page's script."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from agentnet.report.blocks import absent
from agentnet.report.figures.words import listed
from agentnet.report.html import Html, rendered
from agentnet.report.sample import Sample
from agentnet.vocabulary import SEVERITIES, severity_name

_COLUMNS: Final = (
    *("where", "who decides", "news item", "answer"),
    *("reason", "prompt and reply"),
)
_FILTERS: Final = {"answer": ("yes", "no", "missing"), "severity": SEVERITIES}


def browser(sample: Sample, name: str, withheld: Collection[str] = ()) -> Html:
    """Show a sample of decisions with their reasons and prompts; which ones are shown can be narrowed down.

    Args:
        sample: The decisions.
        name: What tells this browser's filters from those of another one on the page.
        withheld: Names of news items whose texts may not be passed on: no prompt about them is shown.
    """
    if not sample.decisions:
        n = sum(sample.n_of.values())
        return absent("there is no decision yet" if not n else f"none of {n:,} decisions was to be shown")
    return rendered(
        "decisions.j2",
        how_drawn=_how_drawn(sample),
        decisions=sample.decisions,
        name=name,
        withheld=withheld,
        columns=_COLUMNS,
        filters=_FILTERS,
        severity_name=severity_name,
    )


def _how_drawn(sample: Sample) -> str:
    n_of, n_shown = sum(sample.n_of.values()), sum(sample.n_shown.values())
    counts = listed(
        [f"{sample.n_shown[name]:,} of {sample.n_of[name]:,} {name}" for name, n in sample.n_of.items() if n]
    )
    if n_shown == n_of:
        return f"All {n_of:,} decisions are shown: {counts}."
    return (
        f"{n_shown:,} of {n_of:,} decisions are shown: {counts}. They are not representative, for each "
        "answer has as many places; within an answer they were drawn by a hash of their place in the log, "
        f"keyed by seed {sample.seed}, so that the same ones are drawn again."
    )
