"""Whether effects of traits and of news stand out from those of how the question is put.

An effect that another wording of the same question would turn is no finding about the model (2504.19445):
with a mean over wordings below its own spread over them there is nothing to claim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Final

from agentnet.probe.asking import Asker, ShareProbability
from agentnet.probe.card import DOUBTFUL, FAILS, NOT_KNOWN, PASSES, CardFigure
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import figure
from agentnet.probe.subject import ProbePair, ProbeSubject
from agentnet.vocabulary import SEVERITIES, TRAITS

WORDINGS: Final = (
    "Will you pass it on?",
    "Would you share this news with other people?",
    "Is this something that you share with those around you?",
    "Now that you have read it, do you share it?",
)
_LEAST_EFFECT: Final = 1e-9
_NEWS: Final = "news"
_MOST_TOLD: Final = 100.0


@check("paraphrases", title="do effects of traits and news stand out from those of the wording?")
async def paraphrases(asker: Asker) -> Found:
    """Estimate each effect under each wording."""
    subject, pairs = asker.subject, asker.subject.pairs()
    questions = [subject.varied(pair, wording=wording) for wording in WORDINGS for pair in pairs]
    shares = [*await asker.usual(pairs), *await asker.shares(questions)]
    by_wording = [shares[place : place + len(pairs)] for place in range(0, len(shares), len(pairs))]
    effects = {
        name: [_effect(each, place) for each in by_wording] for name, place in _places(subject, pairs).items()
    }
    ratios = {name: _ratio(found) for name, found in effects.items()}
    claims = [name for name, ratio in ratios.items() if ratio >= 1.0]
    # News are the last of them.
    *_, news = ratios
    has_trait, has_news = bool(set(claims) - {news}), news in claims
    is_known = any(not math.isnan(ratio) for ratio in ratios.values())
    found = PASSES if has_trait and has_news else DOUBTFUL if claims else FAILS
    threshold = (
        "an effect may be claimed if its mean over the wordings is at least its standard deviation over "
        "them; passes if that holds of a trait and of the news, fails if of nothing"
    )
    return Found(
        found if is_known else NOT_KNOWN,
        threshold,
        [_figure(name, found) for name, found in effects.items()],
        [_said(name, ratio) for name, ratio in ratios.items()],
    )


def _places(subject: ProbeSubject, pairs: Sequence[ProbePair]) -> dict[str, list[bool]]:
    """Name each effect, and say which pairs stand on its upper side."""
    traits = {
        trait: [pair.profile is not None and pair.profile.high(trait) for pair in pairs] for trait in TRAITS
    }
    upper = subject.sides()[1]
    low, high = (side[0].severity for side in subject.sides())
    told = f"{SEVERITIES[1]} against {SEVERITIES[0]}" if (low, high) == (0, 1) else "some against others"
    return traits | {f"{_NEWS}, {told}": [pair.item in upper for pair in pairs]}


def _effect(shares: Sequence[ShareProbability], is_high: Sequence[bool]) -> float:
    """Give the difference of mean logits; nan if a side has none."""
    sides: tuple[list[float], list[float]] = ([], [])
    for share, place in zip(shares, is_high, strict=True):
        if not math.isnan(share.p):
            sides[place].append(share.logit)
    return fmean(sides[1]) - fmean(sides[0]) if all(sides) else math.nan


def _ratio(effects: Sequence[float]) -> float:
    known = [each for each in effects if not math.isnan(each)]
    if len(known) < len(WORDINGS):
        return math.nan
    mean, spread = abs(fmean(known)), stdev(known)
    if mean < _LEAST_EFFECT:
        return 0.0
    return mean / spread if spread else math.inf


def _figure(name: str, effects: Sequence[float]) -> CardFigure:
    known = [each for each in effects if not math.isnan(each)]
    if not known:
        return figure(f"{name}: effect on the logit", math.nan)
    return figure(f"{name}: effect on the logit", fmean(known), min(known), max(known))


def _said(name: str, ratio: float) -> str:
    if math.isnan(ratio):
        return f"{name}: not known, for too little was answered."
    times = "over 100 times" if ratio > _MOST_TOLD else f"{ratio:.1f} times"
    claim = "an effect" if ratio >= 1.0 else "no claim"
    return f"{name}: {claim}, {times} its spread over {len(WORDINGS) + 1} wordings."
