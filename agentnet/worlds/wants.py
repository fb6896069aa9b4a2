"""What a world yields, and what it is sent."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import PluginError
from agentnet.prompts import Verdict

if TYPE_CHECKING:
    from agentnet.sampler import Judge, Question

Decisions = NDArray[np.int8]
"""1 yes, 0 no, -1 missing."""


class End(NamedTuple):
    """How a realization ended.

    Attributes:
        status: ``finished``, or ``unstarted``: nobody said yes to start.
        last_step: The last step that was played.
        initial_agent: Who started, where somebody did.
    """

    status: str
    last_step: int
    initial_agent: int | None = None


def any_text(text: str) -> Verdict:
    """Take any text for an answer but a blank one."""
    return Verdict(None, "", "" if text.strip() else "empty")


_OF_DRAWS: Final = ("agents", "sources", "repeats", "questions", "temperatures", "seeds")

_LEAST: Final = {"agents": 0, "sources": -1, "repeats": 0}
_LOOKED_AT: Final = 1000

World = Generator[Any, Any, End]
"""Yields an `Ask`, `Begin`, `Arrived`, `Write`, `Note`, `Recall`, or what its family gives beside these."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Draws of one step: equally long sequences, as in `agentnet.sampler.Draws`.

    Sent back are `Decisions`, shape ``(n_draws,)``, or, where texts count, what was said to each draw
    (`agentnet.events.Said`).

    Attributes:
        judge: Reply text -> verdict; by default any text is an answer.
        texts: Whether what counts are the texts of the answers.

    Raises:
        PluginError: The sequences are not equally long, or hold what numbers no agent, source or repeat.
    """

    kind: str
    step: int
    agents: Sequence[int]
    sources: Sequence[int]
    repeats: Sequence[int]
    questions: Sequence[Question]
    temperatures: Sequence[float]
    seeds: Sequence[int]
    judge: Judge = any_text
    texts: bool = False

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in _OF_DRAWS}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{n} {name}" for name, n in lengths.items())
            raise PluginError(
                f"a world's Ask of {self.kind!r} has an entry of each sequence a draw, not {found}"
            )
        for name, least in _LEAST.items():
            # Of a million draws the first tell what they are made of.
            some = getattr(self, name)[:_LOOKED_AT]
            if set(map(type, some)) - {int} or min(some, default=least) < least:
                raise PluginError(
                    f"a world's Ask of {self.kind!r} has {some!r:.60} for its {name}; they are whole "
                    f"numbers from {least} (of a NumPy array, tolist() gives them)"
                )


@dataclass(frozen=True, slots=True)
class Begin:
    """Puts the draws of an `Ask`, and goes on; their decisions come by `Arrived`. Nothing is sent back."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class Arrived:
    """Wants what was answered of all that was begun: at least one draw, a list of `Decided`."""


class Decided(NamedTuple):
    """The decision of one draw that was begun.

    Attributes:
        agent: Who was asked.
        step: At which step.
        decision: 1 yes, 0 no, -1 missing.
    """

    agent: int
    step: int
    decision: int


@dataclass(frozen=True, slots=True)
class Write:
    """What happened, to be written down; nothing is sent back.

    Attributes:
        rows: Table -> rows, as `agentnet.events` has them.
        counts: What to add to the run's counts, by the family's own names.
    """

    rows: Mapping[str, Sequence[tuple[Any, ...]]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """Something that people should know of the realization; nothing is sent back."""

    kind: str
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Recall:
    """Wants every decision that was answered so far, in order of its key (`agentnet.events.Answered`)."""


@dataclass(frozen=True, slots=True)
class Voice:
    """What agents are asked, and how their replies are understood.

    Attributes:
        question: (kind, profile index) -> what an agent of that profile is asked.
        judge: Reply text -> verdict on sharing.
        reason: (question, reply text) -> what is asked after the realization.
        judge_reason: Reply text -> verdict that holds the rationale.
    """

    question: Callable[[str, int], Question]
    judge: Judge
    reason: Callable[[Question, str], Question]
    judge_reason: Judge
