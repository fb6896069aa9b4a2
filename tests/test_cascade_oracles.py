"""Mean curves of many realizations through the runner, against known figures and an independent cascade.

The figures are those of Table 1's law (Tian et al. 2026) on fresh 5-regular networks of 128 agents, computed
with 20,000 realizations and given to three digits.
"""

import math
import random
import statistics
from functools import lru_cache
from typing import NamedTuple

import networkx as nx
import pytest

from agentnet import CascadeExperiment
from agentnet.asking_rules import ASKING_RULES
from agentnet.backend import make_backend

RULES = tuple(ASKING_RULES)
N_AGENTS, DEGREE, STEPS = 128, 5, 15
ROUNDING = 0.0005

# Engaged fraction after 15 steps, over both severities; under `always` for each too, and after 5 steps.
POOLED = {"always": 0.911, "unengaged_neighbour": 0.853, "once_per_edge": 0.677, "unexposed_neighbour": 0.544}
PEACEFUL, SEVERE, POOLED_EARLY = 0.958, 0.864, 0.568
# Two groups of profiles that say yes with probability 0.0533 and 0.8154, after 5, 10 and 15 steps.
TWO_GROUPS = {5: 0.706, 10: 0.930, 15: 0.980}


class Curve(NamedTuple):
    """The engaged fractions of one realization after each step, and the decisions that it took."""

    engaged: list
    n_decisions: int


class Sample(NamedTuple):
    """How many realizations of each severity, and the seed of their run."""

    repeats: int
    seed: int


FEW = Sample(16, 1)
MANY = pytest.param(Sample(50, 2), id="many", marks=pytest.mark.slow)
samples = pytest.mark.parametrize("sample", [pytest.param(FEW, id="few"), MANY])
rules = pytest.mark.parametrize("rule", RULES)


@pytest.fixture(scope="module")
def curves(play):
    """Play a rule on a law so often; give the realizations of each severity."""

    @lru_cache
    def curves(rule, sample, law="main_effects"):
        experiment = CascadeExperiment(items_per_severity=1, repeats=sample.repeats, asking_rule=rule)
        return curves_of(play(experiment, backend=make_backend("mock", {"law": law}), seed=sample.seed))

    return curves


def curves_of(run):
    query = (
        "SELECT realization, severity, n_engaged, n_decisions FROM steps JOIN realizations "
        "USING (realization) JOIN news USING (news) WHERE status = 'finished' ORDER BY realization, step"
    )
    found = ({}, {})
    for number, severity, n_engaged, n_decisions in run.rows(query)[1]:
        engaged, asked = found[severity].setdefault(number, ([], []))
        engaged.append(n_engaged / N_AGENTS)
        asked.append(n_decisions)
    assert len(found[0]) == len(found[1]) == run.meta["n_realizations"] / 2
    return [
        [Curve(e + e[-1:] * (STEPS + 1 - len(e)), sum(n[1:])) for e, n in of_severity.values()]
        for of_severity in found
    ]


class Mean(NamedTuple):
    """A mean and its standard error."""

    value: float
    error: float

    def is_near(self, other, error=0.0):
        return abs(self.value - other) < 4.0 * math.hypot(self.error, error) + ROUNDING


def mean(values):
    return Mean(statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values)))


def after(curves, step):
    return mean([curve.engaged[step] for curve in curves])


def pooled(curves, step):
    """The mean over two severities that were played equally often."""
    a, b = (after(of_severity, step) for of_severity in curves)
    return Mean((a.value + b.value) / 2, math.hypot(a.error, b.error) / 2)


@samples
@rules
def test_under_each_rule_the_plateau_is_the_known_one(curves, rule, sample):
    assert pooled(curves(rule, sample), STEPS).is_near(POOLED[rule])


@samples
def test_under_always_each_severity_has_its_known_plateau_and_both_their_known_rise(curves, sample):
    peaceful, severe = curves("always", sample)
    assert after(peaceful, STEPS).is_near(PEACEFUL)
    assert after(severe, STEPS).is_near(SEVERE)
    assert pooled((peaceful, severe), 5).is_near(POOLED_EARLY)


@samples
def test_the_known_spreads_are_those_of_realizations(curves, sample):
    """The figures' .017 and .039: rare late starters make the tails heavy, so only their size is compared."""
    for of_severity, known in zip(curves("always", sample), (0.017, 0.039), strict=True):
        spread = statistics.stdev(curve.engaged[STEPS] for curve in of_severity)
        assert known / 2.5 < spread < known * 2.5


@samples
def test_two_groups_with_the_papers_rates_rise_as_known(curves, sample):
    played = curves("always", sample, law="two_groups")
    for step, known in TWO_GROUPS.items():
        assert pooled(played, step).is_near(known)


# An independent cascade


WEIGHTS = {"openness": 7.625, "conscientiousness": -0.188, "extraversion": 2.497}
WEIGHTS |= {"agreeableness": 1.626, "neuroticism": -0.970}


def probability_of_yes(profile, severity):
    traits = [weight for weight, bit in zip(WEIGHTS.values(), f"{profile:05b}", strict=True) if bit == "1"]
    return 1.0 / (1.0 + math.exp(3.072 + 1.224 * severity - sum(traits)))


def plain_realization(rng, rule, severity):
    """One cascade by networkx and the standard library alone."""
    graph = nx.random_regular_graph(DEGREE, N_AGENTS, seed=rng.randrange(2**32))
    profiles = [agent % 32 for agent in range(N_AGENTS)]
    rng.shuffle(profiles)
    yes = [probability_of_yes(profile, severity) for profile in profiles]
    initial = next(a for a in rng.sample(range(N_AGENTS), N_AGENTS) if rng.random() < yes[a])
    engaged, fractions, n_decisions, heard = {initial}, [1 / N_AGENTS], 0, set()
    for _ in range(STEPS):
        exposed = {agent for source in engaged for agent in graph[source]} - engaged
        won_over = set()
        for agent in sorted(exposed):
            fresh = {"unengaged_neighbour": engaged, "unexposed_neighbour": engaged | exposed}.get(rule)
            if fresh is not None and all(neighbour in fresh for neighbour in graph[agent]):
                continue
            for source in graph[agent]:
                if source not in engaged or (agent, source) in heard:
                    continue
                if rule == "once_per_edge":
                    heard.add((agent, source))
                n_decisions += 1
                if rng.random() < yes[agent]:
                    won_over.add(agent)
        engaged |= won_over
        fractions.append(len(engaged) / N_AGENTS)
    return Curve(fractions, n_decisions)


@rules
def test_mean_curves_and_questions_agree_with_a_cascade_in_plain_python(curves, rule):
    rng = random.Random(7)
    for severity, played in enumerate(curves(rule, FEW)):
        plain = [plain_realization(rng, rule, severity) for _ in range(40)]
        for step in range(1, STEPS + 1):
            expected = after(plain, step)
            assert after(played, step).is_near(expected.value, expected.error), step
        questions = mean([curve.n_decisions for curve in plain])
        assert mean([curve.n_decisions for curve in played]).is_near(questions.value, questions.error)
