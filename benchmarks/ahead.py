"""One large network at heavy-tailed latency: agents played ahead of each other, against step by step.

The mock answers after a latency that is log-normal, its 99th percentile ten medians, drawn by the draw key;
as many requests are in flight as there are. Both ways play the same cascade to the same digest.

    python benchmarks/ahead.py [--agents 10000] [--median 0.2] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile
import time
from pathlib import Path

from figures import tell

from agentnet.backend import Reply, Request, Wrapper, make_backend
from agentnet.config import EngineSettings, LogSettings, Settings, StackSettings
from agentnet.events import Run
from agentnet.experiment import Source
from agentnet.runner import Runner, create, prepare
from agentnet.streams import mix, unit

SOURCE = """
from agentnet import CascadeExperiment

class Large(CascadeExperiment):
    n_agents, degree, steps, items_per_severity, repeats = {n}, 5, 20, 1, 1
    rationale = "none"
"""
_SIGMA = math.log(10) / 2.3263478740408408
"""Of a log-normal law whose 99th percentile is ten medians."""


class Late(Wrapper):
    """Answers late."""

    def __init__(self, median_s: float) -> None:
        super().__init__(make_backend("mock", {}))
        self._median_s = median_s

    async def complete(self, request: Request) -> Reply:
        """Answer, after what the request's own seed draws (Box and Muller)."""
        one, other = unit(mix(request.seed)), unit(mix(request.seed + 1))
        normal = math.sqrt(-2 * math.log(1 - one)) * math.cos(2 * math.pi * other)
        await asyncio.sleep(self._median_s * math.exp(_SIGMA * normal))
        return await self._inner.complete(request)


def measure(n_agents: int, median_s: float, *, ahead: bool) -> dict[str, object]:
    """Play once."""
    with tempfile.TemporaryDirectory() as folder:
        engine = EngineSettings(workers=100_000, run_ahead=ahead)
        settings = Settings(
            seed=1, engine=engine, stack=StackSettings(cache=False), log=LogSettings(parquet=False)
        )
        source = Source(Path("large.py"), SOURCE.format(n=n_agents), "Large")
        prepared = prepare(source, settings, Path(folder) / "run")
        create(prepared, source, backend="mock", model_name="mock")
        runner = Runner(prepared, Late(median_s))
        begun, begun_cpu = time.perf_counter(), time.process_time()
        asyncio.run(runner.play())
        seconds, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
        n = runner.tally.n_decisions
        digest = Run(Path(folder) / "run").digest()
    return {
        "ahead": ahead,
        "decisions": n,
        "seconds": seconds,
        "decisions_a_second": n / seconds,
        "cpu_us_a_decision": cpu / n * 1e6,
        "digest": digest,
    }


def main() -> None:
    """Print both, and their ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--median", type=float, default=0.2, help="seconds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    by_steps, ahead = (measure(given.agents, given.median, ahead=each) for each in (False, True))
    ratios = {
        "rate": ahead["decisions_a_second"] / by_steps["decisions_a_second"],
        "cpu": ahead["cpu_us_a_decision"] / by_steps["cpu_us_a_decision"],
        "same_digest": ahead["digest"] == by_steps["digest"],
    }
    if given.json:
        tell({name: [float(value)] for name, value in {"decisions": ahead["decisions"], **ratios}.items()})
        return
    for row in (by_steps, ahead, ratios):
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
