"""Make one log of those of a run's shards: SQLite copies rows, and only numbers of a log's own change.

The new log is made elsewhere, and gets its place once it is whole: who is killed meanwhile leaves none.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from agentnet.errors import RunFolderError, StorageError
from agentnet.events.checksums import BY_REALIZATION, Part, sealed
from agentnet.events.opening import create_log, locked
from agentnet.events.read import LOG_NAME, Run, connect_readonly
from agentnet.events.schema import SCHEMA_VERSION, TABLES, columns
from agentnet.events.spent import SpentSoFar, spent_so_far

_MAKING: Final = ".merging"

_ROOMY: Final = ("PRAGMA page_size = 32768", "VACUUM")
"""Has an empty log grow by larger pages: rows of each shard come between those of others, and split fewer."""

_ALIKE: Final = ("news", "questions")
"""Tables that the log of every shard holds whole."""

_SHARED: Final = {"networks": ("network", "edges"), "prompts": ("prompt", "hash")}
"""Tables with rows that several shards may have: what they are known by, and what they then must agree in."""

_NUMBERED: Final = {"replies": "reply", "troubles": "trouble", "incidents": "incident"}
"""Tables that a log numbers as rows come: those of a shard follow those of the shards before."""


def merge_logs(shards: Mapping[Path, Mapping[str, Any]], folder: Path, meta: Mapping[str, Any]) -> None:
    """Make the log of a run of those of its shards.

    Args:
        shards: The folders of all shards, each with a finished log, in order, and table ``meta`` of each.
        folder: The run folder, without a log yet.
        meta: Table ``meta`` of the run, less what a log gets as it is finished.

    Raises:
        RunFolderError: A shard is being played, the logs do not go together, or somebody else made one of
            them meanwhile.
        StorageError: The log cannot be written.
    """
    made = folder / _MAKING
    with ExitStack() as stack:
        for each in (folder, *shards):
            stack.enter_context(locked(each))
        if (folder / LOG_NAME).exists():
            raise RunFolderError(f"{folder}: somebody else made one log of its shards meanwhile")
        shutil.rmtree(made, ignore_errors=True)
        try:
            create_log(made, meta)
            path = made / LOG_NAME
            with _alone(path) as connection:
                for statement in _ROOMY:
                    connection.execute(statement)
                parts = [_add(connection, shard, its) for shard, its in shards.items()]
                _note(connection, shards)
            _seal(path, parts, list(shards.values()))
            path.replace(folder / LOG_NAME)
        except (sqlite3.Error, OSError, StorageError) as error:
            raise StorageError(
                f"{folder}: no log could be made of its shards, which are as they were ({error}); once there "
                "is room for it and it may be written, merge them again"
            ) from error
        finally:
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a log that nobody else knows of, and that is made anew if this process does not come to an end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode = DELETE", "journal_mode = OFF", "synchronous = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        yield connection


def _add(connection: sqlite3.Connection, shard: Path, meta: Mapping[str, Any]) -> Part:
    """Copy the rows of a shard."""
    connection.execute("ATTACH ? AS shard", (str(shard / LOG_NAME),))
    connection.execute("BEGIN")
    try:
        _check(connection, shard, meta)
        last = {
            table: connection.execute(f"SELECT COALESCE(MAX({key}), 0) FROM main.{table}").fetchone()[0]  # noqa: S608
            for table, key in _NUMBERED.items()
        }
        for table in TABLES:
            if table != "meta":
                connection.execute(_copying(table), {f"last_{key}": n for key, n in last.items()})
    except sqlite3.IntegrityError as error:
        raise RunFolderError(f"{shard} has rows that another shard has, too ({error})") from error
    connection.execute("COMMIT")
    mine = [number for (number,) in connection.execute("SELECT realization FROM shard.realizations")]
    connection.execute("DETACH shard")
    every = mine[1] - mine[0] if len(mine) > 1 else 1
    return Part(mine[0], mine[-1] + 1, every, last["replies"])


def _copying(table: str) -> str:
    names = columns(table)
    moved = {"reply": "replies"} if table == "events" else {}
    moved |= {_NUMBERED[table]: table} if table in _NUMBERED else {}
    values = [f"{name} + :last_{moved[name]}" if name in moved else name for name in names]
    otherwise = " OR IGNORE" if table in _SHARED or table in _ALIKE else ""
    return (
        f"INSERT{otherwise} INTO main.{table} ({', '.join(names)}) "  # noqa: S608 - our own names
        f"SELECT {', '.join(values)} FROM shard.{table}"
    )


def _check(connection: sqlite3.Connection, shard: Path, meta: Mapping[str, Any]) -> None:
    """Make sure that a shard is finished as `meta` says, and its rows go with those that were copied before.

    Raises:
        RunFolderError: They do not.
    """
    ends = connection.execute("SELECT key, value FROM shard.meta WHERE key IN ('status', 'finished_at')")
    end = {key: json.loads(value) for key, value in ends}
    if end != {"status": "finished", "finished_at": meta.get("finished_at")}:
        raise RunFolderError(f"{shard} is not finished, or was gone on with meanwhile")
    is_first = connection.execute("SELECT COUNT(*) FROM main.realizations").fetchone() == (0,)
    differ = [table for table in _ALIKE if not is_first and connection.execute(_differing(table)).fetchone()]
    differ += [
        table
        for table, (key, mark) in _SHARED.items()
        if connection.execute(
            f"SELECT 1 FROM shard.{table} s JOIN main.{table} m USING ({key}) "  # noqa: S608 - our own names
            f"WHERE s.{mark} <> m.{mark} LIMIT 1"
        ).fetchone()
    ]
    if differ:
        raise RunFolderError(
            f"{shard} has other {' and '.join(differ)} than the shards before it: it is a shard of another "
            "run, or something that the experiment reads changed meanwhile; play it again, with what they had"
        )


def _differing(table: str) -> str:
    here, there = f"SELECT * FROM main.{table}", f"SELECT * FROM shard.{table}"  # noqa: S608 - our own names
    return f"SELECT * FROM ({here} EXCEPT {there}) UNION ALL SELECT * FROM ({there} EXCEPT {here}) LIMIT 1"  # noqa: S608


def _note(connection: sqlite3.Connection, shards: Mapping[Path, Mapping[str, Any]]) -> None:
    """Note what all shards spent together, as the sitting of a run that ends does, and what was merged."""
    with ExitStack() as stack:
        logs = [stack.enter_context(closing(connect_readonly(shard / LOG_NAME))) for shard in shards]
        spent = [spent_so_far(log, is_over=True) for log in logs]
    merged = {shard.name: meta.get("digest") for shard, meta in shards.items()}
    for kind, detail in (("spent", _sum(spent)), ("merged", {"digests": merged})):
        row = (kind, json.dumps(detail), time.time())
        connection.execute("INSERT INTO incidents (kind, detail, at) VALUES (?, ?, ?)", row)


def _sum(spent: Sequence[SpentSoFar]) -> dict[str, object]:
    dollars = [each.dollars for each in spent]
    counts = {name: sum(getattr(each.use, name) for each in spent) for name in spent[0].use._fields}
    known = [each for each in dollars if each is not None]
    return {
        **counts,
        "dollars": sum(known) if len(known) == len(dollars) else None,
        "unmetered": sum(each.unmetered for each in spent),
        "unpriced": sum(each.unpriced for each in spent),
    }


def _seal(path: Path, parts: Sequence[Part], metas: Sequence[Mapping[str, Any]]) -> None:
    """Finish a log, and make sure that it is on the disk."""
    end = {"status": "finished", "finished_at": time.time()}
    rows = sealed(Run(path.parent), end, parts, _known(metas))
    with _alone(path) as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            [(key, json.dumps(value, ensure_ascii=False)) for key, value in rows.items()],
        )
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _known(metas: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Give the checksums that shards kept of what is copied as it is; none where columns came since."""
    if any(meta["schema_version"] != SCHEMA_VERSION or "checksums" not in meta for meta in metas):
        return {}
    return {table: [meta["checksums"]["tables"][table] for meta in metas] for table in BY_REALIZATION}
