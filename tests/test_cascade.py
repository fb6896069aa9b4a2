"""One realization of a news cascade: who is asked, who engages, and what is written down of it."""

import asyncio
import hashlib
from collections import Counter, defaultdict, namedtuple
from typing import NamedTuple

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agentnet.asking_rules import ASKING_RULES, AskingRule
from agentnet.errors import BackendUnusable, DesignError, RequestRejected, RunStopped, TransientError
from agentnet.events import Answered
from agentnet.events.schema import USUALLY_NULL, columns
from agentnet.network import Network, random_regular
from agentnet.prompts import Verdict
from agentnet.runner.journal import Journal, Tally
from agentnet.sampler import CallSampler, Pool, Question
from agentnet.streams import Streams
from agentnet.testing import ScriptedBackend, run_in_virtual_time
from agentnet.worlds import Chance, Temperature, Voice
from agentnet.worlds.ahead import CascadeAhead
from agentnet.worlds.cascade import Cascade, CascadeRules

RULES = tuple(ASKING_RULES)
ONCE = AskingRule("once", "", lambda exposures: exposures.once_per_agent(), is_local=True)
LOCAL = tuple(name for name in ASKING_RULES if ASKING_RULES[name].is_local)
REALIZATION = 3
TEMPERATURE = Temperature(0.7, 1.3)

Event = namedtuple("Event", columns("events"))
Step = namedtuple("Step", columns("steps"))


class MemoryLog:
    """Keeps what an engine writes, with no file and no thread, so that it can be played in virtual time."""

    error = None

    def __init__(self):
        self.rows = defaultdict(list)
        self.texts = []

    def add(self, table, rows):
        self.rows[table].extend(rows)

    def add_event(self, row, table="events"):
        left_out = USUALLY_NULL["events"] if table == "usual events" else ()
        named = dict(zip([name for name in Event._fields if name not in left_out], row, strict=True))
        self.rows["events"].append(Event(**{**dict.fromkeys(left_out), **named}))

    def reply_number(self, text, *_):
        self.texts.append(text)
        return len(self.texts) - 1

    async def flush(self):
        await asyncio.sleep(0)

    async def answered(self, realization):
        found = [e for e in self.rows["events"] if e.kind != "reason" and e.missing is None]
        found.sort(key=lambda e: (e.step, e.agent, e.source, e.repeat))
        return [
            Answered(e.step, e.agent, e.source, e.repeat, e.temperature, self.texts[e.reply]) for e in found
        ]


class DiskLog(MemoryLog):
    """Knows whose answers of which step are on the disk."""

    on_disk = frozenset()

    async def flush(self):
        await super().flush()
        self.on_disk = frozenset((event.agent, event.step) for event in self.rows["events"])


class Played(NamedTuple):
    """One realization after its end."""

    cascade: Cascade
    log: MemoryLog
    backend: ScriptedBackend
    tally: Tally
    status: str
    last_step: int

    @property
    def events(self):
        return self.log.rows["events"]

    @property
    def exposures(self):
        return [event for event in self.events if event.kind == "exposure"]

    @property
    def steps(self):
        return [Step(*row) for row in self.log.rows["steps"]]

    @property
    def engaged(self):
        """The engaged agents and their steps."""
        return {agent: step for agent, step in enumerate(self.cascade.engaged_step.tolist()) if step >= 0}


def judge(text):
    return Verdict(text == "yes", "") if text in {"yes", "no"} else Verdict(None, "", "no_answer")


VOICE = Voice(
    question=lambda kind, profile: Question(profile, (("user", f"{kind} to profile {profile}"),)),
    judge=judge,
    reason=lambda question, text: question._replace(messages=(*question.messages, ("assistant", text))),
    judge_reason=lambda text: Verdict(None, text, ""),
)


def play(
    network,
    script,
    *,
    workers=8,
    max_asks=1,
    seed=0,
    stop_on_missing=False,
    recorded=None,
    temperature=TEMPERATURE,
    kind=Cascade,
    log=None,
    **rules,
):
    log, backend, tally = log or MemoryLog(), ScriptedBackend(script), Tally()
    rules = {
        "steps": 20,
        "asking_rule": "always",
        "max_seed_attempts": network.n_agents,
        **rules,
    }
    if isinstance(rules["asking_rule"], str):
        rules["asking_rule"] = ASKING_RULES[rules["asking_rule"]]

    async def main():
        async with Pool(workers) as pool:
            sampler = CallSampler(backend, pool, run_seed=seed, max_asks=max_asks)
            journal = Journal(
                REALIZATION, log, sampler, tally, recorded=recorded or {}, stop_on_missing=stop_on_missing
            )
            profiles = np.arange(network.n_agents) % 32
            chance = Chance(Streams(seed), REALIZATION, temperature)
            cascade = kind(network, profiles, CascadeRules(**rules), VOICE, chance, REALIZATION)
            return cascade, await journal.play(cascade.play())

    cascade, (status, last_step, _) = run_in_virtual_time(main())
    return Played(cascade, log, backend, tally, status, last_step)


def network_of(edges, n_agents, **kind):
    return Network.from_edges(np.array(edges, dtype=int).reshape(-1, 2), n_agents, **kind)


@st.composite
def networks(draw, max_agents=10):
    """Any network, directed or not: mostly disconnected, often with isolated agents."""
    n_agents, is_directed = draw(st.integers(1, max_agents)), draw(st.booleans())
    pairs = [(u, v) for u in range(n_agents) for v in range(n_agents if is_directed else u) if u != v]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return network_of(edges, n_agents, is_directed=is_directed)


# What an agent says, fixed by what it is asked: yes, no, something unusable, or an error.
SAID = (
    "yes",
    "yes",
    "no",
    "no",
    "no",
    "hm",
    TransientError("gone"),
    RequestRejected("too long", kind="long"),
)


class Mood(NamedTuple):
    """A script that depends on the draw alone; `says` picks from `SAID` or from fewer words."""

    number: int
    words: tuple = SAID

    def of(self, kind, step, agent, source):
        text = f"{self.number} {kind} {step} {agent} {source}"
        return self.words[hashlib.sha256(text.encode()).digest()[0] % len(self.words)]

    def __call__(self, request):
        (_, _, kind, step), agent, source, _, _ = request.draw
        return self.of(kind, step, agent, source)


moods = st.integers(0, 10**6).map(Mood)
rules = st.sampled_from(RULES)


# Against other solutions


@settings(max_examples=40)
@given(network=networks(14), rule=st.sampled_from(["always", "once_per_edge"]), steps=st.integers(1, 6))
def test_when_everyone_shares_the_cascade_is_a_breadth_first_search(network, rule, steps):
    played = play(network, lambda _: "yes", asking_rule=rule, steps=steps)
    graph = network.to_networkx()
    distances = nx.single_source_shortest_path_length(graph, played.cascade.initial_agent)
    assert played.engaged == {agent: d for agent, d in distances.items() if d <= steps}
    assert played.status == "finished"
    assert played.last_step == min(steps, max(distances.values()))


@settings(max_examples=40)
@given(network=networks(14), rule=rules)
def test_when_everyone_shares_no_rule_lets_news_arrive_before_or_after_its_distance(network, rule):
    played = play(network, lambda _: "yes", asking_rule=rule)
    distances = nx.single_source_shortest_path_length(network.to_networkx(), played.cascade.initial_agent)
    assert all(distances[agent] == step for agent, step in played.engaged.items())


def seeding(n_agents, mood, seed, bound):
    """The seeding in plain Python: who was asked, and who started."""
    order = list(range(n_agents))
    for i in range(n_agents):
        j = i + Streams(seed).integer("initial agent", REALIZATION, i) % (n_agents - i)
        order[i], order[j] = order[j], order[i]
    order = order[:bound]
    for asked, agent in enumerate(order, start=1):
        if mood.of("seed", 0, agent, -1) == "yes":
            return order[:asked], agent
    return order, None


def spread(network, mood, initial, rule, n_steps):
    """The steps in plain Python: for each the (agent, source) pairs asked, and who is engaged after it."""
    neighbours = {agent: set(network.neighbours(agent).tolist()) for agent in range(network.n_agents)}
    engaged, heard, played = {initial}, set(), []
    for step in range(1, n_steps + 1):
        exposed = {a for a in neighbours if a not in engaged and neighbours[a] & engaged}
        asked = {(a, source) for a in exposed for source in neighbours[a] & engaged}
        if rule == "unengaged_neighbour":
            asked = {(a, source) for a, source in asked if neighbours[a] - engaged}
        elif rule == "unexposed_neighbour":
            asked = {(a, source) for a, source in asked if neighbours[a] - engaged - exposed}
        elif rule == "once_per_edge":
            asked -= heard
            heard |= asked
        if not asked:
            break
        engaged |= {a for a, source in asked if mood.of("exposure", step, a, source) == "yes"}
        played.append((len(exposed), asked, len(engaged)))
    return played


@settings(max_examples=120)
@given(
    network=networks(),
    mood=moods,
    rule=rules,
    seed=st.integers(0, 99),
    n_steps=st.integers(1, 8),
    data=st.data(),
)
def test_the_cascade_is_the_one_that_plain_python_plays(network, mood, rule, seed, n_steps, data):
    bound = 1 + mood.number % network.n_agents
    kind = data.draw(st.sampled_from([Cascade, CascadeAhead] if rule in LOCAL else [Cascade]))
    played = play(
        network, mood, asking_rule=rule, seed=seed, steps=n_steps, max_seed_attempts=bound, kind=kind
    )
    asked_to_start, initial = seeding(network.n_agents, mood, seed, bound)
    assert [e.agent for e in played.events if e.kind == "seed"] == asked_to_start
    assert played.cascade.initial_agent == initial
    if initial is None:
        assert (played.status, played.last_step) == ("unstarted", 0)
        return
    expected = spread(network, mood, initial, rule, n_steps)
    assert (played.status, played.last_step) == ("finished", len(expected))
    for step, (n_exposed, asked, n_engaged) in enumerate(expected, start=1):
        pairs = [(e.agent, e.source) for e in played.exposures if e.step == step]
        assert len(pairs) == len(asked)
        assert set(pairs) == asked
        row = played.steps[step]
        assert (row.n_exposed, row.n_engaged) == (n_exposed, n_engaged)


# What holds of every realization


@settings(max_examples=60)
@given(network=networks(), mood=moods, rule=rules, kind=st.sampled_from([Cascade, CascadeAhead]))
def test_a_cascade_is_the_same_where_only_those_are_looked_at_who_hear_somebody_engaged(
    network, mood, rule, kind
):
    kind = kind if rule in LOCAL else Cascade
    of_few = play(network, mood, asking_rule=rule, kind=kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agentnet.worlds.cascade._MANY", 0)
        of_many = play(network, mood, asking_rule=rule, kind=kind)
    assert (said(of_many), of_many.steps, of_many.engaged) == (said(of_few), of_few.steps, of_few.engaged)


@settings(max_examples=40)
@given(network=networks(), mood=moods, rule=rules)
def test_every_exposure_had_an_engaged_source_and_an_unengaged_agent(network, mood, rule):
    played = play(network, mood, asking_rule=rule)
    engaged = played.engaged
    for event in played.exposures:
        assert engaged[event.source] < event.step
        assert engaged.get(event.agent, 99) >= event.step
        assert event.source in network.neighbours(event.agent)
        assert (event.realization, event.repeat) == (REALIZATION, 0)


@settings(max_examples=40)
@given(network=networks(), mood=moods, rule=rules)
def test_an_agent_engages_at_the_step_of_its_first_yes_and_of_nothing_else(network, mood, rule):
    played = play(network, mood, asking_rule=rule)
    first_yes = {}
    for event in played.events:
        if event.decision == 1:
            first_yes.setdefault(event.agent, event.step)
            assert first_yes[event.agent] == event.step, "asked again after it engaged"
    assert played.engaged == first_yes
    recorded = {agent: step for step, realization, agent in played.log.rows["engagements"]}
    assert recorded == first_yes
    assert len(played.log.rows["engagements"]) == len(first_yes)


@settings(max_examples=40)
@given(network=networks(), mood=moods, rule=rules)
def test_the_table_of_steps_agrees_with_the_events(network, mood, rule):
    played = play(network, mood, asking_rule=rule)
    n_engaged = 0
    assert [row.step for row in played.steps] == list(range(played.last_step + 1))
    for row in played.steps:
        of_step = [e for e in played.events if e.step == row.step]
        answers = Counter(e.decision for e in of_step)
        n_engaged += len({e.agent for e in of_step if e.decision == 1})
        assert row.n_decisions == len(of_step)
        assert (row.n_yes, row.n_missing) == (answers[1], answers[None])
        assert row.n_asked == len({e.agent for e in of_step})
        assert row.n_engaged == n_engaged
        assert row.realization == REALIZATION
        assert row.n_exposed >= row.n_asked or row.step == 0


@settings(max_examples=40)
@given(network=networks(), mood=moods, rule=rules, reasons=st.booleans())
def test_the_tally_agrees_with_the_events(network, mood, rule, reasons):
    played = play(network, mood, asking_rule=rule, ask_reasons=reasons)
    decisions = [e for e in played.events if e.kind != "reason"]
    tally = played.tally
    assert tally.n_decisions == len(decisions)
    assert tally.n_missing == sum(e.missing is not None for e in decisions)
    assert (tally.counts["engaged"], tally.counts["agents"]) == (len(played.engaged), network.n_agents)
    assert tally.n_calls == len(played.backend.requests) == len(played.events)


@settings(max_examples=40)
@given(network=networks(), mood=moods)
def test_a_missing_answer_is_neither_yes_nor_no_and_is_asked_for_again_at_the_next_step(network, mood):
    played = play(network, mood, asking_rule="always", steps=6)
    asked = {(e.step, e.agent, e.source) for e in played.exposures}
    for event in played.exposures:
        assert (event.decision is None) == (event.missing is not None)
        if event.missing is not None and played.engaged.get(event.agent, 99) > event.step < 6:
            assert (event.step + 1, event.agent, event.source) in asked


def said(played):
    dropped = {"reply", "latency_s", "at"}
    return sorted(tuple(getattr(e, f) for f in Event._fields if f not in dropped) for e in played.events)


def late(mood, pauses):
    """A script that answers after one pause or the other."""
    n_asked = 0

    async def answer(request):
        nonlocal n_asked
        n_asked += 1
        await asyncio.sleep(pauses[n_asked % len(pauses)])
        return mood(request)

    return answer


somewhat_late = st.lists(st.integers(0, 20), min_size=1, max_size=12)


@settings(max_examples=40)
@given(network=networks(), mood=moods, pauses=somewhat_late, workers=st.integers(1, 9))
def test_latency_and_concurrency_never_change_the_events(network, mood, pauses, workers):
    prompt = play(network, mood, workers=1)
    slow = play(network, late(mood, pauses), workers=workers)
    assert said(slow) == said(prompt)
    assert slow.steps == prompt.steps


@settings(max_examples=80)
@given(
    network=networks(14),
    mood=moods,
    pauses=somewhat_late,
    workers=st.integers(1, 20),
    rule=st.sampled_from((*LOCAL, ONCE)),
)
def test_agents_played_ahead_of_each_other_are_asked_and_answer_the_same(
    network, mood, pauses, workers, rule
):
    by_steps = play(network, mood, asking_rule=rule)
    ahead = play(network, late(mood, pauses), workers=workers, asking_rule=rule, kind=CascadeAhead)
    assert said(ahead) == said(by_steps)
    assert ahead.steps == by_steps.steps
    assert ahead.engaged == by_steps.engaged
    assert (ahead.status, ahead.last_step, ahead.tally.counts) == (
        by_steps.status,
        by_steps.last_step,
        by_steps.tally.counts,
    )


@settings(max_examples=60)
@given(network=networks(14), mood=moods, pauses=somewhat_late, n_kept=st.integers(0, 60), ahead=st.booleans())
def test_a_cascade_that_was_cut_off_goes_on_ahead_or_by_steps_to_the_same_end(
    network, mood, pauses, n_kept, ahead
):
    whole = play(network, late(mood, pauses), workers=20, kind=CascadeAhead)
    recorded = defaultdict(dict)
    for event in whole.events[:n_kept]:
        decision = -1 if event.decision is None else event.decision
        recorded[event.kind, event.step][event.agent, event.source, event.repeat] = decision
    rest = play(network, mood, recorded=recorded, kind=CascadeAhead if ahead else Cascade)
    assert sorted(said(rest) + said(whole._replace(log=only(whole, n_kept)))) == said(whole)
    assert rest.steps == whole.steps


def only(played, n_events):
    log = MemoryLog()
    log.rows["events"] = played.events[:n_events]
    return log


@pytest.mark.parametrize("number", range(6))
def test_a_rule_that_counts_questions_asks_the_same_ahead(number):
    network, mood = random_regular(24, 5, seed=number), Mood(number, ("yes", "no", "no"))
    by_steps = play(network, mood, asking_rule=ONCE)
    ahead = play(network, late(mood, [3, 1, 7, 2]), workers=30, asking_rule=ONCE, kind=CascadeAhead)
    assert said(ahead) == said(by_steps)
    assert len({event.agent for event in ahead.exposures}) == len(ahead.exposures) > 1


def test_a_rule_that_says_that_it_is_local_and_is_not_is_refused_ahead():
    liar = AskingRule("liar", "", lambda exposures: exposures.where(exposures.n_fresh > 0), is_local=True)
    with pytest.raises(DesignError, match="is_local looks at n_fresh"):
        play(random_regular(24, 5, seed=1), lambda _: "yes", asking_rule=liar, kind=CascadeAhead)


def test_who_is_engaged_is_known_for_ever_and_nobody_waits_for_whom_it_hears():
    # 0 starts; 1 thinks for an hour; 2 engages at once, though it hears 1; 3 hears 2 alone, and says no.
    network, log = network_of([(0, 1), (0, 2), (1, 2), (2, 3)], 4), DiskLog()
    asked = []

    async def script(request):
        (_, _, _, step), agent, *_ = request.draw
        asked.append((step, agent))
        assert agent != 3 or not step or (2, 1) in log.on_disk, "acted upon before it was durable"
        await asyncio.sleep(3600 if agent == 1 else 1)
        return "yes" if (agent, step) in {(0, 0), (2, 1)} else "no"

    play(network, script, kind=CascadeAhead, steps=5, asking_rule="always", log=log)
    of_three = [step for step, agent in asked if agent == 3 and step]
    assert of_three == [2, 3, 4, 5]
    assert asked.index((5, 3)) < asked.index((2, 1))


def test_who_hears_nobody_slow_does_not_wait_for_the_slowest():
    # Two rays from whom starts: an agent of the one thinks for an hour, and the other goes on meanwhile.
    network = network_of([(0, 1), (1, 2), (0, 3), (3, 4), (4, 5), (5, 6)], 7)
    asked = []

    async def script(request):
        (_, _, kind, step), agent, *_ = request.draw
        asked.append((kind, step, agent))
        await asyncio.sleep(3600 if agent == 1 else 1)
        return "yes" if kind == "exposure" or agent == 0 else "no"

    def order_of(kind):
        asked.clear()
        play(network, script, kind=kind)
        return [(step, agent) for kind, step, agent in asked if kind == "exposure"]

    assert order_of(Cascade) == [(1, 1), (1, 3), (2, 2), (2, 4), (3, 5), (4, 6)]
    assert order_of(CascadeAhead) == [(1, 1), (1, 3), (2, 4), (3, 5), (4, 6), (2, 2)]


# Seeding


@pytest.mark.parametrize(("bound", "n_agents"), [(1, 12), (5, 12), (12, 12), (12, 4)])
def test_a_realization_that_nobody_starts_ends_unstarted_after_the_bound(bound, n_agents):
    network = network_of([(0, 1)], n_agents)
    played = play(network, lambda _: "no", max_seed_attempts=bound, ask_reasons=True)
    asked = [event.agent for event in played.events]
    assert (played.status, played.last_step, played.cascade.initial_agent) == ("unstarted", 0, None)
    assert len(set(asked)) == len(asked) == min(bound, n_agents)
    assert {(e.kind, e.step, e.source) for e in played.events} == {("seed", 0, -1)}
    assert played.engaged == {}
    assert played.steps == [Step(REALIZATION, 0, 0, len(asked), len(asked), 0, 0, 0)]


def test_a_missing_answer_to_the_seed_question_passes_it_on():
    said = iter(["hm", "no", TransientError("gone"), "yes"])
    played = play(network_of([], 6), lambda _: next(said))
    assert [event.decision for event in played.events] == [None, 0, None, 1]
    assert played.cascade.initial_agent == played.events[-1].agent
    assert played.steps == [Step(REALIZATION, 0, 0, 4, 4, 1, 2, 1)]


def test_seeding_asks_the_seed_question_and_steps_the_exposure_question():
    said = iter(["no", "no", *["yes"] * 99])
    played = play(random_regular(8, 3, seed=1), lambda _: next(said), workers=1)
    assert {e.agent for e in played.events[:2]} & {e.agent for e in played.exposures}, "asked both"
    for request, event in zip(played.backend.requests, played.events, strict=True):
        kind = "seed" if event.step == 0 else "exposure"
        assert request.messages == (("user", f"{kind} to profile {event.agent % 32}"),)
        assert event.prompt == event.agent % 32


def test_agents_are_asked_to_start_in_any_order_alike():
    orders = Counter(
        tuple(event.agent for event in play(network_of([], 3), lambda _: "no", seed=seed).events)
        for seed in range(150)
    )
    assert len(orders) == 6
    assert stats.chisquare(list(orders.values())).pvalue > 0.001


# Small and broken networks


def test_one_agent_alone_starts_and_that_is_all():
    played = play(network_of([], 1), lambda _: "yes")
    assert (played.status, played.last_step, played.engaged) == ("finished", 0, {0: 0})
    assert len(played.events) == 1


def test_of_two_agents_one_starts_and_asks_the_other():
    pair = network_of([(0, 1)], 2)
    played = play(pair, lambda _: "yes")
    assert (played.status, played.last_step) == ("finished", 1)
    assert sorted(played.engaged.values()) == [0, 1]
    # Its only neighbour is engaged: whoever is told has nobody to tell.
    assert play(pair, lambda _: "yes", asking_rule="unengaged_neighbour").last_step == 0


def test_news_does_not_leave_the_component_that_it_starts_in():
    network = network_of([(0, 1), (1, 2), (3, 4), (4, 5)], 8)
    played = play(network, lambda _: "yes")
    component = nx.node_connected_component(network.to_networkx(), played.cascade.initial_agent)
    assert set(played.engaged) == component
    assert played.last_step < 20


def test_a_cascade_ends_after_its_last_step_though_somebody_is_left_to_ask():
    path = network_of([(i, i + 1) for i in range(30)], 31)
    played = play(path, lambda _: "yes", steps=3)
    assert played.last_step == 3
    assert len(played.engaged) <= 7


def test_under_always_somebody_who_says_no_is_asked_at_every_step():
    pair = network_of([(0, 1)], 2)
    played = play(pair, lambda r: "yes" if r.draw[0][2] == "seed" else "no", steps=9)
    assert [event.step for event in played.exposures] == list(range(1, 10))
    once = play(
        pair, lambda r: "yes" if r.draw[0][2] == "seed" else "no", steps=9, asking_rule="once_per_edge"
    )
    assert [event.step for event in once.exposures] == [1]


# Draws


def test_temperatures_are_uniform_between_the_bounds_and_seeds_are_never_used_twice():
    network = random_regular(64, 5, seed=2)
    played = play(network, Mood(1, ("yes", *["no"] * 19)), steps=40)
    drawn = [event.temperature for event in played.events]
    assert len(drawn) > 1000
    assert stats.kstest(drawn, stats.uniform(0.7, 0.6).cdf).pvalue > 0.001
    asked = [request.temperature for request in played.backend.requests]
    assert sorted(asked) == sorted(drawn)
    requests = played.backend.requests
    assert len({request.seed for request in requests}) == len({request.draw for request in requests})
    assert len({request.seed for request in requests}) == len(requests)
    seeds = np.array([request.seed for request in requests]) / 2.0**63
    assert stats.kstest(seeds, "uniform").pvalue > 0.001
    assert abs(stats.pearsonr(seeds, asked).statistic) < 0.1


def test_a_constant_temperature_is_exactly_that():
    played = play(random_regular(12, 3, seed=2), lambda _: "yes", temperature=Temperature(0.1, 0.1))
    assert {event.temperature for event in played.events} == {0.1}


# Reasons


@settings(max_examples=40)
@given(network=networks(), mood=moods, rule=rules)
def test_every_answered_decision_is_explained_once_after_the_simulation(network, mood, rule):
    def script(request):
        return "because" if request.draw[0][2] == "reason" else mood(request)

    played = play(network, script, asking_rule=rule, ask_reasons=True)
    reasons = [event for event in played.events if event.kind == "reason"]
    if played.status == "unstarted":
        assert reasons == []
        return
    decided = [e for e in played.events if e.kind != "reason" and e.missing is None]
    place = ("step", "agent", "source", "repeat", "temperature", "prompt")
    assert sorted(tuple(getattr(e, f) for f in place) for e in reasons) == sorted(
        tuple(getattr(e, f) for f in place) for e in decided
    )
    assert all((event.decision, event.missing) == (None, None) for event in reasons)
    kinds = [request.draw[0][2] for request in played.backend.requests]
    assert kinds == sorted(kinds, key="reason".__eq__)


def test_a_reason_is_asked_for_with_the_question_and_the_agents_own_reply():
    played = play(random_regular(8, 3, seed=1), Mood(3, ("yes", "no")), ask_reasons=True)
    decided = {(e.agent, e.source, e.step): e for e in played.events if e.kind != "reason"}
    asked = [request for request in played.backend.requests if request.draw[0][2] == "reason"]
    assert len(asked) == len(decided)
    assert len({request.seed for request in asked}) == len(asked)
    for request in asked:
        event = decided[request.draw[1], request.draw[2], request.draw[0][3]]
        kind = "seed" if event.step == 0 else "exposure"
        assert request.messages == (
            ("user", f"{kind} to profile {event.agent % 32}"),
            ("assistant", "yes" if event.decision else "no"),
        )
        assert request.temperature == event.temperature


# Errors


@pytest.mark.parametrize("world", [Cascade, CascadeAhead])
@pytest.mark.parametrize("kind", ["seed", "exposure", "reason"])
def test_a_backend_that_becomes_unusable_ends_the_realization_whenever_it_does(kind, world):
    def script(request):
        return BackendUnusable("no key") if request.draw[0][2] == kind else "yes"

    with pytest.raises(BackendUnusable):
        play(random_regular(8, 3, seed=1), script, ask_reasons=True, kind=world)


@pytest.mark.parametrize("world", [Cascade, CascadeAhead])
@pytest.mark.parametrize("kind", ["seed", "exposure", "reason"])
def test_a_missing_answer_ends_the_realization_if_that_is_the_policy(kind, world):
    def script(request):
        return TransientError("gone") if request.draw[0][2] == kind else "yes"

    with pytest.raises(RunStopped, match=r"realization 3, step \d, agent \d+: no usable answer \(failed\)"):
        play(random_regular(8, 3, seed=1), script, ask_reasons=True, stop_on_missing=True, kind=world)


@pytest.mark.parametrize(("world", "recorded"), [(Cascade, [2]), (CascadeAhead, [2, 3])])
def test_what_was_in_flight_when_a_missing_answer_ended_it_is_recorded(world, recorded):
    log, network = MemoryLog(), network_of([(0, 1), (0, 2), (2, 3)], 4)

    async def script(request):
        (_, _, kind, _), agent, *_ = request.draw
        if kind == "seed":
            return "yes" if agent == 0 else "no"
        await asyncio.sleep((0, 5, 1, 20)[agent])
        return ("yes", TransientError("gone"), "yes", "no")[agent]

    with pytest.raises(RunStopped):
        play(network, script, kind=world, log=log, stop_on_missing=True, asking_rule="always", steps=2)
    assert [event.agent for event in log.rows["events"] if event.kind == "exposure"] == recorded
