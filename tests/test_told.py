"""Cascades whose agents are told more than a news item: what they are shown and answer, what that changes."""

import json

import pytest

from agentnet import Run

HEAD = """
from typing import Literal
from pydantic import BaseModel, Field
from agentnet import CascadeExperiment, Exposure, Missing, Reaction, at_step, remark, remove_agents


class Small(CascadeExperiment):
    n_agents, degree, steps, items_per_severity, repeats, rationale = 32, 4, 6, 1, 2, "none"
    {body}
"""
WHOLE = ("--json", "--quiet", "--seed", "3", "-S", "stack.cache=false", "-S", "log.parquet=false")


@pytest.fixture
def study(tmp_path):
    """Write an experiment file with this body."""

    def study(body, name="study.py", head=HEAD):
        path = tmp_path / name
        path.write_text(head.replace("{body}", body.replace("\n", "\n    ")))
        return path

    return study


@pytest.fixture
def played(command, tmp_path):
    """Play a file; give its run and what was said of it."""

    def played(path, *options, out="run"):
        done = command("run", path, "--out", tmp_path / out, *WHOLE, *options)
        assert done.code == 0, done.err
        return Run(tmp_path / out)

    return played


def refused(command, path, *options):
    done = command("check", path, *options)
    assert done.code == 2, done.out
    return done.err


def rows(run, query):
    return run.rows(query)[1]


DECIDED = "SELECT realization, kind, step, agent, source, decision FROM events ORDER BY 1, 2, 3, 4, 5"
STEPS = "SELECT * FROM steps"
ENGAGED = "SELECT realization, agent, engaged_step FROM agents"

COUNTS = """
def context(self, exposure):
    return {"n_shared": exposure.n_engaged, "n_followed": exposure.n_neighbours}

def remark(self, context):
    return f"{context['n_shared']} of {context['n_followed']} shared it."
"""


@pytest.mark.parametrize("mode", ["call", "choices", "logprobs"])
def test_counts_that_a_law_does_not_heed_change_no_decision(study, played, mode):
    plain = played(study("pass", "plain.py"), "-S", f"sampler.mode={mode}", out="plain")
    told = played(study(COUNTS), "-S", f"sampler.mode={mode}")
    if mode == "call":
        assert rows(plain, DECIDED) == rows(told, DECIDED)
        assert rows(plain, STEPS) == rows(told, STEPS)
    asked = rows(told, "SELECT step, COUNT(*), COUNT(prompt) FROM events WHERE kind = 'exposure'")
    assert asked[0][1] == asked[0][2] > 0


def test_a_context_is_recorded_and_said_as_the_cascade_stands(study, played):
    run = played(study(COUNTS), "-S", "repeats=1")
    engaged = {(number, agent): step for number, agent, step in rows(run, ENGAGED)}
    network = run.rows("SELECT realization, edges FROM realizations JOIN networks USING (network)")[1]
    ties = {number: memoryview(edges).cast("i").tolist() for number, edges in network}
    query = """SELECT h.realization, h.step, h.agent, h.context, p.messages FROM exposures h
        JOIN events e USING (realization, kind, step, agent, source, repeat)
        JOIN prompts p USING (prompt) WHERE h.kind = 'exposure'"""
    seen = set()
    for number, step, agent, context, messages in rows(run, query):
        flat = ties[number]
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        heard = [b if a == agent else a for a, b in pairs if agent in (a, b)]
        n_shared = sum(
            0 <= (engaged[number, other] if engaged[number, other] is not None else 99) < step
            for other in heard
        )
        assert json.loads(context) == {"n_shared": n_shared, "n_followed": 4}
        assert f"{n_shared} of 4 shared it." in json.loads(messages)[-1][1]
        seen.add(n_shared)
    assert len(seen) > 1


RETOLD = """
class Retelling(BaseModel):
    share: bool
    text: str = Field(max_length=300, description="the news in your own words")

answer = Retelling
decides = "share"
passes_on = "text"
asking_rule = "once_per_edge"
"""


def test_who_shares_passes_on_what_it_said_and_neighbours_hear_that(study, played):
    run = played(study(RETOLD))
    messages = {
        (number, message): (author, parent, step, text)
        for number, message, author, parent, step, text in rows(run, "SELECT * FROM messages")
    }
    news = [place for place, (author, parent, *_) in messages.items() if author == -1 and parent is None]
    assert len(news) == 4
    assert len(messages) > len(news)
    query = """SELECT h.realization, h.step, h.source, h.message, p.messages FROM exposures h
        JOIN events e USING (realization, kind, step, agent, source, repeat) JOIN prompts p USING (prompt)"""
    heard = rows(run, query)
    assert {message for *_, message, _ in heard} != {0}
    for number, step, source, message, prompt in heard:
        author, _, written, text = messages[number, message]
        assert text in json.loads(prompt)[-1][1]
        assert author in (source, -1) or rows(
            run, f"SELECT text FROM messages WHERE realization = {number} AND message = {message}"
        )
        assert written < step or step == 0
    # Who passes a message on heard its parent from somebody who said yes before.
    for (number, _), (author, parent, step, _) in messages.items():
        if author >= 0:
            said = f"""SELECT h.message FROM exposures h
                JOIN events e USING (realization, kind, step, agent, source, repeat)
                WHERE realization = {number} AND agent = {author} AND step = {step} AND decision = 1"""
            assert (parent,) in rows(run, said)


def test_declared_answers_are_recorded_by_field_and_decide(study, played):
    run = played(study(RETOLD))
    for value, decision in rows(run, "SELECT value, decision FROM events"):
        assert json.loads(value)["share"] == bool(decision)
    frame = run.frame("decisions")
    assert frame["value"].notna().all()


CHANGING = (
    RETOLD
    + """
initial_agents = {"top": ("n_hearers", 2)}
recovery_rate = 0.2
susceptible_again = True
interventions = (at_step(2, remark("Beware.")), at_step(3, remove_agents(agents=(1, 5))))

def network_at(self, step, seed):
    return self.make_network(seed) if step == 4 else None

def remark(self, context):
    return ""
"""
)


@pytest.mark.parametrize("body", [RETOLD, CHANGING, COUNTS], ids=["retold", "changing", "counts"])
def test_what_was_cut_off_anywhere_is_gone_on_with_to_the_same_digest(study, command, tmp_path, body):
    path = study(body)
    whole = json.loads(command("run", path, "--out", tmp_path / "whole", *WHOLE).out)
    for calls in (1, whole["calls"] // 2, whole["calls"] - 1):
        out = tmp_path / f"cut-{calls}"
        assert command("run", path, "--out", out, *WHOLE, "-S", f"stack.max_calls={calls}").code == 3
        on = command("run", "--resume", out, "--json", "--quiet", "-S", "stack.max_calls=1000000")
        assert json.loads(on.out)["digest"] == whole["digest"]
    one = command("run", path, "--out", tmp_path / "one", *WHOLE, "-S", "engine.workers=1")
    assert json.loads(one.out)["digest"] == whole["digest"]


def test_a_run_is_not_gone_on_with_as_another_experiment(study, command, tmp_path):
    body = """
def context(self, exposure):
    import os
    return {"by": os.environ["READ_BY"]}

def remark(self, context):
    return f"{context['by']} reads it."
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("READ_BY", "Ann")
        whole = (*WHOLE, "--max-calls", "20")
        assert command("run", study(body), "--out", tmp_path / "run", *whole).code == 3
        patch.setenv("READ_BY", "Bob")
        done = command("run", "--resume", tmp_path / "run", "--quiet", "-S", "stack.max_calls=1000")
    assert done.code == 2
    assert "another seed prompt than the experiment composes now" in done.err


def test_conditions_of_own_objects_are_known_again_in_another_process(study, played):
    body = """
class Label:
    def __call__(self, situation):
        situation.remark("Look twice.")

conditions = ({"interventions": ()}, {"interventions": (at_step(1, Label()),)})
"""
    run = played(study(body))
    texts = [text for (text,) in rows(run, "SELECT condition FROM realizations")]
    assert "Label" in texts[-1]
    assert not any("0x" in text for text in texts)


def test_who_engages_otherwise_than_it_answers_is_told_of(study, command, tmp_path):
    body = "def react(self, exposure, answer): return Reaction(not answer)"
    done = command("run", study(body), "--out", tmp_path / "run", "--seed", "3", "-S", "log.parquet=false")
    assert "answers say yes, and" in done.err


def test_nobody_hears_or_asks_who_was_removed_and_labels_stand_from_their_step_on(study, played):
    run = played(
        study(
            'asking_rule = "always"\n'
            'interventions = (at_step(3, remark("Beware.")), at_step(2, remove_agents(agents=(3, 8))))'
        )
    )
    assert rows(run, "SELECT what, agent, COUNT(*) FROM changes GROUP BY 1, 2") == [
        ("remarked", -1, 4),
        ("removed", 3, 4),
        ("removed", 8, 4),
    ]
    gone = "(agent IN (3, 8) OR source IN (3, 8)) AND kind = 'exposure'"
    assert rows(run, f"SELECT COUNT(*) FROM events WHERE {gone} AND step >= 2") == [(0,)]
    assert rows(run, f"SELECT COUNT(*) > 0 FROM events WHERE {gone} AND step < 2 OR kind = 'seed'") == [(1,)]
    query = """SELECT step, MIN(messages LIKE '%Beware.%'), MAX(messages LIKE '%Beware.%')
        FROM events JOIN prompts USING (prompt) GROUP BY step"""
    for step, least, most in rows(run, query):
        assert least == most == (step >= 3)


def test_agents_that_certainly_stop_are_heard_once_as_if_each_edge_were_asked_once(study, played):
    stop = played(study('asking_rule = "always"\nrecovery_rate = 1.0', "stop.py"), out="stop")
    once = played(study('asking_rule = "once_per_edge"', "once.py"), out="once")
    assert rows(stop, DECIDED) == rows(once, DECIDED)
    assert rows(stop, ENGAGED) == rows(once, ENGAGED)
    stopped = rows(
        stop, "SELECT COUNT(DISTINCT agent || ' ' || realization) FROM changes WHERE what = 'stopped'"
    )
    assert stopped[0][0] > 10


def test_who_is_susceptible_again_may_engage_twice(study, played):
    run = played(study('asking_rule = "always"\nrecovery_rate = 0.6\nsusceptible_again = True\nsteps = 12'))
    again = rows(run, "SELECT realization, agent, step FROM changes WHERE what = 'engaged'")
    assert again
    first = {(number, agent): step for number, agent, step in rows(run, ENGAGED)}
    for number, agent, step in again:
        assert first[number, agent] < step
        stops = (
            f"SELECT step FROM changes WHERE what = 'stopped' AND realization = {number} AND agent = {agent}"
        )
        assert any(first[number, agent] < stopped <= step for (stopped,) in rows(run, stops))


@pytest.mark.parametrize(
    ("initial", "count"), [("3", 3), ("(4, 9)", 2), ('{"share": 0.25}', 8), ('{"top": ("n_hearers", 5)}', 5)]
)
def test_a_cascade_begins_with_whom_the_design_says(study, played, initial, count):
    run = played(study(f"initial_agents = {initial}"))
    begun = rows(run, "SELECT realization, COUNT(*) FROM agents WHERE engaged_step = 0 GROUP BY 1")
    assert [n for _, n in begun] == [count] * 4
    n_asked = rows(run, "SELECT COUNT(*) FROM events WHERE kind = 'seed'")[0][0]
    assert (n_asked > 0) == (initial == "3")


def test_personas_are_texts_and_no_profile_is_claimed(study, played, tmp_path):
    (tmp_path / "people.csv").write_text("name,persona\na,You are a nurse.\nb,You are a farmer.\n")
    run = played(study(f'personas = "{tmp_path / "people.csv"}"'))
    said = dict(rows(run, "SELECT persona, COUNT(*) FROM agents GROUP BY 1"))
    assert said == {"You are a nurse.": 64, "You are a farmer.": 64}
    assert rows(run, "SELECT DISTINCT profile FROM agents") == [("",)]
    systems = {json.loads(text)[0][1] for (text,) in rows(run, "SELECT messages FROM prompts")}
    assert systems == set(said)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('personas = "nobody.csv"', "nobody.csv"),
        ('personas = "column:bio"', "column 'bio'"),
        ("personas = ('A nurse.', ' ')", "persona 1 is ' '"),
        ("initial_agents = (4, 99)", "no agent 99"),
        ('initial_agents = {"most": 4}', "it is a number"),
        ('initial_agents = {"top": ("n_hearers", 0)}', "it is a number"),
        ('initial_agents = {"top": ("fame", 4)}', "fame"),
        ("interventions = (at_step(2, remove_agents(agents=(32,))),)", "no agent 32"),
        ("interventions = ('stop',)", "made by at_step"),
        (
            (
                "interventions = (at_step(1, remark('Beware.')),)\ndef messages(self, prompts, exposure):\n"
                "    return (('user', exposure.message.text),)"
            ),
            "leaves out what an intervention remarks",
        ),
        (
            (
                "interventions = (at_step(1, remark('Beware.')),)\n"
                "def messages(self, prompts, kind, profile, item):\n    return (('user', item.id),)"
            ),
            "leaves out what an intervention remarks",
        ),
        (
            (
                "def remark(self, context):\n    return 'Really?'\ndef messages(self, prompts, exposure):\n"
                "    return (('user', exposure.message.text),)"
            ),
            "remark is not called",
        ),
        ("interventions = (at_step(2, remark(' ')),)", "not blank"),
        ("interventions = (at_step(2, remove_agents()),)", "names nobody"),
        ("initial_agents = 0", "at least 1"),
        ("initial_agents = 33", "there are 32 agents"),
        ("susceptible_again = True", "nobody stops"),
        ("personas = ('A nurse.',)\nprofiles = '01101'", "dealt to nobody"),
        ("recovery_rate = 1.5", "from 0 to 1"),
        ("answer = Literal['a', 'b']", "nothing says which answers engage"),
        ("answer = Literal['a', 'b']\ndecides = 'c'", "'c'"),
        ("answer = dict", "dict"),
        ("passes_on = 'text'", "no field of the answer"),
        ("def context(self, exposure): return {'who': exposure}", "context gives"),
        ("def context(self, exposure): return {'n': float('nan')}", "context gives"),
        ("def react(self, exposure, answer): return answer", "Reaction"),
        ("def react(self, exposure, answer): return Reaction('no')", "react gives"),
        ("def react(self, exposure, answer): return Reaction(2)", "react gives"),
        ("def react(self, exposure, answer): return Reaction(True, 5)", "react gives"),
        ("def react(self, exposure, answer): return Reaction(True, stops=[-1])", "no agent -1"),
        ("interventions = (at_step(2, lambda s: s.remove([-1])),)", "no agent -1"),
        ("voices = {'r': 'rule'}\ndef rule(self, exposure): return None", "Small.rule, for agent"),
        ("interventions = (at_step(2, lambda s: s.silence([32])),)", "no agent 32"),
        ("interventions = (at_step(2, remark(5)),)", "remarks 5"),
        ("interventions = (at_step(7, remark('late')),)", "after the last of 6 steps"),
        (
            "class Said(BaseModel):\n    share: bool\nanswer, decides, passes_on = Said, 'share', 'share'",
            "no text that could be passed on",
        ),
        (
            (
                "voices = {'r': 'rule'}\ndef rule(self, exposure): return True\n"
                "def deal_voices(self, population, seed): return ['x'] * 32"
            ),
            "none of its voices",
        ),
    ],
)
def test_what_cannot_be_played_is_said_before_anything_is_asked(study, command, body, words):
    assert words in refused(command, study(body))


def test_interventions_may_name_agents_by_numbers_of_numpy(study, played):
    body = """
def label(s):
    import numpy as np
    s.engage(np.array([3, 3, 4]))
    s.remove(np.array([5]))
    s.engage(np.array([5]))

interventions = (at_step(1, label),)
initial_agents = (0,)
"""
    run = played(study(body))
    changes = rows(run, "SELECT what, agent FROM changes WHERE realization = 0 ORDER BY change")
    assert changes == [("engaged", 3), ("engaged", 4), ("removed", 5)]
    engaged = "SELECT agent FROM agents WHERE realization = 0 AND engaged_step = 1 AND agent IN (3, 4, 5)"
    assert rows(run, engaged) == [(3,), (4,)]
    assert not rows(run, "SELECT agent FROM events WHERE agent = 5")


def test_reasons_are_asked_for_what_was_told(study, played):
    body = (
        COUNTS
        + """
rationale = "afterwards"
voices = {"own": {"name": "mock"}, "fixed": "rule"}

def rule(self, exposure):
    return True
"""
    )
    run = played(study(body))
    why = """SELECT COUNT(*), SUM(instr(p.messages, e.messages) > 0) FROM events r
        JOIN prompts p ON p.prompt = r.prompt JOIN events d USING (realization, step, agent, source, repeat)
        JOIN (SELECT prompt, substr(messages, 1, length(messages) - 1) AS messages FROM prompts) e
        ON e.prompt = d.prompt WHERE r.kind = 'reason' AND d.kind <> 'reason'"""
    n_reasons, n_of_them = rows(run, why)[0]
    by_rule = "SELECT COUNT(*) FROM decisions WHERE voice = 'fixed' AND rationale <> ''"
    assert n_reasons == n_of_them == rows(run, "SELECT COUNT(*) FROM decisions WHERE voice = 'own'")[0][0] > 0
    assert rows(run, by_rule) == [(0,)]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("persona,age\nA nurse, who is kind,3\n", "row 2: has 3 fields where the header has 2"),
        ("", "is empty"),
        ("persona\nA nurse.\nNA\n", "row 3"),
    ],
)
def test_a_table_of_personas_is_read_whole_or_not_at_all(study, command, tmp_path, table, words):
    (tmp_path / "who.csv").write_text(table)
    assert words in refused(command, study(f'personas = "{tmp_path / "who.csv"}"'))


def test_personas_as_json_lines_are_read_as_other_tables_are(study, played, command, tmp_path):
    (tmp_path / "who.jsonl").write_text('{"persona": "A nurse."}\n{"persona": "A farmer."}\n')
    run = played(study(f'personas = "{tmp_path / "who.jsonl"}"'))
    assert rows(run, "SELECT DISTINCT persona FROM agents ORDER BY 1") == [("A farmer.",), ("A nurse.",)]
    (tmp_path / "who.jsonl").write_text('{"bio": "A nurse."}\n')
    assert f"{tmp_path / 'who.jsonl'}:COLUMN" in refused(
        command, study(f'personas = "{tmp_path / "who.jsonl"}"')
    )


def test_it_is_said_when_fewer_begin_than_were_wanted(study, command, tmp_path):
    options = ("-S", "backend.law=constant", "-S", "backend.probability=0.2")
    done = command("run", study("initial_agents = 30"), "--out", tmp_path / "run", *WHOLE, *options)
    assert "4 of 4 realizations began with fewer agents than initial_agents says" in done.err
    done = command("run", study("initial_agents = 1"), "--out", tmp_path / "one", *WHOLE, *options)
    assert "began with fewer" not in done.err


def test_probabilities_are_of_yes_and_no_alone(study, command):
    assert "declares another answer" in refused(command, study(RETOLD), "-S", "sampler.mode=logprobs")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("return self.make_network(seed).without_agents((4,))", "leaves agent 4"),
        ("from agentnet.network import random_regular; return random_regular(30, 4, seed=seed)", "30 agents"),
    ],
)
def test_a_network_that_changes_keeps_its_agents_and_whom_they_hear(study, command, change, words):
    body = f"def network_at(self, step, seed):\n    {change}"
    assert words in refused(command, study(body))


def test_a_message_of_the_last_step_is_written_too(study, played):
    react = "def react(self, exposure, answer):\n    return Reaction(True, f'{exposure.agent} tells it')"
    run = played(study(react), "-S", "steps=2")
    engaged = """SELECT COUNT(*), SUM(m.step = a.engaged_step) FROM agents a
        LEFT JOIN messages m ON m.author = a.agent AND m.realization = a.realization
        WHERE a.engaged_step IS NOT NULL"""
    found = rows(run, engaged)
    assert found[0][0] == found[0][1] > 8


def test_messages_may_be_written_for_exposures_and_use_what_an_agent_remembers(study, played):
    run = played(
        study(
            """
def messages(self, prompts, exposure):
    met = zip(exposure.heard, exposure.said)
    past = "; ".join(f"{m.author} said {a}" for m, a in met if not isinstance(a, Missing))
    asked = f"{exposure.message.text}\\nBefore: {past}. Share it?"
    return (("system", exposure.persona.label), ("user", asked))
""",
            "own.py",
        ),
        "-S",
        "asking_rule=always",
    )
    texts = [json.loads(text)[1][1] for (text,) in rows(run, "SELECT messages FROM prompts")]
    assert any("-1 said False" in text for text in texts)
    assert any("Before: ." in text for text in texts)
    of_one = "WHERE realization = 0 AND kind = 'exposure' GROUP BY agent"
    query = f"SELECT agent, COUNT(DISTINCT prompt) FROM events {of_one}"
    assert max(n for _, n in rows(run, query)) > 1


def test_a_missing_answer_engages_nobody_and_stands_in_the_memory_as_missing(study, played):
    body = """
def react(self, exposure, answer):
    return Reaction(None if isinstance(answer, Missing) else answer)

def context(self, exposure):
    return {"n_missing": sum(isinstance(a, Missing) for a in exposure.said)}
"""
    run = played(
        study(body),
        "-S",
        "backend.invalid_rate=0.3",
        "-S",
        "engine.max_asks=1",
        "-S",
        "engine.max_missing=1",
        "-S",
        "asking_rule=always",
    )
    n_missing = rows(run, "SELECT COUNT(*), SUM(decision IS NOT NULL) FROM events WHERE missing IS NOT NULL")
    assert n_missing[0][0] > 5
    assert n_missing[0][1] == 0
    known = rows(run, "SELECT MAX(json_extract(context, '$.n_missing')) FROM exposures")
    assert known[0][0] >= 1
    engaged = """SELECT COUNT(*) FROM agents a WHERE engaged_step IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM events e WHERE e.realization = a.realization AND e.agent = a.agent
        AND e.step = a.engaged_step AND e.decision = 1)"""
    assert rows(run, engaged) == [(0,)]


@pytest.mark.parametrize("body", [RETOLD, COUNTS])
def test_missing_answers_of_a_told_cascade_are_asked_again_and_others_are_not(
    study, command, played, tmp_path, body
):
    path, holes = study(body), ("engine.max_asks=1", "engine.max_missing=1", "backend.invalid_rate=0.15")
    first = played(path, *(word for each in holes for word in ("-S", each)), "-S", "engine.workers=1")
    assert rows(first, "SELECT COUNT(missing) FROM events")[0][0] > 0
    done = command("run", "--resume", first.folder, "--ask-missing", "--quiet", "-S", "engine.max_missing=1")
    assert done.code == 0, done.err
    again = Run(tmp_path / "run-again")
    answered = "SELECT realization, kind, step, agent, source, repeat, decision, value, at FROM events"
    cut = "SELECT realization, MIN(step) FROM events WHERE missing IS NOT NULL GROUP BY 1"
    cuts = dict(rows(first, cut))
    kept = {
        row
        for row in rows(first, f"{answered} WHERE missing IS NULL")
        if row[2] < cuts.get(row[0], 99) or (row[2] == cuts[row[0]] > 0)
    }
    assert kept <= set(rows(again, answered))
    both = "SELECT COUNT(*) FROM events JOIN exposures USING (realization, kind, step, agent, source, repeat)"
    n_events = rows(again, "SELECT COUNT(*) FROM events")
    assert rows(again, both) == n_events == rows(again, "SELECT COUNT(*) FROM exposures")


def test_prompts_of_equal_contexts_are_asked_for_once_where_draws_are_pooled(study, played):
    run = played(study(COUNTS), "-S", "sampler.mode=logprobs")
    n_prompts, n_events, n_calls = rows(
        run, "SELECT COUNT(DISTINCT prompt), COUNT(*), SUM(attempts) FROM events"
    )[0]
    n_places = rows(run, "SELECT COUNT(*) FROM (SELECT DISTINCT prompt, temperature FROM events)")[0][0]
    assert n_prompts < n_events
    assert n_calls == n_places


def test_what_answers_do_may_be_said_by_react_alone_without_any_of_them_being_a_yes(study, played):
    body = """
answer = Literal["share", "flag", "ignore"]
def react(self, exposure, answer):
    if isinstance(answer, Missing):
        return Reaction(None)
    flagged = answer == "flag" and exposure.source >= 0
    return Reaction(answer == "share", stops=[exposure.source] if flagged else [])
"""
    run = played(study(body))
    said = dict(rows(run, "SELECT value, COUNT(*) FROM events WHERE missing IS NULL GROUP BY 1"))
    assert said.keys() == {'"share"', '"flag"', '"ignore"'}
    shared = "SELECT COUNT(DISTINCT 1000 * realization + agent) FROM events WHERE value = '\"share\"'"
    assert rows(run, shared) == rows(run, "SELECT COUNT(*) FROM agents WHERE engaged_step IS NOT NULL")
    assert rows(run, "SELECT what, COUNT(*) > 0 FROM changes GROUP BY 1") == [("stopped", 1)]
