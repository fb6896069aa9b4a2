"""What Tian et al. (2026) report, to be set beside a run's own numbers; their data are not available."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agentnet.vocabulary import TRAITS

CITATION: Final = (
    "M. Tian, G. Mohler, P. J. Brantingham and N. Rodríguez (2026), Learning dynamics from online-offline "
    "systems of LLM agents"
)
SETTING: Final = (
    "gpt-3.5-turbo-1106, ten ACLED news items from the Philippines, 50 realizations on 5-regular networks of "
    "128 agents, 15 steps"
)
PUBLISHED: Final = f"published values: those of Tian et al. (2026) for {SETTING}; no data of this run"


_OPENNESS, _CONSCIENTIOUSNESS, _EXTRAVERSION, _AGREEABLENESS, _NEUROTICISM = TRAITS


@dataclass(frozen=True, slots=True)
class Weight:
    """A line of their table 1.

    Attributes:
        estimate: Log-odds.
        printed_error: Standard error, as printed.
        z: Estimate over standard error, as printed.
        p_value: As printed; 0 where it is too small for print.
    """

    estimate: float
    printed_error: float
    z: float
    p_value: float

    @property
    def error(self) -> float:
        """The standard error that goes with estimate and z."""
        return abs(self.estimate / self.z)


TABLE_1: Final[dict[str, Weight]] = {
    _OPENNESS: Weight(7.625, 0.442, 17.244, 0.0),
    _CONSCIENTIOUSNESS: Weight(-0.188, 0.750, -0.251, 0.802),
    _EXTRAVERSION: Weight(2.497, 0.0606, 4.121, 3.77e-5),
    _NEUROTICISM: Weight(-0.970, 0.0419, -2.312, 2.08e-2),
    _AGREEABLENESS: Weight(1.626, 0.0440, 3.698, 2.17e-4),
    "severity": Weight(-1.224, 0.883, -1.386, 0.166),
    "intercept": Weight(-3.072, 0.746, -4.121, 3.78e-5),
}
"""Main-effects logistic law, in the paper's order."""

ERRORS_NOTE: Final = (
    "Published standard errors are taken from estimate and z: those printed for extraversion, neuroticism "
    "and agreeableness (0.0606, 0.0419, 0.0440) disagree with both by a factor of ten"
)

TABLE_2: Final[dict[str, float]] = {"tau_1": 0.01269, "tau_2": 0.28520}
"""Transmission rates of the two-rate mean field, per step."""

GROUP_RATES: Final = (0.0533, 0.8154)
"""Mean yes-ratios of the two groups of profiles."""
