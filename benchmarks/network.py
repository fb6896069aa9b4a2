"""How long a random 5-regular network takes: here, in networkx, in igraph.

Run from the repository's root:

    python benchmarks/network.py            # about a minute
    python benchmarks/network.py --all      # also what takes half a minute per network
    python benchmarks/network.py --json

Each time is the median over several networks, of other seeds each. All networks are simple, but they do not
follow one law: `rejection` and `configuration_simple` are exactly uniform, the others nearly so at best.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import igraph
import networkx as nx
import numpy as np

from agentnet.network import random_regular

DEGREE = 5
REPEATS = {128: 51, 1_000: 21, 100_000: 5, 1_000_000: 3}
Draw = Callable[[int, int], object]


def _ours(n_agents: int, seed: int) -> object:
    return random_regular(n_agents, DEGREE, seed=seed)


def _ours_exact(n_agents: int, seed: int) -> object:
    return random_regular(n_agents, DEGREE, seed=seed, method="rejection")


def _networkx(n_agents: int, seed: int) -> object:
    return nx.random_regular_graph(DEGREE, n_agents, seed=seed)


def _igraph_k_regular(n_agents: int, seed: int) -> object:
    igraph.set_random_number_generator(random.Random(seed))
    return igraph.Graph.K_Regular(n_agents, DEGREE)


def _igraph_sequence(method: str) -> Draw:
    def draw(n_agents: int, seed: int) -> object:
        igraph.set_random_number_generator(random.Random(seed))
        return igraph.Graph.Degree_Sequence([DEGREE] * n_agents, method=method)

    return draw


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to draw a random regular network.

    Attributes:
        name: As printed.
        draw: From the number of agents and a seed to a network.
        most: Numbers of agents above this are left out,
        most_of_all: and with ``--all`` above this.
    """

    name: str
    draw: Draw
    most: int
    most_of_all: int


OURS = "agentnet"
CONTESTANTS = (
    Contestant(OURS, _ours, 1_000_000, 1_000_000),
    Contestant("igraph K_Regular", _igraph_k_regular, 1_000_000, 1_000_000),
    Contestant("networkx", _networkx, 100_000, 1_000_000),
    Contestant("igraph vl", _igraph_sequence("vl"), 100_000, 1_000_000),
    Contestant("agentnet rejection", _ours_exact, 1_000, 1_000),
    Contestant("igraph configuration_simple", _igraph_sequence("configuration_simple"), 1_000, 1_000),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """The median time of one contestant, and how many times that of ours it is."""

    n_agents: int
    name: str
    repeats: int
    median_s: float
    ratio: float


def median_time_s(draw: Draw, n_agents: int, repeats: int) -> float:
    """Time `repeats` networks, after one that only warms up."""
    if n_agents < 1_000_000:
        draw(n_agents, repeats)
    times = []
    for seed in range(repeats):
        start = time.perf_counter()
        draw(n_agents, seed)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(*, everything: bool) -> Iterator[Timing]:
    """Time every contestant at every number of agents; ours comes first at each."""
    for n_agents, repeats in REPEATS.items():
        ours_s = 0.0
        for contestant in CONTESTANTS:
            if n_agents > (contestant.most_of_all if everything else contestant.most):
                continue
            median_s = median_time_s(contestant.draw, n_agents, repeats)
            ours_s = median_s if contestant.name == OURS else ours_s
            yield Timing(n_agents, contestant.name, repeats, median_s, median_s / ours_s)


def main() -> None:
    """Print the timings as a table, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--all", action="store_true", help="also what takes half a minute for one network")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    timings = measure(everything=arguments.all)
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "networkx": nx.__version__,
        "igraph": igraph.__version__,
    }
    if arguments.json:
        print(json.dumps({"versions": versions, "timings": [asdict(timing) for timing in timings]}, indent=2))
        return
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{'agents':>9}  {'':<28}{'median, ms':>12}{'times ours':>12}")
    for timing in timings:
        print(f"{timing.n_agents:>9,}  {timing.name:<28}{1e3 * timing.median_s:>12.3f}{timing.ratio:>12.2f}")


if __name__ == "__main__":
    main()
