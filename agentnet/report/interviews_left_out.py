"""Tables of the questions that are left out of realizations, as an answer to them is missing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from agentnet.analysis.study import ConditionStudy
from agentnet.report.tables import Cell, Table

if TYPE_CHECKING:
    from agentnet.report.interviews_part import InterviewPart


def left_out_table(part: InterviewPart) -> Table | None:
    """Count the questions that are left out of each condition; None where none is."""
    rows = tuple(
        _left_out(condition)
        for condition in part.study.conditions
        if any(each.left_out for each in condition.played)
    )
    if not rows:
        return None
    return Table(
        "left_out",
        "Questions left out, as an answer is missing",
        {
            "condition": "condition",
            "n_asked": "questions asked",
            "fewest_used": "fewest used in a realization",
            "most_used": "most used in a realization",
            "n_used": "used in all averaged repeats",
            "reasons": "realizations' questions left out, by reason",
        },
        rows,
        notes=(
            "The CSV file questions_left_out says which question is left out of which realization, and why.",
            "Used in all averaged repeats: where nothing stands, fewer than half are; each has its own then.",
        ),
    )


def _left_out(condition: ConditionStudy) -> tuple[Cell, ...]:
    used = [len(each.questions) for each in condition.played]
    reasons = Counter(why for each in condition.played for why in each.left_out.values())
    said = "; ".join(f"{why}: {n}" for why, n in sorted(reasons.items()))
    return (
        condition.name,
        max(each.n_asked for each in condition.played),
        min(used),
        max(used),
        condition.n_common,
        said,
    )


def questions_left_out_table(part: InterviewPart) -> Table | None:
    """List each question that is left out of a realization, for CSV alone; None where none is."""
    rows = tuple(
        (condition.name, each.realization, each.repeat, question, why)
        for condition in part.study.conditions
        for each in condition.played
        for question, why in each.left_out.items()
    )
    if not rows:
        return None
    return Table(
        "questions_left_out",
        "Questions left out of realizations",
        {
            "condition": "condition",
            "realization": "realization",
            "repeat": "repeat",
            "question": "question id",
            "missing": "why missing",
        },
        rows,
    )
