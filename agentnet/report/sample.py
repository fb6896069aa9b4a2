"""Decisions to browse: a sample that anybody can draw again, with as many yes, no and missing answers.

Every decision of the run has a random number keyed by its place in the log and by the report's seed; of each
answer those with the smallest numbers are shown. If an answer was given less often than its share of the
sample, the others take its places.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.decisions import Decisions, read_decisions
from agentnet.events import Run
from agentnet.streams import Streams

ANSWERS: Final = {1: "yes", 0: "no", -1: "missing"}
"""Answers by the number that tables have for them."""

_REPEAT = """
SELECT repeat FROM events JOIN prompts USING (prompt)
WHERE realization = ? AND events.kind = ? AND step = ? AND agent = ? AND source = ?
ORDER BY repeat LIMIT 1 OFFSET ?
"""
_SHOWN = """
SELECT d.realization, d.kind, d.step, d.agent, d.source, COALESCE(d.profile, ''), d.news, severity,
       d.temperature, d.decision, d.missing, rationale, COALESCE(text, ''), model, messages
FROM json_each(?) j CROSS JOIN decisions d
CROSS JOIN events e USING (realization, kind, step, agent, source, repeat)
JOIN prompts p ON p.prompt = e.prompt
WHERE d.realization = json_extract(j.value, '$[0]') AND d.kind = json_extract(j.value, '$[1]')
  AND d.step = json_extract(j.value, '$[2]') AND d.agent = json_extract(j.value, '$[3]')
  AND d.source = json_extract(j.value, '$[4]') AND d.repeat = json_extract(j.value, '$[5]')
ORDER BY j.key
"""


@dataclass(frozen=True, slots=True)
class ShownDecision:
    """One decision with its words.

    Attributes:
        realization: Number of the realization.
        kind: ``exposure``, ``seed`` or ``ratio``.
        step: Step.
        agent: Who decided.
        source: The engaged neighbour; -1 nobody.
        profile: Five bits; "" where agents have none.
        news: Name of the news item.
        severity: 0, 1 or None.
        temperature: Sampling temperature.
        decision: 1 yes, 0 no, None missing.
        missing: Why it is missing.
        rationale: The model's reason.
        text: The reply as it came.
        model: The model name as returned.
        messages: The prompt as it was sent: (role, content) pairs.
    """

    realization: int
    kind: str
    step: int
    agent: int
    source: int
    profile: str
    news: str
    severity: int | None
    temperature: float
    decision: int | None
    missing: str | None
    rationale: str
    text: str
    model: str | None
    messages: tuple[tuple[str, str], ...]

    @property
    def answer(self) -> str:
        """``yes``, ``no`` or ``missing``."""
        return ANSWERS[-1 if self.decision is None else self.decision]


@dataclass(frozen=True, slots=True)
class Sample:
    """Decisions to browse.

    Attributes:
        decisions: The sample, in the order of the log.
        n_of: Decisions that it was drawn from, by answer.
        n_shown: Decisions in it, by answer.
        seed: What fixed it.
    """

    decisions: tuple[ShownDecision, ...]
    n_of: dict[str, int]
    n_shown: dict[str, int]
    seed: int


def sample_decisions(
    run: Run, kind: str, *, n: int, seed: int, realizations: NDArray[np.int64] | None = None
) -> Sample:
    """Draw decisions to browse.

    Args:
        run: The run.
        kind: ``exposure``, ``seed`` or ``ratio``.
        n: How many at most.
        seed: Fixes the choice, together with each decision's place in the log.
        realizations: Numbers of the realizations to draw from; all if None.
    """
    every = read_decisions(run, kind)
    place = _occurrence(every)
    among = np.ones(place.shape, bool) if realizations is None else np.isin(every.realization, realizations)
    chosen = _chosen(every, place, among, n=n, seed=seed)
    with run.snapshot() as connection:
        found = (_key(every, kind, place, row) for row in chosen.tolist())
        keys = [(*key[:-1], *connection.execute(_REPEAT, key).fetchone()) for key in found]
        # All in one: for each question anew, the view would gather the conditions of the whole run.
        rows = connection.execute(_SHOWN, (json.dumps(keys),)).fetchall()
    return Sample(
        decisions=tuple(ShownDecision(*(*row[:-1], _messages(row[-1]))) for row in rows),
        n_of={name: int((every.decision[among] == code).sum()) for code, name in ANSWERS.items()},
        n_shown={name: int((every.decision[chosen] == code).sum()) for code, name in ANSWERS.items()},
        seed=seed,
    )


def _messages(asked: str) -> tuple[tuple[str, str], ...]:
    return tuple((str(role), str(text)) for role, text in json.loads(asked))


def _key(every: Decisions, kind: str, place: NDArray[np.int64], row: int) -> tuple[int | str, ...]:
    where = (int(each[row]) for each in (every.step, every.agent, every.source, place))
    return (int(every.realization[row]), kind, *where)


def _occurrence(every: Decisions) -> NDArray[np.int64]:
    """Count how many of the same agent, step and source came before: the log orders them by their repeat."""
    keys = (every.realization, every.step, every.agent, every.source)
    row = np.arange(every.decision.size, dtype=np.int64)
    is_first = np.ones(row.shape, dtype=bool)
    is_first[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return row - np.maximum.accumulate(np.where(is_first, row, 0))


def _chosen(
    every: Decisions, place: NDArray[np.int64], among: NDArray[np.bool_], *, n: int, seed: int
) -> NDArray[np.int64]:
    """Choose rows, in the order of the log."""
    rank = _rank(every, place, seed)
    rows = {code: np.flatnonzero((every.decision == code) & among) for code in ANSWERS}
    shares = _shares([each.size for each in rows.values()], n)
    kept = [
        each[np.argsort(rank[each], kind="stable")[:share]]
        for each, share in zip(rows.values(), shares, strict=True)
    ]
    return np.sort(np.concatenate(kept))


def _rank(every: Decisions, place: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Give each decision a random number by its place in the log."""
    keys = (every.realization, every.step, every.agent, every.source + 1, place)
    rank = np.zeros(place.shape, dtype=np.uint64)
    for number, key in enumerate(keys):
        with np.errstate(over="ignore"):
            position = rank + np.asarray(key, dtype=np.uint64)
        rank = Streams(seed).words_at("decisions to browse", number, at=position)
    return rank


def _shares(sizes: list[int], n: int) -> list[int]:
    """Share `n` places out as evenly as sizes allow.

    Examples:
        >>> _shares([5, 100, 0], 30)
        [5, 25, 0]
        >>> _shares([100, 100, 100], 10)
        [3, 3, 4]
    """
    shares, left = [0] * len(sizes), n
    for n_served, i in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        shares[i] = min(sizes[i], left // (len(sizes) - n_served))
        left -= shares[i]
    return shares
