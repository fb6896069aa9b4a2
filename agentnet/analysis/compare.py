"""Conditions of a run, or of several, compared in one measure: estimates, contrasts, trends, intervals.

    from agentnet import analysis

    found = analysis.compare(["runs/sparse", "runs/dense"], "lambda")
    found.frame()

What is compared is paired by news item and repeat (by repeat where models interview each other, by news item
and profile in response ratios). Measures of single realizations have Student's t interval of the mean within
pairs, see `contrasts.contrast`. Parameters of laws are fitted to mean curves: there whole pairs are drawn
anew, the same ones under both conditions, both laws are fitted again, and percentiles of the differences are
the interval (paired bootstrap, Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 8).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.contrasts import (
    ByPair,
    ConditionContrast,
    Contrast,
    contrast,
    difference,
)
from agentnet.analysis.fitting import CurveFit
from agentnet.analysis.grouping import Grouping
from agentnet.analysis.laws import LAWS, CurveLaw, Resamples
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, InputError, near_miss
from agentnet.events.conditions import Condition
from agentnet.events.schema import CONDITION_OF

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
OfRealization = Callable[[Array], float]
"""From the curve of one realization to a number; nan where it has none."""

EARLY: Final = 0.1
"""Growth is early while less of the population than this is engaged."""


def final_engagement(curve: Array) -> float:
    """Take the engaged fraction after the last step."""
    return float(curve[-1])


def half_time(curve: Array) -> float:
    """Find the time until half of those were engaged who were in the end, in steps; linear between steps.

    A logistic curve has its inflection there. Nan where nobody engaged after step 0.

    Examples:
        >>> half_time(np.array([0.1, 0.2, 0.6, 0.8]))
        1.5
    """
    half = curve[-1] / 2
    if curve[-1] == curve[0]:
        return math.nan
    after = int(np.argmax(curve >= half))
    if not after:
        return 0.0
    before = float(curve[after - 1])
    return after - 1 + float((half - before) / (curve[after] - before))


def early_growth(curve: Array) -> float:
    """Compute the mean growth rate ln E(t) - ln E(t - 1) while at most `EARLY` are engaged, per step.

    One step at least counts. This is the slope of the first, exponential part of an epidemic (Ma, Dushoff,
    Bolker & Earn 2014, "Estimating initial epidemic growth rates", Bulletin of Mathematical Biology 76),
    and what the mean-field laws' lambda is in their beginning.

    Examples:
        >>> round(early_growth(np.array([0.01, 0.02, 0.04, 0.4])), 3)
        0.693
    """
    early = np.flatnonzero(curve <= EARLY)
    last = max(int(early[-1]) if early.size else 0, 1)
    return float(np.log(curve[last] / curve[0]) / last)


MEASURES: Final[Mapping[str, tuple[str, OfRealization]]] = {
    "final_engagement": ("engaged fraction after the last step", final_engagement),
    "half_time": ("steps until half of the finally engaged were engaged", half_time),
    "early_growth": (f"growth rate while at most {EARLY:.0%} are engaged, per step", early_growth),
}
"""What cascades are compared in: name -> in words, and how a realization comes to it."""

YES_RATIO: Final = "yes_ratio"
_OF_ONE_RATE: Final = {"tau": "one_rate.tau_1", "lambda": "one_rate.lambda"}
_ALL_REALIZATIONS = "SELECT r.realization, n.id, r.repeat FROM realizations r JOIN news n USING (news)"
_YES_RATIOS = f"""
SELECT c.condition, n.id, p.profile, AVG(e.decision) FROM events e
JOIN ({CONDITION_OF}) c USING (realization) JOIN realizations r USING (realization)
JOIN prompts p ON p.prompt = e.prompt JOIN news n ON n.news = p.news
WHERE e.kind = 'ratio' AND e.decision IS NOT NULL AND r.status = 'finished' GROUP BY 1, 2, 3
"""  # noqa: S608 - our own


@dataclass(frozen=True, slots=True)
class How:
    """How intervals are made; see `compare`."""

    level: float = 0.95
    n_bootstrap: int = 200
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a side of a comparison comes from.

    Attributes:
        run: Name of the run.
        condition: The condition, numbered within its run.
        facts: What may set it apart from other runs: its design, and the model.
        seed: The run's.
    """

    run: str
    condition: Condition
    facts: Mapping[str, Any]
    seed: int

    @classmethod
    def of(cls, run: str, meta: Mapping[str, Any], condition: Condition) -> Origin:
        """Take it from a run's table ``meta``."""
        design = {key: value for key, value in condition.design.items() if key not in _NO_KNOBS}
        return cls(run, condition, {**design, "model": meta["model_name"]}, int(meta["seed"]))


_NO_KNOBS: Final = ("conditions", "repeats")


class Side(ABC):
    """One condition in one measure.

    Attributes:
        origin: Where it comes from.
    """

    __slots__ = ()
    origin: Origin

    @property
    @abstractmethod
    def values(self) -> ByPair:
        """What each pair came to; empty where the measure is none of single realizations."""

    @abstractmethod
    def alone(self, how: How) -> Contrast:
        """Estimate it over all its pairs."""

    @abstractmethod
    def less(self, other: Any, how: How) -> tuple[Contrast, Contrast | None]:  # noqa: ANN401 - of its own kind
        """Subtract another side within the pairs that both have.

        Returns:
            With pairs as what is independent; and with whole news items, None where there is one or none.

        Raises:
            InputError: They have no pair in common, or nothing can be estimated from those.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Realizations(Side):
    """A measure of single realizations."""

    origin: Origin
    by_pair: ByPair = field(repr=False)

    @property
    def values(self) -> ByPair:
        """What each pair came to."""
        return self.by_pair

    def alone(self, how: How) -> Contrast:
        """Average over all pairs."""
        return replace(contrast(self.by_pair, level=how.level, seed=how.seed), p_value=math.nan)

    def less(self, other: Realizations, how: How) -> tuple[Contrast, Contrast | None]:
        """Average the differences within pairs."""
        found = difference(self.by_pair, other.by_pair)
        return contrast(found, level=how.level, seed=how.seed), _by_news(found, how)


def _by_news(values: ByPair, how: How) -> Contrast | None:
    """Average over the means of news items; None with one item, or with none."""
    of: dict[str, list[float]] = {}
    for pair, value in values.items():
        if isinstance(pair, tuple):
            of.setdefault(pair[0], []).append(value)
    if len(of) < 2:
        return None
    return contrast({news: float(np.mean(own)) for news, own in of.items()}, level=how.level, seed=how.seed)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted(Side):
    """A parameter of a law of curves, fitted to the mean curve of realizations.

    Attributes:
        origin: Where it comes from.
        tables: The realizations.
        pairs: The pair of each of them.
        law: Name of the law.
        parameter: Name of the parameter.
        grouping: Groups of profiles.
    """

    origin: Origin
    tables: RunTables
    pairs: tuple[tuple[str, int], ...]
    law: str
    parameter: str
    grouping: Grouping

    @property
    def values(self) -> ByPair:
        """There are none."""
        return {}

    def alone(self, how: How) -> Contrast:
        """Fit it to all pairs."""
        estimate, draws = self.fit(self.pairs, how)
        return _of_draws(estimate, draws, len(self.pairs), how)

    def less(self, other: Fitted, how: How) -> tuple[Contrast, Contrast | None]:
        """Fit both to the pairs that both have, and to the same draws of these."""
        common = sorted(set(self.pairs) & set(other.pairs))
        if not common:
            raise InputError("the conditions have no news item and repeat in common", field="of")
        found = [
            _less(self.fit(common, how, by_news), other.fit(common, how, by_news), len(common), how)
            for by_news in (False, True)
        ]
        return found[0], found[1] if len({news for news, _ in common}) > 1 else None

    def fit(self, pairs: Sequence[tuple[str, int]], how: How, by_news: bool = False) -> tuple[float, Array]:
        """Fit the law to some pairs, in this order, and to draws of them that hang on their number alone.

        Args:
            pairs: The pairs.
            how: How they are drawn.
            by_news: Whether whole news items are drawn.

        Returns:
            The parameter, and its draws, shape ``(n_bootstrap,)``, or none.
        """
        part = self.tables.select([self.pairs.index(pair) for pair in pairs])
        news = np.unique([news for news, _ in pairs], return_inverse=True)[1]
        part = replace(part, news=news.astype(np.int64))
        resamples = Resamples(how.n_bootstrap, by_news=by_news, level=how.level, seed=how.seed)
        law = LAWS[self.law](part, self.grouping)
        if not isinstance(law, CurveLaw):
            raise DesignError(f"the {law.heading} is fitted to decisions; compare laws of curves")
        return _parameter(law.fit(resamples), self.parameter)


def _parameter(fit: CurveFit[Any], name: str) -> tuple[float, Array]:
    """Look a parameter of a fit up: estimate and draws."""
    if name in fit.names:
        place = fit.names.index(name)
        return float(fit.values[place]), fit.draws[:, place]
    if name == "lambda" and fit.growth_rate is not None:
        rates = [fit.law.with_values(row).growth_rate for row in fit.draws]
        return fit.growth_rate, np.array(rates, dtype=np.float64)
    known = [*fit.names, *(["lambda"] if fit.growth_rate is not None else [])]
    raise DesignError(f"the law has no parameter {name!r}{near_miss(name, known)}; known: {', '.join(known)}")


def _less(one: tuple[float, Array], other: tuple[float, Array], n_pairs: int, how: How) -> Contrast:
    """Subtract fits to the same draws; one whose curves are all alike has no draws, and stays as it is."""
    n_draws = max(len(one[1]), len(other[1]))
    first, second = (draws if len(draws) else np.full(n_draws, value) for value, draws in (one, other))
    return _of_draws(one[0] - other[0], first - second, n_pairs, how)


def _of_draws(estimate: float, draws: Array, n_pairs: int, how: How) -> Contrast:
    kept = draws[np.isfinite(draws)]
    tail = (1 - how.level) / 2
    low, high = np.quantile(kept, [tail, 1 - tail]).tolist() if kept.size else (math.nan, math.nan)
    return Contrast(estimate, low, high, math.nan, n_pairs, how.level)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one condition came to.

    Attributes:
        name: What sets it apart from the others compared.
        run: Name of its run.
        condition: Its number in that run.
        knobs: The knobs in which those that are compared differ, with its own values.
        estimate: The number, over all realizations of the condition; without a test.
    """

    name: str
    run: str
    condition: int
    knobs: Mapping[str, Any]
    estimate: Contrast


@dataclass(frozen=True, slots=True)
class Comparison:
    """Conditions compared in one measure.

    Attributes:
        measure: What they are compared in.
        title: The same in words, with its unit.
        estimates: What each condition came to: the measure against the knobs that were swept.
        contrasts: Differences between them, and trends over knobs that take three or more numbers.
        resampled: What intervals are over, in a sentence.
        level: Confidence level of all intervals.
        notes: What to know about it.
    """

    measure: str
    title: str
    estimates: tuple[Estimate, ...]
    contrasts: tuple[ConditionContrast, ...]
    resampled: str
    level: float
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Lay the contrasts out: a row each."""
        import pandas as pd

        rows = [
            {
                "compared": each.compared,
                "kind": each.kind,
                **_plain(each.contrast),
                **(
                    {}
                    if each.by_news is None
                    else {f"{k}_by_news": v for k, v in _ends(each.by_news).items()}
                ),
            }
            for each in self.contrasts
        ]
        return pd.DataFrame(rows)

    def sweep(self) -> pd.DataFrame:
        """Lay the estimates out: a row for each condition, a column for each knob."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"condition": each.name, "run": each.run, **each.knobs, **_plain(each.estimate)}
                for each in self.estimates
            ]
        ).drop(columns="p_value")

    def as_json(self) -> dict[str, Any]:
        """Give everything in the types of JSON; numbers that JSON has none for are None."""
        return {
            "measure": self.measure,
            "title": self.title,
            "estimates": [{**asdict(each), "estimate": _plain(each.estimate)} for each in self.estimates],
            "contrasts": [
                {
                    "kind": each.kind,
                    "compared": each.compared,
                    **_plain(each.contrast),
                    "by_news": None if each.by_news is None else _plain(each.by_news),
                }
                for each in self.contrasts
            ],
            "resampled": self.resampled,
            "level": self.level,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """Show both tables in a notebook."""
        return f"{self.sweep().to_html(escape=True)}{self.frame().to_html(escape=True)}"


def _plain(found: Contrast) -> dict[str, Any]:
    numbers = {key: value for key, value in asdict(found).items() if key != "level"}
    return {key: value if math.isfinite(value) else None for key, value in numbers.items()}


def _ends(found: Contrast) -> dict[str, Any]:
    return {key: value for key, value in _plain(found).items() if key in ("low", "high")}
