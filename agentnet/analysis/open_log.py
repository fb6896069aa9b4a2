"""An event log while tables are made of it: typed answers as columns, and damage named as damage.

Long columns have two sources with the same answers: the SQLite file, and the Parquet files that a finished
run has beside it. Counting ten million events takes about ten seconds from SQLite and two from Parquet; in
short logs Parquet's library would take longer to import than the log to read.
"""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.tables import SEVERITY_NAMES, UNKNOWN
from agentnet.errors import RunFolderError, UserError
from agentnet.events import LOG_NAME, Run, check_unchanged
from agentnet.families.lookup import family_of
from agentnet.vocabulary import N_PROFILES

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]

NOTHING = -1
"""Stands for a value that is missing."""

_COUNTS = """
SELECT realization, step, prompt, COUNT(*), IFNULL(SUM(decision), 0), COUNT(decision)
FROM events WHERE realization = ? AND kind = ? GROUP BY step, prompt
"""

_UNPROFILED = 2
"""The number that stands for no profile."""

MARKED = f"CASE {{0}} WHEN '' THEN {_UNPROFILED} ELSE IFNULL(CAST('1' || {{0}} AS INTEGER), 0) END"
"""SQL for five bits, or none, as the number that `OpenLog.profiles` understands."""

_AGENTS = f"""
SELECT realization, {MARKED.format("profile")}, IFNULL(engaged_step, {NOTHING}), COUNT(*)
FROM agents WHERE realization = ? GROUP BY profile, engaged_step
"""  # noqa: S608 - our own number

_ROWS = ("realization", "step", "agent", "source", "prompt", "decision")


def marked(bits: str) -> int:
    """Spell five bits as the number that columns hold: behind a 1, read as a decimal number.

    Examples:
        >>> marked("01101")
        101101
    """
    return int(f"1{bits}")


def integers(rows: Iterable[Iterable[object]], width: int, *, path: Path) -> Ints:
    """Lay rows of integers out as columns.

    Args:
        rows: Rows of a query, all of `width` integers.
        width: Number of columns.
        path: The log, for the message.

    Returns:
        Shape ``(width, n_rows)``.

    Raises:
        RunFolderError: A value is no integer.
    """
    try:
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise RunFolderError(
            f"{path} is damaged: where an integer belongs it holds something else ({error}); go on with a "
            "copy of the run"
        ) from error
    return flat.reshape(-1, width).T


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """Where a run's columns come from.

    Attributes:
        path: The SQLite file.
        connection: An open connection to it.
        parquet: The folder of Parquet files that hold the same; None to read SQLite.
    """

    path: Path
    connection: sqlite3.Connection
    parquet: Path | None

    @classmethod
    def of(cls, run: Run, connection: sqlite3.Connection) -> ColumnSource:
        """Choose the quicker one of the sources that a run has."""
        (n_events,) = connection.execute("SELECT COUNT(*) FROM events").fetchone()
        folder = run.folder / "parquet"
        worth = n_events >= run.worth_parquet and _holds_the_same(folder, connection, n_events)
        return cls(run.path, connection, folder if worth else None)

    def counts(self, kind: str, realizations: Ints) -> Ints:
        """Count decisions.

        Args:
            kind: ``exposure``, ``seed`` or ``ratio``.
            realizations: Numbers of the realizations wanted, rising.

        Returns:
            Columns realization, step, prompt, n_asked, n_yes, n_answered; shape ``(6, n_counts)``.
        """
        if self.parquet is None:
            return self._each(_COUNTS, realizations, 6, kind)
        import pyarrow.compute as pc

        answers = pc.ScalarAggregateOptions(min_count=0)
        batches = [np.empty((6, 0), dtype=np.int64)]
        # By row groups, so that no more than one of them is in memory.
        for table in self._row_groups("events", ["realization", "kind", "step", "prompt", "decision"]):
            counted = (
                table.filter(pc.equal(table["kind"], kind))
                .group_by(["realization", "step", "prompt"], use_threads=False)
                .aggregate([([], "count_all"), ("decision", "sum", answers), ("decision", "count")])
            )
            batches.append(_laid_out(counted))
        return _merged(_only(np.concatenate(batches, axis=1), realizations))

    def agents(self, realizations: Ints) -> Ints:
        """Count agents by profile and the step at which they engaged.

        Args:
            realizations: Numbers of the realizations wanted, rising.

        Returns:
            Columns realization, profile (`marked`), engaged step (-1 never), n_agents; shape
            ``(4, n_counts)``.
        """
        if self.parquet is None:
            return self._each(_AGENTS, realizations, 4)
        import pyarrow as pa
        import pyarrow.compute as pc

        batches = [np.empty((4, 0), dtype=np.int64)]
        for table in self._row_groups("agents", ["realization", "profile", "engaged_step"]):
            counted = table.group_by(table.column_names, use_threads=False).aggregate([([], "count_all")])
            bits = counted["profile"]
            marks = pc.if_else(
                pc.equal(bits, ""), str(_UNPROFILED), pc.binary_join_element_wise("1", bits, "")
            )
            profile = marks.cast(pa.int64())
            batches.append(_laid_out(counted.set_column(1, "profile", profile)))
        return _merged(_only(np.concatenate(batches, axis=1), realizations))

    def decisions(self, kind: str, reasons: tuple[str, ...]) -> Ints:
        """Read single decisions, in the order of the log.

        Args:
            kind: ``exposure``, ``seed`` or ``ratio``.
            reasons: Why decisions are missing.

        Returns:
            Columns realization, step, agent, source, prompt, decision (-1 missing), reason (its place in
            `reasons`, -1 none); shape ``(7, n_decisions)``.
        """
        if self.parquet is None:
            return self._decisions_by_sql(kind, reasons)
        import pyarrow as pa
        import pyarrow.compute as pc

        batches = [np.empty((7, 0), dtype=np.int64)]
        for table in self._row_groups("events", [*_ROWS, "kind", "missing"]):
            kept = table.filter(pc.equal(table["kind"], kind))
            reason = pc.index_in(kept["missing"], pa.array(reasons, pa.string()))
            batches.append(_laid_out(kept.select(_ROWS).append_column("reason", reason)))
        return np.concatenate(batches, axis=1)

    def _decisions_by_sql(self, kind: str, reasons: tuple[str, ...]) -> Ints:
        cases = " ".join(f"WHEN ? THEN {place}" for place in range(len(reasons)))
        reason = f"CASE missing {cases} ELSE {NOTHING} END" if cases else str(NOTHING)
        query = (
            f"SELECT realization, step, agent, source, prompt, IFNULL(decision, {NOTHING}), {reason} "  # noqa: S608 - our own numbers
            "FROM events WHERE kind = ? ORDER BY realization, kind, step, agent, source, repeat"
        )
        return integers(self.connection.execute(query, (*reasons, kind)), 7, path=self.path)

    def _each(self, query: str, realizations: Ints, width: int, *parameters: str) -> Ints:
        """Ask for one realization after the other: sorting many short lists beats sorting a long one."""
        asked = (self.connection.execute(query, (number, *parameters)) for number in realizations.tolist())
        return integers(chain.from_iterable(asked), width, path=self.path)

    def _row_groups(self, name: str, columns: list[str]) -> Iterator[pa.Table]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        assert self.parquet is not None, "only asked where Parquet is read"
        path = self.parquet / f"{name}.parquet"
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, columns=columns, use_threads=False)
                    # Arrow reads what it finds, and says nothing of a column that is not there.
                    if lacking := set(columns) - set(table.column_names):
                        raise pa.ArrowInvalid(f"it has no column {min(lacking)}")
                    yield table
        except (OSError, pa.ArrowException) as error:
            raise RunFolderError(
                f"{path} is damaged ({error}); the log holds everything: remove {self.parquet}, or write it "
                f"anew by: agentnet export {shlex.quote(str(self.path.parent))} --format parquet"
            ) from error


def _holds_the_same(folder: Path, connection: sqlite3.Connection, n_events: int) -> bool:
    """Whether a Parquet export is of this run as it stands.

    It is if it has as many events, which are only ever added, and the same table ``meta``, which names the
    run and says when it was finished. A broken export is as good as none: the log holds everything.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(folder / "events.parquet") as events:
            if events.metadata.num_rows != n_events:
                return False
        meta = pq.read_table(folder / "meta.parquet", use_threads=False).to_pydict()
    except (OSError, pa.ArrowException):
        return False
    written = dict(zip(meta["key"], meta["value"], strict=True))
    stands = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    return written == stands and json.loads(stands.get("status", "null")) == "finished"


def _laid_out(table: pa.Table) -> Ints:
    """Turn a table of integers into columns; what is missing becomes -1."""
    import pyarrow.compute as pc

    columns: list[NDArray[Any]] = [
        pc.fill_null(column, NOTHING).to_numpy().astype(np.int64) for column in table.columns
    ]
    return np.array(columns, dtype=np.int64).reshape(table.num_columns, -1)


def _only(columns: Ints, realizations: Ints) -> Ints:
    return columns[:, np.isin(columns[0], realizations)]


def _merged(columns: Ints) -> Ints:
    """Add up counts of the same three keys, which two row groups may share, and sort by the keys."""
    rows = columns[:, np.lexsort(columns[:3][::-1])]
    first = np.ones(rows.shape[1], dtype=bool)
    first[1:] = (rows[:3, 1:] != rows[:3, :-1]).any(axis=0)
    counts = np.add.reduceat(rows[3:], np.flatnonzero(first), axis=1) if first.size else rows[3:]
    return np.concatenate([rows[:3, first], counts])


_PROFILE_OF = np.full(marked("11111") + 1, NOTHING, dtype=np.int64)
_PROFILE_OF[[marked(f"{profile:05b}") for profile in range(N_PROFILES)]] = np.arange(N_PROFILES)
# Agents that have none count as of the first one: `RunTables.profiled` says that it is no profile.
_PROFILE_OF[_UNPROFILED] = 0


@contextmanager
def open_log(run: Run | str | Path) -> Iterator[OpenLog]:
    """Open a run by its folder or its event log; every query sees it as it stands now.

    Raises:
        RunFolderError: There is no event log, or it is damaged, of another schema, or changed after the run
            had finished.
    """
    if not isinstance(run, Run):
        path = Path(run)
        run = Run(path.parent if path.name == LOG_NAME else path)
    check_unchanged(run)
    with run.snapshot() as connection:
        yield OpenLog(run, connection, run.meta)


@dataclass(frozen=True, slots=True)
class OpenLog:
    """An open event log.

    Attributes:
        run: The run.
        connection: A connection that reads.
        meta: Table ``meta``.
    """

    run: Run
    connection: sqlite3.Connection
    meta: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run.folder

    @property
    def source(self) -> ColumnSource:
        """Where long columns come from."""
        return ColumnSource.of(self.run, self.connection)

    def damage(self, what: str) -> RunFolderError:
        """Make the error that names damage."""
        return RunFolderError(f"{self.run.path} is damaged: {what}; go on with a copy of the run")

    def needed(self, *keys: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Look a value of table ``meta`` up, by a path of keys."""
        found: Any = self.meta
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                raise self.damage(f"table meta lacks {'.'.join(keys)}")
            found = found[key]
        return found

    def check_read_as(self, wanted: str) -> None:
        """Make sure that the family of the run lets it be read as ``"cascades"``, or the like.

        Raises:
            DesignError: Nobody knows the family.
            UserError: It does not; says what the run is, and the way out.
        """
        self.needed("experiment", "family")
        family = family_of(self.meta)
        if wanted not in family.read_as:
            raise UserError(
                f"{self.folder} is a run of {family.what}, not of {wanted}; {family.shows} with: "
                f"agentnet report {shlex.quote(str(self.folder))}"
            )

    def integers(self, query: str, width: int, *parameters: object) -> Ints:
        """Answer a query for integers by columns, shape ``(width, n_rows)``."""
        return integers(self.connection.execute(query, parameters), width, path=self.run.path)

    def news_items(self) -> tuple[tuple[str, ...], Ints]:
        """Read identifier and severity of each news item."""
        query = f"SELECT news, id, IFNULL(severity, {UNKNOWN}) FROM news ORDER BY news"  # noqa: S608 - our own number
        rows = self.connection.execute(query).fetchall()
        as_written = all(
            news == number and severity in SEVERITY_NAMES for number, (news, _, severity) in enumerate(rows)
        )
        if not rows or not as_written:
            raise self.damage("table news is not as it was written")
        return tuple(str(row[1]) for row in rows), np.array([row[2] for row in rows], dtype=np.int64)

    def prompts(self, used: Ints) -> tuple[Ints, Ints]:
        """Look up what events ask.

        Args:
            used: Numbers of prompts, any shape.

        Returns:
            Profile (0 where agents have none) and news item of each, same shape.
        """
        bits = MARKED.format("IFNULL(profile, '')")
        query = f"SELECT prompt, {bits}, news FROM prompts ORDER BY prompt"  # noqa: S608 - our own
        number, bits, news = self.integers(query, 3)
        place = np.searchsorted(number, used)
        inside = place < number.size
        if not inside.all() or (number[place] != used).any():
            raise self.damage("events refer to prompts that are not there")
        return self.profiles(bits)[place], news[place]

    @property
    def is_told(self) -> bool:
        """Whether agents were told more than a news item, so that each exposure was asked by itself."""
        return bool(self.connection.execute("SELECT EXISTS (SELECT 1 FROM exposures)").fetchone()[0])

    def asked(self, realization: Ints, agent: Ints, prompt: Ints) -> tuple[Ints, Ints]:
        """Look up who was asked about what: `prompts`, where each prompt is of one profile.

        Args:
            realization: Numbers of realizations, shape ``(n_decisions,)``.
            agent: Who was asked, same shape.
            prompt: Number of the prompt, same shape.

        Returns:
            Profile and news item, same shape.
        """
        profile, news = self.prompts(prompt)
        # Agents of several profiles share a prompt that says nothing of a profile.
        return (self.profiles_of(realization, agent) if self.is_told else profile), news

    def profiles_of(self, realization: Ints, agent: Ints) -> Ints:
        """Look up the profile of agents, 0 for none, shape ``(n_agents,)``."""
        query = f"SELECT realization, agent, {MARKED.format('profile')} FROM agents ORDER BY 1, 2"  # noqa: S608 - our own
        *keys, bits = self.integers(query, 3)
        width = int(max(keys[1].max(initial=0), agent.max(initial=0))) + 1
        place = np.searchsorted(keys[0] * width + keys[1], realization * width + agent)
        return self.profiles(bits)[place]

    def profiles(self, bits: Ints) -> Ints:
        """Turn five bits, as `MARKED` has them, into profile numbers; no profile is number 0."""
        inside = (bits >= 0) & (bits < _PROFILE_OF.size)
        found = _PROFILE_OF[np.where(inside, bits, 0)]
        if found.min(initial=0) < 0:
            raise self.damage("it holds a profile that is not five bits")
        return found


def added(place: tuple[Ints, ...], values: Ints, shape: tuple[int, ...]) -> Ints:
    """Add values up by place, shape `shape`."""
    total = np.zeros(shape, dtype=np.int64)
    np.add.at(total, place, values)
    return total


def unfinished(n_finished: int, n_planned: int) -> str:
    """Say that a run goes on."""
    return f"the run is not finished: only {n_finished} of {n_planned} realizations are, and only they count"
