"""What `check` and `run` say of what they read, and whose number of agents is in force."""

import json

import pytest

from agentnet import CascadeExperiment
from agentnet.errors import DesignError
from agentnet.events import Run

NET = "ana,ben\nben,cara\ncara,dan\neve,fay\n"
FEW = ("-S", "repeats=1", "-S", "steps=1", "--quiet")


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.csv"
    path.write_text(NET)
    return path


SAID = (
    "network net.csv: 6 agents, 4 edges, 2 components; degrees 1 to 2, median 1; 0 isolated; names: ana, "
    "ben, cara, dan, eve, .."
)


def test_check_and_run_say_which_network_was_read(command, small, net):
    checked = command("check", small, "-S", f"network={net}")
    ran = command("run", small, *FEW, "-S", f"network={net}", "--out", "r")
    assert checked.code == ran.code == 0, ran.err
    for said in (checked.out, ran.err):
        assert SAID in said
        assert "  rows parted by commas, without a header" in said
        assert "news in the design: 2 items (1 peaceful, 1 severe); texts of " in said
    (networks,) = json.loads(command("check", small, "-S", f"network={net}", "--json").out)["networks"]
    assert (networks["n_agents"], networks["degree"], networks["n_isolated"]) == (6, [1, 1.0, 2], 0)


def test_a_network_s_file_decides_the_number_of_agents_that_is_shown_and_recorded(command, small, net):
    shown = command("check", small, "-S", f"network={net}").out
    knobs = dict(
        line.split(maxsplit=1) for line in shown.split("\n\n")[1].splitlines() if " " in line.strip()
    )
    assert (knobs["n_agents"].strip(), knobs["degree"].strip()) == ("6", "1 to 2")
    assert command("run", small, *FEW, "-S", f"network={net}", "--out", "r").code == 0
    (design,) = Run(small.parent / "r").meta["experiment"]["design"]
    assert (design["n_agents"], design["degree"]) == (6, "1 to 2")


def test_each_condition_shows_the_agents_of_its_own_network(command, tmp_path, net):
    (tmp_path / "arms.py").write_text(
        "from agentnet import CascadeExperiment\n\n"
        "class Arms(CascadeExperiment):\n"
        f"    steps, repeats, items_per_severity, n_agents, degree = 1, 1, 1, 8, 3\n"
        f"    conditions = ({{}}, {{'network': {str(net)!r}}})\n"
    )
    ran = command("run", "arms.py", "--quiet", "--out", "r")
    assert ran.code == 0, ran.err
    assert "network random_regular: 8 agents, 12 edges" in ran.err
    assert SAID in ran.err
    designs = Run(tmp_path / "r").meta["experiment"]["design"]
    assert [(design["n_agents"], design["degree"]) for design in designs] == [(8, 3), (6, "1 to 2")]


def test_a_number_of_agents_that_is_asked_for_and_not_there_is_refused(command, small, net):
    refused = command("check", small, "-S", f"network={net}", "-S", "n_agents=64")
    assert refused.code == 2
    assert "n_agents is 64, but" in refused.err
    assert "has 6 agents; leave n_agents out" in refused.err
    assert command("check", small, "-S", f"network={net}", "-S", "n_agents=6").code == 0


def test_simplify_is_an_option_and_a_knob(command, small, tmp_path):
    path = tmp_path / "loops.csv"
    path.write_text("source,target\na,b\nb,a\nb,c\nc,c\n")
    refused = command("check", small, "-S", f"network={path}")
    assert refused.code == 2
    assert "--simplify" in refused.err
    for option in (("--simplify",), ("-S", "network_options.simplify=true")):
        ran = command("run", small, *FEW, "-S", f"network={path}", *option)
        assert ran.code == 0, ran.err
        assert "  simplified: dropped 1 loop and 1 repeat" in ran.err
    assert "random_regular has no option 'simplify'" in command("check", small, "--simplify").err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            {"simplfy": True},
            "network_options.simplfy is no option of a network's file; did you mean 'simplify'",
        ),
        ({"simplify": "no"}, "network_options.simplify is 'no'; it is a bool"),
    ],
)
def test_options_of_a_network_s_file_are_checked(net, options, complaint):
    with pytest.raises(DesignError, match=complaint):
        CascadeExperiment(network=net, network_options=options).make_network(1)


def test_options_of_a_network_that_is_made_already_are_refused(net):
    made = CascadeExperiment(network=net).make_network(1)
    with pytest.raises(DesignError, match="but the network is made already; leave it out"):
        CascadeExperiment(network=made, network_options={"simplify": True}).make_network(1)


def test_names_reach_no_terminal_as_escapes(command, small, tmp_path):
    path = tmp_path / "net.csv"
    path.write_text("source,target\n\x1b[31mred,b\n\u202eben,b\n", "utf-8")
    said = command("check", small, "-S", f"network={path}").out
    assert "\\x1b[31mred, b, \\u202eben" in said
    assert "\x1b" not in said


def test_a_run_says_what_its_news_file_held_and_what_is_odd_about_it(command, small, tmp_path):
    path = tmp_path / "news.csv"
    path.write_text("id,text,severity\na,Short.,0\nb,A longer one.,1\nc,Unknown.,NA\n")
    ran = command("run", small, *FEW, "--news", path)
    assert ran.code == 0, ran.err
    assert (
        "news in the file: 3 items (1 peaceful, 1 severe, 1 unknown); texts of 6 (a) to 13 (b) char"
        in ran.err
    )
    assert "  warning: 1 row of 3 without severity" in ran.err
    assert "news in the design: 2 items (1 peaceful, 1 severe)" in ran.err


def test_the_estimate_of_a_large_network_s_file_is_of_its_own_size(command, small, net):
    # A class's n_agents of 40,000 scaled the estimate of a file of 6 agents.
    text = small.read_text().replace("n_agents = 32", "n_agents = 40_000")
    small.write_text(text)
    found = json.loads(command("check", small, "--json", "-S", f"network={net}").out)
    assert found["decisions"] <= 4 * 6 * 6
