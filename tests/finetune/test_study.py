"""Study 3 of Helm et al. (2024) in small, with fine-tuned models; ``make test-finetune`` runs this."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

if not os.environ.get("AGENTNET_TEST_FINETUNE"):
    pytest.skip(
        "AGENTNET_TEST_FINETUNE is not set: study 3 is NOT played with fine-tuned models here; see make "
        "test-finetune",
        allow_module_level=True,
    )

from agentnet import Run

STUDY = """
from agentnet import InterviewExperiment

class Polarization(InterviewExperiment):
    models = {"society": 3, "science": 3}
    n_evaluation = 8
    n_questions = 6
    n_taught = 24
    steps = 10
    max_tokens = 16
    update = "finetune"
    topology = "intra_class"
"""

# Random weights have much to learn, and adapters of few numbers learn slowly.
RATES = {"full": {"initial_lr": 3e-3, "lr": 1e-3}, "lora": {"initial_lr": 2e-2, "lr": 1e-2, "rank": 16}}

# Plays a run in one child or several: a fork takes milliseconds, importing PyTorch seconds. A child is killed
# when the log has as many answers as the next number says.
PLAYER = """
import asyncio, json, os, signal, sys, time
from pathlib import Path
import agentnet_backends.finetune_torch, peft, transformers.models.gpt_neox.modeling_gpt_neox
from agentnet import Run
from agentnet.backend import make_backend
from agentnet.config import Settings
from agentnet.errors import AgentnetError
from agentnet.events import LOG_NAME
from agentnet.events.read import reading
from agentnet.experiment import Source
from agentnet.runner import Runner, create, prepare, reopen

folder, settings = Path(sys.argv[1]), Settings.model_validate(json.loads(sys.argv[2]))
cuts = json.loads(sys.argv[4])

def begin():
    source = Source(Path("study.py"), sys.argv[3])
    create(prepare(source, settings, folder), source, backend="mock", model_name="tiny")

def play():
    try:
        asyncio.run(Runner(reopen(folder, settings), make_backend("mock", {})).play())
    except AgentnetError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0

def count():
    with reading(folder / LOG_NAME) as connection:
        return connection.execute("SELECT COUNT(*) FROM events").fetchone()[0]

def sit(cut):
    child = os.fork()
    if child == 0:
        os._exit(play())
    while cut is None or count() < cut:
        ended, status = os.waitpid(child, os.WNOHANG if cut is not None else 0)
        if ended:
            return status
        time.sleep(0.01)  # another process cannot tell us what it has written
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]

if not folder.exists():
    begin()
found = []
for cut in cuts:
    assert os.WIFSIGNALED(sit(cut)), "ended before it was killed"
    found.append(sorted(path.name for path in (folder / "models").rglob("step-*")))
code = os.waitstatus_to_exitcode(sit(None)) if sys.argv[5] == "finish" else None
print(json.dumps({"code": code, "checkpoints": found}))
"""


def play(folder, tiny, *, cuts=(), finish=True, **options):
    """Play the study in processes of their own; give what the player told."""
    chosen = {
        "model": str(tiny),
        "threads": 1,
        "initial_lr": 3e-3,
        "lr": 1e-3,
        "checkpoint_every": 3,
        **options,
    }
    settings = {
        "seed": 4,
        "log": {"group_rows": 4, "parquet": False},
        "experiment": {"update_options": {"finetune": chosen}},
    }
    done = subprocess.run(
        [
            *(sys.executable, "-c", PLAYER, folder, json.dumps(settings), STUDY, json.dumps(cuts)),
            "finish" if finish else "stop",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder.parent,
    )
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "said": done.stderr}


@pytest.fixture(scope="module", params=["full", "lora"])
def method(request):
    return request.param


@pytest.fixture(scope="module")
def whole(tiny, method, tmp_path_factory):
    """Play the study without a break."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert play(folder, tiny, method=method)["code"] == 0
    return Run(folder)


def rows(run, query):
    return run.rows(query)[1]


def measures(run):
    """Give each update's loss, by (step, model)."""
    found = rows(run, "SELECT step, model, measures FROM updates ORDER BY step, model")
    return {(step, model): json.loads(text).get("loss") for step, model, text in found}


def test_the_study_is_played_to_its_end_with_answers_of_words(whole):
    assert whole.meta["status"] == "finished"
    counts = dict(rows(whole, "SELECT kind, COUNT(*) FROM events GROUP BY kind"))
    assert counts == {"evaluation": 11 * 6 * 16, "interview": 10 * 6 * 6}
    texts = rows(whole, "SELECT answer FROM answers WHERE kind = 'evaluation' AND missing IS NULL")
    assert len(texts) > 100
    assert any(" " in text for (text,) in texts)
    assert not (whole.path / "models").exists()


def test_models_learn_what_they_are_taught_and_hear(whole):
    losses = measures(whole)
    assert losses.keys() == {(step, model) for step in range(11) for model in range(6)}
    assert max(losses[0, model] for model in range(6)) < np.log(2048) - 0.15
    first, last = (
        np.mean([losses[step, model] for step in steps for model in range(6) if losses[step, model]])
        for steps in ((1, 2), (9, 10))
    )
    assert last < first  # what a model hears again and again becomes likelier


def test_models_of_different_classes_come_to_answer_differently(whole):
    found = rows(whole, "SELECT model, answer FROM answers WHERE kind = 'evaluation' AND step = 10")
    said = [{text for model, text in found if model // 3 == group} for group in (0, 1)]
    assert said[0] != said[1]


def test_played_again_it_ends_in_the_same_bits(whole, tiny, method, tmp_path):
    assert play(tmp_path / "run", tiny, method=method)["code"] == 0
    again = Run(tmp_path / "run")
    assert again.digest() == whole.digest()
    assert measures(again) == measures(whole)


def test_killed_in_several_places_it_ends_as_the_whole(whole, tiny, method, tmp_path):
    n_events = rows(whole, "SELECT COUNT(*) FROM events")[0][0]
    cuts = [n_events * tenth // 10 for tenth in (1, 4, 5, 9)]
    told = play(tmp_path / "run", tiny, method=method, cuts=cuts)
    assert told["code"] == 0, told["said"]
    resumed = Run(tmp_path / "run")
    assert resumed.digest() == whole.digest()
    assert measures(resumed) == measures(whole)
    steps = {name for names in told["checkpoints"] for name in names if name.startswith("step-")}
    assert len(steps) >= 3, "kills came at several checkpoints"


def test_a_damaged_checkpoint_is_named_and_without_it_the_updates_are_repeated(whole, tiny, method, tmp_path):
    if method == "lora":
        pytest.skip("the same code as with full training")
    folder = tmp_path / "run"
    n_events = rows(whole, "SELECT COUNT(*) FROM events")[0][0]
    assert play(folder, tiny, method=method, cuts=[n_events // 2], finish=False)["code"] is None
    (damaged,) = (folder / "models").rglob("step-*/model-00001.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-8])
    told = play(folder, tiny, method=method)
    assert told["code"] == 3
    assert "model-00001.safetensors cannot be read" in told["said"]
    shutil.rmtree(folder / "models")
    assert play(folder, tiny, method=method)["code"] == 0
    assert Run(folder).digest() == whole.digest()
