"""Laws of columns of exposures: right by other means, and told against one chance for all decisions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.optimize import minimize

from agentnet import CascadeExperiment
from agentnet.analysis import LAWS, fit_run, read_tables
from agentnet.analysis.grouping import as_grouping
from agentnet.analysis.laws import DecisionLaw
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, InputError
from agentnet.events import Run

Array = NDArray[np.float64]
GROUPS = np.arange(32) // 16


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    return play(CascadeExperiment(n_agents=64, degree=5, steps=8, repeats=3, items_per_severity=2), seed=2)


@pytest.fixture(scope="module")
def tables(run: Run) -> RunTables:
    return read_tables(run, columns=["n_engaged", "n_asked"])


def answered(tables: RunTables, chance: Array, n_each: int, seed: int) -> RunTables:
    """Let each count of exposures be `n_each` decisions with a known chance of a yes."""
    counts = tables.exposures
    n_yes = np.random.default_rng(seed).binomial(n_each, np.broadcast_to(chance, counts.row.shape))
    nothing = np.zeros_like(n_yes)
    return replace(tables, exposures=replace(counts, n_yes=n_yes, n_no=n_each - n_yes, n_missing=nothing))


def with_doses(tables: RunTables, doses: Array) -> RunTables:
    return replace(tables, exposures=replace(tables.exposures, columns={"n_engaged": doses}))


def of(name: str, tables: RunTables, *by: str) -> DecisionLaw:
    law = LAWS[name](tables, as_grouping(GROUPS), by)
    assert isinstance(law, DecisionLaw)
    return law


def hill(n: Array, bottom: float, top: float, half: float, steepness: float) -> Array:
    return np.asarray(bottom + (top - bottom) * n**steepness / (half**steepness + n**steepness))


def log_likelihood(tables: RunTables, chance: Array) -> float:
    counts, kept = tables.exposures, np.clip(chance, 1e-12, 1 - 1e-12)
    return float(counts.n_yes @ np.log(kept) + counts.n_no @ np.log1p(-kept))


@pytest.mark.parametrize("truth", [(0.1, 0.8, 1.6, 4.0), (0.7, 0.05, 2.5, 3.0)])
def test_a_hill_curve_is_the_likeliest_whatever_the_unit_of_its_dose(
    tables: RunTables, truth: tuple[float, ...]
) -> None:
    from_0 = tables.column("n_engaged") - 1
    unit = 250.0
    tables = with_doses(tables, unit * from_0)
    drawn = answered(tables, hill(from_0, *truth), 60, seed=4)
    fit = of("hill", drawn, "n_engaged").fit()
    best = minimize(
        lambda v: -log_likelihood(drawn, hill(from_0, *v)),
        truth,
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-11, "maxfev": 10_000},
    )
    units = np.array([1, 1, unit, 1])
    assert fit.log_likelihood == pytest.approx(-best.fun, rel=1e-9)
    assert fit.values == pytest.approx(best.x * units, rel=1e-3)
    assert np.abs((fit.values - np.array(truth) * units) / fit.standard_errors).max() < 4


def test_a_dose_is_at_least_0_and_there_the_chance_is_the_bottom(tables: RunTables) -> None:
    law = of("hill", tables, "n_engaged")
    values: dict[str, Any] = {"bottom": 0.2, "top": 0.6, "half": 2.0, "steepness": 3.0}
    with np.errstate(divide="ignore"):
        found = law.probability({"n_engaged": np.array([0.0, 2.0, 1e9])}, **values)
    assert found == pytest.approx([0.2, 0.4, 0.6])
    with pytest.raises(InputError, match="at least 0, and n_engaged goes down to -"):
        of("hill", with_doses(tables, -tables.column("n_engaged")), "n_engaged").fit()


def test_a_threshold_is_the_best_of_all_there_are(tables: RunTables) -> None:
    dose = tables.column("n_engaged")
    drawn = answered(tables, np.where(dose > 2, 0.9, 0.15), 20, seed=7)
    fit = of("dose_threshold", drawn, "n_engaged").fit()
    counts = drawn.exposures
    heights = {}
    for cut in (np.unique(dose)[1:] + np.unique(dose)[:-1]) / 2:
        shares = [counts.n_yes[s].sum() / (20 * s.sum()) for s in (dose <= cut, dose > cut)]
        heights[cut] = (log_likelihood(drawn, np.where(dose > cut, shares[1], shares[0])), shares)
    best = max(heights, key=heights.__getitem__)
    assert fit.values == pytest.approx([*heights[best][1], best])
    assert fit.values[2] == 2.5
    assert fit.log_likelihood == pytest.approx(heights[best][0])
    n = np.array([20 * s.sum() for s in (dose <= 2, dose > 2)])
    share = fit.values[:2]
    assert fit.standard_errors[:2] == pytest.approx(np.sqrt(share * (1 - share) / n), rel=1e-6)
    assert np.isnan(fit.standard_errors[2])


def test_a_threshold_without_an_error_says_why_and_names_its_rivals(tables: RunTables) -> None:
    few = answered(tables, np.array(0.3), 1, seed=1)
    found = fit_run(few, laws=["dose_threshold"], by="n_engaged", groups=GROUPS, n_runs=4)
    law = found.law("dose_threshold")
    assert law.parameter("threshold").why_no_interval
    assert law.parameter("below").interval is not None
    assert any("fit nearly as well" in warning for warning in law.warnings)
    with pytest.raises(InputError, match=r"all exposures have n_engaged = 0: none is below"):
        of("dose_threshold", with_doses(tables, 0 * tables.column("n_engaged")), "n_engaged").fit()


def test_a_logistic_law_of_columns_is_that_of_statsmodels(tables: RunTables) -> None:
    logit = -2 + 0.6 * tables.column("n_engaged") - 0.02 * tables.column("step")
    drawn = answered(tables, 1 / (1 + np.exp(-logit)), 3, seed=2)
    counts, names = drawn.exposures, ("n_engaged", "step", "openness")
    law = of("column_logistic", drawn, *names)
    fit = law.fit()
    n_each = np.column_stack([counts.n_yes, counts.n_no]).ravel()
    rows = np.repeat(np.arange(counts.row.size), 2).repeat(n_each)
    yes = np.tile([1.0, 0.0], counts.row.size).repeat(n_each)
    design = np.column_stack([np.ones(rows.size), *(drawn.column(name)[rows] for name in names)])
    theirs = sm.Logit(yes, design).fit(disp=0, tol=1e-12)
    assert fit.names == ("intercept", *names)
    assert fit.values == pytest.approx(theirs.params, rel=1e-6)
    assert fit.standard_errors == pytest.approx(theirs.bse, rel=1e-6)
    assert fit.log_likelihood == pytest.approx(theirs.llf)
    robust = sm.Logit(yes, design).fit(
        disp=0, tol=1e-12, cov_type="cluster", cov_kwds={"groups": counts.row[rows]}
    )
    assert law.clustered(fit, "realization").standard_errors == pytest.approx(robust.bse, rel=1e-6)
    against = law.against_constant(fit)
    assert against["likelihood_ratio"] == pytest.approx(theirs.llr)
    assert against["more_parameters"] == 3
    null = 2 - 2 * theirs.llnull
    assert against["aic_lower_by"] == pytest.approx(null - theirs.aic)


def test_columns_that_tell_nothing_apart_are_refused_with_the_reason(tables: RunTables) -> None:
    separated = answered(tables, (tables.column("n_engaged") > 2).astype(float), 5, seed=1)
    for drawn, names in ((separated, ("n_engaged",)), (tables, ("n_engaged", "n_engaged_too"))):
        counts = drawn.exposures
        twice = replace(counts, columns={**counts.columns, "n_engaged_too": counts.columns["n_engaged"]})
        with pytest.raises(InputError, match="determine no weights of n_engaged"):
            of("column_logistic", replace(drawn, exposures=twice), *names).fit()
    with pytest.raises(DesignError, match="name it: --by"):
        of("column_logistic", tables).fit()


@pytest.mark.parametrize("name", ["hill", "dose_threshold", "column_logistic"])
def test_whether_the_dose_counts_is_told_against_independent_tries(tables: RunTables, name: str) -> None:
    dose = tables.column("n_engaged")
    for chance, verdict in ((np.array(0.3), False), (hill(dose, 0.0, 0.9, 2.0, 3.0), True)):
        drawn = answered(tables, chance, 4, seed=11)
        law = of(name, drawn, "n_engaged")
        fit = law.fit()
        counts = drawn.exposures
        share = counts.n_yes.sum() / (counts.n_yes + counts.n_no).sum()
        against = law.against_constant(fit)
        ratio = 2 * (fit.log_likelihood - log_likelihood(drawn, np.full(dose.shape, share)))
        assert against["likelihood_ratio"] == pytest.approx(ratio)
        assert against["aic_lower_by"] == pytest.approx(ratio - 2 * (len(fit.names) - 1))
        assert (against["aic_lower_by"] > 0) == verdict
        said = next(law.warnings(fit)) if name != "dose_threshold" else [*law.warnings(fit)][-1]
        assert "the chance of a yes to one question; against one chance whatever n_engaged" in said
        assert f"it {'is' if verdict else 'is not'} better by Akaike's criterion" in said


def test_laws_of_one_column_are_fitted_to_each_that_is_named_and_judged(tables: RunTables) -> None:
    names = ("hill", "dose_threshold", "column_logistic", "one_rate")
    found = fit_run(tables, laws=names, by=("n_engaged", "n_asked"), groups=GROUPS, n_runs=4, n_bootstrap=0)
    assert [law.title for law in found.laws] == [
        *(
            "Hill curve of n_engaged",
            "Hill curve of n_asked",
            "threshold in n_engaged",
            "threshold in n_asked",
        ),
        *("logistic in n_engaged, n_asked", "one-rate mean field"),
    ]
    judged = {each.title: each for each in found.scores}
    assert judged.keys() == {law.title for law in found.laws}
    for each in judged.values():
        assert each.held_out_rmse is not None
        assert each.floor is not None
    spelled: Any = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert [each["against_constant"] is None for each in spelled["laws"]] == [False] * 5 + [True]


def test_columns_of_the_view_of_decisions_are_read_and_the_answer_is_none_of_them(run: Run) -> None:
    model = run.frame("decisions").query("kind == 'exposure'").model.iloc[0]
    tables = read_tables(run, columns=["temperature", f"model={model}", "asks"])
    assert set(tables.column("asks")) == {1}
    frame = run.frame("decisions").query("kind == 'exposure'")
    assert set(tables.column("temperature")) == set(frame.temperature)
    assert set(tables.column(f"model={model}")) == {1.0}
    counts = tables.exposures
    at = tables.column("temperature") == frame.temperature.iloc[5]
    assert counts.n_yes[at].sum() == frame[frame.temperature == frame.temperature.iloc[5]].decision.sum()
    with pytest.raises(DesignError, match=r"no column 'decision'; known: .*; the view decisions has .*at,"):
        read_tables(run, columns=["decision"])
    with pytest.raises(DesignError, match="the column 'model' holds no 'gpt'; known: "):
        read_tables(run, columns=["model=gpt"])
    with pytest.raises(DesignError, match="takes numbers, or whether it reads model="):
        read_tables(run, columns=["model"])


def test_what_a_profile_reads_is_a_column(run: Run) -> None:
    tables = read_tables(run, columns=["profile=01101"])
    assert np.array_equal(tables.column("profile=01101"), tables.exposures.profile == 0b01101)


def test_the_command_line_names_a_bundled_law_of_a_column(command: Callable[..., Any], run: Run) -> None:
    done = command(
        "fit", run.folder, "--law", "hill", "--by", "n_engaged", "--runs", "4", "--bootstraps", "0"
    )
    assert done.code == 0, done.err
    assert "Hill curve of n_engaged: it gives the chance of a yes to one question" in done.out
