"""The commands that play an experiment or look at it before: `run`, `check`."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from agentnet.backend import Backend, Messages
from agentnet.cli.common import Chosen, Finite, adding, print_found, print_json, print_table, setting_options
from agentnet.cli.completion import complete_files, complete_runs
from agentnet.cli.explain import explained
from agentnet.cli.loops import in_loop
from agentnet.cli.merge import to_merge
from agentnet.cli.on_ray import Place
from agentnet.cli.processes import Crew, play_shards
from agentnet.cli.progress import LINE_S
from agentnet.cli.signals import heeding
from agentnet.cli.sitting import announce, readings, resume_command, sit
from agentnet.cli.terminal import echo
from agentnet.cli.view import watched
from agentnet.config import (
    Shard,
    StackSettings,
    configuration_for_resume,
    secrets_environ,
)
from agentnet.errors import RunFolderError, UserError
from agentnet.events import Run
from agentnet.events.read import is_unmerged
from agentnet.events.spent import UNCOUNTED, spent_so_far
from agentnet.experiment import Source
from agentnet.families import Estimate
from agentnet.runner import Prepared, prepare
from agentnet.runner.again import check_missing, missing_words
from agentnet.runner.begin import (
    Ready,
    backend_of,
    begin,
    begin_or_go_on,
    begin_shards,
    check_same,
    go_on,
    is_complete,
    recorded_settings,
)
from agentnet.runner.estimate import estimate, prompts_apart
from agentnet.runner.journal import Tally
from agentnet.runner.prepare import design
from agentnet.runner.shards import begun
from agentnet.stack import Price, price_list
from agentnet.voices import OWN, described, listing_voices, needs_of, parts_of

T = TypeVar("T")

NAMED = {
    "backend": ("--backend", "backend.name"),
    "model": ("--model", "backend.model"),
    "seed": ("--seed", "seed"),
    "news": ("--news", "news.path"),
    "update": ("--update", "experiment.update"),
    "simplify": ("--simplify", "experiment.network_options.simplify"),
    "max_cost": ("--max-cost", "stack.max_cost"),
    "max_calls": ("--max-calls", "stack.max_calls"),
}
"""Options that stand for a setting each, by the names that `agentnet.play` has for them: (flag, key)."""


named_options = adding(
    click.option("--max-calls", type=int, help="Stop, resumable, before the run makes more calls."),
    click.option("--max-cost", type=float, help="Stop, resumable, before the run costs more US dollars."),
    click.option(
        "--simplify",
        is_flag=True,
        default=None,
        help="Drop loops, repeats and direction of a network's file, and say how many.",
    ),
    click.option("--update", help="Update rule of models that interview each other; see: agentnet backends."),
    click.option(
        "--news", type=click.Path(path_type=Path), help="File of news items (ACLED, UCDP, CSV, JSON Lines)."
    ),
    click.option("--seed", type=int, help="The run's seed; fixes everything that is drawn."),
    click.option("--model", help="Model name, for backends that have several."),
    click.option("--backend", help="Backend that answers; see: agentnet backends."),
)
"""Adds the options that stand for a setting each."""


@click.command()
@click.argument("target", metavar="FILE[:Class]", required=False, shell_complete=complete_files)
@named_options
@click.option(
    "--out", type=click.Path(path_type=Path), help="Run folder to make; default: a new one in runs/."
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Play one of N shares of the run in --out, or go on with it; see: agentnet merge.",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    metavar="N",
    help="Play it by N processes on this machine, in shards that are merged in the end.",
)
@click.option(
    "--on",
    type=click.Choice(["ray"]),
    help="Play it by workers of Ray, in shards: --processes at a time, or one on each CPU.",
)
@click.option(
    "--ray-address",
    metavar="HOST:PORT",
    help="The Ray cluster; without, Ray is started on this machine for the run.",
)
@click.option(
    "--resume",
    metavar="RUN",
    shell_complete=complete_runs,
    help="Go on with a run: its folder, its name, or 'last'.",
)
@click.option(
    "--ask-missing",
    is_flag=True,
    help="With --resume: ask again what is missing; in a copy of the run, if other answers follow from it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@click.option(
    "--progress-every",
    "every_s",
    type=Finite(0, min_open=True),
    default=LINE_S,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two lines of progress, where there is no terminal.",
)
@click.option(
    "--view", "is_viewed", is_flag=True, help="Serve a page to watch it on meanwhile; see: agentnet view."
)
@setting_options
def run(
    target: str | None,
    out: Path | None,
    shard: str | None,
    processes: int | None,
    on: str | None,
    ray_address: str | None,
    resume: str | None,
    ask_missing: bool,
    as_json: bool,
    quiet: bool,
    every_s: float,
    is_viewed: bool,
    chosen: Chosen,
    **named: object,
) -> None:
    """Play an experiment file, or resume a run.

    Ctrl-C finishes what is in flight, records it and stops; a second one stops at once. Either way nothing
    that was recorded is lost, and the command that goes on is printed. SIGTERM, a terminal that hangs up and
    a reader that leaves do the same; under nohup a run goes on.

    \b
      agentnet run experiments/news_cascade.py --backend mock --seed 7 -S repeats=2
      agentnet run experiments/news_cascade.py --news my_acled_export.csv
      agentnet run experiments/polarization.py --backend vllm --update memory
      agentnet run --resume last
      agentnet run --resume last --ask-missing
      agentnet run experiments/news_cascade.py --processes 4
      agentnet run experiments/news_cascade.py --on ray --ray-address 10.0.0.5:6379
      agentnet run experiments/news_cascade.py --shard 3/16 --out runs/wide   # then: agentnet merge runs/wide

    Exit codes: 0 done, 2 wrong input or an error in the experiment's code, 3 the world failed (resume the
    run), 4 a bug of ours, 5 done but with more answers missing than engine.max_missing allows, 130
    interrupted, 141 nobody reads the output any more.
    """
    flags = [(*NAMED[name], value) for name, value in named.items()]
    if ray_address is not None and on is None:
        raise click.UsageError("--ray-address goes with --on ray")
    if ask_missing and resume is None:
        raise click.UsageError("--ask-missing goes with --resume RUN: it asks again what a run lacks")
    if shard is not None and (resume or processes or on or target is None or out is None):
        raise click.UsageError("--shard goes with FILE and --out RUN alone: the same for all shards of a run")
    show, place = _Showing(as_json, None if quiet else every_s, is_viewed), Place(processes, on, ray_address)
    if resume is not None:
        _resume(resume, target, out, chosen, flags, place, show, ask_missing=ask_missing)
        return
    if target is None:
        raise click.UsageError("give an experiment file, or --resume RUN")
    source, configuration = Source.read(target), chosen.load(flags)
    settings = configuration.settings
    if processes is not None or on is not None:
        with place.crew() as (n, crew):
            whole = begin_shards(source, settings, secrets_environ(), out, n, say=say)
            say(f"run {whole.folder}: {len(whole.plan)} realizations, played by {n} processes")
            for line in readings(whole):
                say(line)
            played = _play_shards(crew(whole.folder, settings, say), n, show)
        _end(*played, show)
        return
    if shard is not None and out is not None:
        which = Shard.parse(shard)
        opened = begin_or_go_on(source, configuration, secrets_environ(), out, which, say)
        if opened is None:
            echo(f"shard {which} of {out} is finished{to_merge(out)}", err=True)
            return
        ready = opened
    else:
        ready = begin(source, settings, secrets_environ(), out, say=say)
    announce(ready[0], say)
    _play(ready, show)


class _Showing(NamedTuple):
    """How a run is told of: its result as JSON or not, with its progress or without, on a page or not."""

    as_json: bool
    every_s: float | None
    is_viewed: bool


def _resume(
    name: str,
    target: str | None,
    out: Path | None,
    chosen: Chosen,
    named: list[tuple[str, str, object]],
    place: Place,
    show: _Showing,
    *,
    ask_missing: bool,
) -> None:
    """Go on with a run, or with the shards of one."""
    folder, flags = chosen._replace(assignments=()).run(name), chosen.flags(named)
    if is_unmerged(folder):
        shards = begun(folder)
        if not shards:
            raise RunFolderError(f"{folder}: nothing was recorded of its shards yet; begin them again")
        first = next(iter(shards.items()))
        settings = configuration_for_resume(recorded_settings(Run(first[0])), flags=flags).settings
        shard = Shard(*first[1]["shard"])
        if place.processes is None and place.on is None and not shard.at_once:
            raise UserError(
                f"{folder} is played in {shard.of} shards, each gone on with by what began it; to play "
                "here what is left of those that were begun, say by how many processes: --processes N"
            )
        echo(f"resuming {folder}", err=True)
        asked = min(place.processes or shard.n_at_once, shard.n_at_once)
        with place._replace(processes=asked).crew() as (n, crew):
            played = _play_shards(crew(folder, settings, say), n, show)
        _end(*played, show)
        return
    if place.processes is not None or place.on is not None:
        raise click.UsageError(
            f"{folder} was begun as one run, which one process plays: leave out --processes and --on"
        )
    folder = _to_resume(folder, target, out, ask_missing=ask_missing)
    lacks = missing_words(Run(folder))
    settings = configuration_for_resume(recorded_settings(Run(folder)), flags=flags).settings
    ready = go_on(folder, settings, secrets_environ(), ask_missing=ask_missing)
    if ask_missing:
        copied = f"{ready[0].folder}, a copy: other answers follow from them"
        echo(f"{lacks}; asking again in {'the same run' if ready[0].folder == folder else copied}", err=True)
    echo(f"resuming {ready[0].folder}", err=True)
    _play(ready, show)


def _play(ready: Ready, show: _Showing) -> None:
    started, prepared = time.monotonic(), ready[0]
    way_out = resume_command(prepared.folder)
    with watched(prepared.folder, is_wanted=show.is_viewed) as guessed:
        tally = in_loop(heeded(sit(ready, way_out=way_out, say=say, every_s=show.every_s, guessed=guessed)))
    _report(prepared, tally, time.monotonic() - started, as_json=show.as_json)
    if prepared.shard is not None:
        # What may be missing, and what is strange, is judged in the whole.
        echo(f"shard {prepared.shard} is finished{to_merge(prepared.folder.parent.parent)}", err=True)
        return
    _judge(prepared)


def _play_shards(crew: Crew, n_processes: int, show: _Showing) -> tuple[Prepared, Tally, float]:
    started = time.monotonic()
    with watched(crew.folder, is_wanted=show.is_viewed):
        prepared, tally = in_loop(heeded(play_shards(crew, n_processes, every_s=show.every_s)))
    return prepared, tally, time.monotonic() - started


def _end(prepared: Prepared, tally: Tally, seconds: float, show: _Showing) -> None:
    _report(prepared, tally, seconds, as_json=show.as_json)
    _judge(prepared)


def _judge(prepared: Prepared) -> None:
    """Say what may not be meant in a run that has ended, and see whether too much is missing in it."""
    run = Run(prepared.folder)
    for line in prepared.family.notes(run):
        echo(f"note: {line}", err=True)
    check_missing(run, prepared.settings.engine.max_missing, f"{resume_command(run.folder)} --ask-missing")


async def heeded(sitting: Coroutine[Any, Any, T]) -> T:
    """Let signals cancel what is played."""
    playing = asyncio.ensure_future(sitting)
    try:
        with heeding(playing.cancel):
            return await playing
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _to_resume(folder: Path, target: str | None, out: Path | None, *, ask_missing: bool) -> Path:
    """Make sure that a run can be gone on with."""
    if out is not None:
        raise click.UsageError("--out goes with a new run; a resumed one stays where it is")
    run = Run(folder)
    if target is not None:
        way_out = (
            f"resume without naming a file: {resume_command(folder)}; to play the file as it is now, leave "
            "out --resume: with the same seed, answers that the cache holds are not paid again"
        )
        check_same(run, Source.read(target), way_out)
    if not ask_missing and is_complete(run):
        lacks = missing_words(run)
        ways = [f"{lacks}; ask again by: {resume_command(folder)} --ask-missing"] if lacks else []
        ways.append(f"look at it with: agentnet show {shlex.quote(str(folder))}")
        raise UserError(f"{folder} is finished; {'; '.join(ways)}")
    return folder


def say(line: str) -> None:
    """Tell people a line beside the output."""
    echo(line, err=True)


def _report(prepared: Prepared, tally: Tally, seconds: float, *, as_json: bool) -> None:
    from agentnet.events.spending import cost_words, took_of

    run = Run(prepared.folder)
    meta = run.meta
    with run.snapshot() as connection:
        ((n_uncounted,),) = connection.execute(UNCOUNTED)
        spent = took_of(spent_so_far(connection), n_uncounted)
    result = {
        "run": str(prepared.folder),
        "status": meta["status"],
        "realizations": tally.realizations,
        **prepared.stage.counted(tally),
        "calls_of_this_sitting": tally.n_calls,
        "calls": spent.calls,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "uncounted_answers": n_uncounted,
        "estimated_calls": spent.unmetered,
        "dollars": spent.dollars,
        "took": cost_words(spent),
        "seconds": round(seconds, 3),
        "digest": meta["digest"],
    }
    print_found(result, ("", ""), list(result.items()), as_json=as_json)


@click.command()
@click.argument("target", metavar="FILE[:Class]", required=False, shell_complete=complete_files)
@named_options
@click.option("--explain", metavar="KNOB", help="Say what a knob or a setting means; FILE may be left out.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@setting_options
def check(
    target: str | None,
    explain: str | None,
    as_json: bool,
    chosen: Chosen,
    **named: object,
) -> None:
    """Import and validate an experiment, show a prompt of each kind, expect the calls. Asks nobody.

    Calls, tokens and dollars are expected in the sampler mode in force, and are no bounds; a run stops before
    it goes over --max-cost, --max-calls or stack.max_tokens, and check says if that is to be expected.

    Where a condition's prompts differ from those of the first one, the first that differs is shown. Where
    the experiment's own methods decide what is asked, a few realizations are played twice on the mock, with
    answers that arrive in another order: one that differs then is refused.

    \b
      agentnet check experiments/news_cascade.py
      agentnet check --explain asking_rule
      agentnet check experiments/news_cascade.py --explain engine.workers
    """
    flags = [(*NAMED[name], value) for name, value in named.items()]
    configuration = chosen.load(flags)
    settings = configuration.settings
    if explain is not None:
        played = None if target is None else design(Source.read(target), settings)[0]
        _print_explained(explained(explain, configuration, played), as_json=as_json)
        return
    if target is None:
        raise click.UsageError("give an experiment file, or --explain KNOB")
    prepared = prepare(Source.read(target), settings, Path(os.devnull), secrets_environ())
    answering = backend_of(prepared, secrets_environ())
    found = asyncio.run(estimate(prepared, listing=listing_voices(answering)))
    prices = price_list(settings.stack)
    price = {voice: prices.of(part.backend.model_name) for voice, part in parts_of(answering).items()}
    costs = _costs(found, price)
    if stops := list(_stops(costs, settings.stack)):
        costs["stops"] = stops
    if as_json:
        name, model_name = prepared.stage.who_answers(answering)
        voices = {"voices": described(answering)} if described(answering) else {}
        told = {"backend": name, "model": model_name, **voices, **prepared.stage.facts()} | costs
        apart = prompts_apart(prepared)
        print_json({**told, "prompts_of_conditions": apart} if apart else told)
    else:
        _print_check(prepared, answering, found, costs)


def _print_explained(found: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for each in found:
        print_table(("", ""), [(name, value) for name, value in each.items() if value != ""])


def _print_design(prepared: Prepared) -> None:
    design = {knob: value for knob, value in prepared.designs()[0].items() if knob != "conditions"}
    rows = [(knob, value.__name__ if isinstance(value, type) else value) for knob, value in design.items()]
    print_table(("knob", "value"), sorted(rows))
    if len(prepared.condition_names) > 1:
        for number, name in enumerate(prepared.condition_names):
            echo(f"condition {number}: {name}" + ("; its knobs are those above" if number == 0 else ""))


def _print_check(prepared: Prepared, answering: Backend, found: Estimate, costs: Mapping[str, Any]) -> None:
    first = prepared.experiments[0]
    name, model_name = prepared.stage.who_answers(answering)
    echo(f"{type(first).__name__} on {name} ({model_name}): the design is sound\n")
    _print_design(prepared)
    for line in readings(prepared):
        echo(line)
    if voices := described(answering):
        needs = needs_of(answering)
        rows = [
            (voice or "(no voice)", each["backend"], each["model_name"], needs.get(voice, "nothing"))
            for voice, each in voices.items()
        ]
        print_table(("voice", "backend", "model", "needs"), rows, title="\nwho answers")
    for kind, messages in found.prompts.items():
        echo(f"\n--- prompt: {kind} ---")
        for role, content in messages:
            echo(f"[{role}]\n{content}\n")
    for condition, kinds in prompts_apart(prepared).items():
        _print_apart(condition, kinds)
    untold = {"prompts", "how", "notes", "tokens_by_voice", "stops"}
    told = [row for row in costs.items() if row[0] not in untold]
    print_table(("estimate", "value"), told)
    for line in (found.how, *(found.notes or ()), *costs.get("stops", ())):
        echo(line)


def _print_apart(condition: str, kinds: Mapping[str, tuple[str, Messages] | None]) -> None:
    """Show the prompts of a condition where they differ from those of the first one."""
    alike = [kind for kind, apart in kinds.items() if apart is None]
    if alike:
        echo(f"--- prompts of {condition}: {' and '.join(alike)} as in condition 0 ---")
    for kind, (about, messages) in ((kind, apart) for kind, apart in kinds.items() if apart is not None):
        echo(f"\n--- prompt of {condition}: {kind} {about} ---")
        for role, content in messages:
            echo(f"[{role}]\n{content}\n")


def _costs(found: Estimate, price: Mapping[str, Price | None]) -> dict[str, object]:
    """Add the price to an estimate, that of each voice's model; an unknown one is said, not guessed."""
    used = found.by_voice if len(price) > 1 or OWN not in price else {}
    tokens = used or {OWN: (found.prompt_tokens, found.completion_tokens)}
    dollars: float | None = 0.0
    for voice, (n_in, n_out) in tokens.items():
        of_it = price.get(voice)
        if (n_in or n_out) and dollars is not None:
            dollars = None if of_it is None else dollars + of_it.cost(n_in, n_out)
    return {**found.as_dict(), "dollars": dollars if dollars is not None else "unknown: state stack.prices"}


def _stops(costs: Mapping[str, Any], settings: StackSettings) -> Iterator[str]:
    """Say which bounds a run is expected to reach before its end."""
    tokens = costs["prompt_tokens"] + costs["completion_tokens"]
    taken = {"max_calls": costs.get("calls"), "max_tokens": tokens, "max_cost": costs["dollars"]}
    for name, much in taken.items():
        bound = getattr(settings, name)
        if bound is not None and isinstance(much, int | float) and much > bound:
            yield f"the run is expected to stop, resumable, at stack.{name} {bound:,g}: it takes {much:,.6g}"
