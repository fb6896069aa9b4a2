"""The decisions to browse are those of the log, the same each time, as many of each answer as can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet import CascadeExperiment, ResponseRatioExperiment
from agentnet.backend import make_backend
from agentnet.events import Run
from agentnet.report.log_facts import realizations_of
from agentnet.report.sample import _shares, sample_decisions

DESIGN: dict[str, Any] = {"n_agents": 32, "degree": 4, "steps": 5, "repeats": 1, "items_per_severity": 1}


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    """Two conditions of two cascades each, with missing answers."""
    backend = make_backend("mock", {"invalid_rate": 0.1})
    designs = (CascadeExperiment(**DESIGN), CascadeExperiment(**DESIGN | {"degree": 6}))
    return play(*designs, backend=backend, max_asks=1)


@pytest.fixture(scope="module")
def ratios(play: Callable[..., Run]) -> Run:
    return play(ResponseRatioExperiment(items_per_severity=1, repeats=3))


def identity(each: Any) -> tuple[Any, ...]:
    return (each.realization, each.step, each.agent, each.source, each.profile, each.temperature, each.text)


def test_each_shown_decision_is_one_of_the_log_with_its_words(run: Run) -> None:
    sample = sample_decisions(run, "exposure", n=60, seed=1)
    logged = {identity(row): row for row in run.frame("decisions").query("kind == 'exposure'").itertuples()}
    assert len({identity(each) for each in sample.decisions}) == len(sample.decisions) == 60
    for each in sample.decisions:
        row = logged[identity(each)]
        assert each.rationale == row.rationale
        assert each.news == row.news
        assert (each.missing or None) == (row.missing if isinstance(row.missing, str) else None)


def test_answers_have_as_many_places_each(run: Run) -> None:
    sample = sample_decisions(run, "exposure", n=60, seed=1)
    assert sample.n_shown == {"yes": 20, "no": 20, "missing": 20}
    assert Counter(each.answer for each in sample.decisions) == sample.n_shown
    n_of = dict(
        run.query("SELECT IFNULL(decision, -1) AS d, COUNT(*) AS n FROM events GROUP BY d").to_numpy()
    )
    seeds = run.query("SELECT COUNT(*) AS n FROM events WHERE kind = 'seed'").n.item()
    assert sum(sample.n_of.values()) == sum(n_of.values()) - seeds


def test_the_same_seed_draws_the_same_ones_and_another_seed_others(run: Run) -> None:
    first, again, other = (sample_decisions(run, "exposure", n=30, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert set(map(identity, first.decisions)) != set(map(identity, other.decisions))


def test_a_larger_sample_holds_the_smaller_one(run: Run) -> None:
    few, many = (sample_decisions(run, "exposure", n=n, seed=1) for n in (15, 60))
    assert set(map(identity, few.decisions)) < set(map(identity, many.decisions))


def test_where_there_are_fewer_all_are_shown(run: Run) -> None:
    sample = sample_decisions(run, "seed", n=10_000, seed=1)
    assert sample.n_shown == sample.n_of
    assert len(sample.decisions) == sum(sample.n_of.values()) > 0


def test_repeats_of_one_question_are_told_apart(ratios: Run) -> None:
    sample = sample_decisions(ratios, "ratio", n=10_000, seed=1)
    logged = ratios.frame("decisions")
    assert len(sample.decisions) == len(logged) == 2 * 32 * 3
    assert Counter(each.temperature for each in sample.decisions) == Counter(logged.temperature)


def test_a_condition_shows_its_own_realizations(run: Run) -> None:
    found = [realizations_of(run, condition) for condition in (0, 1)]
    assert [each.tolist() for each in found] == [[0, 1], [2, 3]]
    sample = sample_decisions(run, "exposure", n=40, seed=1, realizations=found[1])
    assert {each.realization for each in sample.decisions} == {2, 3}
    whole = sample_decisions(run, "exposure", n=0, seed=1)
    other = sample_decisions(run, "exposure", n=0, seed=1, realizations=found[0])
    assert sum(sample.n_of.values()) + sum(other.n_of.values()) == sum(whole.n_of.values())


@given(sizes=st.lists(st.integers(0, 50), min_size=3, max_size=3), n=st.integers(0, 100))
def test_places_are_shared_out_as_evenly_as_sizes_allow(sizes: list[int], n: int) -> None:
    shares = _shares(sizes, n)
    assert sum(shares) == min(n, sum(sizes))
    assert all(0 <= share <= size for share, size in zip(shares, sizes, strict=True))
    open_ = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    assert not open_ or max(shares) - min(open_) <= 1
