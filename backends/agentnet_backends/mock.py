"""A backend that needs nothing: it answers by a known law instead of a language model.

Runs with it cost no money and no network, and their truth is known, so that engines, fits and reports can be
checked against it. A reply depends on the request alone (its seed and what it asks), never on time, order,
concurrency or process: sample i of a request with seed s says yes iff ``unit(mix(s, i)) < p``, where p is the
law's probability for the request's ``profile`` and ``severity`` (in its metadata).
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect
from collections.abc import Callable, Mapping
from functools import partial
from itertools import accumulate, count, product
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import ValidationError

from agentnet.backend import AtOnce, Messages, Reply, Request, Wave
from agentnet.errors import BackendUnusable, ConfigurationError, RequestRejected, TransientError
from agentnet.streams import Streams, mix, mixed, uniform, unit
from agentnet.vocabulary import ANSWER_KINDS, DECISION_KINDS, INLINE, PROFILES, REASON
from agentnet_backends.mock_fill import free_text, json_text, object_of, shares
from agentnet_backends.mock_law import MockOptions, explain, probability, shift, shifted
from agentnet_backends.mock_words import (
    N_VARIANTS,
    RAMBLING,
    REFUSALS,
    decision_held,
    keys_of_decision,
    rationales,
    wording,
)

_CHARACTERS_PER_TOKEN = 4

_VARIANT_BITS = N_VARIANTS - 1

# What the words derived from a sample's own word are for.
_TROUBLE, _LATENCY, _FIRST_TRY = 0, 1, 2

# Fates of a sample, in the order of the rates.
_RAMBLES, _REFUSES, _FAILS, _SOUND = range(4)

# An instance forgets token counts and repertoires beyond so many, which costs only time.
_REMEMBERED = 4096

_new = tuple.__new__

_IGNORANCE = "I do not know."

_ABOUT_A_DECISION = frozenset({None, *DECISION_KINDS, REASON})
"""Kinds of requests that ask for yes or no, or why, where nothing says how they are answered."""

_Fact = str | int | float | None
_Question = tuple[_Fact, _Fact, _Fact, _Fact, tuple[str, ...], str | None, float | None, _Fact]
"""What a reply depends on beside the seed: profile, severity, kind, rationale (metadata), answers, schema,
by how much the context (metadata) moves the logit of a yes (None without one), and whether the opposite is
asked (metadata)."""

_Write = Callable[[Messages, int, int], str]
"""Writes a text from the conversation, the sample's word and the most characters that it may have."""

_Variants = tuple[tuple[tuple[str], int], ...]
"""The `N_VARIANTS` wordings of one answer: each the texts of a reply, and their tokens."""


class _Repertoire(NamedTuple):
    """What the mock may say to one kind of question, ready to be sent.

    Attributes:
        thresholds: Sample u says answer number ``bisect(thresholds, u)``; one number fewer than answers.
        said: The variants of each answer; the first answer is the yes.
        logprobs: Of the allowed answers; empty if any text is allowed.
        explains: Whether the conversation already holds the decision.
        writes: Makes the text, where it hangs on the conversation as well; None where it is one of `said`.
    """

    thresholds: tuple[float, ...]
    said: tuple[_Variants, ...]
    logprobs: dict[str, float]
    explains: bool = False
    writes: _Write | None = None


class _Plain(NamedTuple):
    """What is said to a plain question.

    Attributes:
        asked: What asked it first. It stays, so that nothing else can stand where its parts do.
        thresholds: As of its `_Repertoire`.
        first: Where the replies for its first answer stand among all that are ready, one a variant, and those
            for its other answers after them; negative where the question is not plain.
    """

    asked: Request
    thresholds: tuple[float, ...]
    first: int


class MockBackend:
    """Answers by a law, deterministically.

    What a reply looks like follows the request:

    - ``answers``: exactly one of them. If ``backend.choices`` names some, they have those probabilities, and
      the others share the rest equally. Else the one that reads "yes", or the first where an exposure is to
      be decided, has the law's probability and the others share the rest; elsewhere all have the same.
      ``logprobs`` are exact (-inf for what cannot be).
    - ``schema``: a JSON object of the keys ``share`` (boolean) and ``reason`` (string), those that the schema
      has, in its order, if it requires no others; else an object of all that it asks for, within its bounds:
      true by the law's probability, enums by ``backend.choices`` or evenly, numbers evenly, and texts that
      quote the last user message. A schema that cannot be satisfied is rejected.
    - ``kind`` "reason" in the metadata: a rationale, for the decision that the conversation's last assistant
      message holds (for the law's own decision, where it holds none).
    - ``rationale`` "inline" in the metadata: ``{"share": true, "reason": "..."}``.
    - ``kind`` "evaluation" or "interview" in the metadata: what the conversation's assistant said last, at
      temperature 0, else one of its turns by the sample's word; without any turn, one of the items ("- ...")
      that the system message lists, chosen by the question's text, else by the sample's word; without any
      item, that it does not know.
    - any other ``kind`` than those that decide: a short text that quotes a sentence of the last user message.
    - else "Yes" or "No".

    The metadata's ``profile`` is a bit string such as "01101"; its ``severity`` is 0 or 1, and -1 (unknown)
    or none count as 0. Its ``context.KEY`` moves the law's logit by ``backend.slopes.KEY`` times its value.
    Its ``opposite`` says that a yes is wanted where the law has a no: whether the news is withheld, say.
    The temperature changes nothing. Texts longer than ``max_tokens`` are cut off (finish ``length``), except
    those of ``answers``; those that quote are as short as that wants, if they can be. A request for more
    samples begins with the samples of one for fewer. Tokens are estimated: one for each 4 characters begun,
    at least one per text, none for roles.

    Troubles (the rates) are drawn from the seed as well, aside from the decisions: an untroubled sample says
    what it would have said without them. A transient trouble depends on how often this instance was tried
    with the same seed and messages since it last answered them, so that trying again can help; another seed
    has another fate altogether.

    Args:
        options: See `MockOptions`.

    Examples:
        >>> backend = MockBackend.from_options({"law": "constant", "probability": 1.0})
        >>> asyncio.run(backend.complete(Request((("user", "Do you share it?"),)))).texts
        ('Yes',)
    """

    about = "answers by a known law, deterministically: for trials and tests"
    needs = "nothing"
    worth_caching = False
    name = "mock"

    def __init__(self, options: MockOptions | None = None) -> None:
        self.options = MockOptions() if options is None else options
        self.model_name = f"mock-{self.options.law}"
        self._probabilities = {
            (profile, severity): probability(self.options, profile, severity)
            for profile, severity in product((None, *PROFILES), (0, 1))
        }
        self._fates = tuple(
            accumulate((self.options.invalid_rate, self.options.refusal_rate, self.options.rejected_rate))
        )
        self._slopes = self.options.slopes
        self._is_slow = self.options.latency_s > 0.0
        self._troubled = self._fates[-1] + self.options.transient_rate > 0.0
        self._repertoires: dict[_Question, _Repertoire] = {}
        self._prompt_tokens: dict[Messages, int] = {}
        self._plain: dict[tuple[Any, ...], _Plain] = {}
        self._ready: list[Reply] = []
        self._tries: dict[tuple[int, Messages], int] = {}

    @classmethod
    def from_options(cls, options: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Self:  # noqa: ARG003 - the contract's signature; the mock has no key
        """Make the mock from the ``[backend]`` table of the configuration, less its ``name``.

        Raises:
            ConfigurationError: An option is unknown or impossible; names it as ``backend.KEY``.
        """
        try:
            return cls(MockOptions.model_validate(dict(options)))
        except ValidationError as error:
            raise ConfigurationError("; ".join(map(explain, error.errors()))) from None

    def probability(self, profile: str | None, severity: int = 0) -> float:
        """Give the law's probability of a yes.

        Args:
            profile: Five bits; None for a request without profile.
            severity: 0 peaceful, 1 severe, -1 unknown (counts as 0).

        Raises:
            RequestRejected: There is no such profile or severity.
        """
        return self._probabilities[_known(profile, severity)]

    async def complete(self, request: Request) -> Reply:
        """Answer `request`.

        Raises:
            RequestRejected: The mock does not know its profile or severity, or cannot satisfy its schema; or
                by ``rejected_rate``.
            BackendUnusable: ``backend.choices`` or ``backend.slopes`` do not fit what is asked.
            TransientError: By ``transient_rate``.
        """
        if self._is_slow:
            await asyncio.sleep(self._latency_s(request.seed))
        messages, _, n, max_tokens, _, _, wants_logprobs, seed, _, metadata = request
        if metadata.get("kind") in ANSWER_KINDS:
            return self._repeat(request)
        repertoire = self._repertoire_of(request)
        thresholds, said, logprobs, explains, writes = repertoire
        if n != 1 or explains or self._troubled or writes:
            return self._compose(request, repertoire)
        word = mix(seed)
        texts, n_tokens = said[bisect(thresholds, unit(word))][word & _VARIANT_BITS]
        if n_tokens > max_tokens:
            return self._compose(request, repertoire)
        prompt_tokens = self._prompt_tokens.get(messages) or self._count(messages)
        known = logprobs.copy() if wants_logprobs and logprobs else None
        name = self.model_name
        # `Reply` itself takes three times as long.
        return _new(
            Reply,
            (texts, prompt_tokens, n_tokens, name, (), known, None, 1, (), False, None, "", None, None),
        )

    def answer_now(self, wave: Wave) -> AtOnce | None:
        """Answer at once what has neither latency nor troubles, and is a plain question."""
        if self._is_slow or self._troubled:
            return None
        if len(self._plain) >= _REMEMBERED:
            self._plain.clear()
            self._ready.clear()
        _, thresholds, firsts = zip(*map(self._plainly, wave.asked), strict=True)
        if min(firsts) < 0:
            return None
        words = mixed(np.array(wave.seeds, dtype=np.uint64))
        variants = (words & np.uint64(_VARIANT_BITS)).tolist()
        said = [
            firsts[k] + N_VARIANTS * bisect(thresholds[k], u) + variant
            for k, u, variant in zip(wave.which, uniform(words).tolist(), variants, strict=True)
        ]
        place = dict(zip(dict.fromkeys(said), count()))
        return AtOnce([self._ready[each] for each in place], [place[each] for each in said])

    def _plainly(self, request: Request) -> _Plain:
        """Look a question up, or prepare for one that has not come yet."""
        messages, _, n, max_tokens, answers, schema, logprobs, _, _, metadata = request
        key = (id(messages), id(metadata), n, max_tokens, answers, schema, logprobs)
        plain = self._plain.get(key)
        if plain is None:
            thresholds, said = self._sayable(request)
            plain = self._plain[key] = _Plain(request, thresholds, len(self._ready) if said else -1)
            self._ready += said
        return plain

    def _sayable(self, request: Request) -> tuple[tuple[float, ...], list[Reply]]:
        """List what may be said where that is one sample, whole, and nothing but a text."""
        if request.metadata.get("kind") in ANSWER_KINDS or request.n != 1 or request.logprobs:
            return (), []
        try:
            thresholds, said, _, explains, writes = self._repertoire_of(request)
        except RequestRejected:
            return (), []
        most = max((n_tokens for variants in said for _, n_tokens in variants), default=0)
        if explains or writes or most > request.max_tokens:
            return (), []
        prompt_tokens = self._count(request.messages)
        return thresholds, [
            Reply(texts, prompt_tokens, n_tokens, self.model_name)
            for variants in said
            for texts, n_tokens in variants
        ]

    async def aclose(self) -> None:
        """Do nothing: there is nothing to give back."""

    def _repeat(self, request: Request) -> Reply:
        """Answer a question of a bank by something that the conversation holds."""
        said = [content for role, content in request.messages if role == "assistant"]
        likeliest = -1
        if not said:
            said = _listed(request.messages) or [_IGNORANCE]
            likeliest = Streams(0).integer("mock", request.messages[-1][1]) % len(said)
        words = [mix(request.seed, i) for i in range(request.n)]
        chosen = [said[likeliest if request.temperature == 0.0 else word % len(said)] for word in words]
        kept = request.max_tokens * _CHARACTERS_PER_TOKEN
        finish = tuple("stop" if len(text) <= kept else "length" for text in chosen)
        texts = tuple(text[:kept] for text in chosen)
        n_tokens = sum(map(_tokens, texts))
        ended = () if set(finish) == {"stop"} else finish
        return Reply(texts, self._count(request.messages), n_tokens, self.model_name, ended)

    def _repertoire_of(self, request: Request) -> _Repertoire:
        fact, metadata = request.metadata.get, request.metadata
        moved = shift(self._slopes, metadata) if self._slopes else None
        asked = (fact("profile"), fact("severity"), fact("kind"), fact("rationale"))
        question = (*asked, request.answers, request.schema, moved, fact("opposite"))
        return self._repertoires.get(question) or self._learn(question)

    def _learn(self, question: _Question) -> _Repertoire:
        """Prepare for a kind of question that has not come yet."""
        _make_room(self._repertoires)
        learnt = self._repertoires[question] = self._repertoire(question)
        return learnt

    def _repertoire(self, question: _Question) -> _Repertoire:
        profile, severity, kind, rationale, answers, schema, moved, is_opposite = question
        bits, level = _known(profile, severity)
        p = shifted(self._probabilities[bits, level], moved)
        p = 1.0 - p if is_opposite else p
        if answers:
            return _closed(self._shares(p, answers, kind, moved))
        keys: tuple[str, ...] = ()
        if schema is not None:
            tree = object_of(schema)
            keys = keys_of_decision(tree)
            if not keys:
                return _Repertoire((), (), {}, writes=partial(json_text, tree, p, self.options.choices))
        elif kind not in _ABOUT_A_DECISION and rationale != INLINE:
            return _Repertoire((), (), {}, writes=free_text)
        word = wording(kind, rationale, keys)
        yes, no = (
            tuple(_priced(word(share, reason)) for reason in rationales(bits, level, share=share))
            for share in (True, False)
        )
        return _Repertoire((p,), (yes, no), {}, explains=kind == REASON)

    def _shares(
        self, p: float, answers: tuple[str, ...], kind: _Fact, moved: float | None
    ) -> dict[str, float]:
        """Give each of `answers` its probability, where `p` is the law's of a yes, `moved` by the context."""
        yes = next((answer for answer in answers if answer.casefold() == "yes"), None)
        stated = self.options.choices
        if not stated.keys().isdisjoint(answers) or (yes is None and kind not in _ABOUT_A_DECISION):
            if moved is not None and kind in _ABOUT_A_DECISION:
                # Whoever is asked something else beside it may be moved there.
                raise BackendUnusable(
                    "backend.slopes moves what decides, whose shares backend.choices fixes here: drop either",
                    kind="unmoved",
                )
            return dict(zip(answers, shares(answers, stated), strict=True))
        yes = yes or answers[0]
        others = [answer for answer in answers if answer != yes]
        return {yes: p, **dict.fromkeys(others, (1.0 - p) / len(others))} if others else {yes: 1.0}

    def _count(self, messages: Messages) -> int:
        _make_room(self._prompt_tokens)
        n_tokens = self._prompt_tokens[messages] = sum(_tokens(content) for _, content in messages) or 1
        return n_tokens

    def _compose(self, request: Request, repertoire: _Repertoire) -> Reply:
        """Answer with several samples, with troubles, or about an earlier decision."""
        if self.options.transient_rate > 0.0:
            self._try(request)
        decided = decision_held(request.messages) if repertoire.explains else None
        samples = [self._sample(request, repertoire, mix(request.seed, i), decided) for i in range(request.n)]
        texts, finish = zip(*samples, strict=True)
        logprobs = (
            repertoire.logprobs.copy() if request.logprobs and texts[0] in repertoire.logprobs else None
        )
        return Reply(
            texts,
            self._count(request.messages),
            sum(map(_tokens, texts)),
            self.model_name,
            () if set(finish) == {"stop"} else finish,
            logprobs,
        )

    def _sample(
        self, request: Request, repertoire: _Repertoire, word: int, decided: int | None
    ) -> tuple[str, str]:
        """Make the text of the sample whose word is `word`, and why it ended."""
        variant = word & _VARIANT_BITS
        fate = bisect(self._fates, unit(mix(word, _TROUBLE))) if self._troubled else _SOUND
        if fate == _FAILS:
            raise RequestRejected("the mock rejects this request on purpose (backend.rejected_rate)")
        if fate == _REFUSES:
            return REFUSALS[variant], "refusal"
        if fate == _RAMBLES:
            text = RAMBLING[variant]
        elif repertoire.writes is not None:
            text = repertoire.writes(request.messages, word, request.max_tokens * _CHARACTERS_PER_TOKEN)
        else:
            answer = bisect(repertoire.thresholds, unit(word)) if decided is None else decided
            text = repertoire.said[answer][variant][0][0]
        if text in repertoire.logprobs or _tokens(text) <= request.max_tokens:
            return text, "stop"
        return text[: request.max_tokens * _CHARACTERS_PER_TOKEN], "length"

    def _try(self, request: Request) -> None:
        """Fail this try if one of its samples says so; the next try draws anew."""
        key = (request.seed, request.messages)
        tries = self._tries.get(key, 0)
        self._tries[key] = tries + 1
        words = (mix(mix(request.seed, i), _FIRST_TRY + tries) for i in range(request.n))
        if any(unit(word) < self.options.transient_rate for word in words):
            raise TransientError(
                f"the mock fails try {tries + 1} of this request on purpose (backend.transient_rate)",
                kind="simulated",
            )
        del self._tries[key]

    def _latency_s(self, seed: int) -> float:
        # The middle of one of 2^52 intervals: never 0 and never 1, where the normal quantile is infinite.
        u = ((mix(mix(seed), _LATENCY) >> 12) + 0.5) * 2.0**-52
        spread = self.options.latency_spread
        return self.options.latency_s * math.exp(spread * NormalDist().inv_cdf(u) - spread**2 / 2.0)


def _known(profile: _Fact, severity: _Fact) -> tuple[str | None, int]:
    """Read a request's profile and severity; an unknown severity becomes 0."""
    if profile is not None and profile not in PROFILES:
        raise RequestRejected(
            f"the mock knows no profile {profile!r}: metadata['profile'] must be five bits such as '01101'",
            kind="unknown_profile",
        )
    if severity not in {None, -1, 0, 1}:
        raise RequestRejected(
            f"the mock knows no severity {severity!r}: metadata['severity'] must be 0, 1 or -1 (unknown)",
            kind="unknown_severity",
        )
    return profile, 1 if severity == 1 else 0


def _closed(shares: Mapping[str, float]) -> _Repertoire:
    """Prepare for a question that allows only certain answers."""
    said = tuple((_priced(answer),) * N_VARIANTS for answer in shares)
    logprobs = {answer: math.log(share) if share > 0.0 else -math.inf for answer, share in shares.items()}
    return _Repertoire(tuple(accumulate([*shares.values()][:-1])), said, logprobs)


def _listed(messages: Messages) -> list[str]:
    """List the items of system messages: what a model was told of itself."""
    lines = [line for role, content in messages if role == "system" for line in content.splitlines()]
    return [item for line in lines if line.startswith("- ") and (item := line[2:].strip())]


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN) or 1


def _priced(text: str) -> tuple[tuple[str], int]:
    return (text,), _tokens(text)


def _make_room(memory: dict[Any, Any]) -> None:
    if len(memory) >= _REMEMBERED:
        memory.clear()
