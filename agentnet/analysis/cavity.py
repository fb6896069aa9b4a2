"""The cavity law: the exact limit, for many agents, of a cascade on random k-regular networks.

A random regular network looks like a tree around each agent, so the messages of its neighbours are
independent if the agent itself is taken away (the cavity; dynamic message passing, Karrer & Newman 2010,
Lokhov et al. 2014). Let F(s) be the chance that a neighbour in the cavity engages at step s, and
q_g = 1 - p_g the chance that one question leaves an agent of group g unmoved. One neighbour has failed to
engage it by step t with probability

    phi_g(t) = sum_{s<t} F(s) q_g^(t-s) + 1 - sum_{s<t} F(s),

all k of them with probability phi_g(t)^k, and in the cavity k - 1 of them; with initial agents rho_g,

    S_g(t) = (1 - rho_g) phi_g(t)^k,    F(t) = sum_g w_g (1 - rho_g) (phi_g(t-1)^(k-1) - phi_g(t)^(k-1)),

F(0) = sum_g w_g rho_g, and E(t) = 1 - sum_g w_g S_g(t). The sum with q_g obeys A(t) = q (A(t-1) + F(t-1)),
so a curve takes n_steps * n_groups operations. The law holds for the asking rule `always`; unlike the
mean-field rate, its parameter is the transmission probability of one exposure. A cascade of few agents from
one initial agent starts by chance earlier or later, which no law of infinitely many agents can show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.fitting import (
    CurveFamily,
    CurveLaw,
    Profile,
    checked_curves,
    checked_level,
    checked_shares,
    fit_curves,
    intervals,
    nrmse,
    profile,
    rmse,
)
from agentnet.errors import DesignError, near_miss

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CavityLaw:
    """A cavity law with known parameters.

    Attributes:
        transmission_probability: Chance that one exposure engages an agent of each group, in [0, 1].
        group_share: Fraction of the population in each group; they add up to 1.
        initial_engaged: Engaged fraction of the population at step 0, in each group.
        degree: Number of neighbours of every agent, >= 1.
    """

    transmission_probability: tuple[float, ...]
    group_share: tuple[float, ...]
    initial_engaged: tuple[float, ...]
    degree: int

    def __post_init__(self) -> None:
        probability = np.asarray(self.transmission_probability, np.float64)
        share = checked_shares("group_share", self.group_share, probability.size)
        initial = np.asarray(self.initial_engaged, np.float64)
        if not ((probability >= 0) & (probability <= 1)).all():
            raise DesignError(f"transmission probabilities must lie in [0, 1]; got {probability.tolist()}")
        if initial.shape != share.shape or not ((initial >= 0) & (initial <= share)).all():
            raise DesignError(
                f"initial_engaged must lie between 0 and group_share in each group; got "
                f"{self.initial_engaged} and {self.group_share}"
            )
        if self.degree != int(self.degree) or self.degree < 1:
            raise DesignError(
                "the cavity law needs a network whose agents all have the same number of neighbours, a "
                f"whole number of at least 1; got {self.degree}"
            )

    def engaged_fraction(self, n_steps: int) -> Array:
        """Evaluate E after steps 0..n_steps, shape ``(n_steps + 1,)``."""
        engaged: Array = self.group_engaged_fraction(n_steps).sum(axis=0)
        return engaged

    def group_engaged_fraction(self, n_steps: int) -> Array:
        """Evaluate the engaged agents of each group over all agents, shape ``(n_groups, n_steps + 1)``."""
        share, initial = np.array(self.group_share), np.array(self.initial_engaged)
        message = _Message(np.array([self.transmission_probability]), initial[None].sum(axis=1))
        left = np.empty((share.size, n_steps + 1))
        for step in range(n_steps + 1):
            left[:, step] = ((share - initial) * message.failed**self.degree)[0]
            message.advance(share - initial, self.degree)
        return share[:, None] - left


class _Message:
    """What one neighbour has not achieved, step by step, for several parameter sets; with derivatives.

    Attributes:
        failed: phi, shape ``(n_sets, n_groups)``.
        failed_slope: Its derivatives, shape ``(n_sets, n_groups, n_groups)``: the last axis is the parameter.
    """

    __slots__ = ("_asking", "_asking_slope", "_fresh", "_fresh_slope", "_q", "_silent", "_silent_slope")

    def __init__(self, probability: Array, start: Array) -> None:
        n_sets, n_groups = probability.shape
        self._q = 1 - probability
        self._asking = np.zeros((n_sets, n_groups))
        self._asking_slope = np.zeros((n_sets, n_groups, n_groups))
        self._silent = np.ones((n_sets, 1))
        self._silent_slope = np.zeros((n_sets, 1, n_groups))
        self._fresh = start[:, None]
        self._fresh_slope = np.zeros((n_sets, 1, n_groups))

    @property
    def failed(self) -> Array:
        """The chance that a neighbour has not won the agent over, shape ``(n_sets, n_groups)``."""
        return self._asking + self._silent

    @property
    def failed_slope(self) -> Array:
        """Derivatives of `failed`, shape ``(n_sets, n_groups, n_parameters)``."""
        return self._asking_slope + self._silent_slope

    def advance(self, unengaged: Array, degree: int) -> None:
        """Go one step on: fresh messages are asked for the first time, and others engage.

        Args:
            unengaged: w_g (1 - rho_g), shape ``(n_groups,)`` or ``(n_sets, n_groups)``.
            degree: Number of neighbours.
        """
        before, before_slope = self.failed, self.failed_slope
        asked = self._asking + self._fresh
        self._asking_slope = self._q[:, :, None] * (self._asking_slope + self._fresh_slope)
        np.einsum("ngg->ng", self._asking_slope)[...] -= asked
        self._asking = self._q * asked
        self._silent = self._silent - self._fresh
        self._silent_slope = self._silent_slope - self._fresh_slope
        after, after_slope = self.failed, self.failed_slope
        lost = unengaged * (before ** (degree - 1) - after ** (degree - 1))
        self._fresh = lost.sum(axis=1, keepdims=True)
        falls = _power_slope(before, before_slope, degree - 1) - _power_slope(after, after_slope, degree - 1)
        self._fresh_slope = (unengaged[..., None] * falls).sum(axis=1, keepdims=True)


def _power_slope(base: Array, slope: Array, exponent: int) -> Array:
    """Differentiate ``base ** exponent``."""
    if exponent == 0:
        return np.zeros_like(slope)
    return exponent * base[:, :, None] ** (exponent - 1) * slope


def _engaged(
    probability: Array, share: Array, initial: Array, degree: int, n_steps: int
) -> tuple[Array, Array]:
    """Evaluate E and its derivatives for several parameter sets.

    Args:
        probability: Shape ``(n_sets, n_groups)``.
        share: Shape ``(n_groups,)``.
        initial: Engaged fraction at step 0, shape ``(1 or n_sets, n_groups)``.
        degree: Number of neighbours.
        n_steps: Steps.
    """
    unengaged = np.broadcast_to(share - initial, probability.shape)
    message = _Message(probability, np.broadcast_to(initial.sum(axis=1), len(probability)))
    curve = np.empty((len(probability), n_steps + 1))
    slope = np.empty((*curve.shape, share.size))
    for step in range(n_steps + 1):
        curve[:, step] = 1 - (unengaged * message.failed**degree).sum(axis=1)
        falls = _power_slope(message.failed, message.failed_slope, degree)
        slope[:, step] = -(unengaged[:, :, None] * falls).sum(axis=1)
        message.advance(unengaged, degree)
    return curve, slope


@dataclass(frozen=True, slots=True)
class CavityFit:
    """A cavity law fitted to the curves of realizations.

    Attributes:
        law: The law with the fitted probabilities.
        probability_interval: Bootstrap interval of each probability; None for one curve.
        level: Confidence level of the intervals.
        rmse: Distance of the fitted from the mean observed curve, a fraction of the population.
        nrmse: The same over the mean observed value.
        observed: Mean observed curve, shape ``(n_steps + 1,)``.
        inferred: Fitted curve, same shape.
        draws: Bootstrap estimates, shape ``(n_bootstrap, n_groups)``.
        n_realizations: Number of realizations fitted.
        warnings: What to know before using the estimates.
    """

    law: CavityLaw
    probability_interval: tuple[tuple[float, float], ...] | None
    level: float
    rmse: float
    nrmse: float
    observed: Array
    inferred: Array
    draws: Array
    n_realizations: int
    warnings: tuple[str, ...]

    @property
    def transmission_probability(self) -> tuple[float, ...]:
        """Chance that one exposure engages an agent of each group."""
        return self.law.transmission_probability

    def profile(self, parameter: str, *, level: float = 0.95, n_values: int = 61) -> Profile:
        """Profile one probability: the distance with it held fixed and the others fitted.

        Args:
            parameter: ``"p_1"``, ``"p_2"``, ...
            level: Confidence level of the interval, in (0, 1).
            n_values: Number of values to try.

        Raises:
            DesignError: There is no such parameter, or the level is impossible.
        """
        law = _curve_law(self.law, self.observed.size - 1)
        if parameter not in law.names:
            raise DesignError(f"there is no probability {parameter!r}{near_miss(parameter, law.names)}")
        index = law.names.index(parameter)
        return profile(
            law, self.observed, np.array(self.transmission_probability), index, level=level, n_values=n_values
        )


def fit_cavity(
    engaged_fraction: ArrayLike,
    *,
    degree: int,
    group_share: ArrayLike = (1.0,),
    initial_share: ArrayLike | None = None,
    n_bootstrap: int = 200,
    cluster: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> CavityFit:
    """Fit the transmission probabilities of the cavity law by least squares.

    Args:
        engaged_fraction: Curves E(t) after steps 0..T under the rule `always`, shape ``(n_realizations,
            n_steps + 1)``, or one curve.
        degree: Number of neighbours of every agent.
        group_share: Fraction of the population in each group.
        initial_share: Fraction of the initial agents in each group; that of the population if None.
        n_bootstrap: Number of resamples; 0 for no intervals.
        cluster: Draw whole clusters of realizations, such as those of one news item, shape
            ``(n_realizations,)``; single realizations if None.
        level: Confidence level of the intervals, in (0, 1).
        seed: Fixes the resamples.

    Returns:
        The fit, with its intervals and warnings.

    Raises:
        InputError: The curves are no curves of engaged fractions, or too short.
        DesignError: Another argument is impossible.
    """
    checked_level(level)
    share = checked_shares("group_share", group_share)
    curves = checked_curves(engaged_fraction, share.size)
    first = share if initial_share is None else checked_shares("initial_share", initial_share, share.size)
    start = CavityLaw(
        transmission_probability=(0.0,) * share.size,
        group_share=tuple(share.tolist()),
        initial_engaged=tuple((first * curves[:, 0].mean()).tolist()),
        degree=degree,
    )
    found = fit_curves(_curve_law(start, curves.shape[1] - 1), curves, cluster, n_bootstrap, seed)
    observed = curves.mean(axis=0)
    return CavityFit(
        law=replace(start, transmission_probability=tuple(found.values.tolist())),
        probability_interval=intervals(found.draws, level),
        level=level,
        rmse=rmse(observed, found.inferred),
        nrmse=nrmse(observed, found.inferred),
        observed=observed,
        inferred=found.inferred,
        draws=found.draws,
        n_realizations=len(curves),
        warnings=found.warnings,
    )


def _curve_law(law: CavityLaw, n_steps: int) -> CurveLaw:
    """Leave the probabilities of `law` open."""
    share, initial = np.array(law.group_share), np.array(law.initial_engaged)
    initial_share = initial / initial.sum()

    def family(start: Array) -> CurveFamily:
        return lambda probability: _engaged(
            probability, share, start[:, None] * initial_share, law.degree, n_steps
        )

    names = tuple(f"p_{group + 1}" for group in range(share.size))
    levels = np.concatenate([[0.0], np.geomspace(0.005, 0.3, 9), np.linspace(0.4, 1.0, 7)])
    return CurveLaw(names, family, 0.0, 1.0, levels)
