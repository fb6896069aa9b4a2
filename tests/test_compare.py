"""Comparisons of conditions and runs: numbers are those of the log, intervals those of brute force."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agentnet import CascadeExperiment, Experiment, InterviewExperiment, ResponseRatioExperiment, analysis
from agentnet.analysis.comparison import (
    MEASURES,
    ConditionComparison,
    How,
    Realizations,
    compare,
    early_growth,
    final_engagement,
    half_time,
)
from agentnet.analysis.laws.mean_field import fit_mean_field
from agentnet.analysis.study import study_run
from agentnet.errors import DesignError, UserError
from agentnet.events import Run

SMALL = CascadeExperiment(n_agents=48, degree=4, steps=6, repeats=3, items_per_severity=1, rationale="none")
FEW: dict[str, Any] = {"n_bootstrap": 40, "seed": 3}


def under(base: Experiment, *conditions: dict[str, Any]) -> list[Experiment]:
    """Put an experiment under several conditions."""
    return [base.under(each) for each in conditions]


def curves_of(run: Run, condition: int) -> dict[tuple[str, int], Any]:
    """Count the engaged fraction of each news item and repeat from the log; conditions come in blocks."""
    found = {}
    n = 6
    for number, news, repeat in run.rows(
        "SELECT realization, n.id, repeat FROM realizations JOIN news n USING (news) "
        "WHERE status = 'finished'"
    )[1]:
        if number // n == condition:
            steps = [
                row[0]
                for row in run.rows("SELECT engaged_step FROM agents WHERE realization = ?", (number,))[1]
            ]
            engaged = [sum(s is not None and s <= t for s in steps) for t in range(7)]
            found[news, repeat] = np.array(engaged) / len(steps)
    return found


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    """Play three degrees, two news items, three repeats each."""
    return play(*under(SMALL, {"degree": 6}, {"degree": 3}, {"degree": 4}), seed=5)


@pytest.fixture(scope="module")
def alike(play: Callable[..., Run]) -> Run:
    """Play the same condition twice, and another one between."""
    return play(*under(SMALL, {"degree": 4}, {"degree": 6}, {"degree": 4}), seed=8)


def only(found: ConditionComparison, compared: str) -> Any:
    """Look a contrast up."""
    return next(each for each in found.contrasts if each.compared == compared)


def unpack(run: Run, folder: Path, *statements: str) -> Run:
    """Copy a run, with a changed log."""
    shutil.copytree(run.folder, folder)
    with closing(sqlite3.connect(folder / run.path.name)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        for statement in statements:
            connection.execute(statement)
    return Run(folder)


# Measures of single realizations


@pytest.mark.parametrize("measure", sorted(MEASURES))
def test_differences_are_those_of_pairs_of_the_log_with_students_interval(run: Run, measure: str) -> None:
    found = compare(run, measure, level=0.9)
    of = MEASURES[measure][1]
    first, other = ({pair: of(curve) for pair, curve in curves_of(run, k).items()} for k in (1, 0))
    common = sorted(
        pair for pair in first.keys() & other.keys() if np.isfinite([first[pair], other[pair]]).all()
    )
    less = np.array([other[pair] - first[pair] for pair in common])
    contrast = only(found, "degree 6 less 3").contrast
    assert contrast.n_repeats == len(common) > 2
    assert contrast.value == pytest.approx(less.mean())
    expected = stats.ttest_1samp(less, 0).confidence_interval(0.9)
    assert [contrast.low, contrast.high] == pytest.approx(list(expected))


def test_whole_news_items_take_the_place_of_pairs_in_the_second_interval(run: Run) -> None:
    found = only(compare(run), "degree 4 less 3")
    first, other = curves_of(run, 1), curves_of(run, 2)
    by_news: dict[str, list[float]] = {}
    for pair in sorted(first.keys() & other.keys()):
        by_news.setdefault(pair[0], []).append(float(other[pair][-1] - first[pair][-1]))
    means = [np.mean(each) for each in by_news.values()]
    assert found.by_news.n_repeats == 2
    assert found.by_news.value == pytest.approx(np.mean(means))
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert [found.by_news.low, found.by_news.high] == pytest.approx(list(expected))


def test_a_swept_knob_has_estimates_along_it_and_a_trend(run: Run) -> None:
    found = compare(run)
    assert [each.knobs for each in found.estimates] == [{"degree": 6}, {"degree": 3}, {"degree": 4}]
    ends = np.array([[curve[-1] for curve in curves_of(run, k).values()] for k in range(3)])
    assert [each.estimate.value for each in found.estimates] == pytest.approx(ends.mean(axis=1))
    (trend,) = [each for each in found.contrasts if each.kind == "trend"]
    assert trend.compared == "trend with degree: 3, 4, 6"
    taus = [stats.kendalltau([6, 3, 4], ends[:, pair]).statistic for pair in range(6)]
    assert trend.contrast.value == pytest.approx(np.mean(taus))


def test_samples_that_are_all_but_equal_are_compared_without_a_warning() -> None:
    same: Any = None
    one = Realizations(
        same, {("a", k): 0.1 + k * 1e-17 * 2 for k in range(3)} | {("a", 3): np.nextafter(0.1, 1)}
    )
    other = Realizations(same, {("b", k): 0.5 for k in range(4)})
    found, _ = one.less(other, How())
    assert found.value == pytest.approx(-0.4)
    assert [found.low, found.high] == pytest.approx([-0.4, -0.4])
    assert found.p_value < 1e-12


CURVES = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=12).map(lambda values: np.sort(np.array(values)))


@given(curve=CURVES)
def test_half_of_the_final_engagement_is_reached_at_the_half_time(curve: Any) -> None:
    time = half_time(curve)
    if curve[0] == curve[-1]:
        assert np.isnan(time)
    else:
        at = np.interp(time, np.arange(curve.size), curve)
        assert at == pytest.approx(max(curve[-1] / 2, curve[0]))
    assert final_engagement(curve) == curve[-1]


def test_a_logistic_curve_is_half_way_at_its_inflection_and_grows_at_its_rate() -> None:
    t = np.arange(60.0)
    curve = 1 / (1 + np.exp(-0.5 * (t - 20.25)))
    assert half_time(curve) == pytest.approx(20.25, abs=0.02)
    assert early_growth(curve) == pytest.approx(0.5, rel=0.02)
    assert early_growth(np.array([0.2, 0.4, 0.8])) == pytest.approx(np.log(2))


# Parameters of laws


def test_laws_are_fitted_to_common_pairs_and_the_same_draws_of_them(run: Run) -> None:
    found = only(compare(run, "lambda", **FEW), "degree 6 less 3").contrast
    first, other = curves_of(run, 1), curves_of(run, 0)
    common = sorted(first.keys() & other.keys())

    def fitted(curves: dict[Any, Any], degree: int, pairs: list[Any]) -> float:
        fit = fit_mean_field([curves[pair] for pair in pairs], degree=degree, n_bootstrap=0)
        return fit.growth_rate

    assert found.value == pytest.approx(fitted(other, 6, common) - fitted(first, 3, common), rel=1e-4)
    rng = np.random.default_rng(1)
    brute = [
        fitted(other, 6, pairs) - fitted(first, 3, pairs)
        for pairs in ([common[i] for i in rng.integers(0, len(common), len(common))] for _ in range(40))
    ]
    spread = np.quantile(brute, [0.025, 0.975])
    # Unpaired draws of the same curves, or draws of one side alone, would be of another width.
    assert found.high - found.low == pytest.approx(spread[1] - spread[0], rel=0.5)
    assert found.low < found.value < found.high
    assert np.isnan(found.p_value)


def test_a_condition_beside_itself_differs_by_nothing_in_every_draw(run: Run, tmp_path: Path) -> None:
    copy = unpack(run, tmp_path / "copy")
    for measure in ("lambda", "group_rates.tau_2", "cavity.p_1", "final_engagement"):
        groups = {f"{profile:05b}": 1 + (profile >= 16) for profile in range(32)}
        found = compare([run, copy], measure, groups=groups, **FEW)
        (same,) = [each for each in found.contrasts if each.compared == "degree 6 (copy) less degree 6 (run)"]
        assert (same.contrast.value, same.contrast.low, same.contrast.high) == pytest.approx(
            (0, 0, 0), abs=1e-12
        )


# Which conditions are compared, and what they are called


def test_equal_conditions_are_kept_apart(alike: Run) -> None:
    found = compare(alike)
    assert [each.name for each in found.estimates] == ["degree 4 (1)", "degree 6", "degree 4 (2)"]
    ends = [np.mean([curve[-1] for curve in curves_of(alike, k).values()]) for k in range(3)]
    assert [each.estimate.value for each in found.estimates] == pytest.approx(ends)
    assert all(each.estimate.n_repeats == 6 for each in found.estimates)
    rows = alike.rows("SELECT DISTINCT realization / 6, condition FROM decisions ORDER BY 1")[1]
    assert rows == [(0, 0), (1, 1), (2, 2)]
    names = [each.compared for each in found.contrasts if each.kind == "difference"]
    assert names == ["degree 4 (2) less degree 4 (1)", "degree 6 less degree 4 (1)"]


def test_conditions_that_differ_in_several_knobs_are_compared_with_the_first(
    play: Callable[..., Run],
) -> None:
    run = play(*under(SMALL, {"degree": 4}, {"degree": 6, "steps": 4}, {"temperature": 0.8}))
    (one, other) = compare(run).contrasts
    assert one.compared == "temperature 0.8 less 0.7, 1.3 (degree 4, steps 6)"
    assert other.compared == "degree 6, steps 4 less degree 4, steps 6"


def test_runs_are_named_by_what_sets_them_apart(play: Callable[..., Run]) -> None:
    sparse, dense = (play(SMALL.under({"degree": degree}), seed=1) for degree in (3, 6))
    found = compare([sparse, dense])
    (difference,) = found.contrasts
    assert difference.compared == "degree 6 less 3"
    assert difference.contrast.n_repeats == 6
    assert not found.notes
    ends = [[curve[-1] for _, curve in sorted(curves_of(run, 0).items())] for run in (sparse, dense)]
    assert difference.contrast.value == pytest.approx(np.subtract(*ends[::-1]).mean())


def test_conditions_of_one_design_in_two_runs_are_compared_once_whatever_knobs_are_crossed(
    play: Callable[..., Run],
) -> None:
    crossed = [SMALL.under({"degree": degree, "steps": steps}) for degree in (3, 6) for steps in (2, 3)]
    runs = [play(*crossed, seed=seed) for seed in (1, 2)]
    contrasts = analysis.compare(runs, "final_engagement").contrasts
    told = [each.compared for each in contrasts]
    assert len(told) == len(set(told)) == 4 + 4


def test_runs_without_a_common_news_item_are_compared_without_pairs(play: Callable[..., Run]) -> None:
    one, two = (play(SMALL.under({"degree": degree}), seed=seed) for degree, seed in ((3, 1), (6, 2)))
    found = compare([one, two])
    (difference,) = found.contrasts
    assert difference.compared.startswith("degree 6 less 3; not paired")
    assert any("different seeds (1, 2)" in note for note in found.notes)
    ends = [[curve[-1] for curve in curves_of(run, 0).values()] for run in (one, two)]
    expected = stats.ttest_ind(ends[1], ends[0], equal_var=False)
    assert difference.contrast.p_value == pytest.approx(expected.pvalue)
    interval = [difference.contrast.low, difference.contrast.high]
    assert interval == pytest.approx(list(expected.confidence_interval(0.95)))
    rates = compare([one, two], "tau", **FEW)
    apart, sides = rates.contrasts[0].contrast, [each.estimate for each in rates.estimates]
    assert apart.value == pytest.approx(sides[1].value - sides[0].value)
    assert apart.low < apart.value < apart.high


def test_draws_without_common_pairs_are_independent(run: Run, tmp_path: Path) -> None:
    renamed = unpack(run, tmp_path / "renamed", "UPDATE news SET id = id || ' (other)'")
    found = compare([run, renamed], "lambda", **FEW)
    (same,) = [
        each
        for each in found.contrasts
        if each.compared.startswith("degree 6 (renamed) less degree 6 (run); not paired")
    ]
    assert same.contrast.value == pytest.approx(0, abs=1e-9)
    widths = [each.estimate.high - each.estimate.low for each in found.estimates if each.knobs["degree"] == 6]
    # Variances of independent draws add up; equal draws would differ by nothing.
    assert same.contrast.high - same.contrast.low == pytest.approx(np.hypot(*widths), rel=0.4)


def test_pairs_that_one_condition_lacks_are_left_out(run: Run, tmp_path: Path) -> None:
    cut = unpack(
        run, tmp_path / "cut", "UPDATE realizations SET status = 'running' WHERE realization IN (0, 7)"
    )
    found = compare(cut)
    numbers = {each.compared: each.contrast.n_repeats for each in found.contrasts}
    assert numbers["degree 6 less 3"] == 4
    assert numbers["degree 4 less 3"] == 5
    assert any("not finished" in note for note in found.notes)


def test_shares_of_yes_are_compared_by_news_item_and_profile(play: Callable[..., Run]) -> None:
    base = ResponseRatioExperiment(items_per_severity=2, repeats=3, rationale="none")
    run = play(*under(base, {"temperature": 0.9}, {"temperature": 0.9}, {"temperature": 1.1}))
    found = compare(run, "yes_ratio")
    shares = np.array(
        [
            row[0]
            for row in run.rows(
                "SELECT AVG(decision) FROM decisions WHERE kind = 'ratio' "
                "GROUP BY realization / 4, news, profile ORDER BY realization / 4, news, profile"
            )[1]
        ]
    ).reshape(3, -1)
    assert [each.estimate.value for each in found.estimates] == pytest.approx(shares.mean(axis=1))
    less = only(found, "temperature 1.1 less temperature 0.9 (1)").contrast
    assert (less.value, less.n_repeats) == (pytest.approx((shares[2] - shares[0]).mean()), 128)


class Alone(InterviewExperiment):
    """A few models of one class."""

    models: dict[str, int] = {"science": 4}  # noqa: RUF012 - an attribute of a design
    n_evaluation = 4
    n_questions = 1
    steps = 3
    repeats = 3


def test_studies_of_several_runs_are_compared_in_their_own_outcomes(play: Callable[..., Run]) -> None:
    runs = [play(Alone(n_taught=taught), seed=4) for taught in (2, 6)]
    studies = [study_run(run, n_bootstrap=5) for run in runs]
    found = compare(studies, "mirror_movement")
    (difference,) = found.contrasts
    assert difference.compared == "n taught 6 less 2"
    moved = [
        np.array([np.abs(np.diff(each.mirror.curve))[1:].mean() for each in study.conditions[0].played])
        for study in studies
    ]
    assert difference.contrast.value == pytest.approx((moved[1] - moved[0]).mean())
    with pytest.raises(UserError, match="cannot be compared with runs of another family"):
        compare([studies[0], runs[0]], "ari")
    with pytest.raises(UserError, match=r"of interacting models compare studies"):
        compare(runs, "ari")


# What cannot be compared


def test_what_is_no_measure_or_no_pair_of_conditions_is_refused(run: Run, play: Callable[..., Run]) -> None:
    with pytest.raises(DesignError, match="no measure 'half_tim'; did you mean 'half_time'"):
        compare(run, "half_tim")
    with pytest.raises(DesignError, match="no parameter 'tau_7'"):
        compare(run, "one_rate.tau_7", **FEW)
    with pytest.raises(DesignError, match="n_bootstrap must be at least 0"):
        compare(run, "lambda", n_bootstrap=-1)
    with pytest.raises(UserError, match="there is one condition of which final_engagement is known"):
        compare(play(SMALL))


def test_tables_and_json_hold_the_contrasts(run: Run) -> None:
    found = analysis.compare(run)
    frame, spelled = found.frame(), found.as_json()
    assert frame["compared"].tolist() == [each["compared"] for each in spelled["contrasts"]]
    assert frame["value"].tolist() == [each.contrast.value for each in found.contrasts]
    assert (frame["p_value_holm"] >= frame["p_value"]).all()
    assert found.sweep()["degree"].tolist() == [6, 3, 4]
    assert "degree 6 less 3" in found._repr_html_()
    assert all(each["estimate"]["p_value"] is None for each in spelled["estimates"])
