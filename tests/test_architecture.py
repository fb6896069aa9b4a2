"""Rooms import what they may, modules never in a circle, and heavy libraries are imported where used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"agentnet": ROOT / "agentnet", "agentnet_backends": ROOT / "backends" / "agentnet_backends"}

# Room -> rooms it may import. A room is a module or a package directly under agentnet.
ALLOWED: dict[str, set[str]] = {
    "vocabulary": set(),
    "later": set(),
    "given": {"errors", "plugins"},
    "errors": {"vocabulary"},
    "streams": set(),
    "delimited": {"errors"},
    "network": {"errors", "streams", "delimited"},
    "profiles": {"errors", "streams"},
    "news": {"errors", "streams", "delimited", "formulas"},
    "prompts": {"errors", "profiles"},
    "plugins": {"errors"},
    "listed": set(),
    "backend": {"errors", "plugins", "listed"},
    "voices": {"errors", "backend", "config"},
    "shelf": {"errors"},
    "cost": {"errors", "backend"},
    "embedder": {"errors", "streams", "plugins", "shelf", "stack"},
    "stack": {"shelf", "errors", "streams", "backend", "config", "cost", "listed", "voices"},
    "html": set(),
    "run": {"events", "analysis"},
    "playing": {"cli", "config", "errors", "events", "experiment", "run", "runner"},
    "guesses": {"errors", "events", "experiment", "exposure", "families", "worlds"},
    "report": {
        "guesses",
        *("errors", "streams", "events", "analysis", "formulas", "asking_rules", "news", "html"),
        "families",  # the list of them, which says what makes the parts of a run
        "probe",  # its card
    },
    "view": {"errors", "events", "html", "report"},
    "config": {"errors"},
    "formulas": set(),
    "files": {"errors"},
    "events": {"errors", "formulas", "network", "html", "interventions"},
    "sampler": {"errors", "streams", "backend", "cost", "prompts", "voices"},
    "asking_rules": {"errors", "network", "plugins"},
    "exposure": {"news", "profiles"},
    "feeds": {"errors", "plugins", "exposure"},
    "population": {"errors", "streams", "delimited", "news"},
    "interventions": {"errors", "network"},
    "worlds": {
        *("errors", "streams", "network", "prompts", "asking_rules"),
        *("exposure", "interventions", "news", "profiles"),
    },
    "experiment": {"errors", "profiles", "news", "prompts", "html"},
    "families": {
        *("errors", "streams", "config", "backend", "embedder", "events", "experiment", "asking_rules"),
        *("worlds", "sampler", "network", "profiles", "news", "prompts", "interviews", "voices"),
        *("exposure", "interventions", "population"),
        *("analysis", "report"),  # what they measure in it, and the parts that they make of it
    },
    "runner": {
        *("errors", "streams", "config", "backend", "events", "experiment", "families", "worlds"),
        *("sampler", "stack", "voices"),
    },
    "testing": {"errors", "streams", "backend"},
    "interviews": {
        *("errors", "backend", "embedder", "news"),
    },
    "analysis": {
        *("errors", "streams", "events", "embedder", "asking_rules"),
        "families",  # the list of them, which says what a log can be read as
        "news",  # the reader of tables, for cascades that were observed
    },
    "probe": {
        *("errors", "streams", "backend", "families", "news", "profiles", "prompts"),
    },
    "bench": {"errors", "streams", "backend", "prompts", "profiles", "news"},
    "people": {"backend", "errors", "events", "report", "view"},
    "cli": {
        "people",
        *("errors", "config", "backend", "events", "experiment", "families", "runner", "news", "stack"),
        *(
            "testing",
            "bench",
            "probe",
            "prompts",
            "interviews",
            "embedder",
            "analysis",
            "report",
            "voices",
            "guesses",
            "view",
        ),
    },
}

# What every room may stand on.
GROUND = {"vocabulary", "files", "plugins", "later", "given"}

HEAVY = {
    "aiohttp",
    "gguf",
    "llguidance",
    "matplotlib",
    "pandas",
    "peft",
    "pyarrow",
    "safetensors",
    "scipy",
    "sklearn",
    "ray",
    "statsmodels",
    "tokenizers",
    "torch",
    "transformers",
}


def modules() -> Iterator[tuple[str, str, Path]]:
    """Yield (package, dotted name, file) of every module."""
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            yield package, ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@cache
def imported(path: Path, *, top_level_only: bool = False) -> tuple[str, ...]:
    """List the dotted names that a file imports, less those for type checkers only."""
    return tuple(_imported(path, top_level_only=top_level_only))


def _imported(path: Path, *, top_level_only: bool) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(dotted: str) -> str:
    """Name the room of ``agentnet.X...``; the package itself is ``agentnet``."""
    parts = dotted.split(".")
    known = set(ALLOWED)
    return parts[1] if len(parts) > 1 and parts[1] in known else "agentnet"


def test_every_room_imports_only_what_it_may() -> None:
    for package, name, path in modules():
        here = room(name)
        if package != "agentnet" or here == "agentnet":
            continue
        for target in imported(path):
            if target.split(".")[0] == "agentnet":
                there = room(target)
                assert there in ALLOWED[here] | GROUND | {here, "agentnet"}, f"{name} imports {target}"


def test_no_room_may_import_what_it_never_does() -> None:
    used = defaultdict[str, set[str]](set)
    for _, name, path in modules():
        used[room(name)] |= {room(target) for target in imported(path) if target.startswith("agentnet.")}
    assert {here: may - used[here] for here, may in ALLOWED.items() if may - used[here]} == {}


def test_every_room_is_in_the_table() -> None:
    found = {name.split(".")[1] for package, name, _ in modules() if package == "agentnet" and "." in name}
    assert found <= set(ALLOWED)


def test_agentnet_never_imports_the_bundled_backends() -> None:
    for package, name, path in modules():
        if package == "agentnet":
            assert not any(target.startswith("agentnet_backends") for target in imported(path)), name


def test_the_bundled_backends_know_only_the_contract() -> None:
    for package, name, path in modules():
        if package == "agentnet_backends":
            for target in imported(path):
                if target.split(".")[0] == "agentnet":
                    assert room(target) in {
                        *("backend", "embedder", "errors", "interviews", "listed", "streams", *GROUND),
                    }, f"{name} imports {target}"


def test_modules_import_each_other_without_circles() -> None:
    names = {name for _, name, _ in modules()}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for _, name, path in modules():
        for target in imported(path):
            found = target if target in names else target.rpartition(".")[0]
            if found in names and found != name and not name.startswith(f"{found}."):
                graph.add_edge(name, found)
    # A package and its own modules count as one place only where the module is above: checked by the filter.
    circles = [circle for circle in nx.simple_cycles(graph) if len(circle) > 1]
    assert circles == []


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    for _, name, path in modules():
        for target in imported(path, top_level_only=True):
            assert target.split(".")[0] not in HEAVY, f"{name} imports {target} at the top"


@pytest.mark.parametrize("module", ["agentnet", "agentnet.backend", "agentnet.cli"])
def test_importing_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_nobody_but_families_asks_of_what_family_something_is() -> None:
    of_families = {"CascadeExperiment", "ResponseRatioExperiment", "InterviewExperiment", "NewsExperiment"}
    for package, name, path in modules():
        if package != "agentnet" or room(name) in {"families", "experiment", "agentnet"}:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        called = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        named = [each for each in called if isinstance(each.func, ast.Name)]
        asked = [each for each in named if each.func.id in {"isinstance", "issubclass"}]
        assert not [
            each for each in asked if of_families & {n.id for n in ast.walk(each) if isinstance(n, ast.Name)}
        ], name
        assert of_families.isdisjoint(target.rpartition(".")[2] for target in imported(path)), name


def test_worlds_neither_wait_nor_look_at_clock_or_files() -> None:
    for _, name, path in modules():
        if room(name) != "worlds":
            continue
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        assert not [each for each in nodes if isinstance(each, ast.AsyncFunctionDef | ast.Await)], name
        assert {"asyncio", "time", "datetime", "os", "pathlib"}.isdisjoint(
            target.split(".")[0] for target in imported(path)
        ), name
