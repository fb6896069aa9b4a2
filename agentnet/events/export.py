"""Write a run's tables and networks in other programs' formats: Parquet, CSV, GEXF, GraphML.

Everything is written under a temporary name beside its place, then renamed: nothing half-written is ever
under the final name. A run that is still played is exported as it stands, all files as of the same moment.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import RunFolderError, UserError, near_miss
from agentnet.events.checksums import check_unchanged
from agentnet.events.read import Run, digest, free_name
from agentnet.events.schema import SCHEMA_VERSION, TABLES, VIEW_ORDER, VIEWS, statements
from agentnet.events.writer import storable
from agentnet.files import new_file, new_folder, storage_errors, tidy
from agentnet.formulas import guarded_column
from agentnet.vocabulary import TRAITS

if TYPE_CHECKING:
    import networkx as nx
    import pyarrow as pa

Edges = NDArray[np.int32]
GraphFormat = Literal["gexf", "graphml"]

_EXPORTED = (*TABLES, *VIEWS)
_ARROW = {"INTEGER": "int64", "REAL": "float64", "TEXT": "string", "BLOB": "binary"}
_COMPUTED = {"condition": "INTEGER"}

_ROWS_AT_ONCE = 2_000
_GROUP_ROWS = 200_000
_GROUP_BYTES = 64 << 20
_EDGES_AT_ONCE = 100_000

# Names that nodes have themselves, or that GEXF's writer takes for its own.
_OWN = (
    *("label", "profile", *TRAITS, "initial", "engaged_step"),
    *("id", "pid", "start", "end", "slices", "spells", "viz", "parents"),
)
# What begins with a zero (007) is a name or a code, and stays a text; so does what 64 bits cannot hold.
_WHOLE = re.compile("0|-?[1-9][0-9]{0,17}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
    where there are some. UTF-8, lines end by a line feed; every text is quoted, numbers are not, and a
    missing value is empty without quotes. Texts are written as they are, with one exception, so that no
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
        schema = _edge_schema()
        _write_csv(made / "edges.csv", schema, _edge_batches(connection, run.path, schema))


def export_graph(run: Run, realization: int, path: Path, graph_format: GraphFormat) -> None:
    """Write the network of `realization`, and what became of its agents, as GEXF or GraphML.

    Nodes have ``label``, ``profile`` (five bits), the five traits (0 or 1), ``initial``, ``engaged_step`` if
    they ever engaged, and what the network's file or a node table says of them: numbers where all values of
    an attribute are numbers, else texts; ``attribute_NAME`` where NAME means something else here. Edges have
    ``won_over``: whether a message over this edge got a yes at the step at which its reader engaged; several
    can win over one agent. Characters that XML cannot hold become U+FFFD.

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
    write = _graph_writer(graph_format)
    with _new_file(path) as file, run.snapshot() as connection:
        write(_graph(connection, run.path, realization), file)


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
    write = _graph_writer(graph_format)
    ours = re.compile(rf"realization-\d{{5,}}\.{graph_format}").fullmatch
    with run.snapshot() as connection:
        drawable = "SELECT realization FROM realizations WHERE network IS NOT NULL ORDER BY realization"
        numbers = [number for (number,) in connection.execute(drawable)]
        if not numbers and "interviews" in run.meta:
            raise UserError(
                f"{run.folder} is a run of interacting models, which have no network; who interviewed whom "
                "is table interviews of: agentnet export --format csv"
            )
        if not numbers:
            raise UserError(
                f"{run.folder}: no realization has a network that could be drawn: none has begun yet, or the "
                "experiment asks each agent alone"
            )
        with _new_folder(folder, lambda name: ours(name) is not None) as made:
            for number in numbers:
                with (made / f"realization-{number:05d}.{graph_format}").open("xb") as file:
                    write(_graph(connection, run.path, number), file)


def read_edges(run: Run, network_digest: str) -> Edges:
    """Read the edges of a network.

    Args:
        run: The run.
        network_digest: The network's key, as in column ``network`` of table ``realizations``.

    Returns:
        Pairs of agents, shape ``(n_edges, 2)``, int32.

    Raises:
        UserError: There is no such network in the log.
        RunFolderError: The log is damaged.
    """
    with run.connection() as connection:
        return _network(connection, run.path, network_digest)[0]


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


def _edge_schema() -> pa.Schema:
    import pyarrow as pa

    names = ("network", "source", "target", "source_label", "target_label")
    return pa.schema(zip(names, ("string", "int32", "int32", "string", "string"), strict=True))


def _edge_batches(connection: sqlite3.Connection, path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for (name,) in connection.execute("SELECT network FROM networks ORDER BY rowid"):
        edges, labels = _network(connection, path, name)
        named = None if labels is None else pa.array(labels, "string")
        for start in range(0, len(edges), _EDGES_AT_ONCE):
            ends = edges[start : start + _EDGES_AT_ONCE].T
            texts = [pa.nulls(ends.shape[1], "string") if named is None else named.take(end) for end in ends]
            columns = [pa.repeat(name, ends.shape[1]), *map(pa.array, ends), *texts]
            yield pa.record_batch(columns, schema=schema)


def _network(connection: sqlite3.Connection, path: Path, network: str) -> tuple[Edges, list[str] | None]:
    """Read the edges and labels of a network, and make sure that they are whole."""
    query = "SELECT n_agents, n_edges, edges, labels FROM networks WHERE network = ?"
    row = connection.execute(query, (network,)).fetchone()
    if row is None:
        raise UserError(f"{path} holds no network {network!r}; table networks lists them")
    n_agents, n_edges, blob, text = row
    labels = None if text is None else [str(label) for label in storable(json.loads(text))]
    if len(blob) == 8 * n_edges and (labels is None or len(labels) == n_agents):
        edges = np.frombuffer(blob, dtype="<i4").astype(np.int32).reshape(-1, 2)
        if not ((edges < 0) | (edges >= n_agents)).any():
            return edges, labels
    raise RunFolderError(f"{path}: network {network} is damaged; go on with a copy of the run")


def _graph(connection: sqlite3.Connection, path: Path, realization: int) -> nx.Graph[int]:
    """Build the networkx graph that `export_graph` describes."""
    import networkx as nx

    edges, labels = _network(connection, path, _network_of(connection, path, realization))
    graph: nx.Graph[int] = nx.Graph()
    query = "SELECT agent, profile, engaged_step, attributes FROM agents WHERE realization = ? ORDER BY agent"
    rows = connection.execute(query, (realization,)).fetchall()
    known = _attributes([None if text is None else json.loads(text) for *_, text in rows])
    for (agent, profile, engaged_step, _), attributes in zip(rows, known, strict=True):
        label = str(agent) if labels is None else _NO_XML.sub("\ufffd", labels[agent])
        graph.add_node(agent, **_node(label, profile, engaged_step), **attributes)
    graph.add_edges_from(edges.tolist(), won_over=False)
    graph.add_edges_from(connection.execute(_WON_OVER, (realization,)), won_over=True)
    return graph


def _node(label: str, profile: str, engaged_step: int | None) -> dict[str, Any]:
    traits = {trait: int(bit) for trait, bit in zip(TRAITS, profile, strict=True)}
    engaged = {} if engaged_step is None else {"engaged_step": engaged_step}
    return {"label": label, "profile": profile, **traits, "initial": engaged_step == 0, **engaged}


def _attributes(known: list[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Name and type what is known of agents as networks' formats can: an attribute has one type."""
    found: list[dict[str, Any]] = [{} for _ in known]
    taken = set(_OWN)
    for name in dict.fromkeys(name for row in known for name in row or ()):
        free = free_name(_NO_XML.sub("\ufffd", str(*storable((name,)))), taken)
        taken.add(free)
        values = [None if row is None else row.get(name) for row in known]
        of = _type_of([value for value in values if value is not None])
        for node, value in zip(found, values, strict=True):
            if value is not None:
                node[free] = _NO_XML.sub("\ufffd", str(*storable((value,)))) if of is str else of(value)
    return found


def _type_of(values: list[Any]) -> Callable[[Any], Any]:
    """Find the narrowest type that changes no value but its spelling."""
    if all(isinstance(value, bool) for value in values):
        return bool
    spelled = [str(value) for value in values]
    if all(_WHOLE.fullmatch(text) for text in spelled):
        return int
    return float if all(_NUMBER.fullmatch(text) for text in spelled) else str


_WON_OVER = """
SELECT source, agent FROM events JOIN agents USING (realization, agent)
WHERE realization = ? AND kind = 'exposure' AND decision = 1 AND step = engaged_step
"""


def _network_of(connection: sqlite3.Connection, path: Path, realization: int) -> str:
    query = "SELECT network FROM realizations WHERE realization = ?"
    row = connection.execute(query, (realization,)).fetchone()
    if row is None:
        raise UserError(f"{path} holds no realization {realization}; table realizations lists them")
    if row[0] is None:
        raise UserError(f"{path}: realization {realization} has no network: it asks each agent alone")
    return str(row[0])


def _graph_writer(graph_format: str) -> Callable[[nx.Graph[int], BinaryIO], None]:
    import networkx as nx

    writers: dict[str, Callable[[nx.Graph[int], BinaryIO], None]] = {
        "gexf": nx.write_gexf,
        "graphml": nx.write_graphml,
    }
    if graph_format not in writers:
        raise UserError(f"{graph_format!r} is no format for networks{near_miss(graph_format, writers)}")
    return writers[graph_format]


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
