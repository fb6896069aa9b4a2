"""agentnet: news cascades and other interactions among language-model agents on networks.

An experiment file subclasses `CascadeExperiment`, `ResponseRatioExperiment` or `InterviewExperiment`;
``agentnet run FILE`` or `play` plays it; `Run` reads what it recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentnet.later import later

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

# A backend should not pay for what it does not need.
_NAMES = {
    ".experiment": ("Experiment",),
    ".exposure": ("Exposure", "Message", "Missing", "Reaction"),
    ".families.cascade": ("CascadeExperiment",),
    ".families.free": ("Setting", "WorldExperiment"),
    ".families.interviews": ("InterviewExperiment",),
    ".families.ratios": ("ResponseRatioExperiment",),
    ".interventions": ("at_step", "remark", "remove_agents"),
    ".playing": ("aplay", "play", "sweep"),
    ".run": ("Run",),
    ".worlds.free": ("Ask", "Play"),
}
__getattr__, __dir__ = later(__name__, _NAMES)
