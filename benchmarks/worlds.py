"""CPU per decision of worlds with memory and free text, against the same loop written bare, and peers.

Two designs, with the answer ``{"share": ..., "text": ...}`` on the mock backend:

- ``told``: a cascade whose sharers write the news anew; each agent is told how many of those whom it hears
  shared it, and the last texts that it heard.
- ``free``: pairs meet at every turn; each writes and remembers what it heard.

The bare loop is what anybody would write first: asyncio, dicts and lists, the same prompts, schema and mock,
the JSON reply parsed, nothing recorded. Both play in one process, turn by turn; agentnet's seconds hold
everything from the runner to the closed log (Parquet left out). With ``--peer PYTHON``, an interpreter that
has mesa-llm, its agents take turns with its short-term memory in a process of its own, without and with what
they show by default; a ready-made reply stands for litellm and costs nothing (``worlds_mesa.py``). With
``--silisocs PYTHON``, one that has SiliSocS, its agents post by its scripted model (``worlds_silisocs.py``).

    python benchmarks/worlds.py [--repeats 5] [--peer PYTHON] [--silisocs PYTHON] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import networkx as nx
from figures import by_turn, tell
from pydantic import BaseModel, Field

from agentnet.backend import Backend, Request, make_backend
from agentnet.config import BackendSettings, LogSettings, Settings
from agentnet.experiment import Source
from agentnet.news import sample_news
from agentnet.prompts.declared import declared
from agentnet.runner import Runner, create, prepare

N_AGENTS, DEGREE, STEPS, REMEMBERED = 200, 6, 10, 3
SOURCE = f"""
from pydantic import BaseModel, Field
from agentnet import Ask, CascadeExperiment, WorldExperiment

class Post(BaseModel):
    share: bool
    text: str = Field(max_length=200)

class Told(CascadeExperiment):
    items_per_severity, repeats, steps, n_agents, degree = 1, 5, {STEPS}, {N_AGENTS}, {DEGREE}
    answer, decides, passes_on = Post, "share", "text"

    def context(self, exposure):
        return {{"n_engaged": exposure.n_engaged, "n_neighbours": exposure.n_neighbours}}

    def messages(self, prompts, exposure):
        past = " ".join(each.text for each in exposure.heard[-{REMEMBERED}:])
        by = f"{{exposure.n_engaged}} of {{exposure.n_neighbours}}"
        return [("user", f"Shared by {{by}}. You heard before: {{past}}\\nNow: {{exposure.message.text}}")]

class Free(WorldExperiment):
    repeats, n_agents, degree = 10, {N_AGENTS}, {DEGREE}

    def play(self, s):
        heard = [[] for _ in s.agents]
        said = ["news"] * len(s.agents)
        for turn in range({STEPS}):
            order = s.chance.shuffled("pairs", s.agents, turn)
            pairs = [*zip(order[::2], order[1::2]), *zip(order[1::2], order[::2])]
            posts = yield [
                Ask(
                    agent,
                    f"You heard before: {{' '.join(heard[agent][-{REMEMBERED}:])}}\\nNow: {{said[other]}}",
                    answer=Post,
                    source=other,
                    context={{"turn": turn}},
                )
                for agent, other in pairs
            ]
            for (agent, other), post in zip(pairs, posts):
                heard[agent].append(said[other])
            for (agent, other), post in zip(pairs, posts):
                said[agent] = post.text
"""


class Post(BaseModel):
    """What agents answer, as in `SOURCE`."""

    share: bool
    text: str = Field(max_length=200)


class BareLoop:
    """Both designs as bare loops, on one mock."""

    def __init__(self, backend: Backend, seed: int) -> None:
        self.backend, self.rng, self.form = backend, random.Random(seed), declared(Post)
        self.network = nx.random_regular_graph(DEGREE, N_AGENTS, seed=seed)
        self.heard: list[list[str]] = [[] for _ in range(N_AGENTS)]
        self.n_decisions = 0

    async def ask(self, prompt: str) -> dict[str, object]:
        """Ask once."""
        self.n_decisions += 1
        reply = await self.backend.complete(
            Request(
                messages=(("user", prompt),),
                temperature=self.rng.uniform(0.7, 1.3),
                schema=self.form.schema,
                seed=self.rng.getrandbits(63),
                metadata={"kind": "exposure"},
            )
        )
        return dict(json.loads(reply.texts[0]))

    async def told(self, news: str) -> None:
        """Play a cascade."""
        holds: dict[int, str] = {}

        def prompt(agent: int, text: str) -> str:
            past = " ".join(self.heard[agent][-REMEMBERED:])
            n_engaged = sum(each in holds for each in self.network[agent])
            return f"Shared by {n_engaged} of {DEGREE}. You heard before: {past}\nNow: {text}"

        for agent in self.rng.sample(range(N_AGENTS), N_AGENTS):
            answer = await self.ask(prompt(agent, news))
            if answer["share"]:
                holds[agent] = str(answer["text"])
                break
        for _ in range(STEPS):
            pairs = [
                (agent, holds[other])
                for agent in self.network
                if agent not in holds and any(each not in holds for each in self.network[agent])
                for other in self.network[agent]
                if other in holds
            ]
            answers = await asyncio.gather(*(self.ask(prompt(*pair)) for pair in pairs))
            for (agent, text), answer in zip(pairs, answers, strict=True):
                self.heard[agent].append(text)
                if answer["share"]:
                    holds.setdefault(agent, str(answer["text"]))

    async def free(self, _: str) -> None:
        """Play meetings."""
        said = ["news"] * N_AGENTS
        for _turn in range(STEPS):
            order = self.rng.sample(range(N_AGENTS), N_AGENTS)
            pairs = [
                *zip(order[::2], order[1::2], strict=True),
                *zip(order[1::2], order[::2], strict=True),
            ]
            prompts = [
                f"You heard before: {' '.join(self.heard[agent][-REMEMBERED:])}\nNow: {said[other]}"
                for agent, other in pairs
            ]
            posts = await asyncio.gather(
                *(self.ask(f"{each}\n\n{self.form.instruction}") for each in prompts)
            )
            for agent, other in pairs:
                self.heard[agent].append(said[other])
            for (agent, _other), post in zip(pairs, posts, strict=True):
                said[agent] = str(post["text"])


def time_bare(design: str, seed: int) -> float:
    """Measure CPU seconds a decision of the bare loop."""
    items, backend = sample_news().items[:2], make_backend("mock", {})

    async def play() -> int:
        loops = [BareLoop(backend, seed + i) for i in range(10)]
        await asyncio.gather(*(getattr(loop, design)(items[i % 2].text) for i, loop in enumerate(loops)))
        return sum(loop.n_decisions for loop in loops)

    gc.collect()
    begun = time.process_time()
    n_decisions = asyncio.run(play())
    return (time.process_time() - begun) / n_decisions


def time_agentnet(design: str, seed: int) -> float:
    """Measure CPU seconds a decision of agentnet, from the runner to the closed log."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(seed=seed, backend=BackendSettings(), log=LogSettings(parquet=False))
        source = Source(Path("bench.py"), SOURCE, design.capitalize())
        prepared = prepare(source, settings, Path(folder) / "run")
        create(prepared, source, backend="mock", model_name="mock")
        runner = Runner(prepared, make_backend("mock", {}))
        gc.collect()
        begun = time.process_time()
        asyncio.run(runner.play())
        return (time.process_time() - begun) / runner.tally.n_decisions


def time_peer(python: str, script: str, *options: str) -> float:
    """Measure CPU seconds an agent's turn of a peer."""
    command = [python, str(Path(__file__).with_name(script)), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return float(done.stdout.split()[-1])


def compare(design: str, turn: int, peer: str | None, silisocs: str | None) -> dict[str, float]:
    """Time all once, in microseconds, with their ratios."""
    ours, bare = time_agentnet(design, turn), time_bare(design, turn)
    found = {"agentnet us": ours * 1e6, "bare loop us": bare * 1e6, "agentnet / bare loop": ours / bare}
    if peer:
        found["mesa-llm, display off / agentnet"] = time_peer(peer, "worlds_mesa.py") / ours
        found["mesa-llm, as by default / agentnet"] = time_peer(peer, "worlds_mesa.py", "--display") / ours
    if silisocs:
        found["SiliSocS / agentnet"] = time_peer(silisocs, "worlds_silisocs.py") / ours
    return {f"{design}: {name}": value for name, value in found.items()}


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns of each")
    parser.add_argument("--peer", help="a Python that has mesa-llm; none: it is left out")
    parser.add_argument("--silisocs", help="a Python that has SiliSocS; none: it is left out")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    figures = by_turn(
        compare("told", turn, given.peer, given.silisocs) | compare("free", turn, given.peer, given.silisocs)
        for turn in range(given.repeats)
    )
    if given.json:
        tell(figures)
        return
    for name, values in figures.items():
        print(f"{name:<45} {statistics.median(values):.4g} ({min(values):.4g}-{max(values):.4g})")


if __name__ == "__main__":
    main()
