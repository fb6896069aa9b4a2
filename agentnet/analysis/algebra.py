"""Linear algebra where it meets data: what analysis and report decompose or solve goes through here.

Whether a matrix is singular is a question about data, and its answer is for whoever has the data. NumPy's own
error names neither, so each routine either does without a full rank (`least_norm`) or says in words that the
data determine nothing, or are not finite (`InputError`). A test holds that no other module calls NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

Array = NDArray[np.float64]


def solve(matrix: Array, right: Array) -> Array:
    """Solve ``matrix @ x = right``.

    Raises:
        InputError: The matrix is singular, or something in it is not finite.
    """
    found = _in_words(lambda: np.linalg.solve(matrix, right))
    if not np.isfinite(found).all():
        raise _singular()
    return np.asarray(found, dtype=np.float64)


def inverse(matrix: Array) -> Array:
    """Invert a matrix.

    Raises:
        InputError: It is singular, or something in it is not finite.
    """
    return solve(matrix, np.eye(len(matrix)))


def least_norm(matrices: Array, right: Array) -> Array:
    """Solve many symmetric systems; where one is singular take the shortest of its best solutions.

    Args:
        matrices: Shape ``(n, size, size)``.
        right: Shape ``(n, size)``.

    Returns:
        Shape ``(n, size)``; NaN for a system in which something is not finite.
    """
    found = np.full(right.shape, np.nan)
    usable = np.isfinite(matrices).all(axis=(1, 2)) & np.isfinite(right).all(axis=1)
    matrices, columns = matrices[usable], right[usable][:, :, None]
    try:
        found[usable] = np.linalg.solve(matrices, columns)[:, :, 0]
    except np.linalg.LinAlgError:
        found[usable] = (np.linalg.pinv(matrices, hermitian=True) @ columns)[:, :, 0]
    return found


def _told(routine: Callable[..., Any]) -> Callable[..., Any]:
    """Have a routine of NumPy's say in words where something that it is given is not finite."""
    return lambda *given: _in_words(lambda: routine(*given))


pseudo_inverse: Callable[[Array], Array] = _told(partial(np.linalg.pinv, hermitian=True))
"""Inverts a symmetric matrix on what it does not send to 0."""

eigenvectors: Callable[[Array], tuple[Array, Array]] = _told(np.linalg.eigh)
"""Finds the eigenvalues, rising, and eigenvectors of a symmetric matrix, or of a stack of them."""

eigenvalues: Callable[[Array], Array] = _told(np.linalg.eigvalsh)
"""Finds the eigenvalues of a symmetric matrix, rising."""

singular_vectors: Callable[[Array], tuple[Array, Array, Array]] = _told(np.linalg.svd)
"""Decomposes a matrix, or a stack of them, into left vectors, singular values, and right vectors (rows)."""

orthogonal: Callable[[Array], tuple[Array, Array]] = _told(np.linalg.qr)
"""Writes columns as orthonormal ones times an upper triangle."""


def largest(operator: LinearOperator, n: int, start: Array, tolerance: float) -> tuple[Array, Array]:
    """Find the largest eigenvalues of a symmetric operator, and their eigenvectors, by Lanczos iterations.

    Args:
        operator: Applies the matrix, of `size` rows.
        n: How many.
        start: Where the iterations begin, shape ``(size,)``.
        tolerance: Relative accuracy; 0 for machine precision.

    Raises:
        InputError: The iterations do not converge.
    """
    from scipy.sparse.linalg import ArpackError, eigsh

    try:
        values, vectors = eigsh(operator, k=n, which="LA", v0=start, tol=tolerance)
    except ArpackError as error:
        raise InputError(f"the {n} largest eigenvalues cannot be found: {error}") from error
    return values, vectors


def null_space(rows: Array, zero: float = 1e-9) -> Array:
    """Find an orthonormal basis of the directions that no row sees, shape ``(n_columns, n)``.

    Args:
        rows: Shape ``(n_rows, n_columns)``.
        zero: Singular values up to this are taken as 0.

    Raises:
        InputError: Something in it is not finite.
    """
    _, singular, right = singular_vectors(rows)
    basis: Array = right[int((singular > zero).sum()) :].T
    return basis


def rank(matrix: Array, *, symmetric: bool = False) -> int:
    """Count the independent columns of a matrix.

    Raises:
        InputError: Something in it is not finite.
    """
    return int(_in_words(lambda: np.linalg.matrix_rank(matrix, hermitian=symmetric)))


def log_determinant(matrix: Array) -> float:
    """Compute the log of the absolute determinant; -infinity where the matrix is singular."""
    return float(np.linalg.slogdet(matrix)[1])


def least_squares_fit(design: Array, values: Array) -> Array:
    """Fit columns of `values` by those of `design`; give the fitted values.

    Raises:
        InputError: Something in them is not finite.
    """
    fitted: Array = design @ _in_words(lambda: np.linalg.lstsq(design, values)[0])
    return fitted


def _in_words(compute: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the routine gives
    try:
        return compute()
    except np.linalg.LinAlgError:
        raise _singular() from None


def _singular() -> InputError:
    return InputError(
        "the data determine no estimate: the equations for it are singular (too few data that differ, or "
        "covariates that cannot be told apart)"
    )
