"""How a reply becomes an answer: what all sampler modes share."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentnet.backend import Reply
from agentnet.errors import BackendError, RequestRejected
from agentnet.sampler.draws import Answer, Trouble, Verdict

_NEVER_A_DECISION = {"refusal": "refused", "content_filter": "content_filter", "length": "length"}

FINAL = frozenset({"refused", "content_filter"})
"""Outcomes that asking again does not cure."""


@dataclass(slots=True)
class Bill:
    """What one draw has cost so far, over all its asks."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    asks: int = 0
    attempts: int = 0
    troubles: list[Trouble] = field(default_factory=list)

    def add(self, reply: Reply) -> None:
        """Add the cost of a reply."""
        self.prompt_tokens = _sum(self.prompt_tokens, reply.prompt_tokens)
        self.completion_tokens = _sum(self.completion_tokens, reply.completion_tokens)
        self.asks += 1
        self.attempts += reply.attempts
        self.troubles += [(kind, "", None) for kind in reply.troubles]

    def charge(self, answer: Answer) -> Answer:
        """Put what was spent on the answer."""
        return answer._replace(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            asks=self.asks,
            attempts=self.attempts,
            troubles=tuple(self.troubles),
        )


def usable(reply: Reply, verdict: Verdict, latency_s: float) -> Answer:
    """Make the answer of a reply that holds one."""
    decision = verdict.decision
    return Answer(
        decision if decision is None else int(decision),
        None,
        reply.texts[0],
        verdict.rationale,
        reply.model,
        reply.fingerprint,
        reply.prompt_tokens,
        reply.completion_tokens,
        1,
        reply.attempts,
        reply.cached,
        latency_s,
    )


def why_unusable(reply: Reply, verdict: Verdict) -> str | None:
    """Name why a reply is no decision: how it ended counts before what it says."""
    finish = reply.finish[0] if reply.finish else "stop"
    return _NEVER_A_DECISION.get(finish, "invalid" if verdict.problem else None)


def failed(error: BackendError, bill: Bill, latency_s: float) -> Answer:
    """Record a draw whose last call ended in `error`, after what `bill` holds."""
    missing = error.kind if isinstance(error, RequestRejected) else "failed"
    bill.asks += 1
    bill.attempts += error.attempts
    bill.troubles += [(kind, "", None) for kind in error.troubles]
    bill.troubles.append((error.kind, str(error), None))
    return bill.charge(Answer(None, missing, None, "", "", None, None, None, 0, 0, False, latency_s))


def _sum(a: int | None, b: int | None) -> int | None:
    return a if b is None else b if a is None else a + b
