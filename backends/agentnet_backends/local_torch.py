"""The same by PyTorch, for families of models that `agentnet_backends.local_numpy` does not know."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agentnet.errors import ConfigurationError, PluginError
from agentnet_backends.local_numpy import Floats


class TorchPast(NamedTuple):
    """Keys and values of each layer."""

    layers: tuple[tuple[Any, Any], ...]

    @property
    def n_bytes(self) -> int:
        """The memory that it takes."""
        return sum(part.nbytes for layer in self.layers for part in layer)


class TorchRuntime:
    """Evaluates any causal language model that transformers loads, in float32 on the CPU.

    Args:
        path: A GGUF file or a folder.
        threads: Threads of PyTorch.

    Raises:
        PluginError: torch or transformers is not installed.
        ConfigurationError: transformers cannot load the model.
    """

    name = "torch"

    def __init__(self, path: Path, threads: int) -> None:
        missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
        if missing:
            raise PluginError(
                f"backend.runtime torch needs {' and '.join(missing)}: pip install -e '.[finetune]' in a "
                "checkout"
            )
        import torch
        import transformers

        torch.set_num_threads(threads)
        where = {"gguf_file": path.name} if path.is_file() else {}
        folder = path.parent if path.is_file() else path
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                str(folder), dtype=torch.float32, local_files_only=True, **where
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ConfigurationError(f"{path} cannot be loaded by transformers: {error}") from error
        self._torch, self._new_cache = torch, transformers.DynamicCache
        self._model = model.eval()
        # The argument is being renamed.
        takes = inspect.signature(type(model).forward).parameters
        self._cache_name = "cache" if "cache" in takes else "past_key_values"
        self.n_vocabulary = int(model.get_output_embeddings().weight.shape[0])
        self.n_positions = int(model.config.max_position_embeddings)

    def extend(self, past: TorchPast | None, tokens: Sequence[int]) -> tuple[TorchPast, Floats]:
        """Go on from `past`; see `agentnet_backends.local_numpy.NumpyRuntime`."""
        cache = self._new_cache(past.layers if past else ())
        with self._torch.inference_mode():
            made = self._model(
                self._torch.tensor([list(tokens)]),
                use_cache=True,
                logits_to_keep=1,
                **{self._cache_name: cache},
            )
        layers = tuple((layer.keys, layer.values) for layer in cache.layers)
        return TorchPast(layers), np.asarray(made.logits[0, -1].numpy(), np.float32)

    def go_on(
        self, past: TorchPast | None, said: Sequence[TorchPast | None], tokens: Sequence[Sequence[int]]
    ) -> list[tuple[TorchPast, Floats]]:
        """Go on in several ways, one after the other; see `agentnet_backends.local_numpy.NumpyRuntime`."""
        # What a way begins with is kept with it.
        return [self.extend(before or past, each) for before, each in zip(said, tokens, strict=True)]
