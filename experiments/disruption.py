"""Disrupted communication (Helm et al. 2024, case study 1): from one step on, models hear only their nearest.

The sizes are those of a trial on the stand-in; the paper, too, shows one repeat. The paper's sizes:
n_evaluation = 400, n_questions = 50, n_taught = 200, on a language model: --update finetune.
"""

from agentnet import InterviewExperiment
from agentnet.interviews import Disruption, Topology, full


class DisruptionStudy(InterviewExperiment):
    """25 models of one class; all hear each other throughout, or only until step `disrupted_at`.

    Attributes:
        disrupted_at: First step at which each model hears only its nearest neighbour in perspective space.
        disrupted: Whether that happens at all.
    """

    disrupted_at: int = 21
    disrupted: bool = True

    models = {"society": 25}
    n_evaluation = 24
    n_questions = 3
    n_taught = 12
    taught_from = "evaluation"
    steps = 50
    conditions = ({"disrupted": False}, {"disrupted": True})

    def make_topology(self) -> Topology:
        """Disrupt the full topology, or do not."""
        return Disruption(self.disrupted_at) if self.disrupted else full
