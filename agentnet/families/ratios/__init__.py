"""Response ratios: every profile is asked about every news item, without a network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agentnet.families.news import NewsFamily, NewsStage, Setting
from agentnet.families.ratios.experiment import ResponseRatioExperiment
from agentnet.profiles import N_PROFILES
from agentnet.vocabulary import RATIO
from agentnet.worlds import World
from agentnet.worlds.ratios import ratios

if TYPE_CHECKING:
    from agentnet.report.part import Part, Reading

__all__ = ["ResponseRatioExperiment", "ResponseRatios"]


class RatioStage(NewsStage):
    """A run of response ratios."""

    def n_fixed(self) -> int:
        """Count the decisions: the design fixes them."""
        return len(self.items) * N_PROFILES * sum(int(each.repeats) for each in self.experiments)


class ResponseRatios(NewsFamily):
    """The family of response ratios; a realization is one news item."""

    name = "ratio"
    what = "response ratios"
    experiment = ResponseRatioExperiment
    kinds = (RATIO,)
    stage_class = RatioStage

    def parts(self, reading: Reading) -> Iterable[Part]:
        """Say what the response ratios of each run show."""
        from agentnet.report.ratios import ratio_parts

        return ratio_parts(reading)

    def world(self, setting: Setting) -> World:
        """Ask all profiles."""
        return ratios(setting.experiment.repeats, setting.voice, setting.chance)

    def leads_on(self, kind: str) -> bool:  # noqa: ARG002 - there is one step
        """Say that nothing follows from any answer."""
        return False

    def n_realizations(self, experiment: Any) -> int:  # noqa: ANN401, ARG002 - its repeats are within one
        """Count one."""
        return 1
