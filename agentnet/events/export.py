"""Write a run's tables and networks in other programs' formats: Parquet, CSV, GEXF, GraphML.

Everything is written under a temporary name beside its place, then renamed: nothing half-written is ever
under the final name. A run that is still played is exported as it stands, all files as of the same moment.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from agentnet.errors import RunFolderError, UserError
from agentnet.events.checksums import check_unchanged
from agentnet.events.graphs import GraphFormat, graph_writer, networks_in, read_edges, recorded_network
from agentnet.events.read import Run, digest, free_name
from agentnet.events.schema import SCHEMA_VERSION, TABLES, VIEW_ORDER, VIEWS, statements
from agentnet.files import new_file, new_folder, storage_errors, tidy
from agentnet.formulas import guarded_column
from agentnet.network import Network

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = [
    "export_csv",
    "export_graph",
    "export_graphs",
    "export_parquet",
    "read_edges",
    "recorded_network",
    "write_parquet",
]

_EXPORTED = (*TABLES, *VIEWS)
_ARROW = {"INTEGER": "int64", "REAL": "float64", "TEXT": "string", "BLOB": "binary"}
_COMPUTED = {"condition": "INTEGER"}

_ROWS_AT_ONCE = 2_000
_GROUP_ROWS = 200_000
_GROUP_BYTES = 64 << 20
_EDGES_AT_ONCE = 100_000

_EDGE_COLUMNS = frozenset({"network", "source", "target", "source_label", "target_label", "directed"})
_OF_EDGES = {"i": "int64", "f": "float64", "b": "bool", "U": "string"}


def export_parquet(run: Run, folder: Path) -> None:
    """Write each table and view as one Parquet file ``<table>.parquet``.

    The columns have the types that `agentnet.events.schema` declares, also where all values are missing. The
    metadata of each file hold ``agentnet_schema_version`` and ``agentnet_digest``, the run's digest.

    Args:
        run: The run.
        folder: Where to; an older export there is replaced whole.

    Raises:
        UserError: `folder` holds something else.
        RunFolderError: The log is damaged.
        StorageError: The files cannot be written; `folder` is as it was.
    """
    check_unchanged(run)
    write_parquet(run, folder)


def write_parquet(run: Run, folder: Path) -> None:
    """Do what `export_parquet` does for a log that was finished only now."""
    import pyarrow.parquet as pq

    names = {f"{table}.parquet" for table in _EXPORTED}
    with _new_folder(folder, names.__contains__) as made, run.snapshot() as connection:
        of_run = run.meta.get("digest") or digest(connection)
        metadata = {"agentnet_schema_version": str(SCHEMA_VERSION), "agentnet_digest": of_run}
        for table in _EXPORTED:
            schema = _schema(table).with_metadata(metadata)
            path = made / f"{table}.parquet"
            with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
                for group in _grouped(_batches(connection, table, schema)):
                    writer.write_table(group)


def export_csv(run: Run, folder: Path) -> None:
    """Write each table and view as one CSV file ``<table>.csv``, without its blobs.

    The edges of all networks stand in ``edges.csv``: network, source, target, and the user's names of both
    where there are some; where a network has such, whether it is directed (the source is heard, the target
    hears) and its edges' attributes. UTF-8, lines end by a line feed; every text is quoted, numbers are not,
    and a missing value is empty without quotes. Texts are written as they are, with one exception, so that no
    spreadsheet program executes what a model replied:

    * A text that begins with ``=``, ``+``, ``-`` or ``@`` (also behind blanks), a tab or a line break, and is
      no number, gets an apostrophe in front. `agentnet.formulas.unguarded` takes it away again (as `--news`
      does from ``news.csv``); Parquet files and the log itself hold the texts without it.
    * Profiles look like numbers, so tell pandas that they are none: ``dtype={"profile": str}``.

    Args:
        run: The run.
        folder: Where to; an older export there is replaced whole.

    Raises:
        UserError: `folder` holds something else.
        RunFolderError: The log is damaged.
        StorageError: The files cannot be written; `folder` is as it was.
    """
    check_unchanged(run)
    names = {f"{table}.csv" for table in (*_EXPORTED, "edges")}
    with _new_folder(folder, names.__contains__) as made, run.snapshot() as connection:
        for table in _EXPORTED:
            schema = _schema(table, blobs=False)
            _write_csv(made / f"{table}.csv", schema, _batches(connection, table, schema))
        schema = _edge_schema(network for _, network in networks_in(connection, run.path))
        batches = _edge_batches(networks_in(connection, run.path), schema)
        _write_csv(made / "edges.csv", schema, batches)


def export_graph(run: Run, realization: int, path: Path, graph_format: GraphFormat) -> None:
    """Write the network of `realization`, and what became of its agents, as GEXF or GraphML.

    Nodes have ``label``, ``profile`` (five bits) and the five traits (0 or 1) or ``persona``, ``voice``,
    ``initial``, ``engaged_step`` if they ever engaged, and what the network's file or a node table says of
    them: numbers where all values of an attribute are numbers, else texts; ``attribute_NAME`` where NAME
    means something else here. Edges of a directed network go from who is heard to who hears. They have the
    attributes that they were read with, and ``won_over``: whether a message over this edge got a yes at the
    step at which its reader engaged; several can win over one agent. Characters that XML cannot hold become
    U+FFFD.

    Where agents follow and unfollow, edges that were there at any time are written, with ``since_step`` and
    ``until_step`` if they came or went. GEXF holds times besides, for a timeline such as Gephi's: a node is
    ``engaged`` from the step at which it engages until it stops, and there until it is removed; edges are
    there from the step at which they come until they go. Time ends one step after the last.

    Args:
        run: The run.
        realization: Its number.
        path: Where to; an older file there is replaced.
        graph_format: ``"gexf"`` (1.2, as Gephi reads it) or ``"graphml"``.

    Raises:
        UserError: There is no such realization or format, or the realization has no network.
        RunFolderError: The log is damaged.
        StorageError: The file cannot be written.
    """
    check_unchanged(run)
    write = graph_writer(graph_format)
    with _new_file(path) as file, run.snapshot() as connection:
        write(connection, run.path, realization, file)


def export_graphs(run: Run, folder: Path, graph_format: GraphFormat) -> None:
    """Write the network of each realization as `export_graph` does, to ``realization-00000.gexf`` and so on.

    Args:
        run: The run.
        folder: Where to; an older export there is replaced whole.
        graph_format: ``"gexf"`` or ``"graphml"``.

    Raises:
        UserError: There is no such format, no realization has a network, or `folder` holds something else.
        RunFolderError: The log is damaged.
        StorageError: The files cannot be written; `folder` is as it was.
    """
    check_unchanged(run)
    write = graph_writer(graph_format)
    ours = re.compile(rf"realization-\d{{5,}}\.{graph_format}").fullmatch
    with run.snapshot() as connection:
        drawable = "SELECT realization FROM realizations WHERE network IS NOT NULL ORDER BY realization"
        numbers = [number for (number,) in connection.execute(drawable)]
        if not numbers:
            raise UserError(
                f"{run.folder}: no realization has a network that could be drawn: none has begun yet, or the "
                "experiment asks each agent alone"
            )
        with _new_folder(folder, lambda name: ours(name) is not None) as made:
            for number in numbers:
                with (made / f"realization-{number:05d}.{graph_format}").open("xb") as file:
                    write(connection, run.path, number, file)


def _schema(table: str, *, blobs: bool = True) -> pa.Schema:
    """Translate the declared column types; views' computed columns have none, and are texts but for some."""
    import pyarrow as pa

    with closing(sqlite3.connect(":memory:")) as empty:
        for statement in statements():
            empty.execute(statement)
        rows = empty.execute(f"PRAGMA table_info({table})").fetchall()
    computed = _COMPUTED if table in VIEWS else {}
    declared = [(name, computed.get(name) or kind or "TEXT") for _, name, kind, *_ in rows]
    return pa.schema([(name, _ARROW[kind]) for name, kind in declared if blobs or kind != "BLOB"])


def _batches(connection: sqlite3.Connection, table: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Read the columns of `schema` from `table`, a few rows at a time, in the order of the table's key."""
    import pyarrow as pa

    names = ", ".join(f'"{name}"' for name in schema.names)
    cursor = connection.execute(f"SELECT {names} FROM {table} {VIEW_ORDER.get(table, '')}")  # noqa: S608 - our own
    # A blob is a whole network: those of a million agents are read one by one.
    n_rows = 1 if pa.binary() in schema.types else _ROWS_AT_ONCE
    while rows := cursor.fetchmany(n_rows):
        columns = zip(zip(*rows, strict=True), schema.types, strict=True)
        try:
            yield pa.record_batch([pa.array(values, kind) for values, kind in columns], schema=schema)
        except (pa.ArrowException, OverflowError) as error:
            raise RunFolderError(
                f"table {table} holds a value of another type than its column's ({error}); another program "
                "must have changed it: go on with a copy of the run"
            ) from error


def _grouped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Put batches together to the row groups of a Parquet file: large, but not too large for the memory."""
    import pyarrow as pa

    group: list[pa.RecordBatch] = []
    n_rows = n_bytes = 0
    for batch in batches:
        group.append(batch)
        n_rows += batch.num_rows
        n_bytes += batch.nbytes
        if n_rows >= _GROUP_ROWS or n_bytes >= _GROUP_BYTES:
            yield pa.Table.from_batches(group)
            group, n_rows, n_bytes = [], 0, 0
    if group:
        yield pa.Table.from_batches(group)


def _write_csv(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    import pyarrow as pa
    import pyarrow.csv as pc

    with path.open("xb") as file, pc.CSVWriter(file, schema) as writer:
        for batch in batches:
            writer.write_batch(pa.record_batch(list(map(guarded_column, batch.columns)), schema=schema))


def _edge_schema(networks: Iterable[Network]) -> pa.Schema:
    """Name the columns of edges.csv; direction and attributes have theirs where a network has any."""
    import pyarrow as pa

    columns = {"network": "string", "source": "int32", "target": "int32"}
    columns |= {"source_label": "string", "target_label": "string"}
    for network in networks:
        columns |= {"directed": "bool"} if network.is_directed else {}
        for name, values in network.edge_attributes.items():
            column, kind = _edge_column(name), _OF_EDGES[values.dtype.kind]
            columns[column] = kind if columns.get(column, kind) == kind else "string"
    return pa.schema(list(columns.items()))


def _edge_column(name: str) -> str:
    return free_name(name, _EDGE_COLUMNS)


def _edge_batches(networks: Iterable[tuple[str, Network]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for key, network in networks:
        edges = network.edges()
        columns = {_edge_column(name): pa.array(values) for name, values in network.edge_values.items()}
        facts = {"network": key, "directed": network.is_directed}
        columns |= {name: pa.repeat(value, len(edges)) for name, value in facts.items()}
        names = None if network.labels is None else pa.array(network.labels, "string")
        for name, ends in zip(("source", "target"), map(pa.array, edges.T), strict=True):
            columns |= {name: ends} if names is None else {name: ends, f"{name}_label": names.take(ends)}
        whole = [
            columns.get(field.name, pa.nulls(len(edges), field.type)).cast(field.type) for field in schema
        ]
        for start in range(0, len(edges), _EDGES_AT_ONCE):
            yield pa.record_batch([each.slice(start, _EDGES_AT_ONCE) for each in whole], schema=schema)


@contextmanager
def _new_folder(folder: Path, ours: Callable[[str], bool]) -> Iterator[Path]:
    """Give a folder to write to, which then takes the place of `folder`; after an error it vanishes.

    A folder with a file whose name is not `ours` is not replaced.
    """
    # A link stays a link: what it points to is replaced.
    folder = folder.resolve()
    with _storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        tidy(folder)
        _refuse_others(folder, ours)
        with new_folder(folder) as made:
            yield made


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which then takes the place of `path`; after an error it vanishes."""
    path = path.resolve()
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path) as file:
            yield file


def _storage_errors(place: Path) -> AbstractContextManager[None]:
    return storage_errors(
        place,
        "the export cannot be written",
        "free disk space or choose another place, then export again: the event log is as it was",
    )


def _refuse_others(folder: Path, ours: Callable[[str], bool]) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; choose a folder for the export")
    others = sorted(path.name for path in folder.iterdir() if not (path.is_file() and ours(path.name)))
    if others:
        raise UserError(
            f"{folder} holds {others[0]!r}, which is no part of such an export; choose a new folder: an "
            "older export is replaced whole"
        )
