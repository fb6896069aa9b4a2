"""The contract of a backend, as checks that the author of a plug-in runs.

All of them at once::

    check_backend(lambda: MyBackend.from_options({...}))

or one test for each::

    @pytest.mark.parametrize("check", CHECKS)
    def test_my_backend_keeps_the_contract(check):
        run_check(check, Subject(lambda: MyBackend.from_options({...})))

Each check makes a backend inside a fresh event loop and closes it. Whatever breaks the contract raises
`ConformanceError`; an error that the contract allows (the server is down, say) passes through as it is. All
checks together send about thirty short requests, so that they can be run against a real server too.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from inspect import isawaitable
from types import MappingProxyType
from typing import Any

from agentnet.backend import AtOnce, Backend, Reply, Request, Wave, answer_now
from agentnet.errors import BackendUnusable, PluginError, RequestRejected, TransientError
from agentnet.streams import mix
from agentnet.vocabulary import FINISHES

_ALLOWED = (TransientError, RequestRejected, BackendUnusable)
_MEMBERS = ("name", "model_name", "complete", "aclose")
_N_CONCURRENT = 6
_ROUNDING = 1e-6


class ConformanceError(AssertionError):
    """A backend breaks a rule of the contract.

    Args:
        broken: The rule, and how it was broken.
        reply: What the backend gave, if it gave something.

    Attributes:
        reply: What the backend gave, or None.
    """

    def __init__(self, broken: str, reply: object = None) -> None:
        super().__init__(broken if reply is None else f"{broken}; the reply: {reply!r}")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked, and what its author says of it.

    Attributes:
        make_backend: Makes a fresh backend; called inside a running event loop.
        deterministic: Whether the same request always gets the same reply. Only then can the checks see that
            concurrent requests are mixed up or that unknown metadata are heeded.
        failing: A request that must fail, if there is one.
        count_calls: Tells how many calls a backend has made so far, if that can be counted.
        run: Runs a check: `asyncio.run`, or `run_in_virtual_time` for a backend that only sleeps.
    """

    make_backend: Callable[[], Backend]
    deterministic: bool = False
    failing: Request | None = None
    count_calls: Callable[[Backend], int] | None = None
    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run


Check = Callable[[Subject], Coroutine[Any, Any, None]]


def check_backend(
    make_backend: Callable[[], Backend],
    *,
    deterministic: bool = False,
    failing: Request | None = None,
    count_calls: Callable[[Backend], int] | None = None,
    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
) -> None:
    """Run all checks on the backends that `make_backend` makes; the other arguments are those of `Subject`.

    Raises:
        ConformanceError: The backend breaks the contract.
        BackendError: The backend could not answer, as the contract allows.
    """
    subject = Subject(make_backend, deterministic, failing, count_calls, run)
    for check in CHECKS:
        run_check(check, subject)


def run_check(check: str, subject: Subject) -> None:
    """Run one check of `CHECKS`, outside any event loop.

    Raises:
        ConformanceError: The backend breaks the contract.
        BackendError: The backend could not answer, as the contract allows.
        KeyError: There is no such check.
    """
    try:
        subject.run(CHECKS[check](subject))
    except ConformanceError as error:
        error.add_note(f"in the check {check!r} of agentnet.testing")
        raise


async def _has_the_members(subject: Subject) -> None:
    """It has the members of `Backend`, and its methods are asynchronous."""
    async with _opened(subject) as backend:
        missing = [member for member in _MEMBERS if not hasattr(backend, member)]
        _require(not missing, f"the backend lacks {', '.join(missing)} (see agentnet.backend.Backend)")
        await _ask(backend, _request())


async def _has_names(subject: Subject) -> None:
    """Its names, and the model name in a reply, are texts; its own are not empty."""
    async with _opened(subject) as backend:
        for member in ("name", "model_name"):
            name = getattr(backend, member)
            _require(isinstance(name, str) and name != "", f"`{member}` must be a text, not {name!r}")
        reply = await _ask(backend, _request())
        _require(isinstance(reply.model, str), "`model` of a reply must be a text, empty if unknown", reply)


async def _gives_one_to_n_texts(subject: Subject) -> None:
    """A reply holds at least one and at most `n` texts."""
    async with _opened(subject) as backend:
        for n in (1, 3):
            reply = await _ask(backend, _request()._replace(n=n))
            texts = reply.texts
            _require(
                isinstance(texts, tuple) and all(isinstance(text, str) for text in texts),
                "`texts` must be a tuple of texts",
                reply,
            )
            _require(1 <= len(texts) <= n, f"a reply must hold 1 to {n} texts, not {len(texts)}", reply)


async def _says_why_each_text_ended(subject: Subject) -> None:
    """`finish` is empty, or has one known word for each text."""
    async with _opened(subject) as backend:
        for request in (_request()._replace(n=3), _request()._replace(max_tokens=1)):
            reply = await _ask(backend, request)
            _require(
                isinstance(reply.finish, tuple) and len(reply.finish) in {0, len(reply.texts)},
                "`finish` must be a tuple, empty or as long as `texts`",
                reply,
            )
            unknown = set(reply.finish).difference(FINISHES)
            _require(not unknown, f"`finish` must be of {sorted(FINISHES)}, not {unknown}", reply)


async def _counts_tokens(subject: Subject) -> None:
    """Token counts are None or integers >= 0."""
    async with _opened(subject) as backend:
        reply = await _ask(backend, _request()._replace(n=2))
        for name in ("prompt_tokens", "completion_tokens"):
            count = getattr(reply, name)
            _require(
                count is None or (type(count) is int and count >= 0),
                f"`{name}` must be None or an integer >= 0, not {count!r}",
                reply,
            )


async def _keeps_to_the_answers(subject: Subject) -> None:
    """Where answers are given, each sample that ended by itself is exactly one of them."""
    async with _opened(subject) as backend:
        for answers in (("yes", "no"), ("share", "ignore")):
            reply = await _ask(backend, _request()._replace(n=2, answers=answers))
            finish = reply.finish or ("stop",) * len(reply.texts)
            stopped = [text for text, why in zip(reply.texts, finish, strict=False) if why == "stop"]
            others = sorted(set(stopped) - set(answers))
            _require(not others, f"every text must be one of {answers}, but one is {others}", reply)


async def _gives_true_logprobs(subject: Subject) -> None:
    """Log-probabilities, where given, belong to allowed answers, and are at most 0 together and alone."""
    answers = ("yes", "no")
    async with _opened(subject) as backend:
        reply = await _ask(backend, _request()._replace(answers=answers, logprobs=True))
    logprobs = reply.logprobs
    if logprobs is None:
        return
    others = sorted(set(logprobs) - set(answers))
    _require(not others, f"`logprobs` must be keyed by the answers {answers}, not by {others}", reply)
    _require(
        all(isinstance(value, float) and value <= _ROUNDING for value in logprobs.values()),
        "log-probabilities must be floats of at most 0",
        reply,
    )
    total = math.fsum(map(math.exp, logprobs.values()))
    _require(total <= 1.0 + _ROUNDING, f"the answers' probabilities add up to {total:.3f}, above 1", reply)


async def _keeps_requests_apart(subject: Subject) -> None:
    """Concurrent requests get replies; from a deterministic backend the same as one after another."""
    requests = [_request(i) for i in range(_N_CONCURRENT)]
    async with _opened(subject) as backend:
        together = await asyncio.gather(*(_ask(backend, request) for request in requests))
        if not subject.deterministic:
            return
        for i, request in enumerate(requests):
            alone = await _ask(backend, request)
            _require(
                _said(alone) == _said(together[i]),
                f"concurrent requests are mixed up: number {i} alone got {alone!r}, among others another",
                together[i],
            )


async def _answers_at_once_what_it_answers(subject: Subject) -> None:
    """What is answered without waiting is what each request alone is answered."""
    requests = [_request(i) for i in range(_N_CONCURRENT)]
    async with _opened(subject) as backend:
        temperatures, seeds = zip(*((each.temperature, each.seed) for each in requests), strict=True)
        try:
            found = answer_now(backend, Wave(requests, range(len(requests)), temperatures, seeds))
        except PluginError as error:
            raise ConformanceError(str(error)) from error
        if found is None:
            return
        _require(isinstance(found, AtOnce), f"`answer_now` must give an AtOnce, not {found!r}")
        _require(
            set(found.which) == set(range(len(found.replies))),
            f"`answer_now` must give replies that some request has, each once, not {found!r}",
        )
        for which, request in zip(found.which, requests, strict=True):
            alone = await _ask(backend, request)
            _require(
                not subject.deterministic or _said(alone) == _said(found.replies[which]),
                f"`answer_now` and `complete` answer one request differently: {alone!r}",
                found.replies[which],
            )


async def _repeats_itself(subject: Subject) -> None:
    """Two fresh deterministic backends give the same request the same reply."""
    if not subject.deterministic:
        return
    replies = []
    for _ in range(2):
        async with _opened(subject) as backend:
            replies.append(await _ask(backend, _request()._replace(n=3)))
    first, second = replies
    _require(
        _said(first) == _said(second),
        f"it is called deterministic, but gave the same request {first!r} and then another reply",
        second,
    )


async def _ignores_unknown_metadata(subject: Subject) -> None:
    """Metadata that a backend does not know change nothing."""
    plain = _request()
    known = plain._replace(metadata={**plain.metadata, "unheard_of": "anything"})
    async with _opened(subject) as backend:
        without, with_unknown = await _ask(backend, plain), await _ask(backend, known)
        _require(
            not subject.deterministic or _said(without) == _said(with_unknown),
            f"unknown metadata must change nothing, but without them the reply was {without!r}",
            with_unknown,
        )


async def _fails_as_agreed(subject: Subject) -> None:
    """A request that must fail raises an error that says whether trying again can help."""
    if subject.failing is None:
        return
    async with _opened(subject) as backend:
        try:
            reply = await _ask(backend, subject.failing)
        except _ALLOWED as error:
            _require(
                isinstance(error.kind, str) and error.kind != "",
                f"`kind` of {type(error).__name__} must be a short word, not {error.kind!r}",
            )
        else:
            raise ConformanceError("the request that must fail got an answer", reply)


async def _closes_twice(subject: Subject) -> None:
    """Closing a closed backend does nothing."""
    backend = subject.make_backend()
    await _close(backend)
    try:
        await _close(backend)
    except Exception as error:
        raise ConformanceError(f"`aclose` must bear being called twice, but raised {error!r}") from error


async def _never_retries(subject: Subject) -> None:
    """One request is at most one call, whether it succeeds or fails."""
    async with _opened(subject) as backend:
        reply = await _ask(backend, _request())
        _require(
            (reply.attempts, reply.troubles, reply.cached) == (1, (), False),
            "a plug-in calls once: `attempts`, `troubles` and `cached` are for the wrappers around it",
            reply,
        )
        if subject.count_calls is None:
            return
        before = subject.count_calls(backend)
        _require(before == 1, f"a plug-in must never retry or cache, but made {before} calls for one request")
        if subject.failing is None:
            return
        try:
            await _ask(backend, subject.failing)
        except _ALLOWED:
            n_calls = subject.count_calls(backend) - before
            _require(n_calls <= 1, f"a plug-in must never retry, but made {n_calls} calls before it failed")


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "members": _has_the_members,
        "names": _has_names,
        "texts": _gives_one_to_n_texts,
        "finish": _says_why_each_text_ended,
        "tokens": _counts_tokens,
        "answers": _keeps_to_the_answers,
        "logprobs": _gives_true_logprobs,
        "concurrency": _keeps_requests_apart,
        "at once": _answers_at_once_what_it_answers,
        "determinism": _repeats_itself,
        "metadata": _ignores_unknown_metadata,
        "errors": _fails_as_agreed,
        "closing": _closes_twice,
        "retries": _never_retries,
    }
)
"""The checks by name, in the order in which `check_backend` runs them."""


@asynccontextmanager
async def _opened(subject: Subject) -> AsyncIterator[Backend]:
    backend = subject.make_backend()
    try:
        yield backend
    finally:
        # The check of the members has more to say than an AttributeError here.
        if hasattr(backend, "aclose"):
            await _close(backend)


async def _close(backend: Backend) -> None:
    closing = backend.aclose()
    _require(isawaitable(closing), "`aclose` must be asynchronous")
    await closing


async def _ask(backend: Backend, request: Request) -> Reply:
    """Ask, and let through only what the contract allows."""
    try:
        asked = backend.complete(request)
        _require(isawaitable(asked), "`complete` must be asynchronous", asked)
        reply = await asked
    except (*_ALLOWED, ConformanceError):
        raise
    except Exception as error:
        raise ConformanceError(
            "`complete` may only raise TransientError, RequestRejected and BackendUnusable, but raised "
            f"{error!r}"
        ) from error
    _require(isinstance(reply, Reply), f"`complete` must give a Reply, not a {type(reply).__name__}", reply)
    return reply


def _request(i: int = 0) -> Request:
    """Make the `i`-th of a family of requests that differ in everything that a backend may heed."""
    messages = (
        ("system", f"You are neighbour number {i}, who reads the news."),
        (
            "user",
            f"The fair opens on day {i + 1}. Would you tell your neighbours? Answer yes or no, then why.",
        ),
    )
    metadata: dict[str, str | int] = {"profile": f"{5 * i % 32:05b}", "severity": i % 2, "kind": "reason"}
    return Request(messages, max_tokens=64, seed=mix(i) >> 1, metadata=metadata)


def _said(reply: Reply) -> tuple[object, ...]:
    return reply.texts, reply.finish, reply.logprobs


def _require(condition: bool, rule: str, reply: object = None) -> None:
    if not condition:
        raise ConformanceError(rule, reply)
