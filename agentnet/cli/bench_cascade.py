"""``bench --cascade``: plays a real design on a backend, and tells how well it fills the places."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentnet.backend import make_backend
from agentnet.bench import Occupancy, Timed, occupancy
from agentnet.bench.plot import draw_design
from agentnet.bench.sweep import doublings
from agentnet.cli.common import print_json, print_table
from agentnet.cli.signals import heeding
from agentnet.cli.terminal import echo
from agentnet.config import Settings
from agentnet.errors import ConfigurationError, Interrupted, RunStopped
from agentnet.experiment import Source
from agentnet.runner import Prepared, Runner, create, prepare
from agentnet.voices import RULE, voices_of

_SHARES = (
    "share of the ideal: of all places' time (places times seconds), what calls took; lost: until as many "
    "were in flight as ever (ramp), at the ends of steps, and after the last call had begun (tail)"
)


@dataclass(frozen=True, slots=True)
class Level:
    """The design, played once.

    Attributes:
        workers: Places of requests; setting ``engine.workers``.
        at_once: Realizations played side by side.
        decisions: Decisions.
        realizations: Finished realizations.
        prompt_tokens: Tokens in; None if unknown.
        found: Where the places' time went; None if nothing was asked.
        ended: Why it did not come to its end, or tells nothing; ``""`` if it did.
    """

    workers: int
    at_once: int
    decisions: int
    realizations: int
    prompt_tokens: int | None
    found: Occupancy | None
    ended: str

    def a_second(self, amount: int | None) -> float | None:
        """Divide by the seconds from the first call to the last answer."""
        return None if amount is None or self.found is None else amount / self.found.seconds

    def as_dict(self) -> dict[str, object]:
        """Spell it for JSON."""
        return {
            "workers": self.workers,
            "realizations_at_once": self.at_once,
            "decisions": self.decisions,
            "realizations": self.realizations,
            "decisions_per_s": self.a_second(self.decisions),
            "realizations_per_s": self.a_second(self.realizations),
            "prompt_tokens_per_s": self.a_second(self.prompt_tokens),
            **({} if self.found is None else self.found.as_dict()),
            "ended": self.ended,
        }


def bench_design(
    target: str,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    is_sweep: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Play the design at one number of workers, or at several, and tell; what it decides is thrown away.

    Raises:
        Interrupted: Somebody interrupted it; what was measured was told.
        ConfigurationError: The design has several models.
    """
    source = Source.read(target)
    levels: list[Level] = []
    for workers, at_once in _ways(settings, is_sweep=is_sweep):
        levels.append(_level(source, settings, environ, workers, at_once))
        if is_sweep:
            echo(f"{workers} workers, {at_once} at once: {_rate(levels[-1])}", err=True)
        if levels[-1].ended == _INTERRUPTED:
            break
    name = settings.backend.name
    if as_json:
        print_json({"experiment": target, "backend": name, "levels": [level.as_dict() for level in levels]})
    else:
        print_table(tuple(_COLUMNS), [tuple(tell(level) for tell in _COLUMNS.values()) for level in levels])
        echo(_SHARES, err=True)
        for ended in {level.ended for level in levels} - {""}:
            echo(ended if ended == _UNASKED else f"not played to the end: {ended}", err=True)
    if plot is not None and any(level.found for level in levels):
        draw_design(
            [level.as_dict() for level in levels if level.found], plot, title=f"{source.path.name} on {name}"
        )
    if levels[-1].ended == _INTERRUPTED:
        raise KeyboardInterrupt


_INTERRUPTED = "interrupted"
_UNASKED = "no backend was asked anything, so there is nothing to measure"


def _ways(settings: Settings, *, is_sweep: bool) -> Iterator[tuple[int, int]]:
    """List workers and realizations at once: those that are set, or doublings of both ways to play."""
    engine = settings.engine
    if not is_sweep:
        yield engine.workers, engine.realizations_at_once
        return
    for at_once in dict.fromkeys((1, engine.realizations_at_once)):
        for workers in doublings(engine.workers):
            yield workers, at_once


def _level(
    source: Source, settings: Settings, environ: Mapping[str, str], workers: int, at_once: int
) -> Level:
    engine = settings.engine.model_copy(update={"workers": workers, "realizations_at_once": at_once})
    stack = settings.stack.model_copy(update={"cache": False})
    log = settings.log.model_copy(update={"parquet": False})
    chosen = settings.model_copy(update={"engine": engine, "stack": stack, "log": log})
    with tempfile.TemporaryDirectory(prefix="agentnet-bench-") as folder:
        prepared = prepare(source, chosen, Path(folder) / "run", environ)
        _refuse_others(prepared)
        timed = Timed(make_backend(chosen.backend.name, chosen.backend.options, environ), time.perf_counter)
        create(prepared, source, backend=timed.name, model_name=timed.model_name)
        runner = Runner(prepared, timed)
        ended = asyncio.run(_played(runner))
    tally = runner.tally
    found = occupancy(timed.spans, workers)
    ended = ended or ("" if found else _UNASKED)
    return Level(workers, at_once, tally.n_decisions, tally.realizations, timed.prompt_tokens, found, ended)


def _refuse_others(prepared: Prepared) -> None:
    """Refuse a design of several models: their requests would all go to one, and tell nothing of it."""
    others = [name for name, of in voices_of(prepared.experiments).items() if of and of != RULE]
    if others:
        raise ConfigurationError(
            f"bench --cascade measures one backend, and its voices have others ({', '.join(others)}); "
            "measure each by a design without voices"
        )


async def _played(runner: Runner) -> str:
    """Play; say why it ended before its end, where a bound or somebody ended it."""
    try:
        with heeding(runner.interrupt):
            await runner.play()
    except Interrupted:
        return _INTERRUPTED
    except RunStopped as error:
        return str(error)
    return ""


def _rate(level: Level) -> str:
    rate = level.a_second(level.decisions)
    return "nothing was asked" if rate is None else f"{rate:.4g} decisions/s"


def _share(name: str) -> Callable[[Level], object]:
    return lambda level: None if level.found is None else f"{getattr(level.found, name):.3f}"


_COLUMNS: dict[str, Callable[[Level], object]] = {
    "workers": lambda level: level.workers,
    "at once": lambda level: level.at_once,
    "decisions/s": lambda level: level.a_second(level.decisions),
    "realizations/s": lambda level: level.a_second(level.realizations),
    "prompt tokens/s": lambda level: level.a_second(level.prompt_tokens),
    "latency, mean": lambda level: level.found and f"{level.found.latency_s:.4g} s",
    "most in flight": lambda level: level.found and level.found.most,
    "share of the ideal": _share("busy"),
    "lost: ramp": _share("ramp"),
    "step ends": _share("waits"),
    "tail": _share("tail"),
}
