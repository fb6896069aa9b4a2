"""The logistic laws of single decisions: by profile, by trait, by group of profiles; each with severity.

They are laws of decisions whose likelihood has one top, found exactly even where it lies at infinity
(`agentnet.analysis.logistic`). Intervals use Student's t with the degrees of freedom of the clusters that
inform each weight (`agentnet.analysis.inference`): where all do, their number less one.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.cells import Cells
from agentnet.analysis.inference import clustered
from agentnet.analysis.laws.contract import (
    CHANCES,
    OF_GROUPS,
    OF_POPULATION,
    OF_SEVERITIES,
    Distances,
    Parameter,
    Sight,
    distances,
)
from agentnet.analysis.laws.decision import DecisionLaw
from agentnet.analysis.logistic import LogisticFit, Method, fit_full, fit_groups, fit_main_effects
from agentnet.analysis.tables import NO_PROFILES, Clusters
from agentnet.errors import DesignError, InputError, InternalError
from agentnet.vocabulary import N_PROFILES

Array = NDArray[np.float64]


class LogisticLaw(DecisionLaw):
    """A law of decisions on (profile, severity) cells, whose exact fitter knows separation."""

    freedom_in_words = "the degrees of freedom of the realizations that inform each weight"

    def check(self) -> None:
        """Refuse a run whose agents have no profiles, besides what any law refuses."""
        if not self.tables.profiled:
            raise DesignError(NO_PROFILES.format("a law of profiles has nothing to tell apart"))
        super().check()

    @abstractmethod
    def fit_cells(self, cells: Cells, method: Method = "maximum likelihood") -> LogisticFit:
        """Fit it to cells.

        Raises:
            InputError: The decisions do not determine it.
        """

    @property
    def rows(self) -> NDArray[np.int64]:
        """A profile that stands for each weight beside that of severity."""
        return np.arange(N_PROFILES)

    @property
    def reads(self) -> tuple[str, ...]:
        """No column but the cell's own."""
        return ()

    def fit_filled(self, missing_yes: ArrayLike | None = None) -> LogisticFit:
        """Fit it to the run's cells; missing answers may be given by cell."""
        return self.fit_cells(self.tables.cells(missing_yes=missing_yes))

    def chance(self, fit: LogisticFit) -> Array:
        """Give every cell a chance to say yes, shape ``(32, 2)``."""
        return told_probability(fit)

    def played(self, fit: LogisticFit) -> Array:
        """Play it by its cells."""
        return told_probability(fit)

    def warnings(self, fit: LogisticFit) -> Iterator[str]:
        """Say which profiles were never asked."""
        untold = np.flatnonzero(np.isnan(fit.transmission_probability).all(axis=1))
        if untold.size:
            names = ", ".join(f"{profile:05b}" for profile in untold.tolist())
            yield f"never asked, so played with the share of yes among all decisions: {names}"
        yield from super().warnings(fit)

    def clustered(self, fit: LogisticFit, by: Clusters) -> LogisticFit | None:
        """Compute clustered errors; None where there are fewer than two clusters at all."""
        cells = self.tables.cells(by)
        return clustered(fit, cells, by) if cells.n_clusters > 1 else None

    def penalized(self, fit: LogisticFit) -> tuple[LogisticFit | None, list[str]]:
        """Fit by Firth's method, if the fit is separated; and say where that fails."""
        if np.isfinite(fit.weights[fit.data.columns]).all():
            return None, []
        try:
            return self.fit_cells(self.tables.cells(), "firth"), []
        except (InputError, InternalError) as error:
            return None, [f"Firth's method gives no estimates here: {error}"]

    def worst_for(self, fit: LogisticFit, index: int) -> tuple[ArrayLike, ArrayLike]:
        """Let missing answers be yes only where a weight counts, and only elsewhere."""
        return fit.counts_in[index], ~fit.counts_in[index]


class FullLogistic(LogisticLaw):
    """A weight for each profile (Tian et al. 2026, equation 1)."""

    title = "full logistic"
    called = "full logistic law"
    figures: ClassVar[Mapping[str, Sight]] = {
        "figure07_engagement_probability": CHANCES,
        "figure08_population_full_logistic": OF_POPULATION,
        "figure09_severity_full_logistic": OF_SEVERITIES,
    }
    rank = 1
    published: ClassVar[Distances] = distances((0.0414, None), (0.0367, None), (0.0641, None))

    def fit_cells(self, cells: Cells, method: Method = "maximum likelihood") -> LogisticFit:
        """Fit it to cells."""
        return fit_full(cells, method=method)


class MainEffects(LogisticLaw):
    """An intercept, and a weight for each trait (Tian et al. 2026, table 1)."""

    title = "main-effects logistic"
    rank = 2
    table = 1

    def finding(self, parameters: Sequence[Parameter], growth_rate: Parameter | None) -> Iterator[str]:  # noqa: ARG002
        """Say what weighs most, and what severity weighs."""
        weights = [each for each in parameters if each.name != "intercept" and math.isfinite(each.estimate)]
        endless = [each.name for each in parameters if each.name != "intercept" and math.isinf(each.estimate)]
        if endless:
            of = ", ".join(endless)
            yield f"In the {self.heading} law decisions are separated by {of}: no finite weight fits best"
        strongest = max(weights, key=lambda each: abs(each.estimate), default=None)
        if strongest is not None:
            largest = f"largest{' finite' if endless else ''} weight is that of {strongest.name}"
            yield f"In the {self.heading} law the {largest}, {strongest.in_words()}"
        others = [each for each in weights if each is not strongest and each.name == "severity"]
        yield from (f"The weight of severity is {each.in_words()}" for each in others)

    def fit_cells(self, cells: Cells, method: Method = "maximum likelihood") -> LogisticFit:
        """Fit it to cells."""
        return fit_main_effects(cells, method=method)


class GroupLogistic(LogisticLaw):
    """A weight for each group of profiles (Tian et al. 2026, appendix A)."""

    title = "{n_groups}-group logistic"
    called = "group logistic law"
    figures: ClassVar[Mapping[str, Sight]] = {
        "figure13_group_probability": CHANCES,
        "figure14_population_group_logistic": OF_POPULATION,
        "figure15_severity_group_logistic": OF_SEVERITIES,
        "figure16_groups_group_logistic": OF_GROUPS,
    }
    rank = 3
    needs_groups = True
    published: ClassVar[Distances] = distances(
        (0.1387, None), (0.0856, None), (0.2070, None), (0.0134, 0.3586), (0.1288, 0.2250)
    )

    @property
    def rows(self) -> NDArray[np.int64]:
        """A profile that stands for each group."""
        return np.unique(self.grouping.group, return_index=True)[1].astype(np.int64)

    def fit_cells(self, cells: Cells, method: Method = "maximum likelihood") -> LogisticFit:
        """Fit it to cells."""
        return fit_groups(cells, self.grouping.group, method=method)


def told_probability(fit: LogisticFit) -> Array:
    """Give every cell a chance to say yes, shape ``(32, 2)``.

    A cell about which the data say nothing gets the share of yes among the decisions of its severity, or,
    where there is none of it, among all.
    """
    severity, answers = fit.data.cell % 2, (fit.data.n_yes, fit.data.n_asked)
    n_yes, n_asked = (np.bincount(severity, weights=each, minlength=2) for each in answers)
    overall = n_yes.sum() / n_asked.sum()
    share = np.divide(n_yes, n_asked, out=np.full(2, overall), where=n_asked > 0)
    return np.where(np.isnan(fit.transmission_probability), share, fit.transmission_probability)
