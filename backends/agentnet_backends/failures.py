"""From what goes wrong on the way to a model server to the errors of `agentnet.errors`.

Servers agree on neither bodies nor codes, so an answer is judged by the codes in its body, its status and, in
the end, its wording; a broken connection by the kind of the exception. The word in `BackendError.kind` is one
of these:

- another try can help (`TransientError`): ``rate_limit``, ``overloaded``, ``loading``, ``unavailable``,
  ``bad_gateway``, ``gateway_timeout``, ``server_error``, ``conflict``, ``timeout``, ``reset``,
  ``disconnected``, ``truncated``, ``garbled``, ``page``, ``malformed_json``, ``wrong_schema``,
  ``no_choices``, ``error_body``, ``reply_too_large``, ``unknown_encoding``;
- nobody was asked (`ServerUnreachable`): ``connect_timeout``, ``refused``, ``unreachable``, ``proxy``,
  ``too_many_files``;
- this request was refused (`RequestRejected`): ``context_overflow``, ``content_filter``, ``too_large``,
  ``bad_request``, ``forbidden``, ``header_too_large``. Whether all others are refused, too, no list of words
  can know: `agentnet.stack.brake` finds out;
- no request succeeds (`BackendUnusable`): ``unauthorized``, ``insufficient_quota``, ``unknown_model``,
  ``wrong_url``, ``unsupported``, ``proxy_refused``, ``unknown_host``, ``no_route``, ``tls``, ``unasked``.

No key ever shows: what a server says is scrubbed, and a transport keeps the exceptions of its library to
itself, which may carry the headers that were sent.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from agentnet.errors import (
    BackendError,
    BackendUnusable,
    RequestRejected,
    ServerUnreachable,
    TransientError,
)
from agentnet.vocabulary import CONTENT_FILTER
from agentnet_backends.redaction import redact
from agentnet_backends.retry_hints import retry_hint
from agentnet_backends.transport import Broken

_SHOWN_CHARACTERS = 300
KEY_LIKE = re.compile(
    r"\b(?:sk|pk|key|gsk|hf|xai)[-_][A-Za-z0-9_*.-]{6,}|(?<=[Bb]earer )\S+|(?<=://)[^\s/@]*:[^\s/@]+(?=@)"
)
"""What looks like a key, whatever it stands in."""

_REJECTED = frozenset(
    {
        *("context_overflow", CONTENT_FILTER, "too_large"),
        *("bad_request", "forbidden", "header_too_large"),
    }
)

_WAYS_OUT: Mapping[str, str] = {
    "unauthorized": "{key}: mend that, then resume the run",
    "forbidden": "if all requests are: find out what the key in {key_env} may be used for",
    "proxy_refused": "the proxy wants a name and a password: put them into the environment variable that "
    "names it, as in HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT, or exempt the server by NO_PROXY",
    "insufficient_quota": "the account has no money or quota left: top it up, then resume the run",
    "unknown_model": "set {table}.model to one that the server lists: GET {url}/models",
    "wrong_url": "no model of that name ({table}.model), or nothing under that address: "
    "{table}.base_url must be what stands before {path}; it often ends in /v1",
    "unsupported": "the server does not take this field or value: see {knobs}",
    "unknown_host": "check the host in {table}.base_url and the network, then resume the run",
    "no_route": "check the host in {table}.base_url and the network, then resume the run",
    "unasked": "answers of this run may have been given to other questions than theirs: mend the server, or "
    "what stands before it, and start anew, with stack.cache=false",
    "tls": "check whether {table}.base_url begins with the right one of http:// and https://, and the "
    "server's certificate (SSL_CERT_FILE=FILE in the environment trusts one that nobody else has signed, "
    "or an authority of your own)",
}
"""What to do about whatever makes the backend unusable, or may."""

_OF_STATUS: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "wrong_url",
    405: "wrong_url",
    407: "proxy_refused",
    408: "timeout",
    409: "conflict",
    425: "conflict",
    429: "rate_limit",
    431: "header_too_large",
    502: "bad_gateway",
    503: "unavailable",
    504: "gateway_timeout",
    529: "overloaded",
    # Cloudflare's words for a server that it cannot reach.
    **dict.fromkeys((*range(520, 528), 530), "bad_gateway"),
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
        proxy_secrets: What the proxy is shown, and must never show either.
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
    proxy_secrets: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        through = f" through the proxy {self.proxy}" if self.proxy else ""
        return f"{self.name} at {self.url}{through}"

    def redact(self, text: str) -> str:
        """Take the keys out of what a server says."""
        return redact(text, (*self.secrets, *self.proxy_secrets))

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
        where["key_env"] = self.key_env
        return _WAYS_OUT[kind].format(key=key, **where)

    def way_out_of(self, error: BackendError) -> str:
        """Give the end of the message of `error` that says what to do; empty if nothing does."""
        return f"; {self.way_out(error.kind)}" if error.kind in _WAYS_OUT else ""


class ErrorWords(NamedTuple):
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


def said_by(raw: bytes) -> ErrorWords:
    """Read an error body, of whatever shape: OpenAI's, FastAPI's, a bare text, a page."""
    try:
        return words_in(json.loads(raw))
    except (ValueError, RecursionError):
        return ErrorWords(raw.decode("utf-8", "replace"))


def words_in(body: object) -> ErrorWords:
    """Find the message and the codes in a parsed error body."""
    match body:
        case [first, *_]:
            return words_in(first)
        case {"error": dict(inner)} | {"detail": dict(inner)}:
            return words_in(inner)
        case {"detail": list(problems)}:
            return ErrorWords("; ".join(map(_validation_problem, problems)), _codes(*problems))
        case dict():
            message = next(filter(None, map(body.get, ("message", "error", "detail", "msg"))), "")
            # Words under a key that nobody knows are the server's own all the same.
            message = message or json.dumps(body, ensure_ascii=False)
            return ErrorWords(str(message), _codes(body, body.get("innererror")))
        case _:
            return ErrorWords("" if body is None else str(body))


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
    r"insufficient_(quota|balance|credits?|funds)|billing_(hard_limit|not_active)|payment_required"
    r"|budget.?exceeded|insufficient balance"
)
_OVERFLOW = re.compile(
    r"context.?length|context.?window|context.?size|max_model_len|maximum model length|maximum prompt length"
    r"|(prompt|input) (is|was) too long|too many input tokens"
)
_FILTER = re.compile(
    r"content_filter|content_policy|content management policy|responsibleaipolicy|moderation|invalid_prompt"
    r"|data_?inspection|input was flagged|safety system"
    r"|\bcontent\b.{0,60}\b(rules?|polic(y|ies)|guidelines?|filter(ed)?|unsafe|harmful|inappropriate|prohibited)\b"
    r"|\b(unsafe|harmful|inappropriate|prohibited|sensitive)\b.{0,40}\b(content|prompt|input|text|words?)\b"
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
_BAD_KEY = re.compile(
    r"invalid_api_key|authentication_error|api.?key not valid|incorrect api key|invalid api key"
)
_LOADING = re.compile(
    r"\bload(ing|ed)\b|warm(ing|ed)?.?up|\bstart(ing|ed|s)\b|initiali[sz]|\bnot (yet )?ready\b|being deployed"
)
_BUSY = re.compile(r"rate_?limit|too_?many_?requests|throttl")
_OVERLOADED = re.compile(r"overloaded|server_?busy")

_RULES: tuple[tuple[str, Callable[[int, str], object]], ...] = (
    ("insufficient_quota", lambda _, words: _QUOTA.search(words)),
    ("too_large", lambda status, words: status == 429 and "request too large" in words),
    ("rate_limit", lambda status, _: status == 429),
    # Some servers report the caller's fault as 500, so wording counts here at any status.
    ("context_overflow", lambda _, words: _OVERFLOW.search(words)),
    (CONTENT_FILTER, lambda status, words: status < 500 and _FILTER.search(words)),
    ("unauthorized", lambda status, words: status in {400, 403} and _BAD_KEY.search(words)),
    ("unknown_model", lambda status, words: status in {400, 404, 422} and _NO_MODEL.search(words)),
    ("unsupported", lambda status, words: status in {400, 422} and _UNSUPPORTED.search(words)),
    ("loading", lambda status, words: status in {425, *range(502, 530)} and _LOADING.search(words)),
)
"""What the words say: the first that holds names the kind, before the status does."""

_CERTAIN: Mapping[int, str] = {402: "insufficient_quota", 413: "context_overflow"}
"""Statuses that no words can explain away."""

_PLAIN_WORDS = frozenset({"context_overflow", "too_large"})
"""Kinds whose words are said of nothing else."""

_OF_CODES: tuple[tuple[str, Callable[[int, str], object]], ...] = (
    *(rule for rule in _RULES if rule[0] not in {"too_large", "rate_limit", "loading"}),
    ("rate_limit", lambda status, codes: status < 500 and _BUSY.search(codes)),
    ("overloaded", lambda status, codes: status < 500 and _OVERLOADED.search(codes)),
)
"""What the codes alone say: they are for programs, so they count before the message."""


def error_of_answer(peer: Peer, status: int, headers: Mapping[str, str], raw: bytes) -> BackendError:
    """Make the error for an answer that is no success.

    Args:
        peer: Who answered.
        status: The HTTP status, outside 200..299.
        headers: The answer's headers; looked up in lower case.
        raw: The body as it came.
    """
    said = said_by(raw)
    kind, is_sure = _kind_said(status, said)
    kind = kind or _of_status(status)
    words = peer.quote(said.message or said.codes)
    if 300 <= status < 400 and (target := headers.get("location")):
        # What follows a question mark is no address, and may be a secret.
        words = f"it sends us to {peer.quote(target.partition('?')[0])}, where no key of yours may go unasked"
    what = f"HTTP {status}, {kind.replace('_', ' ')}{f': {words}' if words else ''}"
    return _error(peer, kind, what, _hint(kind, headers, said), is_sure=is_sure)


def error_of_body(peer: Peer, body: object) -> BackendError:
    """Make the error for an answer that calls itself a success but says that it is none.

    A code in it that is an HTTP status counts as that.
    """
    said, status = words_in(body), _status_in(body)
    kind, is_sure = _kind_said(status or 400, said)
    kind = kind or ("error_body" if status is None else _of_status(status))
    # It was the right URL: it answered.
    kind = "bad_request" if kind == "wrong_url" else kind
    number = "" if status is None else f" of code {status}"
    what = f"HTTP 200 with an error{number} in it: {peer.quote(said.message or said.codes)}"
    return _error(peer, kind, what, _hint(kind, {}, said), is_sure=is_sure)


def _kind_said(status: int, said: ErrorWords) -> tuple[str | None, bool]:
    """Name what an error's codes say, else its status where that is certain, else what its words say.

    Returns:
        The kind, and whether it is certain; None if nothing of it is known.
    """
    for kind, holds in _OF_CODES:
        if holds(status, said.codes):
            return kind, True
    if status in _CERTAIN:
        return _CERTAIN[status], True
    found = next((kind for kind, holds in _RULES if holds(status, said.all)), None)
    return found, found in _PLAIN_WORDS


def _status_in(body: object) -> int | None:
    """Find the HTTP status that an error body states."""
    match body:
        case [first, *_]:
            return _status_in(first)
        case {"error": dict(inner)} | {"detail": dict(inner)}:
            return _status_in(inner)
        case dict():
            found = (str(body.get(key)) for key in ("code", "status", "status_code"))
            return next((int(text) for text in found if re.fullmatch("[45][0-9][0-9]", text)), None)
        case _:
            return None


def _hint(kind: str, headers: Mapping[str, str], said: ErrorWords) -> float | None:
    return None if kind in _REJECTED or kind in _WAYS_OUT else retry_hint(headers, said.message)


def is_error(body: Mapping[str, object]) -> bool:
    """Say whether an answer without a completion is an error, if under no name that others use."""
    words = (body.get(key) for key in ("message", "detail", "msg"))
    return _status_in(body) is not None or any(isinstance(said, str) and said for said in words)


def unusable_answer(peer: Peer, kind: str, what: str, raw: bytes) -> TransientError:
    """Make the error for a success whose body is not what was agreed; `raw` is quoted."""
    # All of it is scrubbed before any of it is cut off: half a key is a key's half.
    shown = peer.quote(raw.decode("utf-8", "replace"))
    begins = raw.lstrip(b"\xef\xbb\xbf \t\r\n")
    if begins.startswith(b"<"):
        # Whatever stands before the server said this, not the server.
        kind, what = "page", "a page came instead of an answer"
    elif begins.startswith((b"data:", b"event:")):
        what = (
            "a stream of events (text/event-stream) came, which was not asked for; have the server, or the "
            f"proxy before it, answer whole, or set {peer.table}.base_url to one that does"
        )
    return TransientError(f"{peer}: {what}: {shown!r}", kind=kind)


def _of_status(status: int) -> str:
    if status < 400:
        return "wrong_url"
    return _OF_STATUS.get(status, "bad_request" if status < 500 else "server_error")


def _error(
    peer: Peer, kind: str, what: str, retry_after_s: float | None = None, *, is_sure: bool = False
) -> BackendError:
    way_out = f"; {peer.way_out(kind)}" if kind in _WAYS_OUT else ""
    error: BackendError
    if kind in _REJECTED:
        error = RequestRejected(f"{peer}: {what}{way_out}", kind=kind, is_sure=is_sure)
    elif kind in _WAYS_OUT:
        error = BackendUnusable(f"{peer}: {what}{way_out}", kind=kind)
    elif kind in OUT_OF_REACH | _NOT_SENT:
        error = ServerUnreachable(f"{peer}: {what}", kind=kind)
    else:
        error = TransientError(f"{peer}: {what}", kind=kind, retry_after_s=retry_after_s)
    if kind in OUT_OF_REACH | _NOT_SENT:
        error.attempts = 0
    return error


OUT_OF_REACH = frozenset({"refused", "connect_timeout", "unreachable", "unknown_host", "no_route", "tls"})
"""Kinds of failure in which no connection to the server came about."""

_NOT_SENT = frozenset({"proxy", "proxy_refused", "too_many_files", "unasked"})
"""Further kinds of failure in which nothing was sent to the server."""

_IS_IT_RUNNING = "is the server running? try: curl {url}/models"

_OF_ERRNO: Mapping[int, str] = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "no_route",
    errno.EHOSTUNREACH: "no_route",
    errno.ENETDOWN: "no_route",
    errno.EADDRNOTAVAIL: "no_route",
    errno.ETIMEDOUT: "connect_timeout",
    errno.ECONNRESET: "reset",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "too_many_files"),
}


def error_of_exception(
    peer: Peer, error: BaseException, *, timeout_s: float, is_known: bool, proxy: str | None = None
) -> BackendError:
    """Make the error for a call that got no whole answer.

    Args:
        peer: Who was called.
        error: What the transport raised.
        timeout_s: The deadline of a call, in seconds.
        is_known: Whether this server has answered before, or others still do: a host that cannot be found or
            reached is then a passing trouble.
        proxy: The proxy that stands between, if one does.
    """
    kind = _kind_of(error)
    if kind in {"unknown_host", "no_route"} and is_known:
        kind = "unreachable"
    words = {"why": _system_words(error), "url": peer.url, "table": peer.table, "proxy": proxy_name(proxy)}
    trusted = os.environ.get("SSL_CERT_FILE")
    if kind == "tls" and trusted and not Path(trusted).is_file():
        # OpenSSL passes over it without a word.
        words["why"] = f"{words['why']}; SSL_CERT_FILE names no file: {trusted}"
    what = _WHAT[kind].format(timeout_s=timeout_s, **words)
    if kind in _OF_ANOTHER_PROTOCOL and not is_known:
        what = f"{what}; does {peer.table}.base_url begin with the right one of http:// and https://?"
    return _error(peer, kind, what, 0.0 if kind in {"disconnected", "reset"} else None)


_OF_ANOTHER_PROTOCOL = frozenset({"disconnected", "garbled", "reset"})
"""How servers end calls that are not of the protocol they speak, if they never answered one."""

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
    "unasked": "an answer came that nobody asked for, so that nobody knows which answer is whose",
    "header_too_large": "a header of the answer is larger than 8 KiB",
    "proxy": "the proxy {proxy} could not be reached, or did not reach the server{why}; the environment "
    "names it (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY), and NO_PROXY exempts a server from it",
    "proxy_refused": "the proxy {proxy} refused us",
    "too_many_files": "this process has too many files and connections open{why}: raise the limit "
    "(ulimit -n) or lower engine.workers",
}


def _kind_of(error: BaseException) -> str:
    """Name what a transport raised."""
    if isinstance(error, Broken):
        return error.kind
    if isinstance(error, socket.gaierror):
        return "unknown_host"
    if isinstance(error, OSError) and error.errno is not None:
        return _OF_ERRNO.get(error.errno, "reset")
    return "timeout" if isinstance(error, TimeoutError) else "garbled"


def proxy_name(proxy: str | None) -> str:
    """Give a proxy's host and port, without the password that may stand before them; empty for none.

    Examples:
        >>> proxy_name("http://me:secret@proxy.example:3128/")
        'proxy.example:3128'
        >>> proxy_name("http://[::1")
        '[::1'
    """
    return (proxy or "").partition("://")[2].rpartition("@")[2].partition("/")[0]


def proxy_secrets(proxy: str | None) -> tuple[str, ...]:
    """Give a proxy's name with its password, as a header has them, and the password; nothing without one."""
    user, colon, password = map(unquote, urlsplit(proxy or "").netloc.rpartition("@")[0].partition(":"))
    return (f"{user}:{password}", password) if colon and password else ()


def _system_words(error: BaseException) -> str:
    """Quote the operating system, which knows no keys."""
    words = error.strerror if isinstance(error, OSError) else getattr(error, "why", None)
    return f" ({words})" if isinstance(words, str) else ""
