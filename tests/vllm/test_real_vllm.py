"""Backend ``vllm`` against the real server: vLLM on a CPU with a tiny random model.

``make test-vllm`` runs these tests and no other command does. They need VLLM_VENV, the folder of a virtual
environment that holds vLLM, and VLLM_MODEL, that of the model (see ``tiny_server.py``).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from scipy import stats

from agentnet import Run
from agentnet.backend import Request
from agentnet.errors import AgentnetError
from agentnet.testing import CHECKS, Subject, run_check
from agentnet_backends.vllm import VllmBackend

if not os.environ.get("VLLM_VENV"):
    pytest.skip(
        "VLLM_VENV is not set: backend vllm is NOT tested against real vLLM here; see make test-vllm",
        allow_module_level=True,
    )

PATIENCE_S = 600.0
MODES = ("call", "choices", "logprobs")
FOUR_SIGMA = 2 * stats.norm.sf(4)

ONE_ITEM = """
from agentnet import ResponseRatioExperiment

class OneItem(ResponseRatioExperiment):
    items_per_severity = 1
    repeats = 100
    rationale = "none"
    temperature = 1.0

    def choose_news(self, seed):
        return super().choose_news(seed)[:1]
"""
N_PROMPTS = 32

DECISIONS = "SELECT realization, agent, repeat, decision FROM events ORDER BY 1, 2, 3"
RECORDED = "SELECT realization, agent, repeat, decision, at FROM events ORDER BY 1, 2, 3"


@pytest.fixture
def arguments(server, tmp_path):
    """Make the arguments of ``agentnet run`` for the experiment of one news item and 32 prompts."""
    path = tmp_path / "one_item.py"
    path.write_text(ONE_ITEM)

    def arguments(folder, **settings):
        """Make them; two underscores in a setting's name stand for a dot."""
        chosen = {
            "backend__base_url": f"{server.root}/v1",
            "backend__model": "tiny",
            "runs": tmp_path / "runs",
        }
        chosen |= {"stack__cache": False, "log__parquet": False, **settings}
        pairs = [f"{name.replace('__', '.')}={text(value)}" for name, value in chosen.items()]
        given = [word for pair in pairs for word in ("-S", pair)]
        start = ["--resume", str(folder)] if folder.exists() else [str(path), "--out", str(folder)]
        if folder.exists():
            return ["run", *start, "--quiet", *given]
        return ["run", *start, "--quiet", "--backend", "vllm", "--seed", "11", *given]

    return arguments


def text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.fixture
def play(command, arguments, tmp_path):
    """Play the experiment to its end."""

    def play(name, **settings):
        outcome = command(*arguments(tmp_path / name, **settings))
        assert outcome.code == 0, outcome.err
        run = Run(tmp_path / name)
        assert run.meta["status"] == "finished"
        return run

    return play


def rows(run, sql):
    return run.rows(sql)[1]


def share_that_differs(one, other):
    """Tell the share of decisions that two runs of one design do not have in common."""
    first, second = rows(one, DECISIONS), rows(other, DECISIONS)
    assert [row[:3] for row in first] == [row[:3] for row in second]
    return sum(a != b for a, b in zip(first, second, strict=True)) / len(first)


def spoilt(run):
    """Count missing decisions and troubles of a run."""
    sql = "SELECT (SELECT COUNT(*) FROM events WHERE decision IS NULL), (SELECT COUNT(*) FROM troubles)"
    return rows(run, sql)[0]


# The contract


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract(server, check):
    too_long = Request((("user", "news " * 5000),), max_tokens=16)
    options = {"base_url": f"{server.root}/v1"}
    run_check(check, Subject(lambda: VllmBackend.from_options(options, {}), failing=too_long))


# The same odds in every sampler mode


def odds_of(run):
    """Read the probability of a yes by profile from a run in mode ``logprobs``."""
    listed = {
        profile: json.loads(text)["logprobs"]
        for profile, text in rows(run, "SELECT DISTINCT profile, text FROM decisions")
    }
    return {profile: 1 / (1 + math.exp(each["no"] - each["yes"])) for profile, each in listed.items()}


def deviation(run, odds):
    """Compare a run's decisions with odds: the deviation of all yeses in sigma, and the p-value by prompt."""
    counts = rows(run, "SELECT profile, COUNT(decision), SUM(decision) FROM decisions GROUP BY profile")
    cells = [(n_yes - n * p, n * p * (1 - p)) for profile, n, n_yes in counts for p in [odds[profile]]]
    z = sum(excess for excess, _ in cells) / math.sqrt(sum(variance for _, variance in cells))
    large = [excess**2 / variance for excess, variance in cells if variance > 5]
    assert len(large) >= 8, "too few prompts leave both answers a chance"
    return z, stats.chi2.sf(sum(large), len(large)), len(large)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_every_sampler_mode_draws_from_the_same_odds(play, say, temperature):
    runs = {mode: play(mode, sampler__mode=mode, temperature=temperature) for mode in MODES}
    odds = odds_of(runs["logprobs"])
    assert len(odds) == N_PROMPTS
    for mode, run in runs.items():
        z, p_value, n_cells = deviation(run, odds)
        n, n_calls = rows(run, "SELECT COUNT(decision), SUM(attempts) FROM events")[0]
        say(
            f"{mode} at {temperature}: {n} draws, {n_calls} calls, z {z:+.2f}, "
            f"p {p_value:.3f} over {n_cells} prompts"
        )
        assert n == N_PROMPTS * 100
        assert abs(z) < 4
        assert p_value > FOUR_SIGMA


def test_draws_at_another_temperature_are_told_apart_from_these_odds(play, say):
    """So the agreement above is no lack of power, and the server heeds the temperature."""
    warm = play("warm", sampler__mode="choices", temperature=1.0)
    odds = odds_of(play("cool", sampler__mode="logprobs", temperature=0.6, repeats=1))
    z, p_value, _ = deviation(warm, odds)
    say(
        f"draws at 1.0 against odds at 0.6 ({min(odds.values()):.2f} to {max(odds.values()):.2f}): z {z:+.1f}"
    )
    assert abs(z) > 6
    assert p_value < FOUR_SIGMA


# Seeds


def test_a_seed_repeats_the_run_one_request_at_a_time(play):
    one, other = (play(name, repeats=8, engine__workers=1) for name in ("one", "other"))
    assert one.digest() == other.digest()
    decisions = [row[-1] for row in rows(one, DECISIONS)]
    assert 0 < sum(decisions) < len(decisions)


def test_a_seed_repeats_nearly_every_decision_with_many_in_flight(play, say):
    """What else is in a batch moves the last bits of the odds, which moves a draw once in a long while."""
    one, other = (play(name, repeats=50, engine__workers=64) for name in ("one", "other"))
    share = share_that_differs(one, other)
    say(f"workers 64, run twice: {share:.3%} of {N_PROMPTS * 50} decisions differ")
    assert share < 0.005


def test_the_number_of_workers_changes_hardly_a_decision(play, say):
    alone, many = play("alone", repeats=8, engine__workers=1), play("many", repeats=8, engine__workers=64)
    share = share_that_differs(alone, many)
    say(f"workers 1 and 64: {share:.3%} of {N_PROMPTS * 8} decisions differ")
    assert share < 0.01


# Many in flight


def test_two_hundred_in_flight_end_without_an_error(play, say):
    run = play("many", repeats=50, engine__workers=200, backend__constrain="structured_outputs")
    n_calls, busy_s, took_s = rows(
        run, "SELECT SUM(attempts), SUM(latency_s), MAX(at) - MIN(at - latency_s) FROM events"
    )[0]
    # Little's law, start and end included; the server's own counts leave out what waits to be read.
    in_flight = busy_s / took_s
    say(f"workers 200: {n_calls} calls in {took_s:.1f} s, {in_flight:.0f} in flight on average")
    assert n_calls == N_PROMPTS * 50
    assert spoilt(run) == (0, 0)
    assert 100 < in_flight <= 200


# One of two endpoints dies


RELAY = """
import asyncio, sys

async def carry(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

async def relay(reader, writer):
    there = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(carry(reader, there[1]), carry(there[0], writer), return_exceptions=True)

async def main():
    await (await asyncio.start_server(relay, "127.0.0.1", int(sys.argv[1]))).serve_forever()

asyncio.run(main())
"""


def told_of(folder, port):
    """Read what a run's log says of one of several endpoints."""
    with suppress(AgentnetError):
        sql = "SELECT detail FROM incidents WHERE kind = 'in flight' ORDER BY at"
        return [detail for (detail,) in rows(Run(folder), sql) if f":{port}/" in detail]
    return []


@contextmanager
def killing(process):
    """Kill a process in the end."""
    try:
        yield
    finally:
        process.kill()


def until(happened, *running):
    """Wait for what processes of their own do."""
    while not happened():
        assert all(process.poll() is None for process in running)
        time.sleep(0.05)


def test_an_endpoint_that_dies_is_left_out_and_tried_again_and_nothing_is_lost(
    server, port, arguments, tmp_path, say
):
    """Both are one server, as the second way to it can be cut and mended in a moment."""
    folder = tmp_path / "run"
    relay = [sys.executable, "-c", RELAY, str(port), str(server.port)]
    urls = json.dumps([f"{server.root}/v1", f"http://127.0.0.1:{port}/v1"])
    with subprocess.Popen(relay) as cut, killing(cut):
        playing = start(
            arguments(folder, backend__base_url=urls, repeats=100, engine__workers=16, log__group_s=0.05)
        )
        until(lambda: len(recorded(folder)) > 200, playing, cut)
        cut.kill()
        until(lambda: told_of(folder, port), playing)
    with subprocess.Popen(relay) as mended, killing(mended):
        code, err = finish(playing)
    assert code == 0, err
    *left_out, again = told_of(folder, port)
    assert left_out
    assert all("is left out for" in each for each in left_out)
    assert "answers again" in again
    run = Run(folder)
    assert rows(run, "SELECT COUNT(decision), COUNT(*) FROM events")[0] == (N_PROMPTS * 100,) * 2
    say(f"left out {len(left_out)} times; {rows(run, 'SELECT COUNT(*) FROM troubles')[0][0]} failed calls")


# As fast as it serves


SHORT_DESIGN = ("-S", "items_per_severity=1", "-S", "repeats=2", "-S", "n_agents=64")


def test_a_design_and_a_bare_loop_ask_the_server_for_as_much(server, say):
    """How many a second either gets is said, and held by nothing: other programs run beside them."""
    benchmark = Path(__file__).parents[2] / "benchmarks" / "served.py"
    options = ("--url", f"{server.root}/v1", "--in-flight", "16", "--turns", "1", "--json", *SHORT_DESIGN)
    done = subprocess.run(
        [sys.executable, benchmark, *options], check=True, stdout=subprocess.PIPE, timeout=PATIENCE_S
    )
    (case,) = json.loads(done.stdout)
    (turn,) = case["turns"]
    say(f"bench --cascade gets {turn['ratio']:.3f} of the requests a second of a bare loop")
    assert turn["design"]["calls"] == turn["loop"]["calls"] > 200
    assert turn["design"]["ended"] == ""


# A server that dies; the last tests, as they end the first server


def recorded(folder):
    with suppress(AgentnetError):
        return rows(Run(folder), RECORDED)
    return []


def start(words):
    environ = {key: value for key, value in os.environ.items() if not key.startswith("AGENTNET_")}
    command = [sys.executable, "-c", "from agentnet.cli import main; main()", *words]
    return subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    _, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, err


def test_runs_survive_a_killed_server(server, arguments, tmp_path, say):
    """One run waits until the server is back; another gives up, stays resumable and is resumed."""
    patient, hasty = tmp_path / "patient", tmp_path / "hasty"
    n_decisions = N_PROMPTS * 40
    common = {
        "repeats": 40,
        "engine__workers": 16,
        "log__group_s": 0.05,
        "backend__constrain": "structured_outputs",
    }
    waits = {"stack__max_wait_s": 5}
    stops = {"stack__give_up_after_s": 2, "stack__max_wait_s": 0.2}
    waiting = start(arguments(patient, **common, **waits))
    stopping = start(arguments(hasty, **common, **stops))
    until(lambda: min(len(recorded(patient)), len(recorded(hasty))) >= 200, waiting, stopping)
    server.kill()
    code, err = finish(stopping)
    assert code == 3, err
    kept, kept_by_patient = recorded(hasty), recorded(patient)
    assert waiting.poll() is None, "the patient run is still there"
    took_s = server.start()
    code, err = finish(waiting)
    assert code == 0, err

    n_before = server.metric("vllm:request_success_total{")
    code, err = finish(start(arguments(hasty, **common, **stops)))
    assert code == 0, err
    n_served = server.metric("vllm:request_success_total{") - n_before

    for folder, before in ((patient, kept_by_patient), (hasty, kept)):
        after = recorded(folder)
        assert Run(folder).meta["status"] == "finished"
        assert len(after) == n_decisions
        assert all(row[3] is not None for row in after)
        assert {row for row in before if row[3] is not None} <= set(after), (
            "what was recorded stays as it was"
        )
    n_answered = sum(row[3] is not None for row in kept)
    assert n_served == n_decisions - n_answered, "no recorded call is made again"
    n_troubles = rows(Run(patient), "SELECT COUNT(*) FROM troubles")[0][0]
    say(
        f"killed after {len(kept_by_patient)} and {n_answered} decisions, up again in {took_s:.0f} s: one "
        f"run rode through {n_troubles} failed calls, the other stopped and was resumed by {n_served:.0f}"
    )
    share = share_that_differs(Run(patient), Run(hasty))
    say(f"{share:.3%} of their decisions differ")
    assert share < 0.005
