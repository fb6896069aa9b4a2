"""Pages are opened by their token alone, from this server's address alone, and say so to browsers."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agentnet.errors import InternalError, StorageError
from agentnet.testing import run_in_virtual_time
from agentnet.view.serving import HEADERS, Keys, Site, Slowing, new_token

Visit = Callable[..., Awaitable[tuple[int, Any, str]]]


async def _fail(_: web.Request) -> web.Response:
    raise ZeroDivisionError("a bug at 10.1.2.3")


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    return response


def app(site: Site[str]) -> web.Application:
    """Make the pages that are visited here."""

    async def greet(request: web.Request) -> web.Response:
        return web.Response(text=f"hello {site.who(request)}, {await request.text()}")

    async def leave(request: web.Request) -> web.Response:
        site.keys.dismiss(request.match_info["token"])
        return web.Response(text=site.who(request))

    return site.app(
        [
            web.get("/{token}/", greet),
            web.post("/{token}/", greet),
            web.get("/{token}/fail", _fail),
            web.get("/{token}/stream", _stream),
            web.get("/{token}/leave", leave),
        ]
    )


def visited(
    visits: Callable[[Visit], Awaitable[None]], keys: Keys[str], told: list[Exception] | None = None
) -> None:
    """Serve pages, and let somebody visit them, by method, path and headers."""

    async def main() -> None:
        site = Site(keys, {"a.js": b"1", "a.css": b"2"}, told=(told if told is not None else []).append)
        async with site.serving(app(site)) as origin, aiohttp.ClientSession() as session:

            async def visit(path: str, method: str = "GET", **headers: str) -> tuple[int, Any, str]:
                told = {name: value.replace("SELF", origin) for name, value in headers.items()}
                async with session.request(
                    method, origin + path, headers=told, data=b"x" * (method == "POST")
                ) as found:
                    return found.status, found.headers, await found.text()

            await visits(visit)

    asyncio.run(main())


def test_a_token_opens_what_it_is_for_and_another_opens_nothing() -> None:
    keys: Keys[str] = Keys()
    ana, ben = keys.admit("ana"), keys.admit("ben")
    gone = keys.admit("gone")
    keys.dismiss(gone)

    async def visits(visit: Visit) -> None:
        assert (await visit(f"/{ana}/"))[::2] == (200, "hello ana, ")
        assert (await visit(f"/{ben}/"))[::2] == (200, "hello ben, ")
        for wrong in (gone, new_token(), ana[:-1], ana + "A", ana[::-1], "%00", "%ff", "ana"):
            status, _, text = await visit(f"/{wrong}/")
            assert (status, text) == (403, "This link opens nothing."), wrong
        assert (await visit(f"/{ben}/leave"))[0] == 403
        assert (await visit(f"/{ben}/"))[0] == 403

    visited(visits, keys)


def test_a_token_is_kept_over_a_restart_by_who_keeps_it() -> None:
    token = Keys[str]().admit("ana")
    keys: Keys[str] = Keys()
    assert keys.who(token) is None
    assert keys.admit("ana", token) == token
    assert keys.who(token) == "ana"


def test_tokens_are_long_and_never_alike() -> None:
    drawn = {new_token() for _ in range(1_000)}
    assert len(drawn) == 1_000
    assert {len(token) for token in drawn} == {43}


def test_every_answer_says_to_browsers_what_they_may_not_do() -> None:
    keys: Keys[str] = Keys()
    token = keys.admit("ana")
    told: list[Exception] = []

    async def visits(visit: Visit) -> None:
        for path, status in {
            f"/{token}/": 200,
            f"/{token}/stream": 200,
            "/static/a.js": 200,
            "/wrong/": 403,
            "/no/such/page": 404,
            f"/{token}/fail": 500,
        }.items():
            found, headers, _ = await visit(path)
            assert found == status, path
            assert {name: headers[name] for name in HEADERS} == HEADERS, path
            assert "Server" not in headers
            assert "Set-Cookie" not in headers

    visited(visits, keys, told)
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "default-src 'none'" in policy


def test_scripts_and_style_sheets_are_for_everybody_and_nothing_else_is_beside_them() -> None:
    async def visits(visit: Visit) -> None:
        status, headers, text = await visit("/static/a.js")
        assert (status, headers["Content-Type"], text) == (200, "text/javascript; charset=utf-8", "1")
        assert (await visit("/static/a.css"))[1]["Content-Type"] == "text/css; charset=utf-8"
        for path in ("/static/b.js", "/static/..%2fserving.py", "/"):
            assert (await visit(path))[0] == 404, path

    visited(visits, Keys())
    with pytest.raises(InternalError, match=r"a\.exe cannot be served"):
        Site(Keys(), {"a.exe": b""}, told=print)


def test_a_post_from_another_origin_or_from_none_is_refused() -> None:
    keys: Keys[str] = Keys()
    path = f"/{keys.admit('ana')}/"

    async def visits(visit: Visit) -> None:
        assert (await visit(path, "POST", Origin="SELF"))[::2] == (200, "hello ana, x")
        # Whoever stands before the server for TLS has the same name.
        port = (await visit(path, "POST", Origin="SELF", Host="localhost:80"))[0]
        assert port == 403
        assert (await visit(path, "POST", Origin="https://localhost", Host="localhost"))[0] == 200
        for origin in ("http://evil.example", "null", "", "SELF.evil.example", "http://127.0.0.1:1"):
            status, _, text = await visit(path, "POST", Origin=origin)
            assert status == 403, origin
            assert text.startswith("This was sent from a page of another address"), origin
        assert (await visit(path, "POST"))[0] == 403

    visited(visits, keys)


def test_a_name_that_an_attacker_leads_here_is_refused() -> None:
    keys: Keys[str] = Keys()
    path = f"/{keys.admit('ana')}/"

    async def visits(visit: Visit) -> None:
        for host in ("localhost", "localhost:99", "127.0.0.1:1", "[::1]:80", "[::1]"):
            assert (await visit(path, Host=host))[0] == 200, host
        for host in (
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
        ):
            assert (await visit(path, Host=host))[0] == 421, host

    visited(visits, keys)


def test_an_error_of_ours_is_told_to_who_serves_and_not_to_browsers(caplog: pytest.LogCaptureFixture) -> None:
    keys: Keys[str] = Keys()
    path = f"/{keys.admit('ana')}/"
    told: list[Exception] = []

    async def visits(visit: Visit) -> None:
        status, _, text = await visit(f"{path}fail")
        assert status == 500
        assert "10.1.2.3" not in text
        assert (await visit(path))[0] == 200

    with caplog.at_level(logging.DEBUG):
        visited(visits, keys, told)
    assert [str(error) for error in told] == ["a bug at 10.1.2.3"]
    # aiohttp's own words would name who asked.
    assert not [record for record in caplog.records if "127.0.0.1" in record.getMessage()]


def test_ten_thousand_wrong_tokens_a_minute_are_slowed_whoever_brings_them() -> None:
    slowing = Slowing(per_s=5.0, at_once=10, most_waiting=100)
    took: list[tuple[bool, float]] = []

    async def one() -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        took.append((await slowing.wait(), loop.time() - begun))

    async def minute() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10_000):
                tasks.create_task(one())
                await asyncio.sleep(0.006)

    run_in_virtual_time(minute())
    had_a_turn = Counter(turn for turn, _ in took)
    # Ten at once, five a second over the minute, and those that wait at its end.
    assert had_a_turn[True] == pytest.approx(10 + 5 * 60 + 100, abs=2)
    assert max(s for turn, s in took if turn) == pytest.approx(20, abs=0.2)
    assert {s for turn, s in took if not turn} == {0.0}


def test_who_mistypes_now_and_then_waits_for_nothing() -> None:
    slowing = Slowing()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        for _ in range(50):
            begun = loop.time()
            assert await slowing.wait()
            assert loop.time() == begun
            await asyncio.sleep(1.0)
        return loop.time()

    assert run_in_virtual_time(main()) == 50.0


def test_wrong_tokens_wait_and_right_ones_do_not() -> None:
    keys: Keys[str] = Keys()
    path = f"/{keys.admit('ana')}/"

    async def main() -> None:
        # One answer an hour, and nobody may wait for it.
        slow = Slowing(per_s=1 / 3600, at_once=2, most_waiting=0)
        site = Site(keys, {}, told=print, slowing=slow)
        async with site.serving(app(site)) as origin, aiohttp.ClientSession() as session:

            async def status(path: str) -> int:
                async with session.get(origin + path) as found:
                    return found.status

            assert [await status("/wrong/") for _ in range(5)] == [403, 403, 429, 429, 429]
            assert [await status(path) for _ in range(3)] == [200] * 3

    asyncio.run(main())


def test_a_port_that_is_taken_is_said_with_the_way_out() -> None:
    async def main() -> None:
        one, other = (Site[str](Keys(), {}, told=print) for _ in range(2))
        async with one.serving(one.app([])) as origin:
            with pytest.raises(StorageError, match="choose another by --port"):
                async with other.serving(other.app([]), port=int(origin.rpartition(":")[2])):
                    pass
        assert one.stopping.is_set()

    asyncio.run(main())
