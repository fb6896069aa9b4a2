"""Families of experiments: what belongs to one kind of experiment and nobody else, in one place each."""

from agentnet.families.contract import FAMILIES, Cell, Estimate, Family, Planned, Scene, Sitting, Stage
from agentnet.families.lookup import family_of, family_of_experiment
from agentnet.families.news import NewsFamily, NewsSetting, NewsStage

USUAL = "cascade"
"""The family of who names none."""

__all__ = [
    "FAMILIES",
    "USUAL",
    "Cell",
    "Estimate",
    "Family",
    "NewsFamily",
    "NewsSetting",
    "NewsStage",
    "Planned",
    "Scene",
    "Sitting",
    "Stage",
    "family_of",
    "family_of_experiment",
]
