"""Families of experiments: what belongs to one kind of experiment and nobody else, a folder each."""

from agentnet.families.contract import FAMILIES, Cell, Estimate, Family, Planned, Scene, Sitting, Stage

__all__ = ["FAMILIES", "Cell", "Estimate", "Family", "Planned", "Scene", "Sitting", "Stage"]
