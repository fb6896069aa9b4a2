"""Logistic laws: statsmodels agrees, separation is found exactly, Firth's weights are finite and right."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import chi2

from agentnet.analysis.inference import clustered, likelihood_ratio, wald
from agentnet.analysis.logistic import BinomialCells, LogisticFit, fit_full, fit_groups, fit_main_effects
from agentnet.analysis.simulation import simulate
from agentnet.analysis.tables import Cells
from agentnet.errors import DesignError, InputError, InternalError

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

BITS = (np.arange(32)[:, None] >> np.arange(4, -1, -1)) & 1
LOGIT = -3.072 + BITS @ np.array([7.625, -0.188, 2.497, 1.626, -0.970])
TABLE_1 = 1 / (1 + np.exp(-(LOGIT[:, None] + np.array([0.0, -1.224]))))
OPEN = BITS[:, 0]


def run_cells(seed: int, law: Array = TABLE_1, n_runs: int = 50, n_agents: int = 128) -> Cells:
    """Count the decisions of a run of the paper's design: half peaceful, half severe."""
    severity = np.arange(n_runs) % 2
    runs = simulate(law, seed=seed, n_runs=n_runs, n_agents=n_agents, severity=severity, decisions=True)
    yes, no = np.zeros((2, n_runs, 32, 2), dtype=np.int64)
    each = np.arange(n_runs)
    yes[each, :, severity], no[each, :, severity] = runs.n_yes, runs.n_no
    return Cells.from_clusters(yes, no)


@pytest.fixture(scope="module")
def paper() -> Cells:
    return run_cells(0, n_runs=20, n_agents=64)


@pytest.fixture(scope="module")
def mixed() -> Cells:
    """Cells of 12 clusters, without separation."""
    yes = np.random.default_rng(1).binomial(5, 0.15 + 0.7 * TABLE_1, size=(12, 32, 2))
    return Cells.from_clusters(yes, 5 - yes)


def sparse(entries: dict[tuple[int, int], tuple[int, int]]) -> Cells:
    """Make cells from (profile, severity) -> (yes, no)."""
    yes, no = np.zeros((2, 32, 2), dtype=np.int64)
    for cell, (n_yes, n_no) in entries.items():
        yes[cell], no[cell] = n_yes, n_no
    return Cells(yes, no)


def rows_of(cells: Cells) -> tuple[Counts, Counts, Counts]:
    """Write cells out as rows: cell number, decision, cluster."""
    assert cells.cluster_yes is not None
    assert cells.cluster_no is not None
    parts = []
    for decision, counts in ((1, cells.cluster_yes), (0, cells.cluster_no)):
        cluster, cell = np.nonzero(counts.reshape(len(counts), 64))
        times = counts.reshape(len(counts), 64)[cluster, cell]
        parts.append(np.repeat(np.stack([cell, np.full_like(cell, decision), cluster]), times, axis=1))
    cell, decision, cluster = np.concatenate(parts, axis=1)
    return cell, decision, cluster


def covariates(law: str) -> Array:
    """Build the covariates of the 64 cells independently of the code under test."""
    severity = np.tile([0.0, 1.0], 32)
    profile = np.repeat(np.arange(32), 2)
    first = {
        "full": profile[:, None] == np.arange(32),
        "main effects": np.column_stack([np.ones(64), BITS[profile]]),
        "groups": OPEN[profile][:, None] == np.arange(2),
    }[law]
    return np.column_stack([first, severity]).astype(float)


FITS: dict[str, Callable[..., LogisticFit]] = {
    "full": fit_full,
    "main effects": fit_main_effects,
    "groups": lambda cells, **options: fit_groups(cells, OPEN, **options),
}


@pytest.mark.parametrize("law", FITS)
def test_statsmodels_agrees_on_everything(law: str, mixed: Cells) -> None:
    fit = FITS[law](mixed)
    cell, decision, cluster = rows_of(mixed)
    design = covariates(law)[cell]
    peer = sm.Logit(decision, design).fit(disp=0, method="newton", maxiter=100, tol=1e-12)
    assert fit.weights == pytest.approx(peer.params, abs=1e-8)
    assert fit.standard_errors == pytest.approx(peer.bse, abs=1e-8)
    assert fit.covariance == pytest.approx(peer.cov_params(), abs=1e-8)
    assert fit.z == pytest.approx(peer.tvalues, abs=1e-7)
    assert fit.p_values == pytest.approx(peer.pvalues, abs=1e-8)
    assert fit.log_likelihood == pytest.approx(peer.llf, abs=1e-6)
    assert fit.aic == pytest.approx(peer.aic, abs=1e-6)
    assert fit.bic == pytest.approx(peer.bic, abs=1e-6)
    assert fit.transmission_probability.ravel()[cell] == pytest.approx(peer.predict(), abs=1e-10)
    assert fit.n_exposures == decision.size
    assert (fit.separated, fit.warnings) == ((), ())
    robust = sm.Logit(decision, design).fit(
        disp=0, method="newton", maxiter=100, tol=1e-12, cov_type="cluster", cov_kwds={"groups": cluster}
    )
    assert clustered(fit, mixed).covariance == pytest.approx(robust.cov_params(), abs=1e-8)


def test_statsmodels_agrees_on_what_is_left_where_profiles_are_separated(paper: Cells) -> None:
    fit = fit_full(paper)
    cell, decision, cluster = rows_of(paper)
    asked, said_yes = (np.bincount(cell // 2, weights, minlength=32) for weights in (None, decision))
    one_sided = (said_yes == 0) | (said_yes == asked)
    assert one_sided.any()
    assert fit.separated == tuple(f"profile_{p:05b}" for p in np.flatnonzero(one_sided))
    expected = np.where(said_yes == asked, np.inf, -np.inf)
    assert (fit.weights[:32][one_sided] == expected[one_sided]).all()
    left = ~one_sided[cell // 2]
    columns = np.append(~one_sided, [True])
    design = covariates("full")[cell[left]][:, columns]
    peer = sm.Logit(decision[left], design).fit(disp=0, method="newton", maxiter=100, tol=1e-12)
    assert fit.weights[columns] == pytest.approx(peer.params, abs=1e-8)
    assert fit.standard_errors[columns] == pytest.approx(peer.bse, abs=1e-8)
    assert fit.log_likelihood == pytest.approx(peer.llf, abs=1e-6)
    assert np.isnan(fit.standard_errors[:32][one_sided]).all()
    assert np.isnan(fit.p_values[:32][one_sided]).all()
    assert (fit.transmission_probability[one_sided] == (expected[one_sided, None] > 0)).all()
    robust = sm.Logit(decision[left], design).fit(
        disp=0,
        method="newton",
        maxiter=100,
        tol=1e-12,
        cov_type="cluster",
        cov_kwds={"groups": cluster[left]},
    )
    by_realization = clustered(fit, paper)
    assert by_realization.standard_errors[columns] == pytest.approx(robust.bse, abs=1e-8)
    assert by_realization.errors == "clustered by realization (CR1, 20 clusters)"


def test_the_paper_s_design_separates_profiles_in_every_replicate() -> None:
    counts = [len(fit_full(run_cells(seed)).separated) for seed in range(12)]
    assert min(counts) >= 1
    assert max(counts) <= 12
    assert 3 <= np.mean(counts) <= 8


def test_the_truth_of_table_1_is_recovered_within_errors() -> None:
    cells = run_cells(3, n_runs=200)
    fit = fit_main_effects(cells)
    truth = np.array([-3.072, 7.625, -0.188, 2.497, 1.626, -0.970, -1.224])
    traits = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
    assert fit.names == ("intercept", *traits, "severity")
    assert np.abs(fit.weights - truth) / fit.standard_errors == pytest.approx(0, abs=4)
    assert fit.weight("severity") == fit.weights[6]
    assert fit_full(cells).weight("severity") == pytest.approx(-1.224, abs=0.12)


small_counts = st.tuples(st.integers(0, 2), st.integers(0, 2))
tables = st.dictionaries(
    st.tuples(st.sampled_from([0, 5, 16, 21, 31]), st.integers(0, 1)), small_counts, min_size=2
)


def reached_by_enumeration(design: Array, sign: Counts) -> NDArray[np.bool_]:
    """Try every direction of small integers: the cone's edges of these two laws are among them."""
    reached = np.zeros(len(design), dtype=bool)
    for direction in product((-1, 0, 1), repeat=design.shape[1]):
        push = design @ np.array(direction)
        if ((sign * push >= 0) & ((sign != 0) | (push == 0))).all():
            reached |= push != 0
    return reached


def observed(cells: Cells, law: str) -> tuple[NDArray[np.bool_], Array, Counts]:
    yes, no = cells.n_yes.ravel(), cells.n_no.ravel()
    used = yes + no > 0
    design = covariates(law)[used]
    design = design[:, design.any(axis=0)]
    return used, design, (no[used] == 0).astype(int) - (yes[used] == 0)


@given(table=tables, law=st.sampled_from(["full", "groups"]))
@settings(max_examples=50, deadline=None)
def test_separation_is_what_trying_every_direction_finds(
    table: dict[tuple[int, int], tuple[int, int]], law: str
) -> None:
    cells = sparse(table)
    try:
        fit = FITS[law](cells)
    except InputError:
        assume(False)
    used, design, sign = observed(cells, law)
    if "severity" in fit.warnings[0] if fit.warnings else False:
        assume(not fit.warnings[0].startswith("the exposures do not vary"))
    reached = reached_by_enumeration(design, sign)
    certain = np.isin(fit.transmission_probability.ravel()[used], (0.0, 1.0))
    assert (certain == reached).all()


@given(table=tables)
@settings(max_examples=30, deadline=None)
def test_main_effects_reach_the_likelihood_s_supremum_even_if_separated(
    table: dict[tuple[int, int], tuple[int, int]],
) -> None:
    cells = sparse(
        {**table, (3, 0): (1, 1), (12, 1): (2, 0), (24, 0): (0, 1), (10, 1): (1, 1), (0, 0): (0, 2)}
    )
    try:
        fit = fit_main_effects(cells)
    except InputError:
        assume(False)
    yes, asked = cells.n_yes.ravel(), (cells.n_yes + cells.n_no).ravel()
    design = covariates("main effects")

    def loss(weights: Array) -> tuple[float, Array]:
        logit = design @ weights
        chance = 1 / (1 + np.exp(-np.clip(logit, -700, 700)))
        value = -(yes * logit - asked * np.logaddexp(0, logit)).sum() + 1e-9 * weights @ weights
        return value, -design.T @ (yes - asked * chance) + 2e-9 * weights

    best = minimize(loss, np.zeros(7), jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 2000})
    # A ridge this small costs little and lets the search run far out along the cone.
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=2e-4)
    finite = np.isfinite(fit.weights)
    certain = fit.transmission_probability.ravel()[asked > 0]
    chance = 1 / (1 + np.exp(-design[asked > 0] @ best.x))
    assert certain == pytest.approx(chance, abs=2e-3)
    assert fit.weights[finite] == pytest.approx(best.x[finite], abs=5e-2)
    for name, weight, far in zip(fit.names, fit.weights, best.x, strict=True):
        if np.isinf(weight):
            assert name in fit.separated
            assert np.sign(far) == np.sign(weight)
            assert abs(far) > 3


def test_a_trait_that_decides_everything_has_an_infinite_weight_and_the_others_stay() -> None:
    entries = {(p, s): (5, 0) if p >= 16 else (2 + p % 3 + s, 4 + p % 2) for p in range(32) for s in (0, 1)}
    fit = fit_main_effects(sparse(entries))
    assert fit.weight("openness") == np.inf
    assert fit.separated == ("openness",)
    closed = {cell: counts for cell, counts in entries.items() if cell[0] < 16}
    alone = fit_main_effects(sparse(closed))
    kept = [i for i, name in enumerate(fit.names) if name != "openness"]
    assert fit.weights[kept] == pytest.approx(alone.weights[kept], abs=1e-9)
    assert fit.standard_errors[kept] == pytest.approx(alone.standard_errors[kept], abs=1e-9)
    assert np.isnan(alone.weight("openness"))
    assert "do not vary in openness" in alone.warnings[0]
    assert (fit.transmission_probability[16:] == 1.0).all()
    assert np.isnan(alone.transmission_probability[16:]).all()


def test_a_weight_that_separation_pushes_both_ways_is_undetermined() -> None:
    # Open agents always share and closed ones never: how much of it is extraversion, nobody can tell.
    entries = {(0b10000, 0): (3, 0), (0b10100, 0): (3, 0), (0, 0): (0, 3), (0b00100, 0): (0, 3)}
    fit = fit_main_effects(sparse({**entries, (0, 1): (0, 1), (0b10000, 1): (1, 0)}))
    assert fit.weight("openness") == np.inf
    assert fit.weight("intercept") == -np.inf
    assert np.isnan(fit.weight("extraversion"))
    assert any("no sign of their own: extraversion" in warning for warning in fit.warnings)
    assert fit.log_likelihood == pytest.approx(0.0, abs=1e-12)
    assert fit.transmission_probability[0b10100, 0] == 1.0


def test_severity_alone_can_be_separated() -> None:
    fit = fit_full(sparse({(1, 0): (4, 2), (1, 1): (0, 5), (2, 0): (1, 3), (2, 1): (0, 2)}))
    assert fit.separated == ("severity",)
    assert fit.weight("severity") == -np.inf
    assert fit.weight("profile_00001") == pytest.approx(np.log(2))
    assert fit.transmission_probability[2].tolist() == pytest.approx([0.25, 0.0])


def test_profiles_that_nobody_asked_have_no_weight_and_no_probability() -> None:
    fit = fit_full(sparse({(1, 0): (4, 2), (1, 1): (1, 5), (2, 0): (1, 3)}))
    assert np.isnan(fit.weight("profile_00000"))
    assert np.isnan(fit.transmission_probability[0]).all()
    assert fit.transmission_probability[2, 1] < 0.25
    assert fit.n_parameters == 3
    assert "profile_00000" in fit.warnings[0]


def test_news_of_one_severity_gives_no_weight_for_it() -> None:
    for severity in (0, 1):
        fit = fit_groups(sparse({(1, severity): (4, 2), (20, severity): (1, 3)}), OPEN)
        assert np.isnan(fit.weight("severity"))
        assert fit.weight("group_1") == pytest.approx(np.log(2))
        assert fit.transmission_probability[20, severity] == pytest.approx(0.25)
        assert np.isnan(fit.transmission_probability[20, 1 - severity])


def firth_by_search(cells: Cells, law: str) -> Array:
    """Maximize the penalized likelihood by a general search on single rows."""
    yes, asked = cells.n_yes.ravel(), (cells.n_yes + cells.n_no).ravel()
    design = covariates(law)

    def loss(weights: Array) -> float:
        logit = design @ weights
        chance = 1 / (1 + np.exp(-logit))
        information = design.T @ ((asked * chance * (1 - chance))[:, None] * design)
        height = (yes * logit - asked * np.logaddexp(0, logit)).sum()
        return float(-height - 0.5 * np.linalg.slogdet(information)[1])

    start = np.zeros(design.shape[1])
    for _ in range(3):
        start = minimize(loss, start, method="BFGS", options={"gtol": 1e-9}).x
    return start


@pytest.mark.parametrize("law", ["main effects", "groups"])
def test_firth_s_weights_have_the_highest_penalized_likelihood(law: str) -> None:
    cells = run_cells(2, n_runs=2)
    fit = FITS[law](cells, method="firth")
    assert fit.weights == pytest.approx(firth_by_search(cells, law), abs=2e-4)
    assert np.isfinite(fit.standard_errors).all()


@given(
    yes=st.lists(st.integers(0, 9), min_size=2, max_size=2),
    no=st.lists(st.integers(0, 9), min_size=2, max_size=2),
)
@example(yes=[0, 1], no=[1, 1])
@settings(max_examples=40, deadline=None)
def test_firth_adds_half_a_decision_of_each_kind_to_separate_groups(yes: list[int], no: list[int]) -> None:
    assume(min(yes[0] + no[0], yes[1] + no[1]) > 0)
    assume(sum(yes) > 0)
    assume(sum(no) > 0)
    fit = fit_groups(sparse({(0, 0): (yes[0], no[0]), (20, 0): (yes[1], no[1])}), OPEN, method="firth")
    expected = [np.log((y + 0.5) / (n + 0.5)) for y, n in zip(yes, no, strict=True)]
    assert fit.weights[:2] == pytest.approx(expected, abs=1e-9)
    information = [
        (y + n) * p * (1 - p) for y, n, p in zip(yes, no, 1 / (1 + np.exp(-np.array(expected))), strict=True)
    ]
    assert fit.standard_errors[:2] == pytest.approx(1 / np.sqrt(information), rel=1e-8)


def test_firth_gives_separated_profiles_finite_weights(paper: Cells) -> None:
    fit = fit_full(paper, method="firth")
    assert fit.separated == ()
    assert np.isfinite(fit.weights).all()
    assert np.isfinite(fit.standard_errors).all()
    assert fit.weight("severity") == pytest.approx(fit_full(paper).weight("severity"), abs=0.02)
    assert np.isfinite(clustered(fit, paper).standard_errors).all()


def test_the_cost_does_not_depend_on_the_number_of_decisions(mixed: Cells) -> None:
    scaled = Cells(mixed.n_yes * 10**6, mixed.n_no * 10**6)
    one, many = fit_main_effects(mixed), fit_main_effects(scaled)
    assert many.weights == pytest.approx(one.weights, abs=1e-9)
    assert many.standard_errors == pytest.approx(one.standard_errors / 1000, rel=1e-8)


def test_newton_steps_that_overshoot_are_shortened() -> None:
    traits = [[9, 6, 10], [9, 2, 7], [8, 6, 9], [1, 6, 2], [2, 6, 11], [0, 3, 2]]
    design = np.column_stack([np.ones(6), np.array(traits)]).astype(float)
    yes, asked = np.array([1, 688, 1, 17, 6, 1]), np.array([1504, 1345, 1361, 171, 1081, 1386])
    found = BinomialCells(design, yes, asked).maximize()
    peer = sm.GLM(np.column_stack([yes, asked - yes]), design, family=sm.families.Binomial()).fit(tol=1e-14)
    assert found.weights == pytest.approx(peer.params, abs=1e-8)
    assert found.covariance == pytest.approx(peer.cov_params(), abs=1e-8)


def test_newton_s_method_says_so_if_it_does_not_converge() -> None:
    with pytest.raises(InternalError, match="in vain"):
        BinomialCells(np.ones((1, 1)), np.array([1]), np.array([900])).maximize(n_steps=2)


def test_clustering_changes_little_where_decisions_are_independent() -> None:
    # Those of simulated cascades are, given the exposures.
    cells = run_cells(1, 0.15 + 0.7 * TABLE_1, n_runs=80)
    plain = fit_main_effects(cells)
    clusters = clustered(plain, cells)
    assert (clusters.weights == plain.weights).all()
    assert clusters.standard_errors / plain.standard_errors == pytest.approx(np.ones(7), abs=0.35)


def test_decisions_that_depend_on_the_news_item_widen_clustered_errors() -> None:
    rng = np.random.default_rng(4)
    shift = rng.normal(0, 1.5, 40)
    chance = 1 / (
        1 + np.exp(-(shift[:, None, None] + np.linspace(-1, 1, 32)[:, None] + np.array([0.0, 0.5])))
    )
    yes = rng.binomial(5, chance)
    cells = Cells.from_clusters(yes, 5 - yes)
    fit = fit_main_effects(cells)
    robust = clustered(fit, cells, by="news item")
    assert robust.standard_errors[0] > 2.5 * fit.standard_errors[0]
    assert robust.errors.startswith("clustered by news item")


def test_few_clusters_are_named(mixed: Cells) -> None:
    assert mixed.cluster_yes is not None
    assert mixed.cluster_no is not None
    six = Cells.from_clusters(
        *(c.reshape(6, 2, 32, 2).sum(axis=1) for c in (mixed.cluster_yes, mixed.cluster_no))
    )
    fit = clustered(fit_full(six), six)
    assert "6 clusters are few for 33 weights" in fit.warnings[-1]
    with pytest.raises(DesignError, match="fewer clusters"):
        wald(fit, fit.names)


def test_clusters_must_belong_to_the_fit(mixed: Cells, paper: Cells) -> None:
    fit = fit_main_effects(mixed)
    with pytest.raises(DesignError, match="not the ones"):
        clustered(fit, paper)
    with pytest.raises(DesignError, match="no counts by cluster"):
        clustered(fit, Cells(mixed.n_yes, mixed.n_no))
    single = Cells.from_clusters(mixed.n_yes[None], mixed.n_no[None])
    with pytest.raises(DesignError, match="at least 2 clusters"):
        clustered(fit, single)


def test_likelihood_ratio_and_wald_tests_agree_with_statsmodels(mixed: Cells) -> None:
    full, main = fit_full(mixed), fit_main_effects(mixed)
    answers = np.column_stack([mixed.n_yes.ravel(), mixed.n_no.ravel()])
    peers = [
        sm.GLM(answers, covariates(law), family=sm.families.Binomial()).fit(tol=1e-14)
        for law in ("full", "main effects")
    ]
    test = likelihood_ratio(full, main)
    expected = 2 * (peers[0].llf - peers[1].llf)
    assert test.statistic == pytest.approx(expected, abs=1e-6)
    assert test.freedom == 26
    assert test.p_value == pytest.approx(chi2.sf(expected, 26), abs=1e-8)
    joint = wald(main, ["conscientiousness", "neuroticism", "neuroticism"])
    peer = peers[1].wald_test(np.eye(7)[[2, 5]], scalar=True, use_f=False)
    assert joint.statistic == pytest.approx(float(peer.statistic), abs=1e-6)
    assert joint.freedom == 2
    assert joint.p_value == pytest.approx(float(peer.pvalue), abs=1e-8)


def test_a_separated_law_can_be_tested_against_a_smaller_one(paper: Cells) -> None:
    test = likelihood_ratio(fit_full(paper), fit_main_effects(paper))
    assert test.freedom == 26
    assert 0.001 < test.p_value <= 1.0


def test_tests_refuse_what_they_cannot_compare(mixed: Cells, paper: Cells) -> None:
    full, main, groups = fit_full(mixed), fit_main_effects(mixed), fit_groups(mixed, np.arange(32) % 3)
    with pytest.raises(DesignError, match="does not contain"):
        likelihood_ratio(main, full)
    with pytest.raises(DesignError, match="does not contain"):
        likelihood_ratio(main, groups)
    with pytest.raises(DesignError, match="same cells"):
        likelihood_ratio(full, fit_main_effects(paper))
    with pytest.raises(DesignError, match="two maximum-likelihood fits"):
        likelihood_ratio(full, fit_main_effects(mixed, method="firth"))
    with pytest.raises(DesignError, match="did you mean 'openness'"):
        wald(main, ["opennes"])
    with pytest.raises(DesignError, match="finite weights"):
        wald(fit_full(paper), fit_full(paper).separated)
    with pytest.raises(DesignError, match="finite weights"):
        wald(main, [])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "no exposures"),
        ({(1, 0): (3, 0), (2, 1): (1, 0)}, "all 4 decisions are yes"),
        ({(1, 0): (0, 3), (2, 1): (0, 1)}, "all 4 decisions are no"),
        ({(9, 0): (1, 3), (9, 1): (2, 1)}, "all exposures are of profile 01001"),
        (
            {(1, 0): (1, 3), (2, 1): (2, 1)},
            "do not tell these weights apart: profile_00010, severity",
        ),
    ],
)
def test_data_that_say_nothing_are_refused(
    entries: dict[tuple[int, int], tuple[int, int]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fit_full(sparse(entries))


def test_traits_that_always_go_together_are_refused() -> None:
    entries = {(p, s): (2, 3) for p in (0b00000, 0b11000, 0b00110, 0b11110, 0b00001) for s in (0, 1)}
    with pytest.raises(InputError, match="apart: openness, conscientiousness, extraversion, agreeableness"):
        fit_main_effects(sparse(entries))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(31, int), "32 integers"),
        (np.zeros(32), "32 integers"),
        (np.full(32, -1), "at least 0"),
        (np.repeat([0, 2], 16), "no profile in group 1"),
    ],
)
def test_what_is_no_grouping_is_refused(groups: Any, message: str, mixed: Cells) -> None:
    with pytest.raises(DesignError, match=message):
        fit_groups(mixed, groups)


def test_unknown_methods_and_weights_are_refused(mixed: Cells) -> None:
    with pytest.raises(DesignError, match="did you mean 'firth'"):
        fit_full(mixed, method="frith")  # type: ignore[arg-type]
    with pytest.raises(DesignError, match="did you mean 'severity'"):
        fit_full(mixed).weight("severty")
