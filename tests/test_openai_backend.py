"""Backend ``openai`` against servers on loopback: what it sends, what it makes of every answer.

Long, because servers differ in many small ways and each of them is a test.
"""

from __future__ import annotations

import asyncio
import json
import math
import traceback
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.backend import Backend, Reply, Request, make_backend
from agentnet.errors import (
    BackendError,
    BackendUnusable,
    ConfigurationError,
    RequestRejected,
    ServerUnreachable,
    TransientError,
)
from agentnet.prompts import parse_reply
from agentnet.testing import CHECKS, ScriptedBackend, Subject, run_check
from agentnet.testing.faults import FAULTS, FaultPlan
from agentnet.testing.server import LIKE_OPENAI, LIKE_VLLM, Manners, ServerDouble, start_server
from agentnet_backends.http import proxy_of
from agentnet_backends.openai import OpenAIBackend
from agentnet_backends.transport_aiohttp import AiohttpTransport

KEY = "sk-1234567890-do-not-show"
QUESTION = (("system", "You are curious."), ("user", "Do you share it? Answer yes or no."))
REQUEST = Request(QUESTION, temperature=0.7, max_tokens=16, seed=5)
CLOSED = REQUEST._replace(answers=("yes", "no"))
# Requests of a persona each: those of one go to one server as long as it has little to do.
BY_PERSONA = [REQUEST._replace(messages=(("system", f"You are number {i}."), *QUESTION)) for i in range(20)]


def made(base_url, environ=None, **options):
    return OpenAIBackend.from_options({"model": "double", "base_url": base_url, **options}, environ or {})


async def ask(base_url, *requests, environ=None, **options):
    backend = made(base_url, environ, **options)
    try:
        return [await backend.complete(request) for request in requests]
    finally:
        await backend.aclose()


def reply_of(double, request=REQUEST, **options):
    async def main():
        async with start_server(double) as server:
            return (await ask(server.base_url, request, **options))[0]

    return asyncio.run(main())


def failure_of(double, request=REQUEST, **options):
    with pytest.raises(BackendError) as caught:
        reply_of(double, request, **options)
    return caught.value


class Canned:
    """A server that gives prepared answers, in turn, and keeps what it was sent."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.bodies = []
        self.headers = []
        self.paths = []

    async def answer(self, request):
        self.headers.append(request.headers)
        self.paths.append(str(request.url))
        self.bodies.append(json.loads(await request.read() or b"null"))
        status, headers, body = self.answers[min(len(self.bodies), len(self.answers)) - 1]
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, headers=headers, body=raw)

    @asynccontextmanager
    async def listening(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


def completion(*texts, **fields):
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for i, text in enumerate(texts)
    ]
    return {
        "choices": choices,
        "usage": {"prompt_tokens": 9, "completion_tokens": 3},
        "model": "m-1",
        **fields,
    }


def canned(body, request=REQUEST, *, status=200, headers=None, **options):
    """Ask a server that gives one answer; return the reply and what it was sent."""

    async def main():
        async with Canned((status, headers or {}, body)).listening() as server:
            (reply,) = await ask(f"{server.url}/v1", request, **options)
            return reply, server

    return asyncio.run(main())


def sent(request=REQUEST, **options):
    """Give the body that is sent for `request`."""
    return canned(completion("yes"), request, **options)[1].bodies[0]


# What is sent


def test_a_request_is_sent_as_it_is_asked():
    assert sent() == {
        "model": "double",
        "messages": [{"role": role, "content": content} for role, content in QUESTION],
        "max_tokens": 16,
        "temperature": 0.7,
        "seed": 5,
    }


def test_the_draw_key_and_the_metadata_stay_at_home():
    body = json.dumps(sent(REQUEST._replace(draw=(1, "draw-key"), metadata={"profile": "10101"})))
    assert "draw-key" not in body
    assert "10101" not in body


def test_several_samples_are_asked_for_by_n():
    assert sent(REQUEST._replace(n=3))["n"] == 3


messages = st.lists(
    st.tuples(st.sampled_from(["system", "user"]), st.text(max_size=30)), min_size=1, max_size=3
)


@settings(max_examples=25, deadline=None)
@given(messages.map(tuple), st.floats(0.0, 2.0), st.integers(0, 2**63 - 1))
def test_every_text_temperature_and_seed_arrives_unchanged(conversation, temperature, seed):
    body = sent(REQUEST._replace(messages=conversation, temperature=temperature, seed=seed))
    assert [(each["role"], each["content"]) for each in body["messages"]] == list(conversation)
    assert body["temperature"] == temperature
    assert body["seed"] == seed


def test_numbers_of_numpy_are_sent_as_numbers():
    np = pytest.importorskip("numpy")
    body = sent(REQUEST._replace(temperature=np.float64(0.9), seed=int(np.int64(7))))
    assert (body["temperature"], body["seed"]) == (0.9, 7)


def test_a_server_of_few_seed_bits_gets_small_seeds_and_one_of_none_gets_no_seed():
    assert sent(REQUEST._replace(seed=2**62 + 3), seed_bits=31)["seed"] == 3
    assert "seed" not in sent(seed_bits=0)


def test_sampling_options_and_extra_fields_are_sent_with_every_request():
    body = sent(top_p=1.0, top_k=0, min_p=0.0, extra={"reasoning_effort": "low"})
    assert (body["top_p"], body["top_k"], body["min_p"], body["reasoning_effort"]) == (1.0, 0, 0.0, "low")


def test_the_field_that_bounds_a_reply_is_the_backends_choice():
    assert sent(max_tokens_field="max_completion_tokens")["max_completion_tokens"] == 16
    official = OpenAIBackend.from_options({"model": "m"}, {"OPENAI_API_KEY": KEY})
    assert official._client.ways.max_tokens_field == "max_completion_tokens"


def test_a_schema_is_sent_as_a_strict_response_format():
    schema = {"type": "object", "properties": {"share": {"type": "boolean"}}}
    asked = sent(REQUEST._replace(schema=json.dumps(schema)))["response_format"]
    assert asked["json_schema"]["schema"] == schema
    assert asked["json_schema"]["strict"] is True


def test_a_schema_that_is_no_json_is_rejected_unsent():
    double = ServerDouble()
    failure = failure_of(double, REQUEST._replace(schema="{"))
    assert isinstance(failure, RequestRejected)
    assert double.ledger.calls == 0


def test_bound_answers_get_the_tokens_that_they_and_their_wrapping_can_take():
    assert sent(CLOSED, constrain="structured_outputs")["max_tokens"] == len("yes") + 4
    assert sent(CLOSED)["max_tokens"] == len("yes") + 4 + 24
    assert sent(CLOSED._replace(max_tokens=2))["max_tokens"] == 2 + 24
    assert sent(CLOSED, constrain="none")["max_tokens"] == 16
    assert sent(CLOSED._replace(answers=("\u00e9" * 5, "no")), constrain="grammar")["max_tokens"] == 10 + 4


def test_log_probabilities_are_asked_for_only_where_they_mean_something():
    assert "logprobs" not in sent(REQUEST._replace(logprobs=True))
    body = sent(CLOSED._replace(logprobs=True))
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
    assert sent(CLOSED._replace(logprobs=True), top_logprobs=5)["top_logprobs"] == 5
    assert "top_logprobs" not in sent(CLOSED._replace(logprobs=True), top_logprobs=0)


def test_the_key_goes_into_the_header_and_nowhere_else():
    _, server = canned(completion("yes"), environ={"OPENAI_API_KEY": f" {KEY}\n"})
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps(server.bodies)
    assert "Authorization" not in canned(completion("yes"))[1].headers[0]


def test_the_key_may_come_from_another_variable():
    _, server = canned(
        completion("yes"), environ={"MY_KEY": KEY, "OPENAI_API_KEY": "other"}, key_env="MY_KEY"
    )
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_what_is_remembered_of_conversations_is_bounded():
    async def main():
        async with start_server(ServerDouble()) as server:
            backend = made(server.base_url)
            backend._client.n_remembered = 2
            for i in (0, 1, 2, 0):
                await backend.complete(REQUEST._replace(messages=(("user", str(i)),)))
            await backend.aclose()
            return len(backend._client._forms), server.ledger.kinds

    assert asyncio.run(main()) == (2, {"ok": 4})


# What comes back


def test_a_reply_holds_texts_tokens_model_and_fingerprint():
    reply, _ = canned(completion("yes", system_fingerprint="fp_7"))
    assert reply == Reply(("yes",), 9, 3, "m-1", (), None, "fp_7")


def test_choices_come_in_the_order_of_their_numbers():
    body = completion("a", "b", "c")
    body["choices"].reverse()
    assert canned(body, REQUEST._replace(n=3))[0].texts == ("a", "b", "c")


def test_a_server_that_ignores_n_gives_one_text_and_one_that_gives_more_is_cut():
    assert canned(completion("a"), REQUEST._replace(n=3))[0].texts == ("a",)
    assert canned(completion("a", "b"), REQUEST)[0].texts == ("a",)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, (None, None)),
        ({}, (None, None)),
        ({"prompt_tokens": 3}, (3, None)),
        ({"prompt_tokens": "3", "completion_tokens": -1}, (None, None)),
        ({"prompt_tokens": True, "completion_tokens": 2.5}, (None, None)),
        ({"prompt_tokens": 3.0, "completion_tokens": 2.0}, (3, 2)),
        ("many", (None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 3}, (None, 3)),  # a server whose cache held the prompt
        ({"prompt_tokens": 9, "completion_tokens": 0}, (9, None)),
    ],
)
def test_token_counts_that_are_none_are_unknown(usage, tokens):
    reply, _ = canned(completion("yes", usage=usage))
    assert (reply.prompt_tokens, reply.completion_tokens) == tokens


def test_a_reply_without_text_may_have_taken_no_token():
    reply, _ = canned(completion("", usage={"prompt_tokens": 9, "completion_tokens": 0}))
    assert (reply.prompt_tokens, reply.completion_tokens) == (9, 0)


def message(**fields):
    return {"choices": [{"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("body", "text", "finish"),
    [
        (message(content=None), "", ()),
        (message(content=""), "", ()),
        (message(), "", ()),
        (message(content=None, refusal="I can't."), "I can't.", ("refusal",)),
        (message(content=[{"type": "refusal", "refusal": "No."}]), "No.", ("refusal",)),
        (message(content="yes", refusal=None), "yes", ()),
        (message(content="yes", refusal=""), "yes", ()),
        (message(content=[{"type": "text", "text": "ye"}, {"type": "text", "text": "s"}, "?"]), "yes", ()),
        (message(content=["ye", "s"]), "yes", ()),
        (message(content=[]), "", ()),
    ],
)
def test_a_missing_text_is_empty_and_a_refusal_says_so(body, text, finish):
    reply, _ = canned(body)
    assert (reply.texts, reply.finish) == ((text,), finish)


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("stop", ()),
        (None, ()),
        ("eos", ()),
        ({"odd": 1}, ()),
        ("length", ("length",)),
        ("max_tokens", ("length",)),
        ("content_filter", ("content_filter",)),
        ("safety", ("content_filter",)),
        ("MAX_TOKENS", ("length",)),
        ("model_length", ("length",)),
        ("max_completion_tokens", ("length",)),
        ("model_context_window_exceeded", ("length",)),
        ("PROHIBITED_CONTENT", ("content_filter",)),
        ("STOP", ()),
        ("end_turn", ()),
    ],
)
def test_why_a_reply_ended_is_told_in_four_words(word, finish):
    body = completion("yes")
    body["choices"][0]["finish_reason"] = word
    assert canned(body)[0].finish == finish


def test_each_of_several_samples_has_its_own_end():
    body = completion("yes", "ye")
    body["choices"][1]["finish_reason"] = "length"
    assert canned(body, REQUEST._replace(n=2))[0].finish == ("stop", "length")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "malformed_json"),
        (b'{"choices": [', "malformed_json"),
        (b"<html>hello</html>", "page"),
        (b"[" * 200_000, "malformed_json"),
        ([], "wrong_schema"),
        ("yes", "wrong_schema"),
        ({}, "no_choices"),
        ({"choices": []}, "no_choices"),
        ({"choices": None}, "no_choices"),
        ({"choices": "yes"}, "wrong_schema"),
        ({"choices": ["yes"]}, "wrong_schema"),
        ({"choices": [{}]}, "wrong_schema"),
        (message(content=7), "wrong_schema"),
        ({"error": "upstream"}, "error_body"),
        ({"error": {"message": "x", "code": 502}, "choices": []}, "bad_gateway"),
        ({"code": 502, "msg": "x", "data": None}, "bad_gateway"),
        ({"detail": "Not now"}, "error_body"),
        (message(content=[{"type": "text", "content": "yes"}]), "wrong_schema"),
        (
            b'{"choices":[{"message":{"content":"no"}}],"choices":[{"message":{"content":"yes"}}]}',
            "malformed_json",
        ),
        (b'{"choices":[{"message":{"content":"no","content":"yes"}}]}', "malformed_json"),
        (
            b'{"choices":[{"message":{"content":"no"}}],"usage":{},"usage":{"prompt_tokens":9}}',
            "malformed_json",
        ),
    ],
)
def test_a_success_that_is_none_is_transient(body, kind):
    with pytest.raises(TransientError) as caught:
        canned(body)
    assert caught.value.kind == kind


def test_what_is_said_twice_alike_and_what_a_text_quotes_is_not_said_twice():
    usage = b'"usage":{"prompt_tokens":9,"completion_tokens":1}'
    said = b'{"choices":[{"message":{"content":"a \\"content\\""}}],%b,%b}' % (usage, usage)
    reply, _ = canned(said)
    assert (reply.texts, reply.prompt_tokens) == (('a "content"',), 9)


@pytest.mark.parametrize("begins", [b"", b"event: message\n", b"\r\n"])
def test_a_stream_that_nobody_asked_for_is_named_with_the_way_out(begins):
    with pytest.raises(
        TransientError, match=r"a stream of events .*, answer whole, or set backend\.base_url"
    ) as caught:
        canned(begins + b'data: {"choices": [{"delta": {"content": "yes"}}]}\n\ndata: [DONE]\n\n')
    assert caught.value.kind == "malformed_json"


def test_an_account_without_money_is_one_under_whatever_key_a_success_says_so():
    with pytest.raises(BackendUnusable, match="insufficient balance"):
        canned({"status": "fail", "message": "insufficient balance"})


@pytest.mark.parametrize("word", ["abort", "insufficient_system_resource", "NETWORK_ERROR"])
def test_a_reply_that_the_server_broke_off_is_transient(word):
    body = completion("ye")
    body["choices"][0]["finish_reason"] = word
    with pytest.raises(TransientError, match=word.lower()):
        canned(body)


@pytest.mark.parametrize("content", [None, ""])
@pytest.mark.parametrize("key", ["tool_calls", "function_call"])
def test_an_answer_that_a_server_takes_for_the_call_of_a_tool_is_read_from_it(content, key):
    function = {"name": "decide", "arguments": '{"share": true, "reason": "x"}'}
    call = function if key == "function_call" else [{"type": "function", "function": function}]
    body = message(content=content, **{key: call})
    reply, _ = canned(body, REQUEST._replace(schema='{"type": "object"}'))
    assert parse_reply(reply.texts[0]).decision is True
    # Where any text is an answer, the call of a tool is none.
    assert canned(body)[0].texts == ("",)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "logprobs", "usage", "token", "top_logprobs", "index"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_json_however_odd_gets_past_the_reader(body):
    from agentnet_backends.answers import CONSTRAINTS
    from agentnet_backends.chat import read_reply
    from agentnet_backends.failures import Peer

    request = CLOSED._replace(logprobs=True)
    for odd in (
        body,
        {"choices": body},
        {"choices": [body]},
        {"choices": [{"message": body, "logprobs": body}]},
    ):
        try:
            reply = read_reply(
                json.dumps(odd).encode(), request, CONSTRAINTS["response_format"], Peer("a", "b")
            )
        except BackendError:
            continue
        assert all(isinstance(text, str) for text in reply.texts)


# Answers


@pytest.mark.parametrize("constrain", ["response_format", "structured_outputs", "guided_choice", "grammar"])
def test_every_way_to_bind_a_reply_to_answers_gives_the_plain_answer(constrain):
    manners = Manners(constraints=frozenset({constrain}))
    double = ServerDouble(lambda messages, seed, i: i % 2 == 0, manners=manners)
    reply = reply_of(double, CLOSED._replace(n=4), constrain=constrain)
    assert reply.texts == ("yes", "no", "yes", "no")
    assert reply.finish == ()


def test_a_server_that_ignores_the_constraint_is_quoted_as_it_is():
    double = ServerDouble(lambda messages, seed, i: "**Yes.**", manners=Manners(constraints=frozenset()))
    assert reply_of(double, CLOSED).texts == ("**Yes.**",)
    assert reply_of(double, CLOSED, constrain="none").texts == ("**Yes.**",)


def told(p_yes):
    """Make a backend whose law is known, to answer behind the double."""
    logs = {"yes": math.log(p_yes), "no": math.log1p(-p_yes)}
    return ScriptedBackend(lambda request: Reply(("yes",) * request.n, logprobs=logs))


@settings(max_examples=20, deadline=None)
@given(
    st.floats(0.001, 0.999),
    st.floats(0.3, 2.0),
    st.sampled_from(["response_format", "structured_outputs"]),
    st.sampled_from([LIKE_OPENAI, LIKE_VLLM]),
)
def test_log_probabilities_survive_wrapping_tokens_and_temperature(p_yes, temperature, constrain, manners):
    known = Manners(frozenset({constrain}), letters=manners.letters, sampled_first=manners.sampled_first)
    request = CLOSED._replace(logprobs=True, temperature=temperature)
    reply = reply_of(ServerDouble(told(p_yes), manners=known), request, constrain=constrain)
    assert math.exp(reply.logprobs["yes"]) == pytest.approx(p_yes)
    assert math.exp(reply.logprobs["no"]) == pytest.approx(1.0 - p_yes)


THINKS = [
    {"reasoning_content": "yes"},
    {"reasoning": "I would say yes."},
    {"thinking": "yes"},
    {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "yes"}]}]},
]


@pytest.mark.parametrize("thought", THINKS)
@pytest.mark.parametrize(
    ("end", "finish"), [("stop", "thought_only"), (None, "thought_only"), ("length", "thought_cut_off")]
)
def test_a_thought_without_an_answer_is_told_as_that_and_is_no_text(thought, end, finish):
    body = completion("")
    body["choices"][0]["message"] = {"role": "assistant", "content": None, **thought}
    body["choices"][0]["finish_reason"] = end
    reply, _ = canned(body)
    assert (reply.texts, reply.finish) == (("",), (finish,))


def test_a_thought_that_nobody_shows_is_one_if_it_takes_all_tokens():
    body = completion("")
    body["choices"][0]["finish_reason"] = "length"
    assert canned(body)[0].finish == ("thought_cut_off",)
    body["choices"][0]["finish_reason"] = "stop"
    assert canned(body)[0].finish == ()


def test_a_thought_beside_an_answer_leaves_the_answer_alone():
    body = completion("yes")
    body["choices"][0]["message"]["reasoning_content"] = "No? Yes."
    assert canned(body)[0][:1] == (("yes",),)
    assert canned(body)[0].finish == ()


def test_odds_behind_a_thought_are_those_of_that_thought_and_not_taken():
    body = completion("yes")
    entry = {"token": "yes", "logprob": 0.0, "top_logprobs": []}
    body["choices"][0]["logprobs"] = {"content": [entry]}
    assert canned(body, CLOSED._replace(logprobs=True))[0].logprobs == {"yes": 0.0}
    body["choices"][0]["message"]["reasoning_content"] = "No? Yes."
    reply, _ = canned(body, CLOSED._replace(logprobs=True))
    assert reply.logprobs is None
    assert "thinks before it answers" in reply.doubt


def test_what_is_not_listed_stands_beside_the_log_probabilities():
    body = completion("yes")
    entry = {"token": "yes", "logprob": math.log(0.6), "top_logprobs": []}
    body["choices"][0]["logprobs"] = {"content": [entry]}
    reply, _ = canned(body, CLOSED._replace(logprobs=True, temperature=1.0))
    assert (reply.logprobs, reply.unlisted) == ({"yes": pytest.approx(math.log(0.6))}, pytest.approx(0.4))


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"content": None}, {"content": []}, {"content": [{"token": "x", "logprob": -1.0}]}, "x"],
)
def test_a_server_without_log_probabilities_gives_a_reply_without_them(logprobs):
    body = completion("yes")
    body["choices"][0]["logprobs"] = logprobs
    reply, _ = canned(body, CLOSED._replace(logprobs=True))
    assert reply.logprobs is None


# What goes wrong

OUTCOMES = {
    "rate_limit": (TransientError, "rate_limit"),
    "rate_limit_bare": (TransientError, "rate_limit"),
    "insufficient_quota": (BackendUnusable, "insufficient_quota"),
    "unauthorized": (BackendUnusable, "unauthorized"),
    "unknown_model": (BackendUnusable, "unknown_model"),
    "context_overflow": (RequestRejected, "context_overflow"),
    "content_filtered": (RequestRejected, "content_filter"),
    "http_500": (TransientError, "server_error"),
    "http_502": (TransientError, "bad_gateway"),
    "http_503": (TransientError, "unavailable"),
    "http_529": (TransientError, "overloaded"),
    "reset": (TransientError, "reset"),
    "disconnect": (TransientError, "disconnected"),
    "half_body": (TransientError, "truncated"),
    "hang": (TransientError, "timeout"),
    "drip": (TransientError, "timeout"),
    "malformed_json": (TransientError, "malformed_json"),
    "wrong_schema": (TransientError, "wrong_schema"),
    "error_body": (TransientError, "error_body"),
    "no_choices": (TransientError, "no_choices"),
    "empty": ("", ()),
    "refusal": ("I'm sorry, I can't help with that.", ("refusal",)),
    "content_filter": ("", ("content_filter",)),
    "length": ("Y", ("length",)),
    "wrong_model": ("yes", ()),
}


def faulty(fault):
    return ServerDouble(lambda messages, seed, i: "yes", faults=FaultPlan(script=(fault,)), drip_s=0.01)


def test_there_is_an_outcome_for_every_fault():
    assert OUTCOMES.keys() == FAULTS.keys()


@pytest.mark.parametrize("fault", OUTCOMES)
def test_every_fault_has_its_outcome_after_one_call(fault):
    first, second = OUTCOMES[fault]
    double = faulty(fault)
    options = {"timeout_s": 0.15 if fault in {"hang", "drip"} else 10.0}
    if isinstance(first, str):
        reply = reply_of(double, **options)
        assert (reply.texts, reply.finish) == ((first,), second)
    else:
        failure = failure_of(double, **options)
        assert (type(failure), failure.kind) == (first, second)
        assert failure.__cause__ is failure.__context__ is None
    assert double.ledger.kinds == {fault: 1}


def test_another_models_name_is_passed_on():
    assert reply_of(faulty("wrong_model")).model == "double-other"


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        ("rate_limit", 0.02),
        ("http_503", 0.02),
        ("rate_limit_bare", None),
        ("disconnect", 0.0),
        ("reset", 0.0),
    ],
)
def test_the_servers_hint_or_that_there_is_none_is_passed_on(fault, hint):
    assert failure_of(faulty(fault)).retry_after_s == hint


def test_trying_again_helps_where_it_can():
    async def main():
        async with start_server(faulty("http_500")) as server:
            backend = made(server.base_url)
            with pytest.raises(TransientError):
                await backend.complete(REQUEST)
            reply = await backend.complete(REQUEST)
            await backend.aclose()
            return reply.texts, server.ledger.bodies.most_common(1)[0][1]

    assert asyncio.run(main()) == (("yes",), 2)


def failure_at(base_url, **options):
    with pytest.raises(BackendError) as caught:
        asyncio.run(ask(base_url, REQUEST, **options))
    return caught.value


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_server_that_does_not_run_is_transient_and_the_message_says_how_to_look():
    url = f"http://127.0.0.1:{free_port()}/v1"
    failure = failure_at(url)
    assert (type(failure), failure.kind) == (ServerUnreachable, "refused")
    assert f"curl {url}/models" in str(failure)


def test_a_host_that_does_not_exist_makes_the_backend_unusable():
    failure = failure_at("http://no-such-host.invalid/v1")
    assert (type(failure), failure.kind) == (BackendUnusable, "unknown_host")
    assert "backend.base_url" in str(failure)


def test_a_server_without_tls_says_that_the_url_may_be_wrong():
    async def main():
        async with start_server(ServerDouble()) as server:
            await ask(server.base_url.replace("http:", "https:"), REQUEST)

    with pytest.raises(BackendUnusable, match="http:// and https://") as caught:
        asyncio.run(main())
    assert caught.value.kind == "tls"


def test_a_wrong_path_makes_the_backend_unusable():
    async def main():
        async with start_server(ServerDouble()) as server:
            await ask(server.base_url.removesuffix("/v1"), REQUEST)

    with pytest.raises(BackendUnusable, match="/v1") as caught:
        asyncio.run(main())
    assert caught.value.kind == "wrong_url"


def test_a_redirect_is_not_followed_because_it_would_carry_the_key_away():
    async def main():
        async with Canned((200, {}, completion("yes"))).listening() as elsewhere:
            moved = Canned((307, {"Location": f"{elsewhere.url}/v1/chat/completions?key={KEY}"}, b""))
            async with moved.listening() as server:
                with pytest.raises(BackendUnusable) as caught:
                    await ask(f"{server.url}/v1", REQUEST, environ={"OPENAI_API_KEY": KEY})
            assert f"sends us to {elsewhere.url}/v1/chat/completions, where" in str(caught.value)
            assert KEY not in str(caught.value)
            return caught.value.kind, len(elsewhere.bodies)

    assert asyncio.run(main()) == ("wrong_url", 0)


def test_a_password_in_an_address_that_a_server_tells_is_not_shown():
    async def main():
        moved = Canned((307, {"Location": "https://me:hunter2@elsewhere.invalid/v1"}, b""))
        async with moved.listening() as server:
            with pytest.raises(BackendUnusable) as caught:
                await ask(f"{server.url}/v1", REQUEST)
            return str(caught.value)

    said = asyncio.run(main())
    assert "@elsewhere.invalid/v1" in said
    assert "hunter2" not in said


def test_bytes_that_are_no_http_are_transient():
    async def main():
        async def mumble(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x00\x01 hello, this is no HTTP at all\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(mumble, "127.0.0.1", 0)
        async with server:
            await ask(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", REQUEST)

    with pytest.raises(TransientError) as caught:
        asyncio.run(main())
    assert caught.value.kind == "garbled"


def test_a_cancelled_call_frees_its_place():
    async def main():
        async with start_server(faulty("hang")) as server:
            backend = made(server.base_url)
            call = asyncio.create_task(backend.complete(REQUEST))
            while not server.ledger.in_flight:  # noqa: ASYNC110 - the double tells nobody when a call comes in
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            outstanding = backend._http.endpoints[0].outstanding
            await backend.aclose()
            return outstanding

    assert asyncio.run(main()) == 0


# Keys


def every_word_of(failure):
    """Collect whatever an error and all that hangs on it could show."""
    seen, rest = [], [failure]
    while rest:
        error = rest.pop()
        seen += [str(error), repr(error), repr(error.args), repr(vars(error))]
        seen += traceback.format_exception(error)
        rest += [each for each in (error.__cause__, error.__context__) if each is not None]
    return "\n".join(seen)


@pytest.mark.parametrize(
    "fault", [name for name, (first, _) in OUTCOMES.items() if not isinstance(first, str)]
)
def test_no_fault_shows_the_key(fault):
    failure = failure_of(faulty(fault), environ={"OPENAI_API_KEY": KEY}, timeout_s=0.15)
    assert KEY not in every_word_of(failure)
    assert "Bearer" not in every_word_of(failure)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize(
    "shape", ["{}", '{{"error": {{"message": "{}"}}}}', '{{"choices": "{}"}}', '{{"detail": "Bearer {}"}}']
)
def test_a_server_that_repeats_the_key_is_quoted_without_it(status, shape):
    with pytest.raises(BackendError) as caught:
        canned(shape.format(KEY).encode(), status=status, environ={"OPENAI_API_KEY": KEY})
    assert KEY not in every_word_of(caught.value)


def test_a_key_of_no_known_form_is_not_shown_either_nor_its_half():
    odd = "Zyx9876543210"
    for body in (f'"{odd}"', f'{{"error": "{odd}"}}', f"{' ' * 1193}{odd}"):
        with pytest.raises(BackendError) as caught:
            canned(body.encode(), environ={"OPENAI_API_KEY": odd})
        assert "Zyx" not in every_word_of(caught.value)


def test_no_broken_connection_shows_the_key():
    for url in (f"http://127.0.0.1:{free_port()}/v1", "http://no-such-host.invalid/v1"):
        assert KEY not in every_word_of(failure_at(url, environ={"OPENAI_API_KEY": KEY}))


def test_the_backend_does_not_show_its_key():
    backend = made("http://127.0.0.1:9/v1", {"OPENAI_API_KEY": KEY})
    shown = " ".join(map(repr, (backend, backend.options, backend._http, *backend._http.endpoints)))
    assert KEY not in shown


@pytest.mark.parametrize("name", ["api_key", "key", "OPENAI_API_KEY", "token", "password", "authorization"])
def test_a_key_among_the_options_is_refused_unseen(name):
    with pytest.raises(ConfigurationError, match=f"backend.{name} is refused") as caught:
        made("http://127.0.0.1:9/v1", **{name: KEY})
    assert KEY not in every_word_of(caught.value)


def test_a_key_among_the_extra_fields_is_refused_unseen():
    with pytest.raises(ConfigurationError, match=r"backend\.extra\.api_key is refused") as caught:
        made("http://127.0.0.1:9/v1", extra={"api_key": KEY})
    assert KEY not in every_word_of(caught.value)


@pytest.mark.parametrize("where", ["key_env", "base_url", "modle", "timeout_s"])
def test_a_key_in_the_wrong_option_is_not_repeated(where):
    options = {"model": "m", "base_url": "http://127.0.0.1:9/v1", where: KEY}
    with pytest.raises(ConfigurationError, match=f"backend.{where}") as caught:
        OpenAIBackend.from_options(options, {})
    assert KEY not in every_word_of(caught.value)


# Options


def problem_with(environ=None, **options):
    with pytest.raises(ConfigurationError) as caught:
        OpenAIBackend.from_options(
            {"model": "m", "base_url": "http://127.0.0.1:9/v1", **options}, environ or {}
        )
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperatur": 1}, "backend.temperatur is no option of openai; known: "),
        ({"base_ulr": "x"}, "backend.base_ulr is no option of openai; did you mean 'base_url'?"),
        ({"model": ""}, "backend.model: "),
        ({"model": 7}, "backend.model: "),
        ({"timeout_s": 0}, "backend.timeout_s: "),
        ({"timeout_s": "soon"}, "backend.timeout_s: "),
        ({"seed_bits": 64}, "backend.seed_bits: "),
        ({"top_logprobs": 1_000_001}, "backend.top_logprobs: "),
        ({"constrain": "magic"}, "backend.constrain: "),
        ({"max_tokens_field": "tokens"}, "backend.max_tokens_field: "),
        ({"base_url": []}, "backend.base_url: "),
        ({"base_url": "ftp://x/v1"}, "backend.base_url must be a URL"),
        ({"base_url": "127.0.0.1:8000"}, "backend.base_url must be a URL"),
        ({"base_url": "http://[::1/v1"}, "backend.base_url must be a URL"),
        ({"base_url": "http://localhost..:8000/v1"}, "backend.base_url must be a URL"),
        ({"base_url": f"http://{'a' * 64}.org/v1"}, "backend.base_url must be a URL"),
        ({"base_url": "http://xn--/v1"}, "backend.base_url must be a URL"),
        ({"base_url": "http://me:pw@host/v1"}, "backend.base_url must hold no user"),
        ({"base_url": "http://host/v1?api-key=1"}, "backend.base_url must hold no user"),
        ({"base_url": "http://host/v1?"}, "backend.base_url must hold no user"),
        ({"base_url": "http://host/v1#"}, "backend.base_url must hold no user"),
        ({"base_url": "http://:pw@host/v1"}, "backend.base_url must hold no user"),
        ({"base_url": "http://host:0/v1"}, "backend.base_url must be a URL"),
        ({"base_url": "http://host/v1/chat/completions"}, "backend.base_url must be what stands before"),
        ({"base_url": ["http://h/v1", " http://h/v1/ "]}, "backend.base_url names a server twice"),
        ({"extra": {"messages": []}}, "backend.extra may not hold messages"),
        ({"extra": {"x": object()}}, "backend.extra"),
        ({"key_env": "MY_KEY"}, "MY_KEY is not set"),
    ],
)
def test_an_impossible_option_is_named_with_what_is_wrong(options, words):
    assert words in problem_with(**options)


def test_a_key_in_the_address_is_refused_unseen():
    problem = problem_with({"OPENAI_API_KEY": KEY}, base_url=f"http://host/{KEY}/v1")
    assert "backend.base_url holds a key" in problem
    assert KEY not in problem


def test_a_model_must_be_named():
    with pytest.raises(ConfigurationError, match=r"backend\.model is missing; give it by -S backend\.model"):
        OpenAIBackend.from_options({}, {"OPENAI_API_KEY": KEY})


def test_openai_itself_needs_a_key():
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY is not set"):
        OpenAIBackend.from_options({"model": "m"}, {})


@pytest.mark.parametrize("value", ["two words", "schl\u00fcssel", "a\x07b", '"sk-quoted"'])
def test_a_value_that_can_be_no_key_is_refused_unseen(value):
    words = problem_with({"OPENAI_API_KEY": value})
    assert "OPENAI_API_KEY holds no key" in words
    assert value not in words


def test_every_problem_is_told_at_once():
    words = problem_with(seed_bits=99, top_logprobs=-1)
    assert "backend.seed_bits" in words
    assert "backend.top_logprobs" in words


def test_the_plug_in_is_found_by_its_name(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    backend = make_backend("openai", {"model": "m", "base_url": "http://127.0.0.1:9/v1/"})
    assert isinstance(backend, Backend)
    assert (backend.name, backend.model_name) == ("openai", "m")
    assert backend.options.base_url == ("http://127.0.0.1:9/v1",)


# Connections


def test_connections_are_neither_limited_nor_kept_until_a_server_drops_them():
    async def main():
        transport = AiohttpTransport({}, 300.0)
        session = transport.session
        found = session.connector.limit, session.connector._keepalive_timeout, session.timeout
        await transport.aclose()
        return found

    limit, keep_alive_s, timeout = asyncio.run(main())
    assert limit == 0
    assert keep_alive_s < 5.0
    # One timer for all calls holds to the deadline: see the tests of all transports.
    assert (timeout.total, timeout.sock_connect, timeout.sock_read) == (None, 60.0, None)


def test_more_than_a_hundred_calls_are_in_flight_at_once():
    async def main():
        async with start_server(ServerDouble(latency_s=0.3)) as server:
            requests = [REQUEST._replace(seed=seed) for seed in range(160)]
            backend = made(server.base_url)
            await asyncio.gather(*map(backend.complete, requests))
            await backend.aclose()
            return server.ledger.most_in_flight, len(server.ledger.answered)

    assert asyncio.run(main()) == (160, 160)


def test_requests_are_spread_over_several_servers():
    async def main():
        async with (
            start_server(ServerDouble(latency_s=0.02)) as one,
            start_server(ServerDouble(latency_s=0.02)) as two,
        ):
            backend = made([one.base_url, two.base_url])
            await asyncio.gather(*(backend.complete(REQUEST._replace(seed=seed)) for seed in range(40)))
            await backend.aclose()
            return one.ledger.calls, two.ledger.calls

    # They begin alike: one server gets a quarter more than its share, and no more than one request on top.
    calls = asyncio.run(main())
    assert sum(calls) == 40
    assert max(calls) <= 1.25 * 20 + 1


def test_a_dead_server_costs_one_failure_and_the_next_try_goes_elsewhere():
    async def main():
        async with start_server(ServerDouble()) as alive:
            backend = made([f"http://127.0.0.1:{free_port()}/v1", alive.base_url])
            hints = []
            for request in BY_PERSONA[:10]:
                try:
                    await backend.complete(request)
                except TransientError as error:
                    hints.append((error.kind, error.retry_after_s))
            await backend.aclose()
            return hints, alive.ledger.calls

    hints, n_calls = asyncio.run(main())
    assert hints == [("refused", 0.0)]
    assert n_calls == 9


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (ServerDouble(models=("another",)), "set backend.model to one that the server lists"),
        (ServerDouble(faults=FaultPlan(rates={"wrong_model": 1.0})), "servers of base_url have one model"),
    ],
)
def test_a_server_of_another_model_among_several_is_refused_in_words(other, said):
    async def main():
        async with start_server(ServerDouble()) as one, start_server(other) as two:
            backend = made([one.base_url, two.base_url])
            answered, refused = [], []
            for request in BY_PERSONA:
                try:
                    answered.append((await backend.complete(request)).model)
                except BackendUnusable as error:
                    refused.append((error.kind, two.base_url in str(error), said in str(error)))
            await backend.aclose()
            return set(answered), set(refused)

    # Whoever answered first sets what the others' is; by their personas both are asked.
    answered, refused = asyncio.run(main())
    assert len(answered) == 1
    assert refused == {("unknown_model", True, True)}


def test_a_server_whose_model_gets_another_name_later_goes_on_and_the_log_says_it():
    renamed = ServerDouble()

    async def main():
        async with start_server(ServerDouble()) as one, start_server(renamed) as two:
            backend = made([one.base_url, two.base_url])
            for request in BY_PERSONA:
                await backend.complete(request)
            renamed.faults = FaultPlan(rates={"wrong_model": 1.0})
            models = {(await backend.complete(request)).model for request in BY_PERSONA}
            await backend.aclose()
            return models

    assert asyncio.run(main()) == {"double", "double-other"}


def test_an_unknown_host_among_servers_that_work_is_a_passing_trouble():
    async def main():
        async with start_server(ServerDouble()) as alive:
            backend = made(["http://no-such-host.invalid/v1", alive.base_url])
            outcomes = set()
            for request in BY_PERSONA[:10]:
                try:
                    await backend.complete(request)
                except TransientError as error:
                    outcomes.add(error.kind)
            await backend.aclose()
            return outcomes

    assert asyncio.run(main()) == {"unreachable"}


def test_a_server_that_fails_again_and_again_is_left_out():
    broken = ServerDouble(faults=FaultPlan(rates={"http_500": 1.0}))

    async def main():
        async with start_server(broken) as bad, start_server(ServerDouble()) as good:
            backend = made([bad.base_url, good.base_url])
            for request in BY_PERSONA:
                await asyncio.gather(backend.complete(request), return_exceptions=True)
            await backend.aclose()
            return bad.ledger.calls, good.ledger.calls

    assert asyncio.run(main()) == (3, 17)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[0:0:0:0:0:0:0:1]"])
def test_this_machine_is_reached_without_a_proxy(monkeypatch, host):
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    assert proxy_of(f"http://{host}:8000/v1") is None


def test_another_machine_is_reached_through_the_proxy_of_the_environment(monkeypatch):
    async def main():
        async with Canned((200, {}, completion("yes"))).listening() as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("no_proxy", "other.invalid")
            assert proxy_of("http://other.invalid/v1") is None
            (reply,) = await ask("http://model.invalid/v1", REQUEST)
            return reply.texts, proxy.paths

    assert asyncio.run(main()) == (("yes",), ["http://model.invalid/v1/chat/completions"])


@pytest.mark.parametrize(
    ("host", "without", "is_exempt"),
    [
        ("model.invalid:8000", "a, model.invalid:8000", True),
        ("model.invalid:8000", "model.invalid:8001", False),
        ("10.1.2.3:8000", "10.0.0.0/8", True),
        ("11.1.2.3:8000", "10.0.0.0/8", False),
        ("[fd00::5]:8000", "x, fd00::/8", True),
        ("[fd00::5]:8000", "[fd00::5]", True),
        ("127.evil.invalid", "", False),
    ],
)
def test_whom_the_environment_exempts_is_reached_without_the_proxy(monkeypatch, host, without, is_exempt):
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", without)
    assert (proxy_of(f"http://{host}/v1") is None) == is_exempt


def test_a_closed_backend_may_be_closed_again():
    async def main():
        backend = made("http://127.0.0.1:9/v1")
        await backend.aclose()
        await backend.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract_of_backends(check):
    double = ServerDouble(models=("double",))

    def run(main):
        async def with_server():
            async with start_server(double):
                await main

        asyncio.run(with_server())

    failing = Request((("user", "x"),), temperature=99.0)
    subject = Subject(
        lambda: made(double.base_url),
        deterministic=True,
        failing=failing,
        count_calls=lambda backend: double.ledger.calls,
        run=run,
    )
    run_check(check, subject)
