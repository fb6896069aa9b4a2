"""Embedders: from texts to vectors. The contract, the look-up of plug-ins, and a wrapper around any.

A plug-in makes one call of what it is given. `CachedEmbedder` does the rest: duplicates, a persistent cache,
batches within the plug-in's limits, retries, a bound on the calls in flight.
"""

from __future__ import annotations

from agentnet.embedder.cached import CachedEmbedder, Patience
from agentnet.embedder.contract import (
    EMBEDDERS,
    Embedder,
    EmbedderPlugin,
    Limits,
    Vectors,
    installed_embedders,
    make_embedder,
    unit_rows,
)

__all__ = [
    "EMBEDDERS",
    "CachedEmbedder",
    "Embedder",
    "EmbedderPlugin",
    "Limits",
    "Patience",
    "Vectors",
    "installed_embedders",
    "make_embedder",
    "unit_rows",
]
