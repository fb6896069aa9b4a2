"""A sample of answers to browse: all have the same chance, but for missing ones, which come first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from agentnet.events import Run
from agentnet.streams import Streams

MOST_MISSING: Final = 50
"""Missing answers that are shown, at most."""

_ROWS: Final = """
SELECT e.realization, e.kind, e.step, e.agent, e.source, q.id, q.text, COALESCE(r.text, ''), e.missing
FROM events e JOIN questions q ON q.question = e.repeat LEFT JOIN replies r USING (reply)
"""
_MISSING: Final = f"""{_ROWS} WHERE e.missing IS NOT NULL
ORDER BY e.realization, e.kind, e.step, e.agent, e.source, e.repeat LIMIT ?"""
_GROUPS: Final = """
SELECT realization, kind, step, agent, COUNT(*) FROM events
WHERE kind IN ('evaluation', 'interview') AND missing IS NULL
GROUP BY realization, kind, step, agent ORDER BY 1, 2, 3, 4
"""
_ONE: Final = f"""{_ROWS} WHERE e.realization = ? AND e.kind = ? AND e.step = ? AND e.agent = ?
AND e.missing IS NULL ORDER BY e.source, e.repeat LIMIT 1 OFFSET ?"""


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """One answer with its question.

    Attributes:
        realization: Number of the realization.
        kind: ``evaluation`` or ``interview``.
        step: Step.
        model: Who answered.
        asker: The model that asked; None in an evaluation.
        question: Identifier of the question.
        asked: The question.
        text: The answer as it came; empty where none came.
        missing: Why it is missing; None where it is not.
    """

    realization: int
    kind: str
    step: int
    model: int
    asker: int | None
    question: str
    asked: str
    text: str
    missing: str | None


def sample_answers(run: Run, *, n: int, seed: int) -> tuple[tuple[ShownAnswer, ...], int]:
    """Draw answers to browse.

    Args:
        run: The run.
        n: How many at most; of them at most `MOST_MISSING` missing ones, which stand first.
        seed: Fixes the choice.

    Returns:
        The answers, and how many there are in the log, missing ones included.
    """
    with run.snapshot() as connection:
        missing = connection.execute(_MISSING, (min(n, MOST_MISSING),)).fetchall()
        groups = connection.execute(_GROUPS).fetchall()
        ends = np.cumsum([group[4] for group in groups], dtype=np.int64)
        total = int(ends[-1]) if ends.size else 0
        rng = Streams(seed).generator("answers to browse")
        chosen = np.sort(rng.choice(total, size=min(n - len(missing), total), replace=False))
        found = []
        for place in chosen.tolist():
            at = int(np.searchsorted(ends, place, side="right"))
            start = int(ends[at]) - int(groups[at][4])
            found.append(connection.execute(_ONE, (*groups[at][:4], place - start)).fetchone())
        (n_missing,) = connection.execute(
            "SELECT COUNT(missing) FROM events WHERE kind IN ('evaluation', 'interview')"
        ).fetchone()
    return tuple(_shown(row) for row in (*missing, *found)), total + int(n_missing)


def _shown(row: tuple[int, str, int, int, int, str, str, str, str | None]) -> ShownAnswer:
    realization, kind, step, model, source, question, asked, text, missing = row
    asker = None if source < 0 else source
    return ShownAnswer(realization, kind, step, model, asker, question, asked, text, missing)
