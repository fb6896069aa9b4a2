"""The generators beside random regular: their laws, their ranges, and their look-up by name."""

import math
from collections import Counter
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2_contingency, chisquare, ttest_ind

from agentnet.errors import DesignError
from agentnet.network import (
    GENERATORS,
    Network,
    barabasi_albert,
    complete,
    erdos_renyi,
    make_network,
    random_regular,
    stochastic_block,
    watts_strogatz,
)
from agentnet.network.generators import random_graphs, small_world

relaxed = settings(deadline=None, max_examples=30)
seeds = st.integers(-(2**70), 2**70)
chances = st.one_of(st.sampled_from([0.0, 1.0, 1e-300, 0.5]), st.floats(0, 1))


def assert_simple(network, n_agents):
    # The constructor refuses loops, doubles and arcs without their reverse.
    assert Network(network.indptr, network.indices) == network
    assert network.n_agents == n_agents


def n_sigmas(count, n_pairs, chance):
    return abs(count - n_pairs * chance) / math.sqrt(n_pairs * chance * (1 - chance))


def graph_law(chance_of):
    """Give the probability of each network of 4 agents whose pairs are joined independently."""
    pairs = list(combinations(range(4), 2))
    law = {}
    for joined in (set(edges) for size in range(7) for edges in combinations(pairs, size)):
        chances = [chance_of[pair] if pair in joined else 1 - chance_of[pair] for pair in pairs]
        law[frozenset(joined)] = math.prod(chances)
    return law


def assert_follows(law, draws):
    found = Counter(edge_set(network.edges().tolist()) for network in draws)
    assert set(found) <= set(law)
    n_draws = found.total()
    usual = [edges for edges, chance in law.items() if chance * n_draws >= 5]
    observed = [found[edges] for edges in usual]
    expected = [law[edges] * n_draws for edges in usual]
    observed.append(n_draws - sum(observed))
    expected.append(n_draws - sum(expected))
    assert chisquare(observed, expected).pvalue > 0.001


@given(n_agents=st.integers(1, 40))
def test_in_a_complete_network_everyone_hears_everyone(n_agents):
    network = complete(n_agents)
    for agent in range(n_agents):
        assert network.neighbours(agent).tolist() == [other for other in range(n_agents) if other != agent]
    assert network.is_regular


@relaxed
@given(n_agents=st.integers(1, 60), probability=chances, seed=seeds)
def test_erdos_renyi_is_simple_and_fixed_by_its_seed(n_agents, probability, seed):
    network = erdos_renyi(n_agents, probability, seed=seed)
    assert_simple(network, n_agents)
    assert network == erdos_renyi(n_agents, probability, seed=seed)
    if probability in (0.0, 1.0):
        assert network.n_edges == probability * n_agents * (n_agents - 1) / 2


@pytest.mark.parametrize("probability", [0.3, 0.7])
def test_erdos_renyi_draws_each_network_with_its_probability(probability):
    law = graph_law(dict.fromkeys(combinations(range(4), 2), probability))
    assert_follows(law, (erdos_renyi(4, probability, seed=seed) for seed in range(1200)))


def test_erdos_renyi_has_binomial_degrees_when_large():
    n_agents, probability = 20_000, 4 / 19_999
    network = erdos_renyi(n_agents, probability, seed=11)
    assert n_sigmas(network.n_edges, n_agents * (n_agents - 1) / 2, probability) < 4
    observed = np.bincount(np.minimum(network.degree, 10), minlength=11)
    expected = n_agents * binom.pmf(np.arange(11), n_agents - 1, probability)
    expected[10] = n_agents - expected[:10].sum()
    assert chisquare(observed, expected).pvalue > 0.001


@relaxed
@given(n_pairs=st.integers(0, 2**61), expected=st.floats(0, 200), seed=seeds)
def test_successes_ascend_and_stay_in_range_at_any_chance(n_pairs, expected, seed):
    rng = np.random.default_rng(abs(seed))
    numbers = random_graphs._successes(n_pairs, min(1.0, expected / max(1, n_pairs)), rng)
    assert (np.diff(numbers) > 0).all()
    assert ((numbers >= 0) & (numbers < n_pairs)).all()


def test_gaps_that_lead_out_of_range_do_not_overflow():
    for seed in range(100):
        numbers = random_graphs._successes(2**61, 0.6 / 2**61, np.random.default_rng(seed))
        assert len(numbers) < 8
        assert ((numbers >= 0) & (numbers < 2**61)).all()


def test_successes_reach_to_the_end_of_the_range():
    for seed in range(100):
        numbers = random_graphs._successes(10_000, 0.5, np.random.default_rng(seed))
        assert numbers[-1] > 10_000 - 30
        assert n_sigmas(len(numbers), 10_000, 0.5) < 5


@relaxed
@given(half=st.integers(0, 5), spare=st.integers(1, 30), rewiring=chances, seed=seeds)
def test_watts_strogatz_is_simple_and_each_agent_keeps_half_its_degree(half, spare, rewiring, seed):
    n_agents = 2 * half + spare
    network = watts_strogatz(n_agents, 2 * half, rewiring, seed=seed)
    assert_simple(network, n_agents)
    assert network.n_edges == n_agents * half
    assert network.degree.min() >= half
    assert network == watts_strogatz(n_agents, 2 * half, rewiring, seed=seed)


@pytest.mark.parametrize(("n_agents", "degree"), [(20, 4), (9, 8), (11, 2), (5, 0)])
def test_watts_strogatz_without_rewiring_is_the_ring(n_agents, degree):
    network = watts_strogatz(n_agents, degree, 0.0, seed=1)
    assert network == Network.from_networkx(nx.watts_strogatz_graph(n_agents, degree, 0.0))


def test_clustering_of_the_ring_is_the_known_one():
    # Watts and Strogatz 1998: 3 (k - 2) / 4 (k - 1).
    ring = watts_strogatz(60, 8, 0.0, seed=1).to_networkx()
    assert nx.average_clustering(ring) == pytest.approx(3 * 6 / (4 * 7))


def test_fully_rewired_clustering_is_that_of_chance():
    clustering = nx.average_clustering(watts_strogatz(2000, 10, 1.0, seed=1).to_networkx())
    assert clustering == pytest.approx(10 / 2000, abs=0.002)


def test_watts_strogatz_draws_each_network_as_often_as_networkx():
    # On five agents nearly every move meets another one, so their order decides.
    ours = Counter(edge_set(watts_strogatz(5, 2, 1.0, seed=seed).edges().tolist()) for seed in range(1000))
    theirs = Counter(edge_set(nx.watts_strogatz_graph(5, 2, 1.0, seed=seed).edges()) for seed in range(1000))
    counts = [[sample[edges] for edges in ours | theirs] for sample in (ours, theirs)]
    assert len(counts[0]) > 60
    assert chi2_contingency(counts).pvalue > 0.001


@pytest.mark.parametrize(("degree", "rewiring"), [(6, 0.2), (6, 1.0), (16, 0.5)])
def test_watts_strogatz_agrees_with_networkx(degree, rewiring):
    ours = [watts_strogatz(24, degree, rewiring, seed=seed).to_networkx() for seed in range(80)]
    theirs = [nx.watts_strogatz_graph(24, degree, rewiring, seed=seed) for seed in range(80)]
    for measure in (nx.transitivity, degree_variance, n_short_edges):
        assert (
            ttest_ind([measure(graph) for graph in ours], [measure(graph) for graph in theirs]).pvalue > 0.001
        )


def degree_variance(graph):
    return np.var([degree for _, degree in graph.degree()])


def n_short_edges(graph):
    return sum(min((u - v) % 24, (v - u) % 24) <= 3 for u, v in graph.edges())


def edge_set(edges):
    return frozenset((min(edge), max(edge)) for edge in edges)


def test_each_edge_of_the_ring_moves_with_the_probability_of_rewiring():
    # In a large ring a rewired edge is all but never a ring's edge again.
    u, v = watts_strogatz(20_000, 6, 0.3, seed=5).edges().T
    distance = np.minimum(v - u, 20_000 - (v - u))
    assert n_sigmas((distance > 3).sum(), 60_000, 0.3) < 4


@pytest.mark.parametrize("n_agents", [1, 3, 7])
def test_in_a_complete_ring_nothing_can_move(n_agents):
    assert watts_strogatz(n_agents, n_agents - 1, 1.0, seed=1) == complete(n_agents)


def test_an_edge_without_a_free_target_stays():
    # Six agents of degree four miss three pairs: most edges find none of them at their near end.
    for seed in range(30):
        network = watts_strogatz(6, 4, 1.0, seed=seed)
        assert_simple(network, 6)
        assert network.n_edges == 12


def test_an_earlier_move_takes_the_target_of_a_later_one():
    # Five agents; the first edge, (0, 1), can only go to agent 3, where the fourth, (3, 4), meant to go.
    target = np.array([1, 4, 4, 0, 2])
    key = np.array([3], dtype=np.uint64)
    chosen = np.ones(5, dtype=np.bool_)
    rng = np.random.default_rng(0)
    turns = small_world._Turns(5, 1, chosen, np.arange(5), target, key, np.array([3]), 3, rng)
    turns._taken.add(2)
    turns.play([0])
    assert target[0] == 3
    assert target[3] in (1, 2)


def test_a_large_rewired_ring_is_simple():
    assert_simple(watts_strogatz(30_000, 6, 1.0, seed=1), 30_000)


@relaxed
@given(links=st.integers(1, 8), spare=st.integers(1, 40), seed=seeds)
def test_barabasi_albert_gives_each_newcomer_its_links_to_earlier_agents(links, spare, seed):
    n_agents = links + spare
    network = barabasi_albert(n_agents, links, seed=seed)
    assert_simple(network, n_agents)
    assert network.n_edges == links * (n_agents - links)
    assert network.degree.sum() == 2 * links * (n_agents - links)
    for agent in range(links, n_agents):
        assert (network.neighbours(agent) < agent).sum() == links
    assert network == barabasi_albert(n_agents, links, seed=seed)


def test_barabasi_albert_attaches_in_proportion_to_degree():
    # Agent 2 is joined to 0 and 1. Agent 3 finds degrees 1, 1, 2: {0, 1} has probability 1/4 * 1/3 * 2.
    draws = (barabasi_albert(4, 2, seed=seed) for seed in range(1200))
    found = Counter(tuple(network.neighbours(3).tolist()) for network in draws)
    observed = [found[pair] for pair in ((0, 1), (0, 2), (1, 2))]
    assert chisquare(observed, np.array([2, 5, 5]) * 1200 / 12).pvalue > 0.001


def test_barabasi_albert_agrees_with_networkx():
    ours = [barabasi_albert(300, 2, seed=seed).degree for seed in range(60)]
    graphs = [nx.barabasi_albert_graph(300, 2, seed=seed) for seed in range(60)]
    theirs = [np.array([degree for _, degree in graph.degree()]) for graph in graphs]
    for measure in (np.max, np.var, lambda degree: (degree == 2).sum()):
        assert (
            ttest_ind([measure(degree) for degree in ours], [measure(degree) for degree in theirs]).pvalue
            > 0.001
        )


@relaxed
@given(sizes=st.lists(st.integers(1, 15), min_size=1, max_size=4), data=st.data(), seed=seeds)
def test_stochastic_block_is_simple_and_says_who_is_in_which_block(sizes, data, seed):
    table = np.array(data.draw(st.lists(chances, min_size=16, max_size=16))).reshape(4, 4)[
        : len(sizes), : len(sizes)
    ]
    network = stochastic_block(sizes, np.triu(table) + np.triu(table, 1).T, seed=seed)
    assert_simple(network, sum(sizes))
    blocks = network.node_attributes["block"]
    assert [blocks.count(block) for block in range(len(sizes))] == sizes
    assert list(blocks) == sorted(blocks)


def test_stochastic_block_draws_each_network_with_its_probability():
    law = graph_law({(0, 1): 0.8, (0, 2): 0.3, (0, 3): 0.3, (1, 2): 0.3, (1, 3): 0.3, (2, 3): 0.5})
    draws = (stochastic_block([2, 2], [[0.8, 0.3], [0.3, 0.5]], seed=seed) for seed in range(1200))
    assert_follows(law, draws)


def test_stochastic_block_has_the_density_of_each_pair_of_blocks():
    sizes = [300, 500, 200]
    chances = np.array([[0.05, 0.01, 0.0], [0.01, 0.03, 0.02], [0.0, 0.02, 1.0]])
    network = stochastic_block(sizes, chances.tolist(), seed=4)
    block = np.array(network.node_attributes["block"])
    found = Counter(map(tuple, np.sort(block[network.edges()], axis=1).tolist()))
    for i, j in ((0, 0), (0, 1), (1, 1), (1, 2)):
        n_pairs = sizes[i] * (sizes[i] - 1) / 2 if i == j else sizes[i] * sizes[j]
        assert n_sigmas(found[i, j], n_pairs, chances[i, j]) < 4
    assert found[0, 2] == 0
    assert found[2, 2] == 200 * 199 / 2


EXAMPLES = {
    "random_regular": {"degree": 4},
    "erdos_renyi": {"probability": 0.2},
    "watts_strogatz": {"degree": 4, "rewiring": 0.1},
    "barabasi_albert": {"links": 2},
    "stochastic_block": {"sizes": [10, 20], "probabilities": [[0.5, 0.1], [0.1, 0.4]]},
    "complete": {},
}


def test_every_generator_is_found_by_its_name_and_none_can_be_added():
    assert set(GENERATORS) == set(EXAMPLES)
    with pytest.raises(TypeError):
        GENERATORS["mine"] = complete


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_network_made_by_name_is_that_of_the_generator(kind):
    options = EXAMPLES[kind]
    given = {"n_agents": 30, "seed": 6}
    if kind == "stochastic_block":
        del given["n_agents"]
    if kind == "complete":
        del given["seed"]
    network = make_network(kind, n_agents=30, seed=6, **options)
    assert network == GENERATORS[kind](**given, **options)
    assert network.name == kind
    if kind != "complete":
        assert network != make_network(kind, n_agents=30, seed=7, **options)


def test_the_method_is_an_option_too():
    paired = make_network("random_regular", n_agents=10, seed=1, degree=3, method="pairing")
    assert paired == random_regular(10, 3, seed=1, method="pairing")
    assert paired != make_network("random_regular", n_agents=10, seed=1, degree=3)


@pytest.mark.parametrize(
    ("kind", "options", "complaint"),
    [
        (
            "random_regula",
            {},
            "there is no network generator 'random_regula'; did you mean 'random_regular'?",
        ),
        ("lattice", {}, "no network generator 'lattice'; known: barabasi_albert, complete, "),
        ("random_regular", {"degre": 3}, "random_regular has no option 'degre'; did you mean 'degree'?"),
        ("complete", {"degree": 3}, "complete has no option 'degree'; it has none"),
        ("erdos_renyi", {"zeta": 1}, "erdos_renyi has no option 'zeta'; known: probability"),
        ("watts_strogatz", {"degree": 4}, "watts_strogatz needs `rewiring`$"),
        ("watts_strogatz", {}, "watts_strogatz needs `degree` and `rewiring`$"),
        (
            "stochastic_block",
            EXAMPLES["stochastic_block"],
            "`sizes` add up to 30 agents, but `n_agents` is 10",
        ),
        ("erdos_renyi", {"probability": 1.5}, "`probability` must lie from 0 to 1, not 1.5"),
        ("erdos_renyi", {"probability": math.nan}, "`probability` must lie from 0 to 1, not nan"),
        ("erdos_renyi", {"probability": "0.5"}, "`probability` must be a number from 0 to 1, not '0.5'"),
        ("erdos_renyi", {"probability": True}, "`probability` must be a number from 0 to 1, not True"),
        ("watts_strogatz", {"degree": 3, "rewiring": 0}, "`degree` must be even, not 3: .* take 2 or 4"),
        ("watts_strogatz", {"degree": 10, "rewiring": 0}, "`degree` must be at most 9, not 10"),
        ("watts_strogatz", {"degree": 4, "rewiring": -0.1}, "`rewiring` must lie from 0 to 1, not -0.1"),
        ("barabasi_albert", {"links": 0}, "`links` must be at least 1, not 0"),
        ("barabasi_albert", {"links": 10}, "`links` must be below `n_agents`, 10, not 10"),
        ("random_regular", {"degree": 3, "method": 7}, "there is no method 7; known"),
    ],
)
def test_unknown_missing_and_impossible_options_are_refused(kind, options, complaint):
    with pytest.raises(DesignError, match=complaint):
        make_network(kind, n_agents=10, seed=0, **options)


@pytest.mark.parametrize(
    ("sizes", "probabilities", "complaint"),
    [
        ([], [], "`sizes` must be a list of the blocks' numbers of agents"),
        (7, [[0.1]], "`sizes` must be a list of the blocks' numbers of agents, not 7"),
        ("77", [[0.1]], "`sizes` must be a list"),
        ([5, 0], [[0.1, 0], [0, 0.1]], r"`sizes\[1\]` must be at least 1, not 0"),
        ([5, 5], [[0.1, 0.2]], r"`probabilities` must have shape \(2, 2\), like `sizes`, not \(1, 2\)"),
        ([5, 5], [[0.1, 0.2], [0.3]], "`probabilities` must be 2 lists of 2 numbers each"),
        ([5, 5], [[0.1, "x"], [0.3, 0.1]], "`probabilities` must be 2 lists of 2 numbers each"),
        ([5, 5], [[0.1, 2], [2, 0.1]], r"`probabilities\[0\]\[1\]` must lie from 0 to 1, not 2.0"),
        ([5, 5], [[0.1, 0.2], [0.3, 0.1]], r"must be symmetric: \[0\]\[1\] is 0.2, \[1\]\[0\] is 0.3"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(sizes, probabilities, complaint):
    with pytest.raises(DesignError, match=complaint):
        stochastic_block(sizes, probabilities, seed=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: complete(10**6),
        lambda: erdos_renyi(10**6, 0.5, seed=0),
        lambda: watts_strogatz(10**7, 1000, 0.1, seed=0),
        lambda: barabasi_albert(10**7, 1000, seed=0),
        lambda: stochastic_block([10**6, 10**6], [[0.5, 0], [0, 0]], seed=0),
    ],
)
def test_networks_that_no_memory_holds_are_refused_before_they_are_made(make):
    with pytest.raises(
        DesignError, match="2147483648 are the most it may have; take fewer agents or a sparser"
    ):
        make()


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("def odd(n_agents, /): pass", "takes `n_agents` without a name of its own"),
        ("def odd(*sizes): pass", r"takes `\*sizes` without a name"),
        ("def odd(n_agents, **others): pass", r"takes `\*\*others` without a name"),
        ("def odd(n_agents, a, b): pass", "needs `a` and `b`"),
        ("def odd(n_agents): return {}", "gives {}; it gives a Network"),
        ("def odd(): return Network.from_edges([(0, 1)], 2)", "gives 2 agents, but `n_agents` is 3"),
    ],
)
def test_a_generator_that_is_none_is_told_so(tmp_path, written, complaint):
    file = tmp_path / "odd_generator.py"
    file.write_text(f"from agentnet.network import Network\n\n{written}\n")
    with pytest.raises(DesignError, match=complaint):
        make_network(f"{file}:odd", n_agents=3, seed=0)
