"""From a run of interacting models to what its report says: answers embedded, perspectives computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis import perspectives
from agentnet.analysis.interviews import (
    Answers,
    Embedded,
    TextEmbedder,
    embed_read,
    read_answers,
    realizations_of,
)
from agentnet.analysis.perspectives import ChangeTest, ControlChart, Series
from agentnet.errors import InputError, UserError
from agentnet.events import Run
from agentnet.report.figures.words import counted
from agentnet.report.interviews import Arm, InterviewPart, Measured, Played, arm_names, whole
from agentnet.report.interviews_contrasts import contrasts_of
from agentnet.report.interviews_sample import sample_answers
from agentnet.report.log_facts import LogFacts
from agentnet.report.reasons import without_field

Array = NDArray[np.float64]
Progress = Callable[[str], None]
T = TypeVar("T")

N_DIMS: Final = 2
"""Dimensions of perspectives that figures and iso-mirror use."""

_WARM_UP_SHARE: Final = 5


class ClosableEmbedder(TextEmbedder, Protocol):
    """An embedder that this report closes."""

    async def aclose(self) -> None:
        """Give back what it holds."""
        ...


MakeEmbedder = Callable[[], ClosableEmbedder]


@dataclass(frozen=True, slots=True)
class How:
    """How the part of a run is made.

    Attributes:
        make_embedder: Makes the embedder of the answers, anew for each run; it is closed afterwards.
        level: Confidence level of intervals.
        n_bootstrap: Draws behind each interval; 0 for no intervals.
        seed: Fixes everything that is drawn.
        n_answers: Answers to browse, at most.
    """

    make_embedder: MakeEmbedder
    level: float
    n_bootstrap: int
    seed: int
    n_answers: int


def interview_part(run: Run, facts: LogFacts, how: How, say: Progress) -> InterviewPart:
    """Compute what a report says of a run of interacting models.

    Args:
        run: The run.
        facts: What its log says.
        how: How it is made.
        say: Called with a few words before each piece of work.

    Raises:
        RunFolderError: The log is damaged.
        BackendError: The embedder failed.
    """
    say(f"embedding the answers of {facts.run}")
    usable, notes = _usable(run)
    name, embedded = asyncio.run(_embedded(usable, how.make_embedder))
    chart, why_no_chart = _chart(embedded, how.seed)
    say(f"computing the perspectives of {facts.run}")
    arms = tuple(
        _arm(facts, condition, of_arm, chart, how)
        for condition, of_arm in _by_condition(facts, embedded).items()
    )
    answers, n_answers = sample_answers(run, n=how.n_answers, seed=how.seed)
    used = facts.meta["interviews"]["embedder"]["name"]
    if used != name:
        notes.append(f"the run itself measured how near its models are by {used}, this report by {name}")
    return InterviewPart(
        facts=facts,
        label=str(facts.meta.get("label", "")),
        embedder=name,
        arms=arms,
        contrasts=contrasts_of(facts, arms, how.level, how.seed),
        chart=chart,
        why_no_chart=why_no_chart,
        answers=answers,
        n_answers=n_answers,
        seed=how.seed,
        level=how.level,
        n_bootstrap=how.n_bootstrap,
        notes=(*notes, *_notes(arms)),
    )


def _usable(run: Run) -> tuple[list[Answers], list[str]]:
    """Read the realizations of which something can be said, and say why not of the others."""
    usable, notes = [], []
    for number, _, _, finished in realizations_of(run):
        try:
            usable.append(read_answers(run, number))
        except InputError as error:
            notes.append(str(error))
            continue
        if not finished:
            notes.append(
                f"realization {number} is not finished: its complete steps are used, but in no mean with "
                "finished ones"
            )
    if not usable and not notes:
        notes.append("no realization has begun yet")
    return usable, notes


async def _embedded(usable: Sequence[Answers], make: MakeEmbedder) -> tuple[str, list[Embedded]]:
    embedder = make()
    try:
        return embedder.name, await embed_read(usable, embedder)
    finally:
        await embedder.aclose()


def _chart(embedded: Sequence[Embedded], seed: int) -> tuple[ControlChart | None, str]:
    """Make the chart for all realizations, whose first fifth of moves is left to settle."""
    horizon = max((each.n_steps - 1 for each in embedded), default=0)
    if horizon < 2:
        return None, "a change of behaviour takes at least 2 steps after step 0"
    return perspectives.control_chart(horizon, warm_up=horizon // _WARM_UP_SHARE, seed=seed), ""


def _by_condition(facts: LogFacts, embedded: Sequence[Embedded]) -> dict[int, list[Embedded]]:
    # Realizations are numbered condition by condition; conditions themselves may be alike.
    ends = np.cumsum([int(design["repeats"]) for design in facts.meta["experiment"]["design"]])
    found: dict[int, list[Embedded]] = {}
    for each in embedded:
        condition = int(np.searchsorted(ends, each.answers.realization, side="right"))
        found.setdefault(condition, []).append(each)
    return dict(sorted(found.items()))


def _arm(
    facts: LogFacts, condition: int, embedded: list[Embedded], chart: ControlChart | None, how: How
) -> Arm:
    classes = embedded[0].answers.classes
    left_out: dict[str, str] = {}
    for each in embedded:
        left_out |= each.answers.left_out
    common = [_restricted(each, left_out) for each in embedded]
    questions = common[0].answers.questions
    played: tuple[Played, ...] = ()
    ratio = gap = Measured(None, note="no question was answered in all repeats")
    tests: tuple[ChangeTest, ...] = ()
    if questions:
        played = tuple(_played(each, chart, how.seed) for each in common)
        ratio, gap, of_each = _of_two_classes(common, played, how)
        if of_each is not None:
            played = tuple(replace(each, gaps=own) for each, own in zip(played, of_each, strict=True))
        tests = _tests(common[0], how.seed)
    name = arm_names(facts.meta["experiment"]["conditions"])[condition]
    return Arm(condition, name, classes, questions, left_out, played, ratio, gap, tests)


def _restricted(embedded: Embedded, left_out: Mapping[str, str]) -> Embedded:
    """Keep the questions that every repeat answered in full: else repeats would differ by them."""
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


def _tried(compute: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return compute(), ""
    except UserError as error:
        return None, without_field(str(error))


def _played(embedded: Embedded, chart: ControlChart | None, seed: int) -> Played:
    answers, n_models = embedded.answers, len(embedded.answers.classes)
    places = np.zeros((embedded.n_steps, n_models, N_DIMS))
    explained = np.zeros(N_DIMS)
    moved = np.zeros((embedded.n_steps - 1, n_models))
    if places.shape[0] * n_models > 1:
        squared = perspectives.squared_distances(embedded.load, embedded.n_steps, per_prompt=True)
        scaling = perspectives.classical_scaling(squared, N_DIMS, of_points=True)
        found = scaling.by_step(n_models)
        places[:, :, : found.shape[2]] = found
        if scaling.total:
            explained[: found.shape[2]] = scaling.eigenvalues / scaling.total
        moved = perspectives.moves(squared, n_models)
    mirror, why_no_mirror = _tried(lambda: perspectives.iso_mirror(places))
    clusters, why_no_clusters = _tried(lambda: perspectives.find_clusters(places[:, :, :1], seed=seed))
    reading = None if chart is None else chart.read(moved.mean(axis=1))
    return Played(
        answers.realization,
        answers.repeat,
        answers.finished,
        places,
        (float(explained[0]), float(explained[1])),
        moved,
        mirror,
        why_no_mirror,
        clusters,
        why_no_clusters,
        reading,
        gaps=None,
    )


def _tests(embedded: Embedded, seed: int) -> tuple[ChangeTest, ...]:
    """Test each model for a shift from step 0 to the last; none with one step or one question."""
    if embedded.n_steps < 2 or len(embedded.answers.questions) < 2:
        return ()
    first, last = embedded.load(0), embedded.load(embedded.n_steps - 1)
    return tuple(
        perspectives.change_test(first[model], last[model], kind="shift", seed=seed)
        for model in range(len(first))
    )


def _of_two_classes(
    embedded: Sequence[Embedded], played: Sequence[Played], how: How
) -> tuple[Measured, Measured, list[Array] | None]:
    """Measure how far two classes are apart: relative to the start along one axis, and in full space.

    Returns:
        Both, over finished realizations if there are any, and the gaps of each realization, shape
        ``(n_steps, n_questions)``; None where there are not two classes.
    """
    classes = embedded[0].answers.classes
    names = list(dict.fromkeys(classes))
    if len(names) != 2:
        only = Measured(None, note=f"it is a measure of two classes of models, and there are {len(names)}")
        return only, only, None
    groups = [[model for model, own in enumerate(classes) if own == name] for name in names]
    of_each = [_gaps(each, groups) for each in embedded]
    every = list(zip(embedded, played, of_each, strict=True))
    averaged = whole(every, [each.finished for each in played])
    n_steps = min(each.n_steps for each, _, _ in averaged)

    def along_axis() -> Array:
        return np.stack([_axis_parts(each, own, groups, n_steps) for each, own, _ in averaged])

    parts, why = _tried(along_axis)
    ratio = Measured(None, note=why) if parts is None else _measured(parts, how, relative=True)
    gaps = np.stack([own[:n_steps] / own.shape[1] for _, _, own in averaged])
    return ratio, _measured(gaps, how, relative=False), of_each


def _axis_parts(embedded: Embedded, played: Played, groups: list[list[int]], n_steps: int) -> Array:
    """Compute each prompt's part of the difference along the first axis, ``(n_steps, n_prompts)``."""
    weights = perspectives.axis_weights(embedded.load, embedded.n_steps, played.coordinates[:, :, 0].ravel())
    return np.stack(
        [
            perspectives.prompt_differences(embedded.load(step), weights, groups[0], groups[1])
            for step in range(n_steps)
        ]
    )


def _gaps(embedded: Embedded, groups: list[list[int]]) -> Array:
    """Compute the squared gap in the answers to each prompt, ``(n_steps, n_prompts)``."""
    steps = range(embedded.n_steps)
    return np.stack([perspectives.prompt_gaps(embedded.load(step), groups[0], groups[1]) for step in steps])


def _measured(parts: Array, how: How, *, relative: bool) -> Measured:
    """Average over repeats; intervals draw whatever there is more than one of anew."""
    n_runs, _, n_prompts = parts.shape
    over: perspectives.intervals.Over = (
        "both" if n_runs > 1 and n_prompts > 1 else "runs" if n_runs > 1 else "prompts"
    )
    note = ""
    if n_runs == 1 and n_prompts == 1:
        note = "one repeat and one question give no interval"
        parts, n_prompts = np.concatenate([parts, np.zeros_like(parts)], axis=2), 2
    elif not how.n_bootstrap:
        note = "no interval was asked for (0 bootstrap draws)"
    elif n_runs == 1:
        note = "with one repeat, the interval says what other questions would, not what other runs would"
    has_interval = bool(how.n_bootstrap) and not note.startswith("one repeat and one question")

    def series() -> Series:
        return perspectives.bootstrap(
            parts,
            over=over,
            relative_to_start=relative and has_interval,
            n_bootstrap=max(how.n_bootstrap, 1) if has_interval else 1,
            level=how.level,
            seed=how.seed,
        )

    if relative and not has_interval:
        ratio, why = _tried(lambda: perspectives.two_groups.relative(parts.sum(axis=2)).mean(axis=0))
        if ratio is None:
            return Measured(None, note=why)
        return Measured(Series(ratio, ratio, ratio, how.level, over, clear_start=False), False, note)
    found, why = _tried(series)
    if found is None:
        return Measured(None, note=why)
    return Measured(found, has_interval, note)


def _notes(arms: Sequence[Arm]) -> list[str]:
    found = []
    for arm in arms:
        if arm.left_out:
            found.append(
                f"{arm.name}: left out at all steps, as an answer is missing: "
                f"{counted(len(arm.left_out), 'question')}"
            )
        series = arm.ratio.series
        if series is not None and arm.ratio.has_interval and not series.clear_start:
            found.append(
                f"{arm.name}: the classes are not clearly apart at step 0, so that the polarization "
                "may be anything, as it is relative to that; look at the gap"
            )
    if len({frozenset(arm.left_out) for arm in arms}) > 1:
        found.append(
            "different questions are left out in different arms: gaps are compared over those that none of "
            "the compared arms left out, clusters and iso-mirrors over each arm's own"
        )
    return found
