"""The conformance kit: a good backend passes, and each way of being bad is found and named."""

import asyncio
import math
from dataclasses import dataclass, field

import pytest

from agentnet.backend import AtOnce, Reply, Request
from agentnet.errors import BackendError, BackendUnusable, RequestRejected, TransientError
from agentnet.testing import (
    CHECKS,
    ConformanceError,
    ScriptedBackend,
    Subject,
    check_backend,
    run_check,
    run_in_virtual_time,
)

ASK = Request((("user", "Do you share it?"),))


def _echo(request: Request) -> Reply:
    """Answer as a faultless deterministic backend does."""
    texts = (request.answers[0] if request.answers else f"heard {request.messages[-1][1]}",) * request.n
    logprobs = (
        dict.fromkeys(request.answers, math.log(1.0 / len(request.answers))) if request.logprobs else None
    )
    return Reply(texts, 12, 3 * request.n, "good-1", ("stop",) * request.n, logprobs)


@dataclass
class Good:
    """A small backend that keeps the contract; `spoil` is for those that do not."""

    name: str = "good"
    model_name: str = "good-1"
    n_calls: int = 0

    async def complete(self, request: Request) -> Reply:
        self.n_calls += 1
        if not request.messages[0][1]:
            raise RequestRejected("the prompt is empty", kind="empty")
        await asyncio.sleep(0)
        return self.spoil(request, _echo(request))

    def spoil(self, request: Request, reply: Reply) -> Reply:
        return reply

    async def aclose(self) -> None:
        pass


FAILING = Request((("user", ""),))


def _subject(make_backend, **facts) -> Subject:
    facts = {
        "deterministic": True,
        "failing": FAILING,
        "count_calls": lambda backend: backend.n_calls,
    } | facts
    return Subject(make_backend, **facts)


def _broken(check, make_backend, **facts) -> ConformanceError:
    """Run `check` on a backend that breaks it."""
    with pytest.raises(ConformanceError) as caught:
        run_check(check, _subject(make_backend, **facts))
    assert caught.value.__notes__ == [f"in the check {check!r} of agentnet.testing"]
    return caught.value


def _spoilt(change) -> type[Good]:
    class Spoilt(Good):
        def spoil(self, request, reply):
            return change(request, reply)

    return Spoilt


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_backend_passes_each_check(check):
    run_check(check, _subject(Good))


def test_a_good_backend_passes_all_checks_at_once():
    check_backend(Good)
    check_backend(
        Good,
        deterministic=True,
        failing=FAILING,
        count_calls=lambda backend: backend.n_calls,
        run=run_in_virtual_time,
    )


def test_the_first_broken_rule_ends_the_checks_with_its_name():
    with pytest.raises(ConformanceError, match="`name` must be a text, not ''"):
        check_backend(lambda: Good(name=""))


def test_every_check_says_what_it_checks():
    assert all(check.__doc__ for check in CHECKS.values())


def test_each_check_closes_its_backend():
    made = []

    def make():
        made.append(ScriptedBackend(_echo))
        return made[-1]

    check_backend(make, deterministic=True)
    assert len(made) >= len(CHECKS) - 1
    assert all(backend.closed for backend in made)


@pytest.mark.parametrize(
    ("check", "spoil", "broken"),
    [
        ("names", lambda _, reply: reply._replace(model=None), "`model` of a reply must be a text"),
        ("texts", lambda _, reply: reply._replace(texts=()), "must hold 1 to 1 texts, not 0"),
        ("texts", lambda _, reply: reply._replace(texts=("a",) * 4), "must hold 1 to 1 texts, not 4"),
        (
            "texts",
            lambda request, reply: reply._replace(texts=("a",) * min(request.n * request.n, 9)),
            "must hold 1 to 3 texts, not 9",
        ),
        ("texts", lambda _, reply: reply._replace(texts=["a"]), "must be a tuple of texts"),
        ("texts", lambda _, reply: reply._replace(texts=(b"a",)), "must be a tuple of texts"),
        ("texts", lambda _, reply: reply._replace(texts="a"), "must be a tuple of texts"),
        ("texts", lambda _, reply: tuple(reply), "must give a Reply, not a tuple"),
        ("finish", lambda _, reply: reply._replace(finish=("stop",)), "empty or as long as `texts`"),
        ("finish", lambda _, reply: reply._replace(finish=None), "empty or as long as `texts`"),
        (
            "finish",
            lambda request, reply: reply._replace(
                finish=("end_turn" if request.max_tokens == 1 else "stop",) * request.n
            ),
            "not {'end_turn'}",
        ),
        ("tokens", lambda _, reply: reply._replace(prompt_tokens=-1), "`prompt_tokens` must be None or an"),
        (
            "tokens",
            lambda _, reply: reply._replace(completion_tokens=2.0),
            "`completion_tokens` must be None",
        ),
        ("tokens", lambda _, reply: reply._replace(prompt_tokens=True), "not True"),
        ("answers", lambda _, reply: reply._replace(texts=("Yes.",)), r"one is \['Yes.'\]"),
        (
            "answers",
            lambda request, reply: reply._replace(texts=("yes",) * request.n),
            r"must be one of \('share', 'ignore'\), but one is \['yes'\]",
        ),
        ("logprobs", lambda _, reply: reply._replace(logprobs={"Yes": -1.0}), r"not by \['Yes'\]"),
        ("logprobs", lambda _, reply: reply._replace(logprobs={"yes": 0.3}), "floats of at most 0"),
        ("logprobs", lambda _, reply: reply._replace(logprobs={"yes": math.nan}), "floats of at most 0"),
        ("logprobs", lambda _, reply: reply._replace(logprobs={"yes": "-1"}), "floats of at most 0"),
        (
            "logprobs",
            lambda _, reply: reply._replace(logprobs={"yes": -0.1, "no": -0.1}),
            r"add up to 1\.810, above 1",
        ),
        (
            "metadata",
            lambda request, reply: reply._replace(texts=(repr(sorted(request.metadata)),)),
            "unknown metadata must change nothing",
        ),
        ("retries", lambda _, reply: reply._replace(attempts=2), "calls once: `attempts`"),
        ("retries", lambda _, reply: reply._replace(troubles=("timeout",)), "calls once: `attempts`"),
        ("retries", lambda _, reply: reply._replace(cached=True), "calls once: `attempts`"),
    ],
)
def test_a_reply_that_breaks_a_rule_is_found_and_shown(check, spoil, broken):
    error = _broken(check, _spoilt(spoil))
    with pytest.raises(ConformanceError, match=broken):
        raise error
    assert "the reply: " in str(error)
    assert error.reply is not None


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("finish", lambda _, reply: reply._replace(finish=())),
        ("tokens", lambda _, reply: reply._replace(prompt_tokens=None, completion_tokens=0)),
        ("texts", lambda _, reply: reply._replace(texts=reply.texts[:1])),
        ("answers", lambda _, reply: reply._replace(texts=("ye", reply.texts[0]), finish=("length", "stop"))),
        ("logprobs", lambda _, reply: reply._replace(logprobs=None)),
        ("logprobs", lambda _, reply: reply._replace(logprobs={"yes": 0.0, "no": -math.inf})),
        ("logprobs", lambda _, reply: reply._replace(logprobs={"no": -2.0})),
    ],
)
def test_what_the_contract_allows_passes(check, spoil):
    run_check(check, _subject(_spoilt(spoil)))


def test_a_missing_member_is_named():
    class Nothing:
        name = "nothing"

    assert "lacks model_name, complete, aclose" in str(_broken("members", Nothing))


def test_a_complete_that_blocks_is_told_to_be_asynchronous():
    class Blocking(Good):
        def complete(self, request):
            return _echo(request)

    assert "`complete` must be asynchronous" in str(_broken("members", Blocking))


def test_an_aclose_that_blocks_is_told_to_be_asynchronous():
    class Blocking(Good):
        def aclose(self):
            return None

    assert "`aclose` must be asynchronous" in str(_broken("members", Blocking))


@pytest.mark.parametrize("name", ["", None, 3])
def test_names_must_be_texts(name):
    assert f"`name` must be a text, not {name!r}" in str(_broken("names", lambda: Good(name=name)))
    assert f"`model_name` must be a text, not {name!r}" in str(
        _broken("names", lambda: Good(model_name=name))
    )


@dataclass
class MixingUp(Good):
    """Keeps the request where the next one overwrites it."""

    current: Request = field(default=ASK)

    async def complete(self, request):
        self.current = request
        await asyncio.sleep(0)
        return _echo(self.current)


def test_concurrent_requests_that_are_mixed_up_are_found():
    error = _broken("concurrency", MixingUp)
    assert "concurrent requests are mixed up: number 0 alone got" in str(error)
    assert "day 6" in str(error.reply)


def test_mixing_up_cannot_be_seen_where_replies_differ_anyway():
    run_check("concurrency", _subject(MixingUp, deterministic=False))


class Fickle(Good):
    async def complete(self, request):
        reply = _echo(request)
        return reply._replace(texts=tuple(f"{text} ({id(self)})" for text in reply.texts))


def test_a_backend_that_is_called_deterministic_must_repeat_itself():
    kept = []

    def make():
        kept.append(Fickle())  # else the second may get the first one's address
        return kept[-1]

    assert "called deterministic, but gave the same request" in str(_broken("determinism", make))
    run_check("determinism", _subject(make, deterministic=False))


def test_a_request_that_must_fail_must_not_be_answered():
    error = _broken("errors", Good, failing=ASK)
    assert "the request that must fail got an answer" in str(error)
    assert error.reply.texts == ("heard Do you share it?",)


@pytest.mark.parametrize(
    "raised", [ValueError("no JSON"), BackendError("somehow"), TimeoutError(), AttributeError("x")]
)
@pytest.mark.parametrize("check", ["texts", "errors", "retries"])
def test_only_the_three_errors_of_the_contract_may_leave_complete(check, raised):
    error = _broken(check, lambda: ScriptedBackend([raised]), count_calls=None)
    assert f"but raised {raised!r}" in str(error)
    assert error.__cause__ is raised


@pytest.mark.parametrize(
    "allowed", [TransientError("busy"), RequestRejected("long"), BackendUnusable("no key")]
)
def test_an_error_of_the_contract_ends_a_check_as_it_is(allowed):
    with pytest.raises(type(allowed)) as caught:
        check_backend(lambda: ScriptedBackend([allowed]))
    assert caught.value is allowed


@pytest.mark.parametrize("kind", ["", None])
def test_an_error_needs_a_kind_to_be_counted_by(kind):
    error = _broken("errors", lambda: ScriptedBackend([TransientError("busy", kind=kind)]))
    assert f"`kind` of TransientError must be a short word, not {kind!r}" in str(error)


def test_without_a_failing_request_errors_are_not_checked():
    run_check("errors", _subject(lambda: ScriptedBackend([]), failing=None))


@dataclass
class Instant(Good):
    """Answers at once, too; `which` and what it says may be wrong."""

    which: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    says: str = ""

    def answer_now(self, wave):
        replies = [
            _echo(request)._replace(texts=(self.says or _echo(request).texts[0],)) for request in wave.asked
        ]
        return AtOnce(replies, self.which)


def test_a_backend_that_answers_at_once_passes():
    check_backend(Instant, deterministic=True)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Instant(which=(0,)), "which reply each request has"),
        (lambda: Instant(which=(0,) * 6), "that some request has"),
        (lambda: Instant(says="another"), "answer one request differently"),
    ],
)
def test_answers_at_once_must_be_those_that_each_request_gets_alone(made, words):
    assert words in str(_broken("at once", made))


def test_closing_twice_must_be_harmless():
    @dataclass
    class OnceOnly(Good):
        closed: bool = False

        async def aclose(self):
            if self.closed:
                raise RuntimeError("session is closed")
            self.closed = True

    error = _broken("closing", OnceOnly)
    assert "`aclose` must bear being called twice, but raised RuntimeError('session is closed')" in str(error)


class Stubborn(Good):
    """Tries twice where it should once."""

    tries_of_success = 1
    tries_of_failure = 1

    async def complete(self, request):
        fails = not request.messages[0][1]
        self.n_calls += self.tries_of_failure if fails else self.tries_of_success
        if fails:
            raise TransientError("busy")
        return _echo(request)


def test_retries_behind_a_success_are_counted():
    class Twice(Stubborn):
        tries_of_success = 2

    assert "must never retry or cache, but made 2 calls for one request" in str(_broken("retries", Twice))


def test_retries_before_a_failure_are_counted():
    class Thrice(Stubborn):
        tries_of_failure = 3

    assert "must never retry, but made 3 calls before it failed" in str(_broken("retries", Thrice))


def test_calls_are_counted_where_nothing_can_fail_too():
    run_check("retries", _subject(Stubborn, failing=None))
    run_check("retries", _subject(Stubborn))
    run_check("retries", _subject(Stubborn, failing=ASK))
    run_check("retries", _subject(Stubborn, count_calls=None))


def test_a_check_that_does_not_exist_is_a_key_error():
    with pytest.raises(KeyError):
        run_check("everything", _subject(Good))
