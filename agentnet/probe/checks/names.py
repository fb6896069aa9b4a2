"""Whether the name of an agent changes what it answers: a control for what should not matter.

Names carry what people of that name are said to do. An agent whose profile and news are the same should
answer the same, whatever it is called: a change as arbitrary as those of the wording, against which
2504.19445 holds effects.
"""

from __future__ import annotations

from typing import Final

from agentnet.probe.asking import Asker
from agentnet.probe.checks.order import logit_mean
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import mean_of, of_sizes, words_of_sizes

_NAMES: Final = ("Maria", "James")
_TOLERATED: Final = 0.05


@check("names", title="does the name of an agent change its answers?")
async def names(asker: Asker) -> Found:
    """Give all agents one name, then another."""
    subject, pairs = asker.subject, asker.subject.pairs()
    questions = [subject.question(pair, told=f"Your name is {name}.") for name in _NAMES for pair in pairs]
    shares = await asker.shares(questions)
    first, second = shares[: len(pairs)], shares[len(pairs) :]
    usual = await asker.usual(pairs)
    moved = mean_of([a.estimate - b.estimate for a, b in zip(first, second, strict=True)], 2)
    named = mean_of([logit_mean(row) - c.estimate for *row, c in zip(first, second, usual, strict=True)], 2)
    figures = [
        moved.figure(f"P of sharing, {_NAMES[0]} against {_NAMES[1]}"),
        named.figure("P of sharing, with a name against without"),
    ]
    says = "Profiles, news and questions are the same; a sentence with the name stands before all the rest."
    return Found(of_sizes([moved, named], _TOLERATED), words_of_sizes(_TOLERATED), figures, [says])
