"""Fits of a run: each number is that of the law's own room; judged fairly; refused with a reason."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agentnet import CascadeExperiment, analysis
from agentnet.analysis import scores
from agentnet.analysis.fits import Fits, fit_run
from agentnet.analysis.fitting import CurveFit, rmse
from agentnet.analysis.goodness import NoiseFloor
from agentnet.analysis.grouping import as_grouping, group_by_exposures
from agentnet.analysis.inference import clustered
from agentnet.analysis.laws import LAWS, GroupRates, LogisticLaw, OneRate, Resamples
from agentnet.analysis.laws.cavity import CavityLaw, fit_cavity
from agentnet.analysis.laws.decision import told_probability
from agentnet.analysis.laws.mean_field import fit_mean_field
from agentnet.analysis.logistic import LogisticFit, fit_full, fit_groups, fit_main_effects
from agentnet.analysis.reading import read_tables
from agentnet.analysis.simulation import infer_cascades
from agentnet.analysis.tables import ExposureCounts, RunTables
from agentnet.backend import make_backend
from agentnet.errors import DesignError, UserError
from agentnet.events import Run
from agentnet.streams import Streams

GROUPS = np.arange(32) // 16
QUICK = {"n_runs": 20, "n_bootstrap": 20}


@pytest.fixture(scope="module")
def tables(play: Callable[..., Run]) -> RunTables:
    """Twelve cascades on four news items, with missing answers."""
    design = CascadeExperiment(n_agents=64, degree=4, steps=8, repeats=3, items_per_severity=2)
    run = play(design, backend=make_backend("mock", {"invalid_rate": 0.05}), seed=2, max_asks=1)
    return read_tables(run)


@pytest.fixture(scope="module")
def fits(tables: RunTables) -> Fits:
    return fit_run(tables, groups=GROUPS, seed=5, **QUICK)


def test_every_law_is_fitted_and_ranked(fits: Fits) -> None:
    of_no_column = tuple(name for name in LAWS if not LAWS[name].takes_column)
    assert tuple(law.law for law in fits.laws) == of_no_column
    assert fits.refused == ()
    assert {score.law for score in fits.scores} == set(of_no_column)
    held_out = [score.held_out_rmse for score in fits.scores]
    assert held_out == sorted(held_out, key=lambda value: value or math.inf)
    assert [law.n_parameters for law in fits.laws[1:]] == [7, 3, 1, 2, 2]
    assert fits.law("cavity").title == "2-group cavity"


def test_inferred_cascades_begin_as_the_run_does_where_fewer_say_yes_than_were_wanted(
    play: Callable[..., Run],
) -> None:
    half = make_backend("mock", {"law": "constant", "probability": 0.5})
    design = {"n_agents": 12, "degree": 3, "steps": 2, "repeats": 4, "items_per_severity": 2}
    tables = read_tables(play(CascadeExperiment(initial_agents=12, **design), backend=half))
    assert 0.3 < tables.engaged_fraction[:, 0].mean() < 0.7
    found = infer_cascades(np.full((32, 2), 0.2), tables, n_runs=200)
    assert found.n_unstarted < 40  # 14 are expected: 0.8^12 of them
    assert found.engaged_fraction[:, 0].mean() == pytest.approx(0.2, abs=0.05)


def test_weights_are_those_of_the_logistic_fits(tables: RunTables, fits: Fits) -> None:
    cells = tables.cells()
    direct = {
        "full_logistic": fit_full(cells),
        "main_effects": fit_main_effects(cells),
        "group_logistic": fit_groups(cells, GROUPS),
    }
    for name, fit in direct.items():
        found = fits.law(name)
        assert tuple(each.name for each in found.parameters) == fit.names
        assert np.array_equal([each.estimate for each in found.parameters], fit.weights, equal_nan=True)
        by_news = clustered(fit, tables.cells("news item"), "news item")
        for place, each in enumerate(found.parameters):
            if not math.isfinite(each.estimate):
                assert (each.interval, each.standard_error, each.method) == (None, None, "")
                continue
            assert each.standard_error == fit.standard_errors[place]
            assert each.error_by_news == by_news.standard_errors[place]
            assert each.p_value == fit.p_values[place]


def test_intervals_are_wide_enough_for_few_clusters(tables: RunTables, fits: Fits) -> None:
    each = fits.law("main_effects").parameter("openness")
    robust = clustered(fit_main_effects(tables.cells()), tables.cells())
    error = robust.standard_errors[robust.index("openness")]
    assert each.error_by_realization == error
    assert each.method == "clustered by realization"
    assert np.allclose(each.interval, stats.t(11, each.estimate, error).interval(0.95))
    assert np.allclose(each.interval_by_news, stats.t(3, each.estimate, each.error_by_news).interval(0.95))
    assert any("clusters are few" in warning for warning in fits.law("main_effects").warnings)


def test_separated_weights_stand_beside_firths(tables: RunTables, fits: Fits) -> None:
    full = fits.law("full_logistic")
    firth = fit_full(tables.cells(), method="firth")
    assert isinstance(full.fit, LogisticFit)
    assert full.fit.separated
    for each in full.parameters:
        assert each.firth == firth.weight(each.name)
        assert each.firth_error is not None
    assert any("separated" in warning for warning in full.warnings)
    assert fits.law("group_logistic").parameter("severity").firth is None


def test_rates_are_those_of_the_laws_of_curves(tables: RunTables, fits: Fits) -> None:
    how: Any = {
        "group_share": tables.group_share(GROUPS),
        "initial_share": tables.initial_share(GROUPS),
        "group_yes_ratio": GroupRates(tables, as_grouping(GROUPS)).yes_ratio,
        "n_bootstrap": 20,
        "seed": 5,
    }
    two = fit_mean_field(tables.engaged_fraction, degree=4, **how)
    law = fits.law("group_rates")
    assert [each.estimate for each in law.parameters] == list(two.values)
    assert two.intervals == tuple(each.interval for each in law.parameters)
    assert law.growth_rate is not None
    assert law.growth_rate.interval == two.growth_rate_interval
    assert law.growth_rate.estimate == two.growth_rate
    assert law.equilibria == two.law.equilibria()
    by_news = fit_mean_field(tables.engaged_fraction, degree=4, cluster=tables.news, **how)
    assert by_news.intervals is not None
    assert law.parameter("tau_2").interval_by_news == by_news.intervals[1]
    assert law.comparison().rmse == pytest.approx(two.rmse)
    cavity = fit_cavity(tables.engaged_fraction, degree=4, rule=tables.asking_rule, **how)
    assert fits.law("cavity").parameter("p_1").estimate == cavity.values[0]
    assert fits.law("one_rate").parameter("tau").method == "bootstrap over 12 realizations"
    assert fits.law("one_rate").growth_rate is not None
    assert fits.law("cavity").growth_rate is None


def test_laws_of_curves_are_fitted_to_each_severity_too(tables: RunTables, fits: Fits) -> None:
    severe = tables.select(np.flatnonzero(tables.severity == 1))
    direct = fit_mean_field(severe.engaged_fraction, degree=4, n_bootstrap=0)
    found = fits.law("one_rate").by_severity
    assert list(found) == [0, 1]
    assert isinstance(found[1], CurveFit)
    assert found[1].values == direct.values
    assert isinstance(fits.law("cavity").by_severity[0].law, CavityLaw)
    assert fits.law("main_effects").by_severity == {}


def test_the_one_rate_law_engages_groups_alike(tables: RunTables, fits: Fits) -> None:
    law = fits.law("one_rate")
    one, two = (law.comparison(f"group {group}").inferred.mean for group in (1, 2))
    assert isinstance(law.fit, CurveFit)
    assert np.allclose(one + two, law.fit.inferred)
    share = tables.group_share(GROUPS)
    initial = tables.initial_share(GROUPS)
    # What is still unengaged keeps its proportions.
    left = [share[0] - one, share[1] - two]
    assert np.allclose(left[0] / left[1], left[0][0] / left[1][0])
    assert np.isclose(one[0] / two[0], initial[0] / initial[1])


def test_curves_of_logistic_laws_are_inferred_cascades(tables: RunTables, fits: Fits) -> None:
    law = fits.law("main_effects")
    assert isinstance(law.fit, LogisticFit)
    direct = infer_cascades(
        told_probability(law.fit),
        tables,
        groups=GROUPS,
        n_runs=20,
        seed=Streams(5).integer("in sample", "main_effects"),
    )
    assert np.array_equal(law.comparison().inferred.mean, direct.engaged_fraction.mean(axis=0))
    assert law.comparison("severe").inferred.n == 10
    assert law.transmission_probability is not None
    assert not np.isnan(law.transmission_probability).any()


def test_bounds_are_fits_with_the_missing_answers_filled_in(tables: RunTables, fits: Fits) -> None:
    assert tables.n_missing > 20
    filled = [fit_main_effects(tables.cells(missing_yes=answer)) for answer in (True, False)]
    for each in fits.law("main_effects").parameters:
        assert each.bounds is not None
        assert [each.bounds.if_yes, each.bounds.if_no] == [fit.weight(each.name) for fit in filled]
        assert each.bounds.lowest <= min(each.bounds.if_yes, each.bounds.if_no)
        assert each.bounds.highest >= max(each.bounds.if_yes, each.bounds.if_no)
    only_severe = np.tile([False, True], (32, 1))
    severity = fits.law("main_effects").parameter("severity").bounds
    assert severity is not None
    assert severity.highest == fit_main_effects(tables.cells(missing_yes=only_severe)).weight("severity")
    assert severity.lowest == fit_main_effects(tables.cells(missing_yes=~only_severe)).weight("severity")
    most = int(np.argmax(tables.missing_by_cell().sum(axis=1)))
    name = f"profile_{most:05b}"
    only = np.tile(np.arange(32)[:, None] == most, 2)
    tried = [fit_full(tables.cells(missing_yes=each)).weight(name) for each in (True, False, only, ~only)]
    profile = fits.law("full_logistic").parameter(name).bounds
    assert profile is not None
    assert (profile.lowest, profile.highest) == (min(tried), max(tried))
    high = np.tile(GROUPS[:, None] == 1, 2)
    of_group = [
        fit_groups(tables.cells(missing_yes=each), GROUPS).weight("group_2") for each in (high, ~high)
    ]
    group = fits.law("group_logistic").parameter("group_2").bounds
    assert group is not None
    assert group.lowest <= min(of_group) < max(of_group) <= group.highest


def test_bounds_of_rates_let_agents_engage_at_their_missing_answer(tables: RunTables, fits: Fits) -> None:
    share, initial = tables.group_share(GROUPS), tables.initial_share(GROUPS)
    filled = fit_mean_field(
        tables.engaged_fraction_if_yes, degree=4, group_share=share, initial_share=initial, n_bootstrap=0
    )
    each = fits.law("group_rates").parameter("tau_1")
    assert each.bounds is not None
    assert (each.bounds.if_yes, each.bounds.if_no) == (filled.values[0], each.estimate)
    assert (each.bounds.lowest, each.bounds.highest) == (each.estimate, filled.values[0])
    assert re.search(r"\d+ of [\d,]+ decisions are missing \(invalid \d+\)", fits.notes[0])


def test_folds_hold_out_whole_items_of_both_severities(tables: RunTables) -> None:
    judged = scores.trials(tables, seed=1)
    assert judged.held_out_by == "news item"
    assert sorted(np.concatenate(judged.folds).tolist()) == list(range(12))
    for fold in judged.folds:
        others = np.setdiff1d(np.arange(12), fold)
        assert not set(tables.news[fold].tolist()) & set(tables.news[others].tolist())
    curves = tables.engaged_fraction
    expected = [
        rmse(curves[fold].mean(axis=0), curves[np.setdiff1d(np.arange(12), fold)].mean(axis=0))
        for fold in judged.folds
    ]
    assert judged.baseline_rmse == pytest.approx(np.sqrt(np.mean(np.square(expected))))
    assert judged.first_steps == 4
    few = tables.select([0, 1, 6, 7])
    by_realization = scores.trials(few, seed=1)
    assert by_realization.held_out_by == "realization"
    assert len(by_realization.folds) == 4
    short = scores.trials(tables.until(4), seed=1)
    assert (short.first_steps, short.forecast_floor) == (None, None)


@given(strata=st.lists(st.integers(0, 2), min_size=1, max_size=25), seed=st.integers(0, 9))
def test_folds_share_every_severity_evenly(strata: list[int], seed: int) -> None:
    fold = scores._dealt(np.array(strata), np.random.default_rng(seed))
    n_folds = min(5, len(strata))
    for stratum in set(strata):
        sizes = np.bincount(fold[np.array(strata) == stratum], minlength=n_folds)
        assert sizes.size == n_folds
        assert np.ptp(sizes) <= 1


def test_held_out_scores_use_nothing_of_the_fold(tables: RunTables, fits: Fits) -> None:
    grouping = as_grouping(GROUPS)
    expected = []
    for fold in fits.trials.folds:
        others = tables.select(np.setdiff1d(np.arange(12), fold))
        fit = GroupRates(others, grouping).fit()
        assert isinstance(fit, CurveFit)
        curve = fit.law.engaged_fraction(np.arange(9))
        expected.append(rmse(tables.engaged_fraction[fold].mean(axis=0), curve))
    found = {score.law: score for score in fits.scores}
    assert found["group_rates"].held_out_rmse == pytest.approx(np.sqrt(np.mean(np.square(expected))))


def test_forecasts_know_the_first_steps_only(tables: RunTables, fits: Fits) -> None:
    early = fit_mean_field(tables.engaged_fraction[:, :5], degree=4, n_bootstrap=0)
    expected = rmse(tables.engaged_fraction.mean(axis=0)[5:], early.law.engaged_fraction(np.arange(9))[5:])
    found = {score.law: score for score in fits.scores}
    assert found["one_rate"].forecast_rmse == pytest.approx(expected)
    changed = tables.engaged.copy()
    changed[:, :, 5:] = changed[:, :, 4:5]
    later = replace(tables, engaged=changed, exposures=tables.exposures.where(tables.exposures.step <= 4))
    other = {score.law: score for score in fit_run(later, laws=("one_rate",), groups=GROUPS, **QUICK).scores}
    assert other["one_rate"].forecast_rmse == pytest.approx(
        rmse(tables.engaged_fraction.mean(axis=0)[4:5], early.law.engaged_fraction(np.arange(9))[5:])
    )


def test_groups_that_were_chosen_are_chosen_without_the_fold(tables: RunTables) -> None:
    found = fit_run(tables, laws=("group_logistic",), **QUICK)
    assert found.grouping.source == "exposures of this run"
    assert np.array_equal(found.grouping.group, group_by_exposures(tables.cells()).group)
    assert any("same decisions" in note for note in found.notes)
    seen: list[int] = []

    def regroup(part: RunTables) -> Any:
        seen.append(part.n_realizations)
        return group_by_exposures(part.cells())

    of_all = OneRate(tables, found.grouping)
    scores.held_out_rmse(of_all, regroup, found.trials.folds, n_runs=1, seed=0)
    assert seen == [9, 9, 9, 9]


def test_equal_seeds_give_equal_fits(tables: RunTables, fits: Fits) -> None:
    again = fit_run(tables, laws=("group_logistic",), groups=GROUPS, seed=5, **QUICK).as_json()
    (first,) = [law for law in fits.as_json()["laws"] if law["law"] == "group_logistic"]  # type: ignore[attr-defined]
    assert again["laws"] == [first]


def test_all_of_it_is_json(fits: Fits) -> None:
    found = json.loads(json.dumps(fits.as_json(), allow_nan=False))
    assert found["asking_rule"] == "unengaged_neighbour"
    assert found["groups"]["group"]["10000"] == 2
    full = found["laws"][0]
    assert "inf" in {each["estimate"] for each in full["parameters"]} | {"-inf"}
    assert len(full["comparisons"][0]["observed"]["mean"]) == 9
    assert found["laws"][0]["likelihood"]["aic"] == pytest.approx(fits.law("full_logistic").fit.aic)  # type: ignore[union-attr]
    assert found["laws"][4]["by_severity"]["1"].keys() == {"tau_1", "tau_2", "rmse", "nrmse"}
    assert found["laws"][3]["by_severity"]["0"].keys() == {"tau", "rmse", "nrmse"}
    assert found["laws"][5]["by_severity"]["0"].keys() == {"p_1", "p_2", "rmse", "nrmse"}
    assert found["trials"]["n_folds"] == 4
    assert found["networks"] == {
        "names": ["random_regular"],
        "n_networks": 12,
        "fresh": True,
        "degree": 4,
        "mean_degree": 4.0,
    }


def test_notebooks_show_tables_without_markup_of_others(tables: RunTables) -> None:
    found = fit_run(replace(tables, run="<b>run"), laws=("one_rate",), groups=GROUPS, **QUICK)
    shown = found._repr_html_()
    assert "&lt;b&gt;run" in shown
    assert "<b>" not in shown
    assert shown.count("<table>") == 2
    assert "lambda" in shown
    assert "(mean curve of the others)" in shown


def test_progress_is_told(tables: RunTables) -> None:
    told: list[str] = []
    fit_run(tables, laws=("one_rate",), groups=GROUPS, progress=told.append, **QUICK)
    assert told == ["fitting the one-rate mean field", "judging the one-rate mean field"]


def test_names_that_are_none_are_refused_with_the_nearest(tables: RunTables, fits: Fits) -> None:
    with pytest.raises(DesignError, match="did you mean 'group_rates'"):
        fit_run(tables, laws=("group_rate",))
    with pytest.raises(DesignError, match="did you mean 'cavity'"):
        fits.law("cavitty")
    with pytest.raises(DesignError, match="did you mean 'tau_1'"):
        fits.law("group_rates").parameter("tau1")
    with pytest.raises(DesignError, match="did you mean 'peaceful'"):
        fits.law("group_rates").comparison("peacefull")
    with pytest.raises(DesignError, match="n_runs is at least 1"):
        fit_run(tables, n_runs=0)
    with pytest.raises(DesignError, match="confidence level"):
        fit_run(tables, level=1.0)


@pytest.fixture(scope="module")
def irregular(play: Callable[..., Run]) -> RunTables:
    """Four cascades on one network that is not regular."""
    design = CascadeExperiment(
        n_agents=40,
        network="barabasi_albert",
        network_options={"links": 2},
        steps=6,
        repeats=2,
        items_per_severity=1,
        asking_rule="always",
    )
    return read_tables(play(design, seed=4))


def test_networks_that_are_not_regular_get_the_degree_based_law(irregular: RunTables) -> None:
    found = fit_run(irregular, laws=("one_rate", "cavity"), groups=GROUPS, **QUICK)
    assert [refused.law for refused in found.refused] == ["cavity"]
    assert "same number of neighbours" in found.refused[0].reason
    degrees = np.repeat(irregular.networks.degrees, irregular.networks.n_agents)
    direct = fit_mean_field(irregular.engaged_fraction, degree=degrees, n_bootstrap=0)
    assert found.law("one_rate").parameter("tau").estimate == pytest.approx(direct.values[0])
    assert any("degree-based law" in warning for warning in found.law("one_rate").warnings)
    with pytest.raises(DesignError, match="the 2-group cavity was not fitted: the cavity law needs"):
        found.law("cavity")
    assert found.law("one_rate").comparison().rmse == pytest.approx(direct.rmse)


def test_laws_say_where_a_run_is_not_what_they_are_about(
    tables: RunTables, fits: Fits, play: Callable[..., Run]
) -> None:
    assert not any("overshoots" in warning for warning in fits.law("cavity").warnings)
    unknown = fit_run(replace(tables, asking_rule="unexposed_neighbour"), laws=["cavity"], **QUICK)
    assert any("overshoots" in warning for warning in unknown.law("cavity").warnings)
    assert any("absorb the rule" in warning for warning in fits.law("one_rate").warnings)
    ring = {"network": "watts_strogatz", "network_options": {"rewiring": 0.0}}
    design = CascadeExperiment(
        n_agents=40, degree=4, steps=6, repeats=2, items_per_severity=1, profiles="10000", **ring
    )
    law = make_backend("mock", {"law": "constant", "probability": 0.4})
    alike = read_tables(play(design, backend=law))
    found = fit_run(alike, groups=GROUPS, **QUICK)
    (warning,) = [each for each in found.law("one_rate").warnings if "random" in each]
    assert warning == "the law takes networks as random; here they are watts_strogatz"
    reasons = {each.law: each.reason for each in found.refused}
    assert reasons.keys() == {"full_logistic", "main_effects", "group_logistic", "group_rates", "cavity"}
    assert "no agent of the run is in group 1" in reasons["group_rates"]
    assert "at least two" in reasons["full_logistic"]
    with pytest.raises(UserError, match="no law can be fitted to run: full logistic: "):
        fit_run(alike, laws=("full_logistic",), groups=GROUPS)
    together = fit_run(alike, laws=("group_rates", "cavity", "one_rate"), **QUICK)
    assert [law.title for law in together.laws] == ["1-group cavity", "one-rate mean field"]
    assert "all profiles are in one group; no laws of groups" in together.refused[0].reason


def test_a_single_realization_has_estimates_and_no_intervals(tables: RunTables) -> None:
    found = fit_run(
        tables.select([0]),
        laws=(*(name for name in LAWS if issubclass(LAWS[name], LogisticLaw)), "one_rate"),
        groups=GROUPS,
        **QUICK,
    )
    assert found.law("one_rate").parameter("tau").interval is None
    each = found.law("main_effects").parameter("extraversion")
    assert (each.method, each.error_by_realization, each.interval_by_news) == ("plain", None, None)
    assert each.standard_error is not None
    assert np.allclose(each.interval, stats.norm(each.estimate, each.standard_error).interval(0.95))
    assert math.isnan(found.law("main_effects").parameter("severity").estimate)
    assert found.law("main_effects").comparison().floor is None
    assert found.trials.held_out_by is None
    assert all(score.held_out_rmse is None for score in found.scores)
    assert [score.rmse for score in found.scores] == sorted(score.rmse for score in found.scores)
    assert json.dumps(found.as_json(), allow_nan=False)
    assert "(mean curve of the others)" not in found._repr_html_()


def test_profiles_that_were_never_asked_are_played_as_the_others_on_average(tables: RunTables) -> None:
    counts = tables.exposures
    silent = replace(tables, exposures=counts.where(counts.profile != 5))
    found = fit_run(silent, laws=("full_logistic",), groups=GROUPS, **QUICK).law("full_logistic")
    cells = silent.cells()
    share = cells.n_yes.sum(axis=0) / (cells.n_yes + cells.n_no).sum(axis=0)
    assert found.transmission_probability is not None
    assert np.allclose(found.transmission_probability[5], share)
    assert any("never asked" in warning and "00101" in warning for warning in found.warnings)
    peaceful = tables.select(np.flatnonzero(tables.severity == 0)).cells()
    chance = told_probability(fit_full(peaceful))
    overall = peaceful.n_yes.sum() / (peaceful.n_yes + peaceful.n_no).sum()
    assert np.allclose(chance[:, 1], overall)


def test_what_cannot_be_judged_is_remarked(tables: RunTables) -> None:
    still = tables.engaged.copy()
    # Nobody engages in the first half: no law of curves can be fitted to it.
    still[:, :, 1:5] = still[:, :, :1]
    found = fit_run(replace(tables, engaged=still), laws=("one_rate",), groups=GROUPS, **QUICK)
    (score,) = found.scores
    assert score.forecast_rmse is None
    assert "cannot be fitted to the first 4 steps" in score.remarks[0]
    assert "field '" not in score.remarks[0]
    assert score.held_out_rmse is not None


def test_bounds_are_left_out_where_filled_answers_determine_nothing(tables: RunTables) -> None:
    # Two traits of which only the profile with missing answers has any: filled in, they cannot be told apart.
    profile = np.array([0, 16, 0, 16, 0b01100])
    counts = ExposureCounts(
        row=np.array([0, 1, 6, 7, 8]),
        step=np.ones(5, dtype=np.int64),
        profile=profile,
        n_yes=np.array([2, 7, 1, 5, 0]),
        n_no=np.array([8, 3, 9, 4, 0]),
        n_missing=np.array([0, 0, 0, 0, 3]),
    )
    few = replace(tables, exposures=counts, engaged_if_yes=np.repeat(tables.engaged[:, :, :1], 9, axis=2))
    found = fit_run(few, laws=("main_effects", "one_rate"), groups=GROUPS, **QUICK)
    assert found.law("main_effects").parameter("openness").bounds is None
    assert found.law("one_rate").parameter("tau").bounds is None


def test_severities_without_a_cascade_have_no_fit_of_their_own(tables: RunTables) -> None:
    still = tables.engaged.copy()
    severe = tables.severity == 1
    still[severe] = still[severe][:, :, :1]
    law = fit_run(replace(tables, engaged=still), laws=("one_rate",), groups=GROUPS, **QUICK).law("one_rate")
    assert list(law.by_severity) == [0]


def test_groups_of_another_run_are_noticed(tables: RunTables) -> None:
    agents = tables.profile_agents.copy()
    agents[:, 30] += agents[:, 31]
    agents[:, 31] = np.arange(12) == 0
    agents[0, 30] -= 1
    engaged = tables.engaged.copy()
    engaged[:, :, 0] = np.arange(32) == 31
    alone = replace(tables, profile_agents=agents, engaged=engaged)
    with pytest.raises(UserError, match="more initial agents than agents"):
        fit_run(alone, laws=("group_rates",), groups=(np.arange(32) == 31).astype(int), **QUICK)


def test_short_runs_are_not_forecast(tables: RunTables) -> None:
    (score,) = fit_run(tables.until(4), laws=("one_rate",), groups=GROUPS, **QUICK).scores
    assert (score.forecast_rmse, score.remarks) == (None, ())


def test_decisions_that_are_all_alike_determine_no_law(tables: RunTables) -> None:
    counts = tables.exposures
    alike = replace(tables, exposures=replace(counts, n_yes=counts.n_yes * 0))
    with pytest.raises(UserError, match=r"all [\d,]+ decisions are no"):
        fit_run(alike, laws=("group_logistic",), groups=GROUPS)


def test_intervals_of_curves_can_be_left_out(tables: RunTables) -> None:
    found = fit_run(tables, laws=("one_rate",), groups=GROUPS, n_runs=5, n_bootstrap=0).law("one_rate")
    assert found.parameter("tau").interval is None
    assert found.parameter("tau").interval_by_news is None
    assert Resamples().n_bootstrap == 0


def test_the_truth_is_found(play: Callable[..., Run]) -> None:
    law = {"law": "two_groups", "rates": (0.1, 0.7), "group_1": [f"{profile:05b}" for profile in range(16)]}
    design = CascadeExperiment(n_agents=64, degree=4, steps=8, repeats=10, items_per_severity=1)
    tables = read_tables(play(design, backend=make_backend("mock", law), seed=6))
    found = fit_run(tables, laws=("group_logistic",), seed=1, **QUICK)
    assert found.grouping.group.tolist() == GROUPS.tolist()
    weights = found.law("group_logistic")
    for name, rate in (("group_1", 0.1), ("group_2", 0.7), ("severity", 0.5)):
        interval = weights.parameter(name).interval
        assert interval is not None
        assert interval[0] < math.log(rate / (1 - rate)) < interval[1]
    floor = weights.comparison().floor
    assert floor is not None
    assert weights.comparison().rmse < floor.quantile_95


def test_public_names_are_imported_when_they_are_used() -> None:
    assert inspect.unwrap(analysis.fit_run) is fit_run
    assert set(analysis.__all__) == set(dir(analysis))
    for name in analysis.__all__:
        assert getattr(analysis, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'fit_walk'"):
        _ = analysis.fit_walk


def scored(law: str, n: int, rmse: float, held_out: float | None, floor: float | None) -> scores.Score:
    chance = None if floor is None else NoiseFloor(floor / 2, floor)
    return scores.Score(law, law, n, rmse, rmse, chance, held_out, None)


@pytest.mark.parametrize(
    ("one", "two", "as_well"),
    [
        ((0.02, 0.030, 0.01), (0.01, 0.031, 0.01), "held out is 0.03 against 0.031"),
        ((0.02, 0.032, 0.05), (0.01, 0.031, 0.05), ""),
        ((0.02, None, 0.03), (0.01, None, 0.03), "chance alone makes up to 0.03"),
        ((0.02, None, 0.01), (0.01, None, 0.01), ""),
        ((0.02, None, None), (0.01, None, None), ""),
    ],
)
def test_a_law_does_as_well_by_what_was_held_out_else_by_chance(
    one: tuple[float, float | None, float | None], two: tuple[float, float | None, float | None], as_well: str
) -> None:
    found = scores.does_as_well(scored("one", 1, *one), scored("two", 2, *two))
    assert as_well in found
    assert bool(as_well) == bool(found)


def test_two_rates_are_no_finding_where_profiles_are_alike(play: Callable[..., Run]) -> None:
    design = CascadeExperiment(n_agents=64, degree=4, steps=8, repeats=3, items_per_severity=2)
    alike = make_backend("mock", {"law": "constant", "probability": 0.25})
    run = read_tables(play(design, backend=alike, seed=2))
    laws = ("one_rate", "group_rates")
    split = fit_run(run, laws=laws, groups=GROUPS, n_runs=1, n_bootstrap=50)
    # The plateau that the asking rule makes is met by two rates, whoever has them.
    one, two = (each.held_out_rmse for each in sorted(split.scores, key=lambda each: each.n_parameters))
    assert (two or 0) < (one or 0)
    assert "the groups say yes alike" in split.why_simpler(split.law("group_rates"))
    assert split.why_simpler(split.law("one_rate")) == ""
    chosen = fit_run(run, laws=laws, n_runs=1, n_bootstrap=0)
    assert chosen.grouping.n_groups == 1
    assert "no better than chance makes of one group" in chosen.refused[0].reason


def test_two_rates_are_a_finding_where_profiles_differ(fits: Fits) -> None:
    assert fits.why_simpler(fits.law("group_rates")) == ""
