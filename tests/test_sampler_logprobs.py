"""Mode logprobs: one request tells the odds of a question, and every draw is made from them here."""

import asyncio
import json
import math
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import NO_DRAW, Reply, make_backend
from agentnet.config import SamplerSettings, Settings
from agentnet.errors import (
    BackendUnusable,
    DesignError,
    Interrupted,
    RequestRejected,
    RunStopped,
    TransientError,
)
from agentnet.experiment import Source
from agentnet.listed import Listed
from agentnet.prompts import parse_reply
from agentnet.runner import prepare
from agentnet.sampler import CallSampler, Draws, LogprobSampler, Odds, Pool, Question
from agentnet.sampler.logprobs import probability_of_yes
from agentnet.streams import mix, unit
from agentnet.testing import ScriptedBackend, run_in_virtual_time

RUN_SEED = 99
OTHERS = 900
"""From this number on a question is for another voice."""
DESIGN = """
from agentnet import CascadeExperiment

class Design(CascadeExperiment):
    items_per_severity = 1
    rationale = {rationale!r}
    conditions = {conditions}
"""


def odds(p, **changes):
    """The reply of a model that says yes with probability `p`."""
    logprobs = {"yes": math.log(p) if p else -math.inf, "no": math.log(1 - p) if p < 1 else -math.inf}
    return Reply(("yes",), 10, 1, "model-1", (), logprobs, "fp-1")._replace(**changes)


def question(number, profile="01101"):
    metadata = {"profile": profile, "severity": number % 2, "kind": "exposure", "rationale": "none"}
    if number >= OTHERS:
        metadata["voice"] = "other"
    return Question(number, (("user", f"question {number}"),), metadata, ("yes", "no"), None, 7)


def number_of(request):
    return int(request.messages[0][1].split()[-1])


def step_draws(questions, record, *, realization=0, step=1, temperatures=None, todo=None):
    n_draws = len(questions)
    return Draws(
        "exposure",
        realization,
        step,
        list(range(n_draws)),
        [-1] * n_draws,
        [0] * n_draws,
        questions,
        temperatures or [1.0] * n_draws,
        [mix(1000 * realization + step, i) >> 1 for i in range(n_draws)],
        parse_reply,
        record,
        range(n_draws) if todo is None else todo,
    )


class Sitting(NamedTuple):
    """The answers of each realization, what was asked, and how each ended."""

    answers: list
    requests: list
    errors: list

    @property
    def decisions(self):
        return [{i: answer.decision for i, answer in found.items()} for found in self.answers]


def sit(script, *steps, workers=2, stop_at=None, on_missing=None, odds_of=(), asking=question, **how):
    """Let one realization after the other, started together, play a step each: a list of question numbers."""
    backend = ScriptedBackend(script)
    answers = [{} for _ in steps]

    async def main():
        async with Pool(workers) as pool:
            shared = Odds(backend, **dict(odds_of))

            async def play(number, numbers):
                def record(i, answer):
                    if answer.missing is not None and on_missing is not None:
                        raise on_missing
                    answers[number][i] = answer

                draws = step_draws([asking(n) for n in numbers], record, realization=number, **how)
                await LogprobSampler(shared, pool).draw(draws)

            tasks = [asyncio.create_task(play(number, numbers)) for number, numbers in enumerate(steps)]
            if stop_at is not None:
                asyncio.get_running_loop().call_later(stop_at, pool.stop, Interrupted("enough"))
            await asyncio.wait(tasks)
        return [task.exception() for task in tasks]

    return Sitting(answers, backend.requests, run_in_virtual_time(main()))


def played(script, *steps, **how):
    found = sit(script, *steps, **how)
    assert found.errors == [None] * len(steps)
    return found


# What is asked


def test_the_request_asks_for_the_odds_of_yes_and_no():
    found = played(lambda _: odds(0.5), [3])
    (request,) = found.requests
    assert request.messages == (("user", "question 3"),)
    assert (request.answers, request.logprobs, request.schema) == (("yes", "no"), True, None)
    assert (request.n, request.temperature, request.max_tokens) == (1, 1.0, 7)
    assert request.metadata["profile"] == "01101"
    assert 0 <= request.seed < 2**63
    assert request.draw == NO_DRAW


def test_a_question_at_a_temperature_is_asked_once_however_many_draw_from_it():
    async def slowly(request):
        await asyncio.sleep(5)
        return odds(0.5)

    step = [0, 1, 0, 1, 1, 0]
    found = played(slowly, step, step, step, temperatures=[0.7, 0.7, 0.9, 0.9, 0.9, 0.7])
    asked = Counter((number_of(request), request.temperature) for request in found.requests)
    assert asked == {(number, temperature): 1 for number in (0, 1) for temperature in (0.7, 0.9)}
    assert len({request.seed for request in found.requests}) == 4
    assert [len(answers) for answers in found.answers] == [6, 6, 6]


def test_only_the_draws_to_be_made_are_made_and_asked_for():
    found = played(lambda _: odds(0.5), [0, 1, 2], todo=[2])
    assert found.answers[0].keys() == {2}
    assert [number_of(request) for request in found.requests] == [2]


# The probability of a yes


@given(p=st.floats(0.0, 1.0))
def test_the_probability_is_that_of_the_log_probabilities(p):
    assert probability_of_yes(odds(p)) == pytest.approx(p, abs=1e-15)


@given(p=st.floats(0.001, 1.0), mass=st.floats(0.01, 1.0))
def test_what_is_neither_yes_nor_no_is_left_out(p, mass):
    logprobs = {"yes": math.log(p * mass), "no": math.log((1 - p) * mass) if p < 1 else -math.inf}
    assert probability_of_yes(Reply(("yes",), logprobs=logprobs)) == pytest.approx(p)


def test_rounding_above_one_does_no_harm():
    assert probability_of_yes(Reply(("yes",), logprobs={"yes": 1e-7})) == 1.0
    assert probability_of_yes(Reply(("no",), logprobs={"no": 1e-7})) == 0.0


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"maybe": -0.1}, {"yes": -math.inf, "no": -math.inf}, {"yes": math.nan, "no": math.nan}],
)
def test_no_odds_are_no_probability(logprobs):
    assert probability_of_yes(Reply(("yes",), logprobs=logprobs)) is None


# Draws


@given(p=st.floats(0.0, 1.0))
def test_a_draw_is_a_yes_if_its_own_number_is_below_the_probability(p):
    found = played(lambda _: odds(p), [0] * 40)
    seeds = step_draws([question(0)] * 40, None).seeds
    exact = probability_of_yes(odds(p))
    assert found.decisions[0] == {i: int(unit(mix(seed)) < exact) for i, seed in enumerate(seeds)}


@pytest.mark.parametrize(("p", "decision"), [(0.0, 0), (1.0, 1)])
def test_what_is_certain_is_certain(p, decision):
    assert set(played(lambda _: odds(p), [0] * 200).decisions[0].values()) == {decision}


def test_draws_are_those_that_mode_call_makes_on_the_mock():
    questions = [question(i, f"{i % 32:05b}") for i in range(64)] * 20
    decisions = {}

    async def main(mode):
        backend = make_backend("mock", {})
        async with Pool(8) as pool:
            sampler = (
                CallSampler(backend, pool, run_seed=RUN_SEED, max_asks=1)
                if mode == "call"
                else LogprobSampler(Odds(backend), pool)
            )
            found = decisions[mode] = {}
            await sampler.draw(step_draws(questions, lambda i, answer: found.update({i: answer.decision})))

    for mode in ("call", "logprobs"):
        run_in_virtual_time(main(mode))
    assert len(decisions["call"]) == 1280
    assert decisions["logprobs"] == decisions["call"]
    assert 0.2 < sum(decisions["call"].values()) / 1280 < 0.8


# What is recorded


def test_draws_that_are_recorded_at_once_are_those_that_are_recorded_one_by_one():
    def script(request):
        return RequestRejected("no") if number_of(request) == 3 else odds(0.1 + number_of(request) / 5)

    async def second_step(*, at_once):
        found, drawn = {}, []

        def record_drawn(positions, answers, which, decisions):
            drawn.extend(positions)
            for i, n, decision in zip(positions, which, decisions, strict=True):
                found[i] = answers[n]._replace(decision=decision)

        async with Pool(2) as pool:
            sampler = LogprobSampler(Odds(ScriptedBackend(script)), pool)
            for step, record in ((1, {}.__setitem__), (2, found.__setitem__)):
                draws = step_draws([question(n % 5) for n in range(200)], record, step=step)
                await sampler.draw(
                    replace(draws, record_drawn=record_drawn if at_once and step > 1 else None)
                )
        return found, drawn

    one_by_one, _ = run_in_virtual_time(second_step(at_once=False))
    together, drawn = run_in_virtual_time(second_step(at_once=True))
    assert drawn == [i for i in range(200) if i % 5 != 3]
    assert {each.decision for each in together.values()} == {0, 1, None}
    assert [together[i]._replace(latency_s=0.0) for i in range(200)] == [
        one_by_one[i]._replace(latency_s=0.0) for i in range(200)
    ]


def test_an_answer_holds_the_odds_and_no_rationale():
    (answer,) = played(lambda _: odds(0.25), [0]).answers[0].values()
    assert json.loads(answer.text) == {"logprobs": {"yes": math.log(0.25), "no": math.log(0.75)}}
    assert (answer.rationale, answer.model, answer.fingerprint) == ("", "model-1", "fp-1")
    assert (answer.missing, answer.asks, answer.cached) == (None, 1, False)
    assert answer.latency_s >= 0.0


def test_the_cost_is_borne_once():
    script = [odds(0.5, attempts=3, troubles=("timeout", "timeout"))]
    found = played(script, [0] * 5, [0] * 5)
    answers = [answer for answers in found.answers for answer in answers.values()]
    assert sorted(answer.attempts for answer in answers) == [*[0] * 9, 3]
    assert sorted(answer.prompt_tokens for answer in answers) == [*[0] * 9, 10]
    assert sorted(answer.completion_tokens for answer in answers) == [*[0] * 9, 1]
    assert sum(len(answer.troubles) for answer in answers) == 2
    assert {answer.asks for answer in answers} == {1}


def test_odds_from_the_cache_say_so():
    found = played(lambda _: odds(0.5, cached=True, attempts=0), [0] * 3)
    assert all(answer.cached and answer.attempts == 0 for answer in found.answers[0].values())


# One list for all temperatures

SPELT = Listed({"yes": [math.log(0.5), math.log(0.1)], "no": [math.log(0.38)]}, 0.02, 3)


def spelt(listed=SPELT, **changes):
    """The reply of a backend that lists tokens, at temperature 1."""
    logprobs, unlisted = listed.at(1.0)
    return Reply(("yes",), 10, 1, "m", logprobs=logprobs, unlisted=unlisted, listed=listed)._replace(
        **changes
    )


LISTS = {"listing": [""]}


@given(
    weights=st.lists(st.floats(0.001, 1.0), min_size=3, max_size=6),
    temperature=st.sampled_from((0.3, 0.7, 1.0, 1.3, 2.0)),
)
def test_a_list_gives_at_every_temperature_what_sampling_its_tokens_would(weights, temperature):
    p = [each / sum(weights) for each in weights]
    logprobs, unlisted = Listed({"yes": [*map(math.log, p[:2])], "no": [*map(math.log, p[2:])]}, 0.0, 6).at(
        temperature
    )
    tempered = [each ** (1 / temperature) for each in p]
    assert math.exp(logprobs["yes"]) == pytest.approx(sum(tempered[:2]) / sum(tempered))
    assert (math.fsum(map(math.exp, logprobs.values())), unlisted) == (pytest.approx(1.0), 0.0)


def test_a_backend_that_lists_tokens_is_asked_once_for_all_temperatures():
    temperatures = [0.7, 1.0, 1.3, 0.0]
    found = played(lambda _: spelt(), [0] * 4, [0] * 4, temperatures=temperatures, odds_of=LISTS)
    assert [request.temperature for request in found.requests] == [1.0]
    for answers in found.answers:
        for answer, temperature in zip(answers.values(), temperatures, strict=True):
            assert json.loads(answer.text)["logprobs"] == SPELT.at(temperature)[0]
    paid = [answer.attempts for answers in found.answers for answer in answers.values()]
    assert sorted(paid) == [*[0] * 7, 1]


def test_equal_prompts_of_two_conditions_are_asked_once_where_tokens_are_listed():
    def asking(number):
        return question(number)._replace(messages=(("user", "question 0"),))

    found = [played(lambda _: spelt(), [0, 1], asking=asking, odds_of=how) for how in (LISTS, {})]
    assert [len(each.requests) for each in found] == [1, 2]


@pytest.mark.parametrize("temperatures", [(0.7, 1.3), (0.7, 1.0, 1.3)])
def test_where_one_list_does_not_tell_each_temperature_is_asked_and_all_of_it_is_paid_once(temperatures):
    def script(request):
        return odds(0.0 if request.temperature == 1.0 else 1.0)

    n = len(temperatures)
    found = played(script, [0] * 2 * n, temperatures=[*temperatures] * 2, odds_of=LISTS)
    assert Counter(request.temperature for request in found.requests) == {0.7: 1, 1.0: 1, 1.3: 1}
    assert found.decisions == [{i: int(temperatures[i % n] != 1.0) for i in range(2 * n)}]
    answers = found.answers[0].values()
    assert sum(answer.attempts for answer in answers) == 3
    assert sum(answer.prompt_tokens for answer in answers) == 30


def test_bounds_are_those_of_the_draws_own_temperature():
    wide = Listed({"yes": [math.log(0.6)], "no": [math.log(0.36)]}, 0.04, 64)
    found = played(
        lambda request: spelt(wide) if number_of(request) == 2 else spelt(),
        [0, 1, 2, 2],
        temperatures=[0.7, 0.7, 0.7, 2.0],
        odds_of=LISTS,
    )
    assert [answer.missing for answer in found.answers[0].values()] == [None, None, None, "low_mass"]


def test_a_list_that_fails_is_missing_at_every_temperature_and_its_calls_are_counted_once():
    error = TransientError("down", kind="server_error")
    error.attempts = 4
    found = played(
        lambda request: error if number_of(request) == 1 else spelt(),
        [0, 1, 1, 1],
        temperatures=[1.0, 0.7, 0.9, 0.7],
        odds_of=LISTS,
    )
    failed = [found.answers[0][i] for i in (1, 2, 3)]
    assert [answer.missing for answer in failed] == ["failed"] * 3
    assert sorted(answer.attempts for answer in failed) == [0, 0, 4]
    assert len(found.requests) == 2


def test_a_voice_that_lists_no_tokens_is_asked_at_each_temperature_beside_one_that_does():
    found = played(
        lambda request: odds(1.0) if "voice" in request.metadata else spelt(),
        [0, 0, OTHERS, OTHERS],
        temperatures=[0.7, 0.9] * 2,
        odds_of=LISTS,
    )
    asked = Counter((number_of(request), request.temperature) for request in found.requests)
    assert asked == {(0, 1.0): 1, (OTHERS, 0.7): 1, (OTHERS, 0.9): 1}


def test_too_little_at_the_temperature_of_the_draws_stops_the_run():
    wide = Listed({"yes": [math.log(0.6)], "no": [math.log(0.36)]}, 0.04, 64)
    found = sit(lambda _: spelt(wide), list(range(500)), temperatures=[2.0] * 500, odds_of=LISTS, workers=4)
    assert isinstance(found.errors[0], BackendUnusable)
    assert len(found.requests) <= 8 + 4


# Failures


@pytest.mark.parametrize(
    "reply", [Reply(("yes",)), Reply(("Yes.",), finish=("length",)), Reply(("x",), logprobs={})]
)
def test_a_backend_without_log_probabilities_is_refused_with_the_way_out(reply):
    found = sit(lambda _: reply, [0, 0], [0])
    for error in found.errors:
        assert isinstance(error, BackendUnusable)
        assert error.kind == "no_logprobs"
        assert "'scripted'" in str(error)
        assert "sampler.mode=choices" in str(error)
        assert "sampler.mode=call" in str(error)
    assert len(found.requests) == 1


@pytest.mark.parametrize(
    ("finish", "missing"), [("refusal", "refused"), ("content_filter", "content_filter")]
)
def test_a_question_that_the_model_declines_is_missing_and_stops_no_other(finish, missing):
    def script(request):
        declined = number_of(request) == 1
        return Reply(("I would rather not",), 10, 4, finish=(finish,)) if declined else odds(1.0)

    found = played(script, [0, 1, 1, 0])
    answers = found.answers[0]
    assert found.decisions[0] == {0: 1, 1: None, 2: None, 3: 1}
    for i in (1, 2):
        assert (answers[i].missing, answers[i].text) == (missing, "I would rather not")
        assert answers[i].troubles == ((missing, "", "I would rather not"),)
    assert [answers[i].attempts for i in (1, 2)] == [1, 0]
    assert [answers[i].prompt_tokens for i in (1, 2)] == [10, 0]


def test_odds_count_however_the_reply_ended():
    found = played(lambda _: odds(1.0, finish=("length",)), [0])
    assert found.decisions[0] == {0: 1}


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (TransientError("down", kind="server_error"), "failed"),
        (RequestRejected("too long", kind="context_overflow"), "context_overflow"),
    ],
)
def test_a_failed_question_is_missing_for_its_draws_alone_and_its_calls_are_counted_once(error, missing):
    error.attempts = 4

    def script(request):
        return error if number_of(request) == 1 else odds(1.0)

    found = played(script, [0, 1, 1], [1])
    assert found.decisions == [{0: 1, 1: None, 2: None}, {0: None}]
    answers = [found.answers[0][1], found.answers[0][2], found.answers[1][0]]
    assert {answer.missing for answer in answers} == {missing}
    assert sorted(answer.attempts for answer in answers) == [0, 0, 4]
    assert all(answer.troubles[-1] == (error.kind, str(error), None) for answer in answers)


def test_an_unusable_backend_ends_all_who_need_it_and_what_is_known_is_used():
    error = BackendUnusable("wrong key")
    found = sit(lambda request: error if number_of(request) == 1 else odds(1.0), [0, 1], [1], [0], workers=1)
    assert found.errors == [error, error, None]
    assert found.decisions == [{0: 1}, {}, {0: 1}]


def test_a_missing_answer_that_stops_the_run_costs_no_other_draw():
    def script(request):
        return TransientError("down") if number_of(request) == 1 else odds(1.0)

    found = sit(script, [1, 0, 1, 0], on_missing=RunStopped("policy"))
    assert isinstance(found.errors[0], RunStopped)
    assert found.decisions[0] == {1: 1, 3: 1}


def test_a_stop_reaches_all_who_wait_and_what_was_in_flight_is_recorded():
    async def slowly(request):
        await asyncio.sleep(5)
        return odds(1.0)

    found = sit(slowly, [0, 1, 2], [2], [0], workers=1, stop_at=2)
    assert [type(error) for error in found.errors] == [Interrupted] * 3
    assert found.decisions == [{0: 1}, {}, {0: 1}]


# Probabilities of which too little is known


def listed(yes, no, unlisted=None, **changes):
    """The reply of a server that lists so much on yes and on no; None for what it does not list."""
    logprobs = {"yes": yes and math.log(yes), "no": no and math.log(no)}
    found = {answer: each for answer, each in logprobs.items() if each is not None}
    return Reply(("yes",), 10, 1, "model-1", logprobs=found, unlisted=unlisted)._replace(**changes)


def but(number, reply):
    """A model that answers every question but one as it should."""
    return lambda request: reply if number_of(request) == number else odds(1.0)


TOO_LITTLE = {
    "little mass": listed(0.4, 0.2),
    "a sampled token alone": listed(0.7, None),
    "no mass on the answers": listed(1e-3, 1e-4, 0.0),
    "an answer that is not listed": listed(0.95, None),
    "the other that is not listed": listed(None, 0.98, 0.015),
    "much that is not listed, at this temperature": listed(0.6, 0.35, 0.3),
}


@pytest.mark.parametrize("reply", TOO_LITTLE.values(), ids=TOO_LITTLE.keys())
def test_a_probability_of_which_too_little_is_known_is_missing_with_its_mass(reply):
    found = played(but(2, reply), [0, 1, 2, 2, 3])
    assert found.decisions == [{0: 1, 1: 1, 2: None, 3: None, 4: 1}]
    for i in (2, 3):
        answer = found.answers[0][i]
        assert answer.missing == "low_mass"
        assert answer.mass == pytest.approx(min(1.0, sum(map(math.exp, reply.logprobs.values()))))
        (trouble,) = answer.troubles
        assert (trouble[0], trouble[2]) == ("low_mass", answer.text)
        assert trouble[1]
    assert [found.answers[0][i].attempts for i in (2, 3)] == [1, 0]


@pytest.mark.parametrize("reply", TOO_LITTLE.values(), ids=TOO_LITTLE.keys())
def test_a_set_up_that_gives_too_little_stops_the_run_in_words_and_records_none_of_it(reply):
    found = sit(lambda _: reply, [0, 1], [2, 3], workers=4)
    assert found.decisions == [{}, {}]
    for error in found.errors:
        assert isinstance(error, BackendUnusable)
        assert error.kind == "low_mass"
        for way_out in (
            "backend.top_logprobs",
            "backend.constrain",
            "sampler.least_mass",
            "sampler.mode=choices",
        ):
            assert way_out in str(error)


def test_a_set_up_that_gives_too_little_is_not_asked_all_questions():
    found = sit(lambda _: listed(0.7, None), list(range(500)), workers=4)
    assert isinstance(found.errors[0], BackendUnusable)
    assert len(found.requests) <= 8 + 4


def test_where_most_questions_have_no_probability_those_that_have_one_are_kept():
    def script(request):
        return odds(1.0) if number_of(request) < 3 else listed(0.5, 0.1)

    found = sit(script, list(range(7)), workers=7)
    assert found.decisions == [{0: 1, 1: 1, 2: 1}]
    assert isinstance(found.errors[0], BackendUnusable)


def test_whoever_has_no_probability_first_waits_for_those_who_are_being_asked():
    async def script(request):
        if number_of(request) == 0:
            return listed(0.3, 0.3)
        await asyncio.sleep(5)
        return odds(0.0)

    found = played(script, [0], [1], [2], workers=3)
    assert found.decisions == [{0: None}, {0: 0}, {0: 0}]


def test_probabilities_of_earlier_sittings_count_for_the_set_up():
    found = played(lambda _: listed(0.3, 0.3), [5], odds_of={"n_sure": {"": 1}})
    assert found.decisions == [{0: None}]


def test_a_voice_that_gives_too_little_is_not_excused_by_what_another_gives():
    few = [OTHERS, OTHERS + 1]
    found = sit(
        lambda request: listed(0.3, 0.3) if request.metadata.get("voice") else odds(1.0),
        [*range(20), *few],
        odds_of={"n_sure": {"": 50}},
    )
    (error,) = found.errors
    assert isinstance(error, BackendUnusable)
    assert "(voice other)" in str(error)
    assert found.decisions == [dict.fromkeys(range(20), 1)]
    sure = played(but(3, listed(0.3, 0.3)), [3], few, odds_of={"n_sure": {"": 1, "other": 0}})
    assert sure.decisions == [{0: None}, {0: 1, 1: 1}]


@pytest.mark.parametrize(
    ("reply", "p_yes"),
    [
        (listed(0.6, 0.35), 0.6 / 0.95),
        (listed(0.9, 0.1), 0.9),
        (listed(0.999, None), 1.0),
        (listed(None, 0.93, 0.001), 0.0),
        (listed(0.95, None, 0.0), 1.0),
    ],
)
def test_what_is_not_listed_does_no_harm_where_it_cannot_matter(reply, p_yes):
    found = played(lambda _: reply, [0] * 60)
    seeds = step_draws([question(0)] * 60, None).seeds
    assert found.decisions[0] == {i: int(unit(mix(seed)) < p_yes) for i, seed in enumerate(seeds)}
    (mass,) = {answer.mass for answer in found.answers[0].values()}
    assert mass == pytest.approx(sum(map(math.exp, reply.logprobs.values())))


def test_odds_behind_a_thought_in_the_text_are_none():
    found = played(but(1, odds(0.5, texts=("Yes, say I.</think> No",))), [0, 1])
    assert (found.decisions, found.answers[0][1].missing) == ([{0: 1, 1: None}], "no_logprobs")


def test_the_bounds_stand_beside_the_odds():
    (answer,) = played(lambda _: listed(0.57, 0.38), [0]).answers[0].values()
    assert json.loads(answer.text)["between"] == pytest.approx([0.57, 0.62])


def test_the_least_mass_can_be_set():
    little = {"least_mass": 0.5}
    assert played(lambda _: listed(0.3, 0.2, 0.01), [0] * 3, odds_of=little).decisions[0]
    found = sit(lambda _: listed(0.3, 0.2, 0.2), [0] * 3, odds_of=little)
    assert "anything from 0.429 to 0.714" in str(found.errors[0])
    found = sit(lambda _: listed(0.6, 0.35), [0], odds_of={"least_mass": 0.96})
    assert "sampler.least_mass 0.96" in str(found.errors[0])


def test_why_there_are_no_log_probabilities_is_told_in_the_backends_words():
    found = sit(lambda _: Reply(("yes",), doubt="the listed tokens spell something else"), [0])
    assert "the listed tokens spell something else" in str(found.errors[0])


# What can be played


@pytest.mark.parametrize(
    ("rationale", "conditions"),
    [("inline", "({},)"), ("afterwards", "({},)"), ("none", "({}, {'rationale': 'inline'})")],
)
def test_a_design_that_wants_rationales_is_refused(tmp_path, rationale, conditions):
    path = tmp_path / "design.py"
    path.write_text(DESIGN.format(rationale=rationale, conditions=conditions))
    settings = Settings(sampler=SamplerSettings(mode="logprobs"))
    with pytest.raises(DesignError, match="rationale=none"):
        prepare(Source.read(str(path)), settings, tmp_path / "run")


@pytest.mark.parametrize(
    ("mode", "rationale"), [("logprobs", "none"), ("choices", "inline"), ("call", "afterwards")]
)
def test_other_designs_are_not(tmp_path, mode, rationale):
    path = tmp_path / "design.py"
    path.write_text(DESIGN.format(rationale=rationale, conditions="({},)"))
    settings = Settings(sampler=SamplerSettings(mode=mode))
    assert prepare(Source.read(str(path)), settings, tmp_path / "run").plan
