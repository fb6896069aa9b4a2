"""Two voices in one network: who moves whom? (after arXiv:2502.21037).

``agentnet report RUN`` compares the shares of imitators, and

    agentnet fit RUN --condition 1 --law column_logistic --by voice=imitator --by n_shared

tells the two voices apart, and what each neighbour who shared adds.
"""

from collections.abc import Sequence

from agentnet import CascadeExperiment, Exposure
from agentnet.population import Population


class MixedModels(CascadeExperiment):
    """A share of the agents follows a rule: it shares what two of those whom it follows have shared.

    The others are answered for by the run's backend. For two models, give the second voice a backend instead:
    ``voices = {"model": {}, "other": {"name": "openai", "model": "gpt-4o"}}``.
    """

    items_per_severity = 2
    repeats = 3
    asking_rule = "always"
    rationale = "none"
    voices = {"model": {}, "imitator": "rule"}
    share: float = 0.3
    conditions = tuple({"share": share} for share in (0.0, 0.3, 0.6))

    def deal_voices(self, population: Population, seed: int) -> Sequence[str]:
        return population.deal({"imitator": self.share, "model": 1.0 - self.share}, seed)

    def rule(self, exposure: Exposure) -> bool:
        return exposure.n_engaged >= 2

    def context(self, exposure: Exposure) -> dict[str, str | int]:
        return {"voice": exposure.voice, "n_shared": exposure.n_engaged}
