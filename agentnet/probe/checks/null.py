"""What the model answers where there is nothing to answer about.

Contextual calibration (Zhao et al. 2021, "Calibrate Before Use", 2102.09690): a prompt without content
should not lean to either answer. News, or traits, or both are replaced by "N/A"; the lean that this shows is
taken from the logit of each answer. Raw and corrected probabilities are both told: which of them is right,
none of them says.
"""

from __future__ import annotations

import math
from typing import Final

from agentnet.probe.asking import Asker, ShareProbability
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import MeanRange, exact, figure, mean, of_sizes, sigma, words_of_sizes
from agentnet.probe.subject import NOTHING, ProbePair, saying

_TOLERATED: Final = 0.15
_N_TEXTS: Final = 128
_ROUNDING: Final = 1e-9


@check("null", title="does it lean to an answer where nothing is asked about?")
async def null(asker: Asker) -> Found:
    """Ask with neither news nor traits, and with one of them."""
    subject, pairs = asker.subject, asker.subject.pairs()
    nothing = saying(pairs[0].item, NOTHING)
    profiles = list(dict.fromkeys(pair.profile for pair in pairs))
    items = list(dict.fromkeys(pair.item for pair in pairs))
    of_nobody = [ProbePair(None, item) for item in items]
    varied = [
        subject.varied(pair, instead_of=pairs[0])
        for pair in [*(ProbePair(each, nothing) for each in profiles), *of_nobody]
    ]
    empty = subject.question(ProbePair(None, nothing))
    raw = await asker.usual(pairs)
    shares = await asker.shares([*varied, empty])
    lean = _both_null(shares[-1])
    if not asker.lists_probabilities:
        texts = await asker.texts(empty, max(_N_TEXTS, asker.n_texts), subject.temperature)
        lean = exact(texts.n_yes, texts.n)
    of_profile = dict(zip(profiles, shares, strict=False))
    corrected = [
        sigma(each.logit - of_profile[pair.profile].logit) for pair, each in zip(pairs, raw, strict=True)
    ]
    turned = [
        (a.p - 0.5) * (b - 0.5) < -_ROUNDING for a, b in zip(raw, corrected, strict=True) if not math.isnan(b)
    ]
    figures = [
        lean.figure("P without news and traits"),
        mean("P without news, mean over profiles", [each.p for each in shares[: len(profiles)]]),
        mean("P without traits, mean over news", [each.p for each in shares[len(profiles) : -1]]),
        mean("P as asked, raw", [each.p for each in raw]),
        mean("P as asked, corrected by the same profile without news", corrected),
        figure("share of prompts that correction turns", sum(turned) / len(turned) if turned else math.nan),
    ]
    off = MeanRange(lean.value - 0.5, lean.low - 0.5, lean.high - 0.5)
    says = (
        f"Without news and traits ('{NOTHING}' in their place) one half would be no lean; a profile's own "
        "lean may be its character: that corrected figures are better than raw ones is not said by this."
    )
    threshold = f"by the distance from one half of P without news and traits: {words_of_sizes(_TOLERATED)}"
    return Found(of_sizes([off], _TOLERATED), threshold, figures, [says])


def _both_null(share: ShareProbability) -> MeanRange:
    return MeanRange(share.p, share.p, share.p)
