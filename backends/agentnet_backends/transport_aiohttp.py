"""Transport by aiohttp: the way to servers behind a proxy, by TLS or not.

Measured choices: no limit of connections of its own (aiohttp's default of 100 would be a second limit), no
cookies, and nothing inflated by the library.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from agentnet_backends.transport import (
    KEEP_ALIVE_S,
    LONGEST_CONNECT_S,
    Answer,
    Broken,
    Deadlines,
    tls_context,
)

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from yarl import URL

_READ_AHEAD_BYTES: Final = 1 << 16


class AiohttpTransport:
    """Calls servers by aiohttp; see `Transport`.

    Args:
        headers: What every request shows.
        timeout_s: Deadline of a call from first to last byte, in seconds.
        proxy: The proxy on the way; None for none.
    """

    def __init__(self, headers: Mapping[str, str], timeout_s: float, proxy: str | None = None) -> None:
        import aiohttp

        self._proxy = proxy
        # Those of a session are shown to the proxy, too, in the clear before TLS begins.
        self._headers = headers
        self._addresses: dict[str, URL] = {}
        self._failures = (aiohttp.ClientError, OSError)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=tls_context()),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_READ_AHEAD_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(timeout_s, LONGEST_CONNECT_S)),
        )
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines()

    async def send(self, url: str, body: bytes | None, most_bytes: int) -> Answer:
        """Make one call; see `Transport.send`."""
        address = self._addresses.get(url) or self._address(url)
        call = _Call(asyncio.current_task())
        self._deadlines.add(call, self._loop.time() + self._timeout_s)
        try:
            response = await self.session.request(
                "GET" if body is None else "POST",
                address,
                data=body,
                headers=self._headers,
                allow_redirects=False,
                proxy=self._proxy,
            )
            return Answer(response.status, response.headers, await _read(response, most_bytes))
        except self._failures as error:
            failure = _told(error, is_proxied=self._proxy is not None)
        except asyncio.CancelledError:
            if not call.is_too_late():
                raise
            failure = TimeoutError()
        finally:
            self._deadlines.drop(call)
        # Raised out here: the library's exception holds the headers, and would stay attached as the context.
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        self._deadlines.stop()
        await self.session.close()

    def _address(self, url: str) -> URL:
        from yarl import URL

        address = self._addresses[url] = URL(url, encoded=True)
        return address


class _Call:
    """A call under way in a task, which is cancelled where it takes too long, as by `asyncio.timeout`."""

    __slots__ = ("_is_late", "_n_before", "_task")

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        assert task is not None
        self._task, self._n_before, self._is_late = task, task.cancelling(), False

    def fail(self, _: Exception) -> None:
        """Break it off."""
        self._is_late = True
        self._task.cancel()

    def is_too_late(self) -> bool:
        """Say, of one that was cancelled, whether that was for its deadline and for nothing else."""
        return self._is_late and self._task.uncancel() <= self._n_before


async def _read(response: ClientResponse, most_bytes: int) -> bytes:
    """Read a body, and close the connection where that is not to its end."""
    pieces, n_bytes, content = [], 0, response.content
    try:
        while n_bytes <= most_bytes and (piece := await content.readany()):
            n_bytes += len(piece)
            pieces.append(piece)
    except BaseException:
        response.close()
        raise
    if n_bytes > most_bytes:
        response.close()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _told(error: BaseException, *, is_proxied: bool) -> Exception:
    """Say what an exception of aiohttp, or one below it, means, in what a `Transport` raises."""
    words = error.strerror if isinstance(error, OSError) else None
    kind = _kind_of(error, is_proxied=is_proxied)
    if kind is not None:
        return Broken(kind, words)
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, words)
    if isinstance(error, TimeoutError):
        return TimeoutError()
    # Without a number it is aiohttp's own, of a kept connection that ended before it was taken.
    return Broken("disconnected" if isinstance(error, OSError) else "garbled")


def _kind_of(error: BaseException, *, is_proxied: bool) -> str | None:
    """Name what aiohttp's own classes mean; the order matters. None for what the system raised."""
    import aiohttp

    if isinstance(error, aiohttp.ClientHttpProxyError):
        return "proxy_refused" if error.status == 407 else "proxy"
    is_of_connecting = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    if is_proxied and is_of_connecting and not isinstance(error, aiohttp.ClientSSLError):
        return "proxy"
    if _is_of_a_long_header(error):
        return "header_too_large"
    classes: tuple[tuple[str, type[BaseException] | tuple[type[BaseException], ...]], ...] = (
        ("unknown_host", aiohttp.ClientConnectorDNSError),
        ("tls", (aiohttp.ClientSSLError, ssl.SSLError)),
        ("connect_timeout", aiohttp.ConnectionTimeoutError),
        ("disconnected", aiohttp.ServerDisconnectedError),
        ("truncated", aiohttp.ClientPayloadError),
        ("garbled", aiohttp.ClientResponseError),
    )
    return next((kind for kind, which in classes if isinstance(error, which)), None)


def _is_of_a_long_header(error: BaseException) -> bool:
    from aiohttp.http_exceptions import LineTooLong

    cause = error.__cause__
    while cause is not None and not isinstance(cause, LineTooLong):
        cause = cause.__cause__
    return cause is not None
