"""The mock's troubles on purpose, and what its options refuse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agentnet.backend import Reply, Request
from agentnet.errors import ConfigurationError, RequestRejected, TransientError
from agentnet.prompts import parse_reply
from agentnet.streams import mix
from agentnet.vocabulary import PROFILES
from agentnet_backends.mock import MockBackend
from agentnet_backends.mock_words import RAMBLING, REFUSALS

seeds = st.integers(0, 2**63 - 1)
MESSAGES = (("user", "Do you share the news?"),)


def mock(**options) -> MockBackend:
    return MockBackend.from_options(options)


def ask(seed=0, **fields) -> Request:
    return Request(MESSAGES, seed=seed, metadata={"profile": "01101", "severity": 1})._replace(**fields)


def answer(backend: MockBackend, request: Request) -> Reply:
    try:
        backend.complete(request).send(None)
    except StopIteration as finished:
        return finished.value
    raise AssertionError("complete waited for something")


def fate(backend: MockBackend, request: Request) -> str:
    try:
        reply = answer(backend, request)
    except RequestRejected:
        return "rejected"
    except TransientError:
        return "transient"
    if reply.texts[0] in RAMBLING:
        return "invalid"
    return "refusal" if reply.texts[0] in REFUSALS else "sound"


def test_every_trouble_comes_as_often_as_its_rate():
    backend = mock(invalid_rate=0.1, refusal_rate=0.2, rejected_rate=0.3)
    fates = [fate(backend, ask(mix(11, i) >> 1)) for i in range(2_000)]
    counts = [fates.count(name) for name in ("invalid", "refusal", "rejected", "sound")]
    assert stats.chisquare(counts, [200, 400, 600, 800]).pvalue > 1e-3


def test_troubles_fall_on_yes_and_no_alike():
    backend = mock(law="constant", probability=0.5, invalid_rate=0.2, refusal_rate=0.2)
    texts = [answer(backend, ask(mix(14, i) >> 1)).texts[0] for i in range(2_000)]
    n_yes, n_no = texts.count("Yes"), texts.count("No")
    assert stats.binomtest(n_yes, n_yes + n_no, 0.5).pvalue > 1e-3


def test_transient_troubles_come_as_often_as_their_rate():
    backend = mock(transient_rate=0.3)
    n_failed = sum(fate(backend, ask(mix(12, i) >> 1)) == "transient" for i in range(2_000))
    assert stats.binomtest(n_failed, 2_000, 0.3).pvalue > 1e-3


def test_each_sample_brings_its_own_chance_of_failing_the_request():
    backend = mock(transient_rate=0.1)
    n_failed = sum(fate(backend, ask(mix(13, i) >> 1, n=5)) == "transient" for i in range(1_000))
    assert stats.binomtest(n_failed, 1_000, 1.0 - 0.9**5).pvalue > 1e-3


@settings(max_examples=50)
@given(seed=seeds, answers=st.sampled_from([(), ("yes", "no")]))
def test_an_untroubled_sample_says_what_it_would_have_said_anyway(seed, answers):
    plain = answer(mock(), ask(seed, n=8, answers=answers)).texts
    troubled = answer(mock(invalid_rate=0.3, refusal_rate=0.3), ask(seed, n=8, answers=answers))
    for text, expected in zip(troubled.texts, plain, strict=True):
        assert text in {expected, *RAMBLING, *REFUSALS}


@pytest.mark.parametrize(
    ("trouble", "texts", "finish", "problem"),
    [
        ("invalid_rate", RAMBLING, (), "no_answer"),
        ("refusal_rate", REFUSALS, ("refusal", "refusal"), "refusal"),
    ],
)
def test_rambling_and_refusals_hold_no_decision_whatever_was_asked(trouble, texts, finish, problem):
    request = ask(n=2, answers=("yes", "no"), logprobs=True)
    reply = answer(mock(**{trouble: 1.0}), request)
    assert set(reply.texts) <= set(texts)
    assert reply.finish == finish
    assert reply.logprobs is None
    assert {parse_reply(text).problem for text in texts} == {problem}


def test_rambling_ends_at_the_bound_of_tokens():
    reply = answer(mock(invalid_rate=1.0), ask(max_tokens=3, answers=("yes", "no")))
    assert (len(reply.texts[0]), reply.finish) == (12, ("length",))


def test_a_rejected_request_is_rejected_every_time_and_another_seed_is_not():
    backend = mock(rejected_rate=0.5)
    fates = {seed: fate(backend, ask(seed)) for seed in range(20)}
    assert set(fates.values()) == {"rejected", "sound"}
    assert {seed: fate(backend, ask(seed)) for seed in range(20)} == fates


def test_asking_again_with_another_seed_can_help_an_invalid_reply():
    backend = mock(invalid_rate=0.5)
    assert {fate(backend, ask(seed)) for seed in range(20)} == {"invalid", "sound"}


def test_trying_again_after_a_transient_trouble_leads_to_the_reply_without_trouble():
    backend = mock(transient_rate=0.6)
    n_tries = []
    for seed in range(200):
        request = ask(seed)
        tries = 1
        while fate(backend, request) == "transient":
            tries += 1
        n_tries.append(tries)
    # Tries until the first success are geometric; 1 to 5, and more.
    counts = [*(n_tries.count(k) for k in range(1, 6)), sum(k > 5 for k in n_tries)]
    expected = [200 * 0.4 * 0.6**k for k in range(5)] + [200 * 0.6**5]
    assert stats.chisquare(counts, expected).pvalue > 1e-3


@settings(max_examples=50)
@given(seed=seeds)
def test_a_request_answered_fails_and_succeeds_the_same_way_when_it_comes_anew(seed):
    backend, fresh = mock(transient_rate=0.5), mock(transient_rate=0.5)

    def course(backend):
        troubles = []
        while True:
            try:
                return troubles, answer(backend, ask(seed))
            except TransientError as error:
                troubles.append((error.kind, str(error)))

    first = course(backend)
    assert course(backend) == first == course(fresh)
    assert first[1] == answer(mock(), ask(seed))
    for i, (kind, message) in enumerate(first[0], start=1):
        assert kind == "simulated"
        assert f"fails try {i} of this request on purpose" in message
    assert backend._tries == {}


def test_requests_with_one_seed_and_other_messages_fail_on_their_own():
    backend = mock(transient_rate=0.5)
    seed = next(seed for seed in range(50) if fate(mock(transient_rate=0.5), ask(seed)) == "transient")
    other = ask(seed, messages=(("user", "Another question"),))
    assert [fate(backend, ask(seed)), fate(backend, other)] == ["transient", "transient"]


# Options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lwa": "constant"}, "backend.lwa is no option of the mock; did you mean 'law'?"),
        ({"zzz": 1}, "backend.zzz is no option of the mock; known: choices, coefficients, default_prob"),
        ({"law": "two_gruops"}, "backend.law = 'two_gruops' is unknown; did you mean 'two_groups'?"),
        (
            {"coefficients": {"opennes": 1.0}},
            "backend.coefficients.opennes is no option of the mock; did you mean 'openness'?",
        ),
        ({"coefficients": {"openness": "high"}}, "backend.coefficients.openness = 'high': "),
        ({"coefficients": {"openness": float("nan")}}, "backend.coefficients.openness = nan: "),
        ({"law": "constant"}, "backend.probability is missing: law 'constant' needs it"),
        ({"law": "constant", "probability": 1.5}, "backend.probability = 1.5: "),
        (
            {"law": "constant", "probability": 0.1, "default_probability": 0.1},
            "backend.default_probability says nothing under law 'constant'",
        ),
        ({"default_probability": -0.1}, "backend.default_probability = -0.1: "),
        ({"rates": [0.1, 0.2]}, "backend.rates is for law 'two_groups', but backend.law is 'main_effects'"),
        ({"probability": 0.1}, "backend.probability is for law 'constant', but"),
        ({"law": "table", "coefficients": {}}, "backend.coefficients is for law 'main_effects', but"),
        ({"law": "two_groups", "rates": [0.1]}, "backend.rates.1 is missing"),
        (
            {"law": "two_groups", "group_1": ["0000"]},
            "backend.group_1.0: '0000' is no profile: five bits such as",
        ),
        ({"law": "table"}, "backend.table lacks 32 of the 32 profiles (00000, 00001, 00010, ...)"),
        (
            {"law": "table", "table": dict.fromkeys(PROFILES[:-1], 0.5)},
            "backend.table lacks 1 of the 32 profiles (11111); give each a probability",
        ),
        ({"law": "table", "table": {"abc": 0.5}}, "backend.table.abc: 'abc' is no profile"),
        ({"law": "table", "table": {"00000": [0.5, 2]}}, "backend.table.00000.1 = 2: "),
        ({"law": "table", "table": {"00000": "often"}}, "backend.table.00000 = 'often': "),
        ({"choices": {"like": 1.5}}, "backend.choices.like = 1.5: "),
        ({"slopes": {"n_shared": "steep"}}, "backend.slopes.n_shared = 'steep': "),
        ({"latency_s": -1}, "backend.latency_s = -1: "),
        ({"latency_spread": 0.5}, "backend.latency_spread says nothing where backend.latency_s is 0"),
        ({"latency_s": float("inf")}, "backend.latency_s = inf: "),
        ({"invalid_rate": 0.6, "refusal_rate": 0.6}, "add up to more than 1"),
    ],
)
def test_an_option_that_cannot_be_is_named_with_the_way_out(options, said):
    with pytest.raises(ConfigurationError) as caught:
        mock(**options)
    assert str(caught.value).startswith(said) or said in str(caught.value)


def test_all_wrong_options_are_named_at_once():
    with pytest.raises(ConfigurationError) as caught:
        mock(lwa="constant", latency_s="long")
    assert "backend.lwa" in str(caught.value)
    assert "backend.latency_s" in str(caught.value)


def test_rates_may_add_up_to_one_despite_rounding():
    assert 0.6 + 0.3 + 0.1 < 1.0 < 0.34 + 0.56 + 0.1
    for rates in [(0.6, 0.3, 0.1), (0.34, 0.56, 0.1)]:
        backend = mock(**dict(zip(("invalid_rate", "refusal_rate", "rejected_rate"), rates, strict=True)))
        assert {fate(backend, ask(seed)) for seed in range(60)} == {"invalid", "refusal", "rejected"}


def test_options_cannot_be_changed_later():
    with pytest.raises(ValueError, match="frozen"):
        mock().options.latency_s = 3.0
