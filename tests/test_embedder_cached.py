"""The wrapper around embedders: every text once, in batches that fit, again after passing failures."""

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
from diskcache.core import MODE_PICKLE
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.embedder import CachedEmbedder, Embedder, Limits, Patience, unit_rows
from agentnet.embedder.cached import text_batches
from agentnet.errors import (
    BackendUnusable,
    InputError,
    PluginError,
    RequestRejected,
    StorageError,
    TransientError,
)
from agentnet.plugins import check_made
from agentnet.stack.tokens import likely_tokens
from agentnet.testing import run_in_virtual_time, timed_in_virtual_time

DIM = 3


def vector_of(text):
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    return np.random.default_rng(seed).normal(size=DIM)


class Double:
    """An embedder that counts, fails by a script, and rejects texts that begin with "bad"."""

    name = "double:1"
    dim = DIM

    def __init__(self, *failures, limits=None, took_s=0.0, make=None):
        self.failures = list(failures)
        self.limits = limits or Limits()
        self.took_s = took_s
        self.make = make or (lambda texts: unit_rows(np.array([vector_of(text) for text in texts])))
        self.calls = []
        self.n_now = self.n_most = 0
        self.is_closed = False

    async def embed(self, texts):
        self.calls.append(list(texts))
        self.n_now += 1
        self.n_most = max(self.n_most, self.n_now)
        try:
            await asyncio.sleep(self.took_s)
        finally:
            self.n_now -= 1
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        if any(text.startswith("bad") for text in texts):
            raise RequestRejected("one of them is too long", kind="context_overflow")
        return self.make(texts)

    async def aclose(self):
        self.is_closed = True


def expected(texts):
    return unit_rows(np.array([vector_of(text) for text in texts]))


def embed(double, texts, folder=None, **how):
    """Embed once by a wrapper of its own; in real time if a folder is involved, for that takes a thread."""

    async def main():
        cached = CachedEmbedder(double, folder, **how)
        try:
            return await cached.embed(texts)
        finally:
            await cached.aclose()

    return asyncio.run(main()) if folder else run_in_virtual_time(main())


texts_of = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1).filter(
        lambda text: text.strip() and not text.startswith("bad")
    ),
    max_size=30,
)


@settings(max_examples=40)
@given(texts=texts_of, n_texts=st.none() | st.integers(1, 5), n_tokens=st.none() | st.integers(1, 12))
def test_any_texts_get_their_own_vectors_in_order_each_asked_once(texts, n_texts, n_tokens):
    double = Double(limits=Limits(n_texts, n_tokens))
    vectors = embed(double, texts)
    assert vectors.shape == (len(texts), DIM)
    assert vectors.dtype == np.float32
    if texts:
        np.testing.assert_array_equal(vectors, expected(texts))
    asked = [text for call in double.calls for text in call]
    assert sorted(asked) == sorted(set(texts))
    assert double.is_closed


@given(texts=texts_of, n_texts=st.none() | st.integers(1, 5), n_tokens=st.none() | st.integers(1, 12))
def test_batches_are_runs_that_fit_and_cannot_be_joined(texts, n_texts, n_tokens):
    runs = list(text_batches(texts, Limits(n_texts, n_tokens)))
    assert [position for run in runs for position in run] == list(range(len(texts)))
    weight = [sum(likely_tokens([texts[i]]) for i in run) for run in runs]
    for run, tokens in zip(runs, weight, strict=True):
        assert 1 <= len(run) <= (n_texts or len(run))
        assert len(run) == 1 or n_tokens is None or tokens <= n_tokens
    for run, following, tokens in zip(runs, runs[1:], weight, strict=False):
        is_full = n_texts is not None and len(run) == n_texts
        assert is_full or (n_tokens is not None and tokens + likely_tokens([texts[following[0]]]) > n_tokens)


def test_the_wrapper_is_an_embedder_without_limits():
    cached = CachedEmbedder(Double(limits=Limits(2, 3)))
    assert isinstance(cached, Embedder)
    assert (cached.name, cached.dim, cached.limits) == ("double:1", DIM, Limits())


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a", ""], "text 1 .* is ''"),
        (["a", "b", " \n"], r"text 2 .* is ' \\n'"),
        (["a", None], "text 1 .* is None"),
        (["a", ["b"]], "text 1 .* is \\['b'\\]"),
        (["\ud83d"], "text 0 .* half a surrogate pair"),
        ("text", "a list of texts, not one text"),
    ],
)
def test_what_cannot_be_embedded_is_named_by_its_row_before_anything_is_asked(texts, said):
    double = Double()
    with pytest.raises(InputError, match=said):
        embed(double, texts)
    assert double.calls == []


def test_what_was_embedded_is_never_asked_again(tmp_path):
    first, second = Double(limits=Limits(n_texts=2)), Double()
    vectors = embed(first, ["a", "b", "a", "c"], tmp_path)
    assert sorted(map(len, first.calls)) == [1, 2]

    async def main():
        cached = CachedEmbedder(second, tmp_path)
        found = await cached.embed(["c", "d", "b", "d"])
        await cached.aclose()
        return found, (cached.hits, cached.misses)

    found, counts = asyncio.run(main())
    assert second.calls == [["d"]]
    assert counts == (2, 1)
    np.testing.assert_array_equal(found[[0, 2]], vectors[[3, 1]])
    np.testing.assert_array_equal(found[1], found[3])


def test_another_embedder_finds_nothing_in_the_same_folder(tmp_path):
    other = Double()
    other.name = "double:2"
    embed(Double(), ["a"], tmp_path)
    embed(other, ["a"], tmp_path)
    assert other.calls == [["a"]]


def test_batches_that_came_before_a_failure_are_remembered(tmp_path):
    failing = Double(None, BackendUnusable("no money"), limits=Limits(n_texts=1))
    with pytest.raises(BackendUnusable, match="no money"):
        embed(failing, ["a", "b"], tmp_path, max_in_flight=1)
    again = Double()
    embed(again, ["a", "b"], tmp_path)
    assert again.calls == [["b"]]


def test_vectors_whose_writing_failed_while_a_failure_ended_the_rest_are_complained_of(tmp_path):
    complaints = []
    failing = Double(None, BackendUnusable("no money"), limits=Limits(n_texts=1))

    async def main():
        cached = CachedEmbedder(failing, tmp_path, max_in_flight=1, complain=complaints.append)
        with database(tmp_path) as db, db:
            db.execute("DROP TABLE Cache")
        with pytest.raises(BackendUnusable):
            await cached.embed(["a", "b"])
        await cached.aclose()

    asyncio.run(main())
    assert complaints[1].endswith("1 vectors are not remembered")


def database(folder):
    return closing(sqlite3.connect(folder / "cache.db"))


PLANTED = {
    "text": "0.5",
    "too short": b"\0\0\0\0",
    "not of length one": np.full(DIM, 2, dtype="<f4").tobytes(),
    "not finite": np.array([np.nan, 0, 1], dtype="<f4").tobytes(),
    "infinite": np.array([np.inf, 0, 1], dtype="<f4").tobytes(),
    "huge": np.array([3e38, 3e38, 1], dtype="<f4").tobytes(),
}


@pytest.mark.parametrize("value", PLANTED.values(), ids=PLANTED)
def test_a_remembered_vector_that_is_none_is_refused_and_replaced(tmp_path, value):
    embed(Double(), ["a"], tmp_path)
    with database(tmp_path) as db, db:
        db.execute("UPDATE Cache SET value = ?", (value,))
    complaints, double = [], Double()
    vectors = embed(double, ["a"], tmp_path, complain=complaints.append)
    np.testing.assert_array_equal(vectors, expected(["a"]))
    assert complaints == [f"{tmp_path}: 1 vectors are refused, and their texts embedded anew"]
    embed(third := Double(), ["a"], tmp_path)
    assert third.calls == []


def test_a_planted_pickle_is_passed_over(tmp_path):
    embed(Double(), ["a"], tmp_path)
    with database(tmp_path) as db, db:
        db.execute("UPDATE Cache SET mode = ?, value = ?", (MODE_PICKLE, b"cos\nsystem\n(S'false'\ntR."))
    embed(double := Double(), ["a"], tmp_path)
    assert double.calls == [["a"]]


def test_a_cache_that_breaks_is_said_to_and_costs_only_money(tmp_path):
    complaints = []

    async def main():
        cached = CachedEmbedder(double := Double(), tmp_path, complain=complaints.append)
        with database(tmp_path) as db, db:
            db.execute("DROP TABLE Cache")
        vectors = await cached.embed(["a"])
        await cached.aclose()
        return vectors, double

    vectors, double = asyncio.run(main())
    np.testing.assert_array_equal(vectors, expected(["a"]))
    assert double.is_closed
    assert len(complaints) == 2
    assert complaints[0].endswith("or go without a cache; all texts are embedded anew")
    assert complaints[1].endswith("1 vectors are not remembered")


def test_a_cache_that_breaks_need_not_be_complained_of(tmp_path):
    embed(Double(), ["a"], tmp_path)
    with database(tmp_path) as db, db:
        db.execute("UPDATE Cache SET value = 'x'")
    embed(Double(), ["a"], tmp_path)


def test_a_folder_that_cannot_be_one_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="the cache cannot be used"):
        CachedEmbedder(Double(), tmp_path / "file")


def test_a_passing_failure_is_waited_out_with_the_servers_hint():
    double = Double(TransientError("slow down", kind="rate_limit", retry_after_s=7.0), TransientError("oops"))

    async def main():
        return await CachedEmbedder(double).embed(["a"])

    vectors, took_s = timed_in_virtual_time(main())
    np.testing.assert_array_equal(vectors, expected(["a"]))
    assert len(double.calls) == 3
    assert 7.0 + 1.0 <= took_s <= 7.0 + 2.0


def test_waits_grow_are_jittered_and_bounded():
    double = Double(*[TransientError("oops")] * 5)

    async def main():
        await CachedEmbedder(double, again=Patience(max_wait_s=3.0)).embed(["a"])

    _, took_s = timed_in_virtual_time(main())
    assert (0.5 + 1.0 + 1.5 * 3) <= took_s <= (1.0 + 2.0 + 3.0 * 3)
    other = CachedEmbedder(Double(*[TransientError("oops")] * 5), again=Patience(max_wait_s=3.0))
    assert timed_in_virtual_time(other.embed(["b"]))[1] != took_s


def test_patience_ends_after_so_many_attempts_and_the_error_tells_of_them():
    failures = [TransientError(f"try {i}", kind=f"kind {i}") for i in range(3)]
    with pytest.raises(TransientError, match="try 2") as caught:
        embed(double := Double(*failures), ["a"], again=Patience(max_attempts=3))
    assert len(double.calls) == 3
    assert (caught.value.attempts, caught.value.troubles) == (3, ("kind 0", "kind 1"))


def test_patience_ends_before_a_wait_that_is_too_long():
    with pytest.raises(TransientError, match="hours"):
        embed(double := Double(TransientError("hours", retry_after_s=7200.0)), ["a"])
    assert len(double.calls) == 1


def test_an_error_for_good_ends_patience_and_tells_of_the_attempts():
    double = Double(TransientError("oops"), BackendUnusable("no money"))
    with pytest.raises(BackendUnusable) as caught:
        embed(double, ["a"])
    assert (caught.value.attempts, caught.value.troubles) == (2, ("transient",))


def test_a_policy_of_ones_own_is_asked_after_the_first_failure_only():
    asked = []

    async def once(call, first, seed):
        asked.append((str(first), seed))
        return await call()

    embed(Double(), ["a"], again=once)
    assert asked == []
    embed(Double(TransientError("oops")), ["a"], again=once)
    assert [said for said, _ in asked] == ["oops"]


def test_without_a_policy_the_first_failure_is_the_last():
    with pytest.raises(TransientError):
        embed(double := Double(TransientError("oops")), ["a"], again=None)
    assert len(double.calls) == 1


@pytest.mark.parametrize("n_good", [0, 1, 5, 12])
def test_a_rejected_batch_is_halved_until_the_text_at_fault_is_named(n_good):
    texts = [f"good {i}" for i in range(n_good)] + ["bad text", "good", "bad text"]
    with pytest.raises(RequestRejected, match=rf"text {n_good} .*'bad text': one of them is too") as caught:
        embed(double := Double(), texts)
    assert caught.value.kind == "context_overflow"
    assert double.calls[-1] == ["bad text"]
    assert len(double.calls) <= 3 + 2 * len(texts).bit_length()


def test_a_batch_that_is_too_large_in_all_is_halved_and_embedded(tmp_path):
    def at_most_two(texts):
        if len(texts) > 2:
            raise RequestRejected("too many tokens in all", kind="too_large")
        return expected(texts)

    texts = list("abcdefg")
    np.testing.assert_array_equal(embed(Double(make=at_most_two), texts, tmp_path), expected(texts))
    embed(second := Double(), texts, tmp_path)
    assert second.calls == []


def test_a_long_text_is_cut_in_messages():
    with pytest.raises(RequestRejected, match=r"'bad x{53}\.\.\.': "):
        embed(Double(), ["bad " + "x" * 100])


def test_no_more_calls_are_in_flight_than_allowed():
    double = Double(limits=Limits(n_texts=1), took_s=1.0)

    async def main():
        return await CachedEmbedder(double, max_in_flight=3).embed(list("abcdefg"))

    _, took_s = timed_in_virtual_time(main())
    assert double.n_most == 3
    assert took_s == 3.0


def test_a_failure_ends_the_calls_that_are_still_in_flight():
    double = Double(BackendUnusable("no money"), limits=Limits(n_texts=1), took_s=1.0)

    async def main():
        with pytest.raises(BackendUnusable):
            await CachedEmbedder(double, max_in_flight=2).embed(list("abcd"))
        return double.n_now, len(asyncio.all_tasks())

    assert run_in_virtual_time(main()) == (0, 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda texts: np.ones((len(texts), 2), dtype=np.float32), r"gave float32 of shape \(1, 2\) instead"),
        (lambda texts: np.eye(DIM)[: len(texts)], r"gave float64 of shape \(1, 3\) instead"),
        (lambda texts: [[1.0, 0.0, 0.0]], "gave a list instead"),
        (lambda texts: np.eye(DIM, dtype=np.float32), r"shape \(3, 3\) instead of float32 of shape \(1, 3\)"),
        (lambda texts: np.full((1, DIM), 0.9, dtype=np.float32), "not of length 1"),
        (lambda texts: np.full((1, DIM), np.nan, dtype=np.float32), "not of length 1"),
    ],
)
def test_a_plug_in_that_breaks_the_contract_is_named(make, said):
    with pytest.raises(PluginError, match=rf"embedder double:1 gave .*{said.removeprefix('gave ')}"):
        embed(Double(make=make), ["a"])


async def cancelled(texts):
    raise asyncio.CancelledError


async def exits(texts):
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (lambda texts: [], "embed of embedder 'odd' is not async"),
        (cancelled, "broke off by asyncio.CancelledError though nobody cancelled it"),
        (exits, "embed of embedder 'odd' ends the program"),
    ],
)
def test_an_embedder_that_cannot_be_awaited_or_breaks_off_is_its_fault(embed, message):
    inner = SimpleNamespace(name="odd", dim=2, limits=Limits(), embed=embed)
    with pytest.raises(PluginError, match=message):
        asyncio.run(CachedEmbedder(inner).embed(["a"]))


def test_an_embedder_may_write_into_the_texts_that_it_was_given():
    async def embed(texts):
        texts[0] = "changed"
        return np.array([[1.0, 0.0]] * len(texts), dtype=np.float32)

    inner = SimpleNamespace(name="odd", dim=2, limits=Limits(), embed=embed)
    assert asyncio.run(CachedEmbedder(inner).embed(["a"])).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(("fact", "value"), [("dim", "4"), ("name", None), ("limits", None), ("embed", 3)])
def test_what_is_made_has_the_facts_and_methods_of_its_protocol(fact, value):
    facts = {"name": "odd", "dim": 2, "limits": Limits(), "embed": print, "aclose": print, fact: value}
    made = SimpleNamespace(**facts)
    with pytest.raises(PluginError, match=f"the embedder 'odd' makes .*, which has {fact} = {value!r}"):
        check_made("the embedder 'odd' makes one, which", made, Embedder)


def of_a_user(made):
    """Make an embedder one of a user's file."""
    made.__class__ = type("Theirs", (Double,), {"__module__": "agentnet_experiment_mine"})
    return made


def test_vectors_that_hang_on_chance_are_found_out_by_one_text_more():
    chance = np.random.default_rng(1)
    drawn = of_a_user(Double(make=lambda texts: unit_rows(chance.normal(size=(len(texts), DIM)))))
    with pytest.raises(PluginError, match="one vector for 'a' and then another"):
        run_in_virtual_time(CachedEmbedder(drawn).embed(["a", "b"]))
    steady, ours = of_a_user(Double()), Double()
    for each in (steady, ours):
        wrapped = CachedEmbedder(each)
        run_in_virtual_time(wrapped.embed(["a", "b"]))
        run_in_virtual_time(wrapped.embed(["c"]))
    assert (steady.calls, ours.calls) == ([["a", "b"], ["a"], ["c"]], [["a", "b"], ["c"]])
