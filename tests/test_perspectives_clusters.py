"""Clusters are found where they are, seldom where they are not, and compared as elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from agentnet.analysis.perspectives import (
    adjusted_rand_index,
    beside_own_class,
    find_clusters,
    lead_by_chance,
)
from agentnet.analysis.perspectives.clustering import fit_mixtures
from agentnet.errors import DesignError, InputError

Array = NDArray[np.float64]

CENTRES = np.array([[0.0, 0.0], [9.0, 1.0], [3.0, 9.0]])


def gathered(n_steps: int, n_models: int, seed: int = 0) -> tuple[Array, NDArray[np.int64]]:
    """Put models around three centres; the labels are numbered by the centres' first coordinate."""
    rng = np.random.default_rng(seed)
    member = np.arange(n_models) % 3
    return CENTRES[member] + 0.5 * rng.standard_normal((n_steps, n_models, 2)), np.array([0, 2, 1])[member]


def test_three_groups_are_found_at_every_step_and_stay_the_same() -> None:
    coordinates, member = gathered(4, 25)
    found = find_clusters(coordinates)
    assert found.n_clusters.tolist() == [3] * 4
    assert (found.labels == member).all()
    assert found.agreement.tolist() == [1.0] * 3
    assert found.bic.shape == (4, 5)
    assert (np.argmin(found.bic, axis=1) == 2).all()


def test_agreement_falls_when_models_change_groups() -> None:
    coordinates, member = gathered(2, 25)
    order = np.random.default_rng(1).permutation(25)
    found = find_clusters(np.stack([coordinates[0], coordinates[0][order]]))
    assert found.agreement[0] == pytest.approx(adjusted_rand_index(member, member[order]))
    assert found.agreement[0] < 0.3


def test_a_step_has_the_same_clusters_whatever_comes_after() -> None:
    coordinates, _ = gathered(5, 20, seed=3)
    whole = find_clusters(coordinates, variance_floor=0.01)
    first = find_clusters(coordinates[:2], variance_floor=0.01)
    assert (whole.labels[:2] == first.labels).all()
    np.testing.assert_allclose(whole.bic[:2], first.bic)


def test_few_models_from_one_gaussian_are_seldom_divided() -> None:
    drawn = np.random.default_rng(4).standard_normal((40, 25, 2))
    assert (find_clusters(drawn, n_starts=3).n_clusters > 1).mean() < 0.3
    assert find_clusters(np.random.default_rng(5).standard_normal((60, 10, 2))).n_clusters.max() <= 2


def test_with_the_lead_of_chance_one_gaussian_is_divided_as_seldom_as_said() -> None:
    lead = lead_by_chance(10, 2, level=0.1)
    drawn = np.random.default_rng(11).standard_normal((300, 10, 2)) @ [[5.0, 1.0], [0.0, 0.2]] + 7
    divided = (find_clusters(drawn, least_lead=lead).n_clusters > 1).mean()
    assert abs(divided - 0.1) < 4 * np.sqrt(2 * 0.1 * 0.9 / 200)
    assert (find_clusters(drawn).n_clusters > 1).mean() > 0.2
    coordinates, member = gathered(3, 15)
    assert (
        find_clusters(coordinates, least_lead=lead_by_chance(15, 2, n_simulated=39)).labels == member
    ).all()
    assert lead_by_chance(10, 2, most_clusters=1) == 0.0


@pytest.mark.parametrize("n_clusters", [1, 2, 3])
def test_the_criterion_is_that_of_scikit_learn_and_no_fit_is_worse(n_clusters: int) -> None:
    from sklearn.mixture import GaussianMixture

    coordinates, _ = gathered(2, 30, seed=6)
    ours = find_clusters(coordinates, variance_floor=1e-9)
    for step, points in enumerate(coordinates):
        theirs = GaussianMixture(
            n_clusters,
            covariance_type="tied",
            tol=1e-6,
            max_iter=2_000,
            n_init=2,
            reg_covar=1e-12,
            random_state=0,
        ).fit(points)
        assert ours.bic[step, n_clusters - 1] <= theirs.bic(points) + 1e-3
        if n_clusters in {1, 3}:
            assert ours.bic[step, n_clusters - 1] == pytest.approx(theirs.bic(points), abs=1e-3)


def test_a_variance_floor_merges_what_is_closer_than_it_can_tell() -> None:
    near = np.repeat([[[0.0], [0.01]]], 10, axis=1).reshape(1, 20, 1)
    near = near + 1e-4 * np.random.default_rng(7).standard_normal(near.shape)
    assert find_clusters(near).n_clusters.tolist() == [2]
    assert find_clusters(near, variance_floor=1e-2).n_clusters.tolist() == [1]


def test_models_that_agree_wholly_at_one_step_are_one_cluster_there() -> None:
    coordinates, _ = gathered(3, 20, seed=8)
    coordinates[1] = 5.0
    found = find_clusters(coordinates)
    assert found.n_clusters[1] == 1
    assert found.n_clusters.min() < found.n_clusters.max()
    assert found.agreement.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(3, 6, 2), (3, 6, 0), (1, 2, 1)])
def test_models_that_never_differ_are_one_cluster(shape: tuple[int, int, int]) -> None:
    found = find_clusters(np.zeros(shape))
    assert (found.labels == 0).all()
    assert found.n_clusters.tolist() == [1] * shape[0]
    assert found.agreement.tolist() == [1.0] * (shape[0] - 1)
    assert (np.argmin(found.bic, axis=1) == 0).all()


def test_many_fits_are_taken_in_parts_without_changing_anything() -> None:
    coordinates, _ = gathered(6, 15, seed=9)
    for n_clusters in (1, 2, 3):
        chance = np.random.default_rng(n_clusters).uniform(1e-9, 1, (6, 4, n_clusters, 15))
        whole = fit_mixtures(coordinates, chance, 1e-3)
        parts = fit_mixtures(coordinates, chance, 1e-3, at_once=1)
        assert (parts.labels == whole.labels).all()
        np.testing.assert_allclose(parts.bic(n_clusters, 2), whole.bic(n_clusters, 2))


def test_a_fit_that_does_not_converge_in_time_is_taken_as_it_is() -> None:
    coordinates, member = gathered(1, 15, seed=10)
    chance = np.random.default_rng(1).uniform(1e-9, 1, (1, 10, member.max() + 1, 15))
    (labels,) = fit_mixtures(coordinates, chance, 1e-3, most_rounds=1).labels
    assert adjusted_rand_index(labels, member) == 1.0


labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=15)


@given(pairs=labels)
@settings(max_examples=30)
def test_the_adjusted_rand_index_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import adjusted_rand_score

    first, second = zip(*pairs, strict=True)
    ours = adjusted_rand_index(first, second)
    assert ours == pytest.approx(adjusted_rand_score(first, second))
    assert ours == pytest.approx(adjusted_rand_index(second, first))
    assert adjusted_rand_index(first, [7 - label for label in first]) == 1.0


def test_what_cannot_be_clustered_is_refused() -> None:
    good, _ = gathered(2, 10)
    spoilt = good.copy()
    spoilt[1, 3, 0] = np.inf
    with pytest.raises(InputError, match="step 1, model 3 has inf in dimension 0"):
        find_clusters(spoilt)
    with pytest.raises(InputError, match=r"shape \(n_steps, n_models, n_dims\)"):
        find_clusters(good[0])
    with pytest.raises(InputError, match="there is 1 model, and clusters need at least 2"):
        find_clusters(good[:, :1])
    with pytest.raises(InputError, match="labels"):
        adjusted_rand_index([0, 1], [0])
    with pytest.raises(DesignError, match="most_clusters must be 1 to 2 with 10 models"):
        find_clusters(good, most_clusters=3)
    with pytest.raises(DesignError, match="n_starts must be at least 1"):
        find_clusters(good, n_starts=0)
    with pytest.raises(DesignError, match="variance_floor must be above 0"):
        find_clusters(good, variance_floor=0.0)
    with pytest.raises(DesignError, match="n_models must be at least 2"):
        lead_by_chance(1, 2)
    with pytest.raises(DesignError, match="level must lie between"):
        lead_by_chance(10, 2, level=0.01, n_simulated=50)
    assert find_clusters(good, most_clusters=1).n_clusters.tolist() == [1, 1]


# Nearest neighbours


def test_who_stands_beside_its_own_class_is_counted_as_another_library_does() -> None:
    places, classes = np.random.default_rng(3).standard_normal((4, 12, 2)), np.arange(12) % 3
    found = beside_own_class(places, classes.astype(str).tolist())
    for share, of_step in zip(found, places, strict=True):
        nearest = NearestNeighbors(n_neighbors=1).fit(of_step).kneighbors(return_distance=False)[:, 0]
        assert share == pytest.approx((classes[nearest] == classes).mean())


def test_equally_near_models_count_for_their_part_and_those_that_are_not_there_not_at_all() -> None:
    alike = np.zeros((1, 4, 2))
    assert beside_own_class(alike, "aabb") == pytest.approx(1 / 3)
    alike[0, 3] = np.nan
    assert beside_own_class(alike, "aabb") == pytest.approx((0.5 + 0.5 + 0) / 3)
    alike[0, 1:] = np.nan
    assert np.isnan(beside_own_class(alike, "aabb")).all()
