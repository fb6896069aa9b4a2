"""The part of a family that says what it found, and takes all else from the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentnet.events import Run
from agentnet.report import log_sections, log_tables
from agentnet.report.checklist import fields_of, filled
from agentnet.report.figures.sketch import Sketch, sketches_of
from agentnet.report.figures.words import capitalized, listed, sentences
from agentnet.report.log_facts import LogFacts, overriding_sentences
from agentnet.report.options import Options
from agentnet.report.part import Block, Part, Place, Section
from agentnet.report.tables import Table
from agentnet.report.words import (
    asked_sentences,
    missing_sentences,
    model_sentence,
    news_citations,
    unusable_words,
)


@dataclass(frozen=True, slots=True, eq=False)
class PlainPart(Part):
    """What a run says, where its family writes no more than `findings`.

    Subclasses say their `name`, `subject` and `headline`. The figures and tables that are listed under their
    name stand in it, tables in section ``found`` (`agentnet.report.figures.sketch.figure`,
    `agentnet.report.part.table`); these look things up in `run`.

    Attributes:
        facts: What the log says of the run.
        run: The run.
        notes: What to know about it, a sentence each.
    """

    facts: LogFacts
    run: Run
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:  # type: ignore[override] # read-only, as it stands in the log
        """What every result has to be called; empty if a language model answered."""
        return str(self.facts.meta.get("label", ""))

    def title(self) -> str:
        """Name it for people."""
        return f"{capitalized(self.subject)}: {self.facts.run}"

    def summary(self, level: float) -> str:
        """Say what was asked, and what was found."""
        found = self.findings(level) if type(self).findings is not Part.findings else ()
        return sentences([*asked_sentences(self.facts), *found])

    def how_played(self) -> Iterable[str]:
        """Say how it was played, a sentence each, for the methods paragraph."""
        return ()

    def methods(self) -> str:
        """Write a methods paragraph for a paper, from what the run recorded."""
        facts = self.facts
        version = facts.meta["versions"].get("agentnet", "")
        return sentences(
            [
                f"{capitalized(self.subject)} were played with agentnet {version}",
                *self.how_played(),
                model_sentence(facts),
                *overriding_sentences(facts),
                *missing_sentences(facts),
            ]
        )

    def citations(self) -> Sequence[str]:
        """List the sources of the news, if there are any."""
        return news_citations(self.facts)

    def figures(self, options: Options) -> Iterator[Sketch]:  # noqa: ARG002
        """Make the figures that are listed under its name."""
        return sketches_of(self.name, self)

    def sections(self, place: Place) -> Iterator[Section]:
        """Lay out the listed tables, and what the log says of the run."""
        facts = self.facts
        yield Section("found", "What was found", ())
        troubles = log_sections.troubles_blocks(facts, log_tables.missing_table(facts))
        yield Section("missing", "Missing answers, troubles and incidents", tuple(troubles))
        first, design, *others = log_sections.design_blocks(facts, 0, is_first=place.is_first)
        more = (log_tables.design_table(facts, number) for number in range(1, facts.n_conditions))
        designs = (replace(each, name=f"design_{number}") for number, each in enumerate(more, 1))
        yield Section("design", "Design", (first, design, *designs, *others))
        yield Section("prompts", "Prompts", tuple(log_sections.prompts_blocks(facts)))
        if facts.news:
            blocks = tuple(log_sections.news_blocks(facts, self.citations()))
            yield Section("news", "News items", blocks)
        yield Section("costs", "Models and costs", tuple(log_sections.costs_blocks(facts)))

    def tables(self) -> Iterator[Table]:
        """Make none."""
        yield from ()

    def results(self, level: float) -> Mapping[str, Any]:
        """Spell what was found."""
        return {"kind": self.subject, "run": self.facts.run, "found": list(self.findings(level))}

    def checklists(self) -> Iterator[Block]:
        """Fill GUIDE-LLM as far as any run knows."""
        yield filled("guide_llm", {}, fields_of(self.facts) | _told(self.facts))


def _told(facts: LogFacts) -> dict[str, str]:
    """Spell what the checklist asks for beside what it is told of any run."""
    data = (
        f"News items: {len(facts.news):,}, source {listed(facts.sources)}" if facts.news else "See the design"
    )
    return {
        "instructions": "One prompt of each kind, as it was sent, stands in this report.",
        "data": data,
        "processing": f"An unusable reply {unusable_words(facts)}.",
        "sample": "",
    }
