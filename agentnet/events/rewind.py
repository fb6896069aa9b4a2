"""Take a log back to before its missing answers, so that a resumed run asks them again.

What follows from a missing answer goes with it: a cascade that goes on without a yes is another cascade. The
calls that were made stay on the bill.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from agentnet.errors import RunFolderError, StorageError
from agentnet.events.opening import connect, locked, storage_error
from agentnet.events.read import LOG_NAME, connect_readonly

_PARTIAL = f"{LOG_NAME}.partial"


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a realization is taken back to: its first step with a missing answer.

    Attributes:
        step: That step. Its answers stay, but for the missing ones; whatever is later goes.
        later_agents: Agents who were asked at step 0 after a missing answer, one by one: they go, too.
        before_evaluation: Whether the missing answer belongs to an interview, which the evaluation of the
            same step follows from.
    """

    step: int
    later_agents: Collection[int] = ()
    before_evaluation: bool = False

    def statements(self, number: int) -> Iterable[tuple[str, tuple[int, ...]]]:
        """Give what takes realization `number` back, and what it is executed with."""
        here, at_step = (number,), (number, self.step)
        yield "DELETE FROM events WHERE realization = ? AND (missing IS NOT NULL OR step > ?)", at_step
        for agent in self.later_agents:
            yield "DELETE FROM events WHERE realization = ? AND step = 0 AND agent = ?", (number, agent)
        yield "DELETE FROM steps WHERE realization = ? AND step >= ?", at_step
        yield "UPDATE agents SET engaged_step = NULL WHERE realization = ? AND engaged_step >= ?", at_step
        yield "DELETE FROM interviews WHERE realization = ? AND step > ?", at_step
        yield "DELETE FROM updates WHERE realization = ? AND step > ?", at_step
        for table in _PLAYED_AGAIN:
            yield f"DELETE FROM {table} WHERE realization = ?", here  # noqa: S608 - our own
        if self.before_evaluation:
            yield "DELETE FROM events WHERE realization = ? AND step = ? AND kind = 'evaluation'", at_step
            yield "DELETE FROM updates WHERE realization = ? AND step = ?", at_step
        for table in ("troubles", "exposures"):
            yield _WITHOUT_EVENT.format(table), here
        yield _RUNNING, here


_PLAYED_AGAIN = ("messages", "changes", "measures")
"""What a world says again from its beginning on, as it is sent what stands in the log."""

AT_THE_END = Cut(1 << 40)
"""Of a realization in which nothing follows from what is missing."""

_WITHOUT_EVENT = """
    DELETE FROM {0} WHERE realization = ? AND NOT EXISTS (
        SELECT 1 FROM events e WHERE e.realization = {0}.realization AND e.kind = {0}.kind
        AND e.step = {0}.step AND e.agent = {0}.agent AND e.source = {0}.source AND e.repeat = {0}.repeat
    )
"""
_RUNNING = """
    UPDATE realizations SET status = 'running', initial_agent = NULL, last_step = NULL, finished_at = NULL
    WHERE realization = ?
"""


_Statement = tuple[str, tuple[int, ...]]


def forget_missing(folder: Path, spent: Mapping[str, object]) -> None:
    """Remove the missing answers from a log; nothing may follow from any of them.

    Args:
        folder: The run folder.
        spent: What the run has spent so far; noted, for the calls behind what is removed count.

    Raises:
        RunFolderError: Another process is playing the run.
        StorageError: The log cannot be written.
    """
    path = folder / LOG_NAME
    with locked(folder), closing(connect(path)) as connection:
        affected = connection.execute("SELECT DISTINCT realization FROM events WHERE missing IS NOT NULL")
        statements: list[_Statement] = [(_RUNNING, (number,)) for (number,) in affected.fetchall()]
        statements.append(("DELETE FROM events WHERE missing IS NOT NULL", ()))
        _change(connection, path, statements, spent, {}, "asking again")


def fork(folder: Path, new: Path, cuts: Mapping[int, Cut], spent: Mapping[str, object]) -> None:
    """Copy a run's log into a new folder and take realizations of the copy back; the run stays as it is.

    Args:
        folder: The run folder.
        new: The folder to be made.
        cuts: Realization -> where it is taken back to; others stay whole.
        spent: What the run has spent so far.

    Raises:
        RunFolderError: `new` exists, or `folder` holds no readable log.
        StorageError: `new` cannot be written.
    """
    partial = new / _PARTIAL
    try:
        new.mkdir(parents=True)
        with closing(connect_readonly(folder / LOG_NAME)) as old, closing(_alone(partial)) as connection:
            old.backup(connection)
            statements = [line for number, cut in cuts.items() for line in cut.statements(number)]
            about = {"run": new.name, "forked_from": folder.name}
            _change(connection, partial, statements, spent, about, "forked")
        # Until it has its name it is no run: a half-made fork is none either.
        partial.replace(new / LOG_NAME)
    except FileExistsError:
        raise RunFolderError(f"{new} exists; remove it, or rename it") from None
    except sqlite3.Error as error:
        raise storage_error(partial, error) from error
    except OSError as error:
        raise StorageError(f"{new}: the run cannot be copied ({error.strerror})") from error


def _alone(path: Path) -> sqlite3.Connection:
    """Open a file that nobody else knows of yet."""
    return sqlite3.connect(path, isolation_level=None)


def _change(
    connection: sqlite3.Connection,
    path: Path,
    statements: Iterable[_Statement],
    spent: Mapping[str, object],
    about: Mapping[str, object],
    incident: str,
) -> None:
    """Change a log in one transaction, so that a kill leaves it as it was or as it is to be."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        rounds = connection.execute("SELECT value FROM meta WHERE key = 'asked_again'").fetchone()
        meta = {**about, "status": "running", "asked_again": 1 + (json.loads(rounds[0]) if rounds else 0)}
        for statement, values in statements:
            connection.execute(statement, values)
        connection.execute("DELETE FROM meta WHERE key IN ('finished_at', 'digest', 'checksums', 'pledged')")
        connection.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", [(key, json.dumps(meta[key])) for key in meta]
        )
        for kind, detail in (("spent", spent), (incident, about)):
            row = (kind, json.dumps(dict(detail)), time.time())
            connection.execute("INSERT INTO incidents (kind, detail, at) VALUES (?, ?, ?)", row)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise storage_error(path, error) from error
