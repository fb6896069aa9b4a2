"""What a list of tokens before temperature says of some answers, at every temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

MASKED: Final = -9000.0
"""Servers write about -9999 for a token that cannot be."""


class Listed(NamedTuple):
    """Tokens of which the first decides which answer comes, with their probabilities at temperature 1.

    At temperature T a token has p^(1/T), and an answer what all its tokens have together: the odds of sums
    that were tempered instead would be another law.

    Attributes:
        spellings: Answer -> natural log-probability of each listed token that begins it.
        rest: Probability that no listed token has, in [0, 1].
        n_spellings: Tokens that begin one answer, at most: so many may share what is not listed.
    """

    spellings: Mapping[str, Sequence[float]]
    rest: float
    n_spellings: int

    def at(self, temperature: float) -> tuple[dict[str, float], float]:
        """Work out the odds at a temperature.

        Args:
            temperature: >= 0; at 0 the likeliest token takes all.

        Returns:
            ``logprobs`` and ``unlisted`` of an `agentnet.backend.Reply` to a request at it: together the
            answers have the mass that they have at temperature 1.
        """
        best = max(map(max, self.spellings.values()))

        def weight(logprob: float) -> float:
            if temperature == 0.0:
                return float(logprob == best)
            return math.exp((logprob - best) / temperature) if logprob > MASKED else 0.0

        weights = {answer: math.fsum(map(weight, each)) for answer, each in self.spellings.items()}
        total = math.fsum(weights.values())
        mass = min(1.0, math.fsum(math.exp(each) for listed in self.spellings.values() for each in listed))
        logprobs = {
            answer: min(0.0, math.log(mass) + math.log(each / total)) if each / total else -math.inf
            for answer, each in weights.items()
        }
        n = self.n_spellings
        return logprobs, mass / total * _most_weight(self.rest / math.exp(best), n, temperature)


def _most_weight(rest: float, n_tokens: int, temperature: float) -> float:
    """Bound the tempered weight of tokens that have `rest` together, in units of the best token's.

    One token with all of it weighs most below temperature 1, equal shares above.
    """
    if temperature == 0.0:
        return math.inf if rest > 1.0 else 0.0
    n = n_tokens if temperature > 1.0 else 1
    try:
        return n * math.pow(rest / n, 1.0 / temperature)
    except OverflowError:
        return math.inf
