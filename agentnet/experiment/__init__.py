"""What an experiment file subclasses: the design of a run."""

from agentnet.experiment.base import Condition, Experiment
from agentnet.experiment.blame import blamed, blaming
from agentnet.experiment.body import check_attributes, own_methods
from agentnet.experiment.families import CascadeExperiment, ResponseRatioExperiment
from agentnet.experiment.hooks import ask, ask_profiles
from agentnet.experiment.interviews import InterviewExperiment
from agentnet.experiment.load import Source, check_family
from agentnet.experiment.news import NewsExperiment

__all__ = [
    "CascadeExperiment",
    "Condition",
    "Experiment",
    "InterviewExperiment",
    "NewsExperiment",
    "ResponseRatioExperiment",
    "Source",
    "ask",
    "ask_profiles",
    "blamed",
    "blaming",
    "check_attributes",
    "check_family",
    "own_methods",
]
