"""One chat model in this process: what may follow a conversation, evaluated once and remembered.

A conversation is always evaluated in the same parts, which end where its messages do. So the numbers are the
same bit by bit whether a part was remembered or not, and a result depends on no other question.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, Union

from agentnet.backend import Messages
from agentnet.errors import BackendUnusable, ConfigurationError, PluginError, near_miss
from agentnet_backends.local_chat import Speaker, TokenPrompt
from agentnet_backends.local_files import ModelFiles, Unsupported, model_files, open_model
from agentnet_backends.local_numpy import Floats, NumpyRuntime
from agentnet_backends.local_rules import Rule, Schemas
from agentnet_backends.local_weights import sha256

if TYPE_CHECKING:
    from agentnet_backends.local_torch import TorchRuntime

_MB = 1e6

Value = TypeVar("Value")


Runtime = Union[NumpyRuntime, "TorchRuntime"]
"""What computes a language model. Called from one thread."""


def make_runtime(name: str, files: ModelFiles, threads: int) -> Runtime:
    """Make what computes the model.

    Args:
        name: ``numpy``, ``torch``, or ``auto``: NumPy for the families of models that it knows, PyTorch for
            others.
        files: The model.
        threads: Threads of linear algebra.

    Raises:
        ConfigurationError: There is no such runtime, or it cannot compute the model.
        PluginError: PyTorch is not installed.
    """
    match name:
        case "numpy":
            return NumpyRuntime(files.shape(), files.weights(), threads)
        case "torch":
            return _torch(files, threads)
        case "auto":
            try:
                return NumpyRuntime(files.shape(), files.weights(), threads)
            except Unsupported as why:
                return _other(files, threads, why)
        case _:
            known = near_miss(name, ("auto", "numpy", "torch"), others=True)
            raise ConfigurationError(f"backend.runtime: there is no {name!r}{known}")


def _torch(files: ModelFiles, threads: int) -> Runtime:
    from agentnet_backends.local_torch import TorchRuntime

    return TorchRuntime(files.path, threads)


def _other(files: ModelFiles, threads: int, why: Unsupported) -> Runtime:
    try:
        return _torch(files, threads)
    except PluginError:
        raise why from None


class Kept(Generic[Value]):
    """What was computed, by its tokens; the least recently used goes first.

    Args:
        most_mb: Bound on the memory, in megabytes.
    """

    def __init__(self, most_mb: float) -> None:
        self._left = most_mb * _MB
        self._kept: OrderedDict[tuple[int, ...], tuple[Value, int]] = OrderedDict()

    def get(self, tokens: tuple[int, ...]) -> Value | None:
        """Give what is kept, if it is."""
        found = self._kept.get(tokens)
        if found is None:
            return None
        self._kept.move_to_end(tokens)
        return found[0]

    def put(self, tokens: tuple[int, ...], value: Value, n_bytes: int) -> Value:
        """Keep `value`, and give it back."""
        self._left -= n_bytes
        self._kept[tokens] = (value, n_bytes)
        while self._left < 0 and self._kept:
            _, (_, freed) = self._kept.popitem(last=False)
            self._left += freed
        return value


class TextState(NamedTuple):
    """A place in a text: what to go on from, and the logits of what follows."""

    past: Any
    logits: Floats


class LocalModel:
    """A model, its tokenizer and what is remembered of it. Called from one thread.

    Args:
        path: Its weights.
        runtime: What computes it; see `make_runtime`.
        threads: Threads of linear algebra.
        cache_mb: Bound on what is remembered of beginnings, in megabytes; half as much more for logits.

    Raises:
        ConfigurationError: It is no chat model, or nothing here can compute it.
        BackendUnusable: What it computes is no number.
    """

    def __init__(self, path: Path, runtime: str, threads: int, cache_mb: float) -> None:
        files = open_model(path)
        self._name = path.name
        self.chat = files.chat()
        if not self.chat.ends:
            raise ConfigurationError(
                f"{path.name} names no token that ends a turn (eos_token), so that it would never end; "
                "complete its files, or choose another model"
            )
        self._tokenizer = files.tokenizer()
        self.speaker = Speaker(self.chat, self._tokenizer, path.name)
        self.runtime = make_runtime(runtime, files, threads)
        self._schemas: Schemas | None = None
        self._beginnings: Kept[Any] = Kept(cache_mb)
        self._logits: Kept[Floats] = Kept(cache_mb / 2)
        self._current: tuple[tuple[int, ...], TextState] | None = None
        # Sizes that do not fit each other show at the first token.
        self.extend(None, sorted(self.chat.ends))

    def prompt(self, messages: Messages) -> TokenPrompt:
        """Put a conversation in tokens; see `Speaker.prompt`."""
        return self.speaker.prompt(messages)

    def rule(self, schema: str) -> Rule:
        """Make the rule that holds a text to a JSON schema; see `Schemas.rule`."""
        if self._schemas is None:
            self._schemas = Schemas(self._tokenizer, self.runtime.n_vocabulary, self.chat.ends)
        return self._schemas.rule(schema)

    def extend(self, past: Any, tokens: Sequence[int]) -> TextState:  # noqa: ANN401 - its runtime's own
        """Go on from `past`; see `NumpyRuntime.extend`.

        Raises:
            BackendUnusable: What is computed is no number: an answer drawn from it would be nobody's.
        """
        return self._checked(*self.runtime.extend(past, tokens))

    def go_on(self, past: Any, said: Sequence[Any], tokens: Sequence[Sequence[int]]) -> list[TextState]:  # noqa: ANN401 - its runtime's own
        """Go on in several ways at once; see `NumpyRuntime.go_on`.

        Raises:
            BackendUnusable: As `extend`.
        """
        return [self._checked(*each) for each in self.runtime.go_on(past, said, tokens)]

    def _checked(self, past: Any, logits: Floats) -> TextState:  # noqa: ANN401 - its runtime's own
        if not math.isfinite(logits.max()):
            raise BackendUnusable(
                f"{self._name} computes {logits.max()} where numbers should be: its weights are damaged; "
                "fetch them anew, or choose another model",
                kind="not_finite",
            )
        return TextState(past, logits)

    def logits(self, prompt: TokenPrompt, then: tuple[int, ...] = ()) -> Floats:
        """Evaluate what follows a prompt and some tokens of the model's own.

        Returns:
            Logits, shape ``(n_vocabulary,)``; remembered, so that another temperature costs nothing.
        """
        place = prompt.tokens + then
        found = self._logits.get(place)
        if found is not None:
            return found
        state = self.state(prompt)
        made = self.extend(state.past, then).logits if then else state.logits
        return self._logits.put(place, made, made.nbytes)

    def state(self, prompt: TokenPrompt) -> TextState:
        """Evaluate a prompt, from the longest beginning that is remembered."""
        if self._current is not None and self._current[0] == prompt.tokens:
            return self._current[1]
        past, done = None, 0
        for cut in reversed(prompt.cuts):
            past = self._beginnings.get(prompt.tokens[:cut])
            if past is not None:
                done = cut
                break
        for cut in (each for each in prompt.cuts if each > done):
            past, _ = self.extend(past, prompt.tokens[done:cut])
            self._beginnings.put(prompt.tokens[:cut], past, past.n_bytes)
            done = cut
        state = self.extend(past, prompt.tokens[done:])
        self._current = (prompt.tokens, state)
        return state


def digest_of(path: Path) -> str:
    """Hash a model's files, in hex: of one file its SHA-256."""
    hashed = [sha256(each) for each in model_files(path)]
    return hashed[0] if path.is_file() else hashlib.sha256("".join(hashed).encode()).hexdigest()
