"""All laws of a run in one call: parameters with their intervals, curves beside the run's, and a ranking."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.exact import Exact, exact_fits
from agentnet.analysis.fitting import CurveFit, checked_level
from agentnet.analysis.goodness import Comparison, Observed, compare_views
from agentnet.analysis.grouping import Grouping, GroupsLike, as_grouping, groups_or_one, why_alike
from agentnet.analysis.laws import LAWS, Equilibrium, Law, Parameter, Playing, Resamples, laws_to_fit
from agentnet.analysis.laws.curve import named_values
from agentnet.analysis.scores import Regroup, Score, Trials, does_as_well, ranked, score, trials
from agentnet.analysis.tables import NO_PROFILES, RunTables
from agentnet.errors import DesignError, InputError, InternalError, UserError, near_miss
from agentnet.plugins import is_unicode
from agentnet.streams import Streams
from agentnet.vocabulary import N_PROFILES, PROFILES

Array = NDArray[np.float64]
Progress = Callable[[str], None]

_AGENTS: Final = 20_000_000
"""Agents of all inferred cascades of a law, unless somebody says how many cascades there are to be."""


@dataclass(frozen=True, slots=True, eq=False)
class LawFit:
    """One law fitted to a run.

    Attributes:
        of: The law.
        n_parameters: Parameters that the data determine.
        parameters: What was fitted.
        growth_rate: The rate lambda at which few engaged agents grow, per step; None where the law has none.
        equilibria: Where nothing changes, and whether it is stable; of mean-field laws only.
        transmission_probability: What inferred cascades were played by, chance of a yes by profile and
            severity, shape ``(32, 2)``; of laws of profile and severity only.
        fit: The fit itself.
        by_severity: The law fitted to the curves of each severity alone, if there are several; only laws of
            curves, which know no severity. Without intervals.
        comparisons: Its curves beside the run's: population, severities, groups; none where no curve can be
            inferred.
        warnings: What to know before using it.
    """

    of: Law = field(repr=False)
    n_parameters: int
    parameters: tuple[Parameter, ...]
    growth_rate: Parameter | None
    equilibria: tuple[Equilibrium, ...]
    transmission_probability: Array | None = field(repr=False)
    fit: Any = field(repr=False)
    by_severity: Mapping[int, CurveFit[Any]] = field(repr=False)
    comparisons: tuple[Comparison, ...] = field(repr=False)
    warnings: tuple[str, ...]

    @property
    def law(self) -> str:
        """Its name, one of `LAWS`."""
        return self.of.name

    @property
    def title(self) -> str:
        """Its name for tables."""
        return self.of.heading

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
class RefusedLaw:
    """A law that the run cannot be fitted by.

    Attributes:
        law: Its name.
        title: Its name for tables.
        reason: Why not.
    """

    law: str
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
            Laws from which no curve can be inferred are not among them.
        trials: What they were judged on.
        notes: What to know about run and groups.
        n_runs: Inferred cascades of each logistic law.
        n_bootstrap: Resamples behind each bootstrap interval.
        level: Confidence level of all intervals.
        seed: What fixed all chance.
        exact: The laws fitted to probabilities; None where the log has none.
    """

    tables: RunTables = field(repr=False)
    grouping: Grouping = field(repr=False)
    laws: tuple[LawFit, ...]
    refused: tuple[RefusedLaw, ...]
    scores: tuple[Score, ...]
    trials: Trials = field(repr=False)
    notes: tuple[str, ...]
    n_runs: int
    n_bootstrap: int
    level: float
    seed: int
    exact: Exact | None = None

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

    def why_simpler(self, law: LawFit) -> str:
        """Say which law with fewer parameters, of the same table of the paper, does as well as one.

        A plateau alone, as asking rules make it, is better met by two rates than by one. So a law of groups
        says more only where the groups' decisions differ, too.

        Returns:
            Words on the first such law; empty if there is none, or if either could not be judged.
        """
        judged = {each.law: each for each in self.scores}
        for each in self.laws:
            if each.of.table != law.of.table or not law.of.table or each.n_parameters >= law.n_parameters:
                continue
            if each.law in judged and law.law in judged:
                alike = why_alike(self.tables.cells(), self.grouping) if law.of.needs_groups else ""
                why = does_as_well(judged[each.law], judged[law.law]) or _not_apart(law.parameters)
                if alike or why:
                    return f"the {each.title} law does as well with fewer parameters: {alike or why}"
        return ""

    def as_json(self) -> dict[str, object]:
        """Give everything in the types that JSON has, ready for `json.dumps`.

        What JSON has no number for is spelled: NaN as None, infinities as ``"inf"`` and ``"-inf"``.
        """
        spelled: dict[str, object] = plain(_spelled(self))
        return spelled

    def _repr_html_(self) -> str:
        """Show the tables in a notebook."""
        from agentnet.analysis.fits_html import html_fits

        return html_fits(self)


def fit_run(
    tables: RunTables,
    *,
    laws: Iterable[str] = LAWS,
    by: str | Sequence[str] = (),
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
        laws: Names of the laws, of `LAWS`; laws of a column are among all only if one is named.
        by: Columns of exposures that laws of a column are to be of; the tables were read with them.
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
    if not isinstance(tables, RunTables):
        raise DesignError(
            f"laws are fitted to tables, not to {type(tables).__name__}: "
            "fit_run(read_tables(RUN)), or to those of read_asks or read_people"
        )
    classes = laws_to_fit(laws, by)
    checked_level(level)
    if n_runs < 1 or n_bootstrap < 0:
        raise DesignError(f"n_runs is at least 1 and n_bootstrap at least 0; got {n_runs} and {n_bootstrap}")
    grouping, regroup = _groupings(tables, groups)
    resamples = Resamples(n_bootstrap, level=level, seed=seed)
    named = (by,) if isinstance(by, str) else tuple(by)
    chosen = [law(tables, grouping, part) for law in classes for part in law.columns_apart(named)]
    return _Fitter(tables, grouping, regroup, n_runs, resamples).all(chosen, progress or (lambda _: None))


def affordable_runs(tables: RunTables) -> int:
    """Choose how many cascades of a law to infer: large ones differ less, and take long.

    Returns:
        100, or fewer on networks of more than 200,000 agents, but at least 4.
    """
    return max(4, min(100, _AGENTS // int(tables.n_agents.max())))


def _groupings(tables: RunTables, groups: GroupsLike | None) -> tuple[Grouping, Regroup]:
    """Take the groups that are given, or choose them: for the run, and for each part of it anew."""
    if not tables.profiled:
        note = NO_PROFILES.format("there are no groups of them")
        none = Grouping(np.zeros(N_PROFILES, dtype=np.int64), "exposures of this run", note)
        return none, lambda _: none
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

    def all(self, chosen: Iterable[Law], progress: Progress) -> Fits:
        """Fit and judge them all."""
        observed = Observed.of(self.tables, self.grouping.group, seed=self.resamples.seed)
        laws: list[LawFit] = []
        refused: list[RefusedLaw] = []
        scores: list[Score] = []
        judged = trials(self.tables, seed=self.resamples.seed)
        for law in chosen:
            try:
                progress(f"fitting the {law.heading}")
                laws.append(self.one(law, observed))
            # A law in which a method of ours failed is one law less, with its reason, and not all of them.
            except (InputError, DesignError, InternalError) as error:
                refused.append(RefusedLaw(law.name, law.heading, str(error)))
                continue
            if laws[-1].comparisons:
                progress(f"judging the {law.heading}")
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
            exact=exact_fits(self.tables, laws, self.resamples.level),
        )

    def one(self, law: Law, observed: Observed) -> LawFit:
        """Fit one law and compare its curves with the run's."""
        fit = law.fit(self.resamples)
        drawn = Streams(self.resamples.seed).integer("in sample", law.name)
        seen = law.outlook(fit, self.tables, Playing(observed.views, self.n_runs, drawn))
        listed = law.listed(fit, self.resamples)
        return LawFit(
            of=law,
            n_parameters=law.n_fitted(fit),
            parameters=listed.parameters,
            growth_rate=listed.growth_rate,
            equilibria=law.equilibria(fit),
            transmission_probability=law.chance(fit),
            fit=fit,
            by_severity=dict(law.by_severity()),
            comparisons=compare_views(observed, seen),
            warnings=(*fit.warnings, *law.warnings(fit), *listed.warnings),
        )

    def judge(self, law: LawFit, judged: Trials) -> Score:
        """Judge a law on what it was not fitted to."""
        chance = {"n_runs": self.n_runs, "seed": self.resamples.seed}
        return score(law.of, law.n_parameters, law.comparison(), self.regroup, judged, **chance)

    def _missing_note(self) -> str:
        tables = self.tables
        if not tables.n_missing:
            return f"no decision of {tables.n_exposures:,} exposures is missing"
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in tables.missing_reasons.items())
        are = f"decisions {'is' if tables.n_missing == 1 else 'are'} missing ({reasons}) and left out"
        return f"{tables.n_missing:,} of {tables.n_exposures:,} {are}: see the bounds of each parameter"


def _not_apart(parameters: Sequence[Parameter]) -> str:
    """Say that the least and the greatest of some rates are not told apart; empty if they are."""
    inner = sorted(parameters, key=lambda each: each.estimate)
    low, high = inner[0], inner[-1]
    if low.interval is None or high.interval is None or low.interval[1] < high.interval[0]:
        return ""
    return f"the intervals of {low.name} and {high.name} overlap"


def plain(value: Any, where: str = "it") -> Any:  # noqa: ANN401 - from anything to JSON
    """Spell a value in the types that JSON has.

    Args:
        value: What is spelled, with mappings, lists, arrays, dataclasses and named tuples in it.
        where: What it is called in messages.

    Raises:
        TypeError: It holds something that is none of these, no text and no number; names the place.

    Examples:
        >>> plain({1: (math.inf, math.nan, np.array([2]))})
        {'1': ['inf', None, [2]]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name), where) for each in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        names = [str(plain(key, f"a key of {where}")) for key in value]
        if len({*names}) < len(names):
            raise TypeError(f"two keys of {where} are spelled alike: {sorted(names)!r:.60}")
        return {name: plain(each, name) for name, each in zip(names, value.values(), strict=True)}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), where)
    if isinstance(value, list | tuple):
        return [plain(each, where) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if not isinstance(value, str | int | float | None) or (isinstance(value, str) and not is_unicode(value)):
        raise TypeError(f"{where} is {value!a:.60}, which JSON has nothing for")
    return value


def _spelled(fits: Fits) -> dict[str, object]:
    return {
        **_of_run(fits.tables),
        "groups": {
            "source": fits.grouping.source,
            "group": dict(zip(PROFILES, (fits.grouping.group + 1).tolist(), strict=True)),
            "share": fits.tables.group_share(fits.grouping.group),
            "initial_share": fits.tables.initial_share(fits.grouping.group),
        },
        "n_runs": fits.n_runs,
        "n_bootstrap": fits.n_bootstrap,
        "level": fits.level,
        "seed": fits.seed,
        "notes": fits.notes,
        "laws": [_of_law(law) for law in fits.laws],
        "refused": fits.refused,
        "scores": fits.scores,
        "trials": {
            "n_folds": len(fits.trials.folds),
            "held_out_by": fits.trials.held_out_by,
            "baseline_rmse": fits.trials.baseline_rmse,
            "first_steps": fits.trials.first_steps,
            "forecast_floor": fits.trials.forecast_floor,
        },
        **({} if fits.exact is None else {"exact": fits.exact}),
    }


def _of_run(tables: RunTables) -> dict[str, object]:
    return {
        "run": tables.run,
        "status": tables.status,
        "condition": tables.condition,
        "model_name": tables.model_name,
        "asking_rule": tables.asking_rule,
        "seeding": tables.seeding,
        "n_steps": tables.n_steps,
        "n_realizations": tables.n_realizations,
        "n_unstarted": tables.n_unstarted,
        "n_unfinished": tables.n_unfinished,
        "n_news": np.unique(tables.news).size,
        "severities": tables.severities,
        "n_agents": np.unique(tables.n_agents),
        "networks": {
            "names": tables.networks.names,
            "n_networks": tables.networks.n_networks,
            "fresh": tables.networks.fresh,
            "degree": tables.networks.degree,
            "mean_degree": tables.networks.mean_degree,
        },
        "n_exposures": tables.n_exposures,
        "n_missing": tables.n_missing,
        "missing_reasons": tables.missing_reasons,
    }


def _of_law(law: LawFit) -> dict[str, object]:
    chance = law.transmission_probability
    return {
        "law": law.law,
        "title": law.title,
        "n_parameters": law.n_parameters,
        "parameters": law.parameters,
        "growth_rate": law.growth_rate,
        "equilibria": law.equilibria,
        "transmission_probability": None if chance is None else dict(zip(PROFILES, chance, strict=True)),
        "likelihood": law.of.likelihood(law.fit),
        "against_constant": law.of.against_constant(law.fit),
        "by_severity": {severity: _estimates(fit) for severity, fit in law.by_severity.items()},
        "comparisons": law.comparisons,
        "warnings": law.warnings,
    }


def _estimates(fit: CurveFit[Any]) -> dict[str, object]:
    values = {name: value for name, (value, _) in named_values(fit).items() if name != "lambda"}
    return {**values, "rmse": fit.rmse, "nrmse": fit.nrmse}
