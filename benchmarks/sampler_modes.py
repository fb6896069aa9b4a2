"""What sampler modes cost on the mock: in the paper's design, and with a million agents.

First the paper's design (10 news items x 5 realizations, 128 agents, k = 5) without rationale and at one
temperature level, in each mode: requests, prompt tokens, CPU. ``choices`` is to take an eighth of ``call``'s
prompt tokens at most. Then one realization in mode ``logprobs`` with as many agents as asked for: it is to
cost as many requests as there are distinct prompts at most, whatever the number of agents.

Every run is a real one, by `agentnet.runner`, with stack and event log (Parquet only if asked for), in a
process of its own: peak memory and CPU seconds are that process's, imports and networks included.

    python benchmarks/sampler_modes.py [--agents 1000000] [--steps 15] [--parquet] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from figures import tell

from agentnet.backend import Backend, Reply, Request, make_backend
from agentnet.config import LogSettings, SamplerSettings, Settings, StackSettings
from agentnet.events import LOG_NAME, Run
from agentnet.experiment import Source
from agentnet.runner import Runner, create, prepare

MODES = ("call", "choices", "logprobs")
LEAST_SAVING = 8.0
SOURCE = """
from agentnet import CascadeExperiment

class Paper(CascadeExperiment):
    rationale = "none"

class Large(Paper):
    items_per_severity = 1
    repeats = 1

    def choose_news(self, seed):
        return [item for item in super().choose_news(seed) if item.severity == 1]
"""


class Metered:
    """Counts what a backend is asked, and the prompt tokens that it takes.

    Args:
        inner: The backend.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.name, self.model_name = inner.name, inner.model_name
        self.worth_caching = getattr(inner, "worth_caching", True)
        self.n_requests = self.n_prompt_tokens = 0

    async def complete(self, request: Request) -> Reply:
        """Answer `request`, and count it."""
        self.n_requests += 1
        reply = await self._inner.complete(request)
        self.n_prompt_tokens += reply.prompt_tokens or 0
        return reply

    async def aclose(self) -> None:
        """Close the backend."""
        await self._inner.aclose()


class Order(NamedTuple):
    """One run: its mode, its experiment and overrides, temperature levels, whether Parquet is written."""

    mode: str
    experiment: str
    overrides: dict[str, int]
    levels: int | None = None
    parquet: bool = False


def play(order: Order) -> dict[str, float]:
    """Play a run, and say what it took."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            runs=Path(folder),
            sampler=SamplerSettings.model_validate({"mode": order.mode, "temperature_levels": order.levels}),
            stack=StackSettings(cache=False),
            log=LogSettings(parquet=order.parquet),
            experiment=order.overrides,
        )
        source = Source(Path("bench.py"), SOURCE, order.experiment)
        prepared = prepare(source, settings, settings.runs / "run")
        create(prepared, source, backend="mock", model_name="mock")
        meter = Metered(make_backend("mock", {}))
        runner = Runner(prepared, meter)
        begun, cpu = time.perf_counter(), time.process_time()
        asyncio.run(runner.play())
        cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - begun
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        n_decisions = runner.tally.n_decisions
        # A prompt at another temperature is another question to the model.
        ((n_distinct,),) = Run(prepared.folder).rows(
            "SELECT COUNT(*) FROM (SELECT DISTINCT prompt, temperature FROM events)"
        )[1]
        return {
            "decisions": n_decisions,
            "engaged": runner.tally.counts["engaged"],
            "distinct_prompts": n_distinct,
            "requests": meter.n_requests,
            "prompt_tokens": meter.n_prompt_tokens,
            "cpu_us_per_decision": cpu_s / n_decisions * 1e6,
            "wall_s": wall_s,
            "peak_gib": peak_kib / 2**20,
            "log_gib": (prepared.folder / LOG_NAME).stat().st_size / 2**30,
        }


def play_apart(order: Order) -> dict[str, float]:
    """Play a run in a process of its own."""
    command = [sys.executable, __file__, "--play", json.dumps(order)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return {**json.loads(done.stdout), "load": os.getloadavg()[0]}


def compare() -> dict[str, dict[str, float]]:
    """Play the paper's design in each mode."""
    return {mode: play_apart(Order(mode, "Paper", {}, levels=1)) for mode in MODES}


def table(rows: dict[str, dict[str, float]]) -> str:
    """Spell out runs, a column each."""
    keys = next(iter(rows.values()))
    lines = [" " * 22 + "".join(f"{name:>16}" for name in rows)]
    lines += [f"{key:<22}" + "".join(f"{row[key]:>16,.6g}" for row in rows.values()) for key in keys]
    return "\n".join(lines)


def main() -> None:
    """Play, print; complain where a bound is not kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=1_000_000, help="of the large cascade; 0 for none")
    parser.add_argument("--steps", type=int, default=15, help="of the large cascade: 15 reach a part of it")
    parser.add_argument("--parquet", action="store_true", help="let the large run write Parquet as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--play", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.play:
        print(json.dumps(play(Order(*json.loads(given.play)))))
        return
    paper = compare()
    saving = paper["call"]["prompt_tokens"] / paper["choices"]["prompt_tokens"]
    faults = [] if saving >= LEAST_SAVING else [f"choices saves only {saving:.1f} times the prompt tokens"]
    large: dict[str, dict[str, float]] = {}
    if given.agents:
        design = {"n_agents": given.agents, "steps": given.steps}
        order = Order("logprobs", "Large", design, parquet=given.parquet)
        large["logprobs"] = play_apart(order)
    for mode, row in {**paper, **{f"logprobs, {given.agents:,} agents": r for r in large.values()}}.items():
        if mode.startswith("logprobs") and row["requests"] > row["distinct_prompts"]:
            faults.append(
                f"{mode}: {row['requests']} requests for {row['distinct_prompts']} distinct prompts"
            )
    if given.json:
        runs = {f"paper's design, {mode}": row for mode, row in paper.items()}
        runs |= {f"{given.agents:,} agents, {mode}": row for mode, row in large.items()}
        told = {f"{run}: {name}": [value] for run, row in runs.items() for name, value in row.items()}
        tell({"prompt tokens, call / choices": [saving], **told})
    else:
        print(
            f"The paper's design; choices takes 1/{saving:.1f} of the prompt tokens of call\n{table(paper)}"
        )
        if large:
            print(f"\nOne realization of {given.agents:,} agents\n{table(large)}")
    if faults:
        raise SystemExit("NOT KEPT: " + "; ".join(faults))


if __name__ == "__main__":
    main()
