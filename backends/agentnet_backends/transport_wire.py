"""Transport by a small protocol of its own on httptools: the way to servers that no proxy stands before.

httptools is llhttp, which aiohttp reads answers with as well; what is left out here is what a call for a
completion has no use for, and most of what a call by aiohttp takes. TLS is the event loop's, as aiohttp's is,
by the standard library's default settings: certificates and host names are checked.
"""

from __future__ import annotations

import asyncio
import math
import re
import select
import socket
import ssl
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

import httptools

from agentnet_backends.transport import (
    KEEP_ALIVE_S,
    LONGEST_CONNECT_S,
    Answer,
    Broken,
    Deadlines,
    tls_context,
)

_LONGEST_HEADER_BYTES: Final = 8190
_MOST_HEADERS: Final = 128
_LENGTHS: Final = frozenset({"content-length", "transfer-encoding"})
"""Who sends none of these ends a body by the end of the connection."""
_SUCCESS: Final = re.compile(rb"HTTP/1\.[01] 2")
_NAMES_KEPT_S: Final = 10.0
_NEXT_FAMILY_AFTER_S: Final = 0.25
_PIECE_BYTES: Final = 1 << 16
"""Of a body that is sent over TLS, so that what is not sent yet shows: the loop hands over whole pieces."""

_Address = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


class WireTransport:
    """Calls one server by HTTP or HTTPS; see `agentnet_backends.transport.Transport`.

    Args:
        url: Where the server is; of its path nothing is taken.
        headers: What every request shows.
        timeout_s: Deadline of a call from first to last byte, in seconds.

    Attributes:
        is_out_of_step: Whether an answer came that nobody asked for: the next such one may come a moment
            later, when somebody has asked, and would be his.

    Raises:
        ValueError: A header holds a line break.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        from yarl import URL

        server = URL(url)
        shown = {"Host": server.host_port_subcomponent, **headers}
        if any(mark in f"{name}{value}" for name, value in shown.items() for mark in "\r\n\0"):
            raise ValueError("a header holds a line break")
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in shown.items()).encode()
        self._heads: dict[str, bytes] = {}
        self._names = _Names(server.raw_host or "", server.port or 80)
        self._tls: dict[str, Any] = {}
        if server.scheme == "https":
            self._tls = {"ssl": tls_context(), "server_hostname": (server.raw_host or "").rstrip(".")}
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._deadlines = Deadlines()
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = self.is_out_of_step = False
        self._all_lost: asyncio.Future[None] | None = None

    async def send(self, url: str, body: bytes | None, most_bytes: int) -> Answer:
        """Make one call; see `Transport.send`."""
        if self.is_out_of_step:
            raise Broken("unasked")
        now = self._loop.time()
        due = now + self._timeout_s
        head = self._heads.get(url) or self._head(url)
        connection = self._take(now - KEEP_ALIVE_S)
        is_kept = connection is not None
        while True:
            if connection is None:
                connection = await self._connect()
            # No name is kept of what is sent: its memory is taken for the next call's while it is at hand.
            answer = connection.ask(_sent(head, body), most_bytes)
            self._deadlines.add(connection, due)
            try:
                return await answer
            except asyncio.CancelledError:
                connection.give_up(answer)
                raise
            except (Broken, OSError):
                # The server may have hung up at that very moment. Whether it took a request with a body
                # nobody knows: that is for whoever counts what is billed.
                if not is_kept or body is not None or connection.has_heard or self._loop.time() >= due:
                    raise
            connection, is_kept = None, False

    async def aclose(self) -> None:
        """Close the connections."""
        self._is_closed = True
        for connection in tuple(self._open):
            connection.close()
        self._deadlines.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._open:
            self._all_lost = self._loop.create_future()
            await self._all_lost

    def _head(self, url: str) -> bytes:
        from yarl import URL

        path = URL(url, encoded=True).raw_path_qs.encode()
        head = self._heads[url] = b" %b HTTP/1.1\r\n%b" % (path, self._headers)
        return head

    def _take(self, before: float) -> _Connection | None:
        """Take the connection that was used last, so that those that are not needed are dropped."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_usable(before):
                connection.close()
            elif not connection.is_spoken_on():
                return connection
        return None

    async def _connect(self) -> _Connection:
        from aiohappyeyeballs import start_connection

        try:
            async with asyncio.timeout(min(self._timeout_s, LONGEST_CONNECT_S)):
                addresses = await self._names.find(self._loop)
                made = await start_connection(addresses, happy_eyeballs_delay=_NEXT_FAMILY_AFTER_S)
                _, connection = await self._loop.create_connection(
                    lambda: _Connection(self), sock=made, **self._tls
                )
        except TimeoutError as error:
            failure: Exception = Broken("connect_timeout", error.strerror)
        except ssl.SSLError as error:
            failure = Broken("tls", error.strerror)
        except (ConnectionResetError, BrokenPipeError) as error:
            # Nothing was sent yet. asyncio's own error of who hangs up as he is greeted has no words.
            failure = Broken("unreachable", error.strerror or "it hung up before there was a connection")
        except OSError as error:
            # Of several addresses each may have failed in its own way.
            failure = Broken("unreachable", str(error)) if error.errno is None else error
        else:
            if not self._is_closed:
                return connection
            failure = Broken("disconnected")
            connection.close()
        raise failure

    def made(self, connection: _Connection) -> None:
        """Take note of a connection."""
        self._open.add(connection)

    def answered(self, connection: _Connection, *, is_reusable: bool) -> None:
        """Take back the connection of a call that ended; close it unless it can be used again."""
        self._deadlines.drop(connection)
        if not is_reusable or self._is_closed:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(KEEP_ALIVE_S, self._sweep)

    def lost(self, connection: _Connection) -> None:
        """Take note that a connection is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._all_lost is not None and not self._open:
            self._all_lost.set_result(None)

    def _sweep(self) -> None:
        """Close the connections that nobody needed for a while."""
        idle, before = self._idle, self._loop.time() - KEEP_ALIVE_S
        self._idle = [connection for connection in idle if connection.is_usable(before)]
        for connection in set(idle).difference(self._idle):
            connection.close()
        self._sweeper = self._loop.call_later(KEEP_ALIVE_S, self._sweep) if self._idle else None


class _Connection(asyncio.Protocol):
    """One connection: at most one call at a time.

    Attributes:
        idle_since: When its last call ended, by the loop's clock.
        has_heard: Whether anything came for the call that was begun last.
    """

    def __init__(self, owner: WireTransport) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        # As lenient as aiohttp is, for there are such servers.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._waiter: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport
        self._unread = select.poll()
        self._loop = asyncio.get_running_loop()
        self._most_bytes = 0
        self._trouble = ""
        self.idle_since = 0.0
        self.has_heard = False
        self._forget()

    def ask(self, sent: bytes, most_bytes: int) -> asyncio.Future[Answer]:
        """Send a request, and give what will be its answer."""
        self._waiter = self._loop.create_future()
        self._most_bytes = most_bytes
        self.has_heard = False
        for start in range(0, len(sent), _PIECE_BYTES):
            self._transport.write(sent[start : start + _PIECE_BYTES])
        return self._waiter

    def is_usable(self, before: float) -> bool:
        """Say whether it is still open, and was used after `before`."""
        return self.idle_since > before and not self._transport.is_closing()

    def is_spoken_on(self) -> bool:
        """Say whether something came that the event loop has not come to: it then ends the connection."""
        return bool(self._unread.poll(0))

    def give_up(self, waiter: asyncio.Future[Answer]) -> None:
        """Close it if it still has the call of `waiter`: so the server learns that nobody waits any more."""
        if self._waiter is waiter:
            self.fail(Broken("disconnected"))

    def fail(self, error: Exception) -> None:
        """End its call with `error`, and close it."""
        waiter, self._waiter = self._waiter, None
        self._forget()
        if waiter is not None:
            self._owner.answered(self, is_reusable=False)
            if not waiter.done():
                waiter.set_exception(error)
        self.close()

    def close(self) -> None:
        """Close it, whatever is still to be sent: over TLS with a goodbye, whose answer nobody waits for."""
        if not self._transport.is_closing():
            self._transport.close()
        self._loop.call_soon(self._transport.abort)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the way to send."""
        # uvloop's transports are no instances of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._unread.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._waiter is None:
            # Nothing was asked: what it says, be it a goodbye, must not be taken for the next answer.
            self._owner.is_out_of_step |= _SUCCESS.match(data) is not None
            self.close()
            return
        self.has_heard = True
        self._n_unread += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(Broken("garbled"))
        if self._is_in_head and self._n_unread > _LONGEST_HEADER_BYTES:
            self._trouble = self._trouble or "header_too_large"
        if self._trouble and self._waiter is not None:
            self.fail(Broken(self._trouble))

    def eof_received(self) -> None:
        """Be of no further use: over TLS it takes a while until it is closed."""
        self.idle_since = -math.inf

    def connection_lost(self, error: Exception | None) -> None:
        """End the call that it had: well, if the end of the connection was to end the answer."""
        self._owner.lost(self)
        # A parser and its protocol hold each other, and the collector looks hardly ever.
        del self._parser
        if self._waiter is None:
            return
        if not self._has_head:
            self.fail(Broken("disconnected") if error is None else error)
        elif error is None and self._headers.keys().isdisjoint(_LENGTHS):
            self._end(is_reusable=False)
        else:
            self.fail(Broken("truncated"))

    # What httptools calls

    def on_message_begin(self) -> None:
        """Close it where an answer begins that nobody asked for."""
        if self._waiter is None:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; of several of one name the first."""
        self._n_unread = 0
        self._n_headers += 1
        if len(name) + len(value) > _LONGEST_HEADER_BYTES:
            self._trouble = "header_too_large"
        elif self._n_headers > _MOST_HEADERS:
            self._trouble = "garbled"
        else:
            self._headers.setdefault(_name(name), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """Take the status."""
        self._status = self._parser.get_status_code()
        self._is_in_head, self._has_head = False, self._status >= 200

    def on_chunk_header(self) -> None:
        """Begin a chunk; after the last come headers once more."""
        self._is_in_head, self._n_unread = True, 0

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body, and no more than is allowed."""
        self._is_in_head = False
        self._pieces.append(piece)
        self._n_bytes += len(piece)
        if self._n_bytes > self._most_bytes:
            self._end(is_reusable=False)

    def on_message_complete(self) -> None:
        """Hand the answer over; one of 100 to 199 only announces it."""
        if not self._has_head:
            self._forget()
        else:
            # Who answers before he has read all that was sent may take the rest for the next request.
            all_sent = not self._transport.get_write_buffer_size()
            self._end(is_reusable=all_sent and self._parser.should_keep_alive())

    def _forget(self) -> None:
        """Begin a new answer."""
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._n_bytes = self._n_headers = self._n_unread = self._status = 0
        self._is_in_head, self._has_head = True, False
        self._trouble = ""

    def _end(self, *, is_reusable: bool) -> None:
        if self._trouble:
            # An answer that came whole with its trouble is none.
            self.fail(Broken(self._trouble))
            return
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        pieces = self._pieces
        answer = Answer(self._status, self._headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self._owner.answered(self, is_reusable=is_reusable)
        self._forget()
        if not waiter.done():
            waiter.set_result(answer)


def _sent(head: bytes, body: bytes | None) -> bytes:
    if body is None:
        return b"GET%b\r\n" % head
    return b"POST%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


@lru_cache(256)
def _name(raw: bytes) -> str:
    return raw.decode("latin-1").lower()


class _Names:
    """Looks up a host's addresses, once for all who connect at the same time."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._search: asyncio.Task[Sequence[_Address]] | None = None
        self._known_until = 0.0

    async def find(self, loop: asyncio.AbstractEventLoop) -> Sequence[_Address]:
        """Give the addresses.

        Raises:
            OSError: They cannot be found.
        """
        try:
            flags = socket.AI_NUMERICHOST
            return socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=flags)
        except socket.gaierror:
            pass
        if self._search is None or loop.time() >= self._known_until:
            found = loop.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
            self._search = asyncio.ensure_future(found)
            self._known_until = loop.time() + _NAMES_KEPT_S
        search = self._search
        try:
            # One who is cancelled must not take the answer away from the others.
            return await asyncio.shield(search)
        except OSError:
            self._known_until = 0.0
            raise
