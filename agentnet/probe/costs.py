"""What a probe will take: it is made on the mock, and its requests are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from agentnet.backend import Reply, Request, Wrapper, make_backend
from agentnet.probe.asking import Asker
from agentnet.probe.contract import look


class ProbeCost(NamedTuple):
    """What a probe takes.

    Attributes:
        calls: Requests.
        most_calls: Requests of a server that gives one text at a time.
        prompt_tokens: Tokens in, by the mock's rule of four characters a token.
        completion_tokens: Tokens out, likewise.
    """

    calls: int = 0
    most_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Counting(Wrapper):
    def __init__(self) -> None:
        super().__init__(make_backend("mock", {}))
        self.cost = ProbeCost()

    async def complete(self, request: Request) -> Reply:
        """Answer, and count."""
        reply = await self._inner.complete(request)
        more = (1, request.n, reply.prompt_tokens or 0, reply.completion_tokens or 0)
        self.cost = ProbeCost(*(a + b for a, b in zip(self.cost, more, strict=True)))
        return reply


async def cost_of(asker: Asker, names: Sequence[str], *, lists_probabilities: bool) -> ProbeCost:
    """Count what checks take; asks no backend but the mock.

    Args:
        asker: Who will ask.
        names: The checks.
        lists_probabilities: Whether the backend does.
    """
    counting = _Counting()
    trial = replace(asker, backend=counting, lists_probabilities=lists_probabilities, _shares={}, _texts={})
    for name in names:
        await look(name, trial)
    return counting.cost
