"""CPU per decision: runner, engine, mock backend and event log against a bare loop without a log.

The bare loop is the same cascade as anybody would write it first: a networkx graph, `asyncio.gather` over
the exposures of a step, the same mock backend, its JSON reply parsed, nothing recorded. Both play the paper's
design (k = 5, T = 15, rule ``unengaged_neighbour``) in one process, turn by turn; CPU seconds are those of
the whole process, so the thread that writes the log counts too. Agentnet's seconds always hold its networks,
assignments, prompts and log; the bare loop's are given with its networks drawn by networkx, and without them.
The mock need not wait, so agentnet has it answer at once (`agentnet.backend.AnswersNow`) what is asked
in one turn of the event loop; with ``--one-by-one`` it asks each by itself, as it asks servers.
Before the first turn both play a short one that does not count: what a process imports when it first uses it
is no cost of a decision.

    python benchmarks/engine.py [--agents 128,1000,100000] [--repeats 5] [--one-by-one] [--json]
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

import networkx as nx
from figures import tell

from agentnet.backend import Backend, Reply, Request, Wrapper, make_backend
from agentnet.config import BackendSettings, LogSettings, Settings
from agentnet.experiment import Source
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


Facts = dict[str, tuple[Messages, dict[str, str | int]]]


def render(item: NewsItem) -> Facts:
    """Render the prompt of each profile about `item`."""
    prompts = PromptSet.load()
    return {
        profile.bits: (
            prompts.messages("exposure", profile, item, rationale="inline"),
            {"profile": profile.bits, "severity": item.severity or 0},
        )
        for profile in all_profiles()
    }


class BareLoop:
    """The cascade as a bare loop on a ready-made graph."""

    def __init__(self, graph: nx.Graph[int], backend: Backend, facts: Facts, schema: str, seed: int) -> None:
        self.graph = graph
        self.backend = backend
        self.facts = facts
        self.schema = schema
        self.rng = random.Random(seed)
        self.profiles = [Profile.from_index(i % 32) for i in range(len(graph))]
        self.rng.shuffle(self.profiles)

    async def ask(self, agent: int) -> bool:
        """Ask one agent once."""
        messages, metadata = self.facts[self.profiles[agent].bits]
        reply = await self.backend.complete(
            Request(
                messages=messages,
                temperature=self.rng.uniform(0.7, 1.3),
                schema=self.schema,
                seed=self.rng.getrandbits(63),
                metadata=metadata,
            )
        )
        return bool(json.loads(reply.texts[0])["share"])

    async def play(self) -> int:
        """Play the cascade; count its decisions."""
        n_decisions = 0
        engaged: set[int] = set()
        for agent in self.rng.sample(range(len(self.graph)), len(self.graph)):
            n_decisions += 1
            if await self.ask(agent):
                engaged.add(agent)
                break
        for _ in range(STEPS):
            exposed = []
            for agent in self.graph:
                if agent not in engaged:
                    sources = [v for v in self.graph[agent] if v in engaged]
                    if len(sources) < len(self.graph[agent]):
                        exposed += [agent] * len(sources)
            answers = await asyncio.gather(*(self.ask(agent) for agent in exposed))
            engaged |= {agent for agent, yes in zip(exposed, answers, strict=True) if yes}
            n_decisions += len(exposed)
        return n_decisions


def time_bare(n_agents: int, n_realizations: int, seed: int) -> tuple[float, float]:
    """Measure CPU seconds a decision of the bare loop: with its networks, and without."""
    backend = make_backend("mock", {})
    items = sample_news().items[:2]

    async def main() -> int:
        facts, schema = [render(item) for item in items], answer_schema("inline")
        plays = [
            BareLoop(graph, backend, facts[i % 2], schema, seed + i).play() for i, graph in enumerate(graphs)
        ]
        return sum(await asyncio.gather(*plays))

    gc.collect()
    begun = time.process_time()
    graphs = [nx.random_regular_graph(DEGREE, n_agents, seed=seed + i) for i in range(n_realizations)]
    drawn = time.process_time()
    n_decisions = asyncio.run(main())
    ended = time.process_time()
    return (ended - begun) / n_decisions, (ended - drawn) / n_decisions


class OneByOne(Wrapper):
    """The mock, less its way of answering at once."""

    worth_caching = False

    async def complete(self, request: Request) -> Reply:
        """Answer `request`."""
        return await self._inner.complete(request)


def time_agentnet(n_agents: int, n_realizations: int, seed: int, *, one_by_one: bool = False) -> float:
    """Measure CPU seconds a decision of agentnet, from the runner to the closed log (Parquet left out)."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            seed=seed,
            backend=BackendSettings(),
            log=LogSettings(parquet=False),
            experiment={
                "degree": DEGREE,
                "steps": STEPS,
                "n_agents": n_agents,
                "repeats": n_realizations // 2,
            },
        )
        source = Source(Path("bench.py"), SOURCE)
        prepared = prepare(source, settings, Path(folder) / "run")
        create(prepared, source, backend="mock", model_name="mock")
        mock = make_backend("mock", {})
        runner = Runner(prepared, OneByOne(mock) if one_by_one else mock)
        gc.collect()
        begun = time.process_time()
        asyncio.run(runner.play())
        return (time.process_time() - begun) / runner.tally.n_decisions


def compare(n_agents: int, repeats: int, *, one_by_one: bool) -> dict[str, list[float]]:
    """Time both in turn, in microseconds, with their ratios turn by turn."""
    n_realizations = {128: 50, 1_000: 10}.get(n_agents, 2)
    turns = [
        (
            time_agentnet(n_agents, n_realizations, turn, one_by_one=one_by_one),
            *time_bare(n_agents, n_realizations, turn),
        )
        for turn in range(repeats)
    ]
    return {
        "agentnet us": [ours * 1e6 for ours, _, _ in turns],
        "bare loop us": [bare * 1e6 for _, bare, _ in turns],
        "ratio": [ours / bare for ours, bare, _ in turns],
        "ratio, networks given": [ours / bare for ours, _, bare in turns],
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", default="128,1000,100000", help="numbers of agents")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each")
    parser.add_argument("--one-by-one", action="store_true", help="ask the mock as a server is asked")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    # What a process imports when it is first used is no cost of a decision: a short turn of both goes first.
    compare(32, 1, one_by_one=arguments.one_by_one)
    rows = {
        int(n): compare(int(n), arguments.repeats, one_by_one=arguments.one_by_one)
        for n in arguments.agents.split(",")
    }
    if arguments.json:
        tell({f"{n:,} agents: {name}": values for n, row in rows.items() for name, values in row.items()})
        return
    print("CPU microseconds a decision      agentnet  bare loop   ratio (min-max)    without its networks")
    for n_agents, row in rows.items():
        ours, bare, ratio, given = (statistics.median(values) for values in row.values())
        print(
            f"{n_agents:>9,} agents {ours:>23.2f} {bare:>10.2f}   "
            f"{ratio:.2f} ({min(row['ratio']):.2f}-{max(row['ratio']):.2f})    {given:>15.2f}"
        )


if __name__ == "__main__":
    main()
