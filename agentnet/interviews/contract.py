"""What the engine knows of update rules: the contract, and the look-up of plug-ins by entry point.

An update rule says what a model is and how it changes by what it hears. Its `Models` own the states of all
models of one realization; the engine never sees a state. A model answers either by itself (it gives a
`Reply`) or by a conversation that the run's backend is asked (it gives a `Prompt`), so that chat models go
through the stack, the sampler and the event log like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from agentnet.backend import Messages, Reply
from agentnet.embedder import Embedder
from agentnet.interviews.questions import Question
from agentnet.plugins import MadeOfOptions, Maker

BANK: Final = -1
"""The source of a pair that comes from the question bank itself."""


class Pair(NamedTuple):
    """A question and an answer to it: what models learn from.

    Attributes:
        question: The question.
        answer: What was answered: never empty, not necessarily right.
        step: When it was heard; 0 for what a model is taught at the start.
        source: The model that answered, or a database that was read, numbered after the models; `BANK` for
            the question bank.
    """

    question: Question
    answer: str
    step: int
    source: int


class Asked(NamedTuple):
    """One question to one model.

    Attributes:
        question: The question.
        kind: ``evaluation`` or ``interview``.
        temperature: Sampling temperature; 0 wants the likeliest answer.
        seed: Fixes the answer where there is chance; in [0, 2^63).
    """

    question: Question
    kind: str
    temperature: float
    seed: int


class Prompt(NamedTuple):
    """A conversation whose next turn, by the run's backend, is the model's answer.

    Attributes:
        messages: The conversation.
        context: What of the model's state stands in it, in a form that the rule can read back (JSON, say);
            recorded with the answer.
    """

    messages: Messages
    context: str = ""


@dataclass(frozen=True, slots=True)
class System:
    """What an update rule is told of a realization before it begins.

    Attributes:
        classes: Class of each model; its length is the number of models.
        questions: All questions of the run, in the order of the event log.
        max_tokens: Bound on the tokens of an answer.
        embedder: The run's embedder, cached; closed by the runner.
        seed: For chance of the rule's own; equal in realizations that are to be compared with each other.
        seeds: Likewise for chance in one model alone, such as the weights it begins with: a model that is the
            same in all repeats has the same in all; ``()`` for `seed` throughout.
    """

    classes: tuple[str, ...]
    questions: tuple[Question, ...]
    max_tokens: int
    embedder: Embedder
    seed: int
    seeds: tuple[int, ...] = ()


class Models(Protocol):
    """The states of all models of one realization.

    The engine asks and updates several models at once, never one model while it is updated. What a method
    does depends on its arguments and the model's state alone: not on time, on other models, or on what else
    is asked in the same call (a resumed run asks only what is not recorded yet).
    """

    async def answer(self, model: int, step: int, asked: Sequence[Asked]) -> Sequence[Reply | Prompt]:
        """Let a model answer questions from its present state, which stays as it is.

        Args:
            model: Its number.
            step: The step that is played.
            asked: The questions, at least one.

        Returns:
            For each question a reply of one text (by the model itself), or a conversation for the backend. An
            empty text is recorded as a missing answer.

        Raises:
            BackendError: As a backend's `complete` (`RequestRejected`: this model's answers are missing).
        """
        ...

    async def update(
        self, model: int, step: int, pairs: Sequence[Pair], seed: int
    ) -> Mapping[str, float | int]:
        """Change a model by what it heard, or taught it at the start (step 0, once for each model).

        Args:
            model: Its number.
            step: The step that is played; 0 at the start.
            pairs: Questions and answers, in the order asked; at least one.
            seed: For chance in this update (the order of pairs, say); in [0, 2^63).

        Returns:
            Measures to be recorded, such as ``{"loss": 1.2}``.
        """
        ...

    async def save(self, folder: Path) -> None:
        """Write all states to `folder`, which is empty; called only between steps, if the rule wants it."""
        ...

    async def restore(self, folder: Path) -> None:
        """Take all states from what `save` wrote: every later answer is the same.

        Raises:
            StorageError: It cannot be read.
        """
        ...

    async def aclose(self) -> None:
        """Give back memory; nothing is called afterwards."""
        ...


class UpdateRule(Protocol):
    """What is shared by all realizations of a run.

    Attributes:
        name: The plug-in's name.
        label: What every result has to be called because no real language model was asked; ``""`` if one was.
        model_name: The language model; ``""`` if it is the backend's.
        asks_backend: Whether `Models.answer` gives prompts.
        checkpoint_every: Steps between two calls of `Models.save`, >= 1; 0 if updating the models again from
            the recorded answers is cheap and ends in the same states, so that nothing is ever saved.
        systems_at_once: Realizations whose models there may be at a time, >= 1; None for any number.
    """

    @property
    def name(self) -> str:
        """The plug-in's name."""
        ...

    @property
    def label(self) -> str:
        """What results have to be called; ``""`` if there is nothing to say."""
        ...

    @property
    def model_name(self) -> str:
        """The language model; ``""`` if it is the backend's."""
        ...

    @property
    def asks_backend(self) -> bool:
        """Whether the run's backend answers."""
        ...

    @property
    def checkpoint_every(self) -> int:
        """Steps between two checkpoints; 0 for none."""
        ...

    @property
    def systems_at_once(self) -> int | None:
        """Realizations at a time."""
        ...

    async def begin(self, system: System) -> Models:
        """Make the models of one realization, all in the rule's base state: step 0 teaches them.

        Raises:
            BackendUnusable: There is no such model, no memory for it, a library is missing.
        """
        ...

    async def aclose(self) -> None:
        """Give back what is shared."""
        ...


UpdatePlugin = Maker[UpdateRule]
"""What an entry point of group ``agentnet.updates`` leads to: usually the rule's class."""

UPDATES: Final[MadeOfOptions[UpdateRule]] = MadeOfOptions(
    "update rule",
    "agentnet.updates",
    "agentnet.interviews.UpdatePlugin",
    see="agentnet backends",
    makes=UpdateRule,
)
installed_updates = UPDATES.installed
make_update_rule = UPDATES.make
