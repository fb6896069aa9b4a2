"""People among the agents: who they are, what they are asked, and the pages on which they answer."""

from agentnet.people.backend import HumanBackend
from agentnet.people.options import HumanOptions

__all__ = ["HumanBackend", "HumanOptions"]
