"""Embedded replies as they come: one block a step, checked, read again when needed, never all at once.

The block of a step holds what every model replied to every prompt: shape ``(n_models, n_prompts, n_dims)``.
Row r = step * n_models + model of every table in this package is one model at one step.

`averaged` and `without_noise` take away what sampling adds to distances. A reply that is drawn anew each time
scatters around its mean. Between two rows, that adds the variances of both to the expected squared distance,
so that models which agree seem apart and ones that rest seem to move. From two or more draws of each reply
the variances are estimated without bias, and subtracted.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.given import numbers
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
    array = np.asarray(np.ma.filled(block, np.nan) if np.ma.isMaskedArray(block) else block)
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


bad_blocks = partial(InputError, field="blocks")
"""Make the error for embedded replies that cannot be used."""


def checked_places(coordinates: ArrayLike) -> Array:
    """Check perspectives of all steps, shape ``(n_steps, n_models, n_dims)``.

    Raises:
        InputError: The shape is wrong, or a coordinate is not finite.
    """
    places = numbers(coordinates, "coordinates")
    if places.ndim != 3 or not len(places) or not places.shape[1]:
        raise bad_places(f"must have shape (n_steps, n_models, n_dims); got {places.shape}")
    if not np.isfinite(places).all():
        step, model, dim = np.argwhere(~np.isfinite(places))[0]
        raise bad_places(f"step {step}, model {model} has {places[step, model, dim]} in dimension {dim}")
    return places


bad_places = partial(InputError, field="coordinates")
"""Make the error for perspectives that cannot be used."""


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


@dataclass(frozen=True, slots=True)
class Averaged:
    """The mean of several draws of every reply of one step.

    Attributes:
        block: Mean embedded replies, shape ``(n_models, n_prompts, n_dims)``, to be used as a step's block.
        noise: Estimated variance of each mean, summed over dimensions: what it adds to squared distances,
            shape ``(n_models, n_prompts)``.
    """

    block: Floats
    noise: Array

    @property
    def row_noise(self) -> Array:
        """What each model's noise adds to the squared distances of its row, shape ``(n_models,)``."""
        total: Array = self.noise.sum(axis=1)
        return total


def averaged(draws: ArrayLike) -> Averaged:
    """Average draws of the same replies and estimate what is left of their noise.

    Args:
        draws: Embedded replies of one step, shape ``(n_draws, n_models, n_prompts, n_dims)``, at least two
            independent draws.

    Raises:
        InputError: There are fewer than 2 draws, the shape is wrong, or a value is not finite.
    """
    every: NDArray[Any] = np.asarray(draws)
    if every.ndim != 4 or len(every) < 2:
        raise InputError(
            f"must have shape (n_draws, n_models, n_prompts, n_dims) with at least 2 draws; got "
            f"{every.shape}",
            field="draws",
        )
    checked = [checked_block(block, number) for number, block in enumerate(every)]
    mean = np.zeros(checked[0].shape)
    for block in checked:
        mean += block
    mean /= len(checked)
    scatter = np.zeros(mean.shape[:2])
    for block in checked:
        apart = block - mean
        scatter += np.einsum("ixp,ixp->ix", apart, apart)
    noise = scatter / (len(checked) - 1) / len(checked)
    return Averaged(mean.astype(checked[0].dtype), noise)


def without_noise(squared: ArrayLike, row_noise: ArrayLike) -> Array:
    """Take away what sampling added to squared distances between rows.

    Args:
        squared: Squared distances, shape ``(n_rows, n_rows)``, or those of each step,
            ``(n_steps, n_rows, n_rows)``.
        row_noise: What each row's noise adds, shape ``(n_rows,)`` or ``(n_steps, n_rows)``: 0 for replies
            that were not sampled. In the unit of `squared`: divided by the number of prompts if that is.

    Returns:
        Same shape: without bias, and so below 0 now and then where rows are alike; the diagonal stays 0.

    Raises:
        InputError: The shapes do not fit, or the noise is negative or not finite.
    """
    table, noise = numbers(squared, "squared"), numbers(row_noise, "row_noise")
    if table.ndim < 2 or table.shape[-1] != table.shape[-2] or noise.shape != table.shape[:-1]:
        raise InputError(
            f"{noise.shape} does not fit squared distances of shape {table.shape}", field="row_noise"
        )
    if not (noise >= 0).all() or not np.isfinite(noise).all():
        raise InputError("must be finite and at least 0", field="row_noise")
    left = table - noise[..., :, None] - noise[..., None, :]
    rows = np.arange(table.shape[-1])
    left[..., rows, rows] = 0.0
    return left
