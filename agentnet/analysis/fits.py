"""All laws of a run in one call: parameters with their intervals, curves beside the run's, and a ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.cavity import CavityFit
from agentnet.analysis.fitting import checked_level
from agentnet.analysis.goodness import Comparison, Observed, compare
from agentnet.analysis.grouping import Grouping, GroupsLike, as_grouping, groups_or_one
from agentnet.analysis.laws import (
    LAWS,
    AnyFit,
    LawName,
    Resamples,
    checked_law,
    design_warnings,
    fit_curve_law,
    fit_law,
    outlook,
    title,
    told_probability,
)
from agentnet.analysis.logistic import LogisticFit
from agentnet.analysis.mean_field import Equilibrium, MeanFieldFit
from agentnet.analysis.parameters import Parameter, curve_parameters, decision_parameters
from agentnet.analysis.scores import InSample, Regroup, Score, Trials, ranked, score, trials
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, InputError, InternalError, UserError, near_miss
from agentnet.streams import Streams

Array = NDArray[np.float64]
Progress = Callable[[str], None]

_AGENTS: Final = 20_000_000
"""Agents of all inferred cascades of a law, unless somebody says how many cascades there are to be."""


@dataclass(frozen=True, slots=True, eq=False)
class LawFit:
    """One law fitted to a run.

    Attributes:
        law: Its name, one of `LAWS`.
        title: Its name for tables.
        n_parameters: Parameters that the data determine.
        parameters: What was fitted.
        growth_rate: The rate lambda at which few engaged agents grow, per step; of mean-field laws only.
        equilibria: Where nothing changes, and whether it is stable; of mean-field laws only.
        transmission_probability: What inferred cascades were played by, chance of a yes by profile and
            severity, shape ``(32, 2)``; of logistic laws only.
        fit: The fit itself.
        by_severity: The law fitted to the curves of each severity alone, if there are several; only laws of
            curves, which know no severity. Without intervals.
        comparisons: Its curves beside the run's: population, severities, groups.
        warnings: What to know before using it.
    """

    law: LawName
    title: str
    n_parameters: int
    parameters: tuple[Parameter, ...]
    growth_rate: Parameter | None
    equilibria: tuple[Equilibrium, ...]
    transmission_probability: Array | None = field(repr=False)
    fit: AnyFit = field(repr=False)
    by_severity: Mapping[int, MeanFieldFit | CavityFit] = field(repr=False)
    comparisons: tuple[Comparison, ...] = field(repr=False)
    warnings: tuple[str, ...]

    def parameter(self, name: str) -> Parameter:
        """Look a parameter up.

        Raises:
            DesignError: There is none of this name.
        """
        found = {each.name: each for each in self.parameters}
        if name not in found:
            raise DesignError(f"{self.title} has no parameter {name!r}{near_miss(name, found)}")
        return found[name]

    def comparison(self, view: str = "population") -> Comparison:
        """Look a comparison up.

        Raises:
            DesignError: There is no such view of the run.
        """
        found = {each.view: each for each in self.comparisons}
        if view not in found:
            raise DesignError(f"{self.title} is not compared by {view!r}{near_miss(view, found)}")
        return found[view]


@dataclass(frozen=True, slots=True)
class Refused:
    """A law that the run cannot be fitted by.

    Attributes:
        law: Its name.
        title: Its name for tables.
        reason: Why not.
    """

    law: LawName
    title: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """The laws of a run.

    Attributes:
        tables: The run.
        grouping: Groups of profiles that laws of groups were fitted with.
        laws: The laws that were fitted, in the order asked for.
        refused: The others.
        scores: The laws judged, best first: on held-out realizations if there are enough, else in sample.
        trials: What they were judged on.
        notes: What to know about run and groups.
        n_runs: Inferred cascades of each logistic law.
        n_bootstrap: Resamples behind each bootstrap interval.
        level: Confidence level of all intervals.
        seed: What fixed all chance.
    """

    tables: RunTables = field(repr=False)
    grouping: Grouping = field(repr=False)
    laws: tuple[LawFit, ...]
    refused: tuple[Refused, ...]
    scores: tuple[Score, ...]
    trials: Trials = field(repr=False)
    notes: tuple[str, ...]
    n_runs: int
    n_bootstrap: int
    level: float
    seed: int

    def law(self, name: str) -> LawFit:
        """Look a law up.

        Raises:
            DesignError: It was not fitted.
        """
        for each in self.laws:
            if each.law == name:
                return each
        for refused in self.refused:
            if refused.law == name:
                raise DesignError(f"the {refused.title} was not fitted: {refused.reason}")
        raise DesignError(f"there is no law {name!r}{near_miss(name, [each.law for each in self.laws])}")

    def as_json(self) -> dict[str, object]:
        """Give everything in the types that JSON has, ready for `json.dumps`.

        What JSON has no number for is spelled: NaN as None, infinities as ``"inf"`` and ``"-inf"``.
        """
        from agentnet.analysis.fits_json import plain_fits

        return plain_fits(self)

    def _repr_html_(self) -> str:
        """Show the tables in a notebook."""
        from agentnet.analysis.fits_html import html_fits

        return html_fits(self)


def fit_run(
    tables: RunTables,
    *,
    laws: Sequence[str] = LAWS,
    groups: GroupsLike | None = None,
    n_runs: int = 100,
    n_bootstrap: int = 200,
    level: float = 0.95,
    seed: int = 0,
    progress: Progress | None = None,
) -> Fits:
    """Fit laws to a run and judge them.

    Args:
        tables: The run.
        laws: Names of the laws, of `LAWS`.
        groups: Group of each profile: a mapping from bit strings or profile numbers, or an array of shape
            ``(32,)``. If None they are chosen from the run's own exposures, as `group_by_exposures` says,
            and a note says so.
        n_runs: Inferred cascades of each logistic law, >= 1.
        n_bootstrap: Resamples behind each bootstrap interval; 0 for none.
        level: Confidence level of all intervals, in (0, 1).
        seed: Fixes everything that is drawn.
        progress: Called with a few words before each piece of work.

    Raises:
        DesignError: An argument is impossible.
        UserError: No law could be fitted.
    """
    names = [checked_law(name) for name in dict.fromkeys(laws)]
    checked_level(level)
    if n_runs < 1 or n_bootstrap < 0:
        raise DesignError(f"n_runs is at least 1 and n_bootstrap at least 0; got {n_runs} and {n_bootstrap}")
    grouping, regroup = _groupings(tables, groups)
    fitter = _Fitter(tables, grouping, regroup, n_runs, Resamples(n_bootstrap, level=level, seed=seed))
    return fitter.all(names, progress or (lambda _: None))


def affordable_runs(tables: RunTables) -> int:
    """Choose how many cascades of a law to infer: large ones differ less, and take long.

    Returns:
        100, or fewer on networks of more than 200,000 agents, but at least 4.
    """
    return max(4, min(100, _AGENTS // int(tables.n_agents.max())))


def _groupings(tables: RunTables, groups: GroupsLike | None) -> tuple[Grouping, Regroup]:
    """Take the groups that are given, or choose them: for the run, and for each part of it anew."""
    if groups is None:
        return groups_or_one(tables.cells()), lambda part: groups_or_one(part.cells())
    given = as_grouping(groups)
    return given, lambda _: given


@dataclass(frozen=True, slots=True)
class _Fitter:
    """Fits one law after the other."""

    tables: RunTables
    grouping: Grouping
    regroup: Regroup
    n_runs: int
    resamples: Resamples

    def all(self, names: Iterable[LawName], progress: Progress) -> Fits:
        """Fit and judge them all."""
        observed = Observed.of(self.tables, self.grouping.group, seed=self.resamples.seed)
        laws: list[LawFit] = []
        refused: list[Refused] = []
        scores: list[Score] = []
        judged = trials(self.tables, seed=self.resamples.seed)
        for name in names:
            named = title(name, self.grouping.n_groups)
            try:
                progress(f"fitting the {named}")
                laws.append(self.one(name, observed))
            # A law in which a method of ours failed is one law less, with its reason, and not all of them.
            except (InputError, DesignError, InternalError) as error:
                refused.append(Refused(name, named, str(error)))
                continue
            progress(f"judging the {named}")
            scores.append(self.judge(laws[-1], judged))
        if not laws:
            reasons = "; ".join(f"{each.title}: {each.reason}" for each in refused)
            raise UserError(f"no law can be fitted to {self.tables.run}: {reasons}")
        notes = (*self.tables.notes, self._missing_note(), self.grouping.note)
        return Fits(
            tables=self.tables,
            grouping=self.grouping,
            laws=tuple(laws),
            refused=tuple(refused),
            scores=ranked(scores),
            trials=judged,
            notes=tuple(note for note in notes if note),
            n_runs=self.n_runs,
            n_bootstrap=self.resamples.n_bootstrap,
            level=self.resamples.level,
            seed=self.resamples.seed,
        )

    def one(self, law: LawName, observed: Observed) -> LawFit:
        """Fit one law and compare its curves with the run's."""
        fit = fit_law(law, self.tables, self.grouping, self.resamples)
        drawn = Streams(self.resamples.seed).integer("in sample", law)
        seen = outlook(law, fit, self.tables, self.grouping, observed.views, n_runs=self.n_runs, seed=drawn)
        comparisons = compare(observed, seen)
        warnings = (*fit.warnings, *design_warnings(law, self.tables, fit))
        if isinstance(fit, LogisticFit):
            return self._of_decisions(law, fit, comparisons, warnings)
        return self._of_curves(law, fit, comparisons, warnings)

    def _of_decisions(
        self, law: LawName, fit: LogisticFit, comparisons: tuple[Comparison, ...], warnings: tuple[str, ...]
    ) -> LawFit:
        parameters, of_errors = decision_parameters(
            law, fit, self.tables, self.grouping, level=self.resamples.level
        )
        return LawFit(
            law=law,
            title=title(law, self.grouping.n_groups),
            n_parameters=fit.n_parameters,
            parameters=parameters,
            growth_rate=None,
            equilibria=(),
            transmission_probability=told_probability(fit),
            fit=fit,
            by_severity={},
            comparisons=comparisons,
            warnings=(*warnings, *of_errors),
        )

    def _of_curves(
        self,
        law: LawName,
        fit: MeanFieldFit | CavityFit,
        comparisons: tuple[Comparison, ...],
        warnings: tuple[str, ...],
    ) -> LawFit:
        found = curve_parameters(law, fit, self.tables, self.grouping, self.resamples)
        is_mean_field = isinstance(fit, MeanFieldFit)
        return LawFit(
            law=law,
            title=title(law, self.grouping.n_groups),
            n_parameters=len(found) - is_mean_field,
            parameters=found[:-1] if is_mean_field else found,
            growth_rate=found[-1] if is_mean_field else None,
            equilibria=fit.law.equilibria() if isinstance(fit, MeanFieldFit) else (),
            transmission_probability=None,
            fit=fit,
            by_severity=dict(self._by_severity(law)),
            comparisons=comparisons,
            warnings=warnings,
        )

    def _by_severity(self, law: LawName) -> Iterator[tuple[int, MeanFieldFit | CavityFit]]:
        if len(self.tables.severities) == 1:
            return
        for severity in self.tables.severities:
            part = self.tables.select(np.flatnonzero(self.tables.severity == severity))
            try:
                fit = fit_curve_law(law, part, part.engaged_fraction, self.grouping, Resamples())
            except (InputError, DesignError, InternalError):
                continue
            yield severity, fit

    def judge(self, law: LawFit, judged: Trials) -> Score:
        """Judge a law on what it was not fitted to."""
        population = law.comparison()
        known = InSample(law.n_parameters, population.rmse, population.nrmse, population.floor)
        return score(
            law.law,
            self.tables,
            self.regroup,
            judged,
            known,
            n_groups=self.grouping.n_groups,
            n_runs=self.n_runs,
            seed=self.resamples.seed,
        )

    def _missing_note(self) -> str:
        tables = self.tables
        if not tables.n_missing:
            return f"no decision of {tables.n_exposures} exposures is missing"
        reasons = ", ".join(f"{reason} {n}" for reason, n in tables.missing_reasons.items())
        return (
            f"{tables.n_missing} of {tables.n_exposures} decisions are missing ({reasons}) and left out: see "
            "the bounds of each parameter"
        )
