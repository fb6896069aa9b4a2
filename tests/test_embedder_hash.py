"""Embedder ``hash``: the formula of its docstring, and nothing beside it."""

import asyncio
import hashlib
import math
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.embedder import Embedder
from agentnet.errors import ConfigurationError
from agentnet_backends.embed_hash import HashEmbedder

WORDS = st.sampled_from(["ako", "Ako", "mundo", "peace", "ﬁre", "fire", "gun9"])


def vectors(*texts, **options):
    return asyncio.run(HashEmbedder.from_options(options).embed(texts))


def by_hand(text, dim, n_gram):
    """Follow the docstring's formula, feature by feature."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    grams = [" ".join(words[i : i + n]) for n in range(1, n_gram + 1) for i in range(len(words) - n + 1)]
    vector = np.zeros(dim)
    for gram in set(grams):
        h = int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest(), "little")
        sign = 1 if h >= 2**63 else -1
        vector[h % dim] += (1 + math.log(grams.count(gram))) * sign
    return vector / np.linalg.norm(vector)


@given(words=st.lists(WORDS, min_size=1, max_size=12), n_gram=st.integers(1, 3))
def test_vectors_follow_the_documented_formula(words, n_gram):
    text = ", ".join(words)
    (vector,) = vectors(text, dim=512, n_gram=n_gram)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, by_hand(text, 512, n_gram), atol=1e-6)


def test_the_same_text_has_the_same_vector_for_ever():
    (vector,) = vectors("Peace, peace now.", dim=8)
    assert vector.astype(float).round(4).tolist() == [0.0, 0.0, 0.0, 0.0, 0.5085, 0.0, -0.861, 0.0]


def test_order_and_case_of_single_words_do_not_count():
    one, other = vectors("Fire at the gate", "THE GATE at ﬁre", n_gram=1)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("text", ["!!!", "🔥 🔥", "—"])
def test_a_text_without_words_is_one_feature_as_a_whole(text):
    (vector,) = vectors(text)
    assert (np.abs(vector) == 1.0).sum() == 1
    assert np.count_nonzero(vector) == 1


def test_a_text_whose_features_cancel_out_still_has_a_vector():
    hashes = {
        word: int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        for word in (f"w{i}" for i in range(50))
    }
    one, other = next(
        (a, b)
        for a in hashes
        for b in hashes
        if hashes[a] % 2 == hashes[b] % 2 and (hashes[a] ^ hashes[b]) >> 63
    )
    (vector,) = vectors(f"{one} {other}", dim=2, n_gram=1)
    assert sorted(np.abs(vector)) == [0.0, 1.0]


def test_like_texts_lie_closer_than_unlike_ones():
    protest, march, shots = vectors(
        "Workers held a peaceful protest at the plaza",
        "Students held a peaceful march at the plaza",
        "Gunmen opened fire on a village official",
    )
    assert protest @ march > 0.4 > 0.2 > abs(protest @ shots)


def test_the_name_tells_apart_what_makes_other_vectors():
    names = {HashEmbedder.from_options(options).name for options in ({}, {"dim": 64}, {"n_gram": 1})}
    assert len(names) == 3


def test_it_keeps_the_contract():
    embedder = HashEmbedder.from_options({"dim": 16})
    assert isinstance(embedder, Embedder)
    assert (embedder.dim, embedder.limits.n_tokens) == (16, None)
    asyncio.run(embedder.aclose())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dim": 1}, r"embedder\.dim: .*greater than or equal to 2"),
        ({"n_gram": 9}, r"embedder\.n_gram: "),
        ({"dim": "many"}, r"embedder\.dim: "),
        ({"ngram": 1}, r"embedder\.ngram is no option of the embedder 'hash'; did you mean 'n_gram'"),
        ({"api_key": "k"}, r"embedder\.api_key is refused: .*embedder\.key_env names the variable"),
    ],
)
def test_an_impossible_option_is_named(options, said):
    with pytest.raises(ConfigurationError, match=said):
        HashEmbedder.from_options(options)
