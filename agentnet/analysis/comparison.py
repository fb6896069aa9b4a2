"""Conditions of a run, or of several, compared in one measure: estimates, contrasts, trends, intervals.

    from agentnet import analysis

    found = analysis.compare(["runs/sparse", "runs/dense"], "lambda")
    found.frame()

What is compared is paired by news item and repeat (by repeat where models interview each other, by news item
and profile in response ratios). Measures of single realizations have Student's t interval of the mean within
pairs, see `contrasts.contrast`. Parameters of laws are fitted to mean curves: there whole pairs are drawn
anew, the same ones under both conditions, both laws are fitted again, and percentiles of the differences are
the interval (paired bootstrap, Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 8).

More than 400 lines, as what each measure is, what is drawn for it and how it is told belong together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.contrasts import (
    BOUNDS,
    FEWEST_FOR_TREND,
    OF_SHARES,
    ByPair,
    ConditionContrast,
    Contrast,
    Pair,
    are_numbers,
    contrast,
    difference,
    difference_in_words,
    holm,
    rows_by_knob,
    trend,
    trend_in_words,
)
from agentnet.analysis.estimates import Interval
from agentnet.analysis.fitting import CurveFit, checked_level
from agentnet.analysis.grouping import Grouping, GroupsLike, as_grouping, groups_or_one
from agentnet.analysis.laws import LAWS, CurveLaw
from agentnet.analysis.laws.contract import Resamples
from agentnet.analysis.laws.curve import named_values
from agentnet.analysis.reading import read_tables
from agentnet.analysis.study import OUTCOMES, How, Study, values_of
from agentnet.analysis.tables import RunTables
from agentnet.errors import (
    DesignError,
    InputError,
    PluginError,
    RunFolderError,
    UserError,
    near_miss,
    without_field,
)
from agentnet.events import Run, check_unchanged
from agentnet.events.conditions import Condition, differing_knobs, names_by_knobs, spelling, told_apart
from agentnet.events.schema import CONDITION_OF
from agentnet.families.lookup import family_of
from agentnet.plugins import is_of
from agentnet.streams import Streams

if TYPE_CHECKING:
    import pandas as pd

    from agentnet.families import Family

Array = NDArray[np.float64]
OfRealization = Callable[[Array], float]
"""From the curve of one realization to a number; nan where it has none."""

EARLY: Final = 0.1
"""Growth is early while less of the population than this is engaged."""


def final_engagement(curve: Array) -> float:
    """Take the engaged fraction after the last step."""
    return float(curve[-1])


def half_time(curve: Array) -> float:
    """Find the time until half of those were engaged who were in the end, in steps; linear between steps.

    A logistic curve has its inflection there. Nan where nobody engaged after step 0.

    Examples:
        >>> half_time(np.array([0.1, 0.2, 0.6, 0.8]))
        1.5
    """
    half = curve[-1] / 2
    if curve[-1] == curve[0]:
        return math.nan
    after = int(np.argmax(curve >= half))
    if not after:
        return 0.0
    before = float(curve[after - 1])
    return after - 1 + float((half - before) / (curve[after] - before))


def early_growth(curve: Array) -> float:
    """Compute the mean growth rate ln E(t) - ln E(t - 1) while at most `EARLY` are engaged, per step.

    One step at least counts. This is the slope of the first, exponential part of an epidemic (Ma, Dushoff,
    Bolker & Earn 2014, "Estimating initial epidemic growth rates", Bulletin of Mathematical Biology 76),
    and what the mean-field laws' lambda is in their beginning.

    Examples:
        >>> round(early_growth(np.array([0.01, 0.02, 0.04, 0.4])), 3)
        0.693
    """
    last = early_steps(curve)
    return float(np.log(curve[last] / curve[0]) / last)


def early_steps(curve: Array) -> int:
    """Count the steps from 0 on over which at most `EARLY` are engaged, at least one."""
    early = np.flatnonzero(curve <= EARLY)
    return max(int(early[-1]) if early.size else 0, 1)


MEASURES: Final[Mapping[str, tuple[str, OfRealization]]] = {
    "final_engagement": ("engaged fraction after the last step", final_engagement),
    "half_time": ("steps until half of the finally engaged were engaged", half_time),
    "early_growth": (f"growth rate while at most {EARLY:.0%} are engaged, per step", early_growth),
}
"""What cascades are compared in: name -> in words, and how a realization comes to it."""

_BOUNDS: Final = {"final_engagement": OF_SHARES}
OF_ONE_RATE: Final = {"tau": "one_rate.tau", "lambda": "one_rate.lambda"}
_ALL_REALIZATIONS = "SELECT r.realization, n.id, r.repeat FROM realizations r JOIN news n USING (news)"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a side of a comparison comes from.

    Attributes:
        run: Name of the run; several may have one name.
        place: Which of those compared it is.
        condition: The condition, numbered within its run.
        facts: What may set it apart from other runs: its design, and the model.
        seed: The run's.
        shares_chance: Whether conditions of the run share the chance of one news item and repeat.
    """

    run: str
    place: int
    condition: Condition
    facts: Mapping[str, Any]
    seed: int
    shares_chance: bool

    @classmethod
    def of(cls, run: str, place: int, meta: Mapping[str, Any], condition: Condition) -> Origin:
        """Take it from a run's table ``meta``."""
        facts = {key: value for key, value in condition.design.items() if key not in _NO_KNOBS}
        # Models that interview each other always did; other runs say it, unless they are older.
        shares = "chance" in meta or "interviews" in family_of(meta).read_as
        return cls(run, place, condition, {**facts, "model": meta["model_name"]}, int(meta["seed"]), shares)


_N_COLUMNS: Final = 4
_NO_KNOBS: Final = ("conditions", "repeats")


@dataclass(frozen=True, slots=True, eq=False)
class Realizations:
    """A measure of single realizations.

    Attributes:
        origin: Where it comes from.
        values: What each pair came to.
        within: Between what all of them lie; None where there are no bounds.
    """

    origin: Origin
    values: ByPair = field(repr=False)
    within: Interval | None = None

    @property
    def pairs(self) -> Collection[Pair]:
        """List its pairs."""
        return self.values.keys()

    def alone(self, how: How) -> Contrast:
        """Average over all pairs."""
        return replace(
            contrast(self.values, level=how.level, seed=how.seed, within=self.within), p_value=math.nan
        )

    def less(self, other: Any, how: How) -> tuple[Contrast, Contrast | None]:  # noqa: ANN401 - of its own kind
        """Subtract another side: averages within pairs, or of each where they share none (Welch's t).

        Returns:
            With pairs as what is independent; and with whole news items, None where there is one or none.

        Raises:
            InputError: Nothing can be estimated from the pairs.
        """
        if not set(self.pairs) & set(other.pairs):
            by_news = _news_means(self.values), _news_means(other.values)
            enough = min(map(len, by_news)) > 1
            found = _unpaired(self.values, other.values, how)
            by_item = _unpaired(*by_news, how) if enough else None
        else:
            apart = difference(self.values, other.values)
            means = _news_means(apart)
            by_item = contrast(means, level=how.level, seed=how.seed) if len(means) > 1 else None
            found = contrast(apart, level=how.level, seed=how.seed)
        most = math.inf if self.within is None else self.within[1] - self.within[0]
        return _as_far_as(found, most), by_item and _as_far_as(by_item, most)


class OneMeasure(NamedTuple):
    """What the conditions of runs came to in one measure.

    Attributes:
        sides: One for each condition of which it is known.
        title: The measure in words.
        notes: What to know about it.
    """

    sides: list[Side]
    title: str
    notes: list[str]


def _news_means(values: ByPair) -> dict[str, float]:
    """Average over the pairs of each news item; nothing where pairs have none."""
    of: dict[str, list[float]] = {}
    for pair, value in values.items():
        if isinstance(pair, tuple):
            of.setdefault(pair[0], []).append(value)
    return {news: float(np.mean(own)) for news, own in of.items()}


def _as_far_as(found: Contrast, most: float) -> Contrast:
    """Cut the interval of a difference off where the difference of what has bounds ends."""
    return replace(found, low=min(max(found.low, -most), most), high=max(min(found.high, most), -most))


def _unpaired(values: ByPair, others: ByPair, how: How) -> Contrast:
    """Subtract means of samples that have nothing to do with each other (Welch 1947, Biometrika 34)."""
    from scipy.special import stdtr, stdtrit

    one, other = (np.array(list(each.values()), dtype=np.float64) for each in (values, others))
    value, n = float(one.mean() - other.mean()), one.size + other.size
    if min(one.size, other.size) < 2 or not (np.ptp(one) or np.ptp(other)):
        return Contrast(value, math.nan, math.nan, math.nan, n, how.level)
    # By hand, as scipy.stats warns of samples that are all but equal, which cascades of few agents are.
    parts = [each.var(ddof=1) / each.size for each in (one, other)]
    error = math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(
        part**2 / (each.size - 1) for part, each in zip(parts, (one, other), strict=True)
    )
    half = float(stdtrit(freedom, (1 + how.level) / 2)) * error
    p_value = 2 * float(stdtr(freedom, -abs(value) / error))
    return Contrast(value, value - half, value + half, p_value, n, how.level)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A parameter of a law of curves, fitted to the mean curve of realizations.

    Attributes:
        origin: Where it comes from.
        tables: The realizations.
        pairs: The pair of each of them.
        law: The law.
        parameter: Name of the parameter.
        grouping: Groups of profiles.
        values: None: it is no measure of single realizations.
    """

    origin: Origin
    tables: RunTables
    pairs: tuple[tuple[str, int], ...]
    law: type[CurveLaw]
    parameter: str
    grouping: Grouping
    values: ClassVar[ByPair] = {}

    def alone(self, how: How) -> Contrast:
        """Fit it to all pairs."""
        estimate, draws = self.fit(self.pairs, how)
        return _of_draws(estimate, draws, len(self.pairs), how)

    def less(self, other: Any, how: How) -> tuple[Contrast, Contrast | None]:  # noqa: ANN401 - of its own kind
        """Subtract another side, both fitted to the pairs and draws that both have; else to those of each.

        Returns:
            As `Realizations.less`.
        """
        common = sorted(set(self.pairs) & set(other.pairs))
        mine, theirs = (common, common) if common else (self.pairs, other.pairs)
        # The same seed draws the same of equally many pairs.
        drawn = how if common else replace(how, seed=Streams(how.seed).integer("compare", "unpaired"))
        n = len(common) or len(mine) + len(theirs)
        found = [
            _less(self.fit(mine, how, by_news), other.fit(theirs, drawn, by_news), n, how)
            for by_news in (False, True)
        ]
        several = min(len({news for news, _ in pairs}) for pairs in (mine, theirs)) > 1
        return found[0], found[1] if several else None

    def fit(self, pairs: Sequence[tuple[str, int]], how: How, by_news: bool = False) -> tuple[float, Array]:
        """Fit the law to some pairs, in this order, and to draws of them that hang on their number alone.

        Args:
            pairs: The pairs.
            how: How they are drawn.
            by_news: Whether whole news items are drawn.

        Returns:
            The parameter, and its draws, shape ``(n_bootstrap,)``, or none.
        """
        part = self.tables.select([self.pairs.index(pair) for pair in pairs])
        news = np.unique([news for news, _ in pairs], return_inverse=True)[1]
        part = replace(part, news=news.astype(np.int64))
        resamples = Resamples(how.n_bootstrap, by_news=by_news, level=how.level, seed=how.seed)
        return _parameter(self.law(part, self.grouping).fit(resamples), self.parameter)


Side = Realizations | Fitted
"""One condition in one measure."""


def _parameter(fit: CurveFit[Any], name: str) -> tuple[float, Array]:
    """Look a parameter of a fit up: estimate and draws."""
    known = list(named_values(fit))
    if name not in (*known, *fit.names):
        raise DesignError(f"the law has no parameter {name!r}{near_miss(name, known)}")
    if name == "lambda" and fit.growth_rate is not None:
        rates = [fit.law.with_values(row).growth_rate for row in fit.draws]
        return fit.growth_rate, np.array(rates, dtype=np.float64)
    place = (fit.names if name in fit.names else known).index(name)
    return fit.values[place], fit.draws[:, place]


def _less(one: tuple[float, Array], other: tuple[float, Array], n_pairs: int, how: How) -> Contrast:
    """Subtract fits to the same draws; one whose curves are all alike has no draws, and stays as it is."""
    n_draws = max(len(one[1]), len(other[1]))
    first, second = (draws if len(draws) else np.full(n_draws, value) for value, draws in (one, other))
    return _of_draws(one[0] - other[0], first - second, n_pairs, how)


def _of_draws(estimate: float, draws: Array, n_pairs: int, how: How) -> Contrast:
    kept = draws[np.isfinite(draws)]
    tail = (1 - how.level) / 2
    low, high = np.quantile(kept, [tail, 1 - tail]).tolist() if kept.size else (math.nan, math.nan)
    return Contrast(estimate, low, high, math.nan, n_pairs, how.level)


@dataclass(frozen=True, slots=True)
class ConditionEstimate:
    """What one condition came to.

    Attributes:
        name: What sets it apart from the others compared.
        run: Name of its run.
        condition: Its number in that run.
        knobs: The knobs in which those that are compared differ, with its own values.
        estimate: The number, over all realizations of the condition; without a test.
    """

    name: str
    run: str
    condition: int
    knobs: Mapping[str, Any]
    estimate: Contrast


@dataclass(frozen=True, slots=True)
class ConditionComparison:
    """Conditions compared in one measure.

    Attributes:
        measure: What they are compared in.
        title: The same in words, with its unit.
        estimates: What each condition came to: the measure against the knobs that were swept.
        contrasts: Differences between them, and trends over knobs that take three or more numbers.
        resampled: What intervals are over, in a sentence.
        level: Confidence level of all intervals.
        notes: What to know about it.
    """

    measure: str
    title: str
    estimates: tuple[ConditionEstimate, ...]
    contrasts: tuple[ConditionContrast, ...]
    resampled: str
    level: float
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Lay the contrasts out: a row each, p also adjusted by Holm for all rows."""
        import pandas as pd

        rows = [
            {
                "compared": each.compared,
                "kind": each.kind,
                **_plain(each.contrast),
                "p_value_holm": None if math.isnan(adjusted) else adjusted,
                "low_by_news": None if each.by_news is None else each.by_news.low,
                "high_by_news": None if each.by_news is None else each.by_news.high,
            }
            for each, adjusted in zip(self.contrasts, self.p_values_holm(), strict=True)
        ]
        return pd.DataFrame(rows)

    def p_values_holm(self) -> list[float]:
        """Adjust the p-values of all contrasts by Holm; nan where there is none."""
        return holm([each.contrast.p_value for each in self.contrasts])

    def sweep(self) -> pd.DataFrame:
        """Lay the estimates out: a row for each condition, a column for each knob."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"condition": each.name, "run": each.run, **each.knobs, **_plain(each.estimate)}
                for each in self.estimates
            ]
        ).drop(columns="p_value")

    def as_json(self) -> dict[str, Any]:
        """Give everything in the types of JSON; numbers that JSON has none for are None."""
        return {
            "measure": self.measure,
            "title": self.title,
            "estimates": [{**asdict(each), "estimate": _plain(each.estimate)} for each in self.estimates],
            "contrasts": [
                {
                    "kind": each.kind,
                    "compared": each.compared,
                    **_plain(each.contrast),
                    "by_news": None if each.by_news is None else _plain(each.by_news),
                }
                for each in self.contrasts
            ],
            "resampled": self.resampled,
            "level": self.level,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """Show both tables in a notebook."""
        return f"{self.sweep().to_html(escape=True)}{self.frame().to_html(escape=True)}"


def _plain(found: Contrast) -> dict[str, Any]:
    numbers = {key: value for key, value in asdict(found).items() if key != "level"}
    return {key: value if math.isfinite(value) else None for key, value in numbers.items()}


def compare(
    of: Run | str | Path | Study | Sequence[Run | str | Path | Study],
    measure: str = "final_engagement",
    *,
    groups: GroupsLike | None = None,
    n_bootstrap: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> ConditionComparison:
    """Compare the conditions of a run, or those of several runs, in one measure.

    Conditions that differ in one knob only are compared along it: each with the first, and by the trend where
    the knob takes three or more numbers. A condition that differs from all others in several knobs is
    compared with the first one.

    Args:
        of: Runs of cascades, or of response ratios, or their folders; or studies of interacting models (see
            `study_run`).
        measure: Of cascades one of `MEASURES`, ``"tau"`` or ``"lambda"`` of the one-rate law, or the
            parameter of a law of curves (``"group_rates.tau_2"``); of response ratios ``"yes_ratio"``; of
            studies one of `study.OUTCOMES`.
        groups: Group of each profile, for laws of groups; chosen from the exposures of the first condition if
            None.
        n_bootstrap: Draws behind intervals of laws' parameters.
        level: Confidence level of all intervals, in (0, 1).
        seed: Fixes everything that is drawn.

    Raises:
        RunFolderError: A log is damaged.
        UserError: There are not two conditions to compare, of one family, in this measure.
        DesignError: There is no such measure, or an option is out of range.
        InputError: The data of a condition do not determine the measure.
    """
    checked_level(level)
    if n_bootstrap < 0:
        raise DesignError(f"n_bootstrap must be at least 0; got {n_bootstrap}")
    how = How(level, n_bootstrap, seed)
    given = [of] if isinstance(of, Run | str | Path | Study) else list(of)
    studies = [each for each in given if isinstance(each, Study)]
    runs = [_opened(each) for each in given if not isinstance(each, Study)]
    if studies and runs:
        raise UserError("studies of interacting models cannot be compared with runs of another family")
    if studies:
        sides, title, notes = _of_studies(studies, measure)
    else:
        family = _family(runs)
        found = family.measured(runs, measure, groups)
        sides, title, notes = _by_query(runs, measure, family) if found is None else found
    if len(sides) < 2:
        raise UserError(
            f"there {'is one condition' if sides else 'is no condition'} of which {measure} is known; a "
            "comparison takes two: a run with conditions, or several runs"
        )
    return _compared(measure, title, sides, notes, how)


def compare_all(
    of: Sequence[Run | Study], *, n_bootstrap: int = 200, level: float = 0.95, seed: int = 0
) -> tuple[tuple[ConditionComparison, ...], dict[str, str]]:
    """Compare the conditions of runs of one family, or of studies, in all that a report tells of them.

    Args:
        of: The runs, or the studies.
        n_bootstrap: See `compare`.
        level: See `compare`.
        seed: See `compare`.

    Returns:
        The comparisons; and of measures in which nothing can be compared the reason. Both are empty where
        there is one condition in all.

    Raises:
        RunFolderError: A log is damaged.
    """
    metas = [each.meta for each in of]
    if sum(len(meta["experiment"]["conditions"]) for meta in metas) < 2:
        return (), {}
    found, refused = [], {}
    for measure in family_of(metas[0]).measures([each for each in of if isinstance(each, Run)]):
        try:
            found.append(compare(of, measure, n_bootstrap=n_bootstrap, level=level, seed=seed))
        except RunFolderError:
            raise
        except UserError as error:
            refused[measure] = without_field(str(error))
    return tuple(found), refused


def names_of_conditions(of: Sequence[Run | Study]) -> dict[tuple[int, int], str]:
    """Name the conditions of runs of one family, or of studies, by what differs, as a comparison names them.

    Returns:
        (place of the run, number of the condition in it) -> name; no two have the same.
    """
    origins = [
        Origin.of(each.run if isinstance(each, Study) else each.folder.resolve().name, place, each.meta, own)
        for place, each in enumerate(of)
        for own in Condition.all_of(each.meta)
    ]
    named = zip(origins, _named(origins), strict=True)
    return {(origin.place, origin.condition.number): condition.name for origin, condition in named}


def _opened(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else Run(Path(run))


def _of_studies(studies: Sequence[Study], measure: str) -> OneMeasure:
    if measure not in OUTCOMES:
        raise _no_measure(measure, OUTCOMES)
    values, is_same = values_of(studies, measure)
    sides: list[Side] = [
        Realizations(Origin.of(study.run, place, study.meta, condition), by_repeat)
        for place, (study, every) in enumerate(zip(studies, values, strict=True))
        for condition, by_repeat in every
        if by_repeat
    ]
    notes = [] if is_same else ["each repeat is measured over its own questions"]
    return OneMeasure(sides, OUTCOMES[measure][0], notes)


def _family(runs: Sequence[Run]) -> Family:
    """Give the one family of `runs`."""
    found = {family.name: family for family in (family_of(run.meta) for run in runs)}
    if len(found) != 1:
        raise UserError(f"runs of one family are compared; these are of {', '.join(sorted(found)) or 'none'}")
    return found.popitem()[1]


def _no_measure(measure: str, known: Collection[str]) -> DesignError:
    return DesignError(f"there is no measure {measure!r}{near_miss(measure, known)}")


def _by_query(runs: Sequence[Run], measure: str, family: Family) -> OneMeasure:
    """Take a measure from what an SQL query of the family gives of each run."""
    if not family.queries:
        raise UserError(
            f"runs of {family.what} ({runs[0].folder}) cannot be compared: their family {family.name!r} has "
            "no measures (agentnet.families.Family.queries)"
        )
    if measure not in family.queries:
        raise _no_measure(measure, family.queries)
    title, query = _query(family, measure)
    sides: list[Side] = []
    for place, run in enumerate(runs):
        check_unchanged(run)
        found: dict[int, dict[tuple[str, Any], float]] = {}
        for row in run.rows(query.format(condition_of=f"({CONDITION_OF})"))[1]:
            if len(row) != _N_COLUMNS or not is_of(float | None, row[3]):
                raise PluginError(
                    f"the query of measure {measure!r} of family {family.name!r} gives {row!r:.80}; it gives "
                    "condition, news item, repeat and a number"
                )
            condition, one, other, value = row
            if value is not None:
                found.setdefault(condition, {})[one, other] = value
        meta, name = run.meta, run.folder.resolve().name
        known_here = Condition.all_of(meta)
        sides += [
            Realizations(Origin.of(name, place, meta, known_here[number]), by_pair)
            for number, by_pair in sorted(found.items())
        ]
    return OneMeasure(sides, title, [])


def _query(family: Family, measure: str) -> tuple[str, str]:
    found = family.queries[measure]
    if not (is_of(tuple[str, ...], found) and len(found) == 2):
        raise PluginError(
            f"family {family.name!r} has queries[{measure!r}] = {found!r:.80}; give words and SQL"
        )
    return found


def measured_cascades(runs: Sequence[Run], measure: str, groups: GroupsLike | None) -> OneMeasure:
    """Take a measure from the curve of each realization, or fit the law that it is a parameter of."""
    name, _, parameter = OF_ONE_RATE.get(measure, measure).partition(".")
    curved = {name: law for name in LAWS if issubclass(law := LAWS[name], CurveLaw)}
    if measure not in MEASURES and name not in curved:
        raise _no_measure(measure, [*MEASURES, *OF_ONE_RATE, *(f"{each}.PARAMETER" for each in curved)])
    sides: list[Side] = []
    notes: list[str] = []
    grouping = None if groups is None else as_grouping(groups)
    for place, run in enumerate(runs):
        meta = run.meta
        pair_of = {number: (news, repeat) for number, news, repeat in run.rows(_ALL_REALIZATIONS)[1]}
        for condition in Condition.all_of(meta):
            origin = Origin.of(run.folder.resolve().name, place, meta, condition)
            try:
                tables = read_tables(run, condition=condition.number)
            except RunFolderError:
                raise
            except UserError as error:
                notes.append(f"{condition.name} is left out: {error}")
                continue
            notes += [f"{condition.name}: {note}" for note in tables.notes if note not in notes]
            pairs = tuple(pair_of[number] for number in tables.realization.tolist())
            if measure in MEASURES:
                values = map(MEASURES[measure][1], tables.engaged_fraction)
                known = _known(origin, dict(zip(pairs, values, strict=True)), notes)
                sides.append(replace(known, within=_BOUNDS.get(measure)))
            else:
                grouping = grouping or groups_or_one(tables.cells())
                sides.append(Fitted(origin, tables, pairs, curved[name], parameter, grouping))
    title = MEASURES[measure][0] if measure in MEASURES else f"{parameter} of the law {name}"
    return OneMeasure(sides, title, notes)


def _known(origin: Origin, by_pair: Mapping[Pair, float], notes: list[str]) -> Realizations:
    """Leave out realizations of which the measure is unknown, and say how many these are."""
    known = {pair: value for pair, value in by_pair.items() if math.isfinite(value)}
    if len(known) < len(by_pair):
        notes.append(
            f"{origin.condition.name}: {len(by_pair) - len(known):,} of {len(by_pair):,} realizations are "
            "left out, as nobody engaged after step 0"
        )
    return Realizations(origin, known)


def _compared(
    measure: str, title: str, sides: Sequence[Side], notes: Sequence[str], how: How
) -> ConditionComparison:
    conditions = _named([side.origin for side in sides])
    of = dict(enumerate(sides))
    knobs = differing_knobs([each.overrides for each in conditions], [each.design for each in conditions])
    return ConditionComparison(
        measure=measure,
        title=title,
        estimates=tuple(
            ConditionEstimate(
                name=condition.name,
                run=side.origin.run,
                condition=side.origin.condition.number,
                knobs={key: condition.design.get(key) for key in knobs},
                estimate=side.alone(how),
            )
            for condition, side in zip(conditions, sides, strict=True)
        ),
        contrasts=tuple(_contrasts(measure, conditions, of, how)),
        resampled=_resampled(sides),
        level=how.level,
        notes=(*notes, *_of_chance([side.origin for side in sides])),
    )


_OF_VALUES: Final = (
    "Intervals are Student's t over pairs ({} under both conditions), of the logit for trends{}, p turns "
    "the signs of pairs{}. "
    "Without a common pair interval and p are Welch's"
)
_BY_NEWS: Final = "; by news, the means of whole news items take the place of pairs"
_OF_FITS: Final = (
    "Intervals are percentiles of a paired bootstrap: pairs (realizations of the same news item and repeat "
    "under both conditions) are drawn with replacement, and the law is fitted to the mean curves of both "
    "anew; by news, whole news items are drawn. Without a common pair both are drawn independently"
)


def _resampled(sides: Sequence[Side]) -> str:
    """Say what intervals are over, and what makes a pair."""
    pair = next((pair for side in sides for pair in side.values), None)
    if pair is None:
        return _OF_FITS
    if not isinstance(pair, tuple):
        return _OF_VALUES.format("realizations of the same repeat", "", "")
    is_profile = isinstance(pair[1], str)
    what = (
        "answers of one profile on one news item"
        if is_profile
        else "realizations of the same news item and repeat"
    )
    return _OF_VALUES.format(what, " and where an engaged fraction of one condition stands alone", _BY_NEWS)


def _named(origins: Sequence[Origin]) -> list[Condition]:
    """Number the sides of a comparison, and name them by what differs; by their runs, where nothing does."""
    alone = len({origin.place for origin in origins}) == 1
    facts = [dict(each.condition.overrides if alone else each.facts) for each in origins]
    if alone:
        names = tuple(each.condition.name for each in origins)
    else:
        names = told_apart(
            names_by_knobs(facts, differing_knobs(facts, facts)), [each.run for each in origins]
        )
    return [
        Condition(number, name, each.condition.design if alone else fact, fact)
        for number, (name, each, fact) in enumerate(zip(names, origins, facts, strict=True))
    ]


def _of_chance(origins: Sequence[Origin]) -> Iterator[str]:
    seeds = sorted({origin.seed for origin in origins})
    if len(seeds) > 1:
        yield (
            f"the runs have different seeds ({', '.join(map(str, seeds))}): realizations of one news item "
            "and repeat share the news item, and no chance"
        )
    apart = Counter((origin.place, origin.run) for origin in origins if not origin.shares_chance)
    for (_, run), n_conditions in apart.items():
        if n_conditions > 1:
            yield (
                f"{run} was played by an older version: its realizations of one news item and repeat share "
                "the news item, and no chance, so that intervals are wider than they need be"
            )


def _contrasts(
    measure: str, conditions: Sequence[Condition], sides: Mapping[int, Side], how: How
) -> Iterator[ConditionContrast]:
    met: set[int] = set()
    alike: set[int] = set()
    for knob, others, row in rows_by_knob(conditions):
        at = f" ({others})" if others else ""
        met |= {each.number for _, each in row}
        values = [sides[each.number].values for _, each in row]
        if len(row) >= FEWEST_FOR_TREND and are_numbers(row) and all(values):
            knob_values = [value for value, _ in row]
            with suppress(InputError):
                number = contrast(
                    trend(knob_values, values), level=how.level, seed=how.seed, within=BOUNDS["trend"]
                )
                yield ConditionContrast(measure, "trend", trend_in_words(knob, knob_values, at), number)
        yield from _along(measure, knob, at, row, sides, how, alike)
    for each in conditions[1:]:
        if each.number not in met:
            told = f"{each.name} less {conditions[0].name}"
            yield from _difference(measure, told, sides[each.number], sides[0], how)


def _along(
    measure: str,
    knob: str,
    at: str,
    row: Sequence[tuple[Any, Condition]],
    sides: Mapping[int, Side],
    how: How,
    alike: set[int],
) -> Iterator[ConditionContrast]:
    """Compare each value of a knob with the first, and conditions of equal value with the first of these.

    Those of one design stand in a row of every knob: `alike` has who was compared with its first already.
    """
    first_of: dict[str, Condition] = {}
    has_equal = len({spelling(value) for value, _ in row}) < len(row)
    (start, of_start), *others = row
    first_of[spelling(start)] = of_start
    for value, each in others:
        other = first_of.setdefault(spelling(value), each)
        if other is each:
            other = of_start
        elif each.number in alike:
            continue
        else:
            alike.add(each.number)
        told = difference_in_words(knob, value, start, at)
        told = f"{each.name} less {other.name}" if has_equal else told
        yield from _difference(measure, told, sides[each.number], sides[other.number], how)


def _difference(measure: str, told: str, side: Side, other: Side, how: How) -> Iterator[ConditionContrast]:
    """Tell a difference, and whether it is within pairs."""
    if not set(side.pairs) & set(other.pairs):
        told += "; not paired, as they have no news item and repeat in common"
    found, by_news = side.less(other, how)
    yield ConditionContrast(measure, "difference", told, found, by_news)
