"""How many requests draws take in each sampler mode, before one is sent: an expectation, not a bound.

What a trial drew tells how many questions there are; draws are taken to fall on them at random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from agentnet.sampler.choices import locate

_NEGLIGIBLE = 1e-7


class Load(NamedTuple):
    """Draws that were made of some questions, and how many more are to come.

    Attributes:
        draws: How many were made.
        distinct: How many questions they were of, each with its temperature.
        once: How many questions one draw was of.
        twice: How many questions two draws were of.
        n_groups: How many groups of repeats they are from; no question is of two groups.
        n_repeats: How many repeats a group has.
        n_draws: How many draws a repeat makes.
        n_at_most: Samples that a request asks for at most, >= 1.
    """

    draws: int
    distinct: int
    once: int
    twice: int
    n_groups: int
    n_repeats: int
    n_draws: float
    n_at_most: int = 1

    @property
    def n_unseen(self) -> float:
        """Questions that no draw was of: Chao's estimate, which also holds where some are rare.

        A. Chao (1984), Nonparametric estimation of the number of classes in a population, Scandinavian
        Journal of Statistics 11, 265-270.
        """
        return self.once**2 / (2.0 * max(self.twice, 1))

    def n_distinct(self, n_draws: float) -> float:
        """Extrapolate how many questions so many draws of as many groups are of.

        R. K. Colwell et al. (2012), Models and estimators linking individual-based and sample-based
        rarefaction, extrapolation and comparison of assemblages, Journal of Plant Ecology 5, 3-21.
        """
        if not self.n_unseen:
            return self.distinct
        more = (n_draws - self.draws) / self.draws
        return self.distinct - self.n_unseen * math.expm1(-more * self.once / self.n_unseen)


class Sends(NamedTuple):
    """What is sent for.

    Attributes:
        requests: Their number.
        samples: Texts that they ask for, all together.
    """

    requests: float
    samples: float


def _of_call(load: Load) -> Sends:
    n = load.n_draws * load.n_repeats
    return Sends(n, n)


def _of_logprobs(load: Load) -> Sends:
    n = load.n_distinct(load.n_draws * load.n_repeats * load.n_groups) / load.n_groups
    return Sends(n, n)


def _of_choices(load: Load) -> Sends:
    """Add up the blocks that some repeat needs, over all sets of repeats that share blocks."""
    from scipy.special import gammainc

    n_questions = (load.distinct + load.n_unseen) / load.n_groups
    width, each = min(load.n_repeats, load.n_at_most), load.n_draws / n_questions
    requests = samples = 0.0
    for chunk in range(-(-load.n_repeats // width)):
        draw, is_needed = 0, 1.0
        while is_needed > _NEGLIGIBLE:
            block, _ = locate(draw, chunk * width, load.n_repeats, load.n_at_most)
            # By a repeat that has more draws of a question than came before the block.
            more = min(float(gammainc(draw + 1, each)), 1.0 - _NEGLIGIBLE**2)
            is_needed = -math.expm1(block.n_repeats * math.log1p(-more))
            requests, samples = requests + is_needed, samples + is_needed * block.n
            draw = block.first + block.n_draws
    return Sends(requests * n_questions, samples * n_questions)


EXPECTED: Final[Mapping[str, Callable[[Load], Sends]]] = {
    "call": _of_call,
    "choices": _of_choices,
    "logprobs": _of_logprobs,
}
"""Sampler mode -> what it sends for in one group."""
