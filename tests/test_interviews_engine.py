"""Models that interview each other: two phases, keyed chance, all recorded, nothing lost by a break."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet import InterviewExperiment
from agentnet.backend import Reply, make_backend
from agentnet.errors import (
    BackendUnusable,
    DesignError,
    Interrupted,
    PluginError,
    RequestRejected,
    RunFolderError,
    StorageError,
)
from agentnet.events import Run
from agentnet.interviews import Local, Prompt, Question
from agentnet.interviews.contract import UPDATES
from agentnet.plugins import Installed
from agentnet.runner import Runner
from agentnet.streams import mix
from agentnet.testing import ScriptedBackend

TOPICS = ("a", "b")
QUESTIONS = tuple(
    Question(f"{topic}{n}", topic, f"What is {topic}{n}?", f"It is {topic}, number {n}.")
    for topic in TOPICS
    for n in range(12)
)
DESIGN = {"n_evaluation": 3, "n_questions": 2, "n_taught": 2, "steps": 3, "models": {"a": 2, "b": 2}}


class Small(InterviewExperiment):
    """Four models of two classes, and a bank of 24 questions."""

    def load_questions(self):
        return QUESTIONS


def small(**design):
    return Small(**{**DESIGN, **design})


def word(*parts):
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


@dataclass
class Chain:
    """A rule whose models' states are hashes of all they ever heard, in order: any slip changes every answer.

    `says` may change what is said to a question; the `cut`-th call of anything does `then`.
    """

    name: str = "chain"
    label: str = "a double"
    model_name: str = "chain-1"
    asks_backend: bool = False
    checkpoint_every: int = 0
    systems_at_once: int | None = None
    latency: int = 0
    cut: int | None = None
    then: object = None
    says: object = None
    calls: list = field(default_factory=list)
    seeds: list = field(default_factory=list)
    alive: int = 0
    most_alive: int = 0

    async def begin(self, system):
        self.alive += 1
        self.most_alive = max(self.most_alive, self.alive)
        self.seeds.append(system.seeds)
        return ChainModels(self, len(system.classes))

    async def aclose(self):
        pass

    async def called(self, *what):
        self.calls.append(what)
        if len(self.calls) == self.cut:
            self.then()
        if self.latency:
            for _ in range(mix(self.latency, len(self.calls)) % 5):
                await asyncio.sleep(0)


class ChainModels:
    def __init__(self, rule, n_models):
        self.rule, self.states = rule, ["born"] * n_models

    async def answer(self, model, step, asked):
        state = self.states[model]
        await self.rule.called("answer", model, step, tuple(one.question.id for one in asked))
        assert state == self.states[model], "updated while it answered"
        return [self.say(model, one) for one in asked]

    def say(self, model, one):
        seed = one.seed if one.temperature else None
        text = word(self.states[model], one.question.id, seed)
        said = self.rule.says(model, one) if self.rule.says else None
        return Reply((text,)) if said is None else said

    async def update(self, model, step, pairs, seed):
        await self.rule.called("update", model, step, tuple(pairs))
        heard = [(pair.question.id, pair.answer, pair.step, pair.source) for pair in pairs]
        self.states[model] = word(self.states[model], heard, seed)
        return {"n": len(pairs)}

    async def save(self, folder):
        await self.rule.called("save")
        (folder / "states.json").write_text(json.dumps(self.states))

    async def restore(self, folder):
        self.states = json.loads((folder / "states.json").read_text())

    async def aclose(self):
        self.rule.alive -= 1


@pytest.fixture
def made(new_run):
    """Make a run of experiments that is played by a rule of the test's."""

    def made(*experiments, rule=None, **how):
        prepared = new_run(*experiments, **how)
        casts = tuple(replace(cast, rule=rule or Chain()) for cast in prepared.stage.casts)
        return replace(prepared, stage=replace(prepared.stage, casts=casts))

    return made


def with_rule(prepared, rule):
    casts = tuple(replace(cast, rule=rule) for cast in prepared.stage.casts)
    return replace(prepared, stage=replace(prepared.stage, casts=casts))


def play(prepared, backend=None):
    runner = Runner(prepared, backend or make_backend("mock", {}))
    asyncio.run(runner.play())
    return Run(prepared.folder)


def answers(run, kind, realization=0):
    """Map (step, model, asker, question id) to the answer."""
    rows = run.rows(
        "SELECT step, model, asker, id, answer FROM answers WHERE kind = ? AND realization = ?",
        (kind, realization),
    )[1]
    return {tuple(key): text for *key, text in rows}


# Steps


def test_every_model_answers_the_whole_evaluation_set_at_the_start_and_after_each_step(made):
    run = play(made(small()))
    found = Counter((step, model) for step, model, _, _ in answers(run, "evaluation"))
    assert found == {(step, model): 6 for step in range(4) for model in range(4)}
    (evaluation,) = run.meta["interviews"]["evaluation"]
    assert Counter(QUESTIONS[number].topic for number in evaluation) == {"a": 3, "b": 3}


def test_an_interview_hears_the_state_at_the_steps_start(made):
    run = play(made(small(reuse=False, steps=4)))
    before = answers(run, "evaluation")
    heard = answers(run, "interview")
    assert len(heard) == 4 * 4 * 2
    for (step, model, _, question), text in heard.items():
        assert text == before[step - 1, model, -1, question]


def test_updates_hold_what_was_heard_in_the_order_asked(made):
    rule = Chain()
    run = play(made(small(), rule=rule))
    heard = answers(run, "interview")
    updates = {call[1:3]: call[3] for call in rule.calls if call[0] == "update"}
    taught = dict(run.rows("SELECT model, taught FROM models")[1])
    for (model, step), pairs in updates.items():
        if step == 0:
            assert [pair.question for pair in pairs] == [QUESTIONS[n] for n in json.loads(taught[model])]
            assert all(pair.answer == pair.question.answer and pair.source == -1 for pair in pairs)
        else:
            assert len({pair.question.id for pair in pairs}) == 2
            for pair in pairs:
                assert pair.answer == heard[step, pair.source, model, pair.question.id]
    assert updates.keys() == {(model, step) for model in range(4) for step in range(4)}
    rows = run.rows("SELECT step, model, n_pairs, measures FROM updates")[1]
    assert {(m, s): (n, json.loads(text)) for s, m, n, text in rows} == {
        key: (2, {"n": 2}) for key in updates
    }


def test_partners_are_candidates_and_questions_are_drawn_without_replacement(made):
    run = play(made(small(topology="intra_class", n_questions=6, steps=6)))
    for step, model, partner, n in run.rows("SELECT step, model, interviewed, n_candidates FROM interviews")[
        1
    ]:
        assert (partner, n) == ({0: 1, 1: 0, 2: 3, 3: 2}[model], 1), step
    asked = Counter((step, asker) for step, _, asker, _ in answers(run, "interview"))
    assert set(asked.values()) == {6}


def test_partners_and_questions_are_chosen_uniformly(made):
    run = play(made(small(steps=250, n_evaluation=2, n_questions=1, reuse=False)))
    partners = run.rows("SELECT model, interviewed, COUNT(*) FROM interviews GROUP BY 1, 2")[1]
    assert len(partners) == 12
    for _, _, count in partners:
        assert abs(count - 250 / 3) < 4.5 * (250 * 2 / 9) ** 0.5
    asked = run.rows("SELECT question, COUNT(*) FROM answers WHERE kind = 'interview' GROUP BY 1")[1]
    for _, count in asked:
        assert abs(count - 250) < 4.5 * (1000 * 3 / 16) ** 0.5


def test_who_has_no_candidates_asks_nobody_and_stays_as_it_is(made):
    graph = nx.DiGraph([(0, 1), (1, 2)])
    rule = Chain()
    run = play(made(small(topology=graph), rule=rule))
    partners = run.rows("SELECT DISTINCT model, interviewed, n_candidates FROM interviews ORDER BY 1")[1]
    assert partners == [(0, None, 0), (1, 0, 1), (2, 1, 1), (3, None, 0)]
    assert {call[1] for call in rule.calls if call[0] == "update" and call[2] > 0} == {1, 2}
    assert run.rows("SELECT model FROM updates WHERE step = 2 AND n_pairs = 0 ORDER BY 1")[1] == [(0,), (3,)]
    evaluated = answers(run, "evaluation")
    assert all(evaluated[step, 3, -1, q] == evaluated[0, 3, -1, q] for step, m, _, q in evaluated if m == 3)
    detail = run.rows("SELECT detail FROM incidents WHERE kind = 'alone'")[1]
    assert [json.loads(text) for (text,) in detail] == [{"realization": 0, "never_interviewed": [2, 3]}]


def test_models_that_are_not_taught_begin_alike(made):
    rule = Chain()
    run = play(made(small(n_taught=0), rule=rule))
    found = answers(run, "evaluation")
    assert len({text for (step, _, _, q), text in found.items() if (step, q) == (0, "a0")} | {""}) <= 2
    assert not [call for call in rule.calls if call[0] == "update" and call[2] == 0]


# Databases, and models that come and go


def reading(step, state):
    return {0: ["almanac", 1], 1: [0, 2, 3], 2: ["almanac"], 3: [1]}


LIVELY = {"databases": {"almanac": "b"}, "joins": {3: 2}, "leaves": {0: 4}, "topology": reading, "steps": 5}


def test_models_that_join_or_leave_are_asked_and_updated_only_while_they_are_there(made):
    rule = Chain()
    run = play(made(small(**LIVELY), rule=rule))
    there = {step: [0, 1, 2] if step < 2 else [0, 1, 2, 3] if step < 4 else [1, 2, 3] for step in range(6)}
    evaluated = {(step, model) for step, model, _, _ in answers(run, "evaluation")}
    assert evaluated == {(step, model) for step in there for model in there[step]}
    asked = run.rows("SELECT step, model, interviewed FROM interviews ORDER BY 1, 2")[1]
    playing = {step: [m for m in there[step] if m in there[step - 1]] for step in range(1, 6)}
    assert [row[:2] for row in asked] == [(step, m) for step in playing for m in playing[step]]
    assert all(partner is None or partner == 4 or partner in playing[step] for step, _, partner in asked)
    # Who comes is taught, as others are at step 0, and interviews from the next step on.
    updates = [call for call in rule.calls if call[0] == "update" and call[1] == 3]
    assert [call[2] for call in updates] == [0, 3, 4, 5]
    assert all(pair.source == -1 for pair in updates[0][3])
    rows = run.rows("SELECT step, n_pairs FROM updates WHERE model = 3 ORDER BY 1")[1]
    assert rows == [(2, 2), (3, 2), (4, 2), (5, 2)]
    changes = run.rows("SELECT step, what, agent FROM changes WHERE what <> 'reads' ORDER BY change")[1]
    assert changes == [(0, "not yet there", 3), (2, "joins", 3), (4, "leaves", 0)]


def test_a_database_is_read_with_the_answers_of_the_bank_and_nobody_is_asked(made):
    rule = Chain()
    run = play(made(small(**LIVELY), rule=rule))
    query = "SELECT step, agent, other, detail FROM changes WHERE what = 'reads' ORDER BY change"
    read = {(step, model): json.loads(numbers) for step, model, _, numbers in run.rows(query)[1]}
    assert {step for step, model in read if model == 2} == {1, 2, 3, 4, 5}
    assert {model for _, model in read} == {0, 2}
    updates = {(call[2], call[1]): call[3] for call in rule.calls if call[0] == "update"}
    for key, numbers in read.items():
        assert [pair.question for pair in updates[key]] == [QUESTIONS[number] for number in numbers]
        assert {pair.question.topic for pair in updates[key]} == {"b"}
        assert all(pair.answer == pair.question.answer and pair.source == 4 for pair in updates[key])
    assert not {(step, asker) for step, _, asker, _ in answers(run, "interview")} & read.keys()
    assert run.meta["interviews"]["databases"] == [{"almanac": list(range(12, 24))}]


def test_who_comes_and_reads_does_not_hang_on_breaks_or_workers(made, new_run):
    whole = play(made(small(**LIVELY)))
    for every in (0, 1):
        rule = Chain(cut=30, then=cut, checkpoint_every=every)
        broken = made(small(**LIVELY), rule=rule)
        with pytest.raises(Cut):
            play(broken)
        again = Chain(checkpoint_every=every, latency=7)
        assert play(with_rule(broken, again)).digest() == whole.digest()


# Chance


def test_a_class_that_is_taught_once_is_the_same_in_all_repeats_until_it_hears_others(made):
    rule = Chain()
    run = play(made(small(repeats=3, n_taught=5, taught_once=("b",)), rule=rule))
    starts = [{k: v for k, v in answers(run, "evaluation", n).items() if k[0] < 2} for n in range(3)]
    for key in starts[0]:
        is_same = key[0] == 0 and key[1] in (2, 3)
        assert len({found[key] for found in starts}) == (1 if is_same else 3), key
    per_model = list(zip(*rule.seeds, strict=True))
    assert [len(set(seeds)) for seeds in per_model] == [3, 3, 1, 1]


def test_arms_share_chance_until_they_differ_and_repeats_do_not(made):
    calm, disrupted = small(repeats=2), small(repeats=2, topology=late_silence)
    run = play(made(calm, disrupted))
    found = [answers(run, "evaluation", number) for number in range(4)]
    assert found[0] != found[1]
    for one, other in ((0, 2), (1, 3)):
        same = {key for key in found[one] if found[one][key] == found[other][key]}
        assert {step for step, *_ in same} == {0, 1}


def late_silence(step, state):
    return [[j for j in range(4) if j != i] if step < 2 else [] for i in range(4)]


def test_sampled_answers_have_seeds_of_their_own(made):
    run = play(made(small(temperature=1.0, n_taught=0, topology="nobody")))
    found = answers(run, "evaluation")
    assert len(set(found.values())) == len(found)


def test_another_seed_is_another_run(made):
    assert play(made(small(), seed=1)).digest() != play(made(small(), seed=2)).digest()


# Reuse


def test_reused_answers_are_those_that_would_be_given_again(made):
    asked, reused = Chain(), Chain()
    runs = [play(made(small(reuse=reuse), rule=rule)) for reuse, rule in ((False, asked), (True, reused))]
    assert answers(runs[0], "interview") == answers(runs[1], "interview")
    assert answers(runs[0], "evaluation") == answers(runs[1], "evaluation")
    n_asked = [sum(len(c[3]) for c in rule.calls if c[0] == "answer") for rule in (asked, reused)]
    assert n_asked == [4 * 6 * 4 + 3 * 4 * 2, 4 * 6 * 4]
    marks = runs[1].rows("SELECT DISTINCT asks, cached FROM events WHERE kind = 'interview'")[1]
    assert marks == [(0, 1)]


def test_sampled_answers_and_questions_outside_the_evaluation_set_are_asked(made):
    rule = Chain()
    play(made(small(temperature=0.5), rule=rule))
    assert sum(len(c[3]) for c in rule.calls if c[0] == "answer") == 4 * 6 * 4 + 3 * 4 * 2
    run = play(made(small(questions_from="bank", steps=6)))
    rows = run.rows("SELECT question, asks FROM answers WHERE kind = 'interview'")[1]
    evaluation = set(run.meta["interviews"]["evaluation"][0])
    assert {asks for number, asks in rows if number not in evaluation} == {1}
    assert {asks for number, asks in rows if number in evaluation} == {0}


# Missing answers


def rejecting(model, one):
    if model == 1:
        raise RequestRejected("too long", kind="context_overflow")


def wordless(model, one):
    ends = {0: ("  ", ()), 1: ("No.", ("refusal",)), 2: ("", ("length",)), 3: ("Cut o", ("length",))}
    return Reply((ends[model][0],), finish=ends[model][1]) if one.question.topic == "a" else None


def test_a_missing_answer_is_recorded_as_missing_and_teaches_nothing(made):
    rule = Chain(says=wordless)
    run = play(made(small(reuse=False), rule=rule))
    found = dict(run.rows("SELECT DISTINCT model, COALESCE(missing, '') FROM answers WHERE topic = 'a'")[1])
    assert found == {0: "empty", 1: "refused", 2: "empty", 3: ""}
    heard = [pair for call in rule.calls if call[0] == "update" for pair in call[3] if pair.source >= 0]
    assert all(pair.question.topic == "b" or pair.source == 3 for pair in heard)
    assert {pair.answer for pair in heard if pair.question.topic == "a"} <= {"Cut o"}
    n_missing = run.rows("SELECT COUNT(missing) FROM events WHERE kind = 'interview'")[1][0][0]
    n_pairs = run.rows("SELECT SUM(n_pairs) FROM updates WHERE step > 0")[1][0][0]
    assert n_missing > 0
    assert n_pairs == 3 * 4 * 2 - n_missing
    kinds = dict(run.rows("SELECT agent, GROUP_CONCAT(DISTINCT trouble_kind) FROM troubles GROUP BY 1")[1])
    assert kinds == {0: "empty", 1: "refused", 2: "empty", 3: "cut_off"}


def test_what_a_model_rejects_is_missing_with_its_reason(made):
    run = play(made(small(), rule=Chain(says=rejecting)))
    rows = run.rows("SELECT DISTINCT agent, missing FROM events WHERE missing IS NOT NULL")[1]
    assert rows == [(1, "context_overflow")]
    detail = run.rows("SELECT DISTINCT detail FROM troubles")[1]
    assert detail == [("too long",)]
    assert run.rows("SELECT COUNT(*) FROM updates WHERE model <> 1 AND n_pairs = 0 AND step = 0")[1] == [(0,)]


def test_a_missing_answer_can_stop_the_run_and_is_asked_again(made):
    prepared = made(small(), rule=Chain(says=rejecting), on_missing="stop")
    with pytest.raises(Exception, match=r"agent 1: no usable answer \(context_overflow\)"):
        play(prepared)
    whole = play(made(small(), rule=Chain()))
    assert play(with_rule(prepared, Chain())).digest() == whole.digest()


@pytest.mark.parametrize(
    ("said", "message"),
    [([], "gave 0 answers to 6 questions"), (["text"] * 6, "gave 'text' for an answer; it gives a Reply")],
)
def test_a_rule_that_gives_no_answers_is_blamed(made, said, message):
    async def answer(self, model, step, asked):
        return said

    with pytest.raises(PluginError, match=message):
        play(made(small(), rule=broken(answer=answer)))


def broken(**methods):
    """Make a rule whose models have other methods."""

    class BrokenRule(Chain):
        async def begin(self, system):
            return type("Broken", (ChainModels,), methods)(self, len(system.classes))

    return BrokenRule()


def not_async(self, *arguments):
    return {}


async def yields(self, *arguments):
    yield {}


async def cancels(self, *arguments):
    raise asyncio.CancelledError


async def exits(self, *arguments):
    raise SystemExit(0)


@pytest.mark.parametrize("method", ["answer", "update", "aclose"])
@pytest.mark.parametrize(
    ("does", "message"),
    [
        (not_async, "is not async"),
        (yields, "is not async; define it by 'async def', without yield"),
        (cancels, "broke off by asyncio.CancelledError though nobody cancelled it"),
        (exits, "ends the program"),
    ],
)
def test_a_rule_s_method_that_cannot_be_awaited_or_breaks_off_is_its_fault(made, method, does, message):
    with pytest.raises(PluginError, match=f"{method} of update rule .* {message}"):
        play(made(small(), rule=broken(**{method: does})))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Reply((b"yes",)), "it gives a Reply with at least one text"),
        (Reply(("yes",), prompt_tokens=np.int64(3)), "counts of tokens that are whole numbers"),
        (Reply(("yes",), completion_tokens=-1), "counts of tokens that are whole numbers"),
        (Prompt("Why?"), "a Prompt has .role, content. pairs"),
        (Prompt(({"role": "user", "content": "Why?"},)), "a Prompt has .role, content. pairs"),
        (Prompt((("user", "Why?"),), {"heard": 1}), "a text for its context"),
    ],
)
def test_an_answer_of_another_form_is_refused_before_it_is_recorded(made, said, message):
    async def answer(self, model, step, asked):
        return [said for _ in asked]

    prepared = made(small(), rule=broken(answer=answer))
    with pytest.raises(PluginError, match=message):
        play(prepared)
    assert Run(prepared.folder).rows("SELECT COUNT(*) FROM events")[1] == [(0,)]


@pytest.mark.parametrize("said", [None, [1], {1: 2}, {"loss": "low"}, {"loss": True}, {"loss": np.arange(2)}])
def test_measures_that_are_none_are_refused(made, said):
    async def update(self, model, step, pairs, seed):
        return said

    with pytest.raises(PluginError, match="it gives measures"):
        play(made(small(), rule=broken(update=update)))


@pytest.mark.parametrize("unknown", [float("nan"), np.float32("inf")])
def test_a_measure_that_is_not_known_is_not_recorded_quietly(made, unknown):
    async def update(self, model, step, pairs, seed):
        return {"n": 1, "loss": unknown}

    with pytest.raises(PluginError, match=r"gives loss = (nan|inf) for model 0 at step 0; a measure is a"):
        play(made(small(), rule=broken(update=update)))


def test_measures_may_be_numbers_of_numpy(made):
    async def update(self, model, step, pairs, seed):
        return {"loss": np.float32(0.5), "n": np.int64(3)}

    run = play(made(small(), rule=broken(update=update)))
    ((found,),) = run.rows("SELECT DISTINCT measures FROM updates WHERE n_pairs > 0")[1]
    assert json.loads(found) == {"loss": 0.5, "n": 3}


@pytest.mark.parametrize(
    ("fact", "value", "message"),
    [
        ("label", None, "label = None; it is str"),
        ("asks_backend", "no", "asks_backend = 'no'; it is bool"),
        ("checkpoint_every", 0.5, "checkpoint_every = 0.5; it is int"),
        ("checkpoint_every", -1, "checkpoint_every = -1; it is at least 0"),
        ("systems_at_once", 0, "systems_at_once = 0; it is at least 1"),
        ("begin", None, "begin = None"),
    ],
)
def test_a_fact_of_a_rule_of_another_kind_is_refused(fact, value, message, monkeypatch, new_run):
    rule = Chain()
    setattr(rule, fact, value)
    plugin = SimpleNamespace(from_options=lambda *_: rule, about="", needs="")
    monkeypatch.setitem(
        UPDATES._defined, "chain", Installed("chain", "?", "", "?:?", lambda: plugin, UPDATES)
    )
    with pytest.raises(PluginError, match=message):
        new_run(small(update="chain"))


# How it is played


@settings(max_examples=6)
@given(
    latency=st.integers(1, 10**6),
    workers=st.sampled_from([1, 2, 64]),
    at_once=st.integers(1, 4),
    every=st.integers(0, 2),
)
def test_latency_order_workers_and_checkpoints_never_change_the_run(
    new_run, latency, workers, at_once, every
):
    rule = Chain(latency=latency, checkpoint_every=every)
    prepared = new_run(
        small(repeats=2),
        small(repeats=2, topology="local"),
        seed=3,
        workers=workers,
        realizations_at_once=at_once,
    )
    whole = new_run(small(repeats=2), small(repeats=2, topology="local"), seed=3)
    assert play(with_rule(prepared, rule)).digest() == play(with_rule(whole, Chain())).digest()
    assert not (prepared.folder / "models").exists()


def test_a_rule_bounds_the_systems_that_have_models_at_a_time(made):
    for bound, most in ((1, 1), (2, 2), (None, 4)):
        rule = Chain(latency=1, systems_at_once=bound)
        play(made(small(repeats=4), rule=rule))
        assert (rule.most_alive, rule.alive) == (most, 0)


class Cut(Exception):
    """The power goes off."""


def cut():
    raise Cut


@pytest.mark.parametrize("every", [0, 1])
def test_a_run_broken_off_anywhere_and_resumed_ends_as_an_unbroken_one(made, every):
    design = small(steps=2, n_evaluation=2, models={"a": 2}, reuse=False)
    complete = Chain()
    whole = play(made(design, rule=complete)).digest()
    for place in range(1, len(complete.calls) + 3 * (every > 0)):
        prepared = made(design, rule=Chain(checkpoint_every=every, cut=place, then=cut))
        with pytest.raises(Cut):
            play(prepared)
        again = Chain(checkpoint_every=every)
        assert play(with_rule(prepared, again)).digest() == whole, place
        assert not (prepared.folder / "models").exists()


def test_what_a_checkpoint_holds_is_not_updated_again(made):
    prepared = made(small(), rule=Chain(checkpoint_every=2, cut=29, then=cut))
    with pytest.raises(Cut):
        play(prepared)
    (place,) = (prepared.folder / "models" / "realization-00000").iterdir()
    assert place.name == "step-00002"
    again = Chain(checkpoint_every=2)
    play(with_rule(prepared, again))
    assert {call[2] for call in again.calls if call[0] == "update"} == {3}
    asked = Counter(call[1:] for call in again.calls if call[0] == "answer")
    assert all(step >= 2 for _, step, _ in asked)


def test_a_half_written_checkpoint_does_not_count(made):
    def fail():
        raise OSError(28, "No space left on device")

    prepared = made(small(), rule=Chain(checkpoint_every=1))
    whole = play(prepared).digest()
    n_calls = 4 + 1  # the teaching, then the first save
    prepared = made(small(), rule=Chain(checkpoint_every=1, cut=n_calls, then=fail))
    with pytest.raises(StorageError, match="the models cannot be saved"):
        play(prepared)
    assert [path.name for path in (prepared.folder / "models" / "realization-00000").iterdir()] == [
        "step-00000.new"
    ]
    assert play(with_rule(prepared, Chain(checkpoint_every=1))).digest() == whole


def test_models_that_are_ahead_of_their_log_are_refused(made):
    prepared = made(small(), rule=Chain(checkpoint_every=1, cut=30, then=cut))
    with pytest.raises(Cut):
        play(prepared)
    with change(prepared.folder) as connection:
        connection.execute("DELETE FROM events WHERE kind = 'interview' AND step = 1")
    with pytest.raises(RunFolderError, match="remove the folder 'models'"):
        play(with_rule(prepared, Chain(checkpoint_every=1)))


def change(folder):
    import sqlite3
    from contextlib import closing, contextmanager

    @contextmanager
    def changed():
        with closing(sqlite3.connect(folder / "events.sqlite")) as connection:
            connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
            yield connection
            connection.commit()

    return changed()


def test_a_checkpoint_that_cannot_be_read_is_told(made):
    prepared = made(small(), rule=Chain(checkpoint_every=1, cut=30, then=cut))
    with pytest.raises(Cut):
        play(prepared)
    for states in prepared.folder.glob("models/*/*/states.json"):
        states.unlink()
    with pytest.raises(StorageError, match="the models cannot be restored"):
        play(with_rule(prepared, Chain(checkpoint_every=1)))


def test_an_interrupted_run_stops_between_models_and_goes_on(made):
    prepared = made(small(repeats=3))
    runner = Runner(prepared, make_backend("mock", {}))
    rule = prepared.stage.casts[0].rule
    rule.cut, rule.then = 9, runner.interrupt
    with pytest.raises(Interrupted):
        asyncio.run(runner.play())
    assert len(rule.calls) < 40
    assert play(with_rule(prepared, Chain())).digest() == play(made(small(repeats=3))).digest()


def test_no_model_at_all_stops_the_run_resumable(made):
    def refuse():
        raise BackendUnusable("no memory")

    prepared = made(small(), rule=Chain(cut=6, then=refuse))
    with pytest.raises(BackendUnusable, match="no memory"):
        play(prepared)
    assert play(with_rule(prepared, Chain())).digest() == play(made(small())).digest()


def test_models_taught_otherwise_than_before_are_refused(made):
    prepared = made(small(), rule=Chain(cut=20, then=cut))
    with pytest.raises(Cut):
        play(prepared)
    with change(prepared.folder) as connection:
        connection.execute("UPDATE models SET taught = '[1]' WHERE model = 2")
    with pytest.raises(RunFolderError, match="models that were taught otherwise"):
        play(with_rule(prepared, Chain()))


KILLED = """
import os, signal
from pathlib import Path
from agentnet import InterviewExperiment

async def topology(step, state):
    if step == 3 and os.environ.get("KILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    return [[j for j in range(4) if j != i] for i in range(4)]

class Killed(InterviewExperiment):
    models = {"society": 2, "science": 2}
    n_evaluation, n_questions, n_taught, steps = 4, 3, 10, 5
    topology = staticmethod(topology)
"""


def test_a_killed_run_is_resumed_from_its_folder_alone(tmp_path, command):
    (tmp_path / "killed.py").write_text(KILLED)
    code = "from agentnet.cli import main; main()"
    arguments = ["run", "killed.py", "--out", "killed", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "KILL": "1"},
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    assert done.returncode == -9
    assert json.loads(command("run", "--resume", "killed", "--json", "--quiet").out)["status"] == "finished"
    whole = json.loads(command("run", "killed.py", "--out", "whole", "--json", "--quiet").out)
    assert Run(Path("killed")).digest() == whole["digest"]


# Topologies as the engine meets them


async def distant(step, state):
    apart = await state.distances()
    assert apart.shape == (4, 4)
    assert (np.diag(apart) == 0).all()
    return [[int(np.argmax(row))] for row in apart]


def test_a_topology_may_ask_for_distances_and_be_asynchronous(made):
    run = play(made(small(topology=distant)))
    assert {n for (n,) in run.rows("SELECT n_candidates FROM interviews")[1]} == {1}


def test_a_local_topology_asks_the_nearest_by_the_answers_embedded(made):
    run = play(made(small(topology="local", steps=2)))
    embedder = make_hash()
    for step in (1, 2):
        replies = [
            [
                text
                for (s, m, _, _), text in sorted(answers(run, "evaluation").items())
                if (s, m) == (step - 1, model)
            ]
            for model in range(4)
        ]
        vectors = np.array([asyncio.run(embedder.embed(texts)) for texts in replies], dtype=float)
        apart = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=(2, 3))
        np.fill_diagonal(apart, np.inf)
        partners = run.rows("SELECT interviewed FROM interviews WHERE step = ? ORDER BY model", (step,))[1]
        assert [partner for (partner,) in partners] == apart.argmin(axis=1).tolist()


def make_hash():
    from agentnet.embedder import make_embedder

    return make_embedder("hash", {})


def test_models_without_common_answers_are_nobodys_neighbours(made):
    def says(model, one):
        return Reply(("",)) if model == 3 else None

    run = play(made(small(topology="local"), rule=Chain(says=says)))
    partners = run.rows("SELECT DISTINCT model, interviewed FROM interviews ORDER BY 1")[1]
    assert (3, None) in partners
    assert 3 not in {partner for _, partner in partners}


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        (lambda step, state: {0: [7]}, "step 1: the topology names model 7, but there are models 0 to 3"),
        (lambda step, state: {0: ["b"]}, "names model 'b'"),
        (lambda step, state: [[0], [], [], []], "lets model 0 interview itself"),
        (lambda step, state: [[1], [0]], "candidates of 2 models, but there are 4"),
        (lambda step, state: 5, "gives 5; it gives the candidates of each model"),
        (nx.DiGraph([(0, 9)]), "names model 9"),
    ],
)
def test_a_topology_that_names_no_model_of_the_system_is_refused(made, topology, message):
    with pytest.raises(DesignError, match=message):
        play(made(small(topology=topology)))


def test_nearest_neighbours_are_at_least_one():
    with pytest.raises(DesignError, match="n_neighbours is 0"):
        Local(0)


# Chat models


def chat(script, **design):
    return small(update="memory", models={"a": 2}, steps=1, **design), ScriptedBackend(script)


def test_chat_models_are_asked_through_the_stack_with_what_they_remember(made, new_run):
    design, backend = chat(lambda request: f"On {request.messages[-1][1]}")
    run = play(new_run(design), backend)
    first = backend.requests[0]
    assert first.temperature == 0.0
    assert first.messages[0][0] == "system"
    assert first.draw[0][1:] == (0, "evaluation", 0)
    taught = json.loads(run.rows("SELECT taught FROM models WHERE model = 0")[1][0][0])
    turns = {content for role, content in first.messages if role == "assistant"}
    assert turns == {QUESTIONS[number].answer for number in taught}
    context = run.rows("SELECT context FROM events WHERE kind = 'evaluation' AND step = 1 AND agent = 0")[1]
    for (text,) in context:
        remembered = json.loads(text)
        assert len(remembered) == 4
        assert {step for step, _ in remembered} == {0, 1}
    rows = run.rows("SELECT DISTINCT model_name, attempts FROM answers WHERE kind = 'evaluation'")[1]
    assert rows == [("scripted-1", 1)]


def test_an_empty_reply_is_asked_again_and_then_missing(new_run):
    design, backend = chat(lambda request: " " if request.metadata["model"] == 0 else "Yes.")
    run = play(new_run(design, max_asks=2), backend)
    rows = run.rows("SELECT DISTINCT model, missing, asks FROM answers WHERE kind = 'evaluation' ORDER BY 1")[
        1
    ]
    assert rows == [(0, "empty", 2), (1, None, 1)]
    assert run.rows("SELECT n_pairs FROM updates WHERE step = 1 ORDER BY model")[1] == [(2,), (0,)]


def test_a_reply_that_reached_the_bound_is_an_answer_and_said(new_run):
    design, backend = chat(lambda _: Reply(("And so",), finish=("length",)))
    run = play(new_run(design), backend)
    assert run.rows("SELECT DISTINCT answer, missing FROM answers")[1] == [("And so", None)]
    assert run.rows("SELECT DISTINCT trouble_kind FROM troubles")[1] == [("cut_off",)]


def test_a_control_hears_nothing_but_what_it_was_taught(new_run):
    _, backend = chat(lambda request: f"On {request.messages[-1][1]}")
    run = play(new_run(small(update="none", models={"a": 2}, steps=2)), backend)
    found = answers(run, "evaluation")
    for (step, *key), text in found.items():
        assert text == found[0, *key], step
    contexts = run.rows("SELECT context FROM events WHERE context IS NOT NULL")[1]
    assert {step for (text,) in contexts for step, _ in json.loads(text)} == {0}


def test_steps_follow_each_other(made):
    rule = Chain()
    play(made(small(), rule=rule))
    steps = [call[2] for call in rule.calls if call[0] != "save"]
    assert all(later >= earlier for earlier, later in pairwise(steps))
