"""From a draw to its request, and from the reply to an answer.

What all sampler modes share stands first: what a reply is worth, and how a set-up is recognized in which the
model thinks and no answer arrives. Then mode ``call``: one request a draw, as in the paper, be it answered at
once, together with others, or waited for. It is one file, long as it is, for a decision passes all of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from time import perf_counter
from typing import Final, NamedTuple

from agentnet.backend import AtOnce, Backend, Reply, Request, Wave, Wrapper, answer_now
from agentnet.cost import Cost
from agentnet.errors import BackendError, BackendUnusable, PluginError, RequestRejected, RunStopped
from agentnet.plugins import is_own, overstepped
from agentnet.prompts import after_thought
from agentnet.prompts.wrapping import may_be_marked
from agentnet.sampler.draws import Answer, Draws, Judge, Question, Record, Trouble, Verdict, chosen
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
_DRAWS_AT_ONCE: Final = 16_384
"""Draws that are answered at once before signals and progress have their turn: about 40 ms."""
_REMEMBERED: Final = 65_536
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

    def answer_now(self, wave: Wave) -> AtOnce | None:
        """Answer at once what `inner` does, once a reply with an answer has come."""
        found = answer_now(self._inner, wave) if self._is_proven else None
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


Left = Sequence[tuple[int, Reply]]
"""Positions of draws whose replies are to be judged in full, with these."""


class _Waiting(NamedTuple):
    draws: Draws
    todo: Sequence[int]
    told: asyncio.Future[Left | None]


def _tellable(error: BaseException) -> BaseException:
    """Give what a future takes in the place of what it refuses, or takes for the end of who waits."""
    who = "what answers, reads or records answers"
    if isinstance(error, StopIteration):
        return PluginError(f"{who} raised StopIteration")
    return overstepped(who, error) or error


class AtOnceDesk:
    """Has draws answered at once and records them, those of all realizations in a turn of the loop together.

    Args:
        backend: Who answers, with its stack around it.
        pool: Says whether draws may still be begun.
    """

    def __init__(self, backend: Backend, pool: Pool) -> None:
        self._backend = backend
        self._pool = pool
        self._waiting: dict[tuple[str, Judge], list[_Waiting]] = {}
        self._n_waiting = 0
        self._read: dict[tuple[Judge, int], tuple[Reply, Answer | None]] = {}

    def answer(self, draws: Draws, todo: Sequence[int]) -> asyncio.Future[Left | None]:
        """Answer some draws in this turn of the event loop.

        Returns:
            Those that are not recorded, as their replies are to be judged in full; None if all have to wait.
        """
        loop = asyncio.get_running_loop()
        told = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._answer_all)
        self._waiting.setdefault((draws.kind, draws.judge), []).append(_Waiting(draws, todo, told))
        self._n_waiting += len(todo)
        if self._n_waiting >= _DRAWS_AT_ONCE:
            self._answer_all()
        return told

    def _answer_all(self) -> None:
        groups, self._waiting, self._n_waiting = self._waiting, {}, 0
        for alike in groups.values():
            if waiting := [each for each in alike if not each.told.done()]:
                self._answer(waiting)

    def _answer(self, waiting: Sequence[_Waiting]) -> None:
        """Answer draws of one kind, and tell each who waits what became of his."""
        try:
            self._pool.check()
            found = answer_now(self._backend, _wave(waiting))
            record = None if found is None else self._recorder(waiting[0].draws.judge, found)
        except BaseException as error:
            # In a callback of the loop it would only be noted, and whoever waits would wait for ever.
            if not is_own(error):
                raise
            for each in waiting:
                each.told.set_exception(_tellable(error))
            return
        end = 0
        for draws, todo, told in waiting:
            begin, end = end, end + len(todo)
            try:
                told.set_result(None if record is None else record(draws, todo, range(begin, end)))
            except BaseException as error:
                if not is_own(error):
                    raise
                told.set_exception(_tellable(error))

    def _recorder(self, judge: Judge, found: AtOnce) -> Callable[[Draws, Sequence[int], range], Left]:
        """Make what records those draws whose replies are usable and plain, and gives the others."""
        answers = [self._plain(judge, reply) for reply in found.replies]
        alike = [each for each in answers if each and each.decision is not None and each.value is None]
        decisions = [each.decision or 0 for each in alike]

        def record(draws: Draws, todo: Sequence[int], places: range) -> Left:
            which = chosen(found.which, places)
            if draws.record_drawn is not None and len(alike) == len(answers):
                draws.record_drawn(todo, alike, which, [decisions[k] for k in which])
                return ()
            left = []
            for i, k in zip(todo, which, strict=True):
                answer = answers[k]
                if answer is None:
                    left.append((i, found.replies[k]))
                else:
                    draws.record(i, answer)
            return left

        return record

    def _plain(self, judge: Judge, reply: Reply) -> Answer | None:
        """Make the answer of a reply that came at once; None where it is to be judged in full."""
        found = self._read.get((judge, id(reply)))
        if found is None:
            verdict = judge(reply.texts[0])
            is_plain = not (verdict.problem or reply.finish or reply.troubles)
            if len(self._read) == _REMEMBERED:
                self._read.clear()
            # The reply stays, so that no other one can stand where it does.
            found = self._read[judge, id(reply)] = reply, usable(reply, verdict, 0.0) if is_plain else None
        return found[1]


def _wave(waiting: Sequence[_Waiting]) -> Wave:
    """Gather draws, each asked alone, by their questions; who they are of is left out."""
    questions = list(chain.from_iterable(chosen(draws.questions, todo) for draws, todo, _ in waiting))
    ids = list(map(id, questions))
    different = dict(zip(ids, questions, strict=True))
    place = dict(zip(different, count()))
    return Wave(
        [*map(_unaddressed, different.values())],
        [place[each] for each in ids],
        list(chain.from_iterable(chosen(draws.temperatures, todo) for draws, todo, _ in waiting)),
        list(chain.from_iterable(chosen(draws.seeds, todo) for draws, todo, _ in waiting)),
    )


def _unaddressed(question: Question) -> Request:
    _, messages, metadata, answers, schema, max_tokens = question
    return Request(messages, 1.0, 1, max_tokens, answers, schema, metadata=metadata)


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
            if begin:
                # Signals and progress run meanwhile: whoever fills a wave himself is told in the same turn.
                await asyncio.sleep(0)
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
