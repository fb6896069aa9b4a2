"""The one thread that writes an event log.

Rows are handed over in groups; each commit takes what is there, up to `GROUP_ROWS` rows, so that many
waiting engines share one sync of the disk. The event loop never waits for the disk: it awaits a future.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from agentnet.errors import AgentnetError, InternalError, StorageError

Row = Sequence[object]


@dataclass(slots=True)
class Group:
    """Rows by statement, in the order they must be executed, and who waits for them."""

    rows: list[tuple[str, Iterable[Row]]] = field(default_factory=list)
    n_rows: int = 0
    waiter: asyncio.Future[None] | None = None


class Writer(threading.Thread):
    """Executes groups of rows in order, each in one transaction, until it is closed.

    Args:
        path: The SQLite file.
        group_rows: Rows a commit takes at most, beyond the first group's.
    """

    def __init__(self, path: Path, *, group_rows: int) -> None:
        super().__init__(name="agentnet-event-log", daemon=True)
        self._path = path
        self._group_rows = group_rows
        self._queue: SimpleQueue[Group | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self.error: AgentnetError | None = None
        self.start()

    def put(self, group: Group) -> None:
        """Hand over `group`; its waiter is told once it is on the disk, or what went wrong."""
        self._queue.put(group)

    def close(self) -> None:
        """Write what was handed over, then end the thread."""
        self._queue.put(None)
        self.join()

    def run(self) -> None:
        """Write until closed. After a failure nothing more is written: every waiter gets the error."""
        with closing(connect(self._path)) as connection:
            at_end = False
            while not at_end:
                groups, at_end = self._take()
                self._write(connection, groups)

    def _take(self) -> tuple[list[Group], bool]:
        """Wait for a group, then take along what else is waiting."""
        groups: list[Group] = []
        first = self._queue.get()
        if first is None:
            return groups, True
        groups.append(first)
        n_rows = first.n_rows
        while n_rows < self._group_rows:
            try:
                following = self._queue.get_nowait()
            except Empty:
                break
            if following is None:
                return groups, True
            groups.append(following)
            n_rows += following.n_rows
        return groups, False

    def _write(self, connection: sqlite3.Connection, groups: list[Group]) -> None:
        if self.error is None and groups:
            try:
                connection.execute("BEGIN IMMEDIATE")
                for group in groups:
                    for statement, rows in group.rows:
                        connection.executemany(statement, rows)
                connection.execute("COMMIT")
            except Exception as error:  # noqa: BLE001 - an error kept here would leave its waiters waiting
                self.error = _explain(self._path, error)
                if connection.in_transaction:
                    connection.rollback()
        for group in groups:
            if group.waiter is not None:
                self._loop.call_soon_threadsafe(_tell, group.waiter, self.error)


def connect(path: Path) -> sqlite3.Connection:
    """Open an event log for writing, in write-ahead mode where the file system allows it.

    Raises:
        StorageError: The file cannot be opened or written.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        raise storage_error(path, error) from error
    return connection


def storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    """Say what to do about a failure of SQLite."""
    return StorageError(
        f"{path}: the event log cannot be written ({error}); what was recorded before is safe: free disk  "
        "space or mend the folder's permissions, then resume the run"
    )


def _explain(path: Path, error: Exception) -> AgentnetError:
    if isinstance(error, sqlite3.OperationalError | sqlite3.DatabaseError):
        return storage_error(path, error)
    return InternalError(f"{path}: a row could not be recorded: {type(error).__name__}: {error}")


def _tell(waiter: asyncio.Future[None], error: AgentnetError | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
