"""`agentnet report`: from runs to a folder, with the words and exit codes of the other commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentnet import CascadeExperiment, ResponseRatioExperiment
from agentnet.events import Run
from agentnet.report import Options, write_report

QUICK = ("--law", "main_effects", "--runs", 2, "--bootstraps", 0, "--no-figures")


@pytest.fixture(scope="module")
def played(play: Callable[..., Run]) -> tuple[Run, Run]:
    """Play a small run of cascades and one of response ratios."""
    cascades = CascadeExperiment(n_agents=32, degree=4, steps=6, repeats=2, items_per_severity=1)
    return play(cascades, seed=4), play(ResponseRatioExperiment(items_per_severity=2, repeats=2), seed=4)


@pytest.fixture
def runs(command: Callable[..., Any], played: tuple[Run, Run]) -> tuple[Path, Path]:
    """Copy both to the working folder, the ratios last."""
    made = Path("runs/cascades"), Path("runs/ratios")
    for run, folder in zip(played, made, strict=True):
        shutil.copytree(run.folder, folder)
    return made


def test_a_report_lies_in_the_first_run_and_its_page_is_printed(
    command: Any, runs: tuple[Path, Path]
) -> None:
    done = command("report", "cascades", "ratios", *QUICK)
    assert done.code == 0, done.err
    assert done.out.strip() == "runs/cascades/report/report.html"
    assert Path(done.out.strip()).read_text("utf-8").startswith("<!DOCTYPE html>")
    assert "fitting the main-effects logistic ..." in done.err
    assert "\x1b" not in done.err


def test_it_can_be_made_again_and_is_named_last(command: Any, runs: tuple[Path, Path]) -> None:
    first = command("report", "last", *QUICK, "--quiet")
    assert (first.code, first.err) == (0, "")
    again = command("report", "last", *QUICK, "--quiet", "--seed", 5)
    assert again.code == 0
    results = json.loads((Path(again.out.strip()).parent / "results.json").read_text("utf-8"))
    assert results["options"]["seed"] == 5
    assert results["parts"][0]["kind"] == "response ratios"


def test_json_goes_to_standard_output_alone(command: Any, runs: tuple[Path, Path]) -> None:
    done = command("report", runs[0], *QUICK, "--output", "out", "--json", "--level", 0.9, "--decisions", 7)
    results = json.loads(done.out)
    assert results["options"]["level"] == 0.9
    assert results["parts"][0]["fits"]["n_runs"] == 2
    assert sum(results["parts"][0]["decisions_to_browse"]["shown"].values()) == 7
    assert json.loads(Path("out/results.json").read_text("utf-8")) == results


def test_groups_and_clusters_are_read_from_files(command: Any, runs: tuple[Path, Path]) -> None:
    groups = {f"{profile:05b}": 1 + profile // 8 for profile in range(32)}
    Path("groups.json").write_text(json.dumps(groups))
    done = command("report", "cascades", *QUICK, "--groups", "groups.json", "--json")
    results = json.loads(done.out)
    assert results["parts"][0]["fits"]["groups"]["group"] == groups
    assert results["parts"][0]["groups_from"] == "given"
    done = command("report", "cascades", "ratios", *QUICK, "--n-groups", 3, "--json")
    assert len(json.loads(done.out)["parts"][1]["groups"]["rates"]) == 3


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--groups", None, "cannot be read"),
        ("--groups", "[1, 2]", "one object"),
        ("--groups", "{", "is no JSON"),
        ("--groups", '{"00000": 1}', "groups must name all 32 profiles"),
        ("--groups", b"\xff\xfe", "no UTF-8"),
        ("--severity-clusters", "{}", "no severity clusters"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    command: Any, runs: tuple[Path, Path], option: str, text: str | bytes | None, said: str
) -> None:
    if text is not None:
        Path("given.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    done = command("report", "cascades", *QUICK, option, "given.json")
    assert done.code == 2
    assert said in done.err
    assert not Path("runs/cascades/report").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument"),
        (("nothing",), "no run 'nothing'"),
        (("cascades", "--level", 2), "confidence level"),
        (("cascades", "--n-groups", 40), "40"),
        (("cascades", "--runs", 0), "0"),
        (("cascades", "--law", "one_rates"), "did you mean 'one_rate'"),
        (("cascades", "--embedder", "zzz"), "no embedder 'zzz'; known: hash"),
        (("cascades", "--embedder", "hash", "--law", "one_rates"), "nothing is embedded (--embedder)"),
    ],
)
def test_wrong_input_has_exit_code_2(
    command: Any, runs: tuple[Path, Path], arguments: tuple[Any, ...], said: str
) -> None:
    done = command("report", *arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_folder_of_somebodys_own_is_refused_before_anything_is_computed(
    command: Any, runs: tuple[Path, Path]
) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter.tex").write_text("years of work")
    done = command("report", "cascades", "--output", "thesis")
    assert done.code == 2
    assert "holds 'chapter.tex' and no report of agentnet" in done.err
    assert "fitting" not in done.err
    assert [path.name for path in Path("thesis").iterdir()] == ["chapter.tex"]


def test_the_run_is_as_it_was(command: Any, runs: tuple[Path, Path]) -> None:
    digest = Run(runs[0]).digest()
    assert command("report", "cascades", *QUICK).code == 0
    assert Run(runs[0]).digest() == digest
    assert {path.name for path in runs[0].iterdir()} >= {"events.sqlite", "report"}
    assert command("show", "cascades").code == 0


def test_the_same_in_python(runs: tuple[Path, Path], command: Any) -> None:
    written = write_report(
        runs, "out", Options(laws=["one_rate"], n_runs=2, n_bootstrap=0, figures=False), made_at=0.0
    )
    assert written.page == Path("out/report.html")
    assert written.results["made_at"] == "1970-01-01 00:00:00 UTC"
    assert Run(runs[0]).folder.name in written.page.read_text("utf-8")
