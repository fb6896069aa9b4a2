"""From a run of interacting models to what its report says: answers embedded, perspectives computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis import perspectives
from agentnet.analysis.interviews import (
    Answers,
    Embedded,
    TextEmbedder,
    embed_read,
    own_embedder,
    read_answers,
    realizations_of,
)
from agentnet.analysis.perspectives import ChangeTest, ControlChart, Series
from agentnet.errors import InputError, UserError
from agentnet.events import Run
from agentnet.report.interviews import Arm, Measured, Played, arm_names, to_leave_out, whole
from agentnet.report.interviews_contrasts import contrasts_of
from agentnet.report.interviews_notes import notes_of
from agentnet.report.interviews_part import InterviewPart
from agentnet.report.interviews_sample import sample_answers
from agentnet.report.log_facts import LogFacts
from agentnet.report.reasons import without_field

Array = NDArray[np.float64]
Progress = Callable[[str], None]
T = TypeVar("T")

N_DIMS: Final = 2
"""Dimensions of perspectives that figures and iso-mirror use."""

OWN_QUESTIONS: Final = (
    "fewer than half of the questions were answered in full in all repeats, so that each repeat is measured "
    "over its own"
)

_WARM_UP_SHARE: Final = 5


class ClosableEmbedder(TextEmbedder, Protocol):
    """An embedder that this report closes."""

    async def aclose(self) -> None:
        """Give back what it holds."""
        ...


MakeEmbedder = Callable[[str, dict[str, Any]], ClosableEmbedder]
"""From the name and options of the embedder that a run itself used, to the one that its report uses."""


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
    embedder = how.make_embedder(*own_embedder(facts.meta))
    name, embedded = asyncio.run(_embedded(usable, embedder))
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
        notes=(*notes, *notes_of(arms)),
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


async def _embedded(usable: Sequence[Answers], embedder: ClosableEmbedder) -> tuple[str, list[Embedded]]:
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
    played = tuple(_played(each, chart, how.seed) for each in embedded)
    ratio, gap, played = _of_two_classes(embedded, played, how)
    shown = whole(embedded, [each.finished for each in played])[0]
    name = arm_names(facts.meta["experiment"]["conditions"])[condition]
    return Arm(condition, name, shown.answers.classes, played, ratio, gap, _tests(shown, how.seed))


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


def _tried(compute: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return compute(), ""
    except UserError as error:
        return None, without_field(str(error))


def _scaled(embedded: Embedded) -> tuple[Array, tuple[float, float], Array]:
    """Scale a realization; returns coordinates, shares of dimensions, and moves as `Played` has them."""
    n_models = len(embedded.answers.classes)
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
    return places, (float(explained[0]), float(explained[1])), moved


def _played(embedded: Embedded, chart: ControlChart | None, seed: int) -> Played:
    answers = embedded.answers
    places, explained, moved = _scaled(embedded)
    mirror, why_no_mirror = _tried(lambda: perspectives.iso_mirror(places))
    clusters, why_no_clusters = _tried(lambda: perspectives.find_clusters(places[:, :, :1], seed=seed))
    reading = None if chart is None else chart.read(moved.mean(axis=1))
    return Played(
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
    embedded: Sequence[Embedded], played: tuple[Played, ...], how: How
) -> tuple[Measured, Measured, tuple[Played, ...]]:
    """Measure how far two classes are apart: relative to the start along one axis, and in full space.

    Returns:
        Both, over finished realizations if there are any, and all realizations with their gaps.
    """
    classes = embedded[0].answers.classes
    names = list(dict.fromkeys(classes))
    if len(names) != 2:
        only = Measured(None, note=f"it is a measure of two classes of models, and there are {len(names)}")
        return only, only, played
    groups = [[model for model, own in enumerate(classes) if own == name] for name in names]
    played = tuple(replace(own, gaps=_gaps(each, groups)) for each, own in zip(embedded, played, strict=True))
    averaged = whole(list(zip(embedded, played, strict=True)), [each.finished for each in played])
    n_steps = min(each.n_steps for _, each in averaged)
    left_out = to_leave_out(each for _, each in averaged)
    is_same = left_out is not None

    def along_axis() -> list[Array]:
        return [_axis_parts(each, own, groups, left_out or ())[:n_steps] for each, own in averaged]

    parts, why = _tried(along_axis)
    ratio = Measured(None, note=why) if parts is None else _averaged(parts, how, is_same, relative=True)
    gaps = [_gap_parts(own, left_out or ())[:n_steps] for _, own in averaged]
    return ratio, _averaged(gaps, how, is_same, relative=False), played


def _gap_parts(played: Played, left_out: Container[str]) -> Array:
    """Cut out what each question adds to the mean gap, ``(n_steps, n_prompts)``."""
    assert played.gaps is not None, "made for two classes"
    kept = played.without(left_out)
    return played.gaps[:, kept] / len(kept)


def _axis_parts(
    embedded: Embedded, played: Played, groups: list[list[int]], left_out: Container[str]
) -> Array:
    """Compute each prompt's part of the difference along the first axis, ``(n_steps, n_prompts)``."""
    line, steps = played.coordinates[:, :, 0], range(embedded.n_steps)
    if len(played.without(left_out)) < len(played.questions):
        # The axis belongs to its questions: of fewer, it is another.
        embedded = _restricted(embedded, left_out)
        line = _scaled(embedded)[0][:, :, 0]
    weights = perspectives.axis_weights(embedded.load, embedded.n_steps, line.ravel())
    return np.stack(
        [
            perspectives.prompt_differences(embedded.load(step), weights, groups[0], groups[1])
            for step in steps
        ]
    )


def _gaps(embedded: Embedded, groups: list[list[int]]) -> Array:
    """Compute the squared gap in the answers to each prompt, ``(n_steps, n_prompts)``."""
    steps = range(embedded.n_steps)
    return np.stack([perspectives.prompt_gaps(embedded.load(step), groups[0], groups[1]) for step in steps])


def _averaged(parts: Sequence[Array], how: How, is_same: bool, *, relative: bool) -> Measured:
    """Average over repeats, question by question where they are the same, else each repeat's sum."""
    if is_same:
        return _measured(np.stack(parts), how, relative=relative)
    sums = np.stack([each.sum(axis=1, keepdims=True) for each in parts])
    found = _measured(sums, how, relative=relative)
    if found.series is None:
        return found
    clear = found.has_interval and all(_is_clear(each, how) for each in parts)
    note = f"{OWN_QUESTIONS}, and the interval draws repeats alone" if found.has_interval else OWN_QUESTIONS
    note = f"{note}; {found.note}" if found.note else note
    return Measured(replace(found.series, clear_start=clear), found.has_interval, note)


def _is_clear(parts: Array, how: How) -> bool:
    """Say whether a repeat is clearly above or below 0 at its start: its own questions are drawn."""
    if parts.shape[1] < 2:
        return False
    start = perspectives.bootstrap(parts[:1], n_bootstrap=how.n_bootstrap, level=how.level, seed=how.seed)
    return start.clear_start


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
