"""Asking rules, and what they say of how far they look."""

import numpy as np
import pytest

from agentnet.asking_rules import ASKING_RULES, NEVER, Moment
from agentnet.network import GENERATORS


@pytest.fixture(autouse=True)
def forget():
    """Let tests that come later know no rule or generator of these."""
    yield
    for kind, name in ((ASKING_RULES, "odd"), (GENERATORS, "ring")):
        kind._defined.pop(name, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["asking_rule=unexposed_neighbour"],
            "'unexposed_neighbour' does not say that it looks at neighbours",
        ),
        (["sampler.mode=choices", "rationale=none"], "sampler mode 'choices' draws whole steps"),
    ],
)
def test_agents_are_not_played_ahead_of_what_decides_whom_they_are_asked_about(
    command, small, options, words
):
    assigned = [part for option in options for part in ("-S", option)]
    told = command("check", small, "-S", "engine.run_ahead=true", *assigned)
    assert (told.code, words in told.err) == (2, True)
    assert command("check", small, "-S", "engine.run_ahead=true").code == 0


RULE = """
import random

import numpy as np

from agentnet import CascadeExperiment
from agentnet.asking_rules import asking_rule
from agentnet.network import Network
from agentnet.network.generator import network_generator


@asking_rule("odd", says="agents were asked oddly,")
def odd(exposures):
    {rule}


@network_generator
def ring(n_agents: int, seed: int = 0):
    {network}


class Odd(CascadeExperiment):
    n_agents = 16
    network = "ring"
    asking_rule = "odd"
    steps = 3
    repeats = 1
    items_per_severity = 1
"""
ALL = "return exposures"
RING = "return Network.from_edges([(i, (i + 1) % n_agents) for i in range(n_agents)], n_agents)"


@pytest.mark.parametrize(
    ("rule", "network", "words"),
    [
        (
            "return exposures.where(np.array([random.random() < 0.5 for _ in exposures.agent]))",
            RING,
            "Odd.asking_rule gives one thing and then another of one step",
        ),
        (
            "return exposures.where(exposures.n_engaged)",
            RING,
            "such as exposures.n_engaged >= 2, not int64 of shape",
        ),
        (
            "return exposures.where(True)",
            RING,
            "takes a truth for each of the",
        ),
        (
            ALL,
            "return Network.from_edges([(i, random.randrange(i)) for i in range(1, n_agents)], n_agents)",
            "Odd.network gives one thing and then another for one seed",
        ),
        (ALL, "return [(0, 1)]", "network generator 'ring' gives [(0, 1)]; it gives a Network"),
    ],
)
def test_a_rule_or_a_generator_that_cannot_be_counted_on_is_refused_before_anybody_is_asked(
    command, tmp_path, rule, network, words
):
    path = tmp_path / "odd.py"
    path.write_text(RULE.format(rule=rule, network=network))
    told = command("run", path, "--out", "odd")
    assert told.code == 2
    assert words in told.err
    assert not (tmp_path / "odd").exists()


def test_a_rule_may_list_its_truths_of_no_exposures_too():
    nobody = Moment(np.array([1, 0]), np.array([0, 1]), np.array([NEVER, NEVER]), 1).exposures()
    assert len(nobody.where([n >= 2 for n in nobody.n_engaged])) == 0


def test_what_a_rule_writes_into_the_columns_that_it_looks_at_moves_nobody(command, tmp_path):
    path = tmp_path / "odd.py"
    digests = []
    for rule in ALL, "exposures.agent[:] = 0; return exposures":
        path.write_text(RULE.format(rule=rule, network=RING))
        digests.append(command("run", path, "--out", f"odd{len(digests)}").out.split("digest")[1].split()[0])
    assert digests[0] == digests[1]
