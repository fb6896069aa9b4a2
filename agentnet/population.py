"""Who the agents are: personas beyond the 32 profiles, and how voices and roles are dealt to them.

A design names what it chooses from: ``"column:bio"`` of the node table, a file of texts, a list of them.
Everything here is a function of its arguments and a seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agentnet.delimited import open_bytes, text_lines
from agentnet.errors import DesignError, near_miss
from agentnet.news.table import open_table
from agentnet.streams import Streams

_COLUMN = "column:"
_TEXT_COLUMNS = ("persona", "text")


@dataclass(frozen=True, slots=True)
class Population:
    """The agents of one realization.

    Attributes:
        n_agents: How many there are.
        personas: Who each is told to be, a text each; empty where profiles say it.
        attributes: What is known of them: name -> a value for each.
    """

    n_agents: int
    personas: Sequence[str] = ()
    attributes: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.n_agents

    def attributes_of(self, agent: int) -> dict[str, Any]:
        """Give what is known of one agent."""
        return {name: values[agent] for name, values in self.attributes.items()}

    def deal(self, shares: Mapping[str, float], seed: int) -> tuple[str, ...]:
        """Deal names to the agents in the given shares, as evenly as whole numbers can (largest remainder).

        More of a name at the same seed adds to those who had it: conditions of other shares can be compared.

        Args:
            shares: Name -> share of the agents, >= 0; they sum to 1.
            seed: Fixes who gets what.

        Returns:
            A name for each agent.

        Raises:
            DesignError: The shares are none, or do not sum to 1.
        """
        return deal(shares, self.n_agents, seed)


def deal(shares: Mapping[str, float], n_agents: int, seed: int) -> tuple[str, ...]:
    """Deal names to `n_agents` agents; see `Population.deal`.

    Examples:
        >>> sorted(deal({"a": 0.25, "b": 0.75}, 4, seed=1))
        ['a', 'b', 'b', 'b']
    """
    exact = np.array([_share(name, share) for name, share in shares.items()]) * n_agents
    if not len(exact) or abs(exact.sum() - n_agents) > 1e-6 * max(n_agents, 1):
        raise DesignError(f"the shares {dict(shares)} sum to {sum(shares.values()):g}; they sum to 1")
    counts = np.floor(exact + 1e-9).astype(int)
    behind = np.argsort(-(exact - counts), kind="stable")[: n_agents - counts.sum()]
    counts[behind] += 1
    order = np.argsort(Streams(seed).words("deal", count=n_agents), kind="stable")
    dealt = np.empty(n_agents, dtype=object)
    dealt[order] = np.repeat(np.array(list(shares), dtype=object), counts)
    return tuple(dealt)


def _share(name: str, share: object) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
        raise DesignError(f"the share of {name!r} is {share!r}; it is a number from 0 to 1")
    return float(share)


def personas_of(
    design: object, n_agents: int, attributes: Mapping[str, Sequence[Any]], seed: int
) -> tuple[str, ...]:
    """Say who each agent is told to be.

    Args:
        design: ``"column:NAME"`` of the node table; a file (``.txt``: a persona each line; else a table, as
            of news, with the column ``persona`` or ``text``, or the one named after a colon:
            ``people.csv:bio``); or a sequence of texts. If there are as many as agents, each agent has its
            own, in order; of fewer, every one is dealt equally often, give or take one.
        n_agents: How many agents there are.
        attributes: The node table.
        seed: Fixes the dealing.

    Raises:
        DesignError: It is none of these, or gives more personas than agents.
        InputError: The file cannot be read, lacks the column, or a persona is blank: names file and row.
    """
    texts = _texts(design, attributes)
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise DesignError(f"persona {number} is {text!r}; a persona is a text that is not blank")
    if not 1 <= len(texts) <= n_agents:
        raise DesignError(f"there are {len(texts)} personas for {n_agents} agents; give 1 to {n_agents}")
    if len(texts) == n_agents:
        return tuple(texts)
    order = np.argsort(Streams(seed).words("personas", count=n_agents), kind="stable")
    return tuple(texts[place % len(texts)] for place in np.argsort(order, kind="stable").tolist())


def _texts(design: object, attributes: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
    if isinstance(design, str) and design.startswith(_COLUMN):
        name = design.removeprefix(_COLUMN)
        if name not in attributes:
            known = near_miss(name, map(str, attributes)) if attributes else "; give a node_table"
            raise DesignError(f"personas come from column {name!r}, which the node table lacks{known}")
        return list(attributes[name])
    if isinstance(design, str | Path):
        return list(_read(str(design)))
    if isinstance(design, Sequence):
        return design
    raise DesignError(
        f"personas are {design!r:.80}; give 'column:NAME' of the node table, a file, or a sequence of texts"
    )


def _read(design: str) -> Iterator[str]:
    name, _, column = design.partition(":")
    path = Path(name)
    if path.suffix == ".txt":
        with open_bytes(path) as file:
            yield from filter(None, map(str.strip, text_lines(path, file)))
        return
    with open_table(path) as table:
        usual = next((each for each in _TEXT_COLUMNS if each in table.columns), _TEXT_COLUMNS[0])
        wanted = column.strip().lower() or usual
        table.check([wanted], {wanted: f"; name the column of the personas as {path}:COLUMN"})
        yield from table.each({"persona": wanted}, lambda cells: cells.filled("persona"))
