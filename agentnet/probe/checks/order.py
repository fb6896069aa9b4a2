"""Whether the answer that is named first is favoured.

Models favour an option for its place (Zheng et al. 2024, PriDe, 2309.03882; RBCorr, 2602.12445). The allowed
answers are named in either order, with everything else the same; averaged on the logit, what the order adds
cancels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from agentnet.probe.asking import Asker, ShareProbability
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import PromptEstimate, figure, mean, mean_of, of_sizes, sigma, words_of_sizes
from agentnet.probe.subject import AS_USUAL, AnswerForm, ProbeSubject
from agentnet.vocabulary import NO, YES

SHARE, WITHHOLD = "share", "withhold"
_TOLERATED: Final = 0.05


def ordered_forms(subject: ProbeSubject) -> dict[str, tuple[AnswerForm, AnswerForm]]:
    """Give forms by their words: what stands for sharing named first, and named last."""
    words = f"{YES} / {NO}"
    own, turned = AS_USUAL, subject.form_other_way_round()
    names_no_first = subject.composer.prompts.texts["answer_plain.txt"].casefold().find(f"{NO} or {YES}") >= 0
    return {
        words: (turned, own) if names_no_first else (own, turned),
        f"{SHARE} / {WITHHOLD}": (_one_word(SHARE, WITHHOLD), _one_word(WITHHOLD, SHARE)),
    }


def _one_word(first: str, last: str) -> AnswerForm:
    return AnswerForm(f"Answer with one word only, {first} or {last}.", (SHARE, WITHHOLD))


async def ask_forms(asker: Asker, forms: Sequence[AnswerForm]) -> list[list[ShareProbability]]:
    """Ask all pairs in each form."""
    subject, pairs = asker.subject, asker.subject.pairs()
    questions = [
        subject.question(pair) if form == AS_USUAL else subject.varied(pair, form)
        for form in forms
        for pair in pairs
    ]
    found = await asker.shares(questions)
    return [found[place : place + len(pairs)] for place in range(0, len(found), len(pairs))]


def logit_mean(shares: Sequence[ShareProbability]) -> PromptEstimate:
    """Average probabilities of one pair on the logit; nan if one is missing."""
    value = sigma(math.fsum(each.logit for each in shares) / len(shares))
    return PromptEstimate(value, math.fsum(each.estimate.variance for each in shares) / len(shares) ** 2)


def flipped(columns: Sequence[Sequence[ShareProbability]]) -> float:
    """Give the share of pairs whose likelier answer is not the same in each column; nan if none is known."""
    sides = [{each.p > 0.5 for each in row} for row in zip(*columns, strict=True) if _is_known(row)]
    return sum(len(each) > 1 for each in sides) / len(sides) if sides else math.nan


def _is_known(shares: Sequence[ShareProbability]) -> bool:
    return not any(math.isnan(each.p) for each in shares)


@check("order", title="is the answer that is named first favoured?")
async def order(asker: Asker) -> Found:
    """Compare both orders of yes and no, and of share and withhold."""
    forms = ordered_forms(asker.subject)
    columns = await ask_forms(asker, [form for pair in forms.values() for form in pair])
    both = list(zip(columns[::2], columns[1::2], strict=True))
    moved = [
        mean_of([a.estimate - b.estimate for a, b in zip(first, last, strict=True)], len(forms))
        for first, last in both
    ]
    flips = [flipped(each) for each in both]
    figures = [
        each.figure(f"{words}: moved by being named first") for words, each in zip(forms, moved, strict=True)
    ]
    figures += [
        figure(f"{words}: share of prompts that flip", each) for words, each in zip(forms, flips, strict=True)
    ]
    figures += [
        mean(
            f"{words}: P averaged over both",
            [logit_mean(row).value for row in zip(*each, strict=True)],
        )
        for words, each in zip(forms, both, strict=True)
    ]
    says = (
        "The probability of sharing is compared between prompts that differ in the order of the two answers "
        "alone; the average of both, on the logit, is free of what the order adds."
    )
    return Found(of_sizes(moved, _TOLERATED), words_of_sizes(_TOLERATED), figures, [says, *_of_chance(asker)])


def _of_chance(asker: Asker) -> list[str]:
    return [] if asker.lists_probabilities else ["Shares of texts near one half flip by chance, too."]
