"""One wrapper per concern around a backend, each of them a backend.

From outside in: brake -> fewer samples -> cache -> first alone -> retry -> adapting -> budget -> throttle
-> adaptive in-flight limit -> plug-in. Fewer samples are asked for in sampler mode ``choices``, first alone
and adapting are there where the backend can adapt to a server that refuses something, the throttle where a
rate is bounded; around all of them the runner has `agentnet.sampler.Thoughts`. A cache hit costs no permit
and no money; every attempt of a retried call takes its permits and is paid from the budget, so that a bound
on calls or money also bounds the retries.
"""

from agentnet.stack.adaptive import AdaptiveLimit, LimitChange
from agentnet.stack.brake import Brake
from agentnet.stack.budget import Budget, Spent
from agentnet.stack.build import Stack, build_stack, cache_scope, price_list
from agentnet.stack.cache import Cache
from agentnet.stack.fewer import FewerSamples
from agentnet.stack.halt import Halt
from agentnet.stack.overload import Pause
from agentnet.stack.prices import Price, Prices
from agentnet.stack.retry import Retry
from agentnet.stack.throttle import Throttle
from agentnet.stack.tokens import PromptTokens

__all__ = [
    "AdaptiveLimit",
    "Brake",
    "Budget",
    "Cache",
    "FewerSamples",
    "Halt",
    "LimitChange",
    "Pause",
    "Price",
    "Prices",
    "PromptTokens",
    "Retry",
    "Spent",
    "Stack",
    "Throttle",
    "build_stack",
    "cache_scope",
    "price_list",
]
