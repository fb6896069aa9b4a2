"""Answers by what agents were told, as a table of cascades and of free worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentnet.report.part import table
from agentnet.report.tables import Table, as_named, by_condition, known_interval

if TYPE_CHECKING:
    from agentnet.report.cascades import CascadePart
    from agentnet.report.worlds import WorldPart


_NOTES: Final = (
    (
        "Facts are those of contexts, as the log has them. Shares are of answers that came; intervals are of "
        "the logit, clustered by realization, with Student's t."
    ),
    (
        "Agents who read one value need not be like those who read another: who is asked again has refused "
        "before, for one. A share by context is no effect of it; laws take other columns beside it (agentnet "
        "fit RUN --law column_logistic --by FACT --by openness)."
    ),
)


@table("answers_by_context_of_cascades", of="cascades", section="decisions")
@table("answers_by_context_of_worlds", of="worlds", section="found")
def by_context_table(part: CascadePart | WorldPart) -> Table | None:
    """Tell shares of answers by the facts that agents were told; None where they were told none."""
    columns = {
        **as_named("question fact reads answer share"),
        "interval": "95% interval",
        "n": "answers",
        "n_realizations": "realizations",
    }
    rows = (
        (
            *(each.condition, each.question, each.key, each.value, each.answer, each.share),
            *(known_interval(each.low, each.high), each.n, each.n_realizations),
        )
        for each in part.by_context
    )
    return by_condition(
        "answers_by_context", "Answers by what agents were told", columns, rows, part.naming(), _NOTES
    )
