"""CPU per decision: runner, engine, mock backend and event log against a bare loop without a log.

The bare loop is the same cascade as anybody would write it first: a networkx graph, `asyncio.gather` over the
exposures of a step, the same mock backend, its JSON reply parsed, nothing recorded. Both play the paper's design
(k = 5, T = 15, rule ``unengaged_neighbour``) in one process, turn by turn; CPU seconds are those of the whole
process, so the thread that writes the log counts too.

    python benchmarks/engine.py [--agents 128,1000,100000] [--repeats 5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import networkx as nx

from agentnet.backend import Backend, Request, make_backend
from agentnet.config import BackendSettings, LogSettings, Settings
from agentnet.experiment import Source
from agentnet.network import random_regular
from agentnet.news import NewsItem, sample_news
from agentnet.profiles import Profile, all_profiles
from agentnet.prompts import Messages, PromptSet, answer_schema
from agentnet.runner import Runner, create, prepare

DEGREE, STEPS = 5, 15
SOURCE = """
from agentnet import CascadeExperiment
class Bench(CascadeExperiment):
    items_per_severity = 1
"""


def bare_realization(graph: nx.Graph[int], backend: Backend, item: NewsItem, seed: int) -> Any:
    """Write the cascade as a bare loop; returns a coroutine that counts its decisions."""
    rng = random.Random(seed)
    prompts, schema = PromptSet.load(), answer_schema("inline")
    profiles = [Profile.from_index(i % 32) for i in range(len(graph))]
    rng.shuffle(profiles)
    facts: dict[str, tuple[Messages, dict[str, str | int]]] = {
        profile.bits: (
            prompts.messages("exposure", profile, item, rationale="inline"),
            {"profile": profile.bits, "severity": item.severity or 0, "news": item.id},
        )
        for profile in all_profiles()
    }

    async def ask(agent: int) -> bool:
        messages, metadata = facts[profiles[agent].bits]
        reply = await backend.complete(
            Request(
                messages=messages,
                temperature=rng.uniform(0.7, 1.3),
                schema=schema,
                seed=rng.getrandbits(63),
                metadata=metadata,
            )
        )
        return bool(json.loads(reply.texts[0])["share"])

    async def play() -> int:
        n_decisions = 0
        engaged = set()
        for agent in rng.sample(range(len(graph)), len(graph)):
            n_decisions += 1
            if await ask(agent):
                engaged.add(agent)
                break
        for _ in range(STEPS):
            exposed = []
            for agent in graph:
                if agent not in engaged:
                    sources = [v for v in graph[agent] if v in engaged]
                    if len(sources) < len(graph[agent]):
                        exposed += [agent] * len(sources)
            answers = await asyncio.gather(*(ask(agent) for agent in exposed))
            engaged |= {agent for agent, yes in zip(exposed, answers, strict=True) if yes}
            n_decisions += len(exposed)
        return n_decisions

    return play


def time_bare(n_agents: int, n_realizations: int, seed: int) -> float:
    """Measure CPU seconds a decision of the bare loop; networks are made before."""
    backend = make_backend("mock", {})
    items = sample_news().items[:2]
    graphs = [random_regular(n_agents, DEGREE, seed=seed + i).to_networkx() for i in range(n_realizations)]
    plays = [bare_realization(graph, backend, items[i % 2], seed + i) for i, graph in enumerate(graphs)]

    async def main() -> int:
        return sum(await asyncio.gather(*(play() for play in plays)))

    gc.collect()
    begun = time.process_time()
    n_decisions = asyncio.run(main())
    return (time.process_time() - begun) / n_decisions


def time_agentnet(n_agents: int, n_realizations: int, seed: int, *, freeze: bool = False) -> float:
    """Measure CPU seconds a decision of agentnet, from the runner to the closed log."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            seed=seed,
            backend=BackendSettings(),
            log=LogSettings(parquet=freeze),
            experiment={"n_agents": n_agents, "repeats": n_realizations // 2},
        )
        source = Source(Path("bench.py"), SOURCE)
        prepared = prepare(source, settings, Path(folder) / "run")
        create(prepared, source, backend="mock", model_name="mock")
        runner = Runner(prepared, make_backend("mock", {}))
        gc.collect()
        begun = time.process_time()
        asyncio.run(runner.play())
        return (time.process_time() - begun) / runner.tally.n_decisions


def compare(n_agents: int, repeats: int) -> dict[str, float]:
    """Time both in turn; medians in microseconds, and the ratio turn by turn."""
    n_realizations = {128: 50, 1_000: 10}.get(n_agents, 2)
    ours, bare = [], []
    for turn in range(repeats):
        ours.append(time_agentnet(n_agents, n_realizations, turn) * 1e6)
        bare.append(time_bare(n_agents, n_realizations, turn) * 1e6)
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    return {
        "n_agents": n_agents,
        "agentnet_us": statistics.median(ours),
        "bare_us": statistics.median(bare),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", default="128,1000,100000", help="numbers of agents")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    rows = [compare(int(n), arguments.repeats) for n in arguments.agents.split(",")]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'agents':>8} {'agentnet':>10} {'bare loop':>10}   ratio (min-max), CPU us a decision")
    for row in rows:
        print(
            f"{row['n_agents']:>8,} {row['agentnet_us']:>10.2f} {row['bare_us']:>10.2f}   "
            f"{row['ratio']:.2f} ({row['ratio_min']:.2f}-{row['ratio_max']:.2f})"
        )


if __name__ == "__main__":
    main()
