"""Ask an experiment's hooks, and hold what they give to what the engines count on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from agentnet.errors import DesignError
from agentnet.experiment.blame import blaming

_HOOKS_REMEMBERED = 256


def ask(experiment: object, hook: str, *arguments: Any) -> Any:  # noqa: ANN401 - hooks differ
    """Call a hook of `experiment`.

    Args:
        experiment: Whose.
        hook: Its name.
        arguments: What it is called with.

    Returns:
        What it gives; of several things always a tuple.

    Raises:
        DesignError: It breaks off, or gives something else than it should.
    """
    with blaming():
        given = getattr(experiment, hook)(*arguments)
    read, words = _gives(type(experiment), hook)  # type: ignore[arg-type] # a class can be hashed
    value = read(given)
    if value is None:
        shown = " ".join(repr(given).split())
        raise DesignError(f"{type(experiment).__name__}.{hook} gives {shown:.80}; it gives {words}")
    return value


@lru_cache(_HOOKS_REMEMBERED)
def _gives(experiment: type, hook: str) -> Gives:
    """Look up what a hook gives, where the nearest base says it."""
    declared = (vars(base).get("_gives", {}) for base in experiment.__mro__)
    found: Gives = next(each[hook] for each in declared if hook in each)
    return found


class Gives(NamedTuple):
    """What a hook gives.

    Attributes:
        read: Makes of what it gave what is counted on; None of what is wrong.
        words: What it gives, for messages.
    """

    read: Callable[[object], object | None]
    words: str


def one(kind: type) -> Callable[[object], object | None]:
    """Take one thing of a kind."""
    return lambda given: given if isinstance(given, kind) else None


def several(given: object) -> object | None:
    """Take any number of things, as a tuple."""
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else None


def several_of(kind: type) -> Callable[[object], object | None]:
    """Take at least one thing of a kind, as a tuple."""

    def read(given: object) -> object | None:
        found: Any = several(given)
        return found if found and all(isinstance(each, kind) for each in found) else None

    return read


def constraint(given: object) -> object | None:
    """Take (allowed texts, JSON schema)."""
    match given:
        case (tuple() | list() as answers, str() | None as schema) if all(
            isinstance(a, str) for a in answers
        ):
            return tuple(answers), schema
    return None
