"""Thoughts without an answer stop a run in words, and are a draw's misfortune where others get answers."""

import asyncio

import pytest

from agentnet.backend import Reply, Request
from agentnet.errors import BackendUnusable
from agentnet.families.book import judge_reason
from agentnet.families.interviews.asking import TakesCutOff
from agentnet.sampler import Thoughts
from agentnet.testing import ScriptedBackend


def request(number, **changes):
    draw = ((1, 0, "seed", 0), number, -1, 0, 0)
    return Request((("user", f"question {number}"),), max_tokens=99, seed=number, draw=draw)._replace(
        **changes
    )


def thought(end="thought_only", n=1, text=""):
    return Reply((text,) * n, 10, 50, "m", (end,) * n)


ANSWER = Reply(("yes",), 10, 1, "m")


def ask(backend, *requests, at_once=False):
    async def main():
        if at_once:
            return await asyncio.gather(*map(backend.complete, requests), return_exceptions=True)
        return [(await asyncio.gather(backend.complete(r), return_exceptions=True))[0] for r in requests]

    return asyncio.run(main())


@pytest.mark.parametrize("at_once", [False, True])
def test_a_set_up_that_only_thinks_is_stopped_after_a_few_replies(at_once):
    inner = ScriptedBackend(lambda _: thought())
    found = ask(Thoughts(inner), *map(request, range(6)), at_once=at_once)
    assert all(isinstance(error, BackendUnusable) and error.kind == "thought_only" for error in found)
    assert len(inner.requests) <= 12
    assert len({(asked.seed, asked.draw) for asked in inner.requests}) == len(inner.requests)


@pytest.mark.parametrize(
    ("reply", "remedies"),
    [
        (thought(), ("reasoning parser", "backend.extra")),
        (thought("thought_cut_off"), ("max_tokens = 99", "experiment.max_tokens", "backend.extra")),
        (Reply(("<think>Yes? I would share",), finish=("length",)), ("max_tokens = 99",)),
        (Reply(("[THINK]Yes, I would share it.[/THINK]",)), ("reasoning parser",)),
        (Reply(("I would share it.</think>", "<think>No")), ("reasoning parser",)),
    ],
)
def test_the_remedy_is_named(reply, remedies):
    (error,) = ask(Thoughts(ScriptedBackend(lambda _: reply)), request(0))
    assert all(remedy in str(error) for remedy in remedies)


def test_where_others_are_answered_a_thought_is_the_misfortune_of_its_draw():
    inner = ScriptedBackend([ANSWER, *[thought()] * 9])
    found = ask(Thoughts(inner), *map(request, range(10)))
    assert found == [ANSWER, *[thought()] * 9]
    assert len(inner.requests) == 10


def test_a_first_thought_is_passed_on_once_an_answer_came_with_the_cost_of_finding_out():
    inner = ScriptedBackend([thought(), thought(), ANSWER])
    (reply,) = ask(Thoughts(inner), request(7))
    assert (reply.texts, reply.finish) == (("",), ("thought_only",))
    assert (reply.attempts, reply.prompt_tokens, reply.completion_tokens) == (3, 30, 101)
    assert reply.troubles == ("thought_only",)
    assert [asked.draw[4] for asked in inner.requests] == [0, -1, -2], "no draw of the run asks so"
    assert [asked.messages for asked in inner.requests] == [request(7).messages] * 3
    assert len({asked.seed for asked in inner.requests}) == 3


def test_an_answer_to_somebody_else_counts_too():
    async def script(asked):
        await asyncio.sleep(0)
        return ANSWER if asked.messages[0][1] == "question 1" else thought()

    found = ask(Thoughts(ScriptedBackend(script)), request(0), request(1), at_once=True)
    assert (found[0].finish, found[1]) == (("thought_only",), ANSWER)


def test_one_answer_among_the_samples_of_a_request_is_an_answer():
    mixed = Reply(("", "yes"), finish=("thought_only", "stop"))
    assert ask(Thoughts(ScriptedBackend([mixed, thought(n=2)])), request(0, n=2), request(1, n=2)) == [
        mixed,
        thought(n=2),
    ]


def test_what_is_no_thought_is_passed_on_as_it_is():
    replies = [
        Reply(("hm",)),
        Reply(("",)),
        Reply(("ye",), finish=("length",)),
        Reply(("",), finish=("refusal",)),
    ]
    for reply in replies:
        assert ask(Thoughts(ScriptedBackend([reply])), request(0)) == [reply]


def test_a_rationale_is_what_was_said_and_not_what_was_thought():
    assert judge_reason("<think>Shall I say why?</think>\nIt is near.").rationale == "It is near."
    assert judge_reason("<think>Shall I say why?").problem == "empty"


def test_an_answer_to_a_bank_is_what_was_said_and_not_what_was_thought():
    said = Reply(("Rome? No.</think>\n Paris",), finish=("length",))
    (reply,) = ask(TakesCutOff(ScriptedBackend([said])), request(0))
    assert (reply.texts, reply.troubles) == (("Paris",), ("cut_off",))
    (plain,) = ask(TakesCutOff(ScriptedBackend([Reply((" Paris ",))])), request(0))
    assert plain.texts == (" Paris ",)


def test_the_wrapper_is_called_and_closed_as_what_it_wraps():
    inner = ScriptedBackend([])
    backend = Thoughts(inner)
    assert (backend.name, backend.model_name) == (inner.name, inner.model_name)
    asyncio.run(backend.aclose())
    assert inner.closed


def test_remembered_thoughts_say_nothing_of_a_server_that_was_mended():
    remembered = thought(text="<think>Yes?</think>")._replace(cached=True)
    inner = ScriptedBackend([*[remembered] * 6, ANSWER])
    (found,) = ask(Thoughts(inner), request(0))
    assert found.finish == remembered.finish
    assert len(inner.requests) == 7
