"""Missing answers: a run that lacks too many says so, and is asked again without a trace of them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from agentnet import CascadeExperiment, InterviewExperiment, ResponseRatioExperiment
from agentnet.backend import Reply, Request, make_backend
from agentnet.errors import (
    Interrupted,
    MissingAnswers,
    RequestRejected,
    RunFolderError,
    RunStopped,
    UserError,
)
from agentnet.events import EventLog, Run
from agentnet.interviews import Local, Question
from agentnet.runner import Prepared, Runner
from agentnet.runner.again import ask_again, check_missing
from agentnet.streams import mix, unit

Loses = Callable[[Request], bool]


def share(of_all: float, *kinds: str) -> Loses:
    """Lose a share of the questions (of these kinds), by their seeds."""

    def loses(request: Request) -> bool:
        is_one = not kinds or request.metadata["kind"] in kinds
        return is_one and unit(mix(request.seed, 99)) < of_all

    return loses


class Leaky:
    """The mock, but some requests are rejected: as often as `loses` says."""

    name, model_name = "leaky", "leaky-1"

    def __init__(self, loses: Loses = lambda _: False, **mock: object) -> None:
        self.mock, self.loses = make_backend("mock", mock), loses
        self.n_calls = 0

    async def complete(self, request: Request) -> Reply:
        self.n_calls += 1
        await asyncio.sleep(0)
        if self.loses(request):
            raise RequestRejected("lost", kind="lost")
        return await self.mock.complete(request)

    async def aclose(self) -> None:
        pass


class Small(CascadeExperiment):
    n_agents, degree, steps, repeats, items_per_severity = 24, 3, 5, 2, 1


class Told(InterviewExperiment):
    n_evaluation, n_questions, n_taught, steps = 3, 2, 2, 3
    models = MappingProxyType({"a": 2, "b": 2})
    update = "memory"

    def load_questions(self):
        return [
            Question(f"{topic}{n}", topic, f"What is {topic}{n}?", f"It is {topic}, number {n}.")
            for topic in "ab"
            for n in range(8)
        ]


class Local2(Told):
    def make_topology(self):
        return Local(1)


def play(prepared: Prepared, backend: Leaky | None = None) -> Run:
    asyncio.run(Runner(prepared, backend or Leaky()).play())
    return Run(prepared.folder)


def asked_again(prepared: Prepared, backend: Leaky | None = None) -> Run:
    return play(replace(prepared, folder=ask_again(prepared.folder)), backend)


def n_missing(run: Run) -> int:
    return int(run.rows("SELECT COUNT(missing) FROM events")[1][0][0])


def mode(prepared: Prepared, name: str) -> Prepared:
    sampler = prepared.settings.sampler.model_copy(update={"mode": name, "n_at_most": 4})
    return replace(prepared, settings=prepared.settings.model_copy(update={"sampler": sampler}))


# A fork


@pytest.mark.parametrize("how", ["call", "choices", "logprobs"])
@pytest.mark.parametrize("lost", [0.05, 0.5])
def test_a_cascade_that_lost_answers_ends_as_if_it_had_lost_none(new_run, how, lost):
    rationale = "none" if how == "logprobs" else "afterwards"
    design = Small(rationale=rationale, temperature=1.0)
    clean = play(mode(new_run(design), how))
    prepared = mode(new_run(design), how)
    before = play(prepared, Leaky(share(lost)))
    assert n_missing(before) > 0
    digest = before.digest()
    again = asked_again(prepared)
    assert again.digest() == clean.digest() != digest
    assert again.folder.name == "run-again"
    assert n_missing(again) == 0
    assert again.meta["status"] == "finished"
    assert (before.digest(), before.meta["status"]) == (digest, "finished")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_who_was_asked_to_start_after_a_missing_answer_is_asked_anew(new_run, place):
    """An agent who says no when asked again lets the next one start, and one who says yes does not."""
    for seed in range(2):
        clean = play(new_run(Small(), seed=seed))
        asked = clean.rows("SELECT realization, agent FROM events WHERE kind = 'seed'")[1]
        victims = {tuple(row) for row in asked[place::3]}

        def loses(request: Request, victims=victims) -> bool:
            (_, realization, kind, _), agent, *_ = request.draw
            return kind == "seed" and (realization, agent) in victims

        prepared = new_run(Small(), seed=seed)
        play(prepared, Leaky(loses))
        assert asked_again(prepared).digest() == clean.digest()


@pytest.mark.parametrize(
    ("experiment", "reuse", "kinds"),
    [
        (Told, False, ("interview",)),
        (Told, True, ("evaluation",)),
        (Local2, False, ("evaluation",)),
        (Local2, True, ("interview", "evaluation")),
    ],
)
def test_models_that_heard_nothing_now_and_then_end_as_if_they_had(new_run, experiment, reuse, kinds):
    design = experiment(reuse=reuse, temperature=0.0 if reuse else 1.0)
    clean = play(new_run(design))
    prepared = new_run(design)
    before = play(prepared, Leaky(share(0.15, *kinds)))
    assert n_missing(before) > 0
    again = asked_again(prepared)
    assert again.digest() == clean.digest()
    assert again.folder != before.folder


def test_steps_that_are_not_played_any_more_leave_no_trace(new_run):
    """Where nobody is lost all are won over soon, and no step is left to be played."""
    design, surely = Small(n_agents=8, steps=12), {"law": "constant", "probability": 1.0}
    clean = play(new_run(design), Leaky(**surely))
    prepared = new_run(design)
    before = play(prepared, Leaky(share(0.6, "exposure"), **surely))
    last = "SELECT MAX(step) FROM steps"
    assert before.rows(last)[1] > clean.rows(last)[1]
    assert asked_again(prepared, Leaky(**surely)).digest() == clean.digest()


def test_partners_that_are_nearest_no_more_leave_no_trace(new_run):
    design = Local2(reuse=False, temperature=1.0, models=MappingProxyType({"a": 4, "b": 4}), steps=2)
    clean = play(new_run(design))
    prepared = new_run(design)
    before = play(prepared, Leaky(share(0.5, "evaluation")))
    partners = "SELECT * FROM interviews ORDER BY 1, 2, 3"
    assert before.rows(partners)[1] != clean.rows(partners)[1]
    assert asked_again(prepared).digest() == clean.digest()


def test_realizations_that_lack_nothing_are_not_played_again(new_run):
    prepared = new_run(Small(repeats=3))
    play(prepared, Leaky(lambda request: request.draw[0][1] == 2 and share(0.3)(request)))
    of_the_others = "SELECT * FROM realizations WHERE realization <> 2"
    before = Run(prepared.folder).rows(of_the_others)[1]
    backend = Leaky()
    again = asked_again(prepared, backend)
    assert again.rows(of_the_others)[1] == before
    asked = again.rows("SELECT COUNT(*) FROM events WHERE realization = 2")[1][0][0]
    assert 0 < backend.n_calls <= asked


def test_a_run_that_was_stopped_is_asked_again_as_well(new_run):
    prepared = new_run(Small(repeats=3), realizations_at_once=2)
    runner = Runner(prepared, leaky := Leaky(share(0.3)))

    def loses(request: Request) -> bool:
        if leaky.n_calls >= 25:
            runner.interrupt()
        return share(0.3)(request)

    leaky.loses = loses
    with pytest.raises(Interrupted):
        asyncio.run(runner.play())
    again = asked_again(prepared)
    assert again.digest() == play(new_run(Small(repeats=3))).digest()


def test_what_is_missing_again_can_be_asked_again(new_run):
    prepared = new_run(Small())
    play(prepared, Leaky(share(0.5)))
    prepared = replace(prepared, folder=ask_again(prepared.folder))
    still = play(prepared, Leaky(share(0.2)))
    assert n_missing(still) > 0
    assert asked_again(prepared).digest() == play(new_run(Small())).digest()


# The same run


def test_ratios_are_asked_again_where_they_are(new_run):
    design = ResponseRatioExperiment(repeats=2, items_per_severity=2)
    clean = play(new_run(design))
    prepared = new_run(design)
    backend = Leaky(share(0.3))
    play(prepared, backend)
    lost = n_missing(Run(prepared.folder))
    again_by = Leaky()
    again = asked_again(prepared, again_by)
    assert again.folder == prepared.folder
    assert again.digest() == clean.digest()
    assert again_by.n_calls == lost > 0


def test_reasons_are_asked_again_where_they_are(new_run):
    design = Small(rationale="afterwards")
    prepared = new_run(design)
    play(prepared, Leaky(share(0.3, "reason")))
    lost = n_missing(Run(prepared.folder))
    again_by = Leaky()
    again = asked_again(prepared, again_by)
    assert again.folder == prepared.folder
    assert again.digest() == play(new_run(design)).digest()
    assert again_by.n_calls == lost > 0


@pytest.mark.parametrize("design", [ResponseRatioExperiment(repeats=1, items_per_severity=1), Small()])
def test_a_run_that_is_being_played_is_left_alone(new_run, design):
    prepared = new_run(design)
    play(prepared, Leaky(share(0.3)))

    async def main() -> None:
        async with EventLog(prepared.folder):
            with pytest.raises(RunFolderError, match="another process"):
                ask_again(prepared.folder)

    asyncio.run(main())
    assert not prepared.folder.with_name(f"{prepared.folder.name}-again").exists()


def forget_what_was_noted(folder: Path) -> None:
    """Make a log as a sitting leaves it that is killed before it notes what it has spent."""
    with closing(sqlite3.connect(folder / "events.sqlite")) as connection:
        connection.execute("DELETE FROM incidents WHERE kind = 'spent'")
        connection.execute("DELETE FROM meta WHERE key IN ('finished_at', 'digest', 'checksums')")
        connection.execute("UPDATE meta SET value = '\"running\"' WHERE key = 'status'")
        connection.commit()


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_was_spent_before_is_counted_on(new_run, is_killed):
    for design in (Small(), ResponseRatioExperiment(repeats=1, items_per_severity=1)):
        prepared = new_run(design)
        first, second = Leaky(share(0.3)), Leaky()
        play(prepared, first)
        if is_killed:
            forget_what_was_noted(prepared.folder)
        again = asked_again(prepared, second)
        spent = again.rows("SELECT detail FROM incidents WHERE kind = 'spent' ORDER BY incident DESC")[1]
        assert json.loads(spent[0][0])["calls"] == first.n_calls + second.n_calls


def test_a_bound_on_calls_holds_over_both(new_run):
    prepared = new_run(Small(), stack={"max_calls": 10_000})
    first = Leaky(share(0.3))
    play(prepared, first)
    stack = prepared.settings.stack.model_copy(update={"max_calls": first.n_calls + 3})
    bounded = replace(prepared, settings=prepared.settings.model_copy(update={"stack": stack}))
    second = Leaky()
    with pytest.raises(RunStopped, match="max_calls"):
        asked_again(bounded, second)
    assert second.n_calls == 3


def test_replies_that_could_not_be_understood_are_asked_with_other_seeds_than_before(new_run):
    class Rambling(Leaky):
        async def complete(self, request: Request) -> Reply:
            reply = await super().complete(request)
            rambles = unit(mix(request.seed, 7)) < 0.6
            return reply._replace(texts=("Well, who knows.",)) if rambles else reply

    design = ResponseRatioExperiment(repeats=1, items_per_severity=1)
    prepared = new_run(design, stack={"cache": True})
    lost = n_missing(play(prepared, Rambling()))
    left = n_missing(asked_again(prepared, Rambling()))
    assert 0 < left < 0.5 * lost


# What is said


def test_a_share_above_the_bound_is_said_with_its_reasons(new_run):
    run = play(new_run(Small()), Leaky(share(0.3)))
    lacks = n_missing(run)
    check_missing(run, 1.0, "")
    with pytest.raises(MissingAnswers, match=rf"MISSING: {lacks} of .*{lacks} lost.*by THIS WAY") as caught:
        check_missing(run, 0.05, "THIS WAY")
    assert caught.value.exit_code == 5


def test_many_answers_do_not_hide_that_their_reasons_are_missing(new_run):
    run = play(new_run(Small(rationale="afterwards")), Leaky(share(0.04, "reason")))
    n, lacks = run.rows("SELECT COUNT(*), COUNT(missing) FROM events")[1][0]
    assert lacks / n < 0.05
    with pytest.raises(MissingAnswers, match="reasons"):
        check_missing(run, 0.05, "")


def test_a_run_that_lacks_nothing_or_has_asked_nothing_is_left_in_peace(new_run):
    check_missing(play(new_run(Small())), 0.0, "")
    prepared = new_run(Small())
    check_missing(Run(prepared.folder), 0.0, "")
    with pytest.raises(UserError, match="no answer is missing"):
        ask_again(prepared.folder)


@pytest.fixture
def leaky(monkeypatch) -> Leaky:
    """Let commands ask a leaky backend."""
    backend = Leaky(share(0.3))
    monkeypatch.setattr("agentnet.voices.make_backend", lambda *_: backend)
    return backend


def test_a_run_that_lacks_too_much_ends_with_a_code_of_its_own_and_the_way_out(command, small, leaky):
    done = command("run", small, "--json", "--out", "a", "-S", "stack.cache=false")
    assert done.code == 5
    result = json.loads(done.out)
    assert result["status"] == "finished"
    last = done.err.strip().splitlines()[-1]
    assert f"{result['missing']:,} of {result['decisions']:,} answers" in last
    assert "agentnet run --resume a --ask-missing" in last
    assert json.loads(command("show", "a", "--json").out)["missing_share"] == pytest.approx(
        result["missing"] / result["decisions"]
    )


def test_a_finished_run_names_the_way_to_ask_again_and_that_way_works(command, small, leaky):
    command("run", small, "--quiet", "--out", "a", "-S", "stack.cache=false")
    digest = Run(Path("a")).digest()
    refused = command("run", "--resume", "a")
    assert refused.code == 2
    assert "are missing (" in refused.err
    assert "agentnet run --resume a --ask-missing" in refused.err
    leaky.loses = lambda _: False
    done = command("run", "--resume", "a", "--ask-missing", "--json")
    assert (done.code, json.loads(done.out)["run"]) == (0, "a-again")
    assert "a-again, a copy" in done.err
    assert Run(Path("a")).digest() == digest
    clean = command("run", small, "--json", "--out", "b", "-S", "stack.cache=false")
    assert json.loads(clean.out)["digest"] == json.loads(done.out)["digest"]
    assert [command("verify", name).code for name in ("a", "a-again")] == [0, 0]
    nothing = command("run", "--resume", "a-again", "--ask-missing")
    assert (nothing.code, "no answer is missing" in nothing.err) == (2, True)


def test_a_run_that_was_asked_again_where_it_is_is_whole_as_well(command, leaky):
    ratios = Path("ratios.py")
    ratios.write_text(
        "from agentnet import ResponseRatioExperiment\n\n"
        "class Small(ResponseRatioExperiment):\n    repeats, items_per_severity = 1, 1\n"
    )
    command("run", ratios, "--quiet", "--out", "a", "-S", "stack.cache=false")
    digest = Run(Path("a")).digest()
    leaky.loses = lambda _: False
    done = command("run", "--resume", "a", "--ask-missing", "--json")
    assert "asking again in the same run" in done.err
    assert (done.code, json.loads(done.out)["run"]) == (0, "a")
    assert command("verify", "a").code == 0
    assert json.loads(command("show", "a", "--json").out)["digest"] != digest


def test_a_higher_bound_may_be_set_when_a_run_is_resumed(command, small, leaky):
    stopped = command(
        "run", small, "--quiet", "--out", "a", "-S", "stack.max_calls=20", "-S", "stack.cache=false"
    )
    assert stopped.code == 3
    flags = ("-S", "stack.max_calls=100000", "-S", "engine.max_missing=0.9")
    assert command("run", "--resume", "a", *flags).code == 0


def test_asking_again_wants_a_run(command, small):
    done = command("run", small, "--ask-missing")
    assert (done.code, "--resume" in done.err) == (2, True)


def test_asking_again_what_cannot_be_played_leaves_no_copy_and_the_run_as_it_was(command, small, leaky):
    command("run", small, "--quiet", "--out", "a", "-S", "stack.cache=false")
    leaky.loses = lambda _: False
    done = command("run", "--resume", "a", "--ask-missing", "-S", "backend.law=constant")
    assert (done.code, "backend.law" in done.err) == (2, True)
    assert not Path("a-again").exists()
    assert Run(Path("a")).meta["status"] == "finished"
    assert command("run", "--resume", "a", "--ask-missing", "--quiet").code == 0
