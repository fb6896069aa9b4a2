"""Sampler mode ``call``: one request a draw, as in the paper."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendError, BackendUnusable, RequestRejected
from agentnet.sampler.draws import Answer, Draws, Judge, Trouble, Verdict
from agentnet.sampler.pool import Pool
from agentnet.streams import mix

_SEED_MASK = (1 << 63) - 1
_NEVER_A_DECISION = {"refusal": "refused", "content_filter": "content_filter", "length": "length"}
_FINAL = {"refused", "content_filter"}


class CallSampler:
    """Asks one request for each draw, unusable replies again within a bound.

    Args:
        backend: Who answers, with its stack around it.
        pool: Where the draws wait for a worker.
        run_seed: First part of every draw key.
        max_asks: How often a question is asked while its replies are unusable, >= 1.
    """

    def __init__(self, backend: Backend, pool: Pool, *, run_seed: int, max_asks: int) -> None:
        self._backend = backend
        self._pool = pool
        self._run_seed = run_seed
        self._max_asks = max_asks

    async def draw(self, draws: Draws) -> None:
        """Answer every draw; see `agentnet.sampler.Sampler`."""
        await self._pool.run(self._asker(draws), len(draws))

    def _asker(self, draws: Draws) -> Callable[[int], Awaitable[None]]:
        complete, prefix = self._backend.complete, (self._run_seed, draws.realization, draws.kind, draws.step)
        questions, agents, sources, repeats = draws.questions, draws.agents, draws.sources, draws.repeats
        temperatures, seeds, judge, record = draws.temperatures, draws.seeds, draws.judge, draws.record

        async def ask(i: int) -> None:
            """Take the usual way, one usable reply, without a detour: this is a run's hot path."""
            _, messages, metadata, answers, schema, max_tokens = questions[i]
            key = (prefix, agents[i], sources[i], repeats[i], 0)
            started = perf_counter()
            request = Request(
                messages, temperatures[i], 1, max_tokens, answers, schema, False, seeds[i], key, metadata
            )
            try:
                reply = await complete(request)
            except BackendUnusable:
                raise
            except BackendError as error:
                record(i, _failed(error, _Bill(), perf_counter() - started))
                return
            verdict = judge(reply.texts[0])
            if verdict.problem or reply.finish or reply.troubles:
                record(i, await self._insist(request, reply, judge, started))
            else:
                record(i, _usable(reply, verdict, perf_counter() - started))

        return ask

    async def _insist(self, request: Request, reply: Reply, judge: Judge, started: float) -> Answer:
        """Judge `reply` in full and ask again, with another seed, while it is unusable."""
        bill = _Bill()
        while True:
            bill.add(reply)
            verdict = judge(reply.texts[0])
            answer = _usable(reply, verdict, perf_counter() - started)
            missing = _why_unusable(reply, verdict)
            if missing is None:
                return bill.charge(answer)
            bill.troubles.append((missing, verdict.problem, answer.text))
            if missing in _FINAL or bill.asks == self._max_asks:
                return bill.charge(answer._replace(decision=None, missing=missing, rationale=""))
            seed = mix(request.seed, bill.asks) & _SEED_MASK
            again = request._replace(seed=seed, draw=(*request.draw[:4], bill.asks))
            try:
                reply = await self._backend.complete(again)
            except BackendUnusable:
                raise
            except BackendError as error:
                return _failed(error, bill, perf_counter() - started)


@dataclass(slots=True)
class _Bill:
    """What one draw has cost so far, over all its asks."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    asks: int = 0
    attempts: int = 0
    troubles: list[Trouble] = field(default_factory=list)

    def add(self, reply: Reply) -> None:
        self.prompt_tokens = _sum(self.prompt_tokens, reply.prompt_tokens)
        self.completion_tokens = _sum(self.completion_tokens, reply.completion_tokens)
        self.asks += 1
        self.attempts += reply.attempts
        self.troubles += [(kind, "", None) for kind in reply.troubles]

    def charge(self, answer: Answer) -> Answer:
        return answer._replace(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            asks=self.asks,
            attempts=self.attempts,
            troubles=tuple(self.troubles),
        )


def _usable(reply: Reply, verdict: Verdict, latency_s: float) -> Answer:
    decision = verdict.decision
    return Answer(
        decision if decision is None else int(decision),
        None,
        reply.texts[0],
        verdict.rationale,
        reply.model,
        reply.fingerprint,
        reply.prompt_tokens,
        reply.completion_tokens,
        1,
        reply.attempts,
        reply.cached,
        latency_s,
    )


def _why_unusable(reply: Reply, verdict: Verdict) -> str | None:
    """Name why a reply is no decision: how it ended counts before what it says."""
    finish = reply.finish[0] if reply.finish else "stop"
    return _NEVER_A_DECISION.get(finish, "invalid" if verdict.problem else None)


def _failed(error: BackendError, bill: _Bill, latency_s: float) -> Answer:
    """Record a draw whose last call ended in `error`, after what `bill` holds."""
    missing = error.kind if isinstance(error, RequestRejected) else "failed"
    bill.asks += 1
    bill.attempts += error.attempts
    bill.troubles += [(kind, "", None) for kind in error.troubles]
    bill.troubles.append((error.kind, str(error), None))
    return bill.charge(Answer(None, missing, None, "", "", None, None, None, 0, 0, False, latency_s))


def _sum(a: int | None, b: int | None) -> int | None:
    return a if b is None else b if a is None else a + b
