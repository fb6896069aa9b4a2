"""A report's results as JSON: what the page says, in numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

import agentnet
from agentnet.analysis.fits import plain
from agentnet.analysis.laws import LAWS, laws_to_fit
from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.errors import PluginError
from agentnet.plugins import is_of
from agentnet.report import paper
from agentnet.report.drawings import Drawing
from agentnet.report.figures.sketch import told_text
from agentnet.report.gather import Report
from agentnet.report.log_facts import LogFacts
from agentnet.report.log_tables import when
from agentnet.report.part import Part, laid_out
from agentnet.report.sections import part_names

FORMAT: Final = "agentnet report"
SCHEMA_VERSION: Final = 2
"""Raised whenever a key gets another meaning or goes; new keys don't raise it.

2: what was called an arm is a condition, and response ratios have a part for each condition.
"""


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
            "laws": [law.name for law in laws_to_fit(options.laws, options.by)],
            **({"by": list(options.by)} if options.by else {}),
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
            "rmse_and_nrmse": {name: LAWS[name].published for name in LAWS if LAWS[name].published},
        },
        "severity_clusters": _clusters(options.severity_clusters),
        **({} if options.probe is None else {"probe": options.probe.model_dump(mode="json")}),
        "parts": [
            {"part": name, **_part(part, options.level), "figures": [_figure(each) for each in drawings]}
            for name, part, drawings in zip(names, report.parts, report.drawings, strict=True)
        ],
        **_comparisons(report),
        "files": sorted(files),
    }
    spelled: dict[str, Any] = plain(found)
    return spelled


def _comparisons(report: Report) -> dict[str, Any]:
    """Spell comparisons of conditions and runs, if there are any."""
    found = {
        "conditions": [
            {**each.as_json(), "figures": [_figure(drawing) for drawing in each.drawings]}
            for each in report.conditions
        ],
        "comparisons": [of.as_json() for each in report.conditions for of in each.comparisons],
        "uncompared": {name: why for each in report.conditions for name, why in each.uncompared.items()},
    }
    return {key: value for key, value in found.items() if value}


def as_json(results: dict[str, Any]) -> str:
    """Write results as JSON; NaN cannot be in it."""
    return json.dumps(results, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _part(part: Part, level: float) -> dict[str, Any]:
    who, citations = f"part {part.name!r}", part.citations()
    if not is_of(Sequence[str], citations):
        raise PluginError(f"the citations of {who} are {citations!r:.60}; give a list of texts")
    with laid_out(part):
        results = {**plain(part.results(level), "what its results() gives")}
        notes = plain(part.notes, "notes")
    return {
        **results,
        "summary": told_text(f"summary of {who}", part.summary(level)),
        "methods": told_text(f"methods paragraph of {who}", part.methods()),
        "citations": [*citations],
        "notes": notes,
        "log": _log(part.facts),
        **({} if part.facts.probe is None else {"probe": part.facts.probe.model_dump(mode="json")}),
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
    said = {key: value for key, value in asdict(drawing).items() if key not in {"svg", "png", "prefix"}}
    return {{"alternative": "in_words"}.get(key, key): value for key, value in said.items()}
