"""What a run spent is read from its log: by what stands there and in which order, whatever the clocks say."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentnet import CascadeExperiment
from agentnet.errors import BackendUnusable, ConfigurationError
from agentnet.events import EventLog, Run
from agentnet.events.spent import PLEDGED, spent_so_far
from agentnet.runner import Runner
from agentnet.runner.play import spent_before
from agentnet.stack import Price, Spent
from agentnet.stack.budget import Budget
from agentnet.testing import ScriptedBackend

NOTED = {"calls": 7, "prompt_tokens": 900, "completion_tokens": 80, "dollars": 0.5, "unmetered": 2}


@pytest.fixture
def kept(new_log, event_row):
    """Make the log of a run in which this happened; an event is the number of its attempts."""

    def kept(*happened):
        folder = new_log()

        async def write():
            async with EventLog(folder) as log:
                log.add("realizations", [(0, "{}", 0, 0, None, 7, "running", None, None, 1.0, None)])
                log.add("prompts", [(0, "h", "exposure", "00000", 0, "[]")])
                for number, each in enumerate(happened):
                    if isinstance(each, int):
                        log.add_event(event_row(agent=number, attempts=each))
                    elif each == "cached":
                        log.add_event(event_row(agent=number, attempts=0, cached=True))
                    elif PLEDGED in each:
                        log.set_meta(**each)
                    else:
                        kind, detail = each["kind"], {k: v for k, v in each.items() if k != "kind"}
                        log.add_incident(kind, **detail)

        asyncio.run(write())
        return Run(folder)

    return kept


STARTED = {"kind": "started"}
ENDED = {"kind": "spent", **NOTED}


def resumed(spent, recorded):
    return {"kind": "resumed", "spent": spent, "recorded": recorded}


def pledged(*most):
    return {PLEDGED: most or None}


# An event of one attempt takes 10 tokens in and 2 out.
CASES = {
    "nothing happened": ((), Spent()),
    "a first sitting was killed": ((STARTED, 1, 3, "cached"), Spent(4, 20, 4)),
    "and had pledged more": ((STARTED, pledged(9, 500, 60), 1, 3), Spent(9, 500, 60)),
    "and had pledged more of one thing": ((STARTED, pledged(9, 5, 60), 1, 3), Spent(9, 20, 60)),
    "a sitting noted what it spent": ((STARTED, 1, 3, pledged(), ENDED), Spent(*NOTED.values())),
    "and the next one was killed at once": (
        (STARTED, 1, 3, ENDED, resumed(NOTED, [4, 20, 4])),
        Spent(*NOTED.values()),
    ),
    "and the next one was killed later": (
        (STARTED, 1, 3, ENDED, resumed(NOTED, [4, 20, 4]), 2, 2),
        Spent(11, 920, 84, None, 2),
    ),
    "and the next one had pledged": (
        (STARTED, 1, 3, ENDED, resumed(NOTED, [4, 20, 4]), pledged(30, 2000, 200), 2),
        Spent(30, 2000, 200, None, 2),
    ),
    "the second one was killed, too": (
        (
            STARTED,
            pledged(9, 500, 60),
            1,
            3,
            resumed({**NOTED, "calls": 9, "prompt_tokens": 500, "completion_tokens": 60}, [4, 20, 4]),
            1,
        ),
        Spent(10, 510, 62, None, 2),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_spent_follows_from_what_happened(kept, case):
    happened, spent = CASES[case]
    assert spent_before(kept(*happened)) == spent


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(case=st.sampled_from(sorted(CASES)), seed=st.integers(0, 100))
def test_no_clock_changes_what_was_spent(kept, case, seed):
    happened, spent = CASES[case]
    run = kept(*happened)
    with closing(sqlite3.connect(run.path)) as connection, connection:
        for table in ("events", "incidents"):
            connection.execute(f"UPDATE {table} SET at = abs(random() % 1000) * {seed - 50}")
    assert spent_before(run) == spent


def test_a_log_of_before_sittings_noted_what_they_count_on_from_is_read_by_its_clock(kept):
    run = kept(STARTED, 1, 3, ENDED, {"kind": "resumed", "journal_mode": "wal"}, 2)
    with closing(sqlite3.connect(run.path)) as connection, connection:
        connection.execute("UPDATE incidents SET at = 1.0 * incident")
        connection.execute("UPDATE events SET at = CASE agent WHEN 5 THEN 9.0 ELSE 0.5 END")
    assert spent_before(run) == Spent(9, 910, 82, None, 2)


def test_a_sitting_tells_what_it_counts_on_from(kept, play_twice):
    first, second = play_twice
    assert first == {"journal_mode": "wal"}
    assert second["spent"]["calls"] > 0
    assert second["recorded"][0] == second["spent"]["calls"]


@pytest.fixture
def play_twice(command, tmp_path):
    """Play a run in two sittings; return what the log says of their beginnings."""
    (tmp_path / "few.py").write_text(
        "from agentnet import CascadeExperiment\n"
        "class Few(CascadeExperiment):\n    n_agents = 24\n    degree = 3\n    repeats = 1\n"
    )
    bounded = command("run", "few.py", "--out", "r", "--max-calls", "30", "-S", "log.parquet=false")
    assert bounded.code == 3, bounded.err
    assert command("run", "--resume", "r", "--max-calls", "100000").code == 0
    with Run(tmp_path / "r").connection() as connection:
        rows = connection.execute("SELECT detail FROM incidents WHERE kind IN ('started', 'resumed')")
        begun = [json.loads(detail) for (detail,) in rows]
        assert spent_so_far(connection).is_noted
    return begun


def test_what_no_server_counted_before_a_kill_is_in_no_sum_and_makes_the_cost_unknown(kept):
    run = kept(STARTED, 1, 1)
    with closing(sqlite3.connect(run.path)) as log, log:
        log.execute("UPDATE events SET completion_tokens = NULL WHERE agent = 1")
    before = spent_before(run)
    assert (before.calls, before.unpriced) == (2, 1)
    budget = Budget(ScriptedBackend(lambda _: "Yes"), price=Price(input=1.0, output=1.0), spent=before)
    assert (budget.spent.dollars, budget.spent.unpriced) == (None, 1)
    with pytest.raises(
        ConfigurationError, match=r"of 1 answers, which no server counted; .* stack\.max_calls"
    ):
        Budget(ScriptedBackend(str), price=Price(input=1.0, output=1.0), spent=before, max_dollars=1.0)
    # Whoever went on counted them as what they are: they are not counted twice, and the cost stays unknown.
    with closing(sqlite3.connect(run.path)) as log, log:
        detail = json.dumps({"spent": before._asdict(), "recorded": [2, 20, 2], "uncounted": 1})
        log.execute("INSERT INTO incidents (kind, detail, at) VALUES ('resumed', ?, 9.0)", (detail,))
        log.execute("UPDATE events SET attempts = 5 WHERE agent = 2")
    assert spent_before(run).unpriced == 1


def test_what_a_killed_sitting_had_pledged_has_what_no_server_counted(kept):
    run = kept(STARTED, pledged(9, 500, 60), 1, 1)
    with closing(sqlite3.connect(run.path)) as log, log:
        log.execute("UPDATE events SET completion_tokens = NULL")
    assert spent_before(run) == Spent(9, 500, 60)


class _Wide(CascadeExperiment):
    n_agents, degree, steps, items_per_severity, repeats, rationale = 16, 3, 3, 1, 1, "none"


def test_a_sitting_that_stops_counts_the_calls_that_nothing_was_recorded_of(new_run):
    backend = ScriptedBackend(
        lambda _: "Yes" if len(backend.requests) % 12 else BackendUnusable("no money left")
    )
    prepared, called = new_run(_Wide(), workers=4), 0
    for _ in range(2):
        runner = Runner(prepared, backend)
        with pytest.raises(BackendUnusable):
            asyncio.run(runner.play())
        n_calls, called = len(backend.requests) - called, len(backend.requests)
        ((n_recorded,),) = Run(prepared.folder).rows("SELECT COUNT(*) FROM events")[1]
        assert runner.tally.n_calls == n_calls
        assert n_recorded < called == spent_before(Run(prepared.folder)).calls
