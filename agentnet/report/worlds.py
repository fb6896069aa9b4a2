"""The part of a report on free worlds: what was measured, said, written and changed, by condition."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np

from agentnet.analysis.by_context import ContextShare, answers_by_context, spelled_answers
from agentnet.analysis.by_voice import Voices, answers_by_voice
from agentnet.analysis.drift import Drift, message_drift
from agentnet.analysis.fits_html import settled
from agentnet.analysis.measures import MeasuredCourse, TimeToAgree, read_agreement, read_courses, read_spread
from agentnet.analysis.trees import MESSAGES, Trees, trees_of
from agentnet.events import Run
from agentnet.events.conditions import Condition
from agentnet.events.schema import CONDITION_OF
from agentnet.report.cascade_tables import trees_table
from agentnet.report.figures.words import counted, listed
from agentnet.report.part import Part, Place, Reading, Section, table
from agentnet.report.plain_part import PlainPart
from agentnet.report.tables import Cell, Interval, Table, as_named, known_interval
from agentnet.report.told import (
    Told,
    personas_words,
    read_told,
)

_WORLDS: Final = "worlds"

_MOST_VALUES: Final = 12
"""Answers of one kind that are counted one by one, the most frequent first."""

_SAID = f"""
SELECT c.condition, e.kind, e.value, e.decision, e.missing, COUNT(*)
FROM events e JOIN ({CONDITION_OF}) c USING (realization) GROUP BY 1, 2, 3, 4, 5
"""  # noqa: S608 - our own
_SIZES = """
SELECT COUNT(*), MIN(n_agents), MAX(n_agents), MIN(last_step) + 1, MAX(last_step) + 1
FROM realizations JOIN networks USING (network) WHERE status = 'finished'
"""

_SPREAD: Final = (
    "Of what was recorded of agents the mean over them is the bias; diversity is its standard deviation, "
    "polarization the variance of the distances of all pairs, echo its correlation across ties, agreement "
    "the share of those whom an agent hears that stand where it does. Ties are those of the step."
)

Answers = Mapping[tuple[int, str], Counter[str]]
"""(condition, question) -> how often each answer was given; ``missing (why)`` is one."""


@dataclass(frozen=True, slots=True, eq=False)
class WorldPart(PlainPart):
    """What a run of free worlds says.

    Attributes:
        measured: What its worlds measured.
        answers: What agents said.
        told: What they were told and wrote; None where nobody was asked.
        message_trees: Trees of messages of each condition in which one retells or answers another.
        spread: How what was recorded of agents spreads over them and their ties.
        by_context: Answers by what agents were told.
        agreement: How long agents took to agree in what was recorded of them.
        drift: How far messages that retell one are from where they come from; None where none does.
        voices: Answers by who gives them; nothing with one voice.
    """

    name, subject, headline = _WORLDS, "free worlds", "Free worlds: what agents said, and what was measured"

    measured: tuple[MeasuredCourse, ...] = ()
    answers: Answers = field(default_factory=dict)
    told: Told | None = None
    message_trees: tuple[Trees, ...] = ()
    spread: tuple[MeasuredCourse, ...] = ()
    by_context: tuple[ContextShare, ...] = ()
    agreement: tuple[TimeToAgree, ...] = ()
    drift: Drift | None = None
    voices: Voices = field(default_factory=Voices)

    @property
    def all_measured(self) -> tuple[MeasuredCourse, ...]:
        """What was measured, and how it spreads."""
        return (*self.measured, *self.spread)

    def forests(self) -> Iterable[Trees]:
        """Give the trees of its messages, by condition."""
        return self.message_trees

    def condition(self, number: int) -> str:
        """Name a condition."""
        return Condition.all_of(self.facts.meta)[number].name

    def naming(self) -> Callable[[int], str] | None:
        """Give what names conditions, of several."""
        return self.condition if self.facts.n_conditions > 1 else None

    def findings(self, level: float) -> Iterator[str]:
        """Say where each measure began and ended."""
        several = self.facts.n_conditions > 1
        for course in self.measured:
            mean, low, high = ([settled(each) for each in side.tolist()] for side in course.interval(level))
            sure = f" ({level:.0%} interval {low[-1]:.3g} to {high[-1]:.3g})" if low[-1] < high[-1] else ""
            where = f" where {self.condition(course.condition)}" if several else ""
            first = f", {mean[0]:.3g} at step {course.steps[0]}" if len(course.steps) > 1 else ""
            yield f"{course.title} is {mean[-1]:.3g} at step {course.steps[-1]}{sure}{first}{where}"
        if not self.measured:
            yield "Its worlds measured nothing"

    def how_played(self) -> Iterator[str]:
        """Say how large worlds were, what was asked, and what agents were told."""
        n, least, most, *turns = self.run.rows(_SIZES)[1][0]
        if n:
            agents, turned = _ranging(least, most, "agent"), _ranging(turns[0], turns[1], "turn")
            yield f"{counted(n, 'realization')} of {agents} ended, after {turned} of questions"
        asked = [f"{each.kind} ({counted(each.n, 'time')})" for each in self.facts.asked]
        if asked:
            yield f"Agents were asked, as the experiment's own play has it: {listed(asked)}"
        if self.told is not None:
            yield personas_words(self.told)
            if self.told.n_messages:
                yield f"They wrote {counted(self.told.n_messages, 'message')}"

    def sections(self, place: Place) -> Iterator[Section]:
        """Open what was found."""
        for section in PlainPart.sections(self, place):
            yield replace(section, is_open=True) if section.anchor == "found" else section

    def results(self, level: float) -> Mapping[str, Any]:
        """Spell what was found, with each measure's mean by step."""
        spelled_out = [
            {
                **{key: value for key, value in asdict(each).items() if key not in ("value", "repeats")},
                **dict(zip(("mean", "low", "high"), (a.tolist() for a in each.interval(level)), strict=True)),
                "n": len(each.repeats),
            }
            for each in self.all_measured
        ]
        found = {"answers_by_context": self.by_context, "agreement": self.agreement}
        drift = {} if self.drift is None else {"drift": _drift_as_json(self.drift)}
        return {**PlainPart.results(self, level), "measures": spelled_out, **found, **drift}


def _ranging(least: int, most: int, thing: str) -> str:
    """Count things that are not as many each time.

    Examples:
        >>> _ranging(1, 1, "turn"), _ranging(2, 3, "turn")
        ('1 turn', '2 to 3 turns')
    """
    return counted(most, thing) if least == most else f"{least:,} to {counted(most, thing)}"


def world_parts(reading: Reading, family: str) -> Iterable[Part]:
    """Make a part of each run of free worlds."""
    options = reading.options
    for run, facts in reading.of(family):
        told = read_told(run, n=options.n_decisions, seed=options.seed)
        said: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
        for condition, kind, value, decision, missing, n in run.rows(_SAID)[1]:
            gone = [(kind, f"missing ({missing})")] if missing is not None else []
            for question, answer in gone or spelled_answers(kind, value, decision):
                said[condition, question][answer] += n
        trees = tuple(_message_trees(run, facts.meta))
        yield WorldPart(
            facts,
            run,
            (),
            read_courses(run),
            said,
            told,
            trees,
            read_spread(run),
            answers_by_context(run, options.level),
            read_agreement(run, options.level),
            message_drift(run, make=options.make_embedder, level=options.level) if trees else None,
            answers_by_voice(run, options.level),
        )


def _message_trees(run: Run, meta: Mapping[str, Any]) -> Iterator[Trees]:
    conditions = Condition.all_of(meta)
    for each in conditions:
        found = trees_of(run, MESSAGES, condition=each.number).trees()
        if len(found) and found.of("size").max() > 1:
            yield replace(found, name=each.name) if len(conditions) > 1 else found


def _drift_as_json(drift: Drift) -> dict[str, object]:
    names = ("hop", "value", "low", "high", "embedder")
    return {"n_messages": drift.message.size, **{name: getattr(drift, name) for name in names}}


@table("measures", of=_WORLDS, section="found")
def measures_table(part: WorldPart) -> Table | None:
    """List each measure by condition and step."""
    rows: list[tuple[Cell, ...]] = []
    for each in part.all_measured:
        mean, low, high = (side.tolist() for side in each.interval(0.95))
        known = np.isfinite(each.value).sum(axis=0).tolist()
        for place, step in enumerate(each.steps):
            interval = known_interval(low[place], high[place])
            rows.append(
                (each.title, part.condition(each.condition), step, mean[place], interval, known[place])
            )
    if not rows:
        return None
    return Table(
        name="measures",
        title="Measures by condition and step",
        columns={
            **as_named("measure condition step mean"),
            "interval": "95% interval",
            "n": "realizations",
        },
        rows=tuple(rows),
        notes=(
            (
                "Means over finished realizations; intervals are Student's t, of the logit where all values "
                "of a measure lie from 0 to 1. A missing value counts nowhere."
            ),
            *((_SPREAD,) if part.spread else ()),
        ),
    )


@table("answers", of=_WORLDS, section="found")
def answers_table(part: WorldPart) -> Table | None:
    """Count the answers of each kind, missing ones included."""
    rows: list[tuple[Cell, ...]] = []
    for (condition, question), counts in sorted(part.answers.items()):
        total, shown = counts.total(), counts.most_common(_MOST_VALUES)
        rows += [(part.condition(condition), question, answer, n, n / total) for answer, n in shown]
        rest = total - sum(n for _, n in shown)
        if rest:
            others = f"({len(counts) - len(shown):,} other answers)"
            rows.append((part.condition(condition), question, others, rest, rest / total))
    if not rows:
        return None
    return Table(
        name="answers",
        title="Answers by kind of question",
        columns={**as_named("condition question answer"), "n": "times", "share": "of those asked"},
        rows=tuple(rows),
        notes=("A missing answer is none of the others.",),
    )


@table("world_trees", of=_WORLDS, section="found")
def world_trees(part: WorldPart) -> Table | None:
    """Summarize the trees of messages."""
    if not part.message_trees:
        return None
    return replace(trees_table(part.message_trees), title="Trees of messages: what retells or answers what")


def _known_median(interval: Interval) -> Interval | None:
    # Steps are whole: both ends may be the same one.
    return interval if np.isfinite(interval[0]) else None


@table("convergence", of=_WORLDS, section="found")
def convergence_table(part: WorldPart) -> Table | None:
    """Tell how long agents took to agree; None where nothing was recorded of them at several steps."""
    if not part.agreement:
        return None
    rows: list[tuple[Cell, ...]] = [
        (
            *(each.name, part.condition(each.condition), each.time.n_runs),
            *(each.time.n_runs - each.time.n_censored, each.time.median),
            *(_known_median(each.time.median_interval), each.time.mean),
            *(known_interval(*each.time.mean_interval), each.time.horizon),
        )
        for each in part.agreement
    ]
    return Table(
        name="convergence",
        title="Steps until all agents agree, and stay so until the end",
        columns={
            **as_named("measure condition"),
            "n": "realizations",
            "n_agreed": "of which agreed",
            "median": "median step",
            "median_interval": "95% interval",
            "mean": "mean step, within those played",
            "mean_interval": "95% interval of it",
            "horizon": "last step played",
        },
        rows=tuple(rows),
        notes=(
            (
                "Kaplan & Meier's estimate: realizations that end without agreement would have taken longer, "
                "nobody knows how long. An infinite median: fewer than half agreed. Agreement is that all "
                "known values are equal."
            ),
        ),
    )


@table("drift", of=_WORLDS, section="found")
def drift_table(part: WorldPart) -> Table | None:
    """Tell how far messages drift from where they come from, hop by hop."""
    if part.drift is None or not part.drift.hop.size:
        return None
    drift = part.drift
    ends = zip(drift.low.tolist(), drift.high.tolist(), strict=True)
    n = np.bincount(drift.hops, minlength=drift.hop.size + 1)[1:]
    return Table(
        name="drift",
        title="Distance of messages to the first one that they go back to, by the number of retellings",
        columns={
            "hop": "retellings",
            "distance": "mean distance",
            "interval": "interval over realizations",
            "n": "messages",
        },
        rows=tuple(
            (hop, value, None if np.isnan(span[0]) else span, count)
            for hop, value, span, count in zip(
                drift.hop.tolist(), drift.value.tolist(), ends, n.tolist(), strict=True
            )
        ),
        notes=(f"1 less the cosine of the texts' vectors, by the embedder {drift.embedder} (--embedder).",),
    )
