"""Write an event log: append rows, wait until they are on the disk, resume, finish.

What an engine acts upon is durable first: it appends its decisions, awaits `flush`, and only then moves on.
Killing the process at any moment loses nothing that a flush acknowledged.

One thread writes. Rows are handed over to it in groups; each commit takes what is there, about `group_rows`
rows, so that many waiting engines share one sync of the disk. The event loop never waits for the disk: it
awaits a future.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, count, groupby, repeat
from operator import itemgetter
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Self

from agentnet.errors import AgentnetError, InternalError, PluginError, RunStopped, StorageError, near_miss
from agentnet.events.checksums import check_unchanged, sealed
from agentnet.events.held import Held
from agentnet.events.opening import (
    Row,
    as_json,
    go_on,
    lock_of,
    number_of,
    storable,
    storage_error,
    take_lock,
    unrecordable,
)
from agentnet.events.read import LOG_NAME, Run, is_written_ahead, reading
from agentnet.events.schema import USUALLY_NULL, columns, insert

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
_FEWER_ROWS = (32, 4, 1)
"""Rows of the statements for what is left where no more fill one."""

_IN_COLUMNS = 4
"""Rows of `Columns` that count as one: they are light, and those of many cascades share a commit."""


def _insert_once(table: str, key: str, *, lacking: Collection[str] = ()) -> str:
    # INSERT OR IGNORE would swallow a row with a missing value, too.
    return insert("INSERT", table, f" ON CONFLICT ({key}) DO NOTHING", lacking=lacking)


_LACKING = {"usual": set(USUALLY_NULL["events"]), "drawn": set(USUALLY_NULL["events"]) - {"mass"}}

# In the order in which a group executes them: what a row refers to is written before it. An event that stands
# already is a bug and must fail; all else is written again, and alike, when a realization is resumed.
_STATEMENTS = {
    "meta": insert("INSERT OR REPLACE", "meta"),
    "news": insert("INSERT", "news"),
    "questions": insert("INSERT", "questions"),
    "networks": _insert_once("networks", "network"),
    "prompts": _insert_once("prompts", "prompt"),
    "realizations": _insert_once("realizations", "realization"),
    "agents": _insert_once("agents", "realization, agent"),
    "usual agents": _insert_once("agents", "realization, agent", lacking=USUALLY_NULL["agents"]),
    "models": _insert_once("models", "realization, model"),
    "replies": insert("INSERT", "replies"),
    "usual replies": insert("INSERT", "replies", lacking=USUALLY_NULL["replies"]),
    "events": insert("INSERT", "events"),
    **{f"{kind} events": insert("INSERT", "events", lacking=lacking) for kind, lacking in _LACKING.items()},
    "troubles": insert("INSERT", "troubles"),
    "steps": insert("INSERT OR REPLACE", "steps"),
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
    "incidents": insert("INSERT", "incidents"),
}

_INTO_EVENTS = {
    _STATEMENTS[f"{kind} events"]: [name for name in columns("events") if name not in lacking]
    for kind, lacking in _LACKING.items()
}
"""The columns that these statements write."""

_INTO_AGENTS = {_STATEMENTS["agents"], _STATEMENTS["usual agents"]}

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


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of one table as columns, which take a fraction of the time and memory of a tuple each.

    Attributes:
        n_rows: Number of rows.
        columns: A sequence of the values of each column, or `itertools.repeat` of one that all rows have.
        are_all: Whether the rows of their step are written as such columns alone: then they may be held.
    """

    n_rows: int
    columns: Sequence[Sequence[object] | repeat[Any]]
    are_all: bool = False

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


class EventLog:
    """An event log that is being written: by this process alone, from the event loop that opened it.

    Args:
        folder: The run folder, with a log made by `create_log`.
        group_rows: Rows that are handed to the writer at once; of `Columns`, four times as many.
        group_s: Seconds after which they are handed over at the latest.
        replies_remembered: Replies whose numbers are kept at most; one that is forgotten is written again.

    Raises:
        RunFolderError: No event log there, one of another schema, or one that another process writes.
        StorageError: It cannot be written; on leaving, some of what was appended could not be.
        InternalError: A row was appended that cannot be stored, or after the log was closed.

    Attributes:
        also: Awaited by `flush`, too: whatever else is to be on the disk before anybody acts upon it.
        is_open: Whether rows can be appended.

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
        self._lock = lock_of(folder)
        self.is_open = False
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
        run = Run(self.path.parent)
        take_lock(self._lock, self.path.parent)
        try:
            check_unchanged(run)
            # A shard's journal is what those who play it and those who read it have in common.
            write_ahead = is_written_ahead(self.path) if "shard" in run.meta else True
            self._begin(go_on(self.path, write_ahead=write_ahead))
        except BaseException:
            self._lock.release()
            raise
        return self

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Look where the log stands, and start the writer on it."""
        try:
            self.journal_mode = str(connection.execute("PRAGMA journal_mode").fetchone()[0])
            self._next_reply = 1 + number_of(connection, "SELECT MAX(reply) FROM replies")
            self._prompts = {number for (number,) in connection.execute("SELECT prompt FROM prompts")}
            there = "SELECT EXISTS (SELECT 1 FROM events UNION ALL SELECT 1 FROM agents)"
            is_empty = not number_of(connection, there)
            held = Held(connection) if is_empty else None
        except (sqlite3.Error, UnicodeDecodeError) as error:
            connection.close()
            raise storage_error(self.path, error) from error
        self._replies.clear()
        self._writer = Writer(self.path, connection, group_rows=self._group_rows, held=held)
        self.is_open = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what was appended, whatever happened, and unlock the run."""
        self._hand_over()
        self.is_open = False
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

        Raises:
            PluginError: There is no such table: a world writes into one of its own.
        """
        if table not in self._rows:
            raise PluginError(f"there is no table {table!r} to write into{near_miss(table, self._rows)}")
        if isinstance(rows, Columns):
            self._columns[table].append(rows)
            self._n_in_columns += len(rows)
        else:
            self._rows[table].extend(_together(rows) if table == "engagements" else rows)
        if self._n_in_columns >= _IN_COLUMNS * self._group_rows:
            self._hand_over()
        elif self._timer is None:
            self._set_timer()

    def set_meta(self, **values: object) -> None:
        """Set rows of table ``meta``."""
        self.add("meta", [(key, as_json(value)) for key, value in values.items()])

    def add_incident(self, incident: str, **detail: object) -> None:
        """Record what befell the run: that it started, was resumed, stopped or finished, what it spent."""
        self.add("incidents", [(None, incident, as_json(detail), time.time())])

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
            if fingerprint is None:
                self._rows["usual replies"].append((number, text, rationale, model))
            else:
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
        held = self._writer.held
        self.set_meta(**await asyncio.to_thread(sealed, Run(self.path.parent), end, held=held))
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
        if not self.is_open:
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
            if table in self._columns:
                group.rows += [(statement, columns) for columns in self._columns.pop(table)]
        group.n_rows += self._n_in_columns
        self._n_in_columns = 0


def _together(engagements: Iterable[Row]) -> Iterator[Row]:
    """Say at once of all that follow one another when they engaged, which takes two thirds of the time."""
    for when, those in groupby(engagements, key=itemgetter(0, 1)):
        yield (*when, f"[{','.join(map(str, map(itemgetter(2), those)))}]")


class Writer(threading.Thread):
    """Executes groups of rows in order, each in one transaction, until it is closed.

    Args:
        path: The SQLite file.
        connection: A connection to it by `connect`; closed in the end.
        group_rows: Rows a commit takes at most, beyond the first group's.
        held: What is to hold events and agents; None where some were written before.

    Attributes:
        error: The first thing that went wrong; None so far.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, *, group_rows: int, held: Held | None = None
    ) -> None:
        super().__init__(name="agentnet-event-log", daemon=True)
        self._path = path
        self._connection = connection
        self._group_rows = group_rows
        self.held = held
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
                self.held = None
            else:
                self._hold(groups)
            # A file that is gone takes rows all the same, and whoever asks on pays for what nobody will find.
            self._path.stat()
        except Exception as error:  # noqa: BLE001 - an error kept here would leave its waiters waiting
            self.error = _explain(self._path, error)
            return False
        return True

    def _hold(self, groups: list[Group]) -> None:
        """Hold what was committed and may be."""
        for statement, rows in chain.from_iterable(group.rows for group in groups):
            if self.held is None:
                return
            if statement in _INTO_AGENTS:
                columns = rows.columns if isinstance(rows, Columns) else [*zip(*rows, strict=True)]
                self.held.add_agents(columns)
            elif statement == _STATEMENTS["engagements"]:
                self.held.engage(rows)
            elif isinstance(rows, Columns) and rows.are_all and statement in _INTO_EVENTS:
                self.held.add(dict(zip(_INTO_EVENTS[statement], rows.columns, strict=True)))

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
    if len(rows) < _FEWER_ROWS[1] or _places(len(shared)) not in statement:
        yield statement, rows
        return
    begin = 0
    for n_rows in (n_at_once, *_FEWER_ROWS):
        end = begin + (len(rows) - begin) // n_rows * n_rows
        if begin < end:
            yield _of_many(statement, shared, n_rows), _values(rows, range(begin, end, n_rows))
        begin = end


def _values(rows: Rows, places: range) -> Iterator[Row]:
    """Give the values of as many rows at once as lie between two of `places`, in the same list each time."""
    if not isinstance(rows, Columns):
        yield from (list(chain.from_iterable(rows[place : place + places.step])) for place in places)
        return
    values = [next(column) for column in rows.columns if isinstance(column, repeat)]
    own = [column for column in rows.columns if not isinstance(column, repeat)]
    n_shared, n_own = len(values), len(own)
    values += [None] * (n_own * places.step)
    for place in places:
        for n, column in enumerate(own, n_shared):
            values[n::n_own] = column[place : place + places.step]
        yield values


@lru_cache(64)
def _of_many(statement: str, shared: tuple[bool, ...], n_rows: int) -> str:
    """Make the statement for many rows out of that for one; what they share is bound before the rest."""
    first, n_own = {True: count(1), False: count(1 + shared.count(True))}, shared.count(False)
    places = [(next(first[is_shared]), 0 if is_shared else n_own) for is_shared in shared]
    rows = (", ".join(f"?{place + step * n}" for place, step in places) for n in range(n_rows))
    return statement.replace(_places(len(shared)), ", ".join(f"({row})" for row in rows))


def _places(n: int) -> str:
    return f"({', '.join('?' * n)})"


def _explain(path: Path, error: Exception) -> AgentnetError:
    if isinstance(error, sqlite3.Error):
        return storage_error(path, error)
    if isinstance(error, OSError):
        return StorageError(
            f"{path}: the event log was moved or removed while it was written ({error.strerror}); put it "
            "back, then resume the run, or resume it where it is now"
        )
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
