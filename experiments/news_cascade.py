"""The news cascades of Tian et al. (2026): 10 news items x 5 repeats on 5-regular networks of 128 agents."""

from agentnet import CascadeExperiment


class NewsCascade(CascadeExperiment):
    """The paper's design, spelled out, but for the reason, which the paper asks for afterwards.

    Here it comes with the decision (``rationale = "inline"``), in one request instead of two; with
    ``-S rationale=afterwards`` it is asked for as in the paper.
    """

    items_per_severity = 5
    repeats = 5
    n_agents = 128
    network = "random_regular"
    degree = 5
    profiles = "equal"
    temperature = (0.7, 1.3)
    steps = 15
    asking_rule = "unengaged_neighbour"
    rationale = "inline"
