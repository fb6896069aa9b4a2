"""The fits of a run in the types that JSON has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.analysis.cavity import CavityFit
from agentnet.analysis.cells import N_PROFILES
from agentnet.analysis.laws import AnyFit
from agentnet.analysis.logistic import LogisticFit
from agentnet.analysis.mean_field import MeanFieldFit

if TYPE_CHECKING:
    from agentnet.analysis.fits import Fits, LawFit
    from agentnet.analysis.tables import RunTables

PROFILES = tuple(f"{profile:05b}" for profile in range(N_PROFILES))


def plain(value: Any) -> Any:  # noqa: ANN401 - from anything to JSON
    """Spell a value in the types that JSON has.

    Examples:
        >>> plain({1: (math.inf, math.nan, np.array([2]))})
        {'1': ['inf', None, [2]]}
    """
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def plain_fits(fits: Fits) -> dict[str, object]:
    """Spell the fits of a run; see `Fits.as_json`."""
    found: dict[str, object] = {
        **_run(fits.tables),
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
        "laws": [_law(law) for law in fits.laws],
        "refused": fits.refused,
        "scores": fits.scores,
        "trials": {
            "n_folds": len(fits.trials.folds),
            "held_out_by": fits.trials.held_out_by,
            "baseline_rmse": fits.trials.baseline_rmse,
            "first_steps": fits.trials.first_steps,
            "forecast_floor": fits.trials.forecast_floor,
        },
    }
    spelled: dict[str, object] = plain(found)
    return spelled


def _run(tables: RunTables) -> dict[str, object]:
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


def _law(law: LawFit) -> dict[str, object]:
    chance = law.transmission_probability
    return {
        "law": law.law,
        "title": law.title,
        "n_parameters": law.n_parameters,
        "parameters": law.parameters,
        "growth_rate": law.growth_rate,
        "equilibria": law.equilibria,
        "transmission_probability": None if chance is None else dict(zip(PROFILES, chance, strict=True)),
        "likelihood": _likelihood(law.fit),
        "by_severity": {severity: _estimates(fit) for severity, fit in law.by_severity.items()},
        "comparisons": law.comparisons,
        "warnings": law.warnings,
    }


def _likelihood(fit: AnyFit) -> dict[str, float] | None:
    if not isinstance(fit, LogisticFit):
        return None
    return {"log_likelihood": fit.log_likelihood, "aic": fit.aic, "bic": fit.bic}


def _estimates(fit: MeanFieldFit | CavityFit) -> dict[str, object]:
    letter, values = (
        ("tau", fit.tau) if isinstance(fit, MeanFieldFit) else ("p", fit.transmission_probability)
    )
    names = (letter if len(values) == 1 else f"{letter}_{i + 1}" for i in range(len(values)))
    return {**dict(zip(names, values, strict=True)), "rmse": fit.rmse, "nrmse": fit.nrmse}
