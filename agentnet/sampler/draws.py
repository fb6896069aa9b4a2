"""What passes between an engine and a sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

from agentnet.backend import Messages, Request

T = TypeVar("T")

Trouble = tuple[str, str, str | None]
"""(kind, detail, text) of one unusable reply or one failed attempt."""


class Verdict(Protocol):
    """What a reply's text says (`agentnet.prompts` has the parser)."""

    @property
    def decision(self) -> bool | None:
        """Yes, no, or neither."""
        ...

    @property
    def rationale(self) -> str:
        """The reason that the model gave, or ``""``."""
        ...

    @property
    def problem(self) -> str:
        """Why the text is unusable, in a word; ``""`` if it is usable."""
        ...

    @property
    def value(self) -> Any:  # noqa: ANN401 - as it was declared
        """The declared answer, plain; None where it is no more than yes or no, or a text."""
        ...


Judge = Callable[[str], Verdict]
"""Turns the text of a reply into a verdict."""


class Question(NamedTuple):
    """One distinct prompt and how it may be answered.

    Attributes:
        number: Its number in the event log; -1 for one that has none, made of a model's state.
        messages: The conversation.
        metadata: Plain facts for the mock and for logs: ``profile``, ``news``, ``severity``, ``kind``.
        answers: The only texts that a reply may be; empty for any.
        schema: JSON schema of a reply, as JSON text; None for any.
        max_tokens: Bound on a reply's tokens.
    """

    number: int
    messages: Messages
    metadata: Mapping[str, str | int | float] = MappingProxyType({})
    answers: tuple[str, ...] = ()
    schema: str | None = None
    max_tokens: int = 256


class Answer(NamedTuple):
    """What became of one draw.

    Attributes:
        decision: 1 yes, 0 no, None missing (or not a question of yes and no).
        missing: Why there is no usable answer: ``invalid``, ``refused``, ``content_filter``, ``length``,
            ``thought_only``, ``low_mass``, ``context_overflow``, ``failed``, ...; None if there is one.
        text: The reply as it came; None if none came.
        rationale: The reason in it, ``""`` if none.
        model: The model name as the server returned it.
        fingerprint: The server's mark of its configuration, if it gave one.
        prompt_tokens: Tokens in, over all asks; None if unknown.
        completion_tokens: Tokens out, over all asks; None if unknown.
        asks: How often the question was asked: 1, or more after unusable replies.
        attempts: How many calls were made, retries of failed calls included; 0 if all came from a cache.
        cached: Whether the last reply came from the cache.
        latency_s: Seconds from the first ask to the answer; 0 if it came at once.
        troubles: (kind, detail, text) of each unusable reply and failed attempt, in order.
        context: What of the answering model's state stood in the prompt; None for none.
        mass: Probability that the server listed on the allowed answers together, where it was drawn from.
        value: The declared answer as JSON; None where it is no more than yes or no, or a text.
    """

    decision: int | None
    missing: str | None
    text: str | None
    rationale: str
    model: str
    fingerprint: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    asks: int
    attempts: int
    cached: bool
    latency_s: float
    troubles: tuple[Trouble, ...] = ()
    context: str | None = None
    mass: float | None = None
    value: str | None = None


Record = Callable[[int, Answer], None]

RecordDrawn = Callable[[Sequence[int], Sequence[Answer], Sequence[int], Sequence[int]], None]
"""Records draws that are answered with yes or no, and had no troubles: takes their positions, the different
answers, whose own decision does not count, the number of the one that each has, and the decision of each."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The draws of one step of one realization: equally long sequences, one entry a draw.

    Attributes:
        kind: What is asked, such as ``seed`` or ``exposure``.
        realization: Number of the realization.
        step: Model time.
        agents: Who is asked.
        sources: Whose message it is about; -1 for nobody's.
        repeats: Number of the repetition, 0 where there is one.
        questions: What is asked.
        temperatures: Sampling temperatures.
        seeds: Seeds of the draws, in [0, 2^63).
        judge: Turns a reply's text into a verdict.
        record: Called with (position, answer) once for each draw to be answered.
        todo: Positions of the draws to be answered; the others are answered already, and stand here because
            a sampler may draw several at once.
        composed: Questions that are composed only as they are asked, by position; filled in by the sampler.
        record_drawn: May be called in the place of `record` for draws that are answered with yes or no, and
            had no troubles; None where each has to be recorded by itself.
    """

    kind: str
    realization: int
    step: int
    agents: Sequence[int]
    sources: Sequence[int]
    repeats: Sequence[int]
    questions: Sequence[Question]
    temperatures: Sequence[float]
    seeds: Sequence[int]
    judge: Judge
    record: Record
    todo: Sequence[int]
    composed: dict[int, Question] = field(default_factory=dict)
    record_drawn: RecordDrawn | None = None

    def request(self, i: int, run_seed: int) -> Request:
        """Make the request that asks draw `i` alone."""
        question = self.questions[i]
        prefix = (run_seed, self.realization, self.kind, self.step)
        return Request(
            question.messages,
            self.temperatures[i],
            max_tokens=question.max_tokens,
            answers=question.answers,
            schema=question.schema,
            seed=self.seeds[i],
            draw=(prefix, self.agents[i], self.sources[i], self.repeats[i], 0),
            metadata=question.metadata,
        )


def chosen(values: Sequence[T], positions: Sequence[int]) -> Sequence[T]:
    """Give the values at some positions, quickly where these stand in a row."""
    if isinstance(positions, range):
        return values[positions.start : positions.stop : positions.step]
    return [values[i] for i in positions]


class Sampler(Protocol):
    """Gets answers for draws."""

    async def draw(self, draws: Draws) -> None:
        """Call ``draws.record`` once for every draw of ``draws.todo``, in any order.

        An engine hands in all draws of a realization, in the same order at every sitting.

        Raises:
            BackendUnusable: No request can succeed; draws answered before are recorded.
            RunStopped: The run was stopped; draws answered before are recorded.
        """
        ...
