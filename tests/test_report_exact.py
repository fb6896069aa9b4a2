"""What a report says of probabilities that the log has, and of profiles that are one group."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

from agentnet import CascadeExperiment, ResponseRatioExperiment
from agentnet.backend import make_backend
from agentnet.events import Run
from agentnet.report.gather import Report, make_report
from agentnet.report.options import Options
from agentnet.report.part import Part, more_tables
from agentnet.report.results import as_json, results_of

LAWS = ("main_effects", "one_rate", "group_rates")
QUICK = Options(figures=False, n_runs=1, n_bootstrap=0, laws=LAWS)
SMALL: dict[str, Any] = {"items_per_severity": 2, "rationale": "none"}


def reported(play: Callable[..., Run], mode: str, **mock: Any) -> Report:
    designs = (
        CascadeExperiment(n_agents=64, degree=4, steps=6, repeats=2, **SMALL),
        ResponseRatioExperiment(repeats=2, **SMALL),
    )
    runs = [
        play(each, backend=make_backend("mock", mock), seed=3, sampler={"mode": mode}) for each in designs
    ]
    return make_report(runs, QUICK)


@pytest.fixture(scope="module")
def report(play: Callable[..., Run]) -> Report:
    return reported(play, "logprobs")


def table_of(part: Part, name: str) -> Any:
    every = [each for made in more_tables(part).values() for each in made]
    return next((each for each in every if each.name == name), None)


def test_laws_of_probabilities_stand_beside_those_of_draws(report: Report) -> None:
    for part in report.parts:
        made = table_of(part, "exact_laws")
        rows = {row["parameter"]: row for row in csv.DictReader(io.StringIO(made.to_csv()))}
        assert float(rows["severity"]["exact"]) == pytest.approx(-1.224, abs=1e-12)
        apart = (float(rows["severity"]["drawn"]) + 1.224) / float(rows["severity"]["drawn_error"])
        assert float(rows["severity"]["errors_apart"]) == pytest.approx(apart)
        assert "without sampling noise" in " ".join(made.notes)
        probabilities = table_of(part, "probabilities")
        assert {len(row) for row in probabilities.rows} == {4}
        assert "-1.224" in part.summary(0.95)
    assert "fitted to the probabilities themselves" in report.parts[0].methods()
    assert "The same test on the probabilities finds" in report.parts[1].summary(0.95)


def test_what_was_found_begins_with_what_no_chance_adds_to(report: Report) -> None:
    found = [each for each in report.parts[0].findings(0.95) if "law the largest weight" in each]
    assert [each.partition(":")[0] for each in found] == [
        "By the probabilities themselves, without sampling noise",
        "By the draws",
    ]


def test_results_have_them_in_full(report: Report) -> None:
    cascades, ratios = results_of(report, made_at=0.0, files=())["parts"]
    (weights,) = (each for each in cascades["fits"]["exact"]["laws"] if each["law"] == "main_effects")
    assert [each["name"] for each in weights["parameters"]][-1] == "severity"
    assert ratios["exact"]["n_questions"] == 4 * 32
    assert ratios["exact_groups"]["group"].keys() == ratios["groups"]["group"].keys()
    assert as_json(cascades)


def test_profiles_that_are_alike_are_called_one_group(play: Callable[..., Run]) -> None:
    cascades, ratios = reported(play, "logprobs", law="constant", probability=0.3).parts
    said = cascades.summary(0.95)
    assert "The 32 profiles are one group, so that one rate is all that there is to find" in said
    assert "2-rate" not in said
    assert "makes 1 group of the 32 profiles" in ratios.summary(0.95)
    assert "The same test on the probabilities finds one group" in ratios.summary(0.95)
    assert "The one group was found by Tukey's HSD test" in cascades.methods()


def test_without_probabilities_a_report_says_nothing_of_them(play: Callable[..., Run]) -> None:
    for part in reported(play, "choices").parts:
        assert table_of(part, "exact_laws") is None
        assert table_of(part, "probabilities") is None
        assert "probabilities themselves" not in part.summary(0.95) + part.methods()
