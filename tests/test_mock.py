"""The mock backend answers by its law, from the request alone, in the form that was asked for."""

import asyncio
import math
import subprocess
import sys
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from agentnet.backend import Reply, Request, Wave, make_backend
from agentnet.errors import RequestRejected
from agentnet.prompts import answer_choices, answer_schema, parse_reply
from agentnet.streams import mix, unit
from agentnet.testing import CHECKS, Subject, run_check, run_in_virtual_time
from agentnet.vocabulary import PROFILES
from agentnet_backends.mock import MockBackend
from agentnet_backends.mock_law import MockOptions

MESSAGES = (("system", "You are open to new things."), ("user", "Do you share the news?"))
CELLS = list(product(PROFILES, (0, 1)))
TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
TABLE_1 = {
    "openness": 7.625,
    "conscientiousness": -0.188,
    "extraversion": 2.497,
    "neuroticism": -0.970,
    "agreeableness": 1.626,
}

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


def says_yes(backend, request) -> bool:
    return parse_reply(answer(backend, request).texts[0]).decision


# At once


def wave(requests) -> Wave:
    """Ask for each of `requests` as that which stands there first with all that counts."""
    first = [Request(*each[:7], metadata=each.metadata) for each in requests]
    which = [first.index(each) for each in first]
    places = sorted(set(which))
    return Wave(
        [first[place] for place in places],
        [places.index(place) for place in which],
        [each.temperature for each in requests],
        [each.seed for each in requests],
    )


asked_plainly = st.builds(
    ask,
    seeds,
    profiles,
    st.sampled_from((0, 1, None)),
    facts=st.sampled_from(({}, {"kind": "exposure"}, {"rationale": "inline"}, {"opposite": 1})),
    answers=st.sampled_from(((), answer_choices())),
    schema=st.sampled_from((None, answer_schema("inline"))),
)
NOT_PLAIN = [
    {"n": 2},
    {"logprobs": True, "answers": ("yes", "no")},
    {"max_tokens": 1, "facts": {"rationale": "inline"}},
    {"facts": {"kind": "reason"}},
    {"facts": {"kind": "interview"}},
    {"facts": {"kind": "chat"}},
    {"facts": {"profile": "nobody's"}},
]


@given(
    requests=st.lists(asked_plainly, min_size=1, max_size=12),
    law=st.sampled_from(["main_effects", "two_groups"]),
)
def test_what_is_answered_at_once_is_what_each_request_gets_alone(requests, law):
    backend = mock(law=law)
    found = backend.answer_now(wave(requests))
    assert [found.replies[place] for place in found.which] == [answer(backend, each) for each in requests]
    assert sorted(set(found.which)) == list(range(len(found.replies)))


@pytest.mark.parametrize("fields", NOT_PLAIN)
def test_what_is_no_plain_question_is_not_answered_at_once(fields):
    assert mock().answer_now(wave([ask(), ask(**fields)])) is None


@pytest.mark.parametrize(
    "option", ["latency_s", "invalid_rate", "refusal_rate", "rejected_rate", "transient_rate"]
)
def test_a_mock_that_waits_or_has_troubles_answers_nothing_at_once(option):
    assert mock(**{option: 0.5}).answer_now(wave([ask()])) is None


# The law


@pytest.mark.parametrize(("profile", "severity"), CELLS)
def test_the_default_law_is_the_logistic_law_of_table_1(profile, severity):
    high = {trait: bit == "1" for trait, bit in zip(TRAITS, profile, strict=True)}
    logit = -3.072 + sum(weight * high[trait] for trait, weight in TABLE_1.items()) - 1.224 * severity
    assert mock().probability(profile, severity) == pytest.approx(special.expit(logit), rel=1e-12)


@pytest.mark.parametrize("law", ["main_effects", "two_groups"])
def test_yes_comes_as_often_as_the_law_says_in_every_cell(law):
    backend = mock(law=law)
    n = 300
    p_values = []
    for cell, (profile, severity) in enumerate(CELLS):
        n_yes = sum(says_yes(backend, ask(mix(cell, i) >> 1, profile, severity)) for i in range(n))
        p_values.append(stats.binomtest(n_yes, n, backend.probability(profile, severity)).pvalue)
    # 64 fixed samples: the least of them would fall below this in one law of 1500.
    assert min(p_values) > 1e-5


@given(seed=seeds, profile=profiles, severity=st.sampled_from([0, 1]))
def test_a_seed_says_yes_iff_its_number_is_below_the_probability(seed, profile, severity):
    backend = mock()
    yes = unit(mix(seed)) < backend.probability(profile, severity)
    assert answer(backend, ask(seed, profile, severity)).texts == (("Yes" if yes else "No"),)


def test_coefficients_that_are_given_replace_those_of_table_1_alone():
    backend = mock(coefficients={"openness": 0.0, "severity": 0.5})
    assert backend.probability("10000", 1) == pytest.approx(special.expit(-3.072 + 0.5))
    assert backend.probability("00100", 0) == mock().probability("00100", 0)


@pytest.mark.parametrize(("intercept", "p"), [(2_000.0, 1.0), (-2_000.0, 0.0)])
def test_enormous_coefficients_end_in_certainty(intercept, p):
    assert mock(coefficients={"intercept": intercept}).probability("00000", 0) == p


def test_two_groups_have_the_rates_of_the_paper_and_eight_profiles_in_the_first():
    backend = mock(law="two_groups")
    rates = {profile: backend.probability(profile, 1) for profile in PROFILES}
    assert set(rates.values()) == {0.0533, 0.8154}
    first = [profile for profile, rate in rates.items() if rate == 0.0533]
    assert len(first) == 8
    assert all(profile[0] == "0" and profile[2] == "0" for profile in first)


def test_groups_and_rates_can_be_chosen():
    backend = mock(law="two_groups", rates=[0.1, 0.9], group_1=["11111"])
    assert backend.probability("11111", 0) == 0.1
    assert backend.probability("00000", 0) == 0.9


def test_a_table_gives_one_probability_or_one_for_each_severity():
    table = dict.fromkeys(PROFILES, 0.25) | {"01101": [0.5, 0.75]}
    backend = mock(law="table", table=table)
    assert (backend.probability("01101", 0), backend.probability("01101", 1)) == (0.5, 0.75)
    assert (backend.probability("00000", 0), backend.probability("00000", 1)) == (0.25, 0.25)


def test_a_constant_law_knows_no_profiles():
    backend = mock(law="constant", probability=0.3)
    assert {backend.probability(profile, severity) for profile, severity in [*CELLS, (None, 0)]} == {0.3}


@pytest.mark.parametrize("law", ["main_effects", "two_groups"])
def test_without_a_profile_the_default_probability_holds(law):
    backend = mock(law=law, default_probability=1.0)
    assert backend.probability(None) == 1.0
    assert answer(backend, Request(MESSAGES)).texts == ("Yes",)
    assert mock(law=law).probability(None, 1) == 0.5


@pytest.mark.parametrize("facts", [{"severity": -1}, {"severity": None}])
def test_an_unknown_severity_counts_as_peaceful(facts):
    backend = mock(law="table", table={profile: [1.0, 0.0] for profile in PROFILES})
    assert answer(backend, ask(facts=facts)).texts == ("Yes",)
    assert backend.probability("00000", -1) == 1.0
    assert answer(backend, ask(severity=1)).texts == ("No",)


@pytest.mark.parametrize(
    ("facts", "kind", "said"),
    [
        ({"profile": "0110"}, "unknown_profile", "'0110'"),
        ({"profile": 13}, "unknown_profile", "13"),
        ({"profile": "01102"}, "unknown_profile", "five bits"),
        ({"severity": 2}, "unknown_severity", "no severity 2"),
        ({"severity": "severe"}, "unknown_severity", "'severe'"),
    ],
)
def test_facts_that_the_mock_does_not_know_are_rejected_not_guessed(facts, kind, said):
    with pytest.raises(RequestRejected, match=said) as caught:
        answer(mock(), ask(facts=facts))
    assert caught.value.kind == kind


# The same request, the same reply


@settings(max_examples=20)
@given(data=st.data(), latency_spread=st.sampled_from([0.0, 1.0]))
def test_neither_order_nor_concurrency_nor_latency_nor_the_instance_changes_a_reply(data, latency_spread):
    requests = [
        ask(i, PROFILES[i % 32], i % 2, n=1 + i % 3, facts={"rationale": "inline"}) for i in range(12)
    ]
    expected = [answer(mock(), request) for request in requests]
    order = data.draw(st.permutations(range(len(requests))))

    async def main():
        backend = mock(latency_s=2.0, latency_spread=latency_spread)
        return await asyncio.gather(*(backend.complete(requests[i]) for i in order))

    assert run_in_virtual_time(main()) == [expected[i] for i in order]


def test_no_process_and_no_hash_seed_changes_a_reply():
    program = """
import asyncio, hashlib
from agentnet.backend import Request
from agentnet_backends.mock import MockBackend, PROFILES

async def main():
    backend = MockBackend.from_options({"invalid_rate": 0.2, "law": "two_groups"})
    facts = [{"profile": profile, "rationale": "inline"} for profile in PROFILES]
    asked = [Request((("user", "?"),), n=3, seed=i, metadata=facts[i]) for i in range(32)]
    replies = [await backend.complete(request) for request in asked]
    print(hashlib.sha256(repr(replies).encode()).hexdigest())

asyncio.run(main())
"""

    def digest(hash_seed):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout

    assert len(digest("1")) == 65
    assert digest("1") == digest("4711")


@given(seed=seeds, n=st.integers(2, 6))
def test_more_samples_begin_with_those_of_fewer(seed, n):
    backend = mock(law="constant", probability=0.5)
    many = answer(backend, ask(seed, n=n, facts={"rationale": "inline"})).texts
    fewer = answer(backend, ask(seed, n=n - 1, facts={"rationale": "inline"})).texts
    assert many[:-1] == fewer
    assert parse_reply(many[-1]).decision == (unit(mix(seed, n - 1)) < 0.5)


def test_the_samples_of_one_request_are_independent():
    backend = mock(law="constant", probability=0.5)
    pairs = [answer(backend, ask(mix(7, i) >> 1, n=2)).texts for i in range(2_000)]
    counts = [[pairs.count((a, b)) for b in ("Yes", "No")] for a in ("Yes", "No")]
    assert stats.chi2_contingency(counts).pvalue > 1e-3
    assert stats.binomtest(sum(counts[0]), len(pairs), 0.5).pvalue > 1e-3


@given(seed=seeds, profile=profiles)
def test_the_form_of_a_reply_never_changes_the_decision(seed, profile):
    backend = mock(law="constant", probability=0.5)
    forms = [
        ask(seed, profile),
        ask(seed, profile, answers=answer_choices()),
        ask(seed, profile, facts={"rationale": "inline"}),
        ask(seed, profile, schema=answer_schema("inline")),
    ]
    assert len({says_yes(backend, form) for form in forms}) == 1


def test_a_reply_has_every_field_that_a_reply_has():
    reply = answer(mock(), ask())
    assert reply == Reply(*reply)
    assert len(reply) == len(Reply._fields)


def test_an_instance_that_has_forgotten_answers_as_before():
    backend = mock()
    request = ask(3, facts={"rationale": "inline"})
    before = answer(backend, request)
    for i in range(5_000):
        answer(backend, request._replace(messages=(("user", f"prompt {i}"),), answers=(f"answer {i}",)))
    assert answer(backend, request) == before
    assert max(len(backend._prompt_tokens), len(backend._repertoires)) <= 4_096


# The plug-in


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"law": "two_groups"},
        {"law": "constant", "probability": 1.0},
        {"latency_s": 9.0, "latency_spread": 1.0},
    ],
    ids=["main effects", "two groups", "certain", "slow"],
)
def test_the_mock_keeps_the_contract(check, options):
    failing = ask(profile="no profile")
    run_check(
        check, Subject(lambda: mock(**options), deterministic=True, failing=failing, run=run_in_virtual_time)
    )


@pytest.mark.parametrize("rates", [{"invalid_rate": 1.0}, {"refusal_rate": 1.0}])
@pytest.mark.parametrize("check", sorted(set(CHECKS) - {"answers"}))
def test_a_troubled_mock_breaks_no_rule_but_that_of_the_answers(check, rates):
    run_check(check, Subject(lambda: mock(**rates), deterministic=True))


def test_the_mock_is_made_by_its_name():
    backend = make_backend("mock", {"law": "two_groups"})
    assert (backend.name, backend.model_name) == ("mock", "mock-two_groups")
    assert (MockBackend.needs, type(backend).__name__) == ("nothing", "MockBackend")
    assert "\n" not in MockBackend.about


def test_without_options_it_is_the_default():
    assert MockBackend().options == MockOptions() == mock().options


def test_a_question_for_the_opposite_is_answered_by_the_law_of_a_no():
    backend, both = mock(), ({}, {"opposite": 1})
    asked = [
        answer(backend, ask(answers=("yes", "no"), logprobs=True, facts=facts)).logprobs for facts in both
    ]
    assert math.exp(asked[0]["yes"]) + math.exp(asked[1]["yes"]) == pytest.approx(1.0)
