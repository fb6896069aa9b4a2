"""Tables and JSON of a run of interacting models; whatever holds results says what they have to be called.

They are in one file, as both spell the same results: what is added to one is wanted in the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import wraps
from math import isnan
from typing import TYPE_CHECKING, Any, Final

from agentnet.analysis.contrasts import holm
from agentnet.analysis.study import OUTCOMES, ConditionStudy, Measured
from agentnet.events.conditions import in_words
from agentnet.report.figures.of_conditions import shown_repeats
from agentnet.report.tables import (
    WITHOUT_INTERVAL,
    Cell,
    Interval,
    Table,
    as_named,
    known_interval,
)
from agentnet.vocabulary import EVALUATION

if TYPE_CHECKING:
    from agentnet.report.interviews_part import InterviewPart

_ENOUGH: Final = 10
"""Repeats from which on nothing is said of their being few."""


def labelled(make: Callable[[InterviewPart], Table | None]) -> Callable[[InterviewPart], Any]:
    """Put what results have to be called into a table's title, and into a column, which the CSV keeps."""

    @wraps(make)
    def made(part: InterviewPart) -> Table | None:
        table = make(part)
        return None if table is None else table.labelled(part.label)

    return made


def conditions_table(part: InterviewPart) -> Table:
    """List the conditions: who hears whom, and what models are."""
    designs, meta = part.facts.meta["experiment"]["design"], part.facts.meta["interviews"]
    rows: list[tuple[Cell, ...]] = []
    for number, (design, rule) in enumerate(zip(designs, meta["rules"], strict=True)):
        condition = next((each for each in part.study.conditions if each.number == number), None)
        rows.append(
            (
                number,
                part.study.designs[number].name,
                in_words(design["models"]),
                part.facts.unless(
                    "make_topology", in_words(design["topology"]), "by the experiment's own {}"
                ),
                rule["name"],
                rule["model_name"],
                in_words(design["update_options"].get(rule["name"], {})),
                int(design["n_questions"]),
                len(meta[EVALUATION][number]),
                None if condition is None else condition.n_common,
                0 if condition is None else len(condition.played),
            )
        )
    return Table(
        "conditions",
        "Conditions",
        {
            "condition": "condition",
            "overrides": "what sets it apart",
            "models": "models by class",
            "topology": "topology",
            "update": "update rule",
            "model_name": "model",
            "update_options": "its options",
            "n_questions": "questions of an interview (q)",
            "n_evaluation": "questions of the evaluation set",
            "n_used": "of them used in all repeats",
            "n_repeats": "repeats used",
        },
        tuple(rows),
    )


@labelled
def ends_table(part: InterviewPart) -> Table:
    """Set the conditions' results at the last step beside each other."""
    rows: list[tuple[Cell, ...]] = []
    for condition in part.study.conditions:
        for played in condition.played:
            clusters, reading = played.clusters, played.reading
            rows.append(
                (
                    *(condition.name, played.realization, played.repeat, len(played.questions)),
                    *(played.n_steps - 1, played.explained[0]),
                    None if clusters is None else int(clusters.n_clusters[-1]),
                    None
                    if clusters is None or not clusters.agreement.size
                    else float(clusters.agreement.mean()),
                    None if reading is None or reading.alarm is None else reading.alarm + 1,
                    None if reading is None or reading.changed is None else reading.changed + 1,
                )
            )
    return Table(
        "realizations",
        "Realizations: clusters at the end, and changes of behaviour",
        {
            **as_named("condition realization repeat"),
            "n_questions": "questions used",
            "last_step": "last step",
            "explained_share": "first dimension expresses",
            "n_clusters": "clusters at the end",
            "mean_ari": "mean ARI(t, t - 1)",
            "alarm": "alarm at step",
            "changed": "estimated change at step",
        },
        tuple(rows),
    )


@labelled
def classes_table(part: InterviewPart) -> Table | None:
    """List polarization and gap at the last step; None where there are none."""
    rows: list[tuple[Cell, ...]] = []
    for condition in part.study.conditions:
        ratio, gap = condition.ratio.series, condition.gap.series
        if gap is None:
            continue
        rows.append(
            (
                *(condition.name, len(condition.whole), len(gap.value) - 1),
                None if ratio is None else float(ratio.value[-1]),
                _interval(condition.ratio),
                None
                if ratio is None or not condition.ratio.has_interval
                else "yes"
                if ratio.clear_start
                else "no",
                *(float(gap.value[0]), float(gap.value[-1]), _interval(condition.gap)),
            )
        )
    if not rows:
        return None
    return Table(
        "two_classes",
        "Two classes at the last step",
        {
            "condition": "condition",
            "n_repeats": "repeats",
            **as_named("step polarization"),
            "polarization_interval": f"{part.study.level:.0%} interval",
            "clear_start": "apart at step 0",
            "gap_at_start": "squared gap at step 0",
            "gap": "squared gap",
            "gap_interval": f"{part.study.level:.0%} interval of it",
        },
        tuple(rows),
    )


def _interval(measured: Measured) -> Interval | None:
    series = measured.series
    if series is None or not measured.has_interval:
        return None
    return known_interval(float(series.low[-1]), float(series.high[-1]))


@labelled
def contrasts_table(part: InterviewPart) -> Table | None:
    """List the differences between conditions; None where there are none."""
    if not part.study.contrasts:
        return None
    adjusted = holm([each.contrast.p_value for each in part.study.contrasts])
    return Table(
        "contrasts",
        "Differences between conditions",
        {
            "compared": "compared",
            "outcome": "in",
            **as_named("kind value"),
            "interval": f"{part.study.level:.0%} interval",
            "p_value": "p",
            "p_value_holm": "p, by Holm for all rows",
            "n_repeats": "repeats",
        },
        tuple(
            (
                *(each.compared, OUTCOMES[each.outcome][0], each.kind, each.contrast.value),
                known_interval(each.contrast.low, each.contrast.high),
                *(None if isnan(value) else value for value in (each.contrast.p_value, p)),
                each.contrast.n_repeats,
            )
            for each, p in zip(part.study.contrasts, adjusted, strict=True)
        ),
        notes=(
            "Conditions are compared within repeats, which share chance, as far as they are finished.",
            "The interval is Student's t over repeats, of a trend Fisher's z; the test turns their signs.",
            "A trend is Kendall's tau-b between knob and outcome: -1 where more of it always gives less.",
            WITHOUT_INTERVAL,
            *_few(min(each.contrast.n_repeats for each in part.study.contrasts)),
        ),
    )


def _few(n_repeats: int) -> Iterator[str]:
    """Warn of contrasts of few repeats."""
    if n_repeats < _ENOUGH:
        yield f"The test cannot give less than p = {2 / 2**n_repeats:.2g} with {n_repeats} repeats."


@labelled
def tests_table(part: InterviewPart) -> Table | None:
    """List the tests of whether models changed from step 0 to the last; None where there are none."""
    tests = [
        (condition, model, test)
        for condition in part.study.conditions
        for model, test in enumerate(condition.tests)
        if test is not None
    ]
    if not tests:
        return None
    adjusted = holm([test.p_value for _, _, test in tests])
    return Table(
        "changes",
        "Whether a model's perspective changed from step 0 to the last step",
        {
            **as_named("condition model class"),
            "change": "squared change of the mean answer",
            "p_value": "p",
            "p_value_holm": "p, by Holm for all rows",
            "n_swaps": "swaps compared",
        },
        tuple(
            (condition.name, model, condition.classes[model], test.change, test.p_value, p, test.n_swaps)
            for (condition, model, test), p in zip(tests, adjusted, strict=True)
        ),
        notes=(
            (
                "A permutation test of a change that answers share, in "
                f"{shown_repeats(part.study.conditions)}."
            ),
            "Where answers are greedy, any difference is a change already.",
        ),
    )


@labelled
def answers_table(part: InterviewPart) -> Table:
    """List the answers to browse."""
    return Table(
        "answers",
        "Answers to browse",
        {
            "realization": "realization",
            "kind": "asked in",
            **as_named("step model"),
            "asker": "asked by",
            "question": "question id",
            "asked": "question",
            "text": "answer as it came",
            "missing": "why missing",
        },
        tuple(
            (
                *(each.realization, each.kind, each.step, each.model, each.asker),
                *(each.question, each.asked, each.text, each.missing),
            )
            for each in part.answers
        ),
    )


@labelled
def perspectives_table(part: InterviewPart) -> Table:
    """List the coordinates of all models at all steps, for CSV alone."""
    return Table(
        "perspectives",
        "Perspectives",
        as_named("condition realization step model class dimension_1 dimension_2"),
        tuple(_places(part)),
    )


def _places(part: InterviewPart) -> Iterator[tuple[Cell, ...]]:
    for condition in part.study.conditions:
        for played in condition.played:
            for step, places in enumerate(played.coordinates.tolist()):
                for model, (one, two) in enumerate(places):
                    if isnan(one):
                        continue
                    yield condition.name, played.realization, step, model, condition.classes[model], one, two


@labelled
def series_table(part: InterviewPart) -> Table:
    """List what is measured at each step, for CSV alone."""
    return Table(
        "series",
        "Measures by step",
        as_named("condition measure realization step value interval"),
        tuple(row for condition in part.study.conditions for row in _series(condition)),
    )


def _series(condition: ConditionStudy) -> Iterator[tuple[Cell, ...]]:
    for played in condition.played:
        number = played.realization
        for step, value in enumerate([] if played.mirror is None else played.mirror.curve.tolist()):
            yield condition.name, "iso_mirror", number, step, value, None
        if played.clusters is not None:
            for step, count in enumerate(played.clusters.n_clusters.tolist()):
                yield condition.name, "n_clusters", number, step, float(count), None
            for step, value in enumerate(played.clusters.agreement.tolist(), 1):
                yield condition.name, "ari", number, step, value, None
        for step, value in enumerate(played.mean_move.tolist(), 1):
            yield condition.name, "squared_move", number, step, value, None
    for name, measured in (("polarization", condition.ratio), ("gap", condition.gap)):
        series = measured.series
        if series is None:
            continue
        for step, row in enumerate(
            zip(series.value.tolist(), series.low.tolist(), series.high.tolist(), strict=True)
        ):
            yield condition.name, name, None, step, row[0], row[1:] if measured.has_interval else None


def left_out_table(part: InterviewPart) -> Table | None:
    """Count the questions that are left out of each condition; None where none is."""
    rows = tuple(
        _left_out(condition)
        for condition in part.study.conditions
        if any(each.left_out for each in condition.played)
    )
    if not rows:
        return None
    return Table(
        "left_out",
        "Questions left out, as an answer is missing",
        {
            "condition": "condition",
            "n_asked": "questions asked",
            "fewest_used": "fewest used in a realization",
            "most_used": "most used in a realization",
            "n_used": "used in all averaged repeats",
            "reasons": "realizations' questions left out, by reason",
        },
        rows,
        notes=(
            "The CSV file questions_left_out says which question is left out of which realization, and why.",
            "Used in all averaged repeats: where nothing stands, fewer than half are; each has its own then.",
        ),
    )


def _left_out(condition: ConditionStudy) -> tuple[Cell, ...]:
    used = [len(each.questions) for each in condition.played]
    reasons = Counter(why for each in condition.played for why in each.left_out.values())
    said = "; ".join(f"{why}: {n:,}" for why, n in sorted(reasons.items()))
    return (
        condition.name,
        max(each.n_asked for each in condition.played),
        min(used),
        max(used),
        condition.n_common,
        said,
    )


def questions_left_out_table(part: InterviewPart) -> Table | None:
    """List each question that is left out of a realization, for CSV alone; None where none is."""
    rows = tuple(
        (condition.name, each.realization, each.repeat, question, why)
        for condition in part.study.conditions
        for each in condition.played
        for question, why in each.left_out.items()
    )
    if not rows:
        return None
    return Table(
        "questions_left_out",
        "Questions left out of realizations",
        {
            **as_named("condition realization repeat"),
            "question": "question id",
            "missing": "why missing",
        },
        rows,
    )


def interview_results(part: InterviewPart) -> dict[str, Any]:
    """Spell what a run of interacting models says in the types of JSON."""
    return {
        "kind": "interviews",
        "run": part.facts.run,
        "label": part.label,
        "embedder": part.study.embedder,
        "design": [
            {key: in_words(value) for key, value in design.items() if key != "conditions"}
            for design in part.facts.meta["experiment"]["design"]
        ],
        "conditions": [_condition_results(condition) for condition in part.study.conditions],
        "contrasts": [
            {"outcome": each.outcome, "kind": each.kind, "compared": each.compared, **asdict(each.contrast)}
            for each in part.study.contrasts
        ],
        "answers_to_browse": {"of": part.n_answers, "shown": len(part.answers)},
    }


def _condition_results(condition: ConditionStudy) -> dict[str, Any]:
    return {
        "condition": condition.number,
        "name": condition.name,
        "classes": condition.classes,
        "n_questions": condition.n_common,
        "left_out": {
            str(each.realization): dict(each.left_out) for each in condition.played if each.left_out
        },
        "realizations": [
            {
                "realization": each.realization,
                "repeat": each.repeat,
                "finished": each.finished,
                "explained_share": each.explained,
                "iso_mirror": None if each.mirror is None else each.mirror.curve,
                "n_clusters": None if each.clusters is None else each.clusters.n_clusters,
                "ari": None if each.clusters is None else each.clusters.agreement,
                "alarm_step": None
                if each.reading is None or each.reading.alarm is None
                else each.reading.alarm + 1,
            }
            for each in condition.played
        ],
        "polarization": _measured(condition.ratio),
        "gap": _measured(condition.gap),
    }


def _measured(measured: Measured) -> dict[str, Any]:
    series, shown = measured.series, measured.has_interval
    if series is None:
        return {"value": None, "why_not": measured.note}
    return {
        "value": series.value,
        "low": series.low if shown else None,
        "high": series.high if shown else None,
        "level": series.level if shown else None,
        "over": series.over if shown else None,
        "clear_start": series.clear_start if shown else None,
        "note": measured.note,
    }
