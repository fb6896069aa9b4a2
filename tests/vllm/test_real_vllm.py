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
from contextlib import suppress

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
    while min(len(recorded(patient)), len(recorded(hasty))) < 200:
        assert waiting.poll() is stopping.poll() is None
        time.sleep(0.05)  # until both runs are under way in processes of their own
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
