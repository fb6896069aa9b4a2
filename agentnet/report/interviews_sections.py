"""What stands where in the part of a run of interacting models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from agentnet.events.conditions import Condition
from agentnet.report import interviews_tables as tables
from agentnet.report import log_sections, log_tables
from agentnet.report.blocks import absent, paragraph, unfolding
from agentnet.report.figures.words import listed
from agentnet.report.html import Html
from agentnet.report.interviews_vertices import vertices_table
from agentnet.report.part import Block, Section
from agentnet.report.tables import Table

if TYPE_CHECKING:
    from agentnet.report.interviews_part import InterviewPart


def interview_sections(part: InterviewPart) -> Iterator[Section]:
    """Lay out what stands between figures and methods."""
    yield Section("results", "Results", tuple(_results(part)))
    yield Section("missing", "Missing answers, troubles and incidents", tuple(_missing(part)))
    yield Section("answers", "Answers", tuple(_answers(part)))
    yield Section("design", "Design", tuple(_design(part)))
    yield Section("costs", "Models and costs", tuple(log_sections.costs_blocks(part.facts)))


def interview_tables(part: InterviewPart) -> Iterator[Table]:
    """Make the tables that are written as CSV alone."""
    yield tables.perspectives_table(part)
    yield tables.series_table(part)
    yield from filter(None, [tables.questions_left_out_table(part)])


def _results(part: InterviewPart) -> Iterator[Block]:
    if part.label:
        yield paragraph(f"These are results of a {part.label}.", "strong")
    if not part.study.conditions:
        yield absent("no realization has a complete evaluation of its models yet")
        return
    yield tables.ends_table(part)
    note = part.study.conditions[0].gap.note
    yield tables.classes_table(part) or absent(f"polarization and gap: {note}")
    yield tables.contrasts_table(part) or absent(
        "differences between conditions: they take conditions that differ in one knob, and at least 2 "
        "finished repeats of each (-S repeats=20)"
    )
    yield tables.tests_table(part) or absent(
        "tests of changes: they take a step after step 0 and at least 2 questions"
    )


def _missing(part: InterviewPart) -> Iterator[Block]:
    missing = log_tables.missing_table(part.facts)
    if missing is not None:
        missing = replace(
            missing,
            notes=(
                "A missing or empty answer in an interview teaches nothing.",
                "A question to which an answer is missing in an evaluation is left out of its realization.",
            ),
        )
    return log_sections.troubles_blocks(part.facts, missing, tables.left_out_table(part))


def _answers(part: InterviewPart) -> Iterator[Block]:
    if not part.answers:
        yield absent("there is no answer yet" if not part.n_answers else "no answer was to be shown")
        return
    yield paragraph(
        f"{len(part.answers):,} of {part.n_answers:,} answers: missing ones first, if there are any, then a "
        f"sample in which all others have the same chance (seed {part.study.seed}).",
    )
    yield tables.answers_table(part).without_empty_columns()


def _design(part: InterviewPart) -> Iterator[Block]:
    facts = part.facts
    yield log_sections.experiment_block(facts)
    yield tables.conditions_table(part).without_empty_columns()
    yield from filter(None, [vertices_table(part)])
    yield log_tables.design_table(facts, 0)
    yield log_tables.settings_table(facts)
    yield from _told(part)
    yield log_sections.file_block(facts)


def _told(part: InterviewPart) -> Iterator[Html]:
    """Show the system messages of the models of each condition, each text once."""
    # Runs of before there were system messages recorded none.
    conditions = part.facts.meta["interviews"].get("system_messages", ())
    differ = any(told != conditions[0] for told in conditions)
    found: dict[str, dict[str, None]] = {}
    for each, told in zip(Condition.all_of(part.facts.meta), conditions, strict=False):
        names = [name for name, n in each.design["models"].items() for _ in range(int(n))]
        for text, name in zip(told, names, strict=False):
            found.setdefault(text, {})[f"{name} ({each.name})" if differ else name] = None
    if found:
        yield unfolding(
            "What models were told ahead of all questions",
            [(f"class {listed(names)}", text or "(nothing)") for text, names in found.items()],
        )
