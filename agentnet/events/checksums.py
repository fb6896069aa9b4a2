"""What a finished log knows of itself, so that damage does not pass for a result.

A finished log keeps in table ``meta`` its ``digest``, the hash of what was decided (`Run.digest`), and its
``checksums``, a SHA-256 of the rows of every table, which covers prompts, replies, tokens and times, too;
the two largest tables are hashed by blocks of rows (`agentnet.events.blocks`), by older versions row by row.
Both are taken away when somebody goes on with the log, and come back when it is finished again.

Rows take seconds to look at, the bytes of a file a moment: beside a finished log stands what its file hashed
to (`HASH_NAME`, as ``sha256sum`` has it), and only where it hashes to something else are rows looked at.
"""

from __future__ import annotations

import hashlib
import json
import marshal
import shlex
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from agentnet.errors import RunFolderError
from agentnet.events.blocks import LAYOUTS, MARSHAL_FORMAT, Block, NotNumbers, blocks, rest_of
from agentnet.events.cells import check_cells
from agentnet.events.digest import (
    AGENTS,
    DECIDED,
    ROWS_AT_ONCE,
    Digested,
    Rows,
    batches,
    digest,
    spelled_of,
)
from agentnet.events.read import Run, is_closed_for_good
from agentnet.events.schema import TABLES, VIEW_ORDER, VIEWS, columns
from agentnet.vocabulary import ANSWER_KINDS

if TYPE_CHECKING:
    from agentnet.events.held import Held

BY_REALIZATION = tuple(table for table in TABLES if columns(table)[0] == "realization")
"""Tables of which the log of a shard has the rows of its realizations, as the merged log has them."""

SEALS = ("digest", "checksums")
"""Keys of table ``meta`` that only a finished log has."""

_END = ("status", "finished_at", "digest")

# What is written with the checksums, or after them: a cache that complains last.
_COVERED = {
    "meta": "WHERE key NOT IN ('status', 'finished_at', 'digest', 'checksums')",
    "incidents": "WHERE incident <= :last_incident",
}

_BY_BLOCKS = "blocks "
"""What the checksum of a table begins with that was hashed by blocks."""

_LIST_BYTES = 5

HASH_NAME = "log.sha256"


class Part(NamedTuple):
    """The rows of a merged log that a shard had.

    Attributes:
        first: Its first realization.
        beyond: One more than its last.
        every: From one realization to the next.
        replies: Replies of the parts before it, after which its own are numbered.
    """

    first: int
    beyond: int
    every: int
    replies: int


Known = Mapping[str, Sequence[str]]
"""Table `BY_REALIZATION` -> its checksum in each part, as the shards kept it."""

_NOTHING: Known = MappingProxyType({})


def sealed(
    run: Run,
    end: Mapping[str, Any],
    parts: Sequence[Part] = (),
    known: Known = _NOTHING,
    held: Held | None = None,
) -> dict[str, Any]:
    """Compute what a log keeps of itself, as rows of table ``meta``: two seconds for a million decisions.

    Args:
        run: The run.
        end: The last rows of table ``meta``: that it is finished.
        parts: The parts that it was merged of.
        known: What is known of them.
        held: Blocks of events that are known.

    Returns:
        All rows to be set.
    """
    with run.snapshot() as connection:
        return sealed_by(connection, end, parts, known, held)


def sealed_by(
    connection: sqlite3.Connection,
    end: Mapping[str, Any],
    parts: Sequence[Part] = (),
    known: Known = _NOTHING,
    held: Held | None = None,
) -> dict[str, Any]:
    """Compute the same of the log as `connection` sees it; see `sealed`."""
    (last,) = connection.execute("SELECT COALESCE(MAX(incident), 0) FROM incidents").fetchone()
    read = _HashedOnTheWay(held)
    try:
        found = digest(connection, None if parts else read)
    except NotNumbers:
        if held is not None:
            return sealed_by(connection, end, parts, known)
        found = digest(connection)
    end = {**end, "digest": found}
    tables = {
        table: read.checksums.get(table)
        or _checksum_to_keep(
            connection, table, last, parts, known, by_blocks=table in LAYOUTS.keys() - read.checksums
        )
        for table in TABLES
    }
    kept = {"end": end, "last_incident": last, "tables": tables, **({"parts": parts} if parts else {})}
    return {**end, "checksums": kept}


def _checksum_to_keep(
    connection: sqlite3.Connection,
    table: str,
    last_incident: int,
    parts: Sequence[Part],
    known: Known,
    *,
    by_blocks: bool,
) -> str:
    if by_blocks:
        with suppress(NotNumbers):
            return _checksum(connection, table, last_incident, parts, known, by_blocks=True)
    return _checksum(connection, table, last_incident, parts, known, by_blocks=False)


class _HashedOnTheWay:
    """Gives what is digested, and hashes the whole rows of the largest tables as it passes them.

    Args:
        held: Blocks of events that are not read.

    Attributes:
        checksums: Table -> its checksum, of those that were passed; empty of one that is no blocks.
    """

    def __init__(self, held: Held | None) -> None:
        self._held = None if held is None else held.block
        self.checksums: dict[str, str] = {}

    def __call__(self, connection: sqlite3.Connection, digested: Digested) -> Iterator[str]:
        for table, known in (("events", DECIDED), ("agents", AGENTS)):
            if digested is known:
                return self._of_table(connection, table, digested.columns.split(", "))
        return spelled_of(connection, digested)

    def _of_table(self, connection: sqlite3.Connection, table: str, columns: list[str]) -> Iterator[str]:
        picked = [n for n, name in enumerate(rest_of(connection, table)) if name in columns]
        sha, self.checksums[table] = hashlib.sha256(), ""
        for block in blocks(connection, table, held=self._held):
            sha.update(block.hashed())
            if not set(ANSWER_KINDS).intersection(block.shared):
                yield from block.spelled(picked)
        self.checksums[table] = _BY_BLOCKS + sha.hexdigest()


def check_unchanged(run: Run) -> None:
    """Make sure that a log is what it was when it was finished, or at least of its kinds (`check_cells`).

    A run remembers that it was looked at as long as its file stays: several who read it ask, and one waits.

    Raises:
        RunFolderError: It changed, or cannot be read.
    """
    file = run.path.stat()
    if (file.st_mtime_ns, file.st_size) in run.checked:
        return
    changed = [] if _has_kept_hash(run.path) else changed_tables(run)
    if changed:
        name = shlex.quote(str(run.folder))
        raise RunFolderError(
            f"{run.path} is damaged: it was changed after the run had finished ({_tables(changed)}), and "
            f"results of it would be wrong; go on with a copy of the run, or see what is left by "
            f"agentnet verify {name}, agentnet query {name} SQL"
        )
    if changed is None:
        check_cells(run)
    run.checked.add((file.st_mtime_ns, file.st_size))


def keep_hash(path: Path) -> None:
    """Note beside a finished log what its file hashes to.

    It is for who has just written the log, or looked at its rows.
    """
    # Where it cannot be written, rows are looked at.
    with suppress(OSError):
        path.with_name(HASH_NAME).write_text(_line(path))


def _has_kept_hash(path: Path) -> bool:
    try:
        return is_closed_for_good(path) and path.with_name(HASH_NAME).read_text() == _line(path)
    except (OSError, UnicodeDecodeError):
        return False


def _line(path: Path) -> str:
    with path.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n"


def changed_tables(run: Run) -> list[str] | None:
    """List the tables that are not what they were when the run was finished; None if nobody knows."""
    meta = run.meta
    if not meta.keys() & set(SEALS):
        return None
    try:
        kept = meta["checksums"]
        end, last, then = dict(kept["end"]), int(kept["last_incident"]), dict(kept["tables"])
        parts = [Part(*map(int, part)) for part in kept.get("parts", ())]
    except (TypeError, KeyError, ValueError):
        return ["meta"]
    if end != {key: meta.get(key) for key in _END}:
        return ["meta"]
    with run.snapshot() as connection:
        return [
            table for table, value in then.items() if not _is_as_kept(connection, table, last, parts, value)
        ]


def _is_as_kept(
    connection: sqlite3.Connection, table: str, last_incident: int, parts: Sequence[Part], value: object
) -> bool:
    by_blocks = table in LAYOUTS and str(value).startswith(_BY_BLOCKS)
    try:
        return table in TABLES and value == _checksum(
            connection, table, last_incident, parts, by_blocks=by_blocks
        )
    except NotNumbers:
        return False


def _tables(names: Iterable[str]) -> str:
    names = list(names)
    return f"table{'s' * (len(names) > 1)} {', '.join(names)}"


def _checksum(
    connection: sqlite3.Connection,
    table: str,
    last_incident: int,
    parts: Sequence[Part],
    known: Known = _NOTHING,
    *,
    by_blocks: bool,
) -> str:
    """Hash a table's rows as the file itself has them, whatever columns later versions add.

    Raises:
        NotNumbers: It is to be hashed by blocks, and is none of them.
    """
    mark = _BY_BLOCKS if by_blocks else ""
    if parts and table in BY_REALIZATION:
        of_parts = [value for value in known.get(table, ()) if value.startswith(_BY_BLOCKS) == by_blocks]
        if len(of_parts) < len(parts):
            of_parts = [mark + _hash_of_part(connection, table, part, by_blocks) for part in parts]
        return mark + _joined(connection, table, of_parts)
    if by_blocks:
        return mark + _blocks_hash(blocks(connection, table))
    query = f"SELECT * FROM main.{table} {_COVERED.get(table, '')}"  # noqa: S608 - our own names
    return rows_hash(batches(connection, query, last_incident=last_incident))


def _hash_of_part(connection: sqlite3.Connection, table: str, part: Part, by_blocks: bool) -> str:
    realizations = range(part.first, part.beyond, part.every)
    if by_blocks:
        return _blocks_hash(blocks(connection, table, realizations, part.replies))
    return rows_hash(_rows_in(connection, table, realizations, part.replies))


def _joined(connection: sqlite3.Connection, table: str, checksums: Sequence[str]) -> str:
    """Hash the checksums of a table's parts, and how many rows it has: there are none beside those."""
    (n_rows,) = connection.execute(f"SELECT COUNT(*) FROM main.{table}").fetchone()  # noqa: S608
    return hashlib.sha256(" ".join([str(n_rows), *checksums]).encode()).hexdigest()


def _rows_in(connection: sqlite3.Connection, table: str, of: Sequence[int], replies: int) -> Iterator[Rows]:
    """Read the rows of a part as the shard had them."""
    names = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
    values = ["reply - :replies" if name == "reply" else f"main.{table}.{name}" for name in names]
    query = (
        f"SELECT {', '.join(values)} FROM json_each(:realizations) one "  # noqa: S608 - our own names
        f"CROSS JOIN main.{table} ON main.{table}.realization = one.value"
    )
    return batches(connection, query, replies=replies, realizations=json.dumps([*of]))


def rows_hash(some: Iterable[Rows]) -> str:
    r"""Hash rows, whatever batches they come in.

    Examples:
        >>> rows_hash([[(1, "\xe9\u4e2d", None, 0.5, b"b", 10**12)]])[:16]  # in every version of Python
        '6cbec852e345e4cb'
        >>> rows_hash([[(1, "a"), (2, b"b")]]) == rows_hash([[(1, "a")], [(2, b"b")]])
        True
    """
    sha = hashlib.sha256()
    for rows in some:
        sha.update(_spelled(rows))
    return sha.hexdigest()


def _blocks_hash(of: Iterable[Block]) -> str:
    sha = hashlib.sha256()
    for block in of:
        sha.update(block.hashed())
    return sha.hexdigest()


def _spelled(rows: Rows) -> memoryview:
    """Spell rows one after the other, without what stands before a list of them."""
    return memoryview(marshal.dumps(rows, MARSHAL_FORMAT))[_LIST_BYTES:]


def verify(run: Run) -> dict[str, str]:
    """Look at a log, and at the Parquet files beside it, in every way there is.

    Returns:
        What is found, by what is looked at; it begins with ``ok``, ``unknown`` or ``damaged``.
    """
    looks: dict[str, Callable[[Run], str]] = {
        "file": _look_at_file,
        "references": _look_at_references,
        "cells": _look_at_cells,
        "digest": _look_at_digest,
        "tables": _look_at_tables,
        "parquet": _look_at_parquet,
    }
    found = {}
    for name, look in looks.items():
        try:
            found[name] = look(run)
        except RunFolderError as error:
            found[name] = f"damaged: {error}"
    return found


def _look_at_file(run: Run) -> str:
    with run.connection() as connection:
        lines = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(3)")]
    return "ok" if lines == ["ok"] else f"damaged: {'; '.join(lines)}"


def _look_at_references(run: Run) -> str:
    with run.connection() as connection:
        broken = {row[0] for row in connection.execute("PRAGMA foreign_key_check")}
    return f"damaged: {_tables(sorted(broken))} refer to what is not there" if broken else "ok"


def _look_at_cells(run: Run) -> str:
    check_cells(run)
    return "ok"


_NOTHING_KEPT = (
    "unknown: the log keeps none, as the run is not finished, or was by an older version of agentnet"
)


def _look_at_digest(run: Run) -> str:
    kept = run.meta.get("digest")
    if kept is None:
        return _NOTHING_KEPT
    now = run.digest()
    return f"ok: {now}" if now == kept else f"damaged: it was {kept} when the run was finished, and is {now}"


def _look_at_tables(run: Run) -> str:
    changed = changed_tables(run)
    if changed is None:
        return _NOTHING_KEPT
    return f"damaged: since the run was finished {_tables(changed)} changed" if changed else "ok"


def _look_at_parquet(run: Run) -> str:
    folder = run.folder / "parquet"
    if not folder.is_dir():
        return "unknown: there are no such files"
    with run.snapshot() as connection:
        differ = [name for name in (*TABLES, *VIEWS) if not _is_as_in_log(folder, connection, name)]
    if not differ:
        return "ok"
    return (
        f"damaged: {_tables(differ)} differ from the log, or cannot be read; write them again: "
        f"agentnet export {shlex.quote(str(run.folder))} --format parquet"
    )


def _is_as_in_log(folder: Path, connection: sqlite3.Connection, table: str) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(folder / f"{table}.parquet", page_checksum_verification=True) as file:
            names = ", ".join(f'"{name}"' for name in file.schema_arrow.names)
            written = rows_hash(_rows_of(file))
    except (OSError, pa.ArrowException):
        return False
    query = f"SELECT {names} FROM {table} {VIEW_ORDER.get(table, '')}"  # noqa: S608 - our own names
    return written == rows_hash(batches(connection, query))


def _rows_of(file: Any) -> Iterator[Rows]:  # noqa: ANN401 - a ParquetFile
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
        yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
