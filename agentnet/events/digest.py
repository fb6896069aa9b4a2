"""The digest of a run: a hash of what it decided, and of nothing that hangs on when, where or by whom."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from agentnet.vocabulary import ANSWER_KINDS, DECISION_KINDS, REASON

ROWS_AT_ONCE: Final = 250
_N_SPELLINGS: Final = 1 << 16
_SHORT: Final = 50

Rows = list[tuple[Any, ...]]


class Digested(NamedTuple):
    """Rows that are digested, in the order of their key.

    Attributes:
        columns: Names of what is digested of them; of events, less realization and kind.
        of: Where they stand, and their order; of events, no order.
        but: Kinds of events that are not meant; None: it is of no events.
    """

    columns: str
    of: str
    but: tuple[str, ...] | None = None


DECIDED: Final = Digested(
    "step, agent, source, repeat, temperature, decision, missing", "events", ANSWER_KINDS
)
AGENTS: Final = Digested("realization, agent, profile, engaged_step", "agents ORDER BY 1, 2")

_DIGESTED: Final = (
    Digested(
        "realization, news, repeat, network, status, initial_agent, last_step", "realizations ORDER BY 1"
    ),
    DECIDED,
    Digested(
        "realization, step, n_exposed, n_asked, n_decisions, n_yes, n_missing, n_engaged",
        "steps ORDER BY 1, 2",
    ),
    AGENTS,
    Digested("question, id, topic, text, answer", "questions ORDER BY 1"),
    Digested("realization, model, class, taught", "models ORDER BY 1, 2"),
    Digested("realization, step, model, interviewed, n_candidates", "interviews ORDER BY 1, 2, 3"),
    Digested(
        "step, agent, source, repeat, temperature, missing, context, text",
        "events LEFT JOIN replies USING (reply)",
        (*DECISION_KINDS, REASON),
    ),
    Digested("realization, step, model, n_pairs", "updates ORDER BY 1, 2, 3"),
    Digested(
        "realization, kind, step, agent, source, repeat, value",
        "events WHERE value IS NOT NULL ORDER BY 1, 2, 3, 4, 5, 6",
    ),
    Digested("*", "exposures ORDER BY 1, 2, 3, 4, 5, 6"),
    Digested("*", "messages ORDER BY 1, 2"),
    Digested("*", "changes ORDER BY 1, 2"),
    Digested("*", "measures ORDER BY 1, 2, 3, 4"),
    Digested(
        "realization, agent, persona, voice",
        "agents WHERE COALESCE(persona, voice) IS NOT NULL ORDER BY 1, 2",
    ),
)

# The key of events begins with these: each step is one look at its index, however many events there are.
_KINDS: Final = """
WITH RECURSIVE
numbers(realization) AS (
    SELECT MIN(realization) FROM events
    UNION ALL
    SELECT (SELECT MIN(realization) FROM events e WHERE e.realization > numbers.realization)
    FROM numbers WHERE realization IS NOT NULL
),
kinds(realization, kind) AS (
    SELECT realization, (SELECT MIN(kind) FROM events e WHERE e.realization = numbers.realization)
    FROM numbers
    UNION ALL
    SELECT realization,
           (SELECT MIN(kind) FROM events e WHERE e.realization = kinds.realization AND e.kind > kinds.kind)
    FROM kinds WHERE kind IS NOT NULL
)
SELECT realization, kind FROM kinds WHERE kind IS NOT NULL ORDER BY 1, 2
"""


def digest(
    connection: sqlite3.Connection,
    spelled: Callable[[sqlite3.Connection, Digested], Iterable[str]] | None = None,
) -> str:
    """Hash what the run decided; see `agentnet.events.read.Run.digest`.

    Args:
        connection: The log.
        spelled: Spells what is digested, for who reads more of the log on the way; default: `spelled_of`.
    """
    sha = hashlib.sha256()
    for digested in _DIGESTED:
        for text in (spelled or spelled_of)(connection, digested):
            sha.update(text.encode())
    return sha.hexdigest()


def spelled_of(connection: sqlite3.Connection, digested: Digested) -> Iterator[str]:
    """Read rows that are digested, and spell them one after the other."""
    columns, of, but = digested
    query = f"SELECT {columns} FROM {of}"  # noqa: S608 - our own names
    if but is None:
        yield from map(ByColumn(), batches(connection, query))
        return
    # Neither what is the same in so many rows is read with each, nor are those that are not meant.
    spell, kinds = ByColumn(), connection.execute(_KINDS).fetchall()
    query += " WHERE realization = :realization AND kind = :kind ORDER BY step, agent, source, repeat"
    for realization, kind in kinds:
        if kind not in but:
            for rows in batches(connection, query, realization=realization, kind=kind):
                yield spell(rows, f"{realization!r}, {kind!r}, ")


def batches(connection: sqlite3.Connection, query: str, **named: object) -> Iterator[Rows]:
    """Yield the rows of a query, some at a time."""
    cursor = connection.execute(query, named)
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        yield rows


class ByColumn:
    """Spells rows by their `repr`, in half of the time where columns hold few values again and again.

    Each column has its own spellings: within one, SQLite gives no 1 beside a 1.0, which Python finds equal.
    """

    def __init__(self) -> None:
        self._known: list[Callable[[object], str]] = []

    def __call__(self, rows: Rows, lead: str = "") -> str:
        """Spell `rows`, each with `lead` before its first value."""
        if not rows:
            return ""
        self._known.extend(_Spellings().__getitem__ for _ in rows[0][len(self._known) :])
        columns = map(map, self._known, zip(*rows, strict=True))
        return f"({lead}{f')({lead}'.join(map(', '.join, zip(*columns, strict=True)))})"


class _Spellings(dict[object, str]):
    """Value -> its `repr`, of short ones seen of late."""

    def __missing__(self, value: object) -> str:
        spelled = repr(value)
        if len(spelled) <= _SHORT:
            if len(self) == _N_SPELLINGS:
                self.clear()
            self[value] = spelled
        return spelled
