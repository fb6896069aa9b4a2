"""What is held of events and agents as they are written is what would be read back; what is not is read."""

import asyncio
import random
import sqlite3
from contextlib import closing
from itertools import repeat

import pytest

from agentnet.events import Columns, EventLog, Run
from agentnet.events.blocks import AGENTS_EACH, blocks
from agentnet.events.checksums import changed_tables
from agentnet.events.held import Held
from agentnet.events.schema import USUALLY_NULL, columns, statements

NAMES = columns("events")
N_ROWS = 600


@pytest.fixture
def log():
    """Make a log in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in statements():
            connection.execute(statement)
        yield connection


def some_rows(begin=0, at=1.5, **other):
    """Make rows of a step as columns: agents on both sides of where a block ends, few different answers."""
    chance = random.Random(begin)
    agents = [AGENTS_EACH - 100 + (begin + n) // 2 for n in range(N_ROWS)]
    shared = {"realization": 0, "kind": "exposure", "step": 3, "repeat": 0, "reply": None, "at": at}
    costs = {"asks": 1, "attempts": 0, "cached": 1, "latency_s": 0.0}
    return {
        **dict.fromkeys(NAMES, repeat(None)),
        **{name: repeat(value) for name, value in {**shared, **costs}.items()},
        "agent": agents,
        "source": [7 + n % 2 for n in range(N_ROWS)],
        "prompt": [chance.randrange(4) for _ in agents],
        "temperature": [chance.choice([0.7749999999999999, 1.0]) for _ in agents],
        "decision": [chance.randrange(2) for _ in agents],
        **other,
    }


def written(log, *all_rows):
    """Write rows, and hold them."""
    held = Held(log)
    for rows in all_rows:
        places = ", ".join("?" * len(NAMES))
        values = (rows[name] for name in NAMES)
        log.executemany(f"INSERT INTO events VALUES ({places})", zip(*values, strict=False))
        held.add(rows)
    return held


def n_held(log, held, table="events"):
    """Make sure that a log is the same with what is held and without; count the blocks that are not read."""
    found = []

    def given(key):
        block = held.block(key)
        found.append(block)
        return block

    assert [block.hashed() for block in blocks(log, table, held=given)] == [
        block.hashed() for block in blocks(log, table)
    ]
    return len(found) - found.count(None)


def test_what_is_held_is_what_would_be_read(log):
    held = written(log, some_rows(), some_rows(N_ROWS, at=2.5), some_rows(2 * N_ROWS, at=3.5))
    assert n_held(log, held) == 2


def test_rows_that_all_share_everything_but_their_numbers_are_held(log):
    held = written(log, some_rows(prompt=repeat(1), temperature=repeat(1.0), decision=repeat(0)))
    assert n_held(log, held) == 2


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mass", (float("nan"), 1.0)),
        ("temperature", (-0.0, 1.0)),
        ("temperature", (1, 2)),
        ("decision", (True, False)),
        ("prompt", (2.0, 3.0)),
        ("source", (8, 7)),
        ("source", (7.0, 8.0)),
    ],
)
def test_what_the_log_would_give_otherwise_is_read(log, name, values):
    held = written(log, some_rows(**{name: [*values] * (N_ROWS // 2)}))
    assert n_held(log, held) == 0


def test_rows_of_which_few_are_alike_are_read(log):
    assert n_held(log, written(log, some_rows(latency_s=[n // 4 / 7 for n in range(N_ROWS)]))) == 0


def test_rows_that_come_out_of_order_are_read(log):
    assert n_held(log, written(log, some_rows(N_ROWS), some_rows(at=2.5))) == 1


def test_answers_that_two_groups_of_rows_have_in_common_are_read(log):
    shared = {"prompt": repeat(1), "temperature": repeat(1.0)}
    held = written(log, some_rows(-40, **shared), some_rows(N_ROWS - 40, **shared))
    assert n_held(log, held) == 1


@pytest.mark.parametrize("n_alone", [0, 1])
def test_a_log_is_sealed_as_by_reading_also_where_a_row_of_a_block_came_alone(new_log, event_row, n_alone):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            for begin in (0, N_ROWS):
                rows = some_rows(begin, at=1.0 * begin, prompt=repeat(None))
                usual = [rows[name] for name in NAMES if name not in USUALLY_NULL["events"]]
                log.add("usual events", Columns(N_ROWS, usual, are_all=True))
            for _ in range(n_alone):
                log.add_event(event_row(step=3, agent=AGENTS_EACH + 5, source=-1))
            await log.finish()

    asyncio.run(play())
    assert changed_tables(Run(folder)) == []
    assert Run(folder).meta["checksums"]["tables"]["events"].startswith("blocks ")


N_AGENTS = AGENTS_EACH + 1000
PROFILES = [f"{agent * 7 % 32:05b}" for agent in range(N_AGENTS)]
THEY = ("usual agents", Columns(N_AGENTS, (repeat(0), range(N_AGENTS), PROFILES)))
ENGAGED = ("engagements", [(1, 0, 5), (1, 0, N_AGENTS - 1), (2, 0, 7), (3, 0, 5)])


@pytest.mark.parametrize(
    ("given", "n_blocks"),
    [
        ([THEY], 2),
        ([THEY, ENGAGED, ("engagements", [(4, 0, agent) for agent in range(8, N_AGENTS, 3)])], 2),
        ([("engagements", [(1, 0, 5)]), None, THEY, ("engagements", [(2, 1, 9)])], 2),
        ([THEY, ("engagements", [(1, 0, -1)])], 0),
        ([THEY, ("engagements", [(1, 0, N_AGENTS)])], 0),
        ([THEY, None, ("usual agents", Columns(N_AGENTS, (repeat(0), range(N_AGENTS), PROFILES[::-1])))], 0),
        ([("agents", [(0, 3, "11111", None, "{}", None, None)]), THEY], 0),
        ([THEY, None, ("usual agents", [(0, N_AGENTS, "11111")])], 0),
        ([("usual agents", Columns(N_AGENTS, (repeat(0), range(1, N_AGENTS + 1), PROFILES)))], 0),
        ([("usual agents", Columns(N_AGENTS, (repeat(0), range(N_AGENTS), [*map(int, PROFILES)])))], 0),
        ([THEY, ("engagements", [(1.5, 0, 5)])], 1),
        # A text with half of a character has the rows beside it written one by one.
        ([THEY, None, ENGAGED, ("models", [(0, 0, chr(0xD83D), "")])], None),
    ],
)
def test_agents_that_are_held_are_as_they_end(new_log, given, n_blocks):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            for each in given:
                if each is None:
                    await log.flush()
                else:
                    log.add(*each)
            await log.flush()
            held = log._writer.held
            assert (n_blocks is None) == (held is None)
            with closing(sqlite3.connect(log.path)) as connection:
                assert held is None or n_held(connection, held, "agents") == n_blocks
            await log.finish()

    asyncio.run(play())
    assert changed_tables(Run(folder)) == []
    assert Run(folder).meta["checksums"]["tables"]["agents"].startswith("blocks ")


def test_nothing_is_walked_between_agents_that_are_far_apart(log):
    far = [n // (N_ROWS // 2) * (1 << 50) for n in range(N_ROWS)]
    assert n_held(log, written(log, some_rows(agent=far, source=list(range(N_ROWS))))) == 2
