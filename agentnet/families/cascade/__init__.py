"""News cascades on a network (Tian et al. 2026)."""

from agentnet.families.cascade.experiment import CascadeExperiment
from agentnet.families.cascade.family import Cascades

__all__ = ["CascadeExperiment", "Cascades"]
