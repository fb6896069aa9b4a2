"""Bound what a run may take: calls, tokens, money. A hard stop that leaves a resumable run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from agentnet.backend import AtOnce, Backend, Reply, Request, Wave, Wrapper, answer_now, check_reply
from agentnet.errors import BackendError, ConfigurationError, RunStopped, ServerUnreachable
from agentnet.stack.halt import Halt
from agentnet.stack.prices import UNITS, Price
from agentnet.stack.tokens import PromptTokens, likely_tokens
from agentnet.voices import OWN, voice_of


class Spent(NamedTuple):
    """What was spent.

    Attributes:
        calls: Calls made, failed ones included.
        prompt_tokens: Tokens in, as servers counted them.
        completion_tokens: Tokens out, likewise.
        dollars: US dollars; None if unknown.
        unmetered: Calls whose tokens no server told: those of a reply are estimated from its text, those of a
            call that broke off count as the most that they can be.
        unpriced: Answers of killed sittings whose tokens no server told and nobody estimated.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = None
    unmetered: int = 0
    unpriced: int = 0


class _Load(NamedTuple):
    """What one call may take at most, or several together. Whole numbers: sums of money would drift."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    money: int = 0


_NOTHING: Final = _Load(0, 0, 0)
_new = tuple.__new__

_PART_PLEDGED: Final = 20
"""Of what is left, a twentieth is pledged ahead: more costs more at a kill, less more commits."""
_MOST_CALLS_PLEDGED: Final = 200
_LEAST_DOLLARS: Final = 1e-15


class Budget(Wrapper):
    """Lets requests into `inner` as long as calls, tokens and money are left for their worst case.

    A request whose worst case does not fit beside those of the requests in flight waits for them, in order of
    arrival: usually they take less. One that would not fit either if they took nothing stops the run. The
    worst case of a prompt is what a server has counted in it, or a bound from its bytes; that of a reply is
    what was allowed, and twice what a server went beyond that before. Until a first reply has shown what
    calls take, bounds on tokens and money let them in one by one.

    A call that fails takes what the server says; if it says nothing and may have done its work (a time-out, a
    broken connection), its worst case. A call that was not made, or reached nobody, is none.

    Args:
        inner: The backend whose use is bounded.
        price: The model's price; None if it is unknown, or that of a voice.
        voices: The price of each voice, where there are several.
        spent: What earlier sittings of the run spent; counted on. Their cost, where it is not known, is
            computed by `price`; where voices differ in price it stays unknown, and bounds take the dearest.
        max_calls: Bound on calls, retries included; None for none.
        max_tokens: Bound on tokens, in and out together; None for none.
        max_dollars: Bound on money, in US dollars; None for none.
        prompt_tokens: What prompts take; one of its own if not given.
        halt: Ends the wait for those in flight; one of its own if not given.
        pledge: Writes down, before calls are made that may bring the run there, what it may have spent in
            all: so calls that a kill cuts off count. Awaited only where something is bounded.

    Raises:
        ConfigurationError: Money is bounded, but the model's price is unknown.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        price: Price | None,
        voices: Mapping[str, Price] | None = None,
        spent: Spent | None = None,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        max_dollars: float | None = None,
        prompt_tokens: PromptTokens | None = None,
        halt: Halt | None = None,
        pledge: Callable[[Spent], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(inner)
        if max_dollars is not None and price is None:
            raise ConfigurationError(unknown_price(inner.model_name))
        earlier = Spent() if spent is None else spent
        if max_dollars is not None and earlier.unpriced:
            raise ConfigurationError(
                f"what the run has cost is unknown: it was killed before anybody estimated the tokens of "
                f"{earlier.unpriced:,} answers, which no server counted; bound it by stack.max_calls or "
                "stack.max_tokens in the place of stack.max_cost"
            )
        self._set_prices({} if price is None else voices or {OWN: price}, earlier)
        self._calls, self._unmetered, self._unpriced = earlier.calls, earlier.unmetered, earlier.unpriced
        self._prompt_tokens, self._completion_tokens = earlier.prompt_tokens, earlier.completion_tokens
        self._max_calls, self._max_tokens, self._max_dollars = max_calls, max_tokens, max_dollars
        self._is_bounded = (max_calls, max_tokens, max_dollars) != (None, None, None)
        self._worst = PromptTokens() if prompt_tokens is None else prompt_tokens
        self._halt = Halt() if halt is None else halt
        self._beyond = 0
        self._is_unheard = (max_tokens, max_dollars) != (None, None)
        self._pledge, self._pledged = pledge, _NOTHING
        self._pledging: asyncio.Future[None] | None = None
        self._reserved = _NOTHING
        self._waiting: deque[tuple[asyncio.Future[_Load | str], Request, _Load]] = deque()

    @property
    def spent(self) -> Spent:
        """What was spent so far, by earlier sittings too."""
        dollars = self._dollars(self._money) if self._is_cost_known and not self._unpriced else None
        tokens = (self._prompt_tokens, self._completion_tokens)
        return Spent(self._calls, *tokens, dollars, self._unmetered, self._unpriced)

    async def complete(self, request: Request) -> Reply:
        """Answer `request` if what is left covers its worst case.

        Raises:
            RunStopped: It does not.
        """
        load = _NOTHING
        if self._is_bounded:
            load = self._load(request)
            if self._waiting or self._has_to_wait(load):
                load = await self._wait_for_room(request, load)
            else:
                self._hold(load, 1)
            if self._pledge is not None and not self._is_pledged():
                await self._wait_for_pledge(load)
        try:
            reply = await self._inner.complete(request)
            check_reply(reply, self)
        except (ServerUnreachable, RunStopped):
            raise
        except BaseException as error:
            self._take_note(request, error)
            raise
        else:
            self._count(request, load, reply)
            return reply
        finally:
            if self._is_bounded:
                self._release(load)

    def answer_now(self, wave: Wave) -> AtOnce | None:
        """Answer at once what `inner` does, unless something is bounded: then each call is looked at."""
        found = None if self._is_bounded else answer_now(self._inner, wave)
        prompt_tokens = completion_tokens = 0
        for reply, n in found.counted() if found else ():
            self._calls += n * reply.attempts
            prompt_tokens += n * (reply.prompt_tokens or 0)
            completion_tokens += n * (reply.completion_tokens or 0)
        self._add(wave.asked[0], prompt_tokens, completion_tokens)
        return found

    def _load(self, request: Request) -> _Load:
        prompt = self._worst.most(request)
        completion = self._worst.most_out(request) + request.n * self._beyond
        # `_Load` itself takes three times as long.
        money = self._cost(request, prompt, completion) if self._rates else 0
        return _new(_Load, (1, prompt, completion, money))

    def _take_note(self, request: Request, error: BaseException) -> None:
        """Count a call that failed, if one was made."""
        if error is self._halt.reason:
            return
        if not isinstance(error, BackendError):
            self._charge(request, None, None, may_be_more=True)
        elif error.attempts:
            self._charge(
                request, error.prompt_tokens, error.completion_tokens, may_be_more=error.may_be_billed
            )

    def _count(self, request: Request, load: _Load, reply: Reply) -> None:
        self._calls += reply.attempts
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        if prompt is None or completion is None:
            prompt, completion = self._estimated(request, reply)
        elif self._is_bounded and (prompt != load.prompt_tokens or completion > request.max_tokens):
            self._learn(request, prompt, completion)
        self._is_unheard = False
        self._add(request, prompt, completion)

    def _charge(
        self, request: Request, prompt: int | None, completion: int | None, *, may_be_more: bool
    ) -> None:
        """Count a failed call: what the server told of it, and else its worst case or nothing."""
        self._calls += 1
        most = self._load(request) if may_be_more else _NOTHING
        self._unmetered += may_be_more and (prompt is None or completion is None)
        self._add(
            request,
            most.prompt_tokens if prompt is None else prompt,
            most.completion_tokens if completion is None else completion,
        )

    def _add(self, request: Request, prompt_tokens: int, completion_tokens: int) -> None:
        self._prompt_tokens += prompt_tokens
        self._completion_tokens += completion_tokens
        if self._rates:
            self._money += self._cost(request, prompt_tokens, completion_tokens)

    def _cost(self, request: Request, prompt_tokens: int, completion_tokens: int) -> int:
        """Price tokens of one request."""
        # A run of one backend has one price, whatever voices its requests name.
        rate = self._rates[voice_of(request.metadata)] if self._only is None else self._only
        a_prompt_token, a_completion_token = rate
        return prompt_tokens * a_prompt_token + completion_tokens * a_completion_token

    def _set_prices(self, prices: Mapping[str, Price], earlier: Spent) -> None:
        """Set what tokens cost, and what is spent of money already."""
        self._rates = {voice: price.units for voice, price in prices.items()}
        self._only = next(iter(self._rates.values())) if len(self._rates) == 1 else None
        self._money, self._dollars_before = 0, earlier.dollars or 0.0
        used = earlier.prompt_tokens + earlier.completion_tokens
        self._is_cost_known = bool(prices)
        if prices and used and earlier.dollars is None:
            dearest = [max(rate) for rate in zip(*self._rates.values(), strict=True)]
            self._money = earlier.prompt_tokens * dearest[0] + earlier.completion_tokens * dearest[1]
            self._is_cost_known = len(set(self._rates.values())) == 1
        if not any(map(any, self._rates.values())):
            self._rates = {}

    def _learn(self, request: Request, prompt: int, completion: int) -> None:
        self._worst.learn(request, prompt)
        over = completion - self._worst.most_out(request)
        if over > 0:
            self._beyond = max(self._beyond, 2 * -(-over // request.n))

    def _estimated(self, request: Request, reply: Reply) -> tuple[int, int]:
        self._unmetered += 1
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        return (
            self._worst.likely(request) if prompt is None else prompt,
            likely_tokens(reply.texts) if completion is None else completion,
        )

    async def _wait_for_room(self, request: Request, load: _Load) -> _Load:
        """Hold what `request` may take, once there is room for it, and return that."""
        place: asyncio.Future[_Load | str] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, request, load))
        self._admit()
        try:
            given = await self._halt.wait(place)
        except asyncio.CancelledError:
            held = None if place.cancelled() else place.result()
            if isinstance(held, _Load):
                self._release(held)
            else:
                self._admit()
            raise
        if isinstance(given, str):
            raise RunStopped(self._used_up(given))
        return given

    def _release(self, load: _Load) -> None:
        self._hold(load, -1)
        if self._waiting:
            self._admit()

    def _admit(self) -> None:
        """Let in, or refuse, whoever is first in line, until one has to wait for those in flight.

        Nobody waits for ever: once nothing is reserved, a load fits or never will.
        """
        while self._waiting:
            place, request, load = self._waiting[0]
            if not place.done():
                # What others took meanwhile may say that this one takes more.
                load = _Load(*map(max, load, self._load(request)))
                bound = self._bound_met(load, _NOTHING)
                if bound is None and self._has_to_wait(load):
                    return
                if bound is None:
                    self._hold(load, 1)
                place.set_result(bound or load)
            self._waiting.popleft()

    def _has_to_wait(self, load: _Load) -> bool:
        is_first_out = self._is_unheard and self._reserved.calls > 0
        return is_first_out or self._bound_met(load, self._reserved) is not None

    def _is_pledged(self) -> bool:
        calls, prompt, completion, _ = self._reserved
        pledged = self._pledged
        return (
            self._calls + calls <= pledged.calls
            and self._prompt_tokens + prompt <= pledged.prompt_tokens
            and self._completion_tokens + completion <= pledged.completion_tokens
        )

    async def _wait_for_pledge(self, load: _Load) -> None:
        """Have it written that so much may be spent; one pledge serves all who wait for it."""
        try:
            while not self._is_pledged():
                if self._pledging is None or self._pledging.done():
                    self._pledging = asyncio.ensure_future(self._pledge_for(load))
                # Shielded: who stops waiting must not break it off for others.
                await asyncio.shield(self._pledging)
        except BaseException:
            self._release(load)
            raise

    async def _pledge_for(self, load: _Load) -> None:
        assert self._pledge is not None
        ahead = self._calls_ahead(load)
        most = _Load(
            *(
                spent + reserved + ahead * each
                for spent, reserved, each in zip(self.spent[:3], self._reserved[:3], load[:3], strict=True)
            )
        )
        # What is pledged may be less than before: meanwhile nobody goes by what will not stand there.
        self._pledged = _Load(*map(min, self._pledged, most))
        await self._pledge(Spent(*most[:3]))
        self._pledged = most

    def _calls_ahead(self, load: _Load) -> int:
        """Say for how many more such calls to pledge at once: a kill may cost a part of what is left."""
        calls, prompt, completion = (a + b for a, b in zip(self.spent[:3], self._reserved[:3], strict=True))
        left = [float(_MOST_CALLS_PLEDGED * _PART_PLEDGED)]
        if self._max_calls is not None:
            left.append(self._max_calls - calls)
        if self._max_tokens is not None:
            each = load.prompt_tokens + load.completion_tokens
            left.append((self._max_tokens - prompt - completion) / each)
        if self._max_dollars is not None:
            dollars = self._dollars(self._money + self._reserved.money)
            left.append((self._max_dollars - dollars) / max(load.money / UNITS, _LEAST_DOLLARS))
        return max(0, int(min(left) / _PART_PLEDGED))

    def _hold(self, load: _Load, sign: int) -> None:
        calls, prompt, completion, money = self._reserved
        a_call, of_prompt, of_completion, of_money = load
        self._reserved = _new(
            _Load,
            (
                calls + sign * a_call,
                prompt + sign * of_prompt,
                completion + sign * of_completion,
                money + sign * of_money,
            ),
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
        money = self._money + load.money + reserved.money
        if self._max_dollars is not None and self._dollars(money) > self._max_dollars:
            return "dollars"
        return None

    def _dollars(self, money: int) -> float:
        """Write money in US dollars. Never falls with it, rounding included, so that the bound is exact."""
        return self._dollars_before + money / UNITS

    def _used_up(self, bound: str) -> str:
        spent = self.spent
        match bound:
            case "calls":
                so_far, limit, setting = f"{spent.calls:,} calls", f"{self._max_calls:,}", "max_calls"
            case "tokens":
                n_tokens = spent.prompt_tokens + spent.completion_tokens
                so_far, limit, setting = f"{n_tokens:,} tokens", f"{self._max_tokens:,}", "max_tokens"
            case _:
                dollars = self._dollars(self._money)
                so_far, limit, setting = f"${dollars:,.4f}", f"${self._max_dollars:,.10g}", "max_cost"
        return (
            f"the budget is used up: {so_far} spent, and the next call's worst case would go over {limit}; "
            f"resume the run with a higher stack.{setting} to go on"
        )


def unknown_price(model_name: str) -> str:
    """Say that a model's price is unknown, and how to state it."""
    return (
        f"the price of model {model_name!r} is unknown, so its cost cannot be bounded; state it in dollars a "
        f"million tokens: -S 'stack.prices.\"{model_name}\"={{input=0.15, output=0.6}}'"
    )
