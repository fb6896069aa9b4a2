"""The tables of an event log.

The file is SQLite: any program that reads SQLite reads it. `SCHEMA_VERSION` rises with every change of these
tables, and older logs stay readable (`READABLE`). Times are seconds since 1970 (UTC), tokens are counts,
booleans are 0/1. Texts stand as they came, but for halves of characters (unpaired surrogates), which UTF-8
cannot hold: they are spelled out, as ``\\ud83d``.

`events` is narrow, because it is written hundreds of thousands of times: texts that repeat stand once, in
`prompts` and `replies`. The view `decisions` joins them back to one record a decision, the view `answers` to
one record an answer of interacting models, each with the number of its condition; those models have
`questions`, `models`, `interviews` and `updates`. What they are told by system messages stands once, in
`meta` (``interviews``, by condition and model).

Where agents are told more than a news item, `exposures` says what: the message and the context of each
question. `messages` are the trees of what was passed on, `changes` what happened beside answers, `measures`
what a world measures of its agents.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from functools import cache
from typing import Final

SCHEMA_VERSION = 4

READABLE = range(2, SCHEMA_VERSION + 1)
"""Versions that can be read and gone on with: each adds tables, and columns at the end, which may be NULL."""

OF_PEOPLE: Final = "people"
"""What stands for the model's name where people answer."""

TABLES: dict[str, str] = {
    "meta": """
        key TEXT PRIMARY KEY,              -- versions, settings, experiment, status; once finished, digest
        value TEXT NOT NULL                -- JSON
    """,
    "news": """
        news INTEGER PRIMARY KEY,          -- 0, 1, ... in the order of the design
        id TEXT NOT NULL UNIQUE,           -- the item's own identifier
        severity INTEGER,                  -- 0 peaceful, 1 severe, NULL unknown
        hash TEXT NOT NULL,                -- SHA-256 of what matters to models and analysis
        text TEXT NOT NULL,
        item TEXT NOT NULL                 -- the whole item, JSON
    """,
    "prompts": """
        prompt INTEGER PRIMARY KEY,
        hash TEXT NOT NULL,                -- SHA-256 of the messages
        kind TEXT NOT NULL,                -- seed, exposure, ratio
        profile TEXT,                      -- five bits: O C E A N; NULL where agents have none
        news INTEGER REFERENCES news,      -- NULL where it is about none
        messages TEXT NOT NULL             -- JSON: [[role, content], ...]
    """,
    "networks": """
        network TEXT PRIMARY KEY,          -- SHA-256 of the neighbour lists
        name TEXT NOT NULL,                -- generator or file
        n_agents INTEGER NOT NULL,
        n_edges INTEGER NOT NULL,
        edges BLOB NOT NULL,               -- little-endian int32, n_edges pairs
        labels TEXT                        -- JSON list of the user's node names, or NULL
    """,
    "realizations": """
        realization INTEGER PRIMARY KEY,
        condition TEXT NOT NULL,           -- JSON: the design overrides of this condition
        news INTEGER REFERENCES news,      -- NULL where the experiment has none
        repeat INTEGER NOT NULL,
        network TEXT REFERENCES networks,  -- NULL where the experiment has none
        seed INTEGER NOT NULL,             -- the run seed
        status TEXT NOT NULL,              -- running, finished; unstarted: nobody said yes to start
        initial_agent INTEGER,
        last_step INTEGER,                 -- the last step that was played
        started_at REAL NOT NULL,
        finished_at REAL
    """,
    "agents": """
        realization INTEGER NOT NULL,
        agent INTEGER NOT NULL,
        profile TEXT NOT NULL,             -- five bits: O C E A N; empty where agents have none
        engaged_step INTEGER,              -- NULL: never engaged
        attributes TEXT,                   -- JSON: the agent's row of the node table; NULL without one
        persona TEXT,                      -- who it is told to be; NULL where its profile says so
        voice TEXT,                        -- who answers for it; NULL: the run's backend
        PRIMARY KEY (realization, agent)
    """,
    "steps": """
        realization INTEGER NOT NULL,
        step INTEGER NOT NULL,             -- 0 is the seeding
        n_exposed INTEGER NOT NULL,        -- unengaged agents with an engaged neighbour, at the step's start
        n_asked INTEGER NOT NULL,          -- agents who were asked
        n_decisions INTEGER NOT NULL,      -- decisions asked for, missing ones included
        n_yes INTEGER NOT NULL,
        n_missing INTEGER NOT NULL,
        n_engaged INTEGER NOT NULL,        -- after the step
        PRIMARY KEY (realization, step)
    """,
    "replies": """
        reply INTEGER PRIMARY KEY,
        text TEXT,                         -- as it came; NULL if none came
        rationale TEXT NOT NULL,
        model TEXT NOT NULL,               -- the model name as the server returned it
        fingerprint TEXT                   -- the server's mark of its configuration
    """,
    "events": """
        realization INTEGER NOT NULL,
        kind TEXT NOT NULL,                -- seed, exposure, ratio, reason; evaluation, interview
        step INTEGER NOT NULL,
        agent INTEGER NOT NULL,            -- who decides, or the model that answers
        source INTEGER NOT NULL,           -- the engaged neighbour, or the model that asks; -1 nobody
        repeat INTEGER NOT NULL,           -- of evaluation and interview: the question's number
        prompt INTEGER REFERENCES prompts, -- NULL where question and context make the prompt
        temperature REAL NOT NULL,
        decision INTEGER,                  -- 1 yes, 0 no, NULL missing (or no question of yes and no)
        missing TEXT,                      -- why: invalid, refused, content_filter, length, failed, ...
        reply INTEGER REFERENCES replies,
        prompt_tokens INTEGER,             -- over all asks
        completion_tokens INTEGER,         -- over all asks
        asks INTEGER NOT NULL,             -- 1, more after unusable replies, 0 if an answer was reused
        attempts INTEGER NOT NULL,         -- calls made, retries included
        cached INTEGER NOT NULL,
        latency_s REAL NOT NULL,
        at REAL NOT NULL,
        context TEXT,                      -- what of the model's state stood in the prompt
        mass REAL,                         -- mass on the allowed answers, where probabilities were used
        value TEXT,                        -- JSON: the answer, where it is more than yes or no
        PRIMARY KEY (realization, kind, step, agent, source, repeat)
    """,
    "exposures": """
        realization INTEGER NOT NULL,
        kind TEXT NOT NULL,
        step INTEGER NOT NULL,
        agent INTEGER NOT NULL,
        source INTEGER NOT NULL,
        repeat INTEGER NOT NULL,
        message INTEGER,                   -- the message that it is about; NULL for none
        context TEXT NOT NULL,             -- JSON: which facts the prompt used
        PRIMARY KEY (realization, kind, step, agent, source, repeat)
    """,
    "messages": """
        realization INTEGER NOT NULL,
        message INTEGER NOT NULL,          -- 0, 1, ...
        author INTEGER NOT NULL,           -- -1: it is news
        parent INTEGER,                    -- the message that it retells or answers; NULL for none
        step INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (realization, message)
    """,
    "changes": """
        realization INTEGER NOT NULL,
        change INTEGER NOT NULL,           -- 0, 1, ... in the order they happened
        step INTEGER NOT NULL,
        what TEXT NOT NULL,                -- stopped, removed, follows, unfollows, ...
        agent INTEGER NOT NULL,            -- to whom; -1: to all
        other INTEGER,                     -- whom it follows, and the like
        detail TEXT,                       -- JSON
        PRIMARY KEY (realization, change)
    """,
    "measures": """
        realization INTEGER NOT NULL,
        step INTEGER NOT NULL,
        name TEXT NOT NULL,
        agent INTEGER NOT NULL,            -- -1: of the whole
        value REAL,                        -- NULL: missing
        PRIMARY KEY (realization, step, name, agent)
    """,
    "questions": """
        question INTEGER PRIMARY KEY,      -- 0, 1, ... in the order of the bank
        id TEXT NOT NULL UNIQUE,           -- the question's own identifier
        topic TEXT NOT NULL,
        text TEXT NOT NULL,
        answer TEXT NOT NULL               -- the bank's own
    """,
    "models": """
        realization INTEGER NOT NULL,
        model INTEGER NOT NULL,
        class TEXT NOT NULL,
        taught TEXT NOT NULL,              -- JSON: numbers of the questions it is taught at step 0
        PRIMARY KEY (realization, model)
    """,
    "interviews": """
        realization INTEGER NOT NULL,
        step INTEGER NOT NULL,             -- from 1
        model INTEGER NOT NULL,            -- who asks
        interviewed INTEGER,               -- who answers; NULL: the model has no candidates at this step
        n_candidates INTEGER NOT NULL,
        PRIMARY KEY (realization, step, model)
    """,
    "updates": """
        realization INTEGER NOT NULL,
        step INTEGER NOT NULL,             -- 0 is what the model is taught at the start
        model INTEGER NOT NULL,
        n_pairs INTEGER NOT NULL,          -- questions with an answer; a missing answer teaches nothing
        measures TEXT NOT NULL,            -- JSON: what the update rule measured, such as a loss
        PRIMARY KEY (realization, step, model)
    """,
    "troubles": """
        trouble INTEGER PRIMARY KEY,
        realization INTEGER NOT NULL,
        kind TEXT NOT NULL,
        step INTEGER NOT NULL,
        agent INTEGER NOT NULL,
        source INTEGER NOT NULL,
        repeat INTEGER NOT NULL,
        trouble_kind TEXT NOT NULL,        -- of one unusable reply or failed attempt
        detail TEXT NOT NULL,
        text TEXT,                         -- the unusable reply, as it came
        at REAL NOT NULL
    """,
    "incidents": """
        incident INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,                -- started, resumed, stopped, finished, spent, in flight, ...
        detail TEXT NOT NULL,              -- JSON
        at REAL NOT NULL
    """,
}

# Their primary key is the order they are read in; the clustered form saves the second index.
_CLUSTERED = {
    *("meta", "agents", "steps", "events", "models", "interviews", "updates"),
    *("exposures", "messages", "changes", "measures"),
}

# Python's sqlite3 takes longer over None than over a number (0.4 us): usual rows are written without these.
USUALLY_NULL = {
    "events": ("missing", "context", "mass", "value"),
    "agents": ("engaged_step", "attributes", "persona", "voice"),
    "replies": ("fingerprint",),
}

_ATOM = "CASE type WHEN 'real' THEN printf('%!.17g', atom) ELSE ifnull(atom, '') END"
_SPELLED = f"(SELECT group_concat(fullkey || type || {_ATOM}, char(10)) FROM json_tree({{}}))"  # noqa: S608
"""SQL for JSON as a text that is the same however its characters were written down.

By itself SQLite writes 15 digits, in which two temperatures may be one.
"""

CONDITION_OF = f"""
SELECT realization, condition FROM (
    SELECT realization, CASE WHEN json_valid(condition) THEN {_SPELLED.format("condition")} END AS overrides,
           ROW_NUMBER() OVER (PARTITION BY condition, news, repeat ORDER BY realization) AS copy
    FROM realizations
) LEFT JOIN (
    SELECT one.key AS condition, {_SPELLED.format("one.value")} AS overrides,
           ROW_NUMBER() OVER (PARTITION BY {_SPELLED.format("one.value")} ORDER BY one.key) AS copy
    FROM json_each((SELECT json_extract(value, '$.conditions') FROM meta WHERE key = 'experiment')) one
) USING (overrides, copy)
"""  # noqa: S608 - our own
"""SQL for the number of each realization's condition; NULL where it is none of the run's.

Conditions with the same overrides are kept apart: of realizations of one news item and repeat, the first is
of the first of them, as they are numbered in the order of conditions and begun in that of their numbers.
"""

DECISIONS_VIEW = f"""
CREATE VIEW decisions AS
SELECT e.realization, e.kind, e.step, e.agent, e.source, e.repeat,
       COALESCE(NULLIF(a.profile, ''), p.profile) AS profile, n.id AS news, n.severity,
       p.hash AS prompt_hash, (SELECT json_extract(value, '$') FROM meta WHERE key = 'backend') AS backend,
       r.model, e.temperature, e.decision, e.missing, COALESCE(w.rationale, r.rationale, '') AS rationale,
       r.text, e.prompt_tokens, e.completion_tokens, e.asks, e.attempts, e.cached, e.latency_s, e.at,
       e.mass, c.condition, e.value, h.message, h.context, a.voice
FROM events e
LEFT JOIN ({CONDITION_OF}) c ON c.realization = e.realization
JOIN prompts p ON p.prompt = e.prompt
LEFT JOIN news n ON n.news = p.news
LEFT JOIN agents a ON a.realization = e.realization AND a.agent = e.agent
LEFT JOIN exposures h ON h.realization = e.realization AND h.kind = e.kind AND h.step = e.step
      AND h.agent = e.agent AND h.source = e.source AND h.repeat = e.repeat
LEFT JOIN replies r ON r.reply = e.reply
LEFT JOIN events x ON x.realization = e.realization AND x.kind = 'reason' AND x.step = e.step
      AND x.agent = e.agent AND x.source = e.source AND x.repeat = e.repeat
LEFT JOIN replies w ON w.reply = x.reply
WHERE e.kind <> 'reason'
"""  # noqa: S608 - our own

ANSWERS_VIEW = f"""
CREATE VIEW answers AS
SELECT e.realization, e.kind, e.step, e.agent AS model, m.class, e.source AS asker, q.question,
       q.id, q.topic, q.text AS asked, r.text AS answer, e.missing, e.context, e.temperature,
       r.model AS model_name, e.prompt_tokens, e.completion_tokens, e.asks, e.attempts, e.cached,
       e.latency_s, e.at, c.condition
FROM events e
LEFT JOIN ({CONDITION_OF}) c ON c.realization = e.realization
JOIN questions q ON q.question = e.repeat
JOIN models m ON m.realization = e.realization AND m.model = e.agent
LEFT JOIN replies r ON r.reply = e.reply
WHERE e.kind <> 'reason'
"""  # noqa: S608 - our own

VIEWS = {"decisions": DECISIONS_VIEW, "answers": ANSWERS_VIEW}

VIEW_ORDER = {
    "decisions": "ORDER BY realization, kind, step, agent, source, repeat",
    "answers": "ORDER BY realization, kind, step, model, asker, question",
}
"""The order of each view's key; tables come in it by themselves."""


def statements() -> list[str]:
    """List the statements that make an empty event log."""
    return [*map(_creation, TABLES), *VIEWS.values()]


def _creation(table: str) -> str:
    return f"CREATE TABLE {table} ({TABLES[table]}){' WITHOUT ROWID' if table in _CLUSTERED else ''}"


def columns(table: str) -> list[str]:
    """List the columns of `table`, in order.

    Examples:
        >>> columns("meta")
        ['key', 'value']
    """
    return list(_declared(table))


@cache
def _declared(table: str) -> dict[str, str]:
    """Give the declaration of each column of `table`: its name, type and constraints."""
    lines = (line.partition("--")[0].strip().rstrip(",") for line in TABLES[table].splitlines())
    return {line.split()[0]: line for line in lines if line and not line.startswith("PRIMARY KEY")}


def shadows(connection: sqlite3.Connection) -> list[str]:
    """List the statements that show an older log as one of this version to who reads by `connection`.

    There are none for a log with today's tables, columns and views.

    SQLite looks a name up among temporary views first: those of this version's tables that lack a column hide
    the log's own, and the log is not touched.
    """
    found = [_shadow(table, lacking) for table, lacking in lacking_of(connection).items()]
    there = {sql for (sql,) in connection.execute("SELECT sql FROM main.sqlite_master WHERE type = 'view'")}
    if found or not there >= {view.strip() for view in VIEWS.values()}:
        found += [view.replace("CREATE VIEW", "CREATE TEMP VIEW") for view in VIEWS.values()]
    return found


def unknown_columns(connection: sqlite3.Connection, lacking_by: Mapping[str, list[str]]) -> list[str]:
    """List columns that stand in the place of ours: what such a log lacks is not what an older one lacks."""
    return [
        f"column {name} of table {table}"
        for table, lacking in lacking_by.items()
        if lacking != columns(table)
        for (name,) in connection.execute(f"SELECT name FROM main.pragma_table_info('{table}')")  # noqa: S608
        if name not in columns(table)
    ]


def insert(verb: str, table: str, otherwise: str = "", *, lacking: Collection[str] = ()) -> str:
    """Spell the statement that inserts rows into a table, without some of its columns."""
    names = [name for name in columns(table) if name not in lacking]
    return f"{verb} INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}){otherwise}"


def _shadow(table: str, lacking: list[str]) -> str:
    nothing = ", ".join(f"NULL AS {name}" for name in lacking)
    if lacking == columns(table):
        return f"CREATE TEMP VIEW {table} AS SELECT {nothing} WHERE 0"
    return f"CREATE TEMP VIEW {table} AS SELECT *, {nothing} FROM main.{table}"  # noqa: S608 - our own


def migrations(connection: sqlite3.Connection) -> list[str]:
    """List the statements that turn an older log into one of this version, within one transaction."""
    return [
        *(f"DROP VIEW IF EXISTS {view}" for view in VIEWS),
        *(
            statement
            for table, lacking in lacking_of(connection).items()
            for statement in _additions(table, lacking)
        ),
        *_loosened(connection),
        *VIEWS.values(),
        f"UPDATE meta SET value = '{SCHEMA_VERSION}' WHERE key = 'schema_version'",  # noqa: S608 - our own
    ]


def _additions(table: str, lacking: list[str]) -> list[str]:
    if lacking == columns(table):
        return [_creation(table)]
    return [f"ALTER TABLE {table} ADD COLUMN {_declared(table)[name]}" for name in lacking]


def _loosened(connection: sqlite3.Connection) -> list[str]:
    """List the statements that make tables again whose columns must hold something in an older log alone."""
    return [
        statement
        for table in TABLES
        if (there := connection.execute(f"PRAGMA main.table_info({table})").fetchall())
        and any(
            must and "NOT NULL" not in _declared(table)[name] for _, name, _, must, _, key in there if not key
        )
        for statement in (
            f"ALTER TABLE {table} RENAME TO older_{table}",
            _creation(table),
            f"INSERT INTO {table} SELECT * FROM older_{table}",  # noqa: S608 - our own
            f"DROP TABLE older_{table}",
        )
    ]


def lacking_of(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Find the tables that an older log lacks, or has with fewer columns, and which those are."""
    there = set(connection.execute(_COLUMNS_THERE))
    lacking = {table: [name for name in columns(table) if (table, name) not in there] for table in TABLES}
    return {table: names for table, names in lacking.items() if names}


_COLUMNS_THERE = (
    "SELECT tables.name, columns.name FROM main.sqlite_master tables "
    "JOIN pragma_table_info(tables.name, 'main') columns WHERE tables.type = 'table'"
)
