"""The cavity law: the exact limit, for many agents, of a cascade on random k-regular networks.

A random regular network looks like a tree around each agent, so the messages of its neighbours are
independent if the agent itself is taken away (the cavity; dynamic message passing, Karrer & Newman 2010,
Lokhov et al. 2014). Let F(s) be the chance that a neighbour in the cavity engages at step s, and
q_g = 1 - p_g the chance that one question leaves an agent of group g unmoved. By step t one neighbour has
engaged and asked in vain with probability A_g(t), or has not engaged before with the rest of 1 - sum F:

    A_g(t) = sum_{s<t} F(s) q_g^n(s,t),    phi_g(t) = A_g(t) + 1 - sum_{s<t} F(s),

n being how often it asked: t - s times under the rule `always`, once under `once_per_edge`. All k neighbours
have failed with probability phi_g(t)^k, and in the cavity k - 1 of them; with initial agents rho_g,

    S_g(t) = (1 - rho_g) phi_g(t)^k,    F(t) = sum_g w_g (1 - rho_g) (phi_g(t-1)^(k-1) - phi_g(t)^(k-1)),

F(0) = sum_g w_g rho_g, and E(t) = 1 - sum_g w_g S_g(t).

Under `unengaged_neighbour` the neighbours of an agent that is not engaged always have one such neighbour
left, the agent itself, so F is that of `always`; the agent itself is asked no more from the step on at whose
start all k are engaged. If the last of them engaged at step m < t, it has been asked until step m, so

    S_g(t) = (1 - rho_g) (phi_g(t)^k - A_g(t)^k + sum_{m<t} ((A_g(m) + F(m))^k - A_g(m)^k)).

A(t) follows from A(t-1) and F(t-1), so a curve takes n_steps * n_groups operations. Unlike the mean-field
rate, the law's parameter is the transmission probability of one exposure. A cascade of few agents from one
initial agent starts by chance earlier or later, which no law of infinitely many agents can show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, NamedTuple

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
from agentnet.analysis.laws.contract import OF_ALL, Sight
from agentnet.analysis.laws.curve import GroupedCurve
from agentnet.analysis.solver import CurveFamily, OpenLaw
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, near_miss
from agentnet.given import Count

Array = NDArray[np.float64]


class _Asks(NamedTuple):
    """What an asking rule lets engaged neighbours do.

    Attributes:
        again: Whether they ask at every step, and not only at the one after that at which they engaged.
        all_engaged: Whether they ask also when all neighbours of the agent are engaged.
    """

    again: bool
    all_engaged: bool


_RULES: Final[Mapping[str, _Asks]] = {
    "always": _Asks(again=True, all_engaged=True),
    "unengaged_neighbour": _Asks(again=True, all_engaged=False),
    "once_per_edge": _Asks(again=False, all_engaged=True),
}
"""The asking rules that the law is known for."""


@dataclass(frozen=True, slots=True)
class CavityLaw:
    """A cavity law with known parameters.

    Attributes:
        transmission_probability: Chance that one exposure engages an agent of each group, in [0, 1].
        group_share: Fraction of the population in each group; they add up to 1.
        initial_engaged: Engaged fraction of the population at step 0, in each group.
        degree: Number of neighbours of every agent, >= 1.
        rule: How agents are asked: ``always``, ``unengaged_neighbour`` or ``once_per_edge``.

    Examples:
        >>> law = CavityLaw((0.0533, 0.8154), (0.25, 0.75), (0.0, 1 / 128), 5)
        >>> law.engaged_fraction(4).round(3)
        array([0.008, 0.032, 0.092, 0.23 , 0.474])
    """

    transmission_probability: tuple[float, ...]
    group_share: tuple[float, ...]
    initial_engaged: tuple[float, ...]
    degree: int
    rule: str = "always"

    def __post_init__(self) -> None:
        if self.rule not in _RULES:
            raise DesignError(
                f"no cavity law is known for the asking rule {self.rule!r}{near_miss(self.rule, _RULES)}"
            )
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
        if not self.degree >= 1 or self.degree != int(self.degree):
            raise DesignError(
                "the cavity law needs a network whose agents all have the same number of neighbours, a "
                f"whole number of at least 1; got {self.degree}"
            )

    @property
    def values(self) -> tuple[float, ...]:
        """The transmission probabilities."""
        return self.transmission_probability

    @property
    def growth_rate(self) -> None:
        """The law moves in steps, and has none."""
        return None

    def with_values(self, values: Array) -> CavityLaw:
        """Give it other transmission probabilities."""
        return replace(self, transmission_probability=tuple(values.tolist()))

    def opened(self, n_steps: int) -> OpenLaw:
        """Leave the transmission probabilities open."""
        share, initial = np.array(self.group_share), np.array(self.initial_engaged)
        initial_share = initial / initial.sum()

        def family(start: Array) -> CurveFamily:
            return self._tree(share - start[:, None] * initial_share, start, n_steps)

        names = tuple(f"p_{group + 1}" for group in range(share.size))
        levels = np.concatenate([[0.0], np.geomspace(0.005, 0.3, 9), np.linspace(0.4, 1.0, 7)])
        return OpenLaw(names, family, np.zeros(share.size), np.ones(share.size), (levels,) * share.size)

    def engaged_fraction(self, n_steps: int) -> Array:
        """Evaluate E after steps 0..n_steps, shape ``(n_steps + 1,)``."""
        engaged: Array = self.group_engaged_fraction(n_steps).sum(axis=0)
        return engaged

    def group_engaged_fraction(self, n_steps: int) -> Array:
        """Evaluate the engaged agents of each group over all agents, shape ``(n_groups, n_steps + 1)``."""
        share, initial = np.array(self.group_share), np.array(self.initial_engaged)
        tree = self._tree(share - initial, initial.sum()[None], n_steps)
        engaged: Array = (share - tree.left(np.array([self.transmission_probability]))[:, 0]).T
        return engaged

    def _tree(self, unengaged: Array, start: Array, n_steps: int) -> _Tree:
        return _Tree(unengaged, start, self.degree, n_steps, _RULES[self.rule])


_TINY: Final = 1e-20


@dataclass(frozen=True, slots=True)
class _Tree:
    """The law's recursion for several parameter sets at once.

    Attributes:
        unengaged: w_g (1 - rho_g), shape ``(n_groups,)`` or ``(n_sets, n_groups)``.
        start: F(0), shape ``(1,)`` or ``(n_sets,)``.
        degree: Number of neighbours.
        n_steps: Steps.
        asks: What the rule lets neighbours do.
    """

    unengaged: Array
    start: Array
    degree: int
    n_steps: int
    asks: _Asks

    def left(self, probability: Any) -> Any:  # noqa: ANN401 - real or complex
        """Evaluate w_g S_g, shape ``(n_steps + 1, n_sets, n_groups)``."""
        asked, fresh, failed = self._messages(1 - probability)
        left = failed**self.degree
        if not self.asks.all_engaged:
            before = asked**self.degree
            last = (asked + fresh) ** self.degree - before
            left += np.cumsum(last, axis=0) - last - before
        return self.unengaged * left

    def _messages(self, q: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401 - real or complex
        """Evaluate A, F and phi, shape ``(n_steps + 1, n_sets, n_groups)``; F has one group."""
        asked = np.zeros((self.n_steps + 1, *q.shape), q.dtype)
        failed, fresh = np.ones_like(asked), np.zeros_like(asked[:, :, :1])
        fresh[0] = self.start[:, None]
        silent = np.ones_like(fresh[0])
        for step in range(1, self.n_steps + 1):
            silent = silent - fresh[step - 1]
            asked[step] = q * fresh[step - 1] + (q if self.asks.again else 1) * asked[step - 1]
            failed[step] = asked[step] + silent
            lost = failed[step - 1] ** (self.degree - 1) - failed[step] ** (self.degree - 1)
            fresh[step] = (self.unengaged * lost).sum(axis=1, keepdims=True)
        return asked, fresh, failed

    def curves(self, probability: Any) -> Any:  # noqa: ANN401 - real or complex
        """Evaluate E, shape ``(n_sets, n_steps + 1)``."""
        return 1 - self.left(probability).sum(axis=2).T

    def with_slopes(self, probability: Array) -> tuple[Array, Array]:
        """Evaluate E and its derivatives, shape ``(n_sets, n_steps + 1, n_groups)``.

        An imaginary step gives derivatives without rounding (Squire & Trapp 1998).
        """
        steps = 1j * _TINY * np.eye(probability.shape[1])
        moved = np.stack([self.curves(probability + step) for step in steps], axis=-1)
        return moved[..., 0].real, moved.imag / _TINY


def fit_cavity(
    engaged_fraction: ArrayLike,
    *,
    degree: Count,
    rule: str = "always",
    group_share: ArrayLike = (1.0,),
    initial_share: ArrayLike | None = None,
    group_yes_ratio: ArrayLike | None = None,
    n_bootstrap: int = 200,
    cluster: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> CurveFit[CavityLaw]:
    """Fit the transmission probabilities of the cavity law by least squares.

    Args:
        engaged_fraction: Curves E(t) after steps 0..T, shape ``(n_realizations, n_steps + 1)``, or one curve.
        degree: Number of neighbours of every agent.
        rule: How they were asked; see `CavityLaw`.
        group_share: Fraction of the population in each group.
        initial_share: Fraction of the initial agents in each group; that of the population if None.
        group_yes_ratio: Observed share of yes among each group's decisions, shape ``(n_groups,)``. Where the
            curve does not tell which group has which parameter, their order follows it.
        n_bootstrap: Number of resamples; 0 for no intervals.
        cluster: Draw whole clusters of realizations, such as those of one news item: their names, shape
            ``(n_realizations,)``.
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
        rule=rule,
    )
    return fit_curves(
        start,
        curves,
        Resampling(n_bootstrap, cluster, seed),
        level=level,
        yes_ratio=group_yes_ratio,
        at_zero=": its group hardly engages in these steps",
    )


class Cavity(GroupedCurve):
    """The exact limit for many agents on random regular networks, with a probability for each group."""

    title = "{n_groups}-group cavity"
    called = "cavity law"
    figures: ClassVar[Mapping[str, Sight]] = {"cavity_curves": OF_ALL}
    rank = 6
    asks = tuple(_RULES)
    effect_of_rule = "it overshoots in the end"

    def fit_groups(self, curves: Array, **how: Any) -> CurveFit[CavityLaw]:  # noqa: ANN401 - of fit_cavity
        """Fit the transmission probabilities, on regular networks."""
        networks = self.tables.networks
        if networks.is_directed:
            raise DesignError(
                "the cavity law is of ties that are heard at both ends; here they go one way: take a "
                "mean-field law, or a law of decisions"
            )
        if networks.degree is None:
            low, high = networks.degrees[[0, -1]].tolist()
            raise DesignError(
                f"the cavity law needs a network whose agents all have the same number of neighbours; here "
                f"they have {low} to {high}"
            )
        return fit_cavity(curves, degree=networks.degree, rule=self.rule, **how)

    def by_group(self, fit: CurveFit[CavityLaw], tables: RunTables) -> Array:
        """Evaluate the engaged agents of each group."""
        return fit.law.group_engaged_fraction(tables.n_steps)
