"""CPU time of the numerical laws against the libraries one would otherwise take, turn by turn in one process.

- inferred cascades (T = 15, k = 5, rule ``always``, two groups) against EoN's `fast_nonMarkov_SIR` with
  geometric delays, with networks drawn by networkx and, in EoN's favour, with its networks given;
- mean-field curves and the two-rate fit against `solve_ivp` and `least_squares` of scipy;
- logistic main effects from rows against scikit-learn and statsmodels;
- what has no peer here: the bootstrap of a fit, 10^7 rows, a million agents (what a call takes once, such
  as reading a given network, is all in the time of one cascade, a fifth of it in that of one of five).

Seconds are CPU seconds of the process, medians over turns; ratios are medians of each turn's ratio. A peer
that is not installed is named on standard error, and agentnet is timed alone.

    python benchmarks/analysis.py [--repeats 5] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import gc
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import networkx as nx
import numpy as np
from figures import tell
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.cells import count_cells
from agentnet.analysis.laws.cavity import CavityLaw, fit_cavity
from agentnet.analysis.laws.mean_field import MeanFieldLaw, fit_mean_field
from agentnet.analysis.logistic import fit_full, fit_main_effects
from agentnet.analysis.pairing import Table, regular_tables
from agentnet.analysis.simulation import InferredCascades, simulate
from agentnet.network import Network, random_regular

Task = Callable[[int], object]
"""One turn's work; takes the turn's number as a seed."""
Peers = dict[str, ModuleType]
Array = NDArray[np.float64]
Bytes = NDArray[np.uint8]

DEGREE, STEPS = 5, 15
LAW = np.where(np.arange(32) < 8, 0.0533, 0.8154)
SHARE = (0.25, 0.75)
PEERS = {"EoN": "EoN", "sklearn": "scikit-learn", "statsmodels": "statsmodels"}


@dataclass(frozen=True)
class Case:
    """Something to time.

    Attributes:
        what: What is timed.
        ours: agentnet's way.
        peer: The other way's name.
        theirs: The other way; None without one.
        per: How many pieces of work a turn does.
    """

    what: str
    ours: Task
    peer: str = ""
    theirs: Task | None = None
    per: int = 1


@dataclass(frozen=True)
class Line:
    """One line of the table: CPU milliseconds of a piece of work in each turn, agentnet's and the peer's."""

    what: str
    agentnet_ms: list[float]
    peer: str
    peer_ms: list[float]

    @property
    def ratios(self) -> list[float]:
        """The peer's time over agentnet's, turn by turn; none without a peer."""
        return [theirs / ours for ours, theirs in zip(self.agentnet_ms, self.peer_ms, strict=bool(self.peer))]


def seconds(task: Task, turn: int) -> float:
    """Measure one turn's CPU seconds."""
    gc.collect()
    begun = time.process_time()
    task(turn)
    return time.process_time() - begun


def measure(case: Case, repeats: int) -> Line:
    """Time both ways in turn, after one turn to warm up."""
    tasks = [case.ours] if case.theirs is None else [case.ours, case.theirs]
    turns = [[seconds(task, turn) for task in tasks] for turn in range(repeats + 1)][1:]
    mine, *others = ([each * 1e3 / case.per for each in way] for way in zip(*turns, strict=True))
    return Line(case.what, mine, case.peer, *(others or [[]]))


def optional(names: dict[str, str]) -> Peers:
    """Import the peers that are installed; say loudly which are not."""
    found = {}
    for module, distribution in names.items():
        try:
            found[module] = importlib.import_module(module)
        except ImportError as error:
            print(
                f"MISSING PEER: {distribution} cannot be imported ({error}); its comparisons are left out. "
                f"To have them: pip install {distribution}",
                file=sys.stderr,
            )
    return found


def eon_runs(eon: ModuleType, graphs: list[nx.Graph], seed: int) -> list[float]:
    """Play one cascade on each graph with EoN; return the final engaged fractions."""
    rng = np.random.default_rng(seed)
    finals = []
    for graph in graphs:
        n_agents = len(graph)
        chance = rng.permutation(np.resize(LAW, n_agents))
        initial = next(int(a) for a in rng.permutation(n_agents) if rng.random() < chance[a])

        def delay(_: int, target: int, chance: Array = chance) -> float:
            return float(rng.geometric(chance[target]))

        _, _, engaged, _ = eon.fast_nonMarkov_SIR(
            graph, delay, lambda _: float("inf"), initial_infecteds=initial, tmax=STEPS + 0.5
        )
        finals.append(engaged[-1] / n_agents)
    return finals


def graphs_of(n_graphs: int, n_agents: int, seed: int) -> list[nx.Graph]:
    """Draw networkx's random regular networks."""
    return [nx.random_regular_graph(DEGREE, n_agents, seed=seed * 10_000 + i) for i in range(n_graphs)]


def ours(n_runs: int, n_agents: int, seed: int) -> InferredCascades:
    """Play cascades on fresh networks."""
    return simulate(
        LAW, seed=seed, n_runs=n_runs, n_agents=n_agents, degree=DEGREE, n_steps=STEPS, rule="always"
    )


def on(network: Network, n_runs: int, seed: int) -> InferredCascades:
    """Play cascades on a network whose agents' classes are known, as those of a recorded run are."""
    classes = np.arange(network.n_agents) % LAW.size
    return simulate(
        LAW, seed=seed, n_runs=n_runs, network=network, classes=classes, n_steps=STEPS, rule="always"
    )


def networks(n_networks: int, n_agents: int, seed: int) -> Table:
    """Draw the networks alone."""
    return regular_tables(np.random.Generator(np.random.SFC64(seed)), n_networks, n_agents, DEGREE)


def check_same_law(eon: ModuleType) -> None:
    """Refuse to compare simulators that do not agree on the result."""
    theirs = np.array(eon_runs(eon, graphs_of(150, 128, 1), 1))
    mine = ours(2000, 128, 1).engaged_fraction[:, -1]
    error = (theirs.var() / theirs.size + mine.var() / mine.size) ** 0.5
    if abs(theirs.mean() - mine.mean()) > 5 * error:
        raise SystemExit(f"the simulators disagree: EoN {theirs.mean():.4f}, agentnet {mine.mean():.4f}")


def cascade_cases(peers: Peers, *, quick: bool) -> Iterator[Case]:
    """List inferred cascades."""
    n_large = 2_000 if quick else 20_000

    def small(seed: int) -> object:
        return ours(100, 128, seed)

    def large(seed: int) -> object:
        return ours(1, n_large, seed)

    what, what_large = "cascade, 128 agents, with its network", f"cascade, {n_large:,} agents"
    if "EoN" in peers:
        eon = peers["EoN"]
        check_same_law(eon)
        given, given_large = graphs_of(100, 128, 7), graphs_of(1, n_large, 7)
        yield Case(what, small, "EoN + networkx", lambda s: eon_runs(eon, graphs_of(100, 128, s), s), per=100)
        yield Case(what, small, "EoN, networks given", lambda s: eon_runs(eon, given, s), per=100)
        yield Case(what_large, large, "EoN, network given", lambda s: eon_runs(eon, given_large, s))
    else:
        yield Case(what, small, per=100)
        yield Case(what_large, large)
    yield Case("  of that the network, 128 agents", lambda s: networks(100, 128, s), per=100)
    if not quick:
        yield Case("cascade, 10^6 agents, with its network", lambda s: ours(1, 10**6, s))
        yield Case("  of that the network", lambda s: networks(1, 10**6, s))
        known = random_regular(10**6, DEGREE, seed=7)
        given_ones = "cascade, 10^6 agents, network given"
        yield Case(f"{given_ones}, its reading included", lambda s: on(known, 1, s))
        yield Case(f"{given_ones}, one of five in a call", lambda s: on(known, 5, s), per=5)


def curve_cases() -> Iterator[Case]:
    """List mean-field and cavity laws."""
    from scipy.integrate import solve_ivp
    from scipy.optimize import least_squares

    steps = np.arange(STEPS + 1.0)
    start = np.array([0.25, 0.75 - 1 / 128])
    curves = ours(50, 128, 1).engaged_fraction
    mean = curves.mean(axis=0)

    def solved(tau: ArrayLike) -> Array:
        def change(_: float, u: Array) -> Array:
            return -DEGREE * np.asarray(tau) * u * (1 - u.sum())

        path = solve_ivp(change, (0, STEPS), start, t_eval=steps, rtol=1e-8, atol=1e-10)
        return np.asarray(1 - path.y.sum(axis=0))

    def fitted(seed: int, n_bootstrap: int) -> object:
        options = {"degree": DEGREE, "group_share": SHARE, "initial_share": (0, 1)}
        return fit_mean_field(curves, **options, n_bootstrap=n_bootstrap, seed=seed)

    law = MeanFieldLaw((0.0473, 0.318), SHARE, (0.0, 1 / 128), (DEGREE,))
    cavity = CavityLaw((0.0533, 0.8154), SHARE, (0.0, 1 / 128), DEGREE)
    yield Case(
        "two-rate curve",
        lambda _: [law.engaged_fraction(steps) for _ in range(20)],
        "solve_ivp at 1e-8",
        lambda _: [solved(law.tau) for _ in range(20)],
        per=20,
    )
    yield Case(
        "two-rate fit from a grid of starts",
        lambda s: fitted(s, 0),
        "least_squares + solve_ivp, one start",
        lambda _: least_squares(lambda tau: solved(tau) - mean, [0.1, 0.3], bounds=(0, 20)),
    )
    yield Case("two-rate fit with 200 bootstraps", lambda s: fitted(s, 200))
    yield Case("cavity curve", lambda _: [cavity.engaged_fraction(STEPS) for _ in range(20)], per=20)
    yield Case(
        "cavity fit with 200 bootstraps",
        lambda s: fit_cavity(curves, degree=DEGREE, group_share=SHARE, n_bootstrap=200, seed=s),
    )


def rows(n_rows: int) -> tuple[Bytes, Bytes, Bytes]:
    """Draw profile, severity and decision by the paper's Table 1."""
    rng = np.random.default_rng(0)
    profile = rng.integers(0, 32, n_rows).astype(np.uint8)
    severity = rng.integers(0, 2, n_rows).astype(np.uint8)
    weights = np.array([7.625, -0.188, 2.497, 1.626, -0.970, -1.224])
    by_cell = -3.072 + design_of(np.repeat(np.arange(32), 2), np.tile([0, 1], 32)) @ weights
    chance = 1 / (1 + np.exp(-by_cell[2 * profile + severity]))
    return profile, severity, (rng.random(n_rows) < chance).astype(np.uint8)


def design_of(profile: NDArray[np.integer], severity: NDArray[np.integer]) -> Array:
    """Lay traits and severity out as columns."""
    return np.column_stack([profile[:, None] >> np.arange(4, -1, -1) & 1, severity]).astype(float)


def logistic_cases(peers: Peers, *, quick: bool) -> Iterator[Case]:
    """List logistic laws."""
    n_rows = 100_000
    data = rows(n_rows)
    design, decision = design_of(*data[:2]), data[2]
    what = f"main effects, {n_rows:,} rows"

    def from_rows(_: int) -> object:
        return fit_main_effects(count_cells(*data))

    if "sklearn" in peers:
        from sklearn.linear_model import LogisticRegression

        yield Case(
            what,
            from_rows,
            "scikit-learn, no penalty",
            lambda _: LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(design, decision),
        )
    if "statsmodels" in peers:
        import statsmodels.api as sm

        full, binomial = sm.add_constant(design), sm.families.Binomial()
        yield Case(
            what, from_rows, "statsmodels GLM", lambda _: sm.GLM(decision, full, family=binomial).fit()
        )
    if not {"sklearn", "statsmodels"} & set(peers):
        yield Case(what, from_rows)
    cells = count_cells(*data)
    yield Case("full law from cells", lambda _: fit_full(cells))
    yield Case("full law from cells, by Firth", lambda _: fit_full(cells, method="firth"))
    if not quick:
        many = rows(10**7)
        yield Case("main effects, 10^7 rows", lambda _: fit_main_effects(count_cells(*many)))
        yield Case("  of that counting", lambda _: count_cells(*many))


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns of each line")
    parser.add_argument("--quick", action="store_true", help="leave out what takes long")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    peers, quick = optional(PEERS), arguments.quick
    cases = [*cascade_cases(peers, quick=quick), *curve_cases(), *logistic_cases(peers, quick=quick)]
    lines = [measure(case, arguments.repeats) for case in cases]
    if arguments.json:
        ours = {f"{line.what.strip()}: agentnet ms": line.agentnet_ms for line in lines}
        tell(ours | {f"{line.what}: {line.peer} / agentnet": line.ratios for line in lines if line.peer})
        return
    print(f"{'CPU milliseconds':<40} {'agentnet':>10} {'peer':>10} {'ratio':>8}")
    for line in lines:
        text = f"{line.what:<40} {statistics.median(line.agentnet_ms):>10.3f}"
        if line.peer:
            peer_ms, ratio = statistics.median(line.peer_ms), statistics.median(line.ratios)
            text += f" {peer_ms:>10.3f} {ratio:>8.1f}  {line.peer}"
        print(text)


if __name__ == "__main__":
    main()
