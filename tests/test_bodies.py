"""Hostile servers: whatever they send, an attempt fails in words, and no more is held than was allowed."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
import subprocess
import sys
import zlib
from contextlib import asynccontextmanager, closing
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agentnet_backends.http
from agentnet.backend import Reply, Request
from agentnet.config import StackSettings
from agentnet.errors import BackendError, BackendUnusable, RequestRejected, TransientError
from agentnet.stack import build_stack
from agentnet_backends.bodies import MAX_REPLY_BYTES
from agentnet_backends.embed_openai import OpenAIEmbedder
from agentnet_backends.openai import OpenAIBackend
from agentnet_backends.transport_aiohttp import AiohttpTransport

ASK = Request((("user", "Do you share it?"),), max_tokens=16)
PAGE = b"x" * (1 << 16)
FULL = MAX_REPLY_BYTES


def completion(**fields):
    usage = {"prompt_tokens": 300, "completion_tokens": 40}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": usage, "model": "m", **fields}).encode()


def head(*headers, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, "", ""]).encode()


def whole(body, *headers, status="200 OK"):
    """A response that ends where it says."""
    return [head(f"Content-Length: {len(body)}", *headers, status=status) + body]


def endless(first, page=PAGE):
    yield first
    while True:
        yield page


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


@cache
def deflated_zeros():
    """A quarter of a quarter of a gigabyte, deflated."""
    deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join([deflater.compress(bytes(1 << 24)) for _ in range(16)]) + deflater.flush()


def bomb(header):
    return header + deflated_zeros()


def many_headers():
    yield b"HTTP/1.1 200 OK\r\n"
    for i in range(1_000_000):
        yield b"x-%d: y\r\n" % i


GZIP, ZLIB, RAW = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", b"\x78\x01", b""

HOSTILE = {
    "a body without an end, in chunks": lambda: endless(head("Transfer-Encoding: chunked"), chunk(PAGE)),
    "a body without an end, to the connection's end": lambda: endless(head("Connection: close")),
    "a body that says it is a terabyte": lambda: endless(head(f"Content-Length: {1 << 40}")),
    "a body one byte too long": lambda: whole(b" " * (FULL + 1)),
    "gzip that inflates to a quarter of a gigabyte": lambda: whole(bomb(GZIP), "Content-Encoding: gzip"),
    "zlib that inflates to a quarter of a gigabyte": lambda: whole(bomb(ZLIB), "Content-Encoding: deflate"),
    "deflate that inflates to a quarter of a gigabyte": lambda: whole(bomb(RAW), "Content-Encoding: deflate"),
    "gzip that is too long itself": lambda: endless(head("Content-Encoding: gzip", "Connection: close")),
    "a million headers": many_headers,
    "a header without an end": lambda: endless(b"HTTP/1.1 200 OK\r\nx-long: "),
    "a status without an end": lambda: endless(b"HTTP/1.1 200 "),
}

KINDS = {"a million headers": "garbled", "a header without an end": "header_too_large"}
KINDS |= {"a status without an end": "header_too_large"}


@asynccontextmanager
async def serving(pages):
    """Send each caller what `pages()` makes, as long as he takes it."""
    callers = set()

    async def answer(reader, writer):
        callers.add(asyncio.current_task())
        try:
            while line := await reader.readline():
                length = 0
                while line.strip():
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                    line = await reader.readline()
                await reader.readexactly(length)
                for page in pages():
                    writer.write(page)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


@pytest.fixture(params=["wire", "aiohttp"])
def by_each_transport(request, monkeypatch):
    """Plain HTTP goes by the wire; here by aiohttp as well."""
    if request.param == "aiohttp":
        by_aiohttp = lambda _, *rest: AiohttpTransport(*rest)  # noqa: E731
        monkeypatch.setattr(agentnet_backends.http, "transport_to", by_aiohttp)


async def ask(url, n=1, **options):
    backend = OpenAIBackend.from_options({"model": "m", "base_url": url, "timeout_s": 60.0, **options}, {})
    try:
        return await asyncio.gather(*(backend.complete(ASK) for _ in range(n)), return_exceptions=True)
    finally:
        await backend.aclose()


def outcome_of(pages, **options):
    async def main():
        async with serving(pages) as url:
            return (await ask(url, **options))[0]

    return asyncio.run(main())


@pytest.mark.usefixtures("by_each_transport")
@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_too_much_fails_that_attempt_long_before_its_deadline(case):
    error = outcome_of(HOSTILE[case])
    # A header that is too large is so at every try.
    assert isinstance(error, RequestRejected if "header_too_large" in KINDS.get(case, "") else TransientError)
    assert error.kind == KINDS.get(case, error.kind)
    assert error.kind in {"reply_too_large", "garbled", "truncated", "header_too_large"}
    if error.kind == "reply_too_large":
        assert "1,048,576 bytes" in str(error)
        assert "backend.max_reply_bytes" in str(error)
    assert error.may_be_billed


@pytest.mark.parametrize(
    "pages",
    [
        lambda: endless(head("Transfer-Encoding: chunked"), b"0" * 4096),
        lambda: endless(head(status="103 Early Hints"), head(status="103 Early Hints")),
    ],
    ids=["the length of a chunk", "hints of an answer"],
)
def test_what_never_becomes_an_answer_ends_with_the_deadline(pages):
    error = outcome_of(pages, timeout_s=0.5)
    assert isinstance(error, TransientError)
    assert error.kind == "timeout"


@pytest.mark.usefixtures("by_each_transport")
def test_a_body_of_the_allowed_length_is_an_answer_and_the_bound_can_be_moved():
    body = completion().ljust(FULL)
    assert isinstance(outcome_of(lambda: whole(body)), Reply)
    assert outcome_of(lambda: whole(body), max_reply_bytes=FULL - 1).kind == "reply_too_large"
    longer = completion().ljust(3 * FULL)
    assert isinstance(outcome_of(lambda: whole(longer), max_reply_bytes=3 * FULL), Reply)


@settings(max_examples=20)
@given(padding=st.integers(0, 900_000), wbits=st.sampled_from([31, 15, -15]), level=st.integers(0, 9))
def test_an_answer_reads_alike_in_every_encoding_that_is_asked_for(padding, wbits, level):
    deflater = zlib.compressobj(level, zlib.DEFLATED, wbits)
    packed = deflater.compress(completion().ljust(padding)) + deflater.flush()
    encoding = "gzip" if wbits == 31 else "deflate"
    assert outcome_of(lambda: whole(packed, f"Content-Encoding: {encoding}")) == outcome_of(
        lambda: whole(completion())
    )


@pytest.mark.parametrize(
    ("body", "encoding", "kind", "words"),
    [
        (b"\x0b\x02\x80yes\x03", "br", "unknown_encoding", "'br'"),
        (b"\x28\xb5\x2f\xfd", "zstd", "unknown_encoding", "'zstd'"),
        (gzip.compress(completion()), "gzip, gzip", "unknown_encoding", "gzip, gzip"),
        (completion(), "gzip", "garbled", "cannot be inflated"),
        (gzip.compress(completion())[:-12], "gzip", "truncated", "broke off before all was inflated"),
        (gzip.compress(completion())[:12], "x-gzip", "truncated", "broke off"),
        (gzip.compress(b""), "gzip", "malformed_json", "no JSON"),
    ],
    # An id made of these bytes would hold the second of their making, and each worker collects at its own.
    ids=["brotli", "zstd", "gzip twice", "no gzip", "cut at its end", "cut in its middle", "of nothing"],
)
def test_a_body_that_cannot_be_inflated_says_why(body, encoding, kind, words):
    error = outcome_of(lambda: whole(body, f"Content-Encoding: {encoding}"))
    assert isinstance(error, TransientError)
    assert error.kind == kind
    assert words in str(error)
    assert error.may_be_billed


@pytest.mark.parametrize(
    "pages",
    [
        lambda: endless(head("Connection: close", status="500 Oh")),
        lambda: whole(bomb(GZIP), "Content-Encoding: gzip", status="500 Oh"),
        lambda: whole(b"no gzip", "Content-Encoding: gzip", status="500 Oh"),
    ],
    ids=["endless", "bomb", "garbled"],
)
def test_an_error_is_judged_by_its_status_however_long_its_body_is(pages):
    error = outcome_of(pages)
    assert isinstance(error, TransientError)
    assert error.kind == "server_error"
    assert not error.may_be_billed


@pytest.mark.usefixtures("by_each_transport")
def test_a_connection_whose_body_was_not_read_to_its_end_is_not_used_again():
    """After a body that was too long comes the answer to the next request, not what was left of that."""
    n_served = 0

    def pages():
        nonlocal n_served
        n_served += 1
        return whole(b" " * (8 * FULL) if n_served == 1 else completion())

    async def main():
        async with serving(pages) as url:
            backend = OpenAIBackend.from_options({"model": "m", "base_url": url}, {})
            with pytest.raises(TransientError, match="longer than"):
                await backend.complete(ASK)
            assert (await backend.complete(ASK)).texts == ("Yes",)
            await backend.aclose()

    asyncio.run(main())


def embedding(url, *texts):
    async def main():
        options = {"model": "m", "base_url": url, "dim": 4, "encoding": "float"}
        embedder = OpenAIEmbedder.from_options(options, {})
        try:
            return await embedder.embed(texts)
        finally:
            await embedder.aclose()

    return main()


@pytest.mark.parametrize(
    "case", ["a body without an end, in chunks", "zlib that inflates to a quarter of a gigabyte"]
)
def test_an_embedder_reads_no_more_either(case):
    async def main():
        async with serving(HOSTILE[case]) as url:
            await embedding(url, "a", "b")

    with pytest.raises(TransientError, match=r"embedder\.max_reply_bytes"):
        asyncio.run(main())


@pytest.mark.parametrize(
    "fields",
    [
        {"usage": {"prompt_tokens": 10**30, "completion_tokens": 1}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 10**10}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 10**18}},
        {"usage": {"completion_tokens_details": {"reasoning_tokens": 2 * 10**9}}},
        {"model": "m" * 100_000},
        {"system_fingerprint": "fp" * 100_000},
    ],
)
def test_an_answer_that_counts_or_names_beyond_all_measure_is_none(fields):
    error = outcome_of(lambda: whole(completion(**fields)))
    assert isinstance(error, TransientError)
    assert error.kind == "wrong_schema"
    assert error.may_be_billed


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 300, "completion_tokens": 40}, 40),
        ({"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 340}, 40),
        # Thoughts in the count of what is shown, as OpenAI has them.
        (
            {
                "prompt_tokens": 300,
                "completion_tokens": 440,
                "total_tokens": 740,
                "completion_tokens_details": {"reasoning_tokens": 400},
            },
            440,
        ),
        # In the total alone.
        ({"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 740}, 440),
        (
            {
                "prompt_tokens": 300,
                "completion_tokens": 40,
                "total_tokens": 740,
                "completion_tokens_details": {"reasoning_tokens": 400},
            },
            440,
        ),
        # In the details alone.
        (
            {
                "prompt_tokens": 300,
                "completion_tokens": 40,
                "total_tokens": 340,
                "completion_tokens_details": {"reasoning_tokens": 400},
            },
            440,
        ),
        ({"prompt_tokens": 300, "total_tokens": 340}, 40),
        ({"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 0}, 40),
        ({"prompt_tokens": 300}, None),
        ({"prompt_tokens": 300, "completion_tokens": -1}, None),
        ({"prompt_tokens": 300, "completion_tokens": "40"}, None),
        ([], None),
    ],
)
def test_thoughts_count_once_wherever_a_server_counts_them(usage, counted):
    reply = outcome_of(lambda: whole(completion(usage=usage)))
    assert isinstance(reply, Reply)
    assert reply.completion_tokens == counted


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"choices": []}, "200 OK"),
        ({"choices": [{"index": 0}]}, "200 OK"),
        ({"choices": [], "error": {"message": "busy behind"}}, "200 OK"),
        ({"choices": [], "error": "filtered"}, "400 Bad"),
        ({"error": {"message": "oh"}}, "500 Oh"),
    ],
)
def test_what_a_server_counted_stands_on_the_error_too(fields, status):
    error = outcome_of(lambda: whole(completion(**fields), status=status))
    assert isinstance(error, BackendError)
    assert (error.prompt_tokens, error.completion_tokens) == (300, 40)


@pytest.mark.parametrize(("status", "may_be"), [("504 Late", True), ("429 Slow", False), ("503 Busy", False)])
def test_a_gateway_that_gave_up_waiting_may_have_had_the_work_done(status, may_be):
    error = outcome_of(lambda: whole(b"{}", status=status))
    assert isinstance(error, TransientError)
    assert error.may_be_billed == may_be


@pytest.mark.parametrize(
    ("limit", "is_hopeless"),
    [("15", True), ("15, 15;w=60", True), ("16", False), ("soon", False), ("", False)],
)
def test_a_request_beyond_the_servers_limit_of_tokens_is_said_to_be(limit, is_hopeless):
    pages = lambda: whole(b"{}", f"X-RateLimit-Limit-Tokens: {limit}", status="429 Slow")  # noqa: E731
    error = outcome_of(pages)
    assert isinstance(error, BackendUnusable if is_hopeless else TransientError)
    assert not is_hopeless or "16 tokens" in str(error)


@pytest.mark.parametrize(
    "pages",
    [
        HOSTILE["a body one byte too long"],
        lambda: whole(completion(usage={"prompt_tokens": 10**30, "completion_tokens": 1})),
        lambda: whole(completion(model="m" * 5000)),
    ],
    ids=["too long", "too many tokens", "too long a name"],
)
def test_nothing_of_it_enters_the_cache(pages, tmp_path):
    async def main():
        async with serving(pages) as url:
            backend = OpenAIBackend.from_options({"model": "m", "base_url": url}, {})
            chosen = StackSettings(max_attempts=1)
            stack = build_stack(backend, chosen, scope="", cache_folder=tmp_path, in_flight=4)
            with pytest.raises(TransientError):
                await stack.backend.complete(ASK)
            await stack.backend.aclose()

    asyncio.run(main())
    with closing(sqlite3.connect(tmp_path / "cache.db")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM Cache").fetchone() == (0,)


def test_nobody_there_bills_nothing():
    async def main():
        async with serving(list) as url:
            pass
        return (await ask(url))[0]

    assert not asyncio.run(main()).may_be_billed


PEAK = """
import asyncio, gc, sys
from pathlib import Path
from agentnet.backend import Request
from agentnet.config import StackSettings
from agentnet.stack import build_stack
from agentnet_backends.openai import OpenAIBackend

async def main(url):
    backend = OpenAIBackend.from_options({"model": "m", "base_url": url, "timeout_s": 60.0}, {})
    request = Request((("user", "Do you share it?"),), max_tokens=16)
    settings = StackSettings(cache=False, max_attempts=2, max_wait_s=0.01, min_in_flight=32)
    stack = build_stack(backend, settings, scope="", cache_folder=Path(), in_flight=32)
    n_failed = 0
    for _ in range(2):
        asked = [stack.backend.complete(request) for _ in range(32)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        n_failed += sum(isinstance(each, Exception) for each in outcomes)
    print(n_failed)
    await stack.backend.aclose()

# A run lets the collector look hardly ever.
gc.disable()
asyncio.run(main(sys.argv[1]))
# Unlike that of getrusage, this peak is not the parent's.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


async def peak_mib(pages):
    """Ask a server 32 times at once, twice, from a process of its own; return failures and its peak."""
    async with serving(pages) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PEAK, url, stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert process.returncode == 0
    n_failed, peak_kib = map(int, out.split())
    return n_failed, peak_kib // 1024


def almost_too_many_headers():
    yield b"HTTP/1.1 200 OK\r\n"
    for i in range(120):
        yield b"x-%d: %s\r\n" % (i, b"y" * 8000)
    yield from endless(b"\r\n")


HEAVY = [
    "a body without an end, in chunks",
    "gzip that inflates to a quarter of a gigabyte",
    "a million headers",
]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell the peak")
def test_no_server_takes_much_more_memory_than_a_good_one():
    """Half as many in flight as a run has: half of 300 MiB."""

    async def main():
        n_failed, good = await peak_mib(lambda: whole(completion()))
        assert n_failed == 0
        cases = {case: HOSTILE[case] for case in HEAVY} | {"all that is allowed": almost_too_many_headers}
        peaks = await asyncio.gather(*map(peak_mib, cases.values()))
        assert {n for n, _ in peaks} == {64}
        return {case: peak - good for case, (_, peak) in zip(cases, peaks, strict=True)}

    peaks = asyncio.run(main())
    assert max(peaks.values()) <= 150, peaks
