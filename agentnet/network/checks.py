"""Ranges of the generators' parameters, and the one way in which a generator gets its chance."""

from __future__ import annotations

import math
import operator

import numpy as np

from agentnet.errors import DesignError
from agentnet.streams import Streams

MAX_AGENTS = 2**31 - 1
"""Agents are numbered by int32."""

MAX_EDGES = 2**31
"""Above this a network would need more than 50 GB while it is made."""


def whole(name: str, value: object, *, least: int | None = None, most: int | None = None) -> int:
    """Return `value` as an int of [least, most].

    Raises:
        DesignError: It is no integer, or out of range; names the parameter.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # whatever has no index is refused below
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise DesignError(f"`{name}` must be a whole number, not {value!r}")
    if least is not None and number < least:
        raise DesignError(f"`{name}` must be at least {least}, not {number}")
    if most is not None and number > most:
        raise DesignError(f"`{name}` must be at most {most}, not {number}")
    return number


def agent_count(n_agents: object) -> int:
    """Return the number of agents as an int of [1, 2^31).

    Raises:
        DesignError: It is no such number.
    """
    return whole("n_agents", n_agents, least=1, most=MAX_AGENTS)


def share(name: str, value: object) -> float:
    """Return `value` as a float of [0, 1].

    Raises:
        DesignError: It is no number, or out of range; names the parameter.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise DesignError(f"`{name}` must be a number from 0 to 1, not {value!r}")
    number = float(value)
    if math.isnan(number) or not 0.0 <= number <= 1.0:
        raise DesignError(f"`{name}` must lie from 0 to 1, not {number}")
    return number


def edge_count(n_edges: float) -> None:
    """Refuse a network that no memory would hold.

    Raises:
        DesignError: It would have more than `MAX_EDGES` edges.
    """
    if n_edges > MAX_EDGES:
        raise DesignError(
            f"the network would have about {n_edges:.2g} edges, and {MAX_EDGES} are the most it may have; "
            f"take fewer agents or a sparser network"
        )


def generator(seed: object, kind: str) -> np.random.Generator:
    """Make the random generator of one network; generators of one seed but another kind are unrelated.

    Raises:
        DesignError: `seed` is no integer.
    """
    return Streams(whole("seed", seed)).generator("network", kind)
