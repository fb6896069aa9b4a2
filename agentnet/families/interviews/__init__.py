"""Interacting models that interview each other (Helm et al. 2024)."""

from agentnet.families.interviews.experiment import InterviewExperiment
from agentnet.families.interviews.family import Interviewing

__all__ = ["InterviewExperiment", "Interviewing"]
