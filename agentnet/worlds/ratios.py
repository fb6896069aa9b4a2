"""The world of response ratios (Tian et al. 2026, section 2.4.1): no network, no steps.

Every profile is asked about a news item, a number of times.
"""

from __future__ import annotations

import numpy as np

from agentnet.profiles import N_PROFILES
from agentnet.vocabulary import RATIO
from agentnet.worlds.wants import Ask, Chance, End, Voice, World


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
