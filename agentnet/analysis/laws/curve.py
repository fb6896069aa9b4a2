"""Laws of curves: fitted to the mean engaged fraction by least squares, and curves themselves.

Intervals of their parameters come from a bootstrap over realizations, and over whole news items. For missing
answers there are the curves as recorded (a missing answer engages nobody) and those in which each agent with
a missing answer engages at its first one; the agents that it would have won over in turn are not in it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.estimates import too_few
from agentnet.analysis.fitting import (
    LEAST_DRAWN,
    CurveFit,
    Interval,
    KnownLaw,
    Resampling,
    checked_curves,
    fit_curves,
)
from agentnet.analysis.goodness import Outlook, outlook_of_law
from agentnet.analysis.laws.contract import (
    Law,
    ListedParameters,
    MissingBounds,
    Parameter,
    Playing,
    Resamples,
    in_shape,
)
from agentnet.analysis.solver import OpenLaw
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, InputError, InternalError

Array = NDArray[np.float64]
_ONE_VALUE = "all resamples give one value, as at a bound of the law"


class CurveLaw(Law):
    """A law of curves: `title`, `parameters`, and the formula `curve`.

    Attributes:
        asks: The asking rules that it holds for, the first taken for granted under others; empty if any.
        effect_of_rule: What becomes of it where the run asked by another one.
    """

    asks: ClassVar[tuple[str, ...]] = ()
    effect_of_rule: ClassVar[str] = "it is another law's run"
    formula = "curve"

    def curve(self, steps: Array, start: Array, **values: Array) -> Array:
        """Evaluate the engaged fraction, for several sets of parameters at once.

        Args:
            steps: 0..T, shape ``(n_steps + 1,)``.
            start: Engaged fraction at step 0, shape ``(n_sets, 1)``.
            values: Each parameter, shape ``(n_sets, 1)``.

        Returns:
            Shape ``(n_sets, n_steps + 1)``.
        """
        raise NotImplementedError(f"the law {self.name} has no formula: give it a method curve")

    def fit(self, resamples: Resamples = Resamples()) -> CurveFit[Any]:  # noqa: B008 - frozen
        """Fit it to the run's curves."""
        self.check()
        return self.fit_to(self.tables.engaged_fraction, resamples)

    def fit_to(self, curves: Array, resamples: Resamples = Resamples()) -> CurveFit[Any]:  # noqa: B008 - frozen
        """Fit it to curves of the run, or to changed ones, shape ``(n_realizations, n_steps + 1)``.

        Raises:
            InputError: The curves do not determine it.
            DesignError: The run is none that the law holds for.
        """
        checked = checked_curves(curves, len(self.parameters))
        start = _Formula(self, float(checked[:, 0].mean()), (0.0,) * len(self.parameters))
        return fit_curves(start, checked, self.resampling(resamples), level=resamples.level)

    def n_fitted(self, fit: CurveFit[Any]) -> int:
        """Count its parameters."""
        return len(fit.names)

    def resampling(self, resamples: Resamples) -> Resampling:
        """Say how the run's realizations are drawn anew."""
        cluster = self.tables.news if resamples.by_news else None
        return Resampling(resamples.n_bootstrap, cluster, resamples.seed)

    def by_group(self, fit: CurveFit[Any], tables: RunTables) -> Array:
        """Evaluate a fit over the steps of `tables`: engaged agents of each group over all agents.

        Returns:
            Shape ``(n_groups, n_steps + 1)``; one row, of the population, for a law that knows no groups.
        """
        curve: Array = fit.law.engaged_fraction(np.arange(tables.n_steps + 1))[None]
        return curve

    def outlook(self, fit: CurveFit[Any], tables: RunTables, playing: Playing) -> Outlook:
        """Evaluate its curves."""
        return outlook_of_law(self.by_group(fit, tables), playing.views)

    def by_severity(self) -> Iterator[tuple[int, CurveFit[Any]]]:
        """Fit it to the curves of each severity alone, if there are several; without intervals."""
        if len(self.tables.severities) == 1:
            return
        for severity in self.tables.severities:
            part = self.tables.select(np.flatnonzero(self.tables.severity == severity))
            try:
                yield severity, type(self)(part, self.grouping, self.named).fit()
            except (InputError, DesignError, InternalError):
                continue

    def listed(self, fit: CurveFit[Any], resamples: Resamples) -> ListedParameters:
        """List its parameters, and the growth rate ``lambda`` of laws that have one."""
        n_news = np.unique(self.tables.news).size
        of_news = self.fit(replace(resamples, by_news=True)) if n_news > 1 and resamples.n_bootstrap else None
        by_news = {} if of_news is None else named_values(of_news)
        of_all = _why_no_draws(fit, resamples, fit.n_realizations, "realization")
        of_items = _why_no_draws(of_news, resamples, n_news, "news item")
        if_yes = self._if_yes() if self.tables.n_missing else {}
        found = []
        for name, (estimate, drawn) in named_values(fit).items():
            drawn_by_news = by_news[name][1] if name in by_news else None
            interval, interval_by_news = _wide(drawn), _wide(drawn_by_news)
            parameter = Parameter(
                name=name,
                estimate=estimate,
                interval=interval,
                method=f"bootstrap over {fit.n_realizations:,} realizations" if interval else "",
                why_no_interval="" if interval else _ONE_VALUE if drawn else of_all,
                interval_by_news=interval_by_news,
                why_no_interval_by_news="" if interval_by_news else _ONE_VALUE if drawn_by_news else of_items,
                bounds=MissingBounds.of(if_yes[name][0], estimate) if name in if_yes else None,
            )
            found.append(parameter)
        if fit.growth_rate is None:
            return ListedParameters(tuple(found))
        return ListedParameters(tuple(found[:-1]), found[-1])

    def _if_yes(self) -> Mapping[str, tuple[float, Interval | None]]:
        try:
            return named_values(self.fit_to(self.tables.engaged_fraction_if_yes))
        except (InputError, DesignError):
            return {}

    def methods(self, resamples: Resamples, n_runs: int, *, is_played: bool) -> str:  # noqa: ARG002 - as of any law
        """Say how it is fitted."""
        n = resamples.n_bootstrap
        intervals = (
            f"intervals ({resamples.level:.0%}) are those of a bootstrap of {n:,} "
            f"resample{'' if n == 1 else 's'} over realizations (seed {resamples.seed})"
        )
        fitted = "by least squares to the mean engaged fraction"
        return f"{fitted}; {intervals if n else 'no intervals were computed'}"

    def warnings(self, fit: Any) -> Iterator[str]:  # noqa: ANN401, ARG002 - as of any law
        """Say where the run asked by another rule than the law takes for granted."""
        if self.asks and self.tables.asking_rule not in self.asks:
            yield (
                f"the law has agents asked at every step, and the run asked by the rule "
                f"{self.tables.asking_rule}: {self.effect_of_rule}"
            )


class GroupedCurve(CurveLaw):
    """A law of curves with a parameter for each group of profiles, on networks taken as random."""

    asks: ClassVar[tuple[str, ...]] = ("always",)

    @property
    def rule(self) -> str:
        """The asking rule that it is fitted for: the run's, where it holds for that."""
        return self.tables.asking_rule if self.tables.asking_rule in self.asks else self.asks[0]

    @property
    def shares(self) -> tuple[Array, Array]:
        """Fractions of agents, and of initial agents, in each group, each of shape ``(n_groups,)``."""
        group = self.grouping.group
        return self.tables.group_share(group), self.tables.initial_share(group)

    @property
    def yes_ratio(self) -> Array | None:
        """Share of yes among the answers of each group, shape ``(n_groups,)``; NaN where there is none."""
        cells, group = self.tables.cells(), self.grouping
        n_yes, n_no = (
            np.bincount(group.group, counts.sum(axis=1), group.n_groups)
            for counts in (cells.n_yes, cells.n_no)
        )
        with np.errstate(invalid="ignore"):
            found: Array = n_yes / (n_yes + n_no)
        return found

    def by_chances(self, fit: CurveFit[Any], chance: Array) -> Array:
        """Give what its parameters would be if they were the mean chance of a yes of each group's agents.

        Args:
            fit: A fit to curves, whose growth follows from its parameters.
            chance: Chance of a yes of each profile, shape ``(32,)``; NaN where that is not known.

        Returns:
            Parameters, and behind them the growth rate where the law has one; NaN where nothing is known.
        """
        known, n = np.isfinite(chance), len(fit.values)
        group = self.grouping.group if n > 1 else np.zeros_like(self.grouping.group)
        agents = self.tables.profile_agents.sum(axis=0) * known
        yes, every = (np.bincount(group, each, n) for each in (agents * np.nan_to_num(chance), agents))
        rates: Array = np.divide(yes, every, out=np.full(n, np.nan), where=every > 0)
        if fit.growth_rate is None:
            return rates
        told = bool(np.isfinite(rates).all())
        return np.append(rates, fit.law.with_values(rates).growth_rate if told else np.nan)

    @abstractmethod
    def fit_groups(self, curves: Array, **how: Any) -> CurveFit[Any]:  # noqa: ANN401 - the fit's own arguments
        """Fit it, with what `fit_mean_field` and `fit_cavity` have in common in `how`."""

    def fit_to(self, curves: Array, resamples: Resamples = Resamples()) -> CurveFit[Any]:  # noqa: B008 - frozen
        """Fit it to curves of the run, or to changed ones."""
        share, first = self.shares
        _check_shares(share, first * curves[:, 0].mean())
        resampling = self.resampling(resamples)
        return self.fit_groups(
            curves,
            group_share=share,
            initial_share=first,
            group_yes_ratio=self.yes_ratio,
            n_bootstrap=resampling.n_bootstrap,
            cluster=resampling.cluster,
            level=resamples.level,
            seed=resampling.seed,
        )

    def warnings(self, fit: Any) -> Iterator[str]:  # noqa: ANN401 - as of any law
        """Say where networks and rule are not what the law is about."""
        networks = self.tables.networks
        if networks.degree is None:
            low, high = networks.degrees[[0, -1]].tolist()
            yield (
                f"agents have {low} to {high} neighbours: this is the degree-based law, not that of regular "
                "networks"
            )
        elif not networks.is_random_regular:
            yield f"the law takes networks as random; here they are {', '.join(networks.names)}"
        if networks.is_directed:
            yield (
                "ties go one way: the law takes a tie as leading to agents in proportion to how many hear "
                "them, and those who hear as many others as alike"
            )
        yield from super().warnings(fit)


def _check_shares(share: Array, engaged: Array) -> None:
    if not (share > 0).all():
        empty = int(np.flatnonzero(share == 0)[0])
        raise DesignError(f"no agent of the run is in group {empty + 1}: its rate cannot be fitted")
    if (engaged > share).any():
        raise DesignError("a group has more initial agents than agents: these are not the groups of this run")


def named_values(fit: CurveFit[Any]) -> dict[str, tuple[float, Interval | None]]:
    """Name a fit's parameters and its growth rate, with their intervals; a single one needs no number."""
    names = [fit.names[0].removesuffix("_1")] if len(fit.names) == 1 else fit.names
    found: dict[str, tuple[float, Interval | None]] = {
        name: (value, None if fit.intervals is None else fit.intervals[i])
        for i, (name, value) in enumerate(zip(names, fit.values, strict=True))
    }
    if fit.growth_rate is not None:
        found["lambda"] = fit.growth_rate, fit.growth_rate_interval
    return found


def _wide(interval: Interval | None) -> Interval | None:
    """Drop an interval that is a point: chance has a width."""
    return interval if interval and interval[0] < interval[1] else None


def _why_no_draws(fit: CurveFit[Any] | None, resamples: Resamples, n: int, thing: str) -> str:
    if not resamples.n_bootstrap:
        return "no resamples were asked for"
    if few := too_few(n, thing, LEAST_DRAWN):
        return few
    if fit is None or not len(fit.draws):
        return f"the curves of all {thing}s are the same"
    return "no resample could be fitted"


@dataclass(frozen=True, slots=True)
class _Formula(KnownLaw):
    """A law that is its formula, with known parameters.

    Attributes:
        of: The law.
        start: Engaged fraction at step 0.
        values: The parameters, in the order of `of.parameters`.
    """

    of: CurveLaw
    start: float
    values: tuple[float, ...]

    @property
    def growth_rate(self) -> None:
        """A formula says nothing of it."""
        return None

    def with_values(self, values: Array) -> _Formula:
        """Give it other parameters."""
        return replace(self, values=tuple(values.tolist()))

    def engaged_fraction(self, step: ArrayLike) -> Array:
        """Evaluate E at times in steps, shape ``(n_steps,)``."""
        steps, start = np.asarray(step, np.float64), np.array([self.start])
        found: Array = _FormulaCurves(self.of, steps, start).curves(np.array([self.values]))[0]
        return found

    def opened(self, n_steps: int) -> OpenLaw:
        """Leave its parameters open."""
        steps, bounds = np.arange(n_steps + 1.0), tuple(self.of.parameters.values())
        return OpenLaw(
            names=tuple(self.of.parameters),
            family=lambda start: _FormulaCurves(self.of, steps, start),
            lower=np.array([each.low for each in bounds]),
            upper=np.array([each.high for each in bounds]),
            levels=tuple(np.array(each.starts) for each in bounds),
        )


@dataclass(frozen=True, slots=True)
class _FormulaCurves:
    """The curves of a formula, whose derivatives are differences."""

    law: CurveLaw
    steps: Array
    start: Array

    def curves(self, parameters: Array) -> Array:
        """Evaluate the curves, shape ``(n_fits, n_steps + 1)``."""
        values = {name: parameters[:, [i]] for i, name in enumerate(self.law.parameters)}
        # What a formula wrote into these, later curves would begin with.
        steps, start = self.steps.view(), self.start[:, None]
        steps.flags.writeable = start.flags.writeable = False
        with np.errstate(all="ignore"):
            found = self.law.curve(steps, start, **values)
        return in_shape(found, (len(parameters), self.steps.size), self.law)

    def with_slopes(self, parameters: Array) -> tuple[Array, Array]:
        """Evaluate the curves and their derivatives, shape ``(n_fits, n_steps + 1, n_parameters)``."""
        bounds = self.law.parameters.values()
        slopes = [
            by_differences(self.curves, parameters, i, each.low, each.high) for i, each in enumerate(bounds)
        ]
        return self.curves(parameters), np.stack(slopes, axis=-1)


def by_differences(function: Any, parameters: Array, place: int, low: float, high: float) -> Array:  # noqa: ANN401
    """Differentiate by one parameter: central differences, one-sided ones at a bound.

    Args:
        function: From parameters of shape ``(n_sets, n_parameters)`` to shape ``(n_sets, n)``.
        parameters: Where.
        place: Which parameter.
        low: Its lower bound.
        high: Its upper bound.
    """
    value = parameters[:, place]
    width = 6e-6 * np.maximum(np.abs(value), 1e-3)
    above, below = parameters.copy(), parameters.copy()
    above[:, place], below[:, place] = np.minimum(value + width, high), np.maximum(value - width, low)
    rise = function(above) - function(below)
    slope: Array = rise / (above[:, place] - below[:, place])[:, None]
    return slope
