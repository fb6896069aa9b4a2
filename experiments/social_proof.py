"""Does a second neighbour who shares count as much as the first? (after Peng et al., arXiv:2603.20911).

    agentnet fit RUN --condition 0 --law hill --by n_shared

asks how the probability of a yes grows with the number that was shown, and holds the curve against one
probability whatever the number: the independent tries of the SI laws. ``agentnet report RUN`` compares the
two conditions.
"""

from agentnet import CascadeExperiment, Exposure


class SocialProof(CascadeExperiment):
    """The prompt says how many of those whom the agent follows have shared the news, or says nothing of it.

    Both conditions have the same networks, profiles, first agents and random numbers.
    """

    rationale = "none"
    items_per_severity = 2
    repeats = 3
    shown: bool = True
    conditions = ({"shown": True}, {"shown": False})

    def context(self, exposure: Exposure) -> dict[str, int]:
        if not self.shown:
            return {}
        return {"n_shared": exposure.n_engaged, "n_followed": exposure.n_neighbours}

    def remark(self, context: dict[str, int]) -> str:
        if not context:
            return ""
        return "{n_shared} of the {n_followed} people whom you follow have shared it.".format(**context)
