"""What the command line does for a user."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import networkx as nx
import pandas as pd
import pytest

from agentnet import Run
from agentnet.events.spending import cost_words
from agentnet.report.log_facts import read_facts

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


def test_a_run_ends_finished_with_its_counts_and_digest(command, small):
    done = command("run", small, "--seed", 3, "--json", "--out", "a")
    assert done.code == 0
    result = json.loads(done.out)
    run = Run(Path("a"))
    assert result["status"] == run.meta["status"] == "finished"
    assert result["realizations"] == 4
    assert result["decisions"] == run.rows("SELECT COUNT(*) FROM decisions")[1][0][0]
    assert result["digest"] == run.digest()
    assert sorted(path.name for path in Path("a/parquet").glob("*"))[:3] == [
        "agents.parquet",
        "answers.parquet",
        "changes.parquet",
    ]
    assert [path.name for path in Path("a").glob("events*")] == ["events.sqlite"]


def test_the_same_seed_gives_the_same_digest_and_another_seed_another(command, small):
    digests = [
        json.loads(command("run", small, "--seed", seed, "--json", "--out", f"r{i}").out)["digest"]
        for i, seed in enumerate((1, 1, 2))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_knob_is_overridden_by_a_flag_the_environment_and_a_file_in_that_order(command, small, monkeypatch):
    Path("agentnet.toml").write_text("[experiment]\nrepeats = 3\nsteps = 2\nn_agents = 16\n")
    monkeypatch.setenv("AGENTNET_EXPERIMENT__STEPS", "4")
    command("run", small, "-S", "n_agents=20", "--out", "a", "--quiet")
    design = Run(Path("a")).meta["experiment"]["design"][0]
    assert (design["repeats"], design["steps"], design["n_agents"]) == (3, 4, 20)


def test_progress_goes_to_standard_error_and_without_bars_where_there_is_no_terminal(command, small):
    done = command("run", small, "--json")
    assert json.loads(done.out)
    assert "4 realizations on mock-main_effects" in done.err
    assert "\x1b" not in done.err + done.out


def test_check_asks_nobody_and_shows_a_prompt_of_each_kind(command, small):
    done = command("check", small)
    assert done.code == 0
    assert "prompt: seed" in done.out
    assert "prompt: exposure" in done.out
    assert not Path("runs").exists()


def test_check_counts_the_calls_of_the_response_ratios_exactly(command):
    done = command("check", EXPERIMENTS / "response_ratios.py", "--json")
    found = json.loads(done.out)
    assert (found["calls"], found["realizations"]) == (16_000, 50)


def test_check_estimates_a_cascade_near_what_it_takes(command, small):
    estimated = json.loads(command("check", small, "--json", "-S", "repeats=10").out)["decisions"]
    taken = json.loads(command("run", small, "--json", "-S", "repeats=10").out)["decisions"]
    assert 0.5 < estimated / taken < 2.0


def test_check_counts_one_reason_for_each_answered_decision(command, small):
    found = json.loads(command("check", small, "--json", "-S", "rationale=afterwards").out)
    assert found["reasons"] == found["decisions"] > 0
    assert found["calls"] == 2 * found["decisions"]


def test_check_shrinks_large_networks_and_scales_the_estimate(command, small):
    small_one = json.loads(command("check", small, "--json", "-S", "n_agents=4000", "-S", "repeats=1").out)
    large = json.loads(command("check", small, "--json", "-S", "n_agents=40000", "-S", "repeats=1").out)
    assert 5 < large["decisions"] / small_one["decisions"] < 20


def test_ls_lists_runs_and_unreadable_folders(command, small):
    assert "no runs" in command("ls").err
    command("run", small, "--quiet")
    Path("runs/broken").mkdir()
    Path("runs/broken/events.sqlite").write_text("not a database at all" * 100)
    listed = command("ls")
    assert listed.code == 0
    assert "finished" in listed.out
    assert "unreadable" in listed.out
    assert len(json.loads(command("ls", "--json").out)) == 2


def test_show_tells_the_digest_and_the_mean_curve(command, small):
    command("run", small, "--quiet", "--out", "runs/a")
    shown = json.loads(command("show", "last", "--json").out)
    assert shown["digest"] == Run(Path("runs/a")).digest()
    curve = pd.DataFrame(shown["engaged_fraction"])
    first = curve[curve.step == 0]
    assert (first.engaged_fraction == 1 / 32).all()
    assert curve.groupby("severity").engaged_fraction.apply(lambda c: c.is_monotonic_increasing).all()
    assert "engaged fraction" in command("show", "a").out


def test_answers_whose_tokens_no_server_counted_are_not_passed_over(command, small):
    played = json.loads(command("run", small, "--json", "--out", "a").out)
    assert played["uncounted_answers"] == 0
    with closing(sqlite3.connect("a/events.sqlite")) as log, log:
        log.execute("UPDATE events SET prompt_tokens = NULL WHERE realization = 0")
        log.execute("UPDATE events SET completion_tokens = NULL WHERE realization < 2")
        (n,) = log.execute("SELECT COUNT(*) FROM events WHERE realization < 2").fetchone()
    assert json.loads(command("show", "a", "--json").out)["uncounted_answers"] == n > 1


def test_run_show_and_report_say_the_same_of_what_all_sittings_took(command, small):
    assert command("run", small, "--out", "a", "--max-calls", 20, "--quiet").code == 3
    done = json.loads(command("run", "--resume", "a", "--max-calls", 10**6, "--quiet", "--json").out)
    with closing(sqlite3.connect("a/events.sqlite")) as log, log:
        (noted,) = log.execute(
            "SELECT detail FROM incidents WHERE kind = 'spent' ORDER BY incident DESC"
        ).fetchone()
    assert done["calls"] == json.loads(noted)["calls"] == done["calls_of_this_sitting"] + 20
    assert json.loads(command("show", "a", "--json").out)["took"] == done["took"] == words_of("a")
    # What a kill leaves: more was pledged than answers are recorded for.
    more = "json_set(detail, '$.prompt_tokens', 10000000, '$.unmetered', 70)"
    with closing(sqlite3.connect("a/events.sqlite")) as log, log:
        log.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        log.execute(f"UPDATE incidents SET detail = {more} WHERE kind = 'spent'")
    shown = json.loads(command("show", "a", "--json").out)
    assert shown["took"] == words_of("a")
    assert shown["took"].startswith("at most ")
    assert (shown["prompt_tokens"], shown["estimated_calls"]) == (10_000_000, 70)


def words_of(run):
    return cost_words(read_facts(Run(Path(run))).spending)


def test_show_averages_the_curve_like_pandas(command, small):
    command("run", small, "--quiet", "--out", "a", "-S", "repeats=5")
    shown = pd.DataFrame(json.loads(command("show", "a", "--json").out)["engaged_fraction"])
    run = Run(Path("a"))
    steps = (
        run.frame("steps").pivot_table(index="step", columns="realization", values="n_engaged").ffill() / 32
    )
    severity = run.query("SELECT realization, severity FROM realizations JOIN news USING (news)")
    for of_severity, group in severity.groupby("severity"):
        expected = steps[group.realization].mean(axis=1)
        found = shown[shown.severity == of_severity].set_index("step").engaged_fraction
        pd.testing.assert_series_equal(found, expected, check_names=False)


def test_check_lists_the_conditions_and_whose_knobs_it_shows(command, small):
    shown = command("check", small, "-S", "conditions=[{steps=1}, {steps=3}]").out
    assert "condition 0: steps 1; its knobs are those above\ncondition 1: steps 3\n" in shown
    assert "({},)" not in shown
    assert "<class" not in shown


def test_conditions_may_be_written_as_json_and_an_error_says_in_which_it_is(command, small):
    toml, as_json = (
        command("check", small, "--json", "-S", f"conditions={text}").out
        for text in ("[{steps=1}, {steps=3}]", '[{"steps": 1}, {"steps": 3}]')
    )
    assert toml == as_json
    for text, where in {
        '[{}, {"step": 1}]': "condition 1: ",
        '[{}, {"steps": "x"}]': "condition 1: ",
        "[{}, 5]": ".conditions[1] is 5",
    }.items():
        refused = command("check", small, "-S", f"conditions={text}")
        assert (refused.code, where in refused.err) == (2, True), refused.err


def test_show_averages_each_condition_by_itself(command, small):
    command("run", small, "--quiet", "--out", "a", "-S", "conditions=[{steps=1}, {steps=3}]")
    curve = pd.DataFrame(json.loads(command("show", "a", "--json").out)["engaged_fraction"])
    assert curve.groupby("condition").n_realizations.max().to_dict() == {"steps 1": 2, "steps 3": 2}
    assert "condition" in command("show", "a").out


def test_who_engages_again_is_counted_once(command, small):
    rates = ("-S", "recovery_rate=0.9", "-S", "susceptible_again=true", "-S", "steps=12")
    done = command("run", small, "--quiet", "--json", "--out", "a", *rates)
    counts, again = json.loads(done.out), "SELECT COUNT(*) FROM changes WHERE what = 'engaged'"
    assert Run("a").rows(again)[1][0][0] > 0
    assert counts["engaged"] == Run("a").rows("SELECT COUNT(engaged_step) FROM agents")[1][0][0]


def test_query_prints_a_table_or_json_and_changes_nothing(command, small):
    command("run", small, "--quiet", "--out", "a")
    asked = command("query", "a", "SELECT COUNT(*) AS n FROM realizations", "--json")
    assert json.loads(asked.out) == [{"n": 4}]
    refused = command("query", "a", "DELETE FROM events")
    assert refused.code == 2
    assert "one SELECT" in refused.err


def test_export_writes_graphs_that_networkx_reads(command, small):
    command("run", small, "--quiet", "--out", "a")
    done = command("export", "a", "--format", "graphml")
    files = sorted(Path(done.out.strip()).glob("*.graphml"))
    assert len(files) == 4
    assert nx.read_graphml(files[0]).number_of_nodes() == 32


def test_backends_says_what_is_installed_and_what_it_needs(command):
    rows = {(row["kind"], row["name"]): row for row in json.loads(command("backends", "--json").out)}
    assert rows["backend", "mock"]["needs"] == "nothing"
    assert rows["backend", "mock"]["from"].startswith("agentnet-cascades ")
    assert {("embedder", "hash"), ("update rule", "stand_in"), ("update rule", "memory")} <= rows.keys()
    assert "mock" in command("backends").out


def test_config_says_where_each_value_comes_from(command):
    rows = {row["key"]: row for row in json.loads(command("config", "--json", "-S", "engine.workers=9").out)}
    assert rows["engine.workers"]["value"] == "9"
    assert "-S" in rows["engine.workers"]["origin"]
    assert rows["seed"]["origin"] == "default"
    assert "engine.workers" in command("config").out


def test_help_teaches_by_example(command):
    shown = command("--help")
    assert shown.code == 0
    assert "agentnet run experiments/news_cascade.py" in shown.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "experiment file"),
        (["run", "missing.py"], "missing.py"),
        (["run", "{small}", "--backend", "mok"], "did you mean 'mock'"),
        (["run", "{small}", "-S", "repeat=2"], "did you mean 'repeats'"),
        (["run", "{small}", "-S", "engine.worker=2"], "did you mean 'workers'"),
        (["run", "{small}", "--seed", str(2**63)], "seed"),
        (["run", "{small}", "-S", "n_agents=many"], "n_agents"),
        (["run", "{small}", "-S", "n_agents=33"], "must be even"),
        (["run", "{small}", "-S", "degree=40"], "degree"),
        (["run", "{small}", "-S", "network=smallworld"], "smallworld"),
        (["run", "{small}", "-S", "network=erdos_renyi"], "degree"),
        (["run", "{small}", "-S", "network=nowhere.graphml"], "nowhere.graphml"),
        (["run", "{small}", "-S", "profiles=0110"], "0110"),
        (["run", "{small}", "-S", "asking_rule=sometimes"], "asking_rule"),
        (["run", "{small}", "-S", "temperature=[1.3, 0.7]"], "temperature"),
        (["run", "{small}", "-S", "steps=0"], "steps"),
        (["run", "{small}", "-S", "items_per_severity=100000"], "100000"),
        (["run", "{small}", "-S", "backend.law=magic"], "backend.law"),
        (["run", "{small}", "--news", "none.csv"], "none.csv"),
        (["run", "{small}", "--news", "{empty}"], "empty"),
        (["run", "{small}", "-S", "prompts=no_folder"], "no_folder"),
        (["run", "{small}", "--config", "no.toml"], "no.toml"),
        (["run", "{small}:Tiny"], "Tiny"),
        (["run", "--resume", "nothing"], "nothing"),
        (["run", "--resume", "last"], "no run"),
        (["run", "{small}", "--resume", "nothing"], "nothing"),
        (["check", "{broken}"], "line 2"),
        (["check", "{failing}"], "ZeroDivisionError"),
        (["check", "{nothing}"], "subclass"),
        (["check", "{bare}"], "CascadeExperiment"),
        (["show", "none"], "none"),
        (["query", "none", "SELECT 1"], "none"),
        (["export", "none", "--format", "csv"], "none"),
        (["export", "none", "--format", "xls"], "xls"),
        (["frobnicate"], "frobnicate"),
        (["news", "validate", "none.csv"], "none.csv"),
    ],
)
def test_bad_input_ends_in_one_clear_message(command, small, tmp_path, arguments, words):
    files = {
        "empty": "",
        "broken": "import agentnet\nclass X(:\n",
        "failing": "1 / 0\n",
        "nothing": "x = 1\n",
        "bare": "from agentnet import Experiment\nclass X(Experiment):\n    pass\n",
    }
    places = {"small": small}
    for name, text in files.items():
        places[name] = tmp_path / f"{name}.py"
        places[name].write_text(text)
    done = command(*(argument.format(**places) for argument in arguments))
    assert done.code == 2, done
    assert words in done.err
    assert "Traceback" not in done.err
    assert not list(Path("runs").glob("*")) if Path("runs").exists() else True


def test_an_unwritable_runs_folder_is_the_worlds_fault(command, small):
    Path("occupied").write_text("a file, not a folder")
    done = command("run", small, "-S", "runs=occupied")
    assert done.code == 3
    assert "occupied" in done.err


def test_a_folder_that_holds_a_run_is_not_written_again(command, small):
    command("run", small, "--quiet", "--out", "a")
    digest = Run(Path("a")).digest()
    done = command("run", small, "--quiet", "--out", "a", "--seed", 5)
    assert done.code == 2
    assert "holds a run already" in done.err
    assert Run(Path("a")).digest() == digest


def test_a_finished_run_is_not_resumed(command, small):
    command("run", small, "--quiet", "--out", "a")
    done = command("run", "--resume", "a")
    assert done.code == 2
    assert "finished" in done.err


def unfinish(folder: Path) -> None:
    """Take the end of a run back: its last realization, and that it finished."""
    with sqlite3.connect(folder / "events.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '\"running\"' WHERE key = 'status'")
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.execute("DELETE FROM events WHERE realization = 3 AND step > 1")
        connection.execute("UPDATE realizations SET status = 'running' WHERE realization = 3")
    connection.close()


def test_a_broken_run_resumes_to_the_same_digest_without_its_experiment_file(command, small):
    command("run", small, "--quiet", "--out", "a")
    digest = Run(Path("a")).digest()
    unfinish(Path("a"))
    small.unlink()
    done = command("run", "--resume", "a", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["digest"] == digest


def test_a_run_of_another_experiment_is_not_resumed(command, small):
    command("run", small, "--quiet", "--out", "a")
    unfinish(Path("a"))
    done = command("run", EXPERIMENTS / "news_cascade.py", "--resume", "a")
    assert done.code == 2
    assert "small.py" in done.err


def test_resuming_changes_how_a_run_is_played_but_not_its_design(command, small):
    command("run", small, "--quiet", "--out", "a")
    digest = Run(Path("a")).digest()
    unfinish(Path("a"))
    refused = command("run", "--resume", "a", "--seed", 9)
    assert (refused.code, "seed" in refused.err) == (2, True)
    allowed = command("run", "--resume", "a", "--json", "-S", "engine.workers=3")
    assert json.loads(allowed.out)["digest"] == digest


def test_a_log_of_another_schema_is_refused_in_words(command, small):
    command("run", small, "--quiet", "--out", "a")
    with sqlite3.connect("a/events.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    for arguments in (("show", "a"), ("run", "--resume", "a")):
        done = command(*arguments)
        assert done.code == 2
        assert "schema 99" in done.err


def test_missing_answers_are_counted_and_named(command, small):
    done = command("run", small, "--json", "--out", "a", "-S", "backend.refusal_rate=0.3")
    missing = json.loads(done.out)["missing"]
    shown = json.loads(command("show", "a", "--json").out)
    assert missing == shown["missing"] == shown["missing_by_reason"]["refused"] > 0


def test_a_missing_answer_stops_the_run_where_that_is_asked_for_and_it_can_go_on(command, small):
    flags = ("-S", "backend.refusal_rate=0.3", "-S", "engine.on_missing=stop", "--quiet", "--out", "a")
    stopped = command("run", small, *flags)
    assert stopped.code == 3
    assert "agentnet run --resume a" in stopped.err
    assert Run(Path("a")).rows("SELECT COUNT(*) FROM events WHERE missing IS NOT NULL")[1] == [(0,)]
    assert Run(Path("a")).rows("SELECT COUNT(*) FROM troubles")[1][0][0] > 0
    keep_going = ("-S", 'engine.on_missing="keep going"', "-S", "engine.max_missing=1")
    went_on = command("run", "--resume", "a", *keep_going, "--json")
    assert went_on.code == 0
    plain = command("run", small, "--json", "-S", "backend.refusal_rate=0.3")
    assert json.loads(went_on.out)["digest"] == json.loads(plain.out)["digest"]


def play_slowly(small: Path, folder: Path) -> subprocess.Popen[str]:
    """Start a run that takes a few seconds, as a process of its own."""
    command = [sys.executable, "-c", "from agentnet.cli import main; main()", "run", str(small)]
    flags = ["--out", str(folder), "-S", "backend.latency_s=0.05", "-S", "engine.workers=4"]
    return subprocess.Popen(
        [*command, *flags], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=small.parent
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_finishes_what_is_in_flight_and_prints_the_command_that_resumes(
    command, small, wait_for_events, number
):
    folder = small.parent / "slow"
    process = play_slowly(small, folder)
    wait_for_events(folder, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 130
    assert f"agentnet run --resume {folder}" in err
    assert "Traceback" not in err
    incidents = Run(folder).rows("SELECT kind FROM incidents ORDER BY incident")[1]
    assert incidents == [("started",), ("stopped",), ("spent",)]
    resumed = json.loads(command("run", "--resume", folder, "--json", "-S", "backend.latency_s=0").out)
    unbroken = json.loads(command("run", small, "--json").out)
    assert resumed["digest"] == unbroken["digest"]


def test_a_second_ctrl_c_stops_at_once_and_loses_nothing_recorded(command, small, wait_for_events):
    folder = small.parent / "slow"
    process = play_slowly(small, folder)
    wait_for_events(folder, process)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 130
    assert "resume" in err
    resumed = json.loads(command("run", "--resume", folder, "--json", "-S", "backend.latency_s=0").out)
    assert resumed["digest"] == json.loads(command("run", small, "--json").out)["digest"]


@pytest.mark.parametrize("value", ["x", "", "1.5", "99999999999999999"])
def test_a_time_in_the_environment_that_libraries_cannot_read_is_named(command, monkeypatch, value):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    done = command("ls")
    assert (done.code, f"SOURCE_DATE_EPOCH is {value!r}" in done.err) == (2, True)


def test_figures_are_drawn_into_files_whatever_screen_the_environment_names():
    text = (
        "import sys, agentnet.cli; sys.argv = ['agentnet', '--version']\n"
        "try:\n    agentnet.cli.main()\nexcept SystemExit:\n    import matplotlib.pyplot\n"
    )
    environ = {**os.environ, "MPLBACKEND": "nonsense"}
    done = subprocess.run([sys.executable, "-c", text], env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
