"""Put the wrappers around a backend as the settings say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agentnet.backend import Backend
from agentnet.config import StackSettings
from agentnet.stack.adaptive import AdaptiveLimit, LimitChange
from agentnet.stack.budget import Budget, Spent
from agentnet.stack.cache import Cache
from agentnet.stack.prices import Prices
from agentnet.stack.retry import Retry
from agentnet.stack.throttle import Throttle


@dataclass(frozen=True, slots=True)
class Stack:
    """A backend with its wrappers around it.

    Attributes:
        backend: The outermost wrapper: what a sampler asks.
        budget: Knows what was spent.
        limit: Knows how many requests are in flight at most.
        cache: The cache; None if it is off.
    """

    backend: Backend
    budget: Budget
    limit: AdaptiveLimit
    cache: Cache | None


def build_stack(
    backend: Backend,
    settings: StackSettings,
    *,
    cache_folder: Path,
    in_flight: int,
    spent: Spent | None = None,
    tell: Callable[[LimitChange], None] | None = None,
    complain: Callable[[str], None] | None = None,
) -> Stack:
    """Wrap `backend`.

    Args:
        backend: The plug-in's backend.
        settings: Section ``stack``.
        cache_folder: Where the cache lives if the settings name no folder.
        in_flight: Requests that the engine has in flight at most.
        spent: What earlier sittings of the run spent.
        tell: Called with each change of the in-flight limit that is worth recording.
        complain: Called with a sentence when the cache is damaged.

    Raises:
        ConfigurationError: Money is bounded but the model's price is unknown.
        StorageError: The cache cannot be opened.
    """
    highest = min(in_flight, settings.max_in_flight or in_flight)
    limit = AdaptiveLimit(
        backend,
        start=settings.start_in_flight or highest,
        lowest=min(settings.min_in_flight, highest),
        highest=highest,
        tell=tell,
    )
    throttle = Throttle(
        limit,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )
    prices = Prices.load(settings.prices)
    price = prices.of(backend.model_name)
    if spent is not None and price is not None:
        spent.dollars = price.cost(spent.prompt_tokens, spent.completion_tokens)
    budget = Budget(
        throttle,
        price=price,
        spent=spent,
        max_calls=settings.max_calls,
        max_tokens=settings.max_tokens,
        max_dollars=settings.max_cost,
    )
    retry = Retry(
        budget,
        max_attempts=settings.max_attempts,
        max_wait_s=settings.max_wait_s,
        give_up_after_s=settings.give_up_after_s,
    )
    scope = getattr(backend, "scope", "")
    if not settings.cache or scope is None:
        return Stack(retry, budget, limit, None)
    folder = settings.cache_folder or cache_folder
    cache = Cache(retry, folder, scope=scope, complain=complain)
    return Stack(cache, budget, limit, cache)
