"""The command `bench`: how fast a backend decides, how long it takes, what it costs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from agentnet.backend import Backend, Request, make_backend
from agentnet.bench import (
    Bound,
    Figures,
    Price,
    closed_loop,
    exposure_requests,
    knee,
    measure,
    open_rate,
    sweep_load,
)
from agentnet.bench.plot import check_plot_file, draw_levels
from agentnet.cli.bench_cascade import bench_design
from agentnet.cli.common import Chosen, Finite, print_json, print_table, setting_options
from agentnet.cli.completion import complete_files
from agentnet.cli.loops import in_loop
from agentnet.cli.signals import heeding
from agentnet.cli.terminal import echo
from agentnet.config import Settings, secrets_environ
from agentnet.stack import price_list
from agentnet.vocabulary import INLINE, WITHOUT, Rationale

_CALLS = 200
_SWEEP_AT_MOST = 256

_IDEAL = "in a closed loop, in flight / mean latency: all places busy all the time; with --rate, the rate"
_WINDOW = "rates count from the end of the warm-up until the first place has nothing more to ask"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be measured."""

    rate: float | None
    is_sweep: bool
    in_flight: int | None
    bound: Bound
    seed: int
    price: Price | None


@click.command()
@click.option(
    "--cascade",
    "design",
    metavar="FILE[:Class]",
    shell_complete=complete_files,
    help="Play this experiment, whatever its family, instead of sending its prompts without end.",
)
@click.option("--backend", help="Backend that is measured; see: agentnet backends.")
@click.option("--model", help="Model name, for backends that have several.")
@click.option(
    "--in-flight",
    type=click.IntRange(min=1),
    help="Requests kept in flight; default: engine.workers. With --sweep or --rate: at most so many.",
)
@click.option(
    "--rate",
    type=Finite(min=0.0, min_open=True),
    help="Send so many requests a second, at random times, whether answers come or not.",
)
@click.option(
    "--sweep",
    "is_sweep",
    is_flag=True,
    help="Double the requests in flight until nothing is won by it; find the knee.",
)
@click.option(
    "--calls",
    type=click.IntRange(min=1),
    help=f"End after so many calls (of each level of a sweep); default: {_CALLS} if --seconds is not given.",
)
@click.option(
    "--seconds",
    type=Finite(min=0.0, min_open=True),
    help="Begin no call after so many seconds (of each level of a sweep).",
)
@click.option(
    "--warm-up",
    type=click.IntRange(min=0),
    help="Calls before the measurement; default: one for each place, or a second's worth with --rate.",
)
@click.option(
    "--rationale",
    type=click.Choice([WITHOUT, INLINE]),
    default=WITHOUT,
    show_default=True,
    help="Whether a reason is asked for with each decision.",
)
@click.option(
    "--n",
    "n_samples",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Decisions asked for by each request.",
)
@click.option("--seed", type=int, help="Fixes prompts, their order and the times of --rate.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the figures: an .svg or .png file.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@setting_options
def bench(
    design: str | None,
    backend: str | None,
    model: str | None,
    in_flight: int | None,
    rate: float | None,
    is_sweep: bool,
    calls: int | None,
    seconds: float | None,
    warm_up: int | None,
    rationale: Rationale,
    n_samples: int,
    seed: int | None,
    plot: Path | None,
    as_json: bool,
    chosen: Chosen,
) -> None:
    """Measure a backend with the exposure prompts of the paper's design.

    The plug-in is asked as it is: without cache, retries or rate limits. Calls cost what they cost. Ctrl-C
    ends the measurement and prints what was measured so far.

    With --cascade the whole engine plays a design (without cache), and tells decisions and realizations a
    second, and which share of the ideal throughput (places / latency) was lost while few were asked at
    first, at the ends of steps, and at the end; --sweep doubles the workers, from one to --in-flight, with
    one realization at once and with all.

    \b
      agentnet bench --cascade experiments/news_cascade.py --backend vllm --in-flight 64 --calls 5000
      agentnet bench --backend mock -S backend.latency_s=0.2 --in-flight 16
      agentnet bench --backend openai --model gpt-4o-mini --rate 5 --seconds 60
      agentnet bench --backend vllm --sweep --rationale inline --plot sweep.svg
    """
    if rate is not None and is_sweep:
        raise click.UsageError("--rate and --sweep exclude each other")
    if design is not None and (rate, seconds, warm_up) != (None, None, None):
        raise click.UsageError("--cascade plays a design: --rate, --seconds and --warm-up do not go with it")
    if plot is not None:
        check_plot_file(plot)
    named = [
        ("--backend", "backend.name", backend),
        ("--model", "backend.model", model),
        ("--seed", "seed", seed),
    ]
    environ = secrets_environ()
    if design is not None:
        named += [("--in-flight", "engine.workers", in_flight), ("--calls", "stack.max_calls", calls)]
        settings = chosen.load(named).settings
        bench_design(design, settings, environ, is_sweep=is_sweep, plot=plot, as_json=as_json)
        return
    settings = chosen.load(named).settings
    answering = make_backend(settings.backend.name, settings.backend.options, environ)
    calls = _CALLS if calls is None and seconds is None else calls
    found = price_list(settings.stack).of(answering.model_name)
    plan = _Plan(
        rate,
        is_sweep,
        _places(in_flight, settings, rate=rate, is_sweep=is_sweep),
        Bound(calls, seconds, warm_up),
        settings.seed,
        None if found is None else (found.input, found.output),
    )
    requests = exposure_requests(rationale, seed=settings.seed, n=n_samples)
    levels = in_loop(_measure(answering, requests, plan))
    facts = {"backend": answering.name, "model": answering.model_name, "rationale": rationale}
    _report(levels, {**facts, "n": n_samples, "seed": settings.seed}, as_json=as_json)
    if plot is not None and any(level.replies for level in levels):
        draw_levels(levels, plot, title=f"{answering.name}: {answering.model_name}")
    _raise_what_ended_it(levels)


def _places(in_flight: int | None, settings: Settings, *, rate: float | None, is_sweep: bool) -> int | None:
    if in_flight is not None or rate is not None:
        return in_flight
    return _SWEEP_AT_MOST if is_sweep else settings.engine.workers


async def _measure(backend: Backend, requests: Iterator[Request], plan: _Plan) -> list[Figures]:
    stop = asyncio.Event()
    try:
        with heeding(stop.set):
            return await _levels(backend, requests, plan, stop)
    finally:
        await backend.aclose()


async def _levels(
    backend: Backend, requests: Iterator[Request], plan: _Plan, stop: asyncio.Event
) -> list[Figures]:
    bound, price = plan.bound, plan.price
    if plan.rate is not None:
        rate, places = plan.rate, plan.in_flight
        made = open_rate(
            backend, requests, rate=rate, bound=bound, seed=plan.seed, in_flight=places, stop=stop
        )
        return [measure(await made, price)]
    assert plan.in_flight is not None
    if plan.is_sweep:
        return await sweep_load(
            backend, requests, most=plan.in_flight, bound=bound, price=price, stop=stop, tell=_tell
        )
    return [
        measure(await closed_loop(backend, requests, in_flight=plan.in_flight, bound=bound, stop=stop), price)
    ]


def _tell(level: Figures) -> None:
    echo(
        f"{level.load.in_flight} in flight: {level.requests_per_s:.4g} requests/s, "
        f"p95 {level.latency.p95:.3g} s",
        err=True,
    )


def _report(levels: Sequence[Figures], facts: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json({**facts, "knee": knee(levels), "levels": [level.as_dict() for level in levels]})
    elif len(levels) == 1:
        figures = {label: tell(levels[0]) for label, tell in _FIGURES.items()}
        rows = [row for row in {**facts, **figures}.items() if row[1] is not None]
        print_table(("figure", "value"), rows)
    else:
        print_table(("", "value"), list(facts.items()))
        best = knee(levels)
        marks = ["knee" if level.load.in_flight == best else "" for level in levels]
        told = ([tell(level) for tell in _COLUMNS.values()] for level in levels)
        lines = [(*row, mark) for row, mark in zip(told, marks, strict=True)]
        print_table((*_COLUMNS, ""), lines)
    echo(f"ideal: {_IDEAL}; {_WINDOW}", err=True)


def _raise_what_ended_it(levels: Sequence[Figures]) -> None:
    last = levels[-1].load
    if last.error is not None:
        raise last.error
    if last.is_stopped:
        raise KeyboardInterrupt


def _words(load: Figures) -> str:
    places = load.load.in_flight
    if load.load.rate is None:
        return f"closed loop, {places} in flight"
    bound = "" if places is None else f", at most {places} in flight"
    return f"open, {load.load.rate:g} requests/s{bound}"


def _errors(figures: Figures) -> str | None:
    return ", ".join(f"{kind} {count}" for kind, count in figures.errors.items()) or None


def _seconds(seconds: float) -> str | None:
    if math.isnan(seconds):
        return None
    return "beyond what was seen" if math.isinf(seconds) else f"{seconds:.4g} s"


def _if_open(figures: Figures, text: str) -> str | None:
    return None if figures.load.rate is None else text


_FIGURES: dict[str, Callable[[Figures], object]] = {
    "load": _words,
    "calls": lambda f: f"{len(f.calls)} in {f.seconds:.4g} s, after {f.load.n_warm_up} to warm up",
    "decisions/s": lambda f: f.decisions_per_s,
    "requests/s": lambda f: f.requests_per_s,
    "prompt tokens/s": lambda f: f.prompt_tokens_per_s,
    "completion tokens/s": lambda f: f.completion_tokens_per_s,
    "latency, mean": lambda f: _seconds(f.latency.mean),
    "latency, p50": lambda f: _seconds(f.latency.p50),
    "latency, p95": lambda f: _seconds(f.latency.p95),
    "latency, p99": lambda f: _seconds(f.latency.p99),
    "latency, max": lambda f: _seconds(f.latency.max),
    "share of the ideal": lambda f: f.share_of_ideal,
    "waiting or in flight": lambda f: _if_open(
        f, f"{f.in_system[0]:.4g} on average, {f.in_system[1]} at most"
    ),
    "wait for a place": lambda f: _if_open(f, f"{f.wait_s[0]:.4g} s on average, {f.wait_s[1]:.4g} s at most"),
    "usable share": lambda f: f.usable_share,
    "failed": _errors,
    "unanswered": lambda f: f.n_unanswered or None,
    "cost in $": lambda f: f.dollars if f.dollars is not None else "unknown: state stack.prices",
    "$ for 1000 decisions": lambda f: f.dollars_per_1000_decisions,
}

_COLUMNS: dict[str, Callable[[Figures], object]] = {
    "in flight": lambda f: f.load.in_flight,
    "decisions/s": lambda f: f.decisions_per_s,
    "requests/s": lambda f: f.requests_per_s,
    "tokens/s in": lambda f: f.prompt_tokens_per_s,
    "out": lambda f: f.completion_tokens_per_s,
    "p50": lambda f: _seconds(f.latency.p50),
    "p95": lambda f: _seconds(f.latency.p95),
    "p99": lambda f: _seconds(f.latency.p99),
    "max": lambda f: _seconds(f.latency.max),
    "of ideal": lambda f: f.share_of_ideal,
    "usable": lambda f: f.usable_share,
    "failed": _errors,
    "$": lambda f: f.dollars,
}
