"""What is counted while a log is written is what SQL counts over the whole log after each commit."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

import pytest

from agentnet import CascadeExperiment, Run
from agentnet.events import close_for_good
from agentnet.events.schema import CONDITION_OF
from agentnet.testing import ScriptedBackend
from agentnet.view.tail import N_NEWEST, Board, Curve, Tail
from agentnet.vocabulary import REASON

COUNTS = f"""
SELECT c.condition, kind, COUNT(*), COALESCE(SUM(decision = 1), 0), COALESCE(SUM(decision = 0), 0),
       COUNT(missing),       COALESCE(SUM(CASE WHEN cached THEN 0 ELSE attempts END), 0)
FROM events JOIN ({CONDITION_OF}) c USING (realization) GROUP BY 1, 2
"""
ENGAGED = """
SELECT realization, step, n_engaged * 1.0 / n_agents FROM steps
JOIN realizations USING (realization) JOIN networks USING (network)
"""
MEASURED = "SELECT realization, step, AVG(value) FROM measures WHERE name = 'mood' GROUP BY 1, 2"


class Moody(CascadeExperiment):
    """Small, and asked for reasons."""

    n_agents = 16
    degree = 4
    steps = 3
    items_per_severity = 1
    repeats = 1
    rationale = "afterwards"


@pytest.fixture(scope="module")
def played(play: Callable[..., Run]) -> Run:
    """Cascades with measures beside them, under three conditions, of which two are alike."""
    answers = cycle(("Yes", "No", "Yes", "Yes", "perhaps so"))
    run = play(
        Moody(),
        Moody(degree=6),
        Moody(),
        backend=ScriptedBackend(
            lambda request: "It is new." if request.metadata["kind"] == REASON else next(answers)
        ),
        max_asks=1,
        brake_after=10_000,
    )
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute(
            "INSERT INTO measures SELECT realization, step, 'mood', 0, n_yes - 0.5 * n_missing FROM steps "
            "WHERE step > 0"
        )
        connection.commit()
    return run


def written_again(run: Run, folder: Path, seed: int) -> Iterator[Run]:
    """Write the log of a run once more, realizations side by side and steps in parts; yield after commits."""
    shutil.copytree(run.folder, folder)
    draw = random.Random(seed)
    with closing(sqlite3.connect(folder / run.path.name, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        tables = ("realizations", "events", "steps", "measures")
        rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
        for table in tables:
            connection.execute(f"DELETE FROM {table}")
        connection.execute("UPDATE meta SET value = '\"running\"' WHERE key = 'status'")
        yield Run(folder)
        left = [_history(each, rows, draw) for each in rows["realizations"]]
        while left:
            history = left[draw.randrange(min(3, len(left)))]
            if not history:
                left.remove(history)
                continue
            connection.execute("BEGIN")
            for statement, values in history.pop(0):
                connection.execute(statement, values)
            connection.execute("COMMIT")
            yield Run(folder)
        connection.execute("UPDATE meta SET value = '\"finished\"' WHERE key = 'status'")
        yield Run(folder)


def _history(
    realization: tuple[Any, ...], rows: dict[str, list[Any]], draw: random.Random
) -> list[list[tuple[str, Any]]]:
    """List the commits that a realization takes."""
    number, status = realization[0], realization[6]
    found = [[_insert("realizations", (*realization[:6], "running", *realization[7:]))]]
    events = sorted((row for row in rows["events"] if row[0] == number), key=lambda row: row[2])
    late: list[tuple[str, Any]] = []
    for step, of_step in groupby(events, lambda row: row[2]):
        mixed = draw.sample(every := list(of_step), len(every))
        place = draw.randrange(len(every) + 1)
        if step == 2 and mixed:
            late.append(_insert("events", mixed.pop()))
        found += [[_insert("events", row) for row in part] for part in (mixed[:place], mixed[place:])]
        over = [
            _insert(table, row)
            for table in ("steps", "measures")
            for row in rows[table]
            if row[:2] == (number, step)
        ]
        found.append(over)
    end = ("UPDATE realizations SET status = ? WHERE realization = ?", (status, number))
    return [*filter(None, found), [*late, end]]


def _insert(table: str, row: tuple[Any, ...]) -> tuple[str, Any]:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row


def all_of(run: Run) -> Board:
    board = Board()
    tail = Tail(run, board)
    tail.look()
    while tail.n_uncounted:
        tail.look(for_s=0.0)
    return board


def counts(board: Board) -> dict[Any, Any]:
    return {key: sums[:5] for key, sums in board.counts.items() if any(sums)}


def curves(board: Board) -> dict[Any, Any]:
    return {key: pytest.approx(dict(curve.means())) for key, curve in board.curves.items() if curve.means()}


def expected_curves(run: Run) -> dict[Any, Any]:
    """Average by the definition: who ended keeps the last value, who is played has none yet."""
    conditions = dict(run.rows(CONDITION_OF)[1])
    ended = {
        n for n, status in run.rows("SELECT realization, status FROM realizations")[1] if status != "running"
    }
    found: dict[Any, Any] = {}
    for name, query in ("engaged fraction", ENGAGED), ("mood", MEASURED):
        values: dict[Any, dict[int, float]] = {}
        for realization, step, value in run.rows(query)[1]:
            values.setdefault(realization, {})[step] = value
        for condition in set(conditions.values()):
            mine = {n: each for n, each in values.items() if conditions[n] == condition}
            steps = {step for each in mine.values() for step in each}
            means = {step: [_at(each, step, n in ended) for n, each in mine.items()] for step in steps}
            if means:
                there = {step: [v for v in of if v is not None] for step, of in means.items()}
                found[name, condition] = {step: sum(of) / len(of) for step, of in there.items()}
    return found


def _at(values: dict[int, float], step: int, ended: bool) -> float | None:
    return values.get(step, values[max(values)] if ended and step > max(values) else None)


@pytest.mark.parametrize("seed", range(2))
def test_after_every_commit_all_is_counted_that_the_log_holds(played: Run, tmp_path: Path, seed: int) -> None:
    tail = board = None
    n_looks = 0
    for run in written_again(played, tmp_path / "again", seed):
        if tail is None:
            board = Board()
            tail = Tail(run, board)
        assert board is not None
        assert tail.changed()
        tail.look(for_s=10.0)
        assert not tail.changed()
        n_looks += 1
        expected = {(row[0], row[1]): row[2:] for row in run.rows(COUNTS)[1]}
        assert counts(board) == expected
        if n_looks % 9 == 0:
            assert expected_curves(run) == curves(board)
            assert counts(all_of(run)) == expected
    assert board is not None
    assert n_looks > 30
    assert expected_curves(run) == curves(board)
    assert expected_curves(run) == curves(all_of(run))
    (states,) = [dict(run.rows("SELECT status, COUNT(*) FROM realizations GROUP BY 1")[1])]
    assert board.states == {"running": 0, **states}
    assert board.n_settled == board.counted()["n"] == len(run.frame("decisions"))
    assert board.counted()["calls"] == run.rows("SELECT SUM(attempts) FROM events")[1][0][0]


def test_shards_of_a_run_add_up_to_the_run(played: Run, tmp_path: Path) -> None:
    board, tails = Board(), []
    for number in range(2):
        folder = tmp_path / str(number)
        shutil.copytree(played.folder, folder)
        with closing(sqlite3.connect(folder / played.path.name)) as connection:
            # Twins are told apart by the order of the whole: shards have them one beside the other.
            for table in ("realizations", "events", "steps", "measures", "agents"):
                connection.execute(f"DELETE FROM {table} WHERE realization / 2 % 2 = ?", (1 - number,))
            connection.commit()
        tails.append(Tail(Run(folder), board, number))
        tails[-1].look(for_s=10.0)
    whole = all_of(played)
    assert counts(board) == counts(whole)
    assert {key: dict(curve.means()) for key, curve in board.curves.items()} == curves(whole)
    assert board.states == whole.states


def test_the_decisions_that_came_last_are_those_with_the_latest_time(played: Run, tmp_path: Path) -> None:
    tail = None
    for run in written_again(played, tmp_path / "again", 7):
        if tail is None:
            board = Board()
            tail = Tail(run, board)
        tail.look(for_s=10.0)
        query = f"SELECT at FROM events WHERE kind <> '{REASON}' ORDER BY at DESC LIMIT 1"
        latest = run.rows(query)[1]
        came = [each.at for each in board.newest]
        assert came[:1] == [at for (at,) in latest]
        assert came == sorted(came, reverse=True)
        assert len(board.newest) <= N_NEWEST
        assert len({each.key for each in board.newest}) == len(board.newest)


def test_of_what_ended_before_anybody_looked_a_look_counts_as_much_as_it_has_time_for(played: Run) -> None:
    board = Board()
    tail = Tail(played, board)
    tail.look(for_s=0.0)
    assert tail.n_uncounted == 5
    assert board.states["finished"] + board.states["unstarted"] == 6
    while tail.n_uncounted:
        tail.look(for_s=0.0)
    assert counts(board) == counts(all_of(played))
    # What ended long ago is no news.
    assert board.newest == []


def test_incidents_and_troubles_are_read_once(played: Run, tmp_path: Path) -> None:
    shutil.copytree(played.folder, tmp_path / "run")
    run, board = Run(tmp_path / "run"), Board()
    tail = Tail(run, board)
    tail.look()
    kinds = [kind for _, kind, _ in board.incidents]
    assert kinds == [kind for (kind,) in run.rows("SELECT kind FROM incidents ORDER BY incident")[1]]
    assert board.troubles == dict(run.rows("SELECT trouble_kind, COUNT(*) FROM troubles GROUP BY 1")[1])
    assert not board.rewound
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute("INSERT INTO incidents VALUES (NULL, 'in flight', '{\"n\": 3}', 5e9)")
        connection.execute("INSERT INTO troubles SELECT NULL, 0, 'seed', 0, 0, -1, 0, 'odd', '', NULL, 1.0")
        connection.commit()
    tail.look()
    assert board.incidents[-1] == (5e9, "in flight", {"n": 3})
    assert len(board.incidents) == len(kinds) + 1
    assert board.troubles["odd"] == 1
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute("INSERT INTO incidents VALUES (NULL, 'resumed', '{}', 6e9)")
        connection.commit()
    tail.look()
    # What a sitting that goes on asks again is taken out of the log first.
    assert board.rewound


def test_no_look_keeps_a_writer_from_checkpointing_or_a_finished_log_from_becoming_one_file(
    played: Run, tmp_path: Path
) -> None:
    shutil.copytree(played.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    tail = Tail(run, Board())
    with closing(sqlite3.connect(run.path, timeout=0.0)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for number in range(3):
            connection.execute("INSERT INTO incidents VALUES (NULL, 'note', '{}', ?)", (number,))
            connection.commit()
            tail.look()
            # Busy, pages in the write-ahead log, pages merged.
            busy, n_pages, n_merged = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert (busy, n_pages) == (0, n_merged)
    assert close_for_good(run.path)


def test_a_realization_that_ended_keeps_its_last_value_and_one_that_is_played_has_none_yet() -> None:
    curve = Curve()
    curve.add({0: 0.1, 1: 0.2}, ended=True)
    curve.add({0: 0.1, 1: 0.4, 2: 0.6, 3: 0.8}, ended=True)
    curve.add({0: 0.4}, ended=False)
    assert dict(curve.means()) == pytest.approx({0: 0.2, 1: 0.3, 2: 0.4, 3: 0.5})
    curve.add({0: 0.4}, ended=False, times=-1)
    assert dict(curve.means()) == pytest.approx({0: 0.1, 1: 0.3, 2: 0.4, 3: 0.5})
