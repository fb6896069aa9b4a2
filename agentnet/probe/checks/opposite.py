"""Whether yes to sharing and yes to withholding add up to 1.

Asked whether it shares and whether it withholds, an agent cannot mean yes to both, or to neither; models do,
for yes is the answer that they favour (2511.14385). Both are asked with yes and no named in either order, and
averaged on the logit: what the first place adds is none of it (check order).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from agentnet.probe.asking import Asker
from agentnet.probe.checks.order import ask_forms, logit_mean
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import MeanRange, mean, mean_of, of_sizes, words_of_sizes
from agentnet.probe.subject import AS_USUAL, OPPOSITE, NotApplicable

_TOLERATED: Final = 0.1


@check("opposite", title="do yes to sharing and yes to withholding add up to 1?")
async def opposite(asker: Asker) -> Found:
    """Add both up for each prompt."""
    subject, pairs = asker.subject, asker.subject.pairs()
    forms = [AS_USUAL]
    # A template that names no order has none to be turned.
    with suppress(NotApplicable):
        forms.append(subject.form_other_way_round())
    shared = [logit_mean(row) for row in zip(*await ask_forms(asker, forms), strict=True)]
    asked = [
        await asker.shares([subject.varied(pair, form, wording=OPPOSITE, is_opposite=True) for pair in pairs])
        for form in forms
    ]
    withheld = [logit_mean(row) for row in zip(*asked, strict=True)]
    total = mean_of(a + b for a, b in zip(shared, withheld, strict=True))
    off = MeanRange(total.value - 1.0, total.low - 1.0, total.high - 1.0)
    figures = [
        total.figure("P(yes to sharing) + P(yes to withholding)"),
        mean("P(yes to sharing)", [each.value for each in shared]),
        mean("P(yes to withholding)", [each.value for each in withheld]),
    ]
    order = "both orders of yes and no are averaged" if len(forms) > 1 else "the order of yes and no is one"
    says = f"Above 1 it says yes to both, below 1 to neither; {order}; withholding is asked as: {OPPOSITE}"
    threshold = f"by the distance of the sum from 1: {words_of_sizes(_TOLERATED)}"
    return Found(of_sizes([off], _TOLERATED), threshold, figures, [says])
