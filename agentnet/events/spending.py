"""What a run took, as its report, its last lines and `agentnet show` tell it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, fields

from agentnet.events.spent import UNCOUNTED, SpentSoFar, Use, spent_so_far
from agentnet.vocabulary import OF_A_RULE

BY_RULES = f"SELECT reply FROM replies WHERE model GLOB '{OF_A_RULE}*'"  # noqa: S608 - our own
"""Replies that no model gave."""

_USE = f"""
SELECT COALESCE(SUM(cached), 0), COALESCE(SUM(asks = 0), 0), COALESCE(SUM(MAX(asks - 1, 0)), 0),
       AVG(took_s), MAX(took_s), MIN(at), MAX(at)
FROM (SELECT *, CASE WHEN cached = 0 AND (reply IS NULL OR reply NOT IN ({BY_RULES})) THEN latency_s END
             AS took_s FROM events)
"""  # noqa: S608 - our own


@dataclass(frozen=True, slots=True)
class Took:
    """What a run took, as its last lines need it: nothing but sums.

    Attributes:
        calls: Calls to the model, failed ones included.
        prompt_tokens: Tokens in.
        completion_tokens: Tokens out.
        dollars: US dollars; None if unknown.
        unmetered: Calls whose tokens were estimated, because the server did not count them.
        noted: Whether that is what the run itself noted at its end, not what its events add up to.
        recorded: Calls, tokens in and tokens out of the recorded answers alone; None where servers did not
            count the tokens of all of them.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None
    unmetered: int
    noted: bool
    recorded: Use | None

    @property
    def has_bounds(self) -> bool:
        """Whether tokens of calls without a recorded answer are part of it, at the most that they can be."""
        return self.recorded is not None and any(
            took > answered
            for took, answered in zip(
                (self.prompt_tokens, self.completion_tokens), self.recorded[1:], strict=True
            )
        )


@dataclass(frozen=True, slots=True)
class Spending(Took):
    """What a run took, and how its answers came about.

    Attributes:
        from_cache: Answers that were remembered and cost nothing.
        reused: Answers that an earlier one to the same question, by the same model as it was, stood in for.
        extra_asks: Questions that were asked again after unusable replies.
        mean_latency_s: Mean time from question to answer, of those that were no memory and no rule's; None
            without any.
        longest_latency_s: The longest, likewise.
    """

    from_cache: int
    reused: int
    extra_asks: int
    mean_latency_s: float | None
    longest_latency_s: float | None


def took_of(so_far: SpentSoFar, n_uncounted: int) -> Took:
    """Say what a run took, of which `UNCOUNTED` counts so many answers."""
    return Took(
        *so_far.use,
        dollars=so_far.dollars,
        unmetered=so_far.unmetered if so_far.is_noted else n_uncounted,
        noted=so_far.is_noted,
        recorded=None if n_uncounted else so_far.recorded,
    )


def read_spending(connection: sqlite3.Connection) -> tuple[Spending, float | None, float | None]:
    """Take the same, with what tells how answers came about; and when the first and the last came."""
    *how, first, last = connection.execute(_USE).fetchone()
    took = took_of(spent_so_far(connection), *connection.execute(UNCOUNTED).fetchone())
    return Spending(*(getattr(took, each.name) for each in fields(took)), *how), first, last


def cost_words(spent: Took) -> str:
    """Say what a run took."""
    money = "at an unknown price" if spent.dollars is None else f"for {spent.dollars:,.4f} US dollars"
    most = "at most " if spent.has_bounds else ""
    return f"{most}{use_words(spent.calls, spent.prompt_tokens, spent.completion_tokens)}, {money}"


def use_words(n_calls: int, n_asked: int, n_answered: int) -> str:
    """Say calls, tokens in and tokens out."""
    things = zip((n_calls, n_asked, n_answered), ("call", "prompt token", "completion token"), strict=True)
    calls, asked, answered = (f"{n:,} {thing}{'' if n == 1 else 's'}" for n, thing in things)
    return f"{calls}, {asked} and {answered}"
