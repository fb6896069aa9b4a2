"""The contract of transports: every one of them passes the same tests, on real sockets."""

from __future__ import annotations

import asyncio
import resource
import selectors
import socket
import ssl
import struct
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import pairwise

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.errors import BackendUnusable
from agentnet_backends.failures import Peer, error_of_exception
from agentnet_backends.http import transport_to
from agentnet_backends.transport import Broken
from agentnet_backends.transport_aiohttp import AiohttpTransport
from agentnet_backends.transport_wire import WireTransport

KEY = "sk-1234567890-do-not-show"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
MOST = 1 << 16
HURRY = 200.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"

MAKE_WITH = {"aiohttp": lambda _, *rest: AiohttpTransport(*rest), "wire": WireTransport}
MAKE = {
    "aiohttp": lambda url, timeout_s: AiohttpTransport(HEADERS, timeout_s),
    "wire": lambda url, timeout_s: WireTransport(url, HEADERS, timeout_s),
}


@pytest.fixture(params=[*MAKE, "wire over TLS"])
def make(request):
    if request.param not in MAKE:
        request.getfixturevalue("secured")
    return MAKE.get(request.param, MAKE["wire"])


@pytest.fixture
def secured(certificate, monkeypatch):
    """Have servers speak TLS, and clients trust them."""
    monkeypatch.setattr(Server, "context", context_of(certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


def context_of(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


class Server:
    """Hands every request to `answer`, and keeps what came and which connections it came by.

    Attributes:
        asked: (number of the connection, head, body) of each request.
        came: Set when a request has come.
        gone: Set when a client has closed a connection, or the server itself.
        context: How servers speak TLS; None if not at all.
    """

    context = None

    def __init__(self, answer):
        self.answer, self.read = answer, read_head
        self.asked = []
        self.n_connections = 0
        self.came, self.gone = asyncio.Event(), asyncio.Event()
        self.tasks = set()

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        number = self.n_connections
        self.n_connections += 1
        try:
            while head := await self.read(reader):
                length = int((head.lower().partition(b"content-length: ")[2] or b"0\r").partition(b"\r")[0])
                body = b"" if b"x-unread" in head else await reader.readexactly(length)
                self.asked.append((number, head, body))
                self.came.set()
                await self.answer(writer, len(self.asked) - 1)
                if writer.is_closing():
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.gone.set()
            writer.close()


async def read_head(reader):
    with suppress(asyncio.IncompleteReadError):
        return await reader.readuntil(b"\r\n\r\n")
    return b""


def saying(*answers):
    """Answer so, in turn, the last for ever; None hangs up, a callable is called."""

    async def answer(writer, i):
        said = answers[min(i, len(answers) - 1)]
        if said is None:
            writer.close()
        elif callable(said):
            await said(writer)
        else:
            writer.write(said)
            await writer.drain()

    return answer


def reset(*first):
    """Answer by a reset, after some bytes."""

    async def answer(writer):
        for piece in first:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return answer


def then_end(*pieces):
    async def answer(writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    return answer


def endless(first, page):
    async def answer(writer):
        writer.write(first)
        while True:
            writer.write(page)
            await writer.drain()
            # Else the server starves who is to stop it.
            await asyncio.sleep(0)

    return answer


def drip(first):
    async def answer(writer):
        writer.write(first)
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    return answer


async def silence(writer):
    await asyncio.sleep(3600)


@asynccontextmanager
async def listening(answer, host="127.0.0.1"):
    server = Server(answer)
    listener = await asyncio.start_server(server.serve, host, 0, backlog=2048, ssl=Server.context)
    try:
        server.url = url_of(listener, f"[{host}]" if ":" in host else host)
        yield server
    finally:
        listener.close()
        for task in server.tasks:
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)


def url_of(listener, host="127.0.0.1"):
    return f"http{'s' if Server.context else ''}://{host}:{listener.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def calling(make, url, timeout_s=20.0):
    transport = make(url, timeout_s)
    try:
        yield transport
    finally:
        await transport.aclose()


def exchange(make, answer, *bodies, timeout_s=20.0, most=MOST, path="/v1/x"):
    """Make calls one after the other; give what came of each, and the server."""

    async def main():
        async with listening(answer) as server, calling(make, server.url, timeout_s) as transport:
            came = []
            for body in bodies or (b"{}",):
                try:
                    came.append(await transport.send(f"{server.url}{path}", body, most))
                except (Broken, OSError) as error:
                    came.append(error)
            return came, server

    return asyncio.run(main())


def kind_of(error):
    """Name what went wrong as users are told, and see that no key is."""
    told = error_of_exception(Peer("openai", "http://x/v1", "KEY"), error, timeout_s=1.0, is_known=False)
    seen, rest = [], [error, told]
    while rest:
        each = rest.pop()
        seen += [str(each), repr(each), repr(each.args), repr(vars(each)), *traceback.format_exception(each)]
        rest += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
    assert KEY not in "".join(seen)
    return told.kind


# What is sent and read


def test_a_request_arrives_as_it_is_asked(make):
    (answer, _), server = exchange(make, saying(OK), b'{"a": 1}', None, path="/v1/x?api=2024-10-21&b=a%20b")
    (_, post, body), (_, get, nothing) = server.asked
    assert (answer.status, answer.raw, body, nothing) == (200, b"yes", b'{"a": 1}', b"")
    assert post.startswith(b"POST /v1/x?api=2024-10-21&b=a%20b HTTP/1.1\r\n")
    assert get.startswith(b"GET /v1/x?api=2024-10-21&b=a%20b HTTP/1.1\r\n")
    host = server.url.rpartition("/")[2].encode()
    for head in (post, get):
        assert head.count(b"\r\nHost: " + host + b"\r\n") == 1
        assert head.count(b"\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n") == 1
        assert b"cookie" not in head.lower()


def test_headers_are_looked_up_in_lower_case(make):
    said = (
        b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nX-RateLimit-Reset-Tokens: 6m0s\r\nContent-Length: 0\r\n\r\n"
    )
    [answer], _ = exchange(make, saying(said))
    assert (answer.status, answer.raw) == (429, b"")
    assert (answer.headers.get("retry-after"), answer.headers.get("x-ratelimit-reset-tokens")) == (
        "7",
        "6m0s",
    )
    assert "content-encoding" not in answer.headers


BODIES = {
    "of a length": (OK,),
    "in chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\ny\r\n2;e=f\r\nes\r\n0\r\n\r\n",
    ),
    "in chunks with a trailer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    "to the connection's end": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nyes",),
    "to the end, of HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nyes",),
    "after hints": (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK),
    "with lines that end in a line feed": (b"HTTP/1.1 200 OK\nContent-Length: 3\n\nyes",),
}


@pytest.mark.parametrize("how", BODIES)
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 120), max_size=6))
def test_a_body_is_read_however_it_is_framed_and_cut_into_pieces(make_any, how, cuts):
    whole = b"".join(BODIES[how])
    places = [0, *sorted({min(cut, len(whole)) for cut in cuts}), len(whole)]
    pieces = [whole[begin:end] for begin, end in pairwise(places)]
    [answer], _ = exchange(make_any, saying(then_end(*pieces)))
    assert (answer.status, answer.raw) == (200, b"yes")


@pytest.fixture(scope="module", params=MAKE)
def make_any(request):
    return MAKE[request.param]


def test_an_encoded_body_comes_as_it_was_sent(make):
    said = b"HTTP/1.1 200 OK\r\nContent-Encoding: GZip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    [answer], _ = exchange(make, saying(said))
    assert (answer.raw, answer.headers.get("content-encoding")) == (b"\x1f\x8b\x08\x00", "GZip")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_that_can_have_no_body_has_none(make, status):
    answers, _ = exchange(make, saying(b"HTTP/1.1 " + status + b"\r\n\r\n", OK), b"", b"")
    assert [answer.raw for answer in answers] == [b"", b"yes"]


def test_a_redirect_is_an_answer_like_any_other(make):
    said = b"HTTP/1.1 307 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    [answer], server = exchange(make, saying(said, OK))
    assert answer.status == 307
    assert len(server.asked) == 1


# Connections


def test_one_connection_serves_calls_that_follow_each_other(make):
    _, server = exchange(make, saying(OK), *[b"{}"] * 5)
    assert server.n_connections == 1


def test_who_says_close_is_not_asked_by_the_same_connection_again(make):
    said = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nyes"
    answers, server = exchange(make, saying(said), b"", b"")
    assert [answer.raw for answer in answers] == [b"yes", b"yes"]
    assert server.n_connections == 2


def say_later(make, goodbye):
    """Make two calls, before the second of which the server says `goodbye`, or hangs up."""

    async def main():
        async def answer(writer, i):
            writer.write(OK)
            later = asyncio.get_running_loop().call_later
            _ = later(0.02, writer.write, goodbye) if goodbye else later(0.02, writer.close)

        async with listening(answer) as server, calling(make, server.url) as transport:
            first = await transport.send(server.url, b"1", MOST)
            await asyncio.sleep(0.1)
            second = await transport.send(server.url, b"2", MOST)
            return first.raw, second.raw, [number for number, _, _ in server.asked]

    return asyncio.run(main())


def test_a_connection_that_a_server_ends_while_nobody_asks_costs_nothing(make):
    assert say_later(make, b"") == (b"yes", b"yes", [0, 1])


def ask_who_hangs_up_after_each_answer(make):
    """Let eight ask twenty times each, one call after the other; give what came, and the server."""

    async def say_and_end(writer):
        writer.write(OK)
        writer.close()

    async def main():
        async with listening(saying(say_and_end)) as server, calling(make, server.url) as transport:

            async def ask_in_a_row():
                for _ in range(20):
                    try:
                        came.append(await transport.send(server.url, b"{}", MOST))
                    except (Broken, OSError) as error:
                        came.append(error)

            came = []
            await asyncio.gather(*(ask_in_a_row() for _ in range(8)))
            return came, server

    return asyncio.run(main())


@pytest.mark.parametrize("make", ["wire", "wire over TLS"], indirect=True)
def test_a_server_that_hangs_up_after_each_answer_without_a_word_costs_nobody_a_call(make):
    """Its end stands in line behind its answer: who looks at the answer alone asks a dead one."""
    came, server = ask_who_hangs_up_after_each_answer(make)
    assert {getattr(each, "raw", each) for each in came} == {b"yes"}
    assert len(server.asked) == 160


def test_a_call_on_a_dead_connection_is_told_as_that_by_aiohttp():
    came, _ = ask_who_hangs_up_after_each_answer(MAKE["aiohttp"])
    kinds = {kind_of(each) for each in came if isinstance(each, Exception)}
    assert kinds
    assert kinds <= {"disconnected", "reset"}


def test_what_comes_while_nobody_asks_is_not_the_next_answer():
    """aiohttp takes it for that; servers say goodbye by an error, and then it is tried again."""
    goodbye = b"HTTP/1.1 408 Late\r\nContent-Length: 2\r\n\r\nno"
    assert say_later(MAKE["wire"], goodbye) == (b"yes", b"yes", [0, 1])


@pytest.mark.parametrize("make", ["wire", "wire over TLS"], indirect=True)
def test_after_an_answer_that_nobody_asked_for_nobody_is_asked(make):
    """Had it come when the next call was on its way it would have been taken for its answer."""

    async def main():
        async def answer(writer, i):
            writer.write(OK)
            asyncio.get_running_loop().call_later(0.02, writer.write, OK)

        async with listening(answer) as server, calling(make, server.url) as transport:
            await transport.send(server.url, b"1", MOST)
            await asyncio.sleep(0.1)
            [error] = await asyncio.gather(transport.send(server.url, b"2", MOST), return_exceptions=True)
            return error, len(server.asked)

    error, n_asked = asyncio.run(main())
    assert (kind_of(error), n_asked) == ("unasked", 1)
    told = error_of_exception(Peer("openai", "http://x"), error, timeout_s=1.0, is_known=True)
    assert (type(told), told.attempts) == (BackendUnusable, 0)


def test_what_follows_an_answer_unasked_is_not_the_next_answer(make):
    answers, server = exchange(make, saying(OK + OK.replace(b"yes", b"old"), OK), b"", b"")
    assert [answer.raw for answer in answers] == [b"yes", b"yes"]
    assert server.n_connections == 2


def test_a_server_that_hangs_up_on_a_request_is_not_sent_a_body_twice(make):
    (_, error), server = exchange(make, saying(OK, None, OK), b"1", b"2")
    assert kind_of(error) == "disconnected"
    assert [body for _, _, body in server.asked] == [b"1", b"2"]


def test_a_question_without_a_body_is_put_once_more_where_a_kept_connection_ends(make):
    answers, server = exchange(make, saying(OK, None, OK), None, None)
    assert [answer.raw for answer in answers] == [b"yes", b"yes"]
    assert [number for number, _, _ in server.asked] == [0, 0, 1]


def test_a_question_is_put_no_more_than_twice_nor_after_something_came(make):
    (_, error), server = exchange(make, saying(OK, None, None, OK), None, None)
    assert kind_of(error) == "disconnected"
    assert len(server.asked) == 3
    half = then_end(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nye")
    (_, error), server = exchange(make, saying(OK, half, OK), None, None)
    assert kind_of(error) == "truncated"
    assert len(server.asked) == 2


class HurriedLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds are a two-hundredth as long."""

    def __init__(self):
        super().__init__(_HurriedSelector())

    def time(self):
        return super().time() * HURRY


class _HurriedSelector(selectors.DefaultSelector):
    def select(self, timeout=None):
        return super().select(None if timeout is None else timeout / HURRY)


def hurried(main):
    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        return runner.run(main)


def test_an_idle_connection_is_closed_before_servers_would():
    """That of aiohttp goes by another clock: its settings are looked at in ``test_openai_backend.py``."""

    async def main():
        async with (
            listening(saying(OK)) as server,
            calling(MAKE["wire"], server.url, 3600.0) as transport,
        ):
            await transport.send(server.url, b"", MOST)
            begun = asyncio.get_running_loop().time()
            await server.gone.wait()
            return asyncio.get_running_loop().time() - begun

    assert 3.5 < hurried(main()) < 60.0


@pytest.mark.parametrize(
    "first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nye"], ids=["waiting", "reading"]
)
def test_a_cancelled_call_closes_its_connection(make, first):
    async def main():
        async def answer(writer, i):
            writer.write(first)
            begun.set()
            await asyncio.wait({asyncio.ensure_future(writer.wait_closed())}, timeout=0.01)

        begun = asyncio.Event()
        async with listening(answer) as server, calling(make, server.url) as transport:
            call = asyncio.create_task(transport.send(server.url, b"{}", MOST))
            await begun.wait()
            await asyncio.sleep(0.02)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.wait_for(server.gone.wait(), 10.0)

    asyncio.run(main())


def test_a_call_cancelled_as_its_answer_comes_leaves_the_connection_to_the_next(make):
    async def main():
        async with listening(saying(OK)) as server, calling(make, server.url) as transport:
            for _ in range(30):
                calls = [asyncio.create_task(transport.send(server.url, b"{}", MOST)) for _ in range(4)]
                await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                for call in calls:
                    call.cancel()
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
                for outcome in outcomes:
                    assert isinstance(outcome, asyncio.CancelledError) or outcome.raw == b"yes"
            assert (await transport.send(server.url, b"{}", MOST)).raw == b"yes"

    asyncio.run(main())


def test_a_call_cancelled_after_its_answer_was_read_does_not_close_the_connection():
    """Somebody else may have it by then."""

    async def main():
        async with listening(saying(b"", OK)) as server, calling(MAKE["wire"], server.url) as transport:
            call = asyncio.create_task(transport.send(server.url, b"{}", MOST))
            await server.came.wait()
            [connection] = transport._open
            connection._end(is_reusable=True)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            return (await transport.send(server.url, b"{}", MOST)).raw, server.n_connections

    assert asyncio.run(main()) == (b"yes", 1)


def test_a_call_that_is_cancelled_at_its_deadline_is_cancelled(make):
    async def main():
        async with listening(saying(silence)) as server, calling(make, server.url) as transport:
            call = asyncio.create_task(transport.send(server.url, b"{}", MOST))
            await server.came.wait()
            [under_way] = transport._deadlines._due
            under_way.fail(TimeoutError())
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(main())


def test_closing_ends_the_calls_that_are_under_way(make):
    async def main():
        async with listening(saying(silence)) as server:
            transport = make(server.url, 20.0)
            call = asyncio.create_task(transport.send(server.url, b"{}", MOST))
            await server.came.wait()
            await transport.aclose()
            [outcome] = await asyncio.gather(call, return_exceptions=True)
            return outcome

    assert isinstance(asyncio.run(main()), Broken | OSError)


def test_a_thousand_calls_are_under_way_at_once(make):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("this system lets no process have so many connections")

    async def main():
        all_came = asyncio.Event()

        async def answer(writer, i):
            if i == 999:
                all_came.set()
            await all_came.wait()
            writer.write(OK)

        async with listening(answer) as server, calling(make, server.url, 60.0) as transport:
            answers = await asyncio.gather(*(transport.send(server.url, b"{}", MOST) for _ in range(1000)))
            assert {each.raw for each in answers} == {b"yes"}
            return server.n_connections

    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
        assert asyncio.run(main()) == 1000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Where the server is


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_a_server_is_found_by_address_and_by_name(make, host):
    async def main():
        async with listening(saying(OK), "127.0.0.1" if host == "localhost" else host) as server:
            url = server.url.replace("127.0.0.1", host)
            async with calling(make, url) as transport:
                answers = await asyncio.gather(*(transport.send(url, b"{}", MOST) for _ in range(3)))
            return {each.raw for each in answers}, url.rpartition("/")[2], server.asked[0][1]

    try:
        said, host_and_port, head = asyncio.run(main())
    except OSError as error:
        pytest.skip(f"this machine has no such address: {error}")
    assert said == {b"yes"}
    assert f"\r\nHost: {host_and_port}\r\n".encode() in head


def failure_at(make, url, run=asyncio.run):
    async def main():
        async with calling(make, url, 120.0) as transport:
            return (await asyncio.gather(transport.send(url, b"{}", MOST), return_exceptions=True))[0]

    return run(main())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_that_does_not_run_refuses(make, host):
    error = failure_at(make, f"http://{host}:{free_port()}/v1")
    assert kind_of(error) == "refused"


def test_a_host_that_is_none_cannot_be_found(make):
    assert kind_of(failure_at(make, "http://no-such-host.invalid/v1")) == "unknown_host"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full line of callers is refused")
def test_a_server_that_takes_no_connection_is_given_up(make):
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for caller in (first, second):
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        error = failure_at(make, f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", hurried)
    assert kind_of(error) == "connect_timeout"


# What goes wrong


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (None, "disconnected"),
        (then_end(b"HTTP/1.1 200 OK\r\nContent-Le"), "disconnected"),
        (then_end(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nye"), "truncated"),
        (then_end(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nye"), "truncated"),
        (reset(), "reset"),
        (reset(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nye"), "truncated"),
        (then_end(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nye\r\n"), "truncated"),
        (b"\x00\x01 this is no HTTP\r\n\r\n", "garbled"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nyes", "garbled"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nyes\r\n", "truncated garbled"),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % i for i in range(200)) + b"\r\n", "garbled"),
        (b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 9000 + b"\r\n\r\n", "header_too_large"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx-long: " + b"a" * 9000 + b"\r\n\r\nyes",
            "header_too_large",
        ),
        (endless(b"HTTP/1.1 200 OK\r\nx-long: ", b"a" * 4096), "header_too_large"),
        (endless(b"HTTP/1.1 200 ", b"a" * 4096), "header_too_large"),
    ],
)
def test_what_is_no_whole_answer_is_named_and_its_connection_closed(make, said, kind):
    async def main():
        async with listening(saying(said)) as server, calling(make, server.url) as transport:
            [error] = await asyncio.gather(transport.send(server.url, b"{}", MOST), return_exceptions=True)
            await asyncio.wait_for(server.gone.wait(), 10.0)
            return error

    assert kind_of(asyncio.run(main())) in kind.split()


def test_a_body_whose_end_is_that_of_the_connection_is_not_ended_by_a_reset():
    """aiohttp takes it; then it is found out where it is read as JSON."""
    [error], _ = exchange(MAKE["wire"], saying(reset(b"HTTP/1.1 200 OK\r\n\r\nye")))
    assert kind_of(error) == "truncated"


def test_a_trailer_without_an_end_fills_no_memory(make):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\nX-Long: "
    [error], _ = exchange(make, saying(endless(head, b"a" * 4096)))
    assert kind_of(error) in {"header_too_large", "truncated", "garbled"}


@pytest.mark.parametrize(
    "said",
    [
        silence,
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nX-Slow:"),
        endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
    ids=["silent", "a byte of the body now and then", "a byte of the head now and then", "hints for ever"],
)
def test_one_deadline_holds_from_the_first_byte_to_the_last(make, said):
    [error], _ = exchange(make, saying(said), timeout_s=0.25)
    assert kind_of(error) == "timeout"


def test_deadlines_hold_for_each_of_many_calls(make):
    """Those that are answered do not take the deadline of the others along."""

    async def main():
        async def answer(writer, i):
            if i % 2:
                await asyncio.sleep(3600)
            writer.write(OK)

        async with listening(answer) as server, calling(make, server.url, 0.4) as transport:
            calls = []
            for _ in range(10):
                calls.append(asyncio.create_task(transport.send(server.url, b"{}", MOST)))
                await asyncio.sleep(0.01)
            return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert sum(isinstance(each, TimeoutError) for each in outcomes) == 5
    assert sum(getattr(each, "raw", b"") == b"yes" for each in outcomes) == 5


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n" + b"x" * 1_000_001,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1_000_001,
        b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"400\r\n" + b"x" * 0x400 + b"\r\n") * 999,
    ],
    ids=["a length", "to the end", "chunks"],
)
def test_no_more_of_a_body_is_read_than_is_allowed(make, said):
    (first, second), server = exchange(make, saying(said, OK), b"", b"", most=5000)
    assert 5000 < len(first.raw) < 500_000
    assert first.status in {200, 500}
    # What was left of it must not be taken for the next answer.
    assert second.raw == b"yes"
    assert server.n_connections == 2


def test_a_body_of_the_allowed_length_is_read_whole(make):
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
    [answer], _ = exchange(make, saying(said), most=5000)
    assert answer.raw == b"x" * 5000


@pytest.mark.filterwarnings("ignore:Sending a large body")
def test_an_answer_that_comes_before_all_was_sent_is_taken_and_the_connection_closed(make):
    async def main():
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            asked.append(asyncio.current_task())
            writer.write(b"HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno" if len(asked) == 1 else OK)
            await writer.drain()
            # Whoever answers early reads on, so that the answer is not lost by a reset.
            with suppress(ConnectionError):
                await reader.read(-1)
            writer.close()

        asked = []
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=Server.context)
        url = url_of(server)
        async with server, calling(make, url) as transport:
            first = await transport.send(url, b"x" * 16_000_000, MOST)
            second = await transport.send(url, b"{}", MOST)
            await transport.aclose()
            await asyncio.gather(*asked)
            return first.status, second.raw, len(asked)

    assert asyncio.run(main()) == (413, b"yes", 2)


# TLS


@contextmanager
def greeted(certificate, serve):
    """Let a thread serve one connection over TLS, with nothing that asyncio does of its own accord."""

    def work():
        connection, _ = listener.accept()
        with context_of(certificate).wrap_socket(
            connection, server_side=True, suppress_ragged_eofs=False
        ) as secure:
            return serve(secure)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", thread.submit(work)


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_server_is_told_goodbye_over_tls(certificate, secured, is_answered):
    """Without it a server cannot tell an end from a connection that somebody cut."""

    def serve(secure):
        secure.recv(MOST)
        if is_answered:
            secure.sendall(OK)
        came.set()
        return secure.recv(MOST)

    async def main(url):
        async with calling(MAKE["wire"], url) as transport:
            call = asyncio.create_task(transport.send(url, b"{}", MOST))
            await asyncio.to_thread(came.wait)
            if is_answered:
                await call
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    came = threading.Event()
    with greeted(certificate, serve) as (url, told):
        asyncio.run(main(url))
        assert told.result() == b""


def test_a_server_that_does_not_return_the_goodbye_keeps_nobody_waiting(certificate, secured):
    def serve(secure):
        secure.recv(MOST)
        secure.sendall(OK)
        done.wait()

    async def main(url):
        async with calling(MAKE["wire"], url) as transport:
            await transport.send(url, b"{}", MOST)
            await asyncio.wait_for(transport.aclose(), 10.0)

    done = threading.Event()
    with greeted(certificate, serve) as (url, _):
        try:
            asyncio.run(main(url))
        finally:
            done.set()


def test_a_connection_that_a_server_begins_to_end_is_not_used_again(secured):
    """Over TLS it takes a while until it is closed, and what is sent meanwhile is lost."""

    async def main():
        async with listening(saying(OK)) as server, calling(MAKE["wire"], server.url) as transport:
            await transport.send(server.url, b"", MOST)
            [connection] = transport._idle
            connection.eof_received()
            return (await transport.send(server.url, b"", MOST)).raw, server.n_connections

    assert asyncio.run(main()) == (b"yes", 2)


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"]
)
def test_the_end_of_a_connection_over_tls_may_end_a_body(secured, said):
    answers, server = exchange(MAKE["wire"], saying(then_end(said, b"y", b"es")), b"", b"")
    assert [answer.raw for answer in answers] == [b"yes", b"yes"]
    assert server.n_connections == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_certificate_that_nobody_vouches_for_or_of_another_host_is_refused(secured, host, monkeypatch):
    if host == "127.0.0.1":
        monkeypatch.delenv("SSL_CERT_FILE")
    elif sys.platform != "linux":
        pytest.skip("elsewhere this machine has one such address")

    async def main():
        async with listening(saying(OK), host) as server, calling(MAKE["wire"], server.url) as transport:
            [error] = await asyncio.gather(transport.send(server.url, b"{}", MOST), return_exceptions=True)
            return error, server.asked, transport._open

    error, asked, left_open = asyncio.run(main())
    assert (kind_of(error), asked, left_open) == ("tls", [], set())
    assert ("self-signed" if host == "127.0.0.1" else "not valid for '127.0.0.2'") in error.why


@pytest.mark.parametrize("kind", MAKE)
def test_whom_the_environment_says_to_trust_is_trusted_though_it_says_so_late(secured, kind):
    """aiohttp makes its settings of TLS as it is imported."""
    assert aiohttp.__version__
    [answer], _ = exchange(MAKE[kind], saying(OK))
    assert answer.raw == b"yes"


@pytest.mark.parametrize(
    ("said", "kind"),
    [(None, "unreachable"), (reset(), "unreachable"), (OK, "tls"), (silence, "connect_timeout")],
)
def test_a_server_that_does_not_greet_over_tls_is_told_by_what_it_does(said, kind):
    async def main():
        async with listening(saying(said)) as server:
            server.read = lambda reader: reader.read(1)
            url = server.url.replace("http:", "https:")
            async with calling(MAKE["wire"], url, 0.25) as transport:
                return (await asyncio.gather(transport.send(url, b"{}", MOST), return_exceptions=True))[0]

    assert kind_of(asyncio.run(main())) == kind


def test_old_versions_of_tls_and_other_keys_under_way_are_refused():
    async def main():
        async with calling(MAKE["wire"], "https://127.0.0.1") as transport:
            return transport._tls["ssl"]

    context = asyncio.run(main())
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


# Which one is taken


def test_proxies_are_left_to_aiohttp():
    async def main():
        proxy = "http://proxy:3128"
        cases = [(f"{scheme}://a/v1", by) for scheme in ("http", "https") for by in (None, proxy)]
        made = [transport_to(url, {}, 1.0, proxy) for url, proxy in cases]
        for each in made:
            await each.aclose()
        return [type(each) for each in made]

    assert asyncio.run(main()) == [WireTransport, AiohttpTransport] * 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_for_the_server_is_not_shown_to_the_proxy_as_its_own(scheme):
    """The way to a server over TLS is asked for in the clear."""

    async def main():
        async with listening(saying(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")) as proxy:
            transport = AiohttpTransport({**HEADERS, "api-key": KEY}, 20.0, proxy.url)
            with suppress(Broken):
                await transport.send(f"{scheme}://server.invalid/v1", b"{}", MOST)
            await transport.aclose()
            return proxy.asked[0][1]

    head = asyncio.run(main())
    assert b"proxy-authorization" not in head.lower()
    assert (KEY.encode() in head) == (scheme == "http")


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("value", ["a\r\nX-Forged: 1", "a\nb", "a\0b"])
def test_a_header_with_a_line_break_is_never_sent(kind, value):
    def make(url, timeout_s):
        return MAKE_WITH[kind](url, {"X-Key": value}, timeout_s)

    async def main():
        async with listening(saying(OK)) as server:
            with pytest.raises(ValueError, match=r"(?i)header|line|character"):
                async with calling(make, server.url) as transport:
                    await transport.send(server.url, b"", MOST)
            return server.asked

    assert asyncio.run(main()) == []
