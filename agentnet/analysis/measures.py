"""What worlds measured of themselves: table ``measures``, by condition and step.

A measure of agents counts as its mean over those of which it is known; how it spreads over agents, and over
the ties between them, is measured besides. Steps are the world's own time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.comparison import OneMeasure, Origin, Realizations
from agentnet.analysis.contrasts import OF_SHARES, mean_interval
from agentnet.analysis.convergence import Agreed, ConvergenceTime, agreed, convergence_time
from agentnet.analysis.estimates import Interval
from agentnet.analysis.opinions import BOUNDS, COLUMNS, bias, opinion_curves
from agentnet.errors import DesignError, near_miss
from agentnet.events import Run, check_unchanged
from agentnet.events.conditions import Condition
from agentnet.events.graphs import read_ties
from agentnet.events.schema import CONDITION_OF

Array = NDArray[np.float64]

_NAMES = "SELECT DISTINCT name FROM measures ORDER BY name"
_MEANS = f"""
SELECT c.condition, m.name, r.repeat, m.step, AVG(m.value), MIN(m.agent) < 0
FROM measures m JOIN realizations r USING (realization) JOIN ({CONDITION_OF}) c USING (realization)
WHERE r.status = 'finished' GROUP BY m.realization, m.name, m.step
ORDER BY c.condition, m.name, r.repeat, m.step
"""  # noqa: S608 - our own

_ENDS = """
SELECT m.name, MIN(m.value), MAX(m.value) FROM measures m JOIN realizations r USING (realization)
WHERE r.status = 'finished' AND m.value IS NOT NULL GROUP BY m.name
"""
_OF_AGENTS = f"""
SELECT c.condition, m.realization, r.repeat, m.step, m.name, m.agent, m.value
FROM measures m JOIN realizations r USING (realization) JOIN ({CONDITION_OF}) c USING (realization)
WHERE r.status = 'finished' AND m.agent >= 0 ORDER BY c.condition, m.name
"""  # noqa: S608 - our own


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredCourse:
    """A measure in the realizations of one condition.

    Attributes:
        name: The measure.
        condition: Number of the condition.
        of_agents: Whether it is a mean over agents; else it is of the whole.
        repeats: Repeat of each realization, shape ``(n_realizations,)``.
        steps: The steps at which it was measured in any of them, rising, shape ``(n_steps,)``.
        value: Shape ``(n_realizations, n_steps)``; nan where it was not measured, or is missing.
        within: Between what it lies; None for no bounds. What worlds record says no bounds: it is taken as a
            share where everything that was recorded of it in the run lies from 0 to 1.
    """

    name: str
    condition: int
    of_agents: bool
    repeats: tuple[int, ...]
    steps: tuple[int, ...]
    value: Array
    within: Interval | None = None

    @property
    def title(self) -> str:
        """Name it for people."""
        return f"{self.name}, mean over agents" if self.of_agents else self.name

    def interval(self, level: float) -> tuple[Array, Array, Array]:
        """Average over realizations; see `mean_interval`."""
        return mean_interval(self.value, level, self.within)

    def ends(self) -> dict[int, float]:
        """Give the last value of each realization by its repeat, of those that have one."""
        known = np.isfinite(self.value)
        return {
            repeat: float(values[told][-1])
            for repeat, values, told in zip(self.repeats, self.value, known, strict=True)
            if told.any()
        }


def measures_of(runs: Iterable[Run]) -> tuple[str, ...]:
    """Name what was measured in any of some runs."""
    return tuple(dict.fromkeys(name for run in runs for (name,) in run.rows(_NAMES)[1]))


def read_courses(run: Run) -> tuple[MeasuredCourse, ...]:
    """Read what was measured in the finished realizations of a run: by condition, then by name."""
    found: dict[tuple[int, str], list[tuple[int, int, float | None, int]]] = {}
    for condition, name, *row in run.rows(_MEANS)[1]:
        found.setdefault((condition, name), []).append((row[0], row[1], row[2], row[3]))
    shares = {name for name, least, most in run.rows(_ENDS)[1] if 0 <= least <= most <= 1}
    return tuple(_course(*key, rows, key[1] in shares) for key, rows in found.items())


def _course(
    condition: int, name: str, rows: Sequence[tuple[int, int, float | None, int]], is_share: bool
) -> MeasuredCourse:
    repeats = tuple(dict.fromkeys(repeat for repeat, *_ in rows))
    steps = tuple(sorted({step for _, step, *_ in rows}))
    value = np.full((len(repeats), len(steps)), np.nan)
    for repeat, step, mean, _ in rows:
        value[repeats.index(repeat), steps.index(step)] = np.nan if mean is None else mean
    within = OF_SHARES if is_share else None
    return MeasuredCourse(name, condition, not any(row[-1] for row in rows), repeats, steps, value, within)


def read_spread(run: Run) -> tuple[MeasuredCourse, ...]:
    """Measure how what was recorded of agents spreads over them, in the finished realizations of a run.

    Returns:
        By condition and name: ``NAME diversity``, ``NAME polarization``, ``NAME echo`` and
        ``NAME agreement``, see `agentnet.analysis.opinions`; without those that have no value anywhere. Who
        hears whom is as it was at each step.
    """
    every = run.rows(_OF_AGENTS)[1]
    repeat_of = {realization: repeat for _, realization, repeat, *_ in every}
    ties = cache(partial(read_ties, run))
    found: list[MeasuredCourse] = []
    for condition, rows in groupby(every, key=itemgetter(0)):
        _, realization, _, *others = zip(*rows, strict=True)
        step, name, agent, value = others
        columns = dict(zip(COLUMNS, (realization, step, name, agent, value), strict=True))
        for curve in opinion_curves(columns, heard=cache(lambda number, at: ties(number)(at))).values():
            if not curve.name.endswith(f" {bias.__name__}") and np.isfinite(curve.by_realization).any():
                repeats = tuple(repeat_of[number] for number in curve.realization.tolist())
                steps = tuple(curve.step.tolist())
                within = BOUNDS.get(curve.name.rpartition(" ")[2])
                found.append(
                    MeasuredCourse(curve.name, condition, False, repeats, steps, curve.by_realization, within)
                )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class TimeToAgree:
    """How long agents took to agree in a measure, in the realizations of one condition.

    Attributes:
        name: The measure.
        condition: Number of the condition.
        time: The time; realizations that did not agree are censored.
    """

    name: str
    condition: int
    time: ConvergenceTime


def read_agreement(run: Run, level: float = 0.95) -> tuple[TimeToAgree, ...]:
    """Tell how long agents took to agree in what was recorded of them at two or more steps.

    Args:
        run: The run.
        level: Of the intervals, in (0, 1).

    Returns:
        By condition and name; see `agentnet.analysis.agreed`. A realization without any known value at its
        last step is left out.
    """
    found: list[TimeToAgree] = []
    for (condition, name), rows in groupby(run.rows(_OF_AGENTS)[1], key=itemgetter(0, 4)):
        by_run: dict[int, list[tuple[int, int, float | None]]] = {}
        for _, realization, _, step, _, agent, value in rows:
            by_run.setdefault(realization, []).append((step, agent, value))
        tables = [_stances(each) for each in by_run.values()]
        ends = [
            Agreed(steps[each.step], each.censored)
            for steps, stances in tables
            if len(steps) > 1 and not np.isnan(stances[-1]).all()
            for each in (agreed(stances),)
        ]
        if ends:
            found.append(TimeToAgree(name, condition, convergence_time(ends, level=level)))
    return tuple(found)


def _stances(rows: Sequence[tuple[int, int, float | None]]) -> tuple[list[int], Array]:
    """Lay values out by step and agent."""
    steps, agents = sorted({step for step, *_ in rows}), sorted({agent for _, agent, _ in rows})
    stances = np.full((len(steps), len(agents)), np.nan)
    for step, agent, value in rows:
        stances[steps.index(step), agents.index(agent)] = np.nan if value is None else value
    return steps, stances


def measured_worlds(runs: Sequence[Run], measure: str) -> OneMeasure:
    """Take the last value of a measure in each realization, for `agentnet.analysis.compare`.

    Raises:
        DesignError: Nobody measured it.
    """
    known = measures_of(runs)
    if measure not in known:
        raise DesignError(f"there is no measure {measure!r}{near_miss(measure, known)}")
    sides: list[Realizations] = []
    notes: list[str] = []
    of_agents = False
    for place, run in enumerate(runs):
        check_unchanged(run)
        conditions = Condition.all_of(run.meta)
        for course in read_courses(run):
            ends = course.ends() if course.name == measure else {}
            if ends:
                own = conditions[course.condition]
                origin = Origin.of(run.folder.resolve().name, place, run.meta, own)
                sides.append(Realizations(origin, ends, course.within))
                of_agents |= course.of_agents
                if len(ends) < len(course.repeats):
                    n_left_out = len(course.repeats) - len(ends)
                    notes.append(f"{own.name}: {measure} is missing in {n_left_out:,} realizations")
    title = f"{measure} at its last step{', mean over agents' if of_agents else ''}"
    return OneMeasure([*sides], title, notes)
