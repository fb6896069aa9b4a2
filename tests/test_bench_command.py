"""The command `bench`: what it prints, what it draws, and how it ends."""

import asyncio
import json
import os
import signal
from importlib import import_module

import pytest

from agentnet.backend import Reply
from agentnet.errors import BackendUnusable
from agentnet.testing import ScriptedBackend

QUICK = ("-S", "backend.latency_s=0.001")
FACTS = {"backend", "model", "rationale", "n", "seed", "knee", "levels"}
FIGURES = {
    *("load", "in_flight", "rate", "is_stopped", "warm_up_calls", "calls", "replies", "unanswered", "errors"),
    *("seconds", "decisions_per_s", "requests_per_s", "prompt_tokens_per_s", "completion_tokens_per_s"),
    *("latency_s", "share_of_ideal", "usable_share", "in_system", "wait_s", "dollars"),
    "dollars_per_1000_decisions",
}


@pytest.fixture
def scripted(monkeypatch):
    """Let the command measure a scripted backend."""

    def scripted(script):
        backend = ScriptedBackend(script)
        # Within the package `bench` is the command of that name.
        monkeypatch.setattr(import_module("agentnet.cli.bench"), "make_backend", lambda *_: backend)
        return backend

    return scripted


def test_a_closed_loop_as_json(command):
    done = command("bench", *QUICK, "--in-flight", 4, "--calls", 30, "--n", 2, "--seed", 3, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told.keys() == FACTS
    assert (told["backend"], told["model"], told["rationale"]) == ("mock", "mock-main_effects", "none")
    assert (told["n"], told["seed"], told["knee"]) == (2, 3, 4)
    (level,) = told["levels"]
    assert level.keys() == FIGURES
    assert (level["load"], level["in_flight"], level["warm_up_calls"]) == ("closed", 4, 4)
    assert (level["calls"], level["replies"], level["usable_share"]) == (30, 30, 1.0)
    assert level["decisions_per_s"] == pytest.approx(2 * level["requests_per_s"])
    assert set(level["latency_s"]) == {"mean", "p50", "p95", "p99", "max"}


def test_an_open_rate_as_json(command):
    done = command("bench", *QUICK, "--rate", 400, "--calls", 20, "--warm-up", 2, "--json")
    (level,) = json.loads(done.out)["levels"]
    assert (level["load"], level["rate"], level["in_flight"]) == ("open", 400, None)
    assert (level["calls"], level["replies"], level["warm_up_calls"]) == (20, 20, 2)
    assert level["in_system"]["max"] >= 1


def test_a_sweep_as_json(command):
    done = command(
        "bench", *QUICK, "--sweep", "--in-flight", 4, "--calls", 12, "--rationale", "inline", "--json"
    )
    told = json.loads(done.out)
    in_flight = [level["in_flight"] for level in told["levels"]]
    assert in_flight == [1, 2, 4][: len(in_flight)]
    assert told["knee"] in in_flight
    assert all(f"{n} in flight:" in done.err for n in in_flight)


def test_the_places_of_a_run_are_the_default(command):
    done = command("bench", *QUICK, "-S", "engine.workers=3", "--calls", 5, "--json")
    assert json.loads(done.out)["levels"][0]["in_flight"] == 3


def test_a_time_can_be_the_only_bound(command):
    done = command("bench", *QUICK, "--in-flight", 2, "--seconds", 0.01, "--json")
    assert 1 <= json.loads(done.out)["levels"][0]["calls"] < 200


def test_tables_are_for_people(command):
    closed = command("bench", *QUICK, "--in-flight", 2, "--calls", 10)
    for words in (
        "decisions/s",
        "latency, p95",
        "share of the ideal",
        "closed loop, 2 in flight",
        "cost in $",
    ):
        assert words in closed.out
    assert "wait for a place" not in closed.out
    assert "in flight / mean latency" in closed.err, "the ideal is defined"
    opened = command("bench", *QUICK, "--rate", 300, "--in-flight", 2, "--calls", 10, "--warm-up", 0)
    for words in ("open, 300 requests/s, at most 2 in flight", "wait for a place", "waiting or in flight"):
        assert words in opened.out
    swept = command("bench", *QUICK, "--sweep", "--in-flight", 2, "--calls", 10)
    assert "in flight" in swept.out.replace("\n", " ")
    assert "knee" in swept.out


def test_a_quantile_beyond_what_was_seen_is_said_to_be(command, scripted):
    began = []

    async def answer(_):
        now = asyncio.get_running_loop().time
        began.append(now())
        if len(began) == 6:
            # It waits longer than those before it took together, however busy the machine is.
            await asyncio.sleep(2 * (now() - began[0]))
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(3600)
        return Reply(("yes",), 10, 1)

    scripted(answer)
    done = command("bench", "--in-flight", 1, "--calls", 99)
    assert done.code == 130
    assert "beyond what was seen" in done.out
    assert "unanswered" in done.out


def test_errors_and_unusable_replies_are_told(command):
    troubles = ("-S", "backend.transient_rate=0.3", "-S", "backend.invalid_rate=0.3")
    done = command("bench", *QUICK, *troubles, "--in-flight", 2, "--calls", 60)
    assert "simulated " in done.out
    level = json.loads(command("bench", *QUICK, *troubles, "--calls", 60, "--json").out)["levels"][0]
    assert level["errors"].keys() == {"simulated"}
    assert 0.3 < level["usable_share"] < 0.95


def test_a_price_that_is_stated_is_used_and_an_unknown_one_is_said(command, scripted):
    scripted(lambda _: Reply(("yes",), 1000, 10))
    unknown = command("bench", "--in-flight", 1, "--calls", 9)
    assert "unknown: state stack.prices" in unknown.out
    price = ("-S", 'stack.prices."scripted-1"={input=2.0, output=10.0}')
    (level,) = json.loads(command("bench", "--in-flight", 1, "--calls", 9, *price, "--json").out)["levels"]
    assert level["dollars"] == pytest.approx(10 * (1000 * 2 + 10 * 10) / 1e6)
    assert level["dollars_per_1000_decisions"] == pytest.approx(2.1)


def test_an_unusable_backend_is_told_after_what_was_measured(command, scripted):
    backend = scripted(
        lambda request: (
            BackendUnusable("the quota is used up") if len(backend.requests) > 6 else Reply(("yes",))
        )
    )
    done = command("bench", "--in-flight", 1, "--calls", 99, "--json")
    assert done.code == 3
    assert "the quota is used up" in done.err
    (level,) = json.loads(done.out)["levels"]
    assert level["replies"] == 5
    assert backend.closed


def test_a_plot_is_drawn(command, tmp_path):
    done = command("bench", *QUICK, "--in-flight", 2, "--calls", 10, "--plot", tmp_path / "a.svg", "--json")
    assert done.code == 0
    assert "mock: mock-main_effects" in (tmp_path / "a.svg").read_text("utf-8")


def test_nothing_is_drawn_where_nothing_was_answered(command, scripted, tmp_path):
    scripted(lambda _: BackendUnusable("wrong key"))
    done = command("bench", "--calls", 10, "--plot", tmp_path / "a.svg")
    assert done.code == 3
    assert "nan" not in done.out
    assert not (tmp_path / "a.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rate", 3, "--sweep"), "exclude"),
        (("--plot", "a.pdf"), "a.pdf"),
        (("--plot", "nowhere/a.svg"), "nowhere"),
        (("--in-flight", 0), "--in-flight"),
        (("--rate", 0), "--rate"),
        (("--calls", 0), "--calls"),
        (("--backend", "mokc"), "mock"),
        (("-S", "backend.latency=1"), "latency_s"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_asked(command, arguments, words):
    done = command("bench", *arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [("--in-flight", 2), ("--sweep",), ("--rate", 1000, "--warm-up", 2)])
def test_ctrl_c_prints_what_was_measured_so_far(command, scripted, number, options):
    async def answer(_):
        if len(backend.requests) == 10:
            os.kill(os.getpid(), number)
        if len(backend.requests) >= 10:
            await asyncio.sleep(3600)
        return Reply(("yes",), 10, 1)

    backend = scripted(answer)
    done = command("bench", *options, "--calls", 5 if "--sweep" in options else 1000, "--json")
    assert done.code == 130
    assert "interrupted" in done.err
    assert backend.closed
    levels = json.loads(done.out)["levels"]
    assert levels[-1]["is_stopped"]
    assert levels[-1]["unanswered"] >= 1
    assert levels[0]["replies"] >= 5
