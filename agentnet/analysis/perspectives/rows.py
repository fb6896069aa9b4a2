"""Classical scaling of more rows than a table of distances has room for (10^5 rows: 80 GB).

Distances between replies are Euclidean, so their scaling is the principal components of the rows, and the
largest eigenvalues of the rows' covariance give it without any distance. They are found by block Krylov
iterations (Musco & Musco 2015, "Randomized block Krylov methods for stronger and faster approximate singular
value decomposition", NeurIPS) from products with one block at a time: each pass over the blocks adds some
directions, until the residuals of the eigenvectors say that they are found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from agentnet.analysis.algebra import eigenvectors, orthogonal
from agentnet.analysis.perspectives.blocks import Array, Load, Mask, bad_blocks, checked_block, flat, slices
from agentnet.analysis.perspectives.scaling import Placement, with_signs
from agentnet.errors import DesignError
from agentnet.given import Count
from agentnet.streams import Streams

_EXTRA = 8
"""Directions that each pass adds beyond those asked for."""

_MOST_KEPT = 10
_PIECE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class RowScaling:
    """Coordinates found from the replies themselves; those of `Scaling` up to sign and tolerance.

    Attributes:
        coordinates: Shape ``(n_rows, n_dims)``, float64; their mean is 0, and the coordinate of largest
            magnitude in each dimension is positive.
        eigenvalues: Sums of squares of the dimensions, shape ``(n_dims,)``, falling, all positive.
        total: Sum of all eigenvalues, exact; none is negative, as the distances are Euclidean.
        axes: Orthonormal directions of flat rows, shape ``(n_prompts * n_dims_embedder, n_dims)``.
        centre: Mean of all rows, shape ``(n_prompts * n_dims_embedder,)``.
        accuracy: Residual of each eigenvector over the largest eigenvalue, shape ``(n_dims,)``.
        n_passes: How often all blocks were loaded.
    """

    coordinates: Array
    eigenvalues: Array
    total: float
    axes: Array
    centre: Array
    accuracy: Array
    n_passes: int

    @property
    def explained_share(self) -> float:
        """What the coordinates express, of all that there is; 0 where nothing differs."""
        return float(self.eigenvalues.sum()) / self.total if self.total else 0.0

    def place(self, block: ArrayLike) -> Placement:
        """Find the coordinates of rows that were not fitted.

        Args:
            block: Embedded replies, shape ``(n_new, n_prompts, n_dims_embedder)``.

        Raises:
            InputError: The shape does not fit, or a value is not finite.
        """
        new = flat(checked_block(block, 0)).astype(np.float64)
        if new.shape[1] != len(self.centre):
            raise bad_blocks(
                f"the new rows have {new.shape[1]} numbers each, those fitted {len(self.centre)}"
            )
        new -= self.centre
        coordinates: Array = new @ self.axes
        # Computed, not subtracted from all that there is: beside the axes that would leave roundings.
        new -= coordinates @ self.axes.T
        return Placement(coordinates, np.einsum("ij,ij->i", new, new))


@dataclass(frozen=True, slots=True)
class _Source:
    """The rows of all blocks, moved by `centre`, in pieces, as often as asked."""

    load: Load
    n_steps: int
    centre: Array
    shape: tuple[int, int, int]
    piece_bytes: Count

    def __iter__(self) -> Iterator[Array]:
        n_rows = self.piece_bytes // (8 * self.centre.size)
        for step in range(self.n_steps):
            rows = flat(checked_block(self.load(step), step, self.shape))
            for piece in slices(len(rows), n_rows):
                yield rows[piece] - self.centre

    def image(self, directions: Array) -> Array:
        """Multiply directions, shape ``(n_columns, k)``, by X'X of all rows: one pass."""
        total = np.zeros_like(directions)
        for rows in self:
            total += rows.T @ (rows @ directions)
        return total

    def project(self, axes: Array) -> Array:
        """Compute the coordinates of all rows on axes, shape ``(n_rows, k)``: one pass."""
        return np.concatenate([rows @ axes for rows in self])


def scale_rows(
    load: Load,
    n_steps: int,
    n_dims: int = 2,
    *,
    tolerance: float = 1e-6,
    most_passes: int = 60,
    most_kept: int = _MOST_KEPT,
    piece_bytes: int = _PIECE_BYTES,
) -> RowScaling:
    """Find the perspectives of very many rows from blocks that are loaded again and again.

    Memory holds the coordinates, one block, and about 20 (n_dims + 8) numbers for each column of a row; time
    is that of ``4 (n_dims + 8)`` operations for each number in each pass, usually 4 to 12 passes.

    Args:
        load: Gives the block of a step, shape ``(n_models, n_prompts, n_dims_embedder)``, as often as asked.
        n_steps: Number of steps.
        n_dims: How many dimensions at most.
        tolerance: Largest residual of an eigenvector, over the largest eigenvalue. An eigenvalue is off by
            about the square of it, a direction by it over the distance to the next eigenvalue.
        most_passes: Give up after so many.
        most_kept: Directions of so many passes are kept; then only the best go on. Fewer take less memory,
            and more passes.
        piece_bytes: Of a block's rows, about so much is held in double precision.

    Returns:
        The scaling, with fewer dimensions where rows span fewer.

    Raises:
        InputError: A block cannot be used, there are fewer than 2 rows, or the eigenvalues are too even to be
            told apart in `most_passes`.
        DesignError: `n_steps`, `n_dims`, `most_passes` or `tolerance` is out of range.
    """
    _check_options(n_steps, n_dims, tolerance, most_passes)
    source, total = _centred(load, n_steps, piece_bytes)
    found, n_passes = _krylov(source, n_dims, tolerance, most_passes, most_kept)
    found = found.first(found.values > 1e-12 * total)
    coordinates = source.project(found.axes)
    signed = with_signs(coordinates)
    axes = found.axes * np.where((signed == coordinates).all(axis=0), 1.0, -1.0)
    return RowScaling(signed, found.values, total, axes, source.centre, found.accuracy(), n_passes + 2)


def _check_options(n_steps: int, n_dims: int, tolerance: float, most_passes: int) -> None:
    for name, value in (("n_steps", n_steps), ("n_dims", n_dims), ("most_passes", most_passes)):
        if value < 1:
            raise DesignError(f"{name} must be at least 1; got {value}")
    if not 0 < tolerance < 1:
        raise DesignError(f"tolerance lies between 0 and 1; got {tolerance}")


def _centred(load: Load, n_steps: int, piece_bytes: int) -> tuple[_Source, float]:
    """Find the centre of all rows and the sum of their squared distances to it: one pass."""
    first = checked_block(load(0), 0)
    shape = (first.shape[0], first.shape[1], first.shape[2])
    if n_steps * shape[0] < 2:
        raise bad_blocks("there is 1 row; at least 2 are needed")
    reference = flat(first).mean(axis=0, dtype=np.float64)
    total, squared = np.zeros_like(reference), 0.0
    for rows in _Source(load, n_steps, reference, shape, piece_bytes):
        total += rows.sum(axis=0)
        squared += float(np.einsum("ij,ij->", rows, rows))
    n_rows = n_steps * shape[0]
    left = squared - float(total @ total) / n_rows
    rounding = n_rows * float(np.finfo(np.float64).eps) * squared
    source = _Source(load, n_steps, reference + total / n_rows, shape, piece_bytes)
    return source, left if left > rounding else 0.0


@dataclass(frozen=True, slots=True)
class _Found:
    """Approximate eigenvectors, and what they leave.

    Attributes:
        axes: Orthonormal, shape ``(n_columns, width)``.
        images: X'X times the axes, same shape.
        values: Their eigenvalues, shape ``(width,)``, falling.
    """

    axes: Array
    images: Array
    values: Array

    @property
    def residual(self) -> Array:
        return self.images - self.axes * self.values

    def accuracy(self) -> Array:
        largest = self.values.max(initial=0.0)
        norm: Array = np.linalg.norm(self.residual, axis=0)
        return norm / largest if largest > 0 else np.zeros_like(norm)

    def first(self, kept: Mask) -> _Found:
        return _Found(self.axes[:, kept], self.images[:, kept], self.values[kept])


def _krylov(
    source: _Source, n_dims: int, tolerance: float, most_passes: int, most_kept: int
) -> tuple[_Found, int]:
    """Find the `n_dims` largest eigenvectors of X'X; return them and the number of passes."""
    n_columns = source.centre.size
    width = min(n_dims + _EXTRA, n_columns)
    new = orthogonal(Streams(0).generator("krylov").standard_normal((n_columns, width)))[0]
    basis = images = np.zeros((n_columns, 0))
    accuracy = np.zeros(0)
    for n_passes in range(1, most_passes + 1):
        basis, images = np.hstack([basis, new]), np.hstack([images, source.image(new)])
        found = _best(basis, images, width)
        accuracy = found.accuracy()[:n_dims]
        new = _new_directions(found, basis)
        # Without a new direction the basis holds all that the rows span.
        if not new.shape[1] or (accuracy <= tolerance).all():
            return found.first(np.arange(width) < n_dims), n_passes
        if basis.shape[1] + width > most_kept * width:
            basis, images = found.axes, found.images
    raise bad_blocks(
        f"after {most_passes} passes the axes are found to {accuracy.max():.1g} of the largest eigenvalue "
        "only: the eigenvalues are too even; ask for fewer dimensions, or allow more tolerance or passes"
    )


def _best(basis: Array, images: Array, width: int) -> _Found:
    """Find the best approximations that a basis holds (Rayleigh-Ritz)."""
    values, weights = eigenvectors(basis.T @ images)
    values, weights = values[::-1][:width], weights[:, ::-1][:, :width]
    return _Found(basis @ weights, images @ weights, values)


def _new_directions(found: _Found, basis: Array) -> Array:
    """Find what the residuals point to outside the basis, orthonormal; columns that point nowhere go."""
    new = found.residual
    for least in (1e-14 * found.values.max(initial=0.0), 0.5):
        # Once is not enough: what rounding leaves of the basis is large beside a small residual.
        new = new - basis @ (basis.T @ new)
        norm = np.linalg.norm(new, axis=0)
        new = new[:, norm > least] / norm[norm > least]
        new, upper = orthogonal(new)
        new = new[:, np.abs(np.diagonal(upper)) > 1e-8]
    return new
