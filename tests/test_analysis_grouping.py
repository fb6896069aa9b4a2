"""Groups of profiles: what may be given, and the likeliest two groups found in exposures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import xlogy

from agentnet.analysis.grouping import as_grouping, group_by_exposures, groups_or_one
from agentnet.analysis.tables import Cells
from agentnet.errors import DesignError


def cells_of(counts: dict[int, tuple[int, int]]) -> Cells:
    """Make cells from (yes, no) by profile, spread over both severities."""
    n_yes, n_no = np.zeros((2, 32, 2), dtype=np.int64)
    for profile, (yes, no) in counts.items():
        n_yes[profile] = (yes // 2, yes - yes // 2)
        n_no[profile] = (no - no // 2, no // 2)
    return Cells(n_yes, n_no)


def log_likelihood(counts: list[tuple[int, int]]) -> float:
    yes, no = np.sum(counts, axis=0)
    return float(xlogy(yes, yes / (yes + no)) + xlogy(no, no / (yes + no)))


answers = st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(any)


@given(st.dictionaries(st.integers(0, 31), answers, min_size=2, max_size=6))
def test_no_two_groups_make_the_decisions_likelier(counts: dict[int, tuple[int, int]]) -> None:
    asked = sorted(counts)
    if len({yes / (yes + no) for yes, no in counts.values()}) == 1:
        with pytest.raises(DesignError, match="do not tell two groups"):
            group_by_exposures(cells_of(counts))
        return
    group = group_by_exposures(cells_of(counts)).group
    two = [[counts[profile] for profile in asked if group[profile] == each] for each in (0, 1)]
    found = sum(map(log_likelihood, two))
    for mask in range(1, 2 ** len(asked) - 1):
        parts: list[list[tuple[int, int]]] = [[], []]
        for place, profile in enumerate(asked):
            parts[mask >> place & 1].append(counts[profile])
        assert found >= sum(map(log_likelihood, parts)) - 1e-9
    low, high = (np.sum(part, axis=0) for part in two)
    assert low[0] / low.sum() < high[0] / high.sum()


def test_profiles_that_were_never_asked_join_their_likes() -> None:
    counts = {profile: (1, 9) if profile < 16 else (9, 1) for profile in range(32)}
    del counts[0b00101], counts[0b11000]
    found = group_by_exposures(cells_of(counts))
    assert found.group.tolist() == [0] * 16 + [1] * 16
    assert "00101, 11000" in found.note
    assert found.source == "exposures of this run"
    # At equal distance from both groups the larger one takes it.
    assert group_by_exposures(cells_of({0: (0, 5), 3: (0, 5), 15: (5, 0)})).group[0b00111] == 0


def test_it_is_said_that_the_groups_come_from_the_same_data() -> None:
    assert "same decisions" in group_by_exposures(cells_of({0: (0, 5), 16: (5, 0)})).note
    assert as_grouping(np.arange(32) % 2).note == ""


@pytest.mark.parametrize(
    "groups",
    [
        np.arange(32) // 16,
        (1 + np.arange(32) // 16).tolist(),
        {f"{profile:05b}": 1 + profile // 16 for profile in reversed(range(32))},
        {profile: profile // 16 for profile in range(32)},
    ],
)
def test_groups_are_given_by_array_or_mapping_from_0_or_1(groups: Any) -> None:
    found = as_grouping(groups)
    assert found.group.tolist() == [0] * 16 + [1] * 16
    assert (found.n_groups, found.sizes, found.source) == (2, (16, 16), "given")


BITS = {f"{profile:05b}": 1 for profile in range(32)}


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (BITS | {"012": 1}, "'012', which is no profile"),
        (BITS | {32: 1}, "32, which is no profile"),
        (BITS | {3: 1}, "profile 00011 twice"),
        (BITS | {"00011": "a"}, "group of profile 00011 is 'a'"),
        (BITS | {"00011": True}, "group of profile 00011 is True"),
        ({"00000": 1}, "none for 00001, 00010"),
        (BITS | {"00011": 3}, "without gaps"),
        (np.arange(31), "32 integers"),
        ([], "32 integers"),
    ],
)
def test_groups_that_are_none_are_refused(groups: Any, words: str) -> None:
    with pytest.raises(DesignError, match=words):
        as_grouping(groups)


def drawn(rate: Any, n: int, seed: int) -> Cells:
    yes = np.random.default_rng(seed).binomial(n, np.broadcast_to(rate, (2, 32)).T)
    return Cells(yes, n - yes)


def test_chance_rarely_makes_two_groups_of_one() -> None:
    found = [groups_or_one(drawn(0.25, 50, seed)) for seed in range(200)]
    # Were the best cut taken as it comes, all would be two; at level 5%, 10 of 200 are expected.
    assert 2 <= sum(each.n_groups == 2 for each in found) <= 20
    one = next(each for each in found if each.n_groups == 1)
    assert "no better than chance makes of one group" in one.note


def test_two_groups_that_differ_are_two() -> None:
    rate = np.where(np.arange(32) < 16, 0.2, 0.4)
    assert all(groups_or_one(drawn(rate, 50, seed)).n_groups == 2 for seed in range(20))
