"""The form of the mock's replies: answers, log-probabilities, JSON, reasons, token counts, latency."""

import asyncio
import json
import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agentnet.backend import Reply, Request
from agentnet.errors import RequestRejected
from agentnet.prompts import answer_schema, parse_reply
from agentnet.streams import mix
from agentnet.testing import run_in_virtual_time, timed_in_virtual_time
from agentnet.vocabulary import PROFILES
from agentnet_backends.mock import MockBackend
from agentnet_backends.mock_words import N_VARIANTS, rationales

MESSAGES = (("system", "You are open to new things."), ("user", "Do you share the news?"))
CELLS = list(product(PROFILES, (0, 1)))

seeds = st.integers(0, 2**63 - 1)
profiles = st.sampled_from(PROFILES)


def ask(seed=0, profile="01101", severity=0, *, facts=None, **fields) -> Request:
    metadata = {"profile": profile, "severity": severity, "news": "fair"} | (facts or {})
    return Request(MESSAGES, seed=seed, metadata=metadata)._replace(**fields)


def mock(**options) -> MockBackend:
    return MockBackend.from_options(options)


def answer(backend: MockBackend, request: Request) -> Reply:
    """Run `complete`, which must not give up control."""
    try:
        backend.complete(request).send(None)
    except StopIteration as finished:
        return finished.value
    raise AssertionError("complete waited for something")


@given(
    seed=seeds,
    n=st.integers(1, 4),
    answers=st.sampled_from([("yes", "no"), ("No", "Yes"), ("a", "b", "more than a token")]),
)
def test_constrained_samples_are_exactly_one_of_the_answers(seed, n, answers):
    reply = answer(mock(), ask(seed, n=n, answers=answers, max_tokens=1))
    assert set(reply.texts) <= set(answers)
    assert (len(reply.texts), reply.finish) == (n, ())


@pytest.mark.parametrize("answers", [("yes", "no"), ("no", "yes"), ("NO", "YES"), ("share", "ignore")])
def test_the_yes_is_found_by_its_word_else_it_is_the_first(answers):
    yes = {"yes": "yes", "no": "yes", "NO": "YES", "share": "share"}[answers[0]]
    assert answer(mock(law="constant", probability=1.0), ask(answers=answers)).texts == (yes,)
    assert answer(mock(law="constant", probability=0.0), ask(answers=answers)).texts != (yes,)


def test_a_single_answer_is_certain():
    reply = answer(mock(), ask(answers=("ok",), logprobs=True))
    assert (reply.texts, reply.logprobs) == (("ok",), {"ok": 0.0})


@pytest.mark.parametrize(("profile", "severity"), CELLS[::7])
def test_logprobs_are_those_of_the_law(profile, severity):
    backend = mock()
    p = backend.probability(profile, severity)
    for n in (1, 2):
        logprobs = answer(
            backend, ask(9, profile, severity, n=n, answers=("no", "yes"), logprobs=True)
        ).logprobs
        assert logprobs == pytest.approx({"yes": math.log(p), "no": math.log1p(-p)}, rel=1e-9)


def test_the_answers_beside_yes_share_the_rest():
    backend = mock(law="constant", probability=0.4)
    asked = [ask(mix(3, i) >> 1, answers=("a", "b", "c"), logprobs=True) for i in range(2_000)]
    replies = [answer(backend, request) for request in asked]
    assert replies[0].logprobs == pytest.approx({"a": math.log(0.4), "b": math.log(0.3), "c": math.log(0.3)})
    texts = [reply.texts[0] for reply in replies]
    counts = [texts.count(text) for text in "abc"]
    assert stats.chisquare(counts, [800, 600, 600]).pvalue > 1e-3


def test_what_cannot_be_has_no_probability_at_all():
    reply = answer(mock(law="constant", probability=1.0), ask(answers=("yes", "no"), logprobs=True))
    assert reply.logprobs == {"yes": 0.0, "no": -math.inf}


def test_logprobs_are_given_only_where_wanted_and_of_allowed_answers():
    assert answer(mock(), ask(answers=("yes", "no"))).logprobs is None
    assert answer(mock(), ask(logprobs=True)).logprobs is None
    assert answer(mock(), ask(logprobs=True, n=2)).logprobs is None


def test_changing_a_reply_s_logprobs_does_not_reach_the_next():
    backend = mock()
    request = ask(answers=("yes", "no"), logprobs=True)
    answer(backend, request).logprobs.clear()
    assert len(answer(backend, request).logprobs) == 2


@given(seed=seeds, profile=profiles, severity=st.sampled_from([0, 1]))
def test_an_inline_rationale_is_one_json_object(seed, profile, severity):
    backend = mock()
    text = answer(backend, ask(seed, profile, severity, facts={"rationale": "inline"})).texts[0]
    value = json.loads(text)
    assert list(value) == ["share", "reason"]
    assert value["reason"] in rationales(profile, severity, share=value["share"])
    assert parse_reply(text) == (value["share"], value["reason"], "", None)
    assert answer(backend, ask(seed, profile, severity, schema=answer_schema("inline"))).texts == (text,)


@pytest.mark.parametrize(
    ("properties", "keys"),
    [
        ({"reason": "string", "share": "boolean"}, ["reason", "share"]),
        ({"share": "boolean"}, ["share"]),
        ({"share": "boolean", "mood": "string"}, ["share"]),
    ],
)
def test_a_schema_decides_on_keys_and_their_order(properties, keys):
    schema = json.dumps({"properties": {key: {"type": kind} for key, kind in properties.items()}})
    assert list(json.loads(answer(mock(), ask(schema=schema)).texts[0])) == keys


@pytest.mark.parametrize(
    "schema",
    [
        "no json",
        "[]",
        "{}",
        '{"properties": []}',
        '{"properties": {"share": true}}',
        '{"properties": {"mood": {"type": "mood"}}}',
        '{"properties": {"mood": {"type": ["string", "null"]}}}',
        '{"properties": {"mood": {"type": "string", "pattern": "a+"}}}',
        '{"properties": {"mood": {"type": "string", "format": "uuid"}}}',
        '{"properties": {"mood": {"$ref": "#/$defs/Mood"}}}',
        '{"properties": {"moods": {"type": "array"}}}',
        '{"properties": {"mood": {"type": "object"}}}',
        '{"properties": {"share": {"type": "boolean"}}, "required": ["mood"]}',
        '{"properties": {"share": {"type": "boolean"}}, "required": 3}',
    ],
)
def test_a_schema_that_the_mock_cannot_satisfy_is_rejected(schema):
    with pytest.raises(RequestRejected, match="the mock can only satisfy a schema of an object") as caught:
        answer(mock(), ask(schema=schema))
    assert caught.value.kind == "unsupported_schema"


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ("Yes", True),
        ("no.", False),
        (" **No**, never", False),
        ('{"share": true, "reason": "No doubt."}', True),
        ('```json\n{"reason": "yes", "share" : false}\n```', False),
        ('{"share": true, "rea', True),
    ],
)
@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_a_reason_is_given_for_the_decision_in_the_conversation(said, share, probability):
    messages = (("assistant", "Not this one: yes, no"), *MESSAGES, ("assistant", said), ("user", "Why?"))
    request = ask(severity=1, facts={"kind": "reason"}, messages=messages)
    reply = answer(mock(law="constant", probability=probability), request)
    assert reply.texts[0] in rationales("01101", 1, share=share)


@pytest.mark.parametrize("said", [None, "Nobody knows", "It is true"])
@pytest.mark.parametrize("share", [True, False])
def test_a_reason_without_a_decision_follows_the_law(said, share):
    messages = MESSAGES if said is None else (*MESSAGES, ("assistant", said))
    backend = mock(law="constant", probability=float(share))
    reply = answer(backend, ask(facts={"kind": "reason"}, messages=messages, n=2))
    assert set(reply.texts) <= set(rationales("01101", 0, share=share))


def test_no_two_rationales_are_the_same():
    kinds = list(product((None, *PROFILES), (0, 1), (True, False)))
    texts = [
        text for profile, severity, share in kinds for text in rationales(profile, severity, share=share)
    ]
    assert len(texts) == 33 * 2 * 2 * N_VARIANTS
    assert len(set(texts)) == len(texts)


def test_a_rationale_argues_with_the_traits_that_speak_for_the_decision():
    # High openness and extraversion drive Table 1's yes; their opposites drive its no.
    for text in rationales("10100", 0, share=True):
        assert "curious about anything new" in text
        assert "talk with the people" in text
        assert "share this peaceful news" in text
    for text in rationales("01010", 1, share=False):
        assert "prefer what I already know" in text
        assert "keep to myself" in text
        assert "leave this violent news unshared" in text


def test_every_variant_of_a_rationale_is_used():
    backend = mock(law="constant", probability=1.0)
    texts = {answer(backend, ask(seed, facts={"kind": "reason"})).texts[0] for seed in range(60)}
    assert texts == set(rationales("01101", 0, share=True))


# Tokens


@pytest.mark.parametrize(
    ("contents", "n_tokens"),
    [(("",), 1), (("abcd",), 1), (("abcde",), 2), (("a" * 400, "b", ""), 102), ((), 1)],
)
def test_prompts_are_counted_by_characters(contents, n_tokens):
    messages = tuple(("user", content) for content in contents)
    backend = mock()
    for n in (1, 1, 2):
        assert answer(backend, ask(messages=messages, n=n)).prompt_tokens == n_tokens


def test_completions_are_counted_over_all_samples():
    backend = mock()
    for n in (1, 3):
        reply = answer(backend, ask(n=n, facts={"rationale": "inline"}))
        assert reply.completion_tokens == sum(math.ceil(len(text) / 4) for text in reply.texts)


@given(seed=seeds, n=st.integers(1, 3), max_tokens=st.integers(1, 80))
def test_a_text_beyond_the_bound_is_cut_off_and_says_so(seed, n, max_tokens):
    backend = mock()
    whole = answer(backend, ask(seed, n=n, facts={"rationale": "inline"}))
    cut = answer(backend, ask(seed, n=n, facts={"rationale": "inline"}, max_tokens=max_tokens))
    finish = cut.finish or ("stop",) * n
    for text, entire, why in zip(cut.texts, whole.texts, finish, strict=True):
        assert text == entire[: 4 * max_tokens]
        assert why == ("stop" if text == entire else "length")
    assert cut.completion_tokens <= n * max_tokens


def test_a_text_as_long_as_the_bound_is_whole_and_one_token_less_cuts_it():
    backend = mock()
    request = ask(facts={"rationale": "inline"})
    whole = answer(backend, request)
    assert answer(backend, request._replace(max_tokens=whole.completion_tokens)) == whole
    less = answer(backend, request._replace(max_tokens=whole.completion_tokens - 1))
    assert (less.completion_tokens, less.finish) == (whole.completion_tokens - 1, ("length",))


# Latency


def test_without_latency_complete_never_gives_up_control():
    assert answer(mock(), ask()).model == "mock-main_effects"


def test_without_spread_every_reply_takes_the_mean():
    async def main():
        backend = mock(latency_s=3.0)
        await backend.complete(ask(1))
        await backend.complete(ask(2, n=4))

    assert timed_in_virtual_time(main())[1] == pytest.approx(6.0)


def test_latencies_are_log_normal_with_the_given_mean_and_depend_on_the_seed_alone():
    mean, spread = 2.0, 0.5
    backend = mock(latency_s=mean, latency_spread=spread)

    async def took(seed):
        start = asyncio.get_running_loop().time()
        await backend.complete(ask(seed))
        return asyncio.get_running_loop().time() - start

    async def main():
        together = await asyncio.gather(*(took(mix(5, i) >> 1) for i in range(500)))
        again = [await took(mix(5, i) >> 1) for i in range(5)]
        return together, again

    together, again = run_in_virtual_time(main())
    law = stats.lognorm(s=spread, scale=mean * math.exp(-(spread**2) / 2))
    assert law.mean() == pytest.approx(mean)
    assert stats.kstest(together, law.cdf).pvalue > 1e-3
    assert again == pytest.approx(together[:5], abs=1e-6)
