"""From what goes wrong on the way to a model server to the errors of `agentnet.errors`.

Servers agree on neither bodies nor codes, so an answer is judged by its status, its codes and its wording; a
broken connection by the kind of the exception. The word in `BackendError.kind` is one of these:

- another try can help (`TransientError`): ``rate_limit``, ``overloaded``, ``unavailable``, ``bad_gateway``,
  ``gateway_timeout``, ``server_error``, ``conflict``, ``timeout``, ``connect_timeout``, ``refused``,
  ``unreachable``, ``reset``, ``disconnected``, ``truncated``, ``garbled``, ``malformed_json``,
  ``wrong_schema``, ``no_choices``, ``error_body``;
- this request never succeeds (`RequestRejected`): ``context_overflow``, ``content_filter``, ``too_large``,
  ``bad_request``;
- no request does (`BackendUnusable`): ``unauthorized``, ``forbidden``, ``insufficient_quota``,
  ``unknown_model``, ``wrong_url``, ``unsupported``, ``unknown_host``, ``no_route``, ``tls``.

No key ever shows: what a server says is scrubbed, and the exceptions of the HTTP library, which carry the
headers that were sent, are neither quoted nor chained.
"""

from __future__ import annotations

import errno
import json
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from agentnet.errors import (
    BackendError,
    BackendUnusable,
    RequestRejected,
    ServerUnreachable,
    TransientError,
)
from agentnet_backends.redaction import redact
from agentnet_backends.retry_hints import retry_hint

_SHOWN_CHARACTERS = 300
KEY_LIKE = re.compile(r"\b(?:sk|pk|key|gsk|hf|xai)[-_][A-Za-z0-9_*.-]{6,}|(?<=[Bb]earer )\S+")
"""What looks like a key, whatever it stands in."""

_REJECTED = frozenset({"context_overflow", "content_filter", "too_large", "bad_request"})

_WAYS_OUT: Mapping[str, str] = {
    "unauthorized": "{key}: mend that, then resume the run",
    "forbidden": "{key}: find out what it may be used for, then resume the run",
    "insufficient_quota": "the account has no money or quota left: top it up, then resume the run",
    "unknown_model": "set {table}.model to one that the server lists: GET {url}/models",
    "wrong_url": "no model of that name ({table}.model), or nothing under that address: "
    "{table}.base_url must be what stands before {path}; it often ends in /v1",
    "unsupported": "the server does not take this field or value: see {knobs}",
    "unknown_host": "check the host in {table}.base_url and the network, then resume the run",
    "no_route": "check the host in {table}.base_url and the network, then resume the run",
    "tls": "check whether {table}.base_url begins with the right one of http:// and https://, and the "
    "server's certificate",
}
"""What to do about whatever makes the backend unusable; its keys are the kinds of `BackendUnusable`."""

_OF_STATUS: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "wrong_url",
    405: "wrong_url",
    408: "timeout",
    409: "conflict",
    425: "conflict",
    429: "rate_limit",
    502: "bad_gateway",
    503: "unavailable",
    504: "gateway_timeout",
    529: "overloaded",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom we talk to, for messages.

    Attributes:
        name: The plug-in's name.
        url: The base URL; holds no secret.
        key_env: Name of the environment variable that holds the key.
        secrets: What must never show.
        table: The table of the configuration in which its options stand.
        path: What is asked for below the base URL.
        knobs: What decides the fields that are sent.
        proxy: Host and port of the proxy on the way to it; empty without one.
    """

    name: str
    url: str
    key_env: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    table: str = "backend"
    path: str = "/chat/completions"
    knobs: str = (
        "backend.max_tokens_field, backend.constrain, backend.seed_bits, backend.top_logprobs, "
        "backend.extra, backend.omit and the temperature"
    )
    proxy: str = ""

    def __str__(self) -> str:
        through = f" through the proxy {self.proxy}" if self.proxy else ""
        return f"{self.name} at {self.url}{through}"

    def redact(self, text: str) -> str:
        """Take the keys out of what a server says."""
        return redact(text, self.secrets)

    def quote(self, text: str) -> str:
        """Shorten the server's words to a line without keys."""
        line = " ".join(KEY_LIKE.sub("[key]", self.redact(text)).split())
        return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 3]}..."

    def way_out(self, kind: str) -> str:
        """Say what to do about `kind`, one of those that make a backend unusable."""
        key = f"the key in {self.key_env} was refused"
        if not self.secrets:
            key = f"no key was sent, for {self.key_env} is not set in the environment"
        where = {"url": self.url, "table": self.table, "path": self.path, "knobs": self.knobs}
        return _WAYS_OUT[kind].format(key=key, **where)

    def way_out_of(self, error: BackendError) -> str:
        """Give the end of the message of `error` that says what to do; empty if nothing does."""
        return f"; {self.way_out(error.kind)}" if error.kind in _WAYS_OUT else ""


class Said(NamedTuple):
    """What an error body says.

    Attributes:
        message: For people.
        codes: Its type, code and parameter in lower case, for us.
    """

    message: str = ""
    codes: str = ""

    @property
    def all(self) -> str:
        """Everything in lower case."""
        return f"{self.codes} {self.message.lower()}"


def said_by(raw: bytes) -> Said:
    """Read an error body, of whatever shape: OpenAI's, FastAPI's, a bare text, a page."""
    try:
        return said_in(json.loads(raw))
    except (ValueError, RecursionError):
        return Said(raw.decode("utf-8", "replace"))


def said_in(body: object) -> Said:
    """Find the message and the codes in a parsed error body."""
    match body:
        case [first, *_]:
            return said_in(first)
        case {"error": dict(inner)} | {"detail": dict(inner)}:
            return said_in(inner)
        case {"detail": list(problems)}:
            return Said("; ".join(map(_validation_problem, problems)), _codes(*problems))
        case dict():
            message = next(filter(None, map(body.get, ("message", "error", "detail", "msg"))), "")
            return Said(str(message), _codes(body, body.get("innererror")))
        case _:
            return Said("" if body is None else str(body))


def _validation_problem(problem: object) -> str:
    if not isinstance(problem, dict):
        return str(problem)
    where = problem.get("loc")
    dotted = ".".join(map(str, where)) if isinstance(where, list) else str(where or "body")
    return f"{dotted}: {problem.get('msg', '')}"


def _codes(*tables: object) -> str:
    """Join type, code and parameter; an integer code is as good as any."""
    found = (
        str(table[key])
        for table in tables
        if isinstance(table, dict)
        for key in ("type", "code", "param", "status")
        if table.get(key) is not None
    )
    return " ".join(found).lower()


_QUOTA = re.compile(
    r"insufficient_quota|billing_hard_limit|billing_not_active|budget.?exceeded|insufficient balance"
)
_OVERFLOW = re.compile(
    r"context.?length|context.?window|context.?size|max_model_len|maximum model length|maximum prompt length"
    r"|(prompt|input) (is|was) too long|too many input tokens"
)
_FILTER = re.compile(
    r"content_filter|content_policy|content management policy|responsibleaipolicy|moderation|invalid_prompt"
    r"|input was flagged|safety system"
)
_NO_MODEL = re.compile(
    r"model_not_found|model_not_exist|unknown_model|invalid_model|invalid model"
    r"|model.{0,120}(does not exist|do not exist|not exist|not found|not a valid model|not available)",
    re.DOTALL,
)
_UNSUPPORTED = re.compile(
    r"unsupported_(parameter|value)|unknown_parameter|extra_forbidden|extra inputs are not permitted"
    r"|unrecognized request argument|unsupported parameter|unsupported value"
    # What is wrong with these is wrong in every request.
    r"|response_format|json_schema|structured_outputs|guided_choice|logprobs"
    r"|not support (specifying dimensions|matryoshka)"
)
_BAD_KEY = re.compile(r"invalid_api_key|api.?key not valid|incorrect api key|invalid api key")

_RULES: tuple[tuple[str, Callable[[int, Said], object]], ...] = (
    ("insufficient_quota", lambda status, said: status == 402 or _QUOTA.search(said.all)),
    ("too_large", lambda status, said: status == 429 and "request too large" in said.all),
    ("rate_limit", lambda status, _: status == 429),
    # Some servers report the caller's fault as 500, so wording counts here at any status.
    ("context_overflow", lambda status, said: status == 413 or _OVERFLOW.search(said.all)),
    ("content_filter", lambda status, said: status < 500 and _FILTER.search(said.all)),
    ("unauthorized", lambda status, said: status in {400, 403} and _BAD_KEY.search(said.all)),
    ("unknown_model", lambda status, said: status in {400, 404, 422} and _NO_MODEL.search(said.all)),
    ("unsupported", lambda status, said: status in {400, 422} and _UNSUPPORTED.search(said.all)),
)
"""Tried in this order before the status decides: the first that holds names the kind."""


def error_of_answer(peer: Peer, status: int, headers: Mapping[str, str], raw: bytes) -> BackendError:
    """Make the error for an answer that is no success.

    Args:
        peer: Who answered.
        status: The HTTP status, outside 200..299.
        headers: The answer's headers; looked up in lower case.
        raw: The body as it came.
    """
    said = said_by(raw)
    kind = next((kind for kind, holds in _RULES if holds(status, said)), None) or _of_status(status)
    words = peer.quote(said.message or said.codes)
    what = f"HTTP {status}, {kind.replace('_', ' ')}{f': {words}' if words else ''}"
    hint = None if kind in _REJECTED or kind in _WAYS_OUT else retry_hint(headers, said.message)
    return _error(peer, kind, what, hint)


def error_of_body(peer: Peer, body: object) -> BackendError:
    """Make the error for an answer that calls itself a success but says that it is none."""
    said = said_in(body)
    kind = "insufficient_quota" if _QUOTA.search(said.all) else "error_body"
    return _error(peer, kind, f"HTTP 200 with an error in it: {peer.quote(said.message or said.codes)}")


def unusable_answer(peer: Peer, kind: str, what: str, raw: bytes) -> TransientError:
    """Make the error for a success whose body is not what was agreed; `raw` is quoted."""
    # All of it is scrubbed before any of it is cut off: half a key is a key's half.
    shown = peer.quote(raw.decode("utf-8", "replace"))
    return TransientError(f"{peer}: {what}: {shown!r}", kind=kind)


def _of_status(status: int) -> str:
    if status < 400:
        return "wrong_url"
    return _OF_STATUS.get(status, "bad_request" if status < 500 else "server_error")


def _error(peer: Peer, kind: str, what: str, retry_after_s: float | None = None) -> BackendError:
    if kind in _REJECTED:
        return RequestRejected(f"{peer}: {what}", kind=kind)
    if kind in _WAYS_OUT:
        return BackendUnusable(f"{peer}: {what}; {peer.way_out(kind)}", kind=kind)
    if kind in OUT_OF_REACH:
        return ServerUnreachable(f"{peer}: {what}", kind=kind)
    return TransientError(f"{peer}: {what}", kind=kind, retry_after_s=retry_after_s)


OUT_OF_REACH = frozenset({"refused", "connect_timeout", "unreachable", "unknown_host", "no_route", "tls"})
"""Kinds of failure in which no connection came about."""

_IS_IT_RUNNING = "is the server running? try: curl {url}/models"

_OF_ERRNO: Mapping[int, str] = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "no_route",
    errno.EHOSTUNREACH: "no_route",
    errno.ENETDOWN: "no_route",
    errno.EADDRNOTAVAIL: "no_route",
    errno.ETIMEDOUT: "connect_timeout",
    errno.ECONNRESET: "reset",
}


def error_of_exception(peer: Peer, error: BaseException, *, timeout_s: float, is_known: bool) -> BackendError:
    """Make the error for a call that got no whole answer.

    Args:
        peer: Who was called.
        error: What the HTTP library raised; it is neither quoted nor kept, for it may hold the key.
        timeout_s: The deadline of a call, in seconds.
        is_known: Whether this server has answered before, or others still do: a host that cannot be found or
            reached is then a passing trouble.
    """
    kind = _kind_of(error)
    if kind in {"unknown_host", "no_route"} and is_known:
        kind = "unreachable"
    words = {"why": _system_words(error), "url": peer.url, "table": peer.table}
    what = _WHAT[kind].format(timeout_s=timeout_s, **words)
    return _error(peer, kind, what, 0.0 if kind in {"disconnected", "reset"} else None)


_WHAT: Mapping[str, str] = {
    "timeout": "no whole answer within {timeout_s:g} s ({table}.timeout_s)",
    "connect_timeout": f"no connection in time; {_IS_IT_RUNNING}",
    "refused": f"connection refused; {_IS_IT_RUNNING}",
    "unknown_host": "the host cannot be found{why}",
    "no_route": "the host cannot be reached{why}",
    "unreachable": "the host cannot be found or reached at the moment{why}",
    "tls": "no secure connection{why}",
    "reset": "the connection broke{why}",
    "disconnected": "the connection was closed before the answer came",
    "truncated": "the answer broke off",
    "garbled": "the answer is no valid HTTP",
}


def _kind_of(error: BaseException) -> str:
    """Name what an exception of aiohttp, or one below it, means; the order of the classes matters."""
    import aiohttp

    classes: tuple[tuple[str, type[BaseException] | tuple[type[BaseException], ...]], ...] = (
        ("unknown_host", (aiohttp.ClientConnectorDNSError, socket.gaierror)),
        ("tls", (aiohttp.ClientSSLError, ssl.SSLError)),
        ("connect_timeout", aiohttp.ConnectionTimeoutError),
        ("disconnected", aiohttp.ServerDisconnectedError),
        ("truncated", aiohttp.ClientPayloadError),
        ("garbled", aiohttp.ClientResponseError),
    )
    for kind, which in classes:
        if isinstance(error, which):
            return kind
    if isinstance(error, OSError) and error.errno is not None:
        return _OF_ERRNO.get(error.errno, "reset")
    return "timeout" if isinstance(error, TimeoutError) else "garbled"


def _system_words(error: BaseException) -> str:
    """Quote the operating system, which knows no keys."""
    words = error.strerror if isinstance(error, OSError) else None
    return f" ({words})" if isinstance(words, str) else ""
