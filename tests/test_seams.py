"""Each seam from outside the package: one file of at most 60 lines adds to it, is played and goes on."""

import json

import pytest

from agentnet import Run
from agentnet.asking_rules import ASKING_RULES, Exposures, asking_rule
from agentnet.errors import DesignError
from agentnet.families import FAMILIES, family_of

OPINIONS = """
from agentnet.experiment import NewsExperiment
from agentnet.families import NewsFamily, Setting
from agentnet.worlds import Ask, End, World
import numpy as np


class Opinion(NewsExperiment):
    family = "opinion"
    items_per_severity = 1
    repeats = 2
    rationale = "none"
    constrain = False
    rounds: int = 3
    conditions = ({"rounds": 2}, {"rounds": 3})

    def messages(self, prompts, kind, profile, item):
        return (("user", f"You are {profile.label}. What comes to your mind? {item.text}"),)


class Opinions(NewsFamily):
    name, what, answers = "opinion", "opinions", "answers"
    experiment = Opinion
    kinds = ("opinion",)

    def world(self, setting: Setting) -> World:
        # Whoever said the same as the one before has nothing to add.
        people = list(range(8))
        for step in range(setting.experiment.rounds):
            questions = [setting.voice.question("opinion", person) for person in people]
            draws = setting.chance.draws("opinion", step, np.array(people))
            nobody, once = [-1] * len(people), [0] * len(people)
            said = yield Ask("opinion", step, people, nobody, once, questions, *draws, texts=True)
            texts = [each.text for each in said]
            people = [p for p, one, other in zip(people[1:], texts, texts[1:]) if one != other]
            if not people:
                break
        return End("finished", step)
"""

THRESHOLD = """
from agentnet import CascadeExperiment
from agentnet.asking_rules import Exposures, asking_rule


class Crowd(CascadeExperiment):
    n_agents, degree, steps, items_per_severity, repeats = 32, 4, 8, 1, 2
    asking_rule = "threshold"
    least: int = 2


@asking_rule("threshold", says="an agent was asked once, when {least} of those whom it hears had shared")
def threshold(exposures: Exposures, least: int = 1) -> Exposures:
    return exposures.where(exposures.n_engaged >= least).once_per_agent()
"""

WHOLE = ("--json", "--quiet", "-S", "stack.cache=false", "-S", "log.parquet=false")


@pytest.fixture
def written(tmp_path):
    """Write a file of at most 60 lines."""

    def written(text, name="study.py"):
        assert len(text.splitlines()) <= 60
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


def play_broken(command, path, calls, *options):
    """Play a file's experiment in one go, and cut off and resumed without the file; give both digests."""
    whole = command("run", path, "--out", "whole", *WHOLE, *options)
    assert whole.code == 0, whole.err
    assert command("run", path, "--out", "cut", *WHOLE, *options, "-S", f"stack.max_calls={calls}").code == 3
    text = path.read_text()
    path.unlink()
    on = command("run", "--resume", "cut", "--json", "--quiet", "-S", "stack.max_calls=1000000")
    assert on.code == 0, on.err
    path.write_text(text)
    return json.loads(whole.out)["digest"], json.loads(on.out)["digest"]


# A family


def test_a_family_of_an_experiment_file_is_played_and_resumed(command, written):
    whole, resumed = play_broken(command, written(OPINIONS), 45)
    assert whole == resumed
    run = Run(written(OPINIONS).parent / "whole")
    query = "SELECT MAX(step) FROM events JOIN realizations USING (realization) GROUP BY condition ORDER BY 1"
    assert run.rows(query)[1] == [(1,), (2,)]
    assert run.rows("SELECT DISTINCT kind FROM events")[1] == [("opinion",)]


def test_what_a_familys_agents_say_is_part_of_the_digest(command, written, tmp_path):
    path = written(OPINIONS)
    digests = set()
    for p in ("0.0", "1.0"):
        law = ("-S", "backend.law=constant", "-S", f"backend.probability={p}", "-S", "rounds=1")
        done = command("run", path, "--out", f"run-{p}", *WHOLE, *law)
        digests.add(json.loads(done.out)["digest"])
    assert len(digests) == 2


def test_a_check_counts_what_a_family_of_ones_own_asks(command, written):
    checked = command("check", written(OPINIONS), "--json")
    told = json.loads(checked.out)
    assert told["realizations"] == 8
    assert told["decisions"] > 64
    assert told["prompts"].keys() == {"opinion"}


def test_a_reading_command_finds_the_family_where_its_file_stands_unchanged(command, written, tmp_path):
    path = written(OPINIONS)
    assert command("run", path, "--out", "run", *WHOLE).code == 0
    meta = Run(tmp_path / "run").meta
    FAMILIES._defined.pop("opinion")
    assert family_of(meta).what == "opinions"
    for text in (OPINIONS + "\nraise SystemExit('executed')\n", None):
        FAMILIES._defined.pop("opinion", None)
        path.unlink()
        if text is not None:
            path.write_text(text)
        with pytest.raises(DesignError, match=r"known: cascade, interview, ratio.*put that file back"):
            family_of(meta)
        assert command("show", "run").code == 0


@pytest.mark.parametrize(
    ("base", "name", "why"),
    [
        (
            "NewsExperiment",
            "mood",
            "nobody plays: there is no family of experiments 'mood'; known: cascade, ",
        ),
        ("NewsExperiment", "ratio", "plays subclasses of ResponseRatioExperiment alone"),
        ("Experiment", "", "does not say how it is played; subclass one of CascadeExperiment, "),
    ],
)
def test_a_class_that_no_family_stands_behind_is_refused_as_it_is_loaded(command, written, base, name, why):
    named = f"    family = {name!r}\n" if name else "    repeats = 2\n"
    path = written(f"from agentnet.experiment import {base}\nclass Mine({base}):\n{named}")
    for what in ("run", "check"):
        refused = command(what, path)
        assert refused.code == 2
        assert why in refused.err


# An asking rule


def test_an_asking_rule_of_an_experiment_file_is_played_and_resumed(command, written, tmp_path):
    whole, resumed = play_broken(command, written(THRESHOLD), 30, "-S", "least=1", "--seed", 3)
    assert whole == resumed
    run = Run(tmp_path / "whole")
    said = "an agent was asked once, when 1 of those whom it hears had shared"
    assert run.meta["asking_rules"] == [{"name": "threshold", "says": said}]
    query = "SELECT COUNT(*) FROM events WHERE kind = 'exposure' GROUP BY realization, agent"
    asked = run.rows(query)[1]
    assert len(asked) > 20
    assert set(asked) == {(1,)}


def test_each_experiment_file_has_its_own_rule_of_a_name(command, written, tmp_path):
    other = THRESHOLD.replace("when {least} of", "if {least} of").replace("least: int = 2", "least: int = 1")
    for name, text in (("one", THRESHOLD), ("two", other)):
        path = written(text, f"{name}.py")
        assert command("run", path, "--out", name, *WHOLE).code == 0
    assert command("run", "--resume", "one").code == 2  # loads the first again, and finds it finished
    lonely = written(
        "from agentnet import CascadeExperiment\nclass C(CascadeExperiment):\n    asking_rule = 'threshold'\n"
    )
    refused = command("run", lonely)
    assert refused.code == 2
    known = ", ".join(sorted(name for name in ASKING_RULES if name != "threshold"))
    assert f"there is no asking rule 'threshold'; known: {known}" in refused.err
    said = Run(tmp_path / "two").meta["asking_rules"][0]["says"]
    assert said.startswith("an agent was asked once, if 1 of")


def test_every_bundled_rule_says_what_it_does_in_a_clause_of_its_own():
    clauses = {ASKING_RULES[name].sentence for name in ("always", "unengaged_neighbour", "once_per_edge")}
    assert len(clauses) == 3
    assert all(clause.startswith("every unengaged agent") for clause in clauses)


@pytest.mark.parametrize(
    ("says", "source", "why"),
    [
        (
            "when {most} had shared",
            "lambda exposures, least=1: exposures",
            "names what is none of its options",
        ),
        ("when some had shared", "lambda exposures, least: exposures", "option without a default"),
    ],
)
def test_a_rule_whose_sentence_would_be_a_blank_is_refused(says, source, why):
    with pytest.raises(DesignError, match=why):
        asking_rule("blank", says=says)(eval(source))
    assert "blank" not in ASKING_RULES


def test_a_rule_that_gives_no_exposures_is_named(command, written):
    wrong = THRESHOLD.replace(
        "exposures.where(exposures.n_engaged >= least).once_per_agent()", "exposures.slots"
    )
    failed = command("run", written(wrong), *WHOLE)
    assert failed.code == 2
    assert "asking rule 'threshold' gives array(" in failed.err
    assert Exposures.__name__ in failed.err
