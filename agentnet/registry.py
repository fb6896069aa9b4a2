"""Things that enter a list by their own definition: an asking rule, a family; found by their names.

What an experiment's file defines belongs to that file: two experiments may each have a rule ``threshold``,
and neither sees the other's. Everything else (this package, installed ones, a notebook) is seen by all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from agentnet.errors import DesignError, near_miss

Thing = TypeVar("Thing")

MODULE_PREFIX: Final = "agentnet_experiment_"
"""What the names of all modules begin with that hold an experiment's code."""


@dataclass(frozen=True)
class Registry(Generic[Thing]):
    """One kind of things.

    Attributes:
        noun: What one is called in messages, such as ``"asking rule"``.
    """

    noun: str
    _entries: dict[tuple[str, str], tuple[str, Thing]] = field(default_factory=dict)

    def add(self, name: str, thing: Thing, *, module: str, place: str) -> None:
        """Enter a thing; the same definition executed again takes its own place.

        Args:
            name: What it is found by.
            thing: The thing.
            module: The module that defines it.
            place: Its name in that module.

        Raises:
            DesignError: Another thing has the name.
        """
        key = (_scope(module), name)
        where = f"{module}.{place}"
        taken = self._entries.get(("", name), self._entries.get(key))
        if taken is not None and taken[0] != where:
            raise DesignError(f"{self.noun} {name!r} stands twice: {taken[0]} and {where}; rename one")
        self._entries[key] = (where, thing)

    def known(self, module: str = "") -> dict[str, Thing]:
        """List by name what code of `module` sees."""
        seen = ("", _scope(module))
        return {name: thing for (scope, name), (_, thing) in self._entries.items() if scope in seen}

    def find(self, name: str, module: str = "") -> Thing:
        """Find the thing called `name`, as code of `module` sees it.

        Raises:
            DesignError: There is none; lists those that there are.
        """
        known = self.known(module)
        if name not in known:
            raise DesignError(
                f"there is no {self.noun} {name!r}{near_miss(name, known)}{_listed(name, known)}"
            )
        return known[name]


def _listed(name: str, known: Mapping[str, object]) -> str:
    """List what is known, unless `near_miss` does."""
    return f" Known: {', '.join(sorted(known))}" if "did you mean" in near_miss(name, known) else ""


def _scope(module: str) -> str:
    """Name the experiment's file that a module belongs to; ``""`` for what belongs to all."""
    top = module.partition(".")[0]
    return top if top.startswith(MODULE_PREFIX) else ""
