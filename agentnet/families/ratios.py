"""Response ratios (Tian et al. 2026, section 2.4.1): every profile is asked about every news item, alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from agentnet.experiment import NewsExperiment, require
from agentnet.families.news import NewsFamily, NewsSetting, NewsStage
from agentnet.vocabulary import AFTERWARDS, N_PROFILES, RATIO
from agentnet.worlds import Ask, Chance, End, Voice, World

if TYPE_CHECKING:
    from agentnet.analysis.profile_runs import Sharing
    from agentnet.events import Run
    from agentnet.report.part import Part, Reading
    from agentnet.runner.journal import Tally

_QUERIES: Final = {
    "yes_ratio": (
        "share of yes, by news item and profile",
        f"""
        SELECT c.condition, n.id, p.profile, AVG(e.decision) FROM events e
        JOIN {{condition_of}} c USING (realization) JOIN realizations r USING (realization)
        JOIN prompts p ON p.prompt = e.prompt JOIN news n ON n.news = p.news
        WHERE e.kind = '{RATIO}' AND r.status = 'finished' GROUP BY 1, 2, 3
        """,  # noqa: S608 - our own
    )
}


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


def ratios(n_repeats: int, voice: Voice, chance: Chance) -> World:
    """Ask all profiles; the agent of a decision is its profile's index.

    Args:
        n_repeats: Decisions of each profile.
        voice: What is asked and how replies are understood.
        chance: The realization's random numbers.
    """
    n_draws = n_repeats * N_PROFILES
    questions = [voice.question(RATIO, profile) for profile in range(N_PROFILES)]
    yield Ask(
        RATIO,
        0,
        list(range(N_PROFILES)) * n_repeats,
        [-1] * n_draws,
        [repeat for repeat in range(n_repeats) for _ in range(N_PROFILES)],
        questions * n_repeats,
        *chance.draws(RATIO, 0, np.arange(n_draws)),
        voice.judge,
    )
    return End("finished", 0)


class RatioStage(NewsStage):
    """A run of response ratios."""

    def n_fixed(self) -> int:
        """Count the decisions: the design fixes them."""
        return len(self.items) * N_PROFILES * sum(int(each.repeats) for each in self.experiments)

    def counted(self, tally: Tally) -> dict[str, object]:
        """Say of agents, too, that there are none: who reads ``run --json`` may look for it."""
        return {**super().counted(tally), "engaged": 0, "agents": 0}


class Ratios(NewsFamily):
    """The family of response ratios; a realization is one news item."""

    name = "ratio"
    what = "response ratios"
    experiment = ResponseRatioExperiment
    kinds = (RATIO,)
    shows = "see them and the groups of profiles that they make"
    read_as = frozenset({"response ratios", "decisions"})
    queries = _QUERIES
    stage_class = RatioStage

    def parts(self, reading: Reading) -> Iterable[Part]:
        """Say what the response ratios of each run show."""
        from agentnet.report.ratios import ratio_parts

        return ratio_parts(reading, self.name)

    def sharing(self, run: Run, condition: int | None) -> Sharing:
        """Count all decisions."""
        from agentnet.analysis.profile_runs import ratios_shared

        return ratios_shared(run, condition)

    def world(self, setting: NewsSetting) -> World:
        """Ask all profiles."""
        return ratios(setting.experiment.repeats, setting.voice, setting.chance)

    def leads_on(self, kind: str) -> bool:  # noqa: ARG002 - there is one step
        """Say that nothing follows from any answer."""
        return False

    def n_realizations(self, experiment: Any) -> int:  # noqa: ANN401, ARG002 - its repeats are within one
        """Count one."""
        return 1
