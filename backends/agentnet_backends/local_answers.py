"""How probable each allowed answer is, exactly: the likelihood of all its tokens, in all its spellings.

An answer's likelihood at a temperature is the product, over its tokens, of the softmax of logits divided by
it: what sampling at that temperature, and keeping what is an answer, gives. An answer that begins another
one has been given only when the turn ends after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import BackendUnusable
from agentnet.listed import Listed
from agentnet_backends.answers import AnswerOdds
from agentnet_backends.local_numpy import Floats

Tokens = tuple[int, ...]

SPELLINGS: Final[Mapping[str, Callable[[str], str]]] = {
    "given": lambda answer: answer,
    "capital": lambda answer: answer[:1].upper() + answer[1:],
    "upper": str.upper,
    "lower": str.lower,
    "blank": lambda answer: f" {answer}",
    "blank_capital": lambda answer: f" {answer[:1].upper()}{answer[1:]}",
}
"""Ways to spell an answer that count as giving it."""


class Way(NamedTuple):
    """One way to give an answer.

    Attributes:
        answer: Which.
        tokens: The model's own.
        must_end: Whether the turn has to end after them, since another answer goes on from here.
    """

    answer: str
    tokens: Tokens
    must_end: bool


def ways_to_say(
    answers: Sequence[str], spellings: Sequence[str], tokens: Callable[[str], Tokens]
) -> list[Way]:
    """List every way to give an answer.

    Args:
        answers: The allowed ones.
        spellings: Keys of `SPELLINGS`.
        tokens: Splits a text.

    Raises:
        BackendUnusable: Two answers are the same tokens.
    """
    said: dict[Tokens, str] = {}
    for answer in answers:
        if said.setdefault(tokens(answer), answer) != answer or not tokens(answer):
            raise BackendUnusable(f"the answer {answer!r} is none, or another one too, in the model's tokens")
    for name in spellings:
        for answer in answers:
            # What one answer is as it stands, another is in no other spelling.
            said.setdefault(tokens(SPELLINGS[name](answer)), answer)
    shorter = {way: {way[:n] for n in range(1, len(way))} & said.keys() for way in said}
    # What goes on from a way to give the same answer is counted with that.
    kept = {way for way in said if all(said[begin] != said[way] for begin in shorter[way])}
    begun = set().union(*(shorter[way] for way in kept))
    return [Way(answer, way, way in begun) for way, answer in said.items() if way in kept]


def odds(
    ways: Sequence[Way], ends: frozenset[int], logits: Callable[[Tokens], Floats], temperature: float
) -> tuple[AnswerOdds, list[float]]:
    """Compute how probable each answer is.

    Args:
        ways: Every way to give one.
        ends: Tokens that end a turn.
        logits: Of what follows these tokens.
        temperature: >= 0; at 0 the likeliest way takes all.

    Returns:
        As `agentnet_backends.answers.AnswerOdds` has it, with nothing unlisted, and a list where each way is
        a single token; and the share of each way.
    """
    plain = _logprobs(ways, ends, logits, 1.0)
    at = plain if temperature == 1.0 else _logprobs(ways, ends, logits, temperature)
    best = at.max()
    shares = (at == best).astype(float) if temperature == 0.0 else np.exp(at - best)
    shares /= shares.sum()
    mass = min(0.0, float(np.logaddexp.reduce(plain)))
    of: dict[str, list[float]] = {}
    for way, share in zip(ways, shares.tolist(), strict=True):
        of.setdefault(way.answer, []).append(share)
    sums = {answer: math.fsum(each) for answer, each in of.items()}
    logprobs = {
        answer: min(0.0, mass + math.log(each)) if each else -math.inf for answer, each in sums.items()
    }
    # The likelihood of several tokens at another temperature does not follow from that at 1.
    if any(len(way.tokens) > 1 or way.must_end for way in ways):
        return AnswerOdds(logprobs), shares.tolist()
    spelt: dict[str, list[float]] = {}
    for way, logprob in zip(ways, plain.tolist(), strict=True):
        spelt.setdefault(way.answer, []).append(logprob)
    return AnswerOdds(logprobs, listed=Listed(spelt, 0.0, 1)), shares.tolist()


def _logprobs(
    ways: Sequence[Way], ends: frozenset[int], logits: Callable[[Tokens], Floats], temperature: float
) -> NDArray[np.float64]:
    """Compute the log-probability of each way; at temperature 0 that times it, in the limit."""

    # The sum is over the whole vocabulary, and most ways begin at the same place.
    @cache
    def place(before: Tokens) -> tuple[NDArray[np.float64], float]:
        found = logits(before)
        above = found.astype(np.float64) - found.max()
        if temperature == 0.0:
            return above, 0.0
        above /= temperature
        return above, math.log(np.exp(above).sum())

    def step(before: Tokens, tokens: list[int]) -> float:
        above, total = place(before)
        return float((np.max if temperature == 0.0 else np.logaddexp.reduce)(above[tokens])) - total

    def of(way: Way) -> float:
        steps = [(way.tokens[:i], [token]) for i, token in enumerate(way.tokens)]
        steps += [(way.tokens, sorted(ends))] if way.must_end else []
        return math.fsum(step(*each) for each in steps)

    return np.array([of(way) for way in ways])
