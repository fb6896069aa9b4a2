"""Asked after a run: would who reads a prompt guess what the run is for?

Zhou et al. (2509.18052) showed models the instructions of published simulations, and of 53.1% they guessed
the experiment: principle *unawareness*. `agentnet guess` asks the same of a run's own prompts, by an
experiment (`agentnet.guesses.experiment`) whose log lies in the run's folder, and `read_guesses` counts.
Everyday requests are asked about beside: a model that calls everything a study tells nothing.
"""

from agentnet.guesses.log import (
    FOLDER,
    Guesses,
    Share,
    TextGuess,
    read_guesses,
    read_hypothesis,
    some_prompts,
)

__all__ = ["FOLDER", "Guesses", "Share", "TextGuess", "read_guesses", "read_hypothesis", "some_prompts"]
