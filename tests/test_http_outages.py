"""Over real connections: runs through outages, and troubles on the way that are named as what they are."""

import asyncio
import errno
import json
import os
import selectors
from contextlib import asynccontextmanager
from pathlib import Path
from zlib import crc32

import pytest
from aiohttp import web

from agentnet import Run
from agentnet.backend import make_backend
from agentnet.cli.serve import read_metadata
from agentnet.config import Settings
from agentnet.errors import BackendUnusable, ServerUnreachable, TransientError
from agentnet.experiment import Source
from agentnet.runner import Runner, create, prepare, reopen
from agentnet.stack.overload import OVERLOAD
from agentnet.testing.server import LIKE_VLLM, ServerDouble, start_server
from agentnet_backends.failures import Peer, error_of_answer, error_of_exception
from agentnet_backends.http import Access, Http
from agentnet_backends.transport import Broken

HURRY = 20.0
PEER = Peer("openai", "http://server.invalid/v1", "OPENAI_API_KEY", ("sk-secret-0123",))

SMALL = """
from agentnet import CascadeExperiment

class Small(CascadeExperiment):
    n_agents = 24
    degree = 3
    steps = 3
    repeats = 2
    items_per_severity = 1
"""


class HurriedLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds are a twentieth as long: sockets and threads work, waits are short."""

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


def said(status, body, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda: web.Response(status=status, body=raw, headers=headers, content_type="application/json")


EMPTY_CHOICE_AND_ERROR = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "stop"}],
    "error": {"message": "busy behind", "code": 429},
}


OUTAGES = {
    "400 of no known words": said(400, {"error": {"message": "Back at noon."}}),
    "403 with a page": said(403, b"<html>checking your browser</html>"),
    "500": said(500, {"error": {"message": "CUDA error"}}),
    "502": said(502, b"<html>Bad Gateway</html>"),
    "503": said(503, {"error": "no upstream"}),
    "504": said(504, b""),
    "a page with 200": said(200, b"<html>back soon</html>"),
    "an error of code 503 with 200": said(200, {"error": {"message": "x", "code": 503}}),
    "an error beside an empty choice": said(200, EMPTY_CHOICE_AND_ERROR),
    "429 without a hint": said(429, {"error": {"message": "Slow down"}}),
    "401": said(401, {"error": {"message": "who?"}}),
    "money gone, by 400": said(400, {"error": {"message": "x", "type": "insufficient_balance"}}),
    "no such model": said(404, {"error": {"message": "x", "code": "model_not_found"}}),
    "the quota of the day": said(429, {"error": "tomorrow"}, **{"retry-after": "43200"}),
    "an encoding that nobody asked for": said(200, b"\x00\x01", **{"content-encoding": "snappy"}),
    "reset": None,
}


class Out(ServerDouble):
    """The double, out from the `after`-th call on, for so many seconds."""

    def __init__(self, outage=None, after=0, seconds=0.0):
        super().__init__(make_backend("mock", {}), manners=LIKE_VLLM, metadata_of=read_metadata)
        self.outage, self.after, self.seconds, self.began = outage, after, seconds, None

    async def _chat(self, request):
        now = asyncio.get_running_loop().time()
        if self.ledger.calls >= self.after and self.began is None:
            self.began = now
        if self.began is not None and now < self.began + self.seconds:
            await request.read()
            if self.outage is None:
                request.transport.abort()
                return web.Response(status=503)
            return self.outage()
        return await super()._chat(request)


async def play(folder, url):
    """Play the small experiment, or go on with it; give the error that stopped it."""
    chosen = Settings.model_validate(
        {
            "runs": folder.parent,
            "backend": {"name": "openai", "model": "double", "base_url": url, "timeout_s": 60.0},
            "engine": {"workers": 8, "brake_after": 5},
            "log": {"parquet": False},
            "stack": {"cache": False},
        }
    )
    backend = make_backend("openai", chosen.backend.options, {})
    if folder.exists():
        prepared = reopen(folder, chosen)
    else:
        source = Source(Path("small.py"), SMALL)
        prepared = prepare(source, chosen, folder)
        create(prepared, source, backend=backend.name, model_name=backend.model_name)
    [error] = await asyncio.gather(Runner(prepared, backend).play(), return_exceptions=True)
    return error


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """The digest where nothing goes wrong."""

    async def main():
        folder = tmp_path_factory.mktemp("clean") / "run"
        async with start_server(Out()) as server:
            assert await play(folder, server.base_url) is None
        return Run(folder).digest()

    return hurried(main())


@pytest.mark.parametrize("kind", OUTAGES)
def test_a_run_goes_through_an_outage_or_stops_and_is_resumed_to_the_clean_digest(kind, tmp_path, clean):
    async def main():
        folder = tmp_path / "run"
        async with start_server(Out(OUTAGES[kind], after=15, seconds=4.0)) as server:
            error = await play(folder, server.base_url)
        missing = "SELECT COUNT(*) FROM events WHERE missing IS NOT NULL"
        assert Run(folder).rows(missing)[1] == [(0,)]
        if error is not None:
            assert isinstance(error, BackendUnusable)
            async with start_server(Out()) as server:
                assert await play(folder, server.base_url) is None
        assert Run(folder).rows(missing)[1] == [(0,)]
        return Run(folder)

    run = hurried(main())
    assert (run.meta["status"], run.digest()) == ("finished", clean)


def test_a_run_on_a_filter_of_its_own_words_is_finished_and_each_filtered_prompt_is_asked_once(tmp_path):
    class Filter(Out):
        async def _chat(self, request):
            raw = await request.read()
            if crc32(json.dumps(json.loads(raw)["messages"]).encode()) % 3 == 0:
                words = {"code": "not permitted", "error": "Such content is against our guidelines."}
                self.ledger.bodies[raw] += 1
                return self._json("filtered", 403, words)
            return await super()._chat(request)

    async def main():
        async with start_server(Filter()) as server:
            return await play(tmp_path / "run", server.base_url), server.ledger

    error, ledger = hurried(main())
    assert error is None
    assert set(ledger.bodies.values()) == {1}
    kinds = Run(tmp_path / "run").rows("SELECT DISTINCT missing FROM events WHERE missing IS NOT NULL")[1]
    assert kinds == [("content_filter",)]


# Between us and the server


@asynccontextmanager
async def raw_server(answer):
    """Listen, and give every request the same bytes."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def failure_at(url):
    http = Http([Peer("openai", f"{url}/v1", "OPENAI_API_KEY")], Access(), timeout_s=5.0)
    try:
        await http.ask("/models")
    except Exception as error:  # noqa: BLE001 - the tests look at whatever comes
        return error
    finally:
        await http.aclose()


@pytest.mark.parametrize(
    ("head", "kind", "words"),
    [
        (b"X-Trace: " + b"a" * 9000, "header_too_large", "larger than"),
        (b"Content-Encoding: snappy", "unknown_encoding", "snappy"),
    ],
)
def test_headers_and_encodings_are_named_as_what_they_are(head, kind, words):
    async def main():
        async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + head + b"\r\n\r\n{}") as url:
            return await failure_at(url)

    error = asyncio.run(main())
    assert error.kind == kind
    # Perhaps all answers are like that: the brake finds out.
    assert not getattr(error, "is_sure", False)
    assert words in str(error)


PROXY_PASSWORD = "hunter2hunter2"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_blamed_and_its_password_is_not_told(scheme, monkeypatch):
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:{PROXY_PASSWORD}@127.0.0.1:1")
    error = asyncio.run(failure_at(f"{scheme}://server.invalid"))
    assert (type(error), error.kind, error.attempts) == (ServerUnreachable, "proxy", 0)
    assert not error.may_be_billed
    assert "the proxy 127.0.0.1:1 " in str(error)
    assert PROXY_PASSWORD not in str(error)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (b"407 Proxy Authentication Required", BackendUnusable, "proxy_refused"),
        (b"503 No", TransientError, None),
    ],
)
def test_a_proxy_that_refuses_is_told_from_a_server_that_does(status, error, kind, scheme, monkeypatch):
    async def main():
        async with raw_server(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as url:
            monkeypatch.setenv(f"{scheme}_proxy", url)
            return await failure_at(f"{scheme}://server.invalid")

    failure = asyncio.run(main())
    assert isinstance(failure, error)
    assert failure.kind == (kind or ("proxy" if scheme == "https" else "unavailable"))
    if kind is not None:
        assert "NAME:PASSWORD" in str(failure)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_server_that_hangs_up_and_never_answered_may_be_of_the_other_protocol(is_known):
    failure = error_of_exception(PEER, Broken("disconnected"), timeout_s=1.0, is_known=is_known)
    assert ("http:// and https://" in str(failure)) != is_known


def test_a_file_of_certificates_that_is_not_there_is_named(monkeypatch, tmp_path):
    """Who wrote its name wrongly reads of a certificate that he did name."""
    named = tmp_path / "mine.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(named))

    def told():
        return str(error_of_exception(PEER, Broken("tls", "unknown"), timeout_s=1.0, is_known=False))

    assert f"SSL_CERT_FILE names no file: {named}" in told()
    named.touch()
    assert "names no file" not in told()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_our_own_and_mean_fewer_at_once(number):
    error = OSError(number, os.strerror(number))
    failure = error_of_exception(PEER, error, timeout_s=1.0, is_known=False)
    assert (type(failure), failure.kind, failure.attempts) == (ServerUnreachable, "too_many_files", 0)
    assert "ulimit -n" in str(failure)
    assert "engine.workers" in str(failure)
    assert failure.kind in OVERLOAD


@pytest.mark.parametrize(
    ("status", "body", "kind", "is_sure"),
    [
        (400, {"error": {"message": "no", "code": "content_filter"}}, "content_filter", True),
        (
            404,
            {"error": {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
            "content_filter",
            True,
        ),
        (403, {"type": "data_inspection_failed", "message": "no"}, "content_filter", True),
        (400, {"message": "The prompt holds harmful words."}, "content_filter", False),
        (400, {"error": {"message": "no", "code": "context_length_exceeded"}}, "context_overflow", True),
        # What the codes say counts before the message, which may speak of anything.
        (
            400,
            {"error": {"message": "your content filter rules", "type": "rate_limit_error"}},
            "rate_limit",
            None,
        ),
        (
            400,
            {"error": {"message": "the model x is not available", "type": "overloaded"}},
            "overloaded",
            None,
        ),
        (400, {"error": {"message": "Content-Type must be JSON"}}, "bad_request", False),
        (403, {"error": {"message": "no"}}, "forbidden", False),
        (431, b"", "header_too_large", False),
        (522, b"<html>", "bad_gateway", None),
    ],
)
def test_codes_count_before_words_and_what_is_only_likely_says_so(status, body, kind, is_sure):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = error_of_answer(PEER, status, {}, raw)
    assert error.kind == kind
    if is_sure is not None:
        assert error.is_sure is is_sure
