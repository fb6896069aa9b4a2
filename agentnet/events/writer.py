"""The one thread that writes an event log.

Rows are handed over in groups; each commit takes what is there, about `group_rows` rows, so that many
waiting engines share one sync of the disk. The event loop never waits for the disk: it awaits a future.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, count, islice, repeat
from pathlib import Path
from queue import Empty, SimpleQueue

from agentnet.errors import AgentnetError, InternalError, StorageError
from agentnet.events.read import primary_code

Row = Sequence[object]

# Without write-ahead whoever reads keeps the writer waiting, and an export reads for a while.
_PATIENCE_S = 120.0

# What a row that cannot be stored raises; anything else that SQLite raises is the file's or the disk's fault.
_OF_A_ROW = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    TypeError,
    ValueError,
)

# Bound values of a statement, which every SQLite takes; more are no faster.
_PLACES = 900

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of one table as columns, which take a fraction of the time and memory of a tuple each.

    Attributes:
        n_rows: Number of rows.
        columns: A sequence of the values of each column, or `itertools.repeat` of one that all rows have.
    """

    n_rows: int
    columns: Sequence[Iterable[object]]

    def __len__(self) -> int:
        return self.n_rows

    def __iter__(self) -> Iterator[Row]:
        return zip(*self.columns, strict=False)


Rows = Sequence[Row] | Columns


@dataclass(slots=True)
class Group:
    """Rows by statement, in the order they must be executed, and who waits for them."""

    rows: list[tuple[str, Rows]] = field(default_factory=list)
    n_rows: int = 0
    waiter: asyncio.Future[None] | None = None


class Writer(threading.Thread):
    """Executes groups of rows in order, each in one transaction, until it is closed.

    Args:
        path: The SQLite file.
        connection: A connection to it by `connect`; closed in the end.
        group_rows: Rows a commit takes at most, beyond the first group's.

    Attributes:
        error: The first thing that went wrong; None so far.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, group_rows: int) -> None:
        super().__init__(name="agentnet-event-log", daemon=True)
        self._path = path
        self._connection = connection
        self._group_rows = group_rows
        self._queue: SimpleQueue[Group | None] = SimpleQueue()
        self.error: AgentnetError | None = None
        self.start()

    def put(self, group: Group) -> None:
        """Hand over `group`; its waiter is told once it is on the disk, or what went wrong."""
        self._queue.put(group)

    def close(self) -> None:
        """Write what was handed over, then end the thread; can be called again."""
        self._queue.put(None)
        self.join()

    def run(self) -> None:
        """Write until closed. Once the disk fails nothing more is written: every waiter gets the error."""
        usable, at_end = True, False
        with closing(self._connection):
            while not at_end:
                groups, at_end = self._take()
                usable = usable and self._write(groups)
                for group in groups:
                    if group.waiter is not None:
                        _answer(group.waiter, self.error)

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

    def _write(self, groups: list[Group]) -> bool:
        """Commit `groups`, or at least every row of them that can be stored; say whether to go on."""
        try:
            try:
                self._commit(groups, self._all_at_once)
            except _OF_A_ROW:
                self._commit(groups, self._one_by_one)
        except Exception as error:  # noqa: BLE001 - an error kept here would leave its waiters waiting
            self.error = _explain(self._path, error)
            return False
        return True

    def _commit(self, groups: list[Group], execute: Callable[[str, Rows], object]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for group in groups:
                for statement, rows in group.rows:
                    execute(statement, rows)
            self._connection.execute("COMMIT")
        except BaseException:
            # A full disk ends some transactions by itself.
            if self._connection.in_transaction:
                self._connection.rollback()
            raise

    def _all_at_once(self, statement: str, rows: Rows) -> None:
        for of_many, values in _by_many(statement, rows):
            self._connection.executemany(of_many, values)

    def _one_by_one(self, statement: str, rows: Rows) -> None:
        """Execute what a bad row has stopped: answers that were paid are not lost with it."""
        for row in rows:
            try:
                self._connection.execute(statement, storable(row))
            except _OF_A_ROW as error:
                self.error = self.error or unrecordable(self._path, error, row)


def _by_many(statement: str, rows: Rows) -> Iterator[tuple[str, Iterable[Row]]]:
    """Say insertions of single rows as insertions of many, which take half of the time.

    What all rows of `Columns` have is bound once a statement.
    """
    columns = rows.columns if isinstance(rows, Columns) else rows[0]
    shared = tuple(isinstance(column, repeat) for column in columns)
    n_shared, n_own = shared.count(True), shared.count(False)
    n_at_once = (_PLACES - n_shared) // n_own if n_own else 1
    if len(rows) < n_at_once or _places(len(shared)) not in statement:
        yield statement, rows
        return
    once: list[object] = [next(column) for column in columns if isinstance(column, repeat)]
    own = iter(rows)
    if once:
        own = zip(*(column for column in columns if not isinstance(column, repeat)), strict=False)
    for n, n_rows in ((len(rows) // n_at_once, n_at_once), (len(rows) % n_at_once, 1)):
        values = ((*once, *chain.from_iterable(islice(own, n_rows))) for _ in range(n))
        yield _of_many(statement, shared, n_rows), values


@lru_cache(64)
def _of_many(statement: str, shared: tuple[bool, ...], n_rows: int) -> str:
    """Make the statement for many rows out of that for one; what they share is bound before the rest."""
    first, n_own = {True: count(1), False: count(1 + shared.count(True))}, shared.count(False)
    places = [(next(first[is_shared]), 0 if is_shared else n_own) for is_shared in shared]
    rows = (", ".join(f"?{place + step * n}" for place, step in places) for n in range(n_rows))
    return statement.replace(_places(len(shared)), ", ".join(f"({row})" for row in rows))


def _places(n: int) -> str:
    return f"({', '.join('?' * n)})"


def connect(path: Path, *, patience_s: float = _PATIENCE_S, write_ahead: bool = True) -> sqlite3.Connection:
    """Open an event log for writing, in write-ahead mode where that is wanted and the file system allows it.

    Args:
        path: The SQLite file; made if it is missing.
        patience_s: How long to wait, in seconds, for others that keep it locked.
        write_ahead: Whether all who read it meanwhile are on this machine, and so share memory.

    Returns:
        A connection, for one thread at a time.

    Raises:
        StorageError: The file cannot be opened or written.
    """
    try:
        if not write_ahead:
            return _connect(path, patience_s, "PRAGMA journal_mode = DELETE")
        try:
            return _connect(path, patience_s, "PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if is_busy(error):
                raise
            # Where processes cannot share memory (folders shared with a virtual machine, some network disks),
            # SQLite agrees to write-ahead at first. Only who is alone with the file gets out of it again.
            return _connect(
                path,
                patience_s,
                "PRAGMA locking_mode = EXCLUSIVE",
                "PRAGMA journal_mode = DELETE",
                "PRAGMA locking_mode = NORMAL",
            )
    # What is damaged may stand in SQLite's message, which Python then cannot decode.
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise storage_error(path, error) from error


def _connect(path: Path, patience_s: float, *pragmas: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=patience_s, check_same_thread=False)
    try:
        for pragma in pragmas:
            connection.execute(pragma)
        # As FULL, and where there is no write-ahead also safe from a power cut just after a commit.
        connection.execute("PRAGMA synchronous = EXTRA")
        # The first transaction is the first to touch what write-ahead needs.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another program has the file locked."""
    return primary_code(error) in _BUSY


def storage_error(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> StorageError:
    """Say what to do about a failure of SQLite."""
    if isinstance(error, UnicodeDecodeError) or primary_code(error) in _DAMAGED:
        return StorageError(f"{path} is damaged, or no event log ({error}); go on with a copy of it")
    way_out = "free disk space or mend the folder's permissions"
    if is_busy(error):
        way_out = "close the program that has it open"
    return StorageError(
        f"{path}: the event log cannot be written ({error}); what was recorded before is safe: {way_out}, "
        "then resume the run"
    )


def unrecordable(path: Path, error: Exception, row: Row) -> InternalError:
    """Name a row that cannot be stored; which one it is, its first values say."""
    return InternalError(
        f"{path}: a row could not be recorded: {type(error).__name__}: {error}: {tuple(row)!r:.300}"
    )


def storable(row: Row) -> Row:
    """Spell out unpaired surrogates, which UTF-8 has no bytes for.

    Examples:
        >>> storable((1, "half a smile: " + chr(0xD83D)))
        [1, 'half a smile: \\\\ud83d']
    """
    return [
        value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
        for value in row
    ]


def _explain(path: Path, error: Exception) -> AgentnetError:
    if isinstance(error, sqlite3.Error):
        return storage_error(path, error)
    return InternalError(f"{path}: the event log cannot be written: {type(error).__name__}: {error}")


def _answer(waiter: asyncio.Future[None], error: AgentnetError | None) -> None:
    # Once its loop is closed nobody waits any more; the others still do.
    with suppress(RuntimeError):
        waiter.get_loop().call_soon_threadsafe(_tell, waiter, error)


def _tell(waiter: asyncio.Future[None], error: AgentnetError | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
