"""Instructions with responses, from a user's own file: by them a base model learns to answer questions.

Which rows are taken is that of Helm et al. (2024), appendix A, of Databricks' Dolly 15k; any table with the
same columns will do.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from agentnet.errors import InputError, near_miss
from agentnet.news.table import Cells, FileTable, open_table

COLUMNS: Final = {
    "instruction": "instruction",
    "context": "context",
    "response": "response",
    "category": "category",
}
"""The column that each field is read from, unless the caller says otherwise."""

CATEGORIES: Final = ("brainstorming", "creative_writing", "general_qa", "open_qa")
"""The categories that the paper kept."""

CARD_NAME: Final = "agentnet.json"
"""What was prepared, and how: beside the model."""

LONGEST_RESPONSE: Final = 99
"""Characters of the longest response that the paper kept."""


class Instruction(NamedTuple):
    """An instruction and the response to be learnt."""

    text: str
    response: str


@dataclass(frozen=True, slots=True)
class Instructions:
    """What was taken of a file.

    Attributes:
        taken: The pairs, in the order of the file.
        left_out: Why others were not, and how many.
        sha256: Of the file, in hexadecimal.
    """

    taken: tuple[Instruction, ...]
    left_out: Mapping[str, int]
    sha256: str


class Tuning(NamedTuple):
    """How a base model is trained; by default as in the paper.

    Attributes:
        epochs: Passes over the pairs.
        lr: Adam's learning rate.
        batch: Pairs in one step of Adam.
        seed: Fixes the order of the pairs.
        checkpoint_every: Steps between two checkpoints.
    """

    epochs: int = 10
    lr: float = 5e-5
    batch: int = 8
    seed: int = 0
    checkpoint_every: int = 200


class Preparer(Protocol):
    """An update rule that can make a model of a base model that answers nothing."""

    def prepare(
        self,
        taught: Sequence[Instruction],
        tuning: Tuning,
        out: Path,
        facts: Mapping[str, object],
        tell: Callable[[int, int, float], None],
    ) -> Mapping[str, object]:
        """Train the model of the rule's options, and write it to a folder that the rule then takes.

        What was broken off goes on from its last checkpoint, and ends as if it had not been.

        Args:
            taught: What it learns.
            tuning: How.
            out: The folder, which appears when all is done.
            facts: What else to write down beside the model, of where `taught` is from.
            tell: Told after each step: steps done, steps in all, loss in nats per token.

        Returns:
            What was written down beside the model.

        Raises:
            BackendUnusable: The model cannot be loaded or trained.
            StorageError: Something cannot be written, or is of another preparation.
        """
        ...


def load_instructions(
    path: Path,
    *,
    columns: Mapping[str, str] = {},
    categories: Sequence[str] | None = CATEGORIES,
    longest: int = LONGEST_RESPONSE,
) -> Instructions:
    """Read what is to be learnt.

    Args:
        path: Delimited text or JSON Lines, with a column each for instruction, response and, if there are
            any, context and category.
        columns: The column of a field, where it has another name.
        categories: The categories that are taken; None for all. A file without categories is taken whole.
        longest: Characters of the longest response that is taken.

    Raises:
        InputError: The file cannot be read, lacks a column, a row that is taken has an empty cell, or no row
            is taken: names file, row and field.
        ConfigurationError: `columns` names an unknown field.
    """
    with open_table(path) as table:
        required = ("instruction", "response")
        chosen = table.settle(COLUMNS, columns, required=required, what="a file of instructions")
        return _taken(table, chosen, categories, longest)


def _taken(
    table: FileTable, columns: Mapping[str, str], categories: Sequence[str] | None, longest: int
) -> Instructions:
    path = table.path
    left_out, seen = Counter[str](), Counter[str]()
    wanted = None if categories is None or "category" not in columns else set(categories)

    def take(cells: Cells) -> Instruction | None:
        seen[cells.field("category")] += 1
        if why := _why_not(cells, wanted, longest):
            left_out[why] += 1
            return None
        return Instruction(cells.filled("instruction"), cells.filled("response"))

    # "None" may be the response to an instruction.
    taken = tuple(filter(None, table.each(columns, take, missing=())))
    for name in sorted((wanted or set()) - seen.keys()):
        raise InputError(f"has no row of category {name!r}{near_miss(name, seen, others=True)}", path=path)
    if not taken:
        rows = ", ".join(f"{count:,} {why}" for why, count in left_out.items()) or "it has no rows"
        raise InputError(f"no row of it is taken ({rows}); choose other categories or a bound", path=path)
    with path.open("rb") as file:
        return Instructions(taken, left_out, hashlib.file_digest(file, "sha256").hexdigest())


def _why_not(cells: Cells, categories: set[str] | None, longest: int) -> str:
    if categories is not None and cells.field("category") not in categories:
        return "of other categories"
    # The paper's form has no place for one, and its categories have none in Dolly.
    if cells.field("context"):
        return "with a context"
    return f"with a response of over {longest} characters" if len(cells.field("response")) > longest else ""
