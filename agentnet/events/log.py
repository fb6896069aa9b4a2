"""Write an event log: append rows, wait until they are on the disk, resume, finish.

What an engine acts upon is durable first: it appends its decisions, awaits `flush`, and only then moves on.
Killing the process at any moment loses nothing that a flush acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from filelock import FileLock, Timeout

from agentnet.errors import AgentnetError, InternalError, RunFolderError, RunStopped, StorageError
from agentnet.events.checksums import SEALS, check_unchanged, sealed
from agentnet.events.read import LOG_NAME, Run, check_schema, is_closed_for_good, reading
from agentnet.events.schema import SCHEMA_VERSION, USUALLY_NULL, columns, migrations, statements
from agentnet.events.writer import (
    Columns,
    Group,
    Row,
    Writer,
    connect,
    is_busy,
    storable,
    storage_error,
    unrecordable,
)

_LOCK_NAME = ".lock"

# Who looks whether a run is played holds its lock for a moment.
_LOCK_PATIENCE_S = 0.2


def _insert(verb: str, table: str, otherwise: str = "", *, lacking: Collection[str] = ()) -> str:
    names = [name for name in columns(table) if name not in lacking]
    return f"{verb} INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}){otherwise}"


def _insert_once(table: str, key: str, *, lacking: Collection[str] = ()) -> str:
    # INSERT OR IGNORE would swallow a row with a missing value, too.
    return _insert("INSERT", table, f" ON CONFLICT ({key}) DO NOTHING", lacking=lacking)


# In the order in which a group executes them: what a row refers to is written before it. An event that stands
# already is a bug and must fail; all else is written again, and alike, when a realization is resumed.
_STATEMENTS = {
    "meta": _insert("INSERT OR REPLACE", "meta"),
    "news": _insert("INSERT", "news"),
    "questions": _insert("INSERT", "questions"),
    "networks": _insert_once("networks", "network"),
    "prompts": _insert_once("prompts", "prompt"),
    "realizations": _insert_once("realizations", "realization"),
    "agents": _insert_once("agents", "realization, agent"),
    "usual agents": _insert_once("agents", "realization, agent", lacking=USUALLY_NULL["agents"]),
    "models": _insert_once("models", "realization, model"),
    "replies": _insert("INSERT", "replies"),
    "events": _insert("INSERT", "events"),
    "usual events": _insert("INSERT", "events", lacking=USUALLY_NULL["events"]),
    "drawn events": _insert("INSERT", "events", lacking=set(USUALLY_NULL["events"]) - {"mass"}),
    "troubles": _insert("INSERT", "troubles"),
    "steps": _insert("INSERT OR REPLACE", "steps"),
    # What a sitting noted that lost answers later is longer than what is played in the end.
    "stale_steps": "DELETE FROM steps WHERE realization = ? AND step > ?",
    "interviews": _insert_once("interviews", "realization, step, model"),
    "updates": _insert_once("updates", "realization, step, model"),
    "exposures": _insert_once("exposures", "realization, kind, step, agent, source, repeat"),
    "messages": _insert_once("messages", "realization, message"),
    "changes": _insert_once("changes", "realization, change"),
    "measures": _insert_once("measures", "realization, step, name, agent"),
    "engagements": (
        "UPDATE agents SET engaged_step = ? "
        "WHERE realization = ? AND agent IN (SELECT value FROM json_each(?))"
    ),
    "ends": (
        "UPDATE realizations SET status = ?, initial_agent = ?, last_step = ?, finished_at = ? "
        "WHERE realization = ?"
    ),
    "incidents": _insert("INSERT", "incidents"),
}

Recorded = dict[tuple[str, int], dict[tuple[int, int, int], int]]
"""(kind, step) -> (agent, source, repeat) -> 1 yes, 0 no, -1 missing."""


class Said(NamedTuple):
    """What was answered where texts count, or why there is no answer.

    Attributes:
        text: The answer; None if it is missing.
        missing: Why there is none; None if there is one.
        model: The model name as the server returned it.
        fingerprint: The server's mark of its configuration, if it gave one.
        decision: 1 yes, 0 no; None where it is neither.
        value: The declared answer as JSON; None where it is no more than yes or no, or a text.
        prompt: Number of the prompt it was an answer to, where it stands in the log and has one.
    """

    text: str | None
    missing: str | None
    model: str
    fingerprint: str | None
    decision: int | None = None
    value: str | None = None
    prompt: int | None = None


Heard = dict[tuple[str, int], dict[tuple[int, int, int], Said]]
"""(kind, step) -> (agent, source, repeat) -> what was answered, of the kinds whose texts count."""


class Answered(NamedTuple):
    """A decision that was answered, with the reply's text."""

    step: int
    agent: int
    source: int
    repeat: int
    temperature: float
    text: str


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
            f"{folder}: the run folder cannot be made ({error.strerror}); choose another by `runs`"
        ) from error
    if path.exists():
        with reading(path) as connection:
            _refuse_tables(connection, folder)
    with closing(connect(path, write_ahead=_is_of_one_machine(meta))) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            # Asked again within the transaction: of two who make the same run one is told.
            _refuse_tables(connection, folder)
            for statement in statements():
                connection.execute(statement)
            _insert_first(connection, path, "meta", [("schema_version", json.dumps(SCHEMA_VERSION))])
            _insert_first(connection, path, "meta", [(key, _json(value)) for key, value in meta.items()])
            _insert_first(connection, path, "news", news)
            _insert_first(connection, path, "questions", questions)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise storage_error(path, error) from error


def _is_of_one_machine(meta: Mapping[str, Any]) -> bool:
    """Say whether a log is written and read on one machine, which shards that are played apart are not."""
    *_, n_at_once = meta.get("shard", (1,))
    return bool(n_at_once)


def _refuse_tables(connection: sqlite3.Connection, folder: Path) -> None:
    # A file without tables is what is left of somebody who was killed while making it.
    if _number(connection, "SELECT COUNT(*) FROM sqlite_master"):
        raise RunFolderError(f"{folder} holds a run already; resume it, or choose another folder")


def _insert_first(connection: sqlite3.Connection, path: Path, table: str, rows: Iterable[Row]) -> None:
    for row in rows:
        try:
            connection.execute(_STATEMENTS[table], storable(row))
        except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError) as error:
            raise unrecordable(path, error, row) from error


class EventLog:
    """An event log that is being written: by this process alone, from the event loop that opened it.

    Args:
        folder: The run folder, with a log made by `create_log`.
        group_rows: Rows that are handed to the writer at once.
        group_s: Seconds after which they are handed over at the latest.
        replies_remembered: Replies whose numbers are kept at most; one that is forgotten is written again.

    Raises:
        RunFolderError: No event log there, one of another schema, or one that another process writes.
        StorageError: It cannot be written; on leaving, some of what was appended could not be.
        InternalError: A row was appended that cannot be stored, or after the log was closed.

    Attributes:
        also: Awaited by `flush`, too: whatever else is to be on the disk before anybody acts upon it.

    Use it as an asynchronous context manager.
    """

    also: Callable[[], Awaitable[None]] | None = None

    def __init__(
        self,
        folder: Path,
        *,
        group_rows: int = 1000,
        group_s: float = 0.25,
        replies_remembered: int = 100_000,
    ) -> None:
        self.path = folder / LOG_NAME
        self._lock = _lock_of(folder)
        self._is_open = False
        self._group_rows = group_rows
        self._group_s = group_s
        self._rows: dict[str, list[Row]] = {table: [] for table in _STATEMENTS}
        self._columns: defaultdict[str, list[Columns]] = defaultdict(list)
        self._n_in_columns = 0
        self._group = Group()
        self._sending: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._replies: dict[tuple[str, str, str, str | None], int] = {}
        self._replies_remembered = replies_remembered
        self._prompts: set[int] = set()

    async def __aenter__(self) -> Self:
        """Lock the run and start the writer."""
        check_schema(self.path)
        take_lock(self._lock, self.path.parent)
        try:
            run = Run(self.path.parent)
            check_unchanged(run)
            self._begin(_go_on(self.path, write_ahead=_is_of_one_machine(run.meta)))
        except BaseException:
            self._lock.release()
            raise
        return self

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Look where the log stands, and start the writer on it."""
        try:
            self.journal_mode = str(connection.execute("PRAGMA journal_mode").fetchone()[0])
            self._next_reply = 1 + _number(connection, "SELECT MAX(reply) FROM replies")
            self._prompts = {number for (number,) in connection.execute("SELECT prompt FROM prompts")}
        except (sqlite3.Error, UnicodeDecodeError) as error:
            connection.close()
            raise storage_error(self.path, error) from error
        self._replies.clear()
        self._writer = Writer(self.path, connection, group_rows=self._group_rows)
        self._is_open = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what was appended, whatever happened, and unlock the run."""
        self._hand_over()
        self._is_open = False
        try:
            await asyncio.to_thread(self._writer.close)
        finally:
            # Who is cancelled waits here: nobody else may write before this thread has ended.
            self._writer.close()
            self._lock.release()
        failure = self._writer.error
        if failure is None or failure is error:
            return
        # A run that was stopped counts on what is recorded; any other error has something else to say.
        if error is None or isinstance(error, RunStopped):
            raise failure
        error.add_note(str(failure))

    def add_event(self, row: Row, table: str = "events") -> None:
        """Append one row of table ``events``, or of ``usual events``: without what is usually NULL."""
        rows = self._rows[table]
        rows.append(row)
        if len(rows) >= self._group_rows:
            self._hand_over()
        elif self._timer is None:
            self._set_timer()

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Append rows of another table (``usual agents``: without what is usually NULL).

        They are durable after the next `flush`. `Columns` are handed over as they stand, to be left alone.
        """
        if isinstance(rows, Columns):
            self._columns[table].append(rows)
            self._n_in_columns += len(rows)
        else:
            self._rows[table].extend(_together(rows) if table == "engagements" else rows)
        if self._n_in_columns >= self._group_rows:
            self._hand_over()
        elif self._timer is None:
            self._set_timer()

    def set_meta(self, **values: object) -> None:
        """Set rows of table ``meta``."""
        self.add("meta", [(key, _json(value)) for key, value in values.items()])

    def add_incident(self, incident: str, **detail: object) -> None:
        """Record what befell the run: that it started, was resumed, stopped or finished, what it spent."""
        self.add("incidents", [(None, incident, _json(detail), time.time())])

    def is_prompt_known(self, number: int) -> bool:
        """Say whether prompt `number` was recorded, and count on the caller to do it now if not."""
        known = number in self._prompts
        self._prompts.add(number)
        return known

    def reply_number(self, text: str, rationale: str, model: str, fingerprint: str | None) -> int:
        """Number a reply; equal ones share a row as long as they are remembered."""
        key = (text, rationale, model, fingerprint)
        number = self._replies.get(key)
        if number is None:
            if len(self._replies) >= self._replies_remembered:
                self._replies.clear()
            number = self._replies[key] = self._next_reply
            self._next_reply += 1
            self._rows["replies"].append((number, text, rationale, model, fingerprint))
        return number

    async def flush(self) -> None:
        """Wait until everything appended so far is on the disk.

        Raises:
            StorageError: It could not be written.
            InternalError: A row of it cannot be stored.
        """
        self._gather()
        if self._group.waiter is None:
            loop = asyncio.get_running_loop()
            self._group.waiter = loop.create_future()
            # Whoever else is about to wait shares the commit.
            self._sending = loop.call_soon(self._send)
        waiter = self._group.waiter
        if self.also is not None:
            await self.also()
        # Shielded: who stops waiting must not break it off for others.
        await asyncio.shield(waiter)

    async def finish(self) -> None:
        """Note that the run is finished, with what a finished log keeps of itself; nothing may follow.

        Raises:
            StorageError: It could not be written.
        """
        await self.flush()
        end = {"status": "finished", "finished_at": time.time()}
        self.set_meta(**await asyncio.to_thread(sealed, Run(self.path.parent), end))
        await self.flush()

    @property
    def error(self) -> AgentnetError | None:
        """What went wrong with the writing, if something did: no later flush will succeed."""
        return self._writer.error

    async def recorded(self, realization: int) -> Recorded:
        """Read the decisions of `realization` that stand in the log, to go on from there."""
        return await asyncio.to_thread(self._read_recorded, realization)

    async def heard(self, realization: int) -> Heard:
        """Read the answers whose texts count that stand in the log, to go on from there."""
        return await asyncio.to_thread(self._read_heard, realization)

    async def answered(self, realization: int) -> list[Answered]:
        """Read each decision of `realization` that was answered, in order of its key."""
        return await asyncio.to_thread(self._read_answered, realization)

    def _read_recorded(self, realization: int) -> Recorded:
        found: Recorded = {}
        query = "SELECT kind, step, agent, source, repeat, decision FROM events WHERE realization = ?"
        with reading(self.path) as connection:
            for kind, step, agent, source, repeat, decision in connection.execute(query, (realization,)):
                of_step = found.setdefault((kind, step), {})
                of_step[agent, source, repeat] = -1 if decision is None else decision
        return found

    def _read_heard(self, realization: int) -> Heard:
        found: Heard = {}
        query = (
            "SELECT kind, step, agent, source, repeat, text, missing, COALESCE(model, ''), fingerprint, "
            "decision, value, prompt FROM events e LEFT JOIN replies USING (reply) "
            "WHERE realization = ? AND (kind NOT IN ('seed', 'exposure', 'ratio', 'reason') "
            "OR EXISTS (SELECT 1 FROM exposures h WHERE h.realization = e.realization))"
        )
        with reading(self.path) as connection:
            for kind, step, agent, source, repeat, text, *rest in connection.execute(query, (realization,)):
                said = Said(text if rest[0] is None else None, *rest)
                found.setdefault((kind, step), {})[agent, source, repeat] = said
        return found

    def _read_answered(self, realization: int) -> list[Answered]:
        query = (
            "SELECT step, agent, source, repeat, temperature, text FROM events JOIN replies USING (reply) "
            "WHERE realization = ? AND kind <> 'reason' AND missing IS NULL "
            "ORDER BY step, agent, source, repeat"
        )
        with reading(self.path) as connection:
            return [Answered(*row) for row in connection.execute(query, (realization,))]

    def _set_timer(self) -> None:
        self._check_open()
        self._timer = asyncio.get_running_loop().call_later(self._group_s, self._hand_over)

    def _check_open(self) -> None:
        if not self._is_open:
            raise InternalError(f"{self.path}: the event log is closed: what is appended now would be lost")

    def _hand_over(self) -> None:
        self._gather()
        self._send()

    def _send(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        group, self._group = self._group, Group()
        if group.n_rows or group.waiter is not None:
            self._writer.put(group)

    def _gather(self) -> None:
        """Put what was appended so far into the group that is handed over next."""
        self._check_open()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        group = self._group
        for table, statement in _STATEMENTS.items():
            if rows := self._rows[table]:
                group.rows.append((statement, rows))
                group.n_rows += len(rows)
                self._rows[table] = []
            group.rows += [(statement, columns) for columns in self._columns.pop(table, ())]
        group.n_rows += self._n_in_columns
        self._n_in_columns = 0


def _together(engagements: Iterable[Row]) -> Iterator[Row]:
    """Say at once of all that follow one another when they engaged, which takes two thirds of the time."""
    for when, those in groupby(engagements, key=itemgetter(0, 1)):
        yield (*when, json.dumps([agent for *_, agent in those]))


def _lock_of(folder: Path) -> FileLock:
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
    lock = _lock_of(folder)
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
    lock = _lock_of(folder)
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


def _go_on(path: Path, *, write_ahead: bool) -> sqlite3.Connection:
    """Open a log for writing: as one of this version, and as one that is not finished any more."""
    connection = connect(path, write_ahead=write_ahead)
    try:
        connection.execute("BEGIN IMMEDIATE")
        if _number(connection, "SELECT value FROM meta WHERE key = 'schema_version'") != SCHEMA_VERSION:
            for statement in migrations(connection):
                connection.execute(statement)
        if connection.execute("DELETE FROM meta WHERE key IN (?, ?)", SEALS).rowcount:
            connection.execute("UPDATE meta SET value = ? WHERE key = 'status'", (_json("running"),))
        connection.execute("COMMIT")
    except (sqlite3.Error, UnicodeDecodeError) as error:
        connection.close()
        raise storage_error(path, error) from error
    return connection


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0] or 0)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
