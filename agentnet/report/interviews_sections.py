"""What stands where in the part of a run of interacting models."""

from __future__ import annotations

from collections.abc import Iterator

from agentnet.report import interviews_tables as tables
from agentnet.report import log_tables
from agentnet.report.figures.words import listed
from agentnet.report.html import Html, tag
from agentnet.report.interviews import InterviewPart
from agentnet.report.interviews_left_out import left_out_table, questions_left_out_table
from agentnet.report.tables import Table

Block = Html | Table


def interview_blocks(part: InterviewPart) -> Iterator[tuple[str, str, list[Block]]]:
    """Lay the sections between figures and methods out: (anchor, title, blocks) of each."""
    yield "results", "Results", list(_results(part))
    yield "missing", "Missing answers, troubles and incidents", list(_missing(part))
    yield "answers", "Answers", list(_answers(part))
    yield "design", "Design", list(_design(part))
    facts = part.facts
    models: list[Block] = (
        [log_tables.models_table(facts)] if facts.models else [_absent("no model answered yet")]
    )
    yield "costs", "Models and costs", [*models, log_tables.costs_table(facts)]


def interview_tables(part: InterviewPart) -> list[Table]:
    """List the tables that are written as CSV alone."""
    found = [
        tables.perspectives_table(part),
        tables.series_table(part),
        questions_left_out_table(part),
    ]
    return [each for each in found if each is not None]


def _results(part: InterviewPart) -> Iterator[Block]:
    if part.label:
        yield tag("p", tag("b", f"These are results of a {part.label}."))
    if not part.arms:
        yield _absent("no realization has a complete evaluation of its models yet")
        return
    yield tables.ends_table(part)
    note = part.arms[0].gap.note
    yield tables.classes_table(part) or _absent(f"polarization and gap: {note}")
    yield tables.contrasts_table(part) or _absent(
        "differences between arms: they take arms that differ in one knob, and at least 2 finished repeats "
        "of each (-S repeats=20)"
    )
    yield tables.tests_table(part) or _absent(
        "tests of changes: they take a step after step 0 and at least 2 questions"
    )


def _missing(part: InterviewPart) -> Iterator[Block]:
    facts = part.facts
    yield log_tables.asked_table(facts).without_empty_columns()
    found = log_tables.missing_table(facts)
    if found is None:
        yield tag("p", "No answer is missing.")
    else:
        yield Table(
            found.name,
            found.title,
            found.columns,
            found.rows,
            (
                "A missing or empty answer in an interview teaches nothing.",
                "A question to which an answer is missing in an evaluation is left out of its realization.",
            ),
        )
    yield from filter(None, [left_out_table(part)])
    yield log_tables.troubles_table(facts) or tag("p", "There were no unusable replies and no failed calls.")
    yield log_tables.incidents_table(facts)


def _answers(part: InterviewPart) -> Iterator[Block]:
    if not part.answers:
        yield _absent("there is no answer yet" if not part.n_answers else "no answer was to be shown")
        return
    yield tag(
        "p",
        f"{len(part.answers):,} of {part.n_answers:,} answers: missing ones first, if there are any, then a "
        f"sample in which all others have the same chance (seed {part.seed}).",
    )
    yield tables.answers_table(part).without_empty_columns()


def _design(part: InterviewPart) -> Iterator[Block]:
    facts = part.facts
    yield tag(
        "p", f"Experiment {facts.experiment}, run seed {facts.meta['seed']}, status {facts.meta['status']}."
    )
    yield tables.arms_table(part).without_empty_columns()
    yield log_tables.design_table(facts, 0)
    yield log_tables.settings_table(facts)
    yield from _told(part)
    text = str(facts.meta["experiment"].get("text", ""))
    yield tag("details", tag("summary", "The experiment file as it was played"), tag("pre", text))


def _told(part: InterviewPart) -> Iterator[Html]:
    """Show the system messages of the models of each arm, each text once."""
    # Runs of before there were system messages recorded none.
    conditions = part.facts.meta["interviews"].get("system_messages", ())
    classes = [list(design["models"].items()) for design in part.facts.meta["experiment"]["design"]]
    found: dict[str, dict[str, None]] = {}
    for told, models in zip(conditions, classes, strict=False):
        names = [name for name, n in models for _ in range(int(n))]
        for text, name in zip(told, names, strict=False):
            found.setdefault(text, {})[name] = None
    if found:
        texts = [
            tag("div", tag("b", f"class {listed(names)}"), tag("pre", text or "(nothing)"))
            for text, names in found.items()
        ]
        yield tag("details", tag("summary", "What models were told ahead of all questions"), *texts)


def _absent(why: str) -> Html:
    return tag("p", f"Not available: {why.rstrip('.')}.", class_="absent")
