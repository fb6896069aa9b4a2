"""Sampler mode ``call``: one request a draw, as in the paper."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendError, BackendUnusable
from agentnet.sampler.answers import FINAL, Bill, failed, usable, why_unusable
from agentnet.sampler.at_once import AtOnceDesk
from agentnet.sampler.draws import Answer, Draws, Judge
from agentnet.sampler.pool import Pool
from agentnet.streams import mix

_SEED_MASK = (1 << 63) - 1
_DRAWS_AT_ONCE = 4096


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
        self._has_asked, self._alone = False, set[str]()
        self._desk = AtOnceDesk(backend, pool)
        self._clock = clock

    async def draw(self, draws: Draws) -> None:
        """Answer every draw; see `agentnet.sampler.Sampler`."""
        at_once = self._answers_now and draws.kind not in self._alone
        todo = await self._draw_now(draws) if at_once else draws.todo
        await self._pool.run(self._asker(draws, todo), len(todo))
        self._has_asked = True

    async def _draw_now(self, draws: Draws) -> Sequence[int]:
        """Answer the draws that need no waiting; give the positions of the others."""
        for begin in range(0, len(draws.todo), _DRAWS_AT_ONCE):
            todo = draws.todo[begin : begin + _DRAWS_AT_ONCE]
            left = await self._desk.answer(draws, todo)
            if left is None:
                # Before the first answer nothing comes at once; what has to wait later does so ever after.
                self._alone |= {draws.kind} if self._has_asked else set()
                return draws.todo[begin:]
            await self._pool.run(self._insister(draws, left), len(left))
        return ()

    def _insister(self, draws: Draws, left: Sequence[tuple[int, Reply]]) -> Callable[[int], Awaitable[None]]:
        async def ask(place: int) -> None:
            i, reply = left[place]
            request = draws.request(i, self._run_seed)
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
