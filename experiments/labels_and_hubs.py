"""Warning labels and removed hubs on a follower network (after arXiv:2410.13909 and arXiv:2606.18264).

``agentnet report RUN`` compares what became of the news in the three conditions, and

    agentnet fit RUN --condition 1 --law column_logistic --by labelled

asks by how much a label lowers the chance of a yes.
"""

from pathlib import Path

from agentnet import CascadeExperiment, Exposure, at_step, remark, remove_agents

_HERE = Path(__file__).parent / "data"


class LabelsAndHubs(CascadeExperiment):
    """Who follows whom stands in a file, who they are in a table; some, drawn at random, begin.

    At step 2 comes nothing, or a label beside the news, or the ten with most followers are removed.
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
    initial_agents = {"share": 0.05}
    conditions = (
        {},
        {"interventions": (at_step(2, remark("Independent checkers rate this as misleading.")),)},
        {"interventions": (at_step(2, remove_agents(top=("n_hearers", 10))),)},
    )

    def context(self, exposure: Exposure) -> dict[str, bool]:
        return {"labelled": bool(exposure.remarks)}
