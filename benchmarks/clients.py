"""Client CPU per call, and share of the ideal throughput: agentnet's call layer against its peers.

Every client runs in a process of its own and asks the same server, a bare `asyncio.Protocol` in another
process, for the same prompts; so a client's CPU seconds, threads included, are its own. They take turns,
round after round, since other programs disturb all of them alike then; ratios are medians over the rounds.

- ``floor`` is a bare protocol that sends ready-made bytes and reads nothing of what comes: no client takes
  less, and none comes nearer to the ideal throughput with this server on this machine.
- ``tuned`` is bare aiohttp with ready-made bodies, no cookies, no redirects, uvloop and a calm garbage
  collector: it reads the reply's text and knows no errors.
- ``usual`` is aiohttp as usually written: a dict a call, ``response.json()``.
- ``plugin`` is backend ``openai`` alone.
- ``layer`` is all that stands between an engine and the server: random numbers of the draws, sampler, pool,
  cache in a fresh folder, retries, a bounded budget, the in-flight limit, the plug-in, the parsed reply and
  the event log, every decision on the disk in the end. ``layer-uv`` is the same on uvloop, as commands play
  it where that is installed. ``usual-tls`` and ``layer-tls`` speak TLS; the latter is set beside the former.
- ``httpx``, ``openai``, ``openai-aiohttp``, ``litellm`` and ``inspect`` are what others offer, as they come,
  without retries and for as many connections as asked for.

litellm and inspect_ai want different versions of openai: install extra ``bench`` in one environment and
``bench-inspect`` in another, and name the other one's interpreter by ``--python inspect=PATH``.

The share is (calls / seconds) * latency / in flight, from the reply that completes 20% of the calls to the
one that completes 80%. Who needs more CPU for a call than latency / in flight cannot reach 1. No answer comes
before its latency is over. A process that is woken while another program is busy waits for its turn, by up
to 4 ms, and that is no client's doing: so in cases with a latency server and clients run before other
programs (SCHED_RR) where the system lets them, as it lets root; the head of such a case says so.

    pip install -e '.[bench]'
    python benchmarks/clients.py [--quick] [--clients usual,tuned,layer] [--in-flight 256]
        [--latency-ms 0,200] [--rounds 5] [--limit-s 240] [--waves 10] [--python CLIENT=PATH] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import itertools
import json
import os
import shutil
import sqlite3
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from figures import Figures, tell

from agentnet.backend import Messages, Request, make_backend

Call = Callable[[int], Awaitable[object]]
Times = Callable[[], list[float]]
"""Tells when each call was answered, in seconds of some clock, ascending; off the clock of the CPU."""

Flood = Callable[[int], Awaitable[Times]]
"""Makes so many calls."""

WORDS = "The march ended peacefully in the town hall, the organisers say. "
PROMPTS: list[Messages] = [
    (("system", f"You are person {i}. {WORDS * 15}"), ("user", f"{WORDS * 12}Do you share it?"))
    for i in range(320)
]
SAID = '{"share": true, "reason": "Thought %d: my neighbours should know of it, and it can hurt nobody."}'
MODEL, MAX_TOKENS, RUN_SEED = "double", 256, 1
COLLECT_EVERY = 50_000


# The server


class Server(asyncio.Protocol):
    """Answers every POST after as many milliseconds as the first part of its path says, never alike."""

    numbers = itertools.count()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read."""
        # uvloop's transports are no instances of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._read, self._loop = b"", asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].lower()
            size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._read) < end + 4 + size:
                return
            self._read = self._read[end + 4 + size :]
            latency_ms = int(head.split(b"/", 2)[1])
            if latency_ms:
                due = time.perf_counter() + latency_ms / 1e3
                self._loop.call_later(latency_ms / 1e3, self._answer, due)
            else:
                self._answer()

    def _answer(self, due: float = 0.0) -> None:
        if time.perf_counter() < due:
            # uvloop's timers are whole milliseconds, and may end one too early.
            self._loop.call_soon(self._answer, due)
        elif not self._transport.is_closing():
            self._transport.write(COMPLETION % {b"number": b"%09d" % next(self.numbers)})


def _completion() -> bytes:
    """Make what is answered, all but a number of nine digits."""
    said = json.dumps(SAID % 0).replace("Thought 0", "Thought %(number)b")
    body = (
        f'{{"id":"chatcmpl-%(number)b","object":"chat.completion","created":1700000000,"model":"{MODEL}",'
        f'"choices":[{{"index":0,"message":{{"role":"assistant","content":{said}}},"logprobs":null,'
        '"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":420,"completion_tokens":30,"total_tokens":450}}'
    )
    length = len(body.replace("%(number)b", "0" * 9))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}"
    return f"{head}\r\n\r\n{body}".encode()


COMPLETION = _completion()


async def serve(certificate: Path | None) -> None:
    """Serve until standard input ends, as it does when the parent dies; say where, with TLS and without."""
    loop, where = asyncio.get_running_loop(), {}
    plain = await loop.create_server(Server, "127.0.0.1", 0, backlog=4096)
    where["http"] = f"http://127.0.0.1:{plain.sockets[0].getsockname()[1]}"
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        secure = await loop.create_server(Server, "127.0.0.1", 0, backlog=4096, ssl=context)
        where["https"] = f"https://127.0.0.1:{secure.sockets[0].getsockname()[1]}"
    print(json.dumps(where), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def made_certificate(folder: Path) -> Path | None:
    """Make a certificate of this machine's own, which its children trust; None where there is no openssl."""
    if shutil.which("openssl") is None:
        return None
    path = folder / "certificate.pem"
    command = "openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=me"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.part"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.part").read_text())
    os.environ["SSL_CERT_FILE"] = str(path)
    return path


# The clients


def body(i: int) -> dict[str, object]:
    """Make the body of call `i`."""
    messages = [{"role": role, "content": content} for role, content in PROMPTS[i % len(PROMPTS)]]
    return {"model": MODEL, "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0.7, "seed": i}


def flooding(call: Call, in_flight: int) -> Flood:
    """Make calls with `in_flight` of them under way."""

    async def flood(n_calls: int) -> Times:
        numbers, times = iter(range(n_calls)), list[float]()

        async def work() -> None:
            # A shared iterator is a queue here: nothing awaits between `next` and use.
            for i in numbers:
                await call(i)
                times.append(time.perf_counter())

        await asyncio.gather(*(work() for _ in range(in_flight)))
        return lambda: times

    return flood


@asynccontextmanager
async def usual(url: str, in_flight: int) -> AsyncIterator[Flood]:
    """Call with aiohttp as usually written."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(i: int) -> None:
            async with session.post(f"{url}/chat/completions", json=body(i)) as response:
                assert (await response.json())["choices"][0]["message"]["content"]

        yield flooding(call, in_flight)


@asynccontextmanager
async def tuned(url: str, in_flight: int) -> AsyncIterator[Flood]:
    """Call with as little as aiohttp lets one do."""
    import aiohttp
    from yarl import URL

    heads = [json.dumps(body(i)).encode().partition(b', "temperature"')[0] for i in range(len(PROMPTS))]
    address = URL(f"{url}/chat/completions")
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Content-Type": "application/json", "Authorization": "Bearer none"},
    ) as session:

        async def call(i: int) -> None:
            sent = heads[i % len(heads)] + f',"temperature":0.7,"seed":{i}}}'.encode()
            response = await session.post(address, data=sent, allow_redirects=False)
            assert json.loads(await response.read())["choices"][0]["message"]["content"]

        yield flooding(call, in_flight)


class Bare(asyncio.Protocol):
    """Sends what is ready-made, and reads nothing of the answer, which comes in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the way to send."""
        self.transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()

    def ask(self, sent: bytes) -> asyncio.Future[None]:
        """Send a request; what is returned is done when its answer is there."""
        self._answer: asyncio.Future[None] = self._loop.create_future()
        self.transport.write(sent)
        return self._answer

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell who asked."""
        self._answer.set_result(None)


@asynccontextmanager
async def floor(url: str, in_flight: int) -> AsyncIterator[Flood]:
    """Call with next to nothing: what no client can do without, and what this machine and server allow."""
    server, loop = urlsplit(url), asyncio.get_running_loop()
    bodies = [json.dumps(body(i)).encode() for i in range(len(PROMPTS))]
    head = f"POST {server.path}/chat/completions HTTP/1.1\r\nContent-Length: ".encode()
    ready = [b"%b%d\r\n\r\n%b" % (head, len(each), each) for each in bodies]
    idle = [(await loop.create_connection(Bare, server.hostname, server.port))[1] for _ in range(in_flight)]

    async def call(i: int) -> None:
        connection = idle.pop()
        await connection.ask(ready[i % len(ready)])
        idle.append(connection)

    yield flooding(call, in_flight)
    for connection in idle:
        connection.transport.close()


@asynccontextmanager
async def plugin(url: str, in_flight: int) -> AsyncIterator[Flood]:
    """Call through backend ``openai``, with nothing around it."""
    backend = make_backend("openai", {"model": MODEL, "base_url": url})
    try:
        yield flooding(
            lambda i: backend.complete(
                Request(PROMPTS[i % len(PROMPTS)], temperature=0.7, max_tokens=MAX_TOKENS, seed=i)
            ),
            in_flight,
        )
    finally:
        await backend.aclose()


@asynccontextmanager
async def layer(url: str, in_flight: int) -> AsyncIterator[Flood]:
    """Ask for decisions as an engine does: through journal, sampler, stack and plug-in, into the log."""
    from agentnet.config import BackendSettings, EngineSettings, Settings, StackSettings
    from agentnet.events import EventLog, create_log
    from agentnet.runner.journal import Journal, Tally
    from agentnet.sampler import CallSampler, Pool
    from agentnet.stack import build_stack, cache_scope

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(
            backend=BackendSettings(name="openai", model=MODEL, base_url=url),
            engine=EngineSettings(workers=in_flight),
            stack=StackSettings(max_calls=10**9, max_tokens=10**12),
        )
        inner = make_backend("openai", settings.backend.options)
        stack = build_stack(
            inner,
            settings.stack,
            scope=cache_scope(inner, settings.backend),
            cache_folder=folder / "cache",
            in_flight=in_flight,
        )
        create_log(folder, {})
        pool = Pool(in_flight)
        try:
            async with EventLog(folder) as log, pool:
                sampler = CallSampler(
                    stack.backend, pool, run_seed=RUN_SEED, max_asks=settings.engine.max_asks
                )
                yield deciding(Journal(0, log, sampler, Tally(), recorded={}))
        finally:
            await stack.backend.aclose()


def deciding(journal: Any) -> Flood:  # noqa: ANN401 - a Journal; imported in the processes that need it
    """Ask for as many decisions as wanted, each time as another step."""
    import numpy as np

    from agentnet.prompts import parse_reply
    from agentnet.sampler import Question
    from agentnet.streams import Streams
    from agentnet.worlds import Ask, Temperature, draw_parameters

    questions = [Question(i, messages, max_tokens=MAX_TOKENS) for i, messages in enumerate(PROMPTS)]
    streams, steps, judge = Streams(RUN_SEED), itertools.count(1), lru_cache(4096)(parse_reply)

    async def flood(n_calls: int) -> Times:
        step = next(steps)
        key = ("exposure", 0, step)
        temperatures, seeds = draw_parameters(streams, key, np.arange(n_calls), Temperature(0.7, 1.3))
        asked = [questions[i % len(questions)] for i in range(n_calls)]
        agents, nobody, once = range(n_calls), [-1] * n_calls, [0] * n_calls
        asking = Ask("exposure", step, agents, nobody, once, asked, temperatures, seeds, judge)
        decisions = await journal.ask(asking)
        assert (decisions == 1).all()
        return partial(times_of, journal.log.path, step)

    return flood


def times_of(path: Path, step: int) -> list[float]:
    """Read from a log when the decisions of a step were made."""
    with closing(sqlite3.connect(path)) as connection:
        return [
            at for (at,) in connection.execute("SELECT at FROM events WHERE step = ? ORDER BY at", (step,))
        ]


@asynccontextmanager
async def httpx_client(url: str, in_flight: int) -> AsyncIterator[Flood]:
    """Call with httpx."""
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=600.0) as client:

        async def call(i: int) -> None:
            response = await client.post(f"{url}/chat/completions", json=body(i))
            assert response.json()["choices"][0]["message"]["content"]

        yield flooding(call, in_flight)


@asynccontextmanager
async def openai_sdk(url: str, in_flight: int, *, with_aiohttp: bool = False) -> AsyncIterator[Flood]:
    """Call with OpenAI's own client."""
    import openai

    http_client = openai.DefaultAioHttpClient() if with_aiohttp else None
    async with openai.AsyncOpenAI(
        base_url=url, api_key="none", max_retries=0, http_client=http_client
    ) as client:

        async def call(i: int) -> None:
            found = await client.chat.completions.create(**body(i))  # type: ignore[call-overload]
            assert found.choices[0].message.content

        yield flooding(call, in_flight)


def openai_aiohttp(url: str, in_flight: int) -> AbstractAsyncContextManager[Flood]:
    """Call with OpenAI's own client on aiohttp."""
    return openai_sdk(url, in_flight, with_aiohttp=True)


@asynccontextmanager
async def litellm_client(url: str, in_flight: int) -> AsyncIterator[Flood]:
    """Call with litellm."""
    # Else it asks the net for prices when it is imported.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True

    async def call(i: int) -> None:
        sent = {**body(i), "model": f"openai/{MODEL}"}
        found = await litellm.acompletion(**sent, api_base=url, api_key="none", max_retries=0)
        assert found.choices[0].message.content

    yield flooding(call, in_flight)


@asynccontextmanager
async def inspect_client(url: str, in_flight: int) -> AsyncIterator[Flood]:
    """Call with inspect_ai's provider for OpenAI."""
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model

    async with get_model(
        f"openai/{MODEL}",
        base_url=url,
        api_key="none",
        responses_api=False,
        memoize=False,
        config=GenerateConfig(max_connections=in_flight, max_retries=0),
    ) as model:

        async def call(i: int) -> None:
            (_, system), (_, user) = PROMPTS[i % len(PROMPTS)]
            found = await model.generate(
                [ChatMessageSystem(content=system), ChatMessageUser(content=user)],
                config=GenerateConfig(temperature=0.7, seed=i, max_tokens=MAX_TOKENS),
            )
            assert found.completion

        yield flooding(call, in_flight)


class Client(NamedTuple):
    """One row of the table.

    Attributes:
        open: (URL, in flight) -> a way to make calls.
        needs: Packages beside agentnet's own.
        is_slow: Whether fewer calls say as much of it.
        is_calm: Whether the garbage collector looks less often, as `agentnet.runner` has it.
        scheme: How the server is spoken to.
    """

    open: Callable[[str, int], AbstractAsyncContextManager[Flood]]
    needs: tuple[str, ...] = ()
    is_slow: bool = False
    is_calm: bool = False
    scheme: str = "http"


CLIENTS = {
    "floor": Client(floor, ("uvloop",), is_calm=True),
    "tuned": Client(tuned, ("uvloop",), is_calm=True),
    "usual": Client(usual),
    "plugin": Client(plugin, is_calm=True),
    "layer": Client(layer, is_calm=True),
    "layer-uv": Client(layer, ("uvloop",), is_calm=True),
    "usual-tls": Client(usual, scheme="https"),
    "layer-tls": Client(layer, is_calm=True, scheme="https"),
    "layer-uv-tls": Client(layer, ("uvloop",), is_calm=True, scheme="https"),
    "httpx": Client(httpx_client, ("httpx",), is_slow=True),
    "openai-aiohttp": Client(openai_aiohttp, ("openai", "httpx_aiohttp"), is_slow=True),
    "openai": Client(openai_sdk, ("openai",), is_slow=True),
    "litellm": Client(litellm_client, ("litellm",), is_slow=True),
    "inspect": Client(inspect_client, ("inspect_ai", "openai"), is_slow=True),
}


# One client's process


class Order(NamedTuple):
    """What a client's process is told to do."""

    url: str
    in_flight: int
    n_calls: int


class Round(NamedTuple):
    """What came of it: client CPU per call, calls a second over the middle 60% of them."""

    cpu_ms: float
    calls_per_s: float


async def carry_out(client: Client, order: Order) -> Round:
    """Make the calls of one round, with every connection open and warm before."""
    async with client.open(order.url, order.in_flight) as flood:
        await flood(order.in_flight)
        gc.collect()
        if client.is_calm:
            gc.freeze()
            gc.set_threshold(COLLECT_EVERY, *gc.get_threshold()[1:])
        begun = time.process_time()
        times_made = await flood(order.n_calls)
        cpu_s = time.process_time() - begun
        times = times_made()
    gc.unfreeze()
    assert len(times) == order.n_calls
    first, last = order.n_calls // 5, order.n_calls * 4 // 5
    return Round(cpu_s / order.n_calls * 1e3, (last - first) / (times[last - 1] - times[first - 1]))


async def work(client: Client) -> None:
    """Carry out orders from standard input, one a line."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await carry_out(client, Order(*json.loads(line)))), file=sys.__stdout__, flush=True)


# All of them


@contextmanager
def process(*arguments: str, python: str = sys.executable) -> Iterator[subprocess.Popen[str]]:
    """Run this file once more, in a process that ends with the context."""
    command = [python, __file__, *arguments]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        try:
            yield child
        finally:
            child.kill()
            assert child.stdin is not None
            # What a process that died was still to be told is lost.
            with suppress(BrokenPipeError):
                child.stdin.close()


def ask(child: subprocess.Popen[str], order: Order) -> Round | None:
    """Let a client's process carry out an order; None if it died of it."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError):
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
    line = child.stdout.readline()
    return Round(*json.loads(line)) if line else None


def n_calls_of(client: Client, in_flight: int, waves: int) -> int:
    """Count the calls of a round: whole waves, a multiple of five, so that a fifth is whole waves too.

    Of clients that the processor holds up, and not the server, a wave says as much.
    """
    if client.is_slow:
        return 5 * -(-max(in_flight, 320) // 5)
    return in_flight * 5 * -(-max(waves * in_flight, 1280) // (5 * in_flight))


def hurry(pids: Iterable[int], *, is_urgent: bool) -> bool:
    """Have processes run before all others, or as usual; say whether they run before others from now on."""
    if not hasattr(os, "sched_setscheduler"):
        return False
    policy = os.SCHED_RR if is_urgent else os.SCHED_OTHER
    try:
        for pid in pids:
            os.sched_setscheduler(pid, policy, os.sched_param(int(is_urgent)))
    except PermissionError:
        return False
    return is_urgent


class Case(NamedTuple):
    """One latency and one number of calls in flight."""

    latency_ms: int
    in_flight: int


def in_time(n_rounds: int, ends_at: float) -> Iterator[int]:
    """Number the rounds, of which the first is always played, and none begins after `ends_at`."""
    for number in range(n_rounds):
        if number and time.monotonic() > ends_at:
            print(f"NOT MEASURED: rounds {number + 1} to {n_rounds}, for want of time", file=sys.stderr)
            return
        yield number


def measure(
    names: Sequence[str],
    cases: Sequence[Case],
    n_rounds: int,
    waves: int,
    pythons: Mapping[str, str],
    limit_s: float,
) -> dict[str, Any]:
    """Measure every case, clients in turn; a client that dies is left out from then on, and named."""
    found: list[dict[str, object]] = []
    died: list[str] = []
    started = time.monotonic()
    with ExitStack() as stack:
        certificate = made_certificate(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        server = stack.enter_context(process("--serve", *([] if certificate is None else [str(certificate)])))
        assert server.stdout is not None
        where = json.loads(server.stdout.readline())
        children = {
            name: stack.enter_context(process("--work", name, python=pythons.get(name, sys.executable)))
            for name in names
        }
        for number, case in enumerate(cases, 1):
            begun = os.getloadavg()[0]
            pids = [each.pid for each in (server, *children.values())]
            is_first = hurry(pids, is_urgent=case.latency_ms > 0)
            rounds: dict[str, list[Round]] = {name: [] for name in children}
            played = in_time(n_rounds, started + limit_s * number / len(cases))
            for name in (name for _ in played for name in children):
                if name in died:
                    continue
                n_calls = n_calls_of(CLIENTS[name], case.in_flight, waves)
                base = where.get(CLIENTS[name].scheme, "this machine has no openssl:")
                order = Order(f"{base}/{case.latency_ms}", case.in_flight, n_calls)
                result = ask(children[name], order)
                if result is None:
                    died.append(name)
                    rounds.pop(name)
                    print(f"NOT MEASURED: {name} died, see above", file=sys.stderr)
                    continue
                rounds[name].append(result)
                print(case, name, *(f"{value:.4g}" for value in result), file=sys.stderr)
            load = [begun, os.getloadavg()[0]]
            alive = {name: of for name, of in rounds.items() if of}
            row = {**case._asdict(), "load": load, "first": is_first, "clients": summary(alive, case)}
            found.append({**row, "figures": figures(alive, case)})
    return {"cpus": os.cpu_count(), "cases": found, "died": died}


def summary(rounds: dict[str, list[Round]], case: Case) -> dict[str, dict[str, float | None]]:
    """Sum the rounds of a case up."""

    def ratio(name: str, to: str) -> float | None:
        if to not in rounds:
            return None
        pairs = zip(rounds[name], rounds[to], strict=True)
        return statistics.median(ours.cpu_ms / other.cpu_ms for ours, other in pairs)

    def share(calls_per_s: float) -> float | None:
        return calls_per_s * case.latency_ms / 1e3 / case.in_flight if case.latency_ms else None

    return {
        name: {
            "rounds": len(of),
            "cpu_ms": statistics.median(r.cpu_ms for r in of),
            "least_cpu_ms": min(r.cpu_ms for r in of),
            "to_tuned": ratio(name, "tuned"),
            "to_usual": ratio(name, "usual-tls" if CLIENTS[name].scheme == "https" else "usual"),
            "to_openai": ratio(name, "openai"),
            "calls_per_s": statistics.median(r.calls_per_s for r in of),
            "share": share(statistics.median(r.calls_per_s for r in of)),
            "best_share": share(max(r.calls_per_s for r in of)),
        }
        for name, of in rounds.items()
    }


def figures(rounds: dict[str, list[Round]], case: Case) -> Figures:
    """Give each client's CPU per call, the layer's over each other's, and the share, round by round."""
    where = f"{case.latency_ms} ms, {case.in_flight:,} in flight"
    told = {f"{where}: {name}, CPU ms a call": [each.cpu_ms for each in of] for name, of in rounds.items()}
    for name, of in rounds.items():
        for ours, mine in rounds.items():
            if ours.startswith("layer") and CLIENTS[ours].scheme == CLIENTS[name].scheme:
                ratios = [one.cpu_ms / other.cpu_ms for one, other in zip(mine, of, strict=True)]
                told[f"{where}: {ours} / {name}"] = ratios
        share = case.latency_ms / 1e3 / case.in_flight
        told[f"{where}: {name}, share of the ideal throughput"] = [each.calls_per_s * share for each in of]
    return {name: values for name, values in told.items() if any(values)}


def table(case: dict[str, Any]) -> str:
    """Spell out one case."""
    load = "load {:.1f} to {:.1f}".format(*case["load"]) + ", before other programs" * case["first"]
    lines = [f"\n{case['latency_ms']} ms, {case['in_flight']:,} in flight ({load})"]
    for name, row in case["clients"].items():
        cells = (f"{key} {'-' if value is None else format(value, '.4g'):<7}" for key, value in row.items())
        lines.append(f"{name:<15}" + " ".join(cells))
    return "\n".join(lines)


def missing_of(names: Sequence[str], pythons: Mapping[str, str]) -> dict[str, list[str]]:
    """Find the clients that lack a package, and which; those with an interpreter of their own will tell."""
    lacking = {
        name: [package for package in CLIENTS[name].needs if importlib.util.find_spec(package) is None]
        for name in names
        if name not in pythons
    }
    return {name: packages for name, packages in lacking.items() if packages}


def run_child(client: str | None, certificate: str) -> None:
    """Be a client's process, or the server's."""
    wants_uvloop = client is None or "uvloop" in CLIENTS[client].needs
    loop_factory = None
    # The server's own speed matters to nobody but the fastest clients: it takes uvloop if it is there.
    if wants_uvloop and importlib.util.find_spec("uvloop") is not None:
        import uvloop

        loop_factory = uvloop.new_event_loop
    # What libraries print must not be read as a result.
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        if client is None:
            runner.run(serve(Path(certificate) if certificate else None))
        else:
            sys.stdout = sys.stderr
            runner.run(work(CLIENTS[client]))


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--in-flight", default="256", help="such as 64,256,1000; each takes its time")
    parser.add_argument("--latency-ms", default="0,200")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit-s", type=float, default=240.0, help="no round begins later, but the first")
    parser.add_argument("--waves", type=int, default=10, help="calls of a round, in numbers in flight")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="CLIENT=PATH",
        help="another interpreter for a client",
    )
    parser.add_argument("--quick", action="store_true", help="one short round with 64 calls in flight")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", nargs="?", const="", metavar="CERTIFICATE", help=argparse.SUPPRESS)
    parser.add_argument("--work", choices=CLIENTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None or given.work:
        run_child(given.work, given.serve)
        return
    if given.quick:
        given.in_flight, given.rounds, given.waves = "64", 1, 5
    names = given.clients.split(",")
    if unknown := set(names) - set(CLIENTS):
        parser.error(f"there is no client {', '.join(sorted(unknown))}; there are {', '.join(CLIENTS)}")
    pythons = dict(pair.split("=", 1) for pair in given.python)
    missing = missing_of(names, pythons)
    for name, packages in missing.items():
        print(f"NOT MEASURED: {name} (not installed: {', '.join(packages)})", file=sys.stderr)
    cases = [
        Case(int(latency), int(in_flight))
        for latency in given.latency_ms.split(",")
        for in_flight in given.in_flight.split(",")
    ]
    present = [name for name in names if name not in missing]
    found = measure(present, cases, given.rounds, given.waves, pythons, given.limit_s)
    found["missing"] = missing
    if given.json:
        tell({name: values for case in found["cases"] for name, values in case["figures"].items()})
        return
    print(f"{found['cpus']} CPUs, medians over rounds; ratios of CPU are of the same round")
    for case in found["cases"]:
        print(table(case))
    for name, packages in missing.items():
        print(f"\nNOT MEASURED: {name}: install {', '.join(packages)} (see the head of this file)")
    for name in found["died"]:
        print(f"\nNOT MEASURED TO THE END: {name} died")


if __name__ == "__main__":
    main()
