"""Whether a question is answered alike alone and beside others.

Servers that batch what is in flight, or keep prefixes, add in another order: llama.cpp's probabilities moved
by up to 0.07 with what was asked beside (measured for this project). The same prompts are asked one at a
time and all at once, for their probabilities and for texts at temperature 0 with one seed; neither takes the
other's reply from the cache.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

from agentnet.errors import BackendUnusable
from agentnet.probe.asking import Asker, Texts
from agentnet.probe.card import DOUBTFUL, FAILS, PASSES, Verdict
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import figure, worst
from agentnet.probe.subject import ProbeQuestion

_TOLERATED, _TOO_MUCH = 0.01, 0.05
_MOST_DIFFERENT: Final = 0.25
_ALONE, _BESIDE = 1, 2


@check("repeatable", title="is a question answered alike, whatever is asked beside it?")
async def repeatable(asker: Asker) -> Found:
    """Ask the same alone and beside others."""
    subject = asker.subject
    few, every = ([subject.question(pair) for pair in each] for each in (subject.few(), subject.pairs()))
    moved = await _moved(asker, few, every) if asker.lists_probabilities else math.nan
    differ = await _differ(asker, few, every)
    verdicts: list[Verdict] = []
    if not math.isnan(moved):
        verdicts.append(PASSES if moved <= _TOLERATED else FAILS if moved > _TOO_MUCH else DOUBTFUL)
    if not math.isnan(differ):
        verdicts.append(PASSES if differ == 0.0 else FAILS if differ > _MOST_DIFFERENT else DOUBTFUL)
    threshold = (
        f"passes if probabilities move by at most {_TOLERATED:g} and no text differs; fails beyond "
        f"{_TOO_MUCH:g}, or if more than {_MOST_DIFFERENT:g} of the texts differ"
    )
    says = f"{len(few)} prompts were asked one at a time, then with {len(every)} in flight at once."
    figures = [
        figure("largest difference of a listed probability", moved),
        figure("share of texts that differ at temperature 0", differ),
    ]
    return Found(worst(verdicts), threshold, figures, [says])


async def _moved(asker: Asker, few: list[ProbeQuestion], every: list[ProbeQuestion]) -> float:
    warmth = asker.subject.temperature
    alone = [await asker.listed(each, warmth, repeat=_ALONE) for each in few]
    together = dict(
        zip(
            every,
            await asyncio.gather(*(asker.listed(each, warmth, repeat=_BESIDE) for each in every)),
            strict=True,
        )
    )
    moved = [abs(a.p - together[each].p) for a, each in zip(alone, few, strict=True)]
    return max((each for each in moved if not math.isnan(each)), default=math.nan)


async def _differ(asker: Asker, few: list[ProbeQuestion], every: list[ProbeQuestion]) -> float:
    """Give the share of texts at temperature 0 that differ; nan where there is no such temperature."""

    async def cold(question: ProbeQuestion, repeat: int) -> Texts:
        return await asker.texts(question, 1, 0.0, repeat=repeat)

    try:
        alone = [await cold(each, _ALONE) for each in few]
        together = dict(
            zip(every, await asyncio.gather(*(cold(each, _BESIDE) for each in every)), strict=True)
        )
    except BackendUnusable:
        return math.nan
    pairs = [(a.said, together[each].said) for a, each in zip(alone, few, strict=True)]
    known = [(a, b) for a, b in pairs if None not in (*a, *b)]
    return sum(a != b for a, b in known) / len(known) if known else math.nan
