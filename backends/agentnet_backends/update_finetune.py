"""Update rule ``finetune``: models are causal language models, and hearing something means training on it.

This is the update of Helm et al. (2024): the models' first teaching is three epochs of Adam at 5e-5, an
update one epoch at 1e-5, on question-answer pairs of the form

    ### Instruction: {question}
    ### Response: {answer}
    ### End

Where the paper is silent, this is decided here. The loss is the mean cross-entropy of the response's tokens
and the end mark; the instruction is context and not learnt. Adam starts anew at each update, has no weight
decay, no warm-up and no clipping; pairs are shuffled in each epoch by the update's own seed; there is no
dropout.

A base model continues texts and answers nothing, so the paper's was taught to follow instructions first, with
the marks above as tokens of their own: that is ``agentnet prepare``. A chat model needs no such thing: its
questions are put by its chat template, as a user's turn with no system message but the template's own, and
its answers end as its turns do. Which of the two a model is, its tokenizer says, not its name.

LoRA (Hu et al. 2022) keeps one base and a small adapter for each model. Full training, the paper's, keeps all
weights of every model (25 models of 410 million parameters: 41 GB of memory beside the device's). Adapters
want higher learning rates: ten times the paper's, unless given.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from agentnet.backend import Reply
from agentnet.errors import StorageError
from agentnet.interviews import Asked, Pair, System
from agentnet.interviews.instructions import Instruction, Tuning
from agentnet.streams import Streams
from agentnet_backends.finetune_learner import (
    Example,
    FinetuneOptions,
    Learner,
    LearnerAnswer,
    State,
    WantedAnswer,
)
from agentnet_backends.options import MadeOfOptions

_INDEX: Final = "models.json"

T = TypeVar("T")
MakeLearner = Callable[[FinetuneOptions], Learner]


def _torch_learner(options: FinetuneOptions) -> Learner:
    from agentnet_backends.finetune_torch import TorchLearner

    return TorchLearner.load(options)


class FinetuneRule(MadeOfOptions[FinetuneOptions]):
    """Trains causal language models on what they hear.

    The model is loaded when the first realization begins. All computing is done in one thread, so that the
    event loop goes on. On one machine's CPU, results are the same bits each time for one number of threads.
    One realization is played at a time.

    Args:
        options: The options.
        make: Makes the learner; PyTorch's unless given.
    """

    takes = FinetuneOptions
    packages = ("torch", "transformers", "peft", "safetensors")
    about = "fine-tunes a causal language model, or LoRA adapters of it, on what is heard (Helm et al. 2024)"
    needs = "the extra finetune: pip install -e '.[finetune]' in a checkout"
    name = "finetune"
    label = ""
    asks_backend = False
    systems_at_once = 1

    def __init__(self, options: FinetuneOptions, make: MakeLearner = _torch_learner) -> None:
        super().__init__(options)
        self._make = make
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="finetune")
        self._learner: Learner | None = None

    @property
    def model_name(self) -> str:
        """The model, with its revision if one is chosen."""
        revision = self.options.revision
        return f"{self.options.model}@{revision}" if revision else self.options.model

    @property
    def checkpoint_every(self) -> int:
        """Steps between two checkpoints."""
        return self.options.checkpoint_every

    def prepare(
        self,
        taught: Sequence[Instruction],
        tuning: Tuning,
        out: Path,
        facts: Mapping[str, object],
        tell: Callable[[int, int, float], None],
    ) -> dict[str, object]:
        """Teach a raw base to follow instructions, all weights of it, whatever the method of updates.

        See `agentnet.interviews.instructions.Preparer`.
        """
        from agentnet_backends.finetune_torch_prepare import prepare

        return prepare(self.options, taught, tuning, out, facts, tell)

    async def begin(self, system: System) -> FinetuneModels:
        """Load the model, if it is not loaded yet, and give each model of the realization its base state.

        Raises:
            BackendUnusable: The model cannot be loaded.
        """
        if self._learner is None:
            self._learner = await self.work(self._make, self.options)
        learner, n_models = self._learner, len(system.classes)
        starts = system.seeds or [system.seed] * n_models
        seeds = [Streams(starts[model]).integer("finetune", model) for model in range(n_models)]
        states = await self.work(lambda: [learner.fresh(seed) for seed in seeds])
        return FinetuneModels(self, learner, states, system.max_tokens)

    async def work(self, job: Callable[..., T], *arguments: object) -> T:
        """Do a job in the rule's thread, after those that were given to it before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, job, *arguments)

    async def aclose(self) -> None:
        """End the job at hand, if one is left from a run that was broken off, and let the model go."""
        if self._learner is not None:
            self._learner.stop()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._learner = None


class FinetuneModels:
    """The models of one realization."""

    def __init__(self, rule: FinetuneRule, learner: Learner, states: list[State], max_tokens: int) -> None:
        self._rule = rule
        self._learner = learner
        self._states = states
        self._max_tokens = max_tokens

    async def answer(self, model: int, step: int, asked: Sequence[Asked]) -> list[Reply]:  # noqa: ARG002 - the contract's
        """Let a model answer questions.

        Raises:
            RequestRejected: A question is too long for the model.
            BackendUnusable: There is not enough memory.
        """
        form = self._learner.form
        wanted = [WantedAnswer(form.prompt(one.question.text), one.temperature, one.seed) for one in asked]
        answers = await self._rule.work(self._learner.answer, self._states[model], wanted, self._max_tokens)
        return [_reply(answer, self._rule.model_name) for answer in answers]

    async def update(self, model: int, step: int, pairs: Sequence[Pair], seed: int) -> dict[str, float | int]:
        """Train a model on what it heard, or is taught at step 0.

        Returns:
            ``loss``, in nats per token of the responses, and ``tokens``, how many those were.

        Raises:
            BackendUnusable: There is not enough memory, a pair is too long, or the loss is no number.
        """
        form = self._learner.form
        examples = [Example(form.prompt(pair.question.text), form.response(pair.answer)) for pair in pairs]
        course = self._rule.options.course(seed, is_first=not step)
        self._states[model], measures = await self._rule.work(
            self._learner.train, self._states[model], examples, course
        )
        return measures

    async def save(self, folder: Path) -> None:
        """Write each model's state, and an index.

        Raises:
            StorageError: They cannot be written.
        """
        await self._rule.work(self._save, folder)

    async def restore(self, folder: Path) -> None:
        """Take the states from what `save` wrote.

        Raises:
            StorageError: They cannot be read, or belong to another model or method.
        """
        self._states = await self._rule.work(self._read, folder)

    async def aclose(self) -> None:
        """Let the states go."""
        self._states = []

    def _index(self) -> dict[str, object]:
        return {
            "method": self._rule.options.method,
            "weights": self._learner.fingerprint,
            "files": [f"model-{model:05d}.safetensors" for model in range(len(self._states))],
        }

    def _save(self, folder: Path) -> None:
        try:
            for model, state in enumerate(self._states):
                self._learner.write(state, folder / f"model-{model:05d}.safetensors")
            (folder / _INDEX).write_text(json.dumps(self._index()), "utf-8")
        except OSError as error:
            raise StorageError(
                f"the models' weights could not be written to {folder}: {error}; free space, or take "
                f"checkpoints more rarely (finetune.checkpoint_every) or smaller (finetune.method = 'lora')"
            ) from error

    def _read(self, folder: Path) -> list[State]:
        try:
            index = json.loads((folder / _INDEX).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise StorageError(f"{folder} holds no checkpoint of the models: {error}") from error
        expected = self._index()
        for key, value in expected.items():
            if not isinstance(index, dict) or index.get(key) != value:
                raise StorageError(
                    f"{folder} holds a checkpoint of other models: its {key} differ; resume with the options "
                    f"of finetune and the weights that the run was begun with"
                )
        return [self._learner.read(folder / name) for name in index["files"]]


def _reply(answer: LearnerAnswer, model_name: str) -> Reply:
    return Reply(
        texts=(answer.text,),
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        model=model_name,
        finish=("stop" if answer.ended else "length",),
    )
