"""The likelihood of any law of decisions: evaluated, climbed and differentiated by its formula alone.

Decisions that are alike in all columns of a law count together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.algebra import inverse, rank
from agentnet.analysis.estimates import Estimates
from agentnet.analysis.laws.contract import in_shape
from agentnet.analysis.laws.curve import by_differences
from agentnet.analysis.solver import thinned
from agentnet.errors import DesignError, InputError, near_miss

if TYPE_CHECKING:
    from agentnet.analysis.laws.decision import DecisionLaw

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_CERTAIN: Final = 1e-12
"""Probabilities are kept this far from 0 and 1, where a decision against them would be impossible."""

_ROUNDING: Final = 1e-9
"""How far beyond 0 and 1 rounding may take a probability."""

_NOWHERE: Final = 1e12
"""How deep the likelihood is where a formula gives no number."""

_UNTOLD: Final = "it is at a bound of the law, or the decisions do not tell it"
_MOST_STARTS: Final = 400
_N_TRIED: Final = 6
_FEW_STEPS: Final = 30
_STEPS: Final = 200


class LawColumns(dict[str, Array]):
    """The columns that a law reads, by name: as views, since what a formula wrote, it would read next time.

    Args:
        columns: The columns, of any shape.
    """

    def __init__(self, columns: Mapping[str, Array]) -> None:
        super().__init__({name: each.view() for name, each in columns.items()})
        for each in self.values():
            each.flags.writeable = False

    def __missing__(self, name: str) -> Array:
        known = near_miss(name, self) if self else ""
        raise DesignError(
            f"the law reads the column {name!r}, which it was not given{known}; name it by `uses`, or by --by"
        )


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """Decisions, those that are alike in all columns and of one realization together.

    Attributes:
        columns: The columns, each of shape ``(n_counts,)``.
        row: The realization's place in the tables, same shape.
        n_yes: Yes, same shape.
        n_no: No, same shape.
    """

    columns: LawColumns
    row: Ints
    n_yes: Ints
    n_no: Ints


@dataclass(frozen=True, slots=True)
class DecisionFit(Estimates):
    """A formula fitted to exposures.

    Attributes:
        row: The realization's place in the tables, of decisions that count together, shape ``(n_counts,)``.
        scores: Derivatives of their log-likelihood, shape ``(n_counts, n_parameters)``.
        information: Inverse information about the parameters, shape ``(n_parameters, n_parameters)``; NaN for
            one at a bound.
    """

    row: Ints = field(repr=False)
    scores: Array = field(repr=False)
    information: Array = field(repr=False)


class Likelihood:
    """The likelihood of a law's parameters, all decisions with the same columns taken together.

    Attributes:
        columns: The columns of its cells, each of shape ``(n_cells,)``.
        n_yes: Yes in each cell, same shape.
        n_no: No in each cell, same shape.
    """

    def __init__(self, law: DecisionLaw, answers: AnswerCounts) -> None:
        self._law = law
        self._bounds = tuple(law.parameters.values())
        self._row_of = answers
        table = np.column_stack([*answers.columns.values(), np.zeros(answers.row.size)])
        cells, self._cell = np.unique(table, axis=0, return_inverse=True)
        self._cell = self._cell.ravel()
        self.columns = LawColumns(dict(zip(answers.columns, cells.T, strict=False)))
        self.n_yes, self.n_no = (
            np.bincount(self._cell, each, len(cells)).astype(each.dtype)
            for each in (answers.n_yes, answers.n_no)
        )

    def with_columns(self, columns: LawColumns) -> Likelihood:
        """Make that of the same decisions with other columns of the same cells."""
        rows = LawColumns({name: each[self._cell] for name, each in columns.items()})
        return Likelihood(self._law, replace(self._row_of, columns=rows))

    def chance(self, parameters: Array) -> Array:
        """Evaluate the chance of a yes for sets of parameters, shape ``(n_sets, n_cells)``."""
        return clipped(self._given(parameters))

    def _given(self, parameters: Array) -> Array:
        """Evaluate the formula, whatever it gives."""
        names = tuple(self._law.parameters)
        with np.errstate(all="ignore"):
            found = [
                in_shape(
                    self._law.probability(self.columns, **dict(zip(names, each, strict=True))),
                    self.n_yes.shape,
                    self._law,
                )
                for each in np.atleast_2d(parameters)
            ]
        return np.array(found)

    def _check_chance(self, values: Array) -> None:
        """Refuse a formula whose chances, where it fits best, are none.

        Raises:
            InputError: Some are below 0, or above 1.
        """
        found = self._given(values)
        least, most = float(found.min()), float(found.max())
        if least < -_ROUNDING or most > 1 + _ROUNDING:
            raise InputError(
                f"the formula of the law {self._law.name}, where it fits best, gives chances of a yes from "
                f"{least:.4g} to {most:.4g}, and a chance lies between 0 and 1: bound its parameters so that "
                "it does, or have the formula cut it off (numpy.clip)"
            )

    def height(self, values: Array) -> float:
        """Evaluate the log-likelihood, in nats."""
        chance = self.chance(values)[0]
        return float(self.n_yes @ np.log(chance) + self.n_no @ np.log1p(-chance))

    def slope(self, values: Array) -> Array:
        """Differentiate the chance, shape ``(n_cells, n_parameters)``."""
        found = [
            by_differences(self.chance, values[None], i, each.low, each.high)[0]
            for i, each in enumerate(self._bounds)
        ]
        return np.stack(found, axis=-1)

    def _pull(self, values: Array) -> Array:
        chance = self.chance(values)[0]
        gradient: Array = (self.n_yes / chance - self.n_no / (1 - chance)) @ self.slope(values)
        return gradient

    def information(self, values: Array, slope: Array) -> Array:
        """Compute the Fisher information, shape ``(n_parameters, n_parameters)``."""
        chance = self.chance(values)[0]
        weight = (self.n_yes + self.n_no) / (chance * (1 - chance))
        found: Array = slope.T @ (weight[:, None] * slope)
        return found

    def scores(self, values: Array, slope: Array) -> Array:
        """Differentiate the log-likelihood of each count, shape ``(n_counts, n_parameters)``."""
        chance = self.chance(values)[0][self._cell]
        pull = self._row_of.n_yes / chance - self._row_of.n_no / (1 - chance)
        found: Array = pull[:, None] * slope[self._cell]
        return found

    def fit_at(self, values: Array) -> DecisionFit:
        """Make the fit whose parameters are the likeliest ones.

        Raises:
            InputError: The formula gives no chances there.
        """
        self._check_chance(values)
        slope, bounded, answers = self.slope(values), self.at_bound(values), self._row_of
        covariance = _inverse(self.information(values, slope), ~bounded)
        told = np.diag(covariance) > 0
        return DecisionFit(
            names=(names := tuple(self._law.parameters)),
            values=values,
            covariance=covariance,
            freedom=np.where(told, np.inf, np.nan),
            no_interval={name: _UNTOLD for name, known in zip(names, told, strict=True) if not known},
            errors="plain",
            log_likelihood=float(self.height(values)),
            n_parameters=len(names),
            n_exposures=round(float(answers.n_yes.sum() + answers.n_no.sum())),
            warnings=tuple(self.warnings(values, bounded, ~np.isnan(np.diag(covariance)))),
            row=answers.row,
            scores=self.scores(values, slope),
            information=covariance,
        )

    def _loss(self, values: Array) -> tuple[float, Array]:
        """Evaluate what is minimized, and its gradient: per decision, and finite everywhere."""
        n = float((self.n_yes + self.n_no).sum())
        height = float(np.nan_to_num(self.height(values), nan=-_NOWHERE))
        return -height / n, -np.nan_to_num(self._pull(values)) / n

    def maximize(self) -> Array:
        """Climb from the best starts of the grid, and from where that led highest on to the top.

        Raises:
            InputError: The formula gives no probability at any start.
        """
        most = max(2, int(_MOST_STARTS ** (1 / len(self._bounds))))
        grid = np.array(list(product(*(thinned(np.array(each.starts), most) for each in self._bounds))))
        heights = np.array([self.height(each) for each in grid])
        heights[~np.isfinite(heights)] = -np.inf
        if np.isneginf(heights).all():
            raise InputError(f"the formula of the law {self._law.name} gives no probability at any start")
        starts = grid[np.argsort(-heights, kind="stable")[:_N_TRIED]]
        return self._climb(max((self._climb(each, _FEW_STEPS) for each in starts), key=self.height), _STEPS)

    def _climb(self, start: Array, most: int) -> Array:
        """Climb within the bounds, `most` steps at most: where the top is a ridge, steps never end."""
        from scipy.optimize import minimize

        found = minimize(
            self._loss,
            start,
            jac=True,
            bounds=[(each.low, each.high) for each in self._bounds],
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": most},
        )
        return np.asarray(found.x, dtype=np.float64)

    def at_bound(self, values: Array) -> NDArray[np.bool_]:
        """Say which parameters are at a bound."""
        return np.array(
            [
                value <= each.low or value >= each.high
                for value, each in zip(values, self._bounds, strict=True)
            ]
        )

    def warnings(self, values: Array, bounded: NDArray[np.bool_], told: NDArray[np.bool_]) -> Iterator[str]:
        """Warn of parameters at a bound or told by nothing, and of columns that do not vary."""
        names = np.array(tuple(self._law.parameters))
        yield from (
            f"{name} is at its bound {value:g}"
            for name, value in zip(names[bounded], values[bounded], strict=True)
        )
        if (untold := ~told & ~bounded).any():
            yield f"the decisions do not tell {', '.join(names[untold])} near the estimate: there is no error"
        alike = [name for name, column in self.columns.items() if np.ptp(column) == 0]
        if alike:
            yield f"the exposures do not vary in {', '.join(alike)}: they tell nothing of its effect"


def clipped(chance: Any) -> Array:  # noqa: ANN401 - whatever a formula gives
    """Keep probabilities from 0 and 1."""
    found: Array = np.clip(np.asarray(chance, np.float64), _CERTAIN, 1 - _CERTAIN)
    return found


def _inverse(information: Array, free: NDArray[np.bool_]) -> Array:
    """Invert the information about the free parameters that the decisions tell; NaN elsewhere."""
    found = np.full(information.shape, np.nan)
    scale = np.sqrt(np.maximum(np.diag(information), 0.0))
    told = free & np.isfinite(scale) & (scale > 1e-8 * scale[np.isfinite(scale)].max(initial=1.0))
    place = np.ix_(told, told)
    size = np.outer(scale, scale)[place]
    # Scaled, so that parameters of other units do not pass for ones that are told by nothing.
    if told.any() and rank(information[place] / size, symmetric=True) == told.sum():
        found[place] = inverse(information[place] / size) / size
    return found
