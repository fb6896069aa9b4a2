"""What a finished log knows of itself, so that damage does not pass for a result.

A finished log keeps in table ``meta`` its ``digest``, the hash of what was decided (`Run.digest`), and its
``checksums``, a SHA-256 of the rows of every table, which covers prompts, replies, tokens and times, too.
Both are taken away when somebody goes on with the log, and come back when it is finished again.

Rows take seconds to look at, the bytes of a file a moment: beside a finished log stands what its file hashed
to (`HASH_NAME`, as ``sha256sum`` has it), and only where it hashes to something else are rows looked at.
"""

from __future__ import annotations

import hashlib
import marshal
import shlex
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentnet.errors import RunFolderError
from agentnet.events.read import LOG_NAME, Run, digest, is_closed_for_good
from agentnet.events.schema import TABLES, VIEW_ORDER, VIEWS

SEALS = ("digest", "checksums")
"""Keys of table ``meta`` that only a finished log has."""

_ROWS_AT_ONCE = 1_000

_END = ("status", "finished_at", "digest")

# What is written with the checksums, or after them: a cache that complains last.
_COVERED = {
    "meta": "WHERE key NOT IN ('status', 'finished_at', 'digest', 'checksums')",
    "incidents": "WHERE incident <= :last_incident",
}

# Only written, never loaded. Not repr: what that escapes in a text depends on the version of Python. This
# form has stood since Python 2.5, knows no references, and takes a quarter of the time of JSON.
_MARSHAL_FORMAT = 2

# What stands before the rows, where a list of them is written.
_LIST_BYTES = 5

HASH_NAME = f"{LOG_NAME}.sha256"

Rows = list[tuple[Any, ...]]


def sealed(run: Run, end: Mapping[str, Any]) -> dict[str, Any]:
    """Compute what a log keeps of itself, as rows of table ``meta``: ten seconds for a million decisions.

    Args:
        run: The run.
        end: The last rows of table ``meta``: that it is finished.

    Returns:
        All rows to be set.
    """
    with run.snapshot() as connection:
        (last,) = connection.execute("SELECT COALESCE(MAX(incident), 0) FROM incidents").fetchone()
        tables = {table: _checksum(connection, table, last) for table in TABLES}
        end = {**end, "digest": digest(connection)}
    return {**end, "checksums": {"end": end, "last_incident": last, "tables": tables}}


def check_unchanged(run: Run) -> None:
    """Make sure that a log is what it was when it was finished; one that keeps no checksums passes.

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
    except (TypeError, KeyError, ValueError):
        return ["meta"]
    if end != {key: meta.get(key) for key in _END}:
        return ["meta"]
    with run.snapshot() as connection:
        return [
            table
            for table, value in then.items()
            if table not in TABLES or _checksum(connection, table, last) != value
        ]


def _tables(names: Iterable[str]) -> str:
    names = list(names)
    return f"table{'s' * (len(names) > 1)} {', '.join(names)}"


def _checksum(connection: sqlite3.Connection, table: str, last_incident: int) -> str:
    """Hash a table's rows as the file itself has them, whatever columns later versions add."""
    query = f"SELECT * FROM main.{table} {_COVERED.get(table, '')}"  # noqa: S608 - our own names
    return rows_hash(_batches(connection.execute(query, {"last_incident": last_incident})))


def _batches(cursor: sqlite3.Cursor) -> Iterator[Rows]:
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        yield rows


def rows_hash(batches: Iterable[Rows]) -> str:
    r"""Hash rows, whatever batches they come in.

    Examples:
        >>> rows_hash([[(1, "\xe9\u4e2d", None, 0.5, b"b", 10**12)]])[:16]  # in every version of Python
        '6cbec852e345e4cb'
        >>> rows_hash([[(1, "a"), (2, b"b")]]) == rows_hash([[(1, "a")], [(2, b"b")]])
        True
    """
    sha = hashlib.sha256()
    for rows in batches:
        sha.update(memoryview(marshal.dumps(rows, _MARSHAL_FORMAT))[_LIST_BYTES:])
    return sha.hexdigest()


def verify(run: Run) -> dict[str, str]:
    """Look at a log, and at the Parquet files beside it, in every way there is.

    Returns:
        What is found, by what is looked at; it begins with ``ok``, ``unknown`` or ``damaged``.
    """
    looks: dict[str, Callable[[Run], str]] = {
        "file": _look_at_file,
        "references": _look_at_references,
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
    return written == rows_hash(_batches(connection.execute(query)))


def _rows_of(file: Any) -> Iterator[Rows]:  # noqa: ANN401 - a ParquetFile
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
        yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
