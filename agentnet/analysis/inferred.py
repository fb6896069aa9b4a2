"""A law of decisions, played under a run's own design: its asking rule, seeding, networks and profiles.

The inferred cascades of the paper (Tian et al. 2026, section 2.4.1): 100 runs on fresh networks. Where a run
did not draw a fresh random regular network for each realization, or deals profiles otherwise than in equal
number, the recorded networks and profiles are replayed, each as often as the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.simulation import Chance, InferredCascades, simulate
from agentnet.analysis.tables import RunTables, checked_groups
from agentnet.errors import DesignError, InputError
from agentnet.streams import Streams
from agentnet.vocabulary import N_PROFILES

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Inferred:
    """Inferred cascades that somebody started.

    Attributes:
        group_engaged_fraction: Engaged agents of each group over all agents, shape ``(n_runs, n_groups,
            n_steps + 1)``.
        severity: Severity of each run's news item, shape ``(n_runs,)``.
        n_unstarted: Runs that nobody started; they are left out, as those of the run itself are.
    """

    group_engaged_fraction: Array
    severity: Ints
    n_unstarted: int

    @property
    def engaged_fraction(self) -> Array:
        """Engaged agents over all agents, shape ``(n_runs, n_steps + 1)``."""
        fraction: Array = self.group_engaged_fraction.sum(axis=1)
        return fraction


class _Part(NamedTuple):
    """Runs that are played in one go."""

    size: int
    how: dict[str, Any]


def infer_cascades(
    transmission_probability: ArrayLike | Chance,
    tables: RunTables,
    *,
    groups: ArrayLike | None = None,
    n_runs: int = 100,
    n_steps: int | None = None,
    seed: int = 0,
) -> Inferred:
    """Play a law of decisions as the run was played.

    Args:
        transmission_probability: Chance that one exposure engages, by profile and severity, shape
            ``(32, 2)``; or from columns of exposures, and then cascades start as those of the run did.
        tables: The run. Severities occur as often as in its realizations.
        groups: Group of each profile; one group if None.
        n_runs: Number of cascades, >= 1.
        n_steps: Steps of each; those of the run if None.
        seed: Fixes the result.

    Raises:
        DesignError: An argument is impossible.
        InputError: Nobody ever says yes to start.
    """
    by_columns = transmission_probability if callable(transmission_probability) else None
    chance = _willing(tables) if by_columns else np.asarray(transmission_probability, dtype=np.float64)
    if chance.shape != (N_PROFILES, 2):
        raise DesignError(f"transmission_probability must have shape (32, 2); got {chance.shape}")
    group = np.zeros(N_PROFILES, dtype=np.int64) if groups is None else checked_groups(groups)
    # Spread evenly over the parts, so that each network sees both severities.
    severity = _alike(np.maximum(tables.severity, 0), n_runs)
    streams, rule = Streams(seed), tables.rule()
    played: list[InferredCascades] = []
    first = 0
    for number, part in enumerate(_parts(tables, n_runs)):
        chosen = severity[first : first + part.size]
        first += part.size
        cascades = simulate(
            chance,
            seed=streams.integer("inferred part", number),
            n_runs=part.size,
            n_steps=tables.n_steps if n_steps is None else n_steps,
            severity=chosen,
            rule=rule,
            chance=by_columns,
            seeding=tables.seeding,
            n_initial=tables.n_initial,
            **({"groups": group} | part.how),
        )
        played.append(cascades)
    return _joined(played)


def _willing(tables: RunTables) -> Array:
    """Say how often agents of each profile started a cascade, relative to the one that did most often."""
    starts = tables.engaged[:, :, 0].sum(axis=0)
    share = starts / np.maximum(tables.profile_agents.sum(axis=0), 1)
    return np.tile((share / share.max())[:, None], 2)


def _joined(played: list[InferredCascades]) -> Inferred:
    started = np.concatenate([cascades.started for cascades in played])
    if not started.any():
        raise InputError(
            "under this law nobody says yes to start a cascade", field="transmission_probability"
        )
    fraction = np.concatenate([cascades.group_engaged_fraction for cascades in played])
    severity = np.concatenate([cascades.severity for cascades in played])
    return Inferred(fraction[started], severity[started], int((~started).sum()))


def _alike(values: Ints, size: int) -> Ints:
    """Draw values in the same shares, and mix them so that any stretch of them has about these shares too."""
    even: Ints = np.sort(values)[((np.arange(size) + 0.5) * values.size / size).astype(int)]
    # Multiples of the golden ratio fall evenly into the unit interval, however many there are.
    return even[np.argsort(np.arange(size) * 0.6180339887498949 % 1.0)]


def _parts(tables: RunTables, n_runs: int) -> Iterator[_Part]:
    """Divide the runs among the networks and profiles that the run was played with."""
    design = tables.networks
    if design.fresh and not design.played:
        n_agents = int(tables.n_agents[0])
        of_fresh: dict[str, Any] = {"n_agents": n_agents, "degree": design.degree}
        if _is_equal(tables.profile_agents, n_agents):
            yield _Part(n_runs, of_fresh)
            return
        for row, size in _shared(n_runs, tables.n_realizations):
            dealt = np.repeat(np.arange(N_PROFILES), tables.profile_agents[row])
            yield _Part(size, of_fresh | {"classes": dealt})
        return
    for place, size in _shared(n_runs, len(design.played)):
        network = design.played[place]
        how: dict[str, Any] = {
            "network": network,
            "classes": network.profile,
            "attributes": network.attributes,
        }
        if tables.seeding == "uniform":
            how["initial"] = network.initial
        yield _Part(size, how)


def _is_equal(profile_agents: Ints, n_agents: int) -> bool:
    """Whether all profiles have the same number of agents, but for a remainder."""
    low, rest = divmod(n_agents, N_PROFILES)
    return bool((profile_agents >= low).all() and (profile_agents <= low + (rest > 0)).all())


def _shared(n_runs: int, n_ways: int) -> Iterator[tuple[int, int]]:
    """Divide runs among ways as evenly as can be: (way, runs), without those that get none."""
    count = np.diff(np.round(np.linspace(0, n_runs, n_ways + 1)).astype(int))
    for way in np.flatnonzero(count).tolist():
        yield way, int(count[way])
