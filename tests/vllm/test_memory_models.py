"""Models with memories on the real server: what is recorded, what comes back in prompts, what repeats.

``make test-vllm`` runs these tests and no other command does; see ``test_real_vllm.py``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import pytest

from agentnet import Run
from agentnet.errors import AgentnetError
from agentnet.interviews import load_bank

if not os.environ.get("VLLM_VENV"):
    pytest.skip(
        "VLLM_VENV is not set: models with memories are NOT tested on real vLLM here; see make test-vllm",
        allow_module_level=True,
    )

STUDY = """
from agentnet import InterviewExperiment

class Small(InterviewExperiment):
    models = {"society": 3, "science": 3}
    n_evaluation, n_questions, n_taught, steps = 3, 2, 4, 3
    conditions = ({"topology": "full"}, {"topology": "intra_class"})
    max_tokens = 12
"""
N_EVALUATED = 2 * 4 * 6 * 6
N_HEARD = 2 * 3 * 6 * 2
K = 4
PATIENCE_S = 600.0
ANSWERS = (
    "SELECT realization, step, kind, model, asker, id, answer, context, missing FROM answers "
    "ORDER BY 1, 2, 3, 4, 5, 6"
)


@pytest.fixture(scope="module")
def arguments(server, tmp_path_factory):
    """Make the arguments of ``agentnet run``, for a new run of the study or one that goes on."""
    home = tmp_path_factory.mktemp("memory")
    (home / "small.py").write_text(STUDY)

    def arguments(name, **settings):
        folder = home / name
        chosen = {"backend.base_url": f"{server.root}/v1", "backend.model": "tiny", "runs": home / "runs"}
        chosen |= {"stack.cache": "false", "log.parquet": "false", "engine.workers": 1, **settings}
        given = [word for key, value in chosen.items() for word in ("-S", f"{key}={value}")]
        if folder.exists():
            return folder, ["run", "--resume", str(folder), "--quiet", *given]
        start = ["run", str(home / "small.py"), "--out", str(folder), "--quiet", "--backend", "vllm"]
        return folder, [*start, "--update", "memory", "--seed", "11", *given]

    return arguments


def start(words):
    environ = {key: value for key, value in os.environ.items() if not key.startswith("AGENTNET_")}
    command = [sys.executable, "-c", "from agentnet.cli import main; main()", *words]
    return subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    _, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, err


@pytest.fixture(scope="module")
def play(arguments):
    """Play the study to its end."""

    def play(name, **settings):
        folder, words = arguments(name, **settings)
        code, err = finish(start(words))
        assert code == 0, err
        run = Run(folder)
        assert run.meta["status"] == "finished"
        return run

    return play


@pytest.fixture(scope="module")
def alone(play):
    """The study, one request at a time."""
    return play("alone")


def rows(run, sql, *parameters):
    return run.rows(sql, parameters)[1]


def differing(one, other, step=None):
    """Count the answers to the evaluation sets that two runs do not share, and all of them."""
    sql = (
        "SELECT realization, step, model, id, answer FROM answers WHERE kind = 'evaluation' "
        "ORDER BY 1, 2, 3, 4"
    )
    first, second = rows(one, sql), rows(other, sql)
    assert [row[:4] for row in first] == [row[:4] for row in second]
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if step is None or a[1] == step]
    return sum(a != b for a, b in pairs), len(pairs)


def test_all_answers_are_recorded_and_none_is_missing_without_a_reason(alone, say):
    kinds = rows(alone, "SELECT kind, COUNT(*) FROM answers GROUP BY 1 ORDER BY 1")
    assert kinds == [("evaluation", N_EVALUATED), ("interview", N_HEARD)]
    states = rows(
        alone,
        "SELECT missing, answer IS NULL OR TRIM(answer, ' \t\n') = '', COUNT(*) FROM answers GROUP BY 1, 2",
    )
    assert {(reason, bool(blank)) for reason, blank, _ in states} <= {(None, False), ("empty", True)}
    troubles = rows(alone, "SELECT trouble_kind, COUNT(*) FROM troubles GROUP BY 1")
    assert {kind for kind, _ in troubles} <= {"cut_off", "empty"}
    n_calls, took_s = rows(alone, "SELECT SUM(attempts), MAX(at) - MIN(at) FROM events")[0]
    n_missing = sum(n for reason, _, n in states if reason)
    say(
        f"{N_EVALUATED + N_HEARD} answers by {n_calls} calls in {took_s:.1f} s, {n_missing} missing; "
        f"troubles {dict(troubles)}"
    )
    heard = rows(
        alone,
        "SELECT realization, step, asker, COUNT(*) - COUNT(missing) FROM answers WHERE kind = 'interview' "
        "GROUP BY 1, 2, 3",
    )
    taught = rows(
        alone, "SELECT realization, step, model, n_pairs FROM updates WHERE step > 0 ORDER BY 1, 2, 3"
    )
    assert sorted(heard) == taught


def test_pairs_in_the_memories_come_back_in_the_prompts_that_the_server_read(alone, server, say):
    """The server's own count of a prompt's tokens is that of the conversation made anew from the log."""
    bank = {question.id: question for question in load_bank()}
    heard = {
        tuple(key): answer
        for *key, answer in rows(
            alone,
            "SELECT realization, asker, step, id, answer FROM answers "
            "WHERE kind = 'interview' AND missing IS NULL",
        )
    }
    evaluated = rows(
        alone,
        "SELECT realization, model, id, context, prompt_tokens FROM answers "
        "WHERE kind = 'evaluation' AND step > 0 ORDER BY 1, step, 2, 3",
    )
    n_heard = 0
    for number, model, name, context, n_tokens in evaluated[::5]:
        messages = [("system", "Answer the question in one short sentence. Do not explain.")]
        remembered = json.loads(context)
        assert len(remembered) == K
        for step, known in remembered:
            answer = heard[number, model, step, known] if step else bank[known].answer
            messages += [("user", bank[known].text), ("assistant", answer)]
            n_heard += step > 0
        messages.append(("user", bank[name].text))
        assert n_tokens == count_tokens(server, messages)
    say(
        f"{len(evaluated[::5])} prompts are as composed from the log, to the token; "
        f"{n_heard} of their pairs were heard in interviews"
    )
    assert n_heard > 0


def count_tokens(server, messages):
    spelt = [{"role": role, "content": content} for role, content in messages]
    body = json.dumps({"model": "tiny", "messages": spelt, "add_generation_prompt": True}).encode()
    request = urllib.request.Request(
        f"{server.root}/tokenize", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["count"]


def test_greedy_answers_repeat_one_request_at_a_time(alone, play, say):
    again = play("again")
    n_differing, n = differing(alone, again)
    say(f"run twice, one request at a time: {n_differing} of {n} answers differ")
    assert rows(again, ANSWERS) == rows(alone, ANSWERS)
    assert again.digest() == alone.digest()


def test_hardly_a_greedy_answer_depends_on_how_many_are_in_flight(alone, play, say):
    """What else is in a batch moves the last bits of the odds; later steps feed on the answers before."""
    one, other = (play(name, **{"engine.workers": 64}) for name in ("many", "more"))
    for name, pair in {"64 in flight, twice": (one, other), "1 and 64 in flight": (alone, one)}.items():
        at_start, n_at_start = differing(*pair, step=0)
        n_differing, n = differing(*pair)
        say(f"{name}: {at_start} of {n_at_start} answers differ at step 0, {n_differing} of {n} in all")
        assert at_start <= 0.03 * n_at_start


def recorded(folder):
    with suppress(AgentnetError):
        return rows(Run(folder), "SELECT COUNT(*) FROM events WHERE attempts > 0")[0][0]
    return 0


def test_an_interrupted_run_asks_exactly_what_was_missing_and_ends_as_the_whole(
    alone, arguments, server, say
):
    folder, words = arguments("broken", **{"log.group_s": 0.02})
    process = start(words)
    while recorded(folder) < N_EVALUATED // 3:
        assert process.poll() is None
        time.sleep(0.05)  # until the run is under way in a process of its own
    process.send_signal(signal.SIGINT)
    code, err = finish(process)
    assert code == 130, err
    n_kept = recorded(folder)
    assert N_EVALUATED // 3 <= n_kept < N_EVALUATED
    n_before = server.metric("vllm:request_success_total{")
    code, err = finish(start(arguments("broken")[1]))
    assert code == 0, err
    n_served = server.metric("vllm:request_success_total{") - n_before
    n_calls = rows(Run(folder), "SELECT SUM(attempts) FROM events")[0][0]
    say(f"interrupted after {n_kept} of {n_calls} calls, resumed by {n_served:.0f}")
    assert n_served == n_calls - n_kept
    assert rows(Run(folder), ANSWERS) == rows(alone, ANSWERS)
    assert Run(folder).digest() == alone.digest()
