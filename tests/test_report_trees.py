"""A report tells the trees of who had the news from whom, beside those observed elsewhere."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentnet import CascadeExperiment
from agentnet.analysis import Trees, read_observed, tree_distances, trees_of
from agentnet.events import LOG_NAME, Run
from agentnet.report import Options, make_report
from agentnet.report.drawings import rendered
from agentnet.report.figures.sketch import FIGURES
from agentnet.report.figures.style import house_style
from agentnet.report.write import files_of

SMALL: dict[str, Any] = {"n_agents": 32, "degree": 4, "steps": 3, "repeats": 2, "items_per_severity": 1}
HOSTILE = "<img src=x onerror=alert(1)>.csv"


def options(**more: Any) -> Options:
    return Options(laws=("one_rate",), n_bootstrap=0, n_runs=2, n_decisions=4, **{"figures": False} | more)


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    return play(CascadeExperiment(**SMALL), CascadeExperiment(**SMALL | {"degree": 8}), seed=2)


@pytest.fixture
def observed(tmp_path: Path) -> Trees:
    """One tree of 40 nodes, and an orphan."""
    path = tmp_path / HOSTILE
    path.write_text("id,parent\n0,\n" + "".join(f"{n},{n // 3}\n" for n in range(1, 40)) + "x,gone\n")
    return read_observed(path).trees()


def rows(files: dict[str, bytes], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files[f"tables/{name}.csv"].decode())))


def test_each_condition_has_its_trees_in_a_table_and_in_words(run: Run) -> None:
    report = make_report([run], options())
    files, _ = files_of(report, made_at=0.0)
    results = json.loads(files["results.json"])
    for condition, part in enumerate(results["parts"]):
        mine = trees_of(run, condition=condition).trees().summary()
        assert part["trees"]["n_trees"] == 4
        assert part["trees"]["measures"]["virality"] == pytest.approx(mine["virality"])
        assert "distances" not in part["trees"]
        found = {row["measure"]: row for row in rows(files, f"cascades{condition + 1}_trees")}
        assert float(found["nodes"]["mean"]) == mine["size"]["mean"]
        assert f"4 trees: in the median {mine['size']['median']:.4g} agents" in files["report.html"].decode()
    assert not [name for name in files if "tree_distances" in name]


def test_trees_stand_beside_those_observed_with_how_far_they_are_apart(run: Run, observed: Trees) -> None:
    files, _ = files_of(make_report([run], options(observed=observed)), made_at=0.0)
    expected = tree_distances(trees_of(run, condition=1).trees(), observed)
    found = rows(files, "cascades2_tree_distances")
    assert [float(row["statistic"]) for row in found] == [each.statistic for each in expected]
    assert found[0]["n_observed"] == "2"
    page = files["report.html"].decode()
    assert "2 trees are few" in page
    assert ".csv: not in the table: 1 of 40 parents" in page
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    results = json.loads(files["results.json"])
    assert results["parts"][1]["trees"]["observed"]["counts"]["n_orphans"] == 1
    assert results["parts"][1]["trees"]["distances"][0]["statistic"] == expected[0].statistic


def test_trees_are_drawn_by_condition_with_those_observed(run: Run, observed: Trees) -> None:
    made = make_report([run], options(observed=observed))
    with house_style():
        of_part = FIGURES["cascade_trees"].sketch(made.parts[0].trees, observed)
        (drawn,) = rendered([FIGURES["trees_by_condition"].sketch(made.conditions[0])])
    assert "4 trees of run and 2 trees of <img" in of_part.caption
    assert "4 trees of degree 4, 4 trees of degree 8 and 2 trees of <img" in drawn.caption
    assert "Degree 8: medians size " in drawn.alternative
    assert drawn.svg is not None
    assert "<img src=x" not in drawn.svg


def test_a_run_without_a_finished_realization_has_no_trees_and_says_why(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "going_on"
    folder.mkdir()
    (folder / LOG_NAME).write_bytes(run.path.read_bytes())
    with closing(sqlite3.connect(folder / LOG_NAME)) as connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.execute("UPDATE realizations SET status = 'running'")
        connection.commit()
    report = make_report([Run(folder)], options())
    assert report.parts[0].trees is None
    why = "No finished realization was started by anybody: there are no trees."
    assert why in files_of(report, made_at=0.0)[0]["report.html"].decode()
    assert FIGURES["cascade_trees"].sketch(None, None).unavailable == why


def test_the_command_reads_what_was_observed(command: Callable[..., Any], run: Run, tmp_path: Path) -> None:
    seen = tmp_path / "seen.csv"
    seen.write_text("key,parent\n1,\n2,1\n")
    few = ("--no-figures", "--bootstraps", 0, "--runs", 2, "--law", "one_rate", "--output", "r", "--quiet")
    refused = command("report", run.folder, "--observed", seen, *few)
    assert (refused.code, "there is no such column" in refused.err) == (2, True)
    done = command("report", run.folder, "--observed", seen, "--column", "id=key", *few)
    assert done.code == 0, done.err
    assert Path("r/tables/cascades1_tree_distances.csv").exists()
