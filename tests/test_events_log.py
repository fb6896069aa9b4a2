"""What a flush acknowledged is on the disk, whatever happens; what could not be written is never a secret.

The file is long because the log has one promise and many ways to break it.
"""

import asyncio
import json
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from itertools import repeat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentnet.errors import InternalError, Interrupted, RunFolderError, StorageError
from agentnet.events import (
    LOG_NAME,
    SCHEMA_VERSION,
    Answered,
    Columns,
    EventLog,
    Run,
    close_for_good,
    create_log,
)
from agentnet.events.log import Group, Writer
from agentnet.events.opening import connect

LONG_S = 3600.0
"""Seconds after which a test would hand over by the timer: never."""


def count(folder, table="events"):
    return Run(folder).rows(f"SELECT COUNT(*) FROM {table}")[1][0][0]


def steps(folder):
    return [step for (step,) in Run(folder).rows("SELECT step FROM events ORDER BY step")[1]]


def n_commits(folder):
    """Count the transactions in the write-ahead log: frames that say how large the file is after a commit."""
    log = (folder / f"{LOG_NAME}-wal").read_bytes()
    page_bytes = int.from_bytes(log[8:12], "big")
    starts = range(32, len(log), 24 + page_bytes)
    salts = log[16:24]
    return sum(any(log[i + 4 : i + 8]) for i in starts if log[i + 8 : i + 16] == salts)


async def until(condition):
    """Let the loop and the writer go on until `condition` holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the writer's thread announces a commit to nobody
            await asyncio.sleep(0)


@contextmanager
def locked(folder):
    """Keep the log locked as another program may do, so that the writer has to wait."""
    with closing(sqlite3.connect(folder / LOG_NAME, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        if other.in_transaction:
            other.execute("ROLLBACK")


@contextmanager
def files_of_at_most(n_bytes):
    """Let no file of this process grow beyond `n_bytes`: writing fails as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def fill(log, event_row, n_rows, start=0):
    """Append and flush one event after the other; return how many were acknowledged."""
    for step in range(start, start + n_rows):
        reply = log.reply_number(f"{step} " * 1000, "", "m", None)
        log.add_event(event_row(step=step, reply=reply))
        try:
            await log.flush()
        except StorageError:
            return step - start
    return n_rows


# What a flush acknowledges


def test_what_a_flush_acknowledged_is_there_for_another_connection(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_s=LONG_S) as log:
            for step in range(5):
                log.add_event(event_row(step=step))
                await log.flush()
                assert steps(folder) == list(range(step + 1))

    asyncio.run(play())


KILLED = """
import asyncio, sys
from pathlib import Path
from agentnet.events import EventLog

async def play(folder, n):
    async with EventLog(Path(folder), group_rows=50, group_s=0.001) as log:
        while True:
            for _ in range(1 + n % 37):
                reply = log.reply_number(f"reply {n}", "x" * 500, "m", None)
                told = (reply, 0, 0, 1, 1, 0, 0.0, 0.0, *[None] * 3)
                row = (0, "exposure", 1, n, 0, 0, 0, 1.0, 1, None, *told)
                log.add_event(row)
                n += 1
            await log.flush()
            print(n, flush=True)

asyncio.run(play(sys.argv[1], int(sys.argv[2])))
"""


def test_killing_the_process_loses_nothing_that_was_acknowledged_and_the_run_goes_on(new_log):
    folder, chance, n_rows = new_log(), random.Random(7), 0
    for _ in range(3):
        command = [sys.executable, "-c", KILLED, str(folder), str(n_rows)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            for _ in range(chance.randrange(1, 40)):
                assert child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            said = child.stdout.read().splitlines()
        acknowledged = int(said[-1]) if said else n_rows + 1
        query = "SELECT agent, text FROM events JOIN replies USING (reply) ORDER BY agent"
        rows = Run(folder).rows(query)[1]
        assert rows == [(n, f"reply {n}") for n in range(len(rows))]
        assert len(rows) >= acknowledged > n_rows
        with Run(folder).connection() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        n_rows = len(rows)


def test_rows_appended_while_a_flush_is_pending_belong_to_the_next(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_s=LONG_S) as log:
            log.add_event(event_row(step=1))
            first = asyncio.create_task(log.flush())
            await asyncio.sleep(0)
            log.add_event(event_row(step=2))
            await first
            assert steps(folder) == [1]
            await log.flush()
            assert steps(folder) == [1, 2]

    asyncio.run(play())


def test_a_cancelled_flush_is_written_all_the_same_and_disturbs_nobody(new_log, event_row):
    folder, troubles = new_log(), []

    async def play():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        async with EventLog(folder, group_s=LONG_S) as log:
            log.add_event(event_row(step=1))
            with locked(folder):
                cancelled = asyncio.create_task(log.flush())
                await asyncio.sleep(0)
                cancelled.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await cancelled
            log.add_event(event_row(step=2))
            await log.flush()
            assert steps(folder) == [1, 2]

    asyncio.run(play())
    assert troubles == []


def test_a_flush_of_nothing_waits_for_what_was_handed_over_before(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_rows=1) as log:
            log.add_event(event_row())
            await log.flush()
            assert count(folder) == 1

    asyncio.run(play())


# Groups


def test_rows_are_written_in_groups_of_the_size_asked_for(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_rows=10, group_s=LONG_S) as log:
            for step in range(25):
                log.add_event(event_row(step=step))
            await until(lambda: count(folder) >= 20)
            assert count(folder) == 20
            assert n_commits(folder) <= 2
        assert count(folder) == 25

    asyncio.run(play())


def test_columns_are_written_in_groups_of_four_times_that_size(new_log):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_rows=10, group_s=LONG_S) as log:
            for realization in range(7):
                log.add("usual agents", Columns(10, (repeat(realization), range(10), repeat("01101"))))
            await until(lambda: count(folder, "agents") > 0)
            assert (count(folder, "agents"), n_commits(folder)) == (40, 1)
        assert count(folder, "agents") == 70

    asyncio.run(play())


def test_what_nobody_flushes_is_handed_over_after_a_while(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_s=0.0) as log:
            log.add_event(event_row(step=1))
            log.add_event(event_row(step=2))
            await until(lambda: count(folder) == 2)
            log.add("agents", [(0, 0, "01101", None, None, None, None)])
            await until(lambda: count(folder, "agents") == 1)

    asyncio.run(play())


def test_many_who_wait_share_one_commit(new_log, event_row):
    folder = new_log()

    async def decide(log, step):
        log.add_event(event_row(step=step))
        await log.flush()

    async def play():
        async with EventLog(folder) as log:
            with locked(folder):
                tasks = [asyncio.create_task(decide(log, step)) for step in range(50)]
                await asyncio.sleep(0)
            await asyncio.gather(*tasks)
            assert (count(folder), n_commits(folder) <= 2) == (50, True)

    asyncio.run(play())


def test_a_commit_takes_no_more_groups_once_it_is_large(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_rows=4, group_s=LONG_S) as log:
            with locked(folder):
                for step in range(40):
                    log.add_event(event_row(step=step))
                flushed = asyncio.create_task(log.flush())
                await asyncio.sleep(0)
            await flushed
            assert (count(folder), n_commits(folder)) == (40, 10)

    asyncio.run(play())


def test_a_row_is_written_after_what_it_refers_to(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            log.add("ends", [("finished", 0, 3, 2.0, 0)])
            log.add("engagements", [(3, 0, 0)])
            log.add("agents", [(0, 0, "01101", None, None, None, None)])
            log.add("realizations", [(0, "{}", 0, 0, None, 7, "running", None, None, 1.0, None)])

    asyncio.run(play())
    assert Run(folder).rows("SELECT status, last_step FROM realizations")[1] == [("finished", 3)]
    assert Run(folder).rows("SELECT engaged_step FROM agents")[1] == [(3,)]


# The file


def test_write_ahead_is_in_force_and_every_commit_is_synced(new_log):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            assert log.journal_mode == "wal"

    asyncio.run(play())
    with closing(connect(folder / LOG_NAME)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_without_shared_memory_the_log_is_written_without_write_ahead(tmp_path, event_row):
    # SQLite cannot make the file that processes share where a folder of that name stands.
    folder = tmp_path / "run"
    (folder / f"{LOG_NAME}-shm").mkdir(parents=True)
    create_log(folder, {})

    async def play():
        async with EventLog(folder) as log:
            assert log.journal_mode == "delete"
            log.add_event(event_row())
            await log.flush()
            assert count(folder) == 1
            assert (await log.recorded(0)) == {("exposure", 1): {(0, 1, 0): 1}}

    asyncio.run(play())
    assert close_for_good(folder / LOG_NAME)
    assert not (folder / f"{LOG_NAME}-wal").exists()
    assert count(folder) == 1


def test_a_finished_log_is_exactly_one_file(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            log.add_event(event_row())

    asyncio.run(play())
    assert close_for_good(folder / LOG_NAME)
    assert sorted(path.name for path in folder.iterdir() if path.name != ".lock") == [LOG_NAME]
    with Run(folder).connection() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert count(folder) == 1
    assert sorted(path.name for path in folder.iterdir() if path.name != ".lock") == [LOG_NAME]


def test_a_log_that_somebody_reads_is_closed_for_good_another_time(new_log):
    folder = new_log()
    with Run(folder).snapshot() as connection:
        connection.execute("SELECT * FROM meta").fetchall()
        assert not close_for_good(folder / LOG_NAME)
    assert Run(folder).meta["backend"] == "mock"
    assert close_for_good(folder / LOG_NAME)


def test_a_log_that_cannot_be_merged_keeps_everything_and_says_so(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_s=LONG_S) as log:
            await fill(log, event_row, 40)

    with Run(folder).snapshot() as connection:  # who reads keeps the last writer from merging
        connection.execute("SELECT * FROM meta").fetchall()
        asyncio.run(play())
    with files_of_at_most(100_000), pytest.raises(StorageError, match="free disk space"):
        close_for_good(folder / LOG_NAME)
    assert count(folder) == 40
    assert close_for_good(folder / LOG_NAME)
    assert count(folder) == 40


def test_a_damaged_log_is_told_even_if_its_name_for_a_table_is_no_text(new_log):
    path = new_log() / LOG_NAME
    content = path.read_bytes()
    path.write_bytes(
        content.replace(b"tableevents", b"table\xc8vents").replace(b"TABLE events", b"TABLX events")
    )
    with pytest.raises(StorageError, match="is damaged"):
        connect(path)


def test_a_finished_log_can_be_gone_on_with(new_log, event_row):
    folder = new_log()
    close_for_good(folder / LOG_NAME)

    async def play():
        async with EventLog(folder) as log:
            log.add_event(event_row())

    asyncio.run(play())
    assert count(folder) == 1


# Making a log


def test_a_new_log_holds_what_it_is_made_with(tmp_path):
    news = [(0, "N1", 1, "h1", "Flood", "{}"), (1, "N2", None, "h2", "Strike", "{}")]
    create_log(tmp_path / "a" / "b", {"seed": 7, "name": "Übung"}, news)
    run = Run(tmp_path / "a" / "b")
    assert run.meta == {"schema_version": SCHEMA_VERSION, "seed": 7, "name": "Übung"}
    assert run.rows("SELECT * FROM news")[1] == news


def test_a_folder_with_a_run_is_refused_and_left_as_it_is(new_log):
    folder = new_log()
    close_for_good(folder / LOG_NAME)
    before = (folder / LOG_NAME).read_bytes()
    with pytest.raises(RunFolderError, match="holds a run already; resume it"):
        create_log(folder, {"seed": 8})
    assert (folder / LOG_NAME).read_bytes() == before


def test_a_log_whose_making_was_cut_off_is_made_anew(tmp_path):
    with closing(connect(tmp_path / LOG_NAME)) as connection:
        connection.execute("BEGIN")
    with pytest.raises(RunFolderError):
        Run(tmp_path)
    create_log(tmp_path, {"seed": 8})
    assert Run(tmp_path).meta["seed"] == 8


def test_of_two_who_make_the_same_run_one_is_told(tmp_path):
    made, refused = [], []
    together = threading.Barrier(8)

    def make(number):
        together.wait()
        try:
            create_log(tmp_path / "run", {"number": number})
            made.append(number)
        except RunFolderError:
            refused.append(number)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that all look before one of them has ended
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    assert (len(made), len(refused)) == (1, 7)
    assert Run(tmp_path / "run").meta["number"] == made[0]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"the run folder cannot be made .* another by --out"):
        create_log(tmp_path / "file" / "run", {})


def test_a_file_that_is_no_log_is_not_overwritten(tmp_path):
    (tmp_path / LOG_NAME).write_bytes(b"my notes " * 1000)
    with pytest.raises(RunFolderError, match="cannot be read"):
        create_log(tmp_path, {})
    assert (tmp_path / LOG_NAME).read_bytes() == b"my notes " * 1000
    with pytest.raises(StorageError, match="is damaged, or no event log"):
        connect(tmp_path / LOG_NAME)


def test_a_full_disk_while_a_log_is_made_can_be_mended(tmp_path):
    with files_of_at_most(40_000), pytest.raises(StorageError, match="free disk space"):
        create_log(tmp_path, {"text": "x" * 100_000})
    create_log(tmp_path, {"text": "x" * 100_000})
    assert len(Run(tmp_path).meta["text"]) == 100_000


def test_a_row_that_cannot_begin_a_log_is_named(tmp_path):
    with pytest.raises(InternalError, match=r"could not be recorded: IntegrityError.*N1"):
        create_log(tmp_path, {}, [(0, "N1", 1, "h", "t", "{}"), (1, "N1", 1, "h", "t", "{}")])


# One process, one schema


def test_a_second_process_is_refused_while_the_first_plays(new_log):
    folder = new_log()
    code = (
        "import asyncio, sys; from pathlib import Path; from agentnet.events import EventLog\n"
        "asyncio.run(EventLog(Path(sys.argv[1])).__aenter__())"
    )
    command = [sys.executable, "-c", code, str(folder)]

    async def play():
        async with EventLog(folder):
            return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: ASYNC221 - nothing else runs

    refused = asyncio.run(play())
    assert "RunFolderError" in refused.stderr
    assert "another process is playing this run; wait for it, or stop it" in refused.stderr
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_same_process_cannot_open_a_log_twice(new_log):
    folder = new_log()

    async def play():
        async with EventLog(folder):
            with pytest.raises(RunFolderError, match="another process"):
                await EventLog(folder).__aenter__()

    asyncio.run(play())
    asyncio.run(play())


def test_a_folder_that_cannot_be_locked_is_a_storage_error(new_log):
    folder = new_log()
    (folder / ".lock").mkdir()
    with pytest.raises(StorageError, match="cannot be locked"):
        asyncio.run(EventLog(folder).__aenter__())


def test_a_log_that_another_program_locks_is_a_storage_error_that_says_so(new_log):
    folder = new_log()
    with locked(folder), pytest.raises(StorageError, match="close the program that has it open"):
        connect(folder / LOG_NAME, patience_s=0.0)


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_without_a_log_is_no_run(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="is no run folder"):
        asyncio.run(EventLog(tmp_path / folder).__aenter__())


def test_a_log_that_is_damaged_within_is_refused_and_unlocked(new_log):
    folder = new_log()
    close_for_good(folder / LOG_NAME)
    with Run(folder).connection() as connection:
        page, size = connection.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master "
            "WHERE name = 'replies'"
        ).fetchone()
    with (folder / LOG_NAME).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    for _ in range(2):
        with pytest.raises(RunFolderError, match=r"malformed.*: it is damaged"):
            asyncio.run(EventLog(folder).__aenter__())


# Rows that cannot be stored


def test_a_second_event_of_the_same_key_fails_and_nothing_else_is_lost(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_s=LONG_S) as log:
            log.add_event(event_row(step=1))
            await log.flush()
            with locked(folder):
                waiting = []
                for step in (2, 1, 3):  # three groups of one or two commits
                    log.add_event(event_row(step=step, decision=0))
                    log.add_event(event_row(step=step, agent=9))
                    waiting.append(asyncio.create_task(log.flush()))
                    await asyncio.sleep(0)
            errors = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(error, InternalError) for error in errors[1:])
            assert "(0, 'exposure', 1, 0, 1, 0" in str(errors[1])
            log.add_event(event_row(step=4))

    with pytest.raises(InternalError, match="UNIQUE"):
        asyncio.run(play())
    rows = Run(folder).rows("SELECT step, agent, decision FROM events ORDER BY step, agent")[1]
    assert rows == [(1, 0, 1), (1, 9, 1), (2, 0, 0), (2, 9, 1), (3, 0, 0), (3, 9, 1), (4, 0, 1)]


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("agents", (0, 0, None, None)),
        ("news", (1, None, 0, "h", "t", "{}")),
        ("prompts", (0, "h", None, "01101", 0, "[]")),
        ("steps", (0, 0, None, 0, 0, 0, 0, 0)),
        ("realizations", (0, "{}", 0, 0, None, 2**70, "running", None, None, 1.0, None)),
        ("agents", (0, 0, "01101")),
        ("agents", (0, 0, object(), None)),
    ],
)
def test_a_row_that_cannot_be_stored_is_never_dropped_in_silence(new_log, table, row):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            log.add(table, [row])
            log.add("incidents", [(None, "started", "{}", 1.0)])
            await log.flush()

    with pytest.raises(InternalError, match="a row could not be recorded") as failed:
        asyncio.run(play())
    assert not hasattr(failed.value, "__notes__")  # it is told once
    assert count(folder, "incidents") == 1


def test_what_is_written_again_on_resuming_may_stand_already(new_log):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            for number in (1, 2):
                log.add("networks", [("net", f"name {number}", 1, 0, b"", None)])
                log.add("prompts", [(0, f"hash {number}", "exposure", "01101", 0, "[]")])
                log.add("realizations", [(0, "{}", 0, number, "net", 7, "running", None, None, 1.0, None)])
                log.add("agents", [(0, 0, "01101", None, None, None, None)])
                log.add("steps", [(0, 1, number, 1, 1, 1, 0, 1)])
                log.set_meta(number=number)

    asyncio.run(play())
    run = Run(folder)
    assert run.rows("SELECT name FROM networks")[1] == [("name 1",)]
    assert run.rows("SELECT hash FROM prompts")[1] == [("hash 1",)]
    assert run.rows("SELECT repeat FROM realizations")[1] == [(1,)]
    assert run.rows("SELECT n_exposed FROM steps")[1] == [(2,)]
    assert run.meta["number"] == 2


@pytest.mark.parametrize("n_rows", [1, 4, 39, 128, 224, 225, 226, 2000])
def test_many_rows_and_columns_are_written_as_their_rows_would_be_one_by_one(new_log, n_rows, monkeypatch):
    monkeypatch.delattr(Writer, "_one_by_one")
    folder = new_log()
    rows = [(0, agent, f"{agent % 32:05b}", agent % 7 or None, None, "p", "v") for agent in range(n_rows)]
    of_columns = [(1, agent, "01101", 5, None, f"p{agent % 3}", None) for agent in range(n_rows)]
    _, agents, _, _, _, personas, _ = zip(*of_columns, strict=True)
    columns = (repeat(1), agents, repeat("01101"), repeat(5), repeat(None), personas, repeat(None))

    async def play():
        async with EventLog(folder, group_rows=10 * n_rows) as log:
            log.add("agents", rows)
            log.add("agents", Columns(n_rows, columns))
            log.add("engagements", [(3, 1, agent) for agent in range(0, n_rows, 2)])
            await log.flush()

    asyncio.run(play())
    engaged = [(*row[:3], 5 if row[1] % 2 else 3, *row[4:]) for row in of_columns]
    assert Run(folder).rows("SELECT * FROM agents")[1] == [*rows, *engaged]


def test_a_row_among_many_that_cannot_be_stored_takes_no_other_with_it(new_log):
    folder = new_log()
    profiles = [None if agent == 700 else "01101" for agent in range(1000)]

    async def play():
        async with EventLog(folder) as log:
            log.add("usual agents", Columns(1000, (repeat(0), range(1000), profiles)))
            await log.flush()

    with pytest.raises(InternalError, match=r"could not be recorded: IntegrityError.*\(0, 700, None\)"):
        asyncio.run(play())
    assert count(folder, "agents") == 999


def test_who_engages_again_and_again_has_the_step_that_was_said_last(new_log):
    folder = new_log()
    rows = [(3, 0, 1), (3, 0, 2), (3, 1, 1), (None, 0, 1), (4, 0, 2), (3, 0, 1), (5, 0, 0), (None, 0, 2)]

    async def play():
        async with EventLog(folder) as log:
            log.add(
                "usual agents",
                [(realization, agent, "01101") for realization in (0, 1) for agent in range(3)],
            )
            log.add("engagements", iter(rows))

    asyncio.run(play())
    engaged = Run(folder).rows("SELECT engaged_step FROM agents")[1]
    assert [step for (step,) in engaged] == [5, 3, None, None, 3, None]


STRANGE = [
    "",
    "\0",
    "a\0b",
    "😀",
    "\ud83d",
    "half \udc00 way",
    "x" * 1_000_000,
    "'; DROP TABLE events; --",
    "\r\n",
]


def test_strange_texts_stand_in_the_log_as_they_came(new_log, event_row):
    folder = new_log(name="\ud83d")

    async def play():
        async with EventLog(folder) as log:
            for i, text in enumerate(STRANGE):
                log.add_event(event_row(agent=i, reply=log.reply_number(text, text, text, text)))
                log.add("troubles", [(None, 0, "exposure", 1, i, 1, 0, "invalid", text, text, 1.0)])
            log.add_incident("stopped", reason="\ud83d")

    asyncio.run(play())
    expected = [text.encode("utf-8", "backslashreplace").decode() for text in STRANGE]
    run = Run(folder)
    assert run.rows("SELECT text, rationale, model, fingerprint FROM replies ORDER BY reply")[1] == [
        (text,) * 4 for text in expected
    ]
    assert run.frame("troubles")["text"].tolist() == run.frame("troubles")["detail"].tolist() == expected
    assert expected[4] == r"\ud83d"
    # Within JSON the spelling is the escape: the text itself comes back.
    assert run.meta["name"] == json.loads(run.frame("incidents")["detail"][0])["reason"] == "\ud83d"


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(replies=st.lists(st.text(max_size=20), max_size=8))
def test_every_reply_is_found_again_by_its_number(tmp_path_factory, replies):
    folder = tmp_path_factory.mktemp("run")
    create_log(folder, {})

    async def play():
        async with EventLog(folder) as log:
            return [log.reply_number(text, "", "m", None) for text in replies]

    numbers = asyncio.run(play())
    found = dict(Run(folder).rows("SELECT reply, text FROM replies")[1])
    spelled = [text.encode("utf-8", "backslashreplace").decode() for text in replies]
    assert [found[number] for number in numbers] == spelled
    assert len(found) == len(set(replies))


# Replies, prompts, resuming


def test_equal_replies_share_a_row_and_different_ones_never_do(new_log):
    folder = new_log()
    different = [("a", "", "m", None), ("b", "", "m", None), ("a", "r", "m", None), ("a", "", "n", None)]
    different += [("a", "", "m", "f"), ("a", "", "m", "")]

    async def play():
        async with EventLog(folder) as log:
            first = [log.reply_number(*reply) for reply in different]
            again = [log.reply_number(*reply) for reply in different]
        assert first == again == [1, 2, 3, 4, 5, 6]
        async with EventLog(folder) as log:
            assert log.reply_number("c", "", "m", None) == 7

    asyncio.run(play())
    rows = Run(folder).rows("SELECT text, rationale, model, fingerprint FROM replies ORDER BY reply")[1]
    assert rows == [*different, ("c", "", "m", None)]


def test_replies_are_forgotten_before_they_fill_the_memory(new_log):
    folder = new_log()

    async def play():
        async with EventLog(folder, replies_remembered=100) as log:
            assert log.reply_number("first", "", "m", None) == 1
            for number in range(100):
                log.reply_number(str(number), "", "m", None)
            assert log.reply_number("99", "", "m", None) == 101
            assert log.reply_number("first", "", "m", None) == 102

    asyncio.run(play())
    assert count(folder, "replies") == 102


def test_an_event_log_that_is_opened_again_forgets_what_may_not_be_written(new_log):
    folder = new_log()

    async def play():
        log = EventLog(folder, group_s=LONG_S)
        async with log:
            log.reply_number("a", "", "m", None)
        with closing(sqlite3.connect(folder / LOG_NAME)) as other:
            other.execute("DELETE FROM replies")
            other.commit()
        async with log:
            assert log.reply_number("a", "", "m", None) == 1

    asyncio.run(play())
    assert count(folder, "replies") == 1


def test_a_prompt_is_known_once_it_was_asked_about_also_after_resuming(new_log):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            assert [log.is_prompt_known(3) for _ in range(2)] == [False, True]
            log.add("prompts", [(3, "h", "exposure", "01101", 0, "[]")])
        async with EventLog(folder) as log:
            assert [log.is_prompt_known(number) for number in (3, 4)] == [True, False]

    asyncio.run(play())


def test_a_resumed_run_reads_what_was_recorded_of_its_realization(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            yes, no = (log.reply_number(text, "", "m", None) for text in ("Yes", "No"))
            log.add_event(event_row(kind="seed", step=0, agent=4, source=-1, reply=yes, temperature=0.7))
            log.add_event(event_row(agent=2, source=4, decision=0, reply=no, repeat=1))
            log.add_event(event_row(agent=1, source=4, decision=None, missing="invalid", reply=no))
            log.add_event(event_row(agent=3, source=4, decision=None, missing="failed"))
            log.add_event(event_row(kind="reason", agent=2, source=4, decision=None, reply=no, repeat=1))
            log.add_event(event_row(realization=1))
            await log.flush()
            assert await log.recorded(0) == {
                ("seed", 0): {(4, -1, 0): 1},
                ("exposure", 1): {(2, 4, 1): 0, (1, 4, 0): -1, (3, 4, 0): -1},
                ("reason", 1): {(2, 4, 1): -1},
            }
            assert await log.answered(0) == [
                Answered(0, 4, -1, 0, 0.7, "Yes"),
                Answered(1, 2, 4, 1, 1.0, "No"),
            ]
            assert await log.recorded(5) == {}

    asyncio.run(play())


def test_incidents_are_recorded_in_their_order_with_their_details(new_log):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            log.add_incident("started", journal_mode="wal")
            log.add_incident("stopped", reason="zu heiß")

    asyncio.run(play())
    rows = Run(folder).rows("SELECT incident, kind, detail FROM incidents")[1]
    assert rows == [(1, "started", '{"journal_mode": "wal"}'), (2, "stopped", '{"reason": "zu heiß"}')]


# A full disk


def test_a_full_disk_is_told_to_who_waits_and_the_run_goes_on_with_more_room(new_log, event_row):
    folder = new_log()

    async def play(start):
        async with EventLog(folder, group_s=LONG_S) as log:
            return await fill(log, event_row, 200, start)

    with files_of_at_most(300_000), pytest.raises(StorageError, match="free disk space") as failed:
        asyncio.run(play(0))
    assert str(folder / LOG_NAME) in str(failed.value)
    n_rows = count(folder)
    assert 10 < n_rows < 200
    assert steps(folder) == list(range(n_rows))
    with Run(folder).connection() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert asyncio.run(play(n_rows)) == 200
    assert steps(folder) == list(range(n_rows + 200))


def test_after_a_full_disk_nothing_more_is_written_and_every_flush_says_so(new_log, event_row):
    folder = new_log()

    async def play():
        log = EventLog(folder, group_s=LONG_S)
        await log.__aenter__()
        with files_of_at_most(300_000):
            n_rows = await fill(log, event_row, 200)
        log.add_event(event_row(step=1000))  # there is room again, but something before it is missing
        with pytest.raises(StorageError):
            await log.flush()
        with pytest.raises(StorageError):
            await log.__aexit__(None, None, None)
        return n_rows

    n_rows = asyncio.run(play())
    assert steps(folder) == list(range(n_rows))


def test_a_log_that_is_moved_away_while_it_is_written_takes_what_came_and_says_so(new_log, event_row):
    folder = new_log()
    moved = folder.with_name("moved")

    async def play():
        async with EventLog(folder, group_s=LONG_S) as log:
            log.add_event(event_row(step=1))
            await log.flush()
            folder.rename(moved)
            log.add_event(event_row(step=2))
            await log.flush()

    with pytest.raises(StorageError, match=r"moved or removed while it was written.*resume it where it is"):
        asyncio.run(play())
    assert steps(moved) == [1, 2]


def test_a_run_that_was_stopped_is_told_when_its_last_rows_are_lost(new_log, event_row):
    folder = new_log()

    async def play(error):
        async with EventLog(folder, group_s=LONG_S) as log:
            log.add_event(event_row(step=1))
            log.add_event(event_row(step=1))
            raise error

    with pytest.raises(InternalError) as lost:
        asyncio.run(play(Interrupted("what was in flight is recorded")))
    assert isinstance(lost.value.__context__, Interrupted)
    with pytest.raises(KeyError) as other:
        asyncio.run(play(KeyError("agent")))
    assert "could not be recorded" in other.value.__notes__[0]


# The end of a log


def test_a_closed_log_takes_nothing_more(new_log, event_row):
    folder = new_log()

    async def play():
        log = EventLog(folder)
        for _ in range(2):
            with pytest.raises(InternalError, match="is closed: what is appended now would be lost"):
                log.add_event(event_row())
            with pytest.raises(InternalError, match="is closed"):
                log.set_meta(status="finished")
            with pytest.raises(InternalError, match="is closed"):
                await log.flush()
            log = EventLog(folder)
            async with log:
                pass

    asyncio.run(play())
    assert count(folder) == 0


def test_a_closing_log_takes_nothing_more(new_log, event_row):
    folder = new_log()

    async def play():
        log = EventLog(folder, group_s=LONG_S)
        await log.__aenter__()
        log.add_event(event_row(step=1))
        with locked(folder):
            closed = asyncio.create_task(log.__aexit__(None, None, None))
            await asyncio.sleep(0)
            with pytest.raises(InternalError, match="is closed"):
                log.add_event(event_row(step=2))
        await closed

    asyncio.run(play())
    assert steps(folder) == [1]


def test_the_timer_of_a_closed_log_never_strikes(new_log, event_row):
    folder, troubles = new_log(), []

    async def play():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        async with EventLog(folder, group_s=0.0) as log:
            log.add_event(event_row())
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(play())
    assert (count(folder), troubles) == (1, [])


def test_an_error_within_loses_nothing_that_was_appended(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_s=LONG_S) as log:
            log.add_event(event_row())
            raise KeyError("agent")

    with pytest.raises(KeyError):
        asyncio.run(play())
    assert count(folder) == 1


def test_a_cancelled_close_unlocks_the_run_only_after_everything_is_written(new_log, event_row):
    folder = new_log()

    async def play():
        log = EventLog(folder, group_s=LONG_S)
        await log.__aenter__()
        log.add_event(event_row())
        with locked(folder) as other:
            closed = asyncio.create_task(log.__aexit__(None, None, None))
            await asyncio.sleep(0)
            closed.cancel()
            # The loop itself waits for the writer from now on: only another thread can free the file.
            free = threading.Thread(target=other.execute, args=("ROLLBACK",))
            free.start()
            with pytest.raises(asyncio.CancelledError):
                await closed
            ended = not log._writer.is_alive()
            free.join()
        return ended

    assert asyncio.run(play())
    assert count(folder) == 1
    asyncio.run(EventLog(folder).__aenter__())


def test_who_waited_on_a_closed_loop_keeps_nobody_else_waiting(new_log, event_row):
    path = new_log() / LOG_NAME
    gone = asyncio.new_event_loop()
    nobody = gone.create_future()
    gone.close()
    insert = f"INSERT INTO events VALUES ({', '.join('?' * len(event_row()))})"

    async def play():
        writer = Writer(path, connect(path), group_rows=1)
        writer.put(Group([(insert, [event_row(step=1)])], 1, nobody))
        waiter = asyncio.get_running_loop().create_future()
        writer.put(Group([(insert, [event_row(step=2)])], 1, waiter))
        await asyncio.wait_for(waiter, 30)
        writer.close()
        writer.close()

    asyncio.run(play())
    assert steps(path.parent) == [1, 2]


def test_whatever_breaks_in_the_writer_reaches_who_waits(new_log):
    path = new_log() / LOG_NAME

    class Broken:
        def __iter__(self):
            raise MemoryError("no room for rows")

    async def play():
        writer = Writer(path, connect(path), group_rows=1)
        waiters = [asyncio.get_running_loop().create_future() for _ in range(2)]
        for waiter in waiters:
            writer.put(Group([("INSERT INTO meta VALUES (?, ?)", Broken())], 1, waiter))
        errors = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), 30)
        writer.close()
        return errors

    errors = asyncio.run(play())
    assert [str(error) for error in errors] == [
        f"{path}: the event log cannot be written: MemoryError: no room for rows"
    ] * 2


def test_a_log_can_be_flushed_from_another_loop_in_turn(new_log, event_row):
    folder = new_log()
    log = EventLog(folder, group_s=LONG_S)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(log.__aenter__())

        async def play():
            log.add_event(event_row())
            await asyncio.wait_for(log.flush(), 30)

        second.run(play())
        assert count(folder) == 1
        first.run(log.__aexit__(None, None, None))


def test_reading_goes_on_while_a_log_is_written(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder, group_s=LONG_S) as log:
            log.add_event(event_row(step=1))
            await log.flush()
            with Run(folder).snapshot() as connection:
                seen = [connection.execute("SELECT COUNT(*) FROM events").fetchone()[0]]
                log.add_event(event_row(step=2))
                await log.flush()
                seen.append(connection.execute("SELECT COUNT(*) FROM events").fetchone()[0])
            return [*seen, count(folder)]

    assert asyncio.run(play()) == [1, 1, 2]
