"""What stands where in a report: for each part its sections, in order, made of tables and markup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from agentnet.report import cascade_tables, log_tables, ratio_tables
from agentnet.report.browse import browser
from agentnet.report.checklists import GUIDE_LLM_SOURCE, ODD_SOURCE, checklist_table, guide_llm, odd
from agentnet.report.drawings import Drawing
from agentnet.report.figure_html import figure_html
from agentnet.report.gather import CascadePart, Part, RatioPart, Report
from agentnet.report.html import Html, tag
from agentnet.report.interviews import InterviewPart
from agentnet.report.interviews_checklists import interview_guide_llm, interview_odd
from agentnet.report.interviews_sections import interview_blocks, interview_tables
from agentnet.report.log_facts import LogFacts
from agentnet.report.prompts_html import example_html, template_html
from agentnet.report.reasons import without_field
from agentnet.report.tables import Table
from agentnet.report.words import citations, methods, summary

Block = Html | Table


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a part.

    Attributes:
        anchor: Its id within the part.
        title: Its heading.
        blocks: What stands in it.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """One part of a report.

    Attributes:
        anchor: Its id on the page.
        title: Its heading.
        sections: What stands on the page.
        more: Tables that are too long for the page and are written as CSV alone.
    """

    anchor: str
    title: str
    sections: tuple[Section, ...]
    more: tuple[Table, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, those on the page first."""
        shown = (block for section in self.sections for block in section.blocks if isinstance(block, Table))
        return (*shown, *self.more)


def contents_of(report: Report) -> tuple[Contents, ...]:
    """Lay out what a report says, part by part."""
    names = part_names(report.parts)
    several = sum(bool(each) for each in report.drawings) > 1
    made, seen = [], set[int]()
    for name, part, drawings in zip(names, report.parts, report.drawings, strict=True):
        place = _Place(report, name, f"{name}-" if several else "", id(part.facts) not in seen)
        seen.add(id(part.facts))
        sections = tuple(_sections(part, drawings, place))
        contents = Contents(name, title_of(part), sections, tuple(_more(part)))
        made.append(contents if len(names) == 1 else _with_prefix(contents))
    return tuple(made)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where a part stands.

    Attributes:
        report: The report.
        name: The part's name.
        prefix: Stands before the ids in its figures, where several parts have some.
        is_first: Whether it is the first part of its run, and says what holds for the whole of it.
    """

    report: Report
    name: str
    prefix: str
    is_first: bool


def part_names(parts: Iterable[Part]) -> tuple[str, ...]:
    """Name parts for files and ids: ``cascades``, ``ratios``, ``interviews``, numbered if several."""
    kinds = [
        "cascades"
        if isinstance(part, CascadePart)
        else "ratios"
        if isinstance(part, RatioPart)
        else "interviews"
        for part in parts
    ]
    return tuple(
        kind if kinds.count(kind) == 1 else f"{kind}{kinds[: i + 1].count(kind)}"
        for i, kind in enumerate(kinds)
    )


def title_of(part: Part) -> str:
    """Name a part for people."""
    if isinstance(part, InterviewPart):
        label = f" ({part.label})" if part.label else ""
        return f"Interacting models: {part.facts.run}{label}"
    if isinstance(part, RatioPart):
        return f"Response ratios: {part.facts.run}"
    overrides = part.facts.meta["experiment"]["conditions"][part.condition]
    condition = ""
    if part.facts.n_conditions > 1:
        condition = f", condition {part.condition} ({log_tables.in_words(overrides) or 'no override'})"
    return f"Cascades: {part.facts.run}{condition}"


def _with_prefix(of: Contents) -> Contents:
    """Put the part's name before the names of its tables."""

    def renamed(block: Block) -> Block:
        return replace(block, name=f"{of.anchor}_{block.name}") if isinstance(block, Table) else block

    sections = tuple(replace(each, blocks=tuple(map(renamed, each.blocks))) for each in of.sections)
    return replace(
        of, sections=sections, more=tuple(replace(t, name=f"{of.anchor}_{t.name}") for t in of.more)
    )


def _more(part: Part) -> Iterator[Table]:
    """Make the tables that are too long for the page."""
    if isinstance(part, InterviewPart):
        yield from interview_tables(part)
        return
    if isinstance(part, RatioPart):
        yield ratio_tables.items_table(part.ratios)
    elif part.fits is not None:
        yield cascade_tables.curves_table(part.fits)
        yield from filter(None, [cascade_tables.probabilities_table(part.fits)])
    elif part.tables is not None:
        yield cascade_tables.observed_table(part.tables)
    if part.sample.decisions:
        yield log_tables.decisions_table(part.sample)


def _sections(part: Part, drawings: tuple[Drawing, ...], place: _Place) -> Iterator[Section]:
    if isinstance(part, InterviewPart):
        yield from _of_interviews(part, drawings, place)
    else:
        yield from _of_decisions(part, drawings, place)


def _of_interviews(part: InterviewPart, drawings: tuple[Drawing, ...], place: _Place) -> Iterator[Section]:
    lead = _paragraph(summary(part, place.report.options.level), "lead")
    yield Section("summary", "Summary", (lead, *_listed(part)))
    yield from _figures(drawings, place)
    for anchor, title, blocks in interview_blocks(part):
        yield Section(anchor, title, tuple(blocks))
    yield Section("methods", "Methods paragraph", (_paragraph(methods(part)), _cite(part.facts)))
    yield Section("checklists", "Reporting checklists", tuple(_checklists(part)))


def _listed(part: Part) -> Iterator[Block]:
    found = _notes(dict.fromkeys(part.notes))
    if found is not None:
        yield found


def _figures(drawings: tuple[Drawing, ...], place: _Place) -> Iterator[Section]:
    if drawings:
        yield Section("figures", "Figures", tuple(figure_html(each, place.prefix) for each in drawings))
    elif not place.report.options.figures:
        yield Section("figures", "Figures", (absent("no figures were to be drawn (--no-figures)"),))


def _of_decisions(
    part: CascadePart | RatioPart, drawings: tuple[Drawing, ...], place: _Place
) -> Iterator[Section]:
    report = place.report
    yield Section("summary", "Summary", tuple(_summary(part, report)))
    yield from _figures(drawings, place)
    if isinstance(part, CascadePart):
        yield Section("laws", "Laws and their parameters", tuple(_laws(part)))
        yield Section("ratios", "Response ratios and groups", tuple(_groups_of_cascades(part)))
    else:
        yield Section("ratios", "Response ratios and groups", tuple(_ratios(part)))
    yield Section("severity", "Severity of the news items", tuple(_severity(part, report)))
    if place.is_first:
        yield Section("missing", "Missing answers, troubles and incidents", tuple(_missing(part.facts)))
    yield Section("decisions", "Decisions and their reasons", (browser(part.sample, place.name),))
    yield Section("design", "Design", tuple(_design(part, first=place.is_first)))
    if place.is_first:
        yield Section("prompts", "Prompts", tuple(_prompts(part)))
        yield Section("news", "News items", tuple(_news(part.facts)))
        yield Section("costs", "Models and costs", tuple(_costs(part.facts)))
    yield Section("methods", "Methods paragraph", (_paragraph(methods(part)), _cite(part.facts)))
    yield Section("checklists", "Reporting checklists", tuple(_checklists(part)))


def _paragraph(text: str, class_: str | None = None) -> Html:
    return tag("p", text, class_=class_)


def absent(why: str) -> Html:
    """Say, where something would stand, why it does not."""
    return tag("p", f"Not available: {why.rstrip('.')}.", class_="absent")


def _notes(notes: Iterable[str]) -> Html | None:
    items = [tag("li", cascade_tables.sentence(note)) for note in notes if note]
    return tag("ul", items) if items else None


def _summary(part: CascadePart | RatioPart, report: Report) -> Iterator[Block]:
    yield _paragraph(summary(part, report.options.level), "lead")
    notes = list(part.notes)
    if isinstance(part, CascadePart):
        notes += part.fits.notes if part.fits is not None else part.tables.notes if part.tables else ()
    found = _notes(dict.fromkeys(notes))
    if found is not None:
        yield found


def _laws(part: CascadePart) -> Iterator[Block]:
    if part.fits is None:
        yield absent(part.why_no_fits)
        if part.tables is not None:
            yield cascade_tables.cells_table(part.tables)
        return
    fits = part.fits
    yield cascade_tables.ranking_table(fits)
    yield cascade_tables.views_table(fits)
    yield cascade_tables.main_effects_table(fits) or absent(_why_not(part, "main_effects"))
    yield cascade_tables.rates_table(fits) or absent(_why_not(part, "group_rates"))
    yield from filter(None, [cascade_tables.equilibria_table(fits)])
    yield cascade_tables.groups_table(fits.tables, fits.grouping, part.groups_from)
    yield cascade_tables.parameters_table(fits)
    yield cascade_tables.bounds_table(fits) or _paragraph(
        "No answer to an exposure is missing: there is nothing to bound.", "note"
    )
    yield cascade_tables.cells_table(fits.tables)


def _why_not(part: CascadePart, law: str) -> str:
    assert part.fits is not None, "asked only where laws were fitted"
    refused = next((each for each in part.fits.refused if each.law == law), None)
    return (
        f"the law {law} was not fitted"
        if refused is None
        else f"{refused.title}: {without_field(refused.reason)}"
    )


def _groups_of_cascades(part: CascadePart) -> Iterator[Block]:
    if part.ratio is None:
        yield absent(
            "no response-ratio run was given. Play one (agentnet run experiments/response_ratios.py) and "
            f"name it behind this run. The groups of profiles were {part.groups_from}"
        )
        return
    yield _paragraph(
        f"They stand in the part on {part.ratio.facts.run}. The groups that laws were fitted with were "
        f"{part.groups_from}."
    )


def _ratios(part: RatioPart) -> Iterator[Block]:
    yield ratio_tables.ratios_table(part)
    yield absent(part.why_no_groups) if part.groups is None else ratio_tables.groups_table(part.groups)


def _severity(part: CascadePart | RatioPart, report: Report) -> Iterator[Block]:
    clusters = report.options.severity_clusters
    labels = part.facts.meta["settings"].get("news", {}).get("severity")
    yield _paragraph(
        "The run used the severities of the news items themselves."
        if labels is None
        else f"The run used the severities of the file of labels {log_tables.in_words(labels)}."
    )
    if clusters is None:
        yield absent(
            "no clusters of news texts were given: give what agentnet.analysis.severity.cluster_severity "
            "found, as JSON, by --severity-clusters"
        )
        return
    yield ratio_tables.clusters_table(clusters)
    known = clusters.severity
    ids = {each.id: each.severity for each in part.facts.news}
    inside = [name for name in ids if name in known]
    other = sum(known[name] != ids[name] for name in inside)
    yield _paragraph(
        f"{len(inside)} of the {len(ids)} news items of this run are among the clustered ones; the clusters "
        f"give {other} of them another severity than the run had.",
        "note",
    )


def _missing(facts: LogFacts) -> Iterator[Block]:
    yield log_tables.asked_table(facts)
    yield log_tables.missing_table(facts) or _paragraph("No answer is missing.")
    yield log_tables.troubles_table(facts) or _paragraph(
        "There were no unusable replies and no failed calls."
    )
    yield log_tables.incidents_table(facts)


def _design(part: CascadePart | RatioPart, *, first: bool) -> Iterator[Block]:
    facts = part.facts
    yield _paragraph(
        f"Experiment {facts.experiment}, run seed {facts.meta['seed']}, status {facts.meta['status']}."
    )
    yield log_tables.design_table(facts, part.condition if isinstance(part, CascadePart) else 0)
    if first:
        yield log_tables.settings_table(facts)
        text = str(facts.meta["experiment"].get("text", ""))
        yield tag("details", tag("summary", "The experiment file as it was played"), tag("pre", text))
    else:
        yield _paragraph(
            "Settings, prompts, news, costs and incidents are those of the run's first condition."
        )


def _prompts(part: CascadePart | RatioPart) -> Iterator[Block]:
    meta = part.facts.meta
    for number, (texts, hash_) in enumerate(zip(meta["prompts"], meta["prompts_hash"], strict=True)):
        if number and texts == meta["prompts"][0]:
            continue
        which = f" of condition {number}" if part.facts.n_conditions > 1 else ""
        yield _paragraph(f"Templates{which}, SHA-256 {hash_}:")
        yield tag("div", [template_html(name, text) for name, text in texts.items()])
    yield _paragraph("One prompt of each kind as it was sent:")
    yield tag("div", [example_html(each) for each in part.facts.examples])


def _news(facts: LogFacts) -> Iterator[Block]:
    yield log_tables.news_table(facts)
    if any(each.text is None for each in facts.news):
        yield _paragraph(
            "Texts of ACLED are not shown, for its terms do not allow passing them on: they stand in the "
            "event log. Reasons and replies may still quote them: look through the decisions before you "
            "pass this report on.",
            "note",
        )
    yield _cite(facts)


def _costs(facts: LogFacts) -> Iterator[Block]:
    yield log_tables.models_table(facts) if facts.models else absent("no model answered yet")
    yield log_tables.costs_table(facts)


def _cite(facts: LogFacts) -> Html:
    return tag("div", _paragraph("To cite:"), tag("ul", [tag("li", each) for each in citations(facts)]))


def _checklists(part: Part) -> Iterator[Block]:
    guide = interview_guide_llm(part) if isinstance(part, InterviewPart) else guide_llm(part)
    yield checklist_table("guide_llm", "GUIDE-LLM: studies with language models", guide, GUIDE_LLM_SOURCE)
    if isinstance(part, RatioPart):
        yield absent("ODD describes models of interacting agents, and response ratios have no interaction")
        return
    described = interview_odd(part) if isinstance(part, InterviewPart) else odd(part)
    yield checklist_table("odd", "ODD: description of the agent-based model", described, ODD_SOURCE)
