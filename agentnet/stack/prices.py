"""What models cost. A small table that a user can override; an unknown price is said, never guessed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

UNITS: Final = 10**18
"""Of which a US dollar is made where money is added up: whole numbers do not drift."""

_DATED: Final = re.compile(r"(?P<model>.+)-\d{4}-\d{2}-\d{2}")


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
        """Price a number of tokens, in US dollars."""
        a_prompt_token, a_completion_token = self.units
        return (prompt_tokens * a_prompt_token + completion_tokens * a_completion_token) / UNITS

    @property
    def units(self) -> tuple[int, int]:
        """`UNITS` for a token of the prompt, and for one of the completion."""
        return round(self.input * (UNITS / 1e6)), round(self.output * (UNITS / 1e6))


@dataclass(frozen=True, slots=True)
class Prices:
    """A price list by model name.

    Attributes:
        table: Model name -> price.
    """

    table: Mapping[str, Price]

    @classmethod
    def load(cls, overrides: Mapping[str, Price] | None = None) -> Prices:
        """Read the package's table, with the user's prices over it."""
        rows = tomllib.loads((files("agentnet.stack") / "prices.toml").read_text("utf-8"))["models"]
        table = {name: Price(row["input"], row["output"]) for name, row in rows.items()}
        return cls({**table, **(overrides or {})})

    def of(self, model_name: str) -> Price | None:
        """Look up a model; None if its price is unknown.

        A dated snapshot (``gpt-4o-mini-2024-07-18``) costs what its model costs, unless it is listed itself.
        """
        if model_name in self.table:
            return self.table[model_name]
        dated = _DATED.fullmatch(model_name)
        return None if dated is None else self.table.get(dated["model"])
