"""Perspectives: coordinates whose distances are those between the models' replies (classical scaling).

Torgerson 1952, "Multidimensional scaling: I. Theory and method", Psychometrika 17; Gower 1966, "Some distance
properties of latent root and vector methods", Biometrika 53. Placing new rows: Gower 1968, "Adding a point to
vector diagrams in multivariate analysis", Biometrika 55.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.algebra import eigenvalues, eigenvectors, largest, singular_vectors
from agentnet.analysis.given import numbers
from agentnet.analysis.perspectives.blocks import Array, slices
from agentnet.errors import DesignError, InputError
from agentnet.streams import Streams

_bad = partial(InputError, field="squared")


@dataclass(frozen=True, slots=True)
class Placement:
    """New rows in the coordinates of a scaling that did not know them.

    Attributes:
        coordinates: Shape ``(n_new, n_dims)``.
        residual: Squared distance of each new row to what the coordinates can express, shape ``(n_new,)``;
            below 0 only where distances are not Euclidean.
    """

    coordinates: Array
    residual: Array


@dataclass(frozen=True, slots=True)
class Scaling:
    """Coordinates found by classical scaling.

    Attributes:
        coordinates: Shape ``(n_rows, n_dims)``; their mean is 0, and the coordinate of largest magnitude in
            each dimension is positive.
        eigenvalues: Sums of squares of the dimensions, shape ``(n_dims,)``, falling, all positive.
        total: Sum of the magnitudes of all eigenvalues (at least that, where `exact` is false).
        negative_share: Negative eigenvalues over `total`: what no coordinates can express.
        exact: Whether `total` and `negative_share` are exact; else they are lower bounds.
        row_means: Mean squared distance from each row to all rows, shape ``(n_rows,)``.
    """

    coordinates: Array
    eigenvalues: Array
    total: float
    negative_share: float
    exact: bool
    row_means: Array

    @property
    def explained_share(self) -> float:
        """What the coordinates express, of all that there is; 0 where nothing differs."""
        return float(self.eigenvalues.sum()) / self.total if self.total else 0.0

    @property
    def residual(self) -> Array:
        """Squared distance of each fitted row to what the coordinates express, shape ``(n_rows,)``."""
        residual: Array = self._squared_radius(self.row_means) - (self.coordinates**2).sum(axis=1)
        return residual

    def by_step(self, n_models: int) -> Array:
        """Arrange the coordinates by step and model.

        Returns:
            Shape ``(n_steps, n_models, n_dims)``.

        Raises:
            InputError: The rows are no whole number of steps.
        """
        return by_step(self.coordinates, n_models)

    def place(self, squared: ArrayLike) -> Placement:
        """Find coordinates for rows that were not fitted: y = L^-1 Z' (mean - squared) / 2.

        A row that was fitted is placed on its own coordinates. The work is that of a small product, so that a
        step can be placed while a run goes on; fitting anew now and then is another matter, see
        `needs_refit`.

        Args:
            squared: Squared distances from each new row to the fitted rows, shape ``(n_new, n_rows)``.

        Raises:
            InputError: The shape does not fit, or a distance is not finite.
        """
        new = numbers(squared, "squared")
        if new.ndim != 2 or new.shape[1] != len(self.row_means):
            raise _bad(
                f"new rows must have shape (n_new, {len(self.row_means)}), a distance to each fitted row; "
                f"got {new.shape}"
            )
        _check_finite(new)
        coordinates = (self.row_means - new) @ (self.coordinates / self.eigenvalues) / 2
        residual = self._squared_radius(new.mean(axis=1)) - (coordinates**2).sum(axis=1)
        return Placement(coordinates, residual)

    def needs_refit(self, placement: Placement, *, factor: float = 2.0) -> bool:
        """Tell whether new rows lie so far from what the coordinates express that all should be fitted anew.

        That is, whether their mean residual is more than `factor` times that of the fitted rows (plus what
        rounding leaves). A rule of thumb: fitted rows are always nearer, as the coordinates were made for
        them.

        Raises:
            DesignError: `factor` is below 1.
        """
        if factor < 1:
            raise DesignError(f"factor must be at least 1; got {factor}")
        rounding = 1e-9 * float(self.row_means.mean())
        return float(placement.residual.mean()) > factor * max(float(self.residual.mean()), 0.0) + rounding

    def _squared_radius(self, row_means: Array) -> Array:
        """Turn mean squared distances to the fitted rows into squared distances to their centre."""
        squared: Array = row_means - self.row_means.mean() / 2
        return squared


def classical_scaling(
    squared: ArrayLike,
    n_dims: int | None = None,
    *,
    of_points: bool = False,
    n_dense: int = 1_000,
    n_all_values: int = 2_000,
) -> Scaling:
    """Find coordinates that express squared distances as well as possible.

    B = -J D2 J / 2 = U L U', Z = U L^(1/2) over the largest positive eigenvalues. Up to `n_dense` rows, and
    where all dimensions are asked for, the decomposition is full; beyond, Lanczos iterations find `n_dims`
    eigenvectors (to machine precision), and beyond `n_all_values` rows the share of negative eigenvalues is
    only bounded from below, by the lowest of them.

    Args:
        squared: Squared distances, shape ``(n_rows, n_rows)``: symmetric, 0 on the diagonal; others may be
            negative, as they are where noise was removed.
        n_dims: How many dimensions at most; None for all.
        of_points: Whether these are the distances of points, with nothing taken away: then no eigenvalue is
            negative but by rounding, and none is looked for.
        n_dense: Rows of which the decomposition is full.
        n_all_values: Rows of which all eigenvalues are found.

    Returns:
        The scaling, with fewer dimensions where fewer eigenvalues are positive (none where nothing differs).

    Raises:
        InputError: There are fewer than 2 rows, a distance is not finite, or the table is not symmetric with
            0 on its diagonal.
        DesignError: `n_dims` is below 1.
    """
    table = _checked(squared)
    if n_dims is not None and n_dims < 1:
        raise DesignError(f"n_dims must be at least 1; got {n_dims}")
    row_means = table.mean(axis=1)
    n_rows = len(table)
    if n_dims is None or n_rows <= n_dense:
        values, vectors = eigenvectors(_centred(table, row_means))
        spectrum, exact = values, True
    else:
        n_dims = min(n_dims, n_rows - 1)
        values, vectors = _largest(table, n_dims)
        exact = of_points or n_rows <= n_all_values
        looked_for = exact and not of_points
        spectrum = eigenvalues(_centred(table, row_means)) if looked_for else values
    kept = _positive(values, n_rows)[:n_dims]
    negative = _negative(spectrum, n_rows) if exact else _lowest(table, float(values.max()))
    # The trace of B is known without its eigenvalues: positive ones less negative ones.
    total = max(float(row_means.sum()) / 2 + 2 * negative, 0.0)
    coordinates = with_signs(vectors[:, kept] * np.sqrt(values[kept]))
    share = negative / total if total else 0.0
    return Scaling(coordinates, values[kept], total, share, exact, row_means)


def _checked(squared: ArrayLike) -> Array:
    table = numbers(squared, "squared")
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
        raise _bad(f"squared distances must be a square table of at least 2 rows; got shape {table.shape}")
    _check_finite(table)
    scale = 1e-8 * max(float(table.max()), -float(table.min()))
    for rows in slices(len(table), 1_000):
        uneven = np.abs(table[rows] - table[:, rows].T) > scale
        if uneven.any():
            row, column = np.argwhere(uneven)[0] + (rows.start, 0)
            raise _bad(
                f"the distance from row {row} to row {column} is {table[row, column]:g}, but "
                f"{table[column, row]:g} the other way"
            )
    if (np.abs(np.diagonal(table)) > scale).any():
        row = int(np.argmax(np.abs(np.diagonal(table))))
        raise _bad(f"row {row} is at {table[row, row]:g} from itself; the diagonal must be 0")
    return table


def _check_finite(table: Array) -> None:
    # Sums are cheaper than a table of flags, and not finite if anything in them is not.
    if not np.isfinite(table.sum()):
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise _bad(f"the distance from row {row} to row {column} is {table[row, column]}")


def _centred(table: Array, row_means: Array) -> Array:
    """Compute B = -J D2 J / 2."""
    centred: Array = table - row_means
    centred -= row_means[:, None] - row_means.mean()
    centred *= -0.5
    return centred


def _largest(
    table: Array, n_dims: int, shift: float = 0.0, sign: float = 1.0, tolerance: float = 0.0
) -> tuple[Array, Array]:
    """Find the largest eigenvalues of ``shift + sign * B`` by Lanczos iterations, without making B."""
    from scipy.sparse.linalg import LinearOperator

    n_rows = len(table)

    def apply(vector: Array) -> Array:
        image = table @ (vector - vector.mean())
        moved: Array = shift * vector - sign / 2 * (image - image.mean())
        return moved

    operator = LinearOperator((n_rows, n_rows), matvec=apply, dtype=np.float64)
    start = Streams(0).generator("lanczos").standard_normal(n_rows)
    return largest(operator, n_dims, start, tolerance)


def _lowest(table: Array, largest: float) -> float:
    """Find the magnitude of the lowest eigenvalue of B, if it is negative."""
    values, _ = _largest(table, 1, shift=largest, sign=-1.0, tolerance=1e-6)
    lowest = largest - float(values[0])
    return -lowest if lowest < -1e-6 * largest else 0.0


def _cutoff(values: Array, n_rows: int) -> float:
    return n_rows * float(np.finfo(np.float64).eps) * float(np.abs(values).max())


def _positive(values: Array, n_rows: int) -> NDArray[np.intp]:
    """Find the positive eigenvalues, largest first; what rounding leaves of 0 is none."""
    falling = np.argsort(values)[::-1]
    return falling[values[falling] > _cutoff(values, n_rows)]


def _negative(values: Array, n_rows: int) -> float:
    return abs(float(values[values < -_cutoff(values, n_rows)].sum()))


def with_signs(coordinates: Array) -> Array:
    """Choose the sign of each dimension: its coordinate of largest magnitude is positive.

    Among coordinates that are equal up to rounding, the first decides, so that rounding never does.
    """
    if not coordinates.size:
        return coordinates
    size = np.abs(coordinates)
    first = np.argmax(size >= (1 - 1e-6) * size.max(axis=0), axis=0)
    deciding = coordinates[first, np.arange(coordinates.shape[1])]
    return coordinates * np.where(deciding < 0, -1.0, 1.0)


def by_step(coordinates: Array, n_models: int) -> Array:
    """Arrange rows by step and model.

    Args:
        coordinates: Shape ``(n_steps * n_models, n_dims)``.
        n_models: Number of models.

    Returns:
        Shape ``(n_steps, n_models, n_dims)``.

    Raises:
        InputError: The rows are no whole number of steps.
    """
    if n_models < 1 or len(coordinates) % n_models:
        raise _bad(f"{len(coordinates)} rows are no whole number of steps of {n_models} models")
    return coordinates.reshape(len(coordinates) // n_models, n_models, coordinates.shape[1])


@dataclass(frozen=True, slots=True)
class Alignment:
    """A fit turned onto an earlier one; no distance within it changes.

    Attributes:
        coordinates: The turned and moved rows, shape ``(n_rows, n_dims)``.
        rotation: Orthogonal, shape ``(n_dims, n_dims)``: ``coordinates = rows @ rotation + shift``.
        shift: Shape ``(n_dims,)``.
        rms: Root mean squared distance that remains between the rows that both fits know.
    """

    coordinates: Array
    rotation: Array
    shift: Array
    rms: float


def align(coordinates: ArrayLike, earlier: ArrayLike) -> Alignment:
    """Turn a new fit onto an earlier one, so that rows that both know stay where they were.

    Orthogonal Procrustes problem with a shift (Schönemann 1966, "A generalized solution of the orthogonal
    Procrustes problem", Psychometrika 31).

    Args:
        coordinates: The new fit, shape ``(n_rows, n_dims)``; its first rows are those of the earlier one.
        earlier: The earlier fit, shape ``(n_earlier, n_dims_earlier)``; the fit with fewer dimensions is
            given zeros for the others.

    Raises:
        InputError: There are no earlier rows, more than new ones, or something is not finite.
    """
    new, old = _points("coordinates", coordinates), _points("earlier", earlier)
    if not 0 < len(old) <= len(new):
        raise InputError(
            f"the new fit has {len(new)} rows, the earlier {len(old)}; the new one must "
            "begin with all earlier rows",
            field="earlier",
        )
    n_dims = max(new.shape[1], old.shape[1])
    new, old = _widened(new, n_dims), _widened(old, n_dims)
    common = new[: len(old)]
    left, _, right = singular_vectors((common - common.mean(axis=0)).T @ (old - old.mean(axis=0)))
    rotation = left @ right
    shift = old.mean(axis=0) - common.mean(axis=0) @ rotation
    turned = new @ rotation + shift
    rms = float(np.sqrt(((turned[: len(old)] - old) ** 2).sum(axis=1).mean()))
    return Alignment(turned, rotation, shift, rms)


def _points(name: str, values: ArrayLike) -> Array:
    points = numbers(values, name)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise InputError(f"must be finite, of shape (n_rows, n_dims); got shape {points.shape}", field=name)
    return points


def _widened(points: Array, n_dims: int) -> Array:
    return np.pad(points, ((0, 0), (0, n_dims - points.shape[1])))
