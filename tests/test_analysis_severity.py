"""Severity by clusters of embeddings: the synthetic sample, degenerate cases, and how clusters are named."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import cohen_kappa_score, confusion_matrix, silhouette_score

from agentnet.analysis.severity import Agreement, SeverityClusters, cluster_severity, name_clusters
from agentnet.analysis.silhouettes import silhouette_scores
from agentnet.embedder import CachedEmbedder, make_embedder
from agentnet.errors import InputError
from agentnet.news import NewsItem, sample_news, severity_of, with_severity

SEVERE = ("Political violence", "Violence against civilians", "Attack")
PEACEFUL = ("Demonstrations", "Protests", "Peaceful protest")
OPEN = ("Strategic developments", "Strategic developments", "Agreement")


def labels_of(items):
    return [(item.disorder_type, item.event_type, item.sub_event_type) for item in items]


@pytest.fixture(scope="module")
def sample():
    """Embed the synthetic sample by hashing, and cluster it."""
    items = sample_news().items

    async def main():
        embedder = CachedEmbedder(make_embedder("hash", {}))
        return await embedder.embed([item.text for item in items])

    vectors = asyncio.run(main())
    found = cluster_severity(
        vectors, [item.id for item in items], labels_of(items), severity_of, max_components=3, max_clusters=3
    )
    return items, vectors, found


def test_the_synthetic_sample_falls_into_one_component_and_two_clusters_as_the_papers_news(sample):
    _, _, found = sample
    assert (found.n_components, found.n_clusters) == (1, 2)
    assert found.score == found.scores.max() > 0.7
    assert found.names == (0, 1)
    assert found.commonest[0] == PEACEFUL
    assert found.commonest[1][0] == "Political violence"
    assert found.notes == ()


def test_on_the_synthetic_sample_clusters_and_taxonomy_agree(sample):
    items, _, found = sample
    agreement = found.agreement
    assert agreement.n_items == len(items)
    assert agreement.accuracy >= 0.97
    assert agreement.kappa >= 0.94


def test_severe_items_lie_to_the_right_along_the_first_component(sample):
    _, vectors, found = sample
    first = found.first_component
    assert first[found.cluster == 1].min() > first[found.cluster == 0].max()
    centred = vectors.astype(float) - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    assert abs(np.corrcoef(first, centred @ directions[0])[0, 1]) == pytest.approx(1.0, abs=1e-9)
    assert found.explained[0] == pytest.approx(first.var() / centred.var(axis=0).sum())


def test_the_scores_are_scikit_learns_silhouettes_of_the_chosen_clusters(sample):
    _, _, found = sample
    expected = silhouette_score(found.first_component[:, None], found.cluster)
    assert found.score == pytest.approx(expected, abs=1e-9)


def test_the_labels_can_take_the_place_of_the_taxonomys(sample):
    items, _, found = sample
    bare = [NewsItem(item.id, item.text) for item in items]
    labelled = with_severity(bare, found.severity)
    assert Counter(item.severity for item in labelled) == Counter(found.severity.values())


def test_everything_comes_back_from_json(sample):
    _, _, found = sample
    again = SeverityClusters.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert again.severity == found.severity
    np.testing.assert_array_equal(again.scores, found.scores)
    assert again.agreement == found.agreement


def test_the_same_seed_makes_the_same_clusters_and_arrays_cannot_be_changed(sample):
    items, vectors, found = sample
    again = cluster_severity(
        vectors, found.ids, labels_of(items), severity_of, max_components=3, max_clusters=3
    )
    assert again.to_json() == found.to_json()
    with pytest.raises(ValueError, match="read-only"):
        found.cluster[0] = 1


def two_blobs(n_each=10, spread=0.1, distance=2.0, dim=5, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(scale=spread, size=(2 * n_each, dim))
    points[n_each:, 0] += distance
    return points


def clustered(points, labels=None, **how):
    ids = [f"i{number}" for number in range(len(points))]
    half = len(points) // 2
    labels = labels or [PEACEFUL] * half + [SEVERE] * (len(points) - half)
    return cluster_severity(
        points, ids, labels, severity_of, **{"max_components": 3, "max_clusters": 4, **how}
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_mirrored_embeddings_have_the_same_picture(sign):
    found = clustered(sign * two_blobs())
    assert found.cluster.tolist() == [0] * 10 + [1] * 10
    assert found.first_component[10:].min() > 0 > found.first_component[:10].max()


def test_three_clusters_are_named_each_and_said_to_be_three():
    rng = np.random.default_rng(1)
    points = rng.normal(scale=0.05, size=(24, 2)) + np.repeat([[0, 0], [2, 0], [5, 0]], 8, axis=0)
    found = clustered(points, [PEACEFUL] * 8 + [SEVERE] * 8 + [SEVERE] * 8)
    assert found.names == (0, 1, 1)
    assert any("that of 3 clusters, not of two; max_clusters=2" in note for note in found.notes)
    assert clustered(points, [PEACEFUL] * 8 + [SEVERE] * 16, max_clusters=2).n_clusters == 2


def test_points_without_clusters_are_said_to_have_none_for_all_their_high_score():
    points = np.random.default_rng(2).normal(size=(100, 2)) * [1.0, 0.1]
    found = clustered(points, max_components=1)
    assert found.score > 0.5
    assert found.score <= found.noise_score
    assert any("which points without clusters reach too" in note for note in found.notes)
    assert clustered(two_blobs()).noise_score < clustered(two_blobs()).score


def test_of_equal_scores_the_fewest_components_are_taken_and_it_is_said():
    points = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    points = np.concatenate([points, points])
    found = clustered(points, [PEACEFUL, PEACEFUL, SEVERE, SEVERE] * 2)
    assert (found.n_components, found.n_clusters, found.score) == (1, 2, 1.0)
    assert len(found.explained) == 1
    assert np.isnan(found.scores[0, 1:]).all()
    assert any("no more than 1 of the 3 components" in note for note in found.notes)
    assert any("too few different points" in note for note in found.notes)
    square = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 3)
    tied = clustered(square, [PEACEFUL] * 12)
    assert (tied.n_components, tied.n_clusters) == (1, 2)
    assert any("2 choices have the same highest" in note for note in tied.notes)


def test_more_items_than_dimensions_make_no_difference():
    wide = two_blobs(dim=30)
    narrow = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))[0]
    assert clustered(wide).cluster.tolist() == clustered(wide @ narrow).cluster.tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vectors": np.ones((4, 2))}, "all embeddings are equal"),
        ({"vectors": np.ones(4)}, r"shape \(n_items, dim\)"),
        ({"vectors": np.full((4, 2), np.nan)}, "finite numbers"),
        ({"vectors": np.ones((3, 2))}, "3 embeddings, 4 ids and 4 rows"),
        ({"ids": list("abca")}, "id 'a' stands twice"),
        ({"labels": [PEACEFUL] * 3 + ["abc"]}, "item 'd' needs the three labels disorder_type"),
        ({"labels": [PEACEFUL] * 3 + [("a", "b")]}, "item 'd' needs the three labels"),
        ({"max_components": 0}, "at least 1 component and 2 clusters, not 0 and"),
        ({"max_clusters": 1}, "at least 1 component and 2 clusters"),
        ({"vectors": np.array([[1.0], [1.0], [1.0], [1.0 + 1e-8]])}, "all embeddings are equal"),
    ],
)
def test_what_cannot_be_clustered_is_refused(change, said):
    arguments = {
        "vectors": np.eye(4),
        "ids": list("abcd"),
        "labels": [PEACEFUL] * 4,
        "severity_of": severity_of,
        **change,
    }
    with pytest.raises(InputError, match=said):
        cluster_severity(**arguments)


def test_two_items_are_too_few():
    with pytest.raises(InputError, match="at least 3 items; there are 2"):
        cluster_severity(np.eye(2), ["a", "b"], [PEACEFUL] * 2, severity_of)


def test_three_items_are_enough():
    found = clustered(np.array([[0.0], [0.1], [5.0]]), [PEACEFUL, PEACEFUL, SEVERE])
    assert found.severity == {"i0": 0, "i1": 0, "i2": 1}


@pytest.mark.parametrize(
    ("commonest", "names"),
    [
        ([PEACEFUL, SEVERE], (0, 1)),
        ([SEVERE, PEACEFUL], (1, 0)),
        ([("", "", "Armed clash"), ("", "", "Peaceful protest")], (1, 0)),
        # "Protests" alone leaves it open, so that the sub-event type decides.
        ([("Demonstrations", "Protests", "Excessive force against protesters"), PEACEFUL], (1, 0)),
        ([("Political violence", "Riots", "Peaceful protest"), SEVERE], (None, 1)),
        ([OPEN, SEVERE], (None, 1)),
        ([("", "", ""), PEACEFUL], (None, 0)),
        ([("", "", "Attack | Peaceful protest"), PEACEFUL], (None, 0)),
        ([("", "", "Armed clash | Attack"), PEACEFUL], (1, 0)),
        ([SEVERE, SEVERE], (None, None)),
        ([PEACEFUL, PEACEFUL, PEACEFUL], (None, None, None)),
    ],
)
def test_clusters_are_named_by_their_commonest_labels_or_not_at_all(commonest, names):
    found, notes = name_clusters(commonest, severity_of)
    assert found == names
    assert bool(notes) == (None in names)


def test_what_has_no_name_is_said_with_its_labels():
    found = clustered(two_blobs(), [OPEN] * 10 + [SEVERE] * 10)
    assert [*found.severity.values()] == [None] * 10 + [1] * 10
    assert "a cluster has no name: its commonest labels are Strategic developments, " in found.notes[-1]
    same = clustered(two_blobs(), [SEVERE] * 20)
    assert set(same.severity.values()) == {None}
    assert same.notes[-1] == "no cluster is named: by their commonest labels all of them would be severe"
    assert same.agreement.n_items == 0
    assert math.isnan(same.agreement.accuracy)
    assert math.isnan(same.agreement.kappa)


def test_labels_equally_common_stand_side_by_side():
    other = ("Political violence", "Battles", "Armed clash")
    found = clustered(two_blobs(), [PEACEFUL] * 10 + [SEVERE, other] * 5)
    assert found.commonest[1] == (
        "Political violence",
        "Battles | Violence against civilians",
        "Armed clash | Attack",
    )
    assert found.names == (0, 1)


pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30)


@settings(max_examples=40)
@given(pairs=pairs)
def test_agreement_is_scikit_learns(pairs):
    one, other = zip(*pairs, strict=True)
    table = confusion_matrix(one, other, labels=[0, 1])
    agreement = Agreement(tuple(map(tuple, table.tolist())))
    assert agreement.n_items == len(pairs)
    assert agreement.accuracy == pytest.approx(np.mean(np.equal(one, other)))
    if min(len({*one}), len({*other})) == 1:
        assert math.isnan(agreement.kappa)
        assert all("kappa cannot tell agreement from chance" in note for note in agreement.notes)
    else:
        assert agreement.kappa == pytest.approx(cohen_kappa_score(one, other))
    assert len(agreement.notes) == (len({*one}) == 1) + (len({*other}) == 1)


def test_kappa_says_nothing_where_one_side_knows_one_severity_only():
    agreement = Agreement(((0, 2), (0, 38)), n_left_out=3)
    assert agreement.accuracy == 0.95
    assert math.isnan(agreement.kappa)
    assert agreement.notes == (
        "3 items are left out, for taxonomy or clusters give them no severity",
        "by the clusters every item compared is severe, so that kappa cannot tell agreement from chance",
    )
    both = Agreement(((7, 0), (0, 0)))
    assert [note.split(" every")[0] for note in both.notes] == ["by the taxonomy", "by the clusters"]
    assert "is peaceful," in both.notes[0]


def test_without_a_severity_by_both_there_is_nothing_to_compare():
    agreement = clustered(two_blobs(), [OPEN] * 20).agreement
    assert (agreement.n_items, agreement.n_left_out) == (0, 20)
    assert math.isnan(agreement.accuracy)
    assert math.isnan(agreement.kappa)
    assert agreement.notes[-1].startswith("no item has a severity by both")


def test_items_without_a_severity_are_left_out_and_counted():
    found = clustered(two_blobs(), [PEACEFUL] * 10 + [SEVERE] * 7 + [OPEN] * 3)
    assert found.agreement == Agreement(((10, 0), (0, 7)), n_left_out=3)
    assert (found.agreement.accuracy, found.agreement.kappa) == (1.0, 1.0)


@settings(max_examples=60)
@given(
    points=hnp.arrays(
        float, st.tuples(st.integers(3, 25), st.integers(1, 3)), elements=st.integers(-3, 3).map(float)
    ),
    data=st.data(),
)
def test_silhouettes_are_scikit_learns(points, data):
    n = len(points)
    labelings = []
    for number in data.draw(st.lists(st.integers(2, n - 1), max_size=3)):
        extra = data.draw(hnp.arrays(np.int64, n - number, elements=st.integers(0, number - 1)))
        labelings.append(np.concatenate([np.arange(number), extra]))
    scores = silhouette_scores(points, labelings)
    assert scores.shape == (len(labelings),)
    for score, labels in zip(scores, labelings, strict=True):
        assert score == pytest.approx(silhouette_score(points, labels), abs=1e-9)


def test_silhouettes_do_not_depend_on_the_size_of_blocks():
    points = np.random.default_rng(0).normal(size=(50, 2))
    labels = [np.arange(50) % 3, np.arange(50) % 7]
    whole = silhouette_scores(points, labels)
    np.testing.assert_allclose(silhouette_scores(points, labels, n_at_once=60), whole, rtol=1e-12)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0, 2, 2]])
def test_impossible_clusterings_have_no_silhouette(labels):
    with pytest.raises(InputError, match="silhouettes need 2 to 2 clusters of 3 points"):
        silhouette_scores(np.eye(3), [np.array(labels)])


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"cluster": [0]},
        {"cluster": [0] * 240},
        {"cluster": [5] * 240},
        {"ids": ["a"] * 240},
        {"names": [0, 2]},
        {"names": [0, True]},
        {"taxonomy": [1.0] * 240},
        {"names": [0]},
        {"taxonomy": ["severe"] * 240},
        {"n_components": 0},
        {"n_components": 99},
        {"commonest": [["a"]]},
        {"scores": [["x"]]},
        {"ids": None},
    ],
)
def test_a_file_of_something_else_is_refused(sample, change):
    values = json.loads(sample[2].to_json()) | change
    with pytest.raises(InputError, match=r"^clusters\.json: these are no severity clusters"):
        SeverityClusters.from_json(json.dumps(values), path="clusters.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000])
def test_what_is_no_such_json_is_refused(text):
    with pytest.raises(InputError, match="these are no severity clusters"):
        SeverityClusters.from_json(text)
