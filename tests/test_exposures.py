"""Who is asked about whose message at a step, by the words of the asking rules."""

from typing import NamedTuple

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.asking_rules import ASKING_RULES, NEVER, Moment, listeners
from agentnet.network import Network, random_regular

RULES = tuple(ASKING_RULES)


class State(NamedTuple):
    """A network, the step at which each agent engaged (None: not yet), and the step to be played.

    Edges are (heard, hears) if directed.
    """

    edges: tuple[tuple[int, int], ...]
    engaged: tuple[int | None, ...]
    step: int
    is_directed: bool = False

    @property
    def network(self):
        edges = np.array(self.edges, dtype=int).reshape(-1, 2)
        return Network.from_edges(edges, len(self.engaged), is_directed=self.is_directed)

    @property
    def heard(self):
        """Whom each agent hears, by networkx."""
        graph = nx.DiGraph(self.edges)
        graph.add_nodes_from(range(len(self.engaged)))
        graph = graph if self.is_directed else graph.to_undirected().to_directed()
        return {agent: set(graph.predecessors(agent)) for agent in graph}

    def found(self, rule):
        network = self.network
        engaged_step = np.array([NEVER if step is None else step for step in self.engaged])
        moment = Moment(network.indices, listeners(network), engaged_step, self.step)
        return ASKING_RULES[rule].asked(moment)

    def asked(self, rule):
        """The (agent, source) pairs that are asked."""
        network = self.network
        slots = self.found(rule).slots
        return list(zip(listeners(network)[slots].tolist(), network.indices[slots].tolist(), strict=True))


@st.composite
def states(draw):
    """Any network and any history of it, whether or not messages could have brought it about."""
    n_agents = draw(st.integers(1, 9))
    is_directed = draw(st.booleans())
    pairs = [(u, v) for u in range(n_agents) for v in range(n_agents if is_directed else u) if u != v]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    step = draw(st.integers(1, 4))
    steps = st.none() | st.integers(0, step - 1)
    engaged = draw(st.lists(steps, min_size=n_agents, max_size=n_agents))
    return State(tuple(edges), tuple(engaged), step, is_directed)


def reference(state, rule):
    """The asked pairs and the exposed agents, in plain Python, from the definitions."""
    graph = state.heard
    engaged = {agent for agent, step in enumerate(state.engaged) if step is not None}
    unengaged = set(graph) - engaged
    exposed = {agent for agent in unengaged if engaged & set(graph[agent])}
    asked = []
    for agent in sorted(exposed):
        for source in sorted(engaged & set(graph[agent])):
            others = set(graph[agent])
            if rule == "unengaged_neighbour" and not others & unengaged:
                continue
            if rule == "unexposed_neighbour" and not others - engaged - exposed:
                continue
            if rule == "once_per_edge" and was_asked_before(state, source):
                continue
            asked.append((agent, source))
    return asked, exposed


def was_asked_before(state, source):
    """Whether an agent that is unengaged now was exposed to `source` at an earlier step."""
    return any(state.engaged[source] < earlier for earlier in range(1, state.step))


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=50)
@given(state=states())
def test_every_rule_asks_whom_its_definition_says(rule, state):
    asked, exposed = reference(state, rule)
    assert state.asked(rule) == asked
    assert state.found(rule).moment.n_exposed == len(exposed)


@settings(max_examples=50)
@given(state=states())
def test_the_rules_differ_only_in_what_they_leave_out(state):
    asked = {rule: set(state.asked(rule)) for rule in RULES}
    assert asked["unexposed_neighbour"] <= asked["unengaged_neighbour"] <= asked["always"]
    assert asked["once_per_edge"] <= asked["always"]


@settings(max_examples=50)
@given(state=states())
def test_over_all_steps_once_per_edge_asks_about_each_engaged_neighbour_exactly_once(state):
    unengaged = [agent for agent, step in enumerate(state.engaged) if step is None]
    everything = []
    for step in range(1, state.step + 1):
        before = tuple(None if then is None or then >= step else then for then in state.engaged)
        everything += state._replace(engaged=before, step=step).asked("once_per_edge")
    of_unengaged = [pair for pair in everything if pair[0] in unengaged]
    assert sorted(of_unengaged) == sorted(state.asked("always"))
    assert len(set(everything)) == len(everything)


@settings(max_examples=50)
@given(state=states())
def test_slots_ascend_so_that_an_agents_exposures_stand_side_by_side(state):
    slots = state.found("always").slots
    assert (np.diff(slots) > 0).all()
    assert (np.diff(listeners(state.network)[slots]) >= 0).all()


def test_on_a_path_the_rules_stop_asking_one_after_the_other():
    # 0 - 1 - 2 - 3, agent 0 engaged at step 0, agent 2 at step 1.
    state = State(((0, 1), (1, 2), (2, 3)), (0, None, 1, None), 2)
    assert state.asked("always") == [(1, 0), (1, 2), (3, 2)]
    assert state.asked("unengaged_neighbour") == []
    assert state.asked("unexposed_neighbour") == []
    assert state.asked("once_per_edge") == [(1, 2), (3, 2)]
    before = State(((0, 1), (1, 2), (2, 3)), (0, None, None, None), 1)
    assert all(before.asked(rule) == [(1, 0)] for rule in RULES)


def test_two_exposed_neighbours_keep_each_other_asked_unless_an_unexposed_one_is_wanted():
    # A triangle with agent 0 engaged: 1 and 2 are exposed, and each other's unengaged neighbour.
    state = State(((0, 1), (0, 2), (1, 2)), (0, None, None), 1)
    assert state.asked("unengaged_neighbour") == [(1, 0), (2, 0)]
    assert state.asked("unexposed_neighbour") == []
    assert state.found("unexposed_neighbour").moment.n_exposed == 2


def test_an_isolated_agent_is_neither_exposed_nor_asked():
    alone = State((), (None,), 1)
    assert alone.asked("always") == []
    assert alone.found("always").moment.n_exposed == 0


def test_listeners_name_the_agent_of_each_slot():
    network = random_regular(20, 3, seed=1)
    assert listeners(network).tolist() == [agent for agent in range(20) for _ in range(3)]
    uneven = Network.from_edges([(0, 1), (1, 2)], 4)
    assert listeners(uneven).tolist() == [0, 1, 1, 2]
    assert len(listeners(uneven)) == len(uneven.indices)
