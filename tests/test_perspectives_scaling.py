"""Classical scaling finds coordinates with the given distances, and says what it could not express."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform

from agentnet.analysis.perspectives import align, classical_scaling, scale_rows, squared_distances
from agentnet.errors import DesignError, InputError

Array = NDArray[np.float64]

NOT_EUCLIDEAN = np.array([[0, 1, 1, 5], [1, 0, 1, 1], [1, 1, 0, 1], [5, 1, 1, 0]], dtype=float)


def distances(points: ArrayLike) -> Array:
    return squareform(pdist(np.asarray(points, dtype=float), "sqeuclidean"))


def points(n_rows: int, n_dims: int, seed: int) -> Array:
    """Draw points with clearly different variances, so that axes are determined."""
    drawn = np.random.default_rng(seed).standard_normal((n_rows, n_dims))
    return drawn * 2.0 ** -np.arange(n_dims)


clouds = st.builds(points, st.integers(2, 12), st.integers(1, 4), st.integers(0, 10**6))


def test_a_rectangle_has_the_eigenvalues_16_and_9() -> None:
    scaling = classical_scaling(distances([(0, 0), (3, 0), (0, 4), (3, 4)]))
    np.testing.assert_allclose(scaling.eigenvalues, [16, 9])
    np.testing.assert_allclose(np.abs(scaling.coordinates), [[2, 1.5]] * 4)
    assert (scaling.total, scaling.negative_share, scaling.exact) == (pytest.approx(25), 0.0, True)
    assert scaling.explained_share == pytest.approx(1)


@pytest.mark.parametrize("n_dims", [None, 2, 3, 4])
def test_a_negative_axis_never_appears_but_in_the_share_that_was_dropped(n_dims: int | None) -> None:
    scaling = classical_scaling(NOT_EUCLIDEAN**2, n_dims)
    np.testing.assert_allclose(scaling.eigenvalues, [12.5, 0.5])
    assert scaling.coordinates.shape == (4, 2)
    assert np.isfinite(scaling.coordinates).all()
    assert scaling.total == pytest.approx(18.5)
    assert scaling.negative_share == pytest.approx(5.5 / 18.5)
    assert scaling.explained_share == pytest.approx(13 / 18.5)


@given(cloud=clouds)
@settings(max_examples=20)
def test_euclidean_distances_come_back_whole(cloud: Array) -> None:
    scaling = classical_scaling(distances(cloud))
    np.testing.assert_allclose(distances(scaling.coordinates), distances(cloud), atol=1e-9)
    np.testing.assert_allclose(scaling.coordinates.mean(axis=0), 0, atol=1e-9)
    assert scaling.negative_share < 1e-12


@given(cloud=clouds, seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_turning_mirroring_and_moving_what_is_measured_changes_no_coordinate(cloud: Array, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.standard_normal((cloud.shape[1],) * 2))
    here = classical_scaling(distances(cloud), 1)
    there = classical_scaling(distances(cloud @ rotation + rng.standard_normal(cloud.shape[1])), 1)
    gap = classical_scaling(distances(cloud)).eigenvalues
    if len(gap) == 1 or gap[1] < 0.9 * gap[0]:
        np.testing.assert_allclose(here.coordinates, there.coordinates, atol=1e-6)


@given(cloud=clouds, seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_permuting_rows_permutes_coordinates(cloud: Array, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(cloud))
    eigenvalues = classical_scaling(distances(cloud)).eigenvalues
    if len(eigenvalues) > 1 and eigenvalues[1] > 0.9 * eigenvalues[0]:
        return
    here = classical_scaling(distances(cloud), 1).coordinates
    there = classical_scaling(distances(cloud)[order][:, order], 1).coordinates
    turned = min(np.abs(here[order] - there).max(), np.abs(here[order] + there).max())
    assert turned < 1e-6


def test_scaling_of_euclidean_distances_is_principal_components() -> None:
    from sklearn.decomposition import PCA

    cloud = points(40, 5, 1)
    ours = classical_scaling(distances(cloud), 3)
    theirs = PCA(3).fit(cloud)
    signs = np.sign((ours.coordinates * theirs.transform(cloud)).sum(axis=0))
    np.testing.assert_allclose(ours.coordinates * signs, theirs.transform(cloud), atol=1e-9)
    assert ours.explained_share == pytest.approx(theirs.explained_variance_ratio_.sum())


def test_scaling_agrees_with_scikit_learn_where_distances_are_euclidean() -> None:
    manifold = pytest.importorskip("sklearn.manifold")
    if not hasattr(manifold, "ClassicalMDS"):
        pytest.skip("this scikit-learn has no classical scaling")
    cloud = points(30, 4, 2)
    theirs = manifold.ClassicalMDS(n_components=3).fit_transform(cloud)
    ours = classical_scaling(distances(cloud), 3).coordinates
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-9)


def test_the_largest_coordinate_of_each_dimension_is_positive_and_rounding_never_decides() -> None:
    coordinates = classical_scaling(distances(points(20, 4, 3))).coordinates
    largest = np.argmax(np.abs(coordinates), axis=0)
    assert (coordinates[largest, range(4)] > 0).all()
    # +1 and -1 are equally large: the first row decides, whatever rounding does.
    for noise in (0.0, 1e-12, -1e-12):
        assert classical_scaling(distances([[1 + noise], [-1 - noise], [0.5], [-0.5]])).coordinates[0] > 0


def test_rows_that_do_not_differ_have_no_dimension() -> None:
    scaling = classical_scaling(np.zeros((4, 4)), 2)
    assert scaling.coordinates.shape == (4, 0)
    assert (scaling.total, scaling.explained_share, scaling.negative_share) == (0.0, 0.0, 0.0)


def noisy_table(n_rows: int) -> Array:
    table = distances(points(n_rows, 6, 4)) - 1e-3
    np.fill_diagonal(table, 0.0)
    return table


@pytest.mark.parametrize("limits", [(10, 500), (10, 20)], ids=["all values", "bound"])
def test_the_partial_solver_finds_what_the_full_one_finds(limits: tuple[int, int]) -> None:
    table = noisy_table(120)
    full = classical_scaling(table, 3)
    part = classical_scaling(table, 3, n_dense=limits[0], n_all_values=limits[1])
    np.testing.assert_allclose(part.eigenvalues, full.eigenvalues)
    np.testing.assert_allclose(part.coordinates, full.coordinates, atol=1e-8)
    assert part.exact == (limits[1] > 120)
    if part.exact:
        assert part.total == pytest.approx(full.total)
        assert part.negative_share == pytest.approx(full.negative_share)
    else:
        assert 0 < part.negative_share < full.negative_share
        assert part.total < full.total


def test_the_partial_solver_reports_no_negative_share_of_euclidean_distances() -> None:
    scaling = classical_scaling(distances(points(60, 3, 5)), 100, n_dense=10, n_all_values=10)
    assert (scaling.negative_share, scaling.exact) == (0.0, False)
    assert scaling.coordinates.shape == (60, 3)
    assert scaling.explained_share == pytest.approx(1)


@pytest.mark.parametrize("limits", [(10, 500), (10, 20)])
def test_distances_of_points_need_no_search_for_negative_eigenvalues(limits: tuple[int, int]) -> None:
    table = distances(points(80, 5, 7))
    full = classical_scaling(table, 2)
    part = classical_scaling(table, 2, of_points=True, n_dense=limits[0], n_all_values=limits[1])
    assert (part.negative_share, part.exact) == (0.0, True)
    assert part.total == pytest.approx(full.total)
    np.testing.assert_allclose(part.coordinates, full.coordinates, atol=1e-8)


def test_more_than_a_thousand_rows_go_through_the_partial_solver() -> None:
    cloud = points(1_010, 3, 6)
    cloud -= cloud.mean(axis=0)
    scaling = classical_scaling(distances(cloud), 2)
    np.testing.assert_allclose(scaling.eigenvalues, np.linalg.svd(cloud)[1][:2] ** 2)


@given(cloud=clouds, n_dims=st.integers(1, 4))
@settings(max_examples=20)
def test_a_fitted_row_is_placed_on_its_own_coordinates(cloud: Array, n_dims: int) -> None:
    table = distances(cloud)
    scaling = classical_scaling(table, n_dims)
    placement = scaling.place(table)
    np.testing.assert_allclose(placement.coordinates, scaling.coordinates, atol=1e-6)
    np.testing.assert_allclose(placement.residual, scaling.residual, atol=1e-6)
    assert not scaling.needs_refit(placement)


def test_a_new_row_is_placed_at_its_projection_and_the_residual_is_what_is_left() -> None:
    rng = np.random.default_rng(7)
    cloud = np.pad(rng.standard_normal((20, 2)), ((0, 0), (0, 1)))
    new = np.array([[0.3, -0.2, 0.0], [0.1, 0.4, 2.0]])
    scaling = classical_scaling(distances(cloud), 2)
    placement = scaling.place(((new[:, None] - cloud) ** 2).sum(axis=2))
    np.testing.assert_allclose(placement.residual, [0.0, 4.0], atol=1e-9)
    together = np.vstack([scaling.coordinates, placement.coordinates])
    flat = np.vstack([cloud, new])[:, :2]
    np.testing.assert_allclose(distances(together), distances(flat), atol=1e-9)


def test_a_refit_is_due_when_new_rows_leave_what_the_fit_can_express() -> None:
    rng = np.random.default_rng(8)
    fitted, alike, elsewhere = (
        rng.standard_normal((200, 3)) * [3, 2, 0.3] + [0, 0, shift] for shift in (0, 0, 3)
    )
    scaling = classical_scaling(distances(fitted), 2)

    def placed(new: Array) -> bool:
        return scaling.needs_refit(scaling.place(((new[:, None] - fitted) ** 2).sum(axis=2)))

    assert not placed(alike)
    assert placed(elsewhere)
    with pytest.raises(DesignError, match="factor must be at least 1"):
        scaling.needs_refit(scaling.place(distances(fitted)), factor=0.5)


def test_coordinates_are_arranged_by_step_and_model() -> None:
    scaling = classical_scaling(distances(points(6, 2, 9)))
    by_step = scaling.by_step(3)
    assert by_step.shape == (2, 3, 2)
    assert (by_step[1, 2] == scaling.coordinates[5]).all()
    with pytest.raises(InputError, match="6 rows are no whole number of steps of 4 models"):
        scaling.by_step(4)


@given(cloud=clouds, seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_a_turned_and_moved_fit_is_turned_and_moved_back(cloud: Array, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.standard_normal((cloud.shape[1],) * 2))
    more = np.vstack([cloud, rng.standard_normal((3, cloud.shape[1]))])
    back = align(more @ rotation + rng.standard_normal(cloud.shape[1]), cloud)
    np.testing.assert_allclose(back.coordinates[: len(cloud)], cloud, atol=1e-9)
    np.testing.assert_allclose(distances(back.coordinates), distances(more), atol=1e-8)
    assert back.rms < 1e-9


def test_alignment_is_that_of_scipy() -> None:
    rng = np.random.default_rng(10)
    new, old = rng.standard_normal((2, 15, 3))
    ours = align(new, old)
    centred = [cloud - cloud.mean(axis=0) for cloud in (new, old)]
    rotation, _ = orthogonal_procrustes(*centred)
    np.testing.assert_allclose(ours.rotation, rotation, atol=1e-12)
    np.testing.assert_allclose(ours.coordinates, new @ ours.rotation + ours.shift)
    unit = [cloud / np.linalg.norm(cloud) for cloud in centred]
    # scipy scales as well: the best scale s = 1 - disparity / ... leaves 1 - s^2 of unit clouds.
    _, _, disparity = procrustes(old, new)
    trace = np.linalg.svd(unit[0].T @ unit[1])[1].sum()
    assert disparity == pytest.approx(1 - trace**2)
    assert align(unit[0], unit[1]).rms ** 2 * 15 == pytest.approx(2 - 2 * trace)


def test_fits_of_different_dimensions_can_be_aligned() -> None:
    old = points(5, 1, 11)
    aligned = align(np.pad(-old, ((0, 0), (0, 1))), old)
    np.testing.assert_allclose(aligned.coordinates, np.pad(old, ((0, 0), (0, 1))), atol=1e-12)
    assert align(-old, np.pad(old, ((0, 0), (0, 2)))).coordinates.shape == (5, 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table[:3], "square table of at least 2 rows"),
        (lambda table: table[:1, :1], "square table of at least 2 rows"),
        (lambda table: np.where(np.arange(4) == 2, np.nan, table), "from row 0 to row 2 is nan"),
        (lambda table: table + np.arange(16).reshape(4, 4), "row 0 to row 1 is 2, but 5 the other way"),
        (lambda table: table + np.diag([0, 0, 7, 0]), "row 2 is at 7 from itself"),
    ],
)
def test_tables_that_are_no_distances_are_refused_by_place(
    change: Callable[[Array], Array], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        classical_scaling(change(NOT_EUCLIDEAN))


def test_wrong_shapes_for_placing_and_aligning_are_refused() -> None:
    scaling = classical_scaling(distances(points(4, 2, 12)))
    with pytest.raises(InputError, match=r"shape \(n_new, 4\)"):
        scaling.place(np.zeros((1, 3)))
    with pytest.raises(InputError, match="from row 0 to row 1 is inf"):
        scaling.place([[0.0, np.inf, 0.0, 0.0]])
    with pytest.raises(InputError, match="3 rows, the earlier 4"):
        align(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(InputError, match=r"coordinates.*finite"):
        align([[np.nan]], [[0.0]])
    with pytest.raises(DesignError, match="n_dims must be at least 1"):
        classical_scaling(NOT_EUCLIDEAN, 0)


def blocks_of(n_steps: int, n_models: int, n_prompts: int, n_dims: int, rank: int, seed: int = 0) -> Array:
    """Draw replies of a few directions with clearly different variances, and a little noise."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n_steps * n_models, rank)) * 2.0 ** -np.arange(rank)
    rows = latent @ np.linalg.qr(rng.standard_normal((n_prompts * n_dims, rank)))[0].T
    return (rows + 1e-3 * rng.standard_normal(rows.shape)).reshape(n_steps, n_models, n_prompts, n_dims)


@pytest.mark.parametrize("n_dims", [1, 2, 4])
@pytest.mark.parametrize("shape", [(5, 6, 10, 8), (4, 20, 2, 3), (1, 5, 30, 7)], ids=str)
def test_scaling_of_the_rows_is_the_scaling_of_their_distances(
    shape: tuple[int, int, int, int], n_dims: int
) -> None:
    blocks = blocks_of(*shape, rank=4) + 3.0
    rows = scale_rows(blocks.__getitem__, shape[0], n_dims, tolerance=1e-9)
    table = classical_scaling(squared_distances(blocks), n_dims)
    np.testing.assert_allclose(rows.eigenvalues, table.eigenvalues, rtol=1e-6)
    np.testing.assert_allclose(rows.coordinates, table.coordinates, atol=1e-6)
    assert rows.total == pytest.approx(table.total)
    assert rows.explained_share == pytest.approx(table.explained_share)
    assert (rows.accuracy <= 1e-9).all()
    np.testing.assert_allclose(rows.axes.T @ rows.axes, np.eye(n_dims), atol=1e-9)
    flat = blocks.reshape(-1, rows.centre.size)
    np.testing.assert_allclose((flat - rows.centre) @ rows.axes, rows.coordinates, atol=1e-9)


def test_rows_are_read_in_pieces_and_directions_dropped_without_changing_anything() -> None:
    blocks = np.random.default_rng(1).standard_normal((6, 20, 10, 12))
    whole = scale_rows(blocks.__getitem__, 6, 2, tolerance=1e-8)
    pieces = scale_rows(blocks.__getitem__, 6, 2, tolerance=1e-8, piece_bytes=7 * 8 * 120, most_kept=2)
    assert pieces.n_passes >= whole.n_passes > 3
    np.testing.assert_allclose(pieces.coordinates, whole.coordinates, atol=1e-5)


def test_new_rows_are_placed_on_the_axes_and_the_residual_is_what_is_left() -> None:
    blocks = blocks_of(4, 6, 5, 4, rank=2)
    scaling = scale_rows(blocks.__getitem__, 4, 2, tolerance=1e-9)
    placement = scaling.place(blocks[1])
    np.testing.assert_allclose(placement.coordinates, scaling.coordinates[6:12], atol=1e-9)
    assert (placement.residual < 1e-3).all()
    off = blocks[1] + scaling.axes[:, 0].reshape(5, 4)
    np.testing.assert_allclose(scaling.place(off).coordinates[:, 0], scaling.coordinates[6:12, 0] + 1)
    with pytest.raises(InputError, match="12 numbers each, those fitted 20"):
        scaling.place(np.zeros((1, 3, 4)))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_rows_that_do_not_differ_have_no_dimension_either(value: float) -> None:
    scaling = scale_rows(lambda _: np.full((3, 2, 2), value), 4, 2)
    assert scaling.coordinates.shape == (12, 0)
    assert (scaling.total, scaling.explained_share) == (0.0, 0.0)


def test_rows_whose_axes_cannot_be_found_are_refused_with_a_way_out() -> None:
    blocks = np.random.default_rng(2).standard_normal((4, 50, 20, 20))
    with pytest.raises(InputError, match=r"after 3 passes the axes are found to .* ask for fewer dimensions"):
        scale_rows(blocks.__getitem__, 4, 2, tolerance=1e-9, most_passes=3)


def test_bad_rows_and_options_are_refused() -> None:
    blocks = blocks_of(2, 3, 2, 2, rank=2)
    with pytest.raises(InputError, match="there is 1 row"):
        scale_rows(blocks[:, :1].__getitem__, 1)
    with pytest.raises(InputError, match="step 1 has shape"):
        scale_rows(lambda step: blocks[step, : 3 - step], 2)
    for options, says in (
        ({"n_steps": 0}, "n_steps"),
        ({"n_steps": 2, "n_dims": 0}, "n_dims"),
        ({"n_steps": 2, "most_passes": 0}, "most_passes"),
        ({"n_steps": 2, "tolerance": 0.0}, "tolerance lies between"),
    ):
        with pytest.raises(DesignError, match=says):
            scale_rows(blocks.__getitem__, **options)
