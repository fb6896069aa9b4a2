"""Keep to requests and tokens a minute, and pause for everybody when the server says so.

asyncio-throttle polls: with 10,000 coroutines waiting in it a permit costs 800 us and stalls the loop. Here one
task acquires its permits, in windows of a tenth of a second, and hands them out first in, first out.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque

from asyncio_throttle import Throttler

from agentnet.backend import Backend, Messages, Reply, Request
from agentnet.errors import TransientError

_WINDOW_S = 0.1
_CHARACTERS_PER_TOKEN = 4
_JITTER_S = 0.25
_PROMPTS_REMEMBERED = 10_000


def throttler(requests_per_minute: float) -> Throttler:
    """Make a throttler that spreads a minute's permits over windows of a tenth of a second or more."""
    in_window = max(1, int(requests_per_minute * _WINDOW_S / 60.0))
    period_s = in_window * 60.0 / requests_per_minute
    return Throttler(rate_limit=in_window, period=period_s, retry_interval=min(0.01, period_s / 4))


class TokenBucket:
    """Tokens a minute: filled steadily, up to a tenth of a minute's worth ahead.

    Args:
        tokens_per_minute: How fast it fills.
    """

    def __init__(self, tokens_per_minute: float) -> None:
        self._per_second = tokens_per_minute / 60.0
        self._most = tokens_per_minute / 10.0
        self._level = self._most
        self._filled_at = asyncio.get_running_loop().time()

    def wait_s(self, n_tokens: int) -> float:
        """Take `n_tokens`, on credit if need be; say how long to wait until they are earned."""
        now = asyncio.get_running_loop().time()
        self._level = min(self._most, self._level + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        self._level -= n_tokens
        return max(0.0, -self._level / self._per_second)

    def refund(self, n_tokens: int) -> None:
        """Give back tokens that were reserved and not used (negative: take more)."""
        self._level += n_tokens


class Throttle:
    """Lets requests into `inner` at a bounded rate.

    Args:
        inner: The backend whose rate is bounded.
        requests_per_minute: Bound on requests; None for none.
        tokens_per_minute: Bound on tokens, reserved before and settled after each call; None for none.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self._inner = inner
        self._throttler = None if requests_per_minute is None else throttler(requests_per_minute)
        self._tokens_per_minute = tokens_per_minute
        self._bucket: TokenBucket | None = None
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._feeder: asyncio.Task[None] | None = None
        self._paused_until = 0.0
        self._estimates: dict[Messages, int] = {}

    @property
    def name(self) -> str:
        """The plug-in's name."""
        return self._inner.name

    @property
    def model_name(self) -> str:
        """The language model asked."""
        return self._inner.model_name

    async def complete(self, request: Request) -> Reply:
        """Answer `request` once it has its permits."""
        reserved = self._estimate(request) if self._tokens_per_minute is not None else 0
        if self._throttler is not None or reserved or self._is_paused():
            await self._permit(reserved)
        try:
            reply = await self._inner.complete(request)
        except TransientError as error:
            if error.kind == "rate_limit" and error.retry_after_s:
                self._pause(error.retry_after_s)
            raise
        if self._bucket is not None and reply.prompt_tokens is not None:
            self._bucket.refund(reserved - reply.prompt_tokens - (reply.completion_tokens or 0))
        return reply

    async def aclose(self) -> None:
        """Stop handing out permits, and close the inner backend."""
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.gather(self._feeder, return_exceptions=True)
        await self._inner.aclose()

    async def _permit(self, n_tokens: int) -> None:
        permit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((permit, n_tokens))
        if self._feeder is None or self._feeder.done():
            self._feeder = asyncio.create_task(self._feed())
        await permit

    async def _feed(self) -> None:
        """Hand out permits, oldest first, until nobody waits."""
        loop = asyncio.get_running_loop()
        if self._bucket is None and self._tokens_per_minute is not None:
            self._bucket = TokenBucket(self._tokens_per_minute)
        while self._waiting:
            if (pause_s := self._paused_until - loop.time()) > 0:
                # Everybody starting at the same moment is what the server asked not to have.
                await asyncio.sleep(pause_s + random.uniform(0.0, _JITTER_S))
                continue
            permit, n_tokens = self._waiting.popleft()
            if permit.done():
                continue
            if self._throttler is not None:
                await self._throttler.acquire()
            if self._bucket is not None and (wait_s := self._bucket.wait_s(n_tokens)) > 0:
                await asyncio.sleep(wait_s)
            if not permit.done():
                permit.set_result(None)

    def _is_paused(self) -> bool:
        return self._paused_until > 0.0 and asyncio.get_running_loop().time() < self._paused_until

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)

    def _estimate(self, request: Request) -> int:
        n_prompt = self._estimates.get(request.messages)
        if n_prompt is None:
            if len(self._estimates) >= _PROMPTS_REMEMBERED:
                self._estimates.clear()
            characters = sum(len(content) for _, content in request.messages)
            n_prompt = self._estimates[request.messages] = 1 + characters // _CHARACTERS_PER_TOKEN
        return n_prompt + request.n * request.max_tokens
