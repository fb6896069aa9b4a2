"""Interacting models that interview each other (Helm et al. 2024): contract, questions, topologies.

At each step every model with candidates picks one of them, asks it some questions of a bank and is updated by
the answers. What a model is, and what an update does, is a plug-in (`UpdateRule`).
"""

from __future__ import annotations

from agentnet.interviews.bank import load_bank
from agentnet.interviews.contract import (
    BANK,
    UPDATES,
    Asked,
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
from agentnet.interviews.topology import (
    NAMED,
    Disruption,
    Fixed,
    Local,
    Reading,
    State,
    Topology,
    Vertices,
    Vulnerable,
    full,
    intra_class,
    nobody,
    parse_topology,
    try_topology,
)

__all__ = [
    "BANK",
    "NAMED",
    "UPDATES",
    "Asked",
    "Disruption",
    "Fixed",
    "Local",
    "Models",
    "Pair",
    "Prompt",
    "Question",
    "Reading",
    "State",
    "System",
    "Topology",
    "UpdatePlugin",
    "UpdateRule",
    "Vertices",
    "Vulnerable",
    "check_questions",
    "full",
    "installed_updates",
    "intra_class",
    "load_bank",
    "make_update_rule",
    "nobody",
    "parse_topology",
    "topics_of",
    "try_topology",
]
