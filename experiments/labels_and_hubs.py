"""Warning labels and removed hubs on a follower network (after arXiv:2410.13909 and arXiv:2606.18264)."""

from pathlib import Path

from agentnet import CascadeExperiment, at_step, remark, remove_agents

_HERE = Path(__file__).parent / "data"


class LabelsAndHubs(CascadeExperiment):
    """Who follows whom stands in a file, who they are in a table; news starts at those with most followers.

    At step 2 comes nothing, or a label beside the news, or the five who are heard by most are removed.
    """

    network = _HERE / "followers.csv"
    network_options = {"heard": "source"}
    node_table = _HERE / "people.csv"
    personas = "column:bio"
    items_per_severity = 2
    repeats = 3
    steps = 8
    asking_rule = "once_per_edge"
    rationale = "none"
    initial_agents = {"top": ("n_hearers", 3)}
    conditions = (
        {},
        {"interventions": (at_step(2, remark("Independent checkers rate this as misleading.")),)},
        {"interventions": (at_step(2, remove_agents(top=("n_hearers", 5))),)},
    )
