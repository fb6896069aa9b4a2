"""Laws fitted to probabilities that the log has: exact, and beside the fits to draws."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from agentnet import CascadeExperiment, ResponseRatioExperiment
from agentnet.analysis import Fits, fit_run, read_ratios, read_tables
from agentnet.analysis.exact import Exact, exact_fits, exact_ratios
from agentnet.analysis.tables import Questions, RunTables
from agentnet.backend import Backend, Reply, Request, make_backend
from agentnet.events import Run
from agentnet.experiment import Experiment
from agentnet.exposure import Exposure
from agentnet.vocabulary import N_PROFILES, NO, TRAITS, YES

Play = Callable[..., Run]

WEIGHTS = {
    "intercept": -3.072,
    **dict(zip(TRAITS, (7.625, -0.188, 2.497, 1.626, -0.970), strict=True)),
    "severity": -1.224,
}
"""Of the mock's default law."""

GROUPS = np.arange(N_PROFILES) // 16
QUICK: dict[str, Any] = {"groups": GROUPS, "n_runs": 1, "n_bootstrap": 0}
PLAIN = CascadeExperiment(n_agents=64, degree=4, steps=6, repeats=1, items_per_severity=3, rationale="none")


def by_odds(play: Play, design: Experiment, backend: Backend | None = None) -> Run:
    return play(design, backend=backend, seed=3, sampler={"mode": "logprobs"})


@pytest.fixture(scope="module")
def tables(play: Play) -> RunTables:
    return read_tables(by_odds(play, PLAIN))


@pytest.fixture(scope="module")
def fits(tables: RunTables) -> Fits:
    return fit_run(tables, **QUICK)


def found(exact: Exact | None, law: str) -> dict[str, Any]:
    assert exact is not None
    of = exact.law(law)
    assert of is not None, exact.notes
    return {each.name: each for each in of.parameters}


def test_the_weights_behind_probabilities_are_found_whatever_was_drawn(fits: Fits) -> None:
    weights = found(fits.exact, "main_effects")
    assert {name: each.value for name, each in weights.items()} == pytest.approx(WEIGHTS, abs=1e-12)
    drawn = {each.name: each for each in fits.law("main_effects").parameters}
    for name, each in weights.items():
        assert (each.drawn, each.drawn_error) == (drawn[name].estimate, drawn[name].standard_error)
        assert each.errors_apart == (each.drawn - each.value) / each.drawn_error
        # All items of a severity are alike to the mock: nothing spreads.
        assert each.over_news is None
    of = fits.exact and fits.exact.law("main_effects")
    assert of is not None
    assert of.misfit == pytest.approx(0.0, abs=1e-12)
    assert found(fits.exact, "full_logistic")["severity"].value == pytest.approx(-1.224, abs=1e-9)


def test_every_decision_is_of_a_question_that_is_known(tables: RunTables) -> None:
    questions = tables.questions
    assert questions is not None
    assert questions.n_drawn.sum() == tables.n_exposures
    assert len(np.unique(questions.profile * 100 + questions.news)) == questions.chance.size
    levels = [0.7 + 0.6 * (place + 0.5) / 4 for place in range(4)]
    assert questions.temperatures == pytest.approx(levels)


def test_what_is_certain_is_a_question_as_any_other(play: Play) -> None:
    certain = make_backend("mock", {"law": "two_groups", "rates": [0.0, 1.0]})
    tables = read_tables(by_odds(play, PLAIN, certain))
    assert tables.questions is not None
    assert tables.questions.n_drawn.sum() == tables.n_exposures
    assert set(tables.questions.chance.tolist()) == {0.0, 1.0}
    weights = found(fit_run(tables, laws=["full_logistic"], **QUICK).exact, "full_logistic")
    assert all(math.isinf(each.value) for name, each in weights.items() if name.startswith("profile"))


def test_ratios_of_which_all_is_certain_but_for_rounding_have_no_law(play: Play) -> None:
    ratios = read_ratios(by_odds(play, ResponseRatioExperiment(items_per_severity=1, rationale="none")))
    assert ratios.questions is not None
    nearly = replace(ratios.questions, chance=np.full_like(ratios.questions.chance, 1e-300))
    assert exact_ratios(replace(ratios, questions=nearly), 0.95) is None


def test_ratios_have_the_weights_too_beside_those_of_draws(play: Play) -> None:
    design = ResponseRatioExperiment(items_per_severity=2, repeats=2, rationale="none")
    ratios = read_ratios(by_odds(play, design))
    weights = found(exact_ratios(ratios, 0.95), "main_effects")
    assert {name: each.value for name, each in weights.items()} == pytest.approx(WEIGHTS, abs=1e-12)
    assert all(each.drawn != each.value for each in weights.values())


@dataclass
class Warm:
    """Answers as the mock does, with odds that its temperature divides."""

    inner: Backend
    name: str = "warm"
    model_name: str = "warm-1"

    async def complete(self, request: Request) -> Reply:
        reply = await self.inner.complete(request)
        odds = dict(reply.logprobs or {})
        logit = (odds[YES] - odds[NO]) / request.temperature
        chance = 1 / (1 + math.exp(-logit))
        return reply._replace(logprobs={YES: math.log(chance), NO: math.log1p(-chance)})

    async def aclose(self) -> None:
        await self.inner.aclose()


def test_a_question_has_its_mean_over_the_temperatures_at_which_it_was_asked(play: Play) -> None:
    design = ResponseRatioExperiment(items_per_severity=1, repeats=60, rationale="none")
    ratios = read_ratios(by_odds(play, design, Warm(make_backend("mock", {}))))
    questions = ratios.questions
    assert questions is not None
    assert len(questions.temperatures) == 4
    high = bits_of(np.arange(N_PROFILES)) @ [WEIGHTS[trait] for trait in TRAITS]
    logit = high + WEIGHTS["intercept"] + ratios.severity[:, None] * WEIGHTS["severity"]
    expected = np.mean([1 / (1 + np.exp(-logit / each)) for each in questions.temperatures], axis=0)
    assert questions.by_item(2) == pytest.approx(expected, abs=1e-12)
    exact = exact_ratios(ratios, 0.95)
    assert exact is not None
    assert "mean over temperatures from 0.775 to 1.225" in exact.in_words


def bits_of(profile: Any) -> Any:
    return profile[:, None] >> np.arange(4, -1, -1) & 1


@pytest.fixture(scope="module")
def asked_all(tables: RunTables) -> RunTables:
    """The run as if each profile had been asked about each item, with any probabilities."""
    news, profile = (each.ravel() for each in np.indices((6, N_PROFILES)))
    chance = np.random.default_rng(5).uniform(0.05, 0.95, news.size)
    return replace(tables, questions=Questions(profile, news, chance, np.ones_like(news), (1.0,)))


def test_weights_and_their_spread_over_news_are_those_of_a_fractional_regression(
    asked_all: RunTables, fits: Fits
) -> None:
    from statsmodels.api import GLM
    from statsmodels.genmod.families import Binomial

    exact, asked = exact_fits(asked_all, fits.laws, 0.95), asked_all.questions
    assert asked is not None
    severe = asked_all.severity[np.searchsorted(asked_all.news, asked.news)]
    design = np.column_stack([np.ones(severe.size), bits_of(asked.profile), severe])
    by_news = {"groups": asked.news, "use_correction": True}
    theirs = GLM(asked.chance, design, family=Binomial()).fit(tol=1e-14, cov_type="cluster", cov_kwds=by_news)
    weights = found(exact, "main_effects")
    assert [each.value for each in weights.values()] == pytest.approx(theirs.params.tolist(), abs=1e-12)
    for each, error in zip(weights.values(), theirs.bse.tolist(), strict=True):
        assert each.over_news is not None
        freedom = 4 if each.name == "severity" else 5
        assert each.over_news[1] - each.value == pytest.approx(error * t.ppf(0.975, freedom), rel=1e-9)
    of = exact and exact.law("main_effects")
    assert of is not None
    assert of.misfit == pytest.approx(np.sqrt(np.mean((theirs.predict() - asked.chance) ** 2)), abs=1e-12)


def test_rates_by_probabilities_are_the_means_of_the_groups_and_their_growth(
    asked_all: RunTables, fits: Fits
) -> None:
    assert asked_all.questions is not None
    by_item = asked_all.questions.chance.reshape(6, N_PROFILES)
    first, second = by_item[:, :16].mean(), by_item[:, 16:].mean()
    exact = exact_fits(asked_all, fits.laws, 0.95)
    rates = found(exact, "group_rates")
    assert rates["tau_1"].value == pytest.approx(first, abs=1e-13)
    assert rates["tau_2"].value == pytest.approx(second, abs=1e-13)
    growth = 4 * by_item.mean(axis=1)
    assert rates["lambda"].value == pytest.approx(growth.mean(), abs=1e-13)
    width = t.ppf(0.975, 5) * growth.std(ddof=1) / np.sqrt(6)
    assert rates["lambda"].over_news[1] - growth.mean() == pytest.approx(width, rel=1e-9)
    assert found(exact, "one_rate")["tau"].value == pytest.approx(by_item.mean(), abs=1e-13)
    assert found(exact, "cavity")["p_2"].value == pytest.approx(second, abs=1e-13)
    drawn = {each.name: each for each in fits.law("group_rates").parameters}
    assert rates["tau_1"].drawn == drawn["tau_1"].estimate


class Heard(CascadeExperiment):
    n_agents = 48
    degree = 4
    steps = 5
    repeats = 1
    items_per_severity = 1
    rationale = "none"
    temperature = 1.0

    def context(self, exposure: Exposure) -> dict[str, Any]:
        return {"n_shared": exposure.n_engaged}

    def remark(self, context: dict[str, Any]) -> str:
        return f"{context['n_shared']} of those whom you follow have shared it."


def test_a_law_of_what_agents_were_told_finds_the_slope_that_was_planted(play: Play) -> None:
    mild = {"coefficients": {"openness": 2.0, "intercept": -2.0}, "slopes": {"n_shared": 0.8}}
    run = by_odds(play, Heard(), make_backend("mock", mild))
    by = (*TRAITS, "severity", "n_shared")
    fits = fit_run(read_tables(run, columns=by), laws=["column_logistic"], by=by, **QUICK)
    weights = found(fits.exact, "column_logistic")
    assert weights["n_shared"].value == pytest.approx(0.8, abs=1e-7)
    assert weights["openness"].value == pytest.approx(2.0, abs=1e-7)
    hill = fit_run(read_tables(run, columns=["n_shared"]), laws=["hill"], by=["n_shared"], **QUICK)
    assert found(hill.exact, "hill")["top"].drawn == hill.law("hill").parameter("top").estimate


def test_without_probabilities_in_the_log_nothing_is_said_of_them(play: Play) -> None:
    tables = read_tables(play(PLAIN, seed=3))
    fits = fit_run(tables, laws=["main_effects"], **QUICK)
    assert tables.questions is None
    assert fits.exact is None
    assert "exact" not in fits.as_json()


def test_it_is_json(fits: Fits) -> None:
    said = json.loads(json.dumps(fits.as_json(), allow_nan=False))["exact"]
    assert said["n_drawn"] == fits.tables.n_exposures
    assert {each["law"] for each in said["laws"]} == {each.law for each in fits.laws}
