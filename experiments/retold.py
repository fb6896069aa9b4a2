"""News is retold, not forwarded (after Maurya et al. 2025, arXiv:2511.10384, and arXiv:2407.04503).

``agentnet.analysis.message_drift("RUN")`` tells how far the retellings are from the news after one, two, ...
hops, and ``agentnet.analysis.trees_of("RUN", "messages")`` the trees that they make.
"""

from pydantic import BaseModel, Field

from agentnet import CascadeExperiment


class Retelling(BaseModel):
    """What an agent answers."""

    share: bool
    text: str = Field(max_length=400, description="the news in your own words, as you pass it on")


class Retold(CascadeExperiment):
    """Who shares the news writes it anew, and its neighbours hear that; each tie carries it once."""

    items_per_severity = 2
    repeats = 2
    answer = Retelling
    decides = "share"
    passes_on = "text"
    asking_rule = "once_per_edge"
