"""Goodness of fit: mean curves side by side, their distance, and the distance that chance alone makes.

RMSE between the mean observed and the inferred curve over steps 0..T, and NRMSE, the same over the mean
observed value (Tian et al. 2026, section 3), each for the population, each severity and each group. Bands are
one standard deviation of single cascades either side.

A distance means nothing without its noise floor: two samples of the same law differ as well. If single
curves have covariance C, the difference of two mean curves of n and m of them is normal with covariance
C (1 / n + 1 / m), and the mean square of its T + 1 values is a sum of chi-squared variables weighted by the
eigenvalues. C is taken within severities, in the proportions of the run. A law that is a curve without chance
has m = infinity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.algebra import eigenvalues
from agentnet.analysis.contrasts import OF_SHARES, mean_interval
from agentnet.analysis.estimates import Interval
from agentnet.analysis.fitting import nrmse, rmse
from agentnet.analysis.given import numbers
from agentnet.analysis.simulation import Inferred
from agentnet.analysis.tables import SEVERITY_NAMES, RunTables
from agentnet.errors import InputError
from agentnet.given import Count
from agentnet.streams import Streams

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

POPULATION = "population"

_N_DRAWS = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A mean curve.

    Attributes:
        mean: Shape ``(n_steps + 1,)``.
        sd: Standard deviation of single cascades, same shape: the band is ``mean - sd`` to ``mean + sd``.
            None for a law without chance, and for a single cascade.
        n: Cascades that were averaged; None for a law without chance.
    """

    mean: Array
    sd: Array | None = None
    n: int | None = None

    @classmethod
    def of(cls, curves: Array) -> Curve:
        """Average curves of shape ``(n, n_steps + 1)``."""
        n = len(curves)
        return cls(curves.mean(axis=0), curves.std(axis=0, ddof=1) if n > 1 else None, n)


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The RMSE between two samples of the same law.

    Attributes:
        mean: Its expected value.
        quantile_95: The value that it exceeds in one of twenty cases.
    """

    mean: float
    quantile_95: float

    def with_inferred(self, n_observed: int, n_inferred: int | None) -> NoiseFloor:
        """Widen a floor for a curve without chance to one for the mean of inferred cascades."""
        factor = 1.0 if n_inferred is None else math.sqrt(1 + n_observed / n_inferred)
        return NoiseFloor(self.mean * factor, self.quantile_95 * factor)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """An observed and an inferred mean curve.

    Attributes:
        view: What is compared: ``population``, ``peaceful``, ``severe``, ``group 1``, ...
        observed: The run's curve.
        inferred: The law's curve.
        rmse: Their distance.
        nrmse: The same over the mean observed value.
        floor: The distance that chance alone makes; None where a single cascade was observed.
    """

    view: str
    observed: Curve
    inferred: Curve
    rmse: float
    nrmse: float
    floor: NoiseFloor | None


def noise_floor(
    curves: ArrayLike,
    *,
    n_observed: Count | None = None,
    n_inferred: Count | None = None,
    severity: ArrayLike | None = None,
    seed: int = 0,
) -> NoiseFloor | None:
    """Compute the RMSE that two perfect samples of these sizes have.

    Args:
        curves: Single curves that show how cascades vary, shape ``(n, n_steps + 1)``.
        n_observed: Cascades in the first sample; as many as there are curves if None.
        n_inferred: Cascades in the second; None for a curve without chance.
        severity: What the curves are stratified by, shape ``(n,)``: both samples have the same shares.
        seed: Fixes the draws that the quantile is taken from.

    Returns:
        The floor; None where no stratum has two curves.
    """
    single = numbers(curves, "curves")
    if single.ndim != 2:
        raise InputError(f"must have shape (n_curves, n_steps); got {single.shape}", field="curves")
    strata = np.zeros(len(single), np.int64) if severity is None else np.asarray(severity)
    if strata.shape != single.shape[:1]:
        raise InputError(f"must have shape ({len(single)},); got {strata.shape}", field="severity")
    covariance = _covariance(single, strata)
    if covariance is None:
        return None
    values = eigenvalues(covariance) / (len(single) if n_observed is None else n_observed)
    shares = np.maximum(values, 0.0) / single.shape[1]
    # What little the small ones add is taken as certain.
    large = shares > 1e-3 * shares[-1]
    draws = Streams(seed).generator("noise floor").standard_normal((_N_DRAWS, int(large.sum())))
    distance = np.sqrt(draws**2 @ shares[large] + shares[~large].sum())
    floor = NoiseFloor(float(distance.mean()), float(np.quantile(distance, 0.95)))
    return floor.with_inferred(len(single) if n_observed is None else n_observed, n_inferred)


def _covariance(curves: Array, strata: Ints) -> Array | None:
    """Average the covariance of single curves within strata, those with one curve aside."""
    total, weight = np.zeros((curves.shape[1],) * 2), 0
    for stratum in np.unique(strata):
        member = curves[strata == stratum]
        if len(member) > 1:
            total += len(member) * np.cov(member, rowvar=False)
            weight += len(member)
    return total / weight if weight else None


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at cascades.

    Attributes:
        name: ``population``, ``peaceful``, ``severe``, ``group 1``, ...
        severity: The severity it is limited to; None for all.
        group: The group it is limited to; None for all.
    """

    name: str
    severity: int | None = None
    group: int | None = None

    def curves(self, by_group: Array, severity: Ints) -> Array:
        """Take curves from engaged fractions.

        Args:
            by_group: Engaged agents of each group over all agents, shape ``(n, n_groups, n_steps + 1)``.
            severity: Shape ``(n,)``.

        Returns:
            Shape ``(n_kept, n_steps + 1)``.
        """
        curves: Array = by_group.sum(axis=1) if self.group is None else by_group[:, self.group]
        return curves[self.seen(severity)]

    def seen(self, severity: Ints) -> NDArray[np.bool_]:
        """Say which cascades are seen."""
        return np.full(severity.shape, True) if self.severity is None else severity == self.severity


def views(severities: tuple[int, ...], n_groups: int) -> tuple[View, ...]:
    """List the views: the population, each severity if there are several, each group if there are several."""
    found = [View(POPULATION)]
    if len(severities) > 1:
        found += [View(SEVERITY_NAMES[severity], severity=severity) for severity in severities]
    if n_groups > 1:
        found += [View(f"group {group + 1}", group=group) for group in range(n_groups)]
    return tuple(found)


def views_of(tables: RunTables) -> dict[str, NDArray[np.bool_]]:
    """Say which realizations each view but those of groups sees, shape ``(n_realizations,)``."""
    return {view.name: view.seen(tables.severity) for view in views(tables.severities, 1)}


@dataclass(frozen=True, slots=True)
class FinalEngagement:
    """The mean engaged fraction after the last step.

    Attributes:
        name: Of what view.
        mean: The mean.
        sd: Standard deviation of single realizations; None for one.
        interval: Confidence interval of the mean; None for one realization, and where all ended alike, which
            does not tell how much they could differ.
        by_news_item_interval: The same with news items as what is independent; None for one item, likewise.
        n: Realizations.
    """

    name: str
    mean: float
    sd: float | None
    interval: Interval | None
    by_news_item_interval: Interval | None
    n: int


def mean_final_engagement(tables: RunTables, level: float) -> tuple[FinalEngagement, ...]:
    """Estimate the engaged fraction after the last step: of all realizations, and by severity.

    Intervals are Student's of the logit, of the realizations or of the news items' means.
    """
    found = []
    for name, seen in views_of(tables).items():
        values, items = tables.engaged_fraction[seen, -1], tables.news[seen]
        means = np.array([values[items == item].mean() for item in np.unique(items)])
        of = Curve.of(values[:, None])
        sd = None if of.sd is None else float(of.sd[0])
        intervals = _of_share(values, level), _of_share(means, level)
        found.append(FinalEngagement(name, float(of.mean[0]), sd, *intervals, len(values)))
    return tuple(found)


def _of_share(values: Array, level: float) -> Interval | None:
    _, low, high = mean_interval(values[:, None], level, OF_SHARES)
    return (float(low[0]), float(high[0])) if high[0] > low[0] else None


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """The curves of a run, by group.

    Attributes:
        by_group: Engaged agents of each group over all agents, shape ``(n, n_groups, n_steps + 1)``.
        severity: Shape ``(n,)``.
        floors: The noise floor of each view for a law without chance; None where there is none.
    """

    by_group: Array
    severity: Ints
    floors: Mapping[str, NoiseFloor | None]

    @classmethod
    def of(cls, tables: RunTables, groups: ArrayLike, *, seed: int = 0) -> Observed:
        """Take them from tables.

        Args:
            tables: The run.
            groups: Group of each profile.
            seed: Fixes the draws of the noise floors.
        """
        by_group, severity = tables.group_engaged_fraction(groups), tables.severity
        floors = {
            view.name: noise_floor(
                view.curves(by_group, severity), severity=severity[view.seen(severity)], seed=seed
            )
            for view in views(tables.severities, by_group.shape[1])
        }
        return cls(by_group, severity, floors)

    @property
    def views(self) -> tuple[View, ...]:
        """The ways to look at them."""
        return views(tuple(np.unique(self.severity).tolist()), self.by_group.shape[1])


Outlook = dict[str, Curve]
"""What a law infers: the curve of each view."""


def outlook_of_cascades(inferred: Inferred, seen: tuple[View, ...]) -> Outlook:
    """Average inferred cascades by view; a severity that none of them has is left out."""
    # Cascades of unknown severity were played as peaceful ones.
    severity = inferred.severity
    found: Outlook = {}
    for view in seen:
        known = View(view.name, None if view.severity is None else max(view.severity, 0), view.group)
        curves = known.curves(inferred.group_engaged_fraction, severity)
        if len(curves):
            found[view.name] = Curve.of(curves)
    return found


def outlook_of_law(by_group: Array, seen: tuple[View, ...]) -> Outlook:
    """Take the views of a law without chance, which knows no severities.

    Args:
        by_group: Its engaged fractions, shape ``(n_groups, n_steps + 1)``; one row for a law that knows no
            groups either, which has no views of them.
        seen: The views.
    """
    nothing = np.zeros(1, dtype=np.int64)
    known = [view for view in seen if view.group is None or len(by_group) > 1]
    return {view.name: Curve(View("", None, view.group).curves(by_group[None], nothing)[0]) for view in known}


def compare_views(observed: Observed, outlook: Outlook) -> tuple[Comparison, ...]:
    """Compare a law with a run, view by view.

    Args:
        observed: The run's curves.
        outlook: The law's curves.
    """
    return tuple(_compared(observed, outlook))


def _compared(observed: Observed, outlook: Outlook) -> Iterator[Comparison]:
    for view in observed.views:
        if view.name not in outlook:
            continue
        curve = Curve.of(view.curves(observed.by_group, observed.severity))
        inferred, floor = outlook[view.name], observed.floors[view.name]
        yield Comparison(
            view=view.name,
            observed=curve,
            inferred=inferred,
            rmse=rmse(curve.mean, inferred.mean),
            nrmse=nrmse(curve.mean, inferred.mean),
            floor=None if floor is None else floor.with_inferred(curve.n or 1, inferred.n),
        )
