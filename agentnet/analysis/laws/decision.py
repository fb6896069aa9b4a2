"""Laws of decisions with covariates: fitted to exposures by likelihood, and played step by step.

A covariate is a column of exposures: what the log says of who was asked, when, and after how many neighbours
(`agentnet.analysis.covariates`). Decisions that are alike in all columns of a law count together. Errors come
from the Fisher information, and from sums of scores over realizations and over news items (CR1), with
Student's t of one degree of freedom less than there are of them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.algebra import inverse, rank
from agentnet.analysis.goodness import Outlook, outlook_of_cascades
from agentnet.analysis.inference import student_quantile
from agentnet.analysis.inferred import infer_cascades
from agentnet.analysis.laws.contract import (
    Interval,
    Law,
    Listed,
    MissingBounds,
    Parameter,
    Playing,
    Resamples,
)
from agentnet.analysis.laws.curve import differences
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, InputError, InternalError, near_miss

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_CERTAIN: Final = 1e-12
"""Probabilities are kept this far from 0 and 1, where a decision against them would be impossible."""

_NOWHERE: Final = 1e12
"""How deep the likelihood is where a formula gives no number."""

_MOST_STARTS: Final = 400
_N_TRIED: Final = 6
_LEAST_CLUSTERS: Final = 3


class Columns(dict[str, Array]):
    """The columns that a law reads, by name."""

    def __missing__(self, name: str) -> Array:
        raise DesignError(
            f"the law reads the column {name!r}, which it was not given{near_miss(name, self)}; name it by "
            "`uses`, or by --by"
        )


@dataclass(frozen=True, slots=True)
class Answers:
    """Decisions, those that are alike in all columns and of one realization together.

    Attributes:
        columns: The columns, each of shape ``(n_counts,)``.
        row: The realization's place in the tables, same shape.
        n_yes: Yes, same shape.
        n_no: No, same shape.
    """

    columns: Columns
    row: Ints
    n_yes: Ints
    n_no: Ints


@dataclass(frozen=True, slots=True)
class DecisionFit:
    """A law of decisions fitted to exposures.

    Attributes:
        names: Names of the parameters.
        values: Likeliest parameters, shape ``(n_parameters,)``.
        standard_errors: By the Fisher information, same shape; NaN for a parameter at a bound.
        errors: The same, clustered; by what is independent. Without those of fewer than three clusters.
        n_clusters: How many clusters of either kind there are.
        log_likelihood: In nats, of single decisions.
        n_exposures: Number of decisions.
        warnings: What to know before using the estimates.
    """

    names: tuple[str, ...]
    values: Array
    standard_errors: Array
    errors: Mapping[str, Array] = field(repr=False)
    n_clusters: Mapping[str, int]
    log_likelihood: float
    n_exposures: int
    warnings: tuple[str, ...]


class DecisionLaw(Law):
    """A law of decisions: `title`, `parameters`, and the formula `probability`.

    class Hill(DecisionLaw):
        title = "Hill curve of {by}"
        parameters = {"top": Between(0, 1), "half": Positive(start=2), "steepness": Positive(start=1)}

        def probability(self, columns, top, half, steepness):
            n = columns[self.by]
            return top * n**steepness / (half**steepness + n**steepness)
    """

    of_decisions = True
    formula = "probability"

    @abstractmethod
    def probability(self, columns: Mapping[str, Array], **values: np.float64) -> Array:
        """Evaluate the chance of a yes.

        Args:
            columns: Columns of exposures, by name: those of `by` and of `uses`, shape ``(n,)`` each.
            values: The parameters.

        Returns:
            In [0, 1], shape ``(n,)``.
        """

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that its formula may read."""
        return tuple(dict.fromkeys((*self.named, *self.uses)))

    def answers(self, missing_yes: bool | None = None) -> Answers:
        """Take the run's decisions; missing ones are left out, or all are yes or no.

        Raises:
            DesignError: The tables were read without a column of the law.
            InputError: There are no decisions, or all say the same.
        """
        counts = self.tables.exposures
        filled = counts.n_missing if missing_yes is not None else 0
        n_yes, n_no = (
            counts.n_yes + (filled if missing_yes else 0),
            counts.n_no + (0 if missing_yes else filled),
        )
        told = n_yes + n_no > 0
        columns = {name: self.tables.column(name)[told].astype(np.float64) for name in self.reads}
        _check(n_yes, n_no)
        return Answers(Columns(columns), counts.row[told], n_yes[told], n_no[told])

    def fit(self, resamples: Resamples = Resamples()) -> DecisionFit:  # noqa: ARG002, B008 - frozen; nothing is drawn
        """Fit it to the run's exposures."""
        self.check()
        return self.fit_answers(self.answers())

    def fit_answers(self, answers: Answers) -> DecisionFit:
        """Find the likeliest parameters, from the best of a grid of starts.

        Raises:
            InputError: The formula gives no probability anywhere.
        """
        likelihood = _Likelihood(self, answers)
        values = likelihood.maximize()
        slope, bounded = likelihood.slope(values), likelihood.at_bound(values)
        covariance = _inverse(likelihood.information(values, slope), ~bounded)
        errors, n_clusters = {}, {}
        for by in ("realization", "news item"):
            cluster = self.tables.clusters(by)[answers.row]
            n_clusters[by] = np.unique(cluster).size
            if n_clusters[by] >= _LEAST_CLUSTERS:
                errors[by] = _clustered(likelihood.scores(values, slope), cluster, covariance)
        return DecisionFit(
            names=tuple(self.parameters),
            values=values,
            standard_errors=_roots(covariance),
            errors=errors,
            n_clusters=n_clusters,
            log_likelihood=float(likelihood.height(values)),
            n_exposures=int(answers.n_yes.sum() + answers.n_no.sum()),
            warnings=tuple(likelihood.warnings(values, bounded, ~np.isnan(np.diag(covariance)))),
        )

    def likelihood(self, fit: DecisionFit) -> dict[str, float]:
        """Give the log-likelihood of single decisions, and both information criteria."""
        n, height = len(fit.names), fit.log_likelihood
        return {
            "log_likelihood": height,
            "aic": 2 * n - 2 * height,
            "bic": n * math.log(fit.n_exposures) - 2 * height,
        }

    def outlook(self, fit: DecisionFit, tables: RunTables, playing: Playing) -> Outlook:
        """Play it as cascades of the run's own design; nothing where that is impossible."""
        if self.why_not_played(tables):
            return {}
        values = dict(zip(fit.names, fit.values, strict=True))

        def chance(columns: Mapping[str, Array]) -> Array:
            read = Columns({name: columns[name].astype(np.float64) for name in self.reads})
            return _clipped(self.probability(read, **values))

        inferred = infer_cascades(
            chance, tables, groups=self.grouping.group, n_runs=playing.n_runs, seed=playing.seed
        )
        return outlook_of_cascades(inferred, playing.views)

    def warnings(self, fit: DecisionFit) -> Iterator[str]:  # noqa: ARG002 - as of any law
        """Say why it is not played."""
        if why := self.why_not_played(self.tables):
            yield f"no cascades can be inferred, so it has no curves: {why}"

    def why_not_played(self, tables: RunTables) -> str:
        """Say what stands in the way of inferred cascades; empty if nothing does."""
        unknown = [name for name in self.reads if not tables.can_play(name)]
        if unknown:
            return f"what {', '.join(unknown)} would be in a cascade that was not played is not known"
        return tables.why_no_rule

    def listed(self, fit: DecisionFit, resamples: Resamples) -> Listed:
        """List its parameters."""
        if_yes, if_no = (self._refilled(answer) for answer in (True, False))
        found = []
        for i, name in enumerate(fit.names):
            by = "realization" if "realization" in fit.errors else "plain"
            interval = self._interval(fit, i, by, resamples.level)
            error = float(fit.standard_errors[i])
            z = fit.values[i] / error if error > 0 else math.nan
            parameter = Parameter(
                name=name,
                estimate=float(fit.values[i]),
                interval=interval,
                method="" if interval is None else by if by == "plain" else f"clustered by {by}",
                freedom=float(fit.n_clusters[by] - 1) if by in fit.errors and interval else None,
                why_no_interval=""
                if interval
                else "it is at a bound of the law, or the decisions do not tell it",
                interval_by_news=self._interval(fit, i, "news item", resamples.level),
                standard_error=_finite(error),
                error_by_realization=_of(fit.errors.get("realization"), i),
                error_by_news=_of(fit.errors.get("news item"), i),
                z=_finite(z),
                p_value=_finite(math.erfc(abs(z) / math.sqrt(2))),
                bounds=MissingBounds.of(if_yes[i], if_no[i]) if self.tables.n_missing else None,
            )
            found.append(parameter)
        return Listed(tuple(found), warnings=tuple(_few(fit)))

    def _interval(self, fit: DecisionFit, index: int, by: str, level: float) -> Interval | None:
        """Make Wald's interval, cut off at the parameter's bounds."""
        errors = fit.standard_errors if by == "plain" else fit.errors.get(by)
        if errors is None or not (math.isfinite(errors[index]) and errors[index] > 0):
            return None
        freedom = math.inf if by == "plain" else fit.n_clusters[by] - 1
        width = float(errors[index]) * student_quantile(freedom, level)
        value, bounds = float(fit.values[index]), self.parameters[fit.names[index]]
        return max(value - width, bounds.low), min(value + width, bounds.high)

    def _refilled(self, missing_yes: bool) -> Array:
        """Fit with missing answers as given; NaN where there are none, or that determines nothing."""
        if self.tables.n_missing:
            try:
                return self.fit_answers(self.answers(missing_yes)).values
            except (InputError, InternalError):
                pass
        return np.full(len(self.parameters), np.nan)


def _check(n_yes: Ints, n_no: Ints) -> None:
    total = int(n_yes.sum() + n_no.sum())
    if not total:
        raise InputError("there are no exposures with a valid decision to fit", field="n_yes")
    if n_yes.sum() in (0, total):
        raise InputError(
            f"all {total} decisions are {'yes' if n_yes.any() else 'no'}: no law of them has anything to "
            "tell apart; check the prompts and how replies are read",
            field="n_yes",
        )


class _Likelihood:
    """The likelihood of a law's parameters, all decisions with the same columns taken together."""

    def __init__(self, law: DecisionLaw, answers: Answers) -> None:
        self._law = law
        self._bounds = tuple(law.parameters.values())
        self._row_of = answers
        table = np.column_stack([*answers.columns.values(), np.zeros(answers.row.size)])
        cells, self._cell = np.unique(table, axis=0, return_inverse=True)
        self._cell = self._cell.ravel()
        self._columns = Columns(zip(answers.columns, cells.T, strict=False))
        self._yes, self._no = (
            np.bincount(self._cell, each, len(cells)) for each in (answers.n_yes, answers.n_no)
        )

    def chance(self, parameters: Array) -> Array:
        """Evaluate the chance of a yes for sets of parameters, shape ``(n_sets, n_cells)``."""
        names = tuple(self._law.parameters)
        with np.errstate(all="ignore"):
            found = [
                np.broadcast_to(
                    self._law.probability(self._columns, **dict(zip(names, each, strict=True))),
                    self._yes.shape,
                )
                for each in np.atleast_2d(parameters)
            ]
        return _clipped(np.array(found))

    def height(self, values: Array) -> float:
        """Evaluate the log-likelihood, in nats."""
        chance = self.chance(values)[0]
        return float(self._yes @ np.log(chance) + self._no @ np.log1p(-chance))

    def slope(self, values: Array) -> Array:
        """Differentiate the chance, shape ``(n_cells, n_parameters)``."""
        found = [
            differences(self.chance, values[None], i, each.low, each.high)[0]
            for i, each in enumerate(self._bounds)
        ]
        return np.stack(found, axis=-1)

    def _pull(self, values: Array) -> Array:
        chance = self.chance(values)[0]
        gradient: Array = (self._yes / chance - self._no / (1 - chance)) @ self.slope(values)
        return gradient

    def information(self, values: Array, slope: Array) -> Array:
        """Compute the Fisher information, shape ``(n_parameters, n_parameters)``."""
        chance = self.chance(values)[0]
        weight = (self._yes + self._no) / (chance * (1 - chance))
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
        n = float((self._yes + self._no).sum())
        height = float(np.nan_to_num(self.height(values), nan=-_NOWHERE))
        return -height / n, -np.nan_to_num(self._pull(values)) / n

    def maximize(self) -> Array:
        """Climb from the best starts of the grid to the highest point within the bounds."""
        from scipy.optimize import minimize

        most = max(2, int(_MOST_STARTS ** (1 / len(self._bounds))))
        grid = np.array(list(product(*(_thinned(each.starts, most) for each in self._bounds))))
        heights = np.array([self.height(each) for each in grid])
        heights[~np.isfinite(heights)] = -np.inf
        best, values = -np.inf, grid[0]
        for start in np.argsort(-heights, kind="stable")[:_N_TRIED]:
            found = minimize(
                self._loss,
                grid[start],
                jac=True,
                bounds=[(each.low, each.high) for each in self._bounds],
                method="L-BFGS-B",
                options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000},
            )
            if np.isfinite(found.fun) and -found.fun > best:
                best, values = -found.fun, np.asarray(found.x, np.float64)
        if not np.isfinite(best):
            raise InputError(f"the formula of the law {self._law.name} gives no probability at any start")
        return np.asarray(values, dtype=np.float64)

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
        alike = [name for name, column in self._columns.items() if np.ptp(column) == 0]
        if alike:
            yield f"the exposures do not vary in {', '.join(alike)}: they tell nothing of its effect"


def _thinned(starts: tuple[float, ...], most: int) -> Array:
    place = np.linspace(0, len(starts) - 1, min(most, len(starts))).round().astype(int)
    kept: Array = np.array(starts)[place]
    return kept


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


def _roots(covariance: Array) -> Array:
    with np.errstate(invalid="ignore"):
        found: Array = np.sqrt(np.diag(covariance))
    return found


def _clustered(scores: Array, cluster: Ints, covariance: Array) -> Array:
    """Compute the standard errors by sums of scores over clusters, with the factor G / (G - 1)."""
    names, member = np.unique(cluster, return_inverse=True)
    total = np.zeros((names.size, scores.shape[1]))
    np.add.at(total, member, scores)
    free = np.isfinite(np.diag(covariance))
    robust = np.full(covariance.shape, np.nan)
    inner, total = covariance[np.ix_(free, free)], total[:, free]
    robust[np.ix_(free, free)] = inner @ (total.T @ total) @ inner * names.size / (names.size - 1)
    return _roots(robust)


def _few(fit: DecisionFit) -> Iterator[str]:
    if "realization" not in fit.errors:
        yield (
            f"with decisions of {fit.n_clusters['realization']} realizations nothing says how realizations "
            "differ: the intervals take single decisions as independent"
        )
    for by in fit.errors:
        if fit.n_clusters[by] < 4 * len(fit.names):
            yield (
                f"{fit.n_clusters[by]} clusters are few for {len(fit.names)} parameters: the errors "
                f"clustered by {by} are too small"
            )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _of(errors: Array | None, index: int) -> float | None:
    return None if errors is None else _finite(errors[index])
