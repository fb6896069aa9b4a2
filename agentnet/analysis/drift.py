"""How far messages that are retold drift from the news: their distance to it after each hop.

The distance of two texts is 1 less the cosine of their vectors: 0 for equal ones, 1 for texts that have
nothing in common, as an embedder sees it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentnet.analysis.answers import MakeEmbedder, finished, own_embedder
from agentnet.analysis.contrasts import mean_interval, settled
from agentnet.analysis.fitting import checked_level
from agentnet.analysis.trees import MESSAGES, climbed, trees_of
from agentnet.embedder import CachedEmbedder, Embedder, make_embedder
from agentnet.events import Run

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """How far messages are from where they come from.

    Attributes:
        realization: Of each message that retells one, shape ``(n_messages,)``.
        message: Its number there, likewise.
        author: Who wrote it, likewise.
        hops: Retellings between the news and it, its own included, likewise.
        distance: To the news, in [0, 2], likewise; nan where one of the texts is blank.
        last: To the message that it retells, likewise.
        hop: 1, 2, ... up to the most hops, shape ``(n_hops,)``.
        value: Mean distance to the news after so many hops, over realizations, likewise.
        low: Lower end of its interval over realizations, between 0 and 2 (see
            `agentnet.analysis.contrasts.ends_of`); nan where fewer than two have a message.
        high: Upper end.
        embedder: What made the vectors.
    """

    realization: Ints
    message: Ints
    author: Ints
    hops: Ints
    distance: Array
    last: Array
    hop: Ints = field(repr=False)
    value: Array
    low: Array = field(repr=False)
    high: Array = field(repr=False)
    embedder: str

    def frame(self) -> pd.DataFrame:
        """Lay the messages out, a row each."""
        import pandas as pd

        names = ("realization", "message", "author", "hops", "distance", "last")
        return pd.DataFrame({name: getattr(self, name) for name in names})


def message_drift(
    run: Run | str | Path,
    embedder: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    condition: int | None = None,
    level: float = 0.95,
    make: MakeEmbedder | None = None,
) -> Drift:
    """Measure how far retold messages are from the news, in the finished realizations of a run.

    Args:
        run: The run, or its folder.
        embedder: Name of what makes vectors of texts: ``hash``, ``minilm``, ...; None: that of the run's
            settings.
        options: The embedder's.
        condition: Which of the run's conditions, counted from 0; None: all of them.
        level: Of the intervals, in (0, 1).
        make: Makes the embedder, from name and options; None for `agentnet.embedder.make_embedder`.

    Raises:
        RunFolderError: The log is damaged.
        UserError: The run has no messages, or they go in circles.
        PluginError: There is no such embedder.
        BackendError: The embedder failed.
    """
    checked_level(level)
    run = run if isinstance(run, Run) else Run(Path(run))
    forest = trees_of(run, MESSAGES, condition=condition)
    texts = {
        tuple(key): text for *key, text in run.rows("SELECT realization, message, text FROM messages")[1]
    }
    realization, message = (forest.columns[name] for name in ("realization", "node"))
    wanted = [texts[key] for key in zip(realization.tolist(), message.tolist(), strict=True)]
    name, chosen = own_embedder(run.meta)
    given = (embedder or name, dict(options or {}) if embedder else chosen)
    used_for = CachedEmbedder(make_embedder(*given, os.environ)) if make is None else make(*given)
    used, vectors = finished(_embedded(used_for, wanted))
    root, hops = climbed(forest.parent)
    told = np.flatnonzero(hops > 0)
    distance = _distances(vectors, told, root[told])
    hop, by_hop = _by_hop(realization[told], hops[told], distance)
    value, low, high = mean_interval(by_hop, level, (0.0, 2.0))
    return Drift(
        realization[told],
        message[told],
        forest.author[told],
        hops[told],
        distance,
        _distances(vectors, told, forest.parent[told]),
        hop,
        value,
        low,
        high,
        used,
    )


async def _embedded(embedder: Embedder, texts: list[str]) -> tuple[str, NDArray[np.float32]]:
    """Embed texts, nan for blank ones; shape ``(n_texts, dim)``."""
    vectors = np.full((len(texts), embedder.dim), np.nan, np.float32)
    said = [place for place, text in enumerate(texts) if text.strip()]
    try:
        if said:
            vectors[said] = await embedder.embed([texts[place] for place in said])
    finally:
        await embedder.aclose()
    return embedder.name, vectors


def _distances(vectors: NDArray[np.float32], one: Ints, other: Ints) -> Array:
    # Vectors of single precision are not quite of length 1, and equal texts no negative distance apart.
    left, right = (vectors[each].astype(np.float64) for each in (one, other))
    length = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.maximum(settled(1.0 - np.einsum("ij,ij->i", left, right) / length, 1.0), 0.0)


def _by_hop(realization: Ints, hops: Ints, distance: Array) -> tuple[Ints, Array]:
    """Average over the messages of each realization and hop; nan where there is none."""
    numbers, row = np.unique(realization, return_inverse=True)
    n_hops, known = int(hops.max(initial=0)), ~np.isnan(distance)
    place = (row * n_hops + hops - 1)[known]
    n, total = (np.bincount(place, each, numbers.size * n_hops) for each in (None, distance[known]))
    means = np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)
    return np.arange(1, n_hops + 1), means.reshape(numbers.size, n_hops)
