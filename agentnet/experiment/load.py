"""Load an experiment from a file.

The file is executed under a module name of our own, registered first: else dataclasses and pickling break,
and a file called ``statistics.py`` would shadow the standard library's.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import traceback
import types
from dataclasses import dataclass
from pathlib import Path

from agentnet.errors import DesignError, UserError, near_miss
from agentnet.experiment.base import Experiment


@dataclass(frozen=True, slots=True)
class Source:
    """An experiment file as it was read.

    Attributes:
        path: Where it stood.
        text: Its content.
        class_name: The class to play; empty for the only one in it.
    """

    path: Path
    text: str
    class_name: str = ""

    @property
    def hash(self) -> str:
        """SHA-256 of its content."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def read(cls, target: str) -> Source:
        """Read ``FILE`` or ``FILE:Class``.

        Raises:
            UserError: There is no such file, or it is no text.
        """
        name, _, class_name = target.partition(".py:")
        path = Path(f"{name}.py" if class_name else target)
        try:
            return cls(path, path.read_text("utf-8"), class_name)
        except OSError as error:
            raise UserError(f"{path}: the experiment file cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: the experiment file is not UTF-8 text") from error

    def load(self) -> type[Experiment]:
        """Execute the file and find the experiment class in it.

        Raises:
            UserError: It does not run, or holds no such class, or several to choose from.
        """
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
        module = types.ModuleType(f"agentnet_experiment_{self.hash[:16]}")
        module.__file__ = str(self.path)
        sys.modules[module.__name__] = module
        try:
            code = compile(self.text, str(self.path), "exec")
            exec(code, vars(module))  # noqa: S102 - running the user's file is what it is for
        except Exception as error:
            del sys.modules[module.__name__]
            where = traceback.extract_tb(error.__traceback__)[-1]
            line = error.lineno if isinstance(error, SyntaxError) else where.lineno
            raise UserError(f"{self.path}, line {line}: {type(error).__name__}: {error}") from error
        return module


def check_family(experiment: type[Experiment]) -> None:
    """Make sure that an engine exists for `experiment`.

    Raises:
        DesignError: It subclasses `Experiment` itself.
    """
    if not inspect.isclass(experiment) or not hasattr(experiment, "family"):
        raise DesignError(
            f"{experiment.__name__} subclasses Experiment itself; subclass CascadeExperiment, "
            "ResponseRatioExperiment or InterviewExperiment, which say how they are played"
        )
