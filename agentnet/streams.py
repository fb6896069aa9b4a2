"""Keyed random streams: chance depends on what is drawn, never on when.

Every random number of a run comes from NumPy's Philox4x64-10, a counter-based generator (Salmon et al.
2011, "Parallel random numbers: as easy as 1, 2, 3", SC11), keyed by the run's seed and by what the number
is for. Numbers are drawn for a whole step at once and taken by position: a generator object costs 16 us.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_MASK = (1 << 64) - 1
_UNIT = 2.0**-53


@dataclass(frozen=True, slots=True)
class Streams:
    """All random streams of one run.

    Args:
        seed: Fixes every stream; any integer.

    Examples:
        >>> Streams(7).words("exposure", 0, 3, count=2).tolist() == Streams(7).words(
        ...     "exposure", 0, 3, count=2
        ... ).tolist()
        True
    """

    seed: int

    def words(self, *key: int | str, count: int) -> Words:
        """Draw the first `count` 64-bit words of the stream `key`.

        A longer draw begins with the words of a shorter one, so position i means the same at any count.

        Returns:
            Words, shape ``(count,)``, uniform on [0, 2^64).
        """
        words: Words = np.random.Philox(key=self._key(key)).random_raw(count)
        return words

    def generator(self, *key: int | str) -> np.random.Generator:
        """Make NumPy's generator on the stream `key`, for whoever needs shuffles or many draws."""
        return np.random.Generator(np.random.Philox(key=self._key(key)))

    def integer(self, *key: int | str) -> int:
        """Draw an integer of [0, 2^63) that fixes something made elsewhere (a network, say)."""
        return int(self.words(*key, count=1)[0]) >> 1

    def _key(self, key: tuple[int | str, ...]) -> int:
        text = repr((self.seed, *key)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")


def uniform(words: Words) -> NDArray[np.float64]:
    """Turn words into numbers of [0, 1) by their upper 53 bits; same shape."""
    return (words >> np.uint64(11)).astype(np.float64) * _UNIT


def request_seeds(words: Words) -> NDArray[Any]:
    """Turn words into seeds of [0, 2^63), which every server accepts; same shape, int64."""
    return (words >> np.uint64(1)).astype(np.int64)


def mix(seed: int, index: int = 0) -> int:
    """Scramble `seed` to the `index`-th of its 64-bit words (splitmix64, Steele et al. 2014).

    For single draws in plain Python (0.6 us), where an array would cost more.

    Examples:
        >>> hex(mix(0))  # the first output of the published reference with state 0
        '0xe220a8397b1dcdaf'
    """
    word = (seed + 0x9E3779B97F4A7C15 * (index + 1)) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def unit(word: int) -> float:
    """Turn one 64-bit word into a number of [0, 1)."""
    return (word >> 11) * _UNIT
