"""Sampler mode ``choices``: one request returns many draws, so a prompt is paid once for all of them.

The repeats of one news item ask the same questions, again and again. So the draws of a question are numbered:
draw j of repeat r takes the sample of that number from the stock of the question. Samples come in blocks,
each a request, that double in size (1, 2, 4, ... draws of every repeat) up to what a request may ask for. In
which block a draw finds its sample follows from its number alone, so neither the order in which realizations
get there nor an interruption changes who gets what. Samples that nobody comes for are the price.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendError, BackendUnusable, PluginError
from agentnet.sampler.call import Bill, CallSampler, lost, record_all, usable, why_unusable
from agentnet.sampler.copies import LEVEL, Copies
from agentnet.sampler.draws import Answer, Draws, Question
from agentnet.sampler.pool import Pool
from agentnet.sampler.shared import Shared
from agentnet.streams import Streams
from agentnet.voices import voice_of


class Block(NamedTuple):
    """A request's worth of samples.

    Attributes:
        chunk: Number of the group of repeats that it serves.
        first: First draw of each repeat that it serves.
        n_draws: Draws of each repeat.
        n_repeats: Repeats served.
    """

    chunk: int
    first: int
    n_draws: int
    n_repeats: int

    @property
    def n(self) -> int:
        """Samples in it."""
        return self.n_draws * self.n_repeats


def locate(draw: int, repeat: int, n_repeats: int, n_at_most: int) -> tuple[Block, int]:
    """Find the block of draw number `draw` of repeat number `repeat`, and the sample's place in it.

    Args:
        draw: How many draws of the question the repeat made before, >= 0.
        repeat: In [0, n_repeats).
        n_repeats: Repeats that ask the question.
        n_at_most: Samples that a request asks for at most, >= 1.

    Examples:
        >>> locate(0, 3, 5, 128)
        (Block(chunk=0, first=0, n_draws=1, n_repeats=5), 3)
        >>> locate(4, 1, 5, 128)
        (Block(chunk=0, first=3, n_draws=4, n_repeats=5), 6)
    """
    width = min(n_repeats, n_at_most)
    chunk, place = divmod(repeat, width)
    served = min(width, n_repeats - chunk * width)
    largest = max(1, n_at_most // served)
    # Blocks of 1, 2, 4, ... draws begin at 0, 1, 3, ...; those of `largest` draws where the doubling ends.
    n_doubling = largest.bit_length()
    doubled = 2**n_doubling - 1
    if draw < doubled:
        size = 2 ** ((draw + 1).bit_length() - 1)
        first = size - 1
    else:
        size = largest
        first = doubled + (draw - doubled) // largest * largest
    return Block(chunk, first, size, served), (draw - first) * served + place


Place = tuple[int, float, Block]
"""(question number, temperature, block)."""


class _Part(NamedTuple):
    """The reply to one of the requests for a block, and what it is good for."""

    reply: Reply
    n_samples: int
    latency_s: float


class _Failure(NamedTuple):
    """Why a block has no more samples."""

    error: BackendError
    latency_s: float


@dataclass(slots=True, eq=False)
class _Parcel:
    """A block as it came; made by `_pack`.

    Attributes:
        samples: Each sample as a reply of its own that costs nothing, and how long it took.
        failure: Why the block has fewer samples than places, if it has.
        bill: What the whole block cost, until somebody bears it.
    """

    samples: list[tuple[Reply, float]]
    failure: _Failure | None
    bill: Bill

    def take_bill(self) -> Bill:
        """Hand over the cost of the whole block to whoever comes first, and nothing to others.

        So sums are exact whoever comes, and samples that nobody comes for are counted too.
        """
        bill, self.bill = self.bill, Bill()
        bill.asks = 0
        return bill


def _pack(parts: list[_Part], failure: _Failure | None) -> _Parcel:
    # What came from the cache is not paid, so beside something paid it must not count.
    paid = [part.reply for part in parts if not part.reply.cached]
    cached = not paid and failure is None
    bill = Bill()
    for reply in [part.reply for part in parts] if cached else paid:
        bill.add(reply)
    if failure is not None:
        bill.add(failure.error)
    samples = [sample for part in parts for sample in _unpacked(part, cached=cached)]
    return _Parcel(samples, failure, bill)


def _unpacked(part: _Part, *, cached: bool) -> Iterator[tuple[Reply, float]]:
    reply = part.reply
    free = reply._replace(
        prompt_tokens=None if reply.prompt_tokens is None else 0,
        completion_tokens=None if reply.completion_tokens is None else 0,
        attempts=0,
        troubles=(),
        cached=cached,
    )
    for index, text in enumerate(reply.texts[: part.n_samples]):
        ended = reply.finish[index] if reply.finish else "stop"
        yield free._replace(texts=(text,), finish=() if ended == "stop" else (ended,)), part.latency_s


class Stock:
    """The samples of a run, shared by its realizations.

    Args:
        backend: Who answers, with its stack around it.
        run_seed: Fixes the seeds of the requests.
        n_at_most: Samples asked for by one request at most.
        clock: Measures latencies, in seconds.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        run_seed: int,
        n_at_most: int,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._backend = backend
        self._streams = Streams(run_seed)
        self._run_seed = run_seed
        self.n_at_most = n_at_most
        self.clock = clock
        # Of each voice its own: samples of another server say nothing of this one's.
        self._copies: defaultdict[str, Copies] = defaultdict(Copies)
        self.parcels: Shared[Place, Question, _Parcel] = Shared(self._buy)

    async def _buy(self, place: Place, question: Question) -> _Parcel:
        n_left = n_at_once = place[2].n
        parts: list[_Part] = []
        while n_left:
            request = self._request(place, question, len(parts), min(n_left, n_at_once))
            started = self.clock()
            try:
                reply = await self._backend.complete(request)
            except BackendUnusable:
                raise
            except BackendError as error:
                return _pack(parts, _Failure(error, self.clock() - started))
            if not reply.texts:
                raise PluginError(f"backend {self._backend.name!r} gave a reply without any text: mend it")
            # A server may give more than it was asked for.
            n_samples = min(len(reply.texts), request.n)
            self._weigh(place, reply.texts[:n_samples], voice_of(question.metadata))
            parts.append(_Part(reply, n_samples, self.clock() - started))
            n_left -= n_samples
            # Or it ignores `n`, or caps it: what it gives at once is asked for at once from then on. In this
            # block alone, for what is asked must not depend on which block came first.
            n_at_once = n_samples
        return _pack(parts, None)

    def _weigh(self, place: Place, texts: tuple[str, ...], voice: str) -> None:
        """Stop the run if a voice's requests for several samples return one sample over and over."""
        self._copies[voice].note(place[:2], texts)
        if self._copies[voice].are_found:
            whose = f"backend {self._backend.name!r}{voice and f' (voice {voice})'}"
            raise BackendUnusable(
                f"{whose} returns one sample n times over: samples of one request "
                "are the same, those of several requests for the same question are not (by chance less than "
                f"once in {1 / LEVEL:,.0f} runs). Mode 'choices' needs samples of their own: begin a new run "
                "with -S sampler.mode=call",
                kind="same_samples",
            )

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
        needs = {located[i][0]: draws.questions[i] for i in draws.todo}
        again: list[tuple[int, _Parcel, int]] = []
        try:
            await self._stock.parcels.obtain(needs, self._pool)
        finally:
            # When the run was stopped, too: what came is paid, and kept.
            record_all(draws.record, self._answers(draws, located, again))
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

    def _answers(
        self, draws: Draws, located: list[tuple[Place, int]], again: list[tuple[int, _Parcel, int]]
    ) -> Iterator[tuple[int, Answer]]:
        """Open the parcels that came; unusable samples go to `again`."""
        for i in draws.todo:
            place, position = located[i]
            parcel = self._stock.parcels.get(place)
            if parcel is None:
                continue
            if position >= len(parcel.samples):
                assert parcel.failure is not None
                error, latency_s = parcel.failure
                yield i, lost(error, _first_ask(parcel), latency_s)
                continue
            reply, latency_s = parcel.samples[position]
            verdict = draws.judge(reply.texts[0])
            if why_unusable(reply, verdict) is not None:
                again.append((i, parcel, position))
                continue
            bill = parcel.take_bill()
            bill.add(reply)
            yield i, bill.charge(usable(reply, verdict, latency_s))

    def _insister(
        self, draws: Draws, again: list[tuple[int, _Parcel, int]]
    ) -> Callable[[int], Awaitable[None]]:
        async def insist(k: int) -> None:
            i, parcel, position = again[k]
            reply, latency_s = parcel.samples[position]
            request = draws.request(i, self._run_seed)
            started = self._stock.clock() - latency_s
            answer = await self._caller.insist(request, reply, draws.judge, started, parcel.take_bill())
            draws.record(i, answer)

        return insist


def _first_ask(parcel: _Parcel) -> Bill:
    bill = parcel.take_bill()
    bill.asks = 1
    return bill
