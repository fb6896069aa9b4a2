"""Where a server refuses so many samples at once, fewer are asked for, and nothing is lost."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import Reply, Request
from agentnet.errors import BackendUnusable, RequestRejected, TransientError
from agentnet.stack import FewerSamples
from agentnet.testing import ScriptedBackend


def request(n, number=0):
    return Request((("user", f"question {number}"),), n=n, draw=((1, number), 0, n, 0, 0))


def slots(bound, error=RequestRejected, **how):
    """A server that refuses more than `bound` samples at once."""

    def script(asked):
        if asked.n > bound:
            return error("so many", **{"kind": "bad_request", **how})
        return Reply(("yes",) * asked.n, 10, asked.n)

    return ScriptedBackend(script)


def ask(backend, *requests):
    """Ask one after the other; an error stands for the reply that it took the place of."""

    async def main():
        return [
            (await asyncio.gather(backend.complete(each), return_exceptions=True))[0] for each in requests
        ]

    return asyncio.run(main())


@given(st.integers(1, 70), st.lists(st.integers(1, 70), min_size=1, max_size=8), st.randoms())
def test_how_many_are_taken_does_not_depend_on_who_asked_before(bound, numbers, rng):
    shuffled = rng.sample(numbers, len(numbers))
    inner = slots(bound)
    alone = {n: len(ask(FewerSamples(slots(bound)), request(n))[0].texts) for n in numbers}
    together = ask(FewerSamples(inner), *map(request, shuffled))
    assert [len(reply.texts) for reply in together] == [alone[n] for n in shuffled]
    assert all(min(n, bound) / 2 <= taken <= bound for n, taken in alone.items())
    assert sum(reply.attempts for reply in together) == len(inner.requests), "every call is counted"


def test_what_was_refused_once_is_not_tried_again():
    inner = slots(4)
    ask(FewerSamples(inner), *(request(64, number) for number in range(5)))
    assert [asked.n for asked in inner.requests] == [64, 32, 16, 8, 4, 4, 4, 4, 4]


def test_a_refusal_as_unsupported_is_one_too_and_is_told_once():
    told = []
    backend = FewerSamples(slots(1, BackendUnusable, kind="unsupported"), tell=told.append)
    first, second = ask(backend, request(4), request(4, 1))
    assert (first.texts, second.texts) == (("yes",), ("yes",))
    assert first.troubles == ("unsupported", "unsupported")
    (words,) = told
    assert "2 samples at once were refused, 1 were not" in words
    assert "so many" in words


@pytest.mark.parametrize("kind", ["content_filter", "context_overflow", "too_large"])
def test_a_refusal_of_the_prompt_is_passed_on_at_once(kind):
    inner = slots(0, kind=kind)
    (error,) = ask(FewerSamples(inner), request(8))
    assert (error.kind, error.attempts, len(inner.requests)) == (kind, 1, 1)


@pytest.mark.parametrize(
    "error",
    [TransientError("busy"), BackendUnusable("wrong key", kind="unauthorized")],
    ids=["moment", "key"],
)
def test_other_errors_are_no_refusal_of_a_number(error):
    inner = ScriptedBackend(lambda _: error)
    assert ask(FewerSamples(inner), request(8)) == [error]
    assert len(inner.requests) == 1


def test_a_prompt_that_is_refused_for_one_sample_too_lowers_nobodys_number():
    def script(asked):
        if asked.draw[0][1] == 0:
            return RequestRejected("not this one", kind="bad_request")
        return Reply(("yes",) * asked.n)

    inner = ScriptedBackend(script)
    error, reply = ask(FewerSamples(inner), request(8), request(8, 1))
    assert (error.attempts, error.troubles) == (4, ("bad_request",) * 3)
    assert len(reply.texts) == 8


def test_a_server_that_refuses_everything_is_not_asked_for_every_number_by_everybody():
    inner = slots(0)
    ask(FewerSamples(inner), *(request(64, number) for number in range(20)))
    assert len(inner.requests) == 3 * 7 + 17


def test_one_sample_is_asked_for_as_ever():
    (reply,) = ask(FewerSamples(slots(1)), request(1))
    assert reply == Reply(("yes",), 10, 1)


def test_tokens_of_refused_numbers_count_to_the_reply():
    def script(asked):
        if asked.n == 1:
            return Reply(("yes",), 10, 1)
        error = RequestRejected("so many", kind="bad_request")
        error.prompt_tokens, error.completion_tokens = 10, 0
        return error

    [reply] = ask(FewerSamples(ScriptedBackend(script)), request(4))
    assert (reply.attempts, reply.prompt_tokens, reply.completion_tokens) == (3, 30, 1)
