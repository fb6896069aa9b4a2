"""Tables of response ratios: yes-ratios by profile and severity, and groups of profiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agentnet.analysis.groups import ProfileGroups
from agentnet.analysis.ratios import ResponseRatios, YesCounts
from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.report import paper
from agentnet.report.figures.words import counted, sentences
from agentnet.report.tables import Cell, Table, as_named
from agentnet.vocabulary import PEACEFUL, PROFILES, SEVERE, severity_name

if TYPE_CHECKING:
    from agentnet.report.ratios import RatioPart

_NAMES = {each: severity_name(each, "of unknown severity") for each in (PEACEFUL, SEVERE, None)}


def ratios_table(part: RatioPart) -> Table:
    """Give the yes-ratio of each profile by severity, with its group."""
    ratios, groups = part.ratios, part.groups
    found = [severity for severity in _NAMES if severity in ratios.severity]
    rows: list[tuple[Cell, ...]] = []
    for profile, bits in enumerate(PROFILES):
        row: list[Cell] = [bits]
        if groups is not None:
            row += [int(groups.group[profile]), groups.letters[profile]]
        for severity in found:
            row += _ratio_cells(ratios.pooled(severity), profile)
        rows.append(tuple(row))
    columns = {"profile": "profile"}
    if groups is not None:
        columns |= {"group": "group", "letters": "letters"}
    for severity in found:
        name = _NAMES[severity]
        key = name.replace(" ", "_")
        columns |= {
            f"{key}_ratio": f"{name}: yes-ratio",
            f"{key}_bounds_interval": f"{name}: bounds",
            f"{key}_n_answers": f"{name}: answers",
            f"{key}_n_missing": f"{name}: missing",
        }
    return Table(
        name="response_ratios",
        title="Response ratios by profile and severity",
        columns=columns,
        rows=tuple(rows),
        notes=(
            "Ratios are of the answers that came; bounds are what they would be if all missing answers "
            "had been no, or yes."
            + (
                ""
                if groups is None
                else " Profiles that have a letter in common do not differ significantly."
            ),
        ),
    )


def _ratio_cells(counts: YesCounts, profile: int) -> list[Cell]:
    ratio = float(counts.ratio[profile])
    missing = int(counts.n_missing[profile])
    bounds = (float(counts.lowest[profile]), float(counts.highest[profile]))
    return [
        None if math.isnan(ratio) else ratio,
        bounds if missing else None,
        int(counts.n_yes[profile] + counts.n_no[profile]),
        missing,
    ]


def items_table(ratios: ResponseRatios) -> Table:
    """Count the decisions of each news item and profile."""
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            _NAMES[severity],
            bits,
            *(int(each[item, profile]) for each in (counts.n_yes, counts.n_no, counts.n_missing)),
        )
        for counts in (ratios.counts,)
        for item, (name, severity) in enumerate(zip(ratios.news, ratios.severity, strict=True))
        for profile, bits in enumerate(PROFILES)
    ]
    return Table(
        name="response_ratios_by_item",
        title="Response ratios by news item and profile",
        columns={
            "news": "news item",
            **as_named("severity profile"),
            "n_yes": "yes",
            "n_no": "no",
            "n_missing": "missing",
        },
        rows=tuple(rows),
    )


def groups_table(groups: ProfileGroups, grouped: str, n_wanted: int | None) -> Table:
    """List the groups of profiles, beside the published rates.

    Args:
        groups: The groups.
        grouped: How they were made, in a sentence.
        n_wanted: How many the author chose to make; None if the test was left alone.
    """
    two = groups.n_groups == len(paper.GROUP_RATES)
    rows: list[tuple[Cell, ...]] = [
        (
            f"group {number + 1}",
            int(groups.sizes[number]),
            float(groups.rates[number]),
            None if math.isnan(groups.rate_errors[number]) else float(groups.rate_errors[number]),
            paper.GROUP_RATES[number] if two else None,
            ", ".join(
                bits for bits, group in zip(PROFILES, groups.group, strict=True) if group == number + 1
            ),
        )
        for number in range(groups.n_groups)
    ]
    return Table(
        name="profile_groups",
        title=(
            "Groups of profiles by Tukey's HSD test on the yes-ratios"
            if n_wanted is None
            else f"{n_wanted} groups of profiles by their yes-ratios, as many as the author chose"
        ),
        columns={
            "group": "group",
            "n_profiles": "profiles",
            "rate": "mean yes-ratio",
            "rate_error": "std. error over items",
            "published_rate": "Tian et al.: mean yes-ratio",
            "profiles": "which",
        },
        rows=tuple(rows),
        notes=tuple(_group_notes(groups, grouped, comparable=two)),
    ).without_empty_columns()


def _group_notes(groups: ProfileGroups, grouped: str, *, comparable: bool) -> list[str]:
    notes = [sentences([grouped])]
    notes += [f"{note[0].upper()}{note[1:]}." for note in groups.notes]
    if groups.stability is not None and groups.stability.n_resamples:
        found = groups.stability
        numbers = ", ".join(f"{counted(n, 'group')} {counted(times, 'time')}" for n, times in found.n_groups)
        notes.append(
            f"With other news items: of {found.n_resamples:,} bootstrap resamples of the items, "
            f"{found.n_same:,} give exactly these groups ({numbers})."
        )
    notes.append(
        f"The published column holds {paper.PUBLISHED}."
        if comparable
        else f"The published test makes {len(paper.GROUP_RATES)} groups, here there are {groups.n_groups}; "
        "nothing is set beside them."
    )
    return notes


def clusters_table(clusters: SeverityClusters) -> Table:
    """List the clusters of news items by their texts."""
    rows: list[tuple[Cell, ...]] = [
        (
            f"cluster {number + 1}",
            int((clusters.cluster == number).sum()),
            _NAMES[clusters.names[number]],
            *clusters.commonest[number],
        )
        for number in range(clusters.n_clusters)
    ]
    return Table(
        name="severity_clusters",
        title="Clusters of news items by the embeddings of their texts",
        columns={
            "cluster": "cluster",
            "n_items": "news items",
            "severity": "called",
            "disorder_type": "commonest disorder type",
            "event_type": "commonest event type",
            "sub_event_type": "commonest sub-event type",
        },
        rows=tuple(rows),
        notes=tuple(_cluster_notes(clusters)),
    ).without_empty_columns()


def _cluster_notes(clusters: SeverityClusters) -> list[str]:
    agreement = clusters.agreement
    notes = [
        (
            f"{clusters.n_components} principal component{'s' if clusters.n_components > 1 else ''} and "
            f"{clusters.n_clusters} clusters have the highest silhouette score, {clusters.score:.3f}; "
            f"samples without clusters reach {clusters.noise_score:.3f}."
        )
    ]
    if agreement.n_items:
        kappa = "not defined" if math.isnan(agreement.kappa) else f"{agreement.kappa:.3f}"
        notes.append(
            f"Clusters and ACLED's taxonomy agree on {agreement.accuracy:.1%} of {agreement.n_items:,} items "
            f"(Cohen's kappa {kappa})."
        )
    return notes + [f"{note[0].upper()}{note[1:]}." for note in (*agreement.notes, *clusters.notes)]
