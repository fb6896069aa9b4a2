"""Servers that refuse a part of what is asked: found out by the first request, adapted or said in words."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentnet.backend import Adapts, Reply, Request, make_backend
from agentnet.config import Settings, StackSettings
from agentnet.errors import BackendError, BackendUnusable, RequestRejected, RunStopped
from agentnet.events import Run
from agentnet.experiment import Source
from agentnet.report.log_facts import read_facts
from agentnet.report.words import put_otherwise
from agentnet.runner import Runner, create, prepare, reopen
from agentnet.stack import Halt, build_stack
from agentnet.stack.trial import FirstAlone
from agentnet.testing import run_in_virtual_time
from agentnet_backends.ways import Ways, without_fields

Body = Mapping[str, Any]
Refuses = Callable[[Body], bool]

FREE = Request(
    (("system", "You are curious."), ("user", "Do you share it?")), temperature=0.7, max_tokens=16, seed=5
)
CLOSED = FREE._replace(answers=("yes", "no"))
FILLED = FREE._replace(schema='{"type": "object", "properties": {"share": {"type": "boolean"}}}')
MANY = CLOSED._replace(n=48)


def has(name: str) -> Refuses:
    return lambda body: name in body


def knows_no_system_role(body: Body) -> bool:
    return any(message["role"] == "system" for message in body["messages"])


class Picky:
    """A server that refuses some requests, in words that nobody has heard before, and answers all others."""

    def __init__(self, refuses: Refuses, status: int = 400) -> None:
        self.refuses, self.status = refuses, status
        self.taken: list[Body] = []
        self.n_calls = self.in_flight = self.most_in_flight = 0
        self.latency_s = 0.0
        self.says = "yes"

    async def answer(self, asked: web.Request) -> web.Response:
        self.n_calls += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            body = json.loads(await asked.read())
            await asyncio.sleep(self.latency_s)
            if self.refuses(body):
                return web.json_response({"error": "Ojojoj."}, status=self.status)
            self.taken.append(body)
            return web.json_response(self.completion(body))
        finally:
            self.in_flight -= 1

    def completion(self, body: Body) -> dict[str, Any]:
        listed = [{"token": "yes", "logprob": -0.1, "top_logprobs": [{"token": "yes", "logprob": -0.1}]}]
        choice = {"message": {"content": self.says}, "finish_reason": "stop"}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": listed}
        n = body.get("n", 1)
        usage = {"prompt_tokens": 9, "completion_tokens": n}
        return {"model": "m", "usage": usage, "choices": [{"index": i, **choice} for i in range(n)]}

    @asynccontextmanager
    async def listening(self):
        app = web.Application()
        app.router.add_post("/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()


def ask_all(server: Picky, *requests: Request, at_once: bool = False, **options: Any):
    """Ask a server by the whole stack; return the outcomes, what was said, and the stack."""
    bounds = {name: options.pop(name) for name in ("max_calls", "max_attempts") if name in options}
    name = options.pop("name", "openai")
    said: list[str] = []

    async def main():
        async with server.listening():
            backend = make_backend(name, {"model": "m", "base_url": server.url, **options})
            stack = build_stack(
                backend,
                StackSettings(cache=False, max_wait_s=0.01, **bounds),
                scope="",
                cache_folder=None,
                in_flight=16,
                adapted=said.extend,
            )
            asked = [stack.backend.complete(request) for request in requests]
            if at_once:
                outcomes = await asyncio.gather(*asked, return_exceptions=True)
            else:
                outcomes = [await asyncio.gather(one, return_exceptions=True) for one in asked]
                outcomes = [outcome for (outcome,) in outcomes]
            await stack.backend.aclose()
            return outcomes, said, stack

    return asyncio.run(main())


def refusal(server: Picky, request: Request, **options: Any) -> BackendError:
    (outcome,), said, _ = ask_all(server, request, **options)
    assert isinstance(outcome, BackendError)
    assert said == []
    return outcome


# What is adapted


@pytest.mark.parametrize("status", [400, 404, 422, 500, 501])
@pytest.mark.parametrize("request_", [FREE, CLOSED, FILLED], ids=["free", "closed", "filled"])
def test_a_seed_that_is_refused_is_left_out_and_said(status, request_):
    server = Picky(has("seed"), status)
    (first, second), said, _ = ask_all(server, request_, request_._replace(seed=6))
    assert (first.texts, second.texts) == (("yes",), ("yes",))
    assert len(said) == 1
    assert "seed" in said[0]
    assert "repeated" in said[0]
    assert all("seed" not in body for body in server.taken)
    whole = server.taken[-1]
    assert whole["temperature"] == 0.7
    assert whole["messages"][0]["role"] == "system"
    assert ("response_format" in whole) == (request_ is not FREE)


def test_an_old_name_of_the_bound_on_replies_gives_way_to_the_new_one_and_the_other_way_round():
    for refused, other in (
        ("max_tokens", "max_completion_tokens"),
        ("max_completion_tokens", "max_tokens"),
    ):
        server = Picky(has(refused))
        (reply,), said, _ = ask_all(server, FREE, max_tokens_field=refused)
        assert reply.texts == ("yes",)
        assert server.taken[-1][other] == 16
        assert server.taken[-1]["seed"] == 5
        assert len(said) == 1
        assert f"`{other}`" in said[0]


@pytest.mark.parametrize(("most", "at_a_time"), [(1, 1), (4, 4), (5, 5), (8, 8), (24, 24), (47, 45)])
def test_more_samples_than_a_server_takes_are_asked_for_in_smaller_numbers(most, at_a_time):
    server = Picky(lambda body: body.get("n", 1) > most)
    (first, second), said, _ = ask_all(server, MANY, MANY._replace(seed=6))
    assert len(first.texts) == len(second.texts) == at_a_time
    assert server.taken[-1]["seed"] == 6
    assert f" {at_a_time} at a time" in said[0]


def test_a_seed_that_is_refused_beside_several_samples_is_kept_beside_one():
    server = Picky(lambda body: "seed" in body and body.get("n", 1) > 1, 422)
    (many, one), said, _ = ask_all(server, MANY, CLOSED)
    assert (len(many.texts), len(one.texts)) == (48, 1)
    assert "beside several samples" in said[0]
    assert ("seed" in server.taken[-2], "seed" in server.taken[-1]) == (False, True)


def test_fewer_alternatives_are_listed_where_a_server_allows_but_a_few():
    server = Picky(lambda body: body.get("top_logprobs", 0) > 5)
    (reply,), said, _ = ask_all(server, CLOSED._replace(logprobs=True))
    assert reply.logprobs is not None
    assert server.taken[-1]["top_logprobs"] == 5
    assert len(said) == 1


def test_several_refused_fields_are_found_in_one_go():
    server = Picky(lambda body: "seed" in body or "max_tokens" in body or body.get("n", 1) > 4)
    (reply,), said, _ = ask_all(server, MANY)
    assert len(reply.texts) == 4
    assert len(said) == 3
    assert server.taken[-1].keys() >= {"temperature", "response_format", "max_completion_tokens"}


def test_what_a_later_request_brings_up_is_adapted_as_well():
    server = Picky(lambda body: body.get("n", 1) > 1 and "seed" in body)
    (one, many), said, _ = ask_all(server, CLOSED, MANY)
    assert (len(one.texts), len(many.texts)) == (1, 48)
    assert len(said) == 1


@pytest.mark.parametrize("constrain", ["none", "structured_outputs", "response_format"])
def test_backend_vllm_adapts_too(constrain):
    for request in (FREE, CLOSED):
        server = Picky(has("seed"))
        (reply,), said, _ = ask_all(server, request, name="vllm", constrain=constrain)
        assert reply.texts == ("yes",)
        assert len(said) == 1
        assert server.taken[-1]["top_k"] == -1


def test_backend_vllm_finds_its_constraint_on_servers_that_refuse_seeds():
    server = Picky(has("seed"))
    server.says = "qzx7"
    (reply,), said, _ = ask_all(server, CLOSED, name="vllm")
    assert reply.texts == ("qzx7",)
    assert len(said) == 1
    assert "structured_outputs" in server.taken[-1]


# What is for people to decide


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(
    ("refuses", "request_", "options", "way_out"),
    [
        (has("temperature"), FREE, {}, """backend.omit=["temperature"]"""),
        (has("response_format"), CLOSED, {}, "backend.constrain=none"),
        (has("response_format"), FILLED, {}, "backend.constrain=none"),
        (has("grammar"), CLOSED, {"constrain": "grammar"}, "backend.constrain=none"),
        (knows_no_system_role, FREE, {}, "backend.system_role=user"),
        (has("logprobs"), CLOSED._replace(logprobs=True), {}, "sampler.mode=choices"),
        (has("top_p"), FREE, {"top_p": 0.9, "min_p": 0.1}, """backend.omit=["top_p"]"""),
        (
            lambda body: len(body.keys() & {"max_tokens", "max_completion_tokens"}) > 0,
            FREE,
            {},
            """["max_tokens"]""",
        ),
        (has("effort"), FREE, {"extra": {"effort": "low"}}, """backend.omit=["effort"]"""),
    ],
    ids=["temperature", "answers", "schema", "grammar", "system", "logprobs", "top_p", "bound", "extra"],
)
def test_what_would_change_the_question_stops_the_run_naming_what_plays_it(
    status, refuses, request_, options, way_out
):
    server = Picky(refuses, status)
    failure = refusal(server, request_, **options)
    assert isinstance(failure, BackendUnusable)
    assert way_out in str(failure)
    assert "Ojojoj" in str(failure)
    assert server.n_calls <= 12


@pytest.mark.parametrize(
    ("option", "refuses"),
    [
        ({"omit": ["temperature"]}, has("temperature")),
        ({"constrain": "none"}, has("response_format")),
        ({"system_role": "user"}, knows_no_system_role),
        ({"system_role": "developer"}, knows_no_system_role),
        ({"top_p": 0.9, "omit": "top_p"}, has("top_p")),
        ({"omit": ["seed", "max_tokens", "response_format"]}, lambda body: len(body) > 3),
    ],
    ids=["temperature", "constraint", "system", "developer", "top_p", "several"],
)
def test_what_the_message_names_plays_it(option, refuses):
    for request in (FILLED, CLOSED):
        server = Picky(refuses)
        (reply,), said, _ = ask_all(server, request, **option)
        assert (reply.texts, said, server.n_calls) == (("yes",), [], 1)


def test_a_system_message_sent_as_the_users_loses_no_word():
    server = Picky(knows_no_system_role)
    ask_all(server, FREE, system_role="user")
    assert server.taken[-1]["messages"] == [
        {"role": "user", "content": "You are curious.\n\nDo you share it?"}
    ]


def test_a_temperature_that_is_too_high_for_a_later_draw_stops_the_run_and_1_is_named_as_taken():
    server = Picky(lambda body: body.get("temperature", 0.0) > 1.0)
    (cool, hot), _, _ = ask_all(server, FREE, FREE._replace(temperature=1.25))
    assert cool.texts == ("yes",)
    assert isinstance(hot, BackendUnusable)
    assert "-S temperature=1.0 (which it takes)" in str(hot)


def test_several_parts_for_people_to_decide_are_named_together():
    server = Picky(lambda body: knows_no_system_role(body) or "temperature" in body)
    words = str(refusal(server, FREE))
    assert "system_role=user" in words
    assert "temperature" in words


# What is none of these


def test_a_server_that_fails_on_everything_from_the_start_stops_the_run_in_few_calls():
    server = Picky(lambda _: True, 500)
    failure = refusal(server, FILLED)
    assert isinstance(failure, BackendUnusable)
    assert "has answered nothing yet" in str(failure)
    assert server.n_calls <= 12


@pytest.mark.parametrize(
    "form",
    [
        {"object": "response", "output": [{"content": [{"type": "output_text", "text": "yes"}]}]},
        {"type": "message", "content": [{"type": "text", "text": "yes"}], "stop_reason": "end_turn"},
        {"object": "text_completion", "choices": [{"text": "yes"}]},
        {"candidates": [{"content": {"parts": [{"text": "yes"}]}}]},
        "yes",
    ],
)
def test_a_server_that_speaks_another_protocol_stops_the_run_in_three_calls(form):
    server = Picky(lambda _: False)
    server.completion = lambda _: form
    failure = refusal(server, FREE)
    assert isinstance(failure, BackendUnusable)
    assert "has answered nothing yet: look at" in str(failure)
    assert "yes" in str(failure)
    assert server.n_calls == 3


def test_a_server_that_answers_in_another_form_twice_and_then_well_is_used():
    forms = iter(["soon", "starting"])
    server = Picky(lambda _: False)
    well = server.completion
    server.completion = lambda body: next(forms, None) or well(body)
    (reply,), _, _ = ask_all(server, FREE)
    assert (reply.texts, server.n_calls) == (("yes",), 3)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refusal_of_all_there_is_to_refuse_stands_as_it_was(status):
    server = Picky(lambda _: True, status)
    (outcome,), _, _ = ask_all(server, FREE)
    assert isinstance(outcome, RequestRejected | BackendUnusable)
    assert "tried out" not in str(outcome)
    assert server.n_calls <= 4


def test_a_404_blames_model_and_address_alike_and_quotes_the_server():
    words = str(refusal(Picky(lambda _: True, 404), FREE))
    assert "backend.model" in words
    assert "backend.base_url" in words
    assert "Ojojoj" in words


def test_a_text_that_is_refused_among_others_is_looked_into_by_one_call_and_no_more():
    server = Picky(lambda body: "worse" in body["messages"][-1]["content"])
    bad = FREE._replace(messages=(FREE.messages[0], ("user", "And worse?")))
    (good, refused), said, _ = ask_all(server, FREE, bad)
    assert good.texts == ("yes",)
    assert isinstance(refused, RequestRejected)
    assert (server.n_calls, refused.attempts, said) == (3, 2, [])


def test_a_text_that_is_let_pass_with_the_systems_message_ahead_of_it_is_refused_as_the_text_that_it_is():
    """A filter judges the user's message by what it is as a whole."""
    server = Picky(lambda body: body["messages"][-1]["content"] == "Do you share it?")
    other = FREE._replace(messages=(FREE.messages[0], ("user", "Do you pass it on?")))
    (refused, answered), said, _ = ask_all(server, FREE, other)
    assert isinstance(refused, RequestRejected)
    assert isinstance(answered, Reply)
    assert not said


def test_refusals_that_come_by_chance_are_blamed_on_no_field():
    for seed in range(3):
        chance = random.Random(seed)
        server = Picky(lambda _, chance=chance: chance.random() < 0.2)
        outcomes, said, _ = ask_all(server, *(FREE._replace(seed=i) for i in range(40)))
        assert said == []
        assert sum(isinstance(outcome, BackendUnusable) for outcome in outcomes) == 0


@pytest.mark.parametrize("status", [400, 500])
def test_a_server_that_comes_to_itself_during_the_experiment_is_adapted_to_nothing(status):
    for n_failures in range(2, 12):
        fails = iter([True] * n_failures)
        server = Picky(lambda _, fails=fails: next(fails, False), status)
        (outcome,), said, _ = ask_all(server, CLOSED)
        assert said == []
        assert not isinstance(outcome, BackendUnusable) or "tried out" not in str(outcome)


@pytest.mark.parametrize("n_before", range(9))
def test_a_server_that_breaks_down_during_the_experiment_blames_no_field(n_before):
    works = iter([True] + [False] + [True] * n_before)
    server = Picky(lambda _: not next(works, False))
    (first, second), said, _ = ask_all(server, CLOSED, CLOSED._replace(seed=6))
    assert first.texts == ("yes",)
    assert said == []
    assert not isinstance(second, BackendUnusable)


def test_texts_that_are_refused_are_not_looked_into_for_ever():
    server = Picky(lambda body: "worse" in body["messages"][-1]["content"])
    bad = FREE._replace(messages=(FREE.messages[0], ("user", "And worse?")))
    ask_all(server, FREE, *([bad] * 60))
    assert server.n_calls == 1 + 60 + 20


def test_a_passing_failure_of_the_first_request_is_retried_and_nothing_is_varied():
    answers = iter([True])
    server = Picky(lambda _: next(answers, False), 500)
    (reply,), said, _ = ask_all(server, FREE)
    assert (reply.attempts, reply.troubles, said, server.n_calls) == (2, ("server_error",), [], 2)


def test_failures_once_the_server_has_answered_are_retried_and_nothing_is_varied():
    fails = iter([False, True, True, True])
    server = Picky(lambda _: next(fails, False), 500)
    (_, reply), said, _ = ask_all(server, FREE, FREE)
    assert (reply.attempts, said, server.n_calls) == (4, [], 5)


# How it is asked


def test_the_first_request_goes_alone_and_what_it_found_holds_for_all_that_waited():
    server = Picky(has("seed"))
    server.latency_s = 0.01
    outcomes, said, _ = ask_all(server, *(FREE._replace(seed=i) for i in range(12)), at_once=True)
    assert all(outcome.texts == ("yes",) for outcome in outcomes)
    assert len(said) == 1
    assert sum(reply.attempts for reply in outcomes) == server.n_calls
    assert server.n_calls - len(server.taken) <= 5
    assert server.most_in_flight > 1


def test_a_first_text_that_is_refused_leaves_the_next_one_alone():
    server = Picky(lambda body: "seed" in body or "worse" in body["messages"][-1]["content"])
    server.latency_s = 0.01
    bad = FREE._replace(messages=(FREE.messages[0], ("user", "And worse?")))
    outcomes, said, _ = ask_all(server, bad, *[FREE] * 12, at_once=True)
    assert isinstance(outcomes[0], RequestRejected)
    assert all(outcome.texts == ("yes",) for outcome in outcomes[1:])
    assert len(said) == 1
    assert server.n_calls - len(server.taken) <= 9


class Slow:
    """Answers after ten seconds."""

    name, model_name = "slow", "slow-1"

    async def complete(self, request: Request) -> Reply:
        await asyncio.sleep(10.0)
        return Reply(("yes",))

    async def aclose(self) -> None:
        pass


def test_whoever_waits_for_the_first_answer_can_be_woken_before():
    async def main():
        halt = Halt()
        first_alone = FirstAlone(Slow(), halt=halt)
        asked = [asyncio.create_task(first_alone.complete(FREE)) for _ in range(4)]
        await asyncio.sleep(1.0)
        halt.stop(RunStopped("enough"))
        outcomes = await asyncio.gather(*asked[1:], return_exceptions=True)
        woken_at = asyncio.get_running_loop().time()
        return outcomes, woken_at, (await asked[0]).texts

    outcomes, woken_at, texts = run_in_virtual_time(main())
    assert {type(outcome) for outcome in outcomes} == {RunStopped}
    assert (woken_at, texts) == (1.0, ("yes",))


def test_a_trial_whose_event_loop_is_gone_keeps_nobody_waiting():
    first_alone = FirstAlone(Slow())

    async def leave():
        asked = [asyncio.create_task(first_alone.complete(FREE)) for _ in range(3)]
        await asyncio.sleep(1.0)
        assert not any(task.done() for task in asked)

    run_in_virtual_time(leave())
    assert run_in_virtual_time(first_alone.complete(FREE)).texts == ("yes",)


def test_nobody_else_is_asked_once_the_first_request_found_out_that_nobody_can_be():
    server = Picky(has("temperature"))
    server.latency_s = 0.01
    outcomes, _, _ = ask_all(server, *[FREE] * 12, at_once=True)
    assert {type(outcome) for outcome in outcomes} == {BackendUnusable}
    assert server.most_in_flight == 1
    assert server.n_calls <= 12


def test_refusals_in_flight_together_are_looked_into_once():
    server = Picky(lambda body: "seed" in body and body["messages"][-1]["content"] != "First")
    server.latency_s = 0.01
    first = FREE._replace(messages=(FREE.messages[0], ("user", "First")))
    outcomes, said, _ = ask_all(server, first, *[FREE] * 12, at_once=True)
    assert all(outcome.texts == ("yes",) for outcome in outcomes)
    assert len(said) == 1
    assert len(server.taken) <= 13 + 4
    assert sum(reply.attempts for reply in outcomes) == server.n_calls


def test_every_call_of_the_experiment_counts_and_is_paid():
    server = Picky(has("seed"))
    (reply,), _, stack = ask_all(server, FREE)
    assert stack.budget.spent.calls == server.n_calls == reply.attempts
    assert stack.budget.spent.prompt_tokens == 9 * len(server.taken) == reply.prompt_tokens
    assert len(reply.troubles) == reply.attempts - 1


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_bound_on_calls_is_a_bound_on_experiments_too(most):
    server = Picky(has("temperature"))
    (outcome,), _, _ = ask_all(server, FREE, max_calls=most)
    assert isinstance(outcome, RunStopped)
    assert server.n_calls == most


def test_backends_that_cannot_adapt_have_no_trial():
    assert not isinstance(make_backend("mock", {}), Adapts)
    assert isinstance(make_backend("openai", {"model": "m", "base_url": "http://127.0.0.1:9/v1"}), Adapts)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sets(st.sampled_from(["seed", "temperature", "response_format", "top_p", "n"]), min_size=1, max_size=4)
)
def test_what_is_refused_together_is_found_whatever_it_is(fields):
    """A server refuses requests that hold all of `fields`, one of which then gives way."""
    server = Picky(lambda body: fields <= body.keys() and (body.get("n", 1) > 1 or "n" not in fields))
    (outcome,), said, _ = ask_all(server, MANY._replace(n=2), top_p=0.9)
    if fields & {"seed", "n"}:
        assert outcome.texts in {("yes",), ("yes", "yes")}
        assert len(said) == 1
    else:
        assert isinstance(outcome, BackendUnusable)
        assert "backend." in str(outcome)


def test_leaving_fields_out_keeps_all_others_as_they_are():
    body = b'{"messages":[{"content":"\\u00e4\\n"}],"temperature":0.1,"seed":9223372036854775807}'
    assert without_fields(body, {"temperature"}) == body.replace(b'"temperature":0.1,', b"")


def test_ways_that_change_nothing_give_the_request_itself():
    assert Ways("max_tokens").shaped(MANY) is MANY


# Whole runs

RATIOS = """
from agentnet import ResponseRatioExperiment

class Small(ResponseRatioExperiment):
    repeats, items_per_severity, rationale = 1, 1, "none"
"""


async def play(server: Picky, folder: Path, *, backend: Mapping[str, Any], **sections: Any) -> list[str]:
    """Play the run in `folder`, or go on with it; return what was said."""
    options = {"name": "openai", "model": "m", "base_url": server.url, **backend}
    chosen = Settings.model_validate(
        {
            "runs": folder.parent,
            "backend": {k: v for k, v in options.items() if v is not None},
            "log": {"parquet": False},
            **sections,
        }
    )
    said: list[str] = []
    answering = make_backend("openai", chosen.backend.options, os.environ)
    source = Source(Path("small.py"), RATIOS)
    if folder.exists():  # noqa: ASYNC240 - a test may block
        prepared = reopen(folder, chosen)
    else:
        prepared = prepare(source, chosen, folder)
        create(prepared, source, backend="openai", model_name="m")
    await Runner(prepared, answering, say=said.append).play()
    return said


def test_an_address_from_the_environment_is_said_and_stands_in_the_log(tmp_path, monkeypatch):
    server = Picky(lambda _: False)

    async def main():
        async with server.listening():
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            return await play(server, tmp_path / "run", backend={"base_url": None})

    said = asyncio.run(main())
    assert said == [f"found in the environment: base_url {server.url}"]
    assert incidents(Run(tmp_path / "run"), "found in the environment") == [{"base_url": server.url}]


def incidents(run: Run, kind: str) -> list[Any]:
    rows = run.rows("SELECT detail FROM incidents WHERE kind = ? ORDER BY incident", (kind,))[1]
    return [json.loads(detail) for (detail,) in rows]


@pytest.mark.parametrize("mode", ["call", "choices"])
def test_a_run_and_its_resumption_adapt_alike_and_pay_no_draw_twice(tmp_path, mode):
    server = Picky(lambda body: "seed" in body or body.get("n", 1) > 2)

    async def main():
        async with server.listening():
            how = {"backend": {}, "sampler": {"mode": mode, "n_at_most": 8}}
            with pytest.raises(RunStopped):
                await play(server, tmp_path / "run", stack={"max_calls": 30}, **how)
            return await play(server, tmp_path / "run", **how)

    said = asyncio.run(main())
    run = Run(tmp_path / "run")
    assert run.rows("SELECT COUNT(*), COUNT(missing) FROM events")[1] == [(64, 0)]
    first, second = incidents(run, "adapted")
    assert first == second
    assert said == [f"adapted to the server: {change}" for change in second["changes"]]
    assert incidents(run, "spent")[-1]["calls"] == server.n_calls
    whole = [body for body in server.taken if {"temperature", "response_format"} <= body.keys()]
    assert 64 <= sum(body.get("n", 1) for body in whole) <= 64 + 20


def test_what_was_put_otherwise_stands_in_show_and_in_the_methods_paragraph(tmp_path, command):
    server = Picky(lambda body: "seed" in body or "temperature" in body or knows_no_system_role(body))

    async def main():
        async with server.listening():
            options = {"omit": ["temperature"], "system_role": "user"}
            await play(server, tmp_path / "run", backend=options)

    asyncio.run(main())
    shown = json.loads(command("show", tmp_path / "run", "--json").out)
    assert len(shown["adapted"]) == 1
    words = " ".join(put_otherwise(read_facts(Run(tmp_path / "run"))))
    assert "so that the server's own values held: temperature" in words
    assert "under the role user" in words
    assert shown["adapted"][0] in words
