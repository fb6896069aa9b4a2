"""Families of experiments: what belongs to one kind of experiment and nobody else, a folder each."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from agentnet.families.contract import FAMILIES, Family

__all__ = ["FAMILIES", "Family", "find_family"]

GROUP = "agentnet.families"


def find_family(name: str, module: str = "") -> Family:
    """Find the family called `name`.

    Args:
        name: What logs and experiments call it.
        module: The experiment's module, which may define it itself.

    Raises:
        DesignError: There is none of that name; lists those that there are.
    """
    if name not in FAMILIES.known(module):
        _load_all()
    return FAMILIES.find(name, module)()


def _load_all() -> None:
    """Import all families: the folders of this package, and what installed packages bring."""
    for found in iter_modules(__path__):
        if found.ispkg:
            import_module(f"{__name__}.{found.name}")
    for entry in entry_points(group=GROUP):
        entry.load()
