"""What the models of one realization of a study did: their perspectives, and what those show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis import perspectives
from agentnet.analysis.answers import Embedded
from agentnet.analysis.perspectives import ChangeTest, ChartReading, Clusters, ControlChart, IsoMirror
from agentnet.errors import InputError, UserError, without_field

Array = NDArray[np.float64]
T = TypeVar("T")

N_DIMS: Final = 2
"""Dimensions of perspectives that figures and iso-mirror use."""


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
            units of the root mean squared distance of an answer. Zeros where fewer dimensions differ; nan
            where a model is not there.
        explained: Share of all distances that each of the two dimensions expresses.
        moved: How far each model moved from one step to the next: squared distances by prompt, shape
            ``(n_steps - 1, n_models)``; nan where it is not there at both.
        mirror: The iso-mirror of the models that are there throughout; None where there is none.
        why_no_mirror: Why not.
        clusters: Clusters of 1-d perspectives of the models that are there throughout; None where there are
            none.
        why_no_clusters: Why not.
        reading: What the control chart says of `mean_move`; None without a chart.
        gaps: Squared gap of two classes at each step, in the answers to each question, shape ``(n_steps,
            n_questions)``; None where there are not two.
        targets: Models that interviewed one that never had anybody to interview.
        beside_own: Share of models whose nearest in the two dimensions is of their own class, at each step,
            shape ``(n_steps,)``; None unless there are several classes, each of several models.
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
    reading: ChartReading | None
    gaps: Array | None
    targets: frozenset[int] = frozenset()
    beside_own: Array | None = None

    @property
    def n_steps(self) -> int:
        """Number of steps, step 0 included."""
        return len(self.coordinates)

    @property
    def mean_move(self) -> Array:
        """How far models that are there moved in each step on average, shape ``(n_steps - 1,)``."""
        is_known = np.isfinite(self.moved)
        mean: Array = np.where(is_known, self.moved, 0.0).sum(axis=1) / np.maximum(is_known.sum(axis=1), 1)
        return mean

    @property
    def n_asked(self) -> int:
        """Number of questions that it was asked."""
        return len(self.questions) + len(self.left_out)

    def without(self, left_out: Container[str]) -> list[int]:
        """List the places of its questions that are not among `left_out`."""
        return [place for place, name in enumerate(self.questions) if name not in left_out]


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


def tried(compute: Callable[[], T]) -> tuple[T | None, str]:
    """Compute something; None and the reason where the data do not allow it."""
    try:
        return compute(), ""
    except UserError as error:
        return None, without_field(str(error))


def _scaled(embedded: Embedded) -> tuple[Array, tuple[float, float], Array]:
    """Scale a realization; returns coordinates, shares of dimensions, and moves as `Played` has them."""
    n_models, there = len(embedded.answers.classes), embedded.answers.present
    places = np.where(there[:, :, None], np.zeros(N_DIMS), np.nan)
    explained = np.zeros(N_DIMS)
    moved = np.zeros((embedded.n_steps - 1, n_models))
    if there.sum() > 1:
        squared = perspectives.squared_distances(embedded.load, embedded.n_steps, per_prompt=True)
        rows = np.flatnonzero(there)
        of_rows = squared if there.all() else squared[np.ix_(rows, rows)]
        scaling = perspectives.classical_scaling(of_rows, N_DIMS, of_points=True)
        found = scaling.coordinates
        places[there, : found.shape[1]] = found
        if scaling.total:
            explained[: found.shape[1]] = scaling.eigenvalues / scaling.total
        moved = np.where(there[1:] & there[:-1], perspectives.moves(squared, n_models), np.nan)
    return places, (float(explained[0]), float(explained[1])), moved


def of_realization(embedded: Embedded, chart: ControlChart | None, seed: int) -> Played:
    """Find out what the models of a realization did, but for the gaps of classes.

    Args:
        embedded: Its answers.
        chart: The control chart of all realizations.
        seed: Fixes the starts of mixtures.
    """
    answers = embedded.answers
    places, explained, moved = _scaled(embedded)
    lasting = places[:, answers.present.all(axis=0)]
    mirror, why_no_mirror = tried(lambda: perspectives.iso_mirror(_throughout(lasting)))
    clusters, why_no_clusters = tried(
        lambda: perspectives.find_clusters(_throughout(lasting)[:, :, :1], seed=seed)
    )
    played = Played(
        answers.realization,
        answers.repeat,
        answers.finished,
        answers.questions,
        answers.left_out,
        places,
        explained,
        moved,
        mirror,
        why_no_mirror,
        clusters,
        why_no_clusters,
        None,
        gaps=None,
        targets=answers.targets,
        beside_own=perspectives.beside_own_class(places, answers.classes)
        if _divides(answers.classes)
        else None,
    )
    return played if chart is None else replace(played, reading=chart.read(played.mean_move))


def _throughout(places: Array) -> Array:
    """Refuse perspectives of nobody."""
    if not places.shape[1]:
        raise InputError("no model is there at all steps")
    return places


def _divides(classes: Sequence[str]) -> bool:
    """Say whether there are several classes, each of several models."""
    sizes = Counter(classes).values()
    return len(sizes) > 1 and min(sizes) > 1


def tested(embedded: Embedded, seed: int) -> tuple[ChangeTest | None, ...]:
    """Test each model for a shift from step 0 to the last; none with one step or one question.

    Returns:
        None for a model that is not there at both.
    """
    if embedded.n_steps < 2 or len(embedded.answers.questions) < 2:
        return ()
    first, last = embedded.load(0), embedded.load(embedded.n_steps - 1)
    both = embedded.answers.present[0] & embedded.answers.present[-1]
    return tuple(
        perspectives.change_test(first[model], last[model], kind="shift", seed=seed) if both[model] else None
        for model in range(len(first))
    )


def _restricted(embedded: Embedded, left_out: Container[str]) -> Embedded:
    """Leave questions out."""
    answers = embedded.answers
    kept = [place for place, name in enumerate(answers.questions) if name not in left_out]
    return replace(
        embedded,
        answers=replace(
            answers,
            questions=tuple(answers.questions[place] for place in kept),
            topics=tuple(answers.topics[place] for place in kept),
            codes=answers.codes[:, :, kept],
        ),
    )


def gap_parts(played: Played, left_out: Container[str]) -> Array:
    """Cut out what each question adds to the mean gap, ``(n_steps, n_prompts)``."""
    assert played.gaps is not None, "made for two classes"
    kept = played.without(left_out)
    return played.gaps[:, kept] / len(kept)


def axis_parts(
    embedded: Embedded, played: Played, groups: list[list[int]], left_out: Container[str]
) -> Array:
    """Compute each prompt's part of the difference along the first axis, ``(n_steps, n_prompts)``."""
    line, steps = played.coordinates[:, :, 0], range(embedded.n_steps)
    if len(played.without(left_out)) < len(played.questions):
        # The axis belongs to its questions: of fewer, it is another.
        embedded = _restricted(embedded, left_out)
        line = _scaled(embedded)[0][:, :, 0]
    # Answers of a model that is not there are zeros: at whatever place, they turn no axis.
    line = np.nan_to_num(line).ravel()
    weights = perspectives.axis_weights(embedded.load, embedded.n_steps, line)
    return np.stack(
        [
            perspectives.prompt_differences(embedded.load(step), weights, *_there(embedded, step, groups))
            for step in steps
        ]
    )


def _there(embedded: Embedded, step: int, groups: list[list[int]]) -> list[list[int]]:
    """Give the models of two groups that are there after a step.

    Raises:
        InputError: There is none of a group.
    """
    found = [[model for model in group if embedded.answers.present[step, model]] for group in groups]
    for members, group in zip(found, groups, strict=True):
        if not members:
            name = embedded.answers.classes[group[0]]
            raise InputError(f"after step {step} no model of class {name!r} is there")
    return found


def gaps_of(embedded: Embedded, groups: list[list[int]]) -> Array:
    """Compute the squared gap in the answers to each prompt, ``(n_steps, n_prompts)``."""
    steps = range(embedded.n_steps)
    return np.stack(
        [perspectives.prompt_gaps(embedded.load(step), *_there(embedded, step, groups)) for step in steps]
    )
