"""Free worlds: experiments that write what happens as a generator of questions."""

from agentnet.families.free.experiment import WorldExperiment
from agentnet.families.free.family import FreeWorlds
from agentnet.families.free.setting import Setting

__all__ = ["FreeWorlds", "Setting", "WorldExperiment"]
