"""The conditions of a run as its log tells them: numbered, and named by what sets them apart."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Self

from agentnet.events.schema import CONDITION_OF


@dataclass(frozen=True, slots=True)
class Condition:
    """One cell of a design.

    Attributes:
        number: Its number, from 0 on.
        name: What sets it apart from the others of its run, for people; no two have the same.
        design: The design in force.
        overrides: What it overrides of the experiment's design.
    """

    number: int
    name: str
    design: Mapping[str, Any]
    overrides: Mapping[str, Any]

    @classmethod
    def all_of(cls, meta: Mapping[str, Any]) -> tuple[Self, ...]:
        """List the conditions of a run by its table ``meta``."""
        experiment = meta["experiment"]
        overrides = experiment["conditions"]
        names = condition_names(overrides)
        return tuple(map(cls, range(len(overrides)), names, experiment["design"], overrides))


def condition_of(connection: sqlite3.Connection) -> dict[int, int | None]:
    """Tell the number of each realization's condition; None where it is none of the run's."""
    return dict(connection.execute(CONDITION_OF).fetchall())


def condition_names(conditions: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Name conditions by the overrides in which they differ; those that differ in none are numbered.

    Examples:
        >>> condition_names([{"steps": 9, "targets": 0, "attack_every": 2}, {"steps": 9}])
        ('targets 0, attack every 2', 'as designed')
        >>> condition_names([{"degree": 4}, {"degree": 4}, {"degree": 6}])
        ('degree 4 (1)', 'degree 4 (2)', 'degree 6')
    """
    shared = shared_overrides(conditions)
    names = [
        ", ".join(knob_in_words(key, value) for key, value in overrides.items() if key not in shared)
        or "as designed"
        for overrides in conditions
    ]
    return told_apart(names)


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Number names that occur more than once."""
    seen: Counter[str] = Counter()
    total, found = Counter(names), []
    for name in names:
        seen[name] += 1
        found.append(f"{name} ({seen[name]})" if total[name] > 1 else name)
    return tuple(found)


def shared_overrides(conditions: Sequence[Mapping[str, Any]]) -> set[str]:
    """List the overrides in which conditions do not differ."""
    first = {key: spelling(value) for key, value in conditions[0].items()}
    return {
        key
        for key, own in first.items()
        if all(key in each and spelling(each[key]) == own for each in conditions)
    }


def spelling(value: object) -> str:
    """Spell a value of JSON so that no two are spelled alike: in Python, 1 is True; in words, 1 is "1"."""
    return json.dumps(value, sort_keys=True)


def knob_in_words(knob: str, value: object) -> str:
    """Spell a knob with its value.

    Examples:
        >>> knob_in_words("attack_every", 2)
        'attack every 2'
    """
    return f"{knob.replace('_', ' ')} {in_words(value)}"


def in_words(value: object) -> str:
    """Spell a value of JSON on one line.

    Examples:
        >>> in_words([0.7, 1.3]), in_words(None), in_words({})
        ('0.7, 1.3', 'none', '')
    """
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {in_words(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(in_words(each) for each in value)
    return without_folder(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def without_folder(text: str) -> str:
    """Leave out the folders of an absolute path: readers need not know where an author's files lie.

    Examples:
        >>> without_folder("/home/ana/posts.csv")
        '.../posts.csv'
    """
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(text)
        if path.is_absolute() and "\n" not in text:
            return f".../{path.name}"
    return text
