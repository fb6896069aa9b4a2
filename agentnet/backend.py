"""What the engine knows of language models: `Request`, `Reply`, `Backend`, and the look-up of plug-ins.

A backend answers requests and knows nothing of cascades. It never retries: it raises the subclasses of
`agentnet.errors.BackendError` that say whether another try can help. Retries, caching, budgets and limits
are wrappers around it (`agentnet.stack`), each of them a backend too.

`Request` and `Reply` are named tuples: one of each is made for every decision, and a frozen dataclass
takes 2.5 times as long to make.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import repeat
from pathlib import Path
from typing import Final, NamedTuple, Protocol, runtime_checkable

from agentnet.errors import BackendError, PluginError, RunStopped
from agentnet.listed import Listed
from agentnet.plugins import MadeOfOptions, Maker, awaited
from agentnet.vocabulary import THOUGHT_CUT_OFF

Messages = tuple[tuple[str, str], ...]
"""A conversation: (role, content) pairs; roles are ``system``, ``user``, ``assistant``."""

DrawKey = tuple[tuple[int | str, ...], int, int, int, int]
"""((run seed, realization, kind, step), agent, source, repeat, ask): what a request draws; never sent."""

NO_DRAW: DrawKey = ((), -1, -1, 0, 0)

HARMLESS: Final[Messages] = (("user", "Is two plus two four? Answer yes or no."),)
"""What no filter minds: asked where it has to be known whether anything is answered."""


class Request(NamedTuple):
    """One question to a language model. Frozen.

    Attributes:
        messages: The conversation so far.
        temperature: Sampling temperature, >= 0.
        n: Number of independent samples wanted, >= 1.
        max_tokens: Bound on the tokens of each sample, >= 1.
        answers: If not empty, the only texts that a sample may be, such as ``("yes", "no")``.
        schema: If given, the JSON schema that a sample must satisfy, as JSON text.
        logprobs: Whether the log-probabilities of `answers` are wanted.
        seed: Fixes the samples where the backend can; in [0, 2^63).
        draw: The draw key: part of the cache's key, never sent.
        metadata: Plain facts (``profile``, ``news``, ``severity``, ``kind``, ``context.NAME``) for the mock
            and for logs; real backends ignore it.
    """

    messages: Messages
    temperature: float = 1.0
    n: int = 1
    max_tokens: int = 256
    answers: tuple[str, ...] = ()
    schema: str | None = None
    logprobs: bool = False
    seed: int = 0
    draw: DrawKey = NO_DRAW
    metadata: Mapping[str, str | int | float] = {}


class Reply(NamedTuple):
    """The answer to one request. Frozen.

    Attributes:
        texts: The samples, at least one and at most `Request.n` (a server may give fewer: count them).
        prompt_tokens: Tokens of the prompt, as the server counted them; None if it did not say.
        completion_tokens: Tokens of all samples together; None if the server did not say.
        model: The model name as the server returned it.
        finish: Why each sample ended, as long as `texts`: ``stop``, ``length``, ``content_filter``,
            ``refusal``, ``thought_only`` (a thought and no answer), ``thought_cut_off`` (the bound on tokens
            was reached within the thought); an empty tuple means ``stop`` throughout.
        logprobs: Natural log-probability of each allowed answer, where known. They stand to each other as at
            the request's temperature; what they lack of probability 1 together is the mass on anything else.
        fingerprint: The server's own mark of its configuration, if it gives one.
        attempts: How many times the request was sent to get this reply (1 without retries).
        troubles: The kinds of trouble of the attempts before the last.
        cached: Whether the reply came from a cache, with no call made.
        unlisted: How much more probability than `logprobs` say one of the answers may have at most, since the
            server did not list everything; None: all that they lack of 1 together.
        doubt: Why there are no `logprobs` though they were asked for, in words.
        listed: What `logprobs` and `unlisted` were worked out from, where those of every other temperature
            follow from it as well: then nobody need ask again.
        took_s: How long whoever answered took, in seconds, where that is not how long the call did: a person
            who is asked after others, or whose answer was noted before the program was killed.
    """

    texts: tuple[str, ...]
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str = ""
    finish: tuple[str, ...] = ()
    logprobs: Mapping[str, float] | None = None
    fingerprint: str | None = None
    attempts: int = 1
    troubles: tuple[str, ...] = ()
    cached: bool = False
    unlisted: float | None = None
    doubt: str = ""
    listed: Listed | None = None
    took_s: float | None = None


@runtime_checkable
class Backend(Protocol):
    """Answers requests. Safe to call concurrently from one event loop.

    A backend may also have an attribute ``worth_caching``: False says that nothing is to be answered from a
    cache, and ``asks_once``: True says that no question is asked as a control. One
    with ``lists_tokens`` true gives `Reply.listed` as a rule, and is asked for log-probabilities at
    temperature 1 alone, where lists of before and after temperature are one. One
    that talks to servers which differ may have a method ``adapt``: see `Adapts`. One that need not wait for
    its answers may have a method ``answer_now``: see `AnswersNow`. One that takes options
    from the environment keeps them in an attribute ``found``: they stand in the event log, too.
    """

    @property
    def name(self) -> str:
        """The plug-in's name; stands in the event log."""
        ...

    @property
    def model_name(self) -> str:
        """The language model asked; stands in the event log and in the cache's key."""
        ...

    async def complete(self, request: Request) -> Reply:
        """Answer `request` by one call.

        Raises:
            TransientError: Another try can help.
            RequestRejected: This request can never succeed.
            BackendUnusable: No request can succeed.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections; afterwards `complete` is not called again."""
        ...


_MOST_TOKENS: Final = 2**53
_MOST_LOGPROB: Final = 0.1
"""What servers that reckon in few bits round to is above 0; probabilities, or logits, are far above."""
_SEVERAL: Final = (tuple, list)
_NUMBER: Final = (int, float)


class Named(Protocol):
    """What has a name, for messages."""

    @property
    def name(self) -> str:
        """The plug-in's name."""
        ...


def check_reply(reply: Reply, maker: Named, noun: str = "backend") -> None:
    """Refuse what a plug-in gives in the place of a reply: it would pass for an answer, or for what it cost.

    Args:
        reply: What it gave.
        maker: Who gave it.
        noun: What that is.

    Raises:
        PluginError: It is no reply that the contract knows.
    """
    if isinstance(reply, Reply) and _is_told(reply) and (reply[4:] == _AS_USUAL or _is_known(reply)):
        return
    raise PluginError(
        f"the {noun} {maker.name!r} gave {reply!r:.200}; it gives a Reply with at least one text, the name "
        "of a model, counts of tokens that are whole numbers from 0, or None where nobody counted, "
        "log-probabilities that are numbers up to 0, and all else as agentnet.backend.Reply has it"
    )


_AS_USUAL: Final = Reply(("",))[4:]


def _is_told(reply: Reply) -> bool:
    return (
        _are_texts(reply.texts)
        and bool(reply.texts)
        and isinstance(reply.model, str)
        and _is_count(reply.prompt_tokens)
        and _is_count(reply.completion_tokens)
        and type(reply.attempts) is int
        and 0 <= reply.attempts <= _MOST_TOKENS
    )


def _is_known(reply: Reply) -> bool:
    took_s = reply.took_s
    return (
        _are_texts(reply.finish)
        and len(reply.finish) in (0, len(reply.texts))
        and _are_texts(reply.troubles)
        and isinstance(reply.fingerprint, str | None)
        and isinstance(reply.cached, bool)
        and (reply.logprobs is None or _are_odds(reply.logprobs))
        and (reply.unlisted is None or isinstance(reply.unlisted, _NUMBER))
        and (took_s is None or (isinstance(took_s, _NUMBER) and 0.0 <= took_s < math.inf))
    )


def _are_odds(logprobs: object) -> bool:
    return isinstance(logprobs, Mapping) and not any(
        not isinstance(value, _NUMBER) or value > _MOST_LOGPROB for value in logprobs.values()
    )


def _are_texts(texts: object) -> bool:
    return isinstance(texts, _SEVERAL) and all(map(isinstance, texts, repeat(str)))


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, int) and 0 <= value <= _MOST_TOKENS)


class Wave(NamedTuple):
    """Many requests that differ from few by their temperatures and seeds alone.

    Attributes:
        asked: The few, whose own temperatures, seeds and draws do not count; each is asked at least once.
        which: For each request, which of them it is.
        temperatures: For each, its temperature.
        seeds: For each, its seed.
    """

    asked: Sequence[Request]
    which: Sequence[int]
    temperatures: Sequence[float]
    seeds: Sequence[int]


class AtOnce(NamedTuple):
    """What many requests were answered without waiting.

    Attributes:
        replies: The different ones, each of which some request has; they tell their tokens.
        which: For each request, which of them is its.
    """

    replies: Sequence[Reply]
    which: Sequence[int]

    def counted(self) -> Iterator[tuple[Reply, int]]:
        """Tell how many requests have each reply."""
        return ((self.replies[place], n) for place, n in Counter(self.which).items())


@runtime_checkable
class AnswersNow(Protocol):
    """What a backend may have beside `Backend` that answers without waiting for anything."""

    def answer_now(self, wave: Wave) -> AtOnce | None:
        """Answer at least one request, each as `complete` would; nothing is noted of them here.

        Returns:
            None if one of them has to wait or fails: then each is asked by `complete`.
        """
        ...


def answer_now(backend: Backend, wave: Wave) -> AtOnce | None:
    """Have `backend` answer at once, if it can.

    Raises:
        PluginError: It did not say of each request which of its replies answers it, or one is none.
    """
    now: Callable[[Wave], AtOnce | None] | None = getattr(backend, "answer_now", None)
    found = None if now is None else now(wave)
    if found is None or isinstance(backend, Wrapper):
        return found
    # Whose a reply is would otherwise be guessed, by places that lie beside each other.
    n_asked, n_answered, n_replies = map(len, (wave.which, found.which, found.replies))
    if n_answered != n_asked or not 0 <= min(found.which) <= max(found.which) < n_replies:
        raise PluginError(
            f"`answer_now` of the backend {backend.name!r} does not say which reply each request has: of "
            f"{n_asked:,} requests and {n_replies:,} replies it gave {n_answered:,} numbers, from "
            f"{min(found.which, default=0)} to {max(found.which, default=0)}"
        )
    for reply in found.replies:
        check_reply(reply, backend)
    return found


Ask = Callable[[Request], Awaitable[Reply]]
"""Sends a request to a backend by way of what bounds and counts its calls."""


_LEAST_MASS: Final = 0.9
_MOST_DOUBT: Final = 0.01

ALL_OPEN: Final = 2.0
"""How open the odds of answers are of which nothing is known; see `openness`."""


def is_wanting(request: Request, reply: Reply) -> bool:
    """Say whether a reply bound to answers is cut off, or does not tell their odds though it should."""
    if not request.answers:
        return False
    return is_cut_off(reply) or (request.logprobs and openness(request, reply) > 0.0)


def is_cut_off(reply: Reply) -> bool:
    """Say whether a sample reached the bound on its tokens."""
    return bool(reply.finish) and not {"length", THOUGHT_CUT_OFF}.isdisjoint(reply.finish)


def mass_on_answers(reply: Reply) -> float:
    """Add up the probability of the answers, as far as it is known."""
    return min(1.0, math.fsum(map(math.exp, (reply.logprobs or {}).values())))


def openness(request: Request, reply: Reply) -> float:
    """Compute how far a reply leaves open what the odds of `request`'s answers are.

    Returns:
        0 where the answers hold nearly all of the probability, and what is not listed matters little; else
        the probability off the answers and the share of the odds that is unknown, added up.
    """
    mass = mass_on_answers(reply)
    if not mass:
        return ALL_OPEN
    more = 1.0 - mass if reply.unlisted is None else reply.unlisted
    unknown = more / (mass + more) if math.isfinite(more) else 1.0
    are_listed = (reply.logprobs or {}).keys() >= set(request.answers)
    is_little = unknown <= (1.0 - _LEAST_MASS if are_listed else _MOST_DOUBT)
    return 0.0 if is_little and mass >= _LEAST_MASS else 1.0 - mass + unknown


@runtime_checkable
class Adapts(Protocol):
    """What a backend may have beside `Backend`: it finds out how its server wants to be asked."""

    async def adapt(
        self, request: Request, trouble: BackendError | Reply, ask: Ask
    ) -> tuple[str, ...] | None:
        """Find out what of `request` was refused, and do without it if nothing is lost by that.

        Called after the first failures of a run, one at a time, and later after refusals, within a bound; and
        where a reply is wanting: see `is_wanting`.

        Args:
            request: What was refused, or answered so.
            trouble: How it was refused, or the reply.
            ask: Sends variations of it, which come back to this backend's `complete` and count as any call.

        Returns:
            What is done otherwise from now on, in sentences for people; then `request` is sent again. Neither
            what is asked may change by it, nor the distribution of answers. None if there is nothing to
            adapt: then `trouble` stands.

        Raises:
            BackendUnusable: A part is refused that only people can decide to do without; names the setting.
            BackendError: The server did not answer.
        """
        ...


@runtime_checkable
class HasServers(Protocol):
    """What a backend may have beside `Backend` that asks several servers of one model."""

    def watch(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called with a sentence when a server is left out, and when it answers again."""


@runtime_checkable
class Attended(Protocol):
    """What a backend may have beside `Backend` that does something for as long as a run is played."""

    def attend(
        self, folder: Path, say: Callable[[str], None]
    ) -> AbstractAsyncContextManager[Callable[[RunStopped], None]]:
        """Open up before the first question of a sitting, and close after its last.

        Args:
            folder: The run folder.
            say: Tells people a line.

        Yields:
            What is called when the sitting is to end early, with the reason: requests that are still open
            are given up by it, as questions that were never asked.
        """
        ...


class Wrapper:
    """A backend around a backend: called what the inner one is called, and closed with it.

    A subclass adds ``complete``.

    Args:
        inner: The backend inside.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """The plug-in's name."""
        return self._inner.name

    @property
    def model_name(self) -> str:
        """The language model asked."""
        return self._inner.model_name

    async def aclose(self) -> None:
        """Close the inner backend."""
        await awaited(f"aclose of backend {self.name!r}", self._inner.aclose)


BackendPlugin = Maker[Backend]
"""What an entry point of group ``agentnet.backends`` leads to: usually the backend's class."""

BACKENDS: Final[MadeOfOptions[Backend]] = MadeOfOptions(
    "backend", "agentnet.backends", "agentnet.backend.BackendPlugin", see="agentnet backends", makes=Backend
)
installed_backends = BACKENDS.installed
make_backend = BACKENDS.make
