"""A million agents fit into the memory of a small machine."""

import os
import subprocess
import sys

import pytest

from agentnet.events import Run

MAIN = "from agentnet.cli import main; main()"
N_AGENTS = 1_000_000
DESIGN = """
from agentnet import CascadeExperiment

class Million(CascadeExperiment):
    rationale = "none"

    def choose_news(self, seed):
        return super().choose_news(seed)[:1]
"""


@pytest.mark.slow
def test_a_cascade_of_a_million_agents_by_log_probabilities_takes_700_megabytes_at_most(tmp_path):
    (tmp_path / "million.py").write_text(DESIGN)
    knobs = {"experiment.n_agents": N_AGENTS, "experiment.repeats": 1, "log.parquet": "false"}
    options = [part for knob in knobs.items() for part in ("-S", "{}={}".format(*knob))]
    command = ["run", "million.py", "--backend", "mock", "-S", "sampler.mode=logprobs", "--out", "run"]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *command, *options, "--quiet"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert used.ru_maxrss < 700_000
    run = Run(tmp_path / "run")
    query = "SELECT COUNT(*), COUNT(engaged_step) > ? FROM agents"
    assert run.rows(query, (N_AGENTS // 10,))[1] == [(N_AGENTS, 1)]
