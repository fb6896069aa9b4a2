"""What small servers do otherwise, and that a run gets on with it: told by the double, tried on real ones.

The real ones are in ``tests/servers``: see ``make test-servers``.
"""

from __future__ import annotations

import asyncio
import math
import socket
from contextlib import suppress
from dataclasses import replace

import pytest

from agentnet.backend import Reply, Request, is_wanting, make_backend
from agentnet.config import StackSettings
from agentnet.errors import ServerUnreachable
from agentnet.stack import LimitChange, build_stack
from agentnet.testing import ScriptedBackend
from agentnet.testing.server import (
    LIKE_LLAMA_CPP,
    LIKE_OPENAI,
    ServerDouble,
    ServerLimits,
    start_server,
)
from agentnet_backends.failures import Peer
from agentnet_backends.http import Access, Http

CLOSED = Request((("user", "Do you share it?"),), temperature=0.7, answers=("yes", "no"), seed=5)
ODDS = CLOSED._replace(logprobs=True)
P_YES = 0.3


def law(request):
    """Say yes with P_YES at the request's own temperature."""
    odds = {"yes": math.log(P_YES), "no": math.log1p(-P_YES)} if request.logprobs else None
    return Reply(("no",) * request.n, prompt_tokens=9, completion_tokens=request.n, logprobs=odds)


def ask_all(double, *requests, in_flight=16, **options):
    """Ask a server by the whole stack, all at once; give the replies and what was said."""
    said = []

    async def main():
        async with start_server(double):
            backend = make_backend("openai", {"model": "double", "base_url": double.base_url, **options})
            stack = build_stack(
                backend,
                StackSettings(cache=False, max_wait_s=0.01),
                scope="",
                cache_folder=None,
                in_flight=in_flight,
                adapted=said.extend,
            )
            replies = await asyncio.gather(*(stack.backend.complete(request) for request in requests))
            await stack.backend.aclose()
            return replies

    return asyncio.run(main()), said


def p_yes(reply):
    return math.exp(reply.logprobs["yes"])


def like_llama(**manners):
    return ServerDouble(ScriptedBackend(law), manners=replace(LIKE_LLAMA_CPP, **manners))


def test_where_a_server_lists_before_its_grammar_it_is_asked_for_what_comes_after():
    double = like_llama()
    replies, said = ask_all(double, *(ODDS._replace(seed=i) for i in range(5)), constrain="grammar")
    assert [p_yes(reply) for reply in replies] == pytest.approx([P_YES] * 5)
    assert [sum(map(math.exp, reply.logprobs.values())) for reply in replies] == pytest.approx([1.0] * 5)
    assert len(said) == 1
    assert "post_sampling_probs" in said[0]
    assert "backend.top_k and backend.top_p and backend.min_p" in said[0]
    # The first, two trials, the first again, and one each for the others.
    assert double.ledger.calls == sum(reply.attempts for reply in replies) == 8


def test_more_alternatives_are_enough_where_they_hold_most_of_the_probability():
    double = like_llama(off_answers=0.08, letters=0.99999)
    few, said = ask_all(double, ODDS, constrain="grammar", top_logprobs=1)
    assert "2,000 alternatives" in said[0]
    assert p_yes(few[0]) / (1.0 - 0.08) == pytest.approx(P_YES)


def test_a_server_that_lists_no_more_is_tried_once_and_what_it_lists_stands():
    double = ServerDouble(ScriptedBackend(law), manners=replace(LIKE_OPENAI, off_answers=0.2))
    replies, said = ask_all(double, ODDS, ODDS._replace(seed=6), ODDS._replace(seed=7))
    assert said == []
    assert [sum(map(math.exp, reply.logprobs.values())) for reply in replies] == pytest.approx([0.8] * 3)
    assert (double.ledger.kinds["bad_request"], double.ledger.calls) == (2, 5)


def test_a_fence_that_the_content_lacks_is_passed_over():
    replies, said = ask_all(like_llama(off_answers=0.0), ODDS)
    assert p_yes(replies[0]) == pytest.approx(P_YES)
    assert said == []


def test_more_samples_than_a_server_has_slots_are_asked_for_as_many_at_a_time():
    double = like_llama()
    replies, said = ask_all(double, *(CLOSED._replace(n=10, seed=i) for i in range(3)), constrain="grammar")
    assert [len(reply.texts) for reply in replies] == [4, 4, 4]
    assert len(said) == 1


def test_a_bound_on_requests_at_once_costs_nobody_the_minute_that_the_server_asks_for():
    double = ServerDouble(
        ScriptedBackend(law), limits=ServerLimits(parallel=2), latency_s=0.01, manners=replace(LIKE_OPENAI)
    )
    replies, _ = ask_all(double, *(CLOSED._replace(seed=i) for i in range(60)))
    assert len(replies) == 60
    assert double.ledger.most_in_flight > 2
    assert double.ledger.kinds["too_many"] < 60


def test_a_yes_or_no_takes_a_handful_of_a_budget_that_is_reserved():
    limits = ServerLimits(tokens_per_min=3000.0, reserves=True)
    double = ServerDouble(ScriptedBackend(law), limits=limits)
    ask_all(double, *(CLOSED._replace(seed=i, max_tokens=4096) for i in range(60)))
    assert double.ledger.kinds["limited"] == 0


class Thinker:
    """Thinks for 200 tokens before it answers."""

    def __init__(self):
        self.bounds = []

    def __call__(self, request):
        self.bounds.append(request.max_tokens)
        is_enough = request.max_tokens > 200
        finish = () if is_enough else ("thought_cut_off",)
        return Reply(("no",) if is_enough else ("",), finish=finish, prompt_tokens=9, completion_tokens=200)


def test_a_model_that_thinks_first_is_asked_again_with_all_the_tokens_and_others_at_once():
    thinker = Thinker()
    asked = [CLOSED._replace(seed=i, max_tokens=300) for i in range(4)]
    backend = ScriptedBackend(thinker)
    replies, said = ask_all(ServerDouble(Ending(backend)), *asked, constrain="response_format")
    assert [reply.texts for reply in replies] == [("no",)] * 4
    assert [reply.attempts for reply in replies] == [2, 1, 1, 1]
    assert replies[0].completion_tokens >= 400
    assert thinker.bounds == [31, *[324] * 4]
    assert len(said) == 1
    assert "all of max_tokens" in said[0]


def test_a_reply_that_is_cut_off_at_all_of_max_tokens_stands():
    thinker = Thinker()
    double = ServerDouble(Ending(ScriptedBackend(thinker)))
    replies, _ = ask_all(double, *(CLOSED._replace(seed=i, max_tokens=50) for i in range(2)))
    assert [reply.finish for reply in replies] == [("length",)] * 2
    assert thinker.bounds == [31, 74, 74]


class Ending(ScriptedBackend):
    """Ends as the wire does: a thought that is cut off is a length, and no text."""

    def __init__(self, inner):
        super().__init__(self.reply)
        self.inner = inner

    async def reply(self, request):
        reply = await self.inner.complete(request)
        return reply._replace(finish=("length",) if reply.finish else ())


def test_when_one_of_several_servers_is_left_out_and_when_it_is_back_is_told():
    told, clock = [], [0.0]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    body = b'{"messages": [{"role": "user", "content": "Share it?"}]}'

    async def main():
        async with start_server(ServerDouble()) as alive:
            peers = [Peer("openai", url) for url in (alive.base_url, f"http://127.0.0.1:{port}/v1")]
            http = Http(peers, Access(), timeout_s=10.0, clock=lambda: clock[0])
            http.tell = told.append
            for i in range(20):
                with suppress(ServerUnreachable):
                    await http.chat(body, prefix=str(i))
            clock[0] = 2.0
            async with start_server(ServerDouble(), port=port):
                for i in range(20):
                    await http.chat(body, prefix=str(i))
            await http.aclose()

    asyncio.run(main())
    assert told == [
        f"http://127.0.0.1:{port}/v1 is left out for 1 s: refused",
        f"http://127.0.0.1:{port}/v1 answers again",
    ]


def test_the_stack_tells_of_servers_what_the_log_keeps():
    changes = []
    urls = ["http://127.0.0.1:9/v1", "http://127.0.0.1:10/v1"]
    backend = make_backend("openai", {"model": "m", "base_url": urls})
    build_stack(
        backend, StackSettings(cache=False), scope="", cache_folder=None, in_flight=3, tell=changes.append
    )
    backend._http.tell("one is left out")
    assert changes == [LimitChange(3, "one is left out")]


@pytest.mark.parametrize(
    ("request_", "reply", "is_so"),
    [
        (CLOSED, Reply(("yes",)), False),
        (CLOSED, Reply(("ye",), finish=("length",)), True),
        (CLOSED._replace(answers=()), Reply(("Well",), finish=("length",)), False),
        (ODDS, Reply(("yes",), doubt="none listed"), True),
        (ODDS, Reply(("yes",), logprobs={"yes": math.log(0.6), "no": math.log(0.35)}), False),
        (ODDS, Reply(("yes",), logprobs={"yes": math.log(0.95)}), True),
        (ODDS, Reply(("yes",), logprobs={"yes": -1e-4}, unlisted=1e-4), False),
        (ODDS, Reply(("yes",), logprobs={"yes": -1e-4, "no": -9.5}, unlisted=math.inf), True),
    ],
)
def test_a_reply_is_wanting_if_it_is_cut_off_or_leaves_the_odds_open(request_, reply, is_so):
    assert is_wanting(request_, reply) is is_so
