"""agentnet: news cascades and other interactions among language-model agents on networks.

An experiment file subclasses `CascadeExperiment`, `ResponseRatioExperiment` or `InterviewExperiment`;
``agentnet run FILE`` plays it; `Run` reads what it recorded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentnet.events import Run as Run
    from agentnet.experiment import Experiment as Experiment
    from agentnet.families.cascade import CascadeExperiment as CascadeExperiment
    from agentnet.families.interviews import InterviewExperiment as InterviewExperiment
    from agentnet.families.ratios import ResponseRatioExperiment as ResponseRatioExperiment

__version__ = "0.1.0"

__all__ = [
    "CascadeExperiment",
    "Experiment",
    "InterviewExperiment",
    "ResponseRatioExperiment",
    "Run",
    "__version__",
]

_HOMES = {
    "CascadeExperiment": "agentnet.families.cascade",
    "Experiment": "agentnet.experiment",
    "InterviewExperiment": "agentnet.families.interviews",
    "ResponseRatioExperiment": "agentnet.families.ratios",
    "Run": "agentnet.events",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: a backend should not pay for what it does not need."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
