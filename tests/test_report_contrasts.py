"""Reports compare conditions within repeats, over the same questions, as far as they are finished."""

from __future__ import annotations

import asyncio
import csv
import html
import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from agentnet import InterviewExperiment
from agentnet.analysis.contrasts import ConditionContrast, contrast
from agentnet.analysis.perspectives import Clusters, IsoMirror
from agentnet.analysis.played import Played
from agentnet.analysis.study import ConditionStudy, Measured, contrasts_of, settled
from agentnet.embedder import make_embedder
from agentnet.events import Run
from agentnet.events.conditions import Condition
from agentnet.interviews import Question
from agentnet.report import Options, Report, make_report
from agentnet.report.figures.sketch import sketches_of
from agentnet.report.figures.style import house_style
from agentnet.report.figures.system import n_clusters
from agentnet.report.interviews_part import InterviewPart
from agentnet.report.interviews_tables import classes_table, contrasts_table
from agentnet.report.write import files_of

SMALL: dict[str, Any] = {
    "models": {"left": 3, "right": 2},
    "n_evaluation": 3,
    "n_questions": 2,
    "n_taught": 4,
    "steps": 3,
    "repeats": 3,
}
HOW: dict[str, Any] = {"level": 0.95, "seed": 0}
FIGURELESS = Options(figures=False, n_bootstrap=20, n_decisions=5)


class Own(InterviewExperiment):
    """Models of any classes, with a knob that does nothing."""

    knob: Any = None

    def load_questions(self) -> tuple[Question, ...]:
        """Make questions of each class's topic."""
        words = ["rose", "apple", "fire", "river", "stone", "cloud", "night", "storm"]
        return tuple(
            Question(f"<i>{topic}-{i}", topic, f"{topic} {i}?", words[(i + 3 * place) % 8])
            for place, topic in enumerate(self.models)
            for i in range(6)
        )


def experiments(*conditions: dict[str, Any], **design: Any) -> list[InterviewExperiment]:
    """Make the conditions of an experiment."""
    base = Own(**SMALL | design)
    return [base.under(each) for each in conditions]


def changed(run: Run, folder: Path, *statements: str) -> Run:
    """Copy a run, with a changed event log."""
    shutil.copytree(run.folder, folder)
    with closing(sqlite3.connect(folder / run.path.name)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        for statement in statements:
            connection.execute(statement)
    return Run(folder)


def part_of(run: Run, options: Options = FIGURELESS) -> InterviewPart:
    """Compute what a report says of a run."""
    (part,) = make_report([run], options).parts
    assert isinstance(part, InterviewPart)
    return part


def numbers(found: Iterable[ConditionContrast], kind: str) -> dict[str, float]:
    """Look the contrasts of a kind up: what was compared -> the number."""
    return {each.compared: each.contrast.value for each in found if each.kind == kind}


def gap_of(run: Run, realization: int, step: int, left_out: Sequence[int] = ()) -> float:
    """Compute a squared gap from the event log, model by model and question by question."""
    rows = run.rows(
        "SELECT agent, repeat, text FROM events JOIN replies USING (reply) "
        "WHERE kind = 'evaluation' AND realization = ? AND step = ? ORDER BY repeat, agent",
        (realization, step),
    )[1]
    vectors = asyncio.run(make_embedder("hash", {}).embed([text for *_, text in rows]))
    of: dict[int, dict[int, np.ndarray[Any, Any]]] = {}
    for (model, question, _), vector in zip(rows, vectors.astype(float), strict=True):
        if question not in left_out:
            of.setdefault(question, {})[model] = vector

    def apart(answers: dict[int, Any], one: Sequence[int], other: Sequence[int]) -> float:
        pairs = [(i, j) for i in one for j in other if i != j]
        return float(np.mean([((answers[i] - answers[j]) ** 2).sum() for i, j in pairs]))

    left, right = (0, 1, 2), (3, 4)
    return float(
        np.mean(
            [
                apart(each, left, right) - apart(each, left, left) / 2 - apart(each, right, right) / 2
                for each in of.values()
            ]
        )
    )


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    """Play three numbers of questions under two topologies, three repeats each."""
    conditions = [{"n_questions": q, "topology": name} for name in ("full", "intra_class") for q in (3, 1, 2)]
    return play(*experiments(*conditions), seed=2)


@pytest.fixture(scope="module")
def pair(play: Callable[..., Run]) -> Run:
    """Play two topologies, three repeats each."""
    return play(*experiments({"topology": "full"}, {"topology": "intra_class"}, steps=2), seed=2)


@pytest.fixture(scope="module")
def report(run: Run) -> Report:
    """Compute the report of that run."""
    return make_report([run], FIGURELESS)


@pytest.fixture(scope="module")
def part(report: Report) -> InterviewPart:
    """Look its only part up."""
    (only,) = report.parts
    assert isinstance(only, InterviewPart)
    return only


# Numbers by hand


def test_differences_are_within_repeats_and_those_of_the_log(run: Run, part: InterviewPart) -> None:
    ends = np.array([gap_of(run, number, 3) for number in range(18)]).reshape(2, 3, 3)
    within = ends[1] - ends[0]
    found = {each.compared: each.contrast for each in part.study.contrasts if each.kind == "difference"}
    assert list(found) == [f"topology intra_class less full (n questions {q})" for q in (3, 1, 2)]
    for values, each in zip(within, found.values(), strict=True):
        expected = contrast(dict(enumerate(values)))
        assert each.value == pytest.approx(values.mean(), abs=1e-5)
        assert [each.low, each.high] == pytest.approx([expected.low, expected.high], abs=1e-5)
        assert each.p_value == expected.p_value
        assert each.n_repeats == 3


def test_trends_over_a_number_are_kendalls_tau_of_each_repeat(run: Run, part: InterviewPart) -> None:
    ends = np.array([gap_of(run, number, 3) for number in range(18)]).round(6).reshape(2, 3, 3)
    found = {each.compared: each for each in part.study.contrasts if each.kind == "trend"}
    assert list(found) == [
        f"trend with n questions: 1, 2, 3 (topology {name})" for name in ("full", "intra_class")
    ]
    for of_topology, each in zip(ends, found.values(), strict=True):
        taus = [stats.kendalltau([3, 1, 2], values).statistic for values in of_topology.T]
        assert each.contrast.value == pytest.approx(np.nan_to_num(taus).mean())
        assert each.outcome == "gap"


def test_growth_is_the_last_gap_less_the_first_in_each_condition(run: Run, part: InterviewPart) -> None:
    grown = np.array([gap_of(run, number, 3) - gap_of(run, number, 0) for number in range(18)])
    found = numbers(part.study.contrasts, "growth")
    assert list(found) == [condition.name for condition in part.study.conditions]
    assert list(found.values()) == pytest.approx(grown.reshape(6, 3).mean(axis=1).tolist(), abs=1e-5)


def test_more_than_two_classes_are_compared_in_clusters_and_iso_mirror(play: Callable[..., Run]) -> None:
    part = part_of(
        play(
            *experiments(
                {"steps": 1}, {"steps": 2}, {"steps": 4}, models={"a": 2, "b": 1, "c": 2}, n_taught=2
            )
        )
    )
    found = {each.outcome: each for each in part.study.contrasts}
    assert list(found) == ["ari", "n_clusters", "mirror_movement"]
    expected: dict[str, list[float]] = {"ari": [], "n_clusters": [], "mirror_movement": []}
    for repeat in range(3):
        ends: dict[str, list[float]] = {"ari": [], "n_clusters": [], "mirror_movement": []}
        # Of 1, 2 and 4 steps, the last 1, 1 and 2.
        for condition, n in zip(part.study.conditions, (1, 1, 2), strict=True):
            clusters, mirror = condition.played[repeat].clusters, condition.played[repeat].mirror
            assert clusters is not None
            assert mirror is not None
            ends["n_clusters"].append(clusters.n_clusters[-n:].mean())
            ends["ari"].append(np.mean(clusters.agreement[-n:]))
            moves = [abs(one - other) for one, other in pairwise(mirror.curve.tolist())]
            ends["mirror_movement"].append(np.mean(moves[-n:]))
        for outcome, values in ends.items():
            alike = len(set(values)) == 1
            expected[outcome].append(0.0 if alike else stats.kendalltau([1, 2, 4], values).statistic)
    for outcome, taus in expected.items():
        assert found[outcome].contrast.value == pytest.approx(np.mean(taus))
        assert found[outcome].compared == "trend with steps: 1, 2, 4"


@pytest.mark.parametrize(("n_steps", "first"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (31, 16)])
def test_the_last_half_of_the_steps_is_settled(n_steps: int, first: int) -> None:
    assert settled(n_steps) == first


# Where contrasts stand


def test_the_table_the_page_and_the_results_hold_them_with_holm(report: Report, part: InterviewPart) -> None:
    files, _ = files_of(report, made_at=1.8e9)
    rows = list(csv.DictReader(io.StringIO(files["tables/contrasts.csv"].decode())))
    results = json.loads(files["results.json"])["parts"][0]["contrasts"]
    page = files["report.html"].decode()
    assert len(rows) == len(results) == len(part.study.contrasts) == 11
    smallest = min(float(row["p_value"]) for row in rows)
    for each, row, result in zip(part.study.contrasts, rows, results, strict=True):
        assert row["compared"] == each.compared == result["compared"]
        assert float(row["value"]) == each.contrast.value == result["value"]
        for end, told in (("low", each.contrast.low), ("high", each.contrast.high)):
            is_interval = each.contrast.low < each.contrast.high
            assert row[f"interval_{end}"] == (repr(told) if is_interval else "")  # all repeats are alike
            assert result[end] == told
        assert float(row["p_value"]) == each.contrast.p_value == result["p_value"]
        assert float(row["p_value_holm"]) >= min(1.0, 11 * smallest)
        assert int(row["n_repeats"]) == 3
        assert each.compared in page
    assert "squared gap of the classes at the last step" in page
    assert "with Student's t intervals and tests that turn the signs of repeats" in html.unescape(page)


def test_few_repeats_are_said_to_give_no_small_p(part: InterviewPart) -> None:
    few = contrasts_table(part)
    assert few is not None
    assert "The test cannot give less than p = 0.25 with 3 repeats." in few.notes
    assert min(each.contrast.p_value for each in part.study.contrasts) == pytest.approx(0.25)
    enough = tuple(
        replace(each, contrast=replace(each.contrast, n_repeats=10)) for each in part.study.contrasts
    )
    table = contrasts_table(replace(part, study=replace(part.study, contrasts=enough)))
    assert table is not None
    assert not any("cannot give less" in note for note in table.notes)


def test_a_single_repeat_gives_no_contrasts_and_it_is_said(play: Callable[..., Run]) -> None:
    once = play(*experiments({"n_questions": 1}, {"n_questions": 2}, repeats=1, steps=1))
    report = make_report([once], FIGURELESS)
    (part,) = report.parts
    assert isinstance(part, InterviewPart)
    assert part.study.contrasts == ()
    files, results = files_of(report, made_at=1.8e9)
    assert results["parts"][0]["contrasts"] == []
    assert "tables/contrasts.csv" not in files
    page = files["report.html"].decode()
    assert "differences between conditions: they take conditions that differ in one knob" in page
    assert "Conditions were compared within repeats" not in page


# Unfinished and missing


def test_unfinished_realizations_count_in_no_contrast_and_cut_no_mean(pair: Run, tmp_path: Path) -> None:
    begun = changed(
        pair,
        tmp_path / "begun",
        "DELETE FROM events WHERE realization = 1 AND step > 0",
        "UPDATE realizations SET status = 'running' WHERE realization = 1",
    )
    part = part_of(begun)
    ends = np.array([gap_of(pair, number, 2) for number in range(6)]).reshape(2, 3)
    found = {each.compared: each.contrast for each in part.study.contrasts}
    difference = found["topology intra_class less full"]
    assert difference.n_repeats == found["topology full"].n_repeats == 2
    assert difference.value == pytest.approx((ends[1] - ends[0])[[0, 2]].mean(), abs=1e-5)
    assert found["topology intra_class"].n_repeats == 3
    first = part.study.conditions[0]
    assert [each.n_steps for each in first.played] == [3, 1, 3]
    for measured in (first.ratio, first.gap):
        assert measured.series is not None
        assert len(measured.series.value) == 3
    assert first.gap.series is not None
    assert first.gap.series.value[-1] == pytest.approx(ends[0, [0, 2]].mean(), abs=1e-5)
    assert n_clusters(first).shape == (3,)
    table = classes_table(part)
    assert table is not None
    assert [row[list(table.columns).index("n_repeats")] for row in table.rows] == [2, 3]
    assert any("in no mean with finished ones" in note for note in part.notes)


def test_of_conditions_that_are_all_unfinished_the_complete_steps_are_averaged(
    pair: Run, tmp_path: Path
) -> None:
    begun = changed(
        pair,
        tmp_path / "begun",
        "DELETE FROM events WHERE realization = 1 AND step > 1",
        "UPDATE realizations SET status = 'running'",
    )
    part = part_of(begun)
    assert part.study.contrasts == ()
    assert [
        len(condition.gap.series.value) for condition in part.study.conditions if condition.gap.series
    ] == [2, 3]


def test_an_unfinished_condition_takes_no_other_conditions_comparison_away(
    play: Callable[..., Run], tmp_path: Path
) -> None:
    unfinished = "UPDATE realizations SET status = 'running' WHERE realization / 3 = 1"
    words = play(*experiments({"knob": "a"}, {"knob": "<b>"}, {"knob": "c"}, steps=1))
    assert list(numbers(part_of(words).study.contrasts, "difference")) == ["knob <b> less a", "knob c less a"]
    part = part_of(changed(words, tmp_path / "words", unfinished))
    assert list(numbers(part.study.contrasts, "difference")) == ["knob c less a"]
    figures = play(*experiments(*({"knob": number} for number in (1, 2, 3, 0.5)), steps=1))
    part = part_of(changed(figures, tmp_path / "numbers", unfinished))
    assert list(numbers(part.study.contrasts, "trend")) == ["trend with knob: 0.5, 1, 3"]


def test_conditions_are_compared_over_the_questions_that_none_of_them_left_out(
    pair: Run, tmp_path: Path
) -> None:
    (lost,) = pair.rows("SELECT MIN(repeat) FROM events WHERE kind = 'evaluation'")[1][0]
    part = part_of(
        changed(
            pair,
            tmp_path / "missing",
            "UPDATE events SET missing = 'refused', reply = NULL "
            f"WHERE kind = 'evaluation' AND realization = 1 AND step = 1 AND agent = 1 AND repeat = {lost}",
        )
    )
    assert [condition.n_common for condition in part.study.conditions] == [5, 6]
    fair = np.array([gap_of(pair, number, 2, [lost]) for number in range(6)]).reshape(2, 3)
    every = np.array([gap_of(pair, number, 2) for number in range(6)]).reshape(2, 3)
    (found,) = numbers(part.study.contrasts, "difference").values()
    assert found == pytest.approx((fair[1] - fair[0]).mean(), abs=1e-5)
    assert abs(found - (every[1] - fair[0]).mean()) > 1e-3
    # What a condition says of itself is of all questions that it answered.
    grown = every[1] - [gap_of(pair, number, 0) for number in (3, 4, 5)]
    assert numbers(part.study.contrasts, "growth")["topology intra_class"] == pytest.approx(
        grown.mean(), abs=1e-5
    )
    assert any(
        note.startswith("different questions are left out in different realizations") for note in part.notes
    )


def test_answers_that_are_all_alike_are_reported_as_such(pair: Run, tmp_path: Path) -> None:
    alike = changed(pair, tmp_path / "alike", "UPDATE events SET reply = 1 WHERE reply IS NOT NULL")
    report = make_report([alike], FIGURELESS)
    (part,) = report.parts
    assert isinstance(part, InterviewPart)
    assert not part.study.conditions[0].played[0].coordinates.any()
    assert {each.contrast.value for each in part.study.contrasts} == {0.0}
    with house_style():
        drawn = {each.name: each for each in sketches_of("interviews", part)}
    assert drawn["polarization"].unavailable == "Nothing differs along this dimension."
    assert "express 0% and 0%" in drawn["perspective_space"].alternative
    files, _ = files_of(report, made_at=1.8e9)
    json.loads(files["results.json"])


# Which conditions are compared


def a_condition(
    condition: int, *ends: float, questions: tuple[str, ...] = ("q",), **changes: Any
) -> ConditionStudy:
    """Make a condition of finished repeats of two steps, each with its gap at the end, 0 at the start."""
    return ConditionStudy(
        condition,
        f"condition {condition}",
        ("a", "b"),
        tuple(
            Played(
                **{
                    "realization": repeat,
                    "repeat": repeat,
                    "finished": True,
                    "questions": questions,
                    "left_out": {},
                    "coordinates": np.zeros((2, 2, 2)),
                    "explained": (0.0, 0.0),
                    "moved": np.zeros((1, 2)),
                    "mirror": None,
                    "why_no_mirror": "",
                    "clusters": None,
                    "why_no_clusters": "",
                    "reading": None,
                    "gaps": np.array([[0.0] * len(questions), [end] * len(questions)]),
                }
                | changes
            )
            for repeat, end in enumerate(ends)
        ),
        Measured(None),
        Measured(None),
        (),
    )


def compared(
    part: InterviewPart, designs: Sequence[dict[str, Any]], *found: ConditionStudy
) -> tuple[ConditionContrast, ...]:
    """Compare conditions of those designs, all knobs of which are overrides."""
    experiment = {"conditions": designs, "design": designs}
    return contrasts_of(Condition.all_of({"experiment": experiment}), found, **HOW)


def names(found: Iterable[ConditionContrast]) -> list[str]:
    """List what is compared, growth left out."""
    return [each.compared for each in found if each.kind != "growth"]


@pytest.mark.parametrize(
    ("knob", "expected"),
    [
        ([4, 2, 3], ["trend with knob: 2, 3, 4"]),
        ([4, 2], ["knob 4 less 2"]),
        ([None, 1, 2], ["knob 1 less none", "knob 2 less none"]),
        ([True, False], ["knob false less true"]),
        ([0, False], ["knob false less 0"]),
        ([[1, 2], [3]], ["knob 3 less 1, 2"]),
        ([{"a": 1}, {"a": 2}], ["knob a: 2 less a: 1"]),
        (["x"], []),
    ],
)
def test_numbers_have_trends_and_everything_else_differences_to_the_first(
    part: InterviewPart, knob: list[Any], expected: list[str]
) -> None:
    designs = [{"knob": value} for value in knob]
    assert names(compared(part, designs, *(a_condition(i, 1.0, 2.0) for i in range(len(knob))))) == expected


def test_conditions_that_differ_in_two_knobs_are_not_compared(part: InterviewPart) -> None:
    designs = [{"x": 1, "y": "/a/bank"}, {"x": 2, "y": "/b/bank"}, {"x": 2, "y": "/a/bank"}]
    found = compared(part, designs, *(a_condition(i, float(i), i + 1.0) for i in range(3)))
    # In words, both banks are .../bank: what they are decides, not what they are called.
    assert [(each.compared, each.contrast.value) for each in found if each.kind != "growth"] == [
        ("x 2 less 1 (y .../bank)", 2.0),
        ("y .../bank less .../bank (x 2)", 1.0),
    ]


def test_a_knob_that_a_condition_does_not_override_has_its_value_by_design(part: InterviewPart) -> None:
    experiment = {"conditions": [{}, {"x": 5}], "design": [{"x": 1}, {"x": 5}]}
    known = Condition.all_of({"experiment": experiment})
    found = contrasts_of(known, [a_condition(0, 1.0, 2.0), a_condition(1, 4.0, 4.0)], **HOW)
    assert numbers(found, "difference") == {"x 5 less 1": 2.5}


def test_what_a_condition_cannot_say_is_not_compared(part: InterviewPart) -> None:
    designs = [{"x": "a"}, {"x": "b"}, {"x": "c"}]
    good = [a_condition(0, 1.0, 2.0), a_condition(2, 3.0, 5.0)]
    only_others = ["x c less a"]
    # One class in a condition; no question left in it; another repeat than the others'.
    assert (
        names(compared(part, designs, good[0], a_condition(1, 1.0, 1.0, gaps=None), good[1])) == only_others
    )
    assert names(compared(part, designs, good[0], a_condition(1), good[1])) == only_others
    assert names(compared(part, designs, good[0], a_condition(1, 1.0, repeat=7), good[1])) == only_others
    ready = [a_condition(i, 1.0, repeat=i) for i in range(3)]
    assert names(compared(part, [{"x": i} for i in range(3)], *ready)) == []


def test_models_that_were_asked_once_cannot_have_grown_apart(part: InterviewPart) -> None:
    once: dict[str, Any] = {"coordinates": np.zeros((1, 2, 2)), "gaps": np.ones((1, 1))}
    found = compared(
        part, [{"x": 1}, {"x": 2}], a_condition(0, 1.0, 1.0, **once), a_condition(1, 1.0, 1.0, **once)
    )
    assert numbers(found, "growth") == {}
    assert numbers(found, "difference") == {"x 2 less 1": 0.0}
    once["gaps"] = None
    assert (
        compared(part, [{"x": 1}, {"x": 2}], a_condition(0, 1.0, **once), a_condition(1, 1.0, **once)) == ()
    )


def test_without_classes_clusters_and_mirror_of_the_last_half_are_compared(part: InterviewPart) -> None:
    def moving(speed: float) -> dict[str, Any]:
        # Step 0 and four more: what happens from step 3 on counts.
        labels, agreement = np.zeros((5, 2), dtype=np.int64), np.array([9.0, 9.0, speed, 3 * speed])
        clusters = Clusters(labels, labels[:, 0] + 1, np.zeros((5, 1)), agreement, 0.0)
        curve = np.array([0.0, 50.0, -50.0, -50.0 + speed, -50.0])
        mirror = IsoMirror(curve, curve[:, None], np.zeros((5, 5)), 1)
        return {"coordinates": np.zeros((5, 2, 2)), "gaps": None, "clusters": clusters, "mirror": mirror}

    found = compared(
        part,
        [{"x": "slow"}, {"x": "fast"}],
        a_condition(0, 0, 0, **moving(0.25)),
        a_condition(1, 0, 0, **moving(0.5)),
    )
    assert {each.outcome: each.contrast.value for each in found} == {
        "ari": 0.5,
        "n_clusters": 0.0,
        "mirror_movement": 0.25,
    }


# Conditions that look alike


def test_alike_conditions_stay_conditions_of_their_own(play: Callable[..., Run]) -> None:
    run = play(*experiments({"knob": 0}, {"knob": False}, {"knob": 0}, steps=1, repeats=2))
    part = part_of(run)
    assert [condition.name for condition in part.study.conditions] == [
        "knob 0 (1)",
        "knob false",
        "knob 0 (2)",
    ]
    assert [[each.realization for each in condition.played] for condition in part.study.conditions] == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]
