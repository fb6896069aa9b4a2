"""Whether the words that stand for the answers change the answer.

Models favour labels, whatever these stand for: a yes, a letter A (PriDe, 2309.03882; 2402.14499; RBCorr,
2602.12445). Sharing is called yes, share, A and B; each pair of labels in both orders, averaged on the
logit.
"""

from __future__ import annotations

from typing import Final

from agentnet.probe.asking import Asker
from agentnet.probe.checks.order import ask_forms, flipped, logit_mean, ordered_forms
from agentnet.probe.contract import Found, check
from agentnet.probe.judging import figure, mean, mean_of, of_sizes, words_of_sizes
from agentnet.probe.subject import AnswerForm

_TOLERATED: Final = 0.05
_LETTERS: Final = (
    AnswerForm("Answer with one letter only: A if you share it, B if you do not share it.", ("A", "B")),
    AnswerForm("Answer with one letter only: A if you do not share it, B if you share it.", ("B", "A")),
)


@check("labels", title="do the words that stand for the answers change them?")
async def labels(asker: Asker) -> Found:
    """Compare yes and no with share and withhold, and with letters, and the letters with each other."""
    forms = {**ordered_forms(asker.subject), "A / B": _LETTERS}
    columns = await ask_forms(asker, [form for pair in forms.values() for form in pair])
    both = [list(zip(*columns[place : place + 2], strict=True)) for place in range(0, len(columns), 2)]
    means = [[logit_mean(row) for row in rows] for rows in both]
    own, *others = means
    usual, *names = forms
    moved = {
        f"{usual} against {name}": mean_of([a - b for a, b in zip(own, other, strict=True)], len(forms))
        for name, other in zip(names, others, strict=True)
    }
    letters = [a.estimate - b.estimate for a, b in both[-1]]
    moved["sharing called A against sharing called B"] = mean_of(letters, len(forms))
    figures = [each.figure(f"P of sharing, {name}") for name, each in moved.items()]
    figures += [
        mean("P averaged over all forms", [logit_mean(row).value for row in zip(*columns, strict=True)]),
        figure("share of prompts that flip between forms", flipped(columns)),
    ]
    says = "Each pair of labels is averaged over both orders, on the logit, before labels are compared."
    return Found(of_sizes([*moved.values()], _TOLERATED), words_of_sizes(_TOLERATED), figures, [says])
