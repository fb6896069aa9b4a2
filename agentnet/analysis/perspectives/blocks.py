"""Embedded replies as they come: one block a step, checked, read again when needed, never all at once.

The block of a step holds what every model replied to every prompt: shape ``(n_models, n_prompts, n_dims)``.
Row r = step * n_models + model of every table in this package is one model at one step.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import InputError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
Shape = tuple[int, int, int]
Load = Callable[[int], ArrayLike]
"""From a step to its block, as often as asked."""

_SHORT = (np.dtype(np.float16), np.dtype(np.float32))


def checked_block(block: ArrayLike, step: int, shape: Shape | None = None, *, finite: bool = True) -> Floats:
    """Check the embedded replies of one step.

    Args:
        block: Shape ``(n_models, n_prompts, n_dims)``.
        step: For messages.
        shape: That of the first step, which all others must have.
        finite: Whether to look for values that are not.

    Returns:
        The block: float32 stays so (half precision becomes it), everything else becomes float64.

    Raises:
        InputError: It has another shape, or a value that is not finite.
    """
    array = np.asarray(block)
    if array.ndim != 3 or not array.size:
        raise bad_blocks(
            f"step {step} must have shape (n_models, n_prompts, n_dims), none of them 0; got {array.shape}"
        )
    if shape is not None and array.shape != shape:
        raise bad_blocks(
            f"step {step} has shape {array.shape}, but the first has {shape}; all steps need the same "
            "models, prompts and embedder"
        )
    if array.dtype.kind not in "fiu":
        raise bad_blocks(f"step {step} holds {array.dtype}, not numbers")
    array = array.astype(np.float32 if array.dtype in _SHORT else np.float64, copy=False)
    if finite:
        check_finite(array, step)
    return array


def check_finite(block: Floats, step: int) -> None:
    """Refuse a block in which something is not finite.

    Raises:
        InputError: It names the model and the prompt.
    """
    finite = np.isfinite(block)
    if not finite.all():
        model, prompt, dim = np.argwhere(~finite)[0]
        raise bad_blocks(
            f"step {step}, model {model}, prompt {prompt} has {block[model, prompt, dim]} in dimension "
            f"{dim}; embed this reply again, or leave the prompt out at every step"
        )


def bad_blocks(message: str) -> InputError:
    """Make the error for embedded replies that cannot be used."""
    return InputError(message, field="blocks")


def flat(block: Floats) -> Floats:
    """Lay each model's replies out in one row, shape ``(n_models, n_prompts * n_dims)``."""
    return block.reshape(len(block), -1)


def slices(length: int, size: int) -> Iterator[slice]:
    """Cut ``range(length)`` into slices of at most `size`."""
    for start in range(0, length, max(size, 1)):
        yield slice(start, min(start + max(size, 1), length))


@dataclass(slots=True)
class Scratch:
    """Keeps blocks in a temporary file, for a source that gives each block only once.

    Args:
        folder: Where the file is made; None for the system's place. It has no name and goes with its owner.
    """

    folder: Path | None = None
    _file: IO[bytes] | None = field(init=False, default=None, repr=False)
    _shape: Shape = field(init=False, default=(0, 0, 0), repr=False)
    _dtype: np.dtype[Any] = field(init=False, default=np.dtype(np.float32), repr=False)

    def keep(self, step: int, block: Floats) -> None:
        """Write the block of a step."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - it lives until `close`
            self._shape, self._dtype = (block.shape[0], block.shape[1], block.shape[2]), block.dtype
        self._file.seek(step * block.nbytes)
        self._file.write(np.ascontiguousarray(block).data)
        self._file.flush()

    def load(self, step: int) -> Floats:
        """Read the block of a step again."""
        assert self._file is not None, "a block was kept before one is read"
        size = math.prod(self._shape)
        self._file.seek(step * size * self._dtype.itemsize)
        return np.fromfile(self._file, self._dtype, size).reshape(self._shape)

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
