"""What a study starts from: files to begin with, what knobs mean, and what a shell completes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from agentnet import Run
from agentnet.cli import cli
from agentnet.cli.explain import explained as explanation
from agentnet.config import Configuration, Settings, load_configuration
from agentnet.families import FAMILIES
from agentnet.prompts import PromptSet

SMALL = ("-S", "n_agents=24", "-S", "degree=3", "-S", "steps=3", "-S", "items_per_severity=1")


def test_what_init_writes_is_checked_played_and_reported(command, monkeypatch):
    done = command("init", "new_study")
    assert done.code == 0
    assert "cd new_study && agentnet check new_study.py" in done.out
    monkeypatch.chdir("new_study")
    Path("prompts/seed.txt").write_text("$news\nWould you pass this on?\n$answer\n")
    assert "Would you pass this on?" in command("check", "new_study.py", *SMALL).out
    assert command("run", "new_study.py", "--quiet", *SMALL).code == 0
    run = Run(max(Path("runs").glob("new_study-*")))
    assert run.meta["experiment"]["class_name"] == "NewStudy"
    assert run.meta["prompts"][0]["seed.txt"].splitlines()[1] == "Would you pass this on?"
    assert (
        command(
            "report", "last", "--no-figures", "--law", "main_effects", "--bootstraps", 0, "--runs", 2
        ).code
        == 0
    )


def test_init_writes_a_free_world_that_can_be_played(command, monkeypatch):
    assert command("init", "rain", "--family", "world").code == 0
    monkeypatch.chdir("rain")
    assert command("check", "rain.py").code == 0
    assert command("run", "rain.py", "--quiet", "--out", "a").code == 0
    assert Run("a").rows("SELECT COUNT(*), COUNT(DISTINCT value) FROM measures")[1] == [(20, 2)]


def test_init_writes_the_prompts_of_the_package(command):
    command("init")
    assert PromptSet.load(Path("my_study/prompts")).texts == PromptSet.load().texts


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_init_writes_a_study_of_any_family_in_which_all_may_be_commented_in(command, monkeypatch, family):
    assert command("init", "a", "--family", family).code == 0
    monkeypatch.chdir("a")
    assert command("config").code == 0
    text = Path("a.py").read_text()
    compile(re.sub(r"^    # (\w+ = )", r"    \1", text, flags=re.MULTILINE), "a.py", "exec")
    usual = {row.key: row.value for row in load_configuration(folder=Path.home() / "none", environ={}).rows()}
    settings = Path("agentnet.toml").read_text()
    Path("agentnet.toml").write_text(re.sub(r"^# (\w+ = \S)", r"\1", settings, flags=re.MULTILINE))
    rows = json.loads(command("config", "--json").out)
    assert {row["key"]: row["value"] for row in rows} == usual
    assert sum(row["origin"] == "agentnet.toml" for row in rows) > 20


def test_init_shows_a_hook_as_the_pages_teach_it(command):
    assert command("init", "study").code == 0
    assert "# def messages(self, prompts, exposure): ..." in Path("study/study.py").read_text()


def test_init_overwrites_nothing(command):
    Path("taken").mkdir()
    refused = command("init", "taken")
    assert refused.code == 2
    assert "is there already" in refused.err
    assert not list(Path("taken").iterdir())
    assert command("init", "../up").code == 2
    assert "did you mean 'cascade'" in command("init", "a", "--family", "cascades").err
    assert not Path("a").exists()


def explained(command, *arguments: object) -> list[dict[str, str]]:
    done = command("check", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_knob_is_explained_by_docstring_default_value_and_what_it_may_be(command, small):
    (found,) = explained(command, small, "--explain", "repeats", "-S", "repeats=4")
    assert found == {
        "knob": "repeats of Small",
        "meaning": "Realizations of each news item.",
        "default": "2",
        "now": "4 (-S repeats=4)",
        "values": "",
    }
    (found,) = explained(command, small, "--explain", "n_agents")
    assert found["now"] == "32 (class Small)"
    (found,) = explained(command, "--explain", "experiment.asking_rule")
    # Other tests may have entered rules of their own.
    assert {"once_per_edge", "unengaged_neighbour"} <= set(found["values"].split(", "))
    assert "now" not in found
    assert explained(command, "--explain", "rationale")[0]["values"] == "inline, afterwards, none"
    assert explained(command, "--explain", "update")[0]["values"] == "finetune, memory, none, stand_in"
    assert "watts_strogatz" in explained(command, "--explain", "network")[0]["values"]


def test_every_knob_of_every_family_is_explained_whatever_its_description_names():
    for each in FAMILIES.installed().values():
        for name in each.load().experiment().design():
            assert explanation(name, Configuration(Settings(), {}), None), name


def test_a_setting_is_explained_and_so_is_a_section(command):
    Path("agentnet.toml").write_text("[engine]\nworkers = 8\n")
    (found,) = explained(command, "--explain", "engine.workers")
    assert (found["default"], found["now"]) == ("64", "8 (agentnet.toml)")
    assert found["meaning"] == "requests in flight at once, 1 to 100000"
    assert len(explained(command, "--explain", "engine")) == 7
    assert "mock, openai" in explained(command, "--explain", "backend.name")[0]["values"]
    shown = command("check", "--explain", "engine.workers").out
    assert "8 (agentnet.toml)" in shown


def test_a_knob_of_the_users_own_is_explained_as_its_class_says(command):
    Path("own.py").write_text(
        "from agentnet import CascadeExperiment\n\n\nclass Own(CascadeExperiment):\n"
        '    """Mine.\n\n    Attributes:\n        rate: How often it\n            rains.\n    """\n'
        "    rate: float = 0.5\n    bare: int = 3\n"
    )
    assert explained(command, "own.py", "--explain", "rate")[0]["meaning"] == "How often it rains."
    assert (
        "not described in the docstring of Own"
        in explained(command, "own.py", "--explain", "bare")[0]["meaning"]
    )


def test_an_unknown_knob_is_answered_by_those_that_resemble_it(command, small):
    refused = command("check", small, "--explain", "repeat")
    assert refused.code == 2
    assert "no setting 'repeat'; did you mean 'repeats'?" in refused.err
    assert "did you mean 'engine.workers'?" in command("check", "--explain", "wrkers").err
    assert "or --explain KNOB" in command("check").err


def completed(*words: str) -> list[str]:
    *before, begun = words
    shell = ShellComplete(cli, {}, "agentnet", "_AGENTNET_COMPLETE")
    return [item.value for item in shell.get_completions(before, begun)]


def test_runs_and_experiment_files_are_completed(command, small):
    for name in ("first", "second", "$(rm x)"):
        command("run", small, "--quiet", "--out", f"runs/{name}", "-S", "steps=1", "-S", "log.parquet=false")
    assert completed("show", "") == ["last", "first", "second"]
    assert completed("run", "--resume", "s") == ["second"]
    assert completed("report", "first", "se") == ["second"]
    Path("more.py").mkdir()
    assert completed("run", "") == ["small.py", "more.py/", "runs/"]
    assert completed("check", "runs/f") == ["runs/first/"]


def test_a_shell_is_offered_nothing_where_the_settings_cannot_be_read(command):
    Path("agentnet.toml").write_text("no toml")
    assert completed("show", "") == []


def test_the_program_answers_a_shell(command, monkeypatch):
    monkeypatch.setenv("_AGENTNET_COMPLETE", "bash_source")
    done = command()
    assert done.code == 0
    assert "complete -o nosort -F _agentnet_completion agentnet" in done.out
