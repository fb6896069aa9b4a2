"""A dose that grows with time is confounded by who is left to be asked, and that is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentnet import CascadeExperiment
from agentnet.analysis.reading import read_tables
from agentnet.analysis.survivors import survivors
from agentnet.analysis.tables import RunTables
from agentnet.backend import make_backend
from agentnet.events import Run
from agentnet.exposure import Exposure

SLOPES = re.compile(r"slope is (\S+) \(error (\S+)\) by all questions and (\S+) \(error (\S+)\) by the first")


class Heard(CascadeExperiment):
    n_agents = 96
    degree = 5
    steps = 8
    repeats = 3
    items_per_severity = 2
    rationale = "none"

    def context(self, exposure: Exposure) -> dict[str, Any]:
        return {"n_shared": exposure.n_engaged}

    def remark(self, context: dict[str, Any]) -> str:
        return f"{context['n_shared']} have shared it."


def played(play: Callable[..., Run], slope: float, openness: float) -> RunTables:
    weights = dict.fromkeys(
        ("conscientiousness", "extraversion", "agreeableness", "neuroticism", "severity"), 0.0
    )
    coefficients = weights | {"openness": openness, "intercept": -2.0}
    backend = make_backend("mock", {"coefficients": coefficients, "slopes": {"n_shared": slope}})
    run = play(Heard(), backend=backend, seed=6, sampler={"mode": "logprobs"})
    return read_tables(run, columns=["n_shared"])


def slopes(said: str) -> list[float]:
    found = SLOPES.search(said)
    assert found, said
    return [float(each) for each in found.groups()]


def test_where_the_willing_are_gone_first_questions_keep_the_slope_that_was_planted(
    play: Callable[..., Run],
) -> None:
    said = survivors(played(play, 0.0, 5.0), "n_shared")
    every, error, early, early_error = slopes(said)
    assert every < -5 * error
    assert abs(early) < 3 * early_error
    assert "they differ: trust the first" in said


def test_where_agents_are_alike_both_slopes_are_the_planted_one(play: Callable[..., Run]) -> None:
    tables = played(play, 0.6, 0.0)
    said = survivors(tables, "n_shared")
    every, error, early, early_error = slopes(said)
    assert abs(every - 0.6) < 3 * error
    assert abs(early - 0.6) < 3 * early_error
    assert "they are not told apart" in said
    # What never varies at first questions is not told by them.
    counts = tables.exposures
    first = counts.columns["n_asked"] == 0
    flat = np.where(first, 1.0, counts.columns["n_shared"])
    changed = replace(counts, columns={**counts.columns, "n_shared": flat})
    assert "do not tell a slope" in survivors(replace(tables, exposures=changed), "n_shared")


@pytest.mark.parametrize("dose", ["openness", "n_asked"])
def test_a_dose_that_does_not_grow_so_is_no_matter(play: Callable[..., Run], dose: str) -> None:
    tables = read_tables(play(Heard(steps=3, repeats=1), seed=6), columns=["n_shared"])
    assert survivors(tables, dose) == ""
