"""How much CPU time a random 5-regular network takes: here, in networkx, in igraph.

Run from the repository's root:

    python benchmarks/network.py            # about a minute
    python benchmarks/network.py --all      # also what takes half a minute per network
    python benchmarks/network.py --json

Contestants take turns, network by network; times and ratios are medians over them. All networks are simple,
but they do not follow one law: `rejection` and `configuration_simple` are exactly uniform, the others nearly
so at best.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import igraph
import networkx as nx
import numpy as np
from figures import tell

from agentnet.network import random_regular

DEGREE = 5
REPEATS = {128: 51, 1_000: 21, 100_000: 5, 1_000_000: 5}
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
    """The times of one contestant, network by network, and how many times ours they are."""

    n_agents: int
    name: str
    times_s: list[float]
    ratios: list[float]


def time_s(draw: Draw, n_agents: int, seed: int) -> float:
    """Time one network, in CPU seconds."""
    start = time.process_time()
    draw(n_agents, seed)
    return time.process_time() - start


def measure(repeats_of: dict[int, int], *, everything: bool) -> Iterator[Timing]:
    """Time every contestant at every number of agents, in turn, one turn to warm up; ours comes first."""
    for n_agents, repeats in repeats_of.items():
        those = [each for each in CONTESTANTS if n_agents <= (each.most_of_all if everything else each.most)]
        turns = [[time_s(each.draw, n_agents, seed) for each in those] for seed in range(repeats + 1)][1:]
        ours, *_ = times = list(zip(*turns, strict=True))
        for each, theirs in zip(those, times, strict=True):
            ratios = [their_s / our_s for their_s, our_s in zip(theirs, ours, strict=True)]
            yield Timing(n_agents, each.name, list(theirs), ratios)


def main() -> None:
    """Print the timings as a table, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--all", action="store_true", help="also what takes half a minute for one network")
    parser.add_argument("--quick", action="store_true", help="three small networks of each: does it work?")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    repeats = {128: 3, 1_000: 3} if arguments.quick else REPEATS
    found = list(measure(repeats, everything=arguments.all))
    ratios = {f"{each.n_agents:,} agents: {each.name} / {OURS}": each.ratios for each in found}
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "networkx": nx.__version__,
        "igraph": igraph.__version__,
    }
    if arguments.json:
        tell({f"{each.n_agents:,} agents: {each.name}, CPU s": each.times_s for each in found} | ratios)
        return
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{'agents':>9}  {'':<28}{'median, ms':>12}{'times ours':>12}")
    for each in found:
        median_ms, ratio = 1e3 * statistics.median(each.times_s), statistics.median(each.ratios)
        print(f"{each.n_agents:>9,}  {each.name:<28}{median_ms:>12.3f}{ratio:>12.2f}")


if __name__ == "__main__":
    main()
