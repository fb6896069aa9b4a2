"""Tukey's test against other libraries and closed forms; groups of profiles by it."""

from __future__ import annotations

import math
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from statsmodels.stats.multicomp import pairwise_tukeyhsd

from agentnet import ResponseRatioExperiment
from agentnet.analysis.groups import _cut, group_profiles, maximal_sets
from agentnet.analysis.ratios import response_ratios
from agentnet.analysis.tukey import StudentizedRange, pooled_variance, studentized_differences, tukey_test
from agentnet.backend import make_backend
from agentnet.errors import InputError
from agentnet.vocabulary import PROFILES
from agentnet_backends.mock_law import MockOptions, probability

Q = np.array([0.0, 0.3, 1.0, 2.5, 4.0, 6.0, 12.0])


@pytest.mark.parametrize(("k", "dof"), [(2, 1), (3, 2), (5, 12), (32, 1568)])
def test_the_studentized_range_is_scipys(k, dof):
    few = Q[[2, 4]] if k == 32 else Q
    np.testing.assert_allclose(
        StudentizedRange(k, dof).sf(few), stats.studentized_range.sf(few, k, dof), atol=1e-9
    )


@pytest.mark.parametrize(("dof", "error"), [(1, 3e-5), (5, 2e-8)])
def test_its_error_for_many_numbers_is_what_is_said(dof, error):
    far = np.array([9.0, 60.0])
    np.testing.assert_allclose(
        StudentizedRange(200, dof).sf(far), stats.studentized_range.sf(far, 200, dof), rtol=0.0, atol=error
    )


def test_with_endless_freedom_it_is_the_range_of_normal_numbers():
    ours = StudentizedRange(20, 1e9).sf(Q)
    np.testing.assert_allclose(ours, stats.studentized_range.sf(Q, 20, np.inf), atol=1e-8)


@pytest.mark.parametrize("dof", [1, 3, 30, 3000])
def test_the_range_of_two_is_students_t(dof):
    ours = StudentizedRange(2, dof).sf(Q)
    np.testing.assert_allclose(ours, 2.0 * stats.t.sf(Q / math.sqrt(2.0), dof), atol=1e-8)


def test_the_range_of_two_has_no_error_relative_to_its_tail_either():
    far = np.array([8.0, 11.0])
    expected = 2.0 * stats.norm.sf(far / math.sqrt(2.0))
    np.testing.assert_allclose(StudentizedRange(2, 1e12).sf(far), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("alpha", "k", "dof", "published"),
    [
        (0.05, 3, 10, 3.877),
        (0.05, 10, 20, 5.008),
        (0.01, 5, 60, 4.818),
        (0.01, 2, 1, 90.024),
        (0.05, 20, 5, 8.208),
    ],
)
def test_critical_values_are_those_of_printed_tables(alpha, k, dof, published):
    assert StudentizedRange(k, dof).critical(alpha) == pytest.approx(published, abs=2e-3)


def test_nothing_exceeds_infinity_and_everything_nothing():
    assert StudentizedRange(3, 5).sf([np.inf, 0.0]).tolist() == [0.0, pytest.approx(1.0)]


@pytest.fixture(scope="module")
def unequal():
    table = np.random.default_rng(3).normal(loc=[0.0, 0.4, 1.2, 1.3], size=(12, 4))
    table[8:, 1] = table[5:, 3] = np.nan
    return table


def test_the_test_is_scipys_also_for_unequal_numbers(unequal):
    ours = tukey_test(unequal)
    theirs = stats.tukey_hsd(*(column[~np.isnan(column)] for column in unequal.T))
    np.testing.assert_allclose(ours.p, theirs.pvalue, atol=1e-9)
    assert ours.n_observations.tolist() == [12, 8, 12, 5]


def test_the_test_is_statsmodels_also_in_what_it_calls_significant(unequal):
    values = unequal.T[~np.isnan(unequal.T)]
    names = np.repeat(np.arange(4), [12, 8, 12, 5])
    theirs = pairwise_tukeyhsd(values, names, alpha=0.05)
    ours = tukey_test(unequal)
    upper = np.triu_indices(4, 1)
    np.testing.assert_allclose(ours.p[upper], theirs.pvalues, atol=1e-6)
    np.testing.assert_array_equal(ours.significant[upper], theirs.reject)
    assert ours.mean_square == pytest.approx(theirs.variance)
    assert ours.critical == pytest.approx(theirs.q_crit, abs=1e-6)


@settings(max_examples=15)
@given(table=hnp.arrays(float, (4, 3), elements=st.integers(0, 10).map(lambda n: n / 10)))
def test_a_pair_is_significant_just_if_its_p_value_is_below_the_level(table):
    test = tukey_test(table)
    np.testing.assert_array_equal(test.significant, test.p < 0.05)
    assert (test.p == test.p.T).all()
    assert (np.diagonal(test.p) == 1.0).all()


def test_by_hand():
    test = tukey_test([[1.0, 3.0, 8.0], [3.0, 5.0, 10.0]])
    assert (test.means.tolist(), test.mean_square, test.dof) == ([2.0, 4.0, 9.0], 2.0, 3)
    np.testing.assert_allclose(test.q, [[0, 2, 7], [2, 0, 5], [7, 5, 0]])


def test_without_variance_every_difference_counts():
    test = tukey_test([[0.7, 0.2, 0.2], [0.7, 0.2, 0.2], [0.7, np.nan, 0.2]])
    assert test.mean_square == 0.0
    assert test.significant.tolist() == [[False, True, True], [True, False, False], [True, False, False]]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (np.ones(5), "two or more columns"),
        (np.ones((5, 1)), "two or more columns"),
        ([[1.0, np.nan], [1.0, np.nan]], r"column 1 \(counted from 0\) has no observation"),
        ([[1.0, np.inf], [1.0, 1.0]], r"column 1 \(counted from 0\) .* infinite"),
        ([[1.0, 2.0]], "no column has two observations"),
    ],
)
def test_what_cannot_be_compared_is_refused(table, said):
    with pytest.raises(InputError, match=said):
        tukey_test(table)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_a_level_that_is_none_is_refused(alpha):
    with pytest.raises(InputError, match="between 0 and 1"):
        tukey_test(np.eye(3), alpha=alpha)


LOW = np.array([bits[0] == bits[2] == "0" for bits in PROFILES])


class PaperDesign(ResponseRatioExperiment):
    items_per_severity = 25
    repeats = 2


@pytest.fixture(scope="module")
def two_groups(play):
    """Play the paper's 50 items, twice a profile, on the mock's two groups."""
    run = play(PaperDesign(), backend=make_backend("mock", {"law": "two_groups"}))
    return response_ratios(run.frame("decisions")).counts.ratio


def test_two_clear_groups_are_found_exactly_with_their_rates(two_groups):
    found = group_profiles(two_groups, n_resamples=50)
    assert found.group.tolist() == np.where(LOW, 1, 2).tolist()
    assert found.notes == () or not found.is_clean
    z = (found.rates - MockOptions().rates) / found.rate_errors
    assert (np.abs(z) < 4.0).all()
    assert (found.rate_errors < 0.02).all()
    assert found.stability.n_groups == ((2, 50),)
    assert found.stability.n_same == 50
    assert found.stability.agreement == (1.0,) * 32


def test_two_clear_groups_are_found_in_every_one_of_many_samples():
    rng = np.random.default_rng(8)
    critical = StudentizedRange(32, 32 * 49).critical(0.05)
    for _ in range(100):
        ratios = rng.binomial(10, np.where(LOW, 0.0533, 0.8154), size=(50, 32)) / 10
        means, n, mean_square, _ = pooled_variance(ratios)
        q = studentized_differences(means, n, mean_square)
        assert _cut(means, q, critical, None).tolist() == np.where(LOW, 1, 2).tolist()


def table_1_ratios(seed, n_items=25):
    law = np.array([[probability(MockOptions(), bits, severity) for bits in PROFILES] for severity in (0, 1)])
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.binomial(10, law[severity], size=(n_items, 32)) / 10 for severity in (0, 1)])


def test_under_table_1_the_profiles_pass_into_each_other_and_it_is_said():
    found = group_profiles(table_1_ratios(1))
    is_open = np.array([bits[0] == "1" for bits in PROFILES])
    assert found.n_groups > 2
    assert not found.is_clean
    assert any("differ significantly within a group; see their letters" in note for note in found.notes)
    # The one wide gap is that of openness.
    assert (found.group[is_open] == found.n_groups).all()
    assert (found.group[~is_open] < found.n_groups).all()


def test_tables_give_profiles_and_groups(two_groups):
    found = group_profiles(two_groups)
    frame, summary = found.frame(), found.summary()
    assert frame["profile"].tolist() == list(PROFILES)
    assert frame.groupby("group")["ratio"].mean().to_numpy() == pytest.approx(found.rates)
    assert frame["letters"].tolist() == list(found.letters)
    assert summary["n_profiles"].tolist() == found.sizes.tolist() == [int(LOW.sum()), int((~LOW).sum())]
    assert summary[["rate", "rate_error"]].to_numpy().T.tolist() == [
        found.rates.tolist(),
        found.rate_errors.tolist(),
    ]
    assert group_profiles(three()).frame()["profile"].tolist() == [0, 1, 2, 3, 4]


def test_under_table_1_two_groups_that_are_wanted_are_those_of_openness():
    found = group_profiles(table_1_ratios(1), n_groups=2, n_resamples=30)
    assert found.group.tolist() == [1 + int(bits[0]) for bits in PROFILES]
    assert found.notes[0].startswith("2 groups were wanted; left alone, the test makes ")
    assert found.stability.n_same == 30
    np.testing.assert_allclose(found.rates, [0.185, 0.985], atol=0.02)


def three(spread=0.02, means=(0.1, 0.1, 0.5, 0.9, 0.9), n=20, seed=0):
    noise = np.random.default_rng(seed).normal(scale=spread, size=(n, len(means)))
    return np.clip(np.array(means) + noise, 0.0, 1.0)


def test_groups_are_numbered_by_ascending_rate_whatever_the_order_of_profiles():
    ratios = three()
    turn = np.array([3, 0, 4, 2, 1])
    found = group_profiles(ratios[:, turn])
    assert found.group.tolist() == [3, 1, 3, 2, 1]
    np.testing.assert_allclose(found.rates, [0.1, 0.5, 0.9], atol=0.02)
    assert found.is_clean
    assert found.notes == ()
    assert found.letters == ("c", "a", "c", "b", "a")


def chain(step):
    """Make five profiles whose means follow each other by `step` of a difference that is just significant."""
    noise = np.random.default_rng(0).normal(size=(20, 5))
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0)
    just = StudentizedRange(5, 95).critical(0.05) * math.sqrt(20 / 19 / 20)
    return 0.5 + 0.01 * (noise + step * just * np.arange(5))


def test_neighbours_are_cut_apart_just_if_they_differ_significantly():
    assert group_profiles(chain(0.99)).group.tolist() == [1] * 5
    assert group_profiles(chain(1.01)).group.tolist() == [1, 2, 3, 4, 5]


def test_a_chain_of_small_steps_is_one_group_that_is_not_clean_with_overlapping_letters():
    ratios = chain(0.6)
    found = group_profiles(ratios)
    assert found.group.tolist() == [1] * 5
    assert not found.is_clean
    assert found.letters == ("a", "ab", "bc", "cd", "d")
    assert found.notes[0] == "no cut between the profiles is significant throughout: they are one group"
    assert "6 pairs of profiles differ significantly within a group" in found.notes[1]
    forced = group_profiles(ratios, n_groups=2)
    assert forced.notes[-1] == (
        "the groups are not clean: 1 pair of profiles of different groups does not differ significantly"
    )
    assert forced.n_groups == 2


@settings(max_examples=15)
@given(
    table=hnp.arrays(float, (6, 5), elements=st.integers(0, 10).map(lambda n: n / 10)),
    wanted=st.integers(1, 5),
)
def test_groups_are_what_they_are_said_to_be(table, wanted):
    found = group_profiles(table)
    apart = found.group[:, None] != found.group
    assert found.test.significant[apart].all()
    # No finer cut would do: sorted neighbours of one group are never divided throughout.
    order = np.argsort(found.test.means, kind="stable")
    for cut, (below, above) in enumerate(pairwise(order), 1):
        through = found.test.significant[np.ix_(order[:cut], order[cut:])].all()
        assert through == (found.group[below] != found.group[above])
    shared = np.array([[bool(set(a) & set(b)) for b in found.letters] for a in found.letters])
    np.testing.assert_array_equal(shared, ~found.test.significant)
    assert found.is_clean == bool((apart == found.test.significant).all())
    assert sorted(set(found.group.tolist())) == list(range(1, found.n_groups + 1))
    assert (np.diff(found.rates) > 0).all()
    assert group_profiles(table, n_groups=wanted).n_groups == wanted


def test_missing_ratios_are_left_out():
    ratios = three()
    ratios[3:, 0] = np.nan
    ratios[0, :2] = np.nan
    found = group_profiles(ratios, n_resamples=20)
    assert found.group.tolist() == [1, 1, 2, 3, 3]
    assert found.rates[0] == pytest.approx(np.nanmean(ratios[:, :2]))
    assert 0 < found.stability.n_resamples < 20


def test_a_bootstrap_in_which_no_resample_can_be_grouped_says_so_by_its_numbers():
    ratios = np.where(np.eye(40) > 0.0, 0.5, np.nan)
    ratios[0, 1] = 0.5
    found = group_profiles(ratios, n_resamples=3)
    assert found.stability.n_resamples == 0
    assert np.isnan(found.stability.agreement).all()


def test_the_error_of_a_rate_takes_items_for_the_units():
    ratios = three(n=9)
    found = group_profiles(ratios)
    by_item = ratios[:, :2].mean(axis=1)
    assert found.rate_errors[0] == pytest.approx(by_item.std(ddof=1) / 3.0)
    lonely = np.full((2, 2), np.nan)
    lonely[0] = lonely[1, 1] = 0.25
    assert np.isnan(group_profiles(lonely, n_groups=2).rate_errors[0])


def test_no_variation_at_all_is_said():
    found = group_profiles([[0.0, 1.0, 1.0]] * 3)
    assert found.group.tolist() == [1, 2, 2]
    assert found.notes == (
        "no profile's ratio varies between items, so that every difference counts as significant",
    )
    (said,) = group_profiles([[1.0, 1.0, 1.0]] * 3).notes
    assert said == "no profile's ratio varies between items, so that there is nothing to test by"


@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.floats(0.2, 1.0))
def test_sets_of_profiles_that_are_alike_are_the_cliques_of_networkx(n, seed, share):
    joined = np.random.default_rng(seed).random((n, n)) < share
    alike = joined | joined.T | np.eye(n, dtype=bool)
    expected = nx.find_cliques(nx.from_numpy_array(alike))
    assert sorted(map(sorted, maximal_sets(alike))) == sorted(map(sorted, expected))


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
def test_the_critical_value_is_the_last_number_before_it_is_exceeded_too_seldom(alpha):
    law = StudentizedRange(32, 100)
    found = law.critical(alpha)
    below, at = law.sf([np.nextafter(found, 0.0), found])
    assert at <= alpha < below


def test_letters_go_on_after_z_as_words():
    ratios = np.linspace(0.0, 1.0, 30) + np.array([[-1e-6], [1e-6]]) * np.ones(30)
    found = group_profiles(np.clip(ratios, 0.0, 1.0))
    assert found.n_groups == 30
    assert (found.letters[0], found.letters[25], found.letters[26], found.letters[29]) == (
        "a",
        "z",
        "aa",
        "ad",
    )


@pytest.mark.parametrize(
    ("ratios", "how", "said"),
    [
        ([[0.5, 1.5], [0.5, 0.5]], {}, "ratios lie between 0 and 1"),
        ([[0.5, -0.5], [0.5, 0.5]], {}, "ratios lie between 0 and 1"),
        ([[0.5, 0.5], [0.5, 0.4]], {"n_groups": 3}, "3 groups cannot be made of 2 profiles"),
        ([[0.5, 0.5], [0.5, 0.4]], {"n_groups": 0}, "0 groups cannot be made"),
        ([[0.5, 0.5], [0.5, 0.4]], {"alpha": 2.0}, "between 0 and 1"),
        ([[0.5, 0.5], [0.5, 0.4]], {"n_resamples": -1}, "-1 resamples cannot be drawn"),
        (0.5, {"n_groups": 1}, "two or more columns"),
        ([0.5, 0.5], {}, "two or more columns"),
    ],
)
def test_what_cannot_be_grouped_is_refused(ratios, how, said):
    with pytest.raises(InputError, match=said):
        group_profiles(ratios, **how)
