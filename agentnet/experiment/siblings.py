"""What an experiment file imports from beside it: recorded with it, and imported from the record.

Only the experiment's own code sees its siblings, under names of our own: two experiments may each have a
``helper.py``, nothing of agentnet's or of the standard library is shadowed, and no path stays behind. Found
are the files that ``import`` statements name; what is imported by a computed name is not.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import linecache
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from agentnet.errors import UserError

_NEVER = frozenset({"agentnet", "agentnet_backends"}) | sys.stdlib_module_names


def read_source(path: Path) -> str:
    """Read a Python file.

    Raises:
        UserError: It cannot be read, or is no text.
    """
    try:
        return importlib.util.decode_source(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: the experiment file cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, SyntaxError) as error:
        raise UserError(f"{path}: the experiment file is not UTF-8 text") from error


def find_siblings(path: Path, text: str) -> dict[str, str]:
    """Read what the experiment file at `path` imports from beside it, and what that imports.

    Returns:
        File, relative to the folder of `path` -> text.

    Raises:
        UserError: One of them cannot be read.
    """
    found: dict[str, str] = {}
    todo = [text]
    while todo:
        for name in _imported(todo.pop()):
            for file in _files(path.parent, name):
                key = file.relative_to(path.parent).as_posix()
                if key not in found:
                    found[key] = read_source(file)
                    todo.append(found[key])
    return dict(sorted(found.items()))


def _imported(text: str) -> set[str]:
    """List the first parts of what is imported anywhere in a file."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError):
        return set()
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.name for alias in node.names)
    return {name.partition(".")[0] for name in names} - _NEVER


def _files(folder: Path, name: str) -> Sequence[Path]:
    """List the files of the module or package `name` in `folder`, as Python would choose between them."""
    package, module = folder / name, folder / f"{name}.py"
    if not (package / "__init__.py").is_file():
        if module.is_file():
            return [module]
        if not package.is_dir() or importlib.util.find_spec(name) is not None:
            return []
    return sorted(package.rglob("*.py"))


class Siblings(MetaPathFinder, Loader):
    """Imports the recorded siblings of one experiment as modules of its own package.

    Args:
        package: Name of the experiment's module.
        folder: Where its file stood.
        texts: File, relative to `folder` -> text.
    """

    def __init__(self, package: str, folder: Path, texts: Mapping[str, str]) -> None:
        self.package = package
        self._folder = folder
        self._root = folder.absolute()
        self._texts = texts
        self._names = {key.partition("/")[0].removesuffix(".py") for key in texts}
        self._builtins = {**vars(builtins), "__import__": self._import, "print": _print_aside}

    def install(self, module: ModuleType) -> None:
        """Let the experiment's `module` import them; what an earlier load imported is forgotten."""
        sys.meta_path[:] = [each for each in sys.meta_path if not self._is_mine(each)]
        for name in [name for name in sys.modules if name.startswith(f"{self.package}.")]:
            del sys.modules[name]
        if self._texts:
            sys.meta_path.append(self)
            module.__path__ = []
            module.__package__ = self.package
        vars(module)["__builtins__"] = self._builtins

    def _is_mine(self, finder: object) -> bool:
        return isinstance(finder, Siblings) and finder.package == self.package

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - a module's name says where it is
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Find a module among the recorded files."""
        for key, submodules in self._candidates(fullname):
            if key in self._texts or (submodules is not None and self._is_folder(key)):
                return importlib.util.spec_from_file_location(
                    fullname, self._root / key, loader=self, submodule_search_locations=submodules
                )
        return None

    def _candidates(self, fullname: str) -> Iterator[tuple[str, list[str] | None]]:
        if fullname.startswith(f"{self.package}."):
            stem = fullname.removeprefix(f"{self.package}.").replace(".", "/")
            yield f"{stem}.py", None
            yield f"{stem}/__init__.py", []

    def _is_folder(self, init: str) -> bool:
        return any(key.startswith(init.removesuffix("__init__.py")) for key in self._texts)

    def exec_module(self, module: ModuleType) -> None:
        """Execute a recorded file, or nothing for a folder without ``__init__.py``."""
        # The import system makes paths absolute; the folder is as the user gave it, and so messages name it.
        key = Path(str(module.__file__)).relative_to(self._root)
        vars(module)["__builtins__"] = self._builtins
        execute(self._texts.get(key.as_posix(), ""), self._folder / key, module)

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - as the built-in one calls them
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:  # noqa: ANN401 - a module
        """Do what an ``import`` statement in the experiment's code says."""
        top = name.partition(".")[0]
        if level or top not in self._names:
            return builtins.__import__(name, globals, locals, fromlist, level)
        found = builtins.__import__(f"{self.package}.{name}", globals, locals, fromlist, 0)
        return found if fromlist else getattr(found, top)


def _print_aside(*values: object, file: Any = None, **how: Any) -> None:  # noqa: ANN401 - print's own
    """Print to standard error: standard output is a command's result, which a program may read as JSON."""
    print(*values, file=sys.stderr if file is None else file, **how)


def execute(text: str, path: Path, module: ModuleType) -> None:
    """Execute `text` as the file of `module`, and let traces quote it, whatever the file holds by now."""
    linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
    exec(compile(text, str(path), "exec"), vars(module))  # noqa: S102 - running the user's file is what it is for
