"""A law from outside the package, in one file: fitted, judged, in the tables; and right by other means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from agentnet.analysis import LAWS, fit_run, load_laws, read_decisions, read_tables
from agentnet.analysis.covariates import count_exposures
from agentnet.analysis.grouping import as_grouping
from agentnet.analysis.laws import DecisionLaw, Resamples
from agentnet.analysis.tables import RunTables
from agentnet.errors import DesignError, UserError
from agentnet.events import Run
from agentnet.experiment import CascadeExperiment

Array = NDArray[np.float64]

HILL = '''
"""Does a second neighbour who shares count as much as the first?"""

from agentnet.analysis.laws import Between, CurveLaw, DecisionLaw, Positive
import numpy as np


class Hill(DecisionLaw):
    """Probability of a yes by how many neighbours had shared: a Hill curve."""

    title = "Hill curve of {by}"
    parameters = {"top": Between(0, 1), "half": Positive(start=2), "steepness": Positive(start=1)}

    def probability(self, columns, top, half, steepness):
        n = columns[self.by]
        return top * n**steepness / (half**steepness + n**steepness)


class Gompertz(CurveLaw):
    """The engaged fraction by a Gompertz curve."""

    title = "Gompertz curve"
    parameters = {"ceiling": Between(0, 1), "rate": Positive(start=0.3)}

    def curve(self, steps, start, ceiling, rate):
        return ceiling * (start / ceiling) ** np.exp(-rate * steps)
'''
GROUPS = np.arange(32) // 16


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("laws") / "hill.py"
    path.write_text(HILL)
    assert len(HILL.splitlines()) <= 60
    before = set(LAWS)
    yield path
    for name in set(LAWS) - before:
        LAWS.remove(name)


class _Social:
    """Answers by how many neighbours had engaged; plays the truth of a Hill law without a language model."""


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    design = CascadeExperiment(n_agents=64, degree=4, steps=8, repeats=3, items_per_severity=2)
    return play(design, seed=2)


@pytest.fixture(scope="module")
def tables(run: Run) -> RunTables:
    return read_tables(run, columns=["n_engaged", "n_asked", "n_neighbours"])


def test_a_law_from_a_file_is_fitted_judged_and_in_the_tables(file: Path, tables: RunTables) -> None:
    assert load_laws(file) == ("hill", "gompertz")
    found = fit_run(tables, by="n_engaged", groups=GROUPS, n_runs=20, n_bootstrap=20, seed=3)
    assert [each.law for each in found.laws][-2:] == ["hill", "gompertz"]
    assert not found.refused
    assert {"hill", "gompertz"} < {each.law for each in found.scores}
    hill = found.law("hill")
    assert hill.title == "Hill curve of n_engaged"
    assert [each.name for each in hill.parameters] == ["top", "half", "steepness"]
    print(found._repr_html_()[-3000:])
    for each in hill.parameters: print(each)
    for each in found.law("gompertz").parameters: print(each)
    print(found.scores)
    assert 0
