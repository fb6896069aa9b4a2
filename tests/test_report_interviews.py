"""Reports of interacting models: what is drawn is what was computed, labels stand everywhere, gaps are "
"said."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agentnet import InterviewExperiment, ResponseRatioExperiment
from agentnet.analysis import perspectives
from agentnet.analysis.answers import embed_answers
from agentnet.analysis.contrasts import holm
from agentnet.analysis.study import ConditionStudy, Measured
from agentnet.backend import make_backend
from agentnet.config import EngineSettings, LogSettings, Settings, StackSettings
from agentnet.embedder import make_embedder
from agentnet.events import Run
from agentnet.events.conditions import condition_names
from agentnet.experiment import Source
from agentnet.interviews import Disruption, Local, Question, Reading, Topology, Vulnerable, full
from agentnet.report import Options, Report, make_report
from agentnet.report.figures.places import paths_sketch, space_sketch
from agentnet.report.figures.sketch import Sketch, sketches_of
from agentnet.report.figures.style import house_style
from agentnet.report.figures.system import agreement, chart_sketch, cluster_sketch, mirror_sketch, n_clusters
from agentnet.report.figures.two_classes import gap_sketch, ratio_of_classes_sketch
from agentnet.report.figures.words import spelled
from agentnet.report.interviews_part import InterviewPart
from agentnet.report.interviews_tables import classes_table
from agentnet.report.write import files_of
from agentnet.runner import Runner, create
from agentnet.runner.prepare import assemble

MADE_AT = 1.8e9
EVIL = "<script>alert(1)</script> \u202e& name?"
LABEL = "not from a language model"

SMALL: dict[str, Any] = {
    "models": {"left": 3, "right": 2},
    "n_evaluation": 3,
    "n_questions": 2,
    "n_taught": 4,
    "steps": 4,
}


class Own(InterviewExperiment):
    """Models of two topics, with questions that try to be markup."""

    def load_questions(self) -> tuple[Question, ...]:
        """Make questions."""
        words = {"left": "red rose apple fire", "right": "sea sky night ice"}
        return tuple(
            Question(f"{topic}-{i}", topic, f"{EVIL} {topic} {i}", words[topic].split()[i % 4])
            for topic in words
            for i in range(6)
        )


def played(folder: Path, *experiments: InterviewExperiment) -> Run:
    """Play experiments on the stand-in, as the conditions of one run."""
    settings = Settings(
        seed=1,
        runs=folder,
        stack=StackSettings(cache=False),
        engine=EngineSettings(),
        log=LogSettings(parquet=False),
    )
    prepared = assemble(experiments, settings, folder / "run")
    create(prepared, Source(Path("made_by_a_test.py"), ""), backend="test", model_name="log-linear")
    asyncio.run(Runner(prepared, make_backend("mock", {})).play())
    return Run(prepared.folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Play two conditions of two repeats of two classes."""
    base = Own(repeats=2, **SMALL)
    conditions = [base.under({"topology": name}) for name in ("full", "intra_class")]
    return played(tmp_path_factory.mktemp("two"), *conditions)


@pytest.fixture(scope="module")
def report(run: Run) -> Report:
    """Compute the report of that run, without figures."""
    return make_report([run], Options(figures=False, n_bootstrap=20, n_decisions=20))


@pytest.fixture(scope="module")
def part(report: Report) -> InterviewPart:
    """Look its only part up."""
    (only,) = report.parts
    assert isinstance(only, InterviewPart)
    return only


def page_of(report: Report) -> str:
    return files_of(report, made_at=MADE_AT)[0]["report.html"].decode()


def drawn(make: Callable[[InterviewPart], Sketch], part: InterviewPart) -> Any:
    with house_style():
        sketch = make(part)
    assert sketch.figure is not None, sketch.unavailable
    return sketch.figure.axes


def curve(axes: Any, label: str) -> np.ndarray[Any, Any]:
    (line,) = [line for line in axes.get_lines() if str(line.get_label()).startswith(label)]
    return np.asarray(line.get_ydata())


def restudied(part: InterviewPart, **changes: Any) -> InterviewPart:
    """Change what a part's study found."""
    return replace(part, study=replace(part.study, **changes))


def condition_with(part: InterviewPart, **changes: Any) -> InterviewPart:
    """Keep the first condition, with the first realization changed."""
    condition = part.study.conditions[0]
    return restudied(
        part, conditions=(replace(condition, played=(replace(condition.played[0], **changes),)),)
    )


@pytest.fixture(scope="module")
def blocks(run: Run) -> np.ndarray[Any, Any]:
    """Embed the answers of both repeats of the first condition, (repeats, steps, models, questions, dims)."""
    found = asyncio.run(embed_answers(run, make_embedder("hash", {}), [0, 1]))
    return np.stack([each.array() for each in found])


# What is drawn.


def test_paths_are_the_first_coordinate_of_the_scaling_of_all_models_at_all_steps(
    part: InterviewPart, blocks: np.ndarray[Any, Any]
) -> None:
    squared = perspectives.squared_distances(blocks[0], per_prompt=True)
    line = perspectives.classical_scaling(squared, 2).by_step(5)[:, :, 0]
    axes = drawn(paths_sketch, part)[0]
    np.testing.assert_allclose(curve(axes, "left: mean of 3"), line[:, :3].mean(axis=1))
    np.testing.assert_allclose(curve(axes, "right: mean of 2"), line[:, 3:].mean(axis=1))
    thin = [np.asarray(each.get_ydata()) for each in axes.get_lines() if each.get_linewidth() == 0.6]
    assert sorted(map(tuple, thin)) == sorted(
        map(tuple, part.study.conditions[0].played[0].coordinates[:, :, 0].T)
    )


def test_the_space_shows_every_model_at_the_first_and_the_last_step(part: InterviewPart) -> None:
    axes = drawn(space_sketch, part)[1]
    places = part.study.conditions[1].played[0].coordinates
    np.testing.assert_array_equal(curve(axes, "left, step 0"), places[0, :3, 1])
    np.testing.assert_array_equal(curve(axes, "right, last step"), places[-1, 3:, 1])


def test_mirror_and_clusters_are_those_of_the_numerics(part: InterviewPart) -> None:
    places = part.study.conditions[0].played[0].coordinates
    (axes,) = drawn(mirror_sketch, part)
    np.testing.assert_array_equal(curve(axes, "topology full"), perspectives.iso_mirror(places).curve)
    found = [
        perspectives.find_clusters(each.coordinates[:, :, :1]) for each in part.study.conditions[1].played
    ]
    upper, lower = drawn(cluster_sketch, part)
    label = "topology intra_class"
    np.testing.assert_allclose(curve(upper, label), np.mean([each.n_clusters for each in found], axis=0))
    np.testing.assert_allclose(curve(lower, label), np.mean([each.agreement for each in found], axis=0))
    assert n_clusters(part.study.conditions[0]).shape == (5,)
    assert agreement(part.study.conditions[0]).shape == (4,)


def test_polarization_is_the_mean_over_repeats_of_the_ratio_of_differences(part: InterviewPart) -> None:
    paths = np.stack([each.coordinates[:, :, 0] for each in part.study.conditions[0].played])
    expected = perspectives.polarization(paths, [0, 1, 2], [3, 4]).mean(axis=0)
    axes = drawn(ratio_of_classes_sketch, part)[0]
    np.testing.assert_allclose(curve(axes, "mean over repeats"), expected, atol=1e-6)
    assert part.study.conditions[0].ratio.series is not None
    assert part.study.conditions[0].ratio.series.over == "both"


def test_the_gap_is_the_unbiased_one_in_the_full_space(
    part: InterviewPart, blocks: np.ndarray[Any, Any]
) -> None:
    tables = [
        perspectives.within_steps(perspectives.squared_distances(each, per_prompt=True), 5) for each in blocks
    ]
    expected = perspectives.gaps(np.stack(tables), [0, 1, 2], [3, 4]).mean(axis=0)
    axes = drawn(gap_sketch, part)[0]
    np.testing.assert_allclose(curve(axes, "mean over repeats"), expected, atol=1e-5)
    series = part.study.conditions[0].gap.series
    assert series is not None
    (band,) = axes.collections
    ends = band.get_paths()[0].vertices[:, 1]
    assert ends.min() == pytest.approx(series.low.min())
    assert ends.max() == pytest.approx(series.high.max())


def test_the_chart_shows_moves_and_an_alarm_where_there_is_one(part: InterviewPart) -> None:
    first = part.study.conditions[0].played[0]
    assert first.reading is not None
    calm = condition_with(part, reading=replace(first.reading, alarm=None, changed=None, direction=None))
    axes = drawn(chart_sketch, calm)[0]
    np.testing.assert_allclose(curve(axes, "move"), first.moved.mean(axis=1))
    assert not [line for line in axes.get_lines() if line.get_label() == "alarm"]
    loud = condition_with(part, reading=replace(first.reading, alarm=2, changed=1, direction="up"))
    axes = drawn(chart_sketch, loud)[0]
    (alarm,) = [line for line in axes.get_lines() if line.get_label() == "alarm"]
    assert list(alarm.get_xdata()) == [3, 3]
    assert "an alarm at step 3, moves went up, from about step 2 on" in chart_sketch(loud).alternative
    assert "no alarm" in chart_sketch(calm).alternative


def test_a_model_changed_as_the_test_of_its_first_and_last_answers_says(
    part: InterviewPart, blocks: np.ndarray[Any, Any]
) -> None:
    expected = perspectives.change_test(blocks[0, 0, 1], blocks[0, -1, 1], kind="shift")
    assert part.study.conditions[0].tests[1] == expected


def test_p_values_looked_at_together_are_adjusted_and_never_fall() -> None:
    assert holm([0.2, 0.01, 0.2]) == [0.4, 0.03, 0.4]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


# Turns.


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> InterviewPart:
    """Compute the part of two conditions, in the second of which all but one neighbour are lost at step 3."""

    class Turned(Own):
        lost: bool = False

        def make_topology(self) -> Topology:
            return Disruption(3, before=full, after=Local(1)) if self.lost else full

    base = Turned(repeats=1, **SMALL)
    run = played(tmp_path_factory.mktemp("turned"), *(base.under({"lost": lost}) for lost in (False, True)))
    (only,) = make_report([run], Options(figures=False, n_bootstrap=5, n_decisions=0)).parts
    assert isinstance(only, InterviewPart)
    return only


def dotted(axes: Any) -> list[float]:
    """List where upright dotted lines stand."""
    found = [line for line in axes.get_lines() if list(line.get_xdata()) == [line.get_xdata()[0]] * 2]
    return [float(line.get_xdata()[0]) for line in found if line.get_linestyle() == "--"]


def test_the_step_of_a_disruption_is_marked_in_every_figure_over_time(
    turned: InterviewPart, part: InterviewPart
) -> None:
    for make in (paths_sketch, gap_sketch, ratio_of_classes_sketch):
        first, second = drawn(make, turned)
        assert (dotted(first), dotted(second)) == ([], [3.0])
    for make in (mirror_sketch, cluster_sketch):
        assert [dotted(axes) for axes in drawn(make, turned)] == [[3.0]] * len(drawn(make, turned))
    with house_style():
        for make in (paths_sketch, gap_sketch, mirror_sketch, cluster_sketch):
            assert "Dotted lines: from that step on models had other numbers" in make(turned).caption
            assert "lost true: step 3" in make(turned).caption
            assert "Dotted lines" not in make(part).caption
        assert "Dotted lines" not in space_sketch(turned).caption


def test_the_step_of_a_disruption_is_among_what_was_found(turned: InterviewPart, part: InterviewPart) -> None:
    said = "lost true: from step 3 on a model may interview 1 of the others on average, 4 at the step before"
    assert said in list(turned.findings(0.95))
    assert said.capitalize() in turned.summary(0.95)
    assert "may interview" not in part.summary(0.95)


def test_candidates_that_change_at_every_other_step_are_no_turn(tmp_path: Path) -> None:
    class Attacked(Own):
        def make_topology(self) -> Topology:
            return Vulnerable(adversary=4, targets=1)

    run = played(tmp_path, Attacked(**SMALL | {"steps": 6}))
    counts = run.query("SELECT step, AVG(n_candidates) AS n FROM interviews GROUP BY step ORDER BY step").n
    assert (np.diff(counts) != 0).sum() > 2
    (only,) = make_report([run], Options(figures=False, n_bootstrap=0, n_decisions=0)).parts
    assert only.facts.turns == {}


# Labels.


def test_what_the_stand_in_says_is_labelled_in_every_figure_table_and_summary(
    report: Report, part: InterviewPart
) -> None:
    with house_style():
        sketches = list(sketches_of("interviews", part))
    assert [sketch.number for sketch in sketches] == ["2", "6", "3", "4", "6", "", ""]
    for sketch in sketches:
        assert "(stand-in)" in sketch.title
        assert LABEL in sketch.caption.split(".")[0]
        assert LABEL in sketch.alternative.split(".")[0]
        assert part.study.embedder in sketch.caption
        assert sketch.figure is not None
        assert LABEL in sketch.figure.get_supxlabel()
    files, results = files_of(report, made_at=MADE_AT)
    page = files["report.html"].decode()
    for start, end in (("<title>", "</title>"), ("<h1>", "</h1>"), ("<h2>", "</h2>")):
        assert LABEL in page.partition(start)[2].partition(end)[0]
    assert LABEL in results["parts"][0]["summary"].split(".")[0]
    assert LABEL in results["parts"][0]["methods"].split(".")[0]
    assert LABEL in results["parts"][0]["label"]
    for name in ("perspectives", "series", "realizations", "two_classes", "changes", "answers"):
        head, *lines = files[f"tables/{name}.csv"].decode().splitlines()
        assert head.endswith('"label"')
        assert lines
        assert LABEL in lines[-1]


def test_another_label_stands_in_titles_word_for_word_and_none_leaves_no_trace(part: InterviewPart) -> None:
    with house_style():
        other = mirror_sketch(restudied(part, label="a rehearsal"))
        none = mirror_sketch(restudied(part, label=""))
    assert other.title.endswith("(a rehearsal)")
    assert none.title == "Iso-mirror: how the system as a whole moves"
    assert none.caption.startswith("Figure 3 (right)")
    assert none.figure is not None
    assert none.figure.get_supxlabel() == ""


# The page.


def test_checklists_say_what_is_left_to_the_author(report: Report) -> None:
    files, _ = files_of(report, made_at=MADE_AT)
    guide, odd = (
        pd.read_csv(io.BytesIO(files[f"tables/{name}.csv"]), dtype=str, keep_default_na=False)
        for name in ("guide_llm", "odd")
    )
    core = ["A.1", "A.2", *(f"B.{n}" for n in range(1, 6)), "C.1", "C.2", "D.1", "E.1", "E.2", "F.1", "G.1"]
    assert list(guide.number) == core + ["optional"] * 8
    assert set(guide.by) == {"the run", "the run, in part", "the author"}
    assert list(odd.number) == ["1", "2", "3", *(f"4.{n}" for n in range(1, 12)), "5", "6", "7"]
    answers = guide.set_index("number").answer
    assert LABEL in answers["A.1"]
    assert answers["B.2"].startswith("No server was asked: update rule stand_in ran the models itself")
    assert answers["B.4"].startswith("Update rule: stand_in of log-linear.")
    assert "3 models of class left and 2 models of class right" in odd.answer[1]


def test_questions_and_answers_are_text_and_no_markup(report: Report, part: InterviewPart) -> None:
    page = page_of(report)
    assert re.findall(r"<script[^>]*>", page) == ["<script>"]
    assert "alert" not in page.partition("<script>")[2].partition("</script>")[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; [U+202E]&amp; name?" in page
    assert len(part.answers) == 20
    assert part.n_answers == sum(each.n for each in part.facts.asked)


def test_answers_to_browse_are_those_of_the_log_and_drawn_by_the_seed(run: Run, part: InterviewPart) -> None:
    query = "SELECT answer FROM answers WHERE realization = ? AND kind = ? AND step = ? AND model = ?"
    for each in part.answers:
        key = (each.realization, each.kind, each.step, each.model)
        assert (each.text,) in run.rows(query, key)[1]
    assert len(set(part.answers)) == len(part.answers)
    other = make_report([run], Options(figures=False, n_bootstrap=0, n_decisions=20, seed=5)).parts[0]
    assert isinstance(other, InterviewPart)
    assert other.answers != part.answers


def test_design_and_methods_say_how_the_run_was_played(report: Report, part: InterviewPart) -> None:
    page = page_of(report)
    for said in (
        "intra_class",
        "stand_in",
        "log-linear",
        "left: 3; right: 2",
        "questions of an interview (q)",
    ):
        assert said in page
    methods = files_of(report, made_at=MADE_AT)[1]["parts"][0]["methods"]
    assert "3 models of class left and 2 models of class right" in methods
    assert "asked it 2 questions" in methods
    assert f"embedded by {part.study.embedder}" in methods
    assert "Helm" in page


def test_results_are_json_with_the_series_that_are_drawn(report: Report, part: InterviewPart) -> None:
    results = json.loads(files_of(report, made_at=MADE_AT)[0]["results.json"])
    condition = results["parts"][0]["conditions"][1]
    series = part.study.conditions[1].gap.series
    assert series is not None
    assert condition["gap"]["value"] == pytest.approx(series.value.tolist())
    assert condition["polarization"]["over"] == "both"
    assert len(condition["realizations"]) == 2


def test_cascade_runs_beside_keep_their_own_part(run: Run, play: Callable[..., Run]) -> None:
    ratios = play(ResponseRatioExperiment(repeats=1, items_per_severity=1))
    both = make_report([run, ratios], Options(figures=False, n_bootstrap=0, n_decisions=2))
    page = page_of(both)
    assert "Interacting models: run" in page
    assert "Response ratios: run" in page
    assert "<h1>News cascades and interacting language models: report (stand-in" in page
    series = both.parts[1]
    assert isinstance(series, InterviewPart)
    assert series.study.conditions[0].ratio.note == "no interval was asked for (0 bootstrap draws)"
    assert "No interval was asked for" in ratio_of_classes_sketch(series).caption


def test_bands_of_few_repeats_are_said_to_be_narrow(part: InterviewPart) -> None:
    with house_style():
        assert "repeats that differ much, such bands are too narrow" in gap_sketch(part).caption
        many = tuple(replace(condition, played=condition.played * 5) for condition in part.study.conditions)
        assert "too narrow" not in gap_sketch(restudied(part, conditions=many)).caption


# What cannot be said.


def test_one_condition_of_one_class_has_no_polarization_and_says_so(tmp_path: Path) -> None:
    design = SMALL | {"models": {"left": 2}, "steps": 1}
    run = played(tmp_path, Own(**design))
    report = make_report([run], Options(n_bootstrap=5))
    page = page_of(report)
    assert "a measure of two classes of models, and there are 1" in page
    (part,) = report.parts
    assert isinstance(part, InterviewPart)
    assert part.study.chart is None
    assert "takes at least 2 steps" in page
    assert "The run has one condition" in page
    assert 'role="img"' in page
    drawings = {each.name: each for each in report.drawings[0]}
    assert drawings["perspectives_over_time"].number == "3"
    assert drawings["polarization"].svg is None
    assert drawings["iso_mirror"].svg is not None


def test_an_adversary_makes_it_figure_5_and_one_repeat_draws_prompts(part: InterviewPart) -> None:
    condition = replace(
        part.study.conditions[0],
        classes=("left",) * 4 + ("right",),
        played=part.study.conditions[0].played[:1],
    )
    alone = restudied(part, conditions=(condition,))
    with house_style():
        sketch = ratio_of_classes_sketch(alone)
    assert sketch.number == "5"
    assert "Every condition was played once" in sketch.caption


def test_targets_of_an_adversary_are_those_who_interviewed_it_and_have_a_mean_of_their_own(
    tmp_path: Path,
) -> None:
    attack = Vulnerable(adversary=4, targets=2, every=2)
    run = played(tmp_path, Own(**{**SMALL, "models": {"left": 4, "right": 1}, "topology": attack}))
    (part,) = make_report([run], Options(figures=False)).parts
    assert isinstance(part, InterviewPart)
    with house_style():
        sketch = paths_sketch(part)
    places = part.study.conditions[0].shown.coordinates[-1, :, 0]
    for words, members in (("left (2 targets)", [0, 1]), ("left (2 others)", [2, 3]), ("right", [4])):
        assert f"mean of {words} " in sketch.alternative
        assert f"{spelled(float(places[members].mean()))} at step" in sketch.alternative
    assert "targets, who have interviewed a model that interviews nobody" in sketch.caption


def test_models_that_come_and_go_have_perspectives_while_they_are_there_and_databases_none(
    tmp_path: Path,
) -> None:
    reading = Reading({"almanac": ("left",)}, "intra_class")
    lively = {"databases": {"almanac": "right"}, "joins": {1: 2}, "leaves": {4: 4}, "topology": reading}
    run = played(tmp_path, Own(**{**SMALL, "models": {"left": 3, "right": 3}}, **lively))
    report = make_report([run], Options(n_bootstrap=20, n_decisions=5))
    (part,) = report.parts
    assert isinstance(part, InterviewPart)
    (embedded,) = asyncio.run(embed_answers(run, make_embedder("hash", {})))
    there = embedded.answers.present
    assert [np.flatnonzero(~row).tolist() for row in there] == [[1], [1], [], [], [4]]
    assert embedded.answers.left_out == {}
    # The scaling is that of the rows that are there, and nothing else.
    shown = part.study.conditions[0].shown
    block = embedded.array()[there]
    squared = perspectives.squared_distances(block[:, None], per_prompt=True)
    expected = perspectives.classical_scaling(squared, 2).coordinates
    np.testing.assert_allclose(shown.coordinates[there], expected, atol=1e-6)
    assert np.isnan(shown.coordinates[~there]).all()
    assert (np.isnan(shown.moved) == ~(there[1:] & there[:-1])).all()
    rights = [[3, 4, 5]] * 4 + [[3, 5]]
    gaps = [
        perspectives.prompt_gaps(embedded.load(step), [0, 2] if step < 2 else [0, 1, 2], rights[step])
        for step in range(5)
    ]
    assert shown.gaps is not None
    np.testing.assert_allclose(shown.gaps, gaps)
    text = page_of(report)
    ((n_read,),) = run.rows("SELECT COUNT(*) FROM changes WHERE what = 'reads'")[1]
    assert n_read > 1
    told = f"Database almanac held 6 questions with the bank's answers; it was read {n_read} times"
    assert told in part.methods()[: part.methods().index("Questions come from")]
    assert "Model 1 (left) joined at step 2 in 1 realization." in part.methods()
    assert "Model 4 (right) left at step 4 in 1 realization." in part.methods()
    assert [test is None for test in part.study.conditions[0].tests] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    assert "Models that are not there at all steps are left out" in text


def test_a_class_of_which_nobody_is_left_has_no_gap_and_it_is_said(tmp_path: Path) -> None:
    run = played(tmp_path, Own(**{**SMALL, "models": {"left": 3, "right": 1}, "leaves": {3: 2}}))
    (part,) = make_report([run], Options(figures=False, n_decisions=0)).parts
    assert isinstance(part, InterviewPart)
    assert part.study.conditions[0].gap.note == "after step 2 no model of class 'right' is there"


def test_with_step_0_alone_nothing_is_drawn_over_time(part: InterviewPart) -> None:
    first = part.study.conditions[0].played[0]
    start = condition_with(
        part,
        coordinates=first.coordinates[:1],
        mirror=None,
        why_no_mirror="there are 1 steps; at least 2 are needed for a movement",
        moved=first.moved[:0],
    )
    for make in (paths_sketch, ratio_of_classes_sketch, gap_sketch, chart_sketch):
        assert "only step 0 was evaluated" in str(make(start).unavailable).lower()
    assert "at least 2 are needed" in str(mirror_sketch(start).unavailable)
    with house_style():
        assert space_sketch(start).figure is not None


def test_what_is_the_same_in_every_resample_has_no_interval(play: Callable[..., Run]) -> None:
    few: dict[str, Any] = {"n_evaluation": 2, "n_questions": 1, "n_taught": 2, "steps": 1, "repeats": 3}
    two = {"society": 2, "science": 2}
    run = play(InterviewExperiment(models=two, topology="nobody", **few))
    (part,) = make_report([run], Options(figures=False, n_bootstrap=20, n_decisions=0)).parts
    assert "polarization 1.000 at step 1" in part.summary(0.95)
    table = classes_table(part)  # type: ignore[arg-type]
    assert table is not None
    assert table.rows[0][3:5] == (1.0, None)


def test_of_a_run_without_steps_nothing_is_told_that_takes_some(play: Callable[..., Run]) -> None:
    one: dict[str, Any] = {"n_evaluation": 1, "n_taught": 2, "steps": 0, "repeats": 2}
    few = Options(figures=False, n_bootstrap=5, n_decisions=0)
    two = play(InterviewExperiment(models={"society": 1, "science": 1}, **one))
    (part,) = make_report([two], few).parts
    cells = [str(cell) for table in part.checklists() for row in getattr(table, "rows", ()) for cell in row]
    said = "\n".join([part.summary(0.95), part.methods(), *cells])
    for claim in ("polarization", "interviews one", "Partners", "heard", "single interviews", "topology"):
        assert claim not in said, claim
    assert "None: models were asked alone." in said
    (alone,) = make_report([play(InterviewExperiment(models={"society": 1}, **one))], few).parts
    assert "There was 1 model of class society; each" in alone.methods()
    assert "an evaluation set of 1 question at" in alone.methods()


def test_models_that_are_too_few_for_clusters_say_so(part: InterviewPart) -> None:
    sketch = cluster_sketch(condition_with(part, clusters=None, why_no_clusters="there is 1 model"))
    assert sketch.unavailable == "There is 1 model."
    assert "(stand-in)" in sketch.title


def test_a_run_without_a_complete_evaluation_says_so_everywhere(report: Report, part: InterviewPart) -> None:
    empty = restudied(part, conditions=())
    with house_style():
        for sketch in sketches_of("interviews", empty):
            assert "complete evaluation" in str(sketch.unavailable)
    page = page_of(replace(report, parts=(empty,)))
    assert "No result can be given yet" in page
    assert "no realization has a complete evaluation" in page


def test_a_start_that_is_not_clear_of_zero_is_named(part: InterviewPart) -> None:
    def with_start(condition: ConditionStudy, *, clear: bool) -> ConditionStudy:
        assert condition.ratio.series is not None
        series = replace(condition.ratio.series, clear_start=clear)
        return replace(condition, ratio=Measured(series, has_interval=True))

    clear = restudied(
        part, conditions=tuple(with_start(condition, clear=True) for condition in part.study.conditions)
    )
    unclear = restudied(
        part, conditions=tuple(with_start(condition, clear=False) for condition in part.study.conditions)
    )
    with house_style():
        assert "Not clearly apart at step 0" not in ratio_of_classes_sketch(clear).caption
        assert "Not clearly apart at step 0" in ratio_of_classes_sketch(unclear).caption
        half = restudied(
            unclear,
            conditions=(
                unclear.study.conditions[0],
                replace(part.study.conditions[1], ratio=Measured(None, note="no")),
            ),
        )
        assert "Cannot be given for topology intra_class" in ratio_of_classes_sketch(half).caption


def test_conditions_are_named_by_what_sets_them_apart() -> None:
    overrides = [{"a_b": [1, 2], "conditions": [{}]}, {"conditions": [{}]}]
    assert condition_names(overrides, [overrides[0], {"a_b": 3, "conditions": [{}]}]) == (
        "a b 1, 2",
        "as designed",
    )


def changed(run: Run, folder: Path, *statements: str) -> Run:
    """Copy a run, with a changed event log."""
    shutil.copytree(run.folder, folder)
    with closing(sqlite3.connect(folder / run.path.name)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        for statement in statements:
            connection.execute(statement)
    return Run(folder)


def test_missing_answers_and_unfinished_realizations_are_counted_and_named(run: Run, tmp_path: Path) -> None:
    broken = changed(
        run,
        tmp_path / "broken",
        "UPDATE events SET missing = 'refused', reply = NULL WHERE kind = 'evaluation' AND realization = 0 "
        "AND step = 1 AND agent = 0 AND repeat = (SELECT MIN(repeat) FROM events WHERE kind = 'evaluation')",
        "DELETE FROM events WHERE realization = 2",
        "DELETE FROM events WHERE realization = 3 AND step > 2",
        "UPDATE realizations SET status = 'running' WHERE realization > 1",
    )
    options = Options(
        figures=False, n_bootstrap=20, make_embedder=lambda *_: make_embedder("hash", {"dim": 64})
    )
    report = make_report([broken], options)
    (part,) = report.parts
    assert isinstance(part, InterviewPart)
    first, second = part.study.conditions
    assert [list(each.left_out.values()) for each in first.played] == [["refused"], []]
    assert [len(each.questions) for each in first.played] == [5, 6]
    assert [first.n_common, second.n_common] == [5, 6]
    assert [each.n_steps for each in second.played] == [3]
    assert part.answers[0].missing == "refused"
    page = page_of(report)
    for said in (
        "realization 2: not even the evaluation at step 0 is complete",
        "Realization 3 is not finished: its complete steps are used",
        "left out of its realization at all steps; of 6 questions, 5 to 6 are left in each realization",
        "over the 5 that all averaged repeats answered in full",
        "refused: 1",
        "teaches nothing",
        "The run itself measured how near its models are by hash",
    ):
        assert said.lower() in page.lower()
    with house_style():
        assert "Up to 1 question of a realization" in space_sketch(part).caption
    assert second.ratio.note.startswith("with one repeat")


def test_many_conditions_are_drawn_in_part_and_it_is_said(part: InterviewPart) -> None:
    many = restudied(part, conditions=part.study.conditions * 9)
    with house_style():
        sketch = mirror_sketch(many)
    assert "The first 16 conditions are drawn; 2 more stand in the tables" in sketch.caption


def test_one_question_of_one_repeat_gives_no_interval(tmp_path: Path) -> None:
    design = SMALL | {"evaluation_topics": ("left",), "n_evaluation": 1, "n_questions": 1, "n_taught": 2}
    report = make_report([played(tmp_path, Own(**design))], Options(figures=False, n_decisions=0))
    (part,) = report.parts
    assert isinstance(part, InterviewPart)
    assert part.study.conditions[0].gap.note == "one repeat and one question give no interval"
    assert not part.study.conditions[0].gap.has_interval
    page = page_of(report)
    assert "tests of changes: they take" in page
    assert "no answer was to be shown" in page
