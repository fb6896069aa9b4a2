"""Voices beside each other, such as people and models, as tables of cascades and of free worlds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

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
@table("voices_of_worlds", of="worlds", section="found")
def answers_table(part: CascadePart | WorldPart) -> Table | None:
    """Tell shares of yes and times to answer by voice; None with one voice."""
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
        for each in part.voices.answers
    )
    found = by_condition("voices", "Answers by voice", columns, rows, part.naming(), (_ANSWERS_NOTE,))
    return None if found is None else found.without_empty_columns()


@table("voices_agreement_of_cascades", of="cascades", section="decisions")
@table("voices_agreement_of_worlds", of="worlds", section="found")
def agreement_table(part: CascadePart | WorldPart) -> Table | None:
    """Tell how often agents of one voice, and of two, give the same answer; None where there are no pairs."""
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
        for each in part.voices.agreement
    )
    return by_condition(
        "voices_agreement", "Agreement by voice", columns, rows, part.naming(), (_AGREEMENT_NOTE,)
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
