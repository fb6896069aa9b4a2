"""What a report says of conditions side by side, those of one run or of several, before it tells of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agentnet.analysis.comparison import (
    ConditionComparison,
    ConditionEstimate,
    compare_all,
    names_of_conditions,
)
from agentnet.analysis.contrasts import Contrast, are_numbers
from agentnet.analysis.fits_html import number, span
from agentnet.analysis.trees import Trees
from agentnet.events.conditions import in_words
from agentnet.report.blocks import absent, bullets, paragraph
from agentnet.report.drawings import Drawing, rendered
from agentnet.report.figures.sketch import sketches_of
from agentnet.report.figures.words import capitalized, counted, listed, sentences
from agentnet.report.part import Block, Course, Part, Reading, Section
from agentnet.report.tables import WITHOUT_INTERVAL, Cell, Interval, Table, known_interval

NAME: Final = "conditions"
"""What its figures are listed under, and what it is called in ids and file names."""

_MOST_TOLD: Final = 2
"""Contrasts that a sentence tells; the table has all."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """The conditions of the runs of one family, compared.

    Attributes:
        family: The family.
        runs: Names of the runs.
        names: What sets each condition apart from the others, of all runs.
        comparisons: What they are compared in.
        uncompared: Measure -> why nothing can be compared in it.
        label: What every result has to be called, as where no language model answered; else empty.
        courses: (name of the condition, course) of each that has one, to be drawn into one another.
        trees: Trees of messages of each that has some, called like it, and those observed elsewhere.
        drawings: The figures.
    """

    family: str
    runs: tuple[str, ...]
    names: tuple[str, ...]
    comparisons: tuple[ConditionComparison, ...]
    uncompared: Mapping[str, str]
    label: str = ""
    courses: tuple[tuple[str, Course], ...] = ()
    trees: tuple[Trees, ...] = ()
    drawings: tuple[Drawing, ...] = field(default=(), repr=False)

    @property
    def title(self) -> str:
        """The heading."""
        return f"Conditions of {listed(dict.fromkeys(self.runs))}"

    @property
    def swept(self) -> str:
        """The one knob in which the conditions differ, if it takes numbers; else empty."""
        knobs = {knob for each in self.estimates for knob in each.knobs}
        if len(knobs) != 1:
            return ""
        (knob,) = knobs
        return knob if are_numbers([(each.knobs[knob], each) for each in self.estimates]) else ""

    @property
    def estimates(self) -> tuple[ConditionEstimate, ...]:
        """What the conditions came to, in all measures."""
        return tuple(each for comparison in self.comparisons for each in comparison.estimates)

    @property
    def called(self) -> str:
        """What results have to be called, in a sentence; empty where they are a language model's."""
        return f"These are results of a {self.label}" if self.label else ""

    def findings(self) -> Iterator[str]:
        """Say what the conditions differ in, a sentence for each measure."""
        if self.called:
            yield self.called
        for each in self.comparisons:
            yield f"{capitalized(each.title)}: {'; '.join(_told(each))}"

    def sections(self) -> Iterator[Section]:
        """Lay out what stands around the figures."""
        lead = f"{counted(len(self.names), 'condition')} are compared: {listed(self.names, most=16)}"
        notes = [
            note if len(titles) == len(self.comparisons) else f"{listed(titles)}: {note}"
            for note, titles in _gathered(self.comparisons, lambda each: each.notes).items()
        ]
        blocks = (
            paragraph(sentences([self.called, lead]), "lead"),
            *([bullets(map(capitalized, notes))] if notes else ()),
        )
        yield Section("summary", "Summary", blocks, is_open=True)
        yield Section("contrasts", "Contrasts", tuple(self._contrasts()), is_open=True)

    def _contrasts(self) -> Iterator[Block]:
        if self.comparisons:
            yield _contrasts_table(self.comparisons).labelled(self.label)
            yield _estimates_table(self.comparisons).labelled(self.label)
        for measure, why in self.uncompared.items():
            yield absent(f"{measure}: {why}")

    def tables(self) -> Iterator[Table]:
        """Make what is written as CSV alone."""
        if self.courses:
            yield _courses_table(self.courses).labelled(self.label)

    def as_json(self) -> dict[str, Any]:
        """Spell what stands in ``results.json`` beside the comparisons."""
        return {
            "family": self.family,
            "runs": self.runs,
            "conditions": self.names,
            "label": self.label,
            "curves": [
                {
                    "condition": name,
                    "of": of.what,
                    "along": of.along,
                    "at": of.places,
                    **{key: getattr(of, key).tolist() for key in ("value", "low", "high")},
                    "n": of.n,
                }
                for name, of in self.courses
            ],
        }


def compared(reading: Reading, parts: Sequence[Part]) -> Iterator[Conditions]:
    """Compare the conditions of the runs of each family that has two or more of them.

    Args:
        reading: The runs.
        parts: What their families made of them. A single run whose part tells its contrasts is left to it.

    Raises:
        RunFolderError: A log is damaged.
    """
    options = reading.options
    studies = {id(part.facts): study for part in parts if (study := part.study_to_compare()) is not None}
    for family in dict.fromkeys(facts.family for _, facts in reading.runs):
        runs = reading.of(family)
        mine = [studies.get(id(facts), run) for run, facts in runs]
        tells_itself = len(runs) == 1 and id(runs[0][1]) in studies
        if tells_itself or sum(facts.n_conditions for _, facts in runs) < 2:
            continue
        reading.say(f"comparing the conditions of {family} runs")
        found, why_not = compare_all(
            mine, n_bootstrap=options.n_bootstrap, level=options.level, seed=options.seed
        )
        names = names_of_conditions(mine)
        place = {id(facts): i for i, (_, facts) in enumerate(runs)}
        courses = tuple(
            (names[place[id(part.facts)], each.condition], each)
            for part in parts
            if id(part.facts) in place
            for each in part.courses(options.level)
        )
        trees = [
            replace(each, name=names[place[id(part.facts)], int(each.columns["condition"][0])])
            for part in parts
            if id(part.facts) in place
            for each in part.forests()
        ]
        seen = [options.observed] if trees and options.observed is not None else []
        run_names = tuple(facts.run for _, facts in runs)
        labels = dict.fromkeys(part.label for part in parts if id(part.facts) in place and part.label)
        made = Conditions(
            *(family, run_names, tuple(names.values()), found, why_not, "; ".join(labels), courses),
            trees=(*trees, *seen),
        )
        if options.figures:
            made = replace(made, drawings=rendered(sketches_of(NAME, made)))
        yield made


def _told(of: ConditionComparison) -> Iterator[str]:
    """Tell trends before differences, of these the last first: they are of a knob's greatest to its least."""
    trends = [each for each in of.contrasts if each.kind == "trend"]
    others = [each for each in of.contrasts if each.kind != "trend"]
    every = [*trends[:1], *reversed(others), *trends[1:]]
    for each in every[:_MOST_TOLD]:
        yield f"{each.compared} is {_spelled(each.contrast)} ({counted(each.contrast.n_repeats, 'pair')})"
    if not every:
        yield from (f"{each.name} {_spelled(each.estimate)}" for each in of.estimates)
    elif len(every) > _MOST_TOLD:
        yield f"{counted(len(every) - _MOST_TOLD, 'more contrast')} below"


def _spelled(of: Contrast) -> str:
    interval = _interval(of)
    if interval is not None:
        return f"{number(of.value)} [{span(interval)}]"
    # Of a law's parameter one resample is the interval, and need not be what was found.
    return f"{number(of.value)} in each pair" if of.low == of.value == of.high else number(of.value)


def _interval(of: Contrast | None) -> Interval | None:
    return None if of is None else known_interval(of.low, of.high)


def _contrasts_table(comparisons: Sequence[ConditionComparison]) -> Table:
    level = f"{comparisons[0].level:.0%} interval"
    resampled = _gathered(comparisons, lambda each: [each.resampled])
    rows = tuple(
        (
            *(each.compared, of.title, each.kind, each.contrast.value, _interval(each.contrast)),
            None if each.by_news is None else _interval(each.by_news),
            *(None if math.isnan(p) else p for p in (each.contrast.p_value, adjusted)),
            each.contrast.n_repeats,
        )
        for of in comparisons
        for each, adjusted in zip(of.contrasts, of.p_values_holm(), strict=True)
    )
    return Table(
        name="contrasts",
        title="Differences between conditions, and trends over knobs",
        columns={
            "compared": "compared",
            "measure": "in",
            "kind": "kind",
            "value": "value",
            "interval": level,
            "by_news_interval": f"{level}, by news item",
            "p_value": "p",
            "p_value_holm": "p, by Holm for all of a measure",
            "n_pairs": "pairs",
        },
        rows=rows,
        notes=(
            *(f"{capitalized(listed(titles))}: {how}." for how, titles in resampled.items()),
            "A trend is Kendall's tau-b between knob and measure: -1 where more of it always gives less.",
            WITHOUT_INTERVAL,
        ),
    ).without_empty_columns()


def _gathered(
    comparisons: Sequence[ConditionComparison], says: Callable[[ConditionComparison], Iterable[str]]
) -> dict[str, list[str]]:
    """Find out of which measures the same is said: what is said -> titles of the measures."""
    found: dict[str, list[str]] = {}
    for each in comparisons:
        for said in says(each):
            found.setdefault(said, []).append(each.title)
    return found


def _estimates_table(comparisons: Sequence[ConditionComparison]) -> Table:
    knobs = dict.fromkeys(knob for of in comparisons for each in of.estimates for knob in each.knobs)
    return Table(
        name="estimates",
        title="What each condition came to",
        columns={
            "condition": "condition",
            "measure": "in",
            "run": "run",
            "number": "number in its run",
            **{f"knob_{knob}": knob.replace("_", " ") for knob in knobs},
            "value": "value",
            "interval": f"{comparisons[0].level:.0%} interval",
            "n": "pairs",
        },
        rows=tuple(
            (
                *(each.name, of.title, each.run, each.condition),
                *(_knob(each.knobs.get(knob)) for knob in knobs),
                *(each.estimate.value, _interval(each.estimate), each.estimate.n_repeats),
            )
            for of in comparisons
            for each in of.estimates
        ),
        notes=(
            "Intervals are of each condition alone; whether two differ is for their contrast to say.",
            WITHOUT_INTERVAL,
        ),
    )


def _knob(value: object) -> Cell:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else in_words(value)


def _courses_table(courses: Sequence[tuple[str, Course]]) -> Table:
    first = courses[0][1]
    return Table(
        name="curves",
        title=f"{capitalized(first.what)} by {first.along} under each condition",
        columns={
            "condition": "condition",
            "of": "of",
            "along": "along",
            "at": "at",
            "value": "mean",
            "interval": "interval",
            "n": "averaged",
        },
        rows=tuple(
            (name, each.what, each.along, at, value, None if math.isnan(low) else (low, high), each.n)
            for name, each in courses
            for at, value, low, high in each.points()
        ),
    )
