"""Embedder ``hash``: feature hashing of word n-grams (Weinberger et al. 2009, ICML), needing nothing.

It knows nothing of meaning: texts lie close if they share words. The same text has the same vector on every
machine, for ever:

    words      the runs of letters, digits and underscores of the text, after NFKC and case folding
    features   all runs of 1 to `n_gram` consecutive words, joined by a blank
    h(f)       BLAKE2b of f in UTF-8, 8 bytes, read as a little-endian integer
    v          sum over the distinct features f, which stand c(f) times in the text, of
               (1 + ln c(f)) * s(f) * e_b(f),   b(f) = h(f) mod dim,   s(f) = +1 if h(f) >= 2^63 else -1

scaled to length 1. A text without words, or one whose features happen to cancel out, is one feature as a
whole.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentnet.embedder import Limits, Vectors, unit_rows
from agentnet_backends.options import MadeOfOptions, PluginOptions

_WORD: Final = re.compile(r"\w+")
_REVISION: Final = 1
_TEXTS_A_CALL: Final = 256


class HashOptions(PluginOptions):
    """The options of embedder ``hash``.

    Attributes:
        dim: Length of the vectors; the shorter, the more features share a place.
        n_gram: Words of the longest feature.
    """

    table: ClassVar[str] = "embedder"
    plugin: ClassVar[str] = "the embedder 'hash'"

    dim: Annotated[int, Field(ge=2, le=65_536)] = 512
    n_gram: Annotated[int, Field(ge=1, le=5)] = 2


class HashEmbedder(MadeOfOptions[HashOptions]):
    """Embeds texts by hashing their words."""

    about = "feature hashing of word n-grams: deterministic, knows no meaning"
    takes = HashOptions

    def __init__(self, options: HashOptions) -> None:
        super().__init__(options)
        self.dim = options.dim
        self.name = f"hash:{options.n_gram}-gram@{_REVISION}:{options.dim}"
        # Between calls the event loop gets its turn.
        self.limits = Limits(n_texts=_TEXTS_A_CALL)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed `texts`; never fails."""
        return unit_rows(np.array([self._vector(text) for text in texts]))

    def _vector(self, text: str) -> NDArray[np.float64]:
        plain = unicodedata.normalize("NFKC", text).casefold()
        vector = self._sum(Counter(_features(_WORD.findall(plain), self.options.n_gram)))
        return vector if vector.any() else self._sum(Counter([plain]))

    def _sum(self, counts: Counter[str]) -> NDArray[np.float64]:
        vector = np.zeros(self.dim)
        for feature, count in counts.items():
            h = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little")
            vector[h % self.dim] += (1.0 + math.log(count)) * (1.0 if h >> 63 else -1.0)
        return vector


def _features(words: Sequence[str], longest: int) -> list[str]:
    return [
        " ".join(words[first : first + length])
        for length in range(1, longest + 1)
        for first in range(len(words) - length + 1)
    ]
