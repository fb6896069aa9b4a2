"""Laws of columns of exposures: how a dose, or anything else that the log knows, changes the chance of a yes.

A dose is one of one question: these laws give P(yes | n) for a single question at which the column reads n,
such as `n_engaged`. The SI laws take questions for independent tries, with one chance p whatever the dose, so
that k questions engage with probability 1 - (1 - p)^k, where these have 1 - prod_i (1 - P(n_i)). Whether the
dose counts is therefore told against one chance for all decisions (`against_constant`).

Mind who is asked at a high dose: those who have refused before. So the chance may fall with the dose because
the willing are gone; `ColumnLogistic` takes traits beside it, or what else tells agents apart.

Each is judged as the other laws of decisions are, by the curves of cascades that are played by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.grouping import Grouping
from agentnet.analysis.laws.contract import Between, Positive, Real
from agentnet.analysis.laws.decision import DecisionLaw
from agentnet.analysis.laws.likelihood import LawColumns, Likelihood
from agentnet.analysis.logistic import BinomialCells, probability
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, InputError, InternalError

Array = NDArray[np.float64]

_RIVAL_NATS = 1.92
"""Half the 95% quantile of chi-squared with one degree of freedom."""
_MOST_NAMED = 8


class Hill(DecisionLaw):
    """The chance goes from `bottom` at dose 0 to `top`, and is half of the way at the dose `half`."""

    title = "Hill curve of {by}"
    rank = 7
    each_column = True
    parameters: Mapping[str, Between] = {
        "bottom": Between(0, 1, (0.01, 0.1, 0.3, 0.6)),
        "top": Between(0, 1),
        "half": Positive(),
        "steepness": Positive(),
    }

    def probability(self, columns: Mapping[str, Array], **values: np.float64) -> Array:
        """Evaluate the chance of a yes."""
        bottom, top, half, steepness = values.values()
        way = probability(steepness * (np.log(columns[self.by]) - np.log(half)))
        found: Array = bottom + (top - bottom) * way
        return found

    def likeliest(self, likelihood: Likelihood) -> Array:
        """Climb with the dose in units of its median, so that starts lie where the data do.

        Raises:
            InputError: A dose is negative.
        """
        dose = likelihood.columns[self.by]
        if dose.min() < 0:
            raise InputError(f"a dose is at least 0, and {self.by} goes down to {dose.min():g}", field="by")
        unit = float(np.median(dose[dose > 0])) if dose.any() else 1.0
        in_units = likelihood.with_columns(LawColumns({self.by: dose / unit}))
        values: Array = in_units.maximize() * [1.0, 1.0, unit, 1.0]
        return values


class DoseThreshold(DecisionLaw):
    """One chance `below` a threshold dose, another `above` it.

    Where agents turn from no to yes at a threshold, `below` and 1 - `above` are the rates of slips. The
    threshold stands halfway between two doses. The likelihood moves in jumps with it, so that it has no
    standard error: those that fit nearly as well are named.
    """

    title = "threshold in {by}"
    rank = 8
    each_column = True
    parameters: Mapping[str, Between] = {
        "below": Between(0, 1),
        "above": Between(0, 1),
        "threshold": Real(),
    }

    def probability(self, columns: Mapping[str, Array], **values: np.float64) -> Array:
        """Evaluate the chance of a yes."""
        below, above, threshold = values.values()
        return np.where(columns[self.by] > threshold, above, below)

    def likeliest(self, likelihood: Likelihood) -> Array:
        """Try every threshold between two doses; on either side of it the share of yes is the likeliest.

        Raises:
            InputError: All doses are the same.
        """
        tried = self._tried(likelihood)
        return tried[int(np.argmax([likelihood.height(each) for each in tried]))]

    def warnings(self, fit: Any) -> Iterator[str]:  # noqa: ANN401 - as of any law
        """Name the thresholds that fit nearly as well, too."""
        likelihood = Likelihood(self, self.answers())
        near = fit.log_likelihood - _RIVAL_NATS
        rivals = [each[2] for each in self._tried(likelihood) if likelihood.height(each) > near]
        others = [f"{each:g}" for each in rivals if each != fit.values[2]]
        if len(others) > _MOST_NAMED:
            yield f"{len(others)} thresholds from {others[0]} to {others[-1]} fit nearly as well"
        elif others:
            yield f"thresholds at {', '.join(others)} fit nearly as well"
        yield from super().warnings(fit)

    def _tried(self, likelihood: Likelihood) -> list[Array]:
        doses = np.unique(likelihood.columns[self.by])
        if doses.size < 2:
            raise InputError(f"all exposures have {self.by} = {doses[0]:g}: none is below", field="by")
        return [self._split(likelihood, each) for each in (doses[1:] + doses[:-1]) / 2]

    def _split(self, likelihood: Likelihood, threshold: float) -> Array:
        above = likelihood.columns[self.by] > threshold
        n_yes, n_no = likelihood.n_yes, likelihood.n_no
        shares = [n_yes[side].sum() / (n_yes[side] + n_no[side]).sum() for side in (~above, above)]
        return np.array([*shares, threshold])


class ColumnLogistic(DecisionLaw):
    """A weight (log-odds) for each of any columns, and an intercept.

    Args:
        tables: The run, or a part of it.
        grouping: Groups of profiles; not used.
        by: The columns.
    """

    title = "logistic in {by}"
    rank = 9

    def __init__(self, tables: RunTables, grouping: Grouping, by: Sequence[str] = ()) -> None:
        super().__init__(tables, grouping, by)
        self.parameters = {name: Real() for name in ("intercept", *self.named)}

    def probability(self, columns: Mapping[str, Array], **values: np.float64) -> Array:
        """Evaluate the chance of a yes."""
        intercept, *weights = values.values()
        added = sum((weight * columns[name] for name, weight in zip(self.named, weights, strict=True)))
        return probability(np.asarray(intercept + added))

    def likeliest(self, likelihood: Likelihood) -> Array:
        """Find the only top by Newton's method, with columns in standard units.

        Raises:
            DesignError: No column was named.
            InputError: The columns tell yes from no without fail, or their weights not apart.
        """
        if not self.named:
            raise DesignError(self._no_column())
        columns = np.column_stack([likelihood.columns[name] for name in self.named])
        mean, spread = columns.mean(axis=0), np.maximum(columns.std(axis=0), np.finfo(float).tiny)
        design = np.column_stack([np.ones(len(columns)), (columns - mean) / spread])
        n_yes, n_no = likelihood.n_yes, likelihood.n_no
        try:
            weights = BinomialCells(design, n_yes, n_yes + n_no).maximize().weights
        except (InputError, InternalError) as error:
            raise InputError(
                f"the decisions determine no weights of {', '.join(self.named)}: one of them does not vary, "
                "is a sum of others, or tells yes from no without fail",
                field="by",
            ) from error
        slopes = weights[1:] / spread
        return np.array([weights[0] - slopes @ mean, *slopes])
