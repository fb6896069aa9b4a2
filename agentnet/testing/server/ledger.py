"""What a server double counts, to be compared with what its clients believe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b


@dataclass(slots=True)
class CallLedger:
    """What a double did so far.

    Attributes:
        kinds: Number of calls by kind: ``ok``, a fault's name, ``limited``, or what was wrong with the call.
        bodies: Number of calls by the request's body (its digest, see `body_digest`).
        answered: Number of completions sent whole, by the request's body.
        samples: Number of samples in them.
        prompt_tokens: Tokens in, of those.
        completion_tokens: Tokens out, of those.
        in_flight: Calls not yet answered.
        most_in_flight: The most there ever were.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    bodies: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

    @property
    def calls(self) -> int:
        """Number of calls."""
        return self.kinds.total()

    def begin(self) -> None:
        """Take note of a call that came in."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def charge(self, name: str, body: Mapping[str, object]) -> None:
        """Take note of a completion."""
        usage, choices = body["usage"], body["choices"]
        assert isinstance(usage, dict)
        assert isinstance(choices, list)
        self.answered[name] += 1
        self.samples += len(choices)
        self.prompt_tokens += usage["prompt_tokens"]
        self.completion_tokens += usage["completion_tokens"]


def body_digest(body: bytes) -> str:
    """Name a request's body in a ledger."""
    return blake2b(body, digest_size=8).hexdigest()
