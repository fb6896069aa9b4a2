"""Each seam from outside the package: one file of at most 60 lines adds to it, is played and goes on."""

import json
import sqlite3
from contextlib import closing

import pytest

from agentnet import Run
from agentnet.analysis.comparison import compare
from agentnet.asking_rules import ASKING_RULES, Exposures, asking_rule
from agentnet.errors import DesignError
from agentnet.families import FAMILIES, family_of
from agentnet.report.figures.sketch import FIGURES
from agentnet.report.part import TABLES

OPINIONS = """\
from agentnet.experiment import NewsExperiment
from agentnet.families import NewsFamily, NewsSetting
from agentnet.report.figures.sketch import Drawn, figure
from agentnet.report.figures.style import new_figure
from agentnet.report.part import table
from agentnet.report.plain_part import PlainPart
from agentnet.report.tables import Table
from agentnet.worlds import Ask, End, World
import numpy as np

SAID = "SELECT step, COUNT(*) FROM events WHERE kind = 'opinion' GROUP BY step ORDER BY step"
TALK = '''SELECT c.condition, n.id, r.repeat, COUNT(e.step) / 8.0 FROM realizations r
    JOIN {condition_of} c USING (realization) JOIN news n USING (news)
    LEFT JOIN events e ON e.realization = r.realization AND e.step > 0 GROUP BY r.realization'''

class Opinion(NewsExperiment):
    family = "opinion"
    items_per_severity, repeats, rationale, constrain = 1, 2, "none", False
    rounds: int = 3
    conditions = ({"rounds": 2}, {"rounds": 3})

    def messages(self, prompts, kind, profile, item):
        return (("user", f"You are {profile.label}. What comes to your mind? {item.text}"),)

class Opinions(NewsFamily):
    name, what, answers, experiment = "opinion", "opinions", "answers", Opinion
    kinds, queries = ("opinion",), {"talk": ("opinions of a person after the first round", TALK)}

    def world(self, setting: NewsSetting) -> World:
        people = list(range(8))
        for step in range(setting.experiment.rounds):
            asked = [setting.voice.question("opinion", person) for person in people]
            draws = setting.chance.draws("opinion", step, np.array(people, dtype=int))
            sources, repeats = [-1] * len(people), [0] * len(people)
            said = yield Ask("opinion", step, people, sources, repeats, asked, *draws, texts=True)
            people = [p for p, one, other in zip(people[1:], said, said[1:]) if one.text != other.text]
        return End("finished", step)

    def parts(self, reading):
        return [OpinionPart(facts, run) for run, facts in reading.of(self.name)]

class OpinionPart(PlainPart):
    name, subject, headline = "opinions", "opinions", "Opinions of people who talk"

    def findings(self, level):
        yield f"{self.run.rows(SAID)[1][-1][1]} opinions were said in the last round"

    def how_played(self):
        yield "Whoever said the same as the one before fell silent"

@figure("silence", of="opinions", title="How people fall silent")
def silence(part: OpinionPart) -> Drawn:
    drawn = new_figure(4.0, 3.0)
    drawn.add_subplot().plot(*zip(*part.run.rows(SAID)[1]))
    return Drawn(drawn, "Opinions by round.", "Fewer and fewer.")

@table("rounds", of="opinions", section="found")
def rounds(part: OpinionPart) -> Table:
    columns = {"step": "round", "n": "opinions"}
    return Table("rounds", "Opinions by round", columns, tuple(part.run.rows(SAID)[1]))
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


def resulting(gives: str) -> tuple[str, str]:
    """Say what is to be replaced by what in `OPINIONS` for its part of a report to give these results."""
    after = "\n    def how_played(self):\n"
    return after, f"    results = lambda self, level: {gives}{after}"


WHOLE = ("--json", "--quiet", "-S", "stack.cache=false", "-S", "log.parquet=false")


@pytest.fixture(autouse=True)
def forget():
    """What a test's files define is gone with the test."""
    kinds = (FAMILIES, ASKING_RULES, FIGURES, TABLES)
    yield
    for kind in kinds:
        for name in [name for name, each in kind._defined.items() if each.is_fleeting]:
            del kind._defined[name]


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


@pytest.mark.parametrize("place", ['yield Ask("opinion"', 'question("opinion"'])
def test_what_a_family_asks_of_a_kind_that_it_does_not_declare_is_refused(command, written, place):
    for kind in ("opinoin", "exposure"):
        path = written(OPINIONS.replace(place, place.replace("opinion", kind)))
        refused = command("run", path, "--out", f"run-{kind}", *WHOLE)
        assert refused.code == 2
        assert f"of kind '{kind}'" in refused.err
        assert "known: opinion, reason" in refused.err
        FAMILIES._defined.pop("opinion")


@pytest.mark.parametrize(
    ("hook", "gives", "said"),
    [
        ("n_realizations", "0", "0 realizations of a news item; it has a whole number"),
        ("n_realizations", "1.5", "1.5 realizations of a news item"),
        ("stage", "None", "stage of family 'opinion' gives None; it gives a Stage"),
    ],
)
def test_a_family_with_nothing_to_play_is_refused(command, written, hook, gives, said):
    path = written(OPINIONS)
    method = f"    def {hook}(self, *what):\n        return {gives}\n\n"
    path.write_text(OPINIONS.replace("    def world(", f"{method}    def world("))
    refused = command("check", path)
    assert refused.code == 2
    assert said in refused.err


def test_a_family_may_count_its_realizations_by_an_integer_of_numpy(command, written):
    path = written(OPINIONS)
    method = '    def n_realizations(self, *what):\n        return __import__("numpy").int64(2)\n\n'
    path.write_text(OPINIONS.replace("    def world(", f"{method}    def world("))
    checked = command("check", path)
    assert checked.code == 0, checked.err


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("{'a': {1, 2}}", "a is {1, 2}, which JSON has nothing for"),
        ("{'a': [__import__('datetime').date(2024, 1, 2)]}", "a is datetime.date(2024, 1, 2)"),
        ("{'a': {(1, 2): 3, frozenset(): 4}}", "a key of a is frozenset()"),
        ("{'a': {1: 3, '1': 4}}", "two keys of a are spelled alike"),
        ("{'a': chr(0xD83D)}", "a is '\\ud83d'"),
        ("[1]", "not a mapping"),
    ],
)
def test_results_of_a_part_that_are_no_json_are_told_as_its_own_fault(command, written, gives, said):
    assert command("run", written(OPINIONS.replace(*resulting(gives))), "--out", "run", *WHOLE).code == 0
    told = command("report", "run", "--output", "report", "--bootstraps", 0, "--no-figures", "--quiet")
    assert told.code == 2
    assert "cannot be laid out" in told.err
    assert said in told.err


def test_what_a_familys_agents_say_is_part_of_the_digest(command, written, tmp_path):
    assert command("run", written(OPINIONS), "--out", "run", *WHOLE).code == 0
    run = Run(tmp_path / "run")
    before = run.digest()
    with closing(sqlite3.connect(run.path)) as connection, connection:
        connection.execute("UPDATE replies SET text = 'otherwise' WHERE reply = 1")
    assert run.digest() != before


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


def test_what_a_family_says_of_its_runs_is_in_the_report(command, written, tmp_path):
    numbers = '{**PlainPart.results(self, level), "numbers": {1: np.int64(2), "x": np.array([np.nan, 1])}}'
    path = written(OPINIONS.replace(*resulting(numbers)))
    assert command("run", path, "--out", "run", *WHOLE).code == 0
    told = command("report", "run", "--output", "report", "--bootstraps", 20, "--quiet")
    assert told.code == 0, told.err
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    (part,) = results["parts"]
    assert part["numbers"] == {"1": 2, "x": [None, 1]}
    (last,) = Run(tmp_path / "run").rows("SELECT COUNT(*) FROM events WHERE step = 2")[1]
    found = f"{last[0]} opinions were said in the last round"
    assert part["found"] == [found]
    assert "Whoever said the same as the one before fell silent." in part["methods"]
    assert [each["name"] for each in part["figures"]] == ["silence"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert all(text in page for text in (found, "How people fall silent", "Opinions by round"))
    table = (tmp_path / "report" / "tables" / "opinions_rounds.csv").read_text()
    assert len(table.splitlines()) == 4
    assert {"opinions_design.csv", "opinions_design_1.csv", "conditions_contrasts.csv"} <= {
        each.name for each in (tmp_path / "report" / "tables").iterdir()
    }


@pytest.mark.parametrize(
    ("method", "gives", "said"),
    [
        ("findings", "None", "what OpinionPart says of run cannot be laid out: TypeError"),
        ("findings", "'hello'", "findings of part 'opinions' are 'hello'; give a list of sentences"),
        ("title", "3", "title of part 'opinions' is 3"),
    ],
)
def test_what_a_part_says_is_held_to_what_a_page_can_show(command, written, method, gives, said):
    path = written(OPINIONS)
    path.write_text(f"{OPINIONS}\nOpinionPart.{method} = lambda self, *what: {gives}\n")
    assert command("run", path, "--out", "run", *WHOLE).code == 0
    refused = command("report", "run", "--no-figures")
    assert refused.code == 2
    assert said in refused.err


def test_conditions_of_a_family_are_compared_in_a_measure_of_its_own(command, written, tmp_path):
    assert command("run", written(OPINIONS), "--out", "run", *WHOLE).code == 0
    rows = Run(tmp_path / "run").frame("decisions").query("step > 0")
    by_hand = rows.groupby(["condition", "realization"]).size().groupby("condition").mean() / 8
    found = compare(tmp_path / "run", "talk")
    assert [each.estimate.value for each in found.estimates] == pytest.approx(by_hand.tolist())
    (contrast,) = found.contrasts
    assert contrast.contrast.value == pytest.approx(by_hand[1] - by_hand[0])
    assert contrast.contrast.n_repeats == 4
    with pytest.raises(DesignError, match="no measure 'talks'; did you mean 'talk'"):
        compare(tmp_path / "run", "talks")


def test_commands_for_other_families_say_what_a_run_is_and_the_way_out(command, written):
    assert command("run", written(OPINIONS), "--out", "run", *WHOLE).code == 0
    refused = command("fit", "run")
    assert (refused.code, refused.out) == (2, "")
    assert (
        "is a run of opinions, not of cascades; see what they found with: agentnet report run" in refused.err
    )
    refused = command("predict", "run", "run")
    assert refused.code == 2
    assert "nobody decides about news" in refused.err


def test_kinds_of_questions_from_outside_stand_in_the_views(command, written, tmp_path):
    assert command("run", written(OPINIONS), "--out", "run", *WHOLE).code == 0
    shown = json.loads(command("show", "run", "--json").out)
    n = shown["events_by_kind"]["opinion"]
    assert (shown["answers"], shown["decisions"]) == (n, 0)
    asked = "SELECT kind, COUNT(*) AS n, COUNT(text) AS said FROM decisions GROUP BY kind"
    (row,) = json.loads(command("query", "run", asked, "--json").out)
    assert row == {"kind": "opinion", "n": n, "said": n}
    assert command("export", "run", "--format", "csv").code == 0
    lines = (tmp_path / "run" / "csv" / "decisions.csv").read_text().splitlines()
    assert len([line for line in lines if '"opinion"' in line]) == n


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "run"),
        ("report", "run", "--quiet"),
        ("predict", "run", "run"),
        ("news", "cluster", "run", "--out", "clusters.json"),
        ("show", "run"),
        ("export", "run", "--format", "csv"),
        ("export", "run", "--format", "gexf"),
    ],
)
def test_a_family_that_nobody_knows_is_an_error_that_says_the_way_out(command, unknown, arguments):
    refused = command(*arguments)
    assert refused.code == 2
    assert "there is no family of experiments 'opinion'; known: cascade, interview, ratio" in refused.err
    assert "put that file back" in refused.err
    assert not any((unknown / name).exists() for name in ("report", "csv", "gexf"))


def test_a_run_of_a_family_that_nobody_knows_can_still_be_listed_and_asked(command, unknown):
    assert "finished" in command("ls", "-S", f"runs={unknown.parent}").out
    assert "finished" in command("show", "run").out
    assert command("query", "run", "SELECT COUNT(*) FROM events").code == 0


@pytest.fixture
def unknown(command, written, tmp_path):
    """Play a run whose family is gone with its file."""
    path = written(OPINIONS)
    assert command("run", path, "--out", "run", *WHOLE).code == 0
    path.unlink()
    FAMILIES._defined.pop("opinion")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("base", "name", "why"),
    [
        (
            "NewsExperiment",
            "mood",
            "nobody plays: there is no family of experiments 'mood'; known: cascade, ",
        ),
        ("Experiment", "opinion", "nobody plays: there is no family of experiments 'opinion'"),
        ("NewsExperiment", "ratio", "plays subclasses of ResponseRatioExperiment alone"),
        ("Experiment", "", "does not say how it is played; subclass one of CascadeExperiment, "),
    ],
)
def test_a_class_that_no_family_stands_behind_is_refused_as_it_is_loaded(command, written, base, name, why):
    # Unannotated, like what it sets of its own: nobody knows yet what the knobs of an unknown family are.
    named = f"    family = {name!r}\n    rounds = 2\n" if name else "    repeats = 2\n"
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


@pytest.mark.parametrize("is_there", [True, False])
def test_an_asking_rule_is_fitted_and_stands_in_the_methods_paragraph(command, written, tmp_path, is_there):
    path = written(THRESHOLD)
    assert command("run", path, "--out", "run", *WHOLE, "-S", "least=1", "--seed", 3).code == 0
    ASKING_RULES._defined.pop("threshold")
    if not is_there:
        path.unlink()
    quick = ("--runs", 4, "--bootstraps", 0)
    fitted = command("fit", "run", "--law", "one_rate", "--json", *quick)
    assert fitted.code == 0, fitted.err
    assert json.loads(fitted.out)["laws"][0]["law"] == "one_rate"
    told = command(
        "report", "run", "--law", "main_effects", "--no-figures", "--decisions", 0, "--quiet", *quick
    )
    assert told.code == 0, told.err
    (part,) = json.loads((tmp_path / "run" / "report" / "results.json").read_text())["parts"]
    assert "when 1 of those whom it hears had shared" in part["methods"]
    assert "for each" not in part["methods"]


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
        ("when {least} had shared", "lambda exposures, least=1, /: exposures", "options by name: .*'least'"),
        ("when some had shared", "lambda: 1", "called with exposures, .*: too many positional"),
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
