"""What a server's refusal or its reply says of how it is to be asked: see `agentnet.backend.Adapts`.

A refusal is looked into field by field (`agentnet_backends.refused`). A reply may want something, too: it is
cut off where the answers were thought to be all of it, or what it lists leaves the odds of the answers open.
OpenAI lists 20 alternatives at most, llama.cpp's server as many as are asked for: before its grammar, or
after it if asked by ``post_sampling_probs``. Another server refuses or ignores that. Two calls tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from agentnet.backend import ALL_OPEN, Ask, Reply, Request, is_cut_off, mass_on_answers, openness
from agentnet.errors import BackendError
from agentnet_backends.client import ChatClient
from agentnet_backends.failures import Peer
from agentnet_backends.refused import Refused, is_refusal
from agentnet_backends.ways import Ways

_MANY_ALTERNATIVES: Final = 2000
_WORTH_IT: Final = 0.01

BRIEF_NO_MORE: Final = (
    "replies bound to answers may have all of max_tokens, not just what the answers take: one was cut off, "
    "as those of a model are that thinks first"
)


async def adapt(
    client: ChatClient, peer: Peer, request: Request, trouble: BackendError | Reply, ask: Ask
) -> tuple[str, ...] | None:
    """Find out how `request` is to be put to its server; arguments and result as those of `Adapts.adapt`."""
    if isinstance(trouble, Reply):
        return await _Wanting(client, request, trouble, ask).adapt()
    return await Refused(client, peer, request, trouble, ask).adapt()


@dataclass(slots=True)
class _Wanting:
    """A reply that is cut off, or that does not tell the odds of the answers though they were asked for."""

    client: ChatClient
    request: Request
    reply: Reply
    ask: Ask

    async def adapt(self) -> tuple[str, ...] | None:
        ways = self.client.ways
        if is_cut_off(self.reply):
            self.client.ways = replace(ways, brief=False)
            return (BRIEF_NO_MORE,) if ways.brief else None
        if self.client.has_asked_for_odds:
            return None
        self.client.has_asked_for_odds = True
        best, said, least = ways, "", openness(self.request, self.reply)
        for each, words in self._other_ways(ways):
            found = await self._openness_in(each)
            if found < least - _WORTH_IT:
                best, said, least = each, words, found
            if not least:
                break
        self.client.ways = best
        return (said,) if said else None

    def _other_ways(self, ways: Ways) -> Iterator[tuple[Ways, str]]:
        """Give the ways to try, and what is said of each."""
        many = replace(ways, top_logprobs=_MANY_ALTERNATIVES)
        yield many, f"{_MANY_ALTERNATIVES:,} alternatives are listed: fewer leave the answers' odds open"
        mass = mass_on_answers(self.reply)
        own = [name for name in ("top_k", "top_p", "min_p") if name not in self.client.sampling]
        cut = f"; the server cuts off by its own {', '.join(own)}: set backend.{' and backend.'.join(own)}"
        words = "probabilities are those after the server's constraint (post_sampling_probs): before it, "
        yield (
            replace(many, after_sampling=True),
            f"{words}the answers of the first question had {mass:.3f}{cut if own else ''}",
        )

    async def _openness_in(self, ways: Ways) -> float:
        """Ask in other ways; tell what is open then, everything if the server refuses."""
        try:
            reply = await self.client.put_in(ways, self.request, self.ask)
        except BackendError as error:
            if is_refusal(error):
                return ALL_OPEN
            raise
        return openness(self.request, reply)
