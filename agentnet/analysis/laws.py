"""The laws by name: how each is fitted to a run's tables, and what curves it then infers.

Laws of decisions (logistic ones) are fitted to exposures and played as cascades under the run's own design;
laws of curves (mean field, cavity) are fitted to the mean engaged fraction and are curves themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.cavity import CavityFit, fit_cavity
from agentnet.analysis.cells import Cells
from agentnet.analysis.goodness import (
    Outlook,
    View,
    outlook_of_cascades,
    outlook_of_law,
)
from agentnet.analysis.grouping import Grouping
from agentnet.analysis.inferred import infer_cascades
from agentnet.analysis.logistic import LogisticFit, Method, fit_full, fit_groups, fit_main_effects
from agentnet.analysis.mean_field import MeanFieldFit, MeanFieldLaw, fit_mean_field
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, near_miss

Array = NDArray[np.float64]
LawName = Literal["full_logistic", "main_effects", "group_logistic", "one_rate", "group_rates", "cavity"]
AnyFit = LogisticFit | MeanFieldFit | CavityFit

LAWS: tuple[LawName, ...] = get_args(LawName)
LOGISTIC: tuple[LawName, ...] = ("full_logistic", "main_effects", "group_logistic")
"""Laws of single decisions; the others are laws of curves."""

OF_GROUPS: tuple[LawName, ...] = ("group_logistic", "group_rates")
"""Laws that are nothing without groups."""


@dataclass(frozen=True, slots=True)
class Resamples:
    """How intervals of laws of curves are made.

    Attributes:
        n_bootstrap: Number of resamples; 0 for no intervals.
        by_news: Whether whole news items are drawn, not single realizations.
        level: Confidence level, in (0, 1).
        seed: Fixes them.
    """

    n_bootstrap: int = 0
    by_news: bool = False
    level: float = 0.95
    seed: int = 0


def checked_law(name: str) -> LawName:
    """Look a law's name up.

    Raises:
        DesignError: There is no such law.
    """
    for law in LAWS:
        if law == name:
            return law
    raise DesignError(f"there is no law {name!r}{near_miss(name, LAWS)}")


def title(law: LawName, n_groups: int) -> str:
    """Name a law for tables.

    Examples:
        >>> title("group_rates", 2)
        '2-rate mean field'
    """
    return {
        "full_logistic": "full logistic",
        "main_effects": "main-effects logistic",
        "group_logistic": f"{n_groups}-group logistic",
        "one_rate": "one-rate mean field",
        "group_rates": f"{n_groups}-rate mean field",
        "cavity": f"{n_groups}-group cavity",
    }[law]


def fit_decisions(
    law: LawName, cells: Cells, grouping: Grouping, *, method: Method = "maximum likelihood"
) -> LogisticFit:
    """Fit a law of decisions to cells.

    Raises:
        InputError: The decisions do not determine it.
    """
    if law == "full_logistic":
        return fit_full(cells, method=method)
    if law == "main_effects":
        return fit_main_effects(cells, method=method)
    return fit_groups(cells, grouping.group, method=method)


def fit_law(
    law: LawName, tables: RunTables, grouping: Grouping, resamples: Resamples | None = None
) -> AnyFit:
    """Fit a law to a run.

    Args:
        law: Its name.
        tables: The run.
        grouping: Groups of profiles, for laws that know them.
        resamples: How intervals of laws of curves are made; none are made if None.

    Raises:
        InputError: The data do not determine it.
        DesignError: The run is none that the law holds for.
    """
    if law in OF_GROUPS and grouping.n_groups < 2:
        raise DesignError(f"all profiles are in one group; {grouping.note or 'give two or more'}")
    if law in LOGISTIC:
        return fit_decisions(law, tables.cells(), grouping)
    return fit_curve_law(law, tables, tables.engaged_fraction, grouping, resamples or Resamples())


def fit_curve_law(
    law: LawName, tables: RunTables, curves: Array, grouping: Grouping, resamples: Resamples
) -> MeanFieldFit | CavityFit:
    """Fit a law of curves to curves of a run, or to changed ones, shape ``(n_realizations, n_steps + 1)``.

    Raises:
        InputError: The curves do not determine it.
        DesignError: The run is none that the law holds for.
    """
    one = law == "one_rate"
    share = np.ones(1) if one else tables.group_share(grouping.group)
    first = np.ones(1) if one else tables.initial_share(grouping.group)
    _check_shares(share, first * curves[:, 0].mean())
    cluster = tables.news if resamples.by_news else None
    ratio = None if one else yes_ratio(tables, grouping)
    n_bootstrap, level, seed = resamples.n_bootstrap, resamples.level, resamples.seed
    if law == "cavity":
        return fit_cavity(
            curves,
            degree=_one_degree(tables),
            group_share=share,
            initial_share=first,
            group_yes_ratio=ratio,
            n_bootstrap=n_bootstrap,
            cluster=cluster,
            level=level,
            seed=seed,
        )
    return fit_mean_field(
        curves,
        degree=tables.networks.degrees,
        degree_share=tables.networks.degree_share,
        group_share=share,
        initial_share=first,
        group_yes_ratio=ratio,
        n_bootstrap=n_bootstrap,
        cluster=cluster,
        level=level,
        seed=seed,
    )


def yes_ratio(tables: RunTables, grouping: Grouping) -> Array:
    """Share of yes among the exposures of each group, shape ``(n_groups,)``; NaN where none was answered."""
    cells = tables.cells()
    n_yes, n_no = (
        np.bincount(grouping.group, counts.sum(axis=1), grouping.n_groups)
        for counts in (cells.n_yes, cells.n_no)
    )
    with np.errstate(invalid="ignore"):
        found: Array = n_yes / (n_yes + n_no)
    return found


def _check_shares(share: Array, engaged: Array) -> None:
    if not (share > 0).all():
        empty = int(np.flatnonzero(share == 0)[0])
        raise DesignError(f"no agent of the run is in group {empty + 1}: its rate cannot be fitted")
    if (engaged > share).any():
        raise DesignError("a group has more initial agents than agents: these are not the groups of this run")


def _one_degree(tables: RunTables) -> int:
    degree = tables.networks.degree
    if degree is None:
        low, high = tables.networks.degrees[[0, -1]].tolist()
        raise DesignError(
            f"the cavity law needs a network whose agents all have the same number of neighbours; here they "
            f"have {low} to {high}"
        )
    return degree


def outlook(
    law: LawName,
    fit: AnyFit,
    tables: RunTables,
    grouping: Grouping,
    seen: tuple[View, ...],
    *,
    n_runs: int,
    seed: int,
) -> Outlook:
    """Infer curves from a fitted law.

    Args:
        law: Its name.
        fit: The fit, of this run or of another part of it.
        tables: The run that is to be inferred: its design, its steps, its severities.
        grouping: Groups of profiles.
        seen: The views wanted.
        n_runs: Cascades that a law of decisions is played as.
        seed: Fixes them.

    Returns:
        The curve of each view.
    """
    if isinstance(fit, LogisticFit):
        chance = told_probability(fit)
        inferred = infer_cascades(chance, tables, groups=grouping.group, n_runs=n_runs, seed=seed)
        return outlook_of_cascades(inferred, seen)
    if isinstance(fit, CavityFit):
        return outlook_of_law(fit.law.group_engaged_fraction(tables.n_steps), seen)
    curve_law = fit.law if law == "group_rates" else _alike_in_groups(fit.law, tables, grouping)
    return outlook_of_law(curve_law.group_engaged_fraction(np.arange(tables.n_steps + 1)), seen)


def _alike_in_groups(law: MeanFieldLaw, tables: RunTables, grouping: Grouping) -> MeanFieldLaw:
    """Write the one-rate law as one of groups that have the same rate, which changes nothing in sum."""
    share, first = tables.group_share(grouping.group), tables.initial_share(grouping.group)
    start = float(np.sum(law.initial_engaged))
    initial = np.minimum(first * start, share)
    return replace(
        law,
        tau=law.tau * grouping.n_groups,
        group_share=tuple(share.tolist()),
        initial_engaged=tuple((initial * start / initial.sum()).tolist()),
    )


def told_probability(fit: LogisticFit) -> Array:
    """Give every cell a chance to say yes, shape ``(32, 2)``.

    A cell about which the data say nothing gets the share of yes among the decisions of its severity, or,
    where there is none of it, among all.
    """
    severity, answers = fit.data.cell % 2, (fit.data.n_yes, fit.data.n_asked)
    n_yes, n_asked = (np.bincount(severity, weights=each, minlength=2) for each in answers)
    overall = n_yes.sum() / n_asked.sum()
    share = np.divide(n_yes, n_asked, out=np.full(2, overall), where=n_asked > 0)
    return np.where(np.isnan(fit.transmission_probability), share, fit.transmission_probability)


def design_warnings(law: LawName, tables: RunTables, fit: AnyFit) -> Iterator[str]:
    """Say where a run is not what a law is about."""
    networks = tables.networks
    if isinstance(fit, LogisticFit):
        untold = np.flatnonzero(np.isnan(fit.transmission_probability).all(axis=1))
        if untold.size:
            names = ", ".join(f"{profile:05b}" for profile in untold.tolist())
            yield f"never asked, so played with the share of yes among all decisions: {names}"
        return
    if networks.degree is None:
        low, high = networks.degrees[[0, -1]].tolist()
        yield (
            f"agents have {low} to {high} neighbours: this is the degree-based law, not that of regular "
            "networks"
        )
    elif networks.names != ("random_regular",):
        yield f"the law takes networks as random; here they are {', '.join(networks.names)}"
    if tables.asking_rule != "always":
        effect = "it overshoots in the end" if law == "cavity" else "its rates absorb the rule"
        yield (
            f"the law has agents asked at every step, and the run asked by the rule {tables.asking_rule}: "
            f"{effect}"
        )
