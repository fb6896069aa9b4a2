"""Outages of every kind, in every mode, short, long, for good: the clean decisions, or a stop.

A server's trouble is never a draw's: nothing is recorded as missing, and nothing changes what is decided.
"""

import asyncio
import json
import re
from typing import NamedTuple

import pytest

from agentnet.backend import Reply, Request
from agentnet.errors import BackendUnusable, RunStopped, ServerUnreachable, TransientError
from agentnet.prompts import Verdict
from agentnet.sampler import CallSampler, ChoicesSampler, Draws, LogprobSampler, Odds, Pool, Question, Stock
from agentnet.stack import AdaptiveLimit, Brake, Budget, Halt, Retry
from agentnet.streams import mix, unit
from agentnet.testing import ScriptedBackend, run_in_virtual_time
from agentnet_backends.failures import Peer, error_of_answer, error_of_body, unusable_answer

PEER = Peer("openai", "http://server.invalid/v1", "OPENAI_API_KEY", ("sk-secret-0123",))
GIVE_UP_AFTER_S = 120.0
N_DRAWS = 60


def answer(status, words, **headers):
    body = {"error": {"message": words}} if not words.startswith("<") else words
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return lambda: error_of_answer(PEER, status, headers, raw)


OUTAGES = {
    # The moment.
    "busy": answer(429, "Slow down."),
    "busy, with a hint": answer(429, "Slow down.", **{"retry-after": "7"}),
    "no gateway": answer(502, "<html>Bad Gateway</html>"),
    "unavailable": answer(503, "no upstream"),
    "gateway too slow": answer(504, "<html>504</html>"),
    "being started": answer(503, "the weights are being loaded"),
    "behind a tunnel that is down": answer(521, "<html>521</html>"),
    "broken": answer(500, "CUDA error"),
    "a page with 200": lambda: unusable_answer(
        PEER, "malformed_json", "no JSON", b"\n<html>back soon</html>"
    ),
    "half a document": lambda: unusable_answer(PEER, "malformed_json", "no JSON", b'{"choices"'),
    "502 within 200": lambda: error_of_body(PEER, {"error": {"message": "x", "code": 502}}),
    "429 within 200": lambda: error_of_body(PEER, {"error": {"message": "x", "code": "429"}}),
    "words within 200": lambda: error_of_body(PEER, {"error": "the provider gave up"}),
    "reset": lambda: TransientError("the connection broke", kind="reset", retry_after_s=0.0),
    "nobody there": lambda: ServerUnreachable("connection refused", kind="refused"),
    # The set-up.
    "a key refused": answer(401, "who are you?"),
    "a key refused within 200": lambda: error_of_body(PEER, {"error": {"message": "x", "code": 401}}),
    "money gone": answer(402, "pay first"),
    "money gone, in words that nobody knows": answer(400, "The purse of this tenant is empty."),
    "a field refused, in words that nobody knows": answer(422, "`seed`: no such thing"),
    "forbidden": answer(403, "<html>checking your browser</html>"),
    "maintenance as 400": answer(400, "Back at noon."),
    "no such page": answer(404, "<html>nginx</html>"),
    "the quota of the day": answer(429, "Enough for today.", **{"retry-after": "43200"}),
}
MODES = ("call", "choices", "logprobs")
OUT = {"a second": (1, 1.0), "three": (16, 3.0), "minutes": (100, 90.0), "for good": (16, 1e9)}
"""Workers, and for how long the server is out, in seconds."""


class Server:
    """Answers by the request alone, after a second or two; is out from the `after`-th call on."""

    name, model_name = "server", "served"

    def __init__(self, outage=None, after=0, seconds=0.0):
        self.outage, self.after, self.seconds = outage, after, seconds
        self.calls, self.began = 0, None

    async def complete(self, request):
        self.calls += 1
        now = asyncio.get_running_loop().time
        if self.calls > self.after and self.began is None:
            self.began = now()
        await asyncio.sleep(1.0 + unit(mix(request.seed)))
        if self.outage is not None and self.began is not None and now() < self.began + self.seconds:
            raise self.outage()
        word = mix(request.seed, hash_of(request))
        texts = tuple("yes" if unit(mix(word, i)) < 0.5 else "no" for i in range(request.n))
        odds = {"yes": -0.7, "no": -0.69} if request.logprobs else None
        return Reply(texts, 10, request.n, logprobs=odds)

    async def aclose(self):
        pass


def hash_of(request):
    return sum(map(ord, request.messages[0][1]))


def judge(text):
    return Verdict(text == "yes", "") if text in {"yes", "no"} else Verdict(None, "", "no_answer")


def draws_of(recorded):
    """Make the draws of a step: of ten prompts, at three temperatures; `recorded` ones are not asked."""
    agents = list(range(N_DRAWS))

    def record(i, given):
        assert i not in recorded, "recorded twice"
        recorded[i] = given

    return Draws(
        *("exposure", 0, 1, agents, [7] * N_DRAWS, [0] * N_DRAWS),
        [Question(i % 10, (("user", f"Do you share item {i % 10}?"),)) for i in agents],
        [0.5 + 0.5 * (i % 3) for i in agents],
        [mix(i) >> 1 for i in agents],
        judge,
        record,
        [i for i in agents if i not in recorded],
    )


class Sitting(NamedTuple):
    error: BaseException | None
    server: Server
    budget: Budget
    took_s: float


async def sit(server, mode, recorded, *, workers=16, after=10):
    """Play the step in one sitting, with the stack of a run; records into `recorded`."""
    halt, began = Halt(), asyncio.get_running_loop().time()
    limit = AdaptiveLimit(server, start=workers, highest=workers, halt=halt)
    budget = Budget(limit, price=None, halt=halt)
    retry = Retry(budget, give_up_after_s=GIVE_UP_AFTER_S, halt=halt)
    async with Pool(workers) as pool:
        brake = Brake(retry, after=after, halt=halt, lend=pool.lend)
        caller = CallSampler(brake, pool, run_seed=1, max_asks=3)
        sampler = {
            "call": lambda: caller,
            "choices": lambda: ChoicesSampler(
                Stock(brake, run_seed=1, n_at_most=4), caller, pool, repeat=0, n_repeats=1, run_seed=1
            ),
            "logprobs": lambda: LogprobSampler(Odds(brake), pool),
        }[mode]()
        [error] = await asyncio.gather(sampler.draw(draws_of(recorded)), return_exceptions=True)
        await brake.aclose()
    return Sitting(error, server, budget, asyncio.get_running_loop().time() - began)


def decisions(recorded):
    return {i: given.decision for i, given in recorded.items()}


@pytest.fixture(scope="module")
def clean():
    """What is decided where nothing goes wrong, in each mode."""
    found = {}
    for mode in MODES:
        recorded = {}
        assert run_in_virtual_time(sit(Server(), mode, recorded)).error is None
        found[mode] = decisions(recorded)
    return found


@pytest.mark.parametrize("out", OUT)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", OUTAGES)
def test_an_outage_ends_in_the_clean_decisions_or_in_a_stop_that_resumes(kind, mode, out, clean):
    recorded, (workers, seconds) = {}, OUT[out]
    server = Server(OUTAGES[kind], after=24, seconds=seconds)
    first = run_in_virtual_time(sit(server, mode, recorded, workers=workers))
    assert all(given.missing is None for given in recorded.values())
    if first.error is not None:
        assert isinstance(first.error, BackendUnusable)
        second = run_in_virtual_time(sit(Server(), mode, recorded, workers=workers))
        assert second.error is None
    assert decisions(recorded) == clean[mode]
    assert all(given.missing is None for given in recorded.values())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", OUTAGES)
def test_a_server_that_is_out_from_the_start_stops_the_run_with_nothing_recorded(kind, mode):
    recorded = {}
    first = run_in_virtual_time(sit(Server(OUTAGES[kind], seconds=1e9), mode, recorded))
    assert isinstance(first.error, BackendUnusable)
    assert recorded == {}


@pytest.mark.parametrize("kind", [kind for kind in OUTAGES if "words that nobody knows" in kind])
def test_what_nobody_has_a_word_for_stops_the_run_within_seconds_and_in_the_servers_words(kind):
    recorded = {}
    first = run_in_virtual_time(sit(Server(OUTAGES[kind], seconds=1e9), "call", recorded))
    assert first.took_s < 20.0
    assert OUTAGES[kind]().args[0].split(": ")[-1].rstrip(".") in str(first.error)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kind", ["no gateway", "unavailable", "busy", "reset", "a page with 200", "502 within 200"]
)
def test_a_moment_that_lasts_is_waited_for(kind, mode, clean):
    recorded = {}
    first = run_in_virtual_time(sit(Server(OUTAGES[kind], after=8, seconds=60.0), mode, recorded, workers=4))
    assert first.error is None
    assert decisions(recorded) == clean[mode]


@pytest.mark.parametrize("mode", MODES)
def test_a_pause_that_is_longer_than_allowed_stops_the_run_at_once_and_names_the_time(mode):
    recorded = {}
    server = Server(OUTAGES["the quota of the day"], after=12, seconds=1e9)
    first = run_in_virtual_time(sit(server, mode, recorded))
    assert isinstance(first.error, BackendUnusable)
    assert re.search(r"left alone until (20\d\d-\d\d-\d\d )?\d\d:\d\d", str(first.error))
    assert first.took_s < 60.0


class Picky(Server):
    """A server with a filter of its own wording: it never answers some prompts, and always the others."""

    def __init__(self, refused, error):
        super().__init__()
        self.refused, self.error = refused, error

    async def complete(self, request):
        reply = await super().complete(request)
        if any(f"item {number}?" in request.messages[0][1] for number in self.refused):
            raise self.error()
        return reply


@pytest.mark.parametrize("workers", [1, 16])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (answer(400, "Our committee objects."), "bad_request"),
        (answer(403, "Such content is against our rules."), "content_filter"),
        (answer(500, "assertion failed in tokenizer"), "failed"),
        (
            lambda: error_of_body(PEER, {"error": {"message": "x", "code": "content_filter"}}),
            "content_filter",
        ),
    ],
)
def test_what_is_wrong_with_some_prompts_is_theirs_and_never_ends_the_run(
    words, missing, mode, workers, clean
):
    recorded, refused = {}, {0, 3, 4, 5, 6}
    first = run_in_virtual_time(sit(Picky(refused, words), mode, recorded, workers=workers))
    assert first.error is None
    for i, given in recorded.items():
        assert given.missing == (missing if i % 10 in refused else None)
    spared = {i: said for i, said in decisions(recorded).items() if said is not None}
    assert spared == {i: said for i, said in clean[mode].items() if i in spared}
    assert len(recorded) == N_DRAWS


def test_a_filter_that_takes_everything_stops_the_run_if_it_takes_a_harmless_question_too():
    recorded, everything = {}, answer(403, "Such content is against our rules.")
    first = run_in_virtual_time(sit(Server(everything, seconds=1e9), "call", recorded))
    assert (type(first.error), recorded) == (BackendUnusable, {})
    first = run_in_virtual_time(sit(Picky(range(10), everything), "call", recorded))
    assert first.error is None
    assert {given.missing for given in recorded.values()} == {"content_filter"}


def test_a_filter_that_is_certain_is_never_asked_again():
    def certain():
        return error_of_body(PEER, {"error": {"message": "x", "code": "content_filter"}})

    recorded = {}
    first = run_in_virtual_time(sit(Picky({0, 3}, certain), "call", recorded))
    assert first.server.calls == N_DRAWS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["maintenance as 400", "unavailable", "forbidden", "nobody there"])
def test_the_answers_add_up_to_the_calls_made(kind, mode):
    recorded = {}
    server = Server(OUTAGES[kind], after=12, seconds=3.0)
    first = run_in_virtual_time(sit(server, mode, recorded, workers=4))
    assert first.error is None
    assert sum(given.attempts for given in recorded.values()) == first.budget.spent.calls
    n_reached_nobody = first.server.calls - first.budget.spent.calls
    assert (n_reached_nobody > 0) == (kind == "nobody there")


@pytest.mark.parametrize("after", [1, 3, 50])
def test_the_brake_is_right_wherever_it_is_set(after, clean):
    recorded = {}
    server = Server(OUTAGES["maintenance as 400"], after=24, seconds=1e9)
    first = run_in_virtual_time(sit(server, "call", recorded, after=after))
    assert isinstance(first.error, BackendUnusable)
    assert all(given.missing is None for given in recorded.values())
    # Who waits for the control is not sent: what is spent on an outage is bounded.
    assert server.calls <= 24 + 16 + max(after, 16) + 8


def test_the_message_says_how_many_failed_and_what_they_share():
    recorded = {}
    server = Server(OUTAGES["money gone, in words that nobody knows"], after=24, seconds=1e9)
    error = run_in_virtual_time(sit(server, "call", recorded)).error
    assert "failed in a row" in str(error)
    assert "so did 4 requests like those that were answered before" in str(error)
    assert "The purse of this tenant is empty" in str(error)
    assert "None is recorded as missing" in str(error)
    assert "n 1" in str(error)


def test_a_budget_that_does_not_cover_the_control_stops_the_run():
    class Spent(Server):
        async def complete(self, request):
            if request.draw[0][2] == "control":
                raise RunStopped("the budget is used up")
            return await super().complete(request)

    recorded = {}
    server = Spent(OUTAGES["maintenance as 400"], after=24, seconds=1e9)
    first = run_in_virtual_time(sit(server, "call", recorded))
    assert isinstance(first.error, RunStopped)
    assert all(given.missing is None for given in recorded.values())


def test_an_answer_to_what_was_sent_before_the_outage_is_no_evidence():
    """Two long requests go out, then the server refuses everything; they are answered all the same."""

    async def long_before(request):
        now = asyncio.get_running_loop().time
        if request.seed in {1, 2}:
            await asyncio.sleep(3.0 + request.seed)
        elif 1.0 <= now() < 12.0:
            return OUTAGES["maintenance as 400"]()
        return "yes"

    async def main():
        brake = Brake(ScriptedBackend(long_before), after=5)
        asks = [Request((("user", f"item {seed}"),), seed=seed) for seed in range(4)]
        early = [asyncio.ensure_future(brake.complete(ask)) for ask in asks[:3]]
        await asyncio.sleep(2.0)
        late = await brake.complete(asks[3])
        await asyncio.gather(*early)
        await brake.aclose()
        return late

    assert run_in_virtual_time(main()).texts == ("yes",)
