"""What agents were told and wrote beyond a news item, by the log: contexts, messages, changes, personas."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agentnet.events import Run
from agentnet.events.conditions import condition_of
from agentnet.report.figures.words import counted
from agentnet.report.part import table
from agentnet.report.tables import Table, as_named
from agentnet.streams import Streams

if TYPE_CHECKING:
    from agentnet.report.cascades import CascadePart
    from agentnet.report.worlds import WorldPart

_THESE: Final = "realization IN (SELECT value FROM json_each(?))"
_TOLD = f"SELECT EXISTS (SELECT 1 FROM exposures WHERE {_THESE})"  # noqa: S608 - our own
_CONTEXT = f"""
SELECT DISTINCT key FROM exposures, json_each(context) WHERE {_THESE} ORDER BY key
"""  # noqa: S608 - our own
_WRITTEN = f"""
SELECT realization, message, parent IS NOT NULL FROM messages WHERE author >= 0 AND {_THESE}
ORDER BY realization, message
"""  # noqa: S608 - our own
_MESSAGE = """
SELECT realization, message, step, author, parent, text FROM messages WHERE realization = ? AND message = ?
"""
_CHANGES = f"""
SELECT what, COUNT(*), COUNT(DISTINCT realization || ' ' || agent), COUNT(DISTINCT realization), MIN(step),
       MAX(step), MIN(CASE WHEN what = 'remarked' THEN detail END)
FROM changes WHERE {_THESE} GROUP BY what ORDER BY MIN(step), what
"""  # noqa: S608 - our own
_PEOPLE = f"""
SELECT COUNT(*), COUNT(persona), COUNT(DISTINCT persona), SUM(profile <> '') FROM agents WHERE {_THESE}
"""  # noqa: S608 - our own


@dataclass(frozen=True, slots=True)
class Change:
    """What happened beside answers, of one kind.

    Attributes:
        what: ``stopped``, ``removed``, ``follows``, ``remarked``, ...
        n: How often.
        n_agents: To how many agents, counted in each realization anew.
        n_realizations: In how many realizations.
        first: The first step of all.
        last: The last.
    """

    what: str
    n: int
    n_agents: int
    n_realizations: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Told:
    """What agents of some realizations were told.

    Attributes:
        context: Names of the facts that prompts used.
        n_messages: Messages that agents wrote.
        n_retold: Those of them that retell or answer another one.
        messages: Some of them: realization, message, step, author, parent, text.
        changes: What happened beside answers.
        remark: The first text that an intervention said beside messages; "" for none.
        n_agents: Agents of all realizations.
        n_personas: Those with a persona of their own.
        n_texts: Different personas.
        n_profiled: Agents with a profile.
    """

    context: tuple[str, ...] = ()
    n_messages: int = 0
    n_retold: int = 0
    messages: tuple[tuple[int, int, int, int, int | None, str], ...] = ()
    changes: tuple[Change, ...] = ()
    remark: str = ""
    n_agents: int = 0
    n_personas: int = 0
    n_texts: int = 0
    n_profiled: int = 0

    def change(self, what: str) -> Change | None:
        """Look up what happened, by its name."""
        return next((each for each in self.changes if each.what == what), None)


def read_told(run: Run, condition: int | None = None, *, n: int = 40, seed: int = 0) -> Told | None:
    """Read what agents were told in a condition, or in all of them.

    Args:
        run: The run.
        condition: Number of the condition; None for all.
        n: How many messages to read at most.
        seed: Fixes which.

    Returns:
        None where they were told no more than a news item.
    """
    with run.snapshot() as connection:
        of = condition_of(connection)
        these = json.dumps([number for number, own in of.items() if condition in (None, own)])

        def rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query, (these,)).fetchall()

        if not rows(_TOLD)[0][0]:
            return None
        written, changes = rows(_WRITTEN), rows(_CHANGES)
        order = Streams(seed).words("messages to read", count=len(written)).argsort(kind="stable")[:n]
        chosen = [written[place][:2] for place in sorted(order.tolist())]
        detail = next((each[-1] for each in changes if each[-1]), None)
        return Told(
            tuple(str(key) for (key,) in rows(_CONTEXT)),
            len(written),
            sum(retold for *_, retold in written),
            tuple(connection.execute(_MESSAGE, key).fetchone() for key in chosen),
            tuple(Change(*each[:-1]) for each in changes),
            "" if detail is None else str(json.loads(detail).get("text", "")),
            *(number or 0 for number in rows(_PEOPLE)[0]),
        )


@table("cascade_messages", of="cascades", section="decisions")
@table("world_messages", of="worlds", section="found")
def messages_table(part: CascadePart | WorldPart) -> Table | None:
    """List some of the messages that agents wrote; None where they wrote none, or may not be quoted."""
    told = part.told
    # Messages may retell news that may not be passed on.
    if told is None or not told.messages or any(each.text is None for each in part.facts.news):
        return None
    all_of = "All" if len(told.messages) == told.n_messages else f"{len(told.messages):,} of"
    return Table(
        name="messages",
        title="Messages that agents wrote",
        columns={
            **as_named("realization message step author"),
            "parent": "retells or answers",
            "text": "text",
        },
        rows=told.messages,
        notes=(f"{all_of} {counted(told.n_messages, 'message')} are shown, drawn by the report's seed.",),
    )


@table("cascade_changes", of="cascades", section="decisions")
@table("world_changes", of="worlds", section="found")
def changes_table(part: CascadePart | WorldPart) -> Table | None:
    """Count what happened beside answers; None where nothing did."""
    told = part.told
    if told is None or not told.changes:
        return None
    return Table(
        name="changes",
        title="What happened beside answers",
        columns={
            "what": "what",
            "n": "times",
            "n_agents": "agents",
            "n_realizations": "realizations",
            "first": "first step",
            "last": "last step",
        },
        rows=tuple(
            (each.what, each.n, each.n_agents, each.n_realizations, each.first, each.last)
            for each in told.changes
        ),
        notes=("Agents are counted in each realization anew.",),
    )


def personas_words(told: Told) -> str:
    """Say how many different personas there are; empty without any."""
    if not told.n_personas:
        return ""
    return (
        f"{counted(told.n_texts, 'different text')} told {told.n_personas:,} agents of all realizations who "
        "they are"
    )
