"""`make bench`: figures are gathered turn by turn, and pages get their tables from them."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Load the file whose functions are tried."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return runpy.run_path(str(ROOT / "benchmarks" / "all.py"))


@pytest.fixture
def results(bench: dict[str, Any]) -> dict[str, Any]:
    """Make results of two calls of one benchmark."""
    found: dict[str, Any] = {}
    now = {"machine": "a machine", "commit": "abc", "python": "3.11.7", "versions": {"numpy": "2"}}
    for ratio in (0.9, 0.7):
        bench["add"](found, "engine", {"128 agents: ratio": [ratio, 0.8]}, now)
    return found


def test_the_last_line_that_a_benchmark_prints_holds_its_figures(bench):
    assert bench["read"]('read 3 files\n{"ratio": [0.5, 1]}\n') == {"ratio": [0.5, 1]}
    with pytest.raises(ValueError, match="figure 'ratio' has no finite value"):
        bench["read"]('{"ratio": [NaN]}')
    with pytest.raises(ValueError, match="figure 'ratio' has no finite value"):
        bench["read"]('{"ratio": []}')


def test_a_table_shows_the_median_with_the_least_and_the_most_of_all_turns(bench, results, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Before.\n\n<!-- bench: engine -->\nold\n<!-- /bench -->\nAfter.\n")
    bench["write"](results, [page])
    written = page.read_text()
    assert "old" not in written
    assert "| 128 (50 realizations) | 0.8 (0.7-0.9) | not measured |" in written
    assert "Medians of 4 turns or more" in written
    assert "a machine" in written
    assert "numpy 2" in written
    bench["write"](results, [page])
    assert page.read_text() == written


def test_a_table_that_was_not_measured_stays_and_is_named(bench, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("<!-- bench: engine -->\nold\n<!-- /bench -->\n")
    bench["write"]({}, [page])
    assert "old" in page.read_text()
    assert "NOT WRITTEN: engine" in capsys.readouterr().err


def test_who_goes_on_calls_what_is_left_turn_by_turn(bench, results):
    left = list(bench["wanted"](["network", "engine"], results, quick=False))
    assert left == ["network", "engine", "engine", "engine"]
    assert list(bench["wanted"](["network", "engine"], results, quick=True)) == ["network"]


def test_every_mark_of_a_page_has_a_table_and_every_table_a_benchmark(bench):
    marked = [name for page in bench["PAGES"] for _, name, _ in bench["MARKED"].findall(page.read_text())]
    assert set(bench["TABLES"]) == set(marked)
    assert {table.bench for table in bench["TABLES"].values()} <= set(bench["BENCHES"])
    for each in bench["BENCHES"].values():
        assert (ROOT / "benchmarks" / each.command[0]).is_file()


def test_every_benchmark_says_its_figures_in_one_form():
    told = {path.name for path in (ROOT / "benchmarks").glob("*.py") if "tell(" in path.read_text("utf-8")}
    apart = {
        "figures.py",
        "all.py",
        "real_studies.py",
        "worlds_mesa.py",
        "worlds_silisocs.py",
        "local_peers.py",
    }
    assert {path.name for path in (ROOT / "benchmarks").glob("*.py")} - apart <= told


def test_results_are_json_that_is_read_back(bench, results, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    assert bench["load"](path) == results
    assert bench["load"](tmp_path / "none.json") == {}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", results["engine"]["date"])
