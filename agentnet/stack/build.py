"""Put the wrappers around a backend as the settings say."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from agentnet.backend import Adapts, Backend, HasServers
from agentnet.config import BackendSettings, StackSettings
from agentnet.errors import ConfigurationError
from agentnet.stack.adaptive import AdaptiveLimit, LimitChange
from agentnet.stack.budget import Budget, Spent, unknown_price
from agentnet.stack.cache import Cache
from agentnet.stack.halt import Halt
from agentnet.stack.overload import Pause
from agentnet.stack.prices import Price, Prices
from agentnet.stack.retry import Retry
from agentnet.stack.throttle import Throttle
from agentnet.stack.tokens import PromptTokens
from agentnet.stack.trial import Adapting, FirstAlone
from agentnet.voices import OWN, VoicePart, by_voice, parts_of

_PROBE_AFTER_S: Final = 2.0
_PLACES: Final = frozenset({"base_url", "endpoints"})


@dataclass(frozen=True, slots=True)
class Stack:
    """A backend with its wrappers around it; of several voices each has its own, but for the budget.

    Attributes:
        backend: The outermost wrapper: what a sampler asks, and what is closed in the end.
        budget: Knows what was spent.
        limits: Voice -> knows how many of its requests are in flight, and how many may be.
        caches: Voice -> its cache; none where it is off.
        pauses: Voice -> knows until when its server wants no requests.
    """

    backend: Backend
    budget: Budget
    limits: Mapping[str, AdaptiveLimit]
    caches: Mapping[str, Cache]
    pauses: Mapping[str, Pause]

    @property
    def limit(self) -> AdaptiveLimit:
        """The in-flight limit of the run's own backend."""
        return self.limits[OWN]

    @property
    def cache(self) -> Cache | None:
        """The cache of the run's own backend; None if it is off."""
        return self.caches.get(OWN)

    def paused_until(self) -> float | None:
        """Say until when no server wants requests, in seconds since 1970; None while one does."""
        ends = [pause.ends_at() for pause in self.pauses.values()]
        known = [end for end in ends if end is not None]
        return min(known) if len(known) == len(ends) else None

    async def flush(self) -> None:
        """Wait until every reply so far is remembered, or cannot be."""
        for cache in self.caches.values():
            await cache.flush()


def build_stack(
    backend: Backend,
    settings: StackSettings,
    *,
    scope: str,
    cache_folder: Path,
    in_flight: int,
    spent: Spent | None = None,
    spent_tokens: Mapping[str, tuple[int, int]] | None = None,
    pledge: Callable[[Spent], Awaitable[None]] | None = None,
    tell: Callable[[LimitChange], None] | None = None,
    complain: Callable[[str], None] | None = None,
    halt: Halt | None = None,
    adapted: Callable[[tuple[str, ...]], None] | None = None,
) -> Stack:
    """Wrap `backend`. Needs no running event loop; what it builds may be used in one after the other.

    Args:
        backend: The plug-in's backend, or those of several voices.
        settings: Section ``stack``; it holds for each voice that has no limits of its own.
        scope: What the replies of a single backend depend on beside plug-in, model name and request; see
            `cache_scope`.
        cache_folder: Where the cache lives if the settings name no folder.
        in_flight: Requests that the engine has in flight at most, >= 1.
        spent: What earlier sittings of the run spent.
        spent_tokens: Voice -> tokens in and out, of which that consists; None where it is not known.
        pledge: Writes down what a bounded run may have spent in all, before the calls are made.
        tell: Called with each change of the in-flight limit that is worth recording.
        complain: Called with a sentence when an entry of the cache is refused or cannot be written.
        halt: Ends all waits inside, once the run is to stop; one of its own if not given.
        adapted: Called with sentences when the backend does without something that its server refuses.

    Raises:
        ConfigurationError: Money is bounded but the model's price is unknown, or settings contradict each
            other.
        StorageError: The cache cannot be opened.
    """
    parts, halt = parts_of(backend), Halt() if halt is None else halt
    chosen = {voice: part.stack(settings) for voice, part in parts.items()}
    prompt_tokens = PromptTokens()
    pauses = {
        voice: Pause(longest_s=settings.give_up_after_s, probe_after_s=_PROBE_AFTER_S) for voice in parts
    }
    limits = {
        voice: _limit(part.backend, chosen[voice], in_flight, pauses[voice], _of_voice(tell, voice), halt)
        for voice, part in parts.items()
    }
    throttled = {
        voice: _throttled(limit, chosen[voice], pauses[voice], prompt_tokens, halt)
        for voice, limit in limits.items()
    }
    prices = _prices(parts, settings)
    budget = Budget(
        by_voice(throttled),
        price=next(iter(prices.values()), None),
        voices=prices,
        spent=_priced(spent, spent_tokens, prices),
        max_calls=settings.max_calls,
        max_tokens=settings.max_tokens,
        max_dollars=settings.max_cost,
        prompt_tokens=prompt_tokens,
        halt=halt,
        pledge=pledge,
    )
    outer: dict[str, Backend] = {}
    caches: dict[str, Cache] = {}
    for voice, part in parts.items():
        outer[voice] = _tried(budget, voice, part, settings, halt, adapted or _keep_quiet)
        if settings.cache and getattr(part.backend, "worth_caching", True):
            of_it = scope if part.backend is backend else cache_scope(part.backend, part.settings)
            folder = settings.cache_folder or cache_folder
            cache = Cache(outer[voice], folder, scope=of_it, of=part.backend, complain=complain)
            outer[voice] = caches[voice] = cache
    return Stack(by_voice(outer), budget, limits, caches, pauses)


def _tried(
    budget: Budget,
    voice: str,
    part: VoicePart,
    settings: StackSettings,
    halt: Halt,
    adapted: Callable[[tuple[str, ...]], None],
) -> Backend:
    """Have what fails tried again, or otherwise, as one backend takes it."""

    def tell(changes: tuple[str, ...]) -> None:
        adapted(changes if voice == OWN else tuple(f"voice {voice}: {change}" for change in changes))

    adapts = isinstance(part.backend, Adapts)
    retry = Retry(
        Adapting(budget, part.backend, tell) if isinstance(part.backend, Adapts) else budget,
        max_attempts=settings.max_attempts,
        max_wait_s=settings.max_wait_s,
        give_up_after_s=settings.give_up_after_s,
        halt=halt,
    )
    return FirstAlone(retry, halt=halt) if adapts else retry


def _priced(
    spent: Spent | None, tokens: Mapping[str, tuple[int, int]] | None, prices: Mapping[str, Price]
) -> Spent | None:
    """Price what was spent where nobody noted it, if it is known by whom."""
    if spent is None or spent.dollars is not None or tokens is None or not prices.keys() >= tokens.keys():
        return spent
    return spent._replace(dollars=sum(prices[voice].cost(*used) for voice, used in tokens.items()))


def _of_voice(tell: Callable[[LimitChange], None] | None, voice: str) -> Callable[[LimitChange], None] | None:
    if tell is None or voice == OWN:
        return tell
    return lambda change: tell(change._replace(voice=voice))


def _prices(parts: Mapping[str, VoicePart], settings: StackSettings) -> dict[str, Price]:
    """Look up the price of each voice's model; of none if one is unknown, for then so is the run's cost.

    Raises:
        ConfigurationError: Money is bounded, and a price is unknown.
    """
    models = {voice: part.backend.model_name for voice, part in parts.items()}
    listed = price_list(settings)
    prices = {voice: price for voice, model in models.items() if (price := listed.of(model)) is not None}
    unknown = [model for voice, model in models.items() if voice not in prices]
    if unknown and settings.max_cost is not None:
        raise ConfigurationError(unknown_price(unknown[0]))
    return {} if unknown else prices


def cache_scope(backend: Backend, settings: BackendSettings) -> str:
    """Tell what the replies of `backend` depend on beside its name, its model name and the request.

    A backend may say so itself, by an attribute ``scope`` (its base URL, say). Of one that does not, every
    option counts that is not operational, and where it asks: a mock with another law or another server under
    the same model name must not be answered from the first one's replies. Options that it found elsewhere (in
    the environment) stand in its attribute ``found``.
    """
    scope = getattr(backend, "scope", None)
    if isinstance(scope, str):
        return scope
    passed_over = settings.operational_keys - _PLACES
    stated = {**getattr(backend, "found", {}), **settings.options}
    options = {key: value for key, value in stated.items() if key not in passed_over}
    return json.dumps(options, sort_keys=True, default=repr)


def _keep_quiet(_: tuple[str, ...]) -> None:
    """Leave an adaptation unsaid."""


def _limit(
    backend: Backend,
    settings: StackSettings,
    in_flight: int,
    pause: Pause,
    tell: Callable[[LimitChange], None] | None,
    halt: Halt,
) -> AdaptiveLimit:
    lowest, start, highest = _in_order(settings)
    limit = AdaptiveLimit(
        backend,
        start=min(start or in_flight, in_flight),
        lowest=min(lowest, in_flight),
        highest=min(highest or in_flight, in_flight),
        pause=pause,
        tell=tell,
        halt=halt,
    )
    if tell is not None and isinstance(backend, HasServers):
        backend.watch(lambda words: tell(LimitChange(limit.limit, words)))
    return limit


def _in_order(settings: StackSettings) -> tuple[int, int | None, int | None]:
    """Give the lowest, first and highest in-flight limit.

    Raises:
        ConfigurationError: They contradict each other.
    """
    names = ("min_in_flight", "start_in_flight", "max_in_flight")
    given = [(name, value) for name in names if (value := getattr(settings, name)) is not None]
    for (name, value), (above, bound) in pairwise(given):
        if value > bound:
            raise ConfigurationError(
                f"stack.{name} = {value} is above stack.{above} = {bound}; lower the one or raise the other"
            )
    return settings.min_in_flight, settings.start_in_flight, settings.max_in_flight


def _throttled(
    inner: Backend, settings: StackSettings, pause: Pause, prompt_tokens: PromptTokens, halt: Halt
) -> Backend:
    """Bound the rates, if one is given; a pause holds everybody at the in-flight limit in any case."""
    if settings.requests_per_minute is None and settings.tokens_per_minute is None:
        return inner
    return Throttle(
        inner,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
        pause=pause,
        prompt_tokens=prompt_tokens,
        halt=halt,
    )


def price_list(settings: StackSettings) -> Prices:
    """Read the package's prices, with the user's own over them."""
    return Prices.load({name: Price(price.input, price.output) for name, price in settings.prices.items()})
