"""The models of an update rule, held to the contract: what they give passes for answers and measures."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agentnet.backend import Reply, check_reply
from agentnet.errors import PluginError
from agentnet.interviews import Asked, Models, Pair, Prompt, System, UpdateRule
from agentnet.plugins import awaited, is_of
from agentnet.prompts import conversation


async def held_models(rule: UpdateRule, system: System) -> HeldModels:
    """Have a rule make the models of a realization.

    Raises:
        PluginError: It makes none, or breaks off.
    """
    made = await awaited(f"begin of update rule {rule.name!r}", rule.begin, system)
    lacks = [name for name in ("answer", "update", "save", "restore", "aclose") if not hasattr(made, name)]
    if lacks:
        raise PluginError(
            f"begin of update rule {rule.name!r} gives {made!r:.60}, which has no {', '.join(lacks)}; it "
            "gives Models (agentnet.interviews)"
        )
    return HeldModels(rule.name, made)


class HeldModels:
    """Asks models, and refuses what is no answer and no measure; see `agentnet.interviews.Models`.

    Args:
        name: The update rule's name.
        models: Its models.
    """

    def __init__(self, name: str, models: Models) -> None:
        self.name = name
        self._models = models

    async def answer(self, model: int, step: int, asked: Sequence[Asked]) -> Sequence[Reply | Prompt]:
        """Let a model answer."""
        given = await self._awaited("answer", model, step, asked)
        if not isinstance(given, Collection) or len(given) != len(asked):
            n_given = f"{len(given)} answers" if isinstance(given, Collection) else f"{given!r:.60}"
            raise PluginError(
                f"the update rule {self.name!r} gave {n_given} to {len(asked)} questions; mend the plug-in"
            )
        return [self._answer(each) for each in given]

    async def update(
        self, model: int, step: int, pairs: Sequence[Pair], seed: int
    ) -> Mapping[str, float | int]:
        """Change a model; NumPy's numbers become Python's."""
        given = await self._awaited("update", model, step, pairs, seed)
        if not is_of(Mapping[str, float], given):
            raise PluginError(
                f"update of update rule {self.name!r} gives {given!r:.80}; it gives measures, such as "
                "{'loss': 1.2}, or {} for none"
            )
        unknown = [key for key, each in given.items() if not math.isfinite(each)]
        if unknown:
            raise PluginError(
                f"update of update rule {self.name!r} gives {unknown[0]} = {given[unknown[0]]} for model "
                f"{model} at step {step}; a measure is a finite number, and what is not known is left out"
            )
        return {key: each.item() if isinstance(each, np.generic) else each for key, each in given.items()}

    async def save(self, folder: Path) -> None:
        """Write all states."""
        await self._awaited("save", folder)

    async def restore(self, folder: Path) -> None:
        """Take all states back."""
        await self._awaited("restore", folder)

    async def aclose(self) -> None:
        """Give back memory."""
        await self._awaited("aclose")

    async def _awaited(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - a plug-in's
        return await awaited(
            f"{method} of update rule {self.name!r}", getattr(self._models, method), *arguments
        )

    def _answer(self, given: Any) -> Reply | Prompt:  # noqa: ANN401 - a plug-in's
        if not isinstance(given, Prompt):
            if not isinstance(given, Reply) or len(given.texts) != 1:
                raise PluginError(
                    f"the update rule {self.name!r} gave {given!r:.80} for an answer; it gives a Reply of "
                    "one text, or a Prompt"
                )
            check_reply(given, self, "update rule")
            return given
        messages = conversation(given.messages)
        if not (messages and isinstance(given.context, str)):
            raise PluginError(
                f"the update rule {self.name!r} gave {given!r:.120}; a Prompt has (role, content) pairs, "
                "such as (('user', 'Why?'),), and a text for its context"
            )
        return Prompt(messages, given.context)
