"""Laws of decisions on what agents of free worlds answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel

from agentnet import Ask, WorldExperiment
from agentnet.analysis.asks import read_asks
from agentnet.analysis.fits import Fits, fit_run
from agentnet.analysis.reading import read_tables
from agentnet.backend import make_backend
from agentnet.errors import UserError
from agentnet.events import Run

Command = Callable[..., Any]


class View(BaseModel):
    act: Literal["like", "share", "ignore"]
    sure: bool


class Liked(WorldExperiment):
    """Each agent sees posts with any number of likes, and says whether it shares, and what it does."""

    n_agents, repeats = 12, 4
    network, degree = "random_regular", 3

    def play(self, s: Any) -> Any:
        for turn in range(3):
            doses = [(agent + turn) % 4 for agent in s.agents]
            told = [
                {"likes": dose, "channel": ("feed", "mail")[agent % 2]} for agent, dose in enumerate(doses)
            ]
            yield [
                Ask(agent, f"{told[agent]}: share?", answer=bool, kind="share", context=told[agent])
                for agent in s.agents
            ]
            yield [
                Ask(agent, f"{told[agent]}: and now?", answer=View, kind="view", context=told[agent])
                for agent in s.agents
            ]


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    backend = make_backend(
        "mock", {"slopes": {"likes": 0.5}, "coefficients": {"openness": 1.0, "intercept": -2.0}}
    )
    return play(Liked(), backend=backend, seed=4)


def fitted(run: Run, of: str, *by: str, law: str = "column_logistic") -> Fits:
    return fit_run(read_asks(run, of, columns=by), laws=[law], by=by)


@pytest.mark.parametrize("of", ["share", "act=share", "sure=yes"])
def test_a_logistic_law_of_contexts_is_that_of_statsmodels(run: Run, of: str) -> None:
    from statsmodels.api import Logit

    fits = fitted(run, of, "likes", "channel=mail", "openness")
    rows = run.frame("decisions")
    rows = rows[rows["kind"] == ("share" if of == "share" else "view")]
    told = [json.loads(each) for each in rows["context"]]
    design = np.array(
        [
            [1.0, each["likes"], each["channel"] == "mail", bits[0] == "1"]
            for each, bits in zip(told, rows["profile"], strict=True)
        ]
    )
    if of == "share":
        said = rows["decision"].to_numpy(np.float64)
    else:
        name, wanted = of.split("=")
        answers = [json.loads(each)[name] for each in rows["value"]]
        said = np.array([each == wanted or each is True for each in answers], np.float64)
    theirs = Logit(said, design).fit(disp=0, tol=1e-14)
    found = fits.law("column_logistic")
    assert [each.estimate for each in found.parameters] == pytest.approx(theirs.params.tolist(), abs=1e-9)
    assert [each.standard_error for each in found.parameters] == pytest.approx(theirs.bse.tolist(), rel=1e-7)
    assert all(each.error_by_realization for each in found.parameters)
    assert "no cascades can be inferred" in " ".join(found.warnings)
    assert fits.scores == ()


def test_one_kind_of_yes_and_no_needs_no_name(run: Run) -> None:
    named, not_named = (read_asks(run, of, columns=["likes"]) for of in ("share", ""))
    assert (named.exposures.n_yes == not_named.exposures.n_yes).all()
    assert named.n_exposures == 3 * 12 * 4
    assert json.dumps(fitted(run, "", "likes", law="hill").as_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ("shar", "there are no such answers: 'shar'"),
        ("act=liek", "no answer has act = 'liek'; did you mean 'like'"),
        ("acts=like", "'acts'; did you mean 'act'"),
        ("view", "questions of yes and no: share; others by a value of theirs .*: view, act, sure"),
    ],
)
def test_a_yes_that_is_none_is_refused_with_those_there_are(run: Run, of: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_asks(run, of)


@pytest.mark.parametrize("number", [1, -1])
def test_a_condition_that_is_not_there_is_refused(run: Run, number: int) -> None:
    with pytest.raises(UserError, match=f"has no condition {number}; they are numbered 0 to 0"):
        read_asks(run, "share", condition=number)


def test_the_command_fits_a_law_to_a_free_world(command: Command, run: Run) -> None:
    done = command("fit", run.folder, "--law", "hill", "--by", "likes", "--of", "act=share")
    assert done.code == 0, done.err
    assert "144 answers" in done.out
    assert "Hill curve of likes" in done.out
    assert "a yes is 'act=share'" in done.out
    refused = command("fit", run.folder, "--by", "act", "--of", "act=share")
    assert refused.code == 2
    assert "settles the decision" in refused.out + refused.err


def test_cascades_and_worlds_are_not_taken_for_each_other(run: Run, play: Callable[..., Run]) -> None:
    with pytest.raises(UserError, match="is a run of free worlds, not of cascades"):
        read_tables(run)
