"""What an experiment file subclasses: the design of a run."""

from agentnet.experiment.base import Experiment
from agentnet.experiment.families import CascadeExperiment, ResponseRatioExperiment
from agentnet.experiment.load import Source

__all__ = ["CascadeExperiment", "Experiment", "ResponseRatioExperiment", "Source"]
