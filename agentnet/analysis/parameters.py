"""The parameters of fitted laws, each beside all that is known of its uncertainty.

Logistic weights: plain errors take decisions as independent, which those of one cascade or of one news item
are not; the clustered ones do not (see `agentnet.analysis.inference`), and their intervals use Student's t
with the degrees of freedom of the clusters that inform each weight: where all do, their number less one.
Rates and probabilities of laws of curves: bootstrap over realizations, and over whole news items.

Missing answers: nobody knows what they would have been, so each estimate has its bounds (Manski 2003, Partial
Identification of Probability Distributions). For a rate they are those of the curves as recorded (a missing
answer engages nobody) and of the curves in which each agent with a missing answer engages at its first one;
the agents that it would have won over in turn are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.cavity import CavityFit
from agentnet.analysis.cells import N_PROFILES, TRAITS
from agentnet.analysis.grouping import Grouping
from agentnet.analysis.inference import clustered, student_quantile
from agentnet.analysis.laws import LawName, Resamples, fit_curve_law, fit_decisions
from agentnet.analysis.logistic import LogisticFit
from agentnet.analysis.mean_field import MeanFieldFit
from agentnet.analysis.tables import Clusters, RunTables
from agentnet.errors import DesignError, InputError, InternalError

Array = NDArray[np.float64]
Interval = tuple[float, float]
_ONE_VALUE = "all resamples give one value, as at a bound of the law"


@dataclass(frozen=True, slots=True)
class MissingBounds:
    """What a parameter would be if the missing answers were known.

    Attributes:
        if_yes: If all had been yes.
        if_no: If all had been no.
        lowest: The lowest of what was tried. For a logistic weight that is also: yes where the weight counts
            and no elsewhere, and the other way round.
        highest: The highest of what was tried.
    """

    if_yes: float
    if_no: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted parameter.

    Attributes:
        name: ``openness``, ``profile_01101``, ``group_1``, ``severity``, ``tau_1``, ``p_1``, ``lambda``, ...
        estimate: +-inf for a logistic weight that is separated, NaN for one about which the data say nothing.
        interval: Confidence interval, by the method named; None where there is none.
        method: How the interval was made; empty where there is none.
        freedom: Degrees of freedom of a clustered interval; None for others.
        why_no_interval: Why there is none; empty where there is one.
        interval_by_news: The same with whole news items as what is independent; None with a single one.
        standard_error: Plain, of logistic weights only; None where there is none.
        error_by_realization: Clustered by realization.
        error_by_news: Clustered by news item.
        z: Estimate over plain standard error.
        p_value: Two-sided p of 0, by the plain standard error.
        firth: Firth's penalized estimate, where the fit is separated.
        firth_error: Its standard error.
        bounds: Bounds for missing answers; None where no answer is missing.
    """

    name: str
    estimate: float
    interval: Interval | None = None
    method: str = ""
    freedom: float | None = None
    why_no_interval: str = ""
    interval_by_news: Interval | None = None
    standard_error: float | None = None
    error_by_realization: float | None = None
    error_by_news: float | None = None
    z: float | None = None
    p_value: float | None = None
    firth: float | None = None
    firth_error: float | None = None
    bounds: MissingBounds | None = None


def decision_parameters(
    law: LawName, fit: LogisticFit, tables: RunTables, grouping: Grouping, *, level: float
) -> tuple[tuple[Parameter, ...], tuple[str, ...]]:
    """List the weights of a law of decisions.

    Returns:
        The weights, and warnings.
    """
    by_realization, by_news = (_clustered(fit, tables, by) for by in ("realization", "news item"))
    firth, of_firth = _firth(law, fit, tables, grouping)
    bounds = _weight_bounds(law, fit, tables, grouping)
    best, method = by_realization, "clustered by realization"
    if best is None:
        best, method = fit, "plain"
    rows = [
        Parameter(
            name=name,
            estimate=float(fit.weights[i]),
            interval=_wald(best, i, level),
            method=method if not np.isnan(best.freedom[i]) else "",
            freedom=_finite(best.freedom[i]),
            why_no_interval=best.no_interval.get(name, "") or _why_no_error(fit, i),
            interval_by_news=None if by_news is None else _wald(by_news, i, level),
            standard_error=_finite(fit.standard_errors[i]),
            error_by_realization=None
            if by_realization is None
            else _finite(by_realization.standard_errors[i]),
            error_by_news=None if by_news is None else _finite(by_news.standard_errors[i]),
            z=_finite(fit.z[i]),
            p_value=_finite(fit.p_values[i]),
            firth=None if firth is None else _finite(firth.weights[i]),
            firth_error=None if firth is None else _finite(firth.standard_errors[i]),
            bounds=bounds.get(name),
        )
        for i, name in enumerate(fit.names)
    ]
    return tuple(rows), (*_warnings(fit, tables, by_realization, by_news), *of_firth)


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


def _clustered(fit: LogisticFit, tables: RunTables, by: Clusters) -> LogisticFit | None:
    """Compute clustered errors; None where there are fewer than two clusters at all."""
    cells = tables.cells(by)
    return clustered(fit, cells, by) if cells.n_clusters > 1 else None


def _firth(
    law: LawName, fit: LogisticFit, tables: RunTables, grouping: Grouping
) -> tuple[LogisticFit | None, list[str]]:
    """Fit by Firth's method, if the fit is separated; and say where that fails."""
    if np.isfinite(fit.weights[fit.data.columns]).all():
        return None, []
    try:
        return fit_decisions(law, tables.cells(), grouping, method="firth"), []
    except (InputError, InternalError) as error:
        return None, [f"Firth's method gives no estimates here: {error}"]


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


def _weight_bounds(
    law: LawName, fit: LogisticFit, tables: RunTables, grouping: Grouping
) -> dict[str, MissingBounds]:
    """Fit the law again with the missing answers filled in."""
    if not tables.n_missing:
        return {}
    if_yes, if_no = (_refilled(law, fit, tables, grouping, answer) for answer in (True, False))
    found = {}
    for i, name in enumerate(fit.names):
        counts = _counts_in(name, grouping)
        tried = np.array(
            [if_yes, if_no, *(_refilled(law, fit, tables, grouping, each) for each in (counts, ~counts))]
        )[:, i]
        if not np.isnan(tried).all():
            low, high = float(np.nanmin(tried)), float(np.nanmax(tried))
            found[name] = MissingBounds(float(if_yes[i]), float(if_no[i]), low, high)
    return found


def _refilled(
    law: LawName, fit: LogisticFit, tables: RunTables, grouping: Grouping, missing_yes: ArrayLike
) -> Array:
    """Fit with missing answers as given; NaN where that determines no weight (all decisions alike, say)."""
    try:
        return fit_decisions(law, tables.cells(missing_yes=missing_yes), grouping).weights
    except (InputError, InternalError):
        return np.full(len(fit.names), np.nan)


def _counts_in(name: str, grouping: Grouping) -> NDArray[np.bool_]:
    """Say in which cells a weight counts, shape ``(32, 2)``; the intercept counts in all."""
    profiles = np.arange(N_PROFILES)
    severe = np.array([False, True])
    if name == "severity":
        return np.broadcast_to(severe, (N_PROFILES, 2))
    if name in TRAITS:
        mask = (profiles >> (len(TRAITS) - 1 - TRAITS.index(name)) & 1).astype(bool)
    elif name.startswith("profile_"):
        mask = profiles == int(name.removeprefix("profile_"), 2)
    elif name.startswith("group_"):
        mask = grouping.group == int(name.removeprefix("group_")) - 1
    else:
        mask = np.ones(N_PROFILES, dtype=bool)
    return np.broadcast_to(mask[:, None], (N_PROFILES, 2))


def curve_parameters(
    law: LawName,
    fit: MeanFieldFit | CavityFit,
    tables: RunTables,
    grouping: Grouping,
    resamples: Resamples,
) -> tuple[Parameter, ...]:
    """List the parameters of a law of curves; of mean-field laws the growth rate ``lambda`` is the last."""
    by_news = None
    if np.unique(tables.news).size > 1 and resamples.n_bootstrap:
        by_item = Resamples(resamples.n_bootstrap, by_news=True, level=resamples.level, seed=resamples.seed)
        by_news = fit_curve_law(law, tables, tables.engaged_fraction, grouping, by_item)
    if_yes = _if_yes(law, tables, grouping) if tables.n_missing else None
    items = {} if by_news is None else _values(by_news)
    found = []
    for name, (estimate, drawn) in _values(fit).items():
        interval = _wide(drawn)
        none = _ONE_VALUE if drawn else _why_no_draws(fit, resamples)
        found.append(
            Parameter(
                name=name,
                estimate=estimate,
                interval=interval,
                method=f"bootstrap over {fit.n_realizations} realizations" if interval else "",
                why_no_interval="" if interval else none,
                interval_by_news=_wide(items[name][1]) if name in items else None,
                bounds=None if if_yes is None else _curve_bounds(estimate, if_yes[name][0]),
            )
        )
    return tuple(found)


def _wide(interval: Interval | None) -> Interval | None:
    """Drop an interval that is a point: chance has a width."""
    return interval if interval and interval[0] < interval[1] else None


def _why_no_draws(fit: MeanFieldFit | CavityFit, resamples: Resamples) -> str:
    if not resamples.n_bootstrap:
        return "no resamples were asked for"
    if fit.n_realizations == 1:
        return "there is a single realization"
    if not len(fit.draws):
        return "the curves of all realizations are the same"
    return "no resample could be fitted"


def _values(fit: MeanFieldFit | CavityFit) -> dict[str, tuple[float, Interval | None]]:
    """Name a fit's parameters, with their intervals."""
    if isinstance(fit, CavityFit):
        return dict(_named("p", fit.transmission_probability, fit.probability_interval))
    rates = dict(_named("tau", fit.tau, fit.tau_interval))
    return rates | {"lambda": (fit.growth_rate, fit.growth_rate_interval)}


def _named(
    letter: str, values: tuple[float, ...], intervals: tuple[Interval, ...] | None
) -> Iterator[tuple[str, tuple[float, Interval | None]]]:
    for i, value in enumerate(values):
        name = letter if len(values) == 1 else f"{letter}_{i + 1}"
        yield name, (value, None if intervals is None else intervals[i])


def _if_yes(
    law: LawName, tables: RunTables, grouping: Grouping
) -> dict[str, tuple[float, Interval | None]] | None:
    try:
        return _values(fit_curve_law(law, tables, tables.engaged_fraction_if_yes, grouping, Resamples()))
    except (InputError, DesignError):
        return None


def _curve_bounds(as_recorded: float, if_yes: float) -> MissingBounds:
    return MissingBounds(if_yes, as_recorded, min(as_recorded, if_yes), max(as_recorded, if_yes))
