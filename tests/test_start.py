"""What the command line loads before it does anything: as little as it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import agentnet
import agentnet.analysis
import agentnet.config
import agentnet.events
import agentnet.report
from agentnet.cli import COMMANDS, cli

LOADED = """
import sys
from agentnet.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
SETTINGS = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}
FAMILIES = {"asyncio_throttle", "diskcache", "filelock", "msgspec", "numpy", "tenacity"}


def loaded(folder: Path, *arguments: str) -> set[str]:
    """List the modules that a command has loaded when it ends: ours whole, of others the packages."""
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    modules = done.stderr.splitlines()[-1].split()
    packages = {name.partition(".")[0] for name in modules if not name.startswith("_")}
    ours = {name for name in modules if name.startswith("agentnet.")}
    return ours | packages - set(sys.stdlib_module_names) - {"agentnet"}


def rooms(modules: set[str]) -> set[str]:
    """Name the rooms of our own modules, and other packages as they are."""
    return {name.removeprefix("agentnet.").partition(".")[0] for name in modules}


def test_the_list_of_commands_loads_click_and_next_to_nothing_of_ours(tmp_path):
    ours = {"cli", "cli.ending", "cli.terminal", "errors", "later", "vocabulary"}
    assert loaded(tmp_path, "--help") == {"click", *(f"agentnet.{name}" for name in ours)}


def test_the_list_of_runs_loads_the_reader_of_logs_but_no_numbers_and_settings_only_where_one_is_set(new_log):
    folder = new_log()
    (folder.parent / "runs").mkdir()
    folder.rename(folder.parent / "runs" / "a")
    found = loaded(folder.parent, "ls")
    ours = {"cli", "config", "errors", "events", "html", "later", "plugins", "vocabulary"}
    assert rooms(found) == {"click", "rich", *ours}
    assert not found & {"agentnet.events.log", "agentnet.events.opening", "agentnet.events.export"}
    (folder.parent / "agentnet.toml").write_text("seed = 1")
    assert rooms(loaded(folder.parent, "ls")) == {"click", "rich", *SETTINGS, *ours}


def test_the_list_of_runs_reads_no_metadata_of_packages(new_log):
    folder = new_log()
    (folder.parent / "runs").mkdir()
    folder.rename(folder.parent / "runs" / "a")
    command = [sys.executable, "-c", LOADED, "ls", "--json"]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)
    assert "importlib.metadata" not in done.stderr.split()


@pytest.mark.parametrize(
    ("file", "text", "more", "said"),
    [
        ("agentnet.toml", 'runs = "there"', (), '"run": "a"'),
        (".env", "AGENTNET_RUNS=there", (), '"run": "a"'),
        ("my.toml", 'runs = "there"', ("--config", "my.toml"), '"run": "a"'),
        ("other", "", ("-S", "runs=there"), '"run": "a"'),
        ("agentnet.toml", "[engine]\nworker = 1", (), "did you mean 'workers'"),
        ("agentnet.toml", "seed =", (), "agentnet.toml is not valid TOML"),
        (".env", "AGENTNET_ENGINE__WORKERS=none", (), "engine.workers"),
        ("other", "", ("--config", "no.toml"), "there is no configuration file no.toml"),
        ("other", "", ("-S", "seed"), "has no value"),
    ],
)
def test_whatever_is_set_counts_for_a_command_that_only_looks(command, tmp_path, file, text, more, said):
    (tmp_path / "there" / "a").mkdir(parents=True)
    (tmp_path / "there" / "a" / "events.sqlite").write_text("")
    (tmp_path / file).write_text(text)
    shown = command("ls", "--json", *more)
    assert said in shown.out + shown.err


def test_showing_a_run_loads_its_family_but_nothing_that_plays_or_analyses(command, small, tmp_path):
    assert command("run", small, "--out", "a", "-S", "log.parquet=false", "-S", "repeats=1").code == 0
    found = loaded(tmp_path, "show", "a")
    assert {name for name in found if not name.startswith("agentnet.")} <= {
        *("click", "rich"),
        *SETTINGS,
        *FAMILIES,
    }
    assert not rooms(found) & {"analysis", "bench", "report", "runner", "testing", "guesses", "probe"}


def test_no_plugin_of_the_settings_library_is_looked_for(tmp_path):
    (tmp_path / "spy-1.dist-info").mkdir()
    (tmp_path / "spy-1.dist-info" / "METADATA").write_text("Name: spy\nVersion: 1\n")
    (tmp_path / "spy-1.dist-info" / "entry_points.txt").write_text("[pydantic]\nspy = spy:found\n")
    (tmp_path / "spy.py").write_text("found = None\n")
    found = loaded(tmp_path, "config")
    assert "pydantic" in found
    assert "spy" not in found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name):
    command, (_, about) = cli.commands[name], COMMANDS[name]
    assert command.get_short_help_str(500) == about
    assert command.name == name
    assert isinstance(command, click.Command)


def test_a_command_is_imported_once():
    assert cli.commands["ls"] is cli.commands["ls"]
    assert [each.name for each in cli.commands["ls"].params].count("traceback") == 1


@pytest.mark.parametrize(
    "package", [agentnet, agentnet.analysis, agentnet.config, agentnet.events, agentnet.report]
)
def test_names_that_are_imported_when_used_are_all_there(package: Any):
    assert set(package.__all__) <= set(dir(package))
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018 - to be asked for is what is tried
