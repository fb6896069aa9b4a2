"""Backend ``vllm`` against doubles with vLLM's manners, old and new."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.backend import Backend, Reply, Request, make_backend
from agentnet.errors import BackendError, BackendUnusable, ConfigurationError, TransientError
from agentnet.testing import CHECKS, ScriptedBackend, Subject, run_check
from agentnet.testing.faults import FaultPlan
from agentnet.testing.server import LIKE_VLLM, BadAsk, Manners, ServerDouble, start_server
from agentnet_backends.vllm import VllmBackend

KEY = "vk-1234567890-do-not-show"
REQUEST = Request((("user", "Do you share it? Answer yes or no."),), temperature=0.7, max_tokens=16, seed=5)
CLOSED = REQUEST._replace(answers=("yes", "no"))
WEIGHED = CLOSED._replace(logprobs=True)

OLD = replace(LIKE_VLLM, constraints=frozenset({"response_format", "guided_choice"}), token_ids=False)


def made(base_url, environ=None, **options):
    return VllmBackend.from_options({"base_url": base_url, **options}, environ or {})


def replies_of(double, *requests, environ=None, **options):
    async def main():
        async with start_server(double) as server:
            backend = made(server.base_url, environ, **options)
            try:
                return [await backend.complete(request) for request in requests], backend
            finally:
                await backend.aclose()

    return asyncio.run(main())


def failure_of(double, request=REQUEST, **options):
    with pytest.raises(BackendError) as caught:
        replies_of(double, request, **options)
    return caught.value


def told(p_yes):
    logs = {"yes": math.log(p_yes), "no": math.log1p(-p_yes)}
    return ScriptedBackend(lambda request: Reply(((request.answers or ("Hello.",))[0],), logprobs=logs))


# The model


def test_the_only_model_of_the_server_is_taken_unless_one_is_named():
    double = ServerDouble(models=("llama",), manners=LIKE_VLLM)
    (reply,), backend = replies_of(double, REQUEST)
    assert reply.model == backend.model_name == "llama"
    assert double.ledger.kinds == {"ok": 2}


def test_a_model_that_is_listed_twice_is_one_model():
    (reply,), _ = replies_of(ServerDouble(models=("llama", "llama"), manners=LIKE_VLLM), REQUEST)
    assert reply.model == "llama"


def test_a_named_model_is_not_looked_up():
    double = ServerDouble(models=("a", "b"), manners=LIKE_VLLM)
    (reply,), _ = replies_of(double, REQUEST, model="b")
    assert reply.model == "b"
    assert double.ledger.calls == 1


@pytest.mark.parametrize("models", [(), ("a", "b"), tuple(map(str, range(5_000)))])
def test_of_several_models_one_must_be_named(models):
    failure = failure_of(ServerDouble(models=models, manners=LIKE_VLLM))
    assert isinstance(failure, BackendUnusable)
    assert failure.kind == "unknown_model"
    assert "backend.model" in str(failure)
    assert len(str(failure)) < 500


def test_everybody_who_waits_for_the_model_shares_one_look_up():
    double = ServerDouble(manners=LIKE_VLLM, latency_s=0.01)
    replies_of_many = [CLOSED._replace(seed=seed) for seed in range(20)]

    async def main():
        async with start_server(double) as server:
            backend = made(server.base_url)
            await asyncio.gather(*map(backend.complete, replies_of_many))
            await backend.aclose()

    asyncio.run(main())
    assert double.ledger.calls == 20 + 2


def test_the_model_can_be_looked_up_before_the_first_request():
    async def main():
        async with start_server(ServerDouble(models=("llama",), manners=LIKE_VLLM)) as server:
            backend = made(server.base_url)
            await backend.prepare()
            await backend.aclose()
            return backend.model_name, server.ledger.calls

    assert asyncio.run(main()) == ("llama", 1)


def test_the_model_name_is_never_a_guess():
    async def main():
        async with start_server(ServerDouble(models=("llama",), manners=LIKE_VLLM)) as server:
            backend = made(server.base_url)
            # As a program outside the server's event loop sees it.
            name = await asyncio.to_thread(lambda: backend.model_name)
            return name, backend.model_name, server.ledger.calls

    assert asyncio.run(main()) == ("llama", "llama", 1)


def test_a_server_that_does_not_run_has_no_model_name():
    backend = made("http://127.0.0.1:9/v1")
    with pytest.raises(TransientError, match="is the server running"):
        _ = backend.model_name


def test_a_failed_look_up_is_tried_again_by_the_next_request():
    async def main():
        async with start_server(ServerDouble(manners=LIKE_VLLM, key=KEY)) as server:
            backend = made(server.base_url)
            with pytest.raises(BackendUnusable):
                await backend.complete(REQUEST)
            server.key = None
            reply = await backend.complete(REQUEST)
            await backend.aclose()
            return reply.model

    assert asyncio.run(main()) == "double"


# What is sent


def test_sampling_is_the_models_own_whatever_its_makers_recommend():
    options = made("http://127.0.0.1:9/v1").options
    assert options.sampling() == {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


def test_at_temperature_zero_one_sample_is_asked_for():
    double = ServerDouble(lambda messages, seed, i: "Yes", manners=LIKE_VLLM)
    (reply,), _ = replies_of(double, REQUEST._replace(n=4, temperature=0.0))
    assert reply.texts == ("Yes",)


def test_its_key_is_sent_if_there_is_one():
    (reply,), _ = replies_of(ServerDouble(manners=LIKE_VLLM, key=KEY), REQUEST, environ={"VLLM_API_KEY": KEY})
    assert reply.model == "double"
    failure = failure_of(ServerDouble(manners=LIKE_VLLM, key=KEY))
    assert failure.kind == "unauthorized"
    assert "VLLM_API_KEY is not set" in str(failure)


# Answers


@pytest.mark.parametrize(
    ("manners", "constraint"),
    [
        (LIKE_VLLM, "structured_outputs"),
        (OLD, "guided_choice"),
        (replace(LIKE_VLLM, constraints=frozenset({"response_format"})), "response_format"),
    ],
)
def test_the_server_is_tried_once_for_the_constraint_that_it_heeds(manners, constraint):
    double = ServerDouble(lambda messages, seed, i: i % 2 == 0, manners=manners)
    replies, backend = replies_of(
        double, *[CLOSED._replace(n=4, seed=seed) for seed in range(3)], model="double"
    )
    assert {reply.texts for reply in replies} == {("yes", "no", "yes", "no")}
    assert asyncio.run(backend._constraints.get("double")).name == constraint
    n_tried = ["structured_outputs", "guided_choice", "response_format"].index(constraint) + 1
    assert double.ledger.calls == 3 + n_tried


class Strict(ServerDouble):
    """Refuses fields that it does not know, in words of its own."""

    words = ""

    def _asked(self, raw):
        body = super()._asked(raw)
        if "structured_outputs" in body:
            raise BadAsk(self.words, "structured_outputs")
        return body


@pytest.mark.parametrize("words", ["Extra inputs are not permitted", "that is an odd field"])
def test_a_server_that_refuses_an_unknown_field_does_not_heed_it(words):
    double = Strict(lambda messages, seed, i: True, manners=OLD)
    double.words = words
    (reply,), backend = replies_of(double, CLOSED, model="double")
    assert reply.texts == ("yes",)
    assert asyncio.run(backend._constraints.get("double")).name == "guided_choice"


def test_a_server_that_heeds_no_constraint_is_refused_unless_none_is_wanted():
    deaf = Manners(constraints=frozenset(), token_ids=True)
    failure = failure_of(ServerDouble(lambda *_: "Yes, I do.", manners=deaf), CLOSED)
    assert isinstance(failure, BackendUnusable)
    assert failure.kind == "unsupported"
    assert "backend.constrain" in str(failure)
    (reply,), _ = replies_of(ServerDouble(lambda *_: "Yes, I do.", manners=deaf), CLOSED, constrain="none")
    assert reply.texts == ("Yes, I do.",)


def test_a_chosen_constraint_is_not_tried_out():
    double = ServerDouble(manners=LIKE_VLLM)
    replies_of(double, CLOSED, model="double", constrain="structured_outputs")
    assert double.ledger.calls == 1


@pytest.mark.parametrize("fault", ["http_503", "unauthorized", "unknown_model", "wrong_schema"])
def test_a_trial_that_fails_says_nothing_about_the_server(fault):
    double = ServerDouble(manners=LIKE_VLLM, faults=FaultPlan(script=(fault,)))
    failure_of(double, CLOSED, model="double")
    assert double.ledger.kinds == {fault: 1}


def test_a_trial_with_an_empty_text_is_no_proof():
    double = ServerDouble(manners=LIKE_VLLM, faults=FaultPlan(script=("empty",)))
    _, backend = replies_of(double, CLOSED, model="double")
    assert asyncio.run(backend._constraints.get("double")).name == "response_format"


# Log-probabilities


@settings(max_examples=20, deadline=None)
@given(st.floats(0.001, 0.999), st.floats(0.3, 2.0), st.sampled_from([LIKE_VLLM, OLD]))
def test_probabilities_are_those_of_the_law_at_any_temperature(p_yes, temperature, manners):
    double = ServerDouble(told(p_yes), manners=manners)
    (reply,), _ = replies_of(double, WEIGHED._replace(temperature=temperature), model="double")
    assert math.exp(reply.logprobs["yes"]) == pytest.approx(p_yes)
    assert math.exp(reply.logprobs["no"]) == pytest.approx(1.0 - p_yes)


def plan_of(manners, answers=("yes", "no"), **options):
    async def main():
        async with start_server(ServerDouble(told(0.3), manners=manners)) as server:
            backend = made(server.base_url, model="double", **options)
            try:
                return await backend._plans.get((answers, True)), server.ledger
            finally:
                await backend.aclose()

    return asyncio.run(main())


def test_named_tokens_are_asked_for_where_the_server_can_and_the_best_twenty_elsewhere():
    plan, _ = plan_of(LIKE_VLLM)
    assert set(plan.logprobs) == {"logprobs", "logprob_token_ids"}
    assert len(plan.logprobs["logprob_token_ids"]) == 5
    assert plan_of(OLD)[0].logprobs == {"logprobs": True, "top_logprobs": 20}


def test_a_server_without_a_tokenizer_is_asked_for_the_best_twenty():
    plan, _ = plan_of(replace(LIKE_VLLM, token_ids=False))
    assert plan.logprobs == {"logprobs": True, "top_logprobs": 20}


def test_a_server_that_refuses_token_ids_is_asked_for_the_best_twenty():
    class Refusing(ServerDouble):
        def _asked(self, raw):
            body = super()._asked(raw)
            if "logprob_token_ids" in body:
                raise BadAsk("logprob_token_ids: not here", "logprob_token_ids")
            return body

    double = Refusing(told(0.3), manners=LIKE_VLLM)
    (reply,), _ = replies_of(double, WEIGHED, model="double")
    assert math.exp(reply.logprobs["yes"]) == pytest.approx(0.3)


def test_token_ids_that_miss_a_beginning_are_not_relied_upon():
    # A tokenizer that splits every text never names a token; then a server that ignores the field.
    plan, _ = plan_of(LIKE_VLLM, answers=("1a2b", "3c4d"))
    assert plan.logprobs == {"logprobs": True, "top_logprobs": 20}


def test_a_server_that_ignores_token_ids_is_asked_for_the_best_twenty():
    class Ignorant(ServerDouble):
        async def _tokenize(self, request):
            return self._json("ok", 200, {"tokens": [1]})

    async def main():
        async with start_server(Ignorant(told(0.3), manners=LIKE_VLLM)) as server:
            backend = made(server.base_url, model="double")
            try:
                return (await backend._plans.get((("yes", "no"), True))).logprobs
            finally:
                await backend.aclose()

    assert asyncio.run(main()) == {"logprobs": True, "top_logprobs": 20}


@pytest.mark.parametrize("answer", ["nothing", {"tokens": "x"}, {"tokens": [1, 2]}, {"tokens": ["x"]}, []])
def test_an_odd_tokenizer_is_not_used(answer):
    class Odd(ServerDouble):
        async def _tokenize(self, request):
            return self._json("ok", 200, answer)

    double = Odd(told(0.3), manners=LIKE_VLLM)
    (reply,), _ = replies_of(double, WEIGHED, model="double")
    assert math.exp(reply.logprobs["yes"]) == pytest.approx(0.3)


def test_answers_with_more_beginnings_than_the_server_takes_token_ids_are_asked_for_by_rank():
    many = tuple(f"{letter}{'x' * 30}" for letter in "abcdef")
    plan, ledger = plan_of(LIKE_VLLM, answers=many, constrain="structured_outputs")
    assert len(plan.logprobs.get("logprob_token_ids", [])) <= 128
    assert ledger.calls <= 130


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"probe": True}, "backend.probe is no option of vllm"),
        ({"api_key": KEY}, "backend.api_key is refused"),
        ({"repetition_penalty": 0.0}, "backend.repetition_penalty"),
        ({"constrain": "magic"}, "backend.constrain"),
        ({"key_env": "MY_KEY"}, "MY_KEY is not set"),
    ],
)
def test_an_impossible_option_is_named(options, words):
    with pytest.raises(ConfigurationError) as caught:
        VllmBackend.from_options(options, {})
    assert words in str(caught.value)
    assert KEY not in str(caught.value)


def test_the_plug_in_is_found_by_its_name(monkeypatch):
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    backend = make_backend("vllm", {"model": "m"})
    assert isinstance(backend, Backend)
    assert (backend.name, backend.options.base_url) == ("vllm", ("http://127.0.0.1:8000/v1",))


@pytest.mark.parametrize("listed", ["models", {"data": "none"}, {"data": [{"id": 7}, "x"]}, []])
def test_a_list_of_models_that_is_none_names_no_model(listed):
    class Odd(ServerDouble):
        async def _list_models(self, request):
            return self._json("ok", 200, listed)

    assert failure_of(Odd(manners=LIKE_VLLM)).kind == "unknown_model"


def test_a_list_of_models_that_is_no_json_is_transient():
    class Odd(ServerDouble):
        async def _list_models(self, request):
            return self._raw("ok", 200, b"<html>")

    assert failure_of(Odd(manners=LIKE_VLLM)).kind == "page"


def test_a_mark_of_the_order_of_bytes_ahead_of_a_list_of_models_is_passed_over():
    class Odd(ServerDouble):
        async def _list_models(self, request):
            return self._raw("ok", 200, b'\xef\xbb\xbf{"data": [{"id": "double"}]}')

    (reply,), _ = replies_of(Odd(manners=LIKE_VLLM), REQUEST)
    assert reply.model == "double"


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract_of_backends(check):
    double = ServerDouble(manners=LIKE_VLLM)

    def run(main):
        async def with_server():
            async with start_server(double):
                await main

        asyncio.run(with_server())

    subject = Subject(
        lambda: made(double.base_url, model="double"),
        deterministic=True,
        failing=Request((("user", "x"),), temperature=99.0),
        count_calls=lambda backend: double.ledger.calls,
        run=run,
    )
    run_check(check, subject)
