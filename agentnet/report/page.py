"""The report's page: one HTML file with style sheet, script and images inside; it makes no request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import chain, islice, zip_longest
from typing import Final, TypeVar

import agentnet
from agentnet.report.figures.words import capitalized, listed
from agentnet.report.gather import Report
from agentnet.report.html import Html, rendered
from agentnet.report.log_tables import when
from agentnet.report.sections import Contents

N_SENTENCES: Final = 5
"""Sentences of the first screen, at most."""

N_FIGURES: Final = 3
"""Figures of the first screen, at most."""

_T = TypeVar("_T")


def write_page(report: Report, contents: Iterable[Contents], *, made_at: float) -> str:
    """Lay a report out as HTML.

    Args:
        report: What it says.
        contents: What stands where.
        made_at: When it is made, seconds since 1970 (UTC).
    """
    parts = tuple(contents)
    style = _own("report.css")
    script = _own("network.js") + _own("report.js")
    return rendered(
        "page.j2",
        policy=_policy(style, script),
        style=Html(style),
        script=Html(script),
        names=", ".join(dict.fromkeys(part.facts.run for part in report.parts)),
        heading=_heading(report),
        labels=_labels(report),
        found=_first([(each.leads, each.found) for each in parts], N_SENTENCES),
        leading=_first([(each.leads, each.leading) for each in parts], N_FIGURES),
        parts=parts,
        options=report.options,
        made_at=when(made_at),
        version=agentnet.__version__,
    )


def _own(name: str) -> str:
    """Read a file of ours that stands in the page as it is, and holds no end tag."""
    return files("agentnet.report").joinpath(name).read_text("utf-8")


def _heading(report: Report) -> str:
    """Say what the page is about."""
    subjects = {part.subject: part.headline for part in report.parts}
    (headline, *others) = subjects.values()
    return f"{capitalized(listed(subjects)) if others else headline}: report"


def _labels(report: Report) -> str:
    """Say what results have to be called, if all parts or some have a label."""
    labels = dict.fromkeys(part.label for part in report.parts if part.label)
    return f" ({'; '.join(labels)})" if labels else ""


def _policy(style: str, script: str) -> str:
    """Forbid every request, and allow the one style sheet and the one script by their hashes."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _first(lists: Iterable[tuple[bool, Sequence[_T]]], n: int) -> list[_T]:
    """Take `n` of several lists in turn: as many as there are of those that lead, then of the others."""
    every = list(lists)
    leading = _in_turn([of for leads, of in every if leads], n)
    return leading + _in_turn([of for leads, of in every if not leads], n - len(leading))


def _in_turn(lists: Iterable[Sequence[_T]], n: int) -> list[_T]:
    """Take `n` of several lists, each in turn, and put what is of one list together.

    Examples:
        >>> _in_turn([["a1", "a2", "a3"], ["b1"]], 3)
        ['a1', 'a2', 'b1']
    """
    numbered = [[(place, i, each) for i, each in enumerate(of)] for place, of in enumerate(lists)]
    taken = islice((each for each in chain.from_iterable(zip_longest(*numbered)) if each is not None), n)
    return [each for _, _, each in sorted(taken, key=lambda each: each[:2])]
