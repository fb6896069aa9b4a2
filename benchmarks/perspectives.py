"""CPU seconds and peak memory of perspectives, beside the libraries one would otherwise take.

- study 1 (25 models, 51 evaluations, 400 prompts, 384 dimensions: 783 MB of replies): distances, scaling,
  clusters, iso-mirror and control chart, against scikit-learn's `ClassicalMDS` and scipy's `pdist` with an
  eigendecomposition, which find the coordinates only;
- 100,000 rows (1,000 models, 100 steps, 20 prompts, 64 dimensions), whose table of distances would take
  80 GB: `scale_rows` against scikit-learn's `IncrementalPCA`, both reading one block at a time;
- how often the control chart raises a false alarm, and how late it finds a jump; how often clusters are found
  where there are none.

Each case runs in a process of its own with one BLAS thread, imports and reading included. Replies lie in a
file, written before; memory is the process's own peak, without what the system caches of the file.

    python benchmarks/perspectives.py            # some minutes, 1.3 GB of disk and 4 GB of memory
    python benchmarks/perspectives.py --quick    # a tenth of the replies
    python benchmarks/perspectives.py --json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from figures import tell
from numpy.typing import NDArray

Shape = tuple[int, int, int, int]
"""Steps, models, prompts, dimensions."""
Array = NDArray[np.float64]

SHAPES: dict[str, Shape] = {"study 1": (51, 25, 400, 384), "100,000 rows": (100, 1_000, 20, 64)}
QUICK: dict[str, Shape] = {"study 1": (51, 25, 40, 384), "100,000 rows": (100, 100, 20, 64)}
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Replies:
    """A file of embedded replies."""

    path: Path
    shape: Shape

    def load(self, step: int) -> NDArray[np.float32]:
        """Read the block of a step."""
        size = int(np.prod(self.shape[1:]))
        block = np.fromfile(self.path, np.float32, size, offset=4 * size * step)
        return block.reshape(self.shape[1:])

    def rows(self) -> NDArray[np.float32]:
        """Read all replies as rows, as libraries want them."""
        n_steps, n_models, n_prompts, n_dims = self.shape
        return np.fromfile(self.path, np.float32).reshape(n_steps * n_models, n_prompts * n_dims)


def write(path: Path, shape: Shape) -> None:
    """Write unit vectors around what each prompt asks for, pulled to three ways of seeing it over time."""
    n_steps, n_models, n_prompts, n_dims = shape
    rng = np.random.default_rng(0)
    asked = rng.standard_normal((n_prompts, n_dims), dtype=np.float32)
    views = rng.standard_normal((3, n_prompts, n_dims), dtype=np.float32)
    pull = rng.dirichlet(np.ones(3), n_models).astype(np.float32)
    with path.open("wb") as file:
        for step in range(n_steps):
            noise = rng.standard_normal((n_models, n_prompts, n_dims), dtype=np.float32)
            replies = asked + np.tensordot(pull * (0.3 + step / n_steps), views, 1) + 0.5 * noise
            file.write((replies / np.linalg.norm(replies, axis=2, keepdims=True)).astype(np.float32).data)


def everything(replies: Replies) -> Array:
    """Do all that study 1 needs; return the eigenvalues."""
    from agentnet.analysis.perspectives import (
        classical_scaling,
        control_chart,
        find_clusters,
        iso_mirror,
        moves,
        squared_distances,
    )

    n_steps, n_models = replies.shape[:2]
    table = squared_distances(replies.load, n_steps)
    scaling = classical_scaling(table, 2)
    perspectives = scaling.by_step(n_models)
    find_clusters(perspectives)
    iso_mirror(perspectives)
    control_chart(n_steps - 1).read(moves(table, n_models).mean(axis=1))
    return scaling.eigenvalues


def coordinates(replies: Replies) -> Array:
    """Find the coordinates; return the eigenvalues."""
    from agentnet.analysis.perspectives import classical_scaling, squared_distances

    return classical_scaling(squared_distances(replies.load, replies.shape[0]), 2).eigenvalues


def growing(replies: Replies) -> Array:
    """Add each step by itself, as while a run goes on; return the eigenvalues of the last table."""
    from agentnet.analysis.perspectives import SquaredDistances, classical_scaling

    with SquaredDistances(replies.load) as distances:
        for step in range(replies.shape[0]):
            distances.append(replies.load(step))
        return classical_scaling(distances.table(), 2).eigenvalues


def sklearn_scaling(replies: Replies) -> Array:
    """Scale with scikit-learn."""
    from sklearn.manifold import ClassicalMDS

    return np.asarray(ClassicalMDS(n_components=2).fit(replies.rows()).eigenvalues_)


def scipy_scaling(replies: Replies) -> Array:
    """Compute distances with scipy, and decompose with LAPACK what is asked for."""
    from scipy.linalg import eigh
    from scipy.spatial.distance import pdist, squareform

    table = squareform(pdist(replies.rows(), "sqeuclidean"))
    means = table.mean(axis=1)
    centred = -0.5 * (table - means - means[:, None] + means.mean())
    n_rows = len(table)
    values = eigh(centred, eigvals_only=True, subset_by_index=[n_rows - 2, n_rows - 1])
    return np.asarray(values)[::-1]


def rows_scaling(replies: Replies) -> Array:
    """Scale rows block by block."""
    from agentnet.analysis.perspectives import scale_rows

    return scale_rows(replies.load, replies.shape[0], 2).eigenvalues


def incremental(replies: Replies) -> Array:
    """Find two components block by block, then the coordinates of all rows on them."""
    from sklearn.decomposition import IncrementalPCA

    steps, components = range(replies.shape[0]), IncrementalPCA(n_components=2)
    blocks = (replies.load(step).reshape(replies.shape[1], -1) for step in steps)
    for block in blocks:
        components.partial_fit(block)
    placed = [components.transform(replies.load(step).reshape(replies.shape[1], -1)) for step in steps]
    return (np.concatenate(placed).astype(np.float64) ** 2).sum(axis=0)


Solve = Callable[[Replies], Array]
CASES: dict[str, tuple[str, Solve]] = {
    "agentnet, all of study 1": ("study 1", everything),
    "agentnet, coordinates": ("study 1", coordinates),
    "agentnet, step by step": ("study 1", growing),
    "scikit-learn ClassicalMDS": ("study 1", sklearn_scaling),
    "scipy pdist + eigh": ("study 1", scipy_scaling),
    "agentnet scale_rows": ("100,000 rows", rows_scaling),
    "scikit-learn IncrementalPCA": ("100,000 rows", incremental),
}


@dataclass(frozen=True, slots=True)
class Line:
    """What one case took.

    Attributes:
        size: The size that was solved.
        name: Who solved it.
        cpu_s: CPU seconds of its process.
        peak_mib: Its largest resident memory.
        eigenvalues: What it found.
    """

    size: str
    name: str
    cpu_s: float
    peak_mib: float
    eigenvalues: tuple[float, ...]


def peak_mib() -> float:
    """Find this process's largest resident memory."""
    status = Path("/proc/self/status")
    if status.exists():  # the portable way counts what the parent held before this process began, too
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def solve(name: str, replies: Replies) -> Line:
    """Solve one case in this process."""
    size, way = CASES[name]
    found = way(replies)
    return Line(size, name, time.process_time(), peak_mib(), tuple(float(value) for value in found))


def measured(name: str, replies: Replies) -> Line | None:
    """Solve one case in another process; None, with a word on standard error, if it fails."""
    command = [sys.executable, __file__, "--case", name, str(replies.path), *map(str, replies.shape)]
    environment = os.environ | dict.fromkeys(THREADS, "1")
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        print(f"NOT MEASURED: {name} ({last[0]})", file=sys.stderr)
        return None
    return Line(**json.loads(done.stdout))


def all_lines(shapes: dict[str, Shape]) -> list[Line]:
    """Write the replies and solve all cases, one after the other."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for size, shape in shapes.items():
            replies = Replies(Path(folder) / "replies", shape)
            write(replies.path, shape)
            names = [name for name, case in CASES.items() if case[0] == size]
            found = [line for name in names if (line := measured(name, replies)) is not None]
            lines += found
            worst = max(np.abs(np.divide(line.eigenvalues, found[0].eigenvalues) - 1).max() for line in found)
            print(f"{size}: eigenvalues agree to {worst:.1e}", file=sys.stderr)
    return lines


def chart_rates(n_series: int) -> dict[str, float]:
    """Measure a chart of 50 values with a promised false-alarm rate of 0.05."""
    from scipy.signal import lfilter

    from agentnet.analysis.perspectives import control_chart

    chart, rng = control_chart(50), np.random.default_rng(0)
    shocks = rng.standard_normal((n_series, 50))

    def share(series: Array, memory: float = 0.0) -> float:
        chart = control_chart(50, memory=memory)
        return float(np.mean([chart.read(one).alarm is not None for one in series]))

    rates = {
        "false alarms, normal": share(shocks),
        "false alarms, heavy tails": share(rng.standard_cauchy((n_series, 50))),
    }
    remembering = lfilter([1.0], [1.0, -0.3], shocks)
    rates["alarms, values with memory 0.3"] = share(remembering)
    rates["false alarms, the same with a chart for memory 0.3"] = share(remembering, memory=0.3)
    for jump in (1.0, 2.0, 4.0):
        readings = [chart.read(one) for one in shocks + jump * (np.arange(50) >= 21)]
        late = [
            reading.alarm - 20 for reading in readings if reading.alarm is not None and reading.alarm > 20
        ]
        rates[f"jump of {jump:g} sd at 21 found by 49"] = len(late) / n_series
        rates[f"jump of {jump:g} sd: values until found (median)"] = float(np.median(late))
    return rates


def cluster_rates(n_sets: int) -> dict[str, float]:
    """Measure how often points of one Gaussian are divided."""
    from agentnet.analysis.perspectives import find_clusters, lead_by_chance

    rng, rates = np.random.default_rng(0), {}
    for n_models, n_dims in ((10, 1), (10, 2), (10, 5), (25, 1), (25, 2), (25, 5)):
        what = f"one Gaussian divided, {n_models} models in {n_dims} d"
        drawn = rng.standard_normal((n_sets, n_models, n_dims))
        rates[what] = float((find_clusters(drawn).n_clusters > 1).mean())
        lead = lead_by_chance(n_models, n_dims)
        found = find_clusters(drawn, least_lead=lead)
        rates[f"{what}, lead above {lead:.1f}"] = float((found.n_clusters > 1).mean())
    return rates


def main() -> None:
    """Print both tables, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the replies")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--case", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        name, path, *shape = arguments.case
        steps, models, prompts, dims = map(int, shape)
        print(json.dumps(asdict(solve(name, Replies(Path(path), (steps, models, prompts, dims))))))
        return
    report(all_lines(QUICK if arguments.quick else SHAPES), quick=arguments.quick, as_json=arguments.json)


def report(lines: list[Line], *, quick: bool, as_json: bool) -> None:
    """Measure the rates, and print everything."""
    rates: dict[str, Any] = chart_rates(200 if quick else 4_000) | cluster_rates(50 if quick else 500)
    if as_json:
        cpu_s = {f"{line.size}, {line.name}: CPU s": [line.cpu_s] for line in lines}
        peaks = {f"{line.size}, {line.name}: peak MiB": [line.peak_mib] for line in lines}
        tell(cpu_s | peaks | {what: [rate] for what, rate in rates.items()})
        return
    print(f"{'':<14} {'':<28} {'CPU s':>8} {'peak MiB':>9}")
    for line in lines:
        print(f"{line.size:<14} {line.name:<28} {line.cpu_s:>8.1f} {line.peak_mib:>9.0f}")
    for what, rate in rates.items():
        print(f"{what:<55} {rate:.3f}")


if __name__ == "__main__":
    main()
