"""Calls to one or several servers: who is asked, by which transport, and what becomes of its failures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from zlib import crc32

from agentnet.errors import BackendError, TransientError
from agentnet_backends.bodies import ENCODINGS, MAX_REPLY_BYTES, is_plain, plain
from agentnet_backends.endpoints import Endpoint, Endpoints
from agentnet_backends.failures import (
    Peer,
    error_of_answer,
    error_of_exception,
    unusable_answer,
)
from agentnet_backends.transport import Answer, Broken, Transport
from agentnet_backends.transport_aiohttp import AiohttpTransport
from agentnet_backends.transport_wire import WireTransport

_BYTES_PER_TOKEN = 3


class Access(NamedTuple):
    """What is shown to servers. Holds secrets: never to be printed.

    Attributes:
        key: The key; None sends none.
        key_header: The header that it is sent in as it is; None sends it as a bearer token.
        headers: Further headers of every request.
        query: What follows the address of every request.
        hidden: What else must never show.
    """

    key: str | None = None
    key_header: str | None = None
    headers: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    hidden: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Access(...)"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Whatever must never show."""
        return self.hidden if self.key is None else (self.key, *self.hidden)

    def all_headers(self) -> dict[str, str]:
        """Give the headers of every request; those that were asked for have the last word."""
        ours = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "agentnet"}
        if self.key is not None and self.key_header is not None:
            ours[self.key_header] = self.key
        elif self.key is not None:
            ours["Authorization"] = f"Bearer {self.key}"
        given = {name.lower() for name in self.headers}
        return {name: value for name, value in ours.items() if name.lower() not in given} | dict(self.headers)


class _Line(NamedTuple):
    """How a server is reached.

    Attributes:
        transport: What carries the calls.
        chat: Where it is asked for chat completions.
        proxy: The proxy on the way; None for none.
    """

    transport: Transport
    chat: str
    proxy: str | None


_Answering = Coroutine[Any, Any, tuple[Endpoint, Answer]]


class Http:
    """Sends requests to servers, as `Endpoints` shares them out.

    Args:
        peers: The servers, at least one.
        access: What is shown to them.
        timeout_s: Deadline of a call from first to last byte, in seconds.
        max_reply_bytes: Bound on a body, inflated.
        clock: Gives the time, in seconds.

    Attributes:
        tell: Called with a sentence when one of several servers is left out, and when it answers again.
    """

    def __init__(
        self,
        peers: Sequence[Peer],
        access: Access,
        *,
        timeout_s: float,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = Endpoints(peers)
        self._only = self.endpoints[0] if len(self.endpoints) == 1 else None
        self._access = access
        self._timeout_s = timeout_s
        self._max_reply_bytes = max_reply_bytes
        self._clock = clock
        self.tell: Callable[[str], None] = _keep_quiet
        self._lines: dict[Endpoint, _Line] = {}

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The servers."""
        return self._endpoints.all

    def chat(self, body: bytes, *, prefix: str = "", n_tokens: int = 1) -> _Answering:
        """Ask for a chat completion.

        Args:
            body: The request's body, as JSON.
            prefix: What its conversation begins with: several servers share the load by that.
            n_tokens: Tokens that may come at most.

        Returns:
            Who answered, and the answer, whatever its status.

        Raises:
            TransientError: No whole answer came.
            BackendUnusable: None can come.
        """
        if self._only is not None:
            return self._call(self._only, None, body, self._max_reply_bytes)
        return self._chat_with_one(body, prefix, n_tokens + len(body) // _BYTES_PER_TOKEN)

    async def _chat_with_one(self, body: bytes, prefix: str, n_tokens: int) -> tuple[Endpoint, Answer]:
        endpoint = self._endpoints.pick(self._clock(), prefix=crc32(prefix.encode()), n_tokens=n_tokens)
        endpoint.tokens += n_tokens
        try:
            return await self._call(endpoint, None, body, self._max_reply_bytes)
        finally:
            endpoint.tokens -= n_tokens

    async def post(self, path: str, body: bytes, *, extra_bytes: int = 0) -> tuple[Endpoint, Answer]:
        """Ask for something that is not a chat completion.

        Args:
            path: What follows the base URL: ``/embeddings``.
            body: The request's body, as JSON.
            extra_bytes: How much longer the answer may be than others.

        Returns:
            Who answered, and the answer, whatever its status.

        Raises:
            TransientError: No whole answer came.
            BackendUnusable: None can come.
        """
        endpoint = self._endpoints.pick(self._clock())
        most_bytes = self._max_reply_bytes + extra_bytes
        return await self._call(endpoint, f"{endpoint.peer.url}{path}", body, most_bytes)

    async def ask(self, path: str, body: object = None, *, root: bool = False) -> object:
        """Ask for anything else that is answered in JSON.

        Args:
            path: What follows the base URL: ``/models``.
            body: Sent by POST, as JSON; None asks by GET.
            root: Whether `path` stands beside ``/v1`` instead of below it.

        Raises:
            BackendError: No such answer came.
        """
        endpoint = self._endpoints.pick(self._clock())
        peer = endpoint.peer
        base = peer.url.removesuffix("/v1") if root else peer.url
        sent = None if body is None else json.dumps(body).encode()
        _, (status, headers, raw) = await self._call(endpoint, f"{base}{path}", sent, self._max_reply_bytes)
        if status >= 300:
            raise error_of_answer(peer, status, headers, raw)
        try:
            return json.loads(peer.redact(raw.decode("utf-8-sig")))
        except (ValueError, RecursionError):
            error = unusable_answer(peer, "malformed_json", f"{path} gave no JSON", raw)
        raise error

    async def aclose(self) -> None:
        """Close the connections."""
        while self._lines:
            await self._lines.popitem()[1].transport.aclose()

    async def _call(
        self, endpoint: Endpoint, url: str | None, body: bytes | None, most: int
    ) -> tuple[Endpoint, Answer]:
        line = self._lines.get(endpoint) or self._open(endpoint)
        endpoint.outstanding += 1
        try:
            answer = await line.transport.send(line.chat if url is None else self._address(url), body, most)
            if not is_plain(answer, most):
                answer = await plain(answer, endpoint.peer, most)
        except (Broken, OSError) as error:
            failure = self._failure(endpoint, error, line.proxy)
        else:
            if answer.status >= 500 or endpoint.failures or not endpoint.has_answered:
                self._note(endpoint, None if answer.status < 500 else "server_error")
            return endpoint, answer
        finally:
            endpoint.outstanding -= 1
        raise failure

    def _note(self, endpoint: Endpoint, kind: str | None) -> None:
        """Take note of an answer, or of a failure of some kind, and tell what changes by it."""
        before, now = endpoint.out_until, self._clock()
        if kind is None:
            endpoint.worked()
        else:
            endpoint.failed(kind, now)
        if self._only is not None or endpoint.out_until == before:
            return
        left_s = endpoint.out_until - now
        self.tell(
            f"{endpoint.peer.url} {f'is left out for {left_s:g} s: {kind}' if kind else 'answers again'}"
        )

    def _failure(self, endpoint: Endpoint, error: Exception, proxy: str | None) -> BackendError:
        now = self._clock()
        others = self._endpoints.others_open(endpoint, now)
        failure = error_of_exception(
            endpoint.peer,
            error,
            timeout_s=self._timeout_s,
            is_known=endpoint.has_answered or others,
            proxy=proxy,
        )
        self._note(endpoint, failure.kind)
        failure.may_be_billed = failure.attempts > 0
        if others and isinstance(failure, TransientError):
            failure.retry_after_s = 0.0
        return failure

    def _address(self, url: str) -> str:
        from yarl import URL

        return str(URL(url).update_query(self._access.query) if self._access.query else URL(url))

    def _open(self, endpoint: Endpoint) -> _Line:
        """Make the way to a server: within the event loop, as transports want it."""
        url = endpoint.peer.url
        proxy = proxy_of(url)
        headers = {**self._access.all_headers(), "Accept-Encoding": ENCODINGS}
        transport = transport_to(url, headers, self._timeout_s, proxy)
        line = self._lines[endpoint] = _Line(transport, self._address(f"{url}/chat/completions"), proxy)
        return line


def _keep_quiet(_: str) -> None:
    """Leave a change unsaid."""


def transport_to(url: str, headers: Mapping[str, str], timeout_s: float, proxy: str | None) -> Transport:
    """Choose the transport to a server: behind a proxy aiohttp's, else the one that takes less.

    Args:
        url: The server's base URL.
        headers: What every request shows.
        timeout_s: Deadline of a call, in seconds.
        proxy: The proxy on the way; None for none.
    """
    if proxy is None:
        return WireTransport(url, headers, timeout_s)
    return AiohttpTransport(headers, timeout_s, proxy)


def _is_exempt(host: str, without: str) -> bool:
    """Say whether `host` is this machine, or of a range of addresses in `without` (``10.0.0.0/8``)."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    if address.is_loopback or address.is_unspecified:
        return True
    for each in without.split(","):
        with suppress(ValueError):
            if address in ip_network(each.strip(), strict=False):
                return True
    return False


def proxy_of(url: str) -> str | None:
    """Find the proxy that the environment names for `url`; this machine itself needs none."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    host, with_port = parts.hostname or "", parts.netloc.rpartition("@")[2]
    found = getproxies()
    if _is_exempt(host, found.get("no", "")) or proxy_bypass(host) or proxy_bypass(with_port):
        return None
    proxy = found.get(parts.scheme, found.get("all"))
    if not proxy or "://" in proxy:
        return proxy or None
    return f"http://{proxy}"
