"""Laws of decisions: fitted to exposures by likelihood, and played as cascades under the run's own design.

A law is a formula of columns of exposures: what the log says of who was asked, when, and after how many
neighbours (`agentnet.analysis.covariates`). Plain errors come from the Fisher information and take decisions
as independent, which those of one cascade or of one news item are not; beside them stand those by sums of
scores over realizations and over news items, with Student's t of one degree of freedom less than there are of
them.

The logistic laws, by profile, by trait or by group of profiles, each with severity, are fitted otherwise:
their likelihood has one top, found exactly even where it lies at infinity (`agentnet.analysis.logistic`), and
their intervals use Student's t with the degrees of freedom of the clusters that inform each weight
(`agentnet.analysis.inference`): where all do, their number less one.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.estimates import (
    LEAST_CLUSTERS,
    Estimates,
    Interval,
    check_answers,
    few_clusters,
    sandwich,
    too_few,
)
from agentnet.analysis.goodness import Outlook, outlook_of_cascades
from agentnet.analysis.inference import clustered
from agentnet.analysis.laws.contract import (
    CHANCES,
    OF_GROUPS,
    OF_POPULATION,
    OF_SEVERITIES,
    Distances,
    Law,
    ListedParameters,
    MissingBounds,
    Parameter,
    Playing,
    Resamples,
    Sight,
    distances,
    in_shape,
)
from agentnet.analysis.laws.likelihood import AnswerCounts, LawColumns, Likelihood, clipped
from agentnet.analysis.logistic import LogisticFit, Method, fit_full, fit_groups, fit_main_effects
from agentnet.analysis.simulation import infer_cascades
from agentnet.analysis.spread import Chance
from agentnet.analysis.survivors import survivors
from agentnet.analysis.tables import NO_PROFILES, Cells, Clusters, RunTables
from agentnet.errors import DesignError, InputError, InternalError
from agentnet.vocabulary import N_PROFILES

Array = NDArray[np.float64]


class DecisionLaw(Law):
    """A law of decisions: `title`, `parameters`, and the formula `probability`.

    class Saturation(DecisionLaw):
        title = "saturation of {by}"
        parameters = {"top": Between(0, 1), "scale": Positive(start=2)}

        def probability(self, columns, top, scale):
            return top * -np.expm1(-columns[self.by] / scale)
    """

    of_decisions = True
    formula = "probability"
    freedom_in_words: ClassVar[str] = "one degree of freedom less than there are realizations"

    def probability(self, columns: Mapping[str, Array], **values: np.float64) -> Array:
        """Evaluate the chance of a yes.

        Args:
            columns: Columns of exposures, by name: those of `by` and of `uses`, shape ``(n,)`` each.
            values: The parameters.

        Returns:
            In [0, 1], shape ``(n,)``.
        """
        raise NotImplementedError(f"the law {self.name} has no formula: give it a method probability")

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that its formula may read."""
        return tuple(dict.fromkeys((*self.named, *self.uses)))

    def answers(self, missing_yes: ArrayLike | None = None) -> AnswerCounts:
        """Take the run's decisions; missing ones are left out, or all are yes or no.

        Raises:
            DesignError: The tables were read without a column of the law.
            InputError: There are no decisions, or all say the same.
        """
        counts = self.tables.exposures
        filled = counts.n_missing * (missing_yes is not None)
        n_yes, n_no = counts.n_yes + filled * bool(missing_yes), counts.n_no + filled * (not missing_yes)
        every = {name: self.tables.column(name).astype(np.float64) for name in self.reads}
        told = (n_yes + n_no > 0) & ~np.any([np.isnan(column) for column in every.values()], axis=0)
        columns = {name: column[told] for name, column in every.items()}
        check_answers(n_yes, n_yes + n_no, "no law of them has anything to tell apart")
        return AnswerCounts(LawColumns(columns), counts.row[told], n_yes[told], n_no[told])

    def fit(self, resamples: Resamples = Resamples()) -> Any:  # noqa: ANN401, ARG002, B008 - frozen; nothing is drawn
        """Fit it to the run's exposures."""
        self.check()
        return self.fit_filled()

    def fit_filled(self, missing_yes: ArrayLike | None = None) -> Any:  # noqa: ANN401 - of its fitter
        """Fit it to the run's exposures, with missing answers left out, or all as given.

        Raises:
            InputError: The decisions do not determine it, or the formula gives no probability anywhere.
        """
        likelihood = Likelihood(self, self.answers(missing_yes))
        return likelihood.fit_at(self.likeliest(likelihood))

    def likeliest(self, likelihood: Likelihood) -> Array:
        """Find the parameters of highest likelihood; for laws that know better than a grid of starts.

        Raises:
            InputError: The decisions do not determine them.
        """
        return likelihood.maximize()

    def clustered(self, fit: Any, by: Clusters) -> Any:  # noqa: ANN401 - of its fitter
        """Replace plain errors by clustered ones; None where there are too few clusters."""
        names, member = np.unique(self.tables.clusters(by)[fit.row], return_inverse=True)
        if names.size < LEAST_CLUSTERS:
            return None
        free = np.isfinite(np.diag(fit.information))
        scores = np.zeros((names.size, free.sum()))
        np.add.at(scores, member, fit.scores[:, free])
        covariance = np.full(fit.information.shape, np.nan)
        inner = fit.information[np.ix_(free, free)]
        covariance[np.ix_(free, free)] = sandwich(scores, inner, fit.n_exposures)
        return replace(
            fit,
            covariance=covariance,
            freedom=np.where(np.diag(covariance) > 0, names.size - 1.0, np.nan),
            errors=f"clustered by {by} (CR1, {names.size} clusters)",
            warnings=(*fit.warnings, *few_clusters(names.size, len(fit.names), by)),
        )

    def penalized(self, fit: Any) -> tuple[Any, list[str]]:  # noqa: ANN401, ARG002 - for laws that need one
        """Fit with a penalty that keeps all parameters finite, where one is not; say where that fails."""
        return None, []

    def n_fitted(self, fit: Any) -> int:  # noqa: ANN401 - of its fitter
        """Count the parameters that the data determine."""
        return int(fit.n_parameters)

    def likelihood(self, fit: Any) -> dict[str, float]:  # noqa: ANN401 - of its fitter
        """Give the log-likelihood of single decisions, and both information criteria."""
        return {"log_likelihood": fit.log_likelihood, "aic": fit.aic, "bic": fit.bic}

    def against_constant(self, fit: Any) -> dict[str, float]:  # noqa: ANN401 - of its fitter
        """Compare it with one chance of a yes for all decisions, as independent tries have it."""
        counts = self.tables.exposures
        n = np.array([counts.n_yes.sum(), counts.n_no.sum()])
        constant = float(n @ np.log(n / n.sum()))
        more, gain = fit.n_parameters - 1, 2 * (fit.log_likelihood - constant)
        return {"likelihood_ratio": gain, "more_parameters": more, "aic_lower_by": gain - 2 * more}

    def played(self, fit: Any) -> ArrayLike | Chance:  # noqa: ANN401 - of its fitter
        """Give the chance of a yes that cascades are played by: from columns, or by profile and severity."""
        values = dict(zip(fit.names, fit.values, strict=True))

        def chance(columns: Mapping[str, Array]) -> Array:
            shape = np.broadcast_shapes(*(each.shape for each in columns.values()))
            read = LawColumns({name: columns[name].astype(np.float64) for name in self.reads})
            with np.errstate(all="ignore"):
                found = in_shape(self.probability(read, **values), shape, self)
            return clipped(found)

        return chance

    def outlook(self, fit: Any, tables: RunTables, playing: Playing) -> Outlook:  # noqa: ANN401 - of its fitter
        """Play it as cascades of the run's own design; nothing where that is impossible."""
        if self.why_not_played(tables):
            return {}
        inferred = infer_cascades(
            self.played(fit), tables, groups=self.grouping.group, n_runs=playing.n_runs, seed=playing.seed
        )
        return outlook_of_cascades(inferred, playing.views)

    def warnings(self, fit: Any) -> Iterator[str]:  # noqa: ANN401 - as of any law
        """Say whether its column counts, if it is a law of one, and why it is not played."""
        if self.takes_column:
            ratio, more, lower = self.against_constant(fit).values()
            verdict = "is" if lower > 0 else "is not"
            yield (
                f"it gives the chance of a yes to one question; against one chance whatever "
                f"{', '.join(self.reads)} (independent tries, as the SI laws have it) twice the "
                f"log-likelihood ratio is {ratio:.1f} with {more} more parameter{'' if more == 1 else 's'}: "
                f"it {verdict} better by Akaike's criterion, by {abs(lower):.1f}"
            )
        if why := self.why_not_played(self.tables):
            yield f"no cascades can be inferred, so it has no curves: {why}"

    def why_not_played(self, tables: RunTables) -> str:
        """Say what stands in the way of inferred cascades; empty if nothing does."""
        unknown = [name for name in self.reads if not tables.can_play(name)]
        if unknown:
            return f"what {', '.join(unknown)} would be in a cascade that was not played is not known"
        return tables.why_no_rule

    def methods(self, resamples: Resamples, n_runs: int, *, is_played: bool) -> str:
        """Say how it is fitted."""
        curves = f"{n_runs:,} cascade{'' if n_runs == 1 else 's'} of the run's own design"
        errors = "standard errors of decisions taken as independent, as realizations are too few"
        if self._n_told("realization") >= LEAST_CLUSTERS:
            errors = f"standard errors clustered by realization and Student's t with {self.freedom_in_words}"
        return (
            "by maximum likelihood to the decisions of exposures; "
            f"intervals ({resamples.level:.0%}) use {errors}"
            + (f"; curves were inferred by {curves} (seed {resamples.seed})" if is_played else "")
        )

    def listed(self, fit: Any, resamples: Resamples) -> ListedParameters:  # noqa: ANN401 - of its fitter
        """List its parameters."""
        by_realization, by_news = (self.clustered(fit, by) for by in ("realization", "news item"))
        firth, of_firth = self.penalized(fit)
        bounds, best = self._bounds(fit), by_realization or fit
        rows = []
        for i, name in enumerate(fit.names):
            interval = self._within(name, best.interval(i, resamples.level))
            of_news = None if by_news is None else self._within(name, by_news.interval(i, resamples.level))
            parameter = Parameter(
                name=name,
                estimate=float(fit.values[i]),
                interval=interval,
                method=("clustered by realization" if by_realization else "plain") if interval else "",
                freedom=_finite(best.freedom[i]),
                why_no_interval="" if interval else best.why_no_interval(i),
                interval_by_news=of_news,
                why_no_interval_by_news="" if of_news else self._why_not_by_news(by_news, i),
                standard_error=_finite(fit.standard_errors[i]),
                error_by_realization=_error(by_realization, i),
                error_by_news=_error(by_news, i),
                z=_finite(fit.z[i]),
                p_value=_finite(fit.p_values[i]),
                firth=None if firth is None else _finite(firth.values[i]),
                firth_error=_error(firth, i),
                bounds=bounds.get(name),
            )
            rows.append(parameter)
        of_errors = self._of_errors(fit, by_realization, by_news)
        of_dose = (survivors(self.tables, name) for name in self.named)
        return ListedParameters(tuple(rows), warnings=(*filter(None, of_dose), *of_errors, *of_firth))

    def _within(self, name: str, interval: Interval | None) -> Interval | None:
        """Cut an interval off at the parameter's bounds."""
        if interval is None or name not in self.parameters:
            return interval
        bounds = self.parameters[name]
        return max(interval[0], bounds.low), min(interval[1], bounds.high)

    def _why_not_by_news(self, by_news: Estimates | None, index: int) -> str:
        if by_news is not None:
            return by_news.why_no_interval(index)
        return too_few(self._n_told("news item"), "news item", LEAST_CLUSTERS)

    def _n_told(self, by: Clusters) -> int:
        """Count the clusters that hold a valid decision."""
        counts = self.tables.exposures
        return int(np.unique(self.tables.clusters(by)[counts.row[counts.n_yes + counts.n_no > 0]]).size)

    def _of_errors(
        self, fit: Estimates, by_realization: Estimates | None, by_news: Estimates | None
    ) -> Iterator[str]:
        """Warn of both ways to cluster; of one, if each news item was played once: then they are the same."""
        if by_realization is None:
            n = self._n_told("realization")
            yield (
                f"with decisions of {'a single realization' if n == 1 else f'{n:,} realizations'} nothing "
                "says how realizations differ: the intervals take single decisions as independent"
            )
        played_once = np.unique(self.tables.news).size == self.tables.n_realizations
        for found in (by_realization, None if played_once else by_news):
            if found is not None:
                yield from found.warnings[len(fit.warnings) :]

    def _bounds(self, fit: Estimates) -> dict[str, MissingBounds]:
        """Fit again with the missing answers filled in: all alike, and as is worst for each parameter."""
        if not self.tables.n_missing:
            return {}
        if_yes, if_no = (self._refilled(fit, answer) for answer in (True, False))
        found = {}
        for i, name in enumerate(fit.names):
            others = (self._refilled(fit, each)[i] for each in self.worst_for(fit, i))
            bounds = MissingBounds.of(if_yes[i], if_no[i], *others)
            if bounds is not None:
                found[name] = bounds
        return found

    def worst_for(self, fit: Any, index: int) -> Iterable[ArrayLike]:  # noqa: ANN401, ARG002 - for laws that know
        """List what missing answers could be, beside all alike, to move a parameter furthest."""
        return ()

    def _refilled(self, fit: Estimates, missing_yes: ArrayLike) -> Array:
        """Fit with missing answers as given; NaN where that determines nothing, as if all are alike."""
        try:
            found: Array = self.fit_filled(missing_yes).values
        except (InputError, InternalError):
            found = np.full(len(fit.names), np.nan)
        return found


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


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _error(fit: Estimates | None, index: int) -> float | None:
    return None if fit is None else _finite(fit.standard_errors[index])
