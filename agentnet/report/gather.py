"""Read runs, fit laws, group profiles, draw figures: everything that a report then only lays out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from agentnet.analysis.fits import Fits, affordable_runs, fit_run
from agentnet.analysis.fitting import checked_level
from agentnet.analysis.grouping import as_grouping
from agentnet.analysis.groups import ProfileGroups, group_profiles
from agentnet.analysis.laws import LAWS
from agentnet.analysis.ratios import N_PROFILES, PROFILES, ResponseRatios, YesCounts
from agentnet.analysis.reading import read_ratios, read_tables
from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.analysis.tables import RatioTables, RunTables
from agentnet.embedder import make_embedder
from agentnet.errors import DesignError, InputError, RunFolderError, UserError
from agentnet.events import Run, check_unchanged
from agentnet.report.drawings import Drawing, Material, draw, rendered
from agentnet.report.interviews import InterviewPart
from agentnet.report.interviews_compute import How, MakeEmbedder, interview_part
from agentnet.report.interviews_drawings import interview_sketches
from agentnet.report.log_facts import LogFacts, read_facts, realizations_of
from agentnet.report.reasons import without_field
from agentnet.report.sample import Sample, sample_decisions

Progress = Callable[[str], None]

N_DECISIONS: Final = 300
"""Decisions that a report shows of each run, at most."""

_N_RESAMPLES: Final = 200


@dataclass(frozen=True, slots=True)
class Options:
    """How a report is made.

    Attributes:
        laws: Names of the laws, of `agentnet.analysis.LAWS`.
        n_runs: Inferred cascades of each logistic law; None for 100, or fewer where networks are large.
        n_bootstrap: Resamples behind each bootstrap interval.
        level: Confidence level of all intervals.
        seed: Fixes everything that is drawn.
        groups: Group of each profile, in the place of those that a response-ratio run gives.
        n_groups: Number of groups that Tukey's test is to make; None leaves it to the test.
        severity_clusters: Clusters of news items by their texts.
        n_decisions: Decisions to browse, of each run or condition.
        restricted_texts: Whether news texts stand in the report whose source does not allow passing them on.
        figures: Whether figures are drawn, which takes most of the time.
        make_embedder: Makes the embedder of interacting models' answers, from name and options of the one
            that the run itself used; None for that one. It is closed after each run.
    """

    laws: Iterable[str] = LAWS
    n_runs: int | None = None
    n_bootstrap: int = 200
    level: float = 0.95
    seed: int = 0
    groups: Mapping[str, int] | None = None
    n_groups: int | None = None
    severity_clusters: SeverityClusters | None = None
    n_decisions: int = N_DECISIONS
    restricted_texts: bool = False
    figures: bool = True
    make_embedder: MakeEmbedder | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RatioPart:
    """What a response-ratio run says.

    Attributes:
        facts: The run.
        tables: Its decisions.
        ratios: The same by item and profile, ordered by severity.
        groups: Groups of profiles by Tukey's test; None where it cannot be made.
        why_no_groups: Why not.
        sample: Decisions to browse.
        notes: What to know about it.
    """

    facts: LogFacts
    tables: RatioTables
    ratios: ResponseRatios
    groups: ProfileGroups | None
    why_no_groups: str
    sample: Sample
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CascadePart:
    """What the cascades of one condition say.

    Attributes:
        facts: The run.
        condition: Number of the condition.
        tables: Its cascades; None where none can be used.
        why_no_tables: Why not.
        fits: The laws; None where none can be fitted.
        why_no_fits: Why not.
        ratio: The response-ratio run that goes with it; None without one.
        groups_from: Where the groups of profiles come from, in words.
        sample: Decisions to browse.
        notes: What to know about it.
    """

    facts: LogFacts
    condition: int
    tables: RunTables | None
    why_no_tables: str
    fits: Fits | None
    why_no_fits: str
    ratio: RatioPart | None
    groups_from: str
    sample: Sample
    notes: tuple[str, ...] = ()

    @property
    def design(self) -> Mapping[str, Any]:
        """The condition's design."""
        found: Mapping[str, Any] = self.facts.meta["experiment"]["design"][self.condition]
        return found


Part = CascadePart | RatioPart | InterviewPart


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything that a report says, before it is laid out.

    Attributes:
        parts: Cascades by run and condition, then response ratios, then interacting models by run.
        drawings: The figures of each part; none for ratios whose figures stand with their cascades.
        options: How it was made.
    """

    parts: tuple[Part, ...]
    drawings: tuple[tuple[Drawing, ...], ...] = field(repr=False)
    options: Options


def make_report(
    runs: Sequence[Run], options: Options | None = None, *, progress: Progress | None = None
) -> Report:
    """Read runs and compute everything that their report says.

    Args:
        runs: Runs of cascades, of response ratios, of interacting models, or several of them. Ratios go with
            the cascades of the same model.
        options: How it is made.
        progress: Called with a few words before each piece of work.

    Raises:
        RunFolderError: A log is damaged.
        UserError: It is unclear which ratios go with which cascades, a run has no response ratios yet, or an
            option is impossible.
    """
    options, say = options or Options(), progress or (lambda _: None)
    _check(options)
    for run in runs:
        check_unchanged(run)
    read = [(run, _facts(run, options, say)) for run in _each_once(runs)]
    ratios = [_ratio_part(run, facts, options, say) for run, facts in read if facts.family == "ratio"]
    cascades = [
        _cascade_part(run, facts, condition, _partner(facts, ratios), options, say)
        for run, facts in read
        if facts.family == "cascade"
        for condition in range(facts.n_conditions)
    ]
    how = _how(options)
    interviews = [interview_part(run, facts, how, say) for run, facts in read if facts.family == "interview"]
    parts: tuple[Part, ...] = (*cascades, *ratios, *interviews)
    with_cascades = {id(part.ratio) for part in cascades}
    drawings = [() if id(part) in with_cascades else _drawn(part, options, say) for part in parts]
    return Report(parts, tuple(drawings), options)


def _drawn(part: Part, options: Options, say: Progress) -> tuple[Drawing, ...]:
    if not options.figures:
        return ()
    say(f"drawing the figures of {part.facts.run}")
    if isinstance(part, InterviewPart):
        return rendered(interview_sketches(part))
    return draw(_material(part, options))


def _check(options: Options) -> None:
    """Refuse impossible options before anything is read: what fails later is the data's doing."""
    checked_level(options.level)
    if not [LAWS[name] for name in options.laws]:
        raise DesignError(f"there is no law to fit; known: {', '.join(LAWS)}")
    if options.groups is not None:
        as_grouping(options.groups)
    least = {"n_runs": 1, "n_bootstrap": 0, "n_decisions": 0}
    for name, bound in least.items():
        value = getattr(options, name)
        if value is not None and value < bound:
            raise DesignError(f"{name} is {value}; it is at least {bound}")
    if options.n_groups is not None and not 1 <= options.n_groups <= N_PROFILES:
        raise DesignError(f"{options.n_groups} groups cannot be made of {N_PROFILES} profiles")


def _each_once(runs: Sequence[Run]) -> list[Run]:
    if not runs:
        raise UserError("a report needs at least one run")
    return list({run.folder.resolve(): run for run in runs}.values())


def _facts(run: Run, options: Options, say: Progress) -> LogFacts:
    say(f"reading {run.folder}")
    return read_facts(run, restricted_texts=options.restricted_texts)


def _partner(cascades: LogFacts, ratios: Sequence[RatioPart]) -> RatioPart | None:
    """Find the response ratios that go with cascades.

    A single run of them goes with any cascades; where models or prompts differ, a note says so.
    """
    if len(ratios) <= 1:
        return ratios[0] if ratios else None
    model = cascades.meta["model_name"]
    same = [part for part in ratios if part.facts.meta["model_name"] == model]
    if len(same) == 1:
        return same[0]
    names = ", ".join(part.facts.run for part in same or ratios)
    raise UserError(
        f"it is unclear which response ratios go with the cascades of {cascades.run} ({model}): {names} "
        f"{'are all of that model' if same else 'are of other models'}; give one such run for each model"
    )


def _ratio_part(run: Run, facts: LogFacts, options: Options, say: Progress) -> RatioPart:
    if not facts.kind("ratio").n:
        raise UserError(
            f"{facts.run} has no response ratio yet; wait for one, resume it, or make the report without it"
        )
    tables = read_ratios(run)
    say(f"grouping the profiles of {facts.run}")
    groups, why = _groups(tables, options)
    notes = list(tables.notes)
    if facts.n_conditions > 1:
        notes.append(f"the decisions of all {facts.n_conditions} conditions are counted together")
    return RatioPart(
        facts=facts,
        tables=tables,
        ratios=_by_severity(tables),
        groups=groups,
        why_no_groups=why,
        sample=sample_decisions(run, "ratio", n=options.n_decisions, seed=options.seed),
        notes=tuple(notes),
    )


def _groups(tables: RatioTables, options: Options) -> tuple[ProfileGroups | None, str]:
    try:
        found = group_profiles(
            tables.yes_ratio, n_groups=options.n_groups, n_resamples=_N_RESAMPLES, seed=options.seed
        )
    except InputError as error:
        return None, without_field(str(error))
    return found, ""


def _by_severity(tables: RatioTables) -> ResponseRatios:
    order = [row for severity in (0, 1, -1) for row in np.flatnonzero(tables.severity == severity).tolist()]
    counts = YesCounts(tables.n_yes, tables.n_no, tables.n_missing)
    return ResponseRatios(
        tuple(tables.news_ids[row] for row in order),
        tuple(None if tables.severity[row] < 0 else int(tables.severity[row]) for row in order),
        counts.rows(np.array(order, dtype=np.intp)),
    )


def _cascade_part(
    run: Run, facts: LogFacts, condition: int, ratio: RatioPart | None, options: Options, say: Progress
) -> CascadePart:
    tables, why_no_tables = _tables(run, condition)
    chosen, groups_from = _chosen_groups(ratio, options)
    fits, why_no_fits = None, why_no_tables
    if tables is not None:
        fits, why_no_fits = _fits(tables, chosen, options, say)
        if fits is not None and chosen is None and fits.grouping.n_groups == 1:
            groups_from = f"not told apart, all are in one: {without_field(fits.grouping.note)}"
    part = CascadePart(
        facts=facts,
        condition=condition,
        tables=tables,
        why_no_tables=why_no_tables,
        fits=fits,
        why_no_fits=why_no_fits,
        ratio=ratio,
        groups_from=groups_from,
        sample=sample_decisions(
            run,
            "exposure",
            n=options.n_decisions,
            seed=options.seed,
            realizations=None if facts.n_conditions == 1 else realizations_of(run, condition),
        ),
    )
    return replace(part, notes=tuple(_pairing_notes(part)))


def _tables(run: Run, condition: int) -> tuple[RunTables | None, str]:
    try:
        return read_tables(run, condition=condition), ""
    except RunFolderError:
        raise
    except UserError as error:
        return None, str(error)


def _chosen_groups(ratio: RatioPart | None, options: Options) -> tuple[Mapping[str, int] | None, str]:
    """Choose the groups that laws are fitted with, and say where they come from."""
    if options.groups is not None:
        return options.groups, "given"
    if ratio is None:
        return None, "chosen from the exposures of this run itself, for no response-ratio run was given"
    if ratio.groups is None:
        return None, (
            f"chosen from the exposures of this run itself, for the response ratios of {ratio.facts.run} "
            f"give none: {ratio.why_no_groups}"
        )
    found = dict(zip(PROFILES, ratio.groups.group.tolist(), strict=True))
    return found, f"found by Tukey's HSD test on the response ratios of {ratio.facts.run}"


def _fits(
    tables: RunTables, groups: Mapping[str, int] | None, options: Options, say: Progress
) -> tuple[Fits | None, str]:
    try:
        found = fit_run(
            tables,
            laws=options.laws,
            groups=groups,
            n_runs=affordable_runs(tables) if options.n_runs is None else options.n_runs,
            n_bootstrap=options.n_bootstrap,
            level=options.level,
            seed=options.seed,
            progress=say,
        )
    except UserError as error:
        return None, without_field(str(error))
    return found, ""


def _pairing_notes(part: CascadePart) -> list[str]:
    """Say where response ratios were taken otherwise than the cascades."""
    if part.ratio is None:
        return []
    mine, other = part.facts.meta, part.ratio.facts.meta
    found = []
    if mine["model_name"] != other["model_name"]:
        found.append(
            f"the response ratios are those of another model: {other['model_name']}, not {mine['model_name']}"
        )
    if mine["prompts_hash"][part.condition] not in other["prompts_hash"]:
        found.append("the response ratios were asked for with other prompt templates than the cascades")
    return found


def _how(options: Options) -> How:
    return How(
        make_embedder=options.make_embedder or make_embedder,
        level=options.level,
        n_bootstrap=options.n_bootstrap,
        seed=options.seed,
        n_answers=options.n_decisions,
    )


def _material(part: CascadePart | RatioPart, options: Options) -> Material:
    if isinstance(part, RatioPart):
        return Material(
            ratios=part.tables, ratio_groups=part.groups, severity_clusters=options.severity_clusters
        )
    ratio = part.ratio
    return Material(
        tables=part.tables,
        fits=part.fits,
        ratios=None if ratio is None else ratio.tables,
        ratio_groups=None if ratio is None else ratio.groups,
        severity_clusters=options.severity_clusters,
    )
