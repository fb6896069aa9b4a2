"""What those who answer by one voice do otherwise than those of another, such as people and language models.

Three things are compared: how often they say yes, how long they take, and whether those who were asked the
same give the same answer. The same is: in one realization, by one kind of question, at one step, about one
message. Intervals are clustered by realization, as in `agentnet.analysis.by_context`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Final

import numpy as np

from agentnet.analysis.by_context import MOST_ANSWERS, in_order, mean_by_realization, spelled_answers
from agentnet.analysis.contrasts import OF_SHARES
from agentnet.analysis.fitting import checked_level
from agentnet.events import Run
from agentnet.events.conditions import Condition
from agentnet.events.schema import CONDITION_OF
from agentnet.vocabulary import REASON

_VOICES = "SELECT COUNT(DISTINCT voice) FROM agents"
_ANSWERS = f"""
SELECT c.condition, e.realization, e.kind, e.step, h.message, a.voice, e.decision, e.value, e.missing,
       CASE WHEN e.cached = 0 AND e.asks > 0 THEN e.latency_s END
FROM events e JOIN realizations r USING (realization) JOIN ({CONDITION_OF}) c USING (realization)
JOIN agents a ON a.realization = e.realization AND a.agent = e.agent
LEFT JOIN exposures h ON h.realization = e.realization AND h.kind = e.kind AND h.step = e.step
     AND h.agent = e.agent AND h.source = e.source AND h.repeat = e.repeat
WHERE r.status = 'finished' AND e.kind <> '{REASON}' AND a.voice IS NOT NULL
      AND (?1 IS NULL OR c.condition = ?1)
"""  # noqa: S608 - our own

_YES: Final = {"yes", "no"}


@dataclass(frozen=True, slots=True)
class VoiceAnswers:
    """What agents of one voice answered to one question.

    Attributes:
        condition: Number of the condition.
        question: The kind of question, and the field of a declared answer.
        voice: The voice.
        n: Answers that came.
        n_missing: Answers that did not.
        n_realizations: Realizations with an answer that came.
        share: Share of yes among those that came, in [0, 1]; NaN where answers are others than yes and no.
        low: Lower end of its interval; NaN with one realization, or where all or none said yes.
        high: Upper end.
        time_s: Geometric mean of the seconds until an answer came, over those that were waited for: no
            cached ones, and none of a rule. NaN without any.
        time_low_s: Lower end of its interval; NaN with one realization.
        time_high_s: Upper end.
        n_timed: Answers that it is of.
    """

    condition: int
    question: str
    voice: str
    n: int
    n_missing: int
    n_realizations: int
    share: float
    low: float
    high: float
    time_s: float
    time_low_s: float
    time_high_s: float
    n_timed: int


@dataclass(frozen=True, slots=True)
class VoiceAgreement:
    """How often two agents who were asked the same gave the same answer.

    Attributes:
        condition: Number of the condition.
        question: The kind of question, and the field of a declared answer.
        voices: The voices of the two, twice the same for agents of one.
        share: Share of the pairs that agree, in [0, 1].
        low: Lower end of its interval; NaN with one realization, or where all or none agree.
        high: Upper end.
        by_chance: Share that would agree if each voice gave its answers whatever was asked: the sum over
            answers of the product of both voices' shares (Cohen 1960; within a voice Scott 1955).
        n_pairs: Pairs.
        n_realizations: Realizations that they are of.
    """

    condition: int
    question: str
    voices: tuple[str, str]
    share: float
    low: float
    high: float
    by_chance: float
    n_pairs: int
    n_realizations: int


@dataclass(frozen=True, slots=True)
class Voices:
    """Voices compared.

    Attributes:
        answers: By condition, question and voice.
        agreement: By condition, question and pair of voices; of questions whose answers are few or numbers.
    """

    answers: tuple[VoiceAnswers, ...] = ()
    agreement: tuple[VoiceAgreement, ...] = ()


class _Asked:
    """The answers to one question in one condition, counted as they are read."""

    def __init__(self) -> None:
        self.n_missing: Counter[str] = Counter()
        self.given: dict[str, dict[int, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self.together: dict[tuple[int, int, int | None], dict[str, Counter[str]]] = defaultdict(
            lambda: defaultdict(Counter)
        )
        self.log_times: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, realization: int, step: int, message: int | None, voice: str, answer: str) -> None:
        self.given[voice][realization][answer] += 1
        self.together[realization, step, message][voice][answer] += 1

    def answers(self, condition: int, question: str, level: float) -> Iterator[VoiceAnswers]:
        different = self._different()
        for voice in sorted({*self.given, *self.n_missing}):
            of = self.given[voice]
            n = np.array([sum(each.values()) for each in of.values()], np.float64)
            yes = np.array([each["yes"] for each in of.values()], np.float64)
            is_share = n.size > 0 and different <= _YES
            times = self.log_times[voice].values()
            n_timed = np.array([len(each) for each in times], np.float64)
            sums = np.array([math.fsum(each) for each in times])
            share, low, high = mean_by_realization(yes, n, level, OF_SHARES) if is_share else _NOT_KNOWN
            of_times = mean_by_realization(sums, n_timed, level, None) if n_timed.size else _NOT_KNOWN
            time_s, time_low_s, time_high_s = map(math.exp, of_times)
            yield VoiceAnswers(
                condition=condition,
                question=question,
                voice=voice,
                n=int(n.sum()),
                n_missing=self.n_missing[voice],
                n_realizations=n.size,
                share=share,
                low=low,
                high=high,
                time_s=time_s,
                time_low_s=time_low_s,
                time_high_s=time_high_s,
                n_timed=int(n_timed.sum()),
            )

    def agreement(self, condition: int, question: str, level: float) -> Iterator[VoiceAgreement]:
        different = self._different()
        if len(different) > MOST_ANSWERS and any(in_order(each)[0] for each in different):
            return
        for one, other in combinations_with_replacement(sorted(self.given), 2):
            agree: Counter[int] = Counter()
            pairs: Counter[int] = Counter()
            for (realization, *_), by_voice in self.together.items():
                alike, n = _pairs(by_voice.get(one, _NONE), by_voice.get(other, _NONE), one == other)
                agree[realization] += alike
                pairs[realization] += n
            of = [realization for realization, n in pairs.items() if n]
            if of:
                sums, n_pairs = (
                    np.array([counts[each] for each in of], np.float64) for counts in (agree, pairs)
                )
                share = mean_by_realization(sums, n_pairs, level, OF_SHARES)
                chance = _by_chance(self._shares(one), self._shares(other))
                yield VoiceAgreement(
                    condition, question, (one, other), *share, chance, int(n_pairs.sum()), len(of)
                )

    def _different(self) -> set[str]:
        return {answer for of in self.given.values() for counts in of.values() for answer in counts}

    def _shares(self, voice: str) -> Mapping[str, float]:
        every: Counter[str] = sum(self.given[voice].values(), Counter())
        return {answer: n / every.total() for answer, n in every.items()}


_NONE: Final[Counter[str]] = Counter()
_NOT_KNOWN: Final = (math.nan, math.nan, math.nan)


def answers_by_voice(run: Run, level: float = 0.95, *, condition: int | None = None) -> Voices:
    """Compare the voices of the finished realizations of a run.

    Args:
        run: The run.
        level: Of the intervals, in (0, 1).
        condition: Number of the condition; all unless given.

    Returns:
        Nothing where all agents have one voice.

    Raises:
        DesignError: The level is out of range.
        UserError: There is no such condition.
    """
    checked_level(level)
    if condition is not None:
        Condition.chosen(run.meta, run.folder, condition)
    if run.rows(_VOICES)[1][0][0] < 2:
        return Voices()
    every: dict[tuple[int, str], _Asked] = defaultdict(_Asked)
    missing: Counter[tuple[int, str, str]] = Counter()
    rows = run.rows(_ANSWERS, (condition,))[1]
    for number, realization, kind, step, message, voice, decision, value, why, time_s in rows:
        if why is not None:
            missing[number, kind, voice] += 1
            continue
        for question, answer in spelled_answers(kind, value, decision):
            asked = every[number, question]
            asked.add(realization, step, message, voice, answer)
            if time_s:
                asked.log_times[voice][realization].append(math.log(time_s))
    for (number, kind, voice), n in missing.items():
        # A declared answer that did not come is missing in each of its fields.
        asked_of = [each for of, each in every if of == number and each.partition(": ")[0] == kind]
        for question in asked_of or [kind]:
            every[number, question].n_missing[voice] = n
    found = sorted(every.items())
    return Voices(
        tuple(each for of, asked in found for each in asked.answers(*of, level)),
        tuple(each for of, asked in found for each in asked.agreement(*of, level)),
    )


def _pairs(one: Counter[str], other: Counter[str], are_same: bool) -> tuple[int, int]:
    """Count the pairs of agents that agree, and all of them."""
    if are_same:
        return sum(n * (n - 1) // 2 for n in one.values()), math.comb(one.total(), 2)
    return sum(n * other[answer] for answer, n in one.items()), one.total() * other.total()


def _by_chance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return math.fsum(share * other.get(answer, 0.0) for answer, share in one.items())
