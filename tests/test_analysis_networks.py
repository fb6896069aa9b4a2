"""Many random regular networks at once: simple, regular, apart from each other, and random enough."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.analysis.pairing import Table, regular_tables
from agentnet.errors import DesignError


@st.composite
def designs(draw: st.DrawFn) -> tuple[int, int, int]:
    n_agents = draw(st.integers(2, 22))
    degree = draw(st.integers(1, n_agents - 1).filter(lambda k: n_agents * k % 2 == 0))
    return draw(st.integers(1, 5)), n_agents, degree


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_simple(table: Table, n_networks: int, n_agents: int, degree: int) -> None:
    own = np.arange(n_networks * n_agents)
    assert table.shape == (degree, own.size)
    assert (table // n_agents == own // n_agents).all(), "a link joins two networks"
    assert (table != own).all(), "an agent is its own neighbour"
    links = set(zip(np.tile(own, degree).tolist(), table.ravel().tolist(), strict=True))
    assert len(links) == table.size, "a link stands twice"
    assert all((b, a) in links for a, b in links), "a link is seen from one end only"


@given(design=designs(), seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_every_network_is_simple_and_regular(design: tuple[int, int, int], seed: int) -> None:
    assert_simple(regular_tables(generator(seed), *design), *design)


def test_crowded_networks_with_many_parallel_links_are_mended_completely() -> None:
    assert_simple(regular_tables(generator(1), 60, 20, 9), 60, 20, 9)


def test_a_network_of_many_agents_is_simple_and_regular() -> None:
    assert_simple(regular_tables(generator(4), 1, 14_000, 5), 1, 14_000, 5)


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_networks_that_resist_mending_are_drawn_anew(rounds: int) -> None:
    assert_simple(regular_tables(generator(2), 40, 9, 2, n_rounds=rounds), 40, 9, 2)


def test_the_same_generator_draws_the_same_networks() -> None:
    one, two, other = (regular_tables(generator(seed), 3, 30, 4) for seed in (5, 5, 6))
    assert (one == two).all()
    assert (one != other).any()


@pytest.mark.parametrize("n_agents", [1024, 1026])
def test_stubs_are_paired_in_the_order_of_whole_random_words(n_agents: int) -> None:
    # In one of eight networks of 1,024 agents the upper halves of two words do not tell which is less.
    n_networks, top = 60, (1 << 64) - 1
    words = generator(3).integers(0, top, size=(n_networks, n_agents), dtype=np.uint64, endpoint=True)
    carried = np.uint64((n_agents - 1).bit_length())
    order = np.argsort(words >> carried, axis=1, kind="stable")
    mate = np.empty_like(order)
    np.put_along_axis(mate, order, np.roll(order, n_agents // 2, axis=1), axis=1)
    table = regular_tables(generator(3), n_networks, n_agents, 1)
    assert (table.reshape(mate.shape) == mate + n_agents * np.arange(n_networks)[:, None]).all()


def test_every_labelled_network_of_six_agents_and_two_neighbours_occurs() -> None:
    n_networks = 3000
    table = regular_tables(generator(0), n_networks, 6, 2) % 6
    seen = {
        frozenset(frozenset((i, int(j))) for i in range(6) for j in network[:, i])
        for network in table.reshape(2, n_networks, 6).transpose(1, 0, 2)
    }
    # 60 hexagons and 10 pairs of triangles.
    assert len(seen) == 70


def test_triangles_are_as_frequent_as_in_uniform_networks() -> None:
    n_networks, n_agents, degree = 400, 128, 5
    table = regular_tables(generator(3), n_networks, n_agents, degree)
    linked = np.zeros((table.shape[1], n_agents), dtype=bool)
    np.put_along_axis(linked, table.T % n_agents, values=True, axis=1)
    corners = sum(
        linked[table[one], table[two] % n_agents].sum() for one, two in combinations(range(degree), 2)
    )
    mean = corners / 3 / n_networks
    expected = (degree - 1) ** 3 / 6
    assert mean == pytest.approx(expected, abs=4 * (expected / n_networks) ** 0.5)


@pytest.mark.parametrize(("n_agents", "degree"), [(5, 3), (4, 4), (4, 0), (3, 7), (2**29, 4)])
def test_impossible_networks_are_refused(n_agents: int, degree: int) -> None:
    with pytest.raises(DesignError, match="degree"):
        regular_tables(generator(0), 1, n_agents, degree)
