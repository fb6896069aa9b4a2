"""Who is asked about whose message at a step: the exposures of a cascade, and the asking rules.

The asking rule decides the plateau of a cascade, so every run names and records it:

- ``always``: an exposed agent is asked about every engaged neighbour, at every step;
- ``unengaged_neighbour``: the same, while the agent has an unengaged neighbour left;
- ``unexposed_neighbour``: the same, while it has a neighbour that is neither engaged nor exposed;
- ``once_per_edge``: every engaged neighbour's message counts once, for ever, also if its answer is missing.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.network import Network

AskingRule = Literal["always", "unengaged_neighbour", "unexposed_neighbour", "once_per_edge"]
Ints = NDArray[np.integer[Any]]

NEVER = -1
"""The engaged step of an agent that is not engaged."""


class Exposures(NamedTuple):
    """The exposures of one step that are asked.

    Attributes:
        slots: Positions in the network's `indices`, ascending; shape ``(n_exposures,)``.
        n_exposed: Unengaged agents with an engaged neighbour, asked or not.
    """

    slots: Ints
    n_exposed: int


def exposures(network: Network, listener: Ints, engaged_step: Ints, step: int, rule: AskingRule) -> Exposures:
    """Find who is asked about whose message at `step`.

    Args:
        network: Who hears whom.
        listener: The agent of each slot of ``network.indices``, shape ``(2 n_edges,)``.
        engaged_step: Step at which each agent engaged, `NEVER` for the unengaged, shape ``(n_agents,)``.
        step: The step to be played, >= 1.
        rule: The asking rule.

    Complexity: O(n_edges).
    """
    engaged = engaged_step != NEVER
    source_engaged = engaged[network.indices]
    exposed_slot = source_engaged & ~engaged[listener]
    exposed = np.zeros(network.n_agents, dtype=bool)
    exposed[listener[exposed_slot]] = True
    asked = exposed_slot
    if rule == "once_per_edge":
        asked = exposed_slot & (engaged_step[network.indices] == step - 1)
    elif rule != "always":
        fresh = ~engaged if rule == "unengaged_neighbour" else ~(engaged | exposed)
        has_fresh = np.zeros(network.n_agents, dtype=bool)
        has_fresh[listener[fresh[network.indices]]] = True
        asked = exposed_slot & has_fresh[listener]
    return Exposures(np.flatnonzero(asked), int(exposed.sum()))


def listeners(network: Network) -> Ints:
    """Name the agent of each slot of ``network.indices``, shape ``(2 n_edges,)``."""
    agents: Ints = np.repeat(np.arange(network.n_agents, dtype=np.int32), np.diff(network.indptr))
    return agents
