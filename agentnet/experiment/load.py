"""Load an experiment from a file.

The file is executed under a module name of our own, registered first: else dataclasses and pickling break,
and a file called ``statistics.py`` would shadow the standard library's.
"""

from __future__ import annotations

import hashlib
import json
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentnet.errors import UserError, near_miss
from agentnet.experiment.base import Experiment
from agentnet.experiment.blame import blamed
from agentnet.experiment.siblings import Siblings, execute, find_siblings, read_source
from agentnet.plugins import FILE_PREFIX, is_own


@dataclass(frozen=True, slots=True)
class Source:
    """An experiment file as it was read, with what it imports from beside it.

    Attributes:
        path: Where it stood.
        text: Its content.
        class_name: The class to play; empty for the only one in it.
        siblings: File, relative to its folder -> content: what it imports from there, and what that imports.
        held: An experiment that only the program that made it has: no text makes it again.
    """

    path: Path
    text: str
    class_name: str = ""
    siblings: Mapping[str, str] = field(default_factory=dict)
    held: Experiment | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of its content, and of its siblings' if there are any."""
        parts = [self.text, *([json.dumps(dict(self.siblings), sort_keys=True)] if self.siblings else [])]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def module(self) -> str:
        """Name of the module that it is executed as."""
        return f"{FILE_PREFIX}{self.hash[:16]}"

    @classmethod
    def read(cls, target: str) -> Source:
        """Read ``FILE`` or ``FILE:Class``.

        Raises:
            UserError: There is no such file, or it or a sibling is no text.
        """
        name, _, class_name = target.partition(".py:")
        path = Path(f"{name}.py" if class_name else target)
        text = read_source(path)
        if not text.strip():
            raise UserError(f"{path} is empty; agentnet init writes an experiment to start from")
        return cls(path, text, class_name, find_siblings(path, text))

    @classmethod
    def recorded(cls, meta: Mapping[str, Any]) -> Source:
        """Give the experiment file of a run as it was when the run began, from table ``meta`` of its log."""
        recorded = meta["experiment"]
        # Runs of before there were siblings recorded none.
        siblings = {file: each["text"] for file, each in recorded.get("siblings", {}).items()}
        return cls(Path(recorded["path"]), recorded["text"], recorded["class_name"], siblings)

    def load(self) -> type[Experiment]:
        """Execute the file and find the experiment class in it.

        Raises:
            UserError: It does not run, or holds no such class, or several to choose from; or nothing but the
                program that made the experiment has it.
        """
        if self.held is not None:
            return type(self.held)
        if not self.text:
            raise UserError(
                f"experiment {self.class_name} was made in Python, of what no file holds (a class that was "
                "typed in or made by a function, knobs that are objects), so its log cannot make it again: "
                f"make it there as it was, and go on by agentnet.play({self.class_name}(...), out=FOLDER, "
                "resume=True); fit, report, query and export need the log alone"
            )
        module = self._execute()
        found = {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, Experiment)
            and value.__module__ == module.__name__
        }
        if self.class_name:
            if self.class_name not in found:
                raise UserError(
                    f"{self.path} has no experiment {self.class_name!r}{near_miss(self.class_name, found)}"
                )
            return found[self.class_name]
        if len(found) != 1:
            names = ", ".join(sorted(found)) or "none"
            raise UserError(
                f"{self.path} must hold one subclass of Experiment, or be given as FILE:Class; "
                f"it holds: {names}"
            )
        return next(iter(found.values()))

    def _execute(self) -> types.ModuleType:
        module = types.ModuleType(self.module)
        module.__file__ = str(self.path)
        sys.modules[module.__name__] = module
        Siblings(module.__name__, self.path.parent, self.siblings).install(module)
        try:
            execute(self.text, self.path, module)
        except BaseException as error:
            del sys.modules[module.__name__]
            if not is_own(error):
                raise
            raise blamed(error) or UserError(f"{self.path}: {type(error).__name__}: {error}") from error
        return module
