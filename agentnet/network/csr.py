"""Compressed sparse rows, made by one sort of integers.

An arc of a network of N agents is one 64-bit key: who hears in the upper half, who is heard in the lowest
`key_bits(N)` bits. Sorting keys orders the rows and the agents within each row at once, and
NumPy sorts 64-bit integers ten times faster than it gathers or scatters them at random places.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.network.edge_values import LAYER, Columns

Integers = NDArray[np.integer[Any]]
Keys = NDArray[np.uint64]
Indptr = NDArray[np.int64]
Agents = NDArray[np.int32]


def key_bits(n_agents: int) -> int:
    """Count the bits that hold any agent of 0..n_agents-1; at least 1."""
    return max(1, (n_agents - 1).bit_length())


def pack(upper: Integers, lower: Integers, n_agents: int) -> Keys:
    """Put two agents into one key each; same shape, sorted like the pairs (upper, lower)."""
    keys = upper.astype(np.uint64)
    keys <<= np.uint64(key_bits(n_agents))
    keys |= lower.astype(np.uint64)
    return keys


def lower_half(keys: Keys, n_agents: int) -> Agents:
    """Take the second agent of each key; same shape."""
    mask = np.uint64((1 << key_bits(n_agents)) - 1)
    return (keys & mask).astype(np.int32)


def upper_half(keys: Keys, n_agents: int) -> Agents:
    """Take the first agent of each key; same shape."""
    return (keys >> np.uint64(key_bits(n_agents))).astype(np.int32)


def pack_edges(u: Integers, v: Integers, n_agents: int) -> Keys:
    """Make one key for each edge, whichever of its ends comes first; same shape, unsorted."""
    return pack(np.minimum(u, v), np.maximum(u, v), n_agents)


def sorted_arcs(u: Integers, v: Integers, n_agents: int) -> Keys:
    """Make the arcs of both directions of each edge.

    Args:
        u: One end of each edge, shape ``(n_edges,)``.
        v: The other end, same shape.
        n_agents: Number of agents.

    Returns:
        Sorted keys, shape ``(2 * n_edges,)``. An edge given twice stands twice; a loop gives two equal keys.
    """
    keys = np.concatenate((pack(u, v, n_agents), pack(v, u, n_agents)))
    keys.sort()
    return keys


def arcs_with(
    u: Integers, v: Integers, n_agents: int, *, is_directed: bool, columns: Columns
) -> tuple[Keys, dict[str, NDArray[Any]]]:
    """Make the arcs of edges with their attributes: (heard, hears) if directed, else both directions of each.

    Args:
        u: Who is heard, or one end of each edge, shape ``(n_edges,)``.
        v: Who hears, or the other end, same shape.
        n_agents: Number of agents.
        is_directed: Whether the edges are.
        columns: Attributes of the edges, each of shape ``(n_edges,)``.

    Returns:
        Sorted keys, those of equal ends by layer, and the attribute of each.
    """
    heard = pack(v, u, n_agents)
    keys = heard if is_directed else np.concatenate((heard, pack(u, v, n_agents)))
    if not columns:
        keys.sort()
        return keys, {}
    of_arcs = {
        name: values if is_directed else np.concatenate((values, values)) for name, values in columns.items()
    }
    order = np.lexsort((of_arcs[LAYER], keys)) if LAYER in of_arcs else np.argsort(keys, kind="stable")
    return keys[order], {name: values[order] for name, values in of_arcs.items()}


def is_repeated(keys: Keys, columns: Columns) -> NDArray[np.bool_]:
    """Say of each sorted key whether the one before joins the same agents, in one layer if there are any."""
    again = np.zeros(len(keys), dtype=bool)
    again[1:] = keys[1:] == keys[:-1]
    if LAYER in columns:
        again[1:] &= columns[LAYER][1:] == columns[LAYER][:-1]
    return again


def repeated(keys: Keys) -> Keys:
    """List the surplus copies in sorted `keys`: a key that stands c times comes c - 1 times."""
    later: Keys = keys[1:]
    surplus: Keys = later[later == keys[:-1]]
    return surplus


def rows(arcs: Keys, n_agents: int) -> tuple[Indptr, Agents]:
    """Split sorted arcs into rows.

    Returns:
        ``indptr``, shape ``(n_agents + 1,)``, and ``indices``, shape ``(n_arcs,)``.
    """
    indptr = np.zeros(n_agents + 1, dtype=np.int64)
    np.cumsum(np.bincount(upper_half(arcs, n_agents), minlength=n_agents), out=indptr[1:])
    return indptr, lower_half(arcs, n_agents)
