"""A run killed at any call that changes the disk is shown, goes on to the same digest, and is not locked."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).parent / "kills" / "driver.py"


def kills(folder, *arguments):
    """Let the driver kill runs; give what it tells of each."""
    if shutil.which("strace") is None:
        pytest.skip("NO RUN IS KILLED AT ITS SYSTEM CALLS: strace is not installed")
    command = [sys.executable, DRIVER, *arguments[:2], folder, *arguments[2:]]
    environ = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if "cannot attach" in done.stderr:
        pytest.skip(f"NO RUN IS KILLED AT ITS SYSTEM CALLS: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_run_killed_at_some_of_its_calls_ends_as_the_whole(tmp_path):
    told = kills(tmp_path / "kills", "cascade", "delete", "--only", "unlink", "--sample", "3")
    assert [kill["problems"] for kill in told] == [[]] * 3
    # Where nothing is written ahead, a transaction ends by the removal of its journal. How many there are
    # hangs on what comes together: the last of them may not come.
    assert any(kill["killed"] and "events.sqlite-journal" in kill["left"] for kill in told)


@pytest.mark.slow
@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("scenario", ["cascade", "ratios", "interviews"])
@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_a_run_killed_at_any_of_its_calls_ends_as_the_whole(tmp_path, scenario, journal, seed):
    """In parts, each with time left of what a test may take where the machine is busy."""
    told = kills(tmp_path / "kills", scenario, journal, "--sample", "20", "--seed", seed)
    assert [kill for kill in told if kill["problems"]] == []
    assert sum(kill["killed"] for kill in told) > 16
