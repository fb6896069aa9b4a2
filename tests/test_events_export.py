"""What is exported is what stands in the log, whole or not at all."""

import asyncio
import csv
import json
import os
import resource
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import networkx as nx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentnet.errors import RunFolderError, StorageError, UserError
from agentnet.events import LOG_NAME, SCHEMA_VERSION, TABLES, VIEWS, EventLog, Run, close_for_good, create_log
from agentnet.events.export import (
    _grouped,
    export_csv,
    export_graph,
    export_graphs,
    export_parquet,
    read_edges,
)
from agentnet.files import replace_folder
from agentnet.formulas import guarded

EXPORTED = [*TABLES, *VIEWS]
EXPORTS = {
    "parquet": export_parquet,
    "csv": export_csv,
    "gexf": lambda run, folder: export_graphs(run, folder, "gexf"),
    "graphml": lambda run, folder: export_graphs(run, folder, "graphml"),
}
READ = {"gexf": lambda path: nx.read_gexf(path, node_type=int), "graphml": nx.read_graphml}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def change(run, statement, *parameters):
    """Change a log as another program would."""
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute(statement, parameters)
        connection.commit()


@contextmanager
def files_of_at_most(n_bytes):
    """Let no file of this process grow beyond `n_bytes`: writing fails as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_parquet_holds_the_rows_of_every_table(sample_run, tmp_path):
    run = sample_run()
    export_parquet(run, tmp_path / "out")
    for table in EXPORTED:
        exported = pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()
        names, rows = run.rows(f"SELECT * FROM {table}")
        assert len(exported) == len(rows) > 0
        assert sorted(exported, key=repr) == sorted(
            (dict(zip(names, row, strict=True)) for row in rows), key=repr
        )


def test_parquet_columns_have_their_declared_types_even_in_an_empty_run(new_log, tmp_path):
    export_parquet(Run(new_log()), tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out" / "decisions.parquet")
    assert len(pq.read_table(tmp_path / "out" / "decisions.parquet")) == 0
    assert {str(schema.field(name).type) for name in ("step", "decision", "cached")} == {"int64"}
    assert {str(schema.field(name).type) for name in ("temperature", "at")} == {"double"}
    assert {str(schema.field(name).type) for name in ("profile", "backend", "missing", "rationale")} == {
        "string"
    }
    assert pq.read_schema(tmp_path / "out" / "networks.parquet").field("edges").type == pa.binary()


def test_an_all_missing_column_keeps_its_type(sample_run, tmp_path):
    run = sample_run()
    change(run, "UPDATE events SET completion_tokens = NULL, missing = NULL")
    export_parquet(run, tmp_path / "out")
    events = pq.read_table(tmp_path / "out" / "events.parquet")
    assert (events["completion_tokens"].type, events["missing"].type) == (pa.int64(), pa.string())
    assert events["completion_tokens"].null_count == events["missing"].null_count == len(events) > 0


def test_parquet_files_name_the_run_by_its_digest(sample_run, tmp_path):
    run = sample_run()
    export_parquet(run, tmp_path / "out")
    for table in EXPORTED:
        metadata = pq.read_schema(tmp_path / "out" / f"{table}.parquet").metadata
        assert metadata[b"agentnet_digest"].decode() == run.digest()
        assert metadata[b"agentnet_schema_version"].decode() == str(SCHEMA_VERSION)


def test_row_groups_hold_every_row_in_order_and_stay_within_bounds():
    small = [pa.record_batch({"n": range(i, i + 60_000)}) for i in range(0, 480_000, 60_000)]
    groups = list(_grouped(small))
    assert [len(group) for group in groups] == [240_000, 240_000]
    assert pa.concat_tables(groups) == pa.Table.from_batches(small)
    large = [pa.record_batch({"text": ["x" * 40_000_000]})] * 3
    assert [len(group) for group in _grouped(large)] == [2, 1]


def test_duckdb_reads_the_parquet_files_as_sqlite_reads_the_log(sample_run, tmp_path):
    run = sample_run()
    export_parquet(run, tmp_path / "out")
    query = (
        "SELECT profile, news, severity, COUNT(*), COUNT(decision), SUM(decision) FROM {} "
        "WHERE kind = 'exposure' GROUP BY profile, news, severity"
    )
    with duckdb.connect() as duck:
        found = duck.execute(query.format(f"'{tmp_path / 'out' / 'decisions.parquet'}'")).fetchall()
    assert sorted(found, key=str) == sorted(run.rows(query.format("decisions"))[1], key=str)


def test_duckdb_reads_the_log_itself(sample_run):
    run = sample_run()
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as duck:
        try:
            duck.execute("LOAD sqlite")
        except duckdb.Error as error:
            pytest.skip(f"DuckDB's sqlite extension is not installed, and cannot be had offline: {error}")
        duck.execute(f"ATTACH '{run.path}' AS log (TYPE sqlite, READ_ONLY)")
        found = duck.execute("SELECT step, agent, source, decision FROM log.events ORDER BY ALL").fetchall()
    assert sorted(found) == sorted(run.rows("SELECT step, agent, source, decision FROM events")[1])


def means(cell, value):
    """Say whether a CSV cell is how `value` is written."""
    return cell == "" if value is None else type(value)(cell) == value


def test_csv_holds_the_rows_of_every_table_without_blobs(sample_run, tmp_path):
    run = sample_run()
    export_csv(run, tmp_path / "out")
    for table in EXPORTED:
        header, *rows = read_csv(tmp_path / "out" / f"{table}.csv")
        assert header == [name for name in run.rows(f"SELECT * FROM {table}")[0] if name != "edges"]
        expected = run.rows(f"SELECT {', '.join(header)} FROM {table}")[1]
        assert len(rows) == len(expected) > 0
        for row, values in zip(sorted(rows), sorted(expected, key=lambda row: [*map(str, row)]), strict=True):
            assert all(means(*pair) for pair in zip(row, values, strict=True)), (row, values)


def test_tables_are_exported_in_the_order_of_their_keys(sample_run, tmp_path):
    run = sample_run()
    export_parquet(run, tmp_path / "out")
    for table in ("events", "decisions"):
        rows = pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()
        keys = [[row[name] for name in ("realization", "kind", "step", "agent", "source")] for row in rows]
        assert keys == sorted(keys)


def test_csv_quotes_texts_and_nothing_else_so_that_missing_and_empty_differ(new_log, event_row, tmp_path):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            log.add("replies", [(1, "", "=1+1", "01101", None), (2, None, 'a "b"\r\nc', "m", "f")])

    asyncio.run(play())
    export_csv(Run(folder), tmp_path / "out")
    assert (tmp_path / "out" / "replies.csv").read_bytes() == (
        b'"reply","text","rationale","model","fingerprint"\n'
        b'1,"","\'=1+1","01101",\n2,,"a ""b""\r\nc","m","f"\n'
    )


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    replies=st.lists(st.tuples(st.none() | texts, texts, texts, st.none() | texts), max_size=5),
    seconds=st.floats(allow_nan=False, allow_infinity=False),
)
def test_texts_and_numbers_are_exported_as_they_are_but_for_formulas(
    tmp_path_factory, event_row, replies, seconds
):
    folder = tmp_path_factory.mktemp("run")
    create_log(folder, {}, [(0, "N1", None, "", "", "{}")])
    rows = [(number, *reply) for number, reply in enumerate(replies)]
    event = event_row(prompt_tokens=-(2**63), completion_tokens=2**63 - 1, latency_s=seconds, at=seconds)

    async def play():
        async with EventLog(folder) as log:
            log.add("replies", rows)
            log.add_event(event)

    asyncio.run(play())
    export_csv(Run(folder), folder / "csv")
    export_parquet(Run(folder), folder / "parquet")
    table = pq.read_table(folder / "parquet" / "replies.parquet")
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    assert [["" if v is None else guarded(str(v)) for v in row] for row in rows] == read_csv(
        folder / "csv" / "replies.csv"
    )[1:]
    exported = pq.read_table(folder / "parquet" / "events.parquet").to_pylist()
    assert tuple(exported[0].values()) == event
    cells = read_csv(folder / "csv" / "events.csv")[1]
    assert [int(cells[11]), int(cells[12]), float(cells[16])] == [-(2**63), 2**63 - 1, seconds]


def test_pandas_reads_profiles_as_texts_when_told_to(sample_run, tmp_path):
    run = sample_run()
    export_csv(run, tmp_path / "out")
    agents = pd.read_csv(tmp_path / "out" / "agents.csv", dtype={"profile": str})
    assert agents["profile"].tolist() == run.frame("agents")["profile"].tolist()


def test_csv_lists_the_edges_of_every_network_with_the_names_of_their_ends(sample_run, tmp_path):
    run = sample_run()
    edges = np.array([(0, 2)], dtype="<i4").tobytes()
    change(run, "INSERT INTO networks VALUES ('net-c', 'unnamed', 3, 1, ?, NULL)", edges)
    export_csv(run, tmp_path / "out")
    header, *rows = read_csv(tmp_path / "out" / "edges.csv")
    assert header == ["network", "source", "target", "source_label", "target_label"]
    assert rows == [
        ["net-a", "0", "1", "Ana", "Björn & Co"],
        ["net-a", "0", "2", "Ana", "<Ćela>"],
        ["net-a", "1", "2", "Björn & Co", "<Ćela>"],
        ["net-a", "2", "3", "<Ćela>", "bell \x07"],
        ["net-a", "3", "4", "bell \x07", "E"],
        ["net-c", "0", "2", "", ""],
    ]


def test_a_large_network_is_exported_edge_by_edge(new_log, tmp_path):
    folder = new_log()
    edges = np.column_stack((np.zeros(250_001, dtype="<i4"), np.arange(1, 250_002, dtype="<i4")))

    async def play():
        async with EventLog(folder) as log:
            log.add("networks", [("star", "star", 250_002, 250_001, edges.tobytes(), None)])

    asyncio.run(play())
    assert (read_edges(Run(folder), "star") == edges).all()
    export_csv(Run(folder), tmp_path / "out")
    exported = pd.read_csv(tmp_path / "out" / "edges.csv")
    assert (exported[["source", "target"]].to_numpy() == edges).all()


def test_edges_are_read_as_pairs_of_agents(sample_run):
    edges = read_edges(sample_run(), "net-a")
    assert (edges.dtype, edges.shape) == (np.int32, (5, 2))
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2], [2, 3], [3, 4]]
    assert read_edges(sample_run(), "net-b").shape == (0, 2)


def test_an_unknown_network_is_the_callers_error(sample_run):
    with pytest.raises(UserError, match="no network 'net-z'; table networks"):
        read_edges(sample_run(), "net-z")


@pytest.mark.parametrize(
    "column", ["edges = x'00'", "n_agents = 4, labels = NULL", "labels = '[\"only one\"]'"]
)
def test_a_damaged_network_is_refused(sample_run, tmp_path, column):
    run = sample_run()
    change(run, f"UPDATE networks SET {column} WHERE network = 'net-a'")
    for export in (export_csv, EXPORTS["gexf"]):
        with pytest.raises(RunFolderError, match="network net-a is damaged"):
            export(run, tmp_path / "out")
    assert list(tmp_path.glob("out*")) == list(tmp_path.glob(".out*")) == []


@pytest.mark.parametrize("graph_format", READ)
def test_a_graph_holds_the_network_and_what_became_of_its_agents(sample_run, tmp_path, graph_format):
    run = sample_run()
    path = tmp_path / "new" / f"net.{graph_format}"
    export_graph(run, 0, path, graph_format)
    graph = nx.relabel_nodes(READ[graph_format](path), int)
    assert sorted(graph.edges) == [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4)]
    won_over = {(0, 1), (0, 2), (1, 2), (2, 3)}
    assert {edge for edge in graph.edges if graph.edges[edge]["won_over"]} == won_over
    nodes = dict(graph.nodes(data=True))
    assert [nodes[agent]["label"] for agent in range(5)] == [
        "Ana",
        "Björn & Co",
        "<Ćela>",
        "bell \ufffd",
        "E",
    ]
    assert [nodes[agent].get("engaged_step") for agent in range(5)] == [1, 2, 0, 1, None]
    assert [nodes[agent]["initial"] for agent in range(5)] == [False, False, True, False, False]
    traits = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
    for agent, profile in enumerate(["01101", "00000", "11111", "10000", "00001"]):
        assert nodes[agent]["profile"] == profile
        assert "".join(str(nodes[agent][trait]) for trait in traits) == profile


def test_half_characters_in_names_are_spelled_out(sample_run, tmp_path):
    run = sample_run()
    change(run, "UPDATE networks SET labels = ?", json.dumps(["\ud83d", *"bcde"]))
    change(run, "DELETE FROM networks WHERE network = 'net-b'")
    export_csv(run, tmp_path / "out")
    export_graph(run, 0, tmp_path / "net.gexf", "gexf")
    assert read_csv(tmp_path / "out" / "edges.csv")[1][3:] == [r"\ud83d", "b"]
    assert nx.read_gexf(tmp_path / "net.gexf").nodes["0"]["label"] == r"\ud83d"


@pytest.mark.parametrize("graph_format", READ)
def test_every_network_is_exported_to_a_file_of_its_realization(sample_run, tmp_path, graph_format):
    run = sample_run()
    export_graphs(run, tmp_path / "out", graph_format)
    names = [f"realization-{number:05d}.{graph_format}" for number in (0, 1)]
    assert sorted(contents(tmp_path / "out")) == names
    unstarted = READ[graph_format](tmp_path / "out" / names[1])
    assert (len(unstarted), unstarted.number_of_edges()) == (3, 0)
    assert [data["label"] for _, data in unstarted.nodes(data=True)] == ["0", "1", "2"]


def test_a_yes_before_or_after_the_agent_engaged_won_nobody_over(sample_run, event_row, tmp_path):
    run = sample_run()
    change(run, "UPDATE agents SET engaged_step = 1 WHERE realization = 0 AND agent = 1")
    export_graph(run, 0, tmp_path / "net.gexf", "gexf")
    graph = nx.read_gexf(tmp_path / "net.gexf", node_type=int)
    assert not graph.edges[0, 1]["won_over"]
    assert not graph.edges[1, 2]["won_over"]


def test_a_run_without_networks_has_no_graphs(new_log, tmp_path):
    folder = new_log()
    with pytest.raises(UserError, match="no realization has a network"):
        export_graphs(Run(folder), tmp_path / "out", "gexf")
    change(
        Run(folder), "INSERT INTO realizations VALUES (0, '{}', 0, 0, NULL, 7, 'running', NULL, 0, 1.0, NULL)"
    )
    with pytest.raises(UserError, match="realization 0 has no network: it asks each agent alone"):
        export_graph(Run(folder), 0, tmp_path / "net.gexf", "gexf")
    with pytest.raises(UserError, match="no realization 1; table realizations"):
        export_graph(Run(folder), 1, tmp_path / "net.gexf", "gexf")
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name]


def test_an_unknown_graph_format_is_the_callers_error(sample_run, tmp_path):
    for export in (export_graphs, lambda *args: export_graph(args[0], 0, *args[1:])):
        with pytest.raises(UserError, match="did you mean 'graphml'"):
            export(sample_run(), tmp_path / "out", "grapml")


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_export_replaces_an_older_one_whole(sample_run, tmp_path, kind):
    run, folder = sample_run(), tmp_path / "out"
    EXPORTS[kind](run, folder)
    before = contents(folder)
    stale = min(before)
    (folder / stale).write_bytes(b"stale")
    (folder / sorted(before)[1]).unlink()
    EXPORTS[kind](run, folder)
    assert contents(folder).keys() == before.keys()
    assert b"stale" not in contents(folder).values()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "sample-0"]


@pytest.mark.parametrize("kind", EXPORTS)
def test_a_folder_with_anything_else_is_never_replaced(sample_run, tmp_path, kind):
    run, folder = sample_run(), tmp_path / "out"
    EXPORTS[kind](run, folder)
    (folder / "thesis.tex").write_text("years of work")
    before = contents(folder)
    with pytest.raises(UserError, match=r"'thesis\.tex', which is no part of such an export"):
        EXPORTS[kind](run, folder)
    assert contents(folder) == before
    with pytest.raises(UserError, match="is no part of such an export"):
        EXPORTS[kind](run, run.folder)
    with pytest.raises(UserError, match="is a file; choose a folder"):
        EXPORTS[kind](run, run.path)
    assert run.path.is_file()


@pytest.mark.parametrize("kind", EXPORTS)
def test_a_full_disk_leaves_the_older_export_as_it_was(sample_run, tmp_path, kind):
    run, folder = sample_run(), tmp_path / "out"
    EXPORTS[kind](run, folder)
    before = contents(folder)
    assert close_for_good(run.path)  # else reading needs a little room on the disk, too
    with files_of_at_most(100), pytest.raises(StorageError, match="free disk space or choose another place"):
        EXPORTS[kind](run, folder)
    assert contents(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "sample-0"]


def test_a_graph_that_cannot_be_written_leaves_the_older_file(sample_run, tmp_path):
    run, path = sample_run(), tmp_path / "net.gexf"
    export_graph(run, 0, path, "gexf")
    before = path.read_bytes()
    assert close_for_good(run.path)
    with files_of_at_most(100), pytest.raises(StorageError, match="free disk space"):
        export_graph(run, 1, path, "gexf")
    assert path.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.gexf", "sample-0"]


def test_what_a_killed_export_left_does_not_disturb_the_next(sample_run, tmp_path):
    run, folder = sample_run(), tmp_path / "out"
    export_csv(run, folder)
    for left in (f".out.{os.getpid()}.partial", f".out.{os.getpid()}.old"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "meta.csv").write_text("half")
    export_csv(run, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "sample-0"]
    assert len(contents(folder)) == len(EXPORTED) + 1


def test_an_export_that_cannot_take_its_place_gives_it_back(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "meta.csv").write_text(name)
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "vanished", tmp_path / "old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "vanished", tmp_path / "never")
    assert (tmp_path / "old" / "meta.csv").read_text() == "old"
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "meta.csv").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_an_export_through_a_link_replaces_what_it_points_to(sample_run, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    export_csv(sample_run(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert "meta.csv" in contents(tmp_path / "disk")


def test_a_run_that_is_still_played_is_exported_as_it_stands(new_log, event_row, tmp_path):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            log.add("prompts", [(0, "", "exposure", "01101", 0, "[]")])
            log.add_event(event_row(step=1))
            await log.flush()
            digest = Run(folder).digest()
            log.add_event(event_row(step=2))
            export_parquet(Run(folder), tmp_path / "out")
            await log.flush()
        return digest

    digest = asyncio.run(play())
    for table in ("events", "decisions"):
        exported = pq.read_table(tmp_path / "out" / f"{table}.parquet")
        assert exported["step"].to_pylist() == [1]
        assert exported.schema.metadata[b"agentnet_digest"].decode() == digest != Run(folder).digest()


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_all_files_of_an_export_show_the_same_moment(sample_run, tmp_path, kind):
    run = sample_run()

    def go_on(sql):
        if "FROM prompts" in sql:
            change(run, "UPDATE events SET decision = 1 - decision")

    class Played(Run):
        @contextmanager
        def connection(self):
            with Run.connection(self) as connection:
                connection.set_trace_callback(go_on)
                yield connection

    EXPORTS[kind](run, tmp_path / "before")
    EXPORTS[kind](Played(run.folder), tmp_path / "during")
    EXPORTS[kind](run, tmp_path / "after")
    assert contents(tmp_path / "before") == contents(tmp_path / "during") != contents(tmp_path / "after")


def test_a_value_of_a_wrong_type_is_reported_with_its_table(sample_run, tmp_path):
    run = sample_run()
    change(run, "UPDATE steps SET n_yes = 'many'")
    with pytest.raises(RunFolderError, match=r"steps\.n_yes holds what no run writes there"):
        export_parquet(run, tmp_path / "out")


def test_a_damaged_log_is_reported_and_nothing_is_left_of_the_export(sample_run, tmp_path):
    run = sample_run()
    for suffix in ("-wal", "-shm"):
        Path(f"{run.path}{suffix}").unlink(missing_ok=True)
    size = run.path.stat().st_size
    with run.path.open("r+b") as file:
        file.seek(size // 3)
        file.write(b"\xff" * (size // 2))
    for export in EXPORTS.values():
        with pytest.raises(RunFolderError, match="damaged"):
            export(run, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sample-0"]


def test_labels_of_the_networks_table_stay_json(sample_run, tmp_path):
    export_csv(sample_run(), tmp_path / "out")
    header, first, second = read_csv(tmp_path / "out" / "networks.csv")
    assert json.loads(first[header.index("labels")])[2] == "<Ćela>"
    assert second[header.index("labels")] == ""


def test_the_log_is_not_touched_by_an_export(sample_run, tmp_path):
    run = sample_run()
    before = run.path.read_bytes()
    for kind, export in EXPORTS.items():
        export(run, tmp_path / kind)
    assert run.path.read_bytes() == before
    assert run.path.name == LOG_NAME
