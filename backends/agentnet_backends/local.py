"""Backend ``local``: a real language model in this process. No server, no key.

Probabilities are exact: the likelihood of each whole answer, and what they lack of 1 is on anything else.
What is sampled under declared answers is drawn from these likelihoods: the law of sampling freely, and
keeping what is an answer. Under a schema each token is held to it. A reply depends on its request alone: one
conversation is evaluated at a time, in a thread of its own, and chance is keyed by the request's seed.
"""

from __future__ import annotations

import asyncio
from bisect import bisect
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from agentnet.backend import Reply, Request
from agentnet.errors import (
    BackendUnusable,
    ConfigurationError,
    PluginError,
    RequestRejected,
    StorageError,
    near_miss,
)
from agentnet.streams import mix, unit
from agentnet.vocabulary import LENGTH, STOP
from agentnet_backends.local_answers import SPELLINGS, odds, ways_to_say
from agentnet_backends.local_chat import Speaker, TokenPrompt
from agentnet_backends.local_model import LocalModel, digest_of
from agentnet_backends.local_numpy import Floats
from agentnet_backends.local_rules import Free, Mask, Rule
from agentnet_backends.local_weights import known_models, weights
from agentnet_backends.options import MadeOfOptions, PluginOptions

_SHORT = 8


def _spellings(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in SPELLINGS:
            raise ValueError(f"has {name!r}{near_miss(name, SPELLINGS, others=True)}")
    return names


class LocalOptions(PluginOptions):
    """The options of backend ``local``.

    Attributes:
        model: A model that ``agentnet models`` lists, a GGUF file, or a folder of a chat model as Hugging
            Face's libraries write it.
        runtime: What computes it: ``numpy``, ``torch``, or ``auto`` (NumPy where it knows the family of the
            model, else PyTorch).
        threads: Threads of linear algebra. One is the fastest where cores are shared.
        spellings: Which spellings of an answer count as giving it, beside the answer as it stands:
            ``capital``, ``upper``, ``lower``, ``blank``, ``blank_capital``.
        cache_mb: Bound on what is remembered of the beginnings of prompts, in megabytes; half as much more
            is remembered of what follows prompts.
    """

    plugin: ClassVar[str] = "backend 'local'"

    model: str = Field("smollm2", min_length=1)
    runtime: Literal["auto", "numpy", "torch"] = "auto"
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    spellings: Annotated[tuple[str, ...], AfterValidator(_spellings)] = ("given", "capital")
    cache_mb: Annotated[float, Field(ge=0.0, le=1e6)] = 512.0


class _Sample(NamedTuple):
    text: str
    n_tokens: int
    finish: str


class LocalBackend(MadeOfOptions[LocalOptions]):
    """Plays a model in this process.

    Safe to call concurrently from one event loop: it computes in one thread, in the order of requests. The
    model is fetched and loaded at the first one.

    Args:
        options: See `LocalOptions`.

    Raises:
        ConfigurationError: There is no such model.
    """

    about = "a language model in this process: exact probabilities, no server and no key"
    needs = "the extra local: pip install -e '.[local]' in a checkout"
    takes = LocalOptions
    packages = ("gguf", "llguidance", "tokenizers")
    name = "local"
    lists_tokens = True

    def __init__(self, options: LocalOptions) -> None:
        super().__init__(options)
        self._model: LocalModel | None = None
        self._thread = ThreadPoolExecutor(1, "local-model")
        self._closed = False
        self._digest = known_models()[options.model].sha256 if options.model in known_models() else ""
        if not self._digest:
            weights(options.model)

    @property
    def model_name(self) -> str:
        """The model, and the beginning of the SHA-256 of its weights."""
        self._digest = self._digest or digest_of(weights(self.options.model))
        return f"{Path(self.options.model).stem}@{self._digest[:_SHORT]}"

    async def complete(self, request: Request) -> Reply:
        """Answer `request`.

        Raises:
            RequestRejected: The prompt is longer than the model reads, or holds a mark of the model's own; or
                no reply can satisfy the schema.
            BackendUnusable: The model cannot be loaded, or takes no such conversation.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, request)

    async def aclose(self) -> None:
        """Let the model go, after what is being computed."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._model = None

    def _loaded(self) -> LocalModel:
        if self._model is None:
            chosen = self.options
            try:
                self._model = LocalModel(
                    weights(chosen.model), chosen.runtime, chosen.threads, chosen.cache_mb
                )
            except (ConfigurationError, StorageError, PluginError) as error:
                raise BackendUnusable(str(error), kind="not_loaded") from error
            except BackendUnusable:
                raise
            # What reads a file that is cut off, or somebody else's, raises what it likes.
            except Exception as error:
                raise BackendUnusable(
                    f"backend.model: {chosen.model!r} cannot be loaded; its files are damaged, or of a form "
                    f"that is not known here ({type(error).__name__}: {error})",
                    kind="not_loaded",
                ) from error
        return self._model

    def _answer(self, request: Request) -> Reply:
        model = self._loaded()
        prompt = model.prompt(request.messages)
        room = model.runtime.n_positions - len(prompt.tokens)
        if room < request.max_tokens:
            raise RequestRejected(
                f"the prompt has {len(prompt.tokens)} tokens, and a reply may have {request.max_tokens}, but "
                f"{self.model_name} reads {model.runtime.n_positions} in all; shorten the prompt, or choose "
                "another model",
                kind="context_overflow",
            )
        reply = Reply(
            (),
            len(prompt.tokens),
            model=self.model_name,
            fingerprint=f"{model.runtime.name} float32, SHA-256 {self._digest[: 2 * _SHORT]}",
        )
        if request.answers:
            return self._chosen(model, prompt, request, reply)
        return _with(reply, self._written(model, prompt, request))

    def _chosen(self, model: LocalModel, prompt: TokenPrompt, request: Request, reply: Reply) -> Reply:
        """Answer by one of the allowed answers, each as probable as the model makes it."""
        ways = ways_to_say(request.answers, self.options.spellings, model.speaker.tokens)
        found, shares = odds(
            ways, model.chat.ends, lambda then: model.logits(prompt, then), request.temperature
        )
        if request.logprobs:
            reply = reply._replace(logprobs=found.logprobs, unlisted=0.0, listed=found.listed)
        sums = [*accumulate(shares)]
        drawn = [ways[_index(sums, unit(mix(request.seed, i)))] for i in range(request.n)]
        return _with(reply, [_Sample(way.answer, len(way.tokens), STOP) for way in drawn])

    def _written(self, model: LocalModel, prompt: TokenPrompt, request: Request) -> list[_Sample]:
        """Sample texts token by token, side by side, held to the schema if there is one."""
        past, logits = model.state(prompt)
        texts = [
            _Text(Free() if request.schema is None else model.rule(request.schema), logits)
            for _ in range(request.n)
        ]
        going = [*enumerate(texts)]
        while going:
            if self._closed:
                raise BackendUnusable("backend 'local' was closed while it was sampling", kind="closed")
            taken = [
                text.say(request.temperature, mix(request.seed, i), model.chat.ends) for i, text in going
            ]
            left = [
                (of, said)
                for of, said in zip(going, taken, strict=True)
                if not of[1].is_over and len(of[1].said) < request.max_tokens
            ]
            going = [of for of, _ in left]
            if going:
                states = model.go_on(past, [text.past for _, text in going], [said for _, said in left])
                for (_, text), state in zip(going, states, strict=True):
                    text.past, text.logits = state
        return [text.sample(model.speaker, request.max_tokens) for text in texts]


@dataclass(slots=True)
class _Text:
    """A text that is being sampled.

    Attributes:
        rule: What may be said.
        logits: Of what follows.
        past: What the model has to know of it.
        said: Its tokens.
        is_over: Whether nothing follows.
    """

    rule: Rule
    logits: Floats
    past: Any = None
    said: list[int] = field(default_factory=list)
    is_over: bool = False

    def say(self, temperature: float, seed: int, ends: frozenset[int]) -> list[int]:
        """Say what must come next, else what is drawn; gives its tokens, of which the end is none."""
        taken = self.rule.forced()
        if not taken:
            at = unit(mix(seed, len(self.said)))
            taken = [_drawn(self.logits, self.rule.allowed(), temperature, at)]
        if taken[0] in ends:
            self.is_over = True
            return []
        self.said += taken
        self.is_over = self.rule.take(taken)
        return taken

    def sample(self, speaker: Speaker, max_tokens: int) -> _Sample:
        """Give it as it ended."""
        n = min(len(self.said), max_tokens)
        is_whole = self.is_over and n == len(self.said)
        return _Sample(speaker.text(self.said[:n]), n, STOP if is_whole else LENGTH)


def _with(reply: Reply, samples: list[_Sample]) -> Reply:
    return reply._replace(
        texts=tuple(sample.text for sample in samples),
        completion_tokens=sum(sample.n_tokens for sample in samples),
        finish=tuple(sample.finish for sample in samples),
    )


def _index(sums: list[float], at: float) -> int:
    return min(bisect(sums, at * sums[-1]), len(sums) - 1)


def _drawn(logits: Floats, allowed: Mask | None, temperature: float, at: float) -> int:
    """Draw a token by the softmax of logits over temperature, among those that are allowed."""
    above = logits.astype(np.float64)
    if allowed is not None:
        above[~allowed] = -np.inf
    above -= above.max()
    if temperature == 0.0:
        return int(above.argmax())
    sums = np.cumsum(np.exp(above / temperature))
    return int(min(np.searchsorted(sums, at * sums[-1], side="right"), len(sums) - 1))
