"""The server double: OpenAI's protocol, told by its published schemas and its own client; faults; counts.

Long, because the double is what all other tests of HTTP rely upon.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import Reply, Request
from agentnet.errors import BackendUnusable, ConfigurationError, RequestRejected, TransientError
from agentnet.testing import ScriptedBackend
from agentnet.testing.faults import FAULTS, FaultPlan
from agentnet.testing.server import (
    LIKE_OPENAI,
    LIKE_VLLM,
    Manners,
    ServerDouble,
    ServerLimits,
    body_digest,
    coin,
    serve,
    start_server,
)
from agentnet.testing.server.asks import tokens_of
from agentnet.testing.server.completions import example_of
from agentnet.testing.server.embeddings import embedding
from agentnet.testing.server.limits import Gate

QUESTION = [
    {"role": "system", "content": "You are curious."},
    {"role": "user", "content": "Share it? yes or no"},
]
YES_NO = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


def in_format(schema):
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}


async def post(session, url, body, path="/chat/completions"):
    raw = (
        body
        if isinstance(body, bytes)
        else json.dumps({"model": "double", "messages": QUESTION, **body}).encode()
    )
    async with session.post(f"{url}{path}", data=raw) as response:
        return response.status, response.headers, await response.json(content_type=None)


def exchange(double, *bodies, path="/chat/completions"):
    """Send bodies one after another; return the double's answers."""

    async def main():
        import aiohttp

        async with start_server(double) as server, aiohttp.ClientSession() as session:
            url = (
                server.base_url if path.startswith("/chat") or path == "/embeddings" else server.base_url[:-3]
            )
            return [await post(session, url, body, path) for body in bodies]

    return asyncio.run(main())


def said(double, **body):
    ((status, _, answer),) = exchange(double, body)
    assert status == 200, answer
    return [choice["message"]["content"] for choice in answer["choices"]]


# What it says


def test_what_it_says_depends_on_the_request_alone():
    bodies = [{"seed": seed, "n": 3} for seed in range(5)]
    first = exchange(ServerDouble(), *bodies)
    again = exchange(ServerDouble(), *reversed(bodies))
    texts = [[choice["message"] for choice in answer["choices"]] for _, _, answer in first]
    assert texts == [[choice["message"] for choice in answer["choices"]] for _, _, answer in reversed(again)]


def test_the_same_body_without_a_seed_is_drawn_anew_each_time():
    answers = exchange(ServerDouble(), *[{"n": 8}] * 4)
    texts = {tuple(choice["message"]["content"] for choice in answer["choices"]) for _, _, answer in answers}
    assert len(texts) > 1


def test_the_law_gets_the_conversation_the_seed_and_the_number_of_the_sample():
    seen = []
    said(ServerDouble(lambda *given: bool(seen.append(given)) or "x"), n=2, seed=7)
    conversation = tuple((each["role"], each["content"]) for each in QUESTION)
    assert seen == [(conversation, 7, 0), (conversation, 7, 1)]


def test_contents_in_parts_are_joined():
    seen = []
    parts = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    said(ServerDouble(lambda *given: bool(seen.append(given)) or "x"), messages=parts)
    assert seen[0][0] == (("user", "ab"),)


@pytest.mark.parametrize(
    ("constraints", "fields", "texts"),
    [
        ("response_format", {"response_format": in_format(YES_NO)}, ['{"answer":"yes"}', '{"answer":"no"}']),
        ("response_format", {"response_format": in_format({"enum": ["a", "b"]})}, ['"a"', '"b"']),
        ("response_format", {"response_format": {"type": "json_object"}}, ["{}", "{}"]),
        ("structured_outputs", {"structured_outputs": {"choice": ["a", "b"]}}, ["a", "b"]),
        ("guided_choice", {"guided_choice": ["a", "b"]}, ["a", "b"]),
        ("grammar", {"grammar": 'root ::= "a" | "b"'}, ["a", "b"]),
        ("", {"guided_choice": ["a", "b"]}, ["Yes", "No"]),
    ],
)
def test_constraints_that_it_knows_are_heeded_and_others_ignored(constraints, fields, texts):
    double = ServerDouble(lambda m, s, i: i == 0, manners=Manners(constraints=frozenset({constraints})))
    assert said(double, n=2, **fields) == texts


def test_a_laws_own_text_stands_if_it_is_allowed():
    double = ServerDouble(lambda m, s, i: ["no", "perhaps"][i])
    assert said(double, n=2, response_format=in_format(YES_NO)) == ['{"answer":"no"}', '{"answer":"no"}']


RICH = {
    "type": "object",
    "properties": {
        "share": {"type": "boolean"},
        "reason": {"type": "string"},
        "kind": {"enum": ["new", "old"]},
        "level": {"type": "integer", "minimum": 3},
        "weight": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "none": {"type": "null"},
        "fixed": {"const": 4},
        "either": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "nested": {"type": "object", "properties": {"deep": {}}},
    },
}


@pytest.mark.parametrize(
    ("given_word", "share"), [(True, True), (False, False), ("Yes, I do.", True), ("Never.", False)]
)
def test_a_schema_is_filled_by_what_the_law_says(given_word, share):
    import jsonschema

    (text,) = said(ServerDouble(lambda *_: given_word), response_format=in_format(RICH))
    value = json.loads(text)
    jsonschema.validate(value, {**RICH, "required": list(RICH["properties"])})
    assert value["share"] is share
    assert example_of({"type": "object"}, True) == {}


def test_a_reply_is_cut_off_at_its_bound():
    ((_, _, answer),) = exchange(
        ServerDouble(lambda *_: "Yes, because it matters."), {"max_completion_tokens": 3}
    )
    (choice,) = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Yes, because", "length")
    assert answer["usage"]["completion_tokens"] == 3


@given(st.text(max_size=60))
def test_tokens_put_together_are_the_text(text):
    assert "".join(tokens_of(text)) == text


def test_a_backend_behind_it_gets_everything_that_is_on_the_wire_and_the_metadata_recovered():
    backend = ScriptedBackend(
        lambda request: Reply(
            ("yes", "no"), 11, 2, finish=("stop", "refusal"), logprobs={"yes": -0.5, "no": -0.93}
        )
    )
    double = ServerDouble(backend, metadata_of=lambda messages: {"n_messages": len(messages)})
    fields = {"n": 2, "seed": 9, "temperature": 0.4, "max_tokens": 30, "logprobs": True, "top_logprobs": 2}
    ((_, _, answer),) = exchange(double, {**fields, "response_format": in_format(YES_NO)})
    conversation = tuple((each["role"], each["content"]) for each in QUESTION)
    assert backend.requests == [
        Request(conversation, 0.4, 2, 30, ("yes", "no"), None, True, 9, metadata={"n_messages": 2})
    ]
    first, second = answer["choices"]
    assert first["message"]["content"] == '{"answer":"yes"}'
    assert second["message"]["refusal"] == '{"answer":"no"}'
    assert second["message"]["content"] is None
    assert answer["usage"]["prompt_tokens"] == 11


def test_a_backend_behind_it_gets_a_schema_that_leaves_a_choice():
    backend = ScriptedBackend(['{"share": true}'])
    schema = {"type": "object", "properties": {"share": {"type": "boolean"}}}
    assert said(ServerDouble(backend), response_format=in_format(schema)) == ['{"share": true}']
    assert json.loads(backend.requests[0].schema) == schema


@pytest.mark.parametrize(
    ("error", "status"),
    [(TransientError("x"), 503), (RequestRejected("x"), 400), (BackendUnusable("x"), 403)],
)
def test_a_backend_that_fails_behind_it_is_put_as_a_server_would(error, status):
    ((found, _, _),) = exchange(ServerDouble(ScriptedBackend([error])), {})
    assert found == status


# Requests that are wrong


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        {"messages": []},
        {"messages": "hello"},
        {"messages": [{"role": "user"}]},
        {"n": 0},
        {"n": "two"},
        {"n": True},
        {"temperature": 2.5},
        {"seed": 2**63},
        {"max_tokens": 0},
        {"max_tokens": "many"},
        {"stream": True},
        {"top_logprobs": 21, "logprobs": True},
    ],
)
def test_a_request_that_openai_would_refuse_is_refused(body):
    double = ServerDouble()
    ((status, _, answer),) = exchange(double, body)
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    assert double.ledger.kinds == {"bad_request": 1}


def test_a_server_with_vllms_manners_takes_one_sample_at_temperature_zero():
    ((status, _, answer),) = exchange(ServerDouble(manners=LIKE_VLLM), {"n": 2, "temperature": 0})
    assert (status, answer["error"]["param"]) == (400, "n")
    ((status, _, _),) = exchange(ServerDouble(), {"n": 2, "temperature": 0})
    assert status == 200


def test_a_model_that_it_does_not_serve_is_unknown():
    ((status, _, answer),) = exchange(ServerDouble(), {"model": "other"})
    assert (status, answer["error"]["code"]) == (404, "model_not_found")


def test_a_server_may_ignore_n():
    ((_, _, answer),) = exchange(ServerDouble(manners=Manners(many_choices=False)), {"n": 5})
    assert len(answer["choices"]) == 1


# Faults


def test_a_script_of_faults_is_played_in_the_order_of_arrival():
    double = ServerDouble(faults=FaultPlan(script=("http_500", None, "rate_limit")))
    assert [status for status, _, _ in exchange(double, *[{"seed": 1}] * 4)] == [500, 200, 429, 200]


@given(st.integers(0, 2**64 - 1), st.integers(0, 50), st.integers(0, 99))
def test_a_rates_die_depends_on_the_body_and_the_attempt_alone(body, attempt, call):
    plan = FaultPlan(rates={"http_500": 0.3, "reset": 0.3}, seed=4)
    assert plan.pick(call, body=body, attempt=attempt) == plan.pick(0, body=body, attempt=attempt)


def test_faults_come_at_their_rates_and_go_away_when_one_tries_again():
    plan = FaultPlan(rates={"http_500": 0.2, "reset": 0.1})
    first = [plan.pick(0, body=body, attempt=0) for body in range(5000)]
    assert first.count("http_500") / 5000 == pytest.approx(0.2, abs=0.03)
    assert first.count("reset") / 5000 == pytest.approx(0.1, abs=0.03)
    assert all(None in [plan.pick(0, body=body, attempt=i) for i in range(40)] for body in range(200))


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"script": ("http_505",)}, "did you mean 'http_50"),
        ({"rates": {"reste": 0.1}}, "did you mean 'reset'"),
        ({"rates": {"reset": -0.1}}, "must be >= 0"),
        ({"rates": {"reset": 0.6, "hang": 0.6}}, "at most 1"),
    ],
)
def test_an_impossible_plan_is_refused(plan, words):
    with pytest.raises(ConfigurationError, match=words):
        FaultPlan(**plan)


def test_every_fault_says_what_it_is():
    assert all(FAULTS.values())


# Limits


def test_requests_beyond_the_limit_get_a_429_that_says_when_to_come_back():
    now = [0.0]
    double = ServerDouble(limits=ServerLimits(requests_per_min=2), clock=lambda: now[0])

    async def main():
        import aiohttp

        async with start_server(double) as server, aiohttp.ClientSession() as session:
            answers = [await post(session, server.base_url, {}) for _ in range(3)]
            now[0] = 30.0
            return [*answers, await post(session, server.base_url, {})]

    answers = asyncio.run(main())
    assert [status for status, _, _ in answers] == [200, 200, 429, 200]
    assert [headers["x-ratelimit-remaining-requests"] for _, headers, _ in answers] == ["1", "0", "0", "0"]
    _, headers, body = answers[2]
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("30", "30000")
    assert headers["x-ratelimit-reset-requests"] == "1m0s"
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert double.ledger.kinds == {"ok": 3, "limited": 1}


def test_tokens_beyond_the_limit_wait_and_a_request_above_it_never_passes():
    gate = Gate(ServerLimits(tokens_per_min=100), 0.0)
    assert gate.ask(80, 0.0) == 0.0
    assert gate.ask(80, 0.0) == pytest.approx(36.0)
    assert gate.ask(80, 36.0) == 0.0
    assert gate.ask(101, 99.0) == float("inf")
    assert gate.headers()["x-ratelimit-limit-tokens"] == "100"
    ((status, headers, body),) = exchange(ServerDouble(limits=ServerLimits(tokens_per_min=1)), {})
    assert (status, "retry-after" in headers) == (429, False)
    assert "Request too large" in body["error"]["message"]


@given(st.lists(st.floats(0.0, 30.0), max_size=60))
def test_no_minute_ever_sees_more_than_twice_the_limit(gaps):
    gate, now, passed = Gate(ServerLimits(requests_per_min=5), 0.0), 0.0, []
    for gap in gaps:
        now += gap
        if gate.ask(1, now) == 0.0:
            passed.append(now)
    for begin in passed:
        assert sum(begin <= moment < begin + 60.0 for moment in passed) <= 10


# Counts and the rest


def test_every_call_is_counted_by_kind_and_body():
    body = {"seed": 1, "n": 2}
    raw = json.dumps({"model": "double", "messages": QUESTION, **body}).encode()
    double = ServerDouble(faults=FaultPlan(script=("http_500",)))
    answers = exchange(double, body, body, {"seed": 2})
    ledger = double.ledger
    assert ledger.kinds == {"http_500": 1, "ok": 2}
    assert ledger.calls == 3
    assert ledger.bodies[body_digest(raw)] == 2
    assert ledger.answered[body_digest(raw)] == 1
    assert (ledger.samples, ledger.in_flight, ledger.most_in_flight) == (3, 0, 1)
    used = [answer["usage"] for status, _, answer in answers if status == 200]
    assert ledger.prompt_tokens == sum(usage["prompt_tokens"] for usage in used)
    assert ledger.completion_tokens == sum(usage["completion_tokens"] for usage in used)


def test_latency_is_drawn_around_its_mean():
    double = ServerDouble(latency_s=0.5, latency_spread_s=0.3)
    drawn = [double._latency_of(word) for word in range(2000)]
    assert min(drawn) >= 0.2
    assert max(drawn) <= 0.8
    assert sum(drawn) / 2000 == pytest.approx(0.5, abs=0.02)


def test_half_of_the_default_laws_samples_say_yes():
    said_yes = [coin((), seed, i) for seed in range(1000) for i in range(2)]
    assert sum(said_yes) / 2000 == pytest.approx(0.5, abs=0.05)


def test_an_unknown_address_and_a_missing_key_are_counted_too():
    async def main():
        import aiohttp

        double = ServerDouble(key="secret")
        async with start_server(double) as server, aiohttp.ClientSession() as session:
            async with session.get(f"{server.base_url}/models") as refused:
                statuses = [refused.status]
            session.headers["Authorization"] = "Bearer secret"
            for path in ("/models", "/models/double", "/models/none", "/nothing"):
                async with session.get(f"{server.base_url}{path}") as response:
                    statuses.append(response.status)
            async with session.get(f"{server.base_url}/embeddings") as response:
                statuses.append(response.status)
            return statuses, double.ledger.kinds

    statuses, kinds = asyncio.run(main())
    assert statuses == [401, 200, 200, 404, 404, 405]
    assert kinds == {"unauthorized": 1, "ok": 2, "unknown_model": 1, "no_such_url": 2}


def test_vllms_tokenizer_numbers_the_tokens():
    (first, again) = exchange(
        ServerDouble(manners=LIKE_VLLM), {"prompt": "yes no"}, {"prompt": "no yes no"}, path="/tokenize"
    )
    assert first[2]["tokens"] == [0, 1]
    assert again[2]["tokens"] == [2, 3, 1]


def test_token_ids_give_those_tokens_and_the_sampled_one():
    async def main():
        import aiohttp

        double = ServerDouble(lambda *_: "yes", manners=LIKE_VLLM)
        async with start_server(double) as server, aiohttp.ClientSession() as session:
            numbers = [
                (await post(session, server.base_url[:-3], {"prompt": text}, "/tokenize"))[2]["tokens"][0]
                for text in ("no", "zebra")
            ]
            fields = {"structured_outputs": {"choice": ["yes", "no"]}, "logprobs": True, "max_tokens": 9}
            _, _, answer = await post(
                session, server.base_url, {**fields, "logprob_token_ids": [*numbers, 99]}
            )
            return answer["choices"][0]["logprobs"]["content"][0]

    position = asyncio.run(main())
    assert position["top_logprobs"][0]["token"] == position["token"]
    assert [entry["token"] for entry in position["top_logprobs"][1:]] == ["no", "zebra", "?"]
    assert [entry["logprob"] for entry in position["top_logprobs"][1:]] == [-9999.0] * 3


@pytest.mark.parametrize("n_dimensions", [1, 8, 32])
def test_embeddings_have_length_one_and_like_texts_lie_close(n_dimensions):
    a, b, c = (
        embedding(text, n_dimensions) for text in ("a protest march", "A protest  march", "rice prices fell")
    )
    assert sum(x * x for x in a) == pytest.approx(1.0)
    assert sum(x * y for x, y in zip(a, b, strict=True)) == pytest.approx(1.0)
    if n_dimensions > 8:
        assert sum(x * y for x, y in zip(a, c, strict=True)) < 0.7


@pytest.mark.parametrize(
    ("given_input", "n"),
    [("text", 1), ("", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2, 3]], 2), ([1.5, "a"], 2)],
)
def test_embeddings_take_texts_and_tokens(given_input, n):
    ((status, _, answer),) = exchange(
        ServerDouble(), {"input": given_input, "dimensions": 4}, path="/embeddings"
    )
    assert (status, len(answer["data"])) == (200, n)
    assert all(len(each["embedding"]) == 4 for each in answer["data"])


@pytest.mark.parametrize("given_input", [None, [], 7])
def test_embeddings_of_nothing_are_refused(given_input):
    ((status, _, _),) = exchange(ServerDouble(), {"input": given_input}, path="/embeddings")
    assert status == 400


def test_a_program_can_serve_until_it_is_interrupted():
    heard, made = threading.Event(), []

    def make():
        made.append((asyncio.get_running_loop(), ServerDouble(), asyncio.current_task()))
        return made[0][1]

    def run():
        with pytest.raises(asyncio.CancelledError):
            serve(make, host="127.0.0.1", port=0, announce=lambda url: (addresses.append(url), heard.set()))

    addresses = []
    thread = threading.Thread(target=run)
    thread.start()
    assert heard.wait(20)
    loop, double, task = made[0]
    loop.call_soon_threadsafe(task.cancel)
    thread.join(20)
    assert addresses == [double.base_url]
    assert not thread.is_alive()


# OpenAI's own client


def by_sdk(double, use):
    """Run `use(client)` with OpenAI's own client."""
    openai = pytest.importorskip("openai")

    async def main():
        async with (
            start_server(double) as server,
            openai.AsyncOpenAI(
                base_url=server.base_url, api_key="sk-test", max_retries=0, timeout=10.0
            ) as client,
        ):
            return await use(client)

    return asyncio.run(main())


def test_openais_client_reads_completions_log_probabilities_and_usage():
    async def use(client):
        return await client.chat.completions.create(
            model="double",
            messages=QUESTION,
            n=2,
            seed=3,
            temperature=0.7,
            logprobs=True,
            top_logprobs=3,
            max_tokens=40,
        )

    found = by_sdk(ServerDouble(lambda m, s, i: i == 0), use)
    assert [choice.message.content for choice in found.choices] == ["Yes", "No"]
    assert found.choices[0].logprobs.content[0].token == "Yes"
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
    assert found.system_fingerprint == "fp_double"


def test_openais_client_parses_structured_outputs():
    from typing import Literal

    from pydantic import BaseModel

    class Choice(BaseModel):
        answer: Literal["yes", "no"]

    async def use(client):
        return await client.chat.completions.parse(model="double", messages=QUESTION, response_format=Choice)

    found = by_sdk(ServerDouble(lambda m, s, i: True), use)
    assert found.choices[0].message.parsed == Choice(answer="yes")


def test_openais_client_reads_embeddings_and_models():
    async def use(client):
        vectors = await client.embeddings.create(model="double", input=["a", "b"], dimensions=8)
        names = [model.id async for model in client.models.list()]
        return vectors, names, await client.models.retrieve("second")

    vectors, names, one = by_sdk(ServerDouble(models=("double", "second")), use)
    assert vectors.data[1].embedding == pytest.approx(embedding("b", 8), abs=1e-6)
    assert names == ["double", "second"]
    assert one.id == "second"


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("rate_limit", "RateLimitError"),
        ("insufficient_quota", "RateLimitError"),
        ("unauthorized", "AuthenticationError"),
        ("unknown_model", "NotFoundError"),
        ("context_overflow", "BadRequestError"),
        ("content_filtered", "BadRequestError"),
        ("http_500", "InternalServerError"),
        ("http_502", "InternalServerError"),
        ("http_503", "InternalServerError"),
        ("reset", "APIConnectionError"),
        ("disconnect", "APIConnectionError"),
        ("hang", "APITimeoutError"),
    ],
)
def test_openais_client_raises_its_own_error_for_a_fault(fault, name):
    openai = pytest.importorskip("openai")

    async def use(client):
        timeout_s = 0.2 if fault == "hang" else 10.0
        with pytest.raises(getattr(openai, name)):
            await client.with_options(timeout=timeout_s).chat.completions.create(
                model="double", messages=QUESTION
            )

    by_sdk(ServerDouble(faults=FaultPlan(script=(fault,))), use)


@pytest.mark.parametrize(
    ("fault", "field", "value"),
    [
        ("refusal", "refusal", "I'm sorry, I can't help with that."),
        ("empty", "content", None),
        ("content_filter", "content", ""),
    ],
)
def test_openais_client_sees_how_a_completion_ended(fault, field, value):
    async def use(client):
        return await client.chat.completions.create(model="double", messages=QUESTION)

    found = by_sdk(ServerDouble(faults=FaultPlan(script=(fault,))), use)
    assert getattr(found.choices[0].message, field) == value


# OpenAI's published schemas


@pytest.fixture(scope="session")
def conforms():
    """Give a function that checks a value against one of OpenAI's schemas."""
    path = os.environ.get("AGENTNET_OPENAI_SCHEMAS")
    if path is None:
        pytest.skip(
            "AGENTNET_OPENAI_SCHEMAS does not name OpenAI's schemas (JSON): conformance is NOT tested"
        )
    from jsonschema import Draft202012Validator

    components = json.loads(Path(path).read_text())["components"]

    def check(name, value):
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        problems = [
            f"{error.json_path}: {error.message[:200]}"
            for error in Draft202012Validator(schema).iter_errors(value)
        ]
        assert not problems, problems

    return check


ASKED = [
    {},
    {"n": 3, "seed": 4, "temperature": 0.0},
    {"logprobs": True, "top_logprobs": 5},
    {"logprobs": True, "top_logprobs": 20, "response_format": in_format(YES_NO)},
    {"max_tokens": 1},
]


@pytest.mark.parametrize("manners", [LIKE_OPENAI, Manners(sampled_first=True)])
@pytest.mark.parametrize("body", ASKED)
def test_completions_conform_to_openais_schema(conforms, body, manners):
    ((_, _, answer),) = exchange(ServerDouble(manners=manners), body)
    conforms("CreateChatCompletionResponse", answer)


@pytest.mark.parametrize("fault", ["empty", "refusal", "content_filter", "length", "wrong_model"])
def test_completions_that_end_badly_conform_as_well(conforms, fault):
    ((_, _, answer),) = exchange(ServerDouble(faults=FaultPlan(script=(fault,))), {"n": 2})
    conforms("CreateChatCompletionResponse", answer)


@pytest.mark.parametrize(
    "fault",
    [
        "rate_limit",
        "insufficient_quota",
        "unauthorized",
        "unknown_model",
        "context_overflow",
        "http_500",
        "http_529",
    ],
)
def test_errors_conform_to_openais_schema(conforms, fault):
    ((_, _, answer),) = exchange(ServerDouble(faults=FaultPlan(script=(fault,))), {})
    conforms("ErrorResponse", answer)


def test_refused_and_limited_requests_conform_to_openais_schema(conforms):
    for double, body in ((ServerDouble(), {"n": 0}), (ServerDouble(limits=ServerLimits(1e-9)), {})):
        ((_, _, answer),) = exchange(double, body)
        conforms("ErrorResponse", answer)


def test_embeddings_and_models_conform_to_openais_schema(conforms):
    ((_, _, answer),) = exchange(ServerDouble(), {"input": "a"}, path="/embeddings")
    conforms("CreateEmbeddingResponse", answer)

    async def main():
        import aiohttp

        async with (
            start_server(ServerDouble()) as server,
            aiohttp.ClientSession() as session,
            session.get(f"{server.base_url}/models") as response,
        ):
            return await response.json()

    conforms("ListModelsResponse", asyncio.run(main()))


@pytest.mark.parametrize(
    "request_",
    [
        Request((("system", "a"), ("user", "b"))),
        Request((("user", "b"),), 0.3, 4, 9, ("yes", "no"), None, True, 2**62),
        Request((("user", "b"),), schema=json.dumps(YES_NO)),
    ],
)
def test_what_the_openai_backend_sends_conforms_to_openais_schema(conforms, request_):
    from agentnet_backends.openai import OpenAIBackend

    sent = []

    class Keeping(ServerDouble):
        def _asked(self, raw):
            sent.append(json.loads(raw))
            return super()._asked(raw)

    async def main():
        async with start_server(Keeping()) as server:
            options = {
                "model": "double",
                "base_url": server.base_url,
                "max_tokens_field": "max_completion_tokens",
            }
            backend = OpenAIBackend.from_options(options, {})
            await backend.complete(request_)
            await backend.aclose()

    asyncio.run(main())
    conforms("CreateChatCompletionRequest", sent[0])
