"""Answers by what agents were told, when they agree and how far messages drift, in analysis and report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel

from agentnet import Ask, CascadeExperiment, WorldExperiment
from agentnet.analysis.by_context import _labels, answers_by_context
from agentnet.analysis.convergence import Agreed, agreed, convergence_time
from agentnet.analysis.drift import message_drift
from agentnet.analysis.measures import read_agreement
from agentnet.events import Run
from agentnet.exposure import Exposure
from agentnet.report.gather import Report, make_report
from agentnet.report.options import Options
from agentnet.report.part import more_tables
from agentnet.report.worlds import convergence_table

QUICK = Options(figures=False, n_runs=1, n_bootstrap=0, laws=("main_effects",))


class View(BaseModel):
    act: Literal["like", "share", "ignore"]
    mark: int


class Talk(WorldExperiment):
    """Agents are told a dose and a channel, and agree in a mood from a step of their own."""

    n_agents, repeats = 10, 4
    agrees: bool = True

    def play(self, s: Any) -> Any:
        first = s.post(0, "a b c d")
        s.post(1, "a b c e", first)
        for turn in range(3):
            told = [{"dose": (agent + turn) % 3, "channel": "feed"} for agent in s.agents]
            yield [
                Ask(agent, f"{each}: share?", answer=bool, kind="share", context=each)
                for agent, each in enumerate(told)
            ]
            yield [
                Ask(agent, f"{each}: what?", answer=View, kind="view", context=each)
                for agent, each in enumerate(told)
            ]
            late = not self.agrees or turn < s.repeat
            s.record(turn, mood=[float(agent % 2) if late else 1.0 for agent in s.agents])


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    return play(Talk(agrees=True), Talk(agrees=False), seed=4)


@pytest.fixture(scope="module")
def report(run: Run) -> Report:
    return make_report([run], QUICK)


def table_of(report: Report, name: str) -> Any:
    every = [each for made in more_tables(report.parts[0]).values() for each in made]
    return next((each for each in every if each.name == name), None)


def test_shares_and_their_intervals_are_those_of_a_clustered_regression(run: Run) -> None:
    import statsmodels.api as sm
    from scipy.special import expit, logit
    from scipy.stats import t

    rows = run.frame("decisions")
    rows = rows[(rows["kind"] == "share") & (rows["condition"] == 0)]
    dose = np.array([json.loads(each)["dose"] for each in rows["context"]])
    shares = [each for each in answers_by_context(run) if (each.condition, each.question) == (0, "share")]
    found = {each.value: each for each in shares if each.key == "dose"}
    assert list(found) == ["0", "1", "2"]
    for value, each in found.items():
        of = rows[dose == int(value)]
        by_run = {"groups": of["realization"].to_numpy(), "use_correction": True}
        said = of["decision"].to_numpy(float)
        theirs = sm.OLS(said, np.ones(said.size)).fit(cov_type="cluster", cov_kwds=by_run)
        assert each.share == pytest.approx(float(theirs.params[0]), abs=1e-13)
        half = t.ppf(0.975, 3) * float(theirs.bse[0]) / (each.share * (1 - each.share))
        assert [each.low, each.high] == pytest.approx(
            expit(logit(each.share) + np.array([-half, half])), rel=1e-9
        )
        assert (each.n, each.n_realizations) == (said.size, 4)


def test_declared_answers_have_a_share_each_and_numbers_few_of_them(run: Run) -> None:
    shares = [each for each in answers_by_context(run) if each.condition == 1 and each.key == "dose"]
    of = {
        question: [each for each in shares if each.question == question]
        for question in ("view: act", "share")
    }
    for value in ("0", "1", "2"):
        acts = [each for each in of["view: act"] if each.value == value]
        assert {each.answer for each in acts} <= {"like", "share", "ignore"}
        assert sum(each.share for each in acts) == pytest.approx(1.0)
    assert {each.answer for each in of["share"]} == {"yes"}


def test_a_report_of_worlds_tells_answers_by_context_agreement_and_drift(run: Run, report: Report) -> None:
    by_context, convergence, drift = (
        table_of(report, name) for name in ("answers_by_context", "convergence", "drift")
    )
    assert len(by_context.rows) == len(answers_by_context(run))
    assert [row[:4] for row in convergence.rows] == [
        ("mood", "agrees true", 4, 3),
        ("mood", "agrees false", 4, 0),
    ]
    assert drift.rows[0][:2] == (1, pytest.approx(message_drift(run).value[0]))
    assert "embedder hash" in drift.notes[0]
    found = report.parts[0].results(0.95)
    assert len(found["agreement"]) == 2
    assert found["drift"]["n_messages"] == 8


def test_agreement_is_told_by_step_with_what_never_agrees_censored(run: Run) -> None:
    agrees, never = read_agreement(run)
    assert (agrees.name, agrees.condition, never.condition) == ("mood", 0, 1)
    # The repeats agree from steps 0, 1 and 2 on, the last one never.
    late = [np.tile([0.0, 1.0], (3, 1)) for _ in range(4)]
    for repeat, each in enumerate(late):
        each[repeat:] = 1.0
    expected = convergence_time([agreed(each) for each in late])
    assert agrees.time.median == expected.median == 1
    assert agrees.time.mean == pytest.approx(expected.mean)
    assert (never.time.n_censored, never.time.median) == (4, np.inf)


def test_the_interval_of_a_median_step_may_be_one_step(report: Report) -> None:
    part: Any = report.parts[0]
    steps = [2, *[3] * 12, 4]
    times = (
        convergence_time([Agreed(step, censored=False) for step in steps]),
        convergence_time([Agreed(3, censored=False)] * 12),
    )
    made = [replace(each, time=time) for each, time in zip(part.agreement, times, strict=True)]
    found = convergence_table(replace(part, agreement=tuple(made)))
    assert found is not None
    column = list(found.columns).index("median_interval")
    assert [row[column] for row in found.rows] == [(3, 3), None]


class Heard(CascadeExperiment):
    n_agents, degree, steps, repeats, items_per_severity = 24, 4, 4, 2, 1
    rationale = "none"
    told: bool = True

    def context(self, exposure: Exposure) -> dict[str, Any]:
        return {"n_shared": exposure.n_engaged} if self.told else {}


def test_cascades_tell_shares_of_yes_by_fact_and_plain_ones_nothing(play: Callable[..., Run]) -> None:
    run = play(Heard(), seed=2)
    report = make_report([run], QUICK)
    found = table_of(report, "answers_by_context")
    rows = run.frame("decisions")
    rows = rows[rows["kind"] == "exposure"]
    told = np.array([json.loads(each)["n_shared"] for each in rows["context"]])
    said = rows["decision"].to_numpy(float)
    shares = {row[2]: row[4] for row in found.rows if row[0] == "exposure"}
    assert shares == {str(n): pytest.approx(said[told == n].mean()) for n in np.unique(told).tolist()}
    assert table_of(make_report([play(Heard(told=False), seed=2)], QUICK), "answers_by_context") is None


def test_the_figure_has_a_panel_for_each_fact_that_varies(report: Report) -> None:
    from agentnet.report.figures.by_context import of_worlds
    from agentnet.report.figures.style import house_style

    shares = report.parts[0].by_context  # type: ignore[attr-defined]
    with house_style():
        sketch = of_worlds(shares)
    # Of two conditions: one panel of yes for both, one of the acts of each; the channel never varies.
    assert sketch.figure is not None
    assert [axes.get_title(loc="left") for axes in sketch.figure.axes] == [
        *("share", "view: act, condition 0", "view: act, condition 1"),
    ]
    assert "Share by dose: yes" in sketch.alternative


def test_quarters_of_long_numbers_are_told_apart() -> None:
    assert len(set(_labels([20_260_101 + i for i in range(40)]))) == 4
