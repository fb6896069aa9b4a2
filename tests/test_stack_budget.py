"""The budget: a hard bound on calls, tokens and money that waits for those in flight, then stops the run."""

import asyncio
import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentnet.backend import Reply, Request
from agentnet.errors import (
    ConfigurationError,
    PluginError,
    RequestRejected,
    RunStopped,
    ServerUnreachable,
    StorageError,
    TransientError,
)
from agentnet.stack import Budget, Price, PromptTokens, Retry, Spent
from agentnet.testing import ScriptedBackend, run_in_virtual_time

ASK = Request((("user", "Do you share it?"),), max_tokens=10)
PRICE = Price(0.15, 0.6)


def asked_for(*requests, backend, **bounds):
    """Ask all at once; give the outcomes and the budget."""

    async def ask():
        budget = Budget(backend, **{"price": PRICE, **bounds})
        return budget, await asyncio.gather(*map(budget.complete, requests), return_exceptions=True)

    budget, outcomes = run_in_virtual_time(ask())
    return outcomes, budget


def count(outcomes, kind):
    return sum(isinstance(outcome, kind) for outcome in outcomes)


def metered(prompt=100, completion=10):
    return Reply(("Yes",), prompt, completion)


calls = st.tuples(
    st.integers(0, 3),  # latency
    st.integers(0, 300),  # characters of the prompt
    st.integers(1, 3),  # samples
    st.integers(1, 50),  # max_tokens
    st.floats(0, 1),  # share of the worst case that is used
    st.sampled_from(["Yes"] * 5 + ["transient", "rejected", "uncounted"]),
)


@given(
    calls=st.lists(calls, max_size=40),
    max_calls=st.integers(0, 30) | st.none(),
    max_tokens=st.integers(0, 10_000) | st.none(),
    max_dollars=st.floats(0, 1e-2) | st.none(),
    earlier=st.builds(
        Spent,
        *(st.integers(0, 10), st.integers(0, 3000), st.integers(0, 300), st.floats(0, 1e-3) | st.none()),
        unpriced=st.just(0),
    ),
    prices=st.tuples(st.floats(0, 100), st.floats(0, 100)),
    cancelled=st.sets(st.integers(0, 39)),
)
@example([(1, 0, 1, 1, 1.0, "Yes")] * 3, 2, None, None, Spent(), (0.1, 0.1), set())
def test_no_bound_is_ever_exceeded(calls, max_calls, max_tokens, max_dollars, earlier, prices, cancelled):
    """However many requests are in flight, and whatever becomes of them."""
    tokens = PromptTokens()
    sent = []

    async def answer(request):
        sent.append(request.seed)
        latency, _, _, _, share, fate = calls[request.seed]
        await asyncio.sleep(latency)
        if fate == "transient":
            raise TransientError("broken")
        if fate == "rejected":
            raise RequestRejected("no")
        if fate == "uncounted":
            return Reply(("Y",))
        return Reply(("Yes",), int(share * tokens.most(request)), int(share * request.n * request.max_tokens))

    def over(spent):
        return (
            (max_calls is not None and spent.calls > max_calls)
            or (max_tokens is not None and spent.prompt_tokens + spent.completion_tokens > max_tokens)
            or (max_dollars is not None and spent.dollars > max_dollars)
        )

    async def play():
        budget = Budget(
            ScriptedBackend(answer),
            price=Price(*prices),
            spent=earlier,
            max_calls=max_calls,
            max_tokens=max_tokens,
            max_dollars=max_dollars,
        )
        is_over_already = over(budget.spent)
        tasks = [
            asyncio.create_task(
                budget.complete(Request((("user", "é" * length),), n=n, max_tokens=most, seed=i))
            )
            for i, (_, length, n, most, _, _) in enumerate(calls)
        ]
        await asyncio.sleep(0.5)
        for i in cancelled:
            if i < len(tasks):
                tasks[i].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert not over(budget.spent) or is_over_already
        assert not (is_over_already and sent)
        assert budget._reserved == (0, 0, 0, 0)
        assert budget.spent.calls == earlier.calls + len(sent)
        return outcomes

    for i, outcome in enumerate(run_in_virtual_time(play())):
        is_stopped = isinstance(outcome, RunStopped)
        assert is_stopped != (i in sent) or (i in cancelled and not is_stopped)


def test_what_is_left_is_used_up():
    """Ten calls are allowed, and twenty asked for: ten are made, though all are asked for at once."""
    backend = ScriptedBackend(lambda _: metered())
    outcomes, budget = asked_for(*[ASK] * 20, backend=backend, max_calls=10)
    assert (count(outcomes, Reply), count(outcomes, RunStopped)) == (10, 10)
    assert budget.spent.calls == len(backend.requests) == 10


def test_a_request_waits_for_those_in_flight_when_only_their_worst_case_is_in_its_way():
    """1000 tokens for requests that reserve 300 each and use 50: three at once, and all in the end."""
    inside, peak = 0, 0

    async def answer(_):
        nonlocal inside, peak
        inside += 1
        peak = max(peak, inside)
        await asyncio.sleep(1.0)
        inside -= 1
        return Reply(("Yes",), 0, 50)

    request = Request((), max_tokens=300 - PromptTokens().most(Request(())))
    outcomes, budget = asked_for(*[request] * 10, backend=ScriptedBackend(answer), max_tokens=1000)
    assert count(outcomes, Reply) == 10
    assert peak == 3
    assert budget.spent.completion_tokens == 500


def test_those_who_wait_are_served_in_order_of_arrival():
    async def answer(request):
        await asyncio.sleep(1.0)
        return Reply(("Yes",), 0, 1)

    backend = ScriptedBackend(answer)
    big, small = ASK._replace(max_tokens=500), ASK._replace(max_tokens=1)
    requests = [big, big, small, big, small, small]
    requests = [request._replace(seed=i) for i, request in enumerate(requests)]
    asked_for(*requests, backend=backend, max_tokens=700)
    assert [request.seed for request in backend.requests] == list(range(6))


def test_when_the_first_in_line_gives_up_the_next_one_moves_up_at_once():
    async def answer(request):
        await asyncio.sleep(100.0 if request.seed == 0 else 1.0)
        return Reply(("Yes",), 0, 1)

    async def play():
        backend = ScriptedBackend(answer)
        budget = Budget(backend, price=None, max_tokens=1000)
        wanted = [
            ASK._replace(seed=0, max_tokens=500),
            ASK._replace(seed=1, max_tokens=800),
            ASK._replace(seed=2),
        ]
        # One by one until a first reply shows what calls take.
        await budget.complete(ASK._replace(seed=9))
        tasks = [asyncio.create_task(budget.complete(request)) for request in wanted]
        await asyncio.sleep(1.0)
        assert [request.seed for request in backend.requests] == [9, 0]
        tasks[1].cancel()
        await asyncio.sleep(1.0)
        assert [request.seed for request in backend.requests] == [9, 0, 2]
        await asyncio.gather(*tasks, return_exceptions=True)

    run_in_virtual_time(play())


def test_a_place_handed_to_somebody_who_gives_up_at_that_moment_is_not_lost():
    """0 ends and lets 1 and 2 in; 1 is asked first and cancels 2, whose place then is 3's."""
    tasks = []

    async def answer(request):
        if request.seed == 1:
            tasks[2].cancel()
        await asyncio.sleep(1.0)
        return Reply(("Yes",), 0, 0)

    backend = ScriptedBackend(answer)

    async def play():
        budget = Budget(backend, price=None, max_tokens=1000)
        sizes = [700, 300, 300, 500]
        tasks.extend(
            asyncio.create_task(budget.complete(Request((), seed=i, max_tokens=size)))
            for i, size in enumerate(sizes)
        )
        await asyncio.wait(tasks)
        assert tasks[2].cancelled()
        assert budget._reserved == (0, 0, 0, 0)

    run_in_virtual_time(play())
    assert [request.seed for request in backend.requests] == [0, 1, 3]


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (
            {"max_calls": 0},
            "0 calls spent, and the next call's worst case would go over 0; .* stack.max_calls",
        ),
        ({"max_tokens": 5}, "0 tokens spent, .* would go over 5; .* stack.max_tokens"),
        ({"max_dollars": 1e-6}, r"\$0.0000 spent, .* would go over \$1e-06; .* stack.max_cost"),
    ],
)
def test_a_stop_says_what_was_spent_and_what_to_raise(bounds, message):
    [outcome], _ = asked_for(ASK, backend=ScriptedBackend([]), **bounds)
    assert isinstance(outcome, RunStopped)
    with pytest.raises(RunStopped, match=message):
        raise outcome


def test_it_counts_on_from_what_earlier_sittings_spent():
    earlier = Spent(calls=9, prompt_tokens=1000, completion_tokens=100, dollars=0.5, unmetered=1)
    outcomes, budget = asked_for(
        ASK, ASK, backend=ScriptedBackend(lambda _: metered()), spent=earlier, max_calls=10
    )
    assert (count(outcomes, Reply), count(outcomes, RunStopped)) == (1, 1)
    assert budget.spent == Spent(10, 1100, 110, 0.5 + PRICE.cost(100, 10), 1)


def test_an_earlier_cost_that_is_unknown_is_computed_by_todays_price():
    earlier = Spent(calls=2, prompt_tokens=10**6, completion_tokens=10**6)
    _, budget = asked_for(backend=ScriptedBackend([]), spent=earlier)
    assert budget.spent.dollars == pytest.approx(0.75)


def test_money_is_counted_exactly_over_many_calls():
    _, budget = asked_for(*[ASK] * 1000, backend=ScriptedBackend(lambda _: metered(7, 3)))
    assert budget.spent == Spent(1000, 7000, 3000, PRICE.cost(7000, 3000), 0)


def test_an_unknown_price_is_an_error_only_where_money_is_bounded():
    backend = ScriptedBackend(lambda _: metered(), model_name="secret-model")
    [outcome], budget = asked_for(ASK, backend=backend, price=None, max_calls=5)
    assert outcome == metered()
    assert budget.spent.dollars is None
    with pytest.raises(
        ConfigurationError, match=r"'secret-model' is unknown.*stack\.prices\.\"secret-model\""
    ):
        Budget(backend, price=None, max_dollars=1.0)


def test_failed_calls_count_as_calls():
    troubles = [TransientError("broken"), RequestRejected("no"), "Yes"]
    _, budget = asked_for(*[ASK] * 3, backend=ScriptedBackend(troubles))
    assert budget.spent.calls == 3


def test_retries_are_paid_too():
    backend = ScriptedBackend(lambda _: TransientError("broken"))

    async def ask():
        budget = Budget(backend, price=None, max_calls=3)
        with pytest.raises(RunStopped) as stopped:
            await Retry(budget, max_attempts=10).complete(ASK)
        return stopped.value

    stopped = run_in_virtual_time(ask())
    assert len(backend.requests) == 3
    assert (stopped.attempts, stopped.troubles) == (3, ("transient",) * 3)


@pytest.mark.parametrize(
    "given",
    [
        None,
        ("Yes",),
        Reply(()),
        Reply((None,)),
        Reply((b"Yes",)),
        Reply(("Yes",), -1, 1),
        Reply(("Yes",), 1, 2.5),
        Reply(("Yes",), 1, 1, None),
        Reply("Yes"),
        Reply(iter(["Yes"])),
        Reply(("Yes",), 10**30),
        Reply(("Yes",), attempts=-3),
        Reply(("Yes",), attempts=1.0),
        Reply(("Yes",), finish="stop"),
        Reply(("Yes",), finish=("stop", "stop")),
        Reply(("Yes",), troubles="odd"),
        Reply(("Yes",), troubles=(3,)),
        Reply(("Yes",), fingerprint=3),
        Reply(("Yes",), cached="no"),
        Reply(("Yes",), took_s=-1.0),
        Reply(("Yes",), took_s=math.nan),
        Reply(("Yes",), took_s="long"),
        Reply(("Yes",), took_s=math.inf),
        Reply(("Yes",), logprobs="Yes"),
        Reply(("Yes",), logprobs={"yes": "much"}),
        Reply(("Yes",), logprobs={"yes": 0.7, "no": 0.3}),
        Reply(("Yes",), logprobs={"yes": -0.1}, unlisted="little"),
    ],
)
def test_what_is_no_reply_is_refused_with_the_backends_name_and_its_call_is_counted(given):
    (outcome,), budget = asked_for(ASK, backend=ScriptedBackend(lambda _: given))
    assert isinstance(outcome, PluginError)
    assert "the backend 'scripted' gave" in str(outcome)
    assert (budget.spent.calls, budget.spent.unmetered) == (1, 1)
    assert budget.spent.prompt_tokens > 0  # as many as it may have cost


def test_replies_without_counts_are_estimated_and_said_to_be():
    replies = [Reply(("y" * 30,)), Reply(("Yes",), 5, None), Reply(("Yes",), None, 5)]
    request = Request((("user", "x" * 300),))
    _, budget = asked_for(*[request] * 3, backend=ScriptedBackend(replies))
    assert budget.spent == Spent(3, 100 + 5 + 100, 10 + 1 + 5, PRICE.cost(205, 16), 3)


def test_once_a_server_has_counted_a_prompt_its_bound_is_exact():
    """900 bytes may be 900 tokens and more; the first reply tells that they are 200."""
    request = Request((("user", "x" * 900),), max_tokens=10)
    backend = ScriptedBackend(lambda _: Reply(("Yes",), 200, 10))

    async def ask():
        budget = Budget(backend, price=None, max_tokens=1260)
        return [await budget.complete(request) for _ in range(6)]

    assert len(run_in_virtual_time(ask())) == 6


@given(text=st.text(max_size=50), schema=st.text(max_size=20) | st.none())
def test_the_bound_of_a_prompt_is_never_below_its_bytes_or_the_guess(text, schema):
    request = Request((("system", text), ("user", text)), schema=schema)
    tokens = PromptTokens()
    n_bytes = 2 * len(text.encode()) + len((schema or "").encode())
    assert tokens.most(request) >= n_bytes
    assert n_bytes / 3 <= tokens.likely(request) <= tokens.most(request)


def test_what_is_learnt_of_prompts_is_bounded():
    tokens = PromptTokens(remembered=3)
    for i in range(10):
        tokens.learn(Request((("user", str(i)),)), 1000 + i)
        assert len(tokens._counts) <= 3
    assert tokens.likely(Request((("user", "9"),))) == 1009


def test_however_many_wait_each_is_looked_at_a_few_times_only():
    """Every reply lets one more in; were all looked at each time, it would be 500 looks for each."""
    looks = 0

    class Watched(Budget):
        def _bound_met(self, load, reserved):
            nonlocal looks
            looks += 1
            return super()._bound_met(load, reserved)

    async def answer(_):
        await asyncio.sleep(0.001)
        return Reply(("Yes",), 0, 0)

    async def ask():
        budget = Watched(ScriptedBackend(answer), price=None, max_tokens=1000)
        return await asyncio.gather(*(budget.complete(Request((), max_tokens=50)) for _ in range(1000)))

    assert len(run_in_virtual_time(ask())) == 1000
    assert looks <= 6 * 1000


def told(error, prompt=None, completion=None, *, may_be_billed=False):
    error.prompt_tokens, error.completion_tokens, error.may_be_billed = prompt, completion, may_be_billed
    return error


WORST = PromptTokens().most(ASK)


@pytest.mark.parametrize("bounds", [{}, {"max_tokens": 10**6}])
@pytest.mark.parametrize(
    ("error", "spent"),
    [
        # What the server told of it, whatever came of it.
        (told(TransientError("no choice", kind="no_choices"), 300, 200), (1, 300, 200)),
        (told(RequestRejected("filtered", kind="content_filter"), 300, 0), (1, 300, 0)),
        (told(TransientError("no choice"), 300, 200, may_be_billed=True), (1, 300, 200)),
        # What it may have done unseen, at its worst.
        (told(TransientError("late", kind="timeout"), may_be_billed=True), (1, WORST, 10)),
        (told(TransientError("no end", kind="truncated"), 300, None, may_be_billed=True), (1, 300, 10)),
        # A plain no.
        (TransientError("slow down", kind="rate_limit"), (1, 0, 0)),
        # Nobody was asked.
        (ServerUnreachable("refused", kind="refused"), (0, 0, 0)),
        (RunStopped("it never fits"), (0, 0, 0)),
        # What nobody foresaw.
        (RuntimeError("oh"), (1, WORST, 10)),
    ],
)
def test_a_failed_call_takes_what_the_server_tells_or_may_have_done(error, spent, bounds):
    def fail(_):
        raise error

    [outcome], budget = asked_for(ASK, backend=ScriptedBackend(fail), **bounds)
    assert outcome is error
    assert budget.spent[:3] == spent


def test_a_call_that_is_cut_off_takes_its_worst_case():
    async def main():
        budget = Budget(ScriptedBackend(lambda _: asyncio.sleep(100.0)), price=PRICE, max_dollars=1.0)
        task = asyncio.create_task(budget.complete(ASK))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait([task])
        return budget.spent

    assert run_in_virtual_time(main()) == Spent(1, WORST, 10, PRICE.cost(WORST, 10), 1)


@pytest.mark.parametrize("bounds", [{"max_dollars": 1.0}, {"max_tokens": 100_000}])
def test_calls_go_one_by_one_until_a_first_reply_shows_what_they_take(bounds):
    begun = []

    async def answer(request):
        begun.append((asyncio.get_running_loop().time(), request.seed))
        await asyncio.sleep(1.0)
        if request.seed < 2:
            raise TransientError("oh", kind="server_error")
        return metered()

    asked_for(*(ASK._replace(seed=i) for i in range(6)), backend=ScriptedBackend(answer), **bounds)
    assert begun == [(0.0, 0), (1.0, 1), (2.0, 2), (3.0, 3), (3.0, 4), (3.0, 5)]


def test_a_bound_on_calls_alone_keeps_nobody_waiting():
    async def answer(_):
        await asyncio.sleep(1.0)
        assert asyncio.get_running_loop().time() == 1.0
        return metered()

    outcomes, _ = asked_for(*[ASK] * 20, backend=ScriptedBackend(answer), max_calls=20)
    assert count(outcomes, Reply) == 20


@given(
    thought=st.integers(0, 2000),
    added=st.integers(0, 2000),
    n=st.integers(1, 4),
    share=st.floats(0.1, 1.0),
    prompts=st.lists(st.integers(0, 200), min_size=2, max_size=30),
)
@example(1000, 0, 1, 0.5, [3] * 20)
@example(0, 1000, 1, 0.5, list(range(20)))
def test_money_holds_with_a_server_that_goes_beyond_what_it_is_allowed(thought, added, n, share, prompts):
    """It thinks as long as it likes, and puts a text of its own before every prompt."""
    billed = []

    def used(request):
        return len(request.messages[0][1]) + added, request.n * (request.max_tokens + thought)

    async def answer(request):
        billed.append(PRICE.cost(*used(request)))
        await asyncio.sleep(1.0)
        return Reply(("Yes",), *used(request))

    requests = [ASK._replace(messages=(("user", "x" * length),), n=n, seed=length) for length in prompts]
    dollars = share * sum(PRICE.cost(*used(request)) for request in requests)
    _, budget = asked_for(*requests, backend=ScriptedBackend(answer), max_dollars=dollars)
    # The first call alone cannot be foreseen.
    assert sum(billed) <= max([dollars, *billed[:1]]) + 1e-12
    assert budget.spent.dollars == pytest.approx(sum(billed))


def pledging(*, delay_s=0.01, **bounds):
    """Ask for much at once; return the pledges, and what was sent when each was the last."""
    pledges, sent = [], []

    async def pledge(most):
        await asyncio.sleep(delay_s)
        pledges.append(most)

    async def answer(request):
        sent.append(len(pledges))
        assert len(sent) <= pledges[-1].calls
        assert len(sent) * 10 <= pledges[-1].completion_tokens
        await asyncio.sleep(1.0 + request.seed % 3)
        if request.seed % 5 == 0:
            raise told(TransientError("late", kind="timeout"), may_be_billed=True)
        return metered(50)

    requests = [ASK._replace(seed=i) for i in range(600)]
    outcomes, budget = asked_for(*requests, backend=ScriptedBackend(answer), pledge=pledge, **bounds)
    return pledges, sent, outcomes, budget


@pytest.mark.parametrize("bounds", [{"max_calls": 400}, {"max_tokens": 20_000}, {"max_dollars": 0.004}])
def test_what_may_be_spent_is_pledged_before_it_is_sent_in_few_pledges_and_within_the_bound(bounds):
    pledges, sent, outcomes, budget = pledging(**bounds)
    assert count(outcomes, RunStopped) > 0
    assert len(sent) == budget.spent.calls
    assert len(pledges) < 100
    assert all(a.calls < b.calls for a, b in pairwise(pledges))
    last = pledges[-1]
    assert all(spent <= most for spent, most in zip(budget.spent[:3], last[:3], strict=True))
    assert last.calls <= bounds.get("max_calls", last.calls)
    assert last.prompt_tokens + last.completion_tokens <= bounds.get("max_tokens", 10**9)
    assert PRICE.cost(*last[1:3]) <= bounds.get("max_dollars", 1.0)


def test_without_a_bound_nothing_is_pledged():
    async def pledge(_):
        raise AssertionError

    outcomes, _ = asked_for(*[ASK] * 3, backend=ScriptedBackend(lambda _: metered()), pledge=pledge)
    assert count(outcomes, Reply) == 3


def test_what_cannot_be_pledged_is_not_sent():
    backend = ScriptedBackend(lambda _: metered())

    async def pledge(_):
        await asyncio.sleep(0.1)
        raise StorageError("the disk is full")

    outcomes, budget = asked_for(*[ASK] * 5, backend=backend, max_calls=100, pledge=pledge)
    assert count(outcomes, StorageError) == 5
    assert backend.requests == []
    assert budget._reserved == (0, 0, 0, 0)


def test_nobody_goes_by_a_pledge_that_a_lower_one_is_about_to_replace():
    sent, pledges = [], []

    async def pledge(most):
        await asyncio.sleep(1.0)
        pledges.append(most.calls)
        assert len(sent) <= most.calls

    async def answer(_):
        sent.append(0)
        assert len(sent) <= pledges[-1]
        await asyncio.sleep(2.0)
        return metered()

    async def main():
        budget = Budget(ScriptedBackend(answer), price=PRICE, max_tokens=20_000, pledge=pledge)
        await budget.complete(ASK)
        long = asyncio.create_task(budget.complete(ASK._replace(max_tokens=9_000)))
        await asyncio.sleep(0.5)
        long.cancel()
        await asyncio.gather(*(budget.complete(ASK) for _ in range(3)))

    run_in_virtual_time(main())
    assert len(sent) == 4
    assert pledges[1] < pledges[0]


def test_who_gives_up_during_a_pledge_does_not_break_it_off_for_others():
    backend = ScriptedBackend(lambda _: metered())

    async def pledge(_):
        await asyncio.sleep(1.0)

    async def main():
        budget = Budget(backend, price=PRICE, max_calls=100, pledge=pledge)
        tasks = [asyncio.create_task(budget.complete(ASK)) for _ in range(3)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        await asyncio.wait(tasks)
        assert asyncio.get_running_loop().time() == 1.0
        return tasks

    tasks = run_in_virtual_time(main())
    assert tasks[0].cancelled()
    assert len(backend.requests) == 2
