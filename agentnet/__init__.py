"""agentnet: news cascades and other interactions among language-model agents on networks."""

__version__ = "0.1.0"
