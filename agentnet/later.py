"""Names of a package that are imported when they are first used: whoever wants one does not pay for all.

Type checkers read them under ``if TYPE_CHECKING``; ``from package import name`` and completion work as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any


def later(
    package: str, names: Mapping[str, Sequence[str]], made: Callable[[str, Any], Any] = lambda _, found: found
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and the ``__dir__`` of a package, which lists its ``__all__``.

    Args:
        package: Its name.
        names: Module, as seen from the package (``".log"``) -> the names that are imported from it.
        made: Makes what is handed out, of the package's name and what was found; once for each name.
    """
    homes = {name: home for home, of_home in names.items() for name in of_home}

    @cache
    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return made(package, getattr(import_module(homes[name], package), name))

    return get, lambda: sorted(sys.modules[package].__all__)
