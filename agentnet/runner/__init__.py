"""Play an experiment: make its run folder, play all realizations, resume them, estimate them."""

from agentnet.runner.play import Runner, freeze, is_frozen
from agentnet.runner.prepare import Prepared, assemble, create, new_folder, prepare, reopen

__all__ = [
    "Prepared",
    "Runner",
    "assemble",
    "create",
    "freeze",
    "is_frozen",
    "new_folder",
    "prepare",
    "reopen",
]
