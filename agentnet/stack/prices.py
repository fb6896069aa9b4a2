"""What models cost. A small table that a user can override; an unknown price is said, never guessed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from agentnet.config import PriceSettings


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens.

    Attributes:
        input: Of the prompt.
        output: Of the completion.
    """

    input: float
    output: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Price one reply, in US dollars."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Prices:
    """A price list by model name.

    Attributes:
        table: Model name -> price.
    """

    table: Mapping[str, Price]

    @classmethod
    def load(cls, overrides: Mapping[str, PriceSettings] | None = None) -> Prices:
        """Read the package's table, with the user's prices over it."""
        text = (files("agentnet.stack") / "prices.toml").read_text("utf-8")
        table = {
            name: Price(row["input"], row["output"]) for name, row in tomllib.loads(text)["models"].items()
        }
        return cls(table | {name: Price(row.input, row.output) for name, row in (overrides or {}).items()})

    def of(self, model_name: str) -> Price | None:
        """Look up a model, by its name or by the longest known name it begins with; None if unknown.

        A dated snapshot (``gpt-4o-mini-2024-07-18``) costs what its model costs unless it is listed itself.
        """
        if model_name in self.table:
            return self.table[model_name]
        known = [
            name
            for name in self.table
            if model_name.startswith(f"{name}-") and model_name[len(name) + 1 :][:1].isdigit()
        ]
        return self.table[max(known, key=len)] if known else None
