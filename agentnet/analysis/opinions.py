"""Measures of opinions: where agents stand, how far apart, how much like those they hear; who gets attention.

A stance is a number; one that is missing is NaN, stays missing, and is counted. Measures over agents:

- bias: the mean stance, and diversity: its standard deviation (Chuang et al. 2023, arXiv 2311.09618);
- polarization: the variance of the distances between all pairs of agents (Flache & Macy 2011, Journal of
  Mathematical Sociology 35), in squared units of the stance: 0 where all agree, highest where one half stands
  at either end, and then a quarter of the squared width of the scale. That of `analysis.perspectives` is
  another thing: how far two groups of models are apart, over the start;
- echo: the correlation of stances across links, the assortativity of Newman (2003, Physical Review E 67):
  1 where agents hear their like only;
- agreement: the share of those whom an agent hears that stand where it does, a mean over agents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.contrasts import OF_SHARES, mean_interval, settled
from agentnet.analysis.fitting import checked_level
from agentnet.analysis.given import numbers, whole_numbers
from agentnet.errors import DesignError, InputError, near_miss

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Edges = NDArray[np.integer[Any]]
Heard = Callable[[int, int], Edges]
"""From realization and step to who hears whom then: rows of (heard, hearer), shape ``(n_edges, 2)``."""

BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "diversity": (0.0, np.inf),
    "polarization": (0.0, np.inf),
    "echo": (-1.0, 1.0),
    "agreement": OF_SHARES,
}
"""Measure over agents -> between what it lies, where it has bounds."""

OF_THE_WHOLE: Final = -1
"""Stands for the agent where a value is of the whole realization."""

COLUMNS: Final = ("realization", "step", "name", "agent", "value")
"""Columns of what free worlds measure."""


def bias(stances: ArrayLike) -> float:
    """Average the known stances; NaN of none."""
    known = _known(stances)
    return float(known.mean()) if known.size else np.nan


def diversity(stances: ArrayLike) -> float:
    """Compute the standard deviation of the known stances, as of all agents, not of a sample; NaN of none."""
    known = _known(stances)
    return _settled(float(known.std()), np.abs(known).max()) if known.size else np.nan


def polarization(stances: ArrayLike) -> float:
    """Compute the variance of distances between all pairs of known stances; NaN of fewer than two.

    Sorting gives it in O(n log n): the mean squared distance is twice the variance of a sample.

    Examples:
        >>> round(polarization([-2, -2, 2, 2]), 3), polarization([1, 1, 1, 1])
        (3.556, 0.0)
    """
    known = _known(stances)
    if known.size < 2:
        return np.nan
    spread = 2.0 * float(known.var(ddof=1)) - _mean_distance(known) ** 2
    return _settled(max(spread, 0.0), np.square(known).max())


def _settled(value: float, scale: float) -> float:
    return float(settled(np.array(value), scale))


def _known(values: ArrayLike) -> Array:
    given = numbers(values, "values")
    known: Array = given[~np.isnan(given)]
    return known


def _mean_distance(values: Array) -> float:
    """Average the distances of all pairs of two or more values."""
    n = values.size
    weight = 2.0 * np.arange(n) - n + 1
    return _settled(float(weight @ np.sort(values)) * 2 / (n * (n - 1)), np.abs(values).max())


def echo(stances: ArrayLike, edges: Edges) -> float:
    """Correlate the stances of those who hear with the stances of those whom they hear.

    Args:
        stances: Of each agent, NaN where missing, shape ``(n_agents,)``.
        edges: Rows of (heard, hearer), shape ``(n_edges, 2)``; a link heard at both ends stands twice.

    Returns:
        In [-1, 1]; NaN where no link joins two known stances, or all at one of its ends are alike.
    """
    heard, hearer = _across(stances, edges)[0].T
    if not heard.size or np.ptp(heard) == 0 or np.ptp(hearer) == 0:
        return np.nan
    return float(np.corrcoef(heard, hearer)[0, 1])


def agreement(stances: ArrayLike, edges: Edges, tolerance: float = 0.0) -> float:
    """Average over agents which share of those whom they hear stands where they do, to a tolerance.

    Args:
        stances: Of each agent, NaN where missing, shape ``(n_agents,)``.
        edges: Rows of (heard, hearer), shape ``(n_edges, 2)``; a link heard at both ends stands twice.
        tolerance: How far apart two stances may be that agree.

    Returns:
        In [0, 1]; agents whose stance is missing, or that of all they hear, are left out. NaN of none.
    """
    across, kept = _across(stances, edges)
    agrees = np.abs(across[:, 0] - across[:, 1]) <= tolerance
    n_heard, n_agreeing = (np.bincount(kept[:, 1], weights=each) for each in (None, agrees))
    hears = n_heard > 0
    return float((n_agreeing[hears] / n_heard[hears]).mean()) if hears.any() else np.nan


def _across(stances: ArrayLike, edges: Edges) -> tuple[Array, Edges]:
    """Give both stances of each link that joins two known ones, and the links, ``(n_kept, 2)`` each."""
    of, links = np.asarray(stances, np.float64), np.asarray(edges).reshape(-1, 2)
    if links.size and not 0 <= links.min() <= links.max() < of.size:
        raise DesignError(f"edges must join agents 0 to {of.size - 1}; got {links.min()} to {links.max()}")
    found = of[links]
    kept = ~np.isnan(found).any(axis=1)
    return found[kept], links[kept]


def gini(values: ArrayLike) -> float:
    """Compute the Gini coefficient of what agents got, such as shares of their messages.

    Args:
        values: At least 0, NaN where missing, shape ``(n,)``; missing ones are left out.

    Returns:
        0 where all got the same, (n - 1) / n where one got all; NaN where nobody got anything.

    Examples:
        >>> gini([0, 0, 0, 8]), gini([2, 2, 2])
        (0.75, 0.0)
    """
    known = _amounts(values)
    if not known.sum():
        return np.nan
    return _mean_distance(known) * (known.size - 1) / (2 * float(known.sum())) if known.size > 1 else 0.0


def top_share(values: ArrayLike, top: float = 0.1) -> float:
    """Compute what part of all the best-off got, on the Lorenz curve.

    Args:
        values: At least 0, NaN where missing, shape ``(n,)``; missing ones are left out.
        top: Which fraction of agents the best-off are, in (0, 1]; an agent counts in part where it must.

    Returns:
        In [0, 1]; NaN where nobody got anything.

    Examples:
        >>> top_share([1, 1, 2, 4], 0.25), top_share([1, 1, 2, 4], 0.375)
        (0.5, 0.625)
    """
    if not 0 < top <= 1:
        raise DesignError(f"top is a fraction of agents in (0, 1]; got {top}")
    known = _amounts(values)
    if not known.sum():
        return np.nan
    got = np.append(0.0, np.cumsum(np.sort(known)[::-1]))
    return float(np.interp(top * known.size, np.arange(got.size), got) / got[-1])


def _amounts(values: ArrayLike) -> Array:
    known = _known(values)
    if not (np.isfinite(known) & (known >= 0)).all():
        raise InputError(
            f"amounts are finite, and at least 0; got {known.min():g} to {known.max():g}", field="values"
        )
    return known


def reach(message: ArrayLike, agent: ArrayLike, n_agents: int) -> dict[int, float]:
    """Compute which fraction of all agents was exposed to each message, however often.

    Args:
        message: Message of each exposure, shape ``(n_exposures,)``.
        agent: Who was exposed, same shape.
        n_agents: Number of agents.
    """
    of, who = whole_numbers(message, "message"), whole_numbers(agent, "agent")
    if of.ndim != 1 or of.shape != who.shape:
        raise InputError(f"must be a row as long as message, {of.shape}; got {who.shape}", field="agent")
    if who.size and not 0 <= who.min() <= who.max() < n_agents:
        raise InputError(f"agents are numbered from 0 to n_agents - 1 = {n_agents - 1}", field="agent")
    messages, place = np.unique(of, return_inverse=True)
    pairs = np.sort(place * n_agents + who)
    n_reached = np.bincount(pairs[np.diff(pairs, prepend=-1) > 0] // n_agents)
    return dict(zip(messages.tolist(), (n_reached / n_agents).tolist(), strict=True))


def opinion_measures(stances: ArrayLike, heard: Callable[[int], Edges] | None = None) -> dict[str, Array]:
    """Measure stances over time: ``bias``, ``diversity``, ``polarization``, and ``echo`` and ``agreement``.

    Args:
        stances: NaN where missing, shape ``(n_steps, n_agents)``.
        heard: Who hears whom at each step, counted from 0: rows of (heard, hearer), shape ``(n_edges, 2)``.
            Without it there is neither echo nor agreement.

    Returns:
        Each measure by name, shape ``(n_steps,)``; NaN where it has no value.
    """
    rows = np.atleast_2d(numbers(stances, "stances"))
    if rows.ndim != 2:
        raise InputError(f"must have shape (n_steps, n_agents); got {rows.shape}", field="stances")
    found = {each.__name__: np.array([each(row) for row in rows]) for each in (bias, diversity, polarization)}
    if heard is not None:
        across = np.array([(echo(row, heard(i)), agreement(row, heard(i))) for i, row in enumerate(rows)])
        found |= dict(zip(("echo", "agreement"), across.T, strict=True))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class MeasureCurve:
    """A measure over time.

    Attributes:
        name: Of what is measured, and of the measure: ``stance bias``.
        step: The steps, rising, shape ``(n_steps,)``.
        by_realization: The measure in each realization, shape ``(n_realizations, n_steps)``; NaN where there
            is none.
        value: Mean over realizations, shape ``(n_steps,)``; NaN where none has a value.
        low: Lower end of Student's t interval over realizations, of what has bounds between them (see
            `agentnet.analysis.contrasts.ends_of`); NaN where fewer than two have a value.
        high: Upper end.
        level: Of the intervals.
        realization: Numbers of the realizations, rising, shape ``(n_realizations,)``.
        n_missing: Values that are missing, of agents or of the whole, shape ``(n_realizations, n_steps)``.
    """

    name: str
    step: Ints
    by_realization: Array = field(repr=False)
    value: Array
    low: Array
    high: Array
    level: float
    realization: Ints
    n_missing: Ints = field(repr=False)


def opinion_curves(
    rows: Mapping[str, Any], *, heard: Heard | None = None, level: float = 0.95
) -> dict[str, MeasureCurve]:
    """Measure what free worlds recorded, over time, with intervals over realizations.

    Args:
        rows: Columns `COLUMNS`, equally long, as in a table ``measures`` or its data frame, of one condition.
            What was recorded of agents is measured over them, see `opinion_measures`. What was recorded of
            the whole (agent -1) stands as it is.
        heard: Who hears whom, by realization and step.
        level: Of the intervals, in (0, 1).

    Returns:
        Curves by name: ``stance bias``, ...; a name that was recorded of the whole is its own.

    Raises:
        InputError: A column is missing, they differ in length, or a value was recorded twice.
        DesignError: The level is out of range.
    """
    checked_level(level)
    realization, step, name, agent, value = _columns(rows)
    found: dict[str, MeasureCurve] = {}
    for each in dict.fromkeys(name.tolist()):
        mine = name == each
        block = _Block.of(each, realization[mine], step[mine], agent[mine], value[mine])
        found |= {curve.name: curve for curve in block.curves(heard, level)}
    return found


def _columns(rows: Mapping[str, Any]) -> tuple[NDArray[Any], ...]:
    for name in COLUMNS:
        if name not in rows:
            raise InputError(f"there is no column {name!r}{near_miss(name, map(str, rows))}", field="rows")
    realization, step, agent = (np.asarray(rows[key], np.int64) for key in ("realization", "step", "agent"))
    columns = (realization, step, np.asarray(rows["name"], str), agent, np.asarray(rows["value"], np.float64))
    if len({column.shape for column in columns}) > 1:
        raise InputError(f"columns differ in length: {[len(column) for column in columns]}", field="rows")
    return columns


@dataclass(frozen=True, slots=True)
class _Block:
    """What was recorded under one name, of agents, or else of the whole as of a single one."""

    name: str
    realization: Ints
    step: Ints
    values: Array
    n_missing: Ints
    is_of_agents: bool

    @classmethod
    def of(cls, name: str, realization: Ints, step: Ints, agent: Ints, value: Array) -> _Block:
        """Lay rows out by realization, step and agent; what was not recorded is missing.

        An agent counts in the realizations in which anything was recorded of it, and so does a step.
        """
        whole = agent == OF_THE_WHOLE
        if whole.any() and not whole.all():
            raise InputError(f"{name!r} stands for agents and for the whole; give it two names", field="name")
        (numbers, row), (steps, at) = (np.unique(each, return_inverse=True) for each in (realization, step))
        values = np.full((numbers.size, steps.size, max(int(agent.max()), 0) + 1), np.nan)
        recorded = np.zeros(values.shape, dtype=bool)
        place = np.ravel_multi_index((row, at, np.maximum(agent, 0)), values.shape)
        if np.unique(place).size < place.size:
            raise InputError(f"{name!r} was recorded twice for an agent at a step", field="value")
        values.ravel()[place], recorded.ravel()[place] = value, True
        wanted = recorded.any(axis=1, keepdims=True) & recorded.any(axis=2, keepdims=True)
        n_missing = (np.isnan(values) & wanted).sum(axis=2)
        return cls(name, numbers, steps, values, n_missing, not whole.any())

    def curves(self, heard: Heard | None, level: float) -> list[MeasureCurve]:
        """Measure it."""
        if not self.is_of_agents:
            return [self._curve(self.name, self.values[:, :, 0], level)]
        measured = [opinion_measures(own, self._heard(heard, i)) for i, own in enumerate(self.values)]
        return [
            self._curve(f"{self.name} {name}", np.array([each[name] for each in measured]), level)
            for name in measured[0]
        ]

    def _heard(self, heard: Heard | None, row: int) -> Callable[[int], Edges] | None:
        if heard is None:
            return None
        return lambda place: heard(int(self.realization[row]), int(self.step[place]))

    def _curve(self, name: str, measured: Array, level: float) -> MeasureCurve:
        mean, low, high = mean_interval(measured, level, BOUNDS.get(name.rpartition(" ")[2]))
        return MeasureCurve(
            name, self.step, measured, mean, low, high, level, self.realization, self.n_missing
        )
