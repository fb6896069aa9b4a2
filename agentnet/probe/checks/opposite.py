"""Whether yes to sharing and yes to withholding add up to 1.

Asked whether it shares and whether it withholds, an agent cannot mean yes to both, or to neither; models do,
for yes is the answer that they favour (2511.14385).
"""

from __future__ import annotations

from typing import Final

from agentnet.probe.asking import Asker
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import Spread, mean, mean_of, of_sizes, words_of_sizes
from agentnet.probe.subject import OPPOSITE

_TOLERATED: Final = 0.1


@check("opposite", title="do yes to sharing and yes to withholding add up to 1?")
async def opposite(asker: Asker) -> Found:
    """Add both up for each prompt."""
    subject, pairs = asker.subject, asker.subject.pairs()
    withheld = await asker.shares(
        [subject.varied(pair, wording=OPPOSITE, is_opposite=True) for pair in pairs]
    )
    shared = await asker.usual(pairs)
    total = mean_of(a.estimate + b.estimate for a, b in zip(shared, withheld, strict=True))
    off = Spread(total.value - 1.0, total.low - 1.0, total.high - 1.0)
    figures = [
        total.figure("P(yes to sharing) + P(yes to withholding)"),
        mean("P(yes to sharing)", [each.p for each in shared]),
        mean("P(yes to withholding)", [each.p for each in withheld]),
    ]
    says = f"Above 1 it says yes to both, below 1 to neither; withholding is asked as: {OPPOSITE}"
    threshold = f"by the distance of the sum from 1: {words_of_sizes(_TOLERATED)}"
    return Found(of_sizes([off], _TOLERATED), threshold, figures, [says])
