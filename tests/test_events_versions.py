"""Logs that an older version of agentnet wrote are read, gone on with and come to the same digest."""

import asyncio
import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from agentnet.events import LOG_NAME, SCHEMA_VERSION, TABLES, VIEWS, EventLog, Run, create_log
from agentnet.events.export import export_parquet
from agentnet.events.opening import connect
from agentnet.events.read import reading
from agentnet.events.schema import columns, migrations

LOGS = Path(__file__).parent / "logs"
DIGEST = "8f5bf3dbe0cb50cfde9470cb757fcd0ded8c31d84b7053076ecd7da4839be41d"
"""What schema 2 gave for the finished log."""


@pytest.fixture
def old_log(tmp_path):
    """Lay out a log as schema 2 wrote it: ``finished``, or ``stopped`` within its last two realizations."""

    def old_log(how):
        folder = tmp_path / how
        folder.mkdir()
        text = gzip.decompress((LOGS / f"schema-2-{how}.sql.gz").read_bytes()).decode()
        with closing(sqlite3.connect(folder / LOG_NAME)) as connection:
            connection.executescript(text)
        return folder

    return old_log


def stored_version(folder):
    with reading(folder / LOG_NAME) as connection:
        return connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()[0]


EMPTY = {"troubles", "questions", "models", "interviews", "updates"} | {
    *("exposures", "messages", "changes", "measures")
}


def test_an_older_log_is_read_with_the_columns_of_today_and_not_touched(old_log):
    folder = old_log("finished")
    before = (folder / LOG_NAME).read_bytes()
    run = Run(folder)
    for table in TABLES:
        names, rows = run.rows(f"SELECT * FROM {table}")
        assert names == columns(table)
        assert table in EMPTY or rows
    assert run.rows("SELECT COUNT(*), COUNT(mass), COUNT(context) FROM events")[1] == [(104, 0, 0)]
    assert run.rows("SELECT COUNT(*), COUNT(attributes) FROM agents")[1] == [(64, 0)]
    assert (len(run.frame("decisions")), len(run.frame("answers"))) == (104, 0)
    assert run.digest() == DIGEST
    assert (folder / LOG_NAME).read_bytes() == before


def test_the_commands_that_read_take_an_older_log(old_log, command, tmp_path):
    folder = old_log("finished")
    assert DIGEST in command("show", folder).out
    few = ("--law", "one_rate", "--runs", 2, "--bootstraps", 2)
    assert command("fit", folder, *few).code == 0
    assert command("report", folder, *few, "--no-figures", "--output", tmp_path / "report").code == 0
    for kind in "parquet", "csv", "gexf":
        assert command("export", folder, "--format", kind).code == 0
    assert stored_version(folder) == "2"


def test_an_older_log_that_was_stopped_is_gone_on_with_to_the_same_digest(old_log, command):
    folder = old_log("stopped")
    assert Run(folder).rows("SELECT COUNT(*) FROM events")[1] == [(60,)]
    outcome = command("run", "--resume", folder, "-S", "stack.max_calls=1000", "--quiet")
    assert outcome.code == 0, outcome.err
    assert DIGEST in outcome.out
    assert stored_version(folder) == str(SCHEMA_VERSION)
    assert Run(folder).rows("SELECT COUNT(*) FROM decisions")[1] == [(104,)]


async def go_on(folder):
    async with EventLog(folder):
        pass


def layout(path):
    """Names, declarations and order of all columns, as another program finds them."""
    with reading(path) as connection:
        return {
            name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in (*TABLES, *VIEWS)
        }


def test_a_log_that_was_gone_on_with_is_laid_out_like_a_new_one(old_log, tmp_path):
    folder = old_log("stopped")
    asyncio.run(go_on(folder))
    create_log(tmp_path / "new", {})
    assert layout(folder / LOG_NAME) == layout(tmp_path / "new" / LOG_NAME)


@pytest.mark.parametrize("n_done", range(6))
def test_a_migration_that_is_cut_off_leaves_the_older_log(old_log, n_done):
    folder = old_log("stopped")
    with closing(connect(folder / LOG_NAME)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        statements = migrations(connection)
        assert len(statements) > n_done
        for statement in statements[:n_done]:
            connection.execute(statement)
    assert stored_version(folder) == "2"
    assert Run(folder).rows("SELECT COUNT(*), COUNT(mass) FROM events")[1] == [(60, 0)]


def test_a_log_of_today_is_opened_for_writing_without_being_changed(new_log):
    folder = new_log()
    before = layout(folder / LOG_NAME)
    asyncio.run(go_on(folder))
    assert layout(folder / LOG_NAME) == before


def test_a_log_whose_views_are_older_is_read_with_those_of_today(new_log):
    folder = new_log(experiment={"conditions": [{"word": "größe"}, {"word": "größe"}, {"word": "klein"}]})
    with closing(connect(folder / LOG_NAME)) as connection, connection:
        connection.execute("INSERT INTO news VALUES (1, 'M', 1, 'i', 'text', '{}')")
        # Spelled with other escapes than in meta, begun in the order of their numbers, the last not begun.
        for number in range(11):
            words = json.dumps({"word": "klein" if number >= 8 else "größe"})
            row = (number, words, number // 2 % 2, number % 2, None, 0, "finished", None, None, 0.0, None)
            connection.execute(f"INSERT INTO realizations VALUES ({', '.join('?' * 11)})", row)
        connection.execute("INSERT INTO prompts VALUES (0, 'h', 'exposure', '00000', 0, '[]')")
        for number in range(11):
            row = (
                number,
                "exposure",
                1,
                0,
                1,
                0,
                0,
                1.0,
                1,
                None,
                None,
                1,
                1,
                1,
                1,
                0,
                0.0,
                0.0,
                *[None] * 3,
            )
            connection.execute(f"INSERT INTO events VALUES ({', '.join('?' * 21)})", row)
    expected = [(number, number // 4) for number in range(11)]
    asked = "SELECT realization, condition FROM decisions ORDER BY realization"
    assert Run(folder).rows(asked)[1] == expected
    with closing(connect(folder / LOG_NAME)) as connection, connection:
        connection.execute("DROP VIEW decisions")
        connection.execute("CREATE VIEW decisions AS SELECT realization, kind FROM events")
    assert Run(folder).rows(asked)[1] == expected
    export_parquet(Run(folder), folder / "parquet")
    table = pq.read_table(folder / "parquet" / "decisions.parquet")
    assert table.schema.field("condition").type == "int64"
    assert table["condition"].to_pylist() == [number // 4 for number in range(11)]
    with reading(folder / LOG_NAME) as connection:
        assert len(connection.execute("PRAGMA table_info(decisions)").fetchall()) == 2
