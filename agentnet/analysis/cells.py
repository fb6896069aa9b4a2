"""Count single decisions, row by row, into the cells that logistic laws are fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.analysis.tables import N_CELLS, Cells, Ints
from agentnet.errors import InputError
from agentnet.given import Count
from agentnet.vocabulary import N_PROFILES


def count_cells(
    profile: ArrayLike,
    severity: ArrayLike,
    decision: ArrayLike,
    cluster: ArrayLike | None = None,
    *,
    n_at_once: Count = 1 << 16,
) -> Cells:
    """Count decisions, one row for each exposure; leave invalid decisions out beforehand.

    Args:
        profile: Profile numbers 0..31, shape ``(n_exposures,)``.
        severity: 0 peaceful, 1 severe, same shape.
        decision: 0 no, 1 yes, same shape.
        cluster: Cluster numbers 0, 1, ... of the rows (realization or news item), same shape.
        n_at_once: Rows that are counted at a time, or more with many clusters.

    Returns:
        The cells, with counts by cluster if clusters were given.

    Raises:
        InputError: A column is out of its range or of another length.

    Examples:
        >>> cells = count_cells(profile=[16, 16, 0], severity=[0, 0, 1], decision=[1, 0, 0])
        >>> int(cells.n_yes[16, 0]), int(cells.n_no[0, 1]), cells.n_exposures
        (1, 1, 3)
    """
    columns = {"profile": profile, "severity": severity, "decision": decision}
    if cluster is not None:
        columns["cluster"] = cluster
    rows = {name: _column(name, values) for name, values in columns.items()}
    if len({row.size for row in rows.values()}) > 1:
        sizes = ", ".join(f"{name} {row.size}" for name, row in rows.items())
        raise InputError(f"columns have different lengths: {sizes}")
    if cluster is None:
        both = _tally(rows, n_at_once).reshape(N_PROFILES, 2, 2)
        return Cells(both[..., 1], both[..., 0])
    each = _tally_clusters(rows, n_at_once).reshape(-1, N_PROFILES, 2, 2)
    return Cells.from_clusters(each[..., 1], each[..., 0])


def _column(name: str, values: ArrayLike) -> NDArray[Any]:
    column = np.asarray(values)
    if column.ndim != 1 or (column.dtype.kind not in "iub" and column.size):
        raise InputError(
            f"must be one row of integers; got shape {column.shape} of {column.dtype}", field=name
        )
    return column


def _codes(rows: dict[str, NDArray[Any]], chosen: slice) -> NDArray[np.uint8]:
    """Number the cell and decision of a chunk of rows: 0..127."""
    codes = np.zeros(1, dtype=np.uint8)
    for name, bound in (("profile", N_PROFILES), ("severity", 2), ("decision", 2)):
        chunk = rows[name][chosen]
        low, high = int(chunk.min()), int(chunk.max())
        if low < 0 or high >= bound:
            raise InputError(f"values must be 0 to {bound - 1}; found {low if low < 0 else high}", field=name)
        codes = codes * np.uint8(bound) + chunk.astype(np.uint8)
    return codes


def _tally(rows: dict[str, NDArray[Any]], n_at_once: int) -> Ints:
    """Count chunk by chunk: then what lies between column and count never leaves the processor's cache."""
    total = np.zeros(2 * N_CELLS, dtype=np.int64)
    for chunk in _chunks(rows["profile"].size, n_at_once):
        total += np.bincount(_codes(rows, chunk), minlength=2 * N_CELLS)
    return total


def _chunks(n_rows: int, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, n_rows, size)]


def _tally_clusters(rows: dict[str, NDArray[Any]], n_at_once: int) -> Ints:
    cluster = rows["cluster"]
    if cluster.min(initial=0) < 0:
        raise InputError(f"clusters are numbered from 0; found {cluster.min()}", field="cluster")
    n_clusters = int(cluster.max(initial=-1)) + 1
    total = np.zeros(n_clusters * 2 * N_CELLS, dtype=np.int64)
    for chunk in _chunks(cluster.size, max(n_at_once, total.size)):
        codes = cluster[chunk].astype(np.int64) * (2 * N_CELLS) + _codes(rows, chunk)
        total += np.bincount(codes, minlength=total.size)
    return total
