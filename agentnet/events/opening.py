"""Make an event log, open it to write, keep others from it meanwhile, and close it for good.

What SQLite, the disk or the folder's lock refuse is said in words.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from agentnet.errors import InternalError, RunFolderError, StorageError
from agentnet.events.checksums import SEALS
from agentnet.events.read import LOG_NAME, is_closed_for_good, primary_code, reading
from agentnet.events.schema import SCHEMA_VERSION, insert, migrations, statements

Row = Sequence[object]

_LOCK_NAME = ".lock"

# Who looks whether a run is played holds its lock for a moment.
_LOCK_PATIENCE_S = 0.2

# Without write-ahead whoever reads keeps the writer waiting, and an export reads for a while.
_PATIENCE_S = 120.0

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def create_log(
    folder: Path, meta: Mapping[str, object], news: Iterable[Row] = (), questions: Iterable[Row] = ()
) -> None:
    """Make the run folder and an empty event log in it.

    Args:
        folder: The run folder; made if it is missing.
        meta: First rows of table ``meta``; values are stored as JSON.
        news: Rows of table ``news``.
        questions: Rows of table ``questions``.

    Raises:
        RunFolderError: The folder holds an event log already.
        StorageError: The folder cannot be made or written.
    """
    path = folder / LOG_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: the run folder cannot be made ({error.strerror}); choose another by --out, or by the "
            "setting runs"
        ) from error
    if path.exists():
        with reading(path) as connection:
            _refuse_tables(connection, folder)
    with closing(connect(path, write_ahead=is_of_one_machine(meta))) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            # Asked again within the transaction: of two who make the same run one is told.
            _refuse_tables(connection, folder)
            for statement in statements():
                connection.execute(statement)
            first = {"schema_version": SCHEMA_VERSION, **meta}
            _insert_first(connection, path, "meta", [(key, as_json(each)) for key, each in first.items()])
            _insert_first(connection, path, "news", news)
            _insert_first(connection, path, "questions", questions)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise storage_error(path, error) from error


def is_of_one_machine(meta: Mapping[str, Any]) -> bool:
    """Say whether a log is written and read on one machine, which shards that are played apart are not."""
    *_, n_at_once = meta.get("shard", (1,))
    return bool(n_at_once)


def _refuse_tables(connection: sqlite3.Connection, folder: Path) -> None:
    # A file without tables is what is left of somebody who was killed while making it.
    if number_of(connection, "SELECT COUNT(*) FROM sqlite_master"):
        raise RunFolderError(f"{folder} holds a run already; resume it, or choose another folder")


def _insert_first(connection: sqlite3.Connection, path: Path, table: str, rows: Iterable[Row]) -> None:
    for row in rows:
        try:
            connection.execute(insert("INSERT", table), storable(row))
        except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError) as error:
            raise unrecordable(path, error, row) from error


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


def go_on(path: Path, *, write_ahead: bool) -> sqlite3.Connection:
    """Open a log for writing: as one of this version, and as one that is not finished any more."""
    connection = connect(path, write_ahead=write_ahead)
    try:
        connection.execute("BEGIN IMMEDIATE")
        if number_of(connection, "SELECT value FROM meta WHERE key = 'schema_version'") != SCHEMA_VERSION:
            for statement in migrations(connection):
                connection.execute(statement)
        if connection.execute("DELETE FROM meta WHERE key IN (?, ?)", SEALS).rowcount:
            connection.execute("UPDATE meta SET value = ? WHERE key = 'status'", (as_json("running"),))
        connection.execute("COMMIT")
    except (sqlite3.Error, UnicodeDecodeError) as error:
        connection.close()
        raise storage_error(path, error) from error
    return connection


def close_for_good(path: Path) -> bool:
    """Turn a finished log into one file: the write-ahead log is merged and removed.

    Returns:
        Whether it is one file now. It is not while another program has it open, and need not be: what is
        beside it then belongs to it, and the next call tries again.

    Raises:
        StorageError: It could not be written.
    """
    if is_closed_for_good(path):
        return True
    with closing(connect(path)) as connection:
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            if is_busy(error):
                return False
            raise storage_error(path, error) from error
    return True


def lock_of(folder: Path) -> FileLock:
    """Give the lock of a run folder, which who writes its log holds."""
    return FileLock(folder / _LOCK_NAME, thread_local=False)


def take_lock(lock: FileLock, folder: Path) -> None:
    """Take the lock of a run folder.

    Raises:
        RunFolderError: Another process has it.
        StorageError: It cannot be locked.
    """
    try:
        lock.acquire(timeout=_LOCK_PATIENCE_S, poll_interval=_LOCK_PATIENCE_S / 10)
    except Timeout:
        raise _played(folder) from None
    except (OSError, NotImplementedError) as error:
        raise StorageError(
            f"{lock.lock_file} cannot be locked ({error}); mend the folder's permissions, or move "
            "the run to a disk that knows locks"
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others from writing the log of a run folder meanwhile; see `take_lock`."""
    lock = lock_of(folder)
    take_lock(lock, folder)
    try:
        yield
    finally:
        lock.release()


def check_unplayed(folder: Path) -> None:
    """Make sure that no process plays a run at this moment; whoever does not write needs no lock.

    Raises:
        RunFolderError: One does.
    """
    if is_played(folder):
        raise _played(folder)


def _played(folder: Path) -> RunFolderError:
    return RunFolderError(f"{folder}: another process is playing this run; wait for it, or stop it")


def is_played(folder: Path) -> bool:
    """Say whether a process plays a run at this moment: a killed one holds no lock any more."""
    lock = lock_of(folder)
    if not (folder / _LOCK_NAME).exists():
        return False
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        # Who may not write there cannot ask.
        return False


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


def number_of(connection: sqlite3.Connection, query: str) -> int:
    """Answer a query for one whole number, 0 where there is none."""
    return int(connection.execute(query).fetchone()[0] or 0)


def as_json(value: object) -> str:
    """Spell a value of table ``meta``."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
