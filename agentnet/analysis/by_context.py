"""How answers differ by what agents were told: shares by each fact of the contexts, as the log has them.

A share is that of an answer among the answers to one kind of question in which a fact of the context reads
so. Answers of one realization depend on each other: intervals are of the logit, by sums over realizations
(Liang & Zeger 1986) with Student's t of one degree of freedom less than there are of them. Agents who read
one value need not be like those who read another; a share by context is no effect of it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.contrasts import OF_SHARES, ends_of
from agentnet.analysis.estimates import student_quantile
from agentnet.analysis.fitting import checked_level
from agentnet.events import Run
from agentnet.events.schema import CONDITION_OF

Array = NDArray[np.float64]

MOST_ANSWERS: Final = 6
"""Different answers to a question, other than yes and no, from which on their shares are not told."""
_MOST_VALUES: Final = 12
"""Values of a fact that are told one by one; more numbers are told in four parts of like size."""

_TOLD = f"""
SELECT c.condition, e.realization, e.kind, e.decision, e.value, h.context
FROM events e JOIN exposures h USING (realization, kind, step, agent, source, repeat)
JOIN realizations r USING (realization) JOIN ({CONDITION_OF}) c USING (realization)
WHERE e.missing IS NULL AND r.status = 'finished' AND h.context <> '{{}}' ORDER BY 1, 2
"""  # noqa: S608 - our own


@dataclass(frozen=True, slots=True)
class ContextShare:
    """How often an answer was given where a fact of the context read so.

    Attributes:
        condition: Number of the condition.
        question: What was asked: the kind of question, and the field of a declared answer.
        answer: The answer.
        key: The fact.
        value: What it read, or from where to where.
        share: Share of the answer, in [0, 1].
        low: Lower end of its interval; NaN with one realization, or where all or none answered so.
        high: Upper end.
        n: Answers that came.
        n_realizations: Realizations that they are of.
    """

    condition: int
    question: str
    answer: str
    key: str
    value: str
    share: float
    low: float
    high: float
    n: int
    n_realizations: int


def answers_by_context(run: Run, level: float = 0.95) -> tuple[ContextShare, ...]:
    """Count the answers of the finished realizations of a run by each fact of the contexts.

    Args:
        run: The run.
        level: Of the intervals, in (0, 1).

    Returns:
        By condition, question, fact and value; none where agents were told no facts.

    Raises:
        DesignError: The level is out of range.
    """
    checked_level(level)
    every: dict[tuple[int, str, str], list[tuple[int, Any, str]]] = defaultdict(list)
    for condition, realization, kind, decision, value, context in run.rows(_TOLD)[1]:
        told = json.loads(context)
        for question, answer in spelled_answers(kind, value, decision):
            for key, fact in told.items():
                every[condition, question, key].append((realization, fact, answer))
    found = (_shares(*of, rows, level) for of, rows in sorted(every.items()))
    return tuple(share for shares in found for share in shares)


def spelled_answers(kind: str, value: str | None, decision: int | None) -> Iterator[tuple[str, str]]:
    """Spell an answer that came: each field of a declared one by itself.

    Args:
        kind: The kind of question.
        value: The answer as JSON; None where it is a plain yes or no.
        decision: 1 yes, 0 no, None for neither.

    Examples:
        >>> [*spelled_answers("view", '{"act": "like", "sure": true}', None)]
        [('view: act', 'like'), ('view: sure', 'yes')]
    """
    plain = json.loads(value) if value is not None else None if decision is None else bool(decision)
    if not isinstance(plain, dict):
        yield kind, answer_in_words(plain)
        return
    for name, each in plain.items():
        yield f"{kind}: {name}", answer_in_words(each)


def answer_in_words(value: Any) -> str:  # noqa: ANN401 - of JSON
    """Spell a value of JSON for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shares(
    condition: int, question: str, key: str, rows: list[tuple[int, Any, str]], level: float
) -> Iterator[ContextShare]:
    answers = Counter(answer for *_, answer in rows)
    yes_or_no = set(answers) <= {"yes", "no"}
    if len(answers) > MOST_ANSWERS and not yes_or_no:
        return
    label = _labels([fact for _, fact, _ in rows])
    asked: dict[str, Counter[int]] = defaultdict(Counter)
    given: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for (realization, _, answer), value in zip(rows, label, strict=True):
        asked[value][realization] += 1
        given[value, answer][realization] += 1
    for answer in ("yes",) if yes_or_no else sorted(answers):
        for value in dict.fromkeys(sorted(label, key=in_order)):
            n = np.array([*asked[value].values()], np.float64)
            n_given = np.array([given[value, answer][number] for number in asked[value]], np.float64)
            share, low, high = mean_by_realization(n_given, n, level, OF_SHARES)
            yield ContextShare(
                condition, question, answer, key, value, share, low, high, int(n.sum()), n.size
            )


def mean_by_realization(
    sums: Array, n: Array, level: float, within: tuple[float, float] | None
) -> tuple[float, float, float]:
    """Average over answers, with an interval clustered by realization.

    Args:
        sums: The sum over the answers of each realization, shape ``(n_realizations,)``.
        n: How many these are, same shape.
        level: Of the interval, in (0, 1).
        within: Bounds of what is averaged; see `agentnet.analysis.contrasts.ends_of`.

    Returns:
        The mean, and the ends of its interval; these are NaN with one realization.
    """
    mean = float(sums.sum() / n.sum())
    if n.size < 2:
        return mean, float("nan"), float("nan")
    error = np.sqrt(n.size / (n.size - 1) * np.square(sums - mean * n).sum()) / n.sum()
    half = np.array([error * student_quantile(n.size - 1, level)])
    low, high = ends_of(np.array([mean]), half, within)
    return mean, float(low[0]), float(high[0])


def _labels(facts: list[Any]) -> list[str]:
    """Spell the values of a fact; many different numbers by the quarter in which they are."""
    different = set(map(answer_in_words, facts))
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in facts)
    if len(different) <= _MOST_VALUES:
        return [answer_in_words(each) for each in facts]
    if not numbers:
        kept = {value for value, _ in Counter(map(answer_in_words, facts)).most_common(_MOST_VALUES)}
        return [value if value in kept else "(others)" for value in map(answer_in_words, facts)]
    values = np.array(facts, np.float64)
    part = np.searchsorted(np.quantile(values, (0.25, 0.5, 0.75)), values)
    spans: Mapping[int, str] = {
        each: f"{values[part == each].min():.12g} to {values[part == each].max():.12g}"
        for each in np.unique(part).tolist()
    }
    return [spans[each] for each in part.tolist()]


def in_order(value: str) -> tuple[bool, float, str]:
    """Put numbers in order, and texts behind them."""
    try:
        return False, float(value.split(maxsplit=1)[0]), value
    except (ValueError, IndexError):
        return True, 0.0, value
