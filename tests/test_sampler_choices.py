"""Mode choices: many draws a request, each its own; costs add up; nobody waits for ever."""

import asyncio
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agentnet.backend import Reply, make_backend
from agentnet.errors import (
    BackendUnusable,
    Interrupted,
    PluginError,
    RequestRejected,
    RunStopped,
    TransientError,
)
from agentnet.prompts import Verdict, parse_reply
from agentnet.sampler import CallSampler, ChoicesSampler, Draws, Pool, Question, Stock
from agentnet.streams import mix, unit
from agentnet.testing import ScriptedBackend, run_in_virtual_time

RUN_SEED = 99


def judge(text):
    """Understand "yes" and "no" and reasons; nothing else."""
    word, _, rationale = text.partition(": ")
    if word == "because":
        return Verdict(None, rationale)
    return parse_reply(word)._replace(rationale=rationale)


def says(seed, index):
    """What the scripted model says: sample `index` of a request depends on its seed and on nothing else."""
    return "yes" if unit(mix(seed, index)) < 0.4 else "no"


def sampled(request, n=None):
    """The reply of a model that counts its tokens: 10 in, 2 a sample out."""
    n = request.n if n is None else n
    return Reply(tuple(says(request.seed, i) for i in range(n)), 10, 2 * n, "model-1")


class Counting(ScriptedBackend):
    """Counts what was paid: calls (as `attempts` says), tokens in and out."""

    def __init__(self, script):
        super().__init__(script)
        self.calls = self.prompt_tokens = self.completion_tokens = 0

    async def complete(self, request):
        try:
            reply = await super().complete(request)
        except (TransientError, RequestRejected) as error:
            self.calls += error.attempts
            raise
        self.calls += reply.attempts
        if not reply.cached:
            self.prompt_tokens += reply.prompt_tokens or 0
            self.completion_tokens += reply.completion_tokens or 0
        return reply


class Sitting(NamedTuple):
    """What was recorded of each realization, by (step, draw), what was asked, and how each ended."""

    answers: list
    backend: Counting
    errors: list

    @property
    def decisions(self):
        return [{key: answer.decision for key, answer in found.items()} for found in self.answers]

    @property
    def all_answers(self):
        return [answer for found in self.answers for answer in found.values()]

    @property
    def paid(self):
        """Calls, tokens in and tokens out, as the log sums them."""
        fresh = [answer for answer in self.all_answers if not answer.cached]
        return (
            sum(answer.attempts for answer in fresh),
            sum(answer.prompt_tokens or 0 for answer in fresh),
            sum(answer.completion_tokens or 0 for answer in fresh),
        )

    @property
    def counted(self):
        return self.backend.calls, self.backend.prompt_tokens, self.backend.completion_tokens


def facts(number):
    """Give a question's metadata; those from 900 on are for another voice than the run's own."""
    return {"news": number} | ({"voice": "copier"} if number >= 900 else {})


def step_draws(realization, step, numbers, record, *, todo=None, kind="exposure"):
    """Make the draws of a step: one for each question number."""
    n_draws = len(numbers)
    return Draws(
        kind,
        realization,
        step,
        list(range(n_draws)),
        [-1] * n_draws,
        [0] * n_draws,
        [
            Question(number, (("user", f"question {number}"),), facts(number), ("yes", "no"))
            for number in numbers
        ],
        [1.0 + number / 10 for number in numbers],
        [mix(1000 * realization + step, i) >> 1 for i in range(n_draws)],
        judge,
        record,
        range(n_draws) if todo is None else todo,
    )


def sit(
    script,
    plans,
    *,
    mode="choices",
    n_at_most=8,
    workers=4,
    max_asks=3,
    delays=(),
    known=(),
    on_missing=None,
    stop_at=None,
    kill=None,
):
    """Play realizations, each a list of steps, each a list of question numbers.

    A realization that fails stops the pool, as in a run.

    Args:
        delays: Seconds that each realization waits before each of its steps.
        known: (realization, step, draw) of the draws that are answered already.
        on_missing: What `record` raises for a missing answer.
        stop_at: When the pool is stopped.
        kill: (realization, when): who is cancelled.
    """
    backend = Counting(script)
    answers = [{} for _ in plans]

    async def main():
        async with Pool(workers) as pool:
            now = asyncio.get_running_loop().time
            caller = CallSampler(backend, pool, run_seed=RUN_SEED, max_asks=max_asks, clock=now)
            stock = Stock(backend, run_seed=RUN_SEED, n_at_most=n_at_most, clock=now)

            async def play(number, plan):
                sampler = caller
                if mode == "choices":
                    sampler = ChoicesSampler(
                        stock, caller, pool, repeat=number, n_repeats=len(plans), run_seed=RUN_SEED
                    )
                for step, numbers in enumerate(plan):
                    await asyncio.sleep(delays[number] if delays else 0)

                    def record(i, answer, step=step):
                        if answer.missing is not None and on_missing is not None:
                            raise on_missing
                        assert (step, i) not in answers[number], "recorded twice"
                        answers[number][step, i] = answer

                    todo = [i for i in range(len(numbers)) if (number, step, i) not in known]
                    try:
                        await sampler.draw(step_draws(number, step, numbers, record, todo=todo))
                    except Exception as error:
                        pool.stop(error)
                        raise

            tasks = [asyncio.create_task(play(number, plan)) for number, plan in enumerate(plans)]
            loop = asyncio.get_running_loop()
            if stop_at is not None:
                loop.call_later(stop_at, pool.stop, Interrupted("enough"))
            if kill is not None:
                loop.call_later(kill[1], tasks[kill[0]].cancel)
            await asyncio.wait(tasks)
        return ["cancelled" if task.cancelled() else task.exception() for task in tasks]

    return Sitting(answers, backend, run_in_virtual_time(main()))


def played(script, plans, **how):
    found = sit(script, plans, **how)
    assert found.errors == [None] * len(plans)
    known = how.get("known", ())
    for number, (plan, answers) in enumerate(zip(plans, found.answers, strict=True)):
        expected = {(step, i) for step, numbers in enumerate(plan) for i in range(len(numbers))}
        assert answers.keys() == {key for key in expected if (number, *key) not in known}
    return found


few = settings(max_examples=50)
step_plans = st.lists(st.lists(st.integers(0, 2), max_size=7), max_size=4)
plans = st.lists(step_plans, min_size=1, max_size=5)

# What is asked


def test_one_request_serves_a_draw_of_every_repeat():
    found = played(sampled, [[[7]]] * 5)
    (request,) = found.backend.requests
    assert request.n == 5
    assert request.messages == (("user", "question 7"),)
    assert request.metadata == {"news": 7}
    assert (request.temperature, request.answers, request.logprobs) == (1.7, ("yes", "no"), False)
    assert request.draw == ((RUN_SEED, 7, "stock", 0), 0, 5, 0, 0)
    texts = [says(request.seed, i) for i in range(5)]
    assert found.decisions == [{(0, 0): text == "yes"} for text in texts]


def test_different_questions_and_temperatures_have_blocks_and_seeds_of_their_own():
    found = played(sampled, [[[0, 1, 2, 0, 1, 2]]] * 3, n_at_most=3)
    requests = found.backend.requests
    assert len(requests) == 6
    assert len({request.seed for request in requests}) == 6
    assert len({request.draw for request in requests}) == 6
    assert all(0 <= request.seed < 2**63 for request in requests)


def test_reasons_are_asked_one_by_one():
    backend = ScriptedBackend(["because: it is near"] * 3)
    answers = {}

    async def main():
        async with Pool(2) as pool:
            caller = CallSampler(backend, pool, run_seed=RUN_SEED, max_asks=1)
            stock = Stock(backend, run_seed=RUN_SEED, n_at_most=8)
            sampler = ChoicesSampler(stock, caller, pool, repeat=0, n_repeats=5, run_seed=RUN_SEED)
            await sampler.draw(step_draws(0, 1, [0, 0, 0], answers.__setitem__, kind="reason"))

    run_in_virtual_time(main())
    assert [request.n for request in backend.requests] == [1, 1, 1]
    assert {answer.rationale for answer in answers.values()} == {"it is near"}


def test_a_step_that_asks_nobody_asks_nobody():
    found = played(sampled, [[[], []]])
    assert found.backend.requests == []


# The same distribution


def law_counts(mode):
    """Decisions of 8 repeats x 5 steps x 40 draws of one question under the mock's constant law."""
    mock = make_backend("mock", {"law": "constant", "probability": 0.3})
    found = played(mock.complete, [[[0] * 40] * 5] * 8, mode=mode, n_at_most=64)
    return np.array([[answers[key].decision for key in sorted(answers)] for answers in found.answers])


def test_draws_have_the_same_distribution_as_calls():
    choices, call = law_counts("choices"), law_counts("call")
    assert choices.shape == call.shape == (8, 200)
    table = [[found.sum(), (1 - found).sum()] for found in (choices, call)]
    assert stats.chi2_contingency(table).pvalue > 0.01
    for found in (choices, call):
        assert stats.binomtest(int(found.sum()), found.size, 0.3).pvalue > 0.01
        # Over repeats, and over draws: no repeat and no place in a block is luckier than another.
        by_repeat = stats.chisquare(found.sum(axis=1), [found.sum() / 8] * 8)
        by_draw = stats.chisquare(found.sum(axis=0), [found.sum() / 200] * 200)
        assert by_repeat.pvalue > 0.01
        assert by_draw.pvalue > 0.01


def test_draws_that_follow_each_other_or_share_a_block_are_independent():
    found = law_counts("choices")
    for first, second in (
        (found[:, :-1], found[:, 1:]),
        (found[:-1], found[1:]),
        (found[:, :100], found[:, 100:]),
    ):
        table = [[((first == a) & (second == b)).sum() for b in (0, 1)] for a in (0, 1)]
        assert stats.chi2_contingency(table).pvalue > 0.01


def test_no_two_draws_take_the_same_sample():
    numbers = Counter()

    def script(request):
        texts = tuple(f"yes: {request.draw}-{i}" for i in range(request.n))
        return Reply(texts)

    found = played(script, [[[0, 1, 0], [1] * 5, [0] * 9]] * 4, n_at_most=8)
    numbers.update(answer.rationale for answer in found.all_answers)
    assert set(numbers.values()) == {1}
    assert len(numbers) == 4 * 17


# What may not matter


@given(
    plans=plans,
    delays=st.lists(st.integers(0, 9), min_size=5, max_size=5),
    workers=st.integers(1, 6),
    n_at_most=st.integers(1, 9),
    salt=st.integers(0, 99),
)
@few
def test_decisions_do_not_depend_on_latency_workers_or_who_comes_first(
    plans, delays, workers, n_at_most, salt
):
    async def slow(request):
        await asyncio.sleep(mix(salt, request.draw[1] + request.draw[4]) % 7)
        return sampled(request)

    reference = played(sampled, plans, workers=1, n_at_most=n_at_most)
    other = played(slow, plans, workers=workers, n_at_most=n_at_most, delays=delays)
    assert other.decisions == reference.decisions
    assert other.paid == reference.paid


@given(plans=plans.filter(lambda plans: sum(map(len, plans[0])) > 0), data=st.data())
@few
def test_a_resumed_realization_takes_the_samples_that_it_would_have_taken(plans, data):
    unbroken = played(sampled, plans)
    draws = [(0, step, i) for step, numbers in enumerate(plans[0]) for i in range(len(numbers))]
    known = data.draw(st.frozensets(st.sampled_from(draws)))
    resumed = played(sampled, plans, known=known)
    left = {key: value for key, value in unbroken.decisions[0].items() if (0, *key) not in known}
    assert resumed.decisions == [left, *unbroken.decisions[1:]]


@pytest.mark.parametrize("cap", [1, 3, 5])
def test_a_server_that_gives_fewer_samples_is_asked_again_for_the_rest(cap):
    def capped(request):
        return sampled(request, min(request.n, cap))

    found = played(capped, [[[0] * 4]] * 5, n_at_most=20)
    sizes = defaultdict(list)
    for request in found.backend.requests:
        sizes[request.draw[:3]].append(request.n)
    # Blocks of 5 x 1, 5 x 2 and 5 x 4 samples; what the server gave first is asked for from then on.
    assert sorted(map(sum_given(cap), sizes.values())) == [5, 10, 20]
    for asked in sizes.values():
        assert all(n <= cap for n in asked[1:])
    assert len({request.seed for request in found.backend.requests}) == len(found.backend.requests)
    assert found.paid == found.counted


def sum_given(cap):
    return lambda asked: sum(min(n, cap) for n in asked)


def as_text(request):
    return repr(request)


@given(plans=plans, cap=st.integers(1, 4), delays=st.lists(st.integers(0, 9), min_size=5, max_size=5))
@few
def test_what_a_capping_server_is_asked_does_not_depend_on_which_block_came_first(plans, cap, delays):
    # Its samples hang on how many it was asked for, as a real server's may.
    def capped(request):
        return sampled(request._replace(seed=mix(request.seed, request.n)), min(request.n, cap))

    reference = played(capped, plans, workers=1)
    other = played(capped, plans, workers=3, delays=delays)
    assert other.decisions == reference.decisions
    assert sorted(other.backend.requests, key=as_text) == sorted(reference.backend.requests, key=as_text)


def test_samples_beyond_those_asked_for_are_not_used():
    found = played(lambda request: sampled(request, request.n + 3), [[[0] * 3]] * 2, n_at_most=6)
    assert found.decisions == played(sampled, [[[0] * 3]] * 2, n_at_most=6).decisions
    assert found.paid == found.counted


def test_a_reply_without_any_text_is_the_plugins_bug_and_not_asked_for_for_ever():
    found = sit(lambda _: Reply(()), [[[0]]])
    assert isinstance(found.errors[0], PluginError)
    assert len(found.backend.requests) == 1


# Failures


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (TransientError("down", kind="server_error"), "failed"),
        (RequestRejected("too long", kind="context_overflow"), "context_overflow"),
    ],
)
def test_a_failed_request_is_missing_for_the_draws_of_its_block_and_for_no_others(error, missing):
    error.attempts, error.troubles = 3, ("timeout", "rate_limit")

    def script(request):
        return error if request.draw[1] == 1 else sampled(request)

    # Blocks begin at draw 0, 1 and 3: the second holds draws 1 and 2 of every repeat.
    found = played(script, [[[0] * 4]] * 3, n_at_most=12)
    for answers in found.answers:
        assert [answers[0, i].missing for i in range(4)] == [None, missing, missing, None]
        assert [answers[0, i].decision is None for i in range(4)] == [False, True, True, False]
        for i in (1, 2):
            assert (answers[0, i].text, answers[0, i].asks) == (None, 1)
            assert answers[0, i].troubles[-1] == (error.kind, str(error), None)
    assert found.paid == found.counted == (5, 20, 2 * (3 + 12))
    tries = [trouble for answer in found.all_answers for trouble in answer.troubles if trouble[1] == ""]
    assert tries == [("timeout", "", None), ("rate_limit", "", None)], "told once"


def test_what_a_capping_server_gave_before_it_failed_is_used():
    def script(request):
        return sampled(request, 2) if request.draw[4] == 0 else RequestRejected("no more", kind="rejected")

    found = played(script, [[[0]]] * 5)
    assert [answers[0, 0].missing for answers in found.answers] == [None, None, *["rejected"] * 3]
    assert found.paid == found.counted == (2, 10, 4)


def test_an_unusable_backend_ends_every_realization_that_needs_it():
    def script(request):
        return BackendUnusable("wrong key") if request.messages[0][1] == "question 1" else sampled(request)

    found = sit(script, [[[0, 1]], [[1]], [[0]]], workers=1)
    assert [type(error) for error in found.errors[:2]] == [BackendUnusable] * 2
    assert len([r for r in found.backend.requests if r.messages[0][1] == "question 1"]) == 1
    assert found.answers[0][0, 0].decision is not None, "what came is kept"


# Unusable samples


def unusable_first(is_unusable):
    """Give "hm" for the samples of a block that `is_unusable` names, and a yes when one is asked alone."""

    def script(request):
        if request.draw[0][2] == "stock":
            texts = tuple("hm" if is_unusable(i) else "no" for i in range(request.n))
            return Reply(texts, 10, 2 * request.n, "model-1")
        return Reply(("yes",), 10, 1, "model-1")

    return script


def test_an_unusable_sample_is_asked_again_alone_as_in_mode_call():
    found = played(unusable_first(lambda i: i == 1), [[[0]]] * 3)
    assert found.decisions == [{(0, 0): 0}, {(0, 0): 1}, {(0, 0): 0}]
    stock, single = found.backend.requests
    assert (stock.n, single.n) == (3, 1)
    assert single.draw == ((RUN_SEED, 1, "exposure", 0), 0, -1, 0, 1)
    assert single.seed == mix(step_draws(1, 0, [0], None).seeds[0], 1) & (2**63 - 1)
    assert (single.messages, single.temperature) == (stock.messages, stock.temperature)
    answer = found.answers[1][0, 0]
    assert (answer.asks, answer.text) == (2, "yes")
    assert answer.troubles == (("invalid", "no_answer", "hm"),)
    assert found.paid == found.counted == (2, 20, 7)


def test_a_sample_that_stays_unusable_is_missing_after_the_bound():
    def never(request):
        return Reply(("hm",) * request.n, 10, request.n)

    found = played(never, [[[0]]] * 2, max_asks=3)
    for answers in found.answers:
        answer = answers[0, 0]
        assert (answer.decision, answer.missing, answer.asks, answer.text) == (None, "invalid", 3, "hm")
    assert len(found.backend.requests) == 1 + 2 * 2
    assert found.paid == found.counted


@pytest.mark.parametrize(
    ("finish", "missing", "asks"),
    [("refusal", "refused", 1), ("content_filter", "content_filter", 1), ("length", "length", 2)],
)
def test_how_each_sample_ended_counts_for_it_alone(finish, missing, asks):
    def script(request):
        ends = tuple(finish if i == 1 or request.n == 1 else "stop" for i in range(request.n))
        return Reply(("yes",) * request.n, 10, request.n, finish=ends)

    found = played(script, [[[0]]] * 3, max_asks=2)
    assert found.decisions == [{(0, 0): 1}, {(0, 0): None}, {(0, 0): 1}]
    answer = found.answers[1][0, 0]
    assert (answer.missing, answer.asks) == (missing, asks)
    assert answer.troubles == ((missing, "", "yes"),) * asks
    assert found.paid == found.counted


# What it costs


@given(plans=plans, n_at_most=st.integers(1, 9), cap=st.integers(1, 9), salt=st.integers(0, 99))
@few
def test_the_answers_together_cost_what_was_paid_whatever_nobody_came_for(plans, n_at_most, cap, salt):
    def mixed(request):
        """Cap, fail, ramble and refuse by chance, after a retry now and then."""
        fate = mix(request.seed, salt) % 8
        if fate == 0:
            return TransientError("down")
        reply = sampled(request, min(request.n, cap))
        texts = tuple(
            "hm" if mix(request.seed, salt + i) % 5 == 0 else text for i, text in enumerate(reply.texts)
        )
        ends = tuple("refusal" if fate == 1 and i == 0 else "stop" for i in range(len(texts)))
        return reply._replace(
            texts=texts, finish=ends, attempts=1 + (fate == 2), troubles=("timeout",) * (fate == 2)
        )

    found = played(mixed, plans, n_at_most=n_at_most)
    assert found.paid == found.counted


# One sample n times over


def copying(request):
    """The reply of a server that samples once and copies."""
    return sampled(request._replace(n=1))._replace(texts=(says(request.seed, 0),) * request.n)


def test_a_server_that_copies_one_sample_stops_the_run_in_words():
    found = sit(copying, [[list(range(12)), list(range(12)) * 2]] * 16, n_at_most=32)
    assert all(isinstance(error, BackendUnusable) for error in found.errors)
    words = str(found.errors[0])
    assert found.errors[0].kind == "same_samples"
    assert "one sample n times over" in words
    assert "sampler.mode=call" in words
    assert len(found.backend.requests) < 24


def test_a_voice_that_copies_one_sample_is_not_excused_by_another_that_does_not():
    def mixed(request):
        return copying(request) if request.metadata.get("voice") else sampled(request)

    few, many = list(range(900, 912)), list(range(200))
    found = sit(mixed, [[many, few, few * 2]] * 16, n_at_most=32)
    assert all(isinstance(error, BackendUnusable) for error in found.errors)
    assert "(voice copier) returns one sample n times over" in str(found.errors[0])
    assert sit(mixed, [[many, many]] * 16, n_at_most=32).errors == [None] * 16


def test_a_model_whose_answers_are_certain_is_played_to_its_end():
    mock = make_backend("mock", {"law": "constant", "probability": 1.0})
    found = played(mock.complete, [[list(range(12)), list(range(12)) * 2]] * 16, n_at_most=32)
    assert all(set(decisions.values()) == {1} for decisions in found.decisions)


def test_a_model_that_is_nearly_certain_is_played_to_its_end():
    for probability in (0.02, 0.5, 0.98):
        mock = make_backend("mock", {"law": "constant", "probability": probability})
        played(mock.complete, [[list(range(12)), list(range(12)) * 2]] * 16, n_at_most=32)


def test_a_server_that_gives_one_sample_at_a_time_is_no_copying_one():
    played(lambda request: sampled(request, 1), [[list(range(6)) * 3]] * 8, n_at_most=32)


def test_tokens_that_a_server_did_not_count_stay_unknown():
    found = played(lambda request: Reply(("yes",) * request.n), [[[0]]] * 3)
    assert {(a.prompt_tokens, a.completion_tokens) for a in found.all_answers} == {(None, None)}
    assert sum(answer.attempts for answer in found.all_answers) == 1


def test_a_block_from_the_cache_says_so_and_cost_no_call():
    def cached(request):
        return sampled(request)._replace(cached=True, attempts=0)

    found = played(cached, [[[0]]] * 3)
    assert all(answer.cached for answer in found.all_answers)
    assert sum(answer.attempts for answer in found.all_answers) == 0
    assert sorted(answer.prompt_tokens for answer in found.all_answers) == [0, 0, 10]


def test_what_came_from_the_cache_does_not_count_beside_what_was_paid():
    def half_cached(request):
        reply = sampled(request, 2)
        return reply._replace(cached=True, attempts=0) if request.draw[4] == 0 else reply

    found = played(half_cached, [[[0]]] * 4, workers=1)
    assert not any(answer.cached for answer in found.all_answers)
    assert found.paid == found.counted == (1, 10, 4)


def test_latency_is_the_requests_and_goes_on_when_a_sample_is_asked_again():
    says = unusable_first(lambda i: i == 0)

    async def script(request):
        await asyncio.sleep(5 if request.n == 2 else 3)
        return says(request)

    found = played(script, [[[0]]] * 2)
    assert [answers[0, 0].latency_s for answers in found.answers] == [8, 5]


# Stops


async def slowly(request):
    await asyncio.sleep(5)
    return sampled(request)


def test_what_was_in_flight_when_the_run_was_stopped_is_recorded():
    found = sit(slowly, [[[0, 1, 2]]], workers=2, stop_at=2)
    assert isinstance(found.errors[0], Interrupted)
    assert found.answers[0].keys() == {(0, 0), (0, 1)}
    assert found.paid == found.counted


def test_nobody_waits_for_a_block_whose_buyer_was_stopped_before_he_could_buy_it():
    # One worker: repeat 0 claims three blocks, repeats 1 and 2 wait for the third.
    found = sit(slowly, [[[0, 1, 2]], [[2]], [[2]]], workers=1, stop_at=2)
    assert [type(error) for error in found.errors] == [Interrupted] * 3


@given(
    plans=st.lists(step_plans, min_size=2, max_size=5),
    killed_at=st.integers(0, 20).map(lambda t: t + 0.5),
    workers=st.integers(1, 3),
    killed=st.integers(0, 1),
)
@few
def test_when_one_realization_is_cancelled_the_others_end_as_if_nothing_had_happened(
    plans, killed_at, workers, killed
):
    unbroken = played(sampled, plans)
    found = sit(slowly, plans, workers=workers, kill=(killed, killed_at))
    assert found.errors[killed] in ("cancelled", None)
    others = [number for number in range(len(plans)) if number != killed]
    assert [found.errors[number] for number in others] == [None] * len(others)
    assert [found.decisions[n] for n in others] == [unbroken.decisions[n] for n in others]


@given(
    plans=st.lists(step_plans, min_size=2, max_size=5),
    stop_at=st.integers(0, 30).map(lambda t: t + 0.5),
    workers=st.integers(1, 3),
)
@few
def test_a_stopped_run_ends_and_its_resumption_gets_what_an_unbroken_one_gets(plans, stop_at, workers):
    unbroken = played(sampled, plans)
    broken = sit(slowly, plans, workers=workers, stop_at=stop_at)
    assert all(error is None or isinstance(error, Interrupted) for error in broken.errors)
    known = {(r, *key) for r, answers in enumerate(broken.answers) for key in answers}
    resumed = sit(sampled, plans, workers=workers, known=known)
    assert resumed.errors == [None] * len(plans)
    together = [a | b for a, b in zip(broken.decisions, resumed.decisions, strict=True)]
    assert together == unbroken.decisions


def test_a_missing_answer_that_stops_the_run_costs_no_other_draw_of_the_step():
    def script(request):
        return TransientError("down") if request.messages[0][1] == "question 1" else sampled(request)

    found = sit(script, [[[0, 1, 1, 2]]], on_missing=RunStopped("policy"))
    assert isinstance(found.errors[0], RunStopped)
    assert found.answers[0].keys() == {(0, 0), (0, 3)}


def test_an_error_that_is_no_backend_error_reaches_all_who_wait():
    def script(request):
        raise ZeroDivisionError

    found = sit(script, [[[0]], [[0]]])
    assert all(isinstance(error, ZeroDivisionError) for error in found.errors)
