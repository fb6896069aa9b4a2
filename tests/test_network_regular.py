"""Random regular networks: simple, regular, and drawn without preference."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare, poisson

from agentnet.errors import DesignError
from agentnet.network import Network, random_regular
from agentnet.network.generators import regular

relaxed = settings(deadline=None, max_examples=50)
seeds = st.integers(-(2**70), 2**70)


def n_triangles(network):
    """Count triangles by the neighbours that the ends of each edge share."""
    table = network.table
    u, v = network.edges().T
    shared = (table[u][:, :, np.newaxis] == table[v][:, np.newaxis, :]).sum()
    return int(shared) // 3


def all_regular(n_agents, degree):
    """List every labelled regular network, as a set of edges, by serving the first hungry agent first."""

    def serve(hungry, edges):
        agent = next((agent for agent in range(n_agents) if hungry[agent]), None)
        if agent is None:
            yield frozenset(edges)
            return
        last = max((v for u, v in edges if u == agent), default=agent)
        for other in range(last + 1, n_agents):
            if hungry[other]:
                left = list(hungry)
                left[agent] -= 1
                left[other] -= 1
                yield from serve(left, [*edges, (agent, other)])

    return list(serve([degree] * n_agents, []))


def edge_set(network):
    return frozenset(map(tuple, network.edges().tolist()))


def triangle_counts(n_agents, degree, method, n_draws):
    draws = (random_regular(n_agents, degree, seed=seed, method=method) for seed in range(n_draws))
    return np.array([n_triangles(network) for network in draws])


@relaxed
@given(n_agents=st.integers(1, 40), degree=st.integers(0, 39), seed=seeds, data=st.data())
@example(n_agents=4, degree=2, seed=0, data=None)
@example(n_agents=40, degree=19, seed=0, data=None)
def test_every_agent_has_its_degree_and_the_network_is_simple(n_agents, degree, seed, data):
    assume(degree < n_agents and n_agents * degree % 2 == 0)
    method = data.draw(st.sampled_from(["auto", "pairing"])) if data else "pairing"
    network = random_regular(n_agents, degree, seed=seed, method=method)
    assert network.table.shape == (n_agents, degree)
    # The constructor refuses loops, doubles and arcs without their reverse.
    assert Network(network.indptr, network.indices) == network
    assert network == random_regular(n_agents, degree, seed=seed, method=method)


@pytest.mark.parametrize(("n_agents", "degree"), [(5, 2), (6, 2), (6, 3), (7, 2), (8, 3), (9, 4)])
def test_repair_of_the_smallest_pairings_always_ends(n_agents, degree):
    for seed in range(100):
        network = random_regular(n_agents, degree, seed=seed, method="pairing")
        assert Network(network.indptr, network.indices).is_regular


def test_a_large_network_is_simple_and_regular():
    network = random_regular(200_000, 5, seed=3)
    assert Network(network.indptr, network.indices).table.shape == (200_000, 5)


def test_seeds_give_different_networks_and_kinds_of_integers_the_same():
    assert len({random_regular(128, 5, seed=seed) for seed in range(50)}) == 50
    assert random_regular(128, 5, seed=np.int64(9)) == random_regular(128, 5, seed=9)


@pytest.mark.parametrize(("n_agents", "degree"), [(6, 2), (6, 3)])
def test_rejection_prefers_no_network(n_agents, degree):
    # Degree 3 of 6 agents is drawn as its complement, of degree 2.
    possible = all_regular(n_agents, degree)
    assert len(possible) == 70
    found = Counter(
        edge_set(random_regular(n_agents, degree, seed=seed, method="rejection")) for seed in range(1400)
    )
    assert set(found) <= set(possible)
    assert chisquare([found[network] for network in possible]).pvalue > 0.001


# From going through all 19,355 networks of 8 agents and degree 3: how many have so many triangles.
CUBIC_TRIANGLES = {0: 3360, 1: 3360, 2: 10_080, 4: 2520, 8: 35}


def test_auto_has_the_exact_number_of_triangles_at_eight_agents():
    found = Counter(triangle_counts(8, 3, "auto", 1400).tolist())
    assert set(found) <= set(CUBIC_TRIANGLES)
    # Eight triangles, two disjoint K4, are too rare for a cell of their own.
    observed = [found[0], found[1], found[2], found[4] + found[8]]
    assert chisquare(observed, np.array([3360, 3360, 10_080, 2555]) * 1400 / 19_355).pvalue > 0.001


@pytest.mark.parametrize(
    ("n_agents", "degree", "method"),
    [
        (8, 3, "rejection"),
        (146, 4, "rejection"),
        (147, 4, "pairing"),
        (128, 5, "pairing"),
        (128, 123, "rejection"),
    ],
)
def test_auto_rejects_where_that_is_cheap(n_agents, degree, method):
    auto = random_regular(n_agents, degree, seed=3)
    assert auto == random_regular(n_agents, degree, seed=3, method=method)
    other = {"rejection": "pairing", "pairing": "rejection"}[method]
    assert auto != random_regular(n_agents, degree, seed=3, method=other)


def test_pairing_is_nearly_uniform_already_at_eight_agents():
    found = Counter(triangle_counts(8, 3, "pairing", 1400).tolist())
    assert set(found) <= set(CUBIC_TRIANGLES)
    apart = sum(abs(number / 19_355 - found[count] / 1400) for count, number in CUBIC_TRIANGLES.items())
    assert apart / 2 < 0.06


def test_a_repair_that_gets_stuck_begins_anew():
    # Three agents of degree two are a triangle, which few repairs of three edges reach.
    triangle = [[1, 2], [0, 2], [0, 1]]
    rng = np.random.default_rng(0)
    assert all(regular._by_pairing(3, 2, rng).tolist() == triangle for _ in range(30))


@pytest.mark.parametrize(("n_agents", "degree"), [(40, 3), (48, 4)])
def test_pairing_has_as_many_triangles_as_rejection(n_agents, degree):
    paired = triangle_counts(n_agents, degree, "pairing", 600)
    rejected = triangle_counts(n_agents, degree, "rejection", 600)
    top = int(np.quantile(rejected, 0.98))
    counts = [np.bincount(np.minimum(sample, top), minlength=top + 1) for sample in (paired, rejected)]
    filled = np.array(counts)[:, np.sum(counts, axis=0) > 0]
    assert chi2_contingency(filled).pvalue > 0.001


def test_pairing_prefers_no_pair_of_agents():
    together = np.zeros((16, 16))
    for seed in range(1000):
        network = random_regular(16, 3, seed=seed, method="pairing")
        u, v = network.edges().T
        together[u, v] += 1
    pairs = together[np.triu_indices(16, 1)]
    # Edges of one network exclude each other, which makes the statistic smaller than chi-square, not larger.
    assert chisquare(pairs).pvalue > 0.001


def test_triangles_of_large_networks_are_poisson_with_the_known_mean():
    # Bollobas 1980: (k - 1)^3 / 6 triangles in the limit.
    mean = 4**3 / 6
    counts = triangle_counts(2000, 5, "pairing", 250)
    assert counts.mean() == pytest.approx(mean, abs=4 * math.sqrt(mean / 250))
    edges = [6, 8, 9, 10, 11, 12, 13, 15]
    observed = np.histogram(counts, [0, *edges, 1000])[0]
    below = poisson.cdf(np.array(edges) - 1, mean)
    expected = 250 * np.diff([0.0, *below, 1.0])
    assert chisquare(observed, expected).pvalue > 0.001


def test_faults_of_a_pairing_are_as_many_as_theory_says():
    # (k - 1) / 2 loops and (k - 1)^2 / 4 double edges in the limit: else the pairing itself is biased.
    rng = np.random.default_rng(5)
    faults = [
        fault for _ in range(300) for fault in regular._faults(regular._random_arcs(1000, 5, rng), 1000)
    ]
    n_loops = sum(a == b for a, b in faults)
    assert n_loops / 300 == pytest.approx(2, abs=4 * math.sqrt(2 / 300))
    assert (len(faults) - n_loops) / 300 == pytest.approx(4, abs=4 * math.sqrt(4 / 300))


def test_faults_list_every_loop_and_every_surplus_copy():
    u = np.array([0, 0, 1, 1, 1, 3, 3, 4])
    v = np.array([0, 0, 2, 2, 2, 4, 4, 5])
    arcs = regular.sorted_arcs(u, v, 6)
    assert sorted(regular._faults(arcs, 6)) == [(0, 0), (0, 0), (1, 2), (1, 2), (3, 4)]


def test_a_repair_that_is_stuck_says_so():
    # A double edge between the only two agents: no other edge to switch with.
    repair = regular._Repair(np.array([[1, 1], [0, 0]], dtype=np.int32), np.random.default_rng(0))
    assert not repair.mend(0, 1)


def test_a_fault_mended_in_passing_is_left_alone():
    table = np.array([[1, 2], [0, 2], [0, 1]], dtype=np.int32)
    repair = regular._Repair(table.copy(), np.random.default_rng(0))
    assert repair.mend(0, 1)
    assert (repair.finish() == table).all()


@relaxed
@given(n_agents=st.integers(2, 30), data=st.data(), seed=seeds)
def test_the_complement_of_the_complement_is_the_network(n_agents, data, seed):
    degree = data.draw(st.integers(0, n_agents - 1).filter(lambda degree: n_agents * degree % 2 == 0))
    table = random_regular(n_agents, degree, seed=seed).table
    other = regular.complement(table)
    assert other.shape == (n_agents, n_agents - 1 - degree)
    assert (
        np.sort(np.hstack((table, other)), axis=1)
        == np.delete(
            np.tile(np.arange(n_agents), (n_agents, 1)),
            np.arange(n_agents) * (n_agents + 1),
        ).reshape(n_agents, n_agents - 1)
    ).all()
    assert (regular.complement(other) == table).all()


@pytest.mark.parametrize(
    ("n_agents", "degree", "options", "complaint"),
    [
        (7, 3, {}, "7 agents cannot all have 3 neighbours: .* take an even `degree` or 8 agents"),
        (6, 6, {}, "`degree` 6 needs at least 7 agents, not 6: raise `n_agents` or lower `degree`"),
        (6, -1, {}, "`degree` must be at least 0, not -1"),
        (6, 2.5, {}, "`degree` must be a whole number, not 2.5"),
        (-6, 2, {}, "`n_agents` must be at least 1, not -6"),
        (6, 2, {"seed": None}, "`seed` must be a whole number, not None"),
        (6, 2, {"seed": 1.5}, "`seed` must be a whole number"),
        (6, 2, {"method": "pairs"}, "there is no method 'pairs'; did you mean 'pairing'?"),
        (6, 2, {"method": "x"}, "there is no method 'x'; known: auto, pairing, rejection"),
        (
            100,
            20,
            {"method": "rejection"},
            "needs more than 100000 pairings at degree 20; use `pairing`",
        ),
        (1000, 60, {"method": "rejection"}, "needs more than 100000 pairings at degree 60"),
        (2**31 - 2, 10, {}, r"about 1.1e\+10 edges, and 2147483648 are the most it may have"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_way_out(n_agents, degree, options, complaint):
    with pytest.raises(DesignError, match=complaint):
        random_regular(n_agents, degree, **{"seed": 0, **options})


def test_rejection_gives_up_in_the_end_and_names_pairing():
    with pytest.raises(
        DesignError, match="no simple network of 60 agents and degree 4 among 50 pairings; use"
    ):
        regular._by_rejection(60, 4, np.random.default_rng(2), 50)
