"""How well laws do on what they were not fitted to: other realizations, and later steps.

A law with more parameters always comes closer to the curve that it was fitted to. So each law is also fitted
to some of the realizations and judged on the mean curve of the others, and fitted to the first steps and
judged on the rest.

Realizations are held out by whole news items if each severity has two or more, because what a language model
says to one item says little about the next one; else singly. Folds have the severities in the proportions of
the run. What the mean curve of the other realizations scores, a forecast without a law, is the mark to beat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.fitting import rmse
from agentnet.analysis.goodness import POPULATION, Comparison, NoiseFloor, View, noise_floor
from agentnet.analysis.grouping import Grouping
from agentnet.analysis.laws import Law, Playing
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, InputError, InternalError, without_field
from agentnet.streams import Streams

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
HeldOut = Literal["news item", "realization"]
Regroup = Callable[[RunTables], Grouping]
"""Finds the groups of a part of a run: anew, if they were chosen from its exposures."""

_MOST_FOLDS = 5
_LEAST_STEPS = 4


@dataclass(frozen=True, slots=True)
class Score:
    """How well a law does.

    Attributes:
        law: Its name.
        title: Its name for tables.
        n_parameters: Parameters that were fitted.
        rmse: Distance from the mean curve of the population that it was fitted to.
        nrmse: The same over the mean observed value.
        floor: The distance that chance alone makes; None for a single realization.
        held_out_rmse: Distance from the mean curves of realizations that were held out, the root mean square
            over folds; None where there are too few, or a fold cannot be fitted.
        forecast_rmse: Distance over later steps, fitted to the first ones; None where there are too few.
        remarks: Why a number is missing.
    """

    law: str
    title: str
    n_parameters: int
    rmse: float
    nrmse: float
    floor: NoiseFloor | None
    held_out_rmse: float | None
    forecast_rmse: float | None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trials:
    """What the laws of a run are judged on.

    Attributes:
        folds: Places of the realizations that are held out together, one array for each fold.
        held_out_by: What is held out whole; None without folds.
        baseline_rmse: What the mean curve of the realizations that are not held out scores; None without
            folds.
        first_steps: Last step of the first part, from which the rest is forecast; None if there are too few.
        forecast_floor: The distance over the rest that chance alone makes for a curve without chance.
    """

    folds: tuple[Ints, ...]
    held_out_by: HeldOut | None
    baseline_rmse: float | None
    first_steps: int | None
    forecast_floor: NoiseFloor | None


def trials(tables: RunTables, *, seed: int) -> Trials:
    """Choose folds and first steps.

    Args:
        tables: The run.
        seed: Fixes which realizations are held out together.
    """
    folds, by = _folds(tables, Streams(seed).generator("folds"))
    curves = tables.engaged_fraction
    baseline = [
        rmse(curves[fold].mean(axis=0), np.delete(curves, fold, axis=0).mean(axis=0)) for fold in folds
    ]
    first = max(tables.n_steps // 3, _LEAST_STEPS)
    if first >= tables.n_steps:
        return Trials(folds, by, _root_mean_square(baseline), None, None)
    floor = noise_floor(curves[:, first + 1 :], severity=tables.severity, seed=seed)
    return Trials(folds, by, _root_mean_square(baseline), first, floor)


def _folds(tables: RunTables, rng: np.random.Generator) -> tuple[tuple[Ints, ...], HeldOut | None]:
    items, first = np.unique(tables.news, return_index=True)
    of_item = tables.severity[first]
    if min(np.unique(of_item, return_counts=True)[1]) > 1:
        fold = _dealt(of_item, rng)
        return _members(fold[np.searchsorted(items, tables.news)]), "news item"
    if tables.n_realizations > 1:
        return _members(_dealt(tables.severity, rng)), "realization"
    return (), None


def _dealt(strata: Ints, rng: np.random.Generator) -> Ints:
    """Deal things out to folds, stratum after stratum, each in random order."""
    order = np.lexsort((rng.random(strata.size), strata))
    fold = np.empty(strata.size, dtype=np.int64)
    fold[order] = np.arange(strata.size) % min(_MOST_FOLDS, strata.size)
    return fold


def _members(fold: Ints) -> tuple[Ints, ...]:
    return tuple(np.flatnonzero(fold == number) for number in range(int(fold.max()) + 1))


def _root_mean_square(values: list[float]) -> float | None:
    return math.sqrt(np.mean(np.square(values))) if values else None


def held_out_rmse(
    law: Law, regroup: Regroup, folds: Iterable[Ints], *, n_runs: int, seed: int
) -> float | None:
    """Judge a law on realizations that it was not fitted to.

    Args:
        law: The law, of the run.
        regroup: Finds the groups, from the realizations that are fitted to.
        folds: Places of the realizations that are held out together.
        n_runs: Cascades that a law of decisions is played as.
        seed: Fixes them.

    Returns:
        The root mean square over folds of the distance; None without folds.

    Raises:
        InputError: The other realizations do not determine the law.
        DesignError: The run is none that the law holds for.
    """
    tables, streams = law.tables, Streams(seed)
    found = []
    for number, fold in enumerate(folds):
        others = tables.select(np.setdiff1d(np.arange(tables.n_realizations), fold))
        held_out = tables.select(fold)
        drawn = streams.integer("held out", law.name, number)
        inferred = _inferred(law, others, held_out, regroup, n_runs=n_runs, seed=drawn)
        found.append(rmse(held_out.engaged_fraction.mean(axis=0), inferred))
    return _root_mean_square(found)


def forecast_rmse(law: Law, regroup: Regroup, first_steps: int, *, n_runs: int, seed: int) -> float:
    """Fit a law to the first steps, and judge it on the rest.

    Args:
        law: The law, of the run.
        regroup: Finds the groups, from the first steps.
        first_steps: Last step that is fitted to.
        n_runs: Cascades that a law of decisions is played as, from the beginning.
        seed: Fixes them.

    Raises:
        InputError: The first steps do not determine the law.
        DesignError: The run is none that the law holds for.
    """
    tables = law.tables
    drawn = Streams(seed).integer("forecast", law.name)
    inferred = _inferred(law, tables.until(first_steps), tables, regroup, n_runs=n_runs, seed=drawn)
    rest = slice(first_steps + 1, None)
    return rmse(tables.engaged_fraction.mean(axis=0)[rest], inferred[rest])


def _inferred(
    law: Law, part: RunTables, seen: RunTables, regroup: Regroup, *, n_runs: int, seed: int
) -> Array:
    """Fit a law to a part of a run, and infer the population's curve of another part."""
    of_part = type(law)(part, regroup(part), law.named)
    playing = Playing((View(POPULATION),), n_runs, seed)
    return of_part.outlook(of_part.fit(), seen, playing)[POPULATION].mean


def score(
    law: Law,
    n_parameters: int,
    population: Comparison,
    regroup: Regroup,
    judged: Trials,
    *,
    n_runs: int,
    seed: int,
) -> Score:
    """Judge a law on held-out realizations and on later steps.

    Args:
        law: The law, of the run.
        n_parameters: Parameters that were fitted.
        population: How well it does on what it was fitted to.
        regroup: Finds the groups of a part of the run.
        judged: What it is judged on.
        n_runs: Cascades that a law of decisions is played as.
        seed: Fixes them.
    """
    remarks: list[str] = []
    held_out = _tried(
        "without the realizations held out",
        lambda: held_out_rmse(law, regroup, judged.folds, n_runs=n_runs, seed=seed),
        remarks,
    )
    forecast = None
    if (first := judged.first_steps) is not None:
        forecast = _tried(
            f"to the first {first} steps",
            lambda: forecast_rmse(law, regroup, first, n_runs=n_runs, seed=seed),
            remarks,
        )
    return Score(
        law=law.name,
        title=law.heading,
        n_parameters=n_parameters,
        rmse=population.rmse,
        nrmse=population.nrmse,
        floor=population.floor,
        held_out_rmse=held_out,
        forecast_rmse=forecast,
        remarks=tuple(remarks),
    )


def does_as_well(simpler: Score, richer: Score) -> str:
    """Say why a law with fewer parameters does as well as one with more; empty if it does not.

    It does if it is no further from realizations that neither was fitted to. Where none could be held out, it
    does if it cannot be told from a perfect law in sample, where nothing can be better.
    """
    ours, theirs = simpler.held_out_rmse, richer.held_out_rmse
    if ours is not None and theirs is not None:
        return f"its RMSE held out is {ours:.4g} against {theirs:.4g}" if ours <= theirs else ""
    if simpler.floor is not None and simpler.rmse <= simpler.floor.quantile_95:
        return (
            f"its RMSE is {simpler.rmse:.4g}, and chance alone makes up to {simpler.floor.quantile_95:.4g} "
            "of a perfect law"
        )
    return ""


def _tried(what: str, judge: Callable[[], float | None], remarks: list[str]) -> float | None:
    try:
        return judge()
    except (InputError, DesignError, InternalError) as error:
        remarks.append(f"it cannot be fitted {what}: {without_field(str(error))}")
        return None


def ranked(scores: Iterable[Score]) -> tuple[Score, ...]:
    """Sort laws by what they do on held-out realizations, those without that by what they do in sample."""
    return tuple(
        sorted(scores, key=lambda each: (each.held_out_rmse is None, each.held_out_rmse or 0.0, each.rmse))
    )
