"""PyTorch under the update rule ``finetune``: one network, into which the state of a model is put to be used.

A state is the trained tensors by name, in main memory. Nothing draws on PyTorch's generators: the order of
examples, the first adapters and sampled tokens come from keyed streams.

An answer must not depend on what else is asked. So a batch has always the same number of rows, filled up
where questions are few, and a width that follows from each question's own length: then every kernel sees the
same shapes, and a row the same sums. Tests hold this bit by bit on the CPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np

from agentnet.errors import BackendUnusable, Interrupted, RequestRejected, StorageError
from agentnet.streams import Streams, mix, unit
from agentnet_backends.finetune_learner import (
    Example,
    FinetuneOptions,
    Framing,
    LearnerAnswer,
    Training,
    WantedAnswer,
)
from agentnet_backends.finetune_torch_load import (
    adapted,
    cache_word,
    fingerprint,
    framing_of,
    loading,
    pretrained,
)

Tensors = Mapping[str, Any]
"""Tensors by the name of their parameter; Any, because PyTorch is an extra."""

_WIDTH_STEP: Final = 16
_NOT_LEARNT: Final = -100


class TorchLearner:
    """Answers and trains with one causal language model of transformers.

    Args:
        net: The model, on its device.
        tokenizer: Its tokenizer.
        options: The options of the rule.
        form: How questions are put to it.
    """

    def __init__(self, net: Any, tokenizer: Any, options: FinetuneOptions, form: Framing) -> None:  # noqa: ANN401 - an extra's
        import torch

        self._torch = torch
        self._net = net
        self._tokenizer = tokenizer
        self._options = options
        self._device = torch.device(options.device)
        self._trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
        self._base = {name: p.detach().cpu().clone() for name, p in self._trained.items()}
        self._bound: Tensors | None = None
        self._stopped = threading.Event()
        self._closing: dict[int, bool] = {}
        self._cache_word = cache_word(net)
        self.form = form
        # Of what no state holds: the vocabulary, and the weights that are not trained.
        self.fingerprint = fingerprint(
            tokenizer, [(name, p) for name, p in net.named_parameters() if not p.requires_grad]
        )

    @classmethod
    def load(cls, options: FinetuneOptions) -> Self:
        """Load the model.

        Raises:
            BackendUnusable: There is no such model, device or memory, or the model answers no questions.
        """
        with loading(options):
            net, tokenizer = pretrained(options)
            form = framing_of(tokenizer, options)
            net = adapted(net, options) if options.method == "lora" else net
            return cls(net.to(options.device).eval(), tokenizer, options, form)

    def fresh(self, seed: int) -> Tensors:
        """Give a model's first state: the base's weights, or an adapter that changes nothing yet.

        The first factor of an adapter is uniform with the variance of PyTorch's linear layers, as in peft;
        the second is zero.
        """
        if self._options.method == "full":
            return self._base
        torch, state, streams = self._torch, {}, Streams(seed)
        for name, tensor in self._base.items():
            state[name] = torch.zeros_like(tensor)
            if "lora_A" in name:
                bound = 1.0 / np.sqrt(tensor.shape[1])
                drawn = streams.generator("adapter", name).uniform(-bound, bound, tuple(tensor.shape))
                state[name] = torch.from_numpy(drawn.astype(np.float32))
        return state

    def answer(self, state: Tensors, wanted: Sequence[WantedAnswer], max_tokens: int) -> list[LearnerAnswer]:
        """Give an answer to each of `wanted`, which depends on it and `state` alone.

        Raises:
            RequestRejected: A prompt is too long for the model.
            BackendUnusable: There is not enough memory.
        """
        prompts = [self._tokens(one.prompt) for one in wanted]
        for one, tokens in zip(wanted, prompts, strict=True):
            if _width(len(tokens)) + max_tokens > self._n_positions():
                raise RequestRejected(
                    f"the question {one.prompt[:60]!r} has {len(tokens)} tokens; with an answer of "
                    f"{max_tokens} it exceeds what the model reads ({self._n_positions()})",
                    kind="context_overflow",
                )
        answers: dict[int, LearnerAnswer] = {}
        with self.exact("finetune.answer_batch"), self._torch.inference_mode():
            self._bind(state)
            for width, rows in _batches([len(tokens) for tokens in prompts], self._options.answer_batch):
                chosen = [_Row(prompts[row], wanted[row]) for row in rows]
                given = self._generate(chosen, width, max_tokens)
                answers |= dict(zip(rows, given, strict=True))
        return [answers[row] for row in range(len(wanted))]

    def train(
        self, state: Tensors, examples: Sequence[Example], course: Training
    ) -> tuple[Tensors, dict[str, float | int]]:
        """Train by Adam (Kingma & Ba 2015) with its usual moments, started anew.

        Returns:
            The state afterwards; the mean loss over the last epoch's tokens, each measured before the step
            that learns from it, in nats, and how many tokens these were.

        Raises:
            BackendUnusable: There is not enough memory, an example is too long, or the loss is no number.
        """
        with self.exact("finetune.batch"):
            losses = [*self.steps(self.adam(state, course), examples, course)]
            after = self.state()
        self._bound = after
        return after, mean_loss(losses[-n_batches(examples, course) :])

    def adam(self, state: Tensors, course: Training) -> Any:  # noqa: ANN401 - an extra's
        """Begin to train from a state: give Adam, which has seen nothing yet."""
        self.put(state)
        return self._torch.optim.Adam(self._trained.values(), lr=course.lr)

    def steps(
        self,
        adam: Any,  # noqa: ANN401 - an extra's
        examples: Sequence[Example],
        course: Training,
        n_done: int = 0,
    ) -> Iterator[tuple[float, int]]:
        """Take the steps of a course, but for the `n_done` that were taken before.

        Yields:
            After each step the summed loss before it, in nats, and the number of tokens learnt.
        """
        learnt = [self._learnable(example) for example in examples]
        streams = Streams(course.seed)
        for epoch in range(course.epochs):
            order = streams.generator("order", epoch).permutation(len(learnt)).tolist()
            chunks = [order[i : i + course.batch] for i in range(0, len(order), course.batch)]
            for chunk in chunks[max(0, n_done - epoch * len(chunks)) :]:
                yield self._step(adam, [learnt[row] for row in chunk])

    def put(self, state: Tensors) -> None:
        """Put a state into the network, where it will be changed."""
        self._bind(state)
        self._bound = None

    def state(self) -> Tensors:
        """Copy the state that is in the network."""
        return {name: p.detach().cpu().clone() for name, p in self._trained.items()}

    def stop(self) -> None:
        """Have the job at hand, and all later ones, end soon; from any thread."""
        self._stopped.set()

    def write(self, state: Tensors, path: Path) -> None:
        """Write a state as safetensors.

        Raises:
            OSError: It cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        try:
            save_file(dict(state), path)
        except SafetensorError as error:
            raise OSError(str(error)) from error

    def read(self, path: Path) -> Tensors:
        """Read a state.

        Raises:
            StorageError: It cannot be read, or is of another network.
        """
        state = self.tensors(path)
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if shapes != {name: tuple(tensor.shape) for name, tensor in self._base.items()}:
            raise StorageError(f"{path} holds the weights of another network than {self._options.model!r}")
        return state

    def tensors(self, path: Path) -> Tensors:
        """Read what `write` wrote, whatever it is.

        Raises:
            StorageError: It cannot be read.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            # Cloned, because what is loaded lives in the file, which is removed when the next is complete.
            return {name: tensor.clone() for name, tensor in load_file(path).items()}
        except (OSError, SafetensorError) as error:
            raise StorageError(f"{path} cannot be read: {error}") from error

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise Interrupted("the models were stopped before they had answered or learnt")

    def _may_close(self, token: int) -> bool:
        """Tell whether the end mark can end in `token`: decoding takes long, and most tokens cannot."""
        if token not in self._closing:
            self._closing[token] = self.form.end[-1] in self._tokenizer.decode([token])
        return self._closing[token]

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return tokens

    def _n_positions(self) -> int:
        return int(getattr(self._net.config, "max_position_embeddings", 1 << 30))

    def _bind(self, state: Tensors) -> None:
        """Put a state into the network, unless it is there."""
        if state is self._bound:
            return
        self._bound = None
        with self._torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(state[name])
                parameter.grad = None
        self._bound = state

    def _learnable(self, example: Example) -> _Learnable:
        prompt, response = self._tokens(example.prompt), self._tokens(example.response)
        if len(prompt) + len(response) > self._n_positions():
            raise BackendUnusable(
                f"the pair {example.prompt[:60]!r} has {len(prompt) + len(response)} tokens, but the model "
                f"reads {self._n_positions()}; leave it out of the question bank",
                kind="context_overflow",
            )
        return _Learnable(prompt + response, len(prompt))

    def _step(self, adam: Any, batch: Sequence[_Learnable]) -> tuple[float, int]:  # noqa: ANN401 - an extra's
        """Take one step; give the summed loss before it and the number of tokens learnt."""
        self._go_on()
        torch, width = self._torch, max(len(one.tokens) for one in batch)
        shape = (len(batch), width)
        tokens, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        labels = torch.full(shape, _NOT_LEARNT)
        for row, one in enumerate(batch):
            end = len(one.tokens)
            tokens[row, :end], mask[row, :end] = torch.tensor(one.tokens), 1
            labels[row, one.n_prompt : end] = tokens[row, one.n_prompt : end]
        with self._products():
            logits = self._net(input_ids=tokens.to(self._device), attention_mask=mask.to(self._device)).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten().to(self._device)
        )
        loss.backward()
        adam.step()
        adam.zero_grad(set_to_none=True)
        value, count = loss.item(), int((labels[:, 1:] != _NOT_LEARNT).sum())
        if not np.isfinite(value):
            raise BackendUnusable(
                f"training has diverged: the loss is {value}; lower finetune.lr and finetune.initial_lr",
                kind="diverged",
            )
        return value * count, count

    def _generate(self, rows: Sequence[_Row], width: int, max_tokens: int) -> list[LearnerAnswer]:
        """Answer one batch, filled up to its full number of rows by repeating the last."""
        torch = self._torch
        full = [*rows, *[rows[-1]] * (self._options.answer_batch - len(rows))]
        mask = torch.tensor([[0] * (width - len(r.tokens)) + [1] * len(r.tokens) for r in full])
        tokens = torch.tensor([[0] * (width - len(r.tokens)) + r.tokens for r in full])
        texts = [_Text(self._tokenizer, row, self.form.end, self._may_close) for row in rows]
        positions, known = (mask.cumsum(1) - 1).clamp(min=0), None
        for _ in range(max_tokens):
            self._go_on()
            with self._products():
                out = self._net(
                    input_ids=tokens.to(self._device),
                    attention_mask=mask.to(self._device),
                    position_ids=positions.to(self._device),
                    use_cache=True,
                    logits_to_keep=1,
                    **{self._cache_word: known},
                )
            known, logits = getattr(out, self._cache_word), out.logits[:, -1]
            for text, likeliest, scores in zip(texts, logits.argmax(-1).tolist(), logits, strict=False):
                text.extend(likeliest, scores)
            if all(text.ended for text in texts):
                break
            chosen = [text.tokens[-1] if text.tokens else 0 for text in texts]
            tokens = torch.tensor([[token] for token in [*chosen, *[chosen[-1]] * (len(full) - len(rows))]])
            positions = positions[:, -1:] + 1
            mask = torch.cat([mask, torch.ones_like(tokens)], dim=1)
        return [text.answer() for text in texts]

    def _products(self) -> AbstractContextManager[Any]:
        if self._options.precision == "float32":
            return nullcontext()
        context: AbstractContextManager[Any] = self._torch.autocast(
            self._device.type, dtype=self._torch.bfloat16
        )
        return context

    @contextmanager
    def exact(self, knob: str, other_way: str = "set finetune.method = 'lora'") -> Iterator[None]:
        """Compute the same bits each time, and say what to do where memory ends.

        Args:
            knob: The option that bounds the memory taken here.
            other_way: What else to do.
        """
        torch = self._torch
        before = (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )
        torch.use_deterministic_algorithms(True)
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            self._bound = None
            if "memory" not in str(error) and not isinstance(error, MemoryError):
                raise
            raise BackendUnusable(
                f"there is not enough memory on device {self._options.device!r} ({error}); lower {knob}, or "
                f"{other_way}",
                kind="out_of_memory",
            ) from error
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


class _Learnable(NamedTuple):
    """An example's tokens, of which the first `n_prompt` are context."""

    tokens: list[int]
    n_prompt: int


class _Row(NamedTuple):
    """A prompt's tokens, and what is wanted."""

    tokens: list[int]
    wanted: WantedAnswer


class _Text:
    """An answer while it grows, token by token."""

    def __init__(self, tokenizer: Any, row: _Row, end: str, may_close: Callable[[int], bool]) -> None:  # noqa: ANN401 - an extra's
        self.tokens: list[int] = []
        self.ended = False
        self._tokenizer = tokenizer
        self._row = row
        self._end = end
        self._may_close = may_close

    def extend(self, likeliest: int, logits: Any) -> None:  # noqa: ANN401 - an extra's
        """Choose the next token, unless the answer has ended.

        Args:
            likeliest: The likeliest token.
            logits: Of all tokens, shape ``(vocabulary,)``.
        """
        if self.ended:
            return
        token = self._drawn(logits) if self._row.wanted.temperature else likeliest
        self.tokens.append(token)
        is_over = token == self._tokenizer.eos_token_id
        self.ended = is_over or (self._may_close(token) and self._end in self._text())

    def answer(self) -> LearnerAnswer:
        """Give what has grown."""
        text = self._text().partition(self._end)[0].strip()
        return LearnerAnswer(text, len(self._row.tokens), len(self.tokens), self.ended)

    def _text(self) -> str:
        said = [token for token in self.tokens if token != self._tokenizer.eos_token_id]
        text: str = self._tokenizer.decode(said, clean_up_tokenization_spaces=False)
        return text

    def _drawn(self, logits: Any) -> int:  # noqa: ANN401 - an extra's
        wanted = self._row.wanted
        scores = logits.double().cpu().numpy() / wanted.temperature
        sums = np.cumsum(np.exp(scores - scores.max()))
        drawn = unit(mix(wanted.seed, len(self.tokens))) * sums[-1]
        return min(int(np.searchsorted(sums, drawn, side="right")), len(sums) - 1)


def _width(n_tokens: int) -> int:
    """The width at which a prompt is computed: it follows from its own length alone."""
    return -(-n_tokens // _WIDTH_STEP) * _WIDTH_STEP


def _batches(lengths: Sequence[int], size: int) -> Iterator[tuple[int, list[int]]]:
    """Cut rows into batches of one width, at most `size` rows each."""
    by_width: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        by_width.setdefault(_width(length), []).append(row)
    for width, rows in by_width.items():
        for start in range(0, len(rows), size):
            yield width, rows[start : start + size]


def n_batches(examples: Sequence[Example], course: Training) -> int:
    """Count the steps of an epoch."""
    return -(-len(examples) // course.batch)


def mean_loss(losses: Sequence[tuple[float, int]]) -> dict[str, float | int]:
    """Average what steps gave over their tokens."""
    n_tokens = sum(count for _, count in losses)
    return {"loss": sum(loss for loss, _ in losses) / n_tokens, "tokens": n_tokens}
