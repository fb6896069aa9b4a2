"""Finds a server that returns one sample n times over, from the samples alone.

Under the null every sample of a question is drawn anew: whether it equals the question's first sample is a
coin of unknown bias, tossed for each. A copying server tosses once a request. So the sign is that requests
differ where samples within a request never do; a model that always says the same shows neither, and is never
blamed.

The evidence is an e-process (Ville's inequality; Wasserman, Ramdas and Balakrishnan 2020, "Universal
inference"): the probability of what was seen under the alternative, predicted request by request, over its
greatest probability under any bias. Whatever the biases, however often one looks, and in whichever order
requests come back, it exceeds 1 / level with probability `level` at most.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

LEVEL: Final = 1e-9
"""Chance that a server which draws every sample anew is blamed, over a whole run."""

_SHARE = 1 / 8
"""Of the questions, where the alternative holds; others have too certain an answer to show it."""


@dataclass(slots=True)
class _Tosses:
    """What a question's requests showed.

    Attributes:
        first: The question's first sample.
        n_equal: Samples that equal it, itself left out.
        n_other: Samples that do not.
        n_requests: Requests after the first: how many all equal it, and how many all differ from it.
        log_chance: Of the requests under the alternative; -inf once one of them held both.
    """

    first: str
    n_equal: int = 0
    n_other: int = 0
    n_requests: tuple[int, int] = (0, 0)
    log_chance: float = 0.0

    def add(self, texts: Sequence[str], *, is_first: bool) -> None:
        """Take in the samples of one request."""
        n_equal = sum(text == self.first for text in texts)
        n_other = len(texts) - n_equal
        self.n_equal += n_equal - is_first
        self.n_other += n_other
        equal, other = self.n_requests
        if n_equal and n_other:
            self.log_chance = -math.inf
        elif not is_first:
            # Krichevsky and Trofimov's prediction of a coin from its tosses so far.
            self.log_chance += math.log(((equal if n_equal else other) + 0.5) / (equal + other + 1.0))
            self.n_requests = (equal + bool(n_equal), other + bool(n_other))

    def evidence(self) -> float:
        """Give the logarithm of the question's e-value, mixed with 1."""
        n = self.n_equal + self.n_other
        best = sum(k * math.log(k / n) for k in (self.n_equal, self.n_other) if k)
        log_e = self.log_chance - best
        if log_e > 700.0:
            return log_e + math.log(_SHARE)
        return math.log1p(_SHARE * math.expm1(log_e))


class Copies:
    """Weighs whether requests for several samples return one sample over and over."""

    def __init__(self) -> None:
        self._questions: dict[Hashable, _Tosses] = {}
        self._evidence = 0.0

    def note(self, question: Hashable, texts: Sequence[str]) -> None:
        """Take in the samples of one request.

        Args:
            question: What was asked, and at which temperature.
            texts: The samples, at least one.
        """
        tosses = self._questions.get(question)
        if tosses is None:
            tosses = self._questions[question] = _Tosses(texts[0])
            before, is_first = 0.0, True
        else:
            before, is_first = tosses.evidence(), False
        tosses.add(texts, is_first=is_first)
        self._evidence += tosses.evidence() - before

    @property
    def are_found(self) -> bool:
        """Whether chance alone is ruled out, at `LEVEL`."""
        return self._evidence > -math.log(LEVEL)
