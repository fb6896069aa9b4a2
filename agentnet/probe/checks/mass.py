"""Whether the model answers at all as it is asked to.

Probability of yes and no is read from what the model would say next. Where most of that is something else,
the ratio of the two tells little of what it would do (Wang et al. 2024, "My Answer is C", 2402.14499). A
backend that lists no probabilities is judged by the share of its texts that can be understood.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

from agentnet.probe.asking import Asker
from agentnet.probe.card import DOUBTFUL, FAILS, NOT_KNOWN, PASSES
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import exact, figure

_LEAST: Final = 0.9
"""Sampler mode ``logprobs`` asks for as much, unless `sampler.least_mass` says otherwise."""
_LEAST_USABLE: Final = 0.95
"""A run may end with as many answers missing, unless `engine.max_missing` says otherwise."""


@check("mass", title="does the model give one of the allowed answers?")
async def mass(asker: Asker) -> Found:
    """Sum what is listed on the answers; else count the texts that can be understood."""
    if not asker.lists_probabilities:
        return await _usable(asker)
    listed = [share.mass for share in await asker.usual(asker.subject.pairs())]
    known = [each for each in listed if not math.isnan(each)]
    mean = math.fsum(known) / len(known) if known else math.nan
    least = min(known, default=math.nan)
    is_all = len(known) == len(listed) and least >= _LEAST
    verdict = NOT_KNOWN if not known else PASSES if is_all else FAILS if mean < _LEAST else DOUBTFUL
    threshold = (
        f"passes if the allowed answers have at least {_LEAST:g} of the probability for each prompt, fails "
        "if they have less on average"
    )
    says = (
        f"{len(known)} of {len(listed)} prompts have a probability; what is missing of 1 went to other words."
    )
    return Found(verdict, threshold, [figure("mean mass", mean), figure("least mass", least)], [says])


async def _usable(asker: Asker) -> Found:
    subject = asker.subject
    questions = [subject.question(pair) for pair in subject.pairs()]
    found = await asyncio.gather(
        *(asker.texts(each, asker.n_texts, subject.temperature) for each in questions)
    )
    n, n_usable = sum(len(each.decisions) for each in found), sum(each.n for each in found)
    share = exact(n_usable, n)
    verdict = PASSES if share.value >= _LEAST_USABLE else FAILS if share.high < _LEAST_USABLE else DOUBTFUL
    return Found(
        verdict if n else NOT_KNOWN,
        f"passes if at least {_LEAST_USABLE:g} of the texts can be understood, fails if the interval of "
        "that share ends below",
        [share.figure("usable texts")],
        [f"{n - n_usable} of {n} texts were missing or no answer; they count as missing, not as a no."],
    )
