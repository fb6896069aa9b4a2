"""Where an experiment that was made in Python comes from, so that the log of its run can make it again.

A class of an experiment file is recorded with the whole file, as on the command line. Of a script or a
notebook only what the class needs is kept: the statements that define it, what it refers to, and what these
refer to. To execute the rest again would play again.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from symtable import symtable
from types import ModuleType

from agentnet.errors import DesignError, UserError
from agentnet.experiment.base import Experiment
from agentnet.experiment.load import Source
from agentnet.experiment.siblings import find_siblings, read_source

_HOME = "__main__"
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def source_of(experiment: Experiment) -> Source:
    """Find the text that makes the class of `experiment` again.

    Returns:
        What a log records. Where no text makes an experiment of the same design, the experiment is held.
    """
    try:
        source = _written(type(experiment))
        if source is not None and not _differing(experiment, source.load()(**experiment.overrides)):
            return source
    except (UserError, SyntaxError):
        pass
    return held(experiment)


def held(experiment: Experiment) -> Source:
    """Hold an experiment itself, of which a log records no text.

    Raises:
        DesignError: A knob was set on it after it was made.
    """
    cls = type(experiment)
    changed = _differing(experiment, cls(**experiment.overrides))
    if changed:
        raise DesignError(
            f"{cls.__name__}.{changed[0]} was changed after the experiment was made, which no log knows; "
            f"give it when you make it: {cls.__name__}({changed[0]}=...)"
        )
    return Source(Path(f"<{cls.__name__} made in Python>"), "", cls.__name__, held=experiment)


def _differing(one: Experiment, other: Experiment) -> list[str]:
    """Name the knobs in which two designs differ; of objects, which may be equal and not say so, none."""
    theirs = other.design()
    return [
        name
        for name, value in one.design().items()
        if name not in theirs or (_is_text_or_number(value) and value != theirs[name])
    ]


def _is_text_or_number(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_text_or_number, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_text_or_number, value))
    return value is None or isinstance(value, str | int | float)


def _written(cls: type[Experiment]) -> Source | None:
    """Find where a class is written; None where nobody knows."""
    module, name = sys.modules.get(cls.__module__), cls.__name__
    if module is None or cls.__qualname__ != name:
        return None
    file = getattr(module, "__file__", None)
    if cls.__module__ == _HOME:
        return _of_script(Path(file), name) if file else _of_cells(module, name)
    if "." in cls.__module__ or not str(file).endswith(".py"):
        imported = f"from {cls.__module__} import {name} as Base\n\n\nclass {name}(Base):\n    pass\n"
        return Source(Path(f"<{name} of {cls.__module__}>"), imported, name)
    return Source.read(f"{file}:{name}")


def _of_script(path: Path, name: str) -> Source:
    """Keep what the class needs in its lines, so that errors name them."""
    lines = read_source(path).splitlines()
    kept = {line for place in _needed(["\n".join(lines)], name) for line in place[1]}
    text = "\n".join(line if number in kept else "" for number, line in enumerate(lines)).rstrip() + "\n"
    return Source(path, text, name, find_siblings(path, text))


def _of_cells(module: ModuleType, name: str) -> Source | None:
    """Keep what the class needs of the cells that were executed; what it refers to comes first."""
    cells = [str(cell) for cell in vars(module).get("In", ())]
    parts = ["\n".join(cells[cell].splitlines()[n] for n in lines) for cell, lines in _needed(cells, name)]
    if not parts:
        return None
    text, path = "\n\n".join(parts) + "\n", Path(f"<{name} of a notebook>")
    return Source(path, text, name, find_siblings(path, text))


_Place = tuple[int, range]
"""Which text, and which of its lines."""


def _needed(texts: Sequence[str], name: str) -> list[_Place]:
    """List the statements that define `name` last, and what they refer to, each behind what it refers to."""
    homes: dict[str, tuple[int, ast.stmt]] = {}
    for number, statement in _statements(texts):
        homes |= dict.fromkeys(_bound(statement), (number, statement))
    found: dict[int, _Place] = {}
    seen: set[str] = set()

    def take(name: str) -> None:
        if name in homes and name not in seen:
            seen.add(name)
            number, statement = homes[name]
            for each in _referred(statement):
                take(each)
            found[id(statement)] = number, _lines(statement)

    for each in (*(key for key in homes if key.startswith("*")), name):
        take(each)
    return list(dict.fromkeys(found.values()))


def _statements(texts: Sequence[str]) -> Iterator[tuple[int, ast.stmt]]:
    for number, text in enumerate(texts):
        try:
            yield from ((number, statement) for statement in ast.parse(text).body)
        except SyntaxError:
            # A cell that did not run defined nothing.
            continue


def _lines(statement: ast.stmt) -> range:
    decorators = statement.decorator_list if isinstance(statement, _Definition) else []
    first = min(statement.lineno, *(each.lineno for each in decorators), statement.lineno)
    return range(first - 1, statement.end_lineno or first)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Name what a statement defines; a plug-in also by the text that it is taken in by."""
    for node in (statement,) if isinstance(statement, _Definition) else ast.walk(statement):
        if isinstance(node, _Definition):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.ImportFrom) and (node.module == "__future__" or node.names[0].name == "*"):
            yield f"*{node.module}"
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
    if isinstance(statement, _Definition):
        names = [each for each in statement.body if isinstance(each, ast.Assign)]
        names = [each for each in names if ast.unparse(each.targets[0]) == "name"]
        yield from (text for each in (*statement.decorator_list, *names) for text in _texts(each))


def _texts(tree: ast.AST) -> Iterator[str]:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return (repr(node.value) for node in nodes if isinstance(node.value, str))


def _referred(statement: ast.stmt) -> Iterator[str]:
    """Name what a statement takes from outside it."""
    yield from _texts(statement)
    tables = [symtable(ast.unparse(statement), "<statement>", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        is_outermost = table.get_type() == "module"
        yield from (each.get_name() for each in table.get_symbols() if is_outermost or each.is_global())
