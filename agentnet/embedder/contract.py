"""What this program knows of embedders: the contract, and the look-up of plug-ins by entry point.

An embedder raises the same errors as a backend (`agentnet.errors.BackendError`): they say whether another try
can help.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agentnet.plugins import MadeOfOptions, Maker

Vectors = NDArray[np.float32]
"""Embeddings, one row a text, each of Euclidean length 1; shape ``(n_texts, dim)``."""


class Limits(NamedTuple):
    """How much one call of `Embedder.embed` takes; None where there is no bound.

    Attributes:
        n_texts: Texts a call, >= 1.
        n_tokens: Tokens of all texts of a call together, >= 1. Counting is the plug-in's: whoever makes
            batches can only guess, and has to bear a `RequestRejected`.
    """

    n_texts: int | None = None
    n_tokens: int | None = None


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors. Safe to call concurrently from one event loop."""

    @property
    def name(self) -> str:
        """Whatever decides the vectors: plug-in, model, revision, dimension. Part of the cache's key."""
        ...

    @property
    def dim(self) -> int:
        """Length of the vectors, >= 1."""
        ...

    @property
    def limits(self) -> Limits:
        """How much one call takes."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed `texts` by one call; never retries.

        Args:
            texts: At least one and within `limits`; none of them blank.

        Returns:
            float32, shape ``(len(texts), dim)``, row i for text i, each row of length 1.

        Raises:
            TransientError: Another try can help.
            RequestRejected: These texts can never be embedded together; fewer of them perhaps can.
            BackendUnusable: No text can be embedded.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections; afterwards `embed` is not called again."""
        ...


EmbedderPlugin = Maker[Embedder]
"""What an entry point of group ``agentnet.embedders`` leads to: usually the embedder's class."""

EMBEDDERS: Final[MadeOfOptions[Embedder]] = MadeOfOptions(
    "embedder", "agentnet.embedders", "agentnet.embedder.EmbedderPlugin", makes=Embedder
)
installed_embedders = EMBEDDERS.installed
make_embedder = EMBEDDERS.make


def unit_rows(vectors: NDArray[Any]) -> Vectors:
    """Scale each row to length 1.

    Args:
        vectors: Shape ``(n, dim)``; no row may be zero or not finite.

    Returns:
        float32, same shape. No square overflows or vanishes on the way.

    Raises:
        ValueError: A row has no direction.
    """
    exact = np.asarray(vectors, dtype=np.float64)
    largest = np.abs(exact).max(axis=1, keepdims=True)
    if not (np.isfinite(largest) & (largest > 0.0)).all():
        raise ValueError("a vector is zero or not finite")
    exact = exact / largest
    made: Vectors = (exact / np.linalg.norm(exact, axis=1, keepdims=True)).astype(np.float32)
    return made
