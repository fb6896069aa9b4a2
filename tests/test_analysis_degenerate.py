"""Runs in which nothing, or everything, or all at once happened: laws are fitted or refused in words."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import agentnet
from agentnet import CascadeExperiment
from agentnet.analysis import algebra
from agentnet.analysis.fits import Fits, fit_run
from agentnet.analysis.laws import LAWS
from agentnet.analysis.laws.cavity import fit_cavity
from agentnet.analysis.laws.mean_field import fit_mean_field
from agentnet.analysis.networks import NetworkDesign, PlayedNetwork
from agentnet.analysis.reading import read_tables
from agentnet.analysis.tables import ExposureCounts, RunTables
from agentnet.backend import make_backend
from agentnet.errors import InputError, UserError
from agentnet.events import Run
from agentnet.report.cascade_tables import parameters_table

Ints = NDArray[np.int64]

HALVES = np.arange(32) // 16
QUICK: dict[str, Any] = {"n_runs": 2, "n_bootstrap": 3}


def network_of(kind: str, n_agents: int, profile: Ints) -> NetworkDesign:
    """Make a complete graph, a ring, or a star."""
    agent = np.arange(n_agents)
    both = {
        "complete": agent[:, None] != agent,
        "ring": np.isin((agent[:, None] - agent) % n_agents, (1, n_agents - 1)),
        "star": (agent[:, None] == 0) != (agent == 0),
    }[kind]
    degree = both.sum(axis=1)
    degrees, n = np.unique(degree, return_counts=True)
    indptr = np.concatenate([[0], np.cumsum(degree)])
    played = PlayedNetwork(0, indptr, np.nonzero(both)[1], profile)
    return NetworkDesign((kind,), 1, fresh=False, degrees=degrees, n_agents=n, played=(played,))


def engaged_when(shape: str, n_steps: int, n_agents: int, draw: st.DrawFn) -> Ints:
    """Give the step at which each agent engages; agent 0 starts."""
    never = n_steps + 1
    if shape == "random":
        steps = st.lists(st.integers(1, never), min_size=n_agents, max_size=n_agents)
        when = np.array(draw(steps), dtype=np.int64)
    else:
        jump = {"at once": 1, "last": max(n_steps, 1), "never": never}[shape]
        when = np.full(n_agents, jump, dtype=np.int64)
    when[0] = 0
    return when


@st.composite
def small_runs(draw: st.DrawFn) -> RunTables:
    """A handful of agents, up to three cascades, counts of decisions that need not even fit the curves."""
    n_agents, n_steps, n = draw(st.integers(3, 7)), draw(st.integers(0, 5)), draw(st.integers(1, 3))
    profile = np.array(draw(st.lists(st.sampled_from([0, 3, 19, 31]), min_size=n_agents, max_size=n_agents)))
    shape = draw(st.sampled_from(["at once", "last", "never", "random"]))
    engaged = np.zeros((n, 32, n_steps + 1), dtype=np.int32)
    for row in range(n):
        when = engaged_when(shape, n_steps, n_agents, draw)
        for agent, step in enumerate(when.tolist()):
            engaged[row, profile[agent], step:] += 1
    counted = st.tuples(
        *(st.integers(0, n - 1), st.integers(1, max(n_steps, 1)), st.sampled_from(profile.tolist())),
        *(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)),
    )
    counts = np.array(draw(st.lists(counted, max_size=12)), dtype=np.int64).reshape(-1, 6)
    exposures = ExposureCounts(*counts[counts[:, 3:].any(axis=1)].T)
    return RunTables(
        run="small",
        status="finished",
        condition={},
        model_name="mock",
        asking_rule=draw(st.sampled_from(["always", "unengaged_neighbour", "once_per_edge"])),
        seeding="first_yes",
        n_steps=n_steps,
        news_ids=("a", "b"),
        realization=np.arange(n),
        news=np.arange(n) % 2,
        severity=np.array(draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=n, max_size=n))),
        last_step=np.full(n, n_steps),
        initial_profile=np.full(n, profile[0]),
        n_seed_attempts=np.ones(n, dtype=np.int64),
        profile_agents=np.tile(np.bincount(profile, minlength=32), (n, 1)),
        engaged=engaged,
        engaged_if_yes=engaged,
        exposures=exposures,
        missing_reasons={"invalid": int(exposures.n_missing.sum())} if exposures.n_missing.any() else {},
        networks=network_of(draw(st.sampled_from(["complete", "ring", "star"])), n_agents, profile),
    )


def said(found: Fits) -> None:
    """Every law is fitted or refused in words, and everything can be written."""
    of_no_column = {name for name in LAWS if not LAWS[name].takes_column}
    assert {each.law for each in (*found.laws, *found.refused)} == of_no_column
    assert all(each.reason for each in found.refused)
    for law in found.laws:
        assert all(bool(each.why_no_interval) == (each.interval is None) for each in law.parameters)
    json.dumps(found.as_json(), allow_nan=False)
    assert parameters_table(found).to_csv()


@given(tables=small_runs(), together=st.booleans())
@settings(max_examples=15)
def test_whatever_a_small_run_holds_laws_end_in_words(tables: RunTables, together: bool) -> None:
    try:
        found = fit_run(tables, groups=HALVES if together else None, **QUICK)
    except UserError as error:
        assert "no law can be fitted to small: " in str(error)  # noqa: PT017 - no law at all is allowed, too
    else:
        said(found)


@pytest.mark.parametrize(
    ("shape", "n_groups"), [(shape, n) for shape in ("at once", "jump", "flat then up") for n in (1, 2)]
)
def test_curves_that_jump_are_fitted_or_refused_in_words(shape: str, n_groups: int) -> None:
    curve = {
        "at once": [0.02, 1, 1, 1, 1, 1],
        "jump": [0.5, 0.5, 0.5, 1, 1, 1],
        "flat then up": [1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 0.9],
    }[shape]
    share = np.full(n_groups, 1 / n_groups)
    for n in (1, 4):
        curves = np.tile(curve, (n, 1))
        mean_field = fit_mean_field(curves, degree=5, group_share=share, n_bootstrap=5)
        cavity = fit_cavity(curves, degree=5, group_share=share, n_bootstrap=5)
        for fit in (mean_field, cavity):
            assert math.isfinite(fit.rmse)
            assert any("no interval" in warning for warning in fit.warnings)
        name = "tau_1"
        assert mean_field.profile(name, n_values=5).interval[0] >= 0.0


def test_groups_that_are_equal_share_their_rate() -> None:
    curve = np.minimum(1.0, 0.01 * 1.9 ** np.arange(9))
    halves = fit_mean_field(curve, degree=6, group_share=(0.5, 0.5), group_yes_ratio=(0.4, 0.4))
    whole = fit_mean_field(curve, degree=6)
    assert halves.rmse <= whole.rmse + 1e-9


def test_singular_equations_get_the_shortest_solution() -> None:
    regular, singular = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])
    broken = np.array([[np.nan, 0.0], [0.0, 1.0]])
    right = np.array([[3.0, 4.0], [2.0, 2.0], [1.0, 1.0]])
    found = algebra.least_norm(np.stack([regular, singular, broken]), right)
    assert found[0] == pytest.approx([1.0, 1.0])
    assert found[1] == pytest.approx([1.0, 1.0])
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize(
    "routine",
    [
        algebra.inverse,
        algebra.pseudo_inverse,
        algebra.eigenvectors,
        algebra.eigenvalues,
        algebra.singular_vectors,
        algebra.rank,
        algebra.null_space,
    ],
)
def test_what_cannot_be_decomposed_is_said_in_words(routine: Callable[[Any], Any]) -> None:
    with pytest.raises(InputError, match="the data determine no estimate"):
        routine(np.full((3, 3), np.nan))


@pytest.mark.parametrize("matrix", [np.zeros((2, 2)), np.ones((2, 2)), np.full((2, 2), 1e-320)])
def test_singular_matrices_have_no_inverse(matrix: NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match="the data determine no estimate"):
        algebra.inverse(matrix)
    assert algebra.log_determinant(matrix) < -700


def test_linear_algebra_meets_data_in_one_place() -> None:
    package = Path(agentnet.__file__).parent
    harmless = {"norm"}
    found = {
        f"{path.relative_to(package)}: {node.attr}"
        for room in ("analysis", "report")
        for path in sorted((package / room).rglob("*.py"))
        if path.name != "algebra.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "linalg"
        and node.attr not in harmless
    }
    assert found == {"analysis/si_integral.py: inv"}, "that one inverts a constant"


def test_a_run_in_which_all_engage_at_once_is_fitted(play: Callable[..., Run]) -> None:
    law = make_backend("mock", {"law": "constant", "probability": 1.0})
    design = CascadeExperiment(n_agents=16, network="complete", steps=4, repeats=2, items_per_severity=1)
    found = fit_run(read_tables(play(design, backend=law)), groups=HALVES, **QUICK)
    assert [each.law for each in found.laws] == ["one_rate", "group_rates", "cavity"]
    said(found)
    assert all("decisions are yes" in each.reason for each in found.refused)
    assert "the same" in found.law("one_rate").parameter("tau").why_no_interval


def test_a_parameter_at_its_bound_in_every_resample_has_no_interval_and_says_why(
    play: Callable[..., Run],
) -> None:
    law = make_backend("mock", {"law": "constant", "probability": 0.97})
    design = CascadeExperiment(n_agents=24, degree=3, steps=5, repeats=4, items_per_severity=1)
    found = fit_run(read_tables(play(design, backend=law)), groups=HALVES, laws=["cavity"], **QUICK)
    (fit,) = found.laws
    points = [each for each in fit.parameters if each.estimate == 1.0]
    assert points
    for each in points:
        assert (each.interval, each.interval_by_news, each.method) == (None, None, "")
        assert "one value" in each.why_no_interval
