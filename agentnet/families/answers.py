"""Answers as an experiment declared them, read from what was said."""

from __future__ import annotations

from typing import Any

from agentnet.events import Said
from agentnet.exposure import Missing
from agentnet.prompts.declared import Declared


def answer_of(declared: Declared, said: Said) -> Any:  # noqa: ANN401 - as declared
    """Give what was said as it was declared, or `Missing`."""
    if said.missing is not None:
        return Missing(said.missing)
    if said.value is not None:
        return declared.read_json(said.value)
    return said.text if said.decision is None else bool(said.decision)
