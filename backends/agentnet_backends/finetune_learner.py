"""What the update rule ``finetune`` and its learner tell each other, and the form of what is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Protocol

from pydantic import Field

from agentnet_backends.options import PluginOptions


class Framing(NamedTuple):
    """How a question is put to a model, and how an answer to it ends.

    Attributes:
        before: What stands before a question.
        between: What stands between question and answer.
        lead: What of the answer itself stands before its first word: byte-pair tokenizers cut words with the
            blank before them.
        close: What follows an answer, as it is learnt; less its outer blanks, it ends an answer.
    """

    before: str
    between: str
    lead: str
    close: str

    @property
    def end(self) -> str:
        """The mark that ends an answer."""
        return self.close.strip()

    def prompt(self, question: str) -> str:
        """Write what stands before an answer."""
        return f"{self.before}{question}{self.between}"

    def response(self, answer: str) -> str:
        """Write an answer with its end, as it is learnt."""
        return f"{self.lead}{answer}{self.close}"


MARKS: Final = ("### Instruction:", "### Response:", "### End")
"""What Helm et al. (2024) made tokens of their own."""

INSTRUCTION_FORM: Final = Framing(f"{MARKS[0]} ", f"\n{MARKS[1]}", " ", f"\n{MARKS[2]}")
"""The form of Helm et al. (2024)."""

_RATES: Final = {"full": (1e-5, 5e-5), "lora": (1e-4, 5e-4)}
"""By method: learning rate of an update, and of the first teaching. The first are the paper's."""


class FinetuneOptions(PluginOptions):
    """The options of update rule ``finetune``.

    Attributes:
        model: A causal language model: a folder, a GGUF file (or a folder with one), or its name on the
            Hugging Face Hub. Its weights must be safetensors or GGUF: no pickle is ever opened. It must be a
            chat model, or a base that ``agentnet prepare`` has taught to follow instructions.
        revision: A commit, tag or branch of the Hub; without one a later run may find other weights.
        form: How questions are put: ``marks`` as in the paper (``### Instruction:``), ``chat`` by the model's
            chat template, as a user's turn. Unless given: the marks where the tokenizer has each as a token
            of its own, else the chat template; a model with neither is refused.
        method: ``lora`` trains low-rank adapters of all linear layers, ``full`` all weights, as in the paper.
        lr: Adam's learning rate in an update: 1e-5 for ``full``, as in the paper, and 1e-4 for ``lora``,
            unless given.
        initial_lr: Its learning rate when models are taught at the start: 5e-5 (the paper's) and 5e-4.
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
    plugin: ClassVar[str] = "the update rule 'finetune'"

    model: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)] | None = None
    form: Literal["marks", "chat"] | None = None
    method: Literal["full", "lora"] = "lora"
    lr: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    initial_lr: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
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

    def course(self, seed: int, *, is_first: bool) -> Training:
        """Say how a model is trained by an update, or taught at the start."""
        lr, initial_lr = _RATES[self.method]
        if is_first:
            return Training(self.initial_lr or initial_lr, self.initial_epochs, self.batch, seed)
        return Training(self.lr or lr, self.epochs, self.batch, seed)


class WantedAnswer(NamedTuple):
    """One answer to be given.

    Attributes:
        prompt: What stands before the answer; see `Framing.prompt`.
        temperature: Sampling temperature; 0 for the likeliest answer.
        seed: Fixes the draws at a temperature above 0.
    """

    prompt: str
    temperature: float
    seed: int


class LearnerAnswer(NamedTuple):
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


class Training(NamedTuple):
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

    @property
    def form(self) -> Framing:
        """How questions are put to it."""
        ...

    def fresh(self, seed: int) -> State:
        """Give the state of a model that has learnt nothing yet."""
        ...

    def answer(self, state: State, wanted: Sequence[WantedAnswer], max_tokens: int) -> list[LearnerAnswer]:
        """Give an answer to each of `wanted`, which depends on it and `state` alone."""
        ...

    def train(
        self, state: State, examples: Sequence[Example], course: Training
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
