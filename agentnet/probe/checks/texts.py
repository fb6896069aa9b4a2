"""Whether texts come with the probability that is listed: the gate for sampler mode ``logprobs``.

First-token probabilities need not agree with what a model writes (Wang et al. 2024, "My Answer is C",
2402.14499), and servers may list them before their own temperature or constraint. In each stratum, a prompt
at the lowest or the highest temperature of the design, texts are sampled as in mode ``call``; the listed
probability has to lie in the exact binomial interval (Clopper and Pearson 1934) of their share, at once in
all strata (Bonferroni).
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

from agentnet.probe.asking import Asker
from agentnet.probe.card import FAILS, NOT_KNOWN, PASSES
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import exact, figure
from agentnet.probe.subject import NotApplicable, ProbeQuestion

N_TEXTS: Final = 128
"""Texts of a stratum."""
_LEAST: Final = 100
_TARGETS: Final = (0.35, 0.65, 0.2, 0.8)
"""Probabilities near which strata are looked for: near 0 and 1 no number of texts tells much."""
_TELLING: Final = 0.02


async def strata(asker: Asker) -> list[tuple[ProbeQuestion, float]]:
    """Choose questions whose probabilities are as far from 0 and 1 as there are, and temperatures.

    Raises:
        NotApplicable: No probability is listed.
    """
    if not asker.lists_probabilities:
        raise NotApplicable("the backend lists no probabilities that texts could be compared with")
    pairs, temperatures = asker.subject.pairs(), asker.subject.composer.temperature
    shares = await asker.usual(pairs)
    left = [i for i, each in enumerate(shares) if not math.isnan(each.p)]
    chosen = []
    for number, target in enumerate(_TARGETS[: len(left)]):
        best = min(left, key=lambda i: abs(shares[i].p - target))
        left.remove(best)
        chosen.append((asker.subject.question(pairs[best]), temperatures[number % 2]))
    return chosen


@check("texts", title="do sampled texts come with the listed probability?")
async def texts(asker: Asker) -> Found:
    """Compare the share of texts with the probability in each stratum."""
    chosen = await strata(asker)
    listed = [(await asker.shares([question], warmth))[0].p for question, warmth in chosen]
    sampled = await asyncio.gather(*(asker.texts(question, N_TEXTS, warmth) for question, warmth in chosen))
    figures, outside, n_telling = [], [], 0
    for number, (p, said, (_, warmth)) in enumerate(zip(listed, sampled, chosen, strict=True), start=1):
        share = exact(said.n_yes, said.n, len(chosen))
        name = f"stratum {number}, temperature {warmth:g}"
        figures += [figure(f"{name}: listed P", p), share.figure(f"{name}: share of {said.n} texts")]
        if said.n < _LEAST or math.isnan(p):
            continue
        n_telling += _TELLING <= p <= 1 - _TELLING
        outside += [number] if not share.low <= p <= share.high else []
    says = [
        f"The listed probability lies outside of the interval in {len(outside)} of {len(chosen)} strata"
        + (f" ({', '.join(map(str, outside))})." if outside else "."),
        f"{n_telling} strata are far enough from 0 and 1 to tell ({_TELLING:g} to {1 - _TELLING:g}).",
        "Sampler mode logprobs draws from listed probabilities: where this fails, choose call or choices.",
    ]
    threshold = (
        f"fails if a listed P lies outside of the exact binomial interval of {_LEAST} or more texts, at 99% "
        "for all strata together; not known if no stratum tells"
    )
    verdict = FAILS if outside else PASSES if n_telling else NOT_KNOWN
    return Found(verdict, threshold, figures, says)
