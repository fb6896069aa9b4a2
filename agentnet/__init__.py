"""agentnet: news cascades and other interactions among language-model agents on networks.

An experiment file subclasses `CascadeExperiment`, `ResponseRatioExperiment` or `InterviewExperiment`;
``agentnet run FILE`` or `play` plays it; `Run` reads what it recorded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentnet.experiment import Experiment as Experiment
    from agentnet.exposure import Exposure as Exposure
    from agentnet.exposure import Message as Message
    from agentnet.exposure import Missing as Missing
    from agentnet.exposure import Reaction as Reaction
    from agentnet.families.cascade import CascadeExperiment as CascadeExperiment
    from agentnet.families.free import Setting as Setting
    from agentnet.families.free import WorldExperiment as WorldExperiment
    from agentnet.families.interviews import InterviewExperiment as InterviewExperiment
    from agentnet.families.ratios import ResponseRatioExperiment as ResponseRatioExperiment
    from agentnet.interventions import at_step as at_step
    from agentnet.interventions import remark as remark
    from agentnet.interventions import remove_agents as remove_agents
    from agentnet.playing import aplay as aplay
    from agentnet.playing import play as play
    from agentnet.playing import sweep as sweep
    from agentnet.run import Run as Run
    from agentnet.worlds.free import Ask as Ask
    from agentnet.worlds.free import Play as Play

__version__ = "0.1.0"

__all__ = [
    "Ask",
    "CascadeExperiment",
    "Experiment",
    "Exposure",
    "InterviewExperiment",
    "Message",
    "Missing",
    "Play",
    "Reaction",
    "ResponseRatioExperiment",
    "Run",
    "Setting",
    "WorldExperiment",
    "__version__",
    "aplay",
    "at_step",
    "play",
    "remark",
    "remove_agents",
    "sweep",
]

_HOMES = {
    "Ask": "agentnet.worlds.free",
    "CascadeExperiment": "agentnet.families.cascade",
    "Experiment": "agentnet.experiment",
    "Exposure": "agentnet.exposure",
    "InterviewExperiment": "agentnet.families.interviews",
    "Message": "agentnet.exposure",
    "Missing": "agentnet.exposure",
    "Play": "agentnet.worlds.free",
    "Reaction": "agentnet.exposure",
    "ResponseRatioExperiment": "agentnet.families.ratios",
    "Run": "agentnet.run",
    "Setting": "agentnet.families.free",
    "WorldExperiment": "agentnet.families.free",
    "aplay": "agentnet.playing",
    "at_step": "agentnet.interventions",
    "play": "agentnet.playing",
    "remark": "agentnet.interventions",
    "remove_agents": "agentnet.interventions",
    "sweep": "agentnet.playing",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: a backend should not pay for what it does not need."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
