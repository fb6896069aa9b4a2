"""Workers of Ray play the shards of a run as processes do; a lost one's shard is played again."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from agentnet import Run
from agentnet.cli import on_ray
from agentnet.config import Settings
from agentnet.errors import StorageError
from agentnet.events import LOG_NAME, verify
from agentnet.events.checksums import HASH_NAME
from agentnet.events.opening import connect
from agentnet.events.read import connect_readonly
from agentnet.experiment import Source
from agentnet.runner.begin import begin_shards, recorded_settings
from agentnet.runner.prepare import versions

FILE = """
from agentnet import CascadeExperiment, InterviewExperiment, ResponseRatioExperiment

class Cascades(CascadeExperiment):
    n_agents = 16
    degree = 4
    steps = 3
    repeats = 2
    items_per_severity = 1
    conditions = ({}, {"degree": 6})

class Ratios(ResponseRatioExperiment):
    repeats = 3
    items_per_severity = 1

class Interviews(InterviewExperiment):
    models = {"society": 2, "science": 2}
    n_evaluation = 3
    n_questions = 2
    n_taught = 4
    steps = 2
    repeats = 3
"""

OPTIONS = ("--backend", "mock", "--seed", "7", "-S", "log.parquet=false", "-S", "log.group_s=0.01")
MAIN = "from agentnet.cli import main; main()"
# Workers look for the mark under its own name: they do not find that of a driver of this kind.
UNSEEN = f"from agentnet.cli import on_ray; on_ray._MARK = '.other'; {MAIN}"


class Desk:
    """Stands in for the actor between driver and workers: hears all, and stops who asks at once, or never."""

    def __init__(self, *, stops: bool = False) -> None:
        self.told: list[Any] = []
        self.stops = stops
        self.tell = self.stopped = self

    def remote(self, *told: Any) -> Any:
        if told:
            self.told.append(told)
            return None
        return self._stop()

    async def _stop(self) -> None:
        if not self.stops:
            await asyncio.Event().wait()


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Begin a run in shards, and give the folder of the first."""
    monkeypatch.chdir(tmp_path)
    heeded = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    Path("play.py").write_text(FILE)
    settings = Settings.model_validate({"backend": {"name": "mock"}, "log": {"parquet": False}})
    begin_shards(Source.read("play.py:Cascades"), settings, {}, Path("cut"), 1, say=print)
    (first, *_) = sorted(Path("cut/shards").iterdir())
    yield first
    for number, receive in heeded.items():
        signal.signal(number, receive)


def task(shard: Path, **other: Any) -> on_ray.Task:
    settings = recorded_settings(Run(shard)).to_json()
    return on_ray.Task(shard.resolve(), settings, {}, "mark", Path.cwd(), versions())._replace(**other)


def test_a_worker_that_sees_the_run_folder_plays_there(begun: Path) -> None:
    (Path("cut") / on_ray._MARK).write_text("mark")
    desk = Desk()
    ended, tally, packed = on_ray.play(task(begun), b"", desk)
    assert (ended, packed) == (None, None)
    assert Run(begun).meta["status"] == "finished"
    assert tally["n_decisions"] == len(Run(begun).frame("decisions"))
    assert desk.told[-1] == (begun.resolve(), "tally", tally)


@pytest.mark.parametrize("mark", [None, "another driver's"])
def test_a_worker_that_does_not_sends_the_shard_back(begun: Path, mark: str | None) -> None:
    if mark is not None:
        (Path("cut") / on_ray._MARK).write_text(mark)
    saved = begun / "models" / "realization-00000" / "weights"
    saved.parent.mkdir(parents=True)
    saved.write_text("dear")
    sent = on_ray._packed(begun)
    ended, _, packed = on_ray.play(task(begun), sent, Desk())
    assert ended is None
    assert packed is not None
    assert Run(begun).meta["status"] == "running"
    shutil.rmtree(begun)
    on_ray._unpack(packed, begun)
    assert Run(begun).meta["status"] == "finished"
    assert saved.read_text() == "dear"


def test_a_worker_that_is_stopped_sends_back_what_it_recorded(begun: Path) -> None:
    ended, _, packed = on_ray.play(task(begun), on_ray._packed(begun), Desk(stops=True))
    assert ended is not None
    assert ended[0] == 130
    assert packed is not None
    on_ray._unpack(packed, begun)
    assert Run(begun).meta["status"] != "finished"
    assert on_ray.play(task(begun), on_ray._packed(begun), Desk())[0] is None


def test_a_log_that_somebody_reads_is_sent_whole_and_comes_back(begun: Path) -> None:
    log = begun / LOG_NAME
    with closing(connect_readonly(log)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM meta")
        with closing(connect(log)) as killed:
            killed.execute("INSERT INTO meta VALUES ('written', '1')")
        sent = on_ray._packed(begun)
        _, _, packed = on_ray.play(task(begun), sent, Desk())
        assert packed is not None
        # As long as what stands beside the log is read, it would be taken for a part of the new one.
        with pytest.raises(StorageError, match="close the program that has it open"):
            on_ray._unpack(packed, begun, patience_s=0.1)
        assert Run(begun).meta["status"] == "running"
        reader.rollback()
        on_ray._unpack(packed, begun)
        assert Run(begun).meta["written"] == 1
        assert Run(begun).meta["status"] == "finished"
    assert "damaged" not in str(verify(Run(begun)))


def test_a_worker_with_other_versions_plays_nothing(begun: Path) -> None:
    others = {**versions(), "agentnet": "0.0.1", "platform": "another"}
    ended, tally, _ = on_ray.play(task(begun, versions=others), on_ray._packed(begun), Desk())
    assert ended is not None
    assert ended[0] == 2
    assert f"the worker on {socket.gethostname()} lacks what is here: agentnet 0.0.1; install it" in ended[1]
    assert tally is None
    alike = {**versions(), "platform": "another"}
    assert on_ray.play(task(begun, versions=alike), on_ray._packed(begun), Desk())[0] is None


def test_without_ray_the_extra_is_named(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("play.py").write_text(FILE)
    monkeypatch.setitem(sys.modules, "ray", None)
    done = command("run", "play.py:Cascades", "--on", "ray", "--out", "cut")
    assert done.code == 2
    assert "pip install 'agentnet-cascades[ray]'" in done.err
    assert not Path("cut").exists()


@pytest.mark.parametrize(("address", "told"), [("127.0.0.1:9", "refused"), ("ray://here:1", "by HOST:PORT")])
def test_an_address_without_a_ray_is_told_at_once(command: Any, address: str, told: str) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed", exc_type=ImportError)
    Path("play.py").write_text(FILE)
    done = command("run", "play.py:Cascades", "--on", "ray", "--ray-address", address, "--out", "cut")
    assert done.code == 2
    assert f"no Ray can be used at {address}" in done.err
    assert told in done.err
    assert not Path("cut").exists()


def test_a_ray_of_another_version_is_named(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="the extra ray is not installed", exc_type=ImportError)
    Path("play.py").write_text(FILE)

    def init(*_: object, **__: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.1.0")

    monkeypatch.setattr(ray, "init", init)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = command("run", "play.py:Cascades", "--on", "ray", "--ray-address", address, "--out", "cut")
    assert done.code == 2
    assert "Version mismatch: The cluster was started with: Ray: 2.1.0" in done.err
    assert f"install here and there the same Python and Ray (here is {ray.__version__})" in done.err


def test_what_does_not_go_with_ray_is_refused(command: Any) -> None:
    Path("play.py").write_text(FILE)
    assert "'ray'" in command("run", "play.py:Cascades", "--on", "dask").err
    assert "goes with --on ray" in command("run", "play.py:Cascades", "--ray-address", "here:1").err
    assert command("run", "play.py:Cascades", "--on", "ray", "--out", "cut", "--shard", "1/2").code == 2
    assert command("run", "play.py:Cascades", "--out", "whole", "--quiet", *OPTIONS).code == 0
    assert "leave out --processes and --on" in command("run", "--resume", "whole", "--on", "ray").err


# On a real one


def started(program: str, out: str, *more: str) -> subprocess.Popen[str]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("NO RAY IS STARTED: the extra ray is not installed")
    words = ["play.py:Cascades", "--out", out, "--on", "ray", "--processes", "2", "--json", *OPTIONS]
    return subprocess.Popen(
        [sys.executable, "-c", program, "run", *words, "-S", "backend.latency_s=0.2", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def a_worker_of(driver: subprocess.Popen[str]) -> int:
    """Wait until a shard is played, and name the process that does."""
    while not (found := list(workers(driver.pid))):
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"the run ended with {driver.wait(0.05)} before it could be stopped")
    return found[0]


def workers(driver: int) -> Iterator[int]:
    """Name the processes that play a shard for a driver, which started Ray, which started them."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, *_ in rows}
    for pid, parent, *words in rows:
        if words and words[0].startswith("ray::play") and parents.get(int(parent)) == driver:
            yield int(pid)


@pytest.mark.slow
@pytest.mark.parametrize("program", [MAIN, UNSEEN])
def test_a_worker_that_is_killed_changes_nothing(command: Any, program: str) -> None:
    Path("play.py").write_text(FILE)
    playing = started(program, "cut")
    os.kill(a_worker_of(playing), signal.SIGKILL)
    out, told = playing.communicate()
    assert playing.returncode == 0, told
    assert "was lost" in told
    assert command("run", "play.py:Cascades", "--out", "whole", "--quiet", *OPTIONS).code == 0
    assert json.loads(out)["digest"] == Run("cut").digest() == Run("whole").digest()
    assert "damaged" not in command("verify", "cut").out
    assert {path.name for path in Path("cut").iterdir()} == {LOG_NAME, HASH_NAME, ".lock", "shards"}


@pytest.mark.slow
@pytest.mark.parametrize("program", [MAIN, UNSEEN])
def test_a_run_on_ray_is_stopped_and_gone_on_with_elsewhere(command: Any, program: str) -> None:
    Path("play.py").write_text(FILE)
    playing = started(program, "cut")
    a_worker_of(playing)
    playing.send_signal(signal.SIGINT)
    _, told = playing.communicate()
    assert playing.returncode == 130, told
    assert "resume with: agentnet run --resume cut --on ray" in told
    done = command("run", "--resume", "cut", "--json", "--quiet")
    assert done.code == 0, done.err
    assert command("run", "play.py:Cascades", "--out", "whole", "--quiet", *OPTIONS).code == 0
    assert json.loads(done.out)["digest"] == Run("whole").digest()


@pytest.mark.slow
def test_a_node_that_is_lost_changes_nothing(command: Any) -> None:
    """Two nodes of one cluster, which the driver is no parent of; it begins on both, and ends on one."""
    pytest.importorskip("ray", reason="NO RAY IS STARTED: the extra ray is not installed")
    from ray.cluster_utils import Cluster

    Path("play.py").write_text(FILE)
    of_each = {"num_cpus": 1, "object_store_memory": 1 << 27, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=of_each)
    try:
        node = cluster.add_node(**of_each)
        playing = started(MAIN, "cut", "--ray-address", cluster.address)
        while len(list(workers(os.getpid()))) < 2:
            with suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"the run ended with {playing.wait(0.05)} before a node could be lost")
        cluster.remove_node(node, allow_graceful=False)
        out, told = playing.communicate()
    finally:
        cluster.shutdown()
    assert playing.returncode == 0, told
    assert "was lost (NodeDiedError); its shard is played again" in told
    assert command("run", "play.py:Cascades", "--out", "whole", "--quiet", *OPTIONS).code == 0
    assert json.loads(out)["digest"] == Run("whole").digest()


PYTHON = """
import agentnet
how = dict(backend="mock", seed=7, settings={"log.parquet": False}, progress=False)
for name in ("Ratios", "Interviews"):
    run = agentnet.play(f"play.py:{name}", out=f"ray-{name}", on="ray", processes=2, **how)
    whole = agentnet.play(f"play.py:{name}", out=f"whole-{name}", **how)
    print(name, run.digest() == whole.digest())
"""


@pytest.mark.slow
def test_python_has_ray_play_what_is_no_cascade(begun: Path) -> None:
    pytest.importorskip(
        "ray", reason="NO RAY IS STARTED: the extra ray is not installed", exc_type=ImportError
    )
    done = subprocess.run([sys.executable, "-c", PYTHON], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["Ratios True", "Interviews True"], done.stderr
