"""A run is read as it was recorded, also while it is played, and reading changes nothing."""

import asyncio
import hashlib
import shutil
import sqlite3
import threading
from contextlib import closing, suppress
from functools import partial
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentnet.errors import RunFolderError, UserError
from agentnet.events import LOG_NAME, SCHEMA_VERSION, TABLES, VIEWS, EventLog, Run, close_for_good, create_log
from agentnet.events.digest import ByColumn, digest
from agentnet.events.schema import columns, statements
from agentnet.vocabulary import ANSWER_KINDS, DECISION_KINDS, REASON

EVERYTHING = [*TABLES, *VIEWS]


def change(run, statement, *parameters):
    """Change a log as another program would."""
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute(statement, parameters)
        connection.commit()


def write(folder, rows_of_tables):
    """Make a log that holds the given rows, in the given order."""
    create_log(folder, {"seed": 7}, [(0, "N1", 1, "h", "t", "{}")])

    async def play():
        async with EventLog(folder) as log:
            for table, row in rows_of_tables:
                if table == "events":
                    log.add_event(row)
                else:
                    log.add(table, [row])

    asyncio.run(play())
    return Run(folder)


# Tables and queries


@pytest.mark.parametrize("table", EVERYTHING)
def test_a_frame_holds_a_whole_table(sample_run, table):
    run = sample_run()
    frame = run.frame(table)
    names, rows = run.rows(f"SELECT * FROM {table}")
    written_out = ["n_shared"] if table == "decisions" else []
    assert list(frame.columns) == [*names, *written_out]
    assert names == (columns(table) if table in TABLES else names)
    assert len(frame) == len(rows) > 0
    assert frame[names].equals(pd.DataFrame(rows, columns=names))


def test_profiles_stay_texts_in_a_frame(sample_run):
    agents = sample_run().frame("agents")
    assert agents["profile"].tolist()[:3] == ["01101", "00000", "11111"]


def test_the_view_has_one_record_a_decision_with_what_it_refers_to(sample_run):
    run = sample_run()
    decisions = run.frame("decisions")
    n_decisions = run.rows("SELECT COUNT(*) FROM events WHERE decision IS NOT NULL OR missing IS NOT NULL")
    assert len(decisions) == n_decisions[1][0][0] == 8
    assert set(decisions["kind"]) <= set(DECISION_KINDS)
    for name, value in {"backend": "mock", "news": "N1", "severity": 1, "prompt_hash": "prompt hash"}.items():
        assert (decisions[name] == value).all()
    found = decisions.set_index(["step", "agent", "source"])
    assert found.loc[(2, 4, 3), ["text", "missing"]].tolist() == ["Perhaps", "invalid"]
    # Whoever was asked for a reason afterwards has given that one.
    assert found.loc[(1, 0, 2), "rationale"] == "It matters."
    assert found.loc[(1, 3, 2), "rationale"] == "because Yes!"


def test_a_decision_without_a_reply_has_an_empty_rationale(sample_run):
    run = sample_run()
    change(run, "UPDATE events SET reply = NULL WHERE kind = 'seed'")
    decisions = run.frame("decisions")
    seeds = decisions[decisions["kind"] == "seed"]
    assert seeds["rationale"].tolist() == ["", ""]
    assert seeds["text"].isna().all()


def test_an_unknown_table_is_the_callers_error_and_names_the_known(sample_run):
    with pytest.raises(UserError, match="no table 'event'; known: decisions, answers, meta, news"):
        sample_run().frame("event")


def test_the_view_of_answers_has_one_record_an_answer_and_no_decision(sample_run):
    answers = sample_run().frame("answers")
    assert answers["kind"].tolist() == ["evaluation", "interview"]
    assert answers["asker"].tolist() == [-1, 0]
    for name, value in {"model": 1, "class": "b", "id": "q0", "topic": "a", "answer": "By sweating."}.items():
        assert (answers[name] == value).all()


def test_a_query_is_answered_as_a_frame(sample_run):
    frame = sample_run().query("SELECT step, COUNT(*) AS n FROM events WHERE source = ? GROUP BY step", [2])
    assert frame.to_dict("list") == {"step": [1, 2], "n": [4, 1]}
    assert sample_run().query("SELECT :a AS a", {"a": "01101"})["a"].tolist() == ["01101"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT value FROM json_each('[1, 2]')",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2) SELECT i FROM n",
        "SELECT name FROM pragma_table_info('meta')",
        "PRAGMA table_info(meta)",
        "SELECT MAX(step) FROM events UNION SELECT printf('%d', 3)",
        "SELECT atom FROM news, json_tree('[' || severity || ', 2]') WHERE atom IS NOT NULL",
    ],
)
def test_anything_that_only_reads_is_a_query(sample_run, sql):
    assert len(sample_run().query(sql)) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO meta VALUES ('a', '1')",
        "UPDATE events SET decision = 1",
        "DELETE FROM events",
        "DROP TABLE events",
        "CREATE TABLE mine (a)",
        "CREATE TEMP TABLE mine (a)",
        "UPDATE sqlite_master SET sql = ''",
        "ATTACH DATABASE '{folder}/new.sqlite' AS new",
        "ATTACH DATABASE 'file:{folder}/new.sqlite?mode=rwc' AS new",
        "ATTACH DATABASE ':memory:' AS new",
        "DETACH DATABASE main",
        "VACUUM INTO '{folder}/new.sqlite'",
        "VACUUM",
        "REINDEX",
        "ANALYZE",
        "PRAGMA user_version = 3",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA query_only = 0",
        "PRAGMA wal_checkpoint",
        "BEGIN IMMEDIATE",
        "SAVEPOINT here",
        "SELECT load_extension('{folder}/new')",
    ],
)
def test_nothing_can_be_changed_by_a_query(sample_run, sql):
    run = sample_run()
    before = (run.path.read_bytes(), sorted(path.name for path in run.folder.iterdir()))
    with pytest.raises(UserError, match="a query is one SELECT on the tables decisions, answers, meta"):
        run.query(sql.format(folder=run.folder))
    assert (run.path.read_bytes(), sorted(path.name for path in run.folder.iterdir())) == before


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELEKT 1", ()),
        ("SELECT nothing FROM events", ()),
        ("SELECT 1; SELECT 2", ()),
        ("SELECT '\0'", ()),
        ("SELECT '\ud83d'", ()),
        ("SELECT ?", ()),
        ("SELECT ?", (1, 2)),
        ("SELECT ?", (object(),)),
        ("SELECT ?", (2**64,)),
        ("SELECT ?", ("\ud83d",)),
    ],
)
def test_a_wrong_query_is_the_callers_error(sample_run, sql, parameters):
    with pytest.raises(UserError, match="a query is one SELECT"):
        sample_run().query(sql, parameters)


def test_meta_is_read_as_it_was_given(tmp_path):
    meta = {"seed": 7, "settings": {"a": [1, 2.5, None, True]}, "name": "Übung 😀"}
    create_log(tmp_path, meta)
    assert Run(tmp_path).meta == {**meta, "schema_version": SCHEMA_VERSION}


# What is no run


def test_another_schema_is_refused_with_the_version_that_wrote_it(sample_run):
    run = sample_run()
    for version in ("1", '"2"', "null", "no JSON"):
        change(run, "UPDATE meta SET value = ? WHERE key = 'schema_version'", version)
        with pytest.raises(RunFolderError, match=rf"has schema {version}, .* reads schema {SCHEMA_VERSION}"):
            Run(run.folder)
    change(run, "DELETE FROM meta WHERE key = 'schema_version'")
    with pytest.raises(RunFolderError, match="has schema None"):
        Run(run.folder)


def test_a_folder_without_a_log_is_no_run(tmp_path):
    (tmp_path / LOG_NAME).mkdir()
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RunFolderError, match="is no run folder: it holds no"):
            Run(folder)


@pytest.mark.parametrize("content", [b"my notes\n" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_log_is_refused(tmp_path, content):
    (tmp_path / LOG_NAME).write_bytes(content)
    with pytest.raises(RunFolderError, match="damaged, no event log of agentnet"):
        Run(tmp_path)
    assert (tmp_path / LOG_NAME).read_bytes() == content


def test_an_empty_file_is_what_is_left_of_a_run_that_was_never_begun(tmp_path):
    (tmp_path / LOG_NAME).touch()
    with pytest.raises(RunFolderError, match=r"is empty: .* stopped before anything was recorded.* --out "):
        Run(tmp_path)
    assert (tmp_path / LOG_NAME).read_bytes() == b""


def test_another_programs_database_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / LOG_NAME)) as connection:
        connection.execute("CREATE TABLE meta (id INTEGER)")
    with pytest.raises(RunFolderError, match="no event log of agentnet"):
        Run(tmp_path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_damaged_is_told_as_the_users_error_or_does_not_disturb(
    sample_folder, tmp_path_factory, data
):
    folder = tmp_path_factory.mktemp("run")
    size = (sample_folder / LOG_NAME).stat().st_size
    shutil.copy(sample_folder / LOG_NAME, folder / LOG_NAME)
    with (folder / LOG_NAME).open("r+b") as file:
        file.truncate(data.draw(st.just(size) | st.integers(0, size)))
        for place in data.draw(st.lists(st.integers(100, size), max_size=20)):
            file.seek(place)
            file.write(data.draw(st.binary(min_size=1, max_size=100)))
    with suppress(UserError):
        run = Run(folder)
        for read in (run.digest, lambda: run.meta, *(partial(run.frame, table) for table in EVERYTHING)):
            read()


def test_a_query_on_a_damaged_table_blames_the_file_and_not_the_query(sample_run):
    run = sample_run()
    with run.connection() as connection:
        page, size = connection.execute(
            "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = 'events'"
        ).fetchone()
    with run.path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    for read in (run.digest, lambda: run.frame("events"), lambda: run.query("SELECT * FROM events")):
        with pytest.raises(RunFolderError, match=r"cannot be read .*malformed.*: it is damaged"):
            read()


def test_a_damaged_table_definition_blames_the_file(sample_run):
    run = sample_run()
    content = run.path.read_bytes()
    run.path.write_bytes(
        content.replace(b"tableevents", b"table\xc8vents").replace(b"TABLE events", b"TABLX events")
    )
    for read in (run.digest, lambda: run.query("SELECT 1 FROM meta"), lambda: Run(run.folder)):
        with pytest.raises(RunFolderError, match="cannot be read"):
            read()


def test_meta_that_is_no_json_is_reported(sample_run):
    run = sample_run()
    change(run, "UPDATE meta SET value = '{' WHERE key = 'backend'")
    with pytest.raises(RunFolderError, match="table meta holds what is no JSON"):
        _ = run.meta


def test_a_log_cut_in_half_is_refused(sample_run):
    run = sample_run()
    with run.path.open("r+b") as file:
        file.truncate(run.path.stat().st_size // 2)
    with pytest.raises(RunFolderError, match=f"{LOG_NAME} cannot be read"):
        Run(run.folder).digest()


def test_a_log_that_vanishes_is_a_run_folder_error(sample_run):
    run = sample_run()
    run.path.unlink()
    for read in (lambda: run.meta, run.digest, lambda: run.frame("events")):
        with pytest.raises(RunFolderError, match="unable to open database file"):
            read()
    assert not run.path.exists()


def test_a_folder_may_have_any_name(sample_run, tmp_path):
    run = sample_run()
    folder = shutil.copytree(run.folder, tmp_path / "a run?mode=rwc#100% '\"ü")
    assert Run(folder).digest() == run.digest()


# While it is played


def test_a_run_is_read_while_another_thread_plays_it(new_log, event_row):
    folder, digests, counts = new_log(), [], []
    ended = threading.Event()

    def watch():
        run = Run(folder)
        while not ended.is_set():
            counts.append(run.rows("SELECT COUNT(*) FROM events")[1][0][0])
            digests.append(run.digest())

    async def play():
        async with EventLog(folder, group_rows=5) as log:
            for step in range(100):
                log.add_event(event_row(step=step))
                await log.flush()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        asyncio.run(play())
    finally:
        ended.set()
        watcher.join()
    assert all(earlier <= later for earlier, later in pairwise(counts))
    assert len(digests) == len(counts) > 0
    assert Run(folder).rows("SELECT COUNT(*) FROM events")[1] == [(100,)]


def test_a_run_on_a_read_only_medium_is_read(sample_run):
    run = sample_run()
    close_for_good(run.path)
    digest = run.digest()
    run.path.chmod(0o444)
    run.folder.chmod(0o555)
    try:
        assert Run(run.folder).digest() == digest
    finally:
        run.folder.chmod(0o755)


# The digest

KEYS = st.tuples(
    st.integers(0, 2), st.sampled_from(["seed", "exposure", "reason"]), st.integers(0, 3), st.integers(0, 3)
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), keys=st.lists(KEYS, min_size=1, max_size=8, unique=True))
def test_the_digest_does_not_depend_on_when_where_or_by_whom_a_run_was_answered(
    tmp_path_factory, event_row, data, keys
):
    def rows(numbers, order, **unessential):
        replies = [("replies", (number, f"text {number}", "", "m", None)) for number in numbers]
        events = [
            ("events", event_row(realization=r, kind=k, step=s, agent=a, reply=n, **unessential))
            for (r, k, s, a), n in zip(keys, numbers, strict=True)
        ]
        ends = 1.0 if not unessential else unessential["at"]
        realization = (0, "{}", 0, 0, None, 7, "finished", 2, 3, ends, ends)
        others = [("agents", (0, agent, "01101", agent or None, None, None, None)) for agent in range(3)]
        others += [("steps", (0, step, 1, 2, 3, 4, 5, 6)) for step in range(3)]
        others += [("realizations", realization)]
        made = [*events, *others]
        return [*replies, *(made[i] for i in order)]

    n_rows = len(keys) + 7
    plain = write(tmp_path_factory.mktemp("run") / "a", rows(range(len(keys)), range(n_rows)))
    numbers = data.draw(st.permutations([n + 10 for n in range(len(keys))]))
    order = data.draw(st.permutations(range(n_rows)))
    changes = {"at": 5.0, "latency_s": 9.0, "cached": True, "attempts": 4, "asks": 2, "prompt_tokens": None}
    other = write(tmp_path_factory.mktemp("run") / "b", rows(numbers, order, **changes))
    assert plain.digest() == other.digest()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET decision = 1 WHERE step = 1 AND agent = 1",
        "UPDATE events SET decision = NULL, missing = 'invalid' WHERE step = 1 AND agent = 1",
        "UPDATE events SET missing = 'length' WHERE missing = 'invalid'",
        "UPDATE events SET step = 3 WHERE step = 2",
        "UPDATE events SET source = 1 WHERE step = 2 AND agent = 4",
        "UPDATE events SET temperature = 1.0000000000000002 WHERE step = 1 AND agent = 1",
        "DELETE FROM events WHERE kind = 'reason'",
        "UPDATE agents SET engaged_step = 3 WHERE agent = 4 AND realization = 0",
        "UPDATE agents SET profile = '11101' WHERE agent = 0 AND realization = 0",
        "UPDATE steps SET n_exposed = 4 WHERE step = 1",
        "UPDATE realizations SET initial_agent = 3 WHERE realization = 0",
        "UPDATE realizations SET status = 'running' WHERE realization = 0",
        "UPDATE realizations SET network = 'net-b' WHERE realization = 0",
        "UPDATE replies SET text = 'By and by.' WHERE text = 'By sweating.'",
        "UPDATE events SET context = '[1]' WHERE kind = 'interview'",
        "UPDATE questions SET answer = 'else' WHERE question = 1",
        "UPDATE models SET taught = '[]' WHERE model = 1",
        "UPDATE interviews SET interviewed = 0 WHERE model = 1",
        "UPDATE updates SET n_pairs = 0 WHERE step = 1",
    ],
)
def test_the_digest_changes_with_everything_that_was_decided(sample_run, statement):
    run = sample_run()
    before = run.digest()
    change(run, statement)
    assert run.digest() != before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET at = 1.0, latency_s = 2.0, prompt_tokens = 3, cached = 1, attempts = 9, asks = 2",
        "UPDATE replies SET text = 'else' WHERE text LIKE 'Yes%'",
        "UPDATE replies SET model = 'else', fingerprint = 'else'",
        "UPDATE updates SET measures = '{}'",
        "UPDATE realizations SET started_at = 5.0, finished_at = 6.0",
        "DELETE FROM troubles",
        "DELETE FROM incidents",
        "UPDATE meta SET value = '8' WHERE key = 'status'",
    ],
)
def test_the_digest_leaves_out_how_it_came_about(sample_run, statement):
    run = sample_run()
    before = run.digest()
    change(run, statement)
    assert run.digest() == before


WORDS = st.one_of(
    st.none(), st.sampled_from(["it's", '"', "1", "\\", "\xe9\x7f", "], [", "long " * 20]), st.text()
)
ODD_EVENTS = st.fixed_dictionaries(
    {
        "realization": st.sampled_from([0, 1, 7, 10**12]),
        "kind": st.sampled_from([*DECISION_KINDS, REASON, *ANSWER_KINDS, "a kind of one's own"]),
        "step": st.integers(-1, 2),
        "agent": st.integers(-1, 2),
        "temperature": st.sampled_from([0.0, 1.0, 1e-5, 0.1 + 0.2, 1e16, float("inf")]),
        "decision": st.sampled_from([None, 0, 1]),
        "missing": WORDS,
        "context": WORDS,
        "value": WORDS,
        "reply": st.sampled_from([None, 1, 2]),
    }
)


@settings(max_examples=40, deadline=None)
@given(events=st.lists(ODD_EVENTS), text=WORDS)
def test_the_digest_is_the_hash_of_what_python_spells_of_the_rows_however_they_are_read(
    event_row, events, text
):
    queries = (
        (
            "realization, kind, step, agent, source, repeat, temperature, decision, missing FROM events "
            "WHERE kind NOT IN ('evaluation', 'interview')"
        ),
        (
            "realization, kind, step, agent, source, repeat, temperature, missing, context, text FROM events "
            "LEFT JOIN replies USING (reply) WHERE kind NOT IN ('seed', 'exposure', 'ratio', 'reason')"
        ),
        "realization, kind, step, agent, source, repeat, value FROM events WHERE value IS NOT NULL",
    )
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in statements():
            connection.execute(statement)
        rows = [event_row(**event) for event in events]
        marks = ", ".join("?" * len(columns("events")))
        connection.executemany(f"INSERT OR IGNORE INTO events VALUES ({marks})", rows)
        connection.execute("INSERT INTO replies VALUES (1, ?, '', 'm', NULL)", (text,))
        spelled = [
            map(repr, connection.execute(f"SELECT {query} ORDER BY 1, 2, 3, 4, 5, 6")) for query in queries
        ]
        whole = "".join(one for each in spelled for one in each)
        assert digest(connection) == hashlib.sha256(whole.encode()).hexdigest()


def test_rows_of_more_values_than_are_remembered_are_spelled_alike():
    rows = [(number, number / 7, "s" * (number % 99)) for number in range(70_000)]
    spell = ByColumn()
    assert [spell(rows), spell(rows[:3]), spell([])] == [
        "".join(map(repr, some)) for some in (rows, rows[:3], [])
    ]


def test_the_digest_is_of_one_moment(new_log, event_row):
    folder = new_log()

    async def play():
        async with EventLog(folder) as log:
            with Run(folder).snapshot() as connection:
                first = connection.execute("SELECT COUNT(*) FROM events").fetchone()
                log.add_event(event_row())
                await log.flush()
                return first, connection.execute("SELECT COUNT(*) FROM events").fetchone()

    assert asyncio.run(play()) == ((0,), (0,))


def test_the_schema_is_legible_for_anybody_with_sqlite(sample_run):
    with closing(sqlite3.connect(sample_run().path)) as connection:
        told = " ".join(sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql <> ''"))
        assert "-- the engaged neighbour, or the model that asks; -1 nobody" in told
        for table in TABLES:
            found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            assert found == columns(table)
    assert len(statements()) == len(TABLES) + len(VIEWS)


def test_a_column_under_another_name_is_no_column_that_an_older_log_lacks(sample_run):
    run = sample_run()
    with closing(sqlite3.connect(run.path)) as connection:
        connection.execute("ALTER TABLE events RENAME COLUMN decision TO verdict")
    with pytest.raises(RunFolderError, match="column verdict of table events came from no version"):
        Run(run.folder)
