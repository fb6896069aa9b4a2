"""The part of a report that a run of interacting models fills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from agentnet.analysis.study import ConditionStudy, Study, study_run
from agentnet.report.checklist import filled, read_answers
from agentnet.report.figures.sketch import Sketch, sketches_of
from agentnet.report.figures.words import sentences
from agentnet.report.interviews_sample import ShownAnswer, sample_answers
from agentnet.report.interviews_sections import interview_sections, interview_tables
from agentnet.report.interviews_tables import interview_results
from agentnet.report.interviews_vertices import Vertex, read_vertices
from agentnet.report.interviews_words import (
    HELM,
    interview_fields,
    interview_findings,
    interview_methods,
    interview_summary,
)
from agentnet.report.log_facts import LogFacts
from agentnet.report.options import Options
from agentnet.report.part import Block, Course, Part, Place, Reading, Section
from agentnet.report.tables import Table


@dataclass(frozen=True, slots=True, eq=False)
class InterviewPart(Part):
    """What a run of interacting models says.

    Attributes:
        facts: The run.
        study: What it found.
        answers: Answers to browse.
        n_answers: Answers in the log.
        vertices: Databases, and models that joined or left.
    """

    name: ClassVar[str] = "interviews"
    rank: ClassVar[int] = 2
    subject: ClassVar[str] = "interacting language models"
    headline: ClassVar[str] = "Interacting language models and their perspectives"

    facts: LogFacts
    study: Study
    answers: tuple[ShownAnswer, ...]
    n_answers: int
    vertices: tuple[Vertex, ...] = ()

    @property
    def label(self) -> str:  # type: ignore[override] # read-only, as the study is frozen
        """What every result has to be called; empty if a language model answered."""
        return self.study.label

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override] # likewise
        """What to know about it."""
        return self.study.notes

    @property
    def design(self) -> Mapping[str, Any]:
        """The design of the first condition."""
        return self.facts.design(0)

    def rule_of(self, condition: ConditionStudy) -> str:
        """Name the update rule of a condition."""
        rules = self.facts.meta["interviews"]["rules"]
        return str(rules[condition.number]["name"])

    def study_to_compare(self) -> Study:
        """Give the study."""
        return self.study

    def courses(self, level: float) -> Iterator[Course]:  # noqa: ARG002
        """Give the squared gap of two classes after each step, if there are two."""
        for each in self.study.conditions:
            gap = each.gap.series
            if gap is not None:
                unknown = np.full(len(gap.value), np.nan)
                low, high = (gap.low, gap.high) if each.gap.has_interval else (unknown, unknown)
                interval = f"{gap.level:.0%} bootstrap intervals over {gap.over}"
                yield Course(
                    *(each.number, "squared gap", "step", (), gap.value, low, high, len(each.whole), interval)
                )

    def title(self) -> str:
        """Name it for people."""
        return f"Interacting models: {self.facts.run}{f' ({self.label})' if self.label else ''}"

    def summary(self, level: float) -> str:  # noqa: ARG002
        """Summarize it in one paragraph."""
        return sentences(interview_summary(self))

    def findings(self, level: float) -> Iterator[str]:  # noqa: ARG002
        """Say what results have to be called, then where each condition ended."""
        return interview_findings(self)

    def methods(self) -> str:
        """Write a methods paragraph for a paper."""
        return sentences(interview_methods(self))

    def citations(self) -> Sequence[str]:
        """List the paper."""
        return (f"Design and figures: {HELM}.",)

    def figures(self, options: Options) -> Iterator[Sketch]:  # noqa: ARG002
        """Make the figures of the paper, and some beyond them."""
        return sketches_of(self.name, self)

    def sections(self, place: Place) -> Iterator[Section]:  # noqa: ARG002
        """Lay out results, answers and what the log says of the run."""
        return interview_sections(self)

    def tables(self) -> Iterator[Table]:
        """Make the tables of all models at all steps."""
        return interview_tables(self)

    def results(self, level: float) -> Mapping[str, Any]:  # noqa: ARG002
        """Spell conditions and contrasts."""
        return interview_results(self)

    def checklists(self) -> Iterator[Block]:
        """Fill GUIDE-LLM and ODD."""
        answers, fields = read_answers("interviews"), interview_fields(self)
        yield filled("guide_llm", answers, fields)
        yield filled("odd", answers, fields)


def interview_parts(reading: Reading, family: str) -> Iterator[Part]:
    """Find out what each run of interacting models did."""
    options = reading.options
    for run, facts in reading.of(family):
        study = study_run(
            run,
            make_embedder=options.make_embedder,
            n_bootstrap=options.n_bootstrap,
            level=options.level,
            seed=options.seed,
            progress=reading.say,
        )
        yield InterviewPart(
            facts, study, *sample_answers(run, n=options.n_decisions, seed=options.seed), read_vertices(run)
        )
