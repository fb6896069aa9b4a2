"""Whether samples are samples: some servers answer greedily, or give one sample n times, whatever is asked.

Sampler mode ``choices`` and every figure that is a share of texts rest on samples that differ by chance
alone. Seen on real servers for this project: transformers' samples greedily unless its generation settings
say otherwise.
"""

from __future__ import annotations

import asyncio
from typing import Final

from agentnet.probe.asking import Asker, Texts
from agentnet.probe.card import DOUBTFUL, FAILS, NOT_KNOWN, PASSES
from agentnet.probe.checks.texts import N_TEXTS, strata
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import ERROR, figure

_HOT: Final = 2.0
_N_HOT: Final = 4


@check("sampling", title="do samples of a question differ where they should?")
async def sampling(asker: Asker) -> Found:
    """Look whether all texts of a question are the same though another answer is likely, too."""
    if asker.lists_probabilities:
        return await _by_probability(asker)
    subject = asker.subject
    questions = [subject.question(pair) for pair in subject.pairs()]
    found = await _all(asker, [(each, asker.n_texts) for each in questions], subject.temperature)
    n_alike, n_known = sum(map(_is_one, found)), sum(each.n > 1 for each in found)
    threshold = (
        f"passes if the texts of some prompt differ; doubtful if none do, at temperature {_HOT:g} either: "
        "then the model is sure of every one, or the server samples greedily"
    )
    figures = [
        figure("share of prompts whose texts all agree", n_alike / n_known if n_known else float("nan"))
    ]
    if n_alike < n_known or n_known == 0:
        return Found(PASSES if n_known else NOT_KNOWN, threshold, figures, [_said(n_alike, n_known)])
    hot = await _all(asker, [(each, asker.n_texts) for each in questions[:_N_HOT]], _HOT)
    verdict = DOUBTFUL if all(map(_is_one, hot)) else PASSES
    return Found(verdict, threshold, figures, [_said(n_alike, n_known)])


async def _by_probability(asker: Asker) -> Found:
    chosen = await strata(asker)
    listed = [(await asker.shares([question], warmth))[0].p for question, warmth in chosen]
    found = await asyncio.gather(*(asker.texts(question, N_TEXTS, warmth) for question, warmth in chosen))
    chances = [p**said.n + (1 - p) ** said.n for p, said in zip(listed, found, strict=True)]
    telling = [
        _is_one(said) for said, chance in zip(found, chances, strict=True) if chance < ERROR / len(chosen)
    ]
    figures = [figure("prompts where all texts agreeing would be no chance", len(telling))]
    verdict = NOT_KNOWN if not telling else FAILS if any(telling) else PASSES
    threshold = (
        f"fails if all texts of a prompt agree where the listed probabilities give that a chance below "
        f"{ERROR / max(len(chosen), 1):g}; not known if no prompt is so"
    )
    return Found(verdict, threshold, figures, [_said(sum(telling), len(telling))])


async def _all(asker: Asker, asks: list[tuple[object, int]], temperature: float) -> list[Texts]:
    return list(await asyncio.gather(*(asker.texts(each, n, temperature) for each, n in asks)))  # type: ignore[arg-type]


def _is_one(texts: Texts) -> bool:
    return texts.n > 1 and texts.n_yes in {0, texts.n}


def _said(n_alike: int, n: int) -> str:
    return f"All texts agree in {n_alike} of {n} prompts that were looked at."
