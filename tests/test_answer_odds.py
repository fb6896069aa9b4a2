"""Odds from lists of tokens: against a model that can be enumerated, whatever part of it a server lists."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentnet.backend import Reply
from agentnet.sampler.logprobs import bounds_of_yes, probability_of_yes
from agentnet_backends.answers import CONSTRAINTS, MASKED, answer_odds

YES_NO = ("yes", "no")
CHOICE = CONSTRAINTS["structured_outputs"]
GRAMMAR = CONSTRAINTS["grammar"]
WRAPPED = CONSTRAINTS["response_format"]
NONE = CONSTRAINTS["none"]
BEGIN_YES = ("y", "ye", "yes")
BEGIN_NO = ("n", "no")
FREE_YES = (*BEGIN_YES, "Yes", " yes", "YES", "Yes.")
FREE_NO = (*BEGIN_NO, "No", " no", "No,")
OTHER = ("I", "The", "maybe", "Not", " Hmm", "As", "12", "None")
TEMPERATURES = (1.0, 0.7, 2.0)


def position(token, logprob, alternatives=()):
    return {
        "token": token,
        "logprob": logprob,
        "top_logprobs": [{"token": other, "logprob": value} for other, value in alternatives],
    }


def weights(tokens):
    """Draw a probability for each token: flat ones and steep ones."""
    raw = st.lists(st.floats(-12.0, 0.0), min_size=len(tokens), max_size=len(tokens))
    return raw.map(lambda found: dict(zip(tokens, _normalized(found), strict=True)))


def _normalized(logs):
    shares = [math.exp(each) for each in logs]
    return [each / math.fsum(shares) for each in shares]


def listing(model, top_k, sampled):
    """What a server of a one-token model lists: the likeliest, best first, and the sampled one."""
    best = sorted(model, key=lambda token: -model[token])[:top_k]
    return [position(sampled, math.log(model[sampled]), [(t, math.log(model[t])) for t in best])]


def truth(model, yes, no, temperature):
    """P(yes | an answer) when every token is sampled at `temperature`, in closed form."""
    tempered = {token: p ** (1.0 / temperature) for token, p in model.items()}
    ours, others = (math.fsum(tempered[token] for token in side) for side in (yes, no))
    return ours / (ours + others)


def reply_of(odds):
    return Reply(("x",), logprobs=odds.logprobs, unlisted=odds.unlisted)


free_models = weights((*FREE_YES, *FREE_NO, *OTHER))
masked_models = weights((*BEGIN_YES, *BEGIN_NO))


@given(free_models, st.sampled_from(TEMPERATURES))
def test_a_full_list_gives_the_exact_probability_and_mass(model, temperature):
    odds = answer_odds(listing(model, len(model), "yes"), "yes", YES_NO, NONE, temperature)
    reply = reply_of(odds)
    assert probability_of_yes(reply) == pytest.approx(truth(model, FREE_YES, FREE_NO, temperature), abs=1e-12)
    mass = math.fsum(model[token] for token in (*FREE_YES, *FREE_NO))
    assert math.fsum(map(math.exp, odds.logprobs.values())) == pytest.approx(mass, abs=1e-12)
    assert odds.unlisted == pytest.approx(0.0, abs=1e-6)


@given(free_models, st.integers(0, 20), st.data(), st.sampled_from(TEMPERATURES))
def test_the_truth_is_within_the_bounds_whatever_is_listed(model, top_k, data, temperature):
    sampled = data.draw(st.sampled_from(sorted(model)))
    odds = answer_odds(listing(model, top_k, sampled), sampled.strip(), YES_NO, NONE, temperature)
    assume(odds.logprobs is not None)
    low, high = bounds_of_yes(reply_of(odds))
    assert low - 1e-9 <= truth(model, FREE_YES, FREE_NO, temperature) <= high + 1e-9
    assert low - 1e-9 <= probability_of_yes(reply_of(odds)) <= high + 1e-9


@given(masked_models, st.integers(0, 5), st.data(), st.sampled_from(TEMPERATURES))
def test_the_truth_is_within_the_bounds_under_a_constraint_too(model, top_k, data, temperature):
    sampled = data.draw(st.sampled_from(sorted(model)))
    text = "yes" if sampled in BEGIN_YES else "no"
    odds = answer_odds(listing(model, top_k, sampled), text, YES_NO, CHOICE, temperature)
    low, high = bounds_of_yes(reply_of(odds))
    assert low - 1e-9 <= truth(model, BEGIN_YES, BEGIN_NO, temperature) <= high + 1e-9


@given(free_models, st.integers(1, 20), st.sampled_from(TEMPERATURES))
def test_what_a_server_lists_before_its_grammar_gives_the_odds_under_the_grammar(model, top_k, temperature):
    odds = answer_odds(listing(model, top_k, "no"), "no", YES_NO, GRAMMAR, temperature)
    low, high = bounds_of_yes(reply_of(odds))
    assert low - 1e-9 <= truth(model, BEGIN_YES, BEGIN_NO, temperature) <= high + 1e-9
    listed = {*sorted(model, key=lambda t: -model[t])[:top_k], "no"}
    mass = math.fsum(model[t] for t in listed & {*BEGIN_YES, *BEGIN_NO})
    assert math.fsum(map(math.exp, odds.logprobs.values())) == pytest.approx(mass, abs=1e-12)


@given(masked_models, st.sampled_from(sorted((*BEGIN_YES, *BEGIN_NO))))
def test_at_temperature_zero_the_likeliest_listed_token_decides_if_none_can_be_likelier(model, sampled):
    # Likelier by more than rounding: a server lists logarithms, in which the last digit of a share is lost.
    assume(max(model.values()) > sorted(model.values())[-2] * (1 + 1e-12))
    text = "yes" if sampled in BEGIN_YES else "no"
    odds = answer_odds(listing(model, 1, sampled), text, YES_NO, CHOICE, 0.0)
    best = max(model, key=model.get)
    low, high = bounds_of_yes(reply_of(odds))
    assert low <= float(best in BEGIN_YES) <= high
    if model[best] > 0.5:
        assert low == high == float(best in BEGIN_YES)


def test_at_temperature_zero_an_unlisted_token_that_may_be_likelier_leaves_all_unknown():
    odds = answer_odds([position("no", math.log(0.3))], "no", YES_NO, NONE, 0.0)
    assert bounds_of_yes(reply_of(odds)) == (0.0, 1.0)


def test_the_sampled_token_alone_leaves_the_rest_unknown():
    odds = answer_odds([position("yes", math.log(0.7))], "yes", YES_NO, NONE, 1.0)
    assert odds.logprobs == pytest.approx({"yes": math.log(0.7)})
    assert odds.unlisted == pytest.approx(0.3)
    assert bounds_of_yes(reply_of(odds)) == pytest.approx((0.7, 1.0))


def test_a_line_break_before_the_answer_is_as_probable_as_it_is():
    listed = [("Yes", math.log(0.75)), ("No", math.log(0.25))]
    positions = [position("\n", math.log(0.8)), position("Yes", math.log(0.75), listed)]
    odds = answer_odds(positions, "Yes", YES_NO, NONE, 1.0)
    assert math.fsum(map(math.exp, odds.logprobs.values())) == pytest.approx(0.8)
    assert odds.unlisted == pytest.approx(0.2)


def sure(*tokens):
    """Positions of tokens that could hardly be others; the last is a "no" that might be a "yes"."""
    at_last = [("no", math.log(0.6)), ("yes", math.log(0.4))]
    return [*(position(token, -0.001) for token in tokens), position("no", math.log(0.6), at_last)]


FENCED = ["```json\n", '{"', "answer", '":"']


@pytest.mark.parametrize(
    ("positions", "text", "constraint"),
    [
        (sure("<think>", "yes, I", " think", "</think>"), "no", NONE),
        (sure("Hm", ".\n"), "no", CHOICE),
        ([*sure(), position(" is", -0.1), position(" right", -0.1)], "no", CHOICE),
        ([*sure('{"answer": "'), position('"}', -0.1)], '{"answer":"no"}', WRAPPED),
        (sure("\ufffd"), "no", CHOICE),
    ],
    ids=["a thought", "a preface", "another text behind", "another spacing", "half a character"],
)
def test_tokens_that_do_not_spell_the_reply_say_nothing_of_it(positions, text, constraint):
    odds = answer_odds(positions, text, YES_NO, constraint, 1.0)
    assert odds.logprobs is None
    assert odds.doubt


@pytest.mark.parametrize(
    ("positions", "text", "constraint"),
    [
        ([*sure(), position("<|im_end|>", -0.01)], "no", CHOICE),
        ([*sure(), position("</s>", -0.01), position("", -0.01)], "no", CHOICE),
        (sure(" "), "no", NONE),
        ([*sure('{"', "answer", '":"'), position('"}', -0.01)], ' {"answer":"no"}', WRAPPED),
        ([*sure(*FENCED), position('"}', -0.1), position("\n```", -0.1)], '{"answer":"no"}', WRAPPED),
        ([*sure(), position(" \ufffd", -1.0), position("\ufffd", -1.0)], "no \u2014 it is sad", NONE),
    ],
    ids=[
        "a mark of the template",
        "the end of the text",
        "a blank",
        "a blank that is none",
        "a fence",
        "half a character",
    ],
)
def test_tokens_that_spell_the_reply_but_for_blanks_and_marks_are_read(positions, text, constraint):
    odds = answer_odds(positions, text, YES_NO, constraint, 1.0)
    shares = {answer: math.exp(each) for answer, each in odds.logprobs.items()}
    assert shares == pytest.approx({"no": 0.6, "yes": 0.4}, rel=2e-3)


def test_the_pieces_of_a_vocabulary_are_read_as_what_they_stand_for():
    listed = [("\u2581no", math.log(0.6)), ("\u0120Yes", math.log(0.4))]
    odds = answer_odds([position("\u2581no", math.log(0.6), listed)], "no", YES_NO, NONE, 1.0)
    assert {answer: math.exp(each) for answer, each in odds.logprobs.items()} == pytest.approx(
        {"no": 0.6, "yes": 0.4}
    )


@pytest.mark.parametrize(
    ("listed", "doubt"),
    [
        ([("yes", -0.1), ("no", -0.1)], "add up to 1.81"),
        ([("I", -0.1), ("The", -3.0)], "no listed token"),
        ([("yes", MASKED - 1.0), ("no", MASKED - 1.0)], "no listed token"),
        ([("yes", -700.0)], "no listed token"),
        ([("yes", False), ("no", True)], "no listed token"),
    ],
)
def test_lists_that_cannot_be_right_are_refused_in_words(listed, doubt):
    odds = answer_odds([position(*listed[0], listed)], listed[0][0], YES_NO, NONE, 1.0)
    assert odds.logprobs is None
    assert doubt in odds.doubt


def inside_json(share):
    """A "no" (.6) or "yes" (.4) inside JSON that began with a brace where a fence had the rest."""
    begun = [("{", math.log(share)), ("```", math.log(1.0 - share))]
    return [position("{", math.log(share), begun), *sure('"answer":"'), position('"}', -0.1)]


@pytest.mark.parametrize("share", [0.91, 0.999])
def test_odds_inside_json_hold_for_the_way_in_which_it_was_begun(share):
    odds = answer_odds(inside_json(share), '{"answer":"no"}', YES_NO, WRAPPED, 1.0)
    assert bounds_of_yes(reply_of(odds)) == pytest.approx((0.4 * share, 0.4 * share + 1.0 - share))


def test_where_json_may_as_well_have_begun_otherwise_there_are_no_odds():
    odds = answer_odds(inside_json(0.5), '{"answer":"no"}', YES_NO, WRAPPED, 1.0)
    assert odds.logprobs is None
    assert "inside JSON" in odds.doubt


def test_tokens_that_no_json_begins_with_do_not_make_the_way_less_sure():
    """Listed before the constraint: most of the probability is on what it lets nobody say."""
    begun = [("No", math.log(0.9)), ("{", math.log(0.0999)), ("```", math.log(0.0001))]
    positions = [position("{", math.log(0.0999), begun), *sure('"answer":"')]
    odds = answer_odds(positions, '{"answer":"no"}', YES_NO, WRAPPED, 1.0)
    assert probability_of_yes(reply_of(odds)) == pytest.approx(0.4)


def after_sampling(model, sampled):
    listed = [{"token": token, "prob": p} for token, p in sorted(model.items(), key=lambda each: -each[1])]
    return [{"token": sampled, "prob": model[sampled], "top_probs": listed}]


@given(model=weights((*BEGIN_YES, *BEGIN_NO, *OTHER)), temperature=st.sampled_from(TEMPERATURES))
def test_probabilities_after_sampling_are_tempered_already_with_or_without_the_grammar(model, temperature):
    """llama.cpp lists what it sampled without its grammar if that was an answer, else with it."""
    tempered = {token: p ** (1.0 / temperature) for token, p in model.items()}
    free = {token: p / math.fsum(tempered.values()) for token, p in tempered.items()}
    assume(max(free[token] for token in (*BEGIN_YES, *BEGIN_NO)) > 1e-12)
    bound = {token: free[token] for token in (*BEGIN_YES, *BEGIN_NO)}
    bound = {token: p / math.fsum(bound.values()) for token, p in bound.items()}
    expected = truth(model, BEGIN_YES, BEGIN_NO, temperature)
    for listed in (free, bound):
        odds = answer_odds(after_sampling(listed, "no"), "no", YES_NO, GRAMMAR, temperature)
        assert probability_of_yes(reply_of(odds)) == pytest.approx(expected)
        assert math.fsum(map(math.exp, odds.logprobs.values())) == pytest.approx(1.0)


def test_what_is_not_listed_after_sampling_has_no_more_than_the_least_that_is():
    listed = {"yes": 0.5, "no": 0.3, "y": 0.1, "n": 0.001}
    odds = answer_odds(after_sampling(listed, "no"), "no", YES_NO, GRAMMAR, 1.0)
    assert odds.unlisted == pytest.approx(3 * 0.001 / 0.901)
