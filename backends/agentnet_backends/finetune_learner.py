"""What the update rule ``finetune`` and its learner tell each other, and the form of what is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Protocol

from pydantic import Field

from agentnet_backends.options import PluginOptions

QUESTION_MARK: Final = "### Instruction:"
ANSWER_MARK: Final = "### Response:"
END_MARK: Final = "### End"


class FinetuneOptions(PluginOptions):
    """The options of update rule ``finetune``.

    Attributes:
        model: A causal language model: a folder, or its name on the Hugging Face Hub. Its weights must be
            safetensors: no pickle is ever opened.
        revision: A commit, tag or branch of the Hub; without one a later run may find other weights.
        method: ``full`` trains all weights, ``lora`` low-rank adapters of all linear layers.
        lr: Adam's learning rate in an update. Adapters want more than full training does.
        initial_lr: Its learning rate when models are taught at the start.
        epochs: Passes over the pairs of an update.
        initial_epochs: Passes over the pairs that models are taught at the start.
        batch: Pairs in one step of Adam.
        answer_batch: Questions answered side by side: more are quicker and take more memory; a GPU wants
            hundreds. Part of what an answer is, as rounding depends on it.
        device: Where it is computed, in PyTorch's words: ``cpu``, ``cuda``, ``cuda:1``.
        threads: Threads of PyTorch on the CPU, on which rounding depends: give it to have the same bits on
            machines with other numbers of cores. PyTorch's own choice if it is not given.
        precision: What products are computed in; weights and Adam stay ``float32``.
        rank: Rank of the adapters.
        alpha: The adapters' products are scaled by alpha / rank.
        checkpoint_every: Steps between two checkpoints of all models; a run that was broken off repeats the
            updates since the last one.
    """

    table: ClassVar[str] = "finetune"

    model: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)] | None = None
    method: Literal["full", "lora"] = "full"
    lr: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-5
    initial_lr: Annotated[float, Field(gt=0.0, le=1.0)] = 5e-5
    epochs: Annotated[int, Field(ge=1)] = 1
    initial_epochs: Annotated[int, Field(ge=1)] = 3
    batch: Annotated[int, Field(ge=1)] = 8
    answer_batch: Annotated[int, Field(ge=1)] = 32
    device: Annotated[str, Field(min_length=1)] = "cpu"
    threads: Annotated[int, Field(ge=1)] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0.0)] = 16.0
    checkpoint_every: Annotated[int, Field(ge=1)] = 5


class Wanted(NamedTuple):
    """One answer to be given.

    Attributes:
        prompt: What stands before the answer; see `prompt_of`.
        temperature: Sampling temperature; 0 for the likeliest answer.
        seed: Fixes the draws at a temperature above 0.
    """

    prompt: str
    temperature: float
    seed: int


class Answer(NamedTuple):
    """One answer.

    Attributes:
        text: What stands before the end mark, without outer blanks.
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens of the answer, the end mark's included.
        ended: Whether it came to an end of its own before the bound on tokens.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    ended: bool


class Example(NamedTuple):
    """One pair to be learnt: `response` follows `prompt`, and it alone is learnt."""

    prompt: str
    response: str


class Course(NamedTuple):
    """How to train.

    Attributes:
        lr: Adam's learning rate.
        epochs: Passes over the examples.
        batch: Examples in one step of Adam.
        seed: Fixes the order of the examples.
    """

    lr: float
    epochs: int
    batch: int
    seed: int


State = Any
"""A model's state, whatever it is to its learner; never changed in place."""


class Learner(Protocol):
    """Computes what models answer and learn; called from one thread, one call at a time."""

    @property
    def fingerprint(self) -> str:
        """Which weights it stands on."""
        ...

    def fresh(self, seed: int) -> State:
        """Give the state of a model that has learnt nothing yet."""
        ...

    def answer(self, state: State, wanted: Sequence[Wanted], max_tokens: int) -> list[Answer]:
        """Give an answer to each of `wanted`, which depends on it and `state` alone."""
        ...

    def train(
        self, state: State, examples: Sequence[Example], course: Course
    ) -> tuple[State, dict[str, float | int]]:
        """Give the state after training, and measures: ``loss`` is the mean over the last epoch."""
        ...

    def stop(self) -> None:
        """Have the job at hand, and all later ones, end soon by raising `Interrupted`; from any thread."""
        ...

    def write(self, state: State, path: Path) -> None:
        """Write a state to a file."""
        ...

    def read(self, path: Path) -> State:
        """Read a state that `write` wrote; raises `StorageError`."""
        ...


def prompt_of(question: str) -> str:
    """Write what stands before an answer."""
    return f"{QUESTION_MARK} {question}\n{ANSWER_MARK}"


def response_of(answer: str) -> str:
    """Write an answer with its end mark, as it is learnt.

    The blank before it belongs to the answer: byte-pair tokenizers cut words with the blank before them.
    """
    return f" {answer}\n{END_MARK}"
