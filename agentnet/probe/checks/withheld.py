"""Whether answers hang on the news at all: the control in which its text is withheld.

A model that answers the same without having read the news answers from the question, or from a guess of what
the study is about: the principle of unawareness of PIMMUR (2509.18052).
"""

from __future__ import annotations

import math
from typing import Final

from agentnet.probe.asking import Asker, ShareProbability
from agentnet.probe.card import DOUBTFUL, NOT_KNOWN, PASSES
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import ERROR, figure, mean
from agentnet.probe.subject import saying

_WITHHELD: Final = "(The text of this news is withheld from you.)"
_LEAST: Final = 0.01


@check("withheld", title="do the answers hang on the text of the news?")
async def withheld(asker: Asker) -> Found:
    """Compare answers with and without the text."""
    subject, pairs = asker.subject, asker.subject.pairs()
    without = await asker.shares(
        [subject.varied(pair._replace(item=saying(pair.item, _WITHHELD)), instead_of=pair) for pair in pairs]
    )
    asked = await asker.usual(pairs)
    both = [(a, b) for a, b in zip(asked, without, strict=True) if not math.isnan(a.p + b.p)]
    size = sum(abs(a.p - b.p) for a, b in both) / len(both) if both else math.nan
    figures = [
        mean("P without the text", [b.p for _, b in both]),
        mean("P with it", [a.p for a, _ in both]),
        figure("mean size of the difference", size),
    ]
    if asker.lists_probabilities:
        verdict = NOT_KNOWN if not both else PASSES if size > _LEAST else DOUBTFUL
        threshold = (
            f"passes if the text moves probabilities by more than {_LEAST:g} on average; doubtful else"
        )
    else:
        chance = _chance(both)
        figures.append(figure("chance of such differences if it did not matter", chance))
        verdict = PASSES if chance < ERROR else NOT_KNOWN
        threshold = (
            f"passes if the differences would have a chance below {ERROR:g} without an effect; not known else"
        )
    says = "The same agents are asked with the text of the news and with a note that it is withheld."
    return Found(verdict, threshold, figures, [says])


def _chance(both: list[tuple[ShareProbability, ShareProbability]]) -> float:
    """Test whether any share differs (chi-square with half a text more of each answer)."""
    from scipy.stats import chi2

    squares = [_square(a, b) for a, b in both]
    return float(chi2.sf(math.fsum(squares), len(squares))) if squares else math.nan


def _square(a: ShareProbability, b: ShareProbability) -> float:
    p = (a.p * a.n + b.p * b.n + 1.0) / (a.n + b.n + 2.0)
    return (a.p - b.p) ** 2 / (p * (1 - p) * (1 / a.n + 1 / b.n))
