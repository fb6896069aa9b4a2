"""Decisions are counted into cells exactly, quickly, and not at all if a column is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.analysis.cells import count_cells
from agentnet.analysis.tables import Cells
from agentnet.errors import InputError

rows = st.lists(
    st.tuples(st.integers(0, 31), st.integers(0, 1), st.integers(0, 1), st.integers(0, 4)), max_size=60
)


@given(rows=rows, kind=st.sampled_from([np.int64, np.uint8, np.int16]))
@settings(max_examples=60, deadline=None)
def test_every_row_is_counted_once(rows: list[tuple[int, int, int, int]], kind: type) -> None:
    columns = np.array(rows, dtype=kind).reshape(-1, 4).T
    counted = count_cells(columns[0], columns[1], columns[2])
    assert counted.n_exposures == len(rows)
    for decision, counts in ((1, counted.n_yes), (0, counted.n_no)):
        for profile in range(32):
            for severity in (0, 1):
                same = sum(row[:3] == (profile, severity, decision) for row in rows)
                assert counts[profile, severity] == same


@given(rows=rows)
@settings(max_examples=40, deadline=None)
def test_clusters_add_up_to_the_cells(rows: list[tuple[int, int, int, int]]) -> None:
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    counted = count_cells(*columns)
    plain = count_cells(*columns[:3])
    assert (counted.n_yes == plain.n_yes).all()
    assert (counted.n_no == plain.n_no).all()
    assert counted.cluster_yes is not None
    for cluster, yes in enumerate(counted.cluster_yes):
        assert yes.sum() == sum(row[2] == 1 and row[3] == cluster for row in rows)


def test_chunks_do_not_show() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, high, 5000) for high in (32, 2, 2, 7)]
    whole = count_cells(*columns)
    parts = count_cells(*columns, n_at_once=64)
    assert (whole.n_yes == parts.n_yes).all()
    assert whole.cluster_no is not None
    assert parts.cluster_no is not None
    assert (whole.cluster_no == parts.cluster_no).all()
    assert (count_cells(*columns[:3]).n_no == whole.n_no).all()


def test_truth_values_are_decisions() -> None:
    counted = count_cells([3, 3, 4], [0, 0, 1], [True, False, True])
    assert counted.n_yes[3, 0] == counted.n_no[3, 0] == counted.n_yes[4, 1] == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([32], [0], [0]), "field 'profile': values must be 0 to 31; found 32"),
        (([-1], [0], [0]), "field 'profile'.*found -1"),
        (([0], [2], [0]), "field 'severity'"),
        (([0], [0], [-1]), "field 'decision'"),
        (([0], [0], [0], [-3]), "field 'cluster': clusters are numbered from 0"),
        (([0.5], [0], [0]), "field 'profile': must be one row of integers"),
        (([[0]], [[0]], [[0]]), "must be one row"),
        (([0, 1], [0], [0]), "different lengths: profile 2, severity 1"),
        (([0], [0], [0], [0, 1]), "different lengths.*cluster 2"),
    ],
)
def test_wrong_columns_are_refused(columns: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        count_cells(*columns)


ZERO = np.zeros((32, 2), dtype=np.int64)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((ZERO[:31], ZERO), "field 'n_yes': counts must be integers of shape"),
        ((ZERO, ZERO - 1), "field 'n_no': counts cannot be negative"),
        ((ZERO, ZERO.astype(float)), "integers"),
        ((ZERO, ZERO, ZERO[None], None), "go together"),
        ((ZERO, ZERO, ZERO[None] + 1, ZERO[None]), "do not add up"),
        ((ZERO, ZERO, ZERO[None, :3], ZERO[None]), "field 'cluster_yes'"),
    ],
)
def test_wrong_counts_are_refused(parts: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cells(*parts)


def test_cells_of_clusters_are_their_sum() -> None:
    yes = np.arange(3 * 64).reshape(3, 32, 2)
    made = Cells.from_clusters(yes, yes + 1)
    assert (made.n_yes == yes.sum(axis=0)).all()
    with pytest.raises(InputError, match="cluster_no"):
        Cells.from_clusters(yes, yes[:, :2])
