"""The wrapper around any embedder: every text once, from the disk if it was embedded before."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np

from agentnet.embedder.contract import Embedder, Limits, Vectors
from agentnet.embedder.store import Vector, VectorStore, are_unit
from agentnet.errors import BackendError, InputError, PluginError, RequestRejected, TransientError
from agentnet.plugins import awaited, is_brought
from agentnet.stack.retry import Tries
from agentnet.stack.tokens import likely_tokens
from agentnet.streams import mix, unit

_SHOWN_CHARACTERS = 60
_SAME = 1e-2
"""How far components of one text's vector may be apart: servers' are not the same in every batch."""

T = TypeVar("T")
Call = Callable[[], Awaitable[Vectors]]
Again = Callable[[Call, TransientError, int], Awaitable[Vectors]]
"""What to do after a call failed for the first time: `Patience`, or as it does."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try a call again after a passing failure; for the waits see `agentnet.stack.retry.Tries`.

    Attributes:
        max_attempts: Attempts in all, the first one included, >= 1.
        max_wait_s: Longest wait, in seconds, unless the server asks for longer.
        give_up_after_s: No attempt begins later than this after the first failure, in seconds.
    """

    max_attempts: int = 6
    max_wait_s: float = 60.0
    give_up_after_s: float = 900.0

    async def __call__(self, call: Call, first: TransientError, seed: int) -> Vectors:
        """Try `call` again after its `first` failure; waits depend on `seed`."""
        numbers = count(1)
        tries = Tries(call, [first], lambda: unit(mix(seed, next(numbers))), *astuple(self))
        try:
            return await tries.to_the_end()
        except BackendError as error:
            earlier = [failure for failure in tries.failures if failure is not error]
            error.attempts, error.troubles = len(earlier) + 1, tuple(each.kind for each in earlier)
            raise


class CachedEmbedder:
    """Embeds any number of texts by the calls that `inner` allows.

    Duplicates are embedded once. What a folder remembers is not asked for; the rest goes out in batches
    within the limits of `inner`, at most `max_in_flight` at a time, each tried again after a
    `TransientError`. A rejected batch is halved until the text at fault stands alone. Each batch is
    remembered as soon as it came, so that a failure of a later one costs nothing twice.

    Args:
        inner: The embedder asked.
        folder: Where vectors are remembered; made if it is not there. None remembers nothing.
        max_in_flight: Calls at a time, >= 1.
        again: What happens after a call's first `TransientError`; None lets it end the whole.
        complain: Called with a sentence when remembered vectors are refused or new ones not remembered.

    Attributes:
        hits: Distinct texts that were remembered.
        misses: Distinct texts that `inner` was asked for.

    Raises:
        StorageError: The folder cannot be made or the file in it not opened.
    """

    def __init__(
        self,
        inner: Embedder,
        folder: Path | None = None,
        *,
        max_in_flight: int = 4,
        again: Again | None = Patience(),
        complain: Callable[[str], None] | None = None,
    ) -> None:
        self._inner = inner
        self._again = again
        self._gate = asyncio.Semaphore(max_in_flight)
        self._store = None
        if folder is not None:
            self._store = VectorStore(folder, inner.name, inner.dim, complain or (lambda _: None))
        self.hits = 0
        self.misses = 0
        self._is_trusted = not is_brought(inner)

    @property
    def name(self) -> str:
        """The name of the embedder asked."""
        return self._inner.name

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._inner.dim

    @property
    def limits(self) -> Limits:
        """No limits: batches are made here."""
        return Limits()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed `texts`.

        Args:
            texts: Any number of them, none blank.

        Returns:
            float32, shape ``(len(texts), dim)``, row i for text i, each row of length 1.

        Raises:
            InputError: A text is blank or no Unicode text: names its position.
            RequestRejected: A text can never be embedded: names its position.
            BackendError: The embedder failed for good.
            PluginError: What it gave are no such vectors, or another one for the first text when asked again
            (of embedders that are not agentnet's).
        """
        first = _first_positions(texts)
        found = {} if self._store is None else await self._store.find(first)
        missing = [text for text in first if text not in found]
        self.hits += len(found)
        self.misses += len(missing)
        runs = text_batches(missing, self._inner.limits)
        for vectors in await all_at_once([self._fetch([missing[i] for i in run], first) for run in runs]):
            found.update(vectors)
        made = np.empty((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            made[row] = found[text]
        return made

    async def aclose(self) -> None:
        """Close the file and the embedder."""
        try:
            if self._store is not None:
                await self._store.aclose()
        finally:
            await awaited(f"aclose of embedder {self.name!r}", self._inner.aclose)

    async def _fetch(self, texts: list[str], first: dict[str, int]) -> dict[str, Vector]:
        """Embed one batch and remember it; halve it if it is rejected."""
        try:
            vectors = await self._tried(texts)
        except RequestRejected as error:
            if len(texts) == 1:
                raise _at(first[texts[0]], texts[0], error) from error
        else:
            found = dict(zip(texts, vectors, strict=True))
            if self._store is not None:
                await self._store.keep(found)
            return found
        # One half after the other: if nothing can be embedded at all, that is found out by a few calls.
        half = len(texts) // 2
        return await self._fetch(texts[:half], first) | await self._fetch(texts[half:], first)

    async def _tried(self, texts: list[str]) -> Vectors:
        call = partial(self._call, texts)
        try:
            return await call()
        except TransientError as error:
            if self._again is None:
                raise
            seed = hashlib.blake2b(texts[0].encode(), digest_size=8).digest()
            return await self._again(call, error, int.from_bytes(seed, "little"))

    async def _call(self, texts: list[str]) -> Vectors:
        vectors = await self._checked(texts)
        if not self._is_trusted:
            # One text, once: the distances of vectors that hang on chance are those of nothing.
            self._is_trusted = True
            again = await self._checked(texts[:1])
            if not np.allclose(again, vectors[:1], atol=_SAME):
                raise PluginError(
                    f"embedder {self.name} gave one vector for {texts[0]!a:.60} and then another: it may "
                    "depend on text and options, but on no chance, clock or count of its own; mend it"
                )
        return vectors

    async def _checked(self, texts: list[str]) -> Vectors:
        async with self._gate:
            vectors = await awaited(f"embed of embedder {self.name!r}", self._inner.embed, [*texts])
        shape = (len(texts), self.dim)
        if not isinstance(vectors, np.ndarray) or vectors.shape != shape or vectors.dtype != np.float32:
            raise PluginError(
                f"embedder {self.name} gave {_what(vectors)} instead of float32 of shape {shape}; mend the "
                f"plug-in or its option for the dimension"
            )
        if not are_unit(vectors):
            raise PluginError(f"embedder {self.name} gave vectors that are not of length 1; mend the plug-in")
        return vectors


async def all_at_once(calls: Iterable[Awaitable[T]]) -> list[T]:
    """Await all of `calls` at once; the first failure ends the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _first_positions(texts: Sequence[str]) -> dict[str, int]:
    """Map each distinct text to where it stands first."""
    if isinstance(texts, str):
        raise InputError("give a list of texts, not one text", field="texts")
    first: dict[str, int] = {}
    for position, text in enumerate(texts):
        if isinstance(text, str) and text in first:
            continue
        if not isinstance(text, str) or not text.strip():
            raise InputError(
                f"text {position} (counted from 0) is {text!r}, which cannot be embedded; leave the row out",
                field="texts",
            )
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"text {position} (counted from 0) holds half a surrogate pair; mend it", field="texts"
            ) from None
        first[text] = position
    return first


def _at(position: int, text: str, error: RequestRejected) -> RequestRejected:
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
    named = RequestRejected(f"text {position} (counted from 0), {shown!r}: {error}", kind=error.kind)
    named.attempts, named.troubles = error.attempts, error.troubles
    return named


def _what(given: object) -> str:
    if isinstance(given, np.ndarray):
        return f"{given.dtype} of shape {given.shape}"
    return f"a {type(given).__name__}"


def text_batches(texts: Sequence[str], limits: Limits) -> Iterator[range]:
    """Cut `texts` into runs that each fit into one call.

    Runs are filled greedily in order. A text that alone exceeds the tokens of a call gets a run of its own:
    the guess may be wrong, and the plug-in knows better.

    Yields:
        Positions of one run, never empty; together all positions in order.
    """
    first, n_tokens = 0, 0
    for position, text in enumerate(texts):
        more = likely_tokens([text])
        is_full = limits.n_texts is not None and position - first >= limits.n_texts
        is_heavy = limits.n_tokens is not None and n_tokens + more > limits.n_tokens
        if position > first and (is_full or is_heavy):
            yield range(first, position)
            first, n_tokens = position, 0
        n_tokens += more
    if len(texts) > first:
        yield range(first, len(texts))
