"""The simulator of cascades against EoN, a simulator that others wrote, on the case that both can play."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray

from agentnet.analysis.simulation import simulate

N_AGENTS, DEGREE, N_STEPS, N_RUNS = 64, 3, 12, 600
LAW = np.where(np.arange(32) < 8, 0.1, 0.6)


@pytest.fixture(scope="module")
def eon() -> Any:
    with warnings.catch_warnings():
        # It imports a name from where SciPy will not have it for ever.
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip(
            "EoN", reason="EoN is not installed: the simulator is NOT tested against it"
        )


def curves_of(eon: Any) -> Iterator[NDArray[Any]]:
    """Play SI cascades in which a neighbour is won over after a geometric number of steps."""
    rng = np.random.default_rng(5)
    for seed in range(N_RUNS):
        graph = nx.random_regular_graph(DEGREE, N_AGENTS, seed=seed)
        chance = rng.permutation(np.resize(LAW, N_AGENTS))
        times, _, engaged, _ = eon.fast_nonMarkov_SIR(
            graph,
            lambda _, target, chance=chance: float(rng.geometric(chance[target])),
            lambda _: float("inf"),
            initial_infecteds=int(rng.integers(N_AGENTS)),
            tmax=N_STEPS + 0.5,
        )
        last = np.searchsorted(times, np.arange(N_STEPS + 1) + 0.25, side="right") - 1
        yield np.asarray(engaged)[last] / N_AGENTS


def test_cascades_spread_as_fast_and_as_far_as_those_of_eon(eon: Any) -> None:
    theirs = np.array(list(curves_of(eon)))
    ours = simulate(
        LAW,
        seed=2,
        n_runs=4 * N_RUNS,
        n_agents=N_AGENTS,
        degree=DEGREE,
        n_steps=N_STEPS,
        rule="always",
        seeding="uniform",
    ).engaged_fraction
    assert (theirs[:, 0] == ours[0, 0]).all()
    error = np.sqrt(theirs.var(axis=0) / len(theirs) + ours.var(axis=0) / len(ours))
    z = (theirs.mean(axis=0) - ours.mean(axis=0))[1:] / error[1:]
    assert np.abs(z).max() < 4
    spread = theirs[:, 1:].std(axis=0) / ours[:, 1:].std(axis=0)
    assert spread == pytest.approx(1, abs=0.15)
