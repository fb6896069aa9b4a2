"""`agentnet fit`: tables for people, JSON for programs, and exit codes as everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from agentnet import CascadeExperiment, ResponseRatioExperiment
from agentnet.events import Run

Command = Callable[..., Any]

DESIGN = {"n_agents": 48, "degree": 4, "steps": 6, "repeats": 2, "items_per_severity": 1}
QUICK = ("--bootstraps", "8", "--runs", "10")


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Path:
    return play(CascadeExperiment(**DESIGN), seed=1).folder


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    path = tmp_path / "groups.json"
    path.write_text(json.dumps({f"{profile:05b}": 1 + profile // 16 for profile in range(32)}))
    return path


def test_people_get_a_ranking_parameters_and_warnings(command: Command, run: Path) -> None:
    done = command("fit", run, "--law", "one_rate", "--law", "group_rates", *QUICK)
    assert done.code == 0
    ranking, parameters = done.out.split("parameters; intervals of 95%")
    assert "4 realizations" in ranking
    assert "one-rate mean field" in ranking
    assert "(mean curve of the others)" in ranking
    assert "tau_2" in parameters
    assert "lambda" in parameters
    assert "if missing yes" not in parameters
    assert "* the groups were chosen from the same decisions" in parameters
    assert "* one-rate mean field, 2-rate mean field: the law has agents asked at every step" in parameters


def test_each_warning_is_printed_once_with_the_laws_it_is_of(
    command: Command, play: Callable[..., Run]
) -> None:
    folder = play(CascadeExperiment(**(DESIGN | {"repeats": 1, "items_per_severity": 3}))).folder
    done = command("fit", folder, *QUICK)
    notes = [line for line in done.out.splitlines() if line.startswith("*")]
    said = [note.removeprefix("* ").partition(": ")[2] for note in notes if ": " in note]
    assert len(set(said)) == len(said)
    few = [note for note in notes if "clusters are few for" in note]
    assert len(few) == 3, "one of each law of decisions: with one realization an item, both are the same"
    assert all(note.endswith("the errors clustered by realization are too small") for note in few)
    assert any(
        note.startswith("* one-rate mean field, 2-rate mean field: the law has agents") for note in notes
    )


def test_errors_clustered_in_two_ways_are_warned_of_by_name(command: Command, run: Path) -> None:
    done = command("fit", run, "--law", "main_effects", *QUICK)
    few = [line.rpartition(": ")[2] for line in done.out.splitlines() if "clusters are few for" in line]
    assert few == [
        "the errors clustered by realization are too small",
        "the errors clustered by news item are too small",
    ]


def test_programs_get_json_of_the_laws_they_name(command: Command, run: Path, groups: Path) -> None:
    done = command(
        *("fit", run, "--json", "--law", "group_logistic", "--law", "one_rate", "--groups", groups),
        *("--seed", "3", "--runs", "12", "--bootstraps", "5", "--level", "0.9"),
    )
    assert done.code == 0
    found = json.loads(done.out)
    assert [law["law"] for law in found["laws"]] == ["group_logistic", "one_rate"]
    assert [found[key] for key in ("seed", "n_runs", "n_bootstrap", "level")] == [3, 12, 5, 0.9]
    assert found["groups"]["source"] == "given"
    assert found["groups"]["group"]["10110"] == 2
    assert found["laws"][0]["comparisons"][0]["inferred"]["n"] == 12


def test_laws_that_cannot_be_fitted_are_named(command: Command, play: Callable[..., Run]) -> None:
    irregular = CascadeExperiment(
        **(DESIGN | {"network": "erdos_renyi", "degree": 5, "network_options": {"probability": 0.15}})
    )
    done = command("fit", play(irregular).folder, "--law", "cavity", "--law", "one_rate", *QUICK)
    assert done.code == 0
    assert "* 2-group cavity was not fitted: the cavity law needs a network" in done.out


def test_progress_is_said_on_standard_error(
    command: Command, play: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("agentnet.cli.fit"), "_PATIENCE_S", -1.0)
    folder = play(CascadeExperiment(**(DESIGN | {"repeats": 1, "steps": 5}))).folder
    done = command("fit", folder, "--json", "--law", "one_rate", *QUICK)
    assert json.loads(done.out)["laws"]
    assert done.err.splitlines()[:2] == [f"reading {folder} ...", "fitting the one-rate mean field ..."]


def test_a_condition_is_chosen(command: Command, play: Callable[..., Run]) -> None:
    conditions = [
        CascadeExperiment(**(DESIGN | {"asking_rule": rule})) for rule in ("always", "once_per_edge")
    ]
    folder = play(*conditions).folder
    refused = command("fit", folder)
    assert refused.code == 2
    assert "has 2 conditions" in refused.err
    done = command("fit", folder, "--condition", "1", "--law", "one_rate", "--json", *QUICK)
    assert json.loads(done.out)["asking_rule"] == "once_per_edge"


def test_fewer_cascades_are_inferred_on_large_networks(
    command: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("agentnet.analysis.fits"), "_AGENTS", 48 * 7)
    done = command("fit", run, "--law", "main_effects", "--json")
    assert json.loads(done.out)["n_runs"] == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "is no JSON"),
        ("[1, 2]", "must be one object"),
        ("\udcff", "is no UTF-8 text"),
        ('{"00000": 1}', "must name all 32 profiles"),
        ('{"x": 1}', "'x', which is no profile"),
        ('{"00000": 1, "11111": 1, "00000": 2}', "field '00000': stands twice"),
        (
            json.dumps({f"{profile:05b}": 5 + profile % 2 for profile in range(32)}),
            "without gaps, from 0 or 1",
        ),
    ],
)
def test_groups_that_are_none_are_refused(
    command: Command, run: Path, tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "g.json"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    done = command("fit", run, "--groups", path)
    assert done.code == 2
    assert words in done.err
    assert "g.json" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--law", "one_rates"), "did you mean 'one_rate'"),
        (("--runs", "0"), "n_runs is at least 1"),
        (("--level", "2"), "confidence level"),
        (("--condition", "1"), "no condition 1"),
        (("--runs", "x"), "not a valid integer"),
    ],
)
def test_wrong_input_ends_with_2_and_one_clear_line(
    command: Command, run: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = command("fit", run, *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_runs_without_cascades_are_refused(command: Command, play: Callable[..., Run]) -> None:
    assert command("fit", "nothing").code == 2
    ratios = play(ResponseRatioExperiment(items_per_severity=1, repeats=1)).folder
    done = command("fit", ratios)
    assert done.code == 2
    assert "response ratios, not of cascades" in done.err
