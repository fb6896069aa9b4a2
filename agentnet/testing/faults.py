"""What can go wrong at a model server, on request: for the double in `agentnet.testing.server`.

A plan says which call fails how: by a script, call after call, or at given rates. A rate's dice depend on the
plan's seed, on the request's body and on how often that body came before, on nothing else: the same requests
meet the same faults in any order, and sending one again can help.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType
from typing import NamedTuple

from agentnet.errors import ConfigurationError, near_miss
from agentnet.streams import mix, unit
from agentnet.vocabulary import CONTENT_FILTER

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "rate_limit": "429 that says when to come back",
        "rate_limit_bare": "429 that does not",
        "insufficient_quota": "429 that no waiting helps",
        "unauthorized": "401",
        "unknown_model": "404 for the model",
        "context_overflow": "400: too many tokens for the model",
        "content_filtered": "400: a filter refuses the prompt",
        "http_500": "500",
        "http_502": "502 with a page instead of JSON",
        "http_503": "503 that says when to come back",
        "http_529": "529, overloaded",
        "reset": "the connection is reset instead of an answer",
        "disconnect": "the connection is closed instead of an answer",
        "half_body": "the connection is closed in the middle of the answer",
        "hang": "no answer at all",
        "drip": "an answer that never ends, a byte now and then",
        "malformed_json": "200 with half a JSON document",
        "wrong_schema": "200 with JSON that is no chat completion",
        "error_body": "200 with an error in it",
        "no_choices": "200 with an empty list of choices",
        "empty": "an empty text",
        "refusal": "the model declines",
        CONTENT_FILTER: "a filter cuts the reply out",
        "length": "a reply cut off in its first token",
        "wrong_model": "another model's name",
    }
)
"""Every fault, and what a client gets to see of it."""


class PlainFault(NamedTuple):
    """An answer that is a fault and needs no completion: status, headers, body."""

    status: int
    headers: Mapping[str, str]
    body: object


def error_body(
    message: str, kind: str | None, code: str | None = None, param: str | None = None
) -> dict[str, object]:
    """Make an error body of OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_LATER = MappingProxyType({"retry-after": "1", "retry-after-ms": "20"})
_NOTHING: Mapping[str, str] = MappingProxyType({})

_INVALID = "invalid_request_error"


def _plain(status: int, message: str, *kind: str | None, headers: Mapping[str, str] = _NOTHING) -> PlainFault:
    """Make the fault that answers with OpenAI's error body: its type, code and parameter."""
    return PlainFault(status, headers, error_body(message, *kind))


_SLOW_DOWN = ("Rate limit reached for requests.", "requests", "rate_limit_exceeded")
_OVERLOADED = ("The engine is overloaded, please try again later.", "overloaded_error")

PLAIN_FAULTS: Mapping[str, PlainFault] = MappingProxyType(
    {
        "rate_limit": _plain(429, *_SLOW_DOWN, headers=_LATER),
        "rate_limit_bare": _plain(429, *_SLOW_DOWN),
        "insufficient_quota": _plain(429, "You exceeded your current quota.", *["insufficient_quota"] * 2),
        "unauthorized": _plain(401, "Incorrect API key provided.", _INVALID, "invalid_api_key"),
        "unknown_model": _plain(404, "The model does not exist.", _INVALID, "model_not_found", "model"),
        "context_overflow": _plain(
            400,
            "This model's maximum context length is 16 tokens.",
            *(_INVALID, "context_length_exceeded", "messages"),
        ),
        "content_filtered": _plain(400, "The prompt was filtered.", _INVALID, CONTENT_FILTER, "prompt"),
        "http_500": _plain(500, "The server had an error while processing your request.", "server_error"),
        "http_502": PlainFault(502, _NOTHING, _PAGE),
        "http_503": _plain(503, *_OVERLOADED, headers=_LATER),
        "http_529": _plain(529, *_OVERLOADED),
        "wrong_schema": PlainFault(200, _NOTHING, {"result": "fine", "choices": "none"}),
        "error_body": _plain(200, "Upstream gave up.", "upstream_error"),
    }
)
"""The faults that answer with a fixed status and body."""


ENDINGS: Mapping[str, tuple[str, str | None, str | None]] = MappingProxyType(
    {
        "empty": ("stop", None, None),
        "refusal": ("stop", None, "I'm sorry, I can't help with that."),
        CONTENT_FILTER: (CONTENT_FILTER, "", None),
        "length": ("length", "Y", None),
    }
)
"""The faults that change how a completion ends: its reason to end, the content, the refusal."""


@dataclass(frozen=True)
class FaultPlan:
    """Which call of a server fails how.

    Args:
        script: Faults of the first calls, in the order of arrival; None lets a call be.
        rates: Probability of each fault for all later calls; they add up to at most 1.
        seed: Fixes the dice of the rates.

    Raises:
        ConfigurationError: There is no such fault, or a rate is impossible.

    Examples:
        >>> plan = FaultPlan(script=("http_500", None))
        >>> [plan.pick(call, body=7, attempt=0) for call in range(3)]
        ['http_500', None, None]
    """

    script: tuple[str | None, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        _check(name for name in (*self.script, *self.rates) if name is not None)
        rates = list(self.rates.values())
        if min(rates, default=0.0) < 0.0 or sum(rates) > 1.0 + 1e-9:
            raise ConfigurationError(f"fault rates must be >= 0 and add up to at most 1, not {rates}")

    def pick(self, call: int, *, body: int, attempt: int) -> str | None:
        """Choose the fault of a call.

        Args:
            call: How many calls came before.
            body: A number that stands for the request's body.
            attempt: How often that body came before.

        Returns:
            The fault's name, or None.
        """
        if call < len(self.script):
            return self.script[call]
        die = unit(mix(mix(self.seed) ^ body, attempt))
        for name, threshold in zip(self.rates, accumulate(self.rates.values()), strict=True):
            if die < threshold:
                return name
        return None


def _check(names: Iterable[str]) -> None:
    for name in names:
        if name not in FAULTS:
            raise ConfigurationError(f"there is no fault {name!r}{near_miss(name, FAULTS)}")
