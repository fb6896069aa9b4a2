"""What an agent is asked about, as values that prompts, laws and experiments read.

An `Exposure` is one agent that is shown one message by one of those whom it hears. Equal contexts share a
prompt; what a prompt used of an exposure (`context`) is recorded, so that laws can use it as covariates.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from agentnet.news import NewsItem
from agentnet.profiles import Profile

Context = Mapping[str, str | int | float | bool | None]
"""Which facts a prompt uses: what is recorded of an exposure beside its key."""


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def spelled_context(context: Context) -> str:
    """Write a context as JSON, as it is recorded."""
    return _encode(dict(context))


def is_context(given: object) -> bool:
    """Say whether something can be recorded as a context: names and plain values, numbers that are some."""
    return isinstance(given, Mapping) and all(
        isinstance(name, str)
        and (value is None or isinstance(value, str | int | float))
        and not (isinstance(value, float) and not math.isfinite(value))
        for name, value in given.items()
    )


class Message(NamedTuple):
    """A text that agents pass on.

    Attributes:
        number: 0, 1, ... in its realization; news come first.
        author: The agent that wrote it; -1: it is news.
        parent: Number of the message that it retells or answers; None for none.
        step: When it was written.
        text: What it says.
    """

    number: int
    author: int
    parent: int | None
    step: int
    text: str


@dataclass(frozen=True, slots=True)
class Missing:
    """An answer that is missing. It is neither yes nor no: it has no truth, and as a number it is nan.

    Attributes:
        reason: Why: ``invalid``, ``refused``, ``length``, ``failed``, ...
    """

    reason: str

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"an answer is missing ({self.reason}), which is neither yes nor no: ask isinstance(answer, "
            "agentnet.Missing) before"
        )

    def __float__(self) -> float:
        """Be nan, so that measures leave it out."""
        return math.nan


@dataclass(frozen=True, slots=True)
class Exposure:
    """One agent that is asked about one message.

    Attributes:
        kind: What is asked: ``seed`` asks an initial agent, ``exposure`` an exposed one.
        step: Model time; 0 for initial agents.
        agent: Who is asked.
        source: Who passed the message on; -1: nobody did, it is news.
        message: The message.
        item: The news item that it goes back to.
        persona: Who the agent is told to be: its profile, or a text.
        attributes: What is known of the agent: its row of the node table.
        voice: Who answers for the agent; "" for the run's backend.
        n_engaged: How many of those whom the agent hears are engaged (and not silent).
        n_neighbours: How many the agent hears.
        n_asked: How many questions the agent was asked at earlier steps.
        edge: What is known of the edge from the source: its weight, its layer.
        heard: Messages that the agent was asked about at earlier steps, oldest first.
        said: What the agent answered to them, in the same order: a decision or the declared answer, or
            `Missing`.
        remarks: What interventions say beside the message.
        condition: Number of the condition.
    """

    kind: str
    step: int
    agent: int
    source: int
    message: Message
    item: NewsItem
    persona: Profile | str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    voice: str = ""
    n_engaged: int = 0
    n_neighbours: int = 0
    n_asked: int = 0
    edge: Mapping[str, Any] = field(default_factory=dict)
    heard: Sequence[Message] = ()
    said: Sequence[Any] = ()
    remarks: Sequence[str] = ()
    condition: int = 0


@dataclass(frozen=True, slots=True)
class Reaction:
    """What an answer changes.

    Attributes:
        engages: Whether the agent engages; None: nobody knows, since the answer is missing.
        text: What it passes on in its own words; None: the message as it heard it.
        stops: Agents who are not heard any more from the next step on.
    """

    engages: bool | None
    text: str | None = None
    stops: Sequence[int] = field(default=())
