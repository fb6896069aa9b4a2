"""Bound what a run may take: calls, tokens, money. A hard stop that leaves a resumable run."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from agentnet.backend import Backend, Reply, Request
from agentnet.errors import BackendError, ConfigurationError, RunStopped
from agentnet.stack.prices import Price

_CHARACTERS_PER_TOKEN = 3
"""Fewer than there usually are, so that a reservation is rather too large than too small."""


@dataclass(slots=True)
class Spent:
    """What was spent, failed calls included.

    Attributes:
        calls: Calls made.
        prompt_tokens: Tokens in, as servers counted them.
        completion_tokens: Tokens out.
        dollars: US dollars; None if the model's price is unknown.
        unmetered: Calls that were answered without token counts: their cost is estimated from the text.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = 0.0
    unmetered: int = 0


class Budget:
    """Lets requests into `inner` as long as there is money, tokens and calls left for their worst case.

    A request whose worst case does not fit waits for those in flight, which usually take less than was
    reserved for them; if none is in flight, the budget is used up.

    Args:
        inner: The backend whose use is bounded.
        price: The model's price; None if it is unknown.
        spent: What earlier sittings of the run spent; counted on.
        max_calls: Bound on calls, retries included; None for none.
        max_tokens: Bound on tokens, in and out together; None for none.
        max_dollars: Bound on money; None for none.

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
    ) -> None:
        if max_dollars is not None and price is None:
            raise ConfigurationError(
                f"the price of model {inner.model_name!r} is unknown, so its cost cannot be bounded; state it "
                f"in US dollars a million tokens: "
                f"-S 'stack.prices.\"{inner.model_name}\"={{input=0.15, output=0.6}}'"
            )
        self._inner = inner
        self._price = price
        self.spent = Spent() if spent is None else spent
        if price is None:
            self.spent.dollars = None
        self._bounds = (max_calls, max_tokens, max_dollars)
        self._is_bounded = any(bound is not None for bound in self._bounds)
        self._reserved = [0.0, 0.0, 0.0]
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def name(self) -> str:
        """The plug-in's name."""
        return self._inner.name

    @property
    def model_name(self) -> str:
        """The language model asked."""
        return self._inner.model_name

    async def complete(self, request: Request) -> Reply:
        """Answer `request` if what is left covers its worst case.

        Raises:
            RunStopped: It does not.
        """
        if not self._is_bounded:
            return await self._charged(request)
        worst = self._worst_case(request)
        while (bound := self._exceeded(worst)) is not None:
            if self._in_flight == 0:
                raise RunStopped(self._words(bound))
            await self._wait()
        self._reserve(worst, 1)
        try:
            return await self._charged(request)
        finally:
            self._reserve(worst, -1)
            self._wake()

    async def aclose(self) -> None:
        """Close the inner backend."""
        await self._inner.aclose()

    async def _charged(self, request: Request) -> Reply:
        try:
            reply = await self._inner.complete(request)
        except BackendError:
            self.spent.calls += 1
            raise
        self._charge(request, reply)
        return reply

    def _charge(self, request: Request, reply: Reply) -> None:
        spent = self.spent
        spent.calls += reply.attempts
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        if prompt is None or completion is None:
            spent.unmetered += 1
            prompt = _tokens(content for _, content in request.messages) if prompt is None else prompt
            completion = _tokens(reply.texts) if completion is None else completion
        spent.prompt_tokens += prompt
        spent.completion_tokens += completion
        if self._price is not None and spent.dollars is not None:
            spent.dollars += self._price.cost(prompt, completion)

    def _worst_case(self, request: Request) -> tuple[float, float, float]:
        prompt = _tokens(content for _, content in request.messages)
        completion = request.n * request.max_tokens
        dollars = 0.0 if self._price is None else self._price.cost(prompt, completion)
        return 1.0, float(prompt + completion), dollars

    def _exceeded(self, worst: tuple[float, float, float]) -> int | None:
        """Name the first bound that `worst` does not fit under, by its place."""
        spent = self.spent
        so_far = (spent.calls, spent.prompt_tokens + spent.completion_tokens, spent.dollars or 0.0)
        for place, bound in enumerate(self._bounds):
            if bound is not None and so_far[place] + self._reserved[place] + worst[place] > bound:
                return place
        return None

    def _reserve(self, worst: tuple[float, float, float], sign: int) -> None:
        self._in_flight += sign
        self._reserved = (
            [held + sign * amount for held, amount in zip(self._reserved, worst, strict=True)]
            if self._in_flight
            else [0.0, 0.0, 0.0]
        )

    async def _wait(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        await place

    def _wake(self) -> None:
        """Let everybody look again: each worst case is another."""
        for place in self._waiting:
            if not place.done():
                place.set_result(None)
        self._waiting.clear()

    def _words(self, bound: int) -> str:
        spent = self.spent
        what, limit, flag = (
            (f"{spent.calls:,} calls", self._bounds[0], "--max-calls"),
            (f"{spent.prompt_tokens + spent.completion_tokens:,} tokens", self._bounds[1], "--max-tokens"),
            (f"${spent.dollars or 0.0:.4f}", self._bounds[2], "--max-cost"),
        )[bound]
        return (
            f"the budget is used up: {what} spent, and the next call's worst case would go over {flag} {limit}; "
            f"raise {flag} to go on"
        )


def _tokens(texts: object) -> int:
    return 1 + sum(len(text) for text in texts) // _CHARACTERS_PER_TOKEN  # type: ignore[attr-defined]
