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
    message: str, kind: str, code: str | None = None, param: str | None = None
) -> dict[str, object]:
    """Make an error body of OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_LATER = MappingProxyType({"retry-after": "1", "retry-after-ms": "20"})
_NOTHING: Mapping[str, str] = MappingProxyType({})

_SLOW_DOWN = error_body("Rate limit reached for requests.", "requests", "rate_limit_exceeded")
_BROKEN = error_body("The server had an error while processing your request.", "server_error")
_OVERLOADED = error_body("The engine is overloaded, please try again later.", "overloaded_error")

PLAIN_FAULTS: Mapping[str, PlainFault] = MappingProxyType(
    {
        "rate_limit": PlainFault(429, _LATER, _SLOW_DOWN),
        "rate_limit_bare": PlainFault(429, _NOTHING, _SLOW_DOWN),
        "insufficient_quota": PlainFault(
            429, _NOTHING, error_body("You exceeded your current quota.", *["insufficient_quota"] * 2)
        ),
        "unauthorized": PlainFault(
            401,
            _NOTHING,
            error_body("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
        ),
        "unknown_model": PlainFault(
            404,
            _NOTHING,
            error_body("The model does not exist.", "invalid_request_error", "model_not_found", "model"),
        ),
        "context_overflow": PlainFault(
            400,
            _NOTHING,
            error_body(
                "This model's maximum context length is 16 tokens.",
                "invalid_request_error",
                "context_length_exceeded",
                "messages",
            ),
        ),
        "content_filtered": PlainFault(
            400,
            _NOTHING,
            error_body("The prompt was filtered.", "invalid_request_error", CONTENT_FILTER, "prompt"),
        ),
        "http_500": PlainFault(500, _NOTHING, _BROKEN),
        "http_502": PlainFault(502, _NOTHING, _PAGE),
        "http_503": PlainFault(503, _LATER, _OVERLOADED),
        "http_529": PlainFault(529, _NOTHING, _OVERLOADED),
        "wrong_schema": PlainFault(200, _NOTHING, {"result": "fine", "choices": "none"}),
        "error_body": PlainFault(200, _NOTHING, error_body("Upstream gave up.", "upstream_error")),
    }
)
"""The faults that answer with a fixed status and body."""


def without_choices(body: dict[str, object]) -> None:
    """Empty a completion's list of choices."""
    body["choices"] = []


def of_another_model(body: dict[str, object]) -> None:
    """Put another model's name into a completion."""
    body["model"] = f"{body['model']}-other"


def ending(finish: str, *, content: str | None, refusal: str | None = None) -> Mapping[str, object]:
    """Say how each choice of a completion is to end, for `end_all`."""
    return {"finish_reason": finish, "content": content, "refusal": refusal}


ENDINGS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "empty": ending("stop", content=None),
        "refusal": ending("stop", content=None, refusal="I'm sorry, I can't help with that."),
        CONTENT_FILTER: ending(CONTENT_FILTER, content=""),
        "length": ending("length", content="Y"),
    }
)
"""The faults that change how a completion ends."""


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
