"""Voices beside each other, such as people and models, as tables of cascades and of free worlds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from agentnet.analysis.by_voice import Voices
from agentnet.report.part import table
from agentnet.report.tables import Table, as_named, by_condition, known_interval

if TYPE_CHECKING:
    from agentnet.report.cascades import CascadePart
    from agentnet.report.worlds import WorldPart

_ANSWERS_NOTE: Final = (
    "Shares of yes are of answers that came. The time is the geometric mean of the seconds until an answer "
    "came, without those that nobody was waited for (from the cache, by a rule). Intervals are clustered by "
    "realization, with Student's t."
)
_AGREEMENT_NOTE: Final = (
    "Pairs are of agents who were asked the same: in one realization, at one step, about one message. By "
    "chance is what would agree if each voice gave its answers whatever was asked."
)


@table("voices_of_cascades", of="cascades", section="decisions")
def of_cascades(part: CascadePart) -> Table | None:
    """Tell what voices answered in cascades; None with one voice."""
    return answers_table(part.voices)


@table("voices_agreement_of_cascades", of="cascades", section="decisions")
def agreement_of_cascades(part: CascadePart) -> Table | None:
    """Tell how often voices agree in cascades; None with one voice."""
    return agreement_table(part.voices)


@table("voices_of_worlds", of="worlds", section="found")
def of_worlds(part: WorldPart) -> Table | None:
    """Tell what voices answered in free worlds; None with one voice."""
    return answers_table(part.voices, part.condition if part.facts.n_conditions > 1 else None)


@table("voices_agreement_of_worlds", of="worlds", section="found")
def agreement_of_worlds(part: WorldPart) -> Table | None:
    """Tell how often voices agree in free worlds; None with one voice."""
    return agreement_table(part.voices, part.condition if part.facts.n_conditions > 1 else None)


def answers_table(voices: Voices, named: Callable[[int], str] | None = None) -> Table | None:
    """Tell shares of yes and times to answer by voice; None with one voice.

    Args:
        voices: The voices.
        named: Names a condition; None where there is one.
    """
    columns = {
        **as_named("question voice"),
        "n": "answers",
        "n_missing": "missing",
        "share": "share of yes",
        "share_interval": "95% interval",
        "time_s": "time to answer (s)",
        "time_s_interval": "95% interval",
        "n_realizations": "realizations",
    }
    rows = (
        (
            *(each.condition, each.question, each.voice, each.n, each.n_missing),
            *(_or_none(each.share), known_interval(each.low, each.high)),
            *(_or_none(each.time_s), known_interval(each.time_low_s, each.time_high_s), each.n_realizations),
        )
        for each in voices.answers
    )
    found = by_condition("voices", "Answers by voice", columns, rows, named, (_ANSWERS_NOTE,))
    return None if found is None else found.without_empty_columns()


def agreement_table(voices: Voices, named: Callable[[int], str] | None = None) -> Table | None:
    """Tell how often agents of one voice, and of two, give the same answer; None where there are no pairs.

    Args:
        voices: The voices.
        named: Names a condition; None where there is one.
    """
    columns = {
        **as_named("question voice"),
        "other": "and",
        "share": "agree",
        "interval": "95% interval",
        "by_chance": "by chance",
        "n_pairs": "pairs",
        "n_realizations": "realizations",
    }
    rows = (
        (
            *(each.condition, each.question, *each.voices, each.share, known_interval(each.low, each.high)),
            *(each.by_chance, each.n_pairs, each.n_realizations),
        )
        for each in voices.agreement
    )
    return by_condition("voices_agreement", "Agreement by voice", columns, rows, named, (_AGREEMENT_NOTE,))


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
