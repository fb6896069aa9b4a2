"""Pictures of networks show who engaged when, as the log has it, and say what they leave out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest

from agentnet import CascadeExperiment
from agentnet.backend import make_backend
from agentnet.events import Run
from agentnet.report.player import Most, Player, laid_out, read_player
from agentnet.testing import ScriptedBackend

DESIGN: dict[str, Any] = {"n_agents": 40, "degree": 4, "steps": 6, "repeats": 3, "items_per_severity": 1}


@pytest.fixture(scope="module")
def run(play: Callable[..., Run]) -> Run:
    """Six cascades."""
    return play(CascadeExperiment(**DESIGN), backend=make_backend("mock", {}), seed=4)


@pytest.fixture(scope="module")
def player(run: Run) -> Player:
    return read_player(run)


def test_agents_are_shown_with_the_step_at_which_they_engaged(run: Run, player: Player) -> None:
    agents = run.frame("agents").set_index(["realization", "agent"]).engaged_step
    assert [each.realization for each in player.shown] == list(range(6))
    for each in player.shown:
        logged = agents.loc[each.realization].fillna(-1).astype(int)
        assert each.engaged.tolist() == logged.tolist()
        assert each.n_engaged == tuple(
            (logged[logged >= 0] <= step).sum() for step in range(len(each.n_engaged))
        )


def test_strong_lines_lead_from_whom_an_agent_said_yes_to(run: Run, player: Player) -> None:
    logged = run.frame("decisions").query("kind == 'exposure' and decision == 1")
    said_yes = {tuple(row) for row in logged[["realization", "step", "agent", "source"]].to_numpy().tolist()}
    for each in player.shown:
        linked = {frozenset(pair) for pair in each.edges.tolist()}
        for agent, (step, source) in enumerate(zip(each.engaged.tolist(), each.source.tolist(), strict=True)):
            assert (source >= 0) == (step > 0)
            if source >= 0:
                assert (each.realization, step, agent, source) in said_yes
                assert frozenset((agent, source)) in linked


def test_all_who_are_engaged_at_the_start_are_larger_and_said_to_be(play: Callable[..., Run]) -> None:
    several = read_player(play(CascadeExperiment(**DESIGN | {"initial_agents": (0, 1, 2)})))
    markup = str(several.to_html("x"))
    assert markup.count('r="16"') == 3
    assert "Agents engaged at step 0 are larger circles" in markup


def test_agents_of_one_network_stand_apart_and_inside_the_picture(player: Player) -> None:
    for each in player.shown:
        assert len({tuple(place) for place in each.xy.tolist()}) == each.n_agents
        assert each.xy.min(axis=0).tolist() == [0, 0]
        assert each.xy.max(axis=0).tolist() == [1000, 1000]


def test_of_a_large_network_those_nearest_to_the_initial_agent_are_shown(run: Run, player: Player) -> None:
    few = read_player(run, most=Most(n_agents=12))
    assert "Of larger networks the 12 agents nearest to the initial one are shown" in few.notes()[0]
    assert player.notes() == []
    for each, whole in zip(few.shown, player.shown, strict=True):
        assert each.agents.size == 12
        assert (each.n_agents, each.n_engaged) == (whole.n_agents, whole.n_engaged)
        initial = int(np.flatnonzero(whole.engaged == 0)[0])
        assert initial in each.agents
        neighbours = {b for pair in whole.edges.tolist() for a, b in (pair, pair[::-1]) if a == initial}
        assert neighbours <= set(each.agents.tolist())
        assert each.engaged.tolist() == whole.engaged[each.agents].tolist()
        inside = [pair for pair in whole.edges.tolist() if set(pair) <= set(each.agents.tolist())]
        assert each.agents[each.edges].tolist() == inside
        known = each.source >= 0
        assert each.agents[each.source[known]].tolist() == whole.source[each.agents][known].tolist()


def test_edges_are_thinned_out_but_those_along_which_agents_engaged(run: Run, player: Player) -> None:
    few = read_player(run, most=Most(n_edges=10))
    assert few.notes() == [
        "Edges are shown in part, 10 of each network and those along which agents engaged."
    ]
    for each, whole in zip(few.shown, player.shown, strict=True):
        kept = {frozenset(pair) for pair in each.edges.tolist()}
        used = {frozenset((i, s)) for i, s in enumerate(whole.source.tolist()) if s >= 0}
        assert used <= kept
        assert len(kept - used) <= 10
        assert len(each.edges) < each.n_edges == len(whole.edges)


def test_few_of_many_realizations_run_from_the_smallest_to_the_largest(run: Run, player: Player) -> None:
    few = read_player(run, most=Most(n_realizations=3))
    sizes = [each.n_engaged[-1] for each in player.shown]
    assert {sizes[0], sizes[-1]} != {min(sizes), max(sizes)}, "else those by number would be the same"
    sizes.sort()
    two = read_player(run, most=Most(n_realizations=2))
    assert sorted(each.n_engaged[-1] for each in two.shown) == [sizes[0], sizes[-1]]
    shown = sorted(each.n_engaged[-1] for each in few.shown)
    assert len(shown) == 3
    assert (shown[0], shown[-1]) == (sizes[0], sizes[-1])
    assert few.shown[few.first].n_engaged[-1] == shown[1]
    assert few.notes()[0].startswith("3 of 6 realizations can be chosen")
    assert [each.realization for each in read_player(run, np.array([1, 4])).shown] == [1, 4]


def test_the_same_seed_draws_agents_in_the_same_places(run: Run, player: Player) -> None:
    assert read_player(run).to_html("x") == player.to_html("x")
    assert read_player(run, seed=1).to_html("x") != player.to_html("x")


def test_agents_stand_where_networkx_places_them_from_the_same_start() -> None:
    graph = nx.random_regular_graph(4, 15, seed=1)
    start = dict(enumerate(np.random.default_rng(3).random((2, 15)).T))
    placed = np.array(list(nx.spring_layout(graph, pos=start, iterations=50, method="force").values()))
    expected = 1_000 * (placed - placed.min(axis=0)) / np.ptp(placed, axis=0)
    assert np.abs(laid_out(np.array(graph.edges), 15, seed=3) - expected).max() < 1.0


def test_what_the_script_plays_is_what_was_read(player: Player) -> None:
    markup = str(player.to_html("x"))
    held = re.search(r'<script type="application/json" id="x-data">(.*?)</script>', markup, re.DOTALL)
    assert held is not None
    found = json.loads(held[1])
    assert len(found) == len(player.shown) == markup.count("<option")
    for each, spread in zip(found, player.shown, strict=True):
        assert np.array(each["xy"]).reshape(-1, 2).tolist() == spread.xy.tolist()
        assert np.array(each["edges"]).reshape(-1, 2).tolist() == spread.edges.tolist()
        assert (each["engaged"], each["source"]) == (spread.engaged.tolist(), spread.source.tolist())
        assert each["counts"] == list(spread.n_engaged)
    assert markup.count("<circle") == 40


def test_cascades_that_nobody_started_are_not_shown(play: Callable[..., Run]) -> None:
    never = ScriptedBackend(lambda _: '{"share": false, "reason": "No."}')
    player = read_player(play(CascadeExperiment(**DESIGN), backend=never))
    assert player.shown == ()
    assert "Not available: no cascade has started." in player.to_html("x")
