"""What carries a call to one server and its answer back: the contract that every transport keeps.

A transport knows bytes and nothing of what they say. `agentnet_backends.http` decides which one a server is
called by; the tests of this contract (``tests/test_transports.py``) are the same for all of them. It

- follows no redirect, keeps no cookies, and never tries a request with a body again;
- closes the connection of a call that is cancelled, so that a server stops working on it;
- has no limit of its own on calls at once, which is set elsewhere;
- takes 128 headers of 8 KiB each at most, and closes the connection of an answer that is not read to its end;
- keeps an idle connection for less than the 5 s after which some servers drop theirs;
- holds to one deadline from first to last byte, since a server that sends a byte now and then outlives any
  deadline for a single read.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

KEEP_ALIVE_S: Final = 4.0
LONGEST_CONNECT_S: Final = 60.0
"""Time enough: a stalled event loop fails connections that were long made."""


class Answer(NamedTuple):
    """What came back: the HTTP status, the headers (looked up in lower case), the body as it was sent."""

    status: int
    headers: Mapping[str, str]
    raw: bytes


class Broken(Exception):
    """No whole answer came. Holds nothing of what was sent.

    Args:
        kind: How it went wrong; one of the kinds of `agentnet_backends.failures`.
        why: What the operating system or the TLS library says of it; None where neither does.
    """

    def __init__(self, kind: str, why: str | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.why = why


class Transport(Protocol):
    """Calls one server. Safe to use concurrently from one event loop; is made inside of it."""

    async def send(self, url: str, body: bytes | None, most_bytes: int) -> Answer:
        """Make one call.

        Args:
            url: The whole address, encoded.
            body: Sent by POST; None asks by GET.
            most_bytes: Bound on the body of the answer. Of one that is longer comes a beginning that is, too.

        Raises:
            Broken: No whole answer came.
            OSError: Likewise: what the operating system raised, `TimeoutError` at the deadline.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


def tls_context() -> ssl.SSLContext:
    """Make the settings of TLS: the standard library's, so that certificates and host names are checked.

    Whom the environment says to trust when it is made is trusted (``SSL_CERT_FILE``).
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    # The server has no business to ask for other keys under way.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


class _Call(Protocol):
    def fail(self, error: Exception) -> None: ...


class Deadlines:
    """Ends calls that take too long, by one timer for all: one for each takes longer than to send the bytes.

    Made within the event loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: dict[_Call, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def add(self, call: _Call, due: float) -> None:
        """End `call` when the loop's clock says `due`."""
        self._due[call] = due
        if due < self._rings_at:
            self.stop()
            self._set(due)

    def drop(self, call: _Call) -> None:
        """Forget a call that ended."""
        del self._due[call]

    def stop(self) -> None:
        """Take the timer away."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, due: float) -> None:
        self._rings_at = due
        self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        for call in [each for each, due in self._due.items() if due <= now]:
            call.fail(TimeoutError())
        self._rings_at, self._timer = math.inf, None
        if self._due:
            self._set(min(self._due.values()))
