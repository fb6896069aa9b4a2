"""Usual replies are read in one go: they give what reading with care gives, and no other is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import Request
from agentnet.errors import BackendError
from agentnet_backends import chat
from agentnet_backends.answers import CONSTRAINTS
from agentnet_backends.failures import Peer

PEER = Peer("openai", "http://x/v1", "KEY")
ASK = Request((("user", "Do you share it?"),), answers=("yes", "no"))


def completion(choice=None, message=None, usage=None, **fields):
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": '{"answer":"yes"}', **(message or {})},
                "logprobs": None,
                "finish_reason": "stop",
                **(choice or {}),
            }
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 340, **(usage or {})},
        "model": "m-1",
        **fields,
    }


AS_SERVERS_SEND_THEM = {
    "OpenAI": completion(
        message={"refusal": None, "annotations": []},
        usage={
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0},
        },
        system_fingerprint="fp_44709d6fcb",
        service_tier="default",
    ),
    "vLLM": completion(
        message={"refusal": None, "reasoning_content": None, "reasoning": None, "tool_calls": []},
        choice={"stop_reason": None, "token_ids": None},
        prompt_logprobs=None,
        kv_transfer_params=None,
    ),
    "llama.cpp": completion(timings={"prompt_ms": 1.5, "predicted_n": 4}, system_fingerprint="b6000-1234"),
    "Ollama": completion(choice={"logprobs": None}, system_fingerprint="fp_ollama"),
}


@pytest.mark.parametrize("server", AS_SERVERS_SEND_THEM)
@pytest.mark.parametrize("constrain", CONSTRAINTS)
def test_what_servers_usually_send_is_read_in_one_go(server, constrain):
    raw = json.dumps(AS_SERVERS_SEND_THEM[server]).encode()
    found = chat._usual(raw, CONSTRAINTS[constrain])
    assert found == chat._with_care(raw, ASK, CONSTRAINTS[constrain], PEER)
    assert found.texts == (("yes",) if constrain == "response_format" else ('{"answer":"yes"}',))


UNUSUAL = {
    "a refusal": completion(message={"refusal": "I cannot say."}),
    "a thought": completion(message={"content": "", "reasoning_content": "Hm."}),
    "another thought": completion(message={"content": "", "reasoning": "Hm."}),
    "a third thought": completion(message={"content": "", "thinking": "Hm."}),
    "tokens that only the total has": completion(usage={"total_tokens": 740}),
    "thoughts beside what is counted": completion(
        usage={"completion_tokens_details": {"reasoning_tokens": 400}}
    ),
    "an end by the bound": completion(choice={"finish_reason": "length"}),
    "an end by a filter": completion(choice={"finish_reason": "content_filter"}),
    "a count that is none": completion(usage={"prompt_tokens": -1}),
    "no counts": completion() | {"usage": None},
    "parts of a text": completion(message={"content": [{"type": "text", "text": "yes"}]}),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_what_says_more_than_is_usual_is_read_with_care(case):
    raw = json.dumps(UNUSUAL[case]).encode()
    found = chat.read_reply(raw, ASK, CONSTRAINTS["none"], PEER)
    assert found == chat._with_care(raw, ASK, CONSTRAINTS["none"], PEER)
    assert found != chat.read_reply(json.dumps(completion()).encode(), ASK, CONSTRAINTS["none"], PEER)
    assert chat._usual(raw, CONSTRAINTS["none"]) is None


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**10),
    st.sampled_from([10**30, 300, 40, 340, 0.0, 40.0, 1e300]),
    st.sampled_from(["", " ", "stop", "length", "content_filter", "yes", "é漢\u2028", "m" * 2000]),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.sampled_from(["code", "text", "reasoning_tokens"]), st.integers(0, 50), max_size=1),
)
PLACES = {
    "message": ["content", "refusal", "reasoning_content", "reasoning", "thinking", "tool_calls"],
    "choice": ["message", "finish_reason", "error", "index", "logprobs"],
    "usage": ["prompt_tokens", "completion_tokens", "total_tokens", "completion_tokens_details"],
}


@st.composite
def bodies(draw):
    """Replies with odd values in some places, or with some left out."""
    parts = {
        part: draw(st.dictionaries(st.sampled_from(names), odd, max_size=2)) for part, names in PLACES.items()
    }
    fields = draw(
        st.dictionaries(
            st.sampled_from(["model", "system_fingerprint", "error", "id", "usage", "choices"]),
            odd,
            max_size=1,
        )
    )
    body = {**completion(**parts), **fields}
    if draw(st.booleans()) and "choices" not in fields:
        body["choices"] = body["choices"] * draw(st.integers(0, 2))
    return body


@given(bodies(), st.booleans(), st.sampled_from(sorted(CONSTRAINTS)))
def test_a_reply_that_is_read_in_one_go_reads_the_same_with_care(body, is_ascii, constrain):
    raw = json.dumps(body, ensure_ascii=is_ascii).encode()
    quick = chat._usual(raw, CONSTRAINTS[constrain])
    assert quick is None or quick == chat._with_care(raw, ASK, CONSTRAINTS[constrain], PEER)


@pytest.mark.parametrize(
    "broken",
    [
        b'"id": "\xff",',
        b'"id": [1,],',
        b'"id": 01,',
        b'"id": "\n",',
    ],
)
def test_what_is_no_json_is_none_wherever_it_stands(broken):
    raw = json.dumps(completion()).encode().replace(b'"id": "chatcmpl-1",', broken)
    assert raw.count(broken) == 1
    assert chat._usual(raw, CONSTRAINTS["none"]) is None
    with pytest.raises(BackendError) as caught:
        chat.read_reply(raw, ASK, CONSTRAINTS["none"], PEER)
    assert caught.value.kind == "malformed_json"


@pytest.mark.parametrize("content", ['"\\ud800 yes"', '"yes", "content": "yes"', '"yes", "tool": 1e999'])
def test_odd_json_reads_as_it_always_did(content):
    raw = json.dumps(completion()).encode().replace(json.dumps('{"answer":"yes"}').encode(), content.encode())
    assert chat.read_reply(raw, ASK, CONSTRAINTS["none"], PEER) == chat._with_care(
        raw, ASK, CONSTRAINTS["none"], PEER
    )


def test_who_asks_for_log_probabilities_is_never_answered_without_looking_for_them():
    listed = {"content": [{"token": "yes", "logprob": -0.1, "top_logprobs": []}]}
    raw = json.dumps(completion(message={"content": "yes"}, choice={"logprobs": listed})).encode()
    asked = ASK._replace(logprobs=True)
    assert chat.read_reply(raw, asked, CONSTRAINTS["none"], PEER).logprobs is not None
