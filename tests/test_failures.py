"""From statuses, headers, bodies and exceptions to errors, without any server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import BackendUnusable, RequestRejected, TransientError
from agentnet.testing.server.limits import duration_text
from agentnet_backends.failures import (
    Peer,
    error_of_answer,
    error_of_body,
    error_of_exception,
    said_by,
)
from agentnet_backends.retry_hints import duration_s, retry_hint

PEER = Peer("openai", "http://127.0.0.1:8000/v1", "OPENAI_API_KEY", ("sk-very-secret-key",))
KEYLESS = Peer("openai", "http://127.0.0.1:8000/v1", "OPENAI_API_KEY")


def answered(status, body, headers=None, peer=PEER):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_of_answer(peer, status, headers or {}, raw)


def openai_error(message, code=None, kind="invalid_request_error"):
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


@pytest.mark.parametrize(
    ("status", "body", "error", "kind"),
    [
        (429, openai_error("Rate limit reached", "rate_limit_exceeded"), TransientError, "rate_limit"),
        (429, {"error": "Too many tokens per minute"}, TransientError, "rate_limit"),
        (429, openai_error("Quota", "insufficient_quota"), BackendUnusable, "insufficient_quota"),
        (429, openai_error("Request too large for gpt-x on TPM"), RequestRejected, "too_large"),
        (
            402,
            {"error": {"message": "Insufficient credits", "code": 402}},
            BackendUnusable,
            "insufficient_quota",
        ),
        (400, {"error": {"message": "x", "type": "budget_exceeded"}}, BackendUnusable, "insufficient_quota"),
        (401, {"error": "Unauthorized"}, BackendUnusable, "unauthorized"),
        (400, openai_error("API key not valid. Pass a valid one."), BackendUnusable, "unauthorized"),
        (403, {"detail": "Forbidden"}, RequestRejected, "forbidden"),
        (403, openai_error("Your input was flagged"), RequestRejected, "content_filter"),
        (404, {"detail": "Not Found"}, BackendUnusable, "wrong_url"),
        (405, {"detail": "Method Not Allowed"}, BackendUnusable, "wrong_url"),
        (307, b"", BackendUnusable, "wrong_url"),
        (
            404,
            openai_error("The model `x` does not exist", "model_not_found"),
            BackendUnusable,
            "unknown_model",
        ),
        (404, openai_error("model 'x' not found, try pulling it first"), BackendUnusable, "unknown_model"),
        (400, openai_error("invalid model ID"), BackendUnusable, "unknown_model"),
        (
            400,
            openai_error("Unsupported parameter: 'max_tokens'", "unsupported_parameter"),
            BackendUnusable,
            "unsupported",
        ),
        (
            422,
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "no"}]},
            BackendUnusable,
            "unsupported",
        ),
        (400, openai_error("x", "context_length_exceeded"), RequestRejected, "context_overflow"),
        (
            400,
            {
                "object": "error",
                "message": "This model's maximum context length is 2048 tokens.",
                "code": 400,
            },
            RequestRejected,
            "context_overflow",
        ),
        (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size",
                    "type": "x",
                }
            },
            RequestRejected,
            "context_overflow",
        ),
        (
            500,
            {"error": {"message": "Requested tokens (2060) exceed context window of 2048", "code": None}},
            RequestRejected,
            "context_overflow",
        ),
        (
            400,
            openai_error("max_tokens=4000 cannot be greater than max_model_len=2048."),
            RequestRejected,
            "context_overflow",
        ),
        (413, b"Payload Too Large", RequestRejected, "context_overflow"),
        (400, openai_error("The response was filtered", "content_filter"), RequestRejected, "content_filter"),
        (400, openai_error("n must be 1 when using greedy sampling"), RequestRejected, "bad_request"),
        (
            400,
            openai_error("Requested sample logprobs of 20, which is greater than max allowed: 5"),
            BackendUnusable,
            "unsupported",
        ),
        (400, openai_error("This response_format type is unavailable now"), BackendUnusable, "unsupported"),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "not an int"}]}, RequestRejected, "bad_request"),
        (418, b"I'm a teapot", RequestRejected, "bad_request"),
        (408, b"", TransientError, "timeout"),
        (409, b"", TransientError, "conflict"),
        (500, openai_error("boom"), TransientError, "server_error"),
        (501, b"", TransientError, "server_error"),
        (502, b"<html>Bad Gateway</html>", TransientError, "bad_gateway"),
        (503, {"error": {"message": "Loading model", "code": 503}}, TransientError, "loading"),
        (503, {"error": {"message": "no upstream", "code": 503}}, TransientError, "unavailable"),
        (504, b"", TransientError, "gateway_timeout"),
        (529, openai_error("Overloaded"), TransientError, "overloaded"),
    ],
)
def test_each_answer_becomes_the_error_that_says_whether_trying_again_helps(status, body, error, kind):
    failure = answered(status, body)
    assert type(failure) is error
    assert failure.kind == kind
    assert str(failure).startswith("openai at http://127.0.0.1:8000/v1: HTTP ")
    assert str(status) in str(failure)


def test_a_filter_is_no_reason_to_give_up_on_a_server_that_broke():
    assert answered(500, openai_error("the content_filter service is down")).kind == "server_error"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "A", "code": 7}}, "A"),
        ({"error": "B"}, "B"),
        ({"detail": "C"}, "C"),
        ({"detail": {"message": "D"}}, "D"),
        ({"detail": [{"loc": ["body", "n"], "msg": "E"}, "F"]}, "body.n: E; F"),
        ({"message": "G"}, "G"),
        ([{"error": {"message": "H"}}], "H"),
        ("I", "I"),
        (None, ""),
    ],
)
def test_an_error_body_of_any_shape_is_read(body, message):
    assert said_by(json.dumps(body).encode()).message == message


def test_a_body_that_is_no_json_is_quoted_as_it_is():
    assert said_by(b"Bad \xff Gateway").message == "Bad \N{REPLACEMENT CHARACTER} Gateway"
    assert said_by(b"[" * 100_000).message.startswith("[[")


@given(st.binary(max_size=60), st.integers(300, 599))
def test_no_answer_however_broken_breaks_the_reader(raw, status):
    assert isinstance(
        error_of_answer(PEER, status, {}, raw), TransientError | RequestRejected | BackendUnusable
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "detail", "message", "code", "type", "loc", "msg"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(json_values, st.integers(300, 599))
def test_no_json_however_odd_breaks_the_reader(body, status):
    assert str(answered(status, body)).startswith("openai at ")


def test_what_makes_a_backend_unusable_comes_with_a_way_out():
    assert "OPENAI_API_KEY was refused" in str(answered(401, b""))
    assert "OPENAI_API_KEY is not set" in str(answered(401, b"", peer=KEYLESS))
    assert "backend.model" in str(answered(404, openai_error("no such model", "model_not_found")))
    assert "backend.base_url" in str(answered(404, {"detail": "Not Found"}))
    assert "backend.max_tokens_field" in str(answered(400, openai_error("x", "unsupported_parameter")))


def test_a_server_that_repeats_the_key_cannot_make_us_show_it():
    for text in ("Incorrect API key: sk-very-secret-key.", "Bearer sk-very-secret-key", "hf_abcdefghijk"):
        shown = str(answered(401, openai_error(text)))
        assert "secret" not in shown
        assert "abcdefghijk" not in shown
        assert "[key]" in shown


def test_a_long_answer_is_shortened_to_one_line():
    shown = str(answered(500, b"<p>\n" * 1000))
    assert len(shown) < 450
    assert "\n" not in shown


def test_an_error_inside_a_success_is_transient_unless_the_money_is_gone():
    assert error_of_body(PEER, {"error": {"message": "upstream"}}).kind == "error_body"
    assert isinstance(error_of_body(PEER, openai_error("x", "insufficient_quota")), BackendUnusable)


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "6m0s"}, 360.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        (
            {
                "retry-after": format_datetime(NOW + timedelta(seconds=9), usegmt=True),
                "date": format_datetime(NOW, usegmt=True),
            },
            9.0,
        ),
        (
            {
                "retry-after": format_datetime(NOW, usegmt=True),
                "date": format_datetime(NOW + timedelta(hours=1), usegmt=True),
            },
            0.0,
        ),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "500ms"}, 0.5),
        (
            {
                "x-ratelimit-reset-requests": "8h",
                "x-ratelimit-remaining-requests": "41",
                "x-ratelimit-reset-tokens": "1.25s",
                "x-ratelimit-remaining-tokens": "0",
            },
            1.25,
        ),
        ({"x-ratelimit-reset-requests": "12s", "x-ratelimit-reset-tokens": "3s"}, 3.0),
        (
            {
                "x-ratelimit-reset-requests": "12s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "3s",
                "x-ratelimit-remaining-tokens": "0",
            },
            12.0,
        ),
        ({"retry-after": "2", "x-ratelimit-reset-requests": "6m0s"}, 2.0),
    ],
)
def test_the_servers_hint_is_found_in_whatever_header_it_stands(headers, seconds):
    hint = retry_hint(headers)
    assert hint == seconds if seconds is None else hint == pytest.approx(seconds)


def test_a_date_without_a_servers_clock_is_compared_with_ours():
    hint = retry_hint({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"})
    assert hint is not None
    assert hint > 86_400.0


def test_a_hint_in_the_message_counts_if_no_header_gives_one():
    body = openai_error("Rate limit reached. Please try again in 1.2s. Visit ...")
    assert answered(429, body).retry_after_s == pytest.approx(1.2)
    assert answered(429, body, {"retry-after": "5"}).retry_after_s == pytest.approx(5.0)


def test_an_overloaded_server_may_say_when_to_come_back():
    assert answered(503, b"", {"retry-after": "30"}).retry_after_s == pytest.approx(30.0)


@given(st.floats(0.0, 1e5).filter(lambda s: s == 0.0 or s >= 1e-3))
def test_durations_as_openai_writes_them_are_read_back(seconds):
    assert duration_s(duration_text(seconds)) == pytest.approx(seconds, rel=1e-3, abs=6e-4)


@given(st.text(max_size=12))
def test_no_text_breaks_the_reader_of_durations(text):
    found = duration_s(text)
    assert found is None or found >= 0.0


def test_an_exception_that_nobody_foresaw_is_transient():
    failure = error_of_exception(PEER, OSError("odd"), timeout_s=1.0, is_known=False)
    assert type(failure) is TransientError
    assert failure.kind == "garbled"
    assert "odd" not in str(failure)


@pytest.mark.parametrize(
    ("errno", "kind"),
    [
        (111, "refused"),
        (101, "no_route"),
        (113, "no_route"),
        (110, "connect_timeout"),
        (104, "reset"),
        (32, "reset"),
    ],
)
def test_the_operating_systems_numbers_name_the_trouble(errno, kind):
    assert error_of_exception(PEER, OSError(errno, "words"), timeout_s=1.0, is_known=False).kind == kind


def test_a_host_that_was_there_before_is_only_out_of_reach():
    gone = OSError(113, "No route to host")
    assert isinstance(error_of_exception(PEER, gone, timeout_s=1.0, is_known=False), BackendUnusable)
    failure = error_of_exception(PEER, gone, timeout_s=1.0, is_known=True)
    assert isinstance(failure, TransientError)
    assert failure.kind == "unreachable"
    assert "No route to host" in str(failure)
