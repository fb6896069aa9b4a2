"""Double the requests in flight until nothing is won by it, and find the knee."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from agentnet.backend import Backend, Request
from agentnet.bench.figures import Figures, Price, measure
from agentnet.bench.load import Bound, Judge, closed_loop, holds_decision

_WORTH_WHILE = 1.05
"""A doubling must raise the throughput by so much to count as gain."""

_IN_VAIN = 2
"""Doublings without gain in succession that end a sweep."""


async def sweep_load(
    backend: Backend,
    requests: Iterator[Request],
    *,
    most: int,
    bound: Bound,
    price: Price | None = None,
    stop: asyncio.Event | None = None,
    tell: Callable[[Figures], None] | None = None,
    judge: Judge = holds_decision,
) -> list[Figures]:
    """Measure closed loops of 1, 2, 4, ... requests in flight.

    Ends at `most`, when two doublings in succession raised the throughput by less than 5%, when it is
    stopped, or when the backend cannot be asked any more.

    Args:
        backend: Who answers.
        requests: What is asked; without end.
        most: Requests in flight at most, >= 1; the last level, if the sweep gets there.
        bound: When each level ends.
        price: The model's price; None if it is unknown.
        stop: Set it to break off.
        tell: Called with each level's figures.
        judge: Says whether a sample holds a decision.

    Returns:
        The figures of each level, in order.
    """
    levels: list[Figures] = []
    best, n_in_vain = 0.0, 0
    for in_flight in doublings(most):
        load = await closed_loop(backend, requests, in_flight=in_flight, bound=bound, stop=stop, judge=judge)
        levels.append(measure(load, price))
        if tell is not None:
            tell(levels[-1])
        reached = levels[-1].requests_per_s
        n_in_vain = 0 if reached >= _WORTH_WHILE * best else n_in_vain + 1
        best = max(best, reached)
        if load.is_stopped or load.error is not None or n_in_vain == _IN_VAIN:
            break
    return levels


def doublings(most: int) -> list[int]:
    """List 1, 2, 4, ... up to `most`, which is the last.

    Examples:
        >>> doublings(12)
        [1, 2, 4, 8, 12]
    """
    return [2**i for i in range(most.bit_length()) if 2**i < most] + [most]


def knee(levels: Sequence[Figures]) -> int | None:
    """Find the requests in flight at which throughput over latency is largest; None if nothing was answered.

    See `Figures.power`; of equal levels, the lowest.
    """
    best = max(levels, key=lambda level: level.power, default=None)
    return best.load.in_flight if best is not None and best.power > 0.0 else None
