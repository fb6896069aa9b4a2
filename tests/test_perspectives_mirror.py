"""The iso-mirror is a curve of the system's own movement, and does not depend on how axes happen to lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from agentnet.analysis.perspectives import iso_mirror, step_distances
from agentnet.analysis.perspectives.mirror import isomap_line
from agentnet.errors import DesignError, InputError

Array = NDArray[np.float64]

walks = st.builds(
    lambda n_steps, n_models, n_dims, seed: (
        np.random.default_rng(seed).standard_normal((n_steps, n_models, n_dims)).cumsum(axis=0)
    ),
    st.integers(2, 9),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 10**6),
)


@given(walk=walks)
@settings(max_examples=20)
def test_distances_between_steps_are_spectral_norms(walk: Array) -> None:
    found = step_distances(walk)
    assert (found == found.T).all()
    for s in range(len(walk)):
        for t in range(len(walk)):
            largest = np.linalg.svd(walk[s] - walk[t], compute_uv=False)[0]
            assert found[s, t] == pytest.approx(largest / np.sqrt(walk.shape[1]))


@given(walk=walks, seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_turning_all_steps_alike_changes_no_distance_and_turning_each_is_undone(
    walk: Array, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n_dims = walk.shape[2]
    turn = np.linalg.qr(rng.standard_normal((n_dims, n_dims)))[0]
    np.testing.assert_allclose(step_distances(walk @ turn), step_distances(walk), atol=1e-9)
    turns = np.linalg.qr(rng.standard_normal((len(walk), n_dims, n_dims)))[0]
    np.testing.assert_allclose(
        step_distances(walk @ turns, turned=True), step_distances(walk, turned=True), atol=1e-9
    )
    still = np.repeat(walk[:1], len(walk), axis=0)
    assert step_distances(still @ turns, turned=True).max() < 1e-9


def test_one_dimension_is_turned_by_the_better_sign() -> None:
    walk = np.array([[[1.0], [2.0]], [[-1.0], [-3.0]], [[1.0], [-1.0]]])
    expected = [0.0, 1 / np.sqrt(2), np.sqrt(5 / 2)]
    np.testing.assert_allclose(step_distances(walk, turned=True)[0], expected)


def test_a_system_that_goes_straight_has_a_straight_curve() -> None:
    path = np.array([0.0, 1.0, 3.0, 4.0, 8.0])
    found = iso_mirror(path[:, None, None] * np.ones((5, 3, 1)))
    np.testing.assert_allclose(found.curve, path - path.mean(), atol=1e-9)
    assert found.n_neighbours == 2  # with one neighbour each, 1-2 and 3-4 would stand alone
    np.testing.assert_allclose(np.abs(np.subtract.outer(path, path)), found.distances, atol=1e-12)


def test_a_system_that_goes_in_an_arc_is_laid_out_along_it() -> None:
    angle = np.linspace(0, 1.5 * np.pi, 25)
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    curve, n_neighbours = isomap_line(arc)
    assert (np.diff(curve) > 0).all()
    assert curve[-1] - curve[0] == pytest.approx(1.5 * np.pi, rel=0.02)
    assert n_neighbours <= 2


def test_the_line_is_that_of_scikit_learn() -> None:
    from sklearn.manifold import Isomap
    from sklearn.neighbors import kneighbors_graph

    for seed in range(3):
        points = np.random.default_rng(seed).standard_normal((30, 2)).cumsum(axis=0)
        ours, n_neighbours = isomap_line(points)
        isomap = Isomap(n_neighbors=n_neighbours, n_components=1, eigen_solver="dense")
        theirs = isomap.fit_transform(points)[:, 0]
        np.testing.assert_allclose(ours, theirs * -np.sign(theirs[0]), atol=1e-9)
        assert ours[0] <= 0
        for fewer in range(1, n_neighbours):
            assert connected_components(kneighbors_graph(points, fewer), directed=False)[0] > 1


def test_a_system_that_comes_to_rest_has_a_flat_curve_from_then_on() -> None:
    rng = np.random.default_rng(3)
    walk = rng.standard_normal((8, 5, 2)).cumsum(axis=0)
    # Rounding must not make different places of one.
    rest = np.repeat(walk[-1:], 20, axis=0) + 1e-13 * rng.standard_normal((20, 5, 2))
    found = iso_mirror(np.concatenate([walk, rest]))
    np.testing.assert_allclose(found.curve[8:], found.curve[7], atol=1e-9)
    assert np.abs(np.diff(found.curve[:8])).min() > 1e-3
    assert found.n_neighbours < 8


@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 3, 0)])
def test_a_system_that_never_moves_has_a_curve_of_zeros(shape: tuple[int, int, int]) -> None:
    found = iso_mirror(np.ones(shape))
    assert found.curve.tolist() == [0.0] * 4
    assert found.n_neighbours == 0
    assert not found.distances.any()


@given(walk=walks)
@settings(max_examples=20)
def test_the_curve_starts_at_or_below_zero_and_two_steps_are_their_distance_apart(walk: Array) -> None:
    found = iso_mirror(walk, n_dims=3)
    assert found.curve[0] <= 0
    two = iso_mirror(walk[:2])
    assert two.curve[1] - two.curve[0] == pytest.approx(two.distances[0, 1])
    assert two.n_neighbours == 1


def test_what_has_no_movement_is_refused() -> None:
    with pytest.raises(InputError, match="there is 1 step, and a movement needs at least 2"):
        iso_mirror(np.zeros((1, 3, 2)))
    with pytest.raises(InputError, match=r"shape \(n_steps, n_models, n_dims\)"):
        step_distances(np.zeros((3, 2)))
    spoilt = np.zeros((3, 2, 1))
    spoilt[2, 1, 0] = np.nan
    with pytest.raises(InputError, match="step 2, model 1 has nan in dimension 0"):
        iso_mirror(spoilt)
    with pytest.raises(DesignError, match="n_dims must be at least 1"):
        iso_mirror(np.zeros((3, 2, 1)), n_dims=0)
