"""A run on a real Slurm: one node, on this machine's loopback, whose daemons are started here.

``make test-slurm`` runs these tests and no other command does: they need Debian's packages slurm-wlm and
munge, and root.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from agentnet import Run
from agentnet.errors import AgentnetError

if not os.environ.get("TEST_ON_SLURM"):
    pytest.skip(
        "TEST_ON_SLURM is not set: NO RUN IS PLAYED BY SLURM here; see make test-slurm",
        allow_module_level=True,
    )

AGENTNET = Path(sys.executable).with_name("agentnet")

FILE = """
from agentnet import CascadeExperiment

class Small(CascadeExperiment):
    n_agents = 32
    degree = 3
    steps = 6
    repeats = 4
    items_per_severity = 1
"""

CONFIGURATION = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={port}
SlurmdPort={next_port}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={n_cpus}
PartitionName=all Nodes={host} Default=YES State=UP
"""
LONG_S = 180.0


def until(what: Callable[[], object], about: str) -> None:
    """Wait for what another program does."""
    ends = time.monotonic() + LONG_S
    while not what():
        assert time.monotonic() < ends, about
        time.sleep(0.5)


def told(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start a cluster of one node; its daemons end with the tests."""
    for program in ("munged", "slurmctld", "slurmd"):
        assert shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"), (
            f"{program}: see make test-slurm"
        )
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    facts = {"host": socket.gethostname().partition(".")[0], "n_cpus": os.cpu_count(), "folder": folder}
    ports = {"port": free_port(), "next_port": free_port()}
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(**facts, **ports))
    os.environ["SLURM_CONF"] = str(configuration)
    with ExitStack() as stack:
        if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode:
            Path("/run/munge").mkdir(exist_ok=True)
            shutil.chown("/run/munge", "munge", "munge")
            stack.callback(lambda: told("/usr/sbin/munged", "--stop"))
            told("runuser", "-u", "munge", "--", "/usr/sbin/munged")
        for daemon in ("slurmctld", "slurmd"):
            log = stack.enter_context((folder / f"{daemon}.log").open("w"))
            process = subprocess.Popen([f"/usr/sbin/{daemon}", "-D"], stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        until(
            lambda: "idle" in subprocess.run(["sinfo"], capture_output=True, text=True, check=False).stdout,
            "no node",
        )
        yield


@pytest.fixture
def submit(cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """Submit a small run; give the numbers of both jobs."""
    monkeypatch.chdir(tmp_path)
    Path("small.py").write_text(FILE)

    def submit(out: str, *more: str) -> tuple[str, str]:
        knobs = ("-S", "log.parquet=false", "-S", "log.group_s=0.01", "--seed", "3", *more)
        said = told(AGENTNET, "slurm", "small.py", "--shards", "4", "--out", out, "--submit", *knobs)
        found = re.fullmatch(r"shards: job (\d+); log and report: job (\d+)\n", said)
        assert found is not None, said
        return found[1], found[2]

    return submit


def commands() -> Iterator[tuple[int, bytes]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield int(path.parent.name), path.read_bytes()


def playing(shard: str) -> int:
    """Find the process that plays a shard."""
    option = f"--shard\0{shard}".encode()
    (process,) = [pid for pid, words in commands() if option in words and b"bash" not in words]
    return process


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def n_events(shard: Path) -> int:
    try:
        return int(Run(shard).rows("SELECT COUNT(*) FROM events")[1][0][0])
    except AgentnetError:
        return 0


def state(job: str) -> str:
    found = re.search(r"JobState=(\w+)", told("scontrol", "show", "job", job))
    return found[1] if found else ""


def hurry(job: str) -> None:
    """Have a requeued task begin, which Slurm lets wait for two minutes; one that has begun is left alone."""
    command = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
    subprocess.run(command, check=False, capture_output=True)


def whole(*more: str) -> str:
    knobs = ("-S", "log.parquet=false", "--seed", "3", "--quiet", *more)
    told(AGENTNET, "run", "small.py", "--out", "whole", *knobs)
    return Run("whole").digest()


def test_a_task_that_is_killed_is_requeued_and_goes_on_to_the_digest_of_the_run(
    submit: Callable[..., tuple[str, str]],
) -> None:
    played, merged = submit("cut", "-S", "backend.latency_s=0.5")
    shard = Path("cut/shards/1-of-4")
    until(lambda: n_events(shard) > 2, "shard 1 plays nothing")
    os.kill(playing("1/4"), signal.SIGKILL)
    until(lambda: "Restarts=1" in told("scontrol", "show", "job", f"{played}_1"), "task 1 was not requeued")
    assert Run(shard).meta["status"] == "running"
    hurry(f"{played}_1")
    until(lambda: state(merged) == "COMPLETED", f"no merge: {told('squeue')}")
    assert Run("cut").digest() == whole()
    ((sittings,),) = Run(shard).rows("SELECT COUNT(*) FROM incidents WHERE kind IN ('started', 'resumed')")[1]
    assert sittings == 2
    assert (Path("cut") / "report").is_dir()
    assert "shard 1/4 is finished" in Path("cut/slurm/shard-1.log").read_text()


def test_a_task_at_its_time_limit_puts_itself_back_into_the_queue(
    submit: Callable[..., tuple[str, str]],
) -> None:
    """The notice that is given before the limit is sent here by hand: limits are whole minutes."""
    played, merged = submit("cut", "-S", "backend.latency_s=0.5")
    shard = Path("cut/shards/2-of-4")
    until(lambda: n_events(shard) > 2, "shard 2 plays nothing")
    # To the script alone, as by --signal=B: scancel sends it, is told to come again, and sends it again.
    os.kill(parent(playing("2/4")), signal.SIGUSR1)
    until(lambda: "Restarts=1" in told("scontrol", "show", "job", f"{played}_2"), "task 2 was not requeued")
    assert "interrupted; what was in flight is recorded" in Path("cut/slurm/shard-2.log").read_text()
    hurry(f"{played}_2")
    until(lambda: state(merged) == "COMPLETED", f"no merge: {told('squeue')}")
    assert Run("cut").digest() == whole()


def test_where_a_task_fails_the_merge_says_so_and_the_same_submitted_again_goes_on(
    submit: Callable[..., tuple[str, str]],
) -> None:
    Path("cut").mkdir()
    Path("cut/shards").mkdir()
    # What stands in the place of a shard's folder cannot be written into.
    Path("cut/shards/3-of-4").touch()
    _, merged = submit("cut", "-S", "repeats=2")
    until(lambda: state(merged) == "FAILED", f"a merge: {told('squeue')}")
    log = Path("cut/slurm/merge.log").read_text()
    assert "shard 3/4 was not begun" in log
    assert "What failed says why in cut/slurm/shard-*.log" in log
    assert "3-of-4" in Path("cut/slurm/shard-3.log").read_text()
    Path("cut/shards/3-of-4").unlink()
    _, merged = submit("cut", "-S", "repeats=2")
    until(lambda: state(merged) == "COMPLETED", f"no merge: {told('squeue')}")
    assert Run("cut").digest() == whole("-S", "repeats=2")
    assert "shard 1/4 of cut is finished" in Path("cut/slurm/shard-1.log").read_text()


def test_names_with_blanks_are_names(submit: Callable[..., tuple[str, str]]) -> None:
    _, merged = submit("my run", "-S", "steps=1", "-S", "repeats=2")
    until(lambda: state(merged) == "COMPLETED", f"no merge: {shlex.quote(told('squeue'))}")
    assert Run("my run").meta["status"] == "finished"
