"""The agents of a cascade as they are written down, and whether a resumed realization has the same."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from agentnet.errors import RunFolderError
from agentnet.events import Run
from agentnet.families.contract import Planned, Sitting
from agentnet.network import Network


def agent_rows(
    planned: Planned,
    network: Network,
    bits: Sequence[str],
    personas: Sequence[str] = (),
    voices: Sequence[str] = (),
) -> list[tuple[object, ...]]:
    """List the rows of table ``agents``.

    Args:
        planned: The realization.
        network: Its network.
        bits: The profile of each agent; "" where it has none.
        personas: The text of each one's persona, if they have any.
        voices: Who answers for each, if not the run's backend for all.
    """
    number, count = planned.realization, range(network.n_agents)
    columns = (bits, repeat(None), _attribute_rows(network), personas or repeat(None), voices or repeat(None))
    return [(number, agent, *row) for agent, *row in zip(count, *columns, strict=False)]


def check_begun(
    sitting: Sitting, planned: Planned, network: Network, rows: Sequence[tuple[object, ...]]
) -> None:
    """Make sure that a realization that was begun before has the network and the agents it began with.

    Raises:
        RunFolderError: It has not.
    """
    number = planned.realization
    if sitting.networks[number] != network.digest:
        raise RunFolderError(
            f"{sitting.folder}: realization {number} was begun on another network than the experiment makes "
            "now; its network file or a library changed: go on with what it began with"
        )
    query = "SELECT profile, persona, voice FROM agents WHERE realization = ? ORDER BY agent"
    if Run(sitting.folder).rows(query, (number,))[1] != [(row[2], *row[5:]) for row in rows]:
        raise RunFolderError(
            f"{sitting.folder}: realization {number} was begun with other profiles than the experiment deals "
            "now; its node table or a library changed: go on with what it began with"
        )


def _attribute_rows(network: Network) -> Iterator[str | None]:
    """Spell what is known of each agent as JSON: a row of the node table, attributes of a graph's node."""
    if not network.node_attributes:
        yield from repeat(None, network.n_agents)
    names = list(network.node_attributes)
    for values in zip(*network.node_attributes.values(), strict=True):
        known = dict(zip(names, map(plain_attribute, values), strict=True))
        yield json.dumps(known, ensure_ascii=False, allow_nan=False)


def plain_attribute(value: object) -> Any:  # noqa: ANN401 - str, int, float or None
    """Spell a value as JSON can: a number that is none is missing, an object is its text."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float) and not math.isinf(value):
        return None if math.isnan(value) else value
    return str(value)
