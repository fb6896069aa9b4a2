"""What the pages that this package serves share: who may open them, and what browsers are told.

A page is opened by an unguessable token in its address, by nothing else: no cookie, no password. Of those who
come nothing is kept or logged, neither address nor program. What a page shows was written by others; headers
see to it that none of that can run, be framed, be stored, or lead a browser to another host.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from agentnet.errors import InternalError, StorageError
from agentnet.report.html import environment

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Who = TypeVar("Who")

LOOPBACK: Final = "127.0.0.1"

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    # Not "no-referrer": browsers then hide where a form's post comes from, and it would be refused.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What every answer says to browsers."""

_OURSELVES: Final = (LOOPBACK, "localhost", "[::1]")
_TYPES: Final = {".css": "text/css", ".js": "text/javascript"}
_LONGEST_POST_BYTES: Final = 1 << 20
"""Some texts of 10,000 characters, each of which may take twelve bytes."""


class Keys(Generic[Who]):
    """Who is let in by which token."""

    def __init__(self) -> None:
        self._pepper = secrets.token_bytes(32)
        self._whose: dict[bytes, Who] = {}

    def admit(self, who: Who, token: str | None = None) -> str:
        """Let `who` in by a token.

        Args:
            who: What `Site.who` gives for a request that brings the token.
            token: The one to go on with, of `new_token`; a new one without.

        Returns:
            The token.
        """
        token = token or new_token()
        self._whose[self._digest(token)] = who
        return token

    def dismiss(self, token: str) -> None:
        """Let a token open nothing any more."""
        self._whose.pop(self._digest(token), None)

    def who(self, token: str) -> Who | None:
        """Say whom a token lets in; None if nobody."""
        return self._whose.get(self._digest(token))

    def _digest(self, token: str) -> bytes:
        # How long a comparison takes tells of digests that nobody outside can compute, and of no token.
        return hashlib.blake2b(token.encode("utf-8", "replace"), key=self._pepper).digest()


def new_token() -> str:
    """Draw a token that nobody can guess: 32 bytes of the system's chance, as letters of an address."""
    return secrets.token_urlsafe(32)


@dataclass(slots=True)
class Slowing:
    """Keeps who tries tokens waiting: wrong ones are answered one after another, whoever tries them.

    Right ones never wait, so nobody is locked out meanwhile, and nobody's address need be kept.

    Attributes:
        per_s: Answers to wrong tokens a second, in the long run.
        at_once: Answers that are given at once after a quiet time: people do mistype.
        most_waiting: How many may wait; who comes then is sent away.
    """

    per_s: float = 5.0
    at_once: int = 10
    most_waiting: int = 100
    _free_at_s: float = field(default=float("-inf"), repr=False)

    async def wait(self) -> bool:
        """Wait for one's turn; say whether there was one."""
        now_s = asyncio.get_running_loop().time()
        free_at_s = max(self._free_at_s, now_s - self.at_once / self.per_s) + 1.0 / self.per_s
        if free_at_s - now_s > self.most_waiting / self.per_s:
            return False
        self._free_at_s = free_at_s
        await asyncio.sleep(max(0.0, free_at_s - now_s))
        return True


class Site(Generic[Who]):
    """A server's pages: addresses with ``{token}`` in them are for those whom `keys` lets in.

    Args:
        keys: Who is let in. A handler learns whom by `who`.
        static: Scripts and style sheets by name, to be had by anybody below ``/static/``.
        told: Told of an error that is a bug of ours; the browser is told no more than that there was one.
        hosts: Names, beside loopback's, under which browsers may reach the server, without a port.
        slowing: How wrong tokens are slowed.

    Attributes:
        stopping: Set when the server ends: who streams ends then, too.
    """

    def __init__(
        self,
        keys: Keys[Who],
        static: Mapping[str, bytes],
        *,
        told: Callable[[Exception], None],
        hosts: Iterable[str] = (),
        slowing: Slowing | None = None,
    ) -> None:
        self.keys = keys
        self.stopping = asyncio.Event()
        self._static = {name: (bytes_, _type_of(name)) for name, bytes_ in static.items()}
        self._told = told
        self._hosts = {*_OURSELVES, *hosts}
        self._slowing = slowing or Slowing()

    def app(self, routes: Iterable[web.RouteDef]) -> web.Application:
        """Make the application of some routes."""
        from aiohttp import web

        found = web.Application(middlewares=[self._guarded()], client_max_size=_LONGEST_POST_BYTES)
        found.add_routes([*routes, web.get("/static/{name}", self._get_static)])
        found.on_response_prepare.append(_say_headers)
        return found

    def who(self, request: web.Request) -> Who:
        """Say whom the token of a request lets in.

        Raises:
            HTTPForbidden: Nobody any more: it was dismissed meanwhile.
        """
        from aiohttp import web

        who = self.keys.who(request.match_info["token"])
        if who is None:
            raise web.HTTPForbidden
        return who

    @asynccontextmanager
    async def serving(
        self, app: web.Application, *, host: str = LOOPBACK, port: int = 0
    ) -> AsyncIterator[str]:
        """Serve `app` while the body runs.

        Args:
            app: The application, of `app`.
            host: Where to listen; loopback unless given.
            port: The port; 0 takes a free one.

        Yields:
            What addresses begin with: ``http://HOST:PORT``.

        Raises:
            StorageError: It cannot listen there.
        """
        from aiohttp import web

        # What aiohttp logs of a request names who sent it.
        silent = logging.Logger("agentnet.view", logging.CRITICAL + 1)
        runner = web.AppRunner(app, access_log=None, logger=silent, shutdown_timeout=1.0)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                raise StorageError(
                    f"{host}:{port} cannot be served on ({error.strerror or error}); choose another by --port"
                ) from error
            self._hosts.add(_bracketed(host))
            yield f"http://{_bracketed(host)}:{runner.addresses[0][1]}"
        finally:
            self.stopping.set()
            await runner.cleanup()

    def _guarded(self) -> Any:  # noqa: ANN401 - what aiohttp makes of it has no name
        from aiohttp import web

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                refusal = await self._refusal(request)
                return await handler(request) if refusal is None else refusal
            except web.HTTPException as error:
                return _said(error.status, error.reason)
            except Exception as error:  # noqa: BLE001 - whoever serves is told, and goes on serving
                self._told(error)
                return _said(500, "An error of this program, not of yours; who runs it was told.")

        return guarded

    async def _refusal(self, request: web.Request) -> web.Response | None:
        """Refuse a request that has no business here; None for one that has."""
        if request.host.rpartition(":")[0] not in self._hosts and request.host not in self._hosts:
            return _said(421, "This server is not known by that name.")
        if request.method not in {"GET", "HEAD"} and not _is_of_this_page(request):
            return _said(403, "This was sent from a page of another address, and is not taken.")
        token = request.match_info.get("token")
        if token is None or self.keys.who(token) is not None:
            return None
        if await self._slowing.wait():
            return _said(403, "This link opens nothing.")
        return _said(429, "Too many wrong links are tried; try again later.")

    async def _get_static(self, request: web.Request) -> web.Response:
        from aiohttp import web

        name = request.match_info["name"]
        if name not in self._static:
            raise web.HTTPNotFound
        body, content_type = self._static[name]
        return web.Response(body=body, content_type=content_type, charset="utf-8")


def page(template: str, /, **values: object) -> web.Response:
    """Answer by a page.

    Args:
        template: Its file in ``view/templates``.
        values: What it is given; texts are spelled and escaped.
    """
    from aiohttp import web

    text = environment("agentnet.view").get_template(template).render(values)
    return web.Response(text=text, content_type="text/html")


def _said(status: int, words: str) -> web.Response:
    from aiohttp import web

    return web.Response(status=status, text=words)


async def _say_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.pop("Server", None)


def _is_of_this_page(request: web.Request) -> bool:
    """Say whether a post comes from a page of this server, whatever stands before it for TLS."""
    origin = request.headers.get("Origin")
    return origin in {f"{scheme}://{request.host}" for scheme in ("http", "https")}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _type_of(name: str) -> str:
    suffix = PurePath(name).suffix
    if suffix not in _TYPES:
        raise InternalError(f"{name} cannot be served: files that can end with {', '.join(_TYPES)}")
    return _TYPES[suffix]
