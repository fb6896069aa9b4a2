"""Worlds: one realization each, as a generator that yields what it wants and is sent what came.

    def play(self) -> World:
        while self.step < self.steps:
            decisions = yield self.ask()    # an `Ask`: equally long sequences of draws
            self.take(decisions)            # the only place where state changes
            yield Write({"steps": [...]})
        return End("finished", self.step)

A world is pure: what it yields depends on its arguments, its chance and what it was sent, on nothing else: no
await, no clock, no files (after SimPy, whose processes are generators). A run that is resumed sends recorded
answers into a fresh generator, which then stands where it stood.
"""

from agentnet.streams import Chance, Temperature, draw_parameters
from agentnet.worlds.wants import (
    Arrived,
    Ask,
    Begin,
    Decided,
    Decisions,
    End,
    Note,
    Recall,
    Voice,
    World,
    Write,
    any_text,
)

__all__ = [
    "Arrived",
    "Ask",
    "Begin",
    "Chance",
    "Decided",
    "Decisions",
    "End",
    "Note",
    "Recall",
    "Temperature",
    "Voice",
    "World",
    "Write",
    "any_text",
    "draw_parameters",
]
