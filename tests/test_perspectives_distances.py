"""Distances between replies are what they are by definition, however the blocks come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist, squareform

from agentnet.analysis.perspectives import (
    SquaredDistances,
    distances_to,
    moves,
    squared_distances,
    within_steps,
)
from agentnet.errors import DesignError, InputError

Array = NDArray[np.float64]


def replies(n_steps: int, n_models: int, n_prompts: int, n_dims: int, seed: int = 0) -> Array:
    """Draw unit vectors."""
    drawn = np.random.default_rng(seed).standard_normal((n_steps, n_models, n_prompts, n_dims))
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


def by_definition(blocks: NDArray[np.floating]) -> Array:
    rows = blocks.reshape(blocks.shape[0] * blocks.shape[1], -1).astype(np.float64)
    return squareform(pdist(rows, "sqeuclidean"))


shapes = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))


@given(shape=shapes, seed=st.integers(0, 10**6), memory_bytes=st.sampled_from([1, 300, 10**6]))
@settings(max_examples=20)
def test_distances_are_those_of_scipy_however_little_memory_there_is(
    shape: tuple[int, int, int, int], seed: int, memory_bytes: int
) -> None:
    blocks = replies(*shape, seed=seed)
    table = squared_distances(blocks, memory_bytes=memory_bytes)
    np.testing.assert_allclose(table, by_definition(blocks), rtol=1e-9, atol=1e-12)
    assert (table == table.T).all()
    assert (table >= 0).all()
    assert not table.diagonal().any()


@given(
    shape=shapes, seed=st.integers(0, 10**6), group=st.integers(1, 3), offset=st.sampled_from([0.0, 1.0, 1e3])
)
@settings(max_examples=20)
def test_distances_do_not_change_when_prompts_are_permuted_replies_turned_or_moved(
    shape: tuple[int, int, int, int], seed: int, group: int, offset: float
) -> None:
    blocks = replies(*shape, seed=seed)
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.standard_normal((shape[3], shape[3])))
    other = (blocks @ rotation)[:, :, rng.permutation(shape[2])] + offset
    with SquaredDistances(memory_bytes=group * blocks[0].nbytes * 2) as distances:
        distances.extend(other)
    np.testing.assert_allclose(distances.table(), squared_distances(blocks), rtol=1e-6, atol=1e-9)


def test_a_table_that_grows_step_by_step_is_the_table_made_at_once(tmp_path: Path) -> None:
    blocks = replies(5, 3, 4, 2)
    whole = squared_distances(blocks)
    once = squared_distances(iter(blocks))
    loaded = squared_distances(blocks.__getitem__, 5)
    with SquaredDistances(folder=tmp_path) as kept, SquaredDistances(lambda step: blocks[step]) as again:
        for step, block in enumerate(blocks, 1):
            kept.append(block)
            again.append(block)
            np.testing.assert_allclose(kept.table(), whole[: 3 * step, : 3 * step], atol=1e-14)
            assert kept.n_steps == step
        np.testing.assert_allclose(again.table(per_prompt=True) * 4, whole, atol=1e-14)
    np.testing.assert_allclose(once, whole, atol=1e-14)
    np.testing.assert_allclose(loaded, whole, atol=1e-14)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_table_has_no_rows() -> None:
    with SquaredDistances() as distances:
        assert distances.table(per_prompt=True).shape == (0, 0)
        assert distances.n_models == 0


def test_float32_replies_have_distances_to_seven_digits_of_their_lengths() -> None:
    blocks = (replies(4, 5, 60, 64) + 0.5).astype(np.float32)
    blocks[2] = blocks[1] + np.float32(1e-2) * blocks[0]
    true = by_definition(blocks)
    table = squared_distances(blocks, memory_bytes=1)
    assert np.abs(table - true).max() < 1e-6 * true.max()
    assert table[10, 5] == pytest.approx(true[10, 5], rel=1e-2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n_models", [7, 25])
def test_replies_that_did_not_change_have_no_distance(dtype: type, n_models: int) -> None:
    blocks = replies(3, n_models, 10, 33).astype(dtype)
    blocks[2] = blocks[1][::-1]
    table = squared_distances(blocks, memory_bytes=1)
    assert not np.diagonal(table[2 * n_models :, n_models : 2 * n_models][::-1]).any()
    assert (table[n_models:, :n_models] > 0).all()


def test_one_changed_reply_of_many_is_a_distance() -> None:
    blocks = np.repeat(replies(1, 4, 400, 16), 2, axis=0).astype(np.float32)
    blocks[1, 2, 7] = blocks[1, 3, 7]
    changed = np.zeros(4)
    changed[2] = ((blocks[1, 2, 7] - blocks[0, 2, 7]) ** 2).sum()
    np.testing.assert_allclose(moves(squared_distances(blocks), 4)[0], changed, rtol=1e-4)


def test_memory_bounds_how_many_blocks_are_loaded_again() -> None:
    blocks = replies(12, 2, 3, 2)
    loads: list[int] = []

    def load(step: int) -> Array:
        loads.append(step)
        return blocks[step]

    with SquaredDistances(load, memory_bytes=4 * 2 * blocks[0].nbytes) as distances:
        distances.extend(blocks)
    assert len(loads) == 4 + 8  # groups of four: the second loads four steps again, the third eight
    np.testing.assert_allclose(distances.table(), by_definition(blocks), atol=1e-12)


def test_integers_are_numbers_too() -> None:
    assert squared_distances([[[[0]], [[3]]], [[[4]], [[0]]]])[0].tolist() == [0.0, 9.0, 16.0, 0.0]


def test_distances_to_kept_rows_are_parts_of_the_table() -> None:
    blocks = replies(2, 4, 3, 5).astype(np.float32)
    table = squared_distances(blocks)
    np.testing.assert_allclose(distances_to(blocks[0], blocks[1]), table[4:, :4], rtol=1e-5)
    np.testing.assert_allclose(
        distances_to(blocks[0, :2], blocks[1, 3:]),
        cdist(blocks[1, 3:].reshape(1, -1), blocks[0, :2].reshape(2, -1), "sqeuclidean"),
        rtol=1e-5,
    )


def test_moves_and_distances_within_steps_are_cut_out_of_the_table() -> None:
    blocks = replies(3, 4, 2, 3)
    table = squared_distances(blocks)
    within, moved = within_steps(table, 4), moves(table, 4)
    assert within.shape == (3, 4, 4)
    assert moved.shape == (2, 4)
    for step in range(3):
        assert (within[step] == table[4 * step : 4 * step + 4, 4 * step : 4 * step + 4]).all()
    for step in range(2):
        np.testing.assert_allclose(moved[step], ((blocks[step + 1] - blocks[step]) ** 2).sum(axis=(1, 2)))


def bad_blocks() -> Iterator[tuple[str, list[Array], str]]:
    good = replies(3, 2, 4, 3)
    spoilt = good.copy()
    spoilt[1, 1, 2, 0] = np.nan
    yield "a NaN", list(spoilt), r"step 1, model 1, prompt 2 has nan in dimension 0; embed this reply again"
    yield "another shape", [good[0], good[1][:, :3]], r"step 1 has shape \(2, 3, 3\), but the first has"
    yield "two dimensions", [good[0][0]], r"step 0 must have shape \(n_models, n_prompts, n_dims\)"
    yield "nobody", [good[0][:0]], "none of them 0"
    yield "words", [np.full((1, 1, 1), "word")], "step 0 holds <U4, not numbers"
    yield "another type", [good[0], good[1].astype(np.float32)], "step 1 holds float32, but the first float64"
    yield "too large", [np.array([[[1e30]], [[-1e30]]], dtype=np.float32)], "too large for float32; scale"
    yield "nothing", [], "there are 0 blocks; at least 1 are needed"


@pytest.mark.parametrize(
    ("blocks", "says"), [case[1:] for case in bad_blocks()], ids=[c[0] for c in bad_blocks()]
)
def test_blocks_that_cannot_be_used_are_refused_by_place(blocks: list[Array], says: str) -> None:
    with pytest.raises(InputError, match=says):
        squared_distances(iter(blocks))


def test_a_refused_block_leaves_the_table_as_it_was() -> None:
    blocks = replies(3, 2, 2, 2)
    with SquaredDistances() as distances:
        distances.append(blocks[0])
        with pytest.raises(InputError, match="step 1 has shape"):
            distances.append(blocks[1][:1])
        distances.append(blocks[1])
        distances.append(blocks[2])
    np.testing.assert_allclose(distances.table(), by_definition(blocks), atol=1e-12)


def test_a_step_that_is_loaded_otherwise_than_it_was_added_is_refused() -> None:
    blocks = replies(3, 2, 4, 3)
    with SquaredDistances(lambda step: blocks[step] + 0.1 * (step == 1)) as distances:
        distances.append(blocks[0])
        distances.append(blocks[1])
        with pytest.raises(InputError, match="step 1 is not what it was when it was added"):
            distances.append(blocks[2])


def test_fewer_blocks_than_said_are_refused() -> None:
    with pytest.raises(InputError, match="there are 2 blocks; 3 are needed"):
        squared_distances(iter(replies(2, 1, 1, 1)), 3)
    assert squared_distances(iter(replies(3, 1, 1, 1)), 2).shape == (2, 2)


def test_options_out_of_range_are_refused() -> None:
    blocks = replies(2, 2, 1, 1)
    with pytest.raises(DesignError, match="n_steps must be given"):
        squared_distances(blocks.__getitem__)
    with pytest.raises(DesignError, match="n_steps must be at least 1"):
        squared_distances(blocks, 0)
    with pytest.raises(DesignError, match="memory_bytes must be above 0"):
        SquaredDistances(memory_bytes=0)


def test_rows_that_are_no_whole_number_of_steps_are_refused() -> None:
    with pytest.raises(InputError, match="5 rows are no whole number of steps of 2 models"):
        within_steps(np.zeros((5, 5)), 2)
    with pytest.raises(InputError, match="square table"):
        moves(np.zeros((4, 2)), 2)
