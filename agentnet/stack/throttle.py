"""Keep to requests and tokens a minute.

asyncio-throttle polls: with 10,000 coroutines waiting in it a permit costs 800 us and stalls the loop. Here
one task acquires its permits, in windows of a tenth of a second, and hands them out first in, first out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

from asyncio_throttle.throttler import Throttler

from agentnet.backend import Backend, Reply, Request, Wrapper
from agentnet.errors import InternalError, RunStopped, TransientError
from agentnet.stack.halt import Halt
from agentnet.stack.overload import Pause
from agentnet.stack.tokens import PromptTokens

_WINDOW_S: Final = 0.1
_BURST_S: Final = 6.0
_SHORTEST_SLEEP_S: Final = 1e-3
_ROUNDING_S: Final = 1e-6
_PERMITS_BEFORE_YIELD: Final = 256


class LoopThrottler(Throttler):
    """asyncio-throttle by the event loop's clock, which sleeps until the next permit instead of polling.

    Args:
        requests_per_minute: Permits a minute, > 0, spread over windows of a tenth of a second, or of one
            permit where that is longer. No span as long as a window ever has more permits than one window.
    """

    def __init__(self, requests_per_minute: float) -> None:
        in_window = max(1, int(requests_per_minute * _WINDOW_S / 60.0))
        super().__init__(rate_limit=in_window, period=in_window * 60.0 / requests_per_minute)

    def flush(self) -> None:
        """Forget the permits that are older than the window, and say how long to sleep for the next."""
        now = asyncio.get_running_loop().time()
        while self._task_logs and now - self._task_logs[0] >= self.period:
            self._task_logs.popleft()
        if self._task_logs:
            # A sleep that ends a rounding error too early would be followed by ever shorter ones.
            self.retry_interval = self._task_logs[0] + self.period - now + _ROUNDING_S

    async def acquire(self) -> None:
        """Wait for a permit, and take it."""
        await super().acquire()  # type: ignore[no-untyped-call] # its types are partial
        self._task_logs[-1] = asyncio.get_running_loop().time()

    def take(self) -> bool:
        """Take a permit if there is one."""
        self.flush()
        if len(self._task_logs) >= self.rate_limit:
            return False
        self._task_logs.append(asyncio.get_running_loop().time())
        return True

    def give_back(self) -> None:
        """Give back the permit taken last, just now."""
        self._task_logs.pop()


class TokenBucket:
    """Tokens a minute: filled steadily, up to six seconds' worth.

    Args:
        tokens_per_minute: How fast it fills, > 0.
    """

    def __init__(self, tokens_per_minute: float) -> None:
        self._per_second = tokens_per_minute / 60.0
        self._most = self._per_second * _BURST_S
        self._level = self._most
        self._filled_at = asyncio.get_running_loop().time()

    def lacking_s(self, n_tokens: int) -> float:
        """Say how long it takes until `n_tokens` can be taken, in seconds; 0 if they can be now.

        More tokens than it holds can be taken when it is full; those after them wait the longer.
        """
        now = asyncio.get_running_loop().time()
        self._level = min(self._most, self._level + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        return max(0.0, (min(n_tokens, self._most) - self._level) / self._per_second)

    def take(self, n_tokens: int) -> None:
        """Take tokens out."""
        self._level -= n_tokens

    def refund(self, n_tokens: int) -> None:
        """Put tokens back that were taken and not used; fewer than none take more out."""
        self._level = min(self._most, self._level + n_tokens)


class Throttle(Wrapper):
    """Lets requests into `inner` at a bounded rate, in order of arrival.

    Tokens are reserved before a call, as many as it may take, and settled by its reply; those of a failed
    call stay taken, since nobody knows what it used. During a pause nobody gets a permit.

    A request for more tokens than a minute has stops the run: a server with such a limit never takes it.

    Args:
        inner: The backend whose rate is bounded.
        requests_per_minute: Bound on requests, > 0; None for none.
        tokens_per_minute: Bound on tokens, in and out together, > 0; None for none.
        pause: When the server wants no requests; one of its own if not given.
        prompt_tokens: What prompts take; one of its own if not given.
        halt: Ends the wait for a permit; one of its own if not given.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        pause: Pause | None = None,
        prompt_tokens: PromptTokens | None = None,
        halt: Halt | None = None,
    ) -> None:
        super().__init__(inner)
        self._requests_per_minute = requests_per_minute
        self._tokens_per_minute = tokens_per_minute
        self._pause = Pause() if pause is None else pause
        self._prompt_tokens = PromptTokens() if prompt_tokens is None else prompt_tokens
        self._halt = Halt() if halt is None else halt
        self._turnstile: _Turnstile | None = None

    async def complete(self, request: Request) -> Reply:
        """Answer `request` once it has its permits.

        Raises:
            RunStopped: It would never get them.
        """
        turnstile = self._turnstile_here()
        n_tokens = 0
        if turnstile.bucket is not None:
            n_tokens = self._prompt_tokens.likely(request) + request.n * request.max_tokens
            self._refuse_what_never_fits(request)
        if not turnstile.passes(n_tokens):
            await turnstile.wait(n_tokens)
        try:
            reply = await self._inner.complete(request)
        except TransientError as error:
            self._pause.heed(error)
            raise
        if turnstile.bucket is not None:
            turnstile.bucket.refund(n_tokens - self._used(request, reply))
        return reply

    def _refuse_what_never_fits(self, request: Request) -> None:
        """Stop the run before a server of this rate turns a request down, as it would each time."""
        known = self._prompt_tokens.likely(request) if self._prompt_tokens.is_known(request) else 0
        n_tokens = known + request.n * request.max_tokens
        if self._tokens_per_minute is not None and n_tokens > self._tokens_per_minute:
            raise RunStopped(
                f"a request may take {n_tokens:,} tokens ({request.n:,} samples of up to "
                f"{request.max_tokens:,}), more than stack.tokens_per_minute = {self._tokens_per_minute:,g} "
                "admits in a minute: a server with that limit never takes it; lower max_tokens or "
                "sampler.n_at_most in a new run, or resume with a higher stack.tokens_per_minute"
            )

    async def aclose(self) -> None:
        """Cancel whoever still waits for a permit, and close the inner backend."""
        if self._turnstile is not None:
            await self._turnstile.aclose()
        await super().aclose()

    def _used(self, request: Request, reply: Reply) -> int:
        """Count what a call used; what the server does not say, as it was reserved."""
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        if prompt is None:
            prompt = self._prompt_tokens.likely(request)
        else:
            self._prompt_tokens.learn(request, prompt)
        return prompt + (request.n * request.max_tokens if completion is None else completion)

    def _turnstile_here(self) -> _Turnstile:
        """Give the running loop's turnstile: clock, queue and feeder belong to a loop."""
        loop = asyncio.get_running_loop()
        if self._turnstile is None or self._turnstile.loop is not loop:
            rpm, tpm = self._requests_per_minute, self._tokens_per_minute
            self._turnstile = _Turnstile(
                loop,
                None if rpm is None else LoopThrottler(rpm),
                None if tpm is None else TokenBucket(tpm),
                self._pause,
                self._halt,
            )
        return self._turnstile


class _Waiter(NamedTuple):
    permit: asyncio.Future[None]
    n_tokens: int


class _Turnstile:
    """Hands out permits in one event loop, oldest waiter first.

    Args:
        loop: The event loop.
        throttler: Bounds the requests, if anything does.
        bucket: Bounds the tokens, if anything does.
        pause: Nobody passes while it lasts.
        halt: Ends the wait for a permit.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        throttler: LoopThrottler | None,
        bucket: TokenBucket | None,
        pause: Pause,
        halt: Halt,
    ) -> None:
        self.loop = loop
        self.bucket = bucket
        self._throttler = throttler
        self._pause = pause
        self._halt = halt
        self._waiting: deque[_Waiter] = deque()
        self._feeder: asyncio.Task[None] | None = None

    def passes(self, n_tokens: int) -> bool:
        """Take a permit at once, if nobody waits and there is one."""
        if self._waiting or self._wait_s(n_tokens) > 0.0:
            return False
        if self._throttler is not None and not self._throttler.take():
            return False
        self._spend(n_tokens)
        return True

    async def wait(self, n_tokens: int) -> None:
        """Wait in line for a permit."""
        permit: asyncio.Future[None] = self.loop.create_future()
        self._waiting.append(_Waiter(permit, n_tokens))
        if self._feeder is None:
            self._start()
        try:
            await self._halt.wait(permit)
        except asyncio.CancelledError:
            if not permit.cancelled():
                self._give_back(n_tokens)
            raise

    async def aclose(self) -> None:
        """Hand out no more."""
        for waiter in self._waiting:
            waiter.permit.cancel()
        self._waiting.clear()
        if self._feeder is not None and self.loop is asyncio.get_running_loop():
            self._feeder.cancel()
            await asyncio.gather(self._feeder, return_exceptions=True)

    def _start(self) -> None:
        self._feeder = self.loop.create_task(self._feed(), name="agentnet-throttle")
        self._feeder.add_done_callback(self._ended)

    def _ended(self, feeder: asyncio.Task[None]) -> None:
        """See to it that nobody waits for a feeder that is no more, whatever ended it."""
        self._feeder = None
        error = None if feeder.cancelled() else feeder.exception()
        if error is not None:
            while (waiter := self._first()) is not None:
                waiter.permit.set_exception(_broken(error))
        elif self._first() is not None:
            self._start()

    async def _feed(self) -> None:
        """Hand out permits until nobody waits."""
        n_handed_out = 0
        while (waiter := self._first()) is not None:
            if (wait_s := self._wait_s(waiter.n_tokens)) > 0.0:
                # In short sleeps: a refund may bring the tokens sooner, and the waiter may give up.
                await asyncio.sleep(max(_SHORTEST_SLEEP_S, min(wait_s, _WINDOW_S)))
                continue
            if self._throttler is not None:
                await self._throttler.acquire()
                if self._first() is not waiter or self._wait_s(waiter.n_tokens) > 0.0:
                    self._throttler.give_back()
                    continue
            self._waiting.popleft()
            self._spend(waiter.n_tokens)
            waiter.permit.set_result(None)
            n_handed_out += 1
            if n_handed_out % _PERMITS_BEFORE_YIELD == 0:
                await asyncio.sleep(0)

    def _first(self) -> _Waiter | None:
        """Find the oldest who still waits."""
        while self._waiting and self._waiting[0].permit.done():
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def _wait_s(self, n_tokens: int) -> float:
        pause_s = self._pause.left_s()
        if pause_s > 0.0 and self._pause.probe_in_s() <= 0.0:
            # The in-flight limit lets one through, and there may be nobody else who could be that one.
            pause_s = 0.0
        return pause_s if self.bucket is None else max(pause_s, self.bucket.lacking_s(n_tokens))

    def _spend(self, n_tokens: int) -> None:
        if self.bucket is not None:
            self.bucket.take(n_tokens)

    def _give_back(self, n_tokens: int) -> None:
        """Take back what was handed to somebody who gave up before he could use it."""
        if self._throttler is not None:
            self._throttler.give_back()
        if self.bucket is not None:
            self.bucket.refund(n_tokens)


def _broken(error: BaseException) -> InternalError:
    failure = InternalError(f"the throttle failed: {type(error).__name__}: {error}; please report it")
    failure.__cause__ = error
    return failure
