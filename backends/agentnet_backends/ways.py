"""How requests are put to a server: which fields are sent, under which names and within which bounds.

Servers refuse fields that others need. What is sent is a value of its own here, so that it can be varied: see
`agentnet_backends.refused`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace

from agentnet.backend import Messages, Request
from agentnet_backends.answers import Fields
from agentnet_backends.chat import FREE, Plan


@dataclass(frozen=True, slots=True)
class Ways:
    """What of a request is sent, and how.

    Attributes:
        max_tokens_field: The field that bounds a reply.
        omit: Fields that are left out of every body.
        system_role: The role of system messages; ``user`` puts them ahead of the user's first one.
        constrained: Whether the server is told what a reply may be.
        logprobs: Whether log-probabilities are asked for where a request wants them.
        top_logprobs: How many alternatives are asked for; None for as many as planned.
        after_sampling: Whether probabilities after the server's own constraint and sampling are asked for.
        brief: Whether a reply that is bound to answers is given no more tokens than these can take.
        n_at_most: Samples asked for at once at most; None for as many as wanted.
        seed_with_many: Whether a request for several samples has a seed.
    """

    max_tokens_field: str
    omit: frozenset[str] = frozenset()
    system_role: str = "system"
    constrained: bool = True
    logprobs: bool = True
    top_logprobs: int | None = None
    after_sampling: bool = False
    brief: bool = True
    n_at_most: int | None = None
    seed_with_many: bool = True

    def without(self, *names: str) -> Ways:
        """Leave out some more fields."""
        return replace(self, omit=self.omit | set(names))

    def shaped(self, request: Request) -> Request:
        """Give `request` as it is put."""
        if self.n_at_most is not None and request.n > self.n_at_most:
            request = request._replace(n=self.n_at_most)
        if self.system_role != "system":
            request = request._replace(messages=_cast(request.messages, self.system_role))
        if not self.constrained and request.schema is not None:
            request = request._replace(schema=None)
        return request

    def planned(self, plan: Plan) -> Plan:
        """Give `plan` as it is put."""
        if not self.constrained:
            plan = replace(plan, constraint=FREE)
        asked = dict(plan.logprobs) if self.logprobs else {}
        if "top_logprobs" in asked and self.top_logprobs is not None:
            asked["top_logprobs"] = self.top_logprobs
        if asked and self.after_sampling:
            asked["post_sampling_probs"] = True
        return replace(plan, logprobs=asked, is_brief=self.brief)

    def sends_seed(self, request: Request) -> bool:
        """Say whether a shaped request has a seed."""
        return "seed" not in self.omit and (request.n == 1 or self.seed_with_many)


def without_fields(body: bytes, names: Collection[str]) -> bytes:
    """Leave fields out of a body.

    Examples:
        >>> without_fields(b'{"model":"m","temperature":0.5}', {"temperature"})
        b'{"model":"m"}'
    """
    fields: Fields = json.loads(body)
    kept = {name: value for name, value in fields.items() if name not in names}
    return json.dumps(kept, separators=(",", ":")).encode()


def _cast(messages: Messages, role: str) -> Messages:
    """Send system messages under another role."""
    if role != "user":
        return tuple((role if each == "system" else each, text) for each, text in messages)
    told = [text for each, text in messages if each == "system"]
    rest = [message for message in messages if message[0] != "system"]
    if told and rest and rest[0][0] == "user":
        return (("user", "\n\n".join((*told, rest[0][1]))), *rest[1:])
    return (("user", "\n\n".join(told)), *rest) if told else messages
