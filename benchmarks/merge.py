"""CPU and memory of merging the shards of one large run.

One shard of the paper's design is played on the mock; the others are that one with its realizations numbered
on, each sealed as a shard that ends is. Then ``agentnet merge`` makes one log of them, as a process of its
own: its CPU holds Python's start and the imports (about half a second).

    python benchmarks/merge.py [--shards 64] [--events 1000000] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from figures import tell

from agentnet import Run
from agentnet.config import Shard
from agentnet.events import LOG_NAME
from agentnet.events.checksums import BY_REALIZATION, keep_hash, sealed

EXPERIMENT = Path(__file__).parent.parent / "experiments" / "news_cascade.py"
EVENTS_OF_ONE, N_ITEMS = 745, 10
AGENTNET = (sys.executable, "-c", "from agentnet.cli import main; main()")


def make_shards(folder: Path, n_shards: int, n_events: int) -> None:
    """Play the first shard of a run, and make the others of it."""
    repeats = -(-n_events // (EVENTS_OF_ONE * N_ITEMS))
    words = ("run", EXPERIMENT, "--backend", "mock", "--seed", "7", "-S", f"repeats={repeats}")
    words += ("-S", "log.parquet=false", "--shard", f"1/{n_shards}", "--out", folder)
    subprocess.run([*AGENTNET, *words], check=True, capture_output=True)
    (first,) = (folder / "shards").iterdir()
    for number in range(2, n_shards + 1):
        shard = Shard(number, n_shards)
        shutil.copytree(first, folder / "shards" / shard.name)
        number_on(folder / "shards" / shard.name, shard)


def number_on(folder: Path, shard: Shard) -> None:
    """Make the copy of a first shard another one."""
    with closing(sqlite3.connect(folder / LOG_NAME)) as connection, connection:
        for table in BY_REALIZATION:
            moved = f"UPDATE {table} SET realization = realization + ?"
            connection.execute(moved, (shard.number - 1,))
        connection.execute("UPDATE meta SET value = ? WHERE key = 'shard'", (json.dumps(shard),))
        connection.commit()
        run = Run(folder)
        end = {key: run.meta[key] for key in ("status", "finished_at")}
        for key, value in sealed(run, end).items():
            connection.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(value), key))
    keep_hash(folder / LOG_NAME)


def measure(folder: Path) -> dict[str, float]:
    """Merge; give the CPU in seconds, the wall, and the peak of memory in bytes."""
    began = time.perf_counter()
    with subprocess.Popen([*AGENTNET, "merge", str(folder)], stdout=subprocess.DEVNULL) as process:
        _, status, use = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    (n_events,) = Run(folder).rows("SELECT COUNT(*) FROM events")[1][0]
    return {
        "events": n_events,
        "cpu_s": use.ru_utime + use.ru_stime,
        "wall_s": time.perf_counter() - began,
        "peak_bytes": use.ru_maxrss * 1024,
    }


def main() -> None:
    """Read the arguments, make shards, merge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--events", type=int, default=1_000_000, help="events in all, about")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        make_shards(Path(made) / "run", given.shards, given.events)
        found = measure(Path(made) / "run")
    if given.json:
        tell({f"{given.shards} shards: {name}": [value] for name, value in found.items()})
    else:
        print(
            f"{given.shards} shards, {found['events']:,} events: {found['cpu_s']:.2f} s CPU, "
            f"{found['wall_s']:.2f} s, {found['peak_bytes'] / 1e6:.0f} MB"
        )


if __name__ == "__main__":
    main()
