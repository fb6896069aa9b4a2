"""Inferred cascades: a fitted law played as stochastic cascades, without a language model.

A law is a table of transmission probabilities, one for each profile (or any other class of agents) and
severity. Every question to an agent is an independent draw with its probability, so the number of questions
until its first yes is geometric: it is drawn once per agent, and the rest of the cascade is integer
arithmetic (Sellke 1983 uses the same construction for epidemics). That holds under every asking rule, because
the rules decide how often an agent is asked, never how it answers.

Small cascades are played many at a time, block-diagonally. The size of a block depends on the number of
agents alone, and its chance on the seed and its place in the row.

Those of the paper (Tian et al. 2026, section 2.4.1) are 100 runs on fresh networks, under a run's own design:
its asking rule, seeding, networks and profiles. Where a run did not draw a fresh random regular network for
each realization, or deals profiles otherwise than in equal number, the recorded networks and profiles are
replayed, each as often as the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.given import numbers
from agentnet.analysis.pairing import check_regular, regular_tables
from agentnet.analysis.spread import Chance, Doubt, Links, RowLinks, Spread, TableLinks, never, turned
from agentnet.analysis.tables import RunTables, checked_groups
from agentnet.asking_rules import ASKING_RULES, AskingRule
from agentnet.errors import DesignError, InputError, near_miss
from agentnet.streams import Streams
from agentnet.vocabulary import N_PROFILES, TRAITS

Seeding = Literal["first_yes", "uniform"]
"""How initial agents are found: the first in random order to say yes, or any agents."""

Counts = NDArray[np.int64]
Curves = NDArray[np.float64]

_BLOCK_AGENTS = 1 << 14
_STRETCH = 1 << 16


class NetworkRows(Protocol):
    """A network as compressed rows: agent i hears ``indices[indptr[i]:indptr[i + 1]]``.

    One that says that it is not `is_directed` is taken at its word; of others, who hears whom is turned over.
    """

    @property
    def indptr(self) -> NDArray[Any]:
        """Where each agent's neighbours begin, shape ``(n_agents + 1,)``."""
        ...

    @property
    def indices(self) -> NDArray[Any]:
        """Whom each agent hears: of undirected networks, each link seen from both ends."""
        ...


@dataclass(frozen=True, slots=True)
class InferredCascades:
    """Stochastic cascades of one law.

    Attributes:
        engaged: Engaged agents of each group after each step, shape ``(n_runs, n_groups, n_steps + 1)``.
        n_agents: Agents of each network.
        severity: Severity of each run's news item, shape ``(n_runs,)``.
        started: Whether as many agents as wanted said yes to the seed question, shape ``(n_runs,)``; where
            fewer did, those begin.
        n_yes: Exposures answered yes, shape ``(n_runs, n_classes)``; None unless they were asked for. Seed
            questions are no exposures.
        n_no: Exposures answered no, same shape.
    """

    engaged: Counts
    n_agents: int
    severity: NDArray[np.int64]
    started: NDArray[np.bool_]
    n_yes: Counts | None = None
    n_no: Counts | None = None

    @property
    def engaged_fraction(self) -> Curves:
        """Engaged agents over all agents, shape ``(n_runs, n_steps + 1)``."""
        fraction: Curves = self.engaged.sum(axis=1) / self.n_agents
        return fraction

    @property
    def group_engaged_fraction(self) -> Curves:
        """Engaged agents of each group over all agents, shape ``(n_runs, n_groups, n_steps + 1)``."""
        fraction: Curves = self.engaged / self.n_agents
        return fraction


def simulate(
    transmission_probability: ArrayLike,
    *,
    seed: int,
    n_runs: int = 100,
    n_steps: int = 15,
    n_agents: int = 128,
    degree: int = 5,
    network: NetworkRows | None = None,
    classes: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    severity: ArrayLike = 0,
    rule: str | AskingRule = "unengaged_neighbour",
    seeding: Seeding = "first_yes",
    n_initial: int = 1,
    decisions: bool = False,
    chance: Chance | None = None,
    attributes: Mapping[str, ArrayLike] | None = None,
    initial: ArrayLike | None = None,
) -> InferredCascades:
    """Play a law as stochastic cascades.

    Args:
        transmission_probability: Chance that one exposure engages, shape ``(n_classes,)`` or
            ``(n_classes, n_severities)``; the classes are the 32 profiles, or whatever the law knows.
        seed: Fixes the result.
        n_runs: Number of cascades, >= 1.
        n_steps: Steps of each cascade, >= 0.
        n_agents: Agents of each random regular network; not used with `network`.
        degree: Neighbours of each agent; not used with `network`.
        network: One network for all runs; otherwise each run draws a random regular network of its own.
        classes: Class of each agent, shape ``(n_agents,)``, the same in all runs; otherwise as many agents
            of each, at random places, anew in each run.
        groups: Group of each class that curves are counted by, shape ``(n_classes,)``; one group if None.
        severity: Severity of each run's news item, one for all or shape ``(n_runs,)``: the column of
            `transmission_probability`.
        rule: When an exposed agent is asked: a rule, or its name.
        seeding: ``"first_yes"`` asks agents in random order, by the same law, until `n_initial` have said
            yes; ``"uniform"`` takes any `n_initial` agents.
        n_initial: Agents engaged at step 0, >= 1.
        decisions: Whether to count the answers to exposures as well.
        chance: The chance of a yes from columns of exposures, for laws of more than class and severity; then
            `transmission_probability` counts for the initial agents alone, and decisions cannot be counted.
        attributes: Attribute of each agent of `network`, for `chance`, each of shape ``(n_agents,)``.
        initial: Agents of `network` that are engaged at step 0 in all runs, in the place of `seeding` and
            `n_initial`, shape ``(n_initial,)``.

    Returns:
        The cascades' curves and, if wanted, their decisions.

    Raises:
        DesignError: An argument is impossible, or does not fit the others.

    Examples:
        >>> cascades = simulate([0.05, 0.8, 0.8, 0.8], seed=1, n_runs=200, groups=[0, 1, 1, 1])
        >>> cascades.engaged_fraction.shape, cascades.group_engaged_fraction.shape
        ((200, 16), (200, 2, 16))
    """
    links = None if network is None else _rows(network)
    size = n_agents if links is None else links.n_agents
    if links is None:
        check_regular(n_agents, degree)
    _check(n_runs=n_runs, n_steps=n_steps, n_initial=n_initial, n_agents=size)
    asking = rule if isinstance(rule, AskingRule) else ASKING_RULES.load(rule)
    if seeding not in get_args(Seeding):
        raise DesignError(f"there is no seeding {seeding!r}{near_miss(str(seeding), get_args(Seeding))}")
    law = _Law.checked(transmission_probability, classes, groups, size)
    planted = None if initial is None else _labels("initial", initial, np.size(initial), size)
    play = _Play(
        law,
        links,
        size,
        degree,
        n_steps,
        asking,
        seeding,
        n_initial,
        decisions,
        chance,
        attributes or {},
        planted,
    )
    return play.all_runs(law.checked_severity(severity, n_runs), Streams(seed))


def _check(*, n_runs: int, n_steps: int, n_initial: int, n_agents: int) -> None:
    if n_runs < 1 or n_steps < 0:
        raise DesignError(f"n_runs must be at least 1 and n_steps at least 0; got {n_runs} and {n_steps}")
    if not 1 <= n_initial <= n_agents:
        raise DesignError(f"n_initial must be 1 to {n_agents}, the number of agents; got {n_initial}")


def _rows(network: NetworkRows) -> RowLinks:
    indptr, indices = np.asarray(network.indptr, np.int64), np.asarray(network.indices)
    n_agents, degree = indptr.size - 1, np.diff(indptr)
    if n_agents < 1 or indptr[0] != 0 or (degree < 0).any() or indptr[-1] != indices.size:
        raise DesignError("the network's indptr must rise from 0 to the number of its indices")
    if indices.size and (indices.min() < 0 or indices.max() >= n_agents):
        raise DesignError(f"the network's indices must be agents 0 to {n_agents - 1}")
    if getattr(network, "is_directed", True):
        return RowLinks(indptr, indices, hearing=turned(indptr, indices))
    is_regular = (degree == degree[0]).all()
    return RowLinks(indptr, indices, table=indices.reshape(n_agents, -1) if is_regular else None)


@dataclass(frozen=True, slots=True)
class _Law:
    """A checked law: who answers how, and who is counted where."""

    probability: Curves
    classes: NDArray[np.int64] | None
    groups: NDArray[np.int64]

    @classmethod
    def checked(
        cls, probability: ArrayLike, classes: ArrayLike | None, groups: ArrayLike | None, n_agents: int
    ) -> _Law:
        table = numbers(probability, "transmission_probability")
        table = table[:, None] if table.ndim == 1 else table
        if table.ndim != 2 or not table.size:
            raise DesignError(
                "transmission_probability must have shape (n_classes,) or (n_classes, n_severities); "
                f"got {np.shape(probability)}"
            )
        if not ((table >= 0) & (table <= 1)).all():
            raise DesignError("every transmission probability must lie in [0, 1]")
        group = np.zeros(len(table), np.int64) if groups is None else groups
        group = _labels("groups", group, len(table), len(table))
        if classes is None:
            return cls(table, None, group)
        return cls(table, _labels("classes", classes, n_agents, len(table)), group)

    @property
    def impatience(self) -> Curves:
        """-log(1 - p), for all classes and severities; infinite for a class that always says yes."""
        with np.errstate(divide="ignore"):
            return -np.log1p(-self.probability)

    def checked_severity(self, severity: ArrayLike, n_runs: int) -> NDArray[np.int64]:
        one_each = np.asarray(severity)
        one_each = np.full(n_runs, one_each) if one_each.ndim == 0 else one_each
        return _labels("severity", one_each, n_runs, self.probability.shape[1])


def _labels(name: str, labels: ArrayLike, size: int, bound: int | None = None) -> NDArray[np.int64]:
    """Check integer labels of shape ``(size,)`` in [0, bound)."""
    found = np.asarray(labels)
    if found.shape != (size,) or found.dtype.kind not in "iub":
        raise DesignError(f"{name} must be {size} integers; got shape {found.shape} of {found.dtype}")
    if found.min() < 0 or (bound is not None and found.max() >= bound):
        upper = "" if bound is None else f" to {bound - 1}"
        raise DesignError(f"{name} must lie in 0{upper}; got {found.min()} to {found.max()}")
    return found.astype(np.int64)


class _Block(NamedTuple):
    engaged: Counts
    started: NDArray[np.bool_]
    n_yes: Counts
    n_no: Counts


@dataclass(frozen=True, slots=True)
class _Play:
    """Everything that the runs have in common."""

    law: _Law
    rows: RowLinks | None
    n_agents: int
    degree: int
    n_steps: int
    rule: AskingRule
    seeding: Seeding
    n_initial: int
    decisions: bool
    chance: Chance | None
    attributes: Mapping[str, ArrayLike]
    planted: NDArray[np.int64] | None

    def all_runs(self, severity: NDArray[np.int64], streams: Streams) -> InferredCascades:
        """Play one run for each entry of `severity`."""
        size = max(1, _BLOCK_AGENTS // self.n_agents)
        blocks = [
            self.block(severity[first : first + size], _generator(streams, first // size))
            for first in range(0, severity.size, size)
        ]
        joined = _Block(*(np.concatenate(part) for part in zip(*blocks, strict=True)))
        answers = (joined.n_yes, joined.n_no) if self.decisions else (None, None)
        return InferredCascades(joined.engaged, self.n_agents, severity, joined.started, *answers)

    def block(self, severity: NDArray[np.int64], rng: np.random.Generator) -> _Block:
        """Play a few runs side by side: agent i of run r is r * n_agents + i."""
        links = self.links(severity.size, rng)
        classes = self.classes(severity.size, rng)
        initial, started = self.initial(classes, severity, rng)
        if self.chance is not None:
            engaged = self.curves(self.doubt(links, classes, severity, rng), initial, classes)
            nothing = np.zeros((severity.size, 0), np.int64)
            return _Block(engaged, started, nothing, nothing)
        needed = self.questions_until_yes(never(links, self.n_steps), classes, severity, rng)
        spread = Spread(links, needed, self.rule, self.n_steps, count=self.decisions)
        engaged = self.curves(spread, initial, classes)
        if not self.decisions:
            nothing = np.zeros((severity.size, 0), np.int64)
            return _Block(engaged, started, nothing, nothing)
        probability = _looked_up(self.law.probability, classes, severity).ravel()
        yes, asked = _answers(spread.questions(), needed, probability, rng)
        n_yes, n_asked = self.by_class(yes, classes), self.by_class(asked, classes)
        return _Block(engaged, started, n_yes, n_asked - n_yes)

    def links(self, n_runs: int, rng: np.random.Generator) -> Links:
        """Draw the runs' networks, or stand the given one beside itself."""
        if self.rows is not None:
            return replace(self.rows, n_copies=n_runs)
        return TableLinks(regular_tables(rng, n_runs, self.n_agents, self.degree))

    def classes(self, n_runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Give each agent a class, shape ``(n_runs, n_agents)``."""
        if self.law.classes is not None:
            return np.broadcast_to(self.law.classes, (n_runs, self.n_agents))
        n_classes = len(self.law.probability)
        repeats = -(-self.n_agents // n_classes)
        order = np.tile(np.arange(n_classes), (n_runs, 1))
        if self.n_agents % n_classes:
            order = rng.permuted(order, axis=1)
        dealt = np.tile(order, repeats)[:, : self.n_agents]
        # Fresh networks favour no agent number, so only a given network needs its classes shuffled.
        return dealt if self.rows is None else rng.permuted(dealt, axis=1)

    def initial(
        self, classes: NDArray[np.int64], severity: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Find the initial agents of each run, and say in which runs there are enough of them."""
        first = np.arange(0, classes.size, self.n_agents)[:, None]
        if self.planted is not None:
            return (self.planted + first).ravel(), np.ones(len(classes), dtype=bool)
        # Among those who say yes (u < p), u / p is uniform: the least ones are the first in random order.
        order = rng.random(classes.shape)
        if self.seeding == "first_yes":
            # Of an agent that never says yes that is infinite (or, once in 2^53 draws, NaN): no yes, either.
            for part in self.stretches():
                _over(order[part], self.law.probability, classes[part], severity)
        if self.n_initial == 1:
            agent = order.argmin(axis=1)[:, None]
        else:
            agent = np.argpartition(order, self.n_initial - 1, axis=1)[:, : self.n_initial]
        said_yes: NDArray[np.bool_] = np.take_along_axis(order, agent, axis=1) < 1.0
        agent += first
        return agent[said_yes].astype(np.int64), np.asarray(said_yes.all(axis=1))

    def questions_until_yes(
        self, most: int, classes: NDArray[np.int64], severity: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw the geometric number of questions until each agent's first yes, cut off at `most`.

        It is an exponential waiting time of rate -log(1 - p), rounded up; shape ``(n_runs * n_agents,)``.
        """
        # The narrowest type that holds most + 1: then a cascade of a million agents stays in the cache.
        dtype = next(kind for kind in (np.int8, np.int16, np.int64) if most < np.iinfo(kind).max)
        needed = np.empty(classes.shape, dtype)
        impatience = self.law.impatience
        for part in self.stretches():
            of_part = classes[part]
            waited = _over(rng.standard_exponential(of_part.shape), impatience, of_part, severity)
            # 0 / 0 is NaN, which fmin passes over: whoever never says yes needs more than anybody is asked.
            needed[part] = np.fmin(waited, most - 1, out=waited)
        needed += 1
        return needed.reshape(-1)

    def curves(
        self, spread: Spread | Doubt, initial: NDArray[np.int64], classes: NDArray[np.int64]
    ) -> Counts:
        """Play the steps and count the engaged, shape ``(n_runs, n_groups, n_steps + 1)``."""
        for step in range(self.n_steps + 1):
            spread.engage(spread.step() if step else initial)
        n_runs, n_groups = len(classes), int(self.law.groups.max()) + 1
        engaged_step = spread.engaged_step.reshape(n_runs, -1)
        n_cells = self.n_steps + 2  # one for those who never engage, before the others
        first = np.arange(1, n_runs * n_groups * n_cells, n_groups * n_cells)[:, None]
        new = np.zeros(n_runs * n_groups * n_cells, dtype=np.int64)
        for part in self.stretches():
            cell = (self.law.groups * n_cells).take(classes[part])
            cell += first
            cell += engaged_step[part]
            new += np.bincount(cell.reshape(-1), minlength=new.size)
        engaged: Counts = new.reshape(n_runs, n_groups, n_cells)[:, :, 1:].cumsum(axis=2)
        return engaged

    def doubt(
        self, links: Links, classes: NDArray[np.int64], severity: NDArray[np.int64], rng: np.random.Generator
    ) -> Doubt:
        """Set out a spread by a chance that changes with what stands around an agent."""
        assert self.chance is not None, "asked only where a law has one"
        of_class = classes.ravel()
        columns = {
            "profile": of_class,
            **{trait: of_class >> (len(TRAITS) - 1 - bit) & 1 for bit, trait in enumerate(TRAITS)},
            "severity": np.repeat(severity, self.n_agents),
            **{name: np.tile(np.asarray(each), severity.size) for name, each in self.attributes.items()},
        }
        return Doubt(links, self.chance, columns, self.rule, self.n_steps, rng)

    def stretches(self) -> Iterator[tuple[slice, slice]]:
        """Cut the agents of all runs into stretches: what is made on the way to each stays in the cache."""
        for first in range(0, self.n_agents, _STRETCH):
            yield slice(None), slice(first, first + _STRETCH)

    def by_class(self, count: NDArray[np.int64], classes: NDArray[np.int64]) -> Counts:
        """Add up a count of each agent by run and class, shape ``(n_runs, n_classes)``."""
        n_runs, n_classes = len(classes), len(self.law.probability)
        cell = (classes + np.arange(0, n_runs * n_classes, n_classes)[:, None]).ravel()
        total = np.bincount(cell, weights=count, minlength=n_runs * n_classes)
        return total.astype(np.int64).reshape(n_runs, n_classes)


def _looked_up(table: Curves, classes: NDArray[np.int64], severity: NDArray[np.int64]) -> Curves:
    """Look up each agent's class and severity in a table of them; shape ``(n_runs, n_agents)``."""
    found: Curves
    if severity.size == 1:
        found = table[:, severity[0]].take(classes)
    else:
        found = table.take(classes * table.shape[1] + severity[:, None])
    return found


def _over(numbers: Curves, table: Curves, classes: NDArray[np.int64], severity: NDArray[np.int64]) -> Curves:
    """Divide a number of each agent, in place, by the entry of its class and severity in a table."""
    with np.errstate(divide="ignore", invalid="ignore"):
        numbers /= _looked_up(table, classes, severity)
    return numbers


def _generator(streams: Streams, block: int) -> np.random.Generator:
    # SFC64 draws a word in half the time of the streams' own generator, and words are most of the work.
    return np.random.Generator(np.random.SFC64(streams.integer("inferred cascades", block)))


def _answers(
    asked: NDArray[Any], needed: NDArray[Any], probability: Curves, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count yes and questions of each agent: after its first yes, others of the same step may follow."""
    beyond = asked.astype(np.int64) - needed
    yes = np.zeros(asked.size, dtype=np.int64)
    done = np.flatnonzero(beyond >= 0)
    yes[done] = 1 + rng.binomial(beyond[done], probability[done])
    return yes, asked.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Inferred:
    """Inferred cascades that somebody started.

    Attributes:
        group_engaged_fraction: Engaged agents of each group over all agents, shape ``(n_runs, n_groups,
            n_steps + 1)``.
        severity: Severity of each run's news item, shape ``(n_runs,)``.
        n_unstarted: Runs that nobody started; they are left out, as those of the run itself are.
    """

    group_engaged_fraction: Curves
    severity: Counts
    n_unstarted: int

    @property
    def engaged_fraction(self) -> Curves:
        """Engaged agents over all agents, shape ``(n_runs, n_steps + 1)``."""
        fraction: Curves = self.group_engaged_fraction.sum(axis=1)
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


def _willing(tables: RunTables) -> Curves:
    """Say how often agents of each profile started a cascade, relative to the one that did most often."""
    starts = tables.engaged[:, :, 0].sum(axis=0)
    share = starts / np.maximum(tables.profile_agents.sum(axis=0), 1)
    return np.tile((share / share.max())[:, None], 2)


def _joined(played: list[InferredCascades]) -> Inferred:
    # As in a run, whoever says yes begins, be it fewer than were wanted.
    started = np.concatenate([cascades.engaged[:, :, 0].any(axis=1) for cascades in played])
    if not started.any():
        raise InputError(
            "under this law nobody says yes to start a cascade", field="transmission_probability"
        )
    fraction = np.concatenate([cascades.group_engaged_fraction for cascades in played])
    severity = np.concatenate([cascades.severity for cascades in played])
    return Inferred(fraction[started], severity[started], int((~started).sum()))


def _alike(values: Counts, size: int) -> Counts:
    """Draw values in the same shares, and mix them so that any stretch of them has about these shares too."""
    even: Counts = np.sort(values)[((np.arange(size) + 0.5) * values.size / size).astype(int)]
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


def _is_equal(profile_agents: Counts, n_agents: int) -> bool:
    """Whether all profiles have the same number of agents, but for a remainder."""
    low, rest = divmod(n_agents, N_PROFILES)
    return bool((profile_agents >= low).all() and (profile_agents <= low + (rest > 0)).all())


def _shared(n_runs: int, n_ways: int) -> Iterator[tuple[int, int]]:
    """Divide runs among ways as evenly as can be: (way, runs), without those that get none."""
    count = np.diff(np.round(np.linspace(0, n_runs, n_ways + 1)).astype(int))
    for way in np.flatnonzero(count).tolist():
        yield way, int(count[way])
