"""What an earlier version decided, computed and wrote stands in ``tests/golden``, and is still so.

Runs by their digests, all that they asked and were told, and what it took; reports by ``results.json``,
their methods paragraphs and their tables; two logs that version 0.1.0 wrote (schema 3). What differs by time
or version is taken out; numbers may differ by a millionth, for the kernels that linear algebra takes on
other processors end up to 2e-7 apart in least squares, and in the scaling of distances near zero.

A change that is meant to show here writes all of it anew, and the difference is then read as any other:

    AGENTNET_GOLDEN=write pytest tests/test_golden.py

That leaves the two logs and the digests below as they are: a log of an older version cannot be written again.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from agentnet import Run
from agentnet.events import LOG_NAME

GOLDEN = Path(__file__).parent / "golden"
RUNS = GOLDEN / "runs.json"
WRITING = os.environ.get("AGENTNET_GOLDEN") == "write"

TROUBLES = {"backend.invalid_rate": 0.2, "backend.refusal_rate": 0.05, "engine.max_asks": 2}
PLAYED: dict[str, tuple[str, dict[str, Any]]] = {
    "cascade": ("Cascades", {}),
    "cascade, always": ("Cascades", {"asking_rule": "always"}),
    "cascade, unexposed neighbour": ("Cascades", {"asking_rule": "unexposed_neighbour"}),
    "cascade, once per edge": ("Cascades", {"asking_rule": "once_per_edge"}),
    "cascade, no rationale": ("Cascades", {"rationale": "none"}),
    "cascade, rationale afterwards": ("Cascades", {"rationale": "afterwards", "temperature": 0.8}),
    "cascade, choices": ("Cascades", {"sampler.mode": "choices"}),
    "cascade, choices and rationale afterwards": (
        "Cascades",
        {"sampler.mode": "choices", "rationale": "afterwards"},
    ),
    "cascade, logprobs": ("Cascades", {"sampler.mode": "logprobs", "rationale": "none"}),
    "cascade, troubles": ("Cascades", TROUBLES | {"rationale": "afterwards", "asking_rule": "once_per_edge"}),
    "cascade, small world": ("SmallWorld", {}),
    "cascade, two conditions": ("TwoDegrees", {}),
    "cascade, two conditions, choices": ("TwoDegrees", {"sampler.mode": "choices"}),
    "ratios": ("Ratios", {}),
    "ratios, no rationale": ("Ratios", {"rationale": "none"}),
    "ratios, choices": ("Ratios", {"sampler.mode": "choices"}),
    "ratios, logprobs": ("Ratios", {"sampler.mode": "logprobs", "rationale": "none"}),
    "ratios, troubles": ("Ratios", TROUBLES),
    "ratios, two conditions": ("TwoTemperatures", {}),
    "interviews, two conditions": ("TwoTopologies", {}),
    "interviews, memory": ("TwoTopologies", {"update": "memory", "temperature": 0.7}),
    "interviews, none": ("TwoTopologies", {"update": "none"}),
    "interviews, asked again": ("TwoTopologies", {"reuse": False, "questions_from": "bank"}),
    "interviews, taught the evaluation set": ("TwoTopologies", {"taught_from": "evaluation", "n_taught": 2}),
    "interviews, disrupted": ("Disrupted", {}),
}

FEW = ("--runs", 4, "--bootstraps", 8)
REPORTED: dict[str, tuple[dict[str, str], tuple[Any, ...]]] = {
    "cascades": ({"ReportedCascades": "cascades"}, ()),
    "cascades_and_ratios": (
        {"ReportedCascades": "cascades", "ReportedRatios": "ratios"},
        ("--n-groups", 2, "--law", "main_effects", "--law", "group_logistic", "--law", "group_rates"),
    ),
    "interviews": ({"TwoTopologies": "interviews"}, ()),
}
"""Of each report: its designs and their run folders, and how it is made."""


@pytest.fixture
def play(command: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Play a design of ``golden/designs.py``; give what the command said of it."""

    def play(design: str, knobs: dict[str, Any], out: str) -> dict[str, Any]:
        file = f"{GOLDEN / 'designs.py'}:{design}"
        set_to = {"log.parquet": "false", "stack.cache": "false"} | knobs
        options = (word for name, value in set_to.items() for word in ("-S", f"{name}={spelled(value)}"))
        done = command(
            "run", file, "--seed", 7, "--backend", "mock", "--out", out, "--json", "--quiet", *options
        )
        assert done.code in {0, 5}, done.err
        found: dict[str, Any] = json.loads(done.out)
        return found

    return play


def spelled(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# Runs


WORDS = """
    SELECT realization, events.kind, step, agent, source, repeat, messages, text, rationale, asks,
        context, mass
    FROM events LEFT JOIN prompts USING (prompt) LEFT JOIN replies USING (reply) ORDER BY 1, 2, 3, 4, 5, 6
"""


def words_of(run: Run) -> str:
    """Hash what each agent or model was asked and answered, which a digest of decisions leaves out."""
    rows = run.rows(WORDS)[1]
    assert rows
    return hashlib.sha256("".join(map(repr, rows)).encode()).hexdigest()


@pytest.mark.parametrize("name", PLAYED)
def test_a_run_decides_what_it_did_and_asks_in_the_same_words(
    play: Callable[..., dict[str, Any]], name: str
) -> None:
    said = play(*PLAYED[name], out="played")
    del said["run"], said["seconds"]
    found = said | {"words": words_of(Run(Path("played")))}
    if WRITING:
        before = json.loads(RUNS.read_text("utf-8")) if RUNS.exists() else {}
        kept = {each: before[each] for each in PLAYED if each in before and each != name}
        RUNS.write_text(json.dumps(kept | {name: found}, indent=1, sort_keys=True) + "\n", "utf-8")
    assert found == json.loads(RUNS.read_text("utf-8"))[name]


def test_every_run_of_record_is_played() -> None:
    assert json.loads(RUNS.read_text("utf-8")).keys() == PLAYED.keys()


# Reports


OF_TIME_AND_VERSION = {
    *("made_at", "agentnet", "versions"),
    *("mean_latency_s", "longest_latency_s"),
}
_PASSING = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC|(?<=platform )Linux-\S+(?=\.)")
"""Times, and the machine, whose kernel's build is part of its name."""
_ROW = re.compile(r'^"(?:version of |mean latency|longest latency|first to last answer).*\n', re.MULTILINE)


def lasting(value: Any) -> Any:
    """Take out of results what differs by time, machine or version."""
    if isinstance(value, dict):
        return {key: lasting(each) for key, each in value.items() if key not in OF_TIME_AND_VERSION}
    if isinstance(value, list):
        return [lasting(each) for each in value]
    return _PASSING.sub("TIME", value) if isinstance(value, str) else value


def lasting_files(folder: Path) -> dict[str, str]:
    """Give a report's results, methods paragraphs and tables by the names that they have in ``golden``."""
    results = lasting(json.loads((folder / "results.json").read_text("utf-8")))
    methods = [part.pop("methods") for part in results["parts"]]
    tables = {path.name: path.read_text("utf-8") for path in sorted((folder / "tables").iterdir())}
    return {
        "results.json": json.dumps(results, ensure_ascii=False, indent=1) + "\n",
        "methods.txt": _PASSING.sub("TIME", "\n\n".join(methods)) + "\n",
        **{name: _PASSING.sub("TIME", _ROW.sub("", text)) for name, text in tables.items()},
    }


def compare_report(folder: Path, golden: str) -> None:
    """Compare a report with the one of record; when writing, make it the one of record."""
    found = lasting_files(folder)
    if WRITING:
        write(GOLDEN / golden, found)
    expected = {path.name: path.read_text("utf-8") for path in (GOLDEN / golden).iterdir()}
    assert found.keys() == expected.keys()
    assert found["methods.txt"] == expected["methods.txt"]
    differing = [line for name in expected for line in differences(name, expected[name], found[name])]
    assert not differing, "\n".join(differing[:40])


def write(folder: Path, files: dict[str, str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")


def differences(name: str, expected: str, found: str) -> Iterator[str]:
    """List where two JSON or CSV texts differ by more than the last digits of numbers."""
    parse: Callable[[str], Any] = json.loads if name.endswith(".json") else rows_of
    return differing(parse(expected), parse(found), name)


def rows_of(text: str) -> list[list[str | float]]:
    """Read a table; what is spelled like a fraction becomes a number, all else stays text."""
    return [[as_number(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]


def as_number(cell: str) -> str | float:
    return float(cell) if re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", cell) and not cell.isdigit() else cell


def differing(expected: Any, found: Any, place: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in expected | found:
            yield from differing(expected.get(key, "nothing"), found.get(key, "nothing"), f"{place}/{key}")
    elif isinstance(expected, list) and isinstance(found, list):
        for number, pair in enumerate(zip_longest(expected, found, fillvalue="nothing")):
            yield from differing(*pair, f"{place}/{number}")
    elif not alike(expected, found):
        yield f"{place}: {expected!r} became {found!r}"


def alike(expected: object, found: object) -> bool:
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(expected, found, rel_tol=1e-6, abs_tol=5e-7)
    return type(expected) is type(found) and expected == found


def test_the_comparison_lets_pass_the_last_digits_of_numbers_and_nothing_else() -> None:
    table = '"a","b"\n1,"00001"\n0.25,"x 0.5"\n'
    assert not list(differences("t.csv", table, table.replace("0.25", "0.25000000001")))
    for old, new in (
        *(("\n1,", "\n1.0,"), ("\n1,", "\n2,")),
        *(("0.25", "0.250001"), ("00001", "1"), ("x 0.5", "x 0.50")),
    ):
        assert list(differences("t.csv", table, table.replace(old, new))), (old, new)
    assert list(differences("t.csv", table, table + '3,"c"\n'))
    text = '{"a": [1, 0.5, null], "b": "c"}'
    assert not list(differences("t.json", text, text.replace("0.5", "0.50000000001")))
    for old, new in ("1,", "1.0,"), ("0.5", "0.501"), ("null", "0.0"), ('"c"', '"d"'), ('"b"', '"e"'):
        assert list(differences("t.json", text, text.replace(old, new))), old


@pytest.mark.parametrize("name", REPORTED)
def test_a_report_says_what_it_did(
    play: Callable[..., dict[str, Any]], command: Callable[..., Any], name: str
) -> None:
    designs, options = REPORTED[name]
    for design, out in designs.items():
        play(design, {}, out)
    done = command("report", *designs.values(), *options, *FEW, "--no-figures", "--output", "report")
    assert done.code == 0, done.err
    compare_report(Path("report"), name)


# Logs of version 0.1.0


STOPPED = "b10faf6c431a704ab16d8aed1cc95f439ab251e1cd7dff5b7fac09f3f8256e92"
UNBROKEN = "7b6b06619546c9cb4d370f2a2384e6103f2befcd391ff3834a9b082b6ae98cf7"
"""Of cascades of two conditions, stopped by ``--max-calls 400`` in the second, and played without a break."""
INTERVIEWS = "b9aced022793c1fe630475dc3b03d3c25ec00d503f3cfa8585cdd7edfba053e6"
"""Of the interviews of which ``golden/old_interviews`` is the report, finished."""


@pytest.fixture
def old_log(tmp_path: Path) -> Callable[[str], Path]:
    """Lay out a log as version 0.1.0 wrote it."""

    def old_log(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        text = gzip.decompress((GOLDEN / "logs" / f"{name}.sql.gz").read_bytes()).decode()
        with closing(sqlite3.connect(folder / LOG_NAME)) as connection:
            connection.executescript(text)
        return folder

    return old_log


def export(command: Callable[..., Any], folder: Path, *kinds: str) -> None:
    """Export a log, and see that every event is there."""
    for kind in kinds:
        assert command("export", folder, "--format", kind).code == 0
    ((n_events,),) = Run(folder).rows("SELECT COUNT(*) FROM events")[1]
    assert len(rows_of((folder / "csv" / "events.csv").read_text("utf-8"))) == 1 + n_events


def test_an_old_log_that_was_stopped_is_gone_on_with_fitted_reported_and_exported(
    old_log: Callable[[str], Path], command: Callable[..., Any]
) -> None:
    folder = old_log("cascades")
    assert Run(folder).digest() == STOPPED
    assert STOPPED in command("show", folder).out
    resumed = command("run", "--resume", folder, "--max-calls", 10_000, "--quiet")
    assert resumed.code == 0, resumed.err
    assert Run(folder).digest() == UNBROKEN
    few = (*FEW, "--law", "main_effects", "--law", "one_rate")
    fitted = command("fit", folder, *few, "--condition", 1, "--json")
    found = json.dumps(lasting(json.loads(fitted.out)), indent=1) + "\n"
    if WRITING:
        (GOLDEN / "fit.json").write_text(found, "utf-8")
    assert not list(differences("fit.json", (GOLDEN / "fit.json").read_text("utf-8"), found))
    assert command("report", folder, *few, "--no-figures").code == 0
    export(command, folder, "csv", "parquet", "gexf")


def test_an_old_log_that_was_finished_gives_the_report_that_it_gave(
    old_log: Callable[[str], Path], command: Callable[..., Any]
) -> None:
    folder = old_log("interviews")
    assert Run(folder).digest() == INTERVIEWS
    assert INTERVIEWS in command("show", folder).out
    assert command("verify", folder).code == 0
    assert command("report", folder, *FEW, "--no-figures").code == 0
    compare_report(folder / "report", "old_interviews")
    export(command, folder, "csv", "parquet")
