"""Whether the cells of a log hold what their columns are declared to.

SQLite puts any value into any column. What another program, or a broken disk, left there would be a failure
of whoever reads it, or pass for a figure: a text adds up to 0.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from agentnet.errors import AgentnetError, RunFolderError
from agentnet.events.read import Run
from agentnet.events.schema import TABLES, columns

_MISFIT: Final = {
    "INTEGER": "{0} | 0 <> {0}",
    "REAL": "{0} >= ''",
    "TEXT": "{0} >= x''",
    "BLOB": "{0} < x''",
}
"""Type of a column -> SQL for a cell of another.

In SQL numbers stand before texts, and these before blobs; `typeof` takes four times as long.
"""

_JSON: Final = {
    **dict.fromkeys((("prompts", "messages"), ("networks", "labels"), ("models", "taught")), "array"),
    **dict.fromkeys((("news", "item"), ("realizations", "condition"), ("agents", "attributes")), "object"),
    **dict.fromkeys((("exposures", "context"), ("updates", "measures"), ("incidents", "detail")), "object"),
    **dict.fromkeys((("changes", "detail"), ("events", "value")), ""),
}
"""Columns of JSON -> what it is; ``""`` for any."""

_OF_PYTHON: Final[dict[type, str]] = {list: "array", dict: "object"}


def check_cells(run: Run) -> None:
    """Make sure that each cell holds what its column is declared to; one scan of the log.

    Raises:
        RunFolderError: One does not; names the columns.
    """
    with run.connection() as connection:
        connection.create_function("is_json", 2, _is_json, deterministic=True)
        wrong = [f"{table}.{name}" for table in TABLES for name in _misfits(connection, table)]
    if wrong:
        raise RunFolderError(
            f"{run.path} is damaged: {', '.join(wrong)} holds what no run writes there; go on with a copy of "
            "the run"
        )


def _misfits(connection: sqlite3.Connection, table: str) -> list[str]:
    """List columns of a table in which something else stands; of one that an older log lacks, none."""
    rows = connection.execute(f"PRAGMA main.table_info({table})").fetchall()
    looks = {name: _misfit(table, name, kind) for _, name, kind, *_ in rows if name in columns(table)}

    def is_anywhere(condition: str) -> bool:
        query = f"SELECT 1 FROM main.{table} WHERE {condition} LIMIT 1"  # noqa: S608 - our own names
        return connection.execute(query).fetchone() is not None

    if not looks or not is_anywhere(" OR ".join(looks.values())):
        return []
    return [name for name, look in looks.items() if is_anywhere(look)]


def _misfit(table: str, name: str, kind: str) -> str:
    """Spell the condition that a cell is none of its column's."""
    wrong = _MISFIT.get(kind, "0").format(name)
    if (table, name) == ("events", "decision"):
        return f"{wrong} OR {name} NOT IN (0, 1)"
    if (of := _JSON.get((table, name))) is None:
        return wrong
    is_other = f"json_type({name}) <> '{of}'" if of else "0"
    # SQLite knows no NaN in JSON, which a loss may be.
    return (
        f"{wrong} OR {name} IS NOT NULL AND "
        f"CASE WHEN json_valid({name}) THEN {is_other} ELSE NOT is_json({name}, '{of}') END"
    )


def _is_json(text: object, of: str) -> bool:
    try:
        return isinstance(text, str) and of in ("", _OF_PYTHON.get(type(json.loads(text))))
    except (ValueError, RecursionError):
        return False


@contextmanager
def blaming_cells(runs: Callable[[], Iterable[Run]]) -> Iterator[None]:
    """Look at the cells of runs where the body fails by a mistake; for who is too quick to look before."""
    try:
        yield
    except AgentnetError:
        raise
    except Exception:
        for run in runs():
            check_cells(run)
        raise
