"""Squared distances between what models replied: ||E_r - E_s||_F^2 for all rows r = step * n_models + model.

The replies dominate memory, not the distances (25 models, 51 steps, 400 prompts, 384 dimensions: 783 MB
against 13 MB). So inner products are computed tile by tile from blocks that are loaded again, and only they
are kept. Replies are first moved by the mean of the first block: distances stay, and what would cancel goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.given import numbers
from agentnet.analysis.perspectives.blocks import (
    Array,
    Floats,
    Load,
    Scratch,
    Shape,
    bad_blocks,
    checked_block,
    flat,
    slices,
)
from agentnet.errors import DesignError

_COLUMNS = 8_192
"""Products are summed in the replies' own precision over so many columns, and beyond in double precision."""

_NOISE = {"f4": 8 * 2.0**-23, "f8": 64 * 2.0**-52}
"""Distances below so much of the rows' squared lengths are taken for roundings, and become 0."""


@dataclass(slots=True)
class SquaredDistances:
    """The growing table of squared distances: a block of `n_models` new rows for each step.

    For float32 replies, products are float32 and sums float64: the error of a distance is about 1e-7 of the
    squared lengths of its two rows, measured from the mean of the first block; what is within 8 roundings
    of 0 becomes 0, so that replies that did not change have no distance (of 400 unit vectors, one must turn
    by one or two degrees to count).

    Args:
        load: Gives the block of an earlier step again. Without it, blocks are kept in a temporary file.
        memory_bytes: How much of the replies is held at once; more means fewer times that earlier blocks are
            loaded. Two blocks are held at least, and one more while it is read.
        folder: Where the temporary file is made; None for the system's place.

    Examples:
        >>> with SquaredDistances() as distances:
        ...     distances.append(np.array([[[0.0]], [[3.0]]]))
        ...     distances.append(np.array([[[0.0]], [[7.0]]]))
        ...     distances.table()
        array([[ 0.,  9.,  0., 49.],
               [ 9.,  0.,  9., 16.],
               [ 0.,  9.,  0., 49.],
               [49., 16., 49.,  0.]])
    """

    load: Load | None = None
    memory_bytes: int = 256 * 2**20
    folder: Path | None = None
    n_steps: int = field(init=False, default=0)
    _shape: Shape | None = field(init=False, default=None, repr=False)
    _reference: Floats = field(init=False, repr=False)
    _strips: list[Array] = field(init=False, default_factory=list, repr=False)
    _scratch: Scratch = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.memory_bytes <= 0:
            raise DesignError(f"memory_bytes must be above 0; got {self.memory_bytes}")
        self._scratch = Scratch(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the temporary file go; the table stays."""
        self._scratch.close()

    @property
    def n_models(self) -> int:
        """Rows of a step; 0 before the first."""
        return self._shape[0] if self._shape else 0

    def append(self, block: ArrayLike) -> None:
        """Add the next step.

        Args:
            block: Embedded replies, shape ``(n_models, n_prompts, n_dims)``.

        Raises:
            InputError: It has not the first step's shape or type, a value is not finite, or an earlier block
                is loaded differently than it was added.
        """
        self.extend([block])

    def extend(self, blocks: Iterable[ArrayLike]) -> None:
        """Add the next steps, as many at once as memory allows: fewer loads than one by one.

        Args:
            blocks: Embedded replies of each step, shape ``(n_models, n_prompts, n_dims)``.

        Raises:
            InputError: As for `append`; the steps before the refused one's group are kept.
        """
        checked = (self._checked(block, number) for number, block in enumerate(blocks, self.n_steps))
        places: list[Floats] = []
        for first in checked:
            places = places or self._places()
            self._add(self._moved(first, checked, places[0]), places[1])

    def table(self, *, per_prompt: bool = False) -> Array:
        """Compute the squared distances between all rows so far.

        Args:
            per_prompt: Divide by the number of prompts.

        Returns:
            Shape ``(n_rows, n_rows)``, float64: exactly symmetric, 0 on the diagonal, none negative.
        """
        n_rows = self.n_steps * self.n_models
        table = np.zeros((n_rows, n_rows))
        lengths = np.concatenate([_diagonal(strip) for strip in self._strips] or [np.zeros(0)])
        for strip, start in zip(self._strips, self._starts(), strict=True):
            rows, columns = slice(start, start + len(strip)), slice(0, strip.shape[1])
            part = _squared(strip, lengths[rows], lengths[columns], self._reference.dtype)
            table[rows, columns] = part
            table[columns, rows] = part.T
        np.fill_diagonal(table, 0.0)
        if per_prompt and self._shape:
            table /= self._shape[1]
        return table

    def _starts(self) -> Iterator[int]:
        return (strip.shape[1] - len(strip) for strip in self._strips)

    def _checked(self, block: ArrayLike, step: int) -> Floats:
        array = checked_block(block, step, self._shape)
        if self._shape is None:
            self._shape = (array.shape[0], array.shape[1], array.shape[2])
            self._reference = array.mean(axis=0, dtype=np.float64).astype(array.dtype).ravel()
        return self._fitting(array, step)

    def _fitting(self, block: Floats, step: int) -> Floats:
        if block.dtype != self._reference.dtype:
            raise bad_blocks(
                f"step {step} holds {block.dtype}, but the first {self._reference.dtype}; use one of them"
            )
        return block

    def _places(self) -> list[Floats]:
        """Make room for the rows of a group and for as many earlier ones; fresh room for each costs time."""
        row_bytes = self._reference.nbytes
        n_steps = max(self.memory_bytes // (2 * self.n_models * row_bytes), 1)
        return [np.empty((n_steps * self.n_models, row.size), row.dtype) for row in [self._reference] * 2]

    def _moved(self, first: Floats, others: Iterator[Floats], rows: Floats) -> Floats:
        """Stack the rows of blocks, moved by the reference, as many as there is place for."""
        n_filled = 0
        for block in chain([first], islice(others, len(rows) // self.n_models - 1)):
            if self.load is None:
                self._scratch.keep(self.n_steps + n_filled // self.n_models, block)
            np.subtract(flat(block), self._reference, out=rows[n_filled : n_filled + self.n_models])
            n_filled += self.n_models
        return rows[:n_filled]

    def _add(self, rows: Floats, again: Floats) -> None:
        n_new, n_old = len(rows), self.n_steps * self.n_models
        strip = np.empty((n_new, n_old + n_new))
        for columns in slices(n_old, len(again)):
            strip[:, columns] = products(rows, self._again(columns, again))
        strip[:, n_old:] = products(rows, rows)
        if not np.isfinite(_diagonal(strip)).all():
            raise bad_blocks(
                f"the numbers are too large for {rows.dtype}; scale the embeddings to unit length"
            )
        self._strips.append(strip)
        self.n_steps += n_new // self.n_models

    def _again(self, rows: slice, again: Floats) -> Floats:
        """Load the rows of earlier steps, whole steps of them, again."""
        load: Callable[[int], Any] = self.load or self._scratch.load
        for number, step in enumerate(range(rows.start // self.n_models, rows.stop // self.n_models)):
            part = again[number * self.n_models : (number + 1) * self.n_models]
            block = self._fitting(checked_block(load(step), step, self._shape, finite=False), step)
            np.subtract(flat(block), self._reference, out=part)
            self._check_same(part, step)
        return again[: rows.stop - rows.start]

    def _check_same(self, rows: Floats, step: int) -> None:
        known = self._squares(step)
        now = np.vecdot(rows, rows)
        # Sums in single precision round otherwise than those kept; another reply changes more than that.
        if not np.allclose(now, known, rtol=1e-4, atol=1e-4 * known.max(initial=0.0)):
            raise bad_blocks(
                f"step {step} is not what it was when it was added; its replies must stay as they are"
            )

    def _squares(self, step: int) -> Array:
        row = step * self.n_models
        for strip, start in zip(self._strips, self._starts(), strict=True):
            if row < start + len(strip):
                return _diagonal(strip)[row - start : row - start + self.n_models]
        raise AssertionError("every earlier step has its products")


def _diagonal(strip: Array) -> Array:
    """Take each row's product with itself from a strip, which ends with the rows' products of their own."""
    return np.diagonal(strip, strip.shape[1] - len(strip))


def products(rows: Floats, others: Floats) -> Array:
    """Compute inner products, summed in float64 over pieces of the columns.

    Args:
        rows: Shape ``(n_rows, n_columns)``.
        others: Shape ``(n_others, n_columns)``.

    Returns:
        Shape ``(n_rows, n_others)``, float64.
    """
    total = np.zeros((len(rows), len(others)))
    # What overflows is refused where all products of a row with itself are known.
    with np.errstate(over="ignore", invalid="ignore"):
        for piece in slices(rows.shape[1], _COLUMNS):
            total += rows[:, piece] @ others[:, piece].T
    return total


def squares(rows: Floats) -> Array:
    """Compute each row's product with itself, shape ``(n_rows,)``."""
    return np.array([products(row[None], row[None])[0, 0] for row in rows])


def _squared(product: Array, left: Array, right: Array, dtype: np.dtype[Any]) -> Array:
    lengths = left[:, None] + right
    squared = lengths - 2.0 * product
    squared[squared <= _NOISE[dtype.str[1:]] * lengths] = 0.0
    return squared


def squared_distances(
    blocks: Iterable[ArrayLike] | Load,
    n_steps: int | None = None,
    *,
    per_prompt: bool = False,
    memory_bytes: int = 256 * 2**20,
) -> Array:
    """Compute the squared distances between all models at all steps, without holding their replies.

    Args:
        blocks: Embedded replies of each step, shape ``(n_models, n_prompts, n_dims)``: an array of shape
            ``(n_steps, n_models, n_prompts, n_dims)``, anything that yields blocks once (they are kept in a
            temporary file), or a function that loads the block of a step as often as asked.
        n_steps: Number of steps; needed with a function, and else all that come.
        per_prompt: Divide by the number of prompts.
        memory_bytes: How much of the replies is held at once.

    Returns:
        Shape ``(n_rows, n_rows)``, float64; row r is model ``r % n_models`` at step ``r // n_models``.

    Raises:
        InputError: There is no block, or one has another shape than the first or a value that is not finite.
        DesignError: `n_steps` is missing or below 1.
    """
    load = loader(blocks)
    if n_steps is not None and n_steps < 1:
        raise DesignError(f"n_steps must be at least 1; got {n_steps}")
    if callable(blocks) and n_steps is None:
        raise DesignError("n_steps must be given with a function that loads blocks")
    with SquaredDistances(load, memory_bytes=memory_bytes) as distances:
        distances.extend(map(blocks, range(n_steps or 0)) if callable(blocks) else islice(blocks, n_steps))
        if not distances.n_steps or (n_steps is not None and distances.n_steps < n_steps):
            raise bad_blocks(f"there are {distances.n_steps} blocks; {n_steps or 'at least 1'} are needed")
        return distances.table(per_prompt=per_prompt)


def loader(blocks: Iterable[ArrayLike] | Load) -> Load | None:
    """Find a way to load blocks as often as asked; None for what yields them once."""
    if callable(blocks):
        return blocks
    return blocks.__getitem__ if isinstance(blocks, np.ndarray | list | tuple) else None


def distances_to(landmarks: ArrayLike, block: ArrayLike) -> Array:
    """Compute the squared distances of one block to some kept rows, for placing it without all others.

    Placing rows by their distances to landmarks (de Silva & Tenenbaum 2004, "Sparse multidimensional scaling
    using landmark points") is exact for what lies in the space of the landmarks' coordinates, and leaves out
    the rest; the residual of the placement says how much. `scale_rows` leaves out nothing.

    Args:
        landmarks: Embedded replies of the kept rows, shape ``(n_landmarks, n_prompts, n_dims)``.
        block: Embedded replies of the others, shape ``(n_models, n_prompts, n_dims)``.

    Returns:
        Shape ``(n_models, n_landmarks)``; to be handed to `Scaling.place` of the landmarks' scaling.

    Raises:
        InputError: The shapes do not fit, or a value is not finite.
    """
    kept = checked_block(landmarks, 0)
    new = checked_block(block, 1, (*np.shape(block)[:1], *kept.shape[1:]))
    dtype = np.result_type(kept, new)
    reference = kept.mean(axis=0, dtype=np.float64).astype(dtype).ravel()
    left, right = flat(new) - reference, flat(kept) - reference
    return _squared(products(left, right), squares(left), squares(right), dtype)


def within_steps(squared: ArrayLike, n_models: int) -> Array:
    """Cut the distances between models at the same step out of the table.

    Args:
        squared: Squared distances, shape ``(n_rows, n_rows)``.
        n_models: Number of models; divides the number of rows.

    Returns:
        Shape ``(n_steps, n_models, n_models)``.
    """
    by_step = _by_step(squared, n_models)
    steps = np.arange(len(by_step))
    return by_step[steps, :, steps, :]


def moves(squared: ArrayLike, n_models: int) -> Array:
    """Cut each model's squared distances from one step to the next out of the table.

    Args:
        squared: Squared distances, shape ``(n_rows, n_rows)``.
        n_models: Number of models; divides the number of rows.

    Returns:
        Shape ``(n_steps - 1, n_models)``; row s is the move to step s + 1.
    """
    by_step = _by_step(squared, n_models)
    steps, models = np.arange(len(by_step) - 1)[:, None], np.arange(n_models)
    return by_step[steps + 1, models, steps, models]


def _by_step(squared: ArrayLike, n_models: int) -> NDArray[np.float64]:
    table = numbers(squared, "squared")
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise bad_blocks(f"squared distances must be a square table; got shape {table.shape}")
    if n_models < 1 or len(table) % n_models:
        raise bad_blocks(f"{len(table)} rows are no whole number of steps of {n_models} models")
    n_steps = len(table) // n_models
    return table.reshape(n_steps, n_models, n_steps, n_models)
