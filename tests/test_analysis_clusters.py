"""Clustered errors at the edge: separation, few clusters, clusters that tell nothing; degrees of freedom."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from agentnet import CascadeExperiment
from agentnet.analysis.estimates import student_quantile
from agentnet.analysis.fits import fit_run
from agentnet.analysis.inference import _freedom, clustered
from agentnet.analysis.laws import LAWS
from agentnet.analysis.laws.mean_field import MeanFieldLaw, fit_mean_field
from agentnet.analysis.logistic import LogisticFit, fit_full, fit_groups, fit_main_effects
from agentnet.analysis.reading import read_tables
from agentnet.analysis.tables import Cells
from agentnet.backend import make_backend
from agentnet.errors import InternalError
from agentnet.events import Run
from agentnet.vocabulary import N_PROFILES

HALVES = np.arange(N_PROFILES) // 16


def cells(*decisions: tuple[int, int, int, int, int]) -> Cells:
    """Count (cluster, profile, severity, yes, no)."""
    n_clusters = 1 + max(each[0] for each in decisions)
    yes, no = np.zeros((2, n_clusters, N_PROFILES, 2), dtype=np.int64)
    for cluster, profile, severity, n_yes, n_no in decisions:
        yes[cluster, profile, severity] += n_yes
        no[cluster, profile, severity] += n_no
    return Cells.from_clusters(yes, no)


def rows(counted: Cells) -> tuple[NDArray[np.int64], ...]:
    """Write out decisions: profile, severity, decision, cluster."""
    assert counted.cluster_yes is not None
    assert counted.cluster_no is not None
    parts = []
    for decision, counts in ((1, counted.cluster_yes), (0, counted.cluster_no)):
        cluster, profile, severity = np.nonzero(counts)
        each = np.stack([profile, severity, np.full_like(profile, decision), cluster])
        parts.append(np.repeat(each, counts[cluster, profile, severity], axis=1))
    return tuple(np.concatenate(parts, axis=1))


def no_interval(fit: LogisticFit) -> dict[str, str]:
    """Give the reasons for having no interval, by the weights they are of."""
    said = [each for each in fit.warnings if each.startswith("no interval")]
    return dict(each.partition(" for ")[2].split(": ", 1) for each in said)


def test_with_separated_profiles_the_clusters_of_the_others_count() -> None:
    # Profile 3 always says no, profile 28 always yes; profile 20 says both, in clusters 0 to 3 alone.
    certain = [(g, p, 0, 4 * (p == 28), 4 * (p == 3)) for g in range(9) for p in (3, 28)]
    counted = cells(*certain, (0, 20, 0, 1, 3), (1, 20, 0, 2, 2), (2, 20, 0, 2, 5), (3, 20, 0, 5, 1))
    fit = clustered(fit_full(counted), counted)
    place = fit.index("profile_10100")
    profile, _, decision, cluster = rows(counted)
    left = profile == 20
    peer = sm.Logit(decision[left], np.ones(left.sum())).fit(
        disp=0, method="newton", cov_type="cluster", cov_kwds={"groups": cluster[left]}
    )
    assert fit.standard_errors[place] == pytest.approx(peer.bse[0], rel=1e-10)
    assert fit.errors == "clustered by realization (CR1, 4 clusters)"
    assert fit.freedom[place] == 3
    assert np.isnan(np.delete(fit.freedom, place)).all()
    assert np.isinf(fit.weights[[3, 28]]).all()
    assert no_interval(fit) == {}


def test_decisions_that_are_all_certain_are_fitted_without_any_error() -> None:
    profiles = (1, 2, 4, 9, 16, 22, 31)
    counted = cells(*((g, p, g % 2, 3 * (p > 15), 3 * (p < 16)) for g in range(6) for p in profiles))
    for fit in (fit_full(counted), fit_main_effects(counted), fit_groups(counted, HALVES)):
        robust = clustered(fit, counted)
        assert robust.errors == "clustered by realization (CR1, 0 clusters)"
        assert np.isnan(robust.standard_errors).all()
        assert np.isnan(robust.freedom).all()
        assert np.array_equal(robust.weights, fit.weights, equal_nan=True)
        assert robust.warnings == fit.warnings
        assert any("neither estimate nor interval" in warning for warning in fit.warnings)


@pytest.mark.parametrize(
    ("n_mixed", "said"), [(1, "all that is known of it comes from one cluster"), (2, "2")]
)
def test_fewer_than_three_clusters_give_no_interval(n_mixed: int, said: str) -> None:
    certain = [(g, 5, 0, 0, 4) for g in range(7)]
    mixed = [(g, 21, 0, 1 + g, 2) for g in range(n_mixed)]
    fit = clustered(fit_full(counted := cells(*certain, *mixed)), counted)
    assert said in no_interval(fit)["profile_10101"]
    assert np.isnan(fit.freedom).all()
    assert math.isfinite(fit.weight("profile_10101"))
    assert math.isnan(fit.standard_errors[21]) == (n_mixed == 1)


def test_clusters_that_agree_to_the_last_decision_give_no_interval() -> None:
    counted = cells(*((g, p, 0, 1 + (p > 15), 2) for g in range(8) for p in (4, 20)))
    fit = clustered(fit_groups(counted, HALVES), counted, by="news item")
    assert no_interval(fit) == {"any weight": "the clusters do not differ in it at all"}
    assert "clustered by news item" in fit.warnings[-1]
    assert np.isnan(fit.standard_errors).all()


def test_a_severity_that_one_cluster_alone_has_gets_no_interval() -> None:
    peaceful = [(g, p, 0, 1 + (g + p) % 3, 2) for g in range(7) for p in (6, 25)]
    counted = cells(*peaceful, (7, 6, 1, 3, 2), (7, 25, 1, 1, 4))
    fit = clustered(fit_groups(counted, HALVES), counted)
    assert no_interval(fit) == {"severity": "all that is known of it comes from one cluster"}
    assert np.isfinite(fit.standard_errors[:2]).all()
    assert fit.freedom[:2].tolist() == [7, 7]


def test_weights_that_only_one_cluster_tells_apart_get_no_interval() -> None:
    # Openness and neuroticism go together but for cluster 2.
    together = [(g, p, 0, 1 + (g * (p + 1)) % 4, 2) for g in range(6) for p in (0b00000, 0b10001)]
    counted = cells(*together, (2, 0b10000, 0, 2, 1), (2, 0b00001, 0, 1, 2))
    fit = clustered(fit_main_effects(counted), counted)
    reasons = {name: why for names, why in no_interval(fit).items() for name in names.split(", ")}
    assert reasons.keys() == {"openness", "neuroticism"}
    assert fit.freedom[fit.index("intercept")] == 5


def test_a_group_that_few_clusters_have_has_fewer_degrees_of_freedom() -> None:
    lower = [(g, 7, 0, 1 + g % 3, 2) for g in range(11)]
    upper = [(g, 19, 0, 2, 1 + g % 2) for g in range(4)]
    fit = clustered(fit_groups(counted := cells(*lower, *upper), HALVES), counted)
    assert fit.freedom[:2].tolist() == [10, 3]
    # With one group alone the error is that of a proportion over clusters.
    n, y = (np.array([3 + g % 2 for g in range(4)]), np.full(4, 2))
    p, total = y.sum() / n.sum(), int(counted.n_exposures)
    scale = 11 / 10 * (total - 1) / (total - 2)
    closed = math.sqrt(scale * ((y - n * p) ** 2).sum()) / (n.sum() * p * (1 - p))
    assert fit.standard_errors[1] == pytest.approx(closed, rel=1e-12)


def test_a_cluster_level_covariate_has_welch_s_degrees_of_freedom() -> None:
    counted = cells(*((g, p, int(g < 4), 1 + (3 * g + p) % 4, 3) for g in range(13) for p in (1, 12, 23, 30)))
    fit = clustered(fit_groups(counted, HALVES), counted)
    variance = np.array([1 / 4, 1 / 9])
    n = np.array([4, 9])
    # Two samples of equal variance within: that of their means is as Welch has it, less one mean each.
    taken = variance * (n - 1) / n
    assert fit.freedom[-1] == pytest.approx(taken.sum() ** 2 / (taken**2 / (n - 1)).sum())
    assert 3 < fit.freedom[-1] < 11


@given(
    st.integers(2, 30).flatmap(
        lambda a: st.tuples(st.just(a), st.integers(2, 30)).flatmap(
            lambda ab: st.tuples(st.just(ab[0]), st.just(ab[1]), st.integers(0, min(ab)))
        )
    )
)
def test_degrees_of_freedom_are_those_of_the_quadratic_form(sides: tuple[int, int, int]) -> None:
    n_ones, n_zeros, n_both = sides
    total = n_ones + n_zeros - n_both
    one = (np.arange(total) < n_ones).astype(float)
    zero = (np.arange(total) >= n_ones - n_both).astype(float)
    form = sum((np.diag(side) - np.outer(side, side) / side.sum()) / side.sum() ** 2 for side in (one, zero))
    assert _freedom(*sides) == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))
    assert min(n_ones, n_zeros) - 1 <= _freedom(*sides) + 1e-9
    assert _freedom(*sides) <= total - 1 + 1e-9


def test_intervals_of_severity_cover_the_truth_where_severe_clusters_are_few() -> None:
    # Three of fifteen clusters are severe, and clusters differ.
    rng, hits, naive, n_runs = np.random.default_rng(8), 0, 0, 300
    for _ in range(n_runs):
        shift = rng.normal(0, 0.8, 15) + 0.5 * (np.arange(15) < 3)
        yes = rng.binomial(30, 1 / (1 + np.exp(-shift)))
        counted = cells(*((g, p, int(g < 3), y, 30 - y) for g, y in enumerate(yes.tolist()) for p in (0, 31)))
        fit = clustered(fit_groups(counted, HALVES), counted)
        missed = abs(fit.weights[-1] - 0.5) / fit.standard_errors[-1]
        hits += missed < student_quantile(fit.freedom[-1], 0.95)
        naive += missed < student_quantile(14, 0.95)
    assert naive < 0.9 * n_runs
    assert 0.91 * n_runs < hits


def test_quantiles_are_student_s_and_the_normal_one() -> None:
    for level in (0.5, 0.9, 0.99):
        assert student_quantile(math.inf, level) == pytest.approx(stats.norm.ppf((1 + level) / 2))
        assert student_quantile(2.5, level) == pytest.approx(stats.t.ppf((1 + level) / 2, 2.5))


def test_every_parameter_without_interval_says_why(play: Callable[..., Run]) -> None:
    law = {"law": "table", "table": {f"{p:05b}": float(p > 15) for p in range(N_PROFILES)}}
    design = CascadeExperiment(n_agents=64, degree=4, steps=6, repeats=2, items_per_severity=2)
    found = fit_run(read_tables(play(design, backend=make_backend("mock", law))), n_runs=4, n_bootstrap=0)
    assert [each.law for each in found.laws] == [name for name in LAWS if not LAWS[name].takes_column]
    assert not found.refused
    for law_fit in found.laws:
        for each in law_fit.parameters:
            assert (each.interval is None) == bool(each.why_no_interval), (law_fit.title, each)
    assert "separated" in found.law("group_logistic").parameter("group_2").why_no_interval
    assert "do not tell" in found.law("full_logistic").parameter("severity").why_no_interval
    assert "asked for" in found.law("one_rate").parameter("tau").why_no_interval
    effects = found.law("main_effects")
    said = list(effects.of.finding(effects.parameters, None))
    assert (
        said[0]
        == "In the main-effects logistic law decisions are separated by openness: no finite weight fits best"
    )
    assert not any("the largest weight" in each for each in said)
    spelled = found.as_json()["laws"]
    assert isinstance(spelled, list)
    assert "separated" in spelled[0]["parameters"][0]["why_no_interval"]


def test_curves_that_are_all_the_same_have_no_interval() -> None:
    curve = MeanFieldLaw((0.4,), (1.0,), (1 / 50,), (4.0,)).engaged_fraction(np.arange(9))
    fit = fit_mean_field(np.tile(curve, (6, 1)), degree=4)
    assert fit.intervals is None
    assert "the curves of all 6 realizations or clusters are the same" in fit.warnings[-1]
    assert fit.values == pytest.approx((0.4,))


@pytest.mark.parametrize("law", ["full_logistic", "one_rate"])
def test_a_law_that_fails_takes_no_other_with_it(
    law: str, play: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = read_tables(play(CascadeExperiment(n_agents=64, degree=4, steps=6, repeats=4)))
    whole = fit_run(tables, n_runs=4, n_bootstrap=0)

    def failing(*_: object) -> object:
        raise InternalError("Newton's method took 300 steps in vain")

    monkeypatch.setattr(LAWS[law], "fit", failing)
    found = fit_run(tables, n_runs=4, n_bootstrap=0)
    assert [(each.law, each.reason) for each in found.refused] == [
        (law, "Newton's method took 300 steps in vain")
    ]
    assert {each.law for each in found.laws} == {each.law for each in whole.laws} - {law}
    assert {each.law for each in found.scores} == {each.law for each in found.laws}


def test_realizations_whose_answers_are_all_missing_are_no_clusters(play: Callable[..., Run]) -> None:
    tables = read_tables(play(CascadeExperiment(n_agents=64, degree=4, steps=6, repeats=1)))
    counts = tables.exposures
    lost = counts.row > 0
    asked = counts.n_yes + counts.n_no + counts.n_missing
    one = replace(
        counts,
        n_yes=np.where(lost, 0, counts.n_yes),
        n_no=np.where(lost, 0, counts.n_no),
        n_missing=np.where(lost, asked, counts.n_missing),
    )
    found = fit_run(replace(tables, exposures=one), groups=HALVES, n_runs=4, n_bootstrap=0)
    group = found.law("group_logistic")
    assert {each.error_by_realization for each in group.parameters} == {None}
    assert {each.error_by_news for each in group.parameters} == {None}
    assert any("of a single realization" in warning for warning in group.warnings)
