"""Recognize a set-up in which the model thinks and no answer arrives."""

from __future__ import annotations

from typing import Final

from agentnet.backend import AtOnce, Backend, Reply, Request, Wave, Wrapper, answer_now
from agentnet.cost import Cost
from agentnet.errors import BackendUnusable
from agentnet.prompts import after_thought
from agentnet.prompts.wrapping import may_be_marked
from agentnet.streams import mix
from agentnet.vocabulary import THOUGHT_CUT_OFF, THOUGHT_ONLY

_ENOUGH: Final = 4
_SEED_MASK: Final = (1 << 63) - 1

_KINDS: Final = {"stop": THOUGHT_ONLY, "length": THOUGHT_CUT_OFF}
_REMEDIES: Final = {
    THOUGHT_ONLY: "the model thinks, and its replies end without an answer: one within a thought is "
    "none. Start the server with the reasoning parser made for this model, or with none, or ",
    THOUGHT_CUT_OFF: "the model's thoughts take all of max_tokens = {max_tokens}, so that no answer comes: "
    "raise it (-S experiment.max_tokens=4096), or ",
}
_WITHOUT: Final = (
    "switch thinking off: many servers know backend.extra = {chat_template_kwargs = {enable_thinking = "
    "false}} or {reasoning_effort = 'none'}"
)


class Thoughts(Wrapper):
    """Stops the run if the first replies of a sitting hold thoughts and no answer.

    Until a reply with an answer has come, one without is not passed on: it would be recorded as missing. It
    is asked for again with other seeds, and once so many in a row hold none, no request can succeed.
    Afterwards every such reply is the misfortune of its draw.

    Args:
        inner: The backend asked.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._is_proven = False
        self._streak = 0

    async def complete(self, request: Request) -> Reply:
        """Answer `request`.

        Raises:
            BackendUnusable: Nothing but thoughts comes.
        """
        reply = await self._inner.complete(request)
        texts = reply.texts
        if may_be_marked(texts[0]) or (len(texts) > 1 and any(map(may_be_marked, texts))):
            reply = _told_apart(reply)
        if self._is_proven or not _is_thought(reply):
            self._is_proven = True
            return reply
        return await self._prove(request, reply)

    def answer_now(self, wave: Wave) -> AtOnce | None:
        """Answer at once what `inner` does, once a reply with an answer has come."""
        found = answer_now(self._inner, wave) if self._is_proven else None
        if found is None or not may_be_marked("\n".join([reply.texts[0] for reply in found.replies])):
            return found
        return found._replace(replies=[*map(_told_apart, found.replies)])

    async def _prove(self, request: Request, first: Reply) -> Reply:
        """Ask until somebody's reply holds an answer, or enough hold none."""
        reply, spent = first, [first]
        while not self._is_proven:
            # What the cache remembers says nothing of how the server is set up by now.
            self._streak += not reply.cached
            if self._streak >= _ENOUGH:
                raise self._nothing_but_thoughts(request, reply)
            reply = _told_apart(await self._inner.complete(_again(request, len(spent))))
            spent.append(reply)
            self._is_proven = self._is_proven or not _is_thought(reply)
        return _with_costs(first, spent[1:])

    def _nothing_but_thoughts(self, request: Request, reply: Reply) -> BackendUnusable:
        kind = reply.finish[0]
        remedy = _REMEDIES[kind].replace("{max_tokens}", str(request.max_tokens))
        return BackendUnusable(
            f"backend {self.name!r}: {_ENOUGH} replies in a row held no answer, and none before them did: "
            f"{remedy}{_WITHOUT}. None of them is recorded as missing",
            kind=kind,
        )


def _told_apart(reply: Reply) -> Reply:
    """Name the samples that hold a thought and nothing else."""
    if all(map(after_thought, reply.texts)):
        return reply
    ends = reply.finish or ("stop",) * len(reply.texts)
    told = tuple(map(_end_of, reply.texts, ends))
    return reply if told == ends else reply._replace(finish=told)


def _end_of(text: str, end: str) -> str:
    if end not in _KINDS or not text or after_thought(text).strip():
        return end
    return _KINDS[end]


def _is_thought(reply: Reply) -> bool:
    return bool(reply.finish) and all(end in _REMEDIES for end in reply.finish)


def _again(request: Request, n_asked: int) -> Request:
    # No draw of the run asks as often as this: the cache must not take these replies for a draw's.
    return request._replace(
        n=1, seed=mix(request.seed, -n_asked) & _SEED_MASK, draw=(*request.draw[:4], -n_asked)
    )


def _with_costs(reply: Reply, others: list[Reply]) -> Reply:
    """Put the costs of `others` on `reply`."""
    ends = (end for other in others for end in other.finish[:1])
    return reply._replace(**Cost.of_all([reply, *others])._asdict(), troubles=(*reply.troubles, *ends))
