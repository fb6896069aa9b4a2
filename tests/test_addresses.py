"""Plug-ins of every kind by their address, ``FILE.py:Name``: played, gone on with, and refused."""

import json

import pytest

from agentnet.asking_rules import ASKING_RULES
from agentnet.families import FAMILIES
from agentnet.network import GENERATORS
from agentnet.network.format import NETWORK_FORMATS
from agentnet.news import NEWS_SOURCES
from agentnet.plugins import PluginKind
from agentnet.runner.prepare import plugin_files

SMALL = """
from agentnet import CascadeExperiment

class Small(CascadeExperiment):
    n_agents, steps, repeats, items_per_severity, rationale = 8, 4, 3, 1, "none"
"""

RULE = """
from agentnet.asking_rules import asking_rule

print("executed")

@asking_rule("patient", says="asked when {least} had shared,")
def choose(exposures, least=1):
    return exposures.where(exposures.n_engaged >= least).once_per_agent()
"""

GENERATOR = """
from agentnet.network import Network

print("executed")

def choose(n_agents, reach=1):
    return Network.from_edges([(a, (a + reach) % n_agents) for a in range(n_agents)], n_agents)
"""

FORMAT = """
from agentnet.network.format import network_format
from agentnet.network.simple import edges_of

print("executed")

@network_format(".pairs")
def choose(file):
    return file.network(edges_of(file.path, [(i, *row.split()) for i, row in enumerate(file.lines(), 1)]))
"""

SOURCE = """
from agentnet.news.source import item_of, news_source

print("executed")

@news_source("wire", columns={"id": "id", "text": "headline"}, citation="N.", licence="no", restricted=True)
def choose(cells):
    return item_of(cells, place="Nowhere")
"""

ON_FILE = ("-S", "network=ring.pairs", "-S", "network_options.kind")
ON_NEWS = ("--news", "wire.csv", "-S", "news.kind")
KINDS = {
    "asking rule": (RULE, ("-S", "asking_rule")),
    "network generator": (GENERATOR, ("-S", "network")),
    "network format": (FORMAT, ON_FILE),
    "kind of news file": (SOURCE, ON_NEWS),
}


@pytest.fixture(autouse=True)
def forget():
    """What a test's files define is gone with the test."""
    yield
    for kind in (ASKING_RULES, GENERATORS, NETWORK_FORMATS, NEWS_SOURCES):
        kind._of_users.clear()
        for name in [name for name, each in kind._defined.items() if each.is_fleeting]:
            del kind._defined[name]


@pytest.fixture
def play(command, tmp_path):
    """Play an experiment on the plug-in at an address."""
    (tmp_path / "small.py").write_text(SMALL)
    (tmp_path / "ring.pairs").write_text("".join(f"{a} {(a + 1) % 8}\n" for a in range(8)))
    (tmp_path / "wire.csv").write_text("id,headline\nw1,Rain is coming.\nw2,The bridge is closed.\n")

    def play(text, options, *others, address="mine.py:choose"):
        (tmp_path / "mine.py").write_text(text)
        usual = ("--quiet", "--json", "-S", "stack.cache=false", "-S", "log.parquet=false")
        return command("run", "small.py", *options[:-1], f"{options[-1]}={address}", *usual, *others)

    return play


def digest(outcome):
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out[outcome.out.index("{") :])["digest"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_at_an_address_is_played_executed_once_and_gone_on_with(kind, play, command):
    whole = play(*KINDS[kind], "--out", "whole")
    assert whole.err.count("executed") == 1
    assert play(*KINDS[kind], "--out", "cut", "--max-calls", "5").code == 3
    on = command("run", "--resume", "cut", "--quiet", "--json", "--max-calls", 10_000)
    assert digest(on) == digest(whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("text", "said"), [("x = (", "which has changed"), (None, "which is not there")])
def test_a_run_does_not_go_on_with_another_plug_in_than_it_began_with(
    kind, text, said, play, command, tmp_path
):
    assert play(*KINDS[kind], "--out", "cut", "--max-calls", "5").code == 3
    (tmp_path / "mine.py").unlink()
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    on = command("run", "--resume", "cut", "--quiet")
    assert on.code == 2
    assert f"was begun with a plug-in of mine.py, {said}: put it back as it was" in on.err


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plug_in_of_its_kind_is_refused_by_name(kind, play):
    refused = play("choose = 3", KINDS[kind][1])
    assert refused.code == 2
    assert f"{kind} 'mine.py:choose' of mine.py (mine.py:choose) is no {kind} plug-in" in refused.err


def test_what_is_no_family_is_refused(command, tmp_path):
    (tmp_path / "mine.py").write_text("class Mine: pass")
    refused = command("init", "study", "--family", "mine.py:Mine")
    assert refused.code == 2
    assert "is no family of experiments plug-in: it lacks experiment" in refused.err
    assert set(FAMILIES) == {"cascade", "interview", "ratio", "world"}


def test_a_shard_with_another_plug_in_is_refused(play):
    assert play(*KINDS["asking rule"], "--out", "wide", "--shard", "1/2").code == 0
    refused = play(f"{RULE}\n# edited", KINDS["asking rule"][1], "--out", "wide", "--shard", "2/2")
    assert refused.code == 2
    assert "other experiment (files)" in refused.err


def test_files_of_one_name_in_two_folders_are_two(tmp_path):
    kind = PluginKind("knot", "agentnet.test_knots", "nowhere")
    homes = []
    for rope in ("hemp", "sisal"):
        (tmp_path / rope).mkdir()
        (tmp_path / rope / "mine.py").write_text(f"class Knot:\n    rope = {rope!r}\n")
        homes.append(f"{tmp_path / rope / 'mine.py'}:Knot")
    first, second, again = (kind.load(home) for home in (*homes, homes[0]))
    assert (first.rope, second.rope) == ("hemp", "sisal")
    assert first.__module__ != second.__module__
    assert again is first


def test_texts_of_a_design_that_only_look_like_addresses_are_no_plug_ins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    told = {"texts": ["a\0.py:Name", "\ud800.py:Name", "mine.py:3: an error", "other.py:Name"]}
    assert plugin_files(told) == {}
    assert plugin_files({"rule": "mine.py:Rule.of_two"}).keys() == {"mine.py"}
