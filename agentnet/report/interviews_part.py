"""The part of a report that a run of interacting models fills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from agentnet.analysis.perspectives import ControlChart
from agentnet.report.checklist import filled, read_answers
from agentnet.report.figures.sketch import Sketch
from agentnet.report.figures.words import sentences
from agentnet.report.interviews import Arm, ArmContrast, ShownAnswer
from agentnet.report.interviews_drawings import interview_sketches
from agentnet.report.interviews_sections import interview_sections, interview_tables
from agentnet.report.interviews_tables import interview_results
from agentnet.report.interviews_words import HELM, interview_fields, interview_methods, interview_summary
from agentnet.report.log_facts import LogFacts
from agentnet.report.options import Options
from agentnet.report.part import Block, Part, Place, Section
from agentnet.report.tables import Table


@dataclass(frozen=True, slots=True, eq=False)
class InterviewPart(Part):
    """What a run of interacting models says.

    Attributes:
        facts: The run.
        label: What every result has to be called; empty if a language model answered.
        embedder: Name of the embedder of this report.
        arms: The conditions of which something is known.
        contrasts: Differences between arms over repeats; none with a single repeat.
        chart: How moves are judged; None where there are too few.
        why_no_chart: Why not.
        answers: Answers to browse.
        n_answers: Answers in the log.
        seed: What fixed the choice of answers.
        level: Confidence level of intervals.
        n_bootstrap: Draws behind them.
        notes: What to know about it.
    """

    name: ClassVar[str] = "interviews"
    rank: ClassVar[int] = 2
    subject: ClassVar[str] = "interacting language models"
    headline: ClassVar[str] = "Interacting language models and their perspectives"

    facts: LogFacts
    label: str
    embedder: str
    arms: tuple[Arm, ...]
    contrasts: tuple[ArmContrast, ...]
    chart: ControlChart | None
    why_no_chart: str
    answers: tuple[ShownAnswer, ...]
    n_answers: int
    seed: int
    level: float
    n_bootstrap: int
    notes: tuple[str, ...] = ()

    @property
    def design(self) -> Mapping[str, Any]:
        """The design of the first condition."""
        return self.facts.design(0)

    def rule_of(self, arm: Arm) -> str:
        """Name the update rule of an arm."""
        rules = self.facts.meta["interviews"]["rules"]
        return str(rules[arm.condition]["name"])

    def title(self) -> str:
        """Name it for people."""
        return f"Interacting models: {self.facts.run}{f' ({self.label})' if self.label else ''}"

    def summary(self, level: float) -> str:  # noqa: ARG002
        """Summarize it in one paragraph."""
        return sentences(interview_summary(self))

    def methods(self) -> str:
        """Write a methods paragraph for a paper."""
        return sentences(interview_methods(self))

    def citations(self) -> Sequence[str]:
        """List the paper."""
        return (f"Design and figures: {HELM}.",)

    def figures(self, options: Options) -> Iterator[Sketch]:  # noqa: ARG002
        """Make the figures of the paper, and some beyond them."""
        return interview_sketches(self)

    def sections(self, place: Place) -> Iterator[Section]:  # noqa: ARG002
        """Lay out results, answers and what the log says of the run."""
        return interview_sections(self)

    def tables(self) -> Iterator[Table]:
        """Make the tables of all models at all steps."""
        return interview_tables(self)

    def results(self, level: float) -> Mapping[str, Any]:  # noqa: ARG002
        """Spell arms and contrasts."""
        return interview_results(self)

    def checklists(self) -> Iterator[Block]:
        """Fill GUIDE-LLM and ODD."""
        answers, fields = read_answers("interviews"), interview_fields(self)
        yield filled("guide_llm", answers, fields)
        yield filled("odd", answers, fields)
