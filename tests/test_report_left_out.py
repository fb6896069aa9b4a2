"""Where answers are missing, a realization loses those questions, and no other realization does."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet import InterviewExperiment
from agentnet.analysis import perspectives
from agentnet.analysis.answers import embed_answers
from agentnet.analysis.played import Played, to_leave_out
from agentnet.analysis.study import Measured
from agentnet.embedder import make_embedder
from agentnet.events import Run
from agentnet.interviews import Question
from agentnet.report import Options, Report, make_report
from agentnet.report.figures.of_conditions import shown_repeats
from agentnet.report.figures.places import paths_sketch, space_sketch
from agentnet.report.figures.style import house_style
from agentnet.report.figures.system import chart_sketch, cluster_sketch, mirror_sketch
from agentnet.report.figures.two_classes import gap_sketch
from agentnet.report.interviews_part import InterviewPart
from agentnet.report.write import files_of

LEFT, RIGHT = [0, 1, 2], [3, 4]
N_QUESTIONS = 6
FIGURELESS = Options(figures=False, n_bootstrap=40, n_decisions=2)
OWN = "; each repeat over its own questions"

Lost = Mapping[int, Sequence[int]]
"""Realization -> places of the questions to which an answer is missing."""


class Own(InterviewExperiment):
    """Models of two topics."""

    def load_questions(self) -> tuple[Question, ...]:
        """Make questions of each class's topic."""
        words = ["rose", "apple", "fire", "river", "stone", "cloud", "night", "storm"]
        return tuple(
            Question(f"{topic}-{i}", topic, f"{topic} {i}?", words[(i + 3 * place) % 8])
            for place, topic in enumerate(self.models)
            for i in range(6)
        )


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    """Play two conditions of three repeats of two classes, without a missing answer."""
    design: dict[str, Any] = {"n_evaluation": 3, "n_questions": 2, "n_taught": 4, "steps": 3, "repeats": 3}
    base = Own(models={"left": 3, "right": 2}, **design)
    return play(*(base.under({"topology": name}) for name in ("full", "intra_class")), seed=4)


@pytest.fixture(scope="module")
def blocks(run: Run) -> np.ndarray[Any, Any]:
    """Embed all answers, shape (realizations, steps, models, questions, dims)."""
    found = asyncio.run(embed_answers(run, make_embedder("hash", {})))
    return np.stack([each.array() for each in found]).astype(float)


@pytest.fixture(scope="module")
def untouched(run: Run) -> InterviewPart:
    """Compute what a report says of the run as it was played."""
    return part_of(make_report([run], FIGURELESS))


@pytest.fixture
def losing(run: Run, tmp_path: Path) -> Callable[..., Run]:
    """Copy the run, with answers missing to questions of realizations, and other statements carried out."""

    def lose(lost: Lost, *statements: str) -> Run:
        folder = tmp_path / "lost"
        shutil.copytree(run.folder, folder)
        with closing(sqlite3.connect(folder / run.path.name)) as connection, connection:
            connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
            for realization, places in lost.items():
                connection.execute(
                    "UPDATE events SET missing = 'refused', reply = NULL WHERE kind = 'evaluation' "
                    "AND realization = ? AND step = 1 AND agent = 1 "
                    "AND repeat IN (SELECT value FROM json_each(?))",
                    (realization, json.dumps([numbers_of(run)[place] for place in places])),
                )
            for statement in statements:
                connection.execute(statement)
        return Run(folder)

    return lose


def numbers_of(run: Run) -> list[int]:
    """List the numbers by which the log knows the questions of the evaluation set."""
    query = "SELECT DISTINCT repeat FROM events WHERE kind = 'evaluation' ORDER BY repeat"
    return [number for (number,) in run.rows(query)[1]]


def part_of(report: Report) -> InterviewPart:
    (part,) = report.parts
    assert isinstance(part, InterviewPart)
    return part


def but(*places: int) -> list[int]:
    """List the questions other than some."""
    return [place for place in range(N_QUESTIONS) if place not in places]


def squared_of(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return perspectives.squared_distances(block.astype(np.float32), per_prompt=True)


def gap_of(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Compute the squared gap of a realization at each step, of all its questions."""
    return perspectives.gaps(perspectives.within_steps(squared_of(block), 5), LEFT, RIGHT)


def ratio_of(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Compute the polarization of a realization, of all its questions."""
    line = perspectives.classical_scaling(squared_of(block), 2).by_step(5)[:, :, 0]
    return perspectives.polarization(line, LEFT, RIGHT)


def series_of(measured: Measured) -> perspectives.Series:
    assert measured.series is not None
    return measured.series


def contrasts(part: InterviewPart) -> dict[str, float]:
    return {each.compared: each.contrast.value for each in part.study.contrasts}


def test_each_realization_keeps_the_questions_that_only_others_lack(
    losing: Callable[..., Run], blocks: np.ndarray[Any, Any], untouched: InterviewPart
) -> None:
    lost = {0: [0], 1: [1, 4]}
    part = part_of(make_report([losing(lost)], FIGURELESS))
    every = [each for condition in part.study.conditions for each in condition.played]
    assert [len(each.questions) for each in every] == [5, 4, 6, 6, 6, 6]
    assert [list(each.left_out.values()) for each in every[:3]] == [["refused"], ["refused"] * 2, []]
    for each in every:
        kept = blocks[each.realization][:, :, but(*lost.get(each.realization, []))]
        scaled = perspectives.classical_scaling(squared_of(kept), 2).by_step(5)
        np.testing.assert_allclose(each.coordinates, scaled, atol=1e-6)
        np.testing.assert_allclose(each.moved, perspectives.moves(squared_of(kept), 5), atol=1e-9)
        assert each.gaps is not None
        np.testing.assert_allclose(each.gaps.mean(axis=1), gap_of(kept), atol=1e-6)
    # The other realizations, and the condition in which nothing is missing, are as they would be without.
    np.testing.assert_array_equal(every[2].coordinates, untouched.study.conditions[0].played[2].coordinates)
    np.testing.assert_array_equal(
        series_of(part.study.conditions[1].gap).low, series_of(untouched.study.conditions[1].gap).low
    )
    first = blocks[0][:, 3][:, but(0)].astype(np.float32)
    expected = perspectives.change_test(first[0], first[-1], kind="shift")
    assert part.study.conditions[0].tests[3].change == pytest.approx(expected.change)
    assert part.study.conditions[0].tests[3].p_value == expected.p_value


@pytest.mark.parametrize("lost", [{0: [0], 1: [1]}, {0: [0, 1], 1: [1, 2]}])
def test_repeats_are_averaged_over_common_questions_if_these_are_half_of_all(
    losing: Callable[..., Run], blocks: np.ndarray[Any, Any], lost: Lost
) -> None:
    part = part_of(make_report([losing(lost)], FIGURELESS))
    common = but(*{place for places in lost.values() for place in places})
    assert len(common) >= 3
    condition = part.study.conditions[0]
    assert condition.n_common == len(common)
    kept = blocks[:, :, :, common]
    for measured, compute in ((condition.gap, gap_of), (condition.ratio, ratio_of)):
        series = series_of(measured)
        np.testing.assert_allclose(
            series.value, np.mean([compute(kept[i]) for i in range(3)], axis=0), atol=1e-5
        )
        assert series.over == "both"
        assert measured.note == ""
    grown = np.mean([gap_of(kept[i])[-1] - gap_of(kept[i])[0] for i in range(3)])
    apart = np.mean([gap_of(kept[i + 3])[-1] - gap_of(kept[i])[-1] for i in range(3)])
    found = contrasts(part)
    assert found["topology full"] == pytest.approx(grown, abs=1e-5)
    assert found["topology intra_class less full"] == pytest.approx(apart, abs=1e-5)
    note = next(each for each in part.notes if each.startswith("topology full"))
    assert f"gap are over the {len(common)} that all averaged repeats answered in full" in note


def test_else_each_repeat_is_measured_over_its_own_questions_and_repeats_alone_are_drawn(
    losing: Callable[..., Run], blocks: np.ndarray[Any, Any]
) -> None:
    lost = {0: [0, 1], 1: [2, 3]}
    part = part_of(make_report([losing(lost)], FIGURELESS))
    condition = part.study.conditions[0]
    assert condition.n_common is None
    own = [blocks[i][:, :, but(*lost.get(i, []))] for i in range(6)]
    for measured, compute in ((condition.gap, gap_of), (condition.ratio, ratio_of)):
        series = series_of(measured)
        values = np.stack([compute(own[i]) for i in range(3)])
        # Each repeat is one sum, so that draws of repeats are draws of their values.
        expected = perspectives.bootstrap(values[:, :, None], over="runs", n_bootstrap=40)
        assert series.over == "runs"
        for name in ("value", "low", "high"):
            np.testing.assert_allclose(getattr(series, name), getattr(expected, name), atol=1e-5)
        assert measured.has_interval
        assert measured.note.endswith("its own, and the interval draws repeats alone")
    ends = np.array([[gap_of(each)[0], gap_of(each)[-1]] for each in own])
    found = contrasts(part)
    assert list(found) == [
        f"topology full{OWN}",
        "topology intra_class",
        f"topology intra_class less full{OWN}",
    ]
    assert found[f"topology full{OWN}"] == pytest.approx((ends[:3, 1] - ends[:3, 0]).mean(), abs=1e-5)
    apart = (ends[3:, 1] - ends[:3, 1]).mean()
    assert found[f"topology intra_class less full{OWN}"] == pytest.approx(apart, abs=1e-5)


def test_a_start_is_clear_if_each_repeats_own_questions_say_so(losing: Callable[..., Run]) -> None:
    # Each class gives an answer of its own to everything.
    apart = (
        "UPDATE events SET reply = 1 + (agent > 2) "
        "WHERE kind = 'evaluation' AND realization < 3 AND missing IS NULL"
    )
    part = part_of(make_report([losing({0: [0, 1], 1: [2, 3]}, apart)], FIGURELESS))
    assert part.study.conditions[0].n_common is None
    assert series_of(part.study.conditions[0].ratio).clear_start
    assert not any("topology full: the classes are not" in note for note in part.notes)


def test_a_repeat_of_one_question_is_not_known_to_be_apart_at_the_start(losing: Callable[..., Run]) -> None:
    part = part_of(make_report([losing({0: [0, 1, 2, 3, 4]})], FIGURELESS))
    assert len(part.study.conditions[0].played[0].questions) == 1
    assert not series_of(part.study.conditions[0].ratio).clear_start
    assert any("not clearly apart at step 0" in note for note in part.notes)
    # It has no test either: swaps of one question say nothing.
    assert part.study.conditions[0].tests == ()


def test_repeats_that_start_alike_have_a_gap_and_no_polarization(losing: Callable[..., Run]) -> None:
    alike = (
        "UPDATE events SET reply = 1 "
        "WHERE kind = 'evaluation' AND realization = 0 AND step = 0 AND missing IS NULL"
    )
    condition = part_of(make_report([losing({0: [0, 1], 1: [2, 3]}, alike)], FIGURELESS)).study.conditions[0]
    assert condition.ratio.series is None
    assert "coincide at step 0" in condition.ratio.note
    assert series_of(condition.gap).over == "runs"


def test_models_of_one_class_lose_questions_as_well(losing: Callable[..., Run]) -> None:
    part = part_of(
        make_report([losing({0: [0, 1], 1: [2, 3]}, "UPDATE models SET class = 'left'")], FIGURELESS)
    )
    assert [len(each.questions) for each in part.study.conditions[0].played] == [4, 4, 6]
    (note,) = [each for each in part.notes if each.startswith("topology full")]
    assert note.endswith("of 6 questions, 4 to 6 are left in each realization")
    # Clusters and iso-mirrors are of each realization alone: there is no word of questions.
    assert "topology intra_class less full" in contrasts(part)
    assert not any(compared.endswith(OWN) for compared in contrasts(part))


def test_without_draws_there_is_no_interval_of_own_questions(losing: Callable[..., Run]) -> None:
    options = replace(FIGURELESS, n_bootstrap=0)
    condition = part_of(make_report([losing({0: [0, 1], 1: [2, 3]})], options)).study.conditions[0]
    for measured in (condition.gap, condition.ratio):
        assert not measured.has_interval
        assert measured.note.endswith("over its own; no interval was asked for (0 bootstrap draws)")
        assert not series_of(measured).clear_start


def test_page_tables_and_results_say_what_is_left_out_of_which_realization(
    losing: Callable[..., Run],
) -> None:
    report = make_report([losing({0: [0, 1], 1: [2, 3], 5: [3]})], FIGURELESS)
    part = part_of(report)
    files, results = files_of(report, made_at=1.8e9)
    every = [each for condition in part.study.conditions for each in condition.played]
    expected = [
        (condition.name, str(each.realization), str(each.repeat), question, why)
        for condition in part.study.conditions
        for each in condition.played
        for question, why in each.left_out.items()
    ]
    assert len(expected) == 5

    def rows(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(files[f"tables/{name}.csv"].decode())))

    assert [tuple(row.values()) for row in rows("questions_left_out")] == expected
    counts = [tuple(row.values()) for row in rows("left_out")]
    assert counts == [
        ("topology full", "6", "4", "6", "", "refused: 4"),
        ("topology intra_class", "6", "5", "6", "5", "refused: 1"),
    ]
    assert [int(row["n_questions"]) for row in rows("realizations")] == [
        len(each.questions) for each in every
    ]
    assert [row["n_used"] for row in rows("conditions")] == ["", "5"]
    first, second = results["parts"][0]["conditions"]
    assert [first["n_questions"], second["n_questions"]] == [None, 5]
    assert first["left_out"] == {str(each.realization): dict(each.left_out) for each in every[:2]}
    assert list(second["left_out"]) == ["5"]
    assert "fewer than half" in first["gap"]["note"]
    assert first["gap"]["over"] == "runs"
    page = files["report.html"].decode()
    for said in (
        "of 6 questions, 4 to 6 are left in each realization; polarization and gap: fewer than half of the",
        "of 6 questions, 5 to 6 are left in each realization; polarization and gap are over the 5 that",
        "ifferent questions are left out in different realizations",
        "Questions left out, as an answer is missing",
        "refused: 4",
        "each repeat over its own questions",
    ):
        assert said in page
    with house_style():
        caption = gap_sketch(part).caption
    assert "Up to 2 questions of a realization are left out" in caption
    assert "draws of repeats and repeats and prompts" in caption
    assert "each repeat is measured over its own" in caption


def test_without_missing_answers_nothing_is_said_of_questions_left_out(
    run: Run, untouched: InterviewPart
) -> None:
    files, results = files_of(make_report([run], FIGURELESS), made_at=1.8e9)
    assert not {"tables/left_out.csv", "tables/questions_left_out.csv"} & set(files)
    assert [condition["left_out"] for condition in results["parts"][0]["conditions"]] == [{}, {}]
    assert [condition["n_questions"] for condition in results["parts"][0]["conditions"]] == [6, 6]
    assert not any("left" in note for note in untouched.notes)


# The rule by itself


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (["abcd", "abcd"], ""),
        (["abc", "bcd"], "ad"),
        (["ab", "cd"], None),
        (["a", "a"], "bcd"),
        (["a"], "bcd"),
        (["abcd", "a"], None),
        (["ab", "abc"], "cd"),
    ],
)
def test_common_questions_count_from_half_on_or_if_nobody_loses_by_them(
    untouched: InterviewPart, kept: list[str], expected: str | None
) -> None:
    found = to_leave_out(answering(untouched, own) for own in kept)
    assert found == (None if expected is None else frozenset(expected))


def answering(part: InterviewPart, own: str) -> Played:
    """Make a realization that answered some of four questions."""
    left_out = {name: "refused" for name in "abcd" if name not in own}
    return replace(part.study.conditions[0].played[0], questions=tuple(own), left_out=left_out)


# Which realization is shown


def test_figures_of_one_realization_show_the_first_finished_one_and_say_which(
    losing: Callable[..., Run], untouched: InterviewPart
) -> None:
    begun = losing(
        {},
        "DELETE FROM events WHERE realization = 0 AND step > 1",
        "UPDATE realizations SET status = 'running' WHERE realization = 0",
    )
    part = part_of(make_report([begun], FIGURELESS))
    shown = part.study.conditions[0].shown
    assert shown.repeat == 1
    assert part.study.conditions[0].tests == replaced_tests(untouched, begun)
    said = "repeat 1 of topology full, and repeat 0 of topology intra_class"
    with house_style():
        sketches = [make(part) for make in (space_sketch, paths_sketch, mirror_sketch, chart_sketch)]
        clusters = cluster_sketch(part)
    for sketch in sketches:
        assert said in sketch.caption
    assert clusters.figure is not None
    assert sketches[1].figure is not None
    (line,) = [
        line
        for line in sketches[1].figure.axes[0].get_lines()
        if str(line.get_label()).startswith("left: mean of 3")
    ]
    np.testing.assert_allclose(line.get_ydata(), shown.coordinates[:, LEFT, 0].mean(axis=1))
    assert (
        f"share, in {said}."
        in files_of(make_report([begun], FIGURELESS), made_at=1.8e9)[0]["report.html"].decode()
    )


def replaced_tests(untouched: InterviewPart, run: Run) -> tuple[perspectives.ChangeTest, ...]:
    """Test the models of realization 1 for a change, from the log."""
    (found,) = asyncio.run(embed_answers(run, make_embedder("hash", {}), [1]))
    first, last = found.load(0), found.load(found.n_steps - 1)
    return tuple(
        perspectives.change_test(first[model], last[model], kind="shift")
        for model in range(len(untouched.study.conditions[0].classes))
    )


def test_where_nothing_is_finished_the_first_that_began_is_shown_as_such(untouched: InterviewPart) -> None:
    def begun(number: int) -> Any:
        condition = untouched.study.conditions[number]
        return replace(condition, played=tuple(replace(each, finished=False) for each in condition.played))

    assert shown_repeats(untouched.study.conditions) == "repeat 0 of each condition"
    assert shown_repeats([begun(0), begun(1)]) == "repeat 0 (not finished) of each condition"
    assert shown_repeats([begun(0), untouched.study.conditions[1]]) == (
        "repeat 0 (not finished) of topology full, and repeat 0 of topology intra_class"
    )
