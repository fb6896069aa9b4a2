"""One request a draw: usable replies decide, unusable ones are asked for again, and every cost is counted."""

import asyncio
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import AtOnce, Reply
from agentnet.errors import (
    BackendUnusable,
    InternalError,
    Interrupted,
    PluginError,
    RequestRejected,
    TransientError,
)
from agentnet.prompts import Verdict
from agentnet.sampler import Answer, CallSampler, Draws, Pool, Question
from agentnet.testing import ScriptedBackend, run_in_virtual_time

YES, NO = Reply(("yes",)), Reply(("no",))


def judge(text):
    """Understand "yes: why", "no: why" and reasons; nothing else."""
    word, _, rationale = text.partition(": ")
    if word == "because":
        return Verdict(None, rationale)
    if word in {"yes", "no"}:
        return Verdict(word == "yes", rationale)
    return Verdict(None, "", "no_answer")


def draws(n_draws, record, **changes):
    """Draws that differ in every field."""
    numbers = range(n_draws)
    questions = [
        Question(
            i, (("user", f"question {i}"),), {"profile": f"{i:05b}"}, ("yes", "no"), f"schema {i}", 10 + i
        )
        for i in numbers
    ]
    fields = {
        "kind": "exposure",
        "realization": 4,
        "step": 3,
        "agents": [10 + i for i in numbers],
        "sources": [20 + i for i in numbers],
        "repeats": [30 + i for i in numbers],
        "questions": questions,
        "temperatures": [0.7 + i / 100 for i in numbers],
        "seeds": [2**63 - 1 - i for i in numbers],
        "judge": judge,
        "record": record,
        "todo": numbers,
    }
    return Draws(**(fields | changes))


class Sitting(NamedTuple):
    """What was recorded, what was asked and what `draw` raised."""

    answers: dict
    requests: list
    error: Exception | None


def sit(script, *, n_draws=1, max_asks=3, workers=1, **changes):
    answers = {}

    def record(i, answer):
        assert i not in answers, "recorded twice"
        answers[i] = answer

    backend = ScriptedBackend(script)

    async def main():
        async with Pool(workers) as pool:
            sampler = CallSampler(backend, pool, run_seed=99, max_asks=max_asks)
            await sampler.draw(draws(n_draws, record, **changes))

    try:
        run_in_virtual_time(main())
    except Exception as error:  # noqa: BLE001 - the tests look at whatever comes
        return Sitting(answers, backend.requests, error)
    return Sitting(answers, backend.requests, None)


def answer_to(*script, **options):
    found = sit(script, **options)
    assert found.error is None
    assert len(found.requests) == len(script), "not all of the script was asked for"
    return found.answers[0]


def with_history(error, attempts, troubles):
    error.attempts, error.troubles = attempts, troubles
    return error


# At once


class Instant(ScriptedBackend):
    """Answers at once by `says`, and notes what it is asked one by one."""

    def __init__(self, says):
        super().__init__(says)
        self.says, self.n_at_once = says, 0

    def answer_now(self, wave):
        self.n_at_once += len(wave.which)
        return AtOnce([*map(self.says, wave.asked)], wave.which)


def say(request):
    number = int(request.messages[0][1].split()[-1])
    texts = ("yes: it is", "no", "hm") if request.draw[-1] == 0 else ("no: after all",)
    return Reply((texts[number % len(texts)],), 10 + number, 3, "model-7")


def play_both(record_drawn=None, **changes):
    """Answer draws at once and one by one; give the answers of both, and the backends."""
    found = []
    for answers_now in (True, False):
        answers, backend = {}, Instant(say)

        async def main(answers=answers, backend=backend, answers_now=answers_now):
            async with Pool(2) as pool:
                sampler = CallSampler(backend, pool, run_seed=99, max_asks=3, answers_now=answers_now)
                given = draws(9, answers.__setitem__, **changes)
                await sampler.draw(replace(given, record_drawn=record_drawn and record_drawn(answers)))

        run_in_virtual_time(main())
        found.append(({i: answer._replace(latency_s=0.0) for i, answer in answers.items()}, backend))
    return found


def drawn(answers):
    def record(positions, alike, which, decisions):
        for i, k, decision in zip(positions, which, decisions, strict=True):
            answers[i] = alike[k]._replace(decision=decision)

    return record


@pytest.mark.parametrize("record_drawn", [None, drawn])
@pytest.mark.parametrize("todo", [range(9), range(3, 9), [0, 1, 3, 4], [1, 2, 7]])
def test_answers_at_once_are_recorded_as_those_one_by_one(record_drawn, todo):
    (at_once, instant), (one_by_one, asked) = play_both(record_drawn, todo=todo)
    assert at_once == one_by_one
    assert set(at_once) == set(todo)
    assert (instant.n_at_once, asked.n_at_once) == (len(todo), 0)
    assert len(instant.requests) == len(asked.requests) - len(todo), "only what is no answer is asked again"


def test_what_is_not_answered_at_once_is_asked_one_by_one():
    class Slow(Instant):
        def answer_now(self, wave):
            return None

    answers, backend = {}, Slow(say)

    async def main():
        async with Pool(2) as pool:
            await CallSampler(backend, pool, run_seed=99, max_asks=3, answers_now=True).draw(
                draws(9, answers.__setitem__)
            )

    run_in_virtual_time(main())
    assert len(answers) == 9


def ask_together(backend, n_realizations, cancelled=(), judge=judge):
    """Have draws of several realizations asked in one turn; give what each was answered, and the errors."""
    answers = [{} for _ in range(n_realizations)]

    async def main():
        async with Pool(2) as pool:
            sampler = CallSampler(backend, pool, run_seed=99, max_asks=3, answers_now=True)
            given = [
                sampler.draw(draws(3 + n, found.__setitem__, judge=judge)) for n, found in enumerate(answers)
            ]
            tasks = [asyncio.create_task(each) for each in given]
            await asyncio.sleep(0)
            for n in cancelled:
                tasks[n].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

    return answers, run_in_virtual_time(main())


def test_draws_of_several_realizations_are_answered_together_and_each_has_its_own():
    waves = []

    class Noted(Instant):
        def answer_now(self, wave):
            waves.append([wave.asked[k].messages[0][1] for k in wave.which])
            return super().answer_now(wave)

    answers, _ = ask_together(Noted(say), 3, cancelled=[1])
    assert waves == [[f"question {i}" for n in (3, 5) for i in range(n)]]
    assert [len(each) for each in answers] == [3, 0, 5], "who is cancelled has nothing recorded"
    assert [answers[2][i].prompt_tokens for i in (0, 1, 3, 4)] == [10, 11, 13, 14]


def test_what_breaks_off_while_many_are_answered_is_told_to_each():
    class Broken(Instant):
        def answer_now(self, wave):
            raise BackendUnusable("no key")

    answers, errors = ask_together(Broken(say), 2)
    assert answers == [{}, {}]
    assert [str(each) for each in errors] == ["no key"] * 2


def test_a_run_that_is_stopped_in_a_long_step_begins_no_further_wave(monkeypatch):
    monkeypatch.setattr("agentnet.sampler.call._DRAWS_AT_ONCE", 2)
    answers, reason = {}, Interrupted("Ctrl-C")

    async def main():
        async with Pool(1) as pool:
            asyncio.get_running_loop().call_soon(pool.stop, reason)
            sampler = CallSampler(Instant(say), pool, run_seed=99, max_asks=3, answers_now=True)
            with pytest.raises(Interrupted):
                await sampler.draw(draws(9, answers.__setitem__))

    run_in_virtual_time(main())
    assert list(answers) == [0, 1]


@pytest.mark.parametrize("where", ["answer_now", "judge"])
@pytest.mark.parametrize("error", [StopIteration, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
def test_nobody_waits_for_ever_whatever_is_raised_while_many_are_answered(where, error):
    def broken(_):
        raise error

    backend = Instant(say)
    if where == "answer_now":
        backend.answer_now = broken
    answers, errors = ask_together(backend, 2, judge=broken if where == "judge" else judge)
    assert answers == [{}, {}]
    assert [type(each) for each in errors] == [PluginError] * 2


@pytest.mark.parametrize("which", [[], [0] * 6, [0] * 8, [0] * 6 + [1], [0] * 6 + [-1]])
def test_answers_at_once_that_cannot_be_told_apart_are_refused_and_none_is_recorded(which):
    backend = Instant(say)
    backend.answer_now = lambda _: AtOnce([Reply((YES,), 1, 1)], which)
    answers, errors = ask_together(backend, 2)
    assert answers == [{}, {}]
    assert ["which reply each request has" in str(each) for each in errors] == [True] * 2


def test_an_answer_at_once_that_is_no_reply_is_refused_and_none_is_recorded():
    backend = Instant(say)
    backend.answer_now = lambda wave: AtOnce([Reply((YES,), -5, 1)], [0] * len(wave.which))
    answers, errors = ask_together(backend, 2)
    assert answers == [{}, {}]
    assert ["it gives a Reply" in str(each) for each in errors] == [True] * 2


def test_a_judge_that_cannot_be_told_from_others_is_refused_where_it_is_given():
    class Unhashable(list):
        __call__ = staticmethod(judge)

    _, errors = ask_together(Instant(say), 2, judge=Unhashable())
    assert ["unhashable" in str(each) for each in errors] == [True] * 2


def test_a_run_that_is_stopped_begins_no_further_draws_at_once():
    answers, reason = {}, Interrupted("stop")

    async def main():
        async with Pool(1) as pool:
            pool.stop(reason)
            sampler = CallSampler(Instant(say), pool, run_seed=99, max_asks=3, answers_now=True)
            with pytest.raises(Interrupted):
                await sampler.draw(draws(9, answers.__setitem__))

    run_in_virtual_time(main())
    assert not answers


# What is asked


def test_a_draw_is_one_request_with_all_that_fixes_it():
    found = sit([YES] * 3, n_draws=3)
    for i, request in enumerate(found.requests):
        assert request.messages == (("user", f"question {i}"),)
        assert request.metadata == {"profile": f"{i:05b}"}
        assert (request.n, request.logprobs) == (1, False)
        assert (request.answers, request.schema, request.max_tokens) == (("yes", "no"), f"schema {i}", 10 + i)
        assert request.temperature == 0.7 + i / 100
        assert request.seed == 2**63 - 1 - i
        assert request.draw == ((99, 4, "exposure", 3), 10 + i, 20 + i, 30 + i, 0)


def test_every_draw_is_recorded_once_whoever_answers_first():
    async def reply(request):
        await asyncio.sleep(request.draw[1] * 7 % 5)
        return "yes" if request.draw[1] % 2 else "no"

    found = sit(reply, n_draws=40, workers=6)
    assert {i: answer.decision for i, answer in found.answers.items()} == {i: i % 2 for i in range(40)}


def test_a_usable_reply_is_taken_as_it_is():
    reply = Reply(("yes: it is near me",), 12, 5, "model-7", (), None, "fp-1")
    answer = answer_to(reply)
    assert answer[:-5] == (
        1,
        None,
        "yes: it is near me",
        "it is near me",
        "model-7",
        "fp-1",
        12,
        5,
        1,
        1,
        False,
    )
    assert (answer.troubles, answer.context, answer.mass, answer.value) == ((), None, None, None)
    assert (type(answer.decision), type(answer_to(NO).decision)) == (int, int)
    assert answer.latency_s >= 0.0


def test_a_cached_reply_is_marked_and_may_have_cost_no_call():
    answer = answer_to(YES._replace(cached=True, attempts=0))
    assert (answer.cached, answer.attempts, answer.asks) == (True, 0, 1)


def test_a_rationale_needs_no_decision():
    answer = answer_to(Reply(("because: I care",)), kind="reason")
    assert (answer.decision, answer.missing, answer.rationale) == (None, None, "I care")


# Unusable replies


@pytest.mark.parametrize("max_asks", [1, 2, 5])
def test_an_unusable_reply_is_asked_for_again_up_to_the_bound_and_then_missing(max_asks):
    answer = answer_to(*[f"hm {i}" for i in range(max_asks)], max_asks=max_asks)
    assert (answer.decision, answer.missing, answer.asks) == (None, "invalid", max_asks)
    assert answer.text == f"hm {max_asks - 1}"
    assert answer.troubles == tuple(("invalid", "no_answer", f"hm {i}") for i in range(max_asks))


def test_asking_again_changes_the_seed_and_the_draw_key_and_nothing_else():
    found = sit(["hm", "hm", "hm", YES], max_asks=4)
    first = found.requests[0]
    assert len({request.seed for request in found.requests}) == 4
    for ask, request in enumerate(found.requests):
        assert 0 <= request.seed < 2**63
        assert request == first._replace(seed=request.seed, draw=(*first.draw[:4], ask))
    again = sit(["hm", "hm", "hm", YES], max_asks=4)
    assert again.requests == found.requests


def test_the_seeds_of_asking_again_are_the_draws_own():
    found = sit(["hm", YES] * 20, n_draws=20)
    assert len({request.seed for request in found.requests}) == 40


@pytest.mark.parametrize(
    ("finish", "missing"), [("refusal", "refused"), ("content_filter", "content_filter")]
)
def test_a_refusal_is_final_whatever_it_says(finish, missing):
    answer = answer_to(Reply(("yes: but no",), finish=(finish,)))
    assert (answer.decision, answer.missing, answer.asks) == (None, missing, 1)
    assert (answer.text, answer.rationale) == ("yes: but no", "")
    assert answer.troubles == ((missing, "", "yes: but no"),)


def test_a_reply_that_was_cut_off_is_never_a_decision():
    cut_off = Reply(("yes: beca",), finish=("length",))
    assert answer_to(cut_off, "no").decision == 0
    answer = answer_to(cut_off, cut_off, cut_off)
    assert (answer.decision, answer.missing, answer.asks) == (None, "length", 3)
    assert answer_to(cut_off, cut_off, "hm").missing == "invalid"


def test_a_reply_that_says_it_ended_by_itself_is_taken():
    answer = answer_to(Reply(("no",), finish=("stop",)))
    assert (answer.decision, answer.asks, answer.troubles) == (0, 1, ())


# Errors of the backend


def test_a_request_that_failed_for_good_is_missing_by_the_errors_kind():
    answer = answer_to(RequestRejected("too long", kind="context_overflow"))
    assert answer[:5] == (None, "context_overflow", None, "", "")
    assert answer[6:11] == (None, None, 1, 1, False)
    assert answer.troubles == (("context_overflow", "too long", None),)


def test_a_request_that_failed_after_all_retries_is_missing_and_keeps_its_history():
    error = with_history(TransientError("slow", kind="timeout"), 4, ("rate_limit", "timeout", "garbled"))
    answer = answer_to(error)
    assert (answer.missing, answer.asks, answer.attempts) == ("failed", 1, 4)
    assert answer.troubles == (
        ("rate_limit", "", None),
        ("timeout", "", None),
        ("garbled", "", None),
        ("timeout", "slow", None),
    )


def test_an_error_on_asking_again_keeps_what_was_paid_before():
    unusable = Reply(("hm",), 10, 2, attempts=2, troubles=("timeout",))
    answer = answer_to(unusable, TransientError("gone"))
    assert (answer.missing, answer.text, answer.asks, answer.attempts) == ("failed", None, 2, 3)
    assert (answer.prompt_tokens, answer.completion_tokens) == (10, 2)
    assert [trouble[0] for trouble in answer.troubles] == ["timeout", "invalid", "transient"]


@pytest.mark.parametrize("before", [[], ["hm"]])
@pytest.mark.parametrize("error", [BackendUnusable("no key"), ValueError("a bug in the plug-in")])
def test_an_error_that_is_no_answer_ends_the_drawing_and_records_nothing_for_its_draw(before, error):
    found = sit([YES, *before, error], n_draws=5)
    assert found.error is error
    assert list(found.answers) == [0]


def test_a_reply_without_a_text_ends_the_drawing():
    found = sit([Reply(())])
    assert isinstance(found.error, IndexError)
    assert found.answers == {}


def test_what_is_in_flight_is_recorded_when_another_draw_finds_the_backend_unusable():
    async def reply(request):
        position = request.draw[1] - 10
        await asyncio.sleep(position)
        if position == 1:
            raise BackendUnusable("quota")
        return "yes"

    found = sit(reply, n_draws=50, workers=4)
    assert isinstance(found.error, BackendUnusable)
    assert sorted(found.answers) == [0, 2, 3, 4], "0 made room for 4 before 1 failed"


def test_a_judge_that_raises_ends_the_drawing():
    def fails(text):
        raise InternalError(text)

    found = sit([YES], judge=fails)
    assert isinstance(found.error, InternalError)
    assert found.answers == {}


def test_a_record_that_raises_ends_the_drawing():
    def stop(i, answer):
        raise Interrupted("no room")

    backend = ScriptedBackend([YES] * 2)

    async def main():
        async with Pool(1) as pool:
            sampler = CallSampler(backend, pool, run_seed=1, max_asks=1)
            await sampler.draw(draws(2, stop))

    with pytest.raises(Interrupted, match="no room"):
        run_in_virtual_time(main())
    assert len(backend.requests) == 1


# Every combination


kinds = st.sampled_from(["timeout", "rate_limit", "garbled"])
troubles = st.lists(kinds, max_size=2).map(tuple)
tokens = st.none() | st.integers(0, 99)
replies = st.builds(
    Reply,
    texts=st.sampled_from(["yes: a", "no: b", "hm", ""]).map(lambda text: (text,)),
    prompt_tokens=tokens,
    completion_tokens=tokens,
    model=st.sampled_from(["m1", "m2"]),
    finish=st.sampled_from([(), ("stop",), ("length",), ("refusal",), ("content_filter",)]),
    logprobs=st.none(),
    fingerprint=st.none() | st.just("fp"),
    attempts=st.integers(0, 3),
    troubles=troubles,
    cached=st.booleans(),
)
errors = st.builds(
    with_history,
    st.builds(TransientError, st.just("gone"), kind=kinds) | st.builds(RequestRejected, st.just("too long")),
    st.integers(1, 3),
    troubles,
)


def added(a, b):
    return b if a is None else a if b is None else a + b


def expected(script, max_asks):
    """Walk through the script by the words of the documentation."""
    found = Answer(None, None, None, "", "", None, None, None, 0, 0, False, 0.0)
    for said in script[:max_asks]:
        history = tuple((kind, "", None) for kind in said.troubles)
        found = found._replace(
            asks=found.asks + 1, attempts=found.attempts + said.attempts, troubles=found.troubles + history
        )
        if isinstance(said, Exception):
            missing = said.kind if isinstance(said, RequestRejected) else "failed"
            return found._replace(
                missing=missing,
                troubles=(*found.troubles, (said.kind, str(said), None)),
                text=None,
                model="",
                fingerprint=None,
                cached=False,
            )
        text, verdict = said.texts[0], judge(said.texts[0])
        found = found._replace(
            text=text,
            model=said.model,
            fingerprint=said.fingerprint,
            cached=said.cached,
            prompt_tokens=added(found.prompt_tokens, said.prompt_tokens),
            completion_tokens=added(found.completion_tokens, said.completion_tokens),
        )
        names = {"refusal": "refused", "content_filter": "content_filter", "length": "length"}
        why = names.get(said.finish[0]) if said.finish else None
        why = why or ("invalid" if verdict.problem else None)
        if why is None:
            return found._replace(decision=int(verdict.decision), rationale=verdict.rationale, missing=None)
        found = found._replace(missing=why, troubles=(*found.troubles, (why, verdict.problem, text)))
        if why in {"refused", "content_filter"}:
            return found
    return found


@given(script=st.lists(replies | errors, min_size=4, max_size=4), max_asks=st.integers(1, 4))
def test_decision_costs_and_troubles_are_right_in_every_combination(script, max_asks):
    found = sit(script, max_asks=max_asks)
    assert found.error is None
    answer = found.answers[0]
    assert answer._replace(latency_s=0.0) == expected(script, max_asks)
    assert len(found.requests) == answer.asks
