"""How much the format of an answer matters, which is a part of the treatment, to be named with every result.

One model said yes to the same prompts with probability .26 constrained by a grammar, .55 by a JSON schema
and .48 with its reason in JSON (SmolLM2, measured for this project). That texts and probabilities part is
known (2402.14499); this says by how much texts move here. Further settings of a backend (`--beside
backend.constrain=none`) are asked the same.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from agentnet.probe.asking import Asker
from agentnet.probe.card import DOUBTFUL, FAILS
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import exact, mean, mean_of, of_sizes, words_of_sizes
from agentnet.probe.subject import ProbeQuestion, ProbeSubject
from agentnet.vocabulary import INLINE, WITHOUT

_TOLERATED: Final = 0.1


class _Way(NamedTuple):
    name: str
    questions: tuple[ProbeQuestion, ...]
    voice: str = ""


@check("formats", title="does the format of the answer change it?")
async def formats(asker: Asker) -> Found:
    """Sample texts in each format, and compare each with the one in force."""
    n, warmth = asker.n_texts, asker.subject.temperature
    ways = _ways(asker.subject, asker.others)
    asked = await asyncio.gather(
        *(asker.texts(each, n, warmth, voice=way.voice) for way in ways for each in way.questions)
    )
    n_each = len(ways[0].questions)
    found = [asked[place : place + n_each] for place in range(0, len(asked), n_each)]
    own, *others = ([texts.share.estimate for texts in each] for each in found)
    usual, *rest = ways
    moved = [mean_of([a - b for a, b in zip(each, own, strict=True)], len(others)) for each in others]
    figures = [
        mean(f"P, {way.name}", [texts.share.p for texts in each])
        for way, each in zip(ways, found, strict=True)
    ]
    figures += [each.figure(f"moved by {way.name}") for way, each in zip(rest, moved, strict=True)]
    figures += [
        exact(sum(t.n for t in each), sum(len(t.decisions) for t in each), len(ways)).figure(
            f"usable, {way.name}"
        )
        for way, each in zip(ways, found, strict=True)
    ]
    verdict = of_sizes(moved, _TOLERATED)
    says = (
        f"In force is: {usual.name}. The format is part of the treatment: results hold for it, and name it."
    )
    threshold = f"never fails; doubtful where this would fail: {words_of_sizes(_TOLERATED)}"
    return Found(DOUBTFUL if verdict == FAILS else verdict, threshold, figures, [says])


def _ways(subject: ProbeSubject, others: object) -> list[_Way]:
    """List the formats that differ, the one in force first."""
    pairs = subject.pairs()
    named = [("one word", WITHOUT), ("JSON with a reason", INLINE)]
    # A design that asks for reasons afterwards asks for a word first.
    if subject.composer.rationale == INLINE:
        named.reverse()
    ways: list[_Way] = []
    for name, rationale in named:
        asked = [subject.question(pair, rationale=rationale) for pair in pairs]  # type: ignore[arg-type]
        free = tuple(each._replace(allowed=(), schema=None) for each in asked)
        held = tuple(asked)
        ways += [_Way(f"{name}, constrained", held)] if held != free else []
        ways.append(_Way(f"{name}, not constrained", free))
    assert isinstance(others, dict)
    ways += [_Way(f"{ways[0].name}, {name}", ways[0].questions, voice) for name, voice in others.items()]
    return ways
