"""What a report says of interacting models, before it is laid out; made by `interviews_compute`."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.contrasts import Contrast
from agentnet.analysis.perspectives import ChangeTest, Clusters, IsoMirror, Reading, Series
from agentnet.report.figures.words import cleaned, listed
from agentnet.report.log_tables import in_words

Array = NDArray[np.float64]
T = TypeVar("T")
Kind = Literal["difference", "trend", "growth"]
"""How a contrast came about."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """One realization: what its models' perspectives did.

    Attributes:
        realization: Its number.
        repeat: Number of the repetition.
        finished: Whether it is; else its steps are those that are complete so far.
        questions: Identifiers of the questions that it answered in full: all that is said of it alone is of
            these.
        left_out: Identifier -> why: questions left out at all steps, as an answer is missing.
        coordinates: Perspectives, shape ``(n_steps, n_models, 2)``, step 0 first, scaled by themselves; in
            units of the root mean squared distance of an answer. Zeros where fewer dimensions differ.
        explained: Share of all distances that each of the two dimensions expresses.
        moved: How far each model moved from one step to the next: squared distances by prompt, shape
            ``(n_steps - 1, n_models)``.
        mirror: The iso-mirror; None where there is none.
        why_no_mirror: Why not.
        clusters: Clusters of 1-d perspectives; None where there are none.
        why_no_clusters: Why not.
        reading: What the control chart says of the mean move; None without a chart.
        gaps: Squared gap of two classes at each step, in the answers to each question, shape ``(n_steps,
            n_questions)``; None where there are not two.
    """

    realization: int
    repeat: int
    finished: bool
    questions: tuple[str, ...]
    left_out: Mapping[str, str]
    coordinates: Array
    explained: tuple[float, float]
    moved: Array
    mirror: IsoMirror | None
    why_no_mirror: str
    clusters: Clusters | None
    why_no_clusters: str
    reading: Reading | None
    gaps: Array | None

    @property
    def n_steps(self) -> int:
        """Number of steps, step 0 included."""
        return len(self.coordinates)

    @property
    def n_asked(self) -> int:
        """Number of questions that it was asked."""
        return len(self.questions) + len(self.left_out)

    def without(self, left_out: Container[str]) -> list[int]:
        """List the places of its questions that are not among `left_out`."""
        return [place for place, name in enumerate(self.questions) if name not in left_out]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A measure of two classes over time.

    Attributes:
        series: Mean over repeats, with its interval; None where it cannot be given.
        has_interval: Whether the interval means anything.
        note: Why there is no series or no interval, or what to know about it; else empty.
    """

    series: Series | None
    has_interval: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One condition of a run.

    Attributes:
        condition: Its number.
        name: What sets it apart, for people.
        classes: Class of each model.
        played: Its realizations.
        ratio: Polarization: the difference of two classes over that at step 0; mean over `whole`.
        gap: The squared gap of two classes, by prompt, without bias; mean over `whole`.
        tests: Of each model, whether it changed from the first to the last step, in the realization `shown`.
    """

    condition: int
    name: str
    classes: tuple[str, ...]
    played: tuple[Played, ...]
    ratio: Measured
    gap: Measured
    tests: tuple[ChangeTest, ...]

    @property
    def whole(self) -> tuple[Played, ...]:
        """The realizations that are averaged; see `whole`."""
        return tuple(whole(self.played, [each.finished for each in self.played]))

    @property
    def shown(self) -> Played:
        """The realization that stands for the arm where one alone is shown: the first finished, if any is."""
        return self.whole[0]

    @property
    def n_common(self) -> int | None:
        """Number of questions over which repeats are averaged; None where each is measured over its own."""
        left_out = to_leave_out(self.whole)
        return None if left_out is None else len(self.shown.without(left_out))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, each once."""
        return tuple(dict.fromkeys(self.classes))

    def members(self, name: str) -> list[int]:
        """List the models of a class."""
        return [model for model, own in enumerate(self.classes) if own == name]


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """One answer with its question.

    Attributes:
        realization: Number of the realization.
        kind: ``evaluation`` or ``interview``.
        step: Step.
        model: Who answered.
        asker: The model that asked; None in an evaluation.
        question: Identifier of the question.
        asked: The question.
        text: The answer as it came; empty where none came.
        missing: Why it is missing; None where it is not.
    """

    realization: int
    kind: str
    step: int
    model: int
    asker: int | None
    question: str
    asked: str
    text: str
    missing: str | None


@dataclass(frozen=True, slots=True)
class ArmContrast:
    """A difference between arms, or from the start.

    Attributes:
        outcome: What is compared: a key of `interviews_contrasts.OUTCOMES`.
        kind: ``difference`` of an arm to another, ``trend`` over the values of a knob, or ``growth`` in one
            arm.
        compared: Which arms, in words.
        contrast: The number.
    """

    outcome: str
    kind: Kind
    compared: str
    contrast: Contrast


def whole(realizations: Sequence[T], finished: Sequence[bool]) -> list[T]:
    """Choose the realizations that are averaged: the finished ones, or all where none is.

    A mean reaches as far as the shortest of them: one that has just begun would hide all steps of the others.
    """
    chosen = [each for each, is_finished in zip(realizations, finished, strict=True) if is_finished]
    return chosen or list(realizations)


def to_leave_out(realizations: Iterable[Played]) -> frozenset[str] | None:
    """Find the questions to leave out of realizations so that all are measured over the same.

    Returns:
        Those that one of them left out. None where this takes questions from a realization of which less
        than half of those asked would be left: they are better measured over each one's own.
    """
    every = list(realizations)
    left_out = frozenset(question for each in every for question in each.left_out)
    kept = [(each, len(each.without(left_out))) for each in every]
    enough = all(n == len(each.questions) or 2 * n >= each.n_asked for each, n in kept)
    return left_out if enough else None


def shown_repeats(arms: Sequence[Arm]) -> str:
    """Say which repeat of each arm stands for it where one alone is shown.

    Returns:
        ``repeat 0 of each arm``, say, or ``repeat 0 of arm a, and repeat 1 of arm b (not finished)``.
    """
    found: dict[str, list[str]] = {}
    for arm in arms:
        found.setdefault(f"{arm.shown.repeat}{'' if arm.shown.finished else ' (not finished)'}", []).append(
            cleaned(arm.name)
        )
    if len(found) == 1:
        return f"repeat {next(iter(found))} of each arm"
    return ", and ".join(f"repeat {which} of {listed(names)}" for which, names in found.items())


def arm_names(conditions: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Name conditions by the overrides in which they differ.

    Examples:
        >>> arm_names([{"steps": 9, "targets": 0, "attack_every": 2}, {"steps": 9}])
        ('targets 0, attack every 2', 'as designed')
    """
    shared = shared_overrides(conditions)
    return tuple(
        ", ".join(
            f"{key.replace('_', ' ')} {in_words(value)}"
            for key, value in overrides.items()
            if key not in shared
        )
        or "as designed"
        for overrides in conditions
    )


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
