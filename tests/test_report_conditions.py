"""Reports of several conditions compare them first: figures, contrasts and tables are those of the logs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from agentnet import CascadeExperiment, InterviewExperiment, ResponseRatioExperiment, analysis
from agentnet.analysis.contrasts import mean_interval
from agentnet.backend import make_backend
from agentnet.errors import UserError
from agentnet.events import Run
from agentnet.report import Options, Report, make_report
from agentnet.report.conditions import Conditions
from agentnet.report.figures.sketch import Sketch, sketches_of
from agentnet.report.figures.style import house_style
from agentnet.report.write import files_of

FEW = Options(laws=("one_rate",), n_bootstrap=8, n_decisions=3, figures=False)
SMALL: dict[str, Any] = {"n_agents": 32, "degree": 4, "steps": 4, "repeats": 2, "items_per_severity": 1}
MODELS: dict[str, Any] = {
    "models": {"society": 2, "science": 2},
    **dict.fromkeys(("n_taught", "repeats"), 2),
    **dict.fromkeys(("n_questions", "steps"), 1),
    "n_evaluation": 3,
}
ASKED: dict[str, Any] = {"items_per_severity": 1, "repeats": 2}


@pytest.fixture(scope="module")
def degrees(play: Callable[..., Run]) -> Run:
    """Play three degrees."""
    base = CascadeExperiment(**SMALL, rationale="none")
    return play(*(base.under({"degree": degree}) for degree in (3, 5, 4)), seed=5)


@pytest.fixture(scope="module")
def sixes(play: Callable[..., Run]) -> Run:
    """Play a degree more, in a run of its own."""
    return play(CascadeExperiment(**SMALL | {"degree": 6}, rationale="none"), seed=5)


@pytest.fixture(scope="module")
def asked(play: Callable[..., Run]) -> Run:
    """Ask for response ratios under two numbers of repeats."""
    base = ResponseRatioExperiment(**ASKED)
    return play(base, base.under({"repeats": 3}), base.under({"temperature": 0.5}))


@pytest.fixture(scope="module")
def report(degrees: Run) -> Report:
    """Compute the report of the three degrees."""
    return make_report([degrees], FEW)


@pytest.fixture(scope="module")
def files(report: Report) -> dict[str, bytes]:
    """Write it."""
    return files_of(report, made_at=1.8e9)[0]


def rows_of(files: dict[str, bytes], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files[f"tables/{name}.csv"].decode())))


def only(report: Report) -> Conditions:
    (conditions,) = report.conditions
    return conditions


def sketched(conditions: Conditions) -> dict[str, Sketch]:
    with house_style():
        return {each.name: each for each in sketches_of("conditions", conditions)}


# The page


def test_the_comparison_leads_and_the_conditions_own_parts_are_folded_below(files: dict[str, bytes]) -> None:
    page = files["report.html"].decode()
    headings = re.findall(r"(<summary>)?<h2>([^<]+)</h2>", page)
    assert [bool(folded) for folded, _ in headings] == [False, True, True, True]
    own = [f"Cascades: run, condition {n}: degree {degree}" for n, degree in enumerate((3, 5, 4))]
    assert [title for _, title in headings] == ["Conditions of run", *own]


def test_the_first_screen_begins_with_the_contrasts(report: Report, files: dict[str, bytes]) -> None:
    first = re.findall(r"<li>(.*?)</li>", files["report.html"].decode().split('class="lead">')[1])
    found = next(each for each in only(report).comparisons if each.measure == "final_engagement")
    trend = next(each for each in found.contrasts if each.kind == "trend").contrast
    assert first[0].startswith("Engaged fraction after the last step: trend with degree: 3, 4, 5 is")
    assert f"{trend.value:.4g}" in first[0]
    assert "degree 5 less 3 is" in first[0]


def test_what_is_resampled_and_paired_stands_under_the_contrasts(report: Report) -> None:
    (notes,) = [
        each.notes
        for section in only(report).sections()
        for each in section.blocks
        if getattr(each, "name", "") == "contrasts"
    ]
    told = " ".join(notes)
    assert "pairs (realizations of the same news item and repeat under both conditions)" in told
    assert "paired bootstrap" in told
    assert "of the logit for trends and where an engaged fraction of one condition stands alone" in told


def test_where_nothing_is_compared_each_finding_names_its_condition(
    play: Callable[..., Run],
) -> None:
    nobody = CascadeExperiment(**SMALL | {"max_seed_attempts": 1}, rationale="none")
    no = make_backend("mock", {"law": "table", "table": {f"{i:05b}": float(i > 15) for i in range(32)}})
    run = play(nobody.under({"profiles": "11111"}), nobody.under({"profiles": "00000"}), backend=no)
    page = files_of(make_report([run], FEW), made_at=1.8e9)[0]["report.html"].decode()
    first = page[: page.index('id="conditions-summary"')]
    assert f"Cascades: {run.folder.name}, condition 0: profiles 11111: After step " in first
    assert f"Cascades: {run.folder.name}, condition 1: profiles 00000: No result can be given" in first
    assert "Missing answers, troubles and incidents of all 2 conditions" in page
    assert "incidents and costs are of the whole run, and stand with its first condition." in page


def test_a_run_of_one_condition_compares_nothing(sixes: Run) -> None:
    report = make_report([sixes], FEW)
    assert report.conditions == ()
    page = files_of(report, made_at=1.8e9)[0]["report.html"].decode()
    assert "<summary><h2>" not in page


# Numbers


def test_tables_hold_what_compare_finds(degrees: Run, files: dict[str, bytes]) -> None:
    found = analysis.compare(degrees, n_bootstrap=8)
    mine = [row for row in rows_of(files, "conditions_contrasts") if row["measure"] == found.title]
    assert [row["compared"] for row in mine] == [each.compared for each in found.contrasts]
    for row, each in zip(mine, found.contrasts, strict=True):
        assert float(row["value"]) == each.contrast.value
        assert float(row["interval_low"]) == each.contrast.low
        assert int(row["n_pairs"]) == each.contrast.n_repeats == 4
    ends = [row for row in rows_of(files, "conditions_estimates") if row["measure"] == found.title]
    assert [row["knob_degree"] for row in ends] == ["3", "5", "4"]
    assert [float(row["value"]) for row in ends] == [each.estimate.value for each in found.estimates]


def test_curves_are_means_of_the_log_with_students_interval(degrees: Run, files: dict[str, bytes]) -> None:
    rows = [row for row in rows_of(files, "conditions_curves") if row["condition"] == "degree 5"]
    curves = analysis.read_tables(degrees, condition=1).engaged_fraction
    assert [float(row["value"]) for row in rows] == pytest.approx(curves.mean(axis=0))
    mean = curves[:, -1].mean()
    low, high = stats.ttest_1samp(curves[:, -1], 0).confidence_interval(0.95)
    reach = (high - low) / 2 / (mean * (1 - mean))
    odds = mean / (1 - mean) * np.exp([-reach, reach])
    ends = [float(rows[-1][f"interval_{end}"]) for end in ("low", "high")]
    assert ends == pytest.approx(list(odds / (1 + odds)))
    assert {row["n"] for row in rows} == {"4"}


def test_columns_without_two_values_have_no_interval_and_no_mean_without_one() -> None:
    rows = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    mean, low, high = mean_interval(rows, 0.9)
    assert mean.tolist()[:2] == [2.0, 5.0]
    expected = stats.ttest_1samp([1.0, 3.0], 0).confidence_interval(0.9)
    assert [low[0], high[0]] == pytest.approx(list(expected))
    assert np.isnan([mean[2], low[1], high[1], low[2]]).all()


def test_results_have_the_conditions_their_curves_and_a_schema_of_their_own(files: dict[str, bytes]) -> None:
    results = json.loads(files["results.json"])
    assert results["schema_version"] == 2
    (conditions,) = results["conditions"]
    assert conditions["conditions"] == ["degree 3", "degree 5", "degree 4"]
    assert [len(each["value"]) for each in conditions["curves"]] == [5, 5, 5]
    assert "final_engagement" in [each["measure"] for each in results["comparisons"]]


# Figures


def test_curves_are_drawn_into_one_another_each_with_its_name(report: Report) -> None:
    figure = sketched(only(report))["overlaid"].figure
    assert figure is not None
    (axes,) = figure.axes
    assert axes.get_legend_handles_labels()[1] == ["degree 3", "degree 5", "degree 4"]
    drawn = [line.get_ydata().tolist() for line in axes.get_lines()]
    assert drawn == [each.value.tolist() for _, each in only(report).courses]


def test_a_knob_of_numbers_has_every_measure_drawn_against_it(report: Report) -> None:
    conditions = only(report)
    sketch = sketched(conditions)["swept"]
    assert sketch.figure is not None
    assert len(sketch.figure.axes) == len(conditions.comparisons)
    for axes, each in zip(sketch.figure.axes, conditions.comparisons, strict=True):
        ends = {one.knobs["degree"]: one.estimate.value for one in each.estimates}
        line = axes.get_lines()[0]
        assert dict(zip(line.get_xdata().tolist(), line.get_ydata().tolist(), strict=True)) == ends
        assert axes.get_xlabel() == "degree"
    assert "Kendall's tau-b" in sketch.caption


@pytest.mark.parametrize("knobs", [{"topology": "full"}, {"degree": 4, "steps": 3}])
def test_words_and_several_knobs_are_no_axis(report: Report, knobs: dict[str, Any]) -> None:
    conditions = only(report)
    other = tuple(
        replace(each, estimates=tuple(replace(one, knobs=knobs) for one in each.estimates))
        for each in conditions.comparisons
    )
    changed = replace(conditions, comparisons=other)
    assert changed.swept == ""
    assert "one knob" in (sketched(changed)["swept"].unavailable or "")


# Runs


def test_runs_are_compared_as_conditions_are(degrees: Run, sixes: Run) -> None:
    conditions = only(make_report([degrees, sixes], FEW))
    assert conditions.names == ("degree 3", "degree 5", "degree 4", "degree 6")
    assert [name for name, _ in conditions.courses] == list(conditions.names)
    assert conditions.swept == "degree"


def test_runs_of_interacting_models_are_compared(play: Callable[..., Run]) -> None:
    base = InterviewExperiment(**MODELS)
    runs = [play(base, seed=2), play(base.under({"n_questions": 2}), seed=2)]
    conditions = only(make_report(runs, FEW))
    assert conditions.names == ("n questions 1", "n questions 2")
    resampled = conditions.comparisons[0].resampled
    assert "realizations of the same repeat" in resampled
    assert "news" not in resampled


def test_what_results_have_to_be_called_stands_first_in_all_that_is_compared(
    play: Callable[..., Run],
) -> None:
    base = InterviewExperiment(**MODELS, update="stand_in")
    report = make_report([play(base), play(base, seed=2)], FEW)
    conditions = only(report)
    assert {row["label"][:8] for row in rows_of(files_of(report, made_at=1.8e9)[0], "conditions_curves")} == {
        "stand-in"
    }
    assert next(conditions.findings()).startswith("These are results of a stand-in")
    sketch = sketched(conditions)["overlaid"]
    assert sketch.figure is not None
    assert sketch.figure.get_supxlabel().startswith("stand-in")
    assert sketch.caption.startswith("These are results of a stand-in")


def test_contrasts_of_interacting_models_stand_before_where_each_condition_ended(
    play: Callable[..., Run],
) -> None:
    base = InterviewExperiment(**MODELS)
    run = play(*(base.under({"topology": name}) for name in ("full", "intra_class")))
    (part,) = make_report([run], FEW).parts
    found = [each for each in part.findings(0.95) if not each.startswith("These are")]
    assert found[0].startswith("topology intra_class less full: squared gap of the classes at the last step")
    assert found[1].startswith("topology full: ")


def test_one_resample_of_a_law_is_not_what_every_pair_shows(degrees: Run) -> None:
    conditions = only(make_report([degrees], replace(FEW, n_bootstrap=1)))
    law = [each for each in conditions.findings() if "of the law" in each]
    assert law
    assert not any("in each pair" in each for each in law)


# Response ratios


def test_response_ratios_are_kept_apart_by_condition(asked: Run) -> None:
    report = make_report([asked], FEW)
    assert [part.condition for part in report.parts] == [0, 1, 2]  # type: ignore[attr-defined]
    for part, n in zip(report.parts, (2, 3, 2), strict=True):
        assert (part.asked.n_yes + part.asked.n_no == n).all()  # type: ignore[attr-defined]
    conditions = only(report)
    assert "one profile on one news item" in conditions.comparisons[0].resampled
    first = conditions.courses[0][1]
    assert len(first.places) == 32
    assert first.value == pytest.approx(analysis.read_ratios(asked, condition=0).yes_ratio.mean(axis=0))


def test_conditions_counted_together_are_the_sum_of_each(asked: Run) -> None:
    each = [analysis.read_ratios(asked, condition=number).n_yes for number in range(3)]
    assert (sum(each) == analysis.read_ratios(asked).n_yes).all()


def test_cascades_take_the_response_ratios_of_their_own_condition(play: Callable[..., Run]) -> None:
    warm = {"temperature": 0.5}
    ratios = play(*(ResponseRatioExperiment(**ASKED).under(each) for each in ({}, warm)))
    base = CascadeExperiment(**SMALL, rationale="none")
    own, *_ = make_report([play(base.under(warm)), ratios], FEW).parts
    assert own.ratio.condition == 1  # type: ignore[attr-defined]
    other = play(base.under({"temperature": 0.3}))
    with pytest.raises(UserError, match=r"condition 0: as designed; run, condition 1: temperature 0\.5"):
        make_report([other, ratios], FEW)


# Prompts


APART = """
from agentnet import CascadeExperiment, InterviewExperiment

class Apart(CascadeExperiment):
    n_agents, degree, steps, repeats, items_per_severity = 16, 4, 2, 1, 1
    conditions = ({}, {"degree": 5}, {"rationale": "none"})

class Moved(Apart):
    conditions = ({"degree": 4}, {"degree": 6})

    def messages(self, prompts, kind, profile, item):
        messages = super().messages(prompts, kind, profile, item)
        return (*messages, ("user", "Hurry.")) if self.degree == 6 and profile.bits == "10000" else messages

class Told(InterviewExperiment):
    models = {"society": 1, "science": 1}
    n_evaluation, n_questions, n_taught, steps = 3, 1, 2, 1
    conditions = ({"repeats": 1}, {"repeats": 2})
    update = "none"

    def system_messages(self):
        return ("", "You are one of two." if self.repeats == 2 else "")
"""


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    path = tmp_path / "apart.py"
    path.write_text(APART)
    return path


def test_check_shows_the_prompts_of_a_condition_where_they_differ(command: Any, apart: Path) -> None:
    shown = command("check", f"{apart}:Apart").out
    assert "--- prompts of condition 1: degree 5: seed and exposure as in condition 0 ---" in shown
    rest = shown.split("--- prompt of condition 2: rationale none: exposure to profile 00000")[1]
    assert "one word only, yes or no" in rest
    found = json.loads(command("check", f"{apart}:Apart", "--json").out)["prompts_of_conditions"]
    assert found["condition 1: degree 5"] == {"seed": None, "exposure": None}
    assert found["condition 2: rationale none"]["exposure"][1][1][1].endswith("yes or no.")


def test_check_finds_the_one_profile_whose_prompt_differs(command: Any, apart: Path) -> None:
    shown = command("check", f"{apart}:Moved").out
    assert re.search(
        r"prompt of condition 1: degree 6: exposure to profile 10000 about .*?Hurry\.", shown, re.DOTALL
    )
    assert "as in condition 0" not in shown


def test_check_shows_what_interviewed_models_are_told_elsewhere(command: Any, apart: Path) -> None:
    shown = command("check", f"{apart}:Told").out
    assert "prompt of condition 1: repeats 2: system message to model 1 of class science" in shown
    assert "You are one of two." in shown


def test_a_report_shows_the_prompts_of_a_condition_where_they_differ(play: Callable[..., Run]) -> None:
    base = ResponseRatioExperiment(**ASKED)
    run = play(base, base.under({"repeats": 3}), base.under({"rationale": "none"}))
    report = make_report([run], FEW)
    page = files_of(report, made_at=1.8e9)[0]["report.html"].decode()
    assert "Prompts of condition 1: repeats 3: ratio as in condition 0." in page
    _, shown = re.split("Prompts of condition 2: .*: another than in condition 0, as it was sent:", page)
    assert "yes or no" in shown[:5_000]
    assert report.parts[0].facts.prompts_apart[1] == {"ratio": None}
