"""Ask for fewer samples where a server refuses as many as were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from agentnet.backend import Backend, Reply, Request, Wrapper
from agentnet.cost import Cost
from agentnet.errors import OF_THE_PROMPT, BackendError, BackendUnusable, RequestRejected

_ENOUGH: Final = 3


class FewerSamples(Wrapper):
    """Halves the samples that a refused request asks for, until it is taken; whoever asked asks for the rest.

    Which number is taken follows from the number asked for and from the server's bound, not from what others
    were told before: that only saves the calls. A request that is refused for a single sample, too, is
    refused for another reason, which it is told.

    Args:
        inner: The backend asked.
        tell: Called with a sentence when a number is refused for the first time.
    """

    def __init__(self, inner: Backend, *, tell: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(inner)
        self._tell = tell
        self._least_refused: int | None = None
        self._n_in_vain = 0

    async def complete(self, request: Request) -> Reply:
        """Answer `request`, perhaps with fewer samples than it asks for."""
        if request.n == 1:
            return await self._inner.complete(request)
        refusals: list[BackendError] = []
        refused = request.n
        for n in self._numbers(request.n):
            try:
                reply = await self._inner.complete(request._replace(n=n))
            except (RequestRejected, BackendUnusable) as error:
                refusals.append(error)
                refused = n
                if not _may_be_for_the_number(error):
                    break
                continue
            self._n_in_vain = 0
            return self._learnt(reply, refused, n, refusals)
        else:
            self._n_in_vain += 1
        raise _summed(refusals) from None

    def _numbers(self, n: int) -> Iterator[int]:
        """Give the numbers to try: `n` and its halves, less those that were refused to others."""
        # Whatever is wrong with several in a row is wrong with all: no need to find it out number by number.
        while n > 1:
            if self._least_refused is None or n < self._least_refused:
                yield n
                if self._n_in_vain >= _ENOUGH:
                    return
            n //= 2
        yield 1

    def _learnt(self, reply: Reply, refused: int, taken: int, refusals: list[BackendError]) -> Reply:
        """Remember what was refused, and put its calls on the reply."""
        if not refusals:
            return reply
        if self._least_refused is None:
            self._tell(f"{refused} samples at once were refused, {taken} were not: {refusals[-1]}")
        self._least_refused = min(refused, self._least_refused or refused)
        cost = Cost.of_all((*refusals, reply))
        return reply._replace(**cost._asdict(), troubles=(*_kinds(refusals), *reply.troubles))


def _may_be_for_the_number(error: BackendError) -> bool:
    if isinstance(error, RequestRejected):
        return error.kind not in OF_THE_PROMPT
    return error.kind == "unsupported"


def _summed(refusals: list[BackendError]) -> BackendError:
    """Give the last refusal, with the calls of all of them."""
    *before, last = refusals
    Cost.of_all(refusals).put_on(last)
    last.troubles = (*_kinds(before), *last.troubles)
    return last


def _kinds(refusals: list[BackendError]) -> list[str]:
    return [kind for error in refusals for kind in (*error.troubles, error.kind)]
