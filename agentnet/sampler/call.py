"""From a draw to its request, and from the reply to an answer.

What all sampler modes share stands first: what a reply is worth, and how a set-up is recognized in which the
model thinks and no answer arrives. Then mode ``call``: one request a draw, as in the paper.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from agentnet.backend import AtOnce, Backend, Reply, Request, Wrapper, answer_now
from agentnet.cost import Cost
from agentnet.errors import BackendError, BackendUnusable, RequestRejected, RunStopped
from agentnet.prompts import after_thought
from agentnet.prompts.wrapping import may_be_marked
from agentnet.sampler.draws import Answer, Draws, Judge, Record, Trouble, Verdict
from agentnet.sampler.pool import Pool
from agentnet.streams import mix
from agentnet.vocabulary import (
    CONTENT_FILTER,
    FAILED,
    FINISHES,
    INVALID,
    REFUSAL,
    REFUSED,
    STOP,
    THOUGHT_CUT_OFF,
    THOUGHT_ONLY,
)

_SEED_MASK = (1 << 63) - 1
_DRAWS_AT_ONCE = 4096
_NEVER_A_DECISION = {end: REFUSED if end == REFUSAL else end for end in FINISHES if end != STOP}

# json.dumps makes an encoder anew at every call.
_spell = json.JSONEncoder(ensure_ascii=False).encode

_new = tuple.__new__

FINAL = frozenset({REFUSED, CONTENT_FILTER})
"""Outcomes that asking again does not cure."""


@dataclass(slots=True)
class Bill:
    """What one draw has cost so far, over all its asks."""

    cost: Cost = field(default_factory=Cost)
    asks: int = 0
    troubles: list[Trouble] = field(default_factory=list)

    def add(self, outcome: Reply | BackendError) -> None:
        """Add the cost of a reply, or of a call that failed in the end, and the troubles before."""
        self.cost = self.cost.and_of(outcome)
        self.asks += 1
        self.troubles += [(kind, "", None) for kind in outcome.troubles]

    def charge(self, answer: Answer) -> Answer:
        """Put what was spent on the answer."""
        return answer._replace(**self.cost._asdict(), asks=self.asks, troubles=tuple(self.troubles))


def usable(reply: Reply, verdict: Verdict, latency_s: float) -> Answer:
    """Make the answer of a reply that holds one."""
    decision, value = verdict.decision, verdict.value
    texts, prompt_tokens, completion_tokens, model, _, _, fingerprint, attempts, _, cached = reply[:10]
    # One is made for every decision of a run, and `Answer` itself takes three times as long.
    return _new(
        Answer,
        (
            decision if decision is None else int(decision),
            None,
            texts[0],
            verdict.rationale,
            model,
            fingerprint,
            prompt_tokens,
            completion_tokens,
            1,
            attempts,
            cached,
            latency_s if reply.took_s is None else reply.took_s,
            (),
            None,
            None,
            None if value is None else _spell(value),
        ),
    )


def why_unusable(reply: Reply, verdict: Verdict) -> str | None:
    """Name why a reply is no decision: how it ended counts before what it says."""
    return how_ended(reply) or (INVALID if verdict.problem else None)


def how_ended(reply: Reply) -> str | None:
    """Name how a reply ended that can be no decision, whatever it says; None for one that just stopped."""
    return _NEVER_A_DECISION.get(reply.finish[0]) if reply.finish else None


def failed(error: BackendError, bill: Bill, latency_s: float) -> Answer:
    """Record a draw whose last call ended in `error`, after what `bill` holds."""
    bill.add(error)
    return lost(error, bill, latency_s)


def lost(error: BackendError, bill: Bill, latency_s: float) -> Answer:
    """Record a draw that has no reply because of `error`; what the call cost stands on `bill` already."""
    missing = error.kind if isinstance(error, RequestRejected) else FAILED
    bill.troubles.append((error.kind, str(error), None))
    return bill.charge(Answer(None, missing, None, "", "", None, None, None, 0, 0, False, latency_s))


def record_all(record: Record, answers: Iterable[tuple[int, Answer]]) -> None:
    """Record every answer, also when one of them stops the run.

    Raises:
        RunStopped: The first that was raised.
    """
    stopped: RunStopped | None = None
    for i, answer in answers:
        try:
            record(i, answer)
        except RunStopped as reason:
            stopped = stopped or reason
    if stopped is not None:
        raise stopped


_ENOUGH: Final = 4

_KINDS: Final = {"stop": THOUGHT_ONLY, "length": THOUGHT_CUT_OFF}
_REMEDIES: Final = {
    THOUGHT_ONLY: "the model thinks, and its replies end without an answer: one within a thought is "
    "none. Start the server with the reasoning parser made for this model, or with none, or ",
    THOUGHT_CUT_OFF: "the model's thoughts take all of max_tokens = {max_tokens}, so that no answer comes: "
    "raise it (-S experiment.max_tokens=4096), or ",
}
_WITHOUT: Final = (
    "switch thinking off: many servers know backend.extra = {chat_template_kwargs = {enable_thinking = "
    "false}} or {reasoning_effort = 'none'}"
)


class Thoughts(Wrapper):
    """Stops the run if the first replies of a sitting hold thoughts and no answer.

    Until a reply with an answer has come, one without is not passed on: it would be recorded as missing. It
    is asked for again with other seeds, and once so many in a row hold none, no request can succeed.
    Afterwards every such reply is the misfortune of its draw.

    Args:
        inner: The backend asked.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._is_proven = False
        self._streak = 0

    async def complete(self, request: Request) -> Reply:
        """Answer `request`.

        Raises:
            BackendUnusable: Nothing but thoughts comes.
        """
        reply = await self._inner.complete(request)
        texts = reply.texts
        if may_be_marked(texts[0]) or (len(texts) > 1 and any(map(may_be_marked, texts))):
            reply = _told_apart(reply)
        if self._is_proven or not _is_thought(reply):
            self._is_proven = True
            return reply
        return await self._prove(request, reply)

    def answer_now(self, requests: Sequence[Request]) -> AtOnce | None:
        """Answer at once what `inner` does, once a reply with an answer has come."""
        found = answer_now(self._inner, requests) if self._is_proven else None
        if found is None or not may_be_marked("\n".join([reply.texts[0] for reply in found.replies])):
            return found
        return found._replace(replies=[*map(_told_apart, found.replies)])

    async def _prove(self, request: Request, first: Reply) -> Reply:
        """Ask until somebody's reply holds an answer, or enough hold none."""
        reply, spent = first, [first]
        while not self._is_proven:
            # What the cache remembers says nothing of how the server is set up by now.
            self._streak += not reply.cached
            if self._streak >= _ENOUGH:
                raise self._nothing_but_thoughts(request, reply)
            reply = _told_apart(await self._inner.complete(_again(request, len(spent))))
            spent.append(reply)
            self._is_proven = self._is_proven or not _is_thought(reply)
        return _with_costs(first, spent[1:])

    def _nothing_but_thoughts(self, request: Request, reply: Reply) -> BackendUnusable:
        kind = reply.finish[0]
        remedy = _REMEDIES[kind].replace("{max_tokens}", str(request.max_tokens))
        return BackendUnusable(
            f"backend {self.name!r}: {_ENOUGH} replies in a row held no answer, and none before them did: "
            f"{remedy}{_WITHOUT}. None of them is recorded as missing",
            kind=kind,
        )


def _told_apart(reply: Reply) -> Reply:
    """Name the samples that hold a thought and nothing else."""
    if all(map(after_thought, reply.texts)):
        return reply
    ends = reply.finish or ("stop",) * len(reply.texts)
    told = tuple(map(_end_of, reply.texts, ends))
    return reply if told == ends else reply._replace(finish=told)


def _end_of(text: str, end: str) -> str:
    if end not in _KINDS or not text or after_thought(text).strip():
        return end
    return _KINDS[end]


def _is_thought(reply: Reply) -> bool:
    return bool(reply.finish) and all(end in _REMEDIES for end in reply.finish)


def _again(request: Request, n_asked: int) -> Request:
    # No draw of the run asks as often as this: the cache must not take these replies for a draw's.
    return request._replace(
        n=1, seed=mix(request.seed, -n_asked) & _SEED_MASK, draw=(*request.draw[:4], -n_asked)
    )


def _with_costs(reply: Reply, others: list[Reply]) -> Reply:
    """Put the costs of `others` on `reply`."""
    ends = (end for other in others for end in other.finish[:1])
    return reply._replace(**Cost.of_all([reply, *others])._asdict(), troubles=(*reply.troubles, *ends))


class CallSampler:
    """Asks one request for each draw, unusable replies again within a bound.

    Args:
        backend: Who answers, with its stack around it.
        pool: Where the draws wait for a worker.
        run_seed: First part of every draw key.
        max_asks: How often a question is asked while its replies are unusable, >= 1.
        answers_now: Whether the backend may answer without waiting (`agentnet.backend.AnswersNow`).
        clock: Measures latencies, in seconds.
    """

    def __init__(
        self,
        backend: Backend,
        pool: Pool,
        *,
        run_seed: int,
        max_asks: int,
        answers_now: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._backend = backend
        self._pool = pool
        self._run_seed = run_seed
        self._max_asks = max_asks
        self._answers_now = answers_now
        self._clock = clock

    async def draw(self, draws: Draws) -> None:
        """Answer every draw; see `agentnet.sampler.Sampler`."""
        todo = await self._draw_now(draws) if self._answers_now else draws.todo
        await self._pool.run(self._asker(draws, todo), len(todo))

    async def _draw_now(self, draws: Draws) -> Sequence[int]:
        """Answer the draws that need no waiting; give the positions of the others."""
        for begin in range(0, len(draws.todo), _DRAWS_AT_ONCE):
            if begin:
                # Signals and progress run meanwhile.
                await asyncio.sleep(0)
            self._pool.check()
            todo = draws.todo[begin : begin + _DRAWS_AT_ONCE]
            started = self._clock()
            requests = draws.requests(todo, self._run_seed)
            found = answer_now(self._backend, requests)
            if found is None:
                # Who has to wait once is asked one by one from then on: requests are not made twice.
                self._answers_now = False
                return draws.todo[begin:]
            latency_s = (self._clock() - started) / len(todo)
            left = [
                (todo[n], requests[n], found.replies[found.which[n]])
                for n in _record_now(draws, todo, found, latency_s)
            ]
            await self._pool.run(self._insister(draws, left), len(left))
        return ()

    def _insister(
        self, draws: Draws, left: Sequence[tuple[int, Request, Reply]]
    ) -> Callable[[int], Awaitable[None]]:
        async def ask(place: int) -> None:
            i, request, reply = left[place]
            draws.record(i, await self.insist(request, reply, draws.judge, self._clock()))

        return ask

    def _asker(self, draws: Draws, todo: Sequence[int]) -> Callable[[int], Awaitable[None]]:
        complete, prefix = self._backend.complete, (self._run_seed, draws.realization, draws.kind, draws.step)
        questions, agents, sources, repeats = draws.questions, draws.agents, draws.sources, draws.repeats
        temperatures, seeds = draws.temperatures, draws.seeds
        judge, record, clock, new = draws.judge, draws.record, self._clock, tuple.__new__

        async def ask(place: int) -> None:
            """Take the usual way, one usable reply, without a detour: this is a run's hot path."""
            i = todo[place]
            _, messages, metadata, answers, schema, max_tokens = questions[i]
            key = (prefix, agents[i], sources[i], repeats[i], 0)
            started = clock()
            # `Request` itself takes three times as long.
            request = new(
                Request,
                (messages, temperatures[i], 1, max_tokens, answers, schema, False, seeds[i], key, metadata),
            )
            try:
                reply = await complete(request)
            except BackendUnusable:
                raise
            except BackendError as error:
                record(i, failed(error, Bill(), clock() - started))
                return
            verdict = judge(reply.texts[0])
            if verdict.problem or reply.finish or reply.troubles:
                record(i, await self.insist(request, reply, judge, started))
            else:
                record(i, usable(reply, verdict, clock() - started))

        return ask

    async def insist(
        self, request: Request, reply: Reply, judge: Judge, started: float, bill: Bill | None = None
    ) -> Answer:
        """Judge `reply` in full and ask again, with another seed, while it is unusable.

        Args:
            request: What asked for it, as ask 0 of a draw.
            reply: One sample.
            judge: Turns its text into a verdict.
            started: When the draw was asked for first, by the clock.
            bill: What the draw bears beside the cost on `reply`.
        """
        bill = bill or Bill()
        while True:
            bill.add(reply)
            verdict = judge(reply.texts[0])
            answer = usable(reply, verdict, self._clock() - started)
            missing = why_unusable(reply, verdict)
            if missing is None:
                return bill.charge(answer)
            bill.troubles.append((missing, verdict.problem, answer.text))
            if missing in FINAL or bill.asks == self._max_asks:
                return bill.charge(answer._replace(decision=None, missing=missing, rationale=""))
            seed = mix(request.seed, bill.asks) & _SEED_MASK
            again = request._replace(seed=seed, draw=(*request.draw[:4], bill.asks))
            try:
                reply = await self._backend.complete(again)
            except BackendUnusable:
                raise
            except BackendError as error:
                return failed(error, bill, self._clock() - started)


def _record_now(draws: Draws, todo: Sequence[int], found: AtOnce, latency_s: float) -> Sequence[int]:
    """Record those draws of `todo` whose replies are usable and plain; give the places of the others."""
    verdicts = [(reply, draws.judge(reply.texts[0])) for reply in found.replies]
    answers = [
        None if verdict.problem or reply.finish or reply.troubles else usable(reply, verdict, latency_s)
        for reply, verdict in verdicts
    ]
    alike = [each for each in answers if each and each.decision is not None and each.value is None]
    if draws.record_drawn is not None and len(alike) == len(answers):
        decisions = [each.decision or 0 for each in alike]
        draws.record_drawn(todo, alike, found.which, [decisions[k] for k in found.which])
        return ()
    left = []
    for place, (i, k) in enumerate(zip(todo, found.which, strict=True)):
        answer = answers[k]
        if answer is None:
            left.append(place)
        else:
            draws.record(i, answer)
    return left
