"""Update rules ``memory`` and ``none``: chat models that differ by what they remember.

Every model is the run's backend and a database of its own: the question-answer pairs that it was taught and
has heard. It answers a question in a conversation whose earlier turns are the `k` pairs that come first by

    similarity of the questions (cosine of their embeddings) + recency * 2^(-age / half_life),

age in steps; the best one stands last. So it works with every chat model. ``none`` is a control: models
remember what they were taught, and nothing that they hear.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentnet.backend import Messages
from agentnet.embedder import Embedder
from agentnet.errors import StorageError
from agentnet.interviews import Asked, Pair, Prompt, Question, System
from agentnet_backends.options import MadeOfOptions, PluginOptions

_FILE: Final = "memory.json"
_DECIMALS: Final = 6
"""Scores are rounded, so that rounding never decides between pairs that are equally good."""

INSTRUCTIONS: Final = "Answer the question in one short sentence. Do not explain."


class MemoryOptions(PluginOptions):
    """The options of update rule ``memory``.

    Attributes:
        k: Pairs that stand in the conversation.
        recency: What a pair of this step gains over one from long ago; 0 looks at similarity alone.
        half_life: Steps in which this gain halves.
        instructions: The system message; ``""`` for none.
    """

    table: ClassVar[str] = "memory"
    plugin: ClassVar[str] = "the update rule 'memory'"

    k: Annotated[int, Field(ge=0, le=1000)] = 4
    recency: Annotated[float, Field(ge=0)] = 0.2
    half_life: Annotated[float, Field(gt=0)] = 5.0
    instructions: str = INSTRUCTIONS


class NoneOptions(MemoryOptions):
    """The options of update rule ``none``: as those of ``memory``."""

    table: ClassVar[str] = "none"
    plugin: ClassVar[str] = "the update rule 'none'"


class MemoryRule(MadeOfOptions[MemoryOptions]):
    """Models remember all that they hear."""

    about = "chat models with a memory: answers are given in view of the most similar and latest pairs heard"
    needs = "a backend"
    name = "memory"
    label = ""
    model_name = ""
    asks_backend = True
    checkpoint_every = 0
    systems_at_once = None
    takes: ClassVar[type[MemoryOptions]] = MemoryOptions
    remembers: ClassVar[bool] = True

    async def begin(self, system: System) -> MemoryModels:
        """Make models that remember nothing yet."""
        return MemoryModels(self.options, system, remembers=self.remembers)


class NoneRule(MemoryRule):
    """Models remember what they were taught, and nothing that they hear."""

    about = "a control: chat models that remember what they were taught at the start, and hear nothing"
    name = "none"
    takes = NoneOptions
    remembers = False


class MemoryModels:
    """The databases of one realization."""

    def __init__(self, options: MemoryOptions, system: System, *, remembers: bool) -> None:
        self._options = options
        self._remembers = remembers
        self._known = {question.id: question for question in system.questions}
        self._vectors = _Vectors(system.embedder)
        self._pairs: list[list[Pair]] = [[] for _ in system.classes]

    async def answer(self, model: int, step: int, asked: Sequence[Asked]) -> list[Prompt]:
        """Compose the conversations in which a model is asked."""
        pairs = self._pairs[model]
        if not pairs or not self._options.k:
            return [self._prompt(one.question, []) for one in asked]
        heard = await self._vectors.of([pair.question for pair in pairs])
        wanted = await self._vectors.of([one.question for one in asked])
        # One product for each question: as part of a larger one it might round otherwise.
        recency = self._recency(step, pairs)
        scores = [np.round((heard * vector).sum(axis=1) + recency, _DECIMALS) for vector in wanted]
        return [
            self._prompt(one.question, [pairs[i] for i in _best(score, self._options.k)])
            for one, score in zip(asked, scores, strict=True)
        ]

    async def update(
        self,
        model: int,
        step: int,
        pairs: Sequence[Pair],
        seed: int,  # noqa: ARG002 - the contract's
    ) -> dict[str, float | int]:
        """Remember pairs.

        Returns:
            ``remembered``: how many pairs the model remembers now.
        """
        if step == 0 or self._remembers:
            self._pairs[model] += pairs
        return {"remembered": len(self._pairs[model])}

    async def save(self, folder: Path) -> None:
        """Write the databases."""
        spelt = [[(p.question.id, p.answer, p.step, p.source) for p in pairs] for pairs in self._pairs]
        (folder / _FILE).write_text(json.dumps(spelt), "utf-8")

    async def restore(self, folder: Path) -> None:
        """Read the databases.

        Raises:
            StorageError: They are not there, or hold other questions.
        """
        try:
            spelt = json.loads((folder / _FILE).read_text("utf-8"))
            self._pairs = [[Pair(self._known[name], *rest) for name, *rest in pairs] for pairs in spelt]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{folder} holds no memory of these models ({error})") from error

    async def aclose(self) -> None:
        """Nothing is held."""

    def _recency(self, step: int, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        ages = np.array([step - pair.step for pair in pairs], dtype=np.float64)
        return self._options.recency * 2.0 ** (-ages / self._options.half_life)

    def _prompt(self, question: Question, remembered: Sequence[Pair]) -> Prompt:
        instructions = self._options.instructions
        messages: Messages = (("system", instructions),) if instructions else ()
        for pair in remembered:
            messages += (("user", pair.question.text), ("assistant", pair.answer))
        context = json.dumps([(pair.step, pair.question.id) for pair in remembered])
        return Prompt((*messages, ("user", question.text)), context)


def _best(scores: NDArray[np.float64], k: int) -> list[int]:
    """Find the `k` best, the best last; of equal ones the later heard is better."""
    best: list[int] = np.argsort(scores, kind="stable")[-k:].tolist()
    return best


class _Vectors:
    """The questions' vectors, each embedded once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    async def of(self, questions: Sequence[Question]) -> NDArray[np.float64]:
        """Give the vectors of questions, shape ``(n_questions, dim)``."""
        new = list(dict.fromkeys(q.text for q in questions if q.text not in self._known))
        if new:
            self._known.update(zip(new, await self._embedder.embed(new), strict=True))
        return np.array([self._known[question.text] for question in questions], dtype=np.float64)
