"""The long columns of a log, out of the Parquet files that a finished run has beside it.

Counting ten million events takes about ten seconds from SQLite and two from Parquet; in short logs Parquet's
library would take longer to import than the log to read.
"""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import RunFolderError
from agentnet.events import Run

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]

NOTHING: Final = -1
"""Stands for a value that is missing."""

UNPROFILED: Final = 2
"""The number that stands for no profile."""

MARKED: Final = f"CASE {{0}} WHEN '' THEN {UNPROFILED} ELSE IFNULL(CAST('1' || {{0}} AS INTEGER), 0) END"
"""SQL for five bits, or none, as the number that `OpenLog.profiles` understands."""

_ROWS = ("realization", "step", "agent", "source", "prompt", "decision")


@dataclass(frozen=True, slots=True)
class ParquetColumns:
    """Columns of a run as of the log: see the methods of `agentnet.analysis.reading.OpenLog` of these names.

    Attributes:
        folder: The folder of Parquet files.
    """

    folder: Path

    @classmethod
    def of(cls, run: Run, connection: sqlite3.Connection) -> ParquetColumns | None:
        """Find those that hold the same as the log, where they are the quicker ones; else None."""
        (n_events,) = connection.execute("SELECT COUNT(*) FROM events").fetchone()
        folder = run.folder / "parquet"
        worth = n_events >= run.worth_parquet and _holds_the_same(folder, connection, n_events)
        return cls(folder) if worth else None

    def counts(self, kind: str, realizations: Ints) -> Ints:
        """Count decisions."""
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
        """Count agents by profile and the step at which they engaged."""
        import pyarrow as pa
        import pyarrow.compute as pc

        batches = [np.empty((4, 0), dtype=np.int64)]
        for table in self._row_groups("agents", ["realization", "profile", "engaged_step"]):
            counted = table.group_by(table.column_names, use_threads=False).aggregate([([], "count_all")])
            bits = counted["profile"]
            marks = pc.if_else(
                pc.equal(bits, ""), str(UNPROFILED), pc.binary_join_element_wise("1", bits, "")
            )
            profile = marks.cast(pa.int64())
            batches.append(_laid_out(counted.set_column(1, "profile", profile)))
        return _merged(_only(np.concatenate(batches, axis=1), realizations))

    def decisions(self, kind: str, reasons: tuple[str, ...]) -> Ints:
        """Read single decisions."""
        import pyarrow as pa
        import pyarrow.compute as pc

        batches = [np.empty((7, 0), dtype=np.int64)]
        for table in self._row_groups("events", [*_ROWS, "kind", "missing"]):
            kept = table.filter(pc.equal(table["kind"], kind))
            reason = pc.index_in(kept["missing"], pa.array(reasons, pa.string()))
            batches.append(_laid_out(kept.select(_ROWS).append_column("reason", reason)))
        return np.concatenate(batches, axis=1)

    def _row_groups(self, name: str, columns: list[str]) -> Iterator[pa.Table]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / f"{name}.parquet"
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
                f"{path} is damaged ({error}); the log holds everything: remove {self.folder}, or write it "
                f"anew by: agentnet export {shlex.quote(str(self.folder.parent))} --format parquet"
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
