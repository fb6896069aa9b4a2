"""The commands that play an experiment or look at it before: `run`, `check`."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from agentnet.backend import Backend, Messages
from agentnet.cli.common import Decorated, find_run, given, load, print_json, print_table, setting_options
from agentnet.cli.completion import complete_files, complete_runs
from agentnet.cli.explain import explained
from agentnet.cli.merge import to_merge
from agentnet.cli.signals import heeding
from agentnet.cli.sitting import announce, readings, resume_command, sit
from agentnet.cli.terminal import echo
from agentnet.config import Shard, configuration_for_resume, secrets_environ
from agentnet.errors import UserError
from agentnet.events import Run
from agentnet.experiment import Source
from agentnet.families import Estimate
from agentnet.runner import Prepared, prepare
from agentnet.runner.again import check_missing, missing_words
from agentnet.runner.begin import (
    Ready,
    backend_of,
    begin,
    begin_or_go_on,
    check_same,
    go_on,
    is_complete,
    recorded_settings,
)
from agentnet.runner.estimate import estimate, prompts_apart
from agentnet.runner.journal import Tally
from agentnet.runner.prepare import design
from agentnet.stack import Price, price_list
from agentnet.voices import OWN, described, needs_of, parts_of

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


def named_options(function: Decorated) -> Decorated:
    """Add the options that stand for a setting each."""
    for option in (
        click.option("--backend", help="Backend that answers; see: agentnet backends."),
        click.option("--model", help="Model name, for backends that have several."),
        click.option("--seed", type=int, help="The run's seed; fixes everything that is drawn."),
        click.option(
            "--news",
            type=click.Path(path_type=Path),
            help="File of news items (ACLED, UCDP, CSV, JSON Lines).",
        ),
        click.option(
            "--update", help="Update rule of models that interview each other; see: agentnet backends."
        ),
        click.option(
            "--simplify",
            is_flag=True,
            default=None,
            help="Drop loops, repeats and direction of a network's file, and say how many.",
        ),
        click.option("--max-cost", type=float, help="Stop, resumable, before the run costs more US dollars."),
        click.option("--max-calls", type=int, help="Stop, resumable, before the run makes more calls."),
    ):
        function = option(function)
    return function


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
@setting_options
def run(
    target: str | None,
    out: Path | None,
    shard: str | None,
    resume: str | None,
    ask_missing: bool,
    as_json: bool,
    quiet: bool,
    assignments: tuple[str, ...],
    config_file: Path | None,
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

    Exit codes: 0 done, 2 wrong input or an error in the experiment's code, 3 the world failed (resume the
    run), 4 a bug of ours, 5 done but with more answers missing than engine.max_missing allows, 130
    interrupted, 141 nobody reads the output any more.
    """
    flags = [(*NAMED[name], value) for name, value in named.items()]
    if ask_missing and resume is None:
        raise click.UsageError("--ask-missing goes with --resume RUN: it asks again what a run lacks")
    if shard is not None and (resume or target is None or out is None):
        raise click.UsageError("--shard goes with FILE and --out RUN: the same for all shards of a run")
    ready: Ready | None
    if resume is not None:
        folder = _to_resume(resume, target, out, config_file, ask_missing=ask_missing)
        lacks = missing_words(Run(folder))
        recorded = recorded_settings(Run(folder))
        settings = configuration_for_resume(recorded, flags=[*assignments, *given(flags)]).settings
        ready = go_on(folder, settings, _environ(), ask_missing=ask_missing)
        if ask_missing:
            echo(f"{lacks}; asking again in {_where(folder, ready[0].folder)}", err=True)
        echo(f"resuming {ready[0].folder}", err=True)
    elif shard is not None and target is not None and out is not None:
        configuration, which = load(config_file, assignments, flags), Shard.parse(shard)
        ready = begin_or_go_on(Source.read(target), configuration, _environ(), out, which, _say)
        if ready is None:
            echo(f"shard {which} of {out} is finished{to_merge(out)}", err=True)
            return
        announce(ready[0], _say)
    elif target is not None:
        settings = load(config_file, assignments, flags).settings
        ready = begin(Source.read(target), settings, _environ(), out, say=_say)
        announce(ready[0], _say)
    else:
        raise click.UsageError("give an experiment file, or --resume RUN")
    started = time.monotonic()
    tally = asyncio.run(_heeding(sit(ready, way_out=resume_command(ready[0].folder), say=_say, quiet=quiet)))
    prepared = ready[0]
    _report(prepared, tally, time.monotonic() - started, as_json=as_json)
    if prepared.shard is not None:
        # What may be missing, and what is strange, is judged in the whole.
        echo(f"shard {prepared.shard} is finished{to_merge(prepared.folder.parent.parent)}", err=True)
        return
    run = Run(prepared.folder)
    for line in prepared.family.notes(run):
        echo(f"note: {line}", err=True)
    check_missing(run, prepared.settings.engine.max_missing, f"{resume_command(run.folder)} --ask-missing")


async def _heeding(sitting: Coroutine[Any, Any, Tally]) -> Tally:
    """Let signals cancel what is played."""
    playing = asyncio.ensure_future(sitting)
    try:
        with heeding(playing.cancel):
            return await playing
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _to_resume(
    name: str, target: str | None, out: Path | None, config_file: Path | None, *, ask_missing: bool
) -> Path:
    """Find the run to go on with."""
    if out is not None:
        raise click.UsageError("--out goes with a new run; a resumed one stays where it is")
    folder = find_run(name, load(config_file, ()).settings.runs)
    run = Run(folder)
    if target is not None:
        way_out = f"resume without naming a file: {resume_command(folder)}"
        check_same(run, Source.read(target), way_out)
    if not ask_missing and is_complete(run):
        lacks = missing_words(run)
        ways = [f"{lacks}; ask again by: {resume_command(folder)} --ask-missing"] if lacks else []
        ways.append(f"look at it with: agentnet show {shlex.quote(str(folder))}")
        raise UserError(f"{folder} is finished; {'; '.join(ways)}")
    return folder


def _where(old: Path, new: Path) -> str:
    return "the same run" if new == old else f"{new}, a copy: other answers follow from them"


def _environ() -> dict[str, str]:
    return secrets_environ(Path.cwd(), os.environ)


def _say(line: str) -> None:
    echo(line, err=True)


def _report(prepared: Prepared, tally: Tally, seconds: float, *, as_json: bool) -> None:
    meta = Run(prepared.folder).meta
    result = {
        "run": str(prepared.folder),
        "status": meta["status"],
        "realizations": tally.realizations,
        **prepared.stage.counted(tally),
        "calls": tally.n_calls,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "dollars": tally.dollars(),
        "seconds": round(seconds, 3),
        "digest": meta["digest"],
    }
    if as_json:
        print_json(result)
    else:
        print_table(("", ""), list(result.items()))


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
    assignments: tuple[str, ...],
    config_file: Path | None,
    **named: object,
) -> None:
    """Import and validate an experiment, show a prompt of each kind, count the calls. Asks nobody.

    Where a condition's prompts differ from those of the first one, the first that differs is shown. Where
    the experiment's own methods decide what is asked, a few realizations are played twice on the mock, with
    answers that arrive in another order: one that differs then is refused.

    \b
      agentnet check experiments/news_cascade.py
      agentnet check --explain asking_rule
      agentnet check experiments/news_cascade.py --explain engine.workers
    """
    flags = [(*NAMED[name], value) for name, value in named.items()]
    configuration = load(config_file, assignments, flags)
    settings = configuration.settings
    if explain is not None:
        played = None if target is None else design(Source.read(target), settings)[0]
        _print_explained(explained(explain, configuration, played), as_json=as_json)
        return
    if target is None:
        raise click.UsageError("give an experiment file, or --explain KNOB")
    prepared = prepare(Source.read(target), settings, Path(os.devnull), _environ())
    answering = backend_of(prepared, _environ())
    found = asyncio.run(estimate(prepared))
    prices = price_list(settings.stack)
    price = {voice: prices.of(part.backend.model_name) for voice, part in parts_of(answering).items()}
    if as_json:
        name, model_name = prepared.stage.who_answers(answering)
        voices = {"voices": described(answering)} if described(answering) else {}
        told = {"backend": name, "model": model_name, **voices, **prepared.stage.facts()} | _costs(
            found, price
        )
        apart = prompts_apart(prepared)
        print_json({**told, "prompts_of_conditions": apart} if apart else told)
    else:
        _print_check(prepared, answering, found, price)


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


def _print_check(
    prepared: Prepared, answering: Backend, found: Estimate, price: Mapping[str, Price | None]
) -> None:
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
    untold = {"prompts", "how", "notes", "tokens_by_voice"}
    told = [row for row in _costs(found, price).items() if row[0] not in untold]
    print_table(("estimate", "value"), told)
    for line in (found.how, *(found.notes or ())):
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
