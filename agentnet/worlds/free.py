"""The world of a generator that an experiment writes: who is asked what, and what the answers change.

The generator yields lists of `Asking` and is sent the answers, as they were declared. Asks of one list are
put at once, but for those of other kinds or declarations, which follow each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.errors import DesignError
from agentnet.exposure import Message, spelled_context
from agentnet.streams import Chance
from agentnet.worlds.wants import Ask as AskAll
from agentnet.worlds.wants import End, World, Write

if TYPE_CHECKING:
    from agentnet.events import Said
    from agentnet.prompts import Messages
    from agentnet.sampler import Judge, Question


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to one agent.

    Attributes:
        agent: Who is asked.
        prompt: What: a text, or (role, content) pairs. How to answer is added as `answer` declares it.
        answer: What may be answered; see `agentnet.prompts.declared`.
        source: Whom it is about, or who spoke; -1 for nobody.
        kind: What the question is called in the log.
        context: Facts that the prompt uses, to be recorded.
        message: The message that it is about, if it is about one.
        says: What the agent answers by a rule of the experiment's, as `answer` declares it: recorded like any
            answer, and nobody is asked. None: the agent is asked.
    """

    agent: int
    prompt: str | Messages
    answer: Any = bool
    source: int = -1
    kind: str = "answer"
    context: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    message: Message | None = None
    says: Any = None


_MOST_IDLE = 10_000
"""Turns on end in which nobody is asked; nothing could interrupt a generator that yields them for ever."""

Play = Generator[Sequence[Ask], list[Any], None]
"""What an experiment's method ``play`` gives."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that is ready to be put.

    Attributes:
        question: The prompt and how it may be answered.
        judge: Reply text -> verdict.
        read: What was said -> the answer as declared.
    """

    question: Question
    judge: Judge
    read: Callable[[Said], Any]


def free_world(
    turns: Callable[[list[Any] | None], Sequence[Ask] | None],
    ready: Callable[[Ask], Asked],
    written: Callable[[], Mapping[str, list[tuple[Any, ...]]]],
    chance: Chance,
    realization: int,
    n_agents: int,
) -> World:
    """Play a generator to its end; the step of an event is the number of the turn.

    Args:
        turns: Answers to the last turn (None at first) -> who is asked next; None at the end.
        ready: Makes a question ready to be put.
        written: Hands over the rows of what happened since it was last called.
        chance: The realization's random numbers.
        realization: Its number in the log.
        n_agents: How many agents it has.
    """
    yield Write(counts={"agents": n_agents})
    turn, answers, asked_at = 0, None, 0
    while (asks := turns(answers)) is not None:
        asked_at = turn if asks else asked_at
        if turn - asked_at > _MOST_IDLE:
            raise DesignError(
                f"realization {realization} asked nobody in {_MOST_IDLE} turns on end: play yields [] "
                "without end; return from it"
            )
        answers = yield from _answered(asks, ready, written, chance, (realization, turn, n_agents))
        turn += 1
        yield Write(counts={"turns": 1})
    yield Write(written())
    return End("finished", max(turn - 1, 0))


def _answered(
    asks: Sequence[Ask],
    ready: Callable[[Ask], Asked],
    written: Callable[[], Mapping[str, list[tuple[Any, ...]]]],
    chance: Chance,
    where: tuple[int, int, int],
) -> Generator[Any, Any, list[Any]]:
    """Put the questions of one turn."""
    realization, turn, n_agents = where
    numbered = _numbered(asks)
    made = [ready(ask) for ask in asks]
    rows = dict(written())
    rows["exposures"] = [
        (
            realization,
            ask.kind,
            turn,
            ask.agent,
            ask.source,
            repeat,
            _number(ask.message),
            spelled_context(ask.context),
        )
        for ask, repeat in zip(asks, numbered, strict=True)
    ]
    yield Write(rows)
    answers: list[Any] = [None] * len(asks)
    for kind, places in _alike(asks, made):
        of_kind = [asks[place] for place in places]
        repeats = [numbered[place] for place in places]
        # The place of a draw in its stream is who is asked about whom: what else is asked changes nothing.
        positions = np.array(
            [
                (repeat * (n_agents + 1) + ask.source + 1) * n_agents + ask.agent
                for ask, repeat in zip(of_kind, repeats, strict=True)
            ]
        )
        said = yield AskAll(
            kind,
            turn,
            [ask.agent for ask in of_kind],
            [ask.source for ask in of_kind],
            repeats,
            [made[place].question for place in places],
            *chance.draws(kind, turn, positions),
            made[places[0]].judge,
            texts=True,
        )
        for place, each in zip(places, said, strict=True):
            answers[place] = made[place].read(each)
    return answers


def _numbered(asks: Iterable[Ask]) -> list[int]:
    """Number the questions of one kind to one agent about one source: 0, 1, ..."""
    seen = Counter[tuple[str, int, int]]()
    numbers = []
    for ask in asks:
        key = (ask.kind, ask.agent, ask.source)
        numbers.append(seen[key])
        seen[key] += 1
    return numbers


def _alike(asks: Sequence[Ask], made: Sequence[Asked]) -> Iterable[tuple[str, list[int]]]:
    """Group the places of questions that are put at once: of one kind, answered alike."""
    groups: dict[tuple[str, Judge], list[int]] = {}
    for place, (ask, asked) in enumerate(zip(asks, made, strict=True)):
        groups.setdefault((ask.kind, asked.judge), []).append(place)
    return [(kind, places) for (kind, _), places in groups.items()]


def _number(message: Message | None) -> int | None:
    return None if message is None else message.number
