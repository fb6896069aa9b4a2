"""A table that is read block by block is the table: every value of every row, in the order of its key."""

import random
import sqlite3
from contextlib import closing
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.events.blocks import LAYOUTS, Block, NotNumbers, blocks, rest_of
from agentnet.events.checksums import sealed_by
from agentnet.events.digest import AGENTS, DECIDED, spelled_of
from agentnet.events.schema import TABLES, columns, statements

FAR = 1 << 16
"""Agents of a block, and so the first of the next."""


def row(chance, realization, kind, step, agent, source, repeat):
    """Make an event of few temperatures, many latencies, and now and then without an answer."""
    missing = chance.choice([None, None, "refused", "it's"])
    decision = chance.randrange(2) if missing is None else None
    told = (chance.choice([None, 3]), chance.choice([0.7749999999999999, 1.0]), decision, missing)
    costs = (chance.choice([None, 1, 2]), None, 7, 1, 1, 0, chance.random(), 1e9 + step, "{}", 1.0, None)
    return (realization, kind, step, agent, source, repeat, *told, *costs)


@pytest.fixture
def log():
    """Make a log in memory of events and agents of three realizations."""
    chance = random.Random(11)
    keys = {
        (
            chance.randrange(3),
            chance.choice(["exposure", "seed", "interview"]),
            chance.randrange(3),
            agent,
            n,
            0,
        )
        for agent in (0, 1, 5, FAR - 1, FAR, 9 * FAR + 2)
        for n in (-1, 4, 70_000)
        for _ in range(9)
    }
    agents = [
        (r, agent, "01101", chance.choice([None, 2]), None, "p", None)
        for r in range(3)
        for agent in (0, 3, FAR)
    ]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in statements():
            connection.execute(statement)
        for table, rows in (("events", [row(chance, *key) for key in keys]), ("agents", agents)):
            places = ", ".join("?" * len(columns(table)))
            connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
        yield connection


def rows_of(block):
    """Put the rows of a block together again."""
    numbers = zip(*(map(int, text.split(",")) for text in block.numbers), strict=True)
    rests = (block.rests[int(which)] for which in block.which.split(","))
    return [(*block.shared, *its, *rest) for its, rest in zip(numbers, rests, strict=True)]


def kept(connection):
    """Give the checksums that a finished log keeps."""
    return sealed_by(connection, {"status": "finished"})["checksums"]["tables"]


@pytest.mark.parametrize("table", LAYOUTS)
def test_blocks_put_together_are_the_table(log, table):
    rows = log.execute(f"SELECT * FROM {table}").fetchall()
    assert [row for block in blocks(log, table) for row in rows_of(block)] == rows
    assert [*LAYOUTS[table].shared, *LAYOUTS[table].numbers, *rest_of(log, table)] == columns(table)


def test_blocks_of_some_realizations_are_those_rows_as_the_shard_numbered_their_replies(log):
    values = ", ".join("reply - 40" if name == "reply" else name for name in columns("events"))
    rows = log.execute(f"SELECT {values} FROM events WHERE realization <> 1").fetchall()
    assert [row for block in blocks(log, "events", (0, 2), 40) for row in rows_of(block)] == rows
    assert [*blocks(log, "events", (7,))] == []


@pytest.mark.parametrize("n_at_once", [1, 2, 1 << 12])
@pytest.mark.parametrize(("table", "digested"), [("events", DECIDED), ("agents", AGENTS)])
def test_blocks_are_spelled_as_rows_are_however_many_at_once(log, table, digested, n_at_once, monkeypatch):
    monkeypatch.setattr("agentnet.events.blocks._SPELLED_AT_ONCE", n_at_once)
    picked = [n for n, name in enumerate(rest_of(log, table)) if name in digested.columns.split(", ")]
    of_blocks = [block.spelled(picked) for block in blocks(log, table) if "interview" not in block.shared]
    assert "".join(map("".join, of_blocks)) == "".join(spelled_of(log, digested))


@given(
    st.lists(st.floats(allow_nan=False), min_size=1)
    | st.lists(st.floats(1e-5, 1e-3) | st.floats(1e15, 1e17), min_size=1)
    | st.lists(st.floats(0.0, 2.0) | st.none() | st.text() | st.integers(), min_size=1)
)
def test_values_are_spelled_by_their_repr_also_where_json_would_spell_them_otherwise(values):
    places = ",".join(map(str, range(len(values))))
    block = Block((7, "seed"), (places,), places, [("a", value) for value in values])
    assert "".join(block.spelled([1])) == "".join(
        map(repr, [(7, "seed", n, each) for n, each in enumerate(values)])
    )


def test_rows_that_all_differ_are_hashed_one_by_one_and_not_held_in_memory(log, monkeypatch):
    before = sealed_by(log, {})
    monkeypatch.setattr("agentnet.events.blocks._MOST_RESTS", 2)
    after = sealed_by(log, {})
    as_blocks, as_rows = before["checksums"]["tables"], after["checksums"]["tables"]
    assert [name for name in TABLES if as_rows[name] != as_blocks[name]] == ["events"]
    assert not as_rows["events"].startswith("blocks ")
    assert after["digest"] == before["digest"]


def test_numbers_too_long_for_a_text_of_sqlite_are_hashed_with_their_rows(log):
    before = sealed_by(log, {})
    log.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 180)
    after = sealed_by(log, {})
    assert not after["checksums"]["tables"]["events"].startswith("blocks ")
    assert after["digest"] == before["digest"]


@pytest.mark.parametrize("name", columns("events"))
def test_a_change_of_any_value_of_an_event_changes_the_checksum(log, name):
    before = kept(log)
    number = f"COALESCE({name}, 0) + 10 + 1e-9" if "_s" in name else f"COALESCE({name}, 0) + 10"
    changed = f"{name} || 'x'" if name in {"kind", "missing", "value", "context"} else number
    where = "(realization, kind, step, agent, source) IN (SELECT 0, kind, step, agent, source FROM events e "
    log.execute(
        f"UPDATE events SET {name} = IFNULL({changed}, 'x') WHERE {where} WHERE realization = 0 LIMIT 1)"
    )
    after = kept(log)
    assert [table for table in TABLES if after[table] != before[table]] == ["events"]


@pytest.mark.parametrize(
    ("column", "told"),
    [*product(("agent", "source"), ("'bob'", "1.5", "x'3131'")), ("agent", 2**63 - 1), ("agent", -(2**63))],
)
def test_what_is_no_usual_number_is_hashed_with_its_row(log, column, told):
    assert kept(log)["events"].startswith("blocks ")
    log.execute(f"UPDATE events SET {column} = {told} WHERE {column} = 4 OR {column} = 5")
    with pytest.raises(NotNumbers):
        list(blocks(log, "events"))
    before = kept(log)["events"]
    assert not before.startswith("blocks ")
    log.execute("UPDATE events SET attempts = 2 WHERE realization = 2 AND step = 2")
    assert kept(log)["events"] != before
