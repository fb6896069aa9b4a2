"""The cache: a draw once answered costs nothing again, and nothing that stands in its file is executed."""

import asyncio
import json
import math
import pickle
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet import CascadeExperiment, Run
from agentnet.backend import Reply, Request
from agentnet.errors import BackendUnusable, StorageError
from agentnet.listed import Listed
from agentnet.runner import Runner
from agentnet.stack import Cache
from agentnet.stack.cache import _is_worth_keeping, _parse, _spell
from agentnet.testing import ScriptedBackend

DRAW = ((7, 0, "exposure", 3), 12, 5, 0, 0)
ASK = Request((("user", "Do you share it?"),), seed=11, draw=DRAW)
YES = Reply(("Yes",), 30, 2, "model-1", (), None, "fp")


class Few(CascadeExperiment):
    n_agents, degree, steps, repeats, items_per_severity = 16, 3, 4, 1, 1


class Complaints(list):
    def __call__(self, sentence):
        self.append(sentence)


@asynccontextmanager
async def opened(folder, script=lambda _: YES, *, name="scripted", model_name="m", **options):
    backend = ScriptedBackend(script, name=name, model_name=model_name)
    cache = Cache(backend, folder, **options)
    try:
        yield cache, backend
    finally:
        await cache.aclose()


def ask(folder, *requests, script=lambda _: YES, **options):
    """Open the cache, ask one after the other, and close it; give the replies and the number of calls."""

    async def main():
        async with opened(folder, script, **options) as (cache, backend):
            return [await cache.complete(request) for request in requests], len(backend.requests)

    return asyncio.run(main())


async def written(cache):
    """Wait until the thread has written, or given up, all that came so far."""
    while cache._writer.pending:  # noqa: ASYNC110 - a thread of real life
        await asyncio.sleep(0.001)


def database(folder):
    connection = sqlite3.connect(folder / "cache.db", isolation_level=None)
    return closing(connection)


def remembered(folder):
    """Remember one reply; give its key."""
    ask(folder, ASK)
    with database(folder) as db:
        [(key,)] = db.execute("SELECT key FROM Cache").fetchall()
    return key


def test_a_draw_once_answered_is_not_asked_again(tmp_path):
    asked = iter([YES])
    assert ask(tmp_path, ASK, ASK, script=lambda _: next(asked))[1] == 1
    [again], n_calls = ask(tmp_path, ASK, script=[])
    assert n_calls == 0
    assert again == YES._replace(attempts=0, cached=True)


def test_a_reply_is_found_at_once_and_hits_and_misses_are_counted(tmp_path):
    async def main():
        async with opened(tmp_path) as (cache, _):
            first = await cache.complete(ASK)
            # Nothing awaits in between: it can't be on the disk yet.
            second = await cache.complete(ASK)
            return first, second, cache.hits, cache.misses

    first, second, hits, misses = asyncio.run(main())
    assert (first.cached, second.cached, hits, misses) == (False, True, 1, 1)
    assert second == first._replace(attempts=0, cached=True)


OTHER = {
    "messages": (("user", "Do you share it at all?"),),
    "temperature": 0.5,
    "n": 2,
    "max_tokens": 9,
    "answers": ("Yes", "No"),
    "schema": '{"type": "string"}',
    "logprobs": True,
    "seed": 12,
    "draw": ((7, 0, "exposure", 3), 12, 5, 1, 0),
}


def test_every_field_that_decides_the_reply_is_part_of_the_key(tmp_path):
    requests = [ASK, *(ASK._replace(**{field: value}) for field, value in OTHER.items())]

    def answer(request):
        return Reply(('"Yes"' if request.schema else "Yes",))

    assert ask(tmp_path, *requests, script=answer)[1] == len(requests)
    assert ask(tmp_path, *requests, script=[])[1] == 0


def test_no_field_of_a_request_is_forgotten():
    assert set(Request._fields) == {*OTHER, "metadata"}


def test_the_key_is_what_it_always_was_so_that_old_caches_answer(tmp_path):
    """The literal was written down of an earlier version; the others follow its recipe."""
    other = ASK._replace(temperature=1e-05, seed=2**63 - 1, draw=((7, 1, "seed", 0), -1, -1, 3, 2))
    asked = [ASK, other, ASK, *(ASK._replace(**{field: value}) for field, value in OTHER.items())]

    async def main():
        async with opened(tmp_path) as (cache, _):
            return [cache._key(request) for request in asked]

    keys = asyncio.run(main())
    texts = [repr(request.messages) + repr(request[1:-1]) for request in asked]
    assert [key[8:] for key in keys] == [blake2b(text.encode(), digest_size=16).digest() for text in texts]
    assert keys[0].hex() == "d9ec807cfbff82c3073282494c1bbda26a686842df96d6ad"


def test_metadata_are_not_part_of_the_key(tmp_path):
    assert ask(tmp_path, ASK, ASK._replace(metadata={"profile": "01101"}))[1] == 1


def test_plug_in_model_name_and_scope_are_part_of_the_key(tmp_path):
    identities = [{}, {"name": "b"}, {"model_name": "m2"}, {"scope": "http://elsewhere"}]
    assert [ask(tmp_path, ASK, **identity)[1] for identity in identities] == [1, 1, 1, 1]
    assert [ask(tmp_path, ASK, **identity)[1] for identity in identities] == [0, 0, 0, 0]


def test_two_exposures_never_share_an_answer(tmp_path):
    draws = [
        (DRAW[0], agent, source, repeat, 0) for agent in (1, 2) for source in (1, 2) for repeat in (0, 1)
    ]
    requests = [ASK._replace(draw=draw) for draw in draws]
    texts = iter(range(100))
    replies, _ = ask(tmp_path, *requests, *requests, script=lambda _: Reply((str(next(texts)),)))
    assert [reply.texts for reply in replies] == [(str(i),) for i in (*range(8), *range(8))]


def test_what_is_no_whole_and_valid_answer_is_never_remembered(tmp_path):
    bad = [
        (ASK, Reply(("I will not",), finish=("refusal",))),
        (ASK, Reply(("Ye",), finish=("length",))),
        (ASK, Reply(("",), finish=("content_filter",))),
        (ASK._replace(n=2), Reply(("Yes", "N"), finish=("stop", "length"))),
        (ASK, Reply(("",))),
        (ASK, Reply(())),
        (ASK._replace(answers=("yes", "no")), Reply(("maybe",))),
        (ASK._replace(schema="{}"), Reply(('{"share": tr',))),
        (ASK._replace(schema="{}"), Reply(("[" * 100_000,))),
    ]
    requests = [request._replace(seed=i) for i, (request, _) in enumerate(bad)]
    for _ in range(2):
        replies, n_calls = ask(tmp_path, *requests, *requests, script=lambda request: bad[request.seed][1])
        assert n_calls == 2 * len(bad)
        assert replies == 2 * [reply for _, reply in bad]


def test_a_reply_that_says_that_it_stopped_by_itself_is_remembered(tmp_path):
    assert ask(tmp_path, ASK, ASK, script=[YES._replace(finish=("stop",))])[1] == 1


def test_an_error_is_not_remembered(tmp_path):
    async def main():
        async with opened(tmp_path, [BackendUnusable("wrong key"), YES]) as (cache, _):
            with pytest.raises(BackendUnusable):
                await cache.complete(ASK)
            return await cache.complete(ASK)

    assert asyncio.run(main()) is YES


replies = st.builds(
    lambda *fields: Reply(*fields[:4], (), *fields[4:]),
    st.lists(st.text(min_size=1), min_size=1, max_size=3).map(tuple),
    st.integers(0) | st.none(),
    st.integers(0) | st.none(),
    st.text(),
    st.dictionaries(st.text(), st.floats(max_value=0), max_size=3) | st.none(),
    st.text() | st.none(),
)


@given(reply=replies)
def test_what_is_written_reads_back_the_same(reply):
    assert _parse(_spell(reply), ASK._replace(n=3)) == reply._replace(attempts=0, cached=True)


def test_half_a_character_is_remembered_as_half_a_character():
    reply = Reply(("Yes \ud800",), 3, 10**30)
    assert _parse(_spell(reply), ASK) == reply._replace(attempts=0, cached=True)


def test_log_probabilities_may_be_any_mapping():
    reply = Reply(("Yes",), logprobs=MappingProxyType({"Yes": -0.1}))
    assert _parse(_spell(reply), ASK).logprobs == {"Yes": -0.1}


@pytest.mark.parametrize("unlisted", [None, 0.0, 0.25, math.inf])
def test_what_was_not_listed_beside_log_probabilities_is_remembered(unlisted):
    reply = Reply(("Yes",), logprobs={"Yes": -0.1}, unlisted=unlisted)
    assert _parse(_spell(reply), ASK).unlisted == unlisted


def test_log_probabilities_that_do_not_say_what_was_not_listed_are_of_an_earlier_version_and_refused():
    spelt = json.loads(_spell(Reply(("Yes",), logprobs={"Yes": -0.1}, unlisted=0.5)))
    for version in (spelt[:-1], spelt[:-2]):
        with pytest.raises(ValueError, match="shape"):
            _parse(json.dumps(version), ASK)


def test_what_was_listed_beside_log_probabilities_is_remembered():
    listed = Listed({"Yes": [-0.1, -3.0], "No": [-2.5]}, 0.25, 64)
    found = _parse(_spell(Reply(("Yes",), logprobs={"Yes": -0.1}, unlisted=0.5, listed=listed)), ASK)
    assert found.listed == listed


@pytest.mark.parametrize(
    "listed",
    [5, [], [{"Yes": []}, 0.1, 3], [{"Yes": ["0"]}, 0.1, 3], [{"Yes": [-0.1]}, "0", 3], [{}, 0.1, 3]],
)
def test_a_list_that_is_none_is_refused(listed):
    spelt = json.loads(_spell(Reply(("Yes",), logprobs={"Yes": -0.1})))
    with pytest.raises(ValueError, match="listed"):
        _parse(json.dumps([*spelt[:-1], listed]), ASK)


def test_odds_are_remembered_however_the_text_ended():
    request = ASK._replace(answers=("Yes", "No"), logprobs=True)
    cut_off = Reply(("Yes, I",), finish=("length",), logprobs={"Yes": -0.1})
    assert _is_worth_keeping(request, cut_off)
    assert not _is_worth_keeping(request._replace(logprobs=False), cut_off)


def test_a_reply_that_lacks_the_log_probabilities_asked_for_is_not_remembered():
    request = ASK._replace(answers=("Yes", "No"), logprobs=True)
    assert _is_worth_keeping(request, Reply(("Yes",), logprobs={"Yes": 0.0}))
    assert not _is_worth_keeping(request, Reply(("Yes",)))
    assert _is_worth_keeping(request._replace(logprobs=False), Reply(("Yes",)))


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def plant(folder, key, **columns):
    """Change the row that stands under `key`."""
    with database(folder) as db:
        changes = ", ".join(f"{name} = ?" for name in columns)
        changed = db.execute(f"UPDATE Cache SET {changes} WHERE key = ?", (*columns.values(), key)).rowcount
    assert changed == 1


BAD_VALUES = {
    "truncated": '[["Yes"], 1',
    "not json": "Yes",
    "nothing": "",
    "nested too deeply": "[" * 100_000,
    "another shape": '{"texts": ["Yes"]}',
    "too few fields": '[["Yes"], 1, 2, "m"]',
    "no texts": '[[], 1, 2, "m", null, null]',
    "texts that are none": '[[1], 1, 2, "m", null, null]',
    "an empty text": '[[""], 1, 2, "m", null, null]',
    "more texts than asked for": '[["Yes", "No"], 1, 2, "m", null, null]',
    "counts that are none": '[["Yes"], "1", 2, "m", null, null]',
    "counts that are truths": '[["Yes"], true, 2, "m", null, null]',
    "counts below nothing": '[["Yes"], -1, 2, "m", null, null]',
    "log-probabilities that are none": '[["Yes"], 1, 2, "m", {"Yes": "a"}, null]',
    "a number too long to read": f'[["Yes"], {"9" * 5000}, 2, "m", null, null]',
    "bytes": b'[["Yes"], 1, 2, "m", null, null]',
    "a number": 5,
}


def test_a_damaged_entry_is_a_miss_that_says_so_and_is_replaced(tmp_path):
    requests = [ASK._replace(seed=i) for i in range(len(BAD_VALUES))]
    ask(tmp_path, *requests)
    with database(tmp_path) as db:
        keys = [key for (key,) in db.execute("SELECT key FROM Cache ORDER BY rowid")]
    for key, value in zip(keys, BAD_VALUES.values(), strict=True):
        plant(tmp_path, key, value=value)
    complaints = Complaints()
    replies, n_calls = ask(tmp_path, *requests, *requests, complain=complaints)
    assert n_calls == len(complaints) == len(BAD_VALUES)
    assert [reply.cached for reply in replies] == [False] * n_calls + [True] * n_calls
    for complaint in complaints:
        assert complaint.startswith(f"{tmp_path}: a remembered reply is refused and asked again: ")
    assert ask(tmp_path, *requests, script=[])[1] == 0


def test_a_damaged_entry_is_complained_of_once(tmp_path):
    plant(tmp_path, remembered(tmp_path), value="{}")
    complaints, refused = Complaints(), Reply(("I will not",), finish=("refusal",))
    assert ask(tmp_path, ASK, ASK, script=[refused, refused], complain=complaints)[1] == 2
    assert len(complaints) == 1


def test_an_entry_that_is_gone_is_a_miss(tmp_path):
    key, complaints = remembered(tmp_path), Complaints()

    async def main():
        async with opened(tmp_path, complain=complaints) as (cache, backend):
            with database(tmp_path) as db:
                db.execute("DELETE FROM Cache WHERE key = ?", (key,))
            await cache.complete(ASK)
            return len(backend.requests)

    assert asyncio.run(main()) == 1
    assert complaints == []


def test_an_entry_that_breaks_the_requests_constraint_is_refused(tmp_path):
    request, complaints = ASK._replace(answers=("yes", "no")), Complaints()
    ask(tmp_path, request, script=["no"])
    with database(tmp_path) as db:
        [(key,)] = db.execute("SELECT key FROM Cache").fetchall()
    plant(tmp_path, key, value='[["maybe"], 1, 2, "m", null, null]')
    [reply], n_calls = ask(tmp_path, request, script=["yes"], complain=complaints)
    assert (reply.texts, n_calls, len(complaints)) == (("yes",), 1, 1)


def remembered_by_mode(folder):
    """Remember a reply for each of diskcache's modes; give the requests and their keys, by mode."""
    requests = [ASK._replace(seed=mode) for mode in range(5)]
    ask(folder, *requests)
    with database(folder) as db:
        return requests, [key for (key,) in db.execute("SELECT key FROM Cache ORDER BY rowid")]


def test_a_planted_pickle_is_refused_and_nothing_is_executed(tmp_path):
    executed, folder = tmp_path / "executed", tmp_path / "cache"
    (requests, keys), complaints = remembered_by_mode(folder), Complaints()
    for mode, key in enumerate(keys):
        plant(folder, key, mode=mode, value=pickle.dumps(Planted(executed)))
    replies, n_calls = ask(folder, *requests, complain=complaints)
    assert n_calls == len(complaints) == 5
    assert not any(reply.cached for reply in replies)
    assert not executed.exists()
    assert all("refused" in complaint for complaint in complaints)


def test_a_planted_file_name_is_neither_read_nor_removed(tmp_path):
    """Where a file is named diskcache reads it, and removes it when the entry is replaced."""
    folder, secret, executed = tmp_path / "cache", tmp_path / "secret", tmp_path / "executed"
    secret.write_bytes(pickle.dumps(Planted(executed)))
    (requests, keys), complaints = remembered_by_mode(folder), Complaints()
    for mode, key in enumerate(keys):
        plant(folder, key, mode=mode, value=None, filename="../secret")
    assert ask(folder, *requests, complain=complaints)[1] == len(complaints) == 5
    assert secret.exists()
    assert not executed.exists()
    assert ask(folder, *requests, script=[])[1] == 0


def test_a_planted_key_that_would_be_unpickled_is_passed_over(tmp_path):
    folder, executed = tmp_path / "cache", tmp_path / "executed"
    key = remembered(folder)
    with database(folder) as db:
        db.execute("UPDATE Cache SET raw = 0")
        row = (pickle.dumps(Planted(executed)), '[["No"], 1, 2, "m", null, null]')
        db.execute("INSERT INTO Cache (key, raw, mode, value) VALUES (?, 0, 1, ?)", row)
    [reply], n_calls = ask(folder, ASK)
    assert (n_calls, reply.cached) == (1, False)
    assert not executed.exists()
    with database(folder) as db:
        kept = db.execute("SELECT raw FROM Cache WHERE key = ? ORDER BY raw", (key,)).fetchall()
    assert kept == [(0,), (1,)]


def test_keys_of_another_kind_are_passed_over(tmp_path):
    key = remembered(tmp_path)
    with database(tmp_path) as db:
        rows = [(key[:-1],), (key + b"x",), ("text",), (5,), (None,)]
        db.executemany("INSERT INTO Cache (key, raw, mode, value) VALUES (?, 1, 1, 'x')", rows)
    assert ask(tmp_path, ASK, script=[])[1] == 0


PLANTED_SETTINGS = {
    "statistics": 1,
    "eviction_policy": "least-recently-stored",
    "cull_limit": 10,
    "size_limit": 1,
    "sqlite_journal_mode": "off",
    "sqlite_writable_schema": 1,
    "sqlite_hard_heap_limit": 1,
    "sqlite_trusted_schema": 1,
    "sqlite_nonsense; DROP TABLE Cache": 1,
    "disk_min_file_size": 0,
    "disk_nonsense": 1,
    "_directory": "/elsewhere",
    "_disk": "nothing",
    "get": "nothing",
    "transact": 5,
    "count": "many",
}


def pragmas(shelf):
    """Read how a new connection to the file is set, and close it."""
    names = ("journal_mode", "writable_schema", "hard_heap_limit", "trusted_schema")
    try:
        return [shelf._sql(f"PRAGMA {name}").fetchone()[0] for name in names]
    finally:
        shelf.close()


def test_planted_settings_change_nothing(tmp_path):
    remembered(tmp_path)
    with database(tmp_path) as db:
        db.executemany("INSERT OR REPLACE INTO Settings VALUES (?, ?)", PLANTED_SETTINGS.items())
    complaints = Complaints()

    async def main():
        async with opened(tmp_path, complain=complaints) as (cache, backend):
            assert (await cache.complete(ASK)).cached
            await cache.complete(ASK._replace(seed=5))
            shelf = cache._shelf
            assert await asyncio.to_thread(pragmas, shelf) == ["wal", 0, 0, 0]
            assert (shelf.eviction_policy, shelf.cull_limit, shelf.statistics) == ("none", 0, 0)
            assert shelf.directory == str(tmp_path)
            return len(backend.requests)

    assert asyncio.run(main()) == 1
    assert complaints == []
    assert ask(tmp_path, ASK, ASK._replace(seed=5), script=[])[1] == 0


def test_settings_planted_while_it_is_open_change_nothing_either(tmp_path):
    async def main():
        async with opened(tmp_path) as (cache, _):
            with database(tmp_path) as db:
                db.executemany("INSERT OR REPLACE INTO Settings VALUES (?, ?)", PLANTED_SETTINGS.items())
            await cache.complete(ASK)
            return await asyncio.to_thread(pragmas, cache._shelf)

    assert asyncio.run(main()) == ["wal", 0, 0, 0]
    assert ask(tmp_path, ASK, script=[])[1] == 0


def test_there_is_no_eviction(tmp_path):
    ask(tmp_path, *[ASK._replace(seed=i) for i in range(50)])
    with database(tmp_path) as db:
        # Entries that would have run out are kept as well.
        settings = dict(db.execute("SELECT key, value FROM Settings"))
    assert (settings["eviction_policy"], settings["cull_limit"]) == ("none", 0)
    assert ask(tmp_path, *[ASK._replace(seed=i) for i in range(50)], script=[])[1] == 0


def test_the_folder_is_for_its_owner_alone(tmp_path):
    folder = tmp_path / "runs" / ".cache"
    ask(folder, ASK)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    ask(folder, ASK)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    async def main():
        async with opened(Path("cache")) as (cache, _):
            monkeypatch.chdir(tmp_path / "elsewhere")
            await cache.complete(ASK)

    asyncio.run(main())
    assert not (tmp_path / "elsewhere" / "cache").exists()
    assert ask(tmp_path / "cache", ASK, script=[])[1] == 0


def break_file(folder):
    (folder / "cache.db").write_bytes(b"SQLite format 3\0" + b"nonsense" * 1000)


def break_settings(folder):
    with database(folder) as db:
        db.execute("INSERT INTO Settings VALUES (x'00', 1)")


def break_schema(folder):
    with database(folder) as db:
        db.execute("DROP TABLE Cache")
        db.execute("CREATE VIEW Cache AS SELECT 1 AS key")


def break_columns(folder):
    with database(folder) as db:
        db.execute("ALTER TABLE Cache DROP COLUMN mode")
        db.execute("DROP INDEX Cache_key_raw")
        db.execute("ALTER TABLE Cache RENAME COLUMN raw TO cooked")


def break_pages(folder):
    """Spoil the later half of a file that is long enough to begin well."""
    ask(folder, *[ASK._replace(seed=i) for i in range(1000)])
    path = folder / "cache.db"
    half = path.stat().st_size // 2
    path.write_bytes(path.read_bytes()[:half] + b"\xff" * half)


@pytest.mark.parametrize("damage", [break_file, break_settings, break_schema, break_columns, break_pages])
def test_a_file_that_is_no_cache_is_an_error_with_a_way_out(tmp_path, damage):
    remembered(tmp_path)
    damage(tmp_path)
    with pytest.raises(StorageError, match=r"cannot be used .*remove the folder.*stack\.cache=false"):
        ask(tmp_path, ASK)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        Cache(ScriptedBackend([]), tmp_path / "file" / "cache")


def test_a_path_that_diskcache_would_take_for_another_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("ELSEWHERE", "elsewhere")
    with pytest.raises(StorageError, match="has a '\\$'"):
        Cache(ScriptedBackend([]), tmp_path / "$ELSEWHERE")


def test_a_run_goes_on_without_a_cache_that_cannot_be_written(tmp_path):
    complaints, requests = Complaints(), [ASK._replace(seed=i) for i in range(3)]

    async def main():
        async with opened(tmp_path, complain=complaints) as (cache, _):
            with database(tmp_path) as db:
                db.execute("CREATE TRIGGER no BEFORE INSERT ON Cache BEGIN SELECT RAISE(ABORT, 'full'); END")
            replies = []
            for request in requests:
                replies.append(await cache.complete(request))
                await written(cache)
            return replies

    assert asyncio.run(main()) == [YES] * 3
    assert len(complaints) == 2
    assert "full" in complaints[0]
    assert "the run goes on" in complaints[0]
    assert complaints[1] == f"{tmp_path}: 3 replies could not be remembered"


def test_a_cache_that_can_be_written_again_is(tmp_path):
    complaints = Complaints()

    async def main():
        async with opened(tmp_path, complain=complaints) as (cache, _):
            with database(tmp_path) as db:
                db.execute("CREATE TRIGGER no BEFORE INSERT ON Cache BEGIN SELECT RAISE(ABORT, 'full'); END")
                await cache.complete(ASK)
                await written(cache)
                db.execute("DROP TRIGGER no")
            await cache.complete(ASK._replace(seed=1))
            await written(cache)

    asyncio.run(main())
    assert complaints[1:] == [f"{tmp_path}: 1 replies could not be remembered"]
    assert ask(tmp_path, ASK._replace(seed=1), script=[])[1] == 0


def test_a_transaction_that_fails_to_end_does_not_keep_the_next_one_from_beginning(tmp_path, monkeypatch):
    complaints = Complaints()

    async def main():
        async with opened(tmp_path, complain=complaints) as (cache, _):

            def fail(rows):
                cache._shelf._sql("BEGIN IMMEDIATE")
                raise sqlite3.OperationalError("disk I/O error")

            with monkeypatch.context() as patched:
                patched.setattr(cache._shelf, "put_all", fail)
                await cache.complete(ASK)
                await written(cache)
            await cache.complete(ASK._replace(seed=1))

    asyncio.run(main())
    assert ["disk I/O error" in complaints[0], complaints[1:]] == [
        True,
        [f"{tmp_path}: 1 replies could not be remembered"],
    ]
    assert ask(tmp_path, ASK._replace(seed=1), script=[])[1] == 0


def test_what_the_cache_finds_as_it_is_closed_is_said_although_the_log_is_closed_already(
    new_run, monkeypatch
):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("agentnet.shelf.Shelf.put_all", fail)
    said, broken = [], []
    prepared = new_run(Few(), stack={"cache": True})

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
        backend = ScriptedBackend(lambda _: '{"share": true, "reason": "It matters."}')
        await Runner(prepared, backend, say=said.append).play()

    asyncio.run(main())
    assert (broken, "replies could not be remembered" in said[-1]) == ([], True)
    (row,) = Run(prepared.folder).rows("SELECT detail FROM incidents WHERE kind = 'cache'")[1]
    assert "its replies are not remembered" in row[0]


def test_closing_does_not_try_for_ever_to_write_what_cannot_be_written(tmp_path, monkeypatch):
    tried = []
    complaints = Complaints()

    async def main():
        async with opened(tmp_path, complain=complaints, group_rows=1) as (cache, _):

            def fail(rows):
                tried.append(list(rows))
                raise OSError("disk full")

            monkeypatch.setattr(cache._shelf, "put_all", fail)
            for seed in range(20):
                await cache.complete(ASK._replace(seed=seed))

    asyncio.run(main())
    assert 1 <= len(tried) < 20
    assert complaints[-1] == f"{tmp_path}: 20 replies could not be remembered"


def test_closing_writes_what_is_left_and_closes_the_inner_backend(tmp_path):
    requests = [ASK._replace(seed=i) for i in range(1500)]

    async def main():
        async with opened(tmp_path) as (cache, backend):
            for request in requests:
                await cache.complete(request)
        assert backend.closed
        await cache.aclose()

    asyncio.run(main())
    assert ask(tmp_path, *requests, script=[])[1] == 0


def test_the_inner_backend_is_closed_even_if_the_cache_cannot_be(tmp_path, monkeypatch):
    async def main():
        async with opened(tmp_path) as (cache, backend):
            close = cache._writer.close

            def fail():
                close()
                raise OSError("gone")

            monkeypatch.setattr(cache._writer, "close", fail)
            with pytest.raises(OSError, match="gone"):
                await cache.aclose()
            monkeypatch.undo()
            return backend.closed

    assert asyncio.run(main())


def test_prompts_are_forgotten_beyond_a_bound(tmp_path):
    requests = [ASK._replace(messages=(("user", str(i)),)) for i in range(10)]
    assert ask(tmp_path, *requests, *requests, prompts_remembered=3)[1] == 10

    async def main():
        async with opened(tmp_path, prompts_remembered=3) as (cache, _):
            for request in requests:
                await cache.complete(request)
                assert len(cache._prompts) <= 3

    asyncio.run(main())


CHILD = """
import asyncio, os, signal, sys, time
from pathlib import Path
from agentnet.backend import Reply, Request
from agentnet.stack import Cache
from agentnet.testing import ScriptedBackend

folder, first, last, end = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

async def main():
    cache = Cache(ScriptedBackend(lambda r: Reply((f"Yes {r.seed}",)), model_name="m"), folder)
    for seed in range(first, last):
        await cache.complete(Request((("user", "Do you share it?"),), seed=seed))
        await asyncio.sleep(0)
    if end == "die":
        while cache._writer.pending:
            await asyncio.sleep(0.001)
        await cache.complete(Request((("user", "Do you share it?"),), seed=last))
        os.kill(os.getpid(), signal.SIGKILL)
    await cache.aclose()

asyncio.run(main())
"""


def start(folder, first, last, end="close"):
    arguments = [sys.executable, "-c", CHILD, str(folder), str(first), str(last), end]
    return subprocess.Popen(arguments)


def texts_of(folder, seeds):
    requests = [Request((("user", "Do you share it?"),), seed=seed) for seed in seeds]
    return [reply.texts[0] for reply in ask(folder, *requests, script=lambda _: Reply(("asked",)))[0]]


def test_what_was_written_outlives_a_killed_process(tmp_path):
    assert start(tmp_path, 0, 200, "die").wait() == -signal.SIGKILL
    assert texts_of(tmp_path, range(200)) == [f"Yes {seed}" for seed in range(200)]


def test_several_processes_share_a_folder(tmp_path):
    children = [start(tmp_path, 300 * i, 300 * i + 400) for i in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert texts_of(tmp_path, range(700)) == [f"Yes {seed}" for seed in range(700)]


def test_values_are_plain_json(tmp_path):
    remembered(tmp_path)
    with database(tmp_path) as db:
        [(mode, filename, value)] = db.execute("SELECT mode, filename, value FROM Cache").fetchall()
    assert (mode, filename) == (1, None)
    assert json.loads(value) == [["Yes"], 30, 2, "model-1", None, "fp"]


def test_a_flush_returns_once_all_is_on_the_disk_and_waits_for_no_group(tmp_path):
    async def main():
        async with opened(tmp_path, group_s=1e5) as (cache, _):
            await cache.flush()
            for turn in range(1, 4):
                await asyncio.gather(*(cache.complete(ASK._replace(seed=100 * turn + i)) for i in range(50)))
                await asyncio.gather(cache.flush(), cache.flush())
                with database(tmp_path) as db:
                    assert db.execute("SELECT COUNT(*) FROM Cache").fetchone() == (50 * turn,)

    asyncio.run(main())


def test_a_flush_of_more_than_a_group_waits_for_all_of_it(tmp_path):
    async def main():
        async with opened(tmp_path, group_rows=7) as (cache, _):
            await asyncio.gather(*(cache.complete(ASK._replace(seed=i)) for i in range(30)))
            await cache.flush()
            assert cache._writer.pending == {}

    asyncio.run(main())


def test_a_flush_of_what_cannot_be_written_keeps_nobody_waiting(tmp_path):
    complaints = Complaints()

    async def main():
        async with opened(tmp_path, complain=complaints) as (cache, _):
            with database(tmp_path) as db:
                db.execute("DROP TABLE Cache")
            await cache.complete(ASK)
            await cache.flush()

    asyncio.run(main())
    assert len(complaints) == 2


def test_who_gives_up_a_flush_does_not_break_it(tmp_path):
    async def main():
        async with opened(tmp_path) as (cache, _):
            await cache.complete(ASK)
            task = asyncio.create_task(cache.flush())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await cache.flush()

    asyncio.run(main())
    assert ask(tmp_path, ASK, script=[])[1] == 0


def test_the_replies_of_a_step_are_in_the_cache_before_the_next_step_asks(new_run, tmp_path):
    """Whoever is killed then pays none of it twice, resumed or in another run of the same seed."""
    folder, lacking, steps = tmp_path / "cache", [], set()

    def answer(request):
        (_, realization, kind, step), *_ = request.draw
        if (realization, kind, step) not in steps:
            with database(folder) as db:
                (n_kept,) = db.execute("SELECT COUNT(*) FROM Cache").fetchone()
            lacking.append(len(answered) - n_kept)
            steps.add((realization, kind, step))
        answered.append(request)
        return '{"share": true, "reason": "It matters."}'

    answered = []
    prepared = new_run(Few(), stack={"cache": True, "cache_folder": folder}, realizations_at_once=1)
    asyncio.run(Runner(prepared, ScriptedBackend(answer)).play())
    assert len(steps) > 4
    assert set(lacking) == {0}
