"""Shards of a run, played apart and merged, decide what the run decides; what does not fit is refused."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agentnet
from agentnet import CascadeExperiment, Run
from agentnet.cli import on_jobs
from agentnet.cli.processes import play_one
from agentnet.config import EngineSettings, Settings, Shard, StackSettings
from agentnet.errors import ConfigurationError, RunStopped, StorageError, UserError
from agentnet.events import LOG_NAME
from agentnet.events.blocks import LAYOUTS
from agentnet.events.checksums import BY_REALIZATION, HASH_NAME, changed_tables, rows_hash
from agentnet.events.merge import merge_logs
from agentnet.events.opening import locked
from agentnet.events.read import connect_readonly
from agentnet.experiment import Source
from agentnet.runner.begin import begin_shards, recorded_settings
from agentnet.runner.shards import begun
from agentnet.voices import make_voices, parts_of, with_share

EXPERIMENTS = Path(__file__).parent.parent / "experiments"

FILE = """
from agentnet import CascadeExperiment, InterviewExperiment, ResponseRatioExperiment

class Cascades(CascadeExperiment):
    n_agents = 16
    degree = 4
    steps = 3
    repeats = 4
    items_per_severity = 1
    conditions = ({}, {"degree": 6})

class Reasons(Cascades):
    rationale = "afterwards"

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

SMALL = {"n_agents": 16, "degree": 4, "steps": 3, "items_per_severity": 1, "repeats": 2}
DESIGNS: dict[str, tuple[str, dict[str, Any]]] = {
    "cascades, choices": ("play.py:Cascades", {"sampler.mode": "choices", "rationale": "none"}),
    "cascades, logprobs": ("play.py:Cascades", {"sampler.mode": "logprobs", "rationale": "none"}),
    "cascades, reasons and troubles": (
        "play.py:Reasons",
        {"backend.invalid_rate": 0.2, "backend.refusal_rate": 0.1},
    ),
    "ratios, choices": ("play.py:Ratios", {"sampler.mode": "choices"}),
    "interviews": ("play.py:Interviews", {}),
    "told cascades": (str(EXPERIMENTS / "social_proof.py"), SMALL),
    "a free world": (str(EXPERIMENTS / "beliefs.py"), {"n_agents": 5, "repeats": 2, "steps": 3}),
    "voices": (str(EXPERIMENTS / "mixed_models.py"), SMALL),
}

Play = Callable[..., Any]


@pytest.fixture
def play(command: Callable[..., Any]) -> Play:
    """Play a design on the mock into a folder, by the command."""
    Path("play.py").write_text(FILE)

    def play(file: str, out: str, *more: object, **knobs: object) -> Any:
        set_to = {"log.parquet": "false", "log.group_s": 0.01, **knobs}
        options = [word for knob in set_to.items() for word in ("-S", "{}={}".format(*knob))]
        return command(
            "run", file, "--backend", "mock", "--seed", 7, "--out", out, "--quiet", *more, *options
        )

    return play


def play_shards(play: Play, file: str, out: str, n: int, **knobs: object) -> None:
    for number in range(1, n + 1):
        done = play(file, out, "--shard", f"{number}/{n}", **knobs)
        assert done.code == 0, done.err


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep what several tests begin with."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def cut(play: Play, kept: Path) -> Path:
    """Play a run in two shards."""
    if (kept / "cut").exists():
        shutil.copytree(kept / "cut", "cut")
    else:
        play_shards(play, "play.py:Cascades", "cut", 2)
        shutil.copytree("cut", kept / "cut")
    return Path("cut")


@pytest.fixture
def whole(play: Play, kept: Path) -> Run:
    """Play the same as one."""
    if (kept / "whole").exists():
        shutil.copytree(kept / "whole", "whole")
    else:
        assert play("play.py:Cascades", "whole").code == 0
        shutil.copytree("whole", kept / "whole")
    return Run("whole")


def spent(folder: str) -> dict[str, Any]:
    rows = Run(folder).rows("SELECT detail FROM incidents WHERE kind = 'spent' ORDER BY incident")[1]
    return json.loads(rows[-1][0])  # type: ignore[no-any-return]


WORDS = """
    SELECT realization, e.kind, step, agent, source, e.repeat, messages, text, rationale, decision, missing
    FROM events e LEFT JOIN prompts USING (prompt) LEFT JOIN replies USING (reply) ORDER BY 1, 2, 3, 4, 5, 6
"""
TROUBLES = """
    SELECT realization, kind, step, agent, source, repeat, trouble_kind, text FROM troubles
    ORDER BY 1, 2, 3, 4, 5, 6, trouble
"""


def test_shards_merged_are_the_run_played_as_one_however_many_there_are(
    play: Play, command: Any, whole: Run, cut: Path
) -> None:
    for n in (1, 8):
        play_shards(play, "play.py:Cascades", f"of-{n}", n)
    for folder in ("of-1", str(cut), "of-8"):
        assert command("merge", folder).out == f"digest {whole.digest()}\n"
        merged = Run(folder)
        assert merged.rows(WORDS) == whole.rows(WORDS)
        assert merged.rows("SELECT kind, messages, hash FROM prompts") == whole.rows(
            "SELECT kind, messages, hash FROM prompts"
        )
        assert spent(folder) == spent("whole")
        assert "damaged" not in command("verify", folder).out
        own = {"run", "created_at", "finished_at", "checksums"}
        assert {k: v for k, v in merged.meta.items() if k not in own} == {
            k: v for k, v in whole.meta.items() if k not in own
        }


@pytest.mark.parametrize("name", DESIGNS)
def test_shards_of_any_design_decide_what_the_run_decides(play: Play, command: Any, name: str) -> None:
    file, knobs = DESIGNS[name]
    assert play(file, "whole", **knobs).code in {0, 5}
    play_shards(play, file, "cut", 2, **knobs)
    # Too many may be missing in the whole; no shard says so of itself.
    assert command("merge", "cut").code in {0, 5}
    assert Run("cut").digest() == Run("whole").digest()
    assert Run("cut").rows(WORDS) == Run("whole").rows(WORDS)
    assert "damaged" not in command("verify", "cut").out
    assert Run("cut").rows(TROUBLES) == Run("whole").rows(TROUBLES)
    # What draws share is asked for once a shard: in shards of whole items, as often as in one.
    assert spent("cut")["calls"] == spent("whole")["calls"]


@pytest.mark.slow
def test_64_shards_merged_are_the_run_played_as_one(play: Play, command: Any) -> None:
    assert play("play.py:Cascades", "whole", repeats=16).code == 0
    play_shards(play, "play.py:Cascades", "cut", 64, repeats=16)
    assert command("merge", "cut").out == f"digest {Run('whole').digest()}\n"


# Killed


def begin(out: str, shard: str, *more: str, which: str = "Cascades") -> subprocess.Popen[Any]:
    words = [
        f"play.py:{which}",
        "--backend",
        "mock",
        "--seed",
        "7",
        "--out",
        out,
        "--quiet",
        "--shard",
        shard,
    ]
    knobs = ["log.parquet=false", "log.group_s=0.01", "repeats=2", "backend.latency_s=0.02"]
    options = [word for knob in knobs for word in ("-S", knob)]
    return subprocess.Popen(
        [sys.executable, "-c", "from agentnet.cli import main; main()", "run", *words, *options, *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_shards_killed_at_some_moment_go_on_by_the_command_that_began_them(
    play: Play, command: Any, wait_for_events: Any
) -> None:
    knobs = {"repeats": 2, "backend.latency_s": 0.02}
    killed = begin("cut", "2/2")
    wait_for_events(Path("cut/shards/2-of-2"), killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert "crashed" in command("show", "cut").out
    refused = command("merge", "cut")
    assert refused.code == 2
    assert "shard 1/2 was not begun; shard 2/2 is not finished" in refused.err
    play_shards(play, "play.py:Cascades", "cut", 2, **knobs)
    assert command("merge", "cut").code == 0
    play("play.py:Cascades", "whole", **knobs)
    assert Run("cut").digest() == Run("whole").digest()
    # What was in flight as it was killed is asked again, and nothing else.
    in_flight = 32
    assert 0 <= spent("cut")["calls"] - spent("whole")["calls"] <= in_flight


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "which", "knobs"),
    [
        *((seed, "Cascades", {}) for seed in range(4)),
        (4, "Ratios", {"items_per_severity": 4}),
        # Their usual update rule asks no backend, and ends before anybody kills it.
        (5, "Interviews", {"update": "memory", "repeats": 20}),
    ],
)
def test_shards_killed_over_and_over_end_as_the_run(
    play: Play, command: Any, seed: int, which: str, knobs: dict[str, Any]
) -> None:
    set_here = [f"{name}={value}" for name, value in {"engine.workers": 8, **knobs}.items()]
    chance, more = random.Random(seed), [word for each in set_here for word in ("-S", each)]
    n_kills = 0
    for number in range(1, 5):
        while True:
            playing = begin("cut", f"{number}/4", *more, which=which)
            try:
                # On a busy machine nothing has begun after a few seconds: patience grows.
                assert playing.wait(chance.uniform(0.5, 1.5 + n_kills)) == 0
                break
            except subprocess.TimeoutExpired:
                playing.kill()
                playing.wait()
                n_kills += 1
    assert n_kills > 0
    assert command("merge", "cut").code == 0
    play(f"play.py:{which}", "whole", **{"repeats": 2, **knobs, "backend.latency_s": 0.02})
    assert Run("cut").digest() == Run("whole").digest()


def killed_merge(call: str, when: int) -> None:
    if shutil.which("strace") is None:
        pytest.skip("NO MERGE IS KILLED AT ITS SYSTEM CALLS: strace is not installed")
    inject = f"inject={call}:signal=KILL:when={when}"
    command = ["strace", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]
    done = subprocess.run(
        [*command, sys.executable, "-c", "from agentnet.cli import main; main()", "merge", "cut"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "PTRACE" in done.stderr:
        pytest.skip(f"NO MERGE IS KILLED AT ITS SYSTEM CALLS: {done.stderr.strip()}")
    assert done.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "when"),
    [
        ("rename", 1),
        *(("pwrite64", when) for when in (1, 30, 60)),
        ("fsync", 1),
    ],
)
def test_a_merge_that_was_killed_left_no_log_and_is_run_again(
    cut: Path, command: Any, whole: Run, call: str, when: int
) -> None:
    killed_merge(call, when)
    assert not (cut / LOG_NAME).exists()
    assert command("merge", cut).code == 0
    assert Run(cut).digest() == whole.digest()
    assert {path.name for path in cut.iterdir()} == {LOG_NAME, HASH_NAME, ".lock", "shards"}


# By processes


def started(out: str, *more: str) -> subprocess.Popen[Any]:
    words = ["play.py:Cascades", "--backend", "mock", "--seed", "7", "--out", out, "--processes", "2"]
    knobs = ["log.parquet=false", "log.group_s=0.01", "repeats=2", "backend.latency_s=0.05"]
    options = [word for knob in knobs for word in ("-S", knob)]
    return subprocess.Popen(
        [sys.executable, "-c", "from agentnet.cli import main; main()", "run", *words, *options, *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_processes_stop_with_the_one_that_started_them_and_go_on_to_the_run(
    play: Play, command: Any, wait_for_events: Any, number: signal.Signals
) -> None:
    playing = started("cut")
    wait_for_events(Path("cut/shards/1-of-8"), playing)
    playing.send_signal(number)
    # Whoever has its standard error open reads to the end of the last of them.
    _, told = playing.communicate()
    assert playing.returncode == (130 if number == signal.SIGINT else -number)
    assert number == signal.SIGKILL or "resume with: agentnet run --resume cut" in told
    assert "Traceback" not in told
    # On a busy machine what was in flight may have been the end of all that had begun.
    assert "crashed" not in command("show", "cut").out
    done = command("run", "--resume", "cut", "--json", "--quiet")
    assert done.code == 0, done.err
    play("play.py:Cascades", "whole", repeats=2, **{"backend.latency_s": 0.05})
    assert json.loads(done.out)["digest"] == Run("whole").digest() == Run("cut").digest()
    assert spent("cut") == spent("whole")
    assert json.loads(done.out)["decisions"] == len(Run("whole").frame("decisions"))


@pytest.fixture
def begun_together(play: Play) -> Path:
    """Begin a run by processes, and give the folder of its first shard."""
    settings = Settings.model_validate({"backend": {"name": "mock"}, "log": {"parquet": False}})
    begin_shards(Source.read("play.py:Cascades"), settings, {}, Path("cut"), 1, say=print)
    return min(Path("cut/shards").iterdir())


def test_a_shard_that_processes_began_and_that_is_gone_is_to_be_put_back(
    begun_together: Path, command: Any
) -> None:
    shutil.rmtree(begun_together)
    refused = command("merge", "cut")
    assert refused.code == 2
    # Nothing begins it anew: not what goes on with the others either.
    assert "begun with the other shards is gone (1/4): put it back into cut/shards" in refused.err
    assert "--resume" not in refused.err


def test_a_process_whose_parent_was_killed_ends_without_a_trace(begun_together: Path) -> None:
    first, settings = begun_together, recorded_settings(Run(begun_together))
    order = json.dumps({"shard": str(first), "settings": settings.to_json()})
    reading, writing = os.pipe()
    os.close(reading)
    work = [sys.executable, "-c", "from agentnet.cli.processes import work; work()"]
    try:
        done = subprocess.run(
            work, input=f"{order}\n", stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_left_of_shards_is_played_by_processes_that_are_asked_for_whatever_is_printed_there(
    play: Play, command: Any, whole: Run
) -> None:
    Path("play.py").write_text(FILE.replace("class Cascades", "print('loud')\nclass Cascades"))
    for shard, code in ("1/2", 0), ("2/2", 3):
        done = play("play.py:Cascades", "cut", "--shard", shard, "--max-calls", 1000 if code == 0 else 20)
        assert done.code == code, done.err
    refused = command("run", "--resume", "cut", "--max-calls", 1000)
    assert refused.code == 2
    assert "say by how many processes: --processes N" in refused.err
    done = command("run", "--resume", "cut", "--processes", 4, "--max-calls", 1000)
    assert done.code == 0, done.err
    assert Run("cut").digest() == whole.digest()


def test_what_stops_one_process_stops_the_run_in_words(play: Play, command: Any) -> None:
    done = play("play.py:Cascades", "cut", "--processes", 2, "--max-calls", 80)
    assert done.code == 3
    refused = command("merge", "cut").err
    assert re.search(
        r"shards 1/8, 2/8, .* are not finished\. Play what is left: agentnet run --resume cut$", refused
    )
    refused = play("play.py:Cascades", "cut", "--processes", 2).err
    assert "see how to go on with that: agentnet run --resume cut" in refused
    assert "which has its share of all bounds: the budget is used up: " in done.err
    assert "resume with: agentnet run --resume cut" in done.err


def test_python_has_processes_play_a_run_and_goes_on_with_what_they_left(play: Play) -> None:
    settings = {"log.parquet": False, "repeats": 1}
    how: dict[str, Any] = {"backend": "mock", "seed": 7, "settings": settings, "progress": False}
    how["out"] = "cut"
    run = agentnet.play("play.py:Cascades", processes=2, **how)
    assert play("play.py:Cascades", "whole", repeats=1).code == 0
    assert run.digest() == Run("whole").digest()
    (run.folder / LOG_NAME).unlink()
    again = agentnet.play("play.py:Cascades", processes=2, resume=True, **how)
    assert again.digest() == run.digest()
    assert agentnet.play("play.py:Cascades", processes=2, resume=True, **how).digest() == run.digest()
    with pytest.raises(UserError, match="another folder by out="):
        agentnet.play("play.py:Reasons", processes=2, resume=True, **how)

    class Held(CascadeExperiment):
        network: object = object()

    with pytest.raises(UserError, match="leave out processes= and on="):
        agentnet.play(Held(), processes=2)
    with pytest.raises(UserError, match="leave out processes= and on="):
        agentnet.play(run, processes=2)
    with pytest.raises(UserError, match="on 'dask'; known: ray, and executors of submitit"):
        agentnet.play("play.py:Cascades", on="dask")
    with pytest.raises(UserError, match="goes with on="):
        agentnet.play("play.py:Cascades", ray_address="here:1")


class Lost:
    """Stands in for an executor of jobs: they all are gone."""

    job_id = 7

    def map_array(self, function: object, parts: list[object]) -> list[Lost]:
        return [self for _ in parts]

    def awaitable(self) -> Lost:
        return self

    async def result(self) -> object:
        raise OSError("preempted")

    def cancel(self, *, check: bool) -> None:
        assert not check


def test_a_job_that_is_lost_stops_the_run_which_others_go_on_with(play: Play) -> None:
    settings = {"log.parquet": False, "repeats": 1}
    how: dict[str, Any] = {
        "backend": "mock",
        "seed": 7,
        "settings": settings,
        "progress": False,
        "out": "cut",
    }
    with pytest.raises(RunStopped, match=r"job 7 was lost \(OSError: preempted\)"):
        agentnet.play("play.py:Cascades", on=Lost(), processes=2, **how)
    shards = sorted(Path("cut/shards").iterdir())
    run = Run(shards[0])
    told = on_jobs.play(shards[:2], settings=json.dumps(run.meta["settings"]), cwd=Path.cwd())
    assert [(shard, how) for shard, how, _ in told] == [(shard, None) for shard in shards[:2]]
    assert told[0][2]["n_decisions"] == len(run.frame("decisions"))
    run = agentnet.play("play.py:Cascades", processes=2, resume=True, **how)
    assert play("play.py:Cascades", "whole", repeats=1).code == 0
    assert run.digest() == Run("whole").digest()


class Beside:
    """Stands in for an executor: its one job plays all shards here, and ends once that was seen."""

    job_id = 8
    crew: on_jobs.OnJobs
    shards: list[Path]

    def map_array(self, function: object, parts: list[list[Path]]) -> list[Beside]:
        (self.shards,) = parts
        return [self]

    def awaitable(self) -> Beside:
        return self

    async def result(self) -> on_jobs.Told:
        for shard in self.shards:
            await play_one(shard, self.crew.settings, os.environ, asyncio.Event().wait(), lambda *_: None)
        async with asyncio.timeout(30):
            while self.crew.tally.realizations < 16:  # noqa: ASYNC110 - nothing tells of a look
                await asyncio.sleep(0.01)
        return [(shard, None, None) for shard in self.shards]

    def cancel(self, *, check: bool) -> None:
        assert not check


def test_what_is_open_elsewhere_is_not_left_to_other_machines(begun_together: Path) -> None:
    settings = recorded_settings(Run(begun_together))
    with locked(begun_together), pytest.raises(UserError, match="another process is playing this run"):
        on_jobs.OnJobs(Path("cut"), settings, print, Lost())
    open_elsewhere = closing(connect_readonly(begun_together / LOG_NAME))
    with open_elsewhere, pytest.raises(StorageError, match="go on by: agentnet run --resume cut"):
        on_jobs.OnJobs(Path("cut"), settings, print, Lost())
    on_jobs.OnJobs(Path("cut"), settings, print, Lost())


def test_how_far_jobs_are_is_read_from_the_logs_that_they_write(play: Play, whole: Run) -> None:
    how: dict[str, Any] = {"backend": "mock", "seed": 7, "settings": {"log.parquet": False}, "out": "cut"}
    with pytest.raises(RunStopped, match="was lost"):
        agentnet.play("play.py:Cascades", on=Lost(), progress=False, **how)
    executor = Beside()
    settings = Settings.from_json(json.dumps(whole.meta["settings"]))
    crew = executor.crew = on_jobs.OnJobs(Path("cut"), settings, print, executor)
    asyncio.run(crew.play(1, every_s=0.01))
    # Their machines share no memory with the one that reads them.
    modes = "SELECT DISTINCT detail FROM incidents WHERE kind = 'started'"
    for shard in executor.shards:
        assert Run(shard).rows(modes)[1] == [('{"journal_mode": "delete"}',)]
    ((n, n_calls, n_tokens),) = whole.rows(
        "SELECT COUNT(*), SUM(attempts), SUM(prompt_tokens + completion_tokens) FROM events"
    )[1]
    tally = crew.tally
    assert (tally.n_decisions, tally.n_settled, tally.n_calls) == (n, n, n_calls)
    assert tally.prompt_tokens + tally.completion_tokens == n_tokens


@pytest.mark.slow
def test_jobs_of_submitit_play_a_run(play: Play, whole: Run) -> None:
    submitit = pytest.importorskip("submitit", reason="the extra submitit is not installed")
    how: dict[str, Any] = {
        "backend": "mock",
        "seed": 7,
        "settings": {"log.parquet": False},
        "progress": False,
    }
    executor = submitit.LocalExecutor("jobs")
    run = agentnet.play("play.py:Cascades", on=executor, processes=2, out="cut", **how)
    assert run.digest() == whole.digest()


def test_processes_that_cannot_be_are_refused(play: Play, command: Any) -> None:
    done = play("play.py:Cascades", "cut", "--processes", 2, "-S", "engine.workers=1")
    assert "engine.workers = 1 cannot be shared by 2 shards" in done.err
    assert not Path("cut/shards").exists()
    play("play.py:Cascades", "whole", repeats=1)
    assert "leave out --processes" in command("run", "--resume", "whole", "--processes", 2).err
    assert play("play.py:Cascades", "cut", "--processes", 2, "--shard", "1/2").code == 2


# By Slurm; on a real one: tests/slurm


def instead(monkeypatch: pytest.MonkeyPatch, **programs: str) -> None:
    """Put programs of the shell in the place of others."""
    Path("bin").mkdir()
    for name, text in programs.items():
        Path("bin", name).write_text(f"#!/bin/sh\n{text}\n")
        Path("bin", name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path('bin').absolute()}:{os.environ['PATH']}")


def test_what_slurm_is_given_plays_a_task_a_shard_and_goes_on(
    play: Play, command: Any, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program in the place of sbatch keeps what it is given, and a task is played of that."""
    Path("play.py").write_text(FILE)
    knobs = ("-S", "log.parquet=false", "--seed", 7, "--backend", "mock")
    done = command("slurm", "play.py:Cascades", "--shards", 2, "--out", "my cut", "--time", "01:00", *knobs)
    assert done.code == 0, done.err
    assert "#SBATCH --time=01:00" in done.out
    # A federation of clusters names the one that took the job.
    takes = 'echo "$@" >> asked; cat > job-$(wc -l < asked); echo "$(wc -l < asked);east"'
    instead(monkeypatch, sbatch=takes)
    submitted = command("slurm", "play.py:Cascades", "--shards", 2, "--out", "my cut", *knobs, "--submit")
    assert submitted.out == "shards: job 1; log and report: job 2\n"
    assert Path("asked").read_text().splitlines() == [
        "--parsable",
        "--parsable --dependency=afterany:1",
    ]
    environ = os.environ | {"SLURM_ARRAY_TASK_ID": "2"}
    task = subprocess.run(["bash", "job-1"], env=environ, capture_output=True, text=True, check=False)
    assert task.returncode == 0, task.stderr
    assert [path.name for path in Path("my cut/shards").iterdir()] == ["2-of-2"]
    play("play.py:Cascades", "my cut", "--shard", "1/2")
    assert "agentnet merge 'my cut'" in Path("job-2").read_text()
    assert command("merge", "my cut").out == f"digest {whole.digest()}\n"


def test_where_there_is_no_slurm_it_says_so(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("play.py").write_text(FILE)
    monkeypatch.setenv("PATH", "")
    done = command("slurm", "play.py:Cascades", "--shards", 2, "--submit")
    assert done.code == 2
    assert "there is no Slurm here (no program sbatch)" in done.err
    assert command("slurm", "play.py:Cascades", "--shards", 99).code == 2


def test_where_slurm_takes_no_job_that_merges_it_is_to_take_no_shards_either(
    play: Play, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes = 'case "$*" in *--dependency=*) echo too many jobs >&2; exit 1;; esac; echo 41'
    instead(monkeypatch, sbatch=takes, scancel='echo "$@" > cancelled')
    done = command("slurm", "play.py:Cascades", "--shards", 2, "--submit")
    assert done.code == 3
    assert "Slurm took no jobs: too many jobs" in done.err
    assert Path("cancelled").read_text() == "41\n"


def test_a_run_that_is_merged_is_not_submitted(command: Any, whole: Run) -> None:
    done = command("slurm", "play.py:Cascades", "--shards", 2, "--out", whole.folder)
    assert done.code == 2
    assert "holds a whole run already" in done.err


@pytest.mark.slow
def test_shards_are_played_and_merged_on_a_disk_that_refuses_write_ahead(play: Play, command: Any) -> None:
    Path("disk").mkdir()
    Path("mounted").mkdir()
    # Without its cache the file in user space cannot be mapped into memory that processes share.
    mount = ["bindfs", "-o", "direct_io", "disk", "mounted"]
    if shutil.which("bindfs") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NO DISK REFUSES WRITE-AHEAD HERE: bindfs is not installed, or may not mount")
    try:
        play_shards(play, "play.py:Cascades", "mounted/cut", 2)
        assert command("merge", "mounted/cut").code == 0
        modes = Run("mounted/cut").rows("SELECT DISTINCT detail FROM incidents WHERE kind = 'started'")[1]
        assert modes == [('{"journal_mode": "delete"}',)]
        play("play.py:Cascades", "mounted/whole")
        assert Run("mounted/whole").rows("SELECT detail FROM incidents WHERE kind = 'started'")[1] == modes
        play("play.py:Cascades", "whole")
        assert Run("mounted/cut").digest() == Run("mounted/whole").digest() == Run("whole").digest()
    finally:
        subprocess.run(["umount", "mounted"], check=True)


# What a run that was played in shards is


def test_a_merged_run_is_merged_already(cut: Path, command: Any) -> None:
    first = command("merge", cut)
    again = command("merge", cut)
    assert (again.code, again.out) == (0, first.out)
    assert "is one log already" in again.err
    # Shards may be removed, and are not missed.
    shutil.rmtree(cut / "shards")
    assert command("merge", cut).code == 0
    assert command("show", cut).code == 0


def test_what_was_not_played_in_shards_is_not_merged(cut: Path, command: Any, whole: Run) -> None:
    for folder in (whole.folder, cut / "shards" / "1-of-2"):
        refused = command("merge", folder)
        assert refused.code == 2
        assert f"{folder} is no run that was played in shards: there is nothing to merge" in refused.err


def test_of_two_merges_at_once_one_makes_the_log(cut: Path, command: Any, whole: Run) -> None:
    """What the other finds once it has looked at all shards, and waited for its turn."""
    shards, meta = begun(cut), whole.meta
    command("merge", cut)
    before = (cut / LOG_NAME).read_bytes()
    with pytest.raises(UserError, match="cut: somebody else made one log of its shards meanwhile"):
        merge_logs(shards, cut, meta)
    assert (cut / LOG_NAME).read_bytes() == before


def test_a_shard_that_was_gone_on_with_once_it_was_looked_at_is_not_merged(cut: Path, whole: Run) -> None:
    shards, meta = begun(cut), whole.meta
    with closing(sqlite3.connect(cut / "shards" / "2-of-2" / LOG_NAME)) as connection, connection:
        connection.execute("UPDATE meta SET value = '5.0' WHERE key = 'finished_at'")
    with pytest.raises(UserError, match="2-of-2 is not finished, or was gone on with meanwhile"):
        merge_logs(shards, cut, meta)
    assert not (cut / LOG_NAME).exists()


def test_a_merge_without_room_says_so_and_leaves_the_shards(cut: Path, command: Any) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, usual[1]))
    try:
        done = command("merge", cut)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert done.code == 3
    assert "cut: no log could be made of its shards, which are as they were (" in done.err
    assert [path.name for path in cut.iterdir() if path.name != ".lock"] == ["shards"]
    assert command("merge", cut).code == 0


def test_the_log_of_a_shard_needs_no_memory_that_machines_would_have_to_share(
    cut: Path, play: Play, whole: Run
) -> None:
    """SQLite's write-ahead log does; shards are played where other machines look at them."""
    modes = "SELECT detail FROM incidents WHERE kind = 'started'"
    assert whole.rows(modes)[1] == [('{"journal_mode": "wal"}',)]
    assert Run(cut / "shards" / "1-of-2").rows(modes)[1] == [('{"journal_mode": "delete"}',)]


def test_a_log_that_was_not_made_of_the_shards_is_kept(cut: Path, command: Any, whole: Run) -> None:
    shutil.copy(whole.folder / LOG_NAME, cut / LOG_NAME)
    refused = command("merge", cut)
    assert refused.code == 2
    assert "was not made of the shards in it" in refused.err


def test_an_unmerged_run_is_listed_shown_and_not_read(cut: Path, command: Any) -> None:
    (row,) = json.loads(command("ls", "--json", "-S", "runs=.").out)
    assert (row["run"], row["status"]) == ("cut", "2 shards, all finished: merge them")
    assert row["realizations"] == "16/16"
    shutil.rmtree(cut / "shards" / "2-of-2")
    shown = json.loads(command("show", cut, "--json").out)
    assert shown["status"] == "2 shards: 1 finished, 1 not begun"
    assert [(shard["run"], shard["realizations"]) for shard in shown["shards"]] == [("1-of-2", "8/8")]
    for words in (
        ("report", cut),
        ("fit", cut),
        ("verify", cut),
        ("query", cut, "SELECT 1"),
        ("show", "last"),
    ):
        done = command(*words, *(("-S", "runs=.") if words[0] == "show" else ()))
        assert done.code == (0 if words[0] == "show" else 2), words
        assert words[0] == "show" or "agentnet merge cut" in done.err
    with pytest.raises(UserError, match="agentnet merge"):
        Run(cut)


@pytest.mark.slow
def test_a_probe_of_a_shard_has_the_bounds_that_it_was_given(cut: Path, command: Any) -> None:
    done = command("probe", cut / "shards" / "1-of-2", "--max-calls", 4, "--check", "formats", "--quiet")
    assert "would go over 4;" in done.err


def test_parquet_files_are_those_of_the_whole(play: Play, command: Any) -> None:
    play_shards(play, "play.py:Cascades", "cut", 2, **{"log.parquet": "true"})
    assert not list(Path("cut").rglob("*.parquet"))
    command("merge", "cut")
    assert "parquet     ok" in command("verify", "cut").out


def test_a_shard_that_is_finished_says_so_and_is_no_failure(cut: Path, play: Play) -> None:
    done = play("play.py:Cascades", "cut", "--shard", "1/2")
    assert done.code == 0
    assert "shard 1/2 of cut is finished; all are: agentnet merge cut" in done.err


# What does not go together


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--shard", "5/4"), "there is no shard 5/4: 4 shards are 1/4 to 4/4"),
        (("--shard", "0/4"), "there is no shard 0/4"),
        (("--shard", "third"), "write which one of how many, such as 3/16"),
        (("--shard", "1/17"), "16 realizations cannot be shared by 17 shards: play 16 shards at most"),
        (("--shard", "1/4", "-S", "engine.workers=3"), "engine.workers = 3 cannot be shared by 4 shards"),
        (("--shard", "1/4", "--max-calls", "3"), "stack.max_calls = 3 cannot be shared by 4 shards"),
        (("--shard", "1/4", "--resume", "last"), "--shard goes with FILE and --out RUN"),
    ],
)
def test_a_shard_that_cannot_be_is_refused_before_anything_is_made(play: Play, words: Any, told: str) -> None:
    done = play("play.py:Cascades", "cut", *words)
    assert done.code == 2
    assert told in done.err
    assert not list(Path("cut").rglob(LOG_NAME))


@pytest.mark.parametrize(
    ("file", "words", "told"),
    [
        ("play.py:Cascades", ("--shard", "2/3"), "2 shards and not 3"),
        ("play.py:Cascades", ("--shard", "2/2", "--seed", "8"), "seed 7 and not 8"),
        ("play.py:Reasons", ("--shard", "2/2"), "other experiment (class_name"),
        (
            "play.py:Cascades",
            ("--shard", "2/2", "-S", "sampler.mode=choices"),
            "other settings (sampler.mode)",
        ),
    ],
)
def test_a_shard_of_another_run_is_refused_as_it_begins(
    cut: Path, play: Play, file: str, words: Any, told: str
) -> None:
    shutil.rmtree(cut / "shards" / "2-of-2")
    done = play(file, "cut", *words)
    assert done.code == 2
    assert told in done.err
    assert [path.name for path in (cut / "shards").iterdir()] == ["1-of-2"]


def spoil(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / LOG_NAME)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def change(folder: Path, *statements: str) -> None:
    spoil(folder, "DELETE FROM meta WHERE key IN ('digest', 'checksums')", *statements)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE meta SET value = '[\"x\"]' WHERE key = 'prompts_hash'", "prompts_hash"),
        (
            "UPDATE meta SET value = json_set(value, '$.numpy', '1.0') WHERE key = 'versions'",
            "other versions (numpy)",
        ),
        ("UPDATE prompts SET hash = 'x'", "other prompts than the shards before it"),
        ("UPDATE news SET text = 'x'", "other news than the shards before it"),
        ("UPDATE meta SET value = '\"running\"' WHERE key = 'status'", "shard 2/2 is not finished"),
        ("UPDATE realizations SET realization = 0 WHERE realization = 1", "rows that another shard has, too"),
    ],
)
def test_shards_that_do_not_go_together_are_not_merged(
    cut: Path, command: Any, statement: str, told: str
) -> None:
    change(cut / "shards" / "2-of-2", statement)
    done = command("merge", cut)
    assert done.code == 2
    assert told in done.err
    assert not (cut / LOG_NAME).exists()
    assert not (cut / ".merging").exists()


def test_machines_of_other_kernels_play_shards_of_one_run(cut: Path, command: Any) -> None:
    change(
        cut / "shards" / "2-of-2",
        "UPDATE meta SET value = json_set(value, '$.platform', 'another') WHERE key = 'versions'",
        "UPDATE meta SET value = json_set(value, '$.engine.workers', 3) WHERE key = 'settings'",
        "UPDATE meta SET value = json_set(value, '$.path', '/elsewhere.py') WHERE key = 'experiment'",
    )
    assert command("merge", cut).code == 0


def test_a_shard_that_was_damaged_is_not_merged(cut: Path, command: Any) -> None:
    with closing(sqlite3.connect(cut / "shards" / "2-of-2" / LOG_NAME)) as connection, connection:
        connection.execute("UPDATE events SET decision = 1 - decision")
    done = command("merge", cut)
    assert done.code == 2
    assert "2-of-2/events.sqlite is damaged" in done.err


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE events SET latency_s = latency_s + 1 WHERE realization = 3 AND step = 0", "events"),
        ("UPDATE events SET reply = reply + 1 WHERE realization = 3 AND step = 1", "events"),
        ("DELETE FROM agents WHERE realization = 2 AND agent = 7", "agents"),
        ("INSERT INTO steps VALUES (99, 0, 0, 0, 0, 0, 0, 0)", "steps"),
        ("UPDATE realizations SET last_step = 7 WHERE realization = 3", "realizations"),
        ("UPDATE replies SET text = 'yes'", "replies"),
    ],
)
def test_what_changes_in_a_merged_log_is_found_and_named(
    cut: Path, command: Any, statement: str, table: str
) -> None:
    command("merge", cut)
    assert changed_tables(Run(cut)) == []
    assert (cut / HASH_NAME).is_file()
    spoil(cut, statement)
    assert changed_tables(Run(cut)) == [table]
    assert "is damaged" in command("report", cut).err


@pytest.mark.parametrize("shards", [["1-of-2"], ["1-of-2", "2-of-2"]])
def test_shards_that_older_versions_hashed_row_by_row_are_merged_and_what_changes_is_found(
    cut: Path, command: Any, shards: list[str]
) -> None:
    for shard in shards:
        run = Run(cut / "shards" / shard)
        checksums = run.meta["checksums"]
        for table in LAYOUTS:
            checksums["tables"][table] = rows_hash([run.rows(f"SELECT * FROM {table}")[1]])
        spoil(run.folder, f"UPDATE meta SET value = '{json.dumps(checksums)}' WHERE key = 'checksums'")
        assert changed_tables(Run(run.folder)) == []
    command("merge", cut)
    assert changed_tables(Run(cut)) == []
    spoil(cut, "UPDATE events SET attempts = 7 WHERE step = 0 AND realization = 3")
    assert changed_tables(Run(cut)) == ["events"]


def test_what_a_merged_log_keeps_of_itself_is_what_its_shards_kept_or_what_its_rows_are(
    cut: Path, command: Any
) -> None:
    shutil.copytree(cut, "other")
    for shard in Path("other").glob("shards/*"):
        change(shard)
    kept = []
    for folder in (str(cut), "other"):
        command("merge", folder)
        kept.append(Run(folder).meta["checksums"])
        assert changed_tables(Run(folder)) == []
    of_rows = [{table: each["tables"][table] for table in BY_REALIZATION} for each in kept]
    assert of_rows[0] == of_rows[1]
    assert [part[:3] for part in kept[0]["parts"]] == [[0, 15, 2], [1, 16, 2]]


def test_nothing_is_merged_while_a_shard_is_played(cut: Path, command: Any) -> None:
    shard = cut / "shards" / "2-of-2"
    with locked(shard):
        done = command("merge", cut)
    assert done.code == 2
    assert f"{shard}: another process is playing this run; wait for it, or stop it" in done.err
    assert command("merge", cut).code == 0


def test_a_shard_that_is_played_is_not_begun_by_another_process(cut: Path, play: Play) -> None:
    change(cut / "shards" / "2-of-2", "UPDATE meta SET value = '\"running\"' WHERE key = 'status'")
    with locked(cut / "shards" / "2-of-2"):
        done = play("play.py:Cascades", str(cut), "--shard", "2/2")
    assert done.code == 2
    assert "another process is playing this run; wait for it, or stop it" in done.err
    assert "--resume" not in done.err


def test_a_run_is_played_as_one_or_in_shards(cut: Path, command: Any, play: Play) -> None:
    assert "cut holds shards of a run" in play("play.py:Cascades", "cut").err
    command("merge", cut)
    assert "cut holds a whole run already" in play("play.py:Cascades", "cut", "--shard", "1/2").err


def test_what_is_missing_is_asked_for_in_the_whole(play: Play, command: Any) -> None:
    file, knobs = DESIGNS["cascades, reasons and troubles"]
    play_shards(play, file, "cut", 2, **knobs)
    refused = command("run", "--resume", "cut/shards/1-of-2", "--ask-missing")
    assert refused.code == 2
    assert "have that ask what is missing" in refused.err
    assert command("merge", "cut").code == 5
    # The design of troubles, of which others compare what is reported, has some.
    assert Run("cut").rows("SELECT COUNT(*) FROM troubles")[1][0][0] > 10
    assert command("run", "--resume", "cut", "--ask-missing", "--quiet").code in {0, 5}


# Shares

counts = st.integers(0, 10_000)
amounts = st.floats(1e-6, 1e9)


@settings(max_examples=40)
@given(of=st.integers(1, 200), workers=counts, calls=counts, rate=amounts, cost=amounts)
def test_shares_add_up_to_the_whole_and_never_to_more(
    of: int, workers: int, calls: int, rate: float, cost: float
) -> None:
    stack = StackSettings(max_calls=calls, requests_per_minute=rate, max_cost=cost)
    whole = Settings(stack=stack, engine=EngineSettings(workers=max(workers, of)))
    if 0 < calls < of:
        with pytest.raises(ConfigurationError, match=f"max_calls = {calls} cannot be shared by {of} shards"):
            Shard(1, of).of_settings(whole)
        return
    shares = [Shard(number, of).of_settings(whole) for number in range(1, of + 1)]
    assert sum(share.stack.max_calls or 0 for share in shares) == calls
    assert sum(share.engine.workers for share in shares) == max(workers, of)
    for name, bound in (("requests_per_minute", rate), ("max_cost", cost)):
        total = sum(Fraction(getattr(share.stack, name)) for share in shares)
        assert Fraction(bound) * Fraction(1 - 1e-12) <= total <= Fraction(bound)


def test_a_voice_has_its_share_of_limits_of_its_own() -> None:
    limits = {"max_in_flight": 5, "requests_per_minute": 6.0}
    shares = [Shard(number, 3).of_voice("large", limits) for number in (1, 2, 3)]
    assert [share["max_in_flight"] for share in shares] == [2, 2, 1]
    assert shares[0]["requests_per_minute"] == pytest.approx(2.0)
    with pytest.raises(ConfigurationError, match=r"experiment.voices.large.max_in_flight = 5"):
        Shard(1, 6).of_voice("large", limits)


def test_the_voices_of_a_shard_have_their_shares() -> None:
    voices = {"large": {"max_in_flight": 6}, "stubborn": "rule"}
    whole = make_voices(Settings(), voices, {})
    parts = parts_of(with_share(whole, Shard(1, 3)))
    assert {voice: part.stack(StackSettings()).max_in_flight for voice, part in parts.items()} == {
        "": None,
        "large": 2,
    }
    assert with_share(whole, None) is whole


def test_the_in_flight_bounds_of_a_shard_are_in_order() -> None:
    stack = StackSettings(min_in_flight=3, start_in_flight=4, max_in_flight=4)
    whole = Settings(stack=stack)
    for number in range(1, 5):
        share = Shard(number, 4).of_settings(whole).stack
        assert (share.min_in_flight, share.start_in_flight, share.max_in_flight) == (1, 1, 1)
