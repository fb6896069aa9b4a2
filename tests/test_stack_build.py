"""The whole stack: which wrappers stand in it, in which order, and what that means for a request."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.backend import Backend, Reply, Request, make_backend
from agentnet.config import BackendSettings, StackSettings
from agentnet.config.sections import PriceSettings
from agentnet.errors import (
    BackendUnusable,
    ConfigurationError,
    RequestRejected,
    RunStopped,
    TransientError,
)
from agentnet.stack import Cache, LimitChange, Retry, Spent, Throttle, build_stack, cache_scope
from agentnet.testing import ScriptedBackend, check_backend, run_in_virtual_time

ASK = Request((("user", "Do you share it?"),), max_tokens=10)
NOWHERE = Path("/nonexistent")


def now():
    return asyncio.get_running_loop().time()


def stacked(backend, folder=NOWHERE, in_flight=8, scope="", **settings):
    spent, tell, complain = (settings.pop(name, None) for name in ("spent", "tell", "complain"))
    return build_stack(
        backend,
        StackSettings(**{"cache": folder is not NOWHERE, **settings}),
        scope=scope,
        cache_folder=folder,
        in_flight=in_flight,
        spent=spent,
        tell=tell,
        complain=complain,
    )


async def ask_all(backend, count):
    asked = (backend.complete(ASK._replace(seed=i)) for i in range(count))
    return await asyncio.gather(*asked, return_exceptions=True)


def test_the_wrappers_stand_in_order(tmp_path):
    stack = stacked(ScriptedBackend([]), tmp_path, requests_per_minute=60)
    kinds, inner = [], stack.backend
    while hasattr(inner, "_inner"):
        kinds.append(type(inner).__name__)
        inner = inner._inner
    assert kinds == ["Cache", "Retry", "Budget", "Throttle", "AdaptiveLimit"]
    assert isinstance(stack.backend, Cache)
    assert stack.backend is stack.cache
    assert isinstance(stack.backend, Backend)
    asyncio.run(stack.backend.aclose())


@pytest.mark.parametrize("rate", [{}, {"requests_per_minute": 1e9, "tokens_per_minute": 1e12}])
@pytest.mark.parametrize("is_bounded", [False, True])
def test_a_place_that_becomes_free_is_taken_at_once(rate, is_bounded):
    """Nothing that stands between an answer and the next request waits for a clock."""

    async def answer(_):
        await asyncio.sleep(0.25)
        return "Yes"

    async def main():
        bounds = {"max_calls": 10**9, "max_tokens": 10**12} if is_bounded else {}
        stack = stacked(ScriptedBackend(answer), in_flight=32, **bounds, **rate)
        await stack.backend.complete(ASK)
        begun = now()
        replies = await ask_all(stack.backend, 320)
        await stack.backend.aclose()
        return now() - begun, {reply.texts for reply in replies}

    assert run_in_virtual_time(main()) == (2.5, {("Yes",)})


def test_wrappers_that_are_switched_off_are_left_out():
    stack = stacked(ScriptedBackend([]))
    assert isinstance(stack.backend, Retry)
    assert stack.cache is None
    assert stack.budget._inner is stack.limit
    assert isinstance(stacked(ScriptedBackend([]), tokens_per_minute=60).budget._inner, Throttle)


def test_closing_the_stack_closes_the_plug_in():
    backend = ScriptedBackend([])
    run_in_virtual_time(stacked(backend, requests_per_minute=60, max_calls=1).backend.aclose())
    assert backend.closed


def test_a_hit_costs_no_permit_and_no_money(tmp_path):
    async def main():
        backend = ScriptedBackend(["Yes"])
        stack = stacked(backend, tmp_path, requests_per_minute=0.001, max_calls=1)
        replies = [await stack.backend.complete(ASK) for _ in range(3)]
        await stack.backend.aclose()
        return replies, stack.budget.spent.calls

    replies, n_calls = asyncio.run(main())
    assert [reply.cached for reply in replies] == [False, True, True]
    assert n_calls == 1


def test_each_retry_takes_a_permit_and_is_paid():
    times = []

    def answer(_):
        times.append(now())
        return TransientError("broken")

    async def main():
        stack = stacked(ScriptedBackend(answer), requests_per_minute=1, max_calls=3)
        with pytest.raises(RunStopped) as stopped:
            await stack.backend.complete(ASK)
        return stopped.value

    stopped = run_in_virtual_time(main())
    assert times == pytest.approx([0.0, 60.0, 120.0], abs=0.1)
    assert (stopped.attempts, stopped.troubles) == (3, ("transient",) * 3)


RATES = pytest.mark.parametrize("rates", [{}, {"requests_per_minute": 6000}, {"tokens_per_minute": 1e6}])


@RATES
def test_a_429_holds_everybody_with_a_throttle_and_without_but_for_a_few_probes(rates):
    times, changes = [], []

    async def answer(request):
        times.append(now())
        await asyncio.sleep(1.0)
        if now() <= 31.0:
            return TransientError("busy", kind="rate_limit", retry_after_s=31.0 - times[0])
        return "Yes"

    async def main():
        stack = stacked(ScriptedBackend(answer), tell=changes.append, **rates)
        return await ask_all(stack.backend, 50)

    replies = run_in_virtual_time(main())
    assert all(isinstance(reply, Reply) for reply in replies)
    assert times[7] < 1.0
    probes = [at for at in times[8:] if at < 30.0]
    assert probes == pytest.approx([3.0, 8.0, 17.0], abs=0.3)
    assert all(at > 31.0 for at in times[11:])
    assert changes[:3] == [LimitChange(4, "rate_limit"), LimitChange(0, "paused"), LimitChange(4, "resumed")]


@RATES
@pytest.mark.parametrize(("at_once", "in_flight"), [(1, 8), (2, 64), (5, 24)])
def test_a_limit_of_requests_at_once_lowers_the_number_in_flight_whatever_it_hints_at(
    at_once, in_flight, rates
):
    """A place is free in half a second; the server says a minute."""
    inside, n_refused, changes = 0, 0, []

    async def answer(_):
        nonlocal inside, n_refused
        if inside >= at_once:
            n_refused += 1
            raise TransientError("too many at once", kind="rate_limit", retry_after_s=60.0)
        inside += 1
        await asyncio.sleep(0.5)
        inside -= 1
        return "Yes"

    async def main():
        stack = stacked(ScriptedBackend(answer), in_flight=in_flight, tell=changes.append, **rates)
        replies = await ask_all(stack.backend, 100)
        return replies, now(), stack.limit.limit

    replies, took_s, limit = run_in_virtual_time(main())
    assert all(isinstance(reply, Reply) for reply in replies)
    assert took_s <= 2.0 * 0.5 * 100 / at_once + 30.0
    assert limit <= at_once + 1
    assert n_refused <= 2 * in_flight + 60


@pytest.mark.parametrize("in_flight", [4, 32])
def test_a_limit_of_requests_a_minute_sees_few_probes(in_flight):
    """Sixty a minute, and the hint is the rest of the minute: 240 requests take three minutes and a bit."""
    n_let_in, n_refused = 0, 0

    async def answer(_):
        nonlocal n_let_in, n_refused
        if n_let_in >= 60 * (1 + now() // 60.0):
            n_refused += 1
            raise TransientError("slow down", kind="rate_limit", retry_after_s=60.0 - now() % 60.0)
        n_let_in += 1
        await asyncio.sleep(0.5)
        return "Yes"

    async def main():
        stack = stacked(ScriptedBackend(answer), in_flight=in_flight)
        return await ask_all(stack.backend, 240), now()

    replies, took_s = run_in_virtual_time(main())
    assert all(isinstance(reply, Reply) for reply in replies)
    assert took_s <= 3 * 60.0 * 1.25 + 15.0
    # At the end of each minute those that were in flight together, and four probes.
    assert n_refused <= 3 * (in_flight + 5)


def test_a_long_line_for_permits_is_no_reason_to_give_up():
    """One request a minute and 30 in line: each waits half an hour for its second try, and gets it."""
    tried = []

    def answer(request):
        tried.append(request.seed)
        return TransientError("broken", kind="broken") if tried.count(request.seed) < 3 else "Yes"

    async def main():
        stack = stacked(ScriptedBackend(answer), in_flight=30, requests_per_minute=1, give_up_after_s=60.0)
        return await ask_all(stack.backend, 30)

    assert [reply.attempts for reply in run_in_virtual_time(main())] == [3] * 30


@given(
    fates=st.lists(
        st.lists(st.sampled_from(["rate_limit", "timeout", "hint", "rejected"]), max_size=4), max_size=25
    ),
    latency_s=st.floats(0, 5),
    settings=st.fixed_dictionaries(
        {},
        optional={
            "requests_per_minute": st.floats(10, 1e4),
            "tokens_per_minute": st.floats(1e3, 1e6),
            "max_in_flight": st.integers(1, 10),
            "max_calls": st.integers(0, 60),
            "max_tokens": st.integers(0, 5000),
            "max_attempts": st.integers(1, 6),
        },
    ),
)
def test_whatever_happens_every_request_comes_to_an_end_within_all_bounds(fates, latency_s, settings):
    asked, inside, peak = [0] * len(fates), 0, 0

    async def answer(request):
        nonlocal inside, peak
        inside += 1
        peak = max(peak, inside)
        await asyncio.sleep(latency_s)
        inside -= 1
        turn = asked[request.seed]
        asked[request.seed] += 1
        match fates[request.seed][turn : turn + 1]:
            case []:
                return Reply(("Yes",), 20, 5)
            case ["rejected"]:
                return RequestRejected("no")
            case ["hint"]:
                return TransientError("busy", kind="rate_limit", retry_after_s=7.0)
            case [kind]:
                return TransientError("busy", kind=kind)

    async def main():
        stack = stacked(ScriptedBackend(answer), **settings)
        return stack, await ask_all(stack.backend, len(fates))

    stack, outcomes = run_in_virtual_time(main())
    spent = stack.budget.spent
    assert spent.calls == sum(asked) <= settings.get("max_calls", 1e9)
    assert spent.prompt_tokens + spent.completion_tokens <= settings.get("max_tokens", 1e9)
    assert peak <= min(8, settings.get("max_in_flight", 8))
    assert stack.limit.in_flight == 0
    for number, outcome in enumerate(outcomes):
        # A busy server is waited for, once it has answered; else the attempts are bounded, and the run stops.
        n_busy = sum(kind in {"rate_limit", "hint"} for kind in fates[number])
        assert outcome.attempts == asked[number] <= settings.get("max_attempts", 6) + n_busy
        assert isinstance(outcome, Reply | RequestRejected | TransientError | RunStopped | BackendUnusable)
        assert not isinstance(outcome, BackendUnusable) or n_busy
        if isinstance(outcome, RunStopped):
            assert "max_calls" in settings or "max_tokens" in settings


def test_one_stack_serves_one_event_loop_after_the_other(tmp_path):
    backend = ScriptedBackend(lambda _: "Yes")
    stack = stacked(backend, tmp_path, requests_per_minute=1e6, max_calls=100)
    for _ in range(2):
        assert len(asyncio.run(ask_all(stack.backend, 5))) == 5
    asyncio.run(stack.backend.aclose())
    assert len(backend.requests) == 5


def test_the_stack_around_the_mock_keeps_the_contract_of_a_backend(tmp_path):
    folders = iter(range(1000))

    def make():
        mock = make_backend("mock", {})
        return stacked(mock, tmp_path / str(next(folders)), max_calls=1000, tokens_per_minute=1e7).backend

    check_backend(make, deterministic=True)


def test_the_in_flight_limit_is_the_engines_or_a_smaller_one_of_the_user():
    assert stacked(ScriptedBackend([]), in_flight=64).limit.limit == 64
    assert stacked(ScriptedBackend([]), in_flight=64, max_in_flight=10).limit.limit == 10
    assert stacked(ScriptedBackend([]), in_flight=64, max_in_flight=100).limit.limit == 64
    assert stacked(ScriptedBackend([]), in_flight=64, start_in_flight=5).limit.limit == 5
    assert stacked(ScriptedBackend([]), in_flight=2, start_in_flight=5, min_in_flight=4).limit.limit == 2


def test_the_lowest_limit_is_not_above_what_the_engine_has_in_flight():
    backend = ScriptedBackend(lambda _: TransientError("busy", kind="overloaded"))
    stack = stacked(backend, in_flight=2, min_in_flight=4, max_attempts=1)
    run_in_virtual_time(ask_all(stack.backend, 2))
    assert stack.limit.limit == 2


def test_the_throttle_holds_its_permits_back_during_a_pause():
    """After a pause they come at the permitted rate, not as many at once as the pause had room for."""
    times = []

    def answer(_):
        times.append(now())
        if len(times) == 1:
            return TransientError("busy", kind="rate_limit", retry_after_s=1e9)
        return "Yes"

    async def main():
        # No longer than a request would wait for its next attempt.
        stack = stacked(ScriptedBackend(answer), in_flight=50, requests_per_minute=60, give_up_after_s=80.0)
        await ask_all(stack.backend, 20)

    run_in_virtual_time(main())
    assert 80.0 <= times[1] <= 1.25 * 80.0 + 1.0
    assert all(b - a > 0.99 for a, b in pairwise(times[1:]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"min_in_flight": 5, "max_in_flight": 4},
            r"stack\.min_in_flight = 5 is above stack\.max_in_flight = 4",
        ),
        ({"start_in_flight": 5, "max_in_flight": 4}, r"stack\.start_in_flight = 5 is above"),
        (
            {"min_in_flight": 5, "start_in_flight": 4},
            r"stack\.min_in_flight = 5 is above stack\.start_in_flight",
        ),
    ],
)
def test_limits_that_contradict_each_other_are_an_error(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        stacked(ScriptedBackend([]), **settings)


def test_the_users_price_bounds_the_money():
    backend = ScriptedBackend(lambda _: Reply(("Yes",), 100, 10), model_name="local")
    with pytest.raises(ConfigurationError, match="'local' is unknown"):
        stacked(backend, max_cost=1.0)
    stack = stacked(
        backend,
        max_cost=1.0,
        prices={"local": PriceSettings(input=1000.0, output=10_000.0)},
        spent=Spent(3, 0, 0, 0.5),
    )
    outcomes = run_in_virtual_time(ask_all(stack.backend, 3))
    assert [type(outcome) for outcome in outcomes].count(Reply) == 2
    assert stack.budget.spent == Spent(5, 200, 20, pytest.approx(0.9), 0)


def test_the_cache_lives_where_the_settings_say(tmp_path):
    stack = stacked(ScriptedBackend([]), tmp_path / "default", cache_folder=tmp_path / "mine")
    asyncio.run(stack.backend.aclose())
    assert (tmp_path / "mine" / "cache.db").exists()
    assert not (tmp_path / "default").exists()


def test_a_backend_states_its_own_scope():
    backend = ScriptedBackend([])
    backend.scope = "http://localhost:8000"
    assert cache_scope(backend, BackendSettings(name="x", colour="red")) == "http://localhost:8000"


def test_else_every_option_that_may_decide_a_reply_is_part_of_it():
    def scope(**options):
        return cache_scope(ScriptedBackend([]), BackendSettings(name="mock", **options))

    assert scope(law="constant", probability=0.2) != scope(law="constant", probability=0.8)
    assert scope(law="a", probability=0.2) == scope(probability=0.2, law="a")
    assert scope(law="a", latency_s=1.0) == scope(law="a")
    assert len({scope(), scope(base_url="http://a"), scope(base_url="http://b"), scope(endpoints=["a"])}) == 4


def test_a_mock_with_another_law_is_not_answered_from_the_first_ones_replies(tmp_path):
    def ask(probability):
        options = {"law": "constant", "probability": probability}
        scope = cache_scope(make_backend("mock", options), BackendSettings(name="mock", **options))

        async def main():
            stack = stacked(make_backend("mock", options), tmp_path, scope=scope)
            replies = await ask_all(stack.backend, 5)
            await stack.backend.aclose()
            return {reply.texts[0] for reply in replies}

        return asyncio.run(main())

    assert (ask(1.0), ask(0.0), ask(1.0)) == ({"Yes"}, {"No"}, {"Yes"})


def test_damage_and_changes_of_the_limit_are_told(tmp_path):
    stack = stacked(ScriptedBackend([]), tmp_path, tell=print, complain=repr)
    assert stack.limit._tell is print
    assert stack.cache._complain is repr
    asyncio.run(stack.backend.aclose())
