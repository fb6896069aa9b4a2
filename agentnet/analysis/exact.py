"""Laws fitted to the probabilities of a yes, where the log has them: without the noise of drawing decisions.

In sampler mode ``logprobs`` the log has the probability P of each different question, from which decisions
were drawn. Parameters are chosen that make a law's probabilities nearest to them: the least cross-entropy
sum -P log Q - (1 - P) log(1 - Q), which is the likelihood of decisions of which the part P is yes (Papke &
Wooldridge 1996, J. Appl. Econometrics 11). Each question counts once, however often it was asked, with its
mean over the temperatures at which it was. So no interval says what drawing would change: the values are
exact for what was asked. What is left is how far the law is from the probabilities, and how its values would
differ with other news items: intervals are of sums of scores over these, with Student's t.

Beside them stand rates of laws of curves if each agent of a group had the mean probability of its group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.contrasts import OF_SHARES, mean_interval
from agentnet.analysis.decisions import RatioTables
from agentnet.analysis.estimates import Interval
from agentnet.analysis.fitting import checked_level
from agentnet.analysis.inference import clustered
from agentnet.analysis.laws import DecisionLaw, MainEffects, Parameter
from agentnet.analysis.laws.curve import GroupedCurve
from agentnet.analysis.logistic import fit_main_effects
from agentnet.analysis.tables import Cells, ExposureCounts, Questions, RunTables, Shares
from agentnet.errors import DesignError, InputError, InternalError

if TYPE_CHECKING:
    from agentnet.analysis.fits import LawFit

Array = NDArray[np.float64]

_SAME: Final = 1e-13
"""What is nearer than this is the same but for rounding."""


@dataclass(frozen=True, slots=True)
class ExactParameter:
    """A parameter by the probabilities, beside what the draws gave.

    Attributes:
        name: As that of the fit to draws.
        value: By the probabilities.
        over_news: Interval over news items: how it would differ with others; None where that is not known.
        drawn: Fitted to draws; None where nothing was.
        drawn_error: Plain standard error of that; None where there is none.
    """

    name: str
    value: float
    over_news: Interval | None = None
    drawn: float | None = None
    drawn_error: float | None = None

    def __post_init__(self) -> None:
        if abs(self.value) < _SAME:
            object.__setattr__(self, "value", 0.0)

    @property
    def errors_apart(self) -> float | None:
        """By how many of its own standard errors the fit to draws is off; None where it has none."""
        if self.drawn is None or not self.drawn_error or not math.isfinite(self.drawn - self.value):
            return None
        return (self.drawn - self.value) / self.drawn_error


@dataclass(frozen=True, slots=True)
class ExactLaw:
    """A law by the probabilities.

    Attributes:
        law: Its name.
        title: Its name for tables.
        parameters: Its parameters.
        misfit: Root mean square of its probabilities less those of the questions; None for laws of curves.
    """

    law: str
    title: str
    parameters: tuple[ExactParameter, ...]
    misfit: float | None = None

    def as_parameters(self) -> tuple[Parameter, ...]:
        """Give its parameters as those of a fit, with intervals over news items."""
        return tuple(Parameter(each.name, each.value, each.over_news) for each in self.parameters)


@dataclass(frozen=True, slots=True)
class Exact:
    """What the probabilities of a run's questions say.

    Attributes:
        n_questions: Different questions: prompts, each with who was asked.
        n_drawn: Decisions that were drawn from them.
        n_news: News items that they are about.
        temperatures: Those at which they were asked, over which a question's probability is averaged.
        laws: The laws.
        notes: Which laws could not be fitted, and why.
    """

    n_questions: int
    n_drawn: int
    n_news: int
    temperatures: tuple[float, ...]
    laws: tuple[ExactLaw, ...]
    notes: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """Say what it is of, and what its intervals are not."""
        low, high = self.temperatures[0], self.temperatures[-1]
        at = f"temperature {low:g}" if low == high else f"the mean over temperatures from {low:g} to {high:g}"
        items = "one news item" if self.n_news == 1 else f"{self.n_news:,} news items"
        return (
            f"the probabilities are those of {self.n_questions:,} different questions on {items}, at {at}, "
            f"from which {self.n_drawn:,} decisions were drawn; laws of them are exact over what was asked, "
            "without sampling noise: what spreads is the misfit over news items"
        )

    def law(self, name: str) -> ExactLaw | None:
        """Look a law up; None where it was not fitted."""
        return next((each for each in self.laws if each.law == name), None)


def exact_fits(tables: RunTables, fitted: Sequence[LawFit], level: float) -> Exact | None:
    """Fit the laws of a run to the probabilities of its questions.

    Args:
        tables: The run.
        fitted: Its laws, fitted to draws.
        level: Confidence level of intervals over news items, in (0, 1).

    Returns:
        None where the log has no probabilities.
    """
    if tables.questions is None:
        return None
    found, notes, as_asked = [], [], _as_asked(tables, tables.questions)
    for each in fitted:
        try:
            found += list(_one(each, as_asked, tables, level))
        except (InputError, DesignError, InternalError) as error:
            notes.append(f"the {each.of.heading} was not fitted to probabilities: {error}")
    return _exact(tables.questions, tuple(found), tuple(notes))


def exact_ratios(tables: RatioTables, level: float) -> Exact | None:
    """Fit the main-effects law to the probabilities of response ratios.

    Args:
        tables: The response ratios.
        level: Confidence level of intervals over news items, in (0, 1).

    Returns:
        None where the log has no probabilities, or they do not determine the law.

    Raises:
        DesignError: The level is out of range.
    """
    checked_level(level)
    if tables.questions is None:
        return None
    chance, severity = tables.questions.by_item(len(tables.news_ids)), np.maximum(tables.severity, 0)
    parts = (np.nan_to_num(each) for each in (chance, 1.0 - chance))
    cells = Shares.from_clusters(*(_by_severity(each, severity) for each in parts))
    draws = Cells.from_clusters(*(_by_severity(each, severity) for each in (tables.n_yes, tables.n_no)))
    try:
        fit, drawn = fit_main_effects(cells), fit_main_effects(draws)
    except (InputError, InternalError):
        return None
    over_news = clustered(fit, cells, "news item") if cells.n_clusters > 1 else None
    drawn_ones = zip(drawn.values.tolist(), drawn.standard_errors.tolist(), strict=True)
    rows = tuple(
        ExactParameter(
            name, float(fit.values[i]), None if over_news is None else over_news.interval(i, level), *of_drawn
        )
        for i, (name, of_drawn) in enumerate(zip(fit.names, drawn_ones, strict=True))
    )
    off = (chance - fit.transmission_probability.T[severity])[~np.isnan(chance)]
    law = ExactLaw(MainEffects.name, MainEffects.title, rows, _root_mean_square(off))
    return _exact(tables.questions, (law,))


def _by_severity(values: NDArray[Any], severity: NDArray[np.int64]) -> NDArray[Any]:
    """Lay values by news item and profile out by severity as well, shape ``(n_news, 32, 2)``."""
    found: NDArray[Any] = np.zeros((*values.shape, 2), values.dtype)
    found[np.arange(len(values)), :, severity] = values
    return found


def _exact(questions: Questions, laws: tuple[ExactLaw, ...], notes: tuple[str, ...] = ()) -> Exact:
    return Exact(
        n_questions=questions.chance.size,
        n_drawn=int(questions.n_drawn.sum()),
        n_news=np.unique(questions.news).size,
        temperatures=questions.temperatures,
        laws=laws,
        notes=notes,
    )


def _as_asked(tables: RunTables, questions: Questions) -> RunTables:
    """Lay the questions out as a run: a realization for each news item, a decision for each question."""
    items, first = np.unique(tables.news, return_index=True)
    chance = questions.chance
    counts = ExposureCounts(
        row=np.searchsorted(items, questions.news),
        step=np.ones(chance.size, np.int64),
        profile=questions.profile,
        n_yes=chance,  # type: ignore[arg-type]  # parts of a decision, where whole ones are counted
        n_no=1.0 - chance,  # type: ignore[arg-type]
        n_missing=np.zeros(chance.size, np.int64),
        columns=questions.columns,
    )
    return replace(tables.select(first), exposures=counts, questions=None)


def _one(fitted: LawFit, as_asked: RunTables, tables: RunTables, level: float) -> Iterator[ExactLaw]:
    """Fit a law to probabilities; nothing for one that they say nothing of."""
    law = fitted.of
    if isinstance(law, GroupedCurve):
        yield ExactLaw(law.name, law.heading, tuple(_rates(fitted, law, tables, level)))
    elif isinstance(law, DecisionLaw) and "step" not in law.reads:
        same = type(law)(as_asked, law.grouping, law.named)
        fit = same.fit()
        over_news = same.clustered(fit, "news item")
        drawn = {each.name: each for each in fitted.parameters}
        spans = [None if over_news is None else over_news.interval(i, level) for i in range(len(fit.names))]
        known = zip(fit.names, fit.values.tolist(), spans, strict=True)
        rows = tuple(_beside(drawn.get(name), name, value, interval) for name, value, interval in known)
        yield ExactLaw(law.name, law.heading, rows, _misfit(same, fit))


def _beside(drawn: Parameter | None, name: str, value: float, over_news: Interval | None) -> ExactParameter:
    if drawn is None:
        return ExactParameter(name, value, over_news)
    return ExactParameter(name, value, over_news, drawn.estimate, drawn.standard_error)


def _misfit(law: DecisionLaw, fit: Any) -> float:  # noqa: ANN401 - of its fitter
    """Compare the law's probabilities with those of the questions."""
    counts, played = law.tables.exposures, law.played(fit)
    if callable(played):
        columns: Mapping[str, Any] = {name: law.tables.column(name) for name in law.reads}
        chance = np.asarray(played(columns))
    else:
        severity = np.maximum(law.tables.severity, 0)[counts.row]
        chance = np.asarray(played)[counts.profile, severity]
    return _root_mean_square(chance - counts.n_yes)


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _rates(fitted: LawFit, law: GroupedCurve, tables: RunTables, level: float) -> Iterator[ExactParameter]:
    """Give each group's rate by the mean probability of its agents, and the growth that these make."""
    assert tables.questions is not None, "asked only where there are some"
    rows = [*fitted.parameters, *([fitted.growth_rate] if fitted.growth_rate else [])]
    by_item = tables.questions.by_item(len(tables.news_ids))
    each = np.array([law.by_chances(fitted.fit, item) for item in by_item if np.isfinite(item).any()])
    # Over the profiles' means, and not over items: where an item was asked of few profiles, it tells of few.
    with np.errstate(invalid="ignore"):
        profile = np.nansum(by_item, axis=0) / np.isfinite(by_item).sum(axis=0)
    values, n = law.by_chances(fitted.fit, profile), len(fitted.parameters)
    _, low, high = mean_interval(each, level)
    _, low[:n], high[:n] = mean_interval(each[:, :n], level, OF_SHARES)
    for i, row in enumerate(rows):
        over_news = (float(low[i]), float(high[i])) if high[i] - low[i] > _SAME else None
        yield _beside(row, row.name, float(values[i]), over_news)
