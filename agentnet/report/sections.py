"""What stands where in a report: around what each part says of itself, what all parts have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from agentnet.report.drawings import Drawing
from agentnet.report.figure_html import figure_html
from agentnet.report.gather import Report
from agentnet.report.log_sections import absent, bullets, cite, paragraph
from agentnet.report.part import Block, Part, Place, Section
from agentnet.report.tables import Table


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
        place = Place(name, id(part.facts) not in seen, report.options)
        seen.add(id(part.facts))
        sections = tuple(_sections(part, drawings, place, f"{name}-" if several else ""))
        contents = Contents(name, part.title(), sections, tuple(part.tables()))
        made.append(contents if len(names) == 1 else _with_prefix(contents))
    return tuple(made)


def part_names(parts: Iterable[Part]) -> tuple[str, ...]:
    """Name parts for files and ids: ``cascades``, ``ratios``, ``interviews``, numbered if several."""
    kinds = [part.name for part in parts]
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


def _sections(part: Part, drawings: tuple[Drawing, ...], place: Place, prefix: str) -> Iterator[Section]:
    lead = paragraph(part.summary(place.options.level), "lead")
    yield Section("summary", "Summary", (lead, *bullets(part.remarks())))
    if drawings:
        yield Section("figures", "Figures", tuple(figure_html(each, prefix) for each in drawings))
    elif not place.options.figures:
        yield Section("figures", "Figures", (absent("no figures were to be drawn (--no-figures)"),))
    yield from part.sections(place)
    yield Section("methods", "Methods paragraph", (paragraph(part.methods()), cite(part.citations())))
    yield Section("checklists", "Reporting checklists", tuple(part.checklists()))
