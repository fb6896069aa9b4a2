"""Bound what a run may take: calls, tokens, money. A hard stop that leaves a resumable run."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendError, ConfigurationError, RunStopped
from agentnet.stack.halt import Halt
from agentnet.stack.prices import Price
from agentnet.stack.tokens import PromptTokens, likely_tokens
from agentnet.stack.wrapper import Wrapper


class Spent(NamedTuple):
    """What was spent.

    Attributes:
        calls: Calls made, failed ones included.
        prompt_tokens: Tokens in, as servers counted them.
        completion_tokens: Tokens out, likewise.
        dollars: US dollars; None if unknown.
        unmetered: Calls whose reply had no token counts: theirs are estimated from the text.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = None
    unmetered: int = 0


class _Load(NamedTuple):
    """What one call may take at most, or several together. Whole numbers: sums of money would drift."""

    calls: int
    prompt_tokens: int
    completion_tokens: int


_NOTHING: Final = _Load(0, 0, 0)


class Budget(Wrapper):
    """Lets requests into `inner` as long as calls, tokens and money are left for their worst case.

    A request whose worst case does not fit beside those of the requests in flight waits for them, in order of
    arrival: usually they take less. One that would not fit either if they took nothing stops the run. The
    worst case of a prompt is what a server has counted in it, or a bound from its bytes. What a failed call
    used is unknown: it counts as a call without tokens. An attempt that reached no server is no call.

    Args:
        inner: The backend whose use is bounded.
        price: The model's price; None if it is unknown.
        spent: What earlier sittings of the run spent; counted on. Their cost, where it is not known, is
            computed by `price`.
        max_calls: Bound on calls, retries included; None for none.
        max_tokens: Bound on tokens, in and out together; None for none.
        max_dollars: Bound on money, in US dollars; None for none.
        prompt_tokens: What prompts take; one of its own if not given.
        halt: Ends the wait for those in flight; one of its own if not given.

    Raises:
        ConfigurationError: Money is bounded, but the model's price is unknown.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        price: Price | None,
        spent: Spent | None = None,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        max_dollars: float | None = None,
        prompt_tokens: PromptTokens | None = None,
        halt: Halt | None = None,
    ) -> None:
        super().__init__(inner)
        if max_dollars is not None and price is None:
            raise ConfigurationError(_unknown_price(inner.model_name))
        self._price = price
        self._earlier = earlier = Spent() if spent is None else spent
        self._calls, self._unmetered = earlier.calls, earlier.unmetered
        self._prompt_tokens, self._completion_tokens = earlier.prompt_tokens, earlier.completion_tokens
        self._max_calls, self._max_tokens, self._max_dollars = max_calls, max_tokens, max_dollars
        self._is_bounded = (max_calls, max_tokens, max_dollars) != (None, None, None)
        self._worst = PromptTokens() if prompt_tokens is None else prompt_tokens
        self._halt = Halt() if halt is None else halt
        self._reserved = _NOTHING
        self._waiting: deque[tuple[asyncio.Future[str | None], _Load]] = deque()

    @property
    def spent(self) -> Spent:
        """What was spent so far, by earlier sittings too."""
        dollars = self._dollars(self._prompt_tokens, self._completion_tokens)
        return Spent(self._calls, self._prompt_tokens, self._completion_tokens, dollars, self._unmetered)

    async def complete(self, request: Request) -> Reply:
        """Answer `request` if what is left covers its worst case.

        Raises:
            RunStopped: It does not.
        """
        if not self._is_bounded:
            return await self._ask(request)
        load = _Load(1, self._worst.most(request), request.n * request.max_tokens)
        await self._reserve(load)
        try:
            return await self._ask(request)
        finally:
            self._release(load)

    async def _ask(self, request: Request) -> Reply:
        try:
            reply = await self._inner.complete(request)
        except BaseException as error:
            if not _is_no_call(error) and error is not self._halt.reason:
                self._calls += 1
            raise
        self._calls += reply.attempts
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        if prompt is None or completion is None:
            prompt, completion = self._estimated(request, reply)
        elif self._is_bounded:
            self._worst.learn(request, prompt)
        self._prompt_tokens += prompt
        self._completion_tokens += completion
        return reply

    def _estimated(self, request: Request, reply: Reply) -> tuple[int, int]:
        self._unmetered += 1
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        return (
            self._worst.likely(request) if prompt is None else prompt,
            likely_tokens(reply.texts) if completion is None else completion,
        )

    async def _reserve(self, load: _Load) -> None:
        if not self._waiting and self._bound_met(load, self._reserved) is None:
            self._hold(load, 1)
            return
        place: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, load))
        self._admit()
        try:
            bound = await self._halt.wait(place)
        except asyncio.CancelledError:
            if not place.cancelled() and place.result() is None:
                self._release(load)
            else:
                self._admit()
            raise
        if bound is not None:
            raise RunStopped(self._used_up(bound))

    def _release(self, load: _Load) -> None:
        self._hold(load, -1)
        if self._waiting:
            self._admit()

    def _admit(self) -> None:
        """Let in, or refuse, whoever is first in line, until one has to wait for those in flight.

        Nobody waits for ever: once nothing is reserved, a load fits or never will.
        """
        while self._waiting:
            place, load = self._waiting[0]
            if not place.done():
                bound = self._bound_met(load, _NOTHING)
                if bound is None and self._bound_met(load, self._reserved) is not None:
                    return
                if bound is None:
                    self._hold(load, 1)
                place.set_result(bound)
            self._waiting.popleft()

    def _hold(self, load: _Load, sign: int) -> None:
        calls, prompt, completion = self._reserved
        self._reserved = _Load(
            calls + sign * load.calls,
            prompt + sign * load.prompt_tokens,
            completion + sign * load.completion_tokens,
        )

    def _bound_met(self, load: _Load, reserved: _Load) -> str | None:
        """Name the first bound that `load` would go over, beside what is spent and `reserved`."""
        calls = self._calls + load.calls + reserved.calls
        prompt = self._prompt_tokens + load.prompt_tokens + reserved.prompt_tokens
        completion = self._completion_tokens + load.completion_tokens + reserved.completion_tokens
        if self._max_calls is not None and calls > self._max_calls:
            return "calls"
        if self._max_tokens is not None and prompt + completion > self._max_tokens:
            return "tokens"
        if self._max_dollars is not None and (self._dollars(prompt, completion) or 0.0) > self._max_dollars:
            return "dollars"
        return None

    def _dollars(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Price a total of tokens. Never falls with it, rounding included, so that the bound is exact."""
        if self._price is None:
            return None
        earlier = self._earlier
        if earlier.dollars is None:
            return self._price.cost(prompt_tokens, completion_tokens)
        return earlier.dollars + self._price.cost(
            prompt_tokens - earlier.prompt_tokens, completion_tokens - earlier.completion_tokens
        )

    def _used_up(self, bound: str) -> str:
        spent = self.spent
        match bound:
            case "calls":
                so_far, limit, setting = f"{spent.calls:,} calls", f"{self._max_calls:,}", "max_calls"
            case "tokens":
                n_tokens = spent.prompt_tokens + spent.completion_tokens
                so_far, limit, setting = f"{n_tokens:,} tokens", f"{self._max_tokens:,}", "max_tokens"
            case _:
                so_far, limit, setting = f"${spent.dollars:,.4f}", f"${self._max_dollars:,}", "max_cost"
        return (
            f"the budget is used up: {so_far} spent, and the next call's worst case would go over {limit}; "
            f"resume the run with a higher stack.{setting} to go on"
        )


def _is_no_call(error: BaseException) -> bool:
    """Say whether nobody was asked: no connection came about."""
    return isinstance(error, BackendError) and error.attempts == 0


def _unknown_price(model_name: str) -> str:
    return (
        f"the price of model {model_name!r} is unknown, so its cost cannot be bounded; state it in dollars a "
        f"million tokens: -S 'stack.prices.\"{model_name}\"={{input=0.15, output=0.6}}'"
    )
