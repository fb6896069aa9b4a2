"""Voices compared: shares of yes, times to answer, agreement; in analysis and report."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t
from sklearn.metrics import cohen_kappa_score
from statsmodels.api import OLS
from statsmodels.stats.inter_rater import fleiss_kappa

from agentnet import CascadeExperiment
from agentnet.analysis import answers_by_voice
from agentnet.analysis.by_voice import Voices
from agentnet.events import Run
from agentnet.exposure import Exposure
from agentnet.report.gather import make_report
from agentnet.report.options import Options
from agentnet.report.part import more_tables

QUICK = Options(figures=False, n_runs=1, n_bootstrap=0, laws=("main_effects",))

Row = tuple[int, int, str, int, int | None, str, int | None, str | None, str | None, float | None]


class Rows:
    """Stands for a run of two conditions whose answers are given."""

    folder = Path("run")
    meta: ClassVar = {"experiment": {"design": [{"n": 1}, {"n": 2}], "conditions": [{"n": 1}, {"n": 2}]}}

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        voices = len({row[5] for row in self._rows})
        return [], [(voices,)] if not parameters else [
            row for row in self._rows if parameters[0] in (None, row[0])
        ]


def compared(rows: Sequence[Row], **how: Any) -> Voices:
    return answers_by_voice(cast(Run, Rows(rows)), **how)


def row(realization: int, step: int, voice: str, answer: object, **other: Any) -> Row:
    is_plain = isinstance(answer, bool)
    return (
        other.get("condition", 0),
        realization,
        "view",
        step,
        other.get("message"),
        voice,
        int(cast(bool, answer)) if is_plain else None,
        None if is_plain or answer is None else json.dumps(answer),
        None if answer is not None else "dropped",
        other.get("time_s"),
    )


def test_agreement_and_chance_are_those_of_cohens_kappa() -> None:
    draws = np.random.default_rng(3)
    mine, theirs = draws.choice([*"abc"], (2, 60), p=[0.5, 0.3, 0.2])
    theirs = np.where(draws.random(60) < 0.5, mine, theirs)
    rows = [
        row(step % 5, step, voice, str(said))
        for step in range(60)
        for voice, said in (("human", mine[step]), ("model", theirs[step]))
    ]
    (between,) = compared(rows).agreement
    assert (between.voices, between.n_pairs, between.n_realizations) == (("human", "model"), 60, 5)
    kappa = (between.share - between.by_chance) / (1 - between.by_chance)
    assert kappa == pytest.approx(cohen_kappa_score(mine, theirs), abs=1e-12)


def test_agreement_within_a_voice_is_that_of_fleiss_kappa_and_clustered_by_realization() -> None:
    draws = np.random.default_rng(4)
    said = draws.choice(3, (40, 6), p=[0.6, 0.3, 0.1])
    rows = [row(step % 4, step, "human", int(each)) for step in range(40) for each in said[step]]
    rows += [row(0, 99, "model", 0)]
    (within,) = compared(rows).agreement
    counted = np.array([np.bincount(each, minlength=3) for each in said])
    kappa = (within.share - within.by_chance) / (1 - within.by_chance)
    assert kappa == pytest.approx(fleiss_kappa(counted, method="fleiss"), abs=1e-12)

    alike = np.array([int(a == b) for each in said for i, a in enumerate(each) for b in each[:i]], float)
    groups = np.repeat(np.arange(40) % 4, 15)
    theirs = OLS(alike, np.ones(alike.size)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True}
    )
    # Their correction counts pairs, too: (n - 1) / (n - 1) for one parameter, so that none is left.
    half = t.ppf(0.975, 3) * float(theirs.bse[0]) / (within.share * (1 - within.share))
    assert (within.low, within.high) == pytest.approx(
        tuple(expit(logit(within.share) + np.array([-half, half])))
    )


def test_times_are_geometric_means_of_what_was_waited_for() -> None:
    times = np.array([[1.0, 2.0, 4.0], [3.0, 9.0, 1.0], [8.0, 2.0, 0.5]])
    rows = [row(r, s, "human", True, time_s=float(times[r, s])) for r in range(3) for s in range(3)]
    rows += [row(0, 0, "model", False, time_s=None), row(0, 1, "model", True, time_s=0.0)]
    human, model = compared(rows).answers
    assert (human.n_timed, model.n_timed) == (9, 0)
    assert math.isnan(model.time_s)
    assert human.time_s == pytest.approx(float(np.exp(np.log(times).mean())))
    spread = np.log(times).mean(axis=1).std(ddof=1) / math.sqrt(3) * t.ppf(0.975, 2)
    assert (human.time_low_s, human.time_high_s) == pytest.approx(
        (human.time_s * math.exp(-spread), human.time_s * math.exp(spread))
    )


def test_a_missing_answer_is_neither_no_nor_a_pair() -> None:
    rows = [row(0, 0, "human", None), row(0, 0, "human", True), row(0, 0, "model", True)]
    found = compared(rows)
    human, model = found.answers
    assert (human.n, human.n_missing, human.share, human.n_realizations) == (1, 1, 1.0, 1)
    assert (model.n, model.n_missing) == (1, 0)
    assert [(each.voices, each.n_pairs) for each in found.agreement] == [(("human", "model"), 1)]


def test_a_declared_answer_that_is_missing_is_missing_in_each_of_its_fields() -> None:
    said = {"act": "like", "text": "..."}
    found = compared([row(0, 0, "human", said), row(0, 1, "human", None), row(0, 0, "model", said)])
    missing = {(each.question, each.voice): each.n_missing for each in found.answers}
    assert missing == {
        (f"view: {field}", voice): n for field in ("act", "text") for voice, n in (("human", 1), ("model", 0))
    }


def test_a_voice_that_gave_no_answer_is_listed_with_what_is_missing() -> None:
    human, model = compared([row(0, 0, "human", None), row(0, 0, "model", True)]).answers
    assert (human.voice, human.n, human.n_missing) == ("human", 0, 1)
    assert math.isnan(human.share)
    assert model.n == 1


def test_only_those_who_were_asked_the_same_are_pairs() -> None:
    rows = [
        row(0, 0, "human", True, message=1),
        row(0, 0, "model", True, message=2),
        row(1, 0, "model", True),
    ]
    assert compared(rows).agreement == ()
    rows += [row(0, 0, "model", False, message=1)]
    (pair,) = compared(rows).agreement
    assert (pair.share, pair.n_pairs) == (0.0, 1)


def test_answers_of_many_kinds_have_no_share_of_agreement_and_no_share_of_yes() -> None:
    rows = [row(0, step, voice, f"text {step} of {voice}") for step in range(4) for voice in ("a", "b")]
    found = compared(rows)
    assert found.agreement == ()
    assert all(math.isnan(each.share) for each in found.answers)


def test_of_numbers_the_same_number_is_agreement_however_many_there_are() -> None:
    rows = [row(0, step, voice, step + step % 2 * (voice == "a")) for step in range(10) for voice in "ab"]
    (pair,) = compared(rows).agreement
    assert (pair.share, pair.n_pairs) == (0.5, 10)


def test_conditions_are_apart() -> None:
    rows = [row(0, 0, voice, said, condition=said) for said in (True, False) for voice in ("a", "b")]
    assert [each.share for each in compared(rows).answers] == [0.0, 0.0, 1.0, 1.0]
    assert [each.share for each in compared(rows, condition=1).answers] == [1.0, 1.0]


def test_one_voice_is_compared_with_nothing() -> None:
    assert compared([row(0, 0, "a", True)]) == Voices()


class Mixed(CascadeExperiment):
    n_agents, degree, steps, items_per_severity, repeats, rationale = 24, 4, 3, 1, 3, "none"
    asking_rule = "always"
    voices: dict[str, Any] = {"model": {}, "imitator": "rule"}  # noqa: RUF012

    def deal_voices(self, population: Any, seed: int) -> Sequence[str]:
        return population.deal({"imitator": 0.5, "model": 0.5}, seed)

    def rule(self, exposure: Exposure) -> bool:
        return exposure.n_engaged >= 2


def test_a_report_of_cascades_has_voices_beside_each_other(play: Callable[..., Run]) -> None:
    run = play(Mixed(), seed=5)
    tables = [each for made in more_tables(make_report([run], QUICK).parts[0]).values() for each in made]
    of = {each.name: each for each in tables}
    by_voice = Counter()
    for kind, voice, decision, n in run.rows(
        "SELECT kind, voice, decision, COUNT(*) FROM decisions WHERE missing IS NULL GROUP BY 1, 2, 3"
    )[1]:
        by_voice[kind, voice, decision] += n
    place = [*of["voices"].columns].index
    told = {(each[place("question")], each[place("voice")]): each for each in of["voices"].rows}
    for (kind, voice), each in told.items():
        n = by_voice[kind, voice, 0] + by_voice[kind, voice, 1]
        assert each[place("n")] == n
        assert each[place("share")] == pytest.approx(by_voice[kind, voice, 1] / n)
    assert {("exposure", "model"), ("exposure", "imitator")} <= {*told}
    assert {each[1:3] for each in of["voices_agreement"].rows} >= {("imitator", "model")}


def test_a_report_with_one_voice_has_no_such_table(play: Callable[..., Run]) -> None:
    made = more_tables(make_report([play(Mixed(voices={}), seed=5)], QUICK).parts[0]).values()
    assert not [each.name for some in made for each in some if each.name.startswith("voices")]
