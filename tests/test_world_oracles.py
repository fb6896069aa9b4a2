"""What worlds come to, against what is known of them: opinion dynamics, epidemics and thresholds."""

import random

import numpy as np
import pytest

from agentnet import Run
from agentnet.network import random_regular

QUIET = ("--json", "--quiet", "--seed", "11", "-S", "stack.cache=false", "-S", "log.parquet=false")

DEGROOT = """
from agentnet import Ask, WorldExperiment


class DeGroot(WorldExperiment):
    n_agents, network, degree = 12, "random_regular", 3
    steps: int = 6

    def play(self, s):
        stance = [s.chance.uniform("start", agent) for agent in s.agents]
        s.record(0, stance=stance)
        for step in range(1, self.steps + 1):
            heard = [[stance[agent], *(stance[other] for other in s.hears(agent))] for agent in s.agents]
            means = [sum(each) / len(each) for each in heard]
            stance = yield [Ask(a, "Your mean?", answer=float, says=means[a]) for a in s.agents]
            s.record(step, stance=stance)
"""

VOTER = """
from typing import Literal
from agentnet import Ask, WorldExperiment


class Voter(WorldExperiment):
    n_agents, network, degree, repeats = 8, "random_regular", 3, 150
    steps: int = 6

    def play(self, s):
        side = ["left" if agent < 2 else "right" for agent in s.agents]
        for step in range(1, self.steps + 1):
            whom = [s.chance.sample("whom", s.hears(agent), 1, step, agent)[0] for agent in s.agents]
            said = [side[other] for other in whom]
            side = yield [Ask(a, "?", answer=Literal["left", "right"], says=said[a]) for a in s.agents]
        s.record(self.steps, left=side.count("left") / len(side))
"""

CASCADE = """
from agentnet import CascadeExperiment
from agentnet.asking_rules import Exposures, asking_rule


class Certain(CascadeExperiment):
    n_agents, degree, items_per_severity, rationale = {n_agents}, 4, 1, "none"
    {body}


@asking_rule("when_two", says="an agent was asked once, when {{least}} of those whom it hears had shared")
def when_two(exposures: Exposures, least: int = 2) -> Exposures:
    return exposures.where(exposures.n_engaged >= least).once_per_agent()
"""


@pytest.fixture
def play(command, tmp_path):
    def play(text, *options):
        path = tmp_path / "study.py"
        path.write_text(text)
        done = command("run", path, "--out", tmp_path / "run", *QUIET, *options)
        assert done.code == 0, done.err
        return Run(tmp_path / "run")

    return play


def ties(run, realization=0):
    query = "SELECT edges FROM networks JOIN realizations USING (network) WHERE realization = ?"
    return np.frombuffer(run.rows(query, (realization,))[1][0][0], dtype="<i4").reshape(-1, 2)


def test_agents_that_average_come_to_the_powers_of_their_weights(play):
    run = play(DEGROOT)
    weights = np.eye(12)
    for a, b in ties(run):
        weights[a, b] = weights[b, a] = 1.0
    weights /= weights.sum(axis=1, keepdims=True)
    stance = run.frame("measures").pivot(index="step", columns="agent", values="value").to_numpy()
    for step, row in enumerate(stance):
        np.testing.assert_allclose(row, np.linalg.matrix_power(weights, step) @ stance[0], atol=1e-12)
    assert run.rows("SELECT SUM(attempts), COUNT(DISTINCT model) FROM events JOIN replies USING (reply)")[
        1
    ] == [(0, 1)]


def test_voters_keep_their_mean_on_regular_networks(play):
    run = play(VOTER)
    left = run.frame("measures")["value"].to_numpy()
    assert len(set(left)) > 3
    assert abs(left.mean() - 0.25) < 4 * left.std(ddof=1) / np.sqrt(len(left))


def test_a_threshold_with_certain_answers_is_the_deterministic_threshold_model(play):
    body = 'initial_agents = (0, 1, 2, 3, 4, 5)\n    asking_rule = "when_two"\n    steps = 30'
    run = play(
        CASCADE.format(body=body, n_agents=60), "-S", "backend.law=constant", "-S", "backend.probability=1"
    )
    for realization in range(10):
        edges = ties(run, realization)
        heard = [set() for _ in range(60)]
        for a, b in edges.tolist():
            heard[a].add(b)
            heard[b].add(a)
        expected = dict.fromkeys(range(6), 0)
        for step in range(1, 31):
            new = [a for a in range(60) if a not in expected and len(heard[a] & expected.keys()) >= 2]
            expected |= dict.fromkeys(new, step)
        query = "SELECT agent, engaged_step FROM agents WHERE realization = ? AND engaged_step IS NOT NULL"
        assert dict(run.rows(query, (realization,))[1]) == expected


def test_sir_comes_to_the_final_sizes_of_another_library(play):
    eon = pytest.importorskip("EoN")
    knobs = ("initial_agents = (0,)", 'asking_rule = "always"', "steps, recovery_rate, repeats = 40, 1.0, 15")
    body = "\n    ".join(knobs)
    run = play(
        CASCADE.format(body=body, n_agents=60), "-S", "backend.law=constant", "-S", "backend.probability=0.5"
    )
    ours = np.array(
        [n for _, n in run.rows("SELECT realization, COUNT(engaged_step) FROM agents GROUP BY 1")[1]]
    )
    random.seed(5)  # which it draws from
    graphs = (random_regular(60, 4, seed=seed).to_networkx() for seed in range(300))
    theirs = np.array([eon.basic_discrete_SIR(graph, 0.5, initial_infecteds=[0])[3][-1] for graph in graphs])
    error = np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
    assert abs(ours.mean() - theirs.mean()) < 4 * error
    assert 5 < ours.mean() < 58
