"""The designs of the field: each is short, plays, is gone on with wherever it stopped, and is analysed."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agentnet import Run

ROOT = Path(__file__).parent.parent
EXPERIMENTS = ROOT / "experiments"
KILLS = Path(__file__).parent / "kills"
DESIGNS = tomllib.loads((KILLS / "designs.toml").read_text("utf-8"))
"""Design -> the knobs by which it is played here."""

POOLED = ("social_proof", "labels_and_hubs", "mixed_models")
"""Those in which several agents may be asked the same."""

QUIET = ("--json", "--quiet", "--seed", "5", "-S", "log.parquet=false")
UNCACHED = ("-S", "stack.cache=false")

each_design = pytest.mark.parametrize("name", DESIGNS)


@pytest.fixture
def play(command, tmp_path):
    """Play a design; give what was said of it."""

    def play(name, *options, out="run"):
        knobs = [word for knob in DESIGNS[name].items() for word in ("-S", "{}={}".format(*knob))]
        return command(
            "run", EXPERIMENTS / f"{name}.py", "--out", tmp_path / out, *QUIET, *UNCACHED, *knobs, *options
        )

    return play


def goes_on(command, play, tmp_path, name, *options):
    """Play a design whole and cut off in its middle; say whether going on with it ends the same."""
    whole = json.loads(play(name, *options, out="whole").out)
    assert play(name, *options, "-S", f"stack.max_calls={whole['calls'] // 2}", out="cut").code == 3
    on = command("run", "--resume", tmp_path / "cut", *QUIET[:2], "-S", "stack.max_calls=1000000")
    assert on.code == 0, on.err
    assert json.loads(on.out)["digest"] == whole["digest"]
    return whole


def test_every_experiment_but_the_one_with_thirty_questions_has_at_most_sixty_lines():
    lengths = {path.stem: len(path.read_text("utf-8").splitlines()) for path in EXPERIMENTS.glob("*.py")}
    assert [name for name, n in lengths.items() if n > 60] == ["news_perspectives"]
    assert DESIGNS.keys() < lengths.keys()


@each_design
def test_a_design_says_how_it_is_analysed(name):
    said = (EXPERIMENTS / f"{name}.py").read_text("utf-8").split('"""')[1]
    assert re.search(r"agentnet (report|fit) RUN|agentnet\.analysis\.\w+", said)


@each_design
def test_a_design_as_it_stands_can_be_played(command, name):
    done = command("check", EXPERIMENTS / f"{name}.py")
    assert done.code == 0, done.err


@each_design
def test_a_design_ends_the_same_however_many_ask_and_wherever_it_stopped(command, play, tmp_path, name):
    whole = goes_on(command, play, tmp_path, name, "-S", "engine.workers=256")
    assert whole["missing"] == 0
    assert json.loads(play(name, "-S", "engine.workers=1", out="by-1").out)["digest"] == whole["digest"]


@pytest.mark.parametrize("mode", ["choices", "logprobs"])
@pytest.mark.parametrize("name", POOLED)
def test_where_agents_are_asked_the_same_draws_may_be_pooled(command, play, tmp_path, name, mode):
    told = goes_on(command, play, tmp_path, name, "-S", f"sampler.mode={mode}", "-S", "temperature=1")
    assert told["calls"] < told["decisions"]


@each_design
def test_a_run_of_a_design_is_reported(command, play, tmp_path, name):
    assert play(name).code == 0
    options = ("--no-figures", "--law", "main_effects", "--bootstraps", "0", "--runs", "2", "--quiet")
    done = command("report", tmp_path / "run", *options)
    assert done.code == 0, done.err
    page = (tmp_path / "run" / "report" / "report.html").read_text("utf-8")
    assert "Traceback" not in page + done.err
    for measure, *_ in Run(tmp_path / "run").rows("SELECT DISTINCT name FROM measures")[1]:
        assert measure in page


@pytest.mark.parametrize(
    ("name", "condition", "law"),
    [
        ("social_proof", 0, ("hill", "--by", "n_shared")),
        ("labels_and_hubs", 1, ("column_logistic", "--by", "labelled")),
        ("mixed_models", 1, ("column_logistic", "--by", "voice=imitator", "--by", "n_shared")),
    ],
)
def test_what_a_design_says_to_fit_is_fitted(command, play, tmp_path, name, condition, law):
    said = " ".join(("--condition", str(condition), "--law", *law))
    assert said in (EXPERIMENTS / f"{name}.py").read_text("utf-8")
    slope = ("-S", f"backend.slopes.{law[-1]}=0.3")
    assert play(name, *slope, "-S", "items_per_severity=2").code == 0
    done = command(
        "fit", tmp_path / "run", "--condition", condition, "--law", *law, "--bootstraps", "0", "--runs", "2"
    )
    assert done.code == 0, done.err
    assert law[2].partition("=")[0] in done.out


def test_what_the_designs_measure_is_what_they_say(play, tmp_path):
    """The minimal model of conventions: nobody leaves the old name unless enough insist on the new one."""
    assert play("naming_game", "-S", "minimal=true", "-S", "rounds=25", "-S", "n_agents=12").code == 0
    query = """SELECT json_extract(condition, '$.committed'), AVG(value) FROM measures
        JOIN realizations USING (realization) WHERE name = 'new' AND step = 25 GROUP BY 1"""
    shares = dict(Run(tmp_path / "run").rows(query)[1])
    assert shares[0.0] == 0
    assert shares[0.5] == 1


def kills(folder, names, *options):
    """Kill runs of designs at calls drawn by chance; list what went wrong, and how many were killed."""
    if shutil.which("strace") is None:
        pytest.skip("NO RUN IS KILLED AT ITS SYSTEM CALLS: strace is not installed")
    words = [sys.executable, KILLS / "driver.py", ",".join(names), "wal", folder, *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "cannot attach" in done.stderr:
        pytest.skip(f"NO RUN IS KILLED AT ITS SYSTEM CALLS: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return [kill for kill in told if kill["problems"]], sum(kill["killed"] for kill in told)


@pytest.mark.slow
@each_design
def test_a_design_killed_at_ten_moments_drawn_by_chance_ends_as_the_whole(tmp_path, name):
    wrong, n_killed = kills(tmp_path / "kills", [name], "--sample", "10", "--seed", "1")
    assert wrong == []
    assert n_killed >= 8
