"""Laws of decisions: fitted to exposures by likelihood, and played as cascades under the run's own design.

A law is a formula of columns of exposures: what the log says of who was asked, when, and after how many
neighbours (`agentnet.analysis.covariates`). Decisions that are alike in all columns of a law count together.
Plain errors come from the Fisher information and take decisions as independent, which those of one cascade or
of one news item are not; beside them stand those by sums of scores over realizations and over news items,
with Student's t of one degree of freedom less than there are of them. A law that is fitted otherwise
(`agentnet.analysis.laws.logistic`) says so by `fit_filled` and `clustered`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.algebra import inverse, rank
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
from agentnet.analysis.inferred import infer_cascades
from agentnet.analysis.laws.contract import (
    Law,
    ListedParameters,
    MissingBounds,
    Parameter,
    Playing,
    Resamples,
    in_shape,
)
from agentnet.analysis.laws.curve import by_differences
from agentnet.analysis.simulation import Chance
from agentnet.analysis.solver import thinned
from agentnet.analysis.survivors import survivors
from agentnet.analysis.tables import Clusters, RunTables
from agentnet.errors import DesignError, InputError, InternalError, near_miss

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_CERTAIN: Final = 1e-12
"""Probabilities are kept this far from 0 and 1, where a decision against them would be impossible."""

_NOWHERE: Final = 1e12
"""How deep the likelihood is where a formula gives no number."""

_UNTOLD: Final = "it is at a bound of the law, or the decisions do not tell it"
_MOST_STARTS: Final = 400
_N_TRIED: Final = 6
_FEW_STEPS: Final = 30
_STEPS: Final = 200


class LawColumns(dict[str, Array]):
    """The columns that a law reads, by name."""

    def __missing__(self, name: str) -> Array:
        known = near_miss(name, self) if self else ""
        raise DesignError(
            f"the law reads the column {name!r}, which it was not given{known}; name it by `uses`, or by --by"
        )


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """Decisions, those that are alike in all columns and of one realization together.

    Attributes:
        columns: The columns, each of shape ``(n_counts,)``.
        row: The realization's place in the tables, same shape.
        n_yes: Yes, same shape.
        n_no: No, same shape.
    """

    columns: LawColumns
    row: Ints
    n_yes: Ints
    n_no: Ints


@dataclass(frozen=True, slots=True)
class DecisionFit(Estimates):
    """A formula fitted to exposures.

    Attributes:
        row: The realization's place in the tables, of decisions that count together, shape ``(n_counts,)``.
        scores: Derivatives of their log-likelihood, shape ``(n_counts, n_parameters)``.
        information: Inverse information about the parameters, shape ``(n_parameters, n_parameters)``; NaN for
            one at a bound.
    """

    row: Ints = field(repr=False)
    scores: Array = field(repr=False)
    information: Array = field(repr=False)


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
            InputError: The decisions do not determine it.
        """
        return self.fit_answers(self.answers(missing_yes))

    def fit_answers(self, answers: AnswerCounts) -> DecisionFit:
        """Find the likeliest parameters, from the best of a grid of starts.

        Raises:
            InputError: The formula gives no probability anywhere.
        """
        likelihood = Likelihood(self, answers)
        values = self.likeliest(likelihood)
        slope, bounded = likelihood.slope(values), likelihood.at_bound(values)
        covariance = _inverse(likelihood.information(values, slope), ~bounded)
        told = np.diag(covariance) > 0
        return DecisionFit(
            names=(names := tuple(self.parameters)),
            values=values,
            covariance=covariance,
            freedom=np.where(told, np.inf, np.nan),
            no_interval={name: _UNTOLD for name, known in zip(names, told, strict=True) if not known},
            errors="plain",
            log_likelihood=float(likelihood.height(values)),
            n_parameters=len(names),
            n_exposures=round(float(answers.n_yes.sum() + answers.n_no.sum())),
            warnings=tuple(likelihood.warnings(values, bounded, ~np.isnan(np.diag(covariance)))),
            row=answers.row,
            scores=likelihood.scores(values, slope),
            information=covariance,
        )

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
            read = LawColumns({name: columns[name].astype(np.float64) for name in self.reads})
            with np.errstate(all="ignore"):
                return _clipped(self.probability(read, **values))

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
                f"with decisions of {'a single realization' if n == 1 else f'{n} realizations'} nothing says "
                "how realizations differ: the intervals take single decisions as independent"
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


class Likelihood:
    """The likelihood of a law's parameters, all decisions with the same columns taken together.

    Attributes:
        columns: The columns of its cells, each of shape ``(n_cells,)``.
        n_yes: Yes in each cell, same shape.
        n_no: No in each cell, same shape.
    """

    def __init__(self, law: DecisionLaw, answers: AnswerCounts) -> None:
        self._law = law
        self._bounds = tuple(law.parameters.values())
        self._row_of = answers
        table = np.column_stack([*answers.columns.values(), np.zeros(answers.row.size)])
        cells, self._cell = np.unique(table, axis=0, return_inverse=True)
        self._cell = self._cell.ravel()
        self.columns = LawColumns(zip(answers.columns, cells.T, strict=False))
        self.n_yes, self.n_no = (
            np.bincount(self._cell, each, len(cells)).astype(each.dtype)
            for each in (answers.n_yes, answers.n_no)
        )

    def with_columns(self, columns: LawColumns) -> Likelihood:
        """Make that of the same decisions with other columns of the same cells."""
        rows = LawColumns({name: each[self._cell] for name, each in columns.items()})
        return Likelihood(self._law, replace(self._row_of, columns=rows))

    def chance(self, parameters: Array) -> Array:
        """Evaluate the chance of a yes for sets of parameters, shape ``(n_sets, n_cells)``."""
        names = tuple(self._law.parameters)
        with np.errstate(all="ignore"):
            found = [
                in_shape(
                    self._law.probability(self.columns, **dict(zip(names, each, strict=True))),
                    self.n_yes.shape,
                    self._law,
                )
                for each in np.atleast_2d(parameters)
            ]
        return _clipped(np.array(found))

    def height(self, values: Array) -> float:
        """Evaluate the log-likelihood, in nats."""
        chance = self.chance(values)[0]
        return float(self.n_yes @ np.log(chance) + self.n_no @ np.log1p(-chance))

    def slope(self, values: Array) -> Array:
        """Differentiate the chance, shape ``(n_cells, n_parameters)``."""
        found = [
            by_differences(self.chance, values[None], i, each.low, each.high)[0]
            for i, each in enumerate(self._bounds)
        ]
        return np.stack(found, axis=-1)

    def _pull(self, values: Array) -> Array:
        chance = self.chance(values)[0]
        gradient: Array = (self.n_yes / chance - self.n_no / (1 - chance)) @ self.slope(values)
        return gradient

    def information(self, values: Array, slope: Array) -> Array:
        """Compute the Fisher information, shape ``(n_parameters, n_parameters)``."""
        chance = self.chance(values)[0]
        weight = (self.n_yes + self.n_no) / (chance * (1 - chance))
        found: Array = slope.T @ (weight[:, None] * slope)
        return found

    def scores(self, values: Array, slope: Array) -> Array:
        """Differentiate the log-likelihood of each count, shape ``(n_counts, n_parameters)``."""
        chance = self.chance(values)[0][self._cell]
        pull = self._row_of.n_yes / chance - self._row_of.n_no / (1 - chance)
        found: Array = pull[:, None] * slope[self._cell]
        return found

    def _loss(self, values: Array) -> tuple[float, Array]:
        """Evaluate what is minimized, and its gradient: per decision, and finite everywhere."""
        n = float((self.n_yes + self.n_no).sum())
        height = float(np.nan_to_num(self.height(values), nan=-_NOWHERE))
        return -height / n, -np.nan_to_num(self._pull(values)) / n

    def maximize(self) -> Array:
        """Climb from the best starts of the grid, and from where that led highest on to the top.

        Raises:
            InputError: The formula gives no probability at any start.
        """
        most = max(2, int(_MOST_STARTS ** (1 / len(self._bounds))))
        grid = np.array(list(product(*(thinned(np.array(each.starts), most) for each in self._bounds))))
        heights = np.array([self.height(each) for each in grid])
        heights[~np.isfinite(heights)] = -np.inf
        if np.isneginf(heights).all():
            raise InputError(f"the formula of the law {self._law.name} gives no probability at any start")
        starts = grid[np.argsort(-heights, kind="stable")[:_N_TRIED]]
        return self._climb(max((self._climb(each, _FEW_STEPS) for each in starts), key=self.height), _STEPS)

    def _climb(self, start: Array, most: int) -> Array:
        """Climb within the bounds, `most` steps at most: where the top is a ridge, steps never end."""
        from scipy.optimize import minimize

        found = minimize(
            self._loss,
            start,
            jac=True,
            bounds=[(each.low, each.high) for each in self._bounds],
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": most},
        )
        return np.asarray(found.x, dtype=np.float64)

    def at_bound(self, values: Array) -> NDArray[np.bool_]:
        """Say which parameters are at a bound."""
        return np.array(
            [
                value <= each.low or value >= each.high
                for value, each in zip(values, self._bounds, strict=True)
            ]
        )

    def warnings(self, values: Array, bounded: NDArray[np.bool_], told: NDArray[np.bool_]) -> Iterator[str]:
        """Warn of parameters at a bound or told by nothing, and of columns that do not vary."""
        names = np.array(tuple(self._law.parameters))
        yield from (
            f"{name} is at its bound {value:g}"
            for name, value in zip(names[bounded], values[bounded], strict=True)
        )
        if (untold := ~told & ~bounded).any():
            yield f"the decisions do not tell {', '.join(names[untold])} near the estimate: there is no error"
        alike = [name for name, column in self.columns.items() if np.ptp(column) == 0]
        if alike:
            yield f"the exposures do not vary in {', '.join(alike)}: they tell nothing of its effect"


def _clipped(chance: Any) -> Array:  # noqa: ANN401 - whatever a formula gives
    found: Array = np.clip(np.asarray(chance, np.float64), _CERTAIN, 1 - _CERTAIN)
    return found


def _inverse(information: Array, free: NDArray[np.bool_]) -> Array:
    """Invert the information about the free parameters that the decisions tell; NaN elsewhere."""
    found = np.full(information.shape, np.nan)
    scale = np.sqrt(np.maximum(np.diag(information), 0.0))
    told = free & np.isfinite(scale) & (scale > 1e-8 * scale[np.isfinite(scale)].max(initial=1.0))
    place = np.ix_(told, told)
    size = np.outer(scale, scale)[place]
    # Scaled, so that parameters of other units do not pass for ones that are told by nothing.
    if told.any() and rank(information[place] / size, symmetric=True) == told.sum():
        found[place] = inverse(information[place] / size) / size
    return found


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _error(fit: Estimates | None, index: int) -> float | None:
    return None if fit is None else _finite(fit.standard_errors[index])
