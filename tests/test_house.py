"""The house stays small and its seams stay open. Exceptions are listed by name, and the lists only shrink.

`python tests/test_house.py` prints the figures: how many lines there are, and what the lists would be now.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
FOLDERS = (ROOT / "agentnet", ROOT / "backends" / "agentnet_backends")
LONGEST_FUNCTION = 60
LEAST_MODULE = 40

LONG_FUNCTIONS: set[str] = set()
TINY_MODULES: set[str] = set()
ASK_THE_KIND: dict[str, int] = {}
# What is called like a family and is none: the kinds of events in the vocabulary, and columns of tables.
SPELL_A_FAMILY = {
    "agentnet.analysis.groups": 1,
    "agentnet.analysis.predict": 1,
    "agentnet.analysis.ratios": 1,
    "agentnet.report.ratios": 1,
    "agentnet.vocabulary": 2,
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """A module of the library: its dotted name, how many lines it has, and what stands in it."""

    name: str
    n_lines: int
    tree: ast.Module
    is_package: bool = False


@cache
def house() -> dict[str, Module]:
    """Read every module of the library."""
    found = {}
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            text = path.read_text("utf-8")
            found[name] = Module(name, text.count("\n"), ast.parse(text), is_package)
    return found


def lengths(modules: dict[str, Module]) -> dict[str, int]:
    """Count the lines of every function, less its docstring: what documents it makes it no longer."""
    return {
        f"{module.name}:{node.name}": _lines(node) - (_lines(node.body[0]) if ast.get_docstring(node) else 0)
        for module in modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, Function)
    }


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def long_functions(modules: dict[str, Module]) -> set[str]:
    """Name the functions above `LONGEST_FUNCTION` lines."""
    return {name for name, n_lines in lengths(modules).items() if n_lines > LONGEST_FUNCTION}


def tiny_modules(modules: dict[str, Module]) -> set[str]:
    """Name the modules under `LEAST_MODULE` lines that exactly one other imports; packages hold others."""
    importers: dict[str, set[str]] = defaultdict(set)
    for module in modules.values():
        for target in _imported(module.tree):
            importers[target if target in modules else target.rpartition(".")[0]].add(module.name)
    small = {name for name, one in modules.items() if one.n_lines < LEAST_MODULE and not one.is_package}
    return {name for name in small if len(importers[name]) == 1}


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def kinds(modules: dict[str, Module]) -> set[str]:
    """Name the classes that stand for one family: experiments below `Experiment`, and parts of reports."""
    bases = {
        node.name: {ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases}
        for module in modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {name for name in bases if name.endswith("Part") and name != "Part"}
    while more := {name for name, above in bases.items() if above & (found | {"Experiment", "Part"})} - found:
        found |= more
    return found


def ask_the_kind(modules: dict[str, Module]) -> dict[str, int]:
    """Count the ``isinstance`` and the ``case`` over `kinds` in each module outside the families."""
    told_apart = kinds(modules)
    found: Counter[str] = Counter()
    for name, module in modules.items():
        if not name.startswith("agentnet.families"):
            found[name] = sum(bool(told_apart & _asked_for(node)) for node in ast.walk(module.tree))
    return {name: n_times for name, n_times in found.items() if n_times}


def _asked_for(node: ast.AST) -> set[str]:
    match node:
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, asked]):
            return {one.id for one in ast.walk(asked) if isinstance(one, ast.Name)}
        case ast.MatchClass(cls=ast.Name(id=name)):
            return {name}
    return set()


def families(modules: dict[str, Module]) -> set[str]:
    """Name the families as logs do: what classes below `agentnet.families` are called in their bodies."""
    return {
        str(node.value.value)
        for name, module in modules.items()
        if name.startswith("agentnet.families")
        for of in ast.walk(module.tree)
        if isinstance(of, ast.ClassDef)
        for node in of.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "name"
        if isinstance(node.value, ast.Constant)
    }


def spell_a_family(modules: dict[str, Module], names: set[str]) -> dict[str, int]:
    """Count the texts in each module outside the families that name one, less nouns of sentences."""
    found: Counter[str] = Counter()
    for name, module in modules.items():
        if not name.startswith("agentnet.families"):
            nodes = [*ast.walk(module.tree)]
            nouns = {id(n.args[1]) for n in nodes if isinstance(n, ast.Call) and _is_counting(n)}
            texts = [n for n in nodes if isinstance(n, ast.Constant) and id(n) not in nouns]
            found[name] = sum(text.value in names for text in texts)
    return {name: n_times for name, n_times in found.items() if n_times}


def _is_counting(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "counted"


def _module(text: str, name: str = "agentnet.x") -> dict[str, Module]:
    return {name: Module(name, text.count("\n"), ast.parse(text))}


def test_no_function_is_long() -> None:
    assert long_functions(house()) == LONG_FUNCTIONS


def test_a_module_that_one_other_imports_has_a_reason_to_be_one() -> None:
    assert tiny_modules(house()) == TINY_MODULES


def test_only_families_know_which_family_it_is() -> None:
    assert ask_the_kind(house()) == ASK_THE_KIND


def test_nobody_but_families_spells_the_name_of_one() -> None:
    assert families(house()) == {"cascade", "ratio", "interview", "world"}
    assert spell_a_family(house(), families(house())) == SPELL_A_FAMILY


def test_the_name_of_a_family_is_found_wherever_it_is_spelled() -> None:
    mine = _module('class Mine(Family):\n    name = "mine"\n', "agentnet.families.mine")
    assert families(mine) == {"mine"}
    asking = _module(
        'if family == "mine": ...\nSAYS = {"mine": 1, "mines": 2}\nmatch x:\n    case "mine": ...\n'
    )
    assert spell_a_family(mine | asking, {"mine"}) == {"agentnet.x": 3}


def test_a_docstring_makes_no_function_long() -> None:
    body = "    x = 1\n" * 59
    doc = '    """Say.\n' + "\n" * 30 + '    """\n'
    assert long_functions(_module(f"def f():\n{doc}{body}")) == set()
    assert long_functions(_module(f"def f():\n{doc}{body}    x = 2\n")) == {"agentnet.x:f"}


def test_a_small_module_may_have_several_importers_or_none() -> None:
    small = _module("", "agentnet.a")
    once, twice = (_module("from agentnet.a import b", f"agentnet.{name}") for name in "bc")
    assert tiny_modules(small) == set()
    assert "agentnet.a" in tiny_modules(small | once)
    assert "agentnet.a" not in tiny_modules(small | once | twice)


def test_who_asks_for_a_family_is_found_however_it_is_asked() -> None:
    text = (
        "class Mine(Experiment): ...\nclass Yours(Mine): ...\n"
        "isinstance(x, Yours)\nisinstance(x, (int, Mine))\nissubclass(x, Mine | None)\nisinstance(x, int)\n"
        "match x:\n    case Mine(): ...\n"
    )
    assert ask_the_kind(_module(text)) == {"agentnet.x": 4}
    assert ask_the_kind(_module(text, "agentnet.families.mine")) == {}


if __name__ == "__main__":
    found = house()
    every = lengths(found)
    print(f"{sum(module.n_lines for module in found.values())} lines in {len(found)} modules")
    print(f"{len(every)} functions, median {median(every.values())} lines")
    print("LONG_FUNCTIONS =", sorted(long_functions(found)))
    print("TINY_MODULES =", sorted(tiny_modules(found)))
    print("ASK_THE_KIND =", ask_the_kind(found))
    print("SPELL_A_FAMILY =", spell_a_family(found, families(found)))
