"""Finds a server that returns one sample n times over, from the samples alone.

Under the null the samples of a question at a temperature are exchangeable: given which texts came how often,
every order of them is as likely as any other. A copying server gives only orders in which each request holds
one text. So the sign is that requests differ where samples within a request never do. A model that always
says the same has one order alone and is never blamed, and a request that holds two texts clears its question.

The evidence of a question is an e-value: how much likelier its order is if only such orders are drawn. It is
at most 1 on average under the null, whatever the model's probabilities are; so is the product over questions.
By Markov's inequality it exceeds 1 / a with probability a at most, and the levels of all looks add up to
`LEVEL`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

LEVEL: Final = 1e-9
"""Chance that a server which draws every sample anew is blamed, over a whole run of one voice."""

_SHARE: Final = 0.9
"""Weight of the e-value against 1: what one question with a varied request costs is bounded so."""

_MOST_REQUESTS: Final = 12
"""Requests of a question that count; counting orders of more takes time and adds little."""

_LOOK_EVERY: Final = 1.25


class _Block(NamedTuple):
    """A request: how many samples, and their text if it is one."""

    n: int
    text: str | None


class Copies:
    """Weighs whether requests for several samples return one sample over and over."""

    def __init__(self) -> None:
        self._questions: dict[Hashable, list[_Block]] = {}
        self._evidence = 0.0
        self._n_requests, self._n_looks, self._next_look = 0, 0, 1
        self.are_found = False

    def note(self, question: Hashable, texts: Sequence[str]) -> None:
        """Take in the samples of one request; sets `are_found` once chance alone is ruled out.

        Args:
            question: What was asked, and at which temperature.
            texts: The samples, at least one; blanks around them do not tell copies apart.
        """
        texts = [text.strip() for text in texts]
        blocks = self._questions.setdefault(question, [])
        self._n_requests += 1
        if len(blocks) < _MOST_REQUESTS:
            self._evidence -= _weighed(blocks)
            blocks.append(_Block(len(texts), texts[0] if len(set(texts)) == 1 else None))
            self._evidence += _weighed(blocks)
        if self._n_requests >= self._next_look:
            self._look()

    def _look(self) -> None:
        self._n_looks += 1
        self._next_look = max(self._n_requests + 1, int(self._n_requests * _LOOK_EVERY))
        # The sum of 1 / k^2 is pi^2 / 6.
        level = LEVEL * 6 / (math.pi * self._n_looks) ** 2
        self.are_found = self.are_found or self._evidence > -math.log(level)


def _weighed(blocks: Sequence[_Block]) -> float:
    """Give the logarithm of a question's e-value, mixed with 1."""
    log_e = _log_e_value(blocks)
    if log_e > 700.0:
        return log_e + math.log(_SHARE)
    return math.log1p(_SHARE * math.expm1(log_e))


def _log_e_value(blocks: Sequence[_Block]) -> float:
    """Compare all orders of the commonest text among the others with those that no request breaks."""
    counts = Counter[str]()
    for n, text in blocks:
        if text is None:
            return -math.inf
        counts[text] += n
    if len(counts) < 2:
        return 0.0
    # Chosen by what came how often, and not by who came first: the order stays as likely as any other.
    n_commonest = max(counts.values())
    n_constant = Counter({0: 1})
    for n, _ in blocks:
        n_constant.update({total + n: ways for total, ways in n_constant.items() if total + n <= n_commonest})
    return math.log(math.comb(sum(counts.values()), n_commonest)) - math.log(n_constant[n_commonest])
