"""CPU per call: backend ``openai`` against bare aiohttp, and against OpenAI's own client.

All ask the same server double, which runs in another process, with the same prompts and as many calls in
flight; they take turns, round after round, since other programs disturb them alike then. "usual" is aiohttp
as usually written (a dict per call, ``response.json()``), "tuned" is aiohttp with ready-made bodies and
without cookies and redirects, which only reads the reply's text and knows no errors.

    python benchmarks/http_backend.py [--calls 1500] [--rounds 9] [--in-flight 256]
        [--clients usual,tuned,agentnet] [--uvloop] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from yarl import URL

from agentnet.backend import Messages, Request, make_backend
from agentnet.testing.server import ServerDouble, serve

Call = Callable[[int], Awaitable[None]]

WORDS = "The march ended peacefully in the town hall, the organisers say. "
PROMPTS: list[Messages] = [
    (("system", f"You are person {i}. {WORDS * 15}"), ("user", f"{WORDS * 12}Do you share it?"))
    for i in range(320)
]
SAID = "Yes. My neighbours should know of it, and there is nothing in it that could hurt anybody."


def body(i: int) -> dict[str, object]:
    """Make the constant part of the body of call `i`."""
    messages = [{"role": role, "content": content} for role, content in PROMPTS[i % len(PROMPTS)]]
    return {"model": "double", "messages": messages, "max_tokens": 256}


@asynccontextmanager
async def usual(url: str) -> AsyncIterator[Call]:
    """Call with aiohttp as usually written."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def call(i: int) -> None:
            sent = {**body(i), "temperature": 0.7, "seed": i}
            async with session.post(f"{url}/chat/completions", json=sent) as response:
                assert (await response.json())["choices"][0]["message"]["content"]

        yield call


@asynccontextmanager
async def tuned(url: str) -> AsyncIterator[Call]:
    """Call with as little as aiohttp lets one do."""
    heads = [json.dumps(body(i)).encode()[:-1] for i in range(len(PROMPTS))]
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

        yield call


@asynccontextmanager
async def agentnet(url: str) -> AsyncIterator[Call]:
    """Call through the backend."""
    backend = make_backend("openai", {"model": "double", "base_url": url})

    async def call(i: int) -> None:
        await backend.complete(Request(PROMPTS[i % len(PROMPTS)], temperature=0.7, seed=i))

    try:
        yield call
    finally:
        await backend.aclose()


@asynccontextmanager
async def openai_sdk(url: str) -> AsyncIterator[Call]:
    """Call with OpenAI's own client."""
    import openai

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        async def call(i: int) -> None:
            messages = [{"role": role, "content": content} for role, content in PROMPTS[i % len(PROMPTS)]]
            found = await client.chat.completions.create(
                model="double",
                messages=messages,  # type: ignore[arg-type]  # its types know only its own classes
                max_tokens=256,
                temperature=0.7,
                seed=i,
            )
            assert found.choices[0].message.content

        yield call


CLIENTS = {"usual": usual, "tuned": tuned, "agentnet": agentnet, "openai": openai_sdk}


async def flood(call: Call, n_calls: int, in_flight: int) -> None:
    """Make `n_calls` calls with `in_flight` of them under way."""
    numbers = iter(range(n_calls))

    async def work() -> None:
        # A shared iterator is a queue here: nothing awaits between `next` and use.
        for i in numbers:
            await call(i)

    await asyncio.gather(*(work() for _ in range(in_flight)))


async def measure(
    url: str, names: Sequence[str], n_calls: int, n_rounds: int, in_flight: int
) -> dict[str, list[float]]:
    """Measure the CPU milliseconds of a call, round by round, for each client."""
    found: dict[str, list[float]] = {name: [] for name in names}
    async with AsyncExitStack() as stack:
        calls = {name: await stack.enter_async_context(CLIENTS[name](url)) for name in names}
        for call in calls.values():
            await flood(call, 2 * in_flight, in_flight)
        gc.collect()
        gc.freeze()
        for _ in range(n_rounds):
            for name, call in calls.items():
                begun = time.process_time()
                await flood(call, n_calls, in_flight)
                found[name].append((time.process_time() - begun) / n_calls * 1e3)
    return found


def report(found: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Sum the rounds up; ratios are medians over the rounds."""

    def ratio(name: str, to: str) -> float:
        return statistics.median(a / b for a, b in zip(found[name], found[to], strict=True))

    return {
        name: {
            "least_ms": min(rounds),
            "median_ms": statistics.median(rounds),
            "to_usual": ratio(name, "usual"),
            "to_tuned": ratio(name, "tuned"),
        }
        for name, rounds in found.items()
    }


def main() -> None:
    """Read the arguments, start the double, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--clients", default=",".join(CLIENTS), help="usual and tuned must be among them")
    parser.add_argument("--uvloop", action="store_true", help="needs uvloop")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help="only run the double")
    given = parser.parse_args()
    if given.serve:
        serve(
            lambda: ServerDouble(lambda *_: SAID),
            host="127.0.0.1",
            port=0,
            announce=lambda url: print(url, flush=True),
        )
    double = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert double.stdout is not None
        url = double.stdout.readline().strip()
        measuring = measure(url, given.clients.split(","), given.calls, given.rounds, given.in_flight)
        if given.uvloop:
            import uvloop

            found = report(uvloop.run(measuring))
        else:
            found = report(asyncio.run(measuring))
    finally:
        double.terminate()
        double.wait()
    if given.json:
        print(json.dumps(found))
        return
    for name, row in found.items():
        print(f"{name:9}", *(f"{key} {value:7.3f}" for key, value in row.items()), sep="   ")


if __name__ == "__main__":
    main()
