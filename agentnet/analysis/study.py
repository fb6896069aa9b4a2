"""A study of interacting models, from its answers to what it found: in conditions, and between them.

    from agentnet import analysis

    study = analysis.study_run("runs/polarization")
    study.condition("topology full").gap.series.value

In a notebook, `study_run(await embed_run(run))` leaves the event loop free while answers are embedded.

More than 400 lines, because half of them say what was found, and everybody looks that up in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis import perspectives
from agentnet.analysis.answers import Embedded, EmbeddedRun, MakeEmbedder, embed_run, finished
from agentnet.analysis.contrasts import (
    BOUNDS,
    ConditionContrast,
    Kind,
    compared_in_row,
    contrast,
    rows_by_knob,
)
from agentnet.analysis.fitting import checked_level
from agentnet.analysis.perspectives import ChangeTest, ControlChart, Series
from agentnet.analysis.played import (
    Played,
    axis_parts,
    gap_parts,
    gaps_of,
    of_realization,
    tested,
    to_leave_out,
    tried,
    whole,
)
from agentnet.errors import DesignError, near_miss
from agentnet.events import Run
from agentnet.events.conditions import Condition

Array = NDArray[np.float64]
Progress = Callable[[str], None]

OWN_QUESTIONS: Final = (
    "fewer than half of the questions were answered in full in all repeats, so that each repeat is measured "
    "over its own"
)

_WARM_UP_SHARE: Final = 5


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
class ConditionStudy:
    """What was found under one condition.

    Attributes:
        number: Its number.
        name: What sets it apart, for people.
        classes: Class of each model.
        played: Its realizations.
        ratio: Polarization: the difference of two classes over that at step 0; mean over `whole`.
        gap: The squared gap of two classes, by prompt, without bias; mean over `whole`.
        tests: Of each model, whether it changed from the first to the last step, in the realization `shown`;
            None for one that is not there at both.
    """

    number: int
    name: str
    classes: tuple[str, ...]
    played: tuple[Played, ...]
    ratio: Measured
    gap: Measured
    tests: tuple[ChangeTest | None, ...]

    @property
    def whole(self) -> tuple[Played, ...]:
        """The realizations that are averaged; see `whole`."""
        return tuple(whole(self.played, [each.finished for each in self.played]))

    @property
    def shown(self) -> Played:
        """The realization that stands for it where one alone is shown: the first finished, if any is."""
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


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What a run of interacting models found.

    Attributes:
        run: Name of the run.
        meta: Its table ``meta``.
        label: What every result has to be called; empty if a language model answered.
        embedder: Name of the embedder of the answers.
        designs: All conditions of the run.
        conditions: What was found under those of which something is known.
        contrasts: Differences between conditions over repeats; none with a single repeat.
        chart: How moves are judged; None where there are too few.
        why_no_chart: Why not.
        level: Confidence level of intervals.
        n_bootstrap: Draws behind them; 0 for no intervals.
        seed: What fixed all chance.
        notes: What to know about it.
    """

    run: str
    meta: Mapping[str, Any]
    label: str
    embedder: str
    designs: tuple[Condition, ...]
    conditions: tuple[ConditionStudy, ...]
    contrasts: tuple[ConditionContrast, ...]
    chart: ControlChart | None
    why_no_chart: str
    level: float
    n_bootstrap: int
    seed: int
    notes: tuple[str, ...] = ()

    def condition(self, name: str) -> ConditionStudy:
        """Look a condition up.

        Raises:
            DesignError: Nothing is known of one of this name.
        """
        found = {each.name: each for each in self.conditions}
        if name not in found:
            raise DesignError(f"{self.run} found nothing under a condition {name!r}{near_miss(name, found)}")
        return found[name]


@dataclass(frozen=True, slots=True)
class How:
    """How intervals are made; see `study_run` and `comparison.compare`."""

    level: float = 0.95
    n_bootstrap: int = 200
    seed: int = 0


def study_run(
    run: Run | str | Path | EmbeddedRun,
    *,
    make_embedder: MakeEmbedder | None = None,
    n_bootstrap: int = 200,
    level: float = 0.95,
    seed: int = 0,
    progress: Progress | None = None,
) -> Study:
    """Find out what the models of a run did, under each condition and between conditions.

    Args:
        run: A run of interacting models or its folder, or its answers as `embed_run` embedded them. Works
            inside a running event loop, which stands still while answers are embedded here.
        make_embedder: Makes the embedder of the answers; see `embed_run`.
        n_bootstrap: Draws behind each bootstrap interval; 0 for none.
        level: Confidence level of all intervals, in (0, 1).
        seed: Fixes everything that is drawn.
        progress: Called with a few words before each piece of work.

    Raises:
        RunFolderError: The log is damaged.
        UserError: Its models do not interview each other.
        DesignError: An option is out of range.
        BackendError: The embedder failed.
    """
    checked_level(level)
    say = progress or (lambda _: None)
    if not isinstance(run, EmbeddedRun):
        run = run if isinstance(run, Run) else Run(Path(run))
        say(f"embedding the answers of {run.folder.resolve().name}")
        run = finished(embed_run(run, make_embedder))
    how = How(level, n_bootstrap, seed)
    chart, why_no_chart = _chart([each for every in run.conditions.values() for each in every], seed)
    say(f"computing the perspectives of {run.run}")
    known = Condition.all_of(run.meta)
    found = tuple(_condition(known[number], every, chart, how) for number, every in run.conditions.items())
    return Study(
        run=run.run,
        meta=run.meta,
        label=str(run.meta.get("label", "")),
        embedder=run.embedder,
        designs=known,
        conditions=found,
        contrasts=contrasts_of(known, found, level, seed),
        chart=chart,
        why_no_chart=why_no_chart,
        level=level,
        n_bootstrap=n_bootstrap,
        seed=seed,
        notes=(*run.notes, *notes_of(found)),
    )


def _chart(embedded: Sequence[Embedded], seed: int) -> tuple[ControlChart | None, str]:
    """Make the chart for all realizations, whose first fifth of moves is left to settle."""
    horizon = max((each.n_steps - 1 for each in embedded), default=0)
    if horizon < 2:
        return None, "a change of behaviour takes at least 2 steps after step 0"
    return perspectives.control_chart(horizon, warm_up=horizon // _WARM_UP_SHARE, seed=seed), ""


def _condition(
    condition: Condition, embedded: Sequence[Embedded], chart: ControlChart | None, how: How
) -> ConditionStudy:
    played = tuple(of_realization(each, chart, how.seed) for each in embedded)
    ratio, gap, played = _of_two_classes(embedded, played, how)
    shown = whole(embedded, [each.finished for each in played])[0]
    return ConditionStudy(
        condition.number, condition.name, shown.answers.classes, played, ratio, gap, tested(shown, how.seed)
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
    every_gap, why = tried(lambda: [gaps_of(each, groups) for each in embedded])
    if every_gap is None:
        only = Measured(None, note=why)
        return only, only, played
    played = tuple(replace(own, gaps=gaps) for own, gaps in zip(played, every_gap, strict=True))
    averaged = whole(list(zip(embedded, played, strict=True)), [each.finished for each in played])
    n_steps = min(each.n_steps for _, each in averaged)
    left_out = to_leave_out(each for _, each in averaged)
    is_same = left_out is not None

    def along_axis() -> list[Array]:
        return [axis_parts(each, own, groups, left_out or ())[:n_steps] for each, own in averaged]

    parts, why = tried(along_axis)
    ratio = Measured(None, note=why) if parts is None else _averaged(parts, how, is_same, relative=True)
    gaps = [gap_parts(own, left_out or ())[:n_steps] for _, own in averaged]
    return ratio, _averaged(gaps, how, is_same, relative=False), played


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
    n_runs, n_steps, n_prompts = parts.shape
    if relative and n_steps == 1:
        return Measured(None, note="it is relative to step 0, and there is no other step")
    over: perspectives.two_groups.Over = (
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
        ratio, why = tried(lambda: perspectives.two_groups.relative(parts.sum(axis=2)).mean(axis=0))
        if ratio is None:
            return Measured(None, note=why)
        return Measured(Series(ratio, ratio, ratio, how.level, over, clear_start=False), False, note)
    found, why = tried(series)
    if found is None:
        return Measured(None, note=why)
    return Measured(found, has_interval, note)


Outcome = Callable[[Played, Sequence[int]], float | None]
"""From a realization, and the places of the questions that count, to a number."""

_OWN: Final = "; each repeat over its own questions"
"""What is said of contrasts between gaps that are not of the same questions."""


def settled(n_steps: int) -> int:
    """Say from which step on a system is taken to have settled: the last half of its steps counts."""
    return (n_steps + 1) // 2


def _gap(played: Played, questions: Sequence[int]) -> float | None:
    if played.gaps is None:
        return None
    return float(played.gaps[-1, questions].mean())


def _growth(played: Played, questions: Sequence[int]) -> float | None:
    if played.gaps is None or played.n_steps < 2:
        return None
    return float((played.gaps[-1, questions] - played.gaps[0, questions]).mean())


def _agreement(played: Played, _: Sequence[int]) -> float | None:
    if played.clusters is None or not played.clusters.agreement.size:
        return None
    return float(played.clusters.agreement[settled(played.n_steps) - 1 :].mean())


def _n_clusters(played: Played, _: Sequence[int]) -> float | None:
    if played.clusters is None or played.n_steps < 2:
        return None
    return float(played.clusters.n_clusters[settled(played.n_steps) :].mean())


def _movement(played: Played, _: Sequence[int]) -> float | None:
    if played.mirror is None or played.n_steps < 2:
        return None
    return float(np.abs(np.diff(played.mirror.curve))[settled(played.n_steps) - 1 :].mean())


def _beside_own(played: Played, _: Sequence[int]) -> float | None:
    return None if played.beside_own is None else float(played.beside_own[-1])


OUTCOMES: Final[Mapping[str, tuple[str, Outcome]]] = {
    "gap": ("squared gap of the classes at the last step", _gap),
    "gap_growth": ("squared gap at the last step less that at step 0", _growth),
    "ari": ("mean ARI(t, t - 1) over the last half of the steps", _agreement),
    "n_clusters": ("mean number of clusters over the last half of the steps", _n_clusters),
    "mirror_movement": ("mean movement of the iso-mirror a step, over the last half of the steps", _movement),
    "own_class": ("share of models whose nearest is of their own class, at the last step", _beside_own),
}
"""What conditions are compared in: name -> in words, and how a realization comes to it."""


def contrasts_of(
    conditions: Sequence[Condition], studied: Sequence[ConditionStudy], level: float, seed: int
) -> tuple[ConditionContrast, ...]:
    """Compare the conditions of a run, over their finished realizations.

    Conditions that differ in one knob only are compared: by the trend if it takes three or more numbers, else
    each with the first. In what: the gap of classes where there are two, whose growth is also told for each
    condition; else in clusters, iso-mirror, and how many models stand beside their own class. Gaps are over
    the questions that no finished realization of the compared conditions left out, else conditions would
    differ by what was asked; where these are less than half, over each one's own, and the contrast says so.

    Args:
        conditions: All conditions of the run.
        studied: What was found under those of which something is known.
        level: Confidence level of intervals.
        seed: Fixes what is drawn.
    """
    return tuple(
        ConditionContrast(
            outcome, kind, compared, contrast(values, level=level, seed=seed, within=BOUNDS.get(kind))
        )
        for outcome, kind, compared, values in _compared(conditions, studied)
        if len(values) > 1
    )


def _compared(
    conditions: Sequence[Condition], studied: Sequence[ConditionStudy]
) -> Iterator[tuple[str, Kind, str, dict[int, float]]]:
    with_classes = any(each.gaps is not None for every in studied for each in every.played)
    if with_classes:
        for each in studied:
            left_out = to_leave_out(_finished([each]))
            yield "gap_growth", "growth", each.name + _over(left_out), _values(each, "gap_growth", left_out)
    of = {each.number: each for each in studied}
    for outcome in ("gap",) if with_classes else tuple(OUTCOMES)[2:]:
        for knob, others, row in rows_by_knob(conditions):
            known = [of[each.number] for _, each in row if each.number in of]
            left_out = to_leave_out(_finished(known)) if outcome == "gap" else frozenset()
            came = [
                (value, _values(of[each.number], outcome, left_out) if each.number in of else {})
                for value, each in row
            ]
            at = (f" ({others})" if others else "") + _over(left_out)
            for kind, told, values in compared_in_row(knob, at, came):
                yield outcome, kind, told, values


def _finished(conditions: Sequence[ConditionStudy]) -> list[Played]:
    return [each for every in conditions for each in every.played if each.finished]


def _over(left_out: frozenset[str] | None) -> str:
    return _OWN if left_out is None else ""


def _values(found: ConditionStudy, outcome: str, left_out: frozenset[str] | None) -> dict[int, float]:
    compute = OUTCOMES[outcome][1]
    values = {each.repeat: compute(each, each.without(left_out or ())) for each in _finished([found])}
    return {repeat: value for repeat, value in values.items() if value is not None}


def values_of(
    studies: Sequence[Study], outcome: str
) -> tuple[list[list[tuple[Condition, dict[int, float]]]], bool]:
    """Give what the finished repeats of conditions came to, of studies that are compared.

    Args:
        studies: The studies.
        outcome: A key of `OUTCOMES`.

    Returns:
        Of each study its conditions, each with the value of each repeat; and whether all are measured over
        the same questions: those that no finished realization left out, if these are at least half.
    """
    found = [each for study in studies for each in study.conditions]
    left_out = to_leave_out(_finished(found)) if outcome.startswith("gap") else frozenset()
    values = [
        [(study.designs[each.number], _values(each, outcome, left_out)) for each in study.conditions]
        for study in studies
    ]
    return values, left_out is not None


def notes_of(conditions: Sequence[ConditionStudy]) -> list[str]:
    """Say what to know about the results of conditions: what is left out, what is unclear."""
    return [note for each in conditions for note in _notes(each)] + list(_across(conditions))


def span_of(numbers: Sequence[int]) -> str:
    """Spell the least and the greatest of some numbers.

    Examples:
        >>> span_of([28, 35, 30]), span_of([5, 5])
        ('28 to 35', '5')
    """
    least, most = min(numbers), max(numbers)
    return f"{least}" if least == most else f"{least} to {most}"


def _notes(found: ConditionStudy) -> Iterator[str]:
    if any(each.left_out for each in found.played):
        asked = span_of([each.n_asked for each in found.played])
        left = span_of([len(each.questions) for each in found.played])
        yield (
            f"{found.name}: a question to which an answer is missing is left out of its realization at all "
            f"steps; of {asked} questions, {left} are left in each realization{_over_questions(found)}"
        )
    series = found.ratio.series
    if series is not None and found.ratio.has_interval and not series.clear_start:
        yield (
            f"{found.name}: the classes are not clearly apart at step 0, so that the polarization "
            "may be anything, as it is relative to that; look at the gap"
        )


def _over_questions(found: ConditionStudy) -> str:
    """Say over which questions the measures of two classes are; nothing without two classes."""
    if found.gap.series is None:
        return ""
    if found.n_common is None:
        return f"; polarization and gap: {found.gap.note}"
    return f"; polarization and gap are over the {found.n_common} that all averaged repeats answered in full"


def _across(conditions: Sequence[ConditionStudy]) -> Iterator[str]:
    if len({frozenset(each.left_out) for every in conditions for each in every.played}) > 1:
        yield (
            "different questions are left out in different realizations: gaps are compared over those that "
            "all finished realizations of the compared conditions answered in full where these are at least "
            "half of all, else over each repeat's own, and the comparison says so; clusters, iso-mirrors and "
            "perspectives are those of each realization's own questions"
        )
