"""Whether the laws' 95% intervals hold what they promise, where the truth is known.

Each replicate is a run of the paper's design (10 news items, 5 of them severe, 5 repeats each; 128 agents on
5-regular networks, 15 steps, asking rule ``unengaged_neighbour``), played by a law that is known:

- Table 1's main effects: how often the interval of each weight covers it, with plain standard errors,
  clustered by realization (CR1, 50 clusters) and by news item (10 clusters, too few: shown for that);
- two groups that say yes with probability 0.0533 and 0.8154: how often the bootstrap over realizations covers
  the transmission rate that the same law has at 10^5 realizations.

Decisions of these runs are independent given the law, so a plain error is right for the weights. A second
truth adds to each news item's log-odds a normal effect (standard deviation 0.5): then decisions of one item
go together, and the plain error is too small for the population's weights. These are taken from a fit to
10^5 realizations with 2,000 items.

The cascades are simulated (`agentnet.analysis.simulate`), not played by the engine: both play the same law.
Beside each share stands its own 95% interval (Wilson), for the number of replicates is finite.

    python benchmarks/recovery.py [--replicates 400] [--bootstraps 200] [--truths 100000] [--json]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from figures import tell
from numpy.typing import NDArray
from scipy import stats

from agentnet.analysis.fitting import CurveFit
from agentnet.analysis.inference import clustered
from agentnet.analysis.laws.mean_field import MeanFieldLaw, fit_mean_field
from agentnet.analysis.logistic import LogisticFit, fit_main_effects, probability
from agentnet.analysis.simulation import InferredCascades, simulate
from agentnet.analysis.tables import Cells

Array = NDArray[np.float64]

TRAITS = np.array([[number >> (4 - trait) & 1 for trait in range(5)] for number in range(32)])
TRAIT_NAMES = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
# Table 1 of Tian et al. 2026, the traits in the order of their names above.
INTERCEPT, TRAIT_WEIGHTS, SEVERITY_WEIGHT = -3.072, (7.625, -0.188, 2.497, 1.626, -0.970), -1.224
GROUPS = np.where(np.arange(32) < 8, 0, 1)
RATES = np.array([0.0533, 0.8154])
SHARE = (0.25, 0.75)
N_ITEMS, N_REPEATS = 10, 5
LEVEL = 0.95
ITEM_SD = 0.5


@dataclass(frozen=True)
class Coverage:
    """How often an interval covered the truth.

    Attributes:
        what: The parameter.
        interval: How the interval was made.
        truth: The true value.
        covered: Replicates whose interval covers it.
        replicates: Replicates with an interval.
        without: Replicates without one (separated).
    """

    what: str
    interval: str
    truth: float
    covered: int
    replicates: int
    without: int

    @property
    def share(self) -> float:
        """Share of intervals that cover the truth."""
        return self.covered / self.replicates if self.replicates else float("nan")

    @property
    def between(self) -> tuple[float, float]:
        """95% interval of the share (Wilson 1927)."""
        found = stats.binomtest(self.covered, self.replicates).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)


def log_odds() -> Array:
    """Table 1's log-odds, shape ``(32, 2)``."""
    main = INTERCEPT + TRAITS @ np.array(TRAIT_WEIGHTS)
    return np.stack((main, main + SEVERITY_WEIGHT), axis=1)


def played(seed: int, n_items: int, n_repeats: int, item_sd: float) -> tuple[Cells, Cells]:
    """Play a run by Table 1's law; give its cells by realization and by news item."""
    severity = np.repeat(np.arange(n_items) % 2, n_repeats)
    if item_sd == 0:
        runs = simulate(
            probability(log_odds()), seed=seed, n_runs=severity.size, severity=severity, decisions=True
        )
        by_run = _answers(runs, severity)
    else:
        effects = np.random.default_rng([seed, 1]).normal(0.0, item_sd, n_items)
        parts = [
            _answers(
                simulate(
                    probability(log_odds()[:, item % 2] + effect),
                    seed=seed * n_items + item,
                    n_runs=n_repeats,
                    decisions=True,
                ),
                np.full(n_repeats, item % 2),
            )
            for item, effect in enumerate(effects)
        ]
        by_run = np.concatenate(parts, axis=1)
    by_item = by_run.reshape(2, n_items, n_repeats, 32, 2).sum(axis=2)
    return Cells.from_clusters(*by_run), Cells.from_clusters(*by_item)


def _answers(runs: InferredCascades, severity: NDArray[np.int64]) -> NDArray[np.int64]:
    """Answers yes and no of each run, shape ``(2, n_runs, 32, 2)``."""
    assert runs.n_yes is not None
    assert runs.n_no is not None
    found = np.zeros((2, severity.size, 32, 2), dtype=np.int64)
    for answer, counts in enumerate((runs.n_yes, runs.n_no)):
        found[answer, np.arange(severity.size), :, severity] = counts
    return found


def fits_of(seed: int, item_sd: float) -> Iterator[tuple[str, LogisticFit]]:
    """Fit the main effects to a run, with three kinds of errors."""
    by_run, by_item = played(seed, N_ITEMS, N_REPEATS, item_sd)
    fit = fit_main_effects(by_run)
    yield "plain", fit
    yield "clustered by realization", clustered(fit, by_run)
    yield "clustered by news item", clustered(fit, by_item, by="news item")


def logistic_coverage(replicates: int, truth: dict[str, float], item_sd: float) -> list[Coverage]:
    """Count how often the main effects' intervals cover `truth`."""
    # As in `fit_run`: Student's t with one degree of freedom less than clusters.
    quantile = {
        "plain": stats.norm.ppf((1 + LEVEL) / 2),
        "clustered by realization": stats.t.ppf((1 + LEVEL) / 2, N_ITEMS * N_REPEATS - 1),
        "clustered by news item": stats.t.ppf((1 + LEVEL) / 2, N_ITEMS - 1),
    }
    inside: dict[tuple[str, str], list[bool | None]] = {}
    for seed in range(replicates):
        for errors, fit in fits_of(seed, item_sd):
            for name, weight, error in zip(fit.names, fit.weights, fit.standard_errors, strict=True):
                told = (
                    bool(abs(weight - truth[name]) <= quantile[errors] * error)
                    if np.isfinite(error)
                    else None
                )
                inside.setdefault((name, errors), []).append(told)
        _progress("main effects", seed + 1, replicates)
    return [
        Coverage(
            name, errors, truth[name], tells.count(True), len(tells) - tells.count(None), tells.count(None)
        )
        for (name, errors), tells in inside.items()
    ]


def true_weights(fit: LogisticFit) -> dict[str, float]:
    """Table 1's weights by the names that a fit gives them."""
    named = dict(zip(TRAIT_NAMES, TRAIT_WEIGHTS, strict=True))
    named |= {"intercept": INTERCEPT, "severity": SEVERITY_WEIGHT}
    return {name: named[name] for name in fit.names}


def rate_coverage(replicates: int, bootstraps: int, truths: int) -> list[Coverage]:
    """Count how often the bootstrap covers the transmission rates of the two-group law."""

    def fitted(seed: int, n_runs: int, n_bootstrap: int) -> CurveFit[MeanFieldLaw]:
        runs = simulate(RATES[GROUPS], seed=seed, n_runs=n_runs, groups=GROUPS)
        first = runs.engaged[:, :, 0].sum(axis=0)
        return fit_mean_field(
            runs.engaged_fraction,
            degree=5,
            group_share=SHARE,
            initial_share=first / first.sum(),
            n_bootstrap=n_bootstrap,
            seed=seed,
        )

    truth = fitted(10**6, truths, 0).law.tau
    covered = [0, 0]
    for seed in range(replicates):
        intervals = fitted(seed, N_ITEMS * N_REPEATS, bootstraps).intervals
        assert intervals is not None
        for group, (low, high) in enumerate(intervals):
            covered[group] += low <= truth[group] <= high
        _progress("transmission rates", seed + 1, replicates)
    return [
        Coverage(
            f"tau_{group + 1}", f"bootstrap over realizations, {bootstraps}", truth[group], n, replicates, 0
        )
        for group, n in enumerate(covered)
    ]


def _progress(what: str, done: int, of: int) -> None:
    if sys.stderr.isatty() and done % 10 == 0:
        print(f"\r{what}: {done} of {of}", end="\n" if done == of else "", file=sys.stderr)


def main() -> None:
    """Read the arguments, play, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--bootstraps", type=int, default=200)
    parser.add_argument("--truths", type=int, default=100_000, help="realizations that a truth is taken from")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    first = next(fits_of(0, 0.0))[1]
    found = {"Table 1's law": logistic_coverage(given.replicates, true_weights(first), 0.0)}
    n_items = 2_000
    many = fit_main_effects(played(10**6, n_items, given.truths // n_items, ITEM_SD)[0])
    population = {name: float(weight) for name, weight in zip(many.names, many.weights, strict=True)}
    found["Table 1's law with effects of news items"] = logistic_coverage(
        given.replicates, population, ITEM_SD
    )
    found["two groups"] = rate_coverage(given.replicates, given.bootstraps, given.truths)
    if given.json:
        shares = {
            f"{of}, {each.what}, {each.interval}: covered": [each.share]
            for of, coverages in found.items()
            for each in coverages
        }
        tell(shares)
        return
    for of, coverages in found.items():
        print(f"\n{of}: intervals of level {LEVEL}, {given.replicates} replicates")
        for each in coverages:
            low, high = each.between
            print(
                f"{each.what:18} {each.interval:36} truth {each.truth:8.4f}  covered {each.share:.3f} "
                f"({low:.3f} to {high:.3f})" + (f"  without interval: {each.without}" if each.without else "")
            )


if __name__ == "__main__":
    main()
