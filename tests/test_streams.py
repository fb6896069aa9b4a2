"""Random numbers depend on what they are for, and are as random as they look."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from agentnet.streams import Streams, mix, mixed, request_seeds, uniform, unit

MASK = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15

# The outputs of splitmix64 from state 0 and from state 1234567, as its authors' program prints them.
PUBLISHED = {
    0: (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC, 0x1B39896A51A8749B),
    1234567: (
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ),
}

# What a run of an earlier version drew must be drawn for ever, or no run could be resumed or checked again.
RECORDED = """
    [14709222436609079377, 3700841182622099651] [3419448448622429047, 12359650745029409626]
    3462338464173919356 2082728042244092026
"""

seeds = st.integers(-(2**70), 2**70)
parts = st.one_of(st.integers(-(2**40), 2**40), st.text(max_size=5))
keys = st.lists(parts, max_size=4).map(tuple)
words = st.integers(0, MASK)


def half_words(streams, key):
    """The two words that key a stream, lower first."""
    found = streams.generator(*key).bit_generator.state["state"]["key"]
    return int(found[0]), int(found[1])


def philox(key, count):
    """Philox4x64-10 (Salmon et al. 2011) in plain Python; NumPy counts its blocks from 1."""
    multipliers, bumps = (0xD2E7470EE14C6C93, 0xCA5A826395121157), (GAMMA, 0xBB67AE8584CAA73B)
    found = []
    for block in range(1, -(-count // 4) + 1):
        counter, (low, high) = [block, 0, 0, 0], key
        for _ in range(10):
            first, second = multipliers[0] * counter[0], multipliers[1] * counter[2]
            counter = [
                second >> 64 ^ counter[1] ^ low,
                second & MASK,
                first >> 64 ^ counter[3] ^ high,
                first & MASK,
            ]
            low, high = low + bumps[0] & MASK, high + bumps[1] & MASK
        found += counter
    return found[:count]


# Against what is published


@pytest.mark.parametrize("state", PUBLISHED)
def test_mix_gives_the_published_words_of_splitmix64(state):
    assert tuple(mix(state, i) for i in range(5)) == PUBLISHED[state]


@settings(max_examples=40)
@given(state=words, index=st.integers(0, 2**40))
def test_mix_at_an_index_is_mix_of_the_state_that_many_steps_on(state, index):
    assert mix(state, index) == mix(state + index * GAMMA)
    assert 0 <= mix(state, index) <= MASK


@given(states=st.lists(words, max_size=20))
def test_many_states_are_mixed_as_each_is_alone(states):
    assert mixed(np.array(states, dtype=np.uint64)).tolist() == [mix(state) for state in states]


@settings(max_examples=40)
@given(seed=seeds, key=keys, at=st.lists(st.integers(0, 2**63 - 1), max_size=8))
@example(seed=0, key=(), at=[2**63 - 1, 0])
def test_a_word_is_splitmix64_of_the_keys_lower_half_scrambled_again_with_the_upper(seed, key, at):
    streams = Streams(seed)
    lower, upper = half_words(streams, key)
    expected = [mix(mix(lower, i) + upper - GAMMA) for i in at]
    assert streams.words_at(*key, at=np.array(at, dtype=np.int64)).tolist() == expected


@settings(max_examples=40)
@given(seed=seeds, key=keys, count=st.integers(0, 13))
def test_a_row_of_words_is_philox(seed, key, count):
    streams = Streams(seed)
    assert streams.words(*key, count=count).tolist() == philox(half_words(streams, key), count)


# What they depend on


@settings(max_examples=40)
@given(seed=seeds, key=keys, at=st.lists(st.integers(0, 50), min_size=1, max_size=20), shape=st.booleans())
def test_the_word_at_a_position_does_not_depend_on_which_others_are_drawn(seed, key, at, shape):
    streams = Streams(seed)
    everything = streams.words_at(*key, at=np.arange(51))
    positions = np.array(at).reshape((-1, 1) if shape else (-1,))
    found = streams.words_at(*key, at=positions)
    assert found.shape == positions.shape
    assert found.dtype == np.uint64
    assert (found == everything[positions]).all()


@settings(max_examples=40)
@given(seed=seeds, key=keys, count=st.integers(0, 9), more=st.integers(0, 9))
def test_a_longer_row_of_words_begins_with_the_shorter(seed, key, count, more):
    streams = Streams(seed)
    longer = streams.words(*key, count=count + more)
    assert (streams.words(*key, count=count) == longer[:count]).all()


@settings(max_examples=40)
@given(seed=seeds, other=seeds, key=keys, other_key=keys)
def test_another_seed_or_key_is_another_stream(seed, other, key, other_key):
    a, b = Streams(seed), Streams(other)
    same = (seed, key) == (other, other_key)
    at = np.arange(2)
    assert (a.words_at(*key, at=at).tolist() == b.words_at(*other_key, at=at).tolist()) == same
    assert (a.words(*key, count=2).tolist() == b.words(*other_key, count=2).tolist()) == same
    assert (a.integer(*key) == b.integer(*other_key)) == same


def test_the_parts_of_a_key_do_not_run_together():
    streams = Streams(1)
    alike = [("ab", "c"), ("a", "bc"), ("abc",), ("a, b", "c"), ("a', 'b",), (1, 23), (12, 3), ("12", 3)]
    assert len({streams.integer(*key) for key in alike}) == len(alike)


@settings(max_examples=40)
@given(number=st.integers(-(2**31), 2**31 - 1))
def test_a_number_of_numpys_means_the_same_as_pythons(number):
    for kind in (np.int32, np.int64):
        assert Streams(kind(number)).integer("x", kind(number)) == Streams(number).integer("x", number)


def test_streams_are_the_same_in_every_version_and_process():
    program = (
        "import numpy as np; from agentnet.streams import Streams; s = Streams(7);"
        "print(s.words_at('exposure', 3, at=np.array([0, 2**40])).tolist(),"
        "s.words('profiles', count=2).tolist(), s.integer('network', 0), s.integer('network', 1))"
    )
    for hash_seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == RECORDED.split()


# How random they are


def test_words_at_neighbouring_positions_and_keys_are_uniform():
    streams = Streams(11)
    draws = np.concatenate([uniform(streams.words_at("u", key, at=np.arange(500))) for key in range(200)])
    assert stats.kstest(draws, "uniform").pvalue > 0.001
    assert stats.kstest(uniform(streams.words("u", count=100_000)), "uniform").pvalue > 0.001


@pytest.mark.parametrize("bit", range(0, 64, 7))
def test_every_bit_of_a_word_is_fair(bit):
    drawn = Streams(12).words_at("bits", at=np.arange(40_000)) >> np.uint64(bit) & np.uint64(1)
    assert stats.binomtest(int(drawn.sum()), 40_000).pvalue > 0.001


def test_neighbouring_positions_and_streams_are_independent():
    streams = Streams(13)
    at = np.arange(60_000)
    first = (uniform(streams.words_at("a", 1, at=at)) * 16).astype(int)
    beside = (uniform(streams.words_at("a", 2, at=at)) * 16).astype(int)
    for other in (np.roll(first, 1), beside):
        table = np.histogram2d(first, other, bins=16)[0]
        assert stats.chi2_contingency(table).pvalue > 0.001


@settings(max_examples=40)
@given(word=words)
@example(word=0)
@example(word=MASK)
@example(word=2**11 - 1)
def test_a_unit_number_is_the_upper_53_bits_and_below_1(word):
    assert unit(word) == (word >> 11) / 2**53 == uniform(np.array([word], dtype=np.uint64))[0]
    assert 0.0 <= unit(word) < 1.0


@settings(max_examples=40)
@given(word=words)
@example(word=0)
@example(word=MASK)
def test_a_request_seed_is_a_signed_64_bit_number_from_0_on(word):
    found = request_seeds(np.array([[word]], dtype=np.uint64))
    assert (found.dtype, found.shape) == (np.int64, (1, 1))
    assert found.tolist() == [[word >> 1]]
    assert 0 <= word >> 1 < 2**63


@settings(max_examples=40)
@given(seed=seeds, key=keys)
def test_an_integer_is_at_least_0_and_below_2_to_the_63(seed, key):
    assert 0 <= Streams(seed).integer(*key) < 2**63


def test_integers_reach_all_of_their_range():
    drawn = [Streams(14).integer("range", i) for i in range(4000)]
    assert stats.kstest(np.array(drawn) / 2.0**63, "uniform").pvalue > 0.001


def test_generators_of_a_stream_draw_alike():
    one, two = (Streams(15).generator("shuffle", 3) for _ in range(2))
    assert one.permutation(50).tolist() == two.permutation(50).tolist()


@pytest.mark.parametrize("at", [np.array(3), np.array([], dtype=np.int64), np.array([[1], [2]])])
def test_overflow_warns_nobody(at):
    with np.errstate(over="raise"):
        assert Streams(16).words_at("quiet", at=at).shape == at.shape
