"""Decisions to browse, as HTML: filtered by a style sheet, so that the page needs no script."""

from __future__ import annotations

from typing import Final

from agentnet.report.figures.words import listed
from agentnet.report.html import Html, tag
from agentnet.report.log_tables import SEVERITY
from agentnet.report.sample import Sample, ShownDecision

_COLUMNS: Final = (
    *("realization", "step", "agent", "asked by", "profile", "news item", "severity", "temperature"),
    *("answer", "reason", "reply as it came"),
)
_FILTERS: Final = {"answer": ("yes", "no", "missing"), "severity": ("peaceful", "severe")}


def browser(sample: Sample, name: str) -> Html:
    """Show a sample of decisions with their reasons; which ones are shown can be narrowed down.

    Args:
        sample: The decisions.
        name: What tells this browser's filters from those of another one on the page.
    """
    if not sample.decisions:
        n = sum(sample.n_of.values())
        why = "there is no decision yet" if not n else f"none of {n:,} decisions was to be shown"
        return tag("p", f"Not available: {why}.", class_="absent")
    head = tag("tr", [tag("th", name, scope="col") for name in _COLUMNS])
    table = tag(
        "table",
        tag("caption", tag("b", "Decisions to browse")),
        tag("thead", head),
        tag("tbody", map(_row, sample.decisions)),
    )
    narrowed = tag(
        "div",
        [_filter(name, what, values) for what, values in _FILTERS.items()],
        tag("div", table, class_="scroll", role="region", aria_label="Decisions to browse", tabindex="0"),
        class_="browser",
    )
    label = f"Browse {len(sample.decisions):,} decisions"
    return tag("div", tag("p", _how_drawn(sample)), tag("details", tag("summary", label), narrowed))


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


def _filter(name: str, what: str, values: tuple[str, ...]) -> Html:
    def choice(value: str, *, checked: bool) -> Html:
        # One group for each filter of each part: of a group only one button can be pressed.
        group = f"{name}-by-{what}"
        button = tag("input", type="radio", name=group, value=f"only-{value}", checked=checked)
        return tag("label", button, f" {value}")

    choices = [choice("all", checked=True), *(choice(value, checked=False) for value in values)]
    return tag("fieldset", tag("legend", what), choices)


def _row(of: ShownDecision) -> Html:
    severity = SEVERITY.get(of.severity, "unknown")
    answer = of.answer if of.missing is None else f"{of.answer}: {of.missing}"
    texts = (of.profile, of.news, severity, f"{of.temperature:.2f}", answer)
    numbers = (of.step, of.agent, of.source if of.source >= 0 else None)
    raw = tag("details", tag("summary", "reply"), tag("span", of.text)) if of.text else None
    return tag(
        "tr",
        tag("th", of.realization, scope="row"),
        [tag("td", each, class_="number") for each in numbers],
        [tag("td", each) for each in texts],
        tag("td", of.rationale, class_="text"),
        tag("td", raw, class_="text"),
        data_answer=of.answer,
        data_severity=severity,
    )
