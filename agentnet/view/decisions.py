"""Decisions as a page shows them: the ones that came last, those that are looked for, and one in full.

Pages go through a log in the order of its keys, from one key on: no page takes longer than the first, and a
search looks through a bounded part of the log at a time and says how far it came.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agentnet.errors import InputError, UserError
from agentnet.events import Run
from agentnet.view.tail import Key
from agentnet.vocabulary import NO, REASON, YES

N_SHOWN: Final = 50
"""Decisions of a page."""

N_LOOKED_THROUGH: Final = 10_000
"""Events that one search looks through."""

MISSING: Final = "missing"

_KEY: Final = ("realization", "kind", "step", "agent", "source", "repeat")
_PLACE: Final = ", ".join(f"e.{name}" for name in _KEY)
_SAME: Final = " AND ".join(f"{{0}}.{name} = e.{name}" for name in _KEY if name != "kind")
_ROWS: Final = f"""
SELECT {_PLACE}, e.decision, e.missing, e.value, e.temperature, e.at, e.latency_s, e.asks, e.attempts,
       e.cached, r.text, COALESCE(w.rationale, r.rationale, '') AS rationale, r.model, a.profile, a.persona,
       a.voice, n.id AS news, n.severity, z.condition
FROM events e
LEFT JOIN realizations z ON z.realization = e.realization
LEFT JOIN prompts p ON p.prompt = e.prompt
LEFT JOIN news n ON n.news = COALESCE(p.news, z.news)
LEFT JOIN agents a ON a.realization = e.realization AND a.agent = e.agent
LEFT JOIN replies r ON r.reply = e.reply
LEFT JOIN events x ON x.kind = '{REASON}' AND {_SAME.format("x")}
LEFT JOIN replies w ON w.reply = x.reply
WHERE e.kind <> '{REASON}' AND """  # noqa: S608 - our own
_ONE: Final = " AND ".join(f"e.{name} = ?" for name in _KEY)
_AFTER: Final = f"({_PLACE}) > (?, ?, ?, ?, ?, ?)"
_UP_TO: Final = f"({_PLACE}) <= (?, ?, ?, ?, ?, ?)"
_END: Final = f"""
SELECT {_PLACE} FROM events e WHERE {_AFTER} ORDER BY {_PLACE} LIMIT 1 OFFSET ?
"""  # noqa: S608 - our own
_IN_FULL: Final = f"""
SELECT p.messages, e.context, h.context, m.text, m.author, q.text
FROM events e
LEFT JOIN prompts p ON p.prompt = e.prompt
LEFT JOIN exposures h ON h.kind = e.kind AND {_SAME.format("h")}
LEFT JOIN messages m ON m.realization = h.realization AND m.message = h.message
LEFT JOIN questions q ON q.question = e.repeat AND p.prompt IS NULL
WHERE {_ONE}
"""  # noqa: S608 - our own
_TROUBLES: Final = f"""
SELECT trouble_kind, detail, text, at FROM troubles e WHERE {_ONE} ORDER BY trouble
"""  # noqa: S608 - our own
_TEXTS: Final = (
    "r.text",
    "r.rationale",
    "w.rationale",
    "e.value",
    "e.missing",
    "a.persona",
    "a.voice",
    "n.id",
)
ANSWERS: Final = {YES: "e.decision = 1", NO: "e.decision = 0", MISSING: "e.missing IS NOT NULL"}
_FIRST: Final = (-1, "", -1, -1, -(1 << 62), -1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for.

    Attributes:
        words: Each stands in a reply, a reason, a value, a persona, a voice or the news item's name.
        answer: yes, no or missing; "" for any.
        numbers: Column (realization, step, agent) -> what it is.
        kind: Kind of the event; "" for any.
    """

    words: tuple[str, ...] = ()
    answer: str = ""
    numbers: Mapping[str, int] = field(default_factory=dict)
    kind: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Wanted:
        """Read it from an address.

        Raises:
            UserError: It says what nobody can look for.
        """
        answer = query.get("answer", "")
        if answer and answer not in ANSWERS:
            raise UserError(f"there is no answer {answer!r:.40}; known: {', '.join(ANSWERS)}")
        numbers = {name: query[name] for name in ("realization", "step", "agent") if query.get(name)}
        wrong = [
            name
            for name, text in numbers.items()
            if not (text.isascii() and text.isdigit() and len(text) < 12)
        ]
        if wrong:
            raise UserError(f"{wrong[0]} is a number from 0 on")
        words = tuple(query.get("search", "")[:200].split()[:8])
        return cls(words, answer, {name: int(text) for name, text in numbers.items()}, query.get("kind", ""))

    def where(self) -> tuple[str, list[object]]:
        """Spell it for SQL, with its parameters."""
        terms, values = ["1"], list[object]()
        if self.answer:
            terms.append(ANSWERS[self.answer])
        for name, value in (*self.numbers.items(), *([("kind", self.kind)] if self.kind else [])):
            terms.append(f"e.{name} = ?")
            values.append(value)
        for word in self.words:
            terms.append("(" + " OR ".join(f"instr(lower({text}), lower(?))" for text in _TEXTS) + ")")
            values.extend([word] * len(_TEXTS))
        return " AND ".join(terms), values


def read_page(run: Run, wanted: Wanted, after: Key | None = None) -> dict[str, Any]:
    """Look through a part of a log.

    Args:
        run: The run.
        wanted: What is looked for.
        after: The key to begin behind; the beginning of the log without.

    Returns:
        ``rows``: up to `N_SHOWN` of what was found; ``after``: the key to go on behind, None at the end of
        the log; ``looked_through``: how many events were looked through at most.
    """
    start = after or _FIRST
    if "realization" in wanted.numbers:
        start = max(start, (wanted.numbers["realization"], *_FIRST[1:]))
    terms, values = wanted.where()
    with run.connection() as connection:
        end = connection.execute(
            _END,
            (*start, N_LOOKED_THROUGH - 1),
        ).fetchone()
        query = f"{_ROWS} {_AFTER} AND {_UP_TO if end else '1'} AND {terms} ORDER BY {_PLACE} LIMIT ?"
        found = list(_rows(connection, query, (*start, *(end or ()), *values, N_SHOWN)))
    if len(found) == N_SHOWN:
        end = [found[-1][name] for name in _KEY]
    return {"rows": found, "after": end, "looked_through": N_LOOKED_THROUGH}


def read_rows(connection: sqlite3.Connection, keys: Iterable[Key]) -> list[dict[str, Any]]:
    """Read some decisions by their keys."""
    return [row for key in keys for row in _rows(connection, _ROWS + _ONE, key)]


def _rows(connection: sqlite3.Connection, query: str, values: Iterable[object]) -> Iterator[dict[str, Any]]:
    cursor = connection.execute(query, tuple(values))
    names = [column[0] for column in cursor.description]
    for row in cursor.fetchall():
        yield dict(zip(names, row, strict=True))


def read_in_full(run: Run, key: Key) -> dict[str, Any]:
    """Read what was asked for a decision, and what it took.

    Returns:
        ``messages``: role and text of each message of the prompt; ``told``: other facts of it, by name;
        ``attempts``: each unusable reply or failed call before the answer.
    """
    with run.connection() as connection:
        row = connection.execute(_IN_FULL, key).fetchone()
        troubles = list(_rows(connection, _TROUBLES, key))
    if row is None:
        raise InputError("there is no such decision in the log", path=run.path)
    messages, *rest = row
    names = ("state of the model", "context", "message", "author of the message", "question")
    told = {name: text for name, text in zip(names, rest, strict=True) if text not in (None, "")}
    return {"messages": json.loads(messages) if messages else [], "told": told, "attempts": troubles}
