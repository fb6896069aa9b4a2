"""The three case studies of Helm et al. (2024) on the stand-in: findings, how sure they are, what they cost.

Each study's experiment file is played with many repeats at a trial's size, and its report's contrasts between
conditions are shown (`agentnet report` makes the same of any run, without this file):

1. disruption: once models hear only their nearest, they stay in several clusters, which agree more from step
   to step (ARI), and the iso-mirror moves less, than without a disruption;
2. adversary: the gap to the adversary at the end falls with the number of its targets and with the frequency
   of its attacks (Kendall's tau-b below 0, and above 0 with the steps from one attack to the next);
3. polarization: the gap of two classes grows if each hears its own alone, and does not if all hear all.

The answers come from small log-linear responders, not from a language model. CPU seconds hold everything:
playing, embedding, scaling, clusters, intervals; the limit they are set beside is 180.

    python benchmarks/studies.py [--repeats 20] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from figures import tell

LIMIT_CPU_S = 180.0
EXPERIMENTS = Path(__file__).parent.parent / "experiments"
STUDIES: dict[str, dict[str, int]] = {
    "disruption": {"n_evaluation": 10, "n_questions": 2, "n_taught": 5},
    "adversary": {"n_evaluation": 6, "n_questions": 4},
    "polarization": {"n_evaluation": 8, "n_questions": 4, "steps": 20},
}


@dataclass(frozen=True)
class Study:
    """What one study found.

    Attributes:
        name: Its experiment file's.
        label: What the results have to be called.
        contrasts: The report's.
        cpu_s: CPU seconds of run and report.
    """

    name: str
    label: str
    contrasts: list[dict[str, object]]
    cpu_s: float


def play(name: str, repeats: int, folder: Path) -> Study:
    """Play and report a study in processes of their own, with one thread each."""
    before = _cpu_of_children()
    run = folder / name
    knobs = [f"-S{key}={value}" for key, value in {**STUDIES[name], "repeats": repeats}.items()]
    _agentnet("run", str(EXPERIMENTS / f"{name}.py"), "--out", str(run), "-Slog.parquet=false", *knobs)
    _agentnet("report", str(run), "--output", str(folder / f"{name}-report"), "--no-figures", "-Edim=128")
    results = folder / f"{name}-report" / "results.json"
    (part,) = json.loads(results.read_text(encoding="utf-8"))["parts"]
    return Study(name, part["label"], part["contrasts"], _cpu_of_children() - before)


def _agentnet(*arguments: str) -> None:
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "import sys, agentnet.cli; sys.exit(agentnet.cli.main())", *arguments]
    subprocess.run(command, check=True, env={**os.environ, **threads}, stdout=sys.stderr)


def _cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    """Play the studies and show what they find."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studies = [play(name, options.repeats, Path(folder)) for name in STUDIES]
    total = sum(study.cpu_s for study in studies)
    if options.json:
        tell({f"{study.name}: CPU s": [study.cpu_s] for study in studies})
        return
    for study in studies:
        print(f"\n{study.name}: {study.cpu_s:.1f} s of CPU, {options.repeats} repeats; {study.label}")
        for each in study.contrasts:
            print(
                f"  {each['compared']}: {each['outcome']} {each['value']:.3f} "
                f"[{each['low']:.3f}, {each['high']:.3f}], p {each['p_value']:.4f}"
            )
    print(f"\n{total:.1f} s of CPU in all: {total / LIMIT_CPU_S:.2f} of the limit")


if __name__ == "__main__":
    main()
