"""The news cascades of Tian et al. (2026): 10 news items x 5 repeats on 5-regular networks of 128 agents."""

from agentnet import CascadeExperiment


class NewsCascade(CascadeExperiment):
    """The paper's design, which is what `CascadeExperiment` defaults to, spelled out."""

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
