"""Copies: a server that returns one sample n times over is found out, and no other is blamed."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.sampler.copies import LEVEL, Copies


def evidence_of(requests, question=0):
    """Weigh the samples of several requests for one question."""
    copies = Copies()
    for texts in requests:
        copies.note(question, texts)
    return copies._evidence


def texts_of(bits, sizes):
    words = iter("abc"[bit] for bit in bits)
    return [[next(words) for _ in range(size)] for size in sizes]


@pytest.mark.parametrize(
    ("sizes", "is_exact"),
    [((1, 1, 1), True), ((1, 2), True), ((1, 2, 4), True), ((2, 2), False), ((3, 1, 3), False)],
)
@pytest.mark.parametrize("bias", [0.0, 0.01, 0.2, 0.5, 0.9])
def test_the_evidence_against_a_server_that_draws_anew_is_at_most_one_on_average(sizes, is_exact, bias):
    # Every outcome of the samples, weighed with its probability: no matter what the bias is.
    mean = math.fsum(
        bias ** sum(bits)
        * (1 - bias) ** (len(bits) - sum(bits))
        * math.exp(evidence_of(texts_of(bits, sizes)))
        for bits in itertools.product((0, 1), repeat=sum(sizes))
    )
    assert mean <= 1.0 + 1e-12
    # Where some numbers of a text fit into no whole requests, it is less.
    assert mean == pytest.approx(1.0) or not is_exact


@pytest.mark.parametrize("sizes", [(1, 2, 2), (2, 1, 3), (1, 1, 2, 2)])
@pytest.mark.parametrize("shares", [(1 / 3, 1 / 3, 1 / 3), (0.7, 0.2, 0.1), (0.05, 0.05, 0.9)])
def test_so_it_is_with_more_texts_than_two(sizes, shares):
    mean = math.fsum(
        math.prod(shares[letter] for letter in letters) * math.exp(evidence_of(texts_of(letters, sizes)))
        for letters in itertools.product((0, 1, 2), repeat=sum(sizes))
    )
    assert mean <= 1.0 + 1e-12


@given(
    st.lists(st.lists(st.integers(1, 64), min_size=1, max_size=5), min_size=1, max_size=40),
    st.integers(0, 2**32),
)
def test_a_server_that_draws_anew_is_not_blamed(questions, seed):
    rng, copies = random.Random(seed), Copies()
    for number, sizes in enumerate(questions):
        bias = rng.choice([0.0, 0.001, 0.02, 0.5, 0.95, 1.0])
        for size in sizes:
            copies.note(number, ["yes" if rng.random() < bias else "no" for _ in range(size)])
            assert not copies.are_found


@given(st.lists(st.lists(st.integers(1, 64), min_size=1, max_size=6), min_size=1, max_size=60))
def test_a_model_that_always_says_the_same_is_never_blamed(questions):
    copies = Copies()
    for number, sizes in enumerate(questions):
        for size in sizes:
            copies.note(number, [f"answer {number % 2}"] * size)
    assert copies._evidence <= 0.0


def copied(rng, copies, number, sizes, bias=0.5):
    for size in sizes:
        copies.note(number, ["yes" if rng.random() < bias else "no"] * size)


@pytest.mark.parametrize("bias", [0.1, 0.5, 0.8])
def test_a_server_that_copies_is_found_out_within_a_few_questions(bias):
    for seed in range(20):
        rng, copies, n_asked = random.Random(seed), Copies(), 0
        while not copies.are_found:
            copied(rng, copies, n_asked, (8, 16), bias)
            n_asked += 1
        assert n_asked <= 60


@pytest.mark.parametrize("n_requests", [2, 3])
def test_many_small_requests_show_it_as_well_as_a_few_large_ones(n_requests):
    for seed in range(5):
        rng, copies = random.Random(seed), Copies()
        for number in range(200):
            copied(rng, copies, number, (1, 2, 4)[:n_requests])
        assert copies.are_found


def test_a_server_that_copies_half_of_the_time_is_found_out():
    rng, copies = random.Random(5), Copies()
    for number in range(100):
        if rng.random() < 0.5:
            copied(rng, copies, number, (8, 8, 8))
        else:
            for _ in range(3):
                copies.note(number, [rng.choice(["yes", "no"]) for _ in range(8)])
    assert copies.are_found


def test_a_question_of_very_many_requests_takes_no_more_time():
    copies = Copies()
    for request in range(20_000):
        copies.note("a question", [f"text {request % 2}"] * 64)
    assert copies.are_found


def test_long_texts_show_it_where_decisions_agree():
    copies = Copies()
    for number in range(6):
        for request in range(3):
            copies.note(number, [f"Yes, for the {request}. of {number} reasons."] * 8)
    assert copies.are_found


def test_requests_for_one_sample_show_nothing():
    rng, copies = random.Random(3), Copies()
    for _ in range(500):
        copies.note("a question", [rng.choice(["yes", "no"])])
    assert copies._evidence <= 0.0


def test_the_level_is_that_of_a_whole_run():
    assert LEVEL <= 1e-9


@pytest.mark.parametrize("ends", [("", " ", "\n"), ("", "\n\n", "\t"), (" ", "", "  ")])
def test_copies_with_other_blanks_around_them_are_copies(ends):
    copies = Copies()
    for request in range(60):
        copies.note(request % 5, [f"{'yes' if request % 2 else 'no'}{end}" for end in ends])
    assert copies.are_found
