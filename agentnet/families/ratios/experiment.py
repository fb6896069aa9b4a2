"""The base class of experiments with response ratios."""

from __future__ import annotations

from typing import ClassVar

from agentnet.experiment import NewsExperiment, require
from agentnet.vocabulary import AFTERWARDS


class ResponseRatioExperiment(NewsExperiment):
    """Yes-ratios of all 32 profiles, without a network (Tian et al. 2026, section 2.4.1).

    Attributes:
        repeats: Decisions of each profile on each news item.
    """

    family: ClassVar[str] = "ratio"

    items_per_severity: int = 25
    repeats: int = 10

    def check(self) -> None:
        """Refuse a design that cannot be played."""
        super().check()
        require(
            self.rationale != AFTERWARDS,
            "rationale is 'afterwards', which a response-ratio experiment has no simulation for; "
            "choose 'inline' or 'none'",
        )
