"""Names and attributes of agents: which node is which agent, and what fits a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from agentnet.errors import DesignError

Attributes = Mapping[str, tuple[Any, ...]]


def number_names(names: Sequence[str]) -> tuple[Sequence[int], tuple[str, ...] | None]:
    """Decide which node is which agent.

    Args:
        names: The nodes' names, in an order that does not depend on hashes.

    Returns:
        The position in `names` of each agent, and the agents' labels. Names that are exactly 0..n-1 number
        the agents themselves (labels None); else agents stand as given.

    Raises:
        DesignError: Two nodes have the same name.
    """
    position = {name: place for place, name in enumerate(names)}
    if len(position) < len(names):
        double = next(name for place, name in enumerate(names) if position[name] != place)
        raise DesignError(f"two nodes are both named {double!r} as text; rename one of them")
    numbers = [str(agent) for agent in range(len(names))]
    if all(number in position for number in numbers):
        return [position[number] for number in numbers], None
    return range(len(names)), tuple(names)


def checked_labels(labels: tuple[str, ...], n_agents: int) -> tuple[str, ...]:
    """Refuse labels that are no text, too few, or there twice."""
    odd = next((label for label in labels if not isinstance(label, str)), None)
    if odd is not None:
        raise DesignError(f"labels must be text, not {odd!r}; use str()")
    different = len(set(labels))
    if len(labels) != n_agents or different != n_agents:
        raise DesignError(
            f"{n_agents} agents need as many different labels; here are {len(labels)}, {different} different"
        )
    return labels


def checked_attributes(attributes: Mapping[str, Iterable[Any]], n_agents: int) -> Attributes:
    """Make attributes read-only; refuse one without a name or with another number of values."""
    columns = {key: tuple(values) for key, values in attributes.items()}
    for key, values in columns.items():
        if not isinstance(key, str):
            raise DesignError(f"node attributes must be named by text, not {key!r}; rename it")
        if len(values) != n_agents:
            raise DesignError(f"node attribute {key!r} has {len(values)} values for {n_agents} agents")
    return MappingProxyType(columns)


def node_columns(data: Sequence[Mapping[Any, Any]]) -> dict[str, tuple[Any, ...]]:
    """Turn the attributes of each node into columns, with None where a node lacks one."""
    # A dict, not a set: the order of attributes is that of first appearance, whatever the hash seed.
    names = dict.fromkeys(name for node in data for name in node)
    return {name: tuple(node.get(name) for node in data) for name in names}
