"""The logistic laws of single decisions: by profile, by trait, by group of profiles; each with severity.

Their weights stand beside all that is known of them. Plain errors take decisions as independent, which those
of one cascade or of one news item are not; the clustered ones do not (see `agentnet.analysis.inference`), and
their intervals use Student's t with the degrees of freedom of the clusters that inform each weight: where all
do, their number less one.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.cells import N_PROFILES, Cells
from agentnet.analysis.goodness import Outlook, outlook_of_cascades
from agentnet.analysis.inference import clustered, student_quantile
from agentnet.analysis.inferred import infer_cascades
from agentnet.analysis.laws.contract import (
    Distances,
    Interval,
    Law,
    Listed,
    MissingBounds,
    Parameter,
    Playing,
    Resamples,
)
from agentnet.analysis.logistic import LogisticFit, Method, fit_full, fit_groups, fit_main_effects
from agentnet.analysis.tables import Clusters, RunTables
from agentnet.errors import InputError, InternalError

Array = NDArray[np.float64]


class LogisticLaw(Law):
    """A law of decisions on (profile, severity) cells."""

    of_decisions = True

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

    def fit(self, resamples: Resamples = Resamples()) -> LogisticFit:  # noqa: ARG002, B008 - frozen; nothing is drawn
        """Fit it to the run's exposures."""
        self.check()
        return self.fit_cells(self.tables.cells())

    def chance(self, fit: LogisticFit) -> Array:
        """Give every cell a chance to say yes, shape ``(32, 2)``."""
        return told_probability(fit)

    def n_fitted(self, fit: LogisticFit) -> int:
        """Count the weights that the data determine."""
        return fit.n_parameters

    def likelihood(self, fit: LogisticFit) -> dict[str, float]:
        """Give the log-likelihood of single decisions, and both information criteria."""
        return {"log_likelihood": fit.log_likelihood, "aic": fit.aic, "bic": fit.bic}

    def outlook(self, fit: LogisticFit, tables: RunTables, playing: Playing) -> Outlook:
        """Play it as cascades of the run's own design; nothing where its asking rule is not known here."""
        if tables.why_no_rule:
            return {}
        inferred = infer_cascades(
            told_probability(fit),
            tables,
            groups=self.grouping.group,
            n_runs=playing.n_runs,
            seed=playing.seed,
        )
        return outlook_of_cascades(inferred, playing.views)

    def warnings(self, fit: LogisticFit) -> Iterator[str]:
        """Say which profiles were never asked."""
        untold = np.flatnonzero(np.isnan(fit.transmission_probability).all(axis=1))
        if untold.size:
            names = ", ".join(f"{profile:05b}" for profile in untold.tolist())
            yield f"never asked, so played with the share of yes among all decisions: {names}"
        if why := self.tables.why_no_rule:
            yield f"no cascades can be inferred, so it has no curves: {why}"

    def listed(self, fit: LogisticFit, resamples: Resamples) -> Listed:
        """List its weights."""
        by_realization, by_news = (self._clustered(fit, by) for by in ("realization", "news item"))
        firth, of_firth = self._firth(fit)
        bounds = self._bounds(fit)
        best = by_realization or fit
        method = "clustered by realization" if by_realization else "plain"
        rows = [
            Parameter(
                name=name,
                estimate=float(fit.weights[i]),
                interval=_wald(best, i, resamples.level),
                method=method if not np.isnan(best.freedom[i]) else "",
                freedom=_finite(best.freedom[i]),
                why_no_interval=best.no_interval.get(name, "") or _why_no_error(fit, i),
                interval_by_news=None if by_news is None else _wald(by_news, i, resamples.level),
                standard_error=_finite(fit.standard_errors[i]),
                error_by_realization=_error(by_realization, i),
                error_by_news=_error(by_news, i),
                z=_finite(fit.z[i]),
                p_value=_finite(fit.p_values[i]),
                firth=None if firth is None else _finite(firth.weights[i]),
                firth_error=_error(firth, i),
                bounds=bounds.get(name),
            )
            for i, name in enumerate(fit.names)
        ]
        of_errors = _warnings(fit, self.tables, by_realization, by_news)
        return Listed(tuple(rows), warnings=(*of_errors, *of_firth))

    def _clustered(self, fit: LogisticFit, by: Clusters) -> LogisticFit | None:
        """Compute clustered errors; None where there are fewer than two clusters at all."""
        cells = self.tables.cells(by)
        return clustered(fit, cells, by) if cells.n_clusters > 1 else None

    def _firth(self, fit: LogisticFit) -> tuple[LogisticFit | None, list[str]]:
        """Fit by Firth's method, if the fit is separated; and say where that fails."""
        if np.isfinite(fit.weights[fit.data.columns]).all():
            return None, []
        try:
            return self.fit_cells(self.tables.cells(), "firth"), []
        except (InputError, InternalError) as error:
            return None, [f"Firth's method gives no estimates here: {error}"]

    def _bounds(self, fit: LogisticFit) -> dict[str, MissingBounds]:
        """Fit again with the missing answers filled in: all alike, and only where a weight counts."""
        if not self.tables.n_missing:
            return {}
        if_yes, if_no = (self._refilled(fit, answer) for answer in (True, False))
        found = {}
        for i, (name, counts) in enumerate(zip(fit.names, fit.counts_in, strict=True)):
            others = (self._refilled(fit, each)[i] for each in (counts, ~counts))
            bounds = MissingBounds.of(if_yes[i], if_no[i], *others)
            if bounds is not None:
                found[name] = bounds
        return found

    def _refilled(self, fit: LogisticFit, missing_yes: ArrayLike) -> Array:
        """Fit with missing answers as given; NaN where that determines no weight, as if all are alike."""
        try:
            return self.fit_cells(self.tables.cells(missing_yes=missing_yes)).weights
        except (InputError, InternalError):
            return np.full(len(fit.names), np.nan)


class FullLogistic(LogisticLaw):
    """A weight for each profile (Tian et al. 2026, equation 1)."""

    title = "full logistic"
    rank = 1
    published: ClassVar[Distances] = {
        "population": (0.0414, None),
        "peaceful": (0.0367, None),
        "severe": (0.0641, None),
    }

    def fit_cells(self, cells: Cells, method: Method = "maximum likelihood") -> LogisticFit:
        """Fit it to cells."""
        return fit_full(cells, method=method)


class MainEffects(LogisticLaw):
    """An intercept, and a weight for each trait (Tian et al. 2026, table 1)."""

    title = "main-effects logistic"
    rank = 2

    def fit_cells(self, cells: Cells, method: Method = "maximum likelihood") -> LogisticFit:
        """Fit it to cells."""
        return fit_main_effects(cells, method=method)


class GroupLogistic(LogisticLaw):
    """A weight for each group of profiles (Tian et al. 2026, appendix A)."""

    title = "{n_groups}-group logistic"
    rank = 3
    needs_groups = True
    published: ClassVar[Distances] = {
        "population": (0.1387, None),
        "peaceful": (0.0856, None),
        "severe": (0.2070, None),
        "group 1": (0.0134, 0.3586),
        "group 2": (0.1288, 0.2250),
    }

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


def _warnings(
    fit: LogisticFit, tables: RunTables, by_realization: LogisticFit | None, by_news: LogisticFit | None
) -> Iterator[str]:
    """Warn of both ways to cluster; of one, if each news item was played once, for then they are the same."""
    if by_realization is None:
        yield (
            "with decisions of a single realization nothing says how realizations differ: the intervals take "
            "single decisions as independent"
        )
    played_once = np.unique(tables.news).size == tables.n_realizations
    for found in (by_realization, None if played_once else by_news):
        if found is not None:
            yield from found.warnings[len(fit.warnings) :]


def _wald(fit: LogisticFit, index: int, level: float) -> Interval | None:
    weight, error, freedom = (float(each[index]) for each in (fit.weights, fit.standard_errors, fit.freedom))
    if not math.isfinite(error) or math.isnan(freedom):
        return None
    width = error * student_quantile(freedom, level)
    return weight - width, weight + width


def _why_no_error(fit: LogisticFit, index: int) -> str:
    weight = float(fit.weights[index])
    if math.isfinite(weight):
        return ""
    if math.isinf(weight):
        return "separated: no finite estimate is the likeliest"
    return "the decisions do not tell it"


def _error(fit: LogisticFit | None, index: int) -> float | None:
    return None if fit is None else _finite(fit.standard_errors[index])


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
