"""What stands where in a report: around what each part says of itself, what all parts have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agentnet.errors import DesignError, PluginError, near_miss
from agentnet.report.blocks import absent, bullets, paragraph
from agentnet.report.conditions import NAME, Conditions
from agentnet.report.drawings import Drawing
from agentnet.report.figures.sketch import told_text
from agentnet.report.figures.words import sentences
from agentnet.report.gather import Report
from agentnet.report.log_sections import cite
from agentnet.report.part import Block, Part, Place, Section, laid_out, more_tables
from agentnet.report.probe import probe_blocks
from agentnet.report.tables import Table


@dataclass(frozen=True, slots=True)
class Contents:
    """One part of a report.

    Attributes:
        anchor: Its id on the page.
        title: Its heading.
        sections: What stands on the page.
        more: Tables that are too long for the page and are written as CSV alone.
        found: What was found, a sentence each, the most important first.
        figures: The figures that are drawn.
        leading: The same, those that show most of what was found first.
        leads: Whether the first screen begins with it.
        is_folded: Whether all of it is folded at first, as what stands above it tells most.
    """

    anchor: str
    title: str
    sections: tuple[Section, ...]
    more: tuple[Table, ...]
    found: tuple[str, ...]
    figures: tuple[Drawing, ...]
    leading: tuple[Drawing, ...]
    leads: bool = False
    is_folded: bool = False

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, those on the page first."""
        shown = (block for section in self.sections for block in section.blocks if isinstance(block, Table))
        return (*shown, *self.more)


def contents_of(report: Report) -> tuple[Contents, ...]:
    """Lay out what a report says: conditions side by side, then part by part."""
    names = part_names(report.parts)
    drawn_of = drawings_of(report)
    compared = {each.family for each in report.conditions}
    made = [
        _of_conditions(name, each, report) for name, each in zip(drawn_of, report.conditions, strict=False)
    ]
    seen = set[int]()
    for name, part in zip(names, report.parts, strict=True):
        place = Place(name, id(part.facts) not in seen, report.options)
        seen.add(id(part.facts))
        with laid_out(part):
            made.append(_of_part(part, place, report, is_folded=part.facts.family in compared))
    return tuple(made if len(made) == 1 else map(_with_prefix, made))


def _of_part(part: Part, place: Place, report: Report, *, is_folded: bool) -> Contents:
    figures = _figures(report, place.name)
    more = more_tables(part)
    sections = tuple(_with_tables(_sections(part, figures, place), more))
    drawn = tuple(each for each in figures if each.svg is not None)
    who, findings = f"part {part.name!r}", part.findings(report.options.level)
    if isinstance(findings, str):
        raise PluginError(f"the findings of {who} are {findings!r:.60}; give a list of sentences")
    return Contents(
        anchor=place.name,
        title=told_text(f"title of {who}", part.title()),
        # A stable order: what is open stands first, each kind as it was given.
        sections=tuple(sorted(sections, key=lambda each: not each.is_open)),
        more=(*part.tables(), *more.get("", ())),
        found=tuple(
            sentences([_whose(part, report) + told_text(f"finding of {who}", each)]) for each in findings
        ),
        figures=drawn,
        leading=tuple(sorted(drawn, key=lambda each: _place_in(part.leading, each.name))),
        is_folded=is_folded,
    )


def _whose(part: Part, report: Report) -> str:
    """Say of which part a finding is, where it stands among those of others of its kind."""
    is_one = sum(each.name == part.name for each in report.parts) == 1
    return "" if is_one else f"{part.title()}: "


def drawings_of(report: Report) -> dict[str, tuple[Drawing, ...]]:
    """List the figures of a report by what they are of, in the order of the page."""
    names = numbered([NAME] * len(report.conditions))
    of_conditions = zip(names, (each.drawings for each in report.conditions), strict=True)
    return dict(of_conditions) | dict(zip(part_names(report.parts), report.drawings, strict=True))


def has_several_drawn(report: Report) -> bool:
    """Say whether names of figures need the name of what they are of, to be told apart."""
    return sum(map(bool, drawings_of(report).values())) > 1


def _figures(report: Report, name: str) -> tuple[Drawing, ...]:
    prefix = f"{name}-" if has_several_drawn(report) else ""
    return tuple(replace(each, prefix=prefix) for each in drawings_of(report)[name])


def _of_conditions(name: str, of: Conditions, report: Report) -> Contents:
    """Lay out conditions side by side."""
    figures = _figures(report, name)
    drawn = tuple(each for each in figures if each.svg is not None)
    shown = [Section("figures", "Figures", figures, is_open=True)] if figures else []
    found = tuple(sentences([each]) for each in of.findings())
    tables = tuple(of.tables())
    return Contents(name, of.title, (*of.sections(), *shown), tables, found, drawn, drawn, leads=True)


def _with_tables(sections: Iterable[Section], more: Mapping[str, Sequence[Table]]) -> Iterator[Section]:
    """Put tables at the ends of the sections that they name.

    Raises:
        DesignError: There is no section of that name.
    """
    seen = []
    for each in sections:
        seen.append(each.anchor)
        yield replace(each, blocks=(*each.blocks, *more.get(each.anchor, ())))
    for anchor in more.keys() - {"", *seen}:
        raise DesignError(
            f"the table {more[anchor][0].name!r} belongs to a section {anchor!r}{near_miss(anchor, seen)}; "
            f"there are {', '.join(seen)}"
        )


def _place_in(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def part_names(parts: Iterable[Part]) -> tuple[str, ...]:
    """Name parts for files and ids: ``cascades``, ``ratios``, ``interviews``, numbered if several."""
    return numbered([part.name for part in parts])


def numbered(kinds: Sequence[str]) -> tuple[str, ...]:
    """Number names that occur more than once.

    Examples:
        >>> numbered(["cascades", "ratios", "cascades"])
        ('cascades1', 'ratios', 'cascades2')
    """
    return tuple(
        kind if kinds.count(kind) == 1 else f"{kind}{kinds[: i + 1].count(kind)}"
        for i, kind in enumerate(kinds)
    )


def _with_prefix(of: Contents) -> Contents:
    """Put the part's name before the names of its tables."""

    def renamed(block: Block) -> Block:
        return replace(block, name=f"{of.anchor}_{block.name}") if isinstance(block, Table) else block

    sections = tuple(replace(each, blocks=tuple(map(renamed, each.blocks))) for each in of.sections)
    return replace(
        of, sections=sections, more=tuple(replace(t, name=f"{of.anchor}_{t.name}") for t in of.more)
    )


def _sections(part: Part, figures: tuple[Drawing, ...], place: Place) -> Iterator[Section]:
    lead = paragraph(part.summary(place.options.level), "lead")
    remarks = [sentences([each]) for each in dict.fromkeys(part.remarks()) if each]
    yield Section("summary", "Summary", (lead, bullets(remarks)) if remarks else (lead,), is_open=True)
    yield from part.sections(place)
    if figures:
        yield Section("figures", "Figures", figures, is_open=True)
    elif not place.options.figures:
        yield Section("figures", "Figures", (absent("no figures were to be drawn (--no-figures)"),))
    card = place.options.probe or part.facts.probe
    if card is not None and place.is_first:
        yield Section("probe", "Validity card of the backend", tuple(probe_blocks(card, part.facts)))
    yield Section("methods", "Methods paragraph", (paragraph(part.methods()), cite(part.citations())))
    yield Section("checklists", "Reporting checklists", tuple(part.checklists()))
