"""Retries: only what can succeed is tried again, within bounds, and the count of attempts is exact."""

import asyncio
import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import Reply, Request
from agentnet.errors import (
    BackendUnusable,
    InternalError,
    RequestRejected,
    RunStopped,
    ServerUnreachable,
    TransientError,
)
from agentnet.stack import Retry
from agentnet.stack.trial import Adapting
from agentnet.testing import ScriptedBackend, run_in_virtual_time, timed_in_virtual_time

ASK = Request((("user", "Do you share it?"),))


def busy(retry_after_s=None, kind="rate_limit"):
    return TransientError("come back later", kind=kind, retry_after_s=retry_after_s)


def ask_timed(script, request=ASK, **bounds):
    """Ask once; give the reply or the error, the seconds that it took, and the number of calls."""
    backend = ScriptedBackend(script)

    async def ask():
        return await asyncio.gather(Retry(backend, **bounds).complete(request), return_exceptions=True)

    [outcome], took_s = timed_in_virtual_time(ask())
    return outcome, took_s, len(backend.requests)


def test_a_first_success_is_passed_on_untouched():
    reply = Reply(("Yes",), 3, 1, "m")

    async def ask():
        return await Retry(ScriptedBackend([reply])).complete(ASK)

    assert run_in_virtual_time(ask()) is reply


def test_a_reply_tells_how_many_attempts_it_took_and_why():
    reply, _, n_calls = ask_timed([busy(), busy(kind="timeout"), "Yes"])
    assert reply == Reply(("Yes",), model="scripted-1", attempts=3, troubles=("rate_limit", "timeout"))
    assert n_calls == 3


@pytest.mark.parametrize("max_attempts", [1, 2, 7])
def test_the_last_error_is_raised_after_as_many_attempts_as_allowed(max_attempts):
    errors = [busy(kind=f"trouble-{i}") for i in range(max_attempts)]
    error, _, n_calls = ask_timed([*errors, "Yes"], max_attempts=max_attempts)
    assert error is errors[-1]
    assert n_calls == error.attempts == max_attempts
    assert error.troubles == tuple(f"trouble-{i}" for i in range(max_attempts - 1))


@pytest.mark.parametrize("final", [RequestRejected("no"), BackendUnusable("wrong key"), RunStopped("budget")])
@pytest.mark.parametrize("n_failures", [0, 1, 3])
def test_what_trying_again_cannot_help_ends_the_attempts_and_is_counted_exactly(final, n_failures):
    final = type(final)(*final.args)
    error, _, n_calls = ask_timed([*[busy() for _ in range(n_failures)], final, "Yes"])
    assert error is final
    assert n_calls == n_failures + 1
    # A stopped run sends no request: that one is no attempt.
    assert error.attempts == n_failures + (not isinstance(final, RunStopped))
    assert error.troubles == ("rate_limit",) * n_failures


def test_an_error_that_is_raised_again_and_again_is_counted_anew_each_time():
    same = BackendUnusable("wrong key")
    backend = ScriptedBackend([busy(), busy(), same, busy(), same])

    async def ask():
        retry, attempts = Retry(backend), []
        for _ in range(2):
            with pytest.raises(BackendUnusable):
                await retry.complete(ASK)
            attempts.append(same.attempts)
        return attempts

    assert run_in_virtual_time(ask()) == [3, 2]


def test_a_bug_passes_through_at_once():
    error, took_s, n_calls = ask_timed([busy(), InternalError("a bug"), "Yes"])
    assert isinstance(error, InternalError)
    assert n_calls == 2
    assert took_s <= 1.0


@given(hint_s=st.floats(0, 1e5) | st.none(), max_wait_s=st.floats(0.1, 100.0), n=st.integers(1, 8))
def test_a_wait_is_the_longer_of_the_servers_hint_and_a_bounded_doubling_one(hint_s, max_wait_s, n):
    _, took_s, _ = ask_timed(
        [*[busy(hint_s)] * n, "Yes"], max_attempts=n + 1, max_wait_s=max_wait_s, give_up_after_s=1e9
    )
    wholes = [min(2.0**i, max_wait_s) for i in range(n)]
    lowest = math.fsum(max(hint_s or 0.0, whole / 2) for whole in wholes)
    highest = math.fsum(max(hint_s or 0.0, whole) for whole in wholes)
    assert lowest - 1e-6 <= took_s <= highest + 1e-6


@pytest.mark.parametrize("hint_s", [math.nan, -5.0, 0.0])
def test_a_hint_that_is_none_is_passed_over(hint_s):
    reply, took_s, _ = ask_timed([busy(hint_s), "Yes"])
    assert reply.attempts == 2
    assert 0.5 <= took_s <= 1.0


def test_no_attempt_begins_later_than_allowed():
    async def slow(_):
        await asyncio.sleep(100.0)
        return busy(kind="timeout")

    error, took_s, n_calls = ask_timed(slow, max_attempts=100, max_wait_s=1.0, give_up_after_s=900.0)
    # The first failure is at 100 s, the last attempt begins before 1000 s and takes another 100 s.
    assert 1000.0 < took_s <= 1100.0
    assert n_calls == error.attempts == 9 + 1


def test_a_hint_beyond_the_allowed_time_ends_the_attempts_without_a_wait():
    error, took_s, n_calls = ask_timed([busy(901.0), "Yes"], give_up_after_s=900.0)
    assert (error.kind, took_s, n_calls) == ("rate_limit", 0.0, 1)


@pytest.mark.parametrize("hint_s", [1e11, 1e17, 1e300])
def test_a_pause_beyond_all_calendars_stops_the_run_like_any_that_is_too_long(hint_s):
    error, took_s, n_calls = ask_timed([busy(hint_s), "Yes"], give_up_after_s=900.0)
    assert isinstance(error, BackendUnusable)
    assert "left alone until" in str(error)
    assert (took_s, n_calls) == (0.0, 1)


def test_time_in_line_for_a_permit_is_no_reason_to_give_up():
    async def behind_a_long_line(_):
        await asyncio.sleep(3600.0)
        error = busy(kind="timeout")
        error.took_s = 1.0
        return error

    error, took_s, n_calls = ask_timed(behind_a_long_line, max_attempts=5, give_up_after_s=60.0)
    assert n_calls == error.attempts == 5
    assert took_s > 5 * 3600.0


def test_the_waits_of_many_requests_are_spread():
    asked_at = []

    async def record(_):
        asked_at.append(asyncio.get_running_loop().time())
        return busy(kind="broken")

    async def ask():
        retry = Retry(ScriptedBackend(record), max_attempts=2)
        await asyncio.gather(*(retry.complete(ASK) for _ in range(100)), return_exceptions=True)

    run_in_virtual_time(ask())
    again = asked_at[100:]
    assert len(set(again)) == 100
    # Uniform on [0.5, 1): the largest of the 101 gaps beyond 0.06 has a chance of e^-10.
    assert max(b - a for a, b in zip([0.5, *sorted(again)], [*sorted(again), 1.0], strict=True)) < 0.06


@given(
    fates=st.lists(
        st.tuples(
            st.lists(st.sampled_from(["rate_limit", "timeout", "broken"]), max_size=5),
            st.sampled_from(["Yes", "rejected", "stopped"]),
        ),
        max_size=8,
    )
)
def test_concurrent_requests_never_mix(fates):
    """Each request has a fate of its own; whatever the others do, its reply or error tells just that."""
    asked = [0] * len(fates)

    async def answer(request):
        number = request.seed
        kinds, end = fates[number]
        turn = asked[number]
        asked[number] += 1
        await asyncio.sleep(0.1 * (number % 3))
        if turn < len(kinds):
            return busy(kind=kinds[turn])
        return {"Yes": f"Yes {number}", "rejected": RequestRejected("no"), "stopped": RunStopped("budget")}[
            end
        ]

    async def ask():
        retry = Retry(ScriptedBackend(answer), max_attempts=6)
        return await asyncio.gather(
            *(retry.complete(ASK._replace(seed=number)) for number in range(len(fates))),
            return_exceptions=True,
        )

    for number, outcome in enumerate(run_in_virtual_time(ask())):
        kinds, end = fates[number]
        assert outcome.troubles == tuple(kinds)
        assert outcome.attempts == len(kinds) + (end != "stopped")
        assert end != "Yes" or outcome.texts == (f"Yes {number}",)


def test_each_request_waits_as_long_as_it_was_told_itself():
    """The n-th is told three times to come back in 10 n seconds, while the others are told theirs."""
    asked_at = [[] for _ in range(10)]

    def answer(request):
        asked_at[request.seed].append(asyncio.get_running_loop().time())
        return busy(10.0 * (request.seed + 1)) if len(asked_at[request.seed]) <= 3 else "Yes"

    async def ask():
        retry = Retry(ScriptedBackend(answer))
        await asyncio.gather(*(retry.complete(ASK._replace(seed=number)) for number in range(10)))

    run_in_virtual_time(ask())
    assert asked_at == [pytest.approx([10.0 * (n + 1) * i for i in range(4)]) for n in range(10)]


def test_a_cancelled_request_is_not_tried_again():
    backend = ScriptedBackend(lambda _: busy())

    async def ask():
        task = asyncio.create_task(Retry(backend, max_attempts=100).complete(ASK))
        await asyncio.sleep(10.0)
        task.cancel()
        n_calls = len(backend.requests)
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(1000.0)
        assert len(backend.requests) == n_calls > 1

    run_in_virtual_time(ask())


def test_a_request_cancelled_while_it_is_tried_again_is_cancelled():
    async def hang(request):
        if len(backend.requests) == 1:
            return busy()
        await asyncio.sleep(1e6)
        return "Yes"

    backend = ScriptedBackend(hang)

    async def ask():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100.0):
                await Retry(backend).complete(ASK)

    run_in_virtual_time(ask())
    assert len(backend.requests) == 2


def test_it_is_named_like_the_inner_backend_and_closes_it():
    backend = ScriptedBackend([], name="inner", model_name="inner-1")
    retry = Retry(backend)
    run_in_virtual_time(retry.aclose())
    assert (retry.name, retry.model_name, backend.closed) == ("inner", "inner-1", True)


# A server that is not there


def away():
    return ServerUnreachable("connection refused", kind="refused")


def test_a_server_that_was_never_reached_makes_the_backend_unusable_after_the_attempts_allowed():
    error, took_s, n_calls = ask_timed(lambda _: away(), max_attempts=4)
    assert (type(error), error.kind, n_calls) == (BackendUnusable, "refused", 4)
    # Nobody was asked, so these are no calls.
    assert (error.attempts, error.troubles) == (0, ("refused",) * 3)
    assert took_s <= 1 + 2 + 4
    assert "connection refused; tried 4 times: resume the run" in str(error)


def answer_then(script):
    """Ask twice; the first is answered. Give the outcome of the second, its seconds, and its calls."""
    backend = ScriptedBackend(["Yes", *script] if isinstance(script, list) else first_then(script))

    async def ask():
        retry = Retry(backend, max_attempts=3, max_wait_s=8.0, give_up_after_s=200.0)
        await retry.complete(ASK)
        return await asyncio.gather(retry.complete(ASK), return_exceptions=True)

    [outcome], took_s = timed_in_virtual_time(ask())
    return outcome, took_s, len(backend.requests) - 1


def first_then(later):
    asked = []
    return lambda request: later(request) if asked else asked.append(request) or "Yes"


def test_the_return_of_a_server_that_has_answered_is_waited_for_beyond_the_attempts_allowed():
    reply, took_s, n_calls = answer_then([away() for _ in range(20)] + ["Yes"])
    assert (reply.texts, reply.attempts, n_calls) == (("Yes",), 1, 21)
    assert 60 < took_s < 200


def test_a_server_that_stays_away_makes_the_backend_unusable_in_the_time_allowed():
    error, took_s, n_calls = answer_then(lambda _: away())
    assert isinstance(error, BackendUnusable)
    assert 180 < took_s <= 200
    assert (error.attempts, n_calls > 3) == (0, True)


@pytest.mark.parametrize("n_away", [0, 1, 7])
def test_attempts_that_reach_nobody_do_not_count_among_those_allowed(n_away):
    broken = [busy(kind="broken"), busy(kind="broken")]
    script = [broken[0], *[away() for _ in range(n_away)], broken[1], busy(kind="timeout"), "Yes"]
    error, _, n_calls = answer_then(script)
    assert (type(error), error.kind, n_calls) == (TransientError, "timeout", n_away + 3)


def metered(error, prompt_tokens, completion_tokens):
    error.prompt_tokens, error.completion_tokens = prompt_tokens, completion_tokens
    return error


@pytest.mark.parametrize("end", [Reply(("Yes",), 11, 2, "m"), metered(RequestRejected("no"), 11, 2)])
def test_tokens_of_the_attempts_before_count_to_how_a_request_ends(end):
    garbled = [metered(busy(kind="garbled"), n, 3) for n in (5, 7)]
    outcome, _, _ = ask_timed([garbled[0], busy(kind="timeout"), garbled[1], end])
    assert (outcome.attempts, outcome.prompt_tokens, outcome.completion_tokens) == (4, 23, 8)


def test_tokens_of_all_attempts_count_to_the_last_of_them():
    outcome, _, _ = ask_timed([metered(busy(kind="garbled"), n, 1) for n in (5, 7, 9)], max_attempts=3)
    assert (outcome.attempts, outcome.prompt_tokens, outcome.completion_tokens) == (3, 21, 3)


class LooksInVain(ScriptedBackend):
    """Tries out two variations of what fails, and finds nothing to leave out."""

    async def adapt(self, request, error, ask):
        for seed in (1, 2):
            with contextlib.suppress(TransientError):
                await ask(request._replace(seed=seed))


@pytest.mark.parametrize("end", [Reply(("Yes",), 11, 2, "m"), RequestRejected("no", kind="other")])
def test_calls_that_looked_for_what_is_refused_count_among_the_attempts(end):
    backend = LooksInVain([*[metered(busy(kind="server_error"), 5, 0) for _ in range(4)], end, *["Yes"] * 2])

    async def ask():
        retry = Retry(Adapting(backend, backend, lambda _: None))
        return await asyncio.gather(retry.complete(ASK), return_exceptions=True)

    [outcome] = run_in_virtual_time(ask())
    assert outcome.attempts == len(backend.requests)
    assert outcome.troubles[:4] == ("server_error", "trial", "trial", "server_error")
