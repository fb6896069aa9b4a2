"""A design that is played on a real server, against a bare loop that asks the same server for the same.

``agentnet bench --cascade`` and the loop take turns, each in a process of its own; the loop is aiohttp as
usually written: so many workers, a dict a call, `response.json()`. It asks what the log of a run of the
design says was asked, in that order: the same prompts, temperatures, allowed answers and bound on tokens. It
waits for no step to end, and writes nothing down. Told are requests a second, from the first call to the last
answer, and the ratio of each turn: other programs disturb the two of a turn alike. Where many do, --beside
has both ask at the same time, so many in flight each, and counts what either gets while the design is played:
the server takes them as they come, and whatever disturbs it holds up both.

The server is one that understands vLLM's `structured_outputs`. ``make test-vllm`` installs vLLM for this
machine's CPU, with a tiny random model, and takes one short turn; to serve it for longer ones::

    python tests/vllm/tiny_server.py serve .venv-vllm build/tiny-model 8000 &
    python benchmarks/served.py --url http://127.0.0.1:8000/v1 [FILE[:Class]] [--model tiny]
        [--in-flight 16,64] [--turns 5] [--beside] [-S KEY=VALUE ...] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from figures import tell

from agentnet import Run

ROOT = Path(__file__).parents[1]
AGENTNET = (sys.executable, "-c", "from agentnet.cli import main; main()")
WINDOW = "SELECT COUNT(*), MIN(at - latency_s), MAX(at) FROM events"
ASKED = "SELECT p.messages, e.temperature FROM events e JOIN prompts p USING (prompt) ORDER BY e.at"


async def ask_all(url: str, model: str, folder: str, in_flight: int, is_endless: bool) -> list[float]:
    """Ask what a run's log says was asked, once or until the input ends; give when it was answered."""
    import aiohttp

    run, is_over = Run(folder), asyncio.Event()
    rows, ends = run.rows(ASKED)[1], [time.time()]
    asked = cycle(rows) if is_endless else iter(rows)
    max_tokens = run.meta["experiment"]["design"][0]["max_tokens"]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for messages, temperature in asked:
                body = {
                    "model": model,
                    "messages": [{"role": role, "content": text} for role, text in json.loads(messages)],
                    "temperature": temperature,
                    "seed": len(ends),
                    "max_tokens": max_tokens,
                    "structured_outputs": {"choice": ["yes", "no"]},
                }
                async with session.post(f"{url}/chat/completions", json=body) as response:
                    assert (await response.json())["choices"][0]["message"]["content"] in {"yes", "no"}
                ends.append(time.time())
                if is_over.is_set():
                    return

        working = asyncio.gather(*(work() for _ in range(in_flight)))
        if is_endless:
            await asyncio.to_thread(sys.stdin.read)
            is_over.set()
        await working
    return ends


def told_by(*command: str) -> Any:  # noqa: ANN401 - JSON
    """Run a program, and read the JSON that it prints."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AGENTNET_")}
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=environ)
    if done.returncode:
        sys.exit(f"exit status {done.returncode} of: {' '.join(command)}")
    return json.loads(done.stdout)


def measure(given: argparse.Namespace, url: str, in_flight: int) -> dict[str, Any]:
    """Let the two take turns, or ask beside each other."""
    chosen = ("rationale=none", f"backend.base_url={url}", f"backend.model={given.model}", *given.S)
    to_server = ("--backend", "vllm", "--json", *(word for each in chosen for word in ("-S", each)))
    ways = "-S", f"engine.workers={in_flight}", "-S", "stack.cache=false", "-S", "log.parquet=false"
    play = (*AGENTNET, "run", given.design, "--quiet", *ways, *to_server)
    design = (*AGENTNET, "bench", "--cascade", given.design, "--in-flight", str(in_flight), *to_server)
    turns = []
    with tempfile.TemporaryDirectory(prefix="served-") as name:
        played = Path(name) / "run"
        told_by(*play, "--out", str(played))
        order = (url, given.model, str(played), in_flight, given.beside)
        loop = (sys.executable, __file__, "--ask", json.dumps(order))
        for turn in range(given.turns):
            if given.beside:
                turns.append(beside(loop, play, Path(name) / f"run-{turn}"))
            else:
                turns.append(in_turn(loop, design, is_first=turn % 2 == 0))
            print(in_flight, "in flight:", sentence(turns[-1]), file=sys.stderr, flush=True)
    ratios = sorted(turn["ratio"] for turn in turns)
    return {"in_flight": in_flight, "turns": turns, "ratio": statistics.median(ratios), "of": ratios}


def in_turn(loop: Sequence[str], design: Sequence[str], *, is_first: bool) -> dict[str, Any]:
    """Run one after the other: who comes second finds the server warmer."""
    pair = [("loop", loop), ("design", design)]
    found = {which: told_by(*command) for which, command in (pair if is_first else pair[::-1])}
    (level,), ends = found["design"]["levels"], found["loop"]
    return turn_of(level, {"calls": len(ends) - 1, "seconds": ends[-1] - ends[0]})


def beside(loop: Sequence[str], play: Sequence[str], folder: Path) -> dict[str, Any]:
    """Play the design while the loop asks, and count what both got meanwhile."""
    with subprocess.Popen(loop, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        told_by(*play, "--out", str(folder))
        ends = json.loads(asking.communicate()[0])
    ((calls, begun, ended),) = Run(folder).rows(WINDOW)[1]
    n_meanwhile = sum(begun < end <= ended for end in ends[1:])
    seconds = ended - begun
    return turn_of({"calls": calls, "seconds": seconds}, {"calls": n_meanwhile, "seconds": seconds})


def turn_of(design: dict[str, Any], loop: dict[str, Any]) -> dict[str, Any]:
    """Divide requests a second."""
    ratio = design["calls"] / design["seconds"] / loop["calls"] * loop["seconds"]
    return {"design": design, "loop": loop, "ratio": ratio}


def sentence(turn: dict[str, Any]) -> str:
    """Say what a turn came to."""
    design, loop = turn["design"], turn["loop"]
    shares = [f"{name} {design[name]:.3f}" for name in ("busy", "ramp", "waits", "tail") if name in design]
    return (
        f"{design['calls']} requests of the design at {design['calls'] / design['seconds']:.1f} a second, "
        f"{loop['calls']} of the loop at {loop['calls'] / loop['seconds']:.1f}: {turn['ratio']:.3f} "
        + ", ".join(shares)
    )


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("design", nargs="?", default=str(ROOT / "experiments" / "news_cascade.py"))
    parser.add_argument("--url", help="base URL of the server")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--in-flight", default="16,64")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--beside", action="store_true", help="let both ask at the same time")
    parser.add_argument("-S", action="append", default=[], metavar="KEY=VALUE", help="setting or knob")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        print(json.dumps(asyncio.run(ask_all(*json.loads(given.ask)))))
        return
    if given.url is None:
        sys.exit("NOT MEASURED: which server? Name its base URL by --url, as the head of this file says")
    found = [measure(given, given.url, int(each)) for each in given.in_flight.split(",")]
    if given.json:
        tell({f"{case['in_flight']} in flight: design / loop": case["of"] for case in found})
        return
    for case in found:
        of = ", ".join(f"{each:.3f}" for each in case["of"])
        print(f"{case['in_flight']} in flight, the design's rate over the loop's: {case['ratio']:.3f} ({of})")


if __name__ == "__main__":
    main()
