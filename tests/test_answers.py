"""How answers are asked for, read back and weighed."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentnet_backends.answers import CONSTRAINTS, answer_odds, completeness, prefixes

YES_NO = ("yes", "no")
CHOICE = CONSTRAINTS["structured_outputs"]
WRAPPED = CONSTRAINTS["response_format"]
NONE = CONSTRAINTS["none"]


def position(token, logprob, alternatives=()):
    return {
        "token": token,
        "logprob": logprob,
        "top_logprobs": [{"token": other, "logprob": value} for other, value in alternatives],
    }


def answer_logprobs(*args):
    """Give the log-probabilities among the answers, whatever their mass."""
    found = answer_odds(*args).logprobs
    if found is None:
        return None
    mass = math.fsum(map(math.exp, found.values()))
    return {answer: each - math.log(mass) for answer, each in found.items()}


def probabilities(found):
    return {answer: math.exp(value) for answer, value in found.items()}


def test_all_tokens_that_begin_an_answer_count():
    listed = [
        ("n", math.log(0.882)),
        ("y", math.log(0.115)),
        ("yes", math.log(0.002)),
        ("no", math.log(0.001)),
    ]
    found = answer_logprobs([position("n", math.log(0.882), listed)], "no", YES_NO, CHOICE, 1.0)
    assert probabilities(found) == pytest.approx({"no": 0.883, "yes": 0.117})


def test_each_token_is_tempered_before_the_sum():
    # Checked against vLLM 0.32: 6000 samples at 0.7 and 1.3 agreed with these two probabilities.
    listed = [("n", -0.22593705), ("y", -1.60728705), ("yes", -6.91986752), ("no", -7.11466026)]
    for temperature, p_yes in ((0.7, 0.12207724), (1.3, 0.25905150)):
        found = answer_logprobs([position("n", -0.22593705, listed)], "no", YES_NO, CHOICE, temperature)
        assert math.exp(found["yes"]) == pytest.approx(p_yes, abs=1e-6)


@given(
    st.lists(st.floats(-30.0, -0.01), min_size=4, max_size=4),
    st.floats(0.05, 3.0),
)
def test_probabilities_add_up_to_one_at_any_temperature(logprobs, temperature):
    norm = math.log(math.fsum(map(math.exp, logprobs)))
    listed = list(zip(("n", "y", "yes", "no"), (each - norm for each in logprobs), strict=True))
    found = answer_logprobs([position("n", listed[0][1], listed)], "no", YES_NO, CHOICE, temperature)
    assert math.fsum(probabilities(found).values()) == pytest.approx(1.0)


def test_at_temperature_zero_the_likeliest_token_takes_all():
    listed = [("n", -1.9), ("no", -2.0), ("yes", -1.8)]
    found = answer_logprobs([position("yes", -1.8, listed)], "yes", YES_NO, CHOICE, 0.0)
    assert found == {"yes": 0.0, "no": -math.inf}


@pytest.mark.parametrize(
    "listed",
    [
        [("no", -0.5), ("yes", -1.0)],
        [("yes", -1.0), ("no", -0.5)],
        [("yes", -1.0)],
        [("yes", -1.0), ("#", -9999.0), ("%", -9999.0)],
    ],
)
def test_order_fillers_and_whether_the_sampled_token_is_listed_do_not_matter(listed):
    found = answer_logprobs([position("no", -0.5, listed)], "no", YES_NO, CHOICE, 1.0)
    total = math.exp(-0.5) + math.exp(-1.0)
    assert probabilities(found) == pytest.approx(
        {"no": math.exp(-0.5) / total, "yes": math.exp(-1.0) / total}
    )


def test_an_answer_that_the_server_does_not_list_is_unknown_not_impossible():
    found = answer_logprobs([position("no", -0.01, [("No", -5.0)])], "no", YES_NO, CHOICE, 1.0)
    assert set(found) == {"no"}


def test_an_answer_that_the_server_masks_is_impossible():
    found = answer_logprobs([position("no", -0.01, [("yes", -9999.0)])], "no", YES_NO, CHOICE, 1.0)
    assert found == {"no": 0.0, "yes": -math.inf}


def test_a_token_that_begins_two_answers_makes_all_unknown():
    answers = ("ten", "tenth")
    assert answer_logprobs([position("ten", -0.1)], "ten", answers, CHOICE, 1.0) is None
    masked = [("t", -9999.0), ("tenth", -0.1)]
    assert answer_logprobs([position("tenth", -0.1, masked)], "tenth", answers, CHOICE, 1.0) == {
        "ten": -math.inf,
        "tenth": 0.0,
    }


def wrapped_positions(*, merged):
    tokens = ['{"', "answer", '":"', "no", '"}'] if not merged else ['{"answer":', '"no', '"}']
    at = 3 if not merged else 1
    lead = "" if not merged else '"'
    listed = [(f"{lead}no", -0.5), (f"{lead}yes", -1.5), (f'{lead}yes"', -3.0), (" ", -4.0)]
    return [
        position(token, -0.5 if i == at else -0.001, listed if i == at else ())
        for i, token in enumerate(tokens)
    ]


@pytest.mark.parametrize("merged", [False, True])
def test_inside_a_wrapping_the_token_at_which_the_answer_begins_counts(merged):
    found = answer_logprobs(wrapped_positions(merged=merged), '{"answer":"no"}', YES_NO, WRAPPED, 1.0)
    weights = {"no": math.exp(-0.5), "yes": math.exp(-1.5) + math.exp(-3.0)}
    total = math.fsum(weights.values())
    assert probabilities(found) == pytest.approx({answer: each / total for answer, each in weights.items()})


def test_a_server_that_ignored_the_wrapping_is_read_as_an_unbound_one():
    listed = [("Yes", -0.2), (" no", -2.0)]
    found = answer_logprobs([position("Yes", -0.2, listed)], "Yes.", YES_NO, WRAPPED, 1.0)
    assert set(found) == {"yes", "no"}


def test_without_a_constraint_case_blanks_and_line_breaks_do_not_matter():
    listed = [(" Yes", -0.3), ("NO,", -1.4), ("None", -5.0), ("Yesterday", -6.0)]
    found = answer_logprobs(
        [position("\n", -0.1), position(" Yes", -0.3, listed)], "\n Yes", YES_NO, NONE, 1.0
    )
    total = math.exp(-0.3) + math.exp(-1.4)
    assert probabilities(found) == pytest.approx(
        {"yes": math.exp(-0.3) / total, "no": math.exp(-1.4) / total}
    )


@pytest.mark.parametrize(
    "positions",
    [
        None,
        [],
        "no",
        [None],
        [{"logprob": -1.0}],
        [{"token": "maybe", "logprob": -1.0, "top_logprobs": None}],
        [{"token": "no", "logprob": None}],
        [{"token": "no", "logprob": float("nan")}],
        [{"token": "no", "logprob": -9999.0, "top_logprobs": [{"token": "yes", "logprob": -9999.0}]}],
    ],
)
def test_where_a_server_gives_none_nothing_is_made_up(positions):
    assert answer_logprobs(positions, "no", YES_NO, CHOICE, 1.0) is None


@pytest.mark.parametrize("odd", [1.5, 10**400, math.inf, math.nan])
@pytest.mark.parametrize("name", ["logprob", "prob"])
def test_a_list_with_a_probability_that_is_none_says_nothing_of_the_others(name, odd):
    """Without it the other answer would be all that is known."""
    listed = [{"token": "yes", name: odd}, {"token": "no", name: 0.001 if name == "prob" else -1e-4}]
    odds = answer_odds([{**listed[1], "top_logprobs": listed}], "no", YES_NO, CHOICE, 1.0)
    assert odds.logprobs is None
    assert "robability of" in odds.doubt


def test_a_log_probability_beyond_all_floats_breaks_nothing():
    found = answer_logprobs([position("no", 0, [("yes", -(10**400))])], "no", YES_NO, CHOICE, 1.0)
    assert found == {"no": 0.0, "yes": -math.inf}


answer_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(answer_texts, st.booleans())
def test_a_wrapped_answer_is_unwrapped_as_it_was(answer, spaced):
    assert WRAPPED.unwrap(json.dumps({"answer": answer}, indent=2 if spaced else None)) == answer


@given(st.text(max_size=20))
def test_a_text_that_is_not_wrapped_stays_as_it_is(text):
    assume(not text.lstrip().startswith("{"))
    assert WRAPPED.unwrap(text) == text
    assert CHOICE.unwrap(f'{{"answer":"{text}"}}') == f'{{"answer":"{text}"}}'


@pytest.mark.parametrize(
    "text", ['{"answer":"ye', '{"answer":1}', '{"other":"yes"}', '{"answer":"a","b":1} x', "{" * 9999]
)
def test_a_broken_wrapping_is_left_for_the_judge(text):
    assert WRAPPED.unwrap(text) == text


def test_each_constraint_asks_in_its_servers_way():
    assert CHOICE.fields(YES_NO) == {"structured_outputs": {"choice": ["yes", "no"]}}
    assert CONSTRAINTS["guided_choice"].fields(YES_NO) == {"guided_choice": ["yes", "no"]}
    assert CONSTRAINTS["grammar"].fields(("ja", 'a"b')) == {"grammar": 'root ::= "ja" | "a\\"b"'}
    assert NONE.fields(YES_NO) == {}
    schema = WRAPPED.fields(YES_NO)["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["properties"]["answer"]["enum"] == ["yes", "no"]


def test_prefixes_are_all_beginnings_without_repetition():
    assert prefixes(("yes", "yet")) == ["y", "ye", "yes", "yet"]
    assert max(map(len, prefixes(("a" * 500,)))) == 32


def test_a_list_is_complete_when_its_tokens_add_up_to_one():
    listed = [("n", math.log(0.8)), ("yes", math.log(0.2)), ("u", -9999.0)]
    assert completeness([position("n", math.log(0.8), listed)], YES_NO) == pytest.approx(1.0)
    assert completeness([position("n", math.log(0.8), listed[:1])], YES_NO) == pytest.approx(0.8)
    assert completeness(None, YES_NO) == 0.0
