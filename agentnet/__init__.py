"""agentnet: news cascades and other interactions among language-model agents on networks.

An experiment file subclasses `CascadeExperiment`, `ResponseRatioExperiment` or `InterviewExperiment`;
``agentnet run FILE`` or `play` plays it; `Run` reads what it recorded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentnet.experiment import Experiment as Experiment
    from agentnet.families.cascade import CascadeExperiment as CascadeExperiment
    from agentnet.families.interviews import InterviewExperiment as InterviewExperiment
    from agentnet.families.ratios import ResponseRatioExperiment as ResponseRatioExperiment
    from agentnet.playing import aplay as aplay
    from agentnet.playing import play as play
    from agentnet.playing import sweep as sweep
    from agentnet.run import Run as Run

__version__ = "0.1.0"

__all__ = [
    "CascadeExperiment",
    "Experiment",
    "InterviewExperiment",
    "ResponseRatioExperiment",
    "Run",
    "__version__",
    "aplay",
    "play",
    "sweep",
]

_HOMES = {
    "CascadeExperiment": "agentnet.families.cascade",
    "Experiment": "agentnet.experiment",
    "InterviewExperiment": "agentnet.families.interviews",
    "ResponseRatioExperiment": "agentnet.families.ratios",
    "Run": "agentnet.run",
    "aplay": "agentnet.playing",
    "play": "agentnet.playing",
    "sweep": "agentnet.playing",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: a backend should not pay for what it does not need."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
