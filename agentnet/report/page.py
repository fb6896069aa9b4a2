"""The report's page: one HTML file with its style sheet and images inside; no script, no request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files

import agentnet
from agentnet.report.figures.words import capitalized, listed
from agentnet.report.gather import Report
from agentnet.report.html import Html, tag
from agentnet.report.log_tables import when
from agentnet.report.part import Block, Section
from agentnet.report.sections import Contents
from agentnet.report.tables import Table


def write_page(report: Report, contents: Iterable[Contents], *, made_at: float) -> str:
    """Lay a report out as HTML.

    Args:
        report: What it says.
        contents: What stands where.
        made_at: When it is made, seconds since 1970 (UTC).
    """
    parts = list(contents)
    style = files("agentnet.report").joinpath("report.css").read_text("utf-8")
    names = ", ".join(dict.fromkeys(part.facts.run for part in report.parts))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"Report of {names}{_labels(report)}"),
        # A style sheet is no text to be escaped, and ours holds no end tag.
        Html(f"<style>{style}</style>"),
    )
    body = tag("body", _opening(report, made_at), _toc(parts), tag("main", map(_part, parts)))
    return f'<!DOCTYPE html>\n<html lang="en">{head.markup}{body.markup}</html>\n'


def _heading(report: Report) -> str:
    """Say what the page is about."""
    subjects = {part.subject: part.headline for part in report.parts}
    (headline, *others) = subjects.values()
    return f"{capitalized(listed(subjects)) if others else headline}: report"


def _labels(report: Report) -> str:
    """Say what results have to be called, if all parts or some have a label."""
    labels = dict.fromkeys(part.label for part in report.parts if part.label)
    return f" ({'; '.join(labels)})" if labels else ""


def _policy(style: str) -> str:
    """Forbid every request and every script, and allow the one style sheet by its hash."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _opening(report: Report, made_at: float) -> Html:
    options, made = report.options, when(made_at)
    return tag(
        "header",
        tag("h1", f"{_heading(report)}{_labels(report)}"),
        tag(
            "p",
            "Made ",
            tag("time", made, datetime=made.replace(" UTC", "Z").replace(" ", "T")),
            f" by agentnet {agentnet.__version__} from the runs' event logs: {options.level:.0%} intervals, "
            f"{options.n_bootstrap} bootstrap resamples, seed {options.seed}. ",
            "Beside this page stand its tables as CSV, its figures as SVG and PNG, and everything as ",
            "results.json. In texts of others, characters that cannot be seen are spelled, as in [U+202E].",
            class_="facts",
        ),
    )


def _toc(parts: Iterable[Contents]) -> Html:
    return tag("nav", [_toc_entry(each) for each in parts], aria_label="Contents")


def _toc_entry(of: Contents) -> Html:
    links = [tag("li", tag("a", each.title, href=f"#{_anchor(of, each)}")) for each in of.sections]
    return tag("div", tag("a", tag("b", of.title), href=f"#{of.anchor}"), tag("ul", links))


def _anchor(of: Contents, section: Section) -> str:
    return f"{of.anchor}-{section.anchor}"


def _part(of: Contents) -> Html:
    return tag("section", tag("h2", of.title), [_section(of, each) for each in of.sections], id=of.anchor)


def _section(of: Contents, section: Section) -> Html:
    body = [_block(of, each) for each in section.blocks]
    return tag("section", tag("h3", section.title), body, id=_anchor(of, section))


def _block(of: Contents, block: Block) -> Html:
    return block.to_html(f"{of.anchor}-table-{block.name}") if isinstance(block, Table) else block
