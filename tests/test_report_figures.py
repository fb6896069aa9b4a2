"""Figures show what tables and fits hold: artists and words against the data, and why there is nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.special import expit, logit

from agentnet.analysis.comparison import EARLY
from agentnet.analysis.decisions import RatioTables
from agentnet.analysis.fits import Fits, fit_run
from agentnet.analysis.fitting import CurveFit
from agentnet.analysis.goodness import Comparison
from agentnet.analysis.groups import group_profiles
from agentnet.analysis.inference import clustered
from agentnet.analysis.laws import CHANCES, OF_ALL, OF_GROUPS, OF_POPULATION, OF_SEVERITIES
from agentnet.analysis.logistic import LogisticFit, fit_full
from agentnet.analysis.networks import NetworkDesign
from agentnet.analysis.scores import Trials
from agentnet.analysis.severity_clusters import SeverityClusters
from agentnet.analysis.tables import Cells, ExposureCounts, RunTables
from agentnet.errors import DesignError
from agentnet.report.figures.chances import chances_of
from agentnet.report.figures.curves import CURVE_FIGURES, CurveFigure, curve_sketch, paper_figures
from agentnet.report.figures.growth import Growth, growth_sketch
from agentnet.report.figures.missing import by_cell, missing_sketch
from agentnet.report.figures.observed import MOST_LINES, observed_sketch
from agentnet.report.figures.probability import chance_sketch
from agentnet.report.figures.ranking import ranking_sketch
from agentnet.report.figures.ratios import ratio_sketch
from agentnet.report.figures.severity import severity_sketch
from agentnet.report.figures.sketch import Sketch
from agentnet.report.figures.style import house_style, legend_above, new_figure
from agentnet.report.figures.words import cleaned, drawable, shortened
from agentnet.vocabulary import PROFILES

GROUPS = np.arange(32) // 16
CURVES = {each.name: each for each in CURVE_FIGURES}
profile_sketch, group_sketch = (
    partial(chance_sketch, name=name, number=number, of=law)
    for name, number, law, _ in paper_figures(CHANCES)
)
QUICK: dict[str, Any] = {"n_runs": 6, "n_bootstrap": 5, "groups": GROUPS}
BARE: dict[str, Any] = {"n_runs": 2, "n_bootstrap": 0, "groups": GROUPS}
"""Fits where only what is drawn of them matters."""


def usual(profile: int, severity: int) -> float:
    """Give the chance of a yes that runs are made with."""
    return 0.15 + profile // 16 * 0.5 - severity * 0.1


def made(
    severity: Sequence[int] = (0, 1, 0, 1, 0, 1, 0, 1),
    *,
    n_steps: int = 6,
    chance: Callable[[int, int], float] = usual,
    asked: Sequence[int] = range(32),
    missing: float = 0.0,
    seed: int = 1,
) -> RunTables:
    """Make a run of 64 agents without playing it: when agents engage and what they are asked is drawn."""
    rng = np.random.default_rng(seed)
    n = len(severity)
    first = rng.integers(16, 32, size=n)
    engaged = np.zeros((n, 32, n_steps + 1), dtype=np.int32)
    counts: list[tuple[int, ...]] = []
    for row in range(n):
        when = rng.geometric(0.12 + 0.5 * (np.arange(64) >= 32)) + 1
        when[2 * first[row]] = 0
        reached = (when[:, None] <= np.arange(n_steps + 1)).reshape(32, 2, -1).sum(axis=1)
        engaged[row] = reached
        for step in range(1, n_steps + 1):
            for profile in asked:
                n_missing = int(rng.binomial(3, missing))
                n_yes = int(rng.binomial(3 - n_missing, chance(profile, max(severity[row], 0))))
                counts.append((row, step, profile, n_yes, 3 - n_missing - n_yes, n_missing))
    columns = np.array(counts, dtype=np.int64).T
    exposures = ExposureCounts(*columns)
    return RunTables(
        run="made-1",
        status="finished",
        condition={},
        model_name="mock",
        asking_rule="always",
        seeding="first_yes",
        n_steps=n_steps,
        news_ids=tuple(f"N{number}" for number in range(n // 2 + 1)),
        realization=np.arange(n),
        news=np.arange(n) % (n // 2 + 1),
        severity=np.array(severity),
        last_step=np.full(n, n_steps),
        initial_profile=first,
        n_seed_attempts=np.ones(n, dtype=np.int64),
        profile_agents=np.full((n, 32), 2),
        engaged=engaged,
        engaged_if_yes=engaged,
        exposures=exposures,
        missing_reasons={"invalid": int(exposures.n_missing.sum())} if missing else {},
        networks=NetworkDesign(("random_regular",), n, True, np.array([4]), np.array([64 * n])),
    )


@pytest.fixture(scope="module")
def tables() -> RunTables:
    return made(missing=0.1)


@pytest.fixture(scope="module")
def fits(tables: RunTables) -> Fits:
    return fit_run(tables, **QUICK)


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with house_style():
        yield


def axes_of(sketch: Sketch) -> list[Axes]:
    assert sketch.figure is not None, sketch.unavailable
    return sketch.figure.axes


def line(axes: Axes, label: str) -> np.ndarray:
    (found,) = [each for each in axes.get_lines() if each.get_label() == label]
    return np.asarray(found.get_ydata(), dtype=float)


def texts(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [each.get_text() for axes in figure.axes for each in axes.texts]


def views(fits: Fits, of: CurveFigure) -> list[Comparison]:
    kinds = {
        OF_POPULATION: ["population"],
        OF_SEVERITIES: ["peaceful", "severe"],
        OF_GROUPS: ["group 1", "group 2"],
    }
    kinds[OF_ALL] = [view for each in kinds.values() for view in each]
    return [fits.law(of.law).comparison(view) for view in kinds[of.sight]]


@pytest.mark.parametrize("of", CURVE_FIGURES, ids=lambda of: of.name)
def test_curves_and_bands_are_those_of_the_comparisons(fits: Fits, of: CurveFigure) -> None:
    sketch = curve_sketch(fits, of)
    title = fits.law(of.law).title
    panels = axes_of(sketch)
    for axes, comparison in zip(panels, views(fits, of), strict=True):
        for label, curve in ("observed", comparison.observed), (title, comparison.inferred):
            assert np.array_equal(line(axes, label), curve.mean)
            drawn = [np.asarray(each.get_ydata(), dtype=float) for each in axes.get_lines()]
            if curve.sd is not None:
                assert any(np.array_equal(each, curve.mean - curve.sd) for each in drawn)
                assert any(np.array_equal(each, curve.mean + curve.sd) for each in drawn)
        bands = [comparison.observed.sd, comparison.inferred.sd]
        assert len(axes.collections) == sum(sd is not None for sd in bands)
        assert f"RMSE {comparison.rmse:.4f}" in axes.get_title(loc="left")
        assert axes.get_title(loc="left").startswith(comparison.view.capitalize())
        assert f"{comparison.observed.mean[-1]:.3f}" in sketch.alternative
        assert f"RMSE {comparison.rmse:.4f}, NRMSE {comparison.nrmse:.4f}" in sketch.alternative
    assert (sketch.name, sketch.number) == (of.name, of.number)
    assert f"observed in 8 realizations and inferred by the {title} law" in sketch.caption
    assert f"{fits.tables.n_missing} of 4,608 answers to exposures are missing" in sketch.caption


def test_a_band_is_filled_between_one_standard_deviation_either_side(fits: Fits) -> None:
    (axes,) = axes_of(curve_sketch(fits, CURVES["figure10_population_mean_field"]))
    observed = fits.law("group_rates").comparison().observed
    assert observed.sd is not None
    (band,) = axes.collections
    corners = {(round(x, 9), round(y, 9)) for x, y in band.get_paths()[0].vertices}
    for step, (mean, sd) in enumerate(zip(observed.mean, observed.sd, strict=True)):
        assert {(step, round(mean - sd, 9)), (step, round(mean + sd, 9))} <= corners


def test_a_law_without_severity_is_also_shown_fitted_to_each_alone(fits: Fits) -> None:
    sketch = curve_sketch(fits, CURVES["figure11_severity_mean_field"])
    law = fits.law("group_rates")
    for severity, axes in enumerate(axes_of(sketch)):
        alone = law.by_severity[severity]
        assert np.array_equal(line(axes, "fitted to this severity alone"), alone.inferred)
        assert f"{alone.rmse:.4f}" in sketch.caption
    full = curve_sketch(fits, CURVES["figure09_severity_full_logistic"])
    assert "alone" not in full.caption.replace("Chance alone", "").replace("chance alone", "")


def test_groups_are_shown_over_all_agents_beside_their_share(fits: Fits) -> None:
    sketch = curve_sketch(fits, CURVES["figure12_groups_mean_field"])
    for axes in axes_of(sketch):
        assert set(line(axes, "all of the group")) == {0.5}
        assert axes.get_ylim()[1] == pytest.approx(0.56)
    assert "group 1 has 16 profiles, 50% of the agents" in sketch.caption


def test_the_legend_names_everything_once(fits: Fits) -> None:
    sketch = curve_sketch(fits, CURVES["cavity_curves"])
    assert sketch.figure is not None
    (legend,) = sketch.figure.legends
    named = [each.get_text() for each in legend.get_texts()]
    assert named == ["observed", "2-group cavity", "fitted to this severity alone", "all of the group"]


def test_a_single_cascade_has_no_band_and_no_chance(tables: RunTables) -> None:
    fits = fit_run(tables.select([0]), laws=["full_logistic", "group_rates"], **BARE)
    sketch = curve_sketch(fits, CURVES["figure10_population_mean_field"])
    assert not axes_of(sketch)[0].collections
    assert "There is no band" in sketch.caption
    assert "cannot be told from a single cascade" in sketch.caption
    assert "1 realization and" in sketch.caption
    logistic = curve_sketch(fits, CURVES["figure08_population_full_logistic"])
    assert "The band of the inferred curve is one standard deviation" in logistic.caption
    shown = ranking_sketch(fits)
    assert "none" in texts(shown.figure)
    assert "too few realizations to hold any out" in shown.caption


def test_one_severity_only_is_said(tables: RunTables) -> None:
    severe = tables.select(np.flatnonzero(tables.severity == 1))
    fits = fit_run(severe, laws=["full_logistic"], **BARE)
    missing = curve_sketch(fits, CURVES["figure09_severity_full_logistic"]).unavailable
    assert missing is not None
    assert "All news items of this run are severe" in missing
    assert curve_sketch(fits, CURVES["figure08_population_full_logistic"]).figure is not None
    sketch = profile_sketch(fits)
    chances = chances_of(fits, fits.law("full_logistic"))
    assert np.isnan(chances.estimate[:, 0]).all()
    assert np.isfinite(chances.low[:, 1]).any()
    (axes,) = axes_of(sketch)
    labels = axes.get_legend_handles_labels()[1]
    assert "severe" in labels
    assert "peaceful" not in labels
    assert "All news items are severe" in sketch.caption


def test_one_group_only_is_said(tables: RunTables) -> None:
    fits = fit_run(
        tables.select([0, 1]), laws=["full_logistic"], **BARE | {"groups": np.zeros(32, dtype=np.int64)}
    )
    missing = curve_sketch(
        fits, replace(CURVES["figure16_groups_group_logistic"], law="full_logistic")
    ).unavailable
    assert missing is not None
    assert "All profiles are in one group" in missing


def test_severities_that_no_cascade_was_inferred_for_are_said(fits: Fits) -> None:
    law = replace(fits.law("full_logistic"), comparisons=(fits.law("full_logistic").comparison(),))
    missing = curve_sketch(replace(fits, laws=(law,)), CURVES["figure09_severity_full_logistic"]).unavailable
    assert missing is not None
    assert "No cascade was inferred" in missing


def test_without_fits_every_figure_of_laws_says_what_it_takes() -> None:
    found = [curve_sketch(None, each) for each in CURVE_FIGURES]
    found += [growth_sketch(None), profile_sketch(None), group_sketch(None), ranking_sketch(None)]
    for sketch in found:
        assert sketch.figure is None
        assert "fit_run" in str(sketch.unavailable)


def test_a_refused_law_and_one_that_was_not_asked_for_give_their_reasons(tables: RunTables) -> None:
    ragged = replace(
        tables, networks=replace(tables.networks, degrees=np.array([3, 5]), n_agents=np.array([256, 256]))
    )
    fits = fit_run(ragged.select([0, 1]), laws=["cavity", "one_rate"], **BARE)
    refused = curve_sketch(fits, CURVES["cavity_curves"]).unavailable
    assert "could not be fitted" in str(refused)
    assert "same number of neighbours" in str(refused)
    assert "not among those to be fitted" in str(profile_sketch(fits).unavailable)
    assert "cavity could not be fitted" in ranking_sketch(fits).caption


def test_many_groups_have_small_panels(tables: RunTables) -> None:
    n_groups = 11
    groups = np.arange(32) % n_groups
    fits = fit_run(tables.select([0, 1]), laws=["group_logistic"], **BARE | {"groups": groups})
    sketch = curve_sketch(fits, CURVES["figure16_groups_group_logistic"])
    assert len(axes_of(sketch)) == n_groups
    assert "NRMSE" not in axes_of(sketch)[0].get_title(loc="left")
    assert [line(axes, "all of the group")[0] * 32 for axes in axes_of(sketch)] == [3.0] * 10 + [2.0]
    assert len(axes_of(group_sketch(fits))[0].get_xticks()) == n_groups


def test_lambda_and_the_observed_growth_are_the_fits(fits: Fits) -> None:
    law = fits.law("group_rates")
    assert law.growth_rate is not None
    assert isinstance(law.fit, CurveFit)
    sketch = growth_sketch(fits)
    left, right = axes_of(sketch)
    observed = law.fit.observed
    assert np.array_equal(line(left, "observed"), observed)
    assert f"λ = {law.growth_rate.estimate:.3f}" in right.get_title(loc="left")
    exponential = line(left, "growth at λ")
    times = np.asarray(left.get_lines()[-1].get_xdata(), dtype=float)
    assert exponential[0] == pytest.approx(1 / 64)
    assert np.log(exponential[1] / exponential[0]) / times[1] == pytest.approx(law.growth_rate.estimate)
    assert exponential[1] <= 1.0 + 1e-9
    rates = np.log(observed[1:] / observed[:-1])
    assert any(
        np.allclose(each.get_ydata(), rates) for each in right.get_lines() if len(each.get_xdata()) == 6
    )
    assert f"{law.growth_rate.estimate:.3f}" in sketch.alternative
    assert law.growth_rate.interval is not None
    assert f"{law.growth_rate.interval[1]:.3f}" in sketch.alternative
    growth = Growth.of(law)
    assert growth.early == pytest.approx(math.log(observed[growth.n_early] / observed[0]) / growth.n_early)
    assert f"{growth.early:.3f}" in sketch.alternative
    assert np.allclose(growth.inferred[::20], law.comparison().inferred.mean)


def test_growth_is_early_while_few_are_engaged(fits: Fits) -> None:
    law = fits.law("group_rates")
    assert isinstance(law.fit, CurveFit)

    def n_early(*observed: float) -> int:
        assert isinstance(law.fit, CurveFit)
        curve = np.array([*observed, *[0.9] * (7 - len(observed))])
        return Growth.of(replace(law, fit=replace(law.fit, observed=curve))).n_early

    assert n_early(0.01, 0.03, EARLY, 0.2) == 2
    assert n_early(0.01, 0.3) == 1
    assert n_early(0.2, 0.3) == 1
    assert (
        "already"
        in growth_sketch(
            replace(fits, laws=(replace(law, fit=replace(law.fit, observed=np.linspace(0.5, 0.9, 7))),))
        ).caption
    )


def test_growth_of_a_law_that_does_not_grow_is_a_level_line(tables: RunTables) -> None:
    fits = fit_run(tables.select([0, 1]), laws=["one_rate"], **BARE)
    law = fits.law("one_rate")
    assert isinstance(law.fit, CurveFit)
    assert law.growth_rate is not None
    still = replace(
        law,
        fit=replace(law.fit, law=replace(law.fit.law, tau=(0.0,)), observed=np.full(7, 1 / 64)),
        growth_rate=replace(law.growth_rate, estimate=0.0),
    )
    sketch = growth_sketch(replace(fits, laws=(still,)))
    assert np.allclose(line(axes_of(sketch)[0], "growth at λ"), 1 / 64)
    assert "one-rate mean field law is 0.000 per step" in sketch.alternative
    assert "steps 1 to 6 the observed engaged fraction grows from 0.0156 to 0.0156" in sketch.alternative
    assert "interval" not in sketch.caption + sketch.alternative
    assert "Hatched are the early steps" in sketch.caption


def fit_of(fits: Fits, law: str = "full_logistic") -> LogisticFit:
    fit = fits.law(law).fit
    assert isinstance(fit, LogisticFit)
    return fit


def test_probabilities_and_their_intervals_are_those_of_the_weights(fits: Fits) -> None:
    law = fits.law("full_logistic")
    chances = chances_of(fits, law)
    for profile in range(32):
        interval = law.parameter(f"profile_{profile:05b}").interval
        if interval is not None:
            assert expit(interval) == pytest.approx([chances.low[profile, 0], chances.high[profile, 0]])
    # The severe cells are the base of the same law with the severities exchanged.
    by_realization = fits.tables.cells("realization")
    assert by_realization.cluster_yes is not None
    assert by_realization.cluster_no is not None
    swapped = Cells.from_clusters(by_realization.cluster_yes[..., ::-1], by_realization.cluster_no[..., ::-1])
    other = clustered(fit_full(swapped), swapped, "realization")
    known = np.isfinite(other.standard_errors[:32])
    assert known.sum() > 20
    assert np.allclose(chances.estimate[known, 1], expit(other.weights[:32][known]))
    width = (logit(chances.high[:, 1]) - logit(chances.low[:, 1]))[known] / 2
    ratio = width / other.standard_errors[:32][known]
    assert np.allclose(ratio, ratio[0])


def test_probabilities_are_drawn_where_they_are(fits: Fits) -> None:
    chances = chances_of(fits, fits.law("full_logistic"))
    (axes,) = axes_of(sketch := profile_sketch(fits))
    for severity, label in enumerate(("peaceful", "severe")):
        expected = np.where(chances.separated[:, severity], np.nan, chances.estimate[:, severity])
        assert np.array_equal(line(axes, label), expected, equal_nan=True)
    assert [each.get_text() for each in axes.get_xticklabels()] == list(PROFILES)
    assert f"11111 {chances.estimate[31, 0]:.3f}" in sketch.alternative
    segments = [each.get_segments() for each in axes.collections if isinstance(each, LineCollection)]
    drawn = {tuple(segment.ravel().round(9).tolist()) for each in segments for segment in each}
    for severity, shift in (0, -0.17), (1, 0.17):
        for profile in np.flatnonzero(np.isfinite(chances.low[:, severity])).tolist():
            low, high = chances.low[profile, severity], chances.high[profile, severity]
            place = round(profile + shift, 9)
            assert (place, round(float(low), 9), place, round(float(high), 9)) in drawn


def test_separated_cells_are_hollow_and_have_firths_interval(tables: RunTables) -> None:
    counts = tables.exposures
    always = counts.profile == 21
    exposures = replace(
        counts,
        n_yes=np.where(always, 3, counts.n_yes),
        n_no=np.where(always, 0, counts.n_no),
        n_missing=np.where(always, 0, counts.n_missing),
    )
    fits = fit_run(replace(tables, exposures=exposures).select([0, 1, 2]), laws=["full_logistic"], **BARE)
    chances = chances_of(fits, fits.law("full_logistic"))
    assert chances.separated[21].all()
    (axes,) = axes_of(sketch := profile_sketch(fits))
    assert line(axes, "severe: separated")[21] == 1.0
    assert np.isnan(line(axes, "severe")[21])
    firth = fit_full(fits.tables.cells(), method="firth")
    assert line(axes, "severe: Firth's estimate")[21] == firth.transmission_probability[21, 1]
    parameter = fits.law("full_logistic").parameter("profile_10101")
    assert parameter.firth == pytest.approx(logit(chances.firth[21, 0]))
    assert parameter.firth_error is not None
    assert chances.firth_low[21, 0] == pytest.approx(
        expit(parameter.firth - 1.959964 * parameter.firth_error)
    )
    assert np.isnan(chances.low[21]).all()
    assert "10101 1.000 (separated; Firth's estimate" in sketch.alternative
    assert f"Hollow marks: {chances.separated.sum()} cells" in sketch.caption


def test_profiles_that_were_never_asked_are_marked_and_named() -> None:
    fits = fit_run(made((0, 1, 0), asked=[3, 20]), laws=["full_logistic", "group_logistic"], **BARE)
    sketch = profile_sketch(fits)
    (axes,) = axes_of(sketch)
    assert np.flatnonzero(~np.isnan(line(axes, "peaceful"))).tolist() == [3, 20]
    assert "no data" in axes.get_legend_handles_labels()[1]
    assert "say nothing about: 00000, 00001, 00010, 00100" in sketch.caption
    assert "22 more" in sketch.caption
    assert "00000 unknown" in sketch.alternative
    assert np.isfinite(chances_of(fits, fits.law("group_logistic")).estimate).all()


def test_groups_have_their_values_written_out(fits: Fits) -> None:
    chances = chances_of(fits, fits.law("group_logistic"))
    sketch = group_sketch(fits)
    (axes,) = axes_of(sketch)
    assert np.array_equal(line(axes, "severe"), chances.estimate[:, 1])
    assert sorted(texts(sketch.figure)) == sorted(f"{each:.3f}" for each in chances.estimate.ravel())
    assert "clustered by realization, 8 clusters" in sketch.caption
    assert len(chances.estimate) == 2


def test_one_realization_has_plain_intervals(tables: RunTables) -> None:
    fits = fit_run(tables.select([0]), laws=["group_logistic"], **BARE)
    chances = chances_of(fits, fits.law("group_logistic"))
    assert chances.method == "plain"
    fit = fit_of(fits, "group_logistic")
    expected = expit(fit.weights[0] + 1.959964 * fit.standard_errors[0])
    assert chances.high[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("severity", "label", "note"),
    [
        ((0, 1, -1, 1), "peaceful and of unknown severity", "fitted as peaceful"),
        ((-1,) * 4, "of unknown severity", "All news items are of unknown"),
    ],
)
def test_unknown_severities_are_named(severity: tuple[int, ...], label: str, note: str) -> None:
    fits = fit_run(made(severity, missing=0.2), laws=["full_logistic"], **BARE)
    sketch = profile_sketch(fits)
    assert label in axes_of(sketch)[0].get_legend_handles_labels()[1]
    assert note in sketch.caption
    assert label in axes_of(missing_sketch(fits.tables))[0].get_legend_handles_labels()[1]
    assert len(axes_of(observed_sketch(fits.tables))) == len(set(severity))
    panels = {"Of unknown severity", "Peaceful", "Severe"}
    if len(set(severity)) > 1:
        shown = axes_of(curve_sketch(fits, CURVES["figure09_severity_full_logistic"]))
        assert {each.get_title(loc="left").split("\n")[0] for each in shown} <= panels


def test_missing_answers_are_drawn_as_shares(tables: RunTables) -> None:
    sketch = missing_sketch(tables)
    (axes,) = axes_of(sketch)
    missing, asked = by_cell(tables)
    assert asked.sum() == tables.n_exposures
    heights = [bar.get_height() for bar in axes.patches]
    assert np.allclose(heights, (missing / asked).T.ravel())
    assert f"Reasons: invalid {tables.n_missing}" in sketch.caption
    assert f"11111 {missing[31, 1]} of {asked[31, 1]}" in sketch.alternative
    assert f"peaceful: {missing[:, 0].sum()} of {asked[:, 0].sum():,}" in sketch.alternative


def test_no_missing_answers_are_not_drawn() -> None:
    assert missing_sketch(None).figure is None
    assert "None of 2,304 answers is missing" in str(missing_sketch(made((0, 1, 0, 1))).unavailable)


def test_cascades_are_drawn_one_by_one(tables: RunTables) -> None:
    sketch = observed_sketch(tables)
    for severity, axes in enumerate(axes_of(sketch)):
        curves = tables.engaged_fraction[tables.severity == severity]
        drawn = [np.asarray(each.get_ydata(), dtype=float) for each in axes.get_lines()]
        assert all(any(np.array_equal(curve, each) for each in drawn) for curve in curves)
        mean = curves.mean(axis=0)
        assert np.array_equal(line(axes, f"mean, {('peaceful', 'severe')[severity]}"), mean)
        assert f"{mean[-1]:.3f} on average" in sketch.alternative
    assert "Thin lines are single cascades" in sketch.caption
    assert observed_sketch(None).figure is None


def test_of_many_cascades_some_are_drawn_and_that_is_said(tables: RunTables) -> None:
    many = replace(tables.select(np.zeros(0, dtype=np.int64)), n_unstarted=2, n_unfinished=1)
    n = MOST_LINES + 50
    along = {
        "realization": np.arange(n),
        "news": np.zeros(n, np.int64),
        "severity": np.zeros(n, np.int64),
        "last_step": np.full(n, 6),
        "initial_profile": np.zeros(n, np.int64),
        "n_seed_attempts": np.ones(n, np.int64),
        "profile_agents": np.full((n, 32), 2),
        "engaged": np.repeat(np.repeat(tables.engaged[:1], n, axis=0)[:, :, :1], 7, axis=2),
    }
    sketch = observed_sketch(replace(many, **along, engaged_if_yes=along["engaged"]))
    assert len(axes_of(sketch)[0].get_lines()) == MOST_LINES + 3
    assert f"{MOST_LINES} of the cascades" in sketch.caption
    assert "2 realizations that nobody started" in sketch.caption
    assert "1 realization that did not finish" in sketch.caption
    assert "first reaches one half at no step" in sketch.alternative


def test_all_yes_and_all_no_still_show_the_cascades() -> None:
    for answer in (0.0, 1.0):
        run = made((0, 1), chance=lambda profile, severity, answer=answer: answer)
        assert observed_sketch(run).figure is not None
        fits = fit_run(run, laws=["full_logistic", "group_rates"], **BARE)
        assert f"decisions are {'yes' if answer else 'no'}" in str(profile_sketch(fits).unavailable)
        assert curve_sketch(fits, CURVES["figure10_population_mean_field"]).figure is not None


def test_laws_are_ranked_by_their_scores(fits: Fits) -> None:
    sketch = ranking_sketch(fits)
    inside, held_out, later = axes_of(sketch)
    scores = fits.scores
    assert [each.get_text() for each in inside.get_yticklabels()] == [
        f"{each.title} ({each.n_parameters})" for each in scores
    ]
    for axes, name in (inside, "rmse"), (held_out, "held_out_rmse"), (later, "forecast_rmse"):
        values = [getattr(each, name) for each in scores]
        assert np.allclose(np.asarray(axes.get_lines()[0].get_xdata(), dtype=float), values)
        assert all(f"{value:.4f}" in sketch.alternative for value in values)
        assert axes.get_xlim()[1] > max(values)
    floors = [bar.get_width() for bar in inside.patches]
    assert np.allclose(floors, [each.floor.quantile_95 for each in scores if each.floor])
    assert fits.trials.baseline_rmse is not None
    assert held_out.get_lines()[-1].get_xdata()[0] == fits.trials.baseline_rmse
    assert "whole news items" in sketch.caption
    assert "Right: steps 5 to 6, forecast by laws fitted to steps 0 to 4" in sketch.caption


def test_scores_that_are_missing_are_said(fits: Fits) -> None:
    judged = Trials((), "realization", None, None, None)
    scores = tuple(
        replace(each, held_out_rmse=None, forecast_rmse=None, floor=None, remarks=("it is short",))
        for each in fits.scores
    )
    sketch = ranking_sketch(replace(fits, scores=scores, trials=judged))
    assert texts(sketch.figure).count("none") == 2 * len(scores)
    assert "too few steps to forecast" in sketch.caption
    assert "Full logistic: it is short." in sketch.caption
    assert "held out unknown, forecast unknown" in sketch.alternative


def ratios_of(
    n_items: int, *, severity: Sequence[int] = (0, 1), ids: Sequence[str] = (), seed: int = 3
) -> RatioTables:
    rng = np.random.default_rng(seed)
    n_yes = rng.binomial(10, np.where(np.arange(32) < 16, 0.1, 0.9), size=(n_items, 32))
    return RatioTables(
        run="ratios-1",
        status="finished",
        model_name="mock",
        news_ids=tuple(ids) or tuple(f"N{number}" for number in range(n_items)),
        severity=np.resize(np.array(severity), n_items),
        n_yes=n_yes,
        n_no=10 - n_yes,
        n_missing=np.zeros_like(n_yes),
    )


def heat(axes: Axes) -> np.ndarray:
    """Read a heat map's cells, in whose middle a cell's ratio is; all pixels of a cell are alike."""
    (image,) = axes.get_images()
    pixels = np.ma.filled(image.get_array(), np.nan)
    left, right, bottom, top = image.get_extent()
    n_rows, n_columns = round(bottom - top), round(right - left)
    cells = pixels.reshape(n_rows, pixels.shape[0] // n_rows, n_columns, -1)
    assert np.array_equal(cells, np.broadcast_to(cells[:, :1, :, :1], cells.shape), equal_nan=True)
    found: np.ndarray = cells[:, 0, :, 0]
    return found


def test_the_heat_map_is_the_ratios_by_severity_with_profiles_sorted() -> None:
    ratios = ratios_of(6)
    groups = group_profiles(ratios.yes_ratio)
    sketch = ratio_sketch(ratios, groups)
    peaceful, severe = axes_of(sketch)[:2]
    rows = [PROFILES.index(each.get_text()) for each in peaceful.get_yticklabels()]
    means = ratios.yes_ratio.mean(axis=0)
    assert sorted(rows) == list(range(32))
    assert (np.diff(groups.group[rows]) >= 0).all()
    for group in range(1, groups.n_groups + 1):
        assert (np.diff(means[[row for row in rows if groups.group[row] == group]]) >= 0).all()
    for severity, axes in enumerate((peaceful, severe)):
        assert np.array_equal(heat(axes), ratios.yes_ratio[ratios.severity == severity][:, rows].T)
    assert [each.get_text() for each in severe.get_xticklabels()] == ["N1", "N3", "N5"]
    cuts = sorted({float(each.get_ydata()[0]) for each in severe.get_lines()})
    assert cuts == [
        row - 0.5 for row in range(1, 32) if groups.group[rows[row]] != groups.group[rows[row - 1]]
    ]
    assert texts(sketch.figure) == [f"group {number}" for number in range(1, groups.n_groups + 1)]
    assert f"{PROFILES[rows[0]]} {means[rows[0]]:.3f}" in sketch.alternative
    assert f"mean of {groups.rates[0]:.3f}" in sketch.alternative
    assert "1,920 questions" in sketch.caption


def test_groups_stay_together_in_the_heat_map_whatever_their_means() -> None:
    ratios = ratios_of(4)
    groups = replace(group_profiles(ratios.yes_ratio), group=1 + np.arange(32) % 2)
    axes = axes_of(ratio_sketch(ratios, groups))[0]
    rows = [PROFILES.index(each.get_text()) for each in axes.get_yticklabels()]
    assert [row % 2 for row in rows] == [0] * 16 + [1] * 16


def test_the_heat_map_without_groups_or_with_one_has_no_borders() -> None:
    ratios = ratios_of(1, severity=(-1,))
    sketch = ratio_sketch(ratios, None)
    axes = axes_of(sketch)[0]
    assert axes.get_title(loc="left") == "Of unknown severity"
    assert not axes.get_lines()
    assert not texts(sketch.figure)
    n_yes = np.random.default_rng(4).binomial(10, 0.5, size=(6, 32))
    alike = replace(ratios_of(6), n_yes=n_yes, n_no=10 - n_yes)
    one = group_profiles(alike.yes_ratio)
    assert one.n_groups == 1
    assert "one group of all profiles" in ratio_sketch(alike, one).caption


def test_cells_without_answers_stay_empty_and_missing_answers_are_counted() -> None:
    full = ratios_of(4)
    n_yes, n_no, n_missing = full.n_yes.copy(), full.n_no.copy(), full.n_missing.copy()
    n_yes[0, 7], n_no[0, 7], n_missing[0, 7] = 0, 0, 10
    n_yes[:, 9] = n_no[:, 9] = 0
    n_missing[1:3] += 1
    ratios = replace(full, n_yes=n_yes, n_no=n_no, n_missing=n_missing, notes=("only 3 of 4 were played",))
    sketch = ratio_sketch(ratios, None)
    axes = axes_of(sketch)[0]
    assert np.isnan(heat(axes)).sum() == 3
    assert axes.get_yticklabels()[0].get_text() == "01001"
    assert "Hatched: 5 cells without any answer" in sketch.caption
    assert "74 of the questions have no answer" in sketch.caption
    assert "Only 3 of 4 were played." in sketch.caption
    assert "01001 unknown" in sketch.alternative
    assert (
        f"{100 * 74 / (n_yes + n_no + n_missing).sum():.3g}% of the answers are missing" in sketch.alternative
    )


def test_ratios_that_are_not_there_or_empty_are_said() -> None:
    assert "response_ratios.py" in str(ratio_sketch(None, None).unavailable)
    nothing = np.zeros((2, 32), dtype=np.int64)
    empty = replace(ratios_of(2), n_yes=nothing, n_no=nothing, n_missing=nothing + 1)
    assert "None of 64 answers of ratios-1 can be used" in str(ratio_sketch(empty, None).unavailable)
    ratios = ratios_of(3)
    with pytest.raises(DesignError, match="groups are of 5 profiles and the ratios of 32"):
        ratio_sketch(ratios, group_profiles(ratios.yes_ratio[:, :5]))


def test_one_severity_without_answers_does_not_spoil_the_other() -> None:
    full = ratios_of(4)
    severe = full.severity[:, None] == 1
    half = replace(full, n_yes=np.where(severe, 0, full.n_yes), n_no=np.where(severe, 0, full.n_no))
    sketch = ratio_sketch(half, None)
    assert np.isnan(heat(axes_of(sketch)[1])).all()
    assert "yes over all profiles is unknown" in sketch.alternative


def test_ids_of_many_items_are_left_out() -> None:
    sketch = ratio_sketch(ratios_of(500), None)
    assert not axes_of(sketch)[0].get_xticks().size
    assert axes_of(sketch)[0].get_xlabel() == "250 news items"


def clusters_of(n_items: int) -> SeverityClusters:
    """Make two clusters of news items, every second one severe."""
    severe = np.arange(n_items) % 2
    first = np.random.default_rng(0).normal(2.0 * severe - 1.0, 0.1)
    return SeverityClusters(
        ids=tuple(f"N{number}" for number in range(n_items)),
        cluster=severe,
        first_component=first,
        explained=np.array([0.25, 0.1]),
        scores=np.array([[0.8, 0.6], [0.5, 0.4]]),
        noise_score=0.61,
        n_components=1,
        commonest=(("Demonstrations", "Protests", ""), ("Political violence", "Battles", "Armed clash")),
        names=(0, 1),
        taxonomy=tuple(severe.tolist()),
        notes=("it is an example",),
    )


@pytest.mark.parametrize("n_items", [6, 40])
def test_items_lie_along_the_first_component_by_cluster(n_items: int) -> None:
    clusters = clusters_of(n_items)
    sketch = severity_sketch(clusters)
    *above, rows = axes_of(sketch)
    for number in range(clusters.n_clusters):
        expected = np.sort(clusters.first_component[clusters.cluster == number])
        drawn = [each for each in rows.get_lines() if np.asarray(each.get_ydata()).size]
        mine = [
            each for each in drawn if (np.abs(np.asarray(each.get_ydata(), dtype=float) - number) < 0.5).all()
        ]
        assert np.array_equal(np.sort(np.concatenate([each.get_xdata() for each in mine])), expected)
    assert len(above) == (n_items > 30)
    for axes in above:
        assert axes.get_ylabel() == "news items"
    label = rows.get_yticklabels()[1].get_text()
    assert label == f"cluster 2, severe: {n_items // 2} items\nPolitical violence\nBattles\nArmed clash"
    assert f"{float(clusters.first_component.max()):.3f}" in sketch.alternative
    assert f"100% of {n_items} items" in sketch.caption
    assert "score, 0.800, is the highest" in sketch.caption
    assert "It is an example." in sketch.caption
    assert "25% of the variance" in rows.get_xlabel()


def test_items_that_the_taxonomy_calls_otherwise_are_hollow() -> None:
    clusters = clusters_of(8)
    other = replace(clusters, taxonomy=(1 - (clusters.taxonomy[0] or 0), None, *clusters.taxonomy[2:]))
    sketch = severity_sketch(other)
    (rows,) = axes_of(sketch)
    hollow = [each for each in rows.get_lines() if each.get_markerfacecolor() == "white"]
    assert np.concatenate([each.get_xdata() for each in hollow]) == [clusters.first_component[0]]
    assert "Hollow: 1 item that the taxonomy calls otherwise" in sketch.caption
    unlabelled = replace(clusters, taxonomy=(None,) * 8, names=(None, None), commonest=(("", "", ""),) * 2)
    sketch = severity_sketch(unlabelled)
    assert "taxonomy" not in sketch.caption
    assert axes_of(sketch)[0].get_yticklabels()[0].get_text() == "cluster 1: 4 items"
    assert "commonest labels" not in sketch.alternative


def test_clusters_that_are_not_there_are_said() -> None:
    assert "cluster_severity" in str(severity_sketch(None).unavailable)


@given(text=st.text(), limit=st.integers(3, 40))
def test_labels_are_short_lines_that_can_be_drawn(text: str, limit: int) -> None:
    label = drawable(text, limit)
    assert len(label) <= limit
    assert all(each.isprintable() for each in label)
    assert cleaned(label) == label.strip() or "  " in label


def test_long_labels_keep_both_ends() -> None:
    assert shortened("PHL" + "0" * 10_000 + "77", 11) == "PHL00…00077"
    assert drawable("日本🦊<b>&$x$\u202e\x00", 40) == "\N{REPLACEMENT CHARACTER}" * 3 + "<b>&$x$"


@pytest.mark.parametrize("width", [3.0, 5.0, 12.0])
def test_a_legend_has_as_many_columns_as_fit_into_its_figure(width: float) -> None:
    with house_style():
        figure = new_figure(width, 3.0)
        axes = figure.subplots()
        for number in range(4):
            axes.plot([0, 1], label=f"one of several curves {number}")
        legend_above(figure, [axes])
        (legend,) = figure.legends
        assert legend.get_window_extent().width <= figure.bbox.width
        assert legend._ncols == {3.0: 1, 5.0: 2, 12.0: 4}[width]
