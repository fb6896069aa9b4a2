"""Tables of cascades: laws and their parameters beside published ones, goodness of fit, missing answers.

A long file of short functions: one table each, all of the same fits and with the same columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.contrasts import OF_SHARES, mean_interval
from agentnet.analysis.fits import Fits, LawFit
from agentnet.analysis.goodness import Curve, views_of
from agentnet.analysis.grouping import Grouping
from agentnet.analysis.laws import LAWS, MissingBounds, Parameter
from agentnet.analysis.laws.curve import named_values
from agentnet.analysis.tables import RunTables
from agentnet.analysis.trees import MEASURES, QUANTILES, Trees, tree_distances
from agentnet.errors import without_field
from agentnet.report import paper
from agentnet.report.figures.words import counted, sentences
from agentnet.report.tables import Cell, Table, as_named, known_interval
from agentnet.vocabulary import N_PROFILES, PROFILES, SEVERITIES

_ERRORS = {
    "standard_error": "std. error",
    "error_by_realization": "error, by realization",
    "error_by_news": "error, by news item",
}
_CURVE_COLUMNS = {
    **as_named("view curve step mean"),
    "sd": "standard deviation of single cascades",
    "n_cascades": "cascades",
}
_PAPER = "Tian et al.: "


def main_effects_table(fits: Fits) -> Table | None:
    """Make table 1 of the paper from this run's main-effects law; None where it was not fitted."""
    law = next(iter(of_table(fits, 1)), None)
    if law is None:
        return None
    known = {each.name: each for each in law.parameters}
    rows = [_weight_row(known[name], paper.TABLE_1[name]) for name in paper.TABLE_1 if name in known]
    return Table(
        name="table1_main_effects",
        title="Table 1. Main-effects logistic law: weights (log-odds of a yes)",
        columns={
            **as_named("parameter estimate"),
            **_ERRORS,
            "z": "z",
            "p_value": "p",
            "interval": f"{fits.level:.0%} interval",
            "firth": "Firth's estimate",
            "published_estimate": f"{_PAPER}estimate",
            "published_error": f"{_PAPER}std. error",
            "published_z": f"{_PAPER}z",
            "published_p": f"{_PAPER}p",
        },
        rows=tuple(rows),
        notes=(
            (
                "z and p are of the plain standard error, as in the paper, which takes decisions as "
                "independent. Those of one cascade or one news item are not: see the errors clustered by "
                f"them. The interval uses errors {_method(law)}."
            ),
            f"The last four columns are {paper.PUBLISHED}. {paper.ERRORS_NOTE}.",
            *map(sentence, law.warnings),
        ),
    ).without_empty_columns()


def of_table(fits: Fits, number: int) -> list[LawFit]:
    """List the fitted laws whose parameters stand in a table of the paper, the richest first."""
    fitted = {law.law: law for law in fits.laws}
    return [fitted[name] for name in LAWS.of_table(number) if name in fitted]


def sentence(text: str) -> str:
    """Make a remark a sentence."""
    return sentences([text])


def _method(law: LawFit) -> str:
    methods = {each.method for each in law.parameters if each.method}
    return ", ".join(sorted(methods)) or "not known"


def _weight_row(of: Parameter, published: paper.Weight) -> tuple[Cell, ...]:
    errors = (of.standard_error, of.error_by_realization, of.error_by_news)
    theirs = (published.estimate, published.error, published.z, published.p_value)
    return (of.name, of.estimate, *errors, of.z, of.p_value, of.interval, of.firth, *theirs)


def rates_table(fits: Fits) -> Table | None:
    """Make table 2 of the paper from this run's mean-field laws; None where none was fitted."""
    laws = of_table(fits, 2)
    if not laws:
        return None
    rows: list[tuple[Cell, ...]] = []
    for law in laws:
        comparable = law.of.needs_groups and fits.grouping.n_groups == len(paper.TABLE_2)
        for each in (*law.parameters, *([law.growth_rate] if law.growth_rate else [])):
            alone = [_by_severity(law, each.name, severity) for severity in (0, 1)]
            published = paper.TABLE_2.get(each.name) if comparable else None
            rows.append(
                (law.title, each.name, each.estimate, each.interval, each.interval_by_news, *alone, published)
            )
    return Table(
        name="table2_transmission_rates",
        title="Table 2. Mean-field laws: transmission rates tau and growth rate lambda, per step",
        columns={
            **as_named("law parameter estimate"),
            "interval": f"{fits.level:.0%} interval",
            "by_news_item_interval": "interval, by news item",
            "peaceful_alone": "fitted to peaceful items alone",
            "severe_alone": "fitted to severe items alone",
            "published": f"{_PAPER}estimate",
        },
        rows=tuple(rows),
        notes=(
            (
                f"Intervals: {_method(laws[0])}{_by_news(laws)}. lambda is the rate at which few engaged "
                "agents grow, the eigenvalue of the spread-free state."
            ),
            *_rates_notes(fits, laws),
        ),
    ).without_empty_columns()


def _by_news(laws: list[LawFit]) -> str:
    told = any(each.interval_by_news for law in laws for each in law.parameters)
    return "; the second one over whole news items" if told else ""


def _rates_notes(fits: Fits, laws: list[LawFit]) -> Iterator[str]:
    if fits.grouping.n_groups == len(paper.TABLE_2):
        yield f"The last column holds {paper.PUBLISHED}; its groups are those of its own response ratios."
    else:
        yield (
            f"Published rates are of two groups of profiles, here there are {fits.grouping.n_groups}: "
            "nothing is set beside them."
        )
    for law in laws:
        if why := fits.why_simpler(law):
            yield sentence(f"{law.title}: no finding, for {why}")
        yield from (sentence(f"{law.title}: {warning}") for warning in law.warnings)
        if not _is_in_order(fits, law):
            yield sentence(
                f"{law.title}: the rates are not in the order of how often the groups say yes; the mean "
                "curve alone does not tell groups of like size apart, see the fit by group"
            )


def _is_in_order(fits: Fits, law: LawFit) -> bool:
    """Whether groups that say yes more often have higher rates."""
    cells = fits.tables.cells()
    member = np.eye(fits.grouping.n_groups)[fits.grouping.group]
    yes, no = (each.sum(axis=1) @ member for each in (cells.n_yes, cells.n_no))
    rates = [each.estimate for each in law.parameters]
    if len(rates) != len(yes) or not (yes + no).all():
        return True
    return bool((np.argsort(yes / (yes + no)) == np.argsort(rates)).all())


def _by_severity(law: LawFit, name: str, severity: int) -> float | None:
    """Look up a rate fitted to the curves of one severity alone."""
    fit = law.by_severity.get(severity)
    known = {} if fit is None else named_values(fit)
    return known[name][0] if name in known and name != "lambda" else None


def equilibria_table(fits: Fits) -> Table | None:
    """List where the mean-field laws come to rest, and whether that is stable."""
    rows: list[tuple[Cell, ...]] = []
    for law in fits.laws:
        for each in law.equilibria:
            unengaged = ", ".join(f"{share:.4g}" for share in each.unengaged)
            eigenvalues = ", ".join(f"{value:.4g}" for value in each.eigenvalues)
            rows.append((law.title, unengaged, each.engaged, eigenvalues, each.stability))
    if not rows:
        return None
    return Table(
        name="equilibria",
        title="Equilibria of the mean-field laws",
        columns={
            "law": "law",
            "unengaged": "unengaged fractions by group",
            "engaged": "engaged fraction",
            **as_named("eigenvalues stability"),
        },
        rows=tuple(rows),
        notes=(
            (
                "The spread-free state stands for a whole line of states (a, 1 - a, 0); it is taken at the "
                "group sizes of this run."
            ),
        ),
    )


def ranking_table(fits: Fits) -> Table:
    """Rank the laws, with the distance that chance alone makes."""
    trials = fits.trials
    rows: list[tuple[Cell, ...]] = [
        (
            each.title,
            each.n_parameters,
            each.rmse,
            each.nrmse,
            None if each.floor is None else each.floor.mean,
            None if each.floor is None else each.floor.quantile_95,
            each.held_out_rmse,
            each.forecast_rmse,
        )
        for each in fits.scores
    ]
    if trials.baseline_rmse is not None:
        mark: tuple[Cell, ...] = (*(None,) * 5, trials.baseline_rmse, None)
        rows.append(("mean curve of the other realizations, without any law", *mark))
    return Table(
        name="laws",
        title="All laws, best first: RMSE of the population's mean curve",
        columns={
            "law": "law",
            "n_parameters": "parameters",
            "rmse": "RMSE in sample",
            "nrmse": "NRMSE in sample",
            "floor_mean": "chance alone, mean",
            "floor_95": "chance alone, 95%",
            "held_out_rmse": "RMSE held out",
            "forecast_rmse": "RMSE of the forecast",
        },
        rows=tuple(rows),
        notes=tuple(_ranking_notes(fits)),
    ).without_empty_columns()


def _ranking_notes(fits: Fits) -> Iterator[str]:
    trials = fits.trials
    yield (
        "RMSE is taken between mean engaged fractions over all steps; NRMSE is the same over the mean "
        f"observed value. Laws of decisions are played as {fits.n_runs:,} inferred cascades of the run's own "
        "design. Chance alone is the RMSE between two samples of one and the same law of these sizes: its "
        "mean, and what it exceeds in one of twenty cases. A law below that cannot be told from a perfect "
        "one."
    )
    if trials.held_out_by is None:
        yield "There are too few realizations to hold some of them out: laws are ranked in sample."
    else:
        yield (
            f"Held out: fitted to the other realizations, in {len(trials.folds)} folds by "
            f"{trials.held_out_by}; the ranking goes by this number."
        )
    if trials.first_steps is None:
        yield "There are too few steps to forecast the last ones from the first."
    else:
        floor = trials.forecast_floor
        chance = "" if floor is None else f"; chance alone makes {floor.quantile_95:.4g} (95%)"
        yield f"Forecast: fitted until step {trials.first_steps}, judged on the steps after it{chance}."
    for each in fits.scores:
        yield from (sentence(f"{each.title}: {remark}") for remark in each.remarks)
    for refused in fits.refused:
        yield sentence(f"the {refused.title} was not fitted: {without_field(refused.reason)}")


def views_table(fits: Fits) -> Table:
    """Compare all laws by population, severity and group, beside the published distances."""
    rows: list[tuple[Cell, ...]] = []
    for law in fits.laws:
        published = law.of.comparable
        for each in law.comparisons:
            theirs = published.get(each.view, (None, None))
            floor = None if each.floor is None else each.floor.quantile_95
            rows.append((law.title, each.view, each.rmse, each.nrmse, floor, *theirs))
    return Table(
        name="goodness_of_fit",
        title="Goodness of fit in sample, by population, severity and group",
        columns={
            **as_named("law view"),
            "rmse": "RMSE",
            "nrmse": "NRMSE",
            "floor_95": "chance alone, 95%",
            "published_rmse": f"{_PAPER}RMSE",
            "published_nrmse": f"{_PAPER}NRMSE",
        },
        rows=tuple(rows),
        notes=(
            (
                "Groups: engaged agents of the group over all agents. Mean-field and cavity laws know no "
                "severity: their curve is the same in both views."
            ),
            f"The last columns hold {paper.PUBLISHED}.",
        ),
    ).without_empty_columns()


def parameters_table(fits: Fits) -> Table:
    """List all parameters of all laws."""
    rows = [
        _parameter_row(law, each)
        for law in fits.laws
        for each in (*law.parameters, *([law.growth_rate] if law.growth_rate else []))
    ]
    return Table(
        name="parameters",
        title="All parameters of all laws",
        columns={
            **as_named("law parameter estimate"),
            "interval": f"{fits.level:.0%} interval",
            "by_news_item_interval": "interval, by news item",
            **_ERRORS,
            "z": "z",
            "p_value": "p",
            "firth": "Firth's estimate",
            "firth_error": "Firth's error",
            "method": "interval by",
            "no_interval_because": "why there is no interval",
            "no_interval_by_news_item_because": "why there is none by news item",
        },
        rows=tuple(rows),
        notes=(
            (
                "An infinite weight is separated: that profile (or group) said only yes or only no, and no "
                "finite estimate is the likeliest. Firth's penalized estimate is finite."
            ),
        ),
    ).without_empty_columns()


def _parameter_row(law: LawFit, of: Parameter) -> tuple[Cell, ...]:
    errors = (of.standard_error, of.error_by_realization, of.error_by_news)
    tests = (of.z, of.p_value, of.firth, of.firth_error)
    return (
        *(law.title, of.name, of.estimate, of.interval, of.interval_by_news),
        *errors,
        *tests,
        of.method,
        of.why_no_interval,
        of.why_no_interval_by_news,
    )


def bounds_table(fits: Fits) -> Table | None:
    """Bound each parameter by what the missing answers could have been; None where none is missing."""
    rows = [
        _bounds_row(law, each, each.bounds)
        for law in fits.laws
        for each in (*law.parameters, *([law.growth_rate] if law.growth_rate else []))
        if each.bounds is not None
    ]
    if not rows:
        return None
    return Table(
        name="bounds_for_missing_answers",
        title="What missing answers could change: bounds of each parameter",
        columns={
            **as_named("law parameter estimate"),
            "if_yes": "if all were yes",
            "if_no": "if all were no",
            "tried_interval": "lowest to highest tried",
        },
        rows=tuple(rows),
        notes=(
            (
                "Estimates leave missing answers out. For laws of curves, an agent engages at its first "
                "missing answer if that is taken for a yes; whom it would have won over in turn is not in "
                "it."
            ),
        ),
    )


def _bounds_row(law: LawFit, of: Parameter, bounds: MissingBounds) -> tuple[Cell, ...]:
    return (law.title, of.name, of.estimate, bounds.if_yes, bounds.if_no, (bounds.lowest, bounds.highest))


def cells_table(tables: RunTables) -> Table | None:
    """Count the decisions of exposures by profile and severity; None where agents have no profiles."""
    if not tables.profiled:
        return None
    cells, missing = tables.cells(), tables.missing_by_cell()
    rows: list[tuple[Cell, ...]] = []
    for profile in range(N_PROFILES):
        row: list[Cell] = [PROFILES[profile]]
        for severity in (0, 1):
            yes, no = int(cells.n_yes[profile, severity]), int(cells.n_no[profile, severity])
            row += [yes, no, int(missing[profile, severity]), yes / (yes + no) if yes + no else None]
        rows.append(tuple(row))
    counts = ("yes", "no", "missing", "share_of_yes")
    return Table(
        name="decisions_by_profile",
        title="Decisions of exposures by profile and severity",
        columns={
            "profile": "profile",
            **{
                f"{name}_{each}": f"{name}: {each.replace('_', ' ')}"
                for name in SEVERITIES
                for each in counts
            },
        },
        rows=tuple(rows),
        notes=(
            (
                "Profiles are five bits: openness, conscientiousness, extraversion, agreeableness, "
                "neuroticism; 1 is high. Items of unknown severity count as peaceful."
            ),
        ),
    )


def groups_table(tables: RunTables, grouping: Grouping, groups_from: str) -> Table | None:
    """List the groups that laws were fitted with; None where agents have no profiles."""
    if not tables.profiled:
        return None
    share, initial = tables.group_share(grouping.group), tables.initial_share(grouping.group)
    rows = []
    for group in range(grouping.n_groups):
        profiles = ", ".join(PROFILES[i] for i in np.flatnonzero(grouping.group == group).tolist())
        sizes = (grouping.sizes[group], float(share[group]), float(initial[group]))
        rows.append((f"group {group + 1}", *sizes, profiles))
    return Table(
        name="groups_of_the_laws",
        title="Groups of profiles that laws were fitted with",
        columns={
            "group": "group",
            "n_profiles": "profiles",
            **as_named("share_of_agents share_of_initial_agents"),
            "profiles": "which",
        },
        rows=tuple(rows),
        notes=(f"The groups were {groups_from}.",),
    )


def curves_table(fits: Fits) -> Table:
    """Give observed and inferred mean curves, step by step."""
    rows: list[tuple[Cell, ...]] = []
    for each in fits.laws[0].comparisons:
        rows += _curve_rows(each.view, "observed", each.observed)
    for law in fits.laws:
        for each in law.comparisons:
            rows += _curve_rows(each.view, law.title, each.inferred)
    return Table(
        name="curves",
        title="Mean engaged fraction after each step, observed and inferred",
        columns=_CURVE_COLUMNS,
        rows=tuple(rows),
    )


def _curve_rows(view: str, name: str, curve: Curve) -> list[tuple[Cell, ...]]:
    return [
        (view, name, step, float(mean), None if curve.sd is None else float(curve.sd[step]), curve.n)
        for step, mean in enumerate(curve.mean.tolist())
    ]


def probabilities_table(fits: Fits) -> Table | None:
    """Give the fitted probability of a yes by profile and severity, of each law that has one."""
    rows: list[tuple[Cell, ...]] = []
    for law in fits.laws:
        chance = law.transmission_probability
        for profile in range(N_PROFILES if chance is not None else 0):
            assert chance is not None, "only laws of decisions have them"
            peaceful, severe = chance[profile].tolist()
            rows.append((law.title, PROFILES[profile], peaceful, severe))
    if not rows:
        return None
    return Table(
        name="transmission_probabilities",
        title="Fitted transmission probability by profile and severity",
        columns=as_named(f"law profile {' '.join(SEVERITIES)}"),
        rows=tuple(rows),
    )


def trees_table(every: Sequence[Trees]) -> Table:
    """Summarize trees of messages: those of a condition, and those observed elsewhere."""
    return Table(
        name="trees",
        title="Trees of who had the news from whom",
        columns={
            **as_named("of measure trees mean"),
            **{name: f"{share:.0%}" for name, share in QUANTILES.items()},
            "most": "most",
        },
        rows=tuple(
            (each.name, each.in_words(measure), *values.values())
            for each in every
            for measure, values in each.summary().items()
        ),
        notes=(
            "A single node has no structural virality and no concentration.",
            *(f"{each.name}: {note}." for each in every for note in each.notes),
        ),
    )


def tree_distances_table(played: Trees, observed: Trees) -> Table:
    """Tell how far trees are from those observed elsewhere."""
    found = tree_distances(played, observed)
    return Table(
        name="tree_distances",
        title=f"How far the trees of {played.name} are from those of {observed.name}",
        columns={
            "measure": "measure",
            "n_played": "trees of the run",
            "n_observed": "observed",
            "statistic": "distance",
            "floor_95": "chance alone, 95%",
            "p_value": "p",
        },
        rows=tuple(
            (MEASURES[each.measure], *each.n, each.statistic, each.floor, each.p_value) for each in found
        ),
        notes=(
            (
                "The distance is Kolmogorov and Smirnov's, the greatest difference of the two distribution "
                "functions; where values are tied, p is too high."
            ),
            *dict.fromkeys(sentence(each.remark) for each in found if each.remark),
        ),
    )


def engaged_now_table(tables: RunTables, now: NDArray[np.float64]) -> Table:
    """Set the fraction of agents that are engaged beside that of those who ever were, by step."""
    ever, engaged = (mean_interval(each, 0.95, OF_SHARES) for each in (tables.engaged_fraction, now))
    rows: list[tuple[Cell, ...]] = []
    for step in range(tables.n_steps + 1):
        row: list[Cell] = [step]
        for mean, low, high in (ever, engaged):
            row += [float(mean[step]), known_interval(float(low[step]), float(high[step]))]
        rows.append(tuple(row))
    return Table(
        name="engaged_now",
        title="Who was ever engaged, and who is engaged, after each step",
        columns={
            "step": "step",
            "ever": "ever engaged, of all agents",
            "ever_interval": "95% interval",
            "now": "engaged then, of all agents",
            "now_interval": "95% interval of those engaged then",
        },
        rows=tuple(rows),
        notes=(
            f"Means over {counted(tables.n_realizations, 'realization')}; intervals are of the logit.",
            "Curves and laws of this report are of those who were ever engaged.",
            "A realization that ended early keeps what it had then.",
        ),
    )


def observed_table(tables: RunTables) -> Table:
    """Give the observed mean engaged fraction where no law was fitted."""
    rows: list[tuple[Cell, ...]] = []
    for view, seen in views_of(tables).items():
        rows += _curve_rows(view, "observed", Curve.of(tables.engaged_fraction[seen]))
    return Table(
        name="curves",
        title="Mean engaged fraction after each step",
        columns=_CURVE_COLUMNS,
        rows=tuple(rows),
    )
