"""Which arms of a run of interacting models are compared, in what, and how sure the differences are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np

from agentnet.analysis.contrasts import ByRepeat, contrast, difference, trend
from agentnet.errors import InputError
from agentnet.report.interviews import (
    Arm,
    ArmContrast,
    Kind,
    Played,
    shared_overrides,
    spelling,
    to_leave_out,
)
from agentnet.report.log_facts import LogFacts
from agentnet.report.log_tables import in_words

Outcome = Callable[[Played, Sequence[int]], float | None]
"""From a realization, and the places of the questions that count, to a number."""

_FEWEST_FOR_TREND: Final = 3
"""Values of a knob from which on a trend is told; two are told by their difference."""


_OWN: Final = "; each repeat over its own questions"
"""What is said of contrasts between gaps that are not of the same questions."""


def settled(n_steps: int) -> int:
    """Say from which step on a system is taken to have settled: the last half of its steps counts."""
    return (n_steps + 1) // 2


def _gap(played: Played, questions: Sequence[int]) -> float | None:
    if played.gaps is None:
        return None
    return float(played.gaps[-1, questions].mean())


def _growth(played: Played, questions: Sequence[int]) -> float | None:
    if played.gaps is None or played.n_steps < 2:
        return None
    return float((played.gaps[-1, questions] - played.gaps[0, questions]).mean())


def _agreement(played: Played, _: Sequence[int]) -> float | None:
    if played.clusters is None or not played.clusters.agreement.size:
        return None
    return float(played.clusters.agreement[settled(played.n_steps) - 1 :].mean())


def _n_clusters(played: Played, _: Sequence[int]) -> float | None:
    if played.clusters is None or played.n_steps < 2:
        return None
    return float(played.clusters.n_clusters[settled(played.n_steps) :].mean())


def _movement(played: Played, _: Sequence[int]) -> float | None:
    if played.mirror is None or played.n_steps < 2:
        return None
    return float(np.abs(np.diff(played.mirror.curve))[settled(played.n_steps) - 1 :].mean())


OUTCOMES: Final[Mapping[str, tuple[str, Outcome]]] = {
    "gap": ("squared gap of the classes at the last step", _gap),
    "gap_growth": ("squared gap at the last step less that at step 0", _growth),
    "ari": ("mean ARI(t, t - 1) over the last half of the steps", _agreement),
    "n_clusters": ("mean number of clusters over the last half of the steps", _n_clusters),
    "mirror_movement": ("mean movement of the iso-mirror a step, over the last half of the steps", _movement),
}
"""What arms are compared in: name -> in words, and how a realization comes to it."""

_Compared = tuple[str, Kind, str, ByRepeat]


def contrasts_of(facts: LogFacts, arms: Sequence[Arm], level: float, seed: int) -> tuple[ArmContrast, ...]:
    """Compare the arms of a run, over their finished realizations.

    Arms that differ in one knob only are compared: by the trend if it takes three or more numbers, else each
    with the first. In what: the gap of classes where there are two, whose growth is also told for each arm;
    else in clusters and iso-mirror. Gaps are over the questions that no finished realization of the compared
    arms left out, else arms would differ by what was asked; where these are less than half, over each one's
    own, and the contrast says so.

    Args:
        facts: The run.
        arms: Its arms.
        level: Confidence level of intervals.
        seed: Fixes what is drawn.
    """
    found = []
    for outcome, kind, compared, values in _compared(facts, arms):
        if len(values) > 1:
            number = contrast(values, level=level, seed=seed)
            found.append(ArmContrast(outcome, kind, compared, number))
    return tuple(found)


def _compared(facts: LogFacts, arms: Sequence[Arm]) -> Iterator[_Compared]:
    with_classes = any(each.gaps is not None for arm in arms for each in arm.played)
    if with_classes:
        for arm in arms:
            left_out = to_leave_out(_finished([arm]))
            yield "gap_growth", "growth", arm.name + _over(left_out), _values(arm, "gap_growth", left_out)
    for outcome in ("gap",) if with_classes else ("ari", "n_clusters", "mirror_movement"):
        for knob, others, row in _rows(facts, arms):
            yield from _of_row(outcome, knob, others, row)


def _of_row(outcome: str, knob: str, others: str, row: Sequence[tuple[Any, Arm]]) -> Iterator[_Compared]:
    """Compare arms that differ in one knob, as far as they have come to anything."""
    done = [(value, arm) for value, arm in row if _finished([arm])]
    left_out = to_leave_out(_finished([arm for _, arm in done])) if outcome == "gap" else frozenset()
    name, at = knob.replace("_", " "), (f" ({others})" if others else "") + _over(left_out)
    every = [(value, _values(arm, outcome, left_out)) for value, arm in done]
    came = [(value, own) for value, own in every if own]
    # Arms without a common repeat can tell nothing yet.
    if len(came) >= _FEWEST_FOR_TREND and all(_is_number(value) for value, _ in row):
        knob_values = [value for value, _ in came]
        told = f"trend with {name}: {', '.join(map(in_words, knob_values))}{at}"
        with suppress(InputError):
            yield outcome, "trend", told, trend(knob_values, [own for _, own in came])
        return
    for value, own in came[1:]:
        first, of_first = came[0]
        told = f"{name} {in_words(value)} less {in_words(first)}{at}"
        with suppress(InputError):
            yield outcome, "difference", told, difference(own, of_first)


def _finished(arms: Sequence[Arm]) -> list[Played]:
    return [each for arm in arms for each in arm.played if each.finished]


def _over(left_out: frozenset[str] | None) -> str:
    return _OWN if left_out is None else ""


def _values(arm: Arm, outcome: str, left_out: frozenset[str] | None) -> dict[int, float]:
    compute = OUTCOMES[outcome][1]
    values = {each.repeat: compute(each, each.without(left_out or ())) for each in _finished([arm])}
    return {repeat: value for repeat, value in values.items() if value is not None}


def _rows(facts: LogFacts, arms: Sequence[Arm]) -> Iterator[tuple[str, str, list[tuple[Any, Arm]]]]:
    """Find arms that differ in one knob only: that knob, the others in words, and (value, arm) of each."""
    experiment = facts.meta["experiment"]
    shared = shared_overrides(experiment["conditions"])
    knobs = list(dict.fromkeys(key for each in experiment["conditions"] for key in each if key not in shared))
    for knob in knobs:
        rows: dict[str, list[tuple[Any, Arm]]] = {}
        for arm in arms:
            design = experiment["design"][arm.condition]
            others = {key: design[key] for key in knobs if key != knob}
            rows.setdefault(spelling(others), []).append((design[knob], arm))
        for fixed, row in rows.items():
            if len(row) > 1:
                numbers = all(_is_number(value) for value, _ in row)
                at = ", ".join(
                    f"{key.replace('_', ' ')} {in_words(value)}" for key, value in json.loads(fixed).items()
                )
                yield knob, at, sorted(row, key=lambda each: each[0]) if numbers else row


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
