"""The conditions of a run as its log tells them: numbered, and named by what sets them apart."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final, Self

from agentnet.errors import UserError
from agentnet.events.schema import CONDITION_OF

_OBJECT: Final = re.compile(r"<(?:function )?(\S+?)(?: object)? at 0x[0-9a-fA-F]+>")
"""How Python spells a function or object that a knob is set to: with its place in memory, which is noise."""

_LONGEST: Final = 56
"""A longer text is cut where it stands in a name: prompts may be knobs."""


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
        overrides, designs = experiment["conditions"], experiment["design"]
        names = experiment.get("condition_names") or condition_names(overrides, designs)
        return tuple(map(cls, range(len(overrides)), names, designs, overrides))

    @classmethod
    def chosen(cls, meta: Mapping[str, Any], folder: Path, number: int | None) -> Self:
        """Choose one condition of a run.

        Args:
            meta: Its table ``meta``.
            folder: Its folder, for messages.
            number: The condition's number; not needed where there is one.

        Raises:
            UserError: There is no such condition, or one of several must be named.
        """
        every = cls.all_of(meta)
        if number is None and len(every) > 1:
            listed = "; ".join(f"{each.number}: {each.name}" for each in every)
            raise UserError(
                f"{folder} has {len(every)} conditions, which are different designs; choose one by its "
                f"number (--condition 0; in Python condition=0): {listed}"
            )
        if not 0 <= (number or 0) < len(every):
            raise UserError(f"{folder} has no condition {number}; they are numbered 0 to {len(every) - 1}")
        return every[number or 0]


def condition_of(connection: sqlite3.Connection) -> dict[int, int | None]:
    """Tell the number of each realization's condition; None where it is none of the run's."""
    return dict(connection.execute(CONDITION_OF).fetchall())


def condition_names(
    overrides: Sequence[Mapping[str, Any]], designs: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """Name conditions by the overrides in which their designs differ; those that differ in none are numbered.

    Args:
        overrides: What each condition overrides, as JSON has it.
        designs: The whole design under each, likewise.

    Examples:
        >>> condition_names([{"degree": 4}, {}], [{"degree": 4}, {"degree": 5}])
        ('degree 4', 'as designed')
        >>> condition_names([{"degree": 4}, {"steps": 6}], [{"degree": 4, "steps": 6}] * 2)
        ('as designed (1)', 'as designed (2)')
        >>> condition_names(*[[{"rate": 1}, {"rate": 1.0}, {"rate": 2}]] * 2)
        ('rate 1 (1)', 'rate 1 (2)', 'rate 2')
    """
    return told_apart(names_by_knobs(overrides, differing_knobs(overrides, designs)))


def differing_knobs(
    overrides: Sequence[Mapping[str, Any]], designs: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """List the knobs that some condition overrides and in which designs differ."""
    knobs = dict.fromkeys(knob for each in overrides for knob in each)
    return tuple(
        knob
        for knob in knobs
        if len({spelling(design[knob]) if knob in design else "" for design in designs}) > 1
    )


def names_by_knobs(overrides: Sequence[Mapping[str, Any]], knobs: Collection[str]) -> list[str]:
    """Name conditions by what they override of some knobs; several may have one name."""
    return [
        ", ".join(
            knob_in_words(key, json.loads(spelling(value))) for key, value in each.items() if key in knobs
        )
        or "as designed"
        for each in overrides
    ]


def told_apart(names: Sequence[str], by: Sequence[str] | None = None) -> tuple[str, ...]:
    """Tell names apart that occur more than once: by other names, and by numbers where that is not enough.

    Examples:
        >>> told_apart(["as designed", "as designed", "steps 9"], by=["one", "two", "two"])
        ('as designed (one)', 'as designed (two)', 'steps 9')
    """
    total = Counter(names)
    if by is not None:
        return told_apart(
            [f"{name} ({own})" if total[name] > 1 else name for name, own in zip(names, by, strict=True)]
        )
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name} ({seen[name]})" if total[name] > 1 else name)
    return tuple(found)


def spelling(value: object) -> str:
    """Spell a value of JSON so that no two are spelled alike: in Python, 1 is True; in words, 1 is "1".

    Examples:
        >>> spelling(1.0), spelling([2, True]), spelling({"b": 0.5, "a": "1"})
        ('1', '[2, true]', '{"a": "1", "b": 0.5}')
    """
    return json.dumps(json.loads(json.dumps(value), parse_float=_number), sort_keys=True)


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def knob_in_words(knob: str, value: object) -> str:
    """Spell a knob with its value.

    Examples:
        >>> knob_in_words("attack_every", 2)
        'attack every 2'
    """
    return f"{knob.replace('_', ' ')} {briefly(value)}"


def briefly(value: object) -> str:
    """Spell a value of JSON as it stands in names: neither as nothing, nor as a paragraph.

    Examples:
        >>> briefly(""), briefly({}), briefly("Think of what somebody who disagrees with you would say now.")
        ('""', 'none', 'Think of what somebody who disagrees wit...ould say now.')
    """
    text = in_words(value)
    if len(text) > _LONGEST:
        return f"{text[:40]}...{text[-13:]}"
    return text or ('""' if value == "" else "none")


def without_place(text: str) -> str:
    """Name functions and objects without their place in memory.

    Examples:
        >>> without_place("at step 1: <study.Label object at 0x7f57d19799e0>")
        'at step 1: study.Label'
    """
    return _OBJECT.sub(r"\1", text)


def in_words(value: object) -> str:
    """Spell a value of JSON on one line.

    Examples:
        >>> in_words([0.7, 1.3]), in_words(None), in_words({})
        ('0.7, 1.3', 'none', '')
        >>> in_words("<function moderated at 0x7f57d19799e0>")
        'moderated'
    """
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {in_words(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(in_words(each) for each in value)
    return (
        without_folder(without_place(value))
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False)
    )


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
