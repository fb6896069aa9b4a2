"""A report states what the log shows: no sentence stays that a knob or an overridden method makes false."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentnet import CascadeExperiment, InterviewExperiment, ResponseRatioExperiment
from agentnet.asking_rules import ASKING_RULES
from agentnet.backend import make_backend
from agentnet.errors import DesignError, RunFolderError
from agentnet.events import Run
from agentnet.events.spending import cost_words
from agentnet.network import Network
from agentnet.report import Options, make_report
from agentnet.report.log_facts import read_facts
from agentnet.report.log_tables import costs_table, troubles_table
from agentnet.report.part import Part, Place, more_tables
from agentnet.report.ratio_tables import ratios_table
from agentnet.report.tables import Table, known_interval, spelled_cell

SMALL: dict[str, Any] = {"n_agents": 32, "degree": 4, "steps": 3, "repeats": 1, "items_per_severity": 1}
FEW = Options(laws=("one_rate",), n_bootstrap=0, n_runs=2, figures=False, n_decisions=4)
MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

CASCADES = {
    "make_network": ("network random_regular", "networks, profiles"),
    "assign_profiles": ("in equal number", "were dealt"),
    "messages": (
        "whether agents share",
        "whether they share",
        "decides whether to share",
        "has shared it;",
    ),
    "load_prompts": ("whether agents share", "whether they share", "decides whether to share"),
    "judge": ("read as yes or no",),
    "constraint": ("constrained: true",),
    "context": ("not which neighbour", "agents have no memory"),
    "remark": ("not which neighbour", "agents have no memory"),
    "react": ("engaged for good", "engage together, for good", "susceptible-infected"),
    "rule": ("the language model is its rule.",),
    "network_at": ("links, fixed in a realization", "nothing else drives"),
    "assign_personas": ("were dealt", "big-five personality", "five binary traits", "group of profiles"),
    "deal_voices": (),
}
RATIOS = {
    "messages": ("whether it would share", "yes-ratios of profiles", "one json object"),
    "load_prompts": ("whether it would share", "one json object"),
    "judge": ("read as yes or no",),
    "constraint": ("constrained: true",),
}
INTERVIEWS = {
    "make_topology": ("topology full",),
    "load_questions": ("bank bundled",),
    "choose_taught": ("of its class's topic",),
}


def parts_of(*runs: Run) -> tuple[Part, ...]:
    return make_report(list(runs), FEW).parts


@pytest.fixture(scope="module")
def cascades(play: Callable[..., Run]) -> Part:
    return parts_of(play(CascadeExperiment(**SMALL)))[0]


@pytest.fixture(scope="module")
def ratios(play: Callable[..., Run]) -> Part:
    return parts_of(play(ResponseRatioExperiment(items_per_severity=1, repeats=1)))[0]


@pytest.fixture(scope="module")
def interviews(play: Callable[..., Run]) -> Part:
    design: dict[str, Any] = {"models": {"society": 2, "science": 2}, "n_evaluation": 2, "n_questions": 1}
    short = [InterviewExperiment(**design, n_taught=2, steps=steps) for steps in (1, 2)]
    return parts_of(play(*short))[0]


def with_log(part: Part, *, knobs: dict[str, Any] | None = None, says: str = "", **experiment: Any) -> Any:
    """Give the same part of a run whose log has these knobs in all conditions, this rule, these facts."""
    recorded = part.facts.meta["experiment"]
    design = [each | (knobs or {}) for each in recorded["design"]]
    meta = {**part.facts.meta, "experiment": {**recorded, "design": design, **experiment}}
    meta["asking_rules"] = [{"says": says}] if says else None
    return replace(part, facts=replace(part.facts, meta=meta))  # type: ignore[type-var]


def said_by(part: Part) -> str:
    """All that a part says of how its run was played, in small letters."""
    tables = [block for block in part.checklists() if isinstance(block, Table)]
    cells = [str(cell) for table in tables for row in table.rows for cell in row]
    return "\n".join([part.summary(0.95), part.methods(), *cells]).lower()


@pytest.mark.parametrize(
    ("family", "claims"), [("cascades", CASCADES), ("ratios", RATIOS), ("interviews", INTERVIEWS)]
)
@given(data=st.data())
@MANY
def test_what_an_overridden_method_would_make_false_is_gone_and_the_method_is_named(
    family: str, claims: dict[str, Sequence[str]], request: pytest.FixtureRequest, data: st.DataObject
) -> None:
    part: Part = request.getfixturevalue(family)
    overridden = data.draw(st.lists(st.sampled_from(sorted(claims)), unique=True))
    said = said_by(with_log(part, overridden=overridden))
    for method in overridden:
        assert f"own {method}" in said or f"and {method}" in said or f", {method}" in said
        for claim in claims[method]:
            assert claim not in said, (method, claim)


@pytest.mark.parametrize(
    ("family", "claims"), [("cascades", CASCADES), ("ratios", RATIOS), ("interviews", INTERVIEWS)]
)
def test_these_claims_are_made_where_nothing_is_overridden(
    family: str, claims: dict[str, Sequence[str]], request: pytest.FixtureRequest
) -> None:
    said = said_by(with_log(request.getfixturevalue(family), overridden=[]))
    assert [claim for every in claims.values() for claim in every if claim not in said] == []


PROFILES = st.one_of(
    st.sampled_from(["equal", "uniform", "01101", "column:bio"]),
    st.dictionaries(st.sampled_from(["00000", "11111"]), st.floats(0.5, 2.0), min_size=1),
)
WORDS_OF_PROFILES = {
    "equal": "dealt to agents in equal number",
    "uniform": "dealt to agents independently and uniformly",
    "01101": "dealt to agents all alike (01101)",
    "column:bio": "dealt to agents from the column bio of the node table",
}


@given(
    profiles=PROFILES,
    rule=st.sampled_from(sorted(ASKING_RULES)),
    rationale=st.sampled_from(["inline", "afterwards", "none"]),
    temperature=st.one_of(st.floats(0.1, 2.0), st.just([0.7, 1.3])),
    steps=st.integers(1, 99),
    max_tokens=st.integers(2, 999),
    max_seed_attempts=st.one_of(st.none(), st.integers(2, 64)),
    prompts=st.sampled_from([None, "my_templates"]),
)
@MANY
def test_what_is_said_of_cascades_follows_every_knob(cascades: Part, **knobs: Any) -> None:
    rule = knobs.pop("rule")
    said = said_by(with_log(cascades, knobs={**knobs, "asking_rule": rule}))
    other = [words for words in WORDS_OF_PROFILES.values() if words in said]
    profiles = knobs["profiles"]
    weights = "dealt to agents by weights" if isinstance(profiles, dict) else None
    assert other == ([] if weights else [WORDS_OF_PROFILES[profiles]])
    assert weights is None or weights in said
    sentences = {ASKING_RULES[name].sentence.lower() for name in ASKING_RULES}
    told = [each for each in sentences if f"{each.rstrip(',')} (asking rule" in said]
    assert told == [ASKING_RULES[rule].sentence.lower().rstrip(",")] or told == [
        ASKING_RULES[rule].sentence.lower()
    ]
    assert {each for each in ("inline", "afterwards", "none") if f"(rationale: {each})" in said} == {
        knobs["rationale"]
    }
    assert ("temperatures are drawn" in said) == isinstance(knobs["temperature"], list)
    assert f"each of {knobs['steps']} step" in said
    assert f"at most {knobs['max_tokens']} tokens" in said
    attempts = knobs["max_seed_attempts"]
    assert ("had been asked" in said) == (attempts is not None)
    assert attempts is None or f"{attempts} had been asked" in said
    assert ("whether they share" in said) == (knobs["prompts"] is None)
    assert ("own set of templates has it" in said) == (knobs["prompts"] is not None)
    assert ("networks, profiles" in said) == (profiles not in ("01101", "column:bio"))


ANSWERS = st.sampled_from([("bool", None, ""), ("Retelling", "share", "text"), ("Stance", ["x", 2], "")])


@given(
    initial_agents=st.sampled_from([1, 5, {"share": 0.1}, [3, 4], {"top": ["n_hearers", 5]}]),
    form=ANSWERS,
    interventions=st.sampled_from([[], ["at step 3: remark(text='Disputed.')"]]),
    recovery_rate=st.sampled_from([0.0, 0.25]),
    susceptible_again=st.booleans(),
    personas=st.sampled_from([None, "column:bio", ["You farm.", "You nurse."]]),
)
@MANY
def test_what_is_said_of_told_cascades_follows_every_knob(
    cascades: Part, form: tuple[str, Any, str], **knobs: Any
) -> None:
    answer, decides, passes_on = form
    told = {"answer": answer, "decides": decides, "passes_on": passes_on}
    said = said_by(with_log(cascades, knobs={**knobs, **told}, overridden=[]))
    initial, stops = knobs["initial_agents"], knobs["recovery_rate"] > 0
    of_yes = answer == "bool"
    claims = {
        "the only engaged one at step 0": initial == 1,
        "asked to start": isinstance(initial, int),
        "without being asked": not isinstance(initial, int),
        "until 5 were willing": initial == 5,
        "engaged for good at its first yes": of_yes and not stops,
        "engage together, for good": of_yes and not stops,
        "whether they share the news item": of_yes,
        "decides whether to share": of_yes,
        "one json object of decision and reason": of_yes,
        "read as yes or no": of_yes,
        f"an answer of the form {answer.lower()}": not of_yes,
        f"(passes_on {passes_on})": bool(passes_on),
        "nothing else drives": not knobs["interventions"],
        ". from outside, interventions of the experiment drive the model.": bool(knobs["interventions"]),
        "links, fixed in a realization": not knobs["interventions"],
        "at step 3: remark(text='disputed.')": bool(knobs["interventions"]),
        "susceptible-infected;": not stops,
        "stopped with probability 0.25": stops,
        "susceptible-infected-susceptible": stops and knobs["susceptible_again"],
        "susceptible-infected-removed": stops and not knobs["susceptible_again"],
        "profiles were dealt": knobs["personas"] is None,
        "big-five": knobs["personas"] is None,
        "who they are by texts": knobs["personas"] is not None,
        "agents have no memory": not passes_on and not knobs["interventions"],
        "the dealing of personas": isinstance(knobs["personas"], list),
        "initial agents and temperatures are drawn": initial == {"share": 0.1} and not stops,
    }
    assert {claim: claim in said for claim in claims} == claims


def with_settings(part: Part, **engine: Any) -> Any:
    meta = part.facts.meta
    changed = {**meta, "settings": meta["settings"] | {"engine": engine}}
    return replace(part, facts=replace(part.facts, meta=changed))  # type: ignore[type-var]


def test_unusable_replies_are_said_to_be_asked_for_again_as_often_as_they_were(cascades: Part) -> None:
    once, thrice, unknown = (
        said_by(with_settings(cascades, **how)) for how in (*({"max_asks": n} for n in (1, 3)), {})
    )
    assert "unusable replies were not asked for again" in once
    assert "an unusable one counted as missing" in once
    assert "asked for again, up" not in once
    assert "unusable replies were asked for up to 3 times" in thrice
    assert "asked for again, up to 3 times in all, and then counted as missing" in thrice
    assert "an unusable one was asked for again, and then counted as missing" in unknown


def test_nothing_is_called_drawn_that_never_differs(play: Callable[..., Run]) -> None:
    design = {"n_agents": 8, "network": "complete", "profiles": "01101", "steps": 1, "temperature": 1.0}
    few = design | {"repeats": 1, "items_per_severity": 1}
    asked, planted = (
        said_by(parts_of(play(CascadeExperiment(**few, initial_agents=first)))[0]) for first in (1, (0,))
    )
    assert "the order of those asked to start are drawn by the run's seed" in asked
    assert "networks, " not in asked
    assert "the seeds of requests are drawn by the run's seed" in planted


def test_people_who_answered_are_not_called_absent(cascades: Part) -> None:
    voices = {
        name: {"backend": backend, "model_name": model, "options": {}}
        for name, backend, model in (("", "mock", "mock-x"), ("person", "human", "people"))
    }
    meta = {**cascades.facts.meta, "voices": voices}
    part = replace(cascades, facts=replace(cascades.facts, meta=meta))  # type: ignore[type-var]
    said = said_by(part) + str(more_tables(part))
    assert "people answered for agents, on pages of their own; questions were made" in said
    assert "people were asked each question once" in said
    assert "or given by people" in said
    assert "people answered, too" in said
    for absent in ("none: questions", "nothing in the log is of people"):
        assert absent not in said
        assert absent in said_by(cascades) + str(more_tables(cascades))


class OneNews(CascadeExperiment):
    def choose_news(self, seed: int) -> Any:
        return super().choose_news(seed)[:1]


def test_what_there_is_one_of_is_counted_as_one(play: Callable[..., Run]) -> None:
    part = parts_of(play(OneNews(**SMALL | {"n_agents": 2, "degree": 1, "profiles": "11111"})))[0]
    assert "1 news item (invented for agentnet's synthetic sample) was played 1 time; Big" in part.methods()
    assert "nobody was asked after the start" in part.summary(0.95)
    blocks = (each.blocks for each in part.sections(Place("c", True, FEW)))
    said = said_by(part) + "".join(map(str, [*blocks, more_tables(part)]))
    assert re.search(r"the news items are dated 20\d\d-\d\d-\d\d\. ", said)
    assert "agents have 1 different profile (" in said
    assert "1 tree: in the median 1 agent, 0 steps deep and 1 wide." in said


def test_a_knob_that_is_set_to_a_class_is_called_no_method(cascades: Part) -> None:
    own = with_log(cascades, overridden=["answer", "judge"], knobs={"answer": "Retelling"})
    assert "the experiment has its own judge." in said_by(own)


def test_a_rule_that_only_the_log_knows_is_told_in_the_words_of_the_log(cascades: Part) -> None:
    own = with_log(cascades, knobs={"asking_rule": "third"}, says="all were asked thrice")
    assert "all were asked thrice (asking rule third)" in own.methods()
    own = with_log(cascades, says="each was asked once, also if silent,")
    assert "also if silent (asking rule" in own.methods()
    unknown = with_log(cascades, knobs={"asking_rule": "third"})
    assert "whose sentence was not recorded (asking rule third)" in unknown.methods()


@pytest.mark.parametrize("mode", ["call", "choices", "logprobs"])
def test_requests_are_told_as_the_sampler_made_them(cascades: Part, mode: str) -> None:
    meta = cascades.facts.meta
    settings = meta["settings"] | {"sampler": {"mode": mode}}
    facts = replace(cascades.facts, meta={**meta, "settings": settings})
    said = said_by(replace(cascades, facts=facts))  # type: ignore[type-var]
    assert ("a request of its own" in said) == (mode == "call")
    assert f"sampler mode {mode}" in said


@pytest.mark.parametrize("mode", ["call", "choices", "logprobs"])
def test_answers_that_no_request_gave_are_told_beside_the_requests(cascades: Part, mode: str) -> None:
    meta = cascades.facts.meta
    facts = replace(
        cascades.facts,
        meta={**meta, "settings": meta["settings"] | {"sampler": {"mode": mode}}},
        spending=replace(cascades.facts.spending, from_cache=12),
        begun=tuple(replace(each, n_by_rules=3) for each in cascades.facts.begun),
    )
    without = (
        "came from rules of the experiment and 12 answers came from the cache of replies, without a request"
    )
    assert without in said_by(replace(cascades, facts=facts))  # type: ignore[type-var]
    assert "without a request" not in said_by(cascades)


def test_interviews_that_ask_a_backend_tell_how_often_they_did_not(interviews: Part) -> None:
    meta = interviews.facts.meta
    rules = [{**rule, "model_name": ""} for rule in meta["interviews"]["rules"]]
    facts = replace(
        interviews.facts,
        meta={**meta, "interviews": {**meta["interviews"], "rules": rules}},
        spending=replace(interviews.facts.spending, reused=7),
    )
    said = said_by(replace(interviews, facts=facts))  # type: ignore[type-var]
    assert "each question was a request of its own" in said
    assert "7 answers came from what the same model had answered to the same question, without a" in said


def test_knobs_that_differ_between_conditions_are_told_with_all_their_values(interviews: Part) -> None:
    assert "At each of 1 or 2 steps" in interviews.methods()


class Dealer(CascadeExperiment):
    def make_network(self, seed: int) -> Network:
        return Network.from_edges(np.array([[i, (i + 1) % 32] for i in range(32)]), 32, name="ring")

    def assign_profiles(self, network: Network, seed: int) -> Any:
        return np.full(network.n_agents, 31)


def test_the_log_keeps_which_methods_an_experiment_overrides(play: Callable[..., Run]) -> None:
    run = play(Dealer(**SMALL))
    assert run.meta["experiment"]["overridden"] == ["assign_profiles", "make_network"]
    part = parts_of(run)[0]
    methods = part.methods()
    assert "on ring networks of 32 agents" in methods
    unnamed = replace(part.played, networks=replace(part.played.networks, names=("edges",)))
    assert " on networks of 32 agents" in replace(part, played=unnamed).methods()
    assert "by the experiment's own assign_profiles" in methods


OLD = """
import agentnet
class Base(agentnet.CascadeExperiment):
    def judge(self, text): ...
class Mine(Base):
    n_agents = 32
    def make_network(self, seed): ...
    def helper(self): ...
class Other(agentnet.CascadeExperiment):
    def messages(self, *given): ...
"""


def test_a_log_that_did_not_keep_them_tells_them_by_its_experiment_file(cascades: Part) -> None:
    recorded = cascades.facts.meta["experiment"]
    of_old = {key: value for key, value in recorded.items() if key != "overridden"}
    meta = {**cascades.facts.meta, "experiment": {**of_old, "text": OLD, "class_name": "Mine"}}
    facts = replace(cascades.facts, meta=meta)
    assert facts.overridden == {"judge", "make_network"}
    without = {**cascades.facts.meta, "experiment": {**of_old, "text": "", "class_name": "Mine"}}
    part = replace(cascades, facts=replace(facts, meta=without))  # type: ignore[type-var]
    assert part.facts.overridden is None
    assert "Which methods the experiment overrides was not recorded." in part.methods()


def test_each_condition_claims_its_own_decisions_alone(play: Callable[..., Run]) -> None:
    sizes = [CascadeExperiment(**SMALL | {"n_agents": 32 * factor}) for factor in (1, 2)]
    run = play(*sizes)
    parts = parts_of(run)
    rows = run.rows("SELECT condition, COUNT(*), COUNT(missing) FROM decisions GROUP BY condition")[1]
    for part, (_, n, _) in zip(parts, rows, strict=True):
        assert f"for {n:,} decisions in this condition." in part.summary(0.95)
        assert f"of {n:,} answers stayed missing" in part.methods()
        assert "All 2 conditions of the run took" in part.summary(0.95)
        facts = replace(part.facts, spending=replace(part.facts.spending, reused=7))
        unasked = (
            "7 answers came from what the same model had answered to the same question, without a request"
        )
        assert f"{unasked} in all 2 conditions together" in replace(part, facts=facts).methods()  # type: ignore[type-var]


@pytest.mark.parametrize("max_asks", [1, 4])
def test_troubles_are_called_mended_only_where_an_answer_came(
    play: Callable[..., Run], max_asks: int
) -> None:
    often = make_backend("mock", {"invalid_rate": 0.4})
    run = play(ResponseRatioExperiment(items_per_severity=1, repeats=1), backend=often, max_asks=max_asks)
    ((n_missing,),) = run.rows("SELECT COUNT(missing) FROM events")[1]
    ((n,),) = run.rows("SELECT COUNT(DISTINCT agent || ' ' || realization) FROM troubles")[1]
    table = troubles_table(read_facts(run))
    assert table is not None
    (note,) = table.notes
    assert note.startswith(f"{n - n_missing} of {n} questions that this befell were answered in the end")
    assert (n == n_missing) == (max_asks == 1)


def test_what_calls_without_an_answer_may_have_taken_is_told_from_what_answers_took(
    play: Callable[..., Run], tmp_path: Path, command: Callable[..., Any]
) -> None:
    run = play(CascadeExperiment(**SMALL))
    exact = read_facts(run)
    assert json.loads(command("show", run.folder, "--json").out)["took_by_recorded_answers"] == ""
    assert cost_words(exact.spending).startswith(f"{exact.spending.calls:,} calls, ")
    assert "recorded answers" not in " ".join(costs_table(exact).notes)
    lost = unsealed(run, tmp_path / "lost")
    with closing(sqlite3.connect(lost.path)) as connection, connection:
        more = "json_set(detail, '$.prompt_tokens', json_extract(detail, '$.prompt_tokens') + 1000)"
        connection.execute(f"UPDATE incidents SET detail = {more} WHERE kind = 'spent'")
    facts = read_facts(lost)
    assert cost_words(facts.spending).startswith("at most ")
    (note,) = (note for note in costs_table(facts).notes if "bill" in note)
    assert f"{exact.spending.prompt_tokens:,} prompt tokens" in note
    shown = json.loads(command("show", lost.folder, "--json").out)["took_by_recorded_answers"]
    assert f"{shown}, for 0" in cost_words(exact.spending)


@pytest.mark.parametrize("n_wanted", [None, 2])
def test_groups_are_called_found_by_the_test_only_where_it_was_left_alone(
    play: Callable[..., Run], n_wanted: int | None
) -> None:
    runs = [play(CascadeExperiment(**SMALL)), play(ResponseRatioExperiment(items_per_severity=2, repeats=2))]
    parts = make_report(runs, replace(FEW, n_groups=n_wanted)).parts
    said = "\n".join(f"{part.methods()} {part.summary(0.95)}" for part in parts)
    assert ("Tukey's HSD test" in said) == (n_wanted is None)
    assert ("author" in said) == (n_wanted is not None)


def unsealed(run: Run, folder: Path) -> Run:
    """Copy a run, less what its log is sealed with."""
    copy = Run(Path(shutil.copytree(run.folder, folder)))
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
    return copy


def test_a_run_of_a_family_that_nobody_knows_is_an_error_that_lists_the_known_ones(
    play: Callable[..., Run], tmp_path: Path
) -> None:
    run = play(ResponseRatioExperiment(items_per_severity=1, repeats=1))
    copy = unsealed(run, tmp_path / "copy")
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        recorded = json.dumps(run.meta["experiment"] | {"family": "ratioo"})
        connection.execute("UPDATE meta SET value = ? WHERE key = 'experiment'", (recorded,))
    with pytest.raises(DesignError, match=r"'ratioo'.*ratio"):
        make_report([copy], FEW)


def test_a_report_says_the_digest_of_what_was_decided_whether_or_not_the_log_keeps_it(
    play: Callable[..., Run], tmp_path: Path
) -> None:
    run = play(ResponseRatioExperiment(items_per_severity=1, repeats=1))
    copy = unsealed(run, tmp_path / "copy")
    assert read_facts(copy).digest == read_facts(run).digest == run.digest()
    other = Run(Path(shutil.copytree(run.folder, tmp_path / "other")))
    with closing(sqlite3.connect(other.path)) as connection, connection:
        connection.execute("""UPDATE meta SET value = '"0123"' WHERE key = 'digest'""")
    with pytest.raises(RunFolderError, match="meta"):
        make_report([other], FEW)


@pytest.mark.parametrize(
    ("laws", "said", "unsaid"),
    [
        (("one_rate",), "least squares", "maximum likelihood"),
        (("main_effects",), "maximum likelihood", "least squares"),
    ],
)
def test_only_how_the_fitted_laws_were_fitted_is_told(
    play: Callable[..., Run], laws: tuple[str, ...], said: str, unsaid: str
) -> None:
    (part,) = make_report([play(CascadeExperiment(**SMALL))], replace(FEW, laws=laws)).parts
    assert said in part.methods()
    assert unsaid not in part.methods()
    assert "resample" not in part.methods()


def test_a_function_that_a_knob_is_set_to_is_named_without_its_place_in_memory(interviews: Part) -> None:
    own = with_log(interviews, knobs={"topology": "<function moderated at 0x7f57d19799e0>"})
    assert "Who may interview whom: topology moderated." in own.methods()
    assert "0x" not in said_by(own)


def test_of_cascades_that_nobody_started_nothing_is_said_that_takes_one(play: Callable[..., Run]) -> None:
    never = make_backend("mock", {"law": "constant", "probability": 0.0})
    part: Any = parts_of(play(CascadeExperiment(**SMALL | {"n_agents": 24}), backend=never))[0]
    assert "until one was willing (nobody was in any realization)" in part.methods()
    assert "in numbers as nearly equal" in part.methods()
    told = [str(each.blocks) for each in part.sections(Place("cascades", True, FEW))]
    assert not any("chosen from the exposures" in each for each in told)
    assert {each.kind for each in part.sample.decisions} == {"seed"}


def test_realizations_that_are_left_out_are_told_in_the_methods(cascades: Any) -> None:
    assert "nobody was" not in cascades.methods()
    some = replace(cascades, played=replace(cascades.played, n_unstarted=3))
    assert "(nobody was in 3 of 5 realizations, which are left out of all curves)" in some.methods()


def test_methods_claim_intervals_only_where_there_are_some(play: Callable[..., Run]) -> None:
    law = ("main_effects", "one_rate")
    few = replace(FEW, laws=law, n_bootstrap=5)
    runs = [play(CascadeExperiment(**SMALL | {"repeats": repeats})) for repeats in (1, 3)]
    one, several = (make_report([run], few).parts[0].methods() for run in runs)
    assert "standard errors of decisions taken as independent" in one
    assert "mean engaged fraction; no intervals were computed" in one
    assert "standard errors clustered by realization" in several
    assert "bootstrap of 5 resamples" in several


def test_dust_of_rounding_and_intervals_of_what_is_alike_are_not_shown() -> None:
    assert (spelled_cell("estimate", -2e-17), spelled_cell("published_p", 1e-66)) == ("0", "< 1e-16")
    assert (known_interval(0.3, 0.3), known_interval(0.3, 0.4)) == (None, (0.3, 0.4))


def test_a_single_condition_was_not_compared_with_others(play: Callable[..., Run]) -> None:
    design: dict[str, Any] = {"models": {"society": 2, "science": 2}, "n_evaluation": 2, "n_questions": 1}
    part = parts_of(play(InterviewExperiment(**design, n_taught=2, steps=2, repeats=2)))[0]
    assert "Growth was taken within repeats, with Student's t" in part.methods()
    assert "Conditions were compared" not in part.methods()


def test_letters_are_explained_only_where_there_are_some(ratios: Any) -> None:
    tables = [ratios_table(replace(ratios, groups=groups)) for groups in (None, ratios.groups)]
    assert ["letter in common" in " ".join(each.notes) for each in tables] == [False, True]
