"""A report's results as JSON: what the page says, in numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import agentnet
from agentnet.analysis.fits import Fits, plain
from agentnet.analysis.groups import ProfileGroups
from agentnet.analysis.ratios import PROFILES
from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.report import paper
from agentnet.report.drawings import Drawing
from agentnet.report.gather import CascadePart, Part, RatioPart, Report
from agentnet.report.interviews import InterviewPart
from agentnet.report.interviews_tables import interview_results
from agentnet.report.log_facts import LogFacts
from agentnet.report.log_tables import in_words, when, without_folders
from agentnet.report.sections import part_names
from agentnet.report.words import citations, final_engagement, methods, summary

FORMAT: Final = "agentnet report"
SCHEMA_VERSION: Final = 1
"""Raised whenever a key gets another meaning or goes; new keys don't raise it."""

_COUNTS: Final = ("n_yes", "n_no", "n_missing", "ratio", "lowest", "highest")


def results_of(report: Report, *, made_at: float, files: Iterable[str]) -> dict[str, Any]:
    """Spell a report in the types that JSON has: NaN is None, infinities are ``"inf"`` and ``"-inf"``.

    Args:
        report: The report.
        made_at: When it is made, seconds since 1970 (UTC).
        files: The files of the report, relative to its folder.
    """
    names = part_names(report.parts)
    options = report.options
    found = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "made_at": when(made_at),
        "agentnet": agentnet.__version__,
        "options": {
            "laws": options.laws,
            "n_runs": options.n_runs,
            "n_bootstrap": options.n_bootstrap,
            "level": options.level,
            "seed": options.seed,
            "groups": options.groups,
            "n_groups": options.n_groups,
            "n_decisions": options.n_decisions,
        },
        "paper": {
            "citation": paper.CITATION,
            "setting": paper.SETTING,
            "table_1": {
                name: {"estimate": w.estimate, "standard_error": w.error, "z": w.z, "p_value": w.p_value}
                for name, w in paper.TABLE_1.items()
            },
            "table_2": paper.TABLE_2,
            "group_rates": paper.GROUP_RATES,
            "rmse_and_nrmse": paper.RMSE,
        },
        "severity_clusters": _clusters(options.severity_clusters),
        "parts": [
            {"part": name, **_part(part, options.level), "figures": [_figure(each) for each in drawings]}
            for name, part, drawings in zip(names, report.parts, report.drawings, strict=True)
        ],
        "files": sorted(files),
    }
    spelled: dict[str, Any] = plain(found)
    return spelled


def as_json(results: dict[str, Any]) -> str:
    """Write results as JSON; NaN cannot be in it."""
    return json.dumps(results, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _part(part: Part, level: float) -> dict[str, Any]:
    shared = {
        "summary": summary(part, level),
        "methods": methods(part),
        "citations": citations(part.facts),
        "notes": part.notes,
        "log": _log(part.facts),
    }
    if isinstance(part, InterviewPart):
        return {**interview_results(part), **shared}
    browse = {"decisions_to_browse": {"of": part.sample.n_of, "shown": part.sample.n_shown}}
    own = _cascades(part, level) if isinstance(part, CascadePart) else _ratios(part)
    return {**own, **shared, **browse}


def _cascades(part: CascadePart, level: float) -> dict[str, Any]:
    return {
        "kind": "cascades",
        "run": part.facts.run,
        "condition": part.condition,
        "design": _design(part.facts, part.condition),
        "groups_from": part.groups_from,
        "final_engaged_fraction": None if part.tables is None else final_engagement(part.tables, level),
        "fits": None if part.fits is None else _fits(part.fits),
        "why_no_fits": part.why_no_fits,
        "response_ratios_of": None if part.ratio is None else part.ratio.facts.run,
    }


def _fits(fits: Fits) -> dict[str, object]:
    found = fits.as_json()
    return {**found, "condition": without_folders(found["condition"])}


def _design(facts: LogFacts, condition: int) -> dict[str, str]:
    design = facts.meta["experiment"]["design"][condition]
    return {key: in_words(value) for key, value in design.items() if key != "conditions"}


def _ratios(part: RatioPart) -> dict[str, Any]:
    names = {0: "peaceful", 1: "severe", None: "unknown"}
    by_severity = {
        names[severity]: {
            bits: {name: getattr(counts, name)[profile].item() for name in _COUNTS}
            for profile, bits in enumerate(PROFILES)
        }
        for severity in dict.fromkeys(part.ratios.severity)
        for counts in (part.ratios.pooled(severity),)
    }
    return {
        "kind": "response ratios",
        "run": part.facts.run,
        "design": _design(part.facts, 0),
        "n_items": len(part.ratios.news),
        "ratios": by_severity,
        "groups": None if part.groups is None else _groups(part.groups),
        "why_no_groups": part.why_no_groups,
    }


def _groups(groups: ProfileGroups) -> dict[str, Any]:
    return {
        "group": dict(zip(PROFILES, groups.group.tolist(), strict=True)),
        "letters": dict(zip(PROFILES, groups.letters, strict=True)),
        "rates": groups.rates,
        "rate_errors": groups.rate_errors,
        "is_clean": groups.is_clean,
        "alpha": groups.test.alpha,
        "stability": groups.stability,
        "notes": groups.notes,
    }


def _clusters(clusters: SeverityClusters | None) -> dict[str, Any] | None:
    if clusters is None:
        return None
    return {
        "n_components": clusters.n_components,
        "n_clusters": clusters.n_clusters,
        "score": clusters.score,
        "noise_score": clusters.noise_score,
        "severity": clusters.severity,
        "agreement": {"accuracy": clusters.agreement.accuracy, "kappa": clusters.agreement.kappa},
        "notes": clusters.notes,
    }


def _log(facts: LogFacts) -> dict[str, Any]:
    meta = facts.meta
    return {
        "status": meta["status"],
        "digest": facts.digest,
        "seed": meta["seed"],
        "backend": meta["backend"],
        "model_name": meta["model_name"],
        "prompts_hash": meta["prompts_hash"],
        "versions": meta["versions"],
        "licences": meta["licences"],
        "news": [{"id": each.id, "severity": each.severity, "source": each.source} for each in facts.news],
        "realizations": facts.statuses,
        "asked": facts.asked,
        "missing": [{"kind": kind, "reason": reason, "n": n} for kind, reason, n in facts.missing],
        "models": [{"model": name, "fingerprint": mark, "n": n} for name, mark, n in facts.models],
        "spending": facts.spending,
        "troubles": [{"kind": t.asked, "trouble": t.kind, "n": t.n} for t in facts.troubles],
        "incidents": [
            {"at": when(each.at), "kind": each.kind, "detail": each.detail} for each in facts.incidents
        ],
    }


def _figure(drawing: Drawing) -> dict[str, Any]:
    return {
        "name": drawing.name,
        "number": drawing.number,
        "title": drawing.title,
        "caption": drawing.caption,
        "in_words": drawing.alternative,
        "unavailable": drawing.unavailable,
    }
