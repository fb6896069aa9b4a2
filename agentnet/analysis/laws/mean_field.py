"""Mean-field SI laws of news cascades: their curves, equilibria and growth, and how to fit them.

On a k-regular network, with a transmission rate tau_i for each group i of agents,

    dU_i/dt = -k tau_i U_i E,    sum_i U_i + E = 1

(Tian et al. 2026, section 2.4.2; one group is the ordinary SI law). Group sizes are data, the rates are
fitted: least squares between E(t) and the mean observed curve over all steps. On networks that are not
regular the classes of agents with d neighbours follow the degree-based law (Pastor-Satorras & Vespignani
2001)

    dU_di/dt = -d tau_i U_di F,    F = sum_d d E_d / sum_d d N_d,

in which a random link leads to an agent in proportion to its degree. Where ties go one way, it leads to an
agent in proportion to how many hear it, h, so F = sum_d h_d E_d / sum_d h_d N_d, h_d being the mean h of
those who hear d; agents who hear as many are taken as alike, however many hear them. The mean-field laws
forget that whoever engaged an agent is one of its neighbours, so tau is no transmission probability: it
absorbs the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.fitting import (
    CurveFit,
    Resampling,
    checked_curves,
    checked_level,
    checked_shares,
    fit_curves,
)
from agentnet.analysis.given import numbers
from agentnet.analysis.laws.contract import (
    GROWTH,
    OF_GROUPS,
    OF_POPULATION,
    OF_SEVERITIES,
    Distances,
    Equilibrium,
    Parameter,
    Sight,
    Stability,
    distances,
)
from agentnet.analysis.laws.curve import GroupedCurve
from agentnet.analysis.si_integral import SIClasses, SICurves
from agentnet.analysis.solver import CurveFamily, OpenLaw
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeanFieldLaw:
    """A mean-field SI law with known parameters.

    Attributes:
        tau: Transmission rate of each group, per step and engaged neighbour, >= 0.
        group_share: Fraction of the population in each group; they add up to 1.
        initial_engaged: Engaged fraction of the population at step 0, in each group.
        degrees: Number of neighbours of each degree class: one on a regular network.
        degree_share: Fraction of agents in each degree class.
        hearers: Mean number of those who hear an agent of each degree class; as many as it hears if None.

    Examples:
        >>> law = MeanFieldLaw((0.0127, 0.2852), (0.25, 0.75), (0.0, 1 / 128), (5.0,))
        >>> law.engaged_fraction([0, 5, 10, 15]).round(3)
        array([0.008, 0.542, 0.812, 0.856])
        >>> round(law.growth_rate, 3)
        1.085
    """

    tau: tuple[float, ...]
    group_share: tuple[float, ...]
    initial_engaged: tuple[float, ...]
    degrees: tuple[float, ...]
    degree_share: tuple[float, ...] = (1.0,)
    hearers: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        n_groups = len(self.tau)
        share = checked_shares("group_share", self.group_share, n_groups)
        checked_shares("degree_share", self.degree_share, len(self.degrees))
        initial = np.asarray(self.initial_engaged, np.float64)
        if initial.shape != share.shape or not ((initial >= 0) & (initial <= share)).all():
            raise DesignError(
                f"initial_engaged must lie between 0 and group_share in each group; got "
                f"{self.initial_engaged} and {self.group_share}"
            )
        if not 0 < initial.sum() < 1:
            raise DesignError(f"the engaged fraction at step 0 must lie in (0, 1); got {initial.sum():g}")
        if len(self._heard) != len(self.degrees) or not min(self._heard) >= 0 or not max(self._heard) > 0:
            raise DesignError(f"hearers must be a number of at least 0 for each degree; got {self.hearers}")
        if not min(self.tau) >= 0 or not min(self.degrees) >= 0 or not self.mean_degree > 0:
            raise DesignError(f"rates and degrees must be at least 0; got {self.tau} and {self.degrees}")

    @property
    def mean_degree(self) -> float:
        """Mean number of neighbours."""
        return float(np.dot(self.degrees, self.degree_share))

    @property
    def _heard(self) -> tuple[float, ...]:
        return self.degrees if self.hearers is None else self.hearers

    @property
    def growth_rate(self) -> float:
        """Rate lambda at which E grows from nearly nothing, per step: k sum_i tau_i U_i on a regular network.

        With degree classes k becomes the mean degree at the heard end of a tie: the mean squared degree over
        the mean degree, where ties are heard at both ends.
        """
        seen = np.multiply(self._heard, self.degree_share)
        excess = float(np.dot(self.degrees, seen)) / float(seen.sum())
        return excess * float(np.dot(self.tau, self.group_share))

    def engaged_fraction(self, step: ArrayLike) -> Array:
        """Evaluate E at times in steps, shape ``(n_steps,)``, >= 0."""
        engaged: Array = self.group_engaged_fraction(step).sum(axis=0)
        return engaged

    def group_engaged_fraction(self, step: ArrayLike) -> Array:
        """Evaluate the engaged agents of each group over all agents, shape ``(n_groups, n_steps)``."""
        steps = _checked_steps(step)
        classes = self._classes(np.array(self.group_share) - np.array(self.initial_engaged))
        left = classes.unengaged(np.array([self.tau]), steps)[0]
        by_group = left.reshape(len(self.tau), len(self.degrees), -1).sum(axis=1)
        engaged: Array = np.array(self.group_share)[:, None] - by_group
        return engaged

    def equilibria(self) -> tuple[Equilibrium, Equilibrium]:
        """Find the state without engaged agents, at this law's group sizes, and the state of all engaged.

        The first is one of a line: any group sizes do. Its only eigenvalue off that line is `growth_rate`.
        """
        n_classes = len(self.tau) * len(self.degrees)
        empty = (self.growth_rate, *(0.0,) * (n_classes - 1))
        full = sorted((-d * t for d in self.degrees for t in self.tau), reverse=True)
        free = Equilibrium(self.group_share, 0.0, empty, "unstable" if self.growth_rate > 0 else "neutral")
        stability: Stability = "stable" if full[0] < 0 else "neutral"
        return free, Equilibrium((0.0,) * len(self.tau), 1.0, tuple(x + 0.0 for x in full), stability)

    @property
    def values(self) -> tuple[float, ...]:
        """The rates."""
        return self.tau

    def with_values(self, values: Array) -> MeanFieldLaw:
        """Give it other rates."""
        return replace(self, tau=tuple(values.tolist()))

    def opened(self, n_steps: int) -> OpenLaw:
        """Leave the rates open."""
        steps = np.arange(n_steps + 1.0)
        share, initial = np.array(self.group_share), np.array(self.initial_engaged)

        def family(start: Array) -> CurveFamily:
            engaged = start[:, None] * (initial / initial.sum())
            return SICurves(self._classes(share - engaged), steps)

        rates = np.concatenate([[0.0], np.geomspace(0.02, 15.0, 20)]) / self.mean_degree
        names = tuple(f"tau_{group + 1}" for group in range(share.size))
        upper = np.full(share.size, 100.0 / self.mean_degree)
        return OpenLaw(names, family, np.zeros(share.size), upper, (rates,) * share.size)

    def _classes(self, unengaged: Array) -> SIClasses:
        """Cross groups, shape ``(n_groups,)`` or ``(n_sets, n_groups)``, with degree classes."""
        degrees, degree_share = np.array(self.degrees), np.array(self.degree_share)
        n_groups = unengaged.shape[-1]
        seen_share = degree_share * self._heard / (degree_share @ self._heard)
        crossed = (*unengaged.shape[:-1], n_groups * degrees.size)
        return SIClasses(
            share=(unengaged[..., None] * degree_share).reshape(crossed),
            seen=(unengaged[..., None] * seen_share).reshape(crossed),
            load=np.kron(np.eye(n_groups), degrees[:, None]).astype(np.float64),
        )


def _checked_steps(step: ArrayLike) -> Array:
    steps = np.atleast_1d(np.asarray(step, dtype=np.float64))
    if steps.ndim != 1 or not (steps >= 0).all():
        raise DesignError(f"steps must be times of at least 0, in one row; got shape {np.shape(step)}")
    return steps


def fit_mean_field(
    engaged_fraction: ArrayLike,
    *,
    degree: ArrayLike,
    degree_share: ArrayLike | None = None,
    hearers: ArrayLike | None = None,
    group_share: ArrayLike = (1.0,),
    initial_share: ArrayLike | None = None,
    group_yes_ratio: ArrayLike | None = None,
    n_bootstrap: int = 200,
    cluster: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> CurveFit[MeanFieldLaw]:
    """Fit the transmission rates of the mean-field law by least squares.

    Intervals come from resampling realizations: residuals are correlated, and the curvature at the optimum
    would make them 1.2 to 3 times too narrow.

    Args:
        engaged_fraction: Curves E(t) after steps 0..T, shape ``(n_realizations, n_steps + 1)``, or one curve.
        degree: Number of neighbours: one for a regular network; that of each agent for the degree-based law.
        degree_share: Fraction of agents with each degree; if given, `degree` lists different degrees.
        hearers: Mean number of those who hear an agent of each of these; as many as it hears if None.
        group_share: Fraction of the population in each group; one group is the one-rate law.
        initial_share: Fraction of the initial agents in each group; that of the population if None.
        group_yes_ratio: Observed share of yes among each group's decisions, shape ``(n_groups,)``. Where the
            curve does not tell which group has which parameter, their order follows it.
        n_bootstrap: Number of resamples; 0 for no intervals.
        cluster: Names of clusters that are drawn whole, such as news items, shape ``(n_realizations,)``.
        level: Confidence level of the intervals, in (0, 1).
        seed: Fixes the resamples.

    Raises:
        InputError: The curves are no curves of engaged fractions, or too short.
        DesignError: Another argument is impossible.
    """
    checked_level(level)
    share = checked_shares("group_share", group_share)
    curves = checked_curves(engaged_fraction, share.size)
    degrees, shares = _degree_classes(degree, degree_share)
    first = share if initial_share is None else checked_shares("initial_share", initial_share, share.size)
    start = MeanFieldLaw(
        tau=(0.0,) * share.size,
        group_share=tuple(share.tolist()),
        initial_engaged=tuple((first * curves[:, 0].mean()).tolist()),
        degrees=tuple(degrees.tolist()),
        degree_share=tuple(shares.tolist()),
        hearers=None if hearers is None else tuple(np.atleast_1d(numbers(hearers, "hearers")).tolist()),
    )
    return fit_curves(
        start,
        curves,
        Resampling(n_bootstrap, cluster, seed),
        level=level,
        yes_ratio=group_yes_ratio,
        at_zero=": its group hardly engages in these steps",
    )


def _degree_classes(degree: ArrayLike, share: ArrayLike | None) -> tuple[Array, Array]:
    degrees = np.atleast_1d(numbers(degree, "degree"))
    if degrees.ndim != 1 or not degrees.size or not (degrees >= 0).all() or not degrees.any():
        raise DesignError("degree must be the number of neighbours of all agents, or of each, and not all 0")
    if share is not None:
        return degrees, checked_shares("degree_share", share, degrees.size)
    values, count = np.unique(degrees, return_counts=True)
    return values, count / count.sum()


class _MeanField(GroupedCurve):
    """What both mean-field laws share."""

    called = "mean-field law"
    effect_of_rule = "its rates absorb the rule"
    table = 2

    def finding(self, parameters: Sequence[Parameter], growth_rate: Parameter | None) -> Iterator[str]:
        """Say its rates, and what growth they make."""
        *others, last = (f"{each.name} = {each.in_words()}" for each in parameters)
        rates = f"{', '.join(others)} and {last}" if others else last
        growth = "" if growth_rate is None else f", growth rate lambda = {growth_rate.in_words()}"
        yield f"The {self.heading} law has {rates} per step{growth}"

    def fit_groups(self, curves: Array, **how: Any) -> CurveFit[MeanFieldLaw]:  # noqa: ANN401 - of fit_mean_field
        """Fit the rates, on the degrees of the run."""
        networks = self.tables.networks
        return fit_mean_field(
            curves,
            degree=networks.degrees,
            degree_share=networks.degree_share,
            hearers=networks.mean_hearers,
            **how,
        )

    def by_group(self, fit: CurveFit[MeanFieldLaw], tables: RunTables) -> Array:
        """Evaluate the engaged agents of each group."""
        return fit.law.group_engaged_fraction(np.arange(tables.n_steps + 1))

    def equilibria(self, fit: CurveFit[MeanFieldLaw]) -> tuple[Equilibrium, ...]:
        """Find where nothing changes."""
        return fit.law.equilibria()


class OneRate(_MeanField):
    """The ordinary SI law."""

    title = "one-rate mean field"
    figures: ClassVar[Mapping[str, Sight]] = {"figure06_growth": GROWTH}
    rank = 4

    @property
    def shares(self) -> tuple[Array, Array]:
        """All agents are of one group."""
        return np.ones(1), np.ones(1)

    @property
    def yes_ratio(self) -> None:
        """One group needs no order."""
        return None

    def by_group(self, fit: CurveFit[MeanFieldLaw], tables: RunTables) -> Array:
        """Write it as a law of groups that have the same rate, which changes nothing in sum."""
        law, group = fit.law, self.grouping.group
        share, first = tables.group_share(group), tables.initial_share(group)
        start = float(np.sum(law.initial_engaged))
        initial = np.minimum(first * start, share)
        alike = replace(
            law,
            tau=law.tau * self.grouping.n_groups,
            group_share=tuple(share.tolist()),
            initial_engaged=tuple((initial * start / initial.sum()).tolist()),
        )
        return alike.group_engaged_fraction(np.arange(tables.n_steps + 1))


class GroupRates(_MeanField):
    """The SI law with a rate for each group of profiles (Tian et al. 2026, section 2.4.2)."""

    title = "{n_groups}-rate mean field"
    figures: ClassVar[Mapping[str, Sight]] = {
        "figure06_growth": GROWTH,
        "figure10_population_mean_field": OF_POPULATION,
        "figure11_severity_mean_field": OF_SEVERITIES,
        "figure12_groups_mean_field": OF_GROUPS,
    }
    rank = 5
    needs_groups = True
    published: ClassVar[Distances] = distances(
        (0.0223, None), (0.0098, None), (0.0374, None), (0.0072, 0.1696), (0.0236, 0.0377)
    )
