"""Asks a probe's questions, each once: for the probability that a backend lists, else for sampled texts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendUnusable, RequestRejected
from agentnet.probe.judging import PromptEstimate, logit
from agentnet.probe.subject import ProbePair, ProbeQuestion, ProbeSubject
from agentnet.prompts import prompt_hash
from agentnet.prompts.declared import declared
from agentnet.streams import Streams
from agentnet.vocabulary import ANSWERS, STOP

PURPOSE: Final = "probe"


class ShareProbability(NamedTuple):
    """How probable it is that an agent shares; nan where no answer came.

    Attributes:
        p: The probability, or the share of the texts.
        n: Texts that it is a share of; 0 of a listed probability.
        mass: Probability that was listed on the allowed answers together; nan where none was.
    """

    p: float
    n: int = 0
    mass: float = math.nan

    @property
    def estimate(self) -> PromptEstimate:
        """It with its variance: of a share, as if one text more of each answer had come."""
        middle = (self.p * self.n + 1.0) / (self.n + 2.0)
        return PromptEstimate(self.p, middle * (1.0 - middle) / self.n if self.n else 0.0)

    @property
    def logit(self) -> float:
        """Its logit; nan where no answer came."""
        return math.nan if math.isnan(self.p) else logit(self.p, self.n)


class Texts(NamedTuple):
    """What was sampled for one question.

    Attributes:
        said: The texts as they came; None for one that did not.
        decisions: Whether each shares; None for one that is missing or cannot be understood.
    """

    said: tuple[str | None, ...]
    decisions: tuple[bool | None, ...]

    @property
    def n_yes(self) -> int:
        """How many share."""
        return sum(each is True for each in self.decisions)

    @property
    def n(self) -> int:
        """How many can be understood."""
        return sum(each is not None for each in self.decisions)

    @property
    def share(self) -> ShareProbability:
        """The share of those that share."""
        return ShareProbability(self.n_yes / self.n if self.n else math.nan, self.n)


@dataclass(slots=True)
class Asker:
    """Asks, and remembers: what several checks need is asked once.

    Attributes:
        backend: Who answers.
        subject: Whose questions are asked.
        seed: Fixes the samples.
        n_texts: Texts sampled of a question, where it is their share that counts.
        n_at_most: Texts asked for by one request at most.
        lists_probabilities: Whether the backend lists them.
        others: Name of another setting -> the voice that answers under it.
        n_calls: Requests so far.
        n_missing: Answers so far that did not come or could not be understood.
    """

    backend: Backend
    subject: ProbeSubject
    seed: int
    n_texts: int
    n_at_most: int
    lists_probabilities: bool = True
    others: Mapping[str, str] = field(default_factory=dict)
    n_calls: int = 0
    n_missing: int = 0
    _shares: dict[Any, ShareProbability] = field(default_factory=dict)
    _texts: dict[Any, Texts] = field(default_factory=dict)

    async def shares(
        self, questions: Sequence[ProbeQuestion], temperature: float | None = None
    ) -> list[ShareProbability]:
        """Ask how probable it is that each question's agent shares, all of them at once."""
        warmth = self.subject.temperature if temperature is None else temperature
        new = [each for each in dict.fromkeys(questions) if (each, warmth) not in self._shares]
        found = await asyncio.gather(*(self._share(each, warmth) for each in new))
        self._shares.update({(each, warmth): share for each, share in zip(new, found, strict=True)})
        return [self._shares[each, warmth] for each in questions]

    async def usual(self, pairs: Sequence[ProbePair]) -> list[ShareProbability]:
        """Ask pairs as the experiment does."""
        return await self.shares([self.subject.question(pair) for pair in pairs])

    async def _share(self, question: ProbeQuestion, temperature: float) -> ShareProbability:
        if self.lists_probabilities:
            return await self.listed(question, temperature)
        return (await self.texts(question, self.n_texts, temperature)).share

    async def listed(
        self, question: ProbeQuestion, temperature: float, *, repeat: int = 0
    ) -> ShareProbability:
        """Ask for the probabilities of the allowed answers; those of another repeat are asked for anew."""
        request = self._request(question, temperature, 1, repeat)._replace(
            answers=question.answers, schema=None, logprobs=True
        )
        reply = await self._reply(request)
        share = ShareProbability(math.nan) if reply is None else share_of(reply, question.answers)
        self.n_missing += math.isnan(share.p)
        return share

    async def texts(
        self, question: ProbeQuestion, n: int, temperature: float, *, repeat: int = 0, voice: str = ""
    ) -> Texts:
        """Sample texts, in as few requests as the server takes.

        Args:
            question: What is asked.
            n: How many texts.
            temperature: At which temperature.
            repeat: Sampled anew for each, with the same seeds.
            voice: Who answers, if not the run's own backend.
        """
        key = (question, n, temperature, repeat, voice)
        if key not in self._texts:
            self._texts[key] = await self._sampled(*key)
        return self._texts[key]

    async def _sampled(
        self, question: ProbeQuestion, n: int, temperature: float, repeat: int, voice: str
    ) -> Texts:
        first = await self._some(question, min(n, self.n_at_most), temperature, repeat, 0, voice)
        # A server may give fewer than were asked for, at each request.
        each = max(1, len(first.said))
        left = range(len(first.said), n, each)
        more = await asyncio.gather(
            *(
                self._some(question, min(each, n - at), temperature, repeat, place + 1, voice)
                for place, at in enumerate(left)
            )
        )
        found = Texts(*(sum(parts, ()) for parts in zip(first, *more, strict=True)))
        self.n_missing += len(found.decisions) - found.n
        return found

    async def _some(
        self, question: ProbeQuestion, n: int, temperature: float, repeat: int, ask: int, voice: str
    ) -> Texts:
        request = self._request(question, temperature, n, repeat, ask)
        if voice:
            request = request._replace(metadata={**request.metadata, "voice": voice})
        reply = await self._reply(request)
        if reply is None:
            return Texts((None,) * n, (None,) * n)
        ends = reply.finish or (STOP,) * len(reply.texts)
        judged = [self._judged(question, text, end) for text, end in zip(reply.texts, ends, strict=True)]
        return Texts(reply.texts, tuple(judged))

    def _judged(self, question: ProbeQuestion, text: str, end: str) -> bool | None:
        if end != STOP:
            return None
        if question.answers == ANSWERS:
            return self.subject.composer.judge(text).decision
        return _reader(*question.answers)(text)

    async def _reply(self, request: Request) -> Reply | None:
        self.n_calls += 1
        try:
            return await self.backend.complete(request)
        except RequestRejected:
            return None

    def _request(
        self, question: ProbeQuestion, temperature: float, n: int, repeat: int, ask: int = 0
    ) -> Request:
        key = (PURPOSE, prompt_hash(question.messages), repr(temperature), ask)
        return Request(
            question.messages,
            temperature,
            n,
            self.subject.composer.max_tokens,
            question.allowed,
            question.schema,
            seed=Streams(self.seed).integer(*key),
            draw=((self.seed, 0, PURPOSE, 0), 0, 0, repeat, ask),
            metadata=dict(question.facts),
        )


def share_of(reply: Reply, answers: tuple[str, str]) -> ShareProbability:
    """Take the probability of the first answer, given one of both, from what a reply lists."""
    found = [(reply.logprobs or {}).get(answer, -math.inf) for answer in answers]
    yes, no = map(math.exp, found)
    return (
        ShareProbability(yes / (yes + no), 0, min(1.0, yes + no))
        if yes + no > 0.0
        else ShareProbability(math.nan)
    )


async def find_probabilities(asker: Asker) -> str:
    """Find out whether the backend lists probabilities, and have the asker go without where it does not.

    Returns:
        Why it does without, in words; ``""`` if it need not.

    Raises:
        BackendUnusable: It answers nothing, with or without.
    """
    subject = asker.subject
    question = subject.question(subject.pairs()[0])
    try:
        share = await asker.listed(question, subject.temperature)
        why = "it lists no probabilities of the allowed answers"
    except BackendUnusable as error:
        share, why = ShareProbability(math.nan), str(error)
    if not math.isnan(share.p):
        return ""
    asker.lists_probabilities, asker.n_missing = False, 0
    return why


@lru_cache
def _reader(sharing: str, other: str) -> Callable[[str], bool | None]:
    """Read which of two answers a text gives."""
    judge = declared(Literal[sharing, other], decides=sharing).judge
    return lambda text: judge(text).decision
