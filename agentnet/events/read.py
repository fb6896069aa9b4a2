"""Read an event log: as data frames, by SQL, as a digest.

Nothing here writes, so it works on a run that is still played.
"""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from agentnet.errors import RunFolderError, UserError
from agentnet.events.digest import digest
from agentnet.events.schema import (
    READABLE,
    SCHEMA_VERSION,
    TABLES,
    VIEWS,
    lacking_of,
    shadows,
    unknown_columns,
)
from agentnet.html import html_table
from agentnet.vocabulary import EVALUATION

if TYPE_CHECKING:
    import pandas as pd

LOG_NAME = "events.sqlite"
SHARDS_NAME = "shards"

# What a query may do. Opening for reading only protects the log itself, but ATTACH and VACUUM INTO could make
# other files. Table-valued functions, such as json_each, declare themselves by an update of sqlite_master.
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_READS_TOO = {(sqlite3.SQLITE_UPDATE, "sqlite_master"), (sqlite3.SQLITE_PRAGMA, "table_info")}

# What is wrong with the file, not with a query.
_OF_THE_FILE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
}

# What only somebody who may write can get over.
_OF_A_READER = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


# What a log says of itself is read in many places: what is of another kind is damage, and said at once.
_META: Mapping[str, Any] = {
    **dict.fromkeys(("backend", "digest", "label", "model_name", "run", "status"), str),
    **dict.fromkeys(("asked_again", "n_fixed", "n_realizations", "seed"), int),
    **dict.fromkeys(("created_at", "finished_at"), float),
    **dict.fromkeys(("checksums", "experiment", "interviews", "settings", "versions"), Mapping[str, Any]),
    **dict.fromkeys(("sources", "voices"), Mapping[str, Mapping[str, Any]]),
    **dict.fromkeys(("asking_rules", "prompts"), list[Mapping[str, str]]),
    **dict.fromkeys(("licences", "prompts_hash"), list[str]),
    "shard": list[int],
}
_EXPERIMENT: Mapping[str, Any] = {
    **dict.fromkeys(("path", "class_name", "family", "text"), str),
    **dict.fromkeys(("conditions", "design"), list[Mapping[str, Any]]),
    **dict.fromkeys(("condition_names", "overridden"), list[str]),
    "siblings": Mapping[str, Mapping[str, str]],
}
_INTERVIEWS: Mapping[str, Any] = {
    **dict.fromkeys(("rules", "databases"), list[Mapping[str, Any]]),
    **dict.fromkeys((EVALUATION, "bank", "system_messages"), list[list[Any]]),
    "embedder": Mapping[str, Any],
}
_SETTINGS: Mapping[str, Any] = dict.fromkeys(("backend", "engine", "news", "sampler"), Mapping[str, Any])
_PARTS = {"experiment": _EXPERIMENT, "interviews": _INTERVIEWS, "settings": _SETTINGS}
_BY_CONDITION = ("asking_rules", "prompts", "prompts_hash")
"""What has an entry for each condition, in the families that have it at all."""


class EmptyLog(RunFolderError):
    """A log in which nothing stands: what is left of a run whose making was cut off."""


class _Recorded(dict[str, Any]):
    """What a log says of itself by name; what is not there is damage of the log."""

    def __init__(self, path: Path, where: str, found: Mapping[str, Any]) -> None:
        super().__init__(found)
        self._damaged = f"{path} is damaged: {where}"

    def __missing__(self, key: str) -> NoReturn:
        raise RunFolderError(f"{self._damaged} lacks {key!r}")

    def check(self, kinds: Mapping[str, Any]) -> None:
        """Make sure that what is there is of its kind."""
        from agentnet.plugins import is_of

        for key in kinds:
            if key in self and not (is_of(kinds[key], self[key]) and _is_within(kinds[key], self[key])):
                raise self.damage(key)

    def check_lengths(self, keys: Iterable[str], n: int) -> None:
        """Make sure that what is there has an entry for each of `n` conditions."""
        for key in keys:
            if key in self and len(self[key]) != n:
                raise self.damage(key, f"; there are {n} conditions")

    def damage(self, key: str, why: str = "") -> RunFolderError:
        """Say that something there is not what a run writes down."""
        return RunFolderError(
            f"{self._damaged} has {self[key]!r:.60} as {key!r}{why}; go on with a copy of the run"
        )


def _is_within(kind: object, value: object) -> bool:
    """Say whether a number has 64 bits, as those of runs do, and a time a year; others always are."""
    most = 2**53 if kind is float else 2**63
    return not isinstance(value, int | float) or -most <= value < most


@dataclass(frozen=True, slots=True, init=False)
class Run:
    """A run folder whose event log is read.

    Args:
        folder: The run folder, as a path or a text.
        worth_parquet: Events from which on the analysis reads Parquet where it lies beside the log.

    Attributes:
        checked: States of the file (time, size) in which it was found unchanged since the run was finished.

    Raises:
        RunFolderError: It holds no event log, a damaged one, or one of another schema.
    """

    folder: Path
    checked: set[tuple[int, int]] = field(repr=False, compare=False)
    worth_parquet: int = field(repr=False, compare=False)

    def __init__(self, folder: Path | str, *, worth_parquet: int = 200_000) -> None:
        object.__setattr__(self, "folder", Path(folder))
        object.__setattr__(self, "worth_parquet", worth_parquet)
        object.__setattr__(self, "checked", set())
        check_schema(self.path)

    def _repr_html_(self) -> str:
        """Say in a notebook what was played, and how far it is."""
        meta = self.meta
        (n, n_missing) = self.rows("SELECT COUNT(*), COUNT(missing) FROM events")[1][0]
        ended = "SELECT COUNT(*) FROM realizations WHERE status <> 'running'"
        facts = {
            "status": "finished" if meta["status"] == "finished" else "not finished",
            "seed": meta["seed"],
            "backend": meta["backend"],
            "model": meta["model_name"],
            "realizations": f"{self.rows(ended)[1][0][0]:,} of {meta['n_realizations']:,} ended",
            "conditions": len(meta["experiment"]["conditions"]),
            "answers": f"{n:,}, of which {n_missing:,} are missing",
            "digest": meta.get("digest", "none yet"),
            **({"licences": "; ".join(meta["licences"])} if meta["licences"] else {}),
        }
        title = f"{meta['experiment']['class_name']} in {self.folder}"
        return html_table(title, facts.items(), below=meta.get("label") or "")

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return self.folder / LOG_NAME

    @property
    def meta(self) -> dict[str, Any]:
        """Table ``meta``: versions, settings, prompts, experiment, status.

        Raises:
            RunFolderError: It is damaged; asked for what it lacks, it says so, too.
        """
        with self.connection() as connection:
            rows = connection.execute("SELECT key, value FROM meta").fetchall()
        try:
            found = _Recorded(self.path, "table meta", {key: json.loads(value) for key, value in rows})
        except (ValueError, TypeError, RecursionError) as error:
            raise RunFolderError(
                f"{self.path} is damaged: table meta holds what is no JSON ({error})"
            ) from error
        found.check(_META)
        match found.get("shard", [1, 1, 0]):
            case [number, of, at_once] if 1 <= number <= of and at_once >= 0:
                pass
            case _:
                raise found.damage("shard", "; it is its number, of how many, and how many at once")
        for part in _PARTS.keys() & found.keys():
            found[part] = _Recorded(self.path, f"row {part!r} of table meta", found[part])
            found[part].check(_PARTS[part])
        if "design" in found.get("experiment", ()):
            n = len(found["experiment"]["design"])
            found["experiment"].check_lengths(("conditions", "condition_names"), n)
            # Runs that have no templates say so by having none at all.
            found.check_lengths(_BY_CONDITION if any(map(found.get, _BY_CONDITION)) else (), n)
            if "interviews" in found:
                found["interviews"].check_lengths(_INTERVIEWS.keys() - {"embedder"}, n)
        return found

    def frame(self, table: str) -> pd.DataFrame:
        """Read a whole table, or one of the views ``decisions`` and ``answers``, as a data frame.

        What stands in JSON follows the columns, one column a name: what is known of agents (``attributes``
        of table ``agents``), the facts of a decision's ``context`` and the fields of its ``value``. A name
        that the table has itself becomes ``attribute_NAME``, ``context_NAME`` or ``value_NAME``.

        Raises:
            UserError: There is no such table.
        """
        if table not in TABLES and table not in VIEWS:
            raise UserError(f"there is no table {table!r}; known: {', '.join((*VIEWS, *TABLES))}")
        found = self.query(f"SELECT * FROM {table}")  # noqa: S608 - one of our own names
        for column in _OF_JSON.get(table, ()):
            found = _with_names(found, column)
        return found

    def query(self, sql: str, parameters: Sequence[object] = ()) -> pd.DataFrame:
        """Answer an SQL query by a data frame; nothing can be changed by it.

        Raises:
            UserError: The query is wrong, or would change something.
        """
        import pandas as pd

        names, rows = self.rows(sql, parameters)
        return pd.DataFrame.from_records(rows, columns=names)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Answer an SQL query by column names and rows; see `query`."""
        with self.connection() as connection:
            connection.set_authorizer(_authorize)
            try:
                cursor = connection.execute(sql, parameters)
                return [column[0] for column in cursor.description or ()], cursor.fetchall()
            # Python 3.11 reports a second statement by a warning, and a zero byte by a ValueError.
            except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
                if is_of_the_file(error):
                    raise
                tables = ", ".join((*VIEWS, *TABLES))
                raise UserError(
                    f"{error}; a query is one SELECT on the tables {tables}{_in_json(error)}"
                ) from error

    def digest(self) -> str:
        """Hash what the run decided: SHA-256 over its events, steps and engagements, or its interviews.

        Equal digests mean equal results: wall times, latencies, tokens and the order of arrival are left out.
        """
        with self.snapshot() as connection:
            return digest(connection)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Open the log for reading only, and close it in the end.

        Raises:
            RunFolderError: It is gone or damaged.
        """
        with reading(self.path) as connection:
            for statement in shadows(connection):
                connection.execute(statement)
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Open the log as `connection` does; every query sees it as it stands now, whatever is written."""
        with self.connection() as connection:
            connection.execute("BEGIN")
            yield connection


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Open an event log for reading only, once what a killed writer left of a transaction is taken back."""
    connection = _connect(path, "ro")
    try:
        connection.execute(_FIRST_LOOK)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        connection.close()
        if not isinstance(error, sqlite3.Error) or primary_code(error) not in _OF_A_READER:
            raise
        _recover(path, error)
        connection = _connect(path, "ro")
    return connection


# The first statement that looks at the file is the first to meet what a killed writer left beside it.
_FIRST_LOOK = "SELECT COUNT(*) FROM sqlite_master"


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=30.0, isolation_level=None)


def _recover(path: Path, error: sqlite3.Error) -> None:
    """Let SQLite take back the transaction that was cut off, for which it has to write."""
    try:
        with closing(_connect(path, "rw")) as connection:
            connection.execute(_FIRST_LOOK)
    except sqlite3.Error as still:
        if primary_code(still) not in _OF_A_READER:
            raise
        raise RunFolderError(
            f"{path} cannot be read yet ({error}): whoever wrote it was killed meanwhile, and what that left "
            "can only be set right where it may be written; copy the whole run folder to a place of yours, "
            "and go on with the copy"
        ) from error


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an event log for reading only, and close it in the end.

    Raises:
        RunFolderError: It is gone or damaged.
    """
    try:
        with closing(connect_readonly(path)) as connection:
            yield connection
    # A damaged file's name for a broken table stands in SQLite's message, which Python then cannot decode.
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise RunFolderError(
            f"{path} cannot be read ({error}): it is damaged, no event log of agentnet, or locked by another "
            "program; close that program, or go on with a copy of the run"
        ) from error


def is_of_the_file(error: Exception) -> bool:
    """Say whether an error that a query raised is the file's fault, not the query's."""
    if isinstance(error, UnicodeDecodeError):
        return True
    return primary_code(error) in _OF_THE_FILE


def primary_code(error: Exception) -> int:
    """Give SQLite's code of an error, 0 for an error of another's."""
    # Extended codes keep the primary one in the lowest byte; errors of Python's own have none.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _in_json(error: Exception) -> str:
    """Say where facts of contexts and fields of answers are: frames have them as columns, the log as JSON."""
    name = str(error).partition("no such column: ")[2].rpartition(".")[2]
    paths = f"json_extract(context, '$.{name}') or json_extract(value, '$.{name}')"
    return (
        f"; a fact of a context or a field of an answer is {paths} of decisions"
        if name.isidentifier()
        else ""
    )


def _authorize(action: int, name: str | None, *_: str | None) -> int:
    allowed = action in _READS or (action, name) in _READS_TOO
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


_OF_JSON = {"agents": ("attributes",), "decisions": ("context", "value")}
"""Columns whose JSON is written out beside them, by table."""


def _with_names(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Write the objects of a column of JSON out in columns; as it is, where there are none."""
    read = ((index, json.loads(text)) for index, text in frame[column].dropna().items())
    known = {index: row for index, row in read if isinstance(row, dict)}
    if not known:
        return frame
    import pandas as pd

    # A dict keeps the order of first appearance, whatever the hash seed.
    names = list(dict.fromkeys(name for row in known.values() for name in row))
    rows = [known.get(index, {}) for index in frame.index]
    prefix = column.removesuffix("s")
    for name in names:
        frame[free_name(name, frame.columns, prefix)] = pd.Series(
            [row.get(name) for row in rows], frame.index
        )
    return frame


def free_name(name: str, taken: Container[str], prefix: str = "attribute") -> str:
    """Name an agent's attribute beside columns that have their names already.

    Examples:
        >>> free_name("age", ["profile"]), free_name("profile", ["profile"])
        ('age', 'attribute_profile')
    """
    while not name or name in taken:
        name = f"{prefix}_{name}"
    return name


def shards_in(folder: Path) -> list[Path]:
    """List the folders of the shards that a run is played in, as far as they were begun."""
    return sorted(log.parent for log in folder.glob(f"{SHARDS_NAME}/*-of-*/{LOG_NAME}"))


def is_unmerged(folder: Path) -> bool:
    """Say whether a run was begun in shards of which no one log was made yet."""
    return not (folder / LOG_NAME).is_file() and bool(shards_in(folder))


def is_closed_for_good(path: Path) -> bool:
    """Say whether a log is one file, which can be read where nothing can be written."""
    beside = [path.with_name(path.name + end) for end in ("-wal", "-journal")]
    return not is_written_ahead(path) and not any(other.exists() for other in beside)


def is_written_ahead(path: Path) -> bool:
    """Say whether a log has a write-ahead log beside it while it is written, and no rollback journal."""
    with path.open("rb") as file:
        # Bytes 18 and 19 of an SQLite file: 1 with a rollback journal, 2 with a write-ahead log.
        return file.read(20)[18:] != b"\1\1"


def check_schema(path: Path) -> None:
    """Make sure that `path` is an event log of a schema that can be read.

    Raises:
        RunFolderError: It is not.
    """
    if is_unmerged(path.parent):
        name = shlex.quote(str(path.parent))
        raise RunFolderError(
            f"{path.parent} is played in shards, of which no one log was made yet: once all are finished "
            f"(see: agentnet show {name}), make it by: agentnet merge {name}"
        )
    if not path.is_file():
        raise RunFolderError(f"{path.parent} is no run folder: it holds no {LOG_NAME} (see: agentnet ls)")
    with reading(path) as connection:
        if connection.execute(_FIRST_LOOK).fetchone() == (0,):
            raise EmptyLog(
                f"{path} is empty: whoever made this run was stopped before anything was recorded, or it is "
                f"no event log of agentnet; delete the folder, or begin the run again by --out {path.parent}"
            )
        version = _version(connection)
        lacking = lacking_of(connection)
        unknown = unknown_columns(connection, lacking)
    if version not in [str(number) for number in READABLE]:
        raise RunFolderError(
            f"{path} has schema {version}, this version of agentnet reads schema {SCHEMA_VERSION} and older "
            f"ones from {READABLE.start} on: use the version that wrote it (it stands in table meta, key "
            "'versions')"
        )
    if unknown:
        raise RunFolderError(
            f"{path} is damaged: {', '.join(unknown)} came from no version of agentnet; name the column as "
            "it was, or go on with a copy of the run"
        )
    if lacking and version == str(SCHEMA_VERSION):
        told = ", ".join(f"{table} ({', '.join(names)})" for table, names in lacking.items())
        raise RunFolderError(f"{path} is damaged: it lacks {told}; go on with a copy of the run")


def _version(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    return None if row is None else row[0]
