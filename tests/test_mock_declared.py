"""The mock answers whatever is declared, deterministically, so that every design can be rehearsed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from itertools import product
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model
from scipy import special, stats

from agentnet.backend import Reply, Request
from agentnet.errors import BackendUnusable, RequestRejected
from agentnet.prompts import answer_schema
from agentnet.prompts.declared import Declared, declared
from agentnet.streams import mix
from agentnet_backends.mock import MockBackend

NEWS = "The bridge over the Elbe is closed. Nobody was hurt."
HEARD = (
    ("system", "You are Ada."),
    (
        "user",
        (
            f"You are Ada.\n- Your news is local.\n\nA neighbour told you:\n\n{NEWS}\n\n"
            "Do you pass it on?\n\nAnswer so: {it. All.}"
        ),
    ),
)
SENTENCES = ("The bridge over the Elbe is closed.", "Nobody was hurt.")

seeds = st.integers(0, 2**63 - 1)


def mock(**options: Any) -> MockBackend:
    return MockBackend.from_options(options)


def answer(backend: MockBackend, form: Declared, seed: int = 0, **fields: Any) -> Reply:
    facts: Mapping[str, Any] = {"kind": "answer"} | fields.pop("facts", {})
    request = Request(HEARD, seed=seed, answers=form.answers, schema=form.schema, metadata=facts)
    return said(backend, request._replace(**fields))


def said(backend: MockBackend, request: Request) -> Reply:
    """Run `complete`, which must not give up control."""
    try:
        backend.complete(request).send(None)
    except StopIteration as finished:
        reply: Reply = finished.value
        return reply
    raise AssertionError("complete waited for something")


def texts(backend: MockBackend, form: Declared, n: int, **fields: Any) -> list[str]:
    return [
        answer(backend, form, mix(7, i) >> 1, **fields).texts[0]
        for i in range(n // 20)
        for fields in [fields]
    ]


class Mood(Enum):
    CALM = "calm"
    ANGRY = "angry"


bounds = st.tuples(st.integers(-50, 50), st.integers(0, 60)).map(lambda pair: (pair[0], pair[0] + pair[1]))
leaves: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [bool, str, int, float, Mood, date, datetime, int | None, Literal["a", "b"], Literal[1, "x"]]
    ),
    bounds.map(lambda ends: Annotated[int, Field(ge=ends[0], le=ends[1])]),
    bounds.map(lambda ends: Annotated[int, Field(gt=ends[0] - 1, lt=ends[1] + 1)]),
    bounds.map(lambda ends: Annotated[float, Field(ge=ends[0], le=ends[1])]),
    bounds.map(lambda ends: Annotated[float, Field(gt=ends[0], lt=ends[1] + 1e-3)]),
    st.integers(1, 9).map(lambda step: Annotated[int, Field(multiple_of=step, ge=-step, lt=5 * step)]),
    st.integers(0, 300).map(lambda most: Annotated[str, Field(max_length=most)]),
    st.integers(0, 300).map(lambda least: Annotated[str, Field(min_length=least, max_length=least + 5)]),
    st.integers().map(lambda least: Annotated[int, Field(ge=least)]),
    st.floats(-1e6, 1e6).map(lambda most: Annotated[float, Field(lt=most)]),
)


def _model(kinds: list[Any]) -> Any:
    return create_model("Made", **{f"field_{i}": (kind, ...) for i, kind in enumerate(kinds)})


types = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).map(_model)
        | st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(
            lambda made: Annotated[list[made[0]], Field(min_length=made[1], max_length=made[1] + made[2])]  # type: ignore[name-defined]
        )
    ),
    max_leaves=6,
)


@given(kinds=st.lists(types, min_size=1, max_size=3), seed=seeds)
def test_any_declared_model_is_answered_as_declared(kinds: list[Any], seed: int) -> None:
    form = declared(_model(kinds))
    reply = answer(mock(), form, seed, max_tokens=100_000)
    verdict = form.judge(reply.texts[0])
    assert (verdict.problem, reply.finish) == ("", ())
    form.read(json.loads(json.dumps(verdict.value)))


@given(kind=leaves, seed=seeds)
def test_any_single_answer_is_answered_as_declared(kind: Any, seed: int) -> None:
    form = declared(kind)
    assert form.judge(answer(mock(), form, seed, max_tokens=100_000).texts[0]).problem == ""


class Retelling(BaseModel):
    share: bool
    text: Annotated[str, Field(max_length=60)]
    mood: Mood
    stance: Annotated[int, Field(ge=-2, le=2)]


RETELLING = declared(Retelling, decides="share")
ACTION = declared(Literal["like", "share", "flag", "ignore"])


@given(seed=seeds, n=st.integers(1, 4))
def test_more_samples_begin_with_those_of_fewer_and_every_instance_says_the_same(seed: int, n: int) -> None:
    for form in (RETELLING, ACTION, declared(str)):
        some, more = answer(mock(), form, seed, n=n), answer(mock(), form, seed, n=n + 2)
        assert more.texts[:n] == some.texts


@given(seed=seeds, max_tokens=st.integers(16, 40))
def test_texts_shrink_so_that_an_object_stays_whole_within_the_bound_of_tokens(
    seed: int, max_tokens: int
) -> None:
    reply = answer(mock(), RETELLING, seed, max_tokens=max_tokens)
    assert (reply.finish, RETELLING.judge(reply.texts[0]).problem) == ((), "")
    assert reply.completion_tokens is not None
    assert reply.completion_tokens <= max_tokens


def test_an_object_that_cannot_be_so_short_is_cut_off_and_says_so() -> None:
    assert answer(mock(), RETELLING, max_tokens=2).finish == ("length",)


@given(seed=seeds)
def test_texts_quote_what_was_told_not_what_was_asked(seed: int) -> None:
    assert answer(mock(), declared(str), seed).texts[0].endswith(SENTENCES)
    assert json.loads(answer(mock(), RETELLING, seed).texts[0])["text"] in SENTENCES
    short = answer(mock(), declared(str), seed, max_tokens=5)
    assert (len(short.texts[0]) <= 20, short.finish) == (True, ())


def test_who_quotes_a_text_of_the_mock_leaves_out_how_it_began() -> None:
    said = answer(mock(), declared(str)).texts[0]
    again = answer(mock(), declared(str), messages=(("user", said),)).texts[0]
    assert again.endswith(SENTENCES)
    assert again.count("?") == 1


def test_with_nothing_told_there_is_something_to_say() -> None:
    for messages in ((("user", "Why?"),), (("system", "x"),), (("user", ""),)):
        assert answer(mock(), declared(str), messages=messages).texts[0]
        assert RETELLING.judge(answer(mock(), RETELLING, messages=messages).texts[0]).problem == ""


@given(seed=seeds, shared=st.integers(0, 9))
def test_the_form_of_a_reply_never_changes_the_decision(seed: int, shared: int) -> None:
    backend, facts = mock(slopes={"n_shared": 0.5}), {"context.n_shared": shared}
    plain = answer(backend, declared(bool), seed, facts=facts).texts[0]
    assert RETELLING.judge(answer(backend, RETELLING, seed, facts=facts).texts[0]).decision is (
        plain == "yes"
    )


def counts(replies: list[str], words: tuple[str, ...]) -> list[int]:
    return [replies.count(word) for word in words]


def test_choices_come_as_often_as_stated_and_their_logprobs_say_so() -> None:
    backend = mock(choices={"like": 0.1, "ignore": 0.5})
    expected = [0.1, 0.2, 0.2, 0.5]
    replies = [answer(backend, ACTION, mix(7, i) >> 1, logprobs=True) for i in range(600)]
    assert (
        stats.chisquare(
            counts([r.texts[0] for r in replies], ACTION.answers), [600 * p for p in expected]
        ).pvalue
        > 1e-3
    )
    assert replies[0].logprobs == pytest.approx(
        {word: math.log(p) for word, p in zip(ACTION.answers, expected, strict=True)}
    )


def test_members_of_enums_come_as_often_as_stated_too() -> None:
    backend = mock(choices={"angry": 0.8})
    moods = [json.loads(answer(backend, RETELLING, mix(3, i) >> 1).texts[0])["mood"] for i in range(400)]
    assert stats.binomtest(moods.count("angry"), 400, 0.8).pvalue > 1e-3


def test_without_a_statement_choices_are_equal_but_for_decisions() -> None:
    equal = answer(mock(), ACTION, logprobs=True).logprobs
    assert equal == pytest.approx(dict.fromkeys(ACTION.answers, math.log(0.25)))
    first = answer(
        mock(law="constant", probability=0.4), ACTION, logprobs=True, facts={"kind": "exposure"}
    ).logprobs
    assert first == pytest.approx({"like": math.log(0.4)} | dict.fromkeys(ACTION.answers[1:], math.log(0.2)))
    said = answer(mock(law="constant", probability=0.4), declared(bool), logprobs=True).logprobs
    assert said == pytest.approx({"yes": math.log(0.4), "no": math.log(0.6)})


@pytest.mark.parametrize("choices", [{"like": 0.7, "share": 0.7}, dict.fromkeys(ACTION.answers, 0.2)])
def test_choices_that_do_not_add_up_stop_the_run_and_tell_the_sum(choices: dict[str, float]) -> None:
    with pytest.raises(BackendUnusable, match="add up to") as caught:
        answer(mock(choices=choices), ACTION)
    assert caught.value.kind == "bad_choices"


@pytest.mark.parametrize("shared", [0, 1, 2, 5, True, 2.5])
def test_the_context_moves_the_logit_of_a_yes(shared: float) -> None:
    backend = mock(law="constant", probability=0.2, slopes={"n_shared": 0.8, "tie": -1.0})
    facts = {"context.n_shared": shared, "context.tie": 0.5, "context.name": "Ada"}
    said = answer(backend, declared(bool), logprobs=True, facts=facts).logprobs
    expected = special.expit(special.logit(0.2) + 0.8 * shared - 0.5)
    assert said is not None
    assert math.exp(said["yes"]) == pytest.approx(expected, rel=1e-12)


def test_a_prompt_that_tells_no_context_is_answered_by_the_law_alone() -> None:
    for facts in ({}, {"kind": "seed"}):
        told = answer(mock(slopes={"n_shared": 0.8}), declared(bool), logprobs=True, facts=facts)
        assert told == answer(mock(), declared(bool), logprobs=True, facts=facts)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"context.n_share": 1}, "n_shared stands in no context; did you mean 'n_share'"),
        ({"context.n_shared": "three"}, "n_shared is 'three', no number"),
        ({"context.n_shared": math.nan}, "n_shared is nan, no number"),
    ],
)
def test_a_context_without_the_number_stops_the_run_with_the_way_out(
    facts: dict[str, Any], words: str
) -> None:
    with pytest.raises(BackendUnusable) as caught:
        answer(mock(slopes={"n_shared": 0.8}), declared(bool), facts=facts)
    assert words in str(caught.value)
    assert caught.value.kind == "unknown_context"


@pytest.mark.parametrize(("form", "share"), [(ACTION, {"like": 0.3}), (declared(bool), {"yes": 0.3})])
def test_slopes_and_fixed_shares_of_one_decision_are_refused(form: Declared, share: dict[str, float]) -> None:
    backend = mock(slopes={"n": 0.8}, choices=share)
    with pytest.raises(BackendUnusable, match=r"backend\.slopes moves what decides") as caught:
        answer(backend, form, facts={"kind": "exposure", "context.n": 0})
    assert caught.value.kind == "unmoved"
    for facts in ({"kind": "exposure"}, {"kind": "answer", "context.n": 0}):
        # Without a context, and where something else is asked beside a decision, nothing is moved.
        assert answer(backend, form, facts=facts) == answer(mock(choices=share), form, facts=facts)


def test_certainty_is_not_moved() -> None:
    for p in (0.0, 1.0):
        backend = mock(law="constant", probability=p, slopes={"n": 1e3})
        said = answer(backend, declared(bool), facts={"context.n": 1}, logprobs=True).logprobs
        assert said is not None
        assert math.exp(said["yes"]) == p


def test_bounds_that_hold_nothing_are_rejected_with_their_place() -> None:
    for part in (
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "string", "minLength": 3, "maxLength": 2},
    ):
        schema = json.dumps({"properties": {"outer": {"type": "object", "properties": {"n": part}}}})
        with pytest.raises(RequestRejected, match=r"at outer\.n"):
            answer(mock(), declared(str), schema=schema)


def test_a_reason_that_is_bounded_is_as_short_as_that() -> None:
    class Brief(BaseModel):
        share: bool
        reason: Annotated[str, Field(max_length=12)]

    form = declared(Brief)
    assert all(form.judge(answer(mock(), form, seed).texts[0]).problem == "" for seed in range(20))


def test_troubles_fall_on_declared_answers_as_on_others() -> None:
    said = [answer(mock(invalid_rate=0.5), RETELLING, mix(i) >> 1).texts[0] for i in range(100)]
    assert 30 < sum(RETELLING.judge(text).problem != "" for text in said) < 70


OPTIONS: tuple[dict[str, Any], ...] = ({}, {"law": "two_groups"}, {"invalid_rate": 0.2, "refusal_rate": 0.2})
ASKED = (((), None), (("yes", "no"), None), (("a", "b", "c"), None), ((), answer_schema("inline")))


def test_what_the_mock_said_before_it_could_say_anything_it_says_still() -> None:
    digest = hashlib.sha256()
    kinds = (None, "seed", "exposure", "ratio", "reason", "evaluation", "interview")
    for options in OPTIONS:
        backend = mock(**options)
        for kind, rationale, profile, (answers, schema), n in product(
            kinds, ("inline", "afterwards", "none"), (None, "01101"), ASKED, (1, 2)
        ):
            facts = {"severity": 1, "kind": kind, "rationale": rationale, "profile": profile}
            told = {key: value for key, value in facts.items() if value is not None}
            heard = (*HEARD, ("assistant", "Yes"), ("user", "Why?")) if kind == "reason" else HEARD
            request = Request(heard, 1.0, n, 40, answers, schema, True, n, metadata=told)
            reply = said(backend, request)
            # Fields that replies did not have then.
            assert (reply.listed, reply.took_s) == (None, None)
            digest.update(repr(reply).replace(", listed=None, took_s=None", "").encode())
    assert digest.hexdigest() == "0535f7ac26a1dadab4798dbb0aecbeeb215dbceb4fd435a3f64bd5e833a9c190"
