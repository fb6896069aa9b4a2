"""Vectors on disk, by embedder and text: what was embedded once is never paid for again.

A value is the vector's float32 numbers, little-endian: 4 * dim bytes. One thread does all the reading and
writing, so that a slow disk does not hold up the event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentnet.shelf import TROUBLE, Shelf

SCHEMA_VERSION: Final = 1
"""Part of every key: raised whenever keys or values get another meaning."""

UNIT_TOLERANCE: Final = 1e-3
"""Largest distance of a vector's length from 1; float32 alone explains less than 1e-5."""

_WAY_OUT: Final = "name another, or go without a cache"
_KEY_BYTES: Final = 24

T = TypeVar("T")
Vector = NDArray[np.float32]


class VectorStore:
    """The vectors of one embedder.

    Args:
        folder: Where they lie; made if it is not there, mode 0700 in any case.
        name: The embedder's name.
        dim: Length of its vectors.
        complain: Called in the event loop with a sentence when vectors cannot be read or written.

    Raises:
        StorageError: The folder cannot be made or the file in it not opened.
    """

    def __init__(self, folder: Path, name: str, dim: int, complain: Callable[[str], None]) -> None:
        self._folder = folder
        self._complain = complain
        self._dim = dim
        scope = repr((SCHEMA_VERSION, name, dim))
        self._scope = hashlib.blake2b(scope.encode(), digest_size=32).digest()
        self._shelf = Shelf(folder, way_out=_WAY_OUT)
        # A connection belongs to its thread: the next one is opened by the thread that works.
        self._shelf.close()
        self._troubles: deque[str] = deque()
        self._thread = ThreadPoolExecutor(1, "agentnet-vectors")

    async def find(self, texts: Iterable[str]) -> dict[str, Vector]:
        """Look up `texts`; those without a usable vector are missing."""
        keys = {self._key(text): text for text in texts}
        try:
            found = await self._on_disk(lambda: self._shelf.get_all(keys))
        except TROUBLE as error:
            self._complain(f"{self._shelf.unusable(error)}; all texts are embedded anew")
            return {}
        vectors = {keys[key]: self._read(value) for key, value in found.items()}
        n_bad = sum(vector is None for vector in vectors.values())
        if n_bad:
            self._complain(f"{self._folder}: {n_bad:,} vectors are refused, and their texts embedded anew")
        return {text: vector for text, vector in vectors.items() if vector is not None}

    async def keep(self, vectors: Mapping[str, Vector]) -> None:
        """Write vectors, in one transaction; they are written even if the caller is cancelled meanwhile."""
        rows = [(self._key(text), vector.astype("<f4").tobytes()) for text, vector in vectors.items()]
        await asyncio.shield(self._on_disk(lambda: self._write(rows)))
        self._pass_on_troubles()

    async def aclose(self) -> None:
        """Write what is left, and close the file."""
        await self._on_disk(self._shelf.close)
        self._thread.shutdown()
        self._pass_on_troubles()

    def _on_disk(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _write(self, rows: list[tuple[bytes, bytes]]) -> None:
        try:
            self._shelf.put_all(rows)
        except TROUBLE as error:
            self._troubles.append(f"{self._shelf.unusable(error)}; {len(rows):,} vectors are not remembered")

    def _pass_on_troubles(self) -> None:
        while self._troubles:
            self._complain(self._troubles.popleft())

    def _key(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES, key=self._scope).digest()

    def _read(self, value: object) -> Vector | None:
        if not isinstance(value, bytes) or len(value) != 4 * self._dim:
            return None
        vector = np.frombuffer(value, dtype="<f4").astype(np.float32)
        return vector if are_unit(vector[None]) else None


def are_unit(vectors: NDArray[np.float32]) -> bool:
    """Say whether every row has length 1; numbers that are not finite have no length."""
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.linalg.norm(vectors, axis=1)
    return bool((np.abs(length - 1.0) <= UNIT_TOLERANCE).all())
