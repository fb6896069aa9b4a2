"""Answers that come without a wait pass the wrappers as others do, or are asked for one by one."""

import asyncio
from dataclasses import replace

import pytest

from agentnet import CascadeExperiment
from agentnet.backend import AtOnce, Reply, Request, answer_now, make_backend
from agentnet.errors import RequestRejected, ServerUnreachable, TransientError
from agentnet.events import EventLog, Run
from agentnet.events.log import Writer
from agentnet.runner import Runner
from agentnet.sampler import Thoughts
from agentnet.stack import AdaptiveLimit, Brake, Budget, Price, Retry, Spent
from agentnet.testing import ScriptedBackend, run_in_virtual_time

ASKED = [Request((("user", f"Do you share {n}?"),), seed=n) for n in range(3)]
YES, NO = Reply(("Yes",), 100, 1, "m"), Reply(("No",), 90, 2, "m")
FOUND = AtOnce([YES, NO], [0, 1, 0])


class Instant(ScriptedBackend):
    """Gives what it was made with at once."""

    def __init__(self, script=(), found=FOUND):
        super().__init__(script)
        self.found = found

    def answer_now(self, requests):
        assert len(requests) == len(self.found.which)
        return self.found


def test_a_backend_that_cannot_answers_nothing_at_once():
    assert answer_now(ScriptedBackend([]), ASKED) is None
    assert answer_now(Budget(ScriptedBackend([]), price=None), ASKED) is None


def test_the_budget_counts_what_was_answered_at_once():
    budget = Budget(Instant(), price=Price(1.0, 2.0))
    assert answer_now(budget, ASKED) is FOUND
    assert budget.spent == Spent(3, 290, 4, pytest.approx(290e-6 + 8e-6))


@pytest.mark.parametrize("bound", [{"max_calls": 9}, {"max_tokens": 999}, {"max_dollars": 1.0}])
def test_a_bounded_run_looks_at_each_call(bound):
    budget = Budget(Instant(), price=Price(1.0, 2.0), **bound)
    assert answer_now(budget, ASKED) is None
    assert budget.spent.calls == 0


def test_nothing_is_answered_at_once_before_an_answer_has_come_that_is_no_thought():
    thoughts = Thoughts(Instant([YES]))
    assert answer_now(thoughts, ASKED) is None
    asyncio.run(thoughts.complete(ASKED[0]))
    assert answer_now(thoughts, ASKED) is FOUND


def test_a_thought_among_answers_at_once_is_told_apart():
    thoughts = Thoughts(Instant([YES], AtOnce([YES, Reply(("<think>Yes, I",), 9, 9)], [0, 1, 0])))
    asyncio.run(thoughts.complete(ASKED[0]))
    found = answer_now(thoughts, ASKED)
    assert [reply.finish for reply in found.replies] == [(), ("thought_only",)]


def test_nothing_is_answered_at_once_while_somebody_waits_for_evidence():
    async def main():
        async def script(request):
            if request.draw[0] and request.draw[0][2] == "control":
                return YES
            raise RequestRejected("no", is_sure=False)

        brake = Brake(Instant(script))
        held = asyncio.create_task(brake.complete(ASKED[0]))
        await asyncio.sleep(0)
        assert answer_now(brake, ASKED) is None
        with pytest.raises(RequestRejected):
            await held
        assert answer_now(brake, ASKED) is FOUND

    run_in_virtual_time(main())


def test_who_was_answered_at_once_is_a_control_for_those_that_fail_later():
    async def main():
        asked = []

        async def script(request):
            asked.append(request)
            if request.messages == ASKED[2].messages and request.draw[0]:
                return YES
            raise RequestRejected("no", is_sure=False)

        brake = Brake(Instant(script))
        answer_now(brake, ASKED)
        with pytest.raises(RequestRejected):
            await brake.complete(ASKED[0])
        assert asked[1].messages == ASKED[2].messages

    run_in_virtual_time(main())


def test_nothing_is_answered_at_once_during_a_pause():
    async def main():
        limit = AdaptiveLimit(
            Instant([TransientError("busy", kind="rate_limit", retry_after_s=30.0)]), start=4, highest=4
        )
        assert answer_now(limit, ASKED) is FOUND
        with pytest.raises(TransientError):
            await limit.complete(ASKED[0])
        assert answer_now(limit, ASKED) is None

    run_in_virtual_time(main())


def test_a_server_that_answered_at_once_is_waited_for_like_one_that_answered():
    async def main():
        busy = [ServerUnreachable("back soon") for _ in range(4)]
        server = Instant([*busy, YES])
        retry = Retry(server, max_attempts=2)
        answer_now(retry, ASKED)
        assert (await retry.complete(ASKED[0])).texts == YES.texts
        assert len(server.requests) == 5

    run_in_virtual_time(main())


class OneByOne:
    """The mock, less its way of answering at once."""

    def __init__(self):
        self.inner = make_backend("mock", {})
        self.name, self.model_name = self.inner.name, self.inner.model_name
        self.complete, self.aclose = self.inner.complete, self.inner.aclose
        self.worth_caching = False


WITHOUT_TIMES = "realization, kind, step, agent, source, repeat, prompt, temperature, decision, missing, text"
COSTS = "rationale, model, prompt_tokens, completion_tokens, asks, attempts, cached, context, mass, value"


@pytest.mark.parametrize("knobs", [{}, {"rationale": "afterwards"}, {"steps": 9, "run_ahead": True}])
def test_a_run_answered_at_once_is_recorded_as_one_that_is_not(new_run, knobs):
    engine = {name: knobs.pop(name) for name in ("run_ahead",) if name in knobs}
    found = []
    for made in (OneByOne(), make_backend("mock", {})):
        design = {"items_per_severity": 1, "n_agents": 24, "degree": 3, "steps": 5, "repeats": 2}
        prepared = new_run(CascadeExperiment(**(design | knobs)), seed=3, **engine)
        runner = Runner(prepared, made)
        asyncio.run(runner.play())
        run = Run(prepared.folder)
        query = f"SELECT {WITHOUT_TIMES}, {COSTS} FROM events LEFT JOIN replies USING (reply)"
        spent = run.rows("SELECT detail FROM incidents WHERE kind = 'spent'")[1]
        tally = replace(runner.tally, dollars=None, paused_until=None)
        found.append((run.digest(), run.rows(query)[1], spent, tally))
    assert found[0] == found[1]


def test_who_waits_for_the_log_together_shares_a_commit(new_log, event_row, monkeypatch):
    groups = []
    put = Writer.put

    def noted(self, group):
        groups.append(group.n_rows)
        put(self, group)

    monkeypatch.setattr(Writer, "put", noted)

    async def append(log, step):
        log.add_event(event_row(step=step))
        await log.flush()

    async def main():
        async with EventLog(new_log()) as log:
            waiting = [asyncio.create_task(append(log, step)) for step in range(5)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.gather(*waiting[1:])

    asyncio.run(main())
    assert groups == [5]
