"""Keyed random streams: chance depends on what is drawn, never on when.

Every random number of a run is keyed by the run's seed and by what the number is for. The draws of a step
come from a counter-based generator that gives the word at any position directly, for many positions at once:
making a generator object for each would cost more than all else that an engine does for a decision. What a
realization needs, it draws from its `Chance`.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Words = NDArray[np.uint64]
Positions = NDArray[np.integer[Any]]


def _words(*values: int) -> tuple[Words, ...]:
    # Arrays without a dimension: NumPy takes half as long over them as over scalars.
    return tuple([np.array(value, dtype=np.uint64) for value in values])


_GAMMA, _ONE, _UPPER = _words(0x9E3779B97F4A7C15, 1, 11)
_SHIFTS, _FACTORS = _words(30, 27, 31), _words(0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK = (1 << 64) - 1
_UNIT = 2.0**-53
_PAIR: Final = np.array([[0], [1]])


@dataclass(frozen=True, slots=True)
class Streams:
    """All random streams of one run.

    Args:
        seed: Fixes every stream; any integer.

    Examples:
        >>> streams = Streams(7)
        >>> few = streams.words_at("exposure", 3, at=np.array([5, 9]))
        >>> bool((few == streams.words_at("exposure", 3, at=np.arange(10))[[5, 9]]).all())
        True
    """

    seed: int

    def words_at(self, *key: int | str, at: Positions) -> Words:
        """Compute the words at positions `at` of the stream `key`.

        The word at position i is the finalizer of splitmix64 (Steele, Lea & Flood 2014, "Fast splittable
        pseudorandom number generators", OOPSLA) applied twice to the counter i, keyed by 128 bits: the first
        time it is the i-th output of splitmix64 seeded by the lower half of the key, the upper half is added
        before the second.

        Args:
            key: What the words are for.
            at: Positions >= 0, any shape.

        Returns:
            Words, same shape as `at`, uniform on [0, 2^64).
        """
        halves = self._halves(key)
        lower, upper = halves[0, ...], halves[1, ...]
        counter = np.asarray(at, dtype=np.uint64)
        with np.errstate(over="ignore"):
            return _finalize(_finalize(lower + _GAMMA * (counter + _ONE)) + upper)

    def words(self, *key: int | str, count: int) -> Words:
        """Draw the first `count` words of NumPy's Philox4x64-10 on the stream `key`.

        A longer draw begins with the words of a shorter one, so position i means the same at any count.

        Returns:
            Words, shape ``(count,)``, uniform on [0, 2^64).
        """
        words: Words = self.generator(*key).bit_generator.random_raw(count)
        return words

    def generator(self, *key: int | str) -> np.random.Generator:
        """Make NumPy's generator on the stream `key`, for whoever needs shuffles or many draws."""
        return np.random.Generator(np.random.Philox(key=int.from_bytes(self._hash(key), "little")))

    def integer(self, *key: int | str) -> int:
        """Draw an integer of [0, 2^63) that fixes something made elsewhere (a network, say)."""
        return int.from_bytes(self._hash(key)[:8], "little") >> 1

    def _hash(self, key: tuple[int | str, ...]) -> bytes:
        # An integer of NumPy's is spelled otherwise, and would be another stream without a word.
        plain = tuple([part if isinstance(part, str) else operator.index(part) for part in (self.seed, *key)])
        return hashlib.blake2b(repr(plain).encode(), digest_size=16).digest()

    def _halves(self, key: tuple[int | str, ...]) -> Words:
        return np.frombuffer(self._hash(key), dtype="<u8").astype(np.uint64)


def _finalize(words: Words) -> Words:
    """Scramble each word (the output function of splitmix64)."""
    first, second, third = _SHIFTS
    words = (words ^ (words >> first)) * _FACTORS[0]
    words = (words ^ (words >> second)) * _FACTORS[1]
    return words ^ (words >> third)


def uniform(words: Words) -> NDArray[np.float64]:
    """Turn words into numbers of [0, 1) by their upper 53 bits; same shape."""
    return (words >> _UPPER).astype(np.float64) * _UNIT


def request_seeds(words: Words) -> NDArray[Any]:
    """Turn words into seeds of [0, 2^63), which every server accepts; same shape, int64."""
    return (words >> _ONE).astype(np.int64)


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


def mixed(seeds: NDArray[np.uint64]) -> Words:
    """Scramble each of `seeds` as `mix` does; same shape."""
    with np.errstate(over="ignore"):
        return _finalize(seeds + _GAMMA)


def unit(word: int) -> float:
    """Turn one 64-bit word into a number of [0, 1)."""
    return (word >> 11) * _UNIT


@dataclass(frozen=True, slots=True)
class Temperature:
    """What sampling temperatures are drawn from.

    Attributes:
        low: Lowest.
        high: Highest.
        levels: How many equally likely values the range is cut into (the middles of as many equal parts);
            None for the whole range.
    """

    low: float
    high: float
    levels: int | None = None

    def at(self, quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn uniform numbers of [0, 1) into temperatures; same shape."""
        if self.levels is not None:
            quantiles = (np.floor(quantiles * self.levels) + 0.5) / self.levels
        return self.low + (self.high - self.low) * quantiles


@dataclass(frozen=True, slots=True)
class Chance:
    """The random numbers of one realization.

    Attributes:
        streams: The run's random streams.
        number: What they are keyed by: equal in all conditions of one news item and repeat, so that
            conditions share chance for as long as they share their history.
        temperature: What the sampling temperature of each draw is drawn from.
    """

    streams: Streams
    number: int
    temperature: Temperature

    def integer(self, purpose: str, *key: int) -> int:
        """Draw an integer of [0, 2^63)."""
        return self.streams.integer(purpose, self.number, *key)

    def uniform(self, purpose: str, *key: int) -> float:
        """Draw a number of [0, 1)."""
        return unit(self.integer(purpose, *key) << 1)

    def below(self, purpose: str, count: int, *key: int) -> int:
        """Draw a whole number of 0 .. count - 1."""
        return self.integer(purpose, *key) % count

    def shuffled(self, purpose: str, things: Sequence[T], *key: int) -> list[T]:
        """Put things in random order."""
        words = self.streams.words(purpose, self.number, *key, count=len(things))
        return [things[place] for place in np.argsort(words, kind="stable")]

    def sample(self, purpose: str, things: Sequence[T], count: int, *key: int) -> list[T]:
        """Draw `count` different ones of some things (all of them, if they are fewer), in random order."""
        return self.shuffled(purpose, things, *key)[:count]

    def pair(self, purpose: str, step: int, count: int) -> tuple[int, int]:
        """Draw two different numbers of 0 .. count - 1, in random order."""
        first = self.below(purpose, count, step, 0)
        second = self.below(purpose, count - 1, step, 1)
        return first, second + (second >= first)

    def draws(self, kind: str, step: int, positions: Positions) -> tuple[list[float], list[int]]:
        """Draw the temperature and the seed of each draw of a step; see `draw_parameters`."""
        return draw_parameters(self.streams, (kind, self.number, step), positions, self.temperature)


def draw_parameters(
    streams: Streams, key: tuple[str, int, int], positions: Positions, temperature: Temperature
) -> tuple[list[float], list[int]]:
    """Draw the temperature and the seed of each draw of a step.

    Args:
        streams: The run's random streams.
        key: Kind, realization and step of the draws.
        positions: The place of each draw in the step's stream, shape ``(n_draws,)``: what makes it itself.
        temperature: What temperatures are drawn from.

    Returns:
        Temperatures and seeds, a list each.
    """
    words = streams.words_at(*key, at=2 * positions + _PAIR)
    return temperature.at(uniform(words[1])).tolist(), request_seeds(words[0]).tolist()
