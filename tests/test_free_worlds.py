"""Free worlds: experiments that write what happens as a generator of questions."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from agentnet import Missing, Run
from agentnet.analysis.opinions import diversity
from agentnet.errors import DesignError
from agentnet.exposure import Message
from agentnet.feeds import FEED_RULES, Post, feed, feed_rule

HEAD = """
from typing import Literal
from pydantic import BaseModel
from agentnet import Ask, Missing, WorldExperiment
from agentnet.news import choose, sample_news


class Small(WorldExperiment):
    n_agents, repeats = 6, 2
    {body}
"""
WHOLE = ("--json", "--quiet", "--seed", "5", "-S", "stack.cache=false", "-S", "log.parquet=false")

TALK = """
network, degree = "random_regular", 3
rounds: int = 4
conditions = ({"rounds": 4}, {"rounds": 2})

def play(self, s):
    mood = yield [Ask(a, f"Agent {a}?", answer=Literal[-1, 0, 1], kind="mood") for a in s.agents]
    s.record(0, mood=mood)
    for step in range(1, self.rounds + 1):
        said = yield [Ask(a, f"{a}: mood {mood[a]}. Talk!", answer=str, kind="post") for a in s.agents]
        posts = [s.post(a, text, step=step) for a, text in enumerate(said)]
        asks = [
            Ask(a, posts[b].text, answer=Literal[-1, 0, 1], kind="mood", source=b, message=posts[b],
                context={"step": step, "by": b})
            for a in s.agents for b in s.hears(a)
        ]
        heard = yield asks
        for ask, now in zip(asks, heard):
            mood[ask.agent] = now
        first, second = s.chance.pair("swap", step, len(s.agents))
        s.follow(first, second, step)
        s.record(step, mood=mood, mean=sum(mood) / len(mood))
"""


@pytest.fixture
def study(tmp_path):
    def study(body, name="study.py"):
        path = tmp_path / name
        path.write_text(HEAD.replace("{body}", body.replace("\n", "\n    ")))
        return path

    return study


@pytest.fixture
def play(command, tmp_path):
    def play(path, *options, out="run"):
        return command("run", path, "--out", tmp_path / out, *WHOLE, *options)

    return play


def rows(run, query):
    return run.rows(query)[1]


def test_a_world_in_which_nothing_happens_leaves_no_run(command, study):
    refused = command("run", str(study("rounds: int = 3")), "--quiet", "--out", "runs/none")
    assert refused.code == 2
    assert "Small says nothing of what happens: write play(self, s)" in refused.err
    assert not Path("runs/none").exists()


def test_a_world_is_played_and_everything_it_says_stands_in_the_log(study, play, tmp_path):
    told = json.loads(play(study(TALK)).out)
    run = Run(tmp_path / "run")
    assert told["agents"] == 24
    moods = rows(run, "SELECT realization, step, agent, value FROM measures WHERE name = 'mood' AND step = 0")
    answers = rows(run, "SELECT realization, step, agent, value FROM events WHERE kind = 'mood' AND step = 0")
    assert [(*key, json.loads(value)) for *key, value in answers] == [(*key, int(v)) for *key, v in moods]
    texts = (
        "SELECT COUNT(*) FROM messages m JOIN events e ON e.realization = m.realization AND e.kind = 'post'"
    )
    at = " AND e.agent = m.author AND e.step = 2 * m.step - 1 JOIN replies r USING (reply)"
    assert rows(run, f"{texts}{at} WHERE r.text = m.text") == rows(run, "SELECT COUNT(*) FROM messages")
    query = "SELECT message, context FROM exposures WHERE kind = 'mood' AND step > 0"
    for message, context in rows(run, query):
        assert message is not None
        assert json.loads(context).keys() == {"step", "by"}
    assert rows(run, "SELECT DISTINCT what FROM changes") in ([("follows",)], [])


def test_what_was_cut_off_anywhere_is_gone_on_with_to_the_same_digest(study, play, command, tmp_path):
    path = study(TALK)
    whole = json.loads(play(path, out="whole").out)
    for calls in (1, 20, whole["calls"] - 1):
        assert play(path, "-S", f"stack.max_calls={calls}", out=f"cut-{calls}").code == 3
        on = command(
            "run", "--resume", tmp_path / f"cut-{calls}", "--json", "--quiet", "-S", "stack.max_calls=1000000"
        )
        assert json.loads(on.out)["digest"] == whole["digest"]
        assert (
            Run(tmp_path / f"cut-{calls}").frame("measures").equals(Run(tmp_path / "whole").frame("measures"))
        )
    for workers in (1, 256):
        one = play(path, "-S", f"engine.workers={workers}", out=f"with-{workers}")
        assert json.loads(one.out)["digest"] == whole["digest"]


def test_answers_that_are_not_asked_for_again_end_the_run(study, play, command, tmp_path):
    body = """
def play(self, s):
    import os
    for _ in range(4):
        yield [Ask(agent, "?") for agent in s.agents if agent != int(os.environ["LEFT_OUT"])]
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEFT_OUT", "1")
        assert play(study(body), "--max-calls", "12").code == 3
        patch.setenv("LEFT_OUT", "2")
        done = command("run", "--resume", tmp_path / "run", "--quiet", "-S", "stack.max_calls=1000")
    assert done.code == 2
    assert "does not ask now (answer)" in done.err


def test_conditions_share_chance_for_as_long_as_they_share_their_history(study, play, tmp_path):
    play(study(TALK))
    run = Run(tmp_path / "run")
    drawn = "SELECT kind, step, agent, source, temperature, value FROM events"
    query = drawn + " WHERE realization = {} AND step <= 4"
    assert rows(run, query.format(0)) == rows(run, query.format(2))
    assert rows(run, query.format(0)) != rows(run, query.format(1))


def test_what_is_asked_beside_an_agent_changes_nothing_of_its_own_answer(study, play, tmp_path):
    body = """
n_agents, temperature = 9, (0.5, 1.5)

def play(self, s):
    yield [Ask(a, f"Agent {a}?", kind="all") for a in s.agents]
"""
    fewer = body.replace("s.agents", "(7, 2)")
    play(study(body), out="all")
    play(study(fewer, "fewer.py"), out="fewer")
    query = "SELECT realization, agent, temperature, decision FROM events WHERE agent IN (2, 7)"
    assert rows(Run(tmp_path / "all"), query) == rows(Run(tmp_path / "fewer"), query)


def test_a_missing_answer_comes_back_as_missing_with_its_reason(study, play, tmp_path):
    body = """
def play(self, s):
    said = yield [Ask(a, f"{a}?", answer=Literal["a", "b"]) for a in s.agents]
    gone = [each for each in said if isinstance(each, Missing)]
    assert all(each.reason == "invalid" for each in gone)
    s.record(0, said=[each if isinstance(each, Missing) else 1.0 for each in said], n_gone=len(gone))
"""
    options = ("backend.invalid_rate=0.4", "engine.max_asks=1", "engine.max_missing=1")
    done = play(study(body), *(word for option in options for word in ("-S", option)))
    assert done.code == 0, done.err
    run = Run(tmp_path / "run")
    gone = rows(run, "SELECT realization, agent FROM events WHERE missing IS NOT NULL")
    assert gone == rows(run, "SELECT realization, agent FROM measures WHERE name = 'said' AND value IS NULL")
    assert len(gone) == rows(run, "SELECT SUM(value) FROM measures WHERE name = 'n_gone'")[0][0] > 0


def test_measures_leave_a_missing_answer_out():
    assert diversity([1, Missing("refused"), 3]) == 1.0
    assert np.isnan(float(Missing("refused")))


def test_a_missing_answer_has_no_truth():
    with pytest.raises(TypeError, match="neither yes nor no"):
        bool(Missing("refused"))


def test_missing_answers_are_asked_again_and_what_follows_from_them_is_played_anew(
    study, play, command, tmp_path
):
    path = study(TALK)
    whole = json.loads(play(path, out="whole").out)
    options = ("backend.invalid_rate=0.05", "engine.max_asks=1", "engine.max_missing=1")
    body = TALK.replace("mood[ask.agent] = now", "mood[ask.agent] = 0 if isinstance(now, Missing) else now")
    body = body.replace("s.record(0, mood=mood)", "mood = [0 if isinstance(m, Missing) else m for m in mood]")
    body = body.replace("enumerate(said)]", "enumerate('' if isinstance(t, Missing) else t for t in said)]")
    path = study(body, "holes.py")
    assert play(path, *(word for option in options for word in ("-S", option)), out="holes").code == 0
    before = rows(Run(tmp_path / "holes"), "SELECT COUNT(*) FROM events WHERE missing IS NOT NULL")[0][0]
    assert before > 0
    again = command(
        "run",
        "--resume",
        tmp_path / "holes",
        "--ask-missing",
        "--json",
        "--quiet",
        "-S",
        "engine.max_missing=1",
    )
    assert again.code == 0, again.err
    assert whole["calls"] > 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("pass", "write play"),
        ("def play(self, s):\n    return 3", "it is a generator"),
        ("def play(self, s):\n    yield 'hello'", "it yields lists of agentnet.Ask"),
        ("def play(self, s):\n    yield [Ask(9, 'you?')]", "agents are 0 to 5"),
        ("def play(self, s):\n    yield [Ask(1, 'you?', source=7)]", "source 7"),
        ("def play(self, s):\n    yield [Ask(1, 'you?', kind='exposure')]", "call it otherwise"),
        ("def play(self, s):\n    yield [Ask(1, 17)]", "a prompt is a text"),
        ("def play(self, s):\n    yield [Ask(1, ' ')]", "its prompt is blank"),
        ("def play(self, s):\n    s.record(0, x=float('-inf'))\n    yield [Ask(1, '?')]", "a finite number"),
        ("def play(self, s):\n    yield [Ask(1, 'you?', answer=dict)]", "dict"),
        ("def play(self, s):\n    yield [Ask(1, 'you?', context={'n': [1]})]", "context"),
        (
            "def play(self, s):\n    yield [Ask(1, 'you?')]\n    s.record(0, x=[1, 2])",
            "2 values for 6 agents",
        ),
        ("def play(self, s):\n    yield [Ask(1, 'you?')]\n    s.record(0, x='much')", "'x'"),
        (
            "def play(self, s):\n    yield [Ask(1, 'you?')]\n    s.record(0, x={a: 1 for a in s.agents})",
            "no order",
        ),
        ("def play(self, s):\n    yield [Ask(1, 'you?')]\n    s.record(0, x=set(s.agents))", "no order"),
        ("def play(self, s):\n    yield [Ask(1, s.persona(-1))]", "there is no agent -1"),
        ("def play(self, s):\n    s.post(9, 'hello')\n    yield [Ask(1, 'you?')]", "no agent 9"),
        ("def play(self, s):\n    s.post(1, 'hello', parent=4)\n    yield [Ask(1, 'you?')]", "no message 4"),
        ("def play(self, s):\n    s.follow(1, 6)\n    yield [Ask(1, 'you?')]", "no agent 6"),
        ("def play(self, s):\n    (a,) = yield [Ask(1, 'you?')]\n    a.nothing", "study.py, line"),
        (
            "def play(self, s):\n    m = s.post(1, '')\n    yield [Ask(1, '', message=m._replace(number=4))]",
            "message 4, which was never posted",
        ),
        ("def choose_news(self, seed):\n    return ['x']", "choose_news gives"),
        ("def play(self, s):\n    yield [Ask('1', 'you?')]", "agent '1'"),
        ("def play(self, s):\n    yield [Ask(1, 'you?', source=None)]", "source None"),
        ("def play(self, s):\n    yield [Ask(1, 'you?', kind=3)]", "kind 3"),
        ("def play(self, s):\n    yield [Ask(1, 'you?', message='hello')]", "s.post(author, text) gives"),
        ("def play(self, s):\n    s.post(1, Missing('invalid'))\n    yield []", "a post is a text"),
        (
            "def play(self, s):\n    s.record(1, x=1)\n    yield []\n    s.record(1, x=2)",
            "recorded at step 1",
        ),
        ("def play(self, s):\n    s.change(0, 'moved', 1, by=float('nan'))\n    yield []", "study.py, line"),
        ("def play(self, s):\n    s.change(0, 'moved', 9)\n    yield []", "no agent 9"),
        (
            "def play(self, s):\n    m = s.post(1, 'a')._replace(step=2)\n    s.post(2, '', m)\n    yield []",
            "of another realization",
        ),
        ("def play(self, s):\n    while True: yield []", "asked nobody"),
    ],
)
def test_what_cannot_be_played_is_said_by_a_check(study, command, body, words):
    done = command("check", study(body))
    assert done.code == 2, done.out
    assert words in done.err


def test_numbers_of_numpy_are_recorded_as_numbers(study, play, tmp_path):
    body = """
network = "complete"

def play(self, s):
    import numpy as np
    one, two = np.arange(1, 3)
    s.unfollow(one, two, step=one)
    s.change(one, "moved", one, two)
    yield [Ask(one, "?", source=two, message=s.post(one, "hello", step=two))]
    s.record(two, n=np.int64(4), all=np.arange(6.0), yes=np.bool_(True), none=None, flat=np.array(0.5))
"""
    done = play(study(body))
    assert done.code == 0, done.err
    run = Run(tmp_path / "run")
    assert rows(run, "SELECT agent, source FROM events WHERE realization = 0") == [(1, 2)]
    assert rows(run, "SELECT author, step FROM messages WHERE realization = 0") == [(1, 2)]
    changes = "SELECT what, step, agent, other FROM changes WHERE realization = 0"
    assert rows(run, changes) == [("unfollows", 1, 1, 2), ("moved", 1, 1, 2)]
    whole = "SELECT name, value FROM measures WHERE realization = 0 AND step = 2 AND agent = -1"
    assert rows(run, whole) == [("flat", 0.5), ("n", 4.0), ("none", None), ("yes", 1.0)]


def test_answers_of_one_turn_may_be_declared_differently(study, play, tmp_path):
    body = """
def play(self, s):
    a, b, c = yield [Ask(0, "one?"), Ask(1, "two?", answer=Literal["x", "y"]), Ask(0, "three?", answer=str)]
    assert a in (True, False) and b in ("x", "y") and isinstance(c, str)
"""
    assert play(study(body)).code == 0
    run = Run(tmp_path / "run")
    assert rows(run, "SELECT step, agent, repeat FROM events WHERE realization = 0") == [
        (0, 0, 0),
        (0, 0, 1),
        (0, 1, 0),
    ]


def test_who_unfollows_is_still_heard_by_the_other(study, play, tmp_path):
    body = """
network = "complete"

def play(self, s):
    s.unfollow(0, 1, step=1)
    s.unfollow(0, 1, step=1)
    s.follow(0, 2, step=1)
    assert s.hears(0) == [2, 3, 4, 5] and s.hears(1) == [0, 2, 3, 4, 5]
    s.follow(0, 1, step=2)
    assert s.hears(0) == [1, 2, 3, 4, 5]
    yield [Ask(0, "?")]
"""
    assert play(study(body)).code == 0
    changes = rows(
        Run(tmp_path / "run"), "SELECT step, what, agent, other FROM changes WHERE realization = 0"
    )
    assert changes == [(1, "unfollows", 0, 1), (2, "follows", 0, 1)]


def test_news_are_the_first_messages_and_older_items_stay_those_of_the_log(study, play, tmp_path):
    body = """
def choose_news(self, seed):
    return choose(sample_news().items, 1, seed)

def play(self, s):
    yield [Ask(a, s.messages[0].text, message=s.messages[0]) for a in s.agents]
"""
    assert play(study(body)).code == 0
    run = Run(tmp_path / "run")
    texts = rows(run, "SELECT text FROM news ORDER BY news")
    assert rows(run, "SELECT text FROM messages WHERE realization = 0 ORDER BY message") == texts
    assert rows(run, "SELECT DISTINCT author, parent FROM messages") == [(-1, None)]


# Feeds


def post(number, step, *engaged, groups=()):
    made = Post(Message(number, 0, None, step, ""), groups=groups)
    for agent in engaged:
        made.note("like", agent)
    return made


def shown(rule, posts, reader=0, k=2):
    return [each.message.number for each in feed(rule, posts, reader, k)]


def test_a_feed_shows_the_first_by_its_rule():
    sides = (0, 0, 1, 1)
    posts = [post(0, 0, 1, 2, groups=sides), post(1, 1, 1, groups=sides), post(2, 2, 2, 3, groups=sides)]
    assert shown("chronological", posts) == [2, 1]
    assert shown("engagement", posts) == [2, 0]
    assert shown("bridging", posts, k=3) == [2, 0, 1]
    assert shown("bridging", posts, reader=3, k=3) == [1, 0, 2]


def test_a_feed_rule_is_entered_by_its_definition_and_an_unknown_one_lists_those_there_are():
    @feed_rule("oldest")
    def oldest(post, reader):
        return -post.message.step

    try:
        assert shown("oldest", [post(0, 0), post(1, 1), post(2, 2)]) == [0, 1]
    finally:
        del FEED_RULES._defined["oldest"]
    with pytest.raises(DesignError, match="did you mean 'chronological'"):
        feed("chronologic", [], 0, 1)
    with pytest.raises(DesignError, match="at least 1"):
        feed("chronological", [], 0, -1)


@pytest.mark.parametrize("one", [2**60, 10**400, Decimal(1), Fraction(1, 3), np.uint8(1), np.float32(1)])
def test_posts_are_ranked_by_the_scores_as_they_are_given(one):
    posts = [post(0, 0), post(1, 0), post(2, 0)]
    feed_rule("odd")(lambda post, reader: one + 1 if post.message.number == 1 else one)
    try:
        assert shown("odd", posts, k=3) == [1, 2, 0]
    finally:
        del FEED_RULES._defined["odd"]


@pytest.mark.parametrize("score", [None, float("nan"), "1", 1j, [1.0]])
def test_a_feed_rule_whose_score_is_no_number_is_refused(score):
    feed_rule("odd")(lambda post, reader: score)
    try:
        with pytest.raises(DesignError, match=r"feed rule 'odd' gives .*; it gives a number"):
            feed("odd", [Post(Message(0, -1, None, 0, "a"))], 0, 1)
    finally:
        del FEED_RULES._defined["odd"]
