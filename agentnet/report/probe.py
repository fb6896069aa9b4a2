"""The card of a probe in a report: verdicts first, then the figures behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from agentnet.probe.card import Card, CardFigure
from agentnet.report.blocks import bullets, paragraph
from agentnet.report.log_facts import LogFacts
from agentnet.report.part import Block
from agentnet.report.tables import Cell, Table, as_named


def probe_blocks(card: Card, facts: LogFacts) -> Iterator[Block]:
    """Show a card.

    Args:
        card: The card.
        facts: The run that it stands beside.
    """
    yield paragraph(card.in_a_line() + ".", "lead")
    if card.model_name != facts.meta["model_name"]:
        yield paragraph(
            f"The card is of model {card.model_name}; this run was answered by {facts.meta['model_name']}.",
            "note",
        )
    yield bullets(card.about())
    yield Table(
        name="probe",
        title="Checks of the backend's answers, what speaks against it first",
        columns=as_named("check looks_at verdict requests missing_answers threshold"),
        rows=tuple(
            (each.check, each.title, each.verdict, each.n_calls, each.n_missing, each.threshold)
            for each in card.findings
        ),
    )
    yield Table(
        name="probe_figures",
        title="Figures of the checks",
        columns=as_named("check figure value interval"),
        rows=tuple((each.check, *_row(figure)) for each in card.findings for figure in each.figures),
        notes=("Intervals of a check hold at once, at 99%; what was listed and not sampled has none.",),
    )
    said = [f"{each.check}: {sentence}" for each in card.findings for sentence in each.says]
    yield bullets(said, "What that means:")


def _row(figure: CardFigure) -> tuple[Cell, ...]:
    interval = None if figure.low is None or figure.high is None else (figure.low, figure.high)
    return figure.name, math.nan if figure.value is None else figure.value, interval
