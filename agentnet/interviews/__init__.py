"""Interacting models that interview each other (Helm et al. 2024): contract, questions, topologies, engine.

At each step every model with candidates picks one of them, asks it some questions of a bank and is updated by
the answers. What a model is, and what an update does, is a plug-in (`UpdateRule`).
"""

from __future__ import annotations

from agentnet.interviews.contract import (
    BANK,
    UPDATES,
    Asked,
    InstalledUpdate,
    Models,
    Pair,
    Prompt,
    System,
    UpdatePlugin,
    UpdateRule,
    installed_updates,
    make_update_rule,
)
from agentnet.interviews.questions import Question, check_questions, topics_of

__all__ = [
    "BANK",
    "UPDATES",
    "Asked",
    "InstalledUpdate",
    "Models",
    "Pair",
    "Prompt",
    "Question",
    "System",
    "UpdatePlugin",
    "UpdateRule",
    "check_questions",
    "installed_updates",
    "make_update_rule",
    "topics_of",
]
