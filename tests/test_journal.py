"""What is answered is recorded before anybody acts on it, and what is recorded is never asked for again."""

import asyncio
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet import CascadeExperiment, ResponseRatioExperiment
from agentnet.backend import Reply, make_backend
from agentnet.errors import BackendUnusable, PluginError, RunStopped, StorageError, TransientError
from agentnet.events import LOG_NAME, EventLog, Run
from agentnet.prompts import Verdict
from agentnet.runner import Runner
from agentnet.runner.journal import Journal, Tally
from agentnet.sampler import Answer, CallSampler, Pool, Question
from agentnet.streams import Streams, mix
from agentnet.testing import ScriptedBackend
from agentnet.worlds import Arrived, Ask, End, Temperature, Write, draw_parameters

QUESTION = Question(0, (("user", "Do you share it?"),))


def judge(text):
    return (
        Verdict(text == "yes", f"since {text}") if text in {"yes", "no"} else Verdict(None, "", "no_answer")
    )


def asking(agents, kind="exposure", step=1):
    n_draws = len(agents)
    return Ask(
        kind,
        step,
        agents,
        [99] * n_draws,
        [0] * n_draws,
        [QUESTION] * n_draws,
        [1.0] * n_draws,
        range(n_draws),
        judge,
    )


class Outcome(NamedTuple):
    """What `decide` returned or raised, what was asked, and what the log held at that moment."""

    decisions: list | None
    error: Exception | None
    asked: list
    events: list
    tally: Tally


def decide(
    folder, wanted, script, *, realization=0, workers=1, max_asks=1, stop_on_missing=False, damage=None
):
    """Open the log, go on from what it holds, and get the decisions of `wanted`."""
    backend, tally = ScriptedBackend(script), Tally()

    async def main():
        async with EventLog(folder, group_s=1000.0) as log, Pool(workers) as pool:
            sampler = CallSampler(backend, pool, run_seed=1, max_asks=max_asks)
            recorded = await log.recorded(realization)
            journal = Journal(
                realization, log, sampler, tally, recorded=recorded, stop_on_missing=stop_on_missing
            )
            if damage is not None:
                damage(folder)
            decisions, error = None, None
            try:
                decisions = (await journal.ask(wanted)).tolist()
            except Exception as raised:  # noqa: BLE001 - the tests look at whatever comes
                error = raised
            return decisions, error, None if damage else events_of(folder)

    decisions, error, events = asyncio.run(main())
    asked = [request.draw[1] for request in backend.requests]
    return Outcome(decisions, error, asked, events, tally)


def events_of(folder):
    query = (
        "SELECT agent, decision, missing FROM events ORDER BY realization, kind, step, agent, source, repeat"
    )
    return Run(folder).rows(query)[1]


# Asking and recording


def test_decisions_stand_in_the_order_of_the_draws_whoever_answers_first(new_log):
    async def script(request):
        for _ in range(request.draw[1] * 7 % 5):
            await asyncio.sleep(0)
        return {0: "no", 1: "yes", 2: "hm"}[request.draw[1] % 3]

    agents = [5, 3, 1, 4, 2, 9, 0]
    found = decide(new_log(), asking(agents), script, workers=4)
    assert found.decisions == [{0: 0, 1: 1, 2: -1}[agent % 3] for agent in agents]
    assert sorted(found.asked) == sorted(agents)


def test_every_answer_is_on_the_disk_when_the_decisions_are_given(new_log):
    found = decide(new_log(), asking([2, 0, 1]), ["yes", "no", "hm"])
    assert found.events == [(0, 0, None), (1, None, "invalid"), (2, 1, None)]


def test_nothing_to_ask_is_nothing_to_wait_for(new_log):
    assert decide(new_log(), asking([]), []).decisions == []


def test_an_event_holds_all_that_is_known_of_its_draw(new_log):
    folder = new_log()
    reply = Reply(("no",), 11, 3, "model-7", fingerprint="fp", attempts=2, troubles=("timeout",), cached=True)
    decide(folder, asking([7], step=4), [Reply(("hm",), 5, 1), reply], realization=3, max_asks=2)
    (event,) = Run(folder).frame("events").to_dict("records")
    assert {name: event[name] for name in ("realization", "kind", "step", "agent", "source", "repeat")} == {
        "realization": 3,
        "kind": "exposure",
        "step": 4,
        "agent": 7,
        "source": 99,
        "repeat": 0,
    }
    counts = ("decision", "prompt_tokens", "completion_tokens", "asks", "attempts", "cached")
    assert [event[name] for name in counts] == [0, 16, 4, 2, 3, 1]
    reply = Run(folder).rows("SELECT text, rationale, model, fingerprint FROM replies")[1]
    assert reply == [("no", "since no", "model-7", "fp")]
    troubles = Run(folder).rows("SELECT * FROM troubles ORDER BY trouble")[1]
    assert [row[1:-1] for row in troubles] == [
        (3, "exposure", 4, 7, 99, 0, "invalid", "no_answer", "hm"),
        (3, "exposure", 4, 7, 99, 0, "timeout", "", None),
    ]


@pytest.mark.parametrize("todo", [range(6), range(2, 6), [0, 2, 5]])
@pytest.mark.parametrize("is_drawn", [True, False])
def test_what_is_written_down_at_once_is_what_would_be_one_by_one(new_log, todo, is_drawn):
    costs = (0, 0, 1, 0) if is_drawn else (20, 3, 1, 1)
    answers = [
        Answer(None, None, f"odds {n}", "", "model", None, *costs, n == 1, 0.5)._replace(
            mass=1.0 - n / 8 if is_drawn else None
        )
        for n in range(2)
    ]
    which, decisions = [i % 2 for i in todo], [i % 3 // 2 for i in todo]

    class AtOnce:
        async def draw(self, draws):
            draws.record_drawn(todo, answers, which, decisions)

    class OneByOne:
        async def draw(self, draws):
            for i, n, decision in zip(todo, which, decisions, strict=True):
                draws.record(i, answers[n]._replace(decision=decision))

    async def play(sampler):
        folder, tally = new_log(), Tally()
        async with EventLog(folder) as log:
            found = await Journal(0, log, sampler, tally, recorded={}).ask(asking([5, 4, 3, 2, 1, 0]))
        query = "SELECT * FROM events JOIN replies USING (reply) ORDER BY agent"
        names, rows = Run(folder).rows(query)
        return (
            [row[: names.index("at")] + row[names.index("at") + 1 :] for row in rows],
            found.tolist(),
            tally,
        )

    at_once, one_by_one = (asyncio.run(play(sampler)) for sampler in (AtOnce(), OneByOne()))
    assert at_once[:2] == one_by_one[:2]
    assert at_once[2] == replace(one_by_one[2], dollars=at_once[2].dollars)
    assert len(at_once[0]) == at_once[2].n_decisions == len(todo)


def test_the_tally_counts_calls_tokens_and_missing_answers(new_log):
    script = [Reply(("yes",), 10, 2, attempts=3), Reply(("hm",), 5, None), TransientError("gone")]
    tally = decide(new_log(), asking([0, 1, 2]), script).tally
    assert tally == Tally(n_decisions=3, n_missing=2, n_calls=5, prompt_tokens=15, completion_tokens=2)


def test_reasons_are_calls_but_no_decisions(new_log):
    folder = new_log()
    script = [Reply(("yes",), 10, 2), TransientError("gone")]
    tally = decide(folder, asking([0, 1], kind="reason"), script).tally
    assert tally == Tally(n_calls=2, prompt_tokens=10, completion_tokens=2)
    assert decide(folder, asking([0, 1], kind="reason"), []).tally == Tally()


def test_an_answer_after_troubles_is_not_missing(new_log):
    script = ["hm", Reply(("yes",), attempts=2, troubles=("timeout",))]
    found = decide(new_log(), asking([0]), script, max_asks=2, stop_on_missing=True)
    assert (found.decisions, found.error) == ([1], None)
    assert (found.tally.n_decisions, found.tally.n_missing, found.tally.n_calls) == (1, 0, 3)


# Going on


def test_what_is_recorded_is_not_asked_again_and_means_what_it_meant(new_log):
    folder = new_log()
    decide(folder, asking([4, 1, 8]), ["yes", "no", "hm"])
    found = decide(folder, asking([0, 1, 4, 6, 8]), ["yes", "no"])
    assert found.asked == [0, 6]
    assert found.decisions == [1, 0, 1, 0, -1]
    assert (found.tally.n_decisions, found.tally.n_missing, found.tally.n_calls) == (5, 1, 2)
    again = decide(folder, asking([0, 1, 4, 6, 8]), [])
    assert (again.decisions, again.asked) == (found.decisions, [])


@pytest.mark.parametrize(
    ("kind", "step", "realization"), [("seed", 1, 0), ("exposure", 2, 0), ("exposure", 1, 1)]
)
def test_another_kind_step_or_realization_is_another_decision(new_log, kind, step, realization):
    folder = new_log()
    decide(folder, asking([4]), ["yes"])
    found = decide(folder, asking([4], kind=kind, step=step), ["no"], realization=realization)
    assert (found.asked, found.decisions) == ([4], [0])


@pytest.mark.parametrize("error", [BackendUnusable("no key"), ValueError("a bug")])
def test_what_was_answered_before_an_error_is_on_the_disk_and_the_rest_is_asked_later(new_log, error):
    folder = new_log()
    found = decide(folder, asking([0, 1, 2, 3]), ["yes", "no", error])
    assert found.error is error
    assert found.events == [(0, 1, None), (1, 0, None)]
    later = decide(folder, asking([0, 1, 2, 3]), ["no", "yes"])
    assert (later.asked, later.decisions) == ([2, 3], [1, 0, 0, 1])


def test_a_missing_answer_that_stops_the_run_is_not_recorded_and_asked_again(new_log):
    folder = new_log()
    found = decide(folder, asking([0, 1, 2, 3]), ["yes", "hm", "no"], stop_on_missing=True)
    assert isinstance(found.error, RunStopped)
    assert "agent 1: no usable answer (invalid); `engine.on_missing` is 'stop'" in str(found.error)
    assert found.events == [(0, 1, None)]
    assert Run(folder).rows("SELECT agent, trouble_kind, text FROM troubles")[1] == [(1, "invalid", "hm")]
    later = decide(folder, asking([0, 1, 2, 3]), ["no", "yes", "no"], stop_on_missing=True)
    assert (later.asked, later.decisions) == ([1, 2, 3], [1, 0, 1, 0])


def test_in_flight_answers_are_recorded_when_a_missing_one_stops_the_run(new_log):
    async def script(request):
        if request.draw[1] == 0:
            return "hm"
        for _ in range(3):
            await asyncio.sleep(0)
        return "yes"

    found = decide(new_log(), asking([0, 1, 2, 3, 4, 5]), script, workers=3, stop_on_missing=True)
    assert isinstance(found.error, RunStopped)
    assert found.events == [(agent, 1, None) for agent in found.asked if agent]


# Draws


def test_a_draws_parameters_depend_on_its_own_position_alone():
    streams, key = Streams(3), ("exposure", 5, 2)
    temperatures, seeds = draw_parameters(streams, key, np.arange(100), Temperature(0.7, 1.3))
    for positions in ([7], [99, 0, 41]):
        of_few = draw_parameters(streams, key, np.array(positions), Temperature(0.7, 1.3))
        assert of_few == ([temperatures[i] for i in positions], [seeds[i] for i in positions])
    assert len(set(seeds)) == len(set(temperatures)) == 100
    assert all(0.7 <= temperature < 1.3 for temperature in temperatures)
    assert {type(value) for value in (*temperatures, *seeds)} == {float, int}


# When the log cannot be written


def drop_events(folder):
    with closing(sqlite3.connect(folder / LOG_NAME)) as connection:
        connection.execute("DROP TABLE events")


def wants(what):
    yield what
    return End("finished", 0)


def cancels():
    yield Write()
    raise asyncio.CancelledError


def no_end(what):
    yield Write()
    return what


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (wants("a word"), "wants 'a word'.*known: Arrived, Ask, Begin, Note, Recall, Write"),
        (wants(7), "wants 7.*known: Arrived, Ask, Begin, Note, Recall, Write"),
        (wants(Arrived()), "has begun no question"),
        (no_end(None), r"ends with None; it returns an End, such as End\('finished', step\)"),
        (no_end("finished"), "ends with 'finished'; it returns an End"),
        (End("finished", 3), r"a world is a generator .*not End\("),
        (None, "a world is a generator .*not None"),
        (no_end(End("finished", -3)), "ends with End.*-3.*; it returns an End"),
        (no_end(End("finished", 1.5)), "ends with End.*1.5.*; it returns an End"),
        (no_end(End(None, 1)), "ends with End.*None.*; it returns an End"),
        (wants(Write({"measures": [1]})), "writes 1 into table 'measures', whose columns are realization"),
        (
            wants(Write({"measures": [(1,)]})),
            "writes .1,. into table 'measures', whose columns are realization",
        ),
        (cancels(), "a world broke off by asyncio.CancelledError"),
    ],
)
def test_a_world_that_breaks_its_contract_is_told_so(world, said):
    with pytest.raises(PluginError, match=said):
        asyncio.run(Journal(0, None, None, Tally(), recorded={}).play(world))


@pytest.mark.parametrize("lack", ["sources", "repeats", "questions", "temperatures", "seeds"])
def test_a_draw_that_lacks_an_entry_is_named_by_what_it_lacks(lack):
    whole = asking([3, 1, 2])
    with pytest.raises(PluginError, match=f"'exposure'.*3 agents.*2 {lack}"):
        replace(whole, **{lack: getattr(whole, lack)[1:]})
    with pytest.raises(PluginError, match="4 agents, 3 sources"):
        replace(whole, agents=[3, 1, 2, 4])


@pytest.mark.parametrize(
    ("name", "value"),
    [("agents", -5), ("agents", "a"), ("agents", 1.5), ("agents", None), ("sources", -2), ("repeats", -1)],
)
def test_a_draw_of_what_numbers_no_agent_source_or_repeat_is_refused(name, value):
    with pytest.raises(PluginError, match=rf"\[{value!r}\] for its {name}; they are whole numbers from"):
        replace(asking([3]), **{name: [value]})
    with pytest.raises(PluginError, match=r"tolist\(\) gives them"):
        replace(asking([3]), agents=np.array([3]))


def test_a_world_writes_into_no_table_of_its_own(new_log):
    async def write():
        async with EventLog(new_log()) as log:
            log.add("nonsense", [(1,)])

    with pytest.raises(PluginError, match="there is no table 'nonsense' to write into; known: agents"):
        asyncio.run(write())


def test_decisions_that_could_not_be_recorded_are_not_given(new_log):
    with pytest.raises(StorageError, match="no such table"):
        decide(new_log(), asking([0]), ["yes"], damage=drop_events)


def test_a_log_that_cannot_be_written_ends_a_long_step_before_its_end(new_run):
    repeats = 100
    prepared = new_run(
        ResponseRatioExperiment(items_per_severity=1, repeats=repeats),
        workers=2,
        log={"group_rows": 10, "group_s": 0.001},
    )

    async def script(request):
        if len(backend.requests) == 50:
            drop_events(prepared.folder)
        await asyncio.sleep(0.001)
        return "Yes"

    backend = ScriptedBackend(script)
    with pytest.raises(StorageError, match="no such table"):
        asyncio.run(Runner(prepared, backend).play())
    assert len(backend.requests) < 32 * repeats, "paid for, and lost"


# Any part of a log leads to the whole


class Finished(NamedTuple):
    """A run that was played to its end, and how to play it."""

    prepared: object
    options: dict


@pytest.fixture(scope="module")
def finished(new_run):
    """Play a small cascade with missing answers and reasons."""
    experiment = CascadeExperiment(
        items_per_severity=1, repeats=2, n_agents=16, degree=3, steps=4, rationale="afterwards"
    )
    prepared = new_run(experiment, seed=5, max_asks=2)
    options = {"invalid_rate": 0.3, "rejected_rate": 0.1}
    asyncio.run(Runner(prepared, make_backend("mock", options)).play())
    return Finished(prepared, options)


class Recorder:
    """The mock, with the draws that it was asked for."""

    def __init__(self, options):
        self.inner = make_backend("mock", options)
        self.name, self.model_name = self.inner.name, self.inner.model_name
        self.draws = Counter()

    async def complete(self, request):
        (_, realization, kind, step), agent, source, repeat, ask = request.draw
        self.draws[realization, kind, step, agent, source, repeat, ask] += 1
        return await self.inner.complete(request)

    async def aclose(self):
        await self.inner.aclose()


KEYS = "realization, kind, step, agent, source, repeat"


def keys_by_time(run):
    return [row[:6] for row in run.rows(f"SELECT {KEYS} FROM events ORDER BY at, {KEYS}")[1]]


def forget(folder, keys, *, steps_too):
    """Take events out of a log, as if they had not been recorded when the run was cut off."""
    with closing(sqlite3.connect(folder / LOG_NAME)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('digest', 'checksums')")
        place = " AND ".join(f"{name} = ?" for name in KEYS.split(", "))
        connection.executemany(f"DELETE FROM events WHERE {place}", keys)
        connection.execute(
            "UPDATE realizations SET status = 'running', initial_agent = NULL, last_step = NULL, "
            "finished_at = NULL"
        )
        connection.execute("UPDATE meta SET value = '\"running\"' WHERE key = 'status'")
        if steps_too:
            connection.execute("DELETE FROM steps WHERE step > 1")
            connection.execute("UPDATE agents SET engaged_step = NULL WHERE engaged_step > 0")


def resume_without(finished, folder, lost, *, steps_too):
    """Copy the run less `lost`, play it on; return it and the draws that were asked for."""
    shutil.copytree(finished.prepared.folder, folder)
    forget(folder, lost, steps_too=steps_too)
    backend = Recorder(finished.options)
    asyncio.run(Runner(replace(finished.prepared, folder=folder), backend).play())
    return Run(folder), backend.draws


def check_resumed(finished, folder, lost, *, steps_too):
    whole = Run(finished.prepared.folder)
    run, draws = resume_without(finished, folder, lost, steps_too=steps_too)
    assert run.digest() == whole.digest()
    assert {key[:6] for key in draws} == set(lost)
    assert set(draws.values()) <= {1}
    kept = f"SELECT {KEYS}, decision, missing, at, latency_s FROM events ORDER BY {KEYS}"
    lost = set(lost)
    old, new = ([row for row in of.rows(kept)[1] if row[:6] not in lost] for of in (whole, run))
    assert new == old
    counts = "SELECT status, n FROM (SELECT status, COUNT(*) AS n FROM realizations GROUP BY status)"
    assert run.rows(counts) == whole.rows(counts)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.6, 0.8, 0.95, 1.0])
def test_a_run_resumed_from_any_beginning_of_its_events_ends_as_the_whole(finished, tmp_path, share):
    keys = keys_by_time(Run(finished.prepared.folder))
    check_resumed(finished, tmp_path / "run", keys[round(share * len(keys)) :], steps_too=True)


@settings(max_examples=12)
@given(number=st.integers(0, 10**9), share=st.floats(0.0, 1.0), steps_too=st.booleans())
def test_a_run_resumed_from_any_part_of_its_events_ends_as_the_whole(
    finished, tmp_path_factory, number, share, steps_too
):
    keys = keys_by_time(Run(finished.prepared.folder))
    lost = [key for i, key in enumerate(keys) if mix(number, i) < share * 2**64]
    check_resumed(finished, tmp_path_factory.mktemp("part") / "run", lost, steps_too=steps_too)


def test_the_run_that_is_cut_up_holds_every_kind_of_event(finished):
    run = Run(finished.prepared.folder)
    kinds = dict(run.rows("SELECT kind, COUNT(*) FROM events GROUP BY kind")[1])
    assert kinds.keys() == {"seed", "exposure", "reason"}
    missing = dict(run.rows("SELECT COALESCE(missing, ''), COUNT(*) FROM events GROUP BY 1")[1])
    assert missing.keys() >= {"", "invalid", "rejected"}
