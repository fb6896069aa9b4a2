"""What a world yields, what it is sent, and what its chance is keyed by."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import PluginError
from agentnet.prompts import Verdict
from agentnet.streams import Streams, request_seeds, uniform, unit

if TYPE_CHECKING:
    from agentnet.sampler import Judge, Question

T = TypeVar("T")

Decisions = NDArray[np.int8]
"""1 yes, 0 no, -1 missing."""

Ints = NDArray[np.integer[Any]]


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


_PAIR: Final = np.array([[0], [1]])

_OF_DRAWS: Final = ("agents", "sources", "repeats", "questions", "temperatures", "seeds")

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
        PluginError: The sequences are not equally long.
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


@dataclass(frozen=True, slots=True)
class Temperature:
    """What sampling temperatures are drawn from.

    Attributes:
        low: Lowest.
        high: Highest.
        levels: How many equally likely values the range is cut into (the middles of as many equal parts);
            None for the whole range.
    """

    low: float
    high: float
    levels: int | None = None

    def at(self, quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn uniform numbers of [0, 1) into temperatures; same shape."""
        if self.levels is not None:
            quantiles = (np.floor(quantiles * self.levels) + 0.5) / self.levels
        return self.low + (self.high - self.low) * quantiles


@dataclass(frozen=True, slots=True)
class Chance:
    """The random numbers of one realization.

    Attributes:
        streams: The run's random streams.
        number: What they are keyed by: equal in all conditions of one news item and repeat, so that
            conditions share chance for as long as they share their history.
        temperature: What the sampling temperature of each draw is drawn from.
    """

    streams: Streams
    number: int
    temperature: Temperature

    def integer(self, purpose: str, *key: int) -> int:
        """Draw an integer of [0, 2^63)."""
        return self.streams.integer(purpose, self.number, *key)

    def uniform(self, purpose: str, *key: int) -> float:
        """Draw a number of [0, 1)."""
        return unit(self.integer(purpose, *key) << 1)

    def below(self, purpose: str, count: int, *key: int) -> int:
        """Draw a whole number of 0 .. count - 1."""
        return self.integer(purpose, *key) % count

    def shuffled(self, purpose: str, things: Sequence[T], *key: int) -> list[T]:
        """Put things in random order."""
        words = self.streams.words(purpose, self.number, *key, count=len(things))
        return [things[place] for place in np.argsort(words, kind="stable")]

    def sample(self, purpose: str, things: Sequence[T], count: int, *key: int) -> list[T]:
        """Draw `count` different ones of some things (all of them, if they are fewer), in random order."""
        return self.shuffled(purpose, things, *key)[:count]

    def pair(self, purpose: str, step: int, count: int) -> tuple[int, int]:
        """Draw two different numbers of 0 .. count - 1, in random order."""
        first = self.below(purpose, count, step, 0)
        second = self.below(purpose, count - 1, step, 1)
        return first, second + (second >= first)

    def draws(self, kind: str, step: int, positions: Ints) -> tuple[list[float], list[int]]:
        """Draw the temperature and the seed of each draw of a step; see `draw_parameters`."""
        return draw_parameters(self.streams, (kind, self.number, step), positions, self.temperature)


def draw_parameters(
    streams: Streams, key: tuple[str, int, int], positions: Ints, temperature: Temperature
) -> tuple[list[float], list[int]]:
    """Draw the temperature and the seed of each draw of a step.

    Args:
        streams: The run's random streams.
        key: Kind, realization and step of the draws.
        positions: The place of each draw in the step's stream, shape ``(n_draws,)``: what makes it itself.
        temperature: What temperatures are drawn from.

    Returns:
        Temperatures and seeds, a list each.
    """
    words = streams.words_at(*key, at=2 * positions + _PAIR)
    return temperature.at(uniform(words[1])).tolist(), request_seeds(words[0]).tolist()
