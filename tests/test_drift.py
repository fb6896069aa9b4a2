"""How far retold messages drift from the news, by the hash embedder, whose distances are known."""

import math

import numpy as np
import pytest

from agentnet import Run
from agentnet.analysis import message_drift
from agentnet.errors import PluginError

WORDS = {"embedder": "hash", "options": {"dim": 65_536, "n_gram": 1}}
CHAINS = """
from agentnet import Ask, WorldExperiment
from agentnet.news import NewsItem


class Chains(WorldExperiment):
    n_agents, repeats = 4, 2
    conditions = ({"blank": False}, {"blank": True})
    blank: bool = False

    def choose_news(self, seed):
        return [NewsItem(id="n", text="a b c d", severity=0)]

    def play(self, s):
        yield [Ask(0, "?", says=True)]
        if not self.blank:
            first = s.post(0, "a b c d", s.messages[0])
            second = s.post(1, "a b c e", first)
            s.post(2, "a b f e", second)
            s.post(3, "x y z w" if s.repeat else "a b c x", first)
        else:
            s.post(0, " ", s.messages[0])
"""


@pytest.fixture
def run(command, tmp_path):
    (tmp_path / "chains.py").write_text(CHAINS)
    done = command("run", tmp_path / "chains.py", "--out", tmp_path / "run", "--quiet")
    assert done.code == 0, done.err
    return Run(tmp_path / "run")


def test_texts_of_as_many_words_are_apart_by_the_share_of_words_that_differ(run):
    """The cosine of two sets of n words each, of which they share m, is m / n."""
    drift = message_drift(run, **WORDS, condition=0)
    frame = drift.frame().set_index(["realization", "message"])
    assert frame.hops.tolist() == [1, 2, 3, 2] * 2
    assert frame.author.tolist() == [0, 1, 2, 3] * 2
    np.testing.assert_allclose(frame.distance, [0, 0.25, 0.5, 0.25, 0, 0.25, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(frame["last"], [0, 0.25, 0.25, 0.25, 0, 0.25, 0.25, 1], atol=1e-6)


def test_hops_are_averaged_within_realizations_first_and_their_spread_is_between_them(run):
    drift = message_drift(run, **WORDS, condition=0)
    assert drift.hop.tolist() == [1, 2, 3]
    np.testing.assert_allclose(drift.value, [0, (0.25 + 0.625) / 2, 0.5], atol=1e-6)
    # Two values d apart have the standard error d / 2, and Student's t of one degree of freedom is a tangent.
    half = (0.625 - 0.25) / 2 * math.tan(math.pi * 0.475)
    # Distances lie between 0 and 2: the interval is that of the logit of half of them.
    place = drift.value[1] / 2
    odds, reach = math.log(place / (1 - place)), half / 2 / (place * (1 - place))
    np.testing.assert_allclose(drift.low, [0, 2 / (1 + math.exp(reach - odds)), 0.5], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(drift.high, [0, 2 / (1 + math.exp(-reach - odds)), 0.5], rtol=1e-5, atol=1e-6)


def test_equal_texts_are_no_distance_apart(run):
    drift = message_drift(run, condition=0)
    assert drift.distance[0] == 0.0 <= drift.distance.min()


def test_a_blank_message_has_no_distance(run):
    drift = message_drift(run, **WORDS, condition=1)
    assert np.isnan(drift.distance).all()
    assert np.isnan(drift.value).all()
    assert message_drift(run, condition=0).embedder.startswith("hash")
    with pytest.raises(PluginError, match="hush"):
        message_drift(run, "hush")
