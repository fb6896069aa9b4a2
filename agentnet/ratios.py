"""The engine of the response-ratio experiment (Tian et al. 2026, section 2.4.1): no network, no steps.

Every profile is asked about every news item, a number of times; a realization is one news item.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agentnet.journal import Asking, Journal, Temperature, Voice, draw_parameters
from agentnet.profiles import N_PROFILES
from agentnet.streams import Streams


@dataclass(frozen=True, slots=True)
class Ratios:
    """The decisions of all profiles on one news item; the agent of a decision is its profile's index.

    Attributes:
        n_repeats: Decisions of each profile.
        temperature: What the sampling temperature of each decision is drawn from.
        voice: What is asked and how replies are understood.
        streams: The run's random streams.
        journal: Asks and records.
    """

    n_repeats: int
    temperature: Temperature
    voice: Voice
    streams: Streams
    journal: Journal

    async def play(self) -> tuple[str, int]:
        """Ask them all.

        Returns:
            The status ``finished`` and the step 0.
        """
        n_draws = self.n_repeats * N_PROFILES
        key = ("ratio", self.journal.realization, 0)
        draw = draw_parameters(self.streams, key, np.arange(n_draws), self.temperature)
        questions = [self.voice.question("ratio", profile) for profile in range(N_PROFILES)]
        asking = Asking(
            "ratio",
            0,
            list(range(N_PROFILES)) * self.n_repeats,
            [-1] * n_draws,
            [repeat for repeat in range(self.n_repeats) for _ in range(N_PROFILES)],
            questions * self.n_repeats,
            *draw,
        )
        await self.journal.decide(asking, self.voice.judge)
        return "finished", 0
