"""What a run recorded, as arrays: the one form in which laws, fits, comparisons and figures get it.

`agentnet.analysis.reading` makes these tables from an event log; nothing here touches a file. Along their
first axis stand realizations: the finished ones that somebody started, of one condition. A profile is a
number 0..31: its bit string (openness, conscientiousness, extraversion, agreeableness, neuroticism) read as a
binary number, so 16 is high openness alone. All arrays are read-only.

The (profile, severity) cells of decisions are sufficient for every logistic law.

Curves by group follow the paper (Tian et al. 2026, equation 2): the engaged agents of a group over *all*
agents, so that the groups' curves add up to the population's and end at most at the group's share. Divide by
`RunTables.group_share` for the engaged part of the group itself.

More than 400 lines, because half of them say what the columns are, and everybody looks that up in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import DesignError, InputError
from agentnet.vocabulary import N_PROFILES, SEVERITIES, TRAITS

if TYPE_CHECKING:
    from agentnet.analysis.networks import NetworkDesign
    from agentnet.analysis.simulation import Seeding
    from agentnet.asking_rules import AskingRule

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

UNKNOWN = -1
"""The severity of a news item that has none."""

SEVERITY_NAMES = {**dict(enumerate(SEVERITIES)), UNKNOWN: "of unknown severity"}

N_CELLS = 2 * N_PROFILES

N_ASKED = "n_asked"
"""The column that says how often an agent was asked at earlier steps."""

NO_PROFILES = "there are no profiles: {}"
"""Why something that is of profiles is left out."""

Clusters = Literal["realization", "news item"]
"""What decisions depend on each other within."""


_COUNTED = ("row", "step", "profile", "n_yes", "n_no", "n_missing")


@dataclass(frozen=True, slots=True, eq=False)
class ExposureCounts:
    """Decisions of exposures, counted by realization, step and profile; combinations without any are absent.

    Attributes:
        row: Place of the realization along the tables' first axis, shape ``(n_counts,)``.
        step: Step, >= 1, same shape.
        profile: Profile number 0..31, same shape.
        n_yes: Decisions to share, same shape.
        n_no: Decisions not to share, same shape.
        n_missing: Decisions that did not come (invalid, refused, failed), same shape.
        columns: Other columns that the decisions are counted by, by name, each of the same shape; NaN where a
            missing answer has no value.
    """

    row: Ints
    step: Ints
    profile: Ints
    n_yes: Ints
    n_no: Ints
    n_missing: Ints
    columns: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        freeze(self)

    def where(self, chosen: NDArray[np.bool_]) -> ExposureCounts:
        """Keep some of the counts; mask of shape ``(n_counts,)``."""
        kept = {name: getattr(self, name)[chosen] for name in _COUNTED}
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return ExposureCounts(**kept, columns=columns)


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """Different questions whose probability of a yes the log has: prompts, each with who was asked.

    Attributes:
        profile: Profile number 0..31 of who was asked, shape ``(n_questions,)``.
        news: Index of the news item, same shape.
        chance: Probability of a yes, the mean over the temperatures at which it was asked, same shape.
        n_drawn: Decisions that were drawn from it, same shape.
        temperatures: Those of all questions, rising.
        columns: Other columns that tell questions apart, by name, each of the same shape.
    """

    profile: Ints
    news: Ints
    chance: Array
    n_drawn: Ints
    temperatures: tuple[float, ...]
    columns: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        freeze(self)

    def by_item(self, n_news: int) -> Array:
        """Average by news item and profile, shape ``(n_news, 32)``; NaN where nothing was asked."""
        shape, cell = (n_news, N_PROFILES), self.news * N_PROFILES + self.profile
        total, n = (np.bincount(cell, each, n_news * N_PROFILES) for each in (self.chance, None))
        mean: Array = np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)
        return mean.reshape(shape)


@dataclass(frozen=True, slots=True)
class Cells:
    """Exposures answered yes and no.

    Attributes:
        n_yes: Shape ``(32, 2)``.
        n_no: Shape ``(32, 2)``.
        cluster_yes: The same by cluster (realization or news item), shape ``(n_clusters, 32, 2)``, or None.
        cluster_no: Shape ``(n_clusters, 32, 2)``, or None.
    """

    n_yes: Ints
    n_no: Ints
    cluster_yes: Ints | None = None
    cluster_no: Ints | None = None

    kinds: ClassVar[str] = "iu"
    """NumPy's letters for the numbers that it takes."""

    def __post_init__(self) -> None:
        for name in ("n_yes", "n_no"):
            _check_counts(name, getattr(self, name), (N_PROFILES, 2), self.kinds)
        if (self.cluster_yes is None) != (self.cluster_no is None):
            raise InputError("cluster_yes and cluster_no go together", field="cluster_yes")
        if self.cluster_yes is not None and self.cluster_no is not None:
            for name, total in (("cluster_yes", self.n_yes), ("cluster_no", self.n_no)):
                counts = getattr(self, name)
                _check_counts(name, counts, (len(counts), N_PROFILES, 2), self.kinds)
                if (counts.sum(axis=0) != total).any():
                    raise InputError("the clusters' counts do not add up to those of the cells", field=name)

    @property
    def n_exposures(self) -> int:
        """Number of exposures with a valid decision."""
        return round(float(self.n_yes.sum() + self.n_no.sum()))

    @property
    def n_clusters(self) -> int:
        """Number of clusters that hold a valid decision; 0 without counts by cluster."""
        if self.cluster_yes is None or self.cluster_no is None:
            return 0
        return int((self.cluster_yes.any(axis=(1, 2)) | self.cluster_no.any(axis=(1, 2))).sum())

    @classmethod
    def from_clusters(cls, cluster_yes: ArrayLike, cluster_no: ArrayLike) -> Cells:
        """Make cells from counts by cluster, each of shape ``(n_clusters, 32, 2)``.

        Raises:
            InputError: They are no counts of that shape.
        """
        yes, no = np.asarray(cluster_yes), np.asarray(cluster_no)
        for name, counts in (("cluster_yes", yes), ("cluster_no", no)):
            _check_counts(name, counts, (len(counts), N_PROFILES, 2), cls.kinds)
        return cls(yes.sum(axis=0), no.sum(axis=0), yes, no)


@dataclass(frozen=True, slots=True)
class Shares(Cells):
    """Questions whose probability of a yes is known: each is a yes by that share, and a no by the rest.

    A likelihood of them is the cross-entropy of a law with those probabilities.
    """

    kinds: ClassVar[str] = "f"


def _check_counts(name: str, values: ArrayLike, shape: tuple[int, ...], kinds: str) -> None:
    counts = np.asarray(values)
    if counts.shape != shape or counts.dtype.kind not in kinds:
        raise InputError(
            f"counts must be integers of shape {shape}; got {counts.shape} of {counts.dtype}", field=name
        )
    if counts.min(initial=0) < 0:
        raise InputError("counts cannot be negative", field=name)


@dataclass(frozen=True, slots=True, eq=False)
class RunTables:
    """The cascades of a run.

    Attributes:
        run: Name of the run.
        status: ``running`` or ``finished``, of the run.
        condition: Overrides of the condition that was read.
        model_name: The language model.
        asking_rule: Which exposures were asked; empty for a free world.
        seeding: How initial agents were found: ``first_yes`` in random order, or ``uniform``: nobody was
            asked to start.
        n_steps: Steps of the design, T; curves have T + 1 values.
        news_ids: Identifiers of the news items, ``(n_news,)``.
        realization: Number of each realization in the log, shape ``(n_realizations,)``.
        news: Index of its news item in `news_ids`, same shape.
        severity: Severity of its item: 0, 1, or -1 unknown, same shape.
        last_step: Last step that was played; afterwards nobody was left to ask. Same shape.
        initial_profile: Profile of its first initial agent, same shape.
        n_seed_attempts: Agents that were asked to start, same shape.
        profile_agents: Agents of each profile, shape ``(n_realizations, 32)``.
        engaged: Engaged agents of each profile after each step, shape ``(n_realizations, 32, n_steps + 1)``.
        engaged_if_yes: The same if each agent with a missing answer had engaged at its first one: the direct
            effect of missing answers, without the agents that those would have won over in turn.
        exposures: Decisions of exposures.
        missing_reasons: Exposures without a decision, by reason.
        networks: The networks.
        n_unstarted: Finished realizations that nobody started; they are left out.
        n_unfinished: Realizations of this condition that are not finished; they are left out.
        notes: What to know before using the tables.
        knobs: The condition's design, as it was recorded.
        profiled: Whether agents have profiles. Where they have not (their personas are texts), all count as
            of profile 0, which says nothing.
        questions: Questions of exposures whose probability is known, of the whole run; None where none is.
    """

    run: str
    status: str
    condition: Mapping[str, Any]
    model_name: str
    asking_rule: str
    seeding: Seeding
    n_steps: int
    news_ids: tuple[str, ...]
    realization: Ints
    news: Ints
    severity: Ints
    last_step: Ints
    initial_profile: Ints
    n_seed_attempts: Ints
    profile_agents: Ints
    engaged: NDArray[np.int32]
    engaged_if_yes: NDArray[np.int32]
    exposures: ExposureCounts
    missing_reasons: Mapping[str, int]
    networks: NetworkDesign
    n_unstarted: int = 0
    n_unfinished: int = 0
    notes: tuple[str, ...] = ()
    knobs: Mapping[str, Any] = field(default_factory=dict)
    profiled: bool = True
    questions: Questions | None = None

    def __post_init__(self) -> None:
        freeze(self)

    @classmethod
    def of_decisions(
        cls,
        run: str,
        exposures: ExposureCounts,
        *,
        realization: Ints,
        profile_agents: Ints,
        status: str = "finished",
        condition: Mapping[str, Any] = MappingProxyType({}),
        **others: Any,  # noqa: ANN401 - attributes as they are
    ) -> Self:
        """Make tables of decisions that belong to no cascade: there are no curves, no rule, and no news."""
        n = realization.size
        zeros, nobody = np.zeros(n, np.int64), np.zeros((n, N_PROFILES, 1), np.int32)
        n_missing = int(exposures.n_missing.sum())
        return cls(
            run=run,
            status=status,
            condition=condition,
            asking_rule="",
            seeding="uniform",
            n_steps=0,
            news_ids=("none",),
            realization=realization,
            news=zeros,
            severity=zeros + UNKNOWN,
            last_step=zeros,
            initial_profile=zeros,
            n_seed_attempts=zeros,
            profile_agents=profile_agents,
            engaged=nobody,
            engaged_if_yes=nobody,
            exposures=exposures,
            missing_reasons={"unanswered": n_missing} if n_missing else {},
            **others,
        )

    @property
    def n_realizations(self) -> int:
        """Number of realizations."""
        return self.realization.size

    @property
    def n_agents(self) -> Ints:
        """Agents of each realization, shape ``(n_realizations,)``."""
        agents: Ints = self.profile_agents.sum(axis=1)
        return agents

    @property
    def n_exposures(self) -> int:
        """Exposures that were asked, missing ones included."""
        return int(sum(getattr(self.exposures, name).sum() for name in ("n_yes", "n_no", "n_missing")))

    @property
    def n_missing(self) -> int:
        """Exposures without a decision."""
        return int(self.exposures.n_missing.sum())

    @property
    def severities(self) -> tuple[int, ...]:
        """The severities that occur, rising; -1 is unknown."""
        return tuple(np.unique(self.severity).tolist())

    @property
    def engaged_fraction(self) -> Array:
        """Engaged agents over all agents after each step, shape ``(n_realizations, n_steps + 1)``."""
        fraction: Array = self.engaged.sum(axis=1) / self.n_agents[:, None]
        return fraction

    @property
    def engaged_fraction_if_yes(self) -> Array:
        """The same by `engaged_if_yes`."""
        fraction: Array = self.engaged_if_yes.sum(axis=1) / self.n_agents[:, None]
        return fraction

    def rule(self) -> AskingRule:
        """Find the asking rule, to play cascades by it; what it takes besides exposures is as in the design.

        Raises:
            DesignError: It is not known here, as when an experiment's file defined it.
        """
        from agentnet.asking_rules import ASKING_RULES

        return ASKING_RULES.load(self.asking_rule).set_by(SimpleNamespace(**self.knobs))

    @property
    def why_no_rule(self) -> str:
        """Say why no cascade can be played by the run's asking rule; empty if one can."""
        if not self.asking_rule:
            return "a free world asks as its own play has it"
        try:
            self.rule()
        except DesignError as error:
            return str(error)
        return ""

    def column(self, name: str) -> NDArray[Any]:
        """Give a column of the exposures, shape ``(n_counts,)``.

        Raises:
            DesignError: The tables were not read with it.
        """
        counts = self.exposures
        always = {
            "step": counts.step,
            "profile": counts.profile,
            "severity": self.severity,
            "news": self.news,
        }
        if not self.profiled and name in ("profile", *TRAITS):
            raise DesignError(NO_PROFILES.format(f"there is no column {name!r}"))
        if name in TRAITS:
            return counts.profile >> (len(TRAITS) - 1 - TRAITS.index(name)) & 1
        if name in counts.columns:
            return counts.columns[name]
        if name not in always:
            raise DesignError(
                f"the tables were read without the column {name!r}; read them with it: "
                f"read_tables(run, columns=[{name!r}])"
            )
        return always[name][counts.row] if name in ("severity", "news") else always[name]

    def can_play(self, name: str) -> bool:
        """Whether a column of exposures is known in cascades that are played by a law."""
        around = ("step", "severity", "n_engaged", "n_neighbours", N_ASKED)
        of_profile = self.profiled and name in ("profile", *TRAITS)
        return name in around or of_profile or any(name in each.attributes for each in self.networks.played)

    def group_engaged_fraction(self, groups: ArrayLike) -> Array:
        """Count the engaged agents of each group over all agents.

        Args:
            groups: Group of each profile, 0, 1, ..., shape ``(32,)``.

        Returns:
            Shape ``(n_realizations, n_groups, n_steps + 1)``.
        """
        fraction: Array = (
            np.einsum("gp,rpt->rgt", _members(groups), self.engaged) / self.n_agents[:, None, None]
        )
        return fraction

    def group_share(self, groups: ArrayLike) -> Array:
        """Compute the fraction of agents in each group, the mean over realizations, shape ``(n_groups,)``."""
        share: Array = _members(groups) @ (self.profile_agents / self.n_agents[:, None]).mean(axis=0)
        return share

    def initial_share(self, groups: ArrayLike) -> Array:
        """Compute the fraction of initial agents in each group, shape ``(n_groups,)``; NaN without any."""
        initial = self.engaged[:, :, 0].T
        with np.errstate(invalid="ignore"):
            share: Array = (_members(groups) @ initial / initial.sum(axis=0)).mean(axis=1)
        return share

    @property
    def n_initial(self) -> int:
        """Agents engaged at step 0, the mean over realizations as a whole number."""
        return int(self.engaged[:, :, 0].sum(axis=1).mean().round())

    def select(self, rows: ArrayLike) -> RunTables:
        """Keep some realizations, in the order given; networks and notes stay those of the run.

        Args:
            rows: Their places along the first axis, each once, shape ``(n_kept,)``.
        """
        kept = np.asarray(rows, dtype=np.int64)
        place = np.full(self.n_realizations, -1, dtype=np.int64)
        place[kept] = np.arange(kept.size)
        counts = self.exposures.where(place[self.exposures.row] >= 0)
        along = {name: getattr(self, name)[kept] for name in _ALONG}
        return replace(self, exposures=replace(counts, row=place[counts.row]), **along)

    def until(self, step: int) -> RunTables:
        """Keep what happened until `step`, that one included.

        Raises:
            DesignError: There is no such step.
        """
        if not 0 <= step <= self.n_steps:
            raise DesignError(f"there is no step {step}: the run has steps 0 to {self.n_steps}")
        return replace(
            self,
            n_steps=step,
            last_step=np.minimum(self.last_step, step),
            engaged=self.engaged[:, :, : step + 1],
            engaged_if_yes=self.engaged_if_yes[:, :, : step + 1],
            exposures=self.exposures.where(self.exposures.step <= step),
        )

    def clusters(self, by: Clusters) -> Ints:
        """Number the clusters that realizations belong to, shape ``(n_realizations,)``."""
        if by == "realization":
            return np.arange(self.n_realizations)
        return np.unique(self.news, return_inverse=True)[1].astype(np.int64)

    def cells(self, by: Clusters = "realization", *, missing_yes: ArrayLike | None = None) -> Cells:
        """Count the decisions of exposures by profile and severity, for the logistic laws.

        Items of unknown severity count as peaceful.

        Args:
            by: What the clusters are.
            missing_yes: What missing decisions count as, in each cell: true yes, false no; shape ``(32, 2)``
                or one for all. They are left out if None.
        """
        n_yes, n_no, n_missing = (self._by_cell(name, by) for name in ("n_yes", "n_no", "n_missing"))
        if missing_yes is None:
            kind = Shares if n_yes.dtype.kind in Shares.kinds else Cells
            return kind.from_clusters(n_yes, n_no)
        as_yes = np.broadcast_to(np.asarray(missing_yes, dtype=bool), (N_PROFILES, 2))
        return Cells.from_clusters(n_yes + n_missing * as_yes, n_no + n_missing * ~as_yes)

    def missing_by_cell(self) -> Ints:
        """Count the exposures without a decision by profile and severity, shape ``(32, 2)``."""
        counts: Ints = self._by_cell("n_missing", "realization").sum(axis=0)
        return counts

    def _by_cell(self, name: str, by: Clusters) -> Ints:
        """Add a count up, shape ``(n_clusters, 32, 2)``."""
        cluster = self.clusters(by)
        n_clusters = int(cluster.max(initial=-1)) + 1
        counts = self.exposures
        severity = np.maximum(self.severity, 0)
        cell = (cluster[counts.row] * N_PROFILES + counts.profile) * 2 + severity[counts.row]
        total = np.zeros(n_clusters * N_PROFILES * 2, dtype=getattr(counts, name).dtype)
        np.add.at(total, cell, getattr(counts, name))
        return total.reshape(n_clusters, N_PROFILES, 2)


_ALONG = (
    *("realization", "news", "severity", "last_step", "initial_profile", "n_seed_attempts"),
    *("profile_agents", "engaged", "engaged_if_yes"),
)
"""The arrays whose first axis are realizations."""


def checked_groups(groups: ArrayLike) -> Ints:
    """Check a group for each profile.

    Returns:
        Groups numbered from 0, shape ``(32,)``.

    Raises:
        DesignError: They are not 32 integers that number groups without gaps from 0.
    """
    group = np.asarray(groups)
    if group.shape != (N_PROFILES,) or group.dtype.kind not in "iu":
        raise DesignError(
            f"groups must be {N_PROFILES} integers, one for each profile; got shape {group.shape} of "
            f"{group.dtype}"
        )
    found = np.unique(group)
    if found.tolist() != list(range(found.size)):
        raise DesignError(f"groups must be numbered without gaps, from 0 or 1; got {found.tolist()}")
    return group.astype(np.int64)


def _members(groups: ArrayLike) -> NDArray[np.int64]:
    """Say which profiles belong to each group, shape ``(n_groups, 32)``."""
    group = checked_groups(groups)
    members: NDArray[np.int64] = (np.arange(group.max() + 1)[:, None] == group).astype(np.int64)
    return members


def freeze(tables: Any) -> None:  # noqa: ANN401 - any dataclass of tables
    """Make all arrays of tables read-only."""
    for each in fields(tables):
        value = getattr(tables, each.name)
        if isinstance(value, np.ndarray):
            # A view, so that an array somebody else holds stays writeable for them.
            view = value.view()
            view.flags.writeable = False
            object.__setattr__(tables, each.name, view)
