"""What an experiment file subclasses: the design of a run."""

from agentnet.experiment.base import Condition, Experiment, require
from agentnet.experiment.blame import blamed, blaming
from agentnet.experiment.body import check_attributes
from agentnet.experiment.given import held, source_of
from agentnet.experiment.hooks import Gives, ask, one, several, several_of
from agentnet.experiment.load import Source
from agentnet.experiment.news import NewsExperiment

__all__ = [
    "Condition",
    "Experiment",
    "Gives",
    "NewsExperiment",
    "Source",
    "ask",
    "blamed",
    "blaming",
    "check_attributes",
    "held",
    "one",
    "require",
    "several",
    "several_of",
    "source_of",
]
