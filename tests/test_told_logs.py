"""Logs of agents that are told more than a news item, and of free worlds, are read as what they are."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel

from agentnet import Ask, CascadeExperiment, Exposure, Play, Setting, WorldExperiment
from agentnet.analysis import compare, fit_run, read_tables
from agentnet.analysis.decisions import read_engaged_now
from agentnet.analysis.measures import read_courses, read_spread
from agentnet.analysis.opinions import opinion_measures
from agentnet.analysis.profile_runs import read_sharing
from agentnet.analysis.simulation import infer_cascades, simulate
from agentnet.backend import make_backend
from agentnet.errors import DesignError, RunFolderError, UserError
from agentnet.events import Run
from agentnet.events.graphs import read_ties
from agentnet.network import Network
from agentnet.news import NewsItem
from agentnet.probe.card import FILE, Card, Finding
from agentnet.report import Options, make_report
from agentnet.report.log_tables import missing_table
from agentnet.report.part import Part, more_tables

SMALL: dict[str, Any] = {"n_agents": 32, "degree": 4, "steps": 4, "repeats": 2, "items_per_severity": 1}
FEW = Options(laws=("one_rate", "main_effects"), n_bootstrap=0, n_runs=2, figures=False, n_decisions=4)
TEXTS = ("You farm in Kansas.", "You nurse in <b>Oslo</b>.")


class Shown(CascadeExperiment):
    rationale = "none"

    def context(self, exposure: Exposure) -> dict[str, Any]:
        return {"n_shared": exposure.n_engaged, "agent": exposure.agent}


class Retelling(BaseModel):
    share: bool
    text: str


class Stances(WorldExperiment):
    n_agents = 4
    repeats = 3
    tilt: int = 0
    conditions = ({"tilt": 0}, {"tilt": 2})

    def play(self, s: Setting) -> Play:
        given = yield [Ask(a, f"{s.persona(a)} Where?", Literal[1, 2, 3], kind="stance") for a in s.agents]
        s.record(0, stance=given)
        s.post(1, "=1+1 <script>x</script>", step=1)
        s.follow(0, 1, step=1)
        s.record(5, stance=[each + self.tilt for each in given], n_ties=1)


@pytest.fixture(scope="module")
def with_personas(play: Callable[..., Run]) -> Run:
    return play(CascadeExperiment(**SMALL, personas=TEXTS))


@pytest.fixture(scope="module")
def shown(play: Callable[..., Run]) -> Run:
    return play(Shown(**SMALL))


@pytest.fixture(scope="module")
def stances(play: Callable[..., Run]) -> Run:
    return play(*(Stances().under(each) for each in Stances.conditions))


def part_of(run: Run) -> Part:
    return make_report([run], FEW).parts[0]


# Agents without profiles


def test_agents_without_profiles_have_curves_and_laws_of_curves_and_none_of_profiles(
    with_personas: Run,
) -> None:
    tables = read_tables(with_personas)
    assert not tables.profiled
    ((n_engaged,),) = with_personas.rows("SELECT COUNT(engaged_step) FROM agents")[1]
    assert tables.engaged[:, :, -1].sum() == n_engaged
    fits = fit_run(tables, laws=["one_rate", "full_logistic", "group_rates"], n_bootstrap=0)
    assert [law.law for law in fits.laws] == ["one_rate"]
    assert all("no profiles" in refused.reason for refused in fits.refused)
    assert {refused.law for refused in fits.refused} == {"full_logistic", "group_rates"}


def test_what_takes_profiles_says_that_there_are_none(with_personas: Run) -> None:
    with pytest.raises(UserError, match="no profiles"):
        read_sharing(with_personas)
    with pytest.raises(UserError, match="no profiles"):
        read_tables(with_personas).column("openness")


def test_a_report_on_personas_tells_them_and_no_profile(with_personas: Run) -> None:
    part = part_of(with_personas)
    assert "2 different texts told" in part.methods()
    assert "Big-Five" not in part.methods()
    assert "groups of profiles" not in part.methods()


def test_realizations_in_which_some_agents_alone_have_a_profile_are_damage(
    with_personas: Run, tmp_path: Path
) -> None:
    copy = Run(Path(shutil.copytree(with_personas.folder, tmp_path / "copy")))
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        connection.execute("UPDATE agents SET profile = '01101' WHERE agent = 3")
    with pytest.raises(RunFolderError, match="have a profile, and others none"):
        read_tables(copy)


def test_profiles_are_those_of_agents_where_a_prompt_tells_of_none(play: Callable[..., Run]) -> None:
    class Alike(CascadeExperiment):
        rationale = "none"

        def messages(self, prompts: Any, exposure: Exposure) -> Any:  # type: ignore[override]
            return (("user", f"Share? {exposure.item.text}"),)

    run = play(Alike(**SMALL))
    counts = read_tables(run).exposures
    asked = run.rows(
        "SELECT profile, COUNT(*) FROM events JOIN agents USING (realization, agent) "
        "WHERE kind = 'exposure' GROUP BY profile ORDER BY profile"
    )[1]
    total = np.bincount(counts.profile, counts.n_yes + counts.n_no + counts.n_missing, 32)
    assert {f"{i:05b}": n for i, n in enumerate(total.tolist()) if n} == dict(asked)
    seen = run.rows("SELECT profile, COUNT(*) FROM decisions WHERE kind = 'exposure' GROUP BY 1 ORDER BY 1")
    assert seen[1] == asked


# Initial agents, agents who stop


@pytest.mark.parametrize("initial", [3, {"share": 0.25}, (4, 9, 20)])
def test_laws_start_from_as_many_agents_as_the_run_did(play: Callable[..., Run], initial: Any) -> None:
    run = play(CascadeExperiment(**SMALL, initial_agents=initial))
    tables = read_tables(run)
    n_initial = 8 if isinstance(initial, dict) else 3
    assert (tables.engaged[:, :, 0].sum(axis=1) == n_initial).all()
    law = fit_run(tables, laws=["one_rate"], n_bootstrap=0).laws[0]
    assert law.comparison().inferred.mean[0] == pytest.approx(n_initial / 32)
    played = infer_cascades(np.full((32, 2), 0.9), tables, n_runs=6)
    assert played.engaged_fraction[:, 0] == pytest.approx(n_initial / 32)
    assert tables.seeding == ("first_yes" if initial == 3 else "uniform")
    methods = part_of(run).methods()
    assert ("until 3 were willing" in methods) == (initial == 3)
    assert ("engaged at the start without being asked" in methods) == (initial != 3)


def test_initial_agents_of_a_network_that_is_given_are_those_named() -> None:
    indptr, indices = np.array([0, 1, 3, 5, 6]), np.array([1, 0, 2, 1, 3, 2])
    network = type("Path", (), {"indptr": indptr, "indices": indices})()
    groups = {"classes": [0, 1, 2, 3], "groups": [0, 1, 2, 3]}
    found = simulate(
        np.ones(4), seed=1, n_runs=3, n_steps=3, network=network, initial=[0], rule="once_per_edge", **groups
    )
    assert (found.engaged.argmax(axis=2) == [0, 1, 2, 3]).all()


def test_shares_of_initial_agents_are_of_all_of_them(play: Callable[..., Run]) -> None:
    run = play(CascadeExperiment(**SMALL, initial_agents={"share": 0.5}))
    ((open_minded,),) = run.rows("SELECT AVG(profile LIKE '1%') FROM agents WHERE engaged_step = 0")[1]
    share = read_tables(run).initial_share(np.arange(32) // 16)
    assert share == pytest.approx([1 - open_minded, open_minded])


@pytest.mark.parametrize("again", [False, True])
def test_agents_who_stop_have_engaged_and_reports_say_that_they_stopped(
    play: Callable[..., Run], again: bool
) -> None:
    run = play(CascadeExperiment(**SMALL, recovery_rate=0.5, susceptible_again=again, initial_agents=8))
    tables = read_tables(run)
    assert (np.diff(tables.engaged.sum(axis=1), axis=1) >= 0).all()
    (note,) = [note for note in tables.notes if "stopped" in note]
    ((n,),) = run.rows("SELECT COUNT(*) FROM changes WHERE what = 'stopped'")[1]
    assert note.startswith(f"{n:,} times an engaged agent stopped")
    part = part_of(run)
    said = f"{part.methods()} {part.summary(0.95)}"
    assert "for good" not in said
    assert "are engaged" not in said
    assert ("could engage again" in said) == again
    now = read_engaged_now(run, tables)
    assert now is not None
    for row, number in enumerate(tables.realization.tolist()):
        assert now[row].tolist() == engaged_by_hand(run, number, tables.n_steps)
    ever = tables.engaged_fraction
    assert (now <= ever).all()
    assert (now[:, 0] == ever[:, 0]).all()
    (told,) = [each for each in more_tables(part)["player"] if each.name == "engaged_now"]
    assert told.rows[0][2] is None
    assert [row[1] for row in told.rows] == pytest.approx(ever.mean(axis=0).tolist())
    assert [row[3] for row in told.rows] == pytest.approx(now.mean(axis=0).tolist())
    assert f"{now[:, -1].mean():.1%} had not stopped by then" in part.summary(0.95)


def engaged_by_hand(run: Run, number: int, n_steps: int) -> list[float]:
    """Replay who engages and who stops, step by step."""
    first = f"SELECT engaged_step, agent FROM agents WHERE realization = {number}"
    changes = f"SELECT step, agent, what FROM changes WHERE realization = {number}"
    engaged, found = set(), []
    for step in range(n_steps + 1):
        engaged |= {agent for at, agent in run.rows(first)[1] if at == step}
        engaged |= {agent for at, agent, what in run.rows(changes)[1] if (at, what) == (step, "engaged")}
        engaged -= {agent for at, agent, what in run.rows(changes)[1] if (at, what) == (step, "stopped")}
        found.append(len(engaged) / SMALL["n_agents"])
    return found


def test_where_nobody_stops_nobody_is_engaged_for_a_time(shown: Run) -> None:
    assert read_engaged_now(shown, read_tables(shown)) is None
    assert not [each for each in more_tables(part_of(shown)).get("trees", ()) if each.name == "message_trees"]
    assert "are engaged" in part_of(shown).summary(0.95)


# Contexts and declared answers


def test_facts_of_contexts_are_columns_of_decisions_and_of_laws(shown: Run) -> None:
    frame = shown.frame("decisions")
    assert {"n_shared", "context_agent"} <= set(frame.columns)
    assert (frame["context_agent"] == frame["agent"]).all()
    tables = read_tables(shown, columns=["n_shared"])
    exposures = frame[frame["kind"] == "exposure"]
    column, counts = tables.column("n_shared"), tables.exposures
    for n, n_yes in exposures.groupby("n_shared")["decision"].sum().items():
        assert counts.n_yes[column == n].sum() == n_yes


def test_fields_of_declared_answers_are_columns_and_reports_claim_no_yes_or_no(
    play: Callable[..., Run],
) -> None:
    design: dict[str, Any] = {"answer": Retelling, "decides": "share", "passes_on": "text"}
    run = play(CascadeExperiment(**SMALL, **design))
    frame = run.frame("decisions")
    assert (frame["share"] == (frame["decision"] == 1)).all()
    assert frame["value_text"].map(type).eq(str).all()
    part = part_of(run)
    assert "for an answer of the form Retelling" in part.methods()
    for claim in ("yes or no,", "at its first yes", "whether they share"):
        assert claim not in part.methods()
    (messages,) = [each for each in more_tables(part)["decisions"] if each.name == "messages"]
    assert 0 < len(messages.rows) <= FEW.n_decisions
    (trees,) = [each for each in more_tables(part)["trees"] if each.name == "message_trees"]
    told = {row[1]: row[2:] for row in trees.rows}
    ((n_roots, n_messages, n_authors),) = run.rows(
        "SELECT SUM(parent IS NULL), COUNT(*), SUM(author >= 0) FROM messages JOIN realizations "
        "USING (realization) WHERE status = 'finished'"
    )[1]
    assert n_authors == n_messages - n_roots > 0
    n_trees, mean, *_ = told["nodes"]
    assert (n_trees, n_trees * mean) == (n_roots, pytest.approx(n_messages))


class Weighed(BaseModel):
    share: bool
    weight: Literal[1, 2, 3]


def test_what_settles_a_decision_is_no_column_and_what_a_missing_answer_lacks_leaves_it_out(
    play: Callable[..., Run],
) -> None:
    law = {"law": "constant", "probability": 0.5, "refusal_rate": 0.05}
    run = play(CascadeExperiment(**SMALL, answer=Weighed, decides="share"), backend=make_backend("mock", law))
    for column in ("share", "share=1", "text=sure"):
        with pytest.raises(DesignError, match="came with the answer and settles the decision"):
            read_tables(run, columns=[column])
    tables = read_tables(run, columns=["weight", "weight=2"])
    counts = tables.exposures
    missing = counts.n_missing > 0
    assert missing.any()
    assert (np.isnan(tables.column("weight")) == missing).all()
    assert (np.isnan(tables.column("weight=2")) == missing).all()
    n_missing = counts.n_missing.sum()
    assert f"{n_missing} missing answers have no weight: laws of it leave them out" in tables.notes[-2]
    (law,) = fit_run(tables, laws=["column_logistic"], by=["weight"], n_bootstrap=0, n_runs=1).laws
    assert law.fit.n_exposures == (counts.n_yes + counts.n_no).sum()


def test_a_missing_answer_without_a_model_is_left_out_of_a_law_of_models(
    play: Callable[..., Run], tmp_path: Path
) -> None:
    law = {"law": "constant", "probability": 0.5, "rejected_rate": 0.05}
    run = play(CascadeExperiment(**SMALL), backend=make_backend("mock", law))
    tables = read_tables(run, columns=["model=mock-constant"])
    told = tables.exposures.n_missing == 0
    assert not told.all()
    assert set(tables.column("model=mock-constant")[told]) == {1.0}
    assert np.isnan(tables.column("model=mock-constant")[~told]).all()


# Free worlds


class Turning(WorldExperiment):
    n_agents, repeats = 4, 3
    network: Any = Network.from_edges([(0, 1), (1, 2), (2, 3)], 4)

    def play(self, s: Setting) -> Play:
        stance = [-2.0, -2.0, 2.0, None]
        s.record(0, stance=stance, calm=1.0)
        s.unfollow(2, 1, step=1)
        s.unfollow(1, 2, step=1)
        s.record(1, stance=stance)
        s.follow(3, 0, step=2)
        s.follow(2, 1, step=2)
        s.record(2, stance=[float(s.repeat), -2.0, 2.0, 2.0])
        yield []


def test_how_what_agents_say_spreads_over_them_and_their_ties_is_measured_by_step(
    play: Callable[..., Run],
) -> None:
    run = play(Turning())
    found = {each.name: each for each in read_spread(run)}
    assert found.keys() == {"stance diversity", "stance polarization", "stance echo", "stance agreement"}
    ties = [
        [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)],
        [(0, 1), (1, 0), (2, 3), (3, 2)],
        [(0, 1), (0, 3), (1, 0), (1, 2), (2, 3), (3, 2)],
    ]
    for number in range(3):
        stances = [[-2, -2, 2, np.nan], [-2, -2, 2, np.nan], [number, -2, 2, 2]]
        expected = opinion_measures(stances, lambda step: np.array(ties[step]))
        for name, values in expected.items():
            if name != "bias":
                assert found[f"stance {name}"].value[number] == pytest.approx(values, nan_ok=True)
        assert read_ties(run, number)(2).tolist() == [list(tie) for tie in ties[2]]
    part = part_of(run)
    (told,) = [each for each in more_tables(part)["found"] if each.name == "measures"]
    rows = {(row[0], row[2]): row[3:] for row in told.rows}
    mean, low, high = found["stance echo"].interval(0.95)
    assert rows["stance echo", 2] == (pytest.approx(mean[2]), pytest.approx((low[2], high[2])), 3)
    assert rows["calm", 0][0] == 1.0


def test_a_single_realization_has_no_intervals_of_how_opinions_spread(play: Callable[..., Run]) -> None:
    part = part_of(play(Turning(repeats=1)))
    (told,) = [each for each in more_tables(part)["found"] if each.name == "measures"]
    assert {row[4] for row in told.rows} == {None}


def test_measures_of_free_worlds_are_read_by_step_and_compared_by_their_last_value(stances: Run) -> None:
    first, _, other, _ = sorted(
        read_courses(stances), key=lambda each: (each.condition, each.name != "stance")
    )
    assert (first.name, first.steps, first.of_agents, len(first.repeats)) == ("stance", (0, 5), True, 3)
    assert other.value[:, 1] - other.value[:, 0] == pytest.approx(2.0)
    found = compare(stances, "stance")
    assert found.contrasts[0].contrast.value == pytest.approx(2.0)
    assert found.contrasts[0].contrast.n_repeats == 3
    with pytest.raises(UserError, match=r"'nothing'.*stance"):
        compare(stances, "nothing")


def test_a_report_on_free_worlds_shows_measures_answers_messages_and_changes(stances: Run) -> None:
    part = part_of(stances)
    tables = {each.name: each for each in more_tables(part)["found"]}
    assert set(tables) == {"measures", "answers", "messages", "changes", "convergence"}
    assert sum(row[3] for row in tables["answers"].rows) == 24
    assert tables["changes"].rows[0][:2] == ("follows", 6)
    report = make_report([stances], FEW)
    assert [each.measure for each in report.conditions[0].comparisons] == ["n_ties", "stance"]
    assert "They wrote 6 messages" in part.methods()


def test_a_report_on_free_worlds_has_the_trees_of_their_messages_by_condition(
    play: Callable[..., Run],
) -> None:
    class Chains(WorldExperiment):
        n_agents = 3
        nudge: str = ""

        def play(self, s: Setting) -> Play:
            said = None
            for agent in s.agents:
                (text,) = yield [Ask(agent, f"Write. {self.nudge}", str)]
                said = s.post(agent, text, said, step=agent)

    nudge = "Think first of what somebody who disagrees with you would say to that."
    report = make_report([play(Chains(), Chains(nudge=nudge))], FEW)
    (table,) = [each for each in more_tables(report.parts[0])["found"] if each.name == "trees"]
    sizes = {row[0]: row[3] for row in table.rows if row[1] == "nodes"}
    assert sizes == dict.fromkeys([each.name for each in report.conditions[0].trees], 3.0)
    told = list(report.conditions[0].names)
    assert told == ["as designed", "nudge Think first of what somebody who disagre... say to that."]


def test_laws_that_a_world_has_none_of_are_refused_with_where_its_answers_are(stances: Run) -> None:
    with pytest.raises(UserError, match=r'free worlds, not of cascades; Run\.frame\("decisions"\) has their'):
        read_tables(stances)


def test_a_query_for_a_fact_of_a_context_is_told_where_it_is(shown: Run) -> None:
    with pytest.raises(UserError, match=r"is (json_extract\(context, '\$\.n_shared'\)) or") as refused:
        shown.query("SELECT n_shared FROM decisions")
    path = str(refused.value).partition(" is json_extract")[2].partition(" or ")[0]
    rows = shown.rows(f"SELECT json_extract{path} FROM decisions WHERE kind = 'exposure'")[1]
    assert {n for (n,) in rows} == set(shown.frame("decisions").query("kind == 'exposure'")["n_shared"])


def test_messages_that_answer_none_make_no_trees(stances: Run) -> None:
    report = make_report([stances], FEW)
    assert report.conditions[0].trees == ()


def test_messages_of_agents_are_escaped_on_the_page(stances: Run) -> None:
    from agentnet.report.write import write_report

    folder = stances.folder.parent / "told report"
    write_report([stances], folder, replace(FEW, n_decisions=9))
    page = (folder / "report.html").read_text("utf-8")
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert "<script>x" not in page
    assert "\"'=1+1" in (folder / "tables" / "worlds_messages.csv").read_text("utf-8")


def test_worlds_keep_where_their_news_come_from(play: Callable[..., Run]) -> None:
    class Reading(WorldExperiment):
        n_agents = 2
        repeats = 1

        def choose_news(self, seed: int) -> Any:
            return (NewsItem("n1", "Something happened.", licence="CC BY 4.0", source="table"),)

        def play(self, s: Setting) -> Play:
            yield [Ask(0, f"{s.items[0].text} Well?", kind="well", message=s.messages[0])]

    run = play(Reading())
    assert (run.meta["licences"], list(run.meta["sources"])) == (["CC BY 4.0"], ["table"])
    assert "Licence of the news: CC BY 4.0." in part_of(run).citations()


def test_a_measure_that_is_missing_counts_nowhere(play: Callable[..., Run]) -> None:
    class Gaps(WorldExperiment):
        n_agents = 2
        repeats = 2

        def play(self, s: Setting) -> Play:
            yield [Ask(0, "Well?", kind="well")]
            s.record(0, mood=1.0)
            s.record(1, mood=float("nan") if s.repeat else 3.0)

    (course,) = read_courses(play(Gaps()))
    mean, low, _ = course.interval(0.95)
    assert (mean.tolist(), np.isnan(low[1])) == ([1.0, 3.0], True)
    assert course.ends() == {0: 3.0, 1: 1.0}


class Shares(WorldExperiment):
    """Records a share, what is none, and truths of agents."""

    n_agents = 4
    repeats = 3
    conditions = ({"times": 1}, {"times": 2})
    times: int = 1

    def play(self, s: Setting) -> Play:
        yield [Ask(0, "Well?", kind="well")] * self.times
        share = (0.01, 0.02, 0.98)[s.repeat]
        s.record(1, share=share, signed=share - 0.5, said=[share > 0.5 for _ in s.agents])


def test_the_interval_of_a_share_that_a_world_recorded_lies_where_shares_do(play: Callable[..., Run]) -> None:
    run = play(*(Shares().under(each) for each in Shares.conditions))
    by_name = {each.name: each for each in read_courses(run) if each.condition == 0}
    for name in ("share", "said"):
        _, low, high = by_name[name].interval(0.95)
        assert 0 < low[0] < high[0] < 1
    assert by_name["signed"].interval(0.95)[1][0] < -0.5  # it has no bounds that the log would know
    compared = compare(run, "share")
    assert all(0 < each.estimate.low < each.estimate.high < 1 for each in compared.estimates)


# The credibility card


class Remembering(WorldExperiment):
    n_agents = 3
    repeats = 1
    remembers: bool = True
    betrays: bool = False

    def play(self, s: Setting) -> Play:
        task = "You are in an experiment. " if self.betrays else ""
        post = "Everything that happens here happens for a reason."
        yield [Ask(0, f"{task}Write about it.", kind="post")]
        told = s.post(0, post, step=1) if self.remembers else None
        yield [Ask(1, f"{post if self.remembers else ''} Well?", kind="read", message=told)]
        other = s.post(2, "Nothing that happens here happens for a reason.", step=2)
        read = f"{post} {other.text}" if self.remembers else ""
        yield [Ask(1, f"{read} And now?", kind="read", message=other)]


def states(part: Part) -> dict[str, str]:
    (card,) = [each for each in more_tables(part)["design"] if each.name == "credibility"]
    return {str(row[0]).partition(":")[0]: str(row[1]) for row in card.rows}


@pytest.mark.parametrize("remembers", [False, True])
@pytest.mark.parametrize("betrays", [False, True])
def test_the_card_says_what_prompts_hold(play: Callable[..., Run], remembers: bool, betrays: bool) -> None:
    part = part_of(play(Remembering(remembers=remembers, betrays=betrays)))
    found = states(part)
    assert found["interaction"] == ("met" if remembers else "not known from the log")
    assert found["memory"] == ("met" if remembers else "not known from the log")
    assert found["unawareness"] == ("not met" if betrays else "met")
    assert found["profile"] == "met"
    spoken = part.facts.spoken
    assert (spoken.n_questions, spoken.n_with_others, spoken.n_with_memory) == (
        (3, 2, 1) if remembers else (3, 0, 0)
    )


class Alone(WorldExperiment):
    n_agents, network = 1, "complete"
    repeats = 2

    def play(self, s: Setting) -> Play:
        (before,) = yield [Ask(0, "Do you like it?", bool, kind="likes")]
        s.record(0, likes=[bool(before)])
        yield [Ask(0, f"You said {before}. And now?", bool, kind="likes")]


def test_what_a_world_says_of_its_own_answers_is_not_called_absent_nor_what_is_alike_certain(
    play: Callable[..., Run],
) -> None:
    part = part_of(play(Alone(), backend=make_backend("mock", {"law": "constant", "probability": 1.0})))
    found = states(part)
    assert (found["interaction"], found["memory"]) == ("not known from the log",) * 2
    assert "2 realizations of 1 agent ended, after 2 turns of questions" in part.methods()
    assert "likes (4 times)" in part.methods()
    assert list(part.findings(0.95)) == ["likes, mean over agents is 1 at step 0"]
    (measured,) = [each for each in more_tables(part)["found"] if each.name == "measures"]
    assert {row[4] for row in measured.rows} == {None}


def test_bounds_are_not_spoken_of_where_none_are_computed(
    play: Callable[..., Run],
) -> None:
    seldom = make_backend("mock", {"invalid_rate": 0.5})

    class Once(Alone):
        def play(self, s: Setting) -> Play:
            yield [Ask(0, f"Do you like {each}?", bool, kind="likes") for each in range(9)]

    of_world = missing_table(part_of(play(Once(), backend=seldom, max_asks=1)).facts)
    of_cascades = missing_table(part_of(play(CascadeExperiment(**SMALL), backend=seldom, max_asks=1)).facts)
    assert of_world is not None
    assert of_cascades is not None
    assert of_world.notes == ("A missing answer is none of the others, and counts nowhere.",)
    assert "it engages nobody" in of_cascades.notes[0]


def test_words_of_a_study_are_not_called_absent_where_they_are_not_known(play: Callable[..., Run]) -> None:
    class Chinese(CascadeExperiment):
        def messages(self, *_: object) -> Any:
            return [("user", "这是一个模拟实验。你愿意分享吗？")]

    found = states(part_of(play(Chinese(**SMALL))))
    assert found["unawareness"] == "not known from the log"


def test_the_card_of_a_cascade_that_is_told_news_alone_finds_neither_words_nor_memory(
    play: Callable[..., Run],
) -> None:
    found = states(part_of(play(CascadeExperiment(**SMALL))))
    assert (found["interaction"], found["memory"], found["profile"]) == ("not met", "not met", "met")


def test_the_card_cites_the_probe_that_lies_with_the_run(play: Callable[..., Run]) -> None:
    run = play(CascadeExperiment(**SMALL))
    found = [
        Finding(check=name, title="", verdict=verdict, threshold="")
        for name, verdict in (("order", "fails"), ("mass", "passes"))
    ]

    def fact(model_name: str, findings: list[Finding]) -> str:
        card = Card(
            made_at=0.0,
            agentnet="1",
            backend="mock",
            asked="questions",
            seed=0,
            lists_probabilities=True,
            temperature=1.0,
            answer_format="a word",
            notes=(),
            model_name=model_name,
            findings=findings,
            n_calls=2,
        )
        (run.folder / FILE).write_text(card.model_dump_json())
        tables = more_tables(part_of(run))["design"]
        (table,) = [each for each in tables if each.name == "credibility"]
        return str(next(row for row in table.rows if str(row[0]).startswith("minimal control"))[2])

    model_name = run.meta["model_name"]
    told = "; agentnet probe of this model: 1 fails, 1 passes (fails: order)"
    assert fact(model_name, found).endswith(told)
    assert fact(model_name, found[1:]).endswith("; agentnet probe of this model: 1 passes")
    assert fact("other", found).endswith("; the probe that lies with the run is of another model (other)")


# What a page says of nothing


class Idle(WorldExperiment):
    n_agents = 2
    repeats = 2

    def play(self, s: Setting) -> Play:
        s.record(0, nothing=0.1 + 0.2 - 0.3)
        yield []


def test_a_world_that_asks_nobody_has_no_table_of_answers_and_no_dust(
    play: Callable[..., Run], tmp_path: Path
) -> None:
    from agentnet.report.write import write_report

    write_report([play(Idle())], tmp_path / "report", Options(figures=False))
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Nobody was asked anything." in page
    assert "No answer is missing" not in page
    assert not list((tmp_path / "report" / "tables").glob("*questions*"))
    assert "e-17" not in page
    assert "Nothing is 0 at step 0" in page


def test_no_dust_is_shown_to_people_and_files_hold_what_was_computed() -> None:
    from agentnet.analysis.fits import plain
    from agentnet.report.tables import Table, spelled_cell

    assert spelled_cell("interval", (-1.3e-17, 0.5)) == "0 to 0.5"
    assert (spelled_cell("rmse", 4e-16), spelled_cell("p_value", 4e-16)) == ("0", "4e-16")
    assert plain({"density": 1e-19}) == {"density": 1e-19}
    table = Table("t", "T", {"gap": "gap", "interval": "interval"}, ((1e-18, (-1e-17, 0.5)),))
    assert table.to_csv().splitlines()[1] == "1e-18,-1e-17,0.5"


def test_thousands_are_spelled_in_one_way(play: Callable[..., Run], tmp_path: Path) -> None:
    from agentnet.report.write import write_report

    run = play(CascadeExperiment(n_agents=256, degree=12, steps=6, repeats=3, items_per_severity=1))
    assert run.rows("SELECT COUNT(*) FROM events WHERE kind = 'exposure'")[1][0][0] > 1000
    write_report([run], tmp_path / "report", Options(figures=False))
    page = re.sub(
        r"<(style|script).*?</\1>|<[^>]+>",
        " ",
        (tmp_path / "report" / "report.html").read_text(),
        flags=re.DOTALL,
    )
    things = "decision|exposure|answer|question|call|prompt|completion|realization|cascade"
    assert re.search(rf"\d,\d{{3}} (?:{things})", page)
    assert not re.findall(rf".{{0,20}}(?<![\d,.])\b\d{{4,}} (?:{things})", page)


def test_one_is_not_counted_as_several(play: Callable[..., Run]) -> None:
    from agentnet.events.spending import cost_words

    run = play(CascadeExperiment(n_agents=1, network="complete", steps=1, repeats=1, items_per_severity=1))
    (part,) = make_report([run], Options(figures=False)).parts
    spent = replace(part.facts.spending, calls=1, prompt_tokens=1, completion_tokens=1)
    assert "1 call, 1 prompt token and 1 completion token," in cost_words(spent)
    assert "of 1 agent engaged" in part.player.shown[0].title
