"""What a killed writer left is recovered by who looks next, and a finished log that changed is refused."""

import asyncio
import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import agentnet
from agentnet import CascadeExperiment
from agentnet.analysis import read_tables
from agentnet.errors import RunFolderError
from agentnet.events import (
    LOG_NAME,
    TABLES,
    EventLog,
    Run,
    check_unchanged,
    close_for_good,
    create_log,
    is_closed_for_good,
    verify,
)
from agentnet.events.checksums import HASH_NAME, keep_hash
from agentnet.events.export import export_csv, export_graphs, export_parquet
from agentnet.events.opening import is_played


class Small(CascadeExperiment):
    items_per_severity = 1
    repeats = 1
    n_agents = 16
    degree = 3
    steps = 3


# Run a command as agentnet would, as somebody who may write nothing.
READER = """
import os, sys
import urllib.parse  # from Python 3.13 on a path imports it late, where nobody else may read the interpreter
from agentnet import Run
from agentnet.errors import RunFolderError
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    print(Run(__import__("pathlib").Path(sys.argv[1])).digest())
except RunFolderError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def hot(sample_run, tmp_path):
    """Copy a log as a kill leaves it in the middle of a transaction, where there is no write-ahead."""

    def hot(name="hot"):
        run = sample_run()
        assert close_for_good(run.path)
        digest = run.digest()
        with closing(sqlite3.connect(run.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the commit
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM events")
            connection.execute("UPDATE agents SET engaged_step = 9, profile = '11111'")
            connection.executemany(
                "INSERT INTO replies VALUES (?, ?, '', 'm', NULL)", [(n, "x" * 9000) for n in range(100, 130)]
            )
            folder = shutil.copytree(run.folder, tmp_path / name)
        assert (folder / f"{LOG_NAME}-journal").stat().st_size > 0
        return folder, digest

    return hot


def test_whoever_reads_takes_a_cut_off_transaction_back(hot):
    folder, digest = hot()
    assert Run(folder).digest() == digest
    assert [path.name for path in folder.glob("events*")] == [LOG_NAME]


def test_a_query_is_answered_by_a_run_whose_writer_was_killed_in_a_transaction(hot, command):
    found = command("query", hot()[0], "SELECT COUNT(*) AS n FROM events", "--json")
    assert (found.code, json.loads(found.out)) == (0, [{"n": 11}])


def test_who_goes_on_or_makes_a_run_finds_what_stood_before_the_transaction(hot):
    folder, digest = hot("one")

    async def play():
        async with EventLog(folder) as log:
            assert len(await log.recorded(0)) == 4

    asyncio.run(play())
    assert Run(folder).digest() == digest
    with pytest.raises(RunFolderError, match="holds a run already"):
        create_log(hot("two")[0], {})


@pytest.mark.parametrize("end", ["-journal", "-wal"])
def test_where_nothing_may_be_written_the_way_out_is_told(hot, sample_run, tmp_path, end):
    if end == "-journal":
        folder, digest = hot()
    else:
        run = sample_run()
        folder, digest = run.folder, run.digest()
        with closing(sqlite3.connect(run.path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("UPDATE events SET latency_s = 0")
            connection.commit()
            folder = shutil.copytree(folder, tmp_path / "copy")
        (folder / f"{LOG_NAME}-shm").unlink()
    before = {path.name: path.read_bytes() for path in folder.glob("events*")}
    assert f"{LOG_NAME}{end}" in before
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in folder.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path(parent.anchor) and "pytest" in str(parent):
            parent.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", READER, folder], capture_output=True, text=True, check=True)
    folder.chmod(0o755)
    assert "RunFolderError" in done.stdout
    assert "copy the whole run folder" in done.stdout
    assert {path.name: path.read_bytes() for path in folder.glob("events*")} == before
    for path in folder.glob("events*"):
        path.chmod(0o644)
    assert Run(folder).digest() == digest


def test_a_log_is_one_file_when_nothing_is_beside_it_and_its_head_says_so(sample_run):
    path = sample_run().path
    assert close_for_good(path)
    assert is_closed_for_good(path)
    for end in ("-wal", "-journal"):
        beside = path.with_name(path.name + end)
        beside.touch()
        assert not is_closed_for_good(path)
        beside.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert sorted(p.name for p in path.parent.glob("events*")) == [LOG_NAME]
    assert not is_closed_for_good(path)


# A finished log knows what it is


@pytest.fixture
def finished(sample_run):
    """Finish the sample run as a runner does."""

    def finished():
        run = sample_run()

        async def play():
            async with EventLog(run.folder) as log:
                await log.finish()

        asyncio.run(play())
        assert close_for_good(run.path)
        return Run(run.folder)

    return finished


def change(run, *statements):
    with closing(sqlite3.connect(run.path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return Run(run.folder)


def test_a_finished_log_keeps_its_digest_and_passes(finished):
    run = finished()
    assert run.meta["digest"] == run.digest()
    assert run.meta["checksums"]["tables"].keys() == TABLES.keys()
    check_unchanged(run)
    assert {what: told.split(":")[0] for what, told in verify(run).items()} == {
        "file": "ok",
        "references": "ok",
        "cells": "ok",
        "digest": "ok",
        "tables": "ok",
        "parquet": "unknown",
    }


CHANGES = {
    "meta": "UPDATE meta SET value = '\"real\"' WHERE key = 'backend'",
    "news": "UPDATE news SET text = 'texd'",
    "prompts": "UPDATE prompts SET messages = '[[]]'",
    "networks": "UPDATE networks SET edges = zeroblob(length(edges)) WHERE n_edges > 0",
    "realizations": "UPDATE realizations SET condition = '{\"a\": 1}' WHERE realization = 0",
    "agents": "UPDATE agents SET engaged_step = 3 WHERE realization = 0 AND agent = 4",
    "steps": "DELETE FROM steps WHERE step = 2",
    "replies": "UPDATE replies SET rationale = 'becausf' WHERE reply = 1",
    "events": "UPDATE events SET completion_tokens = 3 WHERE step = 2 AND agent = 4",
    "questions": "UPDATE questions SET answer = 'We swet.' WHERE question = 0",
    "models": "UPDATE models SET taught = '[2]' WHERE model = 1",
    "interviews": "UPDATE interviews SET n_candidates = 2 WHERE model = 0",
    "updates": "UPDATE updates SET measures = '{\"loss\": 0.6}' WHERE step = 1",
    "exposures": "UPDATE exposures SET context = '{}'",
    "messages": "UPDATE messages SET text = 'told agaim' WHERE message = 1",
    "changes": "UPDATE changes SET agent = 3",
    "measures": "UPDATE measures SET value = 2.5 WHERE agent = 0",
    "troubles": "UPDATE troubles SET text = 'Perhapt'",
    "incidents": "UPDATE incidents SET detail = '{\"a\": 1}' WHERE kind = 'finished'",
}


@pytest.mark.parametrize("table", TABLES)
def test_a_change_of_any_table_after_the_end_is_refused_and_named(finished, table):
    run = change(finished(), CHANGES[table])
    with pytest.raises(RunFolderError, match=rf"changed after the run had finished \(table {table}\)"):
        check_unchanged(run)
    found = verify(run)
    assert found["tables"] == f"damaged: since the run was finished table {table} changed"


def test_nothing_is_made_of_a_log_that_changed(finished, tmp_path):
    run = change(finished(), "UPDATE events SET decision = 0 WHERE step = 1 AND agent = 0")
    for make in (
        lambda: read_tables(run),
        lambda: export_parquet(run, tmp_path / "a"),
        lambda: export_csv(run, tmp_path / "b"),
        lambda: export_graphs(run, tmp_path / "c", "gexf"),
        lambda: asyncio.run(EventLog(run.folder).__aenter__()),
    ):
        with pytest.raises(RunFolderError, match="changed after the run had finished"):
            make()
    assert not [*tmp_path.glob("[abc]")]


def test_verify_says_what_is_damaged_and_exits_so(finished, command):
    run = finished()
    whole = command("verify", run.folder, "--json")
    assert (whole.code, json.loads(whole.out)["digest"]) == (0, f"ok: {run.digest()}")
    change(
        run, "UPDATE events SET decision = 0 WHERE step = 1 AND agent = 0", "UPDATE events SET prompt = 77"
    )
    broken = command("verify", run.folder, "--json")
    assert broken.code == 2
    assert [what for what, told in json.loads(broken.out).items() if told.startswith("damaged")] == [
        "references",
        "digest",
        "tables",
    ]
    assert "is damaged (references, digest, tables)" in broken.err
    assert command("verify", run.folder).out.count("damaged:") == 3


def everything(path):
    """Read every row of every table as any program does; None if that fails."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES]
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def test_no_flipped_byte_that_changes_what_is_read_passes(finished):
    path = finished().path
    content, before, n_changed = path.read_bytes(), everything(path), 0
    written = [place for place in range(100, len(content)) if content[place]]
    for place in random.Random(3).sample(written, 150):
        flipped = bytearray(content)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        if everything(path) == before:
            continue
        n_changed += 1
        with pytest.raises(RunFolderError):
            check_unchanged(Run(path.parent))
    assert n_changed > 75


def test_who_goes_on_with_a_finished_log_takes_its_seal_away_and_puts_on_a_new_one(finished):
    run = finished()
    before = run.meta

    async def play(*, to_the_end):
        async with EventLog(run.folder) as log:
            assert run.meta.keys() & {"digest", "checksums"} == set()
            assert run.meta["status"] == "running"
            log.add("engagements", [(2, 0, 4)])
            if to_the_end:
                await log.finish()

    asyncio.run(play(to_the_end=False))
    check_unchanged(Run(run.folder))
    assert verify(run)["tables"].startswith("unknown")
    asyncio.run(play(to_the_end=True))
    assert run.meta["digest"] == run.digest() != before["digest"]
    assert verify(run)["tables"] == "ok"


def test_damage_of_what_a_log_keeps_of_itself_is_damage(finished):
    end = '{"status": "finished", "finished_at": 2.0, "digest": "a"}'
    for value in (
        "[]",
        '{"last_incident": 1}',
        f'{{"end": {end}, "last_incident": 1, "tables": {{"evenus": "a"}}}}',
        f'{{"end": {end}, "last_incident": 1, "tables": []}}',
        '{"a": ',
        "7",
    ):
        run = change(finished(), "DELETE FROM meta WHERE key = 'checksums'")
        with closing(sqlite3.connect(run.path)) as connection, connection:
            connection.execute("INSERT INTO meta VALUES ('checksums', ?)", (value,))
        with pytest.raises(RunFolderError, match="damaged"):
            check_unchanged(run)
        assert verify(run)["tables"].startswith("damaged")


@pytest.mark.parametrize(
    ("spoil", "table"),
    [
        (lambda folder: (folder / "events.parquet").unlink(), "events"),
        (lambda folder: (folder / "replies.parquet").write_bytes(b"PAR1"), "replies"),
        (lambda folder: shutil.copy(folder / "news.parquet", folder / "decisions.parquet"), "decisions"),
    ],
)
def test_parquet_beside_a_log_is_compared_with_it(finished, spoil, table):
    run = finished()
    export_parquet(run, run.folder / "parquet")
    assert verify(run)["parquet"] == "ok"
    spoil(run.folder / "parquet")
    found = verify(run)
    assert found["parquet"].startswith(f"damaged: table {table} differ")
    assert "agentnet export" in found["parquet"]
    assert found["tables"] == "ok"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE meta SET value = '\"finishee\"' WHERE key = 'status'",
        "UPDATE meta SET value = '1.5' WHERE key = 'finished_at'",
        "UPDATE meta SET value = '\"00\"' WHERE key = 'digest'",
        "UPDATE meta SET key = 'Digest' WHERE key = 'digest'",
        "UPDATE meta SET key = 'Checksums' WHERE key = 'checksums'",
        "UPDATE meta SET key = 'Status' WHERE key = 'status'",
    ],
)
def test_the_rows_that_are_written_last_are_covered_too(finished, statement):
    with pytest.raises(RunFolderError, match="table meta"):
        check_unchanged(change(finished(), statement))


def test_what_a_cache_complains_of_after_the_end_is_no_damage(sample_run):
    run = sample_run()

    async def play():
        async with EventLog(run.folder) as log:
            await log.finish()
            log.add_incident("cache", message="late")

    asyncio.run(play())
    check_unchanged(run)


def test_a_file_that_was_looked_at_is_not_looked_at_again_until_it_changes(finished):
    run = finished()
    check_unchanged(run)
    assert len(run.checked) == 1
    before = run.path.stat()
    change(run, "UPDATE events SET decision = 0")
    os.utime(run.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    check_unchanged(run)
    os.utime(run.path)
    with pytest.raises(RunFolderError, match="table events"):
        check_unchanged(run)


CHANGED = "UPDATE events SET decision = 0 WHERE step = 1 AND agent = 0"


def test_rows_are_looked_at_unless_the_file_is_the_one_that_is_noted_beside_it(finished):
    run = change(finished(), CHANGED)
    keep_hash(run.path)
    check_unchanged(run)
    # Who wants to know looks at all.
    assert verify(run)["tables"].startswith("damaged")
    for line in ("", "\0", run.path.with_name(HASH_NAME).read_text().upper()):
        run.path.with_name(HASH_NAME).write_text(line)
        with pytest.raises(RunFolderError, match="table events"):
            check_unchanged(Run(run.folder))


def test_what_is_noted_of_a_file_says_nothing_of_a_file_that_changed(finished):
    run = finished()
    keep_hash(run.path)
    change(run, "VACUUM", "PRAGMA user_version = 3")
    check_unchanged(run)
    with pytest.raises(RunFolderError, match="table events"):
        check_unchanged(change(run, CHANGED))


def test_what_is_noted_of_a_file_says_nothing_of_what_stands_beside_it(finished):
    run = finished()
    with closing(sqlite3.connect(run.path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        keep_hash(run.path)
        connection.execute(CHANGED)
        connection.commit()
        with pytest.raises(RunFolderError, match="table events"):
            check_unchanged(Run(run.folder))


def test_a_run_that_ends_notes_what_sha256sum_says_of_its_log(tmp_path):
    run = agentnet.play(Small, out=tmp_path / "run", backend="mock", seed=1, progress=False)
    noted = (run.folder / HASH_NAME).read_text()
    assert noted == f"{hashlib.sha256(run.path.read_bytes()).hexdigest()}  {LOG_NAME}\n"


# Where a run stands


@pytest.fixture(scope="module")
def played(play):
    return play(Small())


@pytest.fixture
def run_of(played, tmp_path):
    """Copy a finished run, changed by statements, as the only run of a folder of runs."""

    def run_of(*statements):
        folder = shutil.copytree(played.folder, tmp_path / "runs" / "run")
        unsealed = "DELETE FROM meta WHERE key IN ('digest', 'checksums')"
        return change(Run(folder), *((unsealed, *statements) if statements else ())).folder

    return run_of


UNFINISHED = "UPDATE meta SET value = '\"running\"' WHERE key = 'status'"
BEFELL = "INSERT INTO incidents (kind, detail, at) VALUES ('{}', '{}', 9e9)"


def status(command, folder):
    (row,) = json.loads(command("ls", "--json", "-S", f"runs={folder.parent}").out)
    assert json.loads(command("show", folder, "--json").out)["status"] == row["status"]
    return row["status"]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((), "finished"),
        (
            ("UPDATE events SET decision = NULL, missing = 'failed' WHERE kind = 'seed'",),
            "finished with 2 missing",
        ),
        ((UNFINISHED, "DELETE FROM incidents"), "unstarted"),
        ((UNFINISHED,), "crashed"),
        ((UNFINISHED, "DELETE FROM incidents WHERE kind <> 'started'"), "crashed"),
        (
            (UNFINISHED, BEFELL.format("stopped", '{"reason": "no money"}'), BEFELL.format("spent", "{}")),
            "stopped: no money",
        ),
        ((UNFINISHED, "DELETE FROM incidents WHERE kind = 'finished'"), "stopped"),
        (
            (UNFINISHED, BEFELL.format("stopped", '{"reason": "a"}'), BEFELL.format("resumed", "{}")),
            "crashed",
        ),
        (
            (
                UNFINISHED,
                BEFELL.format("resumed", "{}"),
                BEFELL.format("cache", "{}"),
                BEFELL.format("in flight", "{}"),
            ),
            "crashed",
        ),
        (
            (
                UNFINISHED,
                BEFELL.format("stopped", '{"reason": "first"}'),
                BEFELL.format("spent", "{}"),
                BEFELL.format("resumed", "{}"),
                BEFELL.format("stopped", '{"reason": "then"}'),
            ),
            "stopped: then",
        ),
    ],
)
def test_ls_and_show_say_where_a_run_stands(run_of, command, statements, expected):
    assert status(command, run_of(*statements)) == expected


@pytest.mark.parametrize("key", ["experiment", "model_name", "created_at", "status"])
def test_a_run_with_damaged_facts_hides_no_other_from_the_list(run_of, command, key):
    folder = run_of(f"UPDATE meta SET key = '{key[:-1]}?' WHERE key = '{key}'")
    shutil.copytree(folder, folder.parent / "whole")
    change(Run(folder.parent / "whole"), f"UPDATE meta SET key = '{key}' WHERE key = '{key[:-1]}?'")
    rows = json.loads(command("ls", "--json", "-S", f"runs={folder.parent}").out)
    assert "is damaged" in rows[0]["status"]
    assert rows[1]["status"] == "finished"
    shown = command("show", folder)
    assert (shown.code, "is damaged: table meta lacks" in shown.err) == (2, True)


@pytest.mark.parametrize("value", ["{}", "[]", "null", '{"class_name": "Sample", "design": 3}'])
def test_what_a_log_says_of_its_experiment_is_damage_where_it_is_something_else(run_of, command, value):
    folder = run_of(UNFINISHED, f"UPDATE meta SET value = '{value}' WHERE key = 'experiment'")
    for arguments in (("show", folder), ("fit", folder), ("trees", folder), ("run", "--resume", folder)):
        done = command(*arguments)
        assert (done.code, "is damaged: " in done.err) == (2, True), (arguments, done)
        assert "experiment" in done.err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("prompts", value) for value in ("[]", "[1]", "[null]", "{}", '[{"system.txt": null}]')),
        ("prompts_hash", "[]"),
        ("asking_rules", '[{"says": 7}]'),
        ("asking_rules", "[]"),
        ("seed", '"x"'),
        ("n_realizations", "1" + "0" * 400),
        *(("created_at", value) for value in ("NaN", "1e999", "1e18")),
        ("sources", "[{}]"),
        ("settings", "[]"),
        ("settings", '{"backend": {"name": "mock"}, "engine": 7}'),
        ("versions", "7"),
        ("status", "null"),
        ("experiment", '{"family": "cascade", "design": [{}], "conditions": []}'),
    ],
)
def test_what_a_log_says_of_itself_is_damage_where_it_is_something_else(run_of, command, key, value):
    folder = run_of(UNFINISHED, f"UPDATE meta SET value = '{value}' WHERE key = '{key}'")
    for arguments in (("show", folder), ("report", folder), ("run", "--resume", folder)):
        done = command(*arguments)
        assert (done.code, "is damaged: " in done.err) == (2, True), (arguments, done)
        assert "table meta has" in done.err or "of table meta has" in done.err
        assert "go on with a copy" in done.err


def test_what_is_nested_more_deeply_than_can_be_read_is_damage(run_of, command):
    folder = run_of(f"UPDATE meta SET value = '{'[' * 100_000}' WHERE key = 'licences'")
    for arguments in (("show", folder), ("verify", folder), ("fit", folder)):
        done = command(*arguments)
        told = done.err + done.out
        assert (done.code, "table meta holds what is no JSON" in told) == (2, True), (arguments, done)


@pytest.mark.parametrize(
    "shard", ["[]", "[1]", "[1, 2]", "[0, 0, 0]", "[7, 2, 2]", "[-1, 2, 0]", "[1, 2, -1]"]
)
def test_which_shard_a_log_is_of_must_be_one_of_them(run_of, command, shard):
    folder = run_of(UNFINISHED, f"INSERT INTO meta VALUES ('shard', '{shard}')")
    place = folder.parent / "sharded" / "shards" / "1-of-2"
    shutil.copytree(folder, place)
    for arguments in (("show", place), ("show", place.parents[1]), ("merge", place.parents[1])):
        done = command(*arguments)
        assert (done.code, "as 'shard'; it is its number" in done.err) == (2, True), (arguments, done)
    assert command("ls", "-S", f"runs={folder.parent}").code == 0


CELLS = {
    "agents.engaged_step": "'{}'",
    "agents.profile": "x'ff'",
    "events.decision": "7",
    "events.kind": "x'ff'",
    "events.value": "'{'",
    "incidents.at": "x'00'",
    "incidents.detail": "'[1]'",
    "networks.edges": "-5",
    "news.item": "'[]'",
    "prompts.messages": "'x'",
    "realizations.condition": "'NaN'",
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_of_what_its_column_is_not_declared_to_is_damage_for_whoever_reads(run_of, command, cell):
    table, _, column = cell.partition(".")
    query = f"UPDATE OR REPLACE {table} SET {column} = {CELLS[cell]}"
    folder = run_of(UNFINISHED, f"{query} WHERE rowid = 1" if table == "incidents" else query)
    before = (folder / LOG_NAME).read_bytes()
    commands = (
        ("show", folder),
        ("verify", folder),
        ("fit", folder),
        ("trees", folder),
        ("report", folder),
        ("export", folder, "--format", "csv"),
        ("export", folder, "--format", "gexf"),
        ("forget", folder, "0:0", "--anyway"),
        ("guess", folder),
        ("news", "cluster", folder, "--embedder", "hash", "--out", "clusters.json"),
    )
    for arguments in commands:
        done = command(*arguments)
        assert (done.code, cell in done.err + done.out) == (2, True), (arguments, done)
    assert command("ls", "-S", f"runs={folder.parent}").code == 0
    assert (folder / LOG_NAME).read_bytes() == before


def test_a_loss_that_is_no_number_is_no_damage(sample_run):
    run = change(sample_run(), """UPDATE updates SET measures = '{"loss": NaN}'""")
    assert verify(run)["cells"] == "ok"


@pytest.mark.parametrize("what", ["TABLE events", "VIEW decisions"])
def test_a_log_of_this_version_that_lacks_a_table_is_no_older_one(sample_run, what):
    run = sample_run()
    with closing(sqlite3.connect(run.path)) as connection, connection:
        connection.execute(f"DROP {what}")
    if "VIEW" in what:
        assert len(Run(run.folder).frame("decisions"))
        return
    with pytest.raises(RunFolderError, match=r"is damaged: it lacks events \("):
        Run(run.folder)


def test_nothing_is_forgotten_of_a_log_that_does_not_say_how_far_it_is(run_of, command):
    folder = run_of("DELETE FROM meta WHERE key = 'status'")
    before = (folder / LOG_NAME).read_bytes()
    done = command("forget", folder, "0:0", "--anyway")
    assert (done.code, "lacks 'status'" in done.err) == (2, True)
    assert (folder / LOG_NAME).read_bytes() == before


def test_what_is_a_run_by_its_name_alone_is_neither_the_last_one_nor_gone_on_with(command, tmp_path):
    (tmp_path / "runs" / "folder" / LOG_NAME).mkdir(parents=True)
    done = command("show", "last")
    assert (done.code, "there is no run in runs yet" in done.err) == (2, True)
    (shard := tmp_path / "runs" / "sharded" / "shards" / "1-of-2").mkdir(parents=True)
    (shard / LOG_NAME).touch()
    done = command("run", "--resume", "sharded")
    assert (done.code, "nothing was recorded of its shards yet" in done.err) == (2, True)


def test_a_run_whose_making_was_cut_off_is_unstarted_and_can_be_begun_again(command, small, tmp_path):
    folder = tmp_path / "runs" / "run"
    folder.mkdir(parents=True)
    (folder / LOG_NAME).touch()
    (row,) = json.loads(command("ls", "--json", "-S", f"runs={folder.parent}").out)
    assert row["status"] == "unstarted: nothing was recorded"
    for arguments in (("show", folder), ("run", "--resume", folder)):
        outcome = command(*arguments)
        assert outcome.code == 2
        assert "stopped before anything was recorded" in outcome.err
    assert command("run", small, "--out", folder, "--quiet", "-S", "repeats=1").code == 0
    assert status(command, folder) == "finished"


def test_a_run_that_somebody_plays_is_running_whatever_befell_it(run_of, command):
    folder = run_of(UNFINISHED, BEFELL.format("stopped", '{"reason": "a"}'))
    assert not is_played(folder)

    async def look():
        async with EventLog(folder):
            assert is_played(folder)
            return await asyncio.to_thread(status, command, folder)

    assert asyncio.run(look()) == "running"
    assert not is_played(folder)
    assert status(command, folder) == "stopped: a"


def test_who_looks_whether_a_run_is_played_keeps_nobody_from_playing_it(new_log):
    folder = new_log()

    async def play():
        async with EventLog(folder):
            pass

    looking = [sys.executable, "-c", LOOKS, folder]
    with subprocess.Popen(looking, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as looks:
        assert looks.stdout.readline()
        for _ in range(20):
            asyncio.run(play())
        looks.stdin.close()


LOOKS = """
import sys, threading
from pathlib import Path
from agentnet.events import is_played
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
print("looking", flush=True)
while not ended.is_set():
    is_played(Path(sys.argv[1]))
"""


def test_show_and_the_commands_that_make_results_tell_of_a_run_that_changed(run_of, command):
    folder = run_of()
    change(Run(folder), "UPDATE events SET decision = 1 - decision WHERE step = 1")
    shown = command("show", folder, "--json")
    assert "agentnet verify" in json.loads(shown.out)["damaged"]
    for arguments in (("fit",), ("report",), ("export", "--format", "csv")):
        outcome = command(arguments[0], folder, *arguments[1:])
        assert outcome.code == 2
        assert "changed after the run had finished (table events)" in outcome.err
        assert "agentnet verify" in outcome.err
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == []
