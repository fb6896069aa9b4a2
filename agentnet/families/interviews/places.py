"""How far models are from each other, from their latest answers: what a local topology looks at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentnet.embedder import Embedder
from agentnet.worlds.interviews import Answers

_TEXTS_REMEMBERED = 20_000
_DECIMALS = 9
"""Distances are rounded, so that models with the same answers are equally far from a third."""


class Places:
    """Embeds answers, and remembers the latest: models repeat themselves.

    Args:
        embedder: From texts to vectors of length 1.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    async def distances(self, answers: Answers) -> NDArray[np.float64]:
        """Compute squared distances between models.

        Args:
            answers: Shape ``(n_models, n_questions)``.

        Returns:
            Shape ``(n_models, n_models)``: the mean over questions that both answered; inf if there is none.
        """
        await self._learn(list(dict.fromkeys(text for row in answers for text in row if text is not None)))
        total = np.zeros((len(answers), len(answers)))
        common = np.zeros_like(total)
        for replies in zip(*answers, strict=True):
            given = np.array([text is not None for text in replies])
            rows = np.zeros((len(replies), self._embedder.dim))
            rows[given] = [self._known[text] for text in replies if text is not None]
            squares = given.astype(np.float64)
            both = np.outer(squares, squares)
            total += np.maximum(squares[:, None] + squares - 2.0 * (rows @ rows.T), 0.0) * both
            common += both
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(common > 0, np.round(total / common, _DECIMALS), np.inf)

    async def _learn(self, texts: list[str]) -> None:
        new = [text for text in texts if text not in self._known]
        if not new:
            return
        if len(self._known) + len(new) > _TEXTS_REMEMBERED:
            self._known.clear()
            new = texts
        self._known.update(zip(new, await self._embedder.embed(new), strict=True))
