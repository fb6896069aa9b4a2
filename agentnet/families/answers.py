"""Answers as an experiment declared them: read from what was said, or spelled for a rule."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agentnet.errors import DesignError
from agentnet.events import Said
from agentnet.exposure import Missing
from agentnet.prompts.declared import Declared

RULE = "rule"
"""The voice of agents that a method answers for."""


def answer_of(declared: Declared, said: Said) -> Any:  # noqa: ANN401 - as declared
    """Give what was said as it was declared, or `Missing`."""
    if said.missing is not None:
        return Missing(said.missing)
    if said.value is not None:
        return declared.read(json.loads(said.value))
    return said.text if said.decision is None else bool(said.decision)


def spoken(declared: Declared, answer: object) -> str:
    """Spell an answer as an agent would that is held to the declaration.

    Raises:
        DesignError: It is not as declared.
    """
    if declared.form is bool and isinstance(answer, bool):
        return declared.answers[not answer]
    try:
        plain = TypeAdapter(declared.form).validate_python(answer)
    except ValidationError:
        raise DesignError(
            f"a rule answers {answer!r:.60}, which is none that {declared.form} allows"
        ) from None
    plain = TypeAdapter(declared.form).dump_python(plain, mode="json")
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
