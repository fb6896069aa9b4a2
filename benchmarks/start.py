"""CPU of the command line: its list of commands, the list of three runs, and a report of `make run`'s runs.

Each command runs in a process of its own, threads and the end of the process included; bytecode is there, as
after any first use. Beside it stands Python that does nothing.

    python benchmarks/start.py [--turns 5] [--json]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from figures import by_turn, tell

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
AGENTNET = (sys.executable, "-c", "from agentnet.cli import main; main()")
RUNS = {"cascades": "news_cascade.py", "ratios": "response_ratios.py", "third": "news_cascade.py"}
REPORT = ("report", "runs/cascades", "runs/ratios", "--severity-clusters", "clusters.json", "--n-groups", "2")


def cpu_s(folder: Path, *command: str) -> float:
    """Measure the CPU seconds of a command."""
    # Python must be let keep what it compiles, or every command would compile all that it imports.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, env=environ, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(folder: Path) -> dict[str, float]:
    """Measure each command once."""
    return {
        "python -c pass: CPU s": cpu_s(folder, sys.executable, "-c", "pass"),
        "agentnet --help: CPU s": cpu_s(folder, *AGENTNET, "--help"),
        "agentnet ls, three runs: CPU s": cpu_s(folder, *AGENTNET, "ls"),
        "agentnet report, two runs: CPU s": cpu_s(folder, *AGENTNET, *REPORT, "--output", "report"),
    }


def main() -> None:
    """Play the runs, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed, (run, file) in enumerate(RUNS.items()):
            played = ("run", str(EXPERIMENTS / file), "--backend", "mock", "--out", f"runs/{run}")
            cpu_s(folder, *AGENTNET, *played, "--seed", str(seed))
        cpu_s(folder, *AGENTNET, "news", "cluster", "runs/ratios", "--out", "clusters.json")
        figures = by_turn(measure(folder) for _ in range(given.turns))
    if given.json:
        tell(figures)
        return
    for name, values in figures.items():
        print(f"{name:<35} {statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})")


if __name__ == "__main__":
    main()
