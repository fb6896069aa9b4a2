"""Sampler mode ``choices``: one request returns many draws, so a prompt is paid once for all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendError, BackendUnusable
from agentnet.sampler.answers import Bill, failed, usable, why_unusable
from agentnet.sampler.call import CallSampler
from agentnet.sampler.draws import Answer, Draws, Question
from agentnet.sampler.pool import Pool
from agentnet.sampler.stock import Block, locate
from agentnet.streams import Streams

Place = tuple[int, float, Block]
"""(question number, temperature, block)."""


@dataclass(slots=True, eq=False)
class _Parcel:
    """One reply with many samples. Whoever opens it first bears its whole cost: so sums are exact."""

    reply: Reply
    is_charged: bool = False

    def take(self, index: int) -> Reply:
        """Give one sample as a reply of its own."""
        reply, first = self.reply, not self.is_charged
        self.is_charged = True
        ended = reply.finish[index] if reply.finish else "stop"
        return reply._replace(
            texts=(reply.texts[index],),
            finish=() if ended == "stop" else (ended,),
            prompt_tokens=reply.prompt_tokens if first or reply.prompt_tokens is None else 0,
            completion_tokens=reply.completion_tokens if first or reply.completion_tokens is None else 0,
            attempts=reply.attempts if first else 0,
            troubles=reply.troubles if first else (),
        )


@dataclass(frozen=True, slots=True)
class _Sample:
    """A sample of a block, or why there is none."""

    parcel: _Parcel | None
    index: int
    error: BackendError | None
    latency_s: float


class Stock:
    """The samples of a run, shared by its realizations.

    Args:
        backend: Who answers, with its stack around it.
        run_seed: Fixes the seeds of the requests.
        n_at_most: Samples asked for by one request at most.
    """

    def __init__(self, backend: Backend, *, run_seed: int, n_at_most: int) -> None:
        self._backend = backend
        self._streams = Streams(run_seed)
        self._run_seed = run_seed
        self.n_at_most = n_at_most
        self._most_returned = n_at_most
        self._blocks: dict[Place, asyncio.Future[list[_Sample]]] = {}

    def claim(self, place: Place) -> bool:
        """Say whether nobody fetches this block yet; who is told so fetches it."""
        if place in self._blocks:
            return False
        self._blocks[place] = asyncio.get_running_loop().create_future()
        return True

    async def sample(self, place: Place, position: int) -> _Sample:
        """Take a sample, once its block is there."""
        # Shielded: who stops waiting must not cancel the block for others.
        return (await asyncio.shield(self._blocks[place]))[position]

    async def fetch(self, place: Place, question: Question) -> None:
        """Buy a claimed block.

        Raises:
            BackendUnusable: No request can succeed; those who wait for the block are told, too.
        """
        block = self._blocks[place]
        try:
            samples = await self._buy(place, question)
        except BaseException as error:
            # Given up, not failed: a resumed or retried step claims it anew.
            del self._blocks[place]
            block.set_exception(error if isinstance(error, Exception) else BackendUnusable("stopped"))
            block.exception()
            raise
        block.set_result(samples)

    async def _buy(self, place: Place, question: Question) -> list[_Sample]:
        block = place[2]
        samples: list[_Sample] = []
        part = 0
        while len(samples) < block.n:
            request = self._request(place, question, part, min(block.n - len(samples), self._most_returned))
            started = perf_counter()
            try:
                reply = await self._backend.complete(request)
            except BackendUnusable:
                raise
            except BackendError as error:
                late = perf_counter() - started
                return samples + [_Sample(None, 0, error, late)] * (block.n - len(samples))
            # A server may ignore `n`, or cap it: what it gives at once is asked for at once from then on.
            if len(reply.texts) < request.n:
                self._most_returned = max(1, min(self._most_returned, len(reply.texts)))
            parcel, late = _Parcel(reply), perf_counter() - started
            samples += [_Sample(parcel, i, None, late) for i in range(min(len(reply.texts), request.n))]
            part += 1
        return samples

    def _request(self, place: Place, question: Question, part: int, n: int) -> Request:
        number, temperature, block = place
        key = ("stock", number, repr(temperature), block.chunk, block.first, part)
        return Request(
            question.messages,
            temperature,
            n,
            question.max_tokens,
            question.answers,
            question.schema,
            seed=self._streams.integer(*key),
            draw=((self._run_seed, number, "stock", block.chunk), block.first, block.n, 0, part),
            metadata=question.metadata,
        )


class ChoicesSampler:
    """Takes the draws of one realization from the run's stock.

    Unusable samples are asked again one by one, as in mode ``call``.

    Args:
        stock: The run's stock.
        caller: Asks again.
        pool: Where requests wait for a worker.
        repeat: Number of this realization among those that ask the same questions.
        n_repeats: How many these are.
        run_seed: First part of every draw key.
    """

    def __init__(
        self, stock: Stock, caller: CallSampler, pool: Pool, *, repeat: int, n_repeats: int, run_seed: int
    ) -> None:
        self._stock = stock
        self._caller = caller
        self._pool = pool
        self._repeat = repeat
        self._n_repeats = n_repeats
        self._run_seed = run_seed
        self._n_drawn: Counter[tuple[int, float]] = Counter()

    async def draw(self, draws: Draws) -> None:
        """Answer every draw; see `agentnet.sampler.Sampler`."""
        if draws.kind == "reason":
            await self._caller.draw(draws)
            return
        located = self._locate(draws)
        claimed = [
            (place, draws.questions[i])
            for i, (place, _) in ((i, located[i]) for i in draws.todo)
            if self._stock.claim(place)
        ]
        await self._pool.run(lambda k: self._stock.fetch(*claimed[k]), len(claimed))
        again: list[tuple[int, Reply, float]] = []
        for i in draws.todo:
            sample = await self._stock.sample(*located[i])
            if sample.parcel is None:
                assert sample.error is not None
                draws.record(i, failed(sample.error, Bill(), sample.latency_s))
                continue
            reply = sample.parcel.take(sample.index)
            answer = _judged(reply, draws, sample.latency_s)
            if answer is None:
                again.append((i, reply, sample.latency_s))
            else:
                draws.record(i, answer)
        await self._pool.run(self._insister(draws, again), len(again))

    def _locate(self, draws: Draws) -> list[tuple[Place, int]]:
        """Number all draws of the step, answered ones too, and find each one's sample."""
        located = []
        for question, temperature in zip(draws.questions, draws.temperatures, strict=True):
            key = (question.number, temperature)
            block, position = locate(self._n_drawn[key], self._repeat, self._n_repeats, self._stock.n_at_most)
            self._n_drawn[key] += 1
            located.append(((*key, block), position))
        return located

    def _insister(
        self, draws: Draws, again: list[tuple[int, Reply, float]]
    ) -> Callable[[int], Awaitable[None]]:
        async def insist(k: int) -> None:
            i, reply, latency_s = again[k]
            request = draws.request(i, self._run_seed)
            started = perf_counter() - latency_s
            draws.record(i, await self._caller.insist(request, reply, draws.judge, started))

        return insist


def _judged(reply: Reply, draws: Draws, latency_s: float) -> Answer | None:
    """Make the answer of a sample; None if its text is unusable and is to be asked for again."""
    verdict = draws.judge(reply.texts[0])
    if why_unusable(reply, verdict) is not None:
        return None
    bill = Bill()
    bill.add(reply)
    return bill.charge(usable(reply, verdict, latency_s))
