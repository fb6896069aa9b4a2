"""Kill a run at its system calls, one after the other, and see that nothing is lost, wrong or locked.

    driver.py SCENARIOS JOURNAL FOLDER [--only CALL] [--sample N] [--seed S]

SCENARIOS are cascade, ratios, interviews, or designs of designs.toml, parted by commas; JOURNAL is wal, or
delete for a disk that knows no write-ahead. A run is played once in whole to count its calls that change what
is on the disk. Then it is played anew for each of them (or a sample), killed by strace at that call, looked
at and gone on with. Prints one line of JSON a kill.

Everything happens in forks of this process: importing agentnet takes longer than such a run.
"""

import argparse
import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from agentnet import Run
from agentnet.cli import main
from agentnet.events import LOG_NAME, verify
from agentnet.events.checksums import HASH_NAME

CALLS = (
    *("fdatasync", "fsync", "unlink", "unlinkat", "ftruncate", "rename", "renameat", "rmdir", "mkdir"),
    *("pwrite64",),
)

SCENARIOS = {
    "cascade": """
from agentnet import CascadeExperiment

class Killed(CascadeExperiment):
    items_per_severity = 1
    repeats = 1
    n_agents = 16
    degree = 4
    steps = 3
    rationale = "afterwards"
""",
    "ratios": """
from agentnet import ResponseRatioExperiment

class Killed(ResponseRatioExperiment):
    items_per_severity = 1
    repeats = 1
""",
    "interviews": """
from agentnet import InterviewExperiment

class Killed(InterviewExperiment):
    models = {"society": 2, "science": 2}
    n_evaluation = 3
    n_questions = 2
    n_taught = 4
    steps = 3
""",
}
HERE = Path(__file__).parent
DESIGNS = tomllib.loads((HERE / "designs.toml").read_text("utf-8"))
NEW = (
    *("--out", "run", "--quiet", "--backend", "mock", "--seed", "5"),
    *("-S", "engine.workers=4", "-S", "log.group_rows=5"),
)
SHARED = f"{LOG_NAME}-shm"


def run_command(*arguments: object) -> tuple[int, str]:
    """Run a command of agentnet in a fork; give its exit code and everything it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        _become(arguments)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def _become(arguments: tuple[object, ...]) -> None:
    """Be the command; never return."""
    sys.argv = ["agentnet", *map(str, arguments)]
    code = 1
    try:
        main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is told
        print(f"{type(error).__name__}: {error}", flush=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run_traced(strace: list[str], *arguments: object) -> int:
    """Run a command in a fork that strace has its hands on; give its exit code, or minus the signal."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        os.read(reading, 1)
        _become(arguments)
    os.close(reading)
    command = ["strace", "-f", "-p", str(child), *strace]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        told = tracer.stderr.readline()
        if "attached" not in told:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise SystemExit(f"strace cannot attach: {told}")
        os.write(writing, b"!")
        os.close(writing)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        tracer.stderr.read()
    return code


class Killing:
    """One scenario on one kind of disk.

    Args:
        scenario: Name of the scenario.
        journal: ``wal`` or ``delete``.
        folder: Where to work; made.
    """

    def __init__(self, scenario: str, journal: str, folder: Path) -> None:
        self.folder, self.run, self.journal = folder, folder / "run", journal
        folder.mkdir(parents=True)
        os.chdir(folder)
        self.new: tuple[object, ...] = ("run", "killed.py", *NEW)
        if scenario in DESIGNS:
            path = HERE.parents[1] / "experiments" / f"{scenario}.py"
            knobs = [word for knob in DESIGNS[scenario].items() for word in ("-S", "{}={}".format(*knob))]
            self.new = ("run", path, *NEW, *knobs)
        else:
            Path("killed.py").write_text(SCENARIOS[scenario])
        self.calls = self._whole()
        self.clean = Run(self.run).digest()

    def _begin(self) -> tuple[object, ...]:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        if self.journal == "delete":
            # SQLite cannot make the file that processes share where a folder of that name stands.
            (self.run / SHARED).mkdir(parents=True)
        return self.new

    def _whole(self) -> list[tuple[str, int]]:
        """Play the run in whole; list its calls: name, and which one of its thread it is."""
        assert run_traced(["-o", "trace", "-e", f"trace={','.join(CALLS)}"], *self._begin()) == 0
        found: Counter[tuple[str, str]] = Counter()
        for line in Path("trace").read_text().splitlines():
            call = re.match(r"(\d+) +(\w+)\(", line)
            if call:
                found[call.groups()] += 1
        most: Counter[str] = Counter()
        for (_, call), n in found.items():
            most[call] = max(most[call], n)
        return [(call, number) for call, n in sorted(most.items()) for number in range(1, n + 1)]

    def kill(self, call: str, number: int) -> dict[str, object]:
        """Kill the run at its `number`-th `call`, go on with it, and tell what came of it."""
        inject = f"inject={call}:signal=KILL:when={number}"
        code = run_traced(["-o", os.devnull, "-e", f"trace={call}", "-e", inject], *self._begin())
        left = sorted(path.name for path in self.run.glob("*"))
        shown, began = self._look()
        problems = list(self._problems(shown, began=began))
        killed = code == -signal.SIGKILL
        told = {"call": call, "number": number, "killed": killed, "left": left, "shown": shown}
        return {**told, "problems": problems}

    def _look(self) -> tuple[str, bool]:
        """See what the run is said to be, and whether there is something to go on with."""
        code, listed = run_command("ls", "--json", "-S", f"runs={self.folder}")
        states = [row["status"] for row in json.loads(listed)] if code == 0 and listed.startswith("[") else []
        code, _ = run_command("show", "run")
        return (states or ["nothing"])[0], code == 0

    def _problems(self, shown: str, *, began: bool) -> Iterator[str]:
        """Go on with the run; yield whatever is not as after a run in whole."""
        allowed = (
            ("crashed", "unstarted", "finished") if began else ("nothing", "unstarted: nothing was recorded")
        )
        if not shown.startswith(allowed) or "damaged" in shown:
            yield f"shown as {shown}"
        code, said = run_command(*(("run", "--resume", "run", "--quiet") if began else self.new))
        if code != 0 and "is finished; look at it with" not in said:
            yield f"gone on with: exit code {code}: {said[-500:]}"
            return
        run = Run(self.run)
        if run.digest() != self.clean:
            yield "another digest"
        yield from (f"{what}: {told}" for what, told in verify(run).items() if not told.startswith("ok"))
        own = {LOG_NAME, HASH_NAME, "parquet", ".lock", SHARED}
        beside = {path.name for path in self.run.glob("*")} - own
        if beside:
            yield f"left beside it: {sorted(beside)}"


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", type=lambda names: names.split(","))
    parser.add_argument("journal", choices=["wal", "delete"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=CALLS, help="Kill at calls of that name only.")
    parser.add_argument("--sample", type=int, help="So many of the calls, chosen by chance; default: all.")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    folder, chance = asked.folder.resolve(), random.Random(asked.seed)
    for scenario in asked.scenarios:
        with contextlib.redirect_stdout(io.StringIO()):
            killing = Killing(scenario, asked.journal, folder / scenario)
        calls = [call for call in killing.calls if asked.only in (None, call[0])]
        if asked.sample is not None:
            calls = chance.sample(calls, min(asked.sample, len(calls)))
        for call, number in calls:
            print(json.dumps({"scenario": scenario, **killing.kill(call, number)}), flush=True)


if __name__ == "__main__":
    _main()
