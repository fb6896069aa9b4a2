"""What a check of a probe is, and how a card is made of all of them.

A check is an async function of an `agentnet.probe.asking.Asker`; a new one is a file in
`agentnet.probe.checks`, or of anybody's under an entry point of group ``agentnet.probe_checks``:

    @check("politeness", title="does a 'please' change the answers?")
    async def politeness(asker: Asker) -> Found:
        ...
        return Found(of_sizes([moved], 0.05), words_of_sizes(0.05), [moved.figure("moved by")], [...])
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic import ValidationError

import agentnet
from agentnet.errors import ConfigurationError, PluginError
from agentnet.plugins import PluginKind, awaited, is_of
from agentnet.probe.asking import Asker
from agentnet.probe.card import NOT_APPLICABLE, Card, CardFigure, Finding, Verdict, worst_first
from agentnet.probe.subject import NotApplicable


class Found(NamedTuple):
    """What a check found; see `agentnet.probe.card.Finding`."""

    verdict: Verdict
    threshold: str
    figures: Sequence[CardFigure]
    says: Sequence[str]


Looks = Callable[[Asker], Awaitable[Found]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        title: What it looks at, for people.
        looks: Asks, and judges.
    """

    title: str
    looks: Looks


CHECKS: Final[PluginKind[Check]] = PluginKind(
    "check of a probe",
    "agentnet.probe_checks",
    "agentnet.probe.contract.check",
    parts=("title", "looks"),
    takes={"looks": 1},
    bundled="agentnet.probe.checks",
    unknown=ConfigurationError,
)


def check(name: str, *, title: str) -> Callable[[Looks], Check]:
    """Make a check of the decorated function, and list it."""

    def listed(looks: Looks) -> Check:
        return CHECKS.register(name, Check(title, looks), module=looks.__module__)

    return listed


async def look(name: str, asker: Asker) -> Finding:
    """Make one check."""
    made, calls, missing = CHECKS.load(name), asker.n_calls, asker.n_missing
    try:
        found = await awaited(f"check {name!r} of a probe", made.looks, asker)
    except NotApplicable as reason:
        found = Found(NOT_APPLICABLE, f"not applicable, because {reason}", (), ())
    if not (isinstance(found, Found) and is_of(Sequence[str], found.says)):
        raise PluginError(
            f"check {name!r} of a probe gives {found!r:.120}; it gives Found(verdict, threshold, figures, "
            "says), with sentences in a list"
        )
    try:
        return Finding(
            check=name,
            title=made.title,
            **found._asdict(),
            n_calls=asker.n_calls - calls,
            n_missing=asker.n_missing - missing,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PluginError(
            f"check {name!r} of a probe gives {'.'.join(map(str, first['loc']))} = {first['input']!r:.60}: "
            f"{first['msg']}"
        ) from error


async def make_card(
    asker: Asker,
    names: Sequence[str],
    *,
    asked: str,
    notes: Sequence[str] = (),
    answer_format: str,
    tell: Callable[[str], None] = lambda _: None,
) -> Card:
    """Make the checks, one after the other, and the card of them.

    Args:
        asker: Who asks whom.
        names: The checks.
        asked: Whose questions are asked, in words.
        notes: What to know, a sentence each.
        answer_format: How answers are constrained.
        tell: Called with a few words before each check.
    """
    findings = []
    for name in names:
        tell(CHECKS.load(name).title)
        findings.append(await look(name, asker))
    return Card(
        made_at=time.time(),
        agentnet=agentnet.__version__,
        backend=asker.backend.name,
        model_name=asker.backend.model_name,
        asked=asked,
        seed=asker.seed,
        lists_probabilities=asker.lists_probabilities,
        temperature=asker.subject.temperature,
        answer_format=answer_format,
        notes=tuple(filter(None, (*notes, asker.subject.composer.note))),
        findings=worst_first(findings),
        n_calls=asker.n_calls,
    )
