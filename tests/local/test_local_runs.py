"""A run on backend ``local`` is the same however it is played, broken off and resumed."""

from __future__ import annotations

import json

import pytest

DESIGN = """
from typing import Literal
from pydantic import BaseModel
from agentnet import CascadeExperiment

class Said(BaseModel):
    share: bool
    why: Literal["it is near", "it is new"]

class Small(CascadeExperiment):
    items_per_severity = 1
    repeats = 1
    n_agents = 6
    network = "random_regular"
    degree = 3
    steps = 3
    profiles = {"10000": 1.0, "01101": 1.0}
"""
DECLARED = """
    answer = Said
    decides = "share"
"""
MODES = {
    "logprobs": ("-S", "sampler.mode=logprobs", "-S", "sampler.least_mass=0", "-S", "rationale=none"),
    "answers": ("-S", "sampler.mode=call", "-S", "rationale=none"),
    "declared": ("-S", "sampler.mode=call", "-S", "rationale=none"),
}
PLAIN = ("-S", "stack.cache=false", "-S", "log.parquet=false")


@pytest.fixture
def run(command, tmp_path, folder):
    """Play the design on the tiny model; gives the outcome and its JSON."""

    def run(mode, out, *more, resume=False):
        (tmp_path / "small.py").write_text(DESIGN + (DECLARED if mode == "declared" else ""))
        what = ("--resume", out) if resume else ("small.py", "--out", out, "--backend", "local", *MODES[mode])
        model = () if resume else ("-S", f"backend.model={folder}")
        done = command("run", *what, *model, "--json", *PLAIN, *more)
        return done, json.loads(done.out) if done.out.startswith("{") else {}

    return run


@pytest.mark.parametrize("mode", MODES)
def test_neither_workers_nor_order_nor_breaks_change_a_run(run, mode):
    done, whole = run(mode, "one", "-S", "engine.workers=1", "-S", "engine.realizations_at_once=1")
    assert (done.code, whole.get("status")) == (0, "finished"), done.err
    for workers in (4, 64):
        again = run(mode, f"by-{workers}", "-S", f"engine.workers={workers}")[1]
        assert again["digest"] == whole["digest"]
    stopped, _ = run(mode, "broken", "--max-calls", "5")
    assert stopped.code == 3
    assert run(mode, "broken", "--max-calls", "10000", resume=True)[1]["digest"] == whole["digest"]
