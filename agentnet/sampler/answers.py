"""How a reply becomes an answer: what all sampler modes share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from agentnet.backend import Reply
from agentnet.cost import Cost
from agentnet.errors import BackendError, RequestRejected, RunStopped
from agentnet.sampler.draws import Answer, Record, Trouble, Verdict
from agentnet.vocabulary import CONTENT_FILTER, FAILED, FINISHES, INVALID, REFUSAL, REFUSED, STOP

_NEVER_A_DECISION = {end: REFUSED if end == REFUSAL else end for end in FINISHES if end != STOP}

# json.dumps makes an encoder anew at every call.
_spell = json.JSONEncoder(ensure_ascii=False).encode

_new = tuple.__new__

FINAL = frozenset({REFUSED, CONTENT_FILTER})
"""Outcomes that asking again does not cure."""


@dataclass(slots=True)
class Bill:
    """What one draw has cost so far, over all its asks."""

    cost: Cost = field(default_factory=Cost)
    asks: int = 0
    troubles: list[Trouble] = field(default_factory=list)

    def add(self, outcome: Reply | BackendError) -> None:
        """Add the cost of a reply, or of a call that failed in the end, and the troubles before."""
        self.cost = self.cost.and_of(outcome)
        self.asks += 1
        self.troubles += [(kind, "", None) for kind in outcome.troubles]

    def charge(self, answer: Answer) -> Answer:
        """Put what was spent on the answer."""
        return answer._replace(**self.cost._asdict(), asks=self.asks, troubles=tuple(self.troubles))


def usable(reply: Reply, verdict: Verdict, latency_s: float) -> Answer:
    """Make the answer of a reply that holds one."""
    decision, value = verdict.decision, verdict.value
    texts, prompt_tokens, completion_tokens, model, _, _, fingerprint, attempts, _, cached = reply[:10]
    # One is made for every decision of a run, and `Answer` itself takes three times as long.
    return _new(
        Answer,
        (
            decision if decision is None else int(decision),
            None,
            texts[0],
            verdict.rationale,
            model,
            fingerprint,
            prompt_tokens,
            completion_tokens,
            1,
            attempts,
            cached,
            latency_s if reply.took_s is None else reply.took_s,
            (),
            None,
            None,
            None if value is None else _spell(value),
        ),
    )


def why_unusable(reply: Reply, verdict: Verdict) -> str | None:
    """Name why a reply is no decision: how it ended counts before what it says."""
    return how_ended(reply) or (INVALID if verdict.problem else None)


def how_ended(reply: Reply) -> str | None:
    """Name how a reply ended that can be no decision, whatever it says; None for one that just stopped."""
    return _NEVER_A_DECISION.get(reply.finish[0]) if reply.finish else None


def failed(error: BackendError, bill: Bill, latency_s: float) -> Answer:
    """Record a draw whose last call ended in `error`, after what `bill` holds."""
    bill.add(error)
    return lost(error, bill, latency_s)


def lost(error: BackendError, bill: Bill, latency_s: float) -> Answer:
    """Record a draw that has no reply because of `error`; what the call cost stands on `bill` already."""
    missing = error.kind if isinstance(error, RequestRejected) else FAILED
    bill.troubles.append((error.kind, str(error), None))
    return bill.charge(Answer(None, missing, None, "", "", None, None, None, 0, 0, False, latency_s))


def record_all(record: Record, answers: Iterable[tuple[int, Answer]]) -> None:
    """Record every answer, also when one of them stops the run.

    Raises:
        RunStopped: The first that was raised.
    """
    stopped: RunStopped | None = None
    for i, answer in answers:
        try:
            record(i, answer)
        except RunStopped as reason:
            stopped = stopped or reason
    if stopped is not None:
        raise stopped
