"""Put load on a backend: closed, or open.

Closed: a number of places, each of which asks again as soon as it has its answer. A run works that way; but a
backend that is slow for a while is asked less meanwhile, so that its worst moments count least.

Open: requests are sent at the times of a Poisson process, whether earlier ones are answered or not, and the
latency counts from the time that was intended, not from when there was a place: no wait is left out
("coordinated omission").
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendError, BackendUnusable
from agentnet.prompts import parse_reply
from agentnet.streams import Streams

Judge = Callable[[str], bool]
"""Says whether a sample's text holds a decision."""

UNANSWERED = "unanswered"
"""The trouble of a call that was still in flight when the measurement ended."""

_ARRIVALS_AT_ONCE = 1024
_DRAIN_AT_LEAST_S = 10.0

# A backend that never suspends would keep the other places, and Ctrl-C, from their turn.
_CALLS_BEFORE_YIELD = 64


@dataclass(frozen=True, slots=True)
class Bound:
    """When a measurement ends: at whichever comes first.

    Attributes:
        calls: Calls begun after the warm-up; None for no bound.
        seconds: Time after the warm-up in which calls are begun; None for no bound.
        warm_up: Calls before the measurement; None for as many as there are places, or as come in a second.
    """

    calls: int | None = None
    seconds: float | None = None
    warm_up: int | None = None


class Call(NamedTuple):
    """One request and what became of it. Times are seconds since the load began.

    Attributes:
        number: Order of sending, from 0.
        intended_s: When it was to be sent.
        started_s: When it was sent.
        ended_s: When it was answered, or failed, or given up.
        trouble: Kind of the error; `UNANSWERED`; ``""`` for a reply.
        n_samples: Samples in the reply.
        n_usable: Those that hold a decision.
        prompt_tokens: Tokens in; None if unknown or if there is no reply.
        completion_tokens: Tokens out, likewise.
    """

    number: int
    intended_s: float
    started_s: float
    ended_s: float
    trouble: str = ""
    n_samples: int = 0
    n_usable: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def latency_s(self) -> float:
        """Seconds from the intended time to the end."""
        return self.ended_s - self.intended_s

    @property
    def wait_s(self) -> float:
        """Seconds from the intended time until there was a place for it."""
        return self.started_s - self.intended_s


@dataclass(frozen=True, slots=True)
class MeasuredLoad:
    """A load that was put on a backend. Times are seconds since it began.

    Attributes:
        in_flight: Places; None for as many as it takes.
        rate: Requests a second that were intended; None for a closed loop.
        calls: All calls, in the order of sending, those of the warm-up first.
        n_warm_up: How many these are.
        from_s: End of the warm-up: the first measured call was due.
        to_s: No call was due after it; in a closed loop, all places were busy until then.
        is_stopped: Whether it was broken off.
        error: Why the backend could not be asked any more, if it could not.
    """

    in_flight: int | None
    rate: float | None
    calls: tuple[Call, ...]
    n_warm_up: int
    from_s: float
    to_s: float
    is_stopped: bool
    error: BackendUnusable | None


def holds_decision(text: str) -> bool:
    """Say whether a text holds a decision."""
    return not parse_reply(text).problem


async def closed_loop(
    backend: Backend,
    requests: Iterator[Request],
    *,
    in_flight: int,
    bound: Bound,
    stop: asyncio.Event | None = None,
    judge: Judge = holds_decision,
) -> MeasuredLoad:
    """Keep `in_flight` requests in flight until `bound` is reached.

    Args:
        backend: Who answers.
        requests: What is asked; without end.
        in_flight: Places, >= 1.
        bound: When to end.
        stop: Set it to break off; what is in flight is given up.
        judge: Says whether a sample holds a decision.
    """
    warm_up = in_flight if bound.warm_up is None else bound.warm_up
    sending = _Sending(backend, requests, bound, warm_up, judge)

    async def place() -> None:
        while (number := sending.begin(sending.now())) is not None:
            await sending.ask(number)
            if number % _CALLS_BEFORE_YIELD == 0:
                await asyncio.sleep(0)
        sending.end(sending.now())

    is_stopped = await sending.run([asyncio.create_task(place()) for _ in range(in_flight)], stop)
    return sending.load(in_flight, None, is_stopped=is_stopped)


async def open_rate(
    backend: Backend,
    requests: Iterator[Request],
    *,
    rate: float,
    bound: Bound,
    seed: int = 0,
    in_flight: int | None = None,
    stop: asyncio.Event | None = None,
    judge: Judge = holds_decision,
) -> MeasuredLoad:
    """Send `rate` requests a second at the times of a Poisson process until `bound` is reached.

    Then it waits for the answers, as long as the sending took and 10 s more. What is unanswered after that is
    given up, and counts as unanswered.

    Args:
        backend: Who answers.
        requests: What is asked; without end.
        rate: Mean number of requests a second, > 0.
        bound: When to end.
        seed: Fixes the times.
        in_flight: Requests in flight at most, others wait for a place in the order of their times; None for
            no bound.
        stop: Set it to break off; what is in flight is given up.
        judge: Says whether a sample holds a decision.
    """
    warm_up = max(1, round(rate)) if bound.warm_up is None else bound.warm_up
    sending = _Sending(backend, requests, bound, warm_up, judge)
    places: AbstractAsyncContextManager[object] = (
        nullcontext() if in_flight is None else asyncio.Semaphore(in_flight)
    )
    asking: set[asyncio.Task[None]] = set()

    async def ask(number: int) -> None:
        async with places:
            await sending.ask(number)

    async def send() -> None:
        for due in arrivals(rate, seed):
            number = sending.begin(due)
            if number is None:
                sending.end(min(due, sending.bound_s))
                break
            await asyncio.sleep(due - sending.now())
            task = asyncio.create_task(ask(number))
            asking.add(task)
            task.add_done_callback(asking.discard)
        await _wait_for(asking, sending.now() + _DRAIN_AT_LEAST_S)

    try:
        is_stopped = await sending.run([asyncio.create_task(send())], stop)
    finally:
        await _cancel(asking)
    return sending.load(in_flight, rate, is_stopped=is_stopped)


def arrivals(rate: float, seed: int) -> Iterator[float]:
    """Draw the times of a Poisson process of `rate` events a second, without end."""
    now = 0.0
    for batch in count():
        gaps = Streams(seed).generator("arrivals", batch).exponential(1.0 / rate, size=_ARRIVALS_AT_ONCE)
        for gap in gaps.tolist():
            now += gap
            yield now


class _Sending:
    """A load under way: begins calls, makes them, and takes down what became of them."""

    def __init__(
        self, backend: Backend, requests: Iterator[Request], bound: Bound, n_warm_up: int, judge: Judge
    ) -> None:
        self._backend = backend
        self._requests = requests
        self._bound = bound
        self._n_warm_up = n_warm_up
        self._judge = judge
        self._clock = asyncio.get_running_loop().time
        self._begun_at = self._clock()
        self._due: list[float] = []
        self._calls: dict[int, Call] = {}
        self._started: dict[int, float] = {}
        self._from_s: float | None = None
        self._to_s: float | None = None
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def now(self) -> float:
        """Seconds since the load began."""
        return self._clock() - self._begun_at

    def begin(self, due: float) -> int | None:
        """Number the call that is due next; None if there is to be none."""
        number = len(self._due)
        n_measured = number - self._n_warm_up
        if n_measured == 0:
            self._from_s = due
        if n_measured == self._bound.calls or due >= self.bound_s or self._broken.done():
            return None
        self._due.append(due)
        return number

    @property
    def bound_s(self) -> float:
        """When the time bound is reached; infinite if there is none, or before the warm-up has ended."""
        if self._bound.seconds is None or self._from_s is None:
            return math.inf
        return self._from_s + self._bound.seconds

    def end(self, when: float) -> None:
        """Take down that no call was due after `when`; the first word counts."""
        if self._to_s is None:
            self._to_s = when

    async def ask(self, number: int) -> None:
        """Make a call that was begun."""
        started = self._started[number] = self.now()
        call = Call(number, self._due[number], started, started)
        request = next(self._requests)
        try:
            self._calls[number] = self._answered(call, await self._backend.complete(request))
        except BackendError as error:
            self._calls[number] = call._replace(ended_s=self.now(), trouble=error.kind)
            if isinstance(error, BackendUnusable):
                self._break(error)
        except Exception as error:  # noqa: BLE001 - a plug-in's bug; `run` raises it
            self._break(error)

    async def run(self, tasks: list[asyncio.Task[None]], stop: asyncio.Event | None) -> bool:
        """Wait for `tasks`; end them when `stop` is set or the backend cannot be asked any more.

        Returns:
            Whether they were stopped.

        Raises:
            Exception: The backend raised something else than a `BackendError`.
        """
        all_done = asyncio.create_task(_wait_for(tasks))
        stopped = asyncio.create_task((stop or asyncio.Event()).wait())
        ends: list[asyncio.Future[Any]] = [all_done, stopped, self._broken]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_stopped = not all_done.done() and not self._broken.done()
            self.end(self.now())
            await _cancel([all_done, stopped, *tasks])
        if self._broken.done() and not isinstance(self._broken.exception(), BackendUnusable):
            self._broken.result()
        return is_stopped

    def load(self, in_flight: int | None, rate: float | None, *, is_stopped: bool) -> MeasuredLoad:
        """Say what was done."""
        now = self.now()
        calls = [self._calls.get(number) or self._given_up(number, now) for number in range(len(self._due))]
        to_s = now if self._to_s is None else self._to_s
        from_s = to_s if self._from_s is None else self._from_s
        error = self._broken.exception() if self._broken.done() else None
        assert error is None or isinstance(error, BackendUnusable)
        # A call that would have been due only after the end was never sent.
        calls = [call for call in calls if call.intended_s <= now]
        n_warm_up = min(self._n_warm_up, len(calls))
        return MeasuredLoad(in_flight, rate, tuple(calls), n_warm_up, from_s, to_s, is_stopped, error)

    def _answered(self, call: Call, reply: Reply) -> Call:
        return call._replace(
            ended_s=self.now(),
            n_samples=len(reply.texts),
            n_usable=sum(map(self._judge, reply.texts)),
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
        )

    def _given_up(self, number: int, now: float) -> Call:
        return Call(number, self._due[number], self._started.get(number, now), now, UNANSWERED)

    def _break(self, error: Exception) -> None:
        if not self._broken.done():
            self._broken.set_exception(error)
            # Seen, also if the load is broken off before anybody asks.
            self._broken.exception()


async def _wait_for(tasks: Iterable[asyncio.Task[None]], at_most_s: float | None = None) -> None:
    waiting = set(tasks)
    if waiting:
        await asyncio.wait(waiting, timeout=at_most_s)


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
